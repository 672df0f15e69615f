package northbound

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

const (
	maxFixedIPs   = 32
	maxPortGroups = 64
	maxOFPort     = 0xffffff00 // OFPP_MAX: above are reserved numbers
)

func ports(st *store.Store) *collection[store.NewPort] {
	type port = store.NewPort
	meta := func(p *port) *intent.Meta { return &p.Meta }
	byAdmins := access{post: optional, put: true, byPost: admins, byPut: admins, seen: admins}
	hostAccess := byAdmins
	hostAccess.filter, hostAccess.def = true, `""`
	return &collection[port]{
		single: "port", plural: "ports", path: "ports", tags: "ports",
		doc: "A port connects an instance to a network: it has a MAC address, IP addresses and security groups, and obeys them once it is bound to a port of a switch. " +
			"Its `status` is `ACTIVE` when the switch has confirmed its flows. `DELETE …?keep_mac=true` reserves the MAC for the next port of the same `device_id` on the same network.",
		attributes: tagged(meta, access{post: optional}, standard(meta,
			name(meta),
			stored("network_id", id, func(p *port) *string { return &p.NetworkID }, access{post: required, filter: true, sort: true}, "The network that it is on."),
			stored("admin_state_up", boolean, func(p *port) *bool { return &p.AdminUp }, access{post: optional, put: true, def: "true", filter: true, sort: true},
				"Whether the port carries traffic."),
			derived("status", oneOf(intent.PortDown, intent.PortActive, intent.PortError), func(p *port) intent.PortStatus { return p.Status }, access{filter: true, sort: true},
				"`ACTIVE`: its flows are in the switch; `DOWN`: they are not (yet); `ERROR`: the binding cannot be met."),
			derived("status_reason", text(255), func(p *port) string { return p.StatusReason }, access{}, "Why the port is in `ERROR` or still `DOWN`."),
			stored("mac_address", station, func(p *port) *mac.Addr { return &p.MAC }, access{post: optional, put: true, byPut: admins, filter: true, sort: true},
				"Unique over all networks. If not given, it is the one that was kept for the instance, else one is taken from a segment of the host, of the network, of the tenant, or a shared one; if given, it must lie in such a segment if there is one of the network or the tenant."),
			derived("segment_id", idOrNull, func(p *port) string { return p.SegmentID }, access{}, "The MAC segment that the address is of; null: of none."),
			stored("fixed_ips", list(fixedIP, maxFixedIPs), func(p *port) *[]intent.FixedIP { return &p.FixedIPs }, access{post: optional, put: true, filter: true},
				"Addresses; an entry may have only a subnet (an address is chosen) or only an address. If not given, one of the first subnet of each family; `[]`: none. Filter: `fixed_ips=ip_address=A`, `fixed_ips=ip_address_substr=TEXT`, `fixed_ips=subnet_id=S`."),
			stored("security_groups", different(list(id, maxPortGroups)), func(p *port) *[]string { return &p.SecurityGroups }, access{post: optional, put: true, filter: true},
				"Ids of its security groups; if not given, the tenant's group `default`; `[]`: none, so nothing may pass."),
			stored("device_id", text(255), func(p *port) *string { return &p.DeviceID }, access{post: optional, put: true, def: `""`, filter: true, sort: true}, "The instance that uses it."),
			stored("device_owner", text(255), func(p *port) *string { return &p.DeviceOwner }, access{post: optional, put: true, def: `""`, filter: true, sort: true}, "What kind of service uses it."),
			stored("binding:host_id", hostID, askedHost, hostAccess, "The switch that it is plugged into, or the name of a host that has switches. If it is left empty, the one where an open interface appears that carries the id of the port in `external_ids:iface-id`, as long as that stays; if given, only an interface there counts."),
			mapped("binding:profile", profile, func(p *port) plug { return plug{p.Binding.InterfaceName, p.Binding.PortNo, p.Extras.Profile} },
				func(p *port, v plug) {
					p.Binding.InterfaceName, p.Binding.PortNo, p.Extras.Profile = v.interfaceName, v.portNo, v.rest
				}, byAdmins,
				"Which port of the switch: `interface_name` or `port_no`. If neither is given, the one that carries the id of the port in `external_ids:iface-id`; they are cleared when the port is unbound. Other keys are kept as they are."),
			derived("binding:vif_type", text(16), vifType, access{seen: admins}, "`unbound`; `ovs` when `binding:host_id` is set; `binding_failed` when that names a host without a switch."),
			derived("binding:vif_details", vifDetails, vifType, access{seen: admins}, "What the instance's host needs to know of the switch; empty for a port that is not bound."),
			stored("binding:vnic_type", oneOf(vnicTypes...), func(p *port) *string { return &p.VNICType }, access{post: optional, put: true, def: `"normal"`},
				"The kind of interface: a record, as every port is served by its switch."),
			mapped("port_security_enabled", boolean, func(p *port) bool { return !p.Unguarded }, func(p *port, v bool) { p.Unguarded, p.Security = !v, &v },
				access{post: optional, put: true}, "Whether the spoof guard and security groups apply; if not given, as its network says. Without, a port has neither groups nor address pairs."),
			mapped("allowed_address_pairs", list(addressPair, maxListed), shownPairs, func(p *port, v []intent.AddressPair) { p.Extras.Pairs = v },
				access{post: optional, put: true}, "What it may speak as besides its own addresses, at most 10; `mac_address` is its own if not given, and may be a prefix such as `52:54:00:00:00:00/24`, for machines inside of the instance: what lies in no MAC segment or in one of the tenant or the network, but never addresses that other ports of the network have. Members of a `remote_group_id` count with these addresses, too."),
			mapped("extra_dhcp_opts", list(dhcpOption, maxListed), func(p *port) []dhcpChange { return shownOptions(p.Extras.DHCPOptions) },
				func(p *port, v []dhcpChange) { p.Extras.DHCPOptions = mergeOptions(p.Extras.DHCPOptions, v) }, access{post: optional, put: true},
				"Options that DHCP tells the instance besides or instead of those of its subnet: `opt_name` is a name of dnsmasq or a number. PUT changes those that it names and leaves the others; `opt_value` null removes one."),
			stored("qos_policy_id", idOrNull, func(p *port) *string { return &p.QoSPolicyID }, access{post: optional, put: true}, "Its own QoS policy."),
			derived("qos_network_policy_id", idOrNull, func(p *port) string { return p.NetworkQoSPolicyID }, access{}, "The QoS policy of its network, which counts if it has none of its own."),
			stored("dns_name", dnsName, func(p *port) *string { return &p.Extras.DNSName }, access{post: optional, put: true, def: `""`}, "The name of the instance."),
			stored("dns_domain", dnsDomain, func(p *port) *string { return &p.Extras.DNSDomain }, access{post: optional, put: true, def: `""`}, "Its domain, which DHCP tells the instance."),
			derived("dns_assignment", list(dnsAssignment, 0), dnsRecords, access{}, "The names of its addresses."),
			stored("data_plane_status", orNull(oneOf("ACTIVE", "DOWN")), func(p *port) *string { return &p.Extras.DataPlaneStatus }, access{put: true, byPut: admins}, "What an operator knows of the wire below: a record."),
			stored("numa_affinity_policy", orNull(oneOf("required", "preferred", "legacy")), func(p *port) *string { return &p.Extras.NUMAPolicy }, access{post: optional, put: true}, "For the scheduler of instances: a record."),
			stored("device_profile", textOrNull(255), func(p *port) *string { return &p.Extras.DeviceProfile }, access{post: optional}, "For the scheduler of instances: a record."),
			mapped("propagate_uplink_status", boolean, func(p *port) bool { return !p.Extras.NoUplinkStatus }, func(p *port, v bool) { p.Extras.NoUplinkStatus = !v },
				access{post: optional, def: "true"}, "Whether the state of the uplink is passed on: a record."),
		)),
		meta:         meta,
		fromStore:    wrappedAs(func(p intent.Port) port { return port{Port: p} }),
		check:        checkPort,
		removalQuery: []parameter{{name: "keep_mac", doc: "Whether the MAC stays reserved for the next port of the same `device_id` on the same network.", value: boolean.shows}},
		removal: func(query url.Values) (func(context.Context, store.Scope, string) error, error) {
			return portRemoval(st, query)
		},
		stream: streamed(func(p intent.Port) port { return port{Port: p} }, st.EachPort),
		backend: wrapped(
			func(p intent.Port) port { return port{Port: p} },
			func(p port) port { return p },
			func(p port) intent.Port { return p.Port },
			st.Ports, st.Port, st.CreatePorts, st.UpdatePort, st.DeletePort),
	}
}

// portRemoval reads keep_mac: whether the MAC of a deleted port waits for the
// next port of the same instance on the same network.
func portRemoval(st *store.Store, query url.Values) (func(context.Context, store.Scope, string) error, error) {
	keep := false
	for _, v := range query["keep_mac"] {
		var err error
		if keep, err = boolean.parse(v); err != nil {
			return nil, invalidValue("keep_mac", "%v; want true or false", err)
		}
	}
	if !keep {
		return st.DeletePort, nil
	}
	return func(ctx context.Context, sc store.Scope, id string) error {
		return st.DeletePortKeepMAC(ctx, sc, id, time.Time{})
	}, nil
}

func vifType(p *store.NewPort) string {
	_, isSwitch := p.Binding.DPID()
	switch {
	case *askedHost(p) == "" && p.Binding.Host == "":
		return "unbound"
	case isSwitch, p.HostKnown:
		return "ovs"
	}
	return "binding_failed"
}

func checkPort(before, p *store.NewPort, given given) error {
	if before == nil {
		p.AutoIPs = !given["fixed_ips"]
		p.DefaultGroup = !given["security_groups"]
	}
	// Not in place: an update may run again with the same list.
	p.SecurityGroups = slices.Compact(slices.Sorted(slices.Values(p.SecurityGroups)))
	for i, ip := range p.FixedIPs {
		if ip.Addr.IsValid() && slices.ContainsFunc(p.FixedIPs[:i], func(o intent.FixedIP) bool { return o.Addr == ip.Addr }) {
			return invalidValue("fixed_ips", "Duplicate IP address '%s'", ip.Addr)
		}
	}
	if err := checkPairs(p); err != nil {
		return err
	}
	if p.Binding.Host == "" {
		if given["binding:profile"] && !p.Binding.IsZero() {
			return invalidValue("binding:profile", "the port is not bound; give binding:host_id with it")
		}
		p.Binding = intent.Binding{}
	}
	return nil
}

// fixedIP is {"subnet_id": id, "ip_address": address}, one of them at least.
var fixedIP = valueType[intent.FixedIP]{
	name:  `{"subnet_id": UUID, "ip_address": IP address}`,
	shows: objectOf(map[string]schema{"subnet_id": uuidSchema, "ip_address": ipSchema}),
	takes: objectOf(map[string]schema{"subnet_id?": uuidSchema, "ip_address?": ipSchema}).closed().
		with(schema{"minProperties": 1, "examples": []any{map[string]any{"ip_address": "10.0.0.9"}}}),
	parse: func(v any) (f intent.FixedIP, err error) {
		o, ok := v.(object)
		if !ok || len(o) == 0 {
			return f, fmt.Errorf("%s is not an object with subnet_id or ip_address", show(v))
		}
		for _, m := range o {
			switch m.key {
			case "subnet_id":
				f.SubnetID, err = readUUID(m.value)
			case "ip_address":
				f.Addr, err = readIP(m.value)
			default:
				err = fmt.Errorf("unexpected key '%s'; the keys are subnet_id and ip_address", clip(m.key))
			}
			if err != nil {
				return f, err
			}
		}
		return f, nil
	},
	append: func(b []byte, f intent.FixedIP) []byte {
		b = append(b, `{"subnet_id":`...)
		b = appendString(b, f.SubnetID)
		b = append(b, `,"ip_address":`...)
		b = appendIP(b, f.Addr)
		return append(b, '}')
	},
	filter: func(s string) (string, bool, error) {
		key, value, _ := strings.Cut(s, "=")
		// Values of one key are alternatives and different keys must all hold,
		// so none may be left out because it matches nothing: it is refused.
		switch key {
		case "subnet_id":
			canonical, err := readUUID(value)
			return "subnet_id=" + canonical, true, err
		case "ip_address":
			a, err := readIP(value)
			return "ip_address=" + a.String(), true, err
		case "ip_address_substr":
			return s, true, nil
		}
		return "", false, fmt.Errorf("'%s' is none of ip_address=ADDRESS, ip_address_substr=TEXT, subnet_id=ID", clip(s))
	},
}
