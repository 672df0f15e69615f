package controller

import (
	"context"
	"errors"

	"github.com/macloom/macloom/controller/explain"
	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/reconcile"
)

// Explain says what becomes of a frame, by what the controller wants.
func (c *Controller) Explain(ctx context.Context, q explain.Question) (explain.Answer, error) {
	return explain.Explain(inspection{ctx, c}, q)
}

// SwitchFlows returns what a switch is to hold.
func (c *Controller) SwitchFlows(ctx context.Context, d intent.DPID) ([]explain.Entry, error) {
	return explain.Held(inspection{ctx, c}, d)
}

// SwitchDiff reads a switch back and returns what reconciliation would change in
// it by now. It changes nothing.
func (c *Controller) SwitchDiff(ctx context.Context, d intent.DPID) ([]explain.Change, error) {
	if _, err := c.cfg.Store.Switch(ctx, d); err != nil {
		return nil, err
	}
	plan, err := c.reconciler.Compare(ctx, d)
	if errors.Is(err, reconcile.ErrNotConnected) {
		return nil, explain.ErrNotConnected
	}
	if err != nil {
		return nil, err
	}
	return explain.Changes(inspection{ctx, c}, plan), nil
}

// QoSStatistics says what switches have counted of a policy.
func (c *Controller) QoSStatistics(ctx context.Context, policy uint32) intent.QoSStatistics {
	return c.reconciler.QoSStatistics(ctx, policy)
}

// inspection is the world as one question finds it.
type inspection struct {
	ctx context.Context
	c   *Controller
}

// Read implements explain.World.
func (i inspection) Read(f func(*intent.State)) { i.c.world.read(f) }

// Switch implements explain.World. What a switch that is not connected is to hold
// follows from what was recorded of it.
func (i inspection) Switch(d intent.DPID) (explain.Switch, error) {
	facts, err := i.c.cfg.Store.Switch(i.ctx, d)
	if err != nil {
		return explain.Switch{}, err
	}
	want, connected := i.c.reconciler.Wanted(d)
	if !connected {
		view := i.c.world.View(d, facts.Ports)
		view.Meters, view.Groups = facts.Capabilities["meters"] == "yes", facts.Capabilities["groups"] == "yes"
		view.Queues = view.Queues && facts.Capabilities["set_queue"] == "yes"
		want = i.c.reconciler.WantedOf(view)
	}
	return explain.Switch{Connected: connected, Hostname: facts.Hostname, View: want.View, Desired: want.Desired}, nil
}

// Beyond implements explain.World.
func (i inspection) Beyond(d intent.DPID, port uint32) (far intent.Place, linked bool) {
	if i.c.fabric == nil {
		return far, false
	}
	end, linked := i.c.fabric.Beyond(fabric.End{DPID: d, Port: port})
	return intent.Place{Switch: end.DPID, Port: end.Port}, linked
}

// Standings implements explain.World.
func (i inspection) Standings(ids []string) (map[string]explain.Standing, error) {
	ports, err := i.c.cfg.Store.PortsByID(i.ctx, ids)
	if err != nil {
		return nil, err
	}
	standings := make(map[string]explain.Standing, len(ports))
	for id, p := range ports {
		standings[id] = explain.Standing{Status: p.Status, Reason: p.StatusReason}
	}
	return standings, nil
}
