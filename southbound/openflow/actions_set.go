package openflow

type (
	// ActionSetField is OFPAT_SET_FIELD; the OXM has no mask in 1.3.
	ActionSetField struct{ OXM }
	// ActionLoad is NXAST_REG_LOAD: set the bits of Dst, 64 at most, to Value.
	ActionLoad struct {
		Dst   Subfield
		Value uint64
	}
	// ActionLoad2 is NXAST_REG_LOAD2: set the bits of the field that its mask has.
	ActionLoad2 struct{ OXM }
	// ActionMove is NXAST_REG_MOVE. Src and Dst have the same width.
	ActionMove struct{ Src, Dst Subfield }
	// ActionCopyField is ONFACT_COPY_FIELD, the ONF's name for ActionMove.
	ActionCopyField struct{ Src, Dst Subfield }
	// ActionPush is NXAST_STACK_PUSH: put bits of a field on the stack.
	ActionPush struct{ Src Subfield }
	// ActionPop is NXAST_STACK_POP: take the top of the stack, of which the lowest
	// bits are stored.
	ActionPop struct{ Dst Subfield }
	// ActionDeleteField is NXAST_DELETE_FIELD: take a tunnel option out of the
	// packet's metadata. Len is what the field's header says, 124 where the switch
	// has no mapping for the option.
	ActionDeleteField struct {
		Field FieldID
		Len   uint8
	}
	// ActionSetTunnel is NXAST_SET_TUNNEL, which today is a set-field of tun_id.
	ActionSetTunnel struct{ ID uint32 }
	// ActionSetTunnel64 is NXAST_SET_TUNNEL64.
	ActionSetTunnel64 struct{ ID uint64 }
)

// Subfield is a run of bits of a field, as the Nicira actions address it.
type Subfield struct {
	Field  FieldID
	Offset uint16 // of the lowest bit
	Bits   uint16
}

// ofsNbits packs offset and width as Nicira's actions have them.
func (s Subfield) ofsNbits() uint16 { return s.Offset<<6 | (s.Bits-1)&0x3f }

func (s Subfield) fits() bool {
	return s.Bits > 0 && int(s.Offset)+int(s.Bits) <= s.Field.Bits()
}

// subfield reads the header of a field, and fails unless the field is known and
// has the bits.
func (r *reader) subfield(offset, bits uint16) Subfield {
	f, ok := fieldOfHeader(r.u32())
	s := Subfield{Field: f, Offset: offset, Bits: bits}
	if !ok || !s.fits() {
		r.fail("not a part of a field")
	}
	return s
}

// packedSubfield is subfield with offset and width as ofsNbits packs them.
func (r *reader) packedSubfield(ofsNbits uint16) Subfield {
	return r.subfield(ofsNbits>>6, ofsNbits&0x3f+1)
}

// decodeOXM decodes the field at the front of b. ok is false for one that no OXM
// can hold.
func decodeOXM(b []byte) (o OXM, ok bool) {
	if len(b) < oxmHeaderLen || len(b) < oxmHeaderLen+int(b[3]) {
		return OXM{}, false
	}
	return DecodeOXM(b[:oxmHeaderLen+int(b[3])])
}

func (a ActionSetField) AppendAction(b []byte) []byte {
	start := len(b)
	b = append(b, 0, actionSetField, 0, 0)
	b = a.OXM.AppendTo(b)
	return finishAction(b, start)
}

func (a ActionLoad) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxRegLoad, 24)
	b = be.AppendUint16(b, a.Dst.ofsNbits())
	b = be.AppendUint32(b, a.Dst.Field.nxmHeader())
	return be.AppendUint64(b, a.Value)
}

func (a ActionLoad2) AppendAction(b []byte) []byte {
	start := len(b)
	b = a.OXM.AppendTo(appendNicira(b, nxRegLoad2, 0))
	return finishAction(b, start)
}

func (a ActionMove) AppendAction(b []byte) []byte {
	return appendMove(appendNicira(b, nxRegMove, 24), a.Src, a.Dst, 0)
}

func (a ActionCopyField) AppendAction(b []byte) []byte {
	start := len(b)
	b = append(b, 0xff, 0xff, 0, 0)
	b = be.AppendUint32(b, experimenterONF)
	b = be.AppendUint32(b, onfCopyField<<16)
	return finishAction(appendMove(b, a.Src, a.Dst, 2), start)
}

// appendMove appends what the two kinds of copying have in common, and what
// they do not: gap is the length of a hole in it.
func appendMove(b []byte, src, dst Subfield, gap int) []byte {
	b = be.AppendUint16(b, src.Bits)
	b = be.AppendUint16(b, src.Offset)
	b = be.AppendUint16(b, dst.Offset)
	b = appendZeros(b, gap)
	b = be.AppendUint32(b, src.Field.nxmHeader())
	return be.AppendUint32(b, dst.Field.nxmHeader())
}

func decodeMove(r *reader, gap int) (src, dst Subfield) {
	bits, srcOffset, dstOffset := r.u16(), r.u16(), r.u16()
	r.skip(gap)
	return r.subfield(srcOffset, bits), r.subfield(dstOffset, bits)
}

func decodeCopyField(b []byte) Action {
	r := reader{b: b[12:]}
	src, dst := decodeMove(&r, 2)
	if r.err != nil {
		return nil
	}
	return ActionCopyField{Src: src, Dst: dst}
}

func (a ActionPush) AppendAction(b []byte) []byte { return appendStack(b, nxStackPush, a.Src) }

func (a ActionPop) AppendAction(b []byte) []byte { return appendStack(b, nxStackPop, a.Dst) }

func appendStack(b []byte, subtype uint16, s Subfield) []byte {
	b = appendNicira(b, subtype, 24)
	b = be.AppendUint16(b, s.Offset)
	b = be.AppendUint32(b, s.Field.nxmHeader())
	b = be.AppendUint16(b, s.Bits)
	return appendZeros(b, 6)
}

func (a ActionDeleteField) AppendAction(b []byte) []byte {
	b = appendNicira(b, nxDeleteField, 24)
	b = be.AppendUint16(b, a.Field.Class())
	return appendZeros(append(b, a.Field.Number()<<1, a.Len), 10)
}

func (a ActionSetTunnel) AppendAction(b []byte) []byte {
	return be.AppendUint32(appendZeros(appendNicira(b, nxSetTunnel, 16), 2), a.ID)
}

func (a ActionSetTunnel64) AppendAction(b []byte) []byte {
	return be.AppendUint64(appendZeros(appendNicira(b, nxSetTunnel64, 24), 6), a.ID)
}

// decodeSetting decodes the Nicira actions that write fields.
func decodeSetting(subtype uint16, r *reader) Action {
	switch subtype {
	case nxRegLoad:
		dst := r.packedSubfield(r.u16())
		return ActionLoad{Dst: dst, Value: r.u64()}
	case nxRegLoad2:
		o, ok := decodeOXM(r.rest())
		if !ok {
			r.fail("no field")
		}
		return ActionLoad2{o}
	case nxRegMove:
		src, dst := decodeMove(r, 0)
		return ActionMove{Src: src, Dst: dst}
	case nxSetTunnel:
		r.skip(2)
		return ActionSetTunnel{ID: r.u32()}
	case nxSetTunnel64:
		r.skip(6)
		return ActionSetTunnel64{ID: r.u64()}
	case nxDeleteField:
		class, head := r.u16(), r.u8()
		return ActionDeleteField{Field: FieldID(class)<<16 | FieldID(head>>1), Len: r.u8()}
	}
	// The width of what is pushed or popped follows the field.
	offset, header := r.u16(), reader{b: r.take(4)}
	s := header.subfield(offset, r.u16())
	r.adopt(&header)
	if subtype == nxStackPush {
		return ActionPush{Src: s}
	}
	return ActionPop{Dst: s}
}
