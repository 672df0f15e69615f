package store_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// Ports that many ask for at a time share transactions. In the records each is
// that of its own request, and who asks for what is taken is refused alone.
func TestPortsAskedForAtATimeAreRecordedByTheirOwnRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	network := b.network(red, "net")
	subnet := b.subnet(red, network, "10.0.0.0/16")
	b.CreatePorts(b.ctx, red, []store.NewPort{{Port: intent.Port{NetworkID: network.ID,
		FixedIPs: []intent.FixedIP{{SubnetID: subnet.ID, Addr: netip.MustParseAddr("10.0.0.9")}}}}})
	const n = 40
	var mu sync.Mutex
	asked := map[string]string{} // request by port
	var work sync.WaitGroup
	for i := range n + 8 { // n of them want nothing that is taken
		if i == n {
			work.Wait()
		}
		work.Go(func() {
			ctx := store.WithActor(store.WithRequestID(b.ctx, fmt.Sprintf("req-%d", i)), "alice")
			p := store.NewPort{Port: intent.Port{NetworkID: network.ID}, AutoIPs: true, DefaultGroup: true}
			taken := i == n+3
			if taken {
				p.AutoIPs, p.FixedIPs = false, []intent.FixedIP{{SubnetID: subnet.ID, Addr: netip.MustParseAddr("10.0.0.9")}}
			}
			made, err := b.CreatePorts(ctx, red, []store.NewPort{p})
			if (err != nil) != taken {
				t.Errorf("request %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range made {
				asked[p.ID] = fmt.Sprintf("req-%d", i)
			}
		})
	}
	work.Wait()
	if len(asked) != n+7 {
		t.Fatalf("%d ports made", len(asked))
	}
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.ctx))
	for table, query := range map[string]string{
		"audit_log":  `SELECT object_id, request_id FROM audit_log WHERE kind = 'port' AND actor = 'alice'`,
		"mac_events": `SELECT port_id::text, request_id FROM mac_events WHERE actor = 'alice'`,
		"outbox":     `SELECT object_id, request_id FROM outbox WHERE kind = 'port' AND op = 'create' AND request_id <> ''`,
	} {
		rows, err := conn.Query(b.ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		var id, request string
		if _, err := pgx.ForEachRow(rows, []any{&id, &request}, func() error {
			seen++
			if asked[id] != request {
				t.Errorf("%s has %s by %q, want %q", table, id, request, asked[id])
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if seen != len(asked) {
			t.Errorf("%s has %d of %d ports", table, seen, len(asked))
		}
	}
	var transactions int
	if err := conn.QueryRow(b.ctx, `SELECT count(DISTINCT xmin::text) FROM ports WHERE id = ANY($1)`, slices.Collect(maps.Keys(asked))).Scan(&transactions); err != nil {
		t.Fatal(err)
	}
	if transactions == len(asked) {
		t.Error("each port had a transaction of its own")
	}
}
