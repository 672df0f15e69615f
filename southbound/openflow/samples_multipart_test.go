package openflow

import "net/netip"

var sampleBuckets = []Bucket{
	{Weight: 100, WatchPort: 1, WatchGroup: GroupAny, Actions: NewActions(ActionOutput{Port: 1})},
	{Weight: 200, WatchPort: PortAny, WatchGroup: 7, Actions: NewActions(ActionSetField{oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")}, ActionOutput{Port: 2})},
	{WatchPort: PortAny, WatchGroup: GroupAny},
}

var sampleBands = []MeterBand{
	{Type: BandDrop, Rate: 1000, BurstSize: 100},
	{Type: BandDSCPRemark, PrecLevel: 3, Rate: 2000, BurstSize: 200},
}

// sampleTableProperties has one property of every kind.
var sampleTableProperties = NewTableProperties(
	InstructionsProperty{Instructions: []FeatureID{{Type: instructionGotoTable}, {Type: instructionApplyActions}}},
	InstructionsProperty{Miss: true, Instructions: []FeatureID{{Type: instructionGotoTable}}},
	NextTablesProperty{Tables: []uint8{1, 2, 3, 9}},
	NextTablesProperty{Miss: true, Tables: []uint8{1}},
	ActionsProperty{Actions: []FeatureID{{Type: actionOutput}}},
	ActionsProperty{Miss: true, Actions: []FeatureID{}},
	ActionsProperty{Apply: true, Actions: []FeatureID{{Type: actionOutput}, {Type: actionSetField}}},
	ActionsProperty{Apply: true, Miss: true, Actions: []FeatureID{{Type: actionOutput}}},
	MatchProperty{Fields: []FieldFeature{{Field: EthSrc, HasMask: true, Len: 12}, {Field: InPort, Len: 4}}},
	MatchProperty{Wildcards: true, Fields: []FieldFeature{{Field: EthSrc, Len: 6}}},
	SetFieldProperty{Fields: []FieldFeature{{Field: EthSrc, Len: 6}}},
	SetFieldProperty{Miss: true, Fields: []FieldFeature{{Field: EthDst, Len: 6}}},
	SetFieldProperty{Apply: true, Fields: []FieldFeature{{Field: EthSrc, Len: 6}, {Field: EthDst, Len: 6}}},
	SetFieldProperty{Apply: true, Miss: true, Fields: []FieldFeature{{Field: EthDst, Len: 6}}},
)

var sampleFrame = []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xcc")

var groupSamples = []sample{
	{
		"group-mod", &GroupMod{Command: GroupModify, GroupType: GroupSelect, GroupID: 0x1234, Buckets: sampleBuckets},
		[]string{
			"OFPT_GROUP_MOD",
			"MOD group_id=4660,type=select,bucket=weight:100,watch_port:1,actions=output:1,bucket=weight:200,watch_group:7,actions=set_field:02:00:00:00:00:01->eth_src,output:2,bucket=weight:0,actions=drop",
		},
	},
	{"group-mod that deletes", &GroupMod{Command: GroupDelete, GroupID: AllGroups}, []string{"OFPT_GROUP_MOD", "DEL group_id=4294967292"}},
	{
		"meter-mod", &MeterMod{Command: MeterAdd, Flags: MeterKbps | MeterBurst | MeterStats, MeterID: 5, Bands: sampleBands},
		[]string{
			"OFPT_METER_MOD",
			"ADD meter=5 kbps burst stats bands=",
			"type=drop rate=1000 burst_size=100\n",
			"type=dscp_remark rate=2000 burst_size=200 prec_level=3",
		},
	},
	{"meter-mod of the controller's meter", &MeterMod{Command: MeterModify, Flags: MeterPktps, MeterID: MeterController, Bands: sampleBands[:1]}, []string{"MOD meter=controller pktps bands=", "type=drop rate=1000"}},
	{"meter-mod of the slow path's meter", &MeterMod{Command: MeterDelete, MeterID: MeterSlowpath}, []string{"DEL meter=slowpath"}},
	{"meter-mod of all meters", &MeterMod{Command: MeterDelete, MeterID: AllMeters}, []string{"DEL meter=all"}},
	{"meter-mod of an experimenter's band", &MeterMod{MeterID: 1, Bands: []MeterBand{
		{Type: BandExperimenter, Rate: 1, BurstSize: 2, Raw: []byte("\x00\x00\x23\x20\x01\x02\x03\x04\x05\x06\x07\x08")}, {Type: BandDrop, Rate: 9},
	}}, nil},
	{"group stats request", &MultipartRequest{Body: &GroupStatsRequest{GroupID: AllGroups}}, []string{"OFPST_GROUP request", "group_id=ALL"}},
	{"group stats", &MultipartReply{Body: &GroupStatsReply{Groups: []GroupStats{
		{
			GroupID: 0x1234, RefCount: 2, PacketCount: 3, ByteCount: 4, DurationSec: 5, DurationNsec: 6e6,
			Buckets: []Counter{{PacketCount: 7, ByteCount: 8}, {PacketCount: 9, ByteCount: 10}},
		},
		{GroupID: 2},
	}}}, []string{
		"OFPST_GROUP reply",
		"group_id=4660,duration=5.006s,ref_count=2,packet_count=3,byte_count=4,bucket0:packet_count=7,byte_count=8,bucket1:packet_count=9,byte_count=10",
		"group_id=2,duration=0s",
	}},
	{"group desc request", &MultipartRequest{Body: &GroupDescRequest{}}, []string{"OFPST_GROUP_DESC request"}},
	{"group desc", &MultipartReply{Body: &GroupDescReply{Groups: []GroupDesc{
		{GroupType: GroupSelect, GroupID: 0x1234, Buckets: sampleBuckets}, {GroupType: GroupAll, GroupID: 2},
		{GroupType: GroupFastFailover, GroupID: 3, Buckets: sampleBuckets[1:2]},
	}}}, []string{
		"OFPST_GROUP_DESC reply",
		"group_id=4660,type=select,bucket=weight:100,watch_port:1,actions=output:1,bucket=weight:200,watch_group:7,actions=set_field",
		"group_id=2,type=all\n",
		"group_id=3,type=ff,bucket=weight:200,watch_group:7,actions=set_field:02:00:00:00:00:01->eth_src,output:2",
	}},
	{"group features request", &MultipartRequest{Body: &GroupFeaturesRequest{}}, []string{"OFPST_GROUP_FEATURES request"}},
	{"group features", &MultipartReply{Body: &GroupFeatures{
		Types: 0xf, Capabilities: GroupSelectWeight | GroupChaining, MaxGroups: [4]uint32{1, 2, 3, 4}, Actions: [4]uint32{1, 0x800, 1, 0x2000000},
	}}, []string{"OFPST_GROUP_FEATURES reply", "Types:  0xf", "Capabilities:  0x5", "max_groups=0x4\n       actions: set_field"}},
	{"meter stats request", &MultipartRequest{Body: &MeterStatsRequest{MeterID: AllMeters}}, []string{"OFPST_METER request", "meter=all"}},
	{"meter stats", &MultipartReply{Body: &MeterStatsReply{Meters: []MeterCounters{
		{
			MeterID: 5, FlowCount: 2, PacketInCount: 3, ByteInCount: 4, DurationSec: 5, DurationNsec: 6e6,
			Bands: []Counter{{PacketCount: 7, ByteCount: 8}, {PacketCount: 9, ByteCount: 10}},
		},
		{MeterID: 6},
	}}}, []string{
		"OFPST_METER reply",
		"meter:5 flow_count:2 packet_in_count:3 byte_in_count:4 duration:5.006s bands:\n0: packet_count:7 byte_count:8\n1: packet_count:9 byte_count:10",
		"meter:6 flow_count:0",
	}},
	{"meter config request", &MultipartRequest{Body: &MeterConfigRequest{MeterID: 5}}, []string{"OFPST_METER_CONFIG request", "meter=5"}},
	{"meter config", &MultipartReply{Body: &MeterConfigReply{Meters: []MeterConfig{
		{Flags: MeterKbps | MeterBurst, MeterID: 5, Bands: sampleBands}, {Flags: MeterPktps, MeterID: 6},
	}}}, []string{
		"OFPST_METER_CONFIG reply",
		"meter=5 kbps burst bands=\ntype=drop rate=1000 burst_size=100\ntype=dscp_remark rate=2000 burst_size=200 prec_level=3",
		"meter=6 pktps bands=\n",
	}},
	{"meter features request", &MultipartRequest{Body: &MeterFeaturesRequest{}}, []string{"OFPST_METER_FEATURES request"}},
	{"meter features", &MultipartReply{Body: &MeterFeatures{
		MaxMeter: 65536, BandTypes: 1<<BandDrop | 1<<BandDSCPRemark, Capabilities: uint32(MeterKbps | MeterPktps), MaxBands: 8, MaxColor: 3,
	}}, []string{"OFPST_METER_FEATURES reply", "max_meter:65536 max_bands:8 max_color:3\nband_types: drop dscp_remark\ncapabilities: kbps pktps"}},
}

var portSamples = []sample{
	{"port-mod", &PortMod{
		PortNo: 3, HWAddr: [6]byte{2, 0, 0, 0, 0, 3}, Config: PortConfigDown | PortConfigNoPacketIn, Mask: PortConfigDown | PortConfigNoFwd | PortConfigNoPacketIn,
		Advertise: 1 << 11,
	}, []string{
		"OFPT_PORT_MOD",
		"port: 3: addr:02:00:00:00:00:03",
		"config: PORT_DOWN NO_PACKET_IN",
		"mask:   PORT_DOWN NO_FWD NO_PACKET_IN",
		"advertise: COPPER",
	}},
	{"table-mod", &TableMod{TableID: 9, Config: 3}, []string{"OFPT_TABLE_MOD", "table_id=9"}},
	{"queue-get-config request", &QueueGetConfigRequest{Port: 3}, []string{"OFPT_QUEUE_GET_CONFIG_REQUEST", "port=3"}},
	{"queue-get-config reply", &QueueGetConfigReply{Port: 3, Queues: []Queue{
		{QueueID: 1, Port: 3, Properties: QueueProperties(nil).AppendRate(QueueMinRate, 500).AppendRate(QueueMaxRate, 900)},
		{QueueID: 2, Port: 3},
	}}, []string{"OFPT_QUEUE_GET_CONFIG_REPLY", "port=3\nqueue 1: min_rate:50.0% max_rate:90.0%\nqueue 2:"}},
	{"port stats request", &MultipartRequest{Body: &PortStatsRequest{Port: PortAny}}, []string{"OFPST_PORT request", "port_no=ANY"}},
	{"port stats", &MultipartReply{Body: &PortStatsReply{Ports: []PortStats{{
		Port: 3, RxPackets: 1, TxPackets: 2, RxBytes: 3, TxBytes: 4, RxDropped: 5, TxDropped: 6, RxErrors: 7, TxErrors: 8, RxFrameErr: 9, RxOverErr: 10,
		RxCRCErr: 11, Collisions: 12, DurationSec: 13, DurationNsec: 5e8,
	}}}}, []string{
		"OFPST_PORT reply",
		"port  3: rx pkts=1, bytes=3, drop=5, errs=7, frame=9, over=10, crc=11",
		"tx pkts=2, bytes=4, drop=6, errs=8, coll=12",
		"duration=13.500s",
	}},
	{"queue stats request", &MultipartRequest{Body: &QueueStatsRequest{Port: PortAny, QueueID: QueueAll}}, []string{"OFPST_QUEUE request", "port=ANY queue=ALL"}},
	{"queue stats", &MultipartReply{Body: &QueueStatsReply{Queues: []QueueStats{
		{Port: 3, QueueID: 1, TxBytes: 2, TxPackets: 3, TxErrors: 4, DurationSec: 5, DurationNsec: 6e6}, {Port: 4, QueueID: 2},
	}}}, []string{"OFPST_QUEUE reply", "port 3 queue 1: bytes=2, pkts=3, errors=4, duration=5.006s", "port 4 queue 2: bytes=0"}},
	{"table stats request", &MultipartRequest{Body: &TableStatsRequest{}}, []string{"OFPST_TABLE request"}},
	{"table stats", &MultipartReply{Body: &TableStatsReply{Tables: []TableStats{
		{TableID: 0, ActiveCount: 1, LookupCount: 2, MatchedCount: 3}, {TableID: 7, ActiveCount: 4, LookupCount: 5, MatchedCount: 6},
	}}}, []string{"OFPST_TABLE reply", "table 0:\n    active=1, lookup=2, matched=3", "table 7:\n    active=4, lookup=5, matched=6"}},
	{"aggregate request", &MultipartRequest{Body: &AggregateRequest{
		TableID: 3, OutPort: 4, OutGroup: GroupAny, Cookie: 5, CookieMask: 0xff, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01")),
	}}, []string{"OFPST_AGGREGATE request", "table=3 out_port=4 in_port=1"}},
	{"aggregate", &MultipartReply{Body: &AggregateReply{PacketCount: 1, ByteCount: 2, FlowCount: 3}}, []string{"OFPST_AGGREGATE reply", "packet_count=1 byte_count=2 flow_count=3"}},
	{"table features request", &MultipartRequest{Body: &TableFeaturesRequest{}}, []string{"OFPST_TABLE_FEATURES request"}},
	{"table features", &MultipartReply{Body: &TableFeaturesReply{Tables: []TableFeatures{{
		TableID: 7, Name: "classify", MetadataMatch: 0xff, MetadataWrite: 0xf0, Config: 3, MaxEntries: 1000, Properties: sampleTableProperties,
	}}}}, []string{
		"OFPST_TABLE_FEATURES reply",
		"table 7 (\"classify\"):",
		"metadata: match=0xff write=0xf0",
		"max_entries=1000",
		`instructions (other than table miss):
      next tables: 1-3,9
      instructions: apply_actions goto_table
      Write-Actions features:
        actions: output
        supported on Set-Field: eth_src
      Apply-Actions features:
        actions: output set_field
        supported on Set-Field: eth_{src,dst}
    instructions (table miss):
      next tables: 1
      instructions: goto_table
      Write-Actions features:
        supported on Set-Field: eth_dst
      Apply-Actions features:
        actions: output
        supported on Set-Field: eth_dst
    matching:
      arbitrary mask: eth_src
      must exact match: in_port_oxm`,
	}},
	{"multipart of an experimenter", &MultipartRequest{Body: &ExperimenterMultipart{Experimenter: 0x1234, ExpType: 5, Data: []byte{1, 2}}}, nil},
	{"multipart reply of an experimenter", &MultipartReply{Body: &ExperimenterMultipart{Experimenter: experimenterNicira, ExpType: 4}}, []string{"NXST_IPFIX_FLOW reply"}},
	{"get-async request", &GetAsyncRequest{}, []string{"OFPT_GET_ASYNC_REQUEST"}},
	{"get-async reply", &GetAsyncReply{AsyncConfig{PacketIn: [2]uint32{7, 1}, PortStatus: [2]uint32{6, 4}, FlowRemoved: [2]uint32{0xf, 8}}}, []string{
		"OFPT_GET_ASYNC_REPLY",
		"PACKET_IN: no_match action invalid_ttl\n     PORT_STATUS: delete modify\n    FLOW_REMOVED: idle hard delete group_delete",
		"PACKET_IN: no_match\n     PORT_STATUS: modify\n    FLOW_REMOVED: group_delete",
	}},
	{"set-async", &SetAsync{AsyncConfig{PacketIn: [2]uint32{1, 2}, PortStatus: [2]uint32{4, 1}, FlowRemoved: [2]uint32{2, 4}}}, []string{
		"OFPT_SET_ASYNC",
		"PACKET_IN: no_match\n     PORT_STATUS: modify\n    FLOW_REMOVED: hard",
		"PACKET_IN: action\n     PORT_STATUS: add\n    FLOW_REMOVED: delete",
	}},
	{"role status", &RoleStatus{Role: RoleSlave, Reason: RoleByMaster, GenerationID: 8}, []string{"ONFT_ROLE_STATUS", "role=secondary generation_id=8 reason=primary_request"}},
}

var niciraSamples = []sample{
	{"flow-mod-table-id", &FlowModTableID{Enable: true}, []string{"NXT_FLOW_MOD_TABLE_ID", "enable"}},
	{"set-controller-id", &SetControllerID{ID: 0x1234}, []string{"NXT_SET_CONTROLLER_ID", "id=4660"}},
	{"set-packet-in-format", &SetPacketInFormat{Format: PacketInNXT2}, []string{"NXT_SET_PACKET_IN_FORMAT", "format=nxt_packet_in2"}},
	{"packet-in2", &PacketIn2{
		BufferID: NoBuffer, FullLen: 64, Reason: 1, TableID: 8, Cookie: 0x5d, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03"), oxm(Reg0, "\x00\x00\x00\x07")),
		Data: sampleFrame, Userdata: []byte{1, 2, 3},
	}, []string{
		"NXT_PACKET_IN2",
		"table_id=8 cookie=0x5d total_len=64 reg0=0x7,in_port=3 (via action) data_len=14 (unbuffered) (***total_len != data_len***)",
		"userdata=01.02.03",
		"dl_type=0x88cc",
	}},
	{"packet-in2 of a paused pipeline", &PacketIn2{
		BufferID: 9, FullLen: 14, Cookie: ^uint64(0), Data: sampleFrame,
		Continuation: []byte("\x00\x00\x00\x00\x80\x04\x00\x05\x07\x00\x00\x00"),
		Other:        []byte("\x7f\xff\x00\x05\x09\x00\x00\x00"),
	}, []string{"NXT_PACKET_IN2", "total_len=14  (via no_match) data_len=14 buffer=0x00000009"}},
	{"resume", &Resume{PacketIn2{
		BufferID: NoBuffer, FullLen: 14, Reason: 1, TableID: 2, Cookie: 3, Data: sampleFrame, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03")),
		Continuation: []byte("\x00\x00\x00\x00\x80\x04\x00\x05\x07\x00\x00\x00"),
	}}, []string{"NXT_RESUME", "table_id=2 cookie=0x3 total_len=14 in_port=3 (via action) data_len=14 (unbuffered)", "dl_type=0x88cc"}},
	{"ct flush", &CTFlush{
		Protocol: 6, HasZone: true, Zone: 4096,
		Orig:  CTTuple{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), SrcPort: 1234, DstPort: 80},
		Reply: CTTuple{Src: netip.MustParseAddr("10.0.0.2")},
	}, []string{"NXT_CT_FLUSH", "zone=4096 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_tp_src=1234,ct_tp_dst=80,ct_nw_proto=6' 'ct_nw_src=10.0.0.2,"}},
	{"ct flush of icmp", &CTFlush{
		Protocol: 58, Orig: CTTuple{Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2"), ICMPID: 5, ICMPType: 128, ICMPCode: 1},
	}, []string{"NXT_CT_FLUSH", "'ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::2,icmp_id=5,icmp_type=128,icmp_code=1,ct_nw_proto=58'"}},
	{"flow monitor request", &MultipartRequest{Body: &FlowMonitorRequest{Monitors: []FlowMonitor{
		{ID: 7, Flags: MonitorInitial | MonitorAdd | MonitorDelete | MonitorModify | MonitorInstructions, OutPort: PortAny, TableID: TableAll},
		{ID: 8, Flags: MonitorAdd | MonitorOwn, OutPort: 3, TableID: 2, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"))},
	}}}, []string{"ONFST_FLOW_MONITOR request", "id=7 flags=initial,add,delete,modify,actions\n", "id=8 flags=add,own out_port=3 table=2 in_port=1"}},
	{"flow monitor reply", &MultipartReply{Body: &FlowMonitorReply{Updates: NewFlowUpdates(
		FlowUpdate{Event: FlowAdded, Priority: 100, IdleTimeout: 60, HardTimeout: 300, TableID: 2, Cookie: 0x5d, Match: sampleMatch, Instructions: sampleInstructions},
		FlowUpdate{Event: FlowDeleted, Reason: RemovedHardTimeout, Priority: 7, TableID: 3, Cookie: 1},
		FlowUpdate{Event: FlowModified, Priority: 8, TableID: 4, Instructions: NewInstructions(GotoTable{Table: 5})},
		FlowUpdate{Event: FlowAbbreviated, XID: 0x99},
	)}}, []string{
		"ONFST_FLOW_MONITOR reply",
		"event=ADDED table=2 idle_timeout=60 hard_timeout=300 cookie=0x5d ct_state=+new-est+trk,tcp,in_port=1,dl_dst=02:00:05:00:00:00/ff:ff:ff:00:00:00 actions=set_field:0x9->reg0,write_metadata:0x55,goto_table:5",
		"event=DELETED reason=hard table=3 cookie=0x1",
		"event=MODIFIED table=4 cookie=0 actions=goto_table:5",
		"event=ABBREV xid=0x99",
	}},
	{"flow monitor cancel", &FlowMonitorCancel{ID: 7}, []string{"ONFT_FLOW_MONITOR_CANCEL", "id=7"}},
	{"flow monitor paused", &FlowMonitorPaused{}, []string{"FLOW_MONITOR_PAUSED"}},
	{"flow monitor resumed", &FlowMonitorResumed{}, []string{"FLOW_MONITOR_RESUMED"}},
}
