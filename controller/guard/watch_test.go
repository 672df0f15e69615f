package guard

import (
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// scene is a watch with its settings, and the time.
type scene struct {
	*Watch
	set Settings
	now time.Time
}

func newScene(change func(*Settings)) *scene {
	set := Preset
	if change != nil {
		change(&set)
	}
	return &scene{NewWatch(NewPolicy(set, nil)), set, start}
}

// meet has the watch see alice at places, one after the other, and returns what it found.
func (s *scene) meet(every time.Duration, places ...intent.Place) (found []*Finding, moves int) {
	for _, p := range places {
		if _, moved := s.Seen(s.now, alice, p); moved {
			moves++
			if f := s.Judge(alice, &s.set, false); f != nil {
				found = append(found, f)
			}
		}
		s.now = s.now.Add(every)
	}
	return found, moves
}

// fight has alice seen by turns at two places, and returns where the watch says that she is at home.
func (s *scene) fight(t *testing.T, p, q intent.Place) intent.Place {
	t.Helper()
	found, _ := s.meet(time.Second/12, p, q, p, q, p, q, p)
	if len(found) == 0 {
		t.Fatal("nothing was found")
	}
	return found[0].Home
}

func TestAStationIsFollowedOverAllSwitches(t *testing.T) {
	t.Parallel()
	found, moves := newScene(nil).meet(time.Second/12, a, a, c, a, c, a, a, c)
	if moves != 5 || len(found) != 1 || found[0].Home != a || found[0].Culprits[0] != c {
		t.Errorf("%d moves, found %+v", moves, found)
	}
}

func TestVirtualAddressesMoveAsTheyLike(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"00:00:5e:00:01:07", "00:00:5e:00:02:ff", "00:00:0c:07:ac:01", "00:00:0c:9f:f1:23", "00:05:73:a0:00:01", "00:07:b4:01:02:03"} {
		if !Preset.Ignores(mac.MustParse(text)) {
			t.Errorf("%s is looked at", text)
		}
	}
	if Preset.Ignores(mac.MustParse("00:00:5e:00:03:01")) {
		t.Error("the address beside them is not looked at")
	}
	s := newScene(func(set *Settings) { set.Exempt = []mac.Segment{alice.Segment()} })
	if found, _ := s.meet(time.Millisecond, a, b, a, b, a, b, a, b); len(found) > 0 {
		t.Errorf("found %+v", found[0])
	}
	s.set.Exempt, s.set.Action = nil, intent.GuardNone
	if found, _ := s.meet(time.Millisecond, a, b, a, b, a, b, a, b); len(found) > 0 {
		t.Errorf("found %+v though nobody is to look", found[0])
	}
}

// Who is at a trusted port is there, whoever says so elsewhere; and trusted ports may share an address.
func TestStationsOfTrustedPortsArePinned(t *testing.T) {
	t.Parallel()
	s := newScene(func(set *Settings) { set.Trusted = []intent.Place{a, b} })
	found, _ := s.meet(time.Millisecond, a, b, a, b, a, b, a, b)
	if len(found) > 0 {
		t.Errorf("found %+v between trusted ports", found[0])
	}
	for range 2 {
		found, _ = s.meet(48*time.Hour, c) // however long it stays
		if len(found) != 1 || !found[0].Conflict || found[0].Home != b || found[0].Culprits[0] != c {
			t.Fatalf("found %+v when it is used elsewhere", found)
		}
	}
}

// When the block of an intruder begins, the place of the victim is its home, though it
// has not spoken since: it must not be the one who moves next.
func TestTheVictimIsNotTakenForTheIntruderAfterABlock(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	if found, _ := s.meet(time.Millisecond, a, c, a, c, a, c); len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	s.Barred(alice, c)
	found, _ := s.meet(time.Millisecond, c, a, c, a, c, a, c, a, c)
	for _, f := range found {
		if f.Home != a {
			t.Errorf("found %+v", f)
		}
	}
	if len(found) == 0 {
		t.Error("nothing was found at the relapse")
	}
}

// A station that is bound somewhere is found elsewhere with its first frame, by who knows where.
func TestABoundStationIsNotToBlameForThePlaceWhereItIsBound(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	for i := range 20 {
		s.Seen(s.now, alice, []intent.Place{a, c}[i%2])
		if f := s.Judge(alice, &s.set, true); f != nil {
			t.Fatalf("found %+v", f)
		}
	}
}

func TestWhatIsSetTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.meet(time.Second, a, b)
	s.set.Threshold = Threshold{Moves: 20, Within: time.Minute}
	s.SetPolicy(s.now, NewPolicy(s.set, nil))
	found, moves := s.meet(2*time.Second, a, b, a, b, a, b, a, b, a, b, a, b, a, b, a, b, a, b, a)
	if len(found) != 1 || found[0].Moves != 20 || found[0].Home != a {
		t.Errorf("%d moves, found %+v", moves+1, found)
	}
}

// Who is known is looked at again when that may have other consequences, and now and then.
func TestWhoIsThereTurnsUpAgain(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.meet(0, a)
	again := func(after time.Duration) int {
		s.Take()
		s.now = s.now.Add(after)
		s.Sweep(s.now)
		return len(s.Take().Sightings)
	}
	if n := again(time.Minute); n != 0 {
		t.Errorf("it turned up %d times for nothing", n)
	}
	s.SetPolicy(s.now, s.Policy())
	if n := again(time.Second); n != 1 {
		t.Errorf("it turned up %d times when other settings were made", n)
	}
	if n := again(lookAgain); n != 1 {
		t.Errorf("it turned up %d times after long", n)
	}
	s.Gone(s.now, alice, a)
	if n := again(lookAgain); n != 0 {
		t.Errorf("it turned up %d times though it was silent", n)
	}
}

// What was heard is told once, and again if it was lost; however much there is, it is bounded.
func TestWhatWasHeardIsToldOnceAndIsBounded(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.meet(time.Second, a, b, a, b)
	<-s.News()
	h := s.Take()
	there := h.Moves[Journey{alice, a, b}]
	if len(h.Sightings) != 4 || len(h.Moves) != 2 || there.Times != 2 || there.Last.Sub(there.First) != 2*time.Second {
		t.Errorf("heard %v and %+v", h.Sightings, there)
	}
	if h := s.Take(); len(h.Sightings)+len(h.Moves) > 0 {
		t.Errorf("heard %v twice", h)
	}
	h.Judged(&Finding{MAC: alice})
	s.Again(h)
	s.meet(time.Second, a, b)
	if got := s.Take().Moves[Journey{alice, a, b}]; got.Times != 3 || got.Verdict != intent.MoveTooMany {
		t.Errorf("heard again: %+v", got)
	}
	for i := range 3 * queue {
		s.Seen(s.now, mac.Addr(i/2+1)<<8, []intent.Place{a, b}[i%2])
	}
	_, unheard := s.Counts()
	if h := s.Take(); len(h.Sightings) != queue || len(h.Moves) > queue || unheard != 2*queue {
		t.Errorf("%d stations, %d moves wait, and %d were not noted", len(h.Sightings), len(h.Moves), unheard)
	}
}

func BenchmarkSeen(b *testing.B) {
	s := newScene(nil)
	p := [2]intent.Place{a, c}
	b.ReportAllocs()
	for i := range b.N {
		addr := mac.Addr(i / 2 % 5000)
		if _, moved := s.Seen(start.Add(time.Duration(i)*time.Microsecond), addr, p[i%2]); moved {
			s.Judge(addr, &s.set, false)
		}
		if i%500 == 0 {
			s.Take()
		}
	}
}
