package intent

import (
	"net/netip"

	"github.com/macloom/macloom/controller/mac"
)

// Question is an address that a station asks its network for.
type Question struct {
	VNI uint32
	IP  netip.Addr
}

// Neighbour is the station that has an address of a network.
type Neighbour struct {
	Num uint32 // of its port
	MAC mac.Addr
}

// place is an address in a network.
type place struct {
	network string
	addr    netip.Addr
}

// neighbours is what State knows of who has which address.
type neighbours struct {
	byVNI  map[uint32]string
	owners map[place]string              // port whose own address it is
	pairs  map[place]map[string]struct{} // ports that may speak as it besides
	moved  []uint32                      // ports whose addresses may have changed
}

func newNeighbours() neighbours {
	return neighbours{byVNI: map[uint32]string{}, owners: map[place]string{}, pairs: map[place]map[string]struct{}{}}
}

// Neighbour returns who has the address, as far as that is certain: the port is bound and up, and no other port may speak as the
// address, as the members of a cluster do.
func (s *State) Neighbour(q Question) (n Neighbour, ok bool) {
	network, ok := s.networks[s.byVNI[q.VNI]]
	if !ok || !network.AdminUp {
		return n, false
	}
	return s.neighbourIn(network.ID, q.IP)
}

func (s *State) neighbourIn(network string, ip netip.Addr) (n Neighbour, ok bool) {
	at := place{network, ip}
	p, ok := s.ports[s.owners[at]]
	if !ok || !p.AdminUp {
		return n, false
	}
	if _, bound := p.Binding.DPID(); !bound {
		return n, false
	}
	for id := range s.pairs[at] {
		if id != p.ID {
			return n, false
		}
	}
	return Neighbour{Num: p.Num, MAC: p.MAC}, true
}

// TakeMoved returns the numbers of the ports whose addresses may have changed
// since it was last called.
func (s *State) TakeMoved() []uint32 {
	moved := s.moved
	s.moved = nil
	return moved
}

// readdressed says that who is where in a network has to be judged anew.
func (s *State) readdressed(network string) {
	for id := range s.inNetwork[network] {
		s.moved = append(s.moved, s.ports[id].Num)
	}
}

// ownPlaces are the addresses that are a port's own: its fixed ones, and the
// link-local one that goes with an IPv6 address.
func ownPlaces(p *Port, each func(place)) {
	six := false
	for _, ip := range p.FixedIPs {
		each(place{p.NetworkID, ip.Addr})
		six = six || ip.Addr.Is6()
	}
	if six {
		each(place{p.NetworkID, p.MAC.LinkLocal()})
	}
}

// pairPlaces are the single addresses that a port may speak as besides. What is
// in a wider prefix is not taken for shared: a router may speak as anybody.
func pairPlaces(p *Port, each func(place)) {
	for _, pair := range p.Extras.Pairs {
		if prefix := pair.Prefix(); prefix.IsSingleIP() {
			each(place{p.NetworkID, prefix.Addr()})
		}
	}
}

// addressed notes the addresses of a port. Nobody can have been told anything
// about a new one; of one that changes, unaddressed has told.
func (s *State) addressed(p *Port) {
	ownPlaces(p, func(at place) { s.owners[at] = p.ID })
	pairPlaces(p, func(at place) {
		insert(s.pairs, at, p.ID)
		s.shared(at)
	})
}

// unaddressed undoes addressed.
func (s *State) unaddressed(p *Port) {
	s.moved = append(s.moved, p.Num)
	ownPlaces(p, func(at place) {
		// The address may have passed to another port, of which we heard first.
		if s.owners[at] == p.ID {
			delete(s.owners, at)
		}
	})
	pairPlaces(p, func(at place) {
		remove(s.pairs, at, p.ID)
		s.shared(at)
	})
}

// shared says that others have begun or ceased to speak as an address.
func (s *State) shared(at place) {
	if owner, ok := s.ports[s.owners[at]]; ok {
		s.moved = append(s.moved, owner.Num)
	}
}
