package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// carried finds the trunk that a port is a sub-port of. It is bound where its parent
// is: the binding of that, completed by an interface, takes the place of its own. The
// row of a sub-port is never written for where its parent goes (docs/decisions/0015).
// Ports that are in no trunk cost no lookup, and LIMIT keeps the tables from the planner,
// which would try more orders of joins than it has patience for.
var carried = ` LEFT JOIN LATERAL (
		SELECT t.port_id AS parent, s.segmentation_id AS vlan, NOT t.admin_up AS down, p.host AS asked,
			coalesce(own.dpid, p.host) AS host, coalesce(own.interface, p.interface_name) AS interface, p.port_no
		FROM trunk_subports s JOIN trunks t ON t.id = s.trunk_id JOIN ports p ON p.id = t.port_id
			LEFT JOIN LATERAL (` + attachedTo("p") + `) AS own ON true
		WHERE s.port_id = ports.id AND ports.trunk_id IS NOT NULL LIMIT 1) AS carried ON true`

// inTrunk is what a port is in a trunk.
const inTrunk = "coalesce(ports.trunk_id::text, ''), carried.parent::text, carried.vlan, carried.down"

// trunkStatus is the realized state of a trunk: it follows from that of its ports.
var trunkStatus = `(
	SELECT CASE
		WHEN NOT trunks.admin_up OR NOT ports.admin_up OR NOT networks.admin_up OR ` + boundHost + ` = '' THEN 'DOWN'
		WHEN ports.status = 'ERROR' THEN 'ERROR'
		WHEN EXISTS (SELECT FROM trunk_subports ts JOIN ports sub ON sub.id = ts.port_id WHERE ts.trunk_id = trunks.id AND sub.status = 'ERROR') THEN 'DEGRADED'
		WHEN ports.status <> 'ACTIVE' OR EXISTS (
			SELECT FROM trunk_subports ts JOIN ports sub ON sub.id = ts.port_id JOIN networks n ON n.id = sub.network_id
			WHERE ts.trunk_id = trunks.id AND sub.status <> 'ACTIVE' AND sub.admin_up AND n.admin_up) THEN 'BUILD'
		ELSE 'ACTIVE' END
	FROM ports JOIN networks ON networks.id = ports.network_id` + attached + ` WHERE ports.id = trunks.port_id)`

// lockPorts locks the rows of ports in the order of their ids.
func lockPorts(ctx context.Context, tx *writeTx, ids []string) error {
	_, err := tx.Exec(ctx, `SELECT FROM ports WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`, ids)
	return err
}

// subPortsOf locks the sub-ports of ports, whose rows must be locked already, and
// returns their ids.
func subPortsOf(ctx context.Context, tx *writeTx, parents []string) ([]string, error) {
	rows, err := tx.Query(ctx, `
		SELECT ports.id FROM ports JOIN trunk_subports s ON s.port_id = ports.id JOIN trunks t ON t.id = s.trunk_id
		WHERE t.port_id = ANY($1::uuid[]) ORDER BY ports.id FOR NO KEY UPDATE OF ports`, parents)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// enter runs a change that makes ports sub-ports of a trunk, or takes them from it if
// on is false: whoever looks after them sees it by their owner. They come to be
// elsewhere, so that they are DOWN.
func enter(ctx context.Context, tx *writeTx, trunk string, ids []string, on bool, change func() error) error {
	if len(ids) == 0 {
		return change()
	}
	id := func(p *intent.Port) string { return p.ID }
	before, err := ports.byID(ctx, tx, ids, id)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	owner, device := "", ""
	if on {
		owner, device = intent.OwnerSubPort, trunk
	}
	var b pgx.Batch
	b.Queue(`
		UPDATE ports SET status = 'DOWN', status_reason = '', device_owner = $2, device_id = $3, trunk_id = nullif($3, '')::uuid,
			revision = revision + 1, updated_at = now()
		WHERE id = ANY($1::uuid[])`, ids, owner, device)
	b.Queue(`UPDATE mac_addresses SET device_id = $2, changed_at = now() WHERE port_id = ANY($1::uuid[])`, ids, device)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	after, err := ports.byID(ctx, tx, ids, id)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(slices.Values(ids)) {
		p, old := after[id], before[id]
		tx.changed(KindPort, p.ID, p.TenantID, OpUpdate).from(&old).to(&p)
		if kind := portEvent(&p, &old); kind != "" {
			tx.ending.tellPort(ctx, &p, kind)
		}
	}
	return nil
}

// lead makes a port the parent of a trunk, or of none if that is empty.
func lead(ctx context.Context, tx *writeTx, parent, trunk string) error {
	if _, err := tx.Exec(ctx, `UPDATE ports SET trunk_id = nullif($2, '')::uuid WHERE id = $1`, parent, trunk); err != nil {
		return err
	}
	return ports.touch(ctx, tx, Scope{Admin: true}, []string{parent})
}

// followParent makes the sub-ports of a port whose binding has changed DOWN, and
// tells that they have moved with it.
func followParent(ctx context.Context, tx *writeTx, parent string, before intent.Binding) error {
	ids, err := subPortsOf(ctx, tx, []string{parent})
	if err != nil || len(ids) == 0 {
		return err
	}
	was, err := bindings(ctx, tx, ids)
	if err != nil {
		return err
	}
	for id, b := range was {
		b.host, b.iface = before.Host, before.InterfaceName
		was[id] = b
	}
	return rebound(ctx, tx, ids, was)
}
