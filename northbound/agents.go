package northbound

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// theZone is the only availability zone; agents of Neutron are in one of this
// name unless they are told otherwise.
const theZone = "nova"

// agentSpace makes UUIDs of datapath ids: an agent must have one.
var agentSpace = uuid.MustParse("5d0cbb62-6f0e-4a58-9f26-7b0d5f3c1f4e")

func agentID(s *intent.Switch) string {
	return uuid.NewSHA1(agentSpace, []byte(s.DPID.String())).String()
}

// agentTime is a time as Neutron shows it of agents; null: never.
var agentTime = valueType[time.Time]{
	name:  "UTC time, YYYY-MM-DD HH:MM:SS, or null",
	shows: matching(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`).orNull(),
	append: func(b []byte, t time.Time) []byte {
		if t.IsZero() {
			return append(b, "null"...)
		}
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, time.DateTime)
		return append(b, '"')
	},
}

func agentDescription(s *intent.Switch) string {
	if s.Note != "" {
		return s.Note
	}
	return s.Description
}

func agents(st *store.Store) *collection[intent.Switch] {
	type sw = intent.Switch
	found := access{filter: true, sort: true}
	same := func(word string) func(*sw) string { return func(*sw) string { return word } }
	c := &collection[sw]{
		single: "agent", plural: "agents", path: "agents",
		silent: true,
		doc:    "The switches in the words of Neutron: each is an agent of the type `Open vSwitch agent`. `admin_state_up` is `admitted` of the switch.",
		attributes: table[sw]{
			derived("id", id, agentID, found, "Follows from the datapath id."),
			derived("agent_type", text(255), same("Open vSwitch agent"), found, "Always `Open vSwitch agent`."),
			derived("binary", text(255), same("macloom"), found, "Always `macloom`."),
			derived("topic", text(255), same("N/A"), found, "Always `N/A`."),
			derived("host", text(255), switchID, found, "The datapath id: what `binding:host_id` of a port names."),
			mapped("admin_state_up", boolean, func(s *sw) bool { return s.Admitted }, (*sw).Judge, access{put: true, filter: true, sort: true}, "Whether the switch may connect."),
			derived("alive", boolean, func(s *sw) bool { return s.Connected }, found, "Whether its OpenFlow session is up."),
			derived("created_at", agentTime, func(s *sw) time.Time { return s.ConnectedAt }, access{}, "When the last session began; macloom does not know of the first."),
			derived("started_at", agentTime, func(s *sw) time.Time { return s.ConnectedAt }, access{}, "When the last session began."),
			derived("heartbeat_timestamp", agentTime, func(s *sw) time.Time { return s.UpdatedAt }, access{}, "When something of it last changed."),
			derived("configurations", answers, func(s *sw) map[string]string {
				return map[string]string{"datapath_id": s.DPID.String(), "datapath_type": s.DatapathType, "hostname": s.Hostname, "system_id": s.SystemID, "version": s.Version}
			}, access{}, "What is known of it."),
			mapped("description", textOrNull(255), agentDescription, func(s *sw, v string) { s.Note = v }, access{put: true, filter: true, sort: true},
				"`note` of the switch; if there is none, manufacturer, hardware and software in its own words."),
			derived("availability_zone", text(255), same(theZone), found, "Always `"+theZone+"`."),
		},
		readBy:  admins,
		writeBy: admins,
	}
	find := func(ctx context.Context, key string) (sw, error) {
		all, err := st.Switches(ctx)
		if err != nil {
			return sw{}, err
		}
		return c.heldObject(all, key)
	}
	c.backend = backend[sw]{
		list: func(ctx context.Context, _ store.Scope, q store.Query) ([]sw, error) {
			all, err := st.Switches(ctx)
			if err != nil {
				return nil, err
			}
			return c.heldList(all, q)
		},
		get: func(ctx context.Context, _ store.Scope, key string) (sw, error) { return find(ctx, key) },
		update: func(ctx context.Context, _ store.Scope, key string, change func(*sw) error) (sw, error) {
			s, err := find(ctx, key)
			if err != nil {
				return sw{}, err
			}
			return st.UpdateSwitch(ctx, s.DPID, change)
		},
		remove: func(ctx context.Context, _ store.Scope, key string) error {
			s, err := find(ctx, key)
			if err != nil {
				return err
			}
			return st.DeleteSwitch(ctx, s.DPID)
		},
	}
	return c
}

// zone is an availability zone of one kind of resource.
type zone struct {
	name, resource string
	available      bool
}

func zones(st *store.Store) *collection[zone] {
	found := access{filter: true, sort: true}
	c := &collection[zone]{
		single: "availability_zone", plural: "availability_zones", path: "availability_zones", keyAttr: "name", public: true,
		silent: true,
		doc:    "All switches are in one availability zone; it is there as soon as one of them is.",
		attributes: table[zone]{
			derived("name", text(255), func(z *zone) string { return z.name }, found, "Always `"+theZone+"`."),
			derived("resource", text(255), func(z *zone) string { return z.resource }, found, "Always `network`."),
			derived("state", oneOf("available", "unavailable"), func(z *zone) string {
				if z.available {
					return "available"
				}
				return "unavailable"
			}, found, "Whether a switch that may connect is connected."),
		},
	}
	all := func(ctx context.Context) ([]zone, error) {
		switches, err := st.Switches(ctx)
		if err != nil || len(switches) == 0 {
			return nil, err
		}
		z := zone{name: theZone, resource: "network"}
		for i := range switches {
			z.available = z.available || switches[i].Connected && switches[i].Admitted
		}
		return []zone{z}, nil
	}
	c.list = func(ctx context.Context, _ store.Scope, q store.Query) ([]zone, error) {
		there, err := all(ctx)
		if err != nil {
			return nil, err
		}
		return c.heldList(there, q)
	}
	c.get = func(ctx context.Context, _ store.Scope, key string) (zone, error) {
		there, err := all(ctx)
		if err != nil {
			return zone{}, err
		}
		return c.heldObject(there, key)
	}
	return c
}

// providers declares GET /v2.0/service-providers, which clients ask before
// they use services that there are none of here.
func (s *server) providers() group {
	provider := objectOf(map[string]schema{"service_type": {"type": "string"}, "name": {"type": "string"}, "default": {"type": "boolean"}})
	return group{"service providers", "Who provides services beyond networks.", []action{{
		method: http.MethodGet, path: "/service-providers", doc: "The providers of services; there are none.", gives: asJSON(under("service_providers", arrayOf(provider, 0))),
		serve: func(w http.ResponseWriter, _ *http.Request) error {
			writeJSON(w, http.StatusOK, []byte(`{"service_providers":[]}`))
			return nil
		},
	}}}
}
