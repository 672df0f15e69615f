package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSegmentsAreCutToSizeSplitResizedAndChanged(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.post("tenants", "tenant", map[string]any{"id": "demo"})
	l.run("segment", "create", "02:00:05:00:00:00/36", "--name", "root")
	made := func(args ...string) string {
		return l.rows("block,tenant_id,size", append([]string{"segment", "create"}, args...)...)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--size", "1000", "--tenant", "demo", "--name", "thousand", "--parent", "root"}, "02:00:05:00:00:00/38,demo,1024"},
		{[]string{"--size", "1", "--parent", "02:00:05:00:00:00/36", "--host", "00000000000000b0", "--name", "one"}, "02:00:05:00:04:00/48,,1"},
		{[]string{"02:00:05:00:08:00/40", "--name", "grows", "--strategy", "sequential", "--quarantine", "90s"}, "02:00:05:00:08:00/40,,256"},
	} {
		if got := made(c.args...); got != c.want {
			t.Errorf("create %v: %q, want %q", c.args, got, c.want)
		}
	}
	if got := l.rows("block", "segment", "set", "grows", "--prefix-length", "39"); got != "02:00:05:00:08:00/39" {
		t.Errorf("grown: %q", got)
	}
	l.run("mac", "create", "02:00:05:00:08:01", "--tenant", "demo", "--segment", "grows")
	if got := l.rows("block", "segment", "set", "grows", "--prefix-length", "/44"); got != "02:00:05:00:08:00/44" {
		t.Errorf("shrunk: %q", got)
	}
	if got := l.rows("block,utilisation.active", "segment", "split", "grows", "46"); got != "02:00:05:00:08:00/46,1\n02:00:05:00:08:04/46,0\n02:00:05:00:08:08/46,0\n02:00:05:00:08:0c/46,0" {
		t.Errorf("parts: %q", got)
	}
	if got := l.rows("name,description,strategy,quarantine_seconds,conflict_policy,conflict_delay_seconds", "segment", "set", "thousand", "--name", "kilo",
		"--description", "of demo", "--strategy", "instance-hash", "--quarantine", "2h", "--conflict-policy", "reassign", "--conflict-delay", "5m"); got != "kilo,of demo,instance-hash,7200,reassign,300" {
		t.Errorf("changed: %q", got)
	}
	var shown struct {
		Utilisation map[string]any
		Collision   float64 `json:"collision_probability"`
	}
	l.json(&shown, "segment", "show", "02:00:05:00:08:00/46")
	if diff := cmp.Diff(map[string]any{"size": 4., "active": 1., "reserved": 0., "quarantined": 0., "free": 3., "largest_free_block": "02:00:05:00:08:02/47"}, shown.Utilisation); diff != "" {
		t.Errorf("utilisation (-want +got):\n%s", diff)
	}
	l.refused(map[string]string{
		"segment create --size 5000 --parent root":            "MacSegmentExhausted: ",
		"segment create 02:00:05:00:00:00/36":                 "MacSegmentOverlap: ",
		"segment create --size 16 --tenant demo --shared":     "shared",
		"segment set 02:00:05:00:08:00/46 --prefix-length 48": "MacSegmentInUse: ",
		"segment set one --prefix-length 36":                  "MacSegmentOverlap: ",
		"segment set one --shared --prefix-length 47":         "prefix_length",
		"segment split root 40":                               "MacSegmentInUse: ",
		"segment split kilo 38":                               "prefix",
		"segment delete 02:00:05:00:08:00/46":                 "MacSegmentInUse: ",
		"segment delete root":                                 "MacSegmentInUse: ",
	})
	l.run("mac", "release", "02:00:05:00:08:01")
	l.run("segment", "delete", "02:00:05:00:08:00/46")
}

func TestQuotasOfAddressesAndSegmentsAreToldInWords(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.post("tenants", "tenant", map[string]any{"id": "demo"})
	l.run("segment", "create", "02:00:05:00:00:00/40", "--tenant", "demo", "--name", "blue")
	var answer map[string]any
	l.call(http.MethodPut, "quotas/demo", map[string]any{"quota": map[string]any{"mac_address": 10, "mac_segment": 1}}, &answer)
	l.run("mac", "create", "--tenant", "demo", "--count", "8")
	const addresses = "OverQuota: Quota exceeded for resources: ['mac_address']. tenant_id demo has 8 of 10"
	l.refused(map[string]string{
		"mac create --tenant demo --count 3":          addresses,
		"mac reserve --tenant demo --count 3":         addresses,
		"segment create --size 16 --tenant demo":      "OverQuota: Quota exceeded for resources: ['mac_segment']. tenant_id demo has 1 of 1",
		"mac create --segment blue --count 100001":    "count",
		"mac create --segment blue --count 0":         "count",
		"mac create --tenant demo 02:00:06:00:00:00":  "02:00:06:00:00:00",
		"mac create --segment nothing":                `there is no mac segment "nothing"`,
		"mac create --network nothing --tenant demo":  `there is no network "nothing"`,
		"mac create --tenant demo 03:00:05:00:00:00":  "group",
		"mac reserve --tenant demo --expires 2020-01": "--expires",
	})
	if got := strings.Count(l.rows("address", "mac", "list", "--tenant", "demo"), "\n") + 1; got != 8 {
		t.Errorf("%d addresses after refusals, want 8", got)
	}
}
