package controller

import (
	"fmt"
	"sync"

	"github.com/macloom/macloom/controller/intent"
)

// Ways to treat switches that nobody has decided on.
const (
	AdmitAuto   = "auto"   // let them in
	AdmitListed = "listed" // turn them away and show them
)

// roster is who may connect. It is kept in memory, so that known switches come
// in while the database is away.
type roster struct {
	mode string

	mu       sync.RWMutex
	byDPID   map[intent.DPID]intent.Admission
	bySystem map[string]map[intent.DPID]struct{}
}

func newRoster(mode string) *roster {
	r := &roster{mode: mode}
	r.load(nil)
	return r
}

// load replaces all that is known.
func (r *roster) load(list []intent.Admission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byDPID, r.bySystem = map[intent.DPID]intent.Admission{}, map[string]map[intent.DPID]struct{}{}
	for _, a := range list {
		r.put(a)
	}
}

// update replaces what is known of some datapaths, and returns those whose
// part has changed: that of an integration bridge or of another.
func (r *roster) update(ids []string, list []intent.Admission) (changed []intent.DPID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := map[intent.DPID]bool{}
	for _, id := range ids {
		if d, err := intent.ParseDPID(id); err == nil {
			before[d] = r.byDPID[d].Integration
			r.remove(d)
		}
	}
	for _, a := range list {
		r.put(a)
	}
	for d, was := range before {
		if r.byDPID[d].Integration != was {
			changed = append(changed, d)
		}
	}
	return changed
}

func (r *roster) put(a intent.Admission) {
	r.byDPID[a.DPID] = a
	if a.SystemID == "" {
		return
	}
	if r.bySystem[a.SystemID] == nil {
		r.bySystem[a.SystemID] = map[intent.DPID]struct{}{}
	}
	r.bySystem[a.SystemID][a.DPID] = struct{}{}
}

func (r *roster) remove(d intent.DPID) {
	system := r.byDPID[d].SystemID
	delete(r.byDPID, d)
	delete(r.bySystem[system], d)
	if len(r.bySystem[system]) == 0 {
		delete(r.bySystem, system)
	}
}

// integration says whether a datapath is the integration bridge of a host.
func (r *roster) integration(d intent.DPID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byDPID[d].Integration
}

// judge says why a switch may not connect; nil: it may. What was decided on
// its datapath id counts first, then what was decided on any of its host: one
// that is admitted is enough. A bridge that nobody has decided on may connect
// if a host that is in vouches for it.
func (r *roster) judge(c intent.Candidate, vouched bool) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	decision, decided := r.byDPID[c.DPID]
	if !decided && c.SystemID != "" {
		for d := range r.bySystem[c.SystemID] {
			if !decided || r.byDPID[d].Admitted {
				decision, decided = r.byDPID[d], true
			}
		}
	}
	switch {
	case decided && decision.Admitted, !decided && (vouched || r.mode != AdmitListed):
		return nil
	case decided:
		return fmt.Errorf("controller: an operator has turned switch %s away", decision.DPID)
	case c.DPID == 0:
		return fmt.Errorf("controller: the host has neither a bridge nor external_ids:system-id, so it cannot be listed")
	}
	return fmt.Errorf(`controller: switch %[1]s is not listed; admit it by PUT /v2.0/switches/%[1]s {"switch": {"admitted": true}}`, c.DPID)
}
