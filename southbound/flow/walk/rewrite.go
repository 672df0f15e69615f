package walk

import (
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// place is where in the frame a header field is; 0 bytes: nowhere.
func (p *packet) place(id openflow.FieldID) (at, n int) {
	kind, proto := p.num(openflow.EthType), p.num(openflow.IPProto)
	v4, v6 := kind == etherIPv4 && p.at.end > 0, kind == etherIPv6 && p.at.end > 0
	l4 := func(want uint64, offset, n int) (int, int) {
		if p.at.l4 == 0 || proto != want {
			return 0, 0
		}
		return p.at.l4 + offset, n
	}
	l3 := func(is bool, offset, n int) (int, int) {
		if !is {
			return 0, 0
		}
		return p.at.l3 + offset, n
	}
	arp := (kind == etherARP || kind == etherRARP) && len(p.frame) >= p.at.l3+28
	switch id {
	case openflow.EthDst:
		return 0, 6
	case openflow.EthSrc:
		return 6, 6
	case openflow.ARPOp:
		return l3(arp, 6, 2)
	case openflow.ARPSHA:
		return l3(arp, 8, 6)
	case openflow.ARPSPA:
		return l3(arp, 14, 4)
	case openflow.ARPTHA:
		return l3(arp, 18, 6)
	case openflow.ARPTPA:
		return l3(arp, 24, 4)
	case openflow.IPv4Src:
		return l3(v4, 12, 4)
	case openflow.IPv4Dst:
		return l3(v4, 16, 4)
	case openflow.IPv6Src:
		return l3(v6, 8, 16)
	case openflow.IPv6Dst:
		return l3(v6, 24, 16)
	case openflow.IPTTL:
		if v6 {
			return l3(true, 7, 1)
		}
		return l3(v4, 8, 1)
	case openflow.TCPSrc:
		return l4(protoTCP, 0, 2)
	case openflow.TCPDst:
		return l4(protoTCP, 2, 2)
	case openflow.UDPSrc:
		return l4(protoUDP, 0, 2)
	case openflow.UDPDst:
		return l4(protoUDP, 2, 2)
	case openflow.SCTPSrc:
		return l4(protoSCTP, 0, 2)
	case openflow.SCTPDst:
		return l4(protoSCTP, 2, 2)
	case openflow.ICMPType:
		return l4(protoICMP, 0, 1)
	case openflow.ICMPCode:
		return l4(protoICMP, 1, 1)
	case openflow.ICMP6Type:
		return l4(protoICMPv6, 0, 1)
	case openflow.ICMP6Code:
		return l4(protoICMPv6, 1, 1)
	case openflow.NDReserved:
		return p.nd(4, 4)
	case openflow.NDTarget:
		return p.nd(8, 16)
	case openflow.NDOptionsType:
		if at := max(p.at.sll, p.at.tll); at > 0 {
			if p.at.sll > 0 && p.at.tll > 0 {
				at = min(p.at.sll, p.at.tll)
			}
			return at - 2, 1
		}
	case openflow.NDSLL:
		return p.at.sll, min(p.at.sll, 6)
	case openflow.NDTLL:
		return p.at.tll, min(p.at.tll, 6)
	}
	return 0, 0
}

func (p *packet) nd(offset, n int) (int, int) {
	t := p.num(openflow.ICMP6Type)
	if p.at.l4 == 0 || p.num(openflow.ICMP6Code) != 0 || t != neighbourSolicitation && t != neighbourAdvertisement || p.at.end < p.at.l4+offset+n {
		return 0, 0
	}
	return p.at.l4 + offset, n
}

// shared are header fields that share a byte with others.
func shared(id openflow.FieldID) bool {
	switch id {
	case openflow.VLANVID, openflow.VLANPCP, openflow.IPDSCP, openflow.IPECN, openflow.IPv6Label:
		return true
	}
	return false
}

// inFrame reports whether the frame has the header of a field.
func (p *packet) inFrame(id openflow.FieldID) bool {
	switch id {
	case openflow.VLANVID, openflow.VLANPCP:
		return p.num(openflow.VLANVID) != 0
	case openflow.IPDSCP, openflow.IPECN:
		return p.at.end > 0
	case openflow.IPv6Label:
		return p.at.end > 0 && p.num(openflow.EthType) == etherIPv6
	}
	_, n := p.place(id)
	return n > 0 && len(p.frame) >= 14
}

// patch writes a field that inFrame into the frame.
func (p *packet) patch(id openflow.FieldID, v value) {
	p.dirty = true
	if at, n := p.place(id); !shared(id) {
		copy(p.frame[at:at+n], v[:n])
		p.parse()
		return
	}
	switch l3 := p.frame[p.at.l3:]; id {
	case openflow.VLANVID:
		be.PutUint16(p.frame[14:], be.Uint16(p.frame[14:])&0xf000|be.Uint16(v[:])&0xfff)
	case openflow.VLANPCP:
		be.PutUint16(p.frame[14:], be.Uint16(p.frame[14:])&0x1fff|uint16(v[0]&7)<<13)
	case openflow.IPv6Label:
		be.PutUint32(l3, be.Uint32(l3)&^0xfffff|be.Uint32(v[:])&0xfffff)
	case openflow.IPDSCP, openflow.IPECN:
		tos := byte(p.num(openflow.IPDSCP)<<2 | p.num(openflow.IPECN))
		if id == openflow.IPDSCP {
			tos = tos&3 | v[0]<<2
		} else {
			tos = tos&^3 | v[0]&3
		}
		if p.num(openflow.EthType) == etherIPv6 {
			be.PutUint32(l3, be.Uint32(l3)&^(0xff<<20)|uint32(tos)<<20)
		} else {
			l3[1] = tos
		}
	}
	p.parse()
}

func (p *packet) pushVLAN(kind uint16) {
	if len(p.frame) < 14 {
		return
	}
	tag := be.AppendUint16(nil, kind)
	tag = be.AppendUint16(tag, uint16(p.num(openflow.VLANVID)&0xfff|p.num(openflow.VLANPCP)<<13))
	p.frame = slices.Insert(p.frame, 12, tag...)
	p.parse()
}

func (p *packet) popVLAN() {
	if p.num(openflow.VLANVID) == 0 {
		return
	}
	p.frame = slices.Delete(p.frame, 12, 16)
	p.parse()
	if p.num(openflow.VLANVID) == 0 {
		return
	}
	// Of two tags Open vSwitch has looked at the outer one alone (vlan-limit is 1):
	// the inner one is a type of payload that it does not know.
	kind := be.Uint16(p.frame[12:])
	for _, id := range headerFields {
		if id != openflow.EthSrc && id != openflow.EthDst {
			*p.get(id) = value{}
		}
	}
	p.setNum(openflow.EthType, uint64(kind))
	p.at = layout{}
}

// bytes returns the frame with its checksums put right.
func (p *packet) bytes() []byte {
	if !p.dirty || p.at.end == 0 {
		return slices.Clone(p.frame)
	}
	f := slices.Clone(p.frame)
	l3 := f[p.at.l3:p.at.end]
	v4 := p.num(openflow.EthType) == etherIPv4
	if v4 {
		head := l3[:int(l3[0]&15)*4]
		be.PutUint16(head[10:], 0)
		be.PutUint16(head[10:], ^sum(0, head))
	}
	if p.at.l4 == 0 || p.num(openflow.IPFrag) != 0 {
		return f // the sum of a fragment is over the whole datagram
	}
	l4, proto := f[p.at.l4:p.at.end], byte(p.num(openflow.IPProto))
	place, pseudo := 0, true
	switch proto {
	case protoTCP:
		place = 16
	case protoUDP:
		if v4 && be.Uint16(l4[6:]) == 0 {
			return f // it has none
		}
		place = 6
	case protoICMP:
		place, pseudo = 2, false
	case protoICMPv6:
		place = 2
	default:
		return f
	}
	var start uint16
	if pseudo {
		addrs := l3[12:20]
		if !v4 {
			addrs = l3[8:40]
		}
		start = sum(sum(0, addrs), []byte{0, proto, byte(len(l4) >> 8), byte(len(l4))})
	}
	be.PutUint16(l4[place:], 0)
	s := ^sum(start, l4)
	if s == 0 && proto == protoUDP {
		s = 0xffff
	}
	be.PutUint16(l4[place:], s)
	return f
}

// sum adds to a sum in ones' complement (RFC 1071).
func sum(start uint16, b []byte) uint16 {
	n := uint32(start)
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(be.Uint16(b[i:]))
	}
	if len(b)&1 == 1 {
		n += uint32(b[len(b)-1]) << 8
	}
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return uint16(n)
}
