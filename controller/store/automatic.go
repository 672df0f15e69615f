package store

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// ownerDHCP is the device_owner of ports that serve a network and go with it.
const ownerDHCP = "network:dhcp"

// holdNetworks keeps ports from being made in networks until the transaction
// ends: they must not miss a subnet that all ports have addresses of.
func holdNetworks(ctx context.Context, tx *writeTx, ids []string) error {
	_, err := tx.Exec(ctx, `SELECT FROM networks WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`, ids)
	return err
}

// addFormed gives all ports of the network of a new subnet the addresses that
// their MACs form there, but for those of routers.
func addFormed(ctx context.Context, tx *writeTx, n *intent.Subnet) error {
	rows, err := tx.Query(ctx, `
		SELECT ports.id, m.address, (SELECT coalesce(max(ord) + 1, 0) FROM fixed_ips f WHERE f.port_id = ports.id)::smallint
		FROM ports JOIN mac_addresses m ON m.port_id = ports.id
		WHERE ports.network_id = $1 AND ports.device_owner <> ALL($2::text[]) ORDER BY ports.id FOR UPDATE OF ports`, n.NetworkID, routerOwners)
	if err != nil {
		return err
	}
	var portIDs []string
	var addrs []netip.Addr
	var ords []int16
	var id string
	var own int64
	var ord int16
	_, err = pgx.ForEachRow(rows, []any{&id, &own, &ord}, func() error {
		if addr, ok := mac.Addr(own).SLAAC(n.CIDR); ok {
			portIDs, addrs, ords = append(portIDs, id), append(addrs, addr), append(ords, ord)
		}
		return nil
	})
	if err != nil || len(portIDs) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO fixed_ips (subnet_id, address, port_id, ord)
		SELECT $1, address, port_id, ord FROM unnest($2::inet[], $3::uuid[], $4::smallint[]) AS f (address, port_id, ord)`, n.ID, addrs, portIDs, ords)
	if err != nil {
		return err
	}
	return readdressed(ctx, tx, portIDs)
}

// dropAddresses takes the addresses of a subnet that is to be deleted from the
// ports that do not keep it: those that serve the network and, where stations
// form their addresses, all but those of routers.
func dropAddresses(ctx context.Context, tx *writeTx, n *intent.Subnet) error {
	rows, err := tx.Query(ctx, `
		DELETE FROM fixed_ips USING ports
		WHERE fixed_ips.subnet_id = $1 AND ports.id = fixed_ips.port_id
		  AND (ports.device_owner = $2 OR $3 AND ports.device_owner <> ALL($4::text[]))
		RETURNING ports.id`, n.ID, ownerDHCP, n.Automatic(), routerOwners)
	if err != nil {
		return err
	}
	portIDs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(portIDs) == 0 {
		return err
	}
	return readdressed(ctx, tx, portIDs)
}

// readdressed counts a change of the addresses of ports.
func readdressed(ctx context.Context, tx *writeTx, portIDs []string) error {
	distinct(&portIDs)
	if err := ports.touch(ctx, tx, Scope{Admin: true}, portIDs); err != nil {
		return err
	}
	now, err := ports.byID(ctx, tx, portIDs, func(p *intent.Port) string { return p.ID })
	if err != nil {
		return err
	}
	for _, id := range portIDs {
		p := now[id]
		tx.ending.tellPort(ctx, &p, intent.MACChanged)
	}
	return nil
}

// dropServants deletes the ports of a network that go with it.
func dropServants(ctx context.Context, tx *writeTx, network string) error {
	_, err := tx.Exec(ctx, `SELECT FROM ports WHERE network_id = $1 AND device_owner = $2 ORDER BY id FOR UPDATE`, network, ownerDHCP)
	if err != nil {
		return err
	}
	gone, err := ports.query(ctx, tx, "ports.network_id = $1 AND ports.device_owner = $2", args{network, ownerDHCP})
	if err != nil || len(gone) == 0 {
		return err
	}
	var b pgx.Batch
	for i := range gone {
		p := &gone[i]
		b.Queue(releaseOfPort, Actor(ctx), requestID(ctx), p.ID)
		b.Queue(`DELETE FROM ports WHERE id = $1`, p.ID)
		tx.changed(KindPort, p.ID, p.TenantID, OpDelete).from(p)
	}
	return tx.SendBatch(ctx, &b).Close()
}
