package store_test

import (
	"context"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/store/storetest"
	"github.com/macloom/macloom/migrations"
)

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := storetest.Open(t, storetest.EmptyURL(t))
	version := func() uint {
		t.Helper()
		v, err := s.SchemaVersion(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got := version(); got != 0 {
		t.Fatalf("an empty database has schema version %d", got)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	newest := version()
	if newest == 0 {
		t.Fatal("no step was taken up")
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if err := s.MigrateDown(ctx); err != nil {
		t.Fatal(err)
	}
	if got := version(); got != 0 {
		t.Fatalf("all steps down leave version %d", got)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatalf("up again: %v", err)
	}
	if got := version(); got != newest {
		t.Fatalf("up again ends at version %d, want %d", got, newest)
	}
}

// steps takes a database of its own through the steps of the schema.
type steps struct {
	*pgx.Conn
	t *testing.T
}

// before returns a database with all steps before that with a number.
func before(t *testing.T, number string) steps {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	names, err := fs.Glob(migrations.Files, "*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := steps{conn, t}
	for _, name := range names {
		if name < number {
			s.step(name)
		}
	}
	return s
}

func (s steps) run(sql string) {
	s.t.Helper()
	if _, err := s.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%.80s: %v", sql, err)
	}
}

func (s steps) step(name string) {
	s.t.Helper()
	sql, err := migrations.Files.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.run(string(sql))
}

// want compares a column of text.
func (s steps) want(query string, want ...string) {
	s.t.Helper()
	rows, err := s.Query(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("(-want +got)\n%s", diff)
	}
}

// What was external, or a port of one tenant on a network of another, before
// there were policies is so afterwards.
func TestPoliciesAreMadeOfWhatWasSharedBefore(t *testing.T) {
	t.Parallel()
	s := before(t, "0020")
	s.run(`
		INSERT INTO tenants (id) VALUES ('red'), ('blue');
		INSERT INTO networks (id, tenant_id, vni, segmentation_id, external)
			VALUES ('00000000-0000-4000-8000-000000000001', 'red', 1, 1, true), ('00000000-0000-4000-8000-000000000002', 'red', 2, 2, false);
		INSERT INTO ports (id, tenant_id, network_id)
			SELECT gen_random_uuid(), tenants.id, '00000000-0000-4000-8000-000000000002' FROM tenants;
		INSERT INTO address_groups (id, tenant_id) VALUES ('00000000-0000-4000-8000-000000000003', 'red');
		INSERT INTO security_groups (id, tenant_id, name) VALUES ('00000000-0000-4000-8000-000000000004', 'red', 'g');
		INSERT INTO security_group_rules (id, tenant_id, group_id, direction, ethertype, remote_address_group_id)
			SELECT gen_random_uuid(), 'red', '00000000-0000-4000-8000-000000000004', 'ingress', 'IPv4', other
			FROM unnest(ARRAY['00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000009']::uuid[]) other;`)
	for range 2 {
		s.step("0020_rbac.up.sql")
		s.want(`
			SELECT concat_ws(' ', tenant_id, object_type, object_id, action, target) FROM rbac_policies
			UNION ALL SELECT concat_ws(' ', 'port', tenant_id, network_owner) FROM ports
			UNION ALL SELECT concat_ws(' ', 'rule', remote_address_group_id) FROM security_group_rules ORDER BY 1`,
			"port blue red", "port red", "red network 00000000-0000-4000-8000-000000000001 access_as_external *",
			"rule 00000000-0000-4000-8000-000000000003")
		s.step("0020_rbac.down.sql")
	}
}

// Trunks that were only kept are carried: their ports show it.
func TestPortsOfTrunksOfBeforeKnowThem(t *testing.T) {
	t.Parallel()
	s := before(t, "0027")
	s.run(`
		INSERT INTO tenants (id) VALUES ('red');
		INSERT INTO networks (id, tenant_id, vni, segmentation_id) VALUES ('00000000-0000-4000-8000-000000000001', 'red', 1, 1);
		INSERT INTO ports (id, tenant_id, network_id, name, device_owner, status)
			SELECT ('00000000-0000-4000-8000-00000000001' || n)::uuid, 'red', '00000000-0000-4000-8000-000000000001', 'p' || n, 'compute:nova', 'ACTIVE' FROM generate_series(1, 3) n;
		INSERT INTO trunks (id, tenant_id, port_id) VALUES ('00000000-0000-4000-8000-000000000020', 'red', '00000000-0000-4000-8000-000000000011');
		INSERT INTO trunk_subports (port_id, trunk_id, segmentation_id)
			VALUES ('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-000000000020', 7);`)
	const list = `SELECT concat_ws(' ', name, device_owner, right(device_id, 2), status) FROM ports ORDER BY name`
	s.step("0027_trunk_ports.up.sql")
	s.want(`SELECT right(trunk_id::text, 2) FROM ports WHERE trunk_id IS NOT NULL`, "20", "20")
	s.want(list, "p1 compute:nova  ACTIVE", "p2 trunk:subport 20 DOWN", "p3 compute:nova  ACTIVE")
	s.step("0027_trunk_ports.down.sql")
	s.want(list, "p1 compute:nova  ACTIVE", "p2   DOWN", "p3 compute:nova  ACTIVE")
	s.want(`SELECT status FROM trunks`, "DOWN")
	s.step("0027_trunk_ports.up.sql")
}
