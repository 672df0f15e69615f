package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/allocator"
	"github.com/macloom/macloom/controller/mac"
)

const (
	// leaseSize is how many addresses a lease has; of a small segment only its
	// share, so that several processes find some.
	leaseSize  = 4096
	leaseShare = 16

	// leaseTime is how long a lease lasts unless it is renewed. An address is
	// never given in its last leaseMargin, whatever the database would say.
	leaseTime   = time.Minute
	leaseMargin = 5 * time.Second
	leaseIdle   = 5 * time.Minute // given back when nothing was taken for so long
	leaseEvery  = leaseTime / 3   // how often leases are renewed

	// leaseTries bounds how many leases in a row may turn out to have nothing
	// free, as in a segment that was given by hand.
	leaseTries = 64

	// dryTime is how long a segment of which there was nothing to lease is not
	// asked again.
	dryTime = time.Second
)

// lessor takes, renews and returns the leases of this process. It has
// connections of its own: who waits for a lease holds one of the others.
type lessor struct {
	holder string
	pool   *allocator.Pool
	conns  *pgxpool.Pool
	log    *zap.Logger

	start  sync.Once
	cancel context.CancelFunc
	ctx    context.Context
	done   chan struct{}

	mu   sync.Mutex
	busy map[string]*turn     // by segment: somebody is at it
	dry  map[string]time.Time // by segment: there was nothing
	info map[string]leased    // by segment
}

// turn is a call of acquire that others wait for.
type turn struct {
	done chan struct{}
	more bool
	err  error
}

// leased is what is known of a segment while there is a lease of it: whoever
// changes the segment ends its leases.
type leased struct {
	tenant, network, host string
	shared                bool
	strategy              mac.Strategy
}

func newLessor(cfg *pgxpool.Config, log *zap.Logger) (*lessor, error) {
	cfg = cfg.Copy()
	cfg.MaxConns, cfg.MinConns = 2, 0
	conns, err := pgxpool.NewWithConfig(context.Background(), cfg) // connects when it is needed
	if err != nil {
		return nil, fmt.Errorf("store: opening the database: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &lessor{
		holder: uuid.NewString(), pool: allocator.New(time.Now), conns: conns, log: log, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		busy: map[string]*turn{}, dry: map[string]time.Time{}, info: map[string]leased{},
	}, nil
}

// stop gives all leases back.
func (l *lessor) stop() {
	l.cancel()
	l.start.Do(func() { close(l.done) })
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	if back := l.pool.Clear(); len(back) > 0 {
		if err := l.giveBack(ctx, back); err != nil {
			l.log.Info("leases of MAC segments were not given back; they will run out", zap.Error(unavailable(err)))
		}
	}
	l.conns.Close()
}

// acquire leases a part of a segment with about so many addresses, unless there
// is nothing to lease. Of several that ask at a time one does the work.
func (l *lessor) acquire(ctx context.Context, segmentID string, need int) (more bool, err error) {
	l.mu.Lock()
	if until, dry := l.dry[segmentID]; dry {
		if time.Now().Before(until) {
			l.mu.Unlock()
			return false, nil
		}
		delete(l.dry, segmentID)
	}
	t, others := l.busy[segmentID]
	if !others {
		t = &turn{done: make(chan struct{})}
		l.busy[segmentID] = t
	}
	l.mu.Unlock()
	if others {
		select {
		case <-t.done:
			return t.more, t.err
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	l.start.Do(func() { go l.run() })
	t.more, t.err = l.lease(ctx, segmentID, need)
	l.mu.Lock()
	delete(l.busy, segmentID)
	if !t.more && t.err == nil {
		l.dry[segmentID] = time.Now().Add(dryTime)
	}
	l.mu.Unlock()
	close(t.done)
	return t.more, t.err
}

// lease does the work of acquire. The segment is locked against change, but not
// by the lock of the tree: whoever waits for this may hold a share of that one.
func (l *lessor) lease(ctx context.Context, segmentID string, need int) (bool, error) {
	until := time.Now().Add(leaseTime - leaseMargin)
	var taken *allocator.Lease
	var info leased
	err := pgx.BeginFunc(ctx, l.conns, func(tx pgx.Tx) error {
		taken = nil
		var lower, upper, fresh int64
		var key uuid.UUID
		err := tx.QueryRow(ctx, `
			SELECT lower(block), upper(block), strategy, scramble_key, fresh, coalesce(tenant_id, ''), coalesce(network_id::text, ''), host, shared
			FROM mac_segments WHERE id = $1 FOR NO KEY UPDATE`, segmentID).
			Scan(&lower, &upper, &info.strategy, &key, &fresh, &info.tenant, &info.network, &info.host, &info.shared)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		// Whoever divides a segment changes its row too, and so is seen here.
		var divided bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mac_segments WHERE parent_id = $1)`, segmentID).Scan(&divided); err != nil || divided {
			return err
		}
		block, err := blockOf(lower, upper)
		if err != nil {
			return err
		}
		part := leasePart{tx: tx, segment: segmentID, order: mac.NewOrder(info.strategy, block, key), fresh: fresh, size: upper - lower}
		part.most = max(min(leaseSize, part.size/leaseShare), int64(need)+int64(need)/8, 1)
		for range leaseTries {
			lease, more, err := part.next(ctx, l.holder)
			if err != nil || !more {
				return err
			}
			if len(lease.Open) > 0 {
				taken = lease
				return nil
			}
		}
		return nil
	})
	if err != nil || taken == nil {
		return false, err
	}
	taken.Until = until
	l.mu.Lock()
	l.info[segmentID] = info
	l.mu.Unlock()
	l.pool.Add(*taken)
	return true, nil
}

// leasePart takes parts of a segment.
type leasePart struct {
	tx          pgx.Tx
	segment     string
	order       mac.Order
	fresh, size int64
	most        int64 // addresses of a part
}

// next leases the first part whose holder left it or died, or else one that
// was never leased. A lease without anything open is not kept.
func (p *leasePart) next(ctx context.Context, holder string) (*allocator.Lease, bool, error) {
	var first, last, fence int64
	rows, err := p.tx.Query(ctx, `
		UPDATE mac_leases SET fence = nextval('mac_fences'), holder = $2, expires_at = now() + $3
		WHERE fence = (SELECT fence FROM mac_leases WHERE segment_id = $1 AND expires_at <= now() ORDER BY first LIMIT 1)
		RETURNING first, last, fence`, p.segment, holder, leaseTime)
	if err != nil {
		return nil, false, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&first, &last, &fence}, func() error { return nil }); err != nil {
		return nil, false, err
	}
	if fence == 0 {
		if p.fresh >= p.size {
			return nil, false, nil
		}
		first, last = p.fresh, min(p.fresh+p.most, p.size)-1
		p.fresh = last + 1
		var b pgx.Batch
		b.Queue(`UPDATE mac_segments SET fresh = $2 WHERE id = $1`, p.segment, p.fresh)
		b.Queue(`INSERT INTO mac_leases (segment_id, first, last, holder, expires_at) VALUES ($1, $2, $3, $4, now() + $5) RETURNING fence`,
			p.segment, first, last, holder, leaseTime).QueryRow(func(row pgx.Row) error { return row.Scan(&fence) })
		if err := p.tx.SendBatch(ctx, &b).Close(); err != nil {
			return nil, false, err
		}
	}
	l := &allocator.Lease{SegmentID: p.segment, Fence: fence}
	if l.Open, err = p.open(ctx, first, last); err != nil {
		return nil, false, err
	}
	if len(l.Open) == 0 {
		_, err = p.tx.Exec(ctx, `DELETE FROM mac_leases WHERE fence = $1`, fence)
	}
	return l, true, err
}

// open returns the addresses that have no row.
func (p *leasePart) open(ctx context.Context, first, last int64) ([]allocator.Place, error) {
	addrs := p.order.Append(make([]mac.Addr, 0, last-first+1), uint64(first), uint64(last))
	rows, err := p.tx.Query(ctx, `SELECT address FROM mac_addresses WHERE address = ANY($1::bigint[])`, numbersOf(addrs))
	if err != nil {
		return nil, err
	}
	used := map[mac.Addr]struct{}{0: {}}
	if err := eachAddr(func(a mac.Addr) { used[a] = struct{}{} })(rows); err != nil {
		return nil, err
	}
	open := make([]allocator.Place, 0, len(addrs))
	for i, a := range addrs {
		if _, taken := used[a]; !taken {
			open = append(open, allocator.Place{Addr: a, Offset: uint32(i)})
		}
	}
	return open, nil
}

// verify forgets leases of segments that are not this process's any more.
func (l *lessor) verify(ctx context.Context, segmentIDs []string) error {
	slices.Sort(segmentIDs)
	for _, id := range slices.Compact(segmentIDs) {
		rows, err := l.conns.Query(ctx, `SELECT fence FROM mac_leases WHERE fence = ANY($1::bigint[]) AND expires_at > now()`, l.pool.Fences(id))
		if err != nil {
			return err
		}
		alive, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		l.pool.Drop(id, alive)
	}
	return nil
}

// known is what is known of a segment that there may be a lease of.
func (l *lessor) known(segmentID string) (leased, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info, ok := l.info[segmentID]
	return info, ok
}

// run keeps the leases until stop.
func (l *lessor) run() {
	defer close(l.done)
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
			if err := l.upkeep(l.ctx); err != nil && l.ctx.Err() == nil {
				l.log.Warn("leases of MAC segments were not renewed; it will be tried again", zap.Error(unavailable(err)))
			}
		}
	}
}

// upkeep gives back what is used up or idle, and renews the rest.
func (l *lessor) upkeep(ctx context.Context) error {
	back, renew := l.pool.Upkeep(time.Now().Add(-leaseIdle))
	if err := l.giveBack(ctx, back); err != nil {
		return err
	}
	if len(renew) == 0 {
		return nil
	}
	until := time.Now().Add(leaseTime - leaseMargin)
	rows, err := l.conns.Query(ctx, `
		UPDATE mac_leases SET expires_at = now() + $3 WHERE fence = ANY($1::bigint[]) AND holder = $2 AND expires_at > now() RETURNING fence`,
		renew, l.holder, leaseTime)
	if err != nil {
		return err
	}
	renewed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil {
		l.pool.Renewed(renewed, until)
	}
	return err
}

// giveBack ends leases: of what is left of one the next holder begins where
// this one ended.
func (l *lessor) giveBack(ctx context.Context, back []allocator.Rest) error {
	if len(back) == 0 {
		return nil
	}
	var empty, fences, given []int64
	for _, r := range back {
		if r.Empty {
			empty = append(empty, r.Fence)
		} else {
			fences, given = append(fences, r.Fence), append(given, int64(r.Given))
		}
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM mac_leases WHERE fence = ANY($1::bigint[])`, empty)
	b.Queue(`
		UPDATE mac_leases SET expires_at = now(), first = first + g.given
		FROM unnest($1::bigint[], $2::bigint[]) AS g (fence, given) WHERE mac_leases.fence = g.fence`, fences, given)
	return l.conns.SendBatch(ctx, &b).Close()
}
