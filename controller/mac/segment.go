package mac

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A segment has between 2^0 and 2^40 addresses. Shorter prefixes than 8 bits
// would reach over the I/G bit of the first octet into group addresses.
const (
	MinPrefixLen = 8
	MaxPrefixLen = 48
)

// Segment is an aligned power-of-two block of MAC addresses, written as its
// base and the length of its prefix in bits: 02:00:05:00:00:00/24.
// The zero Segment is not valid.
type Segment struct {
	base Addr
	bits uint8
}

// NewSegment returns the segment of the given base and prefix length. The base
// must be aligned: none of its bits after the prefix may be set.
func NewSegment(base Addr, bits int) (Segment, error) {
	switch {
	case bits < MinPrefixLen || bits > MaxPrefixLen:
		return Segment{}, fmt.Errorf("mac: prefix length %d is not between %d and %d", bits, MinPrefixLen, MaxPrefixLen)
	case base > Max:
		return Segment{}, fmt.Errorf("mac: base %#x has more than 48 bits", uint64(base))
	}
	s := Segment{base: base, bits: uint8(bits)}
	if base&^s.Mask() != 0 {
		return Segment{}, fmt.Errorf("mac: base %s is not aligned to /%d; the aligned base is %s", base, bits, base&s.Mask())
	}
	if base.IsGroup() {
		return Segment{}, fmt.Errorf("mac: base %s has the group bit set; a segment holds station addresses only", base)
	}
	return s, nil
}

// ParseSegment reads "02:00:05:00:00:00/24".
func ParseSegment(s string) (Segment, error) {
	base, length, ok := strings.Cut(s, "/")
	if !ok {
		return Segment{}, fmt.Errorf("mac: %q is not a segment such as 02:00:05:00:00:00/24", s)
	}
	a, err := Parse(base)
	if err != nil {
		return Segment{}, err
	}
	bits, err := strconv.Atoi(length)
	if err != nil {
		return Segment{}, fmt.Errorf("mac: prefix length %q is not a number", length)
	}
	return NewSegment(a, bits)
}

// MustParseSegment is ParseSegment for constants and tests.
func MustParseSegment(s string) Segment {
	v, err := ParseSegment(s)
	if err != nil {
		panic(err)
	}
	return v
}

// Segment is the segment of one address, which must be a station's.
func (a Addr) Segment() Segment { return Segment{base: a, bits: MaxPrefixLen} }

// Base is the lowest address.
func (s Segment) Base() Addr { return s.base }

// Bits is the prefix length.
func (s Segment) Bits() int { return int(s.bits) }

// Mask has the prefix bits set.
func (s Segment) Mask() Addr { return Max &^ (Addr(1)<<(48-s.bits) - 1) }

// Size is the number of addresses.
func (s Segment) Size() uint64 { return 1 << (48 - s.bits) }

// Last is the highest address.
func (s Segment) Last() Addr { return s.base | Max&^s.Mask() }

// IsValid reports whether s came from NewSegment or ParseSegment.
func (s Segment) IsValid() bool { return s.bits != 0 }

// Contains reports whether a lies in s.
func (s Segment) Contains(a Addr) bool { return s.IsValid() && a&s.Mask() == s.base }

// Overlaps reports whether s and o share an address; as both are aligned, one
// then holds the other.
func (s Segment) Overlaps(o Segment) bool {
	if s.bits <= o.bits {
		return s.Contains(o.base)
	}
	return o.Contains(s.base)
}

// Within reports whether all addresses of s are of o, too.
func (s Segment) Within(o Segment) bool { return s.bits >= o.bits && o.Contains(s.base) }

// LinkLocal returns the prefix of the IPv6 link-local addresses that stations of
// the segment form of their EUI-64 (RFC 4291 §2.5.6): exactly these if the
// segment is of one vendor, that is has 24 bits or more. ff:fe in the middle is
// no part of the prefix of a wider one.
func (s Segment) LinkLocal() netip.Prefix {
	bits := 64 + s.Bits()
	if s.Bits() >= 24 {
		bits += 16
	}
	return netip.PrefixFrom(s.base.LinkLocal(), bits).Masked()
}

// At returns the address at an offset from the base; the offset must be below
// Size.
func (s Segment) At(offset uint64) Addr { return s.base + Addr(offset) }

// String is base/length.
func (s Segment) String() string {
	if !s.IsValid() {
		return "invalid segment"
	}
	return s.base.String() + "/" + strconv.Itoa(int(s.bits))
}
