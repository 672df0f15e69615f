package northbound

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// happenings declares the events. Their ids are revisions of the change feed, which
// they lie in.
func happenings(st *store.Store) *collection[intent.Event] {
	type event = intent.Event
	found, place, word := access{filter: true}, access{seen: admins, filter: true}, access{seen: nobody, filter: true}
	kinds, docs := make([]intent.EventKind, len(intent.EventKinds)), make([]string, len(intent.EventKinds))
	for i, s := range intent.EventKinds {
		kinds[i], docs[i] = s.Kind, fmt.Sprintf("`%s`: %s", s.Kind, s.Doc)
	}
	// shown takes out what tells a tenant of switches.
	shown := func(sc store.Scope, e *event) {
		if s := e.Kind.Sort(); !sc.Admin && s != nil {
			maps.DeleteFunc(e.Details, func(name string, _ any) bool { d := s.Detail(name); return d == nil || d.Operator })
		}
	}
	return &collection[event]{
		single: "event", plural: "events", path: "events", kind: store.KindEvent,
		journal: true,
		doc: "What happened, the earliest first. Revisions are those of the change feed: whoever has seen one has seen everything up to it. " +
			"A watch tells what happens from now on, or after the revision `since`; 410 if that is too old. " +
			"Events are kept for 7 days, and of the last 10,000,000 changes at most. Members see those about their own ports, without places in switches.",
		attributes: table[event]{
			derived("id", serial, func(e *event) int64 { return e.Revision }, access{filter: true, sort: true}, "The revision, as a string."),
			derived("revision", number[int64](0, 1<<62), func(e *event) int64 { return e.Revision }, access{}, "Its place in the change feed; rises with time, with gaps."),
			derived("at", exactTime, func(e *event) time.Time { return e.At }, access{sort: true}, "When it was written down."),
			derived("kind", oneOf(kinds...), func(e *event) intent.EventKind { return e.Kind }, found, strings.Join(docs, "; ")+"."),
			derived("tenant_id", text(255), func(e *event) string { return e.TenantID }, found, "Whose port or address it is about; empty: nobody's."),
			derived("project_id", text(255), func(e *event) string { return e.TenantID }, found, "The same as `tenant_id`."),
			derived("port_id", idOrNull, func(e *event) string { return e.PortID }, found, "The port that it is about."),
			derived("network_id", idOrNull, func(e *event) string { return e.NetworkID }, found, "The network that it is about."),
			derived("mac_address", macOrNull, func(e *event) mac.Addr { return e.MAC }, found, "The MAC address that it is about."),
			derived("switch", text(16), eventSwitch, place, "The switch where it happened; empty: none."),
			derived("port", number[uint32](0, 1<<32-1), func(e *event) uint32 { return e.Port }, place, "The OpenFlow number of the port there; 0: none."),
			derived("interface", text(255), func(e *event) string { return e.Interface }, place, "The name of that port, where it is known."),
			derived("details", eventDetails, func(e *event) map[string]any { return e.Details }, access{}, detailsDoc()),
			derived("since", number[int64](0, 1<<62), func(e *event) int64 { return e.Revision }, word, "Only what came after this revision; 410 if not all of that is kept any more."),
		},
		backend: backend[event]{
			list: func(ctx context.Context, sc store.Scope, q store.Query) ([]event, error) {
				list, err := st.Events(ctx, sc, q)
				for i := range list {
					shown(sc, &list[i])
				}
				return list, err
			},
			get: func(ctx context.Context, sc store.Scope, id string) (event, error) {
				e, err := st.Event(ctx, sc, id)
				shown(sc, &e)
				return e, err
			},
		},
	}
}

func eventSwitch(e *intent.Event) string {
	if e.Switch == 0 {
		return ""
	}
	return e.Switch.String()
}

// detailsDoc says which kinds have which details.
func detailsDoc() string {
	var kinds []string
	for _, s := range intent.EventKinds {
		var names []string
		for _, d := range s.Details {
			names = append(names, fmt.Sprintf("`%s` (%s)", d.Name, d.Doc))
		}
		if len(names) > 0 {
			kinds = append(kinds, fmt.Sprintf("`%s`: %s", s.Kind, strings.Join(names, ", ")))
		}
	}
	return "What else its kind has. " + strings.Join(kinds, "; ") + "."
}

// eventDetails are the details of an event.
var eventDetails = valueType[map[string]any]{
	name:  "object",
	shows: schema{"type": "object"},
	append: func(b []byte, details map[string]any) []byte {
		text, err := json.Marshal(details)
		if err != nil || details == nil {
			return append(b, "{}"...) // what came out of JSON goes into it
		}
		return append(b, text...)
	},
}
