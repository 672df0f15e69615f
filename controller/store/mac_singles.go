package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/allocator"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// singles groups requests for one address each that come at the same time: they
// share a statement and its commit. Each of them is whole or not done on its
// own; one that is anything but plain goes the long way, in a transaction of
// its own.
type singles struct {
	mu      sync.Mutex
	waiting []*single
	flights int
}

// single is a request that waits for its address.
type single struct {
	row   macRow
	claim allocator.Claim
	done  chan struct{}
	made  bool
	err   error
}

const (
	// maxFlights statements are under way at a time, with at most flightSize
	// rows each.
	maxFlights = 2
	flightSize = 512

	// flightTime bounds a statement: it belongs to several callers and so must
	// not end with one of them.
	flightTime = 15 * time.Second
)

// allocate serves a request; done is false for one that must go the long way.
func (g *singles) allocate(ctx context.Context, s *Store, sc Scope, req MACRequest) (_ []intent.MACAddress, done bool, _ error) {
	plain := req.Count == 1 && req.Addr == 0 && req.SegmentID != "" && req.NetworkID == "" && len(req.DeviceID) <= 255 &&
		held(ctx) == nil
	if !plain || ctx.Err() != nil {
		return nil, false, nil
	}
	claims := s.leases.pool.Take(req.SegmentID, 1)
	if len(claims) == 0 {
		if more, err := s.leases.acquire(ctx, req.SegmentID, 1); err != nil || !more {
			return nil, false, nil // the long way finds out why
		}
		if claims = s.leases.pool.Take(req.SegmentID, 1); len(claims) == 0 {
			return nil, false, nil
		}
	}
	w := &single{row: req.row(ctx), claim: claims[0], done: make(chan struct{})}
	seg, known := s.leases.known(req.SegmentID)
	serves := known && (seg.tenant == req.TenantID || seg.tenant == "" && (seg.shared || sc.Admin))
	if !serves || seg.strategy == mac.InstanceHash && req.DeviceID != "" {
		s.leases.pool.Return(w.claim)
		return nil, false, nil
	}
	w.row.addr, w.row.fence = w.claim.Addr, w.claim.Fence()
	g.fly(s, w)
	<-w.done
	switch {
	case w.err != nil:
		return nil, true, mapError(w.err)
	case !w.made:
		_ = s.leases.verify(ctx, []string{req.SegmentID}) // if it fails, the long way says so
		return nil, false, nil
	}
	return []intent.MACAddress{w.row.address(time.Now())}, true, nil
}

// fly puts a request in line and sees to it that somebody serves the line.
func (g *singles) fly(s *Store, w *single) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, w)
	if g.flights < maxFlights {
		g.flights++
		go g.serve(s)
	}
}

func (g *singles) serve(s *Store) {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), flightSize)
		if n == 0 {
			g.flights--
			g.mu.Unlock()
			return
		}
		group := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		if len(g.waiting) == 0 {
			g.waiting = nil
		}
		g.mu.Unlock()
		err := s.assignSingles(group)
		for _, w := range group {
			if w.err = err; err != nil && len(group) > 1 && !isUnavailable(err) {
				w.err = s.assignSingles([]*single{w}) // what is wrong with one is not the others' matter
			}
			if w.made {
				s.leases.pool.Done(w.claim)
			} else {
				s.leases.pool.Return(w.claim)
			}
			close(w.done)
		}
	}
}

// assignSingles leaves out whose tenant is new or has a quota: that is for the
// long way. The two statements make one transaction, in one round trip.
var assignSingles = assignRows(` AND EXISTS (SELECT FROM tenants t WHERE t.id = want.tenant_id)
		AND NOT EXISTS (SELECT FROM quotas q WHERE q.tenant_id = want.tenant_id AND q.resource = 'mac_address')`)

func (s *Store) assignSingles(group []*single) error {
	ctx, cancel := context.WithTimeout(context.Background(), flightTime)
	defer cancel()
	rows := make([]macRow, len(group))
	at := make(map[mac.Addr]*single, len(group))
	byKind := map[intent.MACEventKind][]macRow{}
	for i, w := range group {
		rows[i] = w.row
		at[w.row.addr] = w
		kind := intent.MACAllocated
		if w.row.state == intent.MACReserved {
			kind = intent.MACHeld
		}
		byKind[kind] = append(byKind[kind], w.row)
	}
	send := func() error {
		var b pgx.Batch
		b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, lockSegments)
		for kind, list := range byKind {
			b.Queue(assignSingles, append(macArgs(list), string(kind))...).Query(eachAddr(func(a mac.Addr) { at[a].made = true }))
		}
		return s.pool.SendBatch(ctx, &b).Close()
	}
	err := send()
	if again(err) {
		err = send()
	}
	if err != nil {
		// Nothing of the group was made, or (the answer being lost) nobody knows.
		for _, w := range group {
			w.made = false
		}
	}
	return err
}
