package store

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// defaultGroup is the name of the security group that every tenant has.
const defaultGroup = "default"

var groups = entity[intent.SecurityGroup]{
	kind:    KindSecurityGroup,
	table:   "security_groups",
	columns: metaColumns("security_groups") + ", security_groups.num, NOT security_groups.stateful, " + isShared("security_groups.id"),
	from:    "security_groups",
	visible: ownOrShared("security_groups", KindSecurityGroup),
	owner:   "security_groups.tenant_id",
	order:   "security_groups.num",
	filters: metaFilters("security_groups", map[string]filter{
		"shared":   byBool(isShared("security_groups.id")),
		"stateful": byBool("security_groups.stateful"),
	}),
	sorts: metaSorts("security_groups", nil),
	scan: func(row pgx.CollectableRow) (g intent.SecurityGroup, err error) {
		return g, row.Scan(append(metaTargets(&g.Meta), &g.Num, &g.Stateless, &g.Shared)...)
	},
	fill: fillRules,
}

func fillRules(ctx context.Context, q querier, list []intent.SecurityGroup) error {
	ids := make([]string, len(list))
	at := make(map[string]*intent.SecurityGroup, len(list))
	for i := range list {
		g := &list[i]
		ids[i], at[g.ID] = g.ID, g
		g.Rules = []intent.Rule{}
	}
	found, err := rules.query(ctx, q, "security_group_rules.group_id = ANY($1::uuid[])", args{ids})
	for _, r := range found {
		at[r.GroupID].Rules = append(at[r.GroupID].Rules, r)
	}
	return err
}

// SecurityGroups lists security groups with their rules. The tenant of the
// scope has its default group from the first call on.
func (s *Store) SecurityGroups(ctx context.Context, sc Scope, q Query) ([]intent.SecurityGroup, error) {
	if sc.TenantID != "" {
		if err := s.EnsureDefaultGroup(ctx, sc.TenantID); err != nil {
			return nil, err
		}
	}
	var list []intent.SecurityGroup
	err := s.read(ctx, func(db querier) (err error) {
		list, err = groups.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachSecurityGroup hands over what SecurityGroups lists one by one; visit must not keep it.
func (s *Store) EachSecurityGroup(ctx context.Context, sc Scope, q Query, visit func(*intent.SecurityGroup) error) error {
	// Whose groups are asked for has one at least, as in Neutron.
	whose := sc.TenantID
	if named := q.Filter["tenant_id"]; sc.Admin && len(named) == 1 {
		whose = named[0]
	}
	if whose != "" {
		if err := s.EnsureDefaultGroup(ctx, whose); err != nil {
			return err
		}
	}
	return groups.stream(ctx, s, sc, q, visit)
}

// SecurityGroup returns one security group with its rules.
func (s *Store) SecurityGroup(ctx context.Context, sc Scope, id string) (g intent.SecurityGroup, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		g, err = groups.get(ctx, db, sc, id)
		return err
	})
	return g, err
}

// EnsureDefaultGroup makes the default security group of a tenant if it is not
// there.
func (s *Store) EnsureDefaultGroup(ctx context.Context, tenant string) error {
	var there bool
	err := s.read(ctx, func(db querier) error {
		return db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM security_groups WHERE tenant_id = $1 AND name = $2)`, tenant, defaultGroup).Scan(&there)
	})
	if err != nil || there {
		return err
	}
	return s.write(ctx, func(tx *writeTx) error {
		if err := ensureTenants(ctx, tx, []string{tenant}); err != nil {
			return err
		}
		_, err := ensureDefaultGroup(ctx, tx, tenant)
		return err
	})
}

// ensureDefaultGroup returns the id of a tenant's default group, made if need
// be. The tenant must exist.
func ensureDefaultGroup(ctx context.Context, tx *writeTx, tenant string) (id string, err error) {
	g := intent.SecurityGroup{Meta: intent.Meta{TenantID: tenant, Name: defaultGroup, Description: "Default security group"}}
	if err := prepareMeta(Scope{Admin: true}, &g.Meta); err != nil {
		return "", err
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO security_groups (id, tenant_id, name, description) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant_id) WHERE name = 'default' DO NOTHING RETURNING id`, g.ID, tenant, g.Name, g.Description)
	id, made, err := one(rows, err, pgx.RowTo[string])
	switch {
	case err != nil:
		return "", err
	case made:
		tx.changed(KindSecurityGroup, id, tenant, OpCreate).to(&g)
		itself := []intent.Rule{
			{GroupID: id, Direction: intent.Egress, EtherType: intent.IPv4},
			{GroupID: id, Direction: intent.Egress, EtherType: intent.IPv6},
			{GroupID: id, Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: id},
			{GroupID: id, Direction: intent.Ingress, EtherType: intent.IPv6, RemoteGroupID: id},
		}
		return id, insertRules(ctx, tx, tenant, itself)
	}
	err = tx.QueryRow(ctx, `SELECT id FROM security_groups WHERE tenant_id = $1 AND name = $2`, tenant, defaultGroup).Scan(&id)
	return id, err
}

// CreateSecurityGroups makes security groups, all or none, each with its own
// rules and before them two that allow all egress.
func (s *Store) CreateSecurityGroups(ctx context.Context, sc Scope, in []intent.SecurityGroup) ([]intent.SecurityGroup, error) {
	var out []intent.SecurityGroup
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		var owners []string
		for i := range out {
			if err := prepareMeta(sc, &out[i].Meta); err != nil {
				return err
			}
			if strings.EqualFold(out[i].Name, defaultGroup) {
				return conflicts["security_groups_default_key"](key{})
			}
			owners = append(owners, out[i].TenantID)
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		slices.Sort(owners)
		for _, owner := range slices.Compact(owners) {
			if _, err := ensureDefaultGroup(ctx, tx, owner); err != nil {
				return err
			}
		}
		for i := range out {
			g := &out[i]
			err := tx.QueryRow(ctx, `
				INSERT INTO security_groups (id, tenant_id, name, description, stateful) VALUES ($1, $2, $3, $4, $5)
				RETURNING num, created_at, updated_at`, g.ID, g.TenantID, g.Name, g.Description, !g.Stateless).Scan(&g.Num, &g.CreatedAt, &g.UpdatedAt)
			if err != nil {
				return err
			}
			g.Rules = append([]intent.Rule{
				{GroupID: g.ID, Direction: intent.Egress, EtherType: intent.IPv4},
				{GroupID: g.ID, Direction: intent.Egress, EtherType: intent.IPv6},
			}, g.Rules...)
			if err := insertRules(ctx, tx, g.TenantID, g.Rules); err != nil {
				return err
			}
			tx.spends(KindSecurityGroup, g.TenantID)
			tx.spends(KindRule, g.TenantID)
			tx.changed(KindSecurityGroup, g.ID, g.TenantID, OpCreate).to(g)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateSecurityGroup changes a group, but not whether it is stateful while a
// port subscribes to it. change may run more than once.
func (s *Store) UpdateSecurityGroup(ctx context.Context, sc Scope, id string, change func(*intent.SecurityGroup) error) (intent.SecurityGroup, error) {
	var g intent.SecurityGroup
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := groups.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		g = old
		if err := change(&g); err != nil {
			return err
		}
		keep(&g.Meta, &old.Meta)
		g.Num, g.Rules = old.Num, old.Rules
		if reflect.DeepEqual(g, old) {
			return nil
		}
		if old.Name == defaultGroup && g.Name != old.Name {
			return &Conflict{"SecurityGroupCannotUpdateDefault", "name", "Updating default security group not allowed."}
		}
		if g.Stateless != old.Stateless {
			if err := refuseUsedGroup(ctx, tx, g.ID); err != nil {
				return err
			}
		}
		if err := groups.retag(ctx, tx, &g.Meta, &old.Meta); err != nil {
			return err
		}
		tx.changed(KindSecurityGroup, g.ID, g.TenantID, OpUpdate).to(&g)
		return tx.QueryRow(ctx, `
			UPDATE security_groups SET name = $2, description = $3, stateful = $4, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, g.ID, g.Name, g.Description, !g.Stateless).Scan(&g.Revision, &g.UpdatedAt)
	})
	return g, err
}

// DeleteSecurityGroup deletes a group that no port subscribes to, its rules,
// and rules of other groups that name it as remote. Only an admin may delete
// a default group.
func (s *Store) DeleteSecurityGroup(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		g, err := groups.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if g.Name == defaultGroup && !sc.Admin {
			return &Conflict{"SecurityGroupCannotRemoveDefault", "id", "Insufficient rights for removing default security group."}
		}
		return deleteGroup(ctx, tx, g.ID, g.TenantID)
	})
}

// refuseUsedGroup keeps what ports subscribe to as it is. The caller has locked
// the group.
func refuseUsedGroup(ctx context.Context, tx *writeTx, id string) error {
	var used int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM port_security_groups WHERE group_id = $1`, id).Scan(&used)
	if err == nil && used > 0 {
		err = &InUse{KindSecurityGroup, id, count(used, "port")}
	}
	return err
}

func deleteGroup(ctx context.Context, tx *writeTx, id, tenant string) error {
	if _, err := tx.Exec(ctx, `SELECT FROM security_groups WHERE id = $1 FOR UPDATE`, id); err != nil {
		return err
	}
	if err := refuseUsedGroup(ctx, tx, id); err != nil {
		return err
	}
	gone, err := rules.query(ctx, tx, "group_id = $1 OR remote_group_id = $1", args{id})
	if err != nil {
		return err
	}
	var others []string
	for i := range gone {
		r := &gone[i]
		if r.GroupID != id {
			others = append(others, r.GroupID)
		}
		tx.changed(KindRule, r.ID, r.TenantID, OpDelete).from(r)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM security_group_rules WHERE remote_group_id = $1 AND group_id <> $1`, id); err != nil {
		return err
	}
	if err := groups.touch(ctx, tx, Scope{Admin: true}, others); err != nil {
		return err
	}
	if err := unshare(ctx, tx, KindSecurityGroup, id); err != nil {
		return err
	}
	tx.changed(KindSecurityGroup, id, tenant, OpDelete)
	_, err = tx.Exec(ctx, `DELETE FROM security_groups WHERE id = $1`, id)
	return err
}
