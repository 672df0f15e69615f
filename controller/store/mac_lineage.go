package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// LineageQuery asks for the lineage of addresses; what is set must all hold.
type LineageQuery struct {
	MAC      mac.Addr // 0: any
	IP       netip.Addr
	DeviceID string
	TenantID string
	User     string // who did it
	Switch   string // datapath id or host

	// At asks for how things were at a moment, one line for each address, and
	// not for what happened.
	At time.Time

	Since  time.Time // only what happened then or later; zero: all
	Before time.Time // only what happened earlier; zero: all
	Marker int64     // only what comes after the event of this id in the order of the answer; 0: all
	Limit  int       // default and at most MaxLineage
}

// MaxLineage is how many lines an answer has at most.
const MaxLineage = 1000

// where is the condition on events e.
func (q *LineageQuery) where(sc Scope, a *args) string {
	conds := []string{"true"}
	if q.MAC != 0 {
		conds = append(conds, "e.address = "+a.add(int64(q.MAC)))
	}
	if q.IP.IsValid() {
		ip := a.add(q.IP) + "::inet"
		conds = append(conds, "(e.ips[1] = "+ip+" OR e.ips[2] = "+ip+" OR cardinality(e.ips) > 2 AND e.ips @> ARRAY["+ip+"])")
	}
	for _, c := range []struct{ column, value string }{{"device_id", q.DeviceID}, {"tenant_id", q.TenantID}, {"actor", q.User}} {
		if c.value != "" {
			conds = append(conds, fmt.Sprintf("e.%s = %s AND e.%[1]s <> ''", c.column, a.add(c.value)))
		}
	}
	if q.Switch != "" {
		column := "host"
		if _, err := intent.ParseDPID(q.Switch); err == nil {
			column = "datapath"
		}
		conds = append(conds, fmt.Sprintf("e.%s = %s AND e.%[1]s <> ''", column, a.add(q.Switch)))
	}
	if !sc.Admin {
		conds = append(conds, "e.tenant_id = "+a.add(sc.TenantID))
	}
	return strings.Join(conds, " AND ")
}

const eventColumns = `e.id, e.at, e.address, e.kind, e.state, e.until, coalesce(e.segment_id::text, ''), e.tenant_id, coalesce(e.port_id::text, ''),
	coalesce(e.network_id::text, ''), e.device_id, e.ips, e.host, e.datapath, e.switch_port, e.interface, e.actor, e.request_id, e.detail`

// Lineage returns what happened to addresses, the latest first, or with At how
// things were, in the order of addresses. A tenant sees what happened to an
// address while it was its own.
func (s *Store) Lineage(ctx context.Context, sc Scope, q LineageQuery) (list []intent.MACEvent, err error) {
	if q.MAC == 0 && !q.IP.IsValid() && q.DeviceID == "" && q.TenantID == "" && q.User == "" && q.Switch == "" {
		return nil, &Invalid{"mac", "mac, ip, instance, tenant, user or switch must be given"}
	}
	if q.Limit <= 0 || q.Limit > MaxLineage {
		q.Limit = MaxLineage
	}
	err = s.read(ctx, func(db querier) error {
		var a args
		var sql string
		var after marked
		if q.Marker != 0 {
			var err error
			if after, err = lineageMarker(ctx, db, sc, q.Marker); err != nil {
				return err
			}
		}
		if q.At.IsZero() {
			where := q.where(sc, &a)
			if q.Marker != 0 {
				// The bound on the time alone is for the partitions and indexes.
				at := a.add(after.at)
				where += " AND e.at <= " + at + " AND (e.at, e.id) < (" + at + ", " + a.add(q.Marker) + ")"
			}
			if !q.Since.IsZero() {
				where += " AND e.at >= " + a.add(q.Since)
			}
			if !q.Before.IsZero() {
				where += " AND e.at < " + a.add(q.Before)
			}
			sql = `SELECT ` + eventColumns + ` FROM mac_events e WHERE ` + where + ` ORDER BY e.at DESC, e.id DESC LIMIT ` + a.add(q.Limit)
		} else {
			// Every address that was ever like that before, and of those whose
			// last line until then still is.
			at := a.add(q.At)
			where := q.where(sc, &a)
			first := a.add(after.address) // none is 0
			sql = `
				SELECT ` + eventColumns + ` FROM (
					SELECT DISTINCT e.address FROM mac_events e WHERE ` + where + ` AND e.at <= ` + at + ` AND e.address > ` + first + `) AS c
				CROSS JOIN LATERAL (
					SELECT * FROM mac_events l WHERE l.address = c.address AND l.at <= ` + at + ` ORDER BY l.at DESC, l.id DESC LIMIT 1) AS e
				WHERE ` + where + ` ORDER BY e.address LIMIT ` + a.add(q.Limit)
		}
		rows, err := db.Query(ctx, sql, a...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanEvent)
		return err
	})
	if !q.At.IsZero() {
		for i := range list {
			list[i].State = list[i].StateAt(q.At)
		}
	}
	return list, err
}

// marked is where the event of a marker stands in the order of an answer.
type marked struct {
	at      time.Time
	address int64
}

func lineageMarker(ctx context.Context, db querier, sc Scope, id int64) (m marked, err error) {
	err = db.QueryRow(ctx, `SELECT at, address FROM mac_events WHERE id = $1 AND (tenant_id = $2 OR $3)`, id, sc.TenantID, sc.Admin).Scan(&m.at, &m.address)
	if errors.Is(err, pgx.ErrNoRows) {
		err = &Invalid{"marker", fmt.Sprintf("marker: there is no event %d", id)}
	}
	return m, err
}

func scanEvent(row pgx.CollectableRow) (e intent.MACEvent, err error) {
	var address, switchPort int64
	var until *time.Time
	err = row.Scan(&e.ID, &e.At, &address, &e.Kind, &e.State, &until, &e.SegmentID, &e.TenantID, &e.PortID, &e.NetworkID, &e.DeviceID,
		&e.IPs, &e.Host, &e.Datapath, &switchPort, &e.Interface, &e.Actor, &e.RequestID, &e.Detail)
	e.Addr, e.SwitchPort = mac.Addr(address), uint32(switchPort)
	if until != nil {
		e.Until = *until
	}
	return e, err
}
