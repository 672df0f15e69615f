package store

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var subnetPools = entity[intent.SubnetPool]{
	kind:  KindSubnetPool,
	table: "subnetpools",
	columns: metaColumns("subnetpools") + `, subnetpools.ip_version, subnetpools.default_prefixlen, subnetpools.min_prefixlen, subnetpools.max_prefixlen,
		subnetpools.default_quota, subnetpools.is_default, coalesce(subnetpools.address_scope_id::text, ''),
		ARRAY(SELECT p.prefix FROM subnetpool_prefixes p WHERE p.pool_id = subnetpools.id ORDER BY p.prefix)`,
	from:    "subnetpools",
	visible: "subnetpools.tenant_id = $tenant",
	order:   "subnetpools.id",
	filters: metaFilters("subnetpools", map[string]filter{
		"ip_version":        byNumber("subnetpools.ip_version"),
		"default_prefixlen": byNumber("subnetpools.default_prefixlen"),
		"min_prefixlen":     byNumber("subnetpools.min_prefixlen"),
		"max_prefixlen":     byNumber("subnetpools.max_prefixlen"),
		"default_quota":     byNumber("subnetpools.default_quota"),
		"is_default":        byBool("subnetpools.is_default"),
		"address_scope_id":  byOptionalUUID("subnetpools.address_scope_id"),
	}),
	sorts: metaSorts("subnetpools", map[string]string{
		"ip_version":        "subnetpools.ip_version",
		"default_prefixlen": "subnetpools.default_prefixlen",
		"min_prefixlen":     "subnetpools.min_prefixlen",
		"max_prefixlen":     "subnetpools.max_prefixlen",
		"default_quota":     "coalesce(subnetpools.default_quota, -1)",
		"is_default":        "subnetpools.is_default",
		"address_scope_id":  "coalesce(subnetpools.address_scope_id, '00000000-0000-0000-0000-000000000000')",
	}),
	scan: func(row pgx.CollectableRow) (p intent.SubnetPool, err error) {
		return p, row.Scan(append(metaTargets(&p.Meta), &p.IPVersion, &p.DefaultPrefixLen, &p.MinPrefixLen, &p.MaxPrefixLen,
			&p.DefaultQuota, &p.IsDefault, &p.ScopeID, &p.Prefixes)...)
	},
}

// SubnetPools lists subnet pools.
func (s *Store) SubnetPools(ctx context.Context, sc Scope, q Query) ([]intent.SubnetPool, error) {
	return readList(ctx, s, &subnetPools, sc, q)
}

// SubnetPool returns one subnet pool.
func (s *Store) SubnetPool(ctx context.Context, sc Scope, id string) (intent.SubnetPool, error) {
	return readOne(ctx, s, &subnetPools, sc, id)
}

// CreateSubnetPools makes subnet pools, all or none.
func (s *Store) CreateSubnetPools(ctx context.Context, sc Scope, in []intent.SubnetPool) ([]intent.SubnetPool, error) {
	return createAll(ctx, s, &subnetPools, sc, in, subnetPoolMeta, func(tx *writeTx, p *intent.SubnetPool) error {
		if err := checkSubnetPool(p); err != nil {
			return err
		}
		if err := useScope(ctx, tx, sc, p); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			INSERT INTO subnetpools (id, tenant_id, name, description, ip_version, default_prefixlen, min_prefixlen, max_prefixlen,
				default_quota, is_default, address_scope_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nullif($11, '')::uuid) RETURNING created_at, updated_at`,
			p.ID, p.TenantID, p.Name, p.Description, p.IPVersion, p.DefaultPrefixLen, p.MinPrefixLen, p.MaxPrefixLen,
			p.DefaultQuota, p.IsDefault, p.ScopeID).Scan(&p.CreatedAt, &p.UpdatedAt)
		if err != nil {
			return err
		}
		return insertPrefixes(ctx, tx, p)
	})
}

func subnetPoolMeta(p *intent.SubnetPool) *intent.Meta { return &p.Meta }

// checkSubnetPool makes the prefixes compact and checks what ties the
// attributes together.
func checkSubnetPool(p *intent.SubnetPool) error {
	if len(p.Prefixes) == 0 {
		return &Refused{"EmptySubnetPoolPrefixList", "Empty subnet pool prefix list (prefixes)."}
	}
	p.Prefixes = intent.CompactPrefixes(p.Prefixes)
	p.IPVersion = familyOf(p.Prefixes[0])
	for _, prefix := range p.Prefixes {
		if familyOf(prefix) != p.IPVersion {
			return &Refused{"PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool (prefixes)."}
		}
	}
	// The values of the three lengths in the order in which they must rise.
	type bound struct {
		attr string
		bits int
	}
	rising := []bound{{"min_prefixlen", p.MinPrefixLen}, {"default_prefixlen", p.DefaultPrefixLen}, {"max_prefixlen", p.MaxPrefixLen},
		{"ip_version_max", p.Prefixes[0].Addr().BitLen()}}
	for i, b := range rising[1:] {
		if below := rising[i]; below.bits > b.bits {
			return &Refused{"IllegalSubnetPoolPrefixBounds", fmt.Sprintf("Illegal prefix bounds: %s=%d, %s=%d.", below.attr, below.bits, b.attr, b.bits)}
		}
	}
	return nil
}

func familyOf(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 4
	}
	return 6
}

// useScope makes sure that the caller may use the address scope of a pool, and
// holds it.
func useScope(ctx context.Context, tx *writeTx, sc Scope, p *intent.SubnetPool) error {
	if p.ScopeID == "" {
		return nil
	}
	if err := addressScopes.ref(&p.ScopeID); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		SELECT ip_version FROM address_scopes WHERE id = $1 AND (tenant_id = $2 OR $3) FOR KEY SHARE`, p.ScopeID, sc.TenantID, sc.Admin)
	version, found, err := one(rows, err, pgx.RowTo[int])
	switch {
	case err != nil:
		return err
	case !found:
		return &NotFound{KindAddressScope, p.ScopeID}
	case version != p.IPVersion:
		return &Refused{"IllegalSubnetPoolIpVersionAssociationToAddressScope", fmt.Sprintf(
			"Illegal subnetpool association: subnetpool %s cannot associate with address scope %s because subnetpool ip_version is not %d.", p.ID, p.ScopeID, version)}
	}
	return nil
}

func insertPrefixes(ctx context.Context, tx *writeTx, p *intent.SubnetPool) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO subnetpool_prefixes (pool_id, prefix, address_scope_id)
		SELECT $1, unnest($2::cidr[]), nullif($3, '')::uuid`, p.ID, p.Prefixes, p.ScopeID)
	return err
}

// UpdateSubnetPool changes all of a subnet pool but its family. Its prefixes
// may only grow: see RemovePrefixes. change may run more than once.
func (s *Store) UpdateSubnetPool(ctx context.Context, sc Scope, id string, change func(*intent.SubnetPool) error) (intent.SubnetPool, error) {
	return s.updateSubnetPool(ctx, sc, id, func(_ *writeTx, p, old *intent.SubnetPool) error {
		if err := change(p); err != nil {
			return err
		}
		if !intent.CoversPrefixes(p.Prefixes, old.Prefixes) {
			return &Refused{"IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes."}
		}
		return nil
	})
}

// AddPrefixes puts prefixes into a subnet pool.
func (s *Store) AddPrefixes(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.SubnetPool, error) {
	return s.updateSubnetPool(ctx, sc, id, func(_ *writeTx, p, _ *intent.SubnetPool) error {
		p.Prefixes = append(p.Prefixes, list...)
		return nil
	})
}

// RemovePrefixes takes prefixes out of a subnet pool that no subnet is of.
func (s *Store) RemovePrefixes(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.SubnetPool, error) {
	return s.updateSubnetPool(ctx, sc, id, func(tx *writeTx, p, old *intent.SubnetPool) error {
		var used bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subnets WHERE subnetpool_id = $1 AND cidr && ANY($2::inet[]))`, old.ID, list).Scan(&used)
		if err != nil {
			return err
		}
		if used {
			return &Refused{"IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: One or more prefixes are in use by subnets of the pool."}
		}
		p.Prefixes = intent.WithoutPrefixes(p.Prefixes, list)
		return nil
	})
}

func (s *Store) updateSubnetPool(ctx context.Context, sc Scope, id string, change func(tx *writeTx, p, old *intent.SubnetPool) error) (intent.SubnetPool, error) {
	var p intent.SubnetPool
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := subnetPools.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		p = old
		p.Prefixes = slices.Clone(old.Prefixes)
		if err := change(tx, &p, &old); err != nil {
			return err
		}
		keep(&p.Meta, &old.Meta)
		if err := checkSubnetPool(&p); err != nil {
			return err
		}
		if p.IPVersion != old.IPVersion {
			return &Refused{"PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool (prefixes)."}
		}
		if reflect.DeepEqual(p, old) {
			return nil
		}
		if p.ScopeID != old.ScopeID {
			if err := useScope(ctx, tx, sc, &p); err != nil {
				return err
			}
		}
		if p.ScopeID != old.ScopeID || !slices.Equal(p.Prefixes, old.Prefixes) {
			if _, err := tx.Exec(ctx, `DELETE FROM subnetpool_prefixes WHERE pool_id = $1`, p.ID); err != nil {
				return err
			}
			if err := insertPrefixes(ctx, tx, &p); err != nil {
				return err
			}
		}
		tx.changed(KindSubnetPool, p.ID, p.TenantID, OpUpdate)
		return tx.QueryRow(ctx, `
			UPDATE subnetpools SET name = $2, description = $3, default_prefixlen = $4, min_prefixlen = $5, max_prefixlen = $6,
				default_quota = $7, is_default = $8, address_scope_id = nullif($9, '')::uuid, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`,
			p.ID, p.Name, p.Description, p.DefaultPrefixLen, p.MinPrefixLen, p.MaxPrefixLen, p.DefaultQuota, p.IsDefault, p.ScopeID).
			Scan(&p.Revision, &p.UpdatedAt)
	})
	return p, err
}

// DeleteSubnetPool deletes a subnet pool that no subnet is of.
func (s *Store) DeleteSubnetPool(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		p, err := subnetPools.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		var used bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subnets WHERE subnetpool_id = $1)`, p.ID).Scan(&used); err != nil {
			return err
		}
		if used {
			return &Refused{"SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations."}
		}
		tx.changed(KindSubnetPool, p.ID, p.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM subnetpools WHERE id = $1`, p.ID)
		return err
	})
}
