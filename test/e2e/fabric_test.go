package e2e

import (
	"testing"

	"github.com/macloom/macloom/test/lab"
	"github.com/macloom/macloom/test/mininet"
)

// Mininet topologies ping through macloom as they come, and what has been
// learned in the first round reaches the controller no more in the second.
func TestMininetTopologiesPing(t *testing.T) {
	t.Parallel()
	for _, topology := range []string{"tree,2", "linear,8", "tree,3", "torus,3,3"} {
		t.Run(topology, func(t *testing.T) {
			l := lab.New(t)
			ctl := l.Controller(lab.ControllerOptions{})
			learned := func() float64 { return ctl.Metric("macloom_learn_packet_ins_total") } // whatever they caused
			var first float64
			rounds := mininet.PingAll(t, l, mininet.Options{Topology: topology, Rounds: 2, After: func(int) { first = learned() }})
			for i, r := range rounds {
				if r.Dropped != 0 {
					t.Errorf("round %d: %v %% dropped (%d of %d received)", i+1, r.Dropped, r.Received, r.Sent)
				}
			}
			if first == 0 {
				t.Error("no packet-in in the first round")
			}
			if second := learned(); second != first {
				t.Errorf("%v packet-ins after the first round, %v after the second: known pairs reached the controller", first, second)
			}
		})
	}
}
