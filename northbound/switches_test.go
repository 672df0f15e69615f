package northbound

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// known makes a switch that has connected.
func known(a *api, d intent.DPID, connected bool) {
	a.t.Helper()
	if err := a.store.SaveSwitch(a.t.Context(), intent.Switch{DPID: d, Connected: connected}); err != nil {
		a.t.Fatal(err)
	}
}

func TestSwitchesAreShownToAdministrators(t *testing.T) {
	t.Parallel()
	a := setup(t)
	names := map[string]string{}
	sw := intent.Switch{
		DPID: 0xa1, Address: "192.0.2.7:40000", Connected: true, Description: "Nicira, Inc. Open vSwitch 3.1.0", Realized: 7, Repaired: 3, Error: "flow refused",
		Ports:        []intent.SwitchPort{{No: 1, Name: "s1-eth1", HWAddr: mac.MustParse("02:11:00:00:00:01"), Up: true}, {No: 0xfffffffe, Name: "s1"}},
		Capabilities: map[string]string{"meters": "no", "ct": "yes"},
	}
	if err := a.store.SaveSwitch(t.Context(), sw); err != nil {
		t.Fatal(err)
	}
	if _, err := a.store.SaveBridge(t.Context(), intent.Bridge{
		DPID: 0xa1, FailMode: "secure", DatapathType: "netdev", SystemID: "h1", Hostname: "host1", Version: "3.1.0", Connected: true, SetupError: "foreign controller",
		Tunnel: netip.MustParseAddr("192.0.2.7"),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.store.ReportInterfaces(t.Context(), 0xa1, []intent.Attachment{{Interface: "tap1", IfaceID: "vm-7", OFPort: 3, MACInUse: "02:11:00:00:00:02"}}); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"00000000000000a1","system_id":"h1","admitted":true,"note":"","turned_away_at":null,"turned_away_reason":"","connected":true,"ovsdb_connected":true,
		"address":"192.0.2.7:40000","hostname":"host1","description":"Nicira, Inc. Open vSwitch 3.1.0","version":"3.1.0","datapath_type":"netdev","tunnel_ip":"192.0.2.7",
		"capabilities":{"ct":"yes","meters":"no"},
		"ports":[{"port_no":1,"name":"s1-eth1","hw_addr":"02:11:00:00:00:01","up":true},{"port_no":4294967294,"name":"s1","hw_addr":"00:00:00:00:00:00","up":false}],
		"attachments":[{"interface":"tap1","iface_id":"vm-7","port_no":3,"mac_in_use":"02:11:00:00:00:02","since":"TIME","state":"refused","reason":"\"vm-7\" is not the id of a port"}],
		"realized_revision":7,"foreign_flows":0,"repaired_flows":3,"fail_mode":"secure","error":"foreign controller; flow refused","connected_at":null,"updated_at":"TIME"}`
	a.wantBody(names, a.want(200, "GET", "/v2.0/switches/00000000000000A1", "admin", ""), `{"switch":`+want+`}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/switches", "admin", ""), `{"switches":[`+want+`]}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/switches?id=00000000000000a2", "admin", ""), `{"switches":[]}`)
	a.wantBody(names, a.want(200, "GET", "/v2.0/switches", "red", ""), `{"switches":[]}`)
	for _, path := range []string{"00000000000000a2", "s1", "a1"} {
		for _, method := range []string{"GET", "DELETE"} {
			a.want(404, method, "/v2.0/switches/"+path, "admin", "")
		}
		a.want(404, "PUT", "/v2.0/switches/"+path, "admin", `{"switch": {"admitted": true}}`)
	}
	a.want(404, "GET", "/v2.0/switches/00000000000000a1", "red", "")
}

func TestASwitchIsAdmittedOrTurnedAwayByOneCall(t *testing.T) {
	t.Parallel()
	a := setup(t)
	if err := a.store.SaveRejection(t.Context(), intent.Candidate{DPID: 0xa1, Address: "192.0.2.7:5"}, "not listed"); err != nil {
		t.Fatal(err)
	}
	known(a, 0xa2, true)
	waiting := func() (ids string) {
		for _, sw := range a.want(200, "GET", "/v2.0/switches?admitted=false", "admin", "").list(t) {
			ids += idOf(sw)
			if sw["turned_away_reason"] != "not listed" && idOf(sw) == "00000000000000a1" {
				t.Errorf("reason of %v", sw)
			}
		}
		return ids
	}
	if got := waiting(); got != "00000000000000a1" {
		t.Errorf("turned away: %s", got)
	}
	for _, c := range []struct{ id, admitted, waiting string }{
		{"00000000000000a1", "true", ""}, {"00000000000000a1", "false", "00000000000000a1"}, {"00000000000000a2", "false", "00000000000000a100000000000000a2"},
	} {
		got := a.want(200, "PUT", "/v2.0/switches/"+c.id, "admin", `{"switch": {"admitted": `+c.admitted+`}}`).object(t)
		if (got["admitted"] == true) != (c.admitted == "true") {
			t.Errorf("%s: got %v", c.id, got["admitted"])
		}
		if got := waiting(); got != c.waiting {
			t.Errorf("after %s: turned away are %q", c.id, got)
		}
	}
	kind, message := a.want(409, "DELETE", "/v2.0/switches/00000000000000a2", "admin", "").message(t)
	if kind != "SwitchInUse" || !strings.Contains(message, "connection") {
		t.Errorf("%s: %s", kind, message)
	}
	a.want(204, "DELETE", "/v2.0/switches/00000000000000a1", "admin", "")
	a.want(404, "GET", "/v2.0/switches/00000000000000a1", "admin", "")
}

func TestSwitchesAreListedBeforehandByDatapathIDOrHost(t *testing.T) {
	t.Parallel()
	a := setup(t)
	if got := a.make("/v2.0/switches", "admin", `{"switch": {"id": "00000000000000A1"}}`); got["id"] != "00000000000000a1" || got["admitted"] != true {
		t.Errorf("by id: %v", got)
	}
	if got := a.make("/v2.0/switches", "admin", `{"switch": {"system_id": "h1"}}`); got["id"] != intent.DPIDOfSystem("h1").String() {
		t.Errorf("by host: %v", got)
	}
	if got := a.want(201, "POST", "/v2.0/switches", "admin", `{"switches": [{"id": "00000000000000a2", "admitted": false}, {"id": "00000000000000a3", "system_id": "h3"}]}`).list(t); len(got) != 2 {
		t.Errorf("several: %v", got)
	}
	for filter, want := range map[string]string{"system_id=h1": intent.DPIDOfSystem("h1").String(), "system_id=h3": "00000000000000a3", "admitted=False": "00000000000000a2"} {
		if got := a.want(200, "GET", "/v2.0/switches?"+filter, "admin", "").list(t); len(got) != 1 || got[0]["id"] != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
}

func TestBadRequestsOnSwitchesNameTheField(t *testing.T) {
	t.Parallel()
	a := setup(t)
	known(a, 0xa1, false)
	const one = "/00000000000000a1"
	for _, c := range []struct {
		method, path, body string
		code               int
		word               string
	}{
		{"POST", "", `{"switch": {}}`, 400, "system_id"},
		{"POST", "", `{"switch": {"id": "a1"}}`, 400, "for id"},
		{"POST", "", `{"switch": {"id": ""}}`, 400, "for id"},
		{"POST", "", `{"switch": {"id": null}}`, 400, "for id"},
		{"POST", "", `{"switch": {"id": "0000000000000000"}}`, 400, "for id"},
		{"POST", "", `{"switch": {"id": 161}}`, 400, "for id"},
		{"POST", "", `{"switch": {"system_id": 7}}`, 400, "system_id"},
		{"POST", "", `{"switch": {"system_id": "` + strings.Repeat("x", 256) + `"}}`, 400, "system_id"},
		{"POST", "", `{"switch": {"id": "00000000000000a2", "admitted": "maybe"}}`, 400, "admitted"},
		{"POST", "", `{"switch": {"id": "00000000000000a2", "connected": true}}`, 400, "connected"},
		{"POST", "", `{"switch": {"id": "00000000000000a2", "tenant_id": "red"}}`, 400, "tenant_id"},
		{"POST", "", `{"switch": {"id": "00000000000000a1"}}`, 409, "00000000000000a1"},
		{"PUT", one, `{"switch": {"admitted": null}}`, 400, "admitted"},
		{"PUT", one, `{"switch": {"system_id": "h2"}}`, 400, "system_id"},
		{"PUT", one, `{"switch": {"fail_mode": "secure"}}`, 400, "fail_mode"},
		{"GET", "?admitted=maybe", "", 400, "admitted"},
		{"GET", "?ports=1", "", 400, "ports"},
		{"GET", "?id=" + url.QueryEscape("a'1"), "", 200, ""},
	} {
		got := a.want(c.code, c.method, "/v2.0/switches"+c.path, "admin", c.body)
		if !strings.Contains(got.text, c.word) {
			t.Errorf("%s %s %s: %s does not name %s", c.method, c.path, c.body, got.text, c.word)
		}
	}
}

// A port that only an interface binds shows where it is; what a client then
// changes is its request, not the fact.
func TestAPortShowsTheInterfaceThatBindsIt(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`"}}`))
	report := func(d intent.DPID, list ...intent.Attachment) {
		t.Helper()
		if _, err := a.store.ReportInterfaces(t.Context(), d, list); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(host, profile, vif string) {
		t.Helper()
		got := a.want(200, "GET", "/v2.0/ports/"+port, "admin", "").object(t)
		name, _ := got["binding:profile"].(map[string]any)["interface_name"].(string)
		if got["binding:host_id"] != host || name != profile || got["binding:vif_type"] != vif {
			t.Errorf("got %v, %v, %v; want %s %s %s", got["binding:host_id"], got["binding:profile"], got["binding:vif_type"], host, profile, vif)
		}
	}
	shows("", "", "unbound")
	report(0xa1, intent.Attachment{Interface: "tap1", IfaceID: port, OFPort: 3})
	shows("00000000000000a1", "tap1", "ovs")
	for _, filter := range []string{"00000000000000a1", "00000000000000A1"} {
		if got := a.want(200, "GET", "/v2.0/ports?binding:host_id="+filter, "admin", "").list(t); len(got) != 1 {
			t.Errorf("ports of %s: %v", filter, got)
		}
	}
	if got := a.want(200, "GET", "/v2.0/ports?binding:host_id=", "admin", "").list(t); len(got) != 0 {
		t.Errorf("unbound ports: %v", got)
	}
	a.want(200, "PUT", "/v2.0/ports/"+port, "red", `{"port": {"name": "web"}}`)
	a.want(200, "PUT", "/v2.0/ports/"+port, "admin", `{"port": {"binding:host_id": "00000000000000a2"}}`)
	shows("00000000000000a2", "", "ovs")
	report(0xa2, intent.Attachment{Interface: "tap9", IfaceID: port, OFPort: 3})
	shows("00000000000000a2", "tap9", "ovs")
	a.want(200, "PUT", "/v2.0/ports/"+port, "admin", `{"port": {"binding:host_id": ""}}`)
	shows("00000000000000a1", "tap1", "ovs")
	report(0xa1)
	report(0xa2)
	shows("", "", "unbound")
}
