package guard

import (
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// queue bounds what waits to be looked at. What is above that comes from somebody who makes up
// addresses.
const queue = 1 << 13

// Sighting is a station at a place.
type Sighting struct {
	MAC mac.Addr
	At  intent.Place
}

// Journey is the way of a station from one place to another.
type Journey struct {
	MAC      mac.Addr
	From, To intent.Place
}

// Heard is what a Watch was told of.
type Heard struct {
	Sightings []Sighting // stations that have turned up, one perhaps several times
	Moves     map[Journey]*intent.MACMove
}

func newHeard() Heard {
	return Heard{Moves: map[Journey]*intent.MACMove{}}
}

// Move notes moves of a station, and what is to be made of them. Of what has been judged the
// verdict stays.
func (h *Heard) Move(now time.Time, j Journey, times int64, verdict intent.MoveVerdict) {
	m := h.Moves[j]
	if m == nil {
		if len(h.Moves) >= queue {
			return
		}
		m = &intent.MACMove{MAC: j.MAC, From: j.From, To: j.To, Verdict: verdict, First: now}
		h.Moves[j] = m
	}
	if m.Times, m.Last = m.Times+times, now; verdict != intent.MoveAllowed {
		m.Verdict = verdict
	}
}

// Judged gives the moves of the station of a finding their verdict.
func (h *Heard) Judged(f *Finding) {
	for j, m := range h.Moves {
		if j.MAC == f.MAC && m.Verdict == intent.MoveAllowed {
			m.Verdict = intent.MoveTooMany
			if f.Conflict {
				m.Verdict = intent.MoveConflict
			}
		}
	}
}

// sighted notes a station that has turned up, if there is room.
func (w *Watch) sighted(at Sighting) bool {
	if len(w.waiting.Sightings) >= queue {
		w.unheard++
		return false
	}
	w.waiting.Sightings = append(w.waiting.Sightings, at)
	return true
}

// News holds a token when Take has something to tell.
func (w *Watch) News() <-chan struct{} { return w.news }

func (w *Watch) rouse() {
	select {
	case w.news <- struct{}{}:
	default: // one is there already
	}
}

// Take returns what was heard since it was asked last.
func (w *Watch) Take() Heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.waiting
	w.waiting = newHeard()
	return h
}

// Again says that what Take returned is to be told again.
func (w *Watch) Again(h Heard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range h.Sightings {
		w.sighted(at)
	}
	for j, m := range h.Moves {
		w.waiting.Move(m.Last, j, m.Times, m.Verdict)
	}
	w.rouse()
}

// Counts returns how many moves there were, and how many stations that turned up were not noted because too many waited.
func (w *Watch) Counts() (moves, unheard int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moves, w.unheard
}
