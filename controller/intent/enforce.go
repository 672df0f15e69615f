package intent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/mac"
)

// A packet is under one policy: that of its port, else that of the longest of
// the MAC segments with a policy that its source is of, else that of the network.

// PortQoS is what the policy of a port, or else of its network, does at the port.
// The zero value is no policy.
type PortQoS struct {
	Policy          uint32 // number of the policy
	Own             bool   // it is the port's, and not that of its network
	Mark            QoSMark
	Class           Class // of what the port receives
	Egress, Ingress Limits
	MinKbps         uint32 // that others leave to what the port sends; 0: nothing
	NoClass         bool   // the policy wants a class for what the port receives, and no limit whose queues would have it
}

// Limits are those of one direction.
type Limits struct {
	Kbps, Packets Limit
}

// Limit is a rate that nothing above passes. Rate 0 is none.
type Limit struct {
	Rate, Burst uint32
	Meter       uint32 // number among the meters of policies on this switch, from 1 on
}

// Class is a class of priority, from 1 on: 0 is none.
type Class uint8

// ClassOf returns the class that the API knows by a number.
func ClassOf(n int) Class { return Class(n + 1) }

// Number is what the API calls the class.
func (c Class) Number() uint8 { return uint8(c - 1) }

// QoSMark is how packets under a policy are marked, wherever they are sent.
type QoSMark struct {
	Policy uint32
	Class  Class
	DSCP   uint8
	Marked bool // DSCP is to be set
}

// Any says whether packets are marked at all.
func (m *QoSMark) Any() bool { return m.Marked || m.Class != 0 }

// MarkedSegment is a MAC segment whose policy holds for stations of this switch.
type MarkedSegment struct {
	Num    uint32
	Block  mac.Segment
	VNI    uint32 // of the network that alone it is for; 0: any
	Policy uint32
	Limit  Limit // that all of its stations here share
}

// Meters are spread over this many numbers; how many a switch has is for the
// pipeline to see to.
const (
	metersPerPort = 4
	// QoSMeters is the highest number of a meter of policies on a switch.
	QoSMeters = 1 << 16
)

// PutQoSPolicy adds or replaces a policy with its rules.
func (s *State) PutQoSPolicy(p QoSPolicy, t Touched) {
	s.policies[p.ID], s.policyIDs[p.Num] = p, p.ID
	s.touchQoS(p.ID, t)
}

// DeleteQoSPolicy removes a policy.
func (s *State) DeleteQoSPolicy(id string, t Touched) {
	delete(s.policyIDs, s.policies[id].Num)
	delete(s.policies, id)
	s.touchQoS(id, t)
}

// touchQoS marks the switches with ports that a policy holds for.
func (s *State) touchQoS(policy string, t Touched) {
	if t == nil {
		return // a first load
	}
	var blocks []mac.Segment
	for _, g := range s.qosSegments {
		if g.PolicyID == policy {
			blocks = append(blocks, g.Block)
		}
	}
	for _, p := range s.ports {
		if d, bound := p.Binding.DPID(); bound && (p.QoSPolicyID == policy || s.networks[p.NetworkID].QoSPolicyID == policy ||
			slices.ContainsFunc(blocks, func(b mac.Segment) bool { return b.Contains(p.MAC) })) {
			s.touch(d, t)
		}
	}
}

// PutQoSSegment adds or replaces a MAC segment with a policy.
func (s *State) PutQoSSegment(g QoSSegment, t Touched) {
	if s.qosSegments[g.ID] == g {
		return
	}
	s.DeleteQoSSegment(g.ID, t)
	s.qosSegments[g.ID] = g
	s.touchStations(g.Block, t)
}

// DeleteQoSSegment is for a MAC segment that has gone, or has no policy any more.
func (s *State) DeleteQoSSegment(id string, t Touched) {
	if g, known := s.qosSegments[id]; known {
		delete(s.qosSegments, id)
		s.touchStations(g.Block, t)
	}
}

// touchStations marks the switches with ports whose address is of a block.
func (s *State) touchStations(b mac.Segment, t Touched) {
	if t == nil {
		return
	}
	for _, p := range s.ports {
		if d, bound := p.Binding.DPID(); bound && b.Contains(p.MAC) {
			s.touch(d, t)
		}
	}
}

// portQoS says what is done at a port, but for the numbers of meters.
func (s *State) portQoS(p *Port, n *Network) PortQoS {
	policy, known := s.policies[cmp.Or(p.QoSPolicyID, n.QoSPolicyID)]
	if !known {
		return PortQoS{}
	}
	q := PortQoS{Policy: policy.Num, Own: p.QoSPolicyID != "", Mark: policy.mark()}
	for _, r := range policy.Rules {
		side := &q.Egress
		if r.Direction == Ingress {
			side = &q.Ingress
		}
		switch {
		case r.Kind == QoSBandwidthLimit:
			side.Kbps = limitOf(r, 1, minBurstKbit)
		case r.Kind == QoSPacketRateLimit:
			side.Packets = limitOf(r, 1000, minBurstPackets)
		case r.Kind == QoSMinimumBandwidth && r.Direction == Egress:
			q.MinKbps = uint32(r.Rate)
		case r.Kind == QoSPriority && r.Direction == Ingress:
			q.Class = ClassOf(r.Class)
		}
	}
	q.NoClass = q.Class != 0 && q.Ingress.Kbps.Rate == 0
	return q
}

// mark is how packets under the policy are marked.
func (p *QoSPolicy) mark() QoSMark {
	m := QoSMark{Policy: p.Num}
	for _, r := range p.Rules {
		if r.Kind == QoSPriority && r.Direction == Egress {
			m.Class = ClassOf(r.Class)
			if !m.Marked {
				m.DSCP, m.Marked = 8*m.Class.Number(), true // the class selector, RFC 2474 §4.2.2
			}
		}
		if r.Kind == QoSDSCPMarking {
			m.DSCP, m.Marked = uint8(r.DSCP), true
		}
	}
	return m
}

// Bursts that a limit has where none is given: half a second, so that TCP comes close to
// the limit, which a smaller one keeps it from; and never so little that single packets matter.
const (
	minBurstKbit    = 200
	minBurstPackets = 20
)

// limitOf is the limit of a rule whose unit is so many of the switch's.
func limitOf(r QoSRule, unit, least uint32) Limit {
	scale := func(n int) uint32 { return uint32(min(int64(n)*int64(unit), 1<<32-1)) }
	if r.Rate == 0 {
		return Limit{}
	}
	l := Limit{Rate: scale(r.Rate), Burst: scale(r.Burst)}
	if l.Burst == 0 {
		l.Burst = max(l.Rate/2, least)
	}
	return l
}

// addQoS adds what policies do on the view's switch beside what is in its ports,
// and numbers the meters.
func (s *State) addQoS(v *View) {
	used := map[uint32]bool{}
	number := func(l *Limit, at uint32) {
		if l.Rate == 0 || len(used) == QoSMeters {
			return
		}
		for used[at%QoSMeters] {
			at++
		}
		used[at%QoSMeters] = true
		l.Meter = at%QoSMeters + 1
	}
	marks := map[uint32]QoSMark{}
	inBlock := map[string]bool{}
	for i := range v.Ports {
		p := &v.Ports[i]
		q, at := &p.QoS, metersPerPort*uint32(p.Zone)
		number(&q.Egress.Kbps, at)
		number(&q.Egress.Packets, at+1)
		number(&q.Ingress.Kbps, at+2)
		number(&q.Ingress.Packets, at+3)
		of := s.ports[p.ID]
		if p.Up {
			marks[q.Policy] = q.Mark
		}
		for id, g := range s.qosSegments {
			if p.Up && g.Block.Contains(p.MAC) && (g.NetworkID == "" || g.NetworkID == of.NetworkID) {
				inBlock[id] = true
			}
		}
	}
	for id := range inBlock {
		g := s.qosSegments[id]
		policy, ok := s.policies[g.PolicyID]
		if !ok {
			continue
		}
		marked := MarkedSegment{Num: g.Num, Block: g.Block, Policy: policy.Num, VNI: s.networks[g.NetworkID].VNI}
		for _, r := range policy.Rules {
			if r.Kind == QoSBandwidthLimit && r.Direction == Egress {
				marked.Limit = limitOf(r, 1, minBurstKbit)
			}
		}
		marks[policy.Num] = policy.mark()
		v.QoSSegments = append(v.QoSSegments, marked)
	}
	slices.SortFunc(v.QoSSegments, func(a, b MarkedSegment) int { return cmp.Compare(a.Num, b.Num) })
	for i := range v.QoSSegments {
		g := &v.QoSSegments[i]
		number(&g.Limit, metersPerPort*(MaxZone+g.Num))
	}
	for _, m := range marks {
		if m.Any() {
			v.QoSMarks = append(v.QoSMarks, m)
		}
	}
	slices.SortFunc(v.QoSMarks, func(a, b QoSMark) int { return cmp.Compare(a.Policy, b.Policy) })
}

// Shaped says whether queues keep what the port receives to its bandwidth limit:
// those of an interface that it shares with other ports of a trunk cannot.
func (s *Setting) Shaped(p *LocalPort) bool { return s.Queues && p.VLAN == 0 && !p.Trunk }

// Lack is a rule of the policy of a port that the switch does not enforce there.
type Lack struct {
	Kind      QoSRuleKind
	Direction Direction
	Reason    string
}

// Lacks says what of the policy of a port the switch does not do.
func (v *View) Lacks(p *LocalPort) (lacks []Lack) {
	lack := func(kind QoSRuleKind, dir Direction, reason string) { lacks = append(lacks, Lack{kind, dir, reason}) }
	limited := func(l Limit, kind QoSRuleKind, dir Direction) {
		switch {
		case l.Rate == 0:
		case !v.Meters:
			lack(kind, dir, "the switch has no meters")
		case l.Meter == 0:
			lack(kind, dir, "the switch has no meter left")
		}
	}
	q := &p.QoS
	limited(q.Egress.Kbps, QoSBandwidthLimit, Egress)
	if !v.Shaped(p) {
		limited(q.Ingress.Kbps, QoSBandwidthLimit, Ingress)
	}
	limited(q.Egress.Packets, QoSPacketRateLimit, Egress)
	limited(q.Ingress.Packets, QoSPacketRateLimit, Ingress)
	if q.MinKbps != 0 && !v.Queues {
		lack(QoSMinimumBandwidth, Egress, "the switch has no queues")
	}
	switch {
	case q.Class != 0 && !v.Shaped(p):
		lack(QoSPriority, Ingress, "the switch has no queues for it")
	case q.NoClass:
		lack(QoSPriority, Ingress, "it divides a bandwidth_limit of ingress, which the policy lacks")
	}
	return lacks
}

// unenforced tells a user what the switch does not do at a port; empty: nothing.
func (v *View) unenforced(p *LocalPort) string {
	var words []string
	for _, l := range v.Lacks(p) {
		words = append(words, fmt.Sprintf("%s of %s: %s", l.Kind, l.Direction, l.Reason))
	}
	if len(words) == 0 {
		return ""
	}
	return "QoS not enforced: " + strings.Join(words, "; ")
}

// Realized are the states of the ports once the flows of the view are confirmed,
// with what of their policies the switch does not do.
func (v *View) Realized() []PortState {
	var states []PortState
	for i := range v.Ports {
		p := &v.Ports[i]
		reason := v.unenforced(p)
		if reason == "" {
			continue
		}
		if states == nil {
			states = slices.Clone(v.States)
		}
		for j := range states {
			if states[j].Num == p.Num && states[j].Reason == "" {
				states[j].Reason = reason
			}
		}
	}
	if states == nil {
		return v.States
	}
	return states
}

// Queues is what the queues of a switch have to keep to.
type Queues struct {
	Limits   map[uint32]uint32 // kbit/s that may leave by a port, by its OpenFlow number
	Minimums []MinimumQueue    // at ports that lead to other hosts, by number
}

// MinimumQueue is the queue of a port with a minimum bandwidth.
type MinimumQueue struct {
	Number, Kbps uint32
	Class        Class // 0: none
}

// Queue is the number of the queue of a class, the same at all ports.
func (c Class) Queue() uint32 { return uint32(c.Number()) }

// MinimumQueueOf is the number of the queue of a port with a minimum bandwidth:
// behind those of the classes.
func MinimumQueueOf(zone uint16) uint32 { return MaxClass + uint32(zone) }

// QueuesWanted is what the view asks of queues.
func (v *View) QueuesWanted() Queues {
	q := Queues{Limits: map[uint32]uint32{}}
	if !v.Queues {
		return q
	}
	for i := range v.Ports {
		p := &v.Ports[i]
		if !p.Up {
			continue
		}
		if rate := p.QoS.Ingress.Kbps.Rate; rate != 0 && v.Shaped(p) {
			q.Limits[p.OFPort] = rate
		}
		if p.QoS.MinKbps != 0 {
			q.Minimums = append(q.Minimums, MinimumQueue{Number: MinimumQueueOf(p.Zone), Kbps: p.QoS.MinKbps, Class: p.QoS.Mark.Class})
		}
	}
	slices.SortFunc(q.Minimums, func(a, b MinimumQueue) int { return cmp.Compare(a.Number, b.Number) })
	return q
}

// Equal reports whether the same is asked.
func (q *Queues) Equal(o *Queues) bool {
	if q == nil || o == nil {
		return q == o
	}
	return maps.Equal(q.Limits, o.Limits) && slices.Equal(q.Minimums, o.Minimums)
}
