package controller

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/session"
)

// How often it is written down that switches were turned away: whoever reaches
// the listeners can invent any number of them.
const (
	rejectionAgain  = time.Minute            // for the same switch
	rejectionPause  = 100 * time.Millisecond // between two
	rejectionQueue  = 64
	rejectionMemory = 4096 // switches
	rejectionWrite  = 3 * time.Second
)

// gate lets switches in or turns them away, and knows those that are in.
type gate struct {
	roster *roster
	// vouched says whether a datapath is the bridge of a host that is in.
	vouched func(intent.DPID) bool
	save    func(context.Context, intent.Candidate, string) error
	log     *zap.Logger
	now     func() time.Time

	turnedAway *prometheus.CounterVec
	queue      chan rejection

	mu       sync.Mutex
	sessions map[intent.DPID]map[*session.Conn]struct{}
	recent   map[intent.DPID]time.Time // when it was last written down
}

type rejection struct {
	candidate intent.Candidate
	reason    string
}

func newGate(r *roster, save func(context.Context, intent.Candidate, string) error, log *zap.Logger, reg prometheus.Registerer) *gate {
	g := &gate{
		roster: r, save: save, log: log, now: time.Now, queue: make(chan rejection, rejectionQueue),
		turnedAway: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_switches_turned_away_total", Help: "Connections of switches that are not admitted, by protocol.",
		}, []string{"protocol"}),
		sessions: map[intent.DPID]map[*session.Conn]struct{}{}, recent: map[intent.DPID]time.Time{},
	}
	for _, protocol := range []string{"openflow", "ovsdb"} {
		g.turnedAway.WithLabelValues(protocol)
	}
	return g
}

// admitSession is for package session.
func (g *gate) admitSession(c *session.Conn) error {
	who := intent.Candidate{DPID: intent.DPID(c.Features().DatapathID), Address: c.RemoteAddr().String()}
	err := g.roster.judge(who, g.vouched(who.DPID))
	if err == nil {
		return nil
	}
	g.turnedAway.WithLabelValues("openflow").Inc()
	g.note(who, err)
	return err
}

// AdmitHost implements hypervisor.Gate.
func (g *gate) AdmitHost(c intent.Candidate) error {
	err := g.roster.judge(c, false)
	if err != nil && g.note(c, err) {
		g.turnedAway.WithLabelValues("ovsdb").Inc()
		g.log.Warn("host turned away", zap.String("address", c.Address), zap.String("system_id", c.SystemID),
			zap.String("hostname", c.Hostname), zap.Error(err))
	}
	return err
}

// note has it written down that a switch was turned away, unless that was done
// just before.
func (g *gate) note(c intent.Candidate, why error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if last, known := g.recent[c.DPID]; known && now.Sub(last) < rejectionAgain {
		return false
	}
	if len(g.recent) >= rejectionMemory {
		clear(g.recent)
	}
	g.recent[c.DPID] = now
	if c.DPID == 0 {
		return true
	}
	select {
	case g.queue <- rejection{c, why.Error()}:
	default: // there are too many; it will come again
		delete(g.recent, c.DPID)
		return false
	}
	return true
}

// record writes down who was turned away, at a bounded rate.
func (g *gate) record(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-g.queue:
			write, cancel := context.WithTimeout(ctx, rejectionWrite)
			if err := g.save(write, r.candidate, r.reason); err != nil && ctx.Err() == nil {
				g.log.Warn("switch that was turned away not recorded", zap.Stringer("dpid", r.candidate.DPID), zap.Error(err))
			}
			cancel()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rejectionPause):
		}
	}
}

// enter and leave frame a session. The decision may have changed before the
// session was there to be closed, so it is taken again.
func (g *gate) enter(d intent.DPID, c *session.Conn) {
	g.mu.Lock()
	if g.sessions[d] == nil {
		g.sessions[d] = map[*session.Conn]struct{}{}
	}
	g.sessions[d][c] = struct{}{}
	g.mu.Unlock()
	if err := g.roster.judge(intent.Candidate{DPID: d}, g.vouched(d)); err != nil {
		c.Close(err)
	}
}

func (g *gate) leave(d intent.DPID, c *session.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions[d], c)
	if len(g.sessions[d]) == 0 {
		delete(g.sessions, d)
	}
}

// Connected implements hypervisor.Gate.
func (g *gate) Connected(d intent.DPID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions[d]) > 0
}

// enforce ends the sessions of switches that may not connect any more.
func (g *gate) enforce() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for d, conns := range g.sessions {
		err := g.roster.judge(intent.Candidate{DPID: d}, g.vouched(d))
		if err == nil {
			continue
		}
		for c := range conns {
			c.Close(err)
		}
	}
}
