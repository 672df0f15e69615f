package session

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

func TestHandlerGetsNegotiatedSwitch(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{DPID: 0x2a})
	c := k.next(t)
	want := openflow.FeaturesReply{DatapathID: 0x2a, NTables: 254, Capabilities: 1}
	if diff := cmp.Diff(want, c.Features()); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if got := k.awaitLog(t, "switch connected", 1)[0].ContextMap()["dpid"]; got != "000000000000002a" {
		t.Errorf("log line names dpid %v", got)
	}
	sw.Disconnect()
	wantErr(t, awaitEnd(t, c), ErrPeerClosed)
	line := k.awaitLog(t, "switch disconnected", 1)[0]
	if got := line.ContextMap()["reason"]; got != ErrPeerClosed.Error() {
		t.Errorf("log line gives the reason %v", got)
	}
	if got := k.stats.Accepted.Load(); got != 1 {
		t.Errorf("%d sessions accepted, want 1", got)
	}
}

func TestVersionsAreNegotiated(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header  openflow.Version
		bitmap  uint32
		refused string // what the log line says was offered; empty: accepted
	}{
		"1.3 with bitmap":                 {4, 1 << 4, ""},
		"1.3 without bitmap":              {4, 0, ""},
		"1.4 without bitmap speaks 1.3":   {5, 0, ""},
		"1.5 with 1.3 in bitmap":          {6, 1<<1 | 1<<4 | 1<<6, ""},
		"1.0 without bitmap":              {1, 0, "OpenFlow10"},
		"1.0 with bitmap":                 {1, 1 << 1, "OpenFlow10"},
		"1.0 and 1.5 without the one":     {6, 1<<1 | 1<<6, "OpenFlow10,OpenFlow15"},
		"a version that nobody has heard": {9, 1 << 9, "version 0x09"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newController(t, Config{}, nil)
			for range 2 { // a switch tries again and again
				p := dialPeer(t, k.addr)
				p.write(openflow.AppendMessageVersion(nil, test.header, 7, &openflow.Hello{Bitmap: test.bitmap})...)
				if test.refused == "" {
					xid, _ := p.expect(openflow.TypeFeaturesRequest)
					p.send(xid, &openflow.FeaturesReply{DatapathID: 1})
					k.next(t)
					return
				}
				if hello := p.frame(); hello == nil || hello[1] != byte(openflow.TypeHello) || hello[0] != 4 {
					t.Fatalf("first message % x, want a hello of 1.3", hello)
				}
				refusal := p.frame()
				if want := min(test.header, 4); refusal == nil || refusal[0] != byte(want) {
					t.Fatalf("answer % x, want an error in version %d", refusal, want)
				}
				_, m, err := openflow.Decode(refusal)
				if err != nil {
					t.Fatal(err)
				}
				e, ok := m.(*openflow.Error)
				if !ok || e.ErrType != openflow.ErrorHelloFailed || e.Code != openflow.HelloIncompatible || !strings.Contains(string(e.Data), "1.3") {
					t.Errorf("answer %v", m)
				}
				p.awaitClosed()
			}
			line := k.awaitLog(t, "switch refused", 1)[0].ContextMap()
			if line["offered"] != test.refused || !strings.Contains(line["set"].(string), "protocols=OpenFlow13") {
				t.Errorf("log line %v", line)
			}
			if n := k.logs.Len(); n != 1 {
				t.Errorf("%d log lines for the same refusal twice: %v", n, k.logs.All())
			}
		})
	}
}

func TestHelloRefusedByThePeerIsLogged(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	p := dialPeer(t, k.addr)
	p.write(openflow.AppendMessageVersion(nil, 1, 0, &openflow.Error{ErrType: openflow.ErrorHelloFailed, Data: []byte("no")})...)
	p.awaitClosed()
	if got := k.awaitLog(t, "switch refused", 1)[0].ContextMap()["offered"]; got != "OpenFlow10" {
		t.Errorf("offered %v", got)
	}
}

func TestBrokenPeerEndsAloneAndOthersNeverNotice(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 100_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	noise[2], noise[3] = 0, 9 // the first message is soon complete
	for name, test := range map[string]struct {
		do     func(p *peer)
		reason string
	}{
		"random bytes": {func(p *peer) { p.write(noise...) }, "not OpenFlow"},
		"half a header": {func(p *peer) {
			p.write(4, 0, 0)
			// Closing with the controller's hello unread would be a reset, which may overtake the bytes.
			if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				p.t.Error(err)
			}
		}, "within a message, after 3 bytes"},
		"stalled from the beginning":   {func(*peer) {}, "no hello within"},
		"stalled in a header":          {func(p *peer) { p.write(4, 0, 0) }, "no hello within"},
		"header of length zero":        {func(p *peer) { p.write(4, 0, 0, 0, 0, 0, 0, 0) }, "header says 0 bytes"},
		"no hello first":               {func(p *peer) { p.send(1, &openflow.BarrierReply{}) }, "OFPT_BARRIER_REPLY before hello"},
		"no features":                  {func(p *peer) { p.send(1, &openflow.Hello{Bitmap: helloBitmap}) }, "no answer to OFPT_FEATURES_REQUEST"},
		"HTTP":                         {func(p *peer) { p.write([]byte("GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 20_000))...) }, "not OpenFlow"},
		"auxiliary connection":         {func(p *peer) { p.send(1, &openflow.Hello{}); p.features(&openflow.FeaturesReply{AuxiliaryID: 1}) }, "auxiliary"},
		"features refused":             {func(p *peer) { p.send(1, &openflow.Hello{}); p.features(&openflow.Error{ErrType: 1, Code: 5}) }, "OFPBRC_EPERM"},
		"something else than features": {func(p *peer) { p.send(1, &openflow.Hello{}); p.features(&openflow.BarrierReply{}) }, "answered OFPT_FEATURES_REQUEST with OFPT_BARRIER_REPLY"},
		"features too short":           {func(p *peer) { p.send(1, &openflow.Hello{}); p.features(&openflow.Raw{Of: 6, Body: []byte{1}}) }, "OFPT_FEATURES_REPLY"},
		"version 1.0 after 1.3 agreed": {func(p *peer) { p.send(1, &openflow.Hello{}); p.write(1, 2, 0, 8, 0, 0, 0, 0) }, "version 0x01 after"},
		"length seven after the hello": {func(p *peer) { p.send(1, &openflow.Hello{}); p.write(4, 2, 0, 7, 0, 0, 0, 0) }, "header says 7 bytes"},
		"closed between two messages":  {func(p *peer) { p.send(1, &openflow.Hello{}); p.expect(openflow.TypeFeaturesRequest); p.Close() }, "switch closed the connection"},
		"a hello of the greatest length": {func(p *peer) {
			p.send(1, &openflow.Raw{Of: 0, Body: make([]byte, 65527)})
			p.features(&openflow.FeaturesReply{AuxiliaryID: 9})
		}, "auxiliary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newController(t, Config{HandshakeTimeout: 2 * time.Second}, nil)
			good := switchtest.Dial(t, k.addr, switchtest.Options{DPID: 1})
			c := k.next(t)
			p := dialPeer(t, k.addr)
			test.do(p)
			reason, _ := k.awaitLog(t, "switch refused", 1)[0].ContextMap()["reason"].(string)
			if !strings.Contains(reason, test.reason) {
				t.Errorf("refused because %q, want %q", reason, test.reason)
			}
			if got := k.stats.Refused.Load(); got != 1 {
				t.Errorf("%d refused, want 1", got)
			}
			if err := c.Barrier(t.Context()); err != nil {
				t.Errorf("another switch noticed: %v", err)
			}
			if !good.Connected() {
				t.Error("another switch was disconnected")
			}
		})
	}
}

// features answers the features request with m.
func (p *peer) features(m openflow.Message) {
	xid, _ := p.expect(openflow.TypeFeaturesRequest)
	p.send(xid, m)
}

func TestBadMessageCostsThatMessageOnly(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	bad := []openflow.Message{
		&openflow.Raw{Of: openflow.TypePacketIn, Body: make([]byte, 10)},   // ends early
		&openflow.Raw{Of: openflow.TypePortStatus, Body: make([]byte, 71)}, // ends early
		&openflow.Raw{Of: openflow.TypeFlowRemoved, Body: make([]byte, 3)},
		&openflow.Raw{Of: openflow.TypeError, Body: []byte{0}},
		&openflow.Raw{Of: 99},                            // no such type
		&openflow.Raw{Of: 77, Body: make([]byte, 65527)}, // nor such, as long as can be
		&openflow.Raw{Of: openflow.TypeFlowMod},          // not a switch's to send
		&openflow.Raw{Of: openflow.TypePacketIn, Body: bytes.Repeat([]byte{0xff}, 65527)},
	}
	for i, m := range bad {
		p.send(uint32(i), m)
	}
	p.send(0, packetIn(7, []byte("good")))
	p.send(0, &openflow.PortStatus{Reason: openflow.PortModify, Port: openflow.Port{No: 3}})
	batch, err := c.PacketIns(0).Take(t.Context(), nil)
	if err != nil || len(batch) != 1 || string(batch[0].Data) != "good" {
		t.Fatalf("packet-ins %v, error %v; want the good one", batch, err)
	}
	n := <-c.Notices()
	if ps, ok := n.Message.(*openflow.PortStatus); !ok || ps.Port.No != 3 {
		t.Errorf("notice %v, want the good port status", n.Message)
	}
	if got := k.stats.BadMessages.Load(); got != uint64(len(bad)) {
		t.Errorf("%d bad messages counted, want %d", got, len(bad))
	}
	if n := len(k.awaitLog(t, "bad message from switch left out", 1)); n != 1 {
		t.Errorf("%d log lines for one burst of bad messages", n)
	}
	if got := k.stats.In[TypeIndex(99)].Load(); got != 2 {
		t.Errorf("%d messages of unknown type counted, want 2", got)
	}
}

func TestLongestMessageIsEchoed(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	data := bytes.Repeat([]byte("0123456"), openflow.MaxMessageLen)[:openflow.MaxMessageLen-openflow.HeaderLen]
	p.send(5, &openflow.EchoRequest{Data: data})
	xid, m := p.expect(openflow.TypeEchoReply)
	if got := m.(*openflow.EchoReply).Data; xid != 5 || !bytes.Equal(got, data) {
		t.Errorf("xid %d with %d bytes came back", xid, len(got))
	}
}

func TestSilentSwitchIsAskedAndKeptIfItAnswers(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{EchoInterval: 5 * time.Millisecond}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	sw.Await(t, "three echo requests", func() bool { return sw.Received(openflow.TypeEchoRequest) >= 3 })
	if err := c.Barrier(t.Context()); err != nil {
		t.Errorf("after echoes: %v", err)
	}
}

func TestSwitchWithoutEchoReplyIsClosed(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{EchoInterval: 5 * time.Millisecond, EchoTimeout: 20 * time.Millisecond}, nil)
	switchtest.Dial(t, k.addr, switchtest.Options{NoEcho: true})
	wantErr(t, awaitEnd(t, k.next(t)), ErrNoEcho)
}

func TestPeerThatDripsBytesWithoutMessageIsClosed(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{EchoInterval: 10 * time.Millisecond, EchoTimeout: 50 * time.Millisecond}, nil)
	p := dialPeer(t, k.addr)
	p.handshake(1)
	c := k.next(t)
	p.write(4, 10, 0xff, 0xff, 0, 0, 0, 0)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := p.Write([]byte{0}); err != nil {
				return
			}
		}
	}()
	wantErr(t, awaitEnd(t, c), ErrNoEcho)
}

func TestPanicInHandlerEndsThatSessionOnly(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 2)
	k := newController(t, Config{}, func(ctx context.Context, c *Conn) {
		conns <- c
		if c.Features().DatapathID == 13 {
			panic("bad luck")
		}
		<-ctx.Done()
	})
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 1})
	good := <-conns
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 13})
	bad := <-conns
	if err := awaitEnd(t, bad); !strings.Contains(err.Error(), "bad luck") {
		t.Errorf("ended because of %v", err)
	}
	if err := good.Barrier(t.Context()); err != nil {
		t.Errorf("another switch noticed: %v", err)
	}
	if got := k.stats.Panics.Load(); got != 1 {
		t.Errorf("%d panics counted, want 1", got)
	}
}

func TestCloseShowsItsReason(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{}, nil)
	sw := switchtest.Dial(t, k.addr, switchtest.Options{})
	c := k.next(t)
	reason := errors.New("the same datapath id came again")
	c.Close(reason)
	c.Close(errors.New("a later reason"))
	wantErr(t, awaitEnd(t, c), reason)
	sw.Await(t, "the end", func() bool { return !sw.Connected() })
	if got := k.awaitLog(t, "switch disconnected", 1)[0].ContextMap()["reason"]; got != reason.Error() {
		t.Errorf("logged reason %v", got)
	}
	wantErr(t, c.Send(&openflow.BarrierRequest{}), reason)
	_, err := c.Request(t.Context(), &openflow.BarrierRequest{})
	wantErr(t, err, reason)
	_, err = c.PacketIns(0).Take(t.Context(), nil)
	wantErr(t, err, reason)
	for range c.Notices() { // ends
	}
}

func TestServeEndsSessionsAndWaitsForHandlers(t *testing.T) {
	t.Parallel()
	reasons := make(chan error, 1)
	started := make(chan struct{})
	k := newController(t, Config{}, func(ctx context.Context, c *Conn) {
		close(started)
		<-ctx.Done()
		reasons <- context.Cause(ctx)
	})
	switchtest.Dial(t, k.addr, switchtest.Options{})
	<-started
	k.stop()
	err := <-k.done
	k.done <- err
	if err != nil {
		t.Errorf("Serve: %v", err)
	}
	select {
	case got := <-reasons:
		wantErr(t, got, ErrStopped)
	default:
		t.Error("Serve returned before its handler")
	}
}

func TestStalledPeersCannotKeepSwitchesOut(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{MaxHandshakes: 4, HandshakeTimeout: time.Hour}, nil)
	for range 8 {
		dialPeer(t, k.addr)
	}
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 1})
	if got := k.next(t).Features().DatapathID; got != 1 {
		t.Errorf("switch %d came", got)
	}
	k.awaitLog(t, "switch refused", 1)
}

func TestASwitchThatIsNotAdmittedGetsNoSession(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{Admit: func(c *Conn) error {
		if c.Features().DatapathID == 0x2b {
			return errors.New("it is not on the list")
		}
		return nil
	}}, nil)
	for range 2 { // a switch tries again and again
		sw := switchtest.Dial(t, k.addr, switchtest.Options{DPID: 0x2b})
		sw.Await(t, "the session to be refused", func() bool { return !sw.Connected() })
	}
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 0x2a})
	if c := k.next(t); c.Features().DatapathID != 0x2a {
		t.Errorf("session of %x", c.Features().DatapathID)
	}
	if got := k.awaitLog(t, "switch refused", 1)[0].ContextMap()["reason"]; got != "it is not on the list" {
		t.Errorf("log line gives the reason %v", got)
	}
	if n := k.logs.FilterMessage("switch refused").Len(); n != 1 || k.stats.Refused.Load() != 2 || k.stats.Accepted.Load() != 1 {
		t.Errorf("%d log lines, %d refused, %d accepted", n, k.stats.Refused.Load(), k.stats.Accepted.Load())
	}
}

func TestSessionsAreLimited(t *testing.T) {
	t.Parallel()
	k := newController(t, Config{MaxSessions: 2, MaxPerAddress: 2}, nil)
	a := switchtest.Dial(t, k.addr, switchtest.Options{DPID: 1})
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 2})
	first, second := k.next(t), k.next(t)
	third := dialPeer(t, k.addr)
	third.awaitClosed()
	if first.Features().DatapathID != 1 {
		first, second = second, first
	}
	a.Disconnect()
	awaitEnd(t, first)
	// The place is free when the session is gone entirely.
	for k.stats.Open.Load() >= 2 {
		time.Sleep(time.Millisecond)
	}
	switchtest.Dial(t, k.addr, switchtest.Options{DPID: 3})
	if got := k.next(t).Features().DatapathID; got != 3 {
		t.Errorf("switch %d came", got)
	}
	if err := second.Barrier(t.Context()); err != nil {
		t.Error(err)
	}
}
