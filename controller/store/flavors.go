package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var serviceProfiles = record[intent.ServiceProfile]{
	entity: entity[intent.ServiceProfile]{
		kind:  KindServiceProfile,
		table: "service_profiles",
		columns: `service_profiles.id, '', '', service_profiles.description, '{}'::text[], service_profiles.revision,
			service_profiles.created_at, service_profiles.updated_at, service_profiles.driver, service_profiles.metainfo, service_profiles.enabled`,
		from:    "service_profiles",
		visible: "true",
		order:   "service_profiles.id",
		filters: untagged(metaFilters("service_profiles", map[string]filter{
			"tenant_id": nil, "project_id": nil, "name": nil,
			"driver":   byText("service_profiles.driver"),
			"metainfo": byText("service_profiles.metainfo"),
			"enabled":  byBool("service_profiles.enabled"),
		})),
		sorts: metaSorts("service_profiles", map[string]string{
			"tenant_id": "", "project_id": "", "name": "",
			"driver":   byBytes("service_profiles.driver"),
			"metainfo": byBytes("service_profiles.metainfo"),
			"enabled":  "service_profiles.enabled",
		}),
		scan: func(row pgx.CollectableRow) (p intent.ServiceProfile, err error) {
			return p, row.Scan(append(metaTargets(&p.Meta), &p.Driver, &p.MetaInfo, &p.Enabled)...)
		},
	},
	meta:      func(p *intent.ServiceProfile) *intent.Meta { return &p.Meta },
	fields:    []string{"description", "driver", "metainfo", "enabled"},
	values:    func(p *intent.ServiceProfile) []any { return []any{p.Description, p.Driver, p.MetaInfo, p.Enabled} },
	ownerless: true,
}

var flavors = record[intent.Flavor]{
	entity: entity[intent.Flavor]{
		kind:  KindFlavor,
		table: "flavors",
		columns: `flavors.id, '', flavors.name, flavors.description, '{}'::text[], flavors.revision, flavors.created_at, flavors.updated_at,
			flavors.service_type, flavors.enabled, ARRAY(SELECT p.profile_id FROM flavor_profiles p WHERE p.flavor_id = flavors.id ORDER BY p.profile_id)`,
		from:    "flavors",
		visible: "true",
		order:   "flavors.id",
		filters: untagged(metaFilters("flavors", map[string]filter{
			"tenant_id": nil, "project_id": nil,
			"service_type": byText("flavors.service_type"),
			"enabled":      byBool("flavors.enabled"),
		})),
		sorts: metaSorts("flavors", map[string]string{
			"tenant_id": "", "project_id": "",
			"service_type": byBytes("flavors.service_type"),
			"enabled":      "flavors.enabled",
		}),
		scan: func(row pgx.CollectableRow) (f intent.Flavor, err error) {
			return f, row.Scan(append(metaTargets(&f.Meta), &f.ServiceType, &f.Enabled, &f.Profiles)...)
		},
	},
	meta:   func(f *intent.Flavor) *intent.Meta { return &f.Meta },
	fields: []string{"name", "description", "service_type", "enabled"},
	values: func(f *intent.Flavor) []any { return []any{f.Name, f.Description, f.ServiceType, f.Enabled} },
	settle: func(_ context.Context, _ *writeTx, _ Scope, f, old *intent.Flavor) error {
		if old != nil {
			f.ServiceType = old.ServiceType
		}
		f.Profiles = append([]string{}, f.Profiles...)
		for i := range f.Profiles {
			if err := serviceProfiles.ref(&f.Profiles[i]); err != nil {
				return err
			}
		}
		distinct(&f.Profiles)
		return nil
	},
	written: func(ctx context.Context, tx *writeTx, f, old *intent.Flavor) error {
		if old != nil && slices.Equal(f.Profiles, old.Profiles) {
			return nil
		}
		var b pgx.Batch
		b.Queue(`DELETE FROM flavor_profiles WHERE flavor_id = $1`, f.ID)
		b.Queue(`INSERT INTO flavor_profiles (flavor_id, profile_id) SELECT $1, unnest($2::uuid[])`, f.ID, f.Profiles)
		return tx.SendBatch(ctx, &b).Close()
	},
	ownerless: true,
}

// ServiceProfiles lists service profiles.
func (s *Store) ServiceProfiles(ctx context.Context, sc Scope, q Query) ([]intent.ServiceProfile, error) {
	return serviceProfiles.all(ctx, s, sc, q)
}

// ServiceProfile returns one service profile.
func (s *Store) ServiceProfile(ctx context.Context, sc Scope, id string) (intent.ServiceProfile, error) {
	return serviceProfiles.show(ctx, s, sc, id)
}

// CreateServiceProfiles makes service profiles, all or none.
func (s *Store) CreateServiceProfiles(ctx context.Context, sc Scope, in []intent.ServiceProfile) ([]intent.ServiceProfile, error) {
	return serviceProfiles.create(ctx, s, sc, in)
}

// UpdateServiceProfile changes a service profile. change may run more than once.
func (s *Store) UpdateServiceProfile(ctx context.Context, sc Scope, id string, change func(*intent.ServiceProfile) error) (intent.ServiceProfile, error) {
	return serviceProfiles.update(ctx, s, sc, id, change)
}

// DeleteServiceProfile deletes a service profile that no flavor has.
func (s *Store) DeleteServiceProfile(ctx context.Context, sc Scope, id string) error {
	return serviceProfiles.remove(ctx, s, sc, id)
}

// Flavors lists flavors.
func (s *Store) Flavors(ctx context.Context, sc Scope, q Query) ([]intent.Flavor, error) {
	return flavors.all(ctx, s, sc, q)
}

// Flavor returns one flavor.
func (s *Store) Flavor(ctx context.Context, sc Scope, id string) (intent.Flavor, error) {
	return flavors.show(ctx, s, sc, id)
}

// CreateFlavors makes flavors, all or none.
func (s *Store) CreateFlavors(ctx context.Context, sc Scope, in []intent.Flavor) ([]intent.Flavor, error) {
	return flavors.create(ctx, s, sc, in)
}

// UpdateFlavor changes a flavor, but not its service type. change may run more
// than once.
func (s *Store) UpdateFlavor(ctx context.Context, sc Scope, id string, change func(*intent.Flavor) error) (intent.Flavor, error) {
	return flavors.update(ctx, s, sc, id, change)
}

// DeleteFlavor deletes a flavor.
func (s *Store) DeleteFlavor(ctx context.Context, sc Scope, id string) error {
	return flavors.remove(ctx, s, sc, id)
}
