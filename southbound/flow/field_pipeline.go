package flow

import (
	"fmt"
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

// InPort matches the port that the packet came in by.
func InPort(n uint32) Field { return number(openflow.InPort, 4, uint64(n)) }

// InPhyPort matches the physical port under the port that the packet came in by. Open vSwitch
// does not know it.
func InPhyPort(n uint32) Field { return number(openflow.InPhyPort, 4, uint64(n)) }

// ActsetOutput matches the port that the action set holds so far.
func ActsetOutput(n uint32) Field { return number(openflow.ActsetOutput, 4, uint64(n)) }

// Packet types of PacketType.
const (
	PacketEthernet uint32 = 0
	PacketIPv4     uint32 = packetNamespaceEther<<16 | ethIPv4 // an IP packet without Ethernet header
	PacketIPv6     uint32 = packetNamespaceEther<<16 | ethIPv6
)

// PacketType matches what the packet begins with: namespace in the upper 16 bits, type in
// the lower. All fields of frames imply PacketEthernet.
func PacketType(t uint32) Field { return number(openflow.PacketType, 4, uint64(t)) }

// Metadata matches all 64 bits of the metadata.
func Metadata(v uint64) Field { return number(openflow.Metadata, 8, v) }

// MetadataMasked matches some bits of the metadata.
func MetadataMasked(v, mask uint64) Field { return masked(openflow.Metadata, 8, v, mask) }

// registers is how many 32-bit registers Open vSwitch has.
const registers = 16

func reg(n int) openflow.FieldID { return register(n, registers, openflow.Reg0) }

// register returns the field n of the count that begin with first.
func register(n, count int, first openflow.FieldID) openflow.FieldID {
	if n < 0 || n >= count {
		panic(fmt.Sprintf("flow: there is no register %d of %d", n, count))
	}
	return first + openflow.FieldID(n)
}

// Reg matches a whole register.
func Reg(n int, v uint32) Field { return number(reg(n), 4, uint64(v)) }

// RegMasked matches some bits of a register.
func RegMasked(n int, v, mask uint32) Field { return masked(reg(n), 4, uint64(v), uint64(mask)) }

// XReg matches the registers 2n and 2n+1 as one of 64 bits, n < 8. A match has
// it as these two.
func XReg(n int, v uint64) Field { return XRegMasked(n, v, ^uint64(0)) }

// XRegMasked matches some bits of the registers 2n and 2n+1.
func XRegMasked(n int, v, mask uint64) Field {
	return masked(register(n, registers/2, openflow.XReg0), 8, v, mask)
}

// XXReg matches the registers 4n to 4n+3 as one of 128 bits, n < 4. A match has
// it as these four.
func XXReg(n int, v [16]byte) Field {
	return octets(register(n, registers/4, openflow.XXReg0), v[:])
}

// XXRegMasked matches some bits of the registers 4n to 4n+3.
func XXRegMasked(n int, v, mask [16]byte) Field {
	return maskedOctets(register(n, registers/4, openflow.XXReg0), v[:], mask[:])
}

// ConjID matches when all clauses of a conjunction do.
func ConjID(id uint32) Field { return number(openflow.ConjID, 4, uint64(id)) }

// PktMark matches the mark that the packet has in the kernel.
func PktMark(v uint32) Field { return number(openflow.PktMark, 4, uint64(v)) }

// PktMarkMasked matches some bits of the mark that the packet has in the kernel.
func PktMarkMasked(v, mask uint32) Field {
	return masked(openflow.PktMark, 4, uint64(v), uint64(mask))
}

// DPHash matches some bits of the hash that the datapath computed. Only a switch
// itself has use for it.
func DPHash(v, mask uint32) Field { return masked(openflow.DPHash, 4, uint64(v), uint64(mask)) }

// RecircID matches how often and why the packet was recirculated. Only a switch
// itself has use for it.
func RecircID(v uint32) Field { return number(openflow.RecircID, 4, uint64(v)) }

// TunnelID matches the key of the tunnel, a VNI for VXLAN.
func TunnelID(v uint64) Field { return number(openflow.TunnelID, 8, v) }

// TunnelIDMasked matches some bits of the key of the tunnel.
func TunnelIDMasked(v, mask uint64) Field { return masked(openflow.TunnelID, 8, v, mask) }

// TunnelSrc matches the address of the remote end of the tunnel, of either family.
func TunnelSrc(a netip.Addr) Field { return addr(openflow.TunnelSrc, openflow.TunnelIPv6Src, a) }

// TunnelDst matches the address of the local end of the tunnel, of either family.
func TunnelDst(a netip.Addr) Field { return addr(openflow.TunnelDst, openflow.TunnelIPv6Dst, a) }

// TunnelSrcIn matches remote ends of tunnels with addresses of p.
func TunnelSrcIn(p netip.Prefix) Field { return prefix(openflow.TunnelSrc, openflow.TunnelIPv6Src, p) }

// TunnelDstIn matches local ends of tunnels with addresses of p.
func TunnelDstIn(p netip.Prefix) Field { return prefix(openflow.TunnelDst, openflow.TunnelIPv6Dst, p) }

// TunnelOAM matches whether the tunnel header says that the packet is about the
// tunnel's operation, the only one of tun_flags.
func TunnelOAM(set bool) Field {
	if set {
		return masked(openflow.TunnelFlags, 2, 1, 1)
	}
	return masked(openflow.TunnelFlags, 2, 0, 1)
}

// TunnelGBPID matches the group policy of VXLAN-GBP. A mask of 0xffff is exact.
func TunnelGBPID(v, mask uint16) Field {
	return masked(openflow.TunnelGBPID, 2, uint64(v), uint64(mask))
}

// TunnelGBPFlags matches the flags of VXLAN-GBP. A mask of 0xff is exact.
func TunnelGBPFlags(v, mask uint8) Field {
	return masked(openflow.TunnelGBPFlags, 1, uint64(v), uint64(mask))
}

// ErspanVersion matches the version of ERSPAN, 1 or 2. Of this and the next but for
// ErspanIndex, Open vSwitch 3.1 matches the bits alone that are set, and so cannot match 0.
func ErspanVersion(v uint8) Field { return number(openflow.ErspanVersion, 1, uint64(v)) }

// ErspanIndex matches the port index of ERSPAN version 1.
func ErspanIndex(v uint32) Field { return number(openflow.ErspanIndex, 4, uint64(v)) }

// ErspanDirection matches the direction in ERSPAN version 2: 0 ingress, 1 egress.
func ErspanDirection(v uint8) Field { return number(openflow.ErspanDirection, 1, uint64(v)) }

// ErspanHardwareID matches the id of the engine in ERSPAN version 2.
func ErspanHardwareID(v uint8) Field { return number(openflow.ErspanHardwareID, 1, uint64(v)) }

// GTPUFlags matches the flags of GTP-U. A mask of 0xff is exact.
func GTPUFlags(v, mask uint8) Field { return masked(openflow.GTPUFlags, 1, uint64(v), uint64(mask)) }

// GTPUMessageType matches the message type of GTP-U.
func GTPUMessageType(v uint8) Field { return number(openflow.GTPUMessageType, 1, uint64(v)) }

// CTFlags are bits of ct_state.
type CTFlags uint32

// What connection tracking says of a packet. Without CTTrk it has not seen it.
const (
	CTNew  CTFlags = 1 << 0
	CTEst  CTFlags = 1 << 1
	CTRel  CTFlags = 1 << 2
	CTRpl  CTFlags = 1 << 3 // reply direction
	CTInv  CTFlags = 1 << 4
	CTTrk  CTFlags = 1 << 5
	CTSNAT CTFlags = 1 << 6
	CTDNAT CTFlags = 1 << 7
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

// CTLabel matches the label of the connection.
func CTLabel(v [16]byte) Field { return octets(openflow.CTLabel, v[:]) }

// CTLabelMasked matches some bits of the label of the connection.
func CTLabelMasked(v, mask [16]byte) Field { return maskedOctets(openflow.CTLabel, v[:], mask[:]) }

// CTZone matches the zone in which the packet was tracked.
func CTZone(v uint16) Field { return number(openflow.CTZone, 2, uint64(v)) }

// CTProto matches the IP protocol of the packet that opened the connection, which
// the packet itself may not have (an ICMP error). As all fields of that packet it
// needs a CTState that speaks of a valid connection.
func CTProto(p uint8) Field { return number(openflow.CTProto, 1, uint64(p)) }

// CTSrc matches the source of the packet that opened the connection, before NAT. It implies
// the ethertype of its family.
func CTSrc(p netip.Prefix) Field { return prefix(openflow.CTIPv4Src, openflow.CTIPv6Src, p) }

// CTDst matches the destination of the packet that opened the connection, before NAT.
func CTDst(p netip.Prefix) Field { return prefix(openflow.CTIPv4Dst, openflow.CTIPv6Dst, p) }

// CTTPSrc matches the source port of the packet that opened the connection. It needs
// CTProto. A mask of 0xffff is exact.
func CTTPSrc(v, mask uint16) Field { return masked(openflow.CTSrcPort, 2, uint64(v), uint64(mask)) }

// CTTPDst matches the destination port, as CTTPSrc does the source port.
func CTTPDst(v, mask uint16) Field { return masked(openflow.CTDstPort, 2, uint64(v), uint64(mask)) }
