package flow

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
)

func TestEveryLineParsesToItsFlow(t *testing.T) {
	t.Parallel()
	for _, want := range append(corpus(), oddities()...) {
		line := want.String()
		got, err := Parse(line)
		if err != nil {
			t.Errorf("%v", err)
		} else if got != want {
			t.Errorf("%s\nparses to %s\nwant %x %x\n got %x %x", line, got, want.Match, want.Instructions, got.Match, got.Instructions)
		}
	}
}

// oddities are flows that somebody else may have put into a switch. What has no
// words is kept and printed as hex.
func oddities() []Flow {
	raw := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			panic(err)
		}
		return b
	}
	var flows []Flow
	for _, fields := range []string{
		"80000a020800 8000140106 ffff5508 4f4e4600 0002 0002", // tcp_flags
		"80001a0400001234 800028020050",                       // TCP ports without IP
		"80001502060f",                                        // ip_proto with a mask
		"80000b020800",                                        // eth_type of odd mask
		"0001d3080000010000000100",                            // ct_state of bits without a name
		"80000c023005",                                        // vlan_vid with strange bits
		"80000d0410051005 80000e0103",
		"80000e0103",
		"80000d0400010001 80000e0103",
		"80000a020800 000135020101", "80000a020800 000135020202", "80000a020800 0001340100", "80000a020800 000135020001", // ip_frag
		"80000a020800 000135020002",
		"80000a020806 80002a020100",                        // arp_op over 255
		"80000a0286dd 80003804000fffff",                    // ipv6_label
		"80000a0286dd 800039080000000f0000000f",            // masked
		"80000a020800 80001001 2e 80001201 02 00013a01 40", // dscp, ecn, ttl
		"0001d810 00000000000000000000000000000005",
		"0001d920 00000000000000000000000000000005 000000000000000000000000000000ff",
		"80000a020800 80001708 0a000001 ff0000ff", // discontiguous mask
		"80000a0286dd 80003520 fe800000000000000000000000000001 ffff000000000000000000000000000f",
		"12345602aabb", "80000004ffffff05",
	} {
		m, err := openflow.DecodeMatch(raw(fields))
		if err != nil {
			panic(err)
		}
		match, err := readMatch(m)
		if err != nil {
			panic(err)
		}
		flows = append(flows, Flow{Match: match})
	}
	for _, ins := range [][]openflow.Instruction{
		{openflow.InstructionRaw(raw("0006 0008 00000001"))},
		{openflow.InstructionRaw(raw("0003 0018 00000000 0000001000000001 0000000000000000")), openflow.InstructionRaw(raw("0005 0008 00000000"))},
		{openflow.InstructionRaw(raw("ffff 0008 00002320"))},
		{Apply(openflow.ActionRaw(raw("0018 0008 00000000")), openflow.ActionRaw(raw("ffff 0010 00002320 002b 000000000000")))},
		{Apply(CT(CTSpec{Commit: true, Exec: []openflow.Action{openflow.ActionRaw(raw("ffff 0010 00002320 0024 0000 0000 0000"))}}))},
		{Apply(CT(CTSpec{Exec: []openflow.Action{CT(CTSpec{Exec: []openflow.Action{Output(1)}})}}))},
		{Apply(openflow.ActionOutputReg{Src: RegBits(0, 0, 16), MaxLen: 5})},
		{Apply(openflow.ActionSetField{OXM: openflow.OXM{Field: 0x12340005, Len: 2}})},
		{Apply(openflow.ActionSetField{OXM: openflow.OXM{Field: openflow.EthSrc.NXM(), Len: 6}})},
		{Apply(openflow.ActionResubmit{InPort: openflow.ResubmitInPort, Table: 255}, openflow.ActionResubmit{InPort: 0xff05, Table: 255})},
		{Apply(Output(0xffffff05), Output(openflow.PortAny), Output(openflow.PortTable), Output(70000))},
		{Apply(openflow.ActionConjunction{ID: 1, Clause: 255, Clauses: 3})},
		{Apply(openflow.ActionCT{Table: 3, ALG: 69}, openflow.ActionCT{Table: 255, ALG: 9, ZoneSrc: RegBits(0, 0, 32)})},
	} {
		flows = append(flows, Flow{Priority: 1, Instructions: NewInstructions(ins...)})
	}
	return append(flows, Flow{Flags: 0x1f, IdleTimeout: 1, HardTimeout: 2, Cookie: 3, Priority: 0x8000})
}

func TestLinesThatNoFlowPrintsAreRefused(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"table=1":                                     "no actions=",
		"table=256 actions=drop":                      "not a number of 8 bits",
		"priority=0x10000 actions=drop":               "not a number of 16 bits",
		"colour=red actions=drop":                     "unknown field",
		"whatever actions=drop":                       "unknown word",
		"tp_dst=80 actions=drop":                      "tp_dst does not go with the protocol",
		"udp,icmp_type=8 actions=drop":                "icmp_type does not go with the protocol",
		"ip,arp actions=drop":                         "match wants eth_type=0x800 and eth_type=0x806",
		"dl_src=02:00 actions=drop":                   "is not a MAC address",
		"dl_src=0200:00:00:0001:0 actions=":           "is not a MAC address",
		"ip,nw_src=fe80::1 actions=drop":              "other family",
		"ip,nw_src=10.0.0.0/33 actions=":              "prefix is too long",
		"ct_state=trk|trk actions=drop":               "bad flag",
		"ct_state=+trk+trk actions=drop":              "bad flag",
		"ct_state=trk+new actions=drop":               "bad flag",
		"ip,nw_tos=5 actions=drop":                    "nw_tos=5: it is the DSCP alone",
		"ip,nw_frag=maybe actions=drop":               "unknown kind of fragment",
		"vlan_tci=0x2000/0x2000 actions=":             "matched in part",
		"oxm=80 actions=drop":                         "ends early",
		"oxm=xx actions=drop":                         "invalid byte",
		"actions=output:x":                            "not a number of 32 bits",
		"actions=ct(commit":                           "parentheses do not match",
		"actions=ct(commit))":                         "parentheses do not match",
		"actions=ct(colour)":                          "unknown argument",
		"actions=load:1->NXM_NX_REG0[3..1]":           "has no bits",
		"actions=load:1->NXM_NX_REG0[32]":             "has no bits",
		"actions=load:1->NXM_NX_REG16[]":              "is not a part of a field",
		"actions=move:NXM_NX_REG0[]->NXM_NX_TUN_ID[]": "differ in width",
		"actions=move:NXM_NX_REG0[]":                  "no ->",
		"actions=set_field:1->colour":                 "unknown field",
		"actions=goto_table:1,goto_table:2":           "two instructions of type 1",
		"actions=conjunction(1,0/2)":                  "clauses count from 1",
		"actions=raw:0000":                            "not the length of an action",
		"actions=raw:0000000000000000":                "length 0",
		"actions=instruction:00":                      "shorter than an instruction",
		"actions=instruction:0001000900000000":        "length 9",
		"actions=dance":                               "unknown action",
		"actions=":                                    "unknown action",
	} {
		if f, err := Parse(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, error %v; want an error with %q", line, f, err, want)
		}
	}
}

func TestMatchesAreEncodedInCanonicalForm(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fields []Field
		want   string
	}{
		"fields in order, standard ones first": {
			[]Field{Reg(1, 2), TPDst(6, 80, 0xffff), CTState(CTTrk, 0), IP(), InPort(1)},
			"8000000400000001" + "80000a020800" + "8000140106" + "80001c020050" + "0001020400000002" + "0001d3080000002000000020",
		},
		"prerequisites of an ARP field":         {[]Field{ARPOp(1)}, "80000a020806" + "80002a020001"},
		"prerequisites of an ND option":         {[]Field{NDSLL(macA)}, "80000a0286dd" + "800014013a" + "80003a0187" + "80004006020005000001"},
		"full mask left out":                    {[]Field{EthSrcMasked(macA, [6]byte{255, 255, 255, 255, 255, 255})}, "80000806020005000001"},
		"empty mask dropped, type kept":         {[]Field{IPSrc(pfx("0.0.0.0/0"))}, "80000a020800"},
		"masked bits of the value cleared":      {[]Field{RegMasked(0, 0xffff, 0xff)}, "00010108000000ff000000ff"},
		"halves of a field joined":              {[]Field{RegMasked(0, 0x1200, 0xff00), RegMasked(0, 0x34, 0xff)}, "00010108000012340000ffff"},
		"the same field twice":                  {[]Field{IP(), IP(), ICMPType(8)}, "80000a020800" + "8000140101" + "8000260108"},
		"exact and masked of the same":          {[]Field{Reg(0, 0x1234), RegMasked(0, 0x34, 0xff)}, "0001000400001234"},
		"an IPv4 prefix in an IPv6 address":     {[]Field{IPSrc(pfx("::ffff:10.0.0.0/104"))}, "80000a020800" + "8000170" + "80a000000ff000000"},
		"no field":                              {nil, ""},
		"RARP instead of ARP":                   {[]Field{EthType(0x8035), ARPOp(3)}, "80000a028035" + "80002a020003"},
		"a whole ct_state keeps its 8-bit mask": {[]Field{CTState(0, 0xff)}, "0001d308" + "00000000" + "000000ff"},
	} {
		if got := hex.EncodeToString([]byte(NewMatch(test.fields...))); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func TestMatchDoesNotDependOnTheOrderOfFields(t *testing.T) {
	t.Parallel()
	fields := []Field{InPort(1), IPv6(), IPProto(58), ICMP6Type(136), NDTarget(linkIP), NDTLL(macA), Reg(3, 1), NoVLAN(), EthSrc(macA)}
	want := NewMatch(fields...)
	for range len(fields) {
		fields = append(fields[1:], fields[0])
		if got := NewMatch(fields...); got != want {
			t.Errorf("match of %v is %v, want %v", fields, got, want)
		}
	}
}

func TestContradictionsPanic(t *testing.T) {
	t.Parallel()
	zoned := netip.MustParseAddr("fe80::1%eth0")
	for want, build := range map[string]func(){
		"match wants reg0=0x1 and reg0=0x2":                        func() { NewMatch(Reg(0, 1), Reg(0, 2)) },
		"match wants reg0=0x1/0x3 and reg0=0x2/0x3":                func() { NewMatch(RegMasked(0, 1, 3), RegMasked(0, 2, 3)) },
		"match wants reg0=0x1 and reg0=0/0x1":                      func() { NewMatch(Reg(0, 1), RegMasked(0, 0, 1)) },
		"match wants eth_type=0x800 and eth_type=0x806":            func() { NewMatch(IP(), ARP()) },
		"ipv6_src needs eth_type=0x86dd, but the match has eth_ty": func() { NewMatch(IP(), IPSrc(pfx("fe80::/10"))) },
		"arp_op needs eth_type=0x806":                              func() { NewMatch(IP(), ARPOp(1)) },
		"udp_dst needs nw_proto=17, but the match has nw_proto=6":  func() { NewMatch(IP(), TPSrc(6, 1, 0xffff), TPDst(17, 1, 0xffff)) },
		"nd_sll needs icmpv6_type=135":                             func() { NewMatch(ICMP6Type(136), NDSLL(macA)) },
		"match on tcp_dst needs IP or IPv6":                        func() { NewMatch(TPDst(6, 80, 0xffff)) },
		"match on nw_proto needs IP or IPv6":                       func() { NewMatch(ARP(), IPProto(6)) },
		"nd_target needs ICMPv6 type 135 or 136":                   func() { NewMatch(NDTarget(linkIP)) },
		"there is no register 16":                                  func() { Reg(16, 0) },
		"there is no register -1":                                  func() { OutputReg(-1) },
		"IP protocol 1 has no ports":                               func() { TPSrc(1, 0, 0) },
		"invalid IP prefix":                                        func() { IPSrc(netip.Prefix{}) },
		"neither of IPv4 nor of IPv6":                              func() { IPSrc(pfx("::ffff:10.0.0.1/95")) },
		"fe80::5ff:fe00:1 is not an IPv4 address":                  func() { ARPSPA(linkIP) },
		"is not an IPv6 address without zone":                      func() { NDTarget(zoned) },
		"10.0.0.1 is not an IPv6 address":                          func() { NDTarget(ip4A) },
		"to be set and unset":                                      func() { CTState(CTNew, CTNew) },
		"clause 0 of 2":                                            func() { Conjunction(1, 0, 2) },
		"clause 3 of 2":                                            func() { Conjunction(1, 3, 2) },
		"two instructions of type 1":                               func() { NewInstructions(Goto(1), Goto(2)) },
		"instruction of 0 bytes":                                   func() { NewInstructions(openflow.InstructionRaw("")) },
	} {
		if got := panicOf(build); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one with %q", got, want)
		}
	}
}

func panicOf(f func()) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint(p)
		}
	}()
	f()
	return "(no panic)"
}

func TestMatchFieldsAreThoseItWasMadeOf(t *testing.T) {
	t.Parallel()
	m := NewMatch(RegMasked(1, 2, 3), EthDst(macA), IPSrc(pfx("10.0.0.0/8")))
	want := []Field{EthDst(macA), IP(), IPSrc(pfx("10.0.0.0/8")), RegMasked(1, 2, 3)}
	got := m.Fields()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Field) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v, mask := got[3].Uint(); got[3].ID() != openflow.Reg0+1 || v != 2 || mask != 3 || got[3].Exact() {
		t.Errorf("reg1: id %#x value %d mask %d exact %v", uint32(got[3].ID()), v, mask, got[3].Exact())
	}
	if v, mask := got[0].Value(), got[0].Mask(); string(v) != string(macA[:]) || string(mask) != "\xff\xff\xff\xff\xff\xff" || !got[0].Exact() {
		t.Errorf("eth_dst: value %x mask %x exact %v", v, mask, got[0].Exact())
	}
	if again := NewMatch(got...); again != m {
		t.Errorf("match of its fields is %v, want %v", again, m)
	}
}

func TestInstructionsAreOrderedAsTheyAreExecuted(t *testing.T) {
	t.Parallel()
	want := []openflow.Instruction{openflow.ApplyActions{Output(1)}, openflow.WriteMetadata{Metadata: 5, Mask: ^uint64(0)}, openflow.GotoTable{Table: 9}}
	got, err := NewInstructions(Goto(9), Apply(Output(1)), WriteMetadata(5)).List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := NewInstructions(Apply()); got != "" {
		t.Errorf("an empty list of actions encodes to %x", got)
	}
	if _, err := Instructions("\x00\x01\x00\x04").List(); err == nil {
		t.Error("broken instructions decode")
	}
}

func TestActionsAreEncodedAsTheSwitchReportsThem(t *testing.T) {
	t.Parallel()
	for want, action := range map[string]openflow.Action{
		"0000001000000005" + "0000000000000000":                      openflow.ActionOutput{Port: 5, MaxLen: 0xffff},
		"00000010fffffffd" + "ffff000000000000":                      Controller(0xffff),
		"0019001000010a04" + "0000000700000000":                      SetReg(5, 7),
		"ffff001800002320" + "0007020700010a04" + "0000000000000007": SetField(RegMasked(5, 0x700, 0xff00)),
		"ffff001800002320" + "0006003000000000" + "0000040600000206": openflow.ActionMove{Src: Whole(openflow.EthSrc), Dst: Whole(openflow.EthDst)},
		"ffff001800002320" + "0007001f00000e04" + "0000000000000001": openflow.ActionLoad{Dst: Whole(openflow.IPv4Src), Value: 1},
		"ffff001800002320" + "000f000b80000c02" + "ffff000000000000": openflow.ActionOutputReg{Src: Whole(openflow.VLANVID), MaxLen: 0xffff},
		"ffff003000002320" + "0023000100000000" + "0000ff0000000000" + "ffff001800002320" + "0007000f00002004" + "0000000000000001": CT(CTSpec{
			Commit: true, Exec: []openflow.Action{openflow.ActionLoad{Dst: Bits(openflow.ARPSPA, 0, 16), Value: 1}},
		}),
	} {
		got := NewInstructions(Apply(action))
		if got := hex.EncodeToString([]byte(got[8:])); got != want {
			t.Errorf("%#v\n got %s\nwant %s", action, got, want)
		}
	}
}

func TestCanonicalFormLeavesTheGivenActionsAlone(t *testing.T) {
	t.Parallel()
	actions := []openflow.Action{Output(1), openflow.ActionOutput{Port: 2, MaxLen: 9}, Output(3)}
	NewInstructions(Apply(actions...))
	if got := actions[1].(openflow.ActionOutput).MaxLen; got != 9 {
		t.Errorf("max_len of the caller's action became %d", got)
	}
}

func TestPortRangesAreCoveredExactlyByTheFewestMasks(t *testing.T) {
	t.Parallel()
	for _, r := range [][2]uint16{{0, 65535}, {0, 0}, {65535, 65535}, {1, 65534}, {1, 65535}, {80, 80}, {5001, 5010}, {1024, 65535}, {0, 1023}, {32767, 32768}, {2, 1}} {
		cover := PortRange(r[0], r[1])
		covered := make([]int, 1<<16)
		for _, p := range cover {
			if p.Value&^p.Mask != 0 || bits.TrailingZeros16(p.Mask)+bits.OnesCount16(p.Mask) != 16 {
				t.Errorf("%v: %04x/%04x is no prefix", r, p.Value, p.Mask)
			}
			for port := int(p.Value); port <= int(p.Value|^p.Mask); port++ {
				covered[port]++
			}
		}
		for port, n := range covered {
			want := 0
			if port >= int(r[0]) && port <= int(r[1]) {
				want = 1
			}
			if n != want {
				t.Fatalf("%v: port %d is covered %d times, want %d", r, port, n, want)
			}
		}
	}
	for _, test := range []struct {
		lo, hi uint16
		want   int
	}{{0, 65535, 1}, {1, 65534, 30}, {5001, 5010, 5}, {1024, 65535, 6}, {8, 15, 1}} {
		if got := len(PortRange(test.lo, test.hi)); got != test.want {
			t.Errorf("%d-%d takes %d masks, want %d", test.lo, test.hi, got, test.want)
		}
	}
}

func TestAMatchWithAFieldTwiceIsNotAFlow(t *testing.T) {
	t.Parallel()
	twice := openflow.NewMatch(InPort(1).OXM(), InPort(2).OXM())
	if f, err := FromStats(openflow.FlowStats{Match: twice}); err == nil {
		t.Errorf("became %v", f)
	}
	if got := FromRemoved(openflow.FlowRemoved{Match: twice}); got == (Key{}) {
		t.Error("has the key of the flow that matches everything")
	}
}

func TestFieldsPrintForMessages(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Field{
		"eth_src=02:00:05:00:00:00/ff:ff:ff:00:00:00": EthSrcMasked(macA, macMask),
		"ip_dst=10.0.0.0/8":                           IPDst(pfx("10.0.0.0/8")),
		"metadata=0x5":                                Metadata(5),
		"oxm=12340a0107":                              {oxm: openflow.OXM{Field: 0x12340005, Len: 1, Value: [16]byte{7}}},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := NewMatch(InPort(1), ARP()).String(), "arp,in_port=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
