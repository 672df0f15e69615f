package openflow

import "iter"

// The flow monitor as Open vSwitch has it on a connection of version 1.3: the
// ONF extension EXT-187, experimenter multipart type 1870. A monitor is
// answered with the flows that there are, where MonitorInitial asks for them, and from
// then on the switch sends replies with xid 0 of its own accord.
type (
	// FlowMonitorRequest starts monitors.
	FlowMonitorRequest struct{ Monitors []FlowMonitor }
	// FlowMonitor is onf_flow_monitor_request. It wants at least one of
	// MonitorAdd, MonitorDelete and MonitorModify.
	FlowMonitor struct {
		ID      uint32 // the controller's choice
		Flags   MonitorFlags
		OutPort uint32 // PortAny for all
		TableID uint8  // TableAll for all
		Match   Match
	}
	MonitorFlags uint16

	// FlowMonitorReply is the answer to a FlowMonitorRequest, and each report.
	FlowMonitorReply struct{ Updates FlowUpdates }
	// FlowUpdates is a list of changes in wire form. Decoding checks its framing.
	FlowUpdates []byte
	// FlowUpdate is onf_flow_update_full, or onf_flow_update_abbrev where Event
	// is FlowAbbreviated: then it has XID alone. Raw is the whole
	// update where Event is none of those below.
	FlowUpdate struct {
		Event        FlowEvent
		Reason       FlowRemovedReason // of FlowDeleted
		Priority     uint16
		IdleTimeout  uint16
		HardTimeout  uint16
		TableID      uint8
		Cookie       uint64
		Match        Match
		Instructions Instructions // with MonitorInstructions
		XID          uint32       // of the request by this controller that caused the change
		Raw          []byte
	}
	FlowEvent uint16

	// FlowMonitorCancel is ONFT_FLOW_MONITOR_CANCEL.
	FlowMonitorCancel struct{ ID uint32 }
	// FlowMonitorPaused says that the switch stops to report, because the
	// controller does not take the reports fast enough.
	FlowMonitorPaused struct{}
	// FlowMonitorResumed says that reports start again; all that changed
	// since FlowMonitorPaused has been reported before it.
	FlowMonitorResumed struct{}
)

const (
	MonitorInitial      MonitorFlags = 1 << 0 // the flows that there are
	MonitorAdd          MonitorFlags = 1 << 1
	MonitorDelete       MonitorFlags = 1 << 2
	MonitorModify       MonitorFlags = 1 << 3
	MonitorInstructions MonitorFlags = 1 << 4 // ONFFMF_ACTIONS
	MonitorOwn          MonitorFlags = 1 << 5 // own changes in full

	FlowAdded       FlowEvent = 0
	FlowDeleted     FlowEvent = 1
	FlowModified    FlowEvent = 2
	FlowAbbreviated FlowEvent = 3
)

// typeFlowMonitor is ONFST_FLOW_MONITOR and ONFT_FLOW_MONITOR_CANCEL.
const (
	typeFlowMonitor        = 1870
	typeFlowMonitorPaused  = 1871
	typeFlowMonitorResumed = 1872
)

func (*FlowMonitorRequest) MultipartType() MultipartType { return MultipartExperimenter }

func (m *FlowMonitorRequest) AppendMultipart(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeFlowMonitor)
	for i := range m.Monitors {
		f := &m.Monitors[i]
		b = be.AppendUint32(b, f.ID)
		b = be.AppendUint16(b, uint16(f.Flags))
		b = be.AppendUint16(b, uint16(4+len(f.Match)))
		b = be.AppendUint32(b, f.OutPort)
		b = append(b, f.TableID, 0, 0, 0)
		b = f.Match.appendTo(b)
	}
	return b
}

// monitorMin is the size of an onf_flow_monitor_request with an empty match.
const monitorMin = 24

func decodeFlowMonitorRequest(r *reader) *FlowMonitorRequest {
	m := new(FlowMonitorRequest)
	// The entries have no length of their own, only that of their match.
	n := 0
	for b := r.b; len(b) >= monitorMin; n++ {
		size := 16 + (int(be.Uint16(b[18:]))+7)&^7
		if size > len(b) || size < monitorMin {
			break // which the decoder complains of
		}
		b = b[size:]
	}
	r.own()
	m.Monitors = make([]FlowMonitor, 0, n)
	for len(r.b) > 0 && r.err == nil {
		f := FlowMonitor{ID: r.u32(), Flags: MonitorFlags(r.u16())}
		r.skip(2) // the length of the match is in the match as well
		f.OutPort = r.u32()
		f.TableID = r.u8()
		r.skip(3)
		f.Match = r.match()
		if r.err == nil {
			m.Monitors = append(m.Monitors, f)
		}
	}
	if n == 0 {
		m.Monitors = nil
	}
	return m
}

func (*FlowMonitorReply) MultipartType() MultipartType { return MultipartExperimenter }

func (m *FlowMonitorReply) AppendMultipart(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeFlowMonitor)
	return append(b, m.Updates...)
}

const (
	updateMin  = 8  // onf_flow_update_abbrev
	updateFull = 24 // onf_flow_update_full without match
)

func decodeFlowMonitorReply(r *reader) *FlowMonitorReply {
	r.own()
	m := &FlowMonitorReply{Updates: r.b}
	if _, err := countEntries(r.b, 0, updateMin, "flow update"); err != nil {
		r.failWith(err)
	}
	for len(r.b) > 0 {
		e := reader{b: r.take(int(be.Uint16(r.b)))}
		new(FlowUpdate).decode(&e)
		if err := e.end(); err != nil {
			r.fail("flow update: %w", err)
		}
	}
	m.Updates = some(m.Updates)
	return m
}

// NewFlowUpdates encodes updates in the given order.
func NewFlowUpdates(list ...FlowUpdate) FlowUpdates {
	var b FlowUpdates
	for i := range list {
		b = list[i].appendTo(b)
	}
	return b
}

// All yields the updates. They alias u.
func (u FlowUpdates) All() iter.Seq[FlowUpdate] {
	return func(yield func(FlowUpdate) bool) {
		for b := []byte(u); len(b) >= updateMin; {
			n := int(be.Uint16(b))
			if n < updateMin || n > len(b) {
				return
			}
			var f FlowUpdate
			f.decode(&reader{b: b[:n:n]})
			if !yield(f) {
				return
			}
			b = b[n:]
		}
	}
}

func (f *FlowUpdate) appendTo(b []byte) []byte {
	if f.Raw != nil {
		return append(b, f.Raw...)
	}
	start := len(b)
	b = append(b, 0, 0, byte(f.Event>>8), byte(f.Event))
	if f.Event == FlowAbbreviated {
		b = be.AppendUint32(b, f.XID)
	} else {
		b = be.AppendUint16(b, uint16(f.Reason))
		b = be.AppendUint16(b, f.Priority)
		b = be.AppendUint16(b, f.IdleTimeout)
		b = be.AppendUint16(b, f.HardTimeout)
		b = be.AppendUint16(b, uint16(4+len(f.Match)))
		b = append(b, f.TableID, 0)
		b = be.AppendUint64(b, f.Cookie)
		b = f.Match.appendTo(b)
		b = append(b, f.Instructions...)
	}
	putLen(b, start, len(b)-start)
	return b
}

func (f *FlowUpdate) decode(r *reader) {
	whole := r.b
	r.skip(2)
	f.Event = FlowEvent(r.u16())
	switch f.Event {
	case FlowAbbreviated:
		f.XID = r.u32()
	case FlowAdded, FlowDeleted, FlowModified:
		f.Reason = FlowRemovedReason(r.u16())
		f.Priority = r.u16()
		f.IdleTimeout = r.u16()
		f.HardTimeout = r.u16()
		r.skip(2) // as in decodeFlowMonitorRequest
		f.TableID = r.u8()
		r.skip(1)
		f.Cookie = r.u64()
		f.Match = r.match()
		f.Instructions = r.instructions()
	default:
		f.Raw = whole
		r.rest()
	}
}

func (*FlowMonitorCancel) MsgType() Type { return TypeExperimenter }

func (m *FlowMonitorCancel) AppendBody(b []byte) []byte {
	b = appendExperimenter(b, experimenterONF, typeFlowMonitor)
	return be.AppendUint32(b, m.ID)
}

func (*FlowMonitorPaused) MsgType() Type { return TypeExperimenter }

func (*FlowMonitorPaused) AppendBody(b []byte) []byte {
	return appendExperimenter(b, experimenterONF, typeFlowMonitorPaused)
}

func (*FlowMonitorResumed) MsgType() Type { return TypeExperimenter }

func (*FlowMonitorResumed) AppendBody(b []byte) []byte {
	return appendExperimenter(b, experimenterONF, typeFlowMonitorResumed)
}
