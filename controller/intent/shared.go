package intent

import (
	"cmp"
	"maps"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// SharedBlock is MAC addresses that ports of a network may speak as by their
// address pairs, and that are no port's own. What is for them goes to each of
// these ports: which of them has an address now, a standby router say, or which
// has the nested machine behind it, is for them to know.
type SharedBlock struct {
	Block mac.Segment
	// Slot is the number by which tables after the first know the address: of a
	// block of many that of the block, of a single one that of whatever it lies in.
	Slot  uint32
	Peers []uint32 // slots of the other hosts that have such ports
}

func (b SharedBlock) equal(o SharedBlock) bool {
	return b.Block == o.Block && b.Slot == o.Slot && slices.Equal(b.Peers, o.Peers)
}

// Speaks reports whether address pairs of the port have the whole block.
func (p *LocalPort) Speaks(block mac.Segment) bool {
	return slices.ContainsFunc(p.Pairs, func(pair LocalPair) bool { return block.Within(pair.Block) })
}

// pairBlocks are the MAC addresses of a port's pairs besides its own.
func pairBlocks(p *Port) []mac.Segment {
	var blocks []mac.Segment
	for _, pair := range p.Extras.Pairs {
		if block := pair.Block(p.MAC); block.IsValid() && block != p.MAC.Segment() && !slices.Contains(blocks, block) {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// pair notes what a bound port is and may speak as. The other hosts of the network
// have to hear of it if it has or is what ports speak as by their pairs.
func (s *State) pair(p *Port) (heard bool) {
	if p.AdminUp {
		s.stationed[p.MAC] = p.ID
		for _, block := range pairBlocks(p) {
			of := s.paired[p.NetworkID]
			if of == nil {
				of = map[mac.Segment]map[string]struct{}{}
				s.paired[p.NetworkID] = of
			}
			insert(of, block, p.ID)
		}
	}
	return s.concernsPairs(p)
}

// unpair undoes pair.
func (s *State) unpair(p *Port) (heard bool) {
	heard = s.concernsPairs(p)
	// The address may have passed to another port, of which we heard first.
	if s.stationed[p.MAC] == p.ID {
		delete(s.stationed, p.MAC)
	}
	if of := s.paired[p.NetworkID]; of != nil {
		for _, block := range pairBlocks(p) {
			remove(of, block, p.ID)
		}
		if len(of) == 0 {
			delete(s.paired, p.NetworkID)
		}
	}
	return heard
}

func (s *State) concernsPairs(p *Port) bool {
	for block, ports := range s.paired[p.NetworkID] {
		if _, has := ports[p.ID]; has || block.Contains(p.MAC) {
			return true
		}
	}
	return false
}

// owned reports whether an address is that of a port of the network.
func (s *State) owned(network string, a mac.Addr) bool {
	p, ok := s.ports[s.stationed[a]]
	return ok && p.NetworkID == network
}

// blocksOf are the blocks of more than one address that ports of a network may
// speak as, by slot. Such a block in a host's segment is not among them: what is
// for the segment is for the ports of that host.
//
// A slot is derived from the block, so that it is the same after any history of
// changes.
func (s *State) blocksOf(network string) map[uint32]mac.Segment {
	var blocks []mac.Segment
	for block := range s.paired[network] {
		if g, ok := s.segmentOf(block.Base()); block.Bits() < mac.MaxPrefixLen && (!ok || !block.Within(g.Block)) {
			blocks = append(blocks, block)
		}
	}
	slices.SortFunc(blocks, compareBlocks)
	bySlot := make(map[uint32]mac.Segment, len(blocks))
	for _, block := range blocks {
		slot := freeSlot(hashOf(block.String()), func(slot uint32) bool { return bySlot[slot].IsValid() })
		bySlot[slot] = block
	}
	return bySlot
}

func compareBlocks(a, b mac.Segment) int {
	return cmp.Or(cmp.Compare(a.Base(), b.Base()), cmp.Compare(a.Bits(), b.Bits()))
}

// slotOf is the number of what an address lies in: the segment of a host, else the
// narrowest block that ports of the network share; 0: none.
func (s *State) slotOf(network string, a mac.Addr) (found uint32) {
	if g, ok := s.segmentOf(a); ok {
		return g.Num
	}
	if len(s.paired[network]) == 0 {
		return 0
	}
	bits := 0
	for slot, block := range s.blocksOf(network) {
		if block.Contains(a) && block.Bits() > bits {
			found, bits = slot, block.Bits()
		}
	}
	return found
}

// othersIn are the addresses of other ports of the network in the blocks that a
// port may speak as. They remain theirs.
func (s *State) othersIn(p *Port) []mac.Addr {
	wide := slices.DeleteFunc(pairBlocks(p), func(b mac.Segment) bool { return b.Bits() == mac.MaxPrefixLen })
	if len(wide) == 0 {
		return nil
	}
	named := pairBlocks(p) // one by one: these the port may use
	var others []mac.Addr
	for id := range s.inNetwork[p.NetworkID] {
		o := s.ports[id]
		if _, bound := o.Binding.DPID(); !bound || o.ID == p.ID || slices.Contains(named, o.MAC.Segment()) {
			continue
		}
		if slices.ContainsFunc(wide, func(b mac.Segment) bool { return b.Contains(o.MAC) }) {
			others = append(others, o.MAC)
		}
	}
	slices.Sort(others)
	return others
}

// addShared says what ports of a network share by their pairs, and which other
// hosts have such ports.
func (s *State) addShared(n *LocalNetwork, network string, peer func(DPID) uint32, of func(mac.Addr) (HostSegment, bool)) {
	add := func(block mac.Segment, slot uint32) {
		shared := SharedBlock{Block: block, Slot: slot}
		for wider, ports := range s.paired[network] {
			if !block.Within(wider) {
				continue
			}
			for id := range ports {
				d, _ := s.ports[id].Binding.DPID()
				if host := peer(d); host != 0 {
					shared.Peers = append(shared.Peers, host)
				}
			}
		}
		slices.Sort(shared.Peers)
		shared.Peers = slices.Compact(shared.Peers)
		n.Shared = append(n.Shared, shared)
	}
	for slot, block := range s.blocksOf(network) {
		add(block, slot)
	}
	for block := range maps.Keys(s.paired[network]) {
		if a := block.Base(); block.Bits() == mac.MaxPrefixLen && !s.owned(network, a) {
			of(a)
			add(block, s.slotOf(network, a))
		}
	}
	slices.SortFunc(n.Shared, func(a, b SharedBlock) int { return compareBlocks(a.Block, b.Block) })
}
