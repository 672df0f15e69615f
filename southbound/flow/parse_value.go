package flow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// parseField reads VALUE or VALUE/MASK, or the words that a field has.
func parseField(id openflow.FieldID, k kind, s string) (Field, error) {
	n := id.Len()
	switch k {
	case fragment:
		for _, f := range fragments {
			if f.word == strings.ToLower(s) {
				return masked(id, n, uint64(f.value), uint64(f.mask)), nil
			}
		}
		return Field{}, errors.New("unknown kind of fragment: it is no, yes, first, later or not_later")
	case ctFlags, tcpFlags, tunnelFlags:
		return k.parseFlags(id, s)
	}
	text, maskText, hasMask := strings.Cut(s, "/")
	value, err := k.parse(text, n)
	if err != nil || !hasMask {
		return octets(id, value), err
	}
	if k == ipv4 || k == ipv6 {
		if ones, err := strconv.ParseUint(maskText, 10, 8); err == nil {
			if int(ones) > 8*n {
				return Field{}, fmt.Errorf("prefix is too long: it has at most %d bits", 8*n)
			}
			return maskedOctets(id, value, onesMask(int(ones), n)), nil
		}
	}
	mask, err := k.parse(maskText, n)
	if err != nil {
		return Field{}, fmt.Errorf("mask: %w", err)
	}
	return maskedOctets(id, value, mask), nil
}

// parse reads a value of n bytes.
func (k kind) parse(s string, n int) ([]byte, error) {
	switch k {
	case ethernet:
		return parseEth(s)
	case ipv4, ipv6:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		if a.BitLen() != 8*n || a.Zone() != "" {
			return nil, fmt.Errorf("%v is of the other family", a)
		}
		return a.AsSlice(), nil
	case packetType:
		return parsePacketType(s)
	}
	value := make([]byte, n)
	if k == port {
		v, err := parsePort(s)
		if n == 2 && err == nil && port16(uint16(v)) != v {
			err = fmt.Errorf("%q is not a port number of 16 bits", s)
		}
		putUint(value, uint64(v))
		return value, err
	}
	if h, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok && n > 8 {
		h = strings.TrimLeft(h, "0")
		if len(s) == 2 || len(h) > 2*n {
			return nil, fmt.Errorf("%q is not a number of %d bits", s, 8*n)
		}
		if _, err := hex.Decode(value, []byte(strings.Repeat("0", 2*n-len(h))+h)); err != nil {
			return nil, err
		}
		return value, nil
	}
	v, err := parseUint(s, min(8*n, 64))
	if err != nil {
		return nil, err
	}
	putUint(value, v)
	return value, nil
}

// parseEth reads six groups of one or two hex digits.
func parseEth(s string) ([]byte, error) {
	b := make([]byte, 0, 6)
	for group := range strings.SplitSeq(s, ":") {
		v, err := strconv.ParseUint(group, 16, 8)
		if err != nil || len(group) > 2 || len(b) == 6 {
			b = nil
			break
		}
		b = append(b, byte(v))
	}
	if len(b) != 6 {
		return nil, fmt.Errorf("%q is not a MAC address", s)
	}
	return b, nil
}

// parsePacketType reads (NAMESPACE,TYPE).
func parsePacketType(s string) ([]byte, error) {
	inner, ok := strings.CutPrefix(s, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	namespace, kind, two := strings.Cut(inner, ",")
	ns, err1 := parseUint(strings.TrimSpace(namespace), 16)
	t, err2 := parseUint(strings.TrimSpace(kind), 16)
	if err := errors.Join(err1, err2); err != nil || !ok || !closed || !two {
		return nil, fmt.Errorf("%q is not a packet type: it has the form (namespace,type)", s)
	}
	value := make([]byte, 4)
	putUint(value, ns<<16|t)
	return value, nil
}

// parseFlags reads flags with signs (those that are to be set, and those that are not to be), flags
// with | between them (the ones that are set of all), or numbers.
func (k kind) parseFlags(id openflow.FieldID, s string) (Field, error) {
	names, n := k.words(), id.Len()
	all := uint64(1)<<len(names) - 1
	bad := func(word string) error {
		return fmt.Errorf("bad flag %q: the flags are %s; each is given once, as +flag or -flag, or all that are set as flag|flag", word, strings.Join(names, ", "))
	}
	bit := func(name string) uint64 {
		for i, have := range names {
			if have == name {
				return 1 << i
			}
		}
		return 0
	}
	if v, mask, ok := strings.Cut(s, "/"); ok {
		value, err := parseUint(v, 8*n)
		bits, err2 := parseUint(mask, 8*n)
		if err := errors.Join(err, err2); err != nil {
			return Field{}, err
		}
		if (value|bits)&^all != 0 {
			return Field{}, fmt.Errorf("there are no flags but those of %#x", all)
		}
		return masked(id, n, value, bits), nil
	}
	var set, mask uint64
	if !strings.HasPrefix(s, "+") && !strings.HasPrefix(s, "-") {
		for word := range strings.SplitSeq(s, "|") {
			v, err := parseUint(word, 8*n)
			if err != nil {
				v = bit(word)
			}
			if v&^all != 0 || set&v != 0 || v == 0 && word != "0" {
				return Field{}, bad(word)
			}
			set |= v
		}
		return number(id, n, set), nil
	}
	for s != "" {
		sign := s[0]
		end := strings.IndexAny(s[1:], "+-") + 1
		if end == 0 {
			end = len(s)
		}
		word := s[1:end]
		b := bit(word)
		if b == 0 || mask&b != 0 {
			return Field{}, bad(word)
		}
		s = s[end:]
		mask |= b
		if sign == '+' {
			set |= b
		}
	}
	return masked(id, n, set, mask), nil
}
