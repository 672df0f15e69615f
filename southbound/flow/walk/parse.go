package walk

import (
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// Numbers of the protocols that tables look into.
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherRARP = 0x8035
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	etherIPv6 = 0x86dd
	etherNone = 0x05ff // what Open vSwitch says of a frame without a type

	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoICMPv6   = 58
	protoNone     = 59
	protoOptions  = 60
	protoSCTP     = 132

	vlanPresent = 0x1000 // OFPVID_PRESENT

	fragAny, fragLater = 1, 2 // bits of nw_frag

	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	optionSourceLink       = 1
	optionTargetLink       = 2
)

// layout is where the headers of a frame begin; 0: it has none.
type layout struct {
	l3, l4   int
	end      int // of the IP packet
	sll, tll int // of the address in the option
}

// headerFields are those that parse fills in; all others come from tables.
var headerFields = []openflow.FieldID{
	openflow.EthSrc, openflow.EthDst, openflow.EthType, openflow.VLANVID, openflow.VLANPCP, openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst,
	openflow.IPFrag, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL, openflow.IPv6Label, openflow.IPProto, openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags,
	openflow.UDPSrc, openflow.UDPDst, openflow.SCTPSrc, openflow.SCTPDst, openflow.ICMPType, openflow.ICMPCode, openflow.ICMP6Type, openflow.ICMP6Code,
	openflow.NDReserved, openflow.NDTarget, openflow.NDOptionsType, openflow.NDSLL, openflow.NDTLL,
	openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA,
}

func isHeader(id openflow.FieldID) bool { return slices.Contains(headerFields, id) }

// parse fills in the header fields, as Open vSwitch's miniflow_extract does: a
// header that is cut off or contradicts itself is not there, and what is not there reads
// as 0.
func (p *packet) parse() {
	for _, id := range headerFields {
		*p.get(id) = value{}
	}
	p.at = layout{}
	f := p.frame
	if len(f) < 14 {
		return
	}
	p.setBytes(openflow.EthDst, f[:6])
	p.setBytes(openflow.EthSrc, f[6:12])
	at := 12
	kind := be.Uint16(f[at:])
	if (kind == etherVLAN || kind == etherQinQ) && len(f) >= at+6 {
		tci := be.Uint16(f[at+2:])
		p.setNum(openflow.VLANVID, uint64(vlanPresent|tci&0xfff))
		p.setNum(openflow.VLANPCP, uint64(tci>>13))
		at += 4
		kind = be.Uint16(f[at:])
	}
	at += 2
	if kind < 0x600 { // IEEE 802.3: a length; the type may follow in a SNAP header
		kind = etherNone
		if len(f) >= at+8 && string(f[at:at+6]) == "\xaa\xaa\x03\x00\x00\x00" {
			if inner := be.Uint16(f[at+6:]); inner >= 0x600 {
				kind = inner
				at += 8
			}
		}
	}
	p.setNum(openflow.EthType, uint64(kind))
	p.at.l3 = at
	switch kind {
	case etherARP, etherRARP:
		p.parseARP(f[at:])
	case etherIPv4:
		p.parseIPv4(f[at:])
	case etherIPv6:
		p.parseIPv6(f[at:])
	}
}

func (p *packet) parseARP(b []byte) {
	if len(b) < 28 || string(b[:6]) != "\x00\x01\x08\x00\x06\x04" {
		return
	}
	if op := be.Uint16(b[6:]); op <= 0xff {
		p.setNum(openflow.ARPOp, uint64(op))
	}
	p.setBytes(openflow.ARPSHA, b[8:14])
	p.setBytes(openflow.ARPSPA, b[14:18])
	p.setBytes(openflow.ARPTHA, b[18:24])
	p.setBytes(openflow.ARPTPA, b[24:28])
}

func (p *packet) parseIPv4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	head, total := int(b[0]&15)*4, int(be.Uint16(b[2:]))
	if head < 20 || head > total || total > len(b) {
		return
	}
	p.at.end = p.at.l3 + total
	p.setBytes(openflow.IPv4Src, b[12:16])
	p.setBytes(openflow.IPv4Dst, b[16:20])
	p.setToS(b[1])
	p.setNum(openflow.IPTTL, uint64(b[8]))
	p.setNum(openflow.IPProto, uint64(b[9]))
	later := false
	if frag := be.Uint16(b[6:]); frag&0x3fff != 0 {
		kind := uint64(fragAny)
		if later = frag&0x1fff != 0; later {
			kind |= fragLater
		}
		p.setNum(openflow.IPFrag, kind)
	}
	if !later {
		p.parseL4(b[head:total], p.at.l3+head, b[9])
	}
}

func (p *packet) setToS(tos byte) {
	p.setNum(openflow.IPDSCP, uint64(tos>>2))
	p.setNum(openflow.IPECN, uint64(tos&3))
}

func (p *packet) parseIPv6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return
	}
	total := 40 + int(be.Uint16(b[4:]))
	if total > len(b) {
		return
	}
	head := be.Uint32(b)
	p.setNum(openflow.IPv6Label, uint64(head&0xfffff))
	p.setToS(byte(head >> 20))
	p.setNum(openflow.IPTTL, uint64(b[7]))
	p.setBytes(openflow.IPv6Src, b[8:24])
	p.setBytes(openflow.IPv6Dst, b[24:40])
	p.at.end = p.at.l3 + total
	next, at, frag := b[6], 40, uint64(0)
	for {
		size := 0
		rest := b[at:total]
		switch next {
		case protoHopByHop, protoRouting, protoOptions:
			if len(rest) < 8 {
				return
			}
			size = 8 * (int(rest[1]) + 1)
		case protoAH:
			if len(rest) < 8 {
				return
			}
			size = 4 * (int(rest[1]) + 2)
		case protoFragment:
			if len(rest) < 8 {
				return
			}
			size = 8
			if offset := be.Uint16(rest[2:]); offset&^7 != 0 {
				p.setNum(openflow.IPFrag, fragAny|fragLater)
				p.setNum(openflow.IPProto, protoFragment)
				return
			} else if offset&1 != 0 {
				frag = fragAny
			}
		default:
			p.setNum(openflow.IPFrag, frag)
			p.setNum(openflow.IPProto, uint64(next))
			p.parseL4(rest, p.at.l3+at, next)
			return
		}
		if size > len(rest) {
			return
		}
		next, at = rest[0], at+size
	}
}

func (p *packet) parseL4(b []byte, at int, proto uint8) {
	ports := func(src, dst openflow.FieldID, size int) bool {
		if len(b) < size {
			return false
		}
		p.at.l4 = at
		p.setBytes(src, b[:2])
		p.setBytes(dst, b[2:4])
		return true
	}
	v6 := p.num(openflow.EthType) == etherIPv6
	switch {
	case proto == protoTCP:
		if ports(openflow.TCPSrc, openflow.TCPDst, 20) {
			p.setNum(openflow.TCPFlags, uint64(be.Uint16(b[12:])&0xfff))
		}
	case proto == protoUDP:
		ports(openflow.UDPSrc, openflow.UDPDst, 8)
	case proto == protoSCTP:
		ports(openflow.SCTPSrc, openflow.SCTPDst, 12)
	case proto == protoICMP && !v6 && len(b) >= 8:
		p.at.l4 = at
		p.setBytes(openflow.ICMPType, b[:1])
		p.setBytes(openflow.ICMPCode, b[1:2])
	case proto == protoICMPv6 && v6 && len(b) >= 8:
		p.at.l4 = at
		p.setBytes(openflow.ICMP6Type, b[:1])
		p.setBytes(openflow.ICMP6Code, b[1:2])
		if b[1] == 0 && (b[0] == neighbourSolicitation || b[0] == neighbourAdvertisement) {
			p.parseND(b, at)
		}
	}
}

// parseND reads neighbour discovery. One of its options given twice makes all of them
// void.
func (p *packet) parseND(b []byte, at int) {
	p.setBytes(openflow.NDReserved, b[4:8])
	if len(b) < 24 {
		return
	}
	p.setBytes(openflow.NDTarget, b[8:24])
	for o := 24; len(b)-o >= 8; {
		size := 8 * int(b[o+1])
		if size == 0 || size > len(b)-o {
			return
		}
		field, place := openflow.NDSLL, &p.at.sll
		if b[o] == optionTargetLink {
			field, place = openflow.NDTLL, &p.at.tll
		}
		if size == 8 && (b[o] == optionSourceLink || b[o] == optionTargetLink) {
			if p.num48(field) != 0 {
				for _, id := range []openflow.FieldID{openflow.NDTarget, openflow.NDSLL, openflow.NDTLL} {
					*p.get(id) = value{}
				}
				p.at.sll, p.at.tll = 0, 0
				return
			}
			if p.num(openflow.NDOptionsType) == 0 {
				p.setNum(openflow.NDOptionsType, uint64(b[o]))
			}
			p.setBytes(field, b[o+2:o+8])
			*place = at + o + 2
		}
		o += size
	}
}

func (p *packet) num48(id openflow.FieldID) uint64 { return p.num(id) & (1<<48 - 1) }
