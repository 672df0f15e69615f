package openflow

type (
	// PortMod is ofp_port_mod. Of Config the bits of Mask are set. Advertise is
	// a set of features; 0 leaves what the port advertises.
	PortMod struct {
		PortNo    uint32
		HWAddr    [6]byte // must be the port's own
		Config    PortConfig
		Mask      PortConfig
		Advertise uint32
	}

	// PortStatsRequest asks for the counters of a port, or of PortAny.
	PortStatsRequest struct{ Port uint32 }
	PortStatsReply   struct{ Ports []PortStats }
	// PortStats is ofp_port_stats. A counter that the switch does not have is
	// all ones.
	PortStats struct {
		Port                  uint32
		RxPackets, TxPackets  uint64
		RxBytes, TxBytes      uint64
		RxDropped, TxDropped  uint64
		RxErrors, TxErrors    uint64
		RxFrameErr, RxOverErr uint64
		RxCRCErr, Collisions  uint64
		DurationSec           uint32
		DurationNsec          uint32
	}
)

// Further bits of PortConfig (enum ofp_port_config) and PortState.
const (
	PortConfigNoRecv     PortConfig = 1 << 2
	PortConfigNoFwd      PortConfig = 1 << 5
	PortConfigNoPacketIn PortConfig = 1 << 6

	PortStateBlocked PortState = 1 << 1
	PortStateLive    PortState = 1 << 2
)

func (*PortMod) MsgType() Type { return TypePortMod }

func (m *PortMod) AppendBody(b []byte) []byte {
	b = be.AppendUint32(b, m.PortNo)
	b = be.AppendUint32(b, 0)
	b = append(b, m.HWAddr[:]...)
	b = append(b, 0, 0)
	b = be.AppendUint32(b, uint32(m.Config))
	b = be.AppendUint32(b, uint32(m.Mask))
	b = be.AppendUint32(b, m.Advertise)
	return be.AppendUint32(b, 0)
}

func decodePortMod(r *reader) *PortMod {
	m := &PortMod{PortNo: r.u32()}
	r.skip(4)
	copy(m.HWAddr[:], r.take(6))
	r.skip(2)
	m.Config = PortConfig(r.u32())
	m.Mask = PortConfig(r.u32())
	m.Advertise = r.u32()
	r.skip(4)
	return m
}

func (*PortStatsRequest) MultipartType() MultipartType { return MultipartPortStats }

func (m *PortStatsRequest) AppendMultipart(b []byte) []byte {
	b = be.AppendUint32(b, m.Port)
	return be.AppendUint32(b, 0)
}

func (*PortStatsReply) MultipartType() MultipartType { return MultipartPortStats }

// portStatsLen is the size of ofp_port_stats.
const portStatsLen = 112

func (m *PortStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Ports {
		s := &m.Ports[i]
		b = be.AppendUint32(b, s.Port)
		b = be.AppendUint32(b, 0)
		for _, n := range s.counters() {
			b = be.AppendUint64(b, *n)
		}
		b = be.AppendUint32(b, s.DurationSec)
		b = be.AppendUint32(b, s.DurationNsec)
	}
	return b
}

func (s *PortStats) decode(r *reader) {
	s.Port = r.u32()
	r.skip(4)
	for _, n := range s.counters() {
		*n = r.u64()
	}
	s.DurationSec = r.u32()
	s.DurationNsec = r.u32()
}

// counters are the counters in the order of the wire.
func (s *PortStats) counters() [12]*uint64 {
	return [...]*uint64{
		&s.RxPackets, &s.TxPackets, &s.RxBytes, &s.TxBytes, &s.RxDropped, &s.TxDropped, &s.RxErrors, &s.TxErrors,
		&s.RxFrameErr, &s.RxOverErr, &s.RxCRCErr, &s.Collisions,
	}
}
