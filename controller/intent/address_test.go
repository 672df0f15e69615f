package intent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(text string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func inWords(list []netip.Prefix) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}

func TestCompactPrefixesCoverTheSameWithFewest(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                                        "",
		"10.0.1.0/24 10.0.0.0/24":                 "10.0.0.0/23",
		"10.0.1.0/24 10.0.2.0/24":                 "10.0.1.0/24 10.0.2.0/24",
		"10.0.0.0/8 10.9.0.0/16 10.0.0.0/8":       "10.0.0.0/8",
		"10.0.0.9/24":                             "10.0.0.0/24",
		"0.0.0.0/1 128.0.0.0/1":                   "0.0.0.0/0",
		"10.0.0.0/32 10.0.0.1/32 10.0.0.2/31":     "10.0.0.0/30",
		"2001:db8:1::/48 2001:db8::/48 fd00::/64": "2001:db8::/47 fd00::/64",
	} {
		if got := inWords(CompactPrefixes(prefixes(given))); got != want {
			t.Errorf("CompactPrefixes(%s) = %s, want %s", given, got, want)
		}
	}
}

func TestFreePrefixTakesTheSmallestGapThatFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		there, used string
		bits        int
		want        string
	}{
		{"10.0.0.0/16", "", 24, "10.0.0.0/24"},
		{"10.0.0.0/16", "10.0.0.0/24", 24, "10.0.1.0/24"},
		{"10.0.0.0/16", "10.0.0.0/24 10.0.1.0/25", 24, "10.0.2.0/24"},
		{"10.0.0.0/16", "10.0.0.0/24 10.0.1.0/25", 25, "10.0.1.128/25"},
		{"10.0.0.0/24 192.168.0.0/16", "10.0.0.0/25", 24, "192.168.0.0/24"},
		{"10.0.0.0/24", "10.0.0.0/24", 28, ""},
		{"10.0.0.0/24", "10.0.0.4/32", 24, ""},
		{"10.0.0.0/24", "", 23, ""},
		{"2001:db8::/32", "2001:db8::/64 2001:db8:0:1::/64", 64, "2001:db8:0:2::/64"},
		{"10.0.0.0/30", "10.0.0.0/32 10.0.0.1/32 10.0.0.3/32", 32, "10.0.0.2/32"},
	} {
		got, found := FreePrefix(prefixes(c.there), prefixes(c.used), c.bits)
		if found != (c.want != "") || found && got.String() != c.want {
			t.Errorf("FreePrefix(%s, %s, %d) = %s %t, want %q", c.there, c.used, c.bits, got, found, c.want)
		}
	}
}

// Cutting until nothing is left gives all of the space, and nothing twice.
func TestFreePrefixesNeverOverlapAndFillTheSpace(t *testing.T) {
	t.Parallel()
	there := prefixes("10.0.0.0/22 10.0.8.0/23 192.168.1.0/24")
	total := 1024 + 512 + 256
	for range 20 {
		var used []netip.Prefix
		size := 0
		for bits := 24; bits <= 32; {
			p, found := FreePrefix(there, used, bits)
			if !found {
				bits++
				continue
			}
			for _, u := range used {
				if u.Overlaps(p) {
					t.Fatalf("%s overlaps with %s", p, u)
				}
			}
			used = append(used, p)
			size += 1 << (32 - bits)
			if bits < 32 && rand.IntN(3) == 0 {
				bits++
			}
		}
		if !CoversPrefixes(there, used) || !CoversPrefixes(used, there) || size != total {
			t.Fatalf("%d addresses of %d given: %v", size, total, used)
		}
	}
}

func TestQuotaUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"10.0.0.0/24": 256, "10.0.0.0/32": 1, "2001:db8::/64": 1, "2001:db8::/48": 65536, "2001:db8::/65": 0.5} {
		if got := QuotaUnits(netip.MustParsePrefix(text)); got != want {
			t.Errorf("QuotaUnits(%s) = %g, want %g", text, got, want)
		}
	}
}
