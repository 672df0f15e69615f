package store_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), "postgres://user:secret@/db?host="+filepath.Join(t.TempDir(), "none"), zap.NewNop())
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	// A server that accepts and says nothing.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	_, err = store.Open(t.Context(), "postgres://user:secret@"+ln.Addr().String()+"/db?sslmode=disable", zap.NewNop())
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestErrorsNeverShowThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://user:secret@127.0.0.1:1/db", "postgres://user:secret@[::bad/db", "host=x password=secret port=no"} {
		if _, err := store.Open(t.Context(), url, zap.NewNop()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestEndedContextIsNotAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, write := b.CreateNetworks(ctx, red, []intent.Network{{}})
	_, read := b.Networks(ctx, red, store.Query{})
	for _, err := range []error{write, read, b.Ping(ctx)} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

// What the constraints alone keep out, whatever the code does.
func TestConstraintsHoldWithoutTheStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	p := b.port(red, newPort(n))
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.ctx))
	for _, c := range []struct {
		constraint, statement string
		args                  []any
	}{
		{"mac_addresses_pkey", `INSERT INTO mac_addresses (address, tenant_id, origin) VALUES ($1, 'red', 'tenant')`, []any{int64(p.MAC)}},
		{"mac_addresses_address_individual", `UPDATE mac_addresses SET address = $1`, []any{int64(0x010000000000)}},
		{"mac_addresses_address_range", `UPDATE mac_addresses SET address = $1`, []any{int64(1) << 48}},
		{"mac_addresses_port_key", `INSERT INTO mac_addresses (address, tenant_id, origin, port_id) SELECT 7, 'red', 'port', port_id FROM mac_addresses`, nil},
		{"mac_addresses_port_active", `UPDATE mac_addresses SET state = 'reserved'`, nil},
		{"mac_addresses_free_at_released", `UPDATE mac_addresses SET state = 'quarantined', port_id = NULL`, nil},
		{"mac_leases_no_overlap", `INSERT INTO mac_leases (segment_id, first, last, holder, expires_at) SELECT segment_id, first, last, holder, now() FROM mac_leases`, nil},
		{"mac_segments_strategy_known", `UPDATE mac_segments SET strategy = 'random'`, nil},
		{"quotas_limit_range", `INSERT INTO quotas VALUES ('red', 'mac_address', -2)`, nil},
		{"mac_addresses_segment_fkey", `DELETE FROM mac_segments WHERE id = $1`, []any{g.ID}},
		{"fixed_ips_pkey", `INSERT INTO fixed_ips SELECT * FROM fixed_ips`, nil},
		{"fixed_ips_subnet_fkey", `DELETE FROM subnets`, nil},
		{"subnets_no_overlap", `INSERT INTO subnets (id, tenant_id, network_id, cidr) VALUES (gen_random_uuid(), 'red', $1, '10.0.0.0/8')`, []any{n.ID}},
		{"subnet_pools_no_overlap", `INSERT INTO subnet_pools VALUES ($1, '10.0.0.9', '10.0.0.11')`, []any{s.ID}},
		{"mac_segments_no_overlap", `INSERT INTO mac_segments (id, parent_id, block) VALUES (gen_random_uuid(), $1, int8range(2199107141632, 2199107141633))`, []any{g.ParentID}},
		{"mac_segments_roots_no_overlap", `INSERT INTO mac_segments (id, block) VALUES (gen_random_uuid(), int8range(2199107141632, 2199107141633))`, nil},
		{"mac_segments_block_aligned", `INSERT INTO mac_segments (id, block) VALUES (gen_random_uuid(), int8range(3, 5))`, nil},
		{"mac_segments_block_power_of_two", `INSERT INTO mac_segments (id, block) VALUES (gen_random_uuid(), int8range(0, 3))`, nil},
		{"mac_segments_block_individual", `INSERT INTO mac_segments (id, block) VALUES (gen_random_uuid(), int8range(1099511627776, 1099511627777))`, nil},
		{"port_security_groups_group_fkey", `DELETE FROM security_groups`, nil},
		{"networks_vni_range", `UPDATE networks SET vni = 0, segmentation_id = 0`, nil},
		{"outbox_op_known", `UPDATE outbox SET op = 'x'`, nil},
		{"switches_dpid_hex", `INSERT INTO switches (dpid) VALUES ('a1')`, nil},
		{"switches_capabilities_object", `INSERT INTO switches (dpid, capabilities) VALUES ('00000000000000a1', '[]')`, nil},
		{"attachments_dpid_hex", `INSERT INTO attachments (dpid, interface, iface_id, ofport) VALUES ('a1', 'tap1', '', 1)`, nil},
	} {
		var pg *pgconn.PgError
		if _, err := conn.Exec(b.ctx, c.statement, c.args...); !errors.As(err, &pg) || pg.ConstraintName != c.constraint {
			t.Errorf("%s: got %v, want a violation of %s", c.statement, err, c.constraint)
		}
	}
}
