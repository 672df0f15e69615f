package store

import "context"

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
