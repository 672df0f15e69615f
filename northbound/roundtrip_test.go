package northbound

import (
	"net/http"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestNetworkRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	made := a.want(201, "POST", "/v2.0/networks", "red", `{"network": {"name": "blå <&> \"net\"", "admin_state_up": "True"}}`)
	member := `{"id":"ID1","tenant_id":"red","project_id":"red","description":"","name":"blå <&> \"net\"","admin_state_up":true,"status":"ACTIVE",
		"shared":false,"router:external":false,"is_default":false,"mtu":1450,"port_security_enabled":true,"qos_policy_id":null,"dns_domain":"",
		"availability_zone_hints":[],"availability_zones":[],"l2_adjacency":true,"ipv4_address_scope":null,"ipv6_address_scope":null,"subnets":[],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}`
	a.wantBody(names, made, strings.ReplaceAll(`{"network":`+member+`}`, "å <&>", `å \u003c\u0026\u003e`))
	id := idOf(made.object(t))

	a.wantBody(names, a.want(200, "GET", "/v2.0/networks/"+id+"?fields=name&fields=id&fields=colour", "red", ""), `{"network":{"id":"ID1","name":"blå \u003c\u0026\u003e \"net\""}}`)
	a.wantBody(names, a.want(200, "PUT", "/v2.0/networks/"+id+".json", "red", `{"network": {"name": "n2", "admin_state_up": 0, "mtu": "1400", "description": "d"}}`),
		`{"network":{"id":"ID1","tenant_id":"red","project_id":"red","description":"d","name":"n2","admin_state_up":false,"status":"ACTIVE",
		"shared":false,"router:external":false,"is_default":false,"mtu":1400,"port_security_enabled":true,"qos_policy_id":null,"dns_domain":"",
		"availability_zone_hints":[],"availability_zones":[],"l2_adjacency":true,"ipv4_address_scope":null,"ipv6_address_scope":null,"subnets":[],"created_at":"TIME","updated_at":"TIME","revision_number":2,"tags":[]}}`)

	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+id+`", "ip_version": "4", "cidr": "10.0.0.77/24"}}`))
	show := a.want(200, "GET", "/v2.0/networks/"+strings.ToUpper(id)+"/", "admin", "")
	vni := show.object(t)["provider:segmentation_id"]
	if n, ok := vni.(float64); !ok || n < 1 || n > 1<<24-1 {
		t.Errorf("VNI %v", vni)
	}
	got := show.object(t)
	if got["provider:network_type"] != "vxlan" || got["provider:physical_network"] != nil || len(got["subnets"].([]any)) != 1 || got["revision_number"] != float64(3) {
		t.Errorf("an administrator is shown %s", show.text)
	}
	a.want(204, "DELETE", "/v2.0/networks/"+id, "red", "")
	for _, gone := range []string{"networks/" + id, "subnets/" + subnet} {
		a.want(404, "GET", "/v2.0/"+gone, "red", "")
	}
	kind, message := a.want(404, "PUT", "/v2.0/networks/"+id, "red", `{"network": {"name": "x"}}`).message(t)
	if want := "Network " + id + " could not be found."; kind != "NetworkNotFound" || message != want {
		t.Errorf("got %s %q, want NetworkNotFound %q", kind, message, want)
	}
}

func TestSubnetRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	names[network] = "NET"
	made := a.want(201, "POST", "/v2.0/subnets", "red", `{"subnets": [
		{"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.77/24", "dns_nameservers": ["9.9.9.9"]},
		{"network_id": "`+network+`", "ip_version": 6, "cidr": "2001:DB8:0::/64", "gateway_ip": null, "enable_dhcp": false, "name": "six"},
		{"network_id": "`+network+`", "ip_version": 4, "cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.9", "allocation_pools": [{"start": "10.1.0.20", "end": "10.1.0.29"}, {"start": "10.1.0.10", "end": "10.1.0.12"}]}]}`)
	a.wantBody(names, made, `{"subnets":[
		{"id":"ID2","tenant_id":"red","project_id":"red","description":"","name":"","network_id":"NET","ip_version":4,"cidr":"10.0.0.0/24","subnetpool_id":null,"shared":false,"gateway_ip":"10.0.0.1",
			"allocation_pools":[{"start":"10.0.0.2","end":"10.0.0.254"}],"dns_nameservers":["9.9.9.9"],"enable_dhcp":true,"host_routes":[],"ipv6_ra_mode":null,"ipv6_address_mode":null,"service_types":[],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]},
		{"id":"ID3","tenant_id":"red","project_id":"red","description":"","name":"six","network_id":"NET","ip_version":6,"cidr":"2001:db8::/64","subnetpool_id":null,"shared":false,"gateway_ip":null,
			"allocation_pools":[{"start":"2001:db8::1","end":"2001:db8::ffff:ffff:ffff:ffff"}],"dns_nameservers":[],"enable_dhcp":false,"host_routes":[],"ipv6_ra_mode":null,"ipv6_address_mode":null,"service_types":[],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]},
		{"id":"ID4","tenant_id":"red","project_id":"red","description":"","name":"","network_id":"NET","ip_version":4,"cidr":"10.1.0.0/24","subnetpool_id":null,"shared":false,"gateway_ip":"10.1.0.9",
			"allocation_pools":[{"start":"10.1.0.10","end":"10.1.0.12"},{"start":"10.1.0.20","end":"10.1.0.29"}],"dns_nameservers":[],"enable_dhcp":true,"host_routes":[],"ipv6_ra_mode":null,"ipv6_address_mode":null,"service_types":[],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}]}`)
	six := idOf(made.list(t)[1])
	a.wantBody(names, a.want(200, "PUT", "/v2.0/subnets/"+six, "red",
		`{"subnet": {"gateway_ip": "fe80::1", "allocation_pools": [{"start": "2001:db8::100", "end": "2001:db8::1ff"}], "dns_nameservers": ["2620:fe::fe"], "enable_dhcp": true, "name": "s"}}`),
		`{"subnet":{"id":"ID3","tenant_id":"red","project_id":"red","description":"","name":"s","network_id":"NET","ip_version":6,"cidr":"2001:db8::/64","subnetpool_id":null,"shared":false,"gateway_ip":"fe80::1",
			"allocation_pools":[{"start":"2001:db8::100","end":"2001:db8::1ff"}],"dns_nameservers":["2620:fe::fe"],"enable_dhcp":true,"host_routes":[],"ipv6_ra_mode":null,"ipv6_address_mode":null,"service_types":[],"created_at":"TIME","updated_at":"TIME","revision_number":2,"tags":[]}}`)
	if got := a.want(200, "GET", "/v2.0/subnets?cidr=10.0.0.0/24&network_id="+network+"&ip_version=4&fields=cidr", "red", ""); got.text != `{"subnets":[{"cidr":"10.0.0.0/24"}]}` {
		t.Errorf("filtered by cidr: %s", got.text)
	}
	a.want(204, "DELETE", "/v2.0/subnets/"+six, "red", "")
	a.want(404, "GET", "/v2.0/subnets/"+six, "red", "")
}

func TestPortRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"network_id": "`+network+`", "tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 47}}`))
	group := idOf(a.want(200, "GET", "/v2.0/security-groups?name=default", "red", "").list(t)[0])
	names[network], names[subnet], names[segment], names[group] = "NET", "SUBNET", "SEGMENT", "GROUP"

	made := a.want(201, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "name": "p", "mac_address": "0200.0500.0001", "fixed_ips": [{"subnet_id": "`+subnet+`", "ip_address": "10.0.0.9"}], "device_id": "vm1", "device_owner": "compute:nova"}}`)
	member := func(more string) string {
		return `{"port":{"id":"ID5","tenant_id":"red","project_id":"red","description":"","name":"p","network_id":"NET","admin_state_up":true,"status":"DOWN","status_reason":"",
			"mac_address":"02:00:05:00:00:01","segment_id":"SEGMENT","fixed_ips":[{"subnet_id":"SUBNET","ip_address":"10.0.0.9"}],"security_groups":["GROUP"],
			"device_id":"vm1","device_owner":"compute:nova",` + more + `"binding:vnic_type":"normal","port_security_enabled":true,"allowed_address_pairs":[],"extra_dhcp_opts":[],
			"qos_policy_id":null,"qos_network_policy_id":null,"dns_name":"","dns_domain":"","dns_assignment":[{"ip_address":"10.0.0.9","hostname":"host-10-0-0-9","fqdn":"host-10-0-0-9.openstacklocal."}],
			"data_plane_status":null,"numa_affinity_policy":null,"device_profile":null,"propagate_uplink_status":true,"created_at":"TIME","updated_at":"TIME","revision_number":`
	}
	a.wantBody(names, made, member("")+`1,"tags":[]}}`)
	id := idOf(made.object(t))
	a.wantBody(names, a.want(200, "PUT", "/v2.0/ports/"+id, "admin", `{"port": {"binding:host_id": "00000000000000A1", "binding:profile": {"interface_name": "s1-eth1"}}}`),
		member(`"binding:host_id":"00000000000000a1","binding:profile":{"interface_name":"s1-eth1"},"binding:vif_type":"ovs","binding:vif_details":{"connectivity":"l2","port_filter":true},`)+`2,"tags":[]}}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/ports/"+id, "red", ""), member("")+`2,"tags":[]}}`)

	// The flows are in: unbinding must take the status back with it.
	if err := a.store.SetPortStatus(t.Context(), 0xa1, []store.PortState{{ID: id, Status: intent.PortActive}}); err != nil {
		t.Fatal(err)
	}
	if got := a.want(200, "GET", "/v2.0/ports?status=ACTIVE&fields=status", "red", ""); got.text != `{"ports":[{"status":"ACTIVE"}]}` {
		t.Errorf("filtered by status: %s", got.text)
	}
	got := a.want(200, "PUT", "/v2.0/ports/"+id, "admin", `{"port": {"binding:host_id": ""}}`).object(t)
	if got["status"] != "DOWN" || got["binding:host_id"] != "" || got["binding:vif_type"] != "unbound" || len(got["binding:profile"].(map[string]any)) != 0 {
		t.Errorf("unbound port: %v", got)
	}

	other := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "other"}}`))
	got = a.want(200, "PUT", "/v2.0/ports/"+id, "red", `{"port": {"security_groups": ["`+strings.ToUpper(other)+`"], "fixed_ips": [{"subnet_id": "`+subnet+`"}, {"ip_address": "10.0.0.77"}], "name": "q", "admin_state_up": false}}`).object(t)
	if g := got["security_groups"].([]any); len(g) != 1 || g[0] != other {
		t.Errorf("security groups %v, want %s", g, other)
	}
	if ips := got["fixed_ips"].([]any); len(ips) != 2 || ips[1].(map[string]any)["ip_address"] != "10.0.0.77" {
		t.Errorf("fixed IPs %v, want one of the subnet and 10.0.0.77", ips)
	}
	got = a.want(200, "PUT", "/v2.0/ports/"+id, "red", `{"port": {"security_groups": [], "fixed_ips": null}}`).object(t)
	if len(got["security_groups"].([]any))+len(got["fixed_ips"].([]any)) != 0 {
		t.Errorf("emptied port: %v", got)
	}
	if got := a.want(200, "PUT", "/v2.0/ports/"+id, "admin", `{"port": {"mac_address": "02:00:05:00:00:00"}}`).object(t); got["mac_address"] != "02:00:05:00:00:00" {
		t.Errorf("MAC address changed by an administrator: %v", got)
	}
	a.want(204, "DELETE", "/v2.0/ports/"+id, "red", "")
	a.want(404, "DELETE", "/v2.0/ports/"+id, "red", "")
}

func TestPortsAreMadeInBulkInRequestOrder(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 6, "cidr": "2001:db8::/64"}}`)
	var bodies []string
	for _, name := range []string{"c", "a", "b"} {
		bodies = append(bodies, `{"network_id": "`+network+`", "name": "`+name+`"}`)
	}
	made := a.want(201, "POST", "/v2.0/ports", "red", `{"ports": [`+strings.Join(bodies, ",")+`]}`).list(t)
	order := ""
	macs := map[any]bool{}
	for _, p := range made {
		order += p["name"].(string)
		macs[p["mac_address"]] = true
		if m := mac.MustParse(p["mac_address"].(string)); !mac.MustParseSegment("02:ff:00:00:00:00/16").Contains(m) {
			t.Errorf("MAC address %s is not of the shared default segment", m)
		}
		if ips := p["fixed_ips"].([]any); len(ips) != 2 {
			t.Errorf("fixed IPs %v, want one of each family", ips)
		}
	}
	if order != "cab" || len(macs) != 3 {
		t.Errorf("ports in order %q with %d MAC addresses, want cab with 3", order, len(macs))
	}
}

func TestSecurityGroupRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	rule := func(id, group, direction, ethertype, remote string) string {
		return `{"id":"` + id + `","tenant_id":"red","project_id":"red","description":"","security_group_id":"` + group + `","direction":"` + direction + `","ethertype":"` + ethertype +
			`","protocol":null,"port_range_min":null,"port_range_max":null,"remote_ip_prefix":null,"normalized_cidr":null,"remote_group_id":` + remote +
			`,"remote_address_group_id":null,"remote_mac":null,"remote_mac_segment_id":null,"created_at":"TIME","updated_at":"TIME","revision_number":1}`
	}
	a.wantBody(names, a.want(200, "GET", "/v2.0/security-groups", "red", ""), `{"security_groups":[{"id":"ID1","tenant_id":"red","project_id":"red","description":"Default security group","name":"default",
		"shared":false,"stateful":true,"security_group_rules":[`+rule("ID2", "ID1", "egress", "IPv4", "null")+`,`+rule("ID3", "ID1", "egress", "IPv6", "null")+`,`+
		rule("ID4", "ID1", "ingress", "IPv4", `"ID1"`)+`,`+rule("ID5", "ID1", "ingress", "IPv6", `"ID1"`)+`],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}]}`)
	made := a.want(201, "POST", "/v2.0/security-groups", "red", `{"security_group": {"name": "web", "description": "web"}}`)
	a.wantBody(names, made, `{"security_group":{"id":"ID6","tenant_id":"red","project_id":"red","description":"web","name":"web","shared":false,"stateful":true,
		"security_group_rules":[`+rule("ID7", "ID6", "egress", "IPv4", "null")+`,`+rule("ID8", "ID6", "egress", "IPv6", "null")+`],"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}}`)
	web := idOf(made.object(t))

	made = a.want(201, "POST", "/v2.0/security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+web+`", "direction": "ingress", "protocol": "TCP", "port_range_min": "80", "port_range_max": 443, "remote_ip_prefix": "10.1.2.3/8"}}`)
	tcp := `{"id":"ID9","tenant_id":"red","project_id":"red","description":"DESCRIPTION","security_group_id":"ID6","direction":"ingress","ethertype":"IPv4","protocol":"tcp",
		"port_range_min":80,"port_range_max":443,"remote_ip_prefix":"10.1.2.3/8","normalized_cidr":"10.0.0.0/8","remote_group_id":null,"remote_address_group_id":null,"remote_mac":null,"remote_mac_segment_id":null,"created_at":"TIME","updated_at":"TIME","revision_number":`
	a.wantBody(names, made, `{"security_group_rule":`+strings.Replace(tcp, "DESCRIPTION", "", 1)+`1}}`)
	id := idOf(made.object(t))
	a.wantBody(names, a.want(200, "PUT", "/v2.0/security-group-rules/"+id, "red", `{"security_group_rule": {"description": "HTTP"}}`),
		`{"security_group_rule":`+strings.Replace(tcp, "DESCRIPTION", "HTTP", 1)+`2}}`)
	a.want(400, "PUT", "/v2.0/security-group-rules/"+id, "red", `{"security_group_rule": {"direction": "egress"}}`)
	if got := a.want(200, "GET", "/v2.0/security-group-rules?protocol=tcp&security_group_id="+web, "red", "").list(t); len(got) != 1 || idOf(got[0]) != id {
		t.Errorf("rules of TCP: %v", got)
	}
	if got := a.want(200, "GET", "/v2.0/security-groups/"+web, "red", "").object(t); got["revision_number"] != float64(3) || len(got["security_group_rules"].([]any)) != 3 {
		t.Errorf("group after its rule was made and changed: %v", got)
	}
	a.want(204, "DELETE", "/v2.0/security-group-rules/"+id, "red", "")
	a.want(409, "PUT", "/v2.0/security-groups/"+nameToID(names, "ID1"), "red", `{"security_group": {"name": "mine"}}`)
	kind, _ := a.want(409, "DELETE", "/v2.0/security-groups/"+nameToID(names, "ID1"), "red", "").message(t)
	if kind != "SecurityGroupCannotRemoveDefault" {
		t.Errorf("type %s", kind)
	}
	a.want(200, "PUT", "/v2.0/security-groups/"+web, "red", `{"security_group": {"name": "w2"}}`)
	a.want(204, "DELETE", "/v2.0/security-groups/"+web, "red", "")
	a.want(204, "DELETE", "/v2.0/security-groups/"+nameToID(names, "ID1"), "admin", "")
}

func nameToID(names map[string]string, name string) string {
	for id, n := range names {
		if n == name {
			return id
		}
	}
	return ""
}

func TestProtocolsAreKeptAsNeutronKeepsThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g"}}`))
	for _, c := range []struct{ attrs, protocol string }{
		{`"protocol": "icmp", "port_range_min": 8, "port_range_max": 0`, "icmp"},
		{`"protocol": "icmp", "ethertype": "IPv6"`, "ipv6-icmp"},
		{`"protocol": "icmpv6", "ethertype": "IPv6", "port_range_min": 128`, "ipv6-icmp"},
		{`"protocol": 17, "port_range_min": 53, "port_range_max": 53`, "17"},
		{`"protocol": "sctp", "port_range_min": 1, "port_range_max": 65535`, "sctp"},
		{`"protocol": "vrrp"`, "vrrp"},
		{`"protocol": "6", "remote_ip_prefix": "192.0.2.1"`, "6"},
		{`"protocol": "ip"`, "ip"},
	} {
		got := a.make("/v2.0/security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+group+`", "direction": "ingress", `+c.attrs+`}}`)
		if got["protocol"] != c.protocol {
			t.Errorf("%s: protocol %v, want %s", c.attrs, got["protocol"], c.protocol)
		}
	}
	if got := a.want(200, "GET", "/v2.0/security-group-rules?remote_ip_prefix=192.0.2.1/32", "red", "").list(t); len(got) != 1 {
		t.Errorf("a plain address is not kept as a /32: %v", got)
	}
}

func TestTenantRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	a.wantBody(names, a.want(201, "POST", "/v2.0/tenants", "admin", `{"tenant": {"id": "a/b c", "name": "lab"}}`),
		`{"tenant":{"id":"a/b c","tenant_id":"a/b c","project_id":"a/b c","name":"lab","description":"","enabled":true,"created_at":"TIME","updated_at":"TIME","revision_number":1}}`)
	a.wantBody(names, a.want(200, "PUT", "/v2.0/tenants/a%2Fb%20c", "admin", `{"tenant": {"name": "l2", "description": "d"}}`),
		`{"tenant":{"id":"a/b c","tenant_id":"a/b c","project_id":"a/b c","name":"l2","description":"d","enabled":true,"created_at":"TIME","updated_at":"TIME","revision_number":2}}`)
	if got := a.make("/v2.0/tenants", "admin", `{"tenant": {}}`); idOf(got) == "" || got["tenant_id"] != got["id"] {
		t.Errorf("tenant without an id: %v", got)
	}
	a.make("/v2.0/networks", "red", `{"network": {}}`)
	if got := a.want(200, "GET", "/v2.0/tenants?id=red", "admin", "").list(t); len(got) != 1 {
		t.Errorf("tenant after its first object: %v", got)
	}
	a.want(204, "DELETE", "/v2.0/tenants/a%2Fb%20c", "admin", "")
	a.want(404, "GET", "/v2.0/tenants/a%2Fb%20c", "admin", "")
}

func TestListsFilterByAnyOfTheValuesOfEachAttribute(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, n := range []string{`"name": "a"`, `"name": "b", "admin_state_up": false`, `"name": "", "description": "x"`, `"name": "a", "tenant_id": "red"`} {
		a.make("/v2.0/networks", "admin", `{"network": {`+n+`}}`)
	}
	id := idOf(a.want(200, "GET", "/v2.0/networks?name=b", "admin", "").list(t)[0])
	for query, want := range map[string]int{
		"":                                   4,
		"?name=a":                            2,
		"?name=a&name=b":                     3,
		"?name=a&admin_state_up=False":       0,
		"?name=b&admin_state_up=False":       1,
		"?name=":                             1,
		"?description=x":                     1,
		"?admin_state_up=True":               3,
		"?tenant_id=red":                     1,
		"?project_id=red":                    1,
		"?project_id=red&tenant_id=red":      1,
		"?project_id=red&tenant_id=ops":      0,
		"?project_id=red&project_id=ops":     4,
		"?id=" + id:                          1,
		"?id=" + strings.ToUpper(id):         1,
		"?id=b":                              0,
		"?id=b&id=" + id:                     1,
		"?name=%00":                          0,
		"?name=%ff":                          0,
		"?status=ACTIVE":                     4,
		"?shared=False":                      4,
		"?shared=True":                       0,
		"?mtu=1450":                          4,
		"?provider:network_type=vxlan":       4,
		"?provider:segmentation_id=16777215": 0,
		"?revision_number=1":                 4,
	} {
		if got := len(a.want(http.StatusOK, "GET", "/v2.0/networks"+query, "admin", "").list(t)); got != want {
			t.Errorf("networks%s: %d, want %d", query, got, want)
		}
	}
	// A value is taken in the notations that a body may give it in.
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {}}`))
	a.make("/v2.0/security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+group+`", "direction": "ingress", "protocol": "TCP", "remote_ip_prefix": "10.0.0.1"}}`)
	for query, want := range map[string]int{
		"": 3, "&protocol=tcp": 1, "&protocol=TCP": 1, "&protocol=udp": 0,
		"&remote_ip_prefix=10.0.0.1/32": 1, "&remote_ip_prefix=10.0.0.1": 1, "&remote_ip_prefix=10.0.0.2": 0, "&remote_ip_prefix=nonsense": 0,
	} {
		if got := len(a.want(http.StatusOK, "GET", "/v2.0/security-group-rules?security_group_id="+group+query, "red", "").list(t)); got != want {
			t.Errorf("rules%s: %d, want %d", query, got, want)
		}
	}
}

func TestPortFilters(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g"}}`))
	a.make("/v2.0/ports", "admin", `{"port": {"tenant_id": "red", "network_id": "`+network+`", "mac_address": "02:00:09:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.9"}], "security_groups": ["`+group+`"],
		"device_id": "vm1", "device_owner": "compute:nova", "binding:host_id": "00000000000000a1", "binding:profile": {"port_no": 3}}}`)
	a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "fixed_ips": []}}`)
	for query, want := range map[string]int{
		"network_id=" + network: 2, "mac_address=02-00-09-00-00-01": 1, "mac_address=nonsense": 0, "device_id=vm1": 1, "device_id=": 1,
		"device_owner=compute:nova": 1, "status=DOWN": 2, "status=ACTIVE": 0, "admin_state_up=True": 2, "security_groups=" + group: 1,
		"fixed_ips=ip_address%3D10.0.0.9": 1, "fixed_ips=ip_address%3D10.0.0.8": 0, "fixed_ips=subnet_id%3D" + subnet: 1,
		"fixed_ips=ip_address_substr%3D10.0.0.": 1, "fixed_ips=ip_address_substr%3D.7": 0,
		"fixed_ips=ip_address%3D10.0.0.9&fixed_ips=subnet_id%3D" + subnet: 1,
	} {
		if got := len(a.want(http.StatusOK, "GET", "/v2.0/ports?"+query, "red", "").list(t)); got != want {
			t.Errorf("ports?%s: %d, want %d", query, got, want)
		}
	}
	for query, want := range map[string]int{"binding:host_id=00000000000000A1": 1, "binding:host_id=00000000000000a2": 0, "binding:host_id=": 1} {
		if got := len(a.want(http.StatusOK, "GET", "/v2.0/ports?"+query, "admin", "").list(t)); got != want {
			t.Errorf("ports?%s: %d, want %d", query, got, want)
		}
	}
}
