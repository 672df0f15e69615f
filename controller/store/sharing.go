package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// everybody is the target of a policy for all tenants.
const everybody = "*"

// share is what there is to know of a kind whose objects can be shared with
// other tenants by policies.
type share struct {
	table, column string // of the objects; in rbac_policies
	// users are the tenants that make use of an object, $1, in ways that only
	// its owner may or with whom it is shared.
	users string
}

var shares = map[Kind]share{
	KindNetwork: {"networks", "network_id", `SELECT tenant_id FROM ports WHERE network_id = $1 AND network_owner IS NOT NULL`},
	KindSecurityGroup: {"security_groups", "security_group_id", `
		SELECT ports.tenant_id FROM port_security_groups g JOIN ports ON ports.id = g.port_id WHERE g.group_id = $1
		UNION ALL SELECT tenant_id FROM security_group_rules WHERE remote_group_id = $1`},
	KindAddressGroup: {"address_groups", "address_group_id", `SELECT tenant_id FROM security_group_rules WHERE remote_address_group_id = $1`},
	KindAddressScope: {"address_scopes", "address_scope_id", `SELECT tenant_id FROM subnetpools WHERE address_scope_id = $1`},
	KindSubnetPool:   {"subnetpools", "subnetpool_id", `SELECT tenant_id FROM subnets WHERE subnetpool_id = $1`},
	KindQoSPolicy: {"qos_policies", "qos_policy_id", `
		SELECT tenant_id FROM networks WHERE qos_policy_id = $1 UNION ALL SELECT tenant_id FROM ports WHERE qos_policy_id = $1
		UNION ALL SELECT tenant_id FROM mac_segments WHERE qos_policy_id = $1 AND tenant_id IS NOT NULL`},
}

// ownOrShared is the condition of what a caller sees of a kind that can be
// shared. The ids of what is shared with him are looked up once for a
// statement and then serve an index; of an object of his own they are not asked for.
func ownOrShared(table string, kind Kind) string {
	return table + ".tenant_id = $tenant OR " + table + ".id = ANY(ARRAY(SELECT object_id FROM rbac_policies WHERE object_type = '" +
		string(kind) + "' AND target IN ($tenant, '*')))"
}

// partOfShared is the same of the parts of objects that are shared to be used.
func partOfShared(table, column string, kind Kind) string {
	return table + ".tenant_id = $tenant OR " + table + "." + column + " = ANY(ARRAY(SELECT object_id FROM rbac_policies WHERE object_type = '" +
		string(kind) + "' AND action = 'access_as_shared' AND target IN ($tenant, '*')))"
}

// isShared says whether a policy lets the caller use the object of an id.
func isShared(id string) string {
	return "EXISTS (SELECT FROM rbac_policies shared WHERE shared.object_id = " + id + " AND shared.action = 'access_as_shared' AND shared.target IN ($tenant, '*'))"
}

// use makes sure that the caller may refer to objects, and holds them until
// the end of the transaction.
func (e *entity[T]) use(ctx context.Context, tx *writeTx, sc Scope, ids []string) error {
	var u uses
	var b pgx.Batch
	e.queueUse(&b, sc, ids, &u)
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return e.useShared(ctx, tx, sc, u)
}

// some is a list of an id, unless that is none.
func some(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}

// uses is what queueUse has not found among the caller's own.
type uses struct{ missing []string }

// queueUse adds to a batch that the caller's own of some objects are held; the
// others are for useShared, once the batch has run.
func (e *entity[T]) queueUse(b *pgx.Batch, sc Scope, ids []string, u *uses) {
	if len(ids) == 0 {
		return
	}
	ids = slices.Clone(ids)
	distinct(&ids)
	b.Queue(`SELECT id FROM `+e.table+` WHERE id = ANY($1::uuid[]) AND (tenant_id = $2 OR $3) ORDER BY id FOR KEY SHARE`,
		uuids(ids), sc.TenantID, sc.Admin).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		u.missing = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(found, id) })
		return err
	})
}

// useShared holds objects that are shared with the caller, and the policies by
// which they are: whoever withdraws one waits, and then sees the use.
func (e *entity[T]) useShared(ctx context.Context, tx *writeTx, sc Scope, u uses) error {
	if len(u.missing) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT object.id FROM `+e.table+` object JOIN rbac_policies policy ON policy.object_id = object.id
		WHERE object.id = ANY($1::uuid[]) AND policy.action = 'access_as_shared' AND policy.target IN ($2, '*')
		ORDER BY object.id, policy.id FOR KEY SHARE`, uuids(u.missing), sc.TenantID)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, id := range u.missing {
		if !slices.Contains(found, id) {
			return &NotFound{e.kind, id}
		}
	}
	return nil
}

// refuseWithdrawal keeps a policy that tenants rely on: those whom it lets use
// the object, who do, and whom no other policy lets. The owner needs none, but as in Neutron
// his own use holds what he shares with all, unless that is a network. The object must be locked
// against new use.
func refuseWithdrawal(ctx context.Context, tx *writeTx, p *intent.RBACPolicy) error {
	if p.Action != intent.AccessAsShared {
		return nil // what is external to a tenant is used by nothing yet
	}
	sh := shares[Kind(p.ObjectType)]
	rows, err := tx.Query(ctx, `
		SELECT users.tenant_id FROM (`+sh.users+`) users
		WHERE (users.tenant_id <> (SELECT tenant_id FROM `+sh.table+` WHERE id = $1) OR $4 AND $2 = '*')
		  AND $2 IN (users.tenant_id, '*')
		  AND NOT EXISTS (SELECT FROM rbac_policies other WHERE other.object_id = $1 AND other.id <> $3
			AND other.action = 'access_as_shared' AND other.target IN (users.tenant_id, '*'))
		LIMIT 1`, p.ObjectID, p.Target, p.ID, Kind(p.ObjectType) != KindNetwork)
	user, used, err := one(rows, err, pgx.RowTo[string])
	if err != nil || !used {
		return err
	}
	return &Conflict{"RbacPolicyInUse", "target_tenant", fmt.Sprintf(
		"RBAC policy on object %s cannot be removed because other objects depend on it.\nDetails: tenant %s uses the %s", p.ObjectID, user, Kind(p.ObjectType).Words())}
}

// shareWithAll makes or withdraws the policy that shares an object with all
// tenants. The object must be locked, or new.
func shareWithAll(ctx context.Context, tx *writeTx, kind Kind, id, owner string, action intent.RBACAction, on bool) error {
	if on {
		made, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("store: making an id: %w", err)
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO rbac_policies (id, tenant_id, action, target, `+shares[kind].column+`) VALUES ($1, $2, $3, '*', $4)
			ON CONFLICT ON CONSTRAINT rbac_policies_no_duplicate DO NOTHING`, made.String(), owner, action, id)
		if err == nil && tag.RowsAffected() > 0 {
			tx.changed(KindRBACPolicy, made.String(), owner, OpCreate)
		}
		return err
	}
	const forAll = `rbac_policies.object_id = $1 AND rbac_policies.action = $2 AND rbac_policies.target = '*'`
	there, err := rbacPolicies.query(ctx, tx, forAll, args{id, action})
	if err != nil || len(there) == 0 {
		return err
	}
	if err := refuseWithdrawal(ctx, tx, &there[0]); err != nil {
		return err
	}
	return withdraw(ctx, tx, forAll, id, action)
}

// withdraw deletes policies of an object that is locked, or new.
func withdraw(ctx context.Context, tx *writeTx, where string, a ...any) error {
	gone, err := rbacPolicies.query(ctx, tx, where, a)
	if err != nil || len(gone) == 0 {
		return err
	}
	for i := range gone {
		tx.changed(KindRBACPolicy, gone[i].ID, gone[i].TenantID, OpDelete).from(&gone[i])
	}
	_, err = tx.Exec(ctx, `DELETE FROM rbac_policies WHERE `+where, a...)
	return err
}

// unshare deletes the policies of an object that is about to be deleted.
func unshare(ctx context.Context, tx *writeTx, kind Kind, id string) error {
	if _, shareable := shares[kind]; !shareable {
		return nil
	}
	return withdraw(ctx, tx, `rbac_policies.object_id = $1`, id)
}
