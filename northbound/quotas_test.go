package northbound

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/macloom/macloom/controller/store"
)

// quotaBody is the answer with the limits of which some differ from -1.
func quotaBody(own map[string]int) string {
	var pairs []string
	for _, r := range store.QuotaResources {
		limit := -1
		if l, given := own[string(r)]; given {
			limit = l
		}
		pairs = append(pairs, fmt.Sprintf("%q:%d", r, limit))
	}
	return `{"quota":{` + strings.Join(pairs, ",") + `}}`
}

func TestQuotasAreSetShownAndReset(t *testing.T) {
	t.Parallel()
	a := setup(t)
	const path = "/v2.0/quotas/red"
	a.wantBody(nil, a.want(200, "GET", path, "red-reader", ""), quotaBody(nil))
	a.wantBody(nil, a.want(200, "GET", "/v2.0/quotas", "admin", ""), `{"quotas":[]}`)
	a.wantBody(nil, a.want(200, "GET", "/v2.0/quotas/tenant", "red-reader", ""), `{"tenant":{"tenant_id":"red","project_id":"red"}}`)
	own := map[string]int{"network": 3, "router": 0, "mac_address": 2, "trunk": -1}
	a.wantBody(nil, a.want(200, "PUT", path, "admin", `{"quota": {"network": 3, "router": 0, "mac_address": "2", "trunk": -1}}`), quotaBody(own))
	a.wantBody(nil, a.want(200, "GET", path+"/default", "red", ""), quotaBody(nil))
	if got := a.want(200, "GET", "/v2.0/quotas", "admin", "").list(t); len(got) != 1 || got[0]["tenant_id"] != "red" || got[0]["project_id"] != "red" || got[0]["network"] != float64(3) || got[0]["port"] != float64(-1) {
		t.Errorf("quotas of all: %v", got)
	}
	for _, c := range []struct {
		method, path, token, body string
		code                      int
		names                     string
	}{
		{"GET", path, "blue", "", 403, "get_quota"},
		{"GET", path + "/details", "blue", "", 403, "get_quota"},
		{"GET", path + "/default", "blue", "", 403, "get_quota"},
		{"GET", "/v2.0/quotas", "red", "", 403, "get_quota"},
		{"PUT", path, "red", `{"quota": {"mac_address": 9}}`, 403, "update_quota"},
		{"DELETE", path, "red", "", 403, "delete_quota"},
		{"PUT", path, "admin", `{"quota": {"mac_address": -2}}`, 400, "mac_address"},
		{"PUT", path, "admin", `{"quota": {"network": "many"}}`, 400, "network"},
		{"PUT", path, "admin", `{"quota": {"network": 1.5}}`, 400, "network"},
		{"PUT", path, "admin", `{"quota": {"network": 1, "planet": 5}}`, 400, "planet"},
		{"PUT", path, "admin", `{"quota": 5}`, 400, "quota"},
		{"PUT", path, "admin", `{"limits": {}}`, 400, "quota"},
		{"PUT", "/v2.0/quotas/" + strings.Repeat("x", 256), "admin", `{"quota": {}}`, 400, "tenant_id"},
		{"PUT", "/v2.0/quotas/%20", "admin", `{"quota": {}}`, 400, "tenant_id"},
	} {
		if _, message := a.want(c.code, c.method, c.path, c.token, c.body).message(t); !strings.Contains(message, c.names) {
			t.Errorf("%s %s %s: %s, want it to name %s", c.method, c.path, c.body, message, c.names)
		}
	}
	a.wantBody(nil, a.want(200, "GET", path, "admin", ""), quotaBody(own))
	a.want(204, "DELETE", path, "admin", "")
	a.wantBody(nil, a.want(200, "GET", path, "admin", ""), quotaBody(nil))
}

// used are the counts of a tenant, by resource, where they are not 0.
func (a *api) used(tenant string) map[string]float64 {
	a.t.Helper()
	used := map[string]float64{}
	for resource, v := range a.want(200, "GET", "/v2.0/quotas/"+tenant+"/details.json", "admin", "").object(a.t) {
		detail := v.(map[string]any)
		if n := detail["used"].(float64); n != 0 {
			used[resource] = n
		}
	}
	return used
}

func TestALimitIsBelowWhatIsUsedUnlessThatIsChecked(t *testing.T) {
	t.Parallel()
	a := setup(t)
	const path = "/v2.0/quotas/red"
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.make("/v2.0/networks", "red", `{"network": {}}`)
	limit := func() any { return a.want(200, "GET", path, "admin", "").object(t)["network"] }
	for _, c := range []struct {
		code  int
		quota string
		limit float64 // afterwards
	}{
		{200, `"network": 1`, 1},
		{200, `"network": 0, "force": true`, 0},
		{200, `"network": 2, "check_limit": true`, 2},
		{400, `"network": 1, "check_limit": true`, 2},
		{400, `"subnet": 5, "network": 1, "check_limit": "True"`, 2},
		{200, `"network": 1, "check_limit": false`, 1},
		{200, `"network": -1, "check_limit": true`, -1},
		{400, `"network": 5, "force": "perhaps"`, -1},
		{400, `"network": 5, "check_limit": null`, -1},
	} {
		a.want(c.code, "PUT", path, "admin", `{"quota": {`+c.quota+`}}`)
		if got := limit(); got != c.limit {
			t.Errorf("after {%s} the limit is %v, want %v", c.quota, got, c.limit)
		}
	}
	if got := a.want(200, "GET", path, "admin", "").object(t)["subnet"]; got != float64(-1) {
		t.Errorf("a refused change has set subnet to %v", got)
	}
	a.want(403, "PUT", path, "red", `{"quota": {"network": 9, "force": true}}`)
	a.want(204, "DELETE", "/v2.0/networks/"+network, "red", "")
	a.want(200, "PUT", path, "admin", `{"quota": {"network": 1, "check_limit": true}}`)
}

func TestNothingIsMadeAboveTheQuota(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := func(n int) string {
		return `{"ports": [` + strings.Repeat(`{"network_id": "`+network+`"},`, n-1) + `{"network_id": "` + network + `"}]}`
	}
	a.want(201, "POST", "/v2.0/ports", "red", port(2))
	group := idOf(a.make("/v2.0/security-groups", "red", `{"security_group": {"name": "g"}}`))
	trunk := idOf(a.want(200, "GET", "/v2.0/ports", "red", "").list(t)[0])
	a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 40, "tenant_id": "red"}}`)
	a.share("red", "network", network, "blue")
	before := a.used("red")
	if want := map[string]float64{"network": 1, "rbac_policy": 1, "subnet": 1, "port": 2, "security_group": 2, "security_group_rule": 6, "mac_segment": 1, "mac_address": 2}; fmt.Sprint(before) != fmt.Sprint(want) {
		t.Errorf("used: %v, want %v", before, want)
	}
	a.want(200, "PUT", "/v2.0/quotas/red", "admin",
		`{"quota": {"network": 1, "subnet": 1, "port": 3, "security_group": 2, "security_group_rule": 6, "trunk": 0, "mac_segment": 1, "mac_address": 3, "subnetpool": 0, "rbac_policy": 1}}`)
	for _, c := range []struct{ path, body, resource string }{
		{"networks", `{"network": {}}`, "network"},
		{"subnets", `{"subnet": {"network_id": "` + network + `", "ip_version": 4, "cidr": "10.1.0.0/24"}}`, "subnet"},
		{"ports", port(2), "mac_address"}, // whose addresses are counted before
		{"security-groups", `{"security_group": {"name": "h"}}`, "security_group', 'security_group_rule"},
		{"security-group-rules", `{"security_group_rule": {"security_group_id": "` + group + `", "direction": "ingress"}}`, "security_group_rule"},
		{"subnetpools", `{"subnetpool": {"prefixes": ["10.0.0.0/8"]}}`, "subnetpool"},
		{"rbac-policies", `{"rbac_policy": {"object_type": "network", "object_id": "` + network + `", "action": "access_as_shared", "target_tenant": "green"}}`, "rbac_policy"},
		{"trunks", `{"trunk": {"port_id": "` + trunk + `"}}`, "trunk"},
		{"mac-segments", `{"mac_segment": {"size": 4}}`, "mac_segment"},
		{"mac-addresses", `{"mac_address": {"count": 2}}`, "mac_address"},
	} {
		kind, message := a.want(409, "POST", "/v2.0/"+c.path, "red", c.body).message(t)
		if want := "Quota exceeded for resources: ['" + c.resource + "']."; kind != "OverQuota" || !strings.HasPrefix(message, want) {
			t.Errorf("%s over the quota: %s %s, want %s", c.path, kind, message, want)
		}
	}
	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"mac_address": -1, "security_group": -1, "security_group_rule": 7}}`)
	if _, message := a.want(409, "POST", "/v2.0/security-groups", "red", `{"security_group": {"name": "h"}}`).message(t); message != "Quota exceeded for resources: ['security_group_rule']." {
		t.Errorf("a group whose two rules are one too many: %s", message)
	}
	if _, message := a.want(409, "POST", "/v2.0/ports", "red", port(2)).message(t); message != "Quota exceeded for resources: ['port']." {
		t.Errorf("two ports where one more may be: %s", message)
	}
	if after := a.used("red"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("used after refusals: %v, want %v", after, before)
	}
	a.want(201, "POST", "/v2.0/ports", "red", port(1))
	a.want(409, "POST", "/v2.0/ports", "admin", strings.Replace(port(1), `"network_id"`, `"tenant_id": "red", "network_id"`, 1))
	a.want(201, "POST", "/v2.0/ports", "admin", port(1)) // its own
}

func TestQuotasHoldWhoeverMakesWhatAtTheSameTime(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"network": 5}}`)
	var all sync.WaitGroup
	codes := make(chan int, 40)
	for range cap(codes) {
		all.Go(func() { codes <- a.do("POST", "/v2.0/networks", "red", `{"network": {}}`).code })
	}
	all.Wait()
	close(codes)
	count := map[int]int{}
	for code := range codes {
		count[code]++
	}
	if count[201] != 5 || count[409] != 35 {
		t.Errorf("answers by code: %v, want 5 of 201 and 35 of 409", count)
	}
	if got := len(a.want(200, "GET", "/v2.0/networks", "red", "").list(t)); got != 5 {
		t.Errorf("%d networks, want 5", got)
	}
}

func TestTenantsWithoutQuotasOfTheirOwnHaveTheDefaults(t *testing.T) {
	t.Parallel()
	a := setup(t)
	limits, err := store.ParseQuotas("network=1, port=0")
	if err != nil {
		t.Fatal(err)
	}
	a.store.LimitTenants(limits)
	a.wantBody(nil, a.want(200, "GET", "/v2.0/quotas/red/default", "red", ""), quotaBody(map[string]int{"network": 1, "port": 0}))
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.want(409, "POST", "/v2.0/networks", "red", `{"network": {}}`)
	a.want(409, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`)
	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"network": -1, "port": 1}}`)
	a.make("/v2.0/networks", "red", `{"network": {}}`)
	a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`)
	for _, text := range []string{"planet=1", "port=x", "port", "port=-2", "mac_address=1"} {
		if _, err := store.ParseQuotas(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if all, err := store.ParseQuotas("neutron"); err != nil || all[store.KindPort] != 500 {
		t.Errorf("neutron: %v, %v", all, err)
	}
}
