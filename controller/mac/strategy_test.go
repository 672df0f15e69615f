package mac

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var equateSegments = cmpopts.EquateComparable(Segment{})

func TestEveryOrderGivesEachAddressOfTheSegmentOnce(t *testing.T) {
	t.Parallel()
	for _, strategy := range []Strategy{Sequential, Scrambled, InstanceHash} {
		for bits := 32; bits <= MaxPrefixLen; bits++ {
			block := Segment{base: MustParse("02:00:05:00:00:00"), bits: uint8(bits)}
			o := NewOrder(strategy, block, [16]byte{1, 2, 3})
			seen := make([]bool, block.Size())
			list := o.Append(nil, 0, block.Size()-1)
			for i := range block.Size() {
				a := o.At(i)
				if a != list[i] {
					t.Fatalf("%s of %s: index %d gives %s, and %s in a list", strategy, block, i, a, list[i])
				}
				if !block.Contains(a) || seen[a-block.Base()] {
					t.Fatalf("%s of %s: index %d gives %s, outside or a second time", strategy, block, i, a)
				}
				seen[a-block.Base()] = true
			}
		}
	}
}

func TestScrambledOrderDependsOnTheKeyAndSpreadsOverTheWholeSegment(t *testing.T) {
	t.Parallel()
	block := MustParseSegment("02:00:00:00:00:00/8")
	one, two := NewOrder(Scrambled, block, [16]byte{1}), NewOrder(Scrambled, block, [16]byte{2})
	var equal, ascending int
	quarters := [4]int{}
	const n = 4096
	for i := range uint64(n) {
		a := one.At(i)
		if a == two.At(i) {
			equal++
		}
		if a < one.At(i+1) {
			ascending++
		}
		quarters[(a-block.Base())>>38]++
	}
	if equal > 1 {
		t.Errorf("%d of %d addresses are the same under two keys", equal, n)
	}
	if ascending < n*4/10 || ascending > n*6/10 {
		t.Errorf("%d of %d steps go upwards, want about half", ascending, n)
	}
	for i, q := range quarters {
		if q < n/5 || q > n*3/10 {
			t.Errorf("%d of %d addresses in quarter %d, want about a quarter", q, n, i)
		}
	}
	if got, want := NewOrder(Sequential, block, [16]byte{1}).At(7), MustParse("02:00:00:00:00:07"); got != want {
		t.Errorf("sequential: %s, want %s", got, want)
	}
}

func TestInstanceAddressIsFixedAndProbesTheWholeSegment(t *testing.T) {
	t.Parallel()
	block := MustParseSegment("02:00:05:00:00:00/38")
	seen := map[Addr]bool{}
	for try := range block.Size() {
		a := InstanceAddr(block, "vm-1", try)
		if a != InstanceAddr(block, "vm-1", try) || !block.Contains(a) {
			t.Fatalf("try %d gives %s", try, a)
		}
		seen[a] = true
	}
	if uint64(len(seen)) != block.Size() {
		t.Errorf("%d tries reach %d addresses", block.Size(), len(seen))
	}
	// Pinned: an instance must find its address after an update of the program too.
	if got, want := InstanceAddr(block, "vm-1", 0), MustParse("02:00:05:00:03:af"); got != want {
		t.Errorf("vm-1 has %s, want %s", got, want)
	}
	if InstanceAddr(block, "vm-1", 0) == InstanceAddr(block, "vm-2", 0) {
		t.Error("two instances begin at the same address")
	}
}

func TestSizeIsRoundedUpToThePrefixThatHoldsIt(t *testing.T) {
	t.Parallel()
	for size, want := range map[uint64]int{1: 48, 2: 47, 3: 46, 1000: 38, 1024: 38, 1025: 37, 1 << 40: 8} {
		if got, err := PrefixLenFor(size); err != nil || got != want {
			t.Errorf("PrefixLenFor(%d) = %d, %v; want %d", size, got, err, want)
		}
	}
	for _, size := range []uint64{0, 1<<40 + 1, math.MaxUint64} {
		if got, err := PrefixLenFor(size); err == nil {
			t.Errorf("PrefixLenFor(%d) = %d, want an error", size, got)
		}
	}
}

func TestBestFitTakesTheSmallestGapThatIsLargeEnough(t *testing.T) {
	t.Parallel()
	root := MustParseSegment("02:00:00:00:00:00/40")
	taken := []Segment{
		MustParseSegment("02:00:00:00:00:80/42"), MustParseSegment("02:00:00:00:00:00/43"), MustParseSegment("02:00:00:00:00:20/45"),
	}
	free := FreeBlocks(root, taken)
	want := []Segment{
		MustParseSegment("02:00:00:00:00:28/45"), MustParseSegment("02:00:00:00:00:30/44"),
		MustParseSegment("02:00:00:00:00:40/42"), MustParseSegment("02:00:00:00:00:c0/42"),
	}
	if diff := cmp.Diff(want, free, equateSegments); diff != "" {
		t.Errorf("free: (-want +got)\n%s", diff)
	}
	for bits, want := range map[int]string{48: "02:00:00:00:00:28/48", 45: "02:00:00:00:00:28/45", 44: "02:00:00:00:00:30/44", 43: "02:00:00:00:00:40/43", 42: "02:00:00:00:00:40/42"} {
		if got, ok := BestFit(free, bits); !ok || got.String() != want {
			t.Errorf("BestFit of a /%d: %s, %t; want %s", bits, got, ok, want)
		}
	}
	if got, ok := BestFit(free, 41); ok {
		t.Errorf("BestFit of a /41: %s, want none", got)
	}
}

// Whatever is carved out of a segment by best fit, all of it together is the
// segment again.
func TestFreeAndTakenBlocksMakeUpTheSegment(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	root := MustParseSegment("02:00:00:00:00:00/28")
	var taken []Segment
	for range 500 {
		free := FreeBlocks(root, taken)
		all := slices.Concat(free, taken)
		var sum uint64
		for i, a := range all {
			sum += a.Size()
			for _, b := range all[:i] {
				if a.Overlaps(b) {
					t.Fatalf("%s and %s overlap", a, b)
				}
			}
		}
		if sum != root.Size() {
			t.Fatalf("%d addresses in all, want %d", sum, root.Size())
		}
		if s, ok := BestFit(free, 34+rnd.IntN(15)); ok {
			taken = append(taken, s)
		} else {
			taken = slices.Delete(taken, 0, len(taken)/2)
		}
	}
}

func TestBuddiesMakeUpTheWiderSegment(t *testing.T) {
	t.Parallel()
	s := MustParseSegment("02:00:05:00:80:00/33")
	buddy, ok := s.Buddy()
	wider, okWider := s.Wider(32)
	if !ok || !okWider || buddy.String() != "02:00:05:00:00:00/33" || wider.String() != "02:00:05:00:00:00/32" {
		t.Fatalf("buddy %s, wider %s", buddy, wider)
	}
	if diff := cmp.Diff([]Segment{buddy, s}, slices.Collect(wider.Parts(33)), equateSegments); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, ok := MustParseSegment("02:00:00:00:00:00/8").Buddy(); ok {
		t.Error("a segment of the greatest size has no buddy of station addresses")
	}
}

func TestRangesAreTheFewest(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]Range{{1, 3}, {7, 7}, {9, 10}}, Ranges([]Addr{9, 3, 1, 2, 7, 10, 2})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCollisionProbabilityIsTheBirthdayBound(t *testing.T) {
	t.Parallel()
	exact := func(size, n uint64) float64 {
		none := 1.0
		for i := range n {
			none *= float64(size-i) / float64(size)
		}
		return 1 - none
	}
	for _, c := range []struct{ size, n uint64 }{{365, 2}, {365, 23}, {1 << 24, 5000}, {1 << 24, 100000}, {1 << 40, 1 << 20}} {
		if got, want := CollisionProbability(c.size, c.n), exact(c.size, c.n); math.Abs(got-want) > 0.02*want {
			t.Errorf("%d of %d: %g, want %g", c.n, c.size, got, want)
		}
	}
	if CollisionProbability(16, 1) != 0 || CollisionProbability(16, 17) != 1 {
		t.Error("one address never collides, more than there are always do")
	}
}

func TestIPv6AddressLeadsBackToTheMAC(t *testing.T) {
	t.Parallel()
	a := MustParse("02:00:05:00:00:ab")
	ip, ok := a.SLAAC(netip.MustParsePrefix("2001:db8:1:2::/64"))
	if want := netip.MustParseAddr("2001:db8:1:2:0:5ff:fe00:ab"); !ok || ip != want {
		t.Errorf("SLAAC() = %s, want %s", ip, want)
	}
	for _, ip := range []netip.Addr{ip, a.LinkLocal()} {
		if got, ok := FromEUI64(ip); !ok || got != a {
			t.Errorf("FromEUI64(%s) = %s, %t", ip, got, ok)
		}
	}
	for _, text := range []string{"2001:db8::1", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1:2:0:5ff:ffff:ab"} {
		if got, ok := FromEUI64(netip.MustParseAddr(text)); ok {
			t.Errorf("FromEUI64(%s) = %s, want none", text, got)
		}
	}
	for _, text := range []string{"2001:db8::/48", "192.0.2.0/24"} {
		if got, ok := a.SLAAC(netip.MustParsePrefix(text)); ok {
			t.Errorf("SLAAC(%s) = %s, want none", text, got)
		}
	}
}
