package northbound

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTopologyIsShownInThreeForms(t *testing.T) {
	t.Parallel()
	a := setup(t)
	owned(a)
	var got, want any
	text := a.want(200, "GET", "/v2.0/topology", "admin", "").text
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"topology": {
		"switches": [{"id": "00000000000000a1", "hostname": "", "connected": false}, {"id": "00000000000000a2", "hostname": "", "connected": false}],
		"links": [{"a": {"switch": "00000000000000a1", "port": 7, "interface": ""}, "b": {"switch": "00000000000000a2", "port": 9, "interface": "eth9"}, "state": "tree"}],
		"hosts": [{"mac_address": "0a:00:00:00:00:07", "ip_addresses": ["10.0.0.7"], "at": {"switch": "00000000000000a2", "port": 9, "interface": "eth9"}}]
	}}`), &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("topology (-want +got):\n%s", d)
	}
	for format, begin := range map[string]string{"dot": "graph fabric {", "svg": "<svg "} {
		if text := a.want(200, "GET", "/v2.0/topology?format="+format, "admin", "").text; !strings.HasPrefix(text, begin) {
			t.Errorf("%s: %s", format, text)
		}
	}
	a.want(400, "GET", "/v2.0/topology?format=png", "admin", "")
	a.want(400, "GET", "/v2.0/topology?form=dot", "admin", "")
	a.want(403, "GET", "/v2.0/topology", "red", "")
}

func TestHostsOfTheFabricAreFoundByAddressAndPlace(t *testing.T) {
	t.Parallel()
	a := setup(t)
	owned(a)
	for _, query := range []string{"mac_address=0A-00-00-00-00-07", "ip_addresses=10.0.0.7", "ip_addresses=10.0.0.8&ip_addresses=10.0.0.7", "switch=00000000000000a2&port=9", "interface=eth9"} {
		if got := a.want(200, "GET", "/v2.0/hosts?"+query, "admin", "").list(t); len(got) != 1 {
			t.Errorf("%s: %v", query, got)
		}
	}
	for _, query := range []string{"ip_addresses=10.0.0.8", "switch=00000000000000a1", "port=8"} {
		if got := a.want(200, "GET", "/v2.0/hosts?"+query, "admin", "").list(t); len(got) != 0 {
			t.Errorf("%s: %v", query, got)
		}
	}
	host := a.want(200, "GET", "/v2.0/hosts/0a:00:00:00:00:07", "admin", "").object(t)
	if host["moves"] != 0.0 || host["moved_at"] != nil {
		t.Errorf("a host that never moved: %v", host)
	}
	a.want(404, "GET", "/v2.0/hosts/0a:00:00:00:00:08", "admin", "")
	if got := a.want(200, "GET", "/v2.0/hosts", "red", "").list(t); len(got) != 0 {
		t.Errorf("a member sees %v", got)
	}
	for format, shown := range map[string]string{"dot": "0a:00:00:00:00:07", "svg": "10.0.0.7"} {
		if text := a.want(200, "GET", "/v2.0/topology?format="+format, "admin", "").text; !strings.Contains(text, shown) {
			t.Errorf("%s without the host: %s", format, text)
		}
	}
}
