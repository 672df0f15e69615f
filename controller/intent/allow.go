package intent

import (
	"maps"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// MACAllowList says which MAC addresses may attach to a network: what is in one of
// its lists; any, if it has none.
type MACAllowList struct {
	Meta
	NetworkID string
	Entries   []MACAllowEntry // in the order of the client
}

// MACAllowEntry is an address, a prefix or a segment of a list.
type MACAllowEntry struct {
	SegmentID string      // empty: an address or a prefix
	Block     mac.Segment // of the segment as it is, else as the client gave it
}

// PutMACAllowList adds or replaces a list.
func (s *State) PutMACAllowList(l MACAllowList, t Touched) {
	s.DeleteMACAllowList(l.ID, t)
	s.allowLists[l.ID] = l
	insert(s.allowOf, l.NetworkID, l.ID)
	s.touchAll(s.present[l.NetworkID], t)
}

// DeleteMACAllowList removes a list.
func (s *State) DeleteMACAllowList(id string, t Touched) {
	old, known := s.allowLists[id]
	if !known {
		return
	}
	delete(s.allowLists, id)
	remove(s.allowOf, old.NetworkID, id)
	s.touchAll(s.present[old.NetworkID], t)
}

// MACAllowLists returns the lists of a network, in the order of their ids.
func (s *State) MACAllowLists(network string) []MACAllowList {
	var lists []MACAllowList
	for _, id := range slices.Sorted(maps.Keys(s.allowOf[network])) {
		lists = append(lists, s.allowLists[id])
	}
	return lists
}

// allowed is all that may attach to a network that has lists.
func (s *State) allowed(network string) (blocks []mac.Segment, listed bool) {
	for id := range s.allowOf[network] {
		for _, e := range s.allowLists[id].Entries {
			blocks = append(blocks, e.Block)
		}
	}
	slices.SortFunc(blocks, compareBlocks)
	return slices.Compact(blocks), len(s.allowOf[network]) > 0
}
