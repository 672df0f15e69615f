package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var addressGroups = record[intent.AddressGroup]{
	entity: entity[intent.AddressGroup]{
		kind:  KindAddressGroup,
		table: "address_groups",
		columns: metaColumns("address_groups") + `,
			ARRAY(SELECT a.address FROM address_group_addresses a WHERE a.group_id = address_groups.id ORDER BY a.address), ` + isShared("address_groups.id"),
		from:    "address_groups",
		visible: ownOrShared("address_groups", KindAddressGroup),
		owner:   "address_groups.tenant_id",
		order:   "address_groups.id",
		filters: untagged(metaFilters("address_groups", nil)),
		sorts:   metaSorts("address_groups", nil),
		scan: func(row pgx.CollectableRow) (g intent.AddressGroup, err error) {
			return g, row.Scan(append(metaTargets(&g.Meta), &g.Addresses, &g.Shared)...)
		},
	},
	meta:   func(g *intent.AddressGroup) *intent.Meta { return &g.Meta },
	fields: []string{"name", "description"},
	values: func(g *intent.AddressGroup) []any { return []any{g.Name, g.Description} },
	settle: func(ctx context.Context, tx *writeTx, _ Scope, g, old *intent.AddressGroup) error {
		g.Addresses = distinctPrefixes(g.Addresses)
		if old == nil {
			return nil
		}
		if gone := prefixesWithout(old.Addresses, g.Addresses); len(gone) > 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM address_group_addresses WHERE group_id = $1 AND address = ANY($2::cidr[])`, g.ID, gone); err != nil {
				return err
			}
		}
		return insertAddresses(ctx, tx, g.ID, prefixesWithout(g.Addresses, old.Addresses))
	},
	written: func(ctx context.Context, tx *writeTx, g, old *intent.AddressGroup) error {
		if old != nil {
			return nil
		}
		return insertAddresses(ctx, tx, g.ID, g.Addresses)
	},
}

// AddressGroups lists address groups.
func (s *Store) AddressGroups(ctx context.Context, sc Scope, q Query) ([]intent.AddressGroup, error) {
	return addressGroups.all(ctx, s, sc, q)
}

// AddressGroup returns one address group.
func (s *Store) AddressGroup(ctx context.Context, sc Scope, id string) (intent.AddressGroup, error) {
	return addressGroups.show(ctx, s, sc, id)
}

// CreateAddressGroups makes address groups, all or none.
func (s *Store) CreateAddressGroups(ctx context.Context, sc Scope, in []intent.AddressGroup) ([]intent.AddressGroup, error) {
	return addressGroups.create(ctx, s, sc, in)
}

// distinctPrefixes sorts prefixes as the database does.
func distinctPrefixes(list []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = p.Masked()
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().BitLen() - b.Addr().BitLen(); c != 0 {
			return c
		}
		return comparePrefix(a, b)
	})
	return slices.Compact(out)
}

// comparePrefix is the order of cidr within a family: first by the bits that
// both have, then by length.
func comparePrefix(a, b netip.Prefix) int {
	bits := min(a.Bits(), b.Bits())
	short, other := netip.PrefixFrom(a.Addr(), bits).Masked(), netip.PrefixFrom(b.Addr(), bits).Masked()
	if c := short.Addr().Compare(other.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func insertAddresses(ctx context.Context, tx *writeTx, group string, list []netip.Prefix) error {
	if len(list) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO address_group_addresses (group_id, address) SELECT $1, unnest($2::cidr[])`, group, list)
	return err
}

// UpdateAddressGroup changes an address group. change may run more than once.
func (s *Store) UpdateAddressGroup(ctx context.Context, sc Scope, id string, change func(*intent.AddressGroup) error) (intent.AddressGroup, error) {
	return addressGroups.update(ctx, s, sc, id, change)
}

// AddAddresses puts prefixes into an address group that are not in it.
func (s *Store) AddAddresses(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.AddressGroup, error) {
	list = distinctPrefixes(list)
	return s.UpdateAddressGroup(ctx, sc, id, func(g *intent.AddressGroup) error {
		if both := prefixesWithout(list, prefixesWithout(list, g.Addresses)); len(both) > 0 {
			return &Refused{"AddressesAlreadyExist", fmt.Sprintf("Addresses %s already exist in the address group %s.", prefixWords(both), id)}
		}
		g.Addresses = slices.Concat(g.Addresses, list)
		return nil
	})
}

// RemoveAddresses takes prefixes out of an address group that are in it.
func (s *Store) RemoveAddresses(ctx context.Context, sc Scope, id string, list []netip.Prefix) (intent.AddressGroup, error) {
	list = distinctPrefixes(list)
	return s.UpdateAddressGroup(ctx, sc, id, func(g *intent.AddressGroup) error {
		if missing := prefixesWithout(list, g.Addresses); len(missing) > 0 {
			return &NotFound{KindAddresses, prefixWords(missing) + " in " + id}
		}
		g.Addresses = prefixesWithout(g.Addresses, list)
		return nil
	})
}

// prefixesWithout returns what of a is not in b.
func prefixesWithout(a, b []netip.Prefix) []netip.Prefix {
	in := make(map[netip.Prefix]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p netip.Prefix) bool { return in[p] })
}

func prefixWords(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

// DeleteAddressGroup deletes an address group that no rule refers to.
func (s *Store) DeleteAddressGroup(ctx context.Context, sc Scope, id string) error {
	return addressGroups.remove(ctx, s, sc, id)
}
