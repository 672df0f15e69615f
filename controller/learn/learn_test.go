package learn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/mac"
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	alice = mac.MustParse("02:00:00:00:00:0a")
	bob   = mac.MustParse("02:00:00:00:00:0b")
)

func learning(ports ...uint32) *Table {
	t := NewTable(0)
	t.SetPorts(ports)
	return t
}

func expect(t *testing.T, table *Table, at time.Duration, p Place, want Lesson, wantFrom uint32) {
	t.Helper()
	if got, from := table.Seen(start.Add(at), p); got != want || from != wantFrom {
		t.Errorf("after %v, %v at port %d: %v from %d, want %v from %d", at, p.MAC, p.Port, got, from, want, wantFrom)
	}
}

func TestAStationIsLearnedOnceAndAgainOnlyWhenItsFlowsAreMissing(t *testing.T) {
	t.Parallel()
	table := learning(1, 2)
	expect(t, table, 0, Place{alice, 1}, New, 0)
	expect(t, table, settle/2, Place{alice, 1}, Known, 0)
	expect(t, table, 2*settle, Place{alice, 1}, Again, 0)
	expect(t, table, 2*settle+1, Place{alice, 1}, Known, 0)
}

func TestAStationThatAppearsElsewhereHasMoved(t *testing.T) {
	t.Parallel()
	table := learning(1, 2)
	expect(t, table, 0, Place{alice, 1}, New, 0)
	expect(t, table, 1, Place{alice, 2}, Moved, 1)
	expect(t, table, 2, Place{alice, 2}, Known, 0)
}

func TestOnlyStationAddressesAtLearningPortsAreLearned(t *testing.T) {
	t.Parallel()
	table := learning(1)
	expect(t, table, 0, Place{alice, 2}, Ignored, 0)
	expect(t, table, 0, Place{mac.Max, 1}, Ignored, 0)
	expect(t, table, 0, Place{0, 1}, Ignored, 0)
	if n := len(table.stations); n != 0 {
		t.Errorf("%d stations learned, want none", n)
	}
}

func TestTheTableStopsLearningWhenFull(t *testing.T) {
	t.Parallel()
	table := learning(1)
	for i := range maxStations {
		expect(t, table, 0, Place{alice + mac.Addr(i), 1}, New, 0)
	}
	expect(t, table, 0, Place{bob + maxStations, 1}, Full, 0)
	expect(t, table, 1, Place{alice, 1}, Known, 0)
}

func TestAPortHasSoManyStations(t *testing.T) {
	t.Parallel()
	table := NewTable(2)
	table.SetPorts([]uint32{1, 2})
	expect(t, table, 0, Place{alice, 1}, New, 0)
	expect(t, table, 0, Place{bob, 1}, New, 0)
	expect(t, table, 0, Place{bob + 1, 1}, Limited, 0)
	expect(t, table, 0, Place{bob + 1, 2}, New, 0)
	expect(t, table, 0, Place{alice, 1}, Known, 0)
	// One that is elsewhere is not taken from there, but may leave.
	expect(t, table, 0, Place{bob + 1, 1}, Limited, 0)
	expect(t, table, 0, Place{bob, 2}, Moved, 1)
	expect(t, table, 0, Place{bob + 1, 1}, Moved, 2)
	expect(t, table, 0, Place{bob, 1}, Limited, 0)
}

// fill has a table with a limit of 2 learn alice and bob at port 1.
func fill(t *testing.T) *Table {
	t.Helper()
	table := NewTable(2)
	table.SetPorts([]uint32{1, 2})
	expect(t, table, 0, Place{alice, 1}, New, 0)
	expect(t, table, 0, Place{bob, 1}, New, 0)
	expect(t, table, 0, Place{bob + 1, 1}, Limited, 0)
	return table
}

func TestAPortLearnsAgainWhenStationsHaveGone(t *testing.T) {
	t.Parallel()
	whole := Halves{Source: true, Dest: true}
	for what, leave := range map[string]func(*Table){
		"expired":  func(table *Table) { table.Expired(start.Add(time.Hour), Place{bob, 1}) },
		"moved":    func(table *Table) { table.Seen(start, Place{alice, 2}) },
		"not held": func(table *Table) { table.Adopt(start.Add(time.Hour), map[Place]Halves{{bob, 1}: whole}) },
		"held half": func(table *Table) {
			table.Adopt(start.Add(time.Hour), map[Place]Halves{{bob, 1}: whole, {alice, 1}: {Dest: true}})
		},
		"elsewhere":     func(table *Table) { table.Forget(alice) },
		"the port left": func(table *Table) { table.SetPorts([]uint32{2}); table.SetPorts([]uint32{1, 2}) },
	} {
		table := fill(t)
		leave(table)
		if got, _ := table.Seen(start.Add(time.Hour), Place{bob + 1, 1}); got != New {
			t.Errorf("%s: %v", what, got)
		}
	}
	// What is taken over counts.
	table := NewTable(2)
	table.SetPorts([]uint32{1})
	table.Adopt(start, map[Place]Halves{{alice, 1}: whole, {bob, 1}: whole})
	expect(t, table, 0, Place{bob + 1, 1}, Limited, 0)
}

func TestAPauseIsAskedForOnceAndSeldomReported(t *testing.T) {
	t.Parallel()
	table := fill(t)
	for _, c := range []struct {
		at            time.Duration
		pause, report bool
	}{{0, true, true}, {settle / 2, false, false}, {settle, true, false}, {tellEvery - 1, true, false}, {tellEvery + settle, true, true}} {
		if pause, report := table.Pause(start.Add(c.at), 1); pause != c.pause || report != c.report {
			t.Errorf("after %v: pause %v, report %v", c.at, pause, report)
		}
	}
	if pause, _ := table.Pause(start, 2); !pause {
		t.Error("the pause of a port held up that of another")
	}
	if pause, _ := table.Pause(start, 9); pause {
		t.Error("a pause at a port that does not learn")
	}
}

func TestAnExpiredStationIsForgottenUnlessItsFlowsWereJustInstalledAnew(t *testing.T) {
	t.Parallel()
	table := learning(1, 2)
	expect(t, table, 0, Place{alice, 1}, New, 0)
	if table.Expired(start.Add(settle/2), Place{alice, 1}) {
		t.Error("forgotten although its flows were just sent")
	}
	if table.Expired(start.Add(time.Hour), Place{alice, 2}) {
		t.Error("forgotten because of a flow at a port where it no longer is")
	}
	if !table.Expired(start.Add(time.Hour), Place{alice, 1}) {
		t.Error("not forgotten")
	}
	expect(t, table, time.Hour, Place{alice, 1}, New, 0)
}

func TestStationsOfAPortThatNoLongerLearnsAreForgotten(t *testing.T) {
	t.Parallel()
	table := learning(1, 2)
	expect(t, table, 0, Place{bob, 2}, New, 0)
	expect(t, table, 0, Place{alice, 2}, New, 0)
	expect(t, table, 0, Place{alice + 8, 1}, New, 0)
	got := table.SetPorts([]uint32{1})
	if diff := cmp.Diff([]Place{{alice, 2}, {bob, 2}}, got); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
	expect(t, table, 1, Place{alice, 2}, Ignored, 0)
}

func TestAdoptTakesOverWholePlacesAndRemovesTheRest(t *testing.T) {
	t.Parallel()
	whole := Halves{Source: true, Dest: true}
	carol, dave := alice+16, alice+17
	table := learning(1, 2)
	expect(t, table, 0, Place{bob, 1}, New, 0)
	expect(t, table, 0, Place{dave, 1}, New, 0)
	now := start.Add(time.Minute)
	got := table.Adopt(now, map[Place]Halves{
		{alice, 1}: whole,          // unknown: taken over
		{bob, 1}:   whole,          // known: kept
		{bob, 2}:   {Source: true}, // where bob was before
		{carol, 2}: {Dest: true},   // its source flow has expired
		{alice, 3}: whole,          // port 3 does not learn
	})
	want := []Place{{alice, 3}, {bob, 2}, {carol, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	expect(t, table, time.Minute, Place{dave, 1}, New, 0) // its flows were gone
	if n := len(table.stations); n != 3 {
		t.Errorf("%d stations, want alice, bob and dave", n)
	}
}

func TestAdoptLeavesAStationAloneWhoseFlowsAreOnTheirWay(t *testing.T) {
	t.Parallel()
	table := learning(1, 2)
	expect(t, table, 0, Place{alice, 1}, New, 0)
	got := table.Adopt(start.Add(settle/2), map[Place]Halves{{alice, 2}: {Source: true}})
	if len(got) != 0 || len(table.stations) != 1 {
		t.Errorf("removed %v, %d stations left; want nothing changed", got, len(table.stations))
	}
}
