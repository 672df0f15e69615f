package openflow

// matchTypeOXM is OFPMT_OXM.
const matchTypeOXM = 1

// classExperimenter is OFPXMC_EXPERIMENTER, whose fields have a longer header.
const classExperimenter = 0xffff

// oxmHeaderLen is the length of class, field and length of an OXM TLV.
const oxmHeaderLen = 4

// widths of the fields, by class and number. 0: not known.
var (
	widthsBasic = [...]uint8{
		4, 4, 8, 6, 6, 2, 2, 1, 1, 1, 1, 4, 4, 2, 2, 2, 2, 2, 2, 1, // in_port to icmpv4_type
		1, 2, 4, 4, 6, 6, 16, 16, 4, 1, 1, 16, 6, 6, 4, 1, 1, 3, 8, 2, // icmpv4_code to ipv6_exthdr
	}
	widthsNXM0 = [...]uint8{2, 6, 6, 2, 2, 1, 1, 4, 4, 2, 2, 2, 2, 1, 1, 2, 4, 4}
	widthsNXM1 = [...]uint8{
		4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, // reg0 to reg15
		16: 8, 17: 6, 18: 6, 19: 16, 20: 16, 21: 1, 22: 1, 23: 16, 24: 6, 25: 6, // tun_id to nd_tll
		26: 1, 27: 4, 28: 1, 29: 1, 31: 4, 32: 4, 33: 4, 34: 2, 35: 4, 36: 4, 37: 4, // ip_frag to conj_id
		105: 4, 106: 2, 107: 4, 108: 16, // ct_state to ct_label
		111: 16, 112: 16, 113: 16, 114: 16, // xxreg0 to xxreg3
	}
)

// Len returns the width of the field in bytes, 0 where it is not known.
func (f FieldID) Len() int {
	n := int(f.Number())
	switch uint32(f.Class()) << 16 {
	case classBasic:
		if n < len(widthsBasic) {
			return int(widthsBasic[n])
		}
	case classNXM0:
		if n < len(widthsNXM0) {
			return int(widthsNXM0[n])
		}
	case classNXM1:
		if n < len(widthsNXM1) {
			return int(widthsNXM1[n])
		}
	case classRegister:
		if n < 8 {
			return 8
		}
	}
	return 0
}

// Bits returns the width of the field in bits, which is less than 8 times Len
// where the field does not fill its bytes.
func (f FieldID) Bits() int {
	switch f {
	case VLANVID: // without OFPVID_PRESENT
		return 12
	case VLANPCP:
		return 3
	case IPDSCP:
		return 6
	case IPECN, classNXM1 | 28, IPFrag:
		return 2
	case IPv6Label, classNXM1 | 27:
		return 20
	}
	return 8 * f.Len()
}

// nxmOfBasic is the older name of the standard fields that have one.
var nxmOfBasic = map[FieldID]FieldID{
	EthDst: classNXM0 | 1, EthSrc: classNXM0 | 2, EthType: classNXM0 | 3, IPProto: classNXM0 | 6,
	IPv4Src: classNXM0 | 7, IPv4Dst: classNXM0 | 8, TCPSrc: classNXM0 | 9, TCPDst: classNXM0 | 10,
	UDPSrc: classNXM0 | 11, UDPDst: classNXM0 | 12, ICMPType: classNXM0 | 13, ICMPCode: classNXM0 | 14,
	ARPOp: classNXM0 | 15, ARPSPA: classNXM0 | 16, ARPTPA: classNXM0 | 17,
	TunnelID: classNXM1 | 16, ARPSHA: classNXM1 | 17, ARPTHA: classNXM1 | 18, IPv6Src: classNXM1 | 19, IPv6Dst: classNXM1 | 20,
	ICMP6Type: classNXM1 | 21, ICMP6Code: classNXM1 | 22, NDTarget: classNXM1 | 23, NDSLL: classNXM1 | 24, NDTLL: classNXM1 | 25,
	IPv6Label: classNXM1 | 27, IPECN: classNXM1 | 28,
}

// NXM returns the id under which Open vSwitch reports the field within Nicira
// actions (load, move, output and zone registers): the NXM one where the field
// has one, though a match or set-field has it under its OXM id.
func (f FieldID) NXM() FieldID {
	if nxm, ok := nxmOfBasic[f]; ok {
		return nxm
	}
	return f
}

// nxmHeader returns the 32-bit OXM header that names the field in Nicira actions.
func (f FieldID) nxmHeader() uint32 {
	return uint32(f)&0xffff0000 | uint32(f.Number())<<9 | uint32(f.Len())
}

// fieldOfHeader is the inverse of nxmHeader. ok is false for the header of a
// field that is not known, or with a length that is not the field's.
func fieldOfHeader(h uint32) (f FieldID, ok bool) {
	f = FieldID(h&0xffff0000 | h>>9&0x7f)
	return f, f.Len() != 0 && f.nxmHeader() == h
}

// Uint returns the value of a field of at most 8 bytes as a number.
func (o *OXM) Uint() (v uint64) {
	for _, b := range o.Value[:min(o.Len, 8)] {
		v = v<<8 | uint64(b)
	}
	return v
}

// AppendTo appends the OXM TLV.
func (o *OXM) AppendTo(b []byte) []byte {
	n := min(o.Len, uint8(len(o.Value)))
	head := o.Field.Number() << 1
	size := n
	if o.HasMask {
		head |= 1
		size *= 2
	}
	class := o.Field.Class()
	b = append(b, byte(class>>8), byte(class), head, size)
	b = append(b, o.Value[:n]...)
	if o.HasMask {
		b = append(b, o.Mask[:n]...)
	}
	return b
}

// DecodeOXM decodes one whole TLV. ok is false where it does not fit an OXM.
func DecodeOXM(tlv []byte) (o OXM, ok bool) {
	if len(tlv) < oxmHeaderLen || len(tlv) != oxmHeaderLen+int(tlv[3]) {
		return OXM{}, false
	}
	payload, masked := tlv[oxmHeaderLen:], tlv[2]&1 != 0
	class, width := be.Uint16(tlv), len(payload)
	if masked {
		width /= 2
	}
	if class == classExperimenter || width == 0 || width > len(o.Value) || masked && len(payload)&1 != 0 {
		return OXM{}, false
	}
	o = OXM{Field: FieldID(class)<<16 | FieldID(tlv[2]>>1), Len: uint8(width), HasMask: masked}
	copy(o.Value[:], payload[:width])
	copy(o.Mask[:], payload[width:])
	return o, true
}
