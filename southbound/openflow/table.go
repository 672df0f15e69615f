package openflow

type (
	// TableMod is ofp_table_mod. TableAll is all tables. Version 1.3 has no
	// bits of Config but OFPTC_DEPRECATED_MASK.
	TableMod struct {
		TableID uint8
		Config  uint32
	}

	TableStatsRequest struct{}
	TableStatsReply   struct{ Tables []TableStats }
	// TableStats is ofp_table_stats.
	TableStats struct {
		TableID      uint8
		ActiveCount  uint32 // flows
		LookupCount  uint64
		MatchedCount uint64
	}

	// AggregateRequest asks for the sums over the flows that a FlowStatsRequest
	// with the same fields asks for.
	AggregateRequest FlowStatsRequest
	// AggregateReply is ofp_aggregate_stats_reply.
	AggregateReply struct {
		PacketCount uint64
		ByteCount   uint64
		FlowCount   uint32
	}
)

func (*TableMod) MsgType() Type { return TypeTableMod }

func (m *TableMod) AppendBody(b []byte) []byte {
	return be.AppendUint32(append(b, m.TableID, 0, 0, 0), m.Config)
}

func decodeTableMod(r *reader) *TableMod {
	m := &TableMod{TableID: r.u8()}
	r.skip(3)
	m.Config = r.u32()
	return m
}

func (*TableStatsRequest) MultipartType() MultipartType    { return MultipartTable }
func (*TableStatsRequest) AppendMultipart(b []byte) []byte { return b }
func (*TableStatsReply) MultipartType() MultipartType      { return MultipartTable }

// tableStatsLen is the size of ofp_table_stats.
const tableStatsLen = 24

func (m *TableStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Tables {
		s := &m.Tables[i]
		b = append(b, s.TableID, 0, 0, 0)
		b = be.AppendUint32(b, s.ActiveCount)
		b = be.AppendUint64(b, s.LookupCount)
		b = be.AppendUint64(b, s.MatchedCount)
	}
	return b
}

func (s *TableStats) decode(r *reader) {
	s.TableID = r.u8()
	r.skip(3)
	s.ActiveCount = r.u32()
	s.LookupCount = r.u64()
	s.MatchedCount = r.u64()
}

func (*AggregateRequest) MultipartType() MultipartType { return MultipartAggregate }

func (m *AggregateRequest) AppendMultipart(b []byte) []byte {
	return (*FlowStatsRequest)(m).AppendMultipart(b)
}

func (*AggregateReply) MultipartType() MultipartType { return MultipartAggregate }

func (m *AggregateReply) AppendMultipart(b []byte) []byte {
	b = be.AppendUint64(b, m.PacketCount)
	b = be.AppendUint64(b, m.ByteCount)
	b = be.AppendUint32(b, m.FlowCount)
	return be.AppendUint32(b, 0)
}

func decodeAggregateReply(r *reader) *AggregateReply {
	m := &AggregateReply{PacketCount: r.u64(), ByteCount: r.u64(), FlowCount: r.u32()}
	r.skip(4)
	return m
}
