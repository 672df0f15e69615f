package openflow

func (*FlowMod) MsgType() Type { return TypeFlowMod }

func (m *FlowMod) AppendBody(b []byte) []byte {
	b = be.AppendUint64(b, m.Cookie)
	b = be.AppendUint64(b, m.CookieMask)
	b = append(b, m.TableID, byte(m.Command))
	b = be.AppendUint16(b, m.IdleTimeout)
	b = be.AppendUint16(b, m.HardTimeout)
	b = be.AppendUint16(b, m.Priority)
	b = be.AppendUint32(b, m.BufferID)
	b = be.AppendUint32(b, m.OutPort)
	b = be.AppendUint32(b, m.OutGroup)
	b = be.AppendUint16(b, uint16(m.Flags))
	b = append(b, 0, 0)
	b = m.Match.appendTo(b)
	return append(b, m.Instructions...)
}

func decodeFlowMod(r *reader) *FlowMod {
	m := &FlowMod{
		Cookie: r.u64(), CookieMask: r.u64(), TableID: r.u8(), Command: FlowModCommand(r.u8()),
		IdleTimeout: r.u16(), HardTimeout: r.u16(), Priority: r.u16(),
		BufferID: r.u32(), OutPort: r.u32(), OutGroup: r.u32(), Flags: FlowModFlags(r.u16()),
	}
	r.skip(2)
	r.own()
	m.Match = r.match()
	m.Instructions = r.instructions()
	return m
}

func (*FlowRemoved) MsgType() Type { return TypeFlowRemoved }

func (m *FlowRemoved) AppendBody(b []byte) []byte {
	b = be.AppendUint64(b, m.Cookie)
	b = be.AppendUint16(b, m.Priority)
	b = append(b, byte(m.Reason), m.TableID)
	b = be.AppendUint32(b, m.DurationSec)
	b = be.AppendUint32(b, m.DurationNsec)
	b = be.AppendUint16(b, m.IdleTimeout)
	b = be.AppendUint16(b, m.HardTimeout)
	b = be.AppendUint64(b, m.PacketCount)
	b = be.AppendUint64(b, m.ByteCount)
	return m.Match.appendTo(b)
}

func decodeFlowRemoved(r *reader) *FlowRemoved {
	m := &FlowRemoved{
		Cookie: r.u64(), Priority: r.u16(), Reason: FlowRemovedReason(r.u8()), TableID: r.u8(),
		DurationSec: r.u32(), DurationNsec: r.u32(), IdleTimeout: r.u16(), HardTimeout: r.u16(),
		PacketCount: r.u64(), ByteCount: r.u64(),
	}
	r.own()
	m.Match = r.match()
	return m
}

// portLen is the size of ofp_port, portNameLen that of its name.
const (
	portLen     = 64
	portNameLen = 16
)

func (p *Port) appendTo(b []byte) []byte {
	b = be.AppendUint32(b, p.No)
	b = be.AppendUint32(b, 0)
	b = append(b, p.HWAddr[:]...)
	b = append(b, 0, 0)
	b = appendText(b, p.Name, portNameLen)
	for _, v := range [...]uint32{
		uint32(p.Config), uint32(p.State), p.Current, p.Advertised, p.Supported, p.Peer, p.CurrSpeed, p.MaxSpeed,
	} {
		b = be.AppendUint32(b, v)
	}
	return b
}

func (p *Port) decode(r *reader) {
	p.No = r.u32()
	r.skip(4)
	copy(p.HWAddr[:], r.take(6))
	r.skip(2)
	p.Name = r.text(portNameLen)
	p.Config = PortConfig(r.u32())
	p.State = PortState(r.u32())
	p.Current = r.u32()
	p.Advertised = r.u32()
	p.Supported = r.u32()
	p.Peer = r.u32()
	p.CurrSpeed = r.u32()
	p.MaxSpeed = r.u32()
}

func (*PortStatus) MsgType() Type { return TypePortStatus }

func (m *PortStatus) AppendBody(b []byte) []byte {
	b = append(b, byte(m.Reason), 0, 0, 0, 0, 0, 0, 0)
	return m.Port.appendTo(b)
}

func decodePortStatus(r *reader) *PortStatus {
	m := &PortStatus{Reason: PortReason(r.u8())}
	r.skip(7)
	m.Port.decode(r)
	return m
}
