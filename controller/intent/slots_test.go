package intent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tally counts the slots of each owner.
func tally(slots []uint32) map[uint32]int {
	n := map[uint32]int{}
	for _, owner := range slots {
		n[owner]++
	}
	return n
}

// Whatever changes, the slots are spread by weight, and no more of them move
// than the difference between what backends have and what they are to have.
func TestSlotsAreSpreadByWeightAndMoveNoMoreThanTheyMust(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		weights := map[uint32]int{}
		var slots []uint32
		for step := range 40 {
			switch owner := 1 + rnd.Uint32N(12); rnd.IntN(4) {
			case 0:
				delete(weights, owner)
			case 1:
				weights[owner] = 0
			default:
				weights[owner] = 1 + rnd.IntN(5)*rnd.IntN(40)
			}
			before, sum, live := slices.Clone(slots), 0, 0
			for _, w := range weights {
				sum, live = sum+w, live+min(w, 1)
			}
			slots = SpreadSlots(before, weights)
			if len(slots) != AffinitySlots {
				t.Fatalf("%d slots", len(slots))
			}
			has := tally(slots)
			if sum == 0 {
				if has[0] != AffinitySlots {
					t.Fatalf("seed %d, step %d: slots of nobody: %v", seed, step, has)
				}
				continue
			}
			if has[0] != 0 {
				t.Fatalf("seed %d, step %d: %d slots are nobody's", seed, step, has[0])
			}
			for owner, n := range has {
				w := weights[owner]
				if w == 0 {
					t.Fatalf("seed %d, step %d: %d has slots and no weight", seed, step, owner)
				}
				// Those that would have none get one from the others, so these may have less by so many.
				if low := AffinitySlots*w/sum - live; n < low || n > AffinitySlots*w/sum+1 && n != 1 {
					t.Fatalf("seed %d, step %d: %d of weight %d of %d has %d slots", seed, step, owner, w, sum, n)
				}
			}
			for owner, w := range weights {
				if w > 0 && has[owner] == 0 {
					t.Fatalf("seed %d, step %d: %d has a weight and no slot", seed, step, owner)
				}
			}
			had, must, moved := tally(before), 0, 0
			for owner, n := range has {
				must += max(0, n-had[owner])
			}
			for i := range slots {
				if i >= len(before) || before[i] != slots[i] {
					moved++
				}
			}
			if moved != must {
				t.Fatalf("seed %d, step %d: %d slots moved, %d had to\nbefore %v\nafter  %v", seed, step, moved, must, had, has)
			}
			if again := SpreadSlots(slots, weights); !slices.Equal(again, slots) {
				t.Fatalf("seed %d, step %d: without a change slots move:\n%s", seed, step, cmp.Diff(slots, again))
			}
		}
	}
}

// The ideal for n equal backends: one that joins takes a share of 1/n and no
// other slot moves; what one leaves is shared by all others.
func TestOneBackendMoreOrLessMovesItsShareAlone(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 20; n++ {
		weights := map[uint32]int{}
		for i := range n {
			weights[uint32(1+i)] = 100
		}
		slots := SpreadSlots(nil, weights)
		more := maps.Clone(weights)
		more[99] = 100
		joined := SpreadSlots(slots, more)
		moved := 0
		for i := range slots {
			if slots[i] != joined[i] {
				moved++
				if joined[i] != 99 {
					t.Errorf("%d backends: slot %d went from %d to %d, and neither is new", n, i, slots[i], joined[i])
				}
			}
		}
		if ideal := AffinitySlots/(n+1) + 1; moved > ideal {
			t.Errorf("%d backends: %d slots moved to the new one, more than %d", n, moved, ideal)
		}
		if n < 2 {
			continue
		}
		delete(more, 99)
		delete(more, 1)
		left, got := SpreadSlots(slots, more), map[uint32]int{}
		for i := range slots {
			if slots[i] != left[i] {
				if slots[i] != 1 {
					t.Errorf("%d backends: slot %d of %d moved when 1 left", n, i, slots[i])
				}
				got[left[i]]++
			}
		}
		counts := slices.Sorted(maps.Values(got))
		if len(counts) == n-1 && counts[len(counts)-1]-counts[0] > 1 {
			t.Errorf("%d backends: what 1 left went %s", n, fmt.Sprint(got))
		}
	}
}
