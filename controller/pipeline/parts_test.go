package pipeline

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
)

// walk changes a cloud of three hosts at random and shows the views of the first.
type walk struct {
	rnd   *rand.Rand
	state *intent.State
}

func newWalk(seed uint64) *walk {
	w := &walk{rand.New(rand.NewPCG(seed, 3)), intent.NewState()}
	touched := intent.Touched{}
	for i := range uint64(3) {
		d := dpid + intent.DPID(i)
		w.host(uint32(i), seed%3 == 0, touched)
		block, err := mac.NewSegment(mac.Addr(0x020005000000+i<<16), 32)
		if err != nil {
			panic(err)
		}
		w.state.PutHostSegment(intent.HostSegment{ID: fmt.Sprint(i), Num: uint32(500 + i), Block: block, Host: d}, touched)
	}
	return w
}

// host is one of the three, which tunnels or the links of a fabric lead to.
func (w *walk) host(i uint32, links bool, touched intent.Touched) {
	h := intent.Host{DPID: dpid + intent.DPID(i), Slot: 1 + i}
	if links {
		h.Fabric = uint16(1 + i)
	} else {
		h.Tunnel = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})
	}
	w.state.PutHost(h, touched)
}

func (w *walk) view() *intent.View {
	ports := townPorts()
	if w.rnd.IntN(20) > 0 {
		ports = append(ports, intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true})
	}
	return numbered(w.state.View(dpid, ports, intent.UnmanagedDrop))
}

// numbered gives a switch a number in its fabric.
func numbered(v *intent.View) *intent.View {
	v.Slot = 1
	return v
}

// pool is one of three, whose backends are ports and addresses that others have too.
func (w *walk) pool(num uint32) intent.AffinityPool {
	n := func(n int) uint32 { return uint32(w.rnd.IntN(n)) }
	p := balancedPool(num, fmt.Sprint("port-", n(12)), uint16(80+n(2)), intent.TransportTCP, []intent.Affinity{intent.AffinityMAC, intent.AffinityIP, intent.AffinityNone}[n(3)])
	p.Port += uint16(2 * num) // no two have the same, as the database sees to
	for i := range n(5) {
		b := backendOf(10*num+i, n(12), uint16(8080+n(2)), []intent.BackendState{intent.BackendUp, intent.BackendDrain, intent.BackendDown}[n(3)])
		if n(3) == 0 {
			b.PortID, b.Address = "", netip.AddrFrom4([4]byte{10, 0, 0, byte(n(12))})
		}
		if n(4) == 0 {
			b.PortID, b.Address, b.Health = "", netip.MustParseAddr("10.0.0.100"), intent.HealthDown
		}
		p.Backends = append(p.Backends, b)
	}
	p.Slots = intent.SpreadSlots(nil, p.Weights())
	return p
}

func (w *walk) step() intent.Touched {
	touched := intent.Touched{}
	n := func(n int) uint32 { return uint32(w.rnd.IntN(n)) }
	some := func(ids ...string) (kept []string) {
		return slices.DeleteFunc(slices.Clone(ids), func(string) bool { return w.rnd.IntN(2) == 0 })
	}
	networks, groups := []string{"blue", "red"}, []string{"a", "b", "c"}
	switch n(16) {
	case 0:
		i := n(2)
		w.state.PutNetwork(intent.Network{Meta: intent.Meta{ID: networks[i]}, VNI: 77 + i, AdminUp: n(9) > 0, VLAN: uint16(n(3))}, touched)
	case 15:
		w.host(n(3), n(2) == 0, touched)
	case 1, 2:
		num := n(3)
		g := intent.SecurityGroup{Meta: intent.Meta{ID: groups[num]}, Num: 1 + num, Stateless: n(4) == 0}
		for i := range n(4) {
			r := intent.Rule{Num: 100*(1+num) + i, GroupID: g.ID, Direction: intent.Ingress, EtherType: intent.IPv4}
			if n(2) == 0 {
				r.Direction = intent.Egress
			}
			switch n(4) {
			case 0:
				r.RemoteGroupID = groups[n(3)]
			case 1:
				r.RemoteAddressGroupID = "set"
			case 2:
				r.Protocol, r.PortMin, r.PortMax = number(protoTCP), number(uint16(n(3))), number(uint16(5))
			}
			g.Rules = append(g.Rules, r)
		}
		w.state.PutGroup(g, touched)
	case 3:
		g := intent.AddressGroup{Meta: intent.Meta{ID: "set"}}
		for range n(3) {
			g.Addresses = append(g.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n(3))}), 16))
		}
		w.state.PutAddressGroup(g, touched)
	case 5:
		w.state.PutSubnet(intent.Subnet{
			Meta: intent.Meta{ID: "four"}, NetworkID: "blue", CIDR: netip.MustParsePrefix("10.0.0.0/24"),
			Gateway: netip.AddrFrom4([4]byte{10, 0, 0, byte(250 + n(2))}), EnableDHCP: n(2) == 0,
		}, touched)
	case 12:
		l := intent.MACAllowList{Meta: intent.Meta{ID: fmt.Sprint("list-", n(3))}, NetworkID: "blue"}
		for range n(3) {
			l.Entries = append(l.Entries, intent.MACAllowEntry{Block: mac.Addr(0x020005000000 + uint64(n(3))<<16).Segment()})
		}
		if w.state.PutMACAllowList(l, touched); n(2) == 0 {
			w.state.DeleteMACAllowList(l.ID, touched)
		}
	case 4:
		w.state.DeletePort(fmt.Sprint("port-", n(12)), touched)
	case 13, 14:
		num := 1 + n(3)
		if n(4) == 0 {
			w.state.DeleteAffinityPool(fmt.Sprint("pool-", num), touched)
			break
		}
		w.state.PutAffinityPool(w.pool(num), touched)
	case 6:
		w.state.DeletePort(fmt.Sprint("port-", 20+n(3)+n(2)<<14), touched)
	case 7, 8:
		num := 20 + n(3) + n(2)<<14 // pairs have the same zone at first
		w.state.PutPort(intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: networks[n(2)], AdminUp: n(9) > 0, Unguarded: n(5) == 0,
			MAC: mac.Addr(0x020005000000 + uint64(num%3)<<16 + uint64(num)), SecurityGroups: some(groups...),
			FixedIPs: []intent.FixedIP{{SubnetID: "four", Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}},
			Binding:  intent.Binding{Host: (dpid + intent.DPID(n(2))).String(), PortNo: 1 + n(6)},
			Trunk:    intent.TrunkPlace{ID: "trunk", Parent: fmt.Sprint("port-", n(12)), VLAN: uint16(1 + n(4)), Down: n(9) == 0},
		}, touched)
	default:
		num, network := n(12), networks[n(2)]
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: n(9) > 0, Unguarded: n(5) == 0,
			MAC: mac.Addr(0x020005000000 + uint64(num%3)<<16 + uint64(num)), SecurityGroups: some(groups...),
			FixedIPs: []intent.FixedIP{{SubnetID: map[string]string{"blue": "four"}[network], Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}},
			Binding:  intent.Binding{Host: (dpid + intent.DPID(n(3))).String(), PortNo: 1 + n(6)},
		}
		if n(2) == 0 {
			p.Trunk.ID = "trunk"
		}
		if n(4) == 0 {
			p.Extras.Pairs = []intent.AddressPair{{Address: "10.0.0.100"}, {Address: "10.9.0.0/24", MAC: mac.MustParse("00:00:5e:00:01:07")}}
		}
		if n(4) == 0 {
			p.Extras.Pairs = append(p.Extras.Pairs, intent.AddressPair{Address: "10.9.0.0/24", MAC: mac.MustParse("02:00:04:00:00:00"), MACBits: 23 + int(n(2))*24},
				intent.AddressPair{Address: "fd00:9::/64", MAC: 0x020006000000, MACBits: 40})
			p.MAC += mac.Addr(n(2)) << 24 // of no host
		}
		w.state.PutPort(p, touched)
	}
	return touched
}

// apply takes flows out of a set and puts others in.
func apply(t *testing.T, to, gone, come flow.Set) flow.Set {
	t.Helper()
	left := slices.DeleteFunc(slices.Clone(to), func(f flow.Flow) bool {
		_, goes := gone.Find(f.Key())
		_, replaced := come.Find(f.Key())
		return goes || replaced
	})
	set, err := flow.NewSet(append(left, come...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Whatever changes, the flows of the changed parts turn the old flows into the
// new ones.
func TestAChangeGivesTheSameFlowsAsAllAnew(t *testing.T) {
	t.Parallel()
	told := 0
	for seed := range uint64(30) {
		w := newWalk(seed)
		before := w.view()
		flows := Flows(before)
		for step := range 60 {
			w.step()
			after := w.view()
			want := Flows(after)
			if gone, come, ok := Change(before, after); ok {
				told++
				got := apply(t, flows, gone, come)
				if !slices.Equal(want, got) {
					plan := flow.Diff(flow.State{Flows: got}, flow.State{Flows: want})
					t.Fatalf("seed %d, step %d: these are missing: %v\nand these are too many: %v", seed, step, plan.Add, plan.Delete)
				}
			}
			before, flows = after, want
		}
	}
	if told < 1000 {
		t.Errorf("only %d changes were told by their parts", told)
	}
}

// A change touches every switch whose flows it changes.
func TestAChangeTouchesAllThatItConcerns(t *testing.T) {
	t.Parallel()
	ports := append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true})
	for seed := range uint64(30) {
		w := newWalk(seed)
		flows := func(i int) flow.Set {
			return Flows(numbered(w.state.View(dpid+intent.DPID(i), ports, intent.UnmanagedDrop)))
		}
		var before [3]flow.Set
		for step := range 60 {
			touched := w.step()
			for i := range before {
				after := flows(i)
				if _, told := touched[dpid+intent.DPID(i)]; !told && step > 0 && !slices.Equal(before[i], after) {
					plan := flow.Diff(flow.State{Flows: before[i]}, flow.State{Flows: after})
					t.Fatalf("seed %d, step %d: host %d is not touched, but these come: %v\nand these go: %v", seed, step, i, plan.Add, plan.Delete)
				}
				before[i] = after
			}
		}
	}
}

// A sub-port that comes or goes changes its own flows and the floods of its
// network: nothing of its parent or of other sub-ports.
func TestASubPortTouchesOnlyItsFlows(t *testing.T) {
	t.Parallel()
	before := trunk()
	after := *before
	after.Ports = slices.DeleteFunc(slices.Clone(before.Ports), func(p intent.LocalPort) bool { return p.VLAN == 102 })
	after.Networks = slices.Clone(before.Networks)
	for i := range after.Networks {
		n := &after.Networks[i]
		n.Ports = slices.DeleteFunc(slices.Clone(n.Ports), func(p *intent.LocalPort) bool { return p.VLAN == 102 })
	}
	gone, come, ok := Change(before, &after)
	if !ok || len(gone) == 0 {
		t.Fatalf("%d flows go, told by parts: %v", len(gone), ok)
	}
	for _, f := range slices.Concat(gone, come) {
		switch c := Cookie(f.Cookie); {
		case c.Kind() == KindNetwork && c.Object() == 78, c.Object() == 32 && c.Kind() != KindNetwork:
		default:
			t.Errorf("%v changes for it: %v", c, f)
		}
	}
}

// big is a cloud with a group of 10,000 members, a hundred of them here, that
// admits its own.
func big() *intent.State {
	s := intent.NewState()
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutGroup(bigGroup(), nil)
	for i := range uint32(100) {
		d := dpid + intent.DPID(i)
		s.PutHost(intent.Host{DPID: d, Slot: 1 + i, Tunnel: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, nil)
		block, err := mac.NewSegment(mac.Addr(0x020005000000+uint64(i)<<8), 40)
		if err != nil {
			panic(err)
		}
		s.PutHostSegment(intent.HostSegment{ID: fmt.Sprint(i), Num: 1 + i, Block: block, Host: d}, nil)
	}
	for i := range uint32(10_000) {
		s.PutPort(bigPort(i), nil)
	}
	return s
}

func bigGroup(more ...intent.Rule) intent.SecurityGroup {
	return intent.SecurityGroup{Meta: intent.Meta{ID: "all"}, Num: 1, Rules: append([]intent.Rule{
		{Num: 101, GroupID: "all", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "all"},
		{Num: 102, GroupID: "all", Direction: intent.Egress, EtherType: intent.IPv4},
	}, more...)}
}

func bigPort(i uint32) intent.Port {
	return intent.Port{
		Meta: intent.Meta{ID: fmt.Sprint("port-", i)}, Num: i, NetworkID: "blue", AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(i/100)<<8 + uint64(i%100)), SecurityGroups: []string{"all"},
		FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}},
		Binding:  intent.Binding{Host: (dpid + intent.DPID(i/100)).String(), PortNo: 1 + i%100},
	}
}

func bigView(s *intent.State) *intent.View {
	ports := make([]intent.SwitchPort, 200)
	for i := range ports {
		ports[i].No = uint32(i + 1)
	}
	ports = append(ports, intent.SwitchPort{No: 900, Name: intent.TunnelPort})
	return s.View(dpid, ports, intent.UnmanagedDrop)
}

func TestAChangeInALargeGroupIsAsSmallAsWhatChanged(t *testing.T) {
	t.Parallel()
	s := big()
	for _, c := range []struct {
		what  string
		apply func()
		most  int
	}{
		{"a rule more", func() {
			s.PutGroup(bigGroup(intent.Rule{Num: 103, GroupID: "all", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "all", Protocol: number(protoTCP)}), nil)
		}, 5},
		{"a member elsewhere more", func() { s.PutPort(bigPort(10_001), nil) }, 2},
		{"a member elsewhere less", func() { s.DeletePort("port-9999", nil) }, 2},
		{"nothing", func() {}, 0},
	} {
		before := bigView(s)
		c.apply()
		gone, come, ok := Change(before, bigView(s))
		plan := flow.Diff(flow.State{Flows: gone}, flow.State{Flows: come})
		if !ok || plan.Len() > c.most || c.most > 0 && plan.Empty() {
			t.Errorf("%s: %d flows change, want 1 to %d", c.what, plan.Len(), c.most)
		}
	}
}

// BenchmarkChange is a rule more in a group with 10,000 members, at a switch
// with 100 of them: what it costs to know the difference, and to compile it all anew.
func BenchmarkChange(b *testing.B) {
	s := big()
	before := bigView(s)
	flows := Flows(before)
	s.PutGroup(bigGroup(intent.Rule{Num: 103, GroupID: "all", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP)}), nil)
	b.Run("parts", func(b *testing.B) {
		for b.Loop() {
			Change(before, bigView(s))
		}
		b.ReportMetric(float64(len(flows)), "flows")
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			flow.Diff(flow.State{Flows: flows}, flow.State{Flows: Flows(bigView(s))})
		}
	})
}
