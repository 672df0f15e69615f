package intent

import "slices"

// The parts of two views are compared often, and by hand: by reflection it
// would cost more than what it saves.

// Equal reports whether two ports give the same flows.
func (p *LocalPort) Equal(q *LocalPort) bool {
	return p.ID == q.ID && p.Num == q.Num && p.OFPort == q.OFPort && p.VLAN == q.VLAN && p.Trunk == q.Trunk && p.Zone == q.Zone && p.VNI == q.VNI && p.Set == q.Set && p.Scope == q.Scope &&
		p.MAC == q.MAC && p.Prefix == q.Prefix && p.Open == q.Open && p.Listed == q.Listed && p.Up == q.Up && slices.Equal(p.IPs, q.IPs) && slices.Equal(p.Pairs, q.Pairs) && slices.Equal(p.Others, q.Others) && p.Served.Equal(q.Served) && p.QoS == q.QoS && p.Tag == q.Tag && p.Number == q.Number
}

// Equal reports whether two networks give the same flows.
func (n *LocalNetwork) Equal(m *LocalNetwork) bool {
	return n.VNI == m.VNI && n.Tag == m.Tag && slices.Equal(n.Peers, m.Peers) && slices.EqualFunc(n.Shared, m.Shared, SharedBlock.equal) && n.Listed == m.Listed && slices.Equal(n.Allowed, m.Allowed) &&
		slices.EqualFunc(n.Ports, m.Ports, (*LocalPort).Equal)
}

// Equal reports whether two sets give the same flows.
func (s *GroupSet) Equal(o *GroupSet) bool {
	return s.Slot == o.Slot && (sameList(s.Rules, o.Rules) || slices.EqualFunc(s.Rules, o.Rules, func(r, q SetRule) bool { return r.equal(&q) }))
}

func (r *SetRule) equal(q *SetRule) bool {
	return r.Num == q.Num && r.Direction == q.Direction && r.EtherType == q.EtherType &&
		same(r.Protocol, q.Protocol) && same(r.PortMin, q.PortMin) && same(r.PortMax, q.PortMax) && r.RemoteBlock == q.RemoteBlock &&
		r.Stateless == q.Stateless && r.Remote == q.Remote && r.Grouped == q.Grouped && slices.Equal(r.Classes, q.Classes)
}

func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}
