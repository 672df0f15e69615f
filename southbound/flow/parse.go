package flow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Parse reads a flow as ovs-ofctl takes it in add-flow and prints it in dump-flows:
// attributes, match and "actions=". Counters and ages are skipped. Unlike ovs-ofctl it adds the
// prerequisites that follow from a field (tcp_src of a match without nw_proto), and refuses a match that
// lacks others where ovs-ofctl would leave fields out.
func Parse(line string) (Flow, error) {
	f, err := parse(line)
	if err != nil {
		return Flow{}, fmt.Errorf("flow: parse %.200q: %w", line, err)
	}
	return f, nil
}

func parse(line string) (Flow, error) {
	head, actions, ok := strings.Cut(line, "actions=")
	if !ok {
		return Flow{}, errors.New("no actions=")
	}
	f := Flow{Priority: 0x8000}
	p := matchParser{}
	for head = strings.TrimLeft(head, separators); head != ""; head = strings.TrimLeft(head, separators) {
		var name, value string
		var hasValue bool
		word := head
		name, value, hasValue, head = cutWord(head)
		known, err := f.parseAttribute(name, value, hasValue)
		if !known {
			err = p.field(name, value, hasValue)
		}
		if err != nil {
			return Flow{}, fmt.Errorf("%s: %w", strings.TrimRight(word[:len(word)-len(head)], separators), err)
		}
	}
	var err error
	if f.Match, err = p.match(); err != nil {
		return Flow{}, err
	}
	if f.Instructions, err = parseInstructions(actions); err != nil {
		return Flow{}, err
	}
	return f, nil
}

// separators stand between the words of a match.
const separators = ", \t\r\n"

// cutWord cuts NAME, NAME=VALUE, NAME:VALUE or NAME(VALUE) off s. A value ends at a separator
// that is not within parentheses or brackets.
func cutWord(s string) (name, value string, hasValue bool, rest string) {
	end := strings.IndexAny(s, "=:("+separators)
	if end < 0 {
		return s, "", false, ""
	}
	name, s = s[:end], s[end:]
	if strings.IndexByte(separators, s[0]) >= 0 {
		return name, "", false, s
	}
	open := s[0] == '('
	depth := 0
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(' || c == '[':
			depth++
		case depth == 0 && open && c == ')':
			return name, s[1:i], true, s[i+1:]
		case c == ')' || c == ']':
			depth--
		case depth <= 0 && !open && strings.IndexByte(separators, c) >= 0:
			return name, s[1:i], true, s[i:]
		}
	}
	return name, s[1:], true, ""
}

// parseAttribute reads what is not part of the match. known is false for
// anything else.
func (f *Flow) parseAttribute(name, value string, hasValue bool) (known bool, err error) {
	if !hasValue {
		for _, n := range flagNames {
			if n.name == name {
				f.Flags |= n.flag
				return true, nil
			}
		}
		return name == "no_readonly_table" || name == "allow_hidden_fields", nil
	}
	switch name {
	case "duration", "n_packets", "n_bytes", "idle_age", "hard_age":
		// Of a dump: says nothing of the flow itself.
	case "cookie":
		f.Cookie, err = parseUint(value, 64)
	case "table":
		err = parseTo(&f.Table, value)
	case "priority":
		err = parseTo(&f.Priority, value)
	case "idle_timeout":
		err = parseTo(&f.IdleTimeout, value)
	case "hard_timeout":
		err = parseTo(&f.HardTimeout, value)
	default:
		return false, nil
	}
	return true, err
}

// parseUint reads a number of at most n bits as C does: decimal, hex with 0x, octal with 0.
func parseUint(s string, n int) (uint64, error) {
	digits, base := s, 10
	switch {
	case strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X"):
		digits, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	v, err := strconv.ParseUint(digits, base, n)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, n)
	}
	return v, nil
}

func parseTo[T uint8 | uint16 | uint32](to *T, s string) error {
	n := 0
	for v := ^T(0); v != 0; v >>= 1 {
		n++
	}
	v, err := parseUint(s, n)
	*to = T(v)
	return err
}

// parsePort reads the number or the name of a port.
func parsePort(s string) (uint32, error) {
	if n, ok := portNumbers[strings.ToUpper(s)]; ok {
		return n, nil
	}
	n, err := parseUint(s, 32)
	return uint32(n), err
}
