package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
	flows map[flow.Key]flow.Flow
}

// maxRefused bounds how many flows one pass leaves out because the switch
// refuses them, before it gives up.
const maxRefused = 64

// refusals are flows that the switch refused, with its reason. A flow is tried
// again when it changes and after the next read-back.
type refusals map[flow.Key]refusal

type refusal struct {
	flow   flow.Flow
	reason string
}

// pass does one round of the procedure in the package comment.
func (d *datapath) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Timeout)
	defer cancel()

	if !d.table.known {
		clear(d.refused)
	}
	for attempt := 0; ; attempt++ {
		view := d.r.intent.View(d.id, d.portList())
		free := view.Free
		if view.Unmanaged != intent.UnmanagedLearn {
			free = nil
		}
		// From here on no frame of a port that has just been bound is learned.
		forgotten := d.learned.SetPorts(free)
		if !d.table.known {
			stale, err := d.readBack(ctx)
			if err != nil {
				return err
			}
			forgotten = append(forgotten, stale...)
		}
		desired := pipeline.Flows(view)
		for key, no := range d.refused {
			if desired[key] == no.flow {
				delete(desired, key)
			} else {
				delete(d.refused, key)
			}
		}
		plan := flow.Diff(d.table.flows, desired)
		err := d.commit(ctx, plan, forgotten)
		var refused *session.CommitError
		if errors.As(err, &refused) && refused.Index < len(plan.Add) && attempt < maxRefused {
			f := plan.Add[refused.Index]
			d.refused[f.Key()] = refusal{f, refused.Err.Error()}
			d.r.metrics.refused.Inc()
			d.table.known = !refused.Partial
			d.log.Error("switch refuses a flow; its owner is in error",
				zap.Stringer("owner", pipeline.Cookie(f.Cookie)), zap.Stringer("flow", f), zap.Error(refused.Err))
			continue
		}
		if err != nil {
			return err
		}
		d.table = mirror{known: true, flows: desired}
		d.realized(view)
		return nil
	}
}

// commit sends the difference as one bundle. Flows are added before others are
// removed, for a switch that can't do it at once; the adds come first in the
// list, so that an index below len(plan.Add) is one of them.
func (d *datapath) commit(ctx context.Context, plan flow.Plan, forgotten []learn.Place) error {
	if len(plan.Add) == 0 && len(plan.Delete) == 0 && len(forgotten) == 0 {
		return nil
	}
	msgs := make([]openflow.Message, 0, len(plan.Add)+len(plan.Delete)+2*len(forgotten))
	for _, f := range plan.Add {
		msgs = append(msgs, f.Add())
	}
	for _, f := range plan.Delete {
		msgs = append(msgs, f.DeleteStrict())
	}
	for _, p := range forgotten {
		msgs = append(msgs, pipeline.LearnedSource(p.Port, p.MAC).DeleteStrict())
		msgs = append(msgs, pipeline.RemoveLearnedDest(p.Port, p.MAC))
	}
	if err := d.conn.Commit(ctx, msgs); err != nil {
		return err
	}
	d.r.metrics.flowMods.WithLabelValues("add").Add(float64(len(plan.Add)))
	d.r.metrics.flowMods.WithLabelValues("delete").Add(float64(len(msgs) - len(plan.Add)))
	d.log.Info("flows changed", zap.Int("added", len(plan.Add)), zap.Int("deleted", len(plan.Delete)), zap.Int("forgotten", len(forgotten)))
	return d.flushZones(ctx, plan)
}

// flushZones forgets the connections of conntrack zones whose port is gone, so
// that the next port that gets the zone does not inherit them.
func (d *datapath) flushZones(ctx context.Context, plan flow.Plan) error {
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
	for _, f := range plan.Add {
		if old, ok := d.table.flows[f.Key()]; ok {
			lost(old)
		}
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

// readBack fills the mirror from the switch and returns the learned places
// whose flows must go.
func (d *datapath) readBack(ctx context.Context) ([]learn.Place, error) {
	flows := map[flow.Key]flow.Flow{}
	found := map[learn.Place]learn.Halves{}
	foreign := 0
	at := d.r.cfg.Now()
	request := &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	err := d.conn.Multipart(ctx, request, func(b openflow.MultipartBody) error {
		part, ok := b.(*openflow.FlowStatsReply)
		if !ok {
			return fmt.Errorf("reconcile: read back: answer of type %T", b)
		}
		for _, s := range part.Flows {
			cookie := pipeline.Cookie(s.Cookie)
			if !cookie.Ours() {
				foreign++
				continue
			}
			f, err := flow.FromStats(s)
			if err != nil {
				return fmt.Errorf("reconcile: read back: %w", err)
			}
			switch half, port, a := pipeline.ParseLearned(f.Key(), cookie); half {
			case pipeline.NotLearned:
				flows[f.Key()] = f
			case pipeline.SourceHalf:
				h := found[learn.Place{MAC: a, Port: port}]
				h.Source = true
				found[learn.Place{MAC: a, Port: port}] = h
			case pipeline.DestHalf:
				h := found[learn.Place{MAC: a, Port: port}]
				h.Dest = true
				found[learn.Place{MAC: a, Port: port}] = h
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if foreign != d.facts.ForeignFlows {
		d.log.Info("flows that are not ours are left alone", zap.Int("count", foreign))
	}
	d.facts.ForeignFlows = foreign
	d.table = mirror{known: true, flows: flows}
	return d.learned.Adopt(at, found), nil
}

// realized derives what the confirmed view means for ports and switch.
func (d *datapath) realized(v *intent.View) {
	states := slices.Clone(v.States)
	var fault string
	for _, no := range d.refused {
		owner := pipeline.Cookie(no.flow.Cookie)
		hit := pipeline.Affected(v, owner)
		for i := range states {
			if hit[states[i].Num] {
				states[i].Status, states[i].Reason = intent.PortError, "switch "+d.id.String()+" refused a flow: "+no.reason
			}
		}
		fault = fmt.Sprintf("flow of %s refused: %s", owner, no.reason)
	}
	if d.facts.Realized != v.Revision || d.facts.Error != fault {
		d.facts.Realized, d.facts.Error = v.Revision, fault
		d.setFactsDirty()
	}
	d.pending = states
}

// record writes facts that changed to the database.
func (d *datapath) record(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.r.cfg.Record)
	defer cancel()
	// A change of intent may have reset what was recorded, so equal states are
	// recorded again at a new revision; the database writes only what differs.
	if d.recorded.revision != d.facts.Realized || !slices.Equal(d.recorded.states, d.pending) {
		if len(d.pending) > 0 {
			if err := d.r.facts.SavePortStates(ctx, d.id, d.pending); err != nil {
				return err
			}
		}
		d.recorded.revision, d.recorded.states = d.facts.Realized, d.pending
	}

	d.mu.Lock()
	dirty := d.factsDirty
	d.factsDirty = false
	d.facts.FailMode = d.failMode
	d.facts.UpdatedAt = d.r.cfg.Now()
	d.facts.Ports = slices.SortedFunc(maps.Values(d.ports), func(a, b intent.SwitchPort) int { return int(int64(a.No) - int64(b.No)) })
	d.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := d.r.facts.SaveSwitch(ctx, d.facts); err != nil {
		d.setFactsDirty()
		return err
	}
	return nil
}

func (d *datapath) recordDisconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), d.r.cfg.Retry)
	defer cancel()
	d.facts.Connected = false
	d.facts.UpdatedAt = d.r.cfg.Now()
	if err := d.r.facts.SaveSwitch(ctx, d.facts); err != nil {
		d.log.Warn("disconnection not recorded", zap.Error(err))
	}
}

func (d *datapath) portList() []intent.SwitchPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.ports))
}
