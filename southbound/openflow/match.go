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
