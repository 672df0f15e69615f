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
		"links": [{"a": {"switch": "00000000000000a1", "port": 7, "interface": ""}, "b": {"switch": "00000000000000a2", "port": 9, "interface": "eth9"}, "state": "tree"}]
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
