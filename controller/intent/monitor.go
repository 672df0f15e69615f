package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// MonitorKind is how backends are probed.
type MonitorKind string

// The kinds of monitors.
const (
	MonitorTCP  MonitorKind = "tcp"  // a connection is accepted
	MonitorHTTP MonitorKind = "http" // a request is answered as it should be
	MonitorPing MonitorKind = "ping" // an echo comes back
)

// Monitor says how the backends of a pool are probed; the zero value: they are not.
type Monitor struct {
	Kind    MonitorKind
	Delay   int    // seconds from the start of a probe to that of the next
	Timeout int    // seconds that a backend has for its answer, at most Delay
	Rise    int    // answers in a row after which a backend that is down counts as up
	Fall    int    // failures in a row after which it counts as down
	Port    uint16 // that is probed; 0: where the backend listens
	Method  string // of HTTP
	Path    string
	Codes   string // of the answers that are good, for ParseStatusCodes
}

// StatusCodes are ranges of HTTP status codes, both ends within.
type StatusCodes [][2]int

// maxCodeRanges bounds how many ranges a monitor names.
const maxCodeRanges = 32

// ParseStatusCodes reads codes and ranges of them, such as 200,202,300-399.
func ParseStatusCodes(s string) (StatusCodes, error) {
	parts := strings.Split(s, ",")
	if len(parts) > maxCodeRanges {
		return nil, fmt.Errorf("intent: more than %d status codes and ranges", maxCodeRanges)
	}
	codes := make(StatusCodes, len(parts))
	for i, part := range parts {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		for j, end := range []string{first, last} {
			code, err := strconv.ParseUint(end, 10, 16)
			if err != nil || code < 100 || code > 599 || len(end) != 3 {
				return nil, fmt.Errorf("intent: %q is no status code from 100 to 599, nor a range of them such as 200-299", part)
			}
			codes[i][j] = int(code)
		}
		if codes[i][1] < codes[i][0] {
			return nil, fmt.Errorf("intent: the range %q does not run upwards", part)
		}
	}
	return codes, nil
}

// Contain reports whether a code is among them.
func (c StatusCodes) Contain(code int) bool {
	return slices.ContainsFunc(c, func(r [2]int) bool { return code >= r[0] && code <= r[1] })
}

// OperatingStatus is what the probes say of a backend.
type OperatingStatus string

// The states.
const (
	BackendOnline    OperatingStatus = "ONLINE"
	BackendOffline   OperatingStatus = "OFFLINE"
	BackendUnprobed  OperatingStatus = "UNKNOWN" // nothing yet: it is taken for well
	BackendNoMonitor OperatingStatus = "NO_MONITOR"
)

// HealthVerdict is what probes have found of a backend, other than before.
type HealthVerdict struct {
	BackendID string
	Health    Health
	Reason    string // why it is down
	At        time.Time
}

// Ports of the virtual address that probes come from. What backends send to these is
// for the controller alone.
const (
	FirstProbePort uint16 = 0xf000
	ProbePorts     uint16 = 256 // a power of two that divides FirstProbePort
)

// Probe is a backend at a port of this switch that is to be probed there.
type Probe struct {
	Backend uint32
	ID      string // of the backend
	Monitor Monitor
	Last    Health // what is known of it

	OFPort uint32
	VLAN   uint16 // of a sub-port of a trunk, at OFPort
	Zone   uint16 // that stands for the port
	Open   bool   // the port has no port security

	VIP     netip.Addr
	VIPMAC  mac.Addr
	MAC     mac.Addr
	Addr    netip.Addr
	Port    uint16 // that is probed; 0 with ping
	Shared  bool   // somebody else speaks as the virtual address, and may have asked what is answered
	Catches bool   // of several that are answered alike, the one whose flow catches the answers
}

// Compare orders probes by backend.
func (p *Probe) Compare(q *Probe) int { return cmp.Compare(p.Backend, q.Backend) }

// answered is what tells the answers to probes from others on a switch.
type answered struct {
	zone uint16
	vip  netip.Addr
	addr netip.Addr
	ping bool
	port uint16
}

// addProbes says which backends are to be probed at the ports of the view's switch.
func (s *State) addProbes(v *View) {
	if len(s.poolsIn) == 0 {
		return
	}
	here, networks := map[string]*LocalPort{}, map[string]bool{}
	for i := range v.Ports {
		p := &v.Ports[i]
		if p.Up {
			here[p.ID] = p
			networks[s.ports[p.ID].NetworkID] = true
		}
	}
	for network := range networks {
		for id := range s.poolsIn[network] {
			pool := s.pools[id]
			for i := range pool.Backends {
				if p, ok := s.probe(&pool, &pool.Backends[i], here); ok {
					v.Probes = append(v.Probes, p)
				}
			}
		}
	}
	slices.SortFunc(v.Probes, func(a, b Probe) int { return a.Compare(&b) })
	caught := map[answered]bool{}
	for i := range v.Probes {
		p := &v.Probes[i]
		key := answered{p.Zone, p.VIP, p.Addr, p.Monitor.Kind == MonitorPing, p.Port}
		p.Catches = !caught[key]
		caught[key] = true
	}
}

// probe is that of a backend, if it is at one of the ports.
func (s *State) probe(pool *AffinityPool, b *AffinityBackend, here map[string]*LocalPort) (Probe, bool) {
	vip, known := s.Port(pool.VIPPortID)
	if pool.Monitor.Kind == "" || !pool.AdminUp || !known || b.State == BackendDown {
		return Probe{}, false
	}
	port, a, serves := s.Serving(pool, b)
	at := here[port.ID]
	if !serves || at == nil || vip.ID == port.ID {
		return Probe{}, false
	}
	station, _ := port.stationOf(a)
	_, shared := vip.Binding.DPID()
	p := Probe{
		Backend: b.Num, ID: b.ID, Monitor: pool.Monitor, Last: b.Probed, OFPort: at.OFPort, VLAN: at.VLAN, Zone: at.Zone, Open: at.Open,
		VIP: vip.Virtual(), VIPMAC: vip.MAC, MAC: station, Addr: a, Shared: shared,
	}
	if pool.Monitor.Kind != MonitorPing {
		p.Port = cmp.Or(pool.Monitor.Port, b.Port)
	}
	return p, p.VIP.IsValid()
}
