package intent

import (
	"net/netip"
	"slices"
)

// State is the intent that the data plane needs, with the indexes to find what
// a change touches. It is not safe for concurrent use.
type State struct {
	Revision int64 // change revision that the state reflects

	networks map[string]Network
	ports    map[string]*Port // replaced as a whole, never changed
	groups   map[string]SecurityGroup
	subnets  map[string]*Subnet        // replaced as a whole, never changed
	prefixes map[string][]netip.Prefix // of address groups, by their ids

	policies    map[string]QoSPolicy
	policyIDs   map[uint32]string // by number
	qosSegments map[string]QoSSegment

	allowLists map[string]MACAllowList
	allowOf    map[string]map[string]struct{} // lists by network

	blocks  map[string]Block
	pools   map[string]AffinityPool
	poolsIn map[string]map[string]struct{} // by network

	// Derived: which ports are where and in what, and which groups' rules name
	// which group as remote.
	onSwitch  map[DPID]map[string]struct{}   // ports by datapath
	inNetwork map[string]map[string]struct{} // ports by network
	inGroup   map[string]map[string]struct{} // ports by security group
	groupOn   map[string]map[DPID]int        // how many of these are on which datapath
	remoteOf  map[string]map[string]struct{} // groups by the remote group or the address group of one of their rules

	scopes  *scopes
	sets    *sets
	layouts *layouts

	overlay
	neighbours
}

// Touched is the set of datapaths whose view a change may have altered. A nil
// one is for those who do not want to know.
type Touched map[DPID]struct{}

// Everywhere in a Touched stands for all datapaths.
const Everywhere DPID = 0

// addAll is for changes that leave layouts as they are; others are for touch.
func (t Touched) addAll(on map[DPID]int) {
	if t == nil {
		return
	}
	for d := range on {
		t[d] = struct{}{}
	}
}

// touch notes that the layout of a datapath may have changed, and so its view.
func (s *State) touch(d DPID, t Touched) {
	s.layouts.forget(d)
	if t != nil {
		t[d] = struct{}{}
	}
}

func (s *State) touchAll(on map[DPID]int, t Touched) {
	if t == nil && s.layouts.empty() {
		return // a first load, of very many
	}
	for d := range on {
		s.touch(d, t)
	}
}

// NewState returns an empty state.
func NewState() *State {
	return &State{
		networks: map[string]Network{}, ports: map[string]*Port{}, groups: map[string]SecurityGroup{}, prefixes: map[string][]netip.Prefix{}, subnets: map[string]*Subnet{},
		onSwitch: map[DPID]map[string]struct{}{}, inNetwork: map[string]map[string]struct{}{},
		inGroup: map[string]map[string]struct{}{}, groupOn: map[string]map[DPID]int{}, remoteOf: map[string]map[string]struct{}{}, scopes: newScopes(),
		policies: map[string]QoSPolicy{}, policyIDs: map[uint32]string{}, qosSegments: map[string]QoSSegment{},
		allowLists: map[string]MACAllowList{}, allowOf: map[string]map[string]struct{}{}, blocks: map[string]Block{},
		pools: map[string]AffinityPool{}, poolsIn: map[string]map[string]struct{}{},
		sets: newSets(), layouts: newLayouts(), overlay: newOverlay(), neighbours: newNeighbours(),
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
	s.touchNetwork(n.ID, t)
}

// DeleteNetwork removes a network.
func (s *State) DeleteNetwork(id string, t Touched) {
	if vni := s.networks[id].VNI; s.byVNI[vni] == id {
		delete(s.byVNI, vni)
	}
	delete(s.networks, id)
	s.readdressed(id)
	s.touchNetwork(id, t)
}

// PutPort adds or replaces a port.
func (s *State) PutPort(p Port, t Touched) {
	if old, ok := s.ports[p.ID]; ok {
		if sameForDataPlane(old, &p) {
			s.ports[p.ID] = &p
			// What was unbound and bound again between two looks is as it was, but
			// for its status: that is to be recorded anew.
			if d, bound := p.Binding.DPID(); bound && p.Status == PortDown {
				s.touch(d, t)
			}
			return
		}
		s.unindexPort(old, t)
	}
	s.ports[p.ID] = &p
	s.indexPort(&p, t)
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
	s.sets.forget(g.ID)
	if s.groups[g.ID].Num != g.Num {
		s.touchHolders(g.ID, t)
		s.touchAll(s.groupOn[g.ID], t) // another set of groups is another set
	}
	s.groups[g.ID] = g
	for _, r := range g.Rules {
		if remote := r.remoteID(); remote != "" {
			insert(s.remoteOf, remote, g.ID)
		}
	}
	t.addAll(s.groupOn[g.ID])
}

// DeleteGroup removes a security group.
func (s *State) DeleteGroup(id string, t Touched) {
	s.unindexGroup(id)
	s.sets.forget(id)
	s.touchHolders(id, t)
	delete(s.groups, id)
	s.touchAll(s.groupOn[id], t)
}

// PutAddressGroup adds or replaces an address group.
func (s *State) PutAddressGroup(g AddressGroup, t Touched) {
	if old, there := s.prefixes[g.ID]; there && slices.Equal(old, g.Addresses) {
		return
	}
	s.prefixes[g.ID] = g.Addresses
	s.touchHolders(g.ID, t)
}

// DeleteAddressGroup removes an address group.
func (s *State) DeleteAddressGroup(id string, t Touched) {
	delete(s.prefixes, id)
	s.touchHolders(id, t)
}

// boundTo returns the ports bound to a datapath, in the order in which they are given
// places there.
func (s *State) boundTo(d DPID) []*Port {
	ports := make([]*Port, 0, len(s.onSwitch[d]))
	for id := range s.onSwitch[d] {
		ports = append(ports, s.ports[id])
	}
	slices.SortFunc(ports, inLine)
	return ports
}

func (s *State) indexPort(p *Port, t Touched) {
	insert(s.inNetwork, p.NetworkID, p.ID)
	d, bound := p.Binding.DPID()
	for _, g := range p.SecurityGroups {
		insert(s.inGroup, g, p.ID)
		if bound {
			count(s.groupOn, g, d, 1)
		}
	}
	if bound {
		insert(s.onSwitch, d, p.ID)
	}
	s.addressed(p)
	s.touchPort(p, t)
	s.settle(p, t)
	s.touchPools(p, t)
}

func (s *State) unindexPort(p *Port, t Touched) {
	s.unaddressed(p)
	s.touchPort(p, t)
	s.touchPools(p, t)
	s.leave(p, t)
	remove(s.inNetwork, p.NetworkID, p.ID)
	d, bound := p.Binding.DPID()
	for _, g := range p.SecurityGroups {
		remove(s.inGroup, g, p.ID)
		if bound {
			count(s.groupOn, g, d, -1)
		}
	}
	if bound {
		remove(s.onSwitch, d, p.ID)
	}
}

func (s *State) unindexGroup(id string) {
	for _, r := range s.groups[id].Rules {
		if remote := r.remoteID(); remote != "" {
			remove(s.remoteOf, remote, id)
		}
	}
}

// remoteID is the set that the other side must be in; empty: the rule names
// none.
func (r *Rule) remoteID() string {
	if r.RemoteGroupID != "" {
		return r.RemoteGroupID
	}
	return r.RemoteAddressGroupID
}

// touchPort marks the switch of p, and every switch with a port whose rules
// name one of p's groups as remote: they match on p's addresses.
func (s *State) touchPort(p *Port, t Touched) {
	if d, ok := p.Binding.DPID(); ok {
		s.touch(d, t)
	}
	for _, g := range p.SecurityGroups {
		s.touchHolders(g, t)
	}
}

// touchHolders marks every switch with a port whose rules name a set as remote.
func (s *State) touchHolders(remote string, t Touched) {
	s.scopes.forget(remote)
	for holder := range s.remoteOf[remote] {
		t.addAll(s.groupOn[holder])
	}
}

// sameForDataPlane reports whether two states of a port give the same flows:
// realized status, names and times do not count.
func sameForDataPlane(a, b *Port) bool {
	return a.NetworkID == b.NetworkID && a.Num == b.Num && a.MAC == b.MAC && a.AdminUp == b.AdminUp &&
		a.Binding == b.Binding && a.Trunk == b.Trunk && a.Unguarded == b.Unguarded && a.QoSPolicyID == b.QoSPolicyID && a.DeviceOwner == b.DeviceOwner && slices.Equal(a.Extras.Pairs, b.Extras.Pairs) &&
		slices.Equal(a.FixedIPs, b.FixedIPs) && slices.Equal(a.SecurityGroups, b.SecurityGroups)
}

// count adds to how many ports of something are on a datapath.
func count(index map[string]map[DPID]int, key string, d DPID, n int) (now int) {
	on := index[key]
	if on == nil {
		on = map[DPID]int{}
		index[key] = on
	}
	now = on[d] + n
	if on[d] = now; now == 0 {
		delete(on, d)
	}
	if len(on) == 0 {
		delete(index, key)
	}
	return now
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
