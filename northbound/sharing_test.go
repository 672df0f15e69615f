package northbound

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sharedKind is a kind that RBAC policies share: how red makes one, and how
// blue makes use of it and ends that.
type sharedKind struct {
	path, body string
	maker      string // who may make one for red
	use        func(a *api, id string) answer
	end        func(a *api, used answer)
}

// ofBlue is what blue has to use things with.
type ofBlue struct{ network, port, group string }

func blueThings(a *api) ofBlue {
	network := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	return ofBlue{
		network: network,
		port:    idOf(a.make("/v2.0/ports", "blue", `{"port": {"network_id": "`+network+`"}}`)),
		group:   idOf(a.make("/v2.0/security-groups", "blue", `{"security_group": {"name": "mine"}}`)),
	}
}

func sharedKinds(b ofBlue) map[string]sharedKind {
	post := func(path, body string) func(a *api, id string) answer {
		return func(a *api, id string) answer {
			return a.do("POST", "/v2.0/"+path, "blue", strings.ReplaceAll(body, "ID", id))
		}
	}
	remove := func(path string) func(*api, answer) {
		return func(a *api, used answer) {
			a.want(204, "DELETE", "/v2.0/"+path+"/"+idOf(used.object(a.t)), "blue", "")
		}
	}
	rule := func(attr string) func(a *api, id string) answer {
		return post("security-group-rules", `{"security_group_rule": {"security_group_id": "`+b.group+`", "direction": "ingress", "`+attr+`": "ID"}}`)
	}
	change := func(path, body string) func(a *api, id string) answer {
		return func(a *api, id string) answer {
			return a.do("PUT", "/v2.0/"+path, "blue", strings.ReplaceAll(body, "ID", id))
		}
	}
	return map[string]sharedKind{
		"network": {"networks", `{"network": {"tenant_id": "red"}}`, "red",
			post("ports", `{"port": {"network_id": "ID"}}`), remove("ports")},
		"security_group": {"security-groups", `{"security_group": {"tenant_id": "red", "name": "g"}}`, "red",
			change("ports/"+b.port, `{"port": {"security_groups": ["ID"]}}`),
			func(a *api, _ answer) {
				a.want(200, "PUT", "/v2.0/ports/"+b.port, "blue", `{"port": {"security_groups": []}}`)
			}},
		"security_group as remote": {"security-groups", `{"security_group": {"tenant_id": "red", "name": "g"}}`, "red", rule("remote_group_id"), remove("security-group-rules")},
		"address_group":            {"address-groups", `{"address_group": {"tenant_id": "red"}}`, "red", rule("remote_address_group_id"), remove("security-group-rules")},
		"address_scope": {"address-scopes", `{"address_scope": {"tenant_id": "red", "ip_version": 4}}`, "red",
			post("subnetpools", `{"subnetpool": {"prefixes": ["10.0.0.0/8"], "address_scope_id": "ID"}}`), remove("subnetpools")},
		"subnetpool": {"subnetpools", `{"subnetpool": {"tenant_id": "red", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24}}`, "red",
			post("subnets", `{"subnet": {"network_id": "`+b.network+`", "ip_version": 4, "subnetpool_id": "ID"}}`), remove("subnets")},
		"qos_policy": {"qos/policies", `{"policy": {"tenant_id": "red", "name": "q"}}`, "admin",
			change("ports/"+b.port, `{"port": {"qos_policy_id": "ID"}}`),
			func(a *api, _ answer) {
				a.want(200, "PUT", "/v2.0/ports/"+b.port, "blue", `{"port": {"qos_policy_id": null}}`)
			}},
		"qos_policy of a network": {"qos/policies", `{"policy": {"tenant_id": "red", "name": "q"}}`, "admin",
			change("networks/"+b.network, `{"network": {"qos_policy_id": "ID"}}`),
			func(a *api, _ answer) {
				a.want(200, "PUT", "/v2.0/networks/"+b.network, "blue", `{"network": {"qos_policy_id": null}}`)
			}},
	}
}

func (a *api) share(token, kind, id, target string) string {
	a.t.Helper()
	return idOf(a.make("/v2.0/rbac-policies", token,
		`{"rbac_policy": {"object_type": "`+kind+`", "object_id": "`+id+`", "action": "access_as_shared", "target_tenant": "`+target+`"}}`))
}

// wantSeen checks every verb of somebody on an object: 404 if it is foreign,
// else what is seen of it and that it cannot be changed.
func (a *api) wantSeen(token, path, single, id string, seen, shared bool) {
	a.t.Helper()
	listed := func(query string) bool {
		for _, o := range a.want(200, "GET", "/v2.0/"+path+query, token, "").list(a.t) {
			if idOf(o) == id {
				return true
			}
		}
		return false
	}
	if got := listed(""); got != seen {
		a.t.Errorf("%s: %s finds it in the list: %t, want %t", path, token, got, seen)
	}
	code, change := 404, 404
	if seen {
		code, change = 200, 403
	}
	got := a.want(code, "GET", "/v2.0/"+path+"/"+id, token, "")
	if seen && got.object(a.t)["shared"] != shared {
		a.t.Errorf("%s: %s is shown %s, want shared %t", path, token, got.text, shared)
	}
	if seen && path != "address-groups" {
		if listed("?shared=True") != shared || listed("?shared=False") == shared {
			a.t.Errorf("%s: the filter by shared does not agree with what %s is shown", path, token)
		}
	}
	for method, verb := range map[string]string{"PUT": "update", "DELETE": "delete"} {
		if path == "address-groups" {
			change = 404 // as in Neutron
		}
		got := a.want(change, method, "/v2.0/"+path+"/"+id, token, `{"`+single+`": {"name": "mine"}}`)
		if _, message := got.message(a.t); change == 403 && message != "rule:"+verb+"_"+single+" is disallowed by policy" {
			a.t.Errorf("%s %s: %s", method, path, message)
		}
	}
}

func TestSharedObjectsAreSeenAndUsedAndNothingElseIs(t *testing.T) {
	t.Parallel()
	for name := range sharedKinds(ofBlue{}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := setup(t)
			k := sharedKinds(blueThings(a))[name]
			kind, _, _ := strings.Cut(name, " ")
			single := strings.TrimPrefix(kind, "qos_")
			made := a.make("/v2.0/"+k.path, k.maker, k.body)
			id := idOf(made)
			refused := func(when string) {
				t.Helper()
				a.wantSeen("blue", k.path, single, id, false, false)
				if got := k.use(a, id); got.code != 404 {
					t.Errorf("use %s: %d %s", when, got.code, got.text)
				}
			}
			usable := func(when string) answer {
				t.Helper()
				a.wantSeen("blue", k.path, single, id, true, true)
				got := k.use(a, id)
				if got.code != 200 && got.code != 201 {
					t.Errorf("use %s: %d %s", when, got.code, got.text)
				}
				return got
			}
			inUse := func(method, policy, body string) {
				t.Helper()
				if kind, _ := a.want(409, method, "/v2.0/rbac-policies/"+policy, "admin", body).message(t); kind != "RbacPolicyInUse" {
					t.Errorf("%s of a policy in use: %s", method, kind)
				}
			}
			retarget := func(tenant string) string { return `{"rbac_policy": {"target_tenant": "` + tenant + `"}}` }

			refused("before it is shared")
			other := a.share("admin", kind, id, "green")
			refused("while it is shared with another")
			policy := a.share("red", kind, id, "blue")
			used := usable("while it is shared")
			for _, token := range []string{"red", "admin"} {
				got := a.want(200, "GET", "/v2.0/"+k.path+"/"+id, token, "").object(t)
				if got["shared"] != false {
					t.Errorf("shared with blue alone, %s is shown shared %v", token, got["shared"])
				}
				if got["revision_number"].(float64) <= made["revision_number"].(float64) {
					t.Errorf("the policies have not raised revision_number %v", got["revision_number"])
				}
			}
			inUse("DELETE", policy, "")
			inUse("PUT", policy, retarget("yellow"))
			a.want(204, "DELETE", "/v2.0/rbac-policies/"+other, "admin", "")
			// Another policy that lets blue makes up for it, and then is the one that stays.
			all := a.share("admin", kind, id, "*")
			if got := a.want(200, "GET", "/v2.0/"+k.path+"/"+id, "red", "").object(t); got["shared"] != true {
				t.Errorf("shared with all, its owner is shown %v", got)
			}
			a.want(204, "DELETE", "/v2.0/rbac-policies/"+policy, "red", "")
			inUse("DELETE", all, "")
			inUse("PUT", all, retarget("yellow"))
			inUse("PUT", all, retarget("blue")) // also where it would go on letting the one who uses it, as in Neutron
			k.end(a, used)
			used = usable("while it is shared with all")
			k.end(a, used)
			a.want(200, "PUT", "/v2.0/rbac-policies/"+all, "admin", retarget("yellow"))
			refused("after the policy got another target")
			a.want(200, "PUT", "/v2.0/rbac-policies/"+all, "admin", retarget("blue"))
			k.end(a, usable("after it got it back"))
			a.want(204, "DELETE", "/v2.0/rbac-policies/"+all, "admin", "")
			refused("after the policy was withdrawn")

			a.share("red", kind, id, "blue")
			a.want(204, "DELETE", "/v2.0/"+k.path+"/"+id, k.maker, "")
			if left := a.want(200, "GET", "/v2.0/rbac-policies", "admin", "").list(t); len(left) != 0 {
				t.Errorf("policies without their object: %v", left)
			}
		})
	}
}

func TestSharedNetworkIsUsedWithinLimits(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	foreign := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	a.wantSeen("blue", "subnets", "subnet", subnet, false, false)
	a.share("red", "network", network, "blue")
	a.wantSeen("blue", "subnets", "subnet", subnet, true, true)
	a.want(404, "GET", "/v2.0/ports/"+foreign, "blue", "")

	port := func(attrs string) string { return `{"port": {"network_id": "` + network + `"` + attrs + `}}` }
	for attr, value := range map[string]string{
		"mac_address": `"02:00:05:00:00:01"`, "fixed_ips": `[{"ip_address": "10.0.0.9"}]`, "port_security_enabled": `false`,
		"allowed_address_pairs": `[{"ip_address": "10.0.0.9"}]`, "device_owner": `"network:dhcp"`,
	} {
		if _, message := a.want(403, "POST", "/v2.0/ports", "blue", port(`, "`+attr+`": `+value)).message(t); message != "rule:create_port:"+attr+" is disallowed by policy" {
			t.Errorf("POST with %s: %s", attr, message)
		}
	}
	mine := a.make("/v2.0/ports", "blue", port(`, "fixed_ips": [{"subnet_id": "`+subnet+`"}], "device_owner": "compute:nova"`))
	for attr, value := range map[string]string{
		"fixed_ips": `[{"ip_address": "10.0.0.9"}]`, "port_security_enabled": `false`, "allowed_address_pairs": `[{"ip_address": "10.0.0.9"}]`, "device_owner": `"network:dhcp"`,
	} {
		if _, message := a.want(403, "PUT", "/v2.0/ports/"+idOf(mine), "blue", `{"port": {"`+attr+`": `+value+`}}`).message(t); message != "rule:update_port:"+attr+" is disallowed by policy" {
			t.Errorf("PUT with %s: %s", attr, message)
		}
	}
	a.want(200, "PUT", "/v2.0/ports/"+idOf(mine), "blue", `{"port": {"name": "n", "fixed_ips": [{"subnet_id": "`+subnet+`"}], "allowed_address_pairs": []}}`)
	if _, message := a.want(403, "POST", "/v2.0/subnets", "blue", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.1.0.0/24"}}`).message(t); message != "rule:create_subnet is disallowed by policy" {
		t.Errorf("a subnet on it: %s", message)
	}
	a.want(201, "POST", "/v2.0/ports", "admin", port(`, "project_id": "blue", "mac_address": "02:00:05:00:00:01"`))

	// The owner of the network sees what is on it, and may remove but not change it.
	if got := a.want(200, "GET", "/v2.0/ports?network_id="+network, "red", "").list(t); len(got) != 3 {
		t.Errorf("the owner of the network sees %d ports, want 3", len(got))
	}
	if got := a.want(200, "GET", "/v2.0/ports", "blue", "").list(t); len(got) != 2 {
		t.Errorf("blue sees %d ports, want its 2", len(got))
	}
	if _, message := a.want(403, "PUT", "/v2.0/ports/"+idOf(mine), "red", `{"port": {"name": "x"}}`).message(t); message != "rule:update_port is disallowed by policy" {
		t.Errorf("the owner of the network changes a port: %s", message)
	}
	a.want(403, "PUT", "/v2.0/ports/"+idOf(mine)+"/tags/x", "red", "")
	a.want(404, "POST", "/v2.0/trunks", "red", `{"trunk": {"port_id": "`+idOf(mine)+`"}}`)
	a.want(409, "DELETE", "/v2.0/networks/"+network, "red", "")
	a.want(204, "DELETE", "/v2.0/ports/"+idOf(mine), "red", "")
	a.want(404, "DELETE", "/v2.0/ports/"+foreign, "blue", "")
}

func TestNetworkIsSharedWithAllByItsAttribute(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := a.make("/v2.0/networks", "admin", `{"network": {"tenant_id": "red", "shared": true}}`)
	if network["shared"] != true {
		t.Errorf("made as %v", network)
	}
	at := "/v2.0/networks/" + idOf(network)
	a.wantSeen("blue", "networks", "network", idOf(network), true, true)
	policies := a.want(200, "GET", "/v2.0/rbac-policies?object_id="+idOf(network), "red", "").list(t)
	if len(policies) != 1 || policies[0]["target_tenant"] != "*" || policies[0]["action"] != "access_as_shared" {
		t.Errorf("policies: %v", policies)
	}
	port := idOf(a.make("/v2.0/ports", "blue", `{"port": {"network_id": "`+idOf(network)+`"}}`))
	if kind, _ := a.want(409, "PUT", at, "admin", `{"network": {"shared": false}}`).message(t); kind != "InvalidSharedSetting" {
		t.Errorf("taken back in use: %s", kind)
	}
	a.want(204, "DELETE", "/v2.0/ports/"+port, "blue", "")
	if got := a.want(200, "PUT", at, "admin", `{"network": {"shared": false}}`).object(t); got["shared"] != false {
		t.Errorf("taken back: %v", got)
	}
	a.wantSeen("blue", "networks", "network", idOf(network), false, false)
	log := a.want(200, "GET", "/v2.0/audit-log?resource=rbac_policy&actor=root", "red", "").list(t)
	if len(log) != 2 || log[1]["action"] != "create" || log[0]["action"] != "delete" {
		t.Fatalf("the audit log tells of the policy %v", log)
	}
	if diff := cmp.Diff(log[1]["to"], log[0]["from"]); diff != "" || log[1]["to"].(map[string]any)["target_tenant"] != "*" {
		t.Errorf("made as %v, withdrawn as %v", log[1]["to"], log[0]["from"])
	}
	a.want(403, "PUT", at, "red", `{"network": {"shared": true}}`)
	a.want(403, "POST", "/v2.0/networks", "red", `{"network": {"shared": true}}`)
}

func TestWhatAllMayUseIsHeldByItsOwnerToo(t *testing.T) {
	t.Parallel()
	a := setup(t)
	policy := idOf(a.make("/v2.0/qos/policies", "admin", `{"policy": {"tenant_id": "red", "name": "q", "shared": true}}`))
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {"qos_policy_id": "`+policy+`"}}`))
	at, closed := "/v2.0/qos/policies/"+policy, `{"policy": {"shared": false}}`
	if kind, _ := a.want(409, "PUT", at, "admin", closed).message(t); kind != "RbacPolicyInUse" {
		t.Errorf("taken back while its owner uses it: %s", kind)
	}
	forAll := idOf(a.want(200, "GET", "/v2.0/rbac-policies?object_id="+policy, "admin", "").list(t)[0])
	a.want(409, "DELETE", "/v2.0/rbac-policies/"+forAll, "admin", "")

	// With a policy of his own the owner would not need that for all.
	own := a.share("admin", "qos_policy", policy, "red")
	a.want(200, "PUT", at, "admin", closed)
	a.want(204, "DELETE", "/v2.0/rbac-policies/"+own, "admin", "")
	if got := a.want(200, "GET", "/v2.0/networks/"+network, "red", "").object(t); got["qos_policy_id"] != policy {
		t.Errorf("the owner's network has the policy %v", got["qos_policy_id"])
	}
}

func TestExternalNetworksAreSeenButNotUsed(t *testing.T) {
	t.Parallel()
	a := setup(t)
	all := idOf(a.make("/v2.0/networks", "admin", `{"network": {"router:external": true}}`))
	some := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.wantSeen("blue", "networks", "network", all, true, false)
	a.want(404, "POST", "/v2.0/ports", "blue", `{"port": {"network_id": "`+all+`"}}`)
	policy := idOf(a.make("/v2.0/rbac-policies", "red", `{"rbac_policy": {"object_type": "network", "object_id": "`+some+`", "action": "access_as_external", "target_project": "blue"}}`))
	if got := a.want(200, "GET", "/v2.0/networks?router:external=True", "blue", "").list(t); len(got) != 2 {
		t.Errorf("blue sees %d external networks, want 2", len(got))
	}
	a.want(204, "DELETE", "/v2.0/rbac-policies/"+policy, "red", "")
	if got := a.want(200, "GET", "/v2.0/networks/"+some, "red", "").object(t); got["router:external"] != false {
		t.Errorf("after its last policy went, the network is %v", got)
	}
	a.want(200, "PUT", "/v2.0/networks/"+all, "admin", `{"network": {"router:external": false}}`)
	a.wantSeen("blue", "networks", "network", all, false, false)
	if left := a.want(200, "GET", "/v2.0/rbac-policies", "admin", "").list(t); len(left) != 0 {
		t.Errorf("policies left: %v", left)
	}
}

func TestRulesOfASharedGroupAreReadOnly(t *testing.T) {
	t.Parallel()
	a := setup(t)
	group := a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g"}}`)
	rule := idOf(group["security_group_rules"].([]any)[0].(map[string]any))
	a.want(404, "GET", "/v2.0/security-group-rules/"+rule, "blue", "")
	a.share("red", "security_group", idOf(group), "blue")
	a.want(200, "GET", "/v2.0/security-group-rules/"+rule, "blue", "")
	a.want(403, "PUT", "/v2.0/security-group-rules/"+rule, "blue", `{"security_group_rule": {"description": "x"}}`)
	a.want(403, "DELETE", "/v2.0/security-group-rules/"+rule, "blue", "")
	if _, message := a.want(403, "POST", "/v2.0/security-group-rules", "blue", `{"security_group_rule": {"security_group_id": "`+idOf(group)+`", "direction": "ingress"}}`).message(t); message != "rule:create_security_group_rule is disallowed by policy" {
		t.Errorf("a rule in it: %s", message)
	}
}

func TestSharedAddressGroupAndPoolKeepTheirMembers(t *testing.T) {
	t.Parallel()
	a := setup(t)
	group := idOf(a.make("/v2.0/address-groups", "red", `{"address_group": {"addresses": ["10.0.0.0/8"]}}`))
	pool := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/8"]}}`))
	a.share("red", "address_group", group, "blue")
	a.share("red", "subnetpool", pool, "blue")
	for path, body := range map[string]string{
		"address-groups/" + group + "/add_addresses": `{"addresses": ["9.0.0.0/8"]}`, "address-groups/" + group + "/remove_addresses": `{"addresses": ["10.0.0.0/8"]}`,
		"subnetpools/" + pool + "/add_prefixes": `{"prefixes": ["9.0.0.0/8"]}`, "subnetpools/" + pool + "/remove_prefixes": `{"prefixes": ["10.0.0.0/8"]}`,
	} {
		code := 403
		if strings.HasPrefix(path, "address-groups") {
			code = 404
		}
		a.want(code, "PUT", "/v2.0/"+path, "blue", body)
	}
}

// Whoever shares a pool shares what decides over its prefixes, or nothing; and
// who uses the scope of another does not change what is in it.
func TestASubnetPoolInAnAddressScopeIsSharedWithWhoMayUseThat(t *testing.T) {
	t.Parallel()
	a := setup(t)
	scope := idOf(a.make("/v2.0/address-scopes", "admin", `{"address_scope": {"name": "s", "ip_version": 4}}`))
	a.share("admin", "address_scope", scope, "red")
	pool := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/8"], "address_scope_id": "`+scope+`"}}`))
	share := func(target string) string {
		return `{"rbac_policy": {"object_type": "subnetpool", "object_id": "` + pool + `", "action": "access_as_shared", "target_tenant": "` + target + `"}}`
	}
	if kind, message := a.want(400, "POST", "/v2.0/rbac-policies", "red", share("blue")).message(t); kind != "RbacPolicyInitError" {
		t.Errorf("shared without its scope: %s %s", kind, message)
	}
	a.share("admin", "address_scope", scope, "blue")
	policy := idOf(a.make("/v2.0/rbac-policies", "red", share("blue")))
	a.want(400, "PUT", "/v2.0/rbac-policies/"+policy, "red", `{"rbac_policy": {"target_tenant": "green"}}`)

	for _, body := range []string{`{"subnetpool": {"name": "p"}}`, `{"subnetpool": {"prefixes": ["10.0.0.0/7"]}}`} {
		if kind, message := a.want(400, "PUT", "/v2.0/subnetpools/"+pool, "red", body).message(t); kind != "IllegalSubnetPoolUpdate" {
			t.Errorf("%s: %s %s", body, kind, message)
		}
	}
	a.want(200, "PUT", "/v2.0/subnetpools/"+pool, "admin", `{"subnetpool": {"prefixes": ["10.0.0.0/7"]}}`)
}

func TestPoliciesAreRefusedThatTheCallerMayNotMake(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	foreign := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	pool := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/8"]}}`))
	const missing = "ffffffff-ffff-4fff-bfff-ffffffffffff"
	policy := a.share("red", "network", network, "blue")
	body := func(kind, id, action, target string) string {
		return `{"rbac_policy": {"object_type": "` + kind + `", "object_id": "` + id + `", "action": "` + action + `"` + target + `}}`
	}
	to := func(tenant string) string { return `, "target_tenant": "` + tenant + `"` }
	for what, c := range map[string]struct{ method, body, want string }{
		"all tenants":        {"POST", body("network", network, "access_as_shared", to("*")), "403 PolicyNotAuthorized"},
		"for all afterwards": {"PUT", `{"rbac_policy": {"target_tenant": "*"}}`, "403 PolicyNotAuthorized"},
		"a foreign object":   {"POST", body("network", foreign, "access_as_shared", to("green")), "400 InvalidInput"},
		"no object":          {"POST", body("network", missing, "access_as_shared", to("green")), "404 NetworkNotFound"},
		"another kind":       {"POST", body("subnetpool", network, "access_as_shared", to("green")), "404 SubnetPoolNotFound"},
		"the same again":     {"POST", body("network", network, "access_as_shared", to("blue")), "409 DuplicateRbacPolicy"},
		"a pool as external": {"POST", body("subnetpool", pool, "access_as_external", to("green")), "400 InvalidInput"},
		"no target":          {"POST", body("network", network, "access_as_shared", ""), "400 HTTPBadRequest"},
		"an empty target":    {"POST", body("network", network, "access_as_shared", to("")), "400 HTTPBadRequest"},
		"a long target":      {"POST", body("network", network, "access_as_shared", to(strings.Repeat("x", 256))), "400 HTTPBadRequest"},
		"an unknown kind":    {"POST", body("port", network, "access_as_shared", to("green")), "400 HTTPBadRequest"},
		"an unknown action":  {"POST", body("network", network, "own", to("green")), "400 HTTPBadRequest"},
		"another object":     {"PUT", `{"rbac_policy": {"object_id": "` + foreign + `"}}`, "400 HTTPBadRequest"},
	} {
		at := "/v2.0/rbac-policies"
		if c.method == "PUT" {
			at += "/" + policy
		}
		got := a.do(c.method, at, "red", c.body)
		if kind, message := got.message(t); fmt.Sprint(got.code, " ", kind) != c.want {
			t.Errorf("%s: %d %s %s, want %s", what, got.code, kind, message, c.want)
		}
	}
	a.share("admin", "network", foreign, "*")
	if got := a.want(200, "GET", "/v2.0/rbac-policies", "red", "").list(t); len(got) != 1 {
		t.Errorf("red sees policies %v, want its own", got)
	}
}

// What an administrator writes is about all tenants, whatever is shared with
// his own.
func TestAnAdministratorSharesWithAllWhatIsSharedWithHim(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	at := "/v2.0/networks/" + network
	a.share("red", "network", network, "ops") // the administrator's tenant
	for _, shared := range []string{"true", "false"} {
		a.want(200, "PUT", at, "admin", `{"network": {"shared": `+shared+`}}`)
		a.wantSeen("blue", "networks", "network", network, shared == "true", shared == "true")
	}
	if got := a.want(200, "GET", at, "admin", "").object(t); got["shared"] != true {
		t.Errorf("shared with his own tenant, the administrator is shown %v", got)
	}
	a.want(200, "PUT", at, "admin", `{"network": {"name": "n"}}`)
	for _, e := range a.want(200, "GET", "/v2.0/audit-log?action=update&resource=network", "admin", "").list(t) {
		if to := e["to"].(map[string]any); to["name"] != nil && to["shared"] != nil {
			t.Errorf("the audit log tells of a new name as %v", to)
		}
	}
}
