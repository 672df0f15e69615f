package reconcile

import (
	"maps"
	"reflect"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
)

// heldPin is a flow that the switch has learned: a client of a pool and its backend.
type heldPin struct {
	key    flow.Key
	cookie pipeline.Cookie
}

// countPins takes down how many pins the switch has, as of now.
func (d *datapath) countPins(n int) {
	d.r.metrics.pins.Add(float64(n - d.pins))
	d.pins = n
}

// dangling are the pins that were read back and lead to backends that the view does not
// have. Mostly there are none: the switch removes those of a backend with its flows.
func dangling(v *intent.View, h *holding) (untrue []flow.Key) {
	for _, p := range h.pins {
		if pipeline.Dangling(v, p.cookie) {
			untrue = append(untrue, p.key)
		}
	}
	return untrue
}

// notePools takes down what a confirmed view means for the pools in it.
func (d *datapath) notePools(v *intent.View, lacking faults) {
	var pools map[uint32]intent.PoolFact
	for i := range v.Services {
		if pools == nil {
			pools = make(map[uint32]intent.PoolFact, len(v.Services))
		}
		s := &v.Services[i]
		pools[s.Num] = intent.PoolFact{Revision: s.Revision, Live: s.Live()}
	}
	for owner, reason := range lacking {
		for _, num := range pipeline.AffectedPools(v, owner) {
			if f := pools[num]; f.Fault == "" {
				f.Fault = "switch " + d.id.String() + ": " + owner.String() + ": " + reason
				pools[num] = f
			}
		}
	}
	if !maps.EqualFunc(d.facts().Pools, pools, func(a, b intent.PoolFact) bool { return reflect.DeepEqual(a, b) }) {
		d.note(func(f *intent.Switch) { f.Pools = pools })
	}
}
