package northbound

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// valueType is what an attribute's value may be: how it is read from a body,
// written to an answer and compared in a filter. Error texts are the "Reason"
// of the answer, in Neutron's words where it has some.
type valueType[V any] struct {
	name string // in words, for the reference
	// shows is the schema of a value in an answer and, unless takes says
	// another, in a body. parse may know more notations, as Neutron does ("1450",
	// "True"), but no other values.
	shows  schema
	takes  schema
	parse  func(v any) (V, error)
	append func(b []byte, v V) []byte
	// filter turns a value of the query string into the canonical text that
	// the store compares with. No match at all (an id that is no UUID) is
	// false. A nil filter: the type cannot be filtered by.
	filter func(text string) (canonical string, possible bool, err error)
}

// taken is the schema of a value in a body.
func (t *valueType[V]) taken() schema {
	if t.takes != nil {
		return t.takes
	}
	return t.shows
}

// text is a string of at most most characters.
func text(most int) valueType[string] {
	return valueType[string]{
		name:  fmt.Sprintf("string, at most %d characters", most),
		shows: schema{"type": "string", "maxLength": most},
		parse: func(v any) (string, error) {
			s, ok := v.(string)
			if !ok {
				return "", fmt.Errorf("%s is not a valid string", show(v))
			}
			if utf8.RuneCountInString(s) > most {
				return "", fmt.Errorf("%s exceeds maximum length of %d", show(s), most)
			}
			return s, nil
		},
		append: appendString,
		filter: func(s string) (string, bool, error) { return s, true, nil },
	}
}

// filled is a string of 1 to most characters.
func filled(most int) valueType[string] {
	t := text(most)
	t.name = fmt.Sprintf("string, 1 to %d characters", most)
	t.shows = matching(`\S`).with(schema{"maxLength": most, "examples": []any{"demo"}})
	parse := t.parse
	t.parse = func(v any) (string, error) {
		s, err := parse(v)
		if err == nil && strings.TrimSpace(s) == "" {
			err = fmt.Errorf("%s is blank", show(s))
		}
		return s, err
	}
	return t
}

// boolean takes what Neutron takes: true, false, 1, 0, their texts, and more
// words for them.
var boolean = valueType[bool]{
	name:  "boolean",
	shows: schema{"type": "boolean"},
	parse: func(v any) (bool, error) {
		switch t := v.(type) {
		case bool:
			return t, nil
		case json.Number:
			if b, ok := truth(t.String()); ok {
				return b, nil
			}
		case string:
			if b, ok := truth(t); ok {
				return b, nil
			}
		}
		return false, fmt.Errorf("%s cannot be converted to boolean", show(v))
	},
	append: strconv.AppendBool,
	filter: func(s string) (string, bool, error) {
		b, ok := truth(s)
		if !ok {
			return "", false, fmt.Errorf("'%s' cannot be converted to boolean", clip(s))
		}
		return strconv.FormatBool(b), true, nil
	},
}

func truth(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "t", "on", "y", "yes":
		return true, true
	case "false", "0", "f", "off", "n", "no":
		return false, true
	}
	return false, false
}

// readInt reads an integer between least and most. A fraction or an exponent
// is refused rather than rounded; an integer in quotes is taken, as Neutron
// does.
func readInt(v any, least, most int64) (int64, error) {
	var digits string
	switch t := v.(type) {
	case json.Number:
		digits = t.String()
	case string:
		digits = t
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && (digits == "" || strings.Trim(digits, "-0123456789") != "") {
		return 0, fmt.Errorf("%s is not an integer", show(v))
	}
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s is not between %d and %d", show(v), least, most)
	}
	return n, nil
}

type integer interface {
	~int | ~int64 | ~uint32 | ~uint64
}

// number is an integer between least and most.
func number[V integer](least, most int64) valueType[V] {
	return valueType[V]{
		name:   fmt.Sprintf("integer, %d to %d", least, most),
		shows:  between(least, most),
		parse:  func(v any) (V, error) { n, err := readInt(v, least, most); return V(n), err },
		append: func(b []byte, v V) []byte { return strconv.AppendInt(b, int64(v), 10) },
		filter: func(s string) (string, bool, error) {
			n, err := readInt(s, least, most)
			if err != nil {
				return "", false, err
			}
			return strconv.FormatInt(n, 10), true, nil
		},
	}
}

// oneNumber is one of a few integers.
func oneNumber(choice ...int) valueType[int] {
	words := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(choice)), ", "), "[]")
	t := number[int](-1<<31, 1<<31)
	t.name = "one of " + words
	t.shows = chosen("integer", choice...)
	read := t.parse
	t.parse = func(v any) (int, error) {
		n, err := read(v)
		if err == nil && !slices.Contains(choice, n) {
			err = fmt.Errorf("%s is not in %s", show(v), words)
		}
		return n, err
	}
	return t
}

// oneOf is one of a few words.
func oneOf[V ~string](words ...V) valueType[V] {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = string(w)
	}
	choice := strings.Join(quoted, ", ")
	return valueType[V]{
		name:  "one of " + choice,
		shows: chosen("string", words...),
		parse: func(v any) (V, error) {
			s, ok := v.(string)
			for _, w := range words {
				if ok && s == string(w) {
					return w, nil
				}
			}
			return "", fmt.Errorf("%s is not in %s", show(v), choice)
		},
		append: func(b []byte, v V) []byte { return appendString(b, string(v)) },
		filter: func(s string) (string, bool, error) { return s, true, nil },
	}
}

func readUUID(v any) (string, error) {
	s, ok := v.(string)
	if ok && len(s) == 36 { // uuid.Parse also takes other notations
		if id, err := uuid.Parse(s); err == nil {
			return id.String(), nil
		}
	}
	return "", fmt.Errorf("%s is not a valid UUID", show(v))
}

// id is a UUID.
var id = valueType[string]{
	name:   "UUID",
	shows:  uuidSchema,
	parse:  readUUID,
	append: appendString,
	filter: func(s string) (string, bool, error) {
		canonical, err := readUUID(s)
		return canonical, err == nil, nil // what is no id names no object
	},
}

// idOrNull is a UUID or null; null is the empty string inside.
var idOrNull = valueType[string]{
	name:  "UUID or null",
	shows: uuidSchema.orNull(),
	parse: func(v any) (string, error) {
		if v == nil {
			return "", nil
		}
		return readUUID(v)
	},
	append: func(b []byte, v string) []byte {
		if v == "" {
			return append(b, "null"...)
		}
		return appendString(b, v)
	},
	filter: func(s string) (string, bool, error) {
		if s == "" {
			return "", true, nil
		}
		canonical, err := readUUID(s)
		return canonical, err == nil, nil
	},
}

// orNull makes a type one whose zero value is null.
func orNull[V comparable](of valueType[V]) valueType[V] {
	var none V
	return valueType[V]{
		name:  of.name + ", or null",
		shows: of.shows.orNull(),
		takes: of.taken().orNull(),
		parse: func(v any) (V, error) {
			if v == nil {
				return none, nil
			}
			return of.parse(v)
		},
		append: func(b []byte, v V) []byte {
			if v == none {
				return append(b, "null"...)
			}
			return of.append(b, v)
		},
		filter: of.filter,
	}
}

// textOrNull is a string or null; the empty string is null inside.
func textOrNull(most int) valueType[string] { return orNull(text(most)) }

// list is a list of at most most values of one type; null is the empty list,
// as in Neutron.
func list[V any](of valueType[V], most int) valueType[[]V] {
	name := fmt.Sprintf("list of at most %d: %s", most, of.name)
	if most == 0 { // shown only
		name = "list of " + of.name
	}
	return valueType[[]V]{
		name:  name,
		shows: arrayOf(of.shows, most),
		takes: arrayOf(of.taken(), most).orNull(),
		parse: func(v any) ([]V, error) {
			if v == nil {
				return nil, nil
			}
			items, ok := v.([]any)
			if !ok {
				return nil, fmt.Errorf("%s is not a list", show(v))
			}
			if len(items) > most {
				return nil, fmt.Errorf("%d values exceed the maximum of %d", len(items), most)
			}
			values := make([]V, len(items))
			for i, item := range items {
				var err error
				if values[i], err = of.parse(item); err != nil {
					return nil, err
				}
			}
			return values, nil
		},
		append: func(b []byte, values []V) []byte {
			b = append(b, '[')
			for i, v := range values {
				if i > 0 {
					b = append(b, ',')
				}
				b = of.append(b, v)
			}
			return append(b, ']')
		},
		filter: of.filter,
	}
}

// different is a list in which no value comes twice.
func different[V comparable](t valueType[[]V]) valueType[[]V] {
	parse := t.parse
	t.parse = func(v any) ([]V, error) {
		values, err := parse(v)
		seen := make(map[V]bool, len(values))
		for i, value := range values {
			if seen[value] {
				return nil, fmt.Errorf("Duplicate items in the list: %s", show(v.([]any)[i]))
			}
			seen[value] = true
		}
		return values, err
	}
	t.shows, t.takes = t.shows.with(schema{"uniqueItems": true}), t.taken().with(schema{"uniqueItems": true})
	return t
}

// station is the MAC address that a station can have.
var station = valueType[mac.Addr]{
	name:  "MAC address of a station",
	shows: macSchema,
	takes: macSchema.with(schema{"pattern": "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$", "not": schema{"const": "00:00:00:00:00:00"}}),
	parse: func(v any) (mac.Addr, error) {
		s, _ := v.(string)
		a, err := mac.Parse(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s is not a valid MAC address", show(v))
		case a.IsGroup():
			return 0, fmt.Errorf("%s has the group bit set; a station has an individual address", show(v))
		case a == 0:
			return 0, fmt.Errorf("%s is not the address of a station", show(v))
		}
		return a, nil
	},
	append: appendMAC,
	filter: filterMAC,
}

// macPrefix is an aligned block of addresses that stations can have.
var macPrefix = valueType[mac.Segment]{
	name:  "MAC prefix BASE/BITS",
	shows: macPrefixSchema,
	parse: func(v any) (mac.Segment, error) {
		s, _ := v.(string)
		block, err := mac.ParseSegment(s)
		if err != nil {
			return block, fmt.Errorf("%s is not a MAC prefix such as 52:54:00:00:00:00/24: %s", show(v), strings.TrimPrefix(err.Error(), "mac: "))
		}
		return block, nil
	},
	append: func(b []byte, block mac.Segment) []byte { return appendString(b, block.String()) },
}

// macAddress is any MAC address.
var macAddress = valueType[mac.Addr]{
	name:  "MAC address",
	shows: macSchema,
	parse: func(v any) (mac.Addr, error) {
		s, _ := v.(string)
		a, err := mac.Parse(s)
		if err != nil {
			return 0, fmt.Errorf("%s is not a valid MAC address", show(v))
		}
		return a, nil
	},
	append: appendMAC,
	filter: filterMAC,
}

// macOrNull is the address of a station, or null.
var macOrNull = valueType[mac.Addr]{
	name:  "MAC address or null",
	shows: macSchema.orNull(),
	takes: station.takes.orNull(),
	parse: func(v any) (mac.Addr, error) {
		if v == nil {
			return 0, nil
		}
		return station.parse(v)
	},
	append: func(b []byte, a mac.Addr) []byte {
		if a == 0 {
			return append(b, "null"...)
		}
		return appendMAC(b, a)
	},
	filter: filterMAC,
}

func appendMAC(b []byte, a mac.Addr) []byte {
	b = append(b, '"')
	b = a.AppendText(b)
	return append(b, '"')
}

func filterMAC(s string) (string, bool, error) {
	a, err := mac.Parse(s)
	return a.String(), err == nil, nil
}

func readIP(v any) (netip.Addr, error) {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, fmt.Errorf("%s is not a valid IP address", show(v))
	}
	return a, nil
}

// ipAddress is an IPv4 or IPv6 address.
var ipAddress = valueType[netip.Addr]{
	name:   "IP address",
	shows:  ipSchema,
	parse:  readIP,
	append: appendIP,
}

// ipOrNull is an IP address or null; null is the invalid address inside.
var ipOrNull = valueType[netip.Addr]{
	name:  "IP address or null",
	shows: ipSchema.orNull(),
	parse: func(v any) (netip.Addr, error) {
		if v == nil {
			return netip.Addr{}, nil
		}
		return readIP(v)
	},
	append: appendIP,
	filter: func(s string) (string, bool, error) {
		a, err := readIP(s)
		return a.String(), err == nil, nil
	},
}

func appendIP(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = a.AppendTo(b)
	return append(b, '"')
}

// readPrefix reads address/length, host bits kept.
func readPrefix(v any) (netip.Prefix, error) {
	s, _ := v.(string)
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not a valid IP subnet", show(v))
	}
	return p, nil
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = p.AppendTo(b)
	return append(b, '"')
}

// cidr is an IP prefix; host bits are masked.
var cidr = valueType[netip.Prefix]{
	name:   "IP prefix",
	shows:  prefixSchema,
	parse:  func(v any) (netip.Prefix, error) { p, err := readPrefix(v); return p.Masked(), err },
	append: appendPrefix,
	filter: func(s string) (string, bool, error) {
		p, err := readPrefix(s)
		return p.Masked().String(), err == nil, nil
	},
}

// remotePrefix is a prefix, an address (a prefix of its full length) or null;
// host bits stay as given.
var remotePrefix = valueType[netip.Prefix]{
	name:  "IP prefix, address or null",
	shows: prefixSchema.orNull(),
	takes: anyOf(prefixSchema, ipSchema, schema{"type": "null"}),
	parse: func(v any) (netip.Prefix, error) {
		if v == nil {
			return netip.Prefix{}, nil
		}
		if a, err := readIP(v); err == nil {
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		return readPrefix(v)
	},
	append: appendPrefix,
	filter: func(s string) (string, bool, error) {
		if a, err := readIP(s); err == nil {
			return netip.PrefixFrom(a, a.BitLen()).String(), true, nil
		}
		p, err := readPrefix(s)
		return p.String(), err == nil, nil
	},
}

// timestamp is shown as 2006-01-02T15:04:05Z.
var timestamp = valueType[time.Time]{
	name:  "UTC time, YYYY-MM-DDTHH:MM:SSZ",
	shows: timeSchema,
	append: func(b []byte, t time.Time) []byte {
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, time.RFC3339) // in UTC the same, and three times as fast
		return append(b, '"')
	},
}

var datapathSchema = matching(`^([0-9A-Fa-f]{16})?$`).with(schema{"examples": []any{"00000000000000a1"}})

// datapath is a datapath id in 16 hex digits, in lower case; empty: none.
var datapath = valueType[string]{
	name:  "datapath id of a switch, 16 hex digits; empty or null: unbound",
	shows: datapathSchema,
	takes: datapathSchema.orNull(),
	parse: func(v any) (string, error) {
		if v == nil || v == "" {
			return "", nil
		}
		s, _ := v.(string)
		d, err := intent.ParseDPID(s)
		if err != nil {
			return "", fmt.Errorf("%s is not a datapath id of 16 hex digits such as 00000000000000a1, and not \"\" to unbind", show(v))
		}
		return d.String(), nil
	},
	append: appendString,
	filter: func(s string) (string, bool, error) { return strings.ToLower(s), true, nil },
}
