package openflow

// Types of actions (enum ofp_action_type) and subtypes of Nicira's.
const (
	actionOutput       = 0
	actionSetField     = 25
	actionExperimenter = 0xffff

	nxRegMove       = 6  // NXAST_REG_MOVE
	nxRegLoad       = 7  // NXAST_REG_LOAD
	nxResubmitTable = 14 // NXAST_RESUBMIT_TABLE
	nxOutputReg     = 15 // NXAST_OUTPUT_REG
	nxConjunction   = 34 // NXAST_CONJUNCTION
	nxCT            = 35 // NXAST_CT

	ctCommit = 1 << 0 // NX_CT_F_COMMIT
	ctForce  = 1 << 1 // NX_CT_F_FORCE
)

// ResubmitInPort in ActionResubmit.InPort keeps the packet's own port (the 16
// bit OFPP_IN_PORT).
const ResubmitInPort uint16 = 0xfff8

// ActionConjunction is NXAST_CONJUNCTION: the flow is clause Clause (counted
// from 0) of Clauses of the conjunction ID.
type ActionConjunction struct {
	ID              uint32
	Clause, Clauses uint8
}

// maxActionDepth bounds the nesting of action lists. Open vSwitch nests them
// once, in ct(exec()). Deeper lists stay raw.
const maxActionDepth = 1

// AppendActions appends actions one after the other.
func AppendActions(b []byte, actions []Action) []byte {
	for _, a := range actions {
		b = a.AppendAction(b)
	}
	return b
}

func (a ActionOutput) AppendAction(b []byte) []byte {
	b = append(b, 0, actionOutput, 0, 16)
	b = be.AppendUint32(b, a.Port)
	b = be.AppendUint16(b, a.MaxLen)
	return appendZeros(b, 6)
}

func (a ActionSetField) AppendAction(b []byte) []byte {
	start := len(b)
	b = append(b, 0, actionSetField, 0, 0)
	b = a.OXM.AppendTo(b)
	b = appendPad(b, start)
	putLen(b, start+2, len(b)-start)
	return b
}

// appendNicira appends the head of a Nicira action of n bytes.
func appendNicira(b []byte, subtype, n uint16) []byte {
	b = be.AppendUint16(b, actionExperimenter)
	b = be.AppendUint16(b, n)
	b = be.AppendUint32(b, experimenterNicira)
	return be.AppendUint16(b, subtype)
}

// ofsNbits packs offset and length as Nicira's actions have them.
func (s Subfield) ofsNbits() uint16 { return s.Offset<<6 | (s.Bits-1)&0x3f }

// subfield is the inverse of ofsNbits with a field header. ok is false where
// the field is not known or is narrower than that.
func subfield(header uint32, ofsNbits uint16) (s Subfield, ok bool) {
	f, ok := fieldOfHeader(header)
	s = Subfield{Field: f, Offset: ofsNbits >> 6, Bits: ofsNbits&0x3f + 1}
	return s, ok && s.fits()
}

func (s Subfield) fits() bool {
	return s.Bits > 0 && int(s.Offset)+int(s.Bits) <= s.Field.Bits()
}

func (a ActionLoad) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxRegLoad, 24)
	b = be.AppendUint16(b, a.Dst.ofsNbits())
	b = be.AppendUint32(b, a.Dst.Field.nxmHeader())
	return be.AppendUint64(b, a.Value)
}

func (a ActionMove) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxRegMove, 24)
	b = be.AppendUint16(b, a.Src.Bits)
	b = be.AppendUint16(b, a.Src.Offset)
	b = be.AppendUint16(b, a.Dst.Offset)
	b = be.AppendUint32(b, a.Src.Field.nxmHeader())
	return be.AppendUint32(b, a.Dst.Field.nxmHeader())
}

func (a ActionResubmit) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxResubmitTable, 16)
	b = be.AppendUint16(b, a.InPort)
	return append(b, a.Table, 0, 0, 0)
}

func (a ActionOutputReg) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxOutputReg, 24)
	b = be.AppendUint16(b, a.Src.ofsNbits())
	b = be.AppendUint32(b, a.Src.Field.nxmHeader())
	b = be.AppendUint16(b, a.MaxLen)
	return appendZeros(b, 6)
}

func (a ActionConjunction) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxConjunction, 16)
	b = append(b, a.Clause, a.Clauses)
	return be.AppendUint32(b, a.ID)
}

func (a ActionCT) AppendAction(b []byte) []byte {
	start := len(b)
	var flags uint16
	if a.Commit {
		flags |= ctCommit
	}
	if a.Force {
		flags |= ctForce
	}
	b = appendNicira(b, nxCT, 0)
	b = be.AppendUint16(b, flags)
	if a.ZoneSrc.Bits != 0 {
		b = be.AppendUint32(b, a.ZoneSrc.Field.nxmHeader())
		b = be.AppendUint16(b, a.ZoneSrc.ofsNbits())
	} else {
		b = be.AppendUint32(b, 0)
		b = be.AppendUint16(b, a.Zone)
	}
	b = append(b, a.Table, 0, 0, 0)
	b = be.AppendUint16(b, a.ALG)
	b = AppendActions(b, a.Exec)
	putLen(b, start+2, len(b)-start)
	return b
}

func (a ActionRaw) AppendAction(b []byte) []byte { return append(b, a...) }

// DecodeActions decodes a list of actions, the inverse of AppendActions.
func DecodeActions(b []byte) ([]Action, error) {
	r := reader{b: b}
	actions := decodeActions(&r, 0)
	return actions, r.end()
}

// decodeActions reads actions to the end of r. Each is decoded to a type of its
// own where it has exactly the form that this type encodes to, else kept raw.
func decodeActions(r *reader, depth int) []Action {
	if len(r.b) == 0 {
		return nil
	}
	actions := make([]Action, 0, countActions(r.b))
	for len(r.b) > 0 {
		n, err := tlv8(r.b, "action")
		if err != nil {
			r.failWith(err)
			return nil
		}
		actions = append(actions, decodeAction(r.take(n), depth))
	}
	return actions
}

func countActions(b []byte) int {
	n := 0
	for len(b) >= 8 {
		size := int(be.Uint16(b[2:]))
		if size < 8 || size > len(b) {
			break
		}
		n++
		b = b[size:]
	}
	return n
}

// decodeAction decodes one whole action of at least 8 bytes.
func decodeAction(b []byte, depth int) Action {
	switch be.Uint16(b) {
	case actionOutput:
		if len(b) == 16 && allZero(b[10:]) {
			return ActionOutput{Port: be.Uint32(b[4:]), MaxLen: be.Uint16(b[8:])}
		}
	case actionSetField:
		if o, ok := decodeSetField(b[4:]); ok {
			return ActionSetField{o}
		}
	case actionExperimenter:
		if len(b) >= 16 && be.Uint32(b[4:]) == experimenterNicira {
			// Actions within that are broken make the one around them raw.
			if a, err := decodeNicira(b, depth); a != nil && err == nil {
				return a
			}
		}
	}
	return ActionRaw(append([]byte(nil), b...))
}

// decodeSetField decodes the payload of OFPAT_SET_FIELD: one OXM without mask,
// then padding.
func decodeSetField(b []byte) (o OXM, ok bool) {
	width := int(b[3])
	size := 4 + width
	if b[2]&1 != 0 || width == 0 || width > len(o.Value) || be.Uint16(b) == classExperimenter ||
		size > len(b) || len(b) != size+(-(4+size)&7) || !allZero(b[size:]) {
		return o, false
	}
	o = OXM{Field: FieldID(be.Uint16(b))<<16 | FieldID(b[2]>>1), Len: uint8(width)}
	copy(o.Value[:], b[4:size])
	return o, true
}

// decodeNicira decodes a Nicira action of at least 16 bytes. It returns nil for
// one that has to stay raw.
func decodeNicira(b []byte, depth int) (Action, error) {
	switch be.Uint16(b[8:]) {
	case nxRegLoad:
		if len(b) == 24 {
			if dst, ok := subfield(be.Uint32(b[12:]), be.Uint16(b[10:])); ok {
				return ActionLoad{Dst: dst, Value: be.Uint64(b[16:])}, nil
			}
		}
	case nxRegMove:
		if len(b) == 24 {
			src, ok1 := fieldOfHeader(be.Uint32(b[16:]))
			dst, ok2 := fieldOfHeader(be.Uint32(b[20:]))
			a := ActionMove{
				Src: Subfield{Field: src, Offset: be.Uint16(b[12:]), Bits: be.Uint16(b[10:])},
				Dst: Subfield{Field: dst, Offset: be.Uint16(b[14:]), Bits: be.Uint16(b[10:])},
			}
			if ok1 && ok2 && a.Src.fits() && a.Dst.fits() {
				return a, nil
			}
		}
	case nxResubmitTable:
		if len(b) == 16 && allZero(b[13:]) {
			return ActionResubmit{InPort: be.Uint16(b[10:]), Table: b[12]}, nil
		}
	case nxOutputReg:
		if len(b) == 24 && allZero(b[18:]) {
			if src, ok := subfield(be.Uint32(b[12:]), be.Uint16(b[10:])); ok {
				return ActionOutputReg{Src: src, MaxLen: be.Uint16(b[16:])}, nil
			}
		}
	case nxConjunction:
		if len(b) == 16 {
			return ActionConjunction{ID: be.Uint32(b[12:]), Clause: b[10], Clauses: b[11]}, nil
		}
	case nxCT:
		return decodeCT(b, depth)
	}
	return nil, nil
}

func decodeCT(b []byte, depth int) (Action, error) {
	if len(b) < 24 || depth >= maxActionDepth || !allZero(b[19:22]) {
		return nil, nil
	}
	flags := be.Uint16(b[10:])
	if flags&^(ctCommit|ctForce) != 0 {
		return nil, nil
	}
	a := ActionCT{Commit: flags&ctCommit != 0, Force: flags&ctForce != 0, Table: b[18], ALG: be.Uint16(b[22:])}
	if header := be.Uint32(b[12:]); header == 0 {
		a.Zone = be.Uint16(b[16:])
	} else {
		var ok bool
		if a.ZoneSrc, ok = subfield(header, be.Uint16(b[16:])); !ok {
			return nil, nil
		}
	}
	r := reader{b: b[24:]}
	a.Exec = decodeActions(&r, depth+1)
	return a, r.end()
}
