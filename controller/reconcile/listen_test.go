package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// packetIn is a frame from a station at a port, as the learning table sends it.
func packetIn(no uint32, station mac.Addr) *openflow.PacketIn {
	src := station.Bytes()
	data := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src[:]...)
	data = append(data, 0x08, 0x06, 0, 0)
	return &openflow.PacketIn{
		BufferID: openflow.NoBuffer, TotalLen: uint16(len(data)), TableID: 8, Data: data,
		Cookie: uint64(pipeline.NewCookie(pipeline.KindTable, 8)),
		Match:  openflow.NewMatch(flow.InPort(no).OXM()),
	}
}

// learnedAt says which halves of a station's place the switch holds.
func learnedAt(t *testing.T, sw *switchtest.Switch, no uint32, station mac.Addr) (source, dest bool) {
	flows := held(t, sw)
	s, d := pipeline.LearnedSource(no, station), pipeline.LearnedDest(no, station)
	return at(flows, s.Key()) == s, at(flows, d.Key()) == d
}

func awaitLearned(t *testing.T, sw *switchtest.Switch, no uint32, station mac.Addr, want bool) {
	t.Helper()
	sw.Await(t, fmt.Sprintf("learned %v at %d: %v", station, no, want), func() bool {
		source, dest := learnedAt(t, sw, no, station)
		return source == want && dest == want
	})
}

func TestAStationIsLearnedMovesAndAgesAsAWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	station := mac.MustParse("02:00:00:00:00:0a")
	sw.Send(t, packetIn(1, station))
	awaitLearned(t, sw, 1, station, true)

	flowMods := counted(sw)
	sw.Send(t, packetIn(1, station))
	sw.Send(t, packetIn(2, station))
	awaitLearned(t, sw, 2, station, true)
	sw.Await(t, "the source flow at port 1 to go", func() bool {
		source, _ := learnedAt(t, sw, 1, station)
		return !source
	})
	if got := flowMods(); got != 3 {
		t.Errorf("%d flow-mods for a move, want 3: remove, destination, source", got)
	}

	for _, half := range []flow.Flow{pipeline.LearnedSource(2, station), pipeline.LearnedDest(2, station)} {
		r.advance(time.Hour)
		if err := sw.Expire(openflow.RemovedIdleTimeout, func(s openflow.FlowStats) bool {
			f, err := flow.FromStats(s)
			return err == nil && f == half
		}); err != nil {
			t.Fatal(err)
		}
		awaitLearned(t, sw, 2, station, false)
		sw.Send(t, packetIn(2, station))
		awaitLearned(t, sw, 2, station, true)
	}
}

func TestANewControllerTakesOverWhatTheSwitchHasLearned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	station, other := mac.MustParse("02:00:00:00:00:0a"), mac.MustParse("02:00:00:00:00:0b")
	sw.Send(t, packetIn(1, station))
	awaitLearned(t, sw, 1, station, true)
	sw.Send(t, packetIn(2, other))
	awaitLearned(t, sw, 2, other, true)

	r.stop()
	sw.Disconnect()
	// While nobody listens, one station's source flow ages away.
	if err := sw.Expire(openflow.RemovedIdleTimeout, func(s openflow.FlowStats) bool {
		f, err := flow.FromStats(s)
		return err == nil && f == pipeline.LearnedSource(2, other)
	}); err != nil {
		t.Fatal(err)
	}
	flowMods := counted(sw)
	r.restart(sw)
	awaitLearned(t, sw, 2, other, false)
	awaitLearned(t, sw, 1, station, true)
	if got := flowMods(); got != 2 {
		t.Errorf("%d flow-mods, want 2: the incomplete station's, and none for the whole one", got)
	}
	sw.Send(t, packetIn(3, station))
	awaitLearned(t, sw, 3, station, true)
}

func TestABoundPortForgetsItsStationsAndLearnsNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	station := mac.MustParse("02:00:00:00:00:0a")
	sw.Send(t, packetIn(1, station))
	awaitLearned(t, sw, 1, station, true)
	r.change(plugged(1))
	awaitLearned(t, sw, 1, station, false)
	sw.Send(t, packetIn(1, station))
	sw.Send(t, packetIn(2, mac.MustParse("02:00:00:00:00:0b")))
	awaitLearned(t, sw, 2, mac.MustParse("02:00:00:00:00:0b"), true)
	awaitLearned(t, sw, 1, station, false)
}
