package health

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/respond"
)

// Result is what came of a probe.
type Result uint8

// The results.
const (
	Good       Result = iota // answered as it should be
	Silent                   // nothing within the time
	Refused                  // no connection, or one that ended too early
	Unexpected               // answered otherwise
	Unsure                   // the controller was too late to say
	Stray                    // no probe: a packet that answers none
)

// Results is the number of results.
const Results = int(Stray) + 1

func (r Result) String() string {
	return [Results]string{"good", "silent", "refused", "unexpected", "unsure", "stray"}[r]
}

// socket is what tells the answers to a probe from those to others.
type socket struct {
	vip, addr netip.Addr
	ping      bool
	port, own uint16 // own is the identifier of a ping
}

// talk is a probe under way.
type talk struct {
	at     socket
	asked  bool   // the connection is there, and the request sent
	seq    uint32 // what we send next; the number of a ping
	ack    uint32 // what is expected next
	answer []byte // what has come of it
}

// statusLen is how much of an answer tells its status: HTTP/1.1 200.
const statusLen = 12

func envelope(p *intent.Probe) respond.Envelope {
	return respond.Envelope{Src: p.VIPMAC, Dst: p.MAC, From: p.VIP, To: p.Addr}
}

// say makes the frame of a segment of the probe.
func (t *talk) say(p *intent.Probe, flags uint8, payload []byte) []byte {
	s := respond.Segment{SrcPort: t.at.own, DstPort: t.at.port, Seq: t.seq, Flags: flags, Payload: payload}
	if flags&respond.TCPAck != 0 {
		s.Ack = t.ack
	}
	return envelope(p).TCP(s)
}

// pingText is the payload of a ping.
func (t *talk) pingText() string { return fmt.Sprintf("macloom %08x", t.seq) }

// begin makes the first frame.
func (t *talk) begin(p *intent.Probe) []byte {
	if t.at.ping {
		return envelope(p).Echo(t.at.own, uint16(t.seq), []byte(t.pingText()))
	}
	frame := t.say(p, respond.TCPSyn, nil)
	t.seq++
	return frame
}

// hear takes what the backend has sent. It returns what is to be said to that, nil:
// nothing; and, if the probe is over, its result.
func (t *talk) hear(p *intent.Probe, a *answer) (reply []byte, over bool, r Result, reason string) {
	switch {
	case t.at.ping:
		if uint16(a.Seq) == uint16(t.seq) && string(a.Payload) == t.pingText() {
			return nil, true, Good, ""
		}
		return nil, false, Stray, ""
	case a.Flags&respond.TCPAck == 0 || a.Ack != t.seq && !t.asked:
		return nil, false, Stray, "" // of another connection
	case a.Flags&respond.TCPRst != 0 && !t.asked:
		return nil, true, Refused, fmt.Sprintf("port %d refuses connections", t.at.port)
	case a.Flags&respond.TCPRst != 0 && a.Seq == t.ack:
		return nil, true, Refused, "the connection was reset before the request was answered"
	case !t.asked && a.Flags&respond.TCPSyn != 0:
		t.ack = a.Seq + 1
		if p.Monitor.Kind == intent.MonitorTCP {
			return t.say(p, respond.TCPRst|respond.TCPAck, nil), true, Good, ""
		}
		t.asked = true
		request := t.request(p)
		reply = t.say(p, respond.TCPAck|respond.TCPPsh, request)
		t.seq += uint32(len(request))
		return reply, false, Good, ""
	case t.asked && a.Seq == t.ack && a.Flags&respond.TCPSyn == 0:
		return t.read(p, a)
	}
	return nil, false, Stray, ""
}

func (t *talk) request(p *intent.Probe) []byte {
	host := p.VIP.String()
	if p.VIP.Is6() {
		host = "[" + host + "]"
	}
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: macloom\r\nAccept: */*\r\nConnection: close\r\n\r\n", p.Monitor.Method, p.Monitor.Path, host)
}

// read takes the next part of the answer to the request.
func (t *talk) read(p *intent.Probe, a *answer) (reply []byte, over bool, r Result, reason string) {
	t.ack += uint32(len(a.Payload))
	t.answer = append(t.answer, a.Payload[:min(len(a.Payload), statusLen-len(t.answer))]...)
	if len(t.answer) < statusLen {
		if a.Flags&respond.TCPFin != 0 {
			return t.reset(p), true, Refused, "the connection was closed before the request was answered"
		}
		if len(a.Payload) == 0 {
			return nil, false, Good, "" // it has got the request
		}
		return t.say(p, respond.TCPAck, nil), false, Good, ""
	}
	code, err := strconv.Atoi(string(t.answer[9:]))
	if err != nil || string(t.answer[:7]) != "HTTP/1." || t.answer[8] != ' ' {
		return t.reset(p), true, Unexpected, "what answers does not speak HTTP"
	}
	if codes, err := intent.ParseStatusCodes(p.Monitor.Codes); err != nil || !codes.Contain(code) {
		return t.reset(p), true, Unexpected, fmt.Sprintf("the request was answered by status %d, and not by one of %s", code, p.Monitor.Codes)
	}
	return t.reset(p), true, Good, ""
}

// reset ends the connection; nil: there is none.
func (t *talk) reset(p *intent.Probe) []byte {
	if !t.asked {
		return nil
	}
	return t.say(p, respond.TCPRst|respond.TCPAck, nil)
}

// silence says what is wrong when nothing more has come.
func (t *talk) silence(p *intent.Probe) string {
	switch {
	case t.at.ping:
		return fmt.Sprintf("no echo within %d s", p.Monitor.Timeout)
	case t.asked:
		return fmt.Sprintf("the request was not answered within %d s", p.Monitor.Timeout)
	}
	return fmt.Sprintf("no answer from port %d within %d s", t.at.port, p.Monitor.Timeout)
}
