package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// affinityBackendRows are seen by whoever sees their pool.
var affinityBackendRows = entity[intent.AffinityBackend]{
	kind:  KindPoolBackend,
	table: "affinity_backends",
	columns: `affinity_backends.id, affinity_backends.tenant_id, affinity_backends.name, '', '{}'::text[], affinity_backends.revision, affinity_backends.created_at, affinity_backends.updated_at,
		affinity_backends.num, affinity_backends.pool_id, coalesce(affinity_backends.port_id::text, ''), affinity_backends.address, affinity_backends.port,
		affinity_backends.weight, affinity_backends.state, affinity_backends.health, affinity_backends.diagnosis,
		affinity_backends.probed, affinity_backends.probed_at, affinity_backends.probe_reason, affinity_pools.monitor IS NOT NULL,
		CASE WHEN affinity_pools.admin_up AND realized.live @> to_jsonb(affinity_backends.num) THEN 'ACTIVE' ELSE 'DOWN' END`,
	from:    "affinity_backends JOIN affinity_pools ON affinity_pools.id = affinity_backends.pool_id" + realizedPools,
	visible: "affinity_pools.tenant_id = $tenant",
	order:   "affinity_backends.id",
	filters: metaFilters("affinity_backends", map[string]filter{
		"description": nil, "tags": nil, "tags-any": nil, "not-tags": nil, "not-tags-any": nil,
		"pool_id":       byUUID("affinity_backends.pool_id"),
		"port_id":       byOptionalUUID("affinity_backends.port_id"),
		"protocol_port": byNumber("affinity_backends.port"),
		"weight":        byNumber("affinity_backends.weight"),
		"admin_state":   byText("affinity_backends.state"),
		"health":        byText("affinity_backends.health"),
		"operating_status": byText("CASE WHEN affinity_pools.monitor IS NULL THEN 'NO_MONITOR' WHEN affinity_backends.probed = 'up' THEN 'ONLINE' " +
			"WHEN affinity_backends.probed = 'down' THEN 'OFFLINE' ELSE 'UNKNOWN' END"),
	}),
	sorts: metaSorts("affinity_backends", map[string]string{
		"description":   "",
		"protocol_port": "affinity_backends.port",
		"weight":        "affinity_backends.weight",
	}),
	scan: func(row pgx.CollectableRow) (b intent.AffinityBackend, err error) {
		var address *netip.Addr
		var probed *time.Time
		err = row.Scan(append(metaTargets(&b.Meta), &b.Num, &b.PoolID, &b.PortID, &address, &b.Port, &b.Weight, &b.State, &b.Health, &b.Diagnosis,
			&b.Probed, &probed, &b.ProbeReason, &b.Monitored, &b.Status)...)
		if probed != nil {
			b.ProbedAt = *probed
		}
		b.Address = orNone(address)
		return b, err
	},
}

var affinityBackends = record[intent.AffinityBackend]{
	entity: affinityBackendRows,
	meta:   func(b *intent.AffinityBackend) *intent.Meta { return &b.Meta },
	fields: []string{"name", "pool_id", "port_id", "address", "port", "weight", "state", "health", "diagnosis"},
	values: func(b *intent.AffinityBackend) []any {
		var address *netip.Addr
		if b.Address.IsValid() {
			address = &b.Address
		}
		return []any{b.Name, b.PoolID, textOrNull(b.PortID), address, b.Port, b.Weight, b.State, b.Health, b.Diagnosis}
	},
	settle: settleBackend,
	written: func(ctx context.Context, tx *writeTx, b, _ *intent.AffinityBackend) error {
		if err := spreadAnew(ctx, tx, b.PoolID, ""); err != nil {
			return err
		}
		after, err := affinityBackendRows.get(ctx, tx, Scope{Admin: true}, b.ID)
		if err == nil {
			*b = after
		}
		return err
	},
	leave: func(ctx context.Context, tx *writeTx, _ Scope, b *intent.AffinityBackend) error {
		return spreadAnew(ctx, tx, b.PoolID, b.ID)
	},
	parent: &parent[intent.AffinityBackend]{
		kind:  KindAffinityPool,
		table: "affinity_pools",
		id:    func(b *intent.AffinityBackend) *string { return &b.PoolID },
		ref:   affinityPools.ref,
		touch: affinityPools.touch,
	},
}

// settleBackend makes sure that a backend is of the network of its pool, which is
// locked, and that no other is the same address and port.
func settleBackend(ctx context.Context, tx *writeTx, sc Scope, b, old *intent.AffinityBackend) error {
	if old != nil {
		b.PoolID, b.PortID, b.Address, b.Status = old.PoolID, old.PortID, old.Address, old.Status
		b.Probed, b.ProbedAt, b.ProbeReason, b.Monitored = old.Probed, old.ProbedAt, old.ProbeReason, old.Monitored
		return nil
	}
	var network string
	var virtual netip.Addr
	if err := tx.QueryRow(ctx, "SELECT network_id::text, "+fmt.Sprintf(vipOf, "f.address")+" FROM affinity_pools WHERE id = $1", b.PoolID).Scan(&network, &virtual); err != nil {
		return err
	}
	family := "IPv4"
	if virtual.Is6() {
		family = "IPv6"
	}
	address := b.Address
	if b.PortID != "" {
		port, err := ports.get(ctx, tx, sc, b.PortID)
		switch {
		case err != nil:
			return err
		case port.NetworkID != network:
			return &Invalid{"port_id", fmt.Sprintf("port_id: port %s is of network %s, and the pool of network %s", port.ID, port.NetworkID, network)}
		case !port.Serves(virtual).IsValid():
			return &Invalid{"port_id", fmt.Sprintf("port_id: port %s has no %s address, as the virtual address %s is", port.ID, family, virtual)}
		}
		b.PortID, address = port.ID, port.Serves(virtual)
	}
	var within, vip bool
	var same string
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM subnets WHERE network_id = $1 AND cidr >> $2),
			EXISTS (SELECT FROM fixed_ips f JOIN affinity_pools p ON p.vip_port_id = f.port_id WHERE p.id = $3 AND f.address = $2),
			coalesce((SELECT b.id::text FROM affinity_backends b WHERE b.pool_id = $3 AND b.port = $4
				AND (b.address = $2 OR b.port_id = (SELECT f.port_id FROM fixed_ips f JOIN ports ON ports.id = f.port_id WHERE ports.network_id = $1 AND f.address = $2)) LIMIT 1), '')`,
		network, address, b.PoolID, b.Port).Scan(&within, &vip, &same)
	switch {
	case err != nil:
		return err
	case address.Is4() != virtual.Is4():
		return &Invalid{"address", fmt.Sprintf("address %s is no %s address, as the virtual address %s is", address, family, virtual)}
	case !within:
		return &Invalid{"address", fmt.Sprintf("address %s lies in no subnet of network %s", address, network)}
	case vip:
		return &Invalid{"address", fmt.Sprintf("address %s is the virtual address itself", address)}
	case same != "":
		return &Conflict{"AffinityBackendExists", "protocol_port", fmt.Sprintf("Backend %s of the pool has address %s and protocol_port %d already.", same, address, b.Port)}
	}
	return nil
}

// spreadAnew gives the slots of a pool, which is locked, to its backends as their
// weights have it by now; one may be on its way out. As slots lie in the database,
// no start of a controller moves any.
func spreadAnew(ctx context.Context, tx *writeTx, pool, gone string) error {
	p := intent.AffinityPool{Meta: intent.Meta{ID: pool}}
	if err := tx.QueryRow(ctx, `SELECT slots FROM affinity_pools WHERE id = $1`, pool).Scan(&p.Slots); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT num, weight, state FROM affinity_backends WHERE pool_id = $1 AND id IS DISTINCT FROM nullif($2, '')::uuid`, pool, gone)
	if err != nil {
		return err
	}
	p.Backends, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (b intent.AffinityBackend, err error) {
		return b, row.Scan(&b.Num, &b.Weight, &b.State)
	})
	if err != nil {
		return err
	}
	if len(p.Backends) > 0 && !slices.ContainsFunc(p.Backends, func(b intent.AffinityBackend) bool { return b.Weight > 0 }) {
		return &Invalid{"weight", "weight is 0 for all backends of the pool; one at least must have more"}
	}
	_, err = tx.Exec(ctx, `UPDATE affinity_pools SET slots = $2 WHERE id = $1`, pool, intent.SpreadSlots(p.Slots, p.Weights()))
	return err
}

// AffinityBackends lists backends.
func (s *Store) AffinityBackends(ctx context.Context, sc Scope, q Query) ([]intent.AffinityBackend, error) {
	return affinityBackends.all(ctx, s, sc, q)
}

// AffinityBackend returns one backend.
func (s *Store) AffinityBackend(ctx context.Context, sc Scope, id string) (intent.AffinityBackend, error) {
	return affinityBackends.show(ctx, s, sc, id)
}

// CreateAffinityBackends adds backends to pools, all or none.
func (s *Store) CreateAffinityBackends(ctx context.Context, sc Scope, in []intent.AffinityBackend) ([]intent.AffinityBackend, error) {
	return affinityBackends.create(ctx, s, sc, in)
}

// UpdateAffinityBackend changes a backend, but neither its pool nor what it is. change
// may run more than once.
func (s *Store) UpdateAffinityBackend(ctx context.Context, sc Scope, id string, change func(*intent.AffinityBackend) error) (intent.AffinityBackend, error) {
	return affinityBackends.update(ctx, s, sc, id, change)
}

// DeleteAffinityBackend takes a backend out of its pool: its clients are given to
// others.
func (s *Store) DeleteAffinityBackend(ctx context.Context, sc Scope, id string) error {
	return affinityBackends.remove(ctx, s, sc, id)
}
