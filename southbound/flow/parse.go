package flow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// Parse reads a line that String printed. It takes what String can print and
// is not a parser of all that ovs-ofctl takes.
func Parse(line string) (Flow, error) {
	f, err := parse(line)
	if err != nil {
		return Flow{}, fmt.Errorf("flow: parse %.200q: %w", line, err)
	}
	return f, nil
}

func parse(line string) (Flow, error) {
	head, actions, ok := strings.Cut(line, "actions=")
	if !ok {
		return Flow{}, errors.New("no actions=")
	}
	f := Flow{Priority: 0x8000}
	p := matchParser{}
	words := strings.FieldsFunc(head, func(c rune) bool { return c == ',' || c == ' ' })
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=")
		known, err := f.parseAttribute(name, value, hasValue)
		if !known {
			err = p.field(name, value, hasValue)
		}
		if err != nil {
			return Flow{}, fmt.Errorf("%s: %w", word, err)
		}
	}
	var err error
	if f.Match, err = p.match(); err != nil {
		return Flow{}, err
	}
	if f.Instructions, err = parseInstructions(actions); err != nil {
		return Flow{}, err
	}
	return f, nil
}

// parseAttribute reads what is not part of the match. known is false for
// anything else.
func (f *Flow) parseAttribute(name, value string, hasValue bool) (known bool, err error) {
	if !hasValue {
		for _, n := range flagNames {
			if n.name == name {
				f.Flags |= n.flag
				return true, nil
			}
		}
		return false, nil
	}
	switch name {
	case "cookie":
		f.Cookie, err = parseUint(value, 64)
	case "table":
		err = parseTo(&f.Table, value)
	case "priority":
		err = parseTo(&f.Priority, value)
	case "idle_timeout":
		err = parseTo(&f.IdleTimeout, value)
	case "hard_timeout":
		err = parseTo(&f.HardTimeout, value)
	default:
		return false, nil
	}
	return true, err
}

// parseUint reads a number of at most n bits, decimal or with 0x.
func parseUint(s string, n int) (uint64, error) {
	base := 10
	if h, ok := strings.CutPrefix(s, "0x"); ok {
		s, base = h, 16
	}
	v, err := strconv.ParseUint(s, base, n)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, n)
	}
	return v, nil
}

func parseTo[T uint8 | uint16 | uint32](to *T, s string) error {
	n := 0
	for v := ^T(0); v != 0; v >>= 1 {
		n++
	}
	v, err := parseUint(s, n)
	*to = T(v)
	return err
}

// matchParser collects the fields of a match. Names that depend on the
// protocol are resolved once all words are read.
type matchParser struct {
	fields  []openflow.OXM
	rest    []byte      // whole TLVs of fields that fit no OXM
	later   [][2]string // tp_src, tp_dst, icmp_type, icmp_code
	hasVLAN bool
	pcp     bool
}

func (p *matchParser) add(f Field) { p.fields = append(p.fields, f.oxm) }

// simpleNames are the names in a match that always mean the same field and have a kind of their own.
var simpleNames = map[string]openflow.FieldID{
	"pkt_mark": openflow.PktMark, "conj_id": openflow.ConjID, "ct_zone": openflow.CTZone, "ct_mark": openflow.CTMark, "ct_label": openflow.CTLabel,
	"tun_id": openflow.TunnelID, "tun_src": openflow.TunnelSrc, "tun_dst": openflow.TunnelDst, "metadata": openflow.Metadata,
	"dl_src": openflow.EthSrc, "dl_dst": openflow.EthDst, "dl_type": openflow.EthType,
	"nw_src": openflow.IPv4Src, "nw_dst": openflow.IPv4Dst, "ipv6_src": openflow.IPv6Src, "ipv6_dst": openflow.IPv6Dst, "ipv6_label": openflow.IPv6Label,
	"arp_spa": openflow.ARPSPA, "arp_tpa": openflow.ARPTPA, "arp_op": openflow.ARPOp, "arp_sha": openflow.ARPSHA, "arp_tha": openflow.ARPTHA,
	"nw_proto": openflow.IPProto, "nw_ecn": openflow.IPECN, "nw_ttl": openflow.IPTTL,
	"nd_target": openflow.NDTarget, "nd_sll": openflow.NDSLL, "nd_tll": openflow.NDTLL,
}

func (p *matchParser) field(name, value string, hasValue bool) error {
	if !hasValue {
		for _, s := range shorthands {
			if s.word == name {
				p.add(EthType(uint16(s.eth)))
				if s.proto != -1 {
					p.add(IPProto(uint8(s.proto)))
				}
				return nil
			}
		}
		return errors.New("unknown word")
	}
	id, ok := simpleNames[name]
	if n := namingBySet[name]; !ok && n != nil && strings.HasPrefix(name, "reg") {
		id, ok = n.id, true
	}
	if ok {
		f, err := parseField(id, namingByID[id].kind, value)
		if err == nil {
			p.add(f)
		}
		return err
	}
	switch name {
	case "tp_src", "tp_dst", "icmp_type", "icmp_code":
		p.later = append(p.later, [2]string{name, value})
		return nil
	case "in_port":
		n, err := parsePort(value)
		p.add(InPort(n))
		return err
	case "ct_state":
		return p.ctState(value)
	case "vlan_tci", "dl_vlan", "dl_vlan_pcp":
		return p.vlan(name, value)
	case "nw_tos":
		v, err := parseUint(value, 8)
		if err == nil && v&3 != 0 {
			err = errors.New("the lowest two bits of nw_tos are not the DSCP")
		}
		p.add(number(openflow.IPDSCP, 1, v>>2))
		return err
	case "nw_frag":
		for _, f := range fragments {
			if f.word == value {
				p.add(masked(openflow.IPFrag, 1, f.value, f.mask))
				return nil
			}
		}
		return errors.New("unknown kind of fragment")
	case "oxm":
		return p.raw(value)
	}
	return errors.New("unknown field")
}

func (p *matchParser) raw(value string) error {
	b, err := hex.DecodeString(value)
	if err != nil {
		return err
	}
	m, err := openflow.DecodeMatch(b)
	if err != nil {
		return err
	}
	for tlv := range m.TLVs() {
		if o, ok := openflow.DecodeOXM(tlv); ok {
			p.fields = append(p.fields, o)
		} else {
			p.rest = append(p.rest, tlv...)
		}
	}
	return nil
}

// ctState reads flags with signs, or without signs all that are set.
func (p *matchParser) ctState(value string) error {
	all := uint64(1)<<len(ctStateNames) - 1
	if value == "0" {
		p.add(masked(openflow.CTState, 4, 0, all))
		return nil
	}
	if !strings.ContainsAny(value, "+-") {
		var set uint64
		for word := range strings.SplitSeq(value, "|") {
			bit := ctStateBit(word)
			if bit == 0 || set&bit != 0 {
				return errors.New("bad flag of ct_state")
			}
			set |= bit
		}
		p.add(masked(openflow.CTState, 4, set, all))
		return nil
	}
	var set, mask uint64
	for value != "" {
		end := strings.IndexAny(value[1:], "+-") + 1
		if end == 0 {
			end = len(value)
		}
		sign, bit := value[0], ctStateBit(value[1:end])
		value = value[end:]
		if bit == 0 || mask&bit != 0 || sign != '+' && sign != '-' {
			return errors.New("bad flag of ct_state")
		}
		mask |= bit
		if sign == '+' {
			set |= bit
		}
	}
	p.add(masked(openflow.CTState, 4, set, mask))
	return nil
}

// ctStateBit returns 0 for an unknown name.
func ctStateBit(name string) uint64 {
	for i, n := range ctStateNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

func (p *matchParser) vlan(name, value string) error {
	switch name {
	case "dl_vlan":
		v, err := parseUint(value, 12)
		p.add(VLAN(uint16(v)))
		p.hasVLAN = true
		return err
	case "dl_vlan_pcp":
		v, err := parseUint(value, 3)
		p.add(number(openflow.VLANPCP, 1, v))
		p.pcp = true
		return err
	}
	text, maskText, hasMask := strings.Cut(value, "/")
	tci, err := parseUint(text, 16)
	mask := uint64(0xffff)
	if hasMask && err == nil {
		mask, err = parseUint(maskText, 16)
	}
	if err != nil {
		return err
	}
	switch id, pcp := mask&0x1fff, mask>>13; {
	case pcp != 0 && pcp != 7:
		return errors.New("priority bits are matched in part")
	case pcp == 7:
		p.add(number(openflow.VLANPCP, 1, tci>>13))
		fallthrough
	default:
		if id == 0x1fff {
			p.add(number(openflow.VLANVID, 2, tci&id))
		} else if id != 0 {
			p.add(masked(openflow.VLANVID, 2, tci&id, id))
		}
	}
	return nil
}

// match resolves what depends on the protocol.
func (p *matchParser) match() (Match, error) {
	if p.pcp && !p.hasVLAN {
		p.add(AnyVLAN())
	}
	eth, proto := uint64(math.MaxUint64), uint64(math.MaxUint64)
	for _, o := range p.fields {
		switch v, _ := (Field{oxm: o}).Uint(); {
		case o.HasMask:
		case o.Field == openflow.EthType:
			eth = v
		case o.Field == openflow.IPProto:
			proto = v
		}
	}
	for _, l := range p.later {
		id, err := dependent(l[0], eth, proto)
		if err != nil {
			return "", err
		}
		f, err := parseField(id, decimal, l[1])
		if err != nil {
			return "", fmt.Errorf("%s: %w", l[0], err)
		}
		p.add(f)
	}
	return canonicalMatch(p.fields, string(p.rest))
}

func dependent(name string, eth, proto uint64) (openflow.FieldID, error) {
	if eth == ethIPv4 || eth == ethIPv6 {
		src := name == "tp_src"
		switch {
		case name == "icmp_type" && eth == ethIPv4 && proto == protoICMP:
			return openflow.ICMPType, nil
		case name == "icmp_code" && eth == ethIPv4 && proto == protoICMP:
			return openflow.ICMPCode, nil
		case name == "icmp_type" && eth == ethIPv6 && proto == protoICMP6:
			return openflow.ICMP6Type, nil
		case name == "icmp_code" && eth == ethIPv6 && proto == protoICMP6:
			return openflow.ICMP6Code, nil
		case strings.HasPrefix(name, "icmp"):
		case proto == protoTCP || proto == protoUDP || proto == protoSCTP:
			if src {
				return transport(uint8(proto), openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc), nil
			}
			return transport(uint8(proto), openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst), nil
		}
	}
	return 0, fmt.Errorf("%s does not go with the protocol", name)
}

// parseField reads VALUE or VALUE/MASK.
func parseField(id openflow.FieldID, k kind, s string) (Field, error) {
	text, maskText, hasMask := strings.Cut(s, "/")
	n := id.Len()
	value, err := k.parse(text, n)
	if err != nil || !hasMask {
		return octets(id, value), err
	}
	if k == ipv4 || k == ipv6 {
		if ones, err := strconv.ParseUint(maskText, 10, 8); err == nil {
			if int(ones) > 8*n {
				return Field{}, errors.New("prefix is too long")
			}
			mask := make([]byte, n)
			for i := range int(ones) {
				mask[i/8] |= 0x80 >> (i % 8)
			}
			return maskedOctets(id, value, mask), nil
		}
	}
	mask, err := k.parse(maskText, n)
	if err != nil {
		return Field{}, err
	}
	return maskedOctets(id, value, mask), nil
}

// parse reads a value of n bytes.
func (k kind) parse(s string, n int) ([]byte, error) {
	switch k {
	case ethernet:
		return parseEth(s)
	case ipv4, ipv6:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		if a.BitLen() != 8*n || a.Zone() != "" {
			return nil, fmt.Errorf("%v is of the other family", a)
		}
		return a.AsSlice(), nil
	}
	value := make([]byte, n)
	if h, ok := strings.CutPrefix(s, "0x"); ok && n > 8 {
		if len(h) == 0 || len(h) > 2*n {
			return nil, fmt.Errorf("%q is not a number of %d bits", s, 8*n)
		}
		if _, err := hex.Decode(value, []byte(strings.Repeat("0", 2*n-len(h))+h)); err != nil {
			return nil, err
		}
		return value, nil
	}
	v, err := parseUint(s, min(8*n, 64))
	if err != nil {
		return nil, err
	}
	putUint(value, v)
	return value, nil
}

func parseEth(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != 6 || len(s) != 17 || ethText(b) != strings.ToLower(s) {
		return nil, fmt.Errorf("%q is not a MAC address", s)
	}
	return b, nil
}

func parsePort(s string) (uint32, error) {
	if n, ok := portNumbers[s]; ok {
		return n, nil
	}
	n, err := parseUint(s, 32)
	return uint32(n), err
}
