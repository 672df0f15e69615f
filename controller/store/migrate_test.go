package store_test

import (
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

// What was external, or a port of one tenant on a network of another, before
// there were policies is so afterwards.
func TestPoliciesAreMadeOfWhatWasSharedBefore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	run := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%.80s: %v", sql, err)
		}
	}
	step := func(name string) {
		t.Helper()
		sql, err := migrations.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		run(string(sql))
	}
	names, err := fs.Glob(migrations.Files, "*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name < "0020" {
			step(name)
		}
	}
	run(`
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
		step("0020_rbac.up.sql")
		rows, err := conn.Query(ctx, `
			SELECT concat_ws(' ', tenant_id, object_type, object_id, action, target) FROM rbac_policies
			UNION ALL SELECT concat_ws(' ', 'port', tenant_id, network_owner) FROM ports
			UNION ALL SELECT concat_ws(' ', 'rule', remote_address_group_id) FROM security_group_rules ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"port blue red", "port red", "red network 00000000-0000-4000-8000-000000000001 access_as_external *",
			"rule 00000000-0000-4000-8000-000000000003"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		step("0020_rbac.down.sql")
	}
}
