package northbound

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestAddressGroupRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	made := a.want(201, "POST", "/v2.0/address-groups", "red", `{"address_group": {"name": "g", "addresses": ["2001:db8::7/32", "10.1.0.0/8", "10.0.0.0/8", "192.0.2.1/32"]}}`)
	body := `{"address_group":{"id":"ID1","tenant_id":"red","project_id":"red","description":"","name":"g","addresses":[ADDRESSES],"shared":false,
		"created_at":"TIME","updated_at":"TIME","revision_number":REV}}`
	with := func(revision int, addresses string) string {
		return strings.NewReplacer("ADDRESSES", addresses, "REV", fmt.Sprint(revision)).Replace(body)
	}
	a.wantBody(names, made, with(1, `"10.0.0.0/8","192.0.2.1/32","2001:db8::/32"`))
	group := "/v2.0/address-groups/" + idOf(made.object(t))
	a.wantBody(names, a.want(200, "PUT", group+"/add_addresses", "red", `{"addresses": ["10.0.0.0/16"]}`), with(2, `"10.0.0.0/8","10.0.0.0/16","192.0.2.1/32","2001:db8::/32"`))
	a.wantBody(names, a.want(200, "PUT", group+"/remove_addresses", "red", `{"address_group": {"addresses": ["10.0.0.0/8", "2001:db8::/32"]}}`), with(3, `"10.0.0.0/16","192.0.2.1/32"`))
	a.wantBody(names, a.want(200, "GET", group, "red", ""), with(3, `"10.0.0.0/16","192.0.2.1/32"`))

	for body, want := range map[string]struct {
		code int
		kind string
	}{
		`/add_addresses {"addresses": ["10.0.0.0/16"]}`:       {400, "AddressesAlreadyExist"},
		`/remove_addresses {"addresses": ["10.0.0.0/17"]}`:    {404, "AddressesNotFound"},
		`/add_addresses {"addresses": []}`:                    {400, "HTTPBadRequest"},
		`/add_addresses {"addresses": ["10.0.0.7/16"]}`:       {400, "AddressesAlreadyExist"},
		`/remove_addresses {"addresses": ["10.200.200.200"]}`: {404, "AddressesNotFound"},
		`/add_addresses {"addresses": ["10.0.0"]}`:            {400, "HTTPBadRequest"},
		`/add_addresses {"addresses": "10.0.0.0/8"}`:          {400, "HTTPBadRequest"},
		`/add_addresses {"addresses": ["9.0.0.0/8"], "x": 1}`: {400, "HTTPBadRequest"},
		`/add_addresses {}`:                                   {400, "HTTPBadRequest"},
		` {"address_group": {"addresses": ["9.0.0.0/8"]}}`:    {400, "HTTPBadRequest"},
	} {
		path, body, _ := strings.Cut(body, " ")
		if kind, message := a.want(want.code, "PUT", group+path, "red", body).message(t); kind != want.kind {
			t.Errorf("PUT %s %s: %s %s, want %s", path, body, kind, message, want.kind)
		}
	}
	for _, token := range []string{"blue", "red-reader"} {
		code := map[string]int{"blue": 404, "red-reader": 403}[token]
		a.want(code, "PUT", group+"/add_addresses", token, `{"addresses": ["9.0.0.0/8"]}`)
		a.want(code, "PUT", group+"/remove_addresses", token, `{"addresses": ["192.0.2.1/32"]}`)
	}
	a.wantBody(names, a.want(200, "PUT", group, "red", `{"address_group": {"name": "g"}}`), with(3, `"10.0.0.0/16","192.0.2.1/32"`))
	a.want(204, "DELETE", group, "red", "")
	a.want(404, "GET", group, "red", "")
}

func TestAnAddressScopeThatIsSharedStaysSo(t *testing.T) {
	t.Parallel()
	a := setup(t)
	scope := "/v2.0/address-scopes/" + idOf(a.make("/v2.0/address-scopes", "admin", `{"address_scope": {"name": "s", "ip_version": 4, "shared": true}}`))
	if kind, message := a.want(400, "PUT", scope, "admin", `{"address_scope": {"name": "t", "shared": false}}`).message(t); kind != "AddressScopeUpdateError" {
		t.Errorf("%s %s", kind, message)
	}
	if got := a.want(200, "PUT", scope, "admin", `{"address_scope": {"name": "t", "shared": true}}`).object(t); got["name"] != "t" || got["shared"] != true {
		t.Errorf("%v", got)
	}
}

func TestSubnetPoolRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	scope := idOf(a.make("/v2.0/address-scopes", "red", `{"address_scope": {"name": "s", "ip_version": 4}}`))
	names[scope] = "SCOPE"
	made := a.want(201, "POST", "/v2.0/subnetpools", "red",
		`{"subnetpool": {"name": "p", "prefixes": ["10.1.0.0/16", "10.0.0.0/16", "10.9.0.0/24"], "default_prefixlen": "26", "address_scope_id": "`+scope+`", "default_quota": 512}}`)
	a.wantBody(names, made, `{"subnetpool":{"id":"ID2","tenant_id":"red","project_id":"red","description":"","name":"p","prefixes":["10.0.0.0/15","10.9.0.0/24"],
		"ip_version":4,"default_prefixlen":"26","min_prefixlen":"8","max_prefixlen":"32","default_quota":512,"address_scope_id":"SCOPE","is_default":false,"shared":false,
		"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}}`)
	pool := "/v2.0/subnetpools/" + idOf(made.object(t))
	if got := a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["2001:db8::/32"]}}`); got["min_prefixlen"] != "64" || got["default_prefixlen"] != "64" || got["max_prefixlen"] != "128" || got["ip_version"] != 6.0 {
		t.Errorf("defaults of IPv6: %v", got)
	}
	got := a.want(200, "PUT", pool, "red", `{"subnetpool": {"prefixes": ["10.0.0.0/8"], "min_prefixlen": 24, "default_quota": null, "address_scope_id": null}}`).object(t)
	if fmt.Sprintln(got["prefixes"], got["min_prefixlen"], got["default_quota"], got["address_scope_id"]) != "[10.0.0.0/8] 24 <nil> <nil>\n" {
		t.Errorf("after PUT: %v", got)
	}
	if got := a.want(200, "PUT", pool+"/add_prefixes", "red", `{"prefixes": ["11.0.0.0/8"]}`).text; got != `{"prefixes":["10.0.0.0/7"]}` {
		t.Errorf("after add_prefixes: %v", got)
	}
	if got := a.want(200, "PUT", pool+"/remove_prefixes", "red", `{"prefixes": ["10.0.0.0/8"]}`).text; got != `{"prefixes":["11.0.0.0/8"]}` {
		t.Errorf("after remove_prefixes: %v", got)
	}
	for body, want := range map[string]string{
		`PUT  {"subnetpool": {"prefixes": ["11.0.0.0/9"]}}`:                                                              "400 IllegalSubnetPoolPrefixUpdate",
		`PUT  {"subnetpool": {"prefixes": ["2001:db8::/32"]}}`:                                                           "400 IllegalSubnetPoolPrefixUpdate",
		`PUT  {"subnetpool": {"prefixes": []}}`:                                                                          "400 IllegalSubnetPoolPrefixUpdate",
		`PUT  {"subnetpool": {"min_prefixlen": 27}}`:                                                                     "400 IllegalSubnetPoolPrefixBounds",
		`PUT  {"subnetpool": {"max_prefixlen": 33}}`:                                                                     "400 IllegalSubnetPoolPrefixBounds",
		`PUT  {"subnetpool": {"default_prefixlen": 23}}`:                                                                 "400 IllegalSubnetPoolPrefixBounds",
		`PUT  {"subnetpool": {"is_default": true}}`:                                                                      "403 PolicyNotAuthorized",
		`PUT  {"subnetpool": {"ip_version": 6}}`:                                                                         "400 HTTPBadRequest",
		`PUT /add_prefixes {"prefixes": ["2001:db8::/32"]}`:                                                              "400 PrefixVersionMismatch",
		`PUT /remove_prefixes {"prefixes": ["11.0.0.0/8"]}`:                                                              "400 EmptySubnetPoolPrefixList",
		`POST  {"subnetpool": {"prefixes": []}}`:                                                                         "400 EmptySubnetPoolPrefixList",
		`POST  {"subnetpool": {"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}}`:                                            "400 PrefixVersionMismatch",
		`POST  {"subnetpool": {"prefixes": ["2001:db8::/32"], "address_scope_id": "` + scope + `"}}`:                     "400 IllegalSubnetPoolIpVersionAssociationToAddressScope",
		`POST  {"subnetpool": {"prefixes": ["10.0.0.0/8"], "address_scope_id": "ffffffff-ffff-4fff-bfff-ffffffffffff"}}`: "404 AddressScopeNotFound",
		`POST  {"subnetpool": {"prefixes": ["10.0.0.0/8"], "address_scope_id": "s"}}`:                                    "400 HTTPBadRequest",
	} {
		method, rest, _ := strings.Cut(body, " ")
		path, body, _ := strings.Cut(rest, " ")
		at := pool + path
		if method == "POST" {
			at = "/v2.0/subnetpools"
		}
		got := a.do(method, at, "red", body)
		if kind, message := got.message(t); fmt.Sprint(got.code, " ", kind) != want {
			t.Errorf("%s %s %s: %d %s %s, want %s", method, path, body, got.code, kind, message, want)
		}
	}
	a.want(204, "DELETE", pool, "red", "")
	if kind, _ := a.want(404, "GET", pool, "red", "").message(t); kind != "SubnetPoolNotFound" {
		t.Errorf("a pool that is gone is %s", kind)
	}
}

func TestPrefixesOfAnAddressScopeNeverOverlap(t *testing.T) {
	t.Parallel()
	a := setup(t)
	scope := idOf(a.make("/v2.0/address-scopes", "red", `{"address_scope": {"ip_version": 4}}`))
	in := func(prefix, scope string) string {
		return `{"subnetpool": {"prefixes": ["` + prefix + `"], "address_scope_id": ` + scope + `}}`
	}
	first := idOf(a.make("/v2.0/subnetpools", "red", in("10.0.0.0/8", `"`+scope+`"`)))
	outside := idOf(a.make("/v2.0/subnetpools", "red", in("10.0.0.0/16", "null")))
	for method, c := range map[string]struct{ path, body string }{
		"POST": {"", in("10.2.0.0/16", `"`+scope+`"`)},
		"PUT":  {"/" + outside, `{"subnetpool": {"address_scope_id": "` + scope + `"}}`},
	} {
		if kind, _ := a.want(409, method, "/v2.0/subnetpools"+c.path, "red", c.body).message(t); kind != "AddressScopePrefixConflict" {
			t.Errorf("%s: %s", method, kind)
		}
	}
	if kind, _ := a.want(409, "DELETE", "/v2.0/address-scopes/"+scope, "red", "").message(t); kind != "AddressScopeInUse" {
		t.Errorf("deleting a scope with pools: %s", kind)
	}
	a.want(200, "PUT", "/v2.0/subnetpools/"+first, "red", `{"subnetpool": {"address_scope_id": null}}`)
	a.want(200, "PUT", "/v2.0/subnetpools/"+outside, "red", `{"subnetpool": {"address_scope_id": "`+scope+`"}}`)
}

func TestSubnetsAreCutOutOfPools(t *testing.T) {
	t.Parallel()
	a := setup(t)
	pool := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/24"], "default_prefixlen": 26, "min_prefixlen": 25, "max_prefixlen": 28}}`))
	other := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.9.0.0/24"]}}`))
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	body := func(network, attrs string) string {
		return `{"subnet": {"network_id": "` + network + `", "ip_version": 4, ` + attrs + `}}`
	}
	of := `"subnetpool_id": "` + pool + `"`
	got := a.make("/v2.0/subnets", "red", body(network, of))
	if got["cidr"] != "10.0.0.0/26" || got["gateway_ip"] != "10.0.0.1" || got["subnetpool_id"] != pool {
		t.Errorf("got %v", got)
	}
	for attrs, want := range map[string]string{
		`, "prefixlen": 24`:                           "400 MinPrefixSubnetAllocationError",
		`, "prefixlen": 29`:                           "400 MaxPrefixSubnetAllocationError",
		`, "cidr": "10.0.0.64/29"`:                    "400 MaxPrefixSubnetAllocationError",
		`, "cidr": "10.0.0.32/27"`:                    "409 SubnetAllocationError",
		`, "cidr": "10.7.0.0/26"`:                     "409 SubnetAllocationError",
		`, "cidr": "10.0.0.64/26", "prefixlen": 26`:   "400 BadRequest",
		`, "use_default_subnetpool": true`:            "400 BadRequest",
		`, "gateway_ip": "10.7.0.1", "ip_version": 6`: "400 HTTPBadRequest",
	} {
		got := a.do("POST", "/v2.0/subnets", "red", body(network, of+attrs))
		if kind, message := got.message(t); fmt.Sprint(got.code, " ", kind) != want {
			t.Errorf("%s: %d %s %s, want %s", attrs, got.code, kind, message, want)
		}
	}
	if kind, _ := a.want(400, "POST", "/v2.0/subnets", "red", body(network, `"subnetpool_id": "`+other+`"`)).message(t); kind != "NetworkSubnetPoolAffinityError" {
		t.Errorf("of another pool: %s", kind)
	}
	if kind, _ := a.want(400, "POST", "/v2.0/subnets", "red", body(network, `"cidr": "172.16.0.0/24"`)).message(t); kind != "NetworkSubnetPoolAffinityError" {
		t.Errorf("of no pool: %s", kind)
	}
	a.want(400, "POST", "/v2.0/subnets", "red", body(network, `"name": "neither"`))
	a.want(400, "POST", "/v2.0/subnets", "red", body(network, `"use_default_subnetpool": true`))
	// In bulk, they do not run into each other.
	second := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	bulk := a.want(201, "POST", "/v2.0/subnets", "red", `{"subnets": [`+inner(body(second, of+`, "cidr": "10.0.0.64/28"`))+`, `+inner(body(second, of))+`, `+inner(body(second, of+`, "prefixlen": 28`))+`]}`).list(t)
	if fmt.Sprintln(bulk[0]["cidr"], bulk[1]["cidr"], bulk[2]["cidr"]) != "10.0.0.64/28 10.0.0.128/26 10.0.0.80/28\n" {
		t.Errorf("in bulk: %v", bulk)
	}
	if kind, _ := a.want(400, "DELETE", "/v2.0/subnetpools/"+pool, "red", "").message(t); kind != "SubnetPoolDeleteError" {
		t.Errorf("deleting a pool in use: %s", kind)
	}
	if kind, _ := a.want(400, "PUT", "/v2.0/subnetpools/"+pool+"/remove_prefixes", "red", `{"prefixes": ["10.0.0.0/25"]}`).message(t); kind != "IllegalSubnetPoolPrefixUpdate" {
		t.Errorf("removing prefixes in use: %s", kind)
	}
	a.want(201, "POST", "/v2.0/subnets", "red", body(second, of))
	if kind, message := a.want(409, "POST", "/v2.0/subnets", "red", body(second, of)).message(t); kind != "SubnetAllocationError" || !strings.Contains(message, "/26") {
		t.Errorf("exhausted: %s %s", kind, message)
	}
	a.want(204, "DELETE", "/v2.0/networks/"+second, "red", "")
	a.want(201, "POST", "/v2.0/subnets", "red", body(network, of+`, "cidr": "10.0.0.128/25"`))
}

func inner(body string) string {
	return strings.TrimSuffix(strings.TrimPrefix(body, `{"subnet": `), "}")
}

func TestDefaultPoolAndItsQuota(t *testing.T) {
	t.Parallel()
	a := setup(t)
	pool := idOf(a.make("/v2.0/subnetpools", "admin", `{"subnetpool": {"tenant_id": "red", "prefixes": ["2001:db8::/48"], "is_default": true, "default_quota": 2}}`))
	if kind, _ := a.want(400, "POST", "/v2.0/subnetpools", "admin", `{"subnetpool": {"prefixes": ["2001:db8:1::/48"], "is_default": true}}`).message(t); kind != "InvalidInput" {
		t.Errorf("a second default pool: %s", kind)
	}
	a.want(403, "POST", "/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/8"], "is_default": true}}`)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	body := `{"subnet": {"network_id": "` + network + `", "ip_version": 6, "use_default_subnetpool": true}}`
	for i := range 2 {
		got := a.make("/v2.0/subnets", "red", body)
		if want := []string{"2001:db8::/64", "2001:db8:0:1::/64"}[i]; got["cidr"] != want || got["subnetpool_id"] != pool {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	if kind, _ := a.want(409, "POST", "/v2.0/subnets", "red", body).message(t); kind != "SubnetPoolQuotaExceeded" {
		t.Errorf("above the quota: %s", kind)
	}
	a.want(400, "POST", "/v2.0/subnets", "red", strings.Replace(body, "6,", "4,", 1))
}

func TestManyClientsCutOnePoolWithoutOverlap(t *testing.T) {
	t.Parallel()
	a := setup(t)
	pool := idOf(a.make("/v2.0/subnetpools", "red", `{"subnetpool": {"prefixes": ["10.0.0.0/24"], "default_prefixlen": 28}}`))
	var wg sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
		wg.Add(1)
		go func() {
			defer wg.Done()
			codes[i] = a.do("POST", "/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "subnetpool_id": "`+pool+`"}}`).code
		}()
	}
	wg.Wait()
	made := 0
	for _, code := range codes {
		switch code {
		case 201:
			made++
		case 409:
		default:
			t.Errorf("code %d", code)
		}
	}
	seen := map[any]bool{}
	for _, s := range a.want(200, "GET", "/v2.0/subnets?subnetpool_id="+pool, "red", "").list(t) {
		seen[s["cidr"]] = true
	}
	if made != 16 || len(seen) != 16 {
		t.Errorf("%d subnets made with %d prefixes, want 16", made, len(seen))
	}
}
