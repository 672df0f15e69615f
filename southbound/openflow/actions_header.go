package openflow

// Actions on the headers of a packet. Ethertypes are those of the tag to push,
// or of what is left once an MPLS label is popped.
type (
	// ActionPushVLAN is OFPAT_PUSH_VLAN.
	ActionPushVLAN struct{ EthType uint16 }
	// ActionPopVLAN is OFPAT_POP_VLAN.
	ActionPopVLAN struct{}
	// ActionPushMPLS is OFPAT_PUSH_MPLS.
	ActionPushMPLS struct{ EthType uint16 }
	// ActionPopMPLS is OFPAT_POP_MPLS.
	ActionPopMPLS struct{ EthType uint16 }
	// ActionPushPBB is OFPAT_PUSH_PBB, which Open vSwitch does not have.
	ActionPushPBB struct{ EthType uint16 }
	// ActionPopPBB is OFPAT_POP_PBB, which Open vSwitch does not have.
	ActionPopPBB struct{}
	// ActionSetNwTTL is OFPAT_SET_NW_TTL.
	ActionSetNwTTL struct{ TTL uint8 }
	// ActionDecNwTTL is OFPAT_DEC_NW_TTL.
	ActionDecNwTTL struct{}
	// ActionDecTTLIDs is NXAST_DEC_TTL_CNT_IDS: ActionDecNwTTL, but the packets that
	// have no TTL left go to the controllers with these ids.
	ActionDecTTLIDs []uint16
	// ActionSetMPLSTTL is OFPAT_SET_MPLS_TTL.
	ActionSetMPLSTTL struct{ TTL uint8 }
	// ActionDecMPLSTTL is OFPAT_DEC_MPLS_TTL.
	ActionDecMPLSTTL struct{}
	// ActionCopyTTLOut is OFPAT_COPY_TTL_OUT, which Open vSwitch does not have.
	ActionCopyTTLOut struct{}
	// ActionCopyTTLIn is OFPAT_COPY_TTL_IN, which Open vSwitch does not have.
	ActionCopyTTLIn struct{}
)

func (a ActionPushVLAN) AppendAction(b []byte) []byte {
	return appendShort(b, actionPushVLAN, uint32(a.EthType)<<16)
}

func (ActionPopVLAN) AppendAction(b []byte) []byte { return appendShort(b, actionPopVLAN, 0) }

func (a ActionPushMPLS) AppendAction(b []byte) []byte {
	return appendShort(b, actionPushMPLS, uint32(a.EthType)<<16)
}

func (a ActionPopMPLS) AppendAction(b []byte) []byte {
	return appendShort(b, actionPopMPLS, uint32(a.EthType)<<16)
}

func (a ActionPushPBB) AppendAction(b []byte) []byte {
	return appendShort(b, actionPushPBB, uint32(a.EthType)<<16)
}

func (ActionPopPBB) AppendAction(b []byte) []byte { return appendShort(b, actionPopPBB, 0) }

func (a ActionSetNwTTL) AppendAction(b []byte) []byte {
	return appendShort(b, actionSetNwTTL, uint32(a.TTL)<<24)
}

func (ActionDecNwTTL) AppendAction(b []byte) []byte { return appendShort(b, actionDecNwTTL, 0) }

func (a ActionDecTTLIDs) AppendAction(b []byte) []byte {
	start := len(b)
	b = appendNicira(b, nxDecTTLIDs, 0)
	b = appendZeros(be.AppendUint16(b, uint16(len(a))), 4)
	return finishAction(appendU16s(b, a), start)
}

func (a ActionSetMPLSTTL) AppendAction(b []byte) []byte {
	return appendShort(b, actionSetMPLSTTL, uint32(a.TTL)<<24)
}

func (ActionDecMPLSTTL) AppendAction(b []byte) []byte { return appendShort(b, actionDecMPLSTTL, 0) }

func (ActionCopyTTLOut) AppendAction(b []byte) []byte { return appendShort(b, actionCopyTTLOut, 0) }

func (ActionCopyTTLIn) AppendAction(b []byte) []byte { return appendShort(b, actionCopyTTLIn, 0) }

// u16s reads n numbers. Nothing is allocated for more than there are.
func (r *reader) u16s(n int) []uint16 {
	b := r.take(2 * n)
	if len(b) == 0 {
		return nil
	}
	list := make([]uint16, n)
	for i := range list {
		list[i] = be.Uint16(b[2*i:])
	}
	return list
}

func appendU16s(b []byte, list []uint16) []byte {
	for _, v := range list {
		b = be.AppendUint16(b, v)
	}
	return b
}
