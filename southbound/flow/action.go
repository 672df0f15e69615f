package flow

import (
	"fmt"
	"math/bits"

	"github.com/macloom/macloom/southbound/openflow"
)

// NewInstructions returns the canonical encoding: in the order in which a switch
// executes and reports them, empty action lists left out. More than one
// instruction of a type is a fault of the program, and NewInstructions panics.
func NewInstructions(ins ...openflow.Instruction) Instructions {
	encoded, err := canonicalInstructions(ins)
	if err != nil {
		panic(err.Error())
	}
	return encoded
}

// executionRank is the order of execution of the instruction types 0 to 6: meter,
// apply, clear, write actions, write metadata, goto.
var executionRank = [...]int{7, 5, 4, 3, 1, 2, 0}

// readInstructions returns the canonical form of instructions as a switch reports
// them.
func readInstructions(ins openflow.Instructions) (Instructions, error) {
	return canonicalInstructions(ins.List())
}

func canonicalInstructions(ins []openflow.Instruction) (Instructions, error) {
	var room [128]byte
	b := room[:0]
	var spans [len(executionRank) + 1][2]int
	for _, i := range ins {
		start := len(b)
		switch i := i.(type) {
		case openflow.ApplyActions:
			if len(i) == 0 {
				continue
			}
			b = openflow.ApplyActions(canonicalActions(i)).AppendInstruction(b)
		case openflow.WriteMetadata:
			i.Metadata &= i.Mask
			b = i.AppendInstruction(b)
		default:
			b = i.AppendInstruction(b)
		}
		kind := -1
		if len(b)-start >= 8 {
			kind = int(b[start])<<8 | int(b[start+1])
		}
		if kind < 0 {
			return "", fmt.Errorf("flow: instruction of %d bytes", len(b)-start)
		}
		rank := len(executionRank)
		if kind < len(executionRank) {
			rank = executionRank[kind]
		}
		if spans[rank][1] != 0 {
			return "", fmt.Errorf("flow: two instructions of type %d", kind)
		}
		spans[rank] = [2]int{start, len(b)}
	}
	var sorted [128]byte
	out := sorted[:0]
	for _, s := range spans {
		out = append(out, b[s[0]:s[1]]...)
	}
	return Instructions(out), nil
}

// canonicalActions returns actions in the form that Open vSwitch reads back:
// fields within Nicira actions under their NXM ids, and a max_len for the controller only. The
// given list is not changed.
func canonicalActions(actions []openflow.Action) []openflow.Action {
	var out []openflow.Action // a copy once anything differs
	for i, a := range actions {
		c, changed := canonicalAction(a)
		if changed && out == nil {
			out = append(make([]openflow.Action, 0, len(actions)), actions[:i]...)
		}
		if out != nil {
			out = append(out, c)
		}
	}
	if out == nil {
		return actions
	}
	return out
}

func canonicalAction(a openflow.Action) (c openflow.Action, changed bool) {
	switch a := a.(type) {
	case openflow.ActionOutput:
		if a.Port != openflow.PortController && a.MaxLen != 0 {
			a.MaxLen = 0
			return a, true
		}
	case openflow.ActionLoad:
		if id := a.Dst.Field.NXM(); id != a.Dst.Field {
			a.Dst.Field = id
			return a, true
		}
	case openflow.ActionMove:
		src, dst := a.Src.Field.NXM(), a.Dst.Field.NXM()
		if src != a.Src.Field || dst != a.Dst.Field {
			a.Src.Field, a.Dst.Field = src, dst
			return a, true
		}
	case openflow.ActionOutputReg:
		if id := a.Src.Field.NXM(); id != a.Src.Field {
			a.Src.Field = id
			return a, true
		}
	case openflow.ActionCT:
		exec := canonicalActions(a.Exec)
		id := a.ZoneSrc.Field.NXM()
		if id != a.ZoneSrc.Field || len(exec) > 0 && &exec[0] != &a.Exec[0] {
			a.Exec, a.ZoneSrc.Field = exec, id
			return a, true
		}
	}
	return a, false
}

// List decodes the instructions.
func (i Instructions) List() ([]openflow.Instruction, error) {
	list, err := openflow.DecodeInstructions([]byte(i))
	if err != nil {
		return nil, fmt.Errorf("flow: decode instructions: %w", err)
	}
	return list, nil
}

// Apply executes actions at once, in their order.
func Apply(actions ...openflow.Action) openflow.Instruction { return openflow.ApplyActions(actions) }

// Goto continues in a later table.
func Goto(table uint8) openflow.Instruction { return openflow.GotoTable{Table: table} }

// WriteMetadata sets all 64 bits of the metadata.
func WriteMetadata(v uint64) openflow.Instruction {
	return openflow.WriteMetadata{Metadata: v, Mask: ^uint64(0)}
}

// Output sends to a port. A packet is never sent to the port it came from; use
// openflow.PortInPort for that.
func Output(port uint32) openflow.Action { return openflow.ActionOutput{Port: port} }

// Controller sends the first maxLen bytes to the controller, 0xffff (OFPCML_NO_BUFFER) all.
func Controller(maxLen uint16) openflow.Action {
	return openflow.ActionOutput{Port: openflow.PortController, MaxLen: maxLen}
}

// SetReg sets a whole register. It is a set-field, which is a third shorter than a load and reads
// back unchanged.
func SetReg(n int, v uint32) openflow.Action { return SetField(Reg(n, v)) }

// SetField sets a field. OpenFlow 1.3 has no mask for set-field; one run of masked bits becomes a
// load, as Open vSwitch reports it, and any other mask panics.
func SetField(f Field) openflow.Action {
	if f.raw != "" {
		panic("flow: set-field of an unknown field")
	}
	if !f.oxm.HasMask {
		return openflow.ActionSetField{OXM: f.oxm}
	}
	value, mask := f.Uint()
	lo, n := bits.TrailingZeros64(mask), bits.OnesCount64(mask)
	if f.oxm.Len > 8 || n == 0 || mask>>lo != ^uint64(0)>>(64-n) {
		panic(fmt.Sprintf("flow: set-field of %s cannot be one load", f))
	}
	return openflow.ActionLoad{
		Dst:   openflow.Subfield{Field: f.oxm.Field.NXM(), Offset: uint16(lo), Bits: uint16(n)},
		Value: value >> lo,
	}
}

// Load sets some bits.
func Load(dst openflow.Subfield, v uint64) openflow.Action {
	dst.Field = dst.Field.NXM()
	return openflow.ActionLoad{Dst: dst, Value: v}
}

// Move copies bits.
func Move(src, dst openflow.Subfield) openflow.Action {
	src.Field, dst.Field = src.Field.NXM(), dst.Field.NXM()
	return openflow.ActionMove{Src: src, Dst: dst}
}

// Bits returns a run of n bits of a field from bit lo up.
func Bits(id openflow.FieldID, lo, n int) openflow.Subfield {
	return openflow.Subfield{Field: id, Offset: uint16(lo), Bits: uint16(n)}
}

// Whole returns all bits of a field.
func Whole(id openflow.FieldID) openflow.Subfield { return Bits(id, 0, id.Bits()) }

// RegBits returns a run of n bits of a register from bit lo up.
func RegBits(r, lo, n int) openflow.Subfield { return Bits(reg(r), lo, n) }

// Resubmit looks the packet up in a table and comes back, unlike Goto.
func Resubmit(table uint8) openflow.Action {
	return openflow.ActionResubmit{InPort: openflow.ResubmitInPort, Table: table}
}

// OutputReg sends to the port that a register holds.
func OutputReg(n int) openflow.Action {
	return openflow.ActionOutputReg{Src: openflow.Subfield{Field: reg(n), Bits: 32}, MaxLen: 0xffff}
}

// Conjunction makes the flow clause k of n (k counts from 1) of conjunction id.
func Conjunction(id uint32, k, n uint8) openflow.Action {
	if k < 1 || k > n {
		panic(fmt.Sprintf("flow: clause %d of %d", k, n))
	}
	return openflow.ActionConjunction{ID: id, Clause: k - 1, Clauses: n}
}

// CTSpec says what a CT action does. The zero value sends the packet through zone 0 and nowhere
// after.
type CTSpec struct {
	Commit, Force bool
	Zone          uint16
	ZoneSrc       openflow.Subfield // where it has Bits, the zone is read from here
	Recirc        bool              // continue in Table with the connection's state
	Table         uint8
	Exec          []openflow.Action // on the connection: set ct_mark
}

// CT returns the connection tracking action.
func CT(s CTSpec) openflow.Action {
	a := openflow.ActionCT{Commit: s.Commit, Force: s.Force, Zone: s.Zone, ZoneSrc: s.ZoneSrc, Table: openflow.NoTable, Exec: s.Exec}
	if s.Recirc {
		a.Table = s.Table
	}
	if a.ZoneSrc.Bits != 0 {
		a.Zone = 0
		a.ZoneSrc.Field = a.ZoneSrc.Field.NXM()
	}
	return a
}
