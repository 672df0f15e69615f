package northbound

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// coreParts is what needs no extension.
const coreParts = `(network|subnet|port)\.(id|tenant_id|name|admin_state_up|status|shared|subnets|network_id|ip_version|cidr|gateway_ip|allocation_pools|dns_nameservers|enable_dhcp|host_routes|ipv6_ra_mode|ipv6_address_mode|mac_address|fixed_ips|device_id|device_owner)` +
	`|/(networks|subnets|ports)(/\{id\})?|/|/extensions(/\{alias\})?`

// extensionParts are the attributes and paths of each extension, as an
// expression; empty: it is a behaviour, of extensionHabits.
var extensionParts = map[string]string{
	"address-group":                        `address_group\.\w+|/address-groups.*`,
	"address-scope":                        `address_scope\.\w+|/address-scopes.*|subnetpool\.address_scope_id|network\.ipv[46]_address_scope`,
	"agent":                                `agent\.\w+|/agents.*`,
	"allowed-address-pairs":                `port\.allowed_address_pairs`,
	"allowed-address-pairs-mac-prefix":     ``,
	"audit-log":                            `audit_entry\.\w+|/audit-log.*`,
	"availability_zone":                    `availability_zone\.\w+|/availability_zones.*|agent\.availability_zone`,
	"availability_zone_filter":             ``,
	"binding":                              `port\.binding:\w+`,
	"data-plane-status":                    `port\.data_plane_status`,
	"default-subnetpools":                  `subnet\.use_default_subnetpool|subnetpool\.is_default`,
	"dns-domain-ports":                     `port\.dns_domain`,
	"dns-integration":                      `network\.dns_domain|port\.dns_(name|assignment)`,
	"empty-string-filtering":               ``,
	"eui64":                                `/eui64`,
	"events":                               `event\.\w+|/events.*`,
	"explain":                              `/explain`,
	"external-net":                         `network\.router:external|network\.is_default`,
	"extra_dhcp_opt":                       `port\.extra_dhcp_opts`,
	"fabric":                               `link\.\w+|/links.*|host\.\w+|/hosts.*|/topology|network\.fabric_vlan`,
	"filter-validation":                    ``,
	"flavors":                              `(flavor|service_profile)\.\w+|/(flavors|service_profiles).*`,
	"ip-substring-filtering":               ``,
	"l2_adjacency":                         `network\.l2_adjacency`,
	"mac-address":                          `mac_address\.\w+|/mac-addresses(/\{id\})?|/mac-addresses/release`,
	"mac-affinity":                         `(affinity_pool|affinity_backend|backend)\.\w+|/mac-affinity/.*`,
	"mac-allow-list":                       `mac_allow_list\.\w+|/mac-allow-lists.*`,
	"mac-conflict":                         `mac_conflict\.\w+|/mac-conflicts.*`,
	"mac-guard":                            `(mac_move|block|mac_guard)\.\w+|/(mac-moves|blocks|mac-guards).*`,
	"mac-import":                           `mac_import\.\w+|/mac-imports.*|/mac-addresses/export`,
	"mac-keep":                             ``,
	"mac-lineage":                          `/mac-lineage`,
	"mac-quota":                            ``,
	"mac-segment":                          `mac_segment\.\w+|/mac-segments.*|port\.segment_id`,
	"metering":                             `metering_label(_rule)?\.\w+|/metering/.*`,
	"net-mtu":                              `network\.mtu`,
	"net-mtu-writable":                     ``,
	"network-ip-availability":              `network_ip_availability\.\w+|/network-ip-availabilities.*`,
	"network_availability_zone":            `network\.availability_zones|network\.availability_zone_hints`,
	"pagination":                           ``,
	"port-device-profile":                  `port\.device_profile`,
	"port-numa-affinity-policy":            `port\.numa_affinity_policy`,
	"port-security":                        `(network|port)\.port_security_enabled`,
	"port-security-groups-filtering":       ``,
	"port-status-reason":                   `port\.status_reason`,
	"project-id":                           `\w+\.project_id`,
	"provider":                             `network\.(provider:\w+|segments)`,
	"qos":                                  `(policy|bandwidth_limit_rule|dscp_marking_rule|minimum_bandwidth_rule|rule_type)\.\w+|/qos/(policies.*|rule-types.*)|(network|port)\.qos_policy_id`,
	"qos-bw-limit-direction":               `bandwidth_limit_rule\.direction`,
	"qos-bw-minimum-ingress":               `minimum_bandwidth_rule\.direction`,
	"qos-default":                          `policy\.is_default`,
	"qos-port-network-policy":              `port\.qos_network_policy_id`,
	"qos-pps":                              `packet_rate_limit_rule\.\w+|/qos/policies/\{policy_id\}/packet_rate_limit_rules.*`,
	"qos-pps-minimum":                      `minimum_packet_rate_rule\.\w+|/qos/policies/\{policy_id\}/minimum_packet_rate_rules.*`,
	"qos-pps-minimum-rule-alias":           `alias_minimum_packet_rate_rule\.\w+|(/qos/alias_minimum_packet_rate_rules|/alias-minimum-packet-rate-rules).*`,
	"qos-priority":                         `priority_rule\.\w+|/qos/policies/\{policy_id\}/priority_rules.*|mac_segment\.qos_policy_id`,
	"qos-statistics":                       `/qos/policies/\{id\}/statistics`,
	"qos-rule-type-details":                `rule_type\.drivers|/qos/rule-types/\{type\}`,
	"qos-rule-type-filter":                 `rule_type\.all_(rules|supported)`,
	"qos-rules-alias":                      `alias_\w+\.\w+|(/qos/alias_[a-z_]+_rules|/alias-[a-z-]+-rules).*`,
	"quota-check-limit":                    ``,
	"quota_details":                        `/quotas/\{tenant\}/details`,
	"quotas":                               `/quotas(/tenant|/\{tenant\}(/default)?)?`,
	"rbac-address-group":                   ``,
	"rbac-address-scope":                   ``,
	"rbac-policies":                        `rbac_policy\.\w+|/rbac-policies.*`,
	"rbac-security-groups":                 ``,
	"rbac-subnetpool":                      ``,
	"revision-if-match":                    ``,
	"security-group":                       `security_group(_rule)?\.\w+|/security-group(-rule)?s(/\{id\})?|port\.security_groups`,
	"security-groups-normalized-cidr":      `security_group_rule\.normalized_cidr`,
	"security-groups-remote-address-group": `security_group_rule\.remote_address_group_id`,
	"security-groups-remote-mac":           `security_group_rule\.remote_mac(_segment_id)?`,
	"security-groups-shared-filtering":     ``,
	"service-type":                         `/service-providers`,
	"sorting":                              ``,
	"standard-attr-description":            `\w+\.description`,
	"standard-attr-revisions":              `\w+\.revision_number`,
	"standard-attr-tag":                    `\w+\.(not-)?tags(-any)?|/.*/\{id\}/tags(/\{tag\})?`,
	"standard-attr-timestamp":              `\w+\.(created|updated)_at`,
	"stateful-security-group":              `security_group\.stateful`,
	"subnet-service-types":                 `subnet\.service_types`,
	"subnet_allocation":                    `subnetpool\.\w+|/subnetpools(/\{id\})?|subnet\.(subnetpool_id|prefixlen)`,
	"subnetpool-prefix-ops":                `/subnetpools/\{id\}/(add|remove)_prefixes`,
	"switches":                             `switch\.\w+|/switches.*`,
	"tag-ports-during-bulk-creation":       ``,
	"tenants":                              `tenant\.\w+|/tenants.*`,
	"trunk":                                `trunk\.\w+|/trunks.*`,
	"uplink-status-propagation":            `port\.propagate_uplink_status`,
}

func TestExtensionsAreExactlyWhatThereIs(t *testing.T) {
	t.Parallel()
	var parts []string // that there are
	for _, r := range resources(nil) {
		ref := r.(interface{ reference() reference }).reference()
		for _, row := range ref.rows {
			parts = append(parts, ref.single+"."+row.Name)
		}
	}
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	for route := range d.paths {
		if path, ours := strings.CutPrefix(route, "/v2.0"); ours {
			parts = append(parts, path)
		}
	}
	var listed []string
	for _, e := range extensions {
		listed = append(listed, e.Alias)
	}
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(extensionParts)), listed); diff != "" {
		t.Errorf("extensions: (-that are tested +listed)\n%s", diff)
	}
	claimed := map[string]bool{}
	claim := func(alias, expression string) {
		found := false
		whole := regexp.MustCompile(`^(?:` + expression + `)$`)
		for _, part := range parts {
			if whole.MatchString(part) {
				found, claimed[part] = true, true
			}
		}
		if !found {
			t.Errorf("%s is listed, but there is nothing of it", alias)
		}
	}
	claim("the core", coreParts)
	for alias, expression := range extensionParts {
		if expression == "" {
			if extensionHabits[alias] == nil {
				t.Errorf("nobody tries %s", alias)
			}
			continue
		}
		claim(alias, expression)
	}
	for _, part := range parts {
		if !claimed[part] {
			t.Errorf("%s is of no extension that is listed", part)
		}
	}
	for _, other := range []string{"router", "extraroute", "dvr", "l3-ha", "fip64", "subnet_onboard", "vlan-transparent", "multi-provider", "segment", "network-segment-range"} {
		if slices.Contains(listed, other) {
			t.Errorf("%s is listed", other)
		}
	}
}

// extensionHabits try the extensions that have no attribute and no path.
var extensionHabits = map[string]func(a *api, network, port map[string]any){
	"rbac-address-group":   shares("address_group", "address-groups", `{"address_group": {}}`),
	"rbac-address-scope":   shares("address_scope", "address-scopes", `{"address_scope": {"ip_version": 4}}`),
	"rbac-security-groups": shares("security_group", "security-groups", `{"security_group": {}}`),
	"rbac-subnetpool":      shares("subnetpool", "subnetpools", `{"subnetpool": {"prefixes": ["10.77.0.0/24"]}}`),
	"security-groups-shared-filtering": func(a *api, _, _ map[string]any) {
		a.finds("security-groups?shared=true&name=no-such-group", 0)
	},
	"allowed-address-pairs-mac-prefix": func(a *api, _, port map[string]any) {
		pair := `{"ip_address": "10.9.0.0/24", "mac_address": "52:54:00:00:00:00/24"}`
		got := a.want(200, "PUT", "/v2.0/ports/"+idOf(port), "red", `{"port": {"allowed_address_pairs": [`+pair+`]}}`).text
		if !strings.Contains(got, `"mac_address":"52:54:00:00:00:00/24"`) {
			a.t.Errorf("the pairs: %s", got)
		}
	},
	"availability_zone_filter": func(a *api, _, _ map[string]any) {
		a.finds("availability_zones?name=no-such-zone", 0)
	},
	"empty-string-filtering": func(a *api, network, _ map[string]any) {
		a.finds("networks?description=", 2)
		a.finds("ports?device_id=&network_id="+idOf(network), 0)
	},
	"filter-validation": func(a *api, _, _ map[string]any) {
		a.want(400, "GET", "/v2.0/networks?colour=red", "red", "")
	},
	"ip-substring-filtering": func(a *api, _, _ map[string]any) {
		a.finds("ports?fixed_ips=ip_address_substr%3D77.0", 1)
		a.finds("ports?fixed_ips=ip_address_substr%3D78.0", 0)
	},
	"mac-keep": func(a *api, network, _ map[string]any) {
		body := `{"port": {"network_id": "` + idOf(network) + `", "device_id": "kept"}}`
		first := a.make("/v2.0/ports", "red", body)
		a.want(204, "DELETE", "/v2.0/ports/"+idOf(first)+"?keep_mac=true", "red", "")
		second := a.make("/v2.0/ports", "red", body)
		if first["mac_address"] != second["mac_address"] {
			a.t.Errorf("the MAC address was %v and is %v", first["mac_address"], second["mac_address"])
		}
		a.want(204, "DELETE", "/v2.0/ports/"+idOf(second), "red", "")
	},
	"quota-check-limit": func(a *api, network, _ map[string]any) {
		one := `{"quota": {"network": 0, "check_limit": true}}`
		if _, message := a.want(400, "PUT", "/v2.0/quotas/red", "admin", one).message(a.t); !strings.Contains(message, "network must be greater than or equal to already used") {
			a.t.Errorf("a limit below what is used: %s", message)
		}
	},
	"mac-quota": func(a *api, _, _ map[string]any) {
		quota := a.want(200, "GET", "/v2.0/quotas/red", "red", "").object(a.t)
		if quota["mac_segment"] == nil || quota["mac_address"] == nil {
			a.t.Errorf("there are only the quotas %v", quota)
		}
	},
	"net-mtu-writable": func(a *api, network, _ map[string]any) {
		if got := a.want(200, "PUT", "/v2.0/networks/"+idOf(network), "red", `{"network": {"mtu": 1400}}`).object(a.t); got["mtu"] != 1400.0 {
			a.t.Errorf("mtu: %v", got["mtu"])
		}
	},
	"pagination": func(a *api, _, _ map[string]any) {
		got := a.want(200, "GET", "/v2.0/networks?limit=1", "red", "").text
		if !strings.Contains(got, `"name":"a"`) || strings.Contains(got, `"name":"b"`) || !strings.Contains(got, `"networks_links":[{"rel":"next"`) {
			a.t.Errorf("a page: %s", got)
		}
	},
	"port-security-groups-filtering": func(a *api, _, port map[string]any) {
		a.finds("ports?security_groups="+port["security_groups"].([]any)[0].(string), 1)
		a.finds("ports?security_groups="+idOf(port), 0)
	},
	"revision-if-match": func(a *api, network, _ map[string]any) {
		req, err := http.NewRequest("DELETE", a.url+"/v2.0/networks/"+idOf(network), nil)
		if err != nil {
			a.t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", "red")
		req.Header.Set("If-Match", "revision_number=99")
		if got := a.send(req); got.code != 412 {
			a.t.Errorf("another revision: %d", got.code)
		}
	},
	"sorting": func(a *api, _, _ map[string]any) {
		if got := a.want(200, "GET", "/v2.0/networks?sort_key=name&sort_dir=desc", "red", "").list(a.t); got[0]["name"] != "b" || got[1]["name"] != "a" {
			a.t.Errorf("sorted: %v", got)
		}
	},
	"tag-ports-during-bulk-creation": func(a *api, network, _ map[string]any) {
		one := `{"network_id": "` + idOf(network) + `", "tags": ["t"]}`
		for _, p := range a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [`+one+`,`+one+`]}`).list(a.t) {
			if diff := cmp.Diff([]any{"t"}, p["tags"]); diff != "" {
				a.t.Error(diff)
			}
			a.want(204, "DELETE", "/v2.0/ports/"+idOf(p), "red", "")
		}
	},
}

// finds wants a list to have so many objects.
func (a *api) finds(path string, n int) {
	a.t.Helper()
	if got := a.want(200, "GET", "/v2.0/"+path, "red", "").list(a.t); len(got) != n {
		a.t.Errorf("%s finds %d objects, want %d: %v", path, len(got), n, got)
	}
}

func TestExtensionsWithoutAttributesWork(t *testing.T) {
	t.Parallel()
	for alias, try := range extensionHabits {
		t.Run(alias, func(t *testing.T) {
			t.Parallel()
			a := setup(t)
			network := a.make("/v2.0/networks", "red", `{"network": {"name": "a"}}`)
			a.make("/v2.0/networks", "red", `{"network": {"name": "b"}}`)
			a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+idOf(network)+`", "ip_version": 4, "cidr": "10.77.0.0/24"}}`)
			port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+idOf(network)+`", "device_id": "vm"}}`)
			try(a, network, port)
		})
	}
}

// shares tries whether objects of a kind can be shared with another tenant.
func shares(kind, path, body string) func(a *api, network, port map[string]any) {
	return func(a *api, _, _ map[string]any) {
		made := idOf(a.make("/v2.0/"+path, "red", body))
		a.make("/v2.0/rbac-policies", "red", `{"rbac_policy": {"object_type": "`+kind+`", "object_id": "`+made+`", "action": "access_as_shared", "target_tenant": "blue"}}`)
		a.want(200, "GET", "/v2.0/"+path+"/"+made, "blue", "")
	}
}
