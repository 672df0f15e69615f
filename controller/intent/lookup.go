package intent

import (
	"iter"
	"maps"
	"net/netip"
)

// Port returns a port by its id.
func (s *State) Port(id string) (p Port, ok bool) {
	if p, ok := s.ports[id]; ok {
		return *p, true
	}
	return Port{}, false
}

// Network returns a network by its id.
func (s *State) Network(id string) (n Network, ok bool) {
	n, ok = s.networks[id]
	return n, ok
}

// Group returns a security group by its id.
func (s *State) Group(id string) (g SecurityGroup, ok bool) {
	g, ok = s.groups[id]
	return g, ok
}

// Ports are all ports, in no order.
func (s *State) Ports() iter.Seq[Port] {
	return func(yield func(Port) bool) {
		for _, p := range s.ports {
			if !yield(*p) {
				return
			}
		}
	}
}

// Networks are all networks, in no order.
func (s *State) Networks() iter.Seq[Network] { return maps.Values(s.networks) }

// Groups are all security groups, in no order.
func (s *State) Groups() iter.Seq[SecurityGroup] { return maps.Values(s.groups) }

// QoSPolicies are all QoS policies, in no order.
func (s *State) QoSPolicies() iter.Seq[QoSPolicy] { return maps.Values(s.policies) }

// QoSPolicyID returns the id of the policy with a number.
func (s *State) QoSPolicyID(num uint32) (id string, ok bool) {
	id, ok = s.policyIDs[num]
	return id, ok
}

// Hosts are all hosts, in no order.
func (s *State) Hosts() iter.Seq[Host] { return maps.Values(s.hosts) }

// HostSegments are the segments of all hosts, in no order.
func (s *State) HostSegments() iter.Seq[HostSegment] { return maps.Values(s.segments) }

// PortsIn are the ports of a network, in no order.
func (s *State) PortsIn(network string) iter.Seq[Port] {
	return func(yield func(Port) bool) {
		for id := range s.inNetwork[network] {
			if !yield(*s.ports[id]) {
				return
			}
		}
	}
}

// HostAt returns the host that has a tunnel end point.
func (s *State) HostAt(tunnel netip.Addr) (Host, bool) {
	for _, h := range s.hosts {
		if h.Tunnel == tunnel {
			return h, true
		}
	}
	return Host{}, false
}
