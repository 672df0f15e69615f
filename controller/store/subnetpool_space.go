package store

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// DefaultPool asks, as the subnet pool of a new subnet, for the default one of
// its family.
const DefaultPool = "default"

// cutSubnet gives a new subnet of a pool its prefix: the one it names, or the
// best one of the length that it names, or of the pool's. The pool must be held
// until the end of the transaction.
func cutSubnet(ctx context.Context, tx *writeTx, n *NewSubnet, pool *intent.SubnetPool) error {
	used, units, err := cutOf(ctx, tx, pool.ID, n.TenantID)
	if err != nil {
		return err
	}
	bits := n.PrefixLen
	switch {
	case n.CIDR.IsValid():
		bits = n.CIDR.Bits()
	case bits == 0:
		bits = pool.DefaultPrefixLen
	}
	switch {
	case bits < pool.MinPrefixLen:
		return &Refused{"MinPrefixSubnetAllocationError", fmt.Sprintf(
			"Unable to allocate subnet with prefix length %d, minimum allowed prefix is %d.", bits, pool.MinPrefixLen)}
	case bits > pool.MaxPrefixLen:
		return &Refused{"MaxPrefixSubnetAllocationError", fmt.Sprintf(
			"Unable to allocate subnet with prefix length %d, maximum allowed prefix is %d.", bits, pool.MaxPrefixLen)}
	}
	if n.CIDR.IsValid() {
		wanted := []netip.Prefix{n.CIDR.Masked()}
		if !intent.CoversPrefixes(intent.WithoutPrefixes(pool.Prefixes, used), wanted) {
			return &Conflict{"SubnetAllocationError", "cidr",
				fmt.Sprintf("Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes (cidr %s).", n.CIDR.Masked())}
		}
	} else {
		var found bool
		if n.CIDR, found = intent.FreePrefix(pool.Prefixes, used, bits); !found {
			return &Conflict{"SubnetAllocationError", "prefixlen",
				fmt.Sprintf("Failed to allocate subnet: Insufficient prefix space to allocate subnet size /%d (prefixlen).", bits)}
		}
	}
	if pool.DefaultQuota != nil && units+intent.QuotaUnits(n.CIDR) > float64(*pool.DefaultQuota) {
		return &Conflict{"SubnetPoolQuotaExceeded", "subnetpool_id", "Per-tenant subnet pool prefix quota exceeded."}
	}
	return nil
}

// holdPools finds the subnet pools of new subnets, by id, and holds them.
func holdPools(ctx context.Context, tx *writeTx, sc Scope, list []NewSubnet) (map[string]*intent.SubnetPool, error) {
	var ids []string
	for i := range list {
		n := &list[i]
		switch n.PoolID {
		case "":
			continue
		case DefaultPool:
			id, err := defaultPool(ctx, tx, n.IPVersion)
			if err != nil {
				return nil, err
			}
			n.PoolID = id
		}
		if err := subnetPools.ref(&n.PoolID); err != nil {
			return nil, err
		}
		ids = append(ids, n.PoolID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	distinct(&ids)
	if _, err := tx.Exec(ctx, `SELECT FROM subnetpools WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`, ids); err != nil {
		return nil, err
	}
	pools := make(map[string]*intent.SubnetPool, len(ids))
	for _, id := range ids {
		pool, err := subnetPools.get(ctx, tx, sc, id)
		if err != nil {
			return nil, err
		}
		pools[id] = &pool
	}
	for i := range list {
		if n := &list[i]; n.PoolID != "" && pools[n.PoolID].IPVersion != n.IPVersion {
			return nil, &Refused{"BadRequest", fmt.Sprintf("Bad subnets request: ip_version %d is not that of subnetpool_id %s.", n.IPVersion, n.PoolID)}
		}
	}
	return pools, nil
}

// defaultPool is the pool that subnets of a family are cut out of that name
// none.
func defaultPool(ctx context.Context, tx *writeTx, version int) (string, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM subnetpools WHERE is_default AND ip_version = $1`, version)
	id, found, err := one(rows, err, pgx.RowTo[string])
	if err == nil && !found {
		err = &Refused{"BadRequest", fmt.Sprintf("Bad subnets request: No default subnetpool found for IPv%d (use_default_subnetpool).", version)}
	}
	return id, err
}

// cutOf returns the prefixes of the subnets of a pool, and how much of its
// quota those of a tenant take.
func cutOf(ctx context.Context, tx *writeTx, pool, tenant string) (used []netip.Prefix, units float64, err error) {
	rows, err := tx.Query(ctx, `SELECT cidr, tenant_id FROM subnets WHERE subnetpool_id = $1`, pool)
	if err != nil {
		return nil, 0, err
	}
	var p netip.Prefix
	var owner string
	_, err = pgx.ForEachRow(rows, []any{&p, &owner}, func() error {
		used = append(used, p)
		if owner == tenant {
			units += intent.QuotaUnits(p)
		}
		return nil
	})
	return used, units, err
}

// keepAffinity refuses a subnet on a network whose others of the family are of
// another pool, unless both pools are of one address scope.
func keepAffinity(ctx context.Context, tx *writeTx, n *NewSubnet) error {
	var strange, scoped bool
	err := tx.QueryRow(ctx, `
		WITH mine AS (SELECT (SELECT address_scope_id FROM subnetpools WHERE id = $3::uuid) AS scope)
		SELECT coalesce(bool_or(s.subnetpool_id IS DISTINCT FROM $3::uuid AND (mine.scope IS NULL OR p.address_scope_id IS DISTINCT FROM mine.scope)), false),
			coalesce(bool_or(p.address_scope_id IS DISTINCT FROM mine.scope), false)
		FROM mine, subnets s LEFT JOIN subnetpools p ON p.id = s.subnetpool_id
		WHERE s.network_id = $1 AND family(s.cidr) = $2`, n.NetworkID, n.IPVersion, uuidOrNull(n.PoolID)).Scan(&strange, &scoped)
	switch {
	case err != nil:
		return err
	case strange && scoped:
		return &Refused{"NetworkAddressScopeAffinityError", "Subnets of the same address family hosted on the same network must all be allocated from the same address scope (subnetpool_id)."}
	case strange:
		return &Refused{"NetworkSubnetPoolAffinityError", "Subnets hosted on the same network must be allocated from the same subnet pool (subnetpool_id)."}
	}
	return nil
}

// uuidOrNull makes an id that is none a NULL.
func uuidOrNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}
