package flow

import (
	"encoding/binary"
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// NewInstructions returns the canonical encoding: in the order in which a switch
// executes and reports them, empty action lists left out, actions in the form in which
// a switch reports them. More than one instruction of a type is a fault of the program,
// and NewInstructions panics.
func NewInstructions(ins ...openflow.Instruction) Instructions {
	encoded, err := canonicalInstructions(ins)
	if err != nil {
		panic(err.Error())
	}
	return encoded
}

// List decodes the instructions.
func (i Instructions) List() ([]openflow.Instruction, error) {
	list, err := openflow.DecodeInstructions([]byte(i))
	if err != nil {
		return nil, fmt.Errorf("flow: decode instructions: %w", err)
	}
	return list, nil
}

// readInstructions returns the canonical form of instructions as a switch reports
// them.
func readInstructions(ins openflow.Instructions) (Instructions, error) {
	if isCanonical(ins) {
		return Instructions(ins), nil
	}
	return canonicalInstructions(ins.List())
}

// executionRank is the order of execution of the instruction types 0 to 6: meter,
// apply, clear, write actions, write metadata, goto. Types that no switch is
// known to have follow.
var executionRank = [...]int{6, 5, 4, 3, 1, 2, 0}

func canonicalInstructions(ins []openflow.Instruction) (Instructions, error) {
	var room [256]byte
	b := room[:0]
	for _, i := range ins {
		start := len(b)
		switch i := i.(type) {
		case openflow.ApplyActions:
			b = openflow.ApplyActions(canonicalActions(i)).AppendInstruction(b)
		case openflow.WriteActions:
			b = openflow.WriteActions(canonicalActions(i)).AppendInstruction(b)
		case openflow.WriteMetadata:
			i.Metadata &= i.Mask
			b = i.AppendInstruction(b)
		default:
			b = i.AppendInstruction(b)
		}
		if len(b)-start < 8 {
			return "", fmt.Errorf("flow: instruction of %d bytes", len(b)-start)
		}
	}
	return sortInstructions(b)
}

// sortInstructions brings whole instructions into the order of execution and leaves
// out empty lists of actions.
func sortInstructions(b []byte) (Instructions, error) {
	var known [len(executionRank)][]byte
	var room [256]byte
	var unknown []byte
	for len(b) > 0 {
		if len(b) < 8 {
			return "", fmt.Errorf("flow: instruction of %d bytes", len(b))
		}
		kind, n := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
		if n < 8 || n > len(b) {
			return "", fmt.Errorf("flow: instruction of type %d: length %d of %d bytes", kind, n, len(b))
		}
		i := b[:n]
		b = b[n:]
		switch {
		case kind >= len(executionRank) || kind == 0:
			unknown = append(unknown, i...)
		case known[executionRank[kind]] != nil:
			return "", fmt.Errorf("flow: two instructions of type %d", kind)
		default:
			known[executionRank[kind]] = i
		}
	}
	out := room[:0]
	for rank, i := range known {
		lists := rank == executionRank[3] || rank == executionRank[4] // write and apply actions
		if !lists || len(i) > 8 {
			out = append(out, i...)
		}
	}
	return Instructions(append(out, unknown...)), nil
}

// canonicalActions returns actions in the form in which Open vSwitch reports them
// over OpenFlow 1.3. Where it reports one thing in the form in which it came (a load of
// a whole field, or a set-field), so does this; where it has two forms for what ovs-ofctl
// writes in one way, this has the one that ovs-ofctl installs. The given list is not changed.
func canonicalActions(actions []openflow.Action) []openflow.Action {
	var out []openflow.Action // a copy once anything differs
	for i, a := range actions {
		c, more, changed := canonicalAction(a)
		if changed && out == nil {
			out = append(make([]openflow.Action, 0, len(actions)+len(more)), actions[:i]...)
		}
		if out == nil {
			continue
		}
		if c != nil {
			out = append(out, c)
		}
		out = append(out, more...)
	}
	if out == nil {
		return actions
	}
	return out
}

// canonicalAction returns an action, none, or several in more.
func canonicalAction(a openflow.Action) (c openflow.Action, more []openflow.Action, changed bool) {
	switch a := a.(type) {
	case openflow.ActionOutput:
		if a.Port != openflow.PortController && a.MaxLen != 0 {
			a.MaxLen = 0
			return a, nil, true
		}
	case openflow.ActionSetField:
		if a.HasMask {
			return loads(a.OXM)
		}
		if id := a.Field.InMatch(); id != a.Field {
			a.Field = id
			return a, nil, true
		}
	case openflow.ActionLoad2:
		return loads(a.OXM)
	case openflow.ActionSetTunnel:
		return openflow.ActionSetField{OXM: TunnelID(uint64(a.ID)).oxm}, nil, true
	case openflow.ActionSetTunnel64:
		return openflow.ActionSetField{OXM: TunnelID(a.ID).oxm}, nil, true
	case openflow.ActionDeleteField:
		if a.Field-tunnelOption0 < tunnelOptions && a.Len != tunnelOptionLen {
			a.Len = tunnelOptionLen
			return a, nil, true
		}
	case openflow.ActionCopyField:
		return openflow.ActionMove{Src: nxm(a.Src), Dst: nxm(a.Dst)}, nil, true
	case openflow.ActionOutputReg2:
		return openflow.ActionOutputReg{Src: nxm(a.Src), MaxLen: a.MaxLen}, nil, true
	case openflow.ActionResubmitPort:
		return openflow.ActionResubmit{InPort: a.InPort, Table: openflow.TableAll}, nil, true
	case openflow.ActionController2:
		if len(a.Userdata) == 0 && !a.Pause && a.MeterID == 0 {
			short := openflow.ActionController{MaxLen: a.MaxLen, ID: a.ID, Reason: a.Reason}
			return canonicalController(short), nil, true
		}
	case openflow.ActionController:
		c := canonicalController(a)
		return c, nil, c != openflow.Action(a)
	case openflow.ActionSample3:
		if a.Direction == openflow.SampleDefault {
			return canonicalSample(openflow.ActionSample2{ActionSample: a.ActionSample, Port: a.Port}), nil, true
		}
	case openflow.ActionSample2:
		c := canonicalSample(a)
		return c, nil, c != openflow.Action(a)
	case openflow.ActionNAT:
		c := canonicalNAT(a)
		return c, nil, c != a
	case openflow.ActionClone:
		return openflow.ActionClone(canonicalActions(a)), nil, true
	case openflow.ActionCT:
		a.ZoneSrc, a.Exec = nxm(a.ZoneSrc), canonicalActions(a.Exec)
		return a, nil, true
	case openflow.ActionLearn:
		return canonicalLearn(a), nil, true
	default:
		return canonicalParts(a)
	}
	return a, nil, false
}

// canonicalParts is canonicalAction for those of which only the names of fields differ.
func canonicalParts(a openflow.Action) (c openflow.Action, more []openflow.Action, changed bool) {
	switch a := a.(type) {
	case openflow.ActionLoad:
		if dst := nxm(a.Dst); dst != a.Dst {
			a.Dst = dst
			return a, nil, true
		}
	case openflow.ActionMove:
		if src, dst := nxm(a.Src), nxm(a.Dst); src != a.Src || dst != a.Dst {
			return openflow.ActionMove{Src: src, Dst: dst}, nil, true
		}
	case openflow.ActionOutputReg:
		a.Src = nxm(a.Src)
		return a, nil, true
	case openflow.ActionPush:
		a.Src = nxm(a.Src)
		return a, nil, true
	case openflow.ActionPop:
		a.Dst = nxm(a.Dst)
		return a, nil, true
	case openflow.ActionMultipath:
		a.Dst = nxm(a.Dst)
		return a, nil, true
	case openflow.ActionBundleLoad:
		a.Dst = nxm(a.Dst)
		return a, nil, true
	case openflow.ActionCheckPktLarger:
		a.Dst = nxm(a.Dst)
		return a, nil, true
	}
	return a, nil, false
}

// nxm names the field as Nicira's actions do.
func nxm(s openflow.Subfield) openflow.Subfield {
	s.Field = s.Field.NXM()
	return s
}

// loads returns what a set-field with a mask becomes: a set-field without one where the
// mask is full, else a load for each run of bits, at most 64 of them, from the lowest up.
func loads(o openflow.OXM) (c openflow.Action, more []openflow.Action, changed bool) {
	normalise(&o)
	o.Field = o.Field.InMatch()
	if !o.HasMask {
		return openflow.ActionSetField{OXM: o}, nil, true
	}
	n := o.Field.Bits()
	if n == 0 || int(o.Len) != o.Field.Len() || o.Field.NXM().Class() == 0xffff {
		return openflow.ActionLoad2{OXM: o}, nil, true // there is no load of it
	}
	bit := func(v *[16]byte, i int) uint64 { return uint64(v[int(o.Len)-1-i/8] >> (i % 8) & 1) }
	for lo := 0; lo < n; lo++ {
		if bit(&o.Mask, lo) == 0 {
			continue
		}
		a := openflow.ActionLoad{Dst: Bits(o.Field.NXM(), lo, 0)}
		for ; lo < n && a.Dst.Bits < 64 && bit(&o.Mask, lo) != 0; lo++ {
			a.Value |= bit(&o.Value, lo) << a.Dst.Bits
			a.Dst.Bits++
		}
		lo--
		more = append(more, a)
	}
	return nil, more, true
}

// canonicalController is an output where that says all.
func canonicalController(a openflow.ActionController) openflow.Action {
	if a.ID == 0 && a.Reason == reasonAction {
		return Controller(a.MaxLen)
	}
	return a
}

func canonicalSample(a openflow.ActionSample2) openflow.Action {
	if a.Port == uint16(openflow.PortAny&0xffff) {
		return a.ActionSample
	}
	return a
}

func canonicalLearn(a openflow.ActionLearn) openflow.Action {
	a.Extended = a.Limit != 0 || a.Result.Bits != 0
	a.Result = nxm(a.Result)
	specs := make([]openflow.LearnSpec, len(a.Specs))
	for i, s := range a.Specs {
		s.Src, s.Dst = s.Src.NXM(), s.Dst.NXM()
		specs[i] = s
	}
	a.Specs = specs
	return a
}
