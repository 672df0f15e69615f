package flow

import (
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// TestOVSReadsBackEveryField installs matches on every field in a real Open
// vSwitch and compares what it reports with what was meant: installed by us, and from our text by
// ovs-ofctl.
func TestOVSReadsBackEveryField(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	all := &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	for i, test := range []struct {
		name        string
		matches     [][]Field
		dumps, text bool // ovs-ofctl prints it as we do, and reads what we print
	}{
		{"fields", fieldMatches(), true, true},
		{"fields that ovs-ofctl does not print whole", fieldsLostInText(), false, true},
		{"fields that ovs-ofctl cannot read", fieldsWithoutWords(), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			bridge := "br" + string(rune('0'+i))
			want := flowsOf(7, test.matches)
			c := dial(t, ovs.AddBridge(bridge))
			for _, f := range want {
				c.send(t, f.Add())
			}
			c.barrier(t)
			compareFlows(t, want, c.flows(t, all))
			if test.dumps {
				compareText(t, want, dump(ovs, bridge))
			}
			for _, f := range want {
				c.send(t, f.DeleteStrict())
			}
			c.barrier(t)
			if left := c.flows(t, all); len(left) != 0 {
				t.Errorf("left after all were deleted: %v", left)
			}
			if test.text {
				ovs.Ofctl("add-flows", bridge, writeLines(t, want))
				compareFlows(t, want, c.flows(t, all))
			}
		})
	}
}

// TestEveryFieldIsTriedOnOVS holds the lists together with the table of fields.
func TestEveryFieldIsTriedOnOVS(t *testing.T) {
	t.Parallel()
	exactly, bitwisely := map[openflow.FieldID]bool{}, map[openflow.FieldID]bool{}
	for _, fields := range allFieldMatches() {
		for _, f := range fields {
			if f.Exact() {
				exactly[f.ID()] = true
			} else {
				bitwisely[f.ID()] = true
			}
		}
	}
	for _, n := range namings {
		f := number(n.id, n.id.Len(), 1)
		normalise(&f.oxm)
		if f.Exact() && !exactly[n.id] {
			t.Errorf("%s is not matched exactly", n.set)
		}
		if n.masks == bitwise && !bitwisely[n.id] {
			t.Errorf("%s is not matched with a mask", n.set)
		}
	}
}
