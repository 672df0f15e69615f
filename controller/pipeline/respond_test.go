package pipeline

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// served is a network whose subnets are served in every way, on a switch with
// meters: a port with all of them, one without port security, one of the cloud itself.
func served() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	subnet := func(id string, cidr string, edit func(*intent.Subnet)) {
		n := intent.Subnet{Meta: intent.Meta{ID: id}, NetworkID: "blue", CIDR: netip.MustParsePrefix(cidr), EnableDHCP: true}
		edit(&n)
		s.PutSubnet(n, touched)
	}
	subnet("gateway", "10.0.0.0/24", func(n *intent.Subnet) { n.Gateway = netip.MustParseAddr("10.0.0.254") })
	subnet("none", "10.0.1.0/24", func(*intent.Subnet) {})
	subnet("silent", "10.0.2.0/24", func(n *intent.Subnet) { n.EnableDHCP = false })
	subnet("six", "fd00::/64", func(n *intent.Subnet) { n.RAMode, n.AddressMode = intent.DHCPv6Stateful, intent.DHCPv6Stateful })
	port := func(num uint32, edit func(*intent.Port)) {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: "blue", AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			Binding: intent.Binding{Host: dpid.String(), PortNo: num},
		}
		for i, id := range []string{"gateway", "none", "silent"} {
			p.FixedIPs = append(p.FixedIPs, intent.FixedIP{SubnetID: id, Addr: netip.AddrFrom4([4]byte{10, 0, byte(i), byte(num)})})
		}
		p.FixedIPs = append(p.FixedIPs, intent.FixedIP{SubnetID: "six", Addr: netip.MustParseAddr(fmt.Sprint("fd00::", num))})
		edit(&p)
		s.PutPort(p, touched)
	}
	port(1, func(*intent.Port) {})
	port(2, func(p *intent.Port) { p.Unguarded = true })
	port(3, func(p *intent.Port) { p.DeviceOwner = "network:router_interface" })
	v := s.View(dpid, townPorts(), intent.UnmanagedDrop)
	v.Meters = true
	return v
}

func TestFlowsAboutNeighboursAreRecognised(t *testing.T) {
	t.Parallel()
	station := intent.Neighbour{Num: 7, MAC: mac.MustParse("02:00:05:00:00:07")}
	for text, want := range map[string]string{
		"10.0.0.7": "cookie=0x5d0b000000000007, table=5, idle_timeout=300, send_flow_rem priority=100,arp,metadata=0x4d,vlan_tci=0x0000/0x1fff," +
			"dl_dst=ff:ff:ff:ff:ff:ff,arp_tpa=10.0.0.7,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:05:00:00:07->eth_src," +
			"set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]," +
			"set_field:02:00:05:00:00:07->arp_sha,set_field:10.0.0.7->arp_spa,goto_table:6",
		"fd00::7": "cookie=0x5d0b000000000007, table=5, idle_timeout=300, send_flow_rem priority=100,icmp6,metadata=0x4d,vlan_tci=0x0000/0x1fff," +
			"dl_dst=33:33:ff:00:00:00/ff:ff:ff:00:00:00,icmp_type=135,icmp_code=0,nd_target=fd00::7 actions=set_field:02:00:05:00:00:07->eth_dst,goto_table:10",
	} {
		q := intent.Question{VNI: 77, IP: netip.MustParseAddr(text)}
		f := Neighbour(q, station)
		if diff := cmp.Diff(want, f.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		got, num, ok := ParseNeighbour(f.Key(), Cookie(f.Cookie))
		if got != q || num != 7 || !ok {
			t.Errorf("recognised %v: %v of port %d", ok, got, num)
		}
	}
	for name, v := range views() {
		for _, f := range Flows(v) {
			if _, _, ok := ParseNeighbour(f.Key(), Cookie(f.Cookie)); ok {
				t.Errorf("%s: taken for one: %v", name, f)
			}
		}
	}
}
