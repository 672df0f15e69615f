package store

import (
	"context"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var rules = entity[intent.Rule]{
	kind:  KindRule,
	table: "security_group_rules",
	columns: `security_group_rules.id, security_group_rules.tenant_id, '', security_group_rules.description, '{}'::text[],
		security_group_rules.revision, security_group_rules.created_at, security_group_rules.updated_at,
		num, group_id, direction, ethertype, protocol, protocol_name, port_min, port_max, remote_prefix, coalesce(remote_group_id::text, ''), coalesce(remote_address_group_id::text, ''),
		coalesce(remote_mac, 0), coalesce(remote_mac_segment_id::text, ''),
		coalesce((SELECT lower(block) FROM mac_segments WHERE id = remote_mac_segment_id), remote_mac, 0),
		coalesce((SELECT upper(block) FROM mac_segments WHERE id = remote_mac_segment_id), remote_mac + 1, 0)`,
	from: "security_group_rules",
	visible: partOfShared("security_group_rules", "group_id", KindSecurityGroup) +
		" OR security_group_rules.group_id = ANY(ARRAY(SELECT id FROM security_groups WHERE tenant_id = $tenant))",
	owner: "security_group_rules.tenant_id",
	order: "security_group_rules.num",
	filters: untagged(metaFilters("security_group_rules", map[string]filter{
		"name":              nil,
		"security_group_id": byUUID("security_group_rules.group_id"),
		"direction":         byText("security_group_rules.direction"),
		"ethertype":         byText("security_group_rules.ethertype"),
		"protocol":          byText("security_group_rules.protocol_name"),
		"port_range_min":    byNumber("security_group_rules.port_min"),
		"port_range_max":    byNumber("security_group_rules.port_max"),
		"remote_ip_prefix":  byPrefix("security_group_rules.remote_prefix", "inet"),
		"normalized_cidr":   byPrefix("network(security_group_rules.remote_prefix)", "cidr"),
		"remote_group_id":   byOptionalUUID("security_group_rules.remote_group_id"),

		"remote_address_group_id": byOptionalUUID("security_group_rules.remote_address_group_id"),
		"remote_mac":              byMAC("security_group_rules.remote_mac"),
		"remote_mac_segment_id":   byOptionalUUID("security_group_rules.remote_mac_segment_id"),
	})),
	sorts: metaSorts("security_group_rules", map[string]string{
		"name":              "",
		"security_group_id": "security_group_rules.group_id",
		"direction":         byBytes("security_group_rules.direction"),
		"ethertype":         byBytes("security_group_rules.ethertype"),
		"protocol":          byBytes("security_group_rules.protocol_name"),
		"port_range_min":    "coalesce(security_group_rules.port_min, -1)",
		"port_range_max":    "coalesce(security_group_rules.port_max, -1)",
		"remote_ip_prefix":  "coalesce(security_group_rules.remote_prefix, '0.0.0.0/0')",
		"normalized_cidr":   "coalesce(network(security_group_rules.remote_prefix), '0.0.0.0/0')",
		"remote_group_id":   "coalesce(security_group_rules.remote_group_id, '00000000-0000-0000-0000-000000000000')",
	}),
	scan: func(row pgx.CollectableRow) (r intent.Rule, err error) {
		var prefix *netip.Prefix
		var remote, lower, upper int64
		err = row.Scan(append(metaTargets(&r.Meta), &r.Num, &r.GroupID, &r.Direction, &r.EtherType, &r.Protocol, &r.ProtocolName,
			&r.PortMin, &r.PortMax, &prefix, &r.RemoteGroupID, &r.RemoteAddressGroupID,
			&remote, &r.RemoteSegmentID, &lower, &upper)...)
		if prefix != nil {
			r.RemotePrefix = *prefix
		}
		if r.RemoteMAC = mac.Addr(remote); err == nil && upper > 0 {
			r.RemoteBlock, err = blockOf(lower, upper)
		}
		return r, err
	},
}

// Rules lists security group rules. The tenant of the scope has its default
// group from the first call on.
func (s *Store) Rules(ctx context.Context, sc Scope, q Query) ([]intent.Rule, error) {
	if sc.TenantID != "" {
		if err := s.EnsureDefaultGroup(ctx, sc.TenantID); err != nil {
			return nil, err
		}
	}
	var list []intent.Rule
	err := s.read(ctx, func(db querier) (err error) {
		list, err = rules.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// EachRule hands over what Rules lists one by one; visit must not keep it.
func (s *Store) EachRule(ctx context.Context, sc Scope, q Query, visit func(*intent.Rule) error) error {
	if sc.TenantID != "" {
		if err := s.EnsureDefaultGroup(ctx, sc.TenantID); err != nil {
			return err
		}
	}
	return rules.stream(ctx, s, sc, q, visit)
}

// Rule returns one security group rule.
func (s *Store) Rule(ctx context.Context, sc Scope, id string) (r intent.Rule, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		r, err = rules.get(ctx, db, sc, id)
		return err
	})
	return r, err
}

// CreateRules adds rules to groups, all or none.
func (s *Store) CreateRules(ctx context.Context, sc Scope, in []intent.Rule) ([]intent.Rule, error) {
	var out []intent.Rule
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		var of, remotes, sets, blocks, owners []string
		for i := range out {
			r := &out[i]
			if err := prepareMeta(sc, &r.Meta); err != nil {
				return err
			}
			if err := groups.ref(&r.GroupID); err != nil {
				return err
			}
			if r.RemoteGroupID != "" {
				if err := groups.ref(&r.RemoteGroupID); err != nil {
					return err
				}
				remotes = append(remotes, r.RemoteGroupID)
			}
			if r.RemoteAddressGroupID != "" {
				if err := addressGroups.ref(&r.RemoteAddressGroupID); err != nil {
					return err
				}
				sets = append(sets, r.RemoteAddressGroupID)
			}
			if r.RemoteSegmentID != "" {
				if err := segments.ref(&r.RemoteSegmentID); err != nil {
					return err
				}
				blocks = append(blocks, r.RemoteSegmentID)
			}
			of, owners = append(of, r.GroupID), append(owners, r.TenantID)
			tx.spends(KindRule, r.TenantID)
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		if err := groups.touch(ctx, tx, sc, of); err != nil {
			return err
		}
		if err := groups.use(ctx, tx, sc, remotes); err != nil {
			return err
		}
		if err := addressGroups.use(ctx, tx, sc, sets); err != nil {
			return err
		}
		if err := useSegments(ctx, tx, sc, blocks); err != nil {
			return err
		}
		return insertRules(ctx, tx, "", out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// useSegments makes sure that the caller may name segments, and holds them until
// the end of the transaction.
func useSegments(ctx context.Context, tx *writeTx, sc Scope, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT id FROM mac_segments WHERE id = ANY($1::uuid[]) AND (tenant_id = $2 OR shared OR $3) ORDER BY id FOR KEY SHARE`,
		ids, sc.TenantID, sc.Admin)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range ids {
		if err == nil && !slices.Contains(found, id) {
			return &NotFound{KindSegment, id}
		}
	}
	return err
}

// touchNaming counts the change of a segment as one of the groups whose rules
// name it, and of the MAC allow lists that do.
func touchNaming(ctx context.Context, tx *writeTx, segment string) error {
	if err := segmentListed(ctx, tx, segment); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT group_id::text FROM security_group_rules WHERE remote_mac_segment_id = $1`, segment)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) == 0 {
		return err
	}
	return groups.touch(ctx, tx, Scope{Admin: true}, ids)
}

// insertRules writes rules in one statement and fills what they get. With a
// tenant they are its, and new.
func insertRules(ctx context.Context, tx *writeTx, tenant string, list []intent.Rule) error {
	var b pgx.Batch
	for i := range list {
		r := &list[i]
		if tenant != "" {
			r.TenantID = tenant
			if err := prepareMeta(Scope{Admin: true}, &r.Meta); err != nil {
				return err
			}
		}
		var prefix any
		if r.RemotePrefix.IsValid() {
			prefix = r.RemotePrefix
		}
		var remote any
		if r.RemoteGroupID != "" {
			remote = r.RemoteGroupID
		}
		b.Queue(`
			INSERT INTO security_group_rules (id, tenant_id, group_id, description, direction, ethertype, protocol, protocol_name,
				port_min, port_max, remote_prefix, remote_group_id, remote_address_group_id, remote_mac, remote_mac_segment_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nullif($13, '')::uuid, nullif($14::bigint, 0), nullif($15, '')::uuid) RETURNING num, created_at, updated_at`,
			r.ID, r.TenantID, r.GroupID, r.Description, r.Direction, r.EtherType, r.Protocol, r.ProtocolName,
			r.PortMin, r.PortMax, prefix, remote, r.RemoteAddressGroupID, int64(r.RemoteMAC), r.RemoteSegmentID).
			QueryRow(func(row pgx.Row) error { return row.Scan(&r.Num, &r.CreatedAt, &r.UpdatedAt) })
		tx.changed(KindRule, r.ID, r.TenantID, OpCreate).to(r)
	}
	return tx.SendBatch(ctx, &b).Close()
}

// UpdateRule changes the description of a rule, the only thing of it that may
// change. change may run more than once.
func (s *Store) UpdateRule(ctx context.Context, sc Scope, id string, change func(*intent.Rule) error) (intent.Rule, error) {
	var r intent.Rule
	err := s.write(ctx, func(tx *writeTx) error {
		seen, err := rules.get(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		// The group comes first in the order of locks.
		if err := groups.touch(ctx, tx, Scope{Admin: true}, []string{seen.GroupID}); err != nil {
			return err
		}
		if r, err = rules.lock(ctx, tx, sc, id); err != nil {
			return err
		}
		old := r
		if err := change(&r); err != nil {
			return err
		}
		description := r.Description
		r = old
		r.Description = description
		tx.changed(KindRule, r.ID, r.TenantID, OpUpdate).to(&r)
		return tx.QueryRow(ctx, `
			UPDATE security_group_rules SET description = $2, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, r.ID, r.Description).Scan(&r.Revision, &r.UpdatedAt)
	})
	return r, err
}

// DeleteRule takes a rule out of its group.
func (s *Store) DeleteRule(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		r, err := rules.get(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if err := groups.touch(ctx, tx, Scope{Admin: true}, []string{r.GroupID}); err != nil {
			return err
		}
		if _, err := rules.lock(ctx, tx, sc, id); err != nil {
			return err
		}
		tx.changed(KindRule, r.ID, r.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM security_group_rules WHERE id = $1`, r.ID)
		return err
	})
}
