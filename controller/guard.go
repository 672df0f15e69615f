package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

const (
	// guardPause bounds how often moves are written, guardRetry follows a write
	// that failed, and guardEvery is how often it is looked for blocks whose time is over.
	guardPause = 50 * time.Millisecond
	guardRetry = time.Second
	guardEvery = time.Second

	// guardQueue bounds what is kept for the database and the log.
	guardQueue = 1 << 13

	// homeBatch is how many homes are written at once.
	homeBatch = 1000

	// tellEvery is the least time between two log lines about one address.
	tellEvery = time.Minute
)

// sentry tells the database what the guard finds, and makes and ends blocks. What
// it hears it keeps until it has been written, so that nobody who learns waits.
type sentry struct {
	started guard.Settings // what holds where nothing else is set
	watch   *guard.Watch
	store   *store.Store
	log     *zap.Logger
	metrics sentryMetrics

	mu       sync.Mutex
	events   []intent.Event // that wait to be written
	findings []finding

	told map[mac.Addr]time.Time // when the log last spoke of an address; of the goroutine that runs
}

// heard is what waits to be written.
type heard struct {
	guard.Heard
	findings []finding
	events   []intent.Event
}

type sentryMetrics struct {
	blocks   prometheus.Counter
	findings *prometheus.CounterVec
}

func newSentry(started guard.Settings, st *store.Store, log *zap.Logger, reg prometheus.Registerer) *sentry {
	if started.Threshold == (guard.Threshold{}) {
		started = guard.Preset
	}
	f := promauto.With(reg)
	w := guard.NewWatch(guard.NewPolicy(started, nil))
	count := func(name, help string, read func() int64) {
		f.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
	}
	count("macloom_guard_moves_total", "Stations that were seen at another place of the edge than before.", func() int64 { moves, _ := w.Counts(); return moves })
	count("macloom_guard_unheard_total", "What the guard has not looked at because too much waited for the database.", func() int64 { _, unheard := w.Counts(); return unheard })
	return &sentry{
		started: started, watch: w, store: st, log: log, told: map[mac.Addr]time.Time{},
		metrics: sentryMetrics{
			blocks:   f.NewCounter(prometheus.CounterOpts{Name: "macloom_guard_blocks_made_total", Help: "Blocks that the guard has made."}),
			findings: f.NewCounterVec(prometheus.CounterOpts{Name: "macloom_guard_findings_total", Help: "Addresses that moved too often (moves), or were seen where they do not belong (conflict)."}, []string{"cause"}),
		},
	}
}

// load takes over the settings, and where stations were at home when the controller ended.
func (s *sentry) load(ctx context.Context) error {
	homes, err := s.store.MACHomes(ctx)
	if err != nil {
		return err
	}
	s.watch.Load(time.Now(), homes)
	return s.loadSettings(ctx)
}

// loadSettings takes over the settings as they are by now.
func (s *sentry) loadSettings(ctx context.Context) error {
	set, err := s.store.MACGuards(ctx, store.Scope{Admin: true}, store.Query{})
	if err == nil {
		s.watch.SetPolicy(time.Now(), guard.NewPolicy(s.started, set))
	}
	return err
}

// Seen implements reconcile.Guard.
func (s *sentry) Seen(now time.Time, a mac.Addr, at intent.Place) { s.watch.Seen(now, a, at) }

// Limited implements reconcile.Guard. It is written with the next look at the clock.
func (s *sentry) Limited(at intent.Place, name string, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) < guardQueue {
		s.events = append(s.events, intent.Event{Kind: intent.EventMACLimit, Switch: at.Switch, Port: at.Port, Interface: name, Details: map[string]any{"limit": most}})
	}
}

// Known implements reconcile.Guard.
func (s *sentry) Known(now time.Time, a mac.Addr, at intent.Place) { s.watch.Known(now, a, at) }

// Barred implements reconcile.Guard.
func (s *sentry) Barred(a mac.Addr, at intent.Place) { s.watch.Barred(a, at) }

// Gone implements reconcile.Guard.
func (s *sentry) Gone(now time.Time, a mac.Addr, at intent.Place) { s.watch.Gone(now, a, at) }

// Lost implements reconcile.Guard.
func (s *sentry) Lost(now time.Time, at intent.Place) { s.watch.Lost(now, at) }

// run writes what was heard and ends blocks, until ctx ends.
func (s *sentry) run(ctx context.Context, due func(time.Time) bool) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-s.watch.News():
			err = s.write(ctx)
		case now := <-tick.C:
			if due(now) {
				err = s.expire(ctx)
			}
			s.watch.Sweep(now)
			err = errors.Join(err, s.saveHomes(ctx), s.write(ctx))
		}
		pause := guardPause
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what the guard found is not recorded; will try again", zap.Error(err))
			pause = guardRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// saveHomes writes where stations are at home by now.
func (s *sentry) saveHomes(ctx context.Context) error {
	homes := s.watch.Changed(homeBatch)
	if len(homes) == 0 {
		return nil
	}
	err := s.store.SaveMACHomes(ctx, homes)
	if err != nil {
		s.watch.Unsaved(homes)
	}
	return err
}

// expire ends the blocks whose time is over.
func (s *sentry) expire(ctx context.Context) error {
	over, err := s.store.ExpireBlocks(ctx)
	for i := range over {
		s.log.Info("block has expired", zap.Stringer("block", &over[i]), zap.String("id", over[i].ID))
	}
	return err
}

// write takes what was heard and acts on it. What could not be written is heard again.
func (s *sentry) write(ctx context.Context) error {
	h := heard{Heard: s.watch.Take()}
	s.mu.Lock()
	h.events, h.findings, s.events, s.findings = s.events, s.findings, nil, nil
	s.mu.Unlock()
	err := s.judge(ctx, &h)
	if err == nil {
		return nil
	}
	s.watch.Again(h.Heard)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findings, s.events = append(h.findings, s.findings...), append(h.events, s.events...)
	return err
}

// judge acts on what was heard, and takes away from it what is done.
func (s *sentry) judge(ctx context.Context, h *heard) error {
	now := time.Now()
	if err := s.find(ctx, h, now); err != nil {
		return err
	}
	for len(h.findings) > 0 {
		f := &h.findings[0]
		news, err := s.act(ctx, f, now)
		if err != nil {
			return err
		}
		if news && !f.Conflict { // a conflict is an event by itself
			h.events = append(h.events, f.event())
		}
		h.Judged(&f.Finding)
		h.findings = h.findings[1:]
	}
	if err := s.store.Happened(ctx, h.events...); err != nil {
		return err
	}
	h.events = nil
	if len(h.Moves) == 0 {
		return nil
	}
	moves := make([]intent.MACMove, 0, len(h.Moves))
	for _, m := range h.Moves {
		moves = append(moves, *m)
	}
	if err := s.store.RecordMoves(ctx, moves); err != nil {
		return err
	}
	clear(h.Moves)
	return nil
}

// finding is one with the settings that are for the address.
type finding struct {
	guard.Finding
	set guard.Settings
}

// find looks what is wrong with the stations that have turned up or moved. What nobody looks at is
// forgotten.
func (s *sentry) find(ctx context.Context, h *heard, now time.Time) error {
	if len(h.Sightings) == 0 {
		return nil // who has moved has turned up
	}
	seen := make([]store.MACSighting, 0, len(h.Sightings))
	judged, noted := make(map[mac.Addr]bool, len(h.Sightings)), make(map[guard.Sighting]bool, len(h.Sightings))
	for _, f := range h.Sightings {
		if judged[f.MAC] = false; !noted[f] {
			noted[f] = true
			seen = append(seen, store.MACSighting{Addr: f.MAC, Datapath: f.At.Switch, SwitchPort: f.At.Port})
		}
	}
	managed, err := s.store.FindManaged(ctx, seen)
	if err != nil {
		return err
	}
	h.Sightings = nil
	policy := s.watch.Policy()
	owner := make(map[mac.Addr]*store.Managed, len(managed))
	for i := range managed {
		m := &managed[i]
		owner[m.Addr] = m
		set, at := policy.For(m.NetworkID), intent.Place{Switch: m.Datapath, Port: m.SwitchPort}
		if !m.Misplaced || set.Ignores(m.Addr) || set.Trusts(at) {
			continue
		}
		h.findings = append(h.findings, finding{guard.Finding{
			MAC: m.Addr, Home: m.Home, Places: []intent.Place{at}, Culprits: []intent.Place{at}, Moves: 1, Since: now, Conflict: true,
		}, set})
		h.Move(now, guard.Journey{MAC: m.Addr, From: m.Home, To: at}, 1, intent.MoveConflict)
	}
	for j := range h.Moves {
		var m store.Managed
		if o := owner[j.MAC]; o != nil {
			m = *o
		}
		set := policy.For(m.NetworkID)
		if set.Ignores(j.MAC) {
			delete(h.Moves, j)
		} else if done, turnedUp := judged[j.MAC]; turnedUp && !done {
			judged[j.MAC] = true
			if f := s.watch.Judge(j.MAC, &set, m.Bound); f != nil {
				h.findings = append(h.findings, finding{*f, set})
			}
		}
	}
	return nil
}

// event tells of a station that moves too often.
func (f *finding) event() intent.Event {
	at := f.Culprits[0]
	return intent.Event{Kind: intent.EventMACMove, MAC: f.MAC, Switch: at.Switch, Port: at.Port, Details: map[string]any{
		"moves": f.Moves, "seconds": f.set.Threshold.Within.Seconds(), "action": string(f.set.Action),
		"from_switch": f.Home.Switch.String(), "from_port": f.Home.Port,
	}}
}

// act does what is to be done about a finding. It says whether that is worth a word: not
// if the same has been said just now.
func (s *sentry) act(ctx context.Context, f *finding, now time.Time) (news bool, err error) {
	cause := intent.BlockMoves
	if f.Conflict {
		cause = intent.BlockConflict
	}
	for _, at := range f.Culprits {
		if f.Conflict {
			// If it is a managed address, the conflict is known under /v2.0/mac-conflicts, too.
			if _, _, err := s.store.ReportSighting(ctx, store.MACSighting{Addr: f.MAC, Datapath: at.Switch, SwitchPort: at.Port}); err != nil {
				return false, err
			}
		}
		if f.set.Action == intent.GuardReport {
			continue
		}
		b := intent.Block{At: at, Cause: cause, Reason: reason(&f.Finding)}
		if f.set.Action == intent.GuardBlockMAC {
			b.MAC = f.MAC
		}
		b, isNew, err := s.store.AddBlock(ctx, b, f.set.Term)
		if err != nil {
			return false, err
		}
		if isNew {
			news = true
			s.metrics.blocks.Inc()
			s.log.Warn("blocked", zap.Stringer("block", &b), zap.String("id", b.ID), zap.String("reason", b.Reason), zap.Duration("for", b.Term))
		}
	}
	s.metrics.findings.WithLabelValues(string(cause)).Inc()
	if !news && now.Sub(s.told[f.MAC]) < tellEvery {
		return false, nil
	}
	if len(s.told) >= guardQueue {
		clear(s.told)
	}
	s.told[f.MAC] = now
	if !news { // a block has been told of
		s.log.Warn("a MAC address is where it does not belong", zap.Stringer("mac", f.MAC), zap.String("why", reason(&f.Finding)), zap.Stringers("places", f.Places))
	}
	return true, nil
}

// reason says what is wrong, in at most 255 characters.
func reason(f *guard.Finding) string {
	if f.Conflict {
		if f.Home == (intent.Place{}) {
			return fmt.Sprintf("%s is managed and belongs nowhere at the edge", f.MAC)
		}
		return fmt.Sprintf("%s belongs to port %s", f.MAC, f.Home)
	}
	const shown = 6
	var words []string
	for _, p := range f.Places[:min(shown, len(f.Places))] {
		words = append(words, p.String())
	}
	if len(f.Places) > shown {
		words = append(words, "…")
	}
	return fmt.Sprintf("%s moved %d times between ports %s; it was at %s before", f.MAC, f.Moves, strings.Join(words, ", "), f.Home)
}

// blocksDue reports whether the time of a block is over.
func (w *world) blocksDue(now time.Time) (due bool) {
	w.read(func(s *intent.State) {
		for b := range s.Blocks() {
			due = due || !b.ExpiresAt.IsZero() && !now.Before(b.ExpiresAt)
		}
	})
	return due
}

// blocks counts the blocks in force.
func (w *world) blocks() (n int) {
	w.read(func(s *intent.State) {
		for range s.Blocks() {
			n++
		}
	})
	return n
}
