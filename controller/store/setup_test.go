package store_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

var (
	admin = store.Scope{Admin: true}
	red   = store.Scope{TenantID: "red"}
	blue  = store.Scope{TenantID: "blue"}
)

var equateAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, mac.Segment{}), cmpopts.EquateEmpty()}

// bundle is a store on its own database, with what most tests need in it.
type bundle struct {
	*store.Store
	t   testing.TB
	ctx context.Context
	url string
}

func setup(t testing.TB) *bundle {
	t.Helper()
	url := storetest.URL(t)
	return &bundle{Store: storetest.Open(t, url), t: t, ctx: t.Context(), url: url}
}

// must unwraps what may not fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// one unwraps a list of one that may not fail.
func one[T any](v []T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(v) != 1 {
			t.Fatalf("got %d objects, want 1", len(v))
		}
		return v[0]
	}
}

func (b *bundle) network(sc store.Scope, name string) intent.Network {
	b.t.Helper()
	return one(b.CreateNetworks(b.ctx, sc, []intent.Network{{Meta: intent.Meta{Name: name}, AdminUp: true}}))(b.t)
}

func (b *bundle) subnet(sc store.Scope, network intent.Network, cidr string) intent.Subnet {
	b.t.Helper()
	prefix := netip.MustParsePrefix(cidr)
	return one(b.CreateSubnets(b.ctx, sc, []store.NewSubnet{{Subnet: intent.Subnet{
		NetworkID: network.ID, CIDR: prefix, Gateway: intent.DefaultGateway(prefix), EnableDHCP: true,
	}}}))(b.t)
}

func (b *bundle) segment(sc store.Scope, block string, fill func(*intent.Segment)) intent.Segment {
	b.t.Helper()
	g := intent.DefaultSegment()
	g.Block, g.TenantID = mac.MustParseSegment(block), sc.TenantID
	if fill != nil {
		fill(&g)
	}
	return one(b.createSegment(admin, g))(b.t)
}

func (b *bundle) createSegment(sc store.Scope, g intent.Segment) ([]intent.Segment, error) {
	return b.CreateSegments(b.ctx, sc, []store.NewSegment{{Segment: g}})
}

func newPort(network intent.Network) store.NewPort {
	return store.NewPort{Port: intent.Port{NetworkID: network.ID, AdminUp: true}, AutoIPs: true, DefaultGroup: true}
}

func portWithMAC(network intent.Network, address string) store.NewPort {
	p := newPort(network)
	p.MAC = mac.MustParse(address)
	return p
}

func (b *bundle) port(sc store.Scope, p store.NewPort) intent.Port {
	b.t.Helper()
	return one(b.CreatePorts(b.ctx, sc, []store.NewPort{p}))(b.t)
}

// tryPort is a create that is to fail.
func (b *bundle) tryPort(sc store.Scope, p store.NewPort) error {
	_, err := b.CreatePorts(b.ctx, sc, []store.NewPort{p})
	return err
}

// sql runs a query of one value, past the store.
func sql[T any](b *bundle, query string, args ...any) (v T) {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.ctx))
	if err := conn.QueryRow(b.ctx, query, args...).Scan(&v); err != nil {
		b.t.Fatal(err)
	}
	return v
}

// rowCounts is how many rows each table has, the outbox included.
func (b *bundle) rowCounts() map[string]int {
	b.t.Helper()
	tables := []string{"tenants", "networks", "subnets", "subnet_pools", "mac_segments", "security_groups", "security_group_rules",
		"ports", "mac_addresses", "mac_events", "mac_conflicts", "mac_imports", "quotas", "audit_log", "idempotency_keys", "fixed_ips", "port_security_groups", "switches", "attachments", "outbox"}
	var query strings.Builder
	for i, table := range tables {
		query.WriteString([]string{"SELECT ARRAY[", ", "}[min(i, 1)] + "(SELECT count(*) FROM " + table + ")")
	}
	counts := map[string]int{}
	for i, n := range sql[[]int](b, query.String()+"]") {
		counts[tables[i]] = n
	}
	return counts
}

// unchanged runs what is to fail and checks that no row came or went.
func (b *bundle) unchanged(f func()) {
	b.t.Helper()
	before := b.rowCounts()
	f()
	if diff := cmp.Diff(before, b.rowCounts()); diff != "" {
		b.t.Errorf("a failed call changed the database: (-before +after)\n%s", diff)
	}
}

func wantNotFound(t testing.TB, err error, kind store.Kind) {
	t.Helper()
	var e *store.NotFound
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("got error %v, want %s not found", err, kind)
	}
}

func wantConflict(t testing.TB, err error, kind string, words ...string) {
	t.Helper()
	var e *store.Conflict
	if !errors.As(err, &e) || e.Type != kind {
		t.Errorf("got error %v (%T), want conflict %s", err, err, kind)
		return
	}
	wantWords(t, err, words...)
}

func wantInvalid(t testing.TB, err error, attr string, words ...string) {
	t.Helper()
	var e *store.Invalid
	if !errors.As(err, &e) || e.Attr != attr {
		t.Errorf("got error %v (%T), want %s invalid", err, err, attr)
		return
	}
	wantWords(t, err, append(words, attr)...)
}

func wantInUse(t testing.TB, err error, kind store.Kind, by string) {
	t.Helper()
	var e *store.InUse
	if !errors.As(err, &e) || e.Kind != kind || e.By != by {
		t.Errorf("got error %v (%T), want %s in use by %s", err, err, kind, by)
	}
}

func wantWords(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func isUnavailable(err error) bool { return errors.Is(err, store.ErrUnavailable) }
