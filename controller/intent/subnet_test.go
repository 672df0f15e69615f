package intent

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDefaultPoolsLeaveOutGatewayNetworkAndBroadcast(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr
	for _, c := range []struct {
		cidr, gateway string
		want          []Range
	}{
		{"10.0.0.0/24", "10.0.0.1", []Range{{ip("10.0.0.2"), ip("10.0.0.254")}}},
		{"10.0.0.0/24", "", []Range{{ip("10.0.0.1"), ip("10.0.0.254")}}},
		{"10.0.0.0/24", "10.0.0.254", []Range{{ip("10.0.0.1"), ip("10.0.0.253")}}},
		{"10.0.0.0/24", "10.0.0.9", []Range{{ip("10.0.0.1"), ip("10.0.0.8")}, {ip("10.0.0.10"), ip("10.0.0.254")}}},
		{"10.0.0.0/24", "192.0.2.1", []Range{{ip("10.0.0.1"), ip("10.0.0.254")}}},
		{"10.0.0.0/20", "10.0.0.1", []Range{{ip("10.0.0.2"), ip("10.0.15.254")}}},
		{"10.0.0.0/30", "10.0.0.1", []Range{{ip("10.0.0.2"), ip("10.0.0.2")}}},
		{"10.0.0.0/31", "10.0.0.0", []Range{{ip("10.0.0.1"), ip("10.0.0.1")}}},
		{"10.0.0.4/32", "", []Range{{ip("10.0.0.4"), ip("10.0.0.4")}}},
		{"10.0.0.4/32", "10.0.0.4", nil},
		{"2001:db8::/64", "2001:db8::1", []Range{{ip("2001:db8::2"), ip("2001:db8::ffff:ffff:ffff:ffff")}}},
		{"2001:db8::/127", "", []Range{{ip("2001:db8::"), ip("2001:db8::1")}}},
		{"::/0", "::1", []Range{{ip("::2"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}}},
	} {
		var gateway netip.Addr
		if c.gateway != "" {
			gateway = ip(c.gateway)
		}
		got := DefaultPools(netip.MustParsePrefix(c.cidr), gateway)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("DefaultPools(%s, %q): (-want +got)\n%s", c.cidr, c.gateway, diff)
		}
	}
}

func TestDefaultGatewayIsTheFirstHost(t *testing.T) {
	t.Parallel()
	for cidr, want := range map[string]netip.Addr{
		"10.0.0.0/24":   netip.MustParseAddr("10.0.0.1"),
		"10.0.0.0/31":   netip.MustParseAddr("10.0.0.0"),
		"10.0.0.4/32":   {},
		"2001:db8::/64": netip.MustParseAddr("2001:db8::1"),
	} {
		if got := DefaultGateway(netip.MustParsePrefix(cidr)); got != want {
			t.Errorf("DefaultGateway(%s) = %v, want %v", cidr, got, want)
		}
	}
}
