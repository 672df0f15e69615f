package northbound

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// owned makes one object of every resource for tenant red, and says how each
// is made. A new resource without an entry fails the tests below.
func owned(a *api) (ids, bodies map[string]string) {
	ids, bodies = map[string]string{}, map[string]string{}
	add := func(path, token, body string) {
		bodies[path] = body
		ids[path] = idOf(a.make("/v2.0/"+a.place(path), token, body))
	}
	add("networks", "red", `{"network": {"name": "n"}}`)
	add("subnets", "red", `{"subnet": {"network_id": "`+ids["networks"]+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	add("security-groups", "red", `{"security_group": {"name": "g"}}`)
	add("security-group-rules", "red", `{"security_group_rule": {"security_group_id": "`+ids["security-groups"]+`", "direction": "ingress"}}`)
	add("ports", "red", `{"port": {"network_id": "`+ids["networks"]+`", "security_groups": ["`+ids["security-groups"]+`"], "fixed_ips": [{"subnet_id": "`+ids["subnets"]+`"}]}}`)
	add("mac-segments", "admin", `{"mac_segment": {"tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 24}}`)
	add("mac-allow-lists", "red", `{"mac_allow_list": {"network_id": "`+ids["networks"]+`", "entries": [{"prefix": "02:00:00:00:00:00/8"}]}}`)
	add("mac-affinity/pools", "red", `{"affinity_pool": {"subnet_id": "`+ids["subnets"]+`", "protocol": "tcp", "protocol_port": 80}}`)
	add("mac-affinity/pools/{pool_id}/backends", "red", `{"backend": {"port_id": "`+ids["ports"]+`", "protocol_port": 8080}}`)
	ids["mac-affinity/backends"] = ids["mac-affinity/pools/{pool_id}/backends"]
	add("mac-addresses", "red", `{"mac_address": {"address": "02:00:05:00:00:42", "state": "reserved", "device_id": "vm"}}`)
	add("address-groups", "red", `{"address_group": {"addresses": ["192.0.2.0/24"]}}`)
	add("address-scopes", "red", `{"address_scope": {"ip_version": 4}}`)
	add("subnetpools", "red", `{"subnetpool": {"prefixes": ["172.16.0.0/16"], "address_scope_id": "`+ids["address-scopes"]+`"}}`)
	add("rbac-policies", "red", `{"rbac_policy": {"object_type": "network", "object_id": "`+ids["networks"]+`", "action": "access_as_shared", "target_tenant": "green"}}`)
	add("tenants", "admin", `{"tenant": {"id": "green"}}`)
	add("switches", "admin", `{"switch": {"id": "00000000000000a1"}}`)
	apart := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	parent := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+apart+`", "security_groups": []}}`))
	add("trunks", "red", `{"trunk": {"port_id": "`+parent+`"}}`)
	add("qos/policies", "admin", `{"policy": {"tenant_id": "red", "name": "q"}}`)
	for _, k := range qosRuleKinds {
		inPolicy, alias := qosRules(nil, k)
		attr := k.own[0].name
		value := "8"
		if attr == "class" {
			value = "5"
		}
		add(inPolicy.path, "admin", `{"`+inPolicy.single+`": {"`+attr+`": `+value+`}}`)
		ids[alias.path] = ids[inPolicy.path]
	}
	add("metering/metering-labels", "admin", `{"metering_label": {"tenant_id": "red"}}`)
	add("metering/metering-label-rules", "admin", `{"metering_label_rule": {"metering_label_id": "`+ids["metering/metering-labels"]+`", "direction": "ingress", "remote_ip_prefix": "10.0.0.0/8"}}`)
	add("service_profiles", "admin", `{"service_profile": {"driver": "d"}}`)
	add("flavors", "admin", `{"flavor": {"service_type": "L3_ROUTER_NAT"}}`)
	ids["network-ip-availabilities"], ids["agents"] = ids["networks"], agentID(&intent.Switch{DPID: 0xa1})
	ids["availability_zones"], ids["qos/rule-types"] = theZone, string(intent.QoSDSCPMarking)
	conflict, found, err := a.store.ReportSighting(a.t.Context(), store.MACSighting{Addr: mac.MustParse("02:00:05:00:00:42"), Datapath: 0xa1, SwitchPort: 7})
	if err != nil || !found {
		a.t.Fatalf("sighting of an address that is held: %t, %v", found, err)
	}
	ids["mac-conflicts"] = conflict.ID
	a.latest() // then it is told
	ids["events"] = idOf(a.want(200, "GET", "/v2.0/events?kind=mac_conflict", "admin", "").list(a.t)[0])
	if err := a.store.SaveSwitch(a.t.Context(), intent.Switch{DPID: 0xa2, Ports: []intent.SwitchPort{{No: 9, Name: "eth9"}}}); err != nil {
		a.t.Fatal(err)
	}
	link := fabricLink{Known: fabric.Known{Link: fabric.Between(fabric.End{DPID: 0xa1, Port: 7}, fabric.End{DPID: 0xa2, Port: 9}), Tree: true, Since: time.Now()}}
	if _, err := a.store.SaveLinks(a.t.Context(), []fabric.Known{link.Known}); err != nil {
		a.t.Fatal(err)
	}
	ids["links"] = linkID(&link)
	add("blocks", "admin", `{"block": {"mac_address": "02:00:05:00:00:42", "switch": "00000000000000a2", "port": 9}}`)
	add("mac-guards", "admin", `{"mac_guard": {"network_id": "`+ids["networks"]+`", "action": "block-mac"}}`)
	at := intent.Place{Switch: 0xa2, Port: 9}
	if err := a.store.RecordMoves(a.t.Context(), []intent.MACMove{{MAC: 1, To: at, Verdict: intent.MoveAllowed, Times: 1, First: time.Now(), Last: time.Now()}}); err != nil {
		a.t.Fatal(err)
	}
	ids["mac-moves"] = idOf(a.want(200, "GET", "/v2.0/mac-moves", "admin", "").list(a.t)[0])
	host := fabric.Host{MAC: mac.MustParse("0a:00:00:00:00:07"), At: fabric.End{DPID: 0xa2, Port: 9}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}, Since: time.Now(), LastSeen: time.Now()}
	if err := a.store.SaveFabricHosts(a.t.Context(), []fabric.HostChange{{Host: host}}); err != nil {
		a.t.Fatal(err)
	}
	ids["hosts"] = host.MAC.String()
	loaded := a.load("admin", "source=esx&tenant_id=red", "text/csv", "application/json", "0a:00:00:00:00:05,x\n")
	ids["mac-imports"], _ = loaded.object(a.t)["import_id"].(string)
	ids["audit-log"] = idOf(a.want(200, "GET", "/v2.0/audit-log?resource=network&tenant_id=red", "admin", "").list(a.t)[0])
	return ids, bodies
}

// visibleToOwner says whether a tenant sees what is its own.
func (s *shape) visibleToOwner() bool { return s.readBy == everyone }

// visibleTo says whether a caller sees what is red's.
func (s *shape) visibleTo(token string) bool {
	return s.visibleToOwner() && (token != "blue" || s.public)
}

func TestTenantsNeverSeeOrTouchEachOthersObjects(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for _, token := range []string{"red", "blue"} { // makes the default groups
		a.want(200, "GET", "/v2.0/security-groups", token, "")
	}
	before := storetest.Digest(t, a.pg)
	for _, s := range shapes(t) {
		id, made := ids[s.path]
		if !made {
			t.Errorf("no object of %s to try", s.path)
			continue
		}
		place := a.place(s.path)
		for _, token := range []string{"blue", "red-reader", "red"} {
			mine := s.visibleTo(token)
			if token == "red" && s.writeBy == everyone {
				continue // may do as it likes
			}
			list := 200
			if s.nested && !mine {
				list = 404
			}
			var seen []map[string]any
			if got := a.want(list, "GET", "/v2.0/"+place, token, ""); list == 200 {
				seen = got.list(t)
			}
			for _, o := range seen {
				if tenant := o["tenant_id"]; !mine && (tenant != token && tenant != "" || o[s.key] == id) {
					t.Errorf("%s: %s sees %v in the list", s.path, token, o)
				}
			}
			change := s.change()
			at := "/v2.0/" + place + "/" + id
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				got := a.do(method, at, token, change)
				want := 404
				switch missing := s.missingVerb(method); {
				case missing != 0:
					want = missing
				case mine && method == "GET":
					want = s.shown()
				case mine:
					want = 403
				}
				if got.code != want {
					t.Errorf("%s %s by %s: code %d, want %d: %s", method, s.path, token, got.code, want, got.text)
				}
				if want == 404 && strings.Contains(got.text, "disallowed") {
					t.Errorf("%s %s by %s tells that the object exists: %s", method, s.path, token, got.text)
				}
			}
		}
	}
	after := storetest.Digest(t, a.pg)
	delete(before, "mac_leases") // which the store renews by itself
	delete(after, "mac_leases")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the database changed (-before +after):\n%s", diff)
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
	for _, s := range shapes(t) {
		body := bodies[s.path]
		if !s.verbs["POST"] || body == "" {
			continue
		}
		for _, token := range []string{"red-reader", "red"} {
			if token == "red" && s.writeBy == everyone {
				continue
			}
			mine := edit(t, body, func(o map[string]json.RawMessage) {
				for _, attr := range s.attributes {
					if attr.name == "tenant_id" && attr.post != never && s.writeBy == everyone {
						o["tenant_id"] = json.RawMessage(`"red"`)
					}
				}
			})
			kind, message := a.want(403, "POST", "/v2.0/"+a.place(s.path), token, mine).message(t)
			if kind != "PolicyNotAuthorized" || !strings.Contains(message, s.rule("create")) {
				t.Errorf("POST %s by %s: %s %s", s.path, token, kind, message)
			}
		}
	}
}

// What the tables say is for administrators, a member is refused by its name and
// is not shown.
func TestMembersNeitherGiveNorSeeWhatIsForAdministrators(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, bodies := owned(a)
	tried := 0
	for _, s := range shapes(t) {
		list := "/v2.0/" + a.place(s.path)
		at := list + "/" + ids[s.path]
		if !s.visibleToOwner() {
			continue
		}
		for _, attr := range s.attributes {
			if attr.seen == admins {
				tried++
				if got := a.do("GET", at+"?fields="+url.QueryEscape(attr.name), "red", ""); got.code != s.shown() || strings.Contains(got.text, `"`+attr.name) {
					t.Errorf("%s: a member sees %s", s.path, got.text)
				}
				if got := a.want(200, "GET", at+"?fields="+url.QueryEscape(attr.name), "admin", "").object(t); len(got) != 1 {
					t.Errorf("%s: an administrator does not see %s: %v", s.path, attr.name, got)
				}
				a.want(400, "GET", list+"?"+url.QueryEscape(attr.name)+"=x", "red", "")
				a.want(400, "GET", list+"?sort_dir=asc&sort_key="+url.QueryEscape(attr.name), "red", "")
			}
			if s.writeBy != everyone {
				continue
			}
			if attr.post != never && attr.byPost == admins && s.verbs["POST"] {
				tried++
				value := sample(attr.takes)
				if value == attr.def { // which anybody may say
					value = "true"
				}
				if _, message := a.want(403, "POST", list, "red", put(t, bodies[s.path], attr.name, value)).message(t); message != "rule:"+s.rule("create")+":"+attr.name+" is disallowed by policy" {
					t.Errorf("POST %s with %s: %s", s.path, attr.name, message)
				}
			}
			if attr.put && attr.byPut == admins && s.verbs["PUT"] {
				tried++
				if _, message := a.want(403, "PUT", at, "red", put(t, `{"`+s.single+`": {}}`, attr.name, sample(attr.takes))).message(t); message != "rule:"+s.rule("update")+":"+attr.name+" is disallowed by policy" {
					t.Errorf("PUT %s with %s: %s", s.path, attr.name, message)
				}
			}
		}
	}
	if tried == 0 {
		t.Error("no attribute is for administrators")
	}
	a.want(201, "POST", "/v2.0/ports", "red", `{"port": {"network_id": "`+ids["networks"]+`", "mac_address": "02:00:05:00:00:09", "binding:vnic_type": "normal"}}`)
}

func TestAdministratorsActForEveryTenant(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for path, id := range ids {
		a.want(200, "GET", "/v2.0/"+a.place(path)+"/"+id, "admin", "")
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
		if under := r.(interface{ taggedAt() string }).taggedAt(); under != "" {
			a.want(201, "PUT", "/v2.0/"+under+"/"+ids[path]+"/tags/t", "admin", "")
		}
		at := a.place(path)
		shown := a.want(200, "GET", "/v2.0/"+at+"/"+ids[path], "admin", "").object(t)
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
			for _, o := range a.want(200, "GET", "/v2.0/"+at+"?"+url.Values{name: {value}}.Encode(), "admin", "").list(t) {
				found = found || o[r.(shaped).shape(t).key] == ids[path]
			}
			if !found {
				t.Errorf("%s?%s=%s does not find the object that shows it", path, name, value)
			}
		}
	}
}
