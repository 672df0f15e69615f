package intent

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// TunnelPort is the name of the port through which an integration bridge
// reaches the others: one VXLAN port, whose flows say where to.
const TunnelPort = "macloom-vxlan"

// Host is a switch that ports are bound to and that others reach by tunnels, or by the
// links of a fabric.
type Host struct {
	DPID   DPID
	Slot   uint32     // small unique number, never given again
	Tunnel netip.Addr // of its VXLAN tunnel end point (VTEP); invalid: it has none
	Fabric uint16     // its number in the fabric; 0: it was never linked with another switch
}

// HostSegment is a block of MAC addresses for the ports bound to one host.
type HostSegment struct {
	ID    string
	Num   uint32 // small unique number, never given again
	Block mac.Segment
	Host  DPID
}

// Peer is another host that has a network in common with this one.
type Peer struct {
	Slot   uint32
	Tunnel netip.Addr
}

// Prefix says where the addresses of a host's segment are to be found.
type Prefix struct {
	Slot  uint32 // number of the segment
	Block mac.Segment
	Host  uint32 // slot of the peer that has it; 0: this host, or one without a network in common
}

// Stray is a port on another host than the one its address belongs to, as
// after a migration, or one whose address belongs to no host.
type Stray struct {
	Num    uint32 // of the port
	VNI    uint32
	MAC    mac.Addr
	Prefix uint32 // slot of the segment that the address is of; 0: of no host's
	Host   uint32 // slot of the peer that it is on
	// Home says that the address belongs to this host: others still send here
	// what is for the port until they have heard that it has moved.
	Home bool
}

// overlay is what State knows of hosts and of what lies where.
type overlay struct {
	hosts    map[DPID]Host
	segments map[string]HostSegment
	byBlock  map[mac.Segment]HostSegment
	ofHost   map[DPID]map[string]struct{} // segments by host
	lengths  []int                        // of the blocks, longest first

	present map[string]map[DPID]int        // bound ports by network and host
	strays  map[string]map[string]struct{} // by network
	homes   map[string]DPID                // of strays: the host that their address belongs to
	away    map[DPID]map[string]struct{}   // the same by host

	paired    map[string]map[mac.Segment]map[string]struct{} // bound ports by network and what their pairs have besides their own MAC
	stationed map[mac.Addr]string                            // bound ports that are up
}

func newOverlay() overlay {
	return overlay{
		hosts: map[DPID]Host{}, segments: map[string]HostSegment{}, byBlock: map[mac.Segment]HostSegment{}, ofHost: map[DPID]map[string]struct{}{},
		present: map[string]map[DPID]int{}, strays: map[string]map[string]struct{}{}, homes: map[string]DPID{}, away: map[DPID]map[string]struct{}{},
		paired: map[string]map[mac.Segment]map[string]struct{}{}, stationed: map[mac.Addr]string{},
	}
}

// PutHost adds or replaces a host.
func (s *State) PutHost(h Host, t Touched) {
	if s.hosts[h.DPID] == h {
		return
	}
	s.hosts[h.DPID] = h
	s.touchPeers(h.DPID, t)
}

// DeleteHost removes a host.
func (s *State) DeleteHost(d DPID, t Touched) {
	if _, known := s.hosts[d]; !known {
		return
	}
	delete(s.hosts, d)
	s.touchPeers(d, t)
}

// PutHostSegment adds or replaces the segment of a host.
func (s *State) PutHostSegment(g HostSegment, t Touched) {
	old, known := s.segments[g.ID]
	if known && old == g {
		return
	}
	if known {
		s.DeleteHostSegment(g.ID, t)
	}
	s.segments[g.ID], s.byBlock[g.Block] = g, g
	insert(s.ofHost, g.Host, g.ID)
	s.segmentsChanged(g, t)
}

// DeleteHostSegment removes the segment of a host.
func (s *State) DeleteHostSegment(id string, t Touched) {
	g, known := s.segments[id]
	if !known {
		return
	}
	delete(s.segments, id)
	delete(s.byBlock, g.Block)
	remove(s.ofHost, g.Host, g.ID)
	s.segmentsChanged(g, t)
}

// segmentsChanged judges anew which ports are where their address belongs.
func (s *State) segmentsChanged(g HostSegment, t Touched) {
	lengths := map[int]bool{}
	for block := range s.byBlock {
		lengths[block.Bits()] = true
	}
	s.lengths = slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return cmp.Compare(b, a) })
	for _, p := range s.ports {
		if !g.Block.Contains(p.MAC) {
			continue
		}
		s.placeStray(p, t)
		s.touchAll(s.present[p.NetworkID], t)
	}
	for network, shared := range s.paired {
		for block := range shared {
			if block.Overlaps(g.Block) {
				s.touchAll(s.present[network], t)
			}
		}
	}
	s.touchPeers(g.Host, t)
}

// segmentOf finds the host's segment that an address is of.
func (s *State) segmentOf(a mac.Addr) (HostSegment, bool) {
	for _, bits := range s.lengths {
		block, err := mac.NewSegment(a&^(1<<(48-bits)-1), bits)
		if err != nil {
			continue // a group address: never a port's
		}
		if g, ok := s.byBlock[block]; ok {
			return g, true
		}
	}
	return HostSegment{}, false
}

// touchPeers marks all switches that have a network in common with a host, or
// pass on what is for ports of it.
func (s *State) touchPeers(d DPID, t Touched) {
	s.touch(d, t)
	networks := map[string]bool{}
	for id := range s.onSwitch[d] {
		networks[s.ports[id].NetworkID] = true
	}
	for id := range networks {
		s.touchNetwork(id, t)
	}
}

// touchNetwork marks all switches with ports of a network, and those that ports of it
// have left.
func (s *State) touchNetwork(id string, t Touched) {
	s.touchAll(s.present[id], t)
	for port := range s.strays[id] {
		if home, ofHost := s.homes[port]; ofHost {
			s.touch(home, t)
		}
	}
}

// placeStray notes whether a port is elsewhere than its address says. The host
// that the address belongs to hears of it, whatever it has of the network: others
// may send there.
func (s *State) placeStray(p *Port, t Touched) (stray bool) {
	s.forgetStray(p, t)
	d, bound := p.Binding.DPID()
	if !bound {
		return false
	}
	g, ofHost := s.segmentOf(p.MAC)
	if ofHost && g.Host == d {
		return false
	}
	insert(s.strays, p.NetworkID, p.ID)
	if ofHost {
		s.homes[p.ID] = g.Host
		insert(s.away, g.Host, p.ID)
		s.touch(g.Host, t)
	}
	return true
}

func (s *State) forgetStray(p *Port, t Touched) (stray bool) {
	_, stray = s.strays[p.NetworkID][p.ID]
	if !stray {
		return false
	}
	remove(s.strays, p.NetworkID, p.ID)
	if home, ofHost := s.homes[p.ID]; ofHost {
		delete(s.homes, p.ID)
		remove(s.away, home, p.ID)
		s.touch(home, t)
	}
	return true
}

// settle notes where a port has come to be. The other hosts of its network
// hear of it if they cannot tell by its address, or if it is the first there.
func (s *State) settle(p *Port, t Touched) {
	d, bound := p.Binding.DPID()
	if !bound {
		return
	}
	first, stray, paired := count(s.present, p.NetworkID, d, 1) == 1, s.placeStray(p, t), s.pair(p)
	if first || stray || paired || s.InFabric(d) != 0 {
		s.touchAll(s.present[p.NetworkID], t)
	}
}

// leave undoes settle.
func (s *State) leave(p *Port, t Touched) {
	d, bound := p.Binding.DPID()
	if !bound {
		return
	}
	stray, paired := s.forgetStray(p, t), s.unpair(p)
	others := s.present[p.NetworkID]
	if count(s.present, p.NetworkID, d, -1) == 0 || stray || paired || s.InFabric(d) != 0 {
		s.touchAll(others, t)
		s.touch(d, t)
	}
}

// addOverlay says where the view's switch finds what is not local.
func (s *State) addOverlay(v *View) {
	if own := s.hosts[v.DPID]; !own.Tunnel.IsValid() {
		v.Tunnel = 0
	}
	near := map[DPID]Peer{} // those with a network in common
	// peer is the slot of another host, 0 if it cannot be reached.
	peer := func(d DPID) uint32 {
		h := s.hosts[d]
		if v.Tunnel == 0 || d == v.DPID || !h.Tunnel.IsValid() {
			return 0
		}
		near[d] = Peer{Slot: h.Slot, Tunnel: h.Tunnel}
		return h.Slot
	}
	blocks := map[uint32]HostSegment{}
	of := func(a mac.Addr) (g HostSegment, ok bool) {
		if g, ok = s.segmentOf(a); ok {
			blocks[g.Num] = g
		}
		return g, ok
	}
	left := s.addLeft(v)
	for i := range v.Networks {
		n := &v.Networks[i]
		networks := map[string]bool{} // one, but while a VNI passes from one to another
		for _, p := range n.Ports {
			networks[s.ports[p.ID].NetworkID] = true
			of(p.MAC)
		}
		for id := range networks {
			for d := range s.present[id] {
				if slot := peer(d); slot != 0 {
					n.Peers = append(n.Peers, slot)
				}
			}
			s.addShared(n, id, peer, of)
			n.Allowed, n.Listed = s.allowed(id)
		}
		maps.Copy(networks, left[n.VNI])
		for id := range networks {
			for port := range s.strays[id] {
				p := s.ports[port]
				d, _ := p.Binding.DPID()
				g, ofHost := s.segmentOf(p.MAC)
				stray := Stray{Num: p.Num, VNI: n.VNI, MAC: p.MAC, Prefix: s.slotOf(id, p.MAC), Home: ofHost && g.Host == v.DPID}
				if len(n.Ports) == 0 && !stray.Home {
					continue
				}
				if stray.Host = peer(d); stray.Host != 0 {
					of(p.MAC)
					v.Strays = append(v.Strays, stray)
				}
			}
		}
		slices.Sort(n.Peers)
		n.Peers = slices.Compact(n.Peers)
	}
	s.addTags(v, of)
	for d := range near {
		for id := range s.ofHost[d] {
			g := s.segments[id]
			blocks[g.Num] = g
		}
	}
	for _, g := range blocks {
		v.Prefixes = append(v.Prefixes, Prefix{Slot: g.Num, Block: g.Block, Host: near[g.Host].Slot})
	}
	v.Peers = slices.SortedFunc(maps.Values(near), func(a, b Peer) int { return cmp.Compare(a.Slot, b.Slot) })
	slices.SortFunc(v.Prefixes, func(a, b Prefix) int { return cmp.Compare(a.Slot, b.Slot) })
	slices.SortFunc(v.Strays, func(a, b Stray) int { return cmp.Compare(a.Num, b.Num) })
}

// addLeft adds the networks of which ports have left the view's switch and none
// is there any more: who has not heard that they moved sends to it. It returns them by VNI.
func (s *State) addLeft(v *View) map[uint32]map[string]bool {
	if v.Tunnel == 0 {
		return nil
	}
	here := map[uint32]bool{}
	for _, n := range v.Networks {
		here[n.VNI] = true
	}
	left := map[uint32]map[string]bool{}
	for port := range s.away[v.DPID] {
		n, ok := s.networks[s.ports[port].NetworkID]
		if !ok || !n.AdminUp || here[n.VNI] {
			continue
		}
		if left[n.VNI] == nil {
			left[n.VNI] = map[string]bool{}
			v.Networks = append(v.Networks, LocalNetwork{VNI: n.VNI})
		}
		left[n.VNI][n.ID] = true
	}
	slices.SortFunc(v.Networks, func(a, b LocalNetwork) int { return cmp.Compare(a.VNI, b.VNI) })
	return left
}
