package openflow

// helloVersionBitmap is OFPHET_VERSIONBITMAP.
const helloVersionBitmap = 1

func (*Hello) MsgType() Type { return TypeHello }

// AppendBody appends the version bitmap element, or nothing where it is 0.
func (m *Hello) AppendBody(b []byte) []byte {
	if m.Bitmap == 0 {
		return b
	}
	b = be.AppendUint16(b, helloVersionBitmap)
	b = be.AppendUint16(b, 8)
	return be.AppendUint32(b, m.Bitmap)
}

// decodeHello ignores what it does not know, broken elements included: version
// 1.0 asks to ignore any body, and the header's version is enough.
func decodeHello(r *reader) *Hello {
	m := new(Hello)
	for len(r.b) >= 4 {
		kind, n := r.u16(), int(r.u16())
		if n < 4 || n-4 > len(r.b) {
			break
		}
		e := reader{b: r.take(n - 4)}
		if bitmap := e.u32(); kind == helloVersionBitmap && m.Bitmap == 0 && e.err == nil {
			m.Bitmap = bitmap
		}
		r.skip(min(-n&7, len(r.b)))
	}
	r.rest()
	return m
}

func (*Error) MsgType() Type { return TypeError }

func (m *Error) AppendBody(b []byte) []byte {
	b = be.AppendUint16(b, uint16(m.ErrType))
	b = be.AppendUint16(b, m.Code)
	if m.ErrType == ErrorExperimenter {
		b = be.AppendUint32(b, m.Experimenter)
	}
	return append(b, m.Data...)
}

func decodeError(r *reader) *Error {
	m := &Error{ErrType: ErrorType(r.u16()), Code: r.u16()}
	if m.ErrType == ErrorExperimenter {
		m.Experimenter = r.u32()
	}
	m.Data = r.copyRest()
	return m
}

func (*EchoRequest) MsgType() Type                { return TypeEchoRequest }
func (m *EchoRequest) AppendBody(b []byte) []byte { return append(b, m.Data...) }
func (*EchoReply) MsgType() Type                  { return TypeEchoReply }
func (m *EchoReply) AppendBody(b []byte) []byte   { return append(b, m.Data...) }

func (*FeaturesRequest) MsgType() Type              { return TypeFeaturesRequest }
func (*FeaturesRequest) AppendBody(b []byte) []byte { return b }
func (*FeaturesReply) MsgType() Type                { return TypeFeaturesReply }

func (m *FeaturesReply) AppendBody(b []byte) []byte {
	b = be.AppendUint64(b, m.DatapathID)
	b = be.AppendUint32(b, m.NBuffers)
	b = append(b, m.NTables, m.AuxiliaryID, 0, 0)
	b = be.AppendUint32(b, m.Capabilities)
	return be.AppendUint32(b, 0)
}

func decodeFeaturesReply(r *reader) *FeaturesReply {
	m := &FeaturesReply{DatapathID: r.u64(), NBuffers: r.u32(), NTables: r.u8(), AuxiliaryID: r.u8()}
	r.skip(2)
	m.Capabilities = r.u32()
	r.skip(4)
	return m
}

func (*GetConfigRequest) MsgType() Type              { return TypeGetConfigRequest }
func (*GetConfigRequest) AppendBody(b []byte) []byte { return b }
func (*GetConfigReply) MsgType() Type                { return TypeGetConfigReply }
func (*SetConfig) MsgType() Type                     { return TypeSetConfig }

func (m *GetConfigReply) AppendBody(b []byte) []byte {
	return be.AppendUint16(be.AppendUint16(b, m.Flags), m.MissSendLen)
}

func (m *SetConfig) AppendBody(b []byte) []byte {
	return be.AppendUint16(be.AppendUint16(b, m.Flags), m.MissSendLen)
}

func (*BarrierRequest) MsgType() Type              { return TypeBarrierRequest }
func (*BarrierRequest) AppendBody(b []byte) []byte { return b }
func (*BarrierReply) MsgType() Type                { return TypeBarrierReply }
func (*BarrierReply) AppendBody(b []byte) []byte   { return b }

func (*RoleRequest) MsgType() Type                { return TypeRoleRequest }
func (m *RoleRequest) AppendBody(b []byte) []byte { return appendRole(b, m.Role, m.GenerationID) }
func (*RoleReply) MsgType() Type                  { return TypeRoleReply }
func (m *RoleReply) AppendBody(b []byte) []byte   { return appendRole(b, m.Role, m.GenerationID) }

func appendRole(b []byte, role Role, generation uint64) []byte {
	b = be.AppendUint32(b, uint32(role))
	b = be.AppendUint32(b, 0)
	return be.AppendUint64(b, generation)
}

func decodeRole(r *reader) (Role, uint64) {
	role := Role(r.u32())
	r.skip(4)
	return role, r.u64()
}

// MsgType returns Of.
func (m *Raw) MsgType() Type              { return m.Of }
func (m *Raw) AppendBody(b []byte) []byte { return append(b, m.Body...) }
