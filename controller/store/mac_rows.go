package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// How rows of mac_addresses change. Every statement here also writes, in
// itself, the counters and (unless a port tells it) the lineage of what it
// changed. Beside them only make_port writes to the table.

// macRow is an address as it is to be.
type macRow struct {
	addr    mac.Addr
	segment string // empty: of none
	fence   int64  // of the lease that the address is out of; 0: of none
	*macUse        // shared by the addresses of a request, so never written to
}

// macUse is what an address is for.
type macUse struct {
	tenant    string
	port      string // empty: none
	network   string // empty: any
	device    string
	state     intent.MACState
	origin    intent.MACOrigin
	expires   time.Time // zero: never
	actor     string
	requestID string
}

const noSegment = "00000000-0000-0000-0000-000000000000"

// wantedRows are the rows of macArgs, $1 to $12.
const wantedRows = `
	want AS (
		SELECT address, nullif(segment_id, '')::uuid AS segment_id, tenant_id, nullif(port_id, '')::uuid AS port_id,
			nullif(network_id, '')::uuid AS network_id, device_id, state, origin, expires_at, fence, actor, request_id
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[],
			$10::bigint[], $11::text[], $12::text[])
			AS w (address, segment_id, tenant_id, port_id, network_id, device_id, state, origin, expires_at, fence, actor, request_id))`

func macArgs(list []macRow) []any {
	n := len(list)
	var (
		addrs, fences                      = make([]int64, n), make([]int64, n)
		segments, tenants, ports, networks = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		devices, states, origins           = make([]string, n), make([]string, n), make([]string, n)
		expires                            = make([]*time.Time, n)
		actors, requestIDs                 = make([]string, n), make([]string, n)
	)
	for i := range list {
		r := &list[i]
		addrs[i], segments[i], tenants[i], ports[i], networks[i] = int64(r.addr), r.segment, r.tenant, r.port, r.network
		devices[i], states[i], origins[i], fences[i] = r.device, string(r.state), string(r.origin), r.fence
		if !r.expires.IsZero() {
			expires[i] = &r.expires
		}
		actors[i], requestIDs[i] = r.actor, r.requestID
	}
	return []any{addrs, segments, tenants, ports, networks, devices, states, origins, expires, fences, actors, requestIDs}
}

// assignRows makes rows of addresses that are free and returns those made. An
// address out of a lease is only given while the lease has its fence. admitted
// is a further condition on want. $13 is the kind of the event, ” for none.
func assignRows(admitted string) string {
	return `WITH ` + wantedRows + insertWanted(admitted) + `,
	counted AS (
		INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
		SELECT coalesce(segment_id, '` + noSegment + `'), tenant_id, count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE state = 'reserved'), 0
		FROM made GROUP BY 1, 2),
	told AS (
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, network_id, device_id, actor, request_id)
		SELECT made.address, $13, made.state, made.expires_at, made.segment_id, made.tenant_id, made.network_id, made.device_id, want.actor, want.request_id
		FROM made JOIN want ON want.address = made.address)
	SELECT address FROM made`
}

// takeFree gives the row of a free address anew.
const takeFree = `
		ON CONFLICT ON CONSTRAINT mac_addresses_pkey DO UPDATE SET segment_id = excluded.segment_id, tenant_id = excluded.tenant_id,
			port_id = excluded.port_id, network_id = excluded.network_id, device_id = excluded.device_id, state = excluded.state,
			origin = excluded.origin, expires_at = excluded.expires_at, free_at = NULL, created_at = now(), changed_at = now()
			WHERE m.state = 'free'`

func insertWanted(admitted string) string {
	return `,
	made AS (
		INSERT INTO mac_addresses AS m (address, segment_id, tenant_id, port_id, network_id, device_id, state, origin, expires_at)
		SELECT address, segment_id, tenant_id, port_id, network_id, device_id, state, origin, expires_at FROM want
		WHERE (fence = 0 OR fence IN (SELECT l.fence FROM mac_leases l WHERE l.fence = ANY($10::bigint[]) AND l.expires_at > now()))` + admitted + takeFree + `
		RETURNING address, segment_id, tenant_id, network_id, device_id, state, expires_at)`
}

var assignSQL = assignRows("")

// assignToPortsSQL makes rows of addresses that are free, and leaves counting
// and telling to the end of the transaction.
var assignToPortsSQL = `WITH ` + wantedRows + insertWanted("") + ` SELECT address FROM made`

// wantedAlike are rows that differ in address and fence alone: the others of
// macArgs are single values here, and those of uuids null where they are empty
// there.
const wantedAlike = `
	want AS (
		SELECT address, $2::uuid AS segment_id, $3::text AS tenant_id, $4::uuid AS port_id, $5::uuid AS network_id,
			$6::text AS device_id, $7::text AS state, $8::text AS origin, $9::timestamptz AS expires_at, fence
		FROM unnest($1::bigint[], $10::bigint[]) AS w (address, fence))`

func alikeArgs(r *macRow, addrs, fences []int64) []any {
	var expires *time.Time
	if !r.expires.IsZero() {
		expires = &r.expires
	}
	return []any{addrs, textOrNull(r.segment), r.tenant, textOrNull(r.port), textOrNull(r.network), r.device, string(r.state), string(r.origin), expires, fences}
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// assignAlikeSQL is assignSQL for rows that are alike. It returns a list, which
// is null when all were made.
var assignAlikeSQL = `WITH ` + wantedAlike + insertWanted("") + `,
	counted AS (
		INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
		SELECT $2, $3, CASE $7 WHEN 'active' THEN n ELSE 0 END, CASE $7 WHEN 'reserved' THEN n ELSE 0 END, 0
		FROM (SELECT count(*) AS n FROM made) AS c WHERE n > 0),
	told AS (
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, network_id, device_id, actor, request_id)
		SELECT address, $13, $7, $9::timestamptz, $2, $3, $5, $6, $11, $12 FROM made)
	SELECT CASE WHEN count(*) < cardinality($1::bigint[]) THEN coalesce(array_agg(address), '{}') END FROM made`

// The same for addresses that nobody was ever given, in statements of their own:
// half of what an insert costs is to look for rows in the way, and a fifth to
// pass the rows from part to part of a statement. All are made or none.
const (
	assignNewSQL = `
		INSERT INTO mac_addresses (address, segment_id, tenant_id, port_id, network_id, device_id, state, origin, expires_at)
		SELECT address, $2::uuid, $3, $4::uuid, $5::uuid, $6, $7, $8, $9::timestamptz FROM unnest($1::bigint[]) AS want (address)
		WHERE cardinality($10::bigint[]) = (SELECT count(*) FROM mac_leases l WHERE l.fence = ANY($10::bigint[]) AND l.expires_at > now())`
	countNewSQL = `
		INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
		VALUES ($2::uuid, $3, CASE $4 WHEN 'active' THEN $1 ELSE 0 END, CASE $4 WHEN 'reserved' THEN $1 ELSE 0 END, 0)`
	tellNewSQL = `
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, network_id, device_id, actor, request_id)
		SELECT address, $10, $2, $3::timestamptz, $4::uuid, $5, $6::uuid, $7, $8, $9 FROM unnest($1::bigint[]) AS made (address)`
)

// queueAssignNew makes rows that differ in address and fence alone, of
// addresses out of leases that should have no row. If one has, or if a lease is
// lost, the batch fails, and the transaction has to be tried in another way.
func queueAssignNew(b *pgx.Batch, list []macRow, addrs, fences []int64, kind intent.MACEventKind, made func(mac.Addr)) {
	slices.Sort(fences)
	args := alikeArgs(&list[0], addrs, slices.Compact(fences))
	r, segment, network, expires := &list[0], args[1], args[4], args[8]
	b.Queue(assignNewSQL, args...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(len(addrs)) {
			return errLeaseLost
		}
		for _, a := range addrs {
			made(mac.Addr(a))
		}
		return nil
	})
	b.Queue(countNewSQL, len(addrs), segment, r.tenant, string(r.state))
	b.Queue(tellNewSQL, addrs, string(r.state), expires, segment, r.tenant, network, r.device, r.actor, r.requestID, string(kind))
}

var errLeaseLost = errors.New("store: a lease of MAC addresses is lost")

// queueAssign makes rows of free addresses and says which ones it made. Without
// a kind, ports tell what it was. never says that no address should have a row.
func queueAssign(tx *writeTx, b *pgx.Batch, list []macRow, kind intent.MACEventKind, never bool, made func(mac.Addr)) {
	if len(list) == 0 {
		return
	}
	first := &list[0]
	if kind == "" {
		rows := make(map[mac.Addr]*macRow, len(list))
		for i := range list {
			rows[list[i].addr] = &list[i]
		}
		b.Queue(assignToPortsSQL, macArgs(list)...).Query(eachAddr(func(a mac.Addr) {
			tx.ending.count(rows[a].segment, rows[a].tenant)
			made(a)
		}))
		return
	}
	addrs, fences := make([]int64, len(list)), make([]int64, len(list))
	for i := range list {
		r := &list[i]
		addrs[i], fences[i] = int64(r.addr), r.fence
		if r.segment != first.segment || r.macUse != first.macUse || r.segment == "" {
			b.Queue(assignSQL, append(macArgs(list), string(kind))...).Query(eachAddr(made))
			return
		}
	}
	if never && !slices.Contains(fences, 0) {
		queueAssignNew(b, list, addrs, fences, kind, made)
		return
	}
	b.Queue(assignAlikeSQL, append(alikeArgs(first, addrs, fences), first.actor, first.requestID, string(kind))...).QueryRow(func(row pgx.Row) error {
		var some []int64
		if err := row.Scan(&some); err != nil {
			return err
		}
		if some == nil {
			some = addrs
		}
		for _, a := range some {
			made(mac.Addr(a))
		}
		return nil
	})
}

// numbersOf are addresses as PostgreSQL has them.
func numbersOf(addrs []mac.Addr) []int64 {
	numbers := make([]int64, len(addrs))
	for i, a := range addrs {
		numbers[i] = int64(a)
	}
	return numbers
}

func eachAddr(f func(mac.Addr)) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var address int64
		_, err := pgx.ForEachRow(rows, []any{&address}, func() error { f(mac.Addr(address)); return nil })
		return err
	}
}

// countedChange counts rows in old (before) and done (after).
const countedChange = `
	counted AS (
		INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
		SELECT * FROM (
			SELECT coalesce(segment_id, '` + noSegment + `'), tenant_id, sum(CASE WHEN state = 'active' THEN n ELSE 0 END) AS active,
				sum(CASE WHEN state = 'reserved' THEN n ELSE 0 END) AS reserved, sum(CASE WHEN state = 'quarantined' THEN n ELSE 0 END) AS quarantined
			FROM (SELECT segment_id, tenant_id, state, 1 AS n FROM done
			      UNION ALL SELECT old.segment_id, old.tenant_id, old.state, -1 FROM old JOIN done ON done.address = old.address) AS change
			GROUP BY 1, 2) AS sums
		WHERE active <> 0 OR reserved <> 0 OR quarantined <> 0)`

// takeSQL gives rows that this transaction holds to somebody else.
var takeSQL = `WITH ` + wantedRows + `,
	old AS (
		SELECT m.* FROM mac_addresses m WHERE m.address = ANY($1::bigint[]) ORDER BY m.address FOR UPDATE),
	done AS (
		UPDATE mac_addresses m SET segment_id = w.segment_id, tenant_id = w.tenant_id, port_id = w.port_id, network_id = w.network_id,
			device_id = w.device_id, state = w.state, origin = w.origin, expires_at = w.expires_at, free_at = NULL,
			created_at = CASE WHEN old.state IN ('quarantined', 'free') THEN now() ELSE old.created_at END, changed_at = now()
		FROM want w JOIN old ON old.address = w.address WHERE m.address = w.address
		RETURNING m.address, m.segment_id, m.tenant_id, m.network_id, m.device_id, m.state, m.expires_at),` + countedChange + `,
	told AS (
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, network_id, device_id, actor, request_id)
		SELECT done.address, $13, done.state, done.expires_at, done.segment_id, done.tenant_id, done.network_id, done.device_id, want.actor, want.request_id
		FROM done JOIN want ON want.address = done.address WHERE $13 <> '')
	SELECT address FROM done`

// queueTake gives rows that the transaction holds.
func queueTake(b *pgx.Batch, list []macRow, kind intent.MACEventKind, done func(mac.Addr)) {
	if len(list) == 0 {
		return
	}
	b.Queue(takeSQL, append(macArgs(list), string(kind))...).Query(eachAddr(done))
}

// passage is a statement that moves rows of mac_addresses (m) on in their life.
// $1 is the actor, $2 the request; further values belong to the parts.
type passage struct {
	where string // which rows; may say how to lock them
	set   string // what they become; s is their segment, old the row before
	kind  intent.MACEventKind
	quiet bool // tells nothing
}

// quarantine is what a released address becomes.
const quarantine = `state = 'quarantined', port_id = NULL, network_id = NULL, device_id = '', expires_at = NULL,
	free_at = clock_timestamp() + make_interval(secs => coalesce(s.quarantine_seconds, 600))`

// sql returns the address, the port (before) and the tenant of every row.
func (p passage) sql() string {
	told := ""
	if !p.quiet {
		told = `,
	told AS (
		INSERT INTO mac_events (address, kind, state, until, segment_id, tenant_id, port_id, network_id, device_id, ips, host, datapath, switch_port, interface, actor, request_id)
		SELECT done.address, '` + string(p.kind) + `', done.state, coalesce(done.expires_at, done.free_at), done.segment_id, done.tenant_id,
			old.port_id, coalesce(p.network_id, old.network_id), coalesce(p.device_id, old.device_id), ` + placeOfPort + `, $1, $2
		FROM done JOIN old ON old.address = done.address LEFT JOIN ports p ON p.id = old.port_id)`
	} else {
		told = `, unused AS (SELECT $1::text, $2::text)`
	}
	return `WITH old AS (
		SELECT m.* FROM mac_addresses m WHERE ` + p.where + `),
	done AS (
		UPDATE mac_addresses m SET ` + p.set + `, changed_at = now()
		FROM old LEFT JOIN mac_segments s ON s.id = old.segment_id WHERE m.address = old.address
		RETURNING m.address, m.segment_id, m.tenant_id, m.state, m.expires_at, m.free_at),` + countedChange + told + `
	SELECT done.address, coalesce(old.port_id::text, ''), done.tenant_id FROM done JOIN old ON old.address = done.address`
}

// placeOfPort is where port p is: its addresses, host, datapath, number and
// name of the switch port.
const placeOfPort = `ARRAY(SELECT f.address FROM fixed_ips f WHERE f.port_id = p.id ORDER BY f.ord),
	coalesce(p.host, ''), CASE WHEN p.host ~ '^[0-9a-f]{16}$' THEN p.host ELSE '' END, coalesce(p.port_no, 0), coalesce(p.interface_name, '')`

var (
	// Addresses whose time has come. What cannot be locked at once is somebody
	// else's work just now.
	expireDue = passage{
		where: `m.state = 'reserved' AND m.expires_at <= now() AND ($3::uuid IS NULL OR m.segment_id = $3)
			ORDER BY m.expires_at LIMIT 10000 FOR UPDATE SKIP LOCKED`,
		set: `state = 'quarantined', port_id = NULL, network_id = NULL, device_id = '', expires_at = NULL,
			free_at = old.expires_at + make_interval(secs => coalesce(s.quarantine_seconds, 600))`,
		kind: intent.MACExpired,
	}.sql()
	freeDue = passage{
		where: `m.state = 'quarantined' AND m.free_at <= now() ORDER BY m.free_at LIMIT 10000 FOR UPDATE SKIP LOCKED`,
		set:   `state = 'free'`, quiet: true,
	}.sql()
	releaseOfPort = passage{
		where: `m.port_id = $3 FOR UPDATE`, set: quarantine, kind: intent.MACReleased,
	}.sql()
	keepOfPort = passage{
		where: `m.port_id = $3 FOR UPDATE`,
		set: `state = 'reserved', port_id = NULL, expires_at = $4::timestamptz, origin = 'tenant',
			network_id = (SELECT p.network_id FROM ports p WHERE p.id = old.port_id), device_id = (SELECT p.device_id FROM ports p WHERE p.id = old.port_id)`,
		kind: intent.MACKept,
	}.sql()
	releaseAddress = passage{
		where: `m.address = ANY($3::bigint[]) AND m.state IN ('active', 'reserved') AND m.port_id IS NULL ORDER BY m.address FOR UPDATE`,
		set:   quarantine, kind: intent.MACReleased,
	}.sql()
	releaseOrphans = passage{
		where: `m.state = 'active' AND m.origin = 'port' AND m.port_id IS NULL ORDER BY m.address LIMIT 10000 FOR UPDATE SKIP LOCKED`,
		set:   quarantine, kind: intent.MACOrphaned,
	}.sql()
	// A port gave the address up because another party has it: nobody is to get
	// it until somebody releases it by hand.
	holdConflicted = passage{
		where: `m.address = $3 FOR UPDATE`, kind: intent.MACReassigned,
		set: `state = 'reserved', origin = 'import', port_id = NULL, network_id = NULL, device_id = '', expires_at = NULL, free_at = NULL`,
	}.sql()
	// Another segment, $3, for the addresses from $4 to $5 that are of one of
	// the segments $6, where '' is none.
	rehome = passage{
		where: `m.address BETWEEN $4 AND $5 AND coalesce(m.segment_id::text, '') = ANY($6::text[]) ORDER BY m.address FOR UPDATE`,
		set:   `segment_id = $3::uuid`, quiet: true,
	}.sql()
)

type actorKey struct{}

// WithActor returns a context whose changes are told in the lineage as those
// of a user.
func WithActor(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey{}, user)
}

// Actor is the user that a context acts for; empty: the system itself.
func Actor(ctx context.Context) string {
	user, _ := ctx.Value(actorKey{}).(string)
	return user
}

// quarantinedUntil is the answer to somebody who asks for an address that
// rests.
func quarantinedUntil(a mac.Addr, attr string, until time.Time) error {
	return &Conflict{"MacAddressInUse", attr, fmt.Sprintf(
		"%s %s was released by another tenant lately and is in quarantine until %s", attr, a, until.UTC().Format(time.RFC3339))}
}
