package learn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

func everywhere(intent.DPID) bool { return true }
func nowhere(intent.DPID) bool    { return false }

// known is a directory in which alice is at switch 1, and switches 2 and 3 send to her.
func known(t *testing.T) (*Directory, Target) {
	t.Helper()
	d := NewDirectory()
	if left, tell := d.Learned(start, 1, alice, everywhere); len(left)+len(tell) != 0 {
		t.Errorf("a new station left %v and concerns %v", left, tell)
	}
	to, ok := d.Sought(start, 2, alice, everywhere)
	again, ok2 := d.Sought(start, 3, alice, everywhere)
	if !ok || !ok2 || to != again || to.At != 1 {
		t.Fatalf("found at %v, %v and %v, %v", to, ok, again, ok2)
	}
	return d, to
}

func directed(t *testing.T, d *Directory, want map[intent.DPID]intent.DPID) {
	t.Helper()
	for sender, home := range want {
		if to, ok := d.Direction(sender, alice); to.At != home || ok != (home != 0) {
			t.Errorf("switch %v sends to %v, want %v", sender, to, home)
		}
	}
}

func TestAStationIsFoundWhereItWasLearned(t *testing.T) {
	t.Parallel()
	d, to := known(t)
	for name, f := range map[string]func() (Target, bool){
		"another station": func() (Target, bool) { return d.Sought(start, 2, bob, everywhere) },
		"no way":          func() (Target, bool) { return d.Sought(start, 4, alice, nowhere) },
		"itself":          func() (Target, bool) { return d.Sought(start, 1, alice, everywhere) },
	} {
		if to, ok := f(); ok {
			t.Errorf("%s: found at %v", name, to)
		}
	}
	if n, ok := d.Number(1, alice); !ok || n != to.Number {
		t.Errorf("number %d, %v", n, ok)
	}
	d.Learned(start, 1, bob, everywhere)
	if other, ok := d.Sought(start, 2, bob, everywhere); !ok || other.Number == to.Number {
		t.Errorf("another station is found at %v, %v", other, ok)
	}
}

func TestWhoSendsToAStationIsToldThatItMoved(t *testing.T) {
	t.Parallel()
	d, _ := known(t)
	left, tell := d.Learned(start, 3, alice, everywhere)
	if diff := cmp.Diff([][]intent.DPID{{1}, {2, 3}}, [][]intent.DPID{left, tell}); diff != "" {
		t.Errorf("left, concerned (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 3, 3: 0})
	if tell := d.Left(1, alice); len(tell) > 0 {
		t.Errorf("%v are concerned by where it was", tell)
	}
	if diff := cmp.Diff([]intent.DPID{2}, d.Left(3, alice)); diff != "" {
		t.Errorf("concerned by its end (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 0})
	if to, ok := d.Sought(start, 2, alice, everywhere); ok {
		t.Errorf("found at %v", to)
	}
}

func TestFabricsThatAreNotConnectedMayHaveTheSameStation(t *testing.T) {
	t.Parallel()
	d, _ := known(t)
	if left, tell := d.Learned(start, 9, alice, nowhere); len(left)+len(tell) != 0 {
		t.Errorf("it left %v and concerns %v", left, tell)
	}
	if to, ok := d.Sought(start, 8, alice, func(home intent.DPID) bool { return home == 9 }); !ok || to.At != 9 {
		t.Errorf("found at %v, %v", to, ok)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 1, 3: 1, 8: 9})
}

func TestANumberIsKeptWhileSomebodyUsesIt(t *testing.T) {
	t.Parallel()
	d, to := known(t)
	if a, wanted := d.Released(to); !wanted || a != alice {
		t.Errorf("%v, %v: it is used by two", a, wanted)
	}
	d.Unused(2, alice)
	d.Unused(3, alice)
	if a, wanted := d.Released(to); wanted {
		t.Errorf("%v is wanted", a)
	}
	if again, ok := d.Sought(start, 2, alice, everywhere); !ok || again.Number == to.Number {
		t.Errorf("found at %v, %v: a number that was just released comes last", again, ok)
	}
}

func TestNumbersEnd(t *testing.T) {
	t.Parallel()
	d, n := NewDirectory(), 0
	for i := range mac.Addr(mac.MaxNumber + 10) {
		d.Learned(start, 1, 0x10000+i, everywhere)
		if _, ok := d.Sought(start, 2, 0x10000+i, everywhere); ok {
			n++
		}
	}
	if n != mac.MaxNumber+1 {
		t.Errorf("%d stations got numbers, want %d", n, mac.MaxNumber+1)
	}
}

func TestANewDirectoryLearnsFromTheSwitches(t *testing.T) {
	t.Parallel()
	_, to := known(t)
	home := Held{Stations: []mac.Addr{alice}, Numbers: map[uint16]mac.Addr{to.Number: alice}}
	sender := Held{Ways: map[mac.Addr]Target{alice: to}}
	for name, order := range map[string][]intent.DPID{"home first": {1, 2, 3}, "home last": {2, 3, 1}} {
		d := NewDirectory()
		for range 2 {
			for _, id := range order {
				held := sender
				if id == 1 {
					held = home
				}
				if lacks, tell := d.Adopt(start.Add(time.Hour), id, held); len(lacks)+len(tell) != 0 {
					t.Errorf("%s: switch %v lacks %v, and %v are to be told", name, id, lacks, tell)
				}
			}
		}
		directed(t, d, map[intent.DPID]intent.DPID{2: 1, 3: 1})
		if again, ok := d.Sought(start, 4, alice, everywhere); !ok || again != to {
			t.Errorf("%s: found at %v, %v; want %v", name, again, ok, to)
		}
	}
}

func TestWhatASwitchWasFoundToHoldIsPutRight(t *testing.T) {
	t.Parallel()
	later := start.Add(time.Hour)
	d, _ := known(t)
	lacks, tell := d.Adopt(later, 1, Held{Stations: []mac.Addr{alice}}) // it lost its flows
	if diff := cmp.Diff([]mac.Addr{alice}, lacks); diff != "" || len(tell) > 0 {
		t.Errorf("lacks (-want +got):\n%s\nto be told: %v", diff, tell)
	}

	d, _ = known(t)
	d.Adopt(later, 2, Held{}) // what it was told is lost
	directed(t, d, map[intent.DPID]intent.DPID{2: 0, 3: 1})
	d, _ = known(t)
	d.Adopt(start, 2, Held{}) // it may not have got it yet
	directed(t, d, map[intent.DPID]intent.DPID{2: 1})

	d, _ = known(t)
	_, tell = d.Adopt(later, 1, Held{}) // she is not there any more
	if diff := cmp.Diff(map[intent.DPID][]mac.Addr{2: {alice}, 3: {alice}}, tell); diff != "" {
		t.Errorf("to be told (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 0, 3: 0})

	d, to := known(t)
	d.Learned(start, 4, alice, everywhere)
	_, tell = d.Adopt(later, 5, Held{Ways: map[mac.Addr]Target{alice: to}}) // it was away when she moved
	if diff := cmp.Diff(map[intent.DPID][]mac.Addr{5: {alice}}, tell); diff != "" {
		t.Errorf("to be told (-want +got):\n%s", diff)
	}

	d, to = known(t)
	_, tell = d.Adopt(later, 1, Held{Stations: []mac.Addr{alice, bob}, Numbers: map[uint16]mac.Addr{to.Number: bob}}) // bob has her number
	if diff := cmp.Diff(map[intent.DPID][]mac.Addr{2: {alice}, 3: {alice}}, tell); diff != "" {
		t.Errorf("to be told (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 0, 3: 0})
}

func TestASwitchThatIsForgottenHasNoStations(t *testing.T) {
	t.Parallel()
	d, _ := known(t)
	d.Forget(1)
	d.Forget(2)
	if to, ok := d.Sought(start, 3, alice, everywhere); ok {
		t.Errorf("found at %v", to)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 0})
}

// Who cannot reach the switch of a station looks for it, as it may be elsewhere by now.
func TestWhoHasNoPathToAStationForgetsWhereItIs(t *testing.T) {
	t.Parallel()
	d, _ := known(t)
	from3 := func(to intent.DPID) bool { return to != 1 }
	if diff := cmp.Diff([]mac.Addr{alice}, d.Unreached(3, from3)); diff != "" {
		t.Errorf("to be told (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{2: 1, 3: 0})
	if again := d.Unreached(3, from3); len(again) > 0 {
		t.Errorf("told again of %v", again)
	}
	d.Learned(start, 4, alice, from3)
	if to, ok := d.Sought(start, 3, alice, from3); !ok || to.At != 4 {
		t.Errorf("found at %v, %v", to, ok)
	}
}
