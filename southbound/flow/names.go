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
)

// naming is how ovs-ofctl calls a field: in set_field, and as a part of which
// bits are loaded, moved or read (its NXM name, or OXM where it has none).
type naming struct {
	id       openflow.FieldID
	set      string
	subfield string
	kind     kind
}

var namings = func() []naming {
	all := []naming{
		{openflow.InPort, "in_port_oxm", "OXM_OF_IN_PORT", decimal},
		{openflow.Metadata, "metadata", "OXM_OF_METADATA", hexadecimal},
		{openflow.EthSrc, "eth_src", "NXM_OF_ETH_SRC", ethernet},
		{openflow.EthDst, "eth_dst", "NXM_OF_ETH_DST", ethernet},
		{openflow.EthType, "eth_type", "NXM_OF_ETH_TYPE", hexadecimal},
		{openflow.VLANVID, "vlan_vid", "OXM_OF_VLAN_VID", decimal},
		{openflow.VLANPCP, "vlan_pcp", "OXM_OF_VLAN_PCP", decimal},
		{openflow.VLANTCI, "vlan_tci", "NXM_OF_VLAN_TCI", hexadecimal},
		{openflow.IPDSCP, "ip_dscp", "OXM_OF_IP_DSCP", decimal},
		{openflow.IPECN, "nw_ecn", "NXM_NX_IP_ECN", decimal},
		{openflow.IPTTL, "nw_ttl", "NXM_NX_IP_TTL", decimal},
		{openflow.IPProto, "nw_proto", "NXM_OF_IP_PROTO", decimal},
		{openflow.IPv4Src, "ip_src", "NXM_OF_IP_SRC", ipv4},
		{openflow.IPv4Dst, "ip_dst", "NXM_OF_IP_DST", ipv4},
		{openflow.IPv6Src, "ipv6_src", "NXM_NX_IPV6_SRC", ipv6},
		{openflow.IPv6Dst, "ipv6_dst", "NXM_NX_IPV6_DST", ipv6},
		{openflow.IPv6Label, "ipv6_label", "NXM_NX_IPV6_LABEL", hexadecimal},
		{openflow.TCPSrc, "tcp_src", "NXM_OF_TCP_SRC", decimal},
		{openflow.TCPDst, "tcp_dst", "NXM_OF_TCP_DST", decimal},
		{openflow.UDPSrc, "udp_src", "NXM_OF_UDP_SRC", decimal},
		{openflow.UDPDst, "udp_dst", "NXM_OF_UDP_DST", decimal},
		{openflow.SCTPSrc, "sctp_src", "OXM_OF_SCTP_SRC", decimal},
		{openflow.SCTPDst, "sctp_dst", "OXM_OF_SCTP_DST", decimal},
		{openflow.ICMPType, "icmp_type", "NXM_OF_ICMP_TYPE", decimal},
		{openflow.ICMPCode, "icmp_code", "NXM_OF_ICMP_CODE", decimal},
		{openflow.ICMP6Type, "icmpv6_type", "NXM_NX_ICMPV6_TYPE", decimal},
		{openflow.ICMP6Code, "icmpv6_code", "NXM_NX_ICMPV6_CODE", decimal},
		{openflow.ARPOp, "arp_op", "NXM_OF_ARP_OP", decimal},
		{openflow.ARPSPA, "arp_spa", "NXM_OF_ARP_SPA", ipv4},
		{openflow.ARPTPA, "arp_tpa", "NXM_OF_ARP_TPA", ipv4},
		{openflow.ARPSHA, "arp_sha", "NXM_NX_ARP_SHA", ethernet},
		{openflow.ARPTHA, "arp_tha", "NXM_NX_ARP_THA", ethernet},
		{openflow.NDTarget, "nd_target", "NXM_NX_ND_TARGET", ipv6},
		{openflow.NDSLL, "nd_sll", "NXM_NX_ND_SLL", ethernet},
		{openflow.NDTLL, "nd_tll", "NXM_NX_ND_TLL", ethernet},
		{openflow.TunnelID, "tun_id", "NXM_NX_TUN_ID", hexadecimal},
		{openflow.TunnelSrc, "tun_src", "NXM_NX_TUN_IPV4_SRC", ipv4},
		{openflow.TunnelDst, "tun_dst", "NXM_NX_TUN_IPV4_DST", ipv4},
		{openflow.IPFrag, "ip_frag", "NXM_NX_IP_FRAG", hexadecimal},
		{openflow.PktMark, "pkt_mark", "NXM_NX_PKT_MARK", hexadecimal},
		{openflow.ConjID, "conj_id", "NXM_NX_CONJ_ID", decimal},
		{openflow.CTState, "ct_state", "NXM_NX_CT_STATE", hexadecimal},
		{openflow.CTZone, "ct_zone", "NXM_NX_CT_ZONE", hexadecimal},
		{openflow.CTMark, "ct_mark", "NXM_NX_CT_MARK", hexadecimal},
		{openflow.CTLabel, "ct_label", "NXM_NX_CT_LABEL", hexadecimal},
	}
	for i := range registers {
		all = append(all, naming{reg(i), "reg" + strconv.Itoa(i), "NXM_NX_REG" + strconv.Itoa(i), hexadecimal})
	}
	return all
}()

var (
	namingByID       = map[openflow.FieldID]*naming{} // by OXM id and by NXM id
	namingBySet      = map[string]*naming{}
	namingBySubfield = map[string]*naming{}
)

func init() {
	for i := range namings {
		n := &namings[i]
		namingByID[n.id] = n
		namingByID[n.id.NXM()] = n
		namingBySet[n.set] = n
		namingBySubfield[n.subfield] = n
	}
}

// fieldName names a field in messages.
func fieldName(id openflow.FieldID) string {
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

// ctStateNames are the bits of ct_state from the lowest.
var ctStateNames = [...]string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}

// Algorithms of ct(alg=) by their port.
var algNames = map[uint16]string{21: "ftp", 69: "tftp"}

// shorthands are the words for an ethertype and protocol (-1: any).
var shorthands = []struct {
	word       string
	eth, proto int
}{
	{"icmp", ethIPv4, protoICMP}, {"tcp", ethIPv4, protoTCP}, {"udp", ethIPv4, protoUDP}, {"sctp", ethIPv4, protoSCTP}, {"ip", ethIPv4, -1},
	{"icmp6", ethIPv6, protoICMP6}, {"tcp6", ethIPv6, protoTCP}, {"udp6", ethIPv6, protoUDP}, {"sctp6", ethIPv6, protoSCTP}, {"ipv6", ethIPv6, -1},
	{"arp", ethARP, -1}, {"rarp", ethRARP, -1}, {"mpls", 0x8847, -1}, {"mplsm", 0x8848, -1},
}
