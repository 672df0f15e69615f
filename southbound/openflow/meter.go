package openflow

type (
	MeterModCommand uint16
	MeterFlags      uint16
	MeterBandType   uint16
)

const (
	MeterAdd    MeterModCommand = 0
	MeterModify MeterModCommand = 1
	MeterDelete MeterModCommand = 2

	MeterKbps  MeterFlags = 1 << 0 // rates are in kbit/s
	MeterPktps MeterFlags = 1 << 1 // rates are in packets/s
	MeterBurst MeterFlags = 1 << 2 // burst sizes count
	MeterStats MeterFlags = 1 << 3 // OFPMF_STATS

	BandDrop         MeterBandType = 1
	BandDSCPRemark   MeterBandType = 2
	BandExperimenter MeterBandType = 0xffff
)

// Reserved meter ids (enum ofp_meter).
const (
	MaxMeter        uint32 = 0xffff0000
	MeterSlowpath   uint32 = 0xfffffffd
	MeterController uint32 = 0xfffffffe
	AllMeters       uint32 = 0xffffffff
)

type (
	// MeterMod is ofp_meter_mod.
	MeterMod struct {
		Command MeterModCommand
		Flags   MeterFlags
		MeterID uint32
		Bands   []MeterBand
	}
	// MeterBand is ofp_meter_band_*. Rate and BurstSize are in kbit/s and kbit,
	// or packets with MeterPktps. PrecLevel is for BandDSCPRemark. Raw is
	// what follows BurstSize where that has no field here (another type or
	// length); it is then sent instead of PrecLevel and is at least 4 bytes.
	MeterBand struct {
		Type      MeterBandType
		PrecLevel uint8
		Rate      uint32
		BurstSize uint32
		Raw       []byte
	}

	// MeterStatsRequest asks for the counters of a meter, or AllMeters.
	MeterStatsRequest struct{ MeterID uint32 }
	MeterStatsReply   struct{ Meters []MeterCounters }
	// MeterCounters is ofp_meter_stats.
	MeterCounters struct {
		MeterID       uint32
		FlowCount     uint32
		PacketInCount uint64
		ByteInCount   uint64
		DurationSec   uint32
		DurationNsec  uint32
		Bands         []Counter
	}

	// MeterConfigRequest asks for the bands of a meter, or AllMeters.
	MeterConfigRequest struct{ MeterID uint32 }
	MeterConfigReply   struct{ Meters []MeterConfig }
	// MeterConfig is ofp_meter_config.
	MeterConfig struct {
		Flags   MeterFlags
		MeterID uint32
		Bands   []MeterBand
	}

	MeterFeaturesRequest struct{}
	// MeterFeatures is ofp_meter_features.
	MeterFeatures struct {
		MaxMeter     uint32 // how many meters there can be
		BandTypes    uint32 // bit n: bands of type n are supported
		Capabilities uint32 // bits of MeterFlags
		MaxBands     uint8
		MaxColor     uint8
	}
)

func (*MeterMod) MsgType() Type { return TypeMeterMod }

func (m *MeterMod) AppendBody(b []byte) []byte {
	b = be.AppendUint16(b, uint16(m.Command))
	b = be.AppendUint16(b, uint16(m.Flags))
	b = be.AppendUint32(b, m.MeterID)
	return appendBands(b, m.Bands)
}

func decodeMeterMod(r *reader) *MeterMod {
	m := &MeterMod{Command: MeterModCommand(r.u16()), Flags: MeterFlags(r.u16()), MeterID: r.u32()}
	var room bandRoom
	if err := room.count(r.b); err != nil {
		r.failWith(err)
		return m
	}
	room.take()
	m.Bands = room.decode(r)
	return m
}

// bandMin is the size of the bands that the specification has, and the least
// that one with an experimenter's id can have.
const bandMin = 16

func appendBands(b []byte, bands []MeterBand) []byte {
	for i := range bands {
		k := &bands[i]
		start := len(b)
		b = be.AppendUint16(b, uint16(k.Type))
		b = append(b, 0, 0)
		b = be.AppendUint32(b, k.Rate)
		b = be.AppendUint32(b, k.BurstSize)
		if len(k.Raw) > 0 {
			b = append(b, k.Raw...)
		} else {
			b = append(b, k.PrecLevel, 0, 0, 0)
		}
		putLen(b, start+2, len(b)-start)
	}
	return b
}

// bandRoom is the memory for all bands of a message, which is taken at once
// after they have been counted.
type bandRoom struct {
	n, bytes int
	bands    []MeterBand
	raw      []byte
}

// count adds the bands in b and checks their framing.
func (room *bandRoom) count(b []byte) error {
	n, err := countEntries(b, 2, bandMin, "meter band")
	if err != nil {
		return err
	}
	room.n += n
	for len(b) > 0 {
		size := be.Uint16(b[2:])
		if bandIsRaw(b[:size]) {
			room.bytes += int(size) - 12
		}
		b = b[size:]
	}
	return nil
}

func bandIsRaw(b []byte) bool {
	switch MeterBandType(be.Uint16(b)) {
	case BandDrop:
		return len(b) != bandMin || !allZero(b[12:])
	case BandDSCPRemark:
		return len(b) != bandMin || !allZero(b[13:])
	}
	return true
}

func (room *bandRoom) take() {
	if room.n > 0 {
		room.bands = make([]MeterBand, 0, room.n)
	}
	if room.bytes > 0 {
		room.raw = make([]byte, 0, room.bytes)
	}
}

// decode decodes the bands in r, which have been counted.
func (room *bandRoom) decode(r *reader) []MeterBand {
	first := len(room.bands)
	for len(r.b) > 0 {
		b := r.take(int(be.Uint16(r.b[2:])))
		k := MeterBand{Type: MeterBandType(be.Uint16(b)), Rate: be.Uint32(b[4:]), BurstSize: be.Uint32(b[8:])}
		if bandIsRaw(b) {
			start := len(room.raw)
			room.raw = append(room.raw, b[12:]...)
			k.Raw = room.raw[start:len(room.raw):len(room.raw)]
		} else {
			k.PrecLevel = b[12]
		}
		room.bands = append(room.bands, k)
	}
	if n := len(room.bands); n > first {
		return room.bands[first:n:n]
	}
	return nil
}

func appendMeterID(b []byte, id uint32) []byte {
	b = be.AppendUint32(b, id)
	return be.AppendUint32(b, 0)
}

func (*MeterStatsRequest) MultipartType() MultipartType      { return MultipartMeter }
func (m *MeterStatsRequest) AppendMultipart(b []byte) []byte { return appendMeterID(b, m.MeterID) }
func (*MeterStatsReply) MultipartType() MultipartType        { return MultipartMeter }

// meterStatsMin is the size of an ofp_meter_stats without bands.
const meterStatsMin = 40

func (m *MeterStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Meters {
		s := &m.Meters[i]
		b = be.AppendUint32(b, s.MeterID)
		b = be.AppendUint16(b, uint16(meterStatsMin+counterLen*len(s.Bands)))
		b = appendZeros(b, 6)
		b = be.AppendUint32(b, s.FlowCount)
		b = be.AppendUint64(b, s.PacketInCount)
		b = be.AppendUint64(b, s.ByteInCount)
		b = be.AppendUint32(b, s.DurationSec)
		b = be.AppendUint32(b, s.DurationNsec)
		b = appendCounters(b, s.Bands)
	}
	return b
}

func (s *MeterCounters) decode(r *reader) {
	s.MeterID = r.u32()
	r.skip(8)
	s.FlowCount = r.u32()
	s.PacketInCount = r.u64()
	s.ByteInCount = r.u64()
	s.DurationSec = r.u32()
	s.DurationNsec = r.u32()
	s.Bands = decodeFixed(r, counterLen, (*Counter).decode)
}

func (*MeterConfigRequest) MultipartType() MultipartType      { return MultipartMeterConfig }
func (m *MeterConfigRequest) AppendMultipart(b []byte) []byte { return appendMeterID(b, m.MeterID) }
func (*MeterConfigReply) MultipartType() MultipartType        { return MultipartMeterConfig }

// meterConfigMin is the size of an ofp_meter_config without bands.
const meterConfigMin = 8

func (m *MeterConfigReply) AppendMultipart(b []byte) []byte {
	for i := range m.Meters {
		c := &m.Meters[i]
		start := len(b)
		b = append(b, 0, 0)
		b = be.AppendUint16(b, uint16(c.Flags))
		b = be.AppendUint32(b, c.MeterID)
		b = appendBands(b, c.Bands)
		putLen(b, start, len(b)-start)
	}
	return b
}

func decodeMeterConfigReply(r *reader) *MeterConfigReply {
	m := new(MeterConfigReply)
	n, err := countEntries(r.b, 0, meterConfigMin, "meter config")
	var room bandRoom
	for b := r.b; err == nil && len(b) > 0; {
		size := be.Uint16(b)
		err = room.count(b[meterConfigMin:size])
		b = b[size:]
	}
	if err != nil {
		r.failWith(err)
		return m
	}
	if n == 0 {
		return m
	}
	room.take()
	m.Meters = make([]MeterConfig, n)
	var e reader
	for i := range m.Meters {
		c := &m.Meters[i]
		e = reader{b: r.take(int(be.Uint16(r.b)))}
		e.skip(2)
		c.Flags = MeterFlags(e.u16())
		c.MeterID = e.u32()
		c.Bands = room.decode(&e)
	}
	return m
}

func (*MeterFeaturesRequest) MultipartType() MultipartType    { return MultipartMeterFeatures }
func (*MeterFeaturesRequest) AppendMultipart(b []byte) []byte { return b }
func (*MeterFeatures) MultipartType() MultipartType           { return MultipartMeterFeatures }

func (m *MeterFeatures) AppendMultipart(b []byte) []byte {
	b = be.AppendUint32(b, m.MaxMeter)
	b = be.AppendUint32(b, m.BandTypes)
	b = be.AppendUint32(b, m.Capabilities)
	return append(b, m.MaxBands, m.MaxColor, 0, 0)
}

func decodeMeterFeatures(r *reader) *MeterFeatures {
	m := &MeterFeatures{
		MaxMeter: r.u32(), BandTypes: r.u32(), Capabilities: r.u32(), MaxBands: r.u8(), MaxColor: r.u8(),
	}
	r.skip(2)
	return m
}
