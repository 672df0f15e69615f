package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// checkWhole checks what must hold at any moment, by SQL.
func (b *bundle) checkWhole() {
	b.t.Helper()
	for what, query := range map[string]string{
		"ports without a MAC":               `SELECT count(*) FROM ports p WHERE NOT EXISTS (SELECT FROM mac_addresses m WHERE m.port_id = p.id)`,
		"MACs of ports without a port":      `SELECT count(*) FROM mac_addresses m WHERE m.state = 'active' AND m.origin = 'port' AND NOT EXISTS (SELECT FROM ports p WHERE m.port_id = p.id)`,
		"MACs of no segment that is there":  `SELECT count(*) FROM mac_addresses m WHERE segment_id IS NOT NULL AND NOT EXISTS (SELECT FROM mac_segments s WHERE s.id = m.segment_id)`,
		"counters that are not the rows":    countersDiffer,
		"MACs whose lineage ends otherwise": lineageDiffers,
		"addresses without a port":          `SELECT count(*) FROM fixed_ips f WHERE NOT EXISTS (SELECT FROM ports p WHERE f.port_id = p.id)`,
		"addresses outside of their subnet": `SELECT count(*) FROM fixed_ips f JOIN subnets s ON s.id = f.subnet_id WHERE NOT f.address << s.cidr`,
		"MACs outside of their segment":     `SELECT count(*) FROM mac_addresses m JOIN mac_segments s ON s.id = m.segment_id WHERE NOT s.block @> m.address`,
		"MACs of a segment with children":   `SELECT count(*) FROM mac_addresses m WHERE state IN ('active', 'reserved') AND EXISTS (SELECT FROM mac_segments s WHERE s.parent_id = m.segment_id)`,
		"MACs twice":                        `SELECT count(*) - count(DISTINCT address) FROM mac_addresses`,
		"ports without a change":            `SELECT count(*) FROM ports p WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.object_id = p.id::text)`,
	} {
		if n := sql[int](b, query); n != 0 {
			b.t.Errorf("%d %s", n, what)
		}
	}
}

// countersDiffer counts pairs of segment and tenant of which the counters say
// something else than the rows.
const countersDiffer = `
	SELECT count(*) FROM (
		SELECT coalesce(segment_id, '00000000-0000-0000-0000-000000000000') AS segment_id, tenant_id, count(*) FILTER (WHERE state = 'active') AS active,
			count(*) FILTER (WHERE state = 'reserved') AS reserved, count(*) FILTER (WHERE state = 'quarantined') AS quarantined
		FROM mac_addresses GROUP BY 1, 2) AS r
	FULL JOIN mac_usage_now u USING (segment_id, tenant_id)
	WHERE (coalesce(r.active, 0), coalesce(r.reserved, 0), coalesce(r.quarantined, 0)) <> (coalesce(u.active, 0), coalesce(u.reserved, 0), coalesce(u.quarantined, 0))`

// lineageDiffers counts addresses whose last event tells of another state,
// tenant or port than they have.
const lineageDiffers = `
	SELECT count(*) FROM mac_addresses m
	LEFT JOIN LATERAL (SELECT * FROM mac_events e WHERE e.address = m.address ORDER BY e.at DESC, e.id DESC LIMIT 1) AS e ON true
	WHERE m.state <> 'free' AND (e.state IS DISTINCT FROM m.state OR e.tenant_id <> m.tenant_id OR m.port_id IS NOT NULL AND e.port_id IS DISTINCT FROM m.port_id)`

func TestConcurrentCreatorsOnTwoReplicasNeverShareAnAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	replica := storetest.Open(t, b.url)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/25")             // 125 for hosts
	b.segment(red, "02:00:05:00:00:00/41", nil) // 128 addresses
	created := make(chan intent.Port, 1000)
	var work errgroup.Group
	for w := range 8 {
		s := []*store.Store{b.Store, replica}[w%2]
		work.Go(func() error {
			for range 15 {
				got, err := s.CreatePorts(b.ctx, red, []store.NewPort{newPort(n)})
				if err != nil {
					return err
				}
				created <- got[0]
				if rand.IntN(4) == 0 {
					if err := s.DeletePort(b.ctx, red, got[0].ID); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	close(created)
	b.checkWhole()
	if len(created) != 120 {
		t.Errorf("%d ports, want 120", len(created))
	}
}

func TestOneMACAskedForByManyGoesToOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	results := make(chan error, 8)
	for range 8 {
		go func() { results <- b.tryPort(red, portWithMAC(n, "fa:16:3e:00:00:01")) }()
	}
	won := 0
	for range 8 {
		if err := <-results; err == nil {
			won++
		} else {
			wantConflict(t, err, "MacAddressInUse", "fa:16:3e:00:00:01")
		}
	}
	if won != 1 {
		t.Errorf("%d ports have it", won)
	}
	b.checkWhole()
}

// Whoever divides a segment, and whoever takes an address of it: one of the two
// is told that it cannot be.
func TestSegmentIsNotDividedWhileItGivesAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	for i := range 10 {
		g := b.segment(red, fmt.Sprintf("02:00:%02x:00:00:00/24", i+1), func(g *intent.Segment) { g.NetworkID = n.ID })
		var work errgroup.Group
		work.Go(func() error {
			return unless[*store.Conflict](b.tryPort(red, newPort(n)))
		})
		work.Go(func() error {
			_, err := b.createSegment(admin, intent.Segment{Meta: intent.Meta{TenantID: "red"}, NetworkID: n.ID, Block: must(mac.NewSegment(g.Block.Base(), 40))(t)})
			return unless[*store.Conflict](err)
		})
		if err := work.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	b.checkWhole()
}

// unless is err, or nil if it is an E: one of the outcomes that a race may have.
func unless[E error](err error) error {
	if _, expected := errors.AsType[E](err); expected {
		return nil
	}
	return err
}

func TestNetworkDeletedWhilePortsAreMadeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		n := b.network(red, "n")
		b.subnet(red, n, "10.0.0.0/24")
		var work errgroup.Group
		for range 3 {
			work.Go(func() error {
				return unless[*store.NotFound](b.tryPort(red, newPort(n)))
			})
		}
		work.Go(func() error {
			return unless[*store.InUse](b.DeleteNetwork(b.ctx, red, n.ID))
		})
		if err := work.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	b.checkWhole()
}

func TestManyTenantsAreFirstSeenAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var work errgroup.Group
	for i := range 16 {
		work.Go(func() error {
			_, err := b.SecurityGroups(b.ctx, store.Scope{TenantID: fmt.Sprint("t", i%3)}, store.Query{})
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := sql[int](b, "SELECT count(*) FROM security_groups"); got != 3 {
		t.Errorf("%d default groups for 3 tenants", got)
	}
	if got := sql[int](b, "SELECT count(*) FROM security_group_rules"); got != 12 {
		t.Errorf("%d rules, want 12", got)
	}
}

// As after a kill -9 of the controller or of a backend: what was not committed
// never was, and callers that stay get on.
func TestConnectionsCutInMidTransactionLeaveNothingHalf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/16")
	ctx, cancel := context.WithCancel(b.ctx)
	var cutter errgroup.Group
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.ctx))
	cutter.Go(func() error {
		for ctx.Err() == nil {
			_, err := conn.Exec(b.ctx, `
				SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND random() < 0.3`)
			if err != nil {
				return err
			}
		}
		return nil
	})
	var work errgroup.Group
	made := make(chan string, 1000)
	for range 6 {
		work.Go(func() error {
			for range 30 {
				got, err := b.CreatePorts(b.ctx, red, []store.NewPort{newPort(n), newPort(n)})
				switch {
				case err == nil:
					made <- got[0].ID
					made <- got[1].ID
				case !errors.Is(err, store.ErrUnavailable):
					return err
				}
			}
			return nil
		})
	}
	err = work.Wait()
	cancel()
	if err := errors.Join(err, cutter.Wait()); err != nil {
		t.Fatal(err)
	}
	close(made)
	b.checkWhole()
	for id := range made {
		if _, err := b.Port(b.ctx, red, id); err != nil {
			t.Errorf("a port that was confirmed: %v", err)
		}
	}
	b.port(red, newPort(n)) // and on it goes
}
