package ovsdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// UUID names a row: ["uuid", "…"] on the wire (RFC 7047, section 5.1).
type UUID string

// MarshalJSON writes the wire form.
func (u UUID) MarshalJSON() ([]byte, error) { return json.Marshal([2]string{"uuid", string(u)}) }

// NamedUUID stands for the row that another operation of the same transaction
// inserts under that name.
type NamedUUID string

// MarshalJSON writes the wire form.
func (u NamedUUID) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]string{"named-uuid", string(u)})
}

// Set is a set of values; the empty set is how an optional column has no value.
type Set []any

// MarshalJSON writes the wire form.
func (s Set) MarshalJSON() ([]byte, error) {
	if s == nil {
		s = Set{}
	}
	return json.Marshal([2]any{"set", []any(s)})
}

// Map is a map of strings, such as external_ids.
type Map map[string]string

// MarshalJSON writes the wire form, sorted by key.
func (m Map) MarshalJSON() ([]byte, error) {
	pairs := make([][2]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, [2]string{k, m[k]})
	}
	return json.Marshal([2]any{"map", pairs})
}

// Refs is a map of integers to references, such as the queues of a QoS. A
// value is a UUID or NamedUUID.
type Refs map[int64]any

// MarshalJSON writes the wire form, sorted by key.
func (m Refs) MarshalJSON() ([]byte, error) {
	pairs := make([][2]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, [2]any{k, m[k]})
	}
	return json.Marshal([2]any{"map", pairs})
}

// Row is a row, or a part of one, as the server sent it, by column.
type Row map[string]json.RawMessage

// read reads a column that must be there.
func read[T any](r Row, column string, parse func([]byte) (T, error)) (T, error) {
	value, ok := r[column]
	if !ok {
		var zero T
		return zero, fmt.Errorf("ovsdb: column %s: missing", column)
	}
	v, err := parse(value)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("ovsdb: column %s: %w", column, err)
	}
	return v, nil
}

// one, several and pairs turn a reader of atoms into one of values.
func one[T any](parse func([]byte) (T, error)) func([]byte) (T, error) {
	return func(value []byte) (T, error) { return parseOne(value, parse) }
}

func several[T any](parse func([]byte) (T, error)) func([]byte) ([]T, error) {
	return func(value []byte) ([]T, error) { return parseSet(value, parse) }
}

func pairs[K comparable, V any](key func([]byte) (K, error), val func([]byte) (V, error)) func([]byte) (map[K]V, error) {
	return func(value []byte) (map[K]V, error) { return parseMap(value, key, val) }
}

// String reads a column that is a string or an optional one: "" if unset.
func (r Row) String(column string) (string, error) { return read(r, column, one(parseText)) }

// Strings reads a column that is a string or a set of strings.
func (r Row) Strings(column string) ([]string, error) { return read(r, column, several(parseText)) }

// Int reads a column that is an integer or an optional one: 0 if unset.
func (r Row) Int(column string) (int64, error) { return read(r, column, one(parseInt)) }

// Ints reads a column that is an integer or a set of integers.
func (r Row) Ints(column string) ([]int64, error) { return read(r, column, several(parseInt)) }

// Bool reads a column that is a boolean or an optional one: false if unset.
func (r Row) Bool(column string) (bool, error) { return read(r, column, one(parseBool)) }

// UUID reads a column that is a reference or an optional one, such as _uuid:
// "" if unset.
func (r Row) UUID(column string) (UUID, error) { return read(r, column, one(parseUUID)) }

// UUIDs reads a column that is a reference or a set of references.
func (r Row) UUIDs(column string) ([]UUID, error) { return read(r, column, several(parseUUID)) }

// Map reads a column that is a map of strings; nil if empty.
func (r Row) Map(column string) (map[string]string, error) {
	return read(r, column, pairs(parseText, parseText))
}

// References reads a column that is a map of integers to references, such as
// the queues of a QoS; nil if empty.
func (r Row) References(column string) (map[int64]UUID, error) {
	return read(r, column, pairs(parseInt, parseUUID))
}
