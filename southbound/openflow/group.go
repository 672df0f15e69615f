package openflow

type (
	GroupModCommand   uint16
	GroupType         uint8
	GroupCapabilities uint32
)

const (
	GroupAdd    GroupModCommand = 0
	GroupModify GroupModCommand = 1
	GroupDelete GroupModCommand = 2

	GroupAll          GroupType = 0
	GroupSelect       GroupType = 1
	GroupIndirect     GroupType = 2
	GroupFastFailover GroupType = 3

	GroupSelectWeight   GroupCapabilities = 1 << 0 // OFPGFC_SELECT_WEIGHT
	GroupSelectLiveness GroupCapabilities = 1 << 1 // OFPGFC_SELECT_LIVENESS
	GroupChaining       GroupCapabilities = 1 << 2 // OFPGFC_CHAINING
	GroupChainingChecks GroupCapabilities = 1 << 3 // OFPGFC_CHAINING_CHECKS
)

// AllGroups is OFPG_ALL: in a GroupDelete and in statistics requests it stands
// for all groups.
const AllGroups uint32 = 0xfffffffc

type (
	// GroupMod is ofp_group_mod.
	GroupMod struct {
		Command   GroupModCommand
		GroupType GroupType
		GroupID   uint32
		Buckets   []Bucket
	}
	// Bucket is ofp_bucket. WatchPort and WatchGroup are for fast failover,
	// PortAny and GroupAny otherwise; Weight is for select groups.
	Bucket struct {
		Weight     uint16
		WatchPort  uint32
		WatchGroup uint32
		Actions    Actions
	}

	// GroupStatsRequest is ofp_group_stats_request; AllGroups asks for all.
	GroupStatsRequest struct{ GroupID uint32 }
	GroupStatsReply   struct{ Groups []GroupStats }
	// GroupStats is ofp_group_stats.
	GroupStats struct {
		GroupID      uint32
		RefCount     uint32
		PacketCount  uint64
		ByteCount    uint64
		DurationSec  uint32
		DurationNsec uint32
		Buckets      []Counter
	}
	// Counter is ofp_bucket_counter and ofp_meter_band_stats.
	Counter struct{ PacketCount, ByteCount uint64 }

	GroupDescRequest struct{}
	GroupDescReply   struct{ Groups []GroupDesc }
	// GroupDesc is ofp_group_desc.
	GroupDesc struct {
		GroupType GroupType
		GroupID   uint32
		Buckets   []Bucket
	}

	GroupFeaturesRequest struct{}
	// GroupFeatures is ofp_group_features. The arrays are indexed by GroupType;
	// bit n of Actions stands for the action of type n.
	GroupFeatures struct {
		Types        uint32 // bit n: type n is supported
		Capabilities GroupCapabilities
		MaxGroups    [4]uint32
		Actions      [4]uint32
	}
)

func (*GroupMod) MsgType() Type { return TypeGroupMod }

func (m *GroupMod) AppendBody(b []byte) []byte {
	b = be.AppendUint16(b, uint16(m.Command))
	b = append(b, byte(m.GroupType), 0)
	b = be.AppendUint32(b, m.GroupID)
	return appendBuckets(b, m.Buckets)
}

func decodeGroupMod(r *reader) *GroupMod {
	m := &GroupMod{Command: GroupModCommand(r.u16()), GroupType: GroupType(r.u8())}
	r.skip(1)
	m.GroupID = r.u32()
	var room bucketRoom
	if err := room.count(r.b); err != nil {
		r.failWith(err)
		return m
	}
	room.take()
	m.Buckets = room.decode(r)
	return m
}

// bucketMin is the size of an ofp_bucket without actions.
const bucketMin = 16

func appendBuckets(b []byte, buckets []Bucket) []byte {
	for i := range buckets {
		k := &buckets[i]
		b = be.AppendUint16(b, uint16(bucketMin+len(k.Actions)))
		b = be.AppendUint16(b, k.Weight)
		b = be.AppendUint32(b, k.WatchPort)
		b = be.AppendUint32(b, k.WatchGroup)
		b = be.AppendUint32(b, 0)
		b = append(b, k.Actions...)
	}
	return b
}

// bucketRoom is the memory for all buckets of a message, which is taken at once
// after they have been counted.
type bucketRoom struct {
	n, bytes int
	buckets  []Bucket
	actions  []byte
}

// count adds the buckets in b and checks their framing.
func (room *bucketRoom) count(b []byte) error {
	n, err := countEntries(b, 0, bucketMin, "bucket")
	room.n += n
	room.bytes += len(b) - n*bucketMin
	return err
}

func (room *bucketRoom) take() {
	if room.n > 0 {
		room.buckets = make([]Bucket, 0, room.n)
	}
	if room.bytes > 0 {
		room.actions = make([]byte, 0, room.bytes)
	}
}

// decode decodes the buckets in b, which have been counted, but for their
// actions, whose framing it checks.
func (room *bucketRoom) decode(r *reader) []Bucket {
	first := len(room.buckets)
	for len(r.b) > 0 {
		e := reader{b: r.take(int(be.Uint16(r.b)))}
		e.skip(2)
		k := Bucket{Weight: e.u16(), WatchPort: e.u32(), WatchGroup: e.u32()}
		e.skip(4)
		if a := e.actions(len(e.b)); len(a) > 0 {
			start := len(room.actions)
			room.actions = append(room.actions, a...)
			k.Actions = room.actions[start:len(room.actions):len(room.actions)]
		}
		if r.adopt(&e); r.err != nil {
			return nil
		}
		room.buckets = append(room.buckets, k)
	}
	if n := len(room.buckets); n > first {
		return room.buckets[first:n:n]
	}
	return nil
}

func (*GroupStatsRequest) MultipartType() MultipartType { return MultipartGroup }

func (m *GroupStatsRequest) AppendMultipart(b []byte) []byte {
	b = be.AppendUint32(b, m.GroupID)
	return be.AppendUint32(b, 0)
}

func (*GroupStatsReply) MultipartType() MultipartType { return MultipartGroup }

func (m *GroupStatsReply) AppendMultipart(b []byte) []byte {
	for i := range m.Groups {
		g := &m.Groups[i]
		b = be.AppendUint16(b, uint16(groupStatsMin+counterLen*len(g.Buckets)))
		b = append(b, 0, 0)
		b = be.AppendUint32(b, g.GroupID)
		b = be.AppendUint32(b, g.RefCount)
		b = be.AppendUint32(b, 0)
		b = be.AppendUint64(b, g.PacketCount)
		b = be.AppendUint64(b, g.ByteCount)
		b = be.AppendUint32(b, g.DurationSec)
		b = be.AppendUint32(b, g.DurationNsec)
		b = appendCounters(b, g.Buckets)
	}
	return b
}

const (
	groupStatsMin = 40 // ofp_group_stats without buckets
	counterLen    = 16
)

func (g *GroupStats) decode(r *reader) {
	r.skip(4)
	g.GroupID = r.u32()
	g.RefCount = r.u32()
	r.skip(4)
	g.PacketCount = r.u64()
	g.ByteCount = r.u64()
	g.DurationSec = r.u32()
	g.DurationNsec = r.u32()
	g.Buckets = decodeFixed(r, counterLen, (*Counter).decode)
}

func appendCounters(b []byte, counters []Counter) []byte {
	for _, c := range counters {
		b = be.AppendUint64(b, c.PacketCount)
		b = be.AppendUint64(b, c.ByteCount)
	}
	return b
}

func (c *Counter) decode(r *reader) {
	c.PacketCount = r.u64()
	c.ByteCount = r.u64()
}

func (*GroupDescRequest) MultipartType() MultipartType    { return MultipartGroupDesc }
func (*GroupDescRequest) AppendMultipart(b []byte) []byte { return b }
func (*GroupDescReply) MultipartType() MultipartType      { return MultipartGroupDesc }

// groupDescMin is the size of an ofp_group_desc without buckets.
const groupDescMin = 8

func (m *GroupDescReply) AppendMultipart(b []byte) []byte {
	for i := range m.Groups {
		g := &m.Groups[i]
		start := len(b)
		b = append(b, 0, 0, byte(g.GroupType), 0)
		b = be.AppendUint32(b, g.GroupID)
		b = appendBuckets(b, g.Buckets)
		putLen(b, start, len(b)-start)
	}
	return b
}

func decodeGroupDescReply(r *reader) *GroupDescReply {
	m := new(GroupDescReply)
	n, err := countEntries(r.b, 0, groupDescMin, "group desc")
	var room bucketRoom
	for b := r.b; err == nil && len(b) > 0; {
		size := be.Uint16(b)
		err = room.count(b[groupDescMin:size])
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
	m.Groups = make([]GroupDesc, n)
	var e reader
	for i := range m.Groups {
		g := &m.Groups[i]
		e = reader{b: r.take(int(be.Uint16(r.b)))}
		e.skip(2)
		g.GroupType = GroupType(e.u8())
		e.skip(1)
		g.GroupID = e.u32()
		g.Buckets = room.decode(&e)
		if r.adopt(&e); r.err != nil {
			break
		}
	}
	return m
}

func (*GroupFeaturesRequest) MultipartType() MultipartType    { return MultipartGroupFeatures }
func (*GroupFeaturesRequest) AppendMultipart(b []byte) []byte { return b }
func (*GroupFeatures) MultipartType() MultipartType           { return MultipartGroupFeatures }

func (m *GroupFeatures) AppendMultipart(b []byte) []byte {
	b = be.AppendUint32(b, m.Types)
	b = be.AppendUint32(b, uint32(m.Capabilities))
	for _, n := range m.MaxGroups {
		b = be.AppendUint32(b, n)
	}
	for _, a := range m.Actions {
		b = be.AppendUint32(b, a)
	}
	return b
}

func decodeGroupFeatures(r *reader) *GroupFeatures {
	m := &GroupFeatures{Types: r.u32(), Capabilities: GroupCapabilities(r.u32())}
	for i := range m.MaxGroups {
		m.MaxGroups[i] = r.u32()
	}
	for i := range m.Actions {
		m.Actions[i] = r.u32()
	}
	return m
}
