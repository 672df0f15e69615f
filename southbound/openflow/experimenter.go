package openflow

// Experimenter ids and their message types.
const (
	experimenterNicira = 0x00002320
	experimenterONF    = 0x4f4e4600

	typeCTFlushZone   = 29   // NXT_CT_FLUSH_ZONE
	typeBundleControl = 2300 // ONFT_BUNDLE_CONTROL
	typeBundleAdd     = 2301 // ONFT_BUNDLE_ADD_MESSAGE
)

func (*Experimenter) MsgType() Type { return TypeExperimenter }

func (m *Experimenter) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, m.Experimenter)
	b = be.AppendUint32(b, m.ExpType)
	return append(b, m.Data...)
}

// decodeExperimenter yields a message's own type where the body has exactly the
// form that this type encodes to; everything else (properties, bits that must
// be zero and are not) stays an Experimenter.
func decodeExperimenter(r *reader, outer bool) Message {
	experimenter, kind := r.u32(), r.u32()
	body := r.rest()
	switch {
	case experimenter == experimenterNicira && kind == typeCTFlushZone && len(body) == 8 && allZero(body[:6]):
		return &CTFlushZone{Zone: be.Uint16(body[6:])}
	case experimenter == experimenterONF && kind == typeBundleControl && len(body) == 8:
		return &BundleControl{
			BundleID: be.Uint32(body), Ctrl: BundleCtrl(be.Uint16(body[4:])), Flags: BundleFlags(be.Uint16(body[6:])),
		}
	case experimenter == experimenterONF && kind == typeBundleAdd && outer && len(body) >= 8+HeaderLen && allZero(body[4:6]):
		frame := body[8:]
		if frame[0] != byte(Version13) || int(be.Uint16(frame[2:])) != len(frame) {
			break // properties follow the message
		}
		h, inner, err := decode(frame, false)
		if err != nil {
			r.fail("message in bundle: %w", err)
			return nil
		}
		return &BundleAdd{BundleID: be.Uint32(body), Flags: BundleFlags(be.Uint16(body[6:])), XID: h.XID, Message: inner}
	}
	return &Experimenter{Experimenter: experimenter, ExpType: kind, Data: append([]byte(nil), body...)}
}

func (*CTFlushZone) MsgType() Type { return TypeExperimenter }

func (m *CTFlushZone) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, experimenterNicira)
	b = be.AppendUint32(b, typeCTFlushZone)
	b = appendZeros(b, 6)
	return be.AppendUint16(b, m.Zone)
}

func (*BundleControl) MsgType() Type { return TypeExperimenter }

func (m *BundleControl) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, experimenterONF)
	b = be.AppendUint32(b, typeBundleControl)
	b = be.AppendUint32(b, m.BundleID)
	b = be.AppendUint16(b, uint16(m.Ctrl))
	return be.AppendUint16(b, uint16(m.Flags))
}

func (*BundleAdd) MsgType() Type { return TypeExperimenter }

func (m *BundleAdd) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, experimenterONF)
	b = be.AppendUint32(b, typeBundleAdd)
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
