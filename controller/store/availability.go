package store

import (
	"context"
	"math/big"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// NetworkAvailability is how many addresses of a network are in use.
type NetworkAvailability struct {
	NetworkID, TenantID, Name string
	Subnets                   []SubnetAvailability
}

// SubnetAvailability is how many addresses of a subnet are in use.
type SubnetAvailability struct {
	ID, Name string
	CIDR     netip.Prefix
	Total    *big.Int // of its allocation pools
	Used     int64    // by ports, in and outside of the pools
}

var availabilities = entity[NetworkAvailability]{
	kind:    KindNetwork,
	table:   "networks",
	columns: "networks.id, networks.tenant_id, networks.name",
	from:    "networks",
	visible: "networks.tenant_id = $tenant",
	order:   "networks.id",
	filters: map[string]filter{
		"network_id":   byUUID("networks.id"),
		"network_name": byText("networks.name"),
		"tenant_id":    byText("networks.tenant_id"),
		"project_id":   byText("networks.tenant_id"),
		"ip_version": func(a *args, attr string, values []string) (string, error) {
			cond, err := byNumber("family(subnets.cidr)")(a, attr, values)
			return "networks.id IN (SELECT subnets.network_id FROM subnets WHERE " + cond + ")", err
		},
	},
	sorts: map[string]string{"network_id": "networks.id"},
	scan: func(row pgx.CollectableRow) (n NetworkAvailability, err error) {
		return n, row.Scan(&n.NetworkID, &n.TenantID, &n.Name)
	},
	fill: fillAvailability,
}

func fillAvailability(ctx context.Context, q querier, list []NetworkAvailability) error {
	ids := make([]string, len(list))
	at := make(map[string]*NetworkAvailability, len(list))
	for i := range list {
		ids[i], at[list[i].NetworkID] = list[i].NetworkID, &list[i]
	}
	rows, err := q.Query(ctx, `
		SELECT network_id, id, name, cidr, (SELECT count(*) FROM fixed_ips WHERE fixed_ips.subnet_id = subnets.id),
			ARRAY(SELECT first FROM subnet_pools p WHERE p.subnet_id = subnets.id ORDER BY first),
			ARRAY(SELECT last FROM subnet_pools p WHERE p.subnet_id = subnets.id ORDER BY first)
		FROM subnets WHERE network_id = ANY($1::uuid[]) ORDER BY subnets.id`, ids)
	if err != nil {
		return err
	}
	var network string
	var s SubnetAvailability
	var first, last []netip.Addr
	_, err = pgx.ForEachRow(rows, []any{&network, &s.ID, &s.Name, &s.CIDR, &s.Used, &first, &last}, func() error {
		s.Total = new(big.Int)
		for i := range first {
			s.Total.Add(s.Total, (intent.Range{First: first[i], Last: last[i]}).Size())
		}
		at[network].Subnets = append(at[network].Subnets, s)
		return nil
	})
	return err
}

// Availabilities lists how many addresses of networks are in use. Where the
// list is filtered by ip_version, only the subnets of these versions count.
func (s *Store) Availabilities(ctx context.Context, sc Scope, q Query) (list []NetworkAvailability, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = availabilities.list(ctx, db, sc, q)
		return err
	})
	if versions, narrowed := q.Filter["ip_version"]; narrowed {
		for i := range list {
			list[i].Subnets = slices.DeleteFunc(list[i].Subnets, func(s SubnetAvailability) bool {
				return !slices.Contains(versions, map[bool]string{true: "4", false: "6"}[s.CIDR.Addr().Is4()])
			})
		}
	}
	return list, err
}

// Availability says how many addresses of one network are in use.
func (s *Store) Availability(ctx context.Context, sc Scope, network string) (n NetworkAvailability, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		n, err = availabilities.get(ctx, db, sc, network)
		return err
	})
	return n, err
}
