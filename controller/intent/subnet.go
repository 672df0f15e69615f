package intent

import (
	"math/big"
	"net/netip"
)

// DefaultGateway is the gateway of a subnet whose client did not name one: the
// first address of the prefix that a host can have. It is invalid if the
// prefix is too small for a gateway and a host.
func DefaultGateway(cidr netip.Prefix) netip.Addr {
	first, last := HostRange(cidr)
	if first == last {
		return netip.Addr{}
	}
	return first
}

// DefaultPools are all addresses of a prefix that hosts can have, without the
// gateway: one range, or two if the gateway lies inside. The gateway may be
// invalid or elsewhere.
func DefaultPools(cidr netip.Prefix, gateway netip.Addr) []Range {
	first, last := HostRange(cidr)
	if !gateway.IsValid() || gateway.Less(first) || last.Less(gateway) {
		return []Range{{first, last}}
	}
	var pools []Range
	if first.Less(gateway) {
		pools = append(pools, Range{first, gateway.Prev()})
	}
	if gateway.Less(last) {
		pools = append(pools, Range{gateway.Next(), last})
	}
	return pools
}

// HostRange returns the first and the last address of a prefix that a host can
// have. IPv4 keeps the lowest for the network and the highest for broadcast,
// unless the prefix has two addresses or one (RFC 3021); IPv6 keeps the lowest
// for routers (RFC 4291 §2.6.1), with the like exception (RFC 6164).
func HostRange(cidr netip.Prefix) (first, last netip.Addr) {
	first, last = cidr.Masked().Addr(), LastAddr(cidr)
	if first.BitLen()-cidr.Bits() <= 1 {
		return first, last
	}
	if first.Is4() {
		last = last.Prev()
	}
	return first.Next(), last
}

// LastAddr is the highest address of a prefix.
func LastAddr(cidr netip.Prefix) netip.Addr {
	b := cidr.Addr().AsSlice()
	for i := range b {
		host := cidr.Bits() - 8*i // bits of this octet that are prefix
		switch {
		case host <= 0:
			b[i] = 0xff
		case host < 8:
			b[i] |= 0xff >> host
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// Contains reports whether a lies in the range.
func (r Range) Contains(a netip.Addr) bool {
	return !a.Less(r.First) && !r.Last.Less(a)
}

// Size is how many addresses the range has.
func (r Range) Size() *big.Int {
	n := new(big.Int).SetBytes(r.Last.AsSlice())
	n.Sub(n, new(big.Int).SetBytes(r.First.AsSlice()))
	return n.Add(n, big.NewInt(1))
}
