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

// Row is a row, or a part of one, as the server sent it, by column.
type Row map[string]json.RawMessage

// atoms takes a <value> apart: an atom is a set of one (RFC 7047, section 5.1).
func (r Row) atoms(column string) ([]json.RawMessage, error) {
	value, ok := r[column]
	if !ok {
		return nil, fmt.Errorf("ovsdb: column %s: missing", column)
	}
	if len(value) == 0 || value[0] != '[' {
		return []json.RawMessage{value}, nil
	}
	var tagged []json.RawMessage
	var tag string
	if err := json.Unmarshal(value, &tagged); err != nil || len(tagged) != 2 {
		return nil, fmt.Errorf("ovsdb: column %s: neither atom, set nor map", column)
	}
	if err := json.Unmarshal(tagged[0], &tag); err != nil {
		return nil, fmt.Errorf("ovsdb: column %s: neither atom, set nor map", column)
	}
	if tag != "set" {
		return []json.RawMessage{value}, nil
	}
	var atoms []json.RawMessage
	if err := json.Unmarshal(tagged[1], &atoms); err != nil {
		return nil, fmt.Errorf("ovsdb: column %s: set: %w", column, err)
	}
	return atoms, nil
}

// Strings reads a column that is a string or a set of strings.
func (r Row) Strings(column string) ([]string, error) {
	atoms, err := r.atoms(column)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, a := range atoms {
		var s string
		if err := json.Unmarshal(a, &s); err != nil || string(a) == "null" {
			return nil, fmt.Errorf("ovsdb: column %s: not a string", column)
		}
		list = append(list, s)
	}
	return list, nil
}

// String reads a column that is a string or an optional one: "" if unset.
func (r Row) String(column string) (string, error) {
	list, err := r.Strings(column)
	if err != nil || len(list) == 0 {
		return "", err
	}
	if len(list) > 1 {
		return "", fmt.Errorf("ovsdb: column %s: %d values where at most one is due", column, len(list))
	}
	return list[0], nil
}

// Int reads a column that is an integer or an optional one: 0 if unset.
func (r Row) Int(column string) (int64, error) {
	atoms, err := r.atoms(column)
	if err != nil || len(atoms) == 0 {
		return 0, err
	}
	var n int64
	if err := json.Unmarshal(atoms[0], &n); err != nil || len(atoms) > 1 || string(atoms[0]) == "null" {
		return 0, fmt.Errorf("ovsdb: column %s: not one integer", column)
	}
	return n, nil
}

// Bool reads a column that is a boolean or an optional one: false if unset.
func (r Row) Bool(column string) (bool, error) {
	atoms, err := r.atoms(column)
	if err != nil || len(atoms) == 0 {
		return false, err
	}
	if text := string(atoms[0]); len(atoms) == 1 && (text == "true" || text == "false") {
		return text == "true", nil
	}
	return false, fmt.Errorf("ovsdb: column %s: not one boolean", column)
}

// UUIDs reads a column that is a reference or a set of references.
func (r Row) UUIDs(column string) ([]UUID, error) {
	atoms, err := r.atoms(column)
	if err != nil {
		return nil, err
	}
	var list []UUID
	for _, a := range atoms {
		var pair []string
		if err := json.Unmarshal(a, &pair); err != nil || len(pair) != 2 || pair[0] != "uuid" {
			return nil, fmt.Errorf("ovsdb: column %s: not a UUID", column)
		}
		list = append(list, UUID(pair[1]))
	}
	return list, nil
}

// Map reads a column that is a map of strings.
func (r Row) Map(column string) (map[string]string, error) {
	value, ok := r[column]
	if !ok {
		return nil, fmt.Errorf("ovsdb: column %s: missing", column)
	}
	var tagged []json.RawMessage
	var tag string
	var pairs [][]string
	if json.Unmarshal(value, &tagged) != nil || len(tagged) != 2 ||
		json.Unmarshal(tagged[0], &tag) != nil || tag != "map" || json.Unmarshal(tagged[1], &pairs) != nil {
		return nil, fmt.Errorf("ovsdb: column %s: not a map of strings", column)
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("ovsdb: column %s: a map entry has %d parts", column, len(p))
		}
		m[p[0]] = p[1]
	}
	return m, nil
}

// References reads a column that is a map of integers to references, such as
// the queues of a QoS; nil if empty.
func (r Row) References(column string) (map[int64]UUID, error) {
	value, ok := r[column]
	if !ok {
		return nil, fmt.Errorf("ovsdb: column %s: missing", column)
	}
	bad := fmt.Errorf("ovsdb: column %s: not a map of integers to UUIDs", column)
	var tagged []json.RawMessage
	var tag string
	var pairs [][]json.RawMessage
	if json.Unmarshal(value, &tagged) != nil || len(tagged) != 2 ||
		json.Unmarshal(tagged[0], &tag) != nil || tag != "map" || json.Unmarshal(tagged[1], &pairs) != nil {
		return nil, bad
	}
	var m map[int64]UUID
	for _, p := range pairs {
		var key int64
		var ref []string
		if len(p) != 2 || json.Unmarshal(p[0], &key) != nil || json.Unmarshal(p[1], &ref) != nil || len(ref) != 2 || ref[0] != "uuid" {
			return nil, bad
		}
		if m == nil {
			m = make(map[int64]UUID, len(pairs))
		}
		m[key] = UUID(ref[1])
	}
	return m, nil
}
