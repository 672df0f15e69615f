package northbound

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

const (
	maxSegmentSize = 1 << (mac.MaxPrefixLen - mac.MinPrefixLen)
	maxSeconds     = 365 * 24 * 60 * 60 // of a quarantine or a delay
)

// segment is a segment with its block as a client gives it, possibly not a
// block at all, and with how it is used.
type segment struct {
	intent.Segment
	base  mac.Addr
	bits  int
	size  uint64 // asked for instead of a block
	usage usage
}

// usage is how a segment is used, with all that lies inside it.
type usage struct {
	store.SegmentUsage
	probed bool // the largest free block was looked for
}

func macSegments(st *store.Store) *collection[segment] {
	meta := func(s *segment) *intent.Meta { return &s.Meta }
	tenant := func(s *segment) *string { return &s.TenantID }
	owner := access{post: optional, filter: true, sort: true}
	operators := access{post: optional, put: true, byPost: admins, byPut: admins, filter: true, sort: true}
	shared, host := operators, operators
	shared.def, host.def = "false", `""`
	c := &collection[segment]{
		single: "mac_segment", plural: "mac_segments", path: "mac-segments", tags: "mac-segments",
		doc: "A MAC segment is an aligned power-of-two block of MAC addresses, such as `02:00:05:00:00:00/24`. Segments nest; only one without children gives addresses. " +
			"A port gets its MAC from the segments of its host, else from those of its network, else from those of its tenant, else from a shared one. Members see their own and the shared ones; " +
			"they write their own, and make new ones only inside these.",
		attributes: tagged(meta, access{}, append(table[segment]{
			derived("id", id, func(s *segment) string { return s.ID }, access{filter: true, sort: true}, "Identifies the segment; made by the server."),
			name(meta),
			description(meta),
			stored("tenant_id", text(255), tenant, owner, "The tenant that the segment serves; empty: a segment of the operator. A member's is always its own."),
			stored("project_id", text(255), tenant, owner, "The same as `tenant_id`."),
			stored("parent_id", idOrNull, func(s *segment) *string { return &s.ParentID }, access{post: optional, filter: true},
				"The segment around this one: always the smallest that contains the block, found if not given. Shown as null for a root. With `size`, the segment to cut the block out of."),
			stored("network_id", idOrNull, func(s *segment) *string { return &s.NetworkID }, access{post: optional, filter: true},
				"The only network that the segment serves; null: any network of its tenant."),
			stored("host", text(255), func(s *segment) *string { return &s.Host }, host,
				"Serves only the ports with this `binding:host_id`; empty: any host."),
			stored("base_address", macAddress, func(s *segment) *mac.Addr { return &s.base }, access{post: optional, filter: true, sort: true},
				"The lowest address; no bit after the prefix may be set, nor the group bit. Given with `prefix_length`, or neither and `size` instead."),
			stored("prefix_length", number[int](mac.MinPrefixLen, mac.MaxPrefixLen), func(s *segment) *int { return &s.bits }, access{post: optional, put: true, filter: true, sort: true},
				"How many leading bits the addresses share. A change resizes the segment and is made alone: a smaller one if the space that it grows over is free, a larger one if nothing is in use there."),
			mapped("size", number[uint64](1, maxSegmentSize), func(s *segment) uint64 { return s.Block.Size() }, func(s *segment, n uint64) { s.size = n }, access{post: optional},
				"How many addresses it has. In POST, instead of a block: the smallest free block with so many is taken, rounded up to a power of two."),
			stored("strategy", oneOf(mac.Sequential, mac.Scrambled, mac.InstanceHash), func(s *segment) *mac.Strategy { return &s.Strategy },
				access{post: optional, put: true, def: `"scrambled"`, filter: true},
				"The order in which it gives addresses: rising, scrambled by a secret key, or by a hash of the instance."),
			stored("quarantine_seconds", number[int](0, maxSeconds), func(s *segment) *int { return &s.QuarantineSeconds }, access{post: optional, put: true, def: "600"},
				"How long a released address rests before another tenant may have it."),
			stored("shared", boolean, func(s *segment) *bool { return &s.Shared }, shared,
				"Whether it serves every tenant that has no segment of its own; only for a segment of the operator."),
			stored("conflict_policy", oneOf(intent.ConflictReport, intent.ConflictRefuse, intent.ConflictReassign), func(s *segment) *intent.ConflictPolicy { return &s.ConflictPolicy },
				access{post: optional, put: true, def: `"report"`},
				"What happens when an address of it turns up elsewhere: it is recorded; recorded and not let in; or the managed side gets another one after a delay."),
			stored("conflict_delay_seconds", number[int](0, maxSeconds), func(s *segment) *int { return &s.ConflictDelay }, access{post: optional, put: true, def: "600"},
				"The delay of `reassign`."),
			stored("qos_policy_id", idOrNull, func(s *segment) *string { return &s.QoSPolicyID }, access{post: optional, put: true, filter: true},
				"The QoS policy for what its addresses send, and for the networks of these; a port with a policy of its own goes by that alone, and of nested segments the innermost counts. "+
					"It takes `priority`, `dscp_marking` and a `bandwidth_limit` of egress, which the addresses on a host share; null: none."),
			derived("utilisation", utilisation, func(s *segment) usage { return s.usage }, access{},
				"How it is used with all that is inside it: counts of addresses, and the widest block that nobody has anything in (null: none; in answers with one segment only)."),
			derived("collision_probability", probability, func(s *segment) float64 { return s.usage.CollisionProbability }, access{},
				"How likely at least two of the addresses in use would be equal had each been drawn at random (birthday bound)."),
			derived("active", number[uint64](0, 1<<48), func(s *segment) uint64 { return s.Active }, access{}, "How many addresses in use it has given itself."),
		}, history(meta)...)),
		meta:      meta,
		fromStore: wrappedAs(wrapSegment),
		ownerless: true,
		check:     checkSegment,
	}
	b := segmentBackend{st}
	c.backend = backend[segment]{b.list, b.get, b.create, b.update, b.remove}
	c.actions = []action{{
		method: http.MethodPut, path: "/{id}/split", doc: "Divides the segment into parts of this prefix length, and answers them.",
		takes: asJSON(under("prefix_length", c.attributes.find("prefix_length").takes).closed()), gives: asJSON(under(c.plural, arrayOf(ref(c.single+"_whole"), 0))),
		serve: func(w http.ResponseWriter, r *http.Request) error { return splitSegment(c, b, w, r) },
	}}
	return c
}

// utilisation is shown only.
var utilisation = valueType[usage]{
	name: `{"size", "active", "reserved", "quarantined", "free": integer, "largest_free_block": block such as 02:00:05:00:00:00/24, or null}`,
	shows: objectOf(map[string]schema{
		"size": whole, "active": whole, "reserved": whole, "quarantined": whole, "free": whole,
		"largest_free_block?": {"type": []any{"string", "null"}, "pattern": "^" + macText + "/[0-9]+$", "examples": []any{"02:00:05:00:00:00/24"}},
	}),
	append: func(b []byte, u usage) []byte {
		b = append(b, '{')
		for _, n := range []struct {
			name  string
			value uint64
		}{{"size", u.Size}, {"active", u.Active}, {"reserved", u.Reserved}, {"quarantined", u.Quarantined}} {
			b = appendString(b, n.name)
			b = append(b, ':')
			b = strconv.AppendUint(b, n.value, 10)
			b = append(b, ',')
		}
		b = append(b, `"free":`...)
		b = strconv.AppendUint(b, u.Free, 10)
		if u.probed {
			b = append(b, `,"largest_free_block":`...)
			if u.LargestFree.IsValid() {
				b = appendString(b, u.LargestFree.String())
			} else {
				b = append(b, "null"...)
			}
		}
		return append(b, '}')
	},
}

// probability is shown only.
var probability = valueType[float64]{
	name:   "number, 0 to 1",
	shows:  schema{"type": "number", "minimum": 0, "maximum": 1},
	append: func(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'g', 6, 64) },
}

func wrapSegment(g intent.Segment) segment {
	return segment{Segment: g, base: g.Block.Base(), bits: g.Block.Bits()}
}

func checkSegment(before, s *segment, given given) error {
	if s.Shared && s.TenantID != "" {
		return invalidValue("shared", "only a segment of the operator can be shared; leave out tenant_id or shared")
	}
	if before != nil {
		if s.bits != before.bits && len(given) > 1 {
			return invalidValue("prefix_length", "a segment is resized by a request of its own; give prefix_length alone")
		}
		return nil
	}
	switch byBlock := given["base_address"] || given["prefix_length"]; {
	case given["size"] && byBlock:
		return invalidValue("size", "give base_address and prefix_length, or size, not both")
	case given["size"]:
		return nil
	case !byBlock:
		return badRequest("Failed to parse request. Required attribute 'base_address' not specified: give it with 'prefix_length', or give 'size'")
	case !given["base_address"]:
		return badRequest("Failed to parse request. Required attribute 'base_address' not specified")
	case !given["prefix_length"]:
		return badRequest("Failed to parse request. Required attribute 'prefix_length' not specified")
	}
	block, err := mac.NewSegment(s.base, s.bits)
	if err != nil {
		return invalidValue("base_address", "%s", strings.TrimPrefix(err.Error(), "mac: "))
	}
	s.Block = block
	return nil
}

// segmentBackend is the store with how segments are used, and with the policy
// that depends on whose a segment is.
type segmentBackend struct{ *store.Store }

func (b segmentBackend) list(ctx context.Context, sc store.Scope, q store.Query) ([]segment, error) {
	found, err := b.Segments(ctx, sc, q)
	if err != nil {
		return nil, err
	}
	return b.used(ctx, found)
}

// used adds how segments are used, without a query for each: a query for each
// level of the tree below them.
func (b segmentBackend) used(ctx context.Context, found []intent.Segment) ([]segment, error) {
	list := each(found, wrapSegment)
	within := map[string][]int{} // by id, on one level: those of the list that it lies in
	for i := range list {
		list[i].usage.count(&list[i].Segment)
		within[list[i].ID] = []int{i}
	}
	for len(within) > 0 {
		parents := make([]string, 0, len(within))
		for id := range within {
			parents = append(parents, id)
		}
		children, err := b.Segments(ctx, store.Scope{Admin: true}, store.Query{Filter: map[string][]string{"parent_id": parents}})
		if err != nil {
			return nil, err
		}
		below := map[string][]int{}
		for i := range children {
			for _, around := range within[children[i].ParentID] {
				list[around].usage.count(&children[i])
				below[children[i].ID] = append(below[children[i].ID], around)
			}
		}
		within = below
	}
	for i := range list {
		u := &list[i].usage
		u.Size = list[i].Block.Size()
		u.Free = u.Size - min(u.Size, u.Active+u.Reserved+u.Quarantined)
		u.CollisionProbability = mac.CollisionProbability(u.Size, u.Active+u.Reserved)
	}
	return list, nil
}

func (u *usage) count(g *intent.Segment) {
	u.Active += g.Active
	u.Reserved += g.Reserved
	u.Quarantined += g.Quarantined
}

func (b segmentBackend) get(ctx context.Context, sc store.Scope, id string) (segment, error) {
	g, err := b.Segment(ctx, sc, id)
	if err != nil {
		return segment{}, err
	}
	return b.probed(ctx, sc, g)
}

// probed adds how one segment is used.
func (b segmentBackend) probed(ctx context.Context, sc store.Scope, g intent.Segment) (segment, error) {
	s := wrapSegment(g)
	u, err := b.SegmentUsage(ctx, sc, g.ID)
	s.usage = usage{u, true}
	return s, err
}

func (b segmentBackend) create(ctx context.Context, sc store.Scope, in []segment) ([]segment, error) {
	made, err := b.CreateSegments(ctx, sc, each(in, func(s segment) store.NewSegment { return store.NewSegment{Segment: s.Segment, Size: s.size} }))
	if err != nil {
		return nil, err
	}
	if len(made) > 1 {
		return b.used(ctx, made)
	}
	s, err := b.probed(ctx, sc, made[0])
	return []segment{s}, err
}

// own makes sure that a member changes no segment that it merely sees.
func (b segmentBackend) own(ctx context.Context, sc store.Scope, id, rule string) error {
	if sc.Admin {
		return nil
	}
	g, err := b.Segment(ctx, sc, id)
	if err == nil && g.TenantID != sc.TenantID {
		err = forbidden(rule)
	}
	return err
}

func (b segmentBackend) update(ctx context.Context, sc store.Scope, id string, change func(*segment) error) (segment, error) {
	if err := b.own(ctx, sc, id, "update_mac_segment"); err != nil {
		return segment{}, err
	}
	var bits int
	g, err := b.UpdateSegment(ctx, sc, id, func(g *intent.Segment) error {
		s := wrapSegment(*g)
		err := change(&s)
		*g, bits = s.Segment, s.bits
		return err
	})
	if err == nil && bits != g.Block.Bits() {
		g, err = b.resize(ctx, sc, g, bits)
	}
	if err != nil {
		return segment{}, err
	}
	return b.probed(ctx, sc, g)
}

// resize gives a segment another prefix length. A member may not grow one into
// the space of the operator.
func (b segmentBackend) resize(ctx context.Context, sc store.Scope, g intent.Segment, bits int) (intent.Segment, error) {
	if !sc.Admin && bits < g.Block.Bits() {
		denied := forbidden("update_mac_segment:prefix_length")
		if g.ParentID == "" {
			return g, denied
		}
		// The parent stays the parent while this one is in it.
		parent, err := b.Segment(ctx, store.Scope{Admin: true}, g.ParentID)
		switch {
		case err != nil:
			return g, err
		case parent.TenantID != sc.TenantID:
			return g, denied
		}
	}
	return b.ResizeSegment(ctx, sc, g.ID, bits)
}

func (b segmentBackend) remove(ctx context.Context, sc store.Scope, id string) error {
	if err := b.own(ctx, sc, id, "delete_mac_segment"); err != nil {
		return err
	}
	return b.DeleteSegment(ctx, sc, id)
}

// splitSegment answers PUT …/{id}/split with the parts.
func splitSegment(c *collection[segment], b segmentBackend, w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	text, err := readText(r)
	if err != nil {
		return err
	}
	body, err := parseRoot(text)
	if err != nil {
		return err
	}
	value, ok := body.get("prefix_length")
	if !ok {
		return badRequest("Failed to parse request. Required attribute 'prefix_length' not specified")
	}
	if err := alone(body, "prefix_length"); err != nil {
		return err
	}
	bits, err := c.attributes.find("prefix_length").parse(value)
	if err != nil {
		return invalidValue("prefix_length", "%v", err)
	}
	var wanted segment
	bits(&wanted)
	key, err := c.key(p, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	const rule = "split_mac_segment"
	if !p.writer {
		return c.refuse(r, p, key, rule)
	}
	if err := b.own(r.Context(), p.scope(), key, rule); err != nil {
		return err
	}
	parts, err := b.SplitSegment(r.Context(), p.scope(), key, wanted.bits)
	if err != nil {
		return err
	}
	list, err := b.used(r.Context(), parts)
	if err != nil {
		return err
	}
	c.answerAll(w, http.StatusOK, c.attributes.visible(p, nil), list)
	return nil
}
