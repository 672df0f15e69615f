package store

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// VisibleRows are statements that read the ids of what a tenant, $1, sees of
// each kind that can be shared and of their parts.
func VisibleRows() map[Kind]string {
	all := map[Kind]string{}
	add := func(kind Kind, from, table, visible string) {
		var a args
		all[kind] = a.bind(Scope{}, "SELECT "+table+".id FROM "+from+" WHERE "+visible)
	}
	add(KindNetwork, networks.from, networks.table, networks.visible)
	add(KindSubnet, subnets.from, subnets.table, subnets.visible)
	add(KindSecurityGroup, groups.from, groups.table, groups.visible)
	add(KindRule, rules.from, rules.table, rules.visible)
	add(KindAddressGroup, addressGroups.from, addressGroups.table, addressGroups.visible)
	add(KindAddressScope, addressScopes.from, addressScopes.table, addressScopes.visible)
	add(KindSubnetPool, subnetPools.from, subnetPools.table, subnetPools.visible)
	add(KindQoSPolicy, qosPolicies.from, qosPolicies.table, qosPolicies.visible)
	return all
}

// PortList is the statement that lists the ports that somebody sees.
func PortList(s *Store, ctx context.Context, sc Scope) string {
	sql, _, err := ports.selection(ctx, s.pool, sc, Query{})
	if err != nil {
		return err.Error()
	}
	return sql
}

// ExplainPorts is the plan of a list of ports as the server makes it for any
// values.
func (s *Store) ExplainPorts(ctx context.Context, sc Scope, query Query) (string, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	sql, a, err := ports.selection(ctx, conn, sc, query)
	if err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "PREPARE list AS "+sql); err != nil {
		return "", err
	}
	explain := "EXPLAIN (COSTS OFF) EXECUTE list"
	if len(a) > 0 {
		explain += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", len(a)), ", ") + ")"
	}
	rows, err := conn.Query(ctx, explain, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "DEALLOCATE list")
	return strings.Join(lines, "\n"), err
}

// What takes arrays apart.
var (
	ReadUUIDs    = readUUIDs
	ReadFixedIPs = readFixedIPs
)
