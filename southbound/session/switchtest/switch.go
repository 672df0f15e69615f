// Package switchtest is an OpenFlow 1.3 switch for tests: it speaks to a
// controller over TCP, keeps flows and ports as a real switch does, and lets a
// test see and disturb everything. It forwards no packets.
//
//	sw := switchtest.Dial(t, addr, switchtest.Options{DPID: 1, Ports: switchtest.Ports(4)})
//	sw.Await(t, "two flows", func() bool { return len(sw.Flows()) == 2 })
//	sw.Send(t, &openflow.PacketIn{...})
package switchtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/macloom/macloom/southbound/openflow"
)

// Options of a Switch. The zero value is a switch without ports.
type Options struct {
	DPID  uint64
	Ports []openflow.Port
	// NoBundles makes the switch refuse bundles as an unknown experimenter.
	NoBundles bool
	// Groups makes it tell that it has groups of all types.
	Groups bool
	// NoEcho makes it leave echo requests unanswered.
	NoEcho bool
	// Refuse, if not nil, is asked about every message but hello and echo and
	// makes the switch answer it with the error it returns. It sees
	// a message of a bundle twice: as *openflow.BundleAdd when it arrives, and
	// by itself when the bundle is committed. Data is filled in.
	Refuse func(openflow.Message) *openflow.Error
}

// Ports returns n ports, numbered from 1 and named p1, p2, ...
func Ports(n int) []openflow.Port {
	ports := make([]openflow.Port, n)
	for i := range ports {
		no := uint32(i + 1)
		ports[i] = openflow.Port{
			No: no, Name: fmt.Sprintf("p%d", no), HWAddr: [6]byte{0x0e, 0, 0, 0, byte(no >> 8), byte(no)},
			CurrSpeed: 10_000_000, MaxSpeed: 10_000_000,
		}
	}
	return ports
}

// Switch is an emulated switch. It keeps its flows, ports and counts when it
// disconnects and connects again. All methods may be called at any time.
type Switch struct {
	mu      sync.Mutex
	opts    Options
	changed chan struct{} // closed and replaced with every change
	link    *link         // nil while not connected

	ports      []openflow.Port
	flows      map[flowKey]openflow.FlowStats
	before     []was // what the bundle that is being committed has changed; nil: none is
	groups     map[uint32]openflow.GroupDesc
	meters     map[uint32]openflow.MeterConfig
	bundles    map[uint32]*bundle
	received   map[openflow.Type]int
	flowMods   int
	packetOuts []openflow.PacketOut
	flushed    []uint16
	role       openflow.RoleRequest
	paused     bool
	fault      error // the last thing that the controller did wrong
}

// link is one connection.
type link struct {
	nc      net.Conn
	closing func()
	closed  chan struct{} // closing was called
	done    chan struct{} // nothing reads any more

	mu sync.Mutex // of w, never held together with Switch.mu by the reader
	w  *bufio.Writer
}

// New returns a switch that is not connected yet.
func New(o Options) *Switch {
	return &Switch{
		opts: o, changed: make(chan struct{}), ports: slices.Clone(o.Ports),
		flows: map[flowKey]openflow.FlowStats{}, groups: map[uint32]openflow.GroupDesc{}, meters: map[uint32]openflow.MeterConfig{},
		bundles: map[uint32]*bundle{}, received: map[openflow.Type]int{},
	}
}

// Dial returns a switch that has connected to the controller at addr. It
// disconnects at the end of the test.
func Dial(t testing.TB, addr string, o Options) *Switch {
	t.Helper()
	s := New(o)
	s.Connect(t, addr)
	return s
}

// Connect connects to the controller at addr and disconnects at the end of the
// test. Hello and features are sent in the background.
func (s *Switch) Connect(t testing.TB, addr string) {
	t.Helper()
	if err := s.Reconnect(addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Disconnect)
}

// Reconnect is Connect for a process that is no test.
func (s *Switch) Reconnect(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("switchtest: connect: %w", err)
	}
	l := &link{nc: nc, closed: make(chan struct{}), done: make(chan struct{}), w: bufio.NewWriterSize(nc, 64<<10)}
	l.closing = sync.OnceFunc(func() { close(l.closed) })
	s.mu.Lock()
	old := s.link
	s.link = l
	clear(s.bundles)
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
	go s.serve(l)
	return nil
}

// Disconnect closes the connection, if there is one.
func (s *Switch) Disconnect() {
	s.mu.Lock()
	l := s.link
	s.link = nil
	s.mu.Unlock()
	if l != nil {
		l.close()
	}
	s.change(func() {})
}

func (l *link) close() {
	l.closing()
	l.nc.Close()
	<-l.done
}

// Connected says whether the connection stands.
func (s *Switch) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return false
	}
	select {
	case <-s.link.done:
		return false
	default:
		return true
	}
}

// Restart forgets all flows, groups and meters, as a switch does that lost
// power. It does not touch the connection.
func (s *Switch) Restart() {
	s.change(func() {
		clear(s.flows)
		clear(s.groups)
		clear(s.meters)
		clear(s.bundles)
	})
}

// Pause makes the switch read nothing until Resume.
func (s *Switch) Pause() { s.change(func() { s.paused = true }) }

// Resume ends Pause.
func (s *Switch) Resume() { s.change(func() { s.paused = false }) }

// SetRefuse replaces Options.Refuse.
func (s *Switch) SetRefuse(f func(openflow.Message) *openflow.Error) {
	s.change(func() { s.opts.Refuse = f })
}

// Send sends a message of the switch's own accord, such as a packet-in.
func (s *Switch) Send(t testing.TB, m openflow.Message) {
	t.Helper()
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		t.Fatal("switchtest: send: not connected")
	}
	if err := l.send(0, m, true); err != nil {
		t.Fatalf("switchtest: send: %v", err)
	}
}

// SetPort adds the port p, or changes the port with its number, and reports it.
func (s *Switch) SetPort(t testing.TB, p openflow.Port) {
	t.Helper()
	reason := openflow.PortAdd
	s.change(func() {
		for i := range s.ports {
			if s.ports[i].No == p.No {
				s.ports[i], reason = p, openflow.PortModify
				return
			}
		}
		s.ports = append(s.ports, p)
	})
	s.Send(t, &openflow.PortStatus{Reason: reason, Port: p})
}

// RemovePort removes the port with the number no, if it is there, and reports it.
func (s *Switch) RemovePort(t testing.TB, no uint32) {
	t.Helper()
	var gone *openflow.Port
	s.change(func() {
		s.ports = slices.DeleteFunc(s.ports, func(p openflow.Port) bool {
			if p.No == no {
				gone = &p
			}
			return p.No == no
		})
	})
	if gone != nil {
		s.Send(t, &openflow.PortStatus{Reason: openflow.PortDelete, Port: *gone})
	}
}

// Flows returns the flow table, sorted by table, priority (highest first) and match.
func (s *Switch) Flows() []openflow.FlowStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sortedFlows(nil)
}

// FlowMods is how many flow-mods arrived, those within bundles included.
func (s *Switch) FlowMods() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flowMods
}

// Received is how many messages of a type arrived. A message within a bundle
// counts as the experimenter message that carries it.
func (s *Switch) Received(t openflow.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received[t]
}

// PacketOuts returns the packet-outs that arrived, in order.
func (s *Switch) PacketOuts() []openflow.PacketOut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.packetOuts)
}

// FlushedZones returns the conntrack zones that were flushed, in order.
func (s *Switch) FlushedZones() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.flushed)
}

// Fault returns what ended the last connection, if that was a fault of the
// controller, such as a message that cannot be decoded.
func (s *Switch) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Await waits until cond is true; it looks again after every change of the
// switch, and fails the test after 20 s.
func (s *Switch) Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("switchtest: waited in vain for %s (last fault: %v)", what, s.Fault())
		}
	}
}

func (s *Switch) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// send encodes m. Without flush it may wait for the next one.
func (l *link) send(xid uint32, m openflow.Message, flush bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := openflow.AppendMessage(nil, xid, m)
	if len(b) == 0 {
		return openflow.ErrTooLong
	}
	if _, err := l.w.Write(b); err != nil {
		return err
	}
	if flush {
		return l.w.Flush()
	}
	return nil
}

func (l *link) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Flush()
}

// serve is the life of a connection.
func (s *Switch) serve(l *link) {
	s.converse(l)
	l.nc.Close()
	close(l.done)
	s.change(func() {})
}

// converse returns when the connection is of no use any more.
func (s *Switch) converse(l *link) {
	if err := l.send(0, &openflow.Hello{Bitmap: 1 << openflow.Version13}, true); err != nil {
		return
	}
	r := bufio.NewReaderSize(l.nc, 64<<10)
	for {
		s.awaitResume(l)
		var head [openflow.HeaderLen]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		h, err := openflow.DecodeHeader(head[:])
		if err != nil {
			s.change(func() { s.fault = err })
			return
		}
		frame := make([]byte, h.Length) // of its own: messages may be kept
		copy(frame, head[:])
		if _, err := io.ReadFull(r, frame[openflow.HeaderLen:]); err != nil {
			return
		}
		_, m, err := openflow.Decode(frame)
		if err != nil {
			s.change(func() { s.fault = err })
			return
		}
		var answers []answer
		s.change(func() { answers = s.handle(h, m, frame) })
		for _, a := range answers {
			if err := l.send(a.xid, a.m, false); err != nil {
				return
			}
		}
		if r.Buffered() == 0 {
			if err := l.flush(); err != nil {
				return
			}
		}
	}
}

func (s *Switch) awaitResume(l *link) {
	for {
		s.mu.Lock()
		paused, changed := s.paused, s.changed
		s.mu.Unlock()
		if !paused {
			return
		}
		select {
		case <-changed:
		case <-l.closed:
			return
		}
	}
}
