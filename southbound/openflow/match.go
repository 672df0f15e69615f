package openflow

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
