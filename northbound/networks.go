package northbound

import (
	"fmt"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// maxZoneHints is more zones than a cloud has.
const maxZoneHints = 32

func networks(st *store.Store) *collection[intent.Network] {
	meta := func(n *intent.Network) *intent.Meta { return &n.Meta }
	provider := access{post: optional, put: true, byPost: admins, byPut: admins, seen: admins, filter: true}
	return &collection[intent.Network]{
		single: "network", plural: "networks", path: "networks", tags: "networks",
		doc: "A network is one layer-2 broadcast domain, isolated from all others. Deleting it deletes its subnets; it cannot be deleted while it has ports.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("admin_state_up", boolean, func(n *intent.Network) *bool { return &n.AdminUp }, access{post: optional, put: true, def: "true", filter: true, sort: true},
				"Whether the network carries traffic."),
			derived("status", text(16), func(*intent.Network) string { return "ACTIVE" }, access{filter: true, sort: true}, "Always `ACTIVE`; the ports say what is realized."),
			stored("shared", boolean, func(n *intent.Network) *bool { return &n.Shared }, access{post: optional, put: true, byPost: admins, byPut: admins, def: "false", filter: true},
				"Whether it is shared with the caller. Setting it shares the network with all tenants; it cannot be taken back while ports of others are on it."),
			stored("router:external", boolean, func(n *intent.Network) *bool { return &n.External }, access{post: optional, put: true, byPost: admins, byPut: admins, def: "false", filter: true},
				"Whether the network leads out of the cloud. Setting it lets all tenants see the network."),
			stored("is_default", boolean, func(n *intent.Network) *bool { return &n.IsDefault }, access{post: optional, put: true, byPost: admins, byPut: admins, def: "false", filter: true},
				"The external network that is taken where none is named. Only one is; of any other network it stays false."),
			stored("mtu", number[int](68, 9000), func(n *intent.Network) *int { return &n.MTU }, access{post: optional, put: true, filter: true, sort: true},
				"Largest packet that instances should send. If not given, 1500 less what the type of the network adds: 1450 for VXLAN."),
			mapped("port_security_enabled", boolean, func(n *intent.Network) bool { return !n.Unguarded }, func(n *intent.Network, v bool) { n.Unguarded = !v },
				access{post: optional, put: true, def: "true"}, "Whether its new ports have port security unless they say otherwise."),
			stored("qos_policy_id", idOrNull, func(n *intent.Network) *string { return &n.QoSPolicyID }, access{post: optional, put: true}, "The QoS policy of its ports that have none of their own."),
			stored("dns_domain", dnsDomain, func(n *intent.Network) *string { return &n.DNSDomain }, access{post: optional, put: true, def: `""`}, "The domain of its ports' names; it ends in a dot."),
			stored("availability_zone_hints", list(filled(255), maxZoneHints), func(n *intent.Network) *[]string { return &n.ZoneHints }, access{post: optional, sort: true},
				"Zones that it should be in: a record."),
			derived("availability_zones", list(text(255), 0), func(*intent.Network) []string { return nil }, access{}, "Always empty: a network is wherever its ports are."),
			derived("l2_adjacency", boolean, func(*intent.Network) bool { return true }, access{}, "Always true: it is one broadcast domain."),
			derived("ipv4_address_scope", idOrNull, func(n *intent.Network) string { return n.ScopeIDs[0] }, access{}, "The address scope of its IPv4 subnets."),
			derived("ipv6_address_scope", idOrNull, func(n *intent.Network) string { return n.ScopeIDs[1] }, access{}, "The address scope of its IPv6 subnets."),
			derived("fabric_vlan", orNull(number[int](1, intent.MaxVLAN)), func(n *intent.Network) int { return int(n.VLAN) }, access{seen: admins, filter: true},
				"The VLAN tag of the network on the links of fabrics. The controller gives it one while it has ports at several switches of a fabric, and takes it back afterwards."),
			derived("subnets", list(id, 0), func(n *intent.Network) []string { return n.Subnets }, access{}, "Ids of its subnets, oldest first."),
			stored("provider:network_type", networkType, func(n *intent.Network) *intent.NetworkType { return &n.Provider.Type }, provider,
				"How it is carried between hosts. `vxlan` if not given; the others are records that change nothing in the data plane."),
			stored("provider:physical_network", textOrNull(64), func(n *intent.Network) *string { return &n.Provider.Physical }, provider,
				"The physical network of a `vlan` or `flat` one, which need it; no other has one."),
			stored("provider:segmentation_id", segmentationID, func(n *intent.Network) *uint32 { return &n.Provider.ID }, provider,
				"VNI, VLAN id or GRE key; if not given, a free one. Of a VLAN it can change. `flat` and `local` networks have none."),
			mapped("segments", list(providerSegment, 1), func(n *intent.Network) []intent.Provider { return []intent.Provider{n.Provider} }, putSegments,
				access{post: optional, byPost: admins, seen: nobody}, "The provider attributes in another form, for clients that have only that: a list of one."),
		)),
		meta:    meta,
		check:   checkNetwork,
		stream:  st.EachNetwork,
		backend: backend[intent.Network]{st.Networks, st.Network, st.CreateNetworks, st.UpdateNetwork, st.DeleteNetwork},
	}
}

var networkType = oneOf(intent.NetworkVXLAN, intent.NetworkVLAN, intent.NetworkFlat, intent.NetworkGENEVE, intent.NetworkGRE, intent.NetworkLocal)

// segmentationID is a number or null, which is 0 inside.
var segmentationID = orNull(number[uint32](1, 1<<31-1))

// providerSegment is the provider attributes as one object.
var providerSegment = func() valueType[intent.Provider] {
	keys := map[string]schema{"provider:network_type": networkType.shows, "provider:physical_network?": textOrNull(64).shows, "provider:segmentation_id?": segmentationID.shows}
	return valueType[intent.Provider]{
		name:  `{"provider:network_type": string, "provider:physical_network": string or null, "provider:segmentation_id": integer or null}`,
		shows: objectOf(keys).closed().with(schema{"examples": []any{map[string]any{"provider:network_type": "vxlan"}}}),
		parse: func(v any) (p intent.Provider, err error) {
			o, ok := v.(object)
			if _, typed := o.get("provider:network_type"); !ok || !typed {
				return p, fmt.Errorf("%s is not an object with provider:network_type", show(v))
			}
			for _, m := range o {
				switch m.key {
				case "provider:network_type":
					p.Type, err = networkType.parse(m.value)
				case "provider:physical_network":
					p.Physical, err = textOrNull(64).parse(m.value)
				case "provider:segmentation_id":
					p.ID, err = segmentationID.parse(m.value)
				default:
					err = fmt.Errorf("unexpected key; the keys are those of the provider attributes")
				}
				if err != nil {
					return p, fmt.Errorf("%s: %w", clip(m.key), err)
				}
			}
			return p, nil
		},
		append: func(b []byte, p intent.Provider) []byte {
			b = networkType.append(append(b, `{"provider:network_type":`...), p.Type)
			b = textOrNull(64).append(append(b, `,"provider:physical_network":`...), p.Physical)
			b = segmentationID.append(append(b, `,"provider:segmentation_id":`...), p.ID)
			return append(b, '}')
		},
	}
}()

func putSegments(n *intent.Network, segments []intent.Provider) {
	for _, p := range segments {
		n.Provider = p
	}
}

// checkNetwork refuses a segment without its type: what a number means depends
// on it.
func checkNetwork(before, n *intent.Network, given given) error {
	if given["segments"] && (given["provider:network_type"] || given["provider:physical_network"] || given["provider:segmentation_id"]) {
		return invalid("SegmentsSetInConjunctionWithProviders", "Segments and provider values cannot both be set.")
	}
	if before == nil && n.Provider.Type == "" && (n.Provider.Physical != "" || n.Provider.ID != 0) {
		return invalid("InvalidInput", "Invalid input for operation: network_type required (provider:network_type).")
	}
	return nil
}
