package northbound

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// fabricHost is a host as the API shows it.
type fabricHost struct {
	fabric.Host
	name string // of the interface; empty: not known
}

func fabricHosts(st *store.Store) *collection[fabricHost] {
	type host = fabricHost
	const addresses = "ip_addresses"
	found := access{filter: true, sort: true}
	address := func(h *host) mac.Addr { return h.MAC }
	several := list(ipAddress, 0)
	several.filter = ipOrNull.filter // by one of them
	c := &collection[host]{
		single: "host", plural: "hosts", path: "hosts",
		silent: true,
		doc:    "The stations behind unmanaged ports that lead to stations, each at one place. For administrators only.",
		attributes: table[host]{
			derived("id", macAddress, address, found, "Its MAC address."),
			derived("mac_address", macAddress, address, found, "The same."),
			derived(addresses, several, func(h *host) []netip.Addr { return h.IPs }, access{filter: true},
				"What ARP and neighbour discovery told in frames that came to the controller, the latest last, at most 8. A filter asks for hosts that have one of them."),
			derived("switch", text(16), func(h *host) string { return h.At.DPID.String() }, found, "The switch it is at."),
			derived("port", number[uint32](0, 1<<32-1), func(h *host) uint32 { return h.At.Port }, found, "The OpenFlow number of the port it is behind."),
			derived("interface", text(255), func(h *host) string { return h.name }, found, "The name of that port."),
			derived("since", timestamp, func(h *host) time.Time { return h.Since }, access{sort: true}, "When it was found."),
			derived("last_seen", timestamp, func(h *host) time.Time { return h.LastSeen }, access{sort: true}, "When a frame of it last came to the controller. Those of a host that is known do not come: it is removed when its switch has seen none for 300 s, or 600 s if nobody sends to it."),
			derived("moved_at", timeOrNull, func(h *host) time.Time { return h.MovedAt }, access{}, "When it last appeared behind another port; null: never."),
			derived("moves", number[int64](0, 1<<62), func(h *host) int64 { return h.Moves }, access{}, "How often it did."),
		},
		readBy:  admins,
		writeBy: admins,
	}
	all := func(ctx context.Context) ([]host, error) {
		known, err := st.FabricHosts(ctx)
		if err != nil {
			return nil, err
		}
		switches, err := st.Switches(ctx)
		if err != nil {
			return nil, err
		}
		names := interfaceNames(switches)
		hosts := make([]host, len(known))
		for i, h := range known {
			hosts[i] = host{h, names[h.At]}
		}
		return hosts, nil
	}
	c.backend = backend[host]{
		list: func(ctx context.Context, _ store.Scope, q store.Query) ([]host, error) {
			hosts, err := all(ctx)
			if err != nil {
				return nil, err
			}
			if wanted, asked := q.Filter[addresses]; asked {
				q.Filter = maps.Clone(q.Filter)
				delete(q.Filter, addresses)
				hosts = slices.DeleteFunc(hosts, func(h host) bool {
					return !slices.ContainsFunc(h.IPs, func(ip netip.Addr) bool { return slices.Contains(wanted, ip.String()) })
				})
			}
			return c.heldList(hosts, q)
		},
		get: func(ctx context.Context, _ store.Scope, key string) (host, error) {
			hosts, err := all(ctx)
			if err != nil {
				return host{}, err
			}
			return c.heldObject(hosts, key)
		},
	}
	return c
}
