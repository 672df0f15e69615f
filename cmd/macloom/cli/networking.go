package cli

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/controller/mac"
)

var (
	tenantsOf = collection{
		path: "tenants", single: "tenant", plural: "tenants", isID: func(string) bool { return false },
		names: []func(string) url.Values{by("id"), by("name")},
	}
	subnets          = collection{path: "subnets", single: "subnet", plural: "subnets", isID: isUUID, names: []func(string) url.Values{by("name"), byPrefix}}
	ports            = collection{path: "ports", single: "port", plural: "ports", isID: isUUID, names: []func(string) url.Values{byMAC, by("name")}}
	securityGroups   = collection{path: "security-groups", single: "security_group", plural: "security_groups", isID: isUUID, names: []func(string) url.Values{by("name")}}
	groupRules       = collection{path: "security-group-rules", single: "security_group_rule", plural: "security_group_rules", isID: isUUID}
	addressGroups    = collection{path: "address-groups", single: "address_group", plural: "address_groups", isID: isUUID, names: []func(string) url.Values{by("name")}}
	macAllowLists    = collection{path: "mac-allow-lists", single: "mac_allow_list", plural: "mac_allow_lists", isID: isUUID, names: []func(string) url.Values{by("name")}}
	affinityPools    = collection{path: "mac-affinity/pools", single: "affinity_pool", plural: "affinity_pools", isID: isUUID, names: []func(string) url.Values{by("name")}}
	affinityBackends = collection{path: "mac-affinity/backends", single: "affinity_backend", plural: "affinity_backends", isID: isUUID, names: []func(string) url.Values{by("name")}}
	qosPolicies      = collection{path: "qos/policies", single: "policy", plural: "policies", isID: isUUID, names: []func(string) url.Values{by("name")}}
)

func byPrefix(word string) url.Values {
	if _, err := netip.ParsePrefix(word); err != nil {
		return nil
	}
	return url.Values{"cidr": {word}}
}

func byMAC(word string) url.Values {
	if _, err := mac.Parse(word); err != nil {
		return nil
	}
	return url.Values{"mac_address": {word}}
}

// What several resources have.
var (
	nameWord      = &option{flag: "name", attribute: "name"}
	renamed       = textOption(onSet|onList, "name", "name", "the name")
	describedAs   = textOption(onWrite, "description", "description", "free text")
	ofTenant      = textOption(onCreate|onList, "tenant", "tenant_id", "the tenant that owns it; only administrators name another than their own")
	adminUp       = truthOption(onAll, "admin-up", "admin_state_up", "whether it carries traffic")
	onNetwork     = nameOption(onCreate|onList, "network", "network_id", networks, "the network that it is of")
	portSecurity  = truthOption(onWrite, "port-security", "port_security_enabled", "whether addresses are guarded and security groups obeyed")
	withQoSPolicy = nameOption(onWrite, "qos-policy", "qos_policy_id", qosPolicies, "the QoS policy").orNone()
)

// networking returns the commands of the Networking API.
func networking(env Environment) []*cobra.Command {
	var cmds []*cobra.Command
	for _, r := range []resource{tenantResource, networkResource, subnetResource, portResource, securityGroupResource, ruleResource, allowListResource, affinityPoolResource, affinityBackendResource, qosPolicyResource} {
		cmds = append(cmds, r.commands(env))
	}
	return cmds
}

var tenantResource = resource{
	collection: tenantsOf, use: "tenant", short: "Name the tenants, and disable them",
	columns: []string{"id", "name", "enabled", "description"},
	word:    &option{flag: "id", attribute: "id"},
	options: []option{
		textOption(onAll, "name", "name", "the name"), describedAs,
		truthOption(onWrite, "enabled", "enabled", "whether its tokens are taken"),
	},
	examples: map[string]string{"set": "  macloom tenant set demo --enabled=false"},
}

var networkResource = resource{
	collection: networks, use: "network", short: "Make networks and change them", word: nameWord,
	columns: []string{"id", "name", "tenant_id", "status", "admin_state_up", "mtu", "subnets"},
	options: []option{
		renamed, describedAs, ofTenant, adminUp, portSecurity, withQoSPolicy,
		textOption(onList, "status", "status", "only those of this status"),
		truthOption(onList, "shared", "shared", "only shared ones"),
		numberOption(onWrite, "mtu", "mtu", "largest packet that instances should send"),
		truthOption(onAll, "external", "router:external", "whether routers may use it as their gateway"),
		truthOption(onWrite, "default", "is_default", "whether it is the external network that is taken when none is named"),
		textOption(onWrite, "dns-domain", "dns_domain", "the domain of its ports, with a dot at the end"),
		textOption(onAll, "provider-type", "provider:network_type", "vxlan, vlan, flat, …; for administrators"),
		textOption(onAll, "provider-physical-network", "provider:physical_network", "the physical network of vlan and flat; for administrators"),
		numberOption(onAll, "provider-segment", "provider:segmentation_id", "VNI or VLAN; for administrators"),
	},
	examples: map[string]string{"create": "  macloom network create front --tenant demo --mtu 1400"},
}

var ipv6Modes = []string{"slaac", "dhcpv6-stateful", "dhcpv6-stateless"}

var subnetResource = resource{
	collection: subnets, use: "subnet", short: "Make subnets of networks and change them", word: nameWord,
	columns: []string{"id", "name", "tenant_id", "network_id", "cidr", "gateway_ip", "enable_dhcp"},
	options: []option{
		renamed, describedAs, ofTenant, onNetwork,
		textOption(onCreate|onList, "cidr", "cidr", "the prefix, such as 10.0.0.0/24"),
		numberOption(onCreate|onList, "ip-version", "ip_version", "4 or 6; follows from --cidr"),
		textOption(onAll, "gateway", "gateway_ip", "the router's address").orNone(),
		truthOption(onAll, "dhcp", "enable_dhcp", "whether instances may get their address by DHCP"),
		option{flag: "pool", attribute: "allocation_pools", doc: "addresses for ports, FIRST-LAST", on: onWrite, read: readPool}.repeated(),
		textOption(onWrite, "dns", "dns_nameservers", "a name server").repeated(),
		option{flag: "route", attribute: "host_routes", doc: "a route of instances, PREFIX=NEXTHOP", on: onWrite, read: readRoute}.repeated(),
		choiceOption(onCreate, "ipv6-address-mode", "ipv6_address_mode", "how instances get their address", ipv6Modes...),
		choiceOption(onCreate, "ipv6-ra-mode", "ipv6_ra_mode", "what routers announce", ipv6Modes...),
		textOption(onWrite, "service-type", "service_types", "the device owner whose ports get addresses of it").repeated(),
	},
	finish: func(_ *call, body map[string]any) error {
		text, _ := body["cidr"].(string)
		if prefix, err := netip.ParsePrefix(text); err == nil && body["ip_version"] == nil {
			body["ip_version"] = map[bool]int{true: 4, false: 6}[prefix.Addr().Is4()]
		}
		return nil
	},
	examples: map[string]string{"create": "  macloom subnet create front4 --network front --cidr 10.0.0.0/24 --pool 10.0.0.10-10.0.0.99 --dns 9.9.9.9"},
}

func readPool(_ *call, text string) (any, error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return nil, usage("--pool: %q is not FIRST-LAST", text)
	}
	return map[string]any{"start": first, "end": last}, nil
}

func readRoute(_ *call, text string) (any, error) {
	prefix, hop, ok := strings.Cut(text, "=")
	if !ok {
		return nil, usage("--route: %q is not PREFIX=NEXTHOP", text)
	}
	return map[string]any{"destination": prefix, "nexthop": hop}, nil
}

var portResource = resource{
	collection: ports, use: "port", short: "Make ports and change them", word: nameWord,
	columns: []string{"id", "name", "tenant_id", "network_id", "mac_address", "fixed_ips", "status", "device_id"},
	options: []option{
		renamed, describedAs, ofTenant, onNetwork, adminUp, portSecurity, withQoSPolicy,
		textOption(onList, "status", "status", "only those of this status"),
		textOption(onAll, "mac", "mac_address", "the MAC address"),
		option{flag: "ip", attribute: "fixed_ips", doc: "an IP address", on: onWrite, read: func(_ *call, text string) (any, error) {
			return map[string]any{"ip_address": text}, nil
		}}.repeated(),
		option{flag: "subnet", attribute: "fixed_ips", doc: "a subnet to choose an address of", on: onWrite, read: func(c *call, text string) (any, error) {
			id, err := subnets.find(c, text)
			return map[string]any{"subnet_id": id}, err
		}}.repeated(),
		{flag: "ip", attribute: "fixed_ips", doc: "only those with this address", on: onList, read: func(_ *call, text string) (any, error) { return "ip_address=" + text, nil }},
		{flag: "subnet", attribute: "fixed_ips", doc: "only those with an address of this subnet", on: onList, read: func(c *call, text string) (any, error) {
			id, err := subnets.find(c, text)
			return "subnet_id=" + id, err
		}},
		nameOption(onWrite, "security-group", "security_groups", securityGroups, "a security group that it obeys").repeated(),
		nameOption(onList, "security-group", "security_groups", securityGroups, "only those that obey this group"),
		textOption(onAll, "device", "device_id", "the instance that uses it"),
		textOption(onAll, "device-owner", "device_owner", "what kind of service uses it"),
		nameOption(onWrite, "host", "binding:host_id", switches, "the switch that it is plugged into; for administrators"),
		nameOption(onList, "host", "binding:host_id", switches, "only those of this switch"),
		{flag: "interface", attribute: "binding:profile", doc: "the interface of the switch, with --host", on: onWrite, read: func(_ *call, text string) (any, error) {
			return map[string]any{"interface_name": text}, nil
		}},
		option{flag: "pair", attribute: "allowed_address_pairs", doc: "an address that it may use besides, IP or IP=MAC or IP=MACPREFIX", on: onWrite, read: readPair}.repeated(),
		textOption(onWrite, "dns-name", "dns_name", "its name in the domain of the network"),
	},
	deletion: []option{{flag: "keep-mac", attribute: "keep_mac", doc: "reserve the MAC for the next port of the same device on the same network"}},
	examples: map[string]string{
		"create": "  macloom port create web-1 --network front --device web-1 --security-group web\n  macloom port create --network front --subnet front4 --ip 2001:db8::7",
		"list":   "  macloom port list --network front --status ACTIVE -o csv --columns name,mac_address",
	},
}

func readPair(_ *call, text string) (any, error) {
	ip, station, ok := strings.Cut(text, "=")
	pair := map[string]any{"ip_address": ip}
	if ok {
		pair["mac_address"] = station
	}
	return pair, nil
}

var securityGroupResource = resource{
	collection: securityGroups, use: "security-group", short: "Make security groups and change them", word: nameWord, wordNeeded: true,
	columns: []string{"id", "name", "tenant_id", "description"},
	options: []option{renamed, describedAs, ofTenant, truthOption(onWrite, "stateful", "stateful", "whether answers pass by themselves")},
}

var ruleResource = resource{
	collection: groupRules, use: "security-group-rule", short: "Allow traffic by rules of security groups",
	columns: []string{"id", "security_group_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id"},
	word:    &option{flag: "security-group", attribute: "security_group_id", read: func(c *call, text string) (any, error) { return securityGroups.find(c, text) }}, wordNeeded: true,
	options: []option{
		describedAs, ofTenant,
		nameOption(onList, "security-group", "security_group_id", securityGroups, "only those of this group"),
		choiceOption(onCreate|onList, "direction", "direction", "towards the instance or from it", "ingress", "egress"),
		choiceOption(onCreate|onList, "ethertype", "ethertype", "the address family", "IPv4", "IPv6"),
		textOption(onCreate|onList, "protocol", "protocol", "name or number"),
		{flag: "port", doc: "PORT or FIRST:LAST; of ICMP, TYPE or TYPE:CODE", on: onCreate, attribute: portRange},
		textOption(onCreate|onList, "remote-ip", "remote_ip_prefix", "the other side's addresses"),
		nameOption(onCreate|onList, "remote-group", "remote_group_id", securityGroups, "the security group of the other side"),
		nameOption(onCreate|onList, "remote-address-group", "remote_address_group_id", addressGroups, "the address group of the other side"),
		textOption(onCreate|onList, "remote-mac", "remote_mac", "the other side's MAC address"),
		nameOption(onCreate|onList, "remote-mac-segment", "remote_mac_segment_id", segments, "the MAC segment that the other side's address is of"),
	},
	finish:   completeRule,
	examples: map[string]string{"create": "  macloom security-group-rule create web --protocol tcp --port 80:81 --remote-ip 0.0.0.0/0"},
}

var allowListResource = resource{
	collection: macAllowLists, use: "mac-allow-list", short: "Say which MAC addresses may attach to networks", word: nameWord,
	columns: []string{"id", "name", "tenant_id", "network_id", "entries"},
	options: []option{
		renamed, describedAs, ofTenant, onNetwork,
		option{flag: "mac", attribute: "entries", doc: "a MAC address or prefix (BASE/BITS) that may attach", on: onWrite, read: readAllowed}.repeated(),
		option{flag: "segment", attribute: "entries", doc: "a MAC segment whose addresses may attach", on: onWrite, read: func(c *call, text string) (any, error) {
			id, err := segments.find(c, text)
			return map[string]any{"mac_segment_id": id}, err
		}}.repeated(),
	},
	examples: map[string]string{"create": "  macloom mac-allow-list create lab --network front --segment 02:00:05:00:00:00/24 --mac 52:54:00:00:00:00/24"},
}

func readAllowed(_ *call, text string) (any, error) {
	if strings.Contains(text, "/") {
		return map[string]any{"prefix": text}, nil
	}
	return map[string]any{"mac_address": text}, nil
}

// portRange is no attribute: completeRule makes two of it.
const portRange = "port_range"

// completeRule reads the range of ports, and takes ingress and the family of
// --remote-ip for meant.
func completeRule(_ *call, body map[string]any) error {
	if body["direction"] == nil {
		body["direction"] = "ingress"
	}
	if remote, _ := body["remote_ip_prefix"].(string); body["ethertype"] == nil && strings.Contains(remote, ":") {
		body["ethertype"] = "IPv6"
	}
	text, ok := body[portRange].(string)
	if !ok {
		return nil
	}
	delete(body, portRange)
	first, last, several := strings.Cut(text, ":")
	protocol, _ := body["protocol"].(string)
	if icmp := strings.Contains(strings.ToLower(protocol), "icmp"); !several && !icmp {
		last, several = first, true
	}
	for _, end := range []struct {
		attribute, text string
		given           bool
	}{{"port_range_min", first, true}, {"port_range_max", last, several}} {
		if !end.given {
			continue
		}
		n, err := strconv.ParseUint(end.text, 10, 16)
		if err != nil {
			return usage("--port: %q is not PORT or FIRST:LAST", text)
		}
		body[end.attribute] = n
	}
	return nil
}
