package explain

import (
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Pool and backend are named, and an answer comes back from the virtual address.
func TestTheBackendOfAClientIsExplained(t *testing.T) {
	t.Parallel()
	w := town()
	w.state.PutPort(intent.Port{
		Meta: intent.Meta{ID: "p-vip", TenantID: "red", Name: "vip"}, Num: 30, NetworkID: "red", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:64"),
		FixedIPs: []intent.FixedIP{{Addr: ip("10.0.0.100")}},
	}, nil)
	pool := intent.AffinityPool{
		Meta: intent.Meta{ID: "pool", TenantID: "red", Name: "web"}, Num: 7, NetworkID: "red", VIPPortID: "p-vip", Protocol: intent.TransportTCP, Port: 8080,
		Affinity: intent.AffinityMAC, Timeout: 60, AdminUp: true,
		Backends: []intent.AffinityBackend{{Meta: intent.Meta{ID: "b", Name: "first", TenantID: "red"}, Num: 9, PortID: "p-web2", Port: 80, Weight: 1, State: intent.BackendUp}},
	}
	pool.Slots = intent.SpreadSlots(nil, pool.Weights())
	for _, c := range []struct {
		name   string
		change func()
		q      Question
		want   Verdict
		reply  Verdict
		words  []string
	}{
		{"a backend on another host", func() {}, Question{From: "p-web1", ToIP: ip("10.0.0.100"), Protocol: number(protoTCP), DstPort: 8080}, Delivered, Delivered,
			[]string{"port web2", "as backend first of affinity pool web", "remembers"}},
		{"by the port of the address", func() {}, Question{From: "p-web1", ToPort: "p-vip", Protocol: number(protoTCP), DstPort: 8080}, Delivered, Delivered, []string{"backend first"}},
		{"a port that no pool has", func() {}, Question{From: "p-web1", ToIP: ip("10.0.0.100"), Protocol: number(protoTCP), DstPort: 8081}, Dropped, "", []string{"port vip p-vip is DOWN"}},
		{"single connections", func() { pool.Affinity = intent.AffinityNone }, Question{From: "p-web1", ToIP: ip("10.0.0.100"), Protocol: number(protoTCP), DstPort: 8080}, Delivered, Delivered,
			[]string{"may choose another one"}},
		{"no backend", func() { pool.Backends[0].State = intent.BackendDown }, Question{From: "p-web1", ToIP: ip("10.0.0.100"), Protocol: number(protoTCP), DstPort: 8080}, Dropped, "",
			[]string{"no backend of the pool can serve"}},
	} {
		c.change()
		w.state.PutAffinityPool(pool, nil)
		a := ask(t, w, c.q)
		reply := Verdict("")
		if a.Reply != nil {
			reply = a.Reply.Verdict
		}
		if a.Verdict != c.want || reply != c.reply {
			t.Errorf("%s: %s, reply %q: %s\n%+v", c.name, a.Verdict, reply, a.Summary, a.Reply)
		}
		for _, words := range c.words {
			if !strings.Contains(a.Summary, words) {
				t.Errorf("%s: %s; want it to say %q", c.name, a.Summary, words)
			}
		}
		if strings.Contains(a.Summary, "pins") {
			t.Errorf("%s: %s; where pins are looked up nothing is dropped", c.name, a.Summary)
		}
		owners := map[string]bool{}
		for _, s := range a.Hops[0].Steps {
			owners[s.Owner.Kind] = true
		}
		if c.want == Delivered && (!owners["affinity_pool"] || !owners["affinity_backend"]) {
			t.Errorf("%s: the flows are of %v", c.name, owners)
		}
	}
}
