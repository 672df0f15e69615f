package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// limit is how long a test waits for what should happen at once, and how long a peer may last: the machine
// may be busy with all other tests.
const limit = time.Minute

// setup serves on loopback; handlers get their connection from conns and end
// with the test.
type setup struct {
	t       *testing.T
	address string
	conns   chan *Conn
	logs    *observer.ObservedLogs
	stop    context.CancelFunc
	served  chan error
}

func newSetup(t *testing.T, cfg Config) *setup {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, cfg)
}

// serveOn is newSetup with a listener of another kind.
func serveOn(t *testing.T, ln net.Listener, cfg Config) *setup {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	cfg.Log = zap.New(core)
	ctx, stop := context.WithCancel(context.Background())
	s := &setup{t: t, address: ln.Addr().String(), conns: make(chan *Conn, 16), logs: logs, stop: stop, served: make(chan error, 1)}
	go func() {
		s.served <- Serve(ctx, ln, cfg, func(ctx context.Context, c *Conn) {
			s.conns <- c
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-s.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// wire is a message as JSON.
type wire struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// peer is the switch's end of a connection, played by the test.
type peer struct {
	t  *testing.T
	nc net.Conn
	d  *json.Decoder
}

func (s *setup) dial() *peer {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		s.t.Fatal(err)
	}
	return &peer{s.t, nc, json.NewDecoder(nc)}
}

// over makes p speak over nc from now on.
func (p *peer) over(nc net.Conn) { p.nc, p.d = nc, json.NewDecoder(nc) }

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := p.nc.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) receive() wire {
	p.t.Helper()
	var m wire
	if err := p.d.Decode(&m); err != nil {
		p.t.Fatalf("receiving: %v", err)
	}
	return m
}

// request receives a request of the given method and returns its id.
func (p *peer) request(method string) string {
	p.t.Helper()
	m := p.receive()
	for m.Method == "echo" && method != "echo" {
		m = p.receive()
	}
	if m.Method != method {
		p.t.Fatalf("want a request %s, got %s", method, m.Method)
	}
	return string(m.ID)
}

// closed waits until the server has closed the connection.
func (p *peer) closed() {
	p.t.Helper()
	for {
		var m wire
		err := p.d.Decode(&m)
		var ne net.Error
		switch {
		case err == nil:
		case errors.As(err, &ne) && ne.Timeout():
			p.t.Fatal("the connection is still open")
		default:
			return
		}
	}
}

// connect plays a peer that is accepted, of an old version.
func (s *setup) connect() (*peer, *Conn) {
	s.t.Helper()
	p := s.dial()
	p.send(`{"id":` + p.request("list_dbs") + `,"result":["Open_vSwitch"],"error":null}`)
	select {
	case c := <-s.conns:
		return p, c
	case <-time.After(limit):
		s.t.Fatal("the peer was not accepted")
		return nil, nil
	}
}

func TestEchoIsAnsweredAndForeignRequestsAreRefused(t *testing.T) {
	t.Parallel()
	p, _ := newSetup(t, Config{}).connect()
	p.send(`{"id":"echo","method":"echo","params":[]}{"method":"echo","id":{"a":[1]},"params":["x",2]}{"id":3,"method":"steal","params":[]}`)
	var got []string
	for range 3 {
		m := p.receive()
		got = append(got, string(m.ID)+" "+string(m.Result)+" "+string(m.Error))
	}
	want := []string{`"echo" [] null`, `{"a":[1]} ["x",2] null`, `3 null "unknown method"`}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answers (-want +got):\n%s", d)
	}
}

func TestSilentPeerIsProbedAndLosesItsConnectionIfItStaysSilent(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{EchoInterval: 20 * time.Millisecond, EchoTimeout: 2 * time.Second})
	p, c := s.connect()
	for range 3 {
		p.send(`{"id":` + p.request("echo") + `,"result":[],"error":null}`)
	}
	if err := c.Err(); err != nil {
		t.Fatalf("a peer that answers lost its connection: %v", err)
	}
	p.closed()
	<-c.Done()
	if err := c.Err(); !strings.Contains(err.Error(), "stalls") {
		t.Errorf("want an error that says that the switch stalls, got %v", err)
	}
}

func TestMessageMustBeWholeInTime(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{MessageTimeout: 50 * time.Millisecond})
	p, c := s.connect()
	p.send(`{"id":"slow"`)
	p.closed()
	<-c.Done()
	if err := c.Err(); !strings.Contains(err.Error(), "does not end") {
		t.Errorf("want an error that says that the message does not end, got %v", err)
	}
}

func TestWrongPeersAreRefusedAndOthersNeverNotice(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{MaxMessage: 1 << 16, HandshakeTimeout: 200 * time.Millisecond})
	_, good := s.connect()
	for name, text := range map[string]string{
		"another protocol":  "\x04\x00\x00\x08\x00\x00\x00\x01",
		"broken JSON":       `{"id":1 2}`,
		"endless message":   `{"id":"` + strings.Repeat("x", 1<<17),
		"other database":    `{"id":1,"result":["OVN_Northbound"],"error":null}`,
		"wrong result":      `{"id":1,"result":{"a":1},"error":null}`,
		"refusal":           `{"id":1,"result":null,"error":"not allowed"}`,
		"silence":           "",
		"half a message":    `{"id":1,`,
		"flood of nonsense": strings.Repeat(`{}`, maxSkipped+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.dial()
			p.t = t
			p.request("list_dbs")
			_, _ = p.nc.Write([]byte(text)) // the server may close before it has read all
			p.closed()
		})
	}
	if err := good.Err(); err != nil {
		t.Errorf("a good peer lost its connection: %v", err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{MaxConns: 1})
	_, first := s.connect()
	s.dial().closed()
	if err := first.Err(); err != nil {
		t.Errorf("the first connection ended: %v", err)
	}
	if n := s.logs.FilterMessage("OVSDB connection refused").Len(); n != 1 {
		t.Errorf("log lines: want 1, got %d: %v", n, s.logs.All())
	}
}

func TestServeEndsConnectionsWhenItStops(t *testing.T) {
	t.Parallel()
	s := newSetup(t, Config{})
	p, c := s.connect()
	s.stop()
	p.closed()
	<-c.Done()
	if !errors.Is(c.Err(), ErrStopped) {
		t.Errorf("want %v, got %v", ErrStopped, c.Err())
	}
	if _, err := c.Transact(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("a call afterwards: want %v, got %v", ErrStopped, err)
	}
}

func TestPanickingHandlerEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, ln, Config{Log: zap.NewNop()}, func(context.Context, *Conn) {
			calls.Add(1)
			panic("a defect")
		})
	}()
	s := &setup{t: t, address: ln.Addr().String()}
	for range 2 {
		p := s.dial()
		p.send(`{"id":` + p.request("list_dbs") + `,"result":["Open_vSwitch"],"error":null}`)
		p.closed()
	}
	cancel()
	if err := <-served; err != nil || calls.Load() != 2 {
		t.Errorf("want 2 calls and no error, got %d, %v", calls.Load(), err)
	}
}

// answer plays the peer of one Transact.
func answer(t *testing.T, result string) ([]Result, error) {
	t.Helper()
	p, c := newSetup(t, Config{}).connect()
	type outcome struct {
		results []Result
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		results, err := c.Transact(context.Background(), Delete("Port", nil), Delete("Bridge", nil))
		done <- outcome{results, err}
	}()
	p.send(`{"id":` + p.request("transact") + `,` + result + `}`)
	o := <-done
	return o.results, o.err
}

func TestTransactReturnsResultsOrWhichOperationFailed(t *testing.T) {
	t.Parallel()
	got, err := answer(t, `"result":[{"count":3},{"uuid":["uuid","u1"]}],"error":null`)
	if d := cmp.Diff([]Result{{Count: 3}, {UUID: "u1"}}, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for name, c := range map[string]struct {
		result string
		want   error
	}{
		"operation": {`"result":[{"count":1},{"error":"timed out","details":"wait"}],"error":null`, &OperationError{1, "delete", "Bridge", "timed out", "wait"}},
		"commit":    {`"result":[{},{},{"error":"constraint violation","details":"x"}],"error":null`, &OperationError{2, "commit", "", "constraint violation", "x"}},
	} {
		_, err := answer(t, c.result)
		var failed *OperationError
		if !errors.As(err, &failed) || cmp.Diff(c.want, error(failed)) != "" {
			t.Errorf("%s: want %v, got %v", name, c.want, err)
		}
	}
	_, err = answer(t, `"result":null,"error":"unknown database"`)
	var refused *ReplyError
	if !errors.As(err, &refused) || *refused != (ReplyError{"transact", "unknown database", ""}) {
		t.Errorf("refused as a whole: got %v", err)
	}
	_, err = answer(t, `"result":null,"error":{"error":"syntax error","details":"no table named X","syntax":"…"}`)
	if !errors.As(err, &refused) || *refused != (ReplyError{"transact", "syntax error", "no table named X"}) {
		t.Errorf("refused with details: got %v", err)
	}
	for _, bad := range []string{`"result":[{}],"error":null`, `"result":[{},null],"error":null`, `"result":7,"error":null`,
		`"result":[{"uuid":["uuid"]},{}],"error":null`, `"result":null,"error":null`} {
		if _, err := answer(t, bad); err == nil {
			t.Errorf("%s: want an error", bad)
		}
	}
}

func TestCallIsGivenUpWithItsContext(t *testing.T) {
	t.Parallel()
	p, c := newSetup(t, Config{}).connect()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := c.Transact(ctx)
		done <- err
	}()
	id := p.request("transact")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("want %v, got %v", context.Canceled, err)
	}
	// The late answer harms nobody.
	p.send(`{"id":` + id + `,"result":[],"error":null}`)
	p.send(`{"id":"e","method":"echo","params":[]}`)
	if m := p.receive(); string(m.ID) != `"e"` {
		t.Errorf("want the echo, got %v", m)
	}
}
