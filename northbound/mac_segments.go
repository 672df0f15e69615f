package northbound

import (
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// segment is a segment with its block as a client gives it: possibly not a
// block at all.
type segment struct {
	intent.Segment
	base mac.Addr
	bits int
}

func macSegments(st *store.Store) *collection[segment] {
	meta := func(s *segment) *intent.Meta { return &s.Meta }
	tenant := func(s *segment) *string { return &s.TenantID }
	owner := access{post: optional, filter: true}
	return &collection[segment]{
		single: "mac_segment", plural: "mac_segments", path: "mac-segments",
		doc: "A MAC segment is an aligned power-of-two block of MAC addresses, such as `02:00:05:00:00:00/24`. Segments nest; only one without children gives addresses. " +
			"A port gets its MAC from the segments of its network, else from those of its tenant, else from a shared one. Members see their own and the shared ones.",
		attributes: append(table[segment]{
			derived("id", id, func(s *segment) string { return s.ID }, access{filter: true}, "Identifies the segment; made by the server."),
			name(meta),
			description(meta),
			stored("tenant_id", text(255), tenant, owner, "The tenant that the segment serves; empty: a segment of the operator."),
			stored("project_id", text(255), tenant, owner, "The same as `tenant_id`."),
			stored("parent_id", idOrNull, func(s *segment) *string { return &s.ParentID }, access{post: optional, filter: true},
				"The segment around this one: always the smallest that contains the block, found if not given. Shown as null for a root."),
			stored("network_id", idOrNull, func(s *segment) *string { return &s.NetworkID }, access{post: optional, filter: true},
				"The only network that the segment serves; null: any network of its tenant."),
			stored("base_address", macAddress, func(s *segment) *mac.Addr { return &s.base }, access{post: required, filter: true},
				"The lowest address; no bit after the prefix may be set, nor the group bit."),
			stored("prefix_length", number[int](mac.MinPrefixLen, mac.MaxPrefixLen), func(s *segment) *int { return &s.bits }, access{post: required, filter: true},
				"How many leading bits the addresses share."),
			stored("shared", boolean, func(s *segment) *bool { return &s.Shared }, access{post: optional, put: true, def: "false", filter: true},
				"Whether it serves every tenant that has no segment of its own; only for a segment of the operator."),
			derived("size", number[uint64](0, 1<<48), func(s *segment) uint64 { return s.Block.Size() }, access{}, "How many addresses it has."),
			derived("active", number[uint64](0, 1<<48), func(s *segment) uint64 { return s.Active }, access{}, "How many of them ports use."),
		}, history(meta)...),
		meta:      meta,
		writeBy:   admins,
		ownerless: true,
		check:     checkSegment,
		backend: wrapped(wrapSegment, segment.fresh, segment.bare,
			st.Segments, st.Segment, st.CreateSegments, st.UpdateSegment, st.DeleteSegment),
	}
}

func wrapSegment(s intent.Segment) segment {
	return segment{Segment: s, base: s.Block.Base(), bits: s.Block.Bits()}
}

func (s segment) bare() intent.Segment { return s.Segment }

// fresh is a segment to make, with what is usual where the API does not say.
func (s segment) fresh() store.NewSegment {
	usual := intent.DefaultSegment()
	s.Strategy, s.QuarantineSeconds, s.ConflictPolicy, s.ConflictDelay = usual.Strategy, usual.QuarantineSeconds, usual.ConflictPolicy, usual.ConflictDelay
	return store.NewSegment{Segment: s.Segment}
}

func checkSegment(_, s *segment, _ given) error {
	block, err := mac.NewSegment(s.base, s.bits)
	if err != nil {
		return invalidValue("base_address", "%s", strings.TrimPrefix(err.Error(), "mac: "))
	}
	if s.Shared && s.TenantID != "" {
		return invalidValue("shared", "only a segment of the operator can be shared; leave out tenant_id or shared")
	}
	s.Block = block
	return nil
}
