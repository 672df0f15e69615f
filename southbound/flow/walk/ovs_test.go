package walk

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

var (
	hitLine    = regexp.MustCompile(`^\s*(\d+)\. (?:.*, )?priority (\d+)`)
	actionLine = regexp.MustCompile(`^Datapath actions: (.*)`)
	portLine   = regexp.MustCompile(`(?m)^\s+p(\d+) (\d+)/(\d+):`)
)

// oracle is a real Open vSwitch with some ports.
type oracle struct {
	*ovstest.OVS
	t     *testing.T
	ports map[string]uint32 // by the numbers of the datapath
}

func newOracle(t *testing.T, ports ...uint32) *oracle {
	t.Helper()
	o := &oracle{OVS: ovstest.Start(t), t: t, ports: map[string]uint32{}}
	var more []string
	for _, no := range ports {
		name := fmt.Sprint("p", no)
		more = append(more, "--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy", fmt.Sprint("ofport_request=", no))
	}
	o.AddBridge("br0", more...)
	for _, m := range portLine.FindAllStringSubmatch(o.Run("ovs-appctl", "dpif/show"), -1) {
		no, err := strconv.ParseUint(m[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		o.ports[m[3]] = uint32(no)
	}
	return o
}

// trace puts a state in the place of what there is, and asks ofproto/trace for the
// tables and priorities that a frame at port 1 hits, and the ports that it leaves by.
func (o *oracle) trace(s flow.State, f Frame) (hits []string, ports []uint32) {
	o.t.Helper()
	for _, command := range []string{"del-flows", "del-groups", "del-meters"} {
		o.Ofctl(command, "br0")
	}
	for _, m := range s.Meters {
		o.Ofctl("add-meter", "br0", m.String())
	}
	for _, g := range s.Groups {
		o.Ofctl("add-group", "br0", g.String())
	}
	var lines strings.Builder
	for _, f := range s.Flows {
		lines.WriteString(f.String() + "\n")
	}
	path := o.Path("flows")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.Ofctl("add-flows", "br0", path)
	text := o.Run("ovs-appctl", "ofproto/trace", "br0", "in_port=1", hex.EncodeToString(f.Bytes()))
	for line := range strings.Lines(text) {
		if m := hitLine.FindStringSubmatch(line); m != nil {
			hits = append(hits, m[1]+"/"+m[2])
		} else if m := actionLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			for _, a := range strings.Split(m[1], ",") {
				if no, ok := o.ports[strings.TrimSuffix(a, ")")]; ok {
					ports = append(ports, no)
				}
			}
		}
	}
	slices.Sort(ports)
	return hits, ports
}

// The cases of this package go the same way in Open vSwitch.
func TestFramesTakeTheSameWayInOpenVSwitch(t *testing.T) {
	t.Parallel()
	cases := slices.Clone(actionCases)
	for _, c := range conjunctionCases() {
		cases = append(cases, actionCase{name: c.name, flows: conjunctions, frame: c.frame})
	}
	o := newOracle(t, 1, 2, 3, 5, 7, 8, 9, 20, 22, 23)
	for _, c := range cases {
		if strings.Contains(c.flows, "type=ff") || strings.Contains(c.flows, "type=select") || strings.Contains(c.flows, "flood") {
			// Which ports live, and which there are, the other test makes up; and what a
			// select group hashes, a trace does not know.
			continue
		}
		s := state(t, c.flows)
		trace, err := New(s).Walk(Arrival{Port: 1, Frame: c.frame.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		var hits []string
		var ports []uint32
		for i := range trace.Steps {
			if step := &trace.Steps[i]; step.Hit {
				hits = append(hits, fmt.Sprintf("%d/%d", step.Table, step.Flow.Priority))
			}
		}
		for _, out := range trace.Outputs {
			if out.Port != openflow.PortController {
				ports = append(ports, out.Port)
			}
		}
		slices.Sort(ports)
		gotHits, gotPorts := o.trace(s, c.frame)
		if diff := cmp.Diff(gotHits, hits); diff != "" {
			t.Errorf("%s: flows hit (-Open vSwitch +walk):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(gotPorts, ports); diff != "" {
			t.Errorf("%s: ports (-Open vSwitch +walk):\n%s", c.name, diff)
		}
	}
}
