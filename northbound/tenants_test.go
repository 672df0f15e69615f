package northbound

import (
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/store/storetest"
)

func TestTokensOfADisabledTenantAreRefusedAndItsPortsStay(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	before := a.want(200, "GET", "/v2.0/ports/"+port, "admin", "").text

	got := a.want(200, "PUT", "/v2.0/tenants/red", "admin", `{"tenant": {"enabled": false}}`).object(t)
	if got["enabled"] != false || got["revision_number"] != 2.0 {
		t.Errorf("disabled tenant: %v", got)
	}
	for _, c := range [][3]string{
		{"GET", "/v2.0/", ""}, {"GET", "/v2.0/ports", ""}, {"GET", "/v2.0/extensions", ""},
		{"DELETE", "/v2.0/ports/" + port, ""}, {"POST", "/v2.0/networks", `{"network": {}}`},
	} {
		for _, token := range []string{"red", "red-reader"} {
			kind, message := a.want(403, c[0], c[1], token, c[2]).message(t)
			if kind != "TenantDisabled" || !strings.Contains(message, "red") {
				t.Errorf("%s %s: %s %s", c[0], c[1], kind, message)
			}
		}
	}
	a.want(200, "GET", "/v2.0/ports", "blue", "")
	if after := a.want(200, "GET", "/v2.0/ports/"+port, "admin", "").text; after != before {
		t.Errorf("the port of the disabled tenant changed:\n%s\n%s", before, after)
	}
	if got := a.want(200, "GET", "/v2.0/tenants?enabled=False", "admin", "").list(t); len(got) != 1 || got[0]["id"] != "red" {
		t.Errorf("disabled tenants: %v", got)
	}
	a.want(200, "PUT", "/v2.0/tenants/red", "admin", `{"tenant": {"enabled": true}}`)
	a.want(200, "GET", "/v2.0/ports/"+port, "red", "")
}

func TestATenantMayBeMadeDisabled(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.want(200, "GET", "/v2.0/ports", "blue", "") // known as enabled by now
	a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "blue", "enabled": "False"}}`)
	a.want(403, "GET", "/v2.0/ports", "blue", "")
	a.want(204, "DELETE", "/v2.0/tenants/blue", "admin", "")
	a.want(200, "GET", "/v2.0/ports", "blue", "")
}

func TestNobodyLocksHimselfOut(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.want(409, "POST", "/v2.0/tenants", "admin", `{"tenant": {"id": "ops", "enabled": false}}`)
	a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "ops"}}`)
	kind, message := a.want(409, "PUT", "/v2.0/tenants/ops", "admin", `{"tenant": {"enabled": false}}`).message(t)
	if kind != "TenantInUse" || !strings.Contains(message, "lock himself out") {
		t.Errorf("%s: %s", kind, message)
	}
	a.want(200, "GET", "/v2.0/tenants/ops", "admin", "")
}

// What another controller does to a tenant is noticed by this one.
func TestATenantDisabledByAnotherControllerIsRefusedSoon(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	a := setupOn(t, storetest.Open(t, url), func(*Options) {})
	b := setupOn(t, storetest.Open(t, url), func(*Options) {})
	b.want(200, "GET", "/v2.0/ports", "red", "")
	a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "red", "enabled": false}}`)
	for b.do("GET", "/v2.0/ports", "red", "").code != 403 {
		if t.Context().Err() != nil {
			return
		}
	}
}

func TestTenantsAreFoundAsProjects(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/tenants", "admin", `{"tenant": {"id": "p1", "name": "plan", "description": "d"}}`)
	a.make("/v2.0/networks", "red", `{"network": {}}`)
	for _, c := range []struct {
		at, token string
		code      int
		want      string
	}{
		{"/projects/p1", "admin", 200, `{"project":{"id":"p1","name":"plan","description":"d","enabled":true,"domain_id":"default","is_domain":false}}`},
		{"/projects/plan", "admin", 404, ""},
		{"/projects?name=plan", "admin", 200, `{"projects":[{"id":"p1","name":"plan","description":"d","enabled":true,"domain_id":"default","is_domain":false}]}`},
		{"/projects?name=p1", "admin", 200, `{"projects":[]}`},
		{"/projects/new%20one", "admin", 200, `{"project":{"id":"new one","name":"new one","description":"","enabled":true,"domain_id":"default","is_domain":false}}`},
		{"/projects/%00", "admin", 404, ""},
		{"/projects/" + strings.Repeat("x", 256), "admin", 404, ""},
		{"/projects/red", "red", 200, `{"project":{"id":"red","name":"red","description":"","enabled":true,"domain_id":"default","is_domain":false}}`},
		{"/projects/blue", "blue", 200, `{"project":{"id":"blue","name":"blue","description":"","enabled":true,"domain_id":"default","is_domain":false}}`},
		{"/projects/p1", "red", 403, ""},
		{"/projects", "red", 200, `{"projects":[{"id":"red","name":"red","description":"","enabled":true,"domain_id":"default","is_domain":false}]}`},
		{"/projects", "", 401, ""},
	} {
		got := a.do("GET", c.at, c.token, "")
		if got.code != c.code || c.want != "" && got.text != c.want {
			t.Errorf("GET %s by %s: %d %s, want %d %s", c.at, c.token, got.code, got.text, c.code, c.want)
		}
	}
}
