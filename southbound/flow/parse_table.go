package flow

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/southbound/openflow"
)

// parseResubmit reads PORT or PORT,TABLE or PORT,TABLE,ct.
func parseResubmit(arg string) (openflow.Action, error) {
	inPort, table := openflow.ResubmitInPort, openflow.TableAll
	parts := strings.Split(arg, ",")
	if len(parts) > 3 || len(parts) == 3 && parts[2] != "ct" || strings.Trim(arg, ",") == "" {
		return nil, errors.New("not PORT, PORT,TABLE or PORT,TABLE,ct")
	}
	if parts[0] != "" {
		if err := toPort16(&inPort)(parts[0]); err != nil {
			return nil, err
		}
	}
	if len(parts) > 1 && parts[1] != "" {
		if err := parseTo(&table, parts[1]); err != nil {
			return nil, err
		}
	}
	if len(parts) == 3 {
		return openflow.ActionResubmitCT{InPort: inPort, Table: table}, nil
	}
	return openflow.ActionResubmit{InPort: inPort, Table: table}, nil
}

func parseConjunction(s string) (openflow.Action, error) {
	var a openflow.ActionConjunction
	id, clause, _ := strings.Cut(s, ",")
	k, n, _ := strings.Cut(strings.TrimSpace(clause), "/")
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

// index finds a word among those of a kind.
func index(words []string, word, what string) (uint16, error) {
	i := slices.Index(words, word)
	if i < 0 {
		return 0, fmt.Errorf("%q is not %s", word, what)
	}
	return uint16(i), nil
}

// parseMultipath reads FIELDS,BASIS,ALGORITHM,LINKS,ARG,DST.
func parseMultipath(s string) (openflow.Action, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 6 {
		return nil, errors.New("multipath has six arguments")
	}
	var a openflow.ActionMultipath
	fields, err1 := index(hashNames[:], parts[0], "what can be hashed")
	algorithm, err2 := index(multipathNames[:], parts[2], "an algorithm of multipath")
	a.Fields, a.Algorithm = openflow.HashFields(fields), openflow.MultipathAlgorithm(algorithm)
	links, err3 := parseUint(parts[3], 32)
	if err3 == nil && (links < 1 || links > 65536) {
		err3 = fmt.Errorf("%d links are not from 1 to 65536", links)
	}
	a.MaxLink = uint16(links - 1)
	var err4 error
	a.Dst, err4 = parseSubfield(parts[5], 64)
	return a, errors.Join(err1, err2, err3, err4, parseTo(&a.Basis, parts[1]), parseTo(&a.Arg, parts[4]))
}

// parseBundle reads FIELDS,BASIS,ALGORITHM,ofport,[DST,]members:PORT,….
func parseBundle(name, s string) (openflow.Action, error) {
	head, members, ok := strings.Cut(s, "members:")
	parts := strings.Split(strings.TrimSuffix(head, ","), ",")
	want := 4
	if name == "bundle_load" {
		want = 5
	}
	if !ok || len(parts) != want || parts[3] != "ofport" {
		return nil, fmt.Errorf("%s has %d arguments, the fourth ofport, and then members:", name, want)
	}
	var a openflow.ActionBundle
	fields, err1 := index(hashNames[:], parts[0], "what can be hashed")
	algorithm, err2 := index(bundleNames[:], parts[2], "an algorithm of bundle")
	a.Fields, a.Algorithm = openflow.HashFields(fields), openflow.BundleAlgorithm(algorithm)
	if err := errors.Join(err1, err2, parseTo(&a.Basis, parts[1])); err != nil {
		return nil, err
	}
	for members != "" {
		var member string
		member, members, _ = strings.Cut(members, ",")
		var port uint16
		if err := toPort16(&port)(member); err != nil {
			return nil, err
		}
		a.Members = append(a.Members, port)
	}
	if name == "bundle" {
		return a, nil
	}
	dst, err := parseSubfield(parts[4], 64)
	return openflow.ActionBundleLoad{ActionBundle: a, Dst: dst}, err
}

func parseCT(s string, depth int) (openflow.Action, error) {
	a := openflow.ActionCT{Table: openflow.NoTable}
	err := parseArguments(s, map[string]func(string) error{
		"commit": setTrue(&a.Commit), "force": setTrue(&a.Force),
		"table": func(s string) error { return parseTo(&a.Table, s) },
		"zone": func(s string) (err error) {
			if s == "" || s[0] >= '0' && s[0] <= '9' {
				return parseTo(&a.Zone, s)
			}
			a.ZoneSrc, err = parseSubfield(s, 64)
			return err
		},
		"alg": func(s string) error {
			for port, alg := range algNames {
				if alg == s {
					a.ALG = port
					return nil
				}
			}
			return parseTo(&a.ALG, s)
		},
		"nat": func(s string) error {
			nat, err := parseNAT(s)
			a.Exec = append(a.Exec, nat)
			return err
		},
		"exec": func(s string) error {
			actions, err := parseActions(s, depth+1)
			a.Exec = append(a.Exec, actions...)
			return err
		},
	}, nil)
	return a, err
}

func parseNAT(s string) (openflow.Action, error) {
	var a openflow.ActionNAT
	flag := func(f openflow.NATFlags) func(string) error {
		return func(string) error {
			a.Flags |= f
			return nil
		}
	}
	direction := func(f openflow.NATFlags) func(string) error {
		return func(s string) error {
			a.Flags |= f
			if s == "" {
				return nil
			}
			return parseNATRange(&a, s)
		}
	}
	err := parseArguments(s, map[string]func(string) error{
		"src": direction(openflow.NATSrc), "dst": direction(openflow.NATDst),
		"persistent": flag(openflow.NATPersistent), "hash": flag(openflow.NATHash), "random": flag(openflow.NATRandom),
	}, nil)
	if fault := natFault(a); err == nil && fault != "" {
		err = errors.New(fault)
	}
	return a, err
}

// parseNATRange reads ADDR[-ADDR][:PORT[-PORT]]; brackets around IPv6 addresses tell them from a port.
func parseNATRange(a *openflow.ActionNAT, s string) error {
	addrs, ports := s, ""
	last := strings.LastIndexByte(s, ':')
	if bracket := strings.LastIndexByte(s, ']'); bracket >= 0 && last > bracket || bracket < 0 && strings.Count(s, ":") == 1 {
		addrs, ports = s[:last], s[last+1:]
		if ports == "" {
			return errors.New("no port after the colon")
		}
	}
	lo, hi, isRange := strings.Cut(addrs, "-")
	var err error
	addr := func(s string) netip.Addr {
		if inner, ok := strings.CutPrefix(s, "["); ok {
			s = strings.TrimSuffix(inner, "]")
		}
		addr, e := netip.ParseAddr(s)
		if e == nil && addr.Zone() != "" {
			e = errors.New("an address of nat has no zone")
		}
		err = errors.Join(err, e)
		return addr
	}
	if a.AddrMin = addr(lo); isRange {
		a.AddrMax = addr(hi)
	}
	if ports == "" || err != nil {
		return err
	}
	lo, hi, isRange = strings.Cut(ports, "-")
	err = parseTo(&a.PortMin, lo)
	if isRange {
		err = errors.Join(err, parseTo(&a.PortMax, hi))
	}
	if err == nil && (a.PortMin == 0 || isRange && a.PortMax == 0) {
		err = errors.New("nat to port 0")
	}
	return err
}

func parseLearn(s string) (openflow.Action, error) {
	a := openflow.ActionLearn{Table: 1, Priority: defaultPriority}
	err := parseArguments(s, map[string]func(string) error{
		"table":        func(s string) error { return parseTo(&a.Table, s) },
		"priority":     number16(&a.Priority),
		"idle_timeout": number16(&a.IdleTimeout), "hard_timeout": number16(&a.HardTimeout),
		"fin_idle_timeout": number16(&a.FinIdleTimeout), "fin_hard_timeout": number16(&a.FinHardTimeout),
		"send_flow_rem": setTrue(&a.SendFlowRem), "delete_learned": setTrue(&a.DeleteLearned),
		"limit": number32(&a.Limit),
		"cookie": func(s string) (err error) {
			a.Cookie, err = parseUint(s, 64)
			return err
		},
		"result_dst": func(s string) (err error) {
			a.Result, err = parseSubfield(s, 1)
			return err
		},
	}, func(word string) error {
		spec, err := parseLearnSpec(word)
		a.Specs = append(a.Specs, spec)
		return err
	})
	a.Extended = a.Limit != 0 || a.Result.Bits != 0
	return a, err
}

// parseLearnSpec reads load:FROM->TO, output:FROM, FIELD, FIELD=FIELD or FIELD=VALUE.
func parseLearnSpec(word string) (openflow.LearnSpec, error) {
	if from, ok := strings.CutPrefix(word, "output:"); ok {
		src, err := parseSubfield(from, 64)
		return LearnOutput(src), err
	}
	if arg, ok := strings.CutPrefix(word, "load:"); ok {
		from, to, ok := strings.Cut(arg, "->")
		if !ok {
			return openflow.LearnSpec{}, errors.New("no ->")
		}
		if from != "" && from[0] >= '0' && from[0] <= '9' {
			dst, err := parseSubfield(to, 128)
			if err != nil {
				return openflow.LearnSpec{}, err
			}
			return learnValue(openflow.LearnLoadValue, dst, hexadecimal, from)
		}
		src, dst, err := parseSubfields(from, to)
		if err != nil {
			return openflow.LearnSpec{}, err
		}
		return LearnLoad(src, dst), nil
	}
	to, from, isPair := strings.Cut(word, "=")
	dst, err := parseSubfield(to, 128)
	if err != nil {
		return openflow.LearnSpec{}, err
	}
	if !isPair {
		return LearnSame(dst), nil
	}
	if src, err := parseSubfield(from, 128); err == nil {
		if src.Bits != dst.Bits {
			return openflow.LearnSpec{}, errors.New("from and to differ in width")
		}
		return LearnMatch(dst, src), nil
	}
	k := hexadecimal
	if dst == Whole(dst.Field) {
		k = namingByID[dst.Field].kind
	}
	return learnValue(openflow.LearnMatchValue, dst, k, from)
}

// learnValue reads a value of the kind for bits of a field.
func learnValue(to openflow.LearnKind, dst openflow.Subfield, k kind, s string) (openflow.LearnSpec, error) {
	spec := learnPart(to, openflow.Subfield{}, dst)
	f, err := parseField(dst.Field, k, s)
	if err == nil && !f.Exact() {
		err = errors.New("a value to learn has no mask")
	}
	if err != nil {
		return spec, err
	}
	copy(spec.Value[len(spec.Value)-len(f.Value()):], f.Value())
	if !fits(spec.Value[:], int(dst.Bits)) {
		return spec, fmt.Errorf("%s is more than %d bits", s, dst.Bits)
	}
	return spec, nil
}
