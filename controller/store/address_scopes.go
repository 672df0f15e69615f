package store

import (
	"context"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var addressScopes = entity[intent.AddressScope]{
	kind:    KindAddressScope,
	table:   "address_scopes",
	columns: metaColumns("address_scopes") + ", address_scopes.ip_version",
	from:    "address_scopes",
	visible: "address_scopes.tenant_id = $tenant",
	order:   "address_scopes.id",
	filters: metaFilters("address_scopes", map[string]filter{
		"ip_version": byNumber("address_scopes.ip_version"),
	}),
	sorts: metaSorts("address_scopes", map[string]string{
		"ip_version": "address_scopes.ip_version",
	}),
	scan: func(row pgx.CollectableRow) (a intent.AddressScope, err error) {
		return a, row.Scan(append(metaTargets(&a.Meta), &a.IPVersion)...)
	},
}

// AddressScopes lists address scopes.
func (s *Store) AddressScopes(ctx context.Context, sc Scope, q Query) ([]intent.AddressScope, error) {
	return readList(ctx, s, &addressScopes, sc, q)
}

// AddressScope returns one address scope.
func (s *Store) AddressScope(ctx context.Context, sc Scope, id string) (intent.AddressScope, error) {
	return readOne(ctx, s, &addressScopes, sc, id)
}

// CreateAddressScopes makes address scopes, all or none.
func (s *Store) CreateAddressScopes(ctx context.Context, sc Scope, in []intent.AddressScope) ([]intent.AddressScope, error) {
	return createAll(ctx, s, &addressScopes, sc, in, addressScopeMeta, func(tx *writeTx, a *intent.AddressScope) error {
		return tx.QueryRow(ctx, `
			INSERT INTO address_scopes (id, tenant_id, name, description, ip_version) VALUES ($1, $2, $3, $4, $5)
			RETURNING created_at, updated_at`, a.ID, a.TenantID, a.Name, a.Description, a.IPVersion).Scan(&a.CreatedAt, &a.UpdatedAt)
	})
}

func addressScopeMeta(a *intent.AddressScope) *intent.Meta { return &a.Meta }

// UpdateAddressScope changes name and description of an address scope. change
// may run more than once.
func (s *Store) UpdateAddressScope(ctx context.Context, sc Scope, id string, change func(*intent.AddressScope) error) (intent.AddressScope, error) {
	var a intent.AddressScope
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := addressScopes.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		a = old
		if err := change(&a); err != nil {
			return err
		}
		keep(&a.Meta, &old.Meta)
		a.IPVersion = old.IPVersion
		if reflect.DeepEqual(a, old) {
			return nil
		}
		tx.changed(KindAddressScope, a.ID, a.TenantID, OpUpdate)
		return tx.QueryRow(ctx, `
			UPDATE address_scopes SET name = $2, description = $3, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, a.ID, a.Name, a.Description).Scan(&a.Revision, &a.UpdatedAt)
	})
	return a, err
}

// DeleteAddressScope deletes an address scope without pools.
func (s *Store) DeleteAddressScope(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		a, err := addressScopes.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		var used int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM subnetpools WHERE address_scope_id = $1`, a.ID).Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			return &InUse{KindAddressScope, a.ID, count(used, "subnet pool")}
		}
		tx.changed(KindAddressScope, a.ID, a.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM address_scopes WHERE id = $1`, a.ID)
		return err
	})
}
