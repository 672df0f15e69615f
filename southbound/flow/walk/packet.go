package walk

import (
	"encoding/binary"
	"slices"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

var be = binary.BigEndian

// value is a field in network order, from its first byte on, as an OXM has it.
type value [16]byte

// packet is a frame on its way: its bytes, and all fields that tables see.
type packet struct {
	frame []byte
	v     []value // by FieldID.Index
	at    layout
	stack []value // right-aligned, of push and pop
	dirty bool    // checksums may be wrong
}

// supported are the fields that a walk knows, but for those that are parts of
// others (xreg0, vlan_tci, nw_tos).
var supported = func() []bool {
	m := make([]bool, openflow.NumFields())
	for _, id := range []openflow.FieldID{
		openflow.PacketType, openflow.ConjID, openflow.InPort, openflow.EthSrc, openflow.EthDst, openflow.EthType, openflow.VLANVID, openflow.VLANPCP,
		openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst, openflow.IPFrag, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL,
		openflow.IPv6Label, openflow.IPProto, openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags, openflow.UDPSrc, openflow.UDPDst,
		openflow.SCTPSrc, openflow.SCTPDst, openflow.ICMPType, openflow.ICMPCode, openflow.ICMP6Type, openflow.ICMP6Code,
		openflow.NDReserved, openflow.NDTarget, openflow.NDOptionsType, openflow.NDSLL, openflow.NDTLL,
		openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA,
		openflow.TunnelID, openflow.TunnelSrc, openflow.TunnelDst, openflow.TunnelIPv6Src, openflow.TunnelIPv6Dst, openflow.TunnelFlags,
		openflow.PktMark, openflow.CTState, openflow.CTZone, openflow.CTMark, openflow.CTLabel, openflow.CTProto,
		openflow.CTIPv4Src, openflow.CTIPv4Dst, openflow.CTIPv6Src, openflow.CTIPv6Dst, openflow.CTSrcPort, openflow.CTDstPort, openflow.Metadata,
	} {
		m[id.Index()] = true
	}
	for n := range 16 {
		m[(openflow.Reg0 + openflow.FieldID(n)).Index()] = true
	}
	return m
}()

func newPacket(frame []byte) *packet {
	p := &packet{frame: slices.Clone(frame), v: make([]value, openflow.NumFields())}
	p.parse()
	return p
}

func (p *packet) clone() *packet {
	c := p.seen()
	c.stack = slices.Clone(p.stack)
	return c
}

// seen is a copy to look at: it has no stack.
func (p *packet) seen() *packet {
	return &packet{frame: slices.Clone(p.frame), v: slices.Clone(p.v), at: p.at, dirty: p.dirty}
}

// get returns a supported field that stands for itself.
func (p *packet) get(id openflow.FieldID) *value { return &p.v[id.Index()] }

// num returns a field of at most 8 bytes as a number.
func (p *packet) num(id openflow.FieldID) (n uint64) {
	for _, b := range p.get(id)[:id.Len()] {
		n = n<<8 | uint64(b)
	}
	return n
}

// setNum sets a field that the frame does not hold, or one that it was found to hold.
func (p *packet) setNum(id openflow.FieldID, n uint64) {
	v := p.get(id)
	for i := id.Len() - 1; i >= 0; i-- {
		v[i] = byte(n)
		n >>= 8
	}
}

func (p *packet) setBytes(id openflow.FieldID, b []byte) { copy(p.get(id)[:], b) }

// parts returns the registers that a wide register consists of; nil: it is none.
func parts(id openflow.FieldID) []openflow.FieldID {
	wide := func(first openflow.FieldID, n int) []openflow.FieldID {
		list := make([]openflow.FieldID, n)
		for i := range list {
			list[i] = openflow.Reg0 + (id-first)*openflow.FieldID(n) + openflow.FieldID(i)
		}
		return list
	}
	switch {
	case id >= openflow.XReg0 && id < openflow.XReg0+8:
		return wide(openflow.XReg0, 2)
	case id >= openflow.XXReg0 && id < openflow.XXReg0+4:
		return wide(openflow.XXReg0, 4)
	}
	return nil
}

// read returns any field that is known, composed ones too.
func (p *packet) read(id openflow.FieldID) (v value, err error) {
	id = id.InMatch()
	for i, part := range parts(id) {
		copy(v[4*i:], p.get(part)[:4])
	}
	switch {
	case parts(id) != nil:
	case id == openflow.NXMInPort:
		be.PutUint16(v[:], uint16(p.num(openflow.InPort)))
	case id == openflow.VLANTCI:
		be.PutUint16(v[:], uint16(p.num(openflow.VLANVID)|p.num(openflow.VLANPCP)<<13))
	case id == openflow.IPToS:
		v[0] = byte(p.num(openflow.IPDSCP) << 2)
	case id.Index() >= 0 && supported[id.Index()]:
		v = *p.get(id)
	default:
		return v, unsupported("field " + flow.FieldName(id))
	}
	return v, nil
}

// write sets any field that is known, in the frame too if it is of a header. A
// header that the frame does not have stays away.
func (p *packet) write(id openflow.FieldID, v value) error {
	id = id.InMatch()
	if list := parts(id); list != nil {
		for i, part := range list {
			copy(p.get(part)[:4], v[4*i:])
		}
		return nil
	}
	switch id {
	case openflow.NXMInPort:
		p.setNum(openflow.InPort, uint64(port32(be.Uint16(v[:]))))
		return nil
	case openflow.IPToS:
		return p.write(openflow.IPDSCP, value{v[0] >> 2})
	case openflow.VLANTCI:
		tci := be.Uint16(v[:])
		if tci&vlanPresent == 0 {
			p.popVLAN()
			return nil
		}
		if p.num(openflow.VLANVID) == 0 {
			p.pushVLAN(etherVLAN)
		}
		be.PutUint16(p.frame[14:], tci&^vlanPresent)
		p.parse()
		return nil
	case openflow.ConjID, openflow.PacketType, openflow.CTState, openflow.CTZone, openflow.CTProto, openflow.CTIPv4Src, openflow.CTIPv4Dst,
		openflow.CTIPv6Src, openflow.CTIPv6Dst, openflow.CTSrcPort, openflow.CTDstPort, openflow.EthType, openflow.IPProto, openflow.IPFrag, openflow.TCPFlags:
		return unsupported("setting field " + flow.FieldName(id))
	}
	if id.Index() < 0 || !supported[id.Index()] {
		return unsupported("field " + flow.FieldName(id))
	}
	if p.inFrame(id) {
		p.patch(id, v)
		return nil
	}
	if !isHeader(id) {
		*p.get(id) = v
	}
	return nil
}

// bits returns a part of a field, right-aligned.
func (p *packet) bits(s openflow.Subfield) (out value, err error) {
	v, err := p.read(s.Field)
	if err != nil {
		return out, err
	}
	n := s.Field.Len()
	for i := range int(s.Bits) {
		at := int(s.Offset) + i
		if v[n-1-at/8]>>(at%8)&1 != 0 {
			out[15-i/8] |= 1 << (i % 8)
		}
	}
	return out, nil
}

// setBits sets a part of a field to the lowest bits of a right-aligned value.
func (p *packet) setBits(s openflow.Subfield, in value) error {
	v, err := p.read(s.Field)
	if err != nil {
		return err
	}
	n := s.Field.Len()
	for i := range int(s.Bits) {
		at := int(s.Offset) + i
		bit := byte(1) << (at % 8)
		v[n-1-at/8] &^= bit
		if in[15-i/8]>>(i%8)&1 != 0 {
			v[n-1-at/8] |= bit
		}
	}
	return p.write(s.Field, v)
}

// port32 widens a port number of OpenFlow 1.0.
func port32(n uint16) uint32 {
	if uint32(n) >= openflow.PortMax&0xffff {
		return 0xffff0000 | uint32(n)
	}
	return uint32(n)
}
