package northbound

import (
	"strings"
	"testing"
)

func TestBlocksSayWhatTheyKeepOutAndWhatIsWrongWithThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/switches", "admin", `{"switch": {"id": "00000000000000a1"}}`)
	for body, want := range map[string]string{
		`{}`:                                   "mac_address",
		`{"switch": "00000000000000a1"}`:       "port",
		`{"port": 7}`:                          "port",
		`{"mac_address": "01:00:5e:00:00:01"}`: "mac_address",
		`{"mac_address": "x"}`:                 "mac_address",
		`{"mac_address": "02:00:00:00:00:0a", "port": 0}`:                            "port",
		`{"mac_address": "02:00:00:00:00:0a", "expires_at": "2001-01-01T00:00:00Z"}`: "expires_at",
		`{"mac_address": "02:00:00:00:00:0a", "cause": "moves"}`:                     "cause",
	} {
		if got := a.want(400, "POST", "/v2.0/blocks", "admin", `{"block": `+body+`}`); !strings.Contains(got.text, want) {
			t.Errorf("%s: %s, want it to name %s", body, got.text, want)
		}
	}
	a.want(404, "POST", "/v2.0/blocks", "admin", `{"block": {"switch": "00000000000000ff", "port": 7}}`)
	a.want(403, "POST", "/v2.0/blocks", "red", `{"block": {"mac_address": "02:00:00:00:00:0a"}}`)

	made := a.make("/v2.0/blocks", "admin", `{"block": {"mac_address": "02:00:00:00:00:0a", "switch": "00000000000000A1", "port": 7, "reason": "r", "expires_at": "2126-05-04T12:00:00Z"}}`)
	for name, want := range map[string]any{"switch": "00000000000000a1", "port": 7.0, "cause": "hand", "reason": "r", "expires_at": "2126-05-04T12:00:00Z"} {
		if made[name] != want {
			t.Errorf("%s is %v, want %v", name, made[name], want)
		}
	}
	a.want(409, "POST", "/v2.0/blocks", "admin", `{"block": {"mac_address": "02:00:00:00:00:0a", "switch": "00000000000000a1", "port": 7}}`)
	everywhere := a.make("/v2.0/blocks", "admin", `{"block": {"mac_address": "02:00:00:00:00:0a"}}`)
	if everywhere["switch"] != nil || everywhere["port"] != nil || everywhere["expires_at"] != nil {
		t.Errorf("a block everywhere is %v", everywhere)
	}
	if got := a.want(200, "GET", "/v2.0/blocks?mac_address=02:00:00:00:00:0a&sort_key=switch&sort_dir=asc", "admin", "").list(t); len(got) != 2 || idOf(got[0]) != idOf(everywhere) {
		t.Errorf("blocks of the address: %v", got)
	}
	a.want(204, "DELETE", "/v2.0/blocks/"+idOf(made), "admin", "")
	a.want(404, "GET", "/v2.0/blocks/"+idOf(made), "admin", "")
}

func TestTheGuardIsSetForANetworkOrForAllOthers(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	for body, want := range map[string]string{
		`{"action": "shoot"}`:                                                   "action",
		`{"moves": 1}`:                                                          "moves",
		`{"window_seconds": 0}`:                                                 "window_seconds",
		`{"recovery_seconds": 86401}`:                                           "recovery_seconds",
		`{"exempt_macs": ["02:00:00:00:00:01/24"]}`:                             "exempt_macs",
		`{"exempt_macs": ["01:00:5e:00:00:01"]}`:                                "exempt_macs",
		`{"trusted_ports": [{"switch": "00000000000000a1"}]}`:                   "trusted_ports",
		`{"trusted_ports": [{"switch": "00000000000000a1", "port": 0}]}`:        "trusted_ports",
		`{"trusted_ports": [{"switch": "x", "port": 1}]}`:                       "trusted_ports",
		`{"trusted_ports": [{"switch": "00000000000000a1", "port": 1, "x":1}]}`: "trusted_ports",
		`{"trusted_ports": ["00000000000000a1:7"]}`:                             "trusted_ports",
		`{"network_id": "x"}`:                                                   "network_id",
	} {
		if got := a.want(400, "POST", "/v2.0/mac-guards", "admin", `{"mac_guard": `+body+`}`); !strings.Contains(got.text, want) {
			t.Errorf("%s: %s, want it to name %s", body, got.text, want)
		}
	}
	a.want(404, "POST", "/v2.0/mac-guards", "admin", `{"mac_guard": {"network_id": "0198f3a0-0000-7000-8000-000000000001"}}`)
	a.want(403, "POST", "/v2.0/mac-guards", "red", `{"mac_guard": {"network_id": "`+network+`"}}`)

	made := a.want(201, "POST", "/v2.0/mac-guards", "admin", `{"mac_guard": {"network_id": "`+network+`", "action": "block-mac", "moves": 3, "window_seconds": 30, "recovery_seconds": 60,
		"exempt_macs": ["00-00-5E-00-01-00/40", "02:00:00:00:00:0a"], "trusted_ports": [{"port": 7, "switch": "00000000000000A1"}]}}`)
	a.wantBody(map[string]string{network: "NETWORK", idOf(made.object(t)): "ID"}, made, `{"mac_guard":{"id":"ID","description":"","network_id":"NETWORK","action":"block-mac","moves":3,"window_seconds":30,
		"recovery_seconds":60,"exempt_macs":["00:00:5e:00:01:00/40","02:00:00:00:00:0a"],"trusted_ports":[{"switch":"00000000000000a1","port":7}],
		"created_at":"TIME","updated_at":"TIME","revision_number":1}}`)
	a.refused(409, "MacGuardExists", "POST", "/v2.0/mac-guards", "admin", `{"mac_guard": {"network_id": "`+network+`"}}`)
	url := "/v2.0/mac-guards/" + idOf(made.object(t))
	a.want(400, "PUT", url, "admin", `{"mac_guard": {"network_id": null}}`)
	changed := a.want(200, "PUT", url, "admin", `{"mac_guard": {"action": null, "moves": null, "exempt_macs": null, "trusted_ports": []}}`).object(t)
	if changed["action"] != nil || changed["moves"] != nil || changed["exempt_macs"] != nil || changed["window_seconds"] != 30.0 || len(changed["trusted_ports"].([]any)) != 0 {
		t.Errorf("after null: %v", changed)
	}
	again := a.want(200, "GET", url, "admin", "").object(t)
	if again["exempt_macs"] != nil || again["trusted_ports"] == nil {
		t.Errorf("null and an empty list are read as %v and %v", again["exempt_macs"], again["trusted_ports"])
	}

	others := a.make("/v2.0/mac-guards", "admin", `{"mac_guard": {"description": "edge", "action": "none"}}`)
	a.refused(409, "MacGuardExists", "POST", "/v2.0/mac-guards", "admin", `{"mac_guard": {}}`)
	if got := a.want(200, "GET", "/v2.0/mac-guards?network_id=", "admin", "").list(t); len(got) != 1 || idOf(got[0]) != idOf(others) {
		t.Errorf("those for all others: %v", got)
	}
	a.want(204, "DELETE", "/v2.0/networks/"+network, "red", "")
	a.want(404, "GET", url, "admin", "")
	a.want(204, "DELETE", "/v2.0/mac-guards/"+idOf(others), "admin", "")
}
