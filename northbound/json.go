package northbound

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of what a client may send.
const (
	maxDepth      = 32      // levels of nesting; no resource needs more than 5
	maxSingleBody = 1 << 20 // bytes of a body with one object
	maxBulkBody   = 8 << 20 // bytes of a body with a list of them
	maxBulk       = 10_000  // objects in one body
	maxValues     = 500_000 // JSON values in one body: bounds the memory that it takes parsed
)

// object is a JSON object as the client wrote it: members in order, no key
// twice. The other values of a parsed body are nil, bool, json.Number, string
// and []any; numbers stay text until a type reads them, so none loses digits.
type object []member

type member struct {
	key   string
	value any
}

func (o object) get(key string) (any, bool) {
	for _, m := range o {
		if m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

// parseJSON reads one JSON text strictly: UTF-8, one value, no key twice, no
// NUL in a string (PostgreSQL holds none), within maxDepth and maxValues.
func parseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the text is not UTF-8")
	}
	if !json.Valid(text) {
		var broken json.RawMessage
		return nil, json.Unmarshal(text, &broken)
	}
	r := jsonReader{dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	return r.value(0)
}

// jsonReader reads a text that is known to be valid JSON.
type jsonReader struct {
	dec   *json.Decoder
	count int
}

func (r *jsonReader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	if r.count++; r.count > maxValues {
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return r.list(depth)
		}
		return r.object(depth)
	case string:
		if strings.IndexByte(token, 0) >= 0 {
			return nil, fmt.Errorf(`a string contains \u0000`)
		}
	}
	return token, nil
}

func (r *jsonReader) list(depth int) (any, error) {
	list := []any{}
	for r.dec.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := r.dec.Token()
	return list, err
}

func (r *jsonReader) object(depth int) (any, error) {
	o := object{}
	seen := map[string]bool{}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key := token.(string) // JSON allows nothing else here
		if seen[key] {
			return nil, fmt.Errorf("key '%s' is given twice", clip(key))
		}
		seen[key] = true
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key, v})
	}
	_, err := r.dec.Token()
	return o, err
}

// clip shortens what a client sent before it goes into a message.
func clip(s string) string {
	const most = 100
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// show writes a parsed value for a message, clipped.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "'" + clip(v) + "'"
	case json.Number:
		return "'" + clip(v.String()) + "'"
	case bool:
		return fmt.Sprintf("'%t'", v)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	default:
		return "an object"
	}
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always marshals
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// storable reports whether PostgreSQL can hold s.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
