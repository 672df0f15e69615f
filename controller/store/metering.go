package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var meteringLabels = record[intent.MeteringLabel]{
	entity: entity[intent.MeteringLabel]{
		kind:    KindMeteringLabel,
		table:   "metering_labels",
		columns: untaggedColumns("metering_labels") + ", metering_labels.shared",
		from:    "metering_labels",
		visible: "metering_labels.tenant_id = $tenant",
		order:   "metering_labels.id",
		filters: untagged(metaFilters("metering_labels", map[string]filter{"shared": byBool("metering_labels.shared")})),
		sorts:   metaSorts("metering_labels", map[string]string{"shared": "metering_labels.shared"}),
		scan: func(row pgx.CollectableRow) (l intent.MeteringLabel, err error) {
			return l, row.Scan(append(metaTargets(&l.Meta), &l.Shared)...)
		},
	},
	meta:   func(l *intent.MeteringLabel) *intent.Meta { return &l.Meta },
	fields: []string{"name", "description", "shared"},
	values: func(l *intent.MeteringLabel) []any { return []any{l.Name, l.Description, l.Shared} },
	leave: func(ctx context.Context, tx *writeTx, _ Scope, l *intent.MeteringLabel) error {
		rules, err := meteringRuleRows.query(ctx, tx, "metering_label_rules.label_id = $1", args{l.ID})
		for i := range rules { // they go with it
			tx.changed(KindMeteringRule, rules[i].ID, rules[i].TenantID, OpDelete).from(&rules[i])
		}
		return err
	},
}

var meteringRuleRows = entity[intent.MeteringRule]{
	kind:  KindMeteringRule,
	table: "metering_label_rules",
	columns: `metering_label_rules.id, metering_label_rules.tenant_id, '', '', '{}'::text[], metering_label_rules.revision,
		metering_label_rules.created_at, metering_label_rules.updated_at,
		metering_label_rules.label_id, metering_label_rules.direction, metering_label_rules.excluded, metering_label_rules.remote_prefix`,
	from:    "metering_label_rules",
	visible: "metering_label_rules.tenant_id = $tenant",
	order:   "metering_label_rules.id",
	filters: untagged(metaFilters("metering_label_rules", map[string]filter{
		"name": nil, "description": nil,
		"metering_label_id": byUUID("metering_label_rules.label_id"),
		"direction":         byText("metering_label_rules.direction"),
		"excluded":          byBool("metering_label_rules.excluded"),
		"remote_ip_prefix":  byPrefix("metering_label_rules.remote_prefix", "cidr"),
	})),
	sorts: metaSorts("metering_label_rules", map[string]string{
		"name": "", "description": "",
		"metering_label_id": "metering_label_rules.label_id",
		"direction":         byBytes("metering_label_rules.direction"),
		"excluded":          "metering_label_rules.excluded",
		"remote_ip_prefix":  "metering_label_rules.remote_prefix",
	}),
	scan: func(row pgx.CollectableRow) (r intent.MeteringRule, err error) {
		return r, row.Scan(append(metaTargets(&r.Meta), &r.LabelID, &r.Direction, &r.Excluded, &r.RemotePrefix)...)
	},
}

var meteringRules = record[intent.MeteringRule]{
	entity: meteringRuleRows,
	meta:   func(r *intent.MeteringRule) *intent.Meta { return &r.Meta },
	fields: []string{"label_id", "direction", "excluded", "remote_prefix"},
	values: func(r *intent.MeteringRule) []any {
		return []any{r.LabelID, r.Direction, r.Excluded, r.RemotePrefix}
	},
	settle: func(ctx context.Context, tx *writeTx, _ Scope, r, _ *intent.MeteringRule) error {
		var overlaps bool
		err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM metering_label_rules
			               WHERE label_id = $1 AND direction = $2 AND excluded = $3 AND remote_prefix && $4::cidr)`,
			r.LabelID, r.Direction, r.Excluded, r.RemotePrefix).Scan(&overlaps)
		if err == nil && overlaps {
			err = &Conflict{"MeteringLabelRuleOverlaps", "remote_ip_prefix", fmt.Sprintf("Metering label rule with remote_ip_prefix '%s' overlaps another.", r.RemotePrefix)}
		}
		return err
	},
	parent: &parent[intent.MeteringRule]{
		kind:  KindMeteringLabel,
		table: "metering_labels",
		id:    func(r *intent.MeteringRule) *string { return &r.LabelID },
		ref:   meteringLabels.ref,
		touch: meteringLabels.touch,
	},
}

// MeteringLabels lists metering labels.
func (s *Store) MeteringLabels(ctx context.Context, sc Scope, q Query) ([]intent.MeteringLabel, error) {
	return meteringLabels.all(ctx, s, sc, q)
}

// MeteringLabel returns one metering label.
func (s *Store) MeteringLabel(ctx context.Context, sc Scope, id string) (intent.MeteringLabel, error) {
	return meteringLabels.show(ctx, s, sc, id)
}

// CreateMeteringLabels makes metering labels, all or none.
func (s *Store) CreateMeteringLabels(ctx context.Context, sc Scope, in []intent.MeteringLabel) ([]intent.MeteringLabel, error) {
	return meteringLabels.create(ctx, s, sc, in)
}

// DeleteMeteringLabel deletes a metering label and its rules.
func (s *Store) DeleteMeteringLabel(ctx context.Context, sc Scope, id string) error {
	return meteringLabels.remove(ctx, s, sc, id)
}

// MeteringRules lists the rules of metering labels.
func (s *Store) MeteringRules(ctx context.Context, sc Scope, q Query) ([]intent.MeteringRule, error) {
	return meteringRules.all(ctx, s, sc, q)
}

// MeteringRule returns one rule.
func (s *Store) MeteringRule(ctx context.Context, sc Scope, id string) (intent.MeteringRule, error) {
	return meteringRules.show(ctx, s, sc, id)
}

// CreateMeteringRules adds rules to metering labels, all or none.
func (s *Store) CreateMeteringRules(ctx context.Context, sc Scope, in []intent.MeteringRule) ([]intent.MeteringRule, error) {
	return meteringRules.create(ctx, s, sc, in)
}

// DeleteMeteringRule takes a rule from its label.
func (s *Store) DeleteMeteringRule(ctx context.Context, sc Scope, id string) error {
	return meteringRules.remove(ctx, s, sc, id)
}
