package flow

import (
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// NewMatch is BuildMatch for a program that knows its fields: an error is a fault
// of the program, and NewMatch panics.
func NewMatch(fields ...Field) Match {
	m, err := BuildMatch(fields...)
	if err != nil {
		panic(err.Error())
	}
	return m
}

// BuildMatch returns the canonical match of all fields. It adds the
// prerequisites that follow from a field (ethertype, IP protocol, ND type, VLAN tag), since
// a switch demands them and reports them. Fields that occur twice are
// joined if their masks agree on the bits that both cover. What a switch reports as another
// field is turned into that (xreg0 into reg0 and reg1, vlan_tci into vlan_vid and vlan_pcp).
//
// It fails where fields contradict each other, where a prerequisite is missing that
// does not follow (a TCP port without IP or IPv6), and where a value or a mask is none of its field.
func BuildMatch(fields ...Field) (Match, error) {
	var room [16]openflow.OXM
	b := builder{fields: room[:0]}
	for i := range fields {
		if fields[i].raw != "" {
			b.raw = append(b.raw, fields[i].raw...)
		} else {
			b.add(fields[i].oxm)
		}
	}
	b.complete(0)
	return b.match()
}

// add joins a field, or what it stands for, with what there is.
func (b *builder) add(o openflow.OXM) {
	parts, err := split(&o)
	switch {
	case err != nil:
		b.fail("%w", err)
	case parts != nil:
		for _, part := range parts {
			b.join(part)
		}
	default:
		b.join(o)
	}
}

func (b *builder) join(o openflow.OXM) {
	if !known(&o) {
		b.raw = o.AppendTo(b.raw)
		return
	}
	normalise(&o)
	have := b.fields.find(o.Field)
	if have == nil {
		b.fields = append(b.fields, o)
		return
	}
	first, second := *have, o
	expand(have)
	expand(&o)
	for i := range o.Len {
		if (have.Value[i]^o.Value[i])&have.Mask[i]&o.Mask[i] != 0 {
			b.fail("flow: match wants %s and %s", Field{oxm: first}, Field{oxm: second})
		}
		have.Value[i] |= o.Value[i]
		have.Mask[i] |= o.Mask[i]
	}
	normalise(have)
}

// expand gives o an explicit mask.
func expand(o *openflow.OXM) {
	if o.HasMask {
		return
	}
	o.HasMask = true
	for i := range o.Len {
		o.Mask[i] = 0xff
	}
}

// complete adds what follows from the fields, but for the first so many, and checks them.
func (b *builder) complete(from int) {
	for i := from; i < len(b.fields); i++ {
		b.imply(b.fields[i].Field)
	}
	for i := from; i < len(b.fields); i++ {
		if why := fault(&b.fields[i]); why != "" {
			b.fail("flow: %s: %s", Field{oxm: b.fields[i]}, why)
		}
		b.check(b.fields[i].Field)
	}
}

// match sorts and encodes the fields.
func (b *builder) match() (Match, error) {
	if b.err != nil {
		return "", b.err
	}
	b.dropPacketType()
	sortFields(b.fields)
	var room [256]byte
	out := room[:0]
	for i := range b.fields {
		if !anyValue(&b.fields[i]) {
			out = b.fields[i].AppendTo(out)
		}
	}
	return Match(append(out, b.raw...)), nil
}

// dropPacketType leaves out that the packet is an Ethernet frame where another field says so too,
// as Open vSwitch does.
func (b *builder) dropPacketType() {
	o := b.fields.find(openflow.PacketType)
	if o == nil || *o != PacketType(PacketEthernet).oxm {
		return
	}
	for i := range b.fields {
		if prerequisiteOf(b.fields[i].Field) != nothing && !anyValue(&b.fields[i]) {
			expand(o)
			o.Mask = [16]byte{}
			return
		}
	}
}

// sortFields sorts by insertion: there are few fields, and they mostly come
// sorted.
func sortFields(fields []openflow.OXM) {
	for i := 1; i < len(fields); i++ {
		for j := i; j > 0 && fields[j].Field.Index() < fields[j-1].Field.Index(); j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
}

// readMatch returns the canonical form of a match as a switch reports it, which
// it mostly has already. Prerequisites are not judged: the switch has done that.
func readMatch(m openflow.Match) (Match, error) {
	if isCanonicalMatch(m) {
		return Match(m), nil
	}
	var room [16]openflow.OXM
	b := builder{fields: room[:0]}
	for tlv := range m.TLVs() {
		b.read(tlv)
		if b.err != nil {
			break
		}
	}
	return b.match()
}

// read adds a TLV that must not be there yet.
func (b *builder) read(tlv []byte) {
	o, ok := openflow.DecodeOXM(tlv)
	if id := o.Field.InMatch(); ok && id.Len() == int(o.Len) {
		o.Field = id
	} else {
		ok = false
	}
	if !ok {
		b.raw = append(b.raw, tlv...)
		return
	}
	parts, err := split(&o)
	if err != nil || parts == nil {
		parts = []openflow.OXM{o} // Nothing that Open vSwitch reports over 1.3: kept as it is.
	}
	for _, part := range parts {
		if b.fields.find(part.Field) != nil {
			b.fail("flow: %s occurs twice in a match", FieldName(part.Field))
			return
		}
		normalise(&part)
		b.fields = append(b.fields, part)
	}
}

// form is what isCanonicalMatch has to know of a field.
type form struct {
	id    openflow.FieldID
	bytes uint8
	loose bool // more can be wrong than order, width and mask
}

var forms = func() []form {
	all := make([]form, openflow.NumFields())
	for i := range all {
		id := openflow.FieldAt(i)
		all[i] = form{id: id, bytes: uint8(id.Len())}
		switch id {
		case openflow.CTState, openflow.TunnelFlags, openflow.VLANVID, openflow.IPFrag, openflow.IPv6Label,
			openflow.ErspanVersion, openflow.ErspanDirection, openflow.ErspanHardwareID, openflow.GTPUFlags, openflow.GTPUMessageType:
			all[i].loose = true // see normalise
		}
	}
	return all
}()

// isCanonicalMatch reports whether m is as readMatch would make it. It may
// say no of one that is.
func isCanonicalMatch(m openflow.Match) bool {
	last, end := -1, openflow.Metadata.Index() // what follows Metadata is reported as something else
	for len(m) >= 4 {
		n := 4 + int(m[3])
		if n > len(m) {
			return false
		}
		tlv := m[:n]
		m = m[n:]
		id, payload, ok := openflow.FieldOf(tlv)
		i := id.Index()
		if !ok || i <= last || i > end || i == 0 { // 0 is packet_type, which depends on others
			return false
		}
		f := &forms[i]
		if id != f.id {
			return false
		}
		last = i
		width, masked := int(f.bytes), tlv[2]&1 != 0
		switch {
		case !masked && len(payload) != width:
			return false
		case masked && (len(payload) != 2*width || !canonicalMask(payload[:width], payload[width:])):
			return false
		case id == openflow.CTState && masked && payload[4]|payload[5]|payload[6] == 0, id == openflow.VLANVID && !masked:
			// The loose fields that are common. No more than 8 bits of ct_state are matched.
		case f.loose:
			o, ok := openflow.DecodeOXM(tlv)
			was := o
			if normalise(&o); !ok || o != was || anyValue(&o) {
				return false
			}
		}
	}
	return len(m) == 0
}

// canonicalMask reports whether a mask is neither full nor empty and covers the
// value.
func canonicalMask(value, mask []byte) bool {
	all, none := byte(0xff), byte(0)
	for i, m := range mask {
		if value[i]&^m != 0 {
			return false
		}
		all &= m
		none |= m
	}
	return all != 0xff && none != 0
}

// Fields decodes the match. Fields that are not known come last.
func (m Match) Fields() []Field {
	decoded, err := openflow.DecodeMatch([]byte(m))
	if err != nil {
		return nil // not made by this package
	}
	fields := make([]Field, 0, len(m)/8)
	for tlv := range decoded.TLVs() {
		if o, ok := openflow.DecodeOXM(tlv); ok && known(&o) {
			fields = append(fields, Field{oxm: o})
		} else {
			fields = append(fields, fieldOfRaw(tlv))
		}
	}
	return fields
}

// String returns the match as ovs-ofctl prints it, without priority.
func (m Match) String() string {
	var b strings.Builder
	m.write(&b)
	return strings.TrimSuffix(b.String(), ",")
}
