package fabric

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

const (
	// holdOff is how long a port is listened to, from its first frame that is
	// known to have left, before it is taken for one that leads to stations. It
	// passes nothing until then, so that two ports that turn out to be a link never made a
	// loop. A lost frame must not decide, so askFirst of them are sent meanwhile.
	holdOff  = 700 * time.Millisecond
	askFirst = 5

	// Pauses between the frames of a port: while it is new, for its first
	// sends after that, and then by what it is.
	pauseNew   = 100 * time.Millisecond
	pauseYoung = time.Second
	pauseEdge  = 5 * time.Second
	young      = 10 // frames

	// Those of links are as short as it takes to send linkFrames in a second by all of
	// them, and between these: a small fabric finds a dead link that has its carrier soon.
	pauseLinkLeast = 500 * time.Millisecond
	pauseLinkMost  = 2 * time.Second
	linkFrames     = 200

	// A link is given up when mostUnheard frames in a row were not heard, and the last of
	// them has had time to be. They are counted, so that a controller which has slept and
	// sent nothing does not take that for silence.
	mostUnheard = 3
	late        = time.Second

	// unclear is how long it may take until it is known of a port that hears one with a link which of the two is
	// over: the link, or that a wire has two ends.
	unclear = mostUnheard*pauseLinkMost + late

	// idle is the longest time until a switch is looked after again.
	idle = 5 * time.Second
)

// Verdict is what a frame about a link causes.
type Verdict uint8

const (
	// Foreign: not a frame of ours, such as that of a station that speaks LLDP.
	Foreign Verdict = iota
	// Forged: it looks like ours and is not signed by us.
	Forged
	// Stale: it was signed by us, at another time.
	Stale
	// Unplaced: it left or came by a port that is none of the fabric now.
	Unplaced
	// Shared: one of its ports is in another link, whose switches are both there.
	Shared
	// Joined: by a bridge that is not ours, which was not known.
	Joined
	// Found: a link that was not known, or not in this direction.
	Found
	// Heard: a link that was known.
	Heard
)

// Verdicts is the number of different verdicts.
const Verdicts = int(Heard) + 1

func (v Verdict) String() string {
	return [Verdicts]string{"foreign", "forged", "stale", "unplaced", "shared", "joined", "found", "known"}[v]
}

// Work returns the ports by which a switch is to send a frame now, after how
// long there is more to do, and who is touched by the passing of time.
func (m *Map) Work(now time.Time, d intent.DPID) (send []uint32, wait time.Duration, touched intent.Touched) {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched, wait = intent.Touched{}, idle
	n := m.nodes[d]
	if n == nil || !n.connected {
		return nil, wait, touched
	}
	until := func(t time.Time) { wait = min(wait, max(t.Sub(now), 0)) }
	for _, no := range slices.Sorted(maps.Keys(n.ports)) {
		p := n.ports[no]
		if !p.up {
			continue
		}
		l := m.ends[End{d, no}]
		if !p.next.After(now) {
			p.sends++
			p.next = now.Add(m.pause(p, l))
			send = append(send, no)
			if l != nil {
				l.sent(now, l.direction(End{d, no}))
			}
		}
		if l != nil {
			until(m.expire(now, l, touched))
		} else if !p.edge && !p.confirmed.IsZero() {
			if end := p.confirmed.Add(holdOff); end.After(now) {
				until(end)
			} else if p.sends >= askFirst && !m.lurks(m.last[End{d, no}].far) && now.Sub(p.rival) >= unclear && !m.spared(now, End{d, no}) {
				p.edge = true
				if _, was := m.last[End{d, no}]; was {
					delete(m.last, End{d, no})
					m.change()
				}
				touched[d] = struct{}{}
			}
		}
		until(p.next)
	}
	m.settle(now, touched)
	if due := m.ways.due; !due.IsZero() {
		if due.After(now) {
			until(due)
		} else {
			m.ways.renew(touched)
		}
	}
	return send, wait, touched
}

// lurks reports whether a port may be open at a switch that is away, and so
// cannot be heard of.
func (m *Map) lurks(e End) bool {
	n := m.nodes[e.DPID]
	return e != (End{}) && (n == nil || !n.connected && (n.open == nil || n.open[e.Port]))
}

// pause is how long a port waits with its next frame.
func (m *Map) pause(p *port, l *link) time.Duration {
	linked := min(max(time.Second*time.Duration(2*len(m.links))/linkFrames, pauseLinkLeast), pauseLinkMost)
	switch {
	case l == nil && !p.edge && p.sends < young:
		return pauseNew
	case l == nil && !p.edge: // it waits for something to end
		return pauseYoung
	case l != nil && (p.sends >= young || linked < pauseYoung):
		return linked
	case p.sends < young:
		return pauseYoung
	}
	return pauseEdge
}

// direction is that of the frames which leave by an end of a link.
func (l *link) direction(from End) int {
	if from == l.A {
		return 0
	}
	return 1
}

// sent says that a frame leaves in a direction.
func (l *link) sent(now time.Time, direction int) {
	if l.unheard[direction]++; l.unheard[direction] == mostUnheard {
		l.given[direction] = now.Add(late)
	}
}

// hear says that frames of a direction are heard.
func (l *link) hear(direction int) { l.heard[direction], l.unheard[direction] = true, 0 }

// silent reports whether frames of a direction are not heard.
func (l *link) silent(now time.Time, direction int) bool {
	return l.unheard[direction] >= mostUnheard && !l.given[direction].After(now)
}

// expire gives up a link of two switches that are there, but of which nothing
// is heard. It returns when it is to be looked at again.
func (m *Map) expire(now time.Time, l *link, touched intent.Touched) time.Time {
	for _, e := range []End{l.A, l.B} {
		if n := m.nodes[e.DPID]; n == nil || !n.connected || n.ports[e.Port] == nil {
			return now.Add(idle)
		}
	}
	next := now.Add(idle)
	for direction := range l.heard {
		switch {
		case l.silent(now, direction):
			l.heard[direction] = false
		case l.unheard[direction] >= mostUnheard && l.given[direction].Before(next):
			next = l.given[direction]
		}
	}
	switch {
	case !l.heard[0] && !l.heard[1]:
		m.remove(now, l, touched)
	case l.both && !(l.heard[0] && l.heard[1]):
		// In one direction it is no link, but still no way to stations.
		l.both, m.loose = false, true
		m.change()
		touched[l.A.DPID], touched[l.B.DPID] = struct{}{}, struct{}{}
	}
	return next
}

// Frames returns the frames that a port is to send. While it is new, every other time one that bridges
// pass on is among them, and one of a link never.
func (m *Map) Frames(now time.Time, from End) [][]byte {
	frames := [][]byte{m.key.Frame(now, from)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.at(from); p != nil && m.ends[from] == nil && (p.sends%2 == 1 || p.sends >= young) {
		frames = append(frames, m.key.Passed(now, from))
	}
	return frames
}

// Sent says that the frames of Work have left by these ports.
func (m *Map) Sent(now time.Time, d intent.DPID, ports []uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	if n == nil {
		return
	}
	for _, no := range ports {
		if p := n.ports[no]; p != nil && p.confirmed.IsZero() {
			p.confirmed = now
		}
	}
}

// Unsure reports whether it matters for a port that a frame of it is known to
// have left.
func (m *Map) Unsure(d intent.DPID, ports []uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	return n != nil && slices.ContainsFunc(ports, func(no uint32) bool { p := n.ports[no]; return p != nil && p.confirmed.IsZero() })
}

// Heard takes a frame that came by a port, and says what it causes and who has
// to do something about it: to change what its ports are, or to send.
func (m *Map) Heard(now time.Time, at End, frame []byte) (Verdict, intent.Touched) {
	from, passed, err := m.key.Read(now, frame)
	switch {
	case err == nil:
	case errors.Is(err, ErrForged):
		return Forged, nil
	case errors.Is(err, ErrStale):
		return Stale, nil
	default:
		return Foreign, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	here, there := m.at(at), m.at(from)
	if here == nil || there == nil || at == from {
		return Unplaced, nil
	}
	touched := intent.Touched{}
	if passed {
		return m.joined(now, at, from, touched), touched
	}
	here.hear(now, from)
	if m.crowded(now, here) || m.crowded(now, there) {
		m.dissolve(now, at, touched)
		m.dissolve(now, from, touched)
		verdict := m.joined(now, at, from, touched)
		m.settle(now, touched)
		return verdict, touched
	}
	l := m.links[Between(at, from)]
	if l != nil && l.Down {
		m.remove(now, l, touched)
		l = nil
	}
	if l == nil {
		for _, e := range []End{at, from} {
			if other := m.ends[e]; other != nil && other.fresh && m.here(other.A) && m.here(other.B) {
				m.doubt(now, at, touched)
				m.doubt(now, from, touched)
				return Shared, touched
			}
		}
		for _, e := range []End{at, from} {
			if other := m.ends[e]; other != nil {
				m.remove(now, other, touched)
			}
		}
		l = &link{Known: Known{Link: Between(at, from), Since: now}}
		m.add(l)
	}
	verdict, direction := Heard, l.direction(from)
	l.fresh = true
	l.hear(direction)
	here.edge, there.edge = false, false
	if !l.both {
		verdict = Found
		touched[at.DPID], touched[from.DPID] = struct{}{}, struct{}{}
		if l.heard[1-direction] {
			l.both, m.loose = true, true
			m.change()
		} else {
			here.next = now // the other side is to know, too
		}
	}
	m.settle(now, touched)
	return verdict, touched
}

// at returns a port of the fabric that can be heard.
func (m *Map) at(e End) *port {
	if n := m.nodes[e.DPID]; n != nil && n.connected {
		if p := n.ports[e.Port]; p != nil && p.up {
			return p
		}
	}
	return nil
}
