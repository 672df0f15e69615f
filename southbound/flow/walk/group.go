package walk

import (
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// group lets a group decide. A select group chooses by a hash of the source
// address, which is one of the ways in which a switch may choose.
func (r *run) group(p *packet, id uint32, step int) error {
	g, ok := r.sw.groups[id]
	if !ok {
		return unsupported(fmt.Sprintf("group %d, which there is not", id))
	}
	if r.depth++; r.depth >= maxDepth {
		return fmt.Errorf("%w: in group %d", ErrEndless, id)
	}
	defer func() { r.depth-- }()
	buckets := g.Buckets.List()
	switch g.Type {
	case openflow.GroupAll, openflow.GroupIndirect:
	case openflow.GroupFastFailover:
		live := slices.IndexFunc(buckets, r.sw.live)
		if live < 0 {
			return nil
		}
		buckets = buckets[live : live+1]
	case openflow.GroupSelect:
		buckets = choose(p, slices.DeleteFunc(buckets, func(k openflow.Bucket) bool {
			return k.WatchPort != openflow.PortAny && !r.sw.live(k)
		}))
	default:
		return unsupported(fmt.Sprintf("group %d of type %d", id, g.Type))
	}
	for _, k := range buckets {
		list := k.Actions.List()
		// A bucket is a set of actions: what sends comes last.
		slices.SortStableFunc(list, func(a, b openflow.Action) int { return sends(a) - sends(b) })
		if err := r.actions(p.clone(), list, step); err != nil {
			return err
		}
		r.exited = false
	}
	return nil
}

// live reports whether what a bucket watches is alive; groups are taken to be.
func (s *Switch) live(k openflow.Bucket) bool {
	return k.WatchPort != openflow.PortAny && !s.Dead[k.WatchPort] || k.WatchGroup != openflow.GroupAny
}

func sends(a openflow.Action) int {
	switch a.(type) {
	case openflow.ActionOutput, openflow.ActionOutputReg, openflow.ActionGroup, openflow.ActionResubmit, openflow.ActionController, openflow.ActionController2:
		return 1
	}
	return 0
}

func choose(p *packet, buckets []openflow.Bucket) []openflow.Bucket {
	total := uint64(0)
	for _, k := range buckets {
		total += uint64(k.Weight)
	}
	if total == 0 {
		return nil
	}
	h := fnv.New64a()
	h.Write(p.get(openflow.EthSrc)[:6])
	n := h.Sum64() % total
	for i, k := range buckets {
		if n < uint64(k.Weight) {
			return buckets[i : i+1]
		}
		n -= uint64(k.Weight)
	}
	return nil
}
