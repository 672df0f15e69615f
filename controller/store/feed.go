package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
)

// How the feed goes on when nobody calls: a publisher that died after its
// commit leaves rows for others, and a notification can be lost with its
// connection.
const (
	publishEvery = 2 * time.Second
	publishGap   = 10 * time.Millisecond // at most
	pollEvery    = 3 * time.Second
	changesBatch = 1000

	// How long the feed reaches back, and how often what is older is removed.
	feedReach   = 7 * 24 * time.Hour
	feedMost    = 10_000_000 // entries
	pruneEvery  = time.Hour
	pruneBatch  = 10_000
	feedChannel = "macloom_changes"
)

// Change is one entry of the change feed.
type Change struct {
	Revision int64 // position in the feed; rises by one from entry to entry
	Kind     Kind
	ID       string
	TenantID string // empty for what belongs to the operator
	Op       Op
	Fact     bool // it tells of what became of the object in a switch, and not of what is wanted of it

	Event intent.EventKind // it is an event, too; empty: none
}

// State is all intent that the data plane needs.
type State struct {
	Networks       []intent.Network
	Subnets        []intent.Subnet
	Ports          []intent.Port
	SecurityGroups []intent.SecurityGroup // with their rules
	AddressGroups  []intent.AddressGroup
	MACAllowLists  []intent.MACAllowList
	Blocks         []intent.Block
	AffinityPools  []intent.AffinityPool // with their backends
	Admissions     []intent.Admission
	Hosts          []intent.Host
	HostSegments   []intent.HostSegment
	QoSPolicies    []intent.QoSPolicy // with their rules
	QoSSegments    []intent.QoSSegment
}

// publisher gives committed outbox rows their revision. Each process has one
// and wakes it after its own commits; a lock lets one at a time work. It also
// does the NOTIFY: one in every writer's transaction would make all commits
// wait in line, as PostgreSQL holds a database-wide lock from NOTIFY to commit.
type publisher struct {
	pool   *pgxpool.Pool
	log    *zap.Logger
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

func startPublisher(pool *pgxpool.Pool, log *zap.Logger) *publisher {
	ctx, cancel := context.WithCancel(context.Background())
	p := &publisher{pool: pool, log: log, wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go p.run(ctx)
	return p
}

func (p *publisher) stop() {
	p.cancel()
	<-p.done
}

// poke says that there may be rows to publish.
func (p *publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *publisher) run(ctx context.Context) {
	defer close(p.done)
	// Nothing to publish before the first poke: the schema may not be there.
	var again <-chan time.Time
	soonest := time.After(0)
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			if err := forgetChanges(ctx, p.pool, time.Now().Add(-feedReach), feedMost); err != nil && ctx.Err() == nil {
				p.log.Warn("old changes were not removed; it will be tried again", zap.Error(unavailable(err)))
			}
			if err := forgetKeys(ctx, p.pool); err != nil && ctx.Err() == nil {
				p.log.Warn("old idempotency keys were not removed; it will be tried again", zap.Error(unavailable(err)))
			}
			continue
		case <-p.wake:
		case <-again:
		}
		// The first change after a rest is published at once; of those that come
		// thick and fast many share a transaction: it rests as long as it has worked.
		select {
		case <-ctx.Done():
			return
		case <-soonest:
		}
		again = time.After(publishEvery)
		began := time.Now()
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("publishing changes failed; it will be tried again", zap.Error(unavailable(err)))
		}
		soonest = time.After(min(time.Since(began), publishGap))
	}
}

// publish numbers what has been committed, in a transaction of its own. The
// highest revision lives in the rows alone, so forgetChanges leaves the newest.
func (p *publisher) publish(ctx context.Context) error {
	_, err := p.pool.Exec(ctx, `SELECT publish_changes($1, $2)`, lockPublisher, feedChannel)
	return err
}

// ForgetChanges removes entries of the feed of before a moment, and those before
// the last so many, but for the newest of all. A reader that has not come so far
// gets ErrTooOld.
func (s *Store) ForgetChanges(ctx context.Context, before time.Time, most int64) error {
	return mapError(forgetChanges(ctx, s.pool, before, most))
}

// forgetChanges removes the oldest first, so that what is left has no gap, and
// little at a time, so that nobody waits for it.
func forgetChanges(ctx context.Context, pool *pgxpool.Pool, before time.Time, most int64) error {
	for {
		tag, err := pool.Exec(ctx, `
			DELETE FROM outbox WHERE id IN (
				SELECT id FROM (SELECT id, at, revision FROM outbox WHERE revision < (SELECT max(revision) FROM outbox)
				                ORDER BY revision LIMIT $2) AS oldest
				WHERE at < $1 OR revision <= (SELECT max(revision) FROM outbox) - $3)`, before, pruneBatch, most)
		if err != nil || tag.RowsAffected() < pruneBatch {
			return err
		}
	}
}

// ErrTooOld says that the feed no longer reaches back to where a reader wants
// to resume: it has to read everything anew.
var ErrTooOld = errors.New("store: the change feed does not reach back that far")

// Changes returns up to limit entries of the feed after a revision, in order.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]Change, error) {
	var changes []Change
	err := s.read(ctx, func(q querier) (err error) {
		changes, err = changesAfter(ctx, q, after, limit)
		return err
	})
	return changes, err
}

func changesAfter(ctx context.Context, q querier, after int64, limit int) ([]Change, error) {
	rows, err := q.Query(ctx, `
		SELECT revision, kind, object_id, tenant_id, op, fact, coalesce(event, '') FROM outbox
		WHERE revision > $1 ORDER BY revision LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	changes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Change, err error) {
		err = row.Scan(&c.Revision, &c.Kind, &c.ID, &c.TenantID, &c.Op, &c.Fact, &c.Event)
		return c, err
	})
	// Revisions have no gaps, so one tells that entries have been removed.
	if err == nil && len(changes) > 0 && changes[0].Revision != after+1 {
		return nil, ErrTooOld
	}
	return changes, err
}

// Watch calls apply with every change after a revision, in order and without
// a gap, until ctx ends, apply fails or the feed does not reach back that far
// (ErrTooOld), and returns the reason. It goes on by itself when the connection
// is lost.
func (s *Store) Watch(ctx context.Context, after int64, apply func([]Change) error) error {
	s.feed.poke()
	w := watcher{store: s, after: after, apply: apply}
	for attempt := 0; ; attempt++ {
		before := w.after
		err := w.follow(ctx)
		switch {
		case w.failed != nil:
			return w.failed
		case errors.Is(err, ErrTooOld):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case w.after != before:
			attempt = 0
		}
		wait := min(100*time.Millisecond<<min(attempt, 5), 2*time.Second)
		s.log.Warn("the change feed was interrupted; it will be resumed",
			zap.Int64("revision", w.after), zap.Duration("wait", wait), zap.Error(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// watcher is the state of one Watch over all its connections.
type watcher struct {
	store  *Store
	after  int64
	apply  func([]Change) error
	failed error // of apply
}

// follow reads the feed over one connection until that breaks.
func (w *watcher) follow(ctx context.Context) error {
	// Not out of the pool: it would be held for good.
	conn, err := pgx.ConnectConfig(ctx, w.store.pool.Config().ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+feedChannel); err != nil {
		return err
	}
	for {
		for {
			changes, err := changesAfter(ctx, conn, w.after, changesBatch)
			if err != nil {
				return err
			}
			if len(changes) == 0 {
				break
			}
			if w.failed = w.apply(changes); w.failed != nil {
				return w.failed
			}
			w.after = changes[len(changes)-1].Revision
		}
		wait, cancel := context.WithTimeout(ctx, pollEvery)
		_, err := conn.WaitForNotification(wait)
		cancel()
		if err != nil && wait.Err() == nil || conn.IsClosed() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Snapshot returns all intent of one moment and the revision that it holds
// at least: changes after it may be contained already, none before it is
// missing.
func (s *Store) Snapshot(ctx context.Context) (State, int64, error) {
	var state State
	var revision int64
	err := s.read(ctx, func(querier) error {
		tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(revision), 0) FROM outbox`).Scan(&revision); err != nil {
			return err
		}
		all := Scope{Admin: true}
		if state.Networks, err = networks.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.Subnets, err = subnets.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.Ports, err = ports.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.AddressGroups, err = addressGroups.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.MACAllowLists, err = allowLists.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.Blocks, err = blockRecords.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.AffinityPools, err = affinityPools.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.SecurityGroups, err = groups.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		if state.QoSPolicies, err = qosPolicies.list(ctx, tx, all, Query{}); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectQoSSegments)
		if state.QoSSegments, err = collectQoSSegments(rows, err); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, decided)
		if state.Admissions, err = collectAdmissions(rows, err); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, selectHosts)
		if state.Hosts, err = collectHosts(rows, err); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, selectHostSegments)
		state.HostSegments, err = collectHostSegments(rows, err)
		return err
	})
	if err != nil {
		return State{}, 0, fmt.Errorf("store: reading the intent: %w", err)
	}
	return state, revision, nil
}

// NetworksByID returns those of the networks that exist, of all tenants.
func (s *Store) NetworksByID(ctx context.Context, ids []string) (m map[string]intent.Network, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = networks.byID(ctx, q, ids, func(n *intent.Network) string { return n.ID })
		return err
	})
	return m, err
}

// SubnetsByID returns those of the subnets that exist, of all tenants.
func (s *Store) SubnetsByID(ctx context.Context, ids []string) (m map[string]intent.Subnet, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = subnets.byID(ctx, q, ids, func(n *intent.Subnet) string { return n.ID })
		return err
	})
	return m, err
}

// PortsByID returns those of the ports that exist, of all tenants.
func (s *Store) PortsByID(ctx context.Context, ids []string) (m map[string]intent.Port, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = ports.byID(ctx, q, ids, func(p *intent.Port) string { return p.ID })
		return err
	})
	return m, err
}

// AddressGroupsByID returns those of the address groups that exist, of all
// tenants.
func (s *Store) AddressGroupsByID(ctx context.Context, ids []string) (m map[string]intent.AddressGroup, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = addressGroups.byID(ctx, q, ids, func(g *intent.AddressGroup) string { return g.ID })
		return err
	})
	return m, err
}

// MACAllowListsByID returns those of the MAC allow lists that exist, of all
// tenants.
func (s *Store) MACAllowListsByID(ctx context.Context, ids []string) (m map[string]intent.MACAllowList, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = allowLists.byID(ctx, q, ids, func(l *intent.MACAllowList) string { return l.ID })
		return err
	})
	return m, err
}

// SecurityGroupsByID returns those of the groups that exist, of all tenants,
// with their rules.
func (s *Store) SecurityGroupsByID(ctx context.Context, ids []string) (m map[string]intent.SecurityGroup, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = groups.byID(ctx, q, ids, func(g *intent.SecurityGroup) string { return g.ID })
		return err
	})
	return m, err
}
