package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// keptMoves is how many moves are kept, the latest of them.
const keptMoves = 100_000

var macMoves = entity[intent.MACMove]{
	kind:  KindMACMove,
	table: "mac_moves",
	columns: `mac_moves.id, mac_moves.address, mac_moves.from_dpid, mac_moves.from_port, mac_moves.to_dpid, mac_moves.to_port,
		mac_moves.verdict, mac_moves.times, mac_moves.first_at, mac_moves.last_at`,
	from:    "mac_moves",
	visible: "false AND $tenant = ''", // they are the operator's
	order:   "mac_moves.last_at, mac_moves.id",
	filters: map[string]filter{
		"id":          byUUID("mac_moves.id"),
		"mac_address": byMAC("mac_moves.address"),
		"from_switch": byText("mac_moves.from_dpid"),
		"from_port":   byNumber("mac_moves.from_port"),
		"to_switch":   byText("mac_moves.to_dpid"),
		"to_port":     byNumber("mac_moves.to_port"),
		"verdict":     byText("mac_moves.verdict"),
	},
	sorts: map[string]string{
		"id":          "mac_moves.id",
		"mac_address": "mac_moves.address",
		"from_switch": byBytes("mac_moves.from_dpid"),
		"from_port":   "mac_moves.from_port",
		"to_switch":   byBytes("mac_moves.to_dpid"),
		"to_port":     "mac_moves.to_port",
		"verdict":     byBytes("mac_moves.verdict"),
		"times":       "mac_moves.times",
		"first_at":    "mac_moves.first_at",
		"last_at":     "mac_moves.last_at",
	},
	scan: func(row pgx.CollectableRow) (m intent.MACMove, err error) {
		var address int64
		var from, to string
		err = row.Scan(&m.ID, &address, &from, &m.From.Port, &to, &m.To.Port, &m.Verdict, &m.Times, &m.First, &m.Last)
		if err != nil {
			return m, err
		}
		m.MAC = mac.Addr(address)
		if from != "" {
			m.From.Switch, err = intent.ParseDPID(from)
		}
		if err == nil {
			m.To.Switch, err = intent.ParseDPID(to)
		}
		return m, err
	},
}

// MACMoves lists the moves of stations at the edge of fabrics.
func (s *Store) MACMoves(ctx context.Context, sc Scope, q Query) (list []intent.MACMove, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = macMoves.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// MACMove returns one.
func (s *Store) MACMove(ctx context.Context, sc Scope, id string) (m intent.MACMove, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		m, err = macMoves.get(ctx, db, sc, id)
		return err
	})
	return m, err
}

// RecordMoves adds to what is known of moves; no two are of the same station between the
// same places. Of a move that has been judged, the last verdict stays.
func (s *Store) RecordMoves(ctx context.Context, moves []intent.MACMove) error {
	n := len(moves)
	ids, addresses, times := make([]string, n), make([]int64, n), make([]int64, n)
	from, to, verdicts := make([]string, n), make([]string, n), make([]string, n)
	fromPorts, toPorts := make([]int64, n), make([]int64, n)
	first, last := make([]time.Time, n), make([]time.Time, n)
	for i, m := range moves {
		ids[i], addresses[i], times[i], verdicts[i] = uuid.NewString(), int64(m.MAC), m.Times, string(m.Verdict)
		to[i], fromPorts[i], toPorts[i] = m.To.Switch.String(), int64(m.From.Port), int64(m.To.Port)
		if m.From != (intent.Place{}) {
			from[i] = m.From.Switch.String()
		}
		first[i], last[i] = m.First, m.Last
	}
	return s.write(ctx, func(tx *writeTx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO mac_moves AS m (id, address, from_dpid, from_port, to_dpid, to_port, verdict, times, first_at, last_at)
			SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
				AS n (id, address, from_dpid, from_port, to_dpid, to_port, verdict, times, first_at, last_at)
			ORDER BY address, from_dpid, from_port, to_dpid, to_port
			ON CONFLICT ON CONSTRAINT mac_moves_key DO UPDATE SET times = m.times + excluded.times, last_at = greatest(m.last_at, excluded.last_at),
				verdict = CASE excluded.verdict WHEN 'move' THEN m.verdict ELSE excluded.verdict END`,
			ids, addresses, from, fromPorts, to, toPorts, verdicts, times, first, last)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM mac_moves WHERE last_at < (SELECT last_at FROM mac_moves ORDER BY last_at DESC, id DESC OFFSET $1 LIMIT 1)`, keptMoves)
		return err
	})
}

// Managed is an address of ours that was seen somewhere.
type Managed struct {
	MACSighting
	NetworkID string       // that it is for; empty: none in particular
	Home      intent.Place // where its port is; zero: it has none, or only the interface is known
	Bound     bool         // its port is to be at some place
	Misplaced bool         // that is not where it was seen, or nobody is to use it now
}

// FindManaged returns those of the addresses that were given to somebody, or are held.
func (s *Store) FindManaged(ctx context.Context, seen []MACSighting) (found []Managed, err error) {
	n := len(seen)
	addresses, switches, ports, names := make([]int64, n), make([]string, n), make([]int64, n), make([]string, n)
	for i, m := range seen {
		addresses[i], switches[i], ports[i], names[i] = int64(m.Addr), m.Datapath.String(), int64(m.SwitchPort), m.Interface
	}
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `
			SELECT s.n, coalesce(ports.network_id, g.network_id)::text, coalesce(home.host, ''), coalesce(home.port_no, 0), coalesce(`+misplaced("s.dpid", "s.port", "s.interface")+`, false)
			FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY AS s (address, dpid, port, interface, n)
			JOIN mac_addresses m ON m.address = s.address LEFT JOIN mac_segments g ON g.id = m.segment_id`+atHome, addresses, switches, ports, names)
		if err != nil {
			return err
		}
		var at int
		var network *string
		var host string
		var port int64
		var wrong bool
		found = nil
		_, err = pgx.ForEachRow(rows, []any{&at, &network, &host, &port, &wrong}, func() error {
			m := Managed{MACSighting: seen[at-1], Bound: host != "", Misplaced: wrong}
			if network != nil {
				m.NetworkID = *network
			}
			if d, err := intent.ParseDPID(host); err == nil && port > 0 {
				m.Home = intent.Place{Switch: d, Port: uint32(port)}
			}
			found = append(found, m)
			return nil
		})
		return err
	})
	return found, err
}

// atHome finds the port of an address m and where it is, be it asked for or found by its interface.
var atHome = ` LEFT JOIN ports ON ports.id = m.port_id` + attached + ` LEFT JOIN LATERAL (
	SELECT b.host, b.interface, coalesce(nullif(b.port_no, 0),
		(SELECT a.ofport FROM attachments a WHERE a.dpid = b.host AND a.interface = b.interface AND a.ofport > 0),
		(SELECT (e ->> 'no')::bigint FROM switches sw, jsonb_array_elements(sw.ports) e WHERE sw.dpid = b.host AND e ->> 'name' = b.interface LIMIT 1)) AS port_no
	FROM (SELECT coalesce((SELECT sw.dpid FROM switches sw WHERE sw.hostname <> '' AND sw.hostname = ` + boundHost + ` ORDER BY sw.dpid LIMIT 1), ` + boundHost + `) AS host,
		` + boundInterface + ` AS interface, ` + boundPortNo + ` AS port_no) AS b
	WHERE ports.id IS NOT NULL) AS home ON true`

// misplaced is the condition that an address m, which is atHome somewhere, was seen where it does not belong. It does
// belong at any interface that has the id of its port: so it may be at two while an instance migrates.
func misplaced(dpid, port, iface string) string {
	return `(m.state IN ('reserved', 'quarantined') OR home.host <> '' AND (home.host <> ` + dpid +
		` OR home.interface <> '' AND ` + iface + ` <> '' AND home.interface <> ` + iface + ` OR home.port_no <> 0 AND home.port_no <> ` + port + `)
		AND NOT EXISTS (SELECT FROM attachments a WHERE a.port_id = m.port_id AND a.ofport > 0 AND a.dpid = ` + dpid + ` AND a.ofport = ` + port + `))`
}
