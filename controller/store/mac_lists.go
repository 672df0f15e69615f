package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/mac"
)

// macLists is what the MAC allow lists of a network let in; nil: it has none, and
// anything may attach.
type macLists struct {
	network string
	names   []string // of the lists, in words
	blocks  []mac.Segment
	sources []*macSource // of the segments that they name
}

func (l *macLists) has(a mac.Addr) bool {
	return l == nil || slices.ContainsFunc(l.blocks, func(b mac.Segment) bool { return b.Contains(a) })
}

// and adds the segments that the lists name.
func (l *macLists) and(from []*macSource) []*macSource {
	if l == nil {
		return from
	}
	for _, s := range l.sources {
		if !slices.Contains(from, s) {
			from = append(from, s)
		}
	}
	return from
}

// narrow leaves of the segments that would give an address those that are in a
// list, and adds those that the lists name.
func (l *macLists) narrow(from []*macSource) []*macSource {
	if l == nil {
		return from
	}
	return l.and(slices.DeleteFunc(from, func(s *macSource) bool {
		return !slices.ContainsFunc(l.blocks, s.block.Within)
	}))
}

// refuse keeps an address from the network that is in none of its lists.
func (l *macLists) refuse(w *wantedMAC) error {
	if l.has(w.row.addr) {
		return nil
	}
	return &Conflict{"MacAddressNotAllowed", w.attr, fmt.Sprintf(
		"%s %s may not attach to network %s: it is in none of its MAC allow lists: %s.", w.attr, w.row.addr, l.network, strings.Join(l.names, ", "))}
}

// nothing says that no listed segment gives addresses.
func (l *macLists) nothing(w *wantedMAC) error {
	return &Conflict{"MacAddressNotAllowed", w.attr, fmt.Sprintf(
		"No %s can be chosen on network %s: no MAC segment lies in its MAC allow lists: %s. Name a listed address in %s, or put a segment into a list (mac_segment_id).",
		w.attr, l.network, strings.Join(l.names, ", "), w.attr)}
}

// addLists reads what may attach to networks, with the segments that their lists
// name and that can give addresses. The transaction holds the networks, so that it
// stays as it is.
func (pl *macPlan) addLists(ctx context.Context, networks []string) error {
	var b pgx.Batch
	b.Queue(`
		SELECT l.network_id::text, l.id::text, l.name, e.n IS NULL, coalesce(lower(coalesce(e.block, s.block)), 0), coalesce(upper(coalesce(e.block, s.block)), 0)
		FROM mac_allow_lists l LEFT JOIN mac_allow_list_entries e ON e.list_id = l.id LEFT JOIN mac_segments s ON s.id = e.mac_segment_id
		WHERE l.network_id = ANY($1::uuid[]) ORDER BY l.id`, networks).Query(pl.takeLists)
	for _, network := range networks {
		b.Queue(macSources+`
			WHERE NOT EXISTS (SELECT FROM mac_segments c WHERE c.parent_id = s.id)
			  AND EXISTS (SELECT FROM mac_allow_lists l JOIN mac_allow_list_entries e ON e.list_id = l.id JOIN mac_segments g ON g.id = e.mac_segment_id
			              WHERE l.network_id = $1 AND s.block <@ g.block)
			ORDER BY lower(s.block)`, network).Query(func(rows pgx.Rows) error { return pl.takeListed(rows, pl.lists[network]) })
	}
	return pl.tx.SendBatch(ctx, &b).Close()
}

func (pl *macPlan) takeLists(rows pgx.Rows) error {
	var network, id, name, last string
	var empty bool
	var lower, upper int64
	_, err := pgx.ForEachRow(rows, []any{&network, &id, &name, &empty, &lower, &upper}, func() error {
		of := pl.lists[network]
		if of == nil {
			of = &macLists{network: network}
			pl.lists[network] = of
		}
		if id != last {
			last = id
			if name != "" {
				name += " "
			}
			of.names = append(of.names, name+"("+id+")")
		}
		if empty {
			return nil
		}
		block, err := blockOf(lower, upper)
		of.blocks = append(of.blocks, block)
		return err
	})
	return err
}

func (pl *macPlan) takeListed(rows pgx.Rows, of *macLists) error {
	found, err := collectSources(rows)
	for _, src := range found {
		at := slices.IndexFunc(pl.serving, func(s *macSource) bool { return s.id == src.id })
		if at < 0 {
			src.listed = true
			at, pl.serving = len(pl.serving), append(pl.serving, src)
		}
		of.sources = append(of.sources, pl.serving[at])
	}
	return err
}

func collectSources(rows pgx.Rows) (list []*macSource, err error) {
	var src macSource
	var lower, upper int64
	_, err = pgx.ForEachRow(rows, []any{&src.id, &src.tenant, &src.network, &src.host, &src.shared, &src.strategy, &lower, &upper}, func() (err error) {
		found := src
		found.block, err = blockOf(lower, upper)
		list = append(list, &found)
		return err
	})
	return list, err
}
