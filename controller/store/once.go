package store

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// OnceRequest is a request that a client may send again without its being done
// again.
type OnceRequest struct {
	Key     [32]byte // hash of the caller and the key that it gave
	Content [32]byte // hash of what it asks for
}

// Answer is what a request was answered.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// KeyKept is how long the answers to keys are kept.
const KeyKept = 24 * time.Hour

var (
	// ErrKeyBusy says that a request with the same key is being served.
	ErrKeyBusy = errors.New("store: a request with this key is being served")
	// ErrKeyReused says that the key was given to another request.
	ErrKeyReused = errors.New("store: this key was used for another request")
)

// heldKey is the key of a transaction that several calls are parts of.
type heldKey struct{}

// held is the transaction that a call with this context is a part of; nil:
// none.
func held(ctx context.Context) *writeTx {
	tx, _ := ctx.Value(heldKey{}).(*writeTx)
	return tx
}

// Once serves a request at most once. do serves it, with a context that makes
// all its calls parts of one transaction; in it the answer is written, too. So
// there is either both or, whenever the process ends, neither. Whoever comes
// later with the key gets the answer (replayed), for a day. An answer of 400 or
// above undoes what was done; keep says whether it is written.
//
// do may run more than once.
func (s *Store) Once(ctx context.Context, r OnceRequest, do func(context.Context) (a Answer, keep bool)) (a Answer, replayed bool, err error) {
	for attempt := range writeAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return a, false, err
			}
		}
		var lost bool
		a, replayed, lost, err = s.tryOnce(ctx, r, attempt > 0, do)
		if lost {
			s.pool.Reset()
		}
		if !again(err) && !(lost && attempt == 0) {
			break
		}
	}
	return a, replayed, mapError(err)
}

// tryOnce says with its error whether the connection was lost before anything
// was done.
func (s *Store) tryOnce(ctx context.Context, r OnceRequest, retried bool, do func(context.Context) (Answer, bool)) (a Answer, replayed, lost bool, _ error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return a, false, false, err
	}
	tx := s.newTx(conn)
	tx.retried = retried
	defer tx.leave(ctx)
	var mine, found, same bool
	var b pgx.Batch
	// The lock goes with the transaction, however that ends. It is asked for in
	// a statement of its own, so that the next one sees what its last holder did.
	b.Queue(`SELECT pg_try_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(r.Key[:]))).
		QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
	b.Queue(`SELECT request = $2, status, content_type, answer FROM idempotency_keys WHERE key = $1 AND at > now() - $3::interval`, r.Key[:], r.Content[:], KeyKept).
		Query(func(rows pgx.Rows) (err error) {
			_, err = pgx.ForEachRow(rows, []any{&same, &a.Status, &a.ContentType, &a.Body}, func() error { found = true; return nil })
			return err
		})
	b.Queue(`SAVEPOINT request`)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return a, false, isUnavailable(err), err
	}
	switch {
	case found && same:
		return a, true, false, nil
	case found:
		return a, false, false, ErrKeyReused
	case !mine:
		return a, false, false, ErrKeyBusy
	}
	a, keep := do(context.WithValue(ctx, heldKey{}, tx))
	if tx.failed != nil && again(tx.failed) {
		return a, false, false, tx.failed
	}
	if a.Status >= 400 {
		if !keep {
			return a, false, false, nil
		}
		if err := tx.undo(ctx); err != nil {
			return a, false, false, err
		}
	} else if tx.failed != nil {
		return a, false, false, tx.failed // what was answered is not so
	}
	var end pgx.Batch
	end.Queue(`
		INSERT INTO idempotency_keys (key, request, status, content_type, answer) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE SET
			request = excluded.request, status = excluded.status, content_type = excluded.content_type, answer = excluded.answer, at = excluded.at`,
		r.Key[:], r.Content[:], a.Status, a.ContentType, a.Body)
	if err := tx.end(ctx, &end); err != nil {
		return a, false, false, err
	}
	s.ended(tx)
	return a, false, false, nil
}

// writeHeld runs fn as a part of a transaction that ends later. If it fails, the
// whole is undone; the first part is then tried again as write would.
func (s *Store) writeHeld(ctx context.Context, tx *writeTx, fn func(*writeTx) error) error {
	var err error
	for attempt := range writeAttempts {
		if attempt > 0 {
			tx.retried = true
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
		if err = fn(tx); err == nil {
			err = tx.settle(ctx)
		}
		if err == nil {
			tx.parts++
			return nil
		}
		first := tx.parts == 0
		if undone := tx.undo(ctx); undone != nil {
			return mapError(errors.Join(err, undone))
		}
		if !first {
			tx.failed = err
		}
		if !first || !again(err) {
			break
		}
	}
	return mapError(err)
}

// settle writes what the end of a part says of it: records, counters, quotas.
func (tx *writeTx) settle(ctx context.Context) error {
	var b pgx.Batch
	if err := tx.queueEnd(ctx, &b); err != nil || b.Len() == 0 {
		return err
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	tx.told = tx.told || len(tx.changes) > 0
	tx.changes, tx.spent, tx.ending, tx.seen, tx.last = nil, nil, ending{}, nil, pgx.Batch{}
	return nil
}

// undo takes all parts back.
func (tx *writeTx) undo(ctx context.Context) error {
	for _, f := range tx.after {
		f(false)
	}
	tx.changes, tx.spent, tx.ending, tx.seen, tx.last = nil, nil, ending{}, nil, pgx.Batch{}
	tx.after, tx.told, tx.parts = nil, false, 0
	_, err := tx.conn.Exec(ctx, `ROLLBACK TO SAVEPOINT request`)
	return err
}

// forgetKeys removes answers whose time is over, little at a time.
func forgetKeys(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		tag, err := pool.Exec(ctx, `
			DELETE FROM idempotency_keys WHERE key IN (
				SELECT key FROM idempotency_keys WHERE at < now() - $1::interval ORDER BY at LIMIT $2)`, KeyKept, pruneBatch)
		if err != nil || tag.RowsAffected() < pruneBatch {
			return err
		}
	}
}
