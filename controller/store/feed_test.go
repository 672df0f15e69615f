package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// patience bounds waits for what takes milliseconds on an idle machine.
const patience = time.Minute

// published waits until the feed has as many entries as were written.
func (b *bundle) published() []store.Change {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		changes := must(b.Changes(b.ctx, 0, 1e6))(b.t)
		if len(changes) == b.rowCounts()["outbox"] {
			return changes
		}
		if time.Now().After(deadline) {
			b.t.Fatal("some changes are never published")
		}
	}
}

func TestEveryWriteIsAChangeOfWhatItTouches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ctx = store.WithRequestID(b.ctx, "req-1")
	n := b.network(red, "n")
	s := b.subnet(red, n, "10.0.0.0/24")
	p := b.port(red, newPort(n))
	group := p.SecurityGroups[0]
	r := one(b.CreateRules(b.ctx, red, []intent.Rule{{GroupID: group, Direction: intent.Ingress, EtherType: intent.IPv4}}))(t)
	g := b.segment(blue, "02:00:05:00:00:00/24", nil)
	b.ctx = store.WithRequestID(b.ctx, "req-2")
	must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.Name = "x"; return nil }))(t)
	for _, err := range []error{
		b.DeleteRule(b.ctx, red, r.ID), b.DeletePort(b.ctx, red, p.ID), b.DeleteNetwork(b.ctx, red, n.ID), b.DeleteSegment(b.ctx, admin, g.ID),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for i, c := range b.published() {
		if c.Revision != int64(i+1) {
			t.Errorf("entry %d has revision %d", i+1, c.Revision)
		}
		if c.Kind == store.KindRule && c.ID != r.ID {
			continue // of the default group
		}
		name := map[string]string{r.ID: "r", n.ID: "n", s.ID: "s", p.ID: "p", group: "default", g.ID: "g", "red": "red", "blue": "blue"}[c.ID]
		got = append(got, fmt.Sprintf("%s %s %s of %s", c.Op, c.Kind, name, c.TenantID))
	}
	want := []string{
		"create network n of red", "create tenant red of red",
		"update network n of red", "create subnet s of red",
		"create port p of red", "create security_group default of red",
		"update security_group default of red", "create security_group_rule r of red",
		"create tenant blue of blue", "create mac_segment g of blue",
		"update port p of red", "update security_group default of red", "delete security_group_rule r of red", "delete port p of red",
		"delete subnet s of red", "delete network n of red", "delete mac_segment g of blue",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := sql[string](b, "SELECT string_agg(DISTINCT request_id, ' ' ORDER BY request_id) FROM outbox"); got != "req-1 req-2" {
		t.Errorf("request ids %q", got)
	}
}

// Two replicas, eight writers whose commits are delayed at random, readers that
// resume from what they saw: revisions become visible in their order, and every
// row is seen once.
func TestFeedIsInOrderAndCompleteUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	replica := storetest.Open(t, b.url)
	const writers, each = 8, 15

	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	count := 0
	done := make(chan struct{})
	var last int64
	watch := errgroup.Group{}
	watch.Go(func() error {
		for {
			stop := rand.IntN(20) // resume now and then
			err := replica.Watch(ctx, last, func(changes []store.Change) error {
				mu.Lock()
				defer mu.Unlock()
				for _, c := range changes {
					if c.Revision != last+1 {
						t.Errorf("revision %d comes after %d", c.Revision, last)
					}
					last = c.Revision
					if c.Kind == store.KindNetwork {
						if seen[c.ID]++; seen[c.ID] == 1 {
							count++
						}
					}
				}
				if count == writers*each {
					close(done)
					count++
				}
				if stop--; stop <= 0 {
					return errResume
				}
				return nil
			})
			if !errors.Is(err, errResume) {
				return err
			}
		}
	})

	var writes errgroup.Group
	for w := range writers {
		s := []*store.Store{b.Store, replica}[w%2]
		writes.Go(func() error {
			for i := range each {
				if w < 4 {
					_, err := s.CreateNetworks(b.ctx, red, []intent.Network{{}})
					if err != nil {
						return err
					}
					continue
				}
				// Written past the store, so that the commit can be held back.
				if err := b.slowCommit(fmt.Sprint(w, i), time.Duration(rand.IntN(20))*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writes.Wait(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("after all commits, %d of %d changes were seen", count, writers*each)
	}
	cancel()
	if err := watch.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was seen %d times", id, times)
		}
	}
}

var errResume = errors.New("resume")

// slowCommit writes an outbox row in a transaction that takes its time.
func (b *bundle) slowCommit(id string, delay time.Duration) error {
	conn, err := pgx.Connect(b.ctx, b.url)
	if err != nil {
		return err
	}
	defer conn.Close(b.ctx)
	tx, err := conn.Begin(b.ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(b.ctx, `INSERT INTO outbox (kind, object_id, op) VALUES ('network', $1, 'create')`, id); err != nil {
		return err
	}
	if _, err := tx.Exec(b.ctx, `SELECT pg_sleep($1)`, delay.Seconds()); err != nil {
		return err
	}
	return tx.Commit(b.ctx)
}

func TestWatchOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	changes := make(chan store.Change, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Watch(ctx, 0, func(list []store.Change) error {
			for _, c := range list {
				changes <- c
			}
			return nil
		})
	}()
	for i := range 3 {
		n := b.network(red, "n")
		for found := false; !found; {
			select {
			case c := <-changes:
				found = c.ID == n.ID
			case <-time.After(patience):
				t.Fatalf("change %d does not arrive", i)
			}
		}
		// Every connection but the asking one.
		sql[int](b, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch ended with %v", err)
	}
}

func TestWatchEndsWithTheErrorOfItsReader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.network(red, "n")
	broken := errors.New("broken")
	if err := b.Watch(b.ctx, 0, func([]store.Change) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestSnapshotHoldsAllUpToItsRevision(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, m := b.network(red, "n"), b.network(blue, "m")
	s := b.subnet(red, n, "10.0.0.0/24")
	p, q := b.port(red, newPort(n)), b.port(blue, newPort(m))
	changes := b.published()
	got, revision, err := b.Snapshot(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if revision != changes[len(changes)-1].Revision {
		t.Errorf("revision %d, want %d", revision, changes[len(changes)-1].Revision)
	}
	want := store.State{
		Networks: []intent.Network{must(b.Network(b.ctx, red, n.ID))(t), m}, Subnets: []intent.Subnet{s}, Ports: []intent.Port{p, q},
		SecurityGroups: must(b.SecurityGroups(b.ctx, admin, store.Query{}))(t),
	}
	if diff := cmp.Diff(want, got, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ids := []string{p.ID, "no id", n.ID}
	if diff := cmp.Diff(map[string]intent.Port{p.ID: p}, must(b.PortsByID(b.ctx, ids))(t), equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := must(b.NetworksByID(b.ctx, []string{n.ID, m.ID}))(t); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := must(b.SubnetsByID(b.ctx, []string{s.ID}))(t); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if got := must(b.SecurityGroupsByID(b.ctx, p.SecurityGroups))(t); len(got[p.SecurityGroups[0]].Rules) != 4 {
		t.Errorf("got %v", got)
	}
}

func TestTheFeedReachesBackToWhatIsKeptAndSaysSoBeyond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 5 {
		b.network(red, "n")
	}
	all := b.published()
	last := all[len(all)-1].Revision
	if err := b.ForgetChanges(b.ctx, time.Now().Add(-time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := len(must(b.Changes(b.ctx, 0, 100))(t)); got != len(all) {
		t.Errorf("%d changes left of %d, none of which is old", got, len(all))
	}
	if err := b.ForgetChanges(b.ctx, time.Now().Add(time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Changes(b.ctx, 0, 100); !errors.Is(err, store.ErrTooOld) {
		t.Errorf("resuming at the start: %v, want ErrTooOld", err)
	}
	if err := b.Watch(b.ctx, last-2, func([]store.Change) error { return nil }); !errors.Is(err, store.ErrTooOld) {
		t.Errorf("watching from %d of %d: %v, want ErrTooOld", last-2, last, err)
	}
	for after, want := range map[int64]int{last - 1: 1, last: 0} {
		if got := len(must(b.Changes(b.ctx, after, 100))(t)); got != want {
			t.Errorf("%d changes after %d, want %d", got, after, want)
		}
	}
	// Numbers go on where they were.
	b.network(red, "n")
	stop := errors.New("seen")
	var next store.Change
	err := b.Watch(b.ctx, last, func(changes []store.Change) error {
		next = changes[0]
		return stop
	})
	if !errors.Is(err, stop) || next.Revision != last+1 {
		t.Errorf("the next change is %+v, %v; want revision %d", next, err, last+1)
	}
}

// A storm of changes leaves nothing behind that those who number later ones have to pass
// again and again.
func TestNumberingDoesNotPassWhatIsNumbered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := must(pgx.Connect(ctx, storetest.URL(t)))(t)
	defer conn.Close(context.WithoutCancel(ctx))
	const publish = `SELECT publish_changes(1, 'nobody')`
	const storm = 50_000
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	pages := func() (n int) {
		t.Helper()
		var plan []struct {
			Plan struct {
				Hit  int `json:"Shared Hit Blocks"`
				Read int `json:"Shared Read Blocks"`
			}
		}
		if err := conn.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+publish).Scan(&plan); err != nil {
			t.Fatal(err)
		}
		return plan[0].Plan.Hit + plan[0].Plan.Read
	}
	exec(publish)
	pages() // what a session needs for its first time
	quiet := pages()
	exec(`INSERT INTO outbox (kind, object_id, op) SELECT 'network', i, 'update' FROM generate_series(1, $1) AS i`, storm)
	// What is under way elsewhere in the server may keep a session from knowing that the storm is over.
	deadline := time.Now().Add(patience)
	for after := pages(); after > quiet+10; after = pages() {
		if time.Now().After(deadline) {
			t.Fatalf("after a storm that is over it reads %d pages, before it %d", after, quiet)
		}
	}
}

// A transaction may end after others that began later, and were numbered.
func TestWhoEndsLateIsNumbered(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), storetest.URL(t)
	late, publisher := must(pgx.Connect(ctx, url))(t), must(pgx.Connect(ctx, url))(t)
	defer late.Close(context.WithoutCancel(ctx))
	defer publisher.Close(context.WithoutCancel(ctx))
	const write = `INSERT INTO outbox (kind, object_id, op) VALUES ('network', $1, 'update')`
	publish := func() {
		t.Helper()
		if _, err := publisher.Exec(ctx, `SELECT publish_changes(1, 'nobody')`); err != nil {
			t.Fatal(err)
		}
	}
	tx := must(late.Begin(ctx))(t)
	must(tx.Exec(ctx, write, "late"))(t)
	for range 3 {
		must(publisher.Exec(ctx, write, "early"))(t)
		publish()
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	publish()
	var got string
	if err := publisher.QueryRow(ctx, `SELECT string_agg(object_id, ' ' ORDER BY revision) FROM outbox WHERE revision IS NOT NULL`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "early early early late"; got != want {
		t.Errorf("numbered are %q, want %q", got, want)
	}
}
