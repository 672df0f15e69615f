package northbound

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// owned makes one object of every resource for tenant red, and says how each
// is made. A new resource without an entry fails the tests below.
func owned(a *api) (ids, bodies map[string]string) {
	ids, bodies = map[string]string{}, map[string]string{}
	add := func(path, token, body string) {
		bodies[path] = body
		ids[path] = idOf(a.make("/v2.0/"+path, token, body))
	}
	add("networks", "red", `{"network": {"name": "n"}}`)
	add("subnets", "red", `{"subnet": {"network_id": "`+ids["networks"]+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	add("security-groups", "red", `{"security_group": {"name": "g"}}`)
	add("security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+ids["security-groups"]+`", "direction": "ingress"}}`)
	add("ports", "red", `{"port": {"network_id": "`+ids["networks"]+`", "security_groups": ["`+ids["security-groups"]+`"], "fixed_ips": [{"subnet_id": "`+ids["subnets"]+`"}]}}`)
	add("mac-segments", "admin", `{"mac_segment": {"tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 24}}`)
	add("mac-addresses", "red", `{"mac_address": {"address": "02:00:05:00:00:42", "state": "reserved", "device_id": "vm"}}`)
	add("tenants", "admin", `{"tenant": {"id": "green"}}`)
	add("switches", "admin", `{"switch": {"id": "00000000000000a1"}}`)
	conflict, found, err := a.store.ReportSighting(a.t.Context(), store.MACSighting{Addr: mac.MustParse("02:00:05:00:00:42"), Datapath: 0xa1, SwitchPort: 7})
	if err != nil || !found {
		a.t.Fatalf("sighting of an address that is held: %t, %v", found, err)
	}
	ids["mac-conflicts"] = conflict.ID
	loaded := a.load("admin", "source=esx&tenant_id=red", "text/csv", "application/json", "0a:00:00:00:00:05,x\n")
	ids["mac-imports"], _ = loaded.object(a.t)["import_id"].(string)
	ids["audit-log"] = idOf(a.want(200, "GET", "/v2.0/audit-log?resource=network&tenant_id=red", "admin", "").list(a.t)[0])
	return ids, bodies
}

func TestTenantsNeverSeeOrTouchEachOthersObjects(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	before := a.snapshot()
	for _, r := range resources(nil) {
		single, _, path := r.names()
		id, made := ids[path]
		if !made {
			t.Errorf("no object of %s to try", path)
			continue
		}
		for _, token := range []string{"blue", "red-reader"} {
			mine := token == "red-reader" && path != "tenants" && path != "switches" && path != "mac-imports"
			for _, o := range a.want(200, "GET", "/v2.0/"+path, token, "").list(t) {
				if tenant := o["tenant_id"]; !mine && tenant != "blue" && tenant != "" || idOf(o) == id && !mine {
					t.Errorf("%s: %s sees %v in the list", path, token, o)
				}
			}
			change := `{"` + single + `": {"description": "mine"}}`
			switch path {
			case "switches":
				change = `{"switch": {"admitted": false}}`
			case "mac-addresses":
				change = `{"mac_address": {"device_id": "mine"}}`
			}
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				got := a.do(method, "/v2.0/"+path+"/"+id, token, change)
				want := 404
				switch {
				case path == "mac-imports" && method != "GET", path == "audit-log" && method != "GET", method == "PUT" && path == "mac-conflicts":
					want = 405
				case mine && method == "GET":
					want = 200
				case mine:
					want = 403
				}
				if got.code != want {
					t.Errorf("%s %s by %s: code %d, want %d: %s", method, path, token, got.code, want, got.text)
				}
				if want == 404 && strings.Contains(got.text, "disallowed") {
					t.Errorf("%s %s by %s tells that the object exists: %s", method, path, token, got.text)
				}
			}
		}
	}
	after := a.snapshot()
	delete(before, "security-groups") // lists have made the default groups of who asked
	delete(after, "security-groups")
	for _, path := range []string{"networks", "subnets", "ports", "mac-segments", "mac-addresses", "mac-conflicts"} {
		if before[path] != after[path] {
			t.Errorf("%s changed:\n%s\n%s", path, before[path], after[path])
		}
	}
}

func TestTenantsCannotUseEachOthersObjects(t *testing.T) {
	t.Parallel()
	a := setup(t)
	_, bodies := owned(a)
	network := idOf(a.make("/v2.0/networks", "blue", `{"network": {}}`))
	group := idOf(a.make("/v2.0/security-groups", "blue", `{"security_group": {"name": "g"}}`))
	port := idOf(a.make("/v2.0/ports", "blue", `{"port": {"network_id": "`+network+`"}}`))
	ids := map[string]string{}
	for _, p := range []string{"networks", "subnets", "security-groups"} {
		ids[p] = idOf(a.want(200, "GET", "/v2.0/"+p+"?tenant_id=red&name=n&name=g&name=", "admin", "").list(t)[0])
	}
	for name, c := range map[string]struct {
		method, path, body string
		code               int
	}{
		"subnet of their network":      {"POST", "subnets", bodies["subnets"], 404},
		"port on their network":        {"POST", "ports", bodies["ports"], 404},
		"rule of their group":          {"POST", "security-group-rules", bodies["security-group-rules"], 404},
		"rule from their group":        {"POST", "security-group-rules", `{"security_group_rule": {"security_group_id": "` + group + `", "direction": "ingress", "remote_group_id": "` + ids["security-groups"] + `"}}`, 404},
		"address of their subnet":      {"POST", "ports", `{"port": {"network_id": "` + network + `", "fixed_ips": [{"subnet_id": "` + ids["subnets"] + `"}]}}`, 404},
		"move into their subnet":       {"PUT", "ports/" + port, `{"port": {"fixed_ips": [{"subnet_id": "` + ids["subnets"] + `"}]}}`, 404},
		"subscribe to their group":     {"PUT", "ports/" + port, `{"port": {"security_groups": ["` + ids["security-groups"] + `"]}}`, 404},
		"address out of their block":   {"POST", "ports", `{"port": {"network_id": "` + network + `", "mac_address": "02:00:05:00:00:07"}}`, 400},
		"filter by their tenant":       {"GET", "ports?tenant_id=red", "", 200},
		"an object made in their name": {"POST", "networks", `{"network": {"tenant_id": "red"}}`, 400},
	} {
		got := a.do(c.method, "/v2.0/"+c.path, "blue", c.body)
		if got.code != c.code {
			t.Errorf("%s: code %d, want %d: %s", name, got.code, c.code, got.text)
		}
		if c.code == 200 && len(got.list(t)) != 0 {
			t.Errorf("%s: %s", name, got.text)
		}
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	a := setup(t)
	_, bodies := owned(a)
	for path, body := range bodies {
		switch path {
		case "mac-segments":
			body = `{"mac_segment": {"base_address": "02:00:06:00:00:00", "prefix_length": 24}}`
		case "mac-addresses":
			body = `{"mac_address": {}}`
		}
		kind, message := a.want(403, "POST", "/v2.0/"+path, "red-reader", body).message(t)
		if kind != "PolicyNotAuthorized" || !strings.Contains(message, "create_") {
			t.Errorf("POST %s: %s %s", path, kind, message)
		}
	}
}

func TestMembersNeitherGiveNorSeeWhatIsForAdministrators(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for path, hidden := range map[string][]string{
		"networks": {"provider:network_type", "provider:physical_network", "provider:segmentation_id"},
		"ports":    {"binding:host_id", "binding:profile", "binding:vif_type"},
	} {
		fields := "?fields=" + strings.Join(hidden, "&fields=")
		if got := a.want(200, "GET", "/v2.0/"+path+"/"+ids[path]+fields, "red", "").object(t); len(got) != 0 {
			t.Errorf("a member sees %v", got)
		}
		if got := a.want(200, "GET", "/v2.0/"+path+"/"+ids[path]+fields, "admin", "").object(t); len(got) != len(hidden) {
			t.Errorf("an administrator sees %v, want %v", got, hidden)
		}
	}
	for _, attr := range []string{`"binding:host_id": "00000000000000a1"`, `"binding:profile": {"port_no": 1}`, `"mac_address": "02:00:05:00:00:09"`} {
		a.want(403, "PUT", "/v2.0/ports/"+ids["ports"], "red", `{"port": {`+attr+`}}`)
	}
	a.want(201, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+ids["networks"]+`", "mac_address": "02:00:05:00:00:09", "binding:vnic_type": "normal"}}`)
}

func TestAdministratorsActForEveryTenant(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for path, id := range ids {
		a.want(200, "GET", "/v2.0/"+path+"/"+id, "admin", "")
	}
	got := a.make("/v2.0/ports", "admin", `{"port": {"network_id": "`+ids["networks"]+`", "project_id": "blue"}}`)
	if got["tenant_id"] != "blue" {
		t.Errorf("port made for blue: %v", got)
	}
	a.want(200, "GET", "/v2.0/ports/"+idOf(got), "blue", "")
}

// filterable names the attributes that lists filter by.
func (c *collection[E]) filterable() []string {
	var names []string
	for _, a := range c.attributes {
		if a.toText != nil {
			names = append(names, a.name)
		}
	}
	return names
}

// An object is found by what it shows, for every filter that is declared.
func TestEveryFilterFindsTheObjectThatShowsTheValue(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for _, r := range resources(nil) {
		_, _, path := r.names()
		shown := a.want(200, "GET", "/v2.0/"+path+"/"+ids[path], "admin", "").object(t)
		for _, name := range r.(interface{ filterable() []string }).filterable() {
			value := fmt.Sprint(shown[name])
			switch v := shown[name].(type) {
			case nil: // absence is asked for by the empty text, where it can be
				continue
			case float64:
				value = strconv.FormatInt(int64(v), 10)
			case []any:
				value = fmt.Sprint(v[0])
				if address, ok := v[0].(map[string]any); ok {
					value = "ip_address=" + address["ip_address"].(string)
				}
			}
			found := false
			for _, o := range a.want(200, "GET", "/v2.0/"+path+"?"+url.Values{name: {value}}.Encode(), "admin", "").list(t) {
				found = found || o["id"] == ids[path]
			}
			if !found {
				t.Errorf("%s?%s=%s does not find the object that shows it", path, name, value)
			}
		}
	}
}
