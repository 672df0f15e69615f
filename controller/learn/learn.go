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
)

// Lessons is the number of different lessons.
const Lessons = int(Full) + 1

func (l Lesson) String() string {
	return [Lessons]string{"ignored", "known", "new", "again", "moved", "full"}[l]
}

// Place is a station behind a port.
type Place struct {
	MAC  mac.Addr
	Port uint32
}

// Table holds the stations of one switch. It is safe for concurrent use.
type Table struct {
	mu       sync.Mutex
	ports    map[uint32]bool // the ports that learn
	stations map[mac.Addr]station
}

type station struct {
	port  uint32
	asked time.Time // when its flows were last asked for
}

// NewTable returns an empty table in which no port learns.
func NewTable() *Table {
	return &Table{ports: map[uint32]bool{}, stations: map[mac.Addr]station{}}
}

// Seen records a frame from a station at a port and says what it causes. For
// Moved, from is the port where the station was before.
func (t *Table) Seen(now time.Time, p Place) (lesson Lesson, from uint32) {
	if p.MAC.IsGroup() || p.MAC == 0 {
		return Ignored, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ports[p.Port] {
		return Ignored, 0
	}
	old, ok := t.stations[p.MAC]
	switch {
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
	t.stations[p.MAC] = station{port: p.Port, asked: now}
	return lesson, from
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
	delete(t.stations, p.MAC)
	return true
}

// SetPorts says which ports learn. It returns the stations that are forgotten
// because their port no longer does.
func (t *Table) SetPorts(ports []uint32) []Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ports = make(map[uint32]bool, len(ports))
	for _, no := range ports {
		t.ports[no] = true
	}
	var forgotten []Place
	for a, s := range t.stations {
		if !t.ports[s.port] {
			forgotten = append(forgotten, Place{a, s.port})
			delete(t.stations, a)
		}
	}
	slices.SortFunc(forgotten, byMAC)
	return forgotten
}

// Forget forgets the stations at some ports and returns them.
func (t *Table) Forget(ports []uint32) (forgotten []Place) {
	if len(ports) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, s := range t.stations {
		if slices.Contains(ports, s.port) {
			forgotten = append(forgotten, Place{a, s.port})
			delete(t.stations, a)
		}
	}
	slices.SortFunc(forgotten, byMAC)
	return forgotten
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
		case !t.ports[p.Port], !h.Source, !h.Dest, known && s.port != p.Port:
			remove = append(remove, p)
			if known && s.port == p.Port {
				delete(t.stations, p.MAC)
			}
		case !known && len(t.stations) < maxStations:
			t.stations[p.MAC] = station{port: p.Port, asked: now.Add(-settle)}
		}
	}
	for a, s := range t.stations {
		if _, ok := found[Place{a, s.port}]; !ok && now.Sub(s.asked) >= settle {
			delete(t.stations, a)
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
