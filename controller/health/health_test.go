package health

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/respond"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// probeOf is that of a backend: an even number is of IPv4, an odd one of IPv6.
func probeOf(n uint32, kind intent.MonitorKind) intent.Probe {
	p := intent.Probe{
		Backend: n, ID: fmt.Sprint("backend-", n), Monitor: intent.Monitor{Kind: kind, Delay: 5, Timeout: 2, Rise: 2, Fall: 3}, Last: intent.HealthUnknown,
		OFPort: n, Zone: uint16(n), VIPMAC: 0x020000000001, MAC: 0x020000000100, VIP: netip.MustParseAddr("10.0.0.100"), Addr: netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), Port: 8080,
	}
	if n%2 == 1 {
		a := [16]byte{0xfd, 14: byte(n >> 8), 15: byte(n)}
		p.VIP, p.Addr = netip.MustParseAddr("fd00::ffff"), netip.AddrFrom16(a)
	}
	switch kind {
	case intent.MonitorHTTP:
		p.Monitor.Method, p.Monitor.Path, p.Monitor.Codes = "GET", "/healthz", "200-299"
	case intent.MonitorPing:
		p.Port = 0
	}
	return p
}

// bench is a Checker with its clock and what it has counted.
type bench struct {
	*Checker
	now    time.Time
	counts map[string]int
}

func newBench(probes ...intent.Probe) *bench {
	b := &bench{now: start, counts: map[string]int{}}
	b.Checker = NewChecker(rand.New(rand.NewPCG(1, 2)), func(r Result) { b.counts[r.String()]++ })
	b.Set(b.now, probes)
	return b
}

// station answers frames as a backend would; nil: it says nothing.
type station func(frame []byte) [][]byte

// run lets time pass, with stations that answer at once, by port of the switch.
func (b *bench) run(d time.Duration, stations func(port uint32) station) (found []intent.HealthVerdict, sent int) {
	for end := b.now.Add(d); b.now.Before(end); {
		frames, verdicts, wait := b.Work(b.now)
		found = append(found, verdicts...)
		for len(frames) > 0 {
			sent++
			f := frames[0]
			frames = frames[1:]
			if s := stations(f.OFPort); s != nil {
				for _, reply := range s(f.Data) {
					more, verdicts := b.Heard(b.now, reply)
					frames, found = append(frames, more...), append(found, verdicts...)
				}
			}
		}
		b.now = b.now.Add(max(min(wait, end.Sub(b.now)), time.Microsecond))
	}
	return found, sent
}

// backwards is the envelope of the answer to a frame, and what the frame says.
func backwards(frame []byte) (respond.Envelope, respond.Segment, []byte) {
	var e respond.Envelope
	var b []byte
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 {
		e.To, e.From = netip.AddrFrom4([4]byte(frame[26:])), netip.AddrFrom4([4]byte(frame[30:]))
		b = frame[34:]
	} else {
		e.To, e.From = netip.AddrFrom16([16]byte(frame[22:])), netip.AddrFrom16([16]byte(frame[38:]))
		b = frame[54:]
	}
	if len(b) < tcpLen {
		return e, respond.Segment{}, b
	}
	return e, respond.Segment{
		SrcPort: binary.BigEndian.Uint16(b), DstPort: binary.BigEndian.Uint16(b[2:]), Seq: binary.BigEndian.Uint32(b[4:]), Ack: binary.BigEndian.Uint32(b[8:]), Flags: b[13], Payload: b[20:],
	}, b
}

const theirs = 0xfffffff0 // so that numbers wrap

// web is a server that answers requests in pieces.
func web(pieces ...string) station {
	return func(frame []byte) [][]byte {
		e, s, _ := backwards(frame)
		r := respond.Segment{SrcPort: s.DstPort, DstPort: s.SrcPort, Seq: theirs + 1, Ack: s.Seq + uint32(len(s.Payload)), Flags: respond.TCPAck}
		switch {
		case s.Flags == respond.TCPSyn:
			r.Seq, r.Ack, r.Flags = theirs, s.Seq+1, respond.TCPSyn|respond.TCPAck
			return [][]byte{e.TCP(r)}
		case len(s.Payload) > 0:
			out := [][]byte{e.TCP(r)}
			for _, piece := range pieces {
				r.Payload = []byte(piece)
				out = append(out, e.TCP(r))
				r.Seq += uint32(len(piece))
			}
			return out
		}
		return nil
	}
}

func closed(frame []byte) [][]byte {
	e, s, _ := backwards(frame)
	if s.Flags != respond.TCPSyn {
		return nil
	}
	return [][]byte{e.TCP(respond.Segment{SrcPort: s.DstPort, DstPort: s.SrcPort, Ack: s.Seq + 1, Flags: respond.TCPRst | respond.TCPAck})}
}

func echoes(frame []byte) [][]byte {
	reply := append([]byte(nil), frame...)
	if binary.BigEndian.Uint16(frame[12:]) == 0x0800 {
		copy(reply[26:], frame[30:34])
		copy(reply[30:], frame[26:30])
		reply[34] = echoReply
	} else {
		copy(reply[22:], frame[38:54])
		copy(reply[38:], frame[22:38])
		reply[54] = echoReply6
	}
	return [][]byte{reply}
}

func always(s station) func(uint32) station { return func(uint32) station { return s } }

// What a backend answers decides whether it is well, in both families.
func TestAnswersTellWhoIsWell(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 204 No Content\r\n\r\n"
	fin := func(frame []byte) [][]byte {
		_, s, _ := backwards(frame)
		out := web()(frame)
		if len(s.Payload) > 0 {
			e, _, _ := backwards(frame)
			out = append(out, e.TCP(respond.Segment{SrcPort: s.DstPort, DstPort: s.SrcPort, Seq: theirs + 1, Ack: s.Seq, Flags: respond.TCPFin | respond.TCPAck}))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		kind   intent.MonitorKind
		is     station
		want   intent.Health
		reason string
	}{
		{"tcp open", intent.MonitorTCP, web(), intent.HealthUp, ""},
		{"tcp closed", intent.MonitorTCP, closed, intent.HealthDown, "port 8080 refuses connections"},
		{"tcp silent", intent.MonitorTCP, nil, intent.HealthDown, "no answer from port 8080 within 2 s"},
		{"http good", intent.MonitorHTTP, web(ok), intent.HealthUp, ""},
		{"http in pieces", intent.MonitorHTTP, web("HT", "TP/1.0 2", "00 OK"), intent.HealthUp, ""},
		{"http bad status", intent.MonitorHTTP, web("HTTP/1.1 503 Service Unavailable\r\n"), intent.HealthDown, "the request was answered by status 503, and not by one of 200-299"},
		{"not http", intent.MonitorHTTP, web("SSH-2.0-OpenSSH_9.2\r\n"), intent.HealthDown, "what answers does not speak HTTP"},
		{"http hangs", intent.MonitorHTTP, web(), intent.HealthDown, "the request was not answered within 2 s"},
		{"http closes", intent.MonitorHTTP, fin, intent.HealthDown, "the connection was closed before the request was answered"},
		{"http closed", intent.MonitorHTTP, closed, intent.HealthDown, "port 8080 refuses connections"},
		{"ping", intent.MonitorPing, echoes, intent.HealthUp, ""},
		{"ping silent", intent.MonitorPing, nil, intent.HealthDown, "no echo within 2 s"},
	} {
		for family := range uint32(2) {
			t.Run(fmt.Sprint(c.name, " ", 4+2*family), func(t *testing.T) {
				t.Parallel()
				b := newBench(probeOf(10+family, c.kind))
				found, _ := b.run(30*time.Second, always(c.is))
				if len(found) != 1 {
					t.Fatalf("found %+v", found)
				}
				want := intent.HealthVerdict{BackendID: fmt.Sprint("backend-", 10+family), Health: c.want, Reason: c.reason, At: found[0].At}
				if diff := cmp.Diff(want, found[0]); diff != "" {
					t.Error(diff)
				}
				if b.counts["stray"] > 0 {
					t.Errorf("results %v", b.counts)
				}
			})
		}
	}
}

// A request is what servers understand, and every connection is ended.
func TestARequestIsHTTPAndConnectionsEnd(t *testing.T) {
	t.Parallel()
	open, requests := map[uint16]bool{}, 0
	b := newBench(probeOf(11, intent.MonitorHTTP))
	serve := web("HTTP/1.1 200 OK\r\n")
	b.run(20*time.Second, always(func(frame []byte) [][]byte {
		_, s, _ := backwards(frame)
		switch {
		case s.Flags == respond.TCPSyn:
			open[s.SrcPort] = true
		case s.Flags&respond.TCPRst != 0:
			delete(open, s.SrcPort)
		case len(s.Payload) > 0:
			requests++
			if want := "GET /healthz HTTP/1.1\r\nHost: [fd00::ffff]\r\n"; !strings.HasPrefix(string(s.Payload), want) || !strings.HasSuffix(string(s.Payload), "Connection: close\r\n\r\n") {
				t.Errorf("request %q", s.Payload)
			}
		}
		if s.SrcPort < intent.FirstProbePort || s.SrcPort >= intent.FirstProbePort+intent.ProbePorts {
			t.Errorf("source port %d", s.SrcPort)
		}
		return serve(frame)
	}))
	if requests < 3 || len(open) != 0 {
		t.Errorf("%d requests, connections left open from ports %v", requests, open)
	}
}

// It takes fall failures in a row to be down, and rise answers in a row to be up again.
func TestItTakesSeveralResultsInARow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from    intent.Health
		results string // + and -
		want    string // what is told after each: u, d or .
	}{
		{intent.HealthUnknown, "+++", "u.."},
		{intent.HealthUnknown, "---", "..d"},
		{intent.HealthUnknown, "--+", "..u"},
		{intent.HealthUp, "--+--+---", "........d"},
		{intent.HealthUp, "+++", "..."},
		{intent.HealthDown, "+-+-++", ".....u"},
		{intent.HealthDown, "----", "...."},
		{intent.HealthUp, "---++---", "..d.u..d"},
	} {
		tally, m, got := tally{state: c.from}, intent.Monitor{Rise: 2, Fall: 3}, ""
		for _, r := range c.results {
			switch {
			case !tally.add(r == '+', &m):
				got += "."
			case tally.state == intent.HealthUp:
				got += "u"
			default:
				got += "d"
			}
		}
		if got != c.want {
			t.Errorf("from %s, %s: want %s, got %s", c.from, c.results, c.want, got)
		}
	}
}

// Thousands of backends are asked each in its time, and never all at once.
func TestThousandsOfBackendsAreAskedInTheirTime(t *testing.T) {
	t.Parallel()
	const n = 5000
	var probes []intent.Probe
	for i := range uint32(n) {
		probes = append(probes, probeOf(i+1, intent.MonitorTCP))
	}
	b := newBench(probes...)
	began := map[int64]int{} // by hundredths of a second
	last, apart := map[uint32]time.Time{}, map[time.Duration]bool{}
	open := web()
	found, _ := b.run(21*time.Second, func(port uint32) station {
		return func(frame []byte) [][]byte {
			if _, s, _ := backwards(frame); s.Flags == respond.TCPSyn {
				began[b.now.Sub(start).Milliseconds()/10]++
				if was, ok := last[port]; ok && (b.now.Sub(was) < 4700*time.Millisecond || b.now.Sub(was) > 5300*time.Millisecond) {
					t.Errorf("backend %d was asked again after %v", port, b.now.Sub(was))
				}
				apart[b.now.Sub(last[port]).Round(50*time.Millisecond)] = true
				last[port] = b.now
			}
			return open(frame)
		}
	})
	most, sum := 0, 0
	for _, k := range began {
		most, sum = max(most, k), sum+k
	}
	if len(found) != n || len(last) != n || b.counts["good"] != sum || most > 40 || len(apart) < 5 {
		t.Errorf("%d found, %d asked, results %v, %d at most within 10 ms of %d", len(found), len(last), b.counts, most, sum)
	}
}

// Whoever begins anew goes on from what was known: nothing is told unless it is otherwise.
func TestAStartTellsNothingThatIsKnown(t *testing.T) {
	t.Parallel()
	up, down := probeOf(2, intent.MonitorTCP), probeOf(3, intent.MonitorTCP)
	up.Last, down.Last = intent.HealthUp, intent.HealthDown
	b := newBench(up, down)
	found, _ := b.run(30*time.Second, func(port uint32) station {
		if port == 2 {
			return web()
		}
		return nil
	})
	if len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	// The same probes again change nothing; what is older than what was found here neither.
	b.Set(b.now, []intent.Probe{up, down})
	up.Last = intent.HealthDown
	b.Set(b.now, []intent.Probe{up, down})
	if found, _ := b.run(30*time.Second, func(port uint32) station {
		if port == 2 {
			return web()
		}
		return nil
	}); len(found) != 0 {
		t.Errorf("found %+v", found)
	}
}

// A controller that was away for a while blames no backend for that.
func TestALateControllerBlamesNobody(t *testing.T) {
	t.Parallel()
	p := probeOf(2, intent.MonitorTCP)
	p.Last = intent.HealthUp
	b := newBench(p)
	for range 10 {
		_, found, wait := b.Work(b.now)
		if len(found) != 0 {
			t.Fatalf("found %+v", found)
		}
		b.now = b.now.Add(wait + 3*time.Second)
	}
	if b.counts["unsure"] < 3 || b.counts["silent"] != 0 {
		t.Errorf("results %v", b.counts)
	}
}

// Pools with the same backend and address ask it from ports of their own.
func TestTwinsAskFromDifferentPorts(t *testing.T) {
	t.Parallel()
	a, twin := probeOf(2, intent.MonitorTCP), probeOf(4, intent.MonitorTCP)
	twin.Addr, twin.OFPort = a.Addr, a.OFPort
	b := newBench(a, twin)
	found, _ := b.run(30*time.Second, always(web()))
	if len(found) != 2 || b.counts["stray"] != 0 {
		t.Errorf("found %+v, results %v", found, b.counts)
	}
}

// What nobody has asked for changes nothing, and is never answered.
func TestStrayAnswersChangeNothing(t *testing.T) {
	t.Parallel()
	b := newBench(probeOf(2, intent.MonitorTCP))
	var asked []Frame
	for len(asked) == 0 {
		frames, _, wait := b.Work(b.now)
		asked = frames
		b.now = b.now.Add(wait)
	}
	e, s, _ := backwards(asked[0].Data)
	right := respond.Segment{SrcPort: s.DstPort, DstPort: s.SrcPort, Seq: 9, Ack: s.Seq + 1, Flags: respond.TCPSyn | respond.TCPAck}
	wrong := map[string]func(*respond.Segment, *respond.Envelope){
		"number": func(s *respond.Segment, _ *respond.Envelope) { s.Ack++ },
		"port":   func(s *respond.Segment, _ *respond.Envelope) { s.DstPort ^= 1 },
		"from":   func(s *respond.Segment, _ *respond.Envelope) { s.SrcPort++ },
		"who":    func(_ *respond.Segment, e *respond.Envelope) { e.From = e.From.Next() },
		"flags":  func(s *respond.Segment, _ *respond.Envelope) { s.Flags = respond.TCPAck },
	}
	for name, spoil := range wrong {
		segment, envelope := right, e
		spoil(&segment, &envelope)
		if frames, found := b.Heard(b.now, envelope.TCP(segment)); len(frames)+len(found) != 0 {
			t.Errorf("wrong %s: %d frames, found %+v", name, len(frames), found)
		}
	}
	if b.counts["stray"] != len(wrong) {
		t.Errorf("results %v", b.counts)
	}
	if _, found := b.Heard(b.now, e.TCP(right)); len(found) != 1 {
		t.Error("the right answer is not taken any more")
	}
}

// A verdict that is doubted is reached anew, and who is gone is not asked.
func TestDoubtAndRemoval(t *testing.T) {
	t.Parallel()
	p := probeOf(2, intent.MonitorTCP)
	p.Last = intent.HealthUp
	b := newBench(p)
	found, _ := b.run(25*time.Second, always(nil))
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	b.Doubt("backend-2")
	if found, _ = b.run(25*time.Second, always(nil)); len(found) != 1 || found[0].Health != intent.HealthDown {
		t.Errorf("after a doubt, found %+v", found)
	}
	// How it is asked may change, and what it is stays; what another way has found is forgotten.
	p.Monitor.Fall = 1
	b.Set(b.now, []intent.Probe{p})
	if found, _ := b.run(25*time.Second, always(nil)); len(found) != 0 {
		t.Errorf("asked otherwise, found %+v", found)
	}
	pinged := probeOf(2, intent.MonitorPing)
	b.Set(b.now, []intent.Probe{pinged})
	if found, _ := b.run(25*time.Second, always(nil)); len(found) != 1 {
		t.Errorf("asked in another way, found %+v", found)
	}
	b.Set(b.now, nil)
	if found, sent := b.run(time.Minute, always(nil)); len(found)+sent != 0 || len(b.talks) != 0 {
		t.Errorf("after its end: %d sent, found %+v, %d under way", sent, found, len(b.talks))
	}
}

// Whatever a backend sends, nothing breaks.
func FuzzHeard(f *testing.F) {
	b := newBench(probeOf(2, intent.MonitorHTTP), probeOf(3, intent.MonitorHTTP), probeOf(4, intent.MonitorPing), probeOf(5, intent.MonitorPing))
	b.run(10*time.Second, func(uint32) station {
		return func(frame []byte) [][]byte {
			out := append(web("HTTP/1.1 200 OK")(frame), closed(frame)...)
			if len(frame) < 80 {
				out = append(out, echoes(frame)...)
			}
			for _, o := range out {
				f.Add(o)
			}
			return nil
		}
	})
	f.Fuzz(func(t *testing.T, frame []byte) {
		b := newBench(probeOf(2, intent.MonitorHTTP), probeOf(3, intent.MonitorHTTP), probeOf(4, intent.MonitorPing), probeOf(5, intent.MonitorPing))
		b.now = b.now.Add(6 * time.Second)
		b.Work(b.now)
		// The frame as it is, and as what somebody who is asked would send.
		b.Heard(b.now, frame)
		for at, asked := range b.talks {
			a := answer{from: at.addr, to: at.vip, ping: at.ping}
			if got, ok := parse(frame); ok {
				a.Segment = got.Segment
			}
			for _, ack := range []uint32{asked.talk.seq, a.Ack} {
				a.Ack = ack
				asked.talk.hear(&asked.probe, &a)
				if len(asked.talk.answer) > statusLen {
					t.Fatalf("kept %d bytes", len(asked.talk.answer))
				}
			}
		}
	})
}
