package intent

import (
	"net/netip"
	"slices"
)

// AddressGroup is a named set of prefixes that security group rules refer to.
type AddressGroup struct {
	Meta
	Addresses []netip.Prefix // masked, sorted
	Shared    bool           // with whoever reads it
}

// AddressScope is a set of subnet pools whose prefixes are one address space.
type AddressScope struct {
	Meta
	IPVersion int  // 4 or 6
	Shared    bool // with whoever reads it
}

// SubnetPool is a set of prefixes that subnets are cut out of.
type SubnetPool struct {
	Meta
	IPVersion        int            // 4 or 6, that of the prefixes
	Prefixes         []netip.Prefix // compact: see CompactPrefixes
	DefaultPrefixLen int
	MinPrefixLen     int
	MaxPrefixLen     int
	DefaultQuota     *int // how much a tenant may have of it, see QuotaUnits; nil: no limit
	ScopeID          string
	IsDefault        bool // where subnets come from that ask for no certain pool
	Shared           bool // with whoever reads it
}

// CompactPrefixes returns the fewest prefixes that cover the same addresses,
// sorted.
func CompactPrefixes(list []netip.Prefix) []netip.Prefix {
	sorted := make([]netip.Prefix, len(list))
	for i, p := range list {
		sorted[i] = p.Masked()
	}
	slices.SortFunc(sorted, comparePrefixes)
	out := make([]netip.Prefix, 0, len(sorted))
	for _, p := range sorted {
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue // it lies in the one before, which is no longer
		}
		out = append(out, p)
		for n := len(out); n >= 2 && siblings(out[n-2], out[n-1]); n = len(out) {
			out = append(out[:n-2], netip.PrefixFrom(out[n-2].Addr(), out[n-2].Bits()-1))
		}
	}
	return out
}

// WithoutPrefixes returns what is left of prefixes when others are taken out
// of them, compact.
func WithoutPrefixes(from, gone []netip.Prefix) []netip.Prefix {
	gone = CompactPrefixes(gone)
	var left []netip.Prefix
	for _, p := range CompactPrefixes(from) {
		left = appendWithout(left, p, gone)
	}
	return CompactPrefixes(left)
}

// CoversPrefixes says whether every address of the second list is in the
// first.
func CoversPrefixes(all, some []netip.Prefix) bool {
	return len(WithoutPrefixes(some, all)) == 0
}

// FreePrefix finds a prefix of a length among those that are there and not in
// use: the first of the smallest gap that is large enough, so that large ones
// stay.
func FreePrefix(there, used []netip.Prefix, bits int) (netip.Prefix, bool) {
	var best netip.Prefix
	for _, gap := range WithoutPrefixes(there, used) {
		if gap.Bits() <= bits && (!best.IsValid() || gap.Bits() > best.Bits()) {
			best = gap
		}
	}
	if !best.IsValid() {
		return best, false
	}
	return netip.PrefixFrom(best.Addr(), bits), true
}

// QuotaUnits is how much of the quota of a subnet pool a prefix takes: its
// addresses, or with IPv6 its /64.
func QuotaUnits(p netip.Prefix) float64 {
	unit := 32
	if p.Addr().Is6() {
		unit = 64
	}
	units := 1.0
	for n := p.Bits(); n < unit; n++ {
		units *= 2
	}
	for n := p.Bits(); n > unit; n-- {
		units /= 2
	}
	return units
}

// appendWithout adds what is left of p to a list; gone is compact.
func appendWithout(left []netip.Prefix, p netip.Prefix, gone []netip.Prefix) []netip.Prefix {
	// The first that ends behind the start of p may overlap with it.
	i, _ := slices.BinarySearchFunc(gone, p.Addr(), func(g netip.Prefix, a netip.Addr) int { return LastAddr(g).Compare(a) })
	switch {
	case i == len(gone) || !gone[i].Overlaps(p):
		return append(left, p)
	case gone[i].Bits() <= p.Bits():
		return left
	}
	low, high := halves(p)
	return appendWithout(appendWithout(left, low, gone[i:]), high, gone[i:])
}

// halves splits a prefix of more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	b := p.Addr().AsSlice()
	b[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), bits), netip.PrefixFrom(upper, bits)
}

func siblings(a, b netip.Prefix) bool {
	if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
		return false
	}
	low, high := halves(netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked())
	return a == low && b == high
}

// comparePrefixes orders by the first address, and the longer ones after those
// that contain them.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
