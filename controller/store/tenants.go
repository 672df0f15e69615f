package store

import (
	"context"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var tenants = entity[intent.Tenant]{
	kind:    KindTenant,
	table:   "tenants",
	columns: "tenants.id, tenants.id, tenants.name, tenants.description, '{}'::text[], tenants.revision, tenants.created_at, tenants.updated_at, NOT tenants.enabled",
	from:    "tenants",
	visible: "tenants.id = $tenant",
	order:   "tenants.created_at, tenants.id",
	filters: untagged(metaFilters("tenants", map[string]filter{
		"id": byText("tenants.id"), "tenant_id": byText("tenants.id"), "project_id": byText("tenants.id"), "enabled": byBool("tenants.enabled"),
	})),
	sorts: metaSorts("tenants", map[string]string{
		"id": byBytes("tenants.id"), "tenant_id": byBytes("tenants.id"), "project_id": byBytes("tenants.id"), "enabled": "tenants.enabled",
	}),
	scan: func(row pgx.CollectableRow) (t intent.Tenant, err error) {
		return t, row.Scan(append(metaTargets(&t.Meta), &t.Disabled)...)
	},
	textID: true,
}

// Tenants lists tenants.
func (s *Store) Tenants(ctx context.Context, sc Scope, q Query) (list []intent.Tenant, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = tenants.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// Tenant returns one tenant.
func (s *Store) Tenant(ctx context.Context, sc Scope, id string) (t intent.Tenant, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		t, err = tenants.get(ctx, db, sc, id)
		return err
	})
	return t, err
}

// CreateTenants makes tenants, all or none. Without an id they get one.
func (s *Store) CreateTenants(ctx context.Context, sc Scope, in []intent.Tenant) ([]intent.Tenant, error) {
	var out []intent.Tenant
	err := s.write(ctx, func(tx *writeTx) error {
		tx.after = append(tx.after, s.gate.forget)
		out = append([]intent.Tenant(nil), in...)
		for i := range out {
			t := &out[i]
			if t.ID == "" {
				// The form that identity services give to project ids.
				t.ID = strings.ReplaceAll(uuid.NewString(), "-", "")
			}
			t.TenantID = t.ID
			if err := prepareOwned(sc, &t.Meta); err != nil {
				return err
			}
			if err := refuseLockout(sc, t); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, `
				INSERT INTO tenants (id, name, description, enabled) VALUES ($1, $2, $3, $4)
				RETURNING created_at, updated_at`, t.ID, t.Name, t.Description, !t.Disabled).Scan(&t.CreatedAt, &t.UpdatedAt)
			if err != nil {
				return err
			}
			tx.changed(KindTenant, t.ID, t.ID, OpCreate).to(t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateTenant changes name and description of a tenant, and whether it is
// enabled. change may run more than once.
func (s *Store) UpdateTenant(ctx context.Context, sc Scope, id string, change func(*intent.Tenant) error) (intent.Tenant, error) {
	var t intent.Tenant
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := tenants.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		t = old
		if err := change(&t); err != nil {
			return err
		}
		keep(&t.Meta, &old.Meta)
		if reflect.DeepEqual(t, old) {
			return nil
		}
		if err := refuseLockout(sc, &t); err != nil {
			return err
		}
		tx.changed(KindTenant, t.ID, t.ID, OpUpdate).to(&t)
		tx.after = append(tx.after, s.gate.forget)
		return tx.QueryRow(ctx, `
			UPDATE tenants SET name = $2, description = $3, enabled = $4, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, t.ID, t.Name, t.Description, !t.Disabled).Scan(&t.Revision, &t.UpdatedAt)
	})
	return t, err
}

// keep takes back what no caller may change.
func keep(m, old *intent.Meta) {
	name, description, tags := m.Name, m.Description, m.Tags
	*m = *old
	m.Name, m.Description = name, description
	if len(tags)+len(old.Tags) > 0 {
		m.Tags = append([]string{}, tags...)
	}
}

// DeleteTenant deletes a tenant that owns nothing but its unused default
// security group.
func (s *Store) DeleteTenant(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		if _, err := tenants.lock(ctx, tx, sc, id); err != nil {
			return err
		}
		var others int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM security_groups WHERE tenant_id = $1 AND name <> 'default'`, id).Scan(&others); err != nil {
			return err
		}
		if others > 0 {
			return &InUse{KindTenant, id, count(others, "security group")}
		}
		// Whoever gives addresses has looked for the tenant under this lock.
		if err := lockTree(ctx, tx); err != nil {
			return err
		}
		var hasMACs bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mac_addresses WHERE tenant_id = $1 AND state IN ('active', 'reserved'))`, id).Scan(&hasMACs)
		switch {
		case err != nil:
			return err
		case hasMACs:
			return &InUse{KindTenant, id, "MAC addresses"}
		}
		rows, err := tx.Query(ctx, `SELECT id FROM security_groups WHERE tenant_id = $1`, id)
		if err != nil {
			return err
		}
		defaults, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, group := range defaults {
			if err := deleteGroup(ctx, tx, group, id); err != nil {
				return err
			}
		}
		tx.changed(KindTenant, id, id, OpDelete)
		tx.after = append(tx.after, s.gate.forget)
		_, err = tx.Exec(ctx, `DELETE FROM tenants WHERE id = $1`, id)
		return err
	})
}
