package guard

import (
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Watch keeps where stations are at the edge, over all switches, and finds those that move
// too often. It is safe for concurrent use.
type Watch struct {
	mu       sync.Mutex
	policy   *Policy
	set      moment // when that was set
	detector *detector
	stations map[mac.Addr]station
	lost     map[intent.Place]moment // when ports last lost their carrier
	changed  map[mac.Addr]struct{}   // homes that Changed has to tell of

	waiting        Heard
	moves, unheard int64
	news           chan struct{}
}

// NewWatch returns a Watch that has seen nobody.
func NewWatch(p *Policy) *Watch {
	return &Watch{
		policy: p, detector: newDetector(p.widest), stations: map[mac.Addr]station{},
		lost: map[intent.Place]moment{}, changed: map[mac.Addr]struct{}{}, waiting: newHeard(), news: make(chan struct{}, 1),
	}
}

// SetPolicy says what is to be looked at from now on. Who is there already turns up once more.
func (w *Watch) SetPolicy(now time.Time, p *Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policy, w.set, w.detector.widest = p, momentOf(now), p.widest
}

// Policy returns what is looked at.
func (w *Watch) Policy() *Policy {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.policy
}

// Seen hears of a station at a place. It returns where it was before if that was elsewhere.
// What was heard Take tells, and what is to be made of moves Judge.
func (w *Watch) Seen(now time.Time, a mac.Addr, at intent.Place) (from intent.Place, moved bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from, moved = w.follow(now, a, at); moved {
		w.moves++
	}
	if w.sighted(Sighting{a, at}) && moved {
		w.waiting.Move(now, Journey{a, from, at}, 1, intent.MoveAllowed)
	}
	w.rouse()
	return from, moved
}

// follow is Seen, but for what is to be told of it.
func (w *Watch) follow(t time.Time, a mac.Addr, at intent.Place) (from intent.Place, moved bool) {
	now := momentOf(t)
	s, known := w.stations[a]
	if !known || s.forgettable(now) {
		w.meet(a, newStation(now, at))
		return at, false
	}
	w.settle(now, a, &s)
	s.looked = now
	from, moved = s.at, s.at != at
	if moved {
		w.detector.moved(t, a, from, at)
	}
	switch {
	case moved && w.policy.pinned[s.home] && !w.policy.pinned[at]:
		// It is still held to be there, so that it is found whenever it is seen elsewhere.
		return from, true
	case moved && w.policy.pinned[at]:
		w.rehome(now, a, &s, at) // who is there belongs there
	case at == s.home:
		s.there = now
	}
	w.heard(a, &s)
	if moved {
		s.at, s.came = at, now
	}
	w.stations[a] = s
	return from, moved
}

// Judge says what is wrong with the moves of a station by the settings for it; nil: nothing is. What
// is bound is at home where it is bound, and anywhere else with its first frame: that is not told here.
func (w *Watch) Judge(a mac.Addr, set *Settings, bound bool) *Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.stations[a]
	if !known || bound || set.Ignores(a) {
		return nil
	}
	if set.Trusts(s.home) {
		f := w.detector.judge(a, s.home, Threshold{Moves: 1, Within: set.Threshold.Within})
		if f == nil {
			return nil
		}
		f.Conflict = true
		return f.sparing(set)
	}
	f := w.detector.judge(a, s.home, set.Threshold)
	if f == nil {
		return nil
	}
	return f.sparing(set)
}

// sparing takes trusted ports from those who are to blame; nil: nobody is left.
func (f *Finding) sparing(set *Settings) *Finding {
	var guilty []intent.Place
	for _, p := range f.Culprits {
		if !set.Trusts(p) {
			guilty = append(guilty, p)
		}
	}
	if f.Culprits = guilty; len(guilty) == 0 {
		return nil
	}
	return f
}

// Known hears of a station that has been at a place for some time, as its switch says. What was
// heard of it since is right.
func (w *Watch) Known(t time.Time, a mac.Addr, at intent.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := momentOf(t)
	s, known := w.stations[a]
	switch {
	case !known || s.forgettable(now):
		w.meet(a, newStation(now, at))
		return
	case s.silent == 0:
		return
	case s.at != at:
		s.at, s.came = at, now
	}
	w.heard(a, &s)
	w.stations[a] = s
}

// Gone hears that a station has not been heard of at a place for as long as its switch remembers it.
func (w *Watch) Gone(now time.Time, a mac.Addr, at intent.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.stations[a]
	if !known || s.at != at {
		return
	}
	last := momentOf(now.Add(-remembered))
	w.settle(last, a, &s)
	s.at, s.silent = s.home, max(last, s.since)
	w.change(a, &s)
	w.stations[a] = s
}

// Lost hears that a port has no carrier any more: who was at home there may come elsewhere soon.
func (w *Watch) Lost(now time.Time, at intent.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lost) >= maxLost {
		clear(w.lost)
	}
	w.lost[at] = momentOf(now)
}

// Barred hears that a station is blocked at a place. If it was seen there last, it is
// held to be at home again: else who is there at home would be the next to have moved.
func (w *Watch) Barred(a mac.Addr, at intent.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known := w.stations[a]
	switch {
	case !known:
	case s.home == at:
		w.forget(a, &s)
	case s.at == at:
		s.at = s.home
		w.stations[a] = s
	}
}
