package northbound

import (
	"fmt"
	"strings"
	"testing"
)

func TestMACAllowListsSayWhatMayAttach(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"tenant_id": "red", "base_address": "02:00:05:00:00:00", "prefix_length": 24}}`))
	on := func(entries string) string {
		return fmt.Sprintf(`{"mac_allow_list": {"network_id": %q, "name": "known", "entries": [%s]}}`, network, entries)
	}
	got := a.want(201, "POST", "/v2.0/mac-allow-lists", "red", on(`{"prefix": "52:54:00:00:00:00/24"}, {"mac_address": "00-00-5E-00-01-07"}, {"mac_segment_id": "`+segment+`"}`))
	a.wantBody(map[string]string{network: "NETWORK", segment: "SEGMENT", idOf(got.object(t)): "ID"}, got, `{"mac_allow_list":{"id":"ID","tenant_id":"red","project_id":"red","description":"","name":"known","network_id":"NETWORK",
		"entries":[{"prefix":"52:54:00:00:00:00/24"},{"mac_address":"00:00:5e:00:01:07"},{"mac_segment_id":"SEGMENT"}],
		"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}}`)
	list := "/v2.0/mac-allow-lists/" + idOf(got.object(t))
	port := func(mac string) string {
		return fmt.Sprintf(`{"port": {"network_id": %q, "mac_address": %q}}`, network, mac)
	}
	a.refused(409, "MacAddressNotAllowed", "POST", "/v2.0/ports", "red", port("52:55:00:00:00:01"))
	made := a.make("/v2.0/ports", "red", fmt.Sprintf(`{"port": {"network_id": %q}}`, network))
	if made["segment_id"] != segment {
		t.Errorf("the MAC is %v of segment %v", made["mac_address"], made["segment_id"])
	}
	a.refused(409, "MacAddressNotAllowed", "PUT", list, "red", `{"mac_allow_list": {"entries": []}}`)
	if _, message := a.do("PUT", list, "red", `{"mac_allow_list": {"entries": []}}`).message(t); !strings.Contains(message, idOf(made)) {
		t.Errorf("the port is not named: %s", message)
	}
	a.want(400, "PUT", list, "red", `{"mac_allow_list": {"network_id": "`+network+`"}}`)
	for entries, word := range map[string]string{
		`{"prefix": "52:54:00:00:00:01/24"}`:                                      "52:54:00:00:00:00", // aligned
		`{"prefix": "52:54:00:00:00:00/7"}`:                                       "between 8 and 48",
		`{"prefix": "52:54:00:00:00:00"}`:                                         "such as",
		`{"prefix": "03:00:00:00:00:00/8"}`:                                       "group bit",
		`{"mac_address": "ff:ff:ff:ff:ff:ff"}, {"prefix": "02:00:00:00:00:00/8"}`: "group bit",
		`{}`: "one of mac_address, prefix and mac_segment_id",
		`{"mac_address": "52:54:00:00:00:01", "prefix": "52:54:00:00:00:00/24"}`: "one of mac_address, prefix and mac_segment_id",
		`{"mac": "52:54:00:00:00:01"}`:                                           "unexpected key 'mac'",
		`{"prefix": "52:54:00:00:00:00/24"}, {"prefix": "52:54:00:00:00:00/24"}`: "duplicate",
	} {
		_, message := a.want(400, "POST", "/v2.0/mac-allow-lists", "red", on(entries)).message(t)
		if !strings.Contains(message, "entries") || !strings.Contains(message, word) {
			t.Errorf("%s: %s; want it to say %q", entries, message, word)
		}
	}
	a.want(404, "POST", "/v2.0/mac-allow-lists", "blue", on(`{"prefix": "52:54:00:00:00:00/24"}`))
	a.want(404, "GET", list, "blue", "")
	a.want(403, "DELETE", list, "red-reader", "")
	a.want(204, "DELETE", "/v2.0/ports/"+idOf(made), "red", "")
	a.refused(409, "NetworkInUse", "DELETE", "/v2.0/networks/"+network, "red", "")
	a.want(204, "DELETE", list, "red", "")
	a.make("/v2.0/ports", "admin", port("52:55:00:00:00:01"))
}

func TestMACPrefixesOfAddressPairsAreChecked(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"tenant_id": "blue", "base_address": "02:00:06:00:00:00", "prefix_length": 24}}`)
	body := func(pairs ...string) string {
		var all []string
		for _, station := range pairs {
			all = append(all, `{"ip_address": "10.9.0.0/24", "mac_address": "`+station+`"}`)
		}
		return `{"port": {"network_id": "` + network + `", "allowed_address_pairs": [` + strings.Join(all, ", ") + `]}}`
	}
	made := a.make("/v2.0/ports", "red", body("52-54-00-00-00-00/24", "52:54:00:00:00:00/32", "00:00:5e:00:01:07/48"))
	for i, want := range []string{"52:54:00:00:00:00/24", "52:54:00:00:00:00/32", "00:00:5e:00:01:07"} {
		if got := made["allowed_address_pairs"].([]any)[i].(map[string]any)["mac_address"]; got != want {
			t.Errorf("pair %d has %v, want %s", i, got, want)
		}
	}
	for station, word := range map[string]string{
		"52:54:00:12:34:56/24": "52:54:00:00:00:00", // aligned
		"52:54:00:00:00:00/7":  "between 8 and 48",
		"53:54:00:00:00:00/24": "group bit",
		"52:54:00:00:00:00/x":  "is not a number",
		"52:54:00/24":          "is not a MAC",
		"52:54:00":             "BASE/BITS",
		"02:00:06:00:00:00/32": "segment of the tenant or the network",
	} {
		_, message := a.want(400, "POST", "/v2.0/ports", "red", body(station)).message(t)
		if !strings.Contains(message, "allowed_address_pairs") || !strings.Contains(message, word) {
			t.Errorf("%s: %s; want it to say %q", station, message, word)
		}
	}
	a.refused(400, "DuplicateAddressPairInRequest", "POST", "/v2.0/ports", "red", body("52:54:00:00:00:00/24", "52:54:00:00:00:00/24"))
}
