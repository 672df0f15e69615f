package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// vlanRest is how long a VLAN tag belongs to nobody before another network gets it:
// until then a switch may still take it for that of the network that had it.
const vlanRest = 10 * time.Minute

// vlanRow says which tag a network has, that it lacks one, or that a tag is nobody's.
type vlanRow struct {
	Network *string
	VLAN    *uint16
	Rested  bool // nobody has had it for vlanRest
}

// vlanPlan is what becomes of VLAN tags.
type vlanPlan struct {
	free    []string // networks that need none any more
	give    map[string]uint16
	lacking []string
}

// empty says that all is as it should be.
func (p *vlanPlan) empty(rows []vlanRow) bool {
	lacked := 0
	for _, r := range rows {
		if r.VLAN == nil {
			lacked++
		}
	}
	return len(p.free)+len(p.give) == 0 && len(p.lacking) == lacked
}

// planVLANs gives tags to the networks that need one, in order. Those that nobody has
// had yet come first, then those that have rested longest, as the rows are sorted.
func planVLANs(rows []vlanRow, need []string) vlanPlan {
	p := vlanPlan{give: map[string]uint16{}}
	var used, rested []uint16
	needed, has := make(map[string]bool, len(need)), map[string]bool{}
	for _, network := range need {
		needed[network] = true
	}
	for _, r := range rows {
		if r.VLAN != nil {
			used = append(used, *r.VLAN)
		}
		switch {
		case r.Network == nil && r.Rested:
			rested = append(rested, *r.VLAN)
		case r.Network == nil:
		case !needed[*r.Network]:
			p.free = append(p.free, *r.Network)
		case r.VLAN != nil:
			has[*r.Network] = true
		}
	}
	slices.Sort(used)
	next := uint16(1)
	for _, network := range need {
		if has[network] {
			continue
		}
		for next <= intent.MaxVLAN {
			if _, taken := slices.BinarySearch(used, next); !taken {
				break
			}
			next++
		}
		switch {
		case next <= intent.MaxVLAN:
			p.give[network] = next
			next++
		case len(rested) > 0:
			p.give[network], rested = rested[0], rested[1:]
		default:
			p.lacking = append(p.lacking, network)
		}
	}
	return p
}

// SettleVLANs gives a VLAN tag to each of the networks that need one on the links of
// fabrics, takes those of others back, and says how many had to go without. Networks that do not exist
// need none.
func (s *Store) SettleVLANs(ctx context.Context, need []string) (lacking int, err error) {
	var p vlanPlan
	var settled bool
	err = s.read(ctx, func(q querier) error {
		rows, err := readVLANs(ctx, q)
		p = planVLANs(rows, need)
		settled = p.empty(rows)
		return err
	})
	if err != nil || settled {
		return len(p.lacking), err
	}
	err = s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockVLANs); err != nil {
			return err
		}
		owners, err := holdTagged(ctx, tx, need)
		if err != nil {
			return err
		}
		rows, err := readVLANs(ctx, tx)
		if err != nil {
			return err
		}
		there := slices.DeleteFunc(slices.Clone(need), func(id string) bool { _, ok := owners[id]; return !ok })
		p = planVLANs(rows, there)
		return p.carryOut(ctx, tx, owners)
	})
	return len(p.lacking), err
}

// holdTagged returns the owners of networks that exist, and of those with tags. None of them can
// be deleted meanwhile.
func holdTagged(ctx context.Context, tx *writeTx, ids []string) (map[string]string, error) {
	rows, err := tx.Query(ctx, `SELECT id, tenant_id FROM networks WHERE id = ANY($1::uuid[]) OR id IN (SELECT network_id FROM fabric_vlans) ORDER BY id FOR KEY SHARE`, ids)
	if err != nil {
		return nil, err
	}
	owners := make(map[string]string, len(ids))
	var id, owner string
	_, err = pgx.ForEachRow(rows, []any{&id, &owner}, func() error { owners[id] = owner; return nil })
	return owners, err
}

func readVLANs(ctx context.Context, q querier) ([]vlanRow, error) {
	rows, err := q.Query(ctx, `SELECT network_id, vlan, since < now() - $1::interval FROM fabric_vlans ORDER BY since, vlan`, vlanRest)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[vlanRow])
}

// carryOut writes the plan, and tells of the networks that it is about.
func (p *vlanPlan) carryOut(ctx context.Context, tx *writeTx, owners map[string]string) error {
	ids, vlans := make([]string, 0, len(p.give)), make([]int32, 0, len(p.give))
	for id, vlan := range p.give {
		ids, vlans = append(ids, id), append(vlans, int32(vlan))
	}
	if err := restVLANs(ctx, tx, p.free...); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM fabric_vlans WHERE network_id = ANY($1::uuid[])`, ids); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO fabric_vlans (network_id, vlan) SELECT * FROM unnest($1::uuid[], $2::integer[])
		ON CONFLICT ON CONSTRAINT fabric_vlans_vlan_key DO UPDATE SET network_id = excluded.network_id, since = excluded.since`, ids, vlans); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO fabric_vlans (network_id) SELECT unnest($1::uuid[])
		ON CONFLICT ON CONSTRAINT fabric_vlans_network_key DO NOTHING RETURNING network_id`, p.lacking)
	if err != nil {
		return err
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, id := range slices.Concat(p.free, ids, lacking) {
		tx.changed(KindNetwork, id, owners[id], OpUpdate)
	}
	return nil
}

// restVLANs takes the tags of networks back.
func restVLANs(ctx context.Context, tx *writeTx, networks ...string) error {
	if _, err := tx.Exec(ctx, `UPDATE fabric_vlans SET network_id = NULL, since = now() WHERE network_id = ANY($1::uuid[]) AND vlan IS NOT NULL`, networks); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM fabric_vlans WHERE network_id = ANY($1::uuid[])`, networks)
	return err
}
