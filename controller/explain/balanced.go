package explain

import (
	"fmt"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
)

// balanced finds the pool whose virtual address and port a frame is for.
func (e *explainer) balanced(p *plan) (pool intent.AffinityPool, ok bool) {
	if p.to == nil {
		return pool, false
	}
	e.w.Read(func(s *intent.State) {
		for _, candidate := range s.AffinityPools(p.to.NetworkID) {
			if candidate.AdminUp && candidate.VIPPortID == p.to.ID && p.frame.IPDst == p.to.Virtual() && candidate.Protocol.Number() == p.frame.Proto && candidate.Port == p.frame.DstPort {
				pool, ok = candidate, true
			}
		}
	})
	return pool, ok
}

// chosen says which backend of a pool a frame has come to, and makes that the one
// that it was for. The flows are those that are wanted: pins are the switch's own.
func (e *explainer) chosen(a *Answer, p *plan, pool intent.AffinityPool) {
	if a.Verdict != Delivered || len(a.Deliveries) == 0 {
		return
	}
	e.w.Read(func(s *intent.State) {
		for i := range pool.Backends {
			b := &pool.Backends[i]
			port, address, ok := s.Serving(&pool, b)
			if !ok || port.Num != a.Deliveries[0].num {
				continue
			}
			a.Summary += fmt.Sprintf(", as %s of affinity pool %s", backendWords(b), nameOr(pool.Name, pool.ID))
			p.to, p.frame.Dst, p.frame.IPDst, p.frame.DstPort = &port, port.MAC.Bytes(), address, b.Port
			break
		}
	})
	if pool.Affinity == intent.AffinityNone {
		a.Summary += "; a hash of the switch's own may choose another one"
		return
	}
	a.Summary += "; a client that its switch remembers stays with the backend that it has"
}

func backendWords(b *intent.AffinityBackend) string { return "backend " + nameOr(b.Name, b.ID) }

// ofPools are the owners of the flows of affinity pools.
func ofPools(s *intent.State, own func(pipeline.Kind, uint32, func() Owner)) {
	for n := range s.Networks() {
		for _, p := range s.AffinityPools(n.ID) {
			own(pipeline.KindPool, p.Num, func() Owner {
				return Owner{Kind: "affinity_pool", ID: p.ID, Name: p.Name, Detail: fmt.Sprintf("%s port %d", p.Protocol, p.Port), tenant: p.TenantID}
			})
			for i := range p.Backends {
				b := &p.Backends[i]
				own(pipeline.KindBackend, b.Num, func() Owner {
					return Owner{Kind: "affinity_backend", ID: b.ID, Name: b.Name, Detail: "of affinity pool " + nameOr(p.Name, p.ID), tenant: p.TenantID}
				})
				own(pipeline.KindProbe, b.Num, func() Owner {
					return Owner{Kind: "affinity_backend", ID: b.ID, Name: b.Name, Detail: "answers to probes, of affinity pool " + nameOr(p.Name, p.ID), tenant: p.TenantID}
				})
			}
		}
	}
}

// ofBalance reports whether there are flows of affinity pools among the kinds.
func ofBalance(kinds map[pipeline.Kind]bool) bool {
	return slices.ContainsFunc([]pipeline.Kind{pipeline.KindPool, pipeline.KindBackend, pipeline.KindProbe}, func(k pipeline.Kind) bool { return kinds[k] })
}
