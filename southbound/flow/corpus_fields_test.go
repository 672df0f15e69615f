package flow

import (
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

var (
	ip6A    = netip.MustParseAddr("fd00::a")
	ip6Mask = netip.MustParseAddr("ffff::f")
	wide    = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	odd     = [16]byte{0xff, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f}
	oddMAC  = [6]byte{0xff, 0, 0, 0, 0, 0x0f}
)

// fieldMatches has every field that Open vSwitch knows, exact and with a mask where it takes one.
func fieldMatches() [][]Field {
	tracked := CTState(CTTrk|CTEst, 0)
	list := [][]Field{
		{must(NewField(openflow.NXMInPort, []byte{0xff, 0xfe}, nil))}, {IP(), must(NewField(openflow.IPToS, []byte{184}, nil))},
		{must(NewField(openflow.VLANTCI, []byte{0x70, 5}, nil))}, {must(NewField(openflow.VLANTCI, []byte{0, 0}, nil))},
		{must(NewField(openflow.VLANTCI, []byte{0x10, 0}, []byte{0x1f, 0}))},
	}
	for i := range registers {
		list = append(list, []Field{Reg(i, 7)}, []Field{RegMasked(i, 1, 0x80000001)})
		if i < registers/2 {
			list = append(list, []Field{XReg(i, 0x100000002)}, []Field{XRegMasked(i, 5, 0xff)}, []Field{XRegMasked(i, 5<<32, 0xff<<32)})
		}
		if i < registers/4 {
			list = append(list, []Field{XXReg(i, wide)}, []Field{XXRegMasked(i, wide, odd)},
				[]Field{NSHMDType(1), NSHContext(i+1, 1, 0xffffffff)}, []Field{NSHMDType(1), NSHContext(i+1, 1, 1)})
		}
	}
	nd := func(fields ...Field) []Field { return append(fields, ICMP6Type(135)) }
	return append(list, [][]Field{
		{RecircID(0)}, {ConjID(7)}, {ActsetOutput(3)}, {ActsetOutput(openflow.PortController)},
		{PacketType(PacketIPv4)}, {PacketType(PacketIPv6), IPDst(pfx("fd00::/8"))}, {PacketType(PacketEthernet), InPort(1), ARP()},
		{PacketType(PacketIPv4), IPSrc(pfx("10.0.0.0/8")), TPSrc(6, 80, 0xffff), TCPFlags(TCPSyn, 0)}, {PacketType(0xffff0001)},
		{InPort(2)}, {Metadata(9)}, {MetadataMasked(0xff00000000000000, 0xff00000000000001)},
		{PktMark(5)}, {PktMarkMasked(0x10, 0xf0)},
		{TunnelID(0x1234)}, {TunnelIDMasked(0x1200, 0xff00)},
		{TunnelSrc(ip4A), TunnelDst(ip4A)}, {TunnelSrcIn(pfx("10.0.0.0/8"))}, {TunnelDstIn(pfx("0.0.0.0/1"))},
		{TunnelSrc(ip6A), TunnelDst(ip6A)}, {TunnelSrcIn(pfx("fd00::/8"))}, {TunnelDstIn(pfx("fd00::/127"))},
		{TunnelOAM(true)}, {TunnelOAM(false)}, {TunnelGBPID(5, 0xffff)}, {TunnelGBPID(5, 0xff)}, {TunnelGBPFlags(8, 0xff)},
		{ErspanVersion(1), ErspanIndex(0xabcde)}, {ErspanVersion(2), ErspanDirection(1), ErspanHardwareID(0x3f)},
		{CTState(CTSNAT, CTDNAT)}, {CTState(0xff, 0)}, {CTZone(9)}, {CTMark(1)}, {CTMarkMasked(1, 3)}, {CTLabel(wide)}, {CTLabelMasked(wide, odd)},
		{tracked, CTProto(6), CTSrc(pfx("10.0.0.1/32")), CTDst(pfx("10.0.0.0/24")), CTTPSrc(1, 0xffff), CTTPDst(80, 0xfff0), IP()},
		{tracked, CTProto(17), CTSrc(pfx("fd00::1/128")), CTDst(pfx("fd00::/64")), CTTPDst(53, 0xffff), IPv6()},
		{tracked, CTProto(132), CTSrc(pfx("fd00::/65")), CTDst(pfx("fd00::2/128")), CTTPSrc(5, 0xf)}, {tracked, CTDst(pfx("10.0.0.1/32"))},
		{CTState(CTTrk, CTInv), CTProto(1)}, {CTState(CTDNAT, 0), CTSrc(pfx("10.0.0.0/8"))},
		{EthSrc(macA)}, {EthSrcMasked(macA, oddMAC)}, {EthDst(macA)}, {EthDstMasked(macA, oddMAC)}, {EthType(0x88cc)},
		{VLAN(9)}, {VLAN(9), VLANPCP(7)}, {VLANPCP(0)}, {VLANIDMasked(0x1005, 0x100f)}, {VLANIDMasked(5, 0xf)}, {VLANIDMasked(5, 0xfff)},
		{VLANIDMasked(0x1005, 0x100f), VLANPCP(3)}, {VLANIDMasked(0, 0x1000)}, {VLANIDMasked(5, 0x1fff)}, {VLAN(5), VLANPCP(1), IP()},
		{MPLSLabel(0xfffff)}, {EthType(0x8848), MPLSLabel(3), MPLSTC(7), MPLSBOS(1), MPLSTTL(64)}, {MPLSTC(0)}, {MPLSBOS(0)}, {MPLSTTL(255)},
		{IPSrcMasked(ip4A, netip.MustParseAddr("255.0.255.1"))}, {IPDstMasked(ip4A, netip.MustParseAddr("0.0.0.1"))},
		{IPSrcMasked(ip6A, ip6Mask)}, {IPDstMasked(ip6A, ip6Mask)}, {IPSrc(pfx("10.0.0.1/32")), IPDst(pfx("10.0.0.2/32"))},
		{IPSrc(pfx("fd00::1/128")), IPDst(pfx("fd00::2/128"))},
		{IPv6Label(0)}, {IPv6Label(0x12345)}, {IPv6LabelMasked(0x10, 0xf0)},
		{IP(), IPProto(47), IPDSCP(46), IPECN(3), IPTTL(64)}, {IPv6(), IPDSCP(0)}, {IPv6(), IPECN(0), IPTTL(0)},
		{IP(), IPFragment(NoFragment)}, {IP(), IPFragment(AnyFragment)}, {IPv6(), IPFragment(FirstFragment)}, {IP(), IPFragment(LaterFragment)},
		{IP(), IPFragment(NotLaterFragment), TPDst(17, 53, 0xffff)},
		{IP(), TCPFlags(TCPSyn, TCPAck)}, {IPv6(), TCPFlagsExactly(TCPSyn | TCPAck)}, {IP(), TCPFlagsExactly(0)}, {IP(), TCPFlags(0x800, TCPNS)},
		{IP(), TPSrc(6, 80, 0xffff), TPDst(6, 80, 0xfff0)}, {IPv6(), TPSrc(6, 0, 0x8000), TPDst(6, 1, 0xffff)},
		{IP(), TPSrc(17, 1, 0xffff), TPDst(17, 2, 0xff00)}, {IP(), TPSrc(132, 1, 0xfff0), TPDst(132, 2, 0xffff)},
		{IPv6(), TPSrc(17, 1, 3), TPDst(17, 1, 3)}, {IPv6(), TPSrc(132, 1, 0xffff), TPDst(132, 1, 3)},
		{ICMPType(3), ICMPCode(1)}, {ICMP6Type(1), ICMP6Code(3)},
		nd(NDTarget(ip6A)), nd(NDTargetIn(pfx("fd00::/8"))), nd(NDSLL(macA)), nd(NDSLLMasked(macA, oddMAC)),
		{NDTLL(macA)}, {NDTLLMasked(macA, oddMAC), NDReserved(0x60000000)}, nd(NDReserved(5)), nd(NDReserved(0), NDOptionsType(1)), nd(NDOptionsType(0)),
		{ARPOp(255)}, {ARPSPAIn(pfx("10.0.0.0/8"))}, {ARPTPAIn(pfx("10.0.0.0/8"))}, {ARPSHAMasked(macA, oddMAC)}, {ARPTHAMasked(macA, oddMAC)},
		{EthType(0x8035), ARPSPA(ip4A), ARPTPA(ip4A), ARPSHA(macA), ARPTHA(macA)},
		{NSHFlags(2, 0xff)}, {NSHFlags(2, 3), NSHTTL(63), NSHMDType(2), NSHNextProto(3), NSHPath(0xabcdef), NSHIndex(255)}, {NSHPath(0)}, {NSHIndex(0)},
		{NSHMDType(1), NSHContext(1, 1, 0xffffffff), NSHContext(2, 2, 0xff), NSHContext(3, 0, 0xffffffff), NSHContext(4, 0x100, 0xff00)},
	}...)
}

func must(f Field, err error) Field {
	if err != nil {
		panic(err)
	}
	return f
}

// fieldsLostInText are matches that Open vSwitch keeps, but of which ovs-ofctl 3.1 prints
// less or other than it reads: a mask, a version of ERSPAN that goes with a field, a name.
func fieldsLostInText() [][]Field {
	return [][]Field{
		{PacketType(PacketEthernet)}, {PacketType(PacketEthernet), Reg(0, 1)}, {TunnelGBPFlags(8, 0xf)},
		{ErspanIndex(5)}, {ErspanVersion(1), masked(openflow.ErspanIndex, 4, 5, 7)}, {ErspanDirection(1)}, {ErspanHardwareID(1)}, {GTPUFlags(0x30, 0xff)}, {GTPUFlags(0x30, 0xf0)}, {GTPUMessageType(255)}, {GTPUMessageType(1)},
		{NSHContext(1, 1, 0xffffffff)}, {IP(), masked(openflow.TCPFlags, 2, 0x12, 0xfff)},
	}
}

// fieldsWithoutWords are matches that Open vSwitch keeps, but ovs-ofctl cannot read.
func fieldsWithoutWords() [][]Field {
	return [][]Field{
		{IP(), number(openflow.IPFrag, 1, 2)}, {IP(), masked(openflow.IPFrag, 1, 2, 2)}, {IP(), masked(openflow.IPFrag, 1, 0, 1)},
		{IP(), masked(openflow.TCPFlags, 2, 0x12, 0xf0ff)},
	}
}

// fieldsOfTheSwitch are fields that Open vSwitch lets nobody but itself match.
func fieldsOfTheSwitch() [][]Field {
	return [][]Field{{RecircID(5)}, {DPHash(5, 0xffffffff)}, {DPHash(5, 0xf)}}
}

// fieldsUnknownToOVS are standard fields that Open vSwitch does not know.
func fieldsUnknownToOVS() [][]Field {
	return [][]Field{
		{InPhyPort(3)}, {EthType(ethPBB), PBBISID(0xabcdef, 0xffffff)}, {EthType(ethPBB), PBBISID(5, 0xff), PBBUCA(1)},
		{IPv6ExtHdr(1, 0xffff)}, {IPv6ExtHdr(5, 0x7)},
	}
}

// flowsOf makes a flow of every match.
func flowsOf(table uint8, matches [][]Field) []Flow {
	c := new(collector)
	for _, fields := range matches {
		c.add(table, NewMatch(fields...), Goto(table+1))
	}
	return c.flows
}
