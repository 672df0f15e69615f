package pipeline

import (
	"net/netip"

	"github.com/macloom/macloom/controller/intent"
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

var ctReads = []openflow.FieldID{openflow.EthType, openflow.IPProto, openflow.ICMP6Type}

var egressCT = Table{
	ID: tableEgressCT, Name: "egress-ct",
	Job:   "look up the connection in the sender's zone",
	Reads: ctReads,
	Next:  []uint8{tableEgressRules, tableSegments},
	Miss:  "drop: neither ARP nor IP",
	flows: func(_ *intent.View, emit emitFunc) {
		// Without neighbour discovery and group membership no address could be
		// reached at all, so no rule is asked; guard has seen to their contents.
		track(emit, tableEgressCT, tableEgressRules, tableSegments, regSenderZone,
			icmp6MLDQuery, icmp6MLDReport, icmp6MLDDone, icmp6MLDv2Report, icmp6RouterSol, icmp6NeighSol, icmp6NeighAdv)
	},
}

var ingressCT = Table{
	ID: tableIngressCT, Name: "ingress-ct",
	Job:   "look up the connection in the receiver's zone",
	Reads: ctReads,
	Next:  []uint8{tableIngressRules, tableOutput},
	Miss:  "drop: neither ARP nor IP",
	flows: func(_ *intent.View, emit emitFunc) {
		track(emit, tableIngressCT, tableIngressRules, tableOutput, regReceiverZone,
			icmp6MLDQuery, icmp6RouterAdv, icmp6NeighSol, icmp6NeighAdv)
	},
}

// track emits the flows of a table that sends IP through conntrack to the table
// of rules, and past it what no rule decides on.
func track(emit emitFunc, table, rules, past uint8, zone int, untracked ...uint8) {
	owner := NewCookie(KindTable, uint32(table))
	ct := flow.Apply(openflow.ActionCT{ZoneSrc: flow.RegBits(zone, 0, 16), Table: rules})
	emit(prioAllow, owner, flow.NewMatch(flow.IP()), ct)
	emit(prioAllow, owner, flow.NewMatch(flow.IPv6()), ct)
	emit(prioAllow, owner, flow.NewMatch(flow.ARP()), flow.Goto(past))
	for _, t := range untracked {
		emit(prioExcept, owner, flow.NewMatch(flow.IPv6(), flow.IPProto(protoICMPv6), flow.ICMP6Type(t)), flow.Goto(past))
	}
	miss(emit, table)
}

var ruleReads = []openflow.FieldID{
	reg(regSet), openflow.CTState, openflow.CTMark, openflow.EthType, openflow.IPProto,
	openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst,
	openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst,
	openflow.ICMPType, openflow.ICMPCode, openflow.ICMP6Type, openflow.ICMP6Code,
}

var egressRules = Table{
	ID: tableEgressRules, Name: "egress-rules",
	Job:    "egress rules of the sender's groups",
	Reads:  ruleReads,
	Writes: []openflow.FieldID{openflow.CTMark},
	Next:   []uint8{tableSegments},
	Miss:   "drop: no rule allows it",
	flows: func(v *intent.View, emit emitFunc) {
		rules(v, emit, tableEgressRules, tableSegments, intent.Egress, regSenderZone)
	},
}

var ingressRules = Table{
	ID: tableIngressRules, Name: "ingress-rules",
	Job:    "ingress rules of the receiver's groups",
	Reads:  ruleReads,
	Writes: []openflow.FieldID{openflow.CTMark},
	Next:   []uint8{tableOutput},
	Miss:   "drop: no rule allows it",
	flows: func(v *intent.View, emit emitFunc) {
		rules(v, emit, tableIngressRules, tableOutput, intent.Ingress, regReceiverZone)
	},
}

func rules(v *intent.View, emit emitFunc, table, next uint8, dir intent.Direction, zone int) {
	onward := flow.Goto(next)
	emit(prioRefuse, NewCookie(KindTable, uint32(table)), flow.NewMatch(flow.CTState(flow.CTTrk|flow.CTInv, 0)))
	for _, set := range v.Sets {
		slot := flow.Reg(regSet, set.Slot)
		admitted := map[flow.Match]bool{}
		for _, r := range set.Rules {
			owner := NewCookie(KindRule, r.Num)
			for _, m := range liveMatches(slot, r, dir) {
				emit(prioLive, owner, m, onward)
			}
			if r.Direction != dir {
				continue
			}
			admit := flow.Apply(openflow.ActionCT{
				Commit: true, ZoneSrc: flow.RegBits(zone, 0, 16), Table: openflow.NoTable,
				Exec: []openflow.Action{flow.SetField(flow.CTMark(r.Num))},
			})
			for _, m := range ruleMatches(slot, r) {
				// Two rules of a set may say the same; the older one marks.
				if !admitted[m] {
					admitted[m] = true
					emit(prioAllow, owner, m, admit, onward)
				}
			}
		}
	}
	miss(emit, table)
}

// liveMatches match the traffic of connections that a rule has admitted,
// in the table of either direction. Where the rule admits the members of a
// group, or the addresses of one, a connection lives only as long as its far end is in it; errors
// about it (+rel) may come from any router on the way.
func liveMatches(slot flow.Field, r intent.SetRule, dir intent.Direction) []flow.Match {
	mark := flow.CTMark(r.Num)
	if r.AnyRemote || r.RemoteGroupID == "" && r.RemoteAddressGroupID == "" {
		return []flow.Match{flow.NewMatch(slot, mark, flow.CTState(flow.CTTrk, flow.CTNew|flow.CTInv))}
	}
	matches := []flow.Match{flow.NewMatch(slot, mark, flow.CTState(flow.CTTrk|flow.CTRel, flow.CTInv))}
	for _, remote := range r.Remotes {
		matches = append(matches, flow.NewMatch(slot, mark, flow.CTState(flow.CTTrk|flow.CTEst, flow.CTInv),
			ethertype(r.EtherType), farEnd(dir)(remote)))
	}
	return matches
}

// ruleMatches match the packets in the original direction that a rule admits:
// one match for each remote and each block of the port range.
func ruleMatches(slot flow.Field, r intent.SetRule) []flow.Match {
	base := []flow.Field{slot, flow.CTState(flow.CTTrk, flow.CTRpl|flow.CTInv), ethertype(r.EtherType)}
	var matches []flow.Match
	for _, l4 := range layer4(r.Rule) {
		fields := append(base[:len(base):len(base)], l4...)
		if r.AnyRemote {
			matches = append(matches, flow.NewMatch(fields...))
		}
		for _, remote := range r.Remotes {
			matches = append(matches, flow.NewMatch(append(fields[:len(fields):len(fields)], farEnd(r.Direction)(remote))...))
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

// farEnd gives the constructor for the address of the other side, seen from the
// port whose rules are evaluated.
func farEnd(dir intent.Direction) func(remote netip.Prefix) flow.Field {
	if dir == intent.Ingress {
		return flow.IPSrc
	}
	return flow.IPDst
}

func ethertype(e intent.EtherType) flow.Field {
	if e == intent.IPv6 {
		return flow.IPv6()
	}
	return flow.IP()
}
