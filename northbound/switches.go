package northbound

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func switches(st *store.Store) *collection[intent.Switch] {
	type sw = intent.Switch
	return &collection[sw]{
		single: "switch", plural: "switches", path: "switches",
		doc: "A switch is a datapath that has connected, that was turned away, or that was listed beforehand. All of it is fact but `note` and `admitted`: " +
			"that is the operator's decision, and takes effect at once. With `--admit listed` only switches with `admitted` true may connect; others are " +
			"remembered here (the last 1,000 of them). With `--admit auto` all may but those that an operator has set to false. " +
			"A host may be listed by its `system_id` before its datapath id is known. Only a switch that is not connected can be deleted; interfaces on it bind ports no more then.",
		attributes: table[sw]{
			mapped("id", datapathID, func(s *sw) string { return s.DPID.String() }, func(s *sw, v string) { s.DPID, _ = intent.ParseDPID(v) },
				access{post: optional, filter: true, sort: true}, "The datapath id; what `binding:host_id` of a port names. If only `system_id` is given, the one that macloom will give to the bridge of that host."),
			stored("system_id", text(255), func(s *sw) *string { return &s.SystemID }, access{post: optional, def: `""`, filter: true, sort: true}, "The Open vSwitch that has the datapath (`external_ids:system-id`); empty: not known."),
			mapped("admitted", boolean, func(s *sw) bool { return s.Admitted }, (*sw).Judge, access{post: optional, put: true, def: "true", filter: true, sort: true}, "Whether it may connect. Changing it to false ends its connections."),
			stored("note", text(255), func(s *sw) *string { return &s.Note }, access{put: true, filter: true, sort: true}, "The operator's own words about it."),
			derived("turned_away_at", timeOrNull, func(s *sw) time.Time { return s.TurnedAwayAt }, access{}, "When it was last turned away; it is noted once a minute."),
			derived("turned_away_reason", text(255), func(s *sw) string { return s.TurnedAwayReason }, access{}, "Why."),
			derived("connected", boolean, func(s *sw) bool { return s.Connected }, access{filter: true, sort: true}, "Whether an OpenFlow session is up."),
			derived("ovsdb_connected", boolean, func(s *sw) bool { return s.OVSDBConnected }, access{filter: true, sort: true}, "Whether an OVSDB connection to its host is up."),
			derived("address", text(255), func(s *sw) string { return s.Address }, access{}, "Where the last session came from."),
			derived("hostname", text(255), func(s *sw) string { return s.Hostname }, access{filter: true, sort: true}, "The name of its host, by OVSDB."),
			derived("description", text(255), func(s *sw) string { return s.Description }, access{}, "Manufacturer, hardware and software, in its own words."),
			derived("version", text(255), func(s *sw) string { return s.Version }, access{filter: true, sort: true}, "The version of Open vSwitch, by OVSDB."),
			derived("datapath_type", text(255), func(s *sw) string { return s.DatapathType }, access{}, "`system`: of the kernel; `netdev`: userspace; empty: not known without OVSDB."),
			derived("tunnel_ip", ipOrNull, func(s *sw) netip.Addr { return s.Tunnel }, access{}, "Where other hosts send their VXLAN tunnels to: `external_ids:ovn-encap-ip` of its host, or else the address that the host connects from by OVSDB; null: it has no tunnels."),
			derived("capabilities", answers, func(s *sw) map[string]string { return s.Capabilities }, access{}, "What it can do, by feature: `yes`, `no` or `unknown`, found by asking it."),
			derived("ports", list(switchPort, 0), func(s *sw) []intent.SwitchPort { return s.Ports }, access{}, "Its ports."),
			derived("attachments", list(attachment, 0), func(s *sw) []intent.Attachment { return s.Attachments }, access{},
				"Its interfaces that carry `external_ids:iface-id`: `bound`, `waiting` (for the port to be made, or the interface to be opened) or `refused`, with the reason."),
			derived("realized_revision", number[int64](0, 1<<62), func(s *sw) int64 { return s.Realized }, access{}, "The last change that its flows reflect."),
			derived("foreign_flows", number[int](0, 1<<31), func(s *sw) int { return s.ForeignFlows }, access{}, "Flows in it that the controller did not make and leaves alone."),
			derived("repaired_flows", number[int64](0, 1<<62), func(s *sw) int64 { return s.Repaired }, access{}, "Flows that were found changed by somebody else and put right, since the controller started."),
			derived("fail_mode", text(16), func(s *sw) string { return s.FailMode }, access{}, "`secure` or `standalone`; empty: not known without OVSDB."),
			derived("error", text(1024), fault, access{}, "What is wrong with its flows, or why it could not be set up; empty: nothing."),
			derived("connected_at", timeOrNull, func(s *sw) time.Time { return s.ConnectedAt }, access{}, "When the last session began."),
			derived("updated_at", timestamp, func(s *sw) time.Time { return s.UpdatedAt }, access{}, "When any of this last changed."),
		},
		readBy:  admins,
		writeBy: admins,
		check: func(before, s *sw, given given) error {
			switch {
			case before != nil || given["id"]:
			case s.SystemID == "":
				return badRequest("Failed to parse request. One of the attributes 'id' and 'system_id' is required")
			default:
				s.DPID = intent.DPIDOfSystem(s.SystemID)
			}
			return nil
		},
		backend: backend[sw]{
			list: func(ctx context.Context, _ store.Scope, q store.Query) ([]sw, error) {
				all, err := st.Switches(ctx)
				if err != nil {
					return nil, err
				}
				return selectFrom(store.KindSwitch, all, q, switchID, switchShows)
			},
			get: func(ctx context.Context, _ store.Scope, id string) (sw, error) {
				dpid, err := intent.ParseDPID(id)
				if err != nil {
					return sw{}, missing(store.KindSwitch, id)
				}
				return st.Switch(ctx, dpid)
			},
			create: func(ctx context.Context, _ store.Scope, in []sw) ([]sw, error) { return st.CreateSwitches(ctx, in) },
			update: func(ctx context.Context, _ store.Scope, id string, change func(*sw) error) (sw, error) {
				dpid, err := intent.ParseDPID(id)
				if err != nil {
					return sw{}, missing(store.KindSwitch, id)
				}
				return st.UpdateSwitch(ctx, dpid, change)
			},
			remove: func(ctx context.Context, _ store.Scope, id string) error {
				dpid, err := intent.ParseDPID(id)
				if err != nil {
					return missing(store.KindSwitch, id)
				}
				return st.DeleteSwitch(ctx, dpid)
			},
		},
	}
}

func switchID(s *intent.Switch) string { return s.DPID.String() }

// switchShows are the attributes that a list of switches is filtered and
// sorted by.
var switchShows = map[string]func(*intent.Switch) string{
	"id":              switchID,
	"system_id":       func(s *intent.Switch) string { return s.SystemID },
	"hostname":        func(s *intent.Switch) string { return s.Hostname },
	"note":            func(s *intent.Switch) string { return s.Note },
	"version":         func(s *intent.Switch) string { return s.Version },
	"admitted":        func(s *intent.Switch) string { return strconv.FormatBool(s.Admitted) },
	"connected":       func(s *intent.Switch) string { return strconv.FormatBool(s.Connected) },
	"ovsdb_connected": func(s *intent.Switch) string { return strconv.FormatBool(s.OVSDBConnected) },
}

var errNoDatapath = errors.New("a datapath id of 16 hex digits, not all of them 0, is needed")

// fault joins what is wrong with the bridge and with its flows.
func fault(s *intent.Switch) string {
	return strings.Trim(s.SetupError+"; "+s.Error, "; ")
}

// datapathID is a datapath id in 16 hex digits, in lower case.
var datapathID = valueType[string]{
	name:  "datapath id, 16 hex digits",
	shows: matching(`^[0-9A-Fa-f]{16}$`).with(schema{"not": schema{"const": intent.DPID(0).String()}, "examples": []any{"00000000000000a1"}}),
	parse: func(v any) (string, error) {
		id, err := datapath.parse(v)
		if err == nil && (id == "" || id == intent.DPID(0).String()) {
			id, err = "", errNoDatapath
		}
		return id, err
	},
	append: appendString,
	filter: datapath.filter,
}

// answers is an object of short words, by feature.
var answers = valueType[map[string]string]{
	name:  "object of strings",
	shows: schema{"type": "object", "additionalProperties": schema{"type": "string"}},
	append: func(b []byte, m map[string]string) []byte {
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(m)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, key)
			b = append(b, ':')
			b = appendString(b, m[key])
		}
		return append(b, '}')
	},
}

// attachment is shown only.
var attachment = valueType[intent.Attachment]{
	name: `{"interface": string, "iface_id": string, "port_no": integer or null, "mac_in_use": string, "since": UTC time, "state": string, "reason": string}`,
	shows: objectOf(map[string]schema{
		"interface": text(255).shows, "iface_id": text(255).shows, "port_no": between(1, 1<<32-1).orNull(), "mac_in_use": text(255).shows,
		"since": timeSchema, "state": text(16).shows, "reason": text(255).shows,
	}),
	append: func(b []byte, a intent.Attachment) []byte {
		b = append(b, `{"interface":`...)
		b = appendString(b, a.Interface)
		b = append(b, `,"iface_id":`...)
		b = appendString(b, a.IfaceID)
		b = append(b, `,"port_no":`...)
		if a.OFPort > 0 {
			b = strconv.AppendInt(b, a.OFPort, 10)
		} else {
			b = append(b, "null"...)
		}
		b = append(b, `,"mac_in_use":`...)
		b = appendString(b, a.MACInUse)
		b = append(b, `,"since":`...)
		b = timestamp.append(b, a.Since)
		b = append(b, `,"state":`...)
		b = appendString(b, string(a.State))
		b = append(b, `,"reason":`...)
		b = appendString(b, a.Reason)
		return append(b, '}')
	},
}

// switchPort is shown only.
var switchPort = valueType[intent.SwitchPort]{
	name:  `{"port_no": integer, "name": string, "hw_addr": MAC address, "up": boolean}`,
	shows: objectOf(map[string]schema{"port_no": between(0, 1<<32-1), "name": text(255).shows, "hw_addr": macSchema, "up": boolean.shows}),
	append: func(b []byte, p intent.SwitchPort) []byte {
		b = append(b, `{"port_no":`...)
		b = strconv.AppendUint(b, uint64(p.No), 10)
		b = append(b, `,"name":`...)
		b = appendString(b, p.Name)
		b = append(b, `,"hw_addr":`...)
		b = appendMAC(b, p.HWAddr)
		b = append(b, `,"up":`...)
		b = strconv.AppendBool(b, p.Up)
		return append(b, '}')
	},
}

// timeOrNull is a timestamp; null: never.
var timeOrNull = valueType[time.Time]{
	name:  timestamp.name + ", or null",
	shows: timeSchema.orNull(),
	append: func(b []byte, t time.Time) []byte {
		if t.IsZero() {
			return append(b, "null"...)
		}
		return timestamp.append(b, t)
	},
}
