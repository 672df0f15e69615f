package openflow

type (
	// ActionResubmit is NXAST_RESUBMIT_TABLE: look the packet up in a table, as if it
	// had come by InPort, and come back. InPort is a 16-bit port number,
	// ResubmitInPort to keep the packet's own. Table is TableAll for the table that
	// the flow is in.
	ActionResubmit struct {
		InPort uint16
		Table  uint8
	}
	// ActionResubmitCT is NXAST_RESUBMIT_TABLE_CT: the lookup sees the addresses and
	// ports of the connection's original direction.
	ActionResubmitCT struct {
		InPort uint16
		Table  uint8
	}
	// ActionResubmitPort is NXAST_RESUBMIT: ActionResubmit with TableAll.
	ActionResubmitPort struct{ InPort uint16 }
	// ActionConjunction is NXAST_CONJUNCTION: the flow is clause Clause (counted
	// from 0) of Clauses of the conjunction ID.
	ActionConjunction struct {
		ID              uint32
		Clause, Clauses uint8
	}
	// ActionClone is NXAST_CLONE: execute actions on a copy of the packet.
	ActionClone []Action
	// ActionNote is NXAST_NOTE, which does nothing. Zeros fill it to 6 bytes, 14
	// bytes, and so on.
	ActionNote []byte
	// ActionExit is NXAST_EXIT: execute no further action, not even of flows that
	// resubmitted to this one.
	ActionExit struct{}
	// ActionFinTimeout is NXAST_FIN_TIMEOUT: shorten the timeouts of the flow, in
	// seconds, when a TCP connection ends. 0 leaves one as it is.
	ActionFinTimeout struct{ Idle, Hard uint16 }
	// ActionCheckPktLarger is NXAST_CHECK_PKT_LARGER: store in Dst, which is one bit,
	// whether the packet has more than Len bytes.
	ActionCheckPktLarger struct {
		Len uint16
		Dst Subfield
	}
)

// ResubmitInPort in ActionResubmit.InPort keeps the packet's own port (the 16
// bit OFPP_IN_PORT).
const ResubmitInPort uint16 = 0xfff8

func (a ActionResubmit) AppendAction(b []byte) []byte {
	b = be.AppendUint16(appendNicira(b, nxResubmitTable, 16), a.InPort)
	return append(b, a.Table, 0, 0, 0)
}

func (a ActionResubmitCT) AppendAction(b []byte) []byte {
	b = be.AppendUint16(appendNicira(b, nxResubmitCT, 16), a.InPort)
	return append(b, a.Table, 0, 0, 0)
}

func (a ActionResubmitPort) AppendAction(b []byte) []byte {
	return appendZeros(be.AppendUint16(appendNicira(b, nxResubmit, 16), a.InPort), 4)
}

func (a ActionConjunction) AppendAction(b []byte) []byte {
	b = append(appendNicira(b, nxConjunction, 16), a.Clause, a.Clauses)
	return be.AppendUint32(b, a.ID)
}

func (a ActionClone) AppendAction(b []byte) []byte {
	start := len(b)
	b = AppendActions(appendNiciraEmpty(b, nxClone), a)
	putLen(b, start+2, len(b)-start)
	return b
}

func (d *actionDecoder) clone(b []byte) Action {
	if !allZero(b[niciraHead:16]) {
		return nil
	}
	actions, ok := d.nested(b[16:], false)
	if !ok {
		return nil
	}
	return ActionClone(actions)
}

func (a ActionNote) AppendAction(b []byte) []byte {
	start := len(b)
	return finishAction(append(appendNicira(b, nxNote, 0), a...), start)
}

func (ActionExit) AppendAction(b []byte) []byte { return appendNiciraEmpty(b, nxExit) }

func (a ActionFinTimeout) AppendAction(b []byte) []byte {
	b = be.AppendUint16(appendNicira(b, nxFinTimeout, 16), a.Idle)
	return appendZeros(be.AppendUint16(b, a.Hard), 2)
}

func (a ActionCheckPktLarger) AppendAction(b []byte) []byte {
	b = be.AppendUint16(appendNicira(b, nxCheckPktLarger, 24), a.Len)
	b = be.AppendUint16(b, a.Dst.Offset)
	b = be.AppendUint32(b, a.Dst.Field.nxmHeader())
	return appendZeros(b, 6)
}
