package flow

import (
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

var (
	macA    = [6]byte{0x02, 0x00, 0x05, 0x00, 0x00, 0x01}
	macB    = [6]byte{0x02, 0x00, 0x05, 0x00, 0x00, 0x02}
	macMask = [6]byte{0xff, 0xff, 0xff}
	noMAC   [6]byte

	ip4A   = netip.MustParseAddr("10.0.0.1")
	linkIP = netip.MustParseAddr("fe80::5ff:fe00:1")
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// corpus returns flows in all the shapes that the constructors can make, each
// with a key of its own. Open vSwitch accepts every one.
func corpus() []Flow {
	c := new(collector)
	c.portSecurity()
	c.securityGroups()
	c.forwarding()
	c.matches()
	c.actions()
	c.moreActions()
	c.labNotes()
	c.attributes()
	return c.flows
}

// collector gives every flow a priority of its own.
type collector struct{ flows []Flow }

func (c *collector) add(table uint8, m Match, ins ...openflow.Instruction) {
	c.flow(Flow{Table: table, Match: m, Instructions: NewInstructions(ins...)})
}

func (c *collector) flow(f Flow) {
	f.Priority = uint16(len(c.flows) + 1)
	c.flows = append(c.flows, f)
}

// portSecurity has the flows that bind a port to its MAC and addresses.
func (c *collector) portSecurity() {
	for _, ether := range []Field{ARP(), IP(), IPv6()} {
		c.add(0, NewMatch(InPort(1), NoVLAN(), EthSrc(macA), ether), Goto(1))
	}
	c.add(0, NewMatch(InPort(1)))
	c.add(1, NewMatch(InPort(1), ARPSHA(macA), ARPSPA(ip4A)), Goto(2))
	c.add(1, NewMatch(InPort(1), ARPOp(1), ARPSHA(macA), ARPSPA(netip.IPv4Unspecified())), Goto(2))
	c.add(1, NewMatch(InPort(1), IP(), TPSrc(17, 67, 0xffff), TPDst(17, 68, 0xffff)))
	c.add(1, NewMatch(InPort(1), IPSrc(pfx("0.0.0.0/32")), IPDst(pfx("255.255.255.255/32")), TPSrc(17, 68, 0xffff), TPDst(17, 67, 0xffff)), Goto(2))
	c.add(1, NewMatch(InPort(1), IPSrc(pfx("10.0.0.1/32"))), Goto(2))
	c.add(1, NewMatch(InPort(1), ICMP6Type(134)))
	for _, sll := range [][6]byte{macA, noMAC} {
		c.add(1, NewMatch(InPort(1), ICMP6Type(135), ICMP6Code(0), NDSLL(sll)), Apply(Resubmit(3)))
		c.add(1, NewMatch(InPort(1), ICMP6Type(136), ICMP6Code(0), NDTarget(linkIP), NDTLL(sll)), Apply(Resubmit(3)))
	}
	c.add(1, NewMatch(ICMP6Type(135)))
	c.add(1, NewMatch(InPort(1), IPSrc(pfx("fd01::1/128"))), Goto(2))
	c.add(1, NewMatch(InPort(1), IPSrc(pfx("fe80::/10"))), Goto(2))
	c.add(3, NewMatch(InPort(1), IPSrc(pfx("::/128")), ICMP6Type(135)), Goto(4))
}

// securityGroups has the flows of stateful rules.
func (c *collector) securityGroups() {
	zone := func(r int) openflow.Subfield { return RegBits(r, 0, 16) }
	mark := func(v uint32) openflow.Action { return SetField(CTMark(v)) }
	c.add(10, NewMatch(IP()), Apply(CT(CTSpec{ZoneSrc: zone(0), Recirc: true, Table: 11})))
	c.add(10, NewMatch(IPv6()), Apply(CT(CTSpec{ZoneSrc: zone(0), Recirc: true, Table: 11})))
	c.add(11, NewMatch(CTState(CTTrk|CTEst, 0)), Goto(20))
	c.add(11, NewMatch(CTState(CTTrk|CTRel, CTNew|CTInv)), Goto(20))
	c.add(11, NewMatch(CTState(CTTrk|CTNew, 0), IP()), Apply(CT(CTSpec{Commit: true, ZoneSrc: zone(0), Exec: []openflow.Action{mark(1000)}})), Goto(20))
	c.add(11, NewMatch(CTState(CTTrk|CTInv, 0)))
	c.add(31, NewMatch(CTState(CTTrk|CTEst, 0), CTMark(1000), IP(), Reg(15, 4)), Apply(OutputReg(15)))
	c.add(31, NewMatch(CTState(CTTrk|CTEst|CTRpl, 0), CTMark(0), IP(), Reg(15, 4)), Apply(Output(4)))
	c.add(31, NewMatch(CTState(CTTrk, 0), Reg(15, 4), ConjID(1000), IP()),
		Apply(CT(CTSpec{Commit: true, ZoneSrc: zone(15), Exec: []openflow.Action{mark(1000)}}), OutputReg(15)))
	c.add(31, NewMatch(CTState(CTTrk, 0), Reg(15, 4), IPSrc(pfx("10.1.0.0/16"))), Apply(Conjunction(1000, 1, 2), Conjunction(1001, 1, 3)))
	c.add(31, NewMatch(CTState(CTTrk, 0), Reg(15, 4), IP(), TPDst(6, 5001, 0xffff)), Apply(Conjunction(1000, 2, 2)))
	c.add(31, NewMatch(CTState(CTTrk, 0), Reg(15, 4), ICMPType(8)), Apply(Conjunction(1000, 2, 2)))
	c.add(31, NewMatch(CTState(0, CTTrk), CTZone(7), IP()), Apply(CT(CTSpec{Zone: 7})))
	c.add(31, NewMatch(CTMarkMasked(0x100, 0xff00), IP()), Apply(CT(CTSpec{Commit: true, Force: true, Zone: 0xffff})))
	for _, family := range []Field{IP(), IPv6()} {
		for _, proto := range []uint8{6, 17, 132} {
			for _, r := range [][2]uint16{{80, 80}, {5000, 5010}, {0, 1023}, {1024, 65535}, {0, 65535}} {
				for _, p := range PortRange(r[0], r[1]) {
					c.add(41, NewMatch(CTState(CTTrk|CTNew, CTEst), family, Reg(8, 3), TPDst(proto, p.Value, p.Mask)), Goto(60))
				}
			}
		}
	}
}

// forwarding has prefixes of MAC segments, their exceptions, and the responders.
func (c *collector) forwarding() {
	c.add(30, NewMatch(EthDstMasked(macA, macMask)), Apply(SetReg(5, 3), SetReg(7, 12)), Goto(31))
	c.add(30, NewMatch(EthDstMasked([6]byte{1}, [6]byte{1})), Apply(Output(openflow.PortFlood)))
	c.add(31, NewMatch(Reg(5, 3), Metadata(77), EthDst(macB)), Apply(SetReg(15, 9)), Goto(60))
	c.add(60, NewMatch(Reg(15, 0)))
	c.add(61, NewMatch(Reg(7, 12)), Apply(
		Move(Bits(openflow.Metadata, 0, 24), Bits(openflow.TunnelID, 0, 24)), SetField(TunnelDst(netip.MustParseAddr("192.168.50.5"))), Output(900)))
	c.add(61, NewMatch(TunnelID(77), TunnelSrc(ip4A), TunnelDst(ip4A)), WriteMetadata(77), Goto(62))
	reply := []openflow.Action{Move(Whole(openflow.EthSrc), Whole(openflow.EthDst)), SetField(EthSrc(macA))}
	c.add(5, NewMatch(ARPOp(1), ARPTPA(ip4A), Metadata(77)), Apply(append(reply, SetField(ARPOp(2)),
		Move(Whole(openflow.ARPSHA), Whole(openflow.ARPTHA)), Move(Whole(openflow.ARPSPA), Whole(openflow.ARPTPA)),
		SetField(ARPSHA(macA)), SetField(ARPSPA(ip4A)), Output(openflow.PortInPort))...))
	c.add(5, NewMatch(ICMP6Type(135), ICMP6Code(0), NDTarget(linkIP)), Apply(append(reply,
		Move(Whole(openflow.IPv6Src), Whole(openflow.IPv6Dst)), SetField(ICMP6Type(136)), Controller(0xffff))...))
	c.add(6, NewMatch(ICMP6Type(136), NDTLL(macA)), Apply(SetField(NDTLL(macB)), SetField(NDTarget(linkIP)), Output(openflow.PortInPort)))
}

// matches has every field, alone with what it needs, exact and masked.
func (c *collector) matches() {
	list := [][]Field{
		{InPort(1)}, {InPort(65000)}, {InPort(openflow.PortLocal)}, {InPort(openflow.PortController)},
		{Metadata(0)}, {Metadata(1 << 63)}, {MetadataMasked(0x7700, 0xff00)}, {MetadataMasked(0, 1)}, {MetadataMasked(5, 0)},
		{EthSrc(noMAC)}, {EthSrcMasked(macA, macMask)}, {EthDst(macB)}, {EthDstMasked(macB, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		{EthType(0x88cc)}, {EthType(0x8035)}, {EthType(0x8847)}, {EthType(0x05ff)},
		{NoVLAN()}, {VLAN(5)}, {VLAN(0)}, {VLAN(4095)}, {AnyVLAN()}, {NoVLAN(), EthType(0x88cc)},
		{IP(), IPProto(47)}, {IPv6(), IPProto(47)}, {IP(), IPProto(0)}, {IPv6(), IPProto(6)}, {IP(), IPProto(2)},
		{IPSrc(pfx("0.0.0.0/0"))}, {IPSrc(pfx("::/0"))}, {IPSrc(pfx("10.1.2.3/8"))}, {IPDst(pfx("10.1.2.3/31"))}, {IPDst(pfx("224.0.0.0/4"))},
		{IPSrc(pfx("2001:db8::/32"))}, {IPDst(pfx("2001:db8::ff/127"))}, {IPDst(pfx("ff02::1/128"))}, {IPDst(pfx("ff02::1:ff00:0/104"))},
		{IPSrc(pfx("fd01::/64")), IPDst(pfx("fd02::/64")), TPSrc(17, 546, 0xffff), TPDst(17, 547, 0xffff)},
		{ARP()}, {ARPOp(2)}, {ARPSPA(ip4A), ARPTPA(ip4A)}, {ARPSHA(macA), ARPTHA(noMAC)}, {EthType(0x8035), ARPOp(3)},
		{ICMPType(8), ICMPCode(0)}, {ICMPType(3)}, {ICMPCode(4), ICMPType(3)}, {ICMP6Type(128)}, {ICMP6Type(1), ICMP6Code(4)}, {ICMP6Code(0)},
		{NDTarget(linkIP), ICMP6Type(135)}, {NDSLL(macA)}, {NDTLL(macA)},
		{IP(), TPSrc(6, 0, 0xffff)}, {IP(), TPDst(6, 0, 0)}, {IPv6(), TPDst(6, 0x1400, 0xfff8)}, {IPv6(), TPSrc(132, 9, 0xffff)}, {IP(), TPSrc(17, 1, 1)},
		{RegMasked(3, 0xffff, 0xff)}, {RegMasked(3, 1, 1), RegMasked(3, 2, 2)}, {Reg(0, 0xffffffff)},
		{CTState(CTTrk|CTNew|CTInv, CTEst|CTRel|CTRpl)}, {CTState(0, CTTrk)}, {CTState(CTTrk, 0), CTState(CTNew, CTEst)},
		{CTState(CTNew|CTEst|CTRel|CTRpl|CTInv|CTTrk, 0xc0)}, {CTState(0, 0xff)},
		{CTMark(0)}, {CTMark(0xffffffff)}, {CTMarkMasked(0xf0, 0xf0)}, {CTZone(0)}, {CTZone(65535)}, {ConjID(4294967295)},
		{PktMark(1)}, {PktMark(0)}, {TunnelID(0xffffff)}, {TunnelID(0)}, {TunnelSrc(ip4A)},
		{},
	}
	for r := range registers {
		list = append(list, []Field{Reg(r, uint32(r)*1000)})
	}
	for bits := 0; bits <= 32; bits += 4 {
		list = append(list, []Field{IPDst(netip.PrefixFrom(netip.MustParseAddr("203.0.113.85"), bits))})
	}
	for bits := 0; bits <= 128; bits += 16 {
		list = append(list, []Field{IPDst(netip.PrefixFrom(netip.MustParseAddr("2001:db8:85a3:8d3:1319:8a2e:370:7348"), bits))})
	}
	for bits := 8; bits <= 48; bits += 5 {
		var mask [6]byte
		for i := range bits {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		list = append(list, []Field{EthDstMasked([6]byte{2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}, mask)})
	}
	for _, fields := range list {
		c.add(100, NewMatch(fields...), Goto(101))
	}
}

// actions has every action and instruction, alone and with others.
func (c *collector) actions() {
	tcp := NewMatch(IP(), TPDst(6, 1, 0xffff))
	any := NewMatch()
	for _, test := range []struct {
		match   Match
		actions []openflow.Action
	}{
		{any, []openflow.Action{Output(1)}},
		{any, []openflow.Action{openflow.ActionOutput{Port: 1, MaxLen: 0xffff}}},
		{any, []openflow.Action{Output(1), Output(2), Output(65000)}},
		{any, []openflow.Action{Output(openflow.PortNormal), Output(openflow.PortAll), Output(openflow.PortLocal), Output(openflow.PortFlood)}},
		{any, []openflow.Action{Output(openflow.PortInPort), Controller(0), Controller(128), Controller(0xffff)}},
		{any, []openflow.Action{SetReg(0, 0), SetReg(15, 0xffffffff)}},
		{any, []openflow.Action{Load(RegBits(4, 0, 32), 7), Load(RegBits(4, 8, 1), 1), Load(RegBits(4, 0, 16), 0)}},
		{any, []openflow.Action{SetField(RegMasked(2, 0x700, 0xff00)), SetField(MetadataMasked(5, 0xffff)), SetField(Metadata(5))}},
		{any, []openflow.Action{SetField(EthSrc(macA)), SetField(EthDst(macB)), SetField(EthDstMasked(macB, macMask))}},
		{any, []openflow.Action{Load(Whole(openflow.EthSrc), 0x020005000001), Load(Bits(openflow.EthDst, 0, 8), 3)}},
		{any, []openflow.Action{SetField(TunnelID(77)), SetField(TunnelSrc(ip4A)), SetField(TunnelDst(ip4A)), SetField(PktMark(3))}},
		{any, []openflow.Action{Load(Whole(openflow.TunnelID), 77), Load(Whole(openflow.TunnelDst), 0x0a000001)}},
		{any, []openflow.Action{Move(RegBits(1, 0, 16), RegBits(2, 16, 16)), Move(Whole(openflow.Reg0), Whole(openflow.Reg0+1))}},
		{any, []openflow.Action{Move(Whole(openflow.EthSrc), Whole(openflow.EthDst)), Move(Bits(openflow.Metadata, 32, 32), Whole(openflow.Reg0))}},
		{any, []openflow.Action{Resubmit(7), openflow.ActionResubmit{InPort: 5, Table: 7}, openflow.ActionResubmit{InPort: 5, Table: 255}}},
		{any, []openflow.Action{openflow.ActionResubmit{InPort: 0xfffe, Table: 255}, openflow.ActionResubmit{InPort: 0xfffe, Table: 1}}},
		{any, []openflow.Action{OutputReg(0), openflow.ActionOutputReg{Src: RegBits(3, 16, 16), MaxLen: 0xffff}}},
		{tcp, []openflow.Action{SetField(number(openflow.IPv4Src, 4, 0x0a000001)), SetField(number(openflow.IPv4Dst, 4, 1)), SetField(TPSrc(6, 5, 0xffff)), SetField(TPDst(6, 6, 0xffff))}},
		{tcp, []openflow.Action{Load(Whole(openflow.IPv4Src), 0x0a000001), Load(Whole(openflow.TCPDst), 80), SetField(number(openflow.IPDSCP, 1, 46)), SetField(number(openflow.IPECN, 1, 2))}},
		{tcp, []openflow.Action{Move(Whole(openflow.IPv4Src), Whole(openflow.Reg0)), Move(Whole(openflow.TCPSrc), RegBits(1, 0, 16)), SetField(number(openflow.IPTTL, 1, 64))}},
		{NewMatch(VLAN(5)), []openflow.Action{SetField(VLAN(6)), SetField(number(openflow.VLANPCP, 1, 3)), Move(Bits(openflow.VLANVID, 0, 12), RegBits(0, 0, 12))}},
		{NewMatch(IPSrc(pfx("fd00::1/128")), TPSrc(17, 53, 0xffff)), []openflow.Action{
			SetField(IPSrc(pfx("fd00::2/128"))), SetField(IPDst(pfx("fd00::3/128"))), SetField(TPDst(17, 53, 0xffff)), Move(Whole(openflow.IPv6Src), Whole(openflow.IPv6Dst)),
		}},
		{NewMatch(ICMPType(8)), []openflow.Action{SetField(ICMPType(0)), SetField(ICMPCode(0)), Load(Whole(openflow.ICMPType), 0)}},
		{NewMatch(ARPOp(1)), []openflow.Action{SetField(ARPTPA(ip4A)), SetField(ARPTHA(macA)), Load(Whole(openflow.ARPOp), 2), Load(Whole(openflow.ARPSHA), 1)}},
		{NewMatch(NDSLL(macA)), []openflow.Action{SetField(NDSLL(macB)), SetField(NDTarget(linkIP)), Load(Whole(openflow.NDSLL), 1)}},
		{NewMatch(IP(), TPSrc(132, 1, 0xffff)), []openflow.Action{SetField(TPSrc(132, 2, 0xffff)), Load(Whole(openflow.SCTPDst), 3)}},
		{tcp, []openflow.Action{CT(CTSpec{})}},
		{tcp, []openflow.Action{CT(CTSpec{Recirc: true, Table: 200}), CT(CTSpec{Zone: 5, Recirc: true, Table: 201})}},
		{tcp, []openflow.Action{openflow.ActionCT{Commit: true, Table: openflow.NoTable, ALG: 21, Zone: 1}, CT(CTSpec{Commit: true, ZoneSrc: RegBits(9, 16, 16)})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, Exec: []openflow.Action{SetField(CTMark(5)), Load(Bits(openflow.CTMark, 8, 8), 1), Move(Whole(openflow.Reg0), Whole(openflow.CTMark))}})}},
		{tcp, []openflow.Action{CT(CTSpec{Commit: true, Exec: []openflow.Action{SetField(octets(openflow.CTLabel, make([]byte, 16)))}})}},
	} {
		c.add(110, test.match, Apply(test.actions...))
		c.add(110, test.match, Apply(test.actions...), Goto(120))
	}
	for _, r := range []int{0, 7, 15} {
		for _, lo := range []int{0, 5, 31} {
			c.add(110, any, Apply(Load(RegBits(r, lo, 1), 1), Move(RegBits(r, lo, 1), Bits(openflow.Metadata, 63, 1))))
		}
	}
	c.add(110, any, Goto(120), WriteMetadata(5), Apply(Output(1)))
	c.add(110, any, WriteMetadata(0))
	c.add(110, any, openflow.WriteMetadata{Metadata: 0xffff, Mask: 0xff00}, Apply())
	c.add(110, any, openflow.WriteMetadata{Metadata: 1, Mask: 1}, Goto(253))
}

// attributes has what a flow has besides match and instructions.
func (c *collector) attributes() {
	for i, f := range []Flow{
		{Cookie: 0x5d01000000000007},
		{Cookie: ^uint64(0)},
		{IdleTimeout: 300, Cookie: 1},
		{HardTimeout: 65535},
		{IdleTimeout: 65535, HardTimeout: 3600, Flags: openflow.FlagSendFlowRem},
		{Flags: openflow.FlagSendFlowRem | openflow.FlagCheckOverlap},
		{Flags: openflow.FlagResetCounts},
		{Flags: openflow.FlagNoPktCounts | openflow.FlagNoByteCounts, Cookie: 2},
		{Flags: openflow.FlagSendFlowRem | openflow.FlagResetCounts | openflow.FlagNoPktCounts | openflow.FlagNoByteCounts, IdleTimeout: 1000},
	} {
		f.Table, f.Match, f.Instructions = 130, NewMatch(InPort(uint32(i+1))), NewInstructions(Goto(131))
		c.flow(f)
	}
	for _, table := range []uint8{0, 1, 99, 252, 253} {
		c.add(table, NewMatch())
	}
}
