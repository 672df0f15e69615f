package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// expected is the revision that an object must have.
type expected struct {
	id       string
	revision int64
}

type expectedKey struct{}

// WithRevision returns a context in which the object of an id is changed or
// deleted only while it has a revision; else the call fails with
// StaleRevision. The id must be in its canonical form.
func WithRevision(ctx context.Context, id string, revision int64) context.Context {
	return context.WithValue(ctx, expectedKey{}, expected{id, revision})
}

func expectedRevision(ctx context.Context, id string) (int64, bool) {
	e, ok := ctx.Value(expectedKey{}).(expected)
	return e.revision, ok && e.id == id
}

// expect compares the revision of an object that the caller sees with what is
// expected of it, and locks it so that it stays.
func (e *entity[T]) expect(ctx context.Context, tx *writeTx, id string) error {
	want, conditional := expectedRevision(ctx, id)
	if !conditional || e.sorts["revision_number"] == "" { // the kind has none
		return nil
	}
	rows, err := tx.Query(ctx, "SELECT revision FROM "+e.table+" WHERE id = $1 FOR UPDATE", id)
	got, found, err := one(rows, err, pgx.RowTo[int64])
	switch {
	case err != nil:
		return err
	case !found:
		return &NotFound{e.kind, id}
	case got != want:
		return &StaleRevision{Kind: e.kind, ID: id, Expected: want, Current: got}
	}
	return nil
}

// retag writes the tags of an object whose other columns its kind writes.
func (e *entity[T]) retag(ctx context.Context, tx *writeTx, m, old *intent.Meta) error {
	if slices.Equal(m.Tags, old.Tags) {
		return nil
	}
	_, err := tx.Exec(ctx, "UPDATE "+e.table+" SET tags = $2 WHERE id = $1", m.ID, m.Tags)
	return err
}
