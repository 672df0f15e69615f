package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/allocator"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// macSource is a segment without children that addresses are chosen from.
type macSource struct {
	id, tenant, network, host string // the last three may be empty
	shared                    bool
	listed                    bool // serves only where a MAC allow list names it
	block                     mac.Segment
	strategy                  mac.Strategy
	rested                    []mac.Addr        // released ones, held by this transaction
	free                      []macRange        // gaps that were found and not yet tried
	leased                    []allocator.Claim // out of leases, not yet tried
	dry                       bool              // no lease can be had
	looked, searched          bool              // for rested ones, for gaps; in this round
}

type macRange struct{ first, last mac.Addr }

// ownBlock is any segment around an address, with whose it is.
type ownBlock struct {
	tenant, network string
}

// knownMAC is a row of mac_addresses that the transaction holds.
type knownMAC struct {
	addr                                   mac.Addr
	segment, tenant, port, network, device string
	state                                  intent.MACState
	origin                                 intent.MACOrigin
	freeAt                                 *time.Time
	over                                   bool // the quarantine or the reservation
	given                                  bool // to one of those who want one
}

// macPlan is what a transaction that gives MACs knows of their surroundings.
type macPlan struct {
	store *Store
	tx    *writeTx

	serving []*macSource            // that may give
	around  map[mac.Addr][]ownBlock // segments around the MACs that were asked for
	known   map[mac.Addr]*knownMAC  // of those asked for
	kept    []*knownMAC             // reservations for the instances
	limits  map[string]int64        // quotas of the tenants that have one
	lists   map[string]*macLists    // of the networks that have MAC allow lists
	doubted []string                // segments of leases that may have been lost
	mine    map[mac.Addr]struct{}   // that this transaction is to give or has tried
	claimed []mac.Addr              // of these, those that nobody else in this process is to try
	used    []allocator.Claim       // of these, those out of leases
	never   bool                    // addresses out of leases should have no row
}

func newMACPlan(s *Store, tx *writeTx) *macPlan {
	pl := &macPlan{store: s, tx: tx, around: map[mac.Addr][]ownBlock{}, known: map[mac.Addr]*knownMAC{}, lists: map[string]*macLists{}, limits: map[string]int64{}, mine: map[mac.Addr]struct{}{}}
	tx.after = append(tx.after, pl.end)
	return pl
}

// end lets others try what the transaction had claimed.
func (pl *macPlan) end(committed bool) {
	pl.store.macs.release(pl.claimed...)
	pool := pl.store.leases.pool
	if committed {
		pool.Done(pl.used...)
	} else {
		pool.Return(pl.used...)
	}
	for _, src := range pl.serving {
		pool.Return(src.leased...)
	}
}

// macScope is what the addresses are for.
type macScope struct {
	segments, tenants, networks, hosts, devices []string
	given                                       []int64
}

const macSources = `
	SELECT s.id, coalesce(s.tenant_id, ''), coalesce(s.network_id::text, ''), s.host, s.shared, s.strategy, lower(s.block), upper(s.block)
	FROM mac_segments s`

// queue reads the segments that can serve and those around the MACs that were
// asked for, keeps the tree of segments as it is, and holds the rows of these
// MACs and of reservations.
func (pl *macPlan) queue(b *pgx.Batch, sc macScope) {
	queueLimits(b, KindMACAddress, sc.tenants, pl.limits)
	b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, lockSegments)
	b.Queue(macSources+`
		WHERE (s.network_id = ANY($1::uuid[]) OR s.host = ANY($3::text[]) AND s.host <> '' OR s.id = ANY($4::uuid[])
		       OR s.network_id IS NULL AND s.host = '' AND (s.tenant_id = ANY($2::text[]) OR s.shared))
		  AND NOT EXISTS (SELECT FROM mac_segments c WHERE c.parent_id = s.id)
		ORDER BY lower(s.block)`, sc.networks, sc.tenants, sc.hosts, sc.segments).Query(func(rows pgx.Rows) error {
		found, err := collectSources(rows)
		pl.serving = append(pl.serving, found...)
		return err
	})
	if len(sc.devices) > 0 {
		b.Queue(knownMACs+`
			WHERE m.device_id = ANY($1::text[]) AND m.device_id <> '' AND m.tenant_id = ANY($2::text[]) AND m.state = 'reserved'
			  AND (m.expires_at IS NULL OR m.expires_at > now()) AND m.address <> ALL ($3::bigint[])
			ORDER BY m.address FOR UPDATE SKIP LOCKED`, sc.devices, sc.tenants, append([]int64{}, sc.given...)).Query(func(rows pgx.Rows) error {
			return eachKnownMAC(rows, func(k *knownMAC) { pl.kept = append(pl.kept, k) })
		})
	}
	if len(sc.given) == 0 {
		return
	}
	b.Queue(`
		SELECT g.address, coalesce(s.tenant_id, ''), coalesce(s.network_id::text, '')
		FROM unnest($1::bigint[]) AS g (address) JOIN mac_segments s ON s.block @> g.address
		WHERE s.tenant_id IS NOT NULL OR s.network_id IS NOT NULL`, sc.given).Query(func(rows pgx.Rows) error {
		var address int64
		var block ownBlock
		_, err := pgx.ForEachRow(rows, []any{&address, &block.tenant, &block.network}, func() error {
			pl.around[mac.Addr(address)] = append(pl.around[mac.Addr(address)], block)
			return nil
		})
		return err
	})
	b.Queue(knownMACs+` WHERE m.address = ANY($1::bigint[]) ORDER BY m.address FOR UPDATE`, sc.given).Query(func(rows pgx.Rows) error {
		return eachKnownMAC(rows, func(k *knownMAC) { pl.known[k.addr] = k })
	})
}

const knownMACs = `
	SELECT m.address, coalesce(m.segment_id::text, ''), m.tenant_id, coalesce(m.port_id::text, ''), coalesce(m.network_id::text, ''), m.device_id,
		m.state, m.origin, m.free_at, coalesce(m.free_at <= now(), false) OR coalesce(m.expires_at <= now(), false)
	FROM mac_addresses m`

func eachKnownMAC(rows pgx.Rows, f func(*knownMAC)) error {
	var k knownMAC
	var address int64
	_, err := pgx.ForEachRow(rows, []any{&address, &k.segment, &k.tenant, &k.port, &k.network, &k.device, &k.state, &k.origin, &k.freeAt, &k.over}, func() error {
		found := k
		found.addr = mac.Addr(address)
		f(&found)
		return nil
	})
	return err
}

// segmentsOf are the segments that give somebody a MAC: those of the host,
// which are only the first choice, then those of the network, or else of the
// tenant, or else (whose is empty) the shared ones.
func (pl *macPlan) segmentsOf(row *macRow, host string) (ofHost, serving []*macSource, whose string) {
	pick := func(fits func(*macSource) bool) (list []*macSource) {
		for _, s := range pl.serving {
			if !s.listed && fits(s) {
				list = append(list, s)
			}
		}
		return list
	}
	if host != "" {
		ofHost = pick(func(s *macSource) bool {
			return s.host == host && (s.tenant == "" || s.tenant == row.tenant) && (s.network == "" || s.network == row.network)
		})
	}
	if row.network != "" {
		serving = pick(func(s *macSource) bool { return s.network == row.network && s.host == "" })
		if len(serving) > 0 {
			return ofHost, serving, "network " + row.network
		}
	}
	serving = pick(func(s *macSource) bool {
		return s.network == "" && s.host == "" && s.tenant == row.tenant && s.tenant != ""
	})
	if len(serving) > 0 {
		return ofHost, serving, "tenant " + row.tenant
	}
	return ofHost, pick(func(s *macSource) bool { return s.network == "" && s.host == "" && s.tenant == "" }), ""
}

func blocks(serving []*macSource) string {
	texts := make([]string, len(serving))
	for i, s := range serving {
		texts[i] = s.block.String()
	}
	return strings.Join(texts, ", ")
}

// wantedMAC is an address that somebody is to get.
type wantedMAC struct {
	row   macRow
	host  string // that it is for; may be empty
	attr  string // of the request, for messages
	kind  intent.MACEventKind
	only  *macSource   // the segment that was asked for; may be nil
	from  []*macSource // to choose from; empty: the address is settled
	hold  bool         // the transaction holds the row
	owned bool         // the tenant has it already: no more than before
	tries uint64       // of the addresses that belong to the instance
	done  bool
}

// alike says that what was settled for another one goes for w too: neither has a
// port, so no address is kept for them, and any will do for both.
func (w *wantedMAC) alike(o *wantedMAC) bool {
	return w.row.macUse == o.row.macUse && w.row.addr == 0 && o.row.addr == 0 && w.row.port == "" && w.host == o.host && w.only == o.only
}

// settle says where the address of w is to come from.
func (pl *macPlan) settle(w *wantedMAC) error {
	w.kind = intent.MACAllocated
	if w.row.state == intent.MACReserved {
		w.kind = intent.MACHeld
	}
	var ofHost, serving []*macSource
	whose := "segment_id"
	if w.only != nil {
		serving = []*macSource{w.only}
	} else {
		ofHost, serving, whose = pl.segmentsOf(&w.row, w.host)
	}
	lists := pl.lists[w.row.network]
	if w.row.addr != 0 {
		if err := lists.refuse(w); err != nil {
			return err
		}
		return pl.settleGiven(w, lists.and(slices.Concat(ofHost, serving)), whose)
	}
	if k := pl.keptFor(&w.row); k != nil {
		k.given = true
		w.row.addr, w.row.segment, w.hold, w.owned, w.kind = k.addr, k.segment, true, true, intent.MACTaken
		return nil
	}
	if w.from = lists.narrow(slices.Concat(ofHost, serving)); lists != nil && len(w.from) == 0 {
		return lists.nothing(w)
	}
	if len(w.from) == 0 {
		return &Conflict{"MacAddressGenerationFailure", w.attr,
			w.attr + ": there is no MAC segment to take an address from; create one or name the address"}
	}
	return nil
}

// keptFor finds a reservation for the instance of a port: rather one for its
// network.
func (pl *macPlan) keptFor(row *macRow) (found *knownMAC) {
	if row.port == "" || row.device == "" {
		return nil
	}
	for _, k := range pl.kept {
		if k.given || k.tenant != row.tenant || k.device != row.device || k.network != "" && k.network != row.network || !pl.lists[row.network].has(k.addr) {
			continue
		}
		if k.network != "" {
			return k
		}
		if found == nil {
			found = k
		}
	}
	return found
}

// settleGiven says whether somebody may have the MAC that was asked for, and
// finds the segment that it lies in.
func (pl *macPlan) settleGiven(w *wantedMAC, serving []*macSource, whose string) error {
	a := w.row.addr
	pl.mine[a] = struct{}{}
	switch {
	case a > mac.Max:
		return &Invalid{w.attr, w.attr + " has more than 48 bits"}
	case a.IsGroup():
		return &Invalid{w.attr, fmt.Sprintf("%s %s has the group bit set; it must be the address of a station", w.attr, a)}
	}
	known := pl.known[a]
	// What the tenant holds already it may use, wherever it lies.
	if known != nil && (known.state == intent.MACReserved || known.state == intent.MACActive) && known.tenant == w.row.tenant {
		return pl.settleOwn(w, known)
	}
	inside := slices.IndexFunc(serving, func(s *macSource) bool { return s.block.Contains(a) })
	switch {
	case inside >= 0:
		w.row.segment = serving[inside].id
	case whose != "":
		return &Invalid{w.attr, fmt.Sprintf("%s %s lies outside the MAC segments of %s: %s", w.attr, a, whose, blocks(serving))}
	default:
		for _, around := range pl.around[a] {
			switch {
			case around.network != "" && around.network != w.row.network:
				return &Invalid{w.attr, fmt.Sprintf("%s %s lies in a MAC segment of another network", w.attr, a)}
			case around.tenant != "" && around.tenant != w.row.tenant:
				return &Invalid{w.attr, fmt.Sprintf("%s %s lies in a MAC segment of another tenant", w.attr, a)}
			}
		}
	}
	switch {
	case known == nil:
	case known.given, known.state == intent.MACActive, known.state == intent.MACReserved:
		return macInUse(w.attr, a.String())
	case known.state == intent.MACQuarantined && !known.over && known.tenant != w.row.tenant:
		return quarantinedUntil(a, w.attr, *known.freeAt)
	default:
		known.given, w.hold = true, true
	}
	return nil
}

// settleOwn gives an address that the tenant holds to a port of it.
func (pl *macPlan) settleOwn(w *wantedMAC, known *knownMAC) error {
	fits := w.row.port != "" && known.port == "" && !known.given && known.origin == intent.MACOfTenant &&
		(known.device == "" || known.device == w.row.device) && (known.network == "" || known.network == w.row.network)
	if !fits {
		return macInUse(w.attr, w.row.addr.String())
	}
	known.given = true
	w.row.segment, w.hold, w.owned, w.kind = known.segment, true, true, intent.MACTaken
	return nil
}

// settleAll settles what is wanted: first what was asked for by name, then what
// can be any.
func (pl *macPlan) settleAll(ctx context.Context, all []wantedMAC) ([]wantedMAC, error) {
	open := func(w wantedMAC) int {
		if w.row.addr != 0 {
			return 0
		}
		return 1
	}
	// In the order of addresses, so that two requests for the same ones do not
	// wait for each other.
	slices.SortStableFunc(all, func(a, b wantedMAC) int {
		return cmp.Or(cmp.Compare(open(a), open(b)), cmp.Compare(a.row.addr, b.row.addr))
	})
	for i := range all {
		if i > 0 && all[i].row.addr != 0 && all[i].row.addr == all[i-1].row.addr {
			return nil, macInUse(all[i].attr, all[i].row.addr.String())
		}
	}
	more := map[string]int64{}
	for i := range all {
		if i > 0 && all[i].alike(&all[i-1]) {
			all[i].kind, all[i].from = all[i-1].kind, all[i-1].from
		} else if err := pl.settle(&all[i]); err != nil {
			return nil, err
		}
		if !all[i].owned {
			more[all[i].row.tenant]++
		}
	}
	return all, checkLimits(ctx, pl.tx, KindMACAddress, pl.limits, more)
}

// queueGive writes the addresses and marks those that nobody else had. kind is
// that of every event, or empty where ports tell theirs.
func (pl *macPlan) queueGive(b *pgx.Batch, wanted []wantedMAC, tell bool) {
	index := make(map[mac.Addr]*wantedMAC, len(wanted))
	type list struct{ assign, take []macRow }
	byKind := map[intent.MACEventKind]*list{}
	for i := range wanted {
		w := &wanted[i]
		index[w.row.addr] = w
		var kind intent.MACEventKind
		if tell {
			kind = w.kind
		}
		l := byKind[kind]
		if l == nil {
			l = &list{}
			byKind[kind] = l
		}
		if w.hold {
			l.take = append(l.take, w.row)
		} else {
			l.assign = append(l.assign, w.row)
		}
	}
	done := func(a mac.Addr) { index[a].done = true }
	byAddress := func(a, b macRow) int { return cmp.Compare(a.addr, b.addr) }
	for kind, l := range byKind {
		// In the order of addresses, so that nobody waits in a circle.
		slices.SortFunc(l.assign, byAddress)
		for part := range slices.Chunk(l.assign, assignBatch) {
			queueAssign(pl.tx, b, part, kind, pl.never, done)
		}
		queueTake(b, l.take, kind, done)
	}
}

// assignBatch is how many rows one statement makes.
const assignBatch = 2000

// left returns what is to be chosen anew.
func (pl *macPlan) left(wanted []wantedMAC) ([]wantedMAC, error) {
	var left []wantedMAC
	for _, w := range wanted {
		switch {
		case w.done:
			continue
		case len(w.from) == 0:
			return nil, macInUse(w.attr, w.row.addr.String())
		}
		if w.row.fence != 0 {
			pl.doubted = append(pl.doubted, w.row.segment)
		}
		w.hold, w.row.fence = false, 0
		left = append(left, w)
	}
	return left, nil
}
