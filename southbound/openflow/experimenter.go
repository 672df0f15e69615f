package openflow

// Experimenter ids and their message types.
const (
	experimenterNicira = 0x00002320
	experimenterONF    = 0x4f4e4600

	typeFlowModTableID    = 15 // NXT_FLOW_MOD_TABLE_ID
	typeSetPacketInFormat = 16 // NXT_SET_PACKET_IN_FORMAT
	typeSetControllerID   = 20 // NXT_SET_CONTROLLER_ID
	typeResume            = 28 // NXT_RESUME
	typeCTFlushZone       = 29 // NXT_CT_FLUSH_ZONE
	typePacketIn2         = 30 // NXT_PACKET_IN2
	typeCTFlush           = 32 // NXT_CT_FLUSH

	typeRoleStatus    = 1911 // ONFT_ROLE_STATUS
	typeBundleControl = 2300 // ONFT_BUNDLE_CONTROL
	typeBundleAdd     = 2301 // ONFT_BUNDLE_ADD_MESSAGE
)

func (*Experimenter) MsgType() Type { return TypeExperimenter }

func (m *Experimenter) AppendBody(b []byte) []byte {
	return append(appendExperimenter(b, m.Experimenter, m.ExpType), m.Data...)
}

// appendExperimenter appends the head of an experimenter message.
func appendExperimenter(b []byte, experimenter, kind uint32) []byte {
	return be.AppendUint32(be.AppendUint32(b, experimenter), kind)
}

// decodeExperimenter yields a message's own type where the body has exactly the
// form that this type encodes to; everything else (properties, bits that must
// be zero and are not) stays an Experimenter. A packet-in must be whole,
// whatever its form.
func decodeExperimenter(r *reader, outer bool) Message {
	experimenter, kind := r.u32(), r.u32()
	body := r.rest()
	var m Message
	switch experimenter {
	case experimenterNicira:
		m = decodeNiciraMessage(r, kind, body)
	case experimenterONF:
		m = decodeONFMessage(r, kind, body, outer)
	}
	if m == nil {
		m = &Experimenter{Experimenter: experimenter, ExpType: kind, Data: append([]byte(nil), body...)}
	}
	return m
}

func decodeNiciraMessage(r *reader, kind uint32, body []byte) Message {
	switch kind {
	case typeFlowModTableID:
		if len(body) == 8 && body[0] <= 1 && allZero(body[1:]) {
			return &FlowModTableID{Enable: body[0] == 1}
		}
	case typeSetPacketInFormat:
		if len(body) == 4 {
			return &SetPacketInFormat{Format: PacketInFormat(be.Uint32(body))}
		}
	case typeSetControllerID:
		if len(body) == 8 && allZero(body[:6]) {
			return &SetControllerID{ID: be.Uint16(body[6:])}
		}
	case typeCTFlushZone:
		if len(body) == 8 && allZero(body[:6]) {
			return &CTFlushZone{Zone: be.Uint16(body[6:])}
		}
	case typeCTFlush:
		if m, ok := decodeCTFlush(body); ok {
			return m
		}
	case typePacketIn2:
		m := new(PacketIn2)
		m.decodeNew(r, body)
		return m
	case typeResume:
		m := new(Resume)
		m.decodeNew(r, body)
		return m
	}
	return nil
}

func decodeONFMessage(r *reader, kind uint32, body []byte, outer bool) Message {
	switch kind {
	case typeFlowMonitor:
		if len(body) == 4 {
			return &FlowMonitorCancel{ID: be.Uint32(body)}
		}
	case typeFlowMonitorPaused:
		if len(body) == 0 {
			return &FlowMonitorPaused{}
		}
	case typeFlowMonitorResumed:
		if len(body) == 0 {
			return &FlowMonitorResumed{}
		}
	case typeRoleStatus:
		if len(body) == 16 && allZero(body[5:8]) {
			return &RoleStatus{Role: Role(be.Uint32(body)), Reason: RoleReason(body[4]), GenerationID: be.Uint64(body[8:])}
		}
	case typeBundleControl:
		if len(body) == 8 {
			return &BundleControl{
				BundleID: be.Uint32(body), Ctrl: BundleCtrl(be.Uint16(body[4:])), Flags: BundleFlags(be.Uint16(body[6:])),
			}
		}
	case typeBundleAdd:
		if !outer || len(body) < 8+HeaderLen || !allZero(body[4:6]) {
			return nil
		}
		frame := body[8:]
		if frame[0] != byte(Version13) || int(be.Uint16(frame[2:])) != len(frame) {
			return nil // properties follow the message
		}
		h, inner, err := decode(frame, false)
		if err != nil {
			r.fail("message in bundle: %w", err)
			return nil
		}
		return &BundleAdd{BundleID: be.Uint32(body), Flags: BundleFlags(be.Uint16(body[6:])), XID: h.XID, Message: inner}
	}
	return nil
}

func (*FlowModTableID) MsgType() Type { return TypeExperimenter }

func (m *FlowModTableID) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterNicira, typeFlowModTableID)
	set := byte(0)
	if m.Enable {
		set = 1
	}
	return append(b, set, 0, 0, 0, 0, 0, 0, 0)
}

func (*SetControllerID) MsgType() Type { return TypeExperimenter }

func (m *SetControllerID) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterNicira, typeSetControllerID)
	return append(b, 0, 0, 0, 0, 0, 0, byte(m.ID>>8), byte(m.ID))
}

func (*RoleStatus) MsgType() Type { return TypeExperimenter }

func (m *RoleStatus) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeRoleStatus)
	b = be.AppendUint32(b, uint32(m.Role))
	b = append(b, byte(m.Reason), 0, 0, 0)
	return be.AppendUint64(b, m.GenerationID)
}

func (*BundleControl) MsgType() Type { return TypeExperimenter }

func (m *BundleControl) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeBundleControl)
	b = be.AppendUint32(b, m.BundleID)
	b = be.AppendUint16(b, uint16(m.Ctrl))
	return be.AppendUint16(b, uint16(m.Flags))
}

func (*BundleAdd) MsgType() Type { return TypeExperimenter }

func (m *BundleAdd) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeBundleAdd)
	b = be.AppendUint32(b, m.BundleID)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint16(b, uint16(m.Flags))
	start := len(b)
	b = AppendMessage(b, m.XID, m.Message)
	if len(b) == start {
		// The inner message is too long: make the outer one too long as well,
		// so that AppendMessage refuses it instead of sending an empty one.
		return appendZeros(b, MaxMessageLen)
	}
	return b
}
