package northbound

import (
	"net/netip"
	"strconv"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const maxPoolPrefixes = 256

func subnetPools(st *store.Store) *collection[intent.SubnetPool] {
	type pool = intent.SubnetPool
	meta := func(p *pool) *intent.Meta { return &p.Meta }
	length := func(name string, at func(*pool) *int, doc string) attribute[pool] {
		return stored(name, prefixLength, at, access{post: optional, put: true, filter: true, sort: true}, doc)
	}
	c := &collection[pool]{
		single: "subnetpool", plural: "subnetpools", path: "subnetpools", tags: "subnetpools",
		doc: "A subnet pool is a set of prefixes that subnets are cut out of: `POST` of a subnet with `subnetpool_id` and a `prefixlen` or a `cidr`. " +
			"Subnets of a pool never overlap. `PUT …/add_prefixes` and `…/remove_prefixes` take `{\"prefixes\": […]}`.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("prefixes", list(cidr, maxPoolPrefixes), func(p *pool) *[]netip.Prefix { return &p.Prefixes }, access{post: required, put: true},
				"The prefixes of one family, merged where they adjoin; in PUT with all that are there already."),
			derived("ip_version", number[int](4, 6), func(p *pool) int { return p.IPVersion }, access{filter: true, sort: true}, "The address family, that of the prefixes."),
			length("default_prefixlen", func(p *pool) *int { return &p.DefaultPrefixLen }, "Length of a subnet that asks for none; if not given, `min_prefixlen`."),
			length("min_prefixlen", func(p *pool) *int { return &p.MinPrefixLen }, "Shortest prefix of a subnet; if not given, 8, with IPv6 64."),
			length("max_prefixlen", func(p *pool) *int { return &p.MaxPrefixLen }, "Longest prefix of a subnet; if not given, 32, with IPv6 128."),
			stored("default_quota", quotaOrNull, func(p *pool) **int { return &p.DefaultQuota }, access{post: optional, put: true, filter: true, sort: true},
				"How much a tenant may have of it: IPv4 addresses, or /64 of IPv6; null: no limit."),
			stored("address_scope_id", idOrNull, func(p *pool) *string { return &p.ScopeID }, access{post: optional, put: true, filter: true, sort: true},
				"The address scope that it belongs to."),
			stored("is_default", boolean, func(p *pool) *bool { return &p.IsDefault }, access{post: optional, put: true, byPost: admins, byPut: admins, def: "false", filter: true, sort: true},
				"Whether subnets come from it that set `use_default_subnetpool`; one of each family may be."),
			stored("shared", boolean, func(p *pool) *bool { return &p.Shared }, access{post: optional, byPost: admins, def: "false", filter: true},
				"Whether it is shared with the caller. Setting it shares the pool with all tenants."),
		)),
		meta:    meta,
		check:   checkPool,
		backend: backend[pool]{st.SubnetPools, st.SubnetPool, st.CreateSubnetPools, st.UpdateSubnetPool, st.DeleteSubnetPool},
	}
	prefixes, has := list(cidr, maxPoolPrefixes), func(p *pool) []netip.Prefix { return p.Prefixes }
	c.actions = []action{
		memberAction(c, "prefixes", prefixes, has, "add_prefixes", "Puts prefixes into the pool, and answers all that it has.", st.AddPrefixes),
		memberAction(c, "prefixes", prefixes, has, "remove_prefixes", "Takes prefixes out of the pool that no subnet is of, and answers all that it has.", st.RemovePrefixes),
	}
	return c
}

// checkPool fills in what the client left to the server.
func checkPool(before, p *intent.SubnetPool, given given) error {
	if before != nil || len(p.Prefixes) == 0 {
		return nil
	}
	shortest, longest := 8, 32
	if p.Prefixes[0].Addr().Is6() {
		shortest, longest = 64, 128
	}
	if !given["min_prefixlen"] {
		p.MinPrefixLen = shortest
	}
	if !given["max_prefixlen"] {
		p.MaxPrefixLen = longest
	}
	if !given["default_prefixlen"] {
		p.DefaultPrefixLen = p.MinPrefixLen
	}
	return nil
}

// prefixLength is the length of a prefix, which answers show in quotes.
var prefixLength = valueType[int]{
	name:  "integer, 0 to 128, in answers as a string",
	shows: matching("^[0-9]{1,3}$").with(schema{"examples": []any{"24"}}),
	takes: anyOf(between(0, 128), matching(`^([+]?0*(12[0-8]|1[01][0-9]|[1-9]?[0-9])|-0+)$`)),
	parse: func(v any) (int, error) { n, err := readInt(v, 0, 128); return int(n), err },
	append: func(b []byte, n int) []byte {
		b = append(b, '"')
		return append(strconv.AppendInt(b, int64(n), 10), '"')
	},
	filter: number[int](0, 128).filter,
}

// quotaOrNull is a limit, or null.
var quotaOrNull = valueType[*int]{
	name:  "integer, 0 to 2147483647, or null",
	shows: between(0, 1<<31-1).orNull(),
	parse: func(v any) (*int, error) {
		if v == nil {
			return nil, nil
		}
		n, err := readInt(v, 0, 1<<31-1)
		limit := int(n)
		return &limit, err
	},
	append: func(b []byte, n *int) []byte {
		if n == nil {
			return append(b, "null"...)
		}
		return strconv.AppendInt(b, int64(*n), 10)
	},
	filter: number[int](0, 1<<31-1).filter,
}
