package northbound

import (
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
)

func TestRuleTypesShowWhatRulesMayHave(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for query, also := range map[string]string{"": "", "?all_rules=True": `,{"type":"minimum_packet_rate"}`, "?all_supported=False": ""} {
		a.wantBody(nil, a.want(200, "GET", "/v2.0/qos/rule-types"+query, "red", ""),
			`{"rule_types":[{"type":"bandwidth_limit"},{"type":"dscp_marking"},{"type":"minimum_bandwidth"}`+also+`,{"type":"packet_rate_limit"},{"type":"priority"}]}`)
	}
	a.wantBody(nil, a.want(200, "GET", "/v2.0/qos/rule-types/priority", "admin", ""),
		`{"rule_type":{"type":"priority","drivers":[{"name":"openvswitch","supported_parameters":[
			{"parameter_name":"class","parameter_type":"range","parameter_values":{"start":0,"end":7}},
			{"parameter_name":"direction","parameter_type":"choices","parameter_values":["egress","ingress"]}]}]}}`)
	a.wantBody(nil, a.want(200, "GET", "/v2.0/qos/rule-types/minimum_packet_rate", "admin", ""), `{"rule_type":{"type":"minimum_packet_rate","drivers":[]}}`)
	a.want(404, "GET", "/v2.0/qos/rule-types/colour", "admin", "")
}

func TestAvailabilityCountsAddressesOfPools(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "n"}}`))
	four := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24", "name": "four"}}`))
	six := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 6, "cidr": "2001:db8::/64"}}`))
	empty := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	names[network], names[four], names[six], names[empty] = "NET", "FOUR", "SIX", "EMPTY"
	a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`)
	a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "fixed_ips": [{"subnet_id": "`+four+`"}]}}`)
	const (
		ofFour = `{"subnet_id":"FOUR","subnet_name":"four","cidr":"10.0.0.0/24","ip_version":4,"total_ips":253,"used_ips":2}`
		ofSix  = `{"subnet_id":"SIX","subnet_name":"","cidr":"2001:db8::/64","ip_version":6,"total_ips":18446744073709551614,"used_ips":1}`
		of     = `{"network_id":"NET","network_name":"n","tenant_id":"red","project_id":"red",`
	)
	a.wantBody(names, a.want(200, "GET", "/v2.0/network-ip-availabilities", "admin", ""), `{"network_ip_availabilities":[
		`+of+`"total_ips":18446744073709551867,"used_ips":3,"subnet_ip_availability":[`+ofFour+`,`+ofSix+`]},
		{"network_id":"EMPTY","network_name":"","tenant_id":"blue","project_id":"blue","total_ips":0,"used_ips":0,"subnet_ip_availability":[]}]}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/network-ip-availabilities?ip_version=4", "admin", ""),
		`{"network_ip_availabilities":[`+of+`"total_ips":253,"used_ips":2,"subnet_ip_availability":[`+ofFour+`]}]}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/network-ip-availabilities/"+empty+"?fields=total_ips", "admin", ""), `{"network_ip_availability":{"total_ips":0}}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/network-ip-availabilities", "red", ""), `{"network_ip_availabilities":[]}`)
	a.want(404, "GET", "/v2.0/network-ip-availabilities/"+network, "red", "")
}

func TestAgentsAreTheSwitches(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.wantBody(nil, a.want(200, "GET", "/v2.0/availability_zones", "red", ""), `{"availability_zones":[]}`)
	a.make("/v2.0/switches", "admin", `{"switch": {"id": "00000000000000a1"}}`)
	path := "/v2.0/agents/" + agentID(&intent.Switch{DPID: 0xa1})
	got := a.want(200, "GET", "/v2.0/agents?host=00000000000000a1&alive=False", "admin", "").list(t)
	if len(got) != 1 || got[0]["agent_type"] != "Open vSwitch agent" || got[0]["admin_state_up"] != true || got[0]["started_at"] != nil {
		t.Errorf("agents: %v", got)
	}
	a.wantBody(nil, a.want(200, "GET", "/v2.0/availability_zones?state=unavailable", "red", ""), `{"availability_zones":[{"name":"nova","resource":"network","state":"unavailable"}]}`)
	a.wantBody(nil, a.want(200, "GET", "/v2.0/availability_zones?state=available", "red", ""), `{"availability_zones":[]}`)
	a.want(200, "PUT", path, "admin", `{"agent": {"admin_state_up": false}}`)
	if got := a.want(200, "GET", "/v2.0/switches/00000000000000a1", "admin", "").object(t); got["admitted"] != false {
		t.Errorf("the switch of the agent: %v", got)
	}
	if got := a.want(200, "PUT", path, "admin", `{"agent": {"description": "rack 7"}}`).object(t); got["description"] != "rack 7" || got["admin_state_up"] != false {
		t.Errorf("agent with a description: %v", got)
	}
	if got := a.want(200, "GET", "/v2.0/switches?note=rack%207", "admin", "").list(t); len(got) != 1 || got[0]["note"] != "rack 7" {
		t.Errorf("the switch of the agent: %v", got)
	}
	a.want(404, "GET", path, "red", "")
	a.wantBody(nil, a.want(200, "GET", "/v2.0/agents", "red", ""), `{"agents":[]}`)
	a.want(204, "DELETE", path, "admin", "")
	a.want(404, "GET", "/v2.0/switches/00000000000000a1", "admin", "")
	a.wantBody(nil, a.want(200, "GET", "/v2.0/service-providers", "red", ""), `{"service_providers":[]}`)
}

func TestMeteringLabelsHaveRulesThatDoNotOverlap(t *testing.T) {
	t.Parallel()
	a := setup(t)
	label := idOf(a.make("/v2.0/metering/metering-labels", "admin", `{"metering_label": {"name": "l", "shared": true, "project_id": "red"}}`))
	rule := func(rest string) string {
		return `{"metering_label_rule": {"metering_label_id": "` + label + `", "direction": "ingress", ` + rest + `}}`
	}
	made := a.make("/v2.0/metering/metering-label-rules", "admin", rule(`"remote_ip_prefix": "10.0.0.9/24"`))
	if made["tenant_id"] != "red" || made["remote_ip_prefix"] != "10.0.0.0/24" || made["excluded"] != false {
		t.Errorf("rule: %v", made)
	}
	if kind, _ := a.want(409, "POST", "/v2.0/metering/metering-label-rules", "admin", rule(`"remote_ip_prefix": "10.0.0.0/8"`)).message(t); kind != "MeteringLabelRuleOverlaps" {
		t.Errorf("overlapping rule: %s", kind)
	}
	a.make("/v2.0/metering/metering-label-rules", "admin", rule(`"remote_ip_prefix": "10.0.0.0/8", "excluded": true`))
	a.want(404, "POST", "/v2.0/metering/metering-label-rules", "admin", strings.Replace(rule(`"remote_ip_prefix": "11.0.0.0/8"`), label, "00000000-0000-0000-0000-00000000abcd", 1))
	a.want(400, "POST", "/v2.0/metering/metering-label-rules", "admin", rule(`"remote_ip_prefix": null`))
	a.want(405, "PUT", "/v2.0/metering/metering-labels/"+label, "admin", `{"metering_label": {"name": "m"}}`)
	a.want(204, "DELETE", "/v2.0/metering/metering-label-rules/"+idOf(made), "admin", "")
	a.want(204, "DELETE", "/v2.0/metering/metering-labels/"+label, "admin", "")
	if got := a.want(200, "GET", "/v2.0/metering/metering-label-rules", "admin", "").list(t); len(got) != 0 {
		t.Errorf("rules of a deleted label: %v", got)
	}
}

func TestFlavorsHaveServiceProfiles(t *testing.T) {
	t.Parallel()
	a := setup(t)
	one := idOf(a.make("/v2.0/service_profiles", "admin", `{"service_profile": {"metainfo": "{\"a\": 1}"}}`))
	two := idOf(a.make("/v2.0/service_profiles", "admin", `{"service_profile": {"driver": "d"}}`))
	if kind, _ := a.want(400, "POST", "/v2.0/service_profiles", "admin", `{"service_profile": {}}`).message(t); kind != "ServiceProfileEmpty" {
		t.Errorf("empty profile: %s", kind)
	}
	flavor := "/v2.0/flavors/" + idOf(a.make("/v2.0/flavors", "admin", `{"flavor": {"name": "f", "service_type": "L3_ROUTER_NAT", "service_profiles": ["`+one+`"]}}`))
	add := `{"service_profile": {"id": "` + two + `"}}`
	a.want(403, "POST", flavor+"/service_profiles", "red", add)
	if got := a.want(201, "POST", flavor+"/service_profiles", "admin", add); got.text != `{"service_profile":{"id":"`+two+`"}}` {
		t.Errorf("added: %s", got.text)
	}
	if kind, _ := a.want(409, "POST", flavor+"/service_profiles", "admin", add).message(t); kind != "FlavorServiceProfileBindingExists" {
		t.Errorf("added twice: %s", kind)
	}
	if got := a.want(200, "GET", flavor, "blue", "").object(t); len(got["service_profiles"].([]any)) != 2 || got["service_type"] != "L3_ROUTER_NAT" {
		t.Errorf("flavor: %v", got)
	}
	if kind, _ := a.want(409, "DELETE", "/v2.0/service_profiles/"+two, "admin", "").message(t); kind != "ServiceProfileInUse" {
		t.Errorf("deleting a profile in use: %s", kind)
	}
	a.want(204, "DELETE", flavor+"/service_profiles/"+two, "admin", "")
	if kind, _ := a.want(404, "DELETE", flavor+"/service_profiles/"+two, "admin", "").message(t); kind != "FlavorServiceProfileBindingNotFound" {
		t.Errorf("removed twice: %s", kind)
	}
	a.want(404, "PUT", flavor, "admin", `{"flavor": {"service_profiles": ["00000000-0000-0000-0000-00000000abcd"]}}`)
	a.want(200, "PUT", flavor, "admin", `{"flavor": {"service_profiles": [], "enabled": false}}`)
	a.want(204, "DELETE", "/v2.0/service_profiles/"+one, "admin", "")
	a.want(204, "DELETE", flavor, "admin", "")
	a.want(404, "GET", "/v2.0/service_profiles/"+one, "red", "")
}
