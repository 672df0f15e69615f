package cli

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/northbound"
)

// Every flag is an attribute that the API takes where the flag is offered, and
// every column one that it shows.
func TestFlagsAndColumnsAreAttributesOfTheAPI(t *testing.T) {
	t.Parallel()
	api := northbound.New(northbound.Options{Store: &store.Store{}, Tokens: &northbound.Tokens{}, Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range []resource{tenantResource, networkResource, subnetResource, portResource, securityGroupResource, ruleResource} {
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
	} {
		single := map[string]string{"mac-allow-lists": "mac_allow_list", "tenants": "tenant", "networks": "network", "subnets": "subnet", "ports": "port", "security-group-rules": "security_group_rule"}[c.path]
		s := newStandIn(t, map[string]string{"POST /" + c.path: `{"` + single + `": {"id": "x"}}`})
		s.run(c.args...)
		s.wantRequests("POST /" + c.path + " " + c.body)
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
