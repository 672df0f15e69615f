package northbound

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func switches(st *store.Store) *collection[intent.Switch] {
	return &collection[intent.Switch]{
		single: "switch", plural: "switches", path: "switches",
		doc: "A switch is a datapath that has connected: facts, to be read only.",
		attributes: table[intent.Switch]{
			derived("id", datapath, func(s *intent.Switch) string { return s.DPID.String() }, access{filter: true}, "The datapath id; what `binding:host_id` of a port names."),
			derived("connected", boolean, func(s *intent.Switch) bool { return s.Connected }, access{}, "Whether an OpenFlow session is up."),
			derived("address", text(255), func(s *intent.Switch) string { return s.Address }, access{}, "Where the last session came from."),
			derived("description", text(255), func(s *intent.Switch) string { return s.Description }, access{}, "Manufacturer, hardware and software, in its own words."),
			derived("ports", list(switchPort, 0), func(s *intent.Switch) []intent.SwitchPort { return s.Ports }, access{}, "Its ports."),
			derived("realized_revision", number[int64](0, 1<<62), func(s *intent.Switch) int64 { return s.Realized }, access{}, "The last change that its flows reflect."),
			derived("foreign_flows", number[int](0, 1<<31), func(s *intent.Switch) int { return s.ForeignFlows }, access{}, "Flows in it that the controller did not make and leaves alone."),
			derived("fail_mode", text(16), func(s *intent.Switch) string { return s.FailMode }, access{}, "`secure` or `standalone`; empty: not known."),
			derived("error", text(255), func(s *intent.Switch) string { return s.Error }, access{}, "The last fault; empty: none."),
			derived("connected_at", timeOrNull, func(s *intent.Switch) time.Time { return s.ConnectedAt }, access{}, "When the last session began."),
			derived("updated_at", timestamp, func(s *intent.Switch) time.Time { return s.UpdatedAt }, access{}, "When any of this last changed."),
		},
		readBy: admins,
		backend: backend[intent.Switch]{
			list: func(ctx context.Context, _ store.Scope, q store.Query) ([]intent.Switch, error) {
				all, err := st.Switches(ctx)
				if ids, ok := q.Filter["id"]; ok {
					all = slices.DeleteFunc(all, func(s intent.Switch) bool { return !slices.Contains(ids, s.DPID.String()) })
				}
				return all, err
			},
			get: func(ctx context.Context, _ store.Scope, id string) (intent.Switch, error) {
				dpid, err := intent.ParseDPID(id)
				if err != nil {
					return intent.Switch{}, missing(store.KindSwitch, id)
				}
				return st.Switch(ctx, dpid)
			},
		},
	}
}

// switchPort is shown only.
var switchPort = valueType[intent.SwitchPort]{
	name: `{"port_no": integer, "name": string, "hw_addr": MAC address, "up": boolean}`,
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
	name: timestamp.name + ", or null",
	append: func(b []byte, t time.Time) []byte {
		if t.IsZero() {
			return append(b, "null"...)
		}
		return timestamp.append(b, t)
	},
}
