package openflow

// Action is one action of an apply-actions instruction, a packet-out or the
// exec list of a CT action.
type Action interface {
	// AppendAction appends the padded TLV.
	AppendAction(b []byte) []byte
}

type (
	// ActionOutput is OFPAT_OUTPUT. MaxLen matters for PortController only.
	ActionOutput struct {
		Port   uint32
		MaxLen uint16
	}
	// ActionSetField is OFPAT_SET_FIELD; the OXM has no mask in 1.3.
	ActionSetField struct{ OXM }
	// ActionLoad is NXAST_REG_LOAD: set the bits of Dst to Value.
	ActionLoad struct {
		Dst   Subfield
		Value uint64
	}
	// ActionMove is NXAST_REG_MOVE.
	ActionMove struct{ Src, Dst Subfield }
	// ActionResubmit is NXAST_RESUBMIT_TABLE. InPort is a 16-bit port number,
	// 0xfff8 (OFPP_IN_PORT) to keep the packet's own.
	ActionResubmit struct {
		InPort uint16
		Table  uint8
	}
	// ActionOutputReg is NXAST_OUTPUT_REG: output to the port that Src holds.
	ActionOutputReg struct {
		Src    Subfield
		MaxLen uint16
	}
	// ActionCT is NXAST_CT. The zone is taken from ZoneSrc where its Bits are
	// not 0, else it is Zone. Table is where a clone of the packet continues
	// with its conntrack state; 0xff for none.
	ActionCT struct {
		Commit  bool
		Force   bool
		Zone    uint16
		ZoneSrc Subfield
		Table   uint8
		ALG     uint16
		Exec    []Action
	}
	// ActionRaw is any action that the codec does not know, whole.
	ActionRaw []byte
)

// NoTable in ActionCT.Table means that the packet does not recirculate.
const NoTable uint8 = 0xff

// Instruction is one instruction of a flow.
type Instruction interface {
	AppendInstruction(b []byte) []byte
}

type (
	// GotoTable is OFPIT_GOTO_TABLE.
	GotoTable struct{ Table uint8 }
	// WriteMetadata is OFPIT_WRITE_METADATA.
	WriteMetadata struct{ Metadata, Mask uint64 }
	// ApplyActions is OFPIT_APPLY_ACTIONS.
	ApplyActions []Action
	// InstructionRaw is any other instruction, whole.
	InstructionRaw []byte
)
