package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// Quota is how much a tenant may have of a resource, and has.
type Quota struct {
	Resource Kind
	Limit    int64 // -1: any number
	Used     int64
}

// TenantQuotas are the quotas of a tenant.
type TenantQuotas struct {
	TenantID string
	Quotas   []Quota
}

// QuotaResources are what is limited, in the order of answers. Of routers and
// floating IPs there are none yet; their limits are kept.
var QuotaResources = []Kind{
	KindNetwork, KindSubnet, KindPort, "router", "floatingip", KindSubnetPool, KindSecurityGroup, KindRule, KindRBACPolicy, KindTrunk,
	KindSegment, KindMACAddress, KindMACAllowList,
}

// maxQuota is more than there are addresses.
const maxQuota = 1 << 48

// neutronQuotas are the defaults of Neutron.
const neutronQuotas = "network=100,subnet=100,port=500,router=10,floatingip=50,security_group=10,security_group_rule=100,rbac_policy=10"

// ParseQuotas reads limits such as "port=500,network=100"; "neutron" are those
// of Neutron.
func ParseQuotas(text string) (map[Kind]int64, error) {
	limits := map[Kind]int64{}
	if text == "neutron" {
		text = neutronQuotas
	}
	for pair := range strings.SplitSeq(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		limit, err := strconv.ParseInt(value, 10, 64)
		switch {
		case !slices.Contains(QuotaResources, Kind(name)):
			return nil, fmt.Errorf("there is no quota of %q", name)
		case name == string(KindSegment) || name == string(KindMACAddress):
			return nil, fmt.Errorf("the quota of %s has no default; set it for a tenant", name)
		case err != nil || limit < -1 || limit > maxQuota:
			return nil, fmt.Errorf("%s must be -1, for any number, or a number that is not negative, not %q", name, value)
		}
		limits[Kind(name)] = limit
	}
	return limits, nil
}

// LimitTenants sets what a tenant may have that has no quota of its own. It
// comes before the first change.
func (s *Store) LimitTenants(limits map[Kind]int64) { s.quotas = limits }

// quotaOf is the limit of a resource where a tenant has none of its own.
func (s *Store) quotaOf(resource Kind) int64 {
	if limit, known := s.quotas[resource]; known {
		return limit
	}
	return -1
}

// QuotaDefaults are the quotas of a tenant that has none of its own.
func (s *Store) QuotaDefaults() []Quota {
	var list []Quota
	for _, resource := range QuotaResources {
		list = append(list, Quota{Resource: resource, Limit: s.quotaOf(resource)})
	}
	return list
}

// Quotas returns the quotas of a tenant, with what it uses of each.
func (s *Store) Quotas(ctx context.Context, sc Scope, tenantID string) ([]Quota, error) {
	return s.readQuotas(ctx, sc, tenantID, true)
}

// QuotaLimits returns the quotas of a tenant; Used is not read.
func (s *Store) QuotaLimits(ctx context.Context, sc Scope, tenantID string) ([]Quota, error) {
	return s.readQuotas(ctx, sc, tenantID, false)
}

func (s *Store) readQuotas(ctx context.Context, sc Scope, tenantID string, used bool) (list []Quota, err error) {
	if !sc.Admin && tenantID != sc.TenantID {
		return nil, &NotFound{KindTenant, tenantID}
	}
	defaults := s.QuotaDefaults()
	resources, limits := make([]string, len(defaults)), make([]int64, len(defaults))
	for i, q := range defaults {
		resources[i], limits[i] = string(q.Resource), q.Limit
	}
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `
			SELECT r.resource, coalesce(quotas."limit", r.preset), CASE WHEN $4 THEN quotas_used(r.resource, $1) ELSE 0 END
			FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS r (resource, preset, n)
			LEFT JOIN quotas ON quotas.tenant_id = $1 AND quotas.resource = r.resource ORDER BY r.n`, tenantID, resources, limits, used)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Quota])
		return err
	})
	return list, err
}

// AllQuotas returns the quotas of every tenant that has some of its own.
func (s *Store) AllQuotas(ctx context.Context) ([]TenantQuotas, error) {
	var all []TenantQuotas
	err := s.read(ctx, func(q querier) error {
		all = nil
		rows, err := q.Query(ctx, `SELECT tenant_id, resource, "limit" FROM quotas ORDER BY tenant_id COLLATE "C"`)
		if err != nil {
			return err
		}
		var tenant string
		var own Quota
		_, err = pgx.ForEachRow(rows, []any{&tenant, &own.Resource, &own.Limit}, func() error {
			if n := len(all); n == 0 || all[n-1].TenantID != tenant {
				all = append(all, TenantQuotas{tenant, s.QuotaDefaults()})
			}
			quotas := all[len(all)-1].Quotas
			quotas[slices.IndexFunc(quotas, func(q Quota) bool { return q.Resource == own.Resource })].Limit = own.Limit
			return nil
		})
		return err
	})
	return all, err
}

// SetQuotas limits what a tenant may have of resources, all or none; -1 is any
// number. A limit below what is used is allowed: nothing more can be made then.
func (s *Store) SetQuotas(ctx context.Context, sc Scope, tenantID string, limits map[Kind]int64) error {
	if !sc.Admin {
		return &NotFound{KindTenant, tenantID}
	}
	var resources []string
	var values []int64
	for _, resource := range slices.Sorted(maps.Keys(limits)) {
		resources, values = append(resources, string(resource)), append(values, limits[resource])
	}
	return s.write(ctx, func(tx *writeTx) error {
		m := intent.Meta{TenantID: tenantID}
		if err := prepareMeta(sc, &m); err != nil {
			return err
		}
		if err := ensureTenants(ctx, tx, []string{tenantID}); err != nil {
			return err
		}
		own, err := quotasOf(ctx, tx, tenantID)
		if err != nil {
			return err
		}
		tx.changed(KindQuota, tenantID, tenantID, OpUpdate).from(s.tellQuotas(own, resources)).to(s.tellQuotas(limits, resources))
		_, err = tx.Exec(ctx, `
			INSERT INTO quotas (tenant_id, resource, "limit")
			SELECT $1, resource, "limit" FROM unnest($2::text[], $3::bigint[]) AS q (resource, "limit")
			ON CONFLICT ON CONSTRAINT quotas_pkey DO UPDATE SET "limit" = excluded."limit"`, tenantID, resources, values)
		return err
	})
}

// ResetQuotas gives a tenant the defaults again.
func (s *Store) ResetQuotas(ctx context.Context, sc Scope, tenantID string) error {
	if !sc.Admin {
		return &NotFound{KindTenant, tenantID}
	}
	return s.write(ctx, func(tx *writeTx) error {
		own, err := quotasOf(ctx, tx, tenantID)
		if err != nil || len(own) == 0 {
			return err
		}
		var resources []string
		for _, resource := range slices.Sorted(maps.Keys(own)) {
			resources = append(resources, string(resource))
		}
		tx.changed(KindQuota, tenantID, tenantID, OpUpdate).from(s.tellQuotas(own, resources)).to(s.tellQuotas(nil, resources))
		_, err = tx.Exec(ctx, `DELETE FROM quotas WHERE tenant_id = $1`, tenantID)
		return err
	})
}

// quotasOf reads and holds the quotas that a tenant has of its own.
func quotasOf(ctx context.Context, tx *writeTx, tenantID string) (map[Kind]int64, error) {
	rows, err := tx.Query(ctx, `SELECT resource, "limit" FROM quotas WHERE tenant_id = $1 ORDER BY resource FOR UPDATE`, tenantID)
	if err != nil {
		return nil, err
	}
	own := map[Kind]int64{}
	var resource Kind
	var limit int64
	_, err = pgx.ForEachRow(rows, []any{&resource, &limit}, func() error { own[resource] = limit; return nil })
	return own, err
}

// tellQuotas tells the limits of resources: a tenant's own, else the defaults.
func (s *Store) tellQuotas(own map[Kind]int64, resources []string) []Attribute {
	told := make([]Attribute, len(resources))
	for i, resource := range resources {
		limit, set := own[Kind(resource)]
		if !set {
			limit = s.quotaOf(Kind(resource))
		}
		told[i] = Attribute{Name: resource, JSON: strconv.AppendInt(nil, limit, 10)}
	}
	return told
}

// spending is a resource that a tenant gets more of.
type spending struct {
	tenant   string
	resource Kind
}

// spends notes that a tenant gets more of a resource: whether that is within
// its quota is seen at the end of the transaction, and in its round trip.
func (tx *writeTx) spends(resource Kind, tenant string) {
	if tx.spent == nil {
		tx.spent = map[spending]struct{}{}
	}
	tx.spent[spending{tenant, resource}] = struct{}{}
}

// queueQuotas adds the check of what was made to a batch.
func (tx *writeTx) queueQuotas(b *pgx.Batch) {
	n := len(tx.spent)
	if n == 0 {
		return
	}
	tenants, resources, limits := make([]string, 0, n), make([]string, 0, n), make([]int64, 0, n)
	for spent := range tx.spent {
		tenants, resources, limits = append(tenants, spent.tenant), append(resources, string(spent.resource)), append(limits, tx.quotaOf(spent.resource))
	}
	// The function costs more than to see that nobody is limited.
	b.Queue(`
		SELECT quotas_check($1, $2, $3)
		WHERE $4 OR EXISTS (SELECT FROM quotas WHERE tenant_id = ANY($1::text[]) AND resource = ANY($2::text[]) AND "limit" >= 0)`,
		tenants, resources, limits, slices.Max(limits) >= 0)
}

// overQuota is what quotas_check refuses, in Neutron's words.
func overQuota(resources string) error {
	return &Conflict{"OverQuota", "tenant_id", "Quota exceeded for resources: ['" + strings.Join(strings.Fields(resources), "', '") + "']."}
}

// queueLimits reads the quotas of those tenants that have one and holds them,
// so that others that make the same wait until this transaction is counted.
func queueLimits(b *pgx.Batch, resource Kind, tenants []string, limits map[string]int64) {
	b.Queue(`SELECT tenant_id, "limit" FROM quotas WHERE tenant_id = ANY($1::text[]) AND resource = $2 AND "limit" >= 0 ORDER BY tenant_id FOR UPDATE`,
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
		if err := tx.QueryRow(ctx, `SELECT quotas_used($1, $2)`, string(resource), tenant).Scan(&used); err != nil {
			return err
		}
		if used+more[tenant] > limit {
			return &Conflict{"OverQuota", "tenant_id", fmt.Sprintf("Quota exceeded for resources: ['%s']. tenant_id %s has %d of %d", resource, tenant, used, limit)}
		}
	}
	return nil
}
