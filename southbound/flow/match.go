package flow

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// NewMatch returns the canonical match of all fields. It adds the
// prerequisites that follow from a field (ethertype, IP protocol, ND type), since
// a switch demands them and reports them. Fields that occur twice are
// joined if their masks agree on the bits that both cover.
//
// Fields that contradict each other, and a field of which the prerequisite does
// not follow (a TCP port without IP or IPv6), are faults of the program that
// builds flows: NewMatch panics.
func NewMatch(fields ...Field) Match {
	var room [16]openflow.OXM
	b := builder{fields: room[:0]}
	for i := range fields {
		if fields[i].raw != "" {
			b.raw += fields[i].raw
			continue
		}
		b.add(fields[i].oxm)
	}
	for i := range fields {
		b.implied(fields[i].oxm.Field)
	}
	for i := range fields {
		b.check(fields[i].oxm.Field)
	}
	return encodeMatch(b.fields, b.raw)
}

// builder collects the fields of one match.
type builder struct {
	fields []openflow.OXM
	raw    string
}

func (b *builder) find(id openflow.FieldID) *openflow.OXM {
	for i := range b.fields {
		if b.fields[i].Field == id {
			return &b.fields[i]
		}
	}
	return nil
}

func (b *builder) add(o openflow.OXM) {
	have := b.find(o.Field)
	if have == nil {
		b.fields = append(b.fields, o)
		return
	}
	first, second := *have, o
	expand(have)
	expand(&o)
	for i := range o.Len {
		if (have.Value[i]^o.Value[i])&have.Mask[i]&o.Mask[i] != 0 {
			panic(fmt.Sprintf("flow: match wants %s and %s", Field{oxm: first}, Field{oxm: second}))
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

// require adds an exact field or panics if the match says otherwise.
func (b *builder) require(why, id openflow.FieldID, n int, v uint64) {
	f := number(id, n, v)
	if have := b.find(id); have != nil {
		if *have != f.oxm {
			panic(fmt.Sprintf("flow: %s needs %s, but the match has %s", fieldName(why), f, Field{oxm: *have}))
		}
		return
	}
	b.fields = append(b.fields, f.oxm)
}

// implied adds what follows from a match having the field id.
func (b *builder) implied(id openflow.FieldID) {
	eth := func(t uint64) { b.require(id, openflow.EthType, 2, t) }
	proto := func(p uint64) { b.require(id, openflow.IPProto, 1, p) }
	switch id {
	case openflow.IPv4Src, openflow.IPv4Dst:
		eth(ethIPv4)
	case openflow.IPv6Src, openflow.IPv6Dst, openflow.IPv6Label:
		eth(ethIPv6)
	case openflow.TCPSrc, openflow.TCPDst:
		proto(protoTCP)
	case openflow.UDPSrc, openflow.UDPDst:
		proto(protoUDP)
	case openflow.SCTPSrc, openflow.SCTPDst:
		proto(protoSCTP)
	case openflow.ICMPType, openflow.ICMPCode:
		eth(ethIPv4)
		proto(protoICMP)
	case openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA:
		if have := b.find(openflow.EthType); have == nil || *have != EthType(ethRARP).oxm {
			eth(ethARP)
		}
	case openflow.ICMP6Type, openflow.ICMP6Code, openflow.NDTarget, openflow.NDSLL, openflow.NDTLL:
		eth(ethIPv6)
		proto(protoICMP6)
		switch id {
		case openflow.NDSLL:
			b.require(id, openflow.ICMP6Type, 1, ndSolicit)
		case openflow.NDTLL:
			b.require(id, openflow.ICMP6Type, 1, ndAdvertise)
		}
	}
}

// check panics if a prerequisite that does not follow from id itself is missing.
func (b *builder) check(id openflow.FieldID) {
	has := func(f Field) bool {
		have := b.find(f.oxm.Field)
		return have != nil && *have == f.oxm
	}
	switch id {
	case openflow.IPProto, openflow.IPDSCP, openflow.IPECN, openflow.IPTTL, openflow.IPFrag,
		openflow.TCPSrc, openflow.TCPDst, openflow.UDPSrc, openflow.UDPDst, openflow.SCTPSrc, openflow.SCTPDst:
		if !has(IP()) && !has(IPv6()) {
			panic(fmt.Sprintf("flow: match on %s needs IP or IPv6", fieldName(id)))
		}
	case openflow.NDTarget:
		if !has(ICMP6Type(ndSolicit)) && !has(ICMP6Type(ndAdvertise)) {
			panic("flow: match on nd_target needs ICMPv6 type 135 or 136")
		}
	}
}

// before is the order of fields: by id, standard classes first. The fields on
// which others depend have lower standard numbers, and a switch wants them before.
func before(a, b openflow.FieldID) bool {
	const standardFirst = 1 << 31
	return a^standardFirst < b^standardFirst
}

// sortFields sorts by insertion: there are few fields, and they mostly come
// sorted.
func sortFields(fields []openflow.OXM) {
	for i := 1; i < len(fields); i++ {
		for j := i; j > 0 && before(fields[j].Field, fields[j-1].Field); j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
}

// encodeMatch sorts and encodes canonical fields.
func encodeMatch(fields []openflow.OXM, raw string) Match {
	sortFields(fields)
	var room [256]byte
	b := room[:0]
	for i := range fields {
		if !anyValue(&fields[i]) {
			b = fields[i].AppendTo(b)
		}
	}
	return Match(append(b, raw...))
}

// maxFields is more than there are fields that a match can have, and bounds
// what a broken switch can make us sort.
const maxFields = 256

// readMatch returns the canonical form of a match as a switch reports it, which
// it mostly has already.
func readMatch(m openflow.Match) (Match, error) {
	if isCanonicalMatch(m) {
		return Match(m), nil
	}
	var room [16]openflow.OXM
	fields := room[:0]
	var raw []byte
	for tlv := range m.TLVs() {
		if o, ok := openflow.DecodeOXM(tlv); ok {
			fields = append(fields, o)
		} else {
			raw = append(raw, tlv...)
		}
		if len(fields) > maxFields {
			break
		}
	}
	return canonicalMatch(fields, string(raw))
}

// isCanonicalMatch reports whether m is as canonicalMatch would make it. It may
// say no of one that is.
func isCanonicalMatch(m openflow.Match) bool {
	var last openflow.FieldID
	first := true
	for tlv := range m.TLVs() {
		id := openflow.FieldID(binary.BigEndian.Uint16(tlv))<<16 | openflow.FieldID(tlv[2]>>1)
		if !first && !before(last, id) || id.Len() == 0 {
			return false
		}
		if tlv[2]&1 == 0 {
			if len(tlv) != 4+id.Len() {
				return false
			}
		} else if len(tlv) != 4+2*id.Len() || !canonicalMask(tlv[4:4+id.Len()], tlv[4+id.Len():]) {
			return false
		}
		last, first = id, false
	}
	return true
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

// canonicalMatch changes fields to their canonical form and encodes them.
func canonicalMatch(fields []openflow.OXM, raw string) (Match, error) {
	if len(fields) > maxFields {
		return "", fmt.Errorf("flow: match of more than %d fields", maxFields)
	}
	for i := range fields {
		normalise(&fields[i])
	}
	sortFields(fields)
	for i := 1; i < len(fields); i++ {
		if fields[i].Field == fields[i-1].Field {
			return "", fmt.Errorf("flow: %s occurs twice in a match", fieldName(fields[i].Field))
		}
	}
	return encodeMatch(fields, raw), nil
}

// Fields decodes the match. Fields of a kind that no constructor of this
// package makes come last.
func (m Match) Fields() []Field {
	decoded, err := openflow.DecodeMatch([]byte(m))
	if err != nil {
		return nil // not made by this package
	}
	fields := make([]Field, 0, len(m)/8)
	for tlv := range decoded.TLVs() {
		if o, ok := openflow.DecodeOXM(tlv); ok {
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
