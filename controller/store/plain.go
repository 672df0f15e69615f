package store

import (
	"context"
	"slices"

	"github.com/macloom/macloom/controller/intent"
)

// readList lists the objects of a kind.
func readList[T any](ctx context.Context, s *Store, e *entity[T], sc Scope, q Query) (list []T, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = e.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// readOne returns one object of a kind.
func readOne[T any](ctx context.Context, s *Store, e *entity[T], sc Scope, id string) (v T, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		v, err = e.get(ctx, db, sc, id)
		return err
	})
	return v, err
}

// createAll makes objects of a kind whose insertion needs no more than
// themselves, all or none. in is left as it is; insert may run more than once.
func createAll[T any](ctx context.Context, s *Store, e *entity[T], sc Scope, in []T, meta func(*T) *intent.Meta, insert func(*writeTx, *T) error) ([]T, error) {
	var out []T
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		owners := make([]string, len(out))
		for i := range out {
			m := meta(&out[i])
			if err := prepareMeta(sc, m); err != nil {
				return err
			}
			owners[i] = m.TenantID
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		for i := range out {
			if err := insert(tx, &out[i]); err != nil {
				return err
			}
			tx.changed(e.kind, meta(&out[i]).ID, meta(&out[i]).TenantID, OpCreate)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
