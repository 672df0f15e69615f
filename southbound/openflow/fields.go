package openflow

// FieldID names a match field: its OXM class in the upper 16 bits, its number in
// the lower 8 (7 of them used), and between them, in the experimenter class only,
// the place of the experimenter in experimenters.
type FieldID uint32

// Class returns the OXM class.
func (f FieldID) Class() uint16 { return uint16(f >> 16) }

// Number returns the field number within the class.
func (f FieldID) Number() uint8 { return uint8(f) }

// Experimenter returns the experimenter of a field of the experimenter class,
// 0 for any other.
func (f FieldID) Experimenter() uint32 {
	if n := int(f >> 8 & 0xff); f.Class() == classExperimenter && n < len(experimenters) {
		return experimenters[n]
	}
	return 0
}

// experimenters are those that Open vSwitch knows fields of. The first stands
// for all others.
var experimenters = [...]uint32{0, experimenterONF, experimenterNicira, 0x005ad650}

const (
	classNXM0     = 0x0000 << 16 // OFPXMC_NXM_0
	classNXM1     = 0x0001 << 16 // OFPXMC_NXM_1
	classEricsson = 0x1000 << 16
	classBasic    = 0x8000 << 16 // OFPXMC_OPENFLOW_BASIC
	classRegister = 0x8001 << 16 // OFPXMC_PACKET_REGS

	// classExperimenter is OFPXMC_EXPERIMENTER, whose fields have a longer header.
	classExperimenter = 0xffff
	classONF          = classExperimenter<<16 | 1<<8
	classNicira       = classExperimenter<<16 | 2<<8
	classNSH          = classExperimenter<<16 | 3<<8
)

// Standard fields (ONF TS-012 table 7.2.3.7, and those of 1.4 and 1.5 that Open
// vSwitch takes over 1.3).
const (
	InPort     FieldID = classBasic | 0
	InPhyPort  FieldID = classBasic | 1 // not known to Open vSwitch
	Metadata   FieldID = classBasic | 2
	EthDst     FieldID = classBasic | 3
	EthSrc     FieldID = classBasic | 4
	EthType    FieldID = classBasic | 5
	VLANVID    FieldID = classBasic | 6
	VLANPCP    FieldID = classBasic | 7
	IPDSCP     FieldID = classBasic | 8
	IPECN      FieldID = classBasic | 9
	IPProto    FieldID = classBasic | 10
	IPv4Src    FieldID = classBasic | 11
	IPv4Dst    FieldID = classBasic | 12
	TCPSrc     FieldID = classBasic | 13
	TCPDst     FieldID = classBasic | 14
	UDPSrc     FieldID = classBasic | 15
	UDPDst     FieldID = classBasic | 16
	SCTPSrc    FieldID = classBasic | 17
	SCTPDst    FieldID = classBasic | 18
	ICMPType   FieldID = classBasic | 19 // ICMPV4_TYPE
	ICMPCode   FieldID = classBasic | 20
	ARPOp      FieldID = classBasic | 21
	ARPSPA     FieldID = classBasic | 22
	ARPTPA     FieldID = classBasic | 23
	ARPSHA     FieldID = classBasic | 24
	ARPTHA     FieldID = classBasic | 25
	IPv6Src    FieldID = classBasic | 26
	IPv6Dst    FieldID = classBasic | 27
	IPv6Label  FieldID = classBasic | 28
	ICMP6Type  FieldID = classBasic | 29
	ICMP6Code  FieldID = classBasic | 30
	NDTarget   FieldID = classBasic | 31
	NDSLL      FieldID = classBasic | 32
	NDTLL      FieldID = classBasic | 33
	MPLSLabel  FieldID = classBasic | 34
	MPLSTC     FieldID = classBasic | 35
	MPLSBOS    FieldID = classBasic | 36
	PBBISID    FieldID = classBasic | 37 // not known to Open vSwitch
	TunnelID   FieldID = classBasic | 38
	IPv6ExtHdr FieldID = classBasic | 39 // not known to Open vSwitch
	PBBUCA     FieldID = classBasic | 41 // of 1.4; not known to Open vSwitch
	PacketType FieldID = classBasic | 44 // of 1.5

	// XReg0+n is the packet register n, n < 8: Reg0+2n and Reg0+2n+1, as which Open vSwitch
	// reports it over 1.3.
	XReg0 FieldID = classRegister | 0
)

// Fields of ONF extension 230 and 233 in the experimenter class.
const (
	TCPFlags     FieldID = classONF | 42
	ActsetOutput FieldID = classONF | 43
)

// Nicira fields (nicira-ext.h: NXM_NX_*).
const (
	Reg0           FieldID = classNXM1 | 0 // Reg0+n is register n, n < 16
	IPFrag         FieldID = classNXM1 | 26
	IPTTL          FieldID = classNXM1 | 29
	MPLSTTL        FieldID = classNXM1 | 30
	TunnelSrc      FieldID = classNXM1 | 31 // NXM_NX_TUN_IPV4_SRC
	TunnelDst      FieldID = classNXM1 | 32 // NXM_NX_TUN_IPV4_DST
	PktMark        FieldID = classNXM1 | 33
	RecircID       FieldID = classNXM1 | 36
	ConjID         FieldID = classNXM1 | 37
	TunnelGBPID    FieldID = classNXM1 | 38
	TunnelGBPFlags FieldID = classNXM1 | 39
	TunnelFlags    FieldID = classNXM1 | 104
	CTState        FieldID = classNXM1 | 105
	CTZone         FieldID = classNXM1 | 106
	CTMark         FieldID = classNXM1 | 107
	CTLabel        FieldID = classNXM1 | 108
	TunnelIPv6Src  FieldID = classNXM1 | 109
	TunnelIPv6Dst  FieldID = classNXM1 | 110
	XXReg0         FieldID = classNXM1 | 111 // XXReg0+n is Reg0+4n to Reg0+4n+3, n < 4
	CTProto        FieldID = classNXM1 | 119 // CT_NW_PROTO; this and the next are those of the connection's first packet
	CTIPv4Src      FieldID = classNXM1 | 120
	CTIPv4Dst      FieldID = classNXM1 | 121
	CTIPv6Src      FieldID = classNXM1 | 122
	CTIPv6Dst      FieldID = classNXM1 | 123
	CTSrcPort      FieldID = classNXM1 | 124 // CT_TP_SRC
	CTDstPort      FieldID = classNXM1 | 125 // CT_TP_DST

	// NXMInPort is NXM_OF_IN_PORT, with a port number of 16 bits.
	NXMInPort FieldID = classNXM0 | 0
	// VLANTCI is NXM_OF_VLAN_TCI, the only field that can match the absence of
	// a tag together with any priority bits as ovs-ofctl writes it.
	VLANTCI FieldID = classNXM0 | 4
	// IPToS is NXM_OF_IP_TOS, the DSCP in the upper 6 bits of its byte.
	IPToS FieldID = classNXM0 | 5
)

// Further fields of Open vSwitch, in classes of their own.
const (
	NDReserved    FieldID = classEricsson | 1 // ERICOXM_OF_ICMPV6_ND_RESERVED
	NDOptionsType FieldID = classEricsson | 2

	DPHash           FieldID = classNicira | 0 // NXOXM_ET_DP_HASH
	ErspanIndex      FieldID = classNicira | 11
	ErspanVersion    FieldID = classNicira | 12
	ErspanDirection  FieldID = classNicira | 13
	ErspanHardwareID FieldID = classNicira | 14
	GTPUFlags        FieldID = classNicira | 15
	GTPUMessageType  FieldID = classNicira | 16

	NSHFlags     FieldID = classNSH | 1 // NXOXM_NSH_FLAGS
	NSHMDType    FieldID = classNSH | 2
	NSHNextProto FieldID = classNSH | 3 // NP
	NSHPath      FieldID = classNSH | 4 // SPI
	NSHIndex     FieldID = classNSH | 5 // SI
	NSHContext1  FieldID = classNSH | 6 // NSHContext1+n is C1 to C4, n < 4
	NSHTTL       FieldID = classNSH | 10
)

// fieldRow is what the codec knows of a field.
type fieldRow struct {
	id    FieldID
	bytes uint8
	bits  uint8   // 0: all of the bytes
	nxm   FieldID // another id of the same layout, by which Nicira actions name the field
	other FieldID // a third id of the same layout
}

// fieldRows are all fields that are known, in the order in which Open vSwitch
// (3.1) writes those of a match.
var fieldRows = func() []fieldRow {
	rows := []fieldRow{
		{id: PacketType, bytes: 4},
		{id: DPHash, bytes: 4, nxm: classNXM1 | 35},
		{id: RecircID, bytes: 4},
		{id: ConjID, bytes: 4},
		{id: InPort, bytes: 4},
		{id: InPhyPort, bytes: 4},
		{id: ActsetOutput, bytes: 4, other: classBasic | 43},
		{id: EthSrc, bytes: 6, nxm: classNXM0 | 2},
		{id: EthDst, bytes: 6, nxm: classNXM0 | 1},
		{id: EthType, bytes: 2, nxm: classNXM0 | 3},
		{id: VLANVID, bytes: 2, bits: 12}, // without OFPVID_PRESENT
		{id: VLANPCP, bytes: 1, bits: 3},
		{id: MPLSTC, bytes: 1, bits: 3},
		{id: MPLSBOS, bytes: 1, bits: 1},
		{id: MPLSTTL, bytes: 1},
		{id: MPLSLabel, bytes: 4, bits: 20},
		{id: PBBISID, bytes: 3},
		{id: PBBUCA, bytes: 1, bits: 1},
		{id: IPv4Src, bytes: 4, nxm: classNXM0 | 7},
		{id: IPv4Dst, bytes: 4, nxm: classNXM0 | 8},
		{id: IPv6Src, bytes: 16, nxm: classNXM1 | 19},
		{id: IPv6Dst, bytes: 16, nxm: classNXM1 | 20},
		{id: IPFrag, bytes: 1, bits: 2},
		{id: IPDSCP, bytes: 1, bits: 6},
		{id: IPECN, bytes: 1, bits: 2, nxm: classNXM1 | 28},
		{id: IPTTL, bytes: 1},
		{id: IPv6Label, bytes: 4, bits: 20, nxm: classNXM1 | 27},
		{id: IPv6ExtHdr, bytes: 2, bits: 9},
		{id: IPProto, bytes: 1, nxm: classNXM0 | 6},
		{id: TCPSrc, bytes: 2, nxm: classNXM0 | 9},
		{id: TCPDst, bytes: 2, nxm: classNXM0 | 10},
		{id: TCPFlags, bytes: 2, bits: 12, nxm: classNXM1 | 34, other: classBasic | 42},
		{id: UDPSrc, bytes: 2, nxm: classNXM0 | 11},
		{id: UDPDst, bytes: 2, nxm: classNXM0 | 12},
		{id: SCTPSrc, bytes: 2},
		{id: SCTPDst, bytes: 2},
		{id: ICMPType, bytes: 1, nxm: classNXM0 | 13},
		{id: ICMPCode, bytes: 1, nxm: classNXM0 | 14},
		{id: ICMP6Type, bytes: 1, nxm: classNXM1 | 21},
		{id: ICMP6Code, bytes: 1, nxm: classNXM1 | 22},
		{id: NDReserved, bytes: 4},
		{id: NDTarget, bytes: 16, nxm: classNXM1 | 23},
		{id: NDOptionsType, bytes: 1},
		{id: NDSLL, bytes: 6, nxm: classNXM1 | 24},
		{id: NDTLL, bytes: 6, nxm: classNXM1 | 25},
		{id: ARPOp, bytes: 2, nxm: classNXM0 | 15},
		{id: ARPSPA, bytes: 4, nxm: classNXM0 | 16},
		{id: ARPTPA, bytes: 4, nxm: classNXM0 | 17},
		{id: ARPSHA, bytes: 6, nxm: classNXM1 | 17},
		{id: ARPTHA, bytes: 6, nxm: classNXM1 | 18},
		{id: TunnelID, bytes: 8, nxm: classNXM1 | 16},
		{id: TunnelFlags, bytes: 2, bits: 1},
		{id: TunnelSrc, bytes: 4},
		{id: TunnelDst, bytes: 4},
		{id: TunnelIPv6Src, bytes: 16},
		{id: TunnelIPv6Dst, bytes: 16},
		{id: TunnelGBPID, bytes: 2},
		{id: TunnelGBPFlags, bytes: 1},
		{id: ErspanIndex, bytes: 4, bits: 20},
		{id: ErspanVersion, bytes: 1, bits: 4},
		{id: ErspanDirection, bytes: 1, bits: 1},
		{id: ErspanHardwareID, bytes: 1, bits: 6},
		{id: GTPUFlags, bytes: 1},
		{id: GTPUMessageType, bytes: 1},
		{id: NSHFlags, bytes: 1},
		{id: NSHTTL, bytes: 1},
		{id: NSHMDType, bytes: 1},
		{id: NSHNextProto, bytes: 1},
		{id: NSHPath, bytes: 4, bits: 24},
		{id: NSHIndex, bytes: 1},
		{id: NSHContext1, bytes: 4},
		{id: NSHContext1 + 1, bytes: 4},
		{id: NSHContext1 + 2, bytes: 4},
		{id: NSHContext1 + 3, bytes: 4},
	}
	several := func(first FieldID, n int, bytes uint8) {
		for i := range n {
			rows = append(rows, fieldRow{id: first + FieldID(i), bytes: bytes})
		}
	}
	several(Reg0, 16, 4)
	rows = append(rows,
		fieldRow{id: PktMark, bytes: 4},
		fieldRow{id: CTState, bytes: 4},
		fieldRow{id: CTZone, bytes: 2},
		fieldRow{id: CTMark, bytes: 4},
		fieldRow{id: CTLabel, bytes: 16},
		fieldRow{id: CTIPv4Src, bytes: 4},
		fieldRow{id: CTIPv6Src, bytes: 16},
		fieldRow{id: CTIPv4Dst, bytes: 4},
		fieldRow{id: CTIPv6Dst, bytes: 16},
		fieldRow{id: CTProto, bytes: 1},
		fieldRow{id: CTSrcPort, bytes: 2},
		fieldRow{id: CTDstPort, bytes: 2},
		fieldRow{id: Metadata, bytes: 8},
		// Open vSwitch takes these too, but reports others in their place.
		fieldRow{id: NXMInPort, bytes: 2},
		fieldRow{id: VLANTCI, bytes: 2},
		fieldRow{id: IPToS, bytes: 1},
	)
	several(XReg0, 8, 8)
	several(XXReg0, 4, 16)
	return rows
}()

// fieldIndex is, by class and number, one more than the place of a field in fieldRows.
var fieldIndex = func() (index [8][128]uint8) {
	for i, row := range fieldRows {
		for _, id := range [...]FieldID{row.id, row.nxm, row.other} {
			if id != 0 || row.id == 0 {
				index[id.classIndex()][id.Number()] = uint8(i + 1)
			}
		}
	}
	return index
}()

// classIndex returns the place of the field's class in fieldIndex, -1 if nothing is known of it.
func (f FieldID) classIndex() int {
	switch f >> 8 {
	case classBasic >> 8:
		return 0
	case classNXM1 >> 8:
		return 1
	case classNXM0 >> 8:
		return 2
	case classRegister >> 8:
		return 3
	case classEricsson >> 8:
		return 4
	case classONF >> 8:
		return 5
	case classNicira >> 8:
		return 6
	case classNSH >> 8:
		return 7
	}
	return -1
}

// Index returns the place of the field in the order in which Open vSwitch writes
// the fields of a match, from 0 to NumFields-1. It is -1 where the field is not
// known. Ids that name one field in one layout have the same place.
func (f FieldID) Index() int {
	class, number := f.classIndex(), f.Number()
	if class < 0 || number >= 128 {
		return -1
	}
	return int(fieldIndex[class][number]) - 1
}

// NumFields is how many fields are known.
func NumFields() int { return len(fieldRows) }

// FieldAt is the inverse of Index. It returns the id of a match over OpenFlow 1.3.
func FieldAt(index int) FieldID { return fieldRows[index].id }

// Len returns the width of the field in bytes, 0 where it is not known.
func (f FieldID) Len() int {
	if i := f.Index(); i >= 0 {
		return int(fieldRows[i].bytes)
	}
	return 0
}

// Bits returns the width of the field in bits, which is less than 8 times Len
// where the field does not fill its bytes.
func (f FieldID) Bits() int {
	i := f.Index()
	switch {
	case i < 0:
		return 0
	case fieldRows[i].bits != 0:
		return int(fieldRows[i].bits)
	}
	return 8 * int(fieldRows[i].bytes)
}

// NXM returns the id under which Open vSwitch reports the field within Nicira
// actions (load, move, output and zone registers): the NXM one where the field
// has one, though a match or set-field has it under its OXM id.
func (f FieldID) NXM() FieldID {
	if i := f.Index(); i >= 0 && fieldRows[i].nxm != 0 {
		return fieldRows[i].nxm
	}
	return f
}

// InMatch returns the id under which Open vSwitch reports the field in a match
// and in set-field over OpenFlow 1.3, the inverse of NXM. A field whose other id has another
// layout (NXMInPort, VLANTCI, IPToS, XReg0, XXReg0) stays what it is.
func (f FieldID) InMatch() FieldID {
	if i := f.Index(); i >= 0 {
		return fieldRows[i].id
	}
	return f
}

// nxmHeader returns the 32-bit OXM header that names the field in Nicira actions. A
// field of the experimenter class has none of that length; it is 0.
func (f FieldID) nxmHeader() uint32 {
	if f.Class() == classExperimenter {
		return 0
	}
	return uint32(f)&0xffff0000 | uint32(f.Number())<<9 | uint32(f.Len())
}

// fieldOfHeader is the inverse of nxmHeader. ok is false for the header of a
// field that is not known, or with a length that is not the field's.
func fieldOfHeader(h uint32) (f FieldID, ok bool) {
	f = FieldID(h&0xffff0000 | h>>9&0x7f)
	return f, f.Len() != 0 && f.nxmHeader() == h
}
