package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/macloom/macloom/controller/mac"
)

// again says that a transaction was broken off for the sake of another one.
func again(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return true
		case "23514":
			// Without the name of a check it is a row that does not fit its
			// partition: the right one was made while the row was on its way.
			return pg.ConstraintName == ""
		}
		return false
	}
	return errors.Is(err, errAgain)
}

// isUnavailable says that the server was not reached or went away.
func isUnavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "57P01", "57P02", "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
			"53300",          // too_many_connections
			"25P03", "57P05": // idle_in_transaction_session_timeout, idle_session_timeout
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // connection exceptions
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool")
}

// unavailable makes a lost server ErrUnavailable and leaves other errors.
func unavailable(err error) error {
	if isUnavailable(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// mapError gives what PostgreSQL reports the words of the API. Errors that are
// not PostgreSQL's pass as they are.
func mapError(err error) error {
	if err == nil {
		return nil
	}
	if again(err) {
		return fmt.Errorf("%w: too many others change the same objects: %w", ErrUnavailable, err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || isUnavailable(err) {
		return unavailable(err)
	}
	switch pg.Code {
	case "23503":
		if ref, known := references[pg.ConstraintName]; known {
			return ref.violated(pg)
		}
	case "23505", "23P01":
		if conflict, known := conflicts[pg.ConstraintName]; known {
			return conflict(keyOf(pg))
		}
	case "23514":
		if pg.ConstraintName == "quotas_exceeded" {
			return overQuota(pg.Detail)
		}
		if e, known := checks[pg.ConstraintName]; known {
			return &Invalid{Attr: e.Attr, Message: e.Message}
		}
		if attr, ok := strings.CutSuffix(strings.TrimPrefix(pg.ConstraintName, pg.TableName+"_"), "_length"); ok {
			return &Invalid{Attr: attr, Message: attr + " has more than 255 characters"}
		}
	case "22021": // character_not_in_repertoire
		return &Invalid{Message: "a text holds the NUL character or is not UTF-8"}
	}
	return fmt.Errorf("store: %w", err)
}

// reference is a foreign key in words.
type reference struct {
	kind Kind   // what is referred to
	by   string // what refers to it
}

// references by constraint.
var references = map[string]reference{
	"networks_tenant_fkey":                           {KindTenant, "networks"},
	"subnets_tenant_fkey":                            {KindTenant, "subnets"},
	"mac_segments_tenant_fkey":                       {KindTenant, "MAC segments"},
	"security_groups_tenant_fkey":                    {KindTenant, "security groups"},
	"security_group_rules_tenant_fkey":               {KindTenant, "security group rules"},
	"ports_tenant_fkey":                              {KindTenant, "ports"},
	"subnets_network_fkey":                           {KindNetwork, "subnets"},
	"mac_segments_network_fkey":                      {KindNetwork, "MAC segments"},
	"ports_network_fkey":                             {KindNetwork, "ports"},
	"mac_allow_lists_tenant_fkey":                    {KindTenant, "MAC allow lists"},
	"mac_allow_lists_network_fkey":                   {KindNetwork, "MAC allow lists"},
	"mac_allow_list_entries_segment_fkey":            {KindSegment, "MAC allow lists"},
	"mac_guards_network_fkey":                        {KindNetwork, "settings of the MAC guard"},
	"affinity_pools_tenant_fkey":                     {KindTenant, "affinity pools"},
	"affinity_pools_network_fkey":                    {KindNetwork, "affinity pools"},
	"affinity_pools_vip_port_fkey":                   {KindPort, "affinity pools"},
	"affinity_backends_tenant_fkey":                  {KindTenant, "affinity backends"},
	"affinity_backends_pool_fkey":                    {KindAffinityPool, "affinity backends"},
	"affinity_backends_port_fkey":                    {KindPort, "affinity backends"},
	"mac_segments_parent_fkey":                       {KindSegment, "MAC segments inside it"},
	"mac_addresses_segment_fkey":                     {KindSegment, "addresses"},
	"mac_leases_segment_fkey":                        {KindSegment, "leases"},
	"quotas_tenant_fkey":                             {KindTenant, "quotas"},
	"subnet_pools_subnet_fkey":                       {KindSubnet, "allocation pools"},
	"fixed_ips_subnet_fkey":                          {KindSubnet, "addresses of ports"},
	"port_security_groups_group_fkey":                {KindSecurityGroup, "ports"},
	"security_group_rules_group_fkey":                {KindSecurityGroup, "security group rules"},
	"security_group_rules_remote_group_fkey":         {KindSecurityGroup, "security group rules"},
	"metering_labels_tenant_fkey":                    {KindTenant, "metering labels"},
	"metering_label_rules_tenant_fkey":               {KindTenant, "metering label rules"},
	"metering_label_rules_label_fkey":                {KindMeteringLabel, "metering label rules"},
	"flavor_profiles_flavor_fkey":                    {KindFlavor, "service profiles"},
	"flavor_profiles_profile_fkey":                   {KindServiceProfile, "flavors"},
	"trunks_tenant_fkey":                             {KindTenant, "trunks"},
	"trunks_port_fkey":                               {KindPort, "a trunk, as its parent"},
	"trunk_subports_port_fkey":                       {KindPort, "a trunk"},
	"trunk_subports_trunk_fkey":                      {KindTrunk, "sub-ports"},
	"qos_policies_tenant_fkey":                       {KindTenant, "QoS policies"},
	"qos_rules_tenant_fkey":                          {KindTenant, "QoS rules"},
	"qos_rules_policy_fkey":                          {KindQoSPolicy, "QoS rules"},
	"networks_qos_policy_fkey":                       {KindQoSPolicy, "networks"},
	"ports_qos_policy_fkey":                          {KindQoSPolicy, "ports"},
	"mac_segments_qos_policy_fkey":                   {KindQoSPolicy, "MAC segments"},
	"fixed_ips_port_fkey":                            {KindPort, "addresses"},
	"port_security_groups_port_fkey":                 {KindPort, "security groups"},
	"address_groups_tenant_fkey":                     {KindTenant, "address groups"},
	"address_scopes_tenant_fkey":                     {KindTenant, "address scopes"},
	"subnetpools_tenant_fkey":                        {KindTenant, "subnet pools"},
	"subnetpools_address_scope_fkey":                 {KindAddressScope, "subnet pools"},
	"subnets_subnetpool_fkey":                        {KindSubnetPool, "subnets"},
	"rbac_policies_tenant_fkey":                      {KindTenant, "RBAC policies"},
	"rbac_policies_network_fkey":                     {KindNetwork, "RBAC policies"},
	"rbac_policies_security_group_fkey":              {KindSecurityGroup, "RBAC policies"},
	"rbac_policies_address_group_fkey":               {KindAddressGroup, "RBAC policies"},
	"rbac_policies_address_scope_fkey":               {KindAddressScope, "RBAC policies"},
	"rbac_policies_subnetpool_fkey":                  {KindSubnetPool, "RBAC policies"},
	"rbac_policies_qos_policy_fkey":                  {KindQoSPolicy, "RBAC policies"},
	"ports_network_owner_fkey":                       {KindNetwork, "ports"},
	"security_group_rules_remote_address_group_fkey": {KindAddressGroup, "security group rules"},
	"security_group_rules_remote_segment_fkey":       {KindSegment, "security group rules"},
}

// violated tells the two sides apart: the row that refers is missing its
// object, or the object is still referred to. The first column that is referred
// to is always called id, and no column that refers is called so.
func (r reference) violated(pg *pgconn.PgError) error {
	key := keyOf(pg)
	first, _, _ := strings.Cut(key.columns, ", ")
	id, _, _ := strings.Cut(key.values, ", ")
	if first == "id" {
		return &InUse{Kind: r.kind, ID: id, By: r.by}
	}
	return &NotFound{Kind: r.kind, ID: id}
}

// key is what the detail of an error says of the row: "Key (a, b)=(1, 2) …",
// in whatever language the rest is.
type key struct{ columns, values string }

func keyOf(pg *pgconn.PgError) key {
	columns, rest, ok := strings.Cut(pg.Detail, ")=(")
	if !ok {
		return key{}
	}
	_, columns, _ = strings.Cut(columns, "(")
	if end := strings.Index(rest, ") "); end >= 0 {
		rest = rest[:end]
	}
	return key{columns: columns, values: strings.TrimSuffix(rest, ").")}
}

// last is the last value of the key.
func (k key) last() string {
	return k.values[strings.LastIndex(k.values, " ")+1:]
}

func macOf(decimal string) string {
	n, err := strconv.ParseUint(decimal, 10, 48)
	if err != nil {
		return decimal
	}
	return mac.Addr(n).String()
}

// conflicts by unique and exclusion constraint.
var conflicts = map[string]func(key) error{
	"tenants_pkey": func(k key) error {
		return &Conflict{"TenantExists", "id", fmt.Sprintf("tenant %s exists already", k.values)}
	},
	"networks_vni_key": func(k key) error {
		return &Conflict{"TunnelIdInUse", "provider:segmentation_id",
			fmt.Sprintf("Unable to create the network. The tunnel ID %s (provider:segmentation_id) is in use.", k.values)}
	},
	"networks_tunnel_key": func(k key) error {
		return &Conflict{"TunnelIdInUse", "provider:segmentation_id",
			fmt.Sprintf("Unable to create the network. The tunnel ID %s (provider:segmentation_id) is in use.", k.last())}
	},
	"networks_vlan_key": func(k key) error {
		physical, _, _ := strings.Cut(k.values, ", ")
		return &Conflict{"VlanIdInUse", "provider:segmentation_id",
			fmt.Sprintf("Unable to create the network. The VLAN %s (provider:segmentation_id) on physical network %s is in use.", k.last(), physical)}
	},
	"networks_flat_key": func(k key) error {
		return &Conflict{"FlatNetworkInUse", "provider:physical_network",
			fmt.Sprintf("Unable to create the flat network. Physical network %s (provider:physical_network) is in use.", k.values)}
	},
	"networks_default_key": func(key) error {
		return &Conflict{"DefaultExternalNetworkExists", "is_default", "A default external network already exists (is_default)."}
	},
	"subnets_no_overlap": func(key) error {
		return &Invalid{"cidr", "Invalid input for cidr. Reason: the requested cidr overlaps with another subnet of the network"}
	},
	"subnets_subnetpool_no_overlap": func(key) error {
		return &Conflict{"SubnetAllocationError", "cidr", "Failed to allocate subnet: cidr overlaps with another subnet of the pool."}
	},
	"subnetpools_default_key": func(key) error {
		return &Invalid{"is_default", "A default subnetpool for this IP family has already been set. Only one default may exist per IP family (is_default)"}
	},
	"rbac_policies_no_duplicate": func(key) error {
		return &Conflict{"DuplicateRbacPolicy", "target_tenant", "An RBAC policy already exists with those values."}
	},
	"subnetpool_prefixes_one_space": func(key) error {
		return &Conflict{"AddressScopePrefixConflict", "prefixes", "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."}
	},
	"subnet_pools_no_overlap": overlappingPools,
	"subnet_pools_pkey":       overlappingPools,
	"mac_segments_no_overlap": overlappingSegments, "mac_segments_roots_no_overlap": overlappingSegments,
	"security_groups_default_key": func(key) error {
		return &Conflict{"SecurityGroupDefaultAlreadyExists", "name", "Default security group already exists."}
	},
	"security_group_rules_no_duplicate": func(key) error {
		return &Conflict{"SecurityGroupRuleExists", "", "Security group rule already exists: the group has one with the same direction, ethertype, protocol, ports and remote."}
	},
	"metering_label_rules_no_overlap": func(key) error {
		return &Conflict{"MeteringLabelRuleOverlaps", "remote_ip_prefix", "Metering label rule with that remote_ip_prefix overlaps another."}
	},
	"affinity_pools_vip_key": func(k key) error {
		return &Conflict{"AffinityVipInUse", "vip_address", fmt.Sprintf("Another affinity pool has port %s of this vip_address.", k.last())}
	},
	"affinity_backends_port_key": duplicateBackend, "affinity_backends_address_key": duplicateBackend,
	"trunks_port_key": func(k key) error {
		return &Conflict{"PortInUseAsTrunkParent", "port_id", fmt.Sprintf("Port %s is currently a parent port for another trunk.", k.values)}
	},
	"trunk_subports_pkey": func(k key) error {
		return &Conflict{"PortInUseAsSubPort", "sub_ports", fmt.Sprintf("Port %s is currently a sub-port for another trunk.", k.values)}
	},
	"trunk_subports_segmentation_key": func(k key) error {
		return &Conflict{"DuplicateSubPort", "sub_ports", fmt.Sprintf("segmentation_type vlan and segmentation_id %s already in use on the trunk.", k.last())}
	},
	"qos_policies_default_key": func(k key) error {
		return &Conflict{"QoSPolicyDefaultAlreadyExists", "is_default", fmt.Sprintf("A default QoS policy exists for project %s.", k.values)}
	},
	"qos_rules_no_conflict": func(key) error {
		return &Conflict{"QoSRulesConflict", "direction", "the policy has a rule of the same type and direction already"}
	},
	"blocks_key": func(key) error {
		return &Conflict{blockExists, "mac_address", "a block of the same mac_address, switch and port exists already; DELETE lifts it"}
	},
	"mac_guards_network_key": func(key) error {
		return &Conflict{"MacGuardExists", "network_id", "there are settings of the MAC guard for this network_id already; change these"}
	},
	"switches_pkey": func(k key) error {
		return &Conflict{"SwitchExists", "id", fmt.Sprintf("switch %s is known already; change its admitted", k.values)}
	},
	"ports_binding_interface_key": bindingInUse, "ports_binding_port_no_key": bindingInUse,
	"mac_addresses_pkey": func(k key) error { return macInUse("mac_address", macOf(k.values)) },
	"fixed_ips_pkey": func(k key) error {
		return &Conflict{"IpAddressAlreadyAllocated", "fixed_ips", fmt.Sprintf("ip_address %s in fixed_ips is in use in its subnet", k.last())}
	},
}

const blockExists = "BlockExists"

func macInUse(attr, address string) error {
	return &Conflict{"MacAddressInUse", attr, fmt.Sprintf("%s %s is in use by another port", attr, address)}
}

func duplicateBackend(k key) error {
	return &Conflict{"AffinityBackendExists", "protocol_port", fmt.Sprintf("The pool has a backend with this port_id or address and protocol_port %s already.", k.last())}
}

func overlappingPools(key) error {
	return &Conflict{"OverlappingAllocationPools", "allocation_pools", "two ranges of allocation_pools overlap"}
}

func overlappingSegments(key) error {
	return &Conflict{"MacSegmentOverlap", "base_address",
		"the block of base_address and prefix_length overlaps with another MAC segment; segments may only nest"}
}

func bindingInUse(k key) error {
	return &Conflict{"SwitchPortInUse", "binding:profile", fmt.Sprintf(
		"binding:profile names %s of switch %s, which another port is bound to", k.last(), strings.TrimSuffix(k.values, ", "+k.last()))}
}

// checks by constraint, where the name alone does not say it.
var checks = map[string]Invalid{
	"tenants_id_length":                         {"id", "id must have 1 to 255 characters"},
	"networks_vni_range":                        {"provider:segmentation_id", "provider:segmentation_id is not between 1 and 16777215"},
	"networks_segmentation":                     {"provider:segmentation_id", "provider:segmentation_id does not go with provider:network_type"},
	"networks_physical":                         {"provider:physical_network", "provider:physical_network does not go with provider:network_type"},
	"networks_type_known":                       {"provider:network_type", "provider:network_type is not vxlan, vlan, flat, geneve, gre or local"},
	"subnets_ra_mode_known":                     {"ipv6_ra_mode", "ipv6_ra_mode is not slaac, dhcpv6-stateful or dhcpv6-stateless"},
	"subnets_address_mode_known":                {"ipv6_address_mode", "ipv6_address_mode is not slaac, dhcpv6-stateful or dhcpv6-stateless"},
	"subnets_modes_agree":                       {"ipv6_ra_mode", "ipv6_ra_mode and ipv6_address_mode must be the same if both are set"},
	"subnets_modes_ipv6":                        {"ipv6_ra_mode", "ipv6_ra_mode and ipv6_address_mode are of IPv6 subnets only"},
	"subnets_automatic_64":                      {"cidr", "cidr of a subnet where stations form their addresses must have 64 bits"},
	"networks_mtu_range":                        {"mtu", "mtu is not between 68 and 65535"},
	"subnets_gateway_family":                    {"gateway_ip", "gateway_ip is not of the family of cidr"},
	"subnet_pools_order":                        {"allocation_pools", "a range of allocation_pools ends before it starts or mixes IPv4 and IPv6"},
	"mac_segments_parent_other":                 {"parent_id", "parent_id is the segment itself"},
	"mac_segments_block_range":                  {"base_address", "base_address and prefix_length are no block of 48-bit addresses"},
	"mac_segments_block_power_of_two":           {"prefix_length", "prefix_length is not between 8 and 48"},
	"mac_segments_block_aligned":                {"base_address", "base_address is not aligned to prefix_length"},
	"mac_segments_block_individual":             {"base_address", "base_address has the group bit set"},
	"mac_segments_shared_by_operator":           {"shared", "shared can be set only on a MAC segment without tenant_id"},
	"mac_segments_strategy_known":               {"strategy", "strategy is not sequential, scrambled or instance-hash"},
	"mac_segments_quarantine_seconds_range":     {"quarantine_seconds", "quarantine_seconds is not between 0 and 31536000, a year"},
	"mac_segments_conflict_policy_known":        {"conflict_policy", "conflict_policy is not report, refuse or reassign"},
	"mac_segments_conflict_delay_seconds_range": {"conflict_delay_seconds", "conflict_delay_seconds is not between 0 and 31536000, a year"},
	"mac_addresses_state_known":                 {"state", "state is not active or reserved"},
	"quotas_resource_known":                     {"resource", "there is no quota of that resource"},
	"quotas_limit_range":                        {"limit", "a quota is -1, for as much as there is, or not negative"},
	"security_group_rules_direction_known":      {"direction", "direction is not ingress or egress"},
	"security_group_rules_ethertype_known":      {"ethertype", "ethertype is not IPv4 or IPv6"},
	"security_group_rules_protocol_range":       {"protocol", "protocol is not between 0 and 255"},
	"security_group_rules_ports_range":          {"port_range_min", "port_range_min and port_range_max must be between 0 and 65535"},
	"security_group_rules_ports_protocol":       {"protocol", "port_range_min and port_range_max need a protocol"},
	"security_group_rules_ports_order":          {"port_range_min", "port_range_min is greater than port_range_max"},
	"security_group_rules_ports_both":           {"port_range_min", "port_range_min and port_range_max must both be given; an ICMP code needs a type"},
	"security_group_rules_icmp_range":           {"port_range_min", "ICMP type and code (port_range_min and port_range_max) must be between 0 and 255"},
	"security_group_rules_one_remote_mac":       {"remote_mac", "only one of remote_mac and remote_mac_segment_id may be given"},
	"security_group_rules_one_remote":           {"remote_ip_prefix", "only one of remote_ip_prefix, remote_group_id and remote_address_group_id may be given"},
	"security_group_rules_remote_family":        {"remote_ip_prefix", "remote_ip_prefix is not of the family of ethertype"},
	"ports_status_known":                        {"status", "status is not DOWN, ACTIVE or ERROR"},
	"ports_port_no_range":                       {"binding:profile", "port_no in binding:profile is not a 32-bit number"},
	"ports_one_place":                           {"binding:profile", "binding:profile may have only one of interface_name and port_no"},
	"ports_host_length":                         {"binding:host_id", "binding:host_id has more than 255 characters"},
	"ports_interface_name_length":               {"binding:profile", "interface_name in binding:profile has more than 255 characters"},
	"mac_addresses_address_range":               {"mac_address", "mac_address is not a 48-bit address above zero"},
	"mac_addresses_address_individual":          {"mac_address", "mac_address has the group bit set; it must be the address of a station"},
	"fixed_ips_address_is_host":                 {"fixed_ips", "ip_address in fixed_ips is not a host address"},
	"address_scopes_ip_version_known":           {"ip_version", "ip_version is not 4 or 6"},
	"rbac_policies_target_length":               {"target_tenant", "target_tenant must have 1 to 255 characters"},
	"subnetpools_default_quota_range":           {"default_quota", "default_quota is negative"},
	"subnetpools_prefixlen_range":               {"default_prefixlen", "min_prefixlen, default_prefixlen and max_prefixlen do not rise up to the length of an address"},
	"trunk_subports_segmentation_range":         {"sub_ports", "segmentation_id in sub_ports is not between 1 and 4094"},
	"qos_rules_direction_known":                 {"direction", "direction is not ingress or egress; a minimum packet rate may also have any"},
	"qos_rules_rate_range":                      {"max_kbps", "the rate of a rule is negative"},
	"qos_rules_burst_range":                     {"max_burst_kbps", "the burst of a rule is negative"},
	"qos_rules_class_range":                     {"class", "class is not between 0 and 7"},
	"qos_rules_dscp_known":                      {"dscp_mark", "dscp_mark is not a DSCP value that has a meaning"},
	"blocks_address_individual":                 {"mac_address", "mac_address must be the address of a station"},
	"blocks_place_whole":                        {"port", "switch and port must be given together"},
	"blocks_something":                          {"mac_address", "mac_address, or switch and port, must be given"},
	"switches_dpid_hex":                         {"id", "id is not a datapath id of 16 hex digits"},
}
