package openflow

import "slices"

// oxm returns a field for tests; a mask may follow the value.
func oxm(id FieldID, value string, mask ...string) OXM {
	o := OXM{Field: id, Len: uint8(len(value))}
	copy(o.Value[:], value)
	for _, m := range mask {
		o.HasMask = true
		copy(o.Mask[:], m)
	}
	return o
}

var samplePort = Port{
	No: 1, HWAddr: [6]byte{2, 0, 0, 0, 0, 1}, Name: "eth1", State: PortStateLinkDown, Current: 0x840, Advertised: 1, Supported: 2, Peer: 4,
	CurrSpeed: 10000000, MaxSpeed: 20000000,
}

// sampleActions has every action that the package knows, and raw ones.
var sampleActions = []Action{
	ActionOutput{Port: 5},
	ActionOutput{Port: PortController, MaxLen: 0xffff},
	ActionSetField{oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")},
	ActionSetField{oxm(Reg0+3, "\x00\x00\x00\x07")},
	ActionSetField{oxm(IPv6Src, "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")},
	ActionLoad{Dst: Subfield{Field: Reg0 + 2, Offset: 8, Bits: 16}, Value: 0x1234},
	ActionMove{Src: Subfield{Field: EthSrc.NXM(), Bits: 48}, Dst: Subfield{Field: EthDst.NXM(), Bits: 48}},
	ActionResubmit{InPort: ResubmitInPort, Table: 3},
	ActionOutputReg{Src: Subfield{Field: Reg0 + 15, Bits: 32}, MaxLen: 0xffff},
	ActionCT{Table: 11, ZoneSrc: Subfield{Field: Reg0, Bits: 16}},
	ActionCT{Commit: true, Force: true, Zone: 5, Table: NoTable, ALG: 21, Exec: []Action{ActionSetField{oxm(CTMark, "\x00\x00\x03\xe8")}}},
	ActionRaw("\x00\x18\x00\x08\x00\x00\x00\x00"),                                 // OFPAT_DEC_NW_TTL
	ActionRaw("\xff\xff\x00\x10\x00\x00\x23\x20\x00\x2b\x00\x00\x00\x00\x00\x00"), // NXAST_CT_CLEAR
}

var sampleMatch = NewMatch(
	oxm(InPort, "\x00\x00\x00\x01"),
	oxm(EthDst, "\x02\x00\x05\x00\x00\x00", "\xff\xff\xff\x00\x00\x00"),
	oxm(EthType, "\x08\x00"),
	oxm(IPProto, "\x06"),
	oxm(CTState, "\x00\x00\x00\x21", "\x00\x00\x00\x23"),
)

var sampleInstructions = NewInstructions(
	ApplyActions{ActionSetField{oxm(Reg0, "\x00\x00\x00\x09")}},
	WriteMetadata{Metadata: 0x55, Mask: ^uint64(0)},
	GotoTable{Table: 5},
)

var sampleFlowMod = &FlowMod{
	Cookie: 0x5d00000000000001, TableID: 2, Priority: 100, IdleTimeout: 60, HardTimeout: 300, BufferID: NoBuffer,
	OutPort: PortAny, OutGroup: GroupAny, Flags: FlagSendFlowRem, Match: sampleMatch, Instructions: sampleInstructions,
}

// sample is a message and what ovs-ofctl says of it. Its encoding with xid 1 is in
// testdata/messages.txt under its name. A message of a type that ovs-ofctl does
// not know has no words to check.
type sample struct {
	name    string
	message Message
	words   []string // of ovs-ofctl ofp-print
}

var samples = slices.Concat(basicSamples, groupSamples, portSamples, niciraSamples)

var basicSamples = []sample{
	{
		"hello with version bitmap", &Hello{Bitmap: 1 << 4},
		[]string{"OFPT_HELLO (OF1.3) (xid=0x1)", "version bitmap: 0x04"},
	},
	{"hello without elements", &Hello{}, []string{"OFPT_HELLO (OF1.3)"}},
	{
		"error", &Error{ErrType: ErrorBadMatch, Code: 9, Data: []byte("\x04\x14\x00\x08\x00\x00\x00\x07")},
		[]string{"OFPT_ERROR (OF1.3) (xid=0x1): OFPBMC_BAD_PREREQ", "OFPT_BARRIER_REQUEST"},
	},
	{
		"bundle error", &Error{
			ErrType: ErrorExperimenter, Code: 2313, Experimenter: experimenterONF, Data: []byte("\x04\x14\x00\x08\x00\x00\x00\x07"),
		},
		[]string{"OFPBFC_MSG_FAILED"},
	},
	{"echo request", &EchoRequest{Data: []byte{1, 2}}, []string{"OFPT_ECHO_REQUEST", "2 bytes of payload"}},
	{"echo reply", &EchoReply{}, []string{"OFPT_ECHO_REPLY", "0 bytes of payload"}},
	{"features request", &FeaturesRequest{}, []string{"OFPT_FEATURES_REQUEST"}},
	{
		"features reply", &FeaturesReply{DatapathID: 0x1234, NBuffers: 256, NTables: 254, Capabilities: 0x4f},
		[]string{"OFPT_FEATURES_REPLY", "dpid:0000000000001234", "n_tables:254, n_buffers:256", "FLOW_STATS TABLE_STATS PORT_STATS GROUP_STATS QUEUE_STATS"},
	},
	{"get-config request", &GetConfigRequest{}, []string{"OFPT_GET_CONFIG_REQUEST"}},
	{"get-config reply", &GetConfigReply{MissSendLen: 128}, []string{"OFPT_GET_CONFIG_REPLY", "miss_send_len=128"}},
	{"set-config", &SetConfig{MissSendLen: 0xffff}, []string{"OFPT_SET_CONFIG", "miss_send_len=65535"}},
	{
		"packet-in", &PacketIn{
			BufferID: NoBuffer, TotalLen: 14, Reason: 1, TableID: 8, Cookie: 0x5d, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03")),
			Data: []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xcc"),
		},
		[]string{"OFPT_PACKET_IN", "table_id=8 cookie=0x5d total_len=14 in_port=3 (via action)", "dl_type=0x88cc"},
	},
	{
		"packet-out", &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: NewActions(ActionOutput{Port: 2}), Data: []byte{1, 2, 3}},
		[]string{"OFPT_PACKET_OUT", "in_port=CONTROLLER actions=output:2 data_len=3"},
	},
	{
		"flow-mod", sampleFlowMod,
		[]string{
			"OFPT_FLOW_MOD", "ADD table:2 priority=100,ct_state=+new-est+trk,tcp,in_port=1,dl_dst=02:00:05:00:00:00/ff:ff:ff:00:00:00", "cookie:0x5d00000000000001",
			"idle:60 hard:300", "send_flow_rem", "actions=set_field:0x9->reg0,write_metadata:0x55,goto_table:5",
		},
	},
	{
		"flow-removed", &FlowRemoved{
			Cookie: 1, Priority: 100, Reason: RemovedIdleTimeout, TableID: 8, DurationSec: 7, DurationNsec: 1e6, IdleTimeout: 5,
			PacketCount: 2, ByteCount: 120, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01")),
		},
		[]string{"OFPT_FLOW_REMOVED", "priority=100,in_port=1 reason=idle table_id=8 cookie:0x1 duration7.001s idle5 pkts2 bytes120"},
	},
	{
		"port-status", &PortStatus{Reason: PortModify, Port: samplePort},
		[]string{"OFPT_PORT_STATUS", "MOD: 1(eth1): addr:02:00:00:00:00:01", "LINK_DOWN", "speed: 10000 Mbps now, 20000 Mbps max"},
	},
	{"barrier request", &BarrierRequest{}, []string{"OFPT_BARRIER_REQUEST"}},
	{"barrier reply", &BarrierReply{}, []string{"OFPT_BARRIER_REPLY"}},
	{
		"role request", &RoleRequest{Role: RoleMaster, GenerationID: 7},
		[]string{"OFPT_ROLE_REQUEST", "role=primary", "generation_id=7"},
	},
	{
		"role reply", &RoleReply{Role: RoleSlave, GenerationID: 7},
		[]string{"OFPT_ROLE_REPLY", "role=secondary", "generation_id=7"},
	},
	{
		"experimenter", &Experimenter{Experimenter: experimenterNicira, ExpType: 18, Data: nil},
		[]string{"NXT_FLOW_AGE"},
	},
	{
		"ct flush zone", &CTFlushZone{Zone: 4096},
		[]string{"NXT_CT_FLUSH_ZONE", "zone_id=4096"},
	},
	{
		"bundle control", &BundleControl{BundleID: 9, Ctrl: BundleCommitRequest, Flags: BundleAtomic | BundleOrdered},
		[]string{"ONFT_BUNDLE_CONTROL", "bundle_id=0x9 type=COMMIT_REQUEST flags=atomic ordered"},
	},
	{
		"bundle add", &BundleAdd{BundleID: 9, Flags: BundleAtomic | BundleOrdered, XID: 1, Message: &FlowMod{
			TableID: 1, Command: FlowDeleteStrict, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		}},
		[]string{"ONFT_BUNDLE_ADD_MESSAGE", "bundle_id=0x9 flags=atomic ordered", "OFPT_FLOW_MOD (OF1.3) (xid=0x1): DEL_STRICT table:1"},
	},
	{"desc request", &MultipartRequest{Body: &DescRequest{}}, []string{"OFPST_DESC request"}},
	{
		"flow stats request", &MultipartRequest{Body: &FlowStatsRequest{
			TableID: TableAll, OutPort: PortAny, OutGroup: GroupAny, Cookie: 0x5d << 56, CookieMask: 0xff << 56,
		}},
		[]string{"OFPST_FLOW request"},
	},
	{"port-desc request", &MultipartRequest{Body: &PortDescRequest{}}, []string{"OFPST_PORT_DESC request"}},
	{
		"desc", &MultipartReply{Body: &Desc{Manufacturer: "M", Hardware: "H", Software: "S", SerialNumber: "N", Datapath: "D"}},
		[]string{"OFPST_DESC reply", "Manufacturer: M", "Hardware: H", "Software: S", "Serial Num: N", "DP Description: D"},
	},
	{
		"flow stats", &MultipartReply{Flags: MultipartMore, Body: &FlowStatsReply{Flows: []FlowStats{
			{
				TableID: 2, DurationSec: 3, DurationNsec: 5e8, Priority: 100, IdleTimeout: 60, Flags: FlagSendFlowRem, Cookie: 0x5d,
				PacketCount: 4, ByteCount: 400, Match: sampleMatch, Instructions: sampleInstructions,
			},
			{TableID: 3, Priority: 1},
		}}},
		[]string{"OFPST_FLOW reply", "[more]", "table=2, n_packets=4, n_bytes=400, idle_timeout=60, send_flow_rem priority=100,ct_state=+new-est+trk,tcp", "priority=1 actions=drop"},
	},
	{
		"port desc", &MultipartReply{Body: &PortDescReply{Ports: []Port{samplePort}}},
		[]string{"OFPST_PORT_DESC reply", "1(eth1): addr:02:00:00:00:00:01"},
	},
	{
		"multipart of another type", &MultipartRequest{Body: &MultipartRaw{Of: 0x20, Data: []byte{1}}}, nil,
	},
	{
		"multipart reply of another type", &MultipartReply{Body: &MultipartRaw{Of: 0x20, Data: []byte{1, 2, 3, 4}}}, nil,
	},
	{"message of another type", &Raw{Of: 99, Body: []byte{1, 2}}, nil},
	{
		"all actions", &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: NewActions(sampleActions...)},
		[]string{
			"actions=output:5,CONTROLLER:65535,set_field:02:00:00:00:00:01->eth_src,set_field:0x7->reg3,set_field:fe80::1->ipv6_src," +
				"load:0x1234->NXM_NX_REG2[8..23],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],resubmit(,3),output:NXM_NX_REG15[]," +
				"ct(table=11,zone=NXM_NX_REG0[0..15]),ct(commit,force,zone=5,exec(set_field:0x3e8->ct_mark),alg=ftp),dec_ttl,ct_clear",
		},
	},
	{
		"conjunction", &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Instructions: NewInstructions(
			ApplyActions{ActionConjunction{ID: 1000, Clause: 1, Clauses: 3}},
		)},
		[]string{"actions=conjunction(1000,2/3)"},
	},
	{
		"fields that do not fit an OXM", &FlowMod{
			BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
			// The last is OFPXMT13_ONF_TCP_FLAGS, masked.
			Match:        append(NewMatch(oxm(EthType, "\x08\x00"), oxm(IPProto, "\x06")), "\xff\xff\x55\x08ONF\x00\x00\x02\x00\x02"...),
			Instructions: NewInstructions(InstructionRaw("\x00\x03\x00\x18\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")),
		},
		[]string{"tcp,tcp_flags=+syn", "actions=write_actions(output:1)"},
	},
}
