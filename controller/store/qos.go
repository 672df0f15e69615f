package store

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// qosPolicyVisible says which policies, and with them which rules, a caller sees.
var qosPolicyVisible = ownOrShared("qos_policies", KindQoSPolicy)

var qosPolicies = record[intent.QoSPolicy]{
	entity: entity[intent.QoSPolicy]{
		kind:    KindQoSPolicy,
		table:   "qos_policies",
		columns: metaColumns("qos_policies") + ", qos_policies.num, qos_policies.is_default, " + isShared("qos_policies.id"),
		from:    "qos_policies",
		visible: qosPolicyVisible,
		owner:   "qos_policies.tenant_id",
		order:   "qos_policies.id",
		filters: metaFilters("qos_policies", map[string]filter{
			"is_default": byBool("qos_policies.is_default"),
			"shared":     byBool(isShared("qos_policies.id")),
		}),
		sorts: metaSorts("qos_policies", nil),
		scan: func(row pgx.CollectableRow) (p intent.QoSPolicy, err error) {
			return p, row.Scan(append(metaTargets(&p.Meta), &p.Num, &p.Default, &p.Shared)...)
		},
		fill: fillQoSRules,
	},
	meta:   func(p *intent.QoSPolicy) *intent.Meta { return &p.Meta },
	fields: []string{"name", "description", "is_default"},
	values: func(p *intent.QoSPolicy) []any { return []any{p.Name, p.Description, p.Default} },
	settle: func(_ context.Context, _ *writeTx, _ Scope, p, old *intent.QoSPolicy) error {
		p.Rules = []intent.QoSRule{}
		if old != nil {
			p.Rules, p.Num = old.Rules, old.Num
		}
		return nil
	},
	written: func(ctx context.Context, tx *writeTx, p, old *intent.QoSPolicy) error {
		if p.Shared == (old != nil && old.Shared) {
			return nil
		}
		return shareWithAll(ctx, tx, KindQoSPolicy, p.ID, p.TenantID, intent.AccessAsShared, p.Shared)
	},
	leave: func(_ context.Context, tx *writeTx, _ Scope, p *intent.QoSPolicy) error {
		for i := range p.Rules { // they go with it
			tx.changed(KindQoSRule, p.Rules[i].ID, p.Rules[i].TenantID, OpDelete).from(&p.Rules[i])
		}
		return nil
	},
}

func fillQoSRules(ctx context.Context, q querier, list []intent.QoSPolicy) error {
	ids := make([]string, len(list))
	at := make(map[string]*intent.QoSPolicy, len(list))
	for i := range list {
		p := &list[i]
		ids[i], at[p.ID] = p.ID, p
		p.Rules = []intent.QoSRule{}
	}
	found, err := qosRuleRows.query(ctx, q, "qos_rules.policy_id = ANY($1::uuid[])", args{ids})
	for _, r := range found {
		at[r.PolicyID].Rules = append(at[r.PolicyID].Rules, r)
	}
	return err
}

// qosRuleRows are seen by whoever sees their policy.
var qosRuleRows = entity[intent.QoSRule]{
	kind:  KindQoSRule,
	table: "qos_rules",
	columns: `qos_rules.id, qos_rules.tenant_id, '', '', '{}'::text[], qos_rules.revision, qos_rules.created_at, qos_rules.updated_at,
		qos_rules.policy_id, qos_rules.kind, qos_rules.direction, qos_rules.rate, qos_rules.burst, qos_rules.dscp, qos_rules.class`,
	from:    "qos_rules JOIN qos_policies ON qos_policies.id = qos_rules.policy_id",
	visible: qosPolicyVisible,
	order:   "qos_rules.id",
	filters: metaFilters("qos_rules", map[string]filter{
		"name": nil, "description": nil,
		"qos_policy_id":  byUUID("qos_rules.policy_id"),
		"type":           byText("qos_rules.kind"),
		"direction":      byText("qos_rules.direction"),
		"max_kbps":       byNumber("qos_rules.rate"),
		"min_kbps":       byNumber("qos_rules.rate"),
		"max_kpps":       byNumber("qos_rules.rate"),
		"min_kpps":       byNumber("qos_rules.rate"),
		"max_burst_kbps": byNumber("qos_rules.burst"),
		"max_burst_kpps": byNumber("qos_rules.burst"),
		"dscp_mark":      byNumber("qos_rules.dscp"),
		"class":          byNumber("qos_rules.class"),
	}),
	sorts: metaSorts("qos_rules", map[string]string{
		"name": "", "description": "",
		"direction":      byBytes("qos_rules.direction"),
		"max_kbps":       "qos_rules.rate",
		"min_kbps":       "qos_rules.rate",
		"max_kpps":       "qos_rules.rate",
		"min_kpps":       "qos_rules.rate",
		"max_burst_kbps": "qos_rules.burst",
		"max_burst_kpps": "qos_rules.burst",
		"dscp_mark":      "qos_rules.dscp",
		"class":          "qos_rules.class",
	}),
	scan: func(row pgx.CollectableRow) (r intent.QoSRule, err error) {
		return r, row.Scan(append(metaTargets(&r.Meta), &r.PolicyID, &r.Kind, &r.Direction, &r.Rate, &r.Burst, &r.DSCP, &r.Class)...)
	},
}

var qosRules = record[intent.QoSRule]{
	entity: qosRuleRows,
	meta:   func(r *intent.QoSRule) *intent.Meta { return &r.Meta },
	fields: []string{"policy_id", "kind", "direction", "rate", "burst", "dscp", "class"},
	values: func(r *intent.QoSRule) []any {
		return []any{r.PolicyID, r.Kind, r.Direction, r.Rate, r.Burst, r.DSCP, r.Class}
	},
	settle: settleQoSRule,
	parent: &parent[intent.QoSRule]{
		kind:  KindQoSPolicy,
		table: "qos_policies",
		id:    func(r *intent.QoSRule) *string { return &r.PolicyID },
		ref:   qosPolicies.ref,
		touch: qosPolicies.touch,
	},
}

// settleQoSRule compares a rule with the others of its policy, which is locked.
func settleQoSRule(ctx context.Context, tx *writeTx, _ Scope, r, old *intent.QoSRule) error {
	if old != nil {
		r.PolicyID, r.Kind = old.PolicyID, old.Kind
	}
	others, err := qosRuleRows.query(ctx, tx, "qos_rules.policy_id = $1 AND qos_rules.id <> $2", args{r.PolicyID, r.ID})
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Direction != r.Direction && o.Direction != intent.AnyDirection && r.Direction != intent.AnyDirection {
			continue
		}
		limited := r.Kind == intent.QoSBandwidthLimit && o.Kind == intent.QoSMinimumBandwidth && r.Rate < o.Rate ||
			r.Kind == intent.QoSMinimumBandwidth && o.Kind == intent.QoSBandwidthLimit && r.Rate > o.Rate ||
			r.Kind == intent.QoSPacketRateLimit && o.Kind == intent.QoSMinimumPacketRate && r.Rate < o.Rate ||
			r.Kind == intent.QoSMinimumPacketRate && o.Kind == intent.QoSPacketRateLimit && r.Rate > o.Rate
		switch {
		case o.Kind == r.Kind:
			return &Conflict{"QoSRulesConflict", "direction", fmt.Sprintf(
				"Rule %s conflicts with rule %s which already exists in QoS Policy %s.", r.Kind, o.ID, r.PolicyID)}
		case limited:
			return &Conflict{"QoSRuleParameterConflict", "", fmt.Sprintf(
				"Unable to add the rule with value %d to the policy %s as the existing rule of type %s has value %d.", r.Rate, r.PolicyID, o.Kind, o.Rate)}
		}
	}
	return qosRuleSupported(ctx, tx, r)
}

// QoSPolicies lists policies with their rules.
func (s *Store) QoSPolicies(ctx context.Context, sc Scope, q Query) ([]intent.QoSPolicy, error) {
	return qosPolicies.all(ctx, s, sc, q)
}

// QoSPolicy returns one policy with its rules.
func (s *Store) QoSPolicy(ctx context.Context, sc Scope, id string) (intent.QoSPolicy, error) {
	return qosPolicies.show(ctx, s, sc, id)
}

// CreateQoSPolicies makes policies without rules, all or none.
func (s *Store) CreateQoSPolicies(ctx context.Context, sc Scope, in []intent.QoSPolicy) ([]intent.QoSPolicy, error) {
	return qosPolicies.create(ctx, s, sc, in)
}

// UpdateQoSPolicy changes a policy, but not its rules. change may run more
// than once.
func (s *Store) UpdateQoSPolicy(ctx context.Context, sc Scope, id string, change func(*intent.QoSPolicy) error) (intent.QoSPolicy, error) {
	return qosPolicies.update(ctx, s, sc, id, change)
}

// DeleteQoSPolicy deletes a policy that no network and no port has, and its
// rules.
func (s *Store) DeleteQoSPolicy(ctx context.Context, sc Scope, id string) error {
	return qosPolicies.remove(ctx, s, sc, id)
}

// QoSRules lists the rules of a kind.
func (s *Store) QoSRules(ctx context.Context, sc Scope, kind intent.QoSRuleKind, q Query) ([]intent.QoSRule, error) {
	q.Filter = maps.Clone(q.Filter)
	if q.Filter == nil {
		q.Filter = map[string][]string{}
	}
	q.Filter["type"] = []string{string(kind)}
	return qosRules.all(ctx, s, sc, q)
}

// QoSRule returns one rule of a kind.
func (s *Store) QoSRule(ctx context.Context, sc Scope, kind intent.QoSRuleKind, id string) (intent.QoSRule, error) {
	r, err := qosRules.show(ctx, s, sc, id)
	if err == nil && r.Kind != kind {
		return intent.QoSRule{}, &NotFound{KindQoSRule, id}
	}
	return r, err
}

// CreateQoSRules adds rules to policies, all or none.
func (s *Store) CreateQoSRules(ctx context.Context, sc Scope, in []intent.QoSRule) ([]intent.QoSRule, error) {
	return qosRules.create(ctx, s, sc, in)
}

// UpdateQoSRule changes a rule of a kind, but neither its policy nor its kind.
// change may run more than once.
func (s *Store) UpdateQoSRule(ctx context.Context, sc Scope, kind intent.QoSRuleKind, id string, change func(*intent.QoSRule) error) (intent.QoSRule, error) {
	return qosRules.update(ctx, s, sc, id, func(r *intent.QoSRule) error {
		if r.Kind != kind {
			return &NotFound{KindQoSRule, id}
		}
		return change(r)
	})
}

// DeleteQoSRule takes a rule of a kind out of its policy.
func (s *Store) DeleteQoSRule(ctx context.Context, sc Scope, kind intent.QoSRuleKind, id string) error {
	if _, err := s.QoSRule(ctx, sc, kind, id); err != nil { // once and for all: the kind of a rule stays
		return err
	}
	return qosRules.remove(ctx, s, sc, id)
}
