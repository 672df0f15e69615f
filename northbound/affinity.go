package northbound

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func affinityPools(st *store.Store) *collection[intent.AffinityPool] {
	type pool = intent.AffinityPool
	meta := func(p *pool) *intent.Meta { return &p.Meta }
	fixed := access{post: optional, filter: true}
	return &collection[pool]{
		single: "affinity_pool", plural: "affinity_pools", path: "mac-affinity/pools", tags: "mac-affinity/pools",
		doc: "An affinity pool is a virtual address and port on a network of the tenant's own. The switch of each client gives it to one of the backends of the pool and remembers that ([more](affinity.md)). " +
			"The address is that of a port: one that is named, or one that is made for it and goes with the last pool that has the address.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("network_id", id, func(p *pool) *string { return &p.NetworkID }, access{post: optional, filter: true, sort: true}, "The network. It can be left out where `subnet_id` or `vip_port_id` says it."),
			stored("subnet_id", idOrNull, func(p *pool) *string { return &p.SubnetID }, access{post: optional}, "The subnet that the virtual address is of."),
			stored("vip_address", ipOrNull, func(p *pool) *netip.Addr { return &p.VIP }, access{post: optional}, "The virtual address, of IPv4 or IPv6; without it one is chosen."),
			stored("vip_port_id", idOrNull, func(p *pool) *string { return &p.VIPPortID }, fixed, "The port that has it: as its first IPv4 address or, if it has none, its first IPv6 address. One that is named may be in use besides: only what is for `protocol_port` is balanced."),
			stored("protocol", oneOf(intent.TransportTCP, intent.TransportUDP), func(p *pool) *intent.Transport { return &p.Protocol }, access{post: required, filter: true}, "The protocol of connections to it."),
			portAttribute(func(p *pool) *uint16 { return &p.Port }, "The port of connections to it."),
			stored("affinity", oneOf(intent.AffinityMAC, intent.AffinityIP, intent.AffinityMACIP, intent.AffinityNone), func(p *pool) *intent.Affinity { return &p.Affinity },
				access{post: optional, put: true, def: `"source_mac"`, filter: true}, "What of a client is remembered with its backend. `none`: each connection is on its own. A change forgets what was remembered."),
			stored("timeout", number[int](1, 65535), func(p *pool) *int { return &p.Timeout }, access{post: optional, put: true, def: "300"}, "Seconds without a packet after which a client is forgotten."),
			stored("health_monitor", healthMonitor, func(p *pool) *intent.Monitor { return &p.Monitor }, access{post: optional, put: true},
				"How the backends are [probed](affinity.md#probes); null: not at all. `delay` (seconds from probe to probe, 5), `timeout` (that a backend has to answer, 2), `rise` and `fall` (how many answers or failures in a row make it up or down, 2 and 3), "+
					"`port` (that is probed; null: where the backend listens), and of `http` `http_method` (GET), `url_path` (/) and `expected_codes` (200-399)."),
			derived("algorithm", oneOf(algorithmSlots), func(*pool) algorithm { return algorithmSlots }, access{},
				"How clients that are not remembered are given to backends: by a hash onto 128 slots, of which backends have as many as their weight says, and of which no more move than must."),
			stored("admin_state_up", boolean, func(p *pool) *bool { return &p.AdminUp }, access{post: optional, put: true, def: "true", filter: true}, "Whether it is balanced. While it is false nothing is remembered, either."),
			derived("backends", list(id, 0), backendIDs, access{}, "Its backends."),
			derived("status", oneOf(intent.PoolActive, intent.PoolBuild, intent.PoolDown, intent.PoolError), func(p *pool) intent.AffinityStatus { return p.Status }, access{},
				"`ACTIVE`: all switches with ports of the network have confirmed its flows, and a backend can serve; `BUILD`: not yet all; `DOWN`: no backend can serve, there is no client, or it is administratively down; `ERROR`: a switch has refused flows of it."),
			derived("status_reason", text(1<<16), func(p *pool) string { return p.StatusReason }, access{}, "Why it is not `ACTIVE`."),
		)),
		meta: meta, ownerless: true,
		backend: backend[pool]{st.AffinityPools, st.AffinityPool, st.CreateAffinityPools, st.UpdateAffinityPool, st.DeleteAffinityPool},
	}
}

// algorithm is how clients are given to backends.
type algorithm string

const algorithmSlots algorithm = "weighted_slots"

func backendIDs(p *intent.AffinityPool) []string {
	ids := make([]string, len(p.Backends))
	for i := range p.Backends {
		ids[i] = p.Backends[i].ID
	}
	slices.Sort(ids)
	return ids
}

// portAttribute is a port of TCP or UDP that has to be given and stays.
func portAttribute[E any](at func(*E) *uint16, doc string) attribute[E] {
	return mapped("protocol_port", number[int](1, 65535), func(e *E) int { return int(*at(e)) }, func(e *E, n int) { *at(e) = uint16(n) },
		access{post: required, filter: true, sort: true}, doc)
}

// affinityBackends are the backends: within their pools, and once more by their ids alone.
func affinityBackends(st *store.Store) (inPool, alone *collection[intent.AffinityBackend]) {
	type serving = intent.AffinityBackend
	meta := func(b *serving) *intent.Meta { return &b.Meta }
	own := []attribute[serving]{
		name(meta),
		stored("port_id", idOrNull, func(b *serving) *string { return &b.PortID }, access{post: optional, filter: true}, "The port that serves, by its first address of the family of the virtual one. Either this or `address`."),
		stored("address", ipOrNull, func(b *serving) *netip.Addr { return &b.Address }, access{post: optional}, "The address that serves, of the family of the virtual one, of whichever port of the network has it as its own or in an address pair."),
		portAttribute(func(b *serving) *uint16 { return &b.Port }, "Where it listens."),
		stored("weight", number[int](0, 256), func(b *serving) *int { return &b.Weight }, access{post: optional, put: true, def: "1", filter: true, sort: true},
			"Its share of new clients, beside those of the others. 0: none; one backend of a pool at least has more."),
		stored("admin_state", oneOf(intent.BackendUp, intent.BackendDrain, intent.BackendDown), func(b *serving) *intent.BackendState { return &b.State },
			access{post: optional, put: true, def: `"up"`, filter: true}, "`drain`: it keeps the clients that it has, and gets no new ones; `down`: its clients are given to others with their next packet."),
		stored("health", oneOf(intent.HealthUnknown, intent.HealthUp, intent.HealthDown), func(b *serving) *intent.Health { return &b.Health },
			access{post: optional, put: true, def: `"unknown"`, filter: true}, "What a checker of your own has found: to be set by it. `down` does what `admin_state` `down` does; `unknown` is taken for well."),
		stored("diagnosis", text(255), func(b *serving) *string { return &b.Diagnosis }, access{post: optional, put: true, def: `""`}, "What the checker has to say of that."),
		derived("operating_status", oneOf(intent.BackendOnline, intent.BackendOffline, intent.BackendUnprobed, intent.BackendNoMonitor), (*serving).Operating, access{filter: true},
			"What the probes of the pool's `health_monitor` have found. `OFFLINE` does what `health` `down` does: one of the two is enough. `UNKNOWN`: nothing yet, it is taken for well."),
		derived("operating_since", timeOrNull, func(b *serving) time.Time { return b.ProbedAt }, access{}, "Since when it is `ONLINE` or `OFFLINE`."),
		derived("operating_reason", text(255), func(b *serving) string { return b.ProbeReason }, access{}, "Why it is `OFFLINE`."),
		derived("status", oneOf(intent.PoolActive, intent.PoolDown), func(b *serving) intent.AffinityStatus { return b.Status }, access{},
			"`ACTIVE`: switches give it new clients; `DOWN`: they do not: it drains or is down, has no weight, is not well by `health` or `operating_status`, or its port is not bound or administratively down."),
	}
	of := stored("pool_id", id, func(b *serving) *string { return &b.PoolID }, access{post: required, filter: true}, "The pool.")
	times := history(meta)
	check := func(before, b *serving, _ given) error {
		if before == nil && (b.PortID == "") == !b.Address.IsValid() {
			return badRequest("One of port_id and address is required, and not both.")
		}
		return nil
	}
	verbs := backend[serving]{st.AffinityBackends, st.AffinityBackend, st.CreateAffinityBackends, st.UpdateAffinityBackend, st.DeleteAffinityBackend}
	inPool = &collection[serving]{
		single: "backend", plural: "backends", path: "mac-affinity/pools/{pool_id}/backends", kind: store.KindPoolBackend, partial: true,
		doc:        "A backend serves clients of an affinity pool: a port, or whichever port of the network has an address.",
		attributes: append(part(meta, "pool", own...), times...), check: check,
		within: &within[serving]{
			param: "pool_id", single: "affinity_pool", kind: store.KindAffinityPool, attr: "pool_id", id: func(b *serving) *string { return &b.PoolID },
			see: func(ctx context.Context, sc store.Scope, id string) error {
				_, err := st.AffinityPool(ctx, sc, id)
				return err
			},
		},
		backend: verbs,
	}
	alone = &collection[serving]{
		single: "affinity_backend", plural: "affinity_backends", path: "mac-affinity/backends", kind: store.KindPoolBackend, partial: true,
		doc:        "The same backends as in `mac-affinity/pools`, by their ids alone.",
		attributes: append(part(meta, "pool", append([]attribute[serving]{of}, own...)...), times...), check: check,
		meta: meta, ownerless: true,
		backend: verbs,
	}
	return inPool, alone
}
