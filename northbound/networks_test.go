package northbound

import "testing"

// The VLAN tag of a network on the links of fabrics is for administrators to see.
func TestTheTagOfANetworkIsShownToAdministrators(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids := map[string]string{}
	for _, name := range []string{"one", "two"} {
		ids[name] = idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "`+name+`"}}`))
	}
	if _, err := a.store.SettleVLANs(t.Context(), []string{ids["two"]}); err != nil {
		t.Fatal(err)
	}
	shown := func(name, caller string) any {
		return a.want(200, "GET", "/v2.0/networks/"+ids[name], caller, "").object(t)["fabric_vlan"]
	}
	if one, two := shown("one", "admin"), shown("two", "admin"); one != nil || two != float64(1) {
		t.Errorf("an administrator is shown %v and %v", one, two)
	}
	if got, there := a.want(200, "GET", "/v2.0/networks/"+ids["two"], "red", "").object(t)["fabric_vlan"]; there {
		t.Errorf("a tenant is shown %v", got)
	}
	a.wantBody(nil, a.want(200, "GET", "/v2.0/networks?fabric_vlan=1&fields=name", "admin", ""), `{"networks":[{"name":"two"}]}`)
	a.want(400, "PUT", "/v2.0/networks/"+ids["two"], "admin", `{"network": {"fabric_vlan": 7}}`)
	a.want(200, "PUT", "/v2.0/networks/"+ids["two"], "admin", `{"network": {"description": "kept"}}`)
	if got := shown("two", "admin"); got != float64(1) {
		t.Errorf("after another change %v", got)
	}
}
