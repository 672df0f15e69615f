package guard

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// at is where alice is, and wait lets time pass.
func (s *scene) at(p intent.Place)       { s.Seen(s.now, alice, p) }
func (s *scene) wait(d time.Duration)    { s.now = s.now.Add(d) }
func (s *scene) silent(at intent.Place)  { s.wait(remembered); s.Gone(s.now, alice, at) }
func (s *scene) restarted(c *scene)      { c.Load(s.now, s.Changed(100)); c.now = s.now }
func (s *scene) lost(place intent.Place) { s.Lost(s.now, place) }

// However silent the victim was, and whoever spoke first then: at home is who has been there for longer.
func TestWhoHasBeenThereForLongerIsAtHome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(*scene)
		first   intent.Place // who speaks first in the fight
		want    intent.Place
	}{
		"the victim was silent for minutes": {func(s *scene) {
			s.at(a)
			s.wait(time.Hour)
			s.silent(a)
			s.wait(10 * time.Minute)
			s.at(c)
			s.wait(10 * time.Minute)
		}, a, a},
		"for as long as it had been there": {func(s *scene) {
			s.at(a)
			s.wait(5 * time.Hour)
			s.silent(a)
			s.wait(4 * time.Hour)
			s.at(c)
			s.wait(time.Minute)
		}, a, a},
		"for longer": {func(s *scene) {
			s.at(a)
			s.wait(5 * time.Hour)
			s.silent(a)
			s.wait(6 * time.Hour)
			s.at(c)
			s.wait(time.Minute)
		}, a, c},
		"it was known and said nothing":            {func(s *scene) { s.at(a); s.wait(time.Hour); s.at(c); s.wait(59 * time.Minute) }, a, a},
		"the other is there for longer":            {func(s *scene) { s.at(a); s.wait(time.Hour); s.at(c); s.wait(61 * time.Minute) }, a, c},
		"a day is long":                            {func(s *scene) { s.at(a); s.wait(240 * time.Hour); s.at(c); s.wait(25 * time.Hour) }, a, c},
		"the intruder went again":                  {func(s *scene) { s.at(a); s.wait(time.Hour); s.at(c); s.silent(c); s.wait(time.Minute) }, c, a},
		"it moved and stayed":                      {func(s *scene) { s.at(a); s.at(c); s.wait(11 * time.Second) }, a, c},
		"its port was lost, as if it had migrated": {func(s *scene) { s.at(a); s.wait(time.Hour); s.lost(a); s.at(c); s.wait(time.Minute) }, a, c},
		"its port was lost for a moment": {func(s *scene) {
			s.at(a)
			s.wait(time.Hour)
			s.lost(a)
			s.wait(time.Second)
			s.at(a)
			s.at(c)
			s.wait(time.Minute)
		}, a, a},
		"it speaks seldom": {func(s *scene) {
			for range 30 {
				s.at(a)
				s.silent(a)
				s.wait(5 * time.Minute)
			}
			s.at(c)
			s.wait(time.Hour)
		}, a, a},
		"nobody fights where it was before": {func(s *scene) { s.at(b); s.wait(time.Hour); s.at(a); s.wait(time.Minute) }, c, a},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(nil)
			c.happens(s)
			other := a
			if c.first == a {
				other = intent.Place{Switch: 2, Port: 1}
			}
			if got := s.fight(t, c.first, other); got != c.want {
				t.Errorf("it is at home at %v, want %v", got, c.want)
			}
		})
	}
}

func TestHomesAreKeptOverRestarts(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.at(a)
	s.Sweep(s.now)
	if got := s.Changed(10); len(got) > 0 {
		t.Errorf("a home of a moment is kept: %v", got)
	}
	s.wait(time.Hour)
	s.Sweep(s.now)
	want := []Home{{MAC: alice, At: a, Since: start.Local()}}
	got := s.Changed(10)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("homes (-want +got):\n%s", diff)
	}
	s.Unsaved(got)
	again := newScene(nil)
	s.restarted(again)
	again.wait(10 * time.Minute)
	if got := again.fight(t, c, a); got != a {
		t.Errorf("after a restart it is at home at %v", got)
	}

	s.silent(a)
	want[0].Silent = s.now.Add(-remembered).Local()
	got = s.Changed(10)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("homes when it is silent (-want +got):\n%s", diff)
	}
	s.wait(2 * time.Hour)
	s.Sweep(s.now)
	if diff := cmp.Diff([]Home{{MAC: alice, Gone: true}}, s.Changed(10)); diff != "" {
		t.Errorf("homes in the end (-want +got):\n%s", diff)
	}
	if len(s.stations) > 0 {
		t.Error("it is still kept")
	}
}

// A switch that is read back says where stations are, unless they were heard of since.
func TestWhatASwitchKnowsIsNoMove(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.Known(s.now, alice, a)
	if _, moves := s.meet(0, c); moves != 1 {
		t.Error("a station that was known does not move")
	}
	s.Known(s.now, alice, a) // it was heard of elsewhere since
	if _, moves := s.meet(0, c); moves != 0 {
		t.Error("a station moved where it was")
	}
	s.Load(s.now, []Home{{MAC: alice, At: a, Since: start.Add(-time.Hour)}})
	s.Known(s.now, alice, c)
	if _, moves := s.meet(0, c); moves != 0 {
		t.Error("a station moved where its switch knows it")
	}
}

// Who makes up addresses pushes nobody out who has been there for long.
func TestTheStationsAreBounded(t *testing.T) {
	t.Parallel()
	s := newScene(nil)
	s.at(a)
	s.wait(time.Hour)
	for i := range maxStations + 100_000 {
		s.Seen(s.now, mac.Addr(i)<<8|1, b)
	}
	if n := len(s.stations); n > maxStations {
		t.Errorf("%d stations are kept, want %d at most", n, maxStations)
	}
	if _, known := s.stations[alice]; !known {
		t.Error("who has been there for long is forgotten")
	}
	s.silent(a)
	for range 100 * maxStations / swept {
		s.Gone(s.now, 1, b)
		s.Sweep(s.now.Add(48 * time.Hour))
		if _, known := s.stations[alice]; !known {
			return
		}
	}
	t.Error("who was silent for two days is never forgotten")
}
