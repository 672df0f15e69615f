package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

var rbacPolicies = record[intent.RBACPolicy]{
	entity: entity[intent.RBACPolicy]{
		kind:  KindRBACPolicy,
		table: "rbac_policies",
		columns: `rbac_policies.id, rbac_policies.tenant_id, '', '', '{}'::text[], rbac_policies.revision, rbac_policies.created_at, rbac_policies.updated_at,
			rbac_policies.object_type, rbac_policies.object_id, rbac_policies.action, rbac_policies.target`,
		from:    "rbac_policies",
		visible: "rbac_policies.tenant_id = $tenant",
		order:   "rbac_policies.id",
		filters: untagged(metaFilters("rbac_policies", map[string]filter{
			"name": nil, "description": nil,
			"object_type":    byText("rbac_policies.object_type"),
			"object_id":      byUUID("rbac_policies.object_id"),
			"action":         byText("rbac_policies.action"),
			"target_tenant":  byText("rbac_policies.target"),
			"target_project": byText("rbac_policies.target"),
		})),
		sorts: metaSorts("rbac_policies", map[string]string{
			"name": "", "description": "",
			"object_type":    byBytes("rbac_policies.object_type"),
			"object_id":      "rbac_policies.object_id",
			"action":         byBytes("rbac_policies.action"),
			"target_tenant":  byBytes("rbac_policies.target"),
			"target_project": byBytes("rbac_policies.target"),
		}),
		scan: func(row pgx.CollectableRow) (p intent.RBACPolicy, err error) {
			return p, row.Scan(append(metaTargets(&p.Meta), &p.ObjectType, &p.ObjectID, &p.Action, &p.Target)...)
		},
	},
	meta:   func(p *intent.RBACPolicy) *intent.Meta { return &p.Meta },
	fields: []string{"action", "target", "network_id", "security_group_id", "address_group_id", "address_scope_id", "subnetpool_id", "qos_policy_id"},
	values: func(p *intent.RBACPolicy) []any {
		of := func(kind Kind) any {
			if p.ObjectType == string(kind) {
				return p.ObjectID
			}
			return nil
		}
		return []any{p.Action, p.Target, of(KindNetwork), of(KindSecurityGroup), of(KindAddressGroup), of(KindAddressScope), of(KindSubnetPool), of(KindQoSPolicy)}
	},
	settle: settleRBACPolicy,
	written: func(ctx context.Context, tx *writeTx, p, _ *intent.RBACPolicy) error {
		return shared(ctx, tx, p)
	},
}

// settleRBACPolicy checks a new policy, and locks its object.
func settleRBACPolicy(ctx context.Context, tx *writeTx, sc Scope, p, _ *intent.RBACPolicy) error {
	if _, shareable := shares[Kind(p.ObjectType)]; !shareable {
		return &Invalid{"object_type", fmt.Sprintf("object_type '%s' is not a valid RBAC object type", p.ObjectType)}
	}
	if p.Action == intent.AccessAsExternal && p.ObjectType != string(KindNetwork) {
		return &Invalid{"action", fmt.Sprintf("Invalid action '%s' for object type '%s'. Valid actions: access_as_shared", p.Action, p.ObjectType)}
	}
	if !sc.Admin && p.Target == everybody {
		return &Denied{Rule: "create_rbac_policy:target_tenant"}
	}
	owner, err := lockShared(ctx, tx, p)
	if err != nil {
		return err
	}
	if err := manipulable(sc, owner, p); err != nil {
		return err
	}
	return scopeIsShared(ctx, tx, p)
}

// scopeIsShared refuses to share a subnet pool with who may not use its address scope.
func scopeIsShared(ctx context.Context, tx *writeTx, p *intent.RBACPolicy) error {
	if p.ObjectType != string(KindSubnetPool) {
		return nil
	}
	var usable bool
	err := tx.QueryRow(ctx, `
		SELECT address_scope_id IS NULL
			OR EXISTS (SELECT FROM address_scopes WHERE id = address_scope_id AND tenant_id = $2)
			OR EXISTS (SELECT FROM rbac_policies policy WHERE policy.address_scope_id = subnetpools.address_scope_id AND policy.target IN ($2, '*'))
		FROM subnetpools WHERE id = $1`, p.ObjectID, p.Target).Scan(&usable)
	if err == nil && !usable {
		err = &Refused{"RbacPolicyInitError", fmt.Sprintf(
			"Failed to create RBAC policy on object %s because target project doesn't have access to associated address scope.", p.ObjectID)}
	}
	return err
}

// lockShared locks the object of a policy against use by others, and returns
// its owner.
func lockShared(ctx context.Context, tx *writeTx, p *intent.RBACPolicy) (owner string, err error) {
	if err := networks.ref(&p.ObjectID); err != nil { // all of them have UUIDs
		return "", &NotFound{Kind(p.ObjectType), p.ObjectID}
	}
	rows, err := tx.Query(ctx, `SELECT tenant_id FROM `+shares[Kind(p.ObjectType)].table+` WHERE id = $1 FOR UPDATE`, p.ObjectID)
	owner, found, err := one(rows, err, pgx.RowTo[string])
	if err == nil && !found {
		err = &NotFound{Kind(p.ObjectType), p.ObjectID}
	}
	return owner, err
}

// manipulable refuses policies on objects of others.
func manipulable(sc Scope, owner string, p *intent.RBACPolicy) error {
	if sc.Admin || owner == sc.TenantID {
		return nil
	}
	return &Invalid{"object_id", fmt.Sprintf("Only admins can manipulate policies on %s objects which they do not own (object_id)", p.ObjectType)}
}

// shared counts the change of an object by a change of its policies, and
// brings what hangs on them up to date.
func shared(ctx context.Context, tx *writeTx, p *intent.RBACPolicy) error {
	kind := Kind(p.ObjectType)
	external := ""
	if p.Action == intent.AccessAsExternal {
		const leads = `EXISTS (SELECT FROM rbac_policies WHERE network_id = $1 AND action = 'access_as_external')`
		external = `, external = ` + leads + `, is_default = is_default AND ` + leads
	}
	var tenant string
	err := tx.QueryRow(ctx, `UPDATE `+shares[kind].table+` SET revision = revision + 1, updated_at = now()`+external+` WHERE id = $1 RETURNING tenant_id`,
		p.ObjectID).Scan(&tenant)
	tx.changed(kind, p.ObjectID, tenant, OpUpdate)
	return err
}

// RBACPolicies lists policies.
func (s *Store) RBACPolicies(ctx context.Context, sc Scope, q Query) ([]intent.RBACPolicy, error) {
	return rbacPolicies.all(ctx, s, sc, q)
}

// RBACPolicy returns one policy.
func (s *Store) RBACPolicy(ctx context.Context, sc Scope, id string) (intent.RBACPolicy, error) {
	return rbacPolicies.show(ctx, s, sc, id)
}

// CreateRBACPolicies makes policies, all or none. A tenant shares what is its
// own, with single tenants.
func (s *Store) CreateRBACPolicies(ctx context.Context, sc Scope, in []intent.RBACPolicy) ([]intent.RBACPolicy, error) {
	return rbacPolicies.create(ctx, s, sc, in)
}

// UpdateRBACPolicy gives a policy another target, unless the one that it had
// uses the object. change may run more than once.
func (s *Store) UpdateRBACPolicy(ctx context.Context, sc Scope, id string, change func(*intent.RBACPolicy) error) (intent.RBACPolicy, error) {
	var p intent.RBACPolicy
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := holdRBACPolicy(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		p = old
		if err := change(&p); err != nil {
			return err
		}
		target := p.Target
		p = old
		if target == old.Target {
			return nil
		}
		if !sc.Admin && target == everybody {
			return &Denied{Rule: "update_rbac_policy:target_tenant"}
		}
		if err := refuseWithdrawal(ctx, tx, &old); err != nil {
			return err
		}
		p.Target = target
		if err := scopeIsShared(ctx, tx, &p); err != nil {
			return err
		}
		tx.changed(KindRBACPolicy, p.ID, p.TenantID, OpUpdate)
		err = tx.QueryRow(ctx, `
			UPDATE rbac_policies SET target = $2, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, p.ID, p.Target).Scan(&p.Revision, &p.UpdatedAt)
		if err != nil {
			return err
		}
		return shared(ctx, tx, &p)
	})
	return p, err
}

// holdRBACPolicy locks a policy, its object before it.
func holdRBACPolicy(ctx context.Context, tx *writeTx, sc Scope, id string) (p intent.RBACPolicy, err error) {
	if p, err = rbacPolicies.get(ctx, tx, sc, id); err != nil {
		return p, err
	}
	if _, err := lockShared(ctx, tx, &p); err != nil {
		return p, err
	}
	return rbacPolicies.lock(ctx, tx, sc, id)
}

// DeleteRBACPolicy deletes a policy, unless its target uses the object.
func (s *Store) DeleteRBACPolicy(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		p, err := holdRBACPolicy(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := refuseWithdrawal(ctx, tx, &p); err != nil {
			return err
		}
		tx.changed(KindRBACPolicy, p.ID, p.TenantID, OpDelete)
		if _, err := tx.Exec(ctx, `DELETE FROM rbac_policies WHERE id = $1`, p.ID); err != nil {
			return err
		}
		return shared(ctx, tx, &p)
	})
}
