package pipeline

import (
	"net/netip"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Security groups are evaluated twice: in the sender's conntrack zone by its
// egress rules (10, 11) and in the receiver's zone by its ingress rules (40, 41).
//
// A connection carries in ct_mark the number of the rule that admitted it, and
// established traffic passes only while a flow for that mark exists. So a
// withdrawn rule cuts its connections with the next packet, in both
// directions, whoever sends it. Rules look at packets of the original
// direction only (-rpl): else the reply to a withdrawn ingress connection would
// be admitted, and re-marked, by an egress rule.
//
// Rules that name a group ask for the class of the other side's address, which
// a table of its own finds (11, 41). A connection that such a rule admitted
// lives only as long as its far end is of a class that the group has: whoever
// leaves the group is cut, and no flow of another changes.
//
// Rules of stateless groups look at neither.

var ctReads = []openflow.FieldID{openflow.EthType, openflow.IPProto, openflow.ICMP6Type}

var egressCT = Table{
	ID: tableEgressCT, Name: "egress-ct",
	Job:   "look up the connection in the sender's zone",
	Reads: ctReads,
	Next:  []uint8{tableEgressRemotes, tableSegments},
	Miss:  "drop: neither ARP nor IP",
	fixed: func(_ *intent.View, emit emitFunc) {
		// Without neighbour discovery and group membership no address could be
		// reached at all, so no rule is asked; guard has seen to their contents.
		track(emit, tableEgressCT, tableEgressRemotes, tableSegments, regSenderZone,
			icmp6MLDQuery, icmp6MLDReport, icmp6MLDDone, icmp6MLDv2Report, icmp6RouterSol, icmp6NeighSol, icmp6NeighAdv)
	},
}

var ingressCT = Table{
	ID: tableIngressCT, Name: "ingress-ct",
	Job:   "look up the connection in the receiver's zone",
	Reads: ctReads,
	Next:  []uint8{tableIngressRemotes, tableQoSRate},
	Miss:  "drop: neither ARP nor IP",
	fixed: func(_ *intent.View, emit emitFunc) {
		track(emit, tableIngressCT, tableIngressRemotes, tableQoSRate, regReceiverZone,
			icmp6MLDQuery, icmp6RouterAdv, icmp6NeighSol, icmp6NeighAdv)
	},
}

// track emits the flows of a table that sends IP through conntrack to the tables
// of rules, and past them what no rule decides on.
func track(emit emitFunc, table, next, past uint8, zone int, untracked ...uint8) {
	owner := NewCookie(KindTable, uint32(table))
	ct := flow.Apply(openflow.ActionCT{ZoneSrc: flow.RegBits(zone, 0, 16), Table: next})
	emit(prioAllow, owner, flow.NewMatch(flow.IP()), ct)
	emit(prioAllow, owner, flow.NewMatch(flow.IPv6()), ct)
	emit(prioAllow, owner, flow.NewMatch(flow.ARP()), flow.Goto(past))
	for _, t := range untracked {
		emit(prioExcept, owner, flow.NewMatch(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(t)), flow.Goto(past))
	}
	miss(emit, table)
}

var remoteReads = []openflow.FieldID{
	reg(regRemote), openflow.EthType, openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst,
}

var egressRemotes = Table{
	ID: tableEgressRemotes, Name: "egress-remotes",
	Job:    "class of the receiver's address among the groups that the sender's rules name",
	Reads:  remoteReads,
	Writes: []openflow.FieldID{reg(regRemote)},
	Next:   []uint8{tableEgressRules},
	Miss:   "of no such group: class 0",
	member: func(m *scoped, emit emitFunc) { find(m, emit, tableEgressRules, intent.Egress) },
	fixed: func(_ *intent.View, emit emitFunc) {
		miss(emit, tableEgressRemotes, flow.Apply(flow.SetReg(regRemote, 0)), flow.Goto(tableEgressRules))
	},
}

var ingressRemotes = Table{
	ID: tableIngressRemotes, Name: "ingress-remotes",
	Job:    "class of the sender's address among the groups that the receiver's rules name",
	Reads:  remoteReads,
	Writes: []openflow.FieldID{reg(regRemote)},
	Next:   []uint8{tableIngressRules},
	Miss:   "of no such group: class 0",
	member: func(m *scoped, emit emitFunc) { find(m, emit, tableIngressRules, intent.Ingress) },
	fixed: func(_ *intent.View, emit emitFunc) {
		miss(emit, tableIngressRemotes, flow.Apply(flow.SetReg(regRemote, 0)), flow.Goto(tableIngressRules))
	},
}

// find turns the address of a member into its class.
func find(m *scoped, emit emitFunc, next uint8, dir intent.Direction) {
	emit(prioPrefix+uint16(m.Prefix.Bits()), NewCookie(KindRemotes, m.scope),
		flow.NewMatch(append(farEnd(dir, m.Prefix), flow.Reg(regRemote, m.scope))...),
		flow.Apply(flow.SetReg(regRemote, m.Class)), flow.Goto(next))
}

var ruleReads = []openflow.FieldID{
	reg(regSet), reg(regRemote), openflow.CTState, openflow.CTMark, openflow.EthSrc, openflow.EthDst, openflow.EthType, openflow.IPProto,
	openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst,
	openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst,
	openflow.ICMPType, openflow.ICMPCode, openflow.ICMP6Type, openflow.ICMP6Code,
}

var egressRules = Table{
	ID: tableEgressRules, Name: "egress-rules",
	Job:    "egress rules of the sender's groups",
	Reads:  ruleReads,
	Writes: []openflow.FieldID{openflow.CTMark},
	Next:   []uint8{tableQoS},
	Miss:   "drop: no rule allows it",
	set: func(s *intent.GroupSet, emit emitFunc) {
		rules(s, emit, tableQoS, intent.Egress, regSenderZone)
	},
	fixed: func(_ *intent.View, emit emitFunc) {
		emit(prioRefuse, NewCookie(KindTable, uint32(tableEgressRules)), flow.NewMatch(flow.CTState(flow.CTTrk|flow.CTInv, 0)))
		miss(emit, tableEgressRules)
	},
}

var ingressRules = Table{
	ID: tableIngressRules, Name: "ingress-rules",
	Job:    "ingress rules of the receiver's groups",
	Reads:  ruleReads,
	Writes: []openflow.FieldID{openflow.CTMark},
	Next:   []uint8{tableQoSRate},
	Miss:   "drop: no rule allows it",
	set: func(s *intent.GroupSet, emit emitFunc) {
		rules(s, emit, tableQoSRate, intent.Ingress, regReceiverZone)
	},
	fixed: func(_ *intent.View, emit emitFunc) {
		emit(prioRefuse, NewCookie(KindTable, uint32(tableIngressRules)), flow.NewMatch(flow.CTState(flow.CTTrk|flow.CTInv, 0)))
		miss(emit, tableIngressRules)
	},
}

func rules(set *intent.GroupSet, emit emitFunc, next uint8, dir intent.Direction, zone int) {
	onward := flow.Goto(next)
	slot := flow.Reg(regSet, set.Slot)
	admitted := map[flow.Match]bool{}
	for _, r := range set.Rules {
		owner, priority, with, ins := NewCookie(KindRule, r.Num), prioStateless, []flow.Field{slot}, []openflow.Instruction{onward}
		if !r.Stateless {
			for _, m := range liveMatches(slot, r, dir) {
				emit(prioLive, owner, m, onward)
			}
			priority, with = prioAllow, append(with, flow.CTState(flow.CTTrk, flow.CTRpl|flow.CTInv))
			ins = []openflow.Instruction{flow.Apply(openflow.ActionCT{
				Commit: true, ZoneSrc: flow.RegBits(zone, 0, 16), Table: openflow.NoTable,
				Exec: []openflow.Action{flow.SetField(flow.CTMark(r.Num))},
			}), onward}
		}
		if r.Direction != dir {
			continue
		}
		for _, m := range ruleMatches(with, r) {
			// Two rules of a set may say the same; the older one marks.
			if !admitted[m] {
				admitted[m] = true
				emit(priority, owner, m, ins...)
			}
		}
	}
}

// liveMatches match the traffic of connections that a rule has admitted,
// in the table of either direction: as long as its far end is what the rule asks
// for. Errors about it (+rel) may come from any router on the way.
func liveMatches(slot flow.Field, r intent.SetRule, dir intent.Direction) []flow.Match {
	mark, station := flow.CTMark(r.Num), farStation(dir, r.RemoteBlock)
	if !r.Grouped && len(station) == 0 {
		return []flow.Match{flow.NewMatch(slot, mark, flow.CTState(flow.CTTrk, flow.CTNew|flow.CTInv))}
	}
	matches := []flow.Match{flow.NewMatch(slot, mark, flow.CTState(flow.CTTrk|flow.CTRel, flow.CTInv))}
	live := append(station, slot, mark, flow.CTState(flow.CTTrk|flow.CTEst, flow.CTInv))
	if !r.Grouped {
		return append(matches, flow.NewMatch(live...))
	}
	for _, class := range r.Classes {
		matches = append(matches, flow.NewMatch(append(slices.Clone(live), flow.Reg(regRemote, class))...))
	}
	return matches
}

// ruleMatches match the packets that a rule admits: one match for each class of
// the other side and each block of the port range.
func ruleMatches(with []flow.Field, r intent.SetRule) []flow.Match {
	var matches []flow.Match
	for _, l4 := range layer4(r.Rule) {
		fields := slices.Concat(with, l4, farStation(r.Direction, r.RemoteBlock))
		switch {
		case r.Grouped:
			for _, class := range r.Classes {
				matches = append(matches, flow.NewMatch(slices.Concat(fields, []flow.Field{ethertype(r.EtherType), flow.Reg(regRemote, class)})...))
			}
		case r.Remote.IsValid():
			matches = append(matches, flow.NewMatch(append(fields, farEnd(r.Direction, r.Remote)...)...))
		default:
			matches = append(matches, flow.NewMatch(append(fields, ethertype(r.EtherType))...))
		}
	}
	return matches
}

// layer4 returns the alternatives of protocol and port fields that a rule
// stands for. A restriction that OpenFlow cannot express gives none: the rule
// then admits nothing rather than too much.
func layer4(r intent.Rule) [][]flow.Field {
	if r.Protocol == nil {
		return [][]flow.Field{nil}
	}
	proto := *r.Protocol
	fields := []flow.Field{flow.IPProto(proto)}
	if r.PortMin == nil {
		return [][]flow.Field{fields}
	}
	switch proto {
	case protoICMP:
		fields = append(fields, flow.ICMPType(uint8(*r.PortMin)))
		if r.PortMax != nil {
			fields = append(fields, flow.ICMPCode(uint8(*r.PortMax)))
		}
		return [][]flow.Field{fields}
	case protoICMPv6:
		fields = append(fields, flow.ICMP6Type(uint8(*r.PortMin)))
		if r.PortMax != nil {
			fields = append(fields, flow.ICMP6Code(uint8(*r.PortMax)))
		}
		return [][]flow.Field{fields}
	case protoTCP, protoUDP, protoSCTP:
		last := *r.PortMin
		if r.PortMax != nil {
			last = *r.PortMax
		}
		if *r.PortMin == 0 && last == 0xffff {
			return [][]flow.Field{fields}
		}
		var alternatives [][]flow.Field
		for _, block := range flow.PortRange(*r.PortMin, last) {
			alternatives = append(alternatives, []flow.Field{fields[0], flow.TPDst(proto, block.Value, block.Mask)})
		}
		return alternatives
	}
	return nil
}

// farEnd matches the address of the other side, seen from the port whose rules
// are evaluated.
func farEnd(dir intent.Direction, p netip.Prefix) []flow.Field {
	family := flow.IPv6()
	if p.Addr().Is4() {
		family = flow.IP()
	}
	switch {
	case p.Bits() == 0:
		return []flow.Field{family}
	case dir == intent.Ingress:
		return []flow.Field{family, flow.IPSrc(p)}
	}
	return []flow.Field{family, flow.IPDst(p)}
}

// farStation matches the MAC address of the other side; nothing if b is none.
func farStation(dir intent.Direction, b mac.Segment) []flow.Field {
	switch {
	case b == mac.Segment{}:
		return nil
	case dir == intent.Ingress:
		return []flow.Field{flow.EthSrcMasked(b.Base().Bytes(), b.Mask().Bytes())}
	}
	return []flow.Field{flow.EthDstMasked(b.Base().Bytes(), b.Mask().Bytes())}
}

func ethertype(e intent.EtherType) flow.Field {
	if e == intent.IPv6 {
		return flow.IPv6()
	}
	return flow.IP()
}
