package flow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// matchParser collects the fields of a match. Names that mean a field of
// another protocol each are resolved once all words are read.
type matchParser struct {
	fields []Field
	later  [][2]string // name and value
	hex    []byte      // TLVs that were given as hex; nothing is said of their prerequisites
}

// laterNames are the names that depend on ethertype and protocol.
var laterNames = map[string]bool{
	"nw_proto": true, "ip_proto": true, "nw_src": true, "nw_dst": true, "ip_src": true, "ip_dst": true,
	"tp_src": true, "tp_dst": true, "icmp_type": true, "icmp_code": true,
}

func (p *matchParser) add(f Field) { p.fields = append(p.fields, f) }

// field reads one word of a match.
func (p *matchParser) field(name, value string, hasValue bool) error {
	if !hasValue {
		return p.word(name)
	}
	n := namingBySet[name]
	switch {
	case strings.HasSuffix(name, "]"):
		f, err := parseBits(name, value)
		p.add(f)
		return err
	case name == "oxm":
		return p.raw(value)
	case name == "dl_vlan":
		return p.vlan(value)
	case name == "dl_vlan_pcp":
		n = namingByID[openflow.VLANPCP]
	case n == nil:
		return errors.New("unknown field")
	case value == "*": // any value
		return nil
	case name == "in_port":
		v, err := parsePort(value)
		if v <= 0xffff {
			v = port16(uint16(v))
		}
		p.add(InPort(v))
		return err
	case laterNames[name]:
		p.later = append(p.later, [2]string{name, value})
		return nil
	}
	f, err := parseField(n.id, n.kind, value)
	p.add(f)
	return err
}

// word reads a word without a value.
func (p *matchParser) word(name string) error {
	if short, ok := furtherShorthands[name]; ok {
		name = short
	}
	for _, s := range shorthands {
		if s.word == name {
			p.add(EthType(uint16(s.eth)))
			if s.proto != -1 {
				p.add(IPProto(uint8(s.proto)))
			}
			return nil
		}
	}
	switch {
	case name == "eth":
		p.add(PacketType(PacketEthernet))
		return nil
	case namingBySet[name] != nil:
		return errors.New("no value")
	}
	return errors.New("unknown word")
}

func (p *matchParser) raw(value string) error {
	b, err := hex.DecodeString(value)
	if err != nil {
		return err
	}
	m, err := openflow.DecodeMatch(b)
	p.hex = append(p.hex, m...)
	return err
}

// vlan reads dl_vlan, which is the id of a tag, or 0xffff for none (OFP10_VLAN_NONE).
func (p *matchParser) vlan(value string) error {
	v, err := parseUint(value, 16)
	switch {
	case err != nil:
		return err
	case v == 0xffff:
		p.add(NoVLAN())
	case v > 0xfff:
		return errors.New("a VLAN id is at most 4095, or 0xffff for no tag")
	default:
		p.add(VLAN(uint16(v)))
	}
	return nil
}

// match resolves what depends on the protocol.
func (p *matchParser) match() (Match, error) {
	var b builder
	for tlv := range openflow.Match(p.hex).TLVs() {
		b.read(tlv)
	}
	unchecked := len(b.fields)
	for _, f := range p.fields {
		b.add(f.oxm)
	}
	for _, protocol := range []bool{true, false} { // nw_proto first: it decides on others
		for _, l := range p.later {
			if strings.HasSuffix(l[0], "_proto") != protocol {
				continue
			}
			id, err := b.fields.dependent(l[0])
			if err != nil {
				return "", err
			}
			f, err := parseField(id, namingByID[id].kind, l[1])
			if err != nil {
				return "", fmt.Errorf("%s=%s: %w", l[0], l[1], err)
			}
			b.add(f.oxm)
		}
	}
	b.complete(unchecked)
	return b.match()
}

// dependent returns the field that a name means in this match.
func (l fieldList) dependent(name string) (openflow.FieldID, error) {
	eth, proto := l.etherType(), l.exactly(openflow.IPProto)
	of := func(arp, other openflow.FieldID) (openflow.FieldID, error) {
		switch {
		case eth == ethARP || eth == ethRARP:
			return arp, nil
		case eth == ethIPv6 && strings.HasSuffix(name, "_src"):
			return 0, fmt.Errorf("%s does not go with IPv6: it is ipv6_src", name)
		case eth == ethIPv6 && strings.HasSuffix(name, "_dst"):
			return 0, fmt.Errorf("%s does not go with IPv6: it is ipv6_dst", name)
		}
		return other, nil
	}
	ports := "it needs tcp, udp or sctp, or tcp6, udp6 or sctp6"
	switch name {
	case "nw_proto", "ip_proto":
		return of(openflow.ARPOp, openflow.IPProto)
	case "nw_src", "ip_src":
		return of(openflow.ARPSPA, openflow.IPv4Src)
	case "nw_dst", "ip_dst":
		return of(openflow.ARPTPA, openflow.IPv4Dst)
	case "icmp_type", "icmp_code":
		ports = "it needs icmp or icmp6"
	default:
		if eth != ethIPv4 && eth != ethIPv6 {
			break
		}
		id := map[int]openflow.FieldID{protoTCP: openflow.TCPSrc, protoUDP: openflow.UDPSrc, protoSCTP: openflow.SCTPSrc}[proto]
		if id == 0 {
			break
		}
		if name == "tp_dst" {
			id++
		}
		return id, nil
	}
	first := strings.HasSuffix(name, "_type") || name == "tp_src" // Open vSwitch keeps the type where ports have the source
	switch {
	case eth == ethIPv4 && proto == protoICMP && first:
		return openflow.ICMPType, nil
	case eth == ethIPv4 && proto == protoICMP:
		return openflow.ICMPCode, nil
	case eth == ethIPv6 && proto == protoICMP6 && first:
		return openflow.ICMP6Type, nil
	case eth == ethIPv6 && proto == protoICMP6:
		return openflow.ICMP6Code, nil
	}
	return 0, fmt.Errorf("%s does not go with the protocol: %s", name, ports)
}

// parseBits reads a value for a run of bits of a field: NAME[], NAME[bit] or NAME[low..high].
func parseBits(name, value string) (Field, error) {
	field, span, _ := strings.Cut(name, "[")
	if n := namingBySet[field]; n != nil {
		field = n.subfield
	}
	sub, err := parseSubfield(field+"["+span, 128)
	if err != nil {
		return Field{}, err
	}
	id := sub.Field.InMatch()
	n := id.Len()
	given, err := hexadecimal.parse(value, n)
	if err != nil {
		return Field{}, err
	}
	bit := func(b []byte, i int) *byte { return &b[len(b)-1-i/8] }
	v, mask := make([]byte, n), make([]byte, n)
	for i := range 8 * n {
		set := *bit(given, i)>>(i%8)&1 != 0
		switch to := i + int(sub.Offset); {
		case i < int(sub.Bits):
			*bit(mask, to) |= 1 << (to % 8)
			if set {
				*bit(v, to) |= 1 << (to % 8)
			}
		case set:
			return Field{}, fmt.Errorf("%s does not fit %d bits", value, sub.Bits)
		}
	}
	return maskedOctets(id, v, mask), nil
}
