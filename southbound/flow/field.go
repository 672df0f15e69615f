package flow

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

// Field is one match field with its value and mask. Fields are comparable.
type Field struct {
	oxm openflow.OXM
	raw string // a whole TLV that does not fit an OXM; oxm holds its id then
}

// ID returns the field's OXM id.
func (f Field) ID() openflow.FieldID { return f.oxm.Field }

// OXM returns the field in its wire form. It is empty but for the id where the
// field came from a switch and is of a kind that this package does not know.
func (f Field) OXM() openflow.OXM { return f.oxm }

// Value returns the field's value in network order.
func (f Field) Value() []byte { return f.oxm.Value[:f.oxm.Len] }

// Mask returns the field's mask in network order, all ones for an exact match.
func (f Field) Mask() []byte {
	mask := make([]byte, f.oxm.Len)
	for i := range mask {
		mask[i] = f.maskAt(i)
	}
	return mask
}

func (f *Field) maskAt(i int) byte {
	if f.oxm.HasMask {
		return f.oxm.Mask[i]
	}
	return 0xff
}

// Uint returns value and mask of a field of at most 8 bytes as numbers.
func (f Field) Uint() (value, mask uint64) {
	for i := range min(int(f.oxm.Len), 8) {
		mask = mask<<8 | uint64(f.maskAt(i))
	}
	return f.oxm.Uint(), mask
}

// Exact reports whether all bits of the field are matched.
func (f Field) Exact() bool { return f.raw == "" && !f.oxm.HasMask }

// number returns a field of n bytes.
func number(id openflow.FieldID, n int, v uint64) Field {
	f := Field{oxm: openflow.OXM{Field: id, Len: uint8(n)}}
	putUint(f.oxm.Value[:n], v)
	return f
}

// masked returns a field of n bytes in canonical form: full masks left out,
// masked bits of the value zero.
func masked(id openflow.FieldID, n int, v, mask uint64) Field {
	f := number(id, n, v&mask)
	f.oxm.HasMask = true
	putUint(f.oxm.Mask[:n], mask)
	normalise(&f.oxm)
	return f
}

func octets(id openflow.FieldID, v []byte) Field {
	f := Field{oxm: openflow.OXM{Field: id, Len: uint8(len(v))}}
	copy(f.oxm.Value[:], v)
	return f
}

func maskedOctets(id openflow.FieldID, v, mask []byte) Field {
	f := octets(id, v)
	f.oxm.HasMask = true
	copy(f.oxm.Mask[:], mask)
	normalise(&f.oxm)
	return f
}

func putUint(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(v)
		v >>= 8
	}
}

// normalise drops a full mask and clears the bits of the value that the mask
// does not cover.
func normalise(o *openflow.OXM) {
	if !o.HasMask {
		return
	}
	full := true
	for i := range o.Len {
		o.Value[i] &= o.Mask[i]
		full = full && o.Mask[i] == 0xff
	}
	if full {
		o.HasMask = false
		o.Mask = [16]byte{}
	}
}

// anyValue reports whether o matches everything.
func anyValue(o *openflow.OXM) bool {
	return o.HasMask && o.Mask == [16]byte{}
}

// InPort matches the port that the packet came in by.
func InPort(n uint32) Field { return number(openflow.InPort, 4, uint64(n)) }

// Metadata matches all 64 bits of the metadata.
func Metadata(v uint64) Field { return number(openflow.Metadata, 8, v) }

// MetadataMasked matches some bits of the metadata.
func MetadataMasked(v, mask uint64) Field { return masked(openflow.Metadata, 8, v, mask) }

// Reg matches a whole register.
func Reg(n int, v uint32) Field { return number(reg(n), 4, uint64(v)) }

// RegMasked matches some bits of a register.
func RegMasked(n int, v, mask uint32) Field { return masked(reg(n), 4, uint64(v), uint64(mask)) }

// ConjID matches when all clauses of a conjunction do.
func ConjID(id uint32) Field { return number(openflow.ConjID, 4, uint64(id)) }

// PktMark matches the mark that the packet has in the kernel.
func PktMark(v uint32) Field { return number(openflow.PktMark, 4, uint64(v)) }

// TunnelID matches the key of the tunnel, a VNI for VXLAN.
func TunnelID(v uint64) Field { return number(openflow.TunnelID, 8, v) }

// TunnelSrc matches the IPv4 address of the remote end of the tunnel.
func TunnelSrc(a netip.Addr) Field { return ip4(openflow.TunnelSrc, a) }

// TunnelDst matches the IPv4 address of the local end of the tunnel.
func TunnelDst(a netip.Addr) Field { return ip4(openflow.TunnelDst, a) }

// registers is how many 32-bit registers Open vSwitch has.
const registers = 16

func reg(n int) openflow.FieldID {
	if n < 0 || n >= registers {
		panic(fmt.Sprintf("flow: there is no register %d", n))
	}
	return openflow.Reg0 + openflow.FieldID(n)
}

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

// Ethertypes and IP protocols of the fields' prerequisites.
const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethRARP = 0x8035
	ethIPv6 = 0x86dd

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoSCTP  = 132

	ndSolicit   = 135
	ndAdvertise = 136

	vlanPresent = 0x1000 // OFPVID_PRESENT
)

// NoVLAN matches packets without a tag. Over OpenFlow 1.3 Open vSwitch reports
// it as an exact vlan_vid of 0 (OFPVID_NONE), whichever way it was installed;
// ovs-ofctl prints that as vlan_tci=0x0000/0x1fff.
func NoVLAN() Field { return number(openflow.VLANVID, 2, 0) }

// VLAN matches packets with tag vid.
func VLAN(vid uint16) Field { return number(openflow.VLANVID, 2, uint64(vlanPresent|vid&0xfff)) }

// AnyVLAN matches packets with any tag.
func AnyVLAN() Field { return masked(openflow.VLANVID, 2, vlanPresent, vlanPresent) }

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

func prefix(v4, v6 openflow.FieldID, p netip.Prefix) Field {
	if !p.IsValid() {
		panic("flow: invalid IP prefix")
	}
	addr, ones := p.Addr(), p.Bits()
	if addr.Is4In6() {
		if ones < 96 {
			panic(fmt.Sprintf("flow: prefix %v is neither of IPv4 nor of IPv6", p))
		}
		addr, ones = addr.Unmap(), ones-96
	}
	var mask [16]byte
	for i := range ones {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	id := v4
	if addr.Is6() {
		id = v6
	}
	raw := addr.AsSlice()
	return maskedOctets(id, raw, mask[:len(raw)])
}

func ip4(id openflow.FieldID, a netip.Addr) Field {
	if a = a.Unmap(); !a.Is4() {
		panic(fmt.Sprintf("flow: %v is not an IPv4 address", a))
	}
	raw := a.As4()
	return octets(id, raw[:])
}

func ip6(id openflow.FieldID, a netip.Addr) Field {
	if !a.Is6() || a.Zone() != "" {
		panic(fmt.Sprintf("flow: %v is not an IPv6 address without zone", a))
	}
	raw := a.As16()
	return octets(id, raw[:])
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

// NDTarget matches the address that a solicitation or advertisement is about. The
// match needs ICMP6Type 135 or 136 besides.
func NDTarget(a netip.Addr) Field { return ip6(openflow.NDTarget, a) }

// NDSLL matches the source link-layer address option, all zeros where a packet
// has none. It implies a neighbour solicitation.
func NDSLL(a [6]byte) Field { return octets(openflow.NDSLL, a[:]) }

// NDTLL matches the target link-layer address option, all zeros where a packet
// has none. It implies a neighbour advertisement.
func NDTLL(a [6]byte) Field { return octets(openflow.NDTLL, a[:]) }

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

// CTFlags are bits of ct_state.
type CTFlags uint32

// What connection tracking says of a packet. Without CTTrk it has not seen it.
const (
	CTNew CTFlags = 1 << 0
	CTEst CTFlags = 1 << 1
	CTRel CTFlags = 1 << 2
	CTRpl CTFlags = 1 << 3 // reply direction
	CTInv CTFlags = 1 << 4
	CTTrk CTFlags = 1 << 5
)

// CTState matches packets of which all flags of set are set and none of unset.
// Matches on the connection need no ethertype; ct actions do.
func CTState(set, unset CTFlags) Field {
	if set&unset != 0 {
		panic("flow: a ct_state flag is to be set and unset")
	}
	return masked(openflow.CTState, 4, uint64(set), uint64(set|unset))
}

// CTMark matches the mark of the connection.
func CTMark(v uint32) Field { return number(openflow.CTMark, 4, uint64(v)) }

// CTMarkMasked matches some bits of the mark of the connection.
func CTMarkMasked(v, mask uint32) Field { return masked(openflow.CTMark, 4, uint64(v), uint64(mask)) }

// CTZone matches the zone in which the packet was tracked.
func CTZone(v uint16) Field { return number(openflow.CTZone, 2, uint64(v)) }

// fieldOfRaw returns the Field that stands for a TLV which no OXM can hold.
func fieldOfRaw(tlv []byte) Field {
	class := binary.BigEndian.Uint16(tlv)
	return Field{oxm: openflow.OXM{Field: openflow.FieldID(class)<<16 | openflow.FieldID(tlv[2]>>1)}, raw: string(tlv)}
}
