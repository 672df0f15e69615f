package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// hostSegmentSize is how many MAC addresses a host gets for the ports bound to
// it: more than it will ever run, and the addresses under 02 last for millions
// of hosts.
const hostSegmentSize = 1 << 16

const selectHosts = `
	SELECT dpid, switches.slot, tunnel_ip, coalesce(fabric_slots.slot, 0) FROM switches LEFT JOIN fabric_slots USING (dpid)
	WHERE (tunnel_ip IS NOT NULL OR fabric_slots.slot IS NOT NULL)`

func collectHosts(rows pgx.Rows, err error) ([]intent.Host, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h intent.Host, err error) {
		var dpid string
		var tunnel *netip.Addr
		if err := row.Scan(&dpid, &h.Slot, &tunnel, &h.Fabric); err != nil {
			return h, err
		}
		if tunnel != nil {
			h.Tunnel = *tunnel
		}
		h.DPID, err = intent.ParseDPID(dpid)
		return h, err
	})
}

// HostsByID returns those of the datapaths that have a tunnel end point, or are or were
// linked with others.
func (s *Store) HostsByID(ctx context.Context, ids []string) (list []intent.Host, err error) {
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectHosts+` AND dpid = ANY($1::text[])`, ids)
		list, err = collectHosts(rows, err)
		return err
	})
	return list, err
}

const selectHostSegments = `SELECT id, num, lower(block), upper(block), host FROM mac_segments WHERE host ~ '^[0-9a-f]{16}$'`

func collectHostSegments(rows pgx.Rows, err error) ([]intent.HostSegment, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (g intent.HostSegment, err error) {
		var lower, upper int64
		var host string
		if err := row.Scan(&g.ID, &g.Num, &lower, &upper, &host); err != nil {
			return g, err
		}
		if g.Block, err = blockOf(lower, upper); err != nil {
			return g, err
		}
		g.Host, err = intent.ParseDPID(host)
		return g, err
	})
}

// HostSegmentsByID returns those of the MAC segments that are of a host.
func (s *Store) HostSegmentsByID(ctx context.Context, ids []string) (list []intent.HostSegment, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, selectHostSegments+` AND id = ANY($1::uuid[])`, uuids(ids))
		list, err = collectHostSegments(rows, err)
		return err
	})
	return list, err
}

// GiveHostSegment gives a host a MAC segment of its own, for the ports that are
// bound to it, unless it has one. made is false if it has, or if there is no
// room; then it gets its addresses from where others do.
func (s *Store) GiveHostSegment(ctx context.Context, d intent.DPID, hostname string) (made bool, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		made = false
		has := func() (has bool, err error) {
			err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mac_segments WHERE host = $1)`, d.String()).Scan(&has)
			return has, err
		}
		if has, err := has(); err != nil || has {
			return err
		}
		if err := lockTree(ctx, tx); err != nil {
			return err
		}
		if has, err := has(); err != nil || has { // by now
			return err
		}
		g := NewSegment{Segment: intent.DefaultSegment(), Size: hostSegmentSize}
		g.Name, g.Host = "host "+d.String(), d.String()
		if hostname != "" {
			g.Description = fmt.Sprintf("Ports bound to %.200s", hostname)
		}
		sc := Scope{Admin: true}
		if err := prepareOwned(sc, &g.Meta); err != nil {
			return err
		}
		if err := checkSegment(&g); err != nil {
			return err
		}
		if err := placeSegment(ctx, tx, sc, &g); err != nil {
			var full *Conflict
			if errors.As(err, &full) {
				return nil
			}
			return err
		}
		made = true
		return insertSegment(ctx, tx, sc, &g.Segment)
	})
	return made, err
}

// tunnelIP is a tunnel end point as it is stored.
func tunnelIP(ip netip.Addr) *netip.Addr {
	if !ip.IsValid() {
		return nil
	}
	return &ip
}
