package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// record is an object of an answer, its attributes in the server's order and
// as the server wrote them, so that nothing is lost on the way through.
type record []attribute

type attribute struct {
	name  string
	value json.RawMessage
}

// parseRecord takes an object apart. The text must be valid JSON, as what the
// client hands on is: it is not looked at closer than it must be.
func parseRecord(raw json.RawMessage) (record, error) {
	var r record
	parts, err := split(raw, '{', '}')
	for i := 0; i+1 < len(parts); i += 2 {
		r = append(r, attribute{unquote(parts[i]), parts[i+1]})
	}
	return r, err
}

// split returns the values of an array, or the keys and values of an object.
func split(raw json.RawMessage, open, end byte) ([]json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != open {
		return nil, fmt.Errorf("answer: %.40q where %c was expected", raw, open)
	}
	var parts []json.RawMessage
	for i := 1; i < len(raw); {
		switch raw[i] {
		case end:
			return parts, nil
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
		default:
			n := valueLen(raw[i:])
			parts = append(parts, raw[i:i+n:i+n])
			i += n
		}
	}
	return nil, fmt.Errorf("answer: %.40q has no end", raw)
}

// valueLen is the length of the JSON value that raw begins with.
func valueLen(raw json.RawMessage) int {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(raw))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return max(i, 1) // of what is around the value
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(raw)
}

// at returns the value at a path such as utilisation.free; nil: there is none.
func (r record) at(path string) json.RawMessage {
	name, rest, nested := strings.Cut(path, ".")
	for _, a := range r {
		switch {
		case a.name == path:
			return a.value
		case nested && a.name == name:
			if inner, err := parseRecord(a.value); err == nil {
				return inner.at(rest)
			}
		}
	}
	return nil
}

// text is the value at a path for people.
func (r record) text(path string) string { return cell(r.at(path)) }

// cell writes a value for people: strings and lists of them bare, null as
// nothing, small objects as key=value, everything else as it is.
func cell(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case 'n':
		return ""
	case '"':
		return unquote(raw)
	case '[':
		items, err := split(raw, '[', ']')
		if err != nil {
			return string(raw)
		}
		texts := make([]string, len(items))
		for i, item := range items {
			if !scalar(item) {
				return compact(raw)
			}
			texts[i] = cell(item)
		}
		return strings.Join(texts, ",")
	case '{':
		r, err := parseRecord(raw)
		if err != nil {
			return string(raw)
		}
		texts := make([]string, len(r))
		for i, a := range r {
			if !scalar(a.value) {
				return compact(raw)
			}
			texts[i] = a.name + "=" + cell(a.value)
		}
		return strings.Join(texts, " ")
	}
	return string(raw)
}

func scalar(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] != '{' && raw[0] != '['
}

func unquote(raw json.RawMessage) string {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : n-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}

func quote(s string) json.RawMessage {
	raw, _ := json.Marshal(s) // a string always marshals
	return raw
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// visible writes control characters out: a tenant's name may hold what would
// move the cursor of whoever lists it.
func visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// plainYAML are the strings that mean themselves in YAML without quotes,
// but for wordsYAML, some of which only YAML 1.1 reads as something else.
var (
	plainYAML = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)
	wordsYAML = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// appendYAML appends a value in block style, to stand at a column: the rest of
// the line is its own. All strings but the plainest are quoted, MAC addresses
// among them: 12:34:56:12:34:56 is a number of base 60 in YAML 1.1.
func appendYAML(b []byte, raw json.RawMessage, column int) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case scalar(raw):
		return append(appendScalarYAML(b, raw), '\n'), nil
	case raw[0] == '[':
		items, err := split(raw, '[', ']')
		if err == nil && len(items) == 0 {
			return append(b, "[]\n"...), nil
		}
		for i, item := range items {
			if i > 0 {
				b = appendBlanks(b, column)
			}
			b = append(b, "- "...)
			if b, err = appendYAML(b, item, column+2); err != nil {
				return nil, err
			}
		}
		return b, err
	}
	r, err := parseRecord(raw)
	if err == nil && len(r) == 0 {
		return append(b, "{}\n"...), nil
	}
	for i, a := range r {
		if i > 0 {
			b = appendBlanks(b, column)
		}
		b = append(appendScalarYAML(b, quote(a.name)), ':')
		value := bytes.TrimSpace(a.value)
		if scalar(value) || emptyJSON(value) {
			b = append(b, ' ')
		} else {
			b = appendBlanks(append(b, '\n'), column+2)
		}
		if b, err = appendYAML(b, value, column+2); err != nil {
			return nil, err
		}
	}
	return b, err
}

func appendScalarYAML(b []byte, raw json.RawMessage) []byte {
	if raw[0] != '"' {
		return append(b, raw...)
	}
	s := unquote(raw)
	if plainYAML.MatchString(s) && !wordsYAML.MatchString(s) {
		return append(b, s...)
	}
	// Written anew: JSON has escapes that YAML reads otherwise, such as the two
	// halves of a rune, and YAML refuses characters that JSON lets pass.
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r <= 0xffff:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
	}
	return append(b, '"')
}

func appendBlanks(b []byte, n int) []byte {
	for range n {
		b = append(b, ' ')
	}
	return b
}

// emptyJSON says whether raw is an object or an array without anything in it.
func emptyJSON(raw json.RawMessage) bool {
	return len(raw) >= 2 && (raw[0] == '{' || raw[0] == '[') && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}
