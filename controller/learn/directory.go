package learn

import (
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Directory knows at which switches of fabrics stations are, by which numbers frames of
// other switches find them there, and which switches send such frames. It is safe
// for concurrent use.
type Directory struct {
	mu      sync.Mutex
	homes   map[mac.Addr][]intent.DPID // one, but for fabrics that are not connected
	numbers map[intent.DPID]*numbers
	senders map[mac.Addr]map[intent.DPID]direction
	asked   asked
}

// Target is a station by its number at its switch.
type Target struct {
	At     intent.DPID
	Number uint16
}

// direction is what a switch that sends frames to a station was told.
type direction struct {
	Target
	told time.Time
}

// numbers are those of the stations of a switch that others send frames to.
type numbers struct {
	of    map[mac.Addr]uint16
	taken map[uint16]mac.Addr
	last  uint16
}

// NewDirectory returns a Directory without stations.
func NewDirectory() *Directory {
	return &Directory{
		homes: map[mac.Addr][]intent.DPID{}, numbers: map[intent.DPID]*numbers{}, senders: map[mac.Addr]map[intent.DPID]direction{},
		asked: asked{by: map[mac.Addr]map[intent.DPID]time.Time{}},
	}
}

func (d *Directory) at(id intent.DPID) *numbers {
	n := d.numbers[id]
	if n == nil {
		n = &numbers{of: map[mac.Addr]uint16{}, taken: map[uint16]mac.Addr{}}
		d.numbers[id] = n
	}
	return n
}

// take reserves a number for a station, if it is free.
func (n *numbers) take(a mac.Addr, number uint16) bool {
	if _, taken := n.taken[number]; taken {
		return false
	}
	n.of[a], n.taken[number] = number, a
	return true
}

// next gives a station a number. What was given lately comes last, so that
// frames on their way to who had it before do not come to others.
func (n *numbers) next(a mac.Addr) (uint16, bool) {
	if len(n.taken) > mac.MaxNumber {
		return 0, false
	}
	for {
		n.last = (n.last + 1) & mac.MaxNumber
		if n.take(a, n.last) {
			return n.last, true
		}
	}
}

// Learned says that a station was learned at a switch. It returns the switches
// connected with that one where it was before and is not now, and those that are to be
// told where it is (see Direction): they sent to where it was, or asked a moment ago.
func (d *Directory) Learned(now time.Time, at intent.DPID, a mac.Addr, connected func(intent.DPID) bool) (left, tell []intent.DPID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var homes []intent.DPID
	for _, home := range d.homes[a] {
		switch {
		case home == at:
		case connected(home):
			left = append(left, home)
		default:
			homes = append(homes, home)
		}
	}
	d.homes[a] = append(homes, at)
	for sender, to := range d.senders[a] {
		if to.At == at || sender != at && !connected(sender) {
			continue
		}
		if sender == at {
			d.forget(a, sender)
		} else if !d.direct(to.told, sender, a, at) {
			d.forget(a, sender)
		}
		tell = append(tell, sender)
	}
	for _, sender := range d.asked.take(now, a) {
		if sender != at && connected(sender) && d.direct(now, sender, a, at) && !slices.Contains(tell, sender) {
			tell = append(tell, sender)
		}
	}
	slices.Sort(tell)
	return left, tell
}

// Left says that a station is no longer known at a switch. It returns those that are to be
// told: they have to look for it.
func (d *Directory) Left(at intent.DPID, a mac.Addr) (tell []intent.DPID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left(at, a)
}

func (d *Directory) left(at intent.DPID, a mac.Addr) (tell []intent.DPID) {
	if homes := slices.DeleteFunc(d.homes[a], func(home intent.DPID) bool { return home == at }); len(homes) > 0 {
		d.homes[a] = homes
	} else {
		delete(d.homes, a)
	}
	for sender, to := range d.senders[a] {
		if to.At == at {
			d.forget(a, sender)
			tell = append(tell, sender)
		}
	}
	slices.Sort(tell)
	return tell
}

// Sought says that a switch has frames for a station. It returns where that is, of
// the switches that are usable; not ok: nobody knows, and Learned may answer it in a moment.
func (d *Directory) Sought(now time.Time, from intent.DPID, a mac.Addr, usable func(intent.DPID) bool) (to Target, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, home := range d.homes[a] {
		if home != from && usable(home) && d.direct(now, from, a, home) {
			return d.senders[a][from].Target, true
		}
	}
	if len(d.homes[a]) == 0 {
		d.asked.put(now, from, a)
	}
	return to, false
}

// direct sends frames of a switch for a station to where it is.
func (d *Directory) direct(now time.Time, from intent.DPID, a mac.Addr, home intent.DPID) bool {
	n := d.at(home)
	number, ok := n.of[a]
	if !ok {
		if number, ok = n.next(a); !ok {
			return false
		}
	}
	if d.senders[a] == nil {
		d.senders[a] = map[intent.DPID]direction{}
	}
	d.senders[a][from] = direction{Target{home, number}, now}
	return true
}

// Unreached says that a switch has paths to some switches only. It returns the stations at others, in
// order, that it was told of: it has to look for them.
func (d *Directory) Unreached(from intent.DPID, reaches func(intent.DPID) bool) (tell []mac.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for a, ways := range d.senders {
		if to, is := ways[from]; is && !reaches(to.At) {
			d.forget(a, from)
			tell = append(tell, a)
		}
	}
	slices.Sort(tell)
	return tell
}

func (d *Directory) forget(a mac.Addr, sender intent.DPID) {
	delete(d.senders[a], sender)
	if len(d.senders[a]) == 0 {
		delete(d.senders, a)
	}
}

// Direction returns where a switch is to send frames for a station; not ok: it does
// not know.
func (d *Directory) Direction(from intent.DPID, a mac.Addr) (to Target, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	way, ok := d.senders[a][from]
	return way.Target, ok
}

// Unused says that a switch has dropped what it was told of a station, for lack
// of use.
func (d *Directory) Unused(from intent.DPID, a mac.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(a, from)
}

// Released says that a switch has dropped a number for lack of use. If somebody was told
// of it all the same, it is to be put back for the station that is returned.
func (d *Directory) Released(at Target) (a mac.Addr, wanted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.at(at.At)
	a, taken := n.taken[at.Number]
	if !taken || d.wanted(at, a) {
		return a, taken
	}
	delete(n.taken, at.Number)
	delete(n.of, a)
	return 0, false
}

// wanted reports whether a switch sends to a number.
func (d *Directory) wanted(at Target, a mac.Addr) bool {
	for _, to := range d.senders[a] {
		if to.Target == at {
			return true
		}
	}
	return false
}

// Held is what a switch was found to hold at a time.
type Held struct {
	Stations []mac.Addr          // that were learned there
	Numbers  map[uint16]mac.Addr // of stations there
	Ways     map[mac.Addr]Target // of stations elsewhere
}

// Adopt takes over what a switch was found to hold. It returns the stations whose
// numbers it lacks, and which switches are to be told what of stations: it
// was not true.
func (d *Directory) Adopt(now time.Time, id intent.DPID, held Held) (lacks []mac.Addr, tell map[intent.DPID][]mac.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tell = map[intent.DPID][]mac.Addr{}
	d.settle(id, held.Stations, tell)
	before := d.at(id)
	n := &numbers{of: map[mac.Addr]uint16{}, taken: map[uint16]mac.Addr{}, last: before.last}
	d.numbers[id] = n
	for number, a := range held.Numbers {
		n.take(a, number)
		n.last = max(n.last, number)
	}
	for a, ways := range d.senders {
		if way, is := ways[id]; is {
			if _, found := held.Ways[a]; !found && now.Sub(way.told) >= settle {
				d.forget(a, id) // it has expired, or is lost
			}
		}
		for sender, way := range ways {
			if way.At != id {
				continue
			}
			switch {
			case n.taken[way.Number] == a:
			case n.take(a, way.Number):
				lacks = append(lacks, a)
			default: // another station has that number
				d.forget(a, sender)
				tell[sender] = append(tell[sender], a)
			}
		}
	}
	for a, to := range held.Ways {
		switch way, known := d.senders[a][id]; {
		case known && (way.Target == to || now.Sub(way.told) < settle):
		case known: // it was told otherwise
			tell[id] = append(tell[id], a)
		default:
			there := d.at(to.At)
			if holder, taken := there.taken[to.Number]; taken && holder != a || !slices.Contains(d.homes[a], to.At) && len(d.homes[a]) > 0 {
				tell[id] = append(tell[id], a)
				continue
			}
			there.take(a, to.Number)
			if d.senders[a] == nil {
				d.senders[a] = map[intent.DPID]direction{}
			}
			d.senders[a][id] = direction{to, now.Add(-settle)}
		}
	}
	slices.Sort(lacks)
	for _, list := range tell {
		slices.Sort(list)
	}
	return lacks, tell
}

// settle takes over which stations are at a switch.
func (d *Directory) settle(id intent.DPID, stations []mac.Addr, tell map[intent.DPID][]mac.Addr) {
	present := make(map[mac.Addr]bool, len(stations))
	for _, a := range stations {
		present[a] = true
		if !slices.Contains(d.homes[a], id) {
			d.homes[a] = append(d.homes[a], id)
		}
	}
	for a, homes := range d.homes {
		if !present[a] && slices.Contains(homes, id) {
			for _, sender := range d.left(id, a) {
				tell[sender] = append(tell[sender], a)
			}
		}
	}
}

// Number returns the number of a station at a switch.
func (d *Directory) Number(at intent.DPID, a mac.Addr) (uint16, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	number, ok := d.at(at).of[a]
	return number, ok
}

// Forget forgets a switch that will not come again.
func (d *Directory) Forget(id intent.DPID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.numbers, id)
	for a, homes := range d.homes {
		if homes = slices.DeleteFunc(homes, func(home intent.DPID) bool { return home == id }); len(homes) > 0 {
			d.homes[a] = homes
		} else {
			delete(d.homes, a)
		}
	}
	for a := range d.senders {
		d.forget(a, id)
	}
}
