package intent

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// Conntrack zones of what balanced connections lead to. They lie at the end, so
// that the ones after those of ports are left for routers.
const (
	firstTargetZone = 57344
	targetZones     = 8191 // the last zone of all is kept

	// LastTargetZone is the highest of them.
	LastTargetZone = firstTargetZone + targetZones - 1
)

// Service is a pool as the switches of its clients have it.
type Service struct {
	Num      uint32
	Revision int64 // of the pool
	VNI      uint32
	VIP      netip.Addr
	MAC      mac.Addr // that the virtual address is said to be at
	Protocol uint8
	Port     uint16
	Affinity Affinity
	Timeout  uint16
	Answers  bool     // it says where the address is: one of those that share it does
	Slots    []uint32 // whose they are among those that live; 0: nobody's
	Targets  []Target // backends that live, by number; those without slots keep what clients they have
}

// Target is a backend that lives.
type Target struct {
	Num   uint32
	Addr  netip.Addr
	Port  uint16
	MAC   mac.Addr
	Zone  uint16 // conntrack zone of connections to this address and port, unique on the switch
	Leads bool   // of several that are the same address and port, the one whose flows translate back
}

// Live are the backends that get new clients, by number.
func (s *Service) Live() []uint32 {
	live := slices.Compact(slices.Sorted(slices.Values(s.Slots)))
	if len(live) > 0 && live[0] == 0 {
		live = live[1:]
	}
	return live
}

// Compare orders services by number.
func (s *Service) Compare(o *Service) int { return cmp.Compare(s.Num, o.Num) }

// Equal reports whether two services give the same flows.
func (s *Service) Equal(o *Service) bool {
	return s.Num == o.Num && s.VNI == o.VNI && s.VIP == o.VIP && s.MAC == o.MAC && s.Protocol == o.Protocol && s.Port == o.Port && s.Affinity == o.Affinity &&
		s.Timeout == o.Timeout && s.Answers == o.Answers && slices.Equal(s.Slots, o.Slots) && slices.Equal(s.Targets, o.Targets)
}

// socket is what connections to a target are told from others by.
type socket struct {
	vni      uint32
	protocol uint8
	addr     netip.Addr
	port     uint16
}

func (a socket) compare(b socket) int {
	return cmp.Or(cmp.Compare(a.vni, b.vni), cmp.Compare(a.protocol, b.protocol), a.addr.Compare(b.addr), cmp.Compare(a.port, b.port))
}

// hash is where the search for a zone begins.
func (a socket) hash() uint32 {
	key, _ := a.addr.MarshalBinary()
	return hashOf(setKey([]uint32{a.vni, uint32(a.protocol), uint32(a.port)}) + string(key))
}

// addServices says what is balanced for the ports of the view's switch.
func (s *State) addServices(v *View) {
	if len(s.poolsIn) == 0 {
		return
	}
	networks := map[string]uint32{}
	for _, n := range v.Networks {
		for _, p := range n.Ports {
			networks[s.ports[p.ID].NetworkID] = n.VNI
		}
	}
	for network, vni := range networks {
		answered := map[netip.Addr]bool{}
		for _, pool := range s.AffinityPools(network) {
			if service, ok := s.service(&pool, vni); ok {
				service.Answers = !answered[service.VIP]
				answered[service.VIP] = true
				v.Services = append(v.Services, service)
			}
		}
	}
	slices.SortFunc(v.Services, func(a, b Service) int { return a.Compare(&b) })
	giveZones(v.Services)
}

func (s *State) service(pool *AffinityPool, vni uint32) (v Service, ok bool) {
	vip, known := s.Port(pool.VIPPortID)
	v = Service{
		Num: pool.Num, Revision: pool.Revision, VNI: vni, VIP: vip.Virtual(), MAC: vip.MAC, Protocol: pool.Protocol.Number(), Port: pool.Port, Affinity: pool.Affinity, Timeout: uint16(pool.Timeout),
	}
	weights := map[uint32]int{}
	all := pool.Weights()
	for i := range pool.Backends {
		b := &pool.Backends[i]
		p, a, serves := s.Serving(pool, b)
		if !serves || b.Down() {
			continue
		}
		station, _ := p.stationOf(a)
		weights[b.Num] = all[b.Num]
		v.Targets = append(v.Targets, Target{Num: b.Num, Addr: a, Port: b.Port, MAC: station})
	}
	slices.SortFunc(v.Targets, func(a, b Target) int { return cmp.Compare(a.Num, b.Num) })
	// What is down for a while leaves its slots to the others, and has them again after it.
	v.Slots = SpreadSlots(pool.Slots, weights)
	return v, known && pool.AdminUp && v.VIP.IsValid()
}

// stationOf is the MAC that a port has an address with: its own, or that of a pair.
func (p *Port) stationOf(a netip.Addr) (station mac.Addr, ok bool) {
	if !a.IsValid() {
		return 0, false
	}
	for _, ip := range p.FixedIPs {
		if ip.Addr == a {
			return p.MAC, true
		}
	}
	for _, pair := range p.Extras.Pairs {
		if prefix, block := pair.Prefix(), pair.Block(p.MAC); prefix.IsSingleIP() && prefix.Addr() == a && block.Bits() == mac.MaxPrefixLen {
			return block.Base(), true
		}
	}
	return 0, false
}

// giveZones gives every address and port that is led to a zone. It follows from
// these; where two would have the same one, the latter takes the next that is free.
// Who gets none, because there are no more, is left out.
func giveZones(services []Service) {
	led := map[socket]*Target{}
	var sockets []socket
	for i := range services {
		v := &services[i]
		for j := range v.Targets {
			at := socket{v.VNI, v.Protocol, v.Targets[j].Addr, v.Targets[j].Port}
			if led[at] == nil {
				led[at] = &v.Targets[j]
				v.Targets[j].Leads = true
				sockets = append(sockets, at)
			}
		}
	}
	slices.SortFunc(sockets, socket.compare)
	taken := make(map[uint16]bool, len(sockets))
	for _, at := range sockets[:min(len(sockets), targetZones)] {
		n := at.hash() % targetZones
		for taken[uint16(firstTargetZone+n)] {
			n = (n + 1) % targetZones
		}
		led[at].Zone = uint16(firstTargetZone + n)
		taken[led[at].Zone] = true
	}
	for i := range services {
		v := &services[i]
		for j := range v.Targets {
			v.Targets[j].Zone = led[socket{v.VNI, v.Protocol, v.Targets[j].Addr, v.Targets[j].Port}].Zone
		}
		v.Targets = slices.DeleteFunc(v.Targets, func(t Target) bool { return t.Zone == 0 })
	}
}
