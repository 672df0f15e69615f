package flow

import (
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// Ethertypes and IP protocols of the fields' prerequisites.
const (
	ethIPv4          = 0x0800
	ethARP           = 0x0806
	ethRARP          = 0x8035
	ethIPv6          = 0x86dd
	ethMPLS          = 0x8847
	ethMPLSMulticast = 0x8848
	ethPBB           = 0x88e7
	ethNSH           = 0x894f

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoSCTP  = 132

	ndSolicit   = 135
	ndAdvertise = 136

	vlanPresent = 0x1000 // OFPVID_PRESENT
)

// prerequisite is what a match has to say besides a field, or a switch refuses
// the field (OFPBMC_BAD_PREREQ). All but nothing also need the packet to be an Ethernet frame or to
// have its ethertype in packet_type.
type prerequisite uint8

const (
	nothing prerequisite = iota
	isEthernet
	isVLAN
	isMPLS
	isPBB
	isNSH
	isARP
	isIPv4
	isIPv6
	isIP
	isTCP
	isUDP
	isSCTP
	isICMP
	isICMP6
	isND
	isSolicitation
	isAdvertisement
	isTracked
	isTrackedIPv4
	isTrackedIPv6
	isTrackedProto
)

// need is how a prerequisite is met.
type need struct {
	eth   int // ethertype, -1 for any
	other int // another ethertype that does as well, -1 for none
	proto int // IP protocol, -1 for any
	words string
}

const trackedWords = "a valid connection: ct_state with +new, +est, +rel, +rpl, +snat or +dnat, or with +trk-inv"

var needs = [...]need{
	nothing:         {-1, -1, -1, ""},
	isEthernet:      {-1, -1, -1, "an Ethernet frame, and the match has another packet_type"},
	isVLAN:          {-1, -1, -1, "a VLAN tag: vlan_vid with the bit 0x1000"},
	isMPLS:          {ethMPLS, ethMPLSMulticast, -1, "eth_type=0x8847 or 0x8848"},
	isPBB:           {ethPBB, -1, -1, "eth_type=0x88e7"},
	isNSH:           {ethNSH, -1, -1, "eth_type=0x894f"},
	isARP:           {ethARP, ethRARP, -1, "eth_type=0x806 or 0x8035"},
	isIPv4:          {ethIPv4, -1, -1, "eth_type=0x800"},
	isIPv6:          {ethIPv6, -1, -1, "eth_type=0x86dd"},
	isIP:            {ethIPv4, ethIPv6, -1, "IP or IPv6"},
	isTCP:           {ethIPv4, ethIPv6, protoTCP, "IP or IPv6, nw_proto=6, and not ip_frag=later"},
	isUDP:           {ethIPv4, ethIPv6, protoUDP, "IP or IPv6, nw_proto=17, and not ip_frag=later"},
	isSCTP:          {ethIPv4, ethIPv6, protoSCTP, "IP or IPv6, nw_proto=132, and not ip_frag=later"},
	isICMP:          {ethIPv4, -1, protoICMP, "eth_type=0x800 and nw_proto=1"},
	isICMP6:         {ethIPv6, -1, protoICMP6, "eth_type=0x86dd and nw_proto=58"},
	isND:            {ethIPv6, -1, protoICMP6, "ICMPv6 type 135 or 136, and no code but 0"},
	isSolicitation:  {ethIPv6, -1, protoICMP6, "ICMPv6 type 135, and no code but 0"},
	isAdvertisement: {ethIPv6, -1, protoICMP6, "ICMPv6 type 136, and no code but 0"},
	isTracked:       {-1, -1, -1, trackedWords},
	isTrackedIPv4:   {ethIPv4, -1, -1, trackedWords + ", and eth_type=0x800"},
	isTrackedIPv6:   {ethIPv6, -1, -1, trackedWords + ", and eth_type=0x86dd"},
	isTrackedProto:  {-1, -1, -1, "ct_nw_proto, and " + trackedWords},
}

// fieldList is the fields of one match, each once.
type fieldList []openflow.OXM

func (l fieldList) find(id openflow.FieldID) *openflow.OXM {
	for i := range l {
		if l[i].Field == id {
			return &l[i]
		}
	}
	return nil
}

// bits returns value and mask of a field of at most 8 bytes; the mask is 0 where the match has none.
func (l fieldList) bits(id openflow.FieldID) (value, mask uint64) {
	if o := l.find(id); o != nil {
		return Field{oxm: *o}.Uint()
	}
	return 0, 0
}

// exactly returns the value of a field that is matched in all its bits, else -1.
func (l fieldList) exactly(id openflow.FieldID) int {
	if o := l.find(id); o != nil && !o.HasMask {
		return int(o.Uint())
	}
	return -1
}

// etherType returns the ethertype that the match is about, -1 for any.
func (l fieldList) etherType() int {
	switch t := l.exactly(openflow.PacketType); {
	case t <= 0:
		return l.exactly(openflow.EthType)
	case t>>16 == packetNamespaceEther:
		return t & 0xffff
	}
	return -1
}

// packetNamespaceEther is OFPHTN_ETHERTYPE: a packet without Ethernet header, and
// what its ethertype would be.
const packetNamespaceEther = 1

// meets reports whether the match meets a prerequisite.
func (l fieldList) meets(p prerequisite) bool {
	n := &needs[p]
	if n.eth != -1 {
		if eth := l.etherType(); eth != n.eth && (eth != n.other || eth == -1) {
			return false
		}
	}
	if n.proto != -1 && l.exactly(openflow.IPProto) != n.proto {
		return false
	}
	switch p {
	case isEthernet, isVLAN:
		if l.exactly(openflow.PacketType) > 0 {
			return false
		}
		v, mask := l.bits(openflow.VLANVID)
		return p == isEthernet || v&mask&vlanPresent != 0
	case isTCP, isUDP, isSCTP:
		const later = 2
		v, mask := l.bits(openflow.IPFrag)
		return v&mask&later == 0
	case isND, isSolicitation, isAdvertisement:
		kind := l.exactly(openflow.ICMP6Type)
		code, _ := l.bits(openflow.ICMP6Code)
		return code == 0 && (kind == ndSolicit && p != isAdvertisement || kind == ndAdvertise && p != isSolicitation)
	case isTracked, isTrackedIPv4, isTrackedIPv6, isTrackedProto:
		if p == isTrackedProto && l.exactly(openflow.CTProto) <= 0 {
			return false
		}
		v, mask := l.bits(openflow.CTState)
		return CTFlags(v)&(CTNew|CTEst|CTRel|CTRpl|CTSNAT|CTDNAT) != 0 || CTFlags(v)&CTTrk != 0 && CTFlags(mask&^v)&CTInv != 0
	}
	return true
}

// builder collects the fields of one match, and the first thing that is wrong with them.
type builder struct {
	fields fieldList
	raw    []byte
	err    error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// require adds an exact field; it is an error if the match says otherwise.
func (b *builder) require(why, id openflow.FieldID, v uint64) {
	f := number(id, id.Len(), v)
	if have := b.fields.find(id); have == nil {
		b.fields = append(b.fields, f.oxm)
	} else if *have != f.oxm {
		b.fail("flow: %s needs %s, but the match has %s", FieldName(why), f, Field{oxm: *have})
	}
}

// imply adds what follows from a match having the field id.
func (b *builder) imply(id openflow.FieldID) {
	p := prerequisiteOf(id)
	n := &needs[p]
	// TCP, UDP, SCTP are of IPv4 or of IPv6, which does not follow.
	if n.eth != -1 && !(n.eth == ethIPv4 && n.other == ethIPv6) {
		if eth := b.fields.etherType(); eth == -1 || eth != n.eth && eth != n.other {
			b.require(id, openflow.EthType, uint64(n.eth))
		}
	}
	if n.proto != -1 {
		b.require(id, openflow.IPProto, uint64(n.proto))
	}
	switch p {
	case isVLAN:
		b.add(AnyVLAN().oxm)
	case isSolicitation:
		b.require(id, openflow.ICMP6Type, ndSolicit)
	case isAdvertisement:
		b.require(id, openflow.ICMP6Type, ndAdvertise)
	}
}

// check fails if a prerequisite of the field id is not met.
func (b *builder) check(id openflow.FieldID) {
	if p := prerequisiteOf(id); !b.fields.meets(p) {
		b.fail("flow: match on %s needs %s", FieldName(id), needs[p].words)
	}
}

// prerequisiteOf returns nothing for a field that is not known.
func prerequisiteOf(id openflow.FieldID) prerequisite {
	if i := id.Index(); i >= 0 {
		return namingByIndex[i].needs
	}
	return nothing
}
