package store_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestAPortWhoseMACHasBecomeSomebodysGetsAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/40", func(g *intent.Segment) { g.Strategy = mac.Sequential })
	first := b.port(red, newPort(n))
	// Past the leases of this process, which gives that address next.
	taken := int64(first.MAC) + 1
	if made := sql[int](b, `WITH m AS (INSERT INTO mac_addresses (address, segment_id, tenant_id, origin) VALUES ($1, $2, 'blue', 'tenant') RETURNING 1)
		SELECT count(*) FROM m`, taken, g.ID); made != 1 {
		t.Fatalf("%d rows", made)
	}
	before := b.rowCounts()
	p := b.port(red, newPort(n))
	if int64(p.MAC) <= taken || !g.Block.Contains(p.MAC) || p.Num == 0 || p.CreatedAt.IsZero() {
		t.Errorf("got %+v", p)
	}
	after := b.rowCounts()
	for _, table := range []string{"ports", "mac_addresses", "outbox", "audit_log", "mac_events"} {
		if made := after[table] - before[table]; made != 1 {
			t.Errorf("table %s got %d rows, want 1", table, made)
		}
	}
	if got := must(b.Port(b.ctx, red, p.ID))(t); got.MAC != p.MAC {
		t.Errorf("the port has %s, not %s", got.MAC, p.MAC)
	}
}

func TestAPortWhoseIPAddressBecomesSomebodysGetsAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	holder := b.port(red, newPort(n))
	next := holder.FixedIPs[0].Addr.Next()
	for _, named := range []bool{false, true} {
		other := must(pgx.Connect(b.ctx, b.url))(t)
		t.Cleanup(func() { _ = other.Close(b.ctx) })
		tx := must(other.Begin(b.ctx))(t)
		if _, err := tx.Exec(b.ctx, `INSERT INTO fixed_ips (subnet_id, address, port_id, ord) VALUES ($1, $2, $3, $4)`, s.ID, next, holder.ID, 1); err != nil {
			t.Fatal(err)
		}
		port := newPort(n)
		if named {
			port.AutoIPs, port.FixedIPs = false, []intent.FixedIP{{SubnetID: s.ID, Addr: next}}
		}
		type result struct {
			made []intent.Port
			err  error
		}
		done := make(chan result, 1)
		go func() {
			made, err := b.CreatePorts(b.ctx, red, []store.NewPort{port})
			done <- result{made, err}
		}()
		// It has chosen that address and waits for what becomes of it.
		for deadline := time.Now().Add(patience); sql[int](b, `SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
			AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`) == 0; {
			if time.Now().After(deadline) {
				t.Fatal("nobody waits for the address")
			}
		}
		if err := tx.Commit(b.ctx); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if named {
			wantConflict(t, r.err, "IpAddressAlreadyAllocated", next.String())
			break
		}
		if r.err != nil {
			t.Fatal(r.err)
		}
		if got, want := r.made[0].FixedIPs[0].Addr, next.Next(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		next = netip.MustParseAddr("10.0.0.77")
	}
}
