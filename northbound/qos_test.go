package northbound

import (
	"strings"
	"testing"
)

func TestQoSPolicyRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	made := a.want(201, "POST", "/v2.0/qos/policies", "admin", `{"policy": {"name": "gold", "tenant_id": "red", "is_default": true}}`)
	id := idOf(made.object(t))
	names[id] = "POLICY"
	rules := "/v2.0/qos/policies/" + id
	a.wantBody(names, a.want(201, "POST", rules+"/bandwidth_limit_rules", "admin", `{"bandwidth_limit_rule": {"max_kbps": "1000"}}`),
		`{"bandwidth_limit_rule":{"id":"ID2","tenant_id":"red","project_id":"red","max_kbps":1000,"max_burst_kbps":0,"direction":"egress"}}`)
	a.want(201, "POST", rules+"/dscp_marking_rules", "admin", `{"dscp_marking_rule": {"dscp_mark": 26}}`)
	a.want(201, "POST", rules+"/minimum_packet_rate_rules", "admin", `{"minimum_packet_rate_rule": {"min_kpps": 5, "direction": "any"}}`)
	got := a.want(200, "GET", "/v2.0/qos/policies/"+id+"?fields=rules&fields=is_default&fields=revision_number", "red", "")
	a.wantBody(names, got, `{"policy":{"is_default":true,"rules":[
		{"type":"bandwidth_limit","qos_policy_id":"POLICY","id":"ID2","tenant_id":"red","project_id":"red","max_kbps":1000,"max_burst_kbps":0,"direction":"egress"},
		{"type":"dscp_marking","qos_policy_id":"POLICY","id":"ID3","tenant_id":"red","project_id":"red","dscp_mark":26},
		{"type":"minimum_packet_rate","qos_policy_id":"POLICY","id":"ID4","tenant_id":"red","project_id":"red","min_kpps":5,"direction":"any"}],"revision_number":4}}`)

	a.want(201, "POST", rules+"/priority_rules", "admin", `{"priority_rule": {"class": 5}}`)
	for body, attribute := range map[string]string{
		`{"priority_rule": {"class": 8, "direction": "ingress"}}`: "class", `{"priority_rule": {"direction": "ingress"}}`: "class", `{"priority_rule": {"class": 1, "direction": "any"}}`: "direction",
	} {
		if got := a.want(400, "POST", rules+"/priority_rules", "admin", body); !strings.Contains(got.text, attribute) {
			t.Errorf("%s: %s", body, got.text)
		}
	}
	if got := a.want(409, "POST", rules+"/priority_rules", "admin", `{"priority_rule": {"class": 6}}`); !strings.Contains(got.text, "QoSRulesConflict") {
		t.Error(got.text)
	}

	limit := a.want(200, "GET", rules+"/bandwidth_limit_rules", "red", "").list(t)[0]
	if got := a.want(200, "GET", rules+"/bandwidth_limit_rules?max_kbps=7", "red", "").list(t); len(got) != 0 {
		t.Errorf("rules with another limit: %v", got)
	}
	a.want(200, "PUT", rules+"/bandwidth_limit_rules/"+idOf(limit), "admin", `{"bandwidth_limit_rule": {"max_kbps": 2000, "max_burst_kbps": 100}}`)
	for _, path := range []string{"alias-bandwidth-limit-rules/", "qos/alias_bandwidth_limit_rules/"} {
		got := a.want(200, "GET", "/v2.0/"+path+idOf(limit), "red", "")
		if !strings.HasPrefix(got.text, `{"alias_bandwidth_limit_rule":`) || got.object(t)["max_kbps"] != float64(2000) {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	a.want(200, "PUT", "/v2.0/qos/alias_bandwidth_limit_rules/"+idOf(limit), "admin", `{"alias_bandwidth_limit_rule": {"direction": "ingress"}}`)
	a.want(204, "DELETE", "/v2.0/qos/alias_bandwidth_limit_rules/"+idOf(limit), "admin", "")
	a.want(404, "GET", rules+"/bandwidth_limit_rules/"+idOf(limit), "admin", "")
	a.want(204, "DELETE", "/v2.0/qos/policies/"+id, "admin", "")
	a.want(404, "GET", rules+"/dscp_marking_rules", "admin", "")
}

func TestRulesAreFoundOnlyInTheirPolicyAndUnderTheirType(t *testing.T) {
	t.Parallel()
	a := setup(t)
	mine := "/v2.0/qos/policies/" + idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {}}`))
	other := "/v2.0/qos/policies/" + idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {}}`))
	rule := idOf(a.make(mine+"/bandwidth_limit_rules", "admin", `{"bandwidth_limit_rule": {"max_kbps": 1}}`))
	for _, path := range []string{other + "/bandwidth_limit_rules/", mine + "/minimum_bandwidth_rules/", "/v2.0/qos/alias_minimum_bandwidth_rules/", mine + "x/bandwidth_limit_rules/"} {
		single := strings.TrimSuffix(path[strings.LastIndex(strings.TrimSuffix(path, "/"), "/")+1:], "s/")
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			kind, _ := a.want(404, method, path+rule, "admin", `{"`+single+`": {"direction": "ingress"}}`).message(t)
			if want := "QosRuleNotFound"; kind != want && !strings.Contains(path, "x/") {
				t.Errorf("%s %s: %s, want %s", method, path, kind, want)
			}
		}
	}
	if got := a.want(200, "GET", mine+"/bandwidth_limit_rules/"+rule, "admin", "").object(t); got["direction"] != "egress" {
		t.Errorf("the rule has been changed: %v", got)
	}
}

func TestQoSPoliciesRefuseWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red", "is_default": true}}`)
	policy := "/v2.0/qos/policies/" + idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red"}}`))
	a.make(policy+"/bandwidth_limit_rules", "admin", `{"bandwidth_limit_rule": {"max_kbps": 100}}`)
	a.make(policy+"/minimum_packet_rate_rules", "admin", `{"minimum_packet_rate_rule": {"min_kpps": 100}}`)
	for _, c := range []struct {
		method, path, body string
		code               int
		kind               string
	}{
		{"POST", "/v2.0/qos/policies", `{"policy": {"tenant_id": "red", "is_default": true}}`, 409, "QoSPolicyDefaultAlreadyExists"},
		{"PUT", policy, `{"policy": {"is_default": true}}`, 409, "QoSPolicyDefaultAlreadyExists"},
		{"POST", "/v2.0/qos/policies", `{"policy": {"name": "` + strings.Repeat("x", 256) + `"}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": 200}}`, 409, "QoSRulesConflict"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": -1}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": 2147483648}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": 1, "direction": "any"}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": 1, "direction": "ingress", "tenant_id": "blue"}}`, 400, "InvalidInput"},
		{"POST", policy + "/dscp_marking_rules", `{"dscp_marking_rule": {"dscp_mark": 2}}`, 400, "HTTPBadRequest"},
		{"POST", policy + "/minimum_bandwidth_rules", `{"minimum_bandwidth_rule": {"min_kbps": 101}}`, 409, "QoSRuleParameterConflict"},
		{"POST", policy + "/minimum_packet_rate_rules", `{"minimum_packet_rate_rule": {"min_kpps": 1, "direction": "any"}}`, 409, "QoSRulesConflict"},
		{"POST", policy + "/packet_rate_limit_rules", `{"packet_rate_limit_rule": {"max_kpps": 99}}`, 409, "QoSRuleParameterConflict"},
		{"POST", policy + "0/packet_rate_limit_rules", `{"packet_rate_limit_rule": {"max_kpps": 99}}`, 404, "QosPolicyNotFound"},
	} {
		kind, message := a.want(c.code, c.method, c.path, "admin", c.body).message(t)
		if kind != c.kind {
			t.Errorf("%s %s %s: %s %s, want %s", c.method, c.path, c.body, kind, message, c.kind)
		}
	}
	// The message names what is wrong, and what would be right.
	if _, message := a.want(400, "POST", policy+"/dscp_marking_rules", "admin", `{"dscp_marking_rule": {"dscp_mark": 47}}`).message(t); !strings.Contains(message, "dscp_mark") || !strings.Contains(message, "46, 48") {
		t.Errorf("a DSCP that is not in the list: %s", message)
	}
	// Nor may a change bring together what does not go together.
	inward := idOf(a.make(policy+"/bandwidth_limit_rules", "admin", `{"bandwidth_limit_rule": {"max_kbps": 50, "direction": "ingress"}}`))
	least := idOf(a.make(policy+"/minimum_bandwidth_rules", "admin", `{"minimum_bandwidth_rule": {"min_kbps": 100}}`))
	for _, c := range []struct{ path, body, kind string }{
		{"/bandwidth_limit_rules/" + inward, `{"bandwidth_limit_rule": {"direction": "egress"}}`, "QoSRulesConflict"},
		{"/minimum_bandwidth_rules/" + least, `{"minimum_bandwidth_rule": {"min_kbps": 101}}`, "QoSRuleParameterConflict"},
	} {
		if kind, message := a.want(409, "PUT", policy+c.path, "admin", c.body).message(t); kind != c.kind {
			t.Errorf("%s %s: %s %s, want %s", c.path, c.body, kind, message, c.kind)
		}
	}
	a.want(403, "POST", policy+"/dscp_marking_rules", "red", `{"dscp_marking_rule": {"dscp_mark": 8}}`)
	a.want(404, "GET", policy, "blue", "")
	a.want(404, "GET", policy+"/bandwidth_limit_rules", "blue", "")
}

func TestQoSPoliciesAreHeldByWhatNamesThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	byDefault := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red", "is_default": true}}`))
	other := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red"}}`))
	network := a.make("/v2.0/networks", "red", `{"network": {}}`)
	if network["qos_policy_id"] != byDefault {
		t.Errorf("a new network has the policy %v, want the default one %s", network["qos_policy_id"], byDefault)
	}
	if got := a.make("/v2.0/networks", "blue", `{"network": {}}`); got["qos_policy_id"] != nil {
		t.Errorf("a network of another tenant has the policy %v", got["qos_policy_id"])
	}
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+idOf(network)+`", "qos_policy_id": "`+other+`"}}`))
	for policy, by := range map[string]string{byDefault: "networks", other: "ports"} {
		kind, message := a.want(409, "DELETE", "/v2.0/qos/policies/"+policy, "admin", "").message(t)
		if kind != "QosPolicyInUse" || !strings.Contains(message, by) {
			t.Errorf("deleting the policy of %s: %s %s", by, kind, message)
		}
	}
	a.want(200, "PUT", "/v2.0/ports/"+port, "red", `{"port": {"qos_policy_id": null}}`)
	a.want(200, "PUT", "/v2.0/networks/"+idOf(network), "red", `{"network": {"qos_policy_id": null}}`)
	for _, policy := range []string{byDefault, other} {
		a.want(204, "DELETE", "/v2.0/qos/policies/"+policy, "admin", "")
	}
}

func TestAPolicyIsGivenOnlyToWhatCanEnforceIt(t *testing.T) {
	t.Parallel()
	a := setup(t)
	policy := func(rules ...string) string {
		id := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"shared": true}}`))
		for _, rule := range rules {
			kind, body, _ := strings.Cut(rule, " ")
			a.make("/v2.0/qos/policies/"+id+"/"+kind+"s", "admin", `{"`+kind+`": `+body+`}`)
		}
		return id
	}
	refused := func(method, path, body string) {
		t.Helper()
		if got := a.want(409, method, path, "admin", body); !strings.Contains(got.text, "QosRuleNotSupported") {
			t.Errorf("%s %s: %s", method, path, got.text)
		}
	}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "02:00:05:00:00:00", "prefix_length": 24}}`))

	guaranteed := policy(`minimum_packet_rate_rule {"min_kpps": 1}`)
	refused("PUT", "/v2.0/ports/"+port, `{"port": {"qos_policy_id": "`+guaranteed+`"}}`)
	refused("PUT", "/v2.0/networks/"+network, `{"network": {"qos_policy_id": "`+guaranteed+`"}}`)
	refused("POST", "/v2.0/ports", `{"port": {"network_id": "`+network+`", "qos_policy_id": "`+guaranteed+`"}}`)

	received := policy(`bandwidth_limit_rule {"max_kbps": 1000, "direction": "ingress"}`)
	refused("PUT", "/v2.0/mac-segments/"+segment, `{"mac_segment": {"qos_policy_id": "`+received+`"}}`)
	voice := policy(`priority_rule {"class": 5}`, `bandwidth_limit_rule {"max_kbps": 1000}`)
	if got := a.want(200, "PUT", "/v2.0/mac-segments/"+segment, "admin", `{"mac_segment": {"qos_policy_id": "`+voice+`"}}`).object(t); got["qos_policy_id"] != voice {
		t.Errorf("segment: %v", got)
	}
	refused("POST", "/v2.0/qos/policies/"+voice+"/bandwidth_limit_rules", `{"bandwidth_limit_rule": {"max_kbps": 1000, "direction": "ingress"}}`)
	a.want(409, "DELETE", "/v2.0/qos/policies/"+voice, "admin", "")
	a.want(404, "PUT", "/v2.0/mac-segments/"+segment, "admin", `{"mac_segment": {"qos_policy_id": "00000000-0000-0000-0000-000000000001"}}`)
	a.want(200, "PUT", "/v2.0/mac-segments/"+segment, "admin", `{"mac_segment": {"qos_policy_id": null}}`)
	a.want(204, "DELETE", "/v2.0/qos/policies/"+voice, "admin", "")
}

func TestStatisticsOfAPolicyAreThoseOfTheSwitches(t *testing.T) {
	t.Parallel()
	a, _ := explaining(t)
	id := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red"}}`))
	a.wantBody(map[string]string{id: "POLICY"}, a.want(200, "GET", "/v2.0/qos/policies/"+id+"/statistics", "red", ""),
		`{"statistics":{"policy_id":"POLICY","switches":2,"silent_switches":1,"counters":[
			{"type":"bandwidth_limit","direction":"egress","packets":10,"bytes":1000,"dropped_packets":3,"dropped_bytes":300}]}}`)
	a.want(404, "GET", "/v2.0/qos/policies/"+id+"/statistics", "blue", "")
}
