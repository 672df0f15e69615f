// Package reconcile makes switches hold the flows that intent asks for. There
// is one path for everything: connecting, reconnecting, a restart of either
// side, a change of intent and the periodic audit are all the same steps:
//
//  1. read back what the switch holds, unless it is known from an
//     acknowledged earlier pass;
//  2. compute, completely, what it should hold;
//  3. send the difference as one bundle;
//  4. when the switch has confirmed it, record the realized state.
//
// A pass that finds no difference sends nothing. What the switch refuses is left
// out, with its owner in error; the rest is sent. Where the switch tells of changes by
// others, it is read back at once, not with the next audit.
package reconcile

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/controller/respond"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// Intent is where the view of a switch comes from.
type Intent interface {
	View(d intent.DPID, ports []intent.SwitchPort) *intent.View
	// Neighbour and Client are what the stations of ports are answered.
	Neighbour(intent.Question) (intent.Neighbour, bool)
	Client(port string) (intent.Client, bool)
	// QoSPolicyID names a policy by its number.
	QoSPolicyID(num uint32) (id string, ok bool)
}

// Facts is where realized state is recorded.
type Facts interface {
	SaveSwitch(ctx context.Context, s intent.Switch) error
	// SavePortStates records states of ports bound to d; a port that is bound
	// elsewhere by now keeps what it has.
	SavePortStates(ctx context.Context, d intent.DPID, states []intent.PortState) error
}

// Guard watches over the stations at the edge. It must not wait for anything.
type Guard interface {
	// Seen hears of a station that a port has taught.
	Seen(now time.Time, a mac.Addr, at intent.Place)
	// Known hears of one that a switch has from before.
	Known(now time.Time, a mac.Addr, at intent.Place)
	// Gone hears that a station has not been heard of there for long, and Barred that
	// one is blocked there. That its port is lost says nothing about where it comes next.
	Gone(now time.Time, a mac.Addr, at intent.Place)
	Barred(a mac.Addr, at intent.Place)
	Lost(now time.Time, at intent.Place)
	// Limited hears that no more stations are learned at a port that has as many as it may.
	Limited(at intent.Place, name string, most int)
}

// Config holds the intervals; zero values mean the defaults.
type Config struct {
	Audit   time.Duration // how often a switch is read back without cause; default 5 min
	Retry   time.Duration // pause before a failed step is tried again; default 1 s
	Timeout time.Duration // for one pass; default 30 s
	Record  time.Duration // for writing facts to the database; default 3 s
	// Pause is the least time between two writes of the facts of one switch, which
	// are long and change with every change of intent; default 1 s. The states of its
	// ports do not wait.
	Pause time.Duration
	// Counters is how often a switch is asked what it has counted under QoS policies; default 15 s.
	Counters time.Duration
	Lease    time.Duration // for which DHCP gives an address; default respond.DefaultLease
	// MaxMACs is how many stations are learned at an unmanaged port that leads to no
	// other switch; 0: any number.
	MaxMACs int
	Now     func() time.Time
	// Fabric finds the links between the switches that have unmanaged ports which
	// learn, and says which of these ports pass frames; nil: no links are looked for, and all
	// do.
	Fabric *fabric.Map
	// Guard hears where stations are at the ports of these that lead to no other switch; nil: nobody does.
	Guard Guard
	// Hosts are told which stations are behind the ports that Fabric found to lead
	// to stations; nil exactly if Fabric is.
	Hosts *fabric.Hosts
	// Health hears what probes of backends have found; nil: none is probed.
	Health Health
	// Realized hears of each view that a switch has come to hold; it must not wait.
	Realized func(*intent.View)
	// Compute says what a switch with a view must hold, in a Desired that is the
	// caller's; default pipeline.Compute.
	Compute func(*intent.View) pipeline.Desired
	// Change says what differs between the flows of two views, for a Compute that
	// works by parts; default pipeline.Change, and none with a Compute of one's own.
	Change func(before, after *intent.View) (gone, come flow.Set, ok bool)
}

func (c Config) withDefaults() Config {
	if c.Audit == 0 {
		c.Audit = 5 * time.Minute
	}
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Record == 0 {
		c.Record = 3 * time.Second
	}
	if c.Pause == 0 {
		c.Pause = time.Second
	}
	if c.Counters == 0 {
		c.Counters = 15 * time.Second
	}
	if c.Lease == 0 {
		c.Lease = respond.DefaultLease
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Compute == nil {
		c.Compute, c.Change = pipeline.Compute, pipeline.Change
	}
	return c
}

// Reconciler keeps all connected switches at what intent asks for.
type Reconciler struct {
	intent  Intent
	facts   Facts
	log     *zap.Logger
	metrics *Metrics
	cfg     Config

	// Each holds a token for each switch that
	probes  chan struct{} // is being asked what it can do
	writers chan struct{} // has its facts written
	passes  chan struct{} // is read back or compiled as a whole

	patience time.Duration // see passPatience

	directory *learn.Directory // of stations of fabrics

	mu       sync.Mutex
	live     map[intent.DPID]*datapath
	types    map[intent.DPID]string // datapath type, where OVSDB told it
	repaired map[intent.DPID]int64  // what others changed and was put right
}

// New returns a Reconciler; m may be shared with nobody else.
func New(i Intent, f Facts, log *zap.Logger, m *Metrics, cfg Config) *Reconciler {
	return &Reconciler{
		intent: i, facts: f, log: log, metrics: m, cfg: cfg.withDefaults(),
		probes: make(chan struct{}, maxProbes), writers: make(chan struct{}, maxWriters), passes: make(chan struct{}, passesPerCPU*runtime.GOMAXPROCS(0)),
		patience: passPatience, directory: learn.NewDirectory(),
		live: map[intent.DPID]*datapath{}, types: map[intent.DPID]string{}, repaired: map[intent.DPID]int64{},
	}
}

// Serve reconciles one switch for as long as its connection lasts. If the same
// datapath is connected already, the older connection is closed: it is the
// switch that decided to come again.
func (r *Reconciler) Serve(ctx context.Context, c *session.Conn) {
	d := newDatapath(r, c)
	r.mu.Lock()
	old := r.live[d.id]
	r.live[d.id] = d
	d.datapathType, d.ledger.facts.Repaired = r.types[d.id], r.repaired[d.id]
	r.mu.Unlock()
	if old != nil {
		d.replaces(old)
		old.conn.Close(fmt.Errorf("reconcile: datapath %s connected again, from %s; if that goes on, two switches have this datapath id", d.id, c.RemoteAddr()))
		<-old.ended
	}
	if m := r.cfg.Fabric; m != nil {
		r.rouse(m.Connect(d.id))
	}
	r.metrics.connected.Inc()
	defer func() {
		r.metrics.connected.Dec()
		d.countPins(0)
		r.mu.Lock()
		last := r.live[d.id] == d
		if last {
			delete(r.live, d.id)
		}
		r.mu.Unlock()
		if last {
			if m := r.cfg.Fabric; m != nil {
				m.Disconnect(d.id)
			}
			d.recordDisconnect()
		}
		close(d.ended)
	}()
	d.run(ctx)
}

// Touch says that the views of these switches may have changed.
func (r *Reconciler) Touch(t intent.Touched) {
	if _, all := t[intent.Everywhere]; all {
		r.TouchAll()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range t {
		if d := r.live[id]; d != nil {
			d.signal()
		}
	}
}

// TouchAll says that all views may have changed.
func (r *Reconciler) TouchAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.live {
		d.signal()
	}
}

// SetDatapathType records the type of a datapath, as OVSDB tells it: "system" is
// the kernel's, "netdev" the userspace one.
func (r *Reconciler) SetDatapathType(id intent.DPID, kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.types[id] == kind {
		return
	}
	r.types[id] = kind
	if d := r.live[id]; d != nil {
		d.note(func(*intent.Switch) { d.datapathType = kind })
		d.signal() // it may have queues now
	}
}

// Stations returns how many stations the unmanaged ports of all connected switches
// have taught.
func (r *Reconciler) Stations() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.live {
		n += d.learned.Len()
	}
	return n
}

// countRepairs adds to what was put right in a switch and returns the sum.
func (r *Reconciler) countRepairs(id intent.DPID, n int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repaired[id] += int64(n)
	return r.repaired[id]
}

// datapath is one connected switch.
type datapath struct {
	r     *Reconciler
	id    intent.DPID
	conn  *session.Conn
	log   *zap.Logger
	dirty chan struct{} // something calls for a pass; holds one token
	news  chan struct{} // facts are to be recorded; holds one token
	alien chan struct{} // somebody else changed our flows; holds one token
	look  chan struct{} // there may be something to do about links; holds one token
	asked chan question // somebody wants to know what a pass would change
	ended chan struct{}

	replacing bool   // an older connection
	rival     string // what is wrong if that goes on; empty: nothing

	learned    *learn.Table
	neighbours *respond.Neighbours
	checkup    *checkup
	served     atomic.Pointer[intent.View] // whose flows are in the switch, or on their way

	mu           sync.Mutex // for what the notices change, and what is to be recorded
	ports        map[uint32]intent.SwitchPort
	sorted       []intent.SwitchPort // see portsInOrder
	tellsLive    bool                // the switch tells which ports are live
	datapathType string
	can          map[string]string // capabilities but for those that follow from datapathType
	ledger       ledger

	directing sync.Mutex // while the switch is told where to send frames of a station

	// The rest belongs to the pass.
	mirrorMu sync.Mutex // for the table, which the notices read
	table    mirror
	doubted  bool           // the mirror may be wrong: read back
	readAt   time.Time      // by Config.Now, when it was last read back
	lastRead time.Time      // when that had ended
	readTook time.Duration  // and how long it took
	full     map[uint8]bool // tables that have refused a flow for lack of room
	desired  pipeline.Desired
	paths    []intent.Path // that the switch is known to have
	foreign  foreign
	refused  refusals
	pins     int // that it had when it was last read back
}

func newDatapath(r *Reconciler, c *session.Conn) *datapath {
	id := intent.DPID(c.Features().DatapathID)
	d := &datapath{
		r: r, id: id, conn: c, log: r.log.With(zap.Stringer("dpid", id)),
		dirty: make(chan struct{}, 1), news: make(chan struct{}, 1), alien: make(chan struct{}, 1), look: make(chan struct{}, 1), ended: make(chan struct{}),
		asked:   make(chan question),
		learned: learn.NewTable(r.cfg.MaxMACs), neighbours: respond.NewNeighbours(r.intent), ports: map[uint32]intent.SwitchPort{}, can: map[string]string{},
		refused: newRefusals(),
		ledger: ledger{facts: intent.Switch{
			DPID: id, Address: c.RemoteAddr().String(), Connected: true, ConnectedAt: r.cfg.Now(),
		}},
	}
	d.checkup = newCheckup(d)
	return d
}

// rivalry is how soon connections that close each other are one after the other.
const rivalry = time.Minute

// replaces tells of two switches that have the same datapath id, by mistake: each connects
// again when the other has closed its connection. That one switch comes back once, before
// its old connection is known to be dead, is nothing.
func (d *datapath) replaces(old *datapath) {
	d.replacing = true
	if old.replacing && d.r.cfg.Now().Sub(old.facts().ConnectedAt) < rivalry {
		d.rival = fmt.Sprintf("switches at %s and %s take turns: they have the same datapath id", old.conn.RemoteAddr(), d.conn.RemoteAddr())
		d.note(func(f *intent.Switch) { f.Error = d.rival })
	}
}

// fault is what is wrong with the switch, of which its owners lack something.
func (d *datapath) fault(lacking faults) string {
	if d.rival != "" && d.r.cfg.Now().Sub(d.facts().ConnectedAt) < rivalry {
		return d.rival
	}
	return lacking.String()
}

// signal asks for a pass.
func (d *datapath) signal() { put(d.dirty) }

// tell asks for facts to be recorded.
func (d *datapath) tell() { put(d.news) }

// put puts a token into a channel that holds one.
func put(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is there already
	}
}

func (d *datapath) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := d.open(ctx); err != nil {
		d.log.Warn("switch gave up during set-up", zap.Error(err))
		return
	}
	wg.Go(func() { d.listen(ctx) })
	wg.Go(func() { (&scribe{d: d}).run(ctx) })

	audit := time.NewTicker(d.r.cfg.Audit)
	defer audit.Stop()
	var recheck <-chan time.Time // when the switch is read back because of what others did
	var retry <-chan time.Time   // when a failed step is tried again
	started, due := false, true
	for {
		if due {
			retry = nil
			if err := d.pass(ctx); err != nil {
				if ctx.Err() != nil || d.conn.Err() != nil {
					return
				}
				d.log.Warn("reconcile failed; will read back and try again", zap.Error(err))
				d.table.known = false
				d.note(func(f *intent.Switch) { f.Error = err.Error() })
				retry = time.After(d.r.cfg.Retry)
			}
		}
		if !started && d.table.known {
			// Learning starts when the places that the switch already knows are taken over,
			// and all that is not urgent when the switch is served.
			started = true
			wg.Go(func() { d.learn(ctx) })
			wg.Go(func() { d.resolve(ctx) })
			wg.Go(func() { d.configure(ctx) })
			wg.Go(func() { d.advertise(ctx) })
			wg.Go(func() { d.watch(ctx) })
			if d.r.cfg.Health != nil {
				wg.Go(func() { d.checkup.ask(ctx) })
				wg.Go(func() { d.checkup.hear(ctx) })
			}
			if d.r.cfg.Fabric != nil {
				wg.Go(func() { d.discover(ctx) })
				wg.Go(func() { d.announce(ctx) })
				wg.Go(func() { d.seek(ctx) })
			}
			wg.Go(func() { d.probe(ctx) })
			wg.Go(func() { d.countQoS(ctx) })
		}
		due = true
		select {
		case <-ctx.Done():
			return
		case <-d.conn.Done():
			return
		case <-d.dirty:
		case <-retry:
		case q := <-d.asked:
			due = false
			d.compare(q)
		case <-d.alien:
			due = false
			if recheck == nil {
				recheck = time.After(d.untilRecheck())
			}
		case <-recheck:
			recheck, d.doubted = nil, true
		case <-audit.C:
			d.doubted = true
			d.refused.clear()
		}
	}
}

// open asks the switch who it is, which ports it has, and what the first pass
// has to know of its abilities.
func (d *datapath) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Timeout)
	defer cancel()
	// Frames that a flow sends to the controller are cut to what the flow says; this is for the rest.
	if err := d.conn.Send(&openflow.SetConfig{MissSendLen: 128}); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return d.conn.Multipart(ctx, &openflow.DescRequest{}, func(b openflow.MultipartBody) error {
			if desc, ok := b.(*openflow.Desc); ok {
				d.note(func(f *intent.Switch) { f.Description = desc.Manufacturer + " " + desc.Hardware + " " + desc.Software })
			}
			return nil
		})
	})
	g.Go(func() error {
		return d.conn.Multipart(ctx, &openflow.PortDescRequest{}, func(b openflow.MultipartBody) error {
			if list, ok := b.(*openflow.PortDescReply); ok {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.tellsLive = d.tellsLive || slices.ContainsFunc(list.Ports, func(p openflow.Port) bool { return p.State&openflow.PortStateLive != 0 })
				for _, p := range list.Ports {
					d.ports[p.No] = d.switchPort(p)
				}
				d.sorted = nil
			}
			return nil
		})
	})
	g.Go(func() error { return d.askMeters(ctx) })
	g.Go(func() error { return d.askGroups(ctx) })
	d.note(func(*intent.Switch) {})
	return g.Wait()
}
