package northbound

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func addressScopes(st *store.Store) *collection[intent.AddressScope] {
	meta := func(a *intent.AddressScope) *intent.Meta { return &a.Meta }
	return &collection[intent.AddressScope]{
		single: "address_scope", plural: "address_scopes", path: "address-scopes",
		doc: "An address scope is one address space: the prefixes of its subnet pools never overlap. It cannot be deleted while it has pools.",
		attributes: standard(meta,
			name(meta),
			stored("ip_version", oneNumber(4, 6), func(a *intent.AddressScope) *int { return &a.IPVersion }, access{post: required, filter: true, sort: true}, "The address family."),
			stored("shared", boolean, func(a *intent.AddressScope) *bool { return &a.Shared }, access{post: optional, put: true, byPost: admins, byPut: admins, def: "false", filter: true},
				"Whether it is shared with the caller. Setting it shares the scope with all tenants."),
		),
		meta: meta,
		check: func(before, a *intent.AddressScope, _ given) error {
			if before != nil && before.Shared && !a.Shared {
				return invalid("AddressScopeUpdateError", "Unable to update address scope %s : Shared address scope can't be unshared.", a.ID)
			}
			return nil
		},
		backend: backend[intent.AddressScope]{st.AddressScopes, st.AddressScope, st.CreateAddressScopes, st.UpdateAddressScope, st.DeleteAddressScope},
	}
}
