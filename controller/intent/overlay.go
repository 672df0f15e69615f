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

// Host is a switch that ports are bound to and that others reach by tunnels.
type Host struct {
	DPID   DPID
	Slot   uint32     // small unique number, never given again
	Tunnel netip.Addr // of its VXLAN tunnel end point (VTEP); invalid: it has none
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
}

func newOverlay() overlay {
	return overlay{
		hosts: map[DPID]Host{}, segments: map[string]HostSegment{}, byBlock: map[mac.Segment]HostSegment{}, ofHost: map[DPID]map[string]struct{}{},
		present: map[string]map[DPID]int{}, strays: map[string]map[string]struct{}{},
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
		s.placeStray(p)
		s.touchAll(s.present[p.NetworkID], t)
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

// touchPeers marks all switches that have a network in common with a host.
func (s *State) touchPeers(d DPID, t Touched) {
	s.touch(d, t)
	networks := map[string]bool{}
	for id := range s.onSwitch[d] {
		networks[s.ports[id].NetworkID] = true
	}
	for id := range networks {
		s.touchAll(s.present[id], t)
	}
}

// placeStray notes whether a port is elsewhere than its address says.
func (s *State) placeStray(p Port) (stray bool) {
	d, bound := p.Binding.DPID()
	if bound {
		g, ofHost := s.segmentOf(p.MAC)
		stray = !ofHost || g.Host != d
	}
	if stray {
		insert(s.strays, p.NetworkID, p.ID)
	} else {
		remove(s.strays, p.NetworkID, p.ID)
	}
	return stray
}

// settle notes where a port has come to be. The other hosts of its network
// hear of it if they cannot tell by its address, or if it is the first there.
func (s *State) settle(p Port, t Touched) {
	d, bound := p.Binding.DPID()
	if !bound {
		return
	}
	first := count(s.present, p.NetworkID, d, 1) == 1
	if s.placeStray(p) || first {
		s.touchAll(s.present[p.NetworkID], t)
	}
}

// leave undoes settle.
func (s *State) leave(p Port, t Touched) {
	d, bound := p.Binding.DPID()
	if !bound {
		return
	}
	_, stray := s.strays[p.NetworkID][p.ID]
	remove(s.strays, p.NetworkID, p.ID)
	others := s.present[p.NetworkID]
	if count(s.present, p.NetworkID, d, -1) == 0 || stray {
		s.touchAll(others, t)
		s.touch(d, t)
	}
}

// addOverlay says where the view's switch finds what is not local.
func (s *State) addOverlay(v *View) {
	if own := s.hosts[v.DPID]; !own.Tunnel.IsValid() {
		v.Tunnel = 0
	}
	// peer is the slot of another host, 0 if it cannot be reached.
	peer := func(d DPID) uint32 {
		if h := s.hosts[d]; v.Tunnel != 0 && d != v.DPID && h.Tunnel.IsValid() {
			return h.Slot
		}
		return 0
	}
	near := map[DPID]Peer{} // those with a network in common
	blocks := map[uint32]HostSegment{}
	for i := range v.Networks {
		n := &v.Networks[i]
		networks := map[string]bool{} // one, but while a VNI passes from one to another
		for _, p := range n.Ports {
			networks[s.ports[p.ID].NetworkID] = true
			if g, ok := s.segmentOf(p.MAC); ok {
				blocks[g.Num] = g
			}
		}
		for id := range networks {
			for d := range s.present[id] {
				if slot := peer(d); slot != 0 {
					n.Peers = append(n.Peers, slot)
					near[d] = Peer{Slot: slot, Tunnel: s.hosts[d].Tunnel}
				}
			}
			for port := range s.strays[id] {
				p := s.ports[port]
				d, _ := p.Binding.DPID()
				stray := Stray{Num: p.Num, VNI: n.VNI, MAC: p.MAC, Host: peer(d)}
				if stray.Host == 0 {
					continue
				}
				if g, ok := s.segmentOf(p.MAC); ok {
					blocks[g.Num] = g
					stray.Prefix, stray.Home = g.Num, g.Host == v.DPID
				}
				v.Strays = append(v.Strays, stray)
			}
		}
		slices.Sort(n.Peers)
		n.Peers = slices.Compact(n.Peers)
	}
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
