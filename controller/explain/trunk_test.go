package explain

import (
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// vm adds an instance with a trunk to the town: its own port and two sub-ports
// of red, and one of blue, on host 1.
func vm(w *world) *world {
	at := func(id, network string, num uint32, vlan uint16, ip0 string) {
		p := intent.Port{
			Meta: intent.Meta{ID: "p-" + id, TenantID: network, Name: id}, Num: num, NetworkID: network, AdminUp: true, SecurityGroups: []string{"g-web"},
			MAC: mac.Addr(0x020005010000 + uint64(num)), FixedIPs: []intent.FixedIP{{Addr: ip(ip0)}}, Binding: intent.Binding{Host: intent.DPID(1).String(), PortNo: 4},
			Trunk: intent.TrunkPlace{ID: "trunk", VLAN: vlan},
		}
		if vlan != 0 {
			p.Trunk.Parent = "p-vm"
		}
		w.state.PutPort(p, nil)
	}
	at("vm", "red", 50, 0, "10.0.0.50")
	at("red7", "red", 51, 7, "10.0.0.51")
	at("red8", "red", 52, 8, "10.0.0.52")
	at("blue9", "blue", 53, 9, "10.0.0.51")
	return w
}

func TestSubPortsAreNamedWithTheirTags(t *testing.T) {
	t.Parallel()
	w := vm(town())
	tcp := number(protoTCP)
	for _, c := range []struct {
		name    string
		q       Question
		verdict Verdict
		entry   string
		summary string
		replies string // summary of the reply
	}{
		{"to another host", Question{From: "p-red7", ToPort: "p-web2", Protocol: tcp, DstPort: 80}, Delivered,
			"by port red7 p-red7 with VLAN tag 7", "delivered to port web2 p-web2 on switch 0000000000000002", "delivered to port red7 p-red7 with VLAN tag 7 on switch 0000000000000001"},
		{"from another host", Question{From: "p-web2", ToPort: "p-red7", Protocol: tcp, DstPort: 80}, Delivered,
			"by port web2 p-web2", "delivered to port red7 p-red7 with VLAN tag 7 on switch 0000000000000001", "delivered to port web2 p-web2 on switch 0000000000000002"},
		{"to the parent", Question{From: "p-red7", ToPort: "p-vm"}, Delivered,
			"by port red7 p-red7 with VLAN tag 7", "delivered to port vm p-vm on switch 0000000000000001", "delivered to port red7 p-red7 with VLAN tag 7 on switch 0000000000000001"},
		{"to another sub-port", Question{From: "p-red7", ToPort: "p-red8"}, Delivered,
			"by port red7 p-red7 with VLAN tag 7", "delivered to port red8 p-red8 with VLAN tag 8 on switch 0000000000000001", "delivered to port red7 p-red7 with VLAN tag 7 on switch 0000000000000001"},
		{"to another network", Question{From: "p-blue9", ToPort: "p-web1"}, Dropped, "by port blue9 p-blue9 with VLAN tag 9", "dropped by table", ""},
		{"a rule that there is not", Question{From: "p-web2", ToPort: "p-red7", Protocol: tcp, DstPort: 81}, Dropped, "by port web2 p-web2", "dropped by table 42 ingress-rules", ""},
		{"the MAC of the parent", Question{From: "p-red7", ToPort: "p-web2", SrcMAC: mac.MustParse("02:00:05:01:00:32")}, Dropped,
			"by port red7 p-red7 with VLAN tag 7", "source MAC 02:00:05:01:00:32 is not the port's, which is 02:00:05:01:00:33", ""},
		{"to itself", Question{From: "p-red7", ToMAC: mac.MustParse("02:00:05:01:00:33")}, Dropped, "by port red7 p-red7 with VLAN tag 7", goesBack, ""},
	} {
		a := ask(t, w, c.q)
		if a.Verdict != c.verdict || !strings.Contains(a.Summary, c.summary) {
			t.Errorf("%s: %s: %s, want %s: %s", c.name, a.Verdict, a.Summary, c.verdict, c.summary)
		}
		if a.Hops[0].Entry != c.entry {
			t.Errorf("%s: enters %s, want %s", c.name, a.Hops[0].Entry, c.entry)
		}
		replies := ""
		if a.Reply != nil {
			replies = a.Reply.Summary
		}
		if replies != c.replies {
			t.Errorf("%s: the reply is %s, want %s", c.name, replies, c.replies)
		}
		for _, h := range a.Hops {
			for _, s := range h.Steps {
				if s.Owner.Kind == "" && s.Flow != "" {
					t.Errorf("%s: nobody owns %s", c.name, s.Flow)
				}
			}
		}
	}
	if d := ask(t, w, Question{From: "p-web2", ToPort: "p-red8"}).Deliveries; len(d) != 1 || d[0].Port != "p-red8" || d[0].VLAN != 8 {
		t.Errorf("deliveries %+v, want one to p-red8 with VLAN 8", d)
	}
}

func TestASubPortOfATrunkThatIsDownIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	w := vm(town())
	p, _ := w.state.Port("p-red7")
	p.Trunk.Down = true
	w.state.PutPort(p, nil)
	if a := ask(t, w, Question{From: "p-red7", ToPort: "p-web2"}); a.Verdict != Dropped || !strings.Contains(a.Summary, "the sub-port or its trunk is administratively down") {
		t.Errorf("%s: %s", a.Verdict, a.Summary)
	}
	w.state.DeletePort("p-vm", nil)
	if a := ask(t, w, Question{From: "p-red8", ToPort: "p-web2"}); a.Verdict != Dropped || !strings.Contains(a.Summary, "port p-vm, the parent of its trunk, has no port of switch") {
		t.Errorf("%s: %s", a.Verdict, a.Summary)
	}
}
