package northbound

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMACSegmentRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	made := a.want(201, "POST", "/v2.0/mac-segments", "admin", `{"mac_segment": {"name": "rack 5", "tenant_id": "red", "base_address": "02-00-05-00-00-00", "prefix_length": "24"}}`)
	a.wantBody(names, made, `{"mac_segment":{"id":"ID1","name":"rack 5","description":"","tenant_id":"red","project_id":"red","parent_id":"ID2","network_id":null,
		"host":"","base_address":"02:00:05:00:00:00","prefix_length":24,"size":16777216,"strategy":"scrambled","quarantine_seconds":600,"shared":false,
		"conflict_policy":"report","conflict_delay_seconds":600,"qos_policy_id":null,
		"utilisation":{"size":16777216,"active":0,"reserved":0,"quarantined":0,"free":16777216,"largest_free_block":"02:00:05:00:00:00/24"},"collision_probability":0,
		"active":0,"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}}`)
	id := idOf(made.object(t))
	if got := a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 8, "shared": true}}`); got["tenant_id"] != "" || got["parent_id"] != nil || got["shared"] != true {
		t.Errorf("root of the operator: %v", got)
	}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	got := a.want(200, "PUT", "/v2.0/mac-segments/"+id, "admin", `{"mac_segment": {"name": "r5", "description": "d"}}`).object(t)
	if got["name"] != "r5" || got["description"] != "d" || got["active"] != float64(1) {
		t.Errorf("changed segment with one address in use: %v", got)
	}
	a.want(409, "DELETE", "/v2.0/mac-segments/"+id, "admin", "")
	a.want(204, "DELETE", "/v2.0/ports/"+port, "red", "")
	a.want(204, "DELETE", "/v2.0/mac-segments/"+id, "admin", "")
	var visible []string
	for _, s := range a.want(200, "GET", "/v2.0/mac-segments", "red", "").list(t) {
		visible = append(visible, s["base_address"].(string))
	}
	if got := strings.Join(visible, " "); got != "02:ff:00:00:00:00 0a:00:00:00:00:00" {
		t.Errorf("a member sees %s, want the shared segments", got)
	}
}

// blocks shows segments as text.
func blocks(list []map[string]any) string {
	var words []string
	for _, s := range list {
		words = append(words, fmt.Sprintf("%v/%v", s["base_address"], s["prefix_length"]))
	}
	return strings.Join(words, " ")
}

func TestMACSegmentsArePlacedBySizeResizedAndSplit(t *testing.T) {
	t.Parallel()
	a := setup(t)
	root := a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 24, "strategy": "sequential"}}`)
	const ofSize = `{"mac_segment": {"parent_id": "%v", "tenant_id": "red", "size": %d, "strategy": "sequential", "quarantine_seconds": 0, "conflict_policy": "refuse", "conflict_delay_seconds": 5}}`
	large := a.make("/v2.0/mac-segments", "admin", fmt.Sprintf(ofSize, root["id"], 1000))
	small := a.make("/v2.0/mac-segments", "admin", fmt.Sprintf(ofSize, root["id"], 5))
	if got, want := blocks([]map[string]any{large, small}), "0a:00:00:00:00:00/38 0a:00:00:00:04:00/45"; got != want {
		t.Errorf("segments for 1000 and 5 addresses: %s, want %s", got, want)
	}
	if large["size"] != float64(1024) || large["quarantine_seconds"] != float64(0) || large["conflict_policy"] != "refuse" || large["conflict_delay_seconds"] != float64(5) {
		t.Errorf("segment for 1000 addresses: %v", large)
	}
	path := "/v2.0/mac-segments/" + idOf(small)
	if got := a.want(200, "PUT", path, "admin", `{"mac_segment": {"prefix_length": 44}}`).object(t); got["size"] != float64(16) {
		t.Errorf("grown segment: %v", got)
	}
	if got := a.want(200, "PUT", path, "red", `{"mac_segment": {"prefix_length": 46}}`).object(t); got["size"] != float64(4) {
		t.Errorf("segment shrunk by its tenant: %v", got)
	}
	a.want(200, "PUT", path, "red", `{"mac_segment": {"strategy": "instance-hash", "quarantine_seconds": 7, "conflict_policy": "reassign", "conflict_delay_seconds": 9, "name": "s"}}`)
	parts := a.want(200, "PUT", path+"/split", "red", `{"prefix_length": 47}`).list(t)
	if got, want := blocks(parts), "0a:00:00:00:04:00/47 0a:00:00:00:04:02/47"; got != want || idOf(parts[0]) != idOf(small) {
		t.Errorf("parts %s, want %s, the first with the id of the whole", got, want)
	}
	for _, p := range parts {
		if p["strategy"] != "instance-hash" || p["quarantine_seconds"] != float64(7) || p["conflict_policy"] != "reassign" || p["conflict_delay_seconds"] != float64(9) || p["tenant_id"] != "red" {
			t.Errorf("part %v, want it like the whole", p)
		}
	}
	divided := a.make("/v2.0/mac-segments", "red", `{"mac_segment": {"size": 100, "parent_id": "`+idOf(large)+`"}}`)
	if got := blocks([]map[string]any{divided}); got != "0a:00:00:00:00:00/41" || divided["tenant_id"] != "red" || divided["parent_id"] != large["id"] {
		t.Errorf("part that the tenant cut out of its own: %v", divided)
	}
	a.want(200, "PUT", "/v2.0/mac-segments/"+idOf(divided), "red", `{"mac_segment": {"prefix_length": 40}}`)
	kind, message := a.want(409, "DELETE", "/v2.0/mac-segments/"+idOf(large), "admin", "").message(t)
	if kind != "MacSegmentInUse" || !strings.Contains(message, "1 MAC segment") {
		t.Errorf("deleting a divided segment: %s %s", kind, message)
	}
	a.want(204, "DELETE", "/v2.0/mac-segments/"+idOf(divided), "red", "")
	a.want(403, "DELETE", "/v2.0/mac-segments/"+idOf(a.want(200, "GET", "/v2.0/mac-segments?shared=true", "red", "").list(t)[0]), "red", "")
}

func TestUtilisationOfASegmentCountsAllThatIsInsideIt(t *testing.T) {
	t.Parallel()
	a := setup(t)
	root := a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 40}}`)
	middle := a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 44, "tenant_id": "red", "strategy": "sequential"}}`)
	leaf := a.make("/v2.0/mac-segments", "red", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 45, "strategy": "sequential"}}`)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	var ports []string
	for range 4 {
		ports = append(ports, idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "device_id": "i`+fmt.Sprint(len(ports))+`"}}`)))
	}
	a.want(204, "DELETE", "/v2.0/ports/"+ports[3], "red", "")
	a.want(204, "DELETE", "/v2.0/ports/"+ports[2]+"?keep_mac=true", "red", "")
	used := func(size, largest string) map[string]any {
		return map[string]any{"size": size, "active": "2", "reserved": "1", "quarantined": "1", "free": "?", "largest_free_block": largest}
	}
	want := map[string]map[string]any{
		idOf(root):   used("256", "0a:00:00:00:00:80/41"),
		idOf(middle): used("16", "0a:00:00:00:00:08/45"),
		idOf(leaf):   used("8", "0a:00:00:00:00:04/46"),
	}
	for id, w := range want {
		shown := a.want(200, "GET", "/v2.0/mac-segments/"+id, "admin", "").object(t)
		got := shown["utilisation"].(map[string]any)
		if got["free"] != shown["size"].(float64)-4 {
			t.Errorf("%v of %v are free", got["free"], shown["size"])
		}
		for key, v := range got {
			got[key] = fmt.Sprint(v)
		}
		got["free"] = "?"
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("utilisation of %v (-want +got):\n%s", shown["base_address"], diff)
		}
		if p := shown["collision_probability"].(float64); p <= 0 || p >= 1 {
			t.Errorf("collision probability of three addresses out of %v: %v", shown["size"], p)
		}
		listed := a.want(200, "GET", "/v2.0/mac-segments?id="+id, "admin", "").list(t)[0]
		delete(w, "largest_free_block")
		got = listed["utilisation"].(map[string]any)
		for key, v := range got {
			got[key] = fmt.Sprint(v)
		}
		got["free"] = "?"
		if diff := cmp.Diff(w, got); diff != "" || listed["collision_probability"] != shown["collision_probability"] {
			t.Errorf("listed utilisation (-want +got):\n%s", diff)
		}
	}
	all := a.want(200, "GET", "/v2.0/mac-segments", "admin", "").list(t)
	for _, s := range all {
		if u := s["utilisation"].(map[string]any); want[idOf(s)] != nil && u["active"] != float64(2) {
			t.Errorf("in the list of all, %v has %v", s["base_address"], u)
		}
	}
}

func TestPortsTakeTheirMACFromTheSegmentOfTheirHostAndKeepItForTheInstance(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 40, "host": "00000000000000a1"}}`)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	ofHost := `{"port": {"network_id": "` + network + `", "tenant_id": "red", "device_id": "vm", "binding:host_id": "00000000000000a1", "binding:profile": {"port_no": 7}}}`
	first := a.make("/v2.0/ports", "admin", ofHost)
	if got := first["mac_address"].(string); !strings.HasPrefix(got, "0a:") {
		t.Errorf("MAC of a port that is bound to the host: %s", got)
	}
	if got := a.want(200, "PUT", "/v2.0/ports/"+idOf(first), "admin", `{"port": {"binding:host_id": "00000000000000a2"}}`).object(t); got["mac_address"] != first["mac_address"] {
		t.Errorf("MAC %v after moving to another host, want %v", got["mac_address"], first["mac_address"])
	}
	path := "/v2.0/ports/" + idOf(first)
	kind, message := a.want(400, "DELETE", path+"?keep_mac=maybe", "red", "").message(t)
	if kind != "HTTPBadRequest" || !strings.Contains(message, "keep_mac") {
		t.Errorf("keep_mac=maybe: %s %s", kind, message)
	}
	a.want(404, "DELETE", path+"?keep_mac=true", "blue", "")
	a.want(204, "DELETE", path+"?keep_mac=true", "red", "")
	if got := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "device_id": "other"}}`); got["mac_address"] == first["mac_address"] {
		t.Errorf("another instance got the MAC that is kept: %v", got["mac_address"])
	}
	again := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "device_id": "vm"}}`)
	if again["mac_address"] != first["mac_address"] {
		t.Errorf("the next port of the instance got %v, want %v", again["mac_address"], first["mac_address"])
	}
	noInstance := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	if _, message := a.want(400, "DELETE", "/v2.0/ports/"+noInstance+"?keep_mac=true", "red", "").message(t); !strings.Contains(message, "device_id") {
		t.Errorf("keeping the MAC of no instance: %s", message)
	}
}
