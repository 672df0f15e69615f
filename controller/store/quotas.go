package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// Quota is how much a tenant may have of a resource, and has.
type Quota struct {
	TenantID string
	Resource Kind  // KindSegment or KindMACAddress
	Limit    int64 // -1: as much as there is
	Used     int64
}

// quotaResources are what is limited.
var quotaResources = []Kind{KindSegment, KindMACAddress}

const usedOf = `
	SELECT CASE $1 WHEN 'mac_segment' THEN (SELECT count(*) FROM mac_segments WHERE tenant_id = t.id)
		ELSE (SELECT coalesce(sum(active + reserved), 0)::bigint FROM mac_usage_now u WHERE u.tenant_id = t.id) END`

// Quotas returns the quotas of a tenant, with what it uses.
func (s *Store) Quotas(ctx context.Context, sc Scope, tenantID string) (list []Quota, err error) {
	if !sc.Admin && tenantID != sc.TenantID {
		return nil, &NotFound{KindTenant, tenantID}
	}
	err = s.read(ctx, func(q querier) error {
		list = nil
		for _, resource := range quotaResources {
			quota := Quota{TenantID: tenantID, Resource: resource}
			err := q.QueryRow(ctx, `
				SELECT coalesce((SELECT "limit" FROM quotas WHERE tenant_id = $2 AND resource = $1), -1), (`+usedOf+` FROM (SELECT $2::text AS id) AS t)`,
				string(resource), tenantID).Scan(&quota.Limit, &quota.Used)
			if err != nil {
				return err
			}
			list = append(list, quota)
		}
		return nil
	})
	return list, err
}

// SetQuotas limits what a tenant may have of resources, all or none; -1 lifts a
// limit. A limit below what is used is allowed: nothing more can be made then.
func (s *Store) SetQuotas(ctx context.Context, sc Scope, tenantID string, limits map[Kind]int64) error {
	if !sc.Admin {
		return &NotFound{KindTenant, tenantID}
	}
	var resources, lifted []string
	var values []int64
	for _, resource := range slices.Sorted(maps.Keys(limits)) {
		if limit := limits[resource]; limit == -1 {
			lifted = append(lifted, string(resource))
		} else {
			resources, values = append(resources, string(resource)), append(values, limit)
		}
	}
	return s.write(ctx, func(tx *writeTx) error {
		m := intent.Meta{TenantID: tenantID}
		if err := prepareMeta(sc, &m); err != nil {
			return err
		}
		if err := ensureTenants(ctx, tx, []string{tenantID}); err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(`DELETE FROM quotas WHERE tenant_id = $1 AND resource = ANY($2::text[])`, tenantID, lifted)
		b.Queue(`
			INSERT INTO quotas (tenant_id, resource, "limit")
			SELECT $1, resource, "limit" FROM unnest($2::text[], $3::bigint[]) AS q (resource, "limit")
			ON CONFLICT ON CONSTRAINT quotas_pkey DO UPDATE SET "limit" = excluded."limit"`, tenantID, resources, values)
		return tx.SendBatch(ctx, &b).Close()
	})
}

// queueLimits reads the quotas of those tenants that have one and holds them,
// so that others that make the same wait until this transaction is counted.
func queueLimits(b *pgx.Batch, resource Kind, tenants []string, limits map[string]int64) {
	b.Queue(`SELECT tenant_id, "limit" FROM quotas WHERE tenant_id = ANY($1::text[]) AND resource = $2 ORDER BY tenant_id FOR UPDATE`,
		tenants, string(resource)).Query(func(rows pgx.Rows) error {
		var tenant string
		var limit int64
		_, err := pgx.ForEachRow(rows, []any{&tenant, &limit}, func() error { limits[tenant] = limit; return nil })
		return err
	})
}

// checkLimits refuses what would be more than the quotas allow. It reads anew:
// since the quotas are held.
func checkLimits(ctx context.Context, tx *writeTx, resource Kind, limits map[string]int64, more map[string]int64) error {
	for tenant, limit := range limits {
		if more[tenant] == 0 {
			continue
		}
		var used int64
		if err := tx.QueryRow(ctx, usedOf+` FROM (SELECT $2::text AS id) AS t`, string(resource), tenant).Scan(&used); err != nil {
			return err
		}
		if used+more[tenant] > limit {
			return &Conflict{"OverQuota", "tenant_id", fmt.Sprintf("Quota exceeded for resources: ['%s']. tenant_id %s has %d of %d", resource, tenant, used, limit)}
		}
	}
	return nil
}
