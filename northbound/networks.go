package northbound

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func networks(st *store.Store) *collection[intent.Network] {
	meta := func(n *intent.Network) *intent.Meta { return &n.Meta }
	return &collection[intent.Network]{
		single: "network", plural: "networks", path: "networks",
		doc: "A network is one layer-2 broadcast domain, isolated from all others. Deleting it deletes its subnets; it cannot be deleted while it has ports.",
		attributes: standard(meta,
			name(meta),
			stored("admin_state_up", boolean, func(n *intent.Network) *bool { return &n.AdminUp }, access{post: optional, put: true, def: "true", filter: true, sort: true},
				"Whether the network carries traffic."),
			derived("status", text(16), func(*intent.Network) string { return "ACTIVE" }, access{filter: true, sort: true}, "Always `ACTIVE`; the ports say what is realized."),
			derived("shared", boolean, func(*intent.Network) bool { return false }, access{filter: true}, "Always false: networks are not shared between tenants."),
			stored("mtu", number[int](68, 9000), func(n *intent.Network) *int { return &n.MTU }, access{post: optional, put: true, def: "1450", filter: true, sort: true},
				"Largest packet that instances should send: 1500 less what VXLAN adds."),
			derived("subnets", list(id, 0), func(n *intent.Network) []string { return n.Subnets }, access{}, "Ids of its subnets, oldest first."),
			derived("provider:network_type", text(32), func(*intent.Network) string { return "vxlan" }, access{seen: admins, filter: true}, "Always `vxlan`."),
			derived("provider:physical_network", idOrNull, func(*intent.Network) string { return "" }, access{seen: admins}, "Always null."),
			derived("provider:segmentation_id", number[uint32](1, 1<<24-1), func(n *intent.Network) uint32 { return n.VNI }, access{seen: admins, filter: true},
				"The VNI, chosen by the server."),
		),
		meta:    meta,
		backend: backend[intent.Network]{st.Networks, st.Network, st.CreateNetworks, st.UpdateNetwork, st.DeleteNetwork},
	}
}
