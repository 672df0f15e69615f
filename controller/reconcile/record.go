package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
)

// maxWriters is how many switches' facts are written at a time. A thousand
// switches that connect together would else take all connections to the
// database from those who serve requests, and most would be too late.
const maxWriters = 4

// ledger is what the database is to know of a switch. Whoever learns something
// writes it here, under datapath.mu, and calls tell; nobody waits for the database.
type ledger struct {
	facts  intent.Switch // but for ports and capabilities
	dirty  bool          // facts are to be written
	view   *intent.View  // that the states are of
	states []intent.PortState
}

// note takes down facts.
func (d *datapath) note(f func(*intent.Switch)) {
	d.mu.Lock()
	f(&d.ledger.facts)
	d.ledger.dirty = true
	d.mu.Unlock()
	d.tell()
}

// facts are those that were taken down.
func (d *datapath) facts() intent.Switch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.facts
}

// noteStates takes down what a pass has made of the ports.
func (d *datapath) noteStates(v *intent.View, states []intent.PortState) {
	d.mu.Lock()
	d.ledger.view, d.ledger.states = v, states
	d.mu.Unlock()
	d.tell()
}

// scribe is what keeps the database up to the ledger of a switch.
type scribe struct {
	d      *datapath
	view   *intent.View // that the states were of that the database has
	states []intent.PortState
	wrote  time.Time // when facts were
}

// run works until ctx ends.
func (s *scribe) run(ctx context.Context) {
	d := s.d
	var later <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.news:
		case <-later:
		}
		select {
		case d.r.writers <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait, err := s.write(ctx)
		<-d.r.writers
		if err != nil && ctx.Err() == nil {
			d.log.Warn("realized state not recorded; will try again", zap.Error(err))
			wait = d.r.cfg.Retry
		}
		later = nil
		if wait > 0 {
			later = time.After(wait)
		}
	}
}

// write brings the database up to the ledger, and says when to come again for
// what has to wait; 0: for nothing.
func (s *scribe) write(ctx context.Context) (wait time.Duration, err error) {
	d := s.d
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Record)
	defer cancel()
	d.mu.Lock()
	now := d.ledger
	dirty := now.dirty
	if wait = d.r.cfg.Pause - time.Since(s.wrote); wait > 0 {
		dirty = false
	}
	if dirty {
		d.ledger.dirty = false
		d.completeFacts(&now.facts)
	}
	d.mu.Unlock()

	// A change of intent may have reset what was recorded, which then comes in a
	// new layout: equal states are recorded again. The database writes only what
	// differs.
	if now.view != nil && (!now.view.SameLayout(s.view) || !slices.Equal(now.states, s.states)) {
		if len(now.states) > 0 {
			if err = d.r.facts.SavePortStates(ctx, d.id, now.states); err != nil {
				s.again(dirty)
				return 0, err
			}
		}
		s.view, s.states = now.view, now.states
	}
	if !dirty {
		if !now.dirty {
			wait = 0
		}
		return wait, nil
	}
	if err = d.r.facts.SaveSwitch(ctx, now.facts); err != nil {
		s.again(true)
		return 0, err
	}
	s.wrote = time.Now()
	return 0, nil
}

// again notes that facts were not written after all, if they should have been.
func (s *scribe) again(dirty bool) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.ledger.dirty = s.d.ledger.dirty || dirty
}

// completeFacts adds what is kept elsewhere. The caller holds d.mu.
func (d *datapath) completeFacts(f *intent.Switch) {
	f.Capabilities = d.capabilities()
	f.UpdatedAt = d.r.cfg.Now()
	f.Ports = d.portsInOrder()
}

// recordDisconnect is for the end, when nothing else writes any more.
func (d *datapath) recordDisconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), d.r.cfg.Record)
	defer cancel()
	d.mu.Lock()
	f := d.ledger.facts
	d.completeFacts(&f)
	d.mu.Unlock()
	f.Connected = false
	var err error
	select {
	case d.r.writers <- struct{}{}:
		err = d.r.facts.SaveSwitch(ctx, f)
		<-d.r.writers
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		d.log.Warn("disconnection not recorded", zap.Error(err))
	}
}

// portsInOrder are the ports by number, in memory that is not changed and is
// the same one until they change. The caller holds d.mu.
func (d *datapath) portsInOrder() []intent.SwitchPort {
	if d.sorted == nil {
		d.sorted = slices.SortedFunc(maps.Values(d.ports), func(a, b intent.SwitchPort) int { return int(int64(a.No) - int64(b.No)) })
	}
	return d.sorted
}

func (d *datapath) portList() []intent.SwitchPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.portsInOrder()
}
