package intent

import (
	"cmp"
	"maps"
	"slices"
)

// AffinitySlots is how many slots the clients of a pool are hashed onto. It is
// fixed, so that the hash of a client never changes; whose the slots are does.
const AffinitySlots = 128

// SpreadSlots gives the slots of a pool to backends, by number, in proportion to
// their weights. It starts from how they are spread already, of which there may
// be nothing, and moves no more of them than the shares ask for: every slot that
// moves either had an owner without a share, or one with more than its share, and
// goes to one with less. Without any weight all slots are nobody's, 0.
func SpreadSlots(before []uint32, weights map[uint32]int) []uint32 {
	slots := make([]uint32, AffinitySlots)
	copy(slots, before)
	held := map[uint32]int{}
	for i, owner := range slots {
		if weights[owner] <= 0 {
			slots[i] = 0
			continue
		}
		held[owner]++
	}
	share := slotShares(weights, held)
	for i, owner := range slots {
		if owner != 0 && held[owner] > share[owner] {
			slots[i] = 0
			held[owner]--
		}
	}
	// Slots that are free go to whoever lacks most: so each of the others gets its
	// part of what one leaves behind.
	owners := slices.Sorted(maps.Keys(share))
	for i, owner := range slots {
		if owner != 0 || len(owners) == 0 {
			continue
		}
		neediest := slices.MaxFunc(owners, func(a, b uint32) int {
			return cmp.Or(cmp.Compare(share[a]-held[a], share[b]-held[b]), cmp.Compare(b, a))
		})
		if share[neediest] > held[neediest] {
			slots[i] = neediest
			held[neediest]++
		}
	}
	return slots
}

// slotShares divides the slots by weight. What the division leaves over goes to
// the largest remainders, and among equal ones to who has the slots now; who has a
// weight gets one slot at least, as long as there are enough.
func slotShares(weights map[uint32]int, held map[uint32]int) map[uint32]int {
	var owners []uint32
	sum := 0
	for owner, w := range weights {
		if w > 0 {
			owners, sum = append(owners, owner), sum+w
		}
	}
	share := make(map[uint32]int, len(owners))
	left := AffinitySlots
	for _, owner := range owners {
		share[owner] = AffinitySlots * weights[owner] / sum
		left -= share[owner]
	}
	slices.SortFunc(owners, func(a, b uint32) int {
		remainder := func(o uint32) int { return AffinitySlots * weights[o] % sum }
		starved := func(o uint32) int { return min(share[o], 1) }
		return cmp.Or(cmp.Compare(starved(a), starved(b)), cmp.Compare(remainder(b), remainder(a)),
			cmp.Compare(held[b]-share[b], held[a]-share[a]), cmp.Compare(a, b))
	})
	for i := 0; left > 0 && len(owners) > 0; i, left = i+1, left-1 {
		share[owners[i%len(owners)]]++
	}
	// A weight that is small beside the others still counts.
	for _, owner := range owners {
		if share[owner] > 0 || len(owners) > AffinitySlots {
			continue
		}
		richest := slices.MaxFunc(owners, func(a, b uint32) int { return cmp.Or(cmp.Compare(share[a], share[b]), cmp.Compare(b, a)) })
		share[richest]--
		share[owner]++
	}
	return share
}
