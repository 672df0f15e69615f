package intent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/mac"
)

var compareViews = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, mac.Segment{}),
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(View{}, GroupSet{}, Scope{}),
}

const dpid = DPID(1)

func switchPorts(n uint32) []SwitchPort {
	ports := []SwitchPort{{No: LocalPortNo, Name: "br0"}}
	for no := uint32(1); no <= n; no++ {
		ports = append(ports, SwitchPort{No: no, Name: fmt.Sprintf("eth%d", no), Up: true})
	}
	return ports
}

func network(id string, vni uint32) Network {
	return Network{Meta: Meta{ID: id}, VNI: vni, AdminUp: true}
}

func port(num uint32, net string, binding Binding, groups ...string) Port {
	return Port{
		Meta: Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: net, AdminUp: true,
		MAC: mac.Addr(0x020000000000 + uint64(num)), Binding: binding, SecurityGroups: groups,
		FixedIPs: []FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}},
	}
}

func at(no uint32) Binding { return Binding{Host: dpid.String(), PortNo: no} }

func named(name string) Binding { return Binding{Host: dpid.String(), InterfaceName: name} }

func TestAPortIsRealizedWhereItIsBoundByNameOrNumber(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	s.PutPort(port(1, "net", at(2)), touched)
	s.PutPort(port(2, "net", named("eth3")), touched)
	s.PutPort(port(3, "net", Binding{}), touched)
	v := s.View(dpid, switchPorts(4), UnmanagedLearn)

	var got []string
	for _, p := range v.Ports {
		got = append(got, fmt.Sprintf("%s at %d zone %d vni %d up %v", p.ID, p.OFPort, p.Zone, p.VNI, p.Up))
	}
	want := []string{"port-1 at 2 zone 2 vni 77 up true", "port-2 at 3 zone 3 vni 77 up true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("realized ports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{1, 4, LocalPortNo}, v.Free); diff != "" {
		t.Errorf("free ports (-want +got):\n%s", diff)
	}
	if len(touched) != 1 {
		t.Errorf("touched %v, want the one switch", touched)
	}
}

func TestABindingThatCannotBeMetSaysWhy(t *testing.T) {
	t.Parallel()
	down := network("down", 78)
	down.AdminUp = false
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	s.PutNetwork(down, touched)
	for i, b := range []Binding{at(1), named("eth1"), at(9), named("eth9"), at(LocalPortNo)} {
		s.PutPort(port(uint32(i+1), "net", b), touched)
	}
	s.PutPort(port(6, "nowhere", at(2)), touched)
	s.PutPort(port(7, "down", at(3)), touched)
	s.PutPort(port(8, "net", at(0)), touched)
	v := s.View(dpid, switchPorts(4), UnmanagedLearn)
	want := []PortState{
		{ID: "port-1", Num: 1, Status: PortActive},
		{ID: "port-2", Num: 2, Status: PortError, Reason: "port number 1 of switch 0000000000000001 is bound to port port-1 already"},
		{ID: "port-3", Num: 3, Status: PortDown, Reason: "switch 0000000000000001 has no port number 9"},
		{ID: "port-4", Num: 4, Status: PortDown, Reason: `switch 0000000000000001 has no port named "eth9"`},
		{ID: "port-5", Num: 5, Status: PortError, Reason: "port number 4294967294 of switch 0000000000000001 is above 32767, the last one that can be bound"},
		{ID: "port-6", Num: 6, Status: PortDown, Reason: "network nowhere is gone"},
		{ID: "port-7", Num: 7, Status: PortDown, Reason: "administratively down"},
		{ID: "port-8", Num: 8, Status: PortDown, Reason: "no interface of switch 0000000000000001 carries its id (external_ids:iface-id), and binding:profile names none"},
	}
	if diff := cmp.Diff(want, v.States); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if slices.Contains(v.Free, 3) {
		t.Error("a port that is administratively down must not fall into the learning domain")
	}
}

func TestPortsWithTheSameGroupsShareASet(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	for num, id := range []string{"a", "b", "c"} {
		s.PutGroup(SecurityGroup{Meta: Meta{ID: id}, Num: uint32(num + 1), Rules: []Rule{{Num: uint32(10 + num), GroupID: id}}}, touched)
	}
	s.PutPort(port(1, "net", at(1), "a", "b"), touched)
	s.PutPort(port(2, "net", at(2), "b", "a"), touched)
	s.PutPort(port(3, "net", at(3), "c"), touched)
	s.PutPort(port(4, "net", at(4)), touched)
	v := s.View(dpid, switchPorts(4), UnmanagedLearn)
	if len(v.Sets) != 2 {
		t.Fatalf("%d sets, want two: a+b and c", len(v.Sets))
	}
	slots := map[string]uint32{}
	for _, p := range v.Ports {
		slots[p.ID] = p.Set
	}
	if slots["port-1"] != slots["port-2"] || slots["port-3"] != 3 || slots["port-4"] != 0 || slots["port-1"] < 1<<31 {
		t.Errorf("slots %v: want one shared hash for 1 and 2, the group's number for 3, none for 4", slots)
	}
}

func TestARemoteGroupStandsForTheAddressesOfItsMembersOfThatFamily(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: []Rule{
		{Num: 1, GroupID: "web", EtherType: IPv4, RemoteGroupID: "clients"},
		{Num: 2, GroupID: "web", EtherType: IPv6, RemoteGroupID: "clients"},
		{Num: 3, GroupID: "web", EtherType: IPv4, RemotePrefix: netip.MustParsePrefix("10.1.2.3/16")},
		{Num: 4, GroupID: "web", EtherType: IPv4, RemotePrefix: netip.MustParsePrefix("0.0.0.0/0")},
	}}, touched)
	s.PutGroup(SecurityGroup{Meta: Meta{ID: "clients"}, Num: 2}, touched)
	s.PutPort(port(1, "net", at(1), "web"), touched)
	s.PutPort(port(2, "net", at(2), "clients"), touched)
	s.PutPort(port(3, "net", Binding{Host: DPID(2).String(), PortNo: 1}, "clients"), touched)
	v := s.View(dpid, switchPorts(4), UnmanagedLearn)
	i := slices.IndexFunc(v.Sets, func(g GroupSet) bool { return g.Slot == 1 })
	var got []string
	for _, r := range v.Sets[i].Rules {
		got = append(got, farSide(v, r))
	}
	want := []string{"1 [10.0.0.2/32 10.0.0.3/32]", "2 []", "3 10.1.0.0/16", "4 any"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}

	clear(touched)
	s.DeletePort("port-3", touched)
	if diff := cmp.Diff(Touched{DPID(1): {}, DPID(2): {}}, touched); diff != "" {
		t.Errorf("the member's switch and the one whose rules name its group are touched (-want +got):\n%s", diff)
	}
}

// farSide is what a rule of a view with one scope asks of the other side.
func farSide(v *View, r SetRule) string {
	switch {
	case !r.Grouped && r.Remote.IsValid():
		return fmt.Sprint(r.Num, " ", r.Remote)
	case !r.Grouped:
		return fmt.Sprint(r.Num, " any")
	}
	in := []netip.Prefix{}
	for _, m := range v.Scopes[0].Members {
		if slices.Contains(r.Classes, m.Class) {
			in = append(in, m.Prefix)
		}
	}
	return fmt.Sprint(r.Num, " ", in)
}

func TestAnAddressGroupStandsForItsPrefixesOfThatFamily(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: []Rule{
		{Num: 1, GroupID: "web", EtherType: IPv4, RemoteAddressGroupID: "offices"},
		{Num: 2, GroupID: "web", EtherType: IPv6, RemoteAddressGroupID: "offices"},
		{Num: 3, GroupID: "web", EtherType: IPv4, RemoteAddressGroupID: "gone"},
		{Num: 4, GroupID: "web", EtherType: IPv4, RemoteAddressGroupID: "all"},
		{Num: 5, GroupID: "web", EtherType: IPv6, RemoteAddressGroupID: "all"},
	}}, touched)
	offices := AddressGroup{Meta: Meta{ID: "offices"}, Addresses: prefixes("10.1.0.0/24 10.1.1.0/24 192.0.2.1/32 2001:db8::/32")}
	s.PutAddressGroup(offices, touched)
	s.PutAddressGroup(AddressGroup{Meta: Meta{ID: "all"}, Addresses: prefixes("0.0.0.0/0")}, touched)
	s.PutPort(port(1, "net", at(1), "web"), touched)
	s.PutPort(port(2, "net", Binding{Host: DPID(2).String(), PortNo: 1}), touched)
	rules := func() (got []string) {
		v := s.View(dpid, switchPorts(4), UnmanagedLearn)
		for _, r := range v.Sets[0].Rules {
			got = append(got, farSide(v, r))
		}
		return got
	}
	want := []string{"1 [10.1.0.0/23 192.0.2.1/32]", "2 [2001:db8::/32]", "3 []", "4 [0.0.0.0/0 10.1.0.0/23 192.0.2.1/32]", "5 []"}
	if diff := cmp.Diff(want, rules()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}

	clear(touched)
	offices.Addresses = offices.Addresses[2:3]
	s.PutAddressGroup(offices, touched)
	if diff := cmp.Diff(Touched{DPID(1): {}}, touched); diff != "" {
		t.Errorf("the switch whose rules name the group is touched, and no other (-want +got):\n%s", diff)
	}
	want[0], want[1], want[3] = "1 [192.0.2.1/32]", "2 []", "4 [0.0.0.0/0 192.0.2.1/32]"
	if diff := cmp.Diff(want, rules()); diff != "" {
		t.Errorf("rules after the change (-want +got):\n%s", diff)
	}
	clear(touched)
	s.PutAddressGroup(offices, touched)
	if len(touched) != 0 {
		t.Errorf("the same again touched %v", touched)
	}
}

func TestChangesThatTheDataPlaneDoesNotSeeTouchNothing(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	p := port(1, "net", at(1))
	s.PutPort(p, touched)
	clear(touched)
	p.Name, p.Status, p.Revision = "renamed", PortActive, 9
	s.PutPort(p, touched)
	if len(touched) != 0 {
		t.Errorf("touched %v", touched)
	}
	// But for a port that was unbound and bound again: its status is to be told.
	p.Status = PortDown
	s.PutPort(p, touched)
	if diff := cmp.Diff(Touched{dpid: {}}, touched); diff != "" {
		t.Errorf("a status that was reset (-want +got):\n%s", diff)
	}
}

// Any history of changes must end in the view that a fresh load would give, and
// whatever changed in a view must have been touched.
func TestIncrementsEqualAFreshLoad(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		s := NewState()
		networks, groups, ports := map[string]Network{}, map[string]SecurityGroup{}, map[string]Port{}
		sets := map[string]AddressGroup{}
		switches := []DPID{1, 2, 3}
		tunnelled := append(switchPorts(6), SwitchPort{No: 7, Name: TunnelPort})
		hosts, segments := map[DPID]Host{}, map[string]HostSegment{}
		before := map[DPID]*View{}
		for _, d := range switches {
			before[d] = s.View(d, tunnelled, UnmanagedLearn)
		}
		for range 120 {
			touched := Touched{}
			switch id := fmt.Sprint(rnd.IntN(4)); rnd.IntN(10) {
			case 0:
				n := network(id, 100+uint32(rnd.IntN(4)))
				n.AdminUp, n.VLAN, n.NoVLAN = rnd.IntN(4) > 0, uint16(rnd.IntN(4)), rnd.IntN(4) == 0
				networks[id] = n
				s.PutNetwork(n, touched)
			case 1:
				delete(networks, id)
				s.DeleteNetwork(id, touched)
			case 2:
				g := SecurityGroup{Meta: Meta{ID: id}, Num: 1 + uint32(id[0]-'0')}
				for range rnd.IntN(3) {
					r := Rule{Num: uint32(rnd.IntN(20) + 1), GroupID: id, EtherType: IPv4}
					switch rnd.IntN(3) {
					case 0:
						r.RemoteGroupID = fmt.Sprint(rnd.IntN(4))
					case 1:
						r.RemoteAddressGroupID = fmt.Sprint("set-", rnd.IntN(4))
					}
					g.Rules = append(g.Rules, r)
				}
				groups[id] = g
				s.PutGroup(g, touched)
			case 3:
				delete(groups, id)
				s.DeleteGroup(id, touched)
			case 4:
				num := uint32(rnd.IntN(8) + 1)
				p := port(num, fmt.Sprint(rnd.IntN(4)), Binding{})
				if rnd.IntN(5) > 0 {
					p.Binding = Binding{Host: switches[rnd.IntN(3)].String(), PortNo: uint32(rnd.IntN(7))}
				}
				for g := range 4 {
					if rnd.IntN(2) == 0 {
						p.SecurityGroups = append(p.SecurityGroups, fmt.Sprint(g))
					}
				}
				ports[p.ID] = p
				s.PutPort(p, touched)
			case 5:
				id := fmt.Sprintf("port-%d", rnd.IntN(8)+1)
				delete(ports, id)
				s.DeletePort(id, touched)
			case 6:
				g := AddressGroup{Meta: Meta{ID: "set-" + id}}
				for range rnd.IntN(3) {
					g.Addresses = append(g.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4))}), 16))
				}
				sets[g.ID] = g
				s.PutAddressGroup(g, touched)
			case 7:
				delete(sets, "set-"+id)
				s.DeleteAddressGroup("set-"+id, touched)
			case 8:
				d := switches[rnd.IntN(3)]
				if rnd.IntN(4) == 0 {
					delete(hosts, d)
					s.DeleteHost(d, touched)
					break
				}
				h := Host{DPID: d, Slot: uint32(d), Fabric: uint16(rnd.IntN(3)) * uint16(d)}
				if rnd.IntN(2) > 0 {
					h.Tunnel = netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(4))})
				}
				hosts[d] = h
				s.PutHost(h, touched)
			case 9:
				if rnd.IntN(4) == 0 {
					delete(segments, id)
					s.DeleteHostSegment(id, touched)
					break
				}
				// Four blocks of two addresses each: most ports lie in one.
				num := uint32(id[0] - '0')
				block, err := mac.NewSegment(mac.Addr(0x020000000000+2*uint64(num)), 47)
				if err != nil {
					t.Fatal(err)
				}
				g := HostSegment{ID: id, Num: num + 1, Block: block, Host: switches[rnd.IntN(3)]}
				segments[id] = g
				s.PutHostSegment(g, touched)
			}

			fresh := NewState()
			for _, g := range sets {
				fresh.PutAddressGroup(g, Touched{})
			}
			for _, h := range hosts {
				fresh.PutHost(h, Touched{})
			}
			for _, g := range segments {
				fresh.PutHostSegment(g, Touched{})
			}
			for _, p := range ports {
				fresh.PutPort(p, Touched{})
			}
			for _, g := range groups {
				fresh.PutGroup(g, Touched{})
			}
			for _, n := range networks {
				fresh.PutNetwork(n, Touched{})
			}
			for _, d := range switches {
				got, want := s.View(d, tunnelled, UnmanagedLearn), fresh.View(d, tunnelled, UnmanagedLearn)
				if diff := cmp.Diff(want, got, compareViews); diff != "" {
					t.Fatalf("seed %d: view of %v differs from a fresh load (-want +got):\n%s", seed, d, diff)
				}
				_, told := touched[d]
				if !told && !cmp.Equal(before[d], got, compareViews) {
					t.Fatalf("seed %d: view of %v changed without being touched", seed, d)
				}
				before[d] = got
			}
			if diff := cmp.Diff(fresh.Spanning(), s.Spanning()); diff != "" {
				t.Fatalf("seed %d: networks that need tags (-want +got):\n%s", seed, diff)
			}
		}
	}
}

func TestParseDPIDTakesSixteenHexDigits(t *testing.T) {
	t.Parallel()
	if d, err := ParseDPID("00000000000000ab"); err != nil || d != 0xab || d.String() != "00000000000000ab" {
		t.Errorf("ParseDPID = %v, %v", d, err)
	}
	for _, bad := range []string{"", "ab", "00:00:00:00:00:00:00:ab", "0x000000000000ab", "zz000000000000ab"} {
		if _, err := ParseDPID(bad); err == nil {
			t.Errorf("ParseDPID(%q) passed", bad)
		}
	}
}

// An address is of one class in a scope, whatever it is a member of, and the
// class of one does not depend on what the others are in.
func TestAddressesInTheSameGroupsAreOfOneClass(t *testing.T) {
	t.Parallel()
	s, touched := NewState(), Touched{}
	s.PutNetwork(network("net", 77), touched)
	s.PutGroup(SecurityGroup{Meta: Meta{ID: "web"}, Num: 1, Rules: []Rule{
		{Num: 1, GroupID: "web", EtherType: IPv4, RemoteGroupID: "a"},
		{Num: 2, GroupID: "web", EtherType: IPv4, RemoteGroupID: "b"},
		{Num: 3, GroupID: "web", EtherType: IPv4, RemoteAddressGroupID: "wide"},
	}}, touched)
	for num, id := range []string{"a", "b"} {
		s.PutGroup(SecurityGroup{Meta: Meta{ID: id}, Num: uint32(num + 2)}, touched)
	}
	s.PutAddressGroup(AddressGroup{Meta: Meta{ID: "wide"}, Addresses: prefixes("10.0.0.0/29")}, touched)
	s.PutPort(port(1, "net", at(1), "web"), touched)
	for num, groups := range map[uint32][]string{2: {"a"}, 3: {"a"}, 4: {"a", "b"}, 5: {"b", "a"}, 6: {}, 9: {"a"}} {
		s.PutPort(port(num, "net", Binding{}, groups...), touched)
	}
	classes := func() map[string]uint32 {
		v := s.View(dpid, switchPorts(1), UnmanagedLearn)
		of := map[string]uint32{}
		for _, m := range v.Scopes[0].Members {
			of[m.Prefix.String()] = m.Class
		}
		for _, rule := range []struct{ at, classes int }{{0, 3}, {1, 1}, {2, 3}} {
			if got := len(v.Sets[0].Rules[rule.at].Classes); got != rule.classes {
				t.Errorf("rule %d stands for %d classes, want %d", rule.at+1, got, rule.classes)
			}
		}
		return of
	}
	was := classes()
	if len(was) != 6 || was["10.0.0.2/32"] != was["10.0.0.3/32"] || was["10.0.0.4/32"] != was["10.0.0.5/32"] ||
		was["10.0.0.2/32"] == was["10.0.0.9/32"] || was["10.0.0.2/32"] == was["10.0.0.4/32"] || was["10.0.0.0/29"] == was["10.0.0.2/32"] {
		t.Fatalf("classes %v: want those of 2 and 3, of 4 and 5, of 9 and of the prefix", was)
	}
	s.PutPort(port(3, "net", Binding{}, "b", "a"), touched)
	now := classes()
	was["10.0.0.3/32"] = was["10.0.0.4/32"]
	if diff := cmp.Diff(was, now); diff != "" {
		t.Errorf("more than the class of the one that moved changed (-want +got):\n%s", diff)
	}
}
