package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var macConflicts = entity[intent.MACConflict]{
	kind:  KindMACConflict,
	table: "mac_conflicts",
	columns: `mac_conflicts.id, mac_conflicts.address, mac_conflicts.kind, mac_conflicts.policy, mac_conflicts.status = 'resolved', mac_conflicts.resolution,
		mac_conflicts.tenant_id, coalesce(mac_conflicts.segment_id::text, ''), coalesce(mac_conflicts.port_id::text, ''), mac_conflicts.device_id, mac_conflicts.state,
		mac_conflicts.source, mac_conflicts.external_id, mac_conflicts.datapath, mac_conflicts.switch_port, mac_conflicts.interface,
		coalesce(mac_conflicts.reassigned, 0), mac_conflicts.due_at, mac_conflicts.created_at, mac_conflicts.seen_at, mac_conflicts.times, mac_conflicts.resolved_at`,
	from:    "mac_conflicts",
	visible: "mac_conflicts.tenant_id = $tenant",
	order:   "mac_conflicts.created_at, mac_conflicts.id",
	filters: map[string]filter{
		"id":          byUUID("mac_conflicts.id"),
		"address":     byMAC("mac_conflicts.address"),
		"kind":        byText("mac_conflicts.kind"),
		"status":      byText("mac_conflicts.status"),
		"policy":      byText("mac_conflicts.policy"),
		"tenant_id":   byText("mac_conflicts.tenant_id"),
		"project_id":  byText("mac_conflicts.tenant_id"),
		"segment_id":  byUUID("mac_conflicts.segment_id"),
		"port_id":     byUUID("mac_conflicts.port_id"),
		"device_id":   byText("mac_conflicts.device_id"),
		"source":      byText("mac_conflicts.source"),
		"external_id": byText("mac_conflicts.external_id"),
		"datapath":    byText("mac_conflicts.datapath"),
	},
	sorts: map[string]string{
		"id":          "mac_conflicts.id",
		"address":     "mac_conflicts.address",
		"kind":        byBytes("mac_conflicts.kind"),
		"status":      byBytes("mac_conflicts.status"),
		"tenant_id":   byBytes("mac_conflicts.tenant_id"),
		"project_id":  byBytes("mac_conflicts.tenant_id"),
		"policy":      byBytes("mac_conflicts.policy"),
		"segment_id":  "coalesce(mac_conflicts.segment_id, '00000000-0000-0000-0000-000000000000')",
		"port_id":     "coalesce(mac_conflicts.port_id, '00000000-0000-0000-0000-000000000000')",
		"device_id":   byBytes("mac_conflicts.device_id"),
		"source":      byBytes("mac_conflicts.source"),
		"external_id": byBytes("mac_conflicts.external_id"),
		"datapath":    byBytes("mac_conflicts.datapath"),
		"times":       "mac_conflicts.times",
		"seen_at":     "mac_conflicts.seen_at",
		"created_at":  "mac_conflicts.created_at",
	},
	scan: func(row pgx.CollectableRow) (c intent.MACConflict, err error) {
		var address, switchPort, reassigned int64
		var due, resolved *time.Time
		err = row.Scan(&c.ID, &address, &c.Kind, &c.Policy, &c.Resolved, &c.Resolution, &c.TenantID, &c.SegmentID, &c.PortID, &c.DeviceID, &c.State,
			&c.Source, &c.ExternalID, &c.Datapath, &switchPort, &c.Interface, &reassigned, &due, &c.CreatedAt, &c.SeenAt, &c.Times, &resolved)
		c.Addr, c.SwitchPort, c.Reassigned = mac.Addr(address), uint32(switchPort), mac.Addr(reassigned)
		if due != nil {
			c.DueAt = *due
		}
		if resolved != nil {
			c.ResolvedAt = *resolved
		}
		return c, err
	},
}

// MACConflicts lists conflicts; a tenant sees those about its addresses.
func (s *Store) MACConflicts(ctx context.Context, sc Scope, q Query) (list []intent.MACConflict, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = macConflicts.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// MACConflict returns one conflict.
func (s *Store) MACConflict(ctx context.Context, sc Scope, id string) (c intent.MACConflict, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		c, err = macConflicts.get(ctx, db, sc, id)
		return err
	})
	return c, err
}

// ResolveMACConflict ends a conflict with a word on how.
func (s *Store) ResolveMACConflict(ctx context.Context, sc Scope, id, resolution string) (c intent.MACConflict, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		if c, err = macConflicts.lock(ctx, tx, sc, id); err != nil {
			return err
		}
		if c.Resolved {
			return &Conflict{"MacConflictResolved", "resolution", fmt.Sprintf("resolution: MAC conflict %s is resolved already", id)}
		}
		_, err := tx.Exec(ctx, `UPDATE mac_conflicts SET status = 'resolved', resolution = $2, resolved_at = now(), due_at = NULL WHERE id = $1`, c.ID, resolution)
		if err != nil {
			return err
		}
		c, err = macConflicts.get(ctx, tx, sc, id)
		return err
	})
	return c, err
}

// MACSighting is an address that was seen at a port of a switch.
type MACSighting struct {
	Addr       mac.Addr
	Datapath   intent.DPID
	SwitchPort uint32
	Interface  string // name of the port; may be empty
}

// ReportSighting records a conflict if an address was seen where it does not
// belong: the port that has it is bound elsewhere, or nobody is to use it now.
// found is false where there is none. Its policy says what becomes of it.
func (s *Store) ReportSighting(ctx context.Context, seen MACSighting) (c intent.MACConflict, found bool, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		rows, err := tx.Query(ctx, `
			WITH hit AS (
				SELECT m.*, s.conflict_policy, s.conflict_delay_seconds FROM mac_addresses m
				LEFT JOIN mac_segments s ON s.id = m.segment_id`+atHome+`
				WHERE m.address = $2 AND `+misplaced("$3", "$4", "$5")+`),
			noted AS (
				INSERT INTO mac_conflicts AS c (id, address, kind, policy, tenant_id, segment_id, port_id, device_id, state, datapath, switch_port, interface, due_at)
				SELECT $1, address, 'seen', coalesce(conflict_policy, 'report'), tenant_id, segment_id, port_id, device_id, state, $3, $4, $5,
					CASE WHEN conflict_policy = 'reassign' AND port_id IS NOT NULL THEN now() + make_interval(secs => conflict_delay_seconds) END
				FROM hit
				ON CONFLICT (address, kind, source, external_id, datapath, switch_port, interface) WHERE status = 'open'
				DO UPDATE SET times = c.times + 1, seen_at = now()
				RETURNING *),
			told AS (
				INSERT INTO mac_events (address, kind, state, segment_id, tenant_id, port_id, device_id, datapath, switch_port, interface, actor, request_id, detail)
				SELECT address, 'conflict', state, segment_id, tenant_id, port_id, device_id, datapath, switch_port, interface, $6, $7, 'seen by ' || policy
				FROM noted WHERE times = 1)
			SELECT id FROM noted`, uuid.NewString(), int64(seen.Addr), seen.Datapath.String(), int64(seen.SwitchPort), seen.Interface, Actor(ctx), requestID(ctx))
		var id string
		id, found, err = one(rows, err, pgx.RowTo[string])
		if err != nil || !found {
			return err
		}
		if c, err = macConflicts.get(ctx, tx, Scope{Admin: true}, id); err != nil || c.Times > 1 {
			return err
		}
		return tx.happened(intent.Event{
			Kind: intent.EventMACConflict, TenantID: c.TenantID, PortID: c.PortID, MAC: c.Addr, Switch: seen.Datapath, Port: seen.SwitchPort, Interface: seen.Interface,
			Details: map[string]any{"conflict_id": c.ID, "conflict": c.Kind, "policy": c.Policy},
		})
	})
	return c, found, err
}

// reassignDue gives the ports whose conflicts are to end so other addresses.
func (s *Store) reassignDue(ctx context.Context) (gone []mac.Addr, err error) {
	var due []string
	err = s.read(ctx, func(q querier) error {
		rows, err := q.Query(ctx, `SELECT id FROM mac_conflicts WHERE status = 'open' AND due_at <= now() ORDER BY due_at LIMIT 1000`)
		if err != nil {
			return err
		}
		due, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	for _, id := range due {
		var gave mac.Addr
		if err == nil {
			err = s.write(ctx, func(tx *writeTx) error {
				gave, err = s.reassign(ctx, tx, id)
				return err
			})
		}
		if gave != 0 && err == nil {
			gone = append(gone, gave)
		}
	}
	return gone, err
}

// reassign ends one conflict. The address that the port gives up is held for
// the other party, until somebody releases it.
func (s *Store) reassign(ctx context.Context, tx *writeTx, id string) (mac.Addr, error) {
	all := Scope{Admin: true}
	// The port before the conflict, in the order of locks; which port it is does
	// not change.
	c, err := macConflicts.get(ctx, tx, all, id)
	if err != nil {
		return 0, err
	}
	var p intent.Port
	if old, err := ports.lock(ctx, tx, all, c.PortID); err == nil {
		p = old
	} else if _, gone := errors.AsType[*NotFound](err); !gone {
		return 0, err
	}
	if c, err = macConflicts.lock(ctx, tx, all, id); err != nil || c.Resolved {
		return 0, err
	}
	if p.MAC != c.Addr {
		_, err := tx.Exec(ctx, `UPDATE mac_conflicts SET status = 'resolved', resolution = 'the port has the address no more', resolved_at = now(), due_at = NULL WHERE id = $1`, id)
		return 0, err
	}
	old := p
	p.MAC = 0
	if err := s.updateParts(ctx, tx, all, &p, &old); err != nil {
		return 0, err
	}
	tx.ending.tellPort(ctx, &p, intent.MACAllocated)
	tx.changed(KindPort, p.ID, p.TenantID, OpUpdate).to(&p)
	var b pgx.Batch
	b.Queue(holdConflicted, Actor(ctx), requestID(ctx), int64(c.Addr))
	b.Queue(`UPDATE ports SET revision = revision + 1, updated_at = now() WHERE id = $1`, p.ID)
	b.Queue(`
		UPDATE mac_conflicts SET status = 'resolved', resolution = 'the port got another address', reassigned = $2, resolved_at = now(), due_at = NULL WHERE id = $1`,
		id, int64(p.MAC))
	return c.Addr, tx.SendBatch(ctx, &b).Close()
}
