package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
)

// record is an entity that one row holds, so that one statement writes it.
// Kinds that choose or derive something when they are written have functions
// of their own instead.
type record[T any] struct {
	entity[T]
	meta   func(*T) *intent.Meta
	fields []string       // the columns that values are for, beside id and tenant_id
	values func(*T) []any // what a client can give, and what is fixed at the beginning
	// settle runs before an object is written, old being nil when it is new: it
	// takes back what cannot change, and refuses what does not go with others.
	settle func(ctx context.Context, tx *writeTx, sc Scope, v, old *T) error
	// written runs after the row of an object was written, old being nil when it
	// is new: for what lies in other tables.
	written func(ctx context.Context, tx *writeTx, v, old *T) error
	// leave refuses the deletion of an object, or does what comes before it.
	leave func(ctx context.Context, tx *writeTx, sc Scope, v *T) error

	ownerless bool       // objects belong to the operator
	parent    *parent[T] // nil: none
}

// parent is what an object is a part of: it is locked first, and changes with
// the part.
type parent[T any] struct {
	kind  Kind
	table string
	id    func(*T) *string
	ref   func(id *string) error
	touch func(ctx context.Context, tx *writeTx, sc Scope, ids []string) error
}

// create makes objects, all or none.
func (r *record[T]) create(ctx context.Context, s *Store, sc Scope, in []T) ([]T, error) {
	var out []T
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		if err := r.prepare(ctx, tx, sc, out); err != nil {
			return err
		}
		for i := range out {
			if err := r.insert(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare gives new objects their ids and owners, and locks their parents.
func (r *record[T]) prepare(ctx context.Context, tx *writeTx, sc Scope, list []T) error {
	if r.parent != nil {
		if err := r.adopt(ctx, tx, sc, list); err != nil {
			return err
		}
		sc = Scope{Admin: true} // they are as much the caller's as the parents are
	}
	var owners []string
	for i := range list {
		m := r.meta(&list[i])
		prepare := prepareMeta
		if r.ownerless {
			prepare = prepareOwned
		}
		if err := prepare(sc, m); err != nil {
			return err
		}
		if m.TenantID != "" {
			owners = append(owners, m.TenantID)
		}
	}
	if len(owners) == 0 {
		return nil
	}
	return ensureTenants(ctx, tx, owners)
}

// adopt gives new parts the tenant of their parents.
func (r *record[T]) adopt(ctx context.Context, tx *writeTx, sc Scope, list []T) error {
	var ids []string
	for i := range list {
		id := r.parent.id(&list[i])
		if err := r.parent.ref(id); err != nil {
			return err
		}
		ids = append(ids, *id)
	}
	distinct(&ids)
	if err := r.parent.touch(ctx, tx, sc, ids); err != nil {
		return err
	}
	for i := range list {
		var tenant string
		err := tx.QueryRow(ctx, "SELECT tenant_id FROM "+r.parent.table+" WHERE id = $1", *r.parent.id(&list[i])).Scan(&tenant)
		if err != nil {
			return err
		}
		m := r.meta(&list[i])
		if m.TenantID != "" && m.TenantID != tenant {
			return &Invalid{"tenant_id", fmt.Sprintf("tenant_id is not %s, to whom the %s belongs", tenant, r.parent.kind.Words())}
		}
		m.TenantID = tenant
	}
	return nil
}

func (r *record[T]) insert(ctx context.Context, tx *writeTx, sc Scope, v *T) error {
	if r.settle != nil {
		if err := r.settle(ctx, tx, sc, v, nil); err != nil {
			return err
		}
	}
	m := r.meta(v)
	a := args{m.ID}
	columns, places := []string{"id"}, []string{"$1"}
	if !r.ownerless {
		columns, places = append(columns, "tenant_id"), append(places, a.add(m.TenantID))
	}
	columns = append(columns, r.fields...)
	for _, value := range r.values(v) {
		places = append(places, a.add(value))
	}
	err := tx.QueryRow(ctx, "INSERT INTO "+r.table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(places, ", ")+
		") RETURNING revision, created_at, updated_at", a...).Scan(&m.Revision, &m.CreatedAt, &m.UpdatedAt)
	if err != nil {
		return err
	}
	tx.changed(r.kind, m.ID, m.TenantID, OpCreate).to(v)
	if slices.Contains(QuotaResources, r.kind) {
		tx.spends(r.kind, m.TenantID)
	}
	if r.written == nil {
		return nil
	}
	return r.written(ctx, tx, v, nil)
}

// hold locks an object, its parent before it.
func (r *record[T]) hold(ctx context.Context, tx *writeTx, sc Scope, id string) (v T, err error) {
	if r.parent != nil {
		seen, err := r.get(ctx, tx, sc, id)
		if err != nil {
			return v, err
		}
		if err := r.parent.touch(ctx, tx, Scope{Admin: true}, []string{*r.parent.id(&seen)}); err != nil {
			return v, err
		}
	}
	return r.lock(ctx, tx, sc, id)
}

// update changes an object. change may run more than once.
func (r *record[T]) update(ctx context.Context, s *Store, sc Scope, id string, change func(*T) error) (T, error) {
	var v T
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := r.hold(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		v = old
		if err := change(&v); err != nil {
			return err
		}
		m := r.meta(&v)
		keep(m, r.meta(&old))
		if r.settle != nil {
			if err := r.settle(ctx, tx, sc, &v, &old); err != nil {
				return err
			}
		}
		if reflect.DeepEqual(v, old) {
			return nil
		}
		a := args{m.ID}
		var sets []string
		for i, value := range r.values(&v) {
			sets = append(sets, r.fields[i]+" = "+a.add(value))
		}
		if err := r.retag(ctx, tx, m, r.meta(&old)); err != nil {
			return err
		}
		tx.changed(r.kind, m.ID, m.TenantID, OpUpdate).from(&old).to(&v)
		err = tx.QueryRow(ctx, "UPDATE "+r.table+" SET "+strings.Join(sets, ", ")+
			", revision = revision + 1, updated_at = now() WHERE id = $1 RETURNING revision, updated_at", a...).Scan(&m.Revision, &m.UpdatedAt)
		if err != nil || r.written == nil {
			return err
		}
		return r.written(ctx, tx, &v, &old)
	})
	return v, err
}

// remove deletes an object.
func (r *record[T]) remove(ctx context.Context, s *Store, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		v, err := r.hold(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if r.leave != nil {
			if err := r.leave(ctx, tx, sc, &v); err != nil {
				return err
			}
		}
		m := r.meta(&v)
		if err := unshare(ctx, tx, r.kind, m.ID); err != nil {
			return err
		}
		tx.changed(r.kind, m.ID, m.TenantID, OpDelete).from(&v)
		_, err = tx.Exec(ctx, "DELETE FROM "+r.table+" WHERE id = $1", m.ID)
		return err
	})
}

// all lists what the caller may see.
func (r *record[T]) all(ctx context.Context, s *Store, sc Scope, q Query) (list []T, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = r.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// show returns one object.
func (r *record[T]) show(ctx context.Context, s *Store, sc Scope, id string) (v T, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		v, err = r.get(ctx, db, sc, id)
		return err
	})
	return v, err
}
