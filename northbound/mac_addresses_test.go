package northbound

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMACAddressRoundTrip(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 40, "tenant_id": "red", "strategy": "sequential"}}`))
	names[segment] = "SEGMENT"
	made := a.want(201, "POST", "/v2.0/mac-addresses", "red", `{"mac_address": {"device_id": "vm"}}`)
	const body = `"id":"0a:00:00:00:00:00","address":"0a:00:00:00:00:00","tenant_id":"red","project_id":"red","segment_id":"SEGMENT","network_id":null,"state":"STATE","origin":"tenant",
		"port_id":null,"device_id":"DEVICE","expires_at":null,"quarantined_until":QUARANTINE,"interface_id":"08-00-00-ff-fe-00-00-00","link_local":"fe80::800:ff:fe00:0",
		"created_at":"TIME","updated_at":"TIME"`
	active := strings.NewReplacer("STATE", "active", "DEVICE", "vm", "QUARANTINE", "null").Replace(body)
	a.wantBody(names, made, `{"mac_address":{`+active+`}}`)
	for _, notation := range []string{"0a:00:00:00:00:00", "0A-00-00-00-00-00", "0a00.0000.0000", "0a0000000000"} {
		a.wantBody(names, a.want(200, "GET", "/v2.0/mac-addresses/"+notation, "red", ""), `{"mac_address":{`+active+`}}`)
	}
	a.wantBody(names, a.want(200, "GET", "/v2.0/mac-addresses?segment_id="+segment+"&fields=address&fields=state", "red-reader", ""),
		`{"mac_addresses":[{"address":"0a:00:00:00:00:00","state":"active"}]}`)
	a.want(204, "DELETE", "/v2.0/mac-addresses/0a00.0000.0000", "red", "")
	a.wantBody(names, a.want(200, "GET", "/v2.0/mac-addresses/0a:00:00:00:00:00", "red", ""),
		`{"mac_address":{`+strings.NewReplacer("STATE", "quarantined", "DEVICE", "", "QUARANTINE", `"TIME"`).Replace(body)+`}}`)
	a.want(404, "DELETE", "/v2.0/mac-addresses/0a:00:00:00:00:00", "red", "")

	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	held := a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a-00-00-00-00-99", "state": "reserved", "device_id": "vm2", "expires_at": "`+until+`"}}`)
	if held["state"] != "reserved" || held["expires_at"] != until || held["segment_id"] != segment {
		t.Errorf("reservation %v, want it until %s", held, until)
	}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "device_id": "vm2"}}`)
	if port["mac_address"] != "0a:00:00:00:00:99" {
		t.Errorf("the port of the instance got %v, want what was reserved for it", port["mac_address"])
	}
	kind, message := a.want(409, "DELETE", "/v2.0/mac-addresses/0a:00:00:00:00:99", "red", "").message(t)
	if kind != "MacAddressInUse" || !strings.Contains(message, idOf(port)) {
		t.Errorf("release of the address of a port: %s %s", kind, message)
	}
	if got := a.want(200, "GET", "/v2.0/mac-addresses?port_id="+idOf(port)+"&id=0a00.0000.0099&address=0a:00:00:00:00:99", "red", "").list(t); len(got) != 1 || got[0]["origin"] != "tenant" && got[0]["origin"] != "port" {
		t.Errorf("address of the port: %v", got)
	}
	if got := a.want(200, "GET", "/v2.0/mac-addresses?id=0a:00:00:00:00:99&address=0a:00:00:00:00:98", "red", "").list(t); len(got) != 0 {
		t.Errorf("two addresses at once: %v", got)
	}
}

func TestManyMACAddressesAreAllocatedInOneRequest(t *testing.T) {
	t.Parallel()
	a := setup(t)
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 28, "tenant_id": "red", "strategy": "sequential"}}`))
	const many = 100_000
	got := a.want(201, "POST", "/v2.0/mac-addresses", "red", fmt.Sprintf(`{"mac_address": {"segment_id": "%s", "count": %d}}`, segment, many))
	var answer struct {
		Addresses []struct {
			Address   string `json:"address"`
			SegmentID string `json:"segment_id"`
			State     string `json:"state"`
		} `json:"mac_addresses"`
	}
	if err := json.Unmarshal([]byte(got.text), &answer); err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	for _, m := range answer.Addresses {
		if m.SegmentID != segment || m.State != "active" || !strings.HasPrefix(m.Address, "0a:00:00:0") {
			t.Fatalf("address %+v", m)
		}
		distinct[m.Address] = true
	}
	if len(distinct) != many {
		t.Errorf("%d distinct addresses, want %d", len(distinct), many)
	}
	ranges := a.want(201, "POST", "/v2.0/mac-addresses", "red", fmt.Sprintf(`{"mac_address": {"segment_id": "%s", "count": 1000, "format": "ranges", "state": "reserved"}}`, segment)).list(t)
	total := 0
	for _, r := range ranges {
		total += int(r["count"].(float64))
		if r["segment_id"] != segment || distinct[r["first"].(string)] || distinct[r["last"].(string)] {
			t.Errorf("range %v", r)
		}
	}
	if total != 1000 || len(ranges) > 20 {
		t.Errorf("%d addresses in %d ranges of a sequential segment, want 1000 in few", total, len(ranges))
	}
	if got := a.want(201, "POST", "/v2.0/mac-addresses", "red", `{"mac_address": {"count": 1}}`).list(t); len(got) != 1 {
		t.Errorf("one by count: %v", got)
	}
	usage := a.want(200, "GET", "/v2.0/mac-segments/"+segment, "red", "").object(t)["utilisation"].(map[string]any)
	if usage["active"] != float64(many+1) || usage["reserved"] != float64(1000) {
		t.Errorf("utilisation %v", usage)
	}
}

func TestRequestsForMACAddressesAreRefusedByName(t *testing.T) {
	t.Parallel()
	a := setup(t)
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 45, "tenant_id": "red"}}`))
	a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a:00:00:00:00:01"}}`)
	const missing = "00000000-0000-0000-0000-00000000abcd"
	of := func(attrs string) string { return `{"mac_address": {` + attrs + `}}` }
	before := a.want(200, "GET", "/v2.0/mac-addresses", "admin", "").text
	for _, c := range []struct {
		name, method, path, token, body string
		code                            int
		names                           string
	}{
		{"none", "POST", "", "red", of(`"count": 0`), 400, "count"},
		{"too many", "POST", "", "red", of(`"count": 100001`), 400, "100000"},
		{"half of one", "POST", "", "red", of(`"count": 1.5`), 400, "count"},
		{"more than there are", "POST", "", "red", of(`"count": 9`), 409, "address"},
		{"several with one address", "POST", "", "red", of(`"address": "0a:00:00:00:00:02", "count": 2`), 400, "count"},
		{"a list", "POST", "", "red", `{"mac_addresses": [{}]}`, 400, "count"},
		{"a word for an address", "POST", "", "red", of(`"address": "mine"`), 400, "address"},
		{"the address of a group", "POST", "", "red", of(`"address": "0b:00:00:00:00:02"`), 400, "address"},
		{"a taken address", "POST", "", "red", of(`"address": "0a:00:00:00:00:01"`), 409, "0a:00:00:00:00:01"},
		{"an address outside", "POST", "", "red", of(`"address": "0a:00:00:00:00:09"`), 400, "address"},
		{"an address of another tenant's segment", "POST", "", "blue", of(`"address": "0a:00:00:00:00:02"`), 400, "address"},
		{"a segment of another tenant", "POST", "", "blue", of(`"segment_id": "` + segment + `"`), 404, segment},
		{"a segment that is none", "POST", "", "red", of(`"segment_id": "` + missing + `"`), 404, missing},
		{"a segment by name", "POST", "", "red", of(`"segment_id": "rack"`), 400, "segment_id"},
		{"a network that is none", "POST", "", "red", of(`"network_id": "` + missing + `"`), 404, missing},
		{"a state of its own", "POST", "", "red", of(`"state": "quarantined"`), 400, "active, reserved"},
		{"an end of something active", "POST", "", "red", of(`"expires_at": "2999-01-01T00:00:00Z"`), 400, "expires_at"},
		{"an end in the past", "POST", "", "red", of(`"state": "reserved", "expires_at": "2001-01-01T00:00:00Z"`), 400, "expires_at"},
		{"an end that is no time", "POST", "", "red", of(`"state": "reserved", "expires_at": "tomorrow"`), 400, "2026-01-31T12:00:00Z"},
		{"a format of its own", "POST", "", "red", of(`"format": "xml"`), 400, "list, ranges"},
		{"an unknown attribute", "POST", "", "red", of(`"colour": "red"`), 400, "colour"},
		{"a read-only attribute", "POST", "", "red", of(`"port_id": null`), 400, "port_id"},
		{"a host as a member", "POST", "", "red", of(`"host": "h"`), 403, "create_mac_address:host"},
		{"another tenant as a member", "POST", "", "blue", of(`"tenant_id": "red"`), 400, "tenant_id"},
		{"one as a reader", "POST", "", "red-reader", of(``), 403, "create_mac_address"},
		{"release by a reader", "DELETE", "/0a:00:00:00:00:01", "red-reader", ``, 403, "delete_mac_address"},
		{"release of a foreign address", "DELETE", "/0a:00:00:00:00:01", "blue", ``, 404, "0a:00:00:00:00:01"},
		{"show of a foreign address", "GET", "/0a:00:00:00:00:01", "blue", ``, 404, "0a:00:00:00:00:01"},
		{"show of a free address", "GET", "/0a:00:00:00:00:02", "red", ``, 404, "0a:00:00:00:00:02"},
		{"show of a word", "GET", "/mine", "red", ``, 404, "mine"},
		{"filter by a state that is none", "GET", "?state=lost", "red", ``, 400, "state"},
		{"filter by a word of requests", "GET", "?count=1", "red", ``, 400, "count"},
	} {
		got := a.do(c.method, "/v2.0/mac-addresses"+c.path, c.token, c.body)
		if got.code != c.code {
			t.Errorf("%s: code %d, want %d: %s", c.name, got.code, c.code, got.text)
			continue
		}
		if _, message := got.message(t); !strings.Contains(message, c.names) {
			t.Errorf("%s: message %q, want it to name %s", c.name, message, c.names)
		}
	}
	if after := a.want(200, "GET", "/v2.0/mac-addresses", "admin", "").text; after != before {
		t.Errorf("refused requests changed something: %s", after)
	}
	if got := a.want(200, "GET", "/v2.0/mac-addresses", "blue", "").list(t); len(got) != 0 {
		t.Errorf("another tenant sees %v", got)
	}
}

func TestReservationsOfMACAddressesAreChanged(t *testing.T) {
	t.Parallel()
	a := setup(t)
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0a:00:00:00:00:00", "prefix_length": 40, "tenant_id": "red"}}`))
	const path = "/v2.0/mac-addresses/0a:00:00:00:00:01"
	put := func(attrs string) map[string]any {
		t.Helper()
		return a.want(200, "PUT", path, "red", `{"mac_address": {`+attrs+`}}`).object(t)
	}
	state := func(o map[string]any) string {
		return fmt.Sprint(o["state"], " ", o["device_id"], " ", o["expires_at"])
	}
	a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a:00:00:00:00:01", "state": "reserved", "device_id": "vm", "expires_at": "2998-01-01T00:00:00Z"}}`)
	for _, step := range []struct{ attrs, want string }{
		{`"device_id": "vm2"`, "reserved vm2 2998-01-01T00:00:00Z"},
		{`"expires_at": "2999-01-01T00:00:00Z"`, "reserved vm2 2999-01-01T00:00:00Z"},
		{`"expires_at": null`, "reserved vm2 <nil>"},
		{`"expires_at": null`, "reserved vm2 <nil>"}, // changes nothing and is told by nobody
		{`"expires_at": "2999-01-01T00:00:00Z", "state": "reserved"`, "reserved vm2 2999-01-01T00:00:00Z"},
		{`"state": "active"`, "active vm2 <nil>"},
		{`"device_id": ""`, "active  <nil>"},
	} {
		if got := state(put(step.attrs)); got != step.want {
			t.Errorf("after %s: %s, want %s", step.attrs, got, step.want)
		}
	}
	var told []string
	for _, e := range a.want(200, "GET", "/v2.0/mac-lineage?mac=0a:00:00:00:00:01", "red", "").list(t) {
		told = append(told, fmt.Sprint(e["event"], " ", e["state"], " ", e["device_id"], " ", e["actor"]))
	}
	want := []string{"change active  alice", "change active vm2 alice", "change reserved vm2 alice", "change reserved vm2 alice", "change reserved vm2 alice", "change reserved vm2 alice", "reserve reserved vm alice"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("lineage (-want +got):\n%s", diff)
	}
	usage := a.want(200, "GET", "/v2.0/mac-segments/"+segment, "red", "").object(t)["utilisation"].(map[string]any)
	if usage["active"] != 1.0 || usage["reserved"] != 0.0 {
		t.Errorf("utilisation %v, want one active", usage)
	}

	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "mac_address": "0a:00:00:00:00:02"}}`))
	for _, n := range []string{"3", "4"} {
		a.make("/v2.0/mac-addresses", "red", `{"mac_address": {"address": "0a:00:00:00:00:0`+n+`", "state": "reserved"}}`)
	}
	a.want(204, "DELETE", "/v2.0/mac-addresses/0a:00:00:00:00:03", "red", "")
	a.load("admin", "source=esx&tenant_id=red", "text/csv", "application/json", "0a:00:00:00:00:05,x\n")
	before := a.want(200, "GET", "/v2.0/mac-addresses", "admin", "").text
	for _, c := range []struct {
		address, token, attrs string
		code                  int
		kind, names           string
	}{
		{"0a:00:00:00:00:01", "red", `"state": "reserved"`, 400, "InvalidInput", "state"},
		{"0a:00:00:00:00:01", "red", `"expires_at": "2999-01-01T00:00:00Z"`, 400, "HTTPBadRequest", "expires_at"},
		{"0a:00:00:00:00:04", "red", `"expires_at": "2001-01-01T00:00:00Z"`, 400, "HTTPBadRequest", "expires_at"},
		{"0a:00:00:00:00:04", "red", `"state": "active", "expires_at": "2999-01-01T00:00:00Z"`, 400, "HTTPBadRequest", "expires_at"},
		{"0a:00:00:00:00:04", "red", `"state": "quarantined"`, 400, "HTTPBadRequest", "state"},
		{"0a:00:00:00:00:04", "red", `"address": "0a:00:00:00:00:09"`, 400, "HTTPBadRequest", "address"},
		{"0a:00:00:00:00:04", "red", `"tenant_id": "blue"`, 400, "HTTPBadRequest", "tenant_id"},
		{"0a:00:00:00:00:02", "red", `"device_id": "vm"`, 409, "MacAddressInUse", port},
		{"0a:00:00:00:00:03", "red", `"device_id": "vm"`, 409, "MacAddressReleased", "quarantine"},
		{"0a:00:00:00:00:05", "red", `"device_id": "vm"`, 409, "MacAddressImported", "foreign"},
		{"0a:00:00:00:00:06", "red", `"device_id": "vm"`, 404, "MacAddressNotFound", "0a:00:00:00:00:06"},
		{"0a:00:00:00:00:04", "blue", `"device_id": "vm"`, 404, "MacAddressNotFound", "0a:00:00:00:00:04"},
		{"0a:00:00:00:00:04", "red-reader", `"device_id": "vm"`, 403, "PolicyNotAuthorized", "update_mac_address"},
	} {
		got := a.do("PUT", "/v2.0/mac-addresses/"+c.address, c.token, `{"mac_address": {`+c.attrs+`}}`)
		if kind, message := got.message(t); got.code != c.code || kind != c.kind || !strings.Contains(message, c.names) {
			t.Errorf("%s %s by %s: %d %s; want %d %s with %s", c.address, c.attrs, c.token, got.code, got.text, c.code, c.kind, c.names)
		}
	}
	if after := a.want(200, "GET", "/v2.0/mac-addresses", "admin", "").text; after != before {
		t.Errorf("refused changes changed something: %s", after)
	}
}

func TestAddressesThatStationsFormAreFoundAndLeadBack(t *testing.T) {
	t.Parallel()
	a := setup(t)
	// The example of RFC 4291 appendix A: 34-56-78-9A-BC-DE.
	a.wantBody(nil, a.want(200, "GET", "/v2.0/eui64?mac=3456.789a.bcde&prefix=2001:db8::7/64", "red", ""),
		`{"eui64":{"mac_address":"34:56:78:9a:bc:de","interface_id":"36-56-78-ff-fe-9a-bc-de","link_local":"fe80::3656:78ff:fe9a:bcde",
		"addresses":[{"subnet_id":null,"prefix":"2001:db8::/64","address":"2001:db8::3656:78ff:fe9a:bcde"}]}}`)
	back := a.want(200, "GET", "/v2.0/eui64?address=2001:db8::3656:78ff:fe9a:bcde", "red", "").object(t)
	if back["mac_address"] != "34:56:78:9a:bc:de" {
		t.Errorf("back from the address: %v", back)
	}
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	six := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 6, "cidr": "2001:db8:5::/64"}}`))
	four := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "mac_address": "34:56:78:9a:bc:de"}}`))
	names := map[string]string{six: "SIX"}
	for _, query := range []string{"port_id=" + port, "mac=34-56-78-9a-bc-de&subnet_id=" + six} {
		a.wantBody(names, a.want(200, "GET", "/v2.0/eui64?"+query, "red", ""),
			`{"eui64":{"mac_address":"34:56:78:9a:bc:de","interface_id":"36-56-78-ff-fe-9a-bc-de","link_local":"fe80::3656:78ff:fe9a:bcde",
			"addresses":[{"subnet_id":"SIX","prefix":"2001:db8:5::/64","address":"2001:db8:5:0:3656:78ff:fe9a:bcde"}]}}`)
	}
	for query, want := range map[string]struct {
		code  int
		names string
	}{
		"":                                      {400, "mac="},
		"mac=34:56:78:9a:bc:de&address=fe80::1": {400, "mac="},
		"mac=red":                               {400, "mac"},
		"mac=ff:ff:ff:ff:ff:ff":                 {400, "mac"},
		"address=10.0.0.1":                      {400, "IPv6"},
		"address=2001:db8::1":                   {400, "ff:fe"},
		"port_id=red":                           {400, "port_id"},
		"mac=34:56:78:9a:bc:de&colour=red":      {400, "colour"},
		"mac=34:56:78:9a:bc:de&prefix=10.0.0.0/8": {400, "prefix"},
		"mac=34:56:78:9a:bc:de&subnet_id=" + four: {400, "subnet_id"},
	} {
		if _, message := a.want(want.code, "GET", "/v2.0/eui64?"+query, "red", "").message(t); !strings.Contains(message, want.names) {
			t.Errorf("%s: %s, want it to name %s", query, message, want.names)
		}
	}
	a.want(404, "GET", "/v2.0/eui64?port_id="+port, "blue", "")
	a.want(404, "GET", "/v2.0/eui64?mac=34:56:78:9a:bc:de&subnet_id="+six, "blue", "")
}
