package intent

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhoHasAnAddressIsKnownWhereItIsCertain(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	p := port(1, "net", at(1))
	p.FixedIPs = append(p.FixedIPs, FixedIP{Addr: six})
	wants := func(what string, ip netip.Addr, want bool) {
		t.Helper()
		n, ok := s.Neighbour(Question{VNI: 77, IP: ip})
		if ok != want || ok && n != (Neighbour{Num: 1, MAC: p.MAC}) {
			t.Errorf("%s: %v is known: %v %v, want %v", what, ip, ok, n, want)
		}
	}
	// The port may be heard of before its network.
	s.PutPort(p, touched)
	wants("no network", four, false)
	s.PutNetwork(network("net", 77), touched)
	for _, ip := range []netip.Addr{four, six, p.MAC.LinkLocal()} {
		wants("bound", ip, true)
	}
	if _, ok := s.Neighbour(Question{VNI: 78, IP: four}); ok {
		t.Error("known in another network")
	}

	change := func(edit func(*Port)) {
		q := p
		edit(&q)
		s.PutPort(q, touched)
	}
	change(func(q *Port) { q.Binding = Binding{} })
	wants("unbound", four, false)
	change(func(q *Port) { q.AdminUp = false })
	wants("down", six, false)
	change(func(q *Port) { q.FixedIPs = q.FixedIPs[:1] })
	wants("without its IPv6 address", six, false)
	wants("without an IPv6 address", p.MAC.LinkLocal(), false)
	change(func(*Port) {})

	down := network("net", 77)
	down.AdminUp = false
	s.PutNetwork(down, touched)
	wants("network down", four, false)
	s.PutNetwork(network("net", 77), touched)

	// Another port that may speak as the address makes it uncertain; one that may speak as all does not.
	// Nobody can have been told of that port before.
	s.TakeMoved()
	other := port(2, "net", at(2))
	other.Extras.Pairs = []AddressPair{{Address: "10.0.0.1"}, {Address: "fd00::/64"}}
	s.PutPort(other, touched)
	wants("shared", four, false)
	wants("in a prefix of another", six, true)
	moved := s.TakeMoved()
	slices.Sort(moved)
	if diff := cmp.Diff([]uint32{1}, slices.Compact(moved)); diff != "" {
		t.Errorf("ports to judge anew (-want +got):\n%s", diff)
	}
	s.DeletePort(other.ID, touched)
	wants("no longer shared", four, true)

	// The address passes to another port, of which we hear first.
	heir := port(3, "net", at(3))
	heir.FixedIPs = p.FixedIPs
	s.PutPort(heir, touched)
	s.DeletePort(p.ID, touched)
	if n, ok := s.Neighbour(Question{VNI: 77, IP: four}); !ok || n.Num != 3 {
		t.Errorf("after the address has passed on it is known: %v, of port %d", ok, n.Num)
	}
}

func TestAPortIsServedWhatItsSubnetsSay(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	four := Subnet{Meta: Meta{ID: "four"}, NetworkID: "net", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.254"), EnableDHCP: true}
	p := port(1, "net", at(1))
	p.FixedIPs[0].SubnetID = "four"
	s.PutPort(p, touched)
	served := func() Served { return s.View(dpid, switchPorts(2), UnmanagedDrop).Ports[0].Served }
	wants := func(what string, want Served) {
		t.Helper()
		if diff := cmp.Diff(want, served(), compareViews); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	wants("subnet not heard of yet", Served{})
	change := func(n Subnet, want bool) {
		t.Helper()
		touched := Touched{}
		s.PutSubnet(n, touched)
		if _, ok := touched[dpid]; ok != want {
			t.Errorf("the switch is touched: %v, want %v", ok, want)
		}
	}
	change(four, true)
	wants("IPv4", Served{DHCP4: []netip.Addr{four.Gateway}})
	renamed := four
	renamed.Nameservers = []netip.Addr{four.Gateway}
	change(renamed, false)
	if c, ok := s.Client("port-1"); !ok || len(c.Addresses) != 1 || len(c.Addresses[0].Subnet.Nameservers) != 1 || c.Addresses[0].Router != 0 {
		t.Errorf("client %+v", c)
	}
	four.Gateway = netip.Addr{}
	change(four, true)
	wants("no gateway", Served{DHCP4: []netip.Addr{CloudAddress}})
	four.EnableDHCP = false
	change(four, true)
	wants("not served", Served{})

	six := Subnet{Meta: Meta{ID: "six"}, NetworkID: "net", CIDR: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::fe"), EnableDHCP: true, RAMode: SLAAC, AddressMode: SLAAC}
	change(six, true)
	p.FixedIPs = []FixedIP{{SubnetID: "six", Addr: netip.MustParseAddr("fd00::1")}}
	s.PutPort(p, touched)
	wants("slaac", Served{RA: true})
	six.RAMode, six.AddressMode = "", DHCPv6Stateful
	change(six, true)
	wants("stateful without advertisement", Served{DHCP6: true})

	router := port(9, "net", at(2))
	router.FixedIPs = []FixedIP{{SubnetID: "six", Addr: six.Gateway}}
	s.PutPort(router, touched)
	if c, _ := s.Client("port-1"); c.Addresses[0].Router != router.MAC {
		t.Errorf("router %v, want %v", c.Addresses[0].Router, router.MAC)
	}
	if c, _ := s.Client(router.ID); c.Addresses[0].Router != 0 {
		t.Error("a router is its own router")
	}
	p.DeviceOwner = "network:dhcp"
	s.PutPort(p, touched)
	wants("a part of the cloud", Served{})
	s.DeleteSubnet("six", touched)
	if c, _ := s.Client("port-1"); len(c.Addresses) != 0 {
		t.Error("the subnet is gone")
	}
}
