package northbound

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorsAreProblemDetailsForWhoAsksForThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, c := range []struct {
		method, path, token string
		want                map[string]any
	}{
		{"GET", "/v2.0/ports/none", "red", map[string]any{
			"type": "urn:macloom:error:PortNotFound", "title": "Not Found", "status": 404.0, "detail": "Port none could not be found.",
		}},
		{"GET", "/v2.0/ports", "", map[string]any{
			"type": "urn:macloom:error:Unauthorized", "title": "Unauthorized", "status": 401.0, "detail": "The request you have made requires authentication.",
		}},
		{"PATCH", "/v2.0/ports", "red", map[string]any{
			"type": "urn:macloom:error:HTTPMethodNotAllowed", "title": "Method Not Allowed", "status": 405.0, "detail": "The method is not allowed for this resource.",
		}},
		{"GET", "/nowhere", "", map[string]any{
			"type": "urn:macloom:error:HTTPNotFound", "title": "Not Found", "status": 404.0, "detail": "The resource could not be found.",
		}},
	} {
		req, err := http.NewRequest(c.method, a.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", c.token)
		req.Header.Set("Accept", "application/json, application/problem+json;q=0.5")
		resp := a.send(req)
		var got map[string]any
		if err := json.Unmarshal([]byte(resp.text), &got); err != nil {
			t.Fatalf("%s: %v", resp.text, err)
		}
		c.want["instance"] = "urn:uuid:" + strings.TrimPrefix(resp.header.Get("X-Openstack-Request-Id"), "req-")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.method, c.path, diff)
		}
		if got := resp.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s %s: Content-Type %s", c.method, c.path, got)
		}
		if resp.code != int(c.want["status"].(float64)) {
			t.Errorf("%s %s: code %d", c.method, c.path, resp.code)
		}
	}
}

func TestOtherErrorsStayNeutrons(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "application/*": false, "application/problem+xml": false,
		"application/problem+json;q=0": false, "application/problem+json; q=0.000": false, "x, ;;; ,": false,
		"application/problem+json": true, "text/html, Application/Problem+JSON ;q=0.1": true,
	} {
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if got := wantsProblem(r); got != want {
			t.Errorf("Accept %q: problem details %t, want %t", accept, got, want)
		}
	}
	if !wantsProblem(&http.Request{Header: http.Header{"Accept": {"application/json", "application/problem+json"}}}) {
		t.Error("the second line of Accept is not read")
	}
}
