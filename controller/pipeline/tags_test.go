package pipeline

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
)

// tenant is a network of a web: its first port at each switch is at tap, or the one after it.
type tenant struct {
	id  string
	vni uint32
	tag uint16
	tap uint32
	on  []intent.DPID
}

// at is the place of the tenant's port at a switch.
func (n *tenant) at(d intent.DPID) fabric.End { return fabric.End{DPID: d, Port: n.tap} }

// port is the tenant's port at a switch; other tenants have the same addresses there.
func (n *tenant) port(d intent.DPID) intent.Port {
	num := 100*n.tap + uint32(d)
	return intent.Port{
		Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: n.id, AdminUp: true, SecurityGroups: []string{"all"},
		MAC: 0x020005000000 + mac.Addr(num), FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(d)})}},
		Binding: intent.Binding{Host: d.String(), PortNo: n.tap},
	}
}

// datagram is one from a port of the tenant to another.
func (n *tenant) datagram(from, to intent.DPID) softswitch.Frame {
	a, b := n.port(from), n.port(to)
	return softswitch.Frame{
		Src: a.MAC.Bytes(), Dst: b.MAC.Bytes(), IPSrc: a.FixedIPs[0].Addr, IPDst: b.FixedIPs[0].Addr, Proto: protoUDP, SrcPort: 1000, DstPort: 2000,
	}
}

// shout is an ARP request of a port of the tenant.
func (n *tenant) shout(from intent.DPID) softswitch.Frame {
	f := n.datagram(from, from)
	return softswitch.Frame{Src: f.Src, Dst: mac.Max.Bytes(), ARPOp: arpRequest, SHA: f.Src, IPSrc: f.IPSrc, IPDst: netip.AddrFrom4([4]byte{10, 0, 0, 200})}
}

// tenants are two with the same addresses, of which the second one is at every other
// switch only; and the state that they make.
func tenants(links []fabric.Link) (all []*tenant, s *intent.State) {
	numbers, s := map[intent.DPID]bool{}, intent.NewState()
	for _, l := range links {
		numbers[l.A.DPID], numbers[l.B.DPID] = true, true
	}
	blue, red := &tenant{"blue", 77, 5, tap, nil}, &tenant{"red", 78, 4094, tap + 1, nil}
	for i, d := range slices.Sorted(maps.Keys(numbers)) {
		s.PutHost(intent.Host{DPID: d, Slot: uint32(50 + i), Fabric: uint16(1 + i)}, nil)
		blue.on = append(blue.on, d)
		if i%2 == 0 || len(numbers) == 2 {
			red.on = append(red.on, d)
		}
	}
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "all"}, Num: 1, Rules: []intent.Rule{
		{Num: 1, GroupID: "all", Direction: intent.Egress, EtherType: intent.IPv4}, {Num: 2, GroupID: "all", Direction: intent.Ingress, EtherType: intent.IPv4},
	}}, nil)
	for _, n := range []*tenant{blue, red} {
		s.PutNetwork(intent.Network{Meta: intent.Meta{ID: n.id}, VNI: n.vni, AdminUp: true, VLAN: n.tag}, nil)
		for _, d := range n.on {
			s.PutPort(n.port(d), nil)
		}
	}
	return []*tenant{blue, red}, s
}

// reached counts the pairs of a tenant's ports that reach each other, and fails the test if
// a frame comes to somebody else or twice.
func (n *tenant) reached(w *web) (pairs int) {
	w.t.Helper()
	for _, from := range n.on {
		for _, to := range n.on {
			if from == to {
				continue
			}
			got, _ := w.follow(n.at(from), n.datagram(from, to).Bytes())
			if len(got) > 1 || len(got) == 1 && got[n.at(to)] != 1 {
				w.t.Fatalf("a frame of %s from %v to %v comes to %v", n.id, from, to, got)
			}
			pairs += got[n.at(to)]
		}
	}
	return pairs
}

// heard fails the test unless a frame comes to all other ports of the tenant, once each, and
// to nobody else.
func (n *tenant) heard(w *web, from intent.DPID, frame []byte, want ...intent.DPID) {
	w.t.Helper()
	all := map[fabric.End]int{}
	for _, d := range want {
		if d != from {
			all[n.at(d)] = 1
		}
	}
	if got, hops := w.follow(n.at(from), frame); !maps.Equal(got, all) {
		w.t.Errorf("a frame of %s for several from %v comes to (-want +got):\n%s", n.id, from, cmp.Diff(all, got))
	} else if hops > len(w.switches)-1 {
		w.t.Errorf("it passes %d links", hops)
	}
}

func TestTenantNetworksShareTheLinksOfAFabric(t *testing.T) {
	t.Parallel()
	for name, links := range webs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, s := tenants(links)
			w := newWebOf(t, links, s)
			for _, n := range all {
				pairs := len(n.on) * (len(n.on) - 1)
				if got := n.reached(w); got != pairs {
					t.Errorf("%d of %d pairs of %s reach each other", got, pairs, n.id)
				}
				for _, from := range n.on {
					n.heard(w, from, n.shout(from).Bytes(), n.on...)
				}
				for _, dead := range links {
					w.fail(dead)
					if got := n.reached(w); got != pairs {
						t.Errorf("with %v dead, %d of %d pairs of %s reach each other", dead, got, pairs, n.id)
					}
				}
				w.fail()
			}
			// Stations are not disturbed, nor do they hear of it.
			if n := w.reached(); n != len(w.switches)*(len(w.switches)-1) {
				t.Errorf("%d pairs of stations reach each other", n)
			}
			// By the very address of another tenant's port nobody gets there.
			blue, red := all[0], all[1]
			f := blue.datagram(1, 1)
			f.Dst = red.datagram(1, red.on[1]).Dst
			if got, hops := w.follow(blue.at(1), f.Bytes()); len(got) > 0 || hops > 0 {
				t.Errorf("a frame for a port of another tenant comes to %v by %d links", got, hops)
			}
		})
	}
}

// What stations send with a tag gets to stations, as it is, whichever priority it has, and to no
// port of the tenant network that has the tag.
func TestStationsDoNotGetIntoTenantNetworksByTheirTags(t *testing.T) {
	t.Parallel()
	links := webs()["ring of 4"]
	all, s := tenants(links)
	w := newWebOf(t, links, s)
	others := map[fabric.End]int{{DPID: 2, Port: tap + 1}: 1, {DPID: 4, Port: tap + 1}: 1} // red has no ports there
	for _, d := range []intent.DPID{2, 3, 4} {
		others[fabric.End{DPID: d, Port: host}] = 1
	}
	for _, n := range all {
		for dst, want := range map[mac.Addr]map[fabric.End]int{
			n.port(3).MAC: others, mac.Max: others, 0x0200000000ff: others,
			stationOf(3): {{DPID: 3, Port: host}: 1}, mac.Locator{Slot: 3, Number: 7}.Addr(): {},
		} {
			f := n.datagram(1, 3)
			f.Dst, f.VLAN = dst.Bytes(), n.tag
			for priority := range byte(8) {
				frame := f.Bytes()
				frame[14] |= priority << 5
				got, hops := w.follow(fabric.End{DPID: 1, Port: host}, frame)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("a frame to %v with the tag of %s and priority %d comes to (-want +got):\n%s", dst, n.id, priority, diff)
				}
				if dst == stationOf(3) && hops != 2 {
					t.Errorf("a frame with a tag passes %d links, and no shortest path", hops)
				}
			}
		}
		// Nor does it help to hide the tag below one without an id, or several.
		f := n.shout(1)
		f.VLAN = n.tag
		hidden := f.Bytes()
		for _, outer := range [][]byte{{0x81, 0, 0, 0}, {0x88, 0xa8, 0, 0}} {
			hidden = slices.Insert(hidden, 12, outer...)
			got, _ := w.follow(fabric.End{DPID: 1, Port: host}, hidden)
			if diff := cmp.Diff(others, got); diff != "" {
				t.Errorf("a frame with the tag of %s below another comes to (-want +got):\n%s", n.id, diff)
			}
		}
		got, _ := w.follow(fabric.End{DPID: 1, Port: host}, n.datagram(1, 3).Bytes())
		for _, d := range n.on {
			if got[n.at(d)] > 0 {
				t.Errorf("a frame without a tag comes to the port of %s at %v", n.id, d)
			}
		}
	}
}

// A frame with a tag of its own, which a port without port security may send, stays on
// its switch.
func TestTagsOfTenantsDoNotCrossTheFabric(t *testing.T) {
	t.Parallel()
	links := webs()["ring of 3"]
	all, s := tenants(links)
	blue := all[0]
	open, beside := blue.port(1), blue.port(9)
	open.Unguarded, open.SecurityGroups = true, nil
	beside.Unguarded, beside.SecurityGroups, beside.Binding = true, nil, intent.Binding{Host: intent.DPID(1).String(), PortNo: host}
	s.PutPort(open, nil)
	s.PutPort(beside, nil)
	w := newWebOf(t, links, s)
	for dst, want := range map[mac.Addr]map[fabric.End]int{
		blue.port(2).MAC: {}, mac.Max: {{DPID: 1, Port: host}: 1}, beside.MAC: {{DPID: 1, Port: host}: 1},
	} {
		f := blue.datagram(1, 2)
		f.Dst, f.VLAN = dst.Bytes(), all[1].tag
		if got, hops := w.follow(blue.at(1), f.Bytes()); hops > 0 || !maps.Equal(got, want) {
			t.Errorf("a tagged frame to %v comes to %v by %d links, want %v", dst, got, hops, want)
		}
	}
}

// What is for an address that several ports share goes to each that may speak as it.
func TestSharedAddressesAreReachedOverTheFabric(t *testing.T) {
	t.Parallel()
	links := webs()["ring of 5"]
	all, s := tenants(links)
	blue := all[0]
	virtual, nested := mac.MustParse("00:00:5e:00:01:07"), mac.MustParse("52:54:00:00:00:00")
	for _, d := range []intent.DPID{2, 4} {
		p := blue.port(d)
		p.Extras.Pairs = []intent.AddressPair{{Address: "10.0.0.100", MAC: virtual}, {Address: "10.9.0.0/24", MAC: nested, MACBits: 24}}
		s.PutPort(p, nil)
	}
	w := newWebOf(t, links, s)
	for _, dst := range []mac.Addr{virtual, nested + 9} {
		for _, from := range blue.on {
			f := blue.datagram(from, from)
			f.Dst, f.IPDst = dst.Bytes(), netip.MustParseAddr("10.0.0.100")
			blue.heard(w, from, f.Bytes(), 2, 4)
		}
	}
}

// More ports of a network at a switch than there are numbers are reached by the flood tree.
func TestPortsWithoutNumbersAreReachedByTheTree(t *testing.T) {
	t.Parallel()
	links := webs()["ring of 4"]
	all, s := tenants(links)
	blue := all[0]
	for i := range uint32(mac.MaxNumber) {
		p := blue.port(3)
		p.ID, p.Num, p.MAC, p.FixedIPs = fmt.Sprint("old-", i), 1+i, 0x020006000000+mac.Addr(i), nil
		p.Binding = intent.Binding{Host: intent.DPID(3).String(), InterfaceName: "none"}
		s.PutPort(p, nil)
	}
	w := newWebOf(t, links, s)
	if got := blue.reached(w); got != 12 {
		t.Errorf("%d of 12 pairs reach each other", got)
	}
	if _, hops := w.follow(blue.at(1), blue.datagram(1, 3).Bytes()); hops != 3 {
		t.Errorf("the frame passes %d links, and not the tree", hops)
	}
}
