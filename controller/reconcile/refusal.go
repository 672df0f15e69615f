package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
)

// maxRefused bounds how many refusals one pass puts up with. The next pass goes
// on from there.
const maxRefused = 64

// refusals is what the switch refused, with its reasons. It is tried again when
// it changes, and with the next audit.
type refusals struct {
	flows  map[flow.Key]refusal[flow.Flow]
	groups map[uint32]refusal[flow.Group]
	meters map[uint32]refusal[flow.Meter]
}

type refusal[T comparable] struct {
	what   T
	reason string
	full   bool // for lack of room only
}

func newRefusals() refusals {
	return refusals{map[flow.Key]refusal[flow.Flow]{}, map[uint32]refusal[flow.Group]{}, map[uint32]refusal[flow.Meter]{}}
}

func (r *refusals) clear() {
	clear(r.flows)
	clear(r.groups)
	clear(r.meters)
}

func (r *refusals) empty() bool { return len(r.flows)+len(r.groups)+len(r.meters) == 0 }

// faults says for each owner what its object lacks in the switch.
type faults map[pipeline.Cookie]string

func (f faults) add(owner pipeline.Cookie, reason string) {
	if _, ok := f[owner]; !ok {
		f[owner] = reason
	}
}

// String names the first owner, in the order of cookies, and the number of others.
func (f faults) String() string {
	if len(f) == 0 {
		return ""
	}
	first := slices.Min(slices.Collect(maps.Keys(f)))
	s := fmt.Sprintf("%s: %s", first, f[first])
	if len(f) > 1 {
		s += fmt.Sprintf(" (and %d more)", len(f)-1)
	}
	return s
}

// leaveOut removes from d what the switch refused, and what cannot be without
// it. Refusals of what is wanted no longer are forgotten.
func (r *refusals) leaveOut(d *pipeline.Desired) faults {
	f := faults{}
	if r.empty() {
		return f
	}
	noMeter := without(&d.Meters, r.meters, func(m flow.Meter) uint32 { return m.ID }, func(m flow.Meter, reason string) {
		f.add(d.MeterOwners[m.ID], fmt.Sprintf("meter %d refused: %s", m.ID, reason))
	})
	noGroup := without(&d.Groups, r.groups, func(g flow.Group) uint32 { return g.ID }, func(g flow.Group, reason string) {
		f.add(d.GroupOwners[g.ID], fmt.Sprintf("group %#x refused: %s", g.ID, reason))
	})
	flows := []flow.Flow(d.Flows)
	without(&flows, r.flows, flow.Flow.Key, func(w flow.Flow, reason string) {
		f.add(pipeline.Cookie(w.Cookie), "flow refused: "+reason)
	})
	if len(noMeter)+len(noGroup) > 0 {
		flows = slices.DeleteFunc(flows, func(w flow.Flow) bool {
			lacks := ""
			w.Needs(
				func(id uint32) {
					if noGroup[id] {
						lacks = fmt.Sprintf("needs group %#x, which was refused", id)
					}
				},
				func(id uint32) {
					if noMeter[id] {
						lacks = fmt.Sprintf("needs meter %d, which was refused", id)
					}
				})
			if lacks != "" {
				f.add(pipeline.Cookie(w.Cookie), lacks)
			}
			return lacks != ""
		})
	}
	d.Flows = flows
	return f
}

// without removes from list what was refused and returns its keys. It forgets
// the refusals of what is not in the list.
func without[K, T comparable](list *[]T, refused map[K]refusal[T], key func(T) K, each func(T, string)) map[K]bool {
	out := map[K]bool{}
	if len(refused) == 0 {
		return out
	}
	*list = slices.DeleteFunc(*list, func(v T) bool {
		k := key(v)
		no, ok := refused[k]
		if ok = ok && no.what == v; ok {
			out[k] = true
			each(v, no.reason)
		}
		return ok
	})
	maps.DeleteFunc(refused, func(k K, _ refusal[T]) bool { return !out[k] })
	return out
}

// forgetFull forgets what found no room in the tables that the plan takes flows
// out of, and says whether there was such.
func (r *refusals) forgetFull(plan *flow.Plan) bool {
	before := len(r.flows)
	if before > 0 {
		var roomier [256]bool
		for i := range plan.Delete {
			roomier[plan.Delete[i].Table] = true
		}
		maps.DeleteFunc(r.flows, func(k flow.Key, no refusal[flow.Flow]) bool { return no.full && roomier[k.Table] })
	}
	return len(r.flows) < before
}

// refuse notes that the switch refused a part of the plan, if that is what the
// cause says, and returns nil if it is worth another try without it.
func (d *datapath) refuse(ctx context.Context, cause error, plan *flow.Plan) error {
	var refused *session.CommitError
	if !errors.As(cause, &refused) {
		return cause
	}
	o, removes := plan.Object(refused.Index)
	if o == (flow.Object{}) || removes {
		return cause
	}
	d.table.known = d.table.known && !refused.Partial
	reason := refused.Err.Error()
	count, owner := 1, pipeline.Cookie(0)
	switch {
	case o.Meter != nil:
		owner = d.desired.MeterOwners[o.Meter.ID]
		d.refused.meters[o.Meter.ID] = refusal[flow.Meter]{what: *o.Meter, reason: reason}
	case o.Group != nil:
		owner = d.desired.GroupOwners[o.Group.ID]
		d.refused.groups[o.Group.ID] = refusal[flow.Group]{what: *o.Group, reason: reason}
	case tableFull(refused):
		if made, err := d.makeRoom(ctx, o.Flow.Table, plan); made || err != nil {
			return err
		}
		owner = pipeline.Cookie(o.Flow.Cookie)
		d.refused.flows[o.Flow.Key()] = refusal[flow.Flow]{*o.Flow, reason, true}
		if d.full[o.Flow.Table] { // for the second time
			count = d.refuseRest(*o.Flow, plan, reason)
		}
		d.full[o.Flow.Table] = true
	default:
		owner = pipeline.Cookie(o.Flow.Cookie)
		d.refused.flows[o.Flow.Key()] = refusal[flow.Flow]{what: *o.Flow, reason: reason}
	}
	d.r.metrics.refused.Add(float64(count))
	d.log.Error("switch refuses what it should hold; the owner is in error",
		zap.Stringer("owner", owner), zap.Stringer("refused", o), zap.Int("count", count), zap.Error(refused.Err))
	return nil
}

// makeRoom removes what has to go from a table that has no room for the old and
// the new at once, before anything is added: Open vSwitch counts what a bundle removes until the
// bundle is done. It says whether that was anything.
func (d *datapath) makeRoom(ctx context.Context, table uint8, plan *flow.Plan) (bool, error) {
	if !d.table.known {
		return false, nil // it is read back first
	}
	var gone []flow.Flow
	var msgs []openflow.Message
	for _, f := range plan.Delete {
		if f.Table == table {
			gone = append(gone, f)
			msgs = append(msgs, f.DeleteStrict())
		}
	}
	if len(gone) == 0 {
		return false, nil
	}
	if err := d.conn.Commit(ctx, msgs); err != nil {
		return false, err
	}
	d.log.Warn("table is too full for old and new flows at once; removed the old ones first",
		zap.Uint8("table", table), zap.Int("removed", len(gone)))
	d.r.metrics.flowMods.WithLabelValues("delete").Add(float64(len(msgs)))
	left := d.table.state
	left.Flows = slices.DeleteFunc(slices.Clone(left.Flows), func(f flow.Flow) bool {
		_, found := slices.BinarySearchFunc(gone, f, flow.Compare)
		return found
	})
	d.mirror(left, nil)
	return true, nil
}

func tableFull(e *session.CommitError) bool {
	var se *session.SwitchError
	const full = 1 // OFPFMFC_TABLE_FULL
	return errors.As(e.Err, &se) && se.Err.ErrType == openflow.ErrorFlowModFailed && se.Err.Code == full
}

// refuseRest notes as refused all flows of the plan that would take further
// room in the table that is full with first. Those before it have found room.
func (d *datapath) refuseRest(first flow.Flow, plan *flow.Plan, reason string) (count int) {
	replaced := make(map[flow.Key]bool, len(plan.Replaced))
	for _, f := range plan.Replaced {
		replaced[f.Key()] = true
	}
	reached := false
	for _, f := range plan.Add {
		reached = reached || f == first
		if reached && f.Table == first.Table && !replaced[f.Key()] {
			d.refused.flows[f.Key()] = refusal[flow.Flow]{f, reason, true}
			count++
		}
	}
	return count
}
