// Package allocator gives addresses out of leased parts of segments from
// memory. A lease says that other processes look elsewhere, so that they do not
// run into each other; that no address is ever given twice is the promise of
// the database, which every assignment is a row of.
//
// The package is pure. Package store takes, renews and returns the leases.
package allocator

import (
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// Lease is a part of a segment: addresses that follow each other in the order
// of the segment.
type Lease struct {
	SegmentID string
	Fence     int64     // names the lease and its holder; never 0
	Open      []Place   // addresses that nobody has, in their order
	Until     time.Time // the lease may not be used any more
}

// Place is an address of a lease and how far from the start of the lease it is.
type Place struct {
	Addr   mac.Addr
	Offset uint32
}

// Claim is an address that somebody is about to assign. Each must come to an
// end: Return or Done.
type Claim struct {
	Place
	lease *held
}

// Fence names the lease of the claim.
func (c Claim) Fence() int64 { return c.lease.Fence }

// held is a lease in use. Open holds what is left, the next one last.
type held struct {
	Lease
	out  int // claims under way
	used time.Time
}

// Pool holds the leases of a process. It is safe for concurrent use.
type Pool struct {
	now func() time.Time

	mu     sync.Mutex
	leases map[string][]*held // by segment, oldest first
}

// New returns a pool without leases.
func New(now func() time.Time) *Pool {
	return &Pool{now: now, leases: map[string][]*held{}}
}

// Add puts a lease into the pool.
func (p *Pool) Add(l Lease) {
	slices.Reverse(l.Open)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leases[l.SegmentID] = append(p.leases[l.SegmentID], &held{Lease: l, used: p.now()})
}

// Take claims up to n addresses of a segment, in its order.
func (p *Pool) Take(segmentID string, n int) []Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var claims []Claim
	for _, h := range p.leases[segmentID] {
		some := min(n-len(claims), len(h.Open))
		if some <= 0 || !now.Before(h.Until) {
			continue
		}
		left := len(h.Open) - some
		claims = slices.Grow(claims, some)
		for _, place := range slices.Backward(h.Open[left:]) {
			claims = append(claims, Claim{place, h})
		}
		h.Open = h.Open[:left]
		h.out += some
		h.used = now
	}
	return claims
}

// Return gives claims back: their addresses were not assigned, so they come
// next. It does no harm when that is not sure.
func (p *Pool) Return(claims ...Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// The latest first: then each belongs at the end, where the next ones are,
	// or near it.
	for _, c := range slices.Backward(claims) {
		c.lease.out--
		open := c.lease.Open
		i := len(open)
		for i > 0 && open[i-1].Offset < c.Offset {
			i--
		}
		c.lease.Open = slices.Insert(open, i, c.Place)
	}
}

// Done ends claims whose addresses are assigned, or turned out to be
// somebody's.
func (p *Pool) Done(claims ...Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range claims {
		c.lease.out--
	}
}

// Drop forgets the leases of a segment that are not among those alive.
func (p *Pool) Drop(segmentID string, alive []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(segmentID, func(h *held) bool { return slices.Contains(alive, h.Fence) })
}

// keep forgets leases of a segment. Claims under way go on with their own end.
func (p *Pool) keep(segmentID string, stays func(*held) bool) {
	left := slices.DeleteFunc(p.leases[segmentID], func(h *held) bool { return !stays(h) })
	if len(left) == 0 {
		delete(p.leases, segmentID)
		return
	}
	p.leases[segmentID] = left
}

// Fences names the leases of a segment.
func (p *Pool) Fences(segmentID string) []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fences []int64
	for _, h := range p.leases[segmentID] {
		fences = append(fences, h.Fence)
	}
	return fences
}

// Rest is a lease that is given back, and the offset from its start up to which
// its addresses have all been given.
type Rest struct {
	Fence int64
	Given uint64
	Empty bool // nothing of it is left
}

// Upkeep takes the leases that have nothing left, or of which nothing was taken
// since a time, out of the pool and names those that stay, to be renewed. A
// lease with a claim under way stays.
func (p *Pool) Upkeep(idleSince time.Time) (back []Rest, renew []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for segmentID := range p.leases {
		p.keep(segmentID, func(h *held) bool {
			if h.out == 0 && (len(h.Open) == 0 || h.used.Before(idleSince)) {
				back = append(back, h.rest())
				return false
			}
			renew = append(renew, h.Fence)
			return true
		})
	}
	return back, renew
}

// Renewed prolongs leases.
func (p *Pool) Renewed(fences []int64, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.leases {
		for _, h := range list {
			if slices.Contains(fences, h.Fence) {
				h.Until = until
			}
		}
	}
}

// Clear takes all leases out of the pool, to be given back.
func (p *Pool) Clear() []Rest {
	p.mu.Lock()
	defer p.mu.Unlock()
	var back []Rest
	for _, list := range p.leases {
		for _, h := range list {
			back = append(back, h.rest())
		}
	}
	clear(p.leases)
	return back
}

func (h *held) rest() Rest {
	if len(h.Open) == 0 && h.out == 0 {
		return Rest{Fence: h.Fence, Empty: true}
	}
	r := Rest{Fence: h.Fence}
	if h.out == 0 {
		r.Given = uint64(h.Open[len(h.Open)-1].Offset)
	}
	return r
}
