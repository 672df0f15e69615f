package store

import (
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
	columns: metaColumns("mac_segments") + `, coalesce(mac_segments.parent_id::text, ''), coalesce(mac_segments.network_id::text, ''),
		lower(mac_segments.block), upper(mac_segments.block), mac_segments.shared,
		(SELECT count(*) FROM mac_addresses a WHERE a.segment_id = mac_segments.id)`,
	from:    "mac_segments",
	visible: "mac_segments.tenant_id = $tenant OR mac_segments.shared",
	order:   "lower(mac_segments.block), upper(mac_segments.block) DESC",
	filters: metaFilters("mac_segments", map[string]filter{
		"tenant_id":     byText("coalesce(mac_segments.tenant_id, '')"),
		"project_id":    byText("coalesce(mac_segments.tenant_id, '')"),
		"parent_id":     byOptionalUUID("mac_segments.parent_id"),
		"network_id":    byOptionalUUID("mac_segments.network_id"),
		"base_address":  byMAC("lower(mac_segments.block)"),
		"prefix_length": byNumber("(48 - round(log(2, (upper(mac_segments.block) - lower(mac_segments.block))::numeric)))::int"),
		"shared":        byBool("mac_segments.shared"),
	}),
	scan: func(row pgx.CollectableRow) (g intent.Segment, err error) {
		var lower, upper, active int64
		err = row.Scan(append(metaTargets(&g.Meta), &g.ParentID, &g.NetworkID, &lower, &upper, &g.Shared, &active)...)
		if err != nil {
			return g, err
		}
		g.Active = uint64(active)
		g.Block, err = blockOf(lower, upper)
		return g, err
	},
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
func (s *Store) CreateSegments(ctx context.Context, sc Scope, in []intent.Segment) ([]intent.Segment, error) {
	var out []intent.Segment
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		var owners []string
		for i := range out {
			g := &out[i]
			if !sc.Admin && g.TenantID == "" {
				g.TenantID = sc.TenantID
			}
			if err := prepareOwned(sc, &g.Meta); err != nil {
				return err
			}
			if !g.Block.IsValid() {
				return &Invalid{"base_address", "base_address and prefix_length must name an aligned block such as 02:00:05:00:00:00/24"}
			}
			if g.TenantID != "" {
				owners = append(owners, g.TenantID)
			}
		}
		if err := ensureTenants(ctx, tx, owners); err != nil {
			return err
		}
		for i := range out {
			if err := checkSegmentNetwork(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockSegments); err != nil {
			return err
		}
		for i := range out {
			if err := insertSegment(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
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
		if parent.Active > 0 {
			return &Conflict{"MacSegmentInUse", "parent_id", fmt.Sprintf(
				"parent_id: MAC segment %s has %s in use and cannot be divided", parent.Block, count(int(parent.Active), "address"))}
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
		INSERT INTO mac_segments (id, tenant_id, parent_id, network_id, name, description, block, shared)
		VALUES ($1, $2, $3, $4, $5, $6, int8range($7, $8, '[]'), $9) RETURNING created_at, updated_at`,
		g.ID, tenantID, parentID, networkID, g.Name, g.Description, int64(g.Block.Base()), int64(g.Block.Last()), g.Shared).
		Scan(&g.CreatedAt, &g.UpdatedAt)
	if err != nil {
		return err
	}
	tx.changed(KindSegment, g.ID, g.TenantID, OpCreate)
	return adoptAddresses(ctx, tx, g)
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
// a new segment as given by it. Those of others would break the promise that
// the segment's owner alone has addresses of it.
func adoptAddresses(ctx context.Context, tx *writeTx, g *intent.Segment) error {
	if g.TenantID == "" && g.NetworkID == "" {
		return nil
	}
	rows, err := tx.Query(ctx, `
		SELECT a.address FROM mac_addresses a JOIN ports ON ports.id = a.port_id
		WHERE a.address BETWEEN $1 AND $2 AND NOT CASE WHEN $4 <> '' THEN ports.network_id::text = $4 ELSE ports.tenant_id = $3 END
		ORDER BY a.address LIMIT 1`, int64(g.Block.Base()), int64(g.Block.Last()), g.TenantID, g.NetworkID)
	foreign, found, err := one(rows, err, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if found {
		return &Conflict{"MacSegmentInUse", "base_address", fmt.Sprintf(
			"base_address: %s of %s is in use by a port that the MAC segment would not serve", mac.Addr(foreign), g.Block)}
	}
	adopted, err := tx.Exec(ctx, `UPDATE mac_addresses SET segment_id = $1 WHERE address BETWEEN $2 AND $3`,
		g.ID, int64(g.Block.Base()), int64(g.Block.Last()))
	g.Active = uint64(adopted.RowsAffected())
	return err
}

// UpdateSegment changes name, description and sharing of a segment. change may
// run more than once.
func (s *Store) UpdateSegment(ctx context.Context, sc Scope, id string, change func(*intent.Segment) error) (intent.Segment, error) {
	var g intent.Segment
	err := s.write(ctx, func(tx *writeTx) error {
		old, err := segments.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if !sc.Admin && old.TenantID != sc.TenantID {
			return &NotFound{KindSegment, id} // seen because it is shared
		}
		g = old
		if err := change(&g); err != nil {
			return err
		}
		keep(&g.Meta, &old.Meta)
		g.ParentID, g.NetworkID, g.Block, g.Active = old.ParentID, old.NetworkID, old.Block, old.Active
		if reflect.DeepEqual(g, old) {
			return nil
		}
		tx.changed(KindSegment, g.ID, g.TenantID, OpUpdate)
		return tx.QueryRow(ctx, `
			UPDATE mac_segments SET name = $2, description = $3, shared = $4, revision = revision + 1, updated_at = now()
			WHERE id = $1 RETURNING revision, updated_at`, g.ID, g.Name, g.Description, g.Shared).Scan(&g.Revision, &g.UpdatedAt)
	})
	return g, err
}

// DeleteSegment deletes a segment without children and addresses.
func (s *Store) DeleteSegment(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockSegments); err != nil {
			return err
		}
		g, err := segments.lock(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		if !sc.Admin && g.TenantID != sc.TenantID {
			return &NotFound{KindSegment, id} // seen because it is shared
		}
		var children int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM mac_segments WHERE parent_id = $1`, g.ID).Scan(&children); err != nil {
			return err
		}
		switch {
		case children > 0:
			return &InUse{KindSegment, g.ID, count(children, "MAC segment") + " inside it"}
		case g.Active > 0:
			return &InUse{KindSegment, g.ID, count(int(g.Active), "address")}
		}
		tx.changed(KindSegment, g.ID, g.TenantID, OpDelete)
		_, err = tx.Exec(ctx, `DELETE FROM mac_segments WHERE id = $1`, g.ID)
		return err
	})
}
