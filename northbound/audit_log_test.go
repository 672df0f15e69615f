package northbound

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries are lines of the audit log without what differs from run to run or
// is not of interest, the earliest first.
func entries(t *testing.T, got answer) (lines []string) {
	t.Helper()
	for _, e := range got.list(t) {
		for _, side := range []string{"from", "to"} {
			if o, ok := e[side].(map[string]any); ok {
				maps.DeleteFunc(o, func(name string, _ any) bool {
					return !slices.Contains([]string{"name", "mtu", "tenant_id", "binding:host_id"}, name)
				})
			}
		}
		text, err := json.Marshal([]any{e["actor"], e["tenant_id"], e["action"], e["resource"], e["from"], e["to"]})
		if err != nil {
			t.Fatal(err)
		}
		lines = append([]string{string(text)}, lines...)
	}
	return lines
}

func TestAuditLogTellsWhoChangedWhatFromWhatToWhat(t *testing.T) {
	t.Parallel()
	a := setup(t)
	made := a.want(201, "POST", "/v2.0/networks", "red", `{"network": {"name": "n\"1"}}`)
	id := idOf(made.object(t))
	a.want(200, "PUT", "/v2.0/networks/"+id, "admin", `{"network": {"name": "n2", "mtu": 1400}}`)
	a.want(200, "PUT", "/v2.0/networks/"+id, "admin", `{"network": {"name": "n2"}}`) // as it is
	a.want(400, "PUT", "/v2.0/networks/"+id, "red", `{"network": {"mtu": 1}}`)
	a.want(201, "POST", "/v2.0/subnets", "red", `{"subnet": {"network_id": "`+id+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	a.want(204, "DELETE", "/v2.0/networks/"+id, "red", "")
	want := []string{
		`["alice","red","create","network",null,{"mtu":1450,"name":"n\"1","tenant_id":"red"}]`,
		`["root","red","update","network",{"mtu":1450,"name":"n\"1"},{"mtu":1400,"name":"n2"}]`,
		`["alice","red","delete","network",{"mtu":1400,"name":"n2","tenant_id":"red"},null]`,
	}
	log := a.want(200, "GET", "/v2.0/audit-log?resource_id="+id, "red", "")
	if diff := cmp.Diff(want, entries(t, log)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	request := made.header.Get("X-Openstack-Request-Id")
	first := log.list(t)[2]
	if first["request_id"] != request || first["resource_id"] != id || first["project_id"] != "red" {
		t.Errorf("the first entry is %v, want request %s", first, request)
	}
	for query, want := range map[string]int{
		"request_id=" + request + "&resource=network": 1,
		"actor=root":                                           1,
		"actor=root&actor=alice&resource=subnet":               2,
		"action=delete":                                        2,
		"project_id=blue":                                      0,
		"resource=network&until=2001-01-01T00:00:00Z":          0,
		"resource=network&since=2001-01-01T00:00:00Z":          3,
		"resource=network&since=2001-01-01T00%3A00%3A00Z":      3,
		"resource_id=" + id + "&since=" + momentOf(first) + "": 3,
		"resource_id=" + id + "&until=" + momentOf(first) + "": 0,
		"id=" + idOf(first) + "&id=1000000&fields=resource":    1,
	} {
		if got := a.want(200, "GET", "/v2.0/audit-log?"+query, "red", "").list(t); len(got) != want {
			t.Errorf("%s: %d entries, want %d: %v", query, len(got), want, got)
		}
	}
	a.want(400, "GET", "/v2.0/audit-log?since=yesterday", "red", "")
	if got := a.want(200, "GET", "/v2.0/audit-log", "blue", "").list(t); len(got) != 0 {
		t.Errorf("another tenant is shown %v", got)
	}
}

func momentOf(entry map[string]any) string { s, _ := entry["at"].(string); return s }

func TestAuditLogHidesFromMembersWhatTheyDoNotSeeInTheObject(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "name": "p", "security_groups": []}}`))
	a.want(200, "PUT", "/v2.0/ports/"+port, "admin", `{"port": {"name": "q", "binding:host_id": "00000000000000a1"}}`)
	for token, want := range map[string]string{
		"red":   `["root","red","update","port",{"name":"p"},{"name":"q"}]`,
		"admin": `["root","red","update","port",{"binding:host_id":"","name":"p"},{"binding:host_id":"00000000000000a1","name":"q"}]`,
	} {
		got := entries(t, a.want(200, "GET", "/v2.0/audit-log?action=update&resource_id="+port, token, ""))
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", token, diff)
		}
	}
}

// What is a fact or has a record of its own is in no audit log.
var unaudited = map[string]bool{
	"mac-addresses": true, "mac-conflicts": true, "mac-imports": true, "audit-log": true, "agents": true, "availability_zones": true, "qos/rule-types": true, "links": true,
	"hosts": true, "mac-moves": true, "events": true,
}

func TestAuditLogTellsOfEveryResource(t *testing.T) {
	t.Parallel()
	a := setup(t)
	ids, _ := owned(a)
	for path, id := range ids {
		if unaudited[path] {
			continue
		}
		list := a.want(200, "GET", "/v2.0/audit-log?action=create&resource_id="+id, "admin", "").list(t)
		if len(list) != 1 || list[0]["to"] == nil || list[0]["from"] != nil || list[0]["actor"] == "" {
			t.Errorf("%s: the making of one is told as %v", path, list)
		}
	}
	// Whatever can go does: what others need goes after these.
	left := map[string]bool{}
	for _, s := range shapes(t) {
		if s.verbs["DELETE"] && s.path != "mac-conflicts" && !strings.Contains(s.path, "alias_") {
			left[s.path] = true
		}
	}
	for progress := true; progress; {
		progress = false
		for _, other := range a.want(200, "GET", "/v2.0/ports", "admin", "").list(t) {
			if idOf(other) != ids["ports"] {
				progress = a.do("DELETE", "/v2.0/ports/"+idOf(other), "admin", "").code == 204 || progress
			}
		}
		for path := range left {
			if code := a.do("DELETE", "/v2.0/"+a.place(path)+"/"+ids[path], "admin", "").code; code != 204 && code != 404 {
				continue // another one goes first; 404: it went with another
			}
			progress = true
			delete(left, path)
			if unaudited[path] {
				continue
			}
			list := a.want(200, "GET", "/v2.0/audit-log?action=delete&resource_id="+ids[path], "admin", "").list(t)
			if len(list) != 1 || list[0]["from"] == nil || list[0]["to"] != nil {
				t.Errorf("%s: the end of one is told as %v", path, list)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("could not be deleted: %v", left)
	}
}

func TestAuditLogIsReadInPages(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, name := range []string{"a", "b", "c"} {
		a.make("/v2.0/networks", "red", `{"network": {"name": "`+name+`"}}`)
	}
	var got []string
	page := func(query string) (last string) {
		answer := a.want(200, "GET", "/v2.0/audit-log?resource=network&limit=2&"+query, "red", "")
		var body struct {
			Log []struct {
				ID string
				To map[string]any
			} `json:"audit_log"`
		}
		if err := json.Unmarshal([]byte(answer.text), &body); err != nil {
			t.Fatal(err)
		}
		for _, e := range body.Log {
			name, _ := e.To["name"].(string)
			got, last = append(got, name), e.ID
		}
		return last
	}
	page("marker=" + page(""))
	page("sort_key=at&sort_dir=asc")
	if diff := cmp.Diff([]string{"c", "b", "a", "a", "b"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	a.want(404, "GET", "/v2.0/audit-log?marker=x", "red", "")
}

func TestAuditLogTellsOfTagsAndQuotas(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.want(200, "PUT", "/v2.0/networks/"+network+"/tags", "red", `{"tags": ["a"]}`)
	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"network": 7}}`)
	a.want(204, "DELETE", "/v2.0/quotas/red", "admin", "")
	var got []string
	for _, e := range a.want(200, "GET", "/v2.0/audit-log?action=update&sort_key=id&sort_dir=asc", "red", "").list(t) {
		text, err := json.Marshal([]any{e["actor"], e["resource"], e["resource_id"] == network || e["resource_id"] == "red", e["from"], e["to"]})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{
		`["alice","network",true,{"tags":[]},{"tags":["a"]}]`,
		`["root","quota",true,{"network":-1},{"network":7}]`,
		`["root","quota",true,{"network":7},{"network":-1}]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
