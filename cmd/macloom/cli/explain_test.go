package cli

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const explained = `{"explanation": {"verdict": "dropped", "summary": "dropped by table 41", "frame": "tcp/80 from here to there", "deliveries": [],
	"hops": [{"switch": "00000000000000b0", "host": "rack7", "entry": "by port web-1", "steps": [
		{"table": 0, "name": "classify", "from": null, "does": "on to guard", "flow": "table=0", "drops": null,
			"owner": {"kind": "port", "id": "p-1", "name": "web-1", "detail": "02:00:05:00:00:01", "security_group_id": null, "security_group_name": ""}},
		{"table": 11, "name": "egress-rules", "from": 0, "does": "keeps it", "flow": "table=11", "drops": null,
			"owner": {"kind": "security_group_rule", "id": "r-1", "name": "", "detail": "egress IPv4 to anywhere", "security_group_id": "g-1", "security_group_name": "web"}},
		{"table": 41, "name": "ingress-rules", "from": 1, "does": "no flow matches", "flow": null, "drops": "no rule", "owner": null}]}],
	"reply": {"verdict": "delivered", "summary": "delivered to port web-1", "hops": [], "deliveries": []}, "warnings": ["port p-2 is DOWN"]}}`

func TestAnExplanationIsShownTableByTable(t *testing.T) {
	t.Parallel()
	const from = "7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"
	s := newStandIn(t, map[string]string{
		"GET /ports?fields=id&name=db-1": `{"ports": [{"id": "7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b12", "name": "db-1"}]}`,
		"GET /explain?dst_port=80&from=" + from + "&protocol=tcp&to=7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b12":   explained,
		"GET /explain?from=" + from + "&to=10.0.0.9":                                                        explained,
		"GET /explain?from=" + from + "&src_mac=02%3A00%3A05%3A00%3A00%3A09&to=02%3A00%3A05%3A00%3A00%3A01": explained,
		"GET /explain?frame=0200&from=" + from:                                                              explained,
	})
	got := s.run("explain", "--from", from, "--to", "10.0.0.9")
	want := `tcp/80 from here to there

switch 00000000000000b0 rack7, entered by port web-1
TABLE             COMES FROM                                                        DOES
0 classify        port web-1 p-1                                                    on to guard
11 egress-rules   security group rule r-1 of group web: egress IPv4 to anywhere     keeps it
41 ingress-rules                                                                    DROP: no rule

dropped by table 41
the reply: delivered to port web-1
note: port p-2 is DOWN
`
	if diff := gocmp.Diff(squeeze(want), squeeze(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.run("explain", "--from", from, "--to", "0200.0500.0001", "--src-mac", "02:00:05:00:00:09")
	s.run("explain", "--from", from, "--frame", "0200")
	s.requests()
	if out := s.run("explain", "--from", from, "--to", "db-1", "--proto", "tcp", "--dport", "80", "-o", "json"); !strings.Contains(out, `"verdict": "dropped"`) {
		t.Errorf("json: %s", out)
	}
	if _, err := s.try("explain", "--from", from); err == nil || !strings.Contains(err.Error(), "--to") {
		t.Errorf("without --to: %v", err)
	}
}

// squeeze makes runs of blanks one, so that the widths of columns do not count.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestFlowsOfASwitchAreShownWithWhatTheyComeFrom(t *testing.T) {
	t.Parallel()
	const owner = `"owner": {"kind": "port", "id": "p-1", "name": "web-1", "detail": "", "security_group_id": null, "security_group_name": ""}`
	s := newStandIn(t, map[string]string{
		"GET /switches/00000000000000b0/flows": `{"flows": [{"object": "flow", "table": 2, "table_name": "guard", "priority": 5, "text": "table=2, actions=drop", ` + owner + `}]}`,
		"GET /switches/00000000000000b0/diff":  `{"diff": [{"change": "add", "object": "flow", "table": 2, "table_name": "guard", "priority": 5, "text": "table=2, actions=drop", ` + owner + `}]}`,
	})
	if diff := gocmp.Diff("COMES_FROM TEXT\nport web-1 p-1 table=2, actions=drop", squeeze(s.run("switch", "flows", "00000000000000b0"))); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff("CHANGE COMES_FROM TEXT\nadd port web-1 p-1 table=2, actions=drop", squeeze(s.run("switch", "diff", "00000000000000b0"))); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
}
