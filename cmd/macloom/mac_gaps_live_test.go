package main

import (
	"strconv"
	"strings"
	"testing"
)

func TestAnAddressThatIsHeldIsChangedAndActivated(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("segment", "create", "02:00:05:00:00:00/40", "--shared")
	l.run("mac", "reserve", "02:00:05:00:00:01", "--device", "web-1", "--expires", "7d")
	for _, c := range []struct{ words, want string }{
		{"--device web-2 --expires 2999-01-01T00:00:00Z", "reserved,web-2,2999-01-01T00:00:00Z"},
		{"--expires never", "reserved,web-2,"},
		{"--activate", "active,web-2,"},
		{"--device=", "active,,"},
	} {
		if got := l.rows("state,device_id,expires_at", append([]string{"mac", "set", "0200.0500.0001"}, strings.Fields(c.words)...)...); got != c.want {
			t.Errorf("set %s: %q, want %q", c.words, got, c.want)
		}
	}
	l.run("mac", "release", "02:00:05:00:00:01")
	l.refused(map[string]string{
		"mac set 02:00:05:00:00:01 --device web-3": "MacAddressReleased: ",
		"mac set 02:00:05:00:00:02 --device web-3": "MacAddressNotFound: ",
	})
}

func TestImportsAreKeptAndShown(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	file := l.taken()
	if got := l.run("mac", "imports", "-o", "json"); got != "[]" {
		t.Errorf("before any: %q", got)
	}
	var answer struct {
		Import struct {
			ID string `json:"import_id"`
		} `json:"mac_import"`
	}
	l.json(&answer, "mac", "import", file, "--source", "vcenter", "--tenant", "demo")
	const columns = "id,source,lines,imported,conflicts,invalid"
	want := answer.Import.ID + ",vcenter,5,2,2,1"
	if got := l.rows(columns, "mac", "imports"); got != want {
		t.Errorf("listed: %q, want %q", got, want)
	}
	if got := l.rows(columns, "mac", "imports", "show", answer.Import.ID); got != want {
		t.Errorf("shown: %q, want %q", got, want)
	}
	l.refused(map[string]string{"mac imports show 11111111-2222-4333-8444-555555555555": "NotFound: "})
}

func TestALongLineageIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("segment", "create", "02:00:05:00:00:00/32", "--name", "large")
	const count = 2300
	l.run("mac", "create", "--segment", "large", "--count", strconv.Itoa(count), "--device", "web-1", "--format", "ranges")
	seen := map[string]bool{}
	for _, address := range strings.Fields(l.rows("mac", "mac", "lineage", "--instance", "web-1")) {
		seen[address] = true
	}
	if len(seen) != count {
		t.Errorf("the lineage of %d addresses, want %d", len(seen), count)
	}
	at := l.rows("at", "mac", "lineage", "--instance", "web-1", "--limit", "1")
	l.run("mac", "create", "--segment", "large", "--device", "web-1")
	for since, want := range map[string]int{"1d": count + 1, at: 2, "2998-01-01": 0} {
		if got := len(strings.Fields(l.rows("id", "mac", "lineage", "--instance", "web-1", "--since", since))); got != want {
			t.Errorf("%d events since %s, want %d", got, since, want)
		}
	}
}
