package openflow

// Sizes of the strings of ofp_desc.
const (
	descLen   = 256
	serialLen = 32
)

func (*MultipartRequest) MsgType() Type { return TypeMultipartRequest }

func (m *MultipartRequest) AppendBody(b []byte) []byte { return appendMultipart(b, m.Flags, m.Body) }

func (*MultipartReply) MsgType() Type { return TypeMultipartReply }

func (m *MultipartReply) AppendBody(b []byte) []byte { return appendMultipart(b, m.Flags, m.Body) }

// More says that further parts of the same answer follow.
func (m *MultipartReply) More() bool { return m.Flags&MultipartMore != 0 }

func appendMultipart(b []byte, flags uint16, body MultipartBody) []byte {
	b = be.AppendUint16(b, uint16(body.MultipartType()))
	b = be.AppendUint16(b, flags)
	b = be.AppendUint32(b, 0)
	return body.AppendMultipart(b)
}

func decodeMultipartRequest(r *reader) *MultipartRequest {
	t, flags := MultipartType(r.u16()), r.u16()
	r.skip(4)
	m := &MultipartRequest{Flags: flags}
	switch t {
	case MultipartDesc:
		m.Body = &DescRequest{}
	case MultipartFlow:
		m.Body = decodeFlowStatsRequest(r)
	case MultipartAggregate:
		m.Body = (*AggregateRequest)(decodeFlowStatsRequest(r))
	case MultipartTable:
		m.Body = &TableStatsRequest{}
	case MultipartPortStats:
		m.Body = &PortStatsRequest{Port: r.u32()}
		r.skip(4)
	case MultipartQueue:
		m.Body = &QueueStatsRequest{Port: r.u32(), QueueID: r.u32()}
	case MultipartGroup:
		m.Body = &GroupStatsRequest{GroupID: r.u32()}
		r.skip(4)
	case MultipartGroupDesc:
		m.Body = &GroupDescRequest{}
	case MultipartGroupFeatures:
		m.Body = &GroupFeaturesRequest{}
	case MultipartMeter:
		m.Body = &MeterStatsRequest{MeterID: r.u32()}
		r.skip(4)
	case MultipartMeterConfig:
		m.Body = &MeterConfigRequest{MeterID: r.u32()}
		r.skip(4)
	case MultipartMeterFeatures:
		m.Body = &MeterFeaturesRequest{}
	case MultipartTableFeatures:
		m.Body = &TableFeaturesRequest{Tables: decodeTableFeatures(r)}
	case MultipartPortDesc:
		m.Body = &PortDescRequest{}
	case MultipartExperimenter:
		experimenter, kind := r.u32(), r.u32()
		if experimenter == experimenterONF && kind == typeFlowMonitor {
			m.Body = decodeFlowMonitorRequest(r)
		} else {
			m.Body = &ExperimenterMultipart{Experimenter: experimenter, ExpType: kind, Data: r.copyRest()}
		}
	default:
		m.Body = &MultipartRaw{Of: t, Data: r.copyRest()}
	}
	return m
}

func decodeMultipartReply(r *reader) *MultipartReply {
	t, flags := MultipartType(r.u16()), r.u16()
	r.skip(4)
	m := &MultipartReply{Flags: flags}
	switch t {
	case MultipartDesc:
		m.Body = &Desc{
			Manufacturer: r.text(descLen), Hardware: r.text(descLen), Software: r.text(descLen),
			SerialNumber: r.text(serialLen), Datapath: r.text(descLen),
		}
	case MultipartFlow:
		m.Body = decodeFlowStatsReply(r)
	case MultipartAggregate:
		m.Body = decodeAggregateReply(r)
	case MultipartTable:
		m.Body = &TableStatsReply{Tables: decodeFixed(r, tableStatsLen, (*TableStats).decode)}
	case MultipartPortStats:
		m.Body = &PortStatsReply{Ports: decodeFixed(r, portStatsLen, (*PortStats).decode)}
	case MultipartQueue:
		m.Body = &QueueStatsReply{Queues: decodeFixed(r, queueStatsLen, (*QueueStats).decode)}
	case MultipartGroup:
		m.Body = &GroupStatsReply{Groups: decodeEntries(r, 0, groupStatsMin, "group stats", (*GroupStats).decode)}
	case MultipartGroupDesc:
		m.Body = decodeGroupDescReply(r)
	case MultipartGroupFeatures:
		m.Body = decodeGroupFeatures(r)
	case MultipartMeter:
		m.Body = &MeterStatsReply{Meters: decodeEntries(r, 4, meterStatsMin, "meter stats", (*MeterCounters).decode)}
	case MultipartMeterConfig:
		m.Body = decodeMeterConfigReply(r)
	case MultipartMeterFeatures:
		m.Body = decodeMeterFeatures(r)
	case MultipartTableFeatures:
		m.Body = &TableFeaturesReply{Tables: decodeTableFeatures(r)}
	case MultipartPortDesc:
		m.Body = decodePortDescReply(r)
	case MultipartExperimenter:
		experimenter, kind := r.u32(), r.u32()
		if experimenter == experimenterONF && kind == typeFlowMonitor {
			m.Body = decodeFlowMonitorReply(r)
		} else {
			m.Body = &ExperimenterMultipart{Experimenter: experimenter, ExpType: kind, Data: r.copyRest()}
		}
	default:
		m.Body = &MultipartRaw{Of: t, Data: r.copyRest()}
	}
	return m
}

func (*DescRequest) MultipartType() MultipartType        { return MultipartDesc }
func (*DescRequest) AppendMultipart(b []byte) []byte     { return b }
func (*Desc) MultipartType() MultipartType               { return MultipartDesc }
func (*PortDescRequest) MultipartType() MultipartType    { return MultipartPortDesc }
func (*PortDescRequest) AppendMultipart(b []byte) []byte { return b }

func (m *Desc) AppendMultipart(b []byte) []byte {
	b = appendText(b, m.Manufacturer, descLen)
	b = appendText(b, m.Hardware, descLen)
	b = appendText(b, m.Software, descLen)
	b = appendText(b, m.SerialNumber, serialLen)
	return appendText(b, m.Datapath, descLen)
}

func (*PortDescReply) MultipartType() MultipartType { return MultipartPortDesc }

func (m *PortDescReply) AppendMultipart(b []byte) []byte {
	for i := range m.Ports {
		b = m.Ports[i].appendTo(b)
	}
	return b
}

func decodePortDescReply(r *reader) *PortDescReply {
	return &PortDescReply{Ports: decodeFixed(r, portLen, (*Port).decode)}
}

func (*FlowStatsRequest) MultipartType() MultipartType { return MultipartFlow }

func (m *FlowStatsRequest) AppendMultipart(b []byte) []byte {
	b = append(b, m.TableID, 0, 0, 0)
	b = be.AppendUint32(b, m.OutPort)
	b = be.AppendUint32(b, m.OutGroup)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint64(b, m.Cookie)
	b = be.AppendUint64(b, m.CookieMask)
	return m.Match.appendTo(b)
}

func decodeFlowStatsRequest(r *reader) *FlowStatsRequest {
	m := &FlowStatsRequest{TableID: r.u8()}
	r.skip(3)
	m.OutPort = r.u32()
	m.OutGroup = r.u32()
	r.skip(4)
	m.Cookie = r.u64()
	m.CookieMask = r.u64()
	r.own()
	m.Match = r.match()
	return m
}

func (*FlowStatsReply) MultipartType() MultipartType { return MultipartFlow }

func (m *FlowStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Flows {
		b = m.Flows[i].appendTo(b)
	}
	return b
}

func (f *FlowStats) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, f.TableID, 0)
	b = be.AppendUint32(b, f.DurationSec)
	b = be.AppendUint32(b, f.DurationNsec)
	b = be.AppendUint16(b, f.Priority)
	b = be.AppendUint16(b, f.IdleTimeout)
	b = be.AppendUint16(b, f.HardTimeout)
	b = be.AppendUint16(b, uint16(f.Flags))
	b = be.AppendUint32(b, 0)
	b = be.AppendUint64(b, f.Cookie)
	b = be.AppendUint64(b, f.PacketCount)
	b = be.AppendUint64(b, f.ByteCount)
	b = f.Match.appendTo(b)
	b = append(b, f.Instructions...)
	putLen(b, start, len(b)-start)
	return b
}

// flowStatsMin is the size of an ofp_flow_stats with an empty match.
const flowStatsMin = 56

func decodeFlowStatsReply(r *reader) *FlowStatsReply {
	m := new(FlowStatsReply)
	r.own()
	m.Flows = decodeEntries(r, 0, flowStatsMin, "flow stats", (*FlowStats).decode)
	return m
}

func (f *FlowStats) decode(e *reader) {
	p := e.take(48)
	if p == nil {
		return
	}
	*f = FlowStats{
		TableID: p[2], DurationSec: be.Uint32(p[4:]), DurationNsec: be.Uint32(p[8:]), Priority: be.Uint16(p[12:]),
		IdleTimeout: be.Uint16(p[14:]), HardTimeout: be.Uint16(p[16:]), Flags: FlowModFlags(be.Uint16(p[18:])),
		Cookie: be.Uint64(p[24:]), PacketCount: be.Uint64(p[32:]), ByteCount: be.Uint64(p[40:]),
	}
	f.Match = e.match()
	f.Instructions = e.instructions()
}

func (*ExperimenterMultipart) MultipartType() MultipartType { return MultipartExperimenter }

func (m *ExperimenterMultipart) AppendMultipart(b []byte) []byte {
	return append(appendExperimenter(b, m.Experimenter, m.ExpType), m.Data...)
}

// MultipartType returns Of.
func (m *MultipartRaw) MultipartType() MultipartType    { return m.Of }
func (m *MultipartRaw) AppendMultipart(b []byte) []byte { return append(b, m.Data...) }
