package openflow

// FieldID names a match field: its OXM class in the upper 16 bits and its
// field number in the lower 16 (7 of them used).
type FieldID uint32

// Class returns the OXM class.
func (f FieldID) Class() uint16 { return uint16(f >> 16) }

// Number returns the field number within the class.
func (f FieldID) Number() uint8 { return uint8(f) }

const (
	classNXM0     = 0x0000 << 16 // OFPXMC_NXM_0
	classNXM1     = 0x0001 << 16 // OFPXMC_NXM_1
	classBasic    = 0x8000 << 16 // OFPXMC_OPENFLOW_BASIC
	classRegister = 0x8001 << 16 // OFPXMC_PACKET_REGS
)

// Standard fields (ONF TS-012 table 7.2.3.7).
const (
	InPort    FieldID = classBasic | 0
	Metadata  FieldID = classBasic | 2
	EthDst    FieldID = classBasic | 3
	EthSrc    FieldID = classBasic | 4
	EthType   FieldID = classBasic | 5
	VLANVID   FieldID = classBasic | 6
	VLANPCP   FieldID = classBasic | 7
	IPDSCP    FieldID = classBasic | 8
	IPECN     FieldID = classBasic | 9
	IPProto   FieldID = classBasic | 10
	IPv4Src   FieldID = classBasic | 11
	IPv4Dst   FieldID = classBasic | 12
	TCPSrc    FieldID = classBasic | 13
	TCPDst    FieldID = classBasic | 14
	UDPSrc    FieldID = classBasic | 15
	UDPDst    FieldID = classBasic | 16
	SCTPSrc   FieldID = classBasic | 17
	SCTPDst   FieldID = classBasic | 18
	ICMPType  FieldID = classBasic | 19 // ICMPV4_TYPE
	ICMPCode  FieldID = classBasic | 20
	ARPOp     FieldID = classBasic | 21
	ARPSPA    FieldID = classBasic | 22
	ARPTPA    FieldID = classBasic | 23
	ARPSHA    FieldID = classBasic | 24
	ARPTHA    FieldID = classBasic | 25
	IPv6Src   FieldID = classBasic | 26
	IPv6Dst   FieldID = classBasic | 27
	IPv6Label FieldID = classBasic | 28
	ICMP6Type FieldID = classBasic | 29
	ICMP6Code FieldID = classBasic | 30
	NDTarget  FieldID = classBasic | 31
	NDSLL     FieldID = classBasic | 32
	NDTLL     FieldID = classBasic | 33
	TunnelID  FieldID = classBasic | 38
)

// Nicira fields (nicira-ext.h: NXM_NX_*).
const (
	Reg0      FieldID = classNXM1 | 0  // Reg0+n is register n, n < 16
	TunnelSrc FieldID = classNXM1 | 31 // NXM_NX_TUN_IPV4_SRC
	TunnelDst FieldID = classNXM1 | 32 // NXM_NX_TUN_IPV4_DST
	PktMark   FieldID = classNXM1 | 33
	IPFrag    FieldID = classNXM1 | 26
	IPTTL     FieldID = classNXM1 | 29
	ConjID    FieldID = classNXM1 | 37
	CTState   FieldID = classNXM1 | 105
	CTZone    FieldID = classNXM1 | 106
	CTMark    FieldID = classNXM1 | 107
	CTLabel   FieldID = classNXM1 | 108
	// VLANTCI is NXM_OF_VLAN_TCI, the only field that can match the absence of
	// a tag together with any priority bits as ovs-ofctl writes it.
	VLANTCI FieldID = classNXM0 | 4
)

// OXM is one match field TLV, held by value so that it is comparable and needs
// no allocation. Value and Mask use their first Len bytes, in network order.
type OXM struct {
	Field   FieldID
	Len     uint8 // bytes of value, at most 16
	HasMask bool
	Value   [16]byte
	Mask    [16]byte
}

// Subfield is a run of bits of a field, as the Nicira actions address it.
type Subfield struct {
	Field  FieldID
	Offset uint16 // of the lowest bit
	Bits   uint16
}
