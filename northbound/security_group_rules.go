package northbound

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func ruleMeta(r *intent.Rule) *intent.Meta { return &r.Meta }

var ruleAttributes = standard(ruleMeta,
	stored("security_group_id", named(id, store.KindSecurityGroup), func(r *intent.Rule) *string { return &r.GroupID }, access{post: required, filter: true, sort: true}, "The group that it belongs to."),
	stored("direction", oneOf(intent.Ingress, intent.Egress), func(r *intent.Rule) *intent.Direction { return &r.Direction }, access{post: required, filter: true, sort: true},
		"`ingress` is towards the instance."),
	stored("ethertype", oneOf(intent.IPv4, intent.IPv6), func(r *intent.Rule) *intent.EtherType { return &r.EtherType }, access{post: optional, def: `"IPv4"`, filter: true, sort: true},
		"The address family."),
	stored("protocol", protocol, func(r *intent.Rule) *string { return &r.ProtocolName }, access{post: optional, filter: true, sort: true},
		"IP protocol; null: any. `icmpv6`, and `icmp` of IPv6, are kept as `ipv6-icmp`."),
	stored("port_range_min", portNumber("port_range_min"), func(r *intent.Rule) **uint16 { return &r.PortMin }, access{post: optional, filter: true, sort: true},
		"First port of TCP, UDP or SCTP; for ICMP the type. Needs `protocol`. Also taken for DCCP and UDP-Lite, where a switch cannot match ports: such a rule admits nothing."),
	stored("port_range_max", portNumber("port_range_max"), func(r *intent.Rule) **uint16 { return &r.PortMax }, access{post: optional, filter: true, sort: true},
		"Last port; for ICMP the code."),
	stored("remote_ip_prefix", remotePrefix, func(r *intent.Rule) *netip.Prefix { return &r.RemotePrefix }, access{post: optional, filter: true, sort: true},
		"The other side's addresses; null: any."),
	derived("normalized_cidr", remotePrefix, func(r *intent.Rule) netip.Prefix { return r.RemotePrefix.Masked() }, access{filter: true, sort: true},
		"`remote_ip_prefix` without its host bits."),
	stored("remote_group_id", named(idOrNull, store.KindSecurityGroup), func(r *intent.Rule) *string { return &r.RemoteGroupID }, access{post: optional, filter: true, sort: true},
		"The other side is a port of this group; not together with `remote_ip_prefix`."),
	stored("remote_address_group_id", named(idOrNull, store.KindAddressGroup), func(r *intent.Rule) *string { return &r.RemoteAddressGroupID }, access{post: optional, filter: true},
		"The other side is in this address group; not together with another remote."),
	stored("remote_mac", macOrNull, func(r *intent.Rule) *mac.Addr { return &r.RemoteMAC }, access{post: optional, filter: true},
		"The other side's MAC address, beside what else is asked of it: source at ingress, destination at egress; null: any."),
	stored("remote_mac_segment_id", idOrNull, func(r *intent.Rule) *string { return &r.RemoteSegmentID }, access{post: optional, filter: true},
		"The other side's MAC address is of this MAC segment, one's own or a shared one; not together with `remote_mac`."),
)

func securityGroupRules(st *store.Store) *collection[intent.Rule] {
	return &collection[intent.Rule]{
		single: "security_group_rule", plural: "security_group_rules", path: "security-group-rules",
		doc:        "A rule allows traffic of the ports of its group. A rule cannot be changed but for its description; make another and delete this one.",
		attributes: ruleAttributes,
		meta:       ruleMeta,
		check:      checkRule,
		stream:     st.EachRule,
		backend:    backend[intent.Rule]{st.Rules, st.Rule, st.CreateRules, st.UpdateRule, st.DeleteRule},
	}
}

// Numbers of IP protocols, by the names that the API takes.
var protocolNumbers = map[string]uint8{
	"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0, "ipip": 4,
	"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
	"ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}

const (
	protoICMP   = 1
	protoICMPv6 = 58
)

var (
	protocolsOfIPv6     = []uint8{41, 43, 44, 58, 59, 60}
	protocolsWithPorts  = []uint8{6, 17, 33, 132, 136} // no switch can match the ports of DCCP and UDP-Lite: such a rule admits nothing
	protocolsInWords    = "ah, dccp, egp, esp, gre, hopopt, icmp, icmpv6, igmp, ip, ipip, ipv6-encap, ipv6-frag, ipv6-icmp, ipv6-nonxt, ipv6-opts, ipv6-route, ospf, pgm, rsvp, sctp, tcp, udp, udplite, vrrp"
	protocolOfAnyPacket = uint8(0) // Neutron takes "ip" and 0 for any
)

var (
	protocolNames = chosen("string", slices.Sorted(maps.Keys(protocolNumbers))...)
	protocolText  = matching(`^(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$`)
)

// protocol is a name, a number from 0 to 255 (kept as its text) or null.
var protocol = valueType[string]{
	name:  "protocol name, 0 to 255, or null",
	shows: anyOf(protocolNames, protocolText, schema{"type": "null"}),
	takes: anyOf(protocolNames, protocolText, between(0, 255), schema{"type": "null"}),
	parse: func(v any) (string, error) {
		var s string
		switch v := v.(type) {
		case nil:
			return "", nil
		case json.Number:
			s = v.String()
		case string:
			s = strings.ToLower(v)
		}
		if _, ok := protocolNumbers[s]; ok {
			return s, nil
		}
		if n, err := readInt(s, 0, 255); err == nil {
			return strconv.FormatInt(n, 10), nil
		}
		return "", invalid("SecurityGroupRuleInvalidProtocol", "Security group rule protocol %s not supported. Only protocol values %s and integer representations [0 to 255] are supported.", show(v), protocolsInWords)
	},
	append: func(b []byte, s string) []byte {
		if s == "" {
			return append(b, "null"...)
		}
		return appendString(b, s)
	},
	filter: func(s string) (string, bool, error) { return strings.ToLower(s), true, nil },
}

// portNumber is 0 to 65535 or null.
func portNumber(attr string) valueType[*uint16] {
	return valueType[*uint16]{
		name:  "integer, 0 to 65535, or null",
		shows: between(0, 65535).orNull(),
		parse: func(v any) (*uint16, error) {
			if v == nil {
				return nil, nil
			}
			n, err := readInt(v, 0, 65535)
			if err != nil {
				return nil, invalid("SecurityGroupInvalidPortValue", "Invalid value for port %s (%s).", strings.Trim(show(v), "'"), attr)
			}
			port := uint16(n)
			return &port, nil
		},
		append: func(b []byte, v *uint16) []byte {
			if v == nil {
				return append(b, "null"...)
			}
			return strconv.AppendUint(b, uint64(*v), 10)
		},
		filter: number[int](0, 65535).filter,
	}
}

// named makes a type of ids one that takes any text, as Neutron does of groups
// in rules: what is no id is the name of no group, which is 404 and not 400.
func named(t valueType[string], kind store.Kind) valueType[string] {
	parse := t.parse
	t.parse = func(v any) (string, error) {
		canonical, err := parse(v)
		if name, ok := v.(string); ok && err != nil {
			return "", missing(kind, name)
		}
		return canonical, err
	}
	return t
}

func checkRule(before, r *intent.Rule, _ given) error {
	if before != nil {
		return nil // only the description has changed
	}
	if err := checkProtocol(r); err != nil {
		return err
	}
	remotes := 0
	for _, has := range []bool{r.RemotePrefix.IsValid(), r.RemoteGroupID != "", r.RemoteAddressGroupID != ""} {
		if has {
			remotes++
		}
	}
	if remotes > 1 {
		return invalid("SecurityGroupMultipleRemoteEntites", "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
	}
	if r.RemotePrefix.IsValid() && r.RemotePrefix.Addr().Is4() != (r.EtherType == intent.IPv4) {
		return invalid("SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s (remote_ip_prefix)", r.EtherType, r.RemotePrefix)
	}
	if r.RemoteMAC != 0 && r.RemoteSegmentID != "" {
		return invalid("SecurityGroupMultipleRemoteEntites", "Only remote_mac or remote_mac_segment_id may be provided.")
	}
	return checkPortRange(r)
}

// checkProtocol finds the number of the protocol and settles its name.
func checkProtocol(r *intent.Rule) error {
	if r.ProtocolName == "" {
		return nil
	}
	if r.ProtocolName == "icmpv6" || r.ProtocolName == "icmp" && r.EtherType == intent.IPv6 {
		r.ProtocolName = "ipv6-icmp"
	}
	n, ok := protocolNumbers[r.ProtocolName]
	if !ok {
		v, err := strconv.ParseUint(r.ProtocolName, 10, 8)
		if err != nil {
			return invalidValue("protocol", "%s is no protocol", show(r.ProtocolName))
		}
		n = uint8(v)
	}
	if r.EtherType == intent.IPv4 && slices.Contains(protocolsOfIPv6, n) {
		return invalid("SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", r.EtherType, r.ProtocolName)
	}
	if n != protocolOfAnyPacket {
		r.Protocol = &n
	}
	return nil
}

func checkPortRange(r *intent.Rule) error {
	lowest, highest := r.PortMin, r.PortMax
	switch {
	case lowest == nil && highest == nil:
		return nil
	case r.Protocol == nil:
		return invalid("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given (port_range_min, port_range_max).")
	case *r.Protocol == protoICMP || *r.Protocol == protoICMPv6:
		return checkICMP(lowest, highest)
	case !slices.Contains(protocolsWithPorts, *r.Protocol):
		return invalid("SecurityGroupInvalidProtocolForPort",
			"Invalid protocol %s for port range (port_range_min, port_range_max), only supported for TCP, UDP, UDPLITE, SCTP and DCCP.", r.ProtocolName)
	case lowest == nil || highest == nil || *highest < *lowest:
		return invalid("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max, and both must be given.")
	case *lowest == 0:
		return invalid("SecurityGroupInvalidPortValue", "Invalid value for port 0 (port_range_min).")
	}
	return nil
}

func checkICMP(kind, code *uint16) error {
	if kind == nil {
		return invalid("SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing (port_range_min).", *code)
	}
	for _, f := range []struct {
		attr, word string
		value      *uint16
	}{{"port_range_min", "type", kind}, {"port_range_max", "code", code}} {
		if f.value != nil && *f.value > 255 {
			return invalid("SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", f.word, f.attr, *f.value)
		}
	}
	return nil
}
