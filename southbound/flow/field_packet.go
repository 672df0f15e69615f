package flow

import (
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

// EthSrc matches the source MAC.
func EthSrc(a [6]byte) Field { return octets(openflow.EthSrc, a[:]) }

// EthDst matches the destination MAC.
func EthDst(a [6]byte) Field { return octets(openflow.EthDst, a[:]) }

// EthSrcMasked matches some bits of the source MAC.
func EthSrcMasked(a, mask [6]byte) Field { return maskedOctets(openflow.EthSrc, a[:], mask[:]) }

// EthDstMasked matches some bits of the destination MAC.
func EthDstMasked(a, mask [6]byte) Field { return maskedOctets(openflow.EthDst, a[:], mask[:]) }

// EthType matches the ethertype behind any tags.
func EthType(t uint16) Field { return number(openflow.EthType, 2, uint64(t)) }

// NoVLAN matches packets without a tag. Over OpenFlow 1.3 Open vSwitch reports
// it as an exact vlan_vid of 0 (OFPVID_NONE), whichever way it was installed;
// ovs-ofctl prints that as vlan_tci=0x0000/0x1fff.
func NoVLAN() Field { return number(openflow.VLANVID, 2, 0) }

// VLAN matches packets with tag vid.
func VLAN(vid uint16) Field { return number(openflow.VLANVID, 2, uint64(vlanPresent|vid&0xfff)) }

// AnyVLAN matches packets with any tag.
func AnyVLAN() Field { return masked(openflow.VLANVID, 2, vlanPresent, vlanPresent) }

// VLANIDMasked matches some bits of vlan_vid: 12 of the id and 0x1000, which is set
// where there is a tag.
func VLANIDMasked(v, mask uint16) Field {
	return masked(openflow.VLANVID, 2, uint64(v), uint64(mask))
}

// VLANPCP matches the priority in the tag. It implies AnyVLAN.
func VLANPCP(p uint8) Field { return number(openflow.VLANPCP, 1, uint64(p)) }

// MPLS matches the ethertype of MPLS unicast, 0x8847.
func MPLS() Field { return EthType(ethMPLS) }

// MPLSLabel matches the label on top. As all fields of MPLS it implies MPLS,
// unless the match has the ethertype 0x8848.
func MPLSLabel(v uint32) Field { return number(openflow.MPLSLabel, 4, uint64(v)) }

// MPLSTC matches the traffic class of the label on top, 3 bits.
func MPLSTC(v uint8) Field { return number(openflow.MPLSTC, 1, uint64(v)) }

// MPLSBOS matches whether the label on top is the last: 1 or 0.
func MPLSBOS(v uint8) Field { return number(openflow.MPLSBOS, 1, uint64(v)) }

// MPLSTTL matches the TTL of the label on top.
func MPLSTTL(v uint8) Field { return number(openflow.MPLSTTL, 1, uint64(v)) }

// PBBISID matches the service id of a provider backbone frame. A mask of 0xffffff is exact. Open
// vSwitch knows neither it nor PBBUCA.
func PBBISID(v, mask uint32) Field { return masked(openflow.PBBISID, 3, uint64(v), uint64(mask)) }

// PBBUCA matches whether a provider backbone frame uses customer addresses: 1 or 0.
func PBBUCA(v uint8) Field { return number(openflow.PBBUCA, 1, uint64(v)) }

// ARP matches the ethertype 0x0806.
func ARP() Field { return EthType(ethARP) }

// IP matches the ethertype of IPv4, 0x0800.
func IP() Field { return EthType(ethIPv4) }

// IPv6 matches the ethertype 0x86dd.
func IPv6() Field { return EthType(ethIPv6) }

// IPProto is the protocol of IPv4 or the last next header of IPv6. The
// match needs IP or IPv6 besides.
func IPProto(p uint8) Field { return number(openflow.IPProto, 1, uint64(p)) }

// IPSrc matches source addresses of the family of p, which it implies. A prefix
// of length 0 matches all of the family.
func IPSrc(p netip.Prefix) Field { return prefix(openflow.IPv4Src, openflow.IPv6Src, p) }

// IPDst matches destination addresses of the family of p, which it implies.
func IPDst(p netip.Prefix) Field { return prefix(openflow.IPv4Dst, openflow.IPv6Dst, p) }

// IPSrcMasked matches sources that agree with a in the bits of mask, which need not be a prefix. Both
// are of one family.
func IPSrcMasked(a, mask netip.Addr) Field {
	return maskedAddr(openflow.IPv4Src, openflow.IPv6Src, a, mask)
}

// IPDstMasked matches destinations, as IPSrcMasked does sources.
func IPDstMasked(a, mask netip.Addr) Field {
	return maskedAddr(openflow.IPv4Dst, openflow.IPv6Dst, a, mask)
}

func maskedAddr(v4, v6 openflow.FieldID, a, mask netip.Addr) Field {
	f := addr(v4, v6, a)
	raw := mask.AsSlice()
	if len(raw) != int(f.oxm.Len) {
		panic(fmt.Sprintf("flow: %v and its mask %v are not of one family", a, mask))
	}
	return maskedOctets(f.oxm.Field, f.Value(), raw)
}

// IPDSCP matches the 6 bits of the differentiated services code point. As IPECN, IPTTL
// and IPFragment it needs IP or IPv6 besides.
func IPDSCP(v uint8) Field { return number(openflow.IPDSCP, 1, uint64(v)) }

// IPECN matches the 2 bits of explicit congestion notification.
func IPECN(v uint8) Field { return number(openflow.IPECN, 1, uint64(v)) }

// IPTTL matches the TTL of IPv4 or the hop limit of IPv6.
func IPTTL(v uint8) Field { return number(openflow.IPTTL, 1, uint64(v)) }

// Fragment is a kind of packets by their place in a fragmented one.
type Fragment string

// The kinds of IPFragment.
const (
	NoFragment       Fragment = "no"
	AnyFragment      Fragment = "yes"
	FirstFragment    Fragment = "first"
	LaterFragment    Fragment = "later"     // has no transport header
	NotLaterFragment Fragment = "not_later" // has one
)

// IPFragment matches packets by their place in a fragmented one.
func IPFragment(kind Fragment) Field {
	for _, f := range fragments {
		if f.word == string(kind) {
			return masked(openflow.IPFrag, 1, uint64(f.value), uint64(f.mask))
		}
	}
	panic(fmt.Sprintf("flow: there is no kind of fragment %q", kind))
}

// IPv6Label matches the 20 bits of the flow label of IPv6, which it implies.
func IPv6Label(v uint32) Field { return number(openflow.IPv6Label, 4, uint64(v)) }

// IPv6LabelMasked matches some bits of the flow label.
func IPv6LabelMasked(v, mask uint32) Field {
	return masked(openflow.IPv6Label, 4, uint64(v), uint64(mask))
}

// IPv6ExtHdr matches which extension headers there are (OFPIEH_*). A mask of 0x1ff is all. Open
// vSwitch does not know it.
func IPv6ExtHdr(v, mask uint16) Field {
	return masked(openflow.IPv6ExtHdr, 2, uint64(v), uint64(mask))
}

// ARPOp matches the operation: 1 request, 2 reply. It implies ARP.
func ARPOp(op uint16) Field { return number(openflow.ARPOp, 2, uint64(op)) }

// ARPSPA matches the sender's IPv4 address. It implies ARP.
func ARPSPA(a netip.Addr) Field { return ip4(openflow.ARPSPA, a) }

// ARPTPA matches the target's IPv4 address. It implies ARP.
func ARPTPA(a netip.Addr) Field { return ip4(openflow.ARPTPA, a) }

// ARPSHA matches the sender's MAC. It implies ARP.
func ARPSHA(a [6]byte) Field { return octets(openflow.ARPSHA, a[:]) }

// ARPTHA matches the target's MAC. It implies ARP.
func ARPTHA(a [6]byte) Field { return octets(openflow.ARPTHA, a[:]) }

// ARPSPAIn matches senders with IPv4 addresses of p. It implies ARP.
func ARPSPAIn(p netip.Prefix) Field { return prefix4(openflow.ARPSPA, p) }

// ARPTPAIn matches targets with IPv4 addresses of p. It implies ARP.
func ARPTPAIn(p netip.Prefix) Field { return prefix4(openflow.ARPTPA, p) }

// ARPSHAMasked matches some bits of the sender's MAC. It implies ARP.
func ARPSHAMasked(a, mask [6]byte) Field { return maskedOctets(openflow.ARPSHA, a[:], mask[:]) }

// ARPTHAMasked matches some bits of the target's MAC. It implies ARP.
func ARPTHAMasked(a, mask [6]byte) Field { return maskedOctets(openflow.ARPTHA, a[:], mask[:]) }

// NDTarget matches the address that a solicitation or advertisement is about. The
// match needs ICMP6Type 135 or 136 besides.
func NDTarget(a netip.Addr) Field { return ip6(openflow.NDTarget, a) }

// NDSLL matches the source link-layer address option, all zeros where a packet
// has none. It implies a neighbour solicitation.
func NDSLL(a [6]byte) Field { return octets(openflow.NDSLL, a[:]) }

// NDTLL matches the target link-layer address option, all zeros where a packet
// has none. It implies a neighbour advertisement.
func NDTLL(a [6]byte) Field { return octets(openflow.NDTLL, a[:]) }

// NDTargetIn matches target addresses of p. It needs the same as NDTarget.
func NDTargetIn(p netip.Prefix) Field { return prefix6(openflow.NDTarget, p) }

// NDSLLMasked matches some bits of the source link-layer address option.
func NDSLLMasked(a, mask [6]byte) Field { return maskedOctets(openflow.NDSLL, a[:], mask[:]) }

// NDTLLMasked matches some bits of the target link-layer address option.
func NDTLLMasked(a, mask [6]byte) Field { return maskedOctets(openflow.NDTLL, a[:], mask[:]) }

// NDReserved matches the 32 bits before the target address, of which an advertisement
// has its flags in the upper 3. It needs the same as NDTarget, and so does NDOptionsType.
func NDReserved(v uint32) Field { return number(openflow.NDReserved, 4, uint64(v)) }

// NDOptionsType matches the type of the first option: 1 source, 2 target link-layer address.
func NDOptionsType(t uint8) Field { return number(openflow.NDOptionsType, 1, uint64(t)) }

// ICMPType matches the type of ICMP for IPv4, which it implies.
func ICMPType(t uint8) Field { return number(openflow.ICMPType, 1, uint64(t)) }

// ICMPCode matches the code of ICMP for IPv4, which it implies.
func ICMPCode(c uint8) Field { return number(openflow.ICMPCode, 1, uint64(c)) }

// ICMP6Type matches the type of ICMPv6, which it implies.
func ICMP6Type(t uint8) Field { return number(openflow.ICMP6Type, 1, uint64(t)) }

// ICMP6Code matches the code of ICMPv6, which it implies.
func ICMP6Code(c uint8) Field { return number(openflow.ICMP6Code, 1, uint64(c)) }

// TPSrc matches the source port of TCP (6), UDP (17) or SCTP (132), which it
// implies; the match needs IP or IPv6 besides. A mask of 0xffff is exact.
func TPSrc(proto uint8, port, mask uint16) Field {
	return masked(transport(proto, openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc), 2, uint64(port), uint64(mask))
}

// TPDst matches the destination port, as TPSrc does the source port.
func TPDst(proto uint8, port, mask uint16) Field {
	return masked(transport(proto, openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst), 2, uint64(port), uint64(mask))
}

func transport(proto uint8, tcp, udp, sctp openflow.FieldID) openflow.FieldID {
	switch proto {
	case protoTCP:
		return tcp
	case protoUDP:
		return udp
	case protoSCTP:
		return sctp
	}
	panic(fmt.Sprintf("flow: IP protocol %d has no ports to match", proto))
}

// PortMask is one masked port match.
type PortMask struct{ Value, Mask uint16 }

// PortRange covers the ports min to max, both included, by the fewest masked
// matches. It is empty where min > max.
func PortRange(min, max uint16) []PortMask {
	var cover []PortMask
	for lo, hi := uint32(min), uint32(max); lo <= hi; {
		// The largest aligned block that starts at lo and ends by hi.
		size := uint32(1) << 16
		if lo != 0 {
			size = 1 << bits.TrailingZeros32(lo)
		}
		for lo+size-1 > hi {
			size >>= 1
		}
		cover = append(cover, PortMask{Value: uint16(lo), Mask: uint16(-size)})
		lo += size
	}
	return cover
}

// TCPBits are the flags of the TCP header.
type TCPBits uint16

// Flags of the TCP header.
const (
	TCPFin TCPBits = 1 << 0
	TCPSyn TCPBits = 1 << 1
	TCPRst TCPBits = 1 << 2
	TCPPsh TCPBits = 1 << 3
	TCPAck TCPBits = 1 << 4
	TCPUrg TCPBits = 1 << 5
	TCPEce TCPBits = 1 << 6
	TCPCwr TCPBits = 1 << 7
	TCPNS  TCPBits = 1 << 8
)

// TCPFlags matches packets of which all flags of set are set and none of unset. It implies TCP;
// the match needs IP or IPv6 besides.
func TCPFlags(set, unset TCPBits) Field {
	if set&unset != 0 {
		panic("flow: a flag of TCP is to be set and unset")
	}
	return masked(openflow.TCPFlags, 2, uint64(set), uint64(set|unset))
}

// TCPFlagsExactly matches packets that have these flags of TCP and no others.
func TCPFlagsExactly(v TCPBits) Field { return number(openflow.TCPFlags, 2, uint64(v)) }

// NSH matches the ethertype of the network service header, 0x894f, which all its
// fields imply.
func NSH() Field { return EthType(ethNSH) }

// NSHFlags matches the flags. A mask of 0xff is exact.
func NSHFlags(v, mask uint8) Field { return masked(openflow.NSHFlags, 1, uint64(v), uint64(mask)) }

// NSHTTL matches the TTL, 6 bits.
func NSHTTL(v uint8) Field { return number(openflow.NSHTTL, 1, uint64(v)) }

// NSHMDType matches the type of the metadata: 1 (of a fixed length) or 2.
func NSHMDType(v uint8) Field { return number(openflow.NSHMDType, 1, uint64(v)) }

// NSHNextProto matches the protocol behind the header.
func NSHNextProto(v uint8) Field { return number(openflow.NSHNextProto, 1, uint64(v)) }

// NSHPath matches the service path (SPI), 24 bits.
func NSHPath(v uint32) Field { return number(openflow.NSHPath, 4, uint64(v)) }

// NSHIndex matches the place in the path (SI).
func NSHIndex(v uint8) Field { return number(openflow.NSHIndex, 1, uint64(v)) }

// NSHContext matches some bits of the context header n, 1 to 4, which a header
// with metadata of type 1 has.
func NSHContext(n int, v, mask uint32) Field {
	if n < 1 || n > 4 {
		panic(fmt.Sprintf("flow: there is no NSH context %d", n))
	}
	return masked(openflow.NSHContext1+openflow.FieldID(n-1), 4, uint64(v), uint64(mask))
}
