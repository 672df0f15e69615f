package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// childBlocks are the blocks of the children of a segment.
func childBlocks(ctx context.Context, q querier, id string) ([]mac.Segment, error) {
	rows, err := q.Query(ctx, `SELECT lower(block), upper(block) FROM mac_segments WHERE parent_id = $1`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (mac.Segment, error) {
		var lower, upper int64
		if err := row.Scan(&lower, &upper); err != nil {
			return mac.Segment{}, err
		}
		return blockOf(lower, upper)
	})
}

// placeTries bounds how many gaps are passed over because somebody has an
// address in them.
const placeTries = 100

// placeSegment finds the block of a segment of which only the size is known.
func placeSegment(ctx context.Context, tx *writeTx, sc Scope, g *NewSegment) error {
	bits, err := mac.PrefixLenFor(g.Size)
	if err != nil {
		return err
	}
	parents, err := roomyParents(ctx, tx, sc, g)
	if err != nil {
		return err
	}
	taken := map[string][]mac.Segment{}
	for _, p := range parents {
		if taken[p.ID], err = childBlocks(ctx, tx, p.ID); err != nil {
			return err
		}
	}
	for range placeTries {
		var free []mac.Segment
		for _, p := range parents {
			free = append(free, freeIn(p, taken[p.ID])...)
		}
		block, ok := mac.BestFit(free, bits)
		if !ok {
			break
		}
		trial := g.Segment
		trial.Block = block
		var foreign mac.Addr
		if trial.TenantID != "" || trial.NetworkID != "" {
			if foreign, err = foreignAddress(ctx, tx, &trial); err != nil {
				return err
			}
		}
		if foreign == 0 {
			g.Block = block
			return nil
		}
		at, err := mac.NewSegment(foreign, mac.MaxPrefixLen)
		if err != nil {
			return err
		}
		for _, p := range parents {
			if p.Block.Contains(foreign) {
				taken[p.ID] = append(taken[p.ID], at)
			}
		}
	}
	return &Conflict{"MacSegmentExhausted", "size", fmt.Sprintf("size: no MAC segment has room for a block of %d addresses", uint64(1)<<(mac.MaxPrefixLen-bits))}
}

// freeIn is what is free in a parent: a child is never the whole of it.
func freeIn(p intent.Segment, taken []mac.Segment) []mac.Segment {
	if len(taken) == 0 && p.Block.Bits() < mac.MaxPrefixLen {
		return slices.Collect(p.Block.Parts(p.Block.Bits() + 1))
	}
	return mac.FreeBlocks(p.Block, taken)
}

// roomyParents are the segments that a segment of some size may be cut out of.
func roomyParents(ctx context.Context, tx *writeTx, sc Scope, g *NewSegment) ([]intent.Segment, error) {
	if g.ParentID != "" {
		if err := segments.ref(&g.ParentID); err != nil {
			return nil, err
		}
		p, err := segments.get(ctx, tx, sc, g.ParentID)
		return []intent.Segment{p}, err
	}
	divided := `EXISTS (SELECT FROM mac_segments c WHERE c.parent_id = mac_segments.id)`
	if sc.Admin {
		// The U/L bit: 1 << 41. The addresses of vendors are given only to who names them.
		return segments.query(ctx, tx, `mac_segments.tenant_id IS NULL AND mac_segments.network_id IS NULL AND mac_segments.host = '' AND NOT mac_segments.shared
			AND lower(mac_segments.block) & 2199023255552 <> 0 AND (mac_segments.parent_id IS NULL OR `+divided+`)`, nil)
	}
	return segments.query(ctx, tx, `mac_segments.tenant_id = $1 AND mac_segments.network_id IS NULL AND mac_segments.host = ''
		AND (used.active + used.reserved = 0 OR `+divided+`)`, args{sc.TenantID})
}

// maxParts bounds how many parts a segment is split into at a time.
const maxParts = 256

// SplitSegment makes parts of a longer prefix out of a segment without
// children. The first part keeps the id; the others are like it. Addresses
// stay what they are and become those of their part.
func (s *Store) SplitSegment(ctx context.Context, sc Scope, id string, prefixLen int) ([]intent.Segment, error) {
	var out []intent.Segment
	err := s.write(ctx, func(tx *writeTx) error {
		g, err := s.holdSegment(ctx, tx, sc, id, func(g intent.Segment) int64 { return int64(1)<<max(min(prefixLen-g.Block.Bits(), 8), 0) - 1 })
		if err != nil {
			return err
		}
		children, err := childBlocks(ctx, tx, g.ID)
		switch longer := prefixLen - g.Block.Bits(); {
		case err != nil:
			return err
		case len(children) > 0:
			return &InUse{KindSegment, g.ID, count(len(children), "MAC segment") + " inside it"}
		case longer < 1 || prefixLen > mac.MaxPrefixLen || 1<<longer > maxParts:
			return &Invalid{"prefix_length", fmt.Sprintf("prefix_length %d does not make between 2 and %d parts of %s", prefixLen, maxParts, g.Block)}
		}
		out = nil
		for part := range g.Block.Parts(prefixLen) {
			p := g
			p.Block = part
			if len(out) > 0 {
				p.ID = ""
				if p.Name != "" {
					p.Name = fmt.Sprintf("%.250s-%d", p.Name, len(out)+1)
				}
				if err := prepareOwned(Scope{Admin: true}, &p.Meta); err != nil {
					return err
				}
			}
			out = append(out, p)
		}
		return splitInto(ctx, tx, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func splitInto(ctx context.Context, tx *writeTx, parts []intent.Segment) error {
	first := &parts[0]
	if err := setBlock(ctx, tx, first); err != nil {
		return err
	}
	for i := range parts[1:] {
		p := &parts[1+i]
		err := tx.QueryRow(ctx, `
			INSERT INTO mac_segments (id, tenant_id, parent_id, network_id, name, description, block, shared,
				host, strategy, quarantine_seconds, conflict_policy, conflict_delay_seconds, qos_policy_id)
			SELECT $2, tenant_id, parent_id, network_id, $3, description, int8range($4, $5, '[]'), shared,
				host, strategy, quarantine_seconds, conflict_policy, conflict_delay_seconds, qos_policy_id
			FROM mac_segments WHERE id = $1 RETURNING created_at, updated_at`,
			first.ID, p.ID, p.Name, int64(p.Block.Base()), int64(p.Block.Last())).Scan(&p.CreatedAt, &p.UpdatedAt)
		if err != nil {
			return err
		}
		if err := rehomeAddresses(ctx, tx, p.ID, p.Block, first.ID); err != nil {
			return err
		}
		if err := countSegment(ctx, tx, p); err != nil {
			return err
		}
		tx.changed(KindSegment, p.ID, p.TenantID, OpCreate).to(p)
	}
	return countSegment(ctx, tx, first)
}

// setBlock gives a segment another block.
func setBlock(ctx context.Context, tx *writeTx, g *intent.Segment) error {
	err := tx.QueryRow(ctx, `
		UPDATE mac_segments SET block = int8range($2, $3, '[]'), revision = revision + 1, updated_at = now()
		WHERE id = $1 RETURNING revision, updated_at`, g.ID, int64(g.Block.Base()), int64(g.Block.Last())).Scan(&g.Revision, &g.UpdatedAt)
	if err != nil {
		return err
	}
	tx.changed(KindSegment, g.ID, g.TenantID, OpUpdate).to(g)
	if err := touchNaming(ctx, tx, g.ID); err != nil {
		return err
	}
	return endLeases(ctx, tx, g.ID)
}

// holdSegment locks the tree and a segment, having made sure that the quota of
// its owner allows for more of them.
func (s *Store) holdSegment(ctx context.Context, tx *writeTx, sc Scope, id string, more func(intent.Segment) int64) (intent.Segment, error) {
	g, err := segments.get(ctx, tx, sc, id)
	if err != nil {
		return g, err
	}
	if g.TenantID != "" {
		if err := limitSegments(ctx, tx, []string{g.TenantID}, map[string]int64{g.TenantID: more(g)}); err != nil {
			return g, err
		}
	}
	if err := lockTree(ctx, tx); err != nil {
		return g, err
	}
	return lockSegment(ctx, tx, sc, id)
}

// ResizeSegment gives a segment another prefix length: a shorter one if the
// buddies that it grows over are free, a longer one if nobody has an address of
// what it leaves. The base stays where it is as far as it can.
func (s *Store) ResizeSegment(ctx context.Context, sc Scope, id string, prefixLen int) (intent.Segment, error) {
	var g intent.Segment
	err := s.write(ctx, func(tx *writeTx) (err error) {
		if g, err = s.holdSegment(ctx, tx, sc, id, func(intent.Segment) int64 { return 0 }); err != nil {
			return err
		}
		switch old := g.Block; {
		case prefixLen < mac.MinPrefixLen || prefixLen > mac.MaxPrefixLen:
			return &Invalid{"prefix_length", fmt.Sprintf("prefix_length is not between %d and %d", mac.MinPrefixLen, mac.MaxPrefixLen)}
		case prefixLen == old.Bits():
			return nil
		case prefixLen < old.Bits():
			return growSegment(ctx, tx, &g, prefixLen)
		}
		return shrinkSegment(ctx, tx, &g, prefixLen)
	})
	return g, err
}

func growSegment(ctx context.Context, tx *writeTx, g *intent.Segment, prefixLen int) error {
	wider, ok := g.Block.Wider(prefixLen)
	if !ok {
		return &Invalid{"prefix_length", fmt.Sprintf("prefix_length %d is no wider block than %s", prefixLen, g.Block)}
	}
	if g.ParentID != "" {
		parent, err := segments.get(ctx, tx, Scope{Admin: true}, g.ParentID)
		if err != nil {
			return err
		}
		if wider.Bits() <= parent.Block.Bits() {
			return &Conflict{"MacSegmentOverlap", "prefix_length", fmt.Sprintf("prefix_length: %s is not a part of %s, the MAC segment around it", wider, parent.Block)}
		}
	}
	g.Block = wider
	// That no other segment lies there is the exclusion constraint's to say.
	if err := setBlock(ctx, tx, g); err != nil {
		return err
	}
	return adoptAddresses(ctx, tx, g)
}

func shrinkSegment(ctx context.Context, tx *writeTx, g *intent.Segment, prefixLen int) error {
	old := g.Block
	narrow, err := mac.NewSegment(old.Base(), prefixLen)
	if err != nil {
		return err
	}
	var inUse int
	err = tx.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM (SELECT FROM mac_addresses WHERE address BETWEEN $2 AND $3 AND segment_id = $1 AND state IN ('active', 'reserved') LIMIT 1) a)
		     + (SELECT count(*) FROM mac_segments WHERE parent_id = $1 AND upper(block) > $2)`,
		g.ID, int64(narrow.Last())+1, int64(old.Last())).Scan(&inUse)
	if err != nil {
		return err
	}
	if inUse > 0 {
		return &Conflict{"MacSegmentInUse", "prefix_length", fmt.Sprintf("prefix_length: %s has addresses or MAC segments above %s", old, narrow)}
	}
	// The rest of it is nobody's; what rests there goes on resting.
	for buddy := narrow; buddy.Bits() > old.Bits(); buddy, _ = buddy.Wider(buddy.Bits() - 1) {
		rest, _ := buddy.Buddy()
		if err := rehomeAddresses(ctx, tx, "", rest, g.ID); err != nil {
			return err
		}
	}
	g.Block = narrow
	if err := setBlock(ctx, tx, g); err != nil {
		return err
	}
	return countSegment(ctx, tx, g)
}

// SegmentUsage is how a segment is used, with all that lies inside it.
type SegmentUsage struct {
	Size, Active, Reserved, Quarantined, Free uint64
	LargestFree                               mac.Segment // the widest block that nobody has anything in; not valid: there is none
	CollisionProbability                      float64     // that as many random addresses would have had
}

// SegmentUsage counts what is used of a segment. It reads counters; only the
// largest free block of a segment that gives addresses is looked for.
func (s *Store) SegmentUsage(ctx context.Context, sc Scope, id string) (u SegmentUsage, err error) {
	err = s.read(ctx, func(q querier) error {
		g, err := segments.get(ctx, q, sc, id)
		if err != nil {
			return err
		}
		u = SegmentUsage{Size: g.Block.Size()}
		err = q.QueryRow(ctx, `
			SELECT coalesce(sum(active), 0)::bigint, coalesce(sum(reserved), 0)::bigint, coalesce(sum(quarantined), 0)::bigint
			FROM mac_segments s JOIN mac_usage_now u ON u.segment_id = s.id
			WHERE s.block <@ int8range($1, $2, '[]')`, int64(g.Block.Base()), int64(g.Block.Last())).Scan(&u.Active, &u.Reserved, &u.Quarantined)
		if err != nil {
			return err
		}
		u.Free = u.Size - min(u.Size, u.Active+u.Reserved+u.Quarantined)
		u.CollisionProbability = mac.CollisionProbability(u.Size, u.Active+u.Reserved)
		children, err := childBlocks(ctx, q, g.ID)
		if err != nil {
			return err
		}
		if len(children) == 0 {
			u.LargestFree, err = largestFree(ctx, q, g.Block, u.Free)
			return err
		}
		for _, f := range mac.FreeBlocks(g.Block, children) {
			if !u.LargestFree.IsValid() || f.Bits() < u.LargestFree.Bits() {
				u.LargestFree = f
			}
		}
		return nil
	})
	return u, err
}

// probeLevels bounds how far a block is halved in the search for a free one: a
// block smaller than 2^-16 of the segment is not looked for.
const probeLevels = 16

// largestFree halves a block until one of the parts has no row that counts.
// Each part costs one look at the primary key.
func largestFree(ctx context.Context, q querier, block mac.Segment, free uint64) (mac.Segment, error) {
	for bits := block.Bits(); bits <= min(mac.MaxPrefixLen, block.Bits()+probeLevels); bits++ {
		size := uint64(1) << (mac.MaxPrefixLen - bits)
		if size > free {
			continue
		}
		rows, err := q.Query(ctx, `
			SELECT $1::bigint + i * $2::bigint FROM generate_series(0, $3::bigint - 1) AS i
			WHERE NOT EXISTS (
				SELECT FROM mac_addresses WHERE address BETWEEN $1::bigint + i * $2::bigint AND $1::bigint + (i + 1) * $2::bigint - 1 AND state <> 'free')
			LIMIT 1`, int64(block.Base()), int64(size), int64(block.Size()/size))
		base, found, err := one(rows, err, pgx.RowTo[int64])
		if err != nil {
			return mac.Segment{}, err
		}
		if found {
			return mac.NewSegment(mac.Addr(base), bits)
		}
	}
	return mac.Segment{}, nil
}
