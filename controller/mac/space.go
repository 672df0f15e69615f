package mac

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
)

// PrefixLenFor returns the length of the prefix of the smallest segment that
// has so many addresses.
func PrefixLenFor(size uint64) (int, error) {
	if size == 0 || size > 1<<(MaxPrefixLen-MinPrefixLen) {
		return 0, fmt.Errorf("mac: no segment has %d addresses: the size is not between 1 and %d", size, uint64(1)<<(MaxPrefixLen-MinPrefixLen))
	}
	return MaxPrefixLen - bits.Len64(size-1), nil
}

// Buddy returns the segment that makes up twice the block together with s, as
// Wider returns it; ok is false for a segment of the greatest size.
func (s Segment) Buddy() (_ Segment, ok bool) {
	if s.bits <= MinPrefixLen {
		return Segment{}, false
	}
	return Segment{base: s.base ^ Addr(s.Size()), bits: s.bits}, true
}

// Wider returns the segment of a shorter prefix that s lies in; ok is false
// where there is none of station addresses.
func (s Segment) Wider(bits int) (_ Segment, ok bool) {
	if bits < MinPrefixLen || bits > s.Bits() {
		return Segment{}, false
	}
	w := Segment{bits: uint8(bits)}
	w.base = s.base & w.Mask()
	return w, true
}

// Parts yields the segments of a longer prefix that s consists of, in order.
func (s Segment) Parts(bits int) iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		part := Segment{base: s.base, bits: uint8(bits)}
		for range uint64(1) << (bits - s.Bits()) {
			if !yield(part) {
				return
			}
			part.base += Addr(part.Size())
		}
	}
}

// FreeBlocks returns the widest segments of a block that overlap with none of
// those taken, in order. Those taken lie in the block and do not overlap.
func FreeBlocks(block Segment, taken []Segment) []Segment {
	taken = slices.Clone(taken)
	slices.SortFunc(taken, func(a, b Segment) int { return cmp.Compare(a.base, b.base) })
	return freeBlocks(nil, block, taken)
}

func freeBlocks(free []Segment, block Segment, taken []Segment) []Segment {
	switch {
	case len(taken) == 0:
		return append(free, block)
	case taken[0].bits <= block.bits:
		return free // the whole of it
	}
	middle := block.base + Addr(block.Size()/2)
	n, _ := slices.BinarySearchFunc(taken, middle, func(t Segment, a Addr) int { return cmp.Compare(t.base, a) })
	free = freeBlocks(free, Segment{block.base, block.bits + 1}, taken[:n])
	return freeBlocks(free, Segment{middle, block.bits + 1}, taken[n:])
}

// BestFit returns where a segment with a prefix length is best cut out of free
// blocks: at the base of the smallest that is large enough, so that the large
// ones stay whole; of equal ones the lowest.
func BestFit(free []Segment, bits int) (_ Segment, ok bool) {
	var best Segment
	for _, f := range free {
		if f.Bits() <= bits && (!ok || f.bits > best.bits || f.bits == best.bits && f.base < best.base) {
			best, ok = f, true
		}
	}
	return Segment{base: best.base, bits: uint8(bits)}, ok
}

// Range is an inclusive range of addresses.
type Range struct{ First, Last Addr }

// Ranges returns addresses as the fewest ranges, in order.
func Ranges(list []Addr) []Range {
	list = slices.Clone(list)
	slices.Sort(list)
	var out []Range
	for _, a := range list {
		if n := len(out); n > 0 && a <= out[n-1].Last+1 {
			out[n-1].Last = a
			continue
		}
		out = append(out, Range{a, a})
	}
	return out
}

// CollisionProbability returns how likely at least two of n addresses would be
// equal had each been drawn at random out of size ones: the birthday bound
// 1 - exp(-n(n-1)/2size), a little below the truth, which matters only where n is
// near the size.
func CollisionProbability(size, n uint64) float64 {
	if n < 2 {
		return 0
	}
	if n > size {
		return 1
	}
	return -math.Expm1(-float64(n) / 2 * float64(n-1) / float64(size))
}
