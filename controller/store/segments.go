package store

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// The tree of segments changes under an exclusive advisory lock, and addresses
// are given under the shared one: so a segment that gives an address has no
// children, and a new child finds every address that was given before it.

var segments = entity[intent.Segment]{
	kind:  KindSegment,
	table: "mac_segments",
	columns: metaColumns("mac_segments") + `, coalesce(mac_segments.parent_id::text, ''), coalesce(mac_segments.network_id::text, ''), mac_segments.host,
		lower(mac_segments.block), upper(mac_segments.block), mac_segments.shared, mac_segments.strategy, mac_segments.quarantine_seconds,
		mac_segments.conflict_policy, mac_segments.conflict_delay_seconds, coalesce(mac_segments.qos_policy_id::text, ''), used.active, used.reserved, used.quarantined`,
	from: `mac_segments CROSS JOIN LATERAL (
		SELECT coalesce(sum(active), 0)::bigint AS active, coalesce(sum(reserved), 0)::bigint AS reserved, coalesce(sum(quarantined), 0)::bigint AS quarantined
		FROM mac_usage_now u WHERE u.segment_id = mac_segments.id) AS used`,
	visible: "mac_segments.tenant_id = $tenant OR mac_segments.shared",
	order:   "lower(mac_segments.block), -upper(mac_segments.block), mac_segments.id",
	filters: metaFilters("mac_segments", map[string]filter{
		"tenant_id":     byText("coalesce(mac_segments.tenant_id, '')"),
		"project_id":    byText("coalesce(mac_segments.tenant_id, '')"),
		"parent_id":     byOptionalUUID("mac_segments.parent_id"),
		"network_id":    byOptionalUUID("mac_segments.network_id"),
		"qos_policy_id": byOptionalUUID("mac_segments.qos_policy_id"),
		"host":          byText("mac_segments.host"),
		"strategy":      byText("mac_segments.strategy"),
		"base_address":  byMAC("lower(mac_segments.block)"),
		"prefix_length": byNumber("(48 - round(log(2, (upper(mac_segments.block) - lower(mac_segments.block))::numeric)))::int"),
		"shared":        byBool("mac_segments.shared"),
	}),
	sorts: metaSorts("mac_segments", map[string]string{
		"tenant_id":     byBytes("coalesce(mac_segments.tenant_id, '')"),
		"project_id":    byBytes("coalesce(mac_segments.tenant_id, '')"),
		"host":          byBytes("mac_segments.host"),
		"strategy":      byBytes("mac_segments.strategy"),
		"base_address":  "lower(mac_segments.block)",
		"prefix_length": "-(upper(mac_segments.block) - lower(mac_segments.block))",
		"shared":        "mac_segments.shared",
	}),
	scan: func(row pgx.CollectableRow) (g intent.Segment, err error) {
		var lower, upper int64
		err = row.Scan(append(metaTargets(&g.Meta), &g.ParentID, &g.NetworkID, &g.Host, &lower, &upper, &g.Shared, &g.Strategy, &g.QuarantineSeconds,
			&g.ConflictPolicy, &g.ConflictDelay, &g.QoSPolicyID, &g.Active, &g.Reserved, &g.Quarantined)...)
		if err != nil {
			return g, err
		}
		g.Block, err = blockOf(lower, upper)
		return g, err
	},
}

// NewSegment is a segment to create.
type NewSegment struct {
	intent.Segment
	Size uint64 // if Block is not valid: where there is room for so many addresses, rounded up to a power of two
}

// blockOf is the block of a stored range, whose upper bound is exclusive.
func blockOf(lower, upper int64) (mac.Segment, error) {
	return mac.NewSegment(mac.Addr(lower), 48-bits.TrailingZeros64(uint64(upper-lower)))
}

// Segments lists MAC segments: a tenant sees its own and the shared ones.
func (s *Store) Segments(ctx context.Context, sc Scope, q Query) (list []intent.Segment, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = segments.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// Segment returns one MAC segment.
func (s *Store) Segment(ctx context.Context, sc Scope, id string) (g intent.Segment, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		g, err = segments.get(ctx, db, sc, id)
		return err
	})
	return g, err
}

// CreateSegments makes MAC segments, all or none. Each becomes the child of
// the smallest segment that holds its block, or a root if there is none. An
// admin makes them for any tenant or, without a tenant, for the operator;
// a tenant divides its own.
//
// One that is given a size only is cut out of its parent or, without one, out
// of the operator's segments under locally administered addresses (a tenant's:
// out of its own): from the smallest gap that is large enough.
func (s *Store) CreateSegments(ctx context.Context, sc Scope, in []NewSegment) ([]intent.Segment, error) {
	var out []intent.Segment
	err := s.write(ctx, func(tx *writeTx) error {
		list := slices.Clone(in)
		var owners []string
		more := map[string]int64{}
		for i := range list {
			g := &list[i]
			if !sc.Admin && g.TenantID == "" {
				g.TenantID = sc.TenantID
			}
			if err := prepareOwned(sc, &g.Meta); err != nil {
				return err
			}
			if err := checkSegment(g); err != nil {
				return err
			}
			if g.TenantID != "" {
				owners = append(owners, g.TenantID)
				more[g.TenantID]++
			}
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		if err := limitSegments(ctx, tx, owners, more); err != nil {
			return err
		}
		for i := range list {
			if err := checkSegmentNetwork(ctx, tx, sc, &list[i].Segment); err != nil {
				return err
			}
			if err := useQoSPolicy(ctx, tx, sc, list[i].QoSPolicyID, usedBySegment); err != nil {
				return err
			}
		}
		if err := lockTree(ctx, tx); err != nil {
			return err
		}
		out = make([]intent.Segment, len(list))
		for i := range list {
			if !list[i].Block.IsValid() {
				if err := placeSegment(ctx, tx, sc, &list[i]); err != nil {
					return err
				}
			}
			if err := insertSegment(ctx, tx, sc, &list[i].Segment); err != nil {
				return err
			}
			out[i] = list[i].Segment
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// lockTree keeps others from changing the tree of segments, and from giving
// addresses.
func lockTree(ctx context.Context, tx *writeTx) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockSegments)
	return err
}

// limitSegments holds tenants to their quotas.
func limitSegments(ctx context.Context, tx *writeTx, tenants []string, more map[string]int64) error {
	limits := map[string]int64{}
	var b pgx.Batch
	queueLimits(&b, KindSegment, tenants, limits)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return checkLimits(ctx, tx, KindSegment, limits, more)
}

// checkSegment makes sure of what a segment says of itself.
func checkSegment(g *NewSegment) error {
	switch {
	case g.Block.IsValid() && g.Size != 0:
		return &Invalid{"size", "size and base_address with prefix_length exclude each other"}
	case !g.Block.IsValid() && g.Size == 0:
		return &Invalid{"base_address", "base_address and prefix_length must name an aligned block such as 02:00:05:00:00:00/24"}
	}
	if g.Size != 0 {
		if _, err := mac.PrefixLenFor(g.Size); err != nil {
			return &Invalid{"size", fmt.Sprintf("size is not between 1 and %d", uint64(1)<<(mac.MaxPrefixLen-mac.MinPrefixLen))}
		}
	}
	usual := intent.DefaultSegment()
	g.Strategy, g.ConflictPolicy = cmp.Or(g.Strategy, usual.Strategy), cmp.Or(g.ConflictPolicy, usual.ConflictPolicy)
	return nil
}

// checkSegmentNetwork makes sure that the network of a segment is the
// tenant's, and stays.
func checkSegmentNetwork(ctx context.Context, tx *writeTx, sc Scope, g *intent.Segment) error {
	if g.NetworkID == "" {
		return nil
	}
	if err := networks.ref(&g.NetworkID); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT tenant_id FROM networks WHERE id = $1 AND (tenant_id = $2 OR $3) FOR KEY SHARE`,
		g.NetworkID, sc.TenantID, sc.Admin)
	owner, found, err := one(rows, err, pgx.RowTo[string])
	switch {
	case err != nil:
		return err
	case !found:
		return &NotFound{KindNetwork, g.NetworkID}
	case g.TenantID != "" && g.TenantID != owner:
		return &Invalid{"network_id", fmt.Sprintf("network_id %s belongs to another tenant than the MAC segment", g.NetworkID)}
	}
	return nil
}

func insertSegment(ctx context.Context, tx *writeTx, sc Scope, g *intent.Segment) error {
	parent, err := segmentParent(ctx, tx, g)
	if err != nil {
		return err
	}
	if !sc.Admin && (parent == nil || parent.TenantID != sc.TenantID) {
		return &Invalid{"base_address", fmt.Sprintf("base_address: %s does not lie in a MAC segment of the tenant", g.Block)}
	}
	if parent != nil && parent.TenantID != "" && parent.TenantID != g.TenantID {
		return &Conflict{"MacSegmentOverlap", "base_address", fmt.Sprintf("base_address: %s lies in MAC segment %s of another tenant", g.Block, parent.Block)}
	}
	if parent != nil && parent.NetworkID != "" && parent.NetworkID != g.NetworkID {
		return &Invalid{"network_id", fmt.Sprintf("network_id must be %s, as %s lies in a MAC segment of that network", parent.NetworkID, g.Block)}
	}
	var parentID, networkID, tenantID any
	if parent != nil {
		g.ParentID, parentID = parent.ID, parent.ID
		if used := parent.Active + parent.Reserved; used > 0 {
			return &Conflict{"MacSegmentInUse", "parent_id", fmt.Sprintf(
				"parent_id: MAC segment %s has %s in use and cannot be divided", parent.Block, count(int(used), "address"))}
		}
		if parent.Block == g.Block {
			return &Conflict{"MacSegmentOverlap", "base_address", fmt.Sprintf("base_address: %s is MAC segment %s already", g.Block, parent.ID)}
		}
	}
	if g.NetworkID != "" {
		networkID = g.NetworkID
	}
	if g.TenantID != "" {
		tenantID = g.TenantID
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO mac_segments (id, tenant_id, parent_id, network_id, name, description, block, shared,
			host, strategy, quarantine_seconds, conflict_policy, conflict_delay_seconds, qos_policy_id)
		VALUES ($1, $2, $3, $4, $5, $6, int8range($7, $8, '[]'), $9, $10, $11, $12, $13, $14, nullif($15, '')::uuid) RETURNING created_at, updated_at`,
		g.ID, tenantID, parentID, networkID, g.Name, g.Description, int64(g.Block.Base()), int64(g.Block.Last()), g.Shared,
		g.Host, string(g.Strategy), g.QuarantineSeconds, string(g.ConflictPolicy), g.ConflictDelay, g.QoSPolicyID).
		Scan(&g.CreatedAt, &g.UpdatedAt)
	if err != nil {
		return err
	}
	tx.changed(KindSegment, g.ID, g.TenantID, OpCreate).to(g)
	if parent != nil {
		if err := endLeases(ctx, tx, parent.ID); err != nil {
			return err
		}
	}
	return adoptAddresses(ctx, tx, g)
}

// endLeases ends the leases of a segment that is not what it was: nobody gives
// addresses by them any more, and the order begins anew.
func endLeases(ctx context.Context, tx *writeTx, segmentID string) error {
	var b pgx.Batch
	b.Queue(`UPDATE mac_segments SET fresh = 0 WHERE id = $1`, segmentID)
	b.Queue(`DELETE FROM mac_leases WHERE segment_id = $1`, segmentID)
	return tx.SendBatch(ctx, &b).Close()
}

// segmentParent finds the smallest segment around a block, which must be the
// one that was asked for, if one was.
func segmentParent(ctx context.Context, tx *writeTx, g *intent.Segment) (*intent.Segment, error) {
	around, err := segments.query(ctx, tx, "mac_segments.block @> int8range($1, $2, '[]')", args{int64(g.Block.Base()), int64(g.Block.Last())})
	if err != nil {
		return nil, err
	}
	var parent *intent.Segment
	if len(around) > 0 {
		parent = &around[len(around)-1] // widest first: the order of the list
		for i := range around {
			if around[i].Block.Size() < parent.Block.Size() {
				parent = &around[i]
			}
		}
	}
	if g.ParentID == "" {
		return parent, nil
	}
	if err := segments.ref(&g.ParentID); err != nil {
		return nil, err
	}
	if parent != nil && parent.ID == g.ParentID {
		return parent, nil
	}
	asked, err := segments.get(ctx, tx, Scope{Admin: true}, g.ParentID)
	switch {
	case err != nil:
		return nil, err
	case !asked.Block.Contains(g.Block.Base()) || !asked.Block.Contains(g.Block.Last()):
		return nil, &Invalid{"base_address", fmt.Sprintf("base_address: %s does not lie in %s, the block of parent_id", g.Block, asked.Block)}
	}
	return nil, &Conflict{"MacSegmentOverlap", "parent_id", fmt.Sprintf(
		"parent_id: %s lies in MAC segment %s, a part of the parent that was given; that must be the parent", g.Block, parent.Block)}
}

// adoptAddresses counts addresses that clients gave by hand inside the block of
// a segment as given by it. Those of others would break the promise that the
// segment's owner alone has addresses of it.
func adoptAddresses(ctx context.Context, tx *writeTx, g *intent.Segment) error {
	if g.TenantID == "" && g.NetworkID == "" {
		return nil
	}
	foreign, err := foreignAddress(ctx, tx, g)
	if err != nil {
		return err
	}
	if foreign != 0 {
		return &Conflict{"MacSegmentInUse", "base_address", fmt.Sprintf(
			"base_address: %s of %s is in use by a port that the MAC segment would not serve", foreign, g.Block)}
	}
	if err := rehomeAddresses(ctx, tx, g.ID, g.Block, "", g.ParentID); err != nil {
		return err
	}
	return countSegment(ctx, tx, g)
}

// foreignAddress finds an address in the block of a segment that the segment
// would not serve; 0: there is none.
func foreignAddress(ctx context.Context, tx *writeTx, g *intent.Segment) (mac.Addr, error) {
	rows, err := tx.Query(ctx, `
		SELECT address FROM mac_addresses
		WHERE address BETWEEN $1 AND $2 AND state IN ('active', 'reserved')
		  AND NOT CASE WHEN $4 <> '' THEN coalesce(network_id::text, $4) = $4 ELSE tenant_id = $3 END
		ORDER BY address LIMIT 1`, int64(g.Block.Base()), int64(g.Block.Last()), g.TenantID, g.NetworkID)
	foreign, _, err := one(rows, err, pgx.RowTo[int64])
	return mac.Addr(foreign), err
}

// rehomeAddresses makes the addresses in a block those of a segment, as far as
// they are of some others; "" is none.
func rehomeAddresses(ctx context.Context, tx *writeTx, to string, block mac.Segment, from ...string) error {
	var id *string
	if to != "" {
		id = &to
	}
	_, err := tx.Exec(ctx, rehome, "", "", id, int64(block.Base()), int64(block.Last()), from)
	return err
}

// countSegment reads the counters of a segment.
func countSegment(ctx context.Context, q querier, g *intent.Segment) error {
	return q.QueryRow(ctx, `
		SELECT coalesce(sum(active), 0)::bigint, coalesce(sum(reserved), 0)::bigint, coalesce(sum(quarantined), 0)::bigint
		FROM mac_usage_now WHERE segment_id = $1`, g.ID).Scan(&g.Active, &g.Reserved, &g.Quarantined)
}

// UpdateSegment changes what a segment is called and how it gives addresses;
// block, owner, parent and network are not its to change. change may run more
// than once.
func (s *Store) UpdateSegment(ctx context.Context, sc Scope, id string, change func(*intent.Segment) error) (intent.Segment, error) {
	var g intent.Segment
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := lockSegment(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		g = old
		if err := change(&g); err != nil {
			return err
		}
		keep(&g.Meta, &old.Meta)
		g.ParentID, g.NetworkID, g.Block = old.ParentID, old.NetworkID, old.Block
		g.Active, g.Reserved, g.Quarantined = old.Active, old.Reserved, old.Quarantined
		if reflect.DeepEqual(g, old) {
			return nil
		}
		if g.QoSPolicyID != old.QoSPolicyID {
			if err := useQoSPolicy(ctx, tx, sc, g.QoSPolicyID, usedBySegment); err != nil {
				return err
			}
		}
		if g.Strategy != old.Strategy || g.Shared != old.Shared || g.Host != old.Host {
			if err := endLeases(ctx, tx, g.ID); err != nil {
				return err
			}
		}
		if err := segments.retag(ctx, tx, &g.Meta, &old.Meta); err != nil {
			return err
		}
		tx.changed(KindSegment, g.ID, g.TenantID, OpUpdate).to(&g)
		return tx.QueryRow(ctx, `
			UPDATE mac_segments SET name = $2, description = $3, shared = $4, host = $5, strategy = $6, quarantine_seconds = $7,
				conflict_policy = $8, conflict_delay_seconds = $9, qos_policy_id = nullif($10, '')::uuid, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, g.ID, g.Name, g.Description, g.Shared, g.Host, string(g.Strategy), g.QuarantineSeconds,
			string(g.ConflictPolicy), g.ConflictDelay, g.QoSPolicyID).Scan(&g.Revision, &g.UpdatedAt)
	})
	return g, err
}

// lockSegment locks a segment that the caller may change.
func lockSegment(ctx context.Context, tx *writeTx, sc Scope, id string) (intent.Segment, error) {
	g, err := segments.lock(ctx, tx, sc, id)
	if err == nil && !sc.Admin && g.TenantID != sc.TenantID {
		err = &NotFound{KindSegment, id} // seen because it is shared
	}
	return g, err
}

// DeleteSegment deletes a segment without children and without addresses that
// somebody has. Those that rest there go on resting.
func (s *Store) DeleteSegment(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		if err := lockTree(ctx, tx); err != nil {
			return err
		}
		g, err := lockSegment(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		children, err := childBlocks(ctx, tx, g.ID)
		switch used := g.Active + g.Reserved; {
		case err != nil:
			return err
		case len(children) > 0:
			return &InUse{KindSegment, g.ID, count(len(children), "MAC segment") + " inside it"}
		case used > 0:
			return &InUse{KindSegment, g.ID, count(int(used), "address")}
		}
		if err := rehomeAddresses(ctx, tx, "", g.Block, g.ID); err != nil {
			return err
		}
		tx.changed(KindSegment, g.ID, g.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM mac_segments WHERE id = $1`, g.ID)
		return err
	})
}
