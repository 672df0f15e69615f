// Package mac holds what is true of MAC addresses as numbers: EUI-48 values,
// aligned blocks of them (segments) and the IPv6 addresses derived from them.
// It is pure: no I/O, no clock, no randomness of its own.
package mac

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// Addr is an EUI-48 held in the low 48 bits, so that it is comparable, ordered
// like its text and free to use as a map key.
type Addr uint64

// Max is the highest EUI-48, the broadcast address ff:ff:ff:ff:ff:ff.
const Max Addr = 1<<48 - 1

// Bits of the first octet, IEEE 802-2014 §8.2.2.
const (
	groupBit Addr = 1 << 40 // I/G: individual or group
	localBit Addr = 1 << 41 // U/L: universally or locally administered
)

// FromBytes reads the six octets of b in transmission order.
func FromBytes(b [6]byte) Addr {
	return Addr(b[0])<<40 | Addr(b[1])<<32 | Addr(b[2])<<24 | Addr(b[3])<<16 | Addr(b[4])<<8 | Addr(b[5])
}

// Bytes returns the six octets in transmission order.
func (a Addr) Bytes() [6]byte {
	return [6]byte{byte(a >> 40), byte(a >> 32), byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}
}

// Parse reads the notations in use: 02:00:05:00:00:01, 02-00-05-00-00-01,
// 0200.0500.0001 and 020005000001, in either case.
func Parse(s string) (Addr, error) {
	digits := s
	switch {
	case len(s) == 17 && (s[2] == ':' || s[2] == '-'):
		if strings.Count(s, s[2:3]) != 5 {
			return 0, parseError(s)
		}
		for i := 2; i < 17; i += 3 {
			if s[i] != s[2] {
				return 0, parseError(s)
			}
		}
		digits = strings.ReplaceAll(s, s[2:3], "")
	case len(s) == 14:
		if s[4] != '.' || s[9] != '.' {
			return 0, parseError(s)
		}
		digits = s[:4] + s[5:9] + s[10:]
	}
	if len(digits) != 12 {
		return 0, parseError(s)
	}
	var b [6]byte
	if _, err := hex.Decode(b[:], []byte(digits)); err != nil {
		return 0, parseError(s)
	}
	return FromBytes(b), nil
}

func parseError(s string) error {
	return fmt.Errorf("mac: %q is not a MAC address such as 02:00:05:00:00:01", s)
}

// MustParse is Parse for constants and tests; it panics on a bad text.
func MustParse(s string) Addr {
	a, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// String is the canonical form: lower case, colons.
func (a Addr) String() string {
	return string(a.AppendText(make([]byte, 0, 17)))
}

// AppendText appends the canonical form to b.
func (a Addr) AppendText(b []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 40; shift >= 0; shift -= 8 {
		if shift != 40 {
			b = append(b, ':')
		}
		octet := byte(a >> shift)
		b = append(b, digits[octet>>4], digits[octet&0xf])
	}
	return b
}

// MarshalText implements encoding.TextMarshaler with the canonical form.
func (a Addr) MarshalText() ([]byte, error) { return a.AppendText(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it takes what Parse takes.
func (a *Addr) UnmarshalText(text []byte) error {
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// IsGroup reports whether a names a group (multicast or broadcast) and so can
// never be the address of a station.
func (a Addr) IsGroup() bool { return a&groupBit != 0 }

// IsLocal reports whether a is locally administered.
func (a Addr) IsLocal() bool { return a&localBit != 0 }

// EUI64 returns the Modified EUI-64 interface identifier of a: ff:fe is
// inserted in the middle and the universal/local bit is flipped
// (RFC 4291 appendix A).
func (a Addr) EUI64() [8]byte {
	b := (a ^ localBit).Bytes()
	return [8]byte{b[0], b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]}
}

// LinkLocal returns the IPv6 link-local address that a station with address a
// forms from its EUI-64 (RFC 4291 §2.5.6).
func (a Addr) LinkLocal() netip.Addr {
	var ip [16]byte
	ip[0], ip[1] = 0xfe, 0x80
	id := a.EUI64()
	copy(ip[8:], id[:])
	return netip.AddrFrom16(ip)
}

// SLAAC returns the address that a station with address a forms in a /64
// (RFC 4862 §5.5.3 with the identifier of RFC 4291 appendix A); ok is false for
// any other prefix.
func (a Addr) SLAAC(prefix netip.Prefix) (_ netip.Addr, ok bool) {
	if !prefix.Addr().Is6() || prefix.Addr().Is4In6() || prefix.Bits() != 64 {
		return netip.Addr{}, false
	}
	ip := prefix.Addr().As16()
	id := a.EUI64()
	copy(ip[8:], id[:])
	return netip.AddrFrom16(ip), true
}

// FromEUI64 returns the MAC address that the interface identifier of an IPv6
// address was made of; ok is false where it has no ff:fe in the middle and so
// cannot have been.
func FromEUI64(ip netip.Addr) (_ Addr, ok bool) {
	b := ip.As16()
	if !ip.Is6() || ip.Is4In6() || b[11] != 0xff || b[12] != 0xfe {
		return 0, false
	}
	return FromBytes([6]byte{b[8], b[9], b[10], b[13], b[14], b[15]}) ^ localBit, true
}
