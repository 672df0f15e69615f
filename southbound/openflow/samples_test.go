package openflow

import "bytes"

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

// sample is a message with its encoding in hex (xid 1) and what ovs-ofctl says of it. A message of
// a type that is raw here has no words to check.
type sample struct {
	name    string
	message Message
	golden  string
	words   []string // of ovs-ofctl ofp-print
}

var samples = []sample{
	{
		"hello with version bitmap", &Hello{Bitmap: 1 << 4},
		"0400001000000001" + "0001000800000010",
		[]string{"OFPT_HELLO (OF1.3) (xid=0x1)", "version bitmap: 0x04"},
	},
	{"hello without elements", &Hello{}, "0400000800000001", []string{"OFPT_HELLO (OF1.3)"}},
	{
		"error", &Error{ErrType: ErrorBadMatch, Code: 9, Data: []byte("\x04\x14\x00\x08\x00\x00\x00\x07")},
		"0401001400000001" + "0004" + "0009" + "0414000800000007",
		[]string{"OFPT_ERROR (OF1.3) (xid=0x1): OFPBMC_BAD_PREREQ", "OFPT_BARRIER_REQUEST"},
	},
	{
		"bundle error", &Error{
			ErrType: ErrorExperimenter, Code: 2313, Experimenter: experimenterONF, Data: []byte("\x04\x14\x00\x08\x00\x00\x00\x07"),
		},
		"0401001800000001" + "ffff" + "0909" + "4f4e4600" + "0414000800000007",
		[]string{"OFPBFC_MSG_FAILED"},
	},
	{"echo request", &EchoRequest{Data: []byte{1, 2}}, "0402000a00000001" + "0102", []string{"OFPT_ECHO_REQUEST", "2 bytes of payload"}},
	{"echo reply", &EchoReply{}, "0403000800000001", []string{"OFPT_ECHO_REPLY", "0 bytes of payload"}},
	{"features request", &FeaturesRequest{}, "0405000800000001", []string{"OFPT_FEATURES_REQUEST"}},
	{
		"features reply", &FeaturesReply{DatapathID: 0x1234, NBuffers: 256, NTables: 254, Capabilities: 0x4f},
		"0406002000000001" + "0000000000001234" + "00000100" + "fe000000" + "0000004f" + "00000000",
		[]string{"OFPT_FEATURES_REPLY", "dpid:0000000000001234", "n_tables:254, n_buffers:256", "FLOW_STATS TABLE_STATS PORT_STATS GROUP_STATS QUEUE_STATS"},
	},
	{"get-config request", &GetConfigRequest{}, "0407000800000001", []string{"OFPT_GET_CONFIG_REQUEST"}},
	{"get-config reply", &GetConfigReply{MissSendLen: 128}, "0408000c00000001" + "0000" + "0080", []string{"OFPT_GET_CONFIG_REPLY", "miss_send_len=128"}},
	{"set-config", &SetConfig{MissSendLen: 0xffff}, "0409000c00000001" + "0000" + "ffff", []string{"OFPT_SET_CONFIG", "miss_send_len=65535"}},
	{
		"packet-in", &PacketIn{
			BufferID: NoBuffer, TotalLen: 14, Reason: 1, TableID: 8, Cookie: 0x5d, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x03")),
			Data: []byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xcc"),
		},
		"040a003800000001" + "ffffffff" + "000e" + "01" + "08" + "000000000000005d" + "0001000c8000000400000003" + "00000000" + "0000" +
			"020000000002" + "020000000001" + "88cc",
		[]string{"OFPT_PACKET_IN", "table_id=8 cookie=0x5d total_len=14 in_port=3 (via action)", "dl_type=0x88cc"},
	},
	{
		"packet-out", &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: NewActions(ActionOutput{Port: 2}), Data: []byte{1, 2, 3}},
		"040d002b00000001" + "ffffffff" + "fffffffd" + "0010" + "000000000000" + "0000001000000002" + "0000000000000000" + "010203",
		[]string{"OFPT_PACKET_OUT", "in_port=CONTROLLER actions=output:2 data_len=3"},
	},
	{
		"flow-mod", sampleFlowMod,
		"040e00a000000001" + "5d00000000000001" + "0000000000000000" + "0200" + "003c" + "012c" + "0064" + "ffffffff" + "ffffffff" + "ffffffff" + "0001" + "0000" +
			"0001" + "0033" + "8000000400000001" + "8000070c020005000000ffffff000000" + "80000a020800" + "8000140106" + "0001d3080000002100000023" + "0000000000" +
			"0004001800000000" + "0019001000010004" + "0000000900000000" + "0002001800000000" + "0000000000000055" + "ffffffffffffffff" + "0001000805000000",
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
		"040b004000000001" + "0000000000000001" + "0064" + "00" + "08" + "00000007" + "000f4240" + "0005" + "0000" + "0000000000000002" + "0000000000000078" +
			"0001000c8000000400000001" + "00000000",
		[]string{"OFPT_FLOW_REMOVED", "priority=100,in_port=1 reason=idle table_id=8 cookie:0x1 duration7.001s idle5 pkts2 bytes120"},
	},
	{
		"port-status", &PortStatus{Reason: PortModify, Port: samplePort},
		"040c005000000001" + "0200000000000000" + portHex,
		[]string{"OFPT_PORT_STATUS", "MOD: 1(eth1): addr:02:00:00:00:00:01", "LINK_DOWN", "speed: 10000 Mbps now, 20000 Mbps max"},
	},
	{"barrier request", &BarrierRequest{}, "0414000800000001", []string{"OFPT_BARRIER_REQUEST"}},
	{"barrier reply", &BarrierReply{}, "0415000800000001", []string{"OFPT_BARRIER_REPLY"}},
	{
		"role request", &RoleRequest{Role: RoleMaster, GenerationID: 7},
		"0418001800000001" + "0000000200000000" + "0000000000000007",
		[]string{"OFPT_ROLE_REQUEST", "role=primary", "generation_id=7"},
	},
	{
		"role reply", &RoleReply{Role: RoleSlave, GenerationID: 7},
		"0419001800000001" + "0000000300000000" + "0000000000000007",
		[]string{"OFPT_ROLE_REPLY", "role=secondary", "generation_id=7"},
	},
	{
		"experimenter", &Experimenter{Experimenter: experimenterNicira, ExpType: 16, Data: []byte{0, 0, 0, 1}},
		"0404001400000001" + "00002320" + "00000010" + "00000001",
		[]string{"NXT_SET_PACKET_IN_FORMAT", "format=nxt_packet_in"},
	},
	{
		"ct flush zone", &CTFlushZone{Zone: 4096},
		"0404001800000001" + "00002320" + "0000001d" + "0000000000001000",
		[]string{"NXT_CT_FLUSH_ZONE", "zone_id=4096"},
	},
	{
		"bundle control", &BundleControl{BundleID: 9, Ctrl: BundleCommitRequest, Flags: BundleAtomic | BundleOrdered},
		"0404001800000001" + "4f4e4600" + "000008fc" + "00000009" + "0004" + "0003",
		[]string{"ONFT_BUNDLE_CONTROL", "bundle_id=0x9 type=COMMIT_REQUEST flags=atomic ordered"},
	},
	{
		"bundle add", &BundleAdd{BundleID: 9, Flags: BundleAtomic | BundleOrdered, XID: 1, Message: &FlowMod{
			TableID: 1, Command: FlowDeleteStrict, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		}},
		"0404005000000001" + "4f4e4600" + "000008fd" + "00000009" + "00000003" + "040e003800000001" + "0000000000000000" + "0000000000000000" +
			"0104" + "0000" + "0000" + "0000" + "ffffffff" + "ffffffff" + "ffffffff" + "0000" + "0000" + "0001000400000000",
		[]string{"ONFT_BUNDLE_ADD_MESSAGE", "bundle_id=0x9 flags=atomic ordered", "OFPT_FLOW_MOD (OF1.3) (xid=0x1): DEL_STRICT table:1"},
	},
	{"desc request", &MultipartRequest{Body: &DescRequest{}}, "0412001000000001" + "0000000000000000", []string{"OFPST_DESC request"}},
	{
		"flow stats request", &MultipartRequest{Body: &FlowStatsRequest{
			TableID: TableAll, OutPort: PortAny, OutGroup: GroupAny, Cookie: 0x5d << 56, CookieMask: 0xff << 56,
		}},
		"0412003800000001" + "0001000000000000" + "ff000000" + "ffffffff" + "ffffffff" + "00000000" + "5d00000000000000" + "ff00000000000000" + "0001000400000000",
		[]string{"OFPST_FLOW request"},
	},
	{"port-desc request", &MultipartRequest{Body: &PortDescRequest{}}, "0412001000000001" + "000d000000000000", []string{"OFPST_PORT_DESC request"}},
	{
		"desc", &MultipartReply{Body: &Desc{Manufacturer: "M", Hardware: "H", Software: "S", SerialNumber: "N", Datapath: "D"}},
		"0413043000000001" + "0000000000000000" + text("4d", 256) + text("48", 256) + text("53", 256) + text("4e", 32) + text("44", 256),
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
		"041300e800000001" + "0001" + "0001" + "00000000" +
			"00a0" + "02" + "00" + "00000003" + "1dcd6500" + "0064" + "003c" + "0000" + "0001" + "00000000" + "000000000000005d" + "0000000000000004" + "0000000000000190" +
			"0001" + "0033" + "8000000400000001" + "8000070c020005000000ffffff000000" + "80000a020800" + "8000140106" + "0001d3080000002100000023" + "0000000000" +
			"0004001800000000" + "0019001000010004" + "0000000900000000" + "0002001800000000" + "0000000000000055" + "ffffffffffffffff" + "0001000805000000" +
			"0038" + "03" + "00" + "00000000" + "00000000" + "0001" + "0000" + "0000" + "0000" + "00000000" + "0000000000000000" + "0000000000000000" + "0000000000000000" +
			"0001000400000000",
		[]string{"OFPST_FLOW reply", "[more]", "table=2, n_packets=4, n_bytes=400, idle_timeout=60, send_flow_rem priority=100,ct_state=+new-est+trk,tcp", "priority=1 actions=drop"},
	},
	{
		"port desc", &MultipartReply{Body: &PortDescReply{Ports: []Port{samplePort}}},
		"0413005000000001" + "000d000000000000" + portHex,
		[]string{"OFPST_PORT_DESC reply", "1(eth1): addr:02:00:00:00:00:01"},
	},
	{
		"multipart of another type", &MultipartRequest{Body: &MultipartRaw{Of: 3}},
		"0412001000000001" + "0003000000000000",
		[]string{"OFPST_TABLE request"},
	},
	{
		"multipart reply of another type", &MultipartReply{Body: &MultipartRaw{Of: 0x20, Data: []byte{1, 2, 3, 4}}},
		"0413001400000001" + "0020000000000000" + "01020304", nil,
	},
	{"message of another type", &Raw{Of: 26}, "041a000800000001", []string{"OFPT_GET_ASYNC_REQUEST"}},
	{
		"all actions", &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: NewActions(sampleActions...)},
		"040d012000000001" + "ffffffff" + "fffffffd" + "0108" + "000000000000" +
			"0000001000000005" + "0000000000000000" +
			"00000010fffffffd" + "ffff000000000000" +
			"0019001080000806" + "0200000000010000" +
			"0019001000010604" + "0000000700000000" +
			"0019001880003410" + "fe800000000000000000000000000001" +
			"ffff001800002320" + "0007020f00010404" + "0000000000001234" +
			"ffff001800002320" + "0006003000000000" + "0000040600000206" +
			"ffff001000002320" + "000efff803000000" +
			"ffff001800002320" + "000f001f00011e04" + "ffff000000000000" +
			"ffff001800002320" + "0023000000010004" + "000f0b0000000000" +
			"ffff002800002320" + "0023000300000000" + "0005ff0000000015" + "001900100001d604" + "000003e800000000" +
			"0018000800000000" +
			"ffff001000002320" + "002b000000000000",
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
		"040e005000000001" + "0000000000000000" + "0000000000000000" + "0000" + "0000" + "0000" + "0000" + "ffffffff" + "ffffffff" + "ffffffff" + "0000" + "0000" +
			"0001000400000000" + "0004001800000000" + "ffff001000002320" + "00220103000003e8",
		[]string{"actions=conjunction(1000,2/3)"},
	},
	{
		"fields that do not fit an OXM", &FlowMod{
			BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
			// The last is OFPXMT13_ONF_TCP_FLAGS, masked.
			Match:        append(NewMatch(oxm(EthType, "\x08\x00"), oxm(IPProto, "\x06")), "\xff\xff\x55\x08ONF\x00\x00\x02\x00\x02"...),
			Instructions: NewInstructions(InstructionRaw("\x00\x03\x00\x18\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")),
		},
		"040e006800000001" + "0000000000000000" + "0000000000000000" + "0000" + "0000" + "0000" + "0000" + "ffffffff" + "ffffffff" + "ffffffff" + "0000" + "0000" +
			"0001001b" + "80000a020800" + "8000140106" + "ffff55084f4e460000020002" + "0000000000" +
			"0003001800000000" + "0000001000000001" + "0000000000000000",
		[]string{"tcp,tcp_flags=+syn", "actions=write_actions(output:1)"},
	},
}

const portHex = "00000001" + "00000000" + "020000000001" + "0000" + "65746831000000000000000000000000" + "00000000" + "00000001" + "00000840" + "00000001" + "00000002" +
	"00000004" + "00989680" + "01312d00"

// text returns the hex of a NUL-padded string of n bytes.
func text(head string, n int) string {
	return head + string(bytes.Repeat([]byte("00"), n-len(head)/2))
}
