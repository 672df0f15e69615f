package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// record is an object of an answer, its attributes in the server's order and
// as the server wrote them, so that nothing is lost on the way through.
type record []attribute

type attribute struct {
	name  string
	value json.RawMessage
}

func parseRecord(raw json.RawMessage) (record, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf("answer: %.40q where an object was expected", raw)
	}
	var r record
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		a := attribute{name: name.(string)} // JSON allows nothing else here
		if err := dec.Decode(&a.value); err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		r = append(r, a)
	}
	return r, nil
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
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
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

// node turns JSON into YAML with the order of its members.
func node(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if token == '[' {
			n.Kind = yaml.SequenceNode
		}
		for dec.More() { // of a mapping, keys and values in turn
			inner, err := node(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, inner)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := dec.Token()
		return n, err
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: token.String()}, nil
	default:
		// Encode knows which strings YAML would read as something else, such
		// as 12:34:56:12:34:56, a number of base 60 in YAML 1.1.
		n := &yaml.Node{}
		return n, n.Encode(token)
	}
}

func toYAML(raw json.RawMessage) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	n, err := node(dec)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return n, nil
}
