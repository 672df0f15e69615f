package openflow

import (
	"errors"
	"slices"
)

type (
	// PacketIn2 is NXT_PACKET_IN2, which Open vSwitch sends in place of PacketIn
	// to a controller that asked for it (SetPacketInFormat). Data aliases the
	// decoded buffer.
	PacketIn2 struct {
		BufferID     uint32 // NoBuffer where the switch does not say
		FullLen      uint32 // of the packet, of which Data may be a part
		Reason       uint8
		TableID      uint8
		Cookie       uint64 // all ones where the switch does not say
		Match        Match
		Data         []byte
		Userdata     []byte // of the controller action
		Continuation []byte // what Resume gives back to a paused pipeline; the switch's own business
		Other        []byte // properties that the codec does not know, whole
	}
	// Resume is NXT_RESUME: the packet goes on where a controller action with
	// pause had sent it up. It is to be the PacketIn2 that came, of which the
	// packet and the match may be changed.
	Resume struct{ PacketIn2 }

	// SetPacketInFormat is NXT_SET_PACKET_IN_FORMAT.
	SetPacketInFormat struct{ Format PacketInFormat }
	PacketInFormat    uint32
)

const (
	PacketInStandard PacketInFormat = 0 // PacketIn
	PacketInNXM      PacketInFormat = 1 // NXT_PACKET_IN
	PacketInNXT2     PacketInFormat = 2 // PacketIn2
)

// Types of the properties of a PacketIn2 (enum nx_packet_in2_prop_type).
const (
	packetInPacket = iota
	packetInFullLen
	packetInBufferID
	packetInTableID
	packetInCookie
	packetInReason
	packetInMetadata
	packetInUserdata
	packetInContinuation
)

// noCookie stands for a flow without a cookie: the packet missed all flows.
const noCookie = ^uint64(0)

var errNotPacketIn2 = errors.New("openflow: not a NXT_PACKET_IN2")

// IsPacketIn2 reports whether a body of OFPT_EXPERIMENTER is that of a PacketIn2.
func IsPacketIn2(body []byte) bool {
	return len(body) >= 8 && be.Uint32(body) == experimenterNicira && be.Uint32(body[4:]) == typePacketIn2
}

// Decode decodes the body of an OFPT_EXPERIMENTER message (all that follows
// the header) into p. It reuses the memory of p's lists and therefore
// allocates nothing once p has been used; Data aliases body.
func (p *PacketIn2) Decode(body []byte) error {
	if !IsPacketIn2(body) {
		return errNotPacketIn2
	}
	r := reader{b: body[8:]}
	p.decode(&r)
	return r.end()
}

// InPort returns the port that the packet came in by, which is in its match.
func (p *PacketIn2) InPort() (port uint32, ok bool) {
	f, ok := p.Match.Find(InPort)
	return uint32(f.Uint()), ok
}

func (*PacketIn2) MsgType() Type { return TypeExperimenter }

func (p *PacketIn2) AppendBody(b []byte) []byte {
	return p.appendTo(appendExperimenter(b, experimenterNicira, typePacketIn2))
}

func (*Resume) MsgType() Type { return TypeExperimenter }

func (m *Resume) AppendBody(b []byte) []byte {
	return m.appendTo(appendExperimenter(b, experimenterNicira, typeResume))
}

func (p *PacketIn2) appendTo(b []byte) []byte {
	b = appendProperty(b, packetInPacket, p.Data)
	if int(p.FullLen) != len(p.Data) {
		b = be.AppendUint32(append(b, 0, packetInFullLen, 0, 8), p.FullLen)
	}
	if p.BufferID != NoBuffer {
		b = be.AppendUint32(append(b, 0, packetInBufferID, 0, 8), p.BufferID)
	}
	b = append(b, 0, packetInTableID, 0, 5, p.TableID, 0, 0, 0)
	if p.Cookie != noCookie {
		b = be.AppendUint64(append(b, 0, packetInCookie, 0, 16, 0, 0, 0, 0), p.Cookie)
	}
	b = append(b, 0, packetInReason, 0, 5, p.Reason, 0, 0, 0)
	b = appendProperty(b, packetInMetadata, p.Match)
	if len(p.Continuation) > 0 {
		b = appendProperty(b, packetInContinuation, p.Continuation)
	}
	if len(p.Userdata) > 0 {
		b = appendProperty(b, packetInUserdata, p.Userdata)
	}
	return append(b, p.Other...)
}

// appendProperty appends a property, padded to 8 bytes.
func appendProperty(b []byte, kind uint16, value []byte) []byte {
	start := len(b)
	b = be.AppendUint16(b, kind)
	b = be.AppendUint16(b, uint16(4+len(value)))
	b = append(b, value...)
	return appendPad(b, start)
}

// property reads a property with its padding.
func (r *reader) property() (kind uint16, value, whole []byte) {
	all := r.b
	kind, n := r.u16(), int(r.u16())
	if r.err == nil && n < 4 {
		r.fail("property of type %d: length %d", kind, n)
	}
	value = r.take(n - 4)
	r.skip(-n & 7)
	if r.err != nil {
		return 0, nil, nil
	}
	return kind, value, all[:n+-n&7]
}

// decodeNew decodes body into a new p, of which lists that the message has not
// are nil.
func (p *PacketIn2) decodeNew(r *reader, body []byte) {
	e := reader{b: body}
	p.decode(&e)
	r.adopt(&e)
	p.Match, p.Userdata, p.Continuation, p.Other = some(p.Match), some(p.Userdata), some(p.Continuation), some(p.Other)
}

func (p *PacketIn2) decode(r *reader) {
	*p = PacketIn2{
		BufferID: NoBuffer, Cookie: noCookie, Match: p.Match[:0],
		Userdata: p.Userdata[:0], Continuation: p.Continuation[:0], Other: p.Other[:0],
	}
	hasFullLen := false
	for len(r.b) > 0 {
		kind, value, whole := r.property()
		v := reader{b: value}
		switch kind {
		case packetInPacket:
			p.Data = v.rest()
		case packetInFullLen:
			p.FullLen = v.u32()
			hasFullLen = true
		case packetInBufferID:
			p.BufferID = v.u32()
		case packetInTableID:
			p.TableID = v.u8()
			v.rest() // padding within the length
		case packetInCookie:
			v.skip(4)
			p.Cookie = v.u64()
		case packetInReason:
			p.Reason = v.u8()
			v.rest()
		case packetInMetadata:
			p.Match = append(p.Match[:0], v.fields(len(v.b))...)
		case packetInUserdata:
			p.Userdata = append(p.Userdata[:0], v.rest()...)
		case packetInContinuation:
			p.Continuation = append(p.Continuation[:0], v.rest()...)
		default:
			if cap(p.Other)-len(p.Other) < len(whole) {
				p.Other = slices.Grow(p.Other, len(whole)+len(r.b)) // once, whatever follows
			}
			p.Other = append(p.Other, whole...)
			v.rest()
		}
		if err := v.end(); err != nil {
			r.fail("property of type %d: %w", kind, err)
		}
	}
	if !hasFullLen {
		p.FullLen = uint32(len(p.Data))
	}
}

func (*SetPacketInFormat) MsgType() Type { return TypeExperimenter }

func (m *SetPacketInFormat) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterNicira, typeSetPacketInFormat)
	return be.AppendUint32(b, uint32(m.Format))
}
