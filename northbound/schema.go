package northbound

import (
	"maps"
	"slices"
	"strings"
)

// schema is a JSON Schema, of the draft that OpenAPI 3.1 uses.
type schema map[string]any

// with returns a copy of s with more said.
func (s schema) with(more schema) schema {
	c := maps.Clone(s)
	maps.Copy(c, more)
	return c
}

// orNull allows null besides.
func (s schema) orNull() schema {
	kind, simple := s["type"].(string)
	choice, chosen := s["enum"].([]any)
	switch {
	case !simple:
		return anyOf(s, schema{"type": "null"})
	case chosen:
		s = s.with(schema{"enum": append(choice[:len(choice):len(choice)], nil)})
	}
	return s.with(schema{"type": []any{kind, "null"}})
}

func anyOf(of ...schema) schema { return schema{"anyOf": of} }

// matching is a string of a pattern.
func matching(pattern string) schema { return schema{"type": "string", "pattern": pattern} }

// chosen is one of a few values of a type.
func chosen[V any](kind string, from ...V) schema {
	choice := make([]any, len(from))
	for i, v := range from {
		choice[i] = v
	}
	return schema{"type": kind, "enum": choice}
}

// between is an integer.
func between(least, most int64) schema {
	return schema{"type": "integer", "minimum": least, "maximum": most}
}

// whole is a count.
var whole = schema{"type": "integer", "minimum": 0}

// arrayOf is an array of at most most values; 0: of any number.
func arrayOf(of schema, most int) schema {
	s := schema{"type": "array", "items": of}
	if most > 0 {
		s["maxItems"] = most
	}
	return s
}

// objectOf is an object with properties of which all are there but those whose
// name ends with "?".
func objectOf(properties map[string]schema) schema {
	known, needed := map[string]schema{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		plain, optional := strings.CutSuffix(name, "?")
		known[plain] = properties[name]
		if !optional {
			needed = append(needed, plain)
		}
	}
	s := schema{"type": "object", "properties": known}
	if len(needed) > 0 {
		s["required"] = needed
	}
	return s
}

// closed refuses members that are not declared.
func (s schema) closed() schema { return s.with(schema{"additionalProperties": false}) }

// The texts of values, as ECMA 262 and RE2 both read them.
const (
	hexDigit   = `[0-9A-Fa-f]`
	octet      = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	ipv4Text   = octet + `(\.` + octet + `){3}`
	uuidText   = hexDigit + `{8}(-` + hexDigit + `{4}){3}-` + hexDigit + `{12}`
	macText    = hexDigit + `{2}(:` + hexDigit + `{2}){5}`
	prefix4Len = `/(3[0-2]|[12]?[0-9])`
	prefix6Len = `/(12[0-8]|1[01][0-9]|[1-9]?[0-9])`
	mapped4    = `^[0:]*:[fF]{4}:(` + hexDigit + `{1,4}:` + hexDigit + `{1,4}|[0-9]+\.[0-9.]+)(/|$)` // an IPv4 address in IPv6's clothes
)

// ipv6Text is an IPv6 address without a dotted part: whole, or with :: in the
// place of at least one group.
var ipv6Text = func() string {
	const group = hexDigit + `{1,4}`
	forms := []string{`(` + group + `:){7}` + group, `:(:` + group + `){1,7}`, `(` + group + `:){1,7}:`}
	for after := 1; after <= 6; after++ {
		forms = append(forms, `(`+group+`:){1,`+string(rune('0'+7-after))+`}(:`+group+`){`+string(rune('0'+after))+`}`)
	}
	return `(` + strings.Join(append(forms, `::`), `|`) + `)`
}()

var (
	uuidSchema = matching(`^` + uuidText + `$`).with(schema{"format": "uuid", "examples": []any{"7e0d5d5e-9f3c-4b8f-8f0e-3f5f1f0a2b11"}})
	macSchema  = matching(`^` + macText + `$`).with(schema{"examples": []any{"02:00:05:00:00:01"}})
	// macPrefixSchema says nothing of alignment, which a pattern cannot.
	macPrefixSchema = matching(`^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}/([89]|[123][0-9]|4[0-8])$`).with(schema{"examples": []any{"52:54:00:00:00:00/24"}})
	ipSchema        = anyOf(schema{"type": "string", "format": "ipv4", "examples": []any{"10.0.0.1"}}, schema{"type": "string", "format": "ipv6", "not": schema{"type": "string", "pattern": mapped4}})
	prefixSchema    = matching(`^(` + ipv4Text + prefix4Len + `|` + ipv6Text + prefix6Len + `)$`).
			with(schema{"not": schema{"type": "string", "pattern": mapped4}, "examples": []any{"10.0.0.0/24"}})
	timeSchema = schema{"type": "string", "format": "date-time", "examples": []any{"2026-05-04T12:00:00Z"}}
)
