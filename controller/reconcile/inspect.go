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

// Live returns what a connected switch has told of itself: its ports, and
// whether it has meters.
func (r *Reconciler) Live(id intent.DPID) (ports []intent.SwitchPort, meters, connected bool) {
	d := r.datapath(id)
	if d == nil {
		return nil, false, false
	}
	return d.portList(), d.able(capMeters), true
}

// Desired says what a switch with a view must hold.
func (r *Reconciler) Desired(v *intent.View) pipeline.Desired { return r.cfg.Compute(v) }

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
	desired := d.wanted()
	d.refused.leaveOut(&desired)
	q.answer <- comparison{plan: flow.Diff(h.state, desired.State)}
}

// wanted is what the switch must hold by now.
func (d *datapath) wanted() pipeline.Desired {
	view := d.r.intent.View(d.id, d.portList())
	view.Meters = d.able(capMeters)
	return d.r.cfg.Compute(view)
}
