package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// from dials the controller from another address of the loopback interface.
func from(t testing.TB, ip, addr string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &peer{nc, t}
}

// flood writes b over and over until the connection ends, leaving others some of
// the processor.
func (p *peer) flood(b []byte) {
	for {
		if _, err := p.Write(b); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// What each of the hostile switches does once it is connected; the datapath id
// says which it is, so that the controller gives it the occasion.
const (
	floodsPacketIns = iota + 1
	floodsErrors
	floodsPortStatus
	floodsEchoes
	neverReads
	endlessMultipart
	hostileKinds
)

func TestThousandHostilePeersTakeNoMoreThanTheirShare(t *testing.T) {
	t.Parallel()
	const healthy = 0xfeed
	cfg := Config{
		PacketIns: []Kind{{Queue: 32}}, NoticeQueue: 32, SendBytes: 64 << 10, MultipartBytes: 256 << 10,
		MaxHandshakes: 64, MaxSessions: 1000, MaxPerAddress: 900, HandshakeTimeout: time.Hour,
	}
	var (
		mu       sync.Mutex
		sessions = map[*Conn]uint64{}
		served   = make(chan *Conn, 1)
	)
	k := newController(t, cfg, func(ctx context.Context, c *Conn) {
		mu.Lock()
		sessions[c] = c.Features().DatapathID
		mu.Unlock()
		switch c.Features().DatapathID {
		case healthy:
			served <- c
		case neverReads:
			go func() {
				for c.Send(&openflow.PacketOut{BufferID: openflow.NoBuffer, Data: make([]byte, 10_000)}) == nil {
				}
			}()
		case endlessMultipart:
			go func() {
				for ctx.Err() == nil {
					_ = c.Multipart(ctx, &openflow.PortDescRequest{}, func(openflow.MultipartBody) error {
						time.Sleep(time.Millisecond)
						return nil
					}, Limit(128<<10))
				}
			}()
		}
		<-ctx.Done()
	})

	noise := make([]byte, 20_000)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
	long := openflow.AppendMessage(nil, 7, &openflow.Error{ErrType: openflow.ErrorBadRequest, Data: make([]byte, 60_000)})
	status := openflow.AppendMessage(nil, 0, &openflow.PortStatus{})
	large := openflow.AppendMessage(nil, 0, packetIn(1, make([]byte, 60_000)))
	small := openflow.AppendMessage(nil, 0, packetIn(1, make([]byte, 60)))
	echo := openflow.AppendMessage(nil, 0, &openflow.EchoRequest{Data: make([]byte, 30_000)})
	hostile := func(n int) {
		p := from(t, "127.0.0.2", k.addr)
		switch {
		case n >= 300: // stalls
			return
		case n >= 200:
			go p.flood(noise)
			return
		}
		kind := 1 + n%(hostileKinds-1)
		go func() {
			p.send(0, &openflow.Hello{Bitmap: helloBitmap})
			p.send(1, &openflow.FeaturesReply{DatapathID: uint64(kind)}) // 1: the request's xid
			switch kind {
			case floodsPacketIns:
				p.flood(append(large[:len(large):len(large)], small...))
			case floodsErrors:
				p.flood(long)
			case floodsPortStatus:
				p.flood(status)
			case floodsEchoes:
				p.flood(echo)
			case endlessMultipart:
				buf := make([]byte, 4096)
				for {
					n, err := p.Read(buf)
					if err != nil {
						return
					}
					if n >= openflow.HeaderLen && openflow.Type(buf[1]) == openflow.TypeMultipartRequest {
						go p.flood(openflow.AppendMessage(nil, xidOf(buf), &openflow.MultipartReply{
							Flags: openflow.MultipartMore, Body: &openflow.PortDescReply{Ports: switchtest.Ports(100)},
						}))
					}
				}
			}
		}()
	}
	var attack sync.WaitGroup
	for part := range 4 {
		attack.Go(func() {
			for n := part; n < 1000; n += 4 {
				hostile(n)
			}
		})
	}

	// Amid all this another switch comes, from another address, and is served.
	attack.Wait()
	for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		kinds := map[uint64]bool{}
		for _, kind := range sessions {
			kinds[kind] = true
		}
		mu.Unlock()
		if len(kinds) == hostileKinds-1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("hostile switches of the kinds %v came through only", kinds)
		}
	}
	p := from(t, "127.0.0.1", k.addr)
	p.handshake(healthy)
	go func() {
		for frame := p.frame(); frame != nil; frame = p.frame() {
			switch openflow.Type(frame[1]) {
			case openflow.TypeBarrierRequest:
				p.send(xidOf(frame), &openflow.BarrierReply{})
				p.send(0, packetIn(1, []byte("good")))
			case openflow.TypeEchoRequest:
				p.send(xidOf(frame), &openflow.EchoReply{})
			}
		}
	}()
	var c *Conn
	select {
	case c = <-served:
	case <-time.After(patient):
		t.Fatalf("the healthy switch is kept out; %d connections are open", k.stats.Open.Load())
	}
	limit := cfg.MaxHeld()
	most := map[uint64]int{}
	var batch []openflow.PacketIn2
	for round := range 30 {
		if err := c.Commit(t.Context(), []openflow.Message{addFlow(round)}); err != nil {
			t.Fatalf("round %d: the healthy switch is not served: %v", round, err)
		}
		var err error
		if batch, err = c.PacketIns(0).Take(t.Context(), batch); err != nil || len(batch) != 1 {
			t.Fatalf("round %d: %d packet-ins, error %v", round, len(batch), err)
		}
		mu.Lock()
		for s, kind := range sessions {
			held := s.Held()
			most[kind] = max(most[kind], held)
			if held > limit {
				t.Errorf("round %d: %d bytes are held for a switch of kind %d, the limit is %d", round, held, kind, limit)
			}
		}
		mu.Unlock()
	}
	if open := k.stats.Open.Load(); open > 901 {
		t.Errorf("%d connections, 900 of one address and the healthy one are allowed", open)
	}
	t.Logf("held at most, by kind: %v, limit %d", most, limit)
}

func TestNoticesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{NoticeQueue: 4}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	huge := &openflow.Experimenter{Experimenter: 99, Data: make([]byte, 60_000)}
	p.send(0, huge) // alone it may be of any length
	p.send(0, &openflow.PortStatus{})
	wantErr(t, awaitEnd(t, c), ErrResync)
	if n := <-c.Notices(); n.Message.MsgType() != openflow.TypeExperimenter {
		t.Errorf("notice %v", n.Message)
	}

	// Errors are cut, so that many of them fit.
	q := dialPeer(t, k.addr)
	q.handshake(2)
	d := k.next(t)
	for range 4 {
		q.send(3, &openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestType, Data: make([]byte, 60_000)})
	}
	for range 4 {
		if e := (<-d.Notices()).Message.(*openflow.Error); len(e.Data) < 64 || len(e.Data) > 300 {
			t.Errorf("%d bytes of the message are in the error", len(e.Data))
		}
	}
}

func TestBacklogForgetsWhatWasTaken(t *testing.T) {
	t.Parallel()
	var b backlog
	for range 1000 { // each is taken before the next comes
		if !b.admit(0, 90, 100) {
			t.Fatal("a lone notice is refused")
		}
	}
	if !b.admit(1, 10, 100) || b.admit(2, 1, 100) {
		t.Error("the limit is not 100 bytes")
	}
	if !b.admit(1, 90, 100) {
		t.Error("room that was made is not used")
	}
	if got := b.bytes.Load(); got != 100 {
		t.Errorf("%d bytes wait, want 100", got)
	}
}

func TestOneAddressCannotTakeAllPlaces(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{MaxSessions: 8, MaxPerAddress: 3}, nil)
	for range 3 {
		from(t, "127.0.0.9", k.addr).handshake(1)
		k.next(t)
	}
	from(t, "127.0.0.9", k.addr).awaitClosed()
	line := k.awaitLog(t, "switch refused", 1)[0].ContextMap()
	if reason, _ := line["reason"].(string); !strings.Contains(reason, "3 connections from 127.0.0.9") {
		t.Errorf("reason %q", reason)
	}
	from(t, "127.0.0.1", k.addr).handshake(2)
	if got := k.next(t).Features().DatapathID; got != 2 {
		t.Errorf("switch %d came", got)
	}
}

func TestHandshakesTakeTurnsByAddress(t *testing.T) {
	t.Parallel()
	l := &lobby{max: 1}
	holder := l.join("a", func(error) {})
	var waiting []*guest
	for _, host := range []string{"a", "a", "a", "b", "b", "c"} {
		waiting = append(waiting, l.join(host, func(error) {}))
	}
	hasPlace := func(g *guest) bool {
		select {
		case <-g.place:
			return true
		default:
			return false
		}
	}
	l.leave(waiting[1]) // gone before its turn
	var order []string
	for range 5 {
		l.leave(holder)
		holder = nil
		for _, g := range waiting {
			if hasPlace(g) && g.host != "" {
				holder = g
				order = append(order, g.host)
				defer func() { g.host = "" }()
				waiting = without(waiting, g)
				break
			}
		}
		if holder == nil {
			t.Fatal("nobody got the place that is free")
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "a", "b"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	l.leave(holder)
	if len(l.inside)+len(l.waiting)+len(l.turns) != 0 {
		t.Error("the lobby remembers guests who have left")
	}
}

func without(guests []*guest, g *guest) (rest []*guest) {
	for _, o := range guests {
		if o != g {
			rest = append(rest, o)
		}
	}
	return rest
}

func TestSharesAreCountedByHost(t *testing.T) {
	t.Parallel()
	for addr, want := range map[net.Addr]string{
		&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1}:             "192.0.2.7",
		&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7"), Port: 2}:      "192.0.2.7",
		&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4")}:              "2001:db8:1:2::/64",
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 3}: "fe80::/64",
		&net.UnixAddr{Name: "/run/br0.controller", Net: "unix"}:         "",
	} {
		if got := hostOf(addr); got != want {
			t.Errorf("%v counts for %q, want %q", addr, got, want)
		}
	}
}

func TestLogLinesAboutRefusalsAreLimited(t *testing.T) {
	t.Parallel()
	var r refusals
	lines := 0
	for n := range 10_000 {
		if _, ok := r.pass(&net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(n))}, fmt.Errorf("reason %d", n)); ok {
			lines++
		}
	}
	if lines != maxRefusals {
		t.Errorf("%d log lines for 10,000 different refusals, want %d", lines, maxRefusals)
	}
	if n := len(r.byText); n > maxRefusals {
		t.Errorf("%d refusals are remembered", n)
	}
}
