package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// ownerVIP is the device_owner of ports that are made for virtual addresses.
const ownerVIP = "network:mac_affinity"

// The virtual address is that of a port: so it and its MAC are nobody else's.
const vipOf = `(SELECT %s FROM fixed_ips f WHERE f.port_id = affinity_pools.vip_port_id ORDER BY family(f.address), f.ord LIMIT 1)`

// realizedPools are what switches that are connected have made of a pool. Of those
// that have its present revision any tells which backends live.
const realizedPools = ` LEFT JOIN LATERAL (
		SELECT bool_or((f.fact->>'rev')::bigint < affinity_pools.revision) AS behind, max(f.fact->>'fault') AS fault,
			(array_agg(coalesce(f.fact->'live', '[]') ORDER BY (f.fact->>'rev')::bigint DESC))[1] AS live
		FROM (SELECT switches.pools -> affinity_pools.num::text AS fact FROM switches WHERE switches.connected AND switches.pools ? affinity_pools.num::text OFFSET 0) AS f) AS realized ON true`

const (
	poolStatus = `CASE WHEN NOT affinity_pools.admin_up THEN 'DOWN' WHEN realized.fault <> '' THEN 'ERROR' WHEN realized.behind THEN 'BUILD'
		WHEN realized.behind IS NULL OR realized.live = '[]' THEN 'DOWN' ELSE 'ACTIVE' END`
	poolReason = `CASE WHEN NOT affinity_pools.admin_up THEN 'administratively down' WHEN realized.fault <> '' THEN realized.fault
		WHEN realized.behind IS NULL THEN 'no switch that is connected has ports of the network that are up' WHEN realized.behind THEN 'not yet in all switches'
		WHEN realized.live = '[]' THEN 'no backend can serve' ELSE '' END`
)

var affinityPoolRows = entity[intent.AffinityPool]{
	kind:  KindAffinityPool,
	table: "affinity_pools",
	columns: metaColumns("affinity_pools") + `, affinity_pools.num, affinity_pools.network_id, coalesce(` + fmt.Sprintf(vipOf, "f.subnet_id::text") + `, ''),
			affinity_pools.vip_port_id, affinity_pools.vip_made, ` + fmt.Sprintf(vipOf, "f.address") + `, affinity_pools.protocol, affinity_pools.port, affinity_pools.affinity,
			affinity_pools.timeout, affinity_pools.admin_up, coalesce(affinity_pools.monitor, ''), affinity_pools.monitor_delay, affinity_pools.monitor_timeout, affinity_pools.monitor_rise,
			affinity_pools.monitor_fall, coalesce(affinity_pools.monitor_port, 0), affinity_pools.monitor_method, affinity_pools.monitor_path, affinity_pools.monitor_codes, affinity_pools.slots, ` + poolStatus + ", " + poolReason,
	from:    "affinity_pools" + realizedPools,
	visible: "affinity_pools.tenant_id = $tenant",
	order:   "affinity_pools.id",
	filters: metaFilters("affinity_pools", map[string]filter{
		"network_id":     byUUID("affinity_pools.network_id"),
		"vip_port_id":    byUUID("affinity_pools.vip_port_id"),
		"protocol":       byText("affinity_pools.protocol"),
		"protocol_port":  byNumber("affinity_pools.port"),
		"affinity":       byText("affinity_pools.affinity"),
		"admin_state_up": byBool("affinity_pools.admin_up"),
	}),
	sorts: metaSorts("affinity_pools", map[string]string{
		"network_id":    "affinity_pools.network_id",
		"protocol_port": "affinity_pools.port",
	}),
	scan: func(row pgx.CollectableRow) (p intent.AffinityPool, err error) {
		var vip *netip.Addr
		m := &p.Monitor
		err = row.Scan(append(metaTargets(&p.Meta), &p.Num, &p.NetworkID, &p.SubnetID, &p.VIPPortID, &p.VIPMade, &vip, &p.Protocol, &p.Port, &p.Affinity,
			&p.Timeout, &p.AdminUp, &m.Kind, &m.Delay, &m.Timeout, &m.Rise, &m.Fall, &m.Port, &m.Method, &m.Path, &m.Codes, &p.Slots, &p.Status, &p.StatusReason)...)
		p.VIP = orNone(vip)
		return p, err
	},
	fill: fillBackends,
}

var affinityPools = record[intent.AffinityPool]{
	entity: affinityPoolRows,
	meta:   func(p *intent.AffinityPool) *intent.Meta { return &p.Meta },
	fields: []string{
		"name", "description", "network_id", "vip_port_id", "vip_made", "protocol", "port", "affinity", "timeout", "admin_up",
		"monitor", "monitor_delay", "monitor_timeout", "monitor_rise", "monitor_fall", "monitor_port", "monitor_method", "monitor_path", "monitor_codes",
	},
	values: func(p *intent.AffinityPool) []any {
		m := &p.Monitor
		var port any
		if m.Port != 0 {
			port = m.Port
		}
		return []any{
			p.Name, p.Description, p.NetworkID, p.VIPPortID, p.VIPMade, p.Protocol, p.Port, p.Affinity, p.Timeout, p.AdminUp,
			textOrNull(string(m.Kind)), m.Delay, m.Timeout, m.Rise, m.Fall, port, m.Method, m.Path, m.Codes,
		}
	},
	settle: func(_ context.Context, _ *writeTx, _ Scope, p, old *intent.AffinityPool) error {
		p.Backends = []intent.AffinityBackend{}
		if old != nil {
			p.NetworkID, p.SubnetID, p.VIPPortID, p.VIP, p.Protocol, p.Port = old.NetworkID, old.SubnetID, old.VIPPortID, old.VIP, old.Protocol, old.Port
			p.Backends, p.Status, p.StatusReason = old.Backends, old.Status, old.StatusReason
		}
		return nil
	},
	written: func(ctx context.Context, tx *writeTx, p, old *intent.AffinityPool) error {
		if old != nil && old.Monitor.Kind != p.Monitor.Kind {
			if err := forgetProbes(ctx, tx, p.ID); err != nil {
				return err
			}
		}
		after, err := affinityPoolRows.get(ctx, tx, Scope{Admin: true}, p.ID)
		if err == nil {
			*p = after
		}
		return err
	},
	parent: &parent[intent.AffinityPool]{
		kind:  KindNetwork,
		table: "networks",
		id:    func(p *intent.AffinityPool) *string { return &p.NetworkID },
		ref:   networks.ref,
		touch: func(ctx context.Context, tx *writeTx, sc Scope, ids []string) error {
			for _, id := range ids {
				if _, err := networks.lock(ctx, tx, sc, id); err != nil {
					return err
				}
			}
			return nil
		},
	},
}

func fillBackends(ctx context.Context, q querier, list []intent.AffinityPool) error {
	ids, at := make([]string, len(list)), make(map[string]*intent.AffinityPool, len(list))
	for i := range list {
		p := &list[i]
		ids[i], at[p.ID], p.Backends = p.ID, p, []intent.AffinityBackend{}
	}
	found, err := affinityBackendRows.query(ctx, q, "affinity_backends.pool_id = ANY($1::uuid[])", args{ids})
	for _, b := range found {
		at[b.PoolID].Backends = append(at[b.PoolID].Backends, b)
	}
	return err
}

// AffinityPools lists pools with their backends.
func (s *Store) AffinityPools(ctx context.Context, sc Scope, q Query) ([]intent.AffinityPool, error) {
	return affinityPools.all(ctx, s, sc, q)
}

// AffinityPool returns one pool with its backends.
func (s *Store) AffinityPool(ctx context.Context, sc Scope, id string) (intent.AffinityPool, error) {
	return affinityPools.show(ctx, s, sc, id)
}

// AffinityPoolsByID returns those of the pools that exist, of all tenants.
func (s *Store) AffinityPoolsByID(ctx context.Context, ids []string) (m map[string]intent.AffinityPool, err error) {
	err = s.read(ctx, func(q querier) (err error) {
		m, err = affinityPools.byID(ctx, q, ids, func(p *intent.AffinityPool) string { return p.ID })
		return err
	})
	return m, err
}

// CreateAffinityPools makes pools without backends, all or none. They belong to whom
// their network belongs to. The virtual address is that of VIPPortID; or VIP, or any
// of SubnetID or of the network, for which a port is made unless another pool has one.
func (s *Store) CreateAffinityPools(ctx context.Context, sc Scope, in []intent.AffinityPool) ([]intent.AffinityPool, error) {
	var out []intent.AffinityPool
	err := s.write(ctx, func(tx *writeTx) error {
		out = slices.Clone(in)
		for i := range out {
			if err := findNetwork(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
		}
		if err := affinityPools.prepare(ctx, tx, sc, out); err != nil {
			return err
		}
		for i := range out {
			if err := s.placeVIP(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
			if err := affinityPools.insert(ctx, tx, sc, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// findNetwork says which network a pool is in, by what names its virtual address.
func findNetwork(ctx context.Context, tx *writeTx, sc Scope, p *intent.AffinityPool) error {
	in, attr := "", ""
	switch {
	case p.VIPPortID != "":
		if p.SubnetID != "" || p.VIP.IsValid() {
			return &Invalid{"vip_port_id", "vip_port_id goes without subnet_id and vip_address: the port has both"}
		}
		port, err := ports.get(ctx, tx, sc, p.VIPPortID)
		if err != nil {
			return err
		}
		if !port.Virtual().IsValid() {
			return &Invalid{"vip_port_id", fmt.Sprintf("vip_port_id: port %s has no address to be the virtual one", port.ID)}
		}
		p.VIPPortID, in, attr = port.ID, port.NetworkID, "vip_port_id"
	case p.SubnetID != "":
		subnet, err := subnets.get(ctx, tx, sc, p.SubnetID)
		if err != nil {
			return err
		}
		p.SubnetID, in, attr = subnet.ID, subnet.NetworkID, "subnet_id"
	case p.NetworkID == "":
		return &Invalid{"network_id", "one of network_id, subnet_id and vip_port_id is required"}
	}
	if p.NetworkID == "" {
		p.NetworkID = in
	}
	if in != "" && p.NetworkID != in {
		return &Invalid{attr, fmt.Sprintf("%s is not of network_id %s, but of network %s", attr, p.NetworkID, in)}
	}
	return nil
}

// placeVIP finds the port of a virtual address, or makes it. The network is locked.
func (s *Store) placeVIP(ctx context.Context, tx *writeTx, sc Scope, p *intent.AffinityPool) error {
	if p.VIPPortID != "" {
		return nil
	}
	if p.VIP.IsValid() {
		var of, pool string
		rows, err := tx.Query(ctx, `
			SELECT f.port_id::text, coalesce((SELECT a.id::text FROM affinity_pools a WHERE a.vip_port_id = f.port_id AND a.vip_made LIMIT 1), '')
			FROM fixed_ips f JOIN ports ON ports.id = f.port_id WHERE ports.network_id = $1 AND f.address = $2`, p.NetworkID, p.VIP)
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{&of, &pool}, func() error { return nil })
		}
		switch {
		case err != nil:
			return err
		case pool != "":
			p.VIPPortID, p.VIPMade = of, true
			return nil
		case of != "":
			return &Conflict{"IpAddressAlreadyAllocated", "vip_address", fmt.Sprintf("vip_address %s is in use by port %s; name that as vip_port_id if its address is to be balanced", p.VIP, of)}
		}
	}
	list := []NewPort{{Port: intent.Port{
		Meta: intent.Meta{TenantID: p.TenantID, Name: p.Name}, NetworkID: p.NetworkID, AdminUp: true, DeviceOwner: ownerVIP, VNICType: vnicNormal, Status: intent.PortDown,
	}}}
	port := &list[0]
	if p.SubnetID != "" || p.VIP.IsValid() {
		port.FixedIPs = []intent.FixedIP{{SubnetID: p.SubnetID, Addr: p.VIP}}
	} else {
		port.AutoIPs = true
	}
	if err := prepareMeta(Scope{Admin: true}, &port.Meta); err != nil {
		return err
	}
	tx.spends(KindPort, port.TenantID)
	tx.changed(KindPort, port.ID, port.TenantID, OpCreate).to(&port.Port)
	pl, err := s.newPlan(ctx, tx, sc, list)
	if err == nil {
		pl.cautious = true
		err = pl.insertPorts(ctx, sc)
	}
	if invalid := (*Invalid)(nil); errors.As(err, &invalid) && invalid.Attr == "fixed_ips" {
		return &Invalid{"vip_address", strings.ReplaceAll(strings.ReplaceAll(invalid.Message, "fixed_ips: ", ""), "ip_address", "vip_address")}
	}
	if err == nil && !port.Virtual().IsValid() {
		err = &Invalid{"network_id", fmt.Sprintf("network_id: network %s has no subnet for the virtual address to be of", p.NetworkID)}
	}
	p.VIPPortID, p.VIPMade = port.ID, true
	return err
}

// UpdateAffinityPool changes a pool, but not its virtual address. change may run more
// than once.
func (s *Store) UpdateAffinityPool(ctx context.Context, sc Scope, id string, change func(*intent.AffinityPool) error) (intent.AffinityPool, error) {
	return affinityPools.update(ctx, s, sc, id, change)
}

// DeleteAffinityPool deletes a pool and its backends. A port that was made for its
// virtual address goes with the last pool there.
func (s *Store) DeleteAffinityPool(ctx context.Context, sc Scope, id string) error {
	return s.write(ctx, func(tx *writeTx) error {
		p, err := affinityPools.hold(ctx, tx, sc, id)
		if err != nil {
			return err
		}
		for i := range p.Backends {
			tx.changed(KindPoolBackend, p.Backends[i].ID, p.TenantID, OpDelete).from(&p.Backends[i])
		}
		tx.changed(KindAffinityPool, p.ID, p.TenantID, OpDelete).from(&p)
		var shared bool
		err = tx.QueryRow(ctx, `
			WITH gone AS (DELETE FROM affinity_pools WHERE id = $1)
			SELECT EXISTS (SELECT FROM affinity_pools WHERE vip_port_id = $2 AND id <> $1)`, p.ID, p.VIPPortID).Scan(&shared)
		if err != nil || shared || !p.VIPMade {
			return err
		}
		return removePort(ctx, tx, Scope{Admin: true}, p.VIPPortID, releaseOfPort)
	})
}
