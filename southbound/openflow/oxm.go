package openflow

// matchTypeOXM is OFPMT_OXM.
const matchTypeOXM = 1

// oxmHeaderLen is the length of class, field and length of an OXM TLV.
const oxmHeaderLen = 4

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
	if class == classExperimenter {
		e := o.Field.Experimenter()
		b = append(b, byte(class>>8), byte(class), head, size+4, byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
	} else {
		b = append(b, byte(class>>8), byte(class), head, size)
	}
	b = append(b, o.Value[:n]...)
	if o.HasMask {
		b = append(b, o.Mask[:n]...)
	}
	return b
}

// FieldOf returns the field that a whole TLV is of, and its value and mask
// together. ok is false for a field of an experimenter that is not known: its id says the class and
// the number alone.
func FieldOf(tlv []byte) (id FieldID, payload []byte, ok bool) {
	class := be.Uint16(tlv)
	id = FieldID(class)<<16 | FieldID(tlv[2]>>1)
	payload = tlv[oxmHeaderLen:]
	if class != classExperimenter {
		return id, payload, true
	}
	if len(payload) < 4 {
		return id, payload, false
	}
	e := be.Uint32(payload)
	for i, known := range experimenters[1:] {
		if e == known {
			return id | FieldID(i+1)<<8, payload[4:], true
		}
	}
	return id, payload, false
}

// DecodeOXM decodes one whole TLV. ok is false where it does not fit an OXM.
func DecodeOXM(tlv []byte) (o OXM, ok bool) {
	if len(tlv) < oxmHeaderLen || len(tlv) != oxmHeaderLen+int(tlv[3]) {
		return OXM{}, false
	}
	id, payload, ok := FieldOf(tlv)
	masked := tlv[2]&1 != 0
	width := len(payload)
	if masked {
		width /= 2
	}
	if !ok || width == 0 || width > len(o.Value) || masked && len(payload)&1 != 0 {
		return OXM{}, false
	}
	o = OXM{Field: id, Len: uint8(width), HasMask: masked}
	copy(o.Value[:], payload[:width])
	copy(o.Mask[:], payload[width:])
	return o, true
}
