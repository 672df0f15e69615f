// Package controller puts the parts together: the intent in PostgreSQL, the
// switches that connect, and reconciliation between the two. It keeps nothing
// that PostgreSQL or a switch does not have, so it may be killed at any moment.
package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

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
	Store     *store.Store // migrated
	OpenFlow  net.Listener
	OVSDB     net.Listener
	Unmanaged intent.Unmanaged
	MACs      store.MACUpkeep
	Log       *zap.Logger
	Metrics   prometheus.Registerer
}

// Controller is the part of the system between store and switches.
type Controller struct {
	cfg        Config
	world      *world
	reconciler *reconcile.Reconciler
	sessions   *session.Stats
	loaded     atomic.Bool
}

// New returns a Controller; Run starts it.
func New(cfg Config) *Controller {
	w := &world{store: cfg.Store, unmanaged: cfg.Unmanaged, log: cfg.Log.Named("intent"), state: intent.NewState()}
	c := &Controller{cfg: cfg, world: w, sessions: &session.Stats{}}
	c.reconciler = reconcile.New(w, facts{cfg.Store}, cfg.Log.Named("reconcile"), reconcile.NewMetrics(cfg.Metrics), reconcile.Config{})
	cfg.Metrics.MustRegister(sessionCollector{c.sessions})
	return c
}

// Run works until ctx ends or a part fails for good.
func (c *Controller) Run(ctx context.Context) error {
	// A controller that was killed could not record that its switches are gone.
	if err := c.cfg.Store.MarkSwitchesDisconnected(ctx); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	if err := c.world.load(ctx); err != nil {
		return err
	}
	c.loaded.Store(true)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.follow(ctx) })
	g.Go(func() error { return c.cfg.Store.MaintainMACs(ctx, c.cfg.MACs) })
	g.Go(func() error {
		cfg := session.Config{Log: c.cfg.Log.Named("openflow"), Stats: c.sessions}
		return session.Serve(ctx, c.cfg.OpenFlow, cfg, c.reconciler.Serve)
	})
	g.Go(func() error {
		return ovsdb.Serve(ctx, c.cfg.OVSDB, ovsdb.Config{Log: c.cfg.Log.Named("ovsdb")}, c.bridges)
	})
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
			touched, err := c.world.apply(ctx, changes)
			if err != nil {
				return err
			}
			c.reconciler.Touch(touched)
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.cfg.Log.Warn("changes of intent not read; will try again", zap.Error(err))
		if errors.Is(err, store.ErrTooOld) {
			// Asleep for longer than the feed reaches back: everything may be different.
			if err := c.world.load(ctx); err == nil {
				c.reconciler.TouchAll()
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

// Ready reports why the controller cannot serve yet; nil if it can.
func (c *Controller) Ready(ctx context.Context) error {
	if !c.loaded.Load() {
		return errors.New("controller: intent is not loaded yet")
	}
	return c.cfg.Store.Ping(ctx)
}

// bridges takes the facts about bridges that OVSDB alone knows. A bridge
// without fail_mode=secure loses its flows, and with them all isolation, some
// seconds after it loses the controller.
func (c *Controller) bridges(ctx context.Context, conn *ovsdb.Conn) {
	log := c.cfg.Log.Named("ovsdb")
	warned := map[intent.DPID]bool{}
	err := conn.Monitor(ctx, func(s ovsdb.Snapshot) {
		for _, b := range s.Bridges {
			d, err := intent.ParseDPID(b.DatapathID)
			if err != nil {
				continue // not yet realized by ovs-vswitchd
			}
			mode := b.FailMode
			if mode == "" {
				mode = "standalone" // OVS's default, ovs-vswitchd.conf.db(5)
			}
			c.reconciler.SetFailMode(d, mode)
			if mode != "secure" && !warned[d] {
				warned[d] = true
				log.Warn("bridge drops its flows when it loses the controller; set it to secure",
					zap.String("bridge", b.Name), zap.Stringer("dpid", d),
					zap.String("command", "ovs-vsctl set-fail-mode "+b.Name+" secure"))
			}
		}
	})
	if err != nil && ctx.Err() == nil {
		log.Info("OVSDB connection ended", zap.Error(err))
	}
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
