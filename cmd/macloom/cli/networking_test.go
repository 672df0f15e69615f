package cli

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/northbound"
)

// description is what the API says of itself.
type description struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name string }
	}
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any
		}
	}
}

func apiOf(t *testing.T) description {
	t.Helper()
	api := northbound.New(northbound.Options{Store: &store.Store{}, Tokens: &northbound.Tokens{}, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var doc description
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every flag is an attribute that the API takes where the flag is offered, and
// every column one that it shows.
func TestFlagsAndColumnsAreAttributesOfTheAPI(t *testing.T) {
	t.Parallel()
	doc := apiOf(t)
	for _, r := range []resource{tenantResource, networkResource, subnetResource, portResource, securityGroupResource, ruleResource, qosPolicyResource} {
		path := "/v2.0/" + r.path
		words := map[string]map[string]bool{}
		for method, at := range map[string]string{"get": path, "delete": path + "/{id}"} {
			words[method] = map[string]bool{}
			for _, p := range doc.Paths[at][method].Parameters {
				words[method][p.Name] = true
			}
		}
		has := func(suffix, attribute string) bool {
			_, ok := doc.Components.Schemas[r.single+suffix].Properties[attribute]
			return ok || attribute == portRange
		}
		options := r.options
		if r.word != nil {
			word := *r.word
			word.on = onCreate
			options = append(options[:len(options):len(options)], word)
		}
		for _, o := range options {
			if o.on&onCreate != 0 && !has("_new", o.attribute) {
				t.Errorf("%s create --%s: the API takes no %s", r.use, o.flag, o.attribute)
			}
			if o.on&onSet != 0 && !has("_change", o.attribute) {
				t.Errorf("%s set --%s: the API takes no %s", r.use, o.flag, o.attribute)
			}
			if o.on&onList != 0 && !words["get"][o.attribute] {
				t.Errorf("%s list --%s: the API does not filter by %s", r.use, o.flag, o.attribute)
			}
		}
		for _, o := range r.deletion {
			if !words["delete"][o.attribute] {
				t.Errorf("%s delete --%s: the API has no %s", r.use, o.flag, o.attribute)
			}
		}
		for _, column := range r.columns {
			if !has("", column) {
				t.Errorf("%s list: the API shows no %s", r.use, column)
			}
		}
	}
}

// Each flag of a rule is an attribute of rules of some type, and each type one of the API.
func TestFlagsOfQoSRulesAreAttributesOfTheAPI(t *testing.T) {
	t.Parallel()
	doc := apiOf(t)
	for _, kind := range qosRuleTypes {
		if _, ok := doc.Paths["/v2.0/qos/policies/{policy_id}/"+kind+"_rules"]; !ok {
			t.Errorf("the API has no rules of type %s", kind)
		}
	}
	for _, o := range qosRuleOptions {
		taken := false
		for _, kind := range qosRuleTypes {
			for _, suffix := range []string{"_rule_new", "_rule_change"} {
				_, ok := doc.Components.Schemas[kind+suffix].Properties[o.attribute]
				taken = taken || ok
			}
		}
		if !taken {
			t.Errorf("--%s: no rule has %s", o.flag, o.attribute)
		}
	}
}

const someID = "7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"

func TestWhatIsTypedBecomesTheBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		path string
		body string
	}{
		{[]string{"tenant", "create", "demo", "--name", "Demo", "--enabled=false"}, "tenants", `{"tenant":{"enabled":false,"id":"demo","name":"Demo"}}`},
		{[]string{"network", "create"}, "networks", `{"network":{}}`},
		{[]string{"network", "create", "n", "--mtu", "1400", "--external", "--qos-policy", someID}, "networks",
			`{"network":{"mtu":1400,"name":"n","qos_policy_id":"` + someID + `","router:external":true}}`},
		{[]string{"subnet", "create", "--network", someID, "--cidr", "2001:db8::/64", "--gateway", "none", "--dhcp=false", "--pool", "2001:db8::1-2001:db8::9", "--route", "::/0=2001:db8::1"}, "subnets",
			`{"subnet":{"allocation_pools":[{"end":"2001:db8::9","start":"2001:db8::1"}],"cidr":"2001:db8::/64","enable_dhcp":false,"gateway_ip":null,"host_routes":[{"destination":"::/0","nexthop":"2001:db8::1"}],"ip_version":6,"network_id":"` + someID + `"}}`},
		{[]string{"port", "create", "--network", someID, "--ip", "10.0.0.7", "--subnet", someID, "--security-group", "none", "--pair", "10.0.0.8=02:00:05:00:00:01", "--pair", "10.1.0.0/24"}, "ports",
			`{"port":{"allowed_address_pairs":[{"ip_address":"10.0.0.8","mac_address":"02:00:05:00:00:01"},{"ip_address":"10.1.0.0/24"}],"fixed_ips":[{"ip_address":"10.0.0.7"},{"subnet_id":"` + someID + `"}],"network_id":"` + someID + `","security_groups":[]}}`},
		{[]string{"security-group-rule", "create", someID, "--protocol", "tcp", "--port", "80:81", "--remote-ip", "::/0"}, "security-group-rules",
			`{"security_group_rule":{"direction":"ingress","ethertype":"IPv6","port_range_max":81,"port_range_min":80,"protocol":"tcp","remote_ip_prefix":"::/0","security_group_id":"` + someID + `"}}`},
		{[]string{"security-group-rule", "create", someID, "--protocol", "udp", "--port", "53", "--direction", "egress"}, "security-group-rules",
			`{"security_group_rule":{"direction":"egress","port_range_max":53,"port_range_min":53,"protocol":"udp","security_group_id":"` + someID + `"}}`},
		{[]string{"security-group-rule", "create", someID, "--protocol", "icmp", "--port", "8"}, "security-group-rules",
			`{"security_group_rule":{"direction":"ingress","port_range_min":8,"protocol":"icmp","security_group_id":"` + someID + `"}}`},
		{[]string{"mac-allow-list", "create", "known", "--network", someID, "--segment", someID, "--mac", "52:54:00:00:00:00/24", "--mac", "00:00:5e:00:01:07"}, "mac-allow-lists",
			`{"mac_allow_list":{"entries":[{"prefix":"52:54:00:00:00:00/24"},{"mac_address":"00:00:5e:00:01:07"},{"mac_segment_id":"` + someID + `"}],"name":"known","network_id":"` + someID + `"}}`},
		{[]string{"affinity-pool", "create", "web", "--network", someID, "--protocol", "tcp", "--port", "80", "--ip", "10.0.0.100"}, "mac-affinity/pools",
			`{"affinity_pool":{"name":"web","network_id":"` + someID + `","protocol":"tcp","protocol_port":80,"vip_address":"10.0.0.100"}}`},
		{[]string{"affinity-pool", "create", "web", "--network", someID, "--protocol", "tcp", "--port", "80", "--monitor", "http delay=5 url_path=/healthz expected_codes=200,204"}, "mac-affinity/pools",
			`{"affinity_pool":{"health_monitor":{"delay":5,"expected_codes":"200,204","type":"http","url_path":"/healthz"},"name":"web","network_id":"` + someID + `","protocol":"tcp","protocol_port":80}}`},
		{[]string{"affinity-pool", "create", "web", "--network", someID, "--protocol", "tcp", "--port", "80", "--monitor", "none"}, "mac-affinity/pools",
			`{"affinity_pool":{"health_monitor":null,"name":"web","network_id":"` + someID + `","protocol":"tcp","protocol_port":80}}`},
		{[]string{"affinity-backend", "create", someID, "--instance-port", someID, "--port", "8080", "--weight", "2"}, "mac-affinity/backends",
			`{"affinity_backend":{"pool_id":"` + someID + `","port_id":"` + someID + `","protocol_port":8080,"weight":2}}`},
		{[]string{"qos-policy", "create", "voice", "--tenant", someID, "--shared", "--default=false"}, "qos/policies",
			`{"policy":{"is_default":false,"name":"voice","shared":true,"tenant_id":"` + someID + `"}}`},
	} {
		single := map[string]string{"qos/policies": "policy", "mac-affinity/pools": "affinity_pool", "mac-affinity/backends": "affinity_backend", "mac-allow-lists": "mac_allow_list", "tenants": "tenant", "networks": "network", "subnets": "subnet", "ports": "port", "security-group-rules": "security_group_rule"}[c.path]
		s := newStandIn(t, map[string]string{"POST /" + c.path: `{"` + single + `": {"id": "x"}}`})
		s.run(c.args...)
		s.wantRequests("POST /" + c.path + " " + c.body)
	}
}

func TestTheGuardIsSetByNetwork(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{
		"GET /networks?fields=id&name=front":      `{"networks": [{"id": "n1"}]}`,
		"GET /mac-guards?fields=id&network_id=n1": `{"mac_guards": []}`,
		"GET /mac-guards?fields=id&network_id=":   `{"mac_guards": [{"id": "g1"}]}`,
		"POST /mac-guards":                        `{"mac_guard": {"id": "g2"}}`,
		"PUT /mac-guards/g1":                      `{"mac_guard": {"id": "g1"}}`,
		"DELETE /mac-guards/g1":                   "",
	})
	s.run("mac-guard", "set", "front", "--action", "block-mac", "--moves", "3", "--exempt", "00:00:5e:00:01:00/40", "--trusted", "00000000000000a1:7")
	s.run("mac-guard", "set", "default", "--window", "30", "--recovery", "none", "--exempt", "none")
	s.run("mac-guard", "unset", "default")
	s.wantRequests(
		"GET /networks?fields=id&name=front", "GET /mac-guards?fields=id&network_id=n1",
		`POST /mac-guards {"mac_guard":{"action":"block-mac","exempt_macs":["00:00:5e:00:01:00/40"],"moves":3,"network_id":"n1","trusted_ports":[{"port":7,"switch":"00000000000000a1"}]}}`,
		"GET /mac-guards?fields=id&network_id=", `PUT /mac-guards/g1 {"mac_guard":{"exempt_macs":[],"recovery_seconds":null,"window_seconds":30}}`,
		"GET /mac-guards?fields=id&network_id=", "DELETE /mac-guards/g1",
	)
}

func TestRulesOfAQoSPolicyAreNamedByTypeOrID(t *testing.T) {
	t.Parallel()
	const mine = "GET /qos/policies?fields=id&name=voice"
	const limitIn, limitOut = "0c7f9be6-2f4e-4ea3-8be6-9f6c3c8f0001", "0c7f9be6-2f4e-4ea3-8be6-9f6c3c8f0002"
	s := newStandIn(t, map[string]string{
		mine: `{"policies": [{"id": "p1"}]}`,
		"GET /qos/policies/p1": `{"policy": {"id": "p1", "rules": [
			{"type": "priority", "qos_policy_id": "p1", "id": "` + someID + `", "tenant_id": "a", "project_id": "a", "class": 5, "direction": "egress"},
			{"type": "bandwidth_limit", "qos_policy_id": "p1", "id": "` + limitIn + `", "max_kbps": 1, "direction": "ingress"},
			{"type": "bandwidth_limit", "qos_policy_id": "p1", "id": "` + limitOut + `", "max_kbps": 2, "direction": "egress"}]}}`,
		"PUT /qos/policies/p1/priority_rules/" + someID:             `{"priority_rule": {"id": "r"}}`,
		"DELETE /qos/policies/p1/priority_rules/" + someID:          "",
		"DELETE /qos/policies/p1/bandwidth_limit_rules/" + limitOut: "",
		"POST /qos/policies/p1/priority_rules":                      `{"priority_rule": {"id": "r"}}`,
		"POST /qos/policies/p1/dscp_marking_rules":                  `{"dscp_marking_rule": {"id": "r"}}`,
		"POST /qos/policies/p1/bandwidth_limit_rules":               `{"bandwidth_limit_rule": {"id": "r"}}`,
		"POST /qos/policies/p1/packet_rate_limit_rules":             `{"packet_rate_limit_rule": {"id": "r"}}`,
		"POST /qos/policies/p1/minimum_bandwidth_rules":             `{"minimum_bandwidth_rule": {"id": "r"}}`,
		"POST /qos/policies/p1/minimum_packet_rate_rules":           `{"minimum_packet_rate_rule": {"id": "r"}}`,
		"GET /qos/policies/p1/statistics": `{"statistics": {"policy_id": "p1", "switches": 2, "silent_switches": 1, "counters": [
			{"type": "priority", "direction": "egress", "packets": 7, "bytes": 700, "dropped_packets": 0, "dropped_bytes": 0}]}}`,
	})
	for _, c := range []struct{ args, asked string }{
		{"priority --class 5 --direction ingress", `priority_rules {"priority_rule":{"class":5,"direction":"ingress"}}`},
		{"dscp-marking --dscp 46", `dscp_marking_rules {"dscp_marking_rule":{"dscp_mark":46}}`},
		{"bandwidth_limit --max-kbps 9 --max-burst-kbps 3", `bandwidth_limit_rules {"bandwidth_limit_rule":{"max_burst_kbps":3,"max_kbps":9}}`},
		{"packet-rate-limit --max-kpps 9 --max-burst-kpps 3", `packet_rate_limit_rules {"packet_rate_limit_rule":{"max_burst_kpps":3,"max_kpps":9}}`},
		{"minimum-bandwidth --min-kbps 4", `minimum_bandwidth_rules {"minimum_bandwidth_rule":{"min_kbps":4}}`},
		{"minimum-packet-rate --min-kpps 4 --direction any", `minimum_packet_rate_rules {"minimum_packet_rate_rule":{"direction":"any","min_kpps":4}}`},
	} {
		s.run(append([]string{"qos-policy", "rule", "add", "voice"}, strings.Fields(c.args)...)...)
		s.wantRequests(mine, "POST /qos/policies/p1/"+c.asked)
	}
	want(t, `
ID                                    TYPE             PARAMETERS
7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11  priority         class=5 direction=egress
0c7f9be6-2f4e-4ea3-8be6-9f6c3c8f0001  bandwidth_limit  max_kbps=1 direction=ingress
0c7f9be6-2f4e-4ea3-8be6-9f6c3c8f0002  bandwidth_limit  max_kbps=2 direction=egress
`, s.run("qos-policy", "rule", "list", "voice"))
	want(t, `
TYPE      DIRECTION  PACKETS  BYTES  DROPPED_PACKETS  DROPPED_BYTES
priority  egress     7        700    0                0
`, s.run("qos-policy", "statistics", "voice"))
	s.requests()

	s.run("qos-policy", "rule", "set", "voice", "priority", "--class", "6")
	s.wantRequests(mine, "GET /qos/policies/p1", "PUT /qos/policies/p1/priority_rules/"+someID+` {"priority_rule":{"class":6}}`)
	s.run("qos-policy", "rule", "delete", "voice", "priority", limitOut)
	s.wantRequests(mine, "GET /qos/policies/p1", "DELETE /qos/policies/p1/priority_rules/"+someID, "DELETE /qos/policies/p1/bandwidth_limit_rules/"+limitOut)

	for _, c := range []struct{ args, want string }{
		{"add voice speed --max-kbps 1", `"speed" is no type of rules: bandwidth_limit, dscp_marking`},
		{"add voice priority --class high", `--class: "high" is no whole number`},
		{"set voice priority", "say what to change"},
		{"set voice bandwidth_limit --max-kbps 3", "2 rules of type bandwidth_limit: give the id of one: " + limitIn},
		{"delete voice priority dscp_marking", "the policy has no rule of type dscp_marking"},
		{"delete voice 00000000-0000-0000-0000-000000000001", "the policy has no rule 00000000"},
		{"add voice", "accepts 2 arg(s)"},
	} {
		_, err := s.try(append([]string{"qos-policy", "rule"}, strings.Fields(c.args)...)...)
		wantError(t, err, c.want)
	}
	for _, asked := range s.requests() {
		if !strings.HasPrefix(asked, "GET ") {
			t.Errorf("what was refused has changed something: %s", asked)
		}
	}
}

func TestObjectsAreNamedAndChanged(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{
		"GET /networks?fields=id&name=front":                           `{"networks": [{"id": "n1"}]}`,
		"GET /ports?fields=id&mac_address=02%3A00%3A05%3A00%3A00%3A01": `{"ports": [{"id": "p1"}]}`,
		"GET /ports?network_id=n1&network_id=n1&status=ACTIVE":         `{"ports": []}`,
		"PUT /ports/p1":                  `{"port": {"id": "p1"}}`,
		"DELETE /ports/p1?keep_mac=true": "",
	})
	s.run("port", "list", "--network", "front", "--network", "front", "--status", "ACTIVE")
	s.run("port", "set", "02:00:05:00:00:01", "--admin-up=false", "--ip", "none")
	s.run("port", "delete", "02:00:05:00:00:01", "--keep-mac")
	s.wantRequests(
		"GET /networks?fields=id&name=front", "GET /networks?fields=id&name=front", "GET /ports?network_id=n1&network_id=n1&status=ACTIVE",
		"GET /ports?fields=id&mac_address=02%3A00%3A05%3A00%3A00%3A01", `PUT /ports/p1 {"port":{"admin_state_up":false,"fixed_ips":[]}}`,
		"GET /ports?fields=id&mac_address=02%3A00%3A05%3A00%3A00%3A01", "DELETE /ports/p1?keep_mac=true",
	)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"port", "set", someID}, "say what to change"},
		{[]string{"network", "create", "n", "--mtu", "big"}, `--mtu: "big" is no whole number`},
		{[]string{"subnet", "create", "--network", someID, "--pool", "10.0.0.1"}, "is not FIRST-LAST"},
		{[]string{"subnet", "create", "--network", someID, "--route", "10.0.0.1"}, "is not PREFIX=NEXTHOP"},
		{[]string{"security-group-rule", "create", someID, "--protocol", "tcp", "--port", "http"}, "is not PORT or FIRST:LAST"},
		{[]string{"security-group", "create"}, "accepts 1 arg(s)"},
		{[]string{"network", "show", "nowhere"}, "no GET /v2.0/networks"},
	} {
		_, err := s.try(c.args...)
		wantError(t, err, c.want)
	}
}
