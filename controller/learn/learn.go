// Package learn keeps what the unmanaged ports of a switch have taught the
// controller: which station was seen behind which port. It decides what a frame
// from a station causes; package reconcile carries that out. It is pure: the
// time is handed in.
package learn

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

const (
	// settle is how long the flows for a station may take to become effective
	// in the switch. Packets that were on the way to the controller before that
	// cause nothing; one that comes later shows that the flows are not there.
	settle = time.Second

	// maxStations bounds the memory and the flow table of one switch. Beyond
	// it, stations are flooded to rather than learned.
	maxStations = 1 << 16

	// tellEvery is the least time between two reports that a port has as many
	// stations as it may.
	tellEvery = time.Minute
)

// Lesson is what a frame from a station causes.
type Lesson uint8

const (
	// Ignored: the port does not learn, or the source is no station address.
	Ignored Lesson = iota
	// Known: the flows for this station are on their way to the switch.
	Known
	// New: install the flows.
	New
	// Again: the flows should have been in the switch long ago; install them anew.
	Again
	// Moved: the station was behind another port before; remove that one's flow.
	Moved
	// Full: the table holds as many stations as it may.
	Full
	// Limited: the port has as many stations as it may. One that was learned elsewhere
	// stays there, so that who floods the port takes nobody's frames.
	Limited
)

// Lessons is the number of different lessons.
const Lessons = int(Limited) + 1

func (l Lesson) String() string {
	return [Lessons]string{"ignored", "known", "new", "again", "moved", "full", "limited"}[l]
}

// Place is a station behind a port.
type Place struct {
	MAC  mac.Addr
	Port uint32
}

// Table holds the stations of one switch. It is safe for concurrent use.
type Table struct {
	most int // stations at a port; 0: no limit

	mu       sync.Mutex
	ports    map[uint32]*port // the ports that learn
	stations map[mac.Addr]station
	barred   func(Place) bool // who is not learned; nil: nobody
}

type port struct {
	stations int
	paused   time.Time // when it was last asked for that nothing is learned
	told     time.Time // when that was last reported
}

type station struct {
	port  uint32
	asked time.Time // when its flows were last asked for
}

// NewTable returns an empty table in which no port learns. A port may have so many
// stations; 0: any number.
func NewTable(most int) *Table {
	return &Table{most: most, ports: map[uint32]*port{}, stations: map[mac.Addr]station{}}
}

// put records where a station is, at a port that learns.
func (t *Table) put(a mac.Addr, s station) {
	t.drop(a)
	t.stations[a] = s
	t.ports[s.port].stations++
}

// drop forgets a station, if it is known.
func (t *Table) drop(a mac.Addr) {
	s, ok := t.stations[a]
	if !ok {
		return
	}
	delete(t.stations, a)
	if p := t.ports[s.port]; p != nil {
		p.stations--
	}
}

// Len returns how many stations are known.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.stations)
}

// Seen records a frame from a station at a port and says what it causes. For
// Moved, from is the port where the station was before.
func (t *Table) Seen(now time.Time, p Place) (lesson Lesson, from uint32) {
	if p.MAC.IsGroup() || p.MAC == 0 {
		return Ignored, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	here := t.ports[p.Port]
	if here == nil || t.barred != nil && t.barred(p) {
		return Ignored, 0
	}
	old, ok := t.stations[p.MAC]
	switch {
	case (!ok || old.port != p.Port) && t.most > 0 && here.stations >= t.most:
		return Limited, 0
	case !ok && len(t.stations) >= maxStations:
		return Full, 0
	case !ok:
		lesson = New
	case old.port != p.Port:
		lesson, from = Moved, old.port
	case now.Sub(old.asked) < settle:
		return Known, 0
	default:
		lesson = Again
	}
	t.put(p.MAC, station{port: p.Port, asked: now})
	return lesson, from
}

// Pause says whether the switch is to be told that it shall ask no more about
// unknown stations at a port for a while, because of a lesson that was Limited or
// Full: not if it was told just now. It says, too, whether that is worth a report.
func (t *Table) Pause(now time.Time, no uint32) (pause, report bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports[no]
	if p == nil || now.Sub(p.paused) < settle {
		return false, false
	}
	p.paused = now
	if report = now.Sub(p.told) >= tellEvery; report {
		p.told = now
	}
	return true, report
}

// Expired records that the switch dropped a flow of a station for lack of use.
// If it says true, the station is forgotten and its other flow must go too.
func (t *Table) Expired(now time.Time, p Place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.stations[p.MAC]
	if !ok || s.port != p.Port || now.Sub(s.asked) < settle {
		return false // unknown, elsewhere by now, or just installed anew
	}
	t.drop(p.MAC)
	return true
}

// SetPorts says which ports learn. It returns the stations that are forgotten
// because their port no longer learns.
func (t *Table) SetPorts(ports []uint32) []Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.ports
	t.ports = make(map[uint32]*port, len(ports))
	for _, no := range ports {
		p := before[no]
		if p == nil {
			p = &port{}
		}
		t.ports[no] = p
	}
	var forgotten []Place
	for a, s := range t.stations {
		if t.ports[s.port] == nil {
			forgotten = append(forgotten, Place{a, s.port})
			t.drop(a)
		}
	}
	slices.SortFunc(forgotten, byMAC)
	return forgotten
}

// Bar says which stations are not to be learned; nil: any may be. It returns those
// that are forgotten because of it.
func (t *Table) Bar(barred func(Place) bool) (forgotten []Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.barred = barred
	if barred == nil {
		return nil
	}
	for a, s := range t.stations {
		if p := (Place{a, s.port}); barred(p) {
			forgotten = append(forgotten, p)
			t.drop(a)
		}
	}
	slices.SortFunc(forgotten, byMAC)
	return forgotten
}

// Knows reports whether a station is known.
func (t *Table) Knows(a mac.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.stations[a]
	return known
}

// Forget forgets a station, and returns where it was.
func (t *Table) Forget(a mac.Addr) (p Place, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, known := t.stations[a]
	t.drop(a)
	return Place{a, s.port}, known
}

// Stations returns the stations and the ports where they are.
func (t *Table) Stations() map[mac.Addr]uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[mac.Addr]uint32, len(t.stations))
	for a, s := range t.stations {
		all[a] = s.port
	}
	return all
}

func byMAC(a, b Place) int { return cmp.Compare(a.MAC, b.MAC) }

// Halves are the flows of a station that a switch was found to hold.
type Halves struct {
	Source, Dest bool
}

// Adopt compares the table with what the switch was found to hold at a time,
// takes over complete places that it did not know, as after a restart of the
// controller, and returns the places whose flows must be removed: incomplete
// ones, ones at ports that do not learn, and ones that contradict the table.
func (t *Table) Adopt(now time.Time, found map[Place]Halves) []Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	var remove []Place
	for p, h := range found {
		s, known := t.stations[p.MAC]
		switch {
		case known && now.Sub(s.asked) < settle:
			// Its flows are on their way; what was found is already past.
		case t.ports[p.Port] == nil, !h.Source, !h.Dest, known && s.port != p.Port:
			remove = append(remove, p)
			if known && s.port == p.Port {
				t.drop(p.MAC)
			}
		case !known && len(t.stations) < maxStations:
			t.put(p.MAC, station{port: p.Port, asked: now.Add(-settle)})
		}
	}
	for a, s := range t.stations {
		if _, ok := found[Place{a, s.port}]; !ok && now.Sub(s.asked) >= settle {
			t.drop(a)
		}
	}
	slices.SortFunc(remove, func(a, b Place) int {
		if a.MAC != b.MAC {
			return int(int64(a.MAC) - int64(b.MAC))
		}
		return int(int64(a.Port) - int64(b.Port))
	})
	return remove
}
