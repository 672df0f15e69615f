package northbound

import (
	"fmt"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

const maxAllowed = 1024 // every host with ports of the network has a flow for each

func macAllowLists(st *store.Store) *collection[intent.MACAllowList] {
	type allowList = intent.MACAllowList
	meta := func(l *allowList) *intent.Meta { return &l.Meta }
	return &collection[allowList]{
		single: "mac_allow_list", plural: "mac_allow_lists", path: "mac-allow-lists", tags: "mac-allow-lists",
		doc: "A MAC allow list says which MAC addresses may attach to a network: what is in one of its lists; any, if it has none. It belongs to whom the network belongs to. " +
			"Ports get no other MAC, by their request or without one, and a list that would leave out a port that there is is refused. " +
			"What address pairs or `port_security_enabled: false` let a port speak as must be in a list too: switches drop the rest.",
		attributes: tagged(meta, access{}, standard(meta,
			name(meta),
			stored("network_id", id, func(l *allowList) *string { return &l.NetworkID }, access{post: required, filter: true, sort: true}, "The network, one of the tenant's own."),
			stored("entries", list(allowEntry, maxAllowed), func(l *allowList) *[]intent.MACAllowEntry { return &l.Entries }, access{post: optional, put: true},
				"What may attach: addresses, prefixes, and MAC segments, one's own or shared ones, as large as they are by then. MACs that nobody asked for by name are taken out of the segments of the lists. `[]`: nothing may attach."),
		)),
		meta: meta, ownerless: true,
		check: func(_, l *allowList, _ given) error {
			seen := map[string]bool{}
			for _, e := range l.Entries {
				word := entryWords(e)
				if seen[word] {
					return invalidValue("entries", "duplicate entry %s", word)
				}
				seen[word] = true
			}
			return nil
		},
		backend: backend[allowList]{st.MACAllowLists, st.MACAllowList, st.CreateMACAllowLists, st.UpdateMACAllowList, st.DeleteMACAllowList},
	}
}

// entryWords is an entry as it was given.
func entryWords(e intent.MACAllowEntry) string {
	switch {
	case e.SegmentID != "":
		return e.SegmentID
	case e.Block.Bits() == mac.MaxPrefixLen:
		return e.Block.Base().String()
	}
	return e.Block.String()
}

// allowEntry is an object with one of mac_address, prefix and mac_segment_id.
var allowEntry = valueType[intent.MACAllowEntry]{
	name: `{"mac_address": MAC address}, {"prefix": MAC prefix} or {"mac_segment_id": UUID}`,
	shows: anyOf(objectOf(map[string]schema{"mac_address": macSchema}), objectOf(map[string]schema{"prefix": macPrefixSchema}),
		objectOf(map[string]schema{"mac_segment_id": uuidSchema})),
	takes: anyOf(objectOf(map[string]schema{"mac_address": station.taken()}).closed(), objectOf(map[string]schema{"prefix": macPrefixSchema}).closed(),
		objectOf(map[string]schema{"mac_segment_id": uuidSchema}).closed()).with(schema{"examples": []any{map[string]any{"prefix": "52:54:00:00:00:00/24"}}}),
	parse: func(v any) (e intent.MACAllowEntry, err error) {
		o, ok := v.(object)
		if !ok || len(o) != 1 {
			return e, fmt.Errorf("%s is not an object with one of mac_address, prefix and mac_segment_id", show(v))
		}
		switch m := o[0]; m.key {
		case "mac_address":
			var a mac.Addr
			a, err = station.parse(m.value)
			e.Block = a.Segment()
		case "prefix":
			e.Block, err = macPrefix.parse(m.value)
		case "mac_segment_id":
			e.SegmentID, err = readUUID(m.value)
		default:
			err = fmt.Errorf("unexpected key '%s'; the keys are mac_address, prefix and mac_segment_id", clip(m.key))
		}
		return e, err
	},
	append: func(b []byte, e intent.MACAllowEntry) []byte {
		key := "prefix"
		switch {
		case e.SegmentID != "":
			key = "mac_segment_id"
		case e.Block.Bits() == mac.MaxPrefixLen:
			key = "mac_address"
		}
		b = append(b, '{')
		b = appendString(b, key)
		b = append(b, ':')
		b = appendString(b, entryWords(e))
		return append(b, '}')
	},
}
