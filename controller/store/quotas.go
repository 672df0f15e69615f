package store

import (
	"context"
	"fmt"

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

// SetQuota limits what a tenant may have of a resource; -1 lifts the limit. A
// limit below what is used is allowed: nothing more can be made then.
func (s *Store) SetQuota(ctx context.Context, sc Scope, tenantID string, resource Kind, limit int64) error {
	if !sc.Admin {
		return &NotFound{KindTenant, tenantID}
	}
	return s.write(ctx, func(tx *writeTx) error {
		m := intent.Meta{TenantID: tenantID}
		if err := prepareMeta(sc, &m); err != nil {
			return err
		}
		if err := ensureTenants(ctx, tx, []string{tenantID}); err != nil {
			return err
		}
		if limit == -1 {
			_, err := tx.Exec(ctx, `DELETE FROM quotas WHERE tenant_id = $1 AND resource = $2`, tenantID, string(resource))
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO quotas (tenant_id, resource, "limit") VALUES ($1, $2, $3)
			ON CONFLICT ON CONSTRAINT quotas_pkey DO UPDATE SET "limit" = excluded."limit"`, tenantID, string(resource), limit)
		return err
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
