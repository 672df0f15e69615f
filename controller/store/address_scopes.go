package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var addressScopes = record[intent.AddressScope]{
	entity: entity[intent.AddressScope]{
		kind:    KindAddressScope,
		table:   "address_scopes",
		columns: metaColumns("address_scopes") + ", address_scopes.ip_version, " + isShared("address_scopes.id"),
		from:    "address_scopes",
		visible: ownOrShared("address_scopes", KindAddressScope),
		owner:   "address_scopes.tenant_id",
		order:   "address_scopes.id",
		filters: untagged(metaFilters("address_scopes", map[string]filter{
			"ip_version": byNumber("address_scopes.ip_version"),
			"shared":     byBool(isShared("address_scopes.id")),
		})),
		sorts: metaSorts("address_scopes", map[string]string{
			"ip_version": "address_scopes.ip_version",
		}),
		scan: func(row pgx.CollectableRow) (a intent.AddressScope, err error) {
			return a, row.Scan(append(metaTargets(&a.Meta), &a.IPVersion, &a.Shared)...)
		},
	},
	meta:   func(a *intent.AddressScope) *intent.Meta { return &a.Meta },
	fields: []string{"name", "description", "ip_version"},
	values: func(a *intent.AddressScope) []any { return []any{a.Name, a.Description, a.IPVersion} },
	settle: func(_ context.Context, _ *writeTx, _ Scope, a, old *intent.AddressScope) error {
		if old != nil {
			a.IPVersion = old.IPVersion
		}
		return nil
	},
	written: func(ctx context.Context, tx *writeTx, a, old *intent.AddressScope) error {
		if a.Shared == (old != nil && old.Shared) {
			return nil
		}
		return shareWithAll(ctx, tx, KindAddressScope, a.ID, a.TenantID, intent.AccessAsShared, a.Shared)
	},
}

// AddressScopes lists address scopes.
func (s *Store) AddressScopes(ctx context.Context, sc Scope, q Query) ([]intent.AddressScope, error) {
	return addressScopes.all(ctx, s, sc, q)
}

// AddressScope returns one address scope.
func (s *Store) AddressScope(ctx context.Context, sc Scope, id string) (intent.AddressScope, error) {
	return addressScopes.show(ctx, s, sc, id)
}

// CreateAddressScopes makes address scopes, all or none.
func (s *Store) CreateAddressScopes(ctx context.Context, sc Scope, in []intent.AddressScope) ([]intent.AddressScope, error) {
	return addressScopes.create(ctx, s, sc, in)
}

// UpdateAddressScope changes all of an address scope but its family. change
// may run more than once.
func (s *Store) UpdateAddressScope(ctx context.Context, sc Scope, id string, change func(*intent.AddressScope) error) (intent.AddressScope, error) {
	return addressScopes.update(ctx, s, sc, id, change)
}

// DeleteAddressScope deletes an address scope without pools.
func (s *Store) DeleteAddressScope(ctx context.Context, sc Scope, id string) error {
	return addressScopes.remove(ctx, s, sc, id)
}
