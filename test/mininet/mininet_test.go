package mininet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
	"github.com/macloom/macloom/test/mininet"
)

// The harness itself, with switches that forward without a controller.
func TestPingAllReportsEveryRound(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	var after []int
	got := mininet.PingAll(t, l, mininet.Options{
		Topology: "linear,2", Controller: "none", Rounds: 2, After: func(round int) { after = append(after, round) },
		Args: []string{"--switch", "ovsk,datapath=user,failMode=standalone"},
	})
	want := []mininet.Round{{Received: 2, Sent: 2}, {Received: 2, Sent: 2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rounds (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{1}, after); d != "" {
		t.Errorf("pauses (-want +got):\n%s", d)
	}
}
