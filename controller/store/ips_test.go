package store_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func TestAddressesAreGivenInOrderOverTheBoundsOfOctets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	one(b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: intent.Subnet{
		NetworkID: n.ID, CIDR: netip.MustParsePrefix("10.0.0.0/16"),
		Pools: []intent.Range{
			{First: netip.MustParseAddr("10.0.0.254"), Last: netip.MustParseAddr("10.0.1.1")},
			{First: netip.MustParseAddr("10.0.9.9"), Last: netip.MustParseAddr("10.0.9.9")},
		},
	}}}))(t)
	var got []string
	for _, p := range must(b.CreatePorts(b.ctx, red, slices.Repeat([]store.NewPort{newPort(n)}, 3)))(t) {
		got = append(got, p.FixedIPs[0].Addr.String())
	}
	for range 2 {
		got = append(got, b.port(red, newPort(n)).FixedIPs[0].Addr.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1", "10.0.9.9"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.unchanged(func() {
		wantConflict(t, b.tryPort(red, newPort(n)), "IpAddressGenerationFailure", "fixed_ips", "10.0.0.0/16")
	})
}

func TestSecondSubnetOfTheFamilyTakesOverWhenTheFirstIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/30") // gateway and one host
	b.subnet(red, n, "10.0.1.0/30")
	for _, want := range []string{"10.0.0.2", "10.0.1.2"} {
		if got := b.port(red, newPort(n)).FixedIPs[0].Addr.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	wantConflict(t, b.tryPort(red, newPort(n)), "IpAddressGenerationFailure")
	p := newPort(n)
	p.AutoIPs = false
	if got := b.port(red, p); len(got.FixedIPs) != 0 {
		t.Errorf("got addresses %v, asked for none", got.FixedIPs)
	}
}

// Any sequence of creates and deletes gives addresses of the pools only, none
// twice, never the gateway, and says that a subnet is full when it is.
func TestAddressChoiceAgreesWithAModel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cidr, gateway string
		pools         []string
	}{
		{"10.0.0.0/28", "10.0.0.1", nil},
		{"10.0.0.0/28", "10.0.0.7", nil},
		{"10.0.0.0/27", "", []string{"10.0.0.3", "10.0.0.6", "10.0.0.9", "10.0.0.9", "10.0.0.20", "10.0.0.25"}},
		{"2001:db8::/124", "2001:db8::1", nil},
		{"10.0.0.0/31", "", nil},
		{"255.255.255.240/28", "255.255.255.241", nil},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", "", nil},
	} {
		t.Run(fmt.Sprint(c.cidr, c.gateway), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			n := b.network(red, "n")
			in := intent.Subnet{NetworkID: n.ID, CIDR: netip.MustParsePrefix(c.cidr)}
			if c.gateway != "" {
				in.Gateway = netip.MustParseAddr(c.gateway)
			}
			for i := 0; i < len(c.pools); i += 2 {
				in.Pools = append(in.Pools, intent.Range{First: netip.MustParseAddr(c.pools[i]), Last: netip.MustParseAddr(c.pools[i+1])})
			}
			s := one(b.CreateSubnets(b.ctx, red, []store.NewSubnet{{Subnet: in}}))(t)
			free := map[netip.Addr]bool{}
			for _, pool := range s.Pools {
				for a := pool.First; ; a = a.Next() {
					free[a] = true
					if a == pool.Last {
						break
					}
				}
			}
			size := len(free)
			rnd := rand.New(rand.NewPCG(7, uint64(size)))
			used := map[string]netip.Addr{}
			for range 80 {
				if count := 1 + rnd.IntN(4); rnd.IntN(5) < 3 {
					got, err := b.CreatePorts(b.ctx, red, slices.Repeat([]store.NewPort{newPort(n)}, count))
					if count > len(free) {
						wantConflict(t, err, "IpAddressGenerationFailure")
						continue
					}
					if err != nil {
						t.Fatalf("%d of %d are free: %v", len(free), size, err)
					}
					for _, p := range got {
						a := p.FixedIPs[0].Addr
						if !free[a] {
							t.Fatalf("%s is not free", a)
						}
						delete(free, a)
						used[p.ID] = a
					}
					continue
				}
				for id, a := range used {
					if err := b.DeletePort(b.ctx, red, id); err != nil {
						t.Fatal(err)
					}
					free[a] = true
					delete(used, id)
					break
				}
			}
		})
	}
}
