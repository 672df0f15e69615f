package flow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// maxNesting bounds actions within actions. It is not less than what is printed.
const maxNesting = 8

// parseInstructions reads what follows actions=.
func parseInstructions(s string) (Instructions, error) {
	if s = strings.TrimSpace(s); s == "drop" {
		return "", nil
	}
	words, err := splitActions(s)
	if err != nil {
		return "", err
	}
	var apply openflow.ApplyActions
	var list []openflow.Instruction
	for _, word := range words {
		instruction, err := parseInstruction(word)
		if err != nil {
			return "", fmt.Errorf("%s: %w", word, err)
		}
		if instruction != nil {
			list = append(list, instruction)
			continue
		}
		a, err := parseAction(word, 0)
		if err != nil {
			return "", fmt.Errorf("%s: %w", word, err)
		}
		apply = append(apply, a)
	}
	if len(apply) > 0 {
		list = append(list, apply)
	}
	encoded, err := canonicalInstructions(list)
	if err != nil {
		return "", err
	}
	// Decoded and encoded once more, raw parts are checked, and are canonical if
	// they hold what has a type.
	if list, err = encoded.List(); err != nil {
		return "", err
	}
	return canonicalInstructions(list)
}

// splitActions splits at the commas outside of parentheses.
func splitActions(s string) ([]string, error) {
	var words []string
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				words = append(words, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
		if depth < 0 {
			break
		}
	}
	if depth != 0 {
		return nil, errors.New("parentheses do not match")
	}
	return append(words, strings.TrimSpace(s[start:])), nil
}

// cutAction cuts NAME:ARG or NAME(ARG).
func cutAction(word string) (name, arg string) {
	i := strings.IndexAny(word, ":(")
	if i < 0 {
		return word, ""
	}
	name, arg = word[:i], word[i+1:]
	if word[i] == '(' && strings.HasSuffix(arg, ")") {
		arg = arg[:len(arg)-1]
	}
	return name, arg
}

// parseInstruction returns nil for a word that is an action.
func parseInstruction(word string) (openflow.Instruction, error) {
	name, arg := cutAction(word)
	switch name {
	case "goto_table":
		var g openflow.GotoTable
		err := parseTo(&g.Table, arg)
		return g, err
	case "meter":
		var m openflow.Meter
		err := parseTo(&m.ID, arg)
		return m, err
	case "clear_actions":
		return openflow.ClearActions{}, nil
	case "write_actions":
		actions, err := parseActions(arg, 0)
		return openflow.WriteActions(actions), err
	case "write_metadata":
		value, maskText, hasMask := strings.Cut(arg, "/")
		w := openflow.WriteMetadata{Mask: ^uint64(0)}
		var err error
		if w.Metadata, err = parseUint(value, 64); err == nil && hasMask {
			w.Mask, err = parseUint(maskText, 64)
		}
		return w, err
	case "instruction":
		b, err := hex.DecodeString(arg)
		if err == nil && len(b) < 8 {
			err = errors.New("shorter than an instruction")
		}
		return openflow.InstructionRaw(b), err
	}
	return nil, nil
}

// parseActions reads a list of actions that is nested so deep.
func parseActions(s string, depth int) ([]openflow.Action, error) {
	if s == "drop" || s == "" {
		return nil, nil
	}
	if depth > maxNesting {
		return nil, errors.New("actions are nested too deep")
	}
	words, err := splitActions(s)
	if err != nil {
		return nil, err
	}
	actions := make([]openflow.Action, len(words))
	for i, word := range words {
		if actions[i], err = parseAction(word, depth); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return actions, nil
}

// parseAction reads one action of a list that is nested so deep.
func parseAction(word string, depth int) (openflow.Action, error) {
	if n, ok := portNumbers[strings.ToUpper(word)]; ok && n != openflow.PortController {
		return openflow.ActionOutput{Port: n}, nil
	}
	name, arg := cutAction(word)
	if a := bareActions[word]; a != nil {
		return a, nil
	}
	switch name {
	case "output", "CONTROLLER", "controller", "group", "set_queue", "sample":
		return parseOutput(name, arg)
	case "set_field", "load", "move", "push", "pop", "delete_field", "set_tunnel", "set_tunnel64", "check_pkt_larger":
		return parseSetting(name, arg)
	case "push_vlan", "push_mpls", "pop_mpls", "mod_nw_ttl", "set_nw_ttl", "dec_ttl", "set_mpls_ttl":
		return parseHeader(name, arg)
	case "multipath":
		return parseMultipath(arg)
	case "bundle", "bundle_load":
		return parseBundle(name, arg)
	case "resubmit":
		return parseResubmit(arg)
	case "conjunction":
		return parseConjunction(arg)
	case "learn":
		return parseLearn(arg)
	case "ct":
		return parseCT(arg, depth)
	case "nat":
		return parseNAT(arg)
	case "clone":
		actions, err := parseActions(arg, depth+1)
		return openflow.ActionClone(actions), err
	case "note":
		b, err := parseDotted(arg)
		return openflow.ActionNote(b), err
	case "fin_timeout":
		var a openflow.ActionFinTimeout
		err := parseArguments(arg, map[string]func(string) error{
			"idle_timeout": number16(&a.Idle), "hard_timeout": number16(&a.Hard),
		}, nil)
		return a, err
	case "raw":
		b, err := hex.DecodeString(arg)
		if err == nil && (len(b) < 8 || len(b)%8 != 0) {
			err = errors.New("not the length of an action")
		}
		return openflow.ActionRaw(b), err
	}
	return nil, errors.New("unknown action")
}

// bareActions are the actions that are one word.
var bareActions = map[string]openflow.Action{
	"pop_queue": openflow.ActionPopQueue{}, "pop_vlan": openflow.ActionPopVLAN{}, "strip_vlan": openflow.ActionPopVLAN{},
	"dec_ttl": openflow.ActionDecNwTTL{}, "dec_mpls_ttl": openflow.ActionDecMPLSTTL{},
	"ct_clear": openflow.ActionCTClear{}, "exit": openflow.ActionExit{},
}

// parseArguments reads KEY=VALUE, KEY:VALUE, KEY(VALUE) and KEY, separated by commas. Words with other keys go
// to other, where there is one.
func parseArguments(s string, keys map[string]func(string) error, other func(word string) error) error {
	if s == "" {
		return nil
	}
	words, err := splitActions(s)
	if err != nil {
		return err
	}
	for _, word := range words {
		key, value := word, ""
		if i := strings.IndexAny(word, "=:("); i >= 0 {
			key, value = word[:i], word[i+1:]
			if word[i] == '(' {
				value = strings.TrimSuffix(value, ")")
			}
		}
		parse := keys[key]
		switch {
		case parse != nil:
			err = parse(value)
		case other != nil:
			err = other(word)
		default:
			err = errors.New("unknown argument")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	return nil
}

// setTrue, number16 and number32 make parsers of arguments.
func setTrue(to *bool) func(string) error {
	return func(string) error {
		*to = true
		return nil
	}
}

func number16(to *uint16) func(string) error { return func(s string) error { return parseTo(to, s) } }

func number32(to *uint32) func(string) error { return func(s string) error { return parseTo(to, s) } }

// toPort16 is number16 with the names of ports.
func toPort16(to *uint16) func(string) error {
	return func(s string) error {
		if n, ok := portNumbers[strings.ToUpper(s)]; ok {
			*to = uint16(n)
			return nil
		}
		return parseTo(to, s)
	}
}

// parseDotted reads bytes in hex, which dots may separate.
func parseDotted(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, ".", "")) }

func parseOutput(name, arg string) (openflow.Action, error) {
	switch name {
	case "group":
		var a openflow.ActionGroup
		err := parseTo(&a.ID, arg)
		return a, err
	case "set_queue":
		var a openflow.ActionSetQueue
		err := parseTo(&a.ID, arg)
		return a, err
	case "sample":
		return parseSample(arg)
	case "output":
		if strings.Contains(arg, "=") {
			var a openflow.ActionOutputTrunc
			err := parseArguments(arg, map[string]func(string) error{"port": toPort16(&a.Port), "max_len": number32(&a.MaxLen)}, nil)
			return a, err
		}
		if src, err := parseSubfield(arg, 64); err == nil {
			return openflow.ActionOutputReg{Src: src, MaxLen: 0xffff}, nil
		} else if strings.HasSuffix(arg, "]") {
			return nil, err
		}
		n, err := parsePort(arg)
		return openflow.ActionOutput{Port: n}, err
	}
	a := openflow.ActionController2{MaxLen: 0xffff, Reason: reasonAction}
	if n, err := parseUint(arg, 16); err == nil {
		a.MaxLen = uint16(n)
		return a, nil
	}
	err := parseArguments(arg, map[string]func(string) error{
		"max_len": number16(&a.MaxLen), "id": number16(&a.ID), "meter_id": number32(&a.MeterID), "pause": setTrue(&a.Pause),
		"userdata": func(s string) (err error) {
			a.Userdata, err = parseDotted(s)
			return err
		},
		"reason": func(s string) error {
			if i := slices.Index(reasonNames[:], s); i >= 0 {
				a.Reason = uint8(i)
				return nil
			}
			return parseTo(&a.Reason, s)
		},
	}, nil)
	return a, err
}

func parseSample(arg string) (openflow.Action, error) {
	a := openflow.ActionSample3{Port: noPort16}
	direction := func(d openflow.SampleDirection) func(string) error {
		return func(string) error {
			a.Direction = d
			return nil
		}
	}
	err := parseArguments(arg, map[string]func(string) error{
		"probability": number16(&a.Probability), "collector_set_id": number32(&a.CollectorSetID),
		"obs_domain_id": number32(&a.ObsDomainID), "obs_point_id": number32(&a.ObsPointID),
		"sampling_port": toPort16(&a.Port), "ingress": direction(openflow.SampleIngress), "egress": direction(openflow.SampleEgress),
	}, nil)
	return a, err
}

func parseHeader(name, arg string) (openflow.Action, error) {
	var v16 uint16
	var v8 uint8
	var err error
	switch name {
	case "dec_ttl":
		if arg == "" {
			return openflow.ActionDecNwTTL{}, nil
		}
		var ids openflow.ActionDecTTLIDs
		for id := range strings.SplitSeq(arg, ",") {
			if err := parseTo(&v16, strings.TrimSpace(id)); err != nil {
				return nil, err
			}
			ids = append(ids, v16)
		}
		return ids, nil
	case "mod_nw_ttl", "set_nw_ttl", "set_mpls_ttl":
		err = parseTo(&v8, arg)
	default:
		err = parseTo(&v16, arg)
	}
	switch name {
	case "push_vlan":
		return openflow.ActionPushVLAN{EthType: v16}, err
	case "push_mpls":
		return openflow.ActionPushMPLS{EthType: v16}, err
	case "pop_mpls":
		return openflow.ActionPopMPLS{EthType: v16}, err
	case "mod_nw_ttl", "set_nw_ttl":
		return openflow.ActionSetNwTTL{TTL: v8}, err
	}
	return openflow.ActionSetMPLSTTL{TTL: v8}, err
}

// parseSetting reads the actions that write fields, most of them FROM->TO.
func parseSetting(name, arg string) (openflow.Action, error) {
	switch name {
	case "push":
		src, err := parseSubfield(arg, 1024)
		return openflow.ActionPush{Src: src}, err
	case "pop":
		dst, err := parseSubfield(arg, 1024)
		return openflow.ActionPop{Dst: dst}, err
	case "set_tunnel", "set_tunnel64":
		id, err := parseUint(arg, 64)
		return openflow.ActionSetTunnel64{ID: id}, err
	case "delete_field":
		var n uint8
		digits, ok := strings.CutPrefix(arg, "tun_metadata")
		if !ok || parseTo(&n, digits) != nil || n >= tunnelOptions {
			return nil, errors.New("not a tunnel option")
		}
		return openflow.ActionDeleteField{Field: tunnelOption0 + openflow.FieldID(n), Len: tunnelOptionLen}, nil
	}
	from, to, ok := strings.Cut(arg, "->")
	if !ok {
		return nil, errors.New("no ->")
	}
	switch name {
	case "set_field":
		n := namingBySet[to]
		if n == nil {
			return nil, fmt.Errorf("unknown field %s", to)
		}
		f, err := parseField(n.id, n.kind, from)
		if err != nil {
			return nil, err
		}
		return SetField(f), nil
	case "load":
		v, err := parseUint(from, 64)
		if err != nil {
			return nil, err
		}
		dst, err := parseSubfield(to, 64)
		if err == nil && dst.Bits < 64 && v>>dst.Bits != 0 {
			err = fmt.Errorf("%s is more than %d bits", from, dst.Bits)
		}
		return openflow.ActionLoad{Dst: dst, Value: v}, err
	case "check_pkt_larger":
		var n uint16
		if err := parseTo(&n, strings.TrimSuffix(from, ")")); err != nil {
			return nil, err
		}
		dst, err := parseSubfield(to, 1)
		return openflow.ActionCheckPktLarger{Len: n, Dst: dst}, err
	}
	src, dst, err := parseSubfields(from, to)
	return openflow.ActionMove{Src: src, Dst: dst}, err
}

// parseSubfields reads two parts of the same width.
func parseSubfields(from, to string) (src, dst openflow.Subfield, err error) {
	if src, err = parseSubfield(from, 1024); err != nil {
		return src, dst, err
	}
	if dst, err = parseSubfield(to, 1024); err == nil && src.Bits != dst.Bits {
		err = errors.New("from and to differ in width")
	}
	return src, dst, err
}

// parseSubfield reads NAME, NAME[], NAME[bit] or NAME[low..high] of at most most bits.
func parseSubfield(s string, most int) (openflow.Subfield, error) {
	name, span, hasSpan := strings.Cut(s, "[")
	span, closed := strings.CutSuffix(span, "]")
	n := namingBySubfield[name]
	if n == nil {
		n = namingBySet[name]
	}
	if hasSpan != closed || n == nil {
		return openflow.Subfield{}, fmt.Errorf("%q is not a part of a field", s)
	}
	sub := Whole(n.id.NXM())
	if span != "" {
		low, high, isRange := strings.Cut(span, "..")
		if !isRange {
			high = low
		}
		lo, err1 := parseUint(low, 16)
		hi, err2 := parseUint(high, 16)
		if err := errors.Join(err1, err2); err != nil {
			return sub, err
		}
		if hi < lo || int(hi) >= int(sub.Bits) {
			return sub, fmt.Errorf("%s has no bits %s", name, span)
		}
		sub.Offset, sub.Bits = uint16(lo), uint16(hi-lo+1)
	}
	if int(sub.Bits) > most {
		return sub, fmt.Errorf("%s is more than %d bits", s, most)
	}
	return sub, nil
}
