package intent

import (
	"cmp"
	"maps"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// MaxVLAN is the highest VLAN id that a tag can have: IEEE 802.1Q §9.6 keeps 4095.
const MaxVLAN = 4094

// FarPort is a port of a network at another switch of the fabric.
type FarPort struct {
	Num    uint32
	VNI    uint32
	MAC    mac.Addr
	Prefix uint32 // slot of the host's segment, or of the shared block, that the MAC is of; 0: of none
	Tag    uint16 // of its network on links
	// At is where it is: the number of its switch, and that of the port there, beside the
	// tag; 0: there are too many to have one, and frames for it take the flood tree.
	At mac.Locator
}

// InFabric is the number of a switch that ports reach others of by links; 0: there are
// none, or they are reached by tunnels.
func (s *State) InFabric(d DPID) uint16 {
	if h := s.hosts[d]; !h.Tunnel.IsValid() {
		return h.Fabric
	}
	return 0
}

// Spanning returns the networks with ports at several switches of the fabric, in
// order: these need tags.
func (s *State) Spanning() (ids []string) {
	for id, on := range s.present {
		n := 0
		for d := range on {
			if s.InFabric(d) != 0 {
				n++
			}
		}
		if _, known := s.networks[id]; known && n > 1 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// VLANs counts the networks that have a tag, and those that lack one.
func (s *State) VLANs() (given, lacking int) {
	for _, n := range s.networks {
		switch {
		case n.VLAN != 0:
			given++
		case n.NoVLAN:
			lacking++
		}
	}
	return given, lacking
}

// numbersOf numbers the ports of a network at one switch, from 1 on. Beside the tag
// this is what other switches know them by, so it follows from these ports alone: of two
// that would have the same number, the younger one takes the next that is free.
func numbersOf(ports []*Port) map[string]uint16 {
	slices.SortFunc(ports, func(a, b *Port) int { return cmp.Compare(a.Num, b.Num) })
	numbers, taken := make(map[string]uint16, len(ports)), make(map[uint32]bool, len(ports))
	for _, p := range ports[:min(len(ports), mac.MaxNumber)] {
		n := p.Num % mac.MaxNumber
		for taken[n] {
			n = (n + 1) % mac.MaxNumber
		}
		taken[n], numbers[p.ID] = true, uint16(n+1)
	}
	return numbers
}

// addTags says by which tags the networks of the view's switch go over the links of
// the fabric, and where the ports are that are reached by these. of notes the segment that an
// address is of.
func (s *State) addTags(v *View, of func(mac.Addr) (HostSegment, bool)) {
	if s.InFabric(v.DPID) == 0 {
		return
	}
	taken := map[uint16]bool{} // no two networks have the same, but while it passes from one to another
	tagged := map[string]uint16{}
	for i := range v.Networks {
		n := &v.Networks[i]
		ids := map[string]bool{}
		for _, p := range n.Ports {
			ids[s.ports[p.ID].NetworkID] = true
		}
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			if tag := s.networks[id].VLAN; tag != 0 && !taken[tag] && n.Tag == 0 {
				taken[tag], tagged[id], n.Tag = true, tag, tag
				s.addFar(v, n, id, of)
			}
		}
	}
	for i := range v.Ports {
		p := &v.Ports[i]
		if p.Tag = tagged[s.ports[p.ID].NetworkID]; p.Tag == 0 {
			p.Number = 0
		}
	}
	slices.SortFunc(v.Far, func(a, b FarPort) int { return cmp.Compare(a.Num, b.Num) })
}

// addFar adds the ports of a network at other switches of the fabric, and numbers
// those of this one.
func (s *State) addFar(v *View, n *LocalNetwork, network string, of func(mac.Addr) (HostSegment, bool)) {
	at := map[DPID][]*Port{}
	for id := range s.inNetwork[network] {
		p := s.ports[id]
		if d, bound := p.Binding.DPID(); bound && s.InFabric(d) != 0 {
			at[d] = append(at[d], p)
		}
	}
	for d, ports := range at {
		numbers := numbersOf(ports)
		if d == v.DPID {
			for i := range v.Ports {
				if number := numbers[v.Ports[i].ID]; number != 0 {
					v.Ports[i].Number = number
				}
			}
			continue
		}
		for _, p := range ports {
			of(p.MAC)
			v.Far = append(v.Far, FarPort{
				Num: p.Num, VNI: n.VNI, MAC: p.MAC, Prefix: s.slotOf(network, p.MAC), Tag: n.Tag,
				At: mac.Locator{Slot: s.InFabric(d), Number: numbers[p.ID]},
			})
		}
	}
}
