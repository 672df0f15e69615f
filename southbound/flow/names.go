package flow

import (
	"fmt"
	"strconv"

	"github.com/macloom/macloom/southbound/openflow"
)

// kind is how ovs-ofctl writes the value of a field.
type kind uint8

const (
	decimal kind = iota
	hexadecimal
	ethernet
	ipv4
	ipv6
	port
	fragment
	packetType
	ctFlags // this and the next: words for bits, see words
	tcpFlags
	tunnelFlags
)

// naming is how ovs-ofctl calls a field, how it writes its values, and what
// Open vSwitch says of a match on it (meta-flow.h).
type naming struct {
	id       openflow.FieldID
	set      string // in set_field and in a match
	subfield string // as a part of which bits are loaded, moved or read: its NXM name, or OXM where it has none
	kind     kind
	masks    masking
	needs    prerequisite
	aka      []string // further names that are read: in lower case like set, in upper case like subfield
}

// masking says which masks a switch takes.
type masking bool

const (
	exact   masking = false
	bitwise masking = true
)

var namings = func() []naming {
	all := []naming{
		{openflow.PacketType, "packet_type", "OXM_OF_PACKET_TYPE", packetType, exact, nothing, nil},
		{openflow.DPHash, "dp_hash", "NXM_NX_DP_HASH", hexadecimal, bitwise, nothing, []string{"NXOXM_ET_DP_HASH"}},
		{openflow.RecircID, "recirc_id", "NXM_NX_RECIRC_ID", decimal, exact, nothing, nil},
		{openflow.ConjID, "conj_id", "NXM_NX_CONJ_ID", decimal, exact, nothing, nil},
		{openflow.InPort, "in_port_oxm", "OXM_OF_IN_PORT", port, exact, nothing, nil},
		{openflow.InPhyPort, "in_phy_port", "OXM_OF_IN_PHY_PORT", port, exact, nothing, nil},
		{openflow.ActsetOutput, "actset_output", "ONFOXM_ET_ACTSET_OUTPUT", port, exact, nothing, []string{"OXM_OF_ACTSET_OUTPUT"}},

		{openflow.EthSrc, "eth_src", "NXM_OF_ETH_SRC", ethernet, bitwise, isEthernet, []string{"dl_src", "OXM_OF_ETH_SRC"}},
		{openflow.EthDst, "eth_dst", "NXM_OF_ETH_DST", ethernet, bitwise, isEthernet, []string{"dl_dst", "OXM_OF_ETH_DST"}},
		{openflow.EthType, "eth_type", "NXM_OF_ETH_TYPE", hexadecimal, exact, isEthernet, []string{"dl_type", "OXM_OF_ETH_TYPE"}},
		{openflow.VLANVID, "vlan_vid", "OXM_OF_VLAN_VID", decimal, bitwise, isEthernet, nil},
		{openflow.VLANPCP, "vlan_pcp", "OXM_OF_VLAN_PCP", decimal, exact, isVLAN, nil},
		{openflow.MPLSLabel, "mpls_label", "OXM_OF_MPLS_LABEL", decimal, exact, isMPLS, nil},
		{openflow.MPLSTC, "mpls_tc", "OXM_OF_MPLS_TC", decimal, exact, isMPLS, nil},
		{openflow.MPLSBOS, "mpls_bos", "OXM_OF_MPLS_BOS", decimal, exact, isMPLS, nil},
		{openflow.MPLSTTL, "mpls_ttl", "NXM_NX_MPLS_TTL", decimal, exact, isMPLS, nil},
		{openflow.PBBISID, "pbb_isid", "OXM_OF_PBB_ISID", hexadecimal, bitwise, isPBB, nil},
		{openflow.PBBUCA, "pbb_uca", "OXM_OF_PBB_UCA", decimal, exact, isPBB, nil},

		{openflow.IPv4Src, "ip_src", "NXM_OF_IP_SRC", ipv4, bitwise, isIPv4, []string{"nw_src", "OXM_OF_IPV4_SRC"}},
		{openflow.IPv4Dst, "ip_dst", "NXM_OF_IP_DST", ipv4, bitwise, isIPv4, []string{"nw_dst", "OXM_OF_IPV4_DST"}},
		{openflow.IPv6Src, "ipv6_src", "NXM_NX_IPV6_SRC", ipv6, bitwise, isIPv6, []string{"OXM_OF_IPV6_SRC"}},
		{openflow.IPv6Dst, "ipv6_dst", "NXM_NX_IPV6_DST", ipv6, bitwise, isIPv6, []string{"OXM_OF_IPV6_DST"}},
		{openflow.IPv6Label, "ipv6_label", "NXM_NX_IPV6_LABEL", hexadecimal, bitwise, isIPv6, []string{"OXM_OF_IPV6_FLABEL"}},
		{openflow.IPv6ExtHdr, "ipv6_exthdr", "OXM_OF_IPV6_EXTHDR", hexadecimal, bitwise, isIPv6, nil},
		{openflow.IPProto, "nw_proto", "NXM_OF_IP_PROTO", decimal, exact, isIP, []string{"ip_proto", "OXM_OF_IP_PROTO"}},
		{openflow.IPDSCP, "ip_dscp", "OXM_OF_IP_DSCP", decimal, exact, isIP, nil},
		{openflow.IPECN, "nw_ecn", "NXM_NX_IP_ECN", decimal, exact, isIP, []string{"ip_ecn", "OXM_OF_IP_ECN"}},
		{openflow.IPTTL, "nw_ttl", "NXM_NX_IP_TTL", decimal, exact, isIP, nil},
		{openflow.IPFrag, "ip_frag", "NXM_NX_IP_FRAG", fragment, bitwise, isIP, []string{"nw_frag"}},

		{openflow.TCPSrc, "tcp_src", "NXM_OF_TCP_SRC", decimal, bitwise, isTCP, []string{"tp_src", "OXM_OF_TCP_SRC"}},
		{openflow.TCPDst, "tcp_dst", "NXM_OF_TCP_DST", decimal, bitwise, isTCP, []string{"tp_dst", "OXM_OF_TCP_DST"}},
		{openflow.TCPFlags, "tcp_flags", "NXM_NX_TCP_FLAGS", tcpFlags, bitwise, isTCP, []string{"ONFOXM_ET_TCP_FLAGS", "OXM_OF_TCP_FLAGS"}},
		{openflow.UDPSrc, "udp_src", "NXM_OF_UDP_SRC", decimal, bitwise, isUDP, []string{"OXM_OF_UDP_SRC"}},
		{openflow.UDPDst, "udp_dst", "NXM_OF_UDP_DST", decimal, bitwise, isUDP, []string{"OXM_OF_UDP_DST"}},
		{openflow.SCTPSrc, "sctp_src", "OXM_OF_SCTP_SRC", decimal, bitwise, isSCTP, nil},
		{openflow.SCTPDst, "sctp_dst", "OXM_OF_SCTP_DST", decimal, bitwise, isSCTP, nil},
		{openflow.ICMPType, "icmp_type", "NXM_OF_ICMP_TYPE", decimal, exact, isICMP, []string{"OXM_OF_ICMPV4_TYPE"}},
		{openflow.ICMPCode, "icmp_code", "NXM_OF_ICMP_CODE", decimal, exact, isICMP, []string{"OXM_OF_ICMPV4_CODE"}},
		{openflow.ICMP6Type, "icmpv6_type", "NXM_NX_ICMPV6_TYPE", decimal, exact, isICMP6, []string{"OXM_OF_ICMPV6_TYPE"}},
		{openflow.ICMP6Code, "icmpv6_code", "NXM_NX_ICMPV6_CODE", decimal, exact, isICMP6, []string{"OXM_OF_ICMPV6_CODE"}},
		{openflow.NDTarget, "nd_target", "NXM_NX_ND_TARGET", ipv6, bitwise, isND, []string{"OXM_OF_IPV6_ND_TARGET"}},
		{openflow.NDSLL, "nd_sll", "NXM_NX_ND_SLL", ethernet, bitwise, isSolicitation, []string{"OXM_OF_IPV6_ND_SLL"}},
		{openflow.NDTLL, "nd_tll", "NXM_NX_ND_TLL", ethernet, bitwise, isAdvertisement, []string{"OXM_OF_IPV6_ND_TLL"}},
		{openflow.NDReserved, "nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", decimal, exact, isND, nil},
		{openflow.NDOptionsType, "nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", decimal, exact, isND, nil},
		{openflow.ARPOp, "arp_op", "NXM_OF_ARP_OP", decimal, exact, isARP, []string{"OXM_OF_ARP_OP"}},
		{openflow.ARPSPA, "arp_spa", "NXM_OF_ARP_SPA", ipv4, bitwise, isARP, []string{"OXM_OF_ARP_SPA"}},
		{openflow.ARPTPA, "arp_tpa", "NXM_OF_ARP_TPA", ipv4, bitwise, isARP, []string{"OXM_OF_ARP_TPA"}},
		{openflow.ARPSHA, "arp_sha", "NXM_NX_ARP_SHA", ethernet, bitwise, isARP, []string{"OXM_OF_ARP_SHA"}},
		{openflow.ARPTHA, "arp_tha", "NXM_NX_ARP_THA", ethernet, bitwise, isARP, []string{"OXM_OF_ARP_THA"}},

		{openflow.TunnelID, "tun_id", "NXM_NX_TUN_ID", hexadecimal, bitwise, nothing, []string{"tunnel_id", "OXM_OF_TUNNEL_ID"}},
		{openflow.TunnelFlags, "tun_flags", "NXM_NX_TUN_FLAGS", tunnelFlags, bitwise, nothing, nil},
		{openflow.TunnelSrc, "tun_src", "NXM_NX_TUN_IPV4_SRC", ipv4, bitwise, nothing, nil},
		{openflow.TunnelDst, "tun_dst", "NXM_NX_TUN_IPV4_DST", ipv4, bitwise, nothing, nil},
		{openflow.TunnelIPv6Src, "tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", ipv6, bitwise, nothing, nil},
		{openflow.TunnelIPv6Dst, "tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", ipv6, bitwise, nothing, nil},
		{openflow.TunnelGBPID, "tun_gbp_id", "NXM_NX_TUN_GBP_ID", decimal, bitwise, nothing, nil},
		{openflow.TunnelGBPFlags, "tun_gbp_flags", "NXM_NX_TUN_GBP_FLAGS", hexadecimal, bitwise, nothing, nil},
		{openflow.ErspanIndex, "tun_erspan_idx", "NXOXM_ET_ERSPAN_IDX", hexadecimal, bitwise, nothing, nil},
		{openflow.ErspanVersion, "tun_erspan_ver", "NXOXM_ET_ERSPAN_VER", decimal, bitwise, nothing, nil},
		{openflow.ErspanDirection, "tun_erspan_dir", "NXOXM_ET_ERSPAN_DIR", decimal, bitwise, nothing, nil},
		{openflow.ErspanHardwareID, "tun_erspan_hwid", "NXOXM_ET_ERSPAN_HWID", hexadecimal, bitwise, nothing, nil},
		{openflow.GTPUFlags, "tun_gtpu_flags", "NXOXM_ET_GTPU_FLAGS", hexadecimal, bitwise, nothing, nil},
		{openflow.GTPUMessageType, "tun_gtpu_msgtype", "NXOXM_ET_GTPU_MSGTYPE", decimal, bitwise, nothing, nil},

		{openflow.NSHFlags, "nsh_flags", "NXOXM_NSH_FLAGS", decimal, bitwise, isNSH, nil},
		{openflow.NSHTTL, "nsh_ttl", "NXOXM_NSH_TTL", decimal, exact, isNSH, nil},
		{openflow.NSHMDType, "nsh_mdtype", "NXOXM_NSH_MDTYPE", decimal, exact, isNSH, nil},
		{openflow.NSHNextProto, "nsh_np", "NXOXM_NSH_NP", decimal, exact, isNSH, nil},
		{openflow.NSHPath, "nsh_spi", "NXOXM_NSH_SPI", hexadecimal, exact, isNSH, []string{"nsp"}},
		{openflow.NSHIndex, "nsh_si", "NXOXM_NSH_SI", decimal, exact, isNSH, []string{"nsi"}},

		{openflow.PktMark, "pkt_mark", "NXM_NX_PKT_MARK", hexadecimal, bitwise, nothing, nil},
		{openflow.CTState, "ct_state", "NXM_NX_CT_STATE", ctFlags, bitwise, nothing, nil},
		{openflow.CTZone, "ct_zone", "NXM_NX_CT_ZONE", hexadecimal, exact, nothing, nil},
		{openflow.CTMark, "ct_mark", "NXM_NX_CT_MARK", hexadecimal, bitwise, nothing, nil},
		{openflow.CTLabel, "ct_label", "NXM_NX_CT_LABEL", hexadecimal, bitwise, nothing, nil},
		{openflow.CTIPv4Src, "ct_nw_src", "NXM_NX_CT_NW_SRC", ipv4, bitwise, isTrackedIPv4, nil},
		{openflow.CTIPv4Dst, "ct_nw_dst", "NXM_NX_CT_NW_DST", ipv4, bitwise, isTrackedIPv4, nil},
		{openflow.CTIPv6Src, "ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", ipv6, bitwise, isTrackedIPv6, nil},
		{openflow.CTIPv6Dst, "ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", ipv6, bitwise, isTrackedIPv6, nil},
		{openflow.CTProto, "ct_nw_proto", "NXM_NX_CT_NW_PROTO", decimal, exact, isTracked, nil},
		{openflow.CTSrcPort, "ct_tp_src", "NXM_NX_CT_TP_SRC", decimal, bitwise, isTrackedProto, nil},
		{openflow.CTDstPort, "ct_tp_dst", "NXM_NX_CT_TP_DST", decimal, bitwise, isTrackedProto, nil},
		{openflow.Metadata, "metadata", "OXM_OF_METADATA", hexadecimal, bitwise, nothing, nil},

		{openflow.NXMInPort, "in_port", "NXM_OF_IN_PORT", port, exact, nothing, nil},
		{openflow.VLANTCI, "vlan_tci", "NXM_OF_VLAN_TCI", hexadecimal, bitwise, isEthernet, nil},
		{openflow.IPToS, "nw_tos", "NXM_OF_IP_TOS", decimal, exact, isIP, nil},
	}
	several := func(first openflow.FieldID, n, from int, set, subfield string, needs prerequisite, aka ...string) {
		for i := range n {
			number := strconv.Itoa(from + i)
			f := naming{first + openflow.FieldID(i), set + number, subfield + number, hexadecimal, bitwise, needs, nil}
			for _, name := range aka {
				f.aka = append(f.aka, name+number)
			}
			all = append(all, f)
		}
	}
	several(openflow.Reg0, registers, 0, "reg", "NXM_NX_REG", nothing)
	several(openflow.XReg0, registers/2, 0, "xreg", "OXM_OF_PKT_REG", nothing)
	several(openflow.XXReg0, registers/4, 0, "xxreg", "NXM_NX_XXREG", nothing)
	several(openflow.NSHContext1, 4, 1, "nsh_c", "NXOXM_NSH_C", isNSH, "nshc")
	return all
}()

var (
	namingByID       = map[openflow.FieldID]*naming{} // by OXM id and by NXM id
	namingBySet      = map[string]*naming{}
	namingBySubfield = map[string]*naming{}
	namingByIndex    = make([]*naming, openflow.NumFields())
)

func init() {
	for i := range namings {
		n := &namings[i]
		namingByIndex[n.id.Index()] = n
		namingByID[n.id] = n
		namingByID[n.id.NXM()] = n
		namingBySet[n.set] = n
		namingBySubfield[n.subfield] = n
		for _, name := range n.aka {
			if name[0] >= 'a' {
				namingBySet[name] = n
			} else {
				namingBySubfield[name] = n
			}
		}
	}
}

// FieldName returns what ovs-ofctl calls a field in a match.
func FieldName(id openflow.FieldID) string {
	if id == openflow.InPort {
		return "in_port" // only a set_field has to say which of the two it means
	}
	if n := namingByID[id]; n != nil {
		return n.set
	}
	return fmt.Sprintf("field 0x%04x/%d", id.Class(), id.Number())
}

// Reserved ports as ovs-ofctl writes them.
var (
	portNames = map[uint32]string{
		openflow.PortInPort: "IN_PORT", openflow.PortTable: "TABLE", openflow.PortNormal: "NORMAL", openflow.PortFlood: "FLOOD",
		openflow.PortAll: "ALL", openflow.PortController: "CONTROLLER", openflow.PortLocal: "LOCAL", openflow.PortAny: "ANY",
	}
	portNumbers = func() map[string]uint32 {
		m := make(map[string]uint32, len(portNames))
		for n, name := range portNames {
			m[name] = n
		}
		return m
	}()
)

// Flags as ovs-ofctl writes them, in its order.
var flagNames = []struct {
	flag openflow.FlowModFlags
	name string
}{
	{openflow.FlagSendFlowRem, "send_flow_rem"},
	{openflow.FlagCheckOverlap, "check_overlap"},
	{openflow.FlagResetCounts, "reset_counts"},
	{openflow.FlagNoPktCounts, "no_packet_counts"},
	{openflow.FlagNoByteCounts, "no_byte_counts"},
}

// Algorithms of ct(alg=) by their port.
var algNames = map[uint16]string{21: "ftp", 69: "tftp"}

// words returns the names of the bits of a kind from the lowest, nil if it has none. A switch knows
// no other bits of such a field.
func (k kind) words() []string {
	switch k {
	case ctFlags:
		return []string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}
	case tcpFlags:
		return []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"}
	case tunnelFlags:
		return []string{"oam"}
	}
	return nil
}

// fragments are the words of nw_frag: bit 0 says fragment, bit 1 not the first. The first with
// a value and mask is the one that is written.
var fragments = []struct {
	word        string
	value, mask uint8
}{
	{"no", 0, 0xff}, {"first", 1, 0xff}, {"later", 3, 0xff}, {"yes", 1, 1}, {"not_later", 0, 2},
}

// shorthands are the words for an ethertype and protocol (-1: any).
var shorthands = []struct {
	word       string
	eth, proto int
}{
	{"icmp", ethIPv4, protoICMP}, {"tcp", ethIPv4, protoTCP}, {"udp", ethIPv4, protoUDP}, {"sctp", ethIPv4, protoSCTP}, {"ip", ethIPv4, -1},
	{"icmp6", ethIPv6, protoICMP6}, {"tcp6", ethIPv6, protoTCP}, {"udp6", ethIPv6, protoUDP}, {"sctp6", ethIPv6, protoSCTP}, {"ipv6", ethIPv6, -1},
	{"arp", ethARP, -1}, {"rarp", ethRARP, -1}, {"mpls", ethMPLS, -1}, {"mplsm", ethMPLSMulticast, -1},
}

// furtherShorthands are read too.
var furtherShorthands = map[string]string{"ipv4": "ip", "ip4": "ip", "ip6": "ipv6"}
