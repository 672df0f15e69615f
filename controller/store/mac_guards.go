package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var macGuards = record[intent.MACGuard]{
	entity: entity[intent.MACGuard]{
		kind:  KindMACGuard,
		table: "mac_guards",
		columns: `mac_guards.id, '', '', mac_guards.description, '{}'::text[], mac_guards.revision, mac_guards.created_at, mac_guards.updated_at,
			coalesce(mac_guards.network_id::text, ''), coalesce(mac_guards.action, ''), coalesce(mac_guards.moves, 0),
			coalesce(mac_guards.window_seconds, 0), coalesce(mac_guards.recovery_seconds, 0), mac_guards.exempt, mac_guards.trusted`,
		from:    "mac_guards",
		visible: "false AND $tenant = ''", // they are the operator's
		order:   "mac_guards.id",
		filters: map[string]filter{
			"id":              byUUID("mac_guards.id"),
			"description":     byText("mac_guards.description"),
			"network_id":      byOptionalUUID("mac_guards.network_id"),
			"action":          byText("mac_guards.action"),
			"revision_number": byNumber("mac_guards.revision"),
		},
		sorts: map[string]string{
			"id":              "mac_guards.id",
			"description":     byBytes("mac_guards.description"),
			"network_id":      "coalesce(mac_guards.network_id, '00000000-0000-0000-0000-000000000000')",
			"action":          byBytes("coalesce(mac_guards.action, '')"),
			"created_at":      "mac_guards.created_at",
			"updated_at":      "mac_guards.updated_at",
			"revision_number": "mac_guards.revision",
		},
		scan: func(row pgx.CollectableRow) (g intent.MACGuard, err error) {
			var window, recovery int64
			var exempt, trusted []string
			err = row.Scan(append(metaTargets(&g.Meta), &g.NetworkID, &g.Action, &g.Moves, &window, &recovery, &exempt, &trusted)...)
			if err != nil {
				return g, err
			}
			g.Window, g.Recovery = time.Duration(window)*time.Second, time.Duration(recovery)*time.Second
			if g.Exempt, err = parsed(exempt, mac.ParseSegment); err == nil {
				g.Trusted, err = parsed(trusted, intent.ParsePlace)
			}
			return g, err
		},
	},
	meta:   func(g *intent.MACGuard) *intent.Meta { return &g.Meta },
	fields: []string{"network_id", "description", "action", "moves", "window_seconds", "recovery_seconds", "exempt", "trusted"},
	values: func(g *intent.MACGuard) []any {
		return []any{
			orNull(g.NetworkID), g.Description, orNull(string(g.Action)), orNull(g.Moves), orNull(int64(g.Window / time.Second)), orNull(int64(g.Recovery / time.Second)),
			texts(g.Exempt), texts(g.Trusted),
		}
	},
	settle: func(ctx context.Context, tx *writeTx, sc Scope, g, old *intent.MACGuard) error {
		if old != nil {
			g.NetworkID = old.NetworkID
			return nil
		}
		if g.NetworkID == "" {
			return nil
		}
		if err := networks.ref(&g.NetworkID); err != nil {
			return err
		}
		_, err := networks.lock(ctx, tx, sc, g.NetworkID)
		return err
	},
	ownerless: true,
}

// parsed reads texts; nil stays nil.
func parsed[V any](texts []string, parse func(string) (V, error)) ([]V, error) {
	if texts == nil {
		return nil, nil
	}
	list := make([]V, len(texts))
	for i, text := range texts {
		var err error
		if list[i], err = parse(text); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// texts is the other way round.
func texts[V interface{ String() string }](list []V) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// MACGuards lists the settings of the MAC guard.
func (s *Store) MACGuards(ctx context.Context, sc Scope, q Query) ([]intent.MACGuard, error) {
	return macGuards.all(ctx, s, sc, q)
}

// MACGuard returns the settings for one network, or for all others.
func (s *Store) MACGuard(ctx context.Context, sc Scope, id string) (intent.MACGuard, error) {
	return macGuards.show(ctx, s, sc, id)
}

// CreateMACGuards makes settings, all or none.
func (s *Store) CreateMACGuards(ctx context.Context, sc Scope, in []intent.MACGuard) ([]intent.MACGuard, error) {
	return macGuards.create(ctx, s, sc, in)
}

// UpdateMACGuard changes settings; what they are for is not to change. change may run more than once.
func (s *Store) UpdateMACGuard(ctx context.Context, sc Scope, id string, change func(*intent.MACGuard) error) (intent.MACGuard, error) {
	return macGuards.update(ctx, s, sc, id, change)
}

// DeleteMACGuard takes settings back.
func (s *Store) DeleteMACGuard(ctx context.Context, sc Scope, id string) error {
	return macGuards.remove(ctx, s, sc, id)
}

// dropMACGuard deletes the settings for a network that goes.
func dropMACGuard(ctx context.Context, tx *writeTx, network string) error {
	gone, err := macGuards.query(ctx, tx, "mac_guards.network_id = $1", args{network})
	if err != nil || len(gone) == 0 {
		return err
	}
	tx.changed(KindMACGuard, gone[0].ID, "", OpDelete).from(&gone[0])
	_, err = tx.Exec(ctx, `DELETE FROM mac_guards WHERE network_id = $1`, network)
	return err
}

// MACHomes returns where stations at the edge of fabrics are at home.
func (s *Store) MACHomes(ctx context.Context) (list []guard.Home, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `SELECT address, dpid, port, since, silent_at FROM mac_homes ORDER BY address`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h guard.Home, err error) {
			var address int64
			var dpid string
			var silent *time.Time
			if err = row.Scan(&address, &dpid, &h.At.Port, &h.Since, &silent); err != nil {
				return h, err
			}
			h.MAC = mac.Addr(address)
			if silent != nil {
				h.Silent = *silent
			}
			h.At.Switch, err = intent.ParseDPID(dpid)
			return h, err
		})
		return err
	})
	return list, err
}

// SaveMACHomes writes what has become of homes, no two of the same station; those at switches that are not known are not kept.
func (s *Store) SaveMACHomes(ctx context.Context, homes []guard.Home) error {
	var gone, addresses, ports []int64
	var switches []string
	var since []time.Time
	var silent []*time.Time
	for _, h := range homes {
		if h.Gone {
			gone = append(gone, int64(h.MAC))
			continue
		}
		addresses, switches, ports = append(addresses, int64(h.MAC)), append(switches, h.At.Switch.String()), append(ports, int64(h.At.Port))
		var at *time.Time
		if !h.Silent.IsZero() {
			at = &h.Silent
		}
		since, silent = append(since, h.Since), append(silent, at)
	}
	return s.write(ctx, func(tx *writeTx) error {
		var b pgx.Batch
		b.Queue(`DELETE FROM mac_homes WHERE address = ANY ($1::bigint[])`, gone)
		b.Queue(`
			INSERT INTO mac_homes (address, dpid, port, since, silent_at)
			SELECT h.* FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) AS h (address, dpid, port, since, silent_at)
			JOIN switches USING (dpid) ORDER BY address
			ON CONFLICT ON CONSTRAINT mac_homes_pkey DO UPDATE SET dpid = excluded.dpid, port = excluded.port, since = excluded.since, silent_at = excluded.silent_at`,
			addresses, switches, ports, since, silent)
		return tx.SendBatch(ctx, &b).Close()
	})
}
