package northbound

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pages reads a list page by page along its links, and says what each had. A
// full page has a link to the next one, which may be empty.
func (a *api) pages(token, path, attribute string) (all [][]string) {
	a.t.Helper()
	for path != "" {
		var root map[string][]map[string]any
		if err := json.Unmarshal([]byte(a.want(200, "GET", path, token, "").text), &root); err != nil {
			a.t.Fatal(err)
		}
		path = ""
		var page []string
		for key, value := range root {
			for _, o := range value {
				if o["rel"] == nil {
					page = append(page, fmt.Sprint(o[attribute]))
				} else if o["rel"] == "next" {
					next, err := url.Parse(o["href"].(string))
					if err != nil {
						a.t.Fatalf("%s: %v", key, err)
					}
					path = next.RequestURI()
				}
			}
		}
		all = append(all, page)
	}
	return all
}

func TestAddressesConflictsAndImportsAreReadInPages(t *testing.T) {
	t.Parallel()
	a := setup(t)
	segment := idOf(a.make("/v2.0/mac-segments", "admin",
		`{"mac_segment": {"tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 40, "strategy": "sequential", "quarantine_seconds": 0}}`))
	a.want(201, "POST", "/v2.0/mac-addresses", "red", `{"mac_address": {"count": 6, "segment_id": "`+segment+`"}}`)
	// One that rests no more is nobody's, and leaves no hole in its page.
	a.want(204, "DELETE", "/v2.0/mac-addresses/02:00:05:00:00:01", "red", "")
	if _, err := a.store.SweepMACs(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"a", "b", "c"} {
		a.load("admin", "source="+source+"&tenant_id=blue", "text/csv", "application/json", "02:00:05:00:00:00,vm\n")
	}
	for _, c := range []struct {
		token, path, attribute string
		want                   [][]string
	}{
		{"red", "mac-addresses?limit=2", "address", [][]string{{"02:00:05:00:00:00", "02:00:05:00:00:02"}, {"02:00:05:00:00:03", "02:00:05:00:00:04"}, {"02:00:05:00:00:05"}}},
		{"admin", "mac-addresses?limit=3&marker=0200.0500.0002&state=active", "address", [][]string{{"02:00:05:00:00:03", "02:00:05:00:00:04", "02:00:05:00:00:05"}, nil}},
		{"red", "mac-addresses?sort_key=address&sort_dir=desc&limit=4", "address",
			[][]string{{"02:00:05:00:00:05", "02:00:05:00:00:04", "02:00:05:00:00:03", "02:00:05:00:00:02"}, {"02:00:05:00:00:00"}}},
		{"blue", "mac-addresses?limit=2", "address", [][]string{nil}},
		{"red", "mac-conflicts?limit=2", "source", [][]string{{"a", "b"}, {"c"}}},
		{"admin", "mac-imports?limit=1", "source", [][]string{{"a"}, {"b"}, {"c"}, nil}},
		{"admin", "mac-imports?sort_key=source&sort_dir=desc&limit=2", "source", [][]string{{"c", "b"}, {"a"}}},
	} {
		if diff := cmp.Diff(c.want, a.pages(c.token, "/v2.0/"+c.path, c.attribute)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.path, diff)
		}
	}
	a.want(404, "GET", "/v2.0/mac-addresses?limit=1&marker=02:00:05:00:00:01", "red", "")
	a.want(404, "GET", "/v2.0/mac-addresses?limit=1&marker=02:00:05:00:00:00", "blue", "")
}
