package openflow

// Instruction is one instruction of a flow.
type Instruction interface {
	// AppendInstruction appends the padded TLV.
	AppendInstruction(b []byte) []byte
}

type (
	// GotoTable is OFPIT_GOTO_TABLE.
	GotoTable struct{ Table uint8 }
	// WriteMetadata is OFPIT_WRITE_METADATA.
	WriteMetadata struct{ Metadata, Mask uint64 }
	// WriteActions is OFPIT_WRITE_ACTIONS: add to the action set, which is executed
	// where the packet's way through the tables ends.
	WriteActions []Action
	// ApplyActions is OFPIT_APPLY_ACTIONS.
	ApplyActions []Action
	// ClearActions is OFPIT_CLEAR_ACTIONS: empty the action set.
	ClearActions struct{}
	// Meter is OFPIT_METER.
	Meter struct{ ID uint32 }
	// InstructionRaw is one or several whole instructions in a row that the codec does
	// not know, those of experimenters among them, or that repeat one before.
	InstructionRaw string
)

// Types of instructions (enum ofp_instruction_type).
const (
	instructionGotoTable     = 1
	instructionWriteMetadata = 2
	instructionWriteActions  = 3
	instructionApplyActions  = 4
	instructionClearActions  = 5
	instructionMeter         = 6
)

func (i GotoTable) AppendInstruction(b []byte) []byte {
	return append(b, 0, instructionGotoTable, 0, 8, i.Table, 0, 0, 0)
}

func (i WriteMetadata) AppendInstruction(b []byte) []byte {
	b = append(b, 0, instructionWriteMetadata, 0, 24, 0, 0, 0, 0)
	b = be.AppendUint64(b, i.Metadata)
	return be.AppendUint64(b, i.Mask)
}

func (i WriteActions) AppendInstruction(b []byte) []byte {
	return appendActionsInstruction(b, instructionWriteActions, i)
}

func (i ApplyActions) AppendInstruction(b []byte) []byte {
	return appendActionsInstruction(b, instructionApplyActions, i)
}

func appendActionsInstruction(b []byte, kind byte, actions []Action) []byte {
	start := len(b)
	b = append(b, 0, kind, 0, 0, 0, 0, 0, 0)
	b = AppendActions(b, actions)
	putLen(b, start+2, len(b)-start)
	return b
}

func (ClearActions) AppendInstruction(b []byte) []byte {
	return append(b, 0, instructionClearActions, 0, 8, 0, 0, 0, 0)
}

func (i Meter) AppendInstruction(b []byte) []byte {
	return be.AppendUint32(append(b, 0, instructionMeter, 0, 8), i.ID)
}

func (i InstructionRaw) AppendInstruction(b []byte) []byte { return append(b, i...) }

// DecodeInstructions decodes a list of instructions. It fails where the lengths
// of the instructions do not add up; all else that is wrong with one leaves it
// raw.
func DecodeInstructions(b []byte) ([]Instruction, error) {
	r := reader{b: b}
	instructions := decodeInstructions(&r)
	return instructions, r.end()
}

// decodeInstructions reads instructions to the end of r. A switch takes one of
// each type, so that what repeats is not worth a value of its own.
func decodeInstructions(r *reader) []Instruction {
	b := r.instructions()
	if len(b) == 0 {
		return nil
	}
	var room [8]Instruction
	instructions := room[:0]
	var seen uint32
	for len(b) > 0 {
		var i Instruction
		raw, end := 0, 0
		for i == nil && end < len(b) {
			raw = end
			end += int(be.Uint16(b[raw+2:]))
			if kind := be.Uint16(b[raw:]); kind <= instructionMeter && seen>>kind&1 == 0 {
				if i = decodeInstruction(b[raw:end]); i != nil {
					seen |= 1 << kind
				}
			}
		}
		if i == nil {
			raw = end
		}
		if raw > 0 {
			instructions = append(instructions, InstructionRaw(b[:raw]))
		}
		if i != nil {
			instructions = append(instructions, i)
		}
		b = b[end:]
	}
	return append([]Instruction(nil), instructions...)
}

// decodeInstruction decodes one whole instruction, to nil where it has to stay
// raw.
func decodeInstruction(b []byte) Instruction {
	switch be.Uint16(b) {
	case instructionGotoTable:
		if len(b) == 8 && allZero(b[5:]) {
			return GotoTable{Table: b[4]}
		}
	case instructionWriteMetadata:
		if len(b) == 24 && allZero(b[4:8]) {
			return WriteMetadata{Metadata: be.Uint64(b[8:]), Mask: be.Uint64(b[16:])}
		}
	case instructionWriteActions:
		if allZero(b[4:8]) {
			return WriteActions(new(actionDecoder).list(b[8:], false))
		}
	case instructionApplyActions:
		if allZero(b[4:8]) {
			return ApplyActions(new(actionDecoder).list(b[8:], false))
		}
	case instructionClearActions:
		if len(b) == 8 && allZero(b[4:]) {
			return ClearActions{}
		}
	case instructionMeter:
		if len(b) == 8 {
			return Meter{ID: be.Uint32(b[4:])}
		}
	}
	return nil
}
