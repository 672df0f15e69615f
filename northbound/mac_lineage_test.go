package northbound

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestLineageTellsWhoHadAnAddressWhenAndWhere(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "device_id": "vm", "mac_address": "0a:00:00:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.9"}]}}`))
	bind := func(host string) {
		a.want(200, "PUT", "/v2.0/ports/"+port, "admin", `{"port": {"binding:host_id": "`+host+`", "binding:profile": {"interface_name": "tap1"}}}`)
	}
	bind("00000000000000a1")
	bind("00000000000000a2")
	a.want(204, "DELETE", "/v2.0/ports/"+port, "red", "")

	lines := func(token, query string) []string {
		var out []string
		for _, e := range a.want(200, "GET", "/v2.0/mac-lineage?"+query, token, "").list(t) {
			if e["mac"] != "0a:00:00:00:00:01" || e["tenant_id"] != "red" || !strings.HasPrefix(fmt.Sprint(e["request_id"]), "req-") {
				t.Errorf("%s: %v", query, e)
			}
			out = append(out, fmt.Sprint(e["event"], " ", e["actor"], " ", e["ips"], " ", e["switch"]))
		}
		return out
	}
	want := []string{"release alice [10.0.0.9] 00000000000000a2", "move root [10.0.0.9] 00000000000000a2", "bind root [10.0.0.9] 00000000000000a1", "allocate alice [10.0.0.9] "}
	if diff := cmp.Diff(want, lines("admin", "mac=0a00.0000.0001")); diff != "" {
		t.Errorf("lineage by MAC (-want +got):\n%s", diff)
	}
	for query, most := range map[string][]string{
		"ip=10.0.0.9": want, "instance=vm": want, "tenant=red": want, "user=alice": {want[0], want[3]},
		"switch=00000000000000a1": {want[2]}, "mac=0a:00:00:00:00:01&limit=2": want[:2], "ip=10.0.0.9&user=root": want[1:3],
	} {
		if diff := cmp.Diff(most, lines("admin", query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	all := a.want(200, "GET", "/v2.0/mac-lineage?mac=0a:00:00:00:00:01", "admin", "").list(t)
	moved := url.QueryEscape(fmt.Sprint(all[1]["at"]))
	if diff := cmp.Diff(want[2:], lines("admin", "mac=0a:00:00:00:00:01&until="+moved)); diff != "" {
		t.Errorf("before the move (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], lines("admin", "mac=0a:00:00:00:00:01&since="+moved)); diff != "" {
		t.Errorf("since the move (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[2:3], lines("admin", fmt.Sprint("mac=0a:00:00:00:00:01&limit=1&marker=", int64(all[1]["id"].(float64))))); diff != "" {
		t.Errorf("after the move (-want +got):\n%s", diff)
	}
	if got := lines("red", fmt.Sprint("mac=0a:00:00:00:00:01&marker=", int64(all[3]["id"].(float64)))); len(got) != 0 {
		t.Errorf("after the last: %q", got)
	}
	if diff := cmp.Diff(want[1:2], lines("admin", "ip=10.0.0.9&at="+moved)); diff != "" {
		t.Errorf("at the move (-want +got):\n%s", diff)
	}
	if got := lines("red-reader", "mac=0a:00:00:00:00:01"); len(got) != 4 || strings.Contains(strings.Join(got, ""), "a1") {
		t.Errorf("the tenant sees %q, want four lines without the place", got)
	}
	if got := lines("blue", "mac=0a:00:00:00:00:01"); len(got) != 0 {
		t.Errorf("another tenant sees %q", got)
	}
	for query, names := range map[string]string{
		"": "mac, ip", "limit=5": "mac, ip", "mac=red": "mac", "ip=red": "ip", "instance=": "instance", "mac=0a:00:00:00:00:01&at=now": "at",
		"user=a&user=b": "user", "user=a&limit=1001": "1000", "user=a&marker=last": "marker", "user=a&marker=4611686018427387904": "marker",
		"user=a&at=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z": "since", "user=a&colour=red": "colour", "user=a&at=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z": "until",
	} {
		if _, message := a.want(400, "GET", "/v2.0/mac-lineage?"+query, "red", "").message(t); !strings.Contains(message, names) {
			t.Errorf("%s: %s, want it to name %s", query, message, names)
		}
	}
	a.want(403, "GET", "/v2.0/mac-lineage?switch=00000000000000a1", "red", "")
}

func TestConflictsAreShownWithBothPartiesAndResolvedByHand(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a:00:00:00:00:01", "state": "reserved", "device_id": "vm"}}`)
	sighting := store.MACSighting{Addr: mac.MustParse("0a:00:00:00:00:01"), Datapath: 0xa1, SwitchPort: 7, Interface: "tap7"}
	for range 2 {
		if _, found, err := a.store.ReportSighting(t.Context(), sighting); !found || err != nil {
			t.Fatalf("sighting of a reserved address: %t, %v", found, err)
		}
	}
	names := map[string]string{}
	const body = `{"mac_conflicts":[{"id":"ID1","address":"0a:00:00:00:00:01","kind":"seen","policy":"report","status":"open","resolution":"","tenant_id":"red","project_id":"red",
		"segment_id":null,"port_id":null,"device_id":"vm","state":"reserved","source":"","external_id":"",PLACE"reassigned":null,"due_at":null,"times":2,
		"seen_at":"TIME","created_at":"TIME","resolved_at":null}]}`
	a.wantBody(names, a.want(200, "GET", "/v2.0/mac-conflicts?status=open", "admin", ""),
		strings.Replace(body, "PLACE", `"datapath":"00000000000000a1","switch_port":7,"interface":"tap7",`, 1))
	listed := a.want(200, "GET", "/v2.0/mac-conflicts", "red", "")
	a.wantBody(names, listed, strings.Replace(body, "PLACE", "", 1))
	path := "/v2.0/mac-conflicts/" + idOf(listed.list(t)[0])
	a.want(404, "DELETE", path, "blue", "")
	a.want(403, "DELETE", path, "red-reader", "")
	a.want(204, "DELETE", path, "red", "")
	if got := a.want(200, "GET", path, "red", "").object(t); got["status"] != "resolved" || got["resolution"] != "by hand" || got["resolved_at"] == nil {
		t.Errorf("resolved conflict: %v", got)
	}
	if kind, _ := a.want(409, "DELETE", path, "red", "").message(t); kind != "MacConflictResolved" {
		t.Errorf("resolved twice: %s", kind)
	}
	if got := a.want(200, "GET", "/v2.0/mac-conflicts?status=open", "admin", "").list(t); len(got) != 0 {
		t.Errorf("open: %v", got)
	}
}
