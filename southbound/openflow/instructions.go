package openflow

// Types of instructions (enum ofp_instruction_type).
const (
	instructionGotoTable     = 1
	instructionWriteMetadata = 2
	instructionWriteActions  = 3
	instructionApplyActions  = 4
)

func (i GotoTable) AppendInstruction(b []byte) []byte {
	return append(b, 0, instructionGotoTable, 0, 8, i.Table, 0, 0, 0)
}

func (i WriteMetadata) AppendInstruction(b []byte) []byte {
	b = append(b, 0, instructionWriteMetadata, 0, 24, 0, 0, 0, 0)
	b = be.AppendUint64(b, i.Metadata)
	return be.AppendUint64(b, i.Mask)
}

func (i ApplyActions) AppendInstruction(b []byte) []byte {
	start := len(b)
	b = append(b, 0, instructionApplyActions, 0, 0, 0, 0, 0, 0)
	b = AppendActions(b, i)
	putLen(b, start+2, len(b)-start)
	return b
}

func (i InstructionRaw) AppendInstruction(b []byte) []byte { return append(b, i...) }

// DecodeInstructions decodes a list of instructions.
func DecodeInstructions(b []byte) ([]Instruction, error) {
	r := reader{b: b}
	instructions := decodeInstructions(&r)
	return instructions, r.end()
}

// decodeInstructions reads instructions to the end of r.
func decodeInstructions(r *reader) []Instruction {
	var instructions []Instruction
	for len(r.b) > 0 {
		n, err := tlv8(r.b, "instruction")
		if err != nil {
			r.failWith(err)
			return nil
		}
		i, err := decodeInstruction(r.take(n))
		if err != nil {
			r.fail("%w", err)
			return nil
		}
		instructions = append(instructions, i)
	}
	return instructions
}

func decodeInstruction(b []byte) (Instruction, error) {
	switch be.Uint16(b) {
	case instructionGotoTable:
		if len(b) == 8 && allZero(b[5:]) {
			return GotoTable{Table: b[4]}, nil
		}
	case instructionWriteMetadata:
		if len(b) == 24 && allZero(b[4:8]) {
			return WriteMetadata{Metadata: be.Uint64(b[8:]), Mask: be.Uint64(b[16:])}, nil
		}
	case instructionApplyActions:
		if allZero(b[4:8]) {
			r := reader{b: b[8:]}
			return ApplyActions(decodeActions(&r, 0)), r.end()
		}
	}
	return InstructionRaw(append([]byte(nil), b...)), nil
}
