package guard

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var (
	start   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	alice   = mac.MustParse("02:00:00:00:00:0a")
	a, b, c = intent.Place{Switch: 1, Port: 1}, intent.Place{Switch: 1, Port: 2}, intent.Place{Switch: 2, Port: 1}
)

// jump moves a station back and forth, and returns what was found on the way.
func jump(d *detector, from time.Time, every time.Duration, n int, places ...intent.Place) (found []*Finding) {
	for i := range n {
		d.moved(from.Add(time.Duration(i)*every), alice, places[i%len(places)], places[(i+1)%len(places)])
		if f := d.judge(alice, intent.Place{}, PresetThreshold); f != nil {
			found = append(found, f)
		}
	}
	return found
}

func TestAStationThatJumpsIsFoundWithItsPlacesAndItsHomeIsSpared(t *testing.T) {
	t.Parallel()
	got := jump(newDetector(PresetThreshold), start, time.Second/12, 5, a, b, c)
	want := []*Finding{{MAC: alice, Home: a, Places: []intent.Place{a, b, c}, Culprits: []intent.Place{b, c}, Moves: 5, Since: start}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFewMovesOrSlowOnesAreNothing(t *testing.T) {
	t.Parallel()
	for name, found := range map[string][]*Finding{
		"a live migration": jump(newDetector(PresetThreshold), start, time.Second, 1, a, b),
		"one short":        jump(newDetector(PresetThreshold), start, time.Second, 4, a, b),
		"slow":             jump(newDetector(PresetThreshold), start, 2500*time.Millisecond, 1000, a, b),
	} {
		if len(found) > 0 {
			t.Errorf("%s: found %+v", name, found[0])
		}
	}
}

// Only moves of the last time count, wherever the periods of the detector begin, and however many
// others ask for.
func TestMovesCountForAsLongAsTheThresholdSays(t *testing.T) {
	t.Parallel()
	for _, widest := range []Threshold{PresetThreshold, {Moves: 1000, Within: time.Hour}} {
		for offset := range 20 {
			d := newDetector(widest)
			d.moved(start, 99, a, b) // begins the first period
			from := start.Add(time.Duration(offset) * time.Second)
			if found := jump(d, from, 2*time.Second, 5, a, b); len(found) != 1 {
				t.Errorf("5 moves in 8 s, from %d s on: %d findings", offset, len(found))
			}
			if found := jump(d, from.Add(time.Minute), 3*time.Second, 30, a, b); len(found) != 0 {
				t.Errorf("4 moves in 9 s, from %d s on: found %+v", offset, found[0])
			}
		}
	}
}

// Whatever moves, what is kept is bounded, and a home is no culprit.
func TestTheDetectorIsBounded(t *testing.T) {
	t.Parallel()
	d, r, now := newDetector(PresetThreshold), rand.New(rand.NewPCG(1, 2)), start
	for range 4 * tracked {
		now = now.Add(time.Duration(r.IntN(20)) * time.Microsecond)
		addr := mac.Addr(r.IntN(3 * tracked))
		d.moved(now, addr, a, []intent.Place{b, c}[r.IntN(2)])
		f := d.judge(addr, a, PresetThreshold)
		if f != nil && (slices.Contains(f.Culprits, f.Home) || len(f.Culprits) == 0) {
			t.Fatalf("%+v", f)
		}
	}
	if n := len(d.recent); n > tracked {
		t.Errorf("%d stations are kept, want %d at most", n, tracked)
	}
	few := newDetector(PresetThreshold)
	for range 100 {
		few.moved(now, alice, a, b) // nobody judges
	}
	if n := len(few.find(alice).moves); n > PresetThreshold.Moves {
		t.Errorf("%d moves of a station are kept", n)
	}
	d.moved(now.Add(PresetThreshold.Within), 1, a, b)
	d.moved(now.Add(2*PresetThreshold.Within), 1, b, a)
	if n := len(d.recent) + len(d.earlier); n > 2 {
		t.Errorf("%d stations are kept after they have settled", n)
	}
}

func TestBlocksDoubleForWhoeverRelapses(t *testing.T) {
	t.Parallel()
	set := Settings{Recovery: 10 * time.Minute}
	for _, c := range []struct {
		name   string
		before time.Duration
		since  time.Duration // since its end
		want   time.Duration
	}{
		{"the first", 0, 0, 10 * time.Minute},
		{"at once again", 10 * time.Minute, time.Second, 20 * time.Minute},
		{"again", 20 * time.Minute, 19 * time.Minute, 40 * time.Minute},
		{"as long as it may be", 23 * time.Hour, time.Second, 24 * time.Hour},
		{"no longer", 24 * time.Hour, time.Second, 24 * time.Hour},
		{"after good conduct", 20 * time.Minute, 20 * time.Minute, 10 * time.Minute},
	} {
		if got := set.Term(start, c.before, start.Add(-c.since)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What is set for a network holds there, what is not is as for all others, and what is not
// set for these is as at the start.
func TestSettingsOfANetworkComeBeforeThoseOfAllOthers(t *testing.T) {
	t.Parallel()
	others := intent.MACGuard{Moves: 7, Exempt: []mac.Segment{}}
	red := intent.MACGuard{NetworkID: "red", Action: intent.GuardBlockMAC, Window: time.Minute, Trusted: []intent.Place{a}}
	blue := intent.MACGuard{NetworkID: "blue", Recovery: time.Hour, Exempt: Virtual[:1], Moves: 2}
	for _, set := range [][]intent.MACGuard{{others, red, blue}, {blue, red, others}} {
		p := NewPolicy(Preset, set)
		wantOthers := Settings{Action: intent.GuardReport, Threshold: Threshold{7, 10 * time.Second}, Recovery: 10 * time.Minute, Exempt: []mac.Segment{}}
		wantRed, wantBlue := wantOthers, wantOthers
		wantRed.Action, wantRed.Threshold.Within, wantRed.Trusted = intent.GuardBlockMAC, time.Minute, []intent.Place{a}
		wantBlue.Recovery, wantBlue.Exempt, wantBlue.Threshold.Moves = time.Hour, Virtual[:1], 2
		for network, want := range map[string]Settings{"": wantOthers, "green": wantOthers, "red": wantRed, "blue": wantBlue} {
			if diff := cmp.Diff(want, p.For(network), cmp.AllowUnexported(mac.Segment{})); diff != "" {
				t.Errorf("settings of %q (-want +got):\n%s", network, diff)
			}
		}
		if want := (Threshold{7, time.Minute}); p.widest != want {
			t.Errorf("the widest threshold is %v, want %v", p.widest, want)
		}
	}
}
