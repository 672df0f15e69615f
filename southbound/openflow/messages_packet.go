package openflow

func (*PacketIn) MsgType() Type { return TypePacketIn }

func (p *PacketIn) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, p.BufferID)
	b = be.AppendUint16(b, p.TotalLen)
	b = append(b, p.Reason, p.TableID)
	b = be.AppendUint64(b, p.Cookie)
	b = p.Match.appendTo(b)
	b = append(b, 0, 0)
	return append(b, p.Data...)
}

// Decode decodes the body of a packet-in (all that follows the header) into p.
// It reuses the memory of p.Match and therefore allocates nothing once p
// has been used; Data aliases body.
func (p *PacketIn) Decode(body []byte) error {
	r := reader{b: body}
	return p.decode(&r)
}

// InPort returns the port that the packet came in by, which is in its match.
func (p *PacketIn) InPort() (port uint32, ok bool) {
	f, ok := p.Match.Find(InPort)
	return uint32(f.Uint()), ok
}

func (p *PacketIn) decode(r *reader) error {
	p.BufferID = r.u32()
	p.TotalLen = r.u16()
	p.Reason = r.u8()
	p.TableID = r.u8()
	p.Cookie = r.u64()
	p.Match = append(p.Match[:0], r.match()...)
	r.skip(2)
	p.Data = r.rest()
	return r.end()
}

func (*PacketOut) MsgType() Type { return TypePacketOut }

func (p *PacketOut) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, p.BufferID)
	b = be.AppendUint32(b, p.InPort)
	at := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, p.Actions...)
	putLen(b, at, len(b)-at-8)
	return append(b, p.Data...)
}

func decodePacketOut(r *reader) *PacketOut {
	p := &PacketOut{BufferID: r.u32(), InPort: r.u32()}
	n := int(r.u16())
	r.skip(6)
	p.Actions = append(Actions(nil), r.actions(n)...)
	p.Data = r.rest()
	return p
}
