package openflow

import "bytes"

// Action is one action of an instruction, a packet-out, a group's bucket, or
// of an action that holds others (ActionCT, ActionClone).
type Action interface {
	// AppendAction appends the padded TLV.
	AppendAction(b []byte) []byte
}

// ActionRaw is one or several whole actions in a row that the codec does not
// know, or that have another form than it would give them.
type ActionRaw string

// Types of standard actions (enum ofp_action_type).
const (
	actionOutput       = 0
	actionCopyTTLOut   = 11
	actionCopyTTLIn    = 12
	actionSetMPLSTTL   = 15
	actionDecMPLSTTL   = 16
	actionPushVLAN     = 17
	actionPopVLAN      = 18
	actionPushMPLS     = 19
	actionPopMPLS      = 20
	actionSetQueue     = 21
	actionGroup        = 22
	actionSetNwTTL     = 23
	actionDecNwTTL     = 24
	actionSetField     = 25
	actionPushPBB      = 26
	actionPopPBB       = 27
	actionExperimenter = 0xffff
)

// Subtypes of Nicira's actions (NXAST_*), which are experimenter actions.
const (
	nxResubmit       = 1
	nxSetTunnel      = 2
	nxPopQueue       = 5
	nxRegMove        = 6
	nxRegLoad        = 7
	nxNote           = 8
	nxSetTunnel64    = 9
	nxMultipath      = 10
	nxBundle         = 12
	nxBundleLoad     = 13
	nxResubmitTable  = 14
	nxOutputReg      = 15
	nxLearn          = 16
	nxExit           = 17
	nxFinTimeout     = 19
	nxController     = 20
	nxDecTTLIDs      = 21
	nxStackPush      = 27
	nxStackPop       = 28
	nxSample         = 29
	nxOutputReg2     = 32
	nxRegLoad2       = 33
	nxConjunction    = 34
	nxCT             = 35
	nxNAT            = 36
	nxController2    = 37
	nxSample2        = 38
	nxOutputTrunc    = 39
	nxSample3        = 41
	nxClone          = 42
	nxCTClear        = 43
	nxResubmitCT     = 44
	nxLearn2         = 45
	nxCheckPktLarger = 49
	nxDeleteField    = 50
)

// onfCopyField is the only action of the ONF that Open vSwitch takes over 1.3.
const onfCopyField = 3200

// niciraHead is the length of what all Nicira actions begin with.
const niciraHead = 10

// maxActionDepth bounds how deep lists of actions nest within a list. What is
// deeper stays raw.
const maxActionDepth = 8

// AppendActions appends actions one after the other.
func AppendActions(b []byte, actions []Action) []byte {
	for _, a := range actions {
		b = a.AppendAction(b)
	}
	return b
}

func (a ActionRaw) AppendAction(b []byte) []byte { return append(b, a...) }

// appendShort appends an action of 8 bytes: v is what follows the head.
func appendShort(b []byte, kind byte, v uint32) []byte {
	return be.AppendUint32(append(b, 0, kind, 0, 8), v)
}

// appendNicira appends the head of a Nicira action of n bytes.
func appendNicira(b []byte, subtype, n uint16) []byte {
	b = be.AppendUint16(b, actionExperimenter)
	b = be.AppendUint16(b, n)
	b = be.AppendUint32(b, experimenterNicira)
	return be.AppendUint16(b, subtype)
}

// appendNiciraEmpty appends a Nicira action that is nothing but its head.
func appendNiciraEmpty(b []byte, subtype uint16) []byte {
	return appendZeros(appendNicira(b, subtype, 16), 6)
}

// finishAction pads the action that begins at start and fills in its length.
func finishAction(b []byte, start int) []byte {
	b = appendPad(b, start)
	putLen(b, start+2, len(b)-start)
	return b
}

// DecodeActions decodes a list of actions, the inverse of AppendActions. It
// fails where the lengths of the actions do not add up; all else that is wrong
// with an action leaves it raw.
func DecodeActions(b []byte) ([]Action, error) {
	r := reader{b: b}
	actions := decodeActions(&r)
	return actions, r.end()
}

// decodeActions reads actions to the end of r.
func decodeActions(r *reader) []Action {
	return new(actionDecoder).list(r.actions(len(r.b)), false)
}

// actionDecoder decodes an action to a type of its own where it has exactly the
// form that this type encodes to. All others stay raw, so that a list encodes
// to the bytes that it was decoded from.
type actionDecoder struct {
	depth   int
	scratch []byte
}

// list decodes whole actions. A run of actions that stay raw becomes one value:
// one for each would take several times the memory of its bytes.
func (d *actionDecoder) list(b []byte, inCT bool) []Action {
	n := 0
	for rest := b; len(rest) > 0; rest = rest[be.Uint16(rest[2:]):] {
		n++
	}
	if n == 0 {
		return nil
	}
	actions := make([]Action, 0, n)
	for len(b) > 0 {
		var a Action
		raw, end := 0, 0
		for a == nil && end < len(b) {
			raw = end
			end += int(be.Uint16(b[raw+2:]))
			a = d.action(b[raw:end], inCT && len(actions) == 0 && raw == 0)
		}
		if a == nil {
			raw = end
		}
		if raw > 0 {
			actions = append(actions, ActionRaw(b[:raw]))
		}
		if a != nil {
			actions = append(actions, a)
		}
		b = b[end:]
	}
	return actions
}

// action decodes one whole action, to nil where it has to stay raw. A NAT action
// is known only where it can be: first in a ct.
func (d *actionDecoder) action(b []byte, nat bool) Action {
	switch kind := be.Uint16(b); {
	case kind != actionExperimenter:
		return d.exact(decodeStandardAction(kind, b), b)
	case len(b) < 16:
		return nil
	case be.Uint32(b[4:]) == experimenterONF && be.Uint16(b[8:]) == onfCopyField:
		return d.exact(decodeCopyField(b), b)
	case be.Uint32(b[4:]) != experimenterNicira:
		return nil
	}
	switch subtype := be.Uint16(b[8:]); subtype {
	case nxCT:
		return d.ct(b)
	case nxClone:
		return d.clone(b)
	case nxLearn, nxLearn2:
		return decodeLearn(b, subtype == nxLearn2)
	case nxNAT:
		if !nat {
			return nil
		}
		return d.exact(decodeNAT(b), b)
	default:
		r := reader{b: b[niciraHead:]}
		a := decodeNiciraAction(subtype, &r)
		if r.err != nil {
			return nil
		}
		return d.exact(a, b)
	}
}

// exact returns a if it encodes to b.
func (d *actionDecoder) exact(a Action, b []byte) Action {
	if a == nil {
		return nil
	}
	if cap(d.scratch) < len(b) {
		d.scratch = make([]byte, 0, len(b))
	}
	d.scratch = a.AppendAction(d.scratch[:0])
	if !bytes.Equal(d.scratch, b) {
		return nil
	}
	return a
}

// nested decodes the list that makes up the rest of an action. ok is false where
// it is no list, or is nested too deep.
func (d *actionDecoder) nested(b []byte, inCT bool) (actions []Action, ok bool) {
	if checkActions(b) != nil || d.depth >= maxActionDepth {
		return nil, false
	}
	d.depth++
	actions = d.list(b, inCT)
	d.depth--
	return actions, true
}

// decodeStandardAction decodes an action that is no experimenter's. It does not
// look at padding.
func decodeStandardAction(kind uint16, b []byte) Action {
	switch kind {
	case actionOutput:
		if len(b) == 16 {
			return ActionOutput{Port: be.Uint32(b[4:]), MaxLen: be.Uint16(b[8:])}
		}
		return nil
	case actionSetField:
		if o, ok := decodeOXM(b[4:]); ok && !o.HasMask {
			return ActionSetField{o}
		}
		return nil
	}
	if len(b) != 8 {
		return nil
	}
	v := be.Uint32(b[4:])
	switch kind {
	case actionGroup:
		return ActionGroup{ID: v}
	case actionSetQueue:
		return ActionSetQueue{ID: v}
	case actionPushVLAN:
		return ActionPushVLAN{EthType: uint16(v >> 16)}
	case actionPushMPLS:
		return ActionPushMPLS{EthType: uint16(v >> 16)}
	case actionPushPBB:
		return ActionPushPBB{EthType: uint16(v >> 16)}
	case actionPopMPLS:
		return ActionPopMPLS{EthType: uint16(v >> 16)}
	case actionPopVLAN:
		return ActionPopVLAN{}
	case actionPopPBB:
		return ActionPopPBB{}
	case actionSetNwTTL:
		return ActionSetNwTTL{TTL: uint8(v >> 24)}
	case actionDecNwTTL:
		return ActionDecNwTTL{}
	case actionSetMPLSTTL:
		return ActionSetMPLSTTL{TTL: uint8(v >> 24)}
	case actionDecMPLSTTL:
		return ActionDecMPLSTTL{}
	case actionCopyTTLOut:
		return ActionCopyTTLOut{}
	case actionCopyTTLIn:
		return ActionCopyTTLIn{}
	}
	return nil
}

// decodeNiciraAction decodes what follows the head of a Nicira action. It does
// not look at padding, nor whether anything is left.
func decodeNiciraAction(subtype uint16, r *reader) Action {
	switch subtype {
	case nxRegLoad, nxRegLoad2, nxRegMove, nxStackPush, nxStackPop, nxDeleteField, nxSetTunnel, nxSetTunnel64:
		return decodeSetting(subtype, r)
	case nxOutputReg, nxOutputReg2, nxOutputTrunc, nxController, nxController2, nxSample, nxSample2, nxSample3:
		return decodeOutput(subtype, r)
	case nxMultipath, nxBundle, nxBundleLoad:
		return decodeChoice(subtype, r)
	case nxResubmit:
		return ActionResubmitPort{InPort: r.u16()}
	case nxResubmitTable:
		return ActionResubmit{InPort: r.u16(), Table: r.u8()}
	case nxResubmitCT:
		return ActionResubmitCT{InPort: r.u16(), Table: r.u8()}
	case nxConjunction:
		return ActionConjunction{Clause: r.u8(), Clauses: r.u8(), ID: r.u32()}
	case nxNote:
		return ActionNote(r.copyRest())
	case nxExit:
		return ActionExit{}
	case nxPopQueue:
		return ActionPopQueue{}
	case nxCTClear:
		return ActionCTClear{}
	case nxFinTimeout:
		return ActionFinTimeout{Idle: r.u16(), Hard: r.u16()}
	case nxDecTTLIDs:
		n := int(r.u16())
		r.skip(4)
		return ActionDecTTLIDs(r.u16s(n))
	case nxCheckPktLarger:
		n, offset := r.u16(), r.u16()
		return ActionCheckPktLarger{Len: n, Dst: r.subfield(offset, 1)}
	}
	return nil
}
