package northbound

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// macAddressOf is an address with what a request says beside it.
type macAddressOf struct {
	intent.MACAddress
	host   string
	count  int // 0: one, answered as an object
	format string
}

// The formats of an answer to a request for several addresses.
const (
	formatList   = "list"
	formatRanges = "ranges"
)

func macAddresses(st *store.Store) *collection[macAddressOf] {
	tenant := func(m *macAddressOf) *string { return &m.TenantID }
	owner := access{post: optional, filter: true, sort: true}
	c := &collection[macAddressOf]{
		single: "mac_address", plural: "mac_addresses", path: "mac-addresses",
		silent: true,
		doc: "A MAC address that somebody has, holds or had lately. Ports take theirs by themselves; here are also addresses without a port, and reservations. " +
			"In the URL it may be written in any notation: `02:00:05:00:00:01`, `02-00-05-00-00-01`, `0200.0500.0001`, `020005000001`. " +
			"PUT changes one that no port has; a reservation can become active, and not the other way round. " +
			"DELETE releases it; it then rests for the quarantine of its segment. Members see and write their own.",
		attributes: table[macAddressOf]{
			derived("id", macAddress, func(m *macAddressOf) mac.Addr { return m.Addr }, access{filter: true, sort: true}, "The address."),
			stored("address", station, func(m *macAddressOf) *mac.Addr { return &m.Addr }, access{post: optional, filter: true, sort: true},
				"The address; if not given, one is taken from `segment_id`, else from a segment of the host, the network, the tenant, or a shared one."),
			stored("tenant_id", filled(255), tenant, owner, "Who has it; of one at rest, who had it last. Only an administrator may name another than his own."),
			stored("project_id", filled(255), tenant, owner, "The same as `tenant_id`."),
			stored("segment_id", idOrNull, func(m *macAddressOf) *string { return &m.SegmentID }, access{post: optional, filter: true},
				"The segment that it is of; null: of none, or in POST: any."),
			stored("network_id", idOrNull, func(m *macAddressOf) *string { return &m.NetworkID }, access{post: optional, filter: true},
				"The network that it is for; null: any."),
			mapped("host", text(255), func(m *macAddressOf) string { return m.host }, func(m *macAddressOf, v string) { m.host = v },
				access{post: optional, byPost: admins, seen: nobody}, "Takes the address from the segments of this host, if there are some."),
			stored("state", addressState, func(m *macAddressOf) *intent.MACState { return &m.State }, access{post: optional, put: true, def: `"active"`, filter: true, sort: true},
				"`reserved`: held for the next port of `device_id`, or for one that names the address; `quarantined`: released, and nobody else may have it before `quarantined_until`."),
			derived("origin", text(16), func(m *macAddressOf) string { return string(m.Origin) }, access{}, "What it hangs on: a `port`, a `tenant` that asked for it, or an `import`."),
			derived("port_id", idOrNull, func(m *macAddressOf) string { return m.PortID }, access{filter: true}, "The port that has it."),
			stored("device_id", text(255), func(m *macAddressOf) *string { return &m.DeviceID }, access{post: optional, put: true, def: `""`, filter: true, sort: true},
				"The instance that has it or that it is held for."),
			stored("expires_at", futureOrNull, func(m *macAddressOf) *time.Time { return &m.ExpiresAt }, access{post: optional, put: true},
				"When a reservation ends; null: not by itself. One that becomes active has no end."),
			derived("quarantined_until", timeOrNull, quarantinedUntil, access{}, "When the rest of a released address ends."),
			derived("interface_id", text(23), func(m *macAddressOf) string { return eui64Text(m.Addr) }, access{}, "Its Modified EUI-64 (RFC 4291 appendix A)."),
			derived("link_local", ipAddress, func(m *macAddressOf) netip.Addr { return m.Addr.LinkLocal() }, access{}, "The IPv6 link-local address formed of that."),
			mapped("count", number[int](1, store.MaxMACs), func(m *macAddressOf) int { return m.count }, func(m *macAddressOf, n int) { m.count = n },
				access{post: optional, seen: nobody}, "How many addresses, all or none; the answer is a list even of one."),
			mapped("format", oneOf(formatList, formatRanges), func(m *macAddressOf) string { return m.format }, func(m *macAddressOf, f string) { m.format = f },
				access{post: optional, seen: nobody}, "`ranges` answers `{\"mac_ranges\": [{\"first\", \"last\", \"count\", \"segment_id\"}]}`."),
			derived("created_at", timestamp, func(m *macAddressOf) time.Time { return m.CreatedAt }, access{sort: true}, "When its owner got it."),
			derived("updated_at", timestamp, func(m *macAddressOf) time.Time { return m.ChangedAt }, access{sort: true}, "When it last changed."),
		},
		check: checkMACAddress,
		stream: func(ctx context.Context, sc store.Scope, q store.Query, visit func(*macAddressOf) error) error {
			if !addressFilter(q.Filter) {
				return nil
			}
			return streamed(wrapMACAddress, st.EachMACAddress)(ctx, sc, q, visit)
		},
		backend: backend[macAddressOf]{
			list: func(ctx context.Context, sc store.Scope, q store.Query) ([]macAddressOf, error) {
				if !addressFilter(q.Filter) {
					return nil, nil
				}
				found, err := st.MACAddresses(ctx, sc, q)
				return each(found, wrapMACAddress), err
			},
			get: func(ctx context.Context, sc store.Scope, id string) (macAddressOf, error) {
				a, err := mac.Parse(id)
				if err != nil {
					return macAddressOf{}, missing(store.KindMACAddress, id)
				}
				m, err := st.MACAddress(ctx, sc, a)
				return wrapMACAddress(m), err
			},
			update: func(ctx context.Context, sc store.Scope, id string, change func(*macAddressOf) error) (macAddressOf, error) {
				a, err := mac.Parse(id)
				if err != nil {
					return macAddressOf{}, missing(store.KindMACAddress, id)
				}
				m, err := st.UpdateMAC(ctx, sc, a, func(m *intent.MACAddress) error {
					of := wrapMACAddress(*m)
					err := change(&of)
					*m = of.MACAddress
					return err
				})
				return wrapMACAddress(m), err
			},
			remove: func(ctx context.Context, sc store.Scope, id string) error {
				a, err := mac.Parse(id)
				if err != nil {
					return missing(store.KindMACAddress, id)
				}
				return st.ReleaseMACs(ctx, sc, []mac.Addr{a})
			},
		},
	}
	c.postGives = anyOf(under(c.single, ref(c.single+"_whole")), under(c.plural, arrayOf(ref(c.single+"_whole"), store.MaxMACs)),
		under("mac_ranges", arrayOf(objectOf(map[string]schema{"first": macSchema, "last": macSchema, "count": whole, "segment_id": uuidSchema.orNull()}), 0)))
	c.post = func(w http.ResponseWriter, r *http.Request) error { return allocateMACs(c, st, w, r) }
	return c
}

func wrapMACAddress(m intent.MACAddress) macAddressOf { return macAddressOf{MACAddress: m} }

// addressFilter turns a filter by id, which is the address, into one by
// address; it is false when nothing can match.
func addressFilter(filter map[string][]string) bool {
	ids, byID := filter["id"]
	if !byID {
		return true
	}
	delete(filter, "id")
	if addrs, both := filter["address"]; both {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(addrs, id) })
	}
	filter["address"] = ids
	return len(ids) > 0
}

func quarantinedUntil(m *macAddressOf) time.Time {
	if m.State == intent.MACQuarantined {
		return m.FreeAt
	}
	return time.Time{}
}

// addressState is asked for as one of two and shown as one of three.
var addressState = func() valueType[intent.MACState] {
	t := oneOf(intent.MACActive, intent.MACReserved)
	t.name = "one of active, reserved; shown also: quarantined"
	t.shows, t.takes = chosen("string", intent.MACActive, intent.MACReserved, intent.MACQuarantined), t.shows
	t.filter = func(s string) (string, bool, error) {
		switch intent.MACState(s) {
		case intent.MACActive, intent.MACReserved, intent.MACQuarantined:
			return s, true, nil
		}
		return "", false, fmt.Errorf("'%s' is not in active, reserved, quarantined", clip(s))
	}
	return t
}()

// readTime reads a time of RFC 3339.
func readTime(v any) (time.Time, error) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}, fmt.Errorf("%s is not a time such as 2026-01-31T12:00:00Z", show(v))
	}
	return t, nil
}

// futureOrNull is a time or null; null is the zero time inside.
var futureOrNull = valueType[time.Time]{
	name:  "time of RFC 3339, or null",
	shows: timeSchema.orNull(),
	parse: func(v any) (time.Time, error) {
		if v == nil {
			return time.Time{}, nil
		}
		t, err := readTime(v)
		if err == nil && t.IsZero() {
			err = fmt.Errorf("%s is in the past", show(v))
		}
		return t, err
	},
	append: timeOrNull.append,
}

func checkMACAddress(before, m *macAddressOf, given given) error {
	if before != nil && m.State == intent.MACActive && !given["expires_at"] {
		m.ExpiresAt = time.Time{}
	}
	switch {
	case !m.ExpiresAt.IsZero() && m.State != intent.MACReserved:
		return invalidValue("expires_at", "only a reservation ends by itself; give state 'reserved' with it")
	case given["expires_at"] && !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(time.Now()):
		return invalidValue("expires_at", "%s is in the past; want a time to come", m.ExpiresAt.UTC().Format(time.RFC3339))
	case m.Addr != 0 && m.count > 1:
		return invalidValue("count", "%d addresses cannot all be %s; leave out address, or count", m.count, m.Addr)
	}
	return nil
}

// allocateMACs answers POST with one address, a list or ranges.
func allocateMACs(c *collection[macAddressOf], st *store.Store, w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	text, err := readText(r)
	if err != nil {
		return err
	}
	root, err := parseRoot(text)
	if err != nil {
		return err
	}
	if _, bulk := root.get(c.plural); bulk {
		return badRequest("Body contains invalid data: '%s' is not taken; ask for several at once by 'count' in '%s'", c.plural, c.single)
	}
	body, err := c.unwrap(root, len(text))
	if err != nil {
		return err
	}
	wanted, err := c.newObjects([]object{body}, p)
	if err != nil {
		return err
	}
	m := &wanted[0]
	got, err := st.AllocateMACs(r.Context(), p.scope(), store.MACRequest{
		TenantID: m.TenantID, SegmentID: m.SegmentID, NetworkID: m.NetworkID, Host: m.host, Addr: m.Addr, Count: max(m.count, 1),
		State: m.State, DeviceID: m.DeviceID, ExpiresAt: m.ExpiresAt,
	})
	if err != nil {
		return err
	}
	visible := c.attributes.visible(p, nil)
	switch list := each(got, wrapMACAddress); {
	case m.format == formatRanges:
		writeJSON(w, http.StatusCreated, appendRanges(nil, got))
	case m.count > 0:
		c.answerAll(w, http.StatusCreated, visible, list)
	default:
		c.answer(w, http.StatusCreated, visible, &list[0])
	}
	return nil
}

// appendRanges writes addresses as ranges, by segment and in order.
func appendRanges(b []byte, list []intent.MACAddress) []byte {
	bySegment := map[string][]mac.Addr{}
	var segments []string
	for _, m := range list {
		if _, seen := bySegment[m.SegmentID]; !seen {
			segments = append(segments, m.SegmentID)
		}
		bySegment[m.SegmentID] = append(bySegment[m.SegmentID], m.Addr)
	}
	b = append(b, `{"mac_ranges":[`...)
	for _, segment := range segments {
		for _, r := range mac.Ranges(bySegment[segment]) {
			if b[len(b)-1] == '}' {
				b = append(b, ',')
			}
			b = append(b, `{"first":`...)
			b = appendMAC(b, r.First)
			b = append(b, `,"last":`...)
			b = appendMAC(b, r.Last)
			b = append(b, `,"count":`...)
			b = strconv.AppendUint(b, uint64(r.Last-r.First)+1, 10)
			b = append(b, `,"segment_id":`...)
			b = idOrNull.append(b, segment)
			b = append(b, '}')
		}
	}
	return append(b, "]}"...)
}
