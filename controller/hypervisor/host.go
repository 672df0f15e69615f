package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// host is one connected hypervisor. What is not said to be shared belongs to
// its round.
type host struct {
	hs    *Hosts
	conn  *ovsdb.Conn
	log   *zap.Logger
	wake  chan struct{} // something calls for a round; holds one token
	ended chan struct{}

	mu       sync.Mutex
	snapshot *ovsdb.Snapshot // the newest; nil: none yet

	systemID string        // guarded by hs.mu
	bridges  []intent.DPID // likewise
	tunnel   netip.Addr    // likewise: where it has its tunnel end point
	newID    string        // the system-id that the host gets if it has none

	in         bool      // it has been admitted
	turnedAway time.Time // since when; zero: it is not
	saved      map[intent.DPID]intent.Bridge
	reported   map[intent.DPID][]intent.Attachment
	unbound    map[intent.DPID]map[string]string // what was logged of interfaces that are not bound, by name
	looked     bool                              // for bridges that have gone while we were away
	warned     map[string]bool                   // what was logged of bridges

	steps    pace
	applied  bool           // ovs-vswitchd has brought about a step
	awaited  int64          // next_cfg of the step under way; 0: none
	deadline time.Time      // for it
	queues   *intent.Queues // that were asked for last
	problem  string         // why the host is not set up
}

func newHost(hs *Hosts, c *ovsdb.Conn) *host {
	return &host{
		hs: hs, conn: c, log: hs.log.With(zap.Stringer("peer", c.RemoteAddr())),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), newID: uuid.NewString(),
		saved: map[intent.DPID]intent.Bridge{}, reported: map[intent.DPID][]intent.Attachment{},
		unbound: map[intent.DPID]map[string]string{}, warned: map[string]bool{}, steps: pace{},
	}
}

// signal asks for a round.
func (h *host) signal() {
	select {
	case h.wake <- struct{}{}:
	default: // one is due already
	}
}

func (h *host) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		err := h.conn.Monitor(ctx, func(s ovsdb.Snapshot) {
			h.mu.Lock()
			h.snapshot = &s
			h.mu.Unlock()
			h.signal()
		})
		if ctx.Err() == nil {
			h.log.Info("OVSDB connection ended", zap.Error(err))
		}
		cancel()
	})
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-again:
		}
		h.mu.Lock()
		s := h.snapshot
		h.mu.Unlock()
		again = nil
		if s == nil {
			continue
		}
		if wait := h.round(ctx, s); wait > 0 {
			again = time.After(wait)
		}
	}
}

// round looks at the newest state and does what it calls for. It returns when
// to look again without cause; 0: never.
func (h *host) round(ctx context.Context, s *ovsdb.Snapshot) (again time.Duration) {
	sooner := func(d time.Duration) {
		if d > 0 && (again == 0 || d < again) {
			again = d
		}
	}
	bridge, dpid := integration(s, h.hs.cfg.Bridge)
	if !h.admitted(s, dpid, sooner) {
		return again
	}
	bridges := map[intent.DPID]bool{}
	for i := range s.Bridges {
		if d := datapathID(&s.Bridges[i]); d != 0 {
			bridges[d] = false
		}
	}
	if dpid != 0 {
		bridges[dpid] = true
	}
	h.hs.claim(ctx, h, s.SystemID, bridges)
	sooner(h.setUp(ctx, s, bridge))
	if err := h.record(ctx, s, bridge, dpid); err != nil {
		if ctx.Err() == nil && !errors.Is(err, errTooEarly) {
			h.log.Warn("facts of the host not recorded; will try again", zap.Error(err))
		}
		sooner(h.hs.cfg.Retry)
	}
	return again
}

// admitted asks whether the host may be set up. One that may not stays on the
// line for a while: it would come again at once, and may be admitted meanwhile.
func (h *host) admitted(s *ovsdb.Snapshot, dpid intent.DPID, sooner func(time.Duration)) bool {
	now := h.hs.cfg.Now()
	err := h.hs.gate.AdmitHost(intent.Candidate{
		DPID: dpid, SystemID: plain(s.SystemID), Hostname: plain(s.Hostname), Version: plain(s.OVSVersion), Address: h.conn.RemoteAddr().String(),
	})
	switch {
	case err == nil:
		h.in, h.turnedAway = true, time.Time{}
		return true
	case h.in:
		h.conn.Close(err)
	case h.turnedAway.IsZero():
		h.turnedAway = now
		sooner(h.hs.cfg.Hold)
	case now.Sub(h.turnedAway) >= h.hs.cfg.Hold:
		h.conn.Close(err)
	default:
		sooner(h.turnedAway.Add(h.hs.cfg.Hold).Sub(now))
	}
	return false
}

// setUp takes the next step of the plan. It returns when to look again without
// cause; 0: never.
func (h *host) setUp(ctx context.Context, s *ovsdb.Snapshot, bridge *ovsdb.Bridge) time.Duration {
	cfg := h.hs.cfg
	if cfg.Bridge == "" {
		return 0
	}
	now := cfg.Now()
	if h.awaited > 0 {
		if s.CurCfg < h.awaited {
			if now.Before(h.deadline) {
				return h.deadline.Sub(now)
			}
			h.obstructed(errors.New("ovs-vswitchd does not bring about what is configured: is it running?"))
			return 0 // the state changes when it does
		}
		h.awaited, h.applied = 0, true
	}
	want := Want{Bridge: cfg.Bridge, DatapathType: cfg.DatapathType, SystemID: h.newID, Applied: h.applied}
	var err error
	if want.Controller, err = target(cfg, h.conn.LocalAddr(), h.conn.RemoteAddr()); err != nil {
		h.obstructed(err)
		return 0
	}
	want.Tunnel, want.TunnelStated = endpoint(s, h.conn.RemoteAddr())
	if bridge != nil {
		if want.Queues = h.hs.queuesOf(datapathID(bridge)); !h.queues.Equal(want.Queues) {
			h.queues = want.Queues
			delete(h.steps, stepQueues) // what we want has changed; nobody undoes anything
		}
	}
	steps, err := Plan(*s, want)
	if err == nil && len(steps) == 0 && bridge != nil && bridge.DatapathID == "" && h.applied {
		err = fmt.Errorf("ovs-vswitchd cannot make bridge %s: its log says why", bridge.Name)
	}
	if other := h.hs.tunnelTo(h, want.Tunnel); err == nil && other != "" {
		err = fmt.Errorf("its tunnel address %s is that of the host with the system-id %s, too: set external_ids:ovn-encap-ip of one of them", want.Tunnel, other)
	}
	h.obstructed(err)
	if len(steps) == 0 {
		return 0
	}
	step := steps[0]
	if pause := h.steps.wait(step.Kind, now); pause > 0 {
		if err == nil {
			h.obstructed(fmt.Errorf("somebody else keeps undoing what macloom sets up; next: %s", step.Text))
		}
		return pause
	}
	h.steps.taken(step.Kind, now)
	results, err := h.conn.Transact(ctx, step.Ops...)
	if err == nil {
		h.awaited, err = results[len(results)-1].Rows[0].Int("next_cfg")
	}
	var failed *ovsdb.OperationError
	switch {
	case err == nil:
		h.log.Info("set-up step taken", zap.String("step", step.Text))
		h.hs.metrics.steps.WithLabelValues(step.Kind, "done").Inc()
		h.deadline = cfg.Now().Add(cfg.Apply)
		return cfg.Apply
	case ctx.Err() != nil:
		return 0
	case errors.As(err, &failed) && failed.Tag == "timed out":
		// The state has changed under the plan.
		h.hs.metrics.steps.WithLabelValues(step.Kind, "overtaken").Inc()
	default:
		h.hs.metrics.steps.WithLabelValues(step.Kind, "failed").Inc()
		h.obstructed(fmt.Errorf("could not %s: %w", step.Text, err))
	}
	return cfg.Retry
}

// obstructed notes why the host is not set up; nil: it is, or on its way.
func (h *host) obstructed(err error) {
	text := ""
	if err != nil {
		text = plain(err.Error())
	}
	if text != h.problem && text != "" {
		h.log.Warn("host is not set up", zap.String("reason", text))
	}
	h.problem = text
}

// record writes what the state tells to the database, where it is new.
func (h *host) record(ctx context.Context, s *ovsdb.Snapshot, bridge *ovsdb.Bridge, dpid intent.DPID) error {
	ctx, cancel := context.WithTimeout(ctx, h.hs.cfg.Record)
	defer cancel()
	var errs []error
	if bridge == nil && dpid != 0 { // not made yet
		f := facts(s, nil, dpid)
		h.integrated(s, &f)
		errs = append(errs, h.saveBridge(ctx, f))
	}
	here := map[intent.DPID]bool{}
	complete := true
	for i := range s.Bridges {
		b := &s.Bridges[i]
		d := datapathID(b)
		if d == 0 {
			complete = false
			continue
		}
		here[d] = true
		f := facts(s, b, d)
		if b == bridge {
			h.integrated(s, &f)
		} else if !h.hs.gate.Connected(d) {
			continue
		}
		h.warnStandalone(b, d)
		errs = append(errs, h.saveBridge(ctx, f), h.report(ctx, d, attachments(b)))
	}
	if complete && s.SystemID != "" {
		errs = append(errs, h.forget(ctx, s.SystemID, here))
	}
	return errors.Join(errs...)
}

// integrated adds what is true of the integration bridge only.
func (h *host) integrated(s *ovsdb.Snapshot, b *intent.Bridge) {
	b.Integration, b.SetupError = true, h.problem
	b.Tunnel, _ = endpoint(s, h.conn.RemoteAddr())
}

// errTooEarly says that a bridge has connected by OpenFlow but is not recorded yet.
var errTooEarly = errors.New("hypervisor: bridge not recorded yet")

func (h *host) saveBridge(ctx context.Context, b intent.Bridge) error {
	if h.saved[b.DPID] == b {
		return nil
	}
	known, err := h.hs.facts.SaveBridge(ctx, b)
	if err != nil {
		return err
	}
	if !known {
		return errTooEarly
	}
	h.saved[b.DPID] = b
	return nil
}

// report records the interfaces of a bridge if they differ from those that
// this connection has recorded, and logs those that are not bound.
func (h *host) report(ctx context.Context, d intent.DPID, list []intent.Attachment) error {
	if before, done := h.reported[d]; done && slices.Equal(before, list) {
		return nil
	}
	open, err := h.hs.facts.ReportInterfaces(ctx, d, list)
	if err != nil {
		return err
	}
	h.hs.metrics.interfaces.Add(float64(len(list) - len(h.reported[d])))
	h.reported[d] = list
	logged := h.unbound[d]
	h.unbound[d] = make(map[string]string, len(open))
	for _, a := range open {
		h.unbound[d][a.Interface] = a.Reason
		if a.OFPort == 0 || logged[a.Interface] == a.Reason {
			continue // not open yet is nothing to tell of
		}
		h.log.Info("interface binds no port", zap.Stringer("dpid", d), zap.String("interface", a.Interface),
			zap.String("state", string(a.State)), zap.String("reason", a.Reason))
	}
	return nil
}

// forget reports that bridges which have gone have no interfaces any more,
// also those that went while nobody listened.
func (h *host) forget(ctx context.Context, systemID string, here map[intent.DPID]bool) error {
	gone := map[intent.DPID]bool{}
	for d := range h.reported {
		gone[d] = true
	}
	if !h.looked {
		before, err := h.hs.facts.AttachedBridges(ctx, systemID)
		if err != nil {
			return err
		}
		for _, d := range before {
			gone[d] = true
		}
		h.looked = true
	}
	for d := range gone {
		if here[d] {
			continue
		}
		if err := h.report(ctx, d, nil); err != nil {
			h.looked = false
			return err
		}
		delete(h.reported, d)
		delete(h.unbound, d)
		if b, saved := h.saved[d]; saved {
			b.Connected = false
			if err := h.saveBridge(ctx, b); err != nil {
				return err
			}
			delete(h.saved, d)
		}
	}
	return nil
}

// warnStandalone points out a bridge that loses its flows, and with them all
// isolation, some seconds after it loses the controller.
func (h *host) warnStandalone(b *ovsdb.Bridge, d intent.DPID) {
	if b.FailMode == "secure" || b.Name == h.hs.cfg.Bridge || h.warned[b.Name] {
		return
	}
	h.warned[b.Name] = true
	h.log.Warn("bridge drops its flows when it loses the controller; set it to secure",
		zap.String("bridge", b.Name), zap.Stringer("dpid", d), zap.String("command", "ovs-vsctl set-fail-mode "+b.Name+" secure"))
}

// leave records that the connection has ended, if no other has taken its
// place. Its interfaces stay what they are: nothing says that they left.
func (h *host) leave(mine bool) {
	for _, list := range h.reported {
		h.hs.metrics.interfaces.Sub(float64(len(list)))
	}
	if !mine {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.hs.cfg.Retry)
	defer cancel()
	for _, b := range h.saved {
		b.Connected = false
		if _, err := h.hs.facts.SaveBridge(ctx, b); err != nil {
			h.log.Warn("end of the OVSDB connection not recorded", zap.Error(err))
			return
		}
	}
}
