package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

type requestIDKey struct{}

// WithRequestID returns a context whose changes are recorded under a request
// id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// writeAttempts bounds how often a transaction is tried again when PostgreSQL
// broke it off for the sake of another one.
const writeAttempts = 5

// errAgain ends a transaction that met a change of others it can take into
// account by starting over.
var errAgain = errors.New("store: the transaction must be tried again")

// writeTx is a transaction that records what it changes.
type writeTx struct {
	pgx.Tx
	changes []Change
	// after runs when the transaction has ended either way.
	after []func()
}

// changed notes a change for the feed.
func (tx *writeTx) changed(kind Kind, id, tenant string, op Op) {
	tx.changes = append(tx.changes, Change{Kind: kind, ID: id, TenantID: tenant, Op: op})
}

// write runs fn in a transaction with the outbox rows of what it changed. fn
// may run several times.
func (s *Store) write(ctx context.Context, fn func(*writeTx) error) error {
	var err error
	for attempt := range writeAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
		if err = s.writeOnce(ctx, fn); !again(err) {
			break
		}
	}
	return mapError(err)
}

func (s *Store) writeOnce(ctx context.Context, fn func(*writeTx) error) error {
	pgtx, err := s.pool.Begin(ctx)
	if err != nil {
		// Idle connections may be left from before a restart of the server:
		// nothing was sent yet, so a fresh one may be tried.
		if isUnavailable(err) {
			s.pool.Reset()
			pgtx, err = s.pool.Begin(ctx)
		}
		if err != nil {
			return err
		}
	}
	tx := &writeTx{Tx: pgtx}
	defer func() {
		for _, f := range tx.after {
			f()
		}
	}()
	// Rolling back a finished transaction does nothing; and it must happen
	// when ctx has ended too.
	defer func() { _ = pgtx.Rollback(context.WithoutCancel(ctx)) }()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.record(ctx); err != nil {
		return err
	}
	if err := pgtx.Commit(ctx); err != nil {
		return err
	}
	if len(tx.changes) > 0 {
		s.feed.poke()
	}
	return nil
}

// record writes the outbox rows.
func (tx *writeTx) record(ctx context.Context) error {
	if len(tx.changes) == 0 {
		return nil
	}
	n := len(tx.changes)
	kinds, ids, tenants, ops := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, c := range tx.changes {
		kinds[i], ids[i], tenants[i], ops[i] = string(c.Kind), c.ID, c.TenantID, string(c.Op)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO outbox (kind, object_id, tenant_id, op, request_id)
		SELECT kind, object_id, tenant_id, op, $5
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS c (kind, object_id, tenant_id, op)`,
		kinds, ids, tenants, ops, requestID(ctx))
	return err
}

// read runs fn outside of a transaction, again when the connection turns out
// to be a dead one of before a restart of the server.
func (s *Store) read(ctx context.Context, fn func(querier) error) error {
	err := fn(s.pool)
	if isUnavailable(err) && ctx.Err() == nil {
		s.pool.Reset()
		err = fn(s.pool)
	}
	return mapError(err)
}

// pause waits a little, the longer the later the attempt, and never in step
// with others.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(time.Duration(1+rand.IntN(10*attempt)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// one collects the rows of a query that has at most one: missing says there
// was none.
func one[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T]) (v T, found bool, _ error) {
	if err != nil {
		return v, false, err
	}
	v, err = pgx.CollectOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}
