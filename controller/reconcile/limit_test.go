package reconcile

import (
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// flood are stations that somebody makes up.
const flood mac.Addr = 0x02f000000000

// paused says whether a port causes no packet-ins, as its flow is in the switch.
func paused(t *testing.T, sw *switchtest.Switch, no uint32) bool {
	t.Helper()
	want := pipeline.PauseLearning(no)
	return at(held(t, sw), want.Key()) == want
}

func pauses(t *testing.T, r *rig) int {
	t.Helper()
	var metric dto.Metric
	if err := r.metrics.limited.Write(&metric); err != nil {
		t.Fatal(err)
	}
	return int(metric.GetCounter().GetValue())
}

func TestAFloodAtOnePortIsLimitedAndOthersLearn(t *testing.T) {
	t.Parallel()
	const most = 50
	r := newRig(t, func(c *Config) { c.MaxMACs = most })
	sw := connect(t, r, 3)
	for i := range mac.Addr(10 * most) {
		sw.Send(t, packetIn(1, flood+i))
	}
	sw.Await(t, "a pause", func() bool { return paused(t, sw, 1) })
	other := mac.MustParse("02:00:00:00:00:0b")
	sw.Send(t, packetIn(2, other))
	awaitLearned(t, sw, 2, other, true)

	learned := 0
	for _, f := range held(t, sw) {
		if half, port, _ := pipeline.ParseLearned(f.Key(), pipeline.Cookie(f.Cookie)); half == pipeline.SourceHalf && port == 1 {
			learned++
		}
	}
	if n := r.reconciler.Stations(); learned != most || n != most+1 {
		t.Errorf("%d stations at the port and %d in all, want %d and one more", learned, n, most)
	}
	if n := pauses(t, r); n != 1 || paused(t, sw, 2) {
		t.Errorf("%d pauses, want one at port 1", n)
	}
	if n := r.logs.FilterMessageSnippet("no more stations are learned").Len(); n != 1 {
		t.Errorf("%d reports, want one", n)
	}

	// A station goes, and another takes its place; known ones go on all the while.
	r.advance(time.Minute)
	gone := pipeline.LearnedSource(1, flood)
	if err := sw.Expire(openflow.RemovedIdleTimeout, func(s openflow.FlowStats) bool {
		f, err := flow.FromStats(s)
		return err == nil && f == gone
	}); err != nil {
		t.Fatal(err)
	}
	awaitLearned(t, sw, 1, flood, false)
	late := flood + 20*most
	sw.Send(t, packetIn(1, late))
	awaitLearned(t, sw, 1, late, true)
	awaitLearned(t, sw, 1, flood+1, true)
}

// A pause is no intent: it is neither repaired nor removed, and a new controller
// leaves it to its end.
func TestAPauseIsLeftToItsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxMACs = 1 })
	sw := connect(t, r, 3)
	sw.Send(t, packetIn(1, flood))
	sw.Send(t, packetIn(1, flood+1))
	sw.Await(t, "a pause", func() bool { return paused(t, sw, 1) })
	flowMods := counted(sw)
	r.restart(sw)
	if n := flowMods(); n != 0 || !paused(t, sw, 1) {
		t.Errorf("a restart sent %d flow-mods; paused: %v", n, paused(t, sw, 1))
	}
	// The new one knows how many the port has.
	sw.Send(t, packetIn(1, flood+1))
	sw.Await(t, "another pause", func() bool { return pauses(t, r) == 1 })
	if slices.ContainsFunc(held(t, sw), func(f flow.Flow) bool { return f == pipeline.LearnedSource(1, flood+1) }) {
		t.Error("more was learned than may be")
	}
}
