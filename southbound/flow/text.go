package flow

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// String returns the flow as one line, in the form of
// ovs-ofctl --no-names --no-stats dump-flows, which parse-flows takes, except
// that table and priority are always written. What ovs-ofctl has no words for here
// is written as hex (oxm=, raw:, instruction:), which only Parse takes.
func (f Flow) String() string {
	var b strings.Builder
	if f.Cookie != 0 {
		fmt.Fprintf(&b, "cookie=0x%x, ", f.Cookie)
	}
	fmt.Fprintf(&b, "table=%d, ", f.Table)
	if f.IdleTimeout != 0 {
		fmt.Fprintf(&b, "idle_timeout=%d, ", f.IdleTimeout)
	}
	if f.HardTimeout != 0 {
		fmt.Fprintf(&b, "hard_timeout=%d, ", f.HardTimeout)
	}
	for _, n := range flagNames {
		if f.Flags&n.flag != 0 {
			b.WriteString(n.name + " ")
		}
	}
	fmt.Fprintf(&b, "priority=%d", f.Priority)
	if match := f.Match.String(); match != "" {
		b.WriteString("," + match)
	}
	b.WriteString(" actions=")
	b.WriteString(f.Instructions.String())
	return b.String()
}

// String returns the field as ovs-ofctl writes it in set_field, with its mask.
func (f Field) String() string {
	n := namingByID[f.oxm.Field]
	if f.raw != "" || n == nil || int(f.oxm.Len) != f.oxm.Field.Len() {
		return "oxm=" + f.hex()
	}
	s := n.set + "=" + n.kind.text(f.Value())
	if f.oxm.HasMask {
		s += "/" + n.kind.text(f.Mask())
	}
	return s
}

// hex returns the whole TLV in hex.
func (f Field) hex() string {
	if f.raw != "" {
		return hex.EncodeToString([]byte(f.raw))
	}
	return hex.EncodeToString(f.oxm.AppendTo(nil))
}

// text writes a value of the kind.
func (k kind) text(v []byte) string {
	switch k {
	case ethernet:
		return ethText(v)
	case ipv4, ipv6:
		a, _ := netip.AddrFromSlice(v)
		return a.String()
	case hexadecimal:
		if s := strings.TrimLeft(hex.EncodeToString(v), "0"); s != "" {
			return "0x" + s
		}
		return "0" // without 0x, as C's %#x has it
	}
	var n uint64
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return strconv.FormatUint(n, 10)
}

func ethText(v []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", v[0], v[1], v[2], v[3], v[4], v[5])
}

// cHex writes a number as C's %#x does: zero has no 0x.
func cHex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

func portText(n uint32) string {
	if name := portNames[n]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(n), 10)
}

// matchPrinter writes the fields of a match in ovs-ofctl's order. Every field
// is written once: what nothing has taken goes out as hex in the end.
type matchPrinter struct {
	b      *strings.Builder
	fields []Field
	taken  []bool
}

func (m Match) write(b *strings.Builder) {
	fields := m.Fields()
	if fields == nil && m != "" {
		fmt.Fprintf(b, "oxm=%x,", string(m))
		return
	}
	p := &matchPrinter{b: b, fields: fields, taken: make([]bool, len(fields))}
	p.beforePacket()
	eth, proto := p.types()
	p.metadata()
	p.link()
	p.network(eth, proto)
	p.transport(eth, proto)
	for i := range fields {
		if !p.taken[i] {
			p.put("oxm", fields[i].hex())
		}
	}
}

func (p *matchPrinter) put(name, text string) {
	p.b.WriteString(name + "=" + text + ",")
}

// find returns the field id if it is there, of its proper width and not
// written yet.
func (p *matchPrinter) find(id openflow.FieldID) (i int, ok bool) {
	for i := range p.fields {
		f := &p.fields[i]
		if f.oxm.Field == id && f.raw == "" && !p.taken[i] && int(f.oxm.Len) == id.Len() {
			return i, true
		}
	}
	return 0, false
}

// take is find for a field that the caller writes.
func (p *matchPrinter) take(id openflow.FieldID) (f Field, ok bool) {
	i, ok := p.find(id)
	if !ok {
		return Field{}, false
	}
	p.taken[i] = true
	return p.fields[i], true
}

// takeExact is take for a field that can only be written without a mask, and with a value up to max.
func (p *matchPrinter) takeExact(id openflow.FieldID, max uint64) (v uint64, ok bool) {
	i, ok := p.find(id)
	if !ok || !p.fields[i].Exact() {
		return 0, false
	}
	if v, _ = p.fields[i].Uint(); v > max {
		return 0, false
	}
	p.taken[i] = true
	return v, true
}

// number writes a field as a number: exactly with format exact, else with masked for value and mask.
func (p *matchPrinter) number(id openflow.FieldID, name string, exact, masked func(uint64) string) {
	f, ok := p.take(id)
	if !ok {
		return
	}
	v, mask := f.Uint()
	if f.Exact() {
		p.put(name, exact(v))
	} else {
		p.put(name, masked(v)+"/"+masked(mask))
	}
}

func decimalText(v uint64) string { return strconv.FormatUint(v, 10) }
func hexText(v uint64) string     { return "0x" + strconv.FormatUint(v, 16) }

func (p *matchPrinter) hex(id openflow.FieldID, name string) { p.number(id, name, cHex, cHex) }
func (p *matchPrinter) decimal(id openflow.FieldID, name string) {
	p.number(id, name, decimalText, hexText)
}

func (p *matchPrinter) eth(id openflow.FieldID, name string) {
	f, ok := p.take(id)
	if !ok {
		return
	}
	text := ethText(f.Value())
	if !f.Exact() {
		text += "/" + ethText(f.Mask())
	}
	p.put(name, text)
}

func (p *matchPrinter) ip(id openflow.FieldID, name string) {
	f, ok := p.take(id)
	if !ok {
		return
	}
	addr, _ := netip.AddrFromSlice(f.Value())
	text := addr.String()
	if mask := f.Mask(); !f.Exact() {
		if ones, ok := prefixLen(mask); ok {
			text += "/" + strconv.Itoa(ones)
		} else {
			m, _ := netip.AddrFromSlice(mask)
			text += "/" + m.String()
		}
	}
	p.put(name, text)
}

// prefixLen returns the number of leading ones of mask if only zeros follow.
func prefixLen(mask []byte) (ones int, ok bool) {
	for i, c := range mask {
		if c == 0xff {
			continue
		}
		n := bits.LeadingZeros8(^c)
		return 8*i + n, c<<n == 0 && len(bytes.Trim(mask[i+1:], "\x00")) == 0
	}
	return 8 * len(mask), true
}

func (p *matchPrinter) beforePacket() {
	p.hex(openflow.PktMark, "pkt_mark")
	if v, ok := p.takeExact(openflow.ConjID, ^uint64(0)); ok {
		p.put("conj_id", decimalText(v))
	}
	p.ctState()
	p.decimal(openflow.CTZone, "ct_zone")
	p.hex(openflow.CTMark, "ct_mark")
	if f, ok := p.take(openflow.CTLabel); ok {
		text := hexadecimal.text(f.Value())
		if !f.Exact() {
			text += "/" + hexadecimal.text(f.Mask())
		}
		p.put("ct_label", text)
	}
}

func (p *matchPrinter) ctState() {
	i, ok := p.find(openflow.CTState)
	if !ok {
		return
	}
	v, mask := p.fields[i].Uint()
	if mask >= 1<<len(ctStateNames) {
		return
	}
	p.taken[i] = true
	if mask == 1<<len(ctStateNames)-1 {
		p.put("ct_state", ctStateWords(v))
		return
	}
	var text string
	for bit, name := range ctStateNames {
		switch {
		case v>>bit&1 != 0:
			text += "+" + name
		case mask>>bit&1 != 0:
			text += "-" + name
		}
	}
	p.put("ct_state", text)
}

// ctStateWords writes all flags at once.
func ctStateWords(v uint64) string {
	var set []string
	for bit, name := range ctStateNames {
		if v>>bit&1 != 0 {
			set = append(set, name)
		}
	}
	if set == nil {
		return "0"
	}
	return strings.Join(set, "|")
}

// types writes the word for ethertype and protocol and returns both, -1 where they are not exact.
// Without a word for them they are written later by number.
func (p *matchPrinter) types() (eth, proto int) {
	exact := func(id openflow.FieldID) int {
		if i, ok := p.find(id); ok && p.fields[i].Exact() {
			v, _ := p.fields[i].Uint()
			return int(v)
		}
		return -1
	}
	eth, proto = exact(openflow.EthType), exact(openflow.IPProto)
	for _, s := range shorthands {
		if s.eth == eth && (s.proto == proto || s.proto == -1) {
			p.take(openflow.EthType)
			if s.proto != -1 {
				p.take(openflow.IPProto)
			}
			p.b.WriteString(s.word + ",")
			break
		}
	}
	return eth, proto
}

func (p *matchPrinter) metadata() {
	for i := range registers {
		p.hex(reg(i), "reg"+strconv.Itoa(i))
	}
	p.hex(openflow.TunnelID, "tun_id")
	p.ip(openflow.TunnelSrc, "tun_src")
	p.ip(openflow.TunnelDst, "tun_dst")
	p.hex(openflow.Metadata, "metadata")
	if v, ok := p.takeExact(openflow.InPort, ^uint64(0)); ok {
		p.put("in_port", portText(uint32(v)))
	}
}

func (p *matchPrinter) link() {
	p.vlan()
	p.eth(openflow.EthSrc, "dl_src")
	p.eth(openflow.EthDst, "dl_dst")
	if v, ok := p.takeExact(openflow.EthType, ^uint64(0)); ok {
		p.put("dl_type", fmt.Sprintf("0x%04x", v))
	}
}

// vlan writes what is matched of the tag the way Open vSwitch thinks of it: as
// 16 bits of which 12 are the id, one says that there is a tag, and 3 are priority.
func (p *matchPrinter) vlan() {
	const idMask, tagMask, pcpMask = 0x0fff, 0x1fff, 0xe000
	var tci, mask uint64
	if i, ok := p.find(openflow.VLANVID); ok {
		v, m := p.fields[i].Uint()
		if p.fields[i].Exact() {
			m = tagMask
		}
		if (v|m)&^tagMask == 0 {
			p.taken[i] = true
			tci, mask = v, m
		}
	}
	if pcp, ok := p.takeExact(openflow.VLANPCP, 7); ok {
		tci |= pcp << 13
		mask |= pcpMask
	}
	id, pcp := mask&idMask, mask&pcpMask
	switch {
	case mask == 0:
	case mask&tci&vlanPresent != 0 && (id == 0 || id == idMask) && id|pcp != 0:
		if id != 0 {
			p.put("dl_vlan", decimalText(tci&idMask))
		}
		if pcp != 0 {
			p.put("dl_vlan_pcp", decimalText(tci>>13))
		}
	case mask == 0xffff:
		p.put("vlan_tci", fmt.Sprintf("0x%04x", tci))
	default:
		p.put("vlan_tci", fmt.Sprintf("0x%04x/0x%04x", tci, mask))
	}
}

func (p *matchPrinter) network(eth, proto int) {
	switch eth {
	case ethIPv4:
		p.ip(openflow.IPv4Src, "nw_src")
		p.ip(openflow.IPv4Dst, "nw_dst")
	case ethIPv6:
		p.ip(openflow.IPv6Src, "ipv6_src")
		p.ip(openflow.IPv6Dst, "ipv6_dst")
		label := func(v uint64) string { return fmt.Sprintf("0x%05x", v) }
		p.number(openflow.IPv6Label, "ipv6_label", label, label)
	case ethARP, ethRARP:
		p.ip(openflow.ARPSPA, "arp_spa")
		p.ip(openflow.ARPTPA, "arp_tpa")
		if v, ok := p.takeExact(openflow.ARPOp, 0xff); ok {
			p.put("arp_op", decimalText(v))
		}
		p.eth(openflow.ARPSHA, "arp_sha")
		p.eth(openflow.ARPTHA, "arp_tha")
	}
	if eth != ethIPv4 && eth != ethIPv6 {
		return
	}
	if proto != -1 {
		if v, ok := p.takeExact(openflow.IPProto, 0xff); ok {
			p.put("nw_proto", decimalText(v))
		}
	}
	if v, ok := p.takeExact(openflow.IPDSCP, 0x3f); ok {
		p.put("nw_tos", decimalText(v<<2))
	}
	if v, ok := p.takeExact(openflow.IPECN, 3); ok {
		p.put("nw_ecn", decimalText(v))
	}
	if v, ok := p.takeExact(openflow.IPTTL, 0xff); ok {
		p.put("nw_ttl", decimalText(v))
	}
	if i, ok := p.find(openflow.IPFrag); ok {
		v, mask := p.fields[i].Uint()
		if word := fragWord(v, mask); word != "" {
			p.taken[i] = true
			p.put("nw_frag", word)
		}
	}
}

// fragments are the words of nw_frag: bit 0 says fragment, bit 1 not the first.
var fragments = []struct {
	word        string
	value, mask uint64
}{{"no", 0, 0xff}, {"first", 1, 0xff}, {"later", 3, 0xff}, {"yes", 1, 1}, {"not_later", 0, 2}}

func fragWord(v, mask uint64) string {
	for _, f := range fragments {
		if f.value == v && f.mask == mask {
			return f.word
		}
	}
	return ""
}

func (p *matchPrinter) transport(eth, proto int) {
	ip := eth == ethIPv4 || eth == ethIPv6
	switch {
	case ip && proto == protoTCP:
		p.decimal(openflow.TCPSrc, "tp_src")
		p.decimal(openflow.TCPDst, "tp_dst")
	case ip && proto == protoUDP:
		p.decimal(openflow.UDPSrc, "tp_src")
		p.decimal(openflow.UDPDst, "tp_dst")
	case ip && proto == protoSCTP:
		p.decimal(openflow.SCTPSrc, "tp_src")
		p.decimal(openflow.SCTPDst, "tp_dst")
	case eth == ethIPv4 && proto == protoICMP:
		p.decimal(openflow.ICMPType, "icmp_type")
		p.decimal(openflow.ICMPCode, "icmp_code")
	case eth == ethIPv6 && proto == protoICMP6:
		p.decimal(openflow.ICMP6Type, "icmp_type")
		p.decimal(openflow.ICMP6Code, "icmp_code")
		p.ip(openflow.NDTarget, "nd_target")
		p.eth(openflow.NDSLL, "nd_sll")
		p.eth(openflow.NDTLL, "nd_tll")
	}
}
