package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
)

// What the commands say of a host is what it holds and does.
func TestTheCommandsSayWhatHostsHoldAndDo(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	network := c.network("red", "front", "10.0.0.0/24")
	web, db := all[0].boot("web", "red", network, "10.0.0.1", true), all[1].boot("db", "red", network, "10.0.0.2", true)
	group := c.create("security-groups", "security_group", map[string]any{"name": "db", "tenant_id": "red"})["id"].(string)
	rule := c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": group, "tenant_id": "red", "direction": "ingress", "protocol": "tcp", "port_range_min": 5432, "port_range_max": 5432,
	})["id"].(string)
	c.ctl.CLI("port", "set", "db", "--security-group", "db")
	c.comes(web, db, false)

	c.explains(web, "to="+db.portID(), false)
	text := c.ctl.CLI("explain", "--from", "web", "--to", "10.0.0.2", "--proto", "tcp", "--dport", "5432")
	for _, want := range []string{
		"switch " + all[0].bridge.DPID, "entered by port web " + web.portID(), "switch " + all[1].bridge.DPID, "entered by the tunnel", "port db " + db.portID(),
		"security group rule " + rule + " of group db: ingress IPv4 tcp 5432 from anywhere",
		"\ndelivered to port db " + db.portID() + " on switch " + all[1].bridge.DPID + "\nthe reply: delivered to port web " + web.portID(),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	t.Log(text)
	text = c.ctl.CLI("explain", "--from", "web", "--to", "db", "--proto", "tcp", "--dport", "80")
	if want := "dropped by table 42 ingress-rules on switch " + all[1].bridge.DPID + " because no ingress rule of group db allows tcp/80 of IPv4 from 10.0.0.1"; !strings.Contains(text, want) {
		t.Errorf("%q is not in\n%s", want, text)
	}
	t.Log(text)

	for _, s := range all {
		var want []string
		for line := range strings.Lines(c.ctl.CLI("switch", "flows", s.bridge.DPID, "--columns", "text", "--no-headers")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "cookie") {
				want = append(want, strings.Replace(line, "table=0, ", "", 1))
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, s.intended()); diff != "" {
			t.Errorf("flows of %s (-said +held):\n%s", s.bridge.DPID, diff)
		}
		if diff := c.ctl.CLI("switch", "diff", s.bridge.DPID, "--no-headers"); diff != "" {
			t.Errorf("to be changed in a host that is right:\n%s", diff)
		}
	}
	t.Log(c.ctl.CLI("switch", "flows", all[0].bridge.DPID))

	// A host that cannot be asked is explained by what it was last, and not compared.
	// Its manager would give it its controller back.
	all[1].lab.Vsctl("del-manager")
	c.awaitSwitch("the host to be without its manager", "?id="+all[1].bridge.DPID, func(sw map[string]any) bool { return sw["ovsdb_connected"] == false })
	all[1].lab.Vsctl("del-controller", all[1].bridge.Name)
	c.awaitSwitch("the host to be away", "?id="+all[1].bridge.DPID, func(sw map[string]any) bool { return sw["connected"] == false })
	got := c.explain(web, "protocol=tcp&dst_port=5432&to="+db.portID())
	if got.Verdict != "delivered" || !slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.Contains(w, "not connected") }) {
		t.Errorf("with a host that is away: %+v", got)
	}
	if got := web.Ping(db.ip, lab.PingOptions{Count: 1}); got.Received != 0 {
		t.Errorf("a ping passes, which no rule allows: %v", got)
	}
}
