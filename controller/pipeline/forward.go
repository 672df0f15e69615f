package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// A flow that copies a packet to many ports is cut into parts of this many, as
// an OpenFlow message has at most 64 KiB: each part ends by looking the packet
// up again for the next one, whose number is in regPart.
const portsPerPart = 512

// cut emits the flows that carry out copies of a packet, those of one port each.
func cut(emit emitFunc, table uint8, priority uint16, c Cookie, copies [][]openflow.Action, match ...flow.Field) {
	for part := uint32(0); len(copies) > 0; part++ {
		n := min(portsPerPart, len(copies))
		actions := slices.Concat(copies[:n]...)
		copies = copies[n:]
		if len(copies) > 0 {
			actions = append(actions, flow.SetReg(regPart, part+1), flow.Resubmit(table))
		}
		emit(priority, c, flow.NewMatch(append(match[:len(match):len(match)], flow.Reg(regPart, part))...), flow.Apply(actions...))
	}
}

// segments decides by the class of the destination: group addresses of a
// tenant network go to each of its ports here and to each host that has some,
// and the segment of a station says which host has it. That host is found by a
// flow for each segment, however many stations there are. Single stations are
// for the next table: one exact match in this one would spoil the wildcards of
// every megaflow.
var segments = Table{
	ID: tableSegments, Name: "segments",
	Job:    "group addresses of tenant networks: a copy to every port of the network, to every peer that has some, and by the flood tree of the fabric; MAC segment → its number and its host; MAC prefix of address pairs → its number",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthDst, reg(regOrigin), reg(regPart)},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet), reg(regRemote), reg(regPart), reg(regSegment), reg(regHost)},
	Next:   []uint8{tableSegments, tableExact, tableTag, tableIngressCT, tableQoSRate, tableTunnel},
	Miss:   "on to 31",
	network: func(in intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		// Each copy sets all that is particular to its receiver again. The
		// sender's own copy ends at the output, which never gives back to the sender.
		copies := make([][]openflow.Action, len(n.Ports))
		for i, p := range n.Ports {
			copies[i] = append(receiver(p), flow.Resubmit(delivery(p)))
		}
		flood := func(origin uint32, copies [][]openflow.Action) {
			cut(emit, tableSegments, prioAllow, NewCookie(KindNetwork, n.VNI), copies,
				flow.Metadata(uint64(n.VNI)), groupAddress(), flow.Reg(regOrigin, origin))
		}
		if in.Tunnel != 0 {
			flood(originTunnel, copies) // split horizon: never on to others
		}
		if n.Tag != 0 {
			flood(originLink, copies) // table 1 has sent it on
			copies = append(copies, []openflow.Action{flow.Resubmit(tableTag)})
		}
		for _, host := range n.Peers {
			copies = append(copies, []openflow.Action{flow.SetReg(regHost, host), flow.Resubmit(tableTunnel)})
		}
		flood(originLocal, copies)
		for _, b := range n.Shared {
			if b.Block.Bits() < mac.MaxPrefixLen {
				emit(prioPrefix+uint16(b.Block.Bits()), NewCookie(KindNetwork, n.VNI),
					flow.NewMatch(flow.Metadata(uint64(n.VNI)), flow.EthDstMasked(b.Block.Base().Bytes(), b.Block.Mask().Bytes())),
					flow.Apply(flow.SetReg(regSegment, b.Slot)), flow.Goto(tableExact))
			}
		}
	},
	prefix: func(_ intent.Setting, p *intent.Prefix, emit emitFunc) {
		emit(prioPrefix+uint16(p.Block.Bits()), NewCookie(KindSegment, p.Slot),
			flow.NewMatch(flow.EthDstMasked(p.Block.Base().Bytes(), p.Block.Mask().Bytes())),
			flow.Apply(flow.SetReg(regSegment, p.Slot), flow.SetReg(regHost, p.Host)),
			flow.Goto(tableExact))
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableSegments, flow.Goto(tableExact)) },
}

// exact finds the port of a destination. It matches the network too: without
// it a tenant could reach another's port on the same switch by its MAC.
var exact = Table{
	ID: tableExact, Name: "exact",
	Job:    "destination address → port, zone and group set of the receiver, or the peer of a port that is not where its segment says; MACs of address pairs: a copy to every port that may speak as them; port or station at another switch of the fabric → its locator; flood of the learning domain, with a copy of frames for stations that are not known to the controller",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.VLANVID, openflow.EthDst, reg(regOrigin), reg(regSegment), reg(regPart)},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet), reg(regRemote), reg(regPart), reg(regHost), openflow.VLANVID, openflow.EthDst},
	Next:   []uint8{tableExact, tablePaths, tableTag, tableTree, tableIngressCT, tableQoSRate, tableTunnel},
	Miss:   "drop: no such address in the network",
	port: func(_ intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if p.Up {
			emit(prioAllow, NewCookie(KindPort, p.Num), station(p.Prefix, p.VNI, p.MAC), flow.Apply(receiver(p)...), flow.Goto(delivery(p)))
		}
	},
	network: func(in intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		for _, b := range n.Shared {
			sharedStations(in, n, b, emit)
		}
	},
	stray: func(_ intent.Setting, p *intent.Stray, emit emitFunc) {
		m := station(p.Prefix, p.VNI, p.MAC)
		// What came by a tunnel goes on only from the host that the address
		// belongs to, so that it cannot go in a circle.
		if !p.Home {
			m = station(p.Prefix, p.VNI, p.MAC, flow.Reg(regOrigin, originLocal))
		}
		emit(prioAllow, NewCookie(KindPort, p.Num), m,
			flow.Apply(flow.SetReg(regHost, p.Host)), flow.Goto(tableTunnel))
	},
	far: func(_ intent.Setting, p *intent.FarPort, emit emitFunc) { leadFar(p, emit) },
	fixed: func(v *intent.View, emit emitFunc) {
		if v.Tunnel != 0 {
			emit(prioFallback, NewCookie(KindTable, uint32(tableExact)), flow.NewMatch(flow.Reg(regOrigin, originLocal)), flow.Goto(tableTunnel))
		}
		if v.Unmanaged == intent.UnmanagedLearn {
			floods(v, emit)
		}
		miss(emit, tableExact)
	},
}

// sharedStations sends what is for MACs that are only in address pairs to every
// port that may speak as them, and to every peer that has some: which one does so
// now, a standby router say, is for them to know. Peers keep it to themselves
// (split horizon), and so does who gets it by the flood tree of the fabric. Of a prefix, which the table before has found, what is a
// port's own is an exact match and comes first.
func sharedStations(in intent.Setting, n *intent.LocalNetwork, b intent.SharedBlock, emit emitFunc) {
	var copies [][]openflow.Action
	for _, p := range n.Ports {
		if p.Speaks(b.Block) {
			copies = append(copies, append(receiver(p), flow.Resubmit(delivery(p))))
		}
	}
	priority, match := prioAllow, []flow.Field{flow.Reg(regSegment, b.Slot), flow.Metadata(uint64(n.VNI))}
	if b.Block.Bits() < mac.MaxPrefixLen {
		priority = prioPrefix
	} else {
		match = append(match, flow.EthDst(b.Block.Base().Bytes()))
	}
	send := func(origin uint32, copies [][]openflow.Action) {
		cut(emit, tableExact, priority, NewCookie(KindNetwork, n.VNI), copies, append(match[:len(match):len(match)], flow.Reg(regOrigin, origin))...)
	}
	if in.Tunnel != 0 {
		send(originTunnel, copies)
	}
	if n.Tag != 0 {
		send(originLink, copies)
		copies = append(copies, []openflow.Action{flow.Resubmit(tableTag)})
	}
	for _, host := range b.Peers {
		copies = append(copies, []openflow.Action{flow.SetReg(regHost, host), flow.Resubmit(tableTunnel)})
	}
	send(originLocal, copies)
}

// delivery is the table after forwarding: no rule is asked for a port without
// port security.
func delivery(p *intent.LocalPort) uint8 {
	if p.Open {
		return tableQoSRate
	}
	return tableIngressCT
}

// station matches frames to a station of a network. The segment comes first in
// the classifier: exact matches of one segment cost the others nothing.
func station(segment, vni uint32, a mac.Addr, also ...flow.Field) flow.Match {
	return flow.NewMatch(append(also, flow.Reg(regSegment, segment), flow.Metadata(uint64(vni)), flow.EthDst(a.Bytes()))...)
}

// receiver sets the registers that the tables after forwarding read.
func receiver(p *intent.LocalPort) []openflow.Action {
	return []openflow.Action{
		flow.SetReg(regOutput, outputNumber(p.OFPort)),
		flow.SetReg(regReceiverZone, uint32(p.Zone)),
		flow.SetReg(regSet, p.Set),
		flow.SetReg(regRemote, p.Scope),
	}
}

// output delivers. At the interface of a trunk there are several ports: one may
// send to another, which leaves by the port of entry, but never to itself. Frames that have
// a tag of their own would pass there for another's.
var output = Table{
	ID: tableOutput, Name: "output",
	Job:    "deliver to the port in reg15; on the interface of a trunk, with the tag of the sub-port in reg9",
	Reads:  []openflow.FieldID{openflow.InPort, openflow.VLANVID, reg(regSenderZone), reg(regReceiverZone)},
	Writes: []openflow.FieldID{openflow.VLANVID},
	Miss:   "output to reg15",
	port: func(_ intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if !p.Up || p.VLAN == 0 && !p.Trunk {
			return
		}
		owner, to := NewCookie(KindPort, p.Num), flow.Reg(regReceiverZone, uint32(p.Zone))
		emit(prioRefuse, owner, flow.NewMatch(to, sender(p)))
		emit(prioExcept, owner, flow.NewMatch(to, flow.InPort(p.OFPort), flow.NoVLAN()), flow.Apply(tagged(p, openflow.PortInPort)...))
		emit(prioAllow, owner, flow.NewMatch(to, flow.NoVLAN()), flow.Apply(tagged(p, p.OFPort)...))
		emit(prioFallback, owner, flow.NewMatch(to))
	},
	fixed: func(_ *intent.View, emit emitFunc) {
		miss(emit, tableOutput, flow.Apply(flow.OutputReg(regOutput)))
	},
}

// tagged outputs a frame of a port to where the port is. It leaves the frame as it
// was for the next copy.
func tagged(p *intent.LocalPort, to uint32) []openflow.Action {
	if p.VLAN == 0 {
		return []openflow.Action{flow.Output(to)}
	}
	return []openflow.Action{flow.PushVLAN(tag8021Q), flow.SetField(flow.VLAN(p.VLAN)), flow.Output(to), flow.PopVLAN()}
}

// EtherTypes of VLAN tags (IEEE 802.1Q).
const (
	tag8021Q  uint16 = 0x8100
	tag8021AD uint16 = 0x88a8
)

// tunnel sends a frame to the host that has its destination. The network goes
// along as the VNI of the VXLAN header (RFC 7348 §5).
var tunnel = Table{
	ID: tableTunnel, Name: "tunnel",
	Job:    "peer in reg7 → its tunnel",
	Reads:  []openflow.FieldID{reg(regHost), reg(regOrigin)},
	Writes: []openflow.FieldID{openflow.TunnelID, openflow.TunnelDst, openflow.TunnelIPv6Dst},
	Miss:   "drop: no other host has the destination",
	peer: func(in intent.Setting, p *intent.Peer, emit emitFunc) {
		lead := func(priority uint16, out openflow.Action, match ...flow.Field) {
			emit(priority, NewCookie(KindHost, p.Slot), flow.NewMatch(append(match, flow.Reg(regHost, p.Slot))...), flow.Apply(
				flow.Move(flow.Bits(openflow.Metadata, 0, 24), flow.Bits(openflow.TunnelID, 0, 24)),
				flow.SetField(flow.TunnelDst(p.Tunnel)),
				out,
			))
		}
		lead(prioAllow, flow.Output(in.Tunnel))
		// What came by the tunnel port, for a port that has moved, leaves by it again only where that is asked for.
		lead(prioExcept, flow.Output(openflow.PortInPort), flow.Reg(regOrigin, originTunnel))
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableTunnel) },
}
