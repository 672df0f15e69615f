package pipeline

import (
	"net/netip"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// askRate is how many questions per second of one port reach the
	// controller, after a burst of so many. A question for a neighbour goes on
	// all the same; of what only the controller answers, the rest is dropped and
	// asked again by the station.
	askRate, askBurst = 20, 40

	// configureBytes is how much of a question for configuration the controller
	// sees: all that an Ethernet frame can hold.
	configureBytes = 0xffff

	// neighbourIdle is how long an answer stays in the switch unused.
	neighbourIdle = 300
)

var (
	broadcast4 = single(netip.AddrFrom4([4]byte{255, 255, 255, 255}))

	// dhcp6Agents is All_DHCP_Relay_Agents_and_Servers.
	dhcp6Agents = single(netip.MustParseAddr("ff02::1:2"))
)

// respond answers what stations ask the network, so that it need not go to all
// of it. A question for a neighbour that no flow answers goes on as if there was
// no controller, with a copy to it, which makes it install a flow for the next one.
// So answers are fewer than stations, and nothing is lost without a controller. What
// only the controller knows, addresses and routers, goes to it alone.
var respond = Table{
	ID: tableRespond, Name: "respond",
	Job: "ARP requests for known addresses → answer; neighbour solicitations for them → to the station alone; " +
		"a copy of others, and what asks for configuration (DHCP, router solicitations), → controller; answers of backends to probes → controller",
	Reads: []openflow.FieldID{
		reg(regSenderZone), openflow.Metadata, openflow.VLANVID, openflow.EthDst, openflow.EthType, openflow.ARPOp, openflow.ARPTPA,
		openflow.IPv4Src, openflow.IPv6Src, openflow.IPv4Dst, openflow.IPv6Dst, openflow.IPProto, openflow.UDPSrc, openflow.UDPDst,
		openflow.TCPSrc, openflow.TCPDst, openflow.ICMPType, openflow.ICMPCode, openflow.ICMP6Type, openflow.ICMP6Code, openflow.NDTarget,
	},
	Writes: []openflow.FieldID{
		openflow.EthDst, openflow.EthSrc, openflow.ARPOp, openflow.ARPSHA, openflow.ARPSPA, openflow.ARPTHA, openflow.ARPTPA,
	},
	Next: []uint8{tableRespond, tableAnswer, tableEgressCT, tableQoS},
	Miss: "on to 10",
	port: func(set intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if p.Up {
			respondTo(set, p, emit)
		}
	},
	service: answerVIP,
	probe:   catchAnswers,
	fixed:   func(_ *intent.View, emit emitFunc) { miss(emit, tableRespond, flow.Goto(tableEgressCT)) },
}

func respondTo(set intent.Setting, p *intent.LocalPort, emit emitFunc) {
	in, onward := sender(p), flow.Goto(tableEgressCT)
	owner, resolve := NewCookie(KindPort, p.Num), NewCookie(KindResolve, p.Num)
	var meter uint32
	if set.Meters {
		meter = askMeter(p.Zone)
	}
	for _, s := range speakers(p) {
		// Who asks for an address that it may have itself announces it, or asks
		// whether somebody else has it: all have to hear that.
		for _, ip := range s.v4 {
			emit(prioExcept, owner, flow.NewMatch(in, flow.ARP(), flow.ARPOp(arpRequest), flow.ARPTPAIn(ip)), onward)
		}
		for _, ip := range s.v6 {
			emit(prioExcept, owner, flow.NewMatch(append(solicitation(), in, flow.NDTargetIn(ip))...), onward)
		}
	}
	// Unicast ones ask whether a known neighbour is still there: that is for it to say.
	copied := flow.Apply(toController(packetInBytes, meter))
	emit(prioAsk, resolve, flow.NewMatch(in, flow.NoVLAN(), flow.ARP(), flow.ARPOp(arpRequest), flow.EthDst(mac.Max.Bytes())), copied, onward)
	if _, six := families(p); six || p.Open {
		emit(prioAsk, resolve, flow.NewMatch(append(solicitation(), in, flow.NoVLAN(), solicitedNode())...), copied, onward)
	}

	configure := func(fields ...flow.Field) {
		emit(prioAllow, NewCookie(KindConfigure, p.Num), flow.NewMatch(append(fields, in, flow.NoVLAN())...), flow.Apply(toController(configureBytes, meter)))
	}
	if len(p.Served.DHCP4) > 0 {
		to := []netip.Prefix{broadcast4}
		for _, server := range p.Served.DHCP4 {
			to = append(to, single(server))
		}
		for _, to := range to {
			configure(flow.IPDst(to), flow.TPSrc(protoUDP, dhcp4Client, 0xffff), flow.TPDst(protoUDP, dhcp4Server, 0xffff))
		}
	}
	if p.Served.DHCP6 {
		configure(flow.IPDst(dhcp6Agents), flow.TPSrc(protoUDP, dhcp6Client, 0xffff), flow.TPDst(protoUDP, dhcp6Server, 0xffff))
	}
	if p.Served.RA {
		configure(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(icmp6RouterSol), flow.ICMP6Code(0))
	}
	if p.Open {
		emit(prioFallback, owner, flow.NewMatch(in), flow.Goto(tableQoS))
	}
}

// solicitation matches neighbour solicitations.
func solicitation() []flow.Field {
	return []flow.Field{flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(icmp6NeighSol), flow.ICMP6Code(0)}
}

// solicitedNode matches frames to solicited-node addresses (RFC 4291 §2.7.1, RFC 2464 §7).
func solicitedNode() flow.Field {
	return flow.EthDstMasked([6]byte{0x33, 0x33, 0xff}, [6]byte{0xff, 0xff, 0xff})
}

// solicitedNodeMAC is where solicitations for an address go.
func solicitedNodeMAC(ip netip.Addr) [6]byte {
	b := ip.As16()
	return [6]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// Neighbour is the flow that answers a question. An ARP request is turned round: it becomes
// the reply of who has the address. A solicitation is sent to it alone (RFC 6085),
// as a switch in the kernel cannot turn that round.
func Neighbour(q intent.Question, n intent.Neighbour) flow.Flow {
	f := flow.Flow{
		Table: tableRespond, Priority: prioAllow, IdleTimeout: neighbourIdle, Flags: openflow.FlagSendFlowRem,
		Cookie: uint64(NewCookie(KindNeighbour, n.Num)),
	}
	station, network, untagged := n.MAC.Bytes(), flow.Metadata(uint64(q.VNI)), flow.NoVLAN()
	if !q.IP.Is4() {
		f.Match = flow.NewMatch(append(solicitation(), network, untagged, solicitedNode(), flow.NDTarget(q.IP))...)
		f.Instructions = flow.NewInstructions(flow.Apply(flow.SetField(flow.EthDst(station))), flow.Goto(tableEgressCT))
		return f
	}
	f.Match = flow.NewMatch(network, untagged, flow.ARP(), flow.ARPOp(arpRequest), flow.EthDst(mac.Max.Bytes()), flow.ARPTPA(q.IP))
	f.Instructions = flow.NewInstructions(flow.Apply(arpAnswer(n.MAC, q.IP)...), flow.Goto(tableAnswer))
	return f
}

// arpAnswer turns an ARP request round: an address is at a station.
func arpAnswer(at mac.Addr, ip netip.Addr) []openflow.Action {
	station := at.Bytes()
	return []openflow.Action{
		flow.Move(flow.Whole(openflow.EthSrc), flow.Whole(openflow.EthDst)),
		flow.SetField(flow.EthSrc(station)),
		flow.SetField(flow.ARPOp(arpReply)),
		flow.Move(flow.Whole(openflow.ARPSHA), flow.Whole(openflow.ARPTHA)),
		flow.Move(flow.Whole(openflow.ARPSPA), flow.Whole(openflow.ARPTPA)),
		flow.SetField(flow.ARPSHA(station)),
		flow.SetField(flow.ARPSPA(ip)),
	}
}

// ParseNeighbour recognises the flows of Neighbour by key and cookie.
func ParseNeighbour(key flow.Key, c Cookie) (q intent.Question, port uint32, ok bool) {
	if !c.Ours() || c.Kind() != KindNeighbour {
		return q, 0, false
	}
	for _, f := range key.Match.Fields() {
		switch v := f.Value(); f.ID() {
		case openflow.Metadata:
			for _, b := range v {
				q.VNI = q.VNI<<8 | uint32(b)
			}
		case openflow.ARPTPA, openflow.NDTarget:
			q.IP, _ = netip.AddrFromSlice(v)
		}
	}
	return q, c.Object(), q.IP.IsValid()
}

// answer sends what the switch has answered itself back to who asked. Where what the asker
// receives waits in queues, the answer must not wait behind it: neighbours whose addresses do not come
// for seconds are lost to the asker, and what it has for them with them.
var answer = Table{
	ID: tableAnswer, Name: "answer",
	Job:    "answers of the switch go back to the asker, with its tag, and where there are queues before all else",
	Reads:  []openflow.FieldID{reg(regSenderZone)},
	Writes: []openflow.FieldID{openflow.VLANVID},
	Miss:   "out by the port of entry",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if p.Up && p.VLAN != 0 {
			emit(prioAllow, NewCookie(KindPort, p.Num), flow.NewMatch(sender(p)), flow.Apply(hurried(in.Queues, tagged(p, openflow.PortInPort)...)...))
		}
	},
	fixed: func(v *intent.View, emit emitFunc) {
		miss(emit, tableAnswer, flow.Apply(hurried(v.Queues, flow.Output(openflow.PortInPort))...))
	},
}

// hurried puts what is sent into the queue of the highest class, where there are queues.
func hurried(queues bool, send ...openflow.Action) []openflow.Action {
	if !queues {
		return send
	}
	return append([]openflow.Action{flow.SetQueue(intent.ClassOf(intent.MaxClass).Queue())}, send...)
}

// Deliver hands a frame of the controller to a port, as answer does with those of the switch.
func Deliver(in intent.Setting, p *intent.LocalPort, frame []byte) *openflow.PacketOut {
	return &openflow.PacketOut{
		BufferID: openflow.NoBuffer, InPort: openflow.PortController,
		Actions: openflow.NewActions(hurried(in.Queues, tagged(p, p.OFPort)...)...), Data: frame,
	}
}
