package reconcile

import (
	"context"
	"errors"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
)

// ErrNotConnected says that a switch that was asked about is not connected.
var ErrNotConnected = errors.New("reconcile: the switch is not connected")

// Wanted is what a switch is to hold, and the view that this follows from.
type Wanted struct {
	View    *intent.View
	Desired pipeline.Desired
}

// Wanted says what a connected switch is to hold by now.
func (r *Reconciler) Wanted(id intent.DPID) (w Wanted, connected bool) {
	d := r.datapath(id)
	if d == nil {
		return w, false
	}
	return d.wanted(), true
}

// WantedOf says what a switch with a view is to hold.
func (r *Reconciler) WantedOf(v *intent.View) Wanted { return Wanted{v, r.cfg.Compute(v)} }

// Compare reads a switch back and returns what the next pass would change in it.
// It changes nothing, neither there nor in what is known of the switch.
func (r *Reconciler) Compare(ctx context.Context, id intent.DPID) (flow.Plan, error) {
	d := r.datapath(id)
	if d == nil {
		return flow.Plan{}, ErrNotConnected
	}
	q := question{ctx: ctx, answer: make(chan comparison, 1)}
	select {
	case d.asked <- q:
	case <-d.ended:
		return flow.Plan{}, ErrNotConnected
	case <-ctx.Done():
		return flow.Plan{}, ctx.Err()
	}
	select {
	case c := <-q.answer:
		return c.plan, c.err
	case <-d.ended:
		return flow.Plan{}, ErrNotConnected
	case <-ctx.Done():
		return flow.Plan{}, ctx.Err()
	}
}

// question asks the goroutine of a datapath for a comparison: between two passes
// it alone knows what was refused.
type question struct {
	ctx    context.Context
	answer chan comparison
}

type comparison struct {
	plan flow.Plan
	err  error
}

func (r *Reconciler) datapath(id intent.DPID) *datapath {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[id]
}

// compare answers a question.
func (d *datapath) compare(q question) {
	ctx, cancel := context.WithTimeout(q.ctx, d.r.cfg.Timeout)
	defer cancel()
	h, err := d.readBack(ctx)
	if err != nil {
		q.answer <- comparison{err: err}
		return
	}
	desired := d.wanted().Desired
	d.refused.leaveOut(&desired)
	q.answer <- comparison{plan: flow.Diff(h.state, desired.State)}
}

// wanted is what the switch is to hold by now.
func (d *datapath) wanted() Wanted { return d.r.WantedOf(d.view()) }

// view is that of the switch by now.
func (d *datapath) view() *intent.View {
	view := d.r.intent.View(d.id, d.portList())
	view.Meters, view.Groups, view.Queues = d.able(capMeters), d.able(capGroups), view.Queues && d.queues()
	view.Discovery = d.r.cfg.Fabric != nil && view.Unmanaged == intent.UnmanagedLearn
	if served := d.served.Load(); served != nil {
		view.Shut, view.Links, view.Slot, view.Paths = served.Shut, served.Links, served.Slot, served.Paths
	}
	return view
}
