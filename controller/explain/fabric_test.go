package explain

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
)

// ring is a world with four switches in a ring, and a host with a tunnel, 9. Red has ports at
// switches 1, 2 and 3, and on the host; lone of red is at 4, which has lost its links.
type ring struct {
	*world
	links []fabric.Link
}

func newRing(tag uint16) *ring {
	w := &ring{world: &world{state: intent.NewState(), away: map[intent.DPID]bool{}, standings: map[string]Standing{}, compute: pipeline.Compute}}
	for d := intent.DPID(1); d <= 4; d++ {
		w.state.PutHost(intent.Host{DPID: d, Slot: uint32(d), Fabric: uint16(d)}, nil)
	}
	w.state.PutHost(intent.Host{DPID: 9, Slot: 9, Tunnel: netip.MustParseAddr("192.0.2.9")}, nil)
	end := func(d intent.DPID, port uint32) fabric.End { return fabric.End{DPID: d, Port: port} }
	w.links = []fabric.Link{fabric.Between(end(1, 10), end(2, 11)), fabric.Between(end(2, 10), end(3, 11)), fabric.Between(end(3, 10), end(1, 11))}
	w.state.PutNetwork(intent.Network{Meta: intent.Meta{ID: "red", TenantID: "red", Name: "front"}, VNI: 77, AdminUp: true, VLAN: tag}, nil)
	w.state.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "g", TenantID: "red", Name: "g"}, Num: 1, Rules: []intent.Rule{
		{Meta: intent.Meta{ID: "out"}, Num: 1, GroupID: "g", Direction: intent.Egress, EtherType: intent.IPv4},
		{Meta: intent.Meta{ID: "in"}, Num: 2, GroupID: "g", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoICMP)},
	}}, nil)
	for i, at := range []intent.DPID{1, 2, 3, 4, 9} {
		name := []string{"one", "two", "three", "lone", "far"}[i]
		w.state.PutPort(intent.Port{
			Meta: intent.Meta{ID: "p-" + name, TenantID: "red", Name: name}, Num: uint32(20 + i), NetworkID: "red", AdminUp: true, SecurityGroups: []string{"g"},
			MAC: mac.Addr(0x020005000010 + i), FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)})}},
			Binding: intent.Binding{Host: at.String(), PortNo: 1},
		}, nil)
	}
	return w
}

func (w *ring) Switch(d intent.DPID) (Switch, error) {
	ports := taps()
	if d != 9 {
		ports = append(taps()[1:], intent.SwitchPort{No: 10, Up: true}, intent.SwitchPort{No: 11, Up: true})
	}
	v := w.state.View(d, ports, intent.UnmanagedLearn)
	if d < 4 {
		slots := map[intent.DPID]uint16{1: 1, 2: 2, 3: 3, 4: 4}
		v.Groups, v.Links, v.Paths = true, []uint32{10, 11}, fabric.PathsOf(fabric.Paths(w.links, nil)[d], slots)
		v.Shut = map[intent.DPID][]uint32{1: {11}, 3: {10}}[d]
	}
	if d <= 4 {
		v.Slot = uint16(d)
	}
	return Switch{Connected: true, View: v, Desired: w.compute(v)}, nil
}

func (w *ring) Beyond(d intent.DPID, port uint32) (far intent.Place, linked bool) {
	for _, l := range w.links {
		for _, e := range [][2]fabric.End{{l.A, l.B}, {l.B, l.A}} {
			if e[0] == (fabric.End{DPID: d, Port: port}) {
				return intent.Place{Switch: e[1].DPID, Port: e[1].Port}, true
			}
		}
	}
	return far, false
}

func TestFramesAreFollowedOverAFabric(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		tag   uint16
		q     Question
		want  Verdict
		words string
		hops  int
		reply Verdict
	}{
		{"an echo", 5, Question{From: "p-one", ToPort: "p-two"}, Delivered, "delivered to port two p-two on switch 0000000000000002", 2, Delivered},
		{"an echo by the link that is not in the tree", 5, Question{From: "p-one", ToPort: "p-three"}, Delivered, "port three", 2, Delivered},
		{"what no rule of the receiver allows", 5, Question{From: "p-one", ToPort: "p-two", Protocol: number(protoTCP), DstPort: 80}, Dropped,
			"dropped by table 42 ingress-rules on switch 0000000000000002 because no ingress rule of group g allows tcp/80", 2, ""},
		{"a stolen address", 5, Question{From: "p-one", ToPort: "p-two", SrcIP: ip("10.0.0.99")}, Dropped, "guard on switch 0000000000000001", 1, ""},
		{"a broadcast", 5, Question{From: "p-one", ToMAC: mac.Max}, Delivered,
			"delivered to port two p-two on switch 0000000000000002, port three p-three on switch 0000000000000003", 3, ""},
		{"a network without a tag", 0, Question{From: "p-one", ToPort: "p-two"}, Dropped,
			"port two p-two is on another switch 0000000000000002 of the fabric, and its network has no VLAN tag for the links", 1, ""},
		{"a switch that no path leads to", 5, Question{From: "p-one", ToPort: "p-lone"}, Dropped, "dropped by table 32 paths on switch 0000000000000001 because no path leads to such a switch", 1, ""},
		{"a host with a tunnel", 5, Question{From: "p-one", ToPort: "p-far"}, Dropped,
			"port far p-far is on another switch 0000000000000009: switches of a fabric and hosts with tunnels do not reach each other", 1, ""},
		{"from a host with a tunnel", 5, Question{From: "p-far", ToPort: "p-one"}, Dropped, "switches of a fabric and hosts with tunnels do not reach each other", 1, ""},
	} {
		a := ask(t, newRing(c.tag), c.q)
		reply := Verdict("")
		if a.Reply != nil {
			reply = a.Reply.Verdict
		}
		if a.Verdict != c.want || !strings.Contains(a.Summary, c.words) || len(a.Hops) != c.hops || reply != c.reply {
			t.Errorf("%s: %s by %d switches, reply %q: %s\nwant %s by %d, reply %q: %s", c.name, a.Verdict, len(a.Hops), reply, a.Summary, c.want, c.hops, c.reply, c.words)
		}
	}
}

// Whose frames take the links is told; a tenant does not learn by which tags and locators.
func TestTheOwnersOfFlowsOfAFabricAreTold(t *testing.T) {
	t.Parallel()
	for _, tenant := range []bool{false, true} {
		q := Question{From: "p-one", ToPort: "p-two"}
		if tenant {
			q.Sees = func(id string) bool { return id == "red" }
		}
		a := ask(t, newRing(5), q)
		told := false
		for _, h := range a.Hops {
			for _, s := range h.Steps {
				told = told || s.Owner.Kind == "port" && s.Owner.ID == "p-two" && s.Name == "exact" && s.Owner.Detail != "" && h.Switch == 1
				if tenant && (strings.Contains(s.Does, "vlan") || strings.Contains(s.Does, "d2:5d:5c")) {
					t.Errorf("a tenant is told %q", s.Does)
				}
			}
		}
		if told == tenant {
			t.Errorf("the flow that leads to the other switch is told whole: %v, to a tenant: %v\n%+v", told, tenant, a.Hops)
		}
	}
	b := ask(t, newRing(5), Question{From: "p-one", ToMAC: mac.Max})
	network := false
	for _, h := range b.Hops {
		for _, s := range h.Steps {
			network = network || s.Name == "tags" && s.Owner.ID == "red" && s.Owner.Detail == "VLAN 5"
		}
	}
	if !network {
		t.Errorf("the network of the tag is not told: %+v", b.Hops)
	}
}
