package session

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// taker takes packet-ins of kind 0 and passes batches on.
func taker(ctx context.Context, c *Conn) (batches <-chan int, end <-chan error) {
	got, ended := make(chan int, 1000), make(chan error, 1)
	go func() {
		for {
			batch, err := c.PacketIns(0).Take(ctx, nil)
			if err != nil {
				ended <- err
				return
			}
			got <- len(batch)
		}
	}()
	return got, ended
}

func TestTakerReadsForEverybody(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{Ports: switchtest.Ports(1)})
	c := k.next(t)
	batches, _ := taker(t.Context(), c)
	for n := range 50 {
		// Whoever reads at the moment, each of these arrives.
		sw.Send(t, packetIn(1, []byte("x")))
		<-batches
		if err := c.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		sw.SetPort(t, openflow.Port{No: 1, Config: openflow.PortConfig(n)})
		if ps := (<-c.Notices()).Message.(*openflow.PortStatus); ps.Port.Config != openflow.PortConfig(n) {
			t.Fatalf("round %d: port status %+v", n, ps)
		}
	}
}

func TestTakerThatDoesNotComeBackIsReplaced(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for range 5 {
		for range 2 { // the second is read by the taker itself
			sw.Send(t, packetIn(1, []byte("x")))
			if _, err := c.PacketIns(0).Take(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		// Nobody takes any more: the switch is heard nevertheless.
		sw.SetPort(t, openflow.Port{No: 1})
		select {
		case <-c.Notices():
		case <-time.After(patient):
			t.Fatal("nobody reads from the switch")
		}
	}
}

func TestTakerThatReadsEndsWithItsContextOrSession(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		batches, end := taker(ctx, c)
		sw.Send(t, packetIn(1, []byte("x")))
		<-batches // it will wait by reading
		cancel()
		select {
		case err := <-end:
			wantErr(t, err, context.Canceled)
		case <-time.After(patient):
			t.Fatal("Take does not end with its context")
		}
		if err := c.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	batches, end := taker(t.Context(), c)
	sw.Send(t, packetIn(1, []byte("x")))
	<-batches
	sw.Disconnect()
	wantErr(t, <-end, ErrPeerClosed)
	wantErr(t, awaitEnd(t, c), ErrPeerClosed)
	for range c.Notices() { // ends
	}
}

func TestManyTakersShareTheReading(t *testing.T) {
	t.Parallel()
	const kinds, each = 4, 500
	cfg := Config{
		PacketIns: make([]Kind, kinds),
		Classify:  func(h Head) int { return int(h.Cookie) },
	}
	k := newController(t, cfg, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var got [kinds]atomic.Int64
	for kind := range kinds {
		for range 2 {
			wg.Go(func() {
				for {
					batch, err := c.PacketIns(kind).Take(ctx, nil)
					if err != nil {
						return
					}
					for i := range batch {
						if batch[i].Cookie != uint64(kind) {
							t.Errorf("a packet-in of kind %d among those of kind %d", batch[i].Cookie, kind)
						}
					}
					if got[kind].Add(int64(len(batch))); kind == 0 {
						_ = c.Barrier(ctx) // one handler has questions of its own
					}
				}
			})
		}
	}
	for range each {
		for kind := range kinds {
			p := packetIn(1, []byte("x"))
			p.Cookie = uint64(kind)
			sw.Send(t, p)
		}
	}
	for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		all := true
		for kind := range kinds {
			all = all && got[kind].Load() == each
		}
		if all {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("packet-ins taken: %d %d %d %d, want %d each", got[0].Load(), got[1].Load(), got[2].Load(), got[3].Load(), each)
		}
	}
	cancel()
	wg.Wait()
}

// countingListener hands out connections that count the system calls that write.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{nc.(*net.TCPConn), l.writes}, nil
}

type countingConn struct {
	*net.TCPConn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(b)
}

func (c countingConn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.TCPConn.SyscallConn()
	return countingRawConn{raw, c.writes}, err
}

type countingRawConn struct {
	syscall.RawConn
	writes *atomic.Int64
}

func (c countingRawConn) Write(f func(fd uintptr) bool) error {
	return c.RawConn.Write(func(fd uintptr) bool {
		c.writes.Add(1)
		return f(fd)
	})
}

func TestManyMessagesAreOneSystemCall(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	k := serveController(t, countingListener{ln, &writes}, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 64, 300} {
		before := writes.Load()
		if err := c.Send(addFlows(n)...); err != nil {
			t.Fatal(err)
		}
		if got := writes.Load() - before; got != 1 {
			t.Errorf("%d messages took %d system calls, want 1", n, got)
		}
	}
	// More than the kernel takes at once goes on in chunks, not in messages.
	before, size := writes.Load(), 0
	for _, m := range addFlows(20_000) {
		size += len(openflow.AppendMessage(nil, 0, m))
	}
	sw.Pause()
	if err := c.Send(addFlows(20_000)...); err != nil {
		t.Fatal(err)
	}
	sw.Resume()
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, most := int(writes.Load()-before), 2*(size/writeChunk)+8; got > most {
		t.Errorf("20,000 messages of %d bytes took %d system calls, want %d at most", size, got, most)
	}
}

// Not parallel: allocations are counted for the whole process.
func TestResponseAllocatesNothing(t *testing.T) {
	k := newController(t, Config{}, respond)
	addr, err := net.ResolveTCPAddr("tcp4", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dialEmulated(addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s.fd)
	if err := s.handshake(); err != nil {
		t.Fatal(err)
	}
	const window = 64
	var frames []byte
	for range window {
		frames = openflow.AppendMessage(frames, 0, packetIn(1, benchPacket()))
	}
	var outs int
	count := func(b []byte) error {
		if openflow.Type(b[1]) == openflow.TypePacketOut {
			outs++
		}
		return nil
	}
	round := func() {
		if err := s.write(frames); err != nil {
			t.Fatal(err)
		}
		for outs = 0; outs < window; {
			if err := s.receive(count); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 { // buffers grow
		round()
	}
	// The timer of the intake may start a goroutine now and then; a response
	// has no part in that.
	if n := testing.AllocsPerRun(1000, round); n >= 1 {
		t.Errorf("%v allocations for %d responses, want 0", n, window)
	}
}
