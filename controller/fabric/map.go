package fabric

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

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
	joints  map[Link]time.Time // ports that a bridge of others joins, and when that was last heard
	last    map[End]past       // what ports were connected with, until they are found to lead to stations
	tree    map[Link]bool
	closing map[Link]bool // links that are no more, whose ports may both be open
	waiting intent.Touched
	loose   bool // links came or went since the tree was looked at
	ways    ways
	changed bool // what is known differs from what TakeChanged has told
	news    chan struct{}
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
}

// port is a port of the fabric.
type port struct {
	up        bool
	edge      bool // it leads to stations
	sends     int
	confirmed time.Time // when its first frame is known to have left
	next      time.Time // when the next one is due

	heard   map[End]time.Time // by whom frames came that bridges do not pass on, and when
	latest  End               // of these
	crowded time.Time         // when it was last found that several others are at the wire
	rival   time.Time         // when it last heard of one that has a link, or was heard by one
}

// link is two ports of which at least one has heard of the other.
type link struct {
	Known
	both  bool // each has
	fresh bool // heard of by this Map, not only remembered

	// Of A at B, and of B at A:
	heard   [2]bool
	unheard [2]int       // how many frames were sent since one was heard
	given   [2]time.Time // until when one of mostUnheard may still be
}

// NewMap returns a Map in which nothing is known.
func NewMap() *Map {
	return &Map{
		nodes: map[intent.DPID]*node{}, links: map[Link]*link{}, ends: map[End]*link{}, last: map[End]past{}, tree: map[Link]bool{},
		closing: map[Link]bool{}, joints: map[Link]time.Time{}, ways: ways{held: map[intent.DPID][]Rule{}, paths: map[intent.DPID][]intent.Path{}}, waiting: intent.Touched{}, news: make(chan struct{}, 1),
	}
}

// Load takes over the key and the links that are known from before. It comes before
// all else.
func (m *Map) Load(key Key, known []Known, slots map[intent.DPID]uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.key = key
	m.ways.slots = slots
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
	m.ways.live = m.live()
	m.ways.renew(intent.Touched{})
	for d := range m.ways.rules {
		m.ways.leave(d)
	}
}

func (m *Map) add(l *link) {
	m.links[l.Link], m.ends[l.A], m.ends[l.B] = l, l, l
	m.last[l.A], m.last[l.B] = past{l.B, l.Since}, past{l.A, l.Since}
	m.unjoin(l.A)
	m.unjoin(l.B)
}

// Connect says that a switch has a session from now on. Who is touched has other paths.
func (m *Map) Connect(d intent.DPID) intent.Touched {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := intent.Touched{}
	m.ways.come(d, touched)
	n := m.nodes[d]
	if n == nil {
		n = &node{}
		m.nodes[d] = n
	}
	open := n.open
	*n = node{connected: true, ports: map[uint32]*port{}, open: open}
	for _, l := range m.links {
		if l.A.DPID == d || l.B.DPID == d {
			l.fresh = false
		}
	}
	return touched
}

// Disconnect says that the session of a switch has ended. What it forwards
// stays as it is, and so do its links.
func (m *Map) Disconnect(d intent.DPID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[d]; n != nil {
		n.connected, n.adopted, n.ports = false, false, nil
		m.ways.leave(d)
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
	maps.DeleteFunc(m.joints, func(l Link, _ time.Time) bool { return l.A.DPID == d || l.B.DPID == d })
	maps.DeleteFunc(m.last, func(e End, p past) bool { return e.DPID == d || p.far.DPID == d })
	delete(m.nodes, d)
	delete(m.ways.held, d)
	m.change()
	m.settle(now, touched)
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
	var gone []End
	for e := range m.ends {
		if e.DPID == d && n.ports[e.Port] == nil {
			gone = append(gone, e)
		}
	}
	slices.SortFunc(gone, End.Compare)
	for _, e := range gone {
		if l := m.ends[e]; l != nil { // it may have been of two that are gone
			m.remove(now, l, touched)
		}
	}
	m.settle(now, touched)
	delete(touched, d)
	return touched
}

func (m *Map) setPort(now time.Time, e End, up bool, touched intent.Touched) {
	n := m.nodes[e.DPID]
	p := n.ports[e.Port]
	if p == nil {
		p = &port{up: up, next: now}
		n.ports[e.Port] = p
		m.rejoin(now, e)
		if l := m.ends[e]; l != nil && l.both {
			// What nobody could hear while the switch was away is not silence.
			l.hear(0)
			l.hear(1)
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
		l.Down, l.Since, m.loose = false, now, true
		m.change()
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
	m.settle(now, touched)
	return touched
}

func (m *Map) down(now time.Time, e End, touched intent.Touched) {
	if l := m.ends[e]; l != nil && m.away(l, e) {
		// Its other port stays as it is, and may be open: when this one is up
		// again, it must not be taken for one that leads to stations.
		l.Down, l.Since, m.loose = true, now, true
		m.change()
		m.part(l)
		touched[e.DPID] = struct{}{}
	} else if l != nil {
		m.remove(now, l, touched)
	}
	m.nodes[e.DPID].ports[e.Port].renew(now)
	m.unjoin(e)
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
	m.loose = true
	if l.both {
		m.change()
	}
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
		case n.ports[no].edge && (n.open[no] || m.mayServe(End{d, no})):
			n.open[no] = true
		case n.ports[no].edge:
			m.waiting[d] = struct{}{}
			shut = append(shut, no)
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

// LinkPorts returns the ports of a switch that lead to other switches, in order.
func (m *Map) LinkPorts(d intent.DPID) (ports []uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[d]
	if n == nil {
		return nil
	}
	for no := range n.ports {
		if m.ends[End{d, no}] != nil {
			ports = append(ports, no)
		}
	}
	slices.Sort(ports)
	return ports
}

// Beyond returns the other end of the link that a port leads to.
func (m *Map) Beyond(e End) (far End, linked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.ends[e]
	if l == nil || l.Down {
		return far, false
	}
	if l.A == e {
		return l.B, true
	}
	return l.A, true
}

// Edge reports whether a port leads to stations.
func (m *Map) Edge(e End) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[e.DPID]
	return n != nil && n.ports[e.Port] != nil && n.ports[e.Port].edge
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
func (m *Map) mayOpen(l *link) bool { return m.open(l).join(l.A.DPID, l.B.DPID) }

// open returns the parts of the fabric that are connected by what may be open, but for a link.
func (m *Map) open(but *link) parts {
	whole := parts{}
	for other := range m.closing {
		whole.join(other.A.DPID, other.B.DPID)
	}
	for _, other := range m.links {
		if other != but && m.passes(other) {
			whole.join(other.A.DPID, other.B.DPID)
		}
	}
	m.joinBridges(whole)
	return whole
}

// settle brings the tree and the paths up to the links and touches the switches
// that are concerned.
func (m *Map) settle(now time.Time, touched intent.Touched) {
	if !m.loose {
		return
	}
	m.loose = false
	live := m.live()
	m.tree = forest(live, func(l Link) bool { return m.links[l].Tree })
	for _, l := range m.links {
		if l.Tree != m.tree[l.Link] {
			l.Tree = m.tree[l.Link]
			m.change()
			touched[l.A.DPID], touched[l.B.DPID] = struct{}{}, struct{}{}
		}
	}
	m.restrain(now, touched)
	m.ways.set(now, live, touched)
}

// live returns the links that carry frames, in order.
func (m *Map) live() (live []Link) {
	for _, l := range m.sorted() {
		if l.both && !l.Down {
			live = append(live, l.Link)
		}
	}
	return live
}

// TakeChanged returns the links, in order, and whether they changed since it
// was called last. Those that were lost are among them until it is found that
// their ports lead elsewhere.
func (m *Map) TakeChanged() ([]Known, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.changed
	m.changed = false
	return m.known(), changed
}

// Links returns the links, in order.
func (m *Map) Links() []Known {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known()
}

func (m *Map) known() []Known {
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
	return slices.SortedFunc(maps.Values(all), func(a, b Known) int { return a.Compare(b.Link) })
}

// Changed says that what TakeChanged returned is lost.
func (m *Map) Changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change()
}

func (m *Map) change() {
	m.changed = true
	select {
	case m.news <- struct{}{}:
	default: // one is there already
	}
}

// News holds a token when TakeChanged has something to tell.
func (m *Map) News() <-chan struct{} { return m.news }

// sorted returns the links in their order.
func (m *Map) sorted() []*link {
	return slices.SortedFunc(maps.Values(m.links), func(a, b *link) int { return a.Compare(b.Link) })
}
