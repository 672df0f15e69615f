package openflow

import (
	"encoding/hex"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/southbound/ovstest"
)

// actionSample is an action with its encoding in hex and what ovs-ofctl says of
// it: nothing where Open vSwitch does not have the action.
type actionSample struct {
	name   string
	action Action
	golden string
	words  string
}

var compareAddrs = cmpopts.EquateComparable(netip.Addr{})

func reg(n, offset, bits uint16) Subfield {
	return Subfield{Field: Reg0 + FieldID(n), Offset: offset, Bits: bits}
}

func whole(id FieldID) Subfield { return Subfield{Field: id, Bits: uint16(id.Bits())} }

var (
	addrA  = netip.MustParseAddr("10.0.0.1")
	addrB  = netip.MustParseAddr("10.0.0.9")
	addr6A = netip.MustParseAddr("fd01::1")
	addr6B = netip.MustParseAddr("fd01::9")
)

// value128 returns a value as LearnSpec has it.
func value128(tail ...byte) (v [16]byte) {
	copy(v[len(v)-len(tail):], tail)
	return v
}

var actionSamples = []actionSample{
	{"output", ActionOutput{Port: 5}, "00000010000000050000000000000000", "output:5"},
	{"output with max_len", ActionOutput{Port: PortController, MaxLen: 128}, "00000010fffffffd0080000000000000", "CONTROLLER:128"},
	{"output to a register", ActionOutputReg{Src: reg(15, 0, 32), MaxLen: 0xffff}, "ffff001800002320000f001f00011e04ffff000000000000", "output:NXM_NX_REG15[]"},
	{"output to a register, new form", ActionOutputReg2{Src: reg(1, 5, 6), MaxLen: 0xffff}, "ffff00180000232000200145ffff00010204000000000000", "output:NXM_NX_REG1[5..10]"},
	{"output cut", ActionOutputTrunc{Port: 1, MaxLen: 100}, "ffff0010000023200027000100000064", "output(port=1,max_len=100)"},
	{"group", ActionGroup{ID: 5}, "0016000800000005", "group:5"},
	{"set-queue", ActionSetQueue{ID: 0x10001}, "0015000800010001", "set_queue:65537"},
	{"pop-queue", ActionPopQueue{}, "ffff0010000023200005000000000000", "pop_queue"},
	{"controller", ActionController{MaxLen: 128, ID: 7, Reason: 2}, "ffff0010000023200014008000070200", "controller(reason=invalid_ttl,max_len=128,id=7)"},
	{
		"controller2", ActionController2{MaxLen: 128, ID: 7, Reason: 2, Pause: true, MeterID: 9, Userdata: []byte{1, 2, 3, 4, 5}},
		"ffff00480000232000250000000000000000000800800000" + "000100080007000000020005020000000003000901020304" + "050000000000000000040004000000000005000800000009",
		"controller(reason=invalid_ttl,max_len=128,id=7,userdata=01.02.03.04.05,pause,meter_id=9)",
	},
	{"controller2 with a meter", ActionController2{MaxLen: 0xffff, Reason: 1, MeterID: 9}, "ffff00180000232000250000000000000005000800000009", "controller(meter_id=9)"},
	{
		"sample", ActionSample{Probability: 100, CollectorSetID: 1, ObsDomainID: 2, ObsPointID: 3},
		"ffff001800002320001d0064000000010000000200000003",
		"sample(probability=100,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
	},
	{
		"sample of a port", ActionSample2{ActionSample: ActionSample{Probability: 100, CollectorSetID: 1}, Port: 4},
		"ffff00200000232000260064000000010000000000000000" + "0004000000000000",
		"sample(probability=100,collector_set_id=1,obs_domain_id=0,obs_point_id=0,sampling_port=4)",
	},
	{
		"sample with a direction", ActionSample3{ActionSample: ActionSample{Probability: 100, CollectorSetID: 1}, Port: 4, Direction: SampleEgress},
		"ffff00200000232000290064000000010000000000000000" + "0004020000000000",
		"sample(probability=100,collector_set_id=1,obs_domain_id=0,obs_point_id=0,sampling_port=4,egress)",
	},
	{"push-vlan", ActionPushVLAN{EthType: 0x8100}, "0011000881000000", "push_vlan:0x8100"},
	{"pop-vlan", ActionPopVLAN{}, "0012000800000000", "pop_vlan"},
	{"push-mpls", ActionPushMPLS{EthType: 0x8847}, "0013000888470000", "push_mpls:0x8847"},
	{"pop-mpls", ActionPopMPLS{EthType: 0x0800}, "0014000808000000", "pop_mpls:0x0800"},
	{"push-pbb", ActionPushPBB{EthType: 0x88e7}, "001a000888e70000", ""},
	{"pop-pbb", ActionPopPBB{}, "001b000800000000", ""},
	{"set-nw-ttl", ActionSetNwTTL{TTL: 64}, "0017000840000000", "mod_nw_ttl:64"},
	{"dec-nw-ttl", ActionDecNwTTL{}, "0018000800000000", "dec_ttl"},
	{"dec-ttl with ids", ActionDecTTLIDs{1, 2, 3}, "ffff00180000232000150003000000000001000200030000", "dec_ttl(1,2,3)"},
	{"set-mpls-ttl", ActionSetMPLSTTL{TTL: 64}, "000f000840000000", "set_mpls_ttl(64)"},
	{"dec-mpls-ttl", ActionDecMPLSTTL{}, "0010000800000000", "dec_mpls_ttl"},
	{"copy-ttl-out", ActionCopyTTLOut{}, "000b000800000000", ""},
	{"copy-ttl-in", ActionCopyTTLIn{}, "000c000800000000", ""},
	{"set-field", ActionSetField{oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")}, "00190010800008060200000000010000", "set_field:02:00:00:00:00:01->eth_src"},
	{
		"set-field of 16 bytes", ActionSetField{oxm(IPv6Src, "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")},
		"0019001880003410fe800000000000000000000000000001",
		"set_field:fe80::1->ipv6_src",
	},
	{"load", ActionLoad{Dst: reg(2, 8, 16), Value: 0x1234}, "ffff0018000023200007020f000104040000000000001234", "load:0x1234->NXM_NX_REG2[8..23]"},
	{"load of 64 bits", ActionLoad{Dst: whole(Metadata), Value: 1 << 63}, "ffff0018000023200007003f800004088000000000000000", "load:0x8000000000000000->OXM_OF_METADATA[]"},
	{"load2", ActionLoad2{oxm(Reg0, "\x00\x00\x00\x05", "\x00\x00\x00\x0f")}, "ffff001800002320002100010108000000050000000f0000", "set_field:0x5/0xf->reg0"},
	{"load2 without a mask", ActionLoad2{oxm(Reg0, "\x00\x00\x00\x05")}, "ffff00180000232000210001000400000005000000000000", "set_field:0x5->reg0"},
	{"move", ActionMove{Src: whole(EthSrc.NXM()), Dst: whole(EthDst.NXM())}, "ffff00180000232000060030000000000000040600000206", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]"},
	{
		"move of 128 bits", ActionMove{Src: whole(IPv6Src.NXM()), Dst: whole(IPv6Dst.NXM())},
		"ffff00180000232000060080000000000001261000012810",
		"move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
	},
	{
		"copy-field", ActionCopyField{Src: reg(1, 0, 16), Dst: reg(2, 16, 16)},
		"ffff00204f4e46000c800000001000000010000000010204" + "0001040400000000",
		"move:NXM_NX_REG1[0..15]->NXM_NX_REG2[16..31]",
	},
	{"push", ActionPush{Src: reg(2, 1, 5)}, "ffff001800002320001b0001000104040005000000000000", "push:NXM_NX_REG2[1..5]"},
	{"pop", ActionPop{Dst: whole(IPv6Src.NXM())}, "ffff001800002320001c0000000126100080000000000000", "pop:NXM_NX_IPV6_SRC[]"},
	{"delete-field", ActionDeleteField{Field: 0x10000 | 50, Len: 124}, "ffff00180000232000320001647c00000000000000000000", "delete_field:tun_metadata10"},
	{"set-tunnel", ActionSetTunnel{ID: 77}, "ffff001000002320000200000000004d", "set_tunnel:0x4d"},
	{"set-tunnel64", ActionSetTunnel64{ID: 1 << 40}, "ffff00180000232000090000000000000000010000000000", "set_tunnel64:0x10000000000"},
	{
		"multipath", ActionMultipath{Fields: HashEthSrc, Basis: 50, Algorithm: MultipathModuloN, MaxLink: 63, Dst: reg(3, 0, 32)},
		"ffff002000002320000a0000003200000000003f00000000" + "0000001f00010604",
		"multipath(eth_src,50,modulo_n,64,0,NXM_NX_REG3[])",
	},
	{
		"multipath with an argument", ActionMultipath{Fields: HashSymmetricL3L4UDP, Basis: 1, Algorithm: MultipathIterHash, MaxLink: 0xffff, Arg: 7, Dst: reg(3, 16, 16)},
		"ffff002000002320000a0003000100000003ffff00000007" + "0000040f00010604",
		"multipath(symmetric_l3l4+udp,1,iter_hash,65536,7,NXM_NX_REG3[16..31])",
	},
	{
		"bundle", ActionBundle{Fields: HashEthSrc, Basis: 5, Algorithm: BundleHRW, Members: []uint16{4, 8, 12}},
		"ffff002800002320000c0001000000050000000200030000" + "000000000000000000040008000c0000",
		"bundle(eth_src,5,hrw,ofport,members:4,8,12)",
	},
	{
		"bundle-load", ActionBundleLoad{ActionBundle: ActionBundle{Fields: HashNwDst, Algorithm: BundleActiveBackup, Members: []uint16{4, 8, 12, 0xfffe}}, Dst: reg(0, 0, 16)},
		"ffff002800002320000d000000050000000000020004000f" + "000100040000000000040008000cfffe",
		"bundle_load(nw_dst,0,active_backup,ofport,NXM_NX_REG0[0..15],members:4,8,12,LOCAL)",
	},
	{"resubmit", ActionResubmit{InPort: ResubmitInPort, Table: 3}, "ffff001000002320000efff803000000", "resubmit(,3)"},
	{"resubmit with a port", ActionResubmit{InPort: 10, Table: 3}, "ffff001000002320000e000a03000000", "resubmit(10,3)"},
	{"resubmit with ct", ActionResubmitCT{InPort: 10, Table: 3}, "ffff001000002320002c000a03000000", "resubmit(10,3,ct)"},
	{"resubmit, old form", ActionResubmitPort{InPort: 10}, "ffff0010000023200001000a00000000", "resubmit:10"},
	{"conjunction", ActionConjunction{ID: 1000, Clause: 1, Clauses: 3}, "ffff00100000232000220103000003e8", "conjunction(1000,2/3)"},
	{
		"clone", ActionClone{ActionOutput{Port: 1}, ActionClone{ActionExit{}}},
		"ffff004000002320002a0000000000000000001000000001" + "0000000000000000ffff002000002320002a000000000000" + "ffff0010000023200011000000000000",
		"clone(output:1,clone(exit))",
	},
	{"clone of nothing", ActionClone(nil), "ffff001000002320002a000000000000", "clone(drop)"},
	{"note", ActionNote("\x01\x02\x03\x00\x00\x00"), "ffff0010000023200008010203000000", "note:01.02.03.00.00.00"},
	{"exit", ActionExit{}, "ffff0010000023200011000000000000", "exit"},
	{"fin-timeout", ActionFinTimeout{Idle: 10, Hard: 20}, "ffff0010000023200013000a00140000", "fin_timeout(idle_timeout=10,hard_timeout=20)"},
	{"check-pkt-larger", ActionCheckPktLarger{Len: 1500, Dst: reg(0, 3, 1)}, "ffff001800002320003105dc000300010004000000000000", "check_pkt_larger(1500)->NXM_NX_REG0[3]"},
	{"ct", ActionCT{Table: NoTable}, "ffff00180000232000230000000000000000ff0000000000", "ct()"},
	{
		"ct with a zone of a register", ActionCT{Table: 11, ZoneSrc: reg(0, 0, 16)},
		"ffff0018000023200023000000010004000f0b0000000000",
		"ct(table=11,zone=NXM_NX_REG0[0..15])",
	},
	{
		"ct with all", ActionCT{Commit: true, Force: true, Zone: 5, Table: 7, ALG: 21, Exec: []Action{ActionSetField{oxm(CTMark, "\x00\x00\x03\xe8")}}},
		"ffff00280000232000230003000000000005070000000015" + "001900100001d604000003e800000000",
		"ct(commit,force,table=7,zone=5,exec(set_field:0x3e8->ct_mark),alg=ftp)",
	},
	{
		"ct with nat and exec", ActionCT{Commit: true, Table: NoTable, Exec: []Action{ActionNAT{Flags: NATDst, AddrMin: addrA}, ActionMove{Src: reg(0, 0, 32), Dst: whole(CTMark)}}},
		"ffff00480000232000230001000000000000ff0000000000" + "ffff00180000232000240000000200010a00000100000000" + "ffff0018000023200006002000000000000100040001d604",
		"ct(commit,nat(dst=10.0.0.1),exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))",
	},
	{"nat", ActionNAT{}, "ffff0010000023200024000000000000", "nat"},
	{"nat of the source", ActionNAT{Flags: NATSrc}, "ffff0010000023200024000000010000", "nat(src)"},
	{"nat to an address", ActionNAT{Flags: NATSrc, AddrMin: addrA}, "ffff00180000232000240000000100010a00000100000000", "nat(src=10.0.0.1)"},
	{
		"nat to addresses and ports", ActionNAT{Flags: NATSrc | NATRandom, AddrMin: addrA, AddrMax: addrB, PortMin: 1000, PortMax: 2000},
		"ffff00200000232000240000001100330a0000010a000009" + "03e807d000000000",
		"nat(src=10.0.0.1-10.0.0.9:1000-2000,random)",
	},
	{"nat to a port", ActionNAT{Flags: NATDst | NATHash, AddrMin: addrA, PortMin: 80}, "ffff00180000232000240000000a00110a00000100500000", "nat(dst=10.0.0.1:80,hash)"},
	{
		"nat to an IPv6 address", ActionNAT{Flags: NATSrc | NATPersistent, AddrMin: addr6A},
		"ffff0020000023200024000000050004fd01000000000000" + "0000000000000001",
		"nat(src=fd01::1,persistent)",
	},
	{
		"nat to IPv6 addresses and ports", ActionNAT{Flags: NATDst, AddrMin: addr6A, AddrMax: addr6B, PortMin: 80, PortMax: 90},
		"ffff003800002320002400000002003cfd01000000000000" + "0000000000000001fd010000000000000000000000000009" + "0050005a00000000",
		"nat(dst=[fd01::1]-[fd01::9]:80-90)",
	},
	{"ct-clear", ActionCTClear{}, "ffff001000002320002b000000000000", "ct_clear"},
	{
		"learn", ActionLearn{Table: 10, IdleTimeout: 300, HardTimeout: 600, FinIdleTimeout: 2, FinHardTimeout: 4, Priority: 100, Cookie: 0x5d, SendFlowRem: true, DeleteLearned: true, Specs: []LearnSpec{{Kind: LearnMatch, Bits: 12, Src: VLANTCI, Dst: VLANTCI}, {Kind: LearnMatch, Bits: 48, Src: EthSrc.NXM(), Dst: EthDst.NXM()}, {Kind: LearnOutput, Bits: 16, Src: NXMInPort}}},
		"ffff0048000023200010012c02580064000000000000005d" + "00030a0000020004000c0000080200000000080200000030" + "000004060000000002060000101000000002000000000000",
		"learn(table=10,idle_timeout=300,hard_timeout=600,fin_idle_timeout=2,fin_hard_timeout=4,priority=100,send_flow_rem,delete_learned,cookie=0x5d,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
	},
	{
		"learn of values", ActionLearn{Priority: 0x8000, Specs: []LearnSpec{{Kind: LearnMatchValue, Bits: 16, Dst: EthType.NXM(), Value: value128(0x86, 0xdd)}, {Kind: LearnMatchValue, Bits: 8, Dst: IPProto.NXM(), Value: value128(6)}, {Kind: LearnMatchValue, Bits: 128, Dst: IPv6Src.NXM(), Value: value128(0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)}, {Kind: LearnLoadValue, Bits: 3, Dst: Reg0, DstOffset: 4, Value: value128(5)}, {Kind: LearnLoad, Bits: 16, Src: NXMInPort, Dst: Reg0 + 4, DstOffset: 16}}},
		"ffff00680000232000100000000080000000000000000000" + "0000000000000000201086dd000006020000200800060000" + "0c0100002080fd0100000000000000000000000000010001" + "261000002803000500010004000408100000000200000001" + "0804001000000000",
		"learn(table=0,eth_type=0x86dd,nw_proto=6,ipv6_src=fd01::1,load:0x5->NXM_NX_REG0[4..6],load:NXM_OF_IN_PORT[]->NXM_NX_REG4[16..31])",
	},
	{"learn without specs", ActionLearn{Table: 1, Priority: 0x8000}, "ffff00200000232000100000000080000000000000000000" + "0000010000000000", "learn(table=1)"},
	{
		"learn2", ActionLearn{Extended: true, Table: 1, Priority: 0x8000, Limit: 3000, Specs: []LearnSpec{{Kind: LearnMatch, Bits: 48, Src: EthSrc.NXM(), Dst: EthSrc.NXM()}}},
		"ffff003800002320002d0000000080000000000000000000" + "000001000000000000000bb8000000000030000004060000" + "0000040600000000",
		"learn(table=1,limit=3000,NXM_OF_ETH_SRC[])",
	},
	{
		"learn2 with a result", ActionLearn{Extended: true, Table: 1, Priority: 0x8000, Limit: 3000, Result: reg(0, 8, 1), Specs: []LearnSpec{{Kind: LearnMatch, Bits: 48, Src: EthSrc.NXM(), Dst: EthSrc.NXM()}}},
		"ffff004000002320002d0000000080000000000000000000" + "000401000000000000000bb8000800000001000400300000" + "04060000000004060000000000000000",
		"learn(table=1,limit=3000,result_dst=NXM_NX_REG0[8],NXM_OF_ETH_SRC[])",
	},
}

// instructionSample is actionSample for instructions.
type instructionSample struct {
	name        string
	instruction Instruction
	golden      string
	words       string
}

var instructionSamples = []instructionSample{
	{"goto-table", GotoTable{Table: 7}, "0001000807000000", "goto_table:7"},
	{"write-metadata", WriteMetadata{Metadata: 5, Mask: ^uint64(0)}, "0002001800000000" + "0000000000000005" + "ffffffffffffffff", "write_metadata:0x5"},
	{"write-metadata with a mask", WriteMetadata{Metadata: 5, Mask: 0xff}, "0002001800000000" + "0000000000000005" + "00000000000000ff", "write_metadata:0x5/0xff"},
	{"write-actions", WriteActions{ActionGroup{ID: 3}}, "0003001000000000" + "0016000800000003", "write_actions(group:3)"},
	{"apply-actions", ApplyActions{ActionSetQueue{ID: 1}, ActionOutput{Port: 2}}, "0004002000000000" + "0015000800000001" + "0000001000000002" + "0000000000000000", "set_queue:1,output:2"},
	{"clear-actions", ClearActions{}, "0005000800000000", "clear_actions"},
	{"meter", Meter{ID: 9}, "0006000800000009", "meter:9"},
	{"experimenter", InstructionRaw("\xff\xff\x00\x08\x00\x00\x23\x20"), "ffff000800002320", ""},
}

func TestActionsEncodeToTheirGoldensAndBack(t *testing.T) {
	t.Parallel()
	for _, s := range actionSamples {
		if got := hex.EncodeToString(AppendActions(nil, []Action{s.action})); got != s.golden {
			t.Errorf("%s: encoding\n got %s\nwant %s", s.name, got, s.golden)
		}
		// A nat is only known in a ct, so that is what each is decoded in.
		got, err := DecodeActions(AppendActions(nil, []Action{ActionCT{Exec: []Action{ActionRaw(unhex(t, s.golden))}}}))
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		} else if diff := cmp.Diff([]Action{ActionCT{Exec: []Action{s.action}}}, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

func TestInstructionsEncodeToTheirGoldensAndBack(t *testing.T) {
	t.Parallel()
	for _, s := range instructionSamples {
		if got := hex.EncodeToString(s.instruction.AppendInstruction(nil)); got != s.golden {
			t.Errorf("%s: encoding\n got %s\nwant %s", s.name, got, s.golden)
		}
		got, err := DecodeInstructions(unhex(t, s.golden))
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		} else if diff := cmp.Diff([]Instruction{s.instruction}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

// TestActionsReadAsMeant asks Open vSwitch what it makes of our bytes.
func TestActionsReadAsMeant(t *testing.T) {
	t.Parallel()
	ofctl := ovstest.LookTool(t, "ovs-ofctl")
	check := func(name, words string, m Message) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(ofctl, "ofp-print", hex.EncodeToString(AppendMessage(nil, 1, m))).CombinedOutput()
			if err != nil {
				t.Fatalf("ovs-ofctl ofp-print: %v\n%s", err, out)
			}
			_, got, _ := strings.Cut(string(out), "actions=")
			got, _, _ = strings.Cut(got, " data_len")
			if got = strings.TrimSpace(got); got != words || got == "" {
				t.Errorf("read as %s, want %s\n%s", got, words, out)
			}
		})
	}
	inFlow := func(i Instruction) Message {
		return &FlowMod{BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny, Instructions: NewInstructions(i)}
	}
	for _, s := range actionSamples {
		a, words := s.action, s.words
		switch a.(type) {
		case ActionNAT:
			a, words = ActionCT{Commit: true, Table: NoTable, Exec: []Action{a}}, "ct(commit,"+words+")"
		case ActionConjunction:
			check(s.name, words, inFlow(ApplyActions{a}))
			continue
		case ActionPushPBB, ActionPopPBB, ActionCopyTTLOut, ActionCopyTTLIn:
			continue // not in Open vSwitch
		}
		check(s.name, words, &PacketOut{BufferID: NoBuffer, InPort: PortController, Actions: NewActions(a)})
	}
	for _, s := range instructionSamples {
		if s.words != "" {
			check(s.name, s.words, inFlow(s.instruction))
		}
	}
}

func TestActionsNestAsDeepAsTheirBoundAndThenStayRaw(t *testing.T) {
	t.Parallel()
	actions := []Action{ActionOutput{Port: 1}}
	for range 2000 {
		actions = []Action{ActionClone(actions)}
	}
	b := AppendActions(nil, actions)
	decoded, err := DecodeActions(b)
	if err != nil {
		t.Fatal(err)
	}
	depth := 0
	for list := decoded; ; depth++ {
		clone, ok := list[0].(ActionClone)
		if !ok {
			if _, raw := list[0].(ActionRaw); !raw {
				t.Errorf("below the last clone is a %T, want it raw", list[0])
			}
			break
		}
		list = clone
	}
	if depth != maxActionDepth {
		t.Errorf("%d clones in each other, want %d", depth, maxActionDepth)
	}
	if string(AppendActions(nil, decoded)) != string(b) {
		t.Error("encodes to other bytes")
	}
}

func TestRunsOfUnknownActionsAreOneRaw(t *testing.T) {
	t.Parallel()
	unknown := ActionRaw("\x12\x34\x00\x08\x00\x00\x00\x00")
	got := NewActions(unknown, unknown, ActionDecNwTTL{}, unknown, ActionRaw("\xff\xff\x00\x08\x00\x00\x00\x00"), ActionExit{}).List()
	want := []Action{unknown + unknown, ActionDecNwTTL{}, unknown + ActionRaw("\xff\xff\x00\x08\x00\x00\x00\x00"), ActionExit{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRepeatedAndUnknownInstructionsStayRaw(t *testing.T) {
	t.Parallel()
	experimenter := InstructionRaw("\xff\xff\x00\x08\x00\x00\x23\x20")
	got := NewInstructions(Meter{ID: 1}, GotoTable{Table: 1}, GotoTable{Table: 2}, experimenter, ClearActions{}).List()
	want := []Instruction{Meter{ID: 1}, GotoTable{Table: 1}, InstructionRaw("\x00\x01\x00\x08\x02\x00\x00\x00") + experimenter, ClearActions{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNATIsKnownOnlyWhereItCanBe(t *testing.T) {
	t.Parallel()
	nat := ActionNAT{Flags: NATSrc}
	raw := ActionRaw(nat.AppendAction(nil))
	for name, test := range map[string]struct{ in, want Action }{
		"first in ct":  {ActionCT{Exec: []Action{nat}}, ActionCT{Exec: []Action{nat}}},
		"second in ct": {ActionCT{Exec: []Action{nat, nat}}, ActionCT{Exec: []Action{nat, raw}}},
		"in a clone":   {ActionClone{nat}, ActionClone{raw}},
		"alone":        {nat, raw},
	} {
		if diff := cmp.Diff([]Action{test.want}, NewActions(test.in).List(), compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestActionsWithAByteChangedStillEncodeToTheirBytes changes every byte of every
// sample: what has no type for that stays raw.
func TestActionsWithAByteChangedStillEncodeToTheirBytes(t *testing.T) {
	t.Parallel()
	for _, s := range actionSamples {
		golden := NewActions(ActionCT{Exec: []Action{ActionRaw(unhex(t, s.golden))}})
		for i := range golden {
			for _, flip := range []byte{1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff} {
				b := append([]byte(nil), golden...)
				b[i] ^= flip
				actions, err := DecodeActions(b)
				if err != nil {
					continue
				}
				if got := AppendActions(nil, actions); string(got) != string(b) {
					t.Errorf("%s: %x decodes to %+v, which encodes to %x", s.name, b, actions, got)
				}
			}
		}
	}
}

func TestMemoryForDecodedActionsIsBoundedByTheirSize(t *testing.T) {
	lists := map[string]Actions{
		"unknown ones": Actions(strings.Repeat("\x12\x34\x00\x08\x00\x00\x00\x00", 8000)),
		"unknown ones between known ones": Actions(strings.Repeat(
			"\x12\x34\x00\x08\x00\x00\x00\x00"+"\x00\x15\x00\x08\x00\x01\x00\x00", 4000)),
	}
	for _, s := range actionSamples {
		lists[s.name] = Actions(strings.Repeat(string(unhex(t, s.golden)), 65000*2/len(s.golden)))
	}
	learn := ActionLearn{Specs: make([]LearnSpec, 8000)}
	for i := range learn.Specs {
		learn.Specs[i] = LearnSpec{Kind: LearnOutput, Bits: 16, Src: NXMInPort}
	}
	lists["learn of many outputs"] = NewActions(learn)
	lists["controller with much userdata"] = NewActions(ActionController2{Userdata: make([]byte, 60000)})
	for name, list := range lists {
		limit := uint64(4*len(list) + len(list)/8 + 1024) // large blocks are rounded up to pages
		if !packed {
			limit += uint64(len(list))
		}
		if got := allocated(limit, func() { list.List() }); got > limit {
			t.Errorf("%s: %d bytes for %d, limit %d", name, got, len(list), limit)
		}
	}
}

// FuzzActions holds the decoder to its promises for any list of actions, alone
// and as instructions: no panic, bounded memory, and the same bytes back.
func FuzzActions(f *testing.F) {
	for _, s := range actionSamples {
		f.Add(AppendActions(nil, []Action{ActionCT{Commit: true, Table: NoTable, Exec: []Action{s.action}}, s.action}))
	}
	for _, s := range instructionSamples {
		f.Add([]byte(NewInstructions(s.instruction, ClearActions{})))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxMessageLen {
			return
		}
		var actions []Action
		var err error
		limit := uint64(4*len(b) + len(b)/8 + 1024)
		if !packed {
			limit += uint64(len(b))
		}
		if got := allocated(limit, func() { actions, err = DecodeActions(b) }); got > limit {
			t.Errorf("%d bytes of memory for actions of %d", got, len(b))
		}
		if err == nil && string(AppendActions(nil, actions)) != string(b) {
			t.Errorf("%x decodes to %+v, which encodes to other bytes", b, actions)
		}
		instructions, err := DecodeInstructions(b)
		if err == nil && string(NewInstructions(instructions...)) != string(b) {
			t.Errorf("%x decodes to %+v, which encodes to other bytes", b, instructions)
		}
	})
}
