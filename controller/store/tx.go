package store

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
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

// writeTx is a transaction that records what it changes. It begins with its
// first statement and in the same round trip.
type writeTx struct {
	conn    *pgxpool.Conn
	begun   bool
	retried bool      // what it is to do was begun before, and undone
	last    pgx.Batch // statements that can wait for the round trip of its end
	changes []noted
	spent   map[spending]struct{}
	quotaOf func(Kind) int64
	ending
	// For the audit log: how it tells objects, and what they were before.
	describe Describer
	seen     map[objectKey]any
	// after runs when the transaction has ended; not committed may also mean
	// that the answer of the server was lost.
	after     []func(committed bool)
	committed bool

	// Of a transaction that several calls are parts of: see Once.
	parts  int   // how many are done
	told   bool  // one of them has rows in the outbox
	failed error // why parts that were done are undone
}

const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

// SendBatch runs statements in one round trip.
func (tx *writeTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if !tx.begun {
		tx.begun = true
		b.QueuedQueries = slices.Insert(b.QueuedQueries, 0, &pgx.QueuedQuery{SQL: begin})
	}
	return tx.conn.SendBatch(ctx, b)
}

// Exec runs a statement without rows.
func (tx *writeTx) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = tx.single(ctx, func() error { tag, err = tx.conn.Exec(ctx, sql, args...); return err })
	return tag, err
}

// Query runs a statement.
func (tx *writeTx) Query(ctx context.Context, sql string, args ...any) (rows pgx.Rows, err error) {
	err = tx.single(ctx, func() error { rows, err = tx.conn.Query(ctx, sql, args...); return err })
	return rows, err
}

// QueryRow runs a statement of one row.
func (tx *writeTx) QueryRow(ctx context.Context, sql string, args ...any) (row pgx.Row) {
	err := tx.single(ctx, func() error { row = tx.conn.QueryRow(ctx, sql, args...); return nil })
	if err != nil {
		return failedRow{err}
	}
	return row
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// single runs a statement that is no part of a batch.
func (tx *writeTx) single(ctx context.Context, run func() error) error {
	if !tx.begun {
		if _, err := tx.conn.Exec(ctx, begin); err != nil {
			return err
		}
		tx.begun = true
	}
	return run()
}

// commit ends the transaction, after what is to be done at its end; all of it
// is one round trip.
func (tx *writeTx) commit(ctx context.Context) error {
	var b pgx.Batch
	if err := tx.queueEnd(ctx, &b); err != nil {
		return err
	}
	return tx.end(ctx, &b)
}

// queueEnd adds what a transaction writes at its end to a batch.
func (tx *writeTx) queueEnd(ctx context.Context, b *pgx.Batch) error {
	if err := tx.complete(ctx); err != nil {
		return err
	}
	b.QueuedQueries = append(b.QueuedQueries, tx.last.QueuedQueries...)
	tx.queueQuotas(b)
	tx.queueRecord(ctx, b)
	tx.ending.queue(b)
	return nil
}

// end commits after the statements of a batch.
func (tx *writeTx) end(ctx context.Context, b *pgx.Batch) error {
	if !tx.begun && b.Len() == 0 {
		return nil
	}
	b.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	return tx.SendBatch(ctx, b).Close()
}

// leave gives the connection back, without a transaction on it.
func (tx *writeTx) leave(ctx context.Context) {
	if status := tx.conn.Conn().PgConn().TxStatus(); status != 'I' && !tx.conn.Conn().IsClosed() {
		// If this fails, the pool sees the open transaction and drops the
		// connection. It must be tried when ctx has ended too, but not for ever.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_, _ = tx.conn.Exec(ctx, "ROLLBACK")
	}
	tx.conn.Release()
	for _, f := range tx.after {
		f(tx.committed)
	}
}

const rollbackTimeout = 5 * time.Second

// changed notes a change for the feed and the audit log.
func (tx *writeTx) changed(kind Kind, id, tenant string, op Op) *noted {
	tx.changes = append(tx.changes, noted{Change: Change{Kind: kind, ID: id, TenantID: tenant, Op: op}})
	return &tx.changes[len(tx.changes)-1]
}

// write runs fn in a transaction with the outbox rows of what it changed. fn
// may run several times: when PostgreSQL breaks the transaction off for the
// sake of another one, and once when the connection turns out to be lost before
// the commit, as those are that lay idle while the server was restarted.
func (s *Store) write(ctx context.Context, fn func(*writeTx) error) error {
	if tx := held(ctx); tx != nil {
		return s.writeHeld(ctx, tx, fn)
	}
	var err error
	for attempt := range writeAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
		var lost bool
		lost, err = s.writeOnce(ctx, attempt > 0, fn)
		if lost {
			s.pool.Reset()
		}
		if !again(err) && !(lost && attempt == 0) {
			break
		}
	}
	return mapError(err)
}

// writeOnce says with its error whether the connection was lost before the
// commit, so that the transaction is certainly not done.
func (s *Store) writeOnce(ctx context.Context, retried bool, fn func(*writeTx) error) (lost bool, _ error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	tx := s.newTx(conn)
	tx.retried = retried
	defer tx.leave(ctx)
	if err = fn(tx); err != nil {
		return isUnavailable(err), err
	}
	if err := tx.commit(ctx); err != nil {
		return false, err
	}
	s.ended(tx)
	return false, nil
}

func (s *Store) newTx(conn *pgxpool.Conn) *writeTx {
	tx := &writeTx{conn: conn, quotaOf: s.quotaOf}
	if d := s.describer.Load(); d != nil {
		tx.describe = *d
	}
	return tx
}

// ended sees to what follows a commit.
func (s *Store) ended(tx *writeTx) {
	tx.committed = true
	if tx.told || len(tx.changes) > 0 {
		s.feed.poke()
	}
}

// queueRecord adds the outbox rows and those of the audit log to a batch.
func (tx *writeTx) queueRecord(ctx context.Context, b *pgx.Batch) {
	n := len(tx.changes)
	if n == 0 {
		return
	}
	audits := tx.audit()
	if c := &tx.changes[0]; n == 1 && len(audits) == 1 { // as most are: cheaper than lists, and than two statements
		b.Queue(`
			WITH fed AS (
				INSERT INTO outbox (kind, object_id, tenant_id, op, request_id) VALUES ($1, $2, $3, $4, $5))
			INSERT INTO audit_log (kind, object_id, tenant_id, op, request_id, actor, was, became)
			VALUES ($1, $2, $3, $4, $5, $6, nullif($7, '')::json, nullif($8, '')::json)`,
			string(c.Kind), c.ID, c.TenantID, string(c.Op), requestID(ctx), Actor(ctx), audits[0].was, audits[0].became)
		return
	}
	kinds, ids, tenants, ops, requests := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range tx.changes {
		c := &tx.changes[i]
		kinds[i], ids[i], tenants[i], ops[i], requests[i] = string(c.Kind), c.ID, c.TenantID, string(c.Op), cmp.Or(c.request, requestID(ctx))
	}
	b.Queue(`
		INSERT INTO outbox (kind, object_id, tenant_id, op, request_id)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])`,
		kinds, ids, tenants, ops, requests)
	queueAudit(ctx, b, audits)
}

// read runs fn outside of a transaction, again when the connection turns out
// to be a dead one of before a restart of the server.
func (s *Store) read(ctx context.Context, fn func(querier) error) error {
	if tx := held(ctx); tx != nil {
		return mapError(fn(tx))
	}
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
