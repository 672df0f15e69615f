package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Whoever changes the lists of a network holds its row so that no port of it is
// made or gets another MAC meanwhile: these hold it too, and read the lists then.

var allowLists = record[intent.MACAllowList]{
	entity: entity[intent.MACAllowList]{
		kind:  KindMACAllowList,
		table: "mac_allow_lists",
		columns: metaColumns("mac_allow_lists") + `, mac_allow_lists.network_id,
			ARRAY(SELECT coalesce(e.mac_segment_id::text, '') FROM mac_allow_list_entries e WHERE e.list_id = mac_allow_lists.id ORDER BY e.n),
			ARRAY(SELECT lower(coalesce(e.block, s.block)) ` + entriesOfList + `), ARRAY(SELECT upper(coalesce(e.block, s.block)) ` + entriesOfList + `)`,
		from:    "mac_allow_lists",
		visible: "mac_allow_lists.tenant_id = $tenant",
		order:   "mac_allow_lists.id",
		filters: metaFilters("mac_allow_lists", map[string]filter{"network_id": byUUID("mac_allow_lists.network_id")}),
		sorts:   metaSorts("mac_allow_lists", map[string]string{"network_id": "mac_allow_lists.network_id"}),
		scan: func(row pgx.CollectableRow) (l intent.MACAllowList, err error) {
			var ids []string
			var lower, upper []int64
			if err = row.Scan(append(metaTargets(&l.Meta), &l.NetworkID, &ids, &lower, &upper)...); err != nil {
				return l, err
			}
			l.Entries = make([]intent.MACAllowEntry, len(ids))
			for i := range ids {
				l.Entries[i].SegmentID = ids[i]
				if l.Entries[i].Block, err = blockOf(lower[i], upper[i]); err != nil {
					return l, err
				}
			}
			return l, nil
		},
	},
	meta:   func(l *intent.MACAllowList) *intent.Meta { return &l.Meta },
	fields: []string{"name", "description", "network_id"},
	values: func(l *intent.MACAllowList) []any { return []any{l.Name, l.Description, l.NetworkID} },
	settle: func(ctx context.Context, tx *writeTx, sc Scope, l, old *intent.MACAllowList) error {
		if old != nil {
			l.NetworkID = old.NetworkID
			if slices.Equal(l.Entries, old.Entries) {
				return nil
			}
		}
		return settleEntries(ctx, tx, sc, l)
	},
	written: func(ctx context.Context, tx *writeTx, l, old *intent.MACAllowList) error {
		if old != nil && slices.Equal(l.Entries, old.Entries) {
			return nil
		}
		if err := writeEntries(ctx, tx, l); err != nil {
			return err
		}
		return allListed(ctx, tx, []string{l.NetworkID}, "")
	},
	leave: func(ctx context.Context, tx *writeTx, _ Scope, l *intent.MACAllowList) error {
		return allListed(ctx, tx, []string{l.NetworkID}, l.ID)
	},
	parent: &parent[intent.MACAllowList]{
		kind:  KindNetwork,
		table: "networks",
		id:    func(l *intent.MACAllowList) *string { return &l.NetworkID },
		ref:   networks.ref,
		touch: func(ctx context.Context, tx *writeTx, sc Scope, ids []string) error {
			for _, id := range ids {
				if _, err := networks.lock(ctx, tx, sc, id); err != nil {
					return err
				}
			}
			// Nor do the blocks of segments change meanwhile.
			_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, lockSegments)
			return err
		},
	},
}

const entriesOfList = `FROM mac_allow_list_entries e LEFT JOIN mac_segments s ON s.id = e.mac_segment_id WHERE e.list_id = mac_allow_lists.id ORDER BY e.n`

// settleEntries makes sure that the caller may name the segments of a list, and
// finds their blocks.
func settleEntries(ctx context.Context, tx *writeTx, sc Scope, l *intent.MACAllowList) error {
	l.Entries = slices.Clone(l.Entries)
	var ids []string
	for i := range l.Entries {
		if id := &l.Entries[i].SegmentID; *id != "" {
			if err := segments.ref(id); err != nil {
				return err
			}
			ids = append(ids, *id)
		}
	}
	distinct(&ids)
	if len(ids) == 0 {
		return nil
	}
	if err := useSegments(ctx, tx, sc, ids); err != nil {
		return err
	}
	found, err := segments.byID(ctx, tx, ids, func(g *intent.Segment) string { return g.ID })
	for i := range l.Entries {
		if g, ok := found[l.Entries[i].SegmentID]; ok {
			l.Entries[i].Block = g.Block
		}
	}
	return err
}

func writeEntries(ctx context.Context, tx *writeTx, l *intent.MACAllowList) error {
	n := len(l.Entries)
	lower, upper, ids := make([]*int64, n), make([]*int64, n), make([]*string, n)
	for i := range l.Entries {
		if e := &l.Entries[i]; e.SegmentID != "" {
			ids[i] = &e.SegmentID
		} else {
			first, last := int64(e.Block.Base()), int64(e.Block.Last())
			lower[i], upper[i] = &first, &last
		}
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM mac_allow_list_entries WHERE list_id = $1`, l.ID)
	b.Queue(`
		INSERT INTO mac_allow_list_entries (list_id, n, block, mac_segment_id)
		SELECT $1, e.n, CASE WHEN e.id IS NULL THEN int8range(e.lower, e.upper, '[]') END, e.id
		FROM unnest($2::bigint[], $3::bigint[], $4::uuid[]) WITH ORDINALITY AS e (lower, upper, id, n)`, l.ID, lower, upper, ids)
	return tx.SendBatch(ctx, &b).Close()
}

// maxNamed bounds how many ports a refusal names.
const maxNamed = 5

// allListed refuses what would leave ports of networks outside of all lists of their
// network. One list may be on its way out.
func allListed(ctx context.Context, tx *writeTx, networks []string, gone string) error {
	rows, err := tx.Query(ctx, `
		WITH lists AS (
			SELECT id, network_id FROM mac_allow_lists WHERE network_id = ANY($1::uuid[]) AND id IS DISTINCT FROM nullif($2, '')::uuid),
		allowed AS (
			SELECT l.network_id, coalesce(e.block, s.block) AS block
			FROM lists l JOIN mac_allow_list_entries e ON e.list_id = l.id LEFT JOIN mac_segments s ON s.id = e.mac_segment_id)
		SELECT p.id::text, m.address, p.network_id::text FROM ports p JOIN mac_addresses m ON m.port_id = p.id
		WHERE p.network_id IN (SELECT network_id FROM lists)
		  AND NOT EXISTS (SELECT FROM allowed a WHERE a.network_id = p.network_id AND a.block @> m.address)
		ORDER BY p.network_id, p.id LIMIT $3`, networks, gone, maxNamed+1)
	if err != nil {
		return err
	}
	var words []string
	var port, network, of string
	var address int64
	_, err = pgx.ForEachRow(rows, []any{&port, &address, &network}, func() error {
		if of == "" {
			of = network
		}
		words = append(words, fmt.Sprintf("%s (%s)", port, mac.Addr(address)))
		return nil
	})
	if err != nil || len(words) == 0 {
		return err
	}
	if len(words) > maxNamed {
		words[maxNamed] = "and more"
	}
	return &Conflict{"MacAddressNotAllowed", "entries", fmt.Sprintf(
		"Ports of network %s have MAC addresses that would be in none of its MAC allow lists (entries): %s. List these addresses, or delete the ports first.", of, strings.Join(words, ", "))}
}

// segmentListed counts the change of the block of a segment as one of the lists
// that name it, and refuses it if ports would be in no list then.
func segmentListed(ctx context.Context, tx *writeTx, segment string) error {
	rows, err := tx.Query(ctx, `
		UPDATE mac_allow_lists SET revision = revision + 1, updated_at = now()
		WHERE id IN (SELECT list_id FROM mac_allow_list_entries WHERE mac_segment_id = $1)
		RETURNING id::text, tenant_id, network_id::text`, segment)
	if err != nil {
		return err
	}
	var id, tenant, network string
	var networks []string
	_, err = pgx.ForEachRow(rows, []any{&id, &tenant, &network}, func() error {
		tx.changed(KindMACAllowList, id, tenant, OpUpdate)
		networks = append(networks, network)
		return nil
	})
	if err != nil || len(networks) == 0 {
		return err
	}
	return allListed(ctx, tx, networks, "")
}

// MACAllowLists lists MAC allow lists.
func (s *Store) MACAllowLists(ctx context.Context, sc Scope, q Query) ([]intent.MACAllowList, error) {
	return allowLists.all(ctx, s, sc, q)
}

// MACAllowList returns one MAC allow list.
func (s *Store) MACAllowList(ctx context.Context, sc Scope, id string) (intent.MACAllowList, error) {
	return allowLists.show(ctx, s, sc, id)
}

// CreateMACAllowLists makes MAC allow lists, all or none. They belong to whom their
// network belongs to; its ports must be in one of its lists then.
func (s *Store) CreateMACAllowLists(ctx context.Context, sc Scope, in []intent.MACAllowList) ([]intent.MACAllowList, error) {
	return allowLists.create(ctx, s, sc, in)
}

// UpdateMACAllowList changes a MAC allow list; its network is not to change.
// change may run more than once.
func (s *Store) UpdateMACAllowList(ctx context.Context, sc Scope, id string, change func(*intent.MACAllowList) error) (intent.MACAllowList, error) {
	return allowLists.update(ctx, s, sc, id, change)
}

// DeleteMACAllowList deletes a MAC allow list. After the last one any address may
// attach to the network.
func (s *Store) DeleteMACAllowList(ctx context.Context, sc Scope, id string) error {
	return allowLists.remove(ctx, s, sc, id)
}
