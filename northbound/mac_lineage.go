package northbound

import (
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// lineageEvent is how a line of the lineage is shown. Where a port is plugged in
// is for administrators, as it is in the port.
var lineageEvent = func() table[intent.MACEvent] {
	type event = intent.MACEvent
	place := access{seen: admins}
	return table[event]{
		derived("id", number[int64](0, 1<<62), func(e *event) int64 { return e.ID }, access{}, ""),
		derived("at", exactTime, func(e *event) time.Time { return e.At }, access{}, ""),
		derived("event", text(16), func(e *event) string { return string(e.Kind) }, access{}, ""),
		derived("mac", macAddress, func(e *event) mac.Addr { return e.Addr }, access{}, ""),
		derived("state", text(16), func(e *event) string { return string(e.State) }, access{}, ""),
		derived("until", exactTime, func(e *event) time.Time { return e.Until }, access{}, ""),
		derived("actor", text(255), func(e *event) string { return e.Actor }, access{}, ""),
		derived("request_id", text(255), func(e *event) string { return e.RequestID }, access{}, ""),
		derived("tenant_id", text(255), func(e *event) string { return e.TenantID }, access{}, ""),
		derived("segment_id", idOrNull, func(e *event) string { return e.SegmentID }, access{}, ""),
		derived("network_id", idOrNull, func(e *event) string { return e.NetworkID }, access{}, ""),
		derived("port_id", idOrNull, func(e *event) string { return e.PortID }, access{}, ""),
		derived("device_id", text(255), func(e *event) string { return e.DeviceID }, access{}, ""),
		derived("ips", list(ipAddress, 0), func(e *event) []netip.Addr { return e.IPs }, access{}, ""),
		derived("host", text(255), func(e *event) string { return e.Host }, place, ""),
		derived("switch", text(16), func(e *event) string { return e.Datapath }, place, ""),
		derived("switch_port", number[uint32](0, 1<<32-1), func(e *event) uint32 { return e.SwitchPort }, place, ""),
		derived("interface", text(255), func(e *event) string { return e.Interface }, place, ""),
		derived("detail", text(255), func(e *event) string { return e.Detail }, access{}, ""),
	}
}()

// exactTime is shown to the microsecond, so that it can be given back as a
// bound; null: never.
var exactTime = valueType[time.Time]{
	name:  "UTC time, or null",
	shows: timeSchema.orNull(),
	filter: func(s string) (string, bool, error) {
		t, err := readTime(s)
		return t.UTC().Format(time.RFC3339Nano), true, err
	},
	append: func(b []byte, t time.Time) []byte {
		if t.IsZero() {
			return append(b, "null"...)
		}
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
		return append(b, '"')
	},
}

func (s *server) lineageActions() group {
	shown, _ := lineageEvent.shownSchema()
	moment := schema{"type": "string", "format": "date-time"}
	return group{"mac-lineage", "What happened to addresses, and who had one when.", []action{{
		method: http.MethodGet, path: "/mac-lineage", serve: s.serveLineage, doc: "The events of what is asked for, the latest first.",
		query: []parameter{
			{name: "mac", doc: "An address.", value: macSchema}, {name: "ip", doc: "An IP address.", value: ipSchema}, {name: "instance", doc: "A `device_id`."},
			{name: "tenant", doc: "A tenant."}, {name: "user", doc: "Who did it."}, {name: "switch", doc: "A datapath id. For administrators only."},
			{name: "at", doc: "Who had it at this moment.", value: moment}, {name: "since", doc: "Not before this moment.", value: moment}, {name: "until", doc: "Before this moment.", value: moment},
			{name: "limit", doc: "At most so many.", value: between(1, store.MaxLineage)}, {name: "marker", doc: "The id of the last event of the page before.", value: between(1, 1<<62)},
		},
		gives: asJSON(under("mac_lineage", arrayOf(shown, 0))),
	}}}
}

// serveLineage answers GET /v2.0/mac-lineage.
func (s *server) serveLineage(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	q, err := lineageQuery(query)
	if err != nil {
		return err
	}
	if q.Switch != "" && !p.admin {
		return forbidden("get_mac_lineage:switch")
	}
	found, err := s.store.Lineage(r.Context(), p.scope(), q)
	if err != nil {
		return err
	}
	answer := collection[intent.MACEvent]{plural: "mac_lineage"}
	answer.answerAll(w, http.StatusOK, lineageEvent.visible(p, nil), found)
	return nil
}

func lineageQuery(query url.Values) (q store.LineageQuery, err error) {
	err = knownQuery(query, "mac", "ip", "instance", "tenant", "user", "switch", "at", "since", "until", "limit", "marker")
	if err != nil {
		return q, err
	}
	subjects := 0
	for name, values := range query {
		if len(values) > 1 {
			return q, invalidValue(name, "it is given %d times; give it once", len(values))
		}
		v := values[0]
		if !storable(v) || v == "" {
			return q, invalidValue(name, "%s is empty or cannot be stored", show(v))
		}
		switch name {
		case "mac":
			q.MAC, err = station.parse(v)
		case "ip":
			q.IP, err = readIP(v)
		case "instance":
			q.DeviceID = v
		case "tenant":
			q.TenantID = v
		case "user":
			q.User = v
		case "switch":
			q.Switch = v
		case "at":
			q.At, err = readTime(v)
		case "since":
			q.Since, err = readTime(v)
		case "until":
			q.Before, err = readTime(v)
		case "marker":
			q.Marker, err = readInt(v, 1, 1<<62)
		case "limit":
			var n int64
			n, err = readInt(v, 1, store.MaxLineage)
			q.Limit = int(n)
		}
		if err != nil {
			return q, invalidValue(name, "%v", err)
		}
		switch name {
		case "at", "since", "until", "limit", "marker":
		default:
			subjects++
		}
	}
	switch {
	case subjects == 0:
		return q, badRequest("Give at least one of mac, ip, instance, tenant, user, switch")
	case query.Has("at") && query.Has("until"):
		return q, invalidValue("until", "at asks for one moment; leave out one of the two")
	case query.Has("at") && query.Has("since"):
		return q, invalidValue("since", "at asks for one moment; leave out one of the two")
	}
	return q, nil
}
