package fabric

import (
	"maps"
	"slices"
	"sync"
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

// Map is what is known of the fabric: its ports, what each is, the links and the
// flood tree. It is safe for concurrent use.
//
// A port passes frames if it leads to stations, or to a link of the tree. A link
// passes frames if both of its ports do, so one is enough to close it. The Map
// keeps record of the ports that may be passing frames, from what was sent to
// the switches and what they confirmed, and opens one only if the links
// that may be open do not become a loop by that. So whatever the order in which switches
// answer, there is none.
type Map struct {
	key Key

	mu      sync.Mutex
	nodes   map[intent.DPID]*node
	links   map[Link]*link
	ends    map[End]*link
	last    map[End]past // what ports were connected with, until they are found to lead to stations
	tree    map[Link]bool
	closing map[Link]bool // links that are no more, whose ports may both be open
	waiting intent.Touched
	loose   bool // links came or went since the tree was looked at
	changed bool // what is known differs from what TakeChanged has told
}

// past is what a port was connected with.
type past struct {
	far   End
	until time.Time
}

// node is a switch that has connected.
type node struct {
	connected bool
	adopted   bool // what it holds was found out in this session
	ports     map[uint32]*port
	open      map[uint32]bool // ports that may be passing frames
	astray    map[uint32]bool // ports behind which there are others than before
}

// port is a port of the fabric.
type port struct {
	up        bool
	edge      bool // it leads to stations
	sends     int
	confirmed time.Time // when its first frame is known to have left
	next      time.Time // when the next one is due
}

// link is two ports of which at least one has heard of the other.
type link struct {
	Known
	both  bool         // each has
	heard [2]time.Time // of A at B, of B at A
	fresh bool         // heard of by this Map, not only remembered
}

// NewMap returns a Map in which nothing is connected, with links that are known
// from before.
func NewMap(key Key, known []Known) *Map {
	m := &Map{
		key: key, nodes: map[intent.DPID]*node{}, links: map[Link]*link{}, ends: map[End]*link{}, last: map[End]past{}, tree: map[Link]bool{},
		closing: map[Link]bool{}, waiting: intent.Touched{},
	}
	for _, k := range known {
		if k.Down {
			m.last[k.A], m.last[k.B] = past{k.B, k.Since}, past{k.A, k.Since}
		}
	}
	for _, k := range known {
		if !k.Down && m.ends[k.A] == nil && m.ends[k.B] == nil {
			m.add(&link{Known: k, both: true})
			m.tree[k.Link] = k.Tree
		}
	}
	maps.DeleteFunc(m.tree, func(_ Link, in bool) bool { return !in })
	return m
}

func (m *Map) add(l *link) {
	m.links[l.Link], m.ends[l.A], m.ends[l.B] = l, l, l
	m.last[l.A], m.last[l.B] = past{l.B, l.Since}, past{l.A, l.Since}
}

// Connect says that a switch has a session from now on.
func (m *Map) Connect(d intent.DPID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	if n == nil {
		n = &node{}
		m.nodes[d] = n
	}
	open := n.open
	*n = node{connected: true, ports: map[uint32]*port{}, open: open, astray: map[uint32]bool{}}
	for _, l := range m.links {
		if l.A.DPID == d || l.B.DPID == d {
			l.fresh = false
		}
	}
}

// Disconnect says that the session of a switch has ended. What it forwards
// stays as it is, and so do its links.
func (m *Map) Disconnect(d intent.DPID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[d]; n != nil {
		n.connected, n.adopted, n.ports = false, false, nil
	}
}

// Forget removes a switch that will not come again.
func (m *Map) Forget(now time.Time, d intent.DPID) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	for _, l := range m.sorted() {
		if l.A.DPID == d || l.B.DPID == d {
			m.remove(now, l, touched)
			delete(m.closing, l.Link)
		}
	}
	maps.DeleteFunc(m.last, func(e End, p past) bool { return e.DPID == d || p.far.DPID == d })
	delete(m.nodes, d)
	m.changed = true
	m.settle(touched)
	m.release(touched)
	return touched
}

// SetPorts says which ports of a switch are of the fabric. Switches whose ports
// mean something else by that are touched, but for d itself.
func (m *Map) SetPorts(now time.Time, d intent.DPID, ports []intent.SwitchPort) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	n := m.nodes[d]
	if n == nil || !n.connected {
		return touched
	}
	present := make(map[uint32]bool, len(ports))
	for _, p := range ports {
		present[p.No] = true
		m.setPort(now, End{d, p.No}, p.Up, touched)
	}
	for _, no := range slices.Sorted(maps.Keys(n.ports)) {
		if !present[no] {
			m.down(now, End{d, no}, touched)
			delete(n.ports, no)
		}
	}
	// Ports that went while nobody was connected to see it.
	for _, l := range m.sorted() {
		for _, e := range []End{l.A, l.B} {
			if e.DPID == d && n.ports[e.Port] == nil {
				m.remove(now, l, touched)
			}
		}
	}
	m.settle(touched)
	delete(touched, d)
	return touched
}

func (m *Map) setPort(now time.Time, e End, up bool, touched intent.Touched) {
	n := m.nodes[e.DPID]
	p := n.ports[e.Port]
	if p == nil {
		p = &port{up: up, next: now}
		n.ports[e.Port] = p
		if l := m.ends[e]; l != nil && l.both {
			// What nobody could hear while the switch was away is not silence.
			l.heard = [2]time.Time{now, now}
		}
		if !up {
			m.down(now, e, touched)
		}
		return
	}
	if p.up == up {
		return
	}
	p.up = up
	if !up {
		m.down(now, e, touched)
		return
	}
	p.renew(now)
	if l := m.ends[e]; l != nil && l.Down && m.away(l, e) {
		l.Down, m.loose, m.changed = false, true, true
	}
}

// renew begins to find out what a port leads to.
func (p *port) renew(now time.Time) {
	*p = port{up: p.up, next: now}
}

// Down says that a port has gone or lost its link.
func (m *Map) Down(now time.Time, e End) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	if n := m.nodes[e.DPID]; n == nil || n.ports[e.Port] == nil {
		return touched
	}
	m.nodes[e.DPID].ports[e.Port].up = false
	m.down(now, e, touched)
	m.settle(touched)
	return touched
}

func (m *Map) down(now time.Time, e End, touched intent.Touched) {
	if l := m.ends[e]; l != nil && m.away(l, e) {
		// Its other port stays as it is, and may be open: when this one is up
		// again, it must not be taken for one that leads to stations.
		l.Down, m.loose, m.changed = true, true, true
		m.part(l)
		touched[e.DPID] = struct{}{}
	} else if l != nil {
		m.remove(now, l, touched)
	}
	m.nodes[e.DPID].ports[e.Port].renew(now)
}

// away reports whether the switch at the other end of a link has no session.
func (m *Map) away(l *link, e End) bool {
	far := l.A
	if far == e {
		far = l.B
	}
	n := m.nodes[far.DPID]
	return l.both && (n == nil || !n.connected)
}

// part takes down that a link is to be closed.
func (m *Map) part(l *link) {
	if m.passes(l) {
		m.closing[l.Link] = true
	}
}

// remove forgets a link. Its ports are new again.
func (m *Map) remove(now time.Time, l *link, touched intent.Touched) {
	delete(m.links, l.Link)
	delete(m.ends, l.A)
	delete(m.ends, l.B)
	m.last[l.A], m.last[l.B] = past{l.B, now}, past{l.A, now}
	m.loose, m.changed = true, m.changed || l.both
	m.part(l)
	for _, e := range []End{l.A, l.B} {
		touched[e.DPID] = struct{}{}
		if n := m.nodes[e.DPID]; n != nil && n.ports[e.Port] != nil {
			n.ports[e.Port].renew(now)
		}
	}
}

// Adopt takes over which ports a switch was found to let pass. The first time
// in a session, one that does and is in no link was found to lead to stations earlier.
func (m *Map) Adopt(d intent.DPID, open []uint32) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	n := m.nodes[d]
	if n == nil || !n.connected {
		return touched
	}
	n.open = make(map[uint32]bool, len(open))
	for _, no := range open {
		n.open[no] = true
		if p := n.ports[no]; p != nil && !n.adopted && p.up && m.last[End{d, no}] == (past{}) {
			p.edge = true
		}
	}
	n.adopted = true
	m.release(touched)
	return touched
}

// Shut returns the ports of a switch that must not pass frames now, and takes
// down that the others may from here on.
func (m *Map) Shut(d intent.DPID) (shut []uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	if n == nil || !n.connected {
		return nil
	}
	if n.open == nil {
		n.open = map[uint32]bool{}
	}
	delete(m.waiting, d)
	for _, no := range slices.Sorted(maps.Keys(n.ports)) {
		l := m.ends[End{d, no}]
		switch {
		case n.ports[no].edge:
			n.open[no] = true
		case l == nil || !l.Tree:
			shut = append(shut, no)
		case n.open[no]:
		case n.adopted && m.mayOpen(l):
			n.open[no] = true
		default:
			m.waiting[d] = struct{}{}
			shut = append(shut, no)
		}
	}
	return shut
}

// Confirmed says that a switch has carried out what Shut returned. Those that had to
// wait for that are touched.
func (m *Map) Confirmed(d intent.DPID, shut []uint32) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	touched := intent.Touched{}
	if n == nil || !n.connected {
		return touched
	}
	was := len(n.open)
	for no := range n.open {
		if n.ports[no] == nil || slices.Contains(shut, no) {
			delete(n.open, no)
		}
	}
	if len(n.open) != was {
		m.release(touched)
	}
	return touched
}

// release touches those who wait for links to be closed, when some may be.
func (m *Map) release(touched intent.Touched) {
	open := func(e End) bool { n := m.nodes[e.DPID]; return n != nil && n.open[e.Port] }
	for l := range m.closing {
		if !open(l.A) || !open(l.B) {
			delete(m.closing, l)
		}
	}
	maps.Copy(touched, m.waiting)
	m.waiting = intent.Touched{}
}

// passes reports whether a link may pass frames. Of a switch that has not
// connected to this controller yet it is known only what it was to do.
func (m *Map) passes(l *link) bool {
	for _, e := range []End{l.A, l.B} {
		if n := m.nodes[e.DPID]; n == nil || n.open == nil {
			if !l.Tree {
				return false
			}
		} else if !n.open[e.Port] {
			return false
		}
	}
	return true
}

// mayOpen reports whether a link can be opened without making a loop of those
// that may be open.
func (m *Map) mayOpen(l *link) bool {
	whole := parts{}
	for other := range m.closing {
		whole.join(other.A.DPID, other.B.DPID)
	}
	for _, other := range m.links {
		if other != l && m.passes(other) {
			whole.join(other.A.DPID, other.B.DPID)
		}
	}
	return whole.join(l.A.DPID, l.B.DPID)
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
					m.changed = true
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
		l.both, m.loose, m.changed = false, true, true
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
	switch err {
	case nil:
	case ErrForged:
		return Forged, nil
	case ErrStale:
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
			l.both, m.loose, m.changed = true, true, true
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

// settle brings the tree up to the links and touches the switches whose ports or
// stations are concerned.
func (m *Map) settle(touched intent.Touched) {
	if !m.loose {
		return
	}
	m.loose = false
	var live []Link
	for _, l := range m.sorted() {
		if l.both && !l.Down {
			live = append(live, l.Link)
		}
	}
	tree := forest(live, func(l Link) bool { return m.links[l].Tree })
	for _, l := range m.links {
		if l.Tree != tree[l.Link] {
			l.Tree, m.changed = tree[l.Link], true
			touched[l.A.DPID], touched[l.B.DPID] = struct{}{}, struct{}{}
		}
	}
	before := m.tree
	m.tree = tree
	for l := range before {
		if !tree[l] { // where it only grew, nobody is somewhere else
			m.findAstray(before, touched)
			return
		}
	}
}

// findAstray notes the ports that led to switches which are somewhere else now:
// what was learned there is not true any more.
func (m *Map) findAstray(before map[Link]bool, touched intent.Touched) {
	now := behind(m.tree)
	for e, was := range behind(before) {
		n := m.nodes[e.DPID]
		if n == nil || !n.connected {
			continue
		}
		for d := range was {
			if !now[e][d] {
				n.astray[e.Port], touched[e.DPID] = true, struct{}{}
				break
			}
		}
	}
}

// Astray returns the ports of a switch where what was learned before is not
// true any more, once.
func (m *Map) Astray(d intent.DPID) []uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	if n == nil || len(n.astray) == 0 {
		return nil
	}
	ports := slices.Sorted(maps.Keys(n.astray))
	clear(n.astray)
	return ports
}

// TakeChanged returns the links, in order, and whether they changed since it
// was called last. Those that were lost are among them until it is found that
// their ports lead elsewhere.
func (m *Map) TakeChanged() ([]Known, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.changed
	m.changed = false
	all := map[Link]Known{}
	for e, p := range m.last {
		if l := Between(e, p.far); m.ends[e] == nil && m.ends[p.far] == nil && !p.until.Before(all[l].Since) {
			all[l] = Known{Link: l, Down: true, Since: p.until}
		}
	}
	for _, l := range m.links {
		if l.both {
			all[l.Link] = l.Known
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Known) int { return a.Compare(b.Link) }), changed
}

// Changed says that what TakeChanged returned is lost.
func (m *Map) Changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = true
}

// sorted returns the links in their order.
func (m *Map) sorted() []*link {
	return slices.SortedFunc(maps.Values(m.links), func(a, b *link) int { return a.Compare(b.Link) })
}
