package store

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/mac"
)

// macSource is a segment without children that addresses are chosen from: at
// random first, out of the gaps between those in use when that did not do.
type macSource struct {
	id, tenant, network string // the last two may be empty
	block               mac.Segment
	free                []macRange // gaps that were found and not yet tried
	searched            bool       // in this round
}

type macRange struct{ first, last mac.Addr }

// smallSegment is the size up to which gaps are looked for at once: among few
// addresses a random one is too often in use.
const smallSegment = 256

// ownBlock is any segment around an address, with whose it is.
type ownBlock struct {
	tenant, network string
}

// queueSegments reads the segments that can serve the ports and those around
// the MACs that were given, and keeps the tree of segments as it is.
func (pl *plan) queueSegments(b *pgx.Batch, tenantIDs, networkIDs []string, given []int64) {
	b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, lockSegments)
	b.Queue(`
		SELECT s.id, coalesce(s.tenant_id, ''), coalesce(s.network_id::text, ''), lower(s.block), upper(s.block)
		FROM mac_segments s
		WHERE (s.network_id = ANY($1::uuid[]) OR s.network_id IS NULL AND (s.tenant_id = ANY($2::text[]) OR s.shared))
		  AND NOT EXISTS (SELECT FROM mac_segments c WHERE c.parent_id = s.id)
		ORDER BY lower(s.block)`, networkIDs, tenantIDs).Query(func(rows pgx.Rows) error {
		var src macSource
		var lower, upper int64
		_, err := pgx.ForEachRow(rows, []any{&src.id, &src.tenant, &src.network, &lower, &upper}, func() (err error) {
			found := src
			found.block, err = blockOf(lower, upper)
			pl.serving = append(pl.serving, &found)
			return err
		})
		return err
	})
	if len(given) == 0 {
		return
	}
	b.Queue(`
		SELECT g.address, coalesce(s.tenant_id, ''), coalesce(s.network_id::text, '')
		FROM unnest($1::bigint[]) AS g (address) JOIN mac_segments s ON s.block @> g.address
		WHERE s.tenant_id IS NOT NULL OR s.network_id IS NOT NULL`, given).Query(func(rows pgx.Rows) error {
		var address int64
		var block ownBlock
		_, err := pgx.ForEachRow(rows, []any{&address, &block.tenant, &block.network}, func() error {
			pl.around[mac.Addr(address)] = append(pl.around[mac.Addr(address)], block)
			return nil
		})
		return err
	})
}

// segmentsOf are the segments that give a port its MAC: its network's, or else
// its tenant's, or else (own is false) the shared ones.
func (pl *plan) segmentsOf(p *NewPort) (serving []*macSource, whose string) {
	for _, s := range pl.serving {
		if s.network == p.NetworkID {
			serving = append(serving, s)
		}
	}
	if len(serving) > 0 {
		return serving, "network " + p.NetworkID
	}
	for _, s := range pl.serving {
		if s.network == "" && s.tenant == p.TenantID && s.tenant != "" {
			serving = append(serving, s)
		}
	}
	if len(serving) > 0 {
		return serving, "tenant " + p.TenantID
	}
	for _, s := range pl.serving {
		if s.network == "" && s.tenant == "" {
			serving = append(serving, s)
		}
	}
	return serving, ""
}

func blocks(serving []*macSource) string {
	texts := make([]string, len(serving))
	for i, s := range serving {
		texts[i] = s.block.String()
	}
	return strings.Join(texts, ", ")
}

// wantedMAC is an address that a port is to get.
type wantedMAC struct {
	port   *NewPort
	addr   mac.Addr
	source string       // segment of addr; empty: of none
	from   []*macSource // to choose from
	random bool         // a random address has been tried
	done   bool
}

// checkGiven says whether a port may have the MAC that it was given, and notes
// the segment that it lies in.
func (pl *plan) checkGiven(w *wantedMAC) error {
	a := w.port.MAC
	switch {
	case a > mac.Max:
		return &Invalid{"mac_address", "mac_address has more than 48 bits"}
	case a.IsGroup():
		return &Invalid{"mac_address", fmt.Sprintf("mac_address %s has the group bit set; it must be the address of a station", a)}
	}
	serving, whose := pl.segmentsOf(w.port)
	for _, s := range serving {
		if s.block.Contains(a) {
			w.addr, w.source = a, s.id
			return nil
		}
	}
	if whose != "" {
		return &Invalid{"mac_address", fmt.Sprintf("mac_address %s lies outside the MAC segments of %s: %s", a, whose, blocks(serving))}
	}
	for _, around := range pl.around[a] {
		switch {
		case around.network != "" && around.network != w.port.NetworkID:
			return &Invalid{"mac_address", fmt.Sprintf("mac_address %s lies in a MAC segment of another network", a)}
		case around.tenant != "" && around.tenant != w.port.TenantID:
			return &Invalid{"mac_address", fmt.Sprintf("mac_address %s lies in a MAC segment of another tenant", a)}
		}
	}
	w.addr = a
	return nil
}

// wantedMACs says what MACs the ports are to get: first what was asked for by
// name, then what can be any.
func (pl *plan) wantedMACs() ([]wantedMAC, error) {
	var given, open []wantedMAC
	for i := range pl.ports {
		w := wantedMAC{port: &pl.ports[i]}
		if w.port.MAC != 0 {
			if err := pl.checkGiven(&w); err != nil {
				return nil, err
			}
			given = append(given, w)
			continue
		}
		if w.from, _ = pl.segmentsOf(w.port); len(w.from) == 0 {
			return nil, &Conflict{"MacAddressGenerationFailure", "mac_address",
				"mac_address: there is no MAC segment to take an address from; create one or name the address"}
		}
		open = append(open, w)
	}
	// In the order of addresses, so that two requests for the same ones do not
	// wait for each other.
	slices.SortStableFunc(given, func(a, b wantedMAC) int { return cmp.Compare(a.addr, b.addr) })
	return append(given, open...), nil
}

// chooseMACs picks MACs where any will do.
func (pl *plan) chooseMACs(ctx context.Context, wanted []wantedMAC, round int) error {
	if round > 0 {
		for _, src := range pl.serving {
			src.searched = false
		}
	}
	for i := range wanted {
		if len(wanted[i].from) == 0 {
			continue
		}
		if err := pl.chooseMAC(ctx, &wanted[i], len(wanted)); err != nil {
			return err
		}
	}
	return nil
}

// queueMACs inserts addresses and marks those that nobody else had.
func (pl *plan) queueMACs(b *pgx.Batch, wanted []wantedMAC) {
	n := len(wanted)
	if n == 0 {
		return
	}
	addrs, segmentIDs, portIDs := make([]int64, n), make([]string, n), make([]string, n)
	index := make(map[string]*wantedMAC, n)
	for i := range wanted {
		w := &wanted[i]
		addrs[i], segmentIDs[i], portIDs[i] = int64(w.addr), w.source, w.port.ID
		index[w.port.ID] = w
	}
	b.Queue(`
		INSERT INTO mac_addresses (address, segment_id, port_id)
		SELECT address, nullif(segment_id, '')::uuid, port_id
		FROM unnest($1::bigint[], $2::text[], $3::uuid[]) AS w (address, segment_id, port_id)
		ON CONFLICT ON CONSTRAINT mac_addresses_pkey DO NOTHING
		RETURNING port_id`, addrs, segmentIDs, portIDs).Query(func(rows pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			w := index[id]
			w.done = true
			w.port.MAC, w.port.SegmentID = w.addr, w.source
			return nil
		})
		return err
	})
}

// leftMACs returns what is to be chosen anew.
func leftMACs(wanted []wantedMAC) ([]wantedMAC, error) {
	var left []wantedMAC
	for _, w := range wanted {
		switch {
		case w.done:
		case len(w.from) == 0:
			return nil, macInUse(w.addr.String())
		default:
			left = append(left, w)
		}
	}
	return left, nil
}

// chooseMAC picks an address that seems free, out of the first segment that
// has one left. need is how many are to be chosen in all.
func (pl *plan) chooseMAC(ctx context.Context, w *wantedMAC, need int) error {
	for _, src := range w.from {
		if !w.random && src.block.Size() > smallSegment {
			w.random = true
			a := src.block.At(rand.Uint64N(src.block.Size()))
			if a != 0 && pl.claimMAC(a) {
				w.addr, w.source = a, src.id
				return nil
			}
		}
		for {
			if a, ok := pl.takeMAC(src); ok {
				w.addr, w.source = a, src.id
				return nil
			}
			if src.searched {
				break
			}
			if err := src.search(ctx, pl.tx, need+pl.store.macs.size()); err != nil {
				return err
			}
		}
	}
	return &Conflict{"MacAddressGenerationFailure", "mac_address", fmt.Sprintf(
		"mac_address: no more addresses are free in MAC segment %s", blocks(w.from))}
}

func (pl *plan) claimMAC(a mac.Addr) bool {
	if !pl.store.macs.claim(a) {
		return false
	}
	pl.tx.after = append(pl.tx.after, func() { pl.store.macs.release(a) })
	return true
}

// takeMAC claims the next free address of a segment that a search has found.
func (pl *plan) takeMAC(src *macSource) (mac.Addr, bool) {
	for len(src.free) > 0 {
		r := &src.free[0]
		a := r.first
		if a == r.last {
			src.free = src.free[1:]
		} else {
			r.first++
		}
		if a != 0 && pl.claimMAC(a) {
			return a, true
		}
	}
	return 0, false
}

// search finds gaps between addresses in use: from a random address on, and if
// these are too few from the start of the block.
func (src *macSource) search(ctx context.Context, tx *writeTx, need int) error {
	src.searched = true
	src.free = nil
	start := src.block.At(rand.Uint64N(src.block.Size()))
	if err := src.gaps(ctx, tx, macRange{start, src.block.Last()}, need); err != nil {
		return err
	}
	if len(src.free) < need && start != src.block.Base() {
		return src.gaps(ctx, tx, macRange{src.block.Base(), start - 1}, need)
	}
	return nil
}

// gaps appends what is free of a range, up to about a limit of gaps. The
// window runs along the primary key and stops at the limit.
func (src *macSource) gaps(ctx context.Context, tx *writeTx, r macRange, limit int) error {
	var b pgx.Batch
	b.Queue(`SELECT address FROM mac_addresses WHERE address BETWEEN $1 AND $2 ORDER BY address LIMIT 1`,
		int64(r.first), int64(r.last)).Query(func(rows pgx.Rows) error {
		lowest, found, err := one(rows, nil, pgx.RowTo[int64])
		switch {
		case err != nil:
			return err
		case !found:
			src.free = append(src.free, r)
		case mac.Addr(lowest) != r.first:
			src.free = append(src.free, macRange{r.first, mac.Addr(lowest) - 1})
		}
		return nil
	})
	b.Queue(`
		SELECT address + 1, next - 1 FROM (
			SELECT address, lead(address, 1, $2::bigint + 1) OVER (ORDER BY address) AS next
			FROM mac_addresses WHERE address BETWEEN $1 AND $2) AS used
		WHERE next <> address + 1
		ORDER BY address LIMIT $3`, int64(r.first), int64(r.last), limit).Query(func(rows pgx.Rows) error {
		var first, last int64
		_, err := pgx.ForEachRow(rows, []any{&first, &last}, func() error {
			src.free = append(src.free, macRange{mac.Addr(first), mac.Addr(last)})
			return nil
		})
		return err
	})
	return tx.SendBatch(ctx, &b).Close()
}
