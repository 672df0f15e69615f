package pipeline

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// town is an intent with a bit of everything: two networks with the same
// addresses, a port of both families, an administratively down one, single and
// combined groups, rules of every form.
func town(shuffle *rand.Rand) *intent.State {
	net := func(id string, vni uint32) intent.Network {
		return intent.Network{Meta: intent.Meta{ID: id}, VNI: vni, AdminUp: true}
	}
	port := func(num uint32, network string, no uint32, groups []string, ips ...string) intent.Port {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: network, AdminUp: true,
			MAC: mac.Addr(0x020005000000 + uint64(num)), SecurityGroups: groups,
			Binding: intent.Binding{Host: dpid.String(), PortNo: no},
		}
		for _, ip := range ips {
			p.FixedIPs = append(p.FixedIPs, intent.FixedIP{Addr: netip.MustParseAddr(ip)})
		}
		return p
	}
	rule := func(num uint32, group string, dir intent.Direction, e intent.EtherType, r intent.Rule) intent.Rule {
		r.Num, r.GroupID, r.Direction, r.EtherType = num, group, dir, e
		return r
	}
	down := port(14, "blue", 4, []string{"open"}, "10.0.0.4")
	down.AdminUp = false

	s, touched := intent.NewState(), intent.Touched{}
	steps := []func(){
		func() { s.PutNetwork(net("blue", 77), touched) },
		func() { s.PutNetwork(net("red", 78), touched) },
		func() {
			s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
				rule(101, "open", intent.Egress, intent.IPv4, intent.Rule{}),
				rule(102, "open", intent.Egress, intent.IPv6, intent.Rule{}),
				rule(103, "open", intent.Ingress, intent.IPv4, intent.Rule{RemoteGroupID: "open"}),
			}}, touched)
		},
		func() {
			s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "web"}, Num: 2, Rules: []intent.Rule{
				rule(201, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(80)), PortMax: number(uint16(80))}),
				rule(202, "web", intent.Ingress, intent.IPv4, intent.Rule{
					Protocol: number(protoUDP), PortMin: number(uint16(5000)), PortMax: number(uint16(5010)), RemotePrefix: netip.MustParsePrefix("10.9.0.0/16"),
				}),
				rule(203, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoICMP), PortMin: number(uint16(8)), PortMax: number(uint16(0))}),
				rule(204, "web", intent.Ingress, intent.IPv6, intent.Rule{Protocol: number(protoICMPv6), PortMin: number(uint16(128))}),
				rule(205, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(80)), PortMax: number(uint16(80))}),
				rule(206, "web", intent.Egress, intent.IPv4, intent.Rule{Protocol: number(uint8(47)), RemotePrefix: netip.MustParsePrefix("192.0.2.0/24")}),
			}}, touched)
		},
		func() { s.PutPort(port(11, "blue", 1, []string{"open"}, "10.0.0.1"), touched) },
		func() { s.PutPort(port(12, "blue", 2, []string{"open", "web"}, "10.0.0.2", "fd00::2"), touched) },
		func() { s.PutPort(port(13, "red", 3, nil, "10.0.0.1"), touched) },
		func() { s.PutPort(down, touched) },
	}
	if shuffle != nil {
		shuffle.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	}
	for _, step := range steps {
		step()
	}
	return s
}

func townPorts() []intent.SwitchPort {
	ports := []intent.SwitchPort{{No: intent.LocalPortNo, Name: "br0"}}
	for no := uint32(1); no <= 6; no++ {
		ports = append(ports, intent.SwitchPort{No: no, Name: fmt.Sprintf("eth%d", no), Up: true})
	}
	return ports
}

func views() map[string]*intent.View {
	return map[string]*intent.View{
		"empty":     intent.NewState().View(dpid, nil, intent.UnmanagedLearn),
		"learn":     intent.NewState().View(dpid, townPorts(), intent.UnmanagedLearn),
		"drop":      intent.NewState().View(dpid, townPorts(), intent.UnmanagedDrop),
		"town":      town(nil).View(dpid, townPorts(), intent.UnmanagedLearn),
		"meter":     metered(),
		"policed":   policed(false),
		"queued":    policed(true),
		"pairs":     pairs(),
		"cloud":     cloud(),
		"addresses": addresses(),
		"stateless": stateless(),
		"stations":  stations(),
		"served":    served(),
		"nested":    nested(),
		"listed":    listed(),
		"fabric":    linked(),
		"spread":    spread(),
		"trunk":     trunk(),
		"balanced":  balanced(false),
		"balanced6": balanced(true),
		"probed":    probed(),
	}
}

// linked is the view of a switch in a fabric that has tenant ports, too: of its
// other ports one is new, one is a link that the flood tree does without, and one of the tree.
func linked() *intent.View { return linkedWith(town(nil)) }

func linkedWith(s *intent.State) *intent.View {
	v := s.View(dpid, append(townPorts(), intent.SwitchPort{No: 7}, intent.SwitchPort{No: 8}, intent.SwitchPort{No: 40000}), intent.UnmanagedLearn)
	v.Meters, v.Groups, v.Discovery, v.Shut, v.Links, v.Slot = true, true, true, []uint32{5, 7}, []uint32{5, 8}, 2
	v.Paths = []intent.Path{
		{Slot: 1, Primary: []uint32{5}, Backup: 8, Around: []intent.Detour{{In: 8, Out: 5}}},
		{Slot: 3, Primary: []uint32{5, 8}},
		{Slot: 4, Primary: []uint32{8}},
	}
	return v
}

// spread is the same with tenants' ports at other switches: two of blue, of which
// one shares an address, and one of red.
func spread() *intent.View {
	s := town(nil)
	for i, slot := range []uint16{2, 1, 3} {
		s.PutHost(intent.Host{DPID: dpid + intent.DPID(i), Slot: uint32(1 + i), Fabric: slot}, nil)
	}
	for i, id := range []string{"blue", "red"} {
		s.PutNetwork(intent.Network{Meta: intent.Meta{ID: id}, VNI: uint32(77 + i), AdminUp: true, VLAN: uint16(5 + i)}, nil)
	}
	there := func(num uint32, network string, at int, pairs ...intent.AddressPair) {
		s.PutPort(intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			SecurityGroups: []string{"open"}, FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}},
			Binding: intent.Binding{Host: (dpid + intent.DPID(at)).String(), PortNo: 5}, Extras: intent.PortExtras{Pairs: pairs},
		}, nil)
	}
	there(31, "blue", 1)
	there(32, "blue", 2, intent.AddressPair{Address: "10.0.0.100", MAC: mac.MustParse("00:00:5e:00:01:07")})
	there(33, "red", 1)
	return linkedWith(s)
}

// cloud is the view of one of four hosts: a port of another host's segment has
// come here, one of ours has gone, and one has an address of no host's.
func cloud() *intent.View {
	s, touched := town(nil), intent.Touched{}
	for i := range uint32(4) {
		d := dpid + intent.DPID(i)
		s.PutHost(intent.Host{DPID: d, Slot: 1 + i, Tunnel: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})}, touched)
		block, err := mac.NewSegment(mac.Addr(0x020005000000+uint64(i)<<16), 32)
		if err != nil {
			panic(err)
		}
		s.PutHostSegment(intent.HostSegment{ID: fmt.Sprint(i), Num: 500 + i, Block: block, Host: d}, touched)
	}
	there := func(num uint32, network string, host int, a string) {
		s.PutPort(intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.MustParse(a),
			Binding: intent.Binding{Host: (dpid + intent.DPID(host)).String(), PortNo: 5},
		}, touched)
	}
	there(21, "blue", 1, "02:00:05:01:00:01")
	there(22, "red", 1, "02:00:05:01:00:02")
	there(23, "blue", 2, "02:00:05:00:00:77") // ours, gone
	there(24, "blue", 2, "fa:16:3e:00:00:01") // of no host
	there(25, "blue", 0, "02:00:05:03:00:01") // come here
	there(26, "red", 2, "02:00:05:01:00:03")  // from one peer to another
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "green"}, VNI: 79, AdminUp: true}, touched)
	there(27, "green", 3, "02:00:05:03:00:02") // nothing in common with us
	return s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
}

// pairs is a network with a port that has address pairs and one without port
// security.
func pairs() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "open"},
	}}, touched)
	port := func(num uint32) intent.Port {
		return intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: "blue", AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			Binding: intent.Binding{Host: dpid.String(), PortNo: num},
		}
	}
	paired := port(1)
	paired.SecurityGroups = []string{"open"}
	paired.FixedIPs = []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}
	paired.Extras.Pairs = []intent.AddressPair{
		{Address: "10.0.0.100"},
		{Address: "10.0.0.1"}, // says nothing new
		{Address: "10.9.0.7/24", MAC: mac.MustParse("00:00:5e:00:01:07")},
		{Address: "fd00::/64", MAC: mac.MustParse("00:00:5e:00:02:07")},
	}
	s.PutPort(paired, touched)
	wide := port(2)
	wide.SecurityGroups = []string{"open"}
	wide.Extras.Pairs = []intent.AddressPair{{Address: "0.0.0.0/0"}, {Address: "10.9.0.7", MAC: mac.MustParse("00:00:5e:00:01:07")}}
	s.PutPort(wide, touched)
	bare := port(3)
	bare.Unguarded = true
	bare.FixedIPs = []intent.FixedIP{{Addr: netip.MustParseAddr("fd00::3")}}
	s.PutPort(bare, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// nested is the view of one of three hosts. Ports here and on another host may speak
// as one MAC, and as MAC prefixes of which one lies in the other; two ports, one of
// them elsewhere, have addresses of such a prefix themselves. The last port of another
// network has left the host.
func nested() *intent.View {
	s := intent.NewState()
	for i := range uint32(3) {
		d := dpid + intent.DPID(i)
		s.PutHost(intent.Host{DPID: d, Slot: 1 + i, Tunnel: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})}, nil)
		block, err := mac.NewSegment(mac.Addr(0x020005000000+uint64(i)<<16), 32)
		if err != nil {
			panic(err)
		}
		s.PutHostSegment(intent.HostSegment{ID: fmt.Sprint(i), Num: 500 + i, Block: block, Host: d}, nil)
	}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "green"}, VNI: 79, AdminUp: true}, nil)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv4}, {Num: 102, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv6},
		{Num: 103, GroupID: "open", Direction: intent.Egress, EtherType: intent.IPv4}, {Num: 104, GroupID: "open", Direction: intent.Egress, EtherType: intent.IPv6},
	}}, nil)
	port := func(num uint32, network string, host intent.DPID, a string, pairs ...intent.AddressPair) {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.MustParse(a), SecurityGroups: []string{"open"},
			FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}}, Binding: intent.Binding{Host: (dpid + host).String(), PortNo: num},
		}
		p.Extras.Pairs = pairs
		s.PutPort(p, nil)
	}
	shared := intent.AddressPair{Address: "10.0.0.100", MAC: mac.MustParse("00:00:5e:00:01:07")}
	machines := func(ip string, bits int) intent.AddressPair {
		return intent.AddressPair{Address: ip, MAC: mac.MustParse("52:54:00:00:00:00"), MACBits: bits}
	}
	port(1, "blue", 0, "02:00:05:00:00:01", shared, machines("10.9.0.0/24", 24), machines("fd00:9::/64", 24))
	port(2, "blue", 0, "02:00:05:00:00:02", machines("10.9.1.0/24", 32))
	port(3, "blue", 0, "52:54:00:00:00:03")
	port(21, "blue", 1, "02:00:05:01:00:01", shared, machines("10.9.1.0/24", 32))
	port(22, "blue", 1, "02:00:05:01:00:02", intent.AddressPair{Address: "10.0.0.101", MAC: mac.MustParse("02:00:05:00:00:02")}) // a port's own
	port(23, "blue", 2, "52:54:00:00:00:17")
	port(31, "green", 2, "02:00:05:00:00:31")
	return s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
}

// listed is a network with MAC allow lists, that have a block and one address of
// those that ports may speak as, and one with an empty list.
func listed() *intent.View {
	s := intent.NewState()
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "red"}, VNI: 78, AdminUp: true}, nil)
	port := func(num uint32, network string, change func(*intent.Port)) {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}}, Binding: intent.Binding{Host: dpid.String(), PortNo: num},
		}
		change(&p)
		s.PutPort(p, nil)
	}
	port(1, "blue", func(p *intent.Port) {
		p.Extras.Pairs = []intent.AddressPair{
			{Address: "10.9.0.0/24", MAC: mac.MustParse("52:54:00:00:00:00"), MACBits: 24}, {Address: "10.9.0.0/24", MAC: mac.MustParse("00:00:5e:00:01:07")},
			{Address: "fd00:9::/64", MAC: mac.MustParse("52:54:00:00:00:00"), MACBits: 24},
		}
	})
	port(2, "blue", func(p *intent.Port) { p.Unguarded = true })
	port(3, "red", func(p *intent.Port) { p.Unguarded = true })
	port(4, "red", func(p *intent.Port) { p.Unguarded = true })
	list := func(id, network string, blocks ...string) {
		l := intent.MACAllowList{Meta: intent.Meta{ID: id, Name: id}, NetworkID: network}
		for _, b := range blocks {
			l.Entries = append(l.Entries, intent.MACAllowEntry{Block: mac.MustParseSegment(b)})
		}
		s.PutMACAllowList(l, nil)
	}
	list("hosts", "blue", "02:00:05:00:00:00/32", "52:54:00:00:00:07/48")
	list("more", "blue", "02:00:05:00:00:00/32", "52:54:00:12:00:00/32")
	list("none", "red")
	return s.View(dpid, townPorts(), intent.UnmanagedDrop)
}

// addresses is a network with a port whose rules name address groups.
func addresses() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutAddressGroup(intent.AddressGroup{Meta: intent.Meta{ID: "offices"}, Addresses: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("192.0.2.128/25"), netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("2001:db8::/32"),
	}}, touched)
	s.PutAddressGroup(intent.AddressGroup{Meta: intent.Meta{ID: "all"}, Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "web"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteAddressGroupID: "offices"},
		{Num: 102, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv6, RemoteAddressGroupID: "offices"},
		{Num: 103, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv4, RemoteAddressGroupID: "all"},
		{Num: 104, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv6, RemoteAddressGroupID: "all"}, // none of the family
	}}, touched)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"web"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// stateless is a port whose group looks at no connections.
func stateless() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "dns"}, Num: 1, Stateless: true, Rules: []intent.Rule{
		{Num: 101, GroupID: "dns", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoUDP), PortMin: number(uint16(53)), PortMax: number(uint16(53))},
		{Num: 102, GroupID: "dns", Direction: intent.Egress, EtherType: intent.IPv4, RemoteGroupID: "dns"},
	}}, touched)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"dns"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// trunk is a hypervisor with a trunk: its parent and two of its sub-ports are in
// one network, one of them without port security, a third one in another network
// with the address of its parent, a fourth one is down. Another port with the VLAN of a
// sub-port has no trunk.
func trunk() *intent.View {
	s := town(nil)
	s.PutHost(intent.Host{DPID: dpid, Slot: 1, Tunnel: netip.MustParseAddr("192.0.2.1")}, nil)
	s.PutHost(intent.Host{DPID: dpid + 1, Slot: 2, Tunnel: netip.MustParseAddr("192.0.2.2")}, nil)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "far"}, Num: 40, NetworkID: "red", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:28"),
		Binding: intent.Binding{Host: (dpid + 1).String(), PortNo: 1},
	}, nil)
	carried := func(num uint32, network string, vlan uint16, ip string) intent.Port {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			SecurityGroups: []string{"open"}, FixedIPs: []intent.FixedIP{{SubnetID: network, Addr: netip.MustParseAddr(ip)}},
			Binding: intent.Binding{Host: dpid.String(), PortNo: 5}, Trunk: intent.TrunkPlace{ID: "trunk", Parent: "port-30", VLAN: vlan},
		}
		if vlan == 0 {
			p.Trunk.Parent = ""
		}
		return p
	}
	s.PutSubnet(intent.Subnet{
		Meta: intent.Meta{ID: "red"}, NetworkID: "red", CIDR: netip.MustParsePrefix("10.0.0.0/24"), EnableDHCP: true, Gateway: netip.MustParseAddr("10.0.0.254"),
	}, nil)
	s.PutPort(carried(30, "blue", 0, "10.0.0.30"), nil)
	s.PutPort(carried(31, "blue", 101, "10.0.0.31"), nil)
	s.PutPort(carried(32, "red", 102, "10.0.0.30"), nil)
	open := carried(33, "blue", 103, "10.0.0.33")
	open.Unguarded, open.SecurityGroups = true, nil
	s.PutPort(open, nil)
	down := carried(34, "red", 104, "10.0.0.34")
	down.AdminUp = false
	s.PutPort(down, nil)
	v := s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
	v.Meters = true
	return v
}

// stations is a port whose rules ask for MAC addresses.
func stations() *intent.View {
	s := intent.NewState()
	block := func(base string, bits int) mac.Segment {
		b, err := mac.NewSegment(mac.MustParse(base), bits)
		if err != nil {
			panic(err)
		}
		return b
	}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "db"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "db", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP), RemoteBlock: block("02:00:07:00:00:00", 40)},
		{Num: 102, GroupID: "db", Direction: intent.Egress, EtherType: intent.IPv4, RemoteMAC: mac.MustParse("02:00:05:00:00:02"), RemoteBlock: block("02:00:05:00:00:02", 48)},
		{Num: 103, GroupID: "db", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "db", RemoteBlock: block("02:00:05:00:00:00", 40)},
	}}, nil)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"db"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, nil)
	return s.View(dpid, townPorts(), intent.UnmanagedDrop)
}

// policed is a network of three ports under policies: one of its own, one of the MAC
// segments that it is in, one of the network. queues says that the datapath has queues.
func policed(queues bool) *intent.View {
	s := intent.NewState()
	rule := func(kind intent.QoSRuleKind, dir intent.Direction, r intent.QoSRule) intent.QoSRule {
		r.Kind, r.Direction = kind, dir
		return r
	}
	s.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "gold"}, Num: 1, Rules: []intent.QoSRule{
		rule(intent.QoSBandwidthLimit, intent.Egress, intent.QoSRule{Rate: 10_000}),
		rule(intent.QoSBandwidthLimit, intent.Ingress, intent.QoSRule{Rate: 20_000, Burst: 1000}),
		rule(intent.QoSPacketRateLimit, intent.Egress, intent.QoSRule{Rate: 1}),
		rule(intent.QoSPacketRateLimit, intent.Ingress, intent.QoSRule{Rate: 2}),
		rule(intent.QoSMinimumBandwidth, intent.Egress, intent.QoSRule{Rate: 500}),
		rule(intent.QoSPriority, intent.Egress, intent.QoSRule{Class: 3}),
		rule(intent.QoSPriority, intent.Ingress, intent.QoSRule{Class: 4}),
		rule(intent.QoSDSCPMarking, "", intent.QoSRule{DSCP: 26}),
	}}, nil)
	s.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "voice"}, Num: 2, Rules: []intent.QoSRule{rule(intent.QoSPriority, intent.Egress, intent.QoSRule{Class: 5})}}, nil)
	s.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "bulk"}, Num: 3, Rules: []intent.QoSRule{rule(intent.QoSBandwidthLimit, intent.Egress, intent.QoSRule{Rate: 100})}}, nil)
	s.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "none"}, Num: 4}, nil)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true, QoSPolicyID: "bulk"}, nil)
	for i, block := range []string{"02:00:05:00:00:00/24", "02:00:05:00:01:00/40", "02:00:06:00:00:00/24"} {
		base, bits, _ := strings.Cut(block, "/")
		n, _ := strconv.Atoi(bits)
		b, err := mac.NewSegment(mac.MustParse(base), n)
		if err != nil {
			panic(err)
		}
		g := intent.QoSSegment{ID: block, Num: uint32(50 + i), Block: b, PolicyID: []string{"bulk", "voice", "voice"}[i]}
		if i == 1 {
			g.NetworkID = "blue"
		}
		s.PutQoSSegment(g, nil)
	}
	for i, policy := range []string{"gold", "", "", "none"} {
		s.PutPort(intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", i+1)}, Num: uint32(i + 1), NetworkID: "blue", AdminUp: true, QoSPolicyID: policy,
			MAC:     mac.MustParse([]string{"02:00:05:00:00:01", "02:00:05:00:01:02", "02:00:09:00:00:03", "02:00:05:00:00:04"}[i]),
			Binding: intent.Binding{Host: dpid.String(), PortNo: uint32(i + 1)},
		}, nil)
	}
	v := s.View(dpid, townPorts(), intent.UnmanagedDrop)
	v.Meters, v.Queues = true, queues
	return v
}

// metered is the view of a switch that has meters.
func metered() *intent.View {
	v := intent.NewState().View(dpid, townPorts(), intent.UnmanagedLearn)
	v.Meters = true
	return v
}
