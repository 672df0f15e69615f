package health

import (
	"encoding/binary"
	"net/netip"

	"github.com/macloom/macloom/controller/respond"
)

const (
	tcpLen  = 20 // without options
	echoLen = 8

	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58

	echoReply  = 0
	echoReply6 = 129
)

// answer is what a backend has sent: a segment of TCP, or an echo, whose identifier is
// the port where it goes and whose number is in seq.
type answer struct {
	from, to netip.Addr
	ping     bool
	respond.Segment
}

// parse reads an answer. Of a frame that was cut off on its way to the controller
// the payload is what there is of it.
func parse(frame []byte) (a answer, ok bool) {
	p, ok := respond.Read(frame)
	if !ok {
		return a, false
	}
	a.from, a.to = p.From, p.To
	b := p.Payload
	switch {
	case p.Proto == protoTCP && len(b) >= tcpLen:
		head := int(b[12]>>4) * 4
		if head < tcpLen || head > len(b) {
			return a, false
		}
		a.SrcPort, a.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		a.Seq, a.Ack, a.Flags, a.Payload = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], b[head:]
		return a, true
	case len(b) >= echoLen && b[1] == 0 && (p.Proto == protoICMP && a.from.Is4() && b[0] == echoReply || p.Proto == protoICMPv6 && a.from.Is6() && b[0] == echoReply6):
		a.ping = true
		a.DstPort, a.Seq, a.Payload = binary.BigEndian.Uint16(b[4:]), uint32(binary.BigEndian.Uint16(b[6:])), b[echoLen:]
		return a, true
	}
	return a, false
}
