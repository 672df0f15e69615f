// Package controller puts the parts together: the intent in PostgreSQL, the
// switches that connect, and reconciliation between the two. It keeps nothing
// that PostgreSQL or a switch does not have, so it may be killed at any moment.
package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/hypervisor"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/reconcile"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/southbound/ovsdb"
	"github.com/macloom/macloom/southbound/session"
)

// feedRetry is the pause after changes of intent could not be read.
const feedRetry = time.Second

// Config is what a Controller needs from outside.
type Config struct {
	Store        *store.Store // migrated
	OpenFlow     net.Listener
	OVSDB        net.Listener
	OVSDBTargets []string    // ovsdb-servers to connect to
	OVSDBTLS     *tls.Config // for those of them that speak TLS
	Unmanaged    intent.Unmanaged
	MACs         store.MACUpkeep
	AuditKeep    time.Duration     // how long the audit log is kept; 0: for ever
	DHCPLease    time.Duration     // for which an address is given; 0: respond.DefaultLease
	MaxMACs      int               // stations that are learned at an unmanaged port that is no link; 0: any number
	Guard        guard.Settings    // of the guard where nothing else is set; zero: guard.Preset
	Admit        string            // AdmitAuto or AdmitListed
	Hypervisors  hypervisor.Config // but OpenFlow, which is the address of the listener
	Log          *zap.Logger
	Metrics      prometheus.Registerer
}

// Controller is the part of the system between store and switches.
type Controller struct {
	cfg        Config
	world      *world
	gate       *gate
	fabric     *fabric.Map   // nil: unmanaged ports do not learn
	stations   *fabric.Hosts // nil, too, then
	sentry     *sentry
	ward       *ward
	hosts      *hypervisor.Hosts
	reconciler *reconcile.Reconciler
	sessions   *session.Stats
	events     *prometheus.CounterVec
	spread     chan struct{} // networks may be at other switches than before; holds one token
	loaded     atomic.Bool
}

// New returns a Controller; Run starts it.
func New(cfg Config) *Controller {
	w := &world{
		store: cfg.Store, unmanaged: cfg.Unmanaged, roster: newRoster(cfg.Admit), log: cfg.Log.Named("intent"), state: intent.NewState(),
	}
	c := &Controller{cfg: cfg, world: w, sessions: &session.Stats{}, events: newEventCounter(cfg.Metrics), spread: make(chan struct{}, 1)}
	c.gate = newGate(w.roster, cfg.Store.SaveRejection, cfg.Log.Named("admission"), cfg.Metrics)
	if cfg.OpenFlow != nil {
		cfg.Hypervisors.OpenFlow = cfg.OpenFlow.Addr()
	}
	if cfg.Unmanaged == intent.UnmanagedLearn {
		c.fabric, c.stations = fabric.NewMap(), fabric.NewHosts()
		cfg.Metrics.MustRegister(fabricCollector{c.fabric, c.stations}, vlanCollector{w})
	}
	c.sentry = newSentry(cfg.Guard, cfg.Store, cfg.Log.Named("guard"), cfg.Metrics)
	c.ward = newWard(cfg.Store, cfg.Log.Named("health"))
	c.reconciler = reconcile.New(w, facts{cfg.Store}, cfg.Log.Named("reconcile"), reconcile.NewMetrics(cfg.Metrics), reconcile.Config{
		Lease: cfg.DHCPLease, MaxMACs: cfg.MaxMACs, Fabric: c.fabric, Hosts: c.stations, Guard: c.sentry, Health: c.ward,
		Realized: func(v *intent.View) { c.hosts.SetQueues(v.DPID, v.QueuesWanted()) },
	})
	c.hosts = hypervisor.New(hostFacts{cfg.Store, c.reconciler, cfg.Log.Named("hypervisor")}, c.gate, cfg.Log.Named("hypervisor"), hypervisor.NewMetrics(cfg.Metrics), cfg.Hypervisors)
	c.gate.vouched = c.hosts.Vouches
	cfg.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "macloom_learn_stations", Help: "Stations that the unmanaged ports of the connected switches have taught.",
	}, func() float64 { return float64(c.reconciler.Stations()) }))
	cfg.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "macloom_blocks", Help: "Blocks in force.",
	}, func() float64 { return float64(w.blocks()) }))
	cfg.Metrics.MustRegister(backendCollector{w})
	cfg.Metrics.MustRegister(sessionCollector{c.sessions, reconcile.PacketIns})
	return c
}

// Run works until ctx ends or a part fails for good.
func (c *Controller) Run(ctx context.Context) error {
	// A controller that was killed could not record that its switches are gone.
	if err := c.cfg.Store.MarkSwitchesDisconnected(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("controller: %w", err)
	}
	if err := c.world.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it was starting
		}
		return err
	}
	if err := c.loadFabric(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("controller: load the fabric: %w", err)
	}
	if err := c.sentry.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("controller: load the guard: %w", err)
	}
	c.loaded.Store(true)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.follow(ctx) })
	g.Go(func() error { c.gate.record(ctx); return nil })
	g.Go(func() error { c.recordLinks(ctx); return nil })
	g.Go(func() error { c.sentry.run(ctx, c.world.blocksDue); return nil })
	g.Go(func() error { c.recordHosts(ctx); return nil })
	if c.fabric != nil {
		g.Go(func() error { c.settleVLANs(ctx); return nil })
	}
	g.Go(func() error { c.ward.run(ctx); return nil })
	g.Go(func() error { return c.cfg.Store.MaintainMACs(ctx, c.cfg.MACs) })
	g.Go(func() error { return c.cfg.Store.MaintainAuditLog(ctx, c.cfg.AuditKeep) })
	g.Go(func() error {
		cfg := session.Config{Log: c.cfg.Log.Named("openflow"), Stats: c.sessions, PacketIns: reconcile.PacketIns, Classify: reconcile.Classify, Admit: c.gate.admitSession}
		return session.Serve(ctx, c.cfg.OpenFlow, cfg, c.openflow)
	})
	remote := ovsdb.Config{Log: c.cfg.Log.Named("ovsdb"), TLS: c.cfg.OVSDBTLS}
	g.Go(func() error { return ovsdb.Serve(ctx, c.cfg.OVSDB, remote, c.hosts.Serve) })
	for _, target := range c.cfg.OVSDBTargets {
		g.Go(func() error { return ovsdb.Follow(ctx, target, remote, c.hosts.Serve) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// follow keeps the intent current. The feed resumes by itself when its
// connection is lost; what fails here is the reading of what changed.
func (c *Controller) follow(ctx context.Context) error {
	for {
		err := c.cfg.Store.Watch(ctx, c.world.revision(), func(changes []store.Change) error {
			touched, moved, err := c.world.apply(ctx, changes)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(changes, func(c store.Change) bool { return c.Kind == store.KindMACGuard }) {
				if err := c.sentry.loadSettings(ctx); err != nil {
					return err
				}
			}
			c.reconciler.Touch(touched)
			c.reconciler.Moved(moved)
			c.lookAtVLANs(changes)
			if slices.ContainsFunc(changes, func(c store.Change) bool { return c.Kind == store.KindSwitch }) {
				c.judgeAgain()
			}
			c.forgetSwitches(changes)
			for _, change := range changes {
				if change.Event != "" {
					c.events.WithLabelValues(string(change.Event)).Inc()
				}
			}
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.cfg.Log.Warn("changes of intent not read; will try again", zap.Error(err))
		if errors.Is(err, store.ErrTooOld) {
			// Asleep for longer than the feed reaches back: everything may be different.
			if err := errors.Join(c.world.load(ctx), c.sentry.loadSettings(ctx)); err == nil {
				c.reconciler.TouchAll()
				c.judgeAgain()
				c.lookAtVLANs([]store.Change{{Kind: store.KindNetwork}})
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(feedRetry):
		}
	}
}

// judgeAgain acts on changed decisions on who may connect.
func (c *Controller) judgeAgain() {
	c.gate.enforce()
	c.hosts.Wake()
}

// Ready reports why the controller cannot serve yet; nil if it can.
func (c *Controller) Ready(ctx context.Context) error {
	if !c.loaded.Load() {
		return errors.New("controller: intent is not loaded yet")
	}
	return c.cfg.Store.Ping(ctx)
}

// openflow is the life of a session that was let in.
func (c *Controller) openflow(ctx context.Context, conn *session.Conn) {
	d := intent.DPID(conn.Features().DatapathID)
	c.gate.enter(d, conn)
	defer c.gate.leave(d, conn)
	c.hosts.WakeBridge(d) // its interfaces count from now on
	c.reconciler.Serve(ctx, conn)
}

// facts adapts the store to what reconciliation records.
type facts struct{ store *store.Store }

func (f facts) SaveSwitch(ctx context.Context, s intent.Switch) error {
	return f.store.SaveSwitch(ctx, s)
}

func (f facts) SavePortStates(ctx context.Context, d intent.DPID, states []intent.PortState) error {
	rows := make([]store.PortState, len(states))
	for i, s := range states {
		rows[i] = store.PortState{ID: s.ID, Status: s.Status, Reason: s.Reason}
	}
	return f.store.SetPortStatus(ctx, d, rows)
}

// hostFacts is the store of what OVSDB tells. The type of a datapath is told
// to reconciliation too: OpenFlow does not say it, and abilities follow from it.
type hostFacts struct {
	*store.Store
	reconciler *reconcile.Reconciler
	log        *zap.Logger
}

func (f hostFacts) SaveBridge(ctx context.Context, b intent.Bridge) (known bool, err error) {
	f.reconciler.SetDatapathType(b.DPID, b.DatapathType)
	known, err = f.Store.SaveBridge(ctx, b)
	if err != nil || !known || !b.Integration || !b.Connected || !b.Tunnel.IsValid() {
		return known, err
	}
	// From the moment on that it is known where it is, ports are bound to it.
	made, err := f.GiveHostSegment(ctx, b.DPID, b.Hostname)
	if made {
		f.log.Info("host has a MAC segment of its own", zap.Stringer("dpid", b.DPID), zap.String("hostname", b.Hostname))
	}
	return known, err
}
