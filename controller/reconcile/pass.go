package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"weak"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/learn"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// mirror is what the switch holds of ours, as far as it is known: read back,
// then kept by bundles that the switch confirmed.
type mirror struct {
	known bool
	state flow.State
	view  *intent.View // nil: the state is not, or not quite, what follows from one

	// Flows that follow from the view are not kept: those of a thousand switches
	// would be most of the memory, and hardly anybody asks. They are made anew for who
	// does, and stay for as long as there is room.
	dropped bool
	made    weak.Pointer[flow.Set]
}

// mirror takes over what the switch is known to hold. view is the one that it
// follows from, if that is all that it holds.
func (d *datapath) mirror(s flow.State, view *intent.View) {
	d.mirrorMu.Lock()
	defer d.mirrorMu.Unlock()
	d.table = mirror{known: true, state: s, view: view}
	if view != nil && d.r.cfg.Change != nil {
		d.table.state.Flows, d.table.dropped = nil, true
	}
}

// mirrored are the flows that the switch is known to hold.
func (d *datapath) mirrored() flow.Set {
	d.mirrorMu.Lock()
	defer d.mirrorMu.Unlock()
	t := &d.table
	if !t.dropped {
		return t.state.Flows
	}
	if made := t.made.Value(); made != nil {
		return *made
	}
	flows := d.r.cfg.Compute(t.view).Flows
	t.made = weak.Make(&flows)
	return flows
}

// unfold is for who is about to change what follows from no view.
func (d *datapath) unfold() {
	flows := d.mirrored()
	d.mirrorMu.Lock()
	defer d.mirrorMu.Unlock()
	d.table.state.Flows, d.table.dropped = flows, false
}

const (
	// passesPerCPU is how many switches are read back or compiled as a whole at a
	// time. More would not be faster, but hold the memory of all at once and keep
	// others from being heard.
	passesPerCPU = 8
	// passPatience is how long one of them may take before others do not wait for it.
	passPatience = 5 * time.Second
)

// enter waits for a place among the passes, unless the next one is a small
// change. It returns what gives the place back.
func (d *datapath) enter(ctx context.Context) (leave func()) {
	if d.table.known && !d.doubted && d.table.view != nil {
		return func() {}
	}
	select {
	case d.r.passes <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	give := sync.OnceFunc(func() { <-d.r.passes })
	slow := time.AfterFunc(d.r.patience, give)
	return func() {
		slow.Stop()
		give()
	}
}

// pass does one round of the procedure in the package comment.
func (d *datapath) pass(ctx context.Context) error {
	defer d.enter(ctx)()
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Timeout)
	defer cancel()

	d.full = map[uint8]bool{}
	var drift flow.Plan
	var forgotten []learn.Place // in any attempt
	var blocked []learn.Place   // those of them that are blocked
	var untrue []flow.Key       // flows about neighbours that are not so, in any attempt
	for attempt := 0; ; attempt++ {
		view := d.view()
		d.place(view)
		// From here on no frame of a port that has just been bound is learned.
		forgotten = append(forgotten, d.missed(d.learned.SetPorts(view.Edges()))...)
		blocked = append(blocked, d.missed(d.learned.Bar(barred(view)))...)
		if !d.table.known || d.doubted {
			start := time.Now()
			d.readAt = d.r.cfg.Now()
			h, err := d.readBack(ctx)
			if err != nil {
				return err
			}
			d.lastRead, d.readTook, d.doubted = time.Now(), time.Since(start), false
			if d.placed(h.open) {
				d.place(view)
				forgotten = append(forgotten, d.missed(d.learned.SetPorts(view.Edges()))...)
			}
			d.known(view, h.learned)
			untrue = append(untrue, d.adopt(h)...)
			untrue = append(untrue, dangling(view, h)...)
			d.countPins(len(h.pins))
			changed, stale := d.found(h)
			untrue = append(untrue, d.takeOver(h)...)
			d.tellStations()
			if changed.Len() > 0 {
				drift = changed
			}
			forgotten = append(forgotten, stale...)
		}
		gone := slices.Concat(forgotten, blocked)
		d.served.Store(view)
		if plan, done := d.step(view); plan != nil {
			if err := d.commit(ctx, plan, gone, untrue); err != nil {
				var refused *session.CommitError
				if !errors.As(err, &refused) {
					return err
				}
				// The long way knows what to do about it.
				d.unfold()
				d.table.view, d.table.known = nil, !refused.Partial
				continue
			}
			done()
			d.realized(view, nil)
			d.goodbye(gone)
			d.left(blocked)
			return nil
		}
		d.desired = d.r.cfg.Compute(view)
		lacking := d.refused.leaveOut(&d.desired)
		d.unfold()
		plan := flow.Diff(d.table.state, d.desired.State)
		if d.refused.forgetFull(&plan) {
			continue
		}
		if err := d.commit(ctx, &plan, gone, untrue); err != nil {
			if attempt < maxRefused {
				err = d.refuse(ctx, err, &plan)
			}
			if err != nil {
				return err
			}
			continue
		}
		follows := view
		if !d.refused.empty() {
			follows = nil
		}
		d.mirror(d.desired.State, follows)
		d.desired.Flows = nil
		d.repaired(&drift)
		d.realized(view, lacking)
		d.goodbye(gone)
		d.left(blocked)
		return nil
	}
}

// step is the short way: where the switch holds exactly what follows from an
// earlier view, only the parts of the view that differ are compiled. It returns
// the plan, and what to do when it is carried out; no plan where all must be
// compiled.
func (d *datapath) step(view *intent.View) (plan *flow.Plan, done func()) {
	if d.table.view == nil || d.r.cfg.Change == nil {
		return nil, nil
	}
	gone, come, ok := d.r.cfg.Change(d.table.view, view)
	if !ok {
		return nil, nil
	}
	next := pipeline.After(d.table.view, d.table.state.Groups, view)
	p := flow.Diff(
		flow.State{Flows: gone, Groups: d.table.state.Groups, Meters: d.table.state.Meters},
		flow.State{Flows: come, Groups: next.Groups, Meters: next.Meters})
	return &p, func() {
		d.mirror(next.State, view)
		d.desired = next
	}
}

// commit sends the difference, as one bundle but for meters, which no bundle
// can hold. The plan comes first in the list, so that an index below its length is one of its
// objects.
func (d *datapath) commit(ctx context.Context, plan *flow.Plan, forgotten []learn.Place, untrue []flow.Key) error {
	if plan.Empty() && len(forgotten) == 0 && len(untrue) == 0 {
		return nil
	}
	msgs := plan.Messages()
	for _, p := range forgotten {
		msgs = append(msgs, pipeline.LearnedSource(p.Port, p.MAC).DeleteStrict())
		msgs = append(msgs, pipeline.RemoveLearnedDest(p.Port, p.MAC))
	}
	for _, key := range untrue {
		msgs = append(msgs, key.DeleteStrict())
	}
	if err := d.conn.Commit(ctx, msgs); err != nil {
		return err
	}
	d.r.metrics.flowMods.WithLabelValues("add").Add(float64(len(plan.Add)))
	d.r.metrics.flowMods.WithLabelValues("delete").Add(float64(len(plan.Delete) + 2*len(forgotten) + len(untrue)))
	d.log.Info("flows changed", zap.Int("added", len(plan.Add)), zap.Int("deleted", len(plan.Delete)), zap.Int("forgotten", len(forgotten)+len(untrue)),
		zap.Int("groups", len(plan.AddGroups)+len(plan.ModifyGroups)+len(plan.DeleteGroups)),
		zap.Int("meters", len(plan.AddMeters)+len(plan.ModifyMeters)+len(plan.DeleteMeters)))
	return d.flushZones(ctx, plan)
}

// flushZones forgets the connections of conntrack zones whose port is gone, so
// that the next port that gets the zone does not inherit them.
func (d *datapath) flushZones(ctx context.Context, plan *flow.Plan) error {
	holders := map[uint16]uint64{} // zone → cookie of the port that has it now
	for _, f := range plan.Add {
		if zone, ok := pipeline.ZoneOf(f); ok {
			holders[zone] = f.Cookie
		}
	}
	var flush []openflow.Message
	lost := func(f flow.Flow) {
		if zone, ok := pipeline.ZoneOf(f); ok && holders[zone] != f.Cookie {
			flush = append(flush, &openflow.CTFlushZone{Zone: zone})
		}
	}
	for _, f := range plan.Delete {
		lost(f)
	}
	for _, f := range plan.Replaced {
		lost(f)
	}
	if len(flush) == 0 {
		return nil
	}
	if err := d.conn.Commit(ctx, flush); err != nil {
		// Not every switch can; the rules still decide on what was left behind.
		d.log.Warn("connections of removed ports not flushed", zap.Error(err))
		if d.conn.Err() != nil {
			return err
		}
	}
	return nil
}

// realized derives what the confirmed view means for ports and switch. A port is
// in error if its owner lacks something.
func (d *datapath) realized(v *intent.View, lacking faults) {
	d.settled(v)
	d.checkup.adopt(v, lacking)
	if d.r.cfg.Realized != nil {
		d.r.cfg.Realized(v)
	}
	states := v.Realized()
	if len(lacking) > 0 {
		states = slices.Clone(states)
	}
	for _, owner := range slices.Sorted(maps.Keys(lacking)) {
		hit := pipeline.Affected(v, owner)
		for i := range states {
			if hit[states[i].Num] {
				states[i].Status, states[i].Reason = intent.PortError, fmt.Sprintf("switch %s: %s: %s", d.id, owner, lacking[owner])
			}
		}
	}
	d.noteStates(v, states)
	d.notePools(v, lacking)
	fault := d.fault(lacking)
	if d.facts().Realized != v.Revision || d.facts().Error != fault {
		d.note(func(f *intent.Switch) { f.Realized, f.Error = v.Revision, fault })
	}
}
