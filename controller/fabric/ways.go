package fabric

import (
	"maps"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// gather is how long paths may be without links that were found: in a fabric that
// comes up there are many, one after the other. What is lost counts at once.
const gather = 100 * time.Millisecond

// ways are the paths between the switches of a Map. The Map's lock is theirs.
type ways struct {
	slots map[intent.DPID]uint16
	live  []Link
	rules map[intent.DPID][]Rule
	paths map[intent.DPID][]intent.Path // that follow from the rules, of switches that asked
	due   time.Time                     // when links that were found are to be used; zero: there are none

	// held are the rules of switches that are away: they go by these, whatever becomes of the
	// others. Who does not agree with them sends nothing through such a switch.
	held map[intent.DPID][]Rule
}

// set takes over the links that carry frames.
func (w *ways) set(now time.Time, live []Link, touched intent.Touched) {
	had := w.live
	w.live = live
	lost := slices.ContainsFunc(had, func(l Link) bool {
		_, there := slices.BinarySearchFunc(live, l, Link.Compare)
		return !there
	})
	switch {
	case lost:
		w.renew(touched)
	case len(live) > len(had) && w.due.IsZero():
		w.due = now.Add(gather)
	}
}

// renew finds the paths anew and touches the switches that have others than before.
func (w *ways) renew(touched intent.Touched) {
	before := w.rules
	w.due, w.rules = time.Time{}, Paths(w.live, nil)
	if stale := w.stale(); len(stale) > 0 {
		w.rules = Paths(w.live, stale)
	}
	for d, is := range w.rules {
		if !slices.EqualFunc(before[d], is, Rule.equal) {
			touched[d] = struct{}{}
			delete(w.paths, d)
		}
	}
	for d := range before {
		if w.rules[d] == nil {
			touched[d] = struct{}{}
			delete(w.paths, d)
		}
	}
}

// stale returns the switches that are away and go by other rules than they should.
func (w *ways) stale() map[intent.DPID]bool {
	stale := map[intent.DPID]bool{}
	for d, held := range w.held {
		if !slices.EqualFunc(held, w.rules[d], Rule.equal) {
			stale[d] = true
		}
	}
	return stale
}

// leave says that a switch is away, and come that it is back.
func (w *ways) leave(d intent.DPID) { w.held[d] = w.rules[d] }

func (w *ways) come(d intent.DPID, touched intent.Touched) {
	if held, away := w.held[d]; away {
		delete(w.held, d)
		if !slices.EqualFunc(held, w.rules[d], Rule.equal) {
			w.renew(touched)
		}
	}
}

func (r Rule) equal(o Rule) bool {
	return r.To == o.To && r.In == o.In && r.Backup == o.Backup && slices.Equal(r.Primary, o.Primary)
}

// SetSlots gives switches their numbers, which they keep. Who has paths to one that
// got its number now is touched.
func (m *Map) SetSlots(slots map[intent.DPID]uint16) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	if maps.Equal(m.ways.slots, slots) {
		return touched
	}
	before := m.ways.slots
	m.ways.slots = slots
	clear(m.ways.paths)
	for d, rules := range m.ways.rules {
		if before[d] != slots[d] || slices.ContainsFunc(rules, func(r Rule) bool { return before[r.To] != slots[r.To] }) {
			touched[d] = struct{}{}
		}
	}
	return touched
}

// Slot returns the number of a switch; 0: it has none.
func (m *Map) Slot(d intent.DPID) uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ways.slots[d]
}

// BySlot returns the switches that have numbers, by these.
func (m *Map) BySlot() map[uint16]intent.DPID {
	m.mu.Lock()
	defer m.mu.Unlock()
	by := make(map[uint16]intent.DPID, len(m.ways.slots))
	for d, slot := range m.ways.slots {
		by[slot] = d
	}
	return by
}

// Paths returns the paths of a switch to those that have numbers, by these. They are not to
// be changed.
func (m *Map) Paths(d intent.DPID) []intent.Path {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ways.slots[d] == 0 {
		return nil
	}
	paths, made := m.ways.paths[d]
	if !made {
		paths = PathsOf(m.ways.rules[d], m.ways.slots)
		m.ways.paths[d] = paths
	}
	return paths
}

// PathsOf puts the rules of a switch in the form of its view.
func PathsOf(rules []Rule, slots map[intent.DPID]uint16) []intent.Path {
	var paths []intent.Path
	for _, r := range rules {
		slot := slots[r.To]
		switch {
		case slot == 0:
		case r.In == 0:
			paths = append(paths, intent.Path{Slot: slot, Primary: r.Primary, Backup: r.Backup})
		default: // after that of all ports
			p := &paths[len(paths)-1]
			p.Around = append(p.Around, intent.Detour{In: r.In, Out: r.Primary[0]})
		}
	}
	slices.SortFunc(paths, func(a, b intent.Path) int { return int(a.Slot) - int(b.Slot) })
	return paths
}

// Reaches reports whether frames of a switch get to another one, or it is the same.
func (m *Map) Reaches(from, to intent.DPID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := slices.BinarySearchFunc(m.ways.rules[from], to, func(r Rule, to intent.DPID) int {
		return End{r.To, 0}.Compare(End{to, 0})
	})
	return found || from == to
}
