package allocator_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/allocator"
	"github.com/macloom/macloom/controller/mac"
)

// bench is a pool with a clock of its own.
type bench struct {
	*allocator.Pool
	now time.Time
}

func setup() *bench {
	b := &bench{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.Pool = allocator.New(func() time.Time { return b.now })
	return b
}

// lease adds a lease that lasts a minute, with the addresses 100·fence+offset.
func (b *bench) lease(segment string, fence int64, offsets ...uint32) {
	l := allocator.Lease{SegmentID: segment, Fence: fence, Until: b.now.Add(time.Minute)}
	for _, o := range offsets {
		l.Open = append(l.Open, allocator.Place{Addr: addr(fence, o), Offset: o})
	}
	b.Add(l)
}

func addr(fence int64, offset uint32) mac.Addr { return mac.Addr(100*fence) + mac.Addr(offset) }

func addrsOf(claims []allocator.Claim) []mac.Addr {
	var list []mac.Addr
	for _, c := range claims {
		list = append(list, c.Addr)
	}
	return list
}

func wantAddrs(t *testing.T, got []allocator.Claim, want ...mac.Addr) {
	t.Helper()
	if diff := cmp.Diff(want, addrsOf(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

var sorted = cmpopts.SortSlices(func(a, b int64) bool { return a < b })

func TestAddressesAreTakenInTheirOrderAndFromTheOldestLeaseFirst(t *testing.T) {
	t.Parallel()
	b := setup()
	b.lease("s", 1, 0, 2, 5)
	b.lease("s", 2, 1, 3)
	b.lease("other", 3, 0)
	claims := b.Take("s", 2)
	wantAddrs(t, claims, 100, 102)
	if claims[1].Fence() != 1 {
		t.Errorf("fence %d, want 1", claims[1].Fence())
	}
	claims = b.Take("s", 2)
	wantAddrs(t, claims, 105, 201)
	if claims[1].Fence() != 2 {
		t.Errorf("fence %d, want 2", claims[1].Fence())
	}
	wantAddrs(t, b.Take("s", 0))
	wantAddrs(t, b.Take("s", 9), 203)
	wantAddrs(t, b.Take("s", 1))
	wantAddrs(t, b.Take("unknown", 1))
	wantAddrs(t, b.Take("other", 9), 300)
}

func TestWhatIsReturnedComesNextWhateverTheOrderOfItsReturn(t *testing.T) {
	t.Parallel()
	b := setup()
	b.lease("s", 1, 0, 1, 2, 3, 4, 5)
	claims := b.Take("s", 4)
	b.Return(claims[2])
	b.Done(claims[1])
	b.Return(claims[3], claims[0])
	wantAddrs(t, b.Take("s", 9), 100, 102, 103, 104, 105)
	b.Return()
	b.Done()
	wantAddrs(t, b.Take("s", 1))
}

func TestAReturnOfManyTakesNoLongerThanTheTaking(t *testing.T) {
	t.Parallel()
	b := setup()
	const many = 1_000_000 // moved one by one past the others they would take hours
	l := allocator.Lease{SegmentID: "s", Fence: 1, Until: b.now.Add(time.Minute)}
	for o := range uint32(many) {
		l.Open = append(l.Open, allocator.Place{Addr: mac.Addr(o), Offset: o})
	}
	b.Add(l)
	first := b.Take("s", many)
	b.Return(first...)
	if !slices.Equal(addrsOf(first), addrsOf(b.Take("s", many))) {
		t.Error("the order after the return differs")
	}
}

func TestALeaseThatHasRunOutGivesNothingUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	b := setup()
	b.lease("s", 1, 0, 1, 2)
	b.lease("s", 2, 0)
	wantAddrs(t, b.Take("s", 1), 100)
	b.now = b.now.Add(time.Minute)
	wantAddrs(t, b.Take("s", 1))
	b.Renewed([]int64{1, 77}, b.now.Add(time.Second))
	wantAddrs(t, b.Take("s", 9), 101, 102)
}

func TestUpkeepGivesBackWhatIsUsedUpOrIdleAndRenewsTheRest(t *testing.T) {
	t.Parallel()
	b := setup()
	start := b.now
	b.lease("s", 1, 0, 1) // is used up
	b.lease("s", 2, 0, 4) // has a claim under way, though used up
	b.lease("i", 3, 7, 8) // is idle
	b.lease("j", 4, 0, 5) // is idle but for a claim under way
	b.lease("k", 5, 0, 6) // is in use
	used := b.Take("s", 4)
	b.Done(used[:3]...)
	under := b.Take("j", 1)
	b.now = b.now.Add(time.Second)
	b.Done(b.Take("k", 1)...)

	back, renew := b.Upkeep(start.Add(time.Second))
	if diff := cmp.Diff([]int64{2, 4, 5}, renew, sorted); diff != "" {
		t.Errorf("renewed (-want +got):\n%s", diff)
	}
	byFence := cmpopts.SortSlices(func(a, b allocator.Rest) bool { return a.Fence < b.Fence })
	if diff := cmp.Diff([]allocator.Rest{{Fence: 1, Empty: true}, {Fence: 3, Given: 7}}, back, byFence); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
	// What ends meanwhile counts the next time: the one is empty then, and of the
	// other the next holder begins where this one ended.
	b.Done(used[3])
	b.Done(under...)
	back, renew = b.Upkeep(start.Add(time.Second))
	if diff := cmp.Diff([]allocator.Rest{{Fence: 2, Empty: true}, {Fence: 4, Given: 5}}, back, byFence); diff != "" {
		t.Errorf("given back later (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{5}, renew); diff != "" {
		t.Errorf("renewed later (-want +got):\n%s", diff)
	}
}

func TestClearGivesAllBackAndAClaimUnderWayKeepsItsAddressInTheLease(t *testing.T) {
	t.Parallel()
	b := setup()
	b.lease("s", 1, 3, 4, 5)
	b.lease("t", 2, 3, 4, 5)
	b.Done(b.Take("s", 1)...)
	under := b.Take("t", 1)
	byFence := cmpopts.SortSlices(func(a, b allocator.Rest) bool { return a.Fence < b.Fence })
	want := []allocator.Rest{{Fence: 1, Given: 4}, {Fence: 2, Given: 0}}
	if diff := cmp.Diff(want, b.Clear(), byFence); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
	b.Return(under...) // of a lease that is no more
	if got := len(b.Take("t", 1)) + len(b.Take("s", 1)) + len(b.Clear()); got != 0 {
		t.Error("there is something left after all was given back")
	}
}

func TestDropForgetsTheLeasesOfASegmentThatAreLost(t *testing.T) {
	t.Parallel()
	b := setup()
	b.lease("s", 1, 0)
	b.lease("s", 2, 0, 1)
	b.lease("t", 3, 0)
	lost := b.Take("s", 1)
	b.Drop("s", []int64{2, 3})
	if diff := cmp.Diff([]int64{2}, b.Fences("s")); diff != "" {
		t.Errorf("leases of the segment (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{3}, b.Fences("t")); diff != "" {
		t.Errorf("leases of the other (-want +got):\n%s", diff)
	}
	b.Return(lost...)
	wantAddrs(t, b.Take("s", 9), 200, 201)
	b.Drop("s", nil)
	if got := b.Fences("s"); len(got) != 0 {
		t.Errorf("leases %v after all are lost", got)
	}
}

// model is what a pool promises, said simply: of each lease the set of offsets
// that are open, the claims under way, and its times.
type model struct {
	segment     string
	fence       int64
	open        map[uint32]bool
	out         int
	until, used time.Time
	size        uint32
}

func (m *model) lowest() (low uint32, found bool) {
	for o := range m.open {
		if !found || o < low {
			low, found = o, true
		}
	}
	return low, found
}

// TestAPoolDoesWhatTheModelSays runs sequences of calls on a pool and on the
// model side by side.
func TestAPoolDoesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := setup()
		var leases []*model // oldest first
		of := map[int64]*model{}
		var claims []allocator.Claim
		forget := func(gone func(*model) bool) { leases = slices.DeleteFunc(leases, gone) }
		for step := range 300 {
			segment := string(rune('a' + r.IntN(2)))
			switch r.IntN(9) {
			case 0:
				m := &model{segment: segment, fence: int64(len(of) + 1), open: map[uint32]bool{}, size: uint32(1 + r.IntN(20)), until: b.now.Add(time.Minute), used: b.now}
				var offsets []uint32
				for o := range m.size {
					if r.IntN(4) > 0 {
						offsets = append(offsets, o)
						m.open[o] = true
					}
				}
				b.lease(segment, m.fence, offsets...)
				leases, of[m.fence] = append(leases, m), m
			case 1, 2, 3:
				n := r.IntN(12)
				var want []mac.Addr
				for _, m := range leases {
					for len(want) < n && m.segment == segment && b.now.Before(m.until) {
						low, found := m.lowest()
						if !found {
							break
						}
						delete(m.open, low)
						m.out++
						m.used = b.now
						want = append(want, addr(m.fence, low))
					}
				}
				got := b.Take(segment, n)
				claims = append(claims, got...)
				if diff := cmp.Diff(want, addrsOf(got), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d step %d: taken (-want +got):\n%s", seed, step, diff)
				}
			case 4, 5:
				r.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
				n := r.IntN(len(claims) + 1)
				ended := claims[:n]
				claims = claims[n:]
				assigned := r.IntN(2) == 0
				for _, c := range ended {
					m := of[c.Fence()]
					m.out--
					if !assigned {
						m.open[c.Offset] = true
					}
				}
				if assigned {
					b.Done(ended...)
				} else {
					b.Return(ended...)
				}
			case 6:
				b.now = b.now.Add(time.Duration(r.IntN(30)) * time.Second)
				idle := b.now.Add(-time.Duration(r.IntN(60)) * time.Second)
				var wantBack []allocator.Rest
				var wantRenew []int64
				forget(func(m *model) bool {
					low, found := m.lowest()
					if m.out > 0 || found && !m.used.Before(idle) {
						wantRenew = append(wantRenew, m.fence)
						return false
					}
					wantBack = append(wantBack, allocator.Rest{Fence: m.fence, Empty: !found, Given: uint64(low)})
					return true
				})
				back, renew := b.Upkeep(idle)
				slices.SortFunc(back, func(a, b allocator.Rest) int { return int(a.Fence - b.Fence) })
				if diff := cmp.Diff(wantBack, back, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d step %d: given back (-want +got):\n%s", seed, step, diff)
				}
				if diff := cmp.Diff(wantRenew, renew, sorted, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d step %d: renewed (-want +got):\n%s", seed, step, diff)
				}
				some := renew[:r.IntN(len(renew)+1)]
				for _, fence := range some {
					of[fence].until = b.now.Add(time.Minute)
				}
				b.Renewed(some, b.now.Add(time.Minute))
			case 7:
				var alive []int64
				forget(func(m *model) bool {
					if m.segment != segment {
						return false
					}
					if r.IntN(5) == 0 {
						return true
					}
					alive = append(alive, m.fence)
					return false
				})
				b.Drop(segment, alive)
			case 8:
				var fences []int64
				for _, m := range leases {
					if m.segment == segment {
						fences = append(fences, m.fence)
					}
				}
				if diff := cmp.Diff(fences, b.Fences(segment), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d step %d: leases (-want +got):\n%s", seed, step, diff)
				}
			}
		}
	}
}
