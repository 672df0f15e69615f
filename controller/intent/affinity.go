package intent

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Affinity is what of a client is remembered with the backend that it was given.
type Affinity string

// The affinities.
const (
	AffinityMAC   Affinity = "source_mac"
	AffinityIP    Affinity = "source_ip"
	AffinityMACIP Affinity = "source_mac_ip"
	AffinityNone  Affinity = "none" // each connection is on its own
)

// AffinityPool is a virtual address and port whose clients are spread over
// backends, and stay with the one that they were given.
type AffinityPool struct {
	Meta
	Num       uint32 // small unique number: cookie object of its flows; never reused
	NetworkID string
	SubnetID  string
	VIPPortID string     // port that has the virtual address
	VIPMade   bool       // the port was made for pools, and goes with the last of them
	VIP       netip.Addr // that address
	Protocol  Transport
	Port      uint16
	Affinity  Affinity
	Timeout   int // seconds without a packet after which a client is forgotten
	AdminUp   bool
	Monitor   Monitor
	Slots     []uint32 // whose they are by weight, in numbers of backends; 0: nobody's
	Backends  []AffinityBackend

	Status       AffinityStatus
	StatusReason string // why not ACTIVE
}

// Transport is the protocol of a pool.
type Transport string

// The protocols.
const (
	TransportTCP Transport = "tcp"
	TransportUDP Transport = "udp"
)

// Number is that of the protocol in the IP header.
func (t Transport) Number() uint8 {
	if t == TransportUDP {
		return 17
	}
	return 6
}

// AffinityStatus is the realized state of a pool.
type AffinityStatus string

// The states.
const (
	PoolActive AffinityStatus = "ACTIVE" // all switches with ports of its network have its flows
	PoolBuild  AffinityStatus = "BUILD"  // not yet all
	PoolDown   AffinityStatus = "DOWN"   // switched off, or without a backend that could serve
	PoolError  AffinityStatus = "ERROR"  // a switch has refused flows of it
)

// BackendState is what an operator wants of a backend.
type BackendState string

// The states.
const (
	BackendUp    BackendState = "up"
	BackendDrain BackendState = "drain" // it keeps the clients that it has
	BackendDown  BackendState = "down"  // its clients are given to others with their next packet
)

// Health is what a checker has said of a backend last.
type Health string

// What it may say.
const (
	HealthUnknown Health = "unknown" // nothing: the backend is taken for well
	HealthUp      Health = "up"
	HealthDown    Health = "down"
)

// AffinityBackend serves the clients of a pool. Its tenant is that of the pool.
type AffinityBackend struct {
	Meta
	Num       uint32 // small unique number, never reused
	PoolID    string
	PortID    string     // the port, or
	Address   netip.Addr // an address that a port of the network has
	Port      uint16     // where it listens
	Weight    int
	State     BackendState
	Health    Health
	Diagnosis string // what the checker said besides

	// What probes have found, and when; ProbeReason says why it is down. Without a
	// monitor it is HealthUnknown.
	Probed      Health
	ProbedAt    time.Time
	ProbeReason string
	Monitored   bool // its pool has a monitor

	Status AffinityStatus // PoolActive: it gets new clients; else PoolDown
}

// Down reports whether it serves nobody: because it is to, or as either its checker or
// the probes have found it down.
func (b *AffinityBackend) Down() bool {
	return b.State == BackendDown || b.Health == HealthDown || b.Probed == HealthDown
}

// Operating is what the probes say of it.
func (b *AffinityBackend) Operating() OperatingStatus {
	switch {
	case !b.Monitored:
		return BackendNoMonitor
	case b.Probed == HealthUp:
		return BackendOnline
	case b.Probed == HealthDown:
		return BackendOffline
	}
	return BackendUnprobed
}

// Weights are the shares that backends are to have of the slots.
func (p *AffinityPool) Weights() map[uint32]int {
	weights := map[uint32]int{}
	for i := range p.Backends {
		if b := &p.Backends[i]; b.State == BackendUp {
			weights[b.Num] = b.Weight
		}
	}
	return weights
}

// PutAffinityPool adds or replaces a pool with its backends.
func (s *State) PutAffinityPool(p AffinityPool, t Touched) {
	s.DeleteAffinityPool(p.ID, t)
	s.pools[p.ID] = p
	insert(s.poolsIn, p.NetworkID, p.ID)
	s.touchAll(s.present[p.NetworkID], t)
}

// DeleteAffinityPool removes a pool.
func (s *State) DeleteAffinityPool(id string, t Touched) {
	old, known := s.pools[id]
	if !known {
		return
	}
	delete(s.pools, id)
	remove(s.poolsIn, old.NetworkID, id)
	s.touchAll(s.present[old.NetworkID], t)
}

// AffinityPools returns the pools of a network, by number.
func (s *State) AffinityPools(network string) []AffinityPool {
	var list []AffinityPool
	for id := range s.poolsIn[network] {
		list = append(list, s.pools[id])
	}
	slices.SortFunc(list, func(a, b AffinityPool) int { return cmp.Compare(a.Num, b.Num) })
	return list
}

// touchPools marks the switches that balance to a port, or for its address.
func (s *State) touchPools(p *Port, t Touched) {
	for id := range s.poolsIn[p.NetworkID] {
		pool := s.pools[id]
		if pool.VIPPortID == p.ID || slices.ContainsFunc(pool.Backends, func(b AffinityBackend) bool { return b.PortID == p.ID || p.has(b.Address) }) {
			s.touchAll(s.present[p.NetworkID], t)
			return
		}
	}
}

// has reports whether a port has the very address, for its own or in a pair.
func (p *Port) has(a netip.Addr) bool {
	_, ok := p.stationOf(a)
	return ok
}

// Serving finds the port that a backend of a pool is, if it is bound and up, and the
// address there.
func (s *State) Serving(pool *AffinityPool, b *AffinityBackend) (p Port, a netip.Addr, ok bool) {
	network, a := pool.NetworkID, b.Address
	vip, _ := s.Port(pool.VIPPortID)
	virtual := vip.Virtual()
	switch {
	case b.PortID != "":
		p, _ = s.Port(b.PortID)
		a = p.Serves(virtual)
	case s.owners[place{network, a}] != "":
		p, _ = s.Port(s.owners[place{network, a}])
	case len(s.pairs[place{network, a}]) == 1:
		for id := range s.pairs[place{network, a}] {
			p, _ = s.Port(id)
		}
	}
	_, bound := p.Binding.DPID()
	return p, a, p.NetworkID == network && a.IsValid() && a.Is4() == virtual.Is4() && bound && p.AdminUp && !p.Trunk.Down
}

// Virtual is the address of a port that pools balance: its first IPv4 address or, if it
// has none, its first IPv6 address; invalid: it has neither.
func (p *Port) Virtual() netip.Addr {
	if a := p.first(true); a.IsValid() {
		return a
	}
	return p.first(false)
}

// first is the first address of a family; invalid: the port has none.
func (p *Port) first(four bool) netip.Addr {
	for _, ip := range p.FixedIPs {
		if ip.Addr.Is4() == four {
			return ip.Addr
		}
	}
	return netip.Addr{}
}

// Serves is the address by which a port serves the clients of a virtual address: its first
// of the same family; invalid: it has none.
func (p *Port) Serves(virtual netip.Addr) netip.Addr { return p.first(virtual.Is4()) }
