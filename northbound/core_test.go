package northbound

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refused asks and compares code and type of the answer.
func (a *api) refused(code int, kind, method, path, token, body string) {
	a.t.Helper()
	got := a.want(code, method, path, token, body)
	if is, message := got.message(a.t); is != kind {
		a.t.Errorf("%s %s %s: type %s, want %s: %s", method, path, body, is, kind, message)
	}
}

func TestProviderAttributesAreForAdministrators(t *testing.T) {
	t.Parallel()
	a := setup(t)
	vlan := a.make("/v2.0/networks", "admin", `{"network": {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": 100, "router:external": true, "is_default": true}}`)
	if vlan["provider:network_type"] != "vlan" || vlan["provider:physical_network"] != "physnet1" || vlan["provider:segmentation_id"] != float64(100) || vlan["mtu"] != float64(1500) || vlan["is_default"] != true {
		t.Errorf("VLAN network: %v", vlan)
	}
	at := "/v2.0/networks/" + idOf(vlan)
	for _, attr := range []string{`"provider:network_type": "vxlan"`, `"router:external": true`, `"is_default": true`} {
		a.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/networks", "red", `{"network": {`+attr+`}}`)
	}
	a.refused(409, "VlanIdInUse", "POST", "/v2.0/networks", "admin", `{"network": {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": 100}}`)
	a.refused(400, "InvalidInput", "POST", "/v2.0/networks", "admin", `{"network": {"provider:segmentation_id": 100}}`)
	a.refused(400, "InvalidInput", "POST", "/v2.0/networks", "admin", `{"network": {"provider:network_type": "flat"}}`)
	a.refused(400, "InvalidInput", "PUT", at, "admin", `{"network": {"provider:network_type": "vxlan"}}`)
	a.refused(409, "DefaultExternalNetworkExists", "POST", "/v2.0/networks", "admin", `{"network": {"router:external": true, "is_default": true}}`)
	if got := a.want(200, "PUT", at, "admin", `{"network": {"provider:segmentation_id": 101}}`).object(t); got["provider:segmentation_id"] != float64(101) {
		t.Errorf("another VLAN id: %v", got)
	}
	flat := a.make("/v2.0/networks", "admin", `{"network": {"provider:network_type": "flat", "provider:physical_network": "physnet1", "is_default": true}}`)
	if flat["provider:segmentation_id"] != nil || flat["is_default"] != false {
		t.Errorf("flat network: %v", flat)
	}
	segment := `"segments": [{"provider:network_type": "vlan", "provider:physical_network": "physnet2", "provider:segmentation_id": 7}]`
	if got := a.make("/v2.0/networks", "admin", `{"network": {`+segment+`}}`); got["provider:network_type"] != "vlan" || got["provider:physical_network"] != "physnet2" || got["provider:segmentation_id"] != float64(7) {
		t.Errorf("network of a segment: %v", got)
	}
	a.make("/v2.0/networks", "admin", `{"network": {"segments": []}}`)
	a.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/networks", "red", `{"network": {`+segment+`}}`)
	a.refused(400, "SegmentsSetInConjunctionWithProviders", "POST", "/v2.0/networks", "admin", `{"network": {"provider:network_type": "vlan", `+segment+`}}`)
	for _, bad := range []string{`[{}]`, `[{"provider:network_type": "vlan", "vlan": 1}]`, `[{"provider:network_type": "vxlan"}, {"provider:network_type": "vxlan"}]`, `{}`} {
		a.refused(400, "HTTPBadRequest", "POST", "/v2.0/networks", "admin", `{"network": {"segments": `+bad+`}}`)
	}
	for query, want := range map[string]int{
		"provider:network_type=vlan&provider:physical_network=physnet1": 1, "provider:physical_network=physnet1": 2, "provider:segmentation_id=101": 1, "router:external=True": 1, "is_default=True": 1,
	} {
		if got := len(a.want(200, "GET", "/v2.0/networks?"+query, "admin", "").list(t)); got != want {
			t.Errorf("networks?%s: %d, want %d", query, got, want)
		}
	}
}

func TestSubnetsKnowModesRoutesAndServiceTypes(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	of := func(attrs string) string { return `{"subnet": {"network_id": "` + network + `", ` + attrs + `}}` }
	for _, attrs := range []string{
		`"ip_version": 4, "cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"`,
		`"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "enable_dhcp": false`,
		`"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"`,
		`"ip_version": 6, "cidr": "2001:db8::/65", "ipv6_address_mode": "dhcpv6-stateless"`,
		`"ip_version": 4, "cidr": "10.0.0.0/24", "host_routes": [{"destination": "2001:db8::/64", "nexthop": "10.0.0.9"}]`,
	} {
		a.refused(400, "InvalidInput", "POST", "/v2.0/subnets", "red", of(attrs))
	}
	for _, attrs := range []string{
		`"host_routes": [{"destination": "10.9.0.1/16", "nexthop": "10.0.0.9"}]`,
		`"host_routes": [{"destination": "10.9.0.0/16"}]`,
		`"host_routes": [` + strings.Repeat(`{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"},`, 20) + `{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]`,
		`"host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}, {"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]`,
		`"service_types": ["instance"]`, `"service_types": ["compute:nova", "compute:nova"]`,
	} {
		a.want(400, "POST", "/v2.0/subnets", "admin", of(`"ip_version": 4, "cidr": "10.0.0.0/24", `+attrs))
	}
	a.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/subnets", "red", of(`"ip_version": 4, "cidr": "10.0.0.0/24", "service_types": ["compute:nova"]`))

	made := a.make("/v2.0/subnets", "red", of(`"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac", "host_routes": [{"destination": "2001:DB8:1::/64", "nexthop": "2001:db8::9"}]`))
	if diff := cmp.Diff([]any{map[string]any{"destination": "2001:db8:1::/64", "nexthop": "2001:db8::9"}}, made["host_routes"]); diff != "" {
		t.Errorf("host_routes (-want +got):\n%s", diff)
	}
	a.want(400, "PUT", "/v2.0/subnets/"+idOf(made), "red", `{"subnet": {"ipv6_ra_mode": "dhcpv6-stateful"}}`)
	a.refused(400, "InvalidInput", "PUT", "/v2.0/subnets/"+idOf(made), "red", `{"subnet": {"enable_dhcp": false}}`)
	if got := a.want(200, "GET", "/v2.0/subnets?ipv6_ra_mode=slaac", "red", "").list(t); len(got) != 1 {
		t.Errorf("subnets of SLAAC: %v", got)
	}
	port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "mac_address": "02:00:09:00:00:01"}}`)
	if diff := cmp.Diff([]any{map[string]any{"subnet_id": idOf(made), "ip_address": "2001:db8::9ff:fe00:1"}}, port["fixed_ips"]); diff != "" {
		t.Errorf("address by SLAAC (-want +got):\n%s", diff)
	}
	a.refused(400, "InvalidInput", "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "fixed_ips": [{"ip_address": "2001:db8::77"}]}}`)
}

func TestPortSecurityDecidesOnGroupsAndPairs(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g"}}`))
	of := func(attrs string) string { return `{"port": {"network_id": "` + network + `", ` + attrs + `}}` }
	const pair = `"allowed_address_pairs": [{"ip_address": "10.0.0.100"}]`

	a.refused(400, "InvalidInput", "POST", "/v2.0/ports", "red", of(`"port_security_enabled": false, "security_groups": ["`+group+`"]`))
	a.refused(409, "AddressPairAndPortSecurityRequired", "POST", "/v2.0/ports", "red", of(`"port_security_enabled": false, `+pair))
	bare := a.make("/v2.0/ports", "red", of(`"port_security_enabled": false`))
	if len(bare["security_groups"].([]any)) != 0 || bare["port_security_enabled"] != false {
		t.Errorf("port without port security: %v", bare)
	}
	at := "/v2.0/ports/" + idOf(bare)
	a.refused(400, "InvalidInput", "PUT", at, "red", `{"port": {"security_groups": ["`+group+`"]}}`)
	a.refused(409, "AddressPairAndPortSecurityRequired", "PUT", at, "red", `{"port": {`+pair+`}}`)
	if got := a.want(200, "PUT", at, "red", `{"port": {"port_security_enabled": true}}`).object(t); len(got["security_groups"].([]any)) != 0 {
		t.Errorf("groups came back with port security: %v", got)
	}

	grouped := a.make("/v2.0/ports", "red", of(pair))
	at = "/v2.0/ports/" + idOf(grouped)
	if len(grouped["security_groups"].([]any)) != 1 || grouped["port_security_enabled"] != true {
		t.Errorf("port with port security: %v", grouped)
	}
	want := []any{map[string]any{"ip_address": "10.0.0.100", "mac_address": grouped["mac_address"]}}
	if diff := cmp.Diff(want, grouped["allowed_address_pairs"]); diff != "" {
		t.Errorf("allowed_address_pairs (-want +got):\n%s", diff)
	}
	a.refused(409, "AddressPairAndPortSecurityRequired", "PUT", at, "red", `{"port": {"port_security_enabled": false, "security_groups": []}}`)
	a.refused(409, "PortSecurityPortHasSecurityGroup", "PUT", at, "red", `{"port": {"port_security_enabled": false, "allowed_address_pairs": []}}`)
	a.want(200, "PUT", at, "red", `{"port": {"port_security_enabled": false, "allowed_address_pairs": null, "security_groups": []}}`)

	var eleven []string
	for _, n := range strings.Split("abcdefghijk", "") {
		eleven = append(eleven, `{"ip_address": "2001:db8::`+strings.NewReplacer("g", "1", "h", "2", "i", "3", "j", "4", "k", "5").Replace(n)+`"}`)
	}
	a.refused(400, "AllowedAddressPairExhausted", "POST", "/v2.0/ports", "red", of(`"allowed_address_pairs": [`+strings.Join(eleven, ", ")+`]`))
	a.refused(400, "DuplicateAddressPairInRequest", "POST", "/v2.0/ports", "red", of(`"mac_address": "02:00:09:00:00:01", "allowed_address_pairs": [{"ip_address": "10.0.0.1"}, {"ip_address": "10.0.0.1", "mac_address": "02:00:09:00:00:01"}]`))
	a.want(400, "POST", "/v2.0/ports", "red", of(`"allowed_address_pairs": [{"mac_address": "02:00:09:00:00:01"}]`))

	open := idOf(a.make("/v2.0/networks", "red", `{"network": {"port_security_enabled": false}}`))
	if got := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+open+`"}}`); got["port_security_enabled"] != false || len(got["security_groups"].([]any)) != 0 {
		t.Errorf("port of a network without port security: %v", got)
	}
	if got := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+open+`", "port_security_enabled": true}}`); len(got["security_groups"].([]any)) != 1 {
		t.Errorf("port with port security of a network without: %v", got)
	}
}

func TestDHCPOptionsAreMergedByName(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	option := func(name, value string, version float64) map[string]any {
		return map[string]any{"opt_name": name, "opt_value": value, "ip_version": version}
	}
	port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}, {"opt_name": "tftp", "opt_value": "a"}, {"opt_name": "gone", "opt_value": null}]}}`)
	if diff := cmp.Diff([]any{option("mtu", "1400", 4), option("tftp", "a", 4)}, port["extra_dhcp_opts"]); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	at := "/v2.0/ports/" + idOf(port)
	got := a.want(200, "PUT", at, "red", `{"port": {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": null}, {"opt_name": "tftp", "opt_value": "b"}, {"opt_name": "tftp", "opt_value": "c", "ip_version": 6}]}}`).object(t)
	if diff := cmp.Diff([]any{option("tftp", "b", 4), option("tftp", "c", 6)}, got["extra_dhcp_opts"]); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, a.want(200, "GET", at, "red", "").object(t)); diff != "" {
		t.Errorf("(-changed +read):\n%s", diff)
	}
	again := a.want(200, "PUT", at, "red", `{"port": {"extra_dhcp_opts": []}}`).object(t)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("an empty list changes something:\n%s", diff)
	}
}

func TestBindingsAreKeptAsAsked(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := a.make("/v2.0/ports", "admin", `{"port": {"network_id": "`+network+`", "tenant_id": "red", "binding:host_id": "compute-1", "binding:vnic_type": "direct",
		"binding:profile": {"pci_slot": "0000:03:00.1", "limits": [1, 2.50, {"a": null}], "on": true}}}`)
	at := "/v2.0/ports/" + idOf(port)
	want := map[string]any{"pci_slot": "0000:03:00.1", "limits": []any{1.0, 2.5, map[string]any{"a": nil}}, "on": true}
	for _, got := range []map[string]any{port, a.want(200, "GET", at, "admin", "").object(t)} {
		if diff := cmp.Diff(want, got["binding:profile"]); diff != "" {
			t.Errorf("binding:profile (-want +got):\n%s", diff)
		}
		if got["binding:host_id"] != "compute-1" || got["binding:vif_type"] != "binding_failed" || got["binding:vnic_type"] != "direct" || got["status"] != "DOWN" {
			t.Errorf("port on a host without switches: %v", got)
		}
	}
	if got := a.want(200, "GET", "/v2.0/ports?binding:host_id=compute-1", "admin", "").list(t); len(got) != 1 {
		t.Errorf("ports on compute-1: %v", got)
	}
	got := a.want(200, "PUT", at, "admin", `{"port": {"binding:host_id": "00000000000000A1", "binding:profile": {"port_no": 3, "pci_slot": "x"}}}`).object(t)
	if diff := cmp.Diff(map[string]any{"port_no": 3.0, "pci_slot": "x"}, got["binding:profile"]); diff != "" {
		t.Errorf("binding:profile with a place (-want +got):\n%s", diff)
	}
	if got["binding:host_id"] != "00000000000000a1" || got["binding:vif_type"] != "ovs" {
		t.Errorf("port on a switch: %v", got)
	}
	got = a.want(200, "PUT", at, "admin", `{"port": {"binding:host_id": null, "binding:profile": null}}`).object(t)
	if got["binding:host_id"] != "" || got["binding:vif_type"] != "unbound" || len(got["binding:profile"].(map[string]any))+len(got["binding:vif_details"].(map[string]any)) != 0 {
		t.Errorf("unbound port: %v", got)
	}
}

func TestPortsAreCalledByTheirNames(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {"dns_domain": "Example.ORG."}}`))
	a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "dns_name": "Web-1", "fixed_ips": [{"ip_address": "10.0.0.9"}]}}`)
	if diff := cmp.Diff([]any{map[string]any{"ip_address": "10.0.0.9", "hostname": "web-1", "fqdn": "web-1.openstacklocal."}}, port["dns_assignment"]); diff != "" {
		t.Errorf("dns_assignment (-want +got):\n%s", diff)
	}
	if got := a.want(200, "GET", "/v2.0/networks/"+network, "red", "").object(t); got["dns_domain"] != "example.org." {
		t.Errorf("dns_domain %v", got["dns_domain"])
	}
	for path, attr := range map[string]string{"networks/" + network: `"network": {"dns_domain": "example.org"}`, "ports/" + idOf(port): `"port": {"dns_name": "web_1"}`} {
		a.want(400, "PUT", "/v2.0/"+path, "red", `{`+attr+`}`)
	}
}

func TestGroupsInUseStayStateful(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	group := a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g", "stateful": false}}`)
	if group["stateful"] != false {
		t.Errorf("stateless group: %v", group)
	}
	at := "/v2.0/security-groups/" + idOf(group)
	a.want(200, "PUT", at, "red", `{"security_group": {"stateful": true}}`)
	a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "security_groups": ["`+idOf(group)+`"]}}`)
	a.refused(409, "SecurityGroupInUse", "PUT", at, "red", `{"security_group": {"stateful": false}}`)
	a.want(200, "PUT", at, "red", `{"security_group": {"name": "h", "stateful": true}}`)
	if got := a.want(200, "GET", "/v2.0/security-groups?stateful=False", "red", "").list(t); len(got) != 0 {
		t.Errorf("stateless groups: %v", got)
	}
	a.refused(409, "SecurityGroupDefaultAlreadyExists", "POST", "/v2.0/security-groups", "red", `{"security_group": {"name": "Default"}}`)
}

func TestPoliciesOfOthersCannotBeNamed(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := a.make("/v2.0/networks", "red", `{"network": {}}`)
	theirs := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"name": "p"}}`))
	mine := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"name": "p", "tenant_id": "red"}}`))
	port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+idOf(network)+`", "qos_policy_id": "`+mine+`"}}`)
	if port["qos_policy_id"] != mine || port["qos_network_policy_id"] != nil {
		t.Errorf("port with a policy: %v", port)
	}
	a.want(404, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+idOf(network)+`", "qos_policy_id": "`+theirs+`"}}`)
	a.want(404, "PUT", "/v2.0/ports/"+idOf(port), "red", `{"port": {"qos_policy_id": "`+theirs+`"}}`)
	a.want(404, "POST", "/v2.0/networks", "red", `{"network": {"qos_policy_id": "`+theirs+`"}}`)
	a.want(404, "PUT", "/v2.0/networks/"+idOf(network), "red", `{"network": {"qos_policy_id": "`+theirs+`"}}`)
	a.want(200, "PUT", "/v2.0/networks/"+idOf(network), "red", `{"network": {"qos_policy_id": "`+mine+`"}}`)
	got := a.want(200, "PUT", "/v2.0/ports/"+idOf(port), "red", `{"port": {"qos_policy_id": null}}`).object(t)
	if got["qos_policy_id"] != nil || got["qos_network_policy_id"] != mine {
		t.Errorf("port with the policy of its network: %v", got)
	}
}

// Clients tell faults apart by these names.
func TestFaultsOfAddressesAndRulesHaveTheirNames(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "web"}}`))
	ofPort := func(ip string) string {
		return `{"port": {"network_id": "` + network + `", "fixed_ips": [{` + ip + `}]}}`
	}
	ofSubnet := func(attrs string) string {
		return `{"subnet": {"network_id": "` + network + `", "ip_version": 4, "cidr": "10.1.0.0/24", ` + attrs + `}}`
	}
	servers := `"10.1.0.1"` + strings.Repeat(`, "10.1.0.1"`, maxNameservers)
	const route = `{"destination": "10.9.0.0/24", "nexthop": "10.1.0.9"}`
	routes := route + strings.Repeat(", "+route, maxHostRoutes)
	for kind, c := range map[string]struct{ path, body string }{
		"InvalidIpForNetwork":              {"ports", ofPort(`"ip_address": "10.7.0.1"`)},
		"InvalidIpForSubnet":               {"ports", ofPort(`"ip_address": "10.7.0.1", "subnet_id": "` + subnet + `"`)},
		"InvalidAllocationPool":            {"subnets", ofSubnet(`"allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.2"}]`)},
		"OutOfBoundsAllocationPool":        {"subnets", ofSubnet(`"allocation_pools": [{"start": "10.1.1.2", "end": "10.1.1.9"}]`)},
		"DNSNameServersExhausted":          {"subnets", ofSubnet(`"dns_nameservers": [` + servers + `]`)},
		"HostRoutesExhausted":              {"subnets", ofSubnet(`"host_routes": [` + routes + `]`)},
		"SecurityGroupRuleInvalidProtocol": {"security-group-rules", `{"security_group_rule": {"security_group_id": "` + group + `", "direction": "ingress", "protocol": "any"}}`},
	} {
		a.refused(400, kind, "POST", "/v2.0/"+c.path, "red", c.body)
	}
	a.refused(400, "DNSNameServersExhausted", "PUT", "/v2.0/subnets/"+subnet, "red", `{"subnet": {"dns_nameservers": [`+servers+`]}}`)
}
