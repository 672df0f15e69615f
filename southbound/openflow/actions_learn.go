package openflow

type (
	// ActionLearn is NXAST_LEARN, or NXAST_LEARN2 where Extended: add a flow, made
	// from this packet, to a table. Limit (0: none) and Result need the extended
	// form. Result, one bit, is where to store whether the limit let the flow in.
	ActionLearn struct {
		Table          uint8
		Extended       bool
		SendFlowRem    bool
		DeleteLearned  bool // with the flow that has this action
		IdleTimeout    uint16
		HardTimeout    uint16
		FinIdleTimeout uint16 // once a TCP connection ended
		FinHardTimeout uint16
		Priority       uint16
		Limit          uint32
		Cookie         uint64
		Result         Subfield
		Specs          []LearnSpec
	}

	// LearnSpec is a flow_mod_spec: one field or action of the flow to learn. Bits
	// is the width of both sides. Value is a number of 128 bits in network order.
	LearnSpec struct {
		Kind      LearnKind
		Bits      uint16
		Src       FieldID
		Dst       FieldID
		SrcOffset uint16
		DstOffset uint16
		Value     [16]byte
	}
)

// LearnKind says what a LearnSpec does.
type LearnKind uint8

// Kinds of LearnSpec. Those of a value have no Src, LearnOutput has no Dst.
const (
	LearnMatch      LearnKind = iota // match Dst on what Src holds now
	LearnMatchValue                  // match Dst on Value
	LearnLoad                        // load what Src holds now to Dst
	LearnLoadValue                   // load Value to Dst
	LearnOutput                      // output to the port that Src holds now
)

const (
	learnSendFlowRem   = 1 << 0 // NX_LEARN_F_SEND_FLOW_REM
	learnDeleteLearned = 1 << 1 // NX_LEARN_F_DELETE_LEARNED
	learnWriteResult   = 1 << 2 // NX_LEARN_F_WRITE_RESULT

	learnBits     = 0x3ff   // NX_LEARN_N_BITS_MASK
	learnToLoad   = 1 << 11 // NX_LEARN_DST_LOAD
	learnToOutput = 2 << 11 // NX_LEARN_DST_OUTPUT
	learnOfValue  = 1 << 13 // NX_LEARN_SRC_IMMEDIATE
)

// learnHeads are the headers of specs by kind, without the width.
var learnHeads = [...]uint16{0, learnOfValue, learnToLoad, learnOfValue | learnToLoad, learnToOutput}

func (k LearnKind) ofValue() bool { return k == LearnMatchValue || k == LearnLoadValue }

// valueLen is the length of a value of so many bits on the wire.
func valueLen(bits uint16) int { return 2 * ((int(bits) + 15) / 16) }

func (a ActionLearn) AppendAction(b []byte) []byte {
	start := len(b)
	subtype, flags := uint16(nxLearn), uint16(0)
	if a.Extended {
		subtype = nxLearn2
	}
	if a.SendFlowRem {
		flags |= learnSendFlowRem
	}
	if a.DeleteLearned {
		flags |= learnDeleteLearned
	}
	if a.Result.Bits != 0 {
		flags |= learnWriteResult
	}
	b = appendNicira(b, subtype, 0)
	b = be.AppendUint16(b, a.IdleTimeout)
	b = be.AppendUint16(b, a.HardTimeout)
	b = be.AppendUint16(b, a.Priority)
	b = be.AppendUint64(b, a.Cookie)
	b = be.AppendUint16(b, flags)
	b = append(b, a.Table, 0)
	b = be.AppendUint16(b, a.FinIdleTimeout)
	b = be.AppendUint16(b, a.FinHardTimeout)
	if a.Extended {
		b = be.AppendUint32(b, a.Limit)
		b = be.AppendUint16(b, a.Result.Offset)
		b = appendZeros(b, 2)
		if a.Result.Bits != 0 {
			b = be.AppendUint32(b, a.Result.Field.nxmHeader())
		}
	}
	for i := range a.Specs {
		b = a.Specs[i].appendTo(b)
	}
	return finishAction(b, start)
}

func (s *LearnSpec) appendTo(b []byte) []byte {
	if int(s.Kind) >= len(learnHeads) {
		return b
	}
	b = be.AppendUint16(b, learnHeads[s.Kind]|s.Bits&learnBits)
	if s.Kind.ofValue() {
		b = append(b, s.Value[len(s.Value)-min(len(s.Value), valueLen(s.Bits)):]...)
	} else {
		b = be.AppendUint32(b, s.Src.nxmHeader())
		b = be.AppendUint16(b, s.SrcOffset)
	}
	if s.Kind != LearnOutput {
		b = be.AppendUint32(b, s.Dst.nxmHeader())
		b = be.AppendUint16(b, s.DstOffset)
	}
	return b
}

// decodeLearn decodes a whole learn action. It takes nothing that AppendAction
// would not append.
func decodeLearn(b []byte, extended bool) Action {
	r := reader{b: b[niciraHead:]}
	a := ActionLearn{Extended: extended, IdleTimeout: r.u16(), HardTimeout: r.u16(), Priority: r.u16(), Cookie: r.u64()}
	flags := r.u16()
	a.SendFlowRem, a.DeleteLearned = flags&learnSendFlowRem != 0, flags&learnDeleteLearned != 0
	known := uint16(learnSendFlowRem | learnDeleteLearned)
	a.Table = r.u8()
	pad := uint16(r.u8())
	a.FinIdleTimeout, a.FinHardTimeout = r.u16(), r.u16()
	if extended {
		known |= learnWriteResult
		a.Limit = r.u32()
		offset := r.u16()
		pad |= r.u16()
		if flags&learnWriteResult != 0 {
			a.Result = r.subfield(offset, 1)
		} else {
			pad |= offset
		}
	}
	if r.err != nil || flags&^known != 0 || pad != 0 {
		return nil
	}
	count := r
	n := 0
	for count.moreSpecs() {
		if count.learnSpec(); count.err != nil {
			return nil
		}
		n++
	}
	if len(count.b) >= 8 || !allZero(count.b) {
		return nil // more padding than is needed
	}
	if n > 0 {
		a.Specs = make([]LearnSpec, n)
		for i := range a.Specs {
			a.Specs[i] = r.learnSpec()
		}
	}
	return a
}

// moreSpecs reports whether another spec follows, rather than padding.
func (r *reader) moreSpecs() bool { return len(r.b) >= 2 && be.Uint16(r.b) != 0 }

func (r *reader) learnSpec() (s LearnSpec) {
	head := r.u16()
	s.Bits = head & learnBits
	kind := -1
	for k, h := range learnHeads {
		if h == head&^learnBits {
			kind = k
		}
	}
	if kind < 0 || s.Bits == 0 || int(s.Bits) > 8*len(s.Value) {
		r.fail("spec of unknown form")
		return s
	}
	s.Kind = LearnKind(kind)
	if s.Kind.ofValue() {
		n := valueLen(s.Bits)
		copy(s.Value[len(s.Value)-n:], r.take(n))
	} else {
		s.Src, s.SrcOffset = r.learnField(s.Bits)
	}
	if s.Kind != LearnOutput {
		s.Dst, s.DstOffset = r.learnField(s.Bits)
	}
	return s
}

func (r *reader) learnField(bits uint16) (FieldID, uint16) {
	header := reader{b: r.take(4)}
	s := header.subfield(r.u16(), bits)
	r.adopt(&header)
	return s.Field, s.Offset
}
