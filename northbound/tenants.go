package northbound

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func tenants(st *store.Store) *collection[intent.Tenant] {
	meta := func(t *intent.Tenant) *intent.Meta { return &t.Meta }
	own := func(t *intent.Tenant) string { return t.ID }
	return &collection[intent.Tenant]{
		single: "tenant", plural: "tenants", path: "tenants",
		doc: "A tenant is a project of the cloud. One appears by itself when an object is first made for it; " +
			"making it here gives it a name, or a place before it owns anything. A tenant that owns objects cannot be deleted.",
		attributes: append(table[intent.Tenant]{
			stored("id", filled(255), func(t *intent.Tenant) *string { return &t.ID }, access{post: optional, filter: true, sort: true},
				"What the identity service calls it; a UUID is made if none is given."),
			derived("tenant_id", filled(255), own, access{filter: true, sort: true}, "The same as `id`."),
			derived("project_id", filled(255), own, access{filter: true, sort: true}, "The same as `id`."),
			name(meta),
			description(meta),
			mapped("enabled", boolean, func(t *intent.Tenant) bool { return !t.Disabled }, func(t *intent.Tenant, on bool) { t.Disabled = !on }, access{post: optional, put: true, def: `true`, filter: true, sort: true},
				"Whether the tenant's tokens are accepted: those of a disabled one get 403. What it owns works on."),
		}, history(meta)...),
		readBy:  admins,
		writeBy: admins,
		backend: backend[intent.Tenant]{st.Tenants, st.Tenant, st.CreateTenants, st.UpdateTenant, st.DeleteTenant},
	}
}
