package guard

import (
	"cmp"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

const (
	// maxStations bounds the stations whose places are kept, and maxLost the ports that lost
	// their carrier.
	maxStations = 1 << 20
	maxLost     = 1 << 16

	// remembered is for how long at least a switch remembers a station that is silent, so that
	// one which is gone was last heard of so long ago.
	remembered = 5 * time.Minute

	// A station is at home where it has been for longest. What it has once been silent at home is
	// kept in mind for as long as it was there, between these.
	leastMemory, mostMemory = time.Hour, 24 * time.Hour

	// kept is from when on a home is worth keeping over restarts.
	kept = 5 * time.Minute

	// lookAgain is how often who is there turns up once more: his address may have become that of somebody.
	lookAgain = 10 * time.Minute

	// swept is how many stations Sweep looks at.
	swept = 4096
)

// moment is a time in nanoseconds since 1970, and 0 for none. Very many stations are kept: without pointers
// in them they cost the garbage collector nothing.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m))
}

func (m moment) since(before moment) time.Duration { return time.Duration(m - before) }

// station is where one is, and where it belongs.
type station struct {
	at     intent.Place // where it was seen last
	home   intent.Place
	came   moment // when it came to where it was seen last
	since  moment // when it came home first
	there  moment // when it came home last
	silent moment // when it was last heard of; 0: it is there
	looked moment // when it turned up last
	saved  bool   // the database has its home
}

func newStation(now moment, at intent.Place) station {
	return station{at: at, came: now, home: at, since: now, there: now, looked: now}
}

// forgettable reports whether a station was silent for too long to still have a home.
func (s *station) forgettable(now moment) bool {
	return s.silent != 0 && now.since(s.silent) >= min(max(s.silent.since(s.since), leastMemory), mostMemory)
}

// settle gives a station that has been elsewhere for as long as it was at home another home: there.
// If the port where it was at home has lost its carrier since, it need not be there for long.
func (w *Watch) settle(now moment, a mac.Addr, s *station) (settled bool) {
	if s.at == s.home || w.policy.pinned[s.home] {
		return false
	}
	need := min(max(s.came.since(s.since), w.policy.others.Threshold.Within), mostMemory)
	if lost, ok := w.lost[s.home]; ok && lost >= s.there {
		need = w.policy.others.Threshold.Within
	}
	if now.since(s.came) < need {
		return false
	}
	w.rehome(s.came, a, s, s.at)
	return true
}

func (w *Watch) rehome(now moment, a mac.Addr, s *station, to intent.Place) {
	if s.home != to {
		s.home, s.since, s.there = to, now, now
		w.change(a, s)
	}
}

// heard says that a station is not silent.
func (w *Watch) heard(a mac.Addr, s *station) {
	if s.silent != 0 {
		s.silent = 0
		w.change(a, s)
	}
}

// change has the database told of the home of a station, if it knows it or is to know it.
func (w *Watch) change(a mac.Addr, s *station) {
	if s.saved || s.silent != 0 && s.silent.since(s.since) >= kept {
		w.changed[a] = struct{}{}
	}
}

// meet keeps a station that is new. For one too many, another is forgotten: of a few that who has been at home for least.
func (w *Watch) meet(a mac.Addr, s station) {
	if old, known := w.stations[a]; known && old.saved {
		s.saved = true
		w.changed[a] = struct{}{}
	}
	w.stations[a] = s
	if len(w.stations) <= maxStations {
		return
	}
	const few = 8
	var last mac.Addr
	var least station
	n := 0
	for other, o := range w.stations {
		if other == a {
			continue
		}
		if n == 0 || o.since > least.since {
			last, least = other, o
		}
		if n++; n == few {
			break
		}
	}
	w.forget(last, &least)
}

func (w *Watch) forget(a mac.Addr, s *station) {
	delete(w.stations, a)
	if s.saved {
		w.changed[a] = struct{}{}
	}
}

// Sweep looks at some of the stations, now these and now those: it forgets those that were silent for too
// long, has others turn up once more, and finds those that have been at home for long enough to be kept over restarts.
func (w *Watch) Sweep(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, n := momentOf(at), 0
	for a, s := range w.stations {
		changed := w.settle(now, a, &s)
		if s.silent == 0 && (s.looked < w.set || now.since(s.looked) >= lookAgain) && w.sighted(Sighting{a, s.at}) {
			s.looked, changed = now, true
			w.rouse()
		}
		if changed {
			w.stations[a] = s
		}
		switch {
		case s.forgettable(now):
			w.forget(a, &s)
		case !s.saved && s.silent == 0 && now.since(s.since) >= kept+remembered:
			w.changed[a] = struct{}{}
		}
		if n++; n == swept {
			return
		}
	}
}

// Home is where a station belongs.
type Home struct {
	MAC    mac.Addr
	At     intent.Place
	Since  time.Time
	Silent time.Time // when it was last heard of; zero: it is there
	Gone   bool      // it belongs nowhere any more
}

// Changed returns at most so many homes that have changed, each once, in the order of their addresses.
func (w *Watch) Changed(most int) (list []Home) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range w.changed {
		if len(list) == most {
			break
		}
		delete(w.changed, a)
		s, known := w.stations[a]
		if !known {
			list = append(list, Home{MAC: a, Gone: true})
			continue
		}
		s.saved = true
		w.stations[a] = s
		list = append(list, Home{MAC: a, At: s.home, Since: s.since.time(), Silent: s.silent.time()})
	}
	slices.SortFunc(list, func(a, b Home) int { return cmp.Compare(a.MAC, b.MAC) })
	return list
}

// Unsaved says that what Changed returned was not written.
func (w *Watch) Unsaved(list []Home) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range list {
		w.changed[h.MAC] = struct{}{}
	}
}

// Load takes over homes from before. Until a station is heard of, it is silent.
func (w *Watch) Load(at time.Time, homes []Home) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := momentOf(at)
	for _, h := range homes {
		s := newStation(momentOf(h.Since), h.At)
		s.saved, s.silent, s.there = true, momentOf(h.Silent), now
		if s.silent == 0 {
			s.silent = now
		}
		if len(w.stations) < maxStations {
			w.stations[h.MAC] = s
		}
	}
}
