package flow

import (
	"fmt"
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
	normalise(&f.oxm)
	return f
}

// masked returns a field of n bytes in canonical form: full masks left out,
// masked bits of the value zero.
func masked(id openflow.FieldID, n int, v, mask uint64) Field {
	f := Field{oxm: openflow.OXM{Field: id, Len: uint8(n), HasMask: true}}
	putUint(f.oxm.Value[:n], v&mask)
	putUint(f.oxm.Mask[:n], mask)
	normalise(&f.oxm)
	return f
}

func octets(id openflow.FieldID, v []byte) Field {
	f := Field{oxm: openflow.OXM{Field: id, Len: uint8(len(v))}}
	copy(f.oxm.Value[:], v)
	normalise(&f.oxm)
	return f
}

func maskedOctets(id openflow.FieldID, v, mask []byte) Field {
	f := Field{oxm: openflow.OXM{Field: id, Len: uint8(len(v)), HasMask: true}}
	copy(f.oxm.Value[:], v)
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

// normalise brings o to the form in which Open vSwitch reports it: a full mask
// dropped, the bits of the value cleared that the mask does not cover. Of a field that is not known
// nothing is changed, since a mask may mean something else there (tun_metadata).
func normalise(o *openflow.OXM) {
	switch o.Field {
	case openflow.CTState:
		clip(o, 1<<len(ctFlags.words())-1) // and so never exact
	case openflow.TunnelFlags:
		clip(o, 1<<len(tunnelFlags.words())-1)
	case openflow.VLANVID:
		fold(o, vlanPresent|0xfff, true)
	case openflow.IPFrag:
		fold(o, 3, true)
	case openflow.IPv6Label:
		fold(o, 0xfffff, false)
	case openflow.ErspanVersion, openflow.ErspanDirection, openflow.ErspanHardwareID, openflow.GTPUFlags, openflow.GTPUMessageType:
		// Open vSwitch 3.1 takes the value for the mask.
		o.HasMask, o.Mask = true, o.Value
	}
	if !o.HasMask || !known(o) {
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

// clip restricts the mask to bits. A bit of the value beyond them, which no switch takes, stays
// to be found by fault.
func clip(o *openflow.OXM, bits uint64) {
	value, mask := Field{oxm: *o}.Uint()
	o.HasMask = true
	putUint(o.Mask[:o.Len], mask&(bits|value))
}

// fold makes a mask of all bits full, and with clip restricts any other to them.
func fold(o *openflow.OXM, bits uint64, clip bool) {
	if !o.HasMask {
		return
	}
	value, mask := Field{oxm: *o}.Uint()
	switch {
	case mask&bits == bits:
		mask = 1<<(8*o.Len) - 1
	case clip:
		mask &= bits | value
	}
	putUint(o.Mask[:o.Len], mask)
}

// known reports whether o is of a field of the table, in its id of a match and its width.
func known(o *openflow.OXM) bool {
	i := o.Field.Index()
	return i >= 0 && openflow.FieldAt(i) == o.Field && int(o.Len) == o.Field.Len()
}

// fault says why no switch takes o, "" if it may.
func fault(o *openflow.OXM) string {
	n := namingByIndex[o.Field.Index()]
	if o.HasMask && n.masks == exact {
		return "it takes no mask"
	}
	if o.Len > 8 {
		return ""
	}
	v, low, high := o.Uint(), uint64(0), uint64(1)<<(o.Field.Bits()-1)*2-1
	switch o.Field {
	case openflow.InPort, openflow.InPhyPort, openflow.ActsetOutput:
		if v >= uint64(openflow.PortMax&0xffff) && v < uint64(openflow.PortMax) {
			return "there is no such port: they end at 0xfeff, and the reserved ones begin at 0xffffff00"
		}
	case openflow.VLANVID:
		high = vlanPresent | 0xfff
	case openflow.CTState:
		high = 1<<len(n.kind.words()) - 1
	case openflow.ARPOp:
		high = 0xff // all that Open vSwitch looks at
	case openflow.CTProto:
		low = 1 // 0 is what Open vSwitch says where there is no connection
	case openflow.ErspanVersion, openflow.ErspanDirection, openflow.ErspanHardwareID, openflow.GTPUFlags, openflow.GTPUMessageType:
		low = 1 // 0 would match everything, see normalise
	case openflow.NSHTTL:
		high = 63
	case openflow.NSHMDType:
		low, high = 1, 2
	}
	if v < low || v > high {
		if high < 256 {
			return fmt.Sprintf("its values are %d to %d", low, high)
		}
		return fmt.Sprintf("its values are %d to %#x", low, high)
	}
	return ""
}

// anyValue reports whether o matches everything.
func anyValue(o *openflow.OXM) bool {
	return o.HasMask && o.Mask == [16]byte{}
}

// NewField returns the match of some bits of the field id, of all where mask is
// nil. It fails where the field is not known, the value or the mask is not
// of the field's width, or a switch would refuse them. What the field needs besides is judged by
// BuildMatch.
func NewField(id openflow.FieldID, value, mask []byte) (Field, error) {
	id = id.InMatch()
	n := id.Len()
	switch {
	case n == 0:
		return Field{}, fmt.Errorf("flow: %s is not known", FieldName(id))
	case len(value) != n || mask != nil && len(mask) != n:
		return Field{}, fmt.Errorf("flow: %s has %d bytes; value has %d, mask %d", FieldName(id), n, len(value), len(mask))
	}
	var f Field
	if mask != nil {
		f = maskedOctets(id, value, mask)
	} else {
		f = octets(id, value)
	}
	if why := fault(&f.oxm); why != "" {
		return Field{}, fmt.Errorf("flow: %s: %s", f, why)
	}
	return f, nil
}

// addr returns the field of the family of a: v4 or v6.
func addr(v4, v6 openflow.FieldID, a netip.Addr) Field {
	if !a.IsValid() {
		panic("flow: invalid IP address")
	}
	if a = a.Unmap(); a.Is4() {
		return ip4(v4, a)
	}
	return ip6(v6, a)
}

func prefix(v4, v6 openflow.FieldID, p netip.Prefix) Field {
	if !p.IsValid() {
		panic("flow: invalid IP prefix")
	}
	a, ones := p.Addr(), p.Bits()
	if a.Is4In6() {
		if ones < 96 {
			panic(fmt.Sprintf("flow: prefix %v is neither of IPv4 nor of IPv6", p))
		}
		a, ones = a.Unmap(), ones-96
	}
	id := v4
	if a.Is6() {
		id = v6
	}
	raw := a.AsSlice()
	return maskedOctets(id, raw, onesMask(ones, len(raw)))
}

// prefix4 is prefix for a field of IPv4 alone.
func prefix4(id openflow.FieldID, p netip.Prefix) Field {
	f := prefix(id, openflow.IPv6Src, p)
	if f.oxm.Field != id {
		panic(fmt.Sprintf("flow: %v is not an IPv4 prefix", p))
	}
	return f
}

// prefix6 is prefix for a field of IPv6 alone.
func prefix6(id openflow.FieldID, p netip.Prefix) Field {
	if p.IsValid() && !p.Addr().Is4In6() {
		if f := prefix(openflow.IPv4Src, id, p); f.oxm.Field == id {
			return f
		}
	}
	panic(fmt.Sprintf("flow: %v is not an IPv6 prefix", p))
}

// onesMask returns n bytes that begin with some ones.
func onesMask(ones, n int) []byte {
	mask := make([]byte, n)
	for i := range ones {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
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

// fieldOfRaw returns the Field that stands for a TLV that is not of a field of the table.
func fieldOfRaw(tlv []byte) Field {
	id, _, _ := openflow.FieldOf(tlv)
	return Field{oxm: openflow.OXM{Field: id}, raw: string(tlv)}
}
