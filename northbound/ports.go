package northbound

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
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
		single: "port", plural: "ports", path: "ports",
		doc: "A port connects an instance to a network: it has a MAC address, IP addresses and security groups, and obeys them once it is bound to a port of a switch. " +
			"Its `status` is `ACTIVE` when the switch has confirmed its flows. `DELETE …?keep_mac=true` reserves the MAC for the next port of the same `device_id` on the same network.",
		attributes: standard(meta,
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
			stored("security_groups", list(id, maxPortGroups), func(p *port) *[]string { return &p.SecurityGroups }, access{post: optional, put: true, filter: true},
				"Ids of its security groups; if not given, the tenant's group `default`; `[]`: none, so nothing may pass."),
			stored("device_id", text(255), func(p *port) *string { return &p.DeviceID }, access{post: optional, put: true, def: `""`, filter: true, sort: true}, "The instance that uses it."),
			stored("device_owner", text(255), func(p *port) *string { return &p.DeviceOwner }, access{post: optional, put: true, def: `""`, filter: true, sort: true}, "What kind of service uses it."),
			stored("binding:host_id", datapath, func(p *port) *string { return &p.Binding.Host }, hostAccess, "The switch that it is plugged into. If it is left empty, the one where an open interface appears that carries the id of the port in `external_ids:iface-id`, as long as that stays; if given, only an interface there counts."),
			mapped("binding:profile", profile, func(p *port) plug { return plug{p.Binding.InterfaceName, p.Binding.PortNo} },
				func(p *port, v plug) { p.Binding.InterfaceName, p.Binding.PortNo = v.interfaceName, v.portNo }, byAdmins,
				"Which port of the switch. If it is left empty, the one that carries the id of the port in `external_ids:iface-id`. Cleared when the port is unbound."),
			derived("binding:vif_type", text(16), vifType, access{seen: admins}, "`unbound`, or `ovs` when `binding:host_id` is set."),
			mapped("binding:vnic_type", oneOf("normal"), func(*port) string { return "normal" }, func(*port, string) {}, access{post: optional, put: true},
				"Always `normal`."),
		),
		meta:         meta,
		fromStore:    wrappedAs(func(p intent.Port) port { return port{Port: p} }),
		check:        checkPort,
		removalQuery: []parameter{{name: "keep_mac", doc: "Whether the MAC stays reserved for the next port of the same `device_id` on the same network.", value: boolean.shows}},
		removal: func(query url.Values) (func(context.Context, store.Scope, string) error, error) {
			return portRemoval(st, query)
		},
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
	if p.Binding.Host == "" {
		return "unbound"
	}
	return "ovs"
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

// plug names a port of a switch: by name, by OpenFlow number, or not at all.
type plug struct {
	interfaceName string
	portNo        uint32
}

var plugSchema = objectOf(map[string]schema{"interface_name?": filled(255).shows, "port_no?": between(1, maxOFPort)}).closed().
	with(schema{"maxProperties": 1, "examples": []any{map[string]any{"port_no": 3}}})

// profile is {"interface_name": name}, {"port_no": number}, {} or null.
var profile = valueType[plug]{
	name:  `{"interface_name": string} or {"port_no": integer}; {} or null: none`,
	shows: plugSchema,
	takes: plugSchema.orNull(),
	parse: func(v any) (p plug, err error) {
		if v == nil {
			return p, nil
		}
		o, ok := v.(object)
		if !ok {
			return p, fmt.Errorf("%s is not an object", show(v))
		}
		for _, m := range o {
			switch m.key {
			case "interface_name":
				p.interfaceName, err = filled(255).parse(m.value)
			case "port_no":
				p.portNo, err = number[uint32](1, maxOFPort).parse(m.value)
			default:
				err = fmt.Errorf("unexpected key; the keys are interface_name and port_no")
			}
			if err != nil {
				return p, fmt.Errorf("%s: %w", clip(m.key), err)
			}
		}
		if p.interfaceName != "" && p.portNo != 0 {
			return p, fmt.Errorf("give one of interface_name and port_no, not both")
		}
		return p, nil
	},
	append: func(b []byte, p plug) []byte {
		switch {
		case p.interfaceName != "":
			b = append(b, `{"interface_name":`...)
			b = appendString(b, p.interfaceName)
		case p.portNo != 0:
			b = append(b, `{"port_no":`...)
			b = strconv.AppendUint(b, uint64(p.portNo), 10)
		default:
			b = append(b, '{')
		}
		return append(b, '}')
	},
}
