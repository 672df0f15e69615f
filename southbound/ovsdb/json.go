package ovsdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"
)

// Whole messages are checked with json.Valid, which allocates nothing. What
// follows walks over text that has passed it, and so meets no syntax error;
// it allocates only for what is kept. A value is a json.RawMessage without
// white space around it, part of the message.

func space(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// skipSpace returns text from its first byte that is not white space.
func skipSpace(text []byte) []byte {
	for len(text) > 0 && space(text[0]) {
		text = text[1:]
	}
	return text
}

// first is the first byte of text; 0 if there is none.
func first(text []byte) byte {
	if len(text) == 0 {
		return 0
	}
	return text[0]
}

// splitValue cuts the first value off text, which begins with it.
func splitValue(text []byte) (value, rest []byte) {
	var depth int
	var quoted bool
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case quoted:
			switch b {
			case '\\':
				i++ // the next byte is no closing quote
			case '"':
				if quoted = false; depth == 0 {
					return text[:i+1], text[i+1:]
				}
			}
		case b == '"':
			quoted = true
		case b == '{', b == '[':
			depth++
		case b == '}', b == ']':
			if depth == 0 { // of what the value is in
				return text[:i], text[i:]
			}
			if depth--; depth == 0 {
				return text[:i+1], text[i+1:]
			}
		case depth == 0 && (b == ',' || space(b)):
			return text[:i], text[i:]
		}
	}
	return text, nil
}

// elements are the values in an array; none if value is something else.
func elements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if first(value) != '[' {
			return
		}
		text := skipSpace(value[1:])
		for len(text) > 0 && text[0] != ']' {
			var element []byte
			element, text = splitValue(text)
			if !yield(element) {
				return
			}
			if text = skipSpace(text); first(text) != ',' {
				return
			}
			text = skipSpace(text[1:])
		}
	}
}

// members are the names, as values, and the values in an object; none if value
// is something else.
func members(value []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		if first(value) != '{' {
			return
		}
		text := skipSpace(value[1:])
		for len(text) > 0 && text[0] == '"' {
			var name, member []byte
			name, text = splitValue(text)
			if text = skipSpace(text); len(text) == 0 {
				return
			}
			member, text = splitValue(skipSpace(text[1:])) // after the colon
			if !yield(name, member) {
				return
			}
			if text = skipSpace(text); first(text) != ',' {
				return
			}
			text = skipSpace(text[1:])
		}
	}
}

// tuple takes an array of just n elements, at most 4, apart.
func tuple(value []byte, n int) (parts [4][]byte, ok bool) {
	i := 0
	for e := range elements(value) {
		if i == n {
			return parts, false
		}
		parts[i] = e
		i++
	}
	return parts, i == n
}

// is says whether value is the given string, which needs no escapes.
func is(value []byte, text string) bool {
	return len(value) == len(text)+2 && value[0] == '"' && string(value[1:len(value)-1]) == text
}

func null(value []byte) bool { return len(value) == 0 || string(value) == "null" }

// size counts the elements of an array.
func size(value []byte) (n int) {
	for range elements(value) {
		n++
	}
	return n
}

// parseText reads a string.
func parseText(value []byte) (string, error) {
	if len(value) < 2 || value[0] != '"' {
		return "", errors.New("not a string")
	}
	inner := value[1 : len(value)-1]
	for _, b := range inner {
		if b == '\\' || b >= utf8.RuneSelf {
			var s string
			err := json.Unmarshal(value, &s) // knows escapes, and replaces what is no UTF-8
			return s, err
		}
	}
	return string(inner), nil
}

func parseInt(value []byte) (int64, error) {
	if len(value) == 0 || len(value) > 20 {
		return 0, errors.New("not an integer")
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, errors.New("not an integer")
	}
	return n, nil
}

func parseBool(value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("not a boolean")
}

func parseUUID(value []byte) (UUID, error) {
	parts, ok := tuple(value, 2)
	if !ok || !is(parts[0], "uuid") {
		return "", errors.New("not a UUID")
	}
	return parseRowID(parts[1])
}

// maxUUID is the length of a UUID as text.
const maxUUID = 36

func parseRowID(value []byte) (UUID, error) {
	id, err := parseText(value)
	if err != nil || id == "" || len(id) > maxUUID {
		return "", errors.New("not a UUID")
	}
	return UUID(id), nil
}

// set is the atoms of a <value> as an array: an atom is a set of one (RFC
// 7047, section 5.1), which array is false for.
func set(value []byte) (atoms []byte, array bool, err error) {
	if first(value) != '[' {
		return value, false, nil
	}
	parts, ok := tuple(value, 2)
	if !ok || first(parts[0]) != '"' {
		return nil, false, errors.New("neither atom, set nor map")
	}
	if !is(parts[0], "set") {
		return value, false, nil
	}
	if first(parts[1]) != '[' {
		return nil, false, errors.New("a set without elements")
	}
	return parts[1], true, nil
}

// maxElements bounds a set or a map: so much is allocated before it is known
// whether there is room.
const maxElements = 1 << 16

// parseSet reads a set, or an atom as a set of one; nil if empty.
func parseSet[T any](value []byte, parse func([]byte) (T, error)) ([]T, error) {
	atoms, array, err := set(value)
	if err != nil {
		return nil, err
	}
	if !array {
		v, err := parse(atoms)
		if err != nil {
			return nil, err
		}
		return []T{v}, nil
	}
	n := size(atoms)
	switch {
	case n == 0:
		return nil, nil
	case n > maxElements:
		return nil, fmt.Errorf("more than %d values", maxElements)
	}
	list := make([]T, 0, n)
	for e := range elements(atoms) {
		v, err := parse(e)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// parseOne reads an atom or a set of at most one; zero if empty.
func parseOne[T any](value []byte, parse func([]byte) (T, error)) (v T, err error) {
	atoms, array, err := set(value)
	if err != nil {
		return v, err
	}
	if !array {
		return parse(atoms)
	}
	n := 0
	for e := range elements(atoms) {
		if n++; n > 1 {
			return v, fmt.Errorf("%d values where at most one is due", size(atoms))
		}
		if v, err = parse(e); err != nil {
			return v, err
		}
	}
	return v, nil
}

// parseMap reads a map; nil if empty.
func parseMap[K comparable, V any](value []byte, key func([]byte) (K, error), val func([]byte) (V, error)) (map[K]V, error) {
	parts, ok := tuple(value, 2)
	if !ok || !is(parts[0], "map") || first(parts[1]) != '[' {
		return nil, errors.New("not a map")
	}
	if size(parts[1]) > maxElements {
		return nil, fmt.Errorf("more than %d entries", maxElements)
	}
	var m map[K]V
	for pair := range elements(parts[1]) {
		kv, ok := tuple(pair, 2)
		if !ok {
			return nil, errors.New("a map entry is not a pair")
		}
		k, err := key(kv[0])
		if err != nil {
			return nil, err
		}
		v, err := val(kv[1])
		if err != nil {
			return nil, err
		}
		if m == nil {
			m = make(map[K]V)
		}
		m[k] = v
	}
	return m, nil
}
