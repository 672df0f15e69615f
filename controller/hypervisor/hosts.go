package hypervisor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// Facts records what hosts tell.
type Facts interface {
	// SaveBridge records a bridge; false: it is not the integration bridge and
	// has not connected by OpenFlow yet.
	SaveBridge(ctx context.Context, b intent.Bridge) (known bool, err error)
	// ReportInterfaces records all interfaces of a bridge that carry an
	// iface-id, and returns those that are not bound.
	ReportInterfaces(ctx context.Context, d intent.DPID, list []intent.Attachment) ([]intent.Attachment, error)
	// AttachedBridges are the bridges of a host that interfaces are recorded of.
	AttachedBridges(ctx context.Context, systemID string) ([]intent.DPID, error)
}

// Gate knows who may connect and who is connected.
type Gate interface {
	// AdmitHost says why a host may not be set up; nil: it may.
	AdmitHost(c intent.Candidate) error
	// Connected says whether a datapath has an OpenFlow session.
	Connected(d intent.DPID) bool
}

// Config says how hosts are set up. The zero value of every duration means its
// default.
type Config struct {
	Bridge       string   // name of the integration bridge; empty: none is set up
	DatapathType string   // of bridges that are made: DatapathAuto, DatapathSystem or DatapathNetdev
	Advertise    string   // host name or address that bridges reach us at; empty: where the host has reached us
	OpenFlow     net.Addr // where OpenFlow is served
	TLS          bool     // whether it is served by TLS

	Apply  time.Duration    // how long ovs-vswitchd may take for a step before that is an error (30 s)
	Retry  time.Duration    // pause before what failed is tried again (1 s)
	Record time.Duration    // for writing facts to the database (3 s)
	Hold   time.Duration    // how long a host that was turned away is kept on the line (1 min)
	Now    func() time.Time // time.Now
}

func (cfg Config) withDefaults() *Config {
	for _, d := range []struct {
		field  *time.Duration
		preset time.Duration
	}{{&cfg.Apply, 30 * time.Second}, {&cfg.Retry, time.Second}, {&cfg.Record, 3 * time.Second}, {&cfg.Hold, time.Minute}} {
		if *d.field <= 0 {
			*d.field = d.preset
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &cfg
}

// Hosts are the hypervisors that are connected by OVSDB.
type Hosts struct {
	cfg     *Config
	facts   Facts
	gate    Gate
	log     *zap.Logger
	metrics *Metrics

	mu       sync.Mutex
	live     map[*host]struct{}
	bySystem map[string]*host
	byBridge map[intent.DPID]bridgeOf // all bridges of hosts that were admitted
	queues   map[intent.DPID]intent.Queues
}

// bridgeOf says whose a bridge is.
type bridgeOf struct {
	host        *host
	integration bool
}

// New returns an empty set of hosts; Serve adds them.
func New(facts Facts, gate Gate, log *zap.Logger, m *Metrics, cfg Config) *Hosts {
	return &Hosts{
		cfg: cfg.withDefaults(), facts: facts, gate: gate, log: log, metrics: m,
		live: map[*host]struct{}{}, bySystem: map[string]*host{}, byBridge: map[intent.DPID]bridgeOf{}, queues: map[intent.DPID]intent.Queues{},
	}
}

// Serve looks after one host for as long as its connection lasts.
func (hs *Hosts) Serve(ctx context.Context, c *ovsdb.Conn) {
	h := newHost(hs, c)
	hs.mu.Lock()
	hs.live[h] = struct{}{}
	hs.mu.Unlock()
	hs.metrics.connected.Inc()
	defer func() {
		hs.metrics.connected.Dec()
		hs.mu.Lock()
		delete(hs.live, h)
		mine := h.systemID == "" || hs.bySystem[h.systemID] == h
		if hs.bySystem[h.systemID] == h {
			delete(hs.bySystem, h.systemID)
		}
		hs.disown(h)
		hs.mu.Unlock()
		hs.tunnelTo(h, netip.Addr{})
		h.leave(mine)
		close(h.ended)
	}()
	h.serve(ctx)
}

// Vouches says whether a datapath is the integration bridge of a connected
// host that was admitted: then the bridge is, too.
func (hs *Hosts) Vouches(d intent.DPID) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byBridge[d].integration
}

// WakeBridge says that a bridge has connected by OpenFlow.
func (hs *Hosts) WakeBridge(d intent.DPID) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.byBridge[d].host; h != nil {
		h.signal()
	}
}

// Wake says that decisions on who is admitted have changed.
func (hs *Hosts) Wake() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for h := range hs.live {
		h.signal()
	}
}

// claim makes h the connection of its host, with its bridges. One of before is
// closed: it is the host that decided to come again.
func (hs *Hosts) claim(ctx context.Context, h *host, systemID string, bridges map[intent.DPID]bool) {
	hs.mu.Lock()
	hs.disown(h)
	for d, integration := range bridges {
		hs.byBridge[d] = bridgeOf{h, integration}
		h.bridges = append(h.bridges, d)
	}
	if systemID == "" || h.systemID == systemID {
		hs.mu.Unlock()
		return
	}
	if hs.bySystem[h.systemID] == h { // it has been given another name
		delete(hs.bySystem, h.systemID)
	}
	old := hs.bySystem[systemID]
	hs.bySystem[systemID], h.systemID = h, systemID
	hs.mu.Unlock()
	if old == nil {
		return
	}
	old.conn.Close(fmt.Errorf("hypervisor: system %s connected again, from %s", systemID, h.conn.RemoteAddr()))
	select { // it may be about to write what it knows
	case <-old.ended:
	case <-ctx.Done():
	}
}

// tunnelTo notes the address of a host's tunnel end point, and returns the id of another connected host that has it, too.
func (hs *Hosts) tunnelTo(h *host, at netip.Addr) (other string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	was := h.tunnel
	h.tunnel = at
	for o := range hs.live {
		switch {
		case o == h || !o.tunnel.IsValid():
		case o.tunnel == at:
			other = o.systemID
			if was != at {
				o.signal()
			}
		case o.tunnel == was:
			o.signal() // it has it for itself now
		}
	}
	return other
}

// disown forgets the bridges of a host.
func (hs *Hosts) disown(h *host) {
	for _, d := range h.bridges {
		if hs.byBridge[d].host == h {
			delete(hs.byBridge, d)
		}
	}
	h.bridges = nil
}
