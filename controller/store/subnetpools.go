package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var subnetPools = record[intent.SubnetPool]{
	entity: entity[intent.SubnetPool]{
		kind:  KindSubnetPool,
		table: "subnetpools",
		columns: metaColumns("subnetpools") + `, subnetpools.ip_version, subnetpools.default_prefixlen, subnetpools.min_prefixlen, subnetpools.max_prefixlen,
			subnetpools.default_quota, subnetpools.is_default, coalesce(subnetpools.address_scope_id::text, ''), ` + isShared("subnetpools.id") + `,
			ARRAY(SELECT p.prefix FROM subnetpool_prefixes p WHERE p.pool_id = subnetpools.id ORDER BY p.prefix)`,
		from:    "subnetpools",
		visible: ownOrShared("subnetpools", KindSubnetPool),
		owner:   "subnetpools.tenant_id",
		order:   "subnetpools.id",
		filters: metaFilters("subnetpools", map[string]filter{
			"ip_version":        byNumber("subnetpools.ip_version"),
			"default_prefixlen": byNumber("subnetpools.default_prefixlen"),
			"min_prefixlen":     byNumber("subnetpools.min_prefixlen"),
			"max_prefixlen":     byNumber("subnetpools.max_prefixlen"),
			"default_quota":     byNumber("subnetpools.default_quota"),
			"is_default":        byBool("subnetpools.is_default"),
			"shared":            byBool(isShared("subnetpools.id")),
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
				&p.DefaultQuota, &p.IsDefault, &p.ScopeID, &p.Shared, &p.Prefixes)...)
		},
	},
	meta: func(p *intent.SubnetPool) *intent.Meta { return &p.Meta },
	fields: []string{"name", "description", "ip_version", "default_prefixlen", "min_prefixlen", "max_prefixlen",
		"default_quota", "is_default", "address_scope_id"},
	values: func(p *intent.SubnetPool) []any {
		return []any{p.Name, p.Description, p.IPVersion, p.DefaultPrefixLen, p.MinPrefixLen, p.MaxPrefixLen,
			p.DefaultQuota, p.IsDefault, uuidOrNull(p.ScopeID)}
	},
	settle: settleSubnetPool,
	written: func(ctx context.Context, tx *writeTx, p, old *intent.SubnetPool) error {
		if old != nil {
			return nil
		}
		if err := insertPrefixes(ctx, tx, p); err != nil || !p.Shared {
			return err
		}
		return shareWithAll(ctx, tx, KindSubnetPool, p.ID, p.TenantID, intent.AccessAsShared, true)
	},
	leave: func(ctx context.Context, tx *writeTx, _ Scope, p *intent.SubnetPool) error {
		used, err := cutFrom(ctx, tx, p.ID, p.Prefixes)
		if err == nil && used {
			err = &Refused{"SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations."}
		}
		return err
	},
}

// SubnetPools lists subnet pools.
func (s *Store) SubnetPools(ctx context.Context, sc Scope, q Query) ([]intent.SubnetPool, error) {
	return subnetPools.all(ctx, s, sc, q)
}

// SubnetPool returns one subnet pool.
func (s *Store) SubnetPool(ctx context.Context, sc Scope, id string) (intent.SubnetPool, error) {
	return subnetPools.show(ctx, s, sc, id)
}

// CreateSubnetPools makes subnet pools, all or none.
func (s *Store) CreateSubnetPools(ctx context.Context, sc Scope, in []intent.SubnetPool) ([]intent.SubnetPool, error) {
	return subnetPools.create(ctx, s, sc, in)
}

// settleSubnetPool checks a pool, holds its address scope, and writes what has
// changed of its prefixes.
func settleSubnetPool(ctx context.Context, tx *writeTx, sc Scope, p, old *intent.SubnetPool) error {
	if err := checkSubnetPool(p); err != nil {
		return err
	}
	if old == nil {
		return useScope(ctx, tx, sc, p)
	}
	if err := mayRescope(ctx, tx, sc, old); err != nil {
		return err
	}
	if p.IPVersion != old.IPVersion {
		return errMixedPrefixes
	}
	if p.ScopeID != old.ScopeID {
		if err := useScope(ctx, tx, sc, p); err != nil {
			return err
		}
	} else if slices.Equal(p.Prefixes, old.Prefixes) {
		return nil
	}
	if gone := intent.WithoutPrefixes(old.Prefixes, p.Prefixes); len(gone) > 0 {
		used, err := cutFrom(ctx, tx, p.ID, gone)
		if err != nil {
			return err
		}
		if used {
			return &Refused{"IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: subnets of the pool use some of the prefixes."}
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM subnetpool_prefixes WHERE pool_id = $1`, p.ID); err != nil {
		return err
	}
	return insertPrefixes(ctx, tx, p)
}

// mayRescope refuses to change a pool in an address scope of another tenant: what
// its prefixes may be depends on those of others there.
func mayRescope(ctx context.Context, tx *writeTx, sc Scope, p *intent.SubnetPool) error {
	if p.ScopeID == "" || sc.Admin {
		return nil
	}
	var own bool
	err := tx.QueryRow(ctx, `SELECT tenant_id = $2 FROM address_scopes WHERE id = $1`, p.ScopeID, sc.TenantID).Scan(&own)
	if err == nil && !own {
		err = &Refused{"IllegalSubnetPoolUpdate", fmt.Sprintf(
			"Illegal subnetpool update : subnetpool %s cannot be updated when associated with shared address scope %s.", p.ID, p.ScopeID)}
	}
	return err
}

// cutFrom says whether a subnet of a pool has addresses of prefixes.
func cutFrom(ctx context.Context, tx *writeTx, pool string, prefixes []netip.Prefix) (used bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subnets WHERE subnetpool_id = $1 AND cidr && ANY($2::inet[]))`, pool, prefixes).Scan(&used)
	return used, err
}

var errMixedPrefixes = &Refused{"PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool (prefixes)."}

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
			return errMixedPrefixes
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
	if err := addressScopes.use(ctx, tx, sc, []string{p.ScopeID}); err != nil {
		return err
	}
	var version int
	err := tx.QueryRow(ctx, `SELECT ip_version FROM address_scopes WHERE id = $1`, p.ScopeID).Scan(&version)
	switch {
	case err != nil:
		return err
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
	return subnetPools.update(ctx, s, sc, id, func(p *intent.SubnetPool) error {
		before := p.Prefixes
		if err := change(p); err != nil {
			return err
		}
		if !intent.CoversPrefixes(p.Prefixes, before) {
			return &Refused{"IllegalSubnetPoolPrefixUpdate", "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes."}
		}
		return nil
	})
}

// AddPrefixes puts prefixes into a subnet pool.
func (s *Store) AddPrefixes(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.SubnetPool, error) {
	return subnetPools.update(ctx, s, sc, id, func(p *intent.SubnetPool) error {
		p.Prefixes = slices.Concat(p.Prefixes, list)
		return nil
	})
}

// RemovePrefixes takes prefixes out of a subnet pool that no subnet is of.
func (s *Store) RemovePrefixes(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.SubnetPool, error) {
	return subnetPools.update(ctx, s, sc, id, func(p *intent.SubnetPool) error {
		p.Prefixes = intent.WithoutPrefixes(p.Prefixes, list)
		return nil
	})
}

// DeleteSubnetPool deletes a subnet pool that no subnet is of.
func (s *Store) DeleteSubnetPool(ctx context.Context, sc Scope, id string) error {
	return subnetPools.remove(ctx, s, sc, id)
}
