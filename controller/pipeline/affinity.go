package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Pools are balanced where their clients are: the switch of a client hashes it to one
// of a fixed number of slots, each of which is a backend's, and remembers what came of
// it in a flow that it learns itself, a pin. So no packet needs the controller, a
// change of slots moves nobody who has a pin, and a pin costs a flow on one switch.
//
// Connections are translated in a conntrack zone that is of the backend's address and
// port: a client whose backend is withdrawn has no connection in the zone of the next
// one, and begins anew there with its next packet.

// pinLimit bounds the pins of a backend on a switch. Who comes after that is
// hashed with each packet, and so moves when its slot does.
const pinLimit = 20000

// replies of backends, on their way to a client of this switch, come from the
// virtual address. And what is for that address is given to pins.
var services = Table{
	ID: tableServices, Name: "services",
	Job:    "replies of backends → from the virtual address; what local ports send to a virtual address → its pool and, if its client has a pin, its backend",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthType, openflow.IPProto, openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst, openflow.TCPSrc, openflow.TCPDst, openflow.UDPSrc, openflow.UDPDst, reg(regOrigin)},
	Writes: []openflow.FieldID{reg(regPool), reg(regBackend)},
	Next:   []uint8{tablePins, tablePinned, tableSegments},
	Miss:   "on to 30",
	service: func(_ intent.Setting, s *intent.Service, emit emitFunc) {
		network := flow.Metadata(uint64(s.VNI))
		emit(prioExcept, NewCookie(KindPool, s.Num),
			flow.NewMatch(network, flow.Reg(regOrigin, originLocal), flow.IPDst(single(s.VIP)), flow.TPDst(s.Protocol, s.Port, 0xffff)),
			flow.Apply(flow.SetReg(regPool, s.Num), flow.SetReg(regBackend, 0), flow.Resubmit(tablePins)),
			flow.Goto(tablePinned))
		for _, b := range s.Targets {
			if b.Leads {
				emit(prioAllow, NewCookie(KindTarget, uint32(b.Zone)),
					flow.NewMatch(network, flow.IPSrc(single(b.Addr)), flow.TPSrc(s.Protocol, b.Port, 0xffff)),
					flow.Apply(flow.CT(flow.CTSpec{Zone: b.Zone, Recirc: true, Table: tableSegments, NAT: &flow.NATSpec{}})))
			}
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableServices, flow.Goto(tableSegments)) },
}

// pins is filled by the switch. It is looked up by resubmit, so nothing goes on from
// here.
var pins = Table{
	ID: tablePins, Name: "pins",
	Job:    "learned: client of a pool → its backend",
	Reads:  []openflow.FieldID{reg(regPool), openflow.EthSrc, openflow.EthType, openflow.IPProto, openflow.IPv4Src, openflow.IPv6Src, openflow.TCPSrc, openflow.UDPSrc},
	Writes: []openflow.FieldID{reg(regBackend)},
	Miss:   "back: the client has no pin",
	fixed:  func(_ *intent.View, emit emitFunc) { miss(emit, tablePins) },
}

var pinned = Table{
	ID: tablePinned, Name: "pinned",
	Job:    "pin to a backend that lives → there; any other client → its slot",
	Reads:  []openflow.FieldID{reg(regPool), reg(regBackend), openflow.EthType, openflow.IPProto},
	Writes: []openflow.FieldID{reg(regBackend), openflow.EthDst},
	Next:   []uint8{tableSlots, tableSegments},
	Miss:   "drop: no such pool",
	service: func(_ intent.Setting, s *intent.Service, emit emitFunc) {
		for _, b := range s.Targets {
			emit(prioExcept, NewCookie(KindBackend, b.Num), target(s, &b), lead(&b))
		}
		emit(prioAllow, NewCookie(KindPool, s.Num), flow.NewMatch(flow.Reg(regPool, s.Num)),
			flow.Apply(openflow.ActionMultipath{
				Fields: hashed(s.Affinity), Basis: slotBasis, Algorithm: openflow.MultipathModuloN, MaxLink: intent.AffinitySlots - 1, Dst: flow.Whole(reg(regBackend).NXM()),
			}),
			flow.Goto(tableSlots))
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tablePinned) },
}

var slots = Table{
	ID: tableSlots, Name: "slots",
	Job:    "slot → the backend that has it",
	Reads:  []openflow.FieldID{reg(regPool), reg(regBackend)},
	Writes: []openflow.FieldID{reg(regBackend)},
	Next:   []uint8{tablePicked},
	Miss:   "drop: no backend of the pool can serve",
	service: func(_ intent.Setting, s *intent.Service, emit emitFunc) {
		for i, num := range s.Slots {
			if slices.ContainsFunc(s.Targets, func(b intent.Target) bool { return b.Num == num }) {
				emit(prioAllow, NewCookie(KindPool, s.Num), flow.NewMatch(flow.Reg(regPool, s.Num), flow.Reg(regBackend, uint32(i))),
					flow.Apply(flow.SetReg(regBackend, num)), flow.Goto(tablePicked))
			}
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableSlots) },
}

// picked also has the backends that get nobody new: the pins of a backend go with the
// flow that makes them.
var picked = Table{
	ID: tablePicked, Name: "picked",
	Job:    "client without a pin → a pin to its backend, and there",
	Reads:  []openflow.FieldID{reg(regPool), reg(regBackend), openflow.EthType, openflow.IPProto},
	Writes: []openflow.FieldID{openflow.EthDst},
	Next:   []uint8{tableSegments},
	Miss:   "drop: no such backend",
	service: func(_ intent.Setting, s *intent.Service, emit emitFunc) {
		for _, b := range s.Targets {
			emit(prioAllow, NewCookie(KindBackend, b.Num), target(s, &b), flow.Apply(append([]openflow.Action{pin(s, b.Num)}, lead(&b).(openflow.ApplyActions)...)...))
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tablePicked) },
}

// target matches what goes to a backend of a pool. The actions need the protocol in the match.
func target(s *intent.Service, b *intent.Target) flow.Match {
	return flow.NewMatch(ethType(s), flow.IPProto(s.Protocol), flow.Reg(regPool, s.Num), flow.Reg(regBackend, b.Num))
}

// ethType is that of the family of a pool.
func ethType(s *intent.Service) flow.Field {
	if s.VIP.Is6() {
		return flow.IPv6()
	}
	return flow.IP()
}

// lead sends a packet to a backend.
func lead(b *intent.Target) openflow.Instruction {
	return flow.Apply(
		flow.SetField(flow.EthDst(b.MAC.Bytes())),
		flow.CT(flow.CTSpec{Commit: true, Zone: b.Zone, Recirc: true, Table: tableSegments, NAT: &flow.NATSpec{Dst: true, Addr: b.Addr, Port: b.Port}}),
	)
}

// slotBasis is given to the hash. It must not change, for clients would move.
const slotBasis = 50

// hashed is what of a packet tells clients apart by the slots that they fall on. An
// address is as good as one with the MAC that goes with it.
func hashed(a intent.Affinity) openflow.HashFields {
	switch a {
	case intent.AffinityIP, intent.AffinityMACIP:
		return openflow.HashNwSrc
	case intent.AffinityNone:
		return openflow.HashSymmetricL3L4UDP
	}
	return openflow.HashEthSrc
}

// pin learns the backend of a client.
func pin(s *intent.Service, backend uint32) openflow.Action {
	of := []openflow.LearnSpec{flow.LearnField(flow.Reg(regPool, s.Num))}
	if s.Affinity != intent.AffinityIP && s.Affinity != intent.AffinityNone {
		of = append(of, flow.LearnSame(flow.Whole(openflow.EthSrc)))
	}
	if s.Affinity != intent.AffinityMAC {
		source := openflow.IPv4Src
		if s.VIP.Is6() {
			source = openflow.IPv6Src
		}
		of = append(of, flow.LearnField(ethType(s)), flow.LearnSame(flow.Whole(source)))
	}
	if s.Affinity == intent.AffinityNone {
		source := openflow.TCPSrc
		if s.Protocol == protoUDP {
			source = openflow.UDPSrc
		}
		of = append(of, flow.LearnField(flow.IPProto(s.Protocol)), flow.LearnSame(flow.Whole(source)))
	}
	return flow.Learn(flow.LearnSpec{
		Table: tablePins, Priority: prioAllow, Cookie: uint64(pinCookie(s.Affinity, backend)), IdleTimeout: s.Timeout, DeleteLearned: true, Limit: pinLimit,
	}, append(of, flow.LearnLoadValue(flow.Whole(reg(regBackend)), uint64(backend)))...)
}

// pinCookie has what is remembered of clients in the bits of the epoch: with another
// affinity pins come from other flows, and those of before go.
func pinCookie(a intent.Affinity, backend uint32) Cookie {
	kinds := []intent.Affinity{intent.AffinityMAC, intent.AffinityIP, intent.AffinityMACIP, intent.AffinityNone}
	return NewCookie(KindPin, backend) | Cookie(slices.Index(kinds, a))<<32
}

// answerVIP says where virtual addresses are. Solicitations for one of IPv6 are copied to the
// controller like all others, and answered from there (a switch in the kernel cannot turn them
// round); those to its MAC, whether it is there still, are made such for that.
func answerVIP(_ intent.Setting, s *intent.Service, emit emitFunc) {
	switch {
	case !s.Answers:
	case s.VIP.Is6():
		emit(prioAllow, NewCookie(KindPool, s.Num),
			flow.NewMatch(append(solicitation(), flow.Metadata(uint64(s.VNI)), flow.NoVLAN(), flow.EthDst(s.MAC.Bytes()), flow.NDTarget(s.VIP))...),
			flow.Apply(flow.SetField(flow.EthDst(solicitedNodeMAC(s.VIP))), flow.Resubmit(tableRespond)))
	default:
		emit(prioAllow, NewCookie(KindPool, s.Num),
			flow.NewMatch(flow.Metadata(uint64(s.VNI)), flow.NoVLAN(), flow.ARP(), flow.ARPOp(arpRequest), flow.ARPTPA(s.VIP)),
			flow.Apply(arpAnswer(s.MAC, s.VIP)...), flow.Goto(tableAnswer))
	}
}

// Dangling reports whether a pin is to a backend that a view does not have. The switch
// removes pins with what made them; others can have come from elsewhere only.
func Dangling(v *intent.View, c Cookie) bool {
	return c.Ours() && c.Kind() == KindPin && !slices.ContainsFunc(v.Services, func(s intent.Service) bool {
		return slices.ContainsFunc(s.Targets, func(b intent.Target) bool { return b.Num == c.Object() })
	})
}

// AffectedPools returns the numbers of the pools that suffer when a flow with this
// cookie is missing from a switch.
func AffectedPools(v *intent.View, c Cookie) (pools []uint32) {
	for _, s := range v.Services {
		hit := c.Kind() == KindPool && s.Num == c.Object() || c.Kind() == KindTable && uint8(c.Object()) >= tableServices && uint8(c.Object()) <= tablePicked
		for _, b := range s.Targets {
			hit = hit || c.Kind() == KindBackend && b.Num == c.Object() || c.Kind() == KindTarget && uint32(b.Zone) == c.Object() || c.Kind() == KindProbe && b.Num == c.Object()
		}
		if hit {
			pools = append(pools, s.Num)
		}
	}
	return pools
}
