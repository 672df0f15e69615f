package pipeline

import (
	"iter"
	"maps"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Quality of service takes hold at either end of the way of a packet.
//
// Of what stations send, packet rates are limited where it enters (table 0), before anything else is
// done for it; bandwidth is when the egress rules have let it pass (13): it is there that the policy is found, by the port
// or by the source, with one flow for a whole MAC segment. How the policy marks packets is the
// same for all who are under it (14). The source address is still the sender's there, and a packet for many has not
// been copied yet.
//
// What stations receive is limited behind their ingress rules (50, 51), so that
// others cannot use up what they may receive. A meter of Open vSwitch ends all that is done with a packet, also the
// copies for others that come after: what is for many passes by.
//
// Where the datapath has queues, they keep to the bandwidth that is received.
// Package hypervisor makes them; here packets are put into those of their class.

// qosMeter is the meter of a limit, whose numbers count from 1.
func qosMeter(l intent.Limit) uint32 { return firstQoSMeter + l.Meter - 1 }

// withMeter puts a meter before what is done with a packet, if there is a limit and
// the switch has meters.
func withMeter(in intent.Setting, l intent.Limit, ins ...openflow.Instruction) []openflow.Instruction {
	if l.Meter == 0 || !in.Meters {
		return ins
	}
	return append([]openflow.Instruction{flow.Metered(qosMeter(l))}, ins...)
}

// qosMeters hands over the meters of all policies.
func qosMeters(v *intent.View, need func(flow.Meter, Cookie)) {
	const flags = openflow.MeterBurst | openflow.MeterStats
	limit := func(l intent.Limit, unit openflow.MeterFlags, policy uint32) {
		if l.Meter != 0 {
			need(flow.NewMeter(qosMeter(l), unit|flags, openflow.MeterBand{Type: openflow.BandDrop, Rate: l.Rate, BurstSize: l.Burst}), NewCookie(KindQoS, policy))
		}
	}
	for i := range v.Ports {
		p := &v.Ports[i]
		if !p.Up {
			continue
		}
		limit(p.QoS.Egress.Kbps, openflow.MeterKbps, p.QoS.Policy)
		limit(p.QoS.Egress.Packets, openflow.MeterPktps, p.QoS.Policy)
		limit(p.QoS.Ingress.Packets, openflow.MeterPktps, p.QoS.Policy)
		if !v.Shaped(p) {
			limit(p.QoS.Ingress.Kbps, openflow.MeterKbps, p.QoS.Policy)
		}
	}
	for _, g := range v.QoSSegments {
		limit(g.Limit, openflow.MeterKbps, g.Policy)
	}
}

var qos = Table{
	ID: tableQoS, Name: "qos",
	Job:    "sender, or MAC segment of the source → its policy, and the meter of its bandwidth",
	Reads:  []openflow.FieldID{reg(regSenderZone), openflow.Metadata, openflow.EthSrc},
	Writes: []openflow.FieldID{reg(regPolicy)},
	Next:   []uint8{tableQoSMark, tableServices},
	Miss:   "on to 15",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		q := &p.QoS
		if q.Policy == 0 || !p.Up {
			return
		}
		priority := prioFallback
		if q.Own {
			priority = prioAllow // and nothing of the segment, whatever it says
		}
		ins := []openflow.Instruction{flow.Goto(tableServices)}
		if q.Mark.Any() || q.MinKbps != 0 && in.Queues {
			ins = []openflow.Instruction{flow.Apply(flow.SetReg(regPolicy, q.Policy)), flow.Goto(tableQoSMark)}
		}
		emit(priority, NewCookie(KindQoS, q.Policy), flow.NewMatch(sender(p)), withMeter(in, q.Egress.Kbps, ins...)...)
	},
	marked: func(in intent.Setting, g *intent.MarkedSegment, emit emitFunc) {
		match := []flow.Field{flow.EthSrcMasked(g.Block.Base().Bytes(), g.Block.Mask().Bytes())}
		if g.VNI != 0 {
			match = append(match, flow.Metadata(uint64(g.VNI)))
		}
		emit(prioPrefix+uint16(g.Block.Bits()), NewCookie(KindQoS, g.Policy), flow.NewMatch(match...),
			withMeter(in, g.Limit, flow.Apply(flow.SetReg(regPolicy, g.Policy)), flow.Goto(tableQoSMark))...)
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableQoS, flow.Goto(tableServices)) },
}

var qosMark = Table{
	ID: tableQoSMark, Name: "qos-mark",
	Job:    "policy → DSCP, and the queue of its class or of the sender's minimum bandwidth",
	Reads:  []openflow.FieldID{reg(regSenderZone), reg(regPolicy), openflow.EthType},
	Writes: []openflow.FieldID{openflow.IPDSCP},
	Next:   []uint8{tableServices},
	Miss:   "on to 15",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if q := &p.QoS; p.Up && q.MinKbps != 0 && in.Queues {
			marks(emit, prioExcept, q.Mark, []openflow.Action{flow.SetQueue(intent.MinimumQueueOf(p.Zone))}, flow.Reg(regPolicy, q.Policy), sender(p))
		}
	},
	mark: func(in intent.Setting, m *intent.QoSMark, emit emitFunc) {
		var queue []openflow.Action
		if in.Queues && m.Class != 0 {
			queue = []openflow.Action{flow.SetQueue(m.Class.Queue())}
		}
		marks(emit, prioAllow, *m, queue, flow.Reg(regPolicy, m.Policy))
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableQoSMark, flow.Goto(tableServices)) },
}

// marks emits the flows that mark packets: a DSCP is of IP only.
func marks(emit emitFunc, priority uint16, m intent.QoSMark, queue []openflow.Action, match ...flow.Field) {
	owner, onward := NewCookie(KindQoS, m.Policy), flow.Goto(tableServices)
	if len(queue) > 0 {
		emit(priority, owner, flow.NewMatch(match...), flow.Apply(queue...), onward)
	}
	if !m.Marked {
		return
	}
	for _, family := range []flow.Field{flow.IP(), flow.IPv6()} {
		emit(priority+1, owner, flow.NewMatch(append(match[:len(match):len(match)], family)...),
			flow.Apply(append(queue[:len(queue):len(queue)], flow.SetField(flow.IPDSCP(m.DSCP)))...), onward)
	}
}

var qosRate = Table{
	ID: tableQoSRate, Name: "qos-rate",
	Job: "meter of the bandwidth that the receiver may have of what is for it alone; where there are queues, that of the class of what it receives, " +
		"else, from other hosts, that of the class selector in its DSCP",
	Reads: []openflow.FieldID{reg(regReceiverZone), reg(regOrigin), openflow.EthDst, openflow.EthType, openflow.IPDSCP},
	Next:  []uint8{tableQoSPackets},
	Miss:  "on to 51",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		q := &p.QoS
		owner, to, onward := NewCookie(KindQoS, q.Policy), flow.Reg(regReceiverZone, uint32(p.Zone)), flow.Goto(tableQoSPackets)
		switch limit := withMeter(in, q.Ingress.Kbps, onward); {
		case !p.Up:
		case in.Shaped(p) && q.Class != 0:
			emit(prioAllow, owner, flow.NewMatch(to), flow.Apply(flow.SetQueue(q.Class.Queue())), onward)
		case !in.Shaped(p) && len(limit) > 1:
			emit(prioAllow, owner, flow.NewMatch(to, forOne()), limit...)
		}
	},
	fixed: func(v *intent.View, emit emitFunc) {
		owner := NewCookie(KindTable, uint32(tableQoSRate))
		if v.Queues && v.Tunnel != 0 {
			// The queue that the sender's host has put it into is not known here.
			for c := intent.ClassOf(1); c <= intent.ClassOf(intent.MaxClass); c++ {
				for _, family := range []flow.Field{flow.IP(), flow.IPv6()} {
					emit(prioFallback, owner, flow.NewMatch(flow.Reg(regOrigin, originTunnel), family, flow.IPDSCP(8*c.Number())),
						flow.Apply(flow.SetQueue(c.Queue())), flow.Goto(tableQoSPackets))
				}
			}
		}
		miss(emit, tableQoSRate, flow.Goto(tableQoSPackets))
	},
}

var qosPackets = Table{
	ID: tableQoSPackets, Name: "qos-packets",
	Job:   "meter of the packets that the receiver may have of what is for it alone",
	Reads: []openflow.FieldID{reg(regReceiverZone), openflow.EthDst},
	Next:  []uint8{tableOutput},
	Miss:  "on to 60",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if ins := withMeter(in, p.QoS.Ingress.Packets, flow.Goto(tableOutput)); p.Up && len(ins) > 1 {
			emit(prioAllow, NewCookie(KindQoS, p.QoS.Policy), flow.NewMatch(flow.Reg(regReceiverZone, uint32(p.Zone)), forOne()), ins...)
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableQoSPackets, flow.Goto(tableOutput)) },
}

// forOne matches frames to a single station.
func forOne() flow.Field { return flow.EthDstMasked([6]byte{}, [6]byte{0x01}) }

// QoSMarkTable is the table whose flows count what is sent under a policy that
// marks packets.
const QoSMarkTable = tableQoSMark

// QoSUse is a rule that something in a switch counts for.
type QoSUse struct {
	Policy    uint32
	Kind      intent.QoSRuleKind
	Direction intent.Direction
	Class     intent.Class // that a priority gives what is sent; 0 otherwise
}

// QoSUsage is what counts for rules of policies in a switch.
type QoSUsage struct {
	Marks  map[uint32][]QoSUse // flows of QoSMarkTable, by the policy of their cookie
	Meters map[uint32]QoSUse   // by id
	Ports  map[uint32]QoSUse   // whose queues do, by OpenFlow number
}

// Empty says that nothing in the switch counts.
func (u *QoSUsage) Empty() bool { return len(u.Marks)+len(u.Meters)+len(u.Ports) == 0 }

// All are the uses, some of them more than once.
func (u *QoSUsage) All() iter.Seq[QoSUse] {
	return func(yield func(QoSUse) bool) {
		marks := slices.Concat(slices.Collect(maps.Values(u.Marks))...)
		for _, uses := range []iter.Seq[QoSUse]{slices.Values(marks), maps.Values(u.Meters), maps.Values(u.Ports)} {
			for use := range uses {
				if !yield(use) {
					return
				}
			}
		}
	}
}

// AnyPolicy stands for all policies.
const AnyPolicy uint32 = 0

// QoSUses says what in a switch with a view counts for a policy, or for AnyPolicy.
func QoSUses(v *intent.View, policy uint32) QoSUsage {
	u := QoSUsage{Marks: map[uint32][]QoSUse{}, Meters: map[uint32]QoSUse{}, Ports: map[uint32]QoSUse{}}
	meant := func(of uint32) bool { return of != 0 && (policy == AnyPolicy || of == policy) }
	meter := func(l intent.Limit, use QoSUse) {
		if l.Meter != 0 && v.Meters {
			u.Meters[qosMeter(l)] = use
		}
	}
	for _, m := range v.QoSMarks {
		if !meant(m.Policy) {
			continue
		}
		if m.Class != 0 {
			u.Marks[m.Policy] = append(u.Marks[m.Policy], QoSUse{m.Policy, intent.QoSPriority, intent.Egress, m.Class})
		}
		if m.Marked && (m.Class == 0 || m.DSCP != 8*m.Class.Number()) {
			u.Marks[m.Policy] = append(u.Marks[m.Policy], QoSUse{m.Policy, intent.QoSDSCPMarking, intent.Egress, 0})
		}
	}
	for i := range v.Ports {
		p := &v.Ports[i]
		if q := &p.QoS; meant(q.Policy) && p.Up {
			meter(q.Egress.Kbps, QoSUse{q.Policy, intent.QoSBandwidthLimit, intent.Egress, 0})
			meter(q.Egress.Packets, QoSUse{q.Policy, intent.QoSPacketRateLimit, intent.Egress, 0})
			meter(q.Ingress.Packets, QoSUse{q.Policy, intent.QoSPacketRateLimit, intent.Ingress, 0})
			received := QoSUse{q.Policy, intent.QoSBandwidthLimit, intent.Ingress, 0}
			if !v.Shaped(p) {
				meter(q.Ingress.Kbps, received)
			} else if q.Ingress.Kbps.Rate != 0 {
				u.Ports[p.OFPort] = received
			}
		}
	}
	for _, g := range v.QoSSegments {
		if meant(g.Policy) {
			meter(g.Limit, QoSUse{g.Policy, intent.QoSBandwidthLimit, intent.Egress, 0})
		}
	}
	return u
}

// QoSCookies are the value and the mask of the cookies of flows of a policy, or of
// AnyPolicy.
func QoSCookies(policy uint32) (value, mask uint64) {
	if policy == AnyPolicy {
		return uint64(NewCookie(KindQoS, 0)), 1<<64 - 1<<32
	}
	return uint64(NewCookie(KindQoS, policy)), 1<<64 - 1
}
