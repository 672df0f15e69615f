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
	pauseLink  = 2 * time.Second
	pauseEdge  = 5 * time.Second
	young      = 10 // frames

	// silence is how long a link is believed in that nothing is heard of: three
	// frames are lost, and a fourth is late.
	silence = 3*pauseLink + time.Second

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
	// Shared: one of its ports is in another link, which lives.
	Shared
	// Found: a link that was not known, or not in this direction.
	Found
	// Heard: a link that was known.
	Heard
)

// Verdicts is the number of different verdicts.
const Verdicts = int(Heard) + 1

func (v Verdict) String() string {
	return [Verdicts]string{"foreign", "forged", "stale", "unplaced", "shared", "found", "known"}[v]
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
		if !p.next.After(now) {
			p.sends++
			p.next = now.Add(p.pause(m.ends[End{d, no}] != nil))
			send = append(send, no)
		}
		if l := m.ends[End{d, no}]; l != nil {
			until(m.expire(now, l, touched))
		} else if !p.edge && !p.confirmed.IsZero() {
			if end := p.confirmed.Add(holdOff); end.After(now) {
				until(end)
			} else if p.sends >= askFirst && !m.lurks(m.last[End{d, no}].far) {
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
	m.settle(touched)
	return send, wait, touched
}

// lurks reports whether a port may be open at a switch that is away, and so
// cannot be heard of.
func (m *Map) lurks(e End) bool {
	n := m.nodes[e.DPID]
	return e != (End{}) && (n == nil || !n.connected && (n.open == nil || n.open[e.Port]))
}

func (p *port) pause(linked bool) time.Duration {
	switch {
	case !linked && !p.edge:
		return pauseNew
	case p.sends < young:
		return pauseYoung
	case linked:
		return pauseLink
	}
	return pauseEdge
}

// expire gives up a link of two switches that are there, but of which nothing
// is heard. It returns when it is to be looked at again.
func (m *Map) expire(now time.Time, l *link, touched intent.Touched) time.Time {
	for _, e := range []End{l.A, l.B} {
		if n := m.nodes[e.DPID]; n == nil || !n.connected || n.ports[e.Port] == nil {
			return now.Add(idle)
		}
	}
	next, silent := now.Add(idle), 0
	for _, heard := range l.heard {
		if end := heard.Add(silence); end.After(now) {
			next = end
		} else {
			silent++
		}
	}
	switch {
	case silent == 2:
		m.remove(now, l, touched)
	case silent == 1 && l.both:
		// In one direction it is no link, but still no way to stations.
		l.both, m.loose = false, true
		m.change()
		touched[l.A.DPID], touched[l.B.DPID] = struct{}{}, struct{}{}
	case silent == 0:
		next = slices.MinFunc(l.heard[:], time.Time.Compare).Add(silence)
	}
	return next
}

// Frame returns the frame that a port is to send.
func (m *Map) Frame(now time.Time, from End) []byte { return m.key.Frame(now, from) }

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
	from, err := m.key.Read(now, frame)
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
	l := m.links[Between(at, from)]
	if l != nil && l.Down {
		m.remove(now, l, touched)
		l = nil
	}
	if l == nil {
		for _, e := range []End{at, from} {
			if other := m.ends[e]; other != nil && other.fresh {
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
	verdict, direction := Heard, 0
	if from == l.B {
		direction = 1
	}
	l.fresh, l.heard[direction] = true, now
	here.edge, there.edge = false, false
	if !l.both {
		verdict = Found
		touched[at.DPID], touched[from.DPID] = struct{}{}, struct{}{}
		if now.Sub(l.heard[1-direction]) < silence {
			l.both, m.loose = true, true
			m.change()
		} else {
			here.next = now // the other side is to know, too
		}
	}
	m.settle(touched)
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
