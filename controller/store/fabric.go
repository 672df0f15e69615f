package store

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// FabricKey returns the key that signs the frames by which links are found. The
// first controller makes it.
func (s *Store) FabricKey(ctx context.Context) (key fabric.Key, err error) {
	made := make([]byte, 32)
	_, _ = rand.Read(made) // it never fails
	err = s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO fabric_key (key) VALUES ($1) ON CONFLICT ON CONSTRAINT fabric_key_pkey DO NOTHING`, made); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT key FROM fabric_key`).Scan((*[]byte)(&key))
	})
	return key, err
}

// ErrUnrecorded says that a link or a host is of a switch that is not recorded yet.
var ErrUnrecorded = errors.New("store: a switch of the fabric is not recorded")

// unrecorded makes ErrUnrecorded of what PostgreSQL says then, and leaves other errors.
func unrecorded(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && slices.Contains([]string{"fabric_links_a_fkey", "fabric_links_b_fkey", "fabric_hosts_dpid_fkey"}, pg.ConstraintName) {
		return ErrUnrecorded
	}
	return err
}

// SaveLinks replaces the links that are known, gives numbers to their switches that have none,
// returns those of all, and tells of the
// links that came and went. ErrUnrecorded is to be tried again.
func (s *Store) SaveLinks(ctx context.Context, links []fabric.Known) (slots map[intent.DPID]uint16, err error) {
	n := len(links)
	a, b := make([]string, n), make([]string, n)
	aPorts, bPorts := make([]int64, n), make([]int64, n)
	down, tree, since := make([]bool, n), make([]bool, n), make([]time.Time, n)
	for i, l := range links {
		a[i], b[i], aPorts[i], bPorts[i] = l.A.DPID.String(), l.B.DPID.String(), int64(l.A.Port), int64(l.B.Port)
		down[i], tree[i], since[i] = l.Down, l.Tree, l.Since
	}
	err = s.write(ctx, func(tx *writeTx) error {
		before, err := readLinks(ctx, tx, "FOR UPDATE")
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM fabric_links WHERE (a_dpid, a_port, b_dpid, b_port) NOT IN (
				SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]))`, a, aPorts, b, bPorts)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO fabric_links (a_dpid, a_port, b_dpid, b_port, down, tree, since)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::boolean[], $6::boolean[], $7::timestamptz[])
			ON CONFLICT ON CONSTRAINT fabric_links_pkey DO UPDATE SET down = excluded.down, tree = excluded.tree, since = excluded.since
			WHERE (fabric_links.down, fabric_links.tree, fabric_links.since) <> (excluded.down, excluded.tree, excluded.since)`,
			a, aPorts, b, bPorts, down, tree, since)
		if err != nil {
			return unrecorded(err)
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO fabric_slots (dpid, slot)
			SELECT dpid, slot FROM (
				SELECT dpid, row_number() OVER (ORDER BY dpid COLLATE "C") AS n
				FROM (SELECT a_dpid AS dpid FROM fabric_links UNION SELECT b_dpid FROM fabric_links) AS linked
				WHERE dpid NOT IN (SELECT dpid FROM fabric_slots)) AS wanting
			JOIN (
				SELECT slot, row_number() OVER (ORDER BY slot) AS n FROM generate_series(1, $1) AS slot
				WHERE slot NOT IN (SELECT slot FROM fabric_slots)) AS free USING (n)
			RETURNING dpid`, mac.MaxSlot)
		if err != nil {
			return err
		}
		fresh, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, dpid := range fresh { // ports there are reached by links from now on
			tx.changed(KindSwitch, dpid, "", OpUpdate)
		}
		if slots, err = fabricSlots(ctx, tx); err != nil {
			return err
		}
		return tx.happened(linkEvents(before, links)...)
	})
	return slots, err
}

// FabricSlots returns the numbers of the switches that are or were linked.
func (s *Store) FabricSlots(ctx context.Context) (slots map[intent.DPID]uint16, err error) {
	err = s.read(ctx, func(q querier) error {
		slots, err = fabricSlots(ctx, q)
		return err
	})
	return slots, err
}

func fabricSlots(ctx context.Context, q querier) (map[intent.DPID]uint16, error) {
	rows, err := q.Query(ctx, `SELECT dpid, slot FROM fabric_slots`)
	if err != nil {
		return nil, err
	}
	slots := map[intent.DPID]uint16{}
	var text string
	var slot uint16
	_, err = pgx.ForEachRow(rows, []any{&text, &slot}, func() error {
		d, err := intent.ParseDPID(text)
		slots[d] = slot
		return err
	})
	return slots, err
}

// linkEvents says which links came and went.
func linkEvents(before, now []fabric.Known) (list []intent.Event) {
	tell := func(kind intent.EventKind, l fabric.Link) {
		list = append(list, intent.Event{
			Kind: kind, Switch: l.A.DPID, Port: l.A.Port,
			Details: map[string]any{"peer_switch": l.B.DPID.String(), "peer_port": l.B.Port},
		})
	}
	up := map[fabric.Link]bool{}
	for _, l := range now {
		up[l.Link] = !l.Down
	}
	was := map[fabric.Link]bool{}
	for _, l := range before {
		was[l.Link] = !l.Down
		if !l.Down && !up[l.Link] {
			tell(intent.EventLinkDown, l.Link)
		}
	}
	for _, l := range now {
		if !l.Down && !was[l.Link] {
			tell(intent.EventLinkUp, l.Link)
		}
	}
	return list
}

// Links lists the links that are known, in order.
func (s *Store) Links(ctx context.Context) (list []fabric.Known, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		list, err = readLinks(ctx, q, "")
		return err
	})
	return list, err
}

func readLinks(ctx context.Context, q querier, lock string) ([]fabric.Known, error) {
	rows, err := q.Query(ctx, `
		SELECT a_dpid, a_port, b_dpid, b_port, down, tree, since FROM fabric_links
		ORDER BY a_dpid COLLATE "C", a_port, b_dpid COLLATE "C", b_port `+lock)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanLink)
}

func scanLink(row pgx.CollectableRow) (k fabric.Known, err error) {
	var a, b string
	if err := row.Scan(&a, &k.A.Port, &b, &k.B.Port, &k.Down, &k.Tree, &k.Since); err != nil {
		return k, err
	}
	if k.A.DPID, err = intent.ParseDPID(a); err == nil {
		k.B.DPID, err = intent.ParseDPID(b)
	}
	return k, err
}

// SaveFabricHosts writes what has become of hosts of the fabric, and tells of it; what
// is said of no host stays.
func (s *Store) SaveFabricHosts(ctx context.Context, changes []fabric.HostChange) error {
	var gone, macs, ports, moves, all []int64
	var switches, ips []string
	var since, seen []time.Time
	var moved []*time.Time
	for _, c := range changes {
		all = append(all, int64(c.MAC))
		if c.Gone {
			gone = append(gone, int64(c.MAC))
			continue
		}
		texts := make([]string, len(c.IPs))
		for i, ip := range c.IPs {
			texts[i] = ip.String()
		}
		var at *time.Time
		if c.Moves > 0 {
			at = &c.MovedAt
		}
		macs, ports, moves = append(macs, int64(c.MAC)), append(ports, int64(c.At.Port)), append(moves, c.Moves)
		switches, ips = append(switches, c.At.DPID.String()), append(ips, strings.Join(texts, ","))
		since, seen, moved = append(since, c.Since), append(seen, c.LastSeen), append(moved, at)
	}
	return s.write(ctx, func(tx *writeTx) error {
		before, err := readFabricHosts(ctx, tx, `WHERE mac = ANY ($1::bigint[])`, all)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM fabric_hosts WHERE mac = ANY ($1::bigint[])`, gone); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO fabric_hosts (mac, dpid, port, ip_addresses, since, last_seen, moved_at, moves)
			SELECT mac, dpid, port, string_to_array(ips, ',')::inet[], since, seen, moved, moves
			FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::bigint[])
				AS h (mac, dpid, port, ips, since, seen, moved, moves)
			ON CONFLICT ON CONSTRAINT fabric_hosts_pkey DO UPDATE SET dpid = excluded.dpid, port = excluded.port, ip_addresses = excluded.ip_addresses,
				since = excluded.since, last_seen = excluded.last_seen, moved_at = excluded.moved_at, moves = excluded.moves`,
			macs, switches, ports, ips, since, seen, moved, moves)
		if err != nil {
			return unrecorded(err)
		}
		return tx.happened(hostEvents(before, changes)...)
	})
}

// hostEvents says which hosts came, moved and went.
func hostEvents(before []fabric.Host, changes []fabric.HostChange) (list []intent.Event) {
	known := make(map[mac.Addr]*fabric.Host, len(before))
	for i := range before {
		known[before[i].MAC] = &before[i]
	}
	for _, c := range changes {
		was := known[c.MAC]
		e := intent.Event{MAC: c.MAC, Switch: c.At.DPID, Port: c.At.Port}
		switch {
		case c.Gone && was != nil:
			e.Kind, e.Switch, e.Port = intent.EventHostGone, was.At.DPID, was.At.Port
		case c.Gone:
			continue
		case was == nil:
			e.Kind, e.Details = intent.EventHostSeen, map[string]any{"ip_addresses": append([]netip.Addr{}, c.IPs...)}
		case was.At != c.At || c.Moves > was.Moves:
			e.Kind = intent.EventHostMoved
			e.Details = map[string]any{"moves": c.Moves, "from_switch": was.At.DPID.String(), "from_port": was.At.Port}
		default:
			continue
		}
		list = append(list, e)
	}
	return list
}

// tellForgotten tells that the links and hosts of a switch go with it.
func tellForgotten(ctx context.Context, tx *writeTx, d intent.DPID) error {
	links, err := readLinks(ctx, tx, "")
	if err != nil {
		return err
	}
	links = slices.DeleteFunc(links, func(l fabric.Known) bool { return l.A.DPID != d && l.B.DPID != d })
	hosts, err := readFabricHosts(ctx, tx, `WHERE dpid = $1`, d.String())
	if err != nil {
		return err
	}
	gone := make([]fabric.HostChange, len(hosts))
	for i, h := range hosts {
		gone[i] = fabric.HostChange{Host: h, Gone: true}
	}
	return tx.happened(append(linkEvents(links, nil), hostEvents(hosts, gone)...)...)
}

// FabricHosts lists the hosts of the fabric in the order of their addresses.
func (s *Store) FabricHosts(ctx context.Context) (list []fabric.Host, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		list, err = readFabricHosts(ctx, q, "")
		return err
	})
	return list, err
}

func readFabricHosts(ctx context.Context, q querier, where string, a ...any) ([]fabric.Host, error) {
	rows, err := q.Query(ctx, `SELECT mac, dpid, port, ip_addresses, since, last_seen, moved_at, moves FROM fabric_hosts `+where+` ORDER BY mac`, a...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanFabricHost)
}

func scanFabricHost(row pgx.CollectableRow) (h fabric.Host, err error) {
	var at string
	var moved *time.Time
	if err := row.Scan(&h.MAC, &at, &h.At.Port, &h.IPs, &h.Since, &h.LastSeen, &moved, &h.Moves); err != nil {
		return h, err
	}
	if moved != nil {
		h.MovedAt = *moved
	}
	h.At.DPID, err = intent.ParseDPID(at)
	return h, err
}
