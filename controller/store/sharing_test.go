package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func (b *bundle) share(kind store.Kind, id, target string) intent.RBACPolicy {
	b.t.Helper()
	return one(b.CreateRBACPolicies(b.ctx, admin, []intent.RBACPolicy{{
		ObjectType: string(kind), ObjectID: id, Action: intent.AccessAsShared, Target: target, Meta: intent.Meta{TenantID: "red"},
	}}))(b.t)
}

// Whatever comes first, a port and the policy that lets it be: never is there
// the port without a policy.
func TestWithdrawalAndUseOfAShareExcludeEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	if err := b.EnsureDefaultGroup(b.ctx, "blue"); err != nil {
		t.Fatal(err)
	}
	withdrawn, made := 0, 0
	for round := range 40 {
		policy := b.share(store.KindNetwork, n.ID, []string{"blue", "*"}[round%2])
		var wg sync.WaitGroup
		var port []intent.Port
		var used, gone error
		wg.Add(2)
		go func() {
			defer wg.Done()
			port, used = b.CreatePorts(b.ctx, blue, []store.NewPort{newPort(n)})
		}()
		go func() {
			defer wg.Done()
			if round%4 < 2 {
				gone = b.DeleteRBACPolicy(b.ctx, admin, policy.ID)
				return
			}
			_, gone = b.UpdateRBACPolicy(b.ctx, admin, policy.ID, func(p *intent.RBACPolicy) error { p.Target = "green"; return nil })
		}()
		wg.Wait()
		var conflict *store.Conflict
		switch {
		case used == nil && errors.As(gone, &conflict) && conflict.Type == "RbacPolicyInUse":
			made++
			if err := b.DeletePort(b.ctx, blue, port[0].ID); err != nil {
				t.Fatal(err)
			}
		case used != nil && gone == nil:
			withdrawn++
			wantNotFound(t, used, store.KindNetwork)
		default:
			t.Fatalf("round %d: port %v, withdrawal %v", round, used, gone)
		}
		for _, p := range must(b.RBACPolicies(b.ctx, admin, store.Query{}))(t) {
			if err := b.DeleteRBACPolicy(b.ctx, admin, p.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d withdrawals and %d ports came first", withdrawn, made)
}

// plan is how the server runs a statement, with the plan that serves all values.
func (b *bundle) plan(sql string, args ...any) string {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(b.ctx) }()
	if _, err := conn.Exec(b.ctx, "SET plan_cache_mode = force_generic_plan"); err != nil {
		b.t.Fatal(err)
	}
	if _, err := conn.Exec(b.ctx, "PREPARE tried AS "+sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	values := make([]string, len(args))
	for i, v := range args {
		values[i] = "'" + v.(string) + "'"
	}
	rows, err := conn.Query(b.ctx, "EXPLAIN EXECUTE tried("+strings.Join(values, ", ")+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// What a tenant sees of a table in which very little is its own is found by
// indexes, whether anything is shared or not.
func TestVisibilityIsServedByIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.network(red, "n")
	for _, fill := range []string{
		`INSERT INTO tenants (id) SELECT 't' || i FROM generate_series(1, 2000) i`,
		`INSERT INTO networks (id, tenant_id, vni, segmentation_id) SELECT gen_random_uuid(), 't' || (i % 2000 + 1), i, i FROM generate_series(1, 20000) i ON CONFLICT DO NOTHING`,
		`INSERT INTO subnets (id, tenant_id, network_id, cidr) SELECT gen_random_uuid(), tenant_id, id, '10.0.0.0/24' FROM networks`,
		`INSERT INTO security_groups (id, tenant_id, name) SELECT gen_random_uuid(), 't' || (i % 2000 + 1), 'g' FROM generate_series(1, 20000) i`,
		`INSERT INTO security_group_rules (id, tenant_id, group_id, direction, ethertype) SELECT gen_random_uuid(), tenant_id, id, 'egress', 'IPv4' FROM security_groups`,
		`INSERT INTO subnetpools (id, tenant_id, ip_version, default_prefixlen, min_prefixlen, max_prefixlen) SELECT gen_random_uuid(), 't' || (i % 2000 + 1), 4, 24, 8, 32 FROM generate_series(1, 20000) i`,
		`INSERT INTO address_groups (id, tenant_id) SELECT gen_random_uuid(), 't' || (i % 2000 + 1) FROM generate_series(1, 20000) i`,
		`INSERT INTO address_scopes (id, tenant_id, ip_version) SELECT gen_random_uuid(), 't' || (i % 2000 + 1), 4 FROM generate_series(1, 20000) i`,
		`INSERT INTO qos_policies (id, tenant_id) SELECT gen_random_uuid(), 't' || (i % 2000 + 1) FROM generate_series(1, 20000) i`,
		`INSERT INTO rbac_policies (id, tenant_id, action, target, network_id) SELECT gen_random_uuid(), tenant_id, 'access_as_shared', 't' || (vni % 1999 + 1), id FROM networks`,
	} {
		b.exec(fill)
	}
	b.exec(`ANALYZE`)
	for kind, sql := range store.VisibleRows() {
		plan := b.plan(sql, "t5")
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s are found by reading all:\n%s\n%s", kind, sql, plan)
		}
	}
}

func (b *bundle) exec(sql string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(b.ctx) }()
	if _, err := conn.Exec(b.ctx, sql); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// A list of ports keeps to the index of the tenant while no port of another
// is on its networks, and shows those that are.
func TestListsOfPortsAskForForeignPortsOnlyIfThereAreAny(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.port(red, newPort(n))
	if sql := store.PortList(b.Store, b.ctx, red); strings.Contains(sql, "network_owner") {
		t.Errorf("without any, the list asks for foreign ports: %s", sql)
	}
	b.share(store.KindNetwork, n.ID, "blue")
	b.port(blue, newPort(n))
	if sql := store.PortList(b.Store, b.ctx, red); !strings.Contains(sql, "network_owner") {
		t.Errorf("the list leaves foreign ports out: %s", sql)
	}
	if got := must(b.Ports(b.ctx, red, store.Query{}))(t); len(got) != 2 {
		t.Errorf("the owner of the network sees %d ports, want 2", len(got))
	}
	first := one(b.Ports(b.ctx, red, store.Query{Limit: 1}))(t)
	if rest := must(b.Ports(b.ctx, red, store.Query{Marker: first.ID}))(t); len(rest) != 1 || rest[0].ID == first.ID {
		t.Errorf("after the first: %v, want the other", rest)
	}
}
