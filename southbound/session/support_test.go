package session

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/southbound/openflow"
)

// patient is how long a test waits for what must happen.
const patient = 20 * time.Second

// controller is a Serve whose sessions a test takes one by one.
type controller struct {
	addr  string
	logs  *observer.ObservedLogs
	stats *Stats
	conns chan *Conn
	stop  context.CancelFunc
	done  chan error // what Serve returned
}

// newController serves on the loopback interface until the end of the test.
// Without a handler, sessions wait to be taken by next and last until they end.
func newController(t testing.TB, cfg Config, handle func(context.Context, *Conn)) *controller {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveController(t, ln, cfg, handle)
}

// serveController is newController on a listener.
func serveController(t testing.TB, ln net.Listener, cfg Config, handle func(context.Context, *Conn)) *controller {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Log = zap.New(core)
	cfg.Stats = new(Stats)
	ctx, cancel := context.WithCancel(context.Background())
	k := &controller{
		addr: ln.Addr().String(), logs: logs, stats: cfg.Stats, conns: make(chan *Conn, 1024),
		stop: cancel, done: make(chan error, 1),
	}
	if handle == nil {
		handle = func(ctx context.Context, c *Conn) {
			k.conns <- c
			<-ctx.Done()
		}
	}
	go func() { k.done <- Serve(ctx, ln, cfg, handle) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-k.done:
			k.done <- err
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patient):
			t.Error("Serve does not return")
		}
	})
	return k
}

// next returns the next session.
func (k *controller) next(t testing.TB) *Conn {
	t.Helper()
	select {
	case c := <-k.conns:
		return c
	case <-time.After(patient):
		t.Fatal("no switch came")
		return nil
	}
}

// awaitLog waits until there are n log lines with that message.
func (k *controller) awaitLog(t testing.TB, message string, n int) []observer.LoggedEntry {
	t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		lines := k.logs.FilterMessage(message).All()
		if len(lines) >= n {
			return lines
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d log lines %q, want %d; there are: %v", len(lines), message, n, k.logs.All())
		}
	}
}

// awaitEnd waits for the end of the session and returns its reason.
func awaitEnd(t testing.TB, c *Conn) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(patient):
		t.Fatal("the session does not end")
		return nil
	}
}

// peer is a switch of bare bytes.
type peer struct {
	net.Conn
	t testing.TB
}

func dialPeer(t testing.TB, addr string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	return &peer{nc, t}
}

// write sends bytes; the peer may hang up meanwhile.
func (p *peer) write(b ...byte) { _, _ = p.Write(b) }

func (p *peer) send(xid uint32, m openflow.Message) {
	p.write(openflow.AppendMessage(nil, xid, m)...)
}

// frame returns the next message, nil if the connection was closed.
func (p *peer) frame() []byte {
	p.t.Helper()
	head := make([]byte, openflow.HeaderLen)
	if _, err := io.ReadFull(p, head); err != nil {
		if isTimeout(err) {
			p.t.Fatal("no message came, and no end")
		}
		return nil
	}
	h, err := openflow.DecodeHeader(head)
	if err != nil {
		p.t.Fatal(err)
	}
	b := append(head, make([]byte, int(h.Length)-len(head))...)
	if _, err := io.ReadFull(p, b[openflow.HeaderLen:]); err != nil {
		p.t.Fatal(err)
	}
	return b
}

// expect returns the next message of type t, leaving out others.
func (p *peer) expect(t openflow.Type) (uint32, openflow.Message) {
	p.t.Helper()
	for {
		b := p.frame()
		if b == nil {
			p.t.Fatalf("the connection ended before %v", t)
		}
		if openflow.Type(b[1]) != t {
			continue
		}
		h, m, err := openflow.Decode(b)
		if err != nil {
			p.t.Fatal(err)
		}
		return h.XID, m
	}
}

// handshake makes the peer a switch.
func (p *peer) handshake(dpid uint64) {
	p.t.Helper()
	p.send(0, &openflow.Hello{Bitmap: helloBitmap})
	xid, _ := p.expect(openflow.TypeFeaturesRequest)
	p.send(xid, &openflow.FeaturesReply{DatapathID: dpid, NTables: 254})
}

// awaitClosed waits until the controller has closed the connection.
func (p *peer) awaitClosed() {
	p.t.Helper()
	buf := make([]byte, 4096)
	for {
		if _, err := p.Read(buf); err != nil {
			if isTimeout(err) {
				p.t.Fatal("the connection does not end")
			}
			return
		}
	}
}

func packetIn(inPort uint32, data []byte) *openflow.PacketIn {
	return &openflow.PacketIn{
		BufferID: openflow.NoBuffer, TotalLen: uint16(len(data)), Cookie: 0x5d << 56, Data: data,
		Match: openflow.NewMatch(oxm(openflow.InPort, byte(inPort>>24), byte(inPort>>16), byte(inPort>>8), byte(inPort))),
	}
}

func oxm(f openflow.FieldID, value ...byte) openflow.OXM {
	o := openflow.OXM{Field: f, Len: uint8(len(value))}
	copy(o.Value[:], value)
	return o
}

// addFlow is a flow-mod that adds the n-th of many flows.
func addFlow(n int) *openflow.FlowMod {
	return &openflow.FlowMod{
		TableID: 0, Priority: 100, Cookie: uint64(n), BufferID: openflow.NoBuffer,
		OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
		Match: openflow.NewMatch(
			oxm(openflow.InPort, 0, 0, 0, 1), oxm(openflow.EthSrc, 2, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)),
		),
		Instructions: openflow.NewInstructions(openflow.ApplyActions{openflow.ActionOutput{Port: 2}}),
	}
}

func addFlows(n int) []openflow.Message {
	msgs := make([]openflow.Message, n)
	for i := range msgs {
		msgs[i] = addFlow(i)
	}
	return msgs
}

func wantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}
