package flow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

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
		a, err := parseAction(word, true)
		if err != nil {
			return "", fmt.Errorf("%s: %w", word, err)
		}
		apply = append(apply, a)
	}
	encoded, err := canonicalInstructions(append(list, apply))
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
				words = append(words, s[start:i])
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
	return append(words, s[start:]), nil
}

// parseInstruction returns nil for a word that is an action.
func parseInstruction(word string) (openflow.Instruction, error) {
	name, arg, _ := strings.Cut(word, ":")
	switch name {
	case "goto_table":
		var g openflow.GotoTable
		err := parseTo(&g.Table, arg)
		return g, err
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

// parseAction reads one action. Only outside of ct may a ct stand.
func parseAction(word string, outside bool) (openflow.Action, error) {
	if inner, ok := call(word, "ct"); ok && outside {
		return parseCT(inner)
	}
	if inner, ok := call(word, "resubmit"); ok {
		port, table, ok := strings.Cut(inner, ",")
		if !ok {
			return nil, errors.New("no table")
		}
		return parseResubmit(port, table)
	}
	if inner, ok := call(word, "conjunction"); ok {
		return parseConjunction(inner)
	}
	if n, ok := portNumbers[word]; ok && n != openflow.PortController {
		return openflow.ActionOutput{Port: n}, nil
	}
	name, arg, ok := strings.Cut(word, ":")
	if !ok {
		return nil, errors.New("unknown action")
	}
	switch name {
	case "output":
		if strings.HasSuffix(arg, "]") {
			src, err := parseSubfield(arg, 64)
			return openflow.ActionOutputReg{Src: src, MaxLen: 0xffff}, err
		}
		n, err := parsePort(arg)
		return openflow.ActionOutput{Port: n}, err
	case "CONTROLLER":
		a := openflow.ActionOutput{Port: openflow.PortController}
		err := parseTo(&a.MaxLen, arg)
		return a, err
	case "resubmit":
		return parseResubmit(arg, "")
	case "set_field", "load", "move":
		return parseSet(name, arg)
	case "raw":
		b, err := hex.DecodeString(arg)
		if err == nil && (len(b) < 8 || len(b)%8 != 0) {
			err = errors.New("not the length of an action")
		}
		return openflow.ActionRaw(b), err
	}
	return nil, errors.New("unknown action")
}

// call returns the arguments of name(…).
func call(word, name string) (inner string, ok bool) {
	inner, ok = strings.CutPrefix(word, name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(inner, ")")
}

func parseResubmit(port, table string) (openflow.Action, error) {
	a := openflow.ActionResubmit{InPort: openflow.ResubmitInPort, Table: openflow.TableAll}
	if n, ok := portNumbers[port]; ok {
		a.InPort = uint16(n)
	} else if port != "" {
		if err := parseTo(&a.InPort, port); err != nil {
			return nil, err
		}
	}
	if table != "" {
		if err := parseTo(&a.Table, table); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func parseConjunction(s string) (openflow.Action, error) {
	var a openflow.ActionConjunction
	id, clause, _ := strings.Cut(s, ",")
	k, n, _ := strings.Cut(clause, "/")
	number, err := parseUint(k, 16)
	if err := errors.Join(err, parseTo(&a.ID, id), parseTo(&a.Clauses, n)); err != nil {
		return nil, err
	}
	if number < 1 || number > 256 {
		return nil, errors.New("clauses count from 1")
	}
	a.Clause = uint8(number - 1)
	return a, nil
}

// parseSet reads FROM->TO of set_field, load and move.
func parseSet(name, arg string) (openflow.Action, error) {
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
		value, err := n.kind.parse(from, n.id.Len())
		if err != nil {
			return nil, err
		}
		return openflow.ActionSetField{OXM: octets(n.id, value).oxm}, nil
	case "load":
		v, err := parseUint(from, 64)
		if err != nil {
			return nil, err
		}
		dst, err := parseSubfield(to, 64)
		return openflow.ActionLoad{Dst: dst, Value: v}, err
	}
	src, err := parseSubfield(from, 128)
	if err != nil {
		return nil, err
	}
	dst, err := parseSubfield(to, 128)
	if err == nil && src.Bits != dst.Bits {
		err = errors.New("from and to differ in width")
	}
	return openflow.ActionMove{Src: src, Dst: dst}, err
}

// parseSubfield reads NAME[], NAME[bit] or NAME[low..high] of at most most bits.
func parseSubfield(s string, most int) (openflow.Subfield, error) {
	name, span, ok := strings.Cut(s, "[")
	span, closed := strings.CutSuffix(span, "]")
	n := namingBySubfield[name]
	if !ok || !closed || n == nil {
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

func parseCT(s string) (openflow.Action, error) {
	a := openflow.ActionCT{Table: openflow.NoTable}
	if s == "" {
		return a, nil
	}
	words, err := splitActions(s)
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		if err := parseCTWord(&a, word); err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return a, nil
}

func parseCTWord(a *openflow.ActionCT, word string) (err error) {
	if inner, ok := call(word, "exec"); ok {
		words, err := splitActions(inner)
		if err != nil {
			return err
		}
		for _, w := range words {
			action, err := parseAction(w, false)
			if err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
			a.Exec = append(a.Exec, action)
		}
		return nil
	}
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "commit":
		a.Commit = true
	case "force":
		a.Force = true
	case "table":
		err = parseTo(&a.Table, value)
	case "zone":
		if strings.HasSuffix(value, "]") {
			a.ZoneSrc, err = parseSubfield(value, 64)
		} else {
			err = parseTo(&a.Zone, value)
		}
	case "alg":
		for port, alg := range algNames {
			if alg == value {
				a.ALG = port
				return nil
			}
		}
		err = parseTo(&a.ALG, value)
	default:
		err = errors.New("unknown argument of ct")
	}
	return err
}
