package intent

import (
	"maps"
	"slices"
)

// State is the intent that the data plane needs, with the indexes to find what
// a change touches. It is not safe for concurrent use.
type State struct {
	Revision int64 // change revision that the state reflects

	networks map[string]Network
	ports    map[string]Port
	groups   map[string]SecurityGroup
	subnets  map[string]*Subnet // replaced as a whole, never changed

	// Derived: which ports are where and in what, and which groups' rules name
	// which group as remote.
	onSwitch  map[DPID]map[string]struct{}   // ports by datapath
	inNetwork map[string]map[string]struct{} // ports by network
	inGroup   map[string]map[string]struct{} // ports by security group
	remoteOf  map[string]map[string]struct{} // groups by the remote group of one of their rules

	overlay
	neighbours
}

// Touched is the set of datapaths whose view a change may have altered.
type Touched map[DPID]struct{}

// NewState returns an empty state.
func NewState() *State {
	return &State{
		networks: map[string]Network{}, ports: map[string]Port{}, groups: map[string]SecurityGroup{}, subnets: map[string]*Subnet{},
		onSwitch: map[DPID]map[string]struct{}{}, inNetwork: map[string]map[string]struct{}{},
		inGroup: map[string]map[string]struct{}{}, remoteOf: map[string]map[string]struct{}{}, overlay: newOverlay(), neighbours: newNeighbours(),
	}
}

// PutNetwork adds or replaces a network.
func (s *State) PutNetwork(n Network, t Touched) {
	if old, known := s.networks[n.ID]; !known || old.VNI != n.VNI || old.AdminUp != n.AdminUp {
		s.readdressed(n.ID)
		if s.byVNI[old.VNI] == n.ID {
			delete(s.byVNI, old.VNI)
		}
	}
	s.networks[n.ID], s.byVNI[n.VNI] = n, n.ID
	s.touchPorts(s.inNetwork[n.ID], t)
}

// DeleteNetwork removes a network.
func (s *State) DeleteNetwork(id string, t Touched) {
	if vni := s.networks[id].VNI; s.byVNI[vni] == id {
		delete(s.byVNI, vni)
	}
	delete(s.networks, id)
	s.readdressed(id)
	s.touchPorts(s.inNetwork[id], t)
}

// PutPort adds or replaces a port.
func (s *State) PutPort(p Port, t Touched) {
	if old, ok := s.ports[p.ID]; ok {
		if sameForDataPlane(old, p) {
			s.ports[p.ID] = p
			return
		}
		s.unindexPort(old, t)
	}
	s.ports[p.ID] = p
	s.indexPort(p, t)
}

// DeletePort removes a port.
func (s *State) DeletePort(id string, t Touched) {
	if old, ok := s.ports[id]; ok {
		s.unindexPort(old, t)
		delete(s.ports, id)
	}
}

// PutGroup adds or replaces a security group with its rules.
func (s *State) PutGroup(g SecurityGroup, t Touched) {
	s.unindexGroup(g.ID)
	s.groups[g.ID] = g
	for _, r := range g.Rules {
		if r.RemoteGroupID != "" {
			insert(s.remoteOf, r.RemoteGroupID, g.ID)
		}
	}
	s.touchPorts(s.inGroup[g.ID], t)
}

// DeleteGroup removes a security group.
func (s *State) DeleteGroup(id string, t Touched) {
	s.unindexGroup(id)
	delete(s.groups, id)
	s.touchPorts(s.inGroup[id], t)
}

// PortsOn returns the ports bound to a datapath, in the order of their ids.
func (s *State) PortsOn(d DPID) []Port {
	ids := slices.Sorted(maps.Keys(s.onSwitch[d]))
	ports := make([]Port, len(ids))
	for i, id := range ids {
		ports[i] = s.ports[id]
	}
	return ports
}

func (s *State) indexPort(p Port, t Touched) {
	insert(s.inNetwork, p.NetworkID, p.ID)
	for _, g := range p.SecurityGroups {
		insert(s.inGroup, g, p.ID)
	}
	if d, ok := p.Binding.DPID(); ok {
		insert(s.onSwitch, d, p.ID)
	}
	s.addressed(p)
	s.touchPort(p, t)
	s.settle(p, t)
}

func (s *State) unindexPort(p Port, t Touched) {
	s.unaddressed(p)
	s.touchPort(p, t)
	s.leave(p, t)
	remove(s.inNetwork, p.NetworkID, p.ID)
	for _, g := range p.SecurityGroups {
		remove(s.inGroup, g, p.ID)
	}
	if d, ok := p.Binding.DPID(); ok {
		remove(s.onSwitch, d, p.ID)
	}
}

func (s *State) unindexGroup(id string) {
	for _, r := range s.groups[id].Rules {
		if r.RemoteGroupID != "" {
			remove(s.remoteOf, r.RemoteGroupID, id)
		}
	}
}

// touchPort marks the switch of p, and every switch with a port whose rules
// name one of p's groups as remote: they match on p's addresses.
func (s *State) touchPort(p Port, t Touched) {
	if d, ok := p.Binding.DPID(); ok {
		t[d] = struct{}{}
	}
	for _, g := range p.SecurityGroups {
		for holder := range s.remoteOf[g] {
			s.touchPorts(s.inGroup[holder], t)
		}
	}
}

func (s *State) touchPorts(ids map[string]struct{}, t Touched) {
	for id := range ids {
		if d, ok := s.ports[id].Binding.DPID(); ok {
			t[d] = struct{}{}
		}
	}
}

// sameForDataPlane reports whether two states of a port give the same flows:
// realized status, names and times do not count.
func sameForDataPlane(a, b Port) bool {
	return a.NetworkID == b.NetworkID && a.Num == b.Num && a.MAC == b.MAC && a.AdminUp == b.AdminUp &&
		a.Binding == b.Binding && a.Unguarded == b.Unguarded && a.DeviceOwner == b.DeviceOwner && slices.Equal(a.Extras.Pairs, b.Extras.Pairs) &&
		slices.Equal(a.FixedIPs, b.FixedIPs) && slices.Equal(a.SecurityGroups, b.SecurityGroups)
}

func insert[K comparable](index map[K]map[string]struct{}, key K, id string) {
	set := index[key]
	if set == nil {
		set = map[string]struct{}{}
		index[key] = set
	}
	set[id] = struct{}{}
}

func remove[K comparable](index map[K]map[string]struct{}, key K, id string) {
	set := index[key]
	delete(set, id)
	if len(set) == 0 {
		delete(index, key)
	}
}
