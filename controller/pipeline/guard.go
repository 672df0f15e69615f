package pipeline

import (
	"net/netip"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Protocol numbers and ICMPv6 types that the guard has to tell apart.
const (
	protoICMP   uint8 = 1
	protoTCP    uint8 = 6
	protoUDP    uint8 = 17
	protoICMPv6 uint8 = 58
	protoSCTP   uint8 = 132

	dhcp4Server uint16 = 67 // RFC 2131
	dhcp4Client uint16 = 68
	dhcp6Client uint16 = 546 // RFC 9915
	dhcp6Server uint16 = 547

	icmp6MLDQuery    uint8 = 130 // RFC 2710
	icmp6MLDReport   uint8 = 131
	icmp6MLDDone     uint8 = 132
	icmp6RouterSol   uint8 = 133 // RFC 4861
	icmp6RouterAdv   uint8 = 134
	icmp6NeighSol    uint8 = 135
	icmp6NeighAdv    uint8 = 136
	icmp6Redirect    uint8 = 137
	icmp6MLDv2Report uint8 = 143 // RFC 3810

	arpRequest uint16 = 1
	arpReply   uint16 = 2
)

// guard lets a bound port speak only as itself: untagged, from its own MAC, and
// with its own addresses in ARP, IPv4, IPv6 and neighbour discovery, or those of
// its address pairs. A port without port security is let through, past the rules.
var guard = Table{
	ID: tableGuard, Name: "guard",
	Job: "spoof guard of bound ports: MAC, VLAN tag, ARP sender, IPv4 and IPv6 source, neighbour discovery options, DHCP servers",
	Reads: []openflow.FieldID{
		reg(regSenderZone), openflow.VLANVID, openflow.EthSrc, openflow.EthType,
		openflow.ARPOp, openflow.ARPSPA, openflow.ARPSHA, openflow.IPv4Src, openflow.IPv6Src,
		openflow.IPProto, openflow.ICMP6Type, openflow.ICMP6Code, openflow.NDTarget, openflow.NDSLL, openflow.NDTLL,
		openflow.IPv4Dst, openflow.UDPSrc, openflow.UDPDst,
	},
	Next: []uint8{tableGuardND, tableRespond},
	Miss: "drop",
	port: func(_ intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if p.Up {
			guardPort(p, emit)
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableGuard) },
}

// speaker is a MAC with the addresses that a port may speak from with it.
type speaker struct {
	mac    mac.Addr
	v4, v6 []netip.Prefix
}

// speakers are the port itself and what its address pairs add, by MAC. Who has
// an IPv6 address speaks from the link-local one that goes with the MAC, too.
func speakers(p *intent.LocalPort) []speaker {
	list := []speaker{{mac: p.MAC}}
	add := func(m mac.Addr, prefix netip.Prefix) {
		at := slices.IndexFunc(list, func(s speaker) bool { return s.mac == m })
		if at < 0 {
			at, list = len(list), append(list, speaker{mac: m})
		}
		into := &list[at].v4
		if prefix.Addr().Is6() {
			into = &list[at].v6
		}
		if !slices.Contains(*into, prefix) {
			*into = append(*into, prefix)
		}
	}
	for _, ip := range p.IPs {
		add(p.MAC, single(ip))
	}
	for _, pair := range p.Pairs {
		add(pair.MAC, pair.Prefix)
	}
	for i := range list {
		if own := &list[i]; len(own.v6) > 0 {
			add(own.mac, single(own.mac.LinkLocal()))
		}
	}
	return list
}

func guardPort(p *intent.LocalPort, emit emitFunc) {
	owner, in := NewCookie(KindPort, p.Num), sender(p)
	if p.Open {
		emit(prioAllow, owner, flow.NewMatch(in), flow.Goto(tableRespond))
		if p.VLAN != 0 {
			// A tag below that of the sub-port reads as a type of payload.
			for _, tag := range []uint16{tag8021Q, tag8021AD} {
				emit(prioRefuse, owner, flow.NewMatch(in, flow.EthType(tag)))
			}
		}
		return
	}
	for _, s := range speakers(p) {
		guardSpeaker(in, owner, s, emit)
	}
	// Who has no address yet asks for one from none (RFC 2131 §4.1); from any other only
	// the controller hears it, which says that the address is no more.
	ask := []flow.Field{
		in, flow.NoVLAN(), flow.EthSrc(p.MAC.Bytes()), flow.IPDst(broadcast4),
		flow.TPSrc(protoUDP, dhcp4Client, 0xffff), flow.TPDst(protoUDP, dhcp4Server, 0xffff),
	}
	if len(p.Served.DHCP4) == 0 {
		ask = append(ask, flow.IPSrc(single(netip.IPv4Unspecified())))
	}
	emit(prioAllow, owner, flow.NewMatch(ask...), flow.Goto(tableRespond))
	// Whoever does not answer for the cloud is no DHCP server.
	server := func(family flow.Field, from, to uint16) {
		emit(prioRefuse, owner, flow.NewMatch(in, family, flow.TPSrc(protoUDP, from, 0xffff), flow.TPDst(protoUDP, to, 0xffff)))
	}
	four, six := families(p)
	if four {
		server(flow.IP(), dhcp4Server, dhcp4Client)
	}
	if six {
		server(flow.IPv6(), dhcp6Server, dhcp6Client)
	}
	// What the guard refuses is counted per port.
	emit(prioFallback, owner, flow.NewMatch(in))
}

// families says of which families a port has addresses to speak from.
func families(p *intent.LocalPort) (four, six bool) {
	for _, s := range speakers(p) {
		four, six = four || len(s.v4) > 0, six || len(s.v6) > 0
	}
	return four, six
}

func guardSpeaker(in flow.Field, owner Cookie, s speaker, emit emitFunc) {
	station, onward := s.mac.Bytes(), flow.Goto(tableRespond)
	own := func(fields ...flow.Field) flow.Match {
		return flow.NewMatch(append(fields, in, flow.NoVLAN(), flow.EthSrc(station))...)
	}
	for _, from := range s.v4 {
		emit(prioAllow, owner, own(flow.IP(), flow.IPSrc(from)), onward)
		emit(prioAllow, owner, own(flow.ARP(), flow.ARPSHA(station), flow.ARPSPAIn(from)), onward)
	}
	// An ARP probe asks whether an address is free before it is used (RFC 5227 §2.1.1).
	emit(prioAllow, owner, own(flow.ARP(), flow.ARPOp(arpRequest), flow.ARPSHA(station), flow.ARPSPA(netip.IPv4Unspecified())), onward)
	if len(s.v6) == 0 {
		return
	}
	for _, from := range s.v6 {
		emit(prioAllow, owner, own(flow.IPv6(), flow.IPSrc(from)), onward)
		// Neighbour advertisements speak for the speaker's own addresses only, with its own MAC or none.
		for _, tll := range [][6]byte{station, {}} {
			emit(prioExcept, owner, own(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(icmp6NeighAdv), flow.ICMP6Code(0),
				flow.NDTargetIn(from), flow.NDTLL(tll)), flow.Goto(tableGuardND))
		}
	}
	// An absent option reads as zero.
	for _, sll := range [][6]byte{station, {}} {
		emit(prioExcept, owner, own(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(icmp6NeighSol), flow.ICMP6Code(0),
			flow.NDSLL(sll)), flow.Goto(tableGuardND))
	}
	for _, t := range []uint8{icmp6RouterAdv, icmp6NeighSol, icmp6NeighAdv, icmp6Redirect} {
		emit(prioExcept-1, owner, own(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(t)))
	}
}

// guardND is the second look at neighbour discovery: guard has seen the options,
// this table sees the source address, which one match cannot combine with them
// for every address without a product of both.
var guardND = Table{
	ID: tableGuardND, Name: "guard-nd",
	Job:   "source address of neighbour discovery",
	Reads: []openflow.FieldID{reg(regSenderZone), openflow.EthType, openflow.IPv6Src, openflow.IPProto, openflow.ICMP6Type},
	Next:  []uint8{tableRespond},
	Miss:  "drop",
	port: func(_ intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if !p.Up || p.Open {
			return
		}
		sources := ipv6Sources(p)
		if len(sources) == 0 {
			return
		}
		owner, in := NewCookie(KindPort, p.Num), sender(p)
		for _, ip := range sources {
			emit(prioAllow, owner, flow.NewMatch(in, flow.IPv6(), flow.IPSrc(ip)), flow.Goto(tableRespond))
		}
		// Duplicate address detection asks from the unspecified address (RFC 4862 §5.4.2).
		emit(prioAllow, owner, flow.NewMatch(in, flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(icmp6NeighSol),
			flow.IPSrc(single(netip.IPv6Unspecified()))), flow.Goto(tableRespond))
		emit(prioFallback, owner, flow.NewMatch(in))
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableGuardND) },
}

// ipv6Sources are the IPv6 addresses that a port may speak from.
func ipv6Sources(p *intent.LocalPort) []netip.Prefix {
	var sources []netip.Prefix
	for _, s := range speakers(p) {
		sources = append(sources, s.v6...)
	}
	return sources
}

func single(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }
