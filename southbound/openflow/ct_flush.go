package openflow

import "net/netip"

type (
	// CTFlushZone is NXT_CT_FLUSH_ZONE: forget all connections of a zone.
	CTFlushZone struct{ Zone uint16 }
	// CTFlush is NXT_CT_FLUSH: forget the connections that are as it says. What
	// is zero may be anything. Open vSwitch knows it from 3.1 on.
	CTFlush struct {
		Protocol    uint8
		Orig, Reply CTTuple
		HasZone     bool // else zone 0
		Zone        uint16
	}
	// CTTuple is one direction of a connection.
	CTTuple struct {
		Src, Dst         netip.Addr
		SrcPort, DstPort uint16
		// For ICMP and ICMPv6, which have no ports; they are sent together.
		ICMPID             uint16
		ICMPType, ICMPCode uint8
	}
)

// Types of the properties of a CTFlush, and of the tuples in it.
const (
	ctFlushOrig  = 0
	ctFlushReply = 1
	ctFlushZone  = 2

	// Properties of 16 bits have 2 bytes of padding within their length.
	ctTupleSrc      = 0
	ctTupleDst      = 1
	ctTupleSrcPort  = 2
	ctTupleDstPort  = 3
	ctTupleICMPID   = 4
	ctTupleICMPType = 5
	ctTupleICMPCode = 6

	protocolICMP   = 1
	protocolICMPv6 = 58
)

func (*CTFlushZone) MsgType() Type { return TypeExperimenter }

func (m *CTFlushZone) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterNicira, typeCTFlushZone)
	b = appendZeros(b, 6)
	return be.AppendUint16(b, m.Zone)
}

func (*CTFlush) MsgType() Type { return TypeExperimenter }

func (m *CTFlush) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterNicira, typeCTFlush)
	b = append(b, m.Protocol, 0, 0, 0, 0, 0, 0, 0)
	icmp := m.Protocol == protocolICMP || m.Protocol == protocolICMPv6
	b = m.Orig.appendTo(b, ctFlushOrig, icmp)
	b = m.Reply.appendTo(b, ctFlushReply, icmp)
	if m.HasZone {
		b = append(b, 0, ctFlushZone, 0, 8, byte(m.Zone>>8), byte(m.Zone), 0, 0)
	}
	return b
}

// appendTo appends the tuple unless it says nothing.
func (t *CTTuple) appendTo(b []byte, kind uint8, icmp bool) []byte {
	if *t == (CTTuple{}) {
		return b
	}
	start := len(b)
	b = append(b, 0, kind, 0, 0, 0, 0, 0, 0)
	for i, a := range [...]netip.Addr{t.Src, t.Dst} {
		if a.IsValid() {
			addr := a.As16() // IPv4 as an address of IPv6
			b = append(b, 0, ctTupleSrc+byte(i), 0, 20)
			b = append(b, addr[:]...)
			b = append(b, 0, 0, 0, 0)
		}
	}
	if icmp {
		b = append(b, 0, ctTupleICMPID, 0, 8, byte(t.ICMPID>>8), byte(t.ICMPID), 0, 0)
		b = append(b, 0, ctTupleICMPType, 0, 5, t.ICMPType, 0, 0, 0)
		b = append(b, 0, ctTupleICMPCode, 0, 5, t.ICMPCode, 0, 0, 0)
	} else {
		for i, port := range [...]uint16{t.SrcPort, t.DstPort} {
			if port != 0 {
				b = append(b, 0, ctTupleSrcPort+byte(i), 0, 8, byte(port>>8), byte(port), 0, 0)
			}
		}
	}
	putLen(b, start+2, len(b)-start)
	return b
}

// decodeCTFlush decodes what follows the experimenter header, properties in any
// order. ok is false where the message says anything that the result does not.
func decodeCTFlush(body []byte) (m *CTFlush, ok bool) {
	m = new(CTFlush)
	if !m.decode(body) {
		return nil, false
	}
	var again CTFlush
	return m, again.decode(m.AppendBody(nil)[8:]) && again == *m
}

func (m *CTFlush) decode(body []byte) (ok bool) {
	r := reader{b: body}
	m.Protocol = r.u8()
	if !allZero(r.take(7)) {
		return false
	}
	for len(r.b) > 0 {
		kind, value, _ := r.property()
		v := reader{b: value}
		switch kind {
		case ctFlushOrig:
			m.Orig.decode(&v)
		case ctFlushReply:
			m.Reply.decode(&v)
		case ctFlushZone:
			m.HasZone, m.Zone = true, v.u16()
		}
		if !v.endPadded() { // which is so for other kinds
			return false
		}
	}
	return r.err == nil
}

func (t *CTTuple) decode(r *reader) {
	r.skip(4)
	for len(r.b) > 0 {
		kind, value, _ := r.property()
		v := reader{b: value}
		switch kind {
		case ctTupleSrc:
			t.Src = v.addr()
		case ctTupleDst:
			t.Dst = v.addr()
		case ctTupleSrcPort:
			t.SrcPort = v.u16()
		case ctTupleDstPort:
			t.DstPort = v.u16()
		case ctTupleICMPID:
			t.ICMPID = v.u16()
		case ctTupleICMPType:
			t.ICMPType = v.u8()
		case ctTupleICMPCode:
			t.ICMPCode = v.u8()
		}
		if !v.endPadded() {
			r.failWith(errShort)
		}
	}
}

// addr reads an address of IPv6, or of IPv4 that is mapped to one.
func (r *reader) addr() netip.Addr {
	p := r.take(16)
	if p == nil {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(p)).Unmap()
}

// endPadded is end for a property that may have padding within its length.
func (r *reader) endPadded() bool { return r.err == nil && len(r.b) < 4 && allZero(r.b) }
