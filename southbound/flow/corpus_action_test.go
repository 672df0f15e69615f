package flow

import (
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// addReferred makes what flows of the corpus refer to.
func addReferred(ovs *ovstest.OVS, bridge string) {
	for _, group := range []string{"group_id=5,type=all,bucket=actions=output:1", "group_id=4294967040,type=indirect,bucket=actions=output:1"} {
		ovs.Ofctl("add-group", bridge, group)
	}
	ovs.Ofctl("add-tlv-map", bridge, "{class=0xffff,type=0,len=8}->tun_metadata0")
	for _, meter := range []string{"meter=3,kbps,band=type=drop,rate=1000", "meter=7,pktps,band=type=drop,rate=200"} {
		ovs.Ofctl("add-meter", bridge, meter)
	}
}

// moreActions has every action of Open vSwitch in its forms, and every
// instruction.
func (c *collector) moreActions() {
	any, tcp := NewMatch(), NewMatch(IP(), TPDst(6, 1, 0xffff))
	tcp6, mpls, tracked := NewMatch(IPv6(), TPDst(6, 1, 0xffff)), NewMatch(EthType(0x8847)), NewMatch(CTState(CTTrk, CTInv), IP())
	r := RegBits
	for _, test := range []struct {
		match   Match
		actions []openflow.Action
	}{
		// Output.
		{any, []openflow.Action{OutputTrunc(1, 100), OutputTrunc(openflow.PortLocal, 14), OutputTrunc(openflow.PortInPort, 0xffffffff)}},
		{any, []openflow.Action{OutputField(r(1, 5, 6)), OutputField(Whole(openflow.InPort)), openflow.ActionOutputReg2{Src: r(2, 0, 32), MaxLen: 0xffff}}},
		{any, []openflow.Action{ToGroup(5), ToGroup(0xffffff00)}},
		{any, []openflow.Action{SetQueue(0), Output(1), SetQueue(0xffffffff), Output(2), PopQueue(), Output(3)}},
		{any, []openflow.Action{ControllerWith(ControllerSpec{MaxLen: 0xffff}), ControllerWith(ControllerSpec{MaxLen: 128})}},
		{any, []openflow.Action{ControllerWith(ControllerSpec{MaxLen: 65535, MeterID: 7})}},
		{any, []openflow.Action{ControllerWith(ControllerSpec{MaxLen: 128, ID: 3, MeterID: 7, Userdata: []byte{0xaa, 0xbb}, Pause: true})}},
		{any, []openflow.Action{ControllerWith(ControllerSpec{MaxLen: 0, ID: 3}), ControllerWith(ControllerSpec{MaxLen: 0xffff, Pause: true})}},
		{any, []openflow.Action{ControllerWith(ControllerSpec{MaxLen: 0xffff, Userdata: make([]byte, 100)})}},
		{any, []openflow.Action{openflow.ActionController{MaxLen: 9, Reason: 2}, openflow.ActionController{MaxLen: 9, Reason: 1}, openflow.ActionController{MaxLen: 0xffff, Reason: 0, ID: 1}}},
		{any, []openflow.Action{openflow.ActionController2{MaxLen: 9, Reason: 2, ID: 5}, openflow.ActionController2{MaxLen: 0xffff, Reason: 3}}},
		{any, []openflow.Action{openflow.ActionController2{MaxLen: 9, Reason: 4, MeterID: 7}, openflow.ActionController2{MaxLen: 9, Reason: 5, Pause: true}}},
		{any, []openflow.Action{Sample(openflow.ActionSample{Probability: 1, CollectorSetID: 2, ObsDomainID: 3, ObsPointID: 4})}},
		{any, []openflow.Action{SamplePort(openflow.ActionSample{Probability: 0xffff}, 5, openflow.SampleDefault), SamplePort(openflow.ActionSample{Probability: 1}, openflow.PortAny, openflow.SampleDefault)}},
		{any, []openflow.Action{SamplePort(openflow.ActionSample{Probability: 1}, 5, openflow.SampleIngress), SamplePort(openflow.ActionSample{Probability: 1}, openflow.PortAny, openflow.SampleEgress)}},
		{any, []openflow.Action{SamplePort(openflow.ActionSample{Probability: 1}, openflow.PortLocal, openflow.SampleEgress), openflow.ActionSample2{ActionSample: openflow.ActionSample{Probability: 3}, Port: 0xffff}}},

		// Tags, labels and TTLs.
		{any, []openflow.Action{PushVLAN(0x8100), SetField(VLAN(5)), SetField(number(openflow.VLANPCP, 1, 3)), PushVLAN(0x88a8)}},
		{NewMatch(AnyVLAN()), []openflow.Action{PopVLAN(), Output(1)}},
		{NewMatch(VLAN(5)), []openflow.Action{PopVLAN(), PushVLAN(0x88a8), SetField(VLAN(4095)), Load(Bits(openflow.VLANVID, 0, 12), 7), Load(Whole(openflow.VLANPCP), 1)}},
		{any, []openflow.Action{SetField(number(openflow.VLANTCI, 2, 0x1005)), SetField(number(openflow.VLANTCI, 2, 0)), Load(Whole(openflow.VLANTCI), 0x7005)}},
		{NewMatch(IP()), []openflow.Action{PushMPLS(0x8847), SetField(number(openflow.MPLSLabel, 4, 0xfffff)), SetField(number(openflow.MPLSTC, 1, 7)), SetMPLSTTL(64), DecMPLSTTL()}},
		{mpls, []openflow.Action{DecMPLSTTL(), SetMPLSTTL(1), PopMPLS(0x0800)}},
		{mpls, []openflow.Action{PushMPLS(0x8848), PopMPLS(0x8847), PopMPLS(0x86dd)}},
		{mpls, []openflow.Action{Load(Bits(openflow.MPLSLabel, 4, 8), 3), Load(Whole(openflow.MPLSTC), 3), Move(Whole(openflow.MPLSLabel), r(0, 0, 20))}},
		{tcp, []openflow.Action{DecTTL(), SetTTL(64), DecTTL(0), DecTTL(1, 2, 3), DecTTL(4, 5, 6, 65535)}},
		{tcp6, []openflow.Action{DecTTL(), SetTTL(0)}},

		// Fields.
		{any, []openflow.Action{SetField(RegMasked(1, 5, 5)), SetField(RegMasked(1, 0xf00f, 0xff0ff0ff)), SetField(RegMasked(1, 0, 0x80000001)), SetField(RegMasked(1, 9, 0))}},
		{any, []openflow.Action{SetField(MetadataMasked(1<<63|1, 1<<63|1)), SetField(EthSrcMasked(macA, [6]byte{0xff, 0, 0xff, 0, 0xff, 1}))}},
		{any, []openflow.Action{openflow.ActionLoad2{OXM: Reg(1, 7).OXM()}, openflow.ActionLoad2{OXM: RegMasked(1, 7, 7).OXM()}}},
		{any, []openflow.Action{openflow.ActionSetTunnel{ID: 5}, openflow.ActionSetTunnel64{ID: 1 << 60}}},
		{any, []openflow.Action{openflow.ActionCopyField{Src: Whole(openflow.EthSrc), Dst: Whole(openflow.EthDst)}, Move(r(0, 0, 1), r(0, 31, 1))}},
		{any, []openflow.Action{openflow.ActionSetField{OXM: openflow.OXM{Field: openflow.EthSrc.NXM(), Len: 6}}, openflow.ActionSetField{OXM: openflow.OXM{Field: openflow.TunnelID.NXM(), Len: 8}}}},
		{any, []openflow.Action{Push(r(2, 1, 5)), Pop(r(3, 0, 5)), Push(Whole(openflow.EthSrc)), Pop(Whole(openflow.EthDst)), Push(Whole(openflow.Metadata)), Pop(Bits(openflow.Metadata, 63, 1))}},
		{tcp6, []openflow.Action{Push(Whole(openflow.IPv6Src)), Pop(Whole(openflow.IPv6Dst)), Move(Bits(openflow.IPv6Src, 64, 64), Whole(openflow.TunnelID))}},
		{tcp6, []openflow.Action{SetField(maskedOctets(openflow.IPv6Src, pfx("fd00::1/128").Addr().AsSlice(), pfx("ffff:ffff::ff/128").Addr().AsSlice()))}},
		{any, []openflow.Action{Load(Whole(openflow.XReg0), 1<<40), Load(Bits(openflow.XXReg0+1, 100, 20), 0xfffff), Move(Whole(openflow.XReg0), Whole(openflow.XReg0+7))}},
		{any, []openflow.Action{SetField(number(openflow.XReg0+2, 8, 0x100000002)), SetField(octets(openflow.XXReg0, make([]byte, 16))), SetField(masked(openflow.XReg0, 8, 5, 0xf0000000f))}},
		{any, []openflow.Action{CheckPktLarger(1500, r(0, 3, 1)), CheckPktLarger(0, Bits(openflow.XXReg0+1, 4, 1)), CheckPktLarger(65535, Bits(openflow.Metadata, 0, 1))}},
		{any, []openflow.Action{DeleteField(0)}},
		{tcp, []openflow.Action{SetField(number(openflow.IPToS, 1, 0xb8)), Load(Whole(openflow.IPECN), 1)}},

		// Tables.
		{any, []openflow.Action{Resubmit(0), Resubmit(254), ResubmitAs(5, 254), ResubmitAs(openflow.PortLocal, 3), ResubmitAs(5, openflow.TableAll)}},
		{any, []openflow.Action{openflow.ActionResubmitPort{InPort: 5}, openflow.ActionResubmitPort{InPort: 0xfffe}}},
		{tracked, []openflow.Action{ResubmitCT(5), openflow.ActionResubmitCT{InPort: 10, Table: 5}}},
		{any, []openflow.Action{Clone(), Clone(Output(1)), Clone(SetReg(0, 1), Clone(Resubmit(3), Exit()), openflow.ActionOutput{Port: 3, MaxLen: 5})}},
		{any, []openflow.Action{Exit(), Note([]byte{1}), Note([]byte("a longer note")), Note(nil), CTClear()}},
		{tcp, []openflow.Action{FinTimeout(10, 20), FinTimeout(0, 1), FinTimeout(65535, 0), FinTimeout(0, 0)}},
		{any, []openflow.Action{Conjunction(0, 1, 64), Conjunction(0xffffffff, 64, 64), Note([]byte("both"))}},

		// Hashes.
		{any, []openflow.Action{Multipath(openflow.HashEthSrc, 50, openflow.MultipathModuloN, 64, 0, r(2, 0, 32)), Multipath(openflow.HashSymmetricL4, 0, openflow.MultipathHashThreshold, 1, 0, r(2, 31, 1))}},
		{any, []openflow.Action{Multipath(openflow.HashSymmetricL3L4, 0xffff, openflow.MultipathHRW, 65536, 5, Whole(openflow.Metadata)), Multipath(openflow.HashSymmetricL3L4UDP, 1, openflow.MultipathIterHash, 7, 0xffffffff, r(2, 0, 3))}},
		{any, []openflow.Action{Multipath(openflow.HashNwSrc, 1, 0, 2, 0, r(2, 0, 16)), Multipath(openflow.HashNwDst, 1, 0, 2, 0, r(2, 0, 16)), Multipath(openflow.HashSymmetricL3, 1, 0, 2, 0, Whole(openflow.TunnelID))}},
		{any, []openflow.Action{Bundle(openflow.HashEthSrc, 5, openflow.BundleHRW, 4, 8), Bundle(openflow.HashSymmetricL4, 0, openflow.BundleActiveBackup)}},
		{any, []openflow.Action{Bundle(openflow.HashNwSrc, 0, openflow.BundleHRW, 1, openflow.PortLocal, openflow.PortAny, 3, 4)}},
		{any, []openflow.Action{BundleLoad(r(0, 0, 16), openflow.HashNwDst, 1, openflow.BundleActiveBackup, 1, 2, 3), BundleLoad(Whole(openflow.Metadata), openflow.HashSymmetricL3, 1, openflow.BundleHRW, 1)}},

		// Connections.
		{tcp, []openflow.Action{CT(CTSpec{NAT: &NATSpec{}, Recirc: true, Table: 3}), CT(CTSpec{Commit: true, NAT: &NATSpec{Src: true}}), CT(CTSpec{Commit: true, NAT: &NATSpec{Dst: true}})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, ZoneSrc: r(0, 0, 16), NAT: &NATSpec{Src: true, Addr: ip4A, AddrMax: netip.MustParseAddr("10.0.0.9"), Port: 1000, PortMax: 2000, Random: true}, Exec: []openflow.Action{SetField(CTMark(1))}})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, NAT: &NATSpec{Dst: true, Addr: ip4A, Port: 80}}), CT(CTSpec{Commit: true, NAT: &NATSpec{Dst: true, Addr: ip4A, AddrMax: ip4A, Port: 80, PortMax: 80, Hash: true, Persistent: true}})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, NAT: &NATSpec{Src: true, Addr: ip4A, AddrMax: netip.MustParseAddr("10.0.0.2"), Persistent: true}})}},
		{tcp, []openflow.Action{openflow.ActionCT{Commit: true, Table: openflow.NoTable, Exec: []openflow.Action{openflow.ActionNAT{Flags: openflow.NATDst, AddrMin: ip4A, AddrMax: ip4A, PortMin: 8, PortMax: 8}}}}},
		{tcp6, []openflow.Action{CT(CTSpec{Commit: true, NAT: &NATSpec{Src: true, Addr: linkIP}}), CT(CTSpec{Commit: true, NAT: &NATSpec{Dst: true, Addr: linkIP, Port: 80, PortMax: 90}})}},
		{tcp6, []openflow.Action{CT(CTSpec{Commit: true, NAT: &NATSpec{Src: true, Addr: pfx("fd01::1/128").Addr(), AddrMax: pfx("fd01::ff/128").Addr(), Port: 1024, PortMax: 65535, Random: true}})}},
		{tcp6, []openflow.Action{CT(CTSpec{Commit: true, NAT: &NATSpec{Src: true, Addr: pfx("fd01::1/128").Addr(), AddrMax: pfx("fd01::ff/128").Addr(), Hash: true}})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, Force: true, Zone: 65535, Recirc: true, Table: 7, ALG: 21, NAT: &NATSpec{Src: true}, Exec: []openflow.Action{SetField(CTMarkMasked(0xf00, 0xff00)), SetField(octets(openflow.CTLabel, make([]byte, 16)))}})}},
		{NewMatch(IP(), TPDst(17, 69, 0xffff)), []openflow.Action{CT(CTSpec{ALG: 69, Commit: true, ZoneSrc: Bits(openflow.Metadata, 16, 16)}), CT(CTSpec{ZoneSrc: Bits(openflow.EthSrc, 0, 16)})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, Exec: []openflow.Action{Load(Bits(openflow.CTLabel, 64, 64), 1), SetField(maskedOctets(openflow.CTLabel, []byte{15: 3}, []byte{0: 0x80, 7: 0xff, 8: 0xff, 15: 3})), Move(Whole(openflow.XXReg0), Whole(openflow.CTLabel))}})}},

		// Learning.
		{any, []openflow.Action{Learn(LearnSpec{Table: 1, Priority: defaultPriority})}},
		{any, []openflow.Action{Learn(LearnSpec{Table: 10, Priority: 100, Cookie: 0x5d, IdleTimeout: 300, HardTimeout: 600, FinIdleTimeout: 5, FinHardTimeout: 6, SendFlowRem: true, DeleteLearned: true},
			LearnMatch(Whole(openflow.EthDst), Whole(openflow.EthSrc)), LearnOutput(InPort16()))}},
		{any, []openflow.Action{Learn(LearnSpec{Table: 10, Limit: 20000}, LearnSame(Whole(openflow.EthSrc)), LearnSame(Bits(openflow.VLANTCI, 0, 12)), LearnLoad(InPort16(), r(4, 0, 16)))}},
		{any, []openflow.Action{Learn(LearnSpec{Table: 10, Limit: 1, Result: r(0, 8, 1)}, LearnSame(Bits(openflow.EthSrc, 8, 16)), LearnLoad(Whole(openflow.Reg0), Whole(openflow.Reg0)))}},
		{tcp, []openflow.Action{Learn(LearnSpec{Table: 10, Result: Bits(openflow.Metadata, 3, 1)}, LearnField(Reg(3, 5)), LearnField(Metadata(77)), LearnField(EthSrc(macA)), LearnField(IP()), LearnField(IPProto(6)),
			LearnMatch(Whole(openflow.IPv4Src), Whole(openflow.IPv4Dst)), LearnMatch(Whole(openflow.TCPSrc), Whole(openflow.TCPDst)))}},
		{tcp6, []openflow.Action{Learn(LearnSpec{Table: 10}, LearnField(IPv6()), LearnField(IPDst(pfx("fd01::1/128"))), LearnMatch(Whole(openflow.IPv6Src), Whole(openflow.IPv6Dst)), LearnLoad(Whole(openflow.IPv6Src), Whole(openflow.XXReg0)))}},
		{any, []openflow.Action{Learn(LearnSpec{Table: 10}, LearnMatchValue(r(0, 4, 3), 5), LearnMatchValue(r(1, 0, 1), 0), LearnMatchValue(Bits(openflow.EthDst, 0, 24), 0xabcdef), LearnLoadValue(r(1, 0, 32), 0), LearnLoadValue(r(2, 31, 1), 1), LearnLoadValue(Whole(openflow.Metadata), 1<<63), LearnOutput(r(2, 0, 16)))}},
		{any, []openflow.Action{openflow.ActionLearn{Table: 3, Extended: true, Specs: []openflow.LearnSpec{{Kind: openflow.LearnMatch, Bits: 48, Src: openflow.EthSrc, Dst: openflow.EthSrc}}}, Learn(LearnSpec{Table: 0, Priority: 0})}},
	} {
		c.add(111, test.match, Apply(test.actions...))
	}
	c.add(111, any, Metered(3), Apply(Output(1)))
	c.add(111, any, Goto(120), WriteMetadata(1), WriteActions(Output(1)), ClearActions(), Apply(Output(2)), Metered(7))
	c.add(111, any, Metered(3))
	c.add(111, any, ClearActions())
	c.add(111, any, ClearActions(), Goto(112))
	c.add(111, any, WriteActions(), Apply(), Goto(112))
	c.add(111, any, WriteActions(Output(1), ToGroup(5), Output(2), SetField(Reg(0, 1)), SetField(Reg(0, 1))))
	c.add(111, any, WriteActions(openflow.ActionOutput{Port: 3, MaxLen: 7}, SetField(RegMasked(0, 5, 5)), Load(Whole(openflow.EthSrc), 1), Resubmit(5), SetQueue(1)))
	c.add(111, tcp, WriteActions(DecTTL(), SetTTL(5), PushVLAN(0x8100), CT(CTSpec{Commit: true, Exec: []openflow.Action{SetField(CTMark(1))}}), CTClear()))
	c.add(111, any, WriteMetadataMasked(0xffff, 0xff00), WriteActions(Controller(0xffff)))
}
