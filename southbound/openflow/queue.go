package openflow

type (
	// QueueGetConfigRequest asks for the queues of a port, or of PortAny.
	QueueGetConfigRequest struct{ Port uint32 }
	// QueueGetConfigReply is ofp_queue_get_config_reply.
	QueueGetConfigReply struct {
		Port   uint32
		Queues []Queue
	}
	// Queue is ofp_packet_queue.
	Queue struct {
		QueueID    uint32
		Port       uint32
		Properties QueueProperties
	}
	// QueueProperties is the list of properties of a queue in wire form.
	QueueProperties []byte
	// QueueProperty names a property (enum ofp_queue_properties).
	QueueProperty uint16

	// QueueStatsRequest asks for the counters of a queue; PortAny and QueueAll
	// ask for those of all ports and queues.
	QueueStatsRequest struct{ Port, QueueID uint32 }
	QueueStatsReply   struct{ Queues []QueueStats }
	// QueueStats is ofp_queue_stats.
	QueueStats struct {
		Port         uint32
		QueueID      uint32
		TxBytes      uint64
		TxPackets    uint64
		TxErrors     uint64
		DurationSec  uint32
		DurationNsec uint32
	}
)

const (
	QueueAll uint32 = 0xffffffff // OFPQ_ALL

	QueueMinRate QueueProperty = 1 // in 1/10 percent of the port's rate
	QueueMaxRate QueueProperty = 2
)

// Rate returns the rate that a property gives. One above 1000 means that it is
// not in force.
func (p QueueProperties) Rate(of QueueProperty) (tenths uint16, ok bool) {
	for b := []byte(p); len(b) >= queuePropertyMin; {
		n := int(be.Uint16(b[2:]))
		if n < queuePropertyMin || n > len(b) {
			break
		}
		if QueueProperty(be.Uint16(b)) == of && n >= queuePropertyMin+2 {
			return be.Uint16(b[8:]), true
		}
		b = b[n:]
	}
	return 0, false
}

// AppendRate appends a property that gives a rate.
func (p QueueProperties) AppendRate(of QueueProperty, tenths uint16) QueueProperties {
	return append(p, byte(of>>8), byte(of), 0, 16, 0, 0, 0, 0, byte(tenths>>8), byte(tenths), 0, 0, 0, 0, 0, 0)
}

// Sizes of the head of a property, and of an ofp_packet_queue without any.
const (
	queuePropertyMin = 8
	queueMin         = 16
)

func (*QueueGetConfigRequest) MsgType() Type { return TypeQueueGetConfigRequest }

func (m *QueueGetConfigRequest) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, m.Port)
	return be.AppendUint32(b, 0)
}

func (*QueueGetConfigReply) MsgType() Type { return TypeQueueGetConfigReply }

func (m *QueueGetConfigReply) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, m.Port)
	b = be.AppendUint32(b, 0)
	for i := range m.Queues {
		q := &m.Queues[i]
		b = be.AppendUint32(b, q.QueueID)
		b = be.AppendUint32(b, q.Port)
		b = be.AppendUint16(b, uint16(queueMin+len(q.Properties)))
		b = appendZeros(b, 6)
		b = append(b, q.Properties...)
	}
	return b
}

func decodeQueueGetConfigReply(r *reader) *QueueGetConfigReply {
	m := &QueueGetConfigReply{Port: r.u32()}
	r.skip(4)
	m.Queues = decodeEntries(r, 8, queueMin, "queue", (*Queue).decode)
	// What all properties take is known now, so that they are copied into one
	// block of memory.
	var room []byte
	n := 0
	for i := range m.Queues {
		n += len(m.Queues[i].Properties)
	}
	if n > 0 {
		room = make([]byte, 0, n)
	}
	for i := range m.Queues {
		if p := &m.Queues[i].Properties; len(*p) > 0 {
			start := len(room)
			room = append(room, *p...)
			*p = room[start:len(room):len(room)]
		}
	}
	return m
}

func (q *Queue) decode(r *reader) {
	q.QueueID = r.u32()
	q.Port = r.u32()
	r.skip(8)
	b := r.rest()
	if _, err := countEntries(b, 2, queuePropertyMin, "queue property"); err != nil {
		r.failWith(err)
	}
	q.Properties = b
}

func (*QueueStatsRequest) MultipartType() MultipartType { return MultipartQueue }

func (m *QueueStatsRequest) AppendMultipart(b []byte) []byte {
	b = be.AppendUint32(b, m.Port)
	return be.AppendUint32(b, m.QueueID)
}

func (*QueueStatsReply) MultipartType() MultipartType { return MultipartQueue }

// queueStatsLen is the size of ofp_queue_stats.
const queueStatsLen = 40

func (m *QueueStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Queues {
		s := &m.Queues[i]
		b = be.AppendUint32(b, s.Port)
		b = be.AppendUint32(b, s.QueueID)
		b = be.AppendUint64(b, s.TxBytes)
		b = be.AppendUint64(b, s.TxPackets)
		b = be.AppendUint64(b, s.TxErrors)
		b = be.AppendUint32(b, s.DurationSec)
		b = be.AppendUint32(b, s.DurationNsec)
	}
	return b
}

func (s *QueueStats) decode(r *reader) {
	s.Port = r.u32()
	s.QueueID = r.u32()
	s.TxBytes = r.u64()
	s.TxPackets = r.u64()
	s.TxErrors = r.u64()
	s.DurationSec = r.u32()
	s.DurationNsec = r.u32()
}
