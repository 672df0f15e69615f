// Package health probes the backends of affinity pools: when which one is asked, what
// it is asked, and what follows from its answers. It is pure: frames come in and go
// out, and a clock and a source of chance are injected.
//
// Probes of a switch are spread over time, and each backend is asked by itself: a
// slow one delays nobody.
package health

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

const (
	// lateness is by how much a deadline may be missed. What is later says more of the
	// controller than of a backend.
	lateness = time.Second
	// perTurn bounds what one call of Work does, so that answers are heard meanwhile.
	perTurn = 256
	// idle is how long nothing is to be done if there is nothing to probe.
	idle = time.Hour
)

// Frame is one to be sent to a backend.
type Frame struct {
	OFPort uint32
	VLAN   uint16
	Data   []byte
}

// Checker probes the backends at the ports of one switch.
type Checker struct {
	count func(Result)

	mu      sync.Mutex
	chance  *rand.Rand
	targets map[uint32]*target // by backend
	talks   map[socket]*target // those under way
	line    line
}

// target is a backend.
type target struct {
	probe intent.Probe
	tally tally
	talk  *talk     // nil: none under way
	due   time.Time // when the next step is: the start of a probe, or the end of the time for an answer
	began time.Time // the last probe
	own   uint16    // source port of that, beyond the first, or identifier
	at    int       // in the line
}

// NewChecker returns a Checker that knows of no backends. count hears of each result.
func NewChecker(chance *rand.Rand, count func(Result)) *Checker {
	return &Checker{count: count, chance: chance, targets: map[uint32]*target{}, talks: map[socket]*target{}}
}

// Set says which backends there are. Those that are known already go on as they were, the
// others begin with what was known of them, at some moment within their delay.
func (c *Checker) Set(now time.Time, probes []intent.Probe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make(map[uint32]bool, len(probes))
	for i := range probes {
		p := &probes[i]
		kept[p.Backend] = true
		t := c.targets[p.Backend]
		if t != nil && same(&t.probe, p) {
			continue
		}
		state := p.Last
		if t != nil {
			if t.probe.Monitor.Kind == p.Monitor.Kind { // else what was known is forgotten
				state = t.tally.state
			}
			c.drop(t)
		}
		t = &target{probe: *p, tally: tally{state: state}, own: uint16(c.chance.Uint32())}
		t.due = now.Add(rand64(c.chance, seconds(p.Monitor.Delay)))
		c.targets[p.Backend] = t
		heap.Push(&c.line, t)
	}
	for backend, t := range c.targets {
		if !kept[backend] {
			c.drop(t)
		}
	}
}

// same reports whether two probes of a backend do the same.
func same(p, q *intent.Probe) bool {
	a, b := *p, *q
	a.Last, a.Catches, a.Shared = b.Last, b.Catches, b.Shared
	return a == b
}

func (c *Checker) drop(t *target) {
	if t.talk != nil {
		delete(c.talks, t.talk.at)
	}
	heap.Remove(&c.line, t.at)
	delete(c.targets, t.probe.Backend)
}

// Work does what is due: it returns the frames to send, what was found, and how long
// there is nothing to do.
func (c *Checker) Work(now time.Time) (frames []Frame, found []intent.HealthVerdict, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range perTurn {
		if len(c.line) == 0 {
			return frames, found, idle
		}
		t := c.line[0]
		if late := now.Sub(t.due); late < 0 {
			return frames, found, -late
		}
		if t.talk == nil {
			if data := c.begin(now, t); data != nil {
				frames = append(frames, t.frame(data))
			}
			continue
		}
		if end := t.talk.reset(&t.probe); end != nil {
			frames = append(frames, t.frame(end))
		}
		r, reason := Silent, t.talk.silence(&t.probe)
		if now.Sub(t.due) > lateness {
			r = Unsure
		}
		found = c.end(now, t, r, reason, found)
	}
	return frames, found, 0
}

// Heard takes a packet that the switch has caught.
func (c *Checker) Heard(now time.Time, data []byte) (frames []Frame, found []intent.HealthVerdict) {
	a, ok := parse(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.talks[socket{a.to, a.from, a.ping, a.SrcPort, a.DstPort}]
	if !ok || t == nil {
		c.count(Stray)
		return nil, nil
	}
	reply, over, r, reason := t.talk.hear(&t.probe, &a)
	if reply != nil {
		frames = append(frames, t.frame(reply))
	}
	switch {
	case over:
		found = c.end(now, t, r, reason, nil)
	case r == Stray:
		c.count(Stray)
	}
	return frames, found
}

// Doubt takes back that a backend is down: what has led to it may be the switch's fault.
func (c *Checker) Doubt(backend string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.targets {
		if t.probe.ID == backend {
			t.tally = tally{state: intent.HealthUnknown}
		}
	}
}

func (t *target) frame(data []byte) Frame { return Frame{t.probe.OFPort, t.probe.VLAN, data} }

// begin starts a probe.
func (c *Checker) begin(now time.Time, t *target) []byte {
	p := &t.probe
	ping := p.Monitor.Kind == intent.MonitorPing
	for range intent.ProbePorts {
		t.own++
		own := t.own
		if !ping {
			own = intent.FirstProbePort + t.own%intent.ProbePorts
		}
		at := socket{p.VIP, p.Addr, ping, p.Port, own}
		if c.talks[at] == nil {
			t.talk = &talk{at: at, seq: c.chance.Uint32()}
			c.talks[at] = t
			break
		}
	}
	t.began = now
	if t.talk == nil { // as many pools as there are ports ask the same
		c.next(now, t)
		return nil
	}
	c.wait(t, now.Add(seconds(p.Monitor.Timeout)))
	return t.talk.begin(p)
}

// end ends a probe.
func (c *Checker) end(now time.Time, t *target, r Result, reason string, found []intent.HealthVerdict) []intent.HealthVerdict {
	c.count(r)
	delete(c.talks, t.talk.at)
	t.talk = nil
	c.next(now, t)
	if r == Unsure || !t.tally.add(r == Good, &t.probe.Monitor) {
		return found
	}
	return append(found, intent.HealthVerdict{BackendID: t.probe.ID, Health: t.tally.state, Reason: reason, At: now})
}

// next says when the next probe begins: a little more or less than the delay after
// the last one did, so that those of many backends do not fall into step.
func (c *Checker) next(now time.Time, t *target) {
	delay := seconds(t.probe.Monitor.Delay)
	at := t.began.Add(delay - delay/20 + rand64(c.chance, delay/10))
	if at.Before(now) {
		at = now
	}
	c.wait(t, at)
}

func (c *Checker) wait(t *target, until time.Time) {
	t.due = until
	heap.Fix(&c.line, t.at)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func rand64(chance *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(chance.Int64N(max(int64(below), 1)))
}

// line is the targets, the one that is due first at the head.
type line []*target

func (l line) Len() int           { return len(l) }
func (l line) Less(i, j int) bool { return l[i].due.Before(l[j].due) }

func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at, l[j].at = i, j
}

// Push implements heap.Interface.
func (l *line) Push(x any) {
	t := x.(*target)
	t.at = len(*l)
	*l = append(*l, t)
}

// Pop implements heap.Interface.
func (l *line) Pop() any {
	n := len(*l) - 1
	t := (*l)[n]
	(*l)[n] = nil
	*l = (*l)[:n]
	return t
}
