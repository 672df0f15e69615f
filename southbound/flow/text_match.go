package flow

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// matchPrinter writes the fields of a match in ovs-ofctl's order. Every field
// is written once: what has no words that would be read back as the same goes out as hex in the end.
type matchPrinter struct {
	b     *strings.Builder
	all   fieldList // those that are known
	taken []bool
}

func (m Match) write(b *strings.Builder) {
	fields := m.Fields()
	if fields == nil && m != "" {
		fmt.Fprintf(b, "oxm=%x,", string(m))
		return
	}
	p := &matchPrinter{b: b}
	for _, f := range fields {
		if f.raw == "" {
			p.all = append(p.all, f.oxm)
		}
	}
	p.taken = make([]bool, len(p.all))
	p.beforePacket()
	p.connection()
	p.types()
	p.pipeline()
	p.link()
	p.network()
	p.transport()
	p.unknownToSwitch()
	for i := range p.all {
		if !p.taken[i] {
			p.put("oxm", Field{oxm: p.all[i]}.hex())
		}
	}
	for _, f := range fields {
		if f.raw != "" {
			p.put("oxm", f.hex())
		}
	}
}

func (p *matchPrinter) put(name, text string) {
	p.b.WriteString(name + "=" + text + ",")
}

// take returns the field id for its caller to write, if the match has it and it can be written in
// words: a switch would take it, prerequisites and all.
func (p *matchPrinter) take(id openflow.FieldID) (f Field, ok bool) {
	for i := range p.all {
		o := &p.all[i]
		if o.Field != id || p.taken[i] {
			continue
		}
		if fault(o) != "" || !p.all.meets(prerequisiteOf(id)) {
			return Field{}, false
		}
		p.taken[i] = true
		return Field{oxm: *o}, true
	}
	return Field{}, false
}

// number writes a field as a number: exactly with format exact, else with masked for value and mask
// (nil: without the mask).
func (p *matchPrinter) number(id openflow.FieldID, name string, exact, masked func(uint64) string) {
	f, ok := p.take(id)
	if !ok {
		return
	}
	v, mask := f.Uint()
	if f.Exact() || masked == nil {
		p.put(name, exact(v))
	} else {
		p.put(name, masked(v)+"/"+masked(mask))
	}
}

// hex writes a field in hex.
func (p *matchPrinter) hex(id openflow.FieldID, name string) { p.number(id, name, cHex, cHex) }

// decimal writes a field in decimal, but with a mask in hex.
func (p *matchPrinter) decimal(id openflow.FieldID, name string) {
	p.number(id, name, decimalText, hexText)
}

// value writes a field without its mask, which follows from the value.
func (p *matchPrinter) value(id openflow.FieldID, name string, text func(uint64) string) {
	p.number(id, name, text, nil)
}

// padded writes a field in hex with leading zeros.
func (p *matchPrinter) padded(id openflow.FieldID, name string, digits int) {
	text := func(v uint64) string { return fmt.Sprintf("0x%0*x", digits, v) }
	p.number(id, name, text, text)
}

// plain writes a field as its kind has it.
func (p *matchPrinter) plain(id openflow.FieldID, name string) {
	f, ok := p.take(id)
	if !ok {
		return
	}
	k := namingByID[id].kind
	if f.Exact() {
		p.put(name, k.text(f.Value()))
	} else {
		p.put(name, k.maskedText(f.Value(), f.Mask()))
	}
}

// flags writes a field of flags, of which the mask has no bits but those with a name.
func (p *matchPrinter) flags(id openflow.FieldID, name string) {
	o := p.all.find(id)
	if o == nil {
		return
	}
	if _, mask := (Field{oxm: *o}).Uint(); o.HasMask && mask>>len(namingByID[id].kind.words()) != 0 {
		return
	}
	p.plain(id, name)
}

func (p *matchPrinter) beforePacket() {
	p.hex(openflow.PktMark, "pkt_mark")
	p.hex(openflow.RecircID, "recirc_id")
	p.hex(openflow.DPHash, "dp_hash")
	p.decimal(openflow.ConjID, "conj_id")
	p.plain(openflow.ActsetOutput, "actset_output")
}

func (p *matchPrinter) connection() {
	p.flags(openflow.CTState, "ct_state")
	p.decimal(openflow.CTZone, "ct_zone")
	p.hex(openflow.CTMark, "ct_mark")
	p.plain(openflow.CTLabel, "ct_label")
	p.plain(openflow.CTIPv4Src, "ct_nw_src")
	p.plain(openflow.CTIPv6Src, "ct_ipv6_src")
	p.plain(openflow.CTIPv4Dst, "ct_nw_dst")
	p.plain(openflow.CTIPv6Dst, "ct_ipv6_dst")
	p.decimal(openflow.CTProto, "ct_nw_proto")
	p.decimal(openflow.CTSrcPort, "ct_tp_src")
	p.decimal(openflow.CTDstPort, "ct_tp_dst")
}

// types writes the packet type, and the word for ethertype and protocol.
// Without a word for them they are written later by number.
func (p *matchPrinter) types() {
	if f, ok := p.take(openflow.PacketType); ok {
		if v, _ := f.Uint(); uint32(v) == PacketEthernet {
			p.b.WriteString("eth,")
		} else {
			p.put("packet_type", packetTypeText(v))
		}
	}
	eth, proto := p.all.exactly(openflow.EthType), p.all.exactly(openflow.IPProto)
	for _, s := range shorthands {
		if s.eth != eth || s.proto != proto && s.proto != -1 {
			continue
		}
		if _, ok := p.take(openflow.EthType); ok {
			if s.proto != -1 {
				p.take(openflow.IPProto)
			}
			p.b.WriteString(s.word + ",")
		}
		return
	}
}

// pipeline writes what a packet has besides its bytes.
func (p *matchPrinter) pipeline() {
	for i := range registers {
		p.hex(reg(i), "reg"+strconv.Itoa(i))
	}
	p.hex(openflow.TunnelID, "tun_id")
	p.plain(openflow.TunnelSrc, "tun_src")
	p.plain(openflow.TunnelDst, "tun_dst")
	p.plain(openflow.TunnelIPv6Src, "tun_ipv6_src")
	p.plain(openflow.TunnelIPv6Dst, "tun_ipv6_dst")
	p.decimal(openflow.TunnelGBPID, "tun_gbp_id")
	p.hex(openflow.TunnelGBPFlags, "tun_gbp_flags")
	p.value(openflow.ErspanVersion, "tun_erspan_ver", decimalText)
	p.hex(openflow.ErspanIndex, "tun_erspan_idx")
	p.value(openflow.ErspanDirection, "tun_erspan_dir", decimalText)
	p.value(openflow.ErspanHardwareID, "tun_erspan_hwid", cHex)
	p.value(openflow.GTPUFlags, "tun_gtpu_flags", cHex)
	p.value(openflow.GTPUMessageType, "tun_gtpu_msgtype", decimalText)
	p.flags(openflow.TunnelFlags, "tun_flags")
	p.hex(openflow.Metadata, "metadata")
	p.plain(openflow.InPort, "in_port")
}

func (p *matchPrinter) link() {
	p.vlan()
	p.plain(openflow.EthSrc, "dl_src")
	p.plain(openflow.EthDst, "dl_dst")
	p.padded(openflow.EthType, "dl_type", 4)
}

// vlan writes what is matched of the tag the way Open vSwitch thinks of it: as
// 16 bits of which 12 are the id, one says that there is a tag, and 3 are priority.
func (p *matchPrinter) vlan() {
	const idMask, pcpMask = 0x0fff, 0xe000
	var tci, mask uint64
	if f, ok := p.take(openflow.VLANVID); ok {
		tci, mask = f.Uint()
		mask &= vlanPresent | idMask
	}
	if f, ok := p.take(openflow.VLANPCP); ok {
		v, _ := f.Uint()
		tci |= v << 13
		mask |= pcpMask
		if mask == pcpMask { // The id is among what has no words; it says that there is a tag.
			tci, mask = tci|vlanPresent, mask|vlanPresent
		}
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
	default:
		p.put("vlan_tci", fmt.Sprintf("0x%04x/0x%04x", tci, mask))
	}
}

// network writes the fields of layer 3 and of MPLS. Those that do not go with the
// ethertype are not taken.
func (p *matchPrinter) network() {
	p.plain(openflow.IPv6Src, "ipv6_src")
	p.plain(openflow.IPv6Dst, "ipv6_dst")
	p.padded(openflow.IPv6Label, "ipv6_label", 5)
	p.plain(openflow.ARPSPA, "arp_spa")
	p.plain(openflow.ARPTPA, "arp_tpa")
	p.nsh()
	p.plain(openflow.IPv4Src, "nw_src")
	p.plain(openflow.IPv4Dst, "nw_dst")
	p.decimal(openflow.ARPOp, "arp_op")
	p.decimal(openflow.IPProto, "nw_proto")
	p.plain(openflow.ARPSHA, "arp_sha")
	p.plain(openflow.ARPTHA, "arp_tha")
	if f, ok := p.take(openflow.IPDSCP); ok {
		v, _ := f.Uint()
		p.put("nw_tos", decimalText(v<<2))
	}
	p.decimal(openflow.IPECN, "nw_ecn")
	p.decimal(openflow.IPTTL, "nw_ttl")
	p.decimal(openflow.MPLSLabel, "mpls_label")
	p.decimal(openflow.MPLSTC, "mpls_tc")
	p.decimal(openflow.MPLSTTL, "mpls_ttl")
	p.decimal(openflow.MPLSBOS, "mpls_bos")
	if o := p.all.find(openflow.IPFrag); o != nil {
		v, mask := (Field{oxm: *o}).Uint()
		for _, f := range fragments {
			if uint64(f.value) == v && uint64(f.mask) == mask {
				p.plain(openflow.IPFrag, "nw_frag")
				break
			}
		}
	}
}

// nsh writes the fields of the network service header.
func (p *matchPrinter) nsh() {
	octet := func(v uint64) string { return fmt.Sprintf("0x%02x", v) }
	p.number(openflow.NSHFlags, "nsh_flags", decimalText, octet)
	p.decimal(openflow.NSHTTL, "nsh_ttl")
	p.decimal(openflow.NSHMDType, "nsh_mdtype")
	p.decimal(openflow.NSHNextProto, "nsh_np")
	p.number(openflow.NSHPath, "nsh_spi", hexText, hexText)
	p.decimal(openflow.NSHIndex, "nsh_si")
	for i := range 4 {
		p.number(openflow.NSHContext1+openflow.FieldID(i), "nsh_c"+strconv.Itoa(i+1), hexText, hexText)
	}
}

// transport writes the fields of layer 4. A match has those of one protocol; others are not taken.
func (p *matchPrinter) transport() {
	for _, id := range []openflow.FieldID{openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc} {
		p.decimal(id, "tp_src")
		p.decimal(id+1, "tp_dst")
	}
	p.decimal(openflow.ICMPType, "icmp_type")
	p.decimal(openflow.ICMPCode, "icmp_code")
	p.decimal(openflow.ICMP6Type, "icmp_type")
	p.decimal(openflow.ICMP6Code, "icmp_code")
	p.plain(openflow.NDTarget, "nd_target")
	p.plain(openflow.NDSLL, "nd_sll")
	p.plain(openflow.NDTLL, "nd_tll")
	p.decimal(openflow.NDReserved, "nd_reserved")
	p.decimal(openflow.NDOptionsType, "nd_options_type")
	p.flags(openflow.TCPFlags, "tcp_flags")
}

// unknownToSwitch writes the standard fields that Open vSwitch does not know, by the
// names of the standard. Only Parse reads them.
func (p *matchPrinter) unknownToSwitch() {
	for _, id := range []openflow.FieldID{openflow.InPhyPort, openflow.PBBISID, openflow.PBBUCA, openflow.IPv6ExtHdr} {
		p.plain(id, namingByID[id].set)
	}
}
