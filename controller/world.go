package controller

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// world is the intent in memory, kept current by the change feed. PostgreSQL
// can rebuild it at any moment.
type world struct {
	store     *store.Store
	unmanaged intent.Unmanaged
	roster    *roster
	log       *zap.Logger

	mu    sync.RWMutex
	state *intent.State
}

// load reads the whole intent; the feed takes over from its revision.
func (w *world) load(ctx context.Context) error {
	snapshot, revision, err := w.store.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("controller: load intent: %w", err)
	}
	state, touched := intent.NewState(), intent.Touched(nil) // all is new
	for _, h := range snapshot.Hosts {
		state.PutHost(h, touched)
	}
	for _, g := range snapshot.HostSegments {
		state.PutHostSegment(g, touched)
	}
	for _, n := range snapshot.Networks {
		state.PutNetwork(n, touched)
	}
	for _, g := range snapshot.AddressGroups {
		state.PutAddressGroup(g, touched)
	}
	for _, g := range snapshot.SecurityGroups {
		state.PutGroup(g, touched)
	}
	for _, n := range snapshot.Subnets {
		state.PutSubnet(n, touched)
	}
	for _, l := range snapshot.MACAllowLists {
		state.PutMACAllowList(l, touched)
	}
	for _, p := range snapshot.QoSPolicies {
		state.PutQoSPolicy(p, touched)
	}
	for _, g := range snapshot.QoSSegments {
		state.PutQoSSegment(g, touched)
	}
	for _, b := range snapshot.Blocks {
		state.PutBlock(b, touched)
	}
	for _, p := range snapshot.AffinityPools {
		state.PutAffinityPool(p, touched)
	}
	for _, p := range snapshot.Ports {
		state.PutPort(p, touched)
	}
	state.TakeMoved() // nobody has been told anything yet
	state.Revision = revision
	w.mu.Lock()
	w.state = state
	w.mu.Unlock()
	w.roster.load(snapshot.Admissions)
	w.log.Info("intent loaded", zap.Int64("revision", revision), zap.Int("networks", len(snapshot.Networks)),
		zap.Int("ports", len(snapshot.Ports)), zap.Int("security_groups", len(snapshot.SecurityGroups)))
	return nil
}

// revision is the change revision that the state reflects.
func (w *world) revision() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.state.Revision
}

// read calls f with the state, which does not change meanwhile.
func (w *world) read(f func(*intent.State)) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	f(w.state)
}

// View implements reconcile.Intent.
func (w *world) View(d intent.DPID, ports []intent.SwitchPort) *intent.View {
	w.mu.RLock()
	defer w.mu.RUnlock()
	unmanaged, ours := w.unmanaged, w.roster.integration(d)
	if ours {
		unmanaged = intent.UnmanagedDrop
	}
	v := w.state.View(d, ports, unmanaged)
	v.Queues = ours // where its datapath has some: we make them over OVSDB
	return v
}

// Neighbour implements reconcile.Intent.
func (w *world) Neighbour(q intent.Question) (intent.Neighbour, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.state.Neighbour(q)
}

// Client implements reconcile.Intent.
func (w *world) Client(port string) (intent.Client, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.state.Client(port)
}

// QoSPolicyID implements reconcile.Intent.
func (w *world) QoSPolicyID(num uint32) (string, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.state.QoSPolicyID(num)
}

// apply brings the state up to a run of changes and says which switches they
// touch, and which ports may have got other addresses. A change only names an
// object; its present state is read, so applying one twice or late is harmless.
// Facts come from the switches and mean nothing to them.
func (w *world) apply(ctx context.Context, changes []store.Change) (touched intent.Touched, moved []uint32, err error) {
	ids := map[store.Kind][]string{}
	seen := map[string]bool{}
	for _, c := range changes {
		if !c.Fact && !seen[c.ID] {
			seen[c.ID] = true
			ids[c.Kind] = append(ids[c.Kind], c.ID)
		}
	}
	networks, err := w.store.NetworksByID(ctx, ids[store.KindNetwork])
	if err != nil {
		return nil, nil, err
	}
	groups, err := w.store.SecurityGroupsByID(ctx, ids[store.KindSecurityGroup])
	if err != nil {
		return nil, nil, err
	}
	subnets, err := w.store.SubnetsByID(ctx, ids[store.KindSubnet])
	if err != nil {
		return nil, nil, err
	}
	addressGroups, err := w.store.AddressGroupsByID(ctx, ids[store.KindAddressGroup])
	if err != nil {
		return nil, nil, err
	}
	lists, err := w.store.MACAllowListsByID(ctx, ids[store.KindMACAllowList])
	if err != nil {
		return nil, nil, err
	}
	blocks, err := w.store.BlocksByID(ctx, ids[store.KindBlock])
	if err != nil {
		return nil, nil, err
	}
	pools, err := w.store.AffinityPoolsByID(ctx, ids[store.KindAffinityPool])
	if err != nil {
		return nil, nil, err
	}
	ports, err := w.store.PortsByID(ctx, ids[store.KindPort])
	if err != nil {
		return nil, nil, err
	}

	policies, err := w.store.QoSPoliciesByID(ctx, ids[store.KindQoSPolicy])
	if err != nil {
		return nil, nil, err
	}
	qosSegments, err := w.store.QoSSegmentsByID(ctx, ids[store.KindSegment])
	if err != nil {
		return nil, nil, err
	}
	segments, err := w.store.HostSegmentsByID(ctx, ids[store.KindSegment])
	if err != nil {
		return nil, nil, err
	}
	touched = intent.Touched{}
	var hosts []intent.Host
	if len(ids[store.KindSwitch]) > 0 {
		if hosts, err = w.store.HostsByID(ctx, ids[store.KindSwitch]); err != nil {
			return nil, nil, err
		}
		admissions, err := w.store.AdmissionsByID(ctx, ids[store.KindSwitch])
		if err != nil {
			return nil, nil, err
		}
		for _, d := range w.roster.update(ids[store.KindSwitch], admissions) {
			touched[d] = struct{}{}
		}
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.place(ids, hosts, segments, touched)
	replace(ids[store.KindNetwork], networks, w.state.PutNetwork, w.state.DeleteNetwork, touched)
	replace(ids[store.KindAddressGroup], addressGroups, w.state.PutAddressGroup, w.state.DeleteAddressGroup, touched)
	replace(ids[store.KindSecurityGroup], groups, w.state.PutGroup, w.state.DeleteGroup, touched)
	replace(ids[store.KindSubnet], subnets, w.state.PutSubnet, w.state.DeleteSubnet, touched)
	replace(ids[store.KindMACAllowList], lists, w.state.PutMACAllowList, w.state.DeleteMACAllowList, touched)
	w.enforce(ids, policies, qosSegments, touched)
	replace(ids[store.KindBlock], blocks, w.state.PutBlock, w.state.DeleteBlock, touched)
	replace(ids[store.KindAffinityPool], pools, w.state.PutAffinityPool, w.state.DeleteAffinityPool, touched)
	replace(ids[store.KindPort], ports, w.state.PutPort, w.state.DeletePort, touched)
	w.state.Revision = changes[len(changes)-1].Revision
	return touched, w.state.TakeMoved(), nil
}

// replace brings the state up to changes of objects of one kind: those that were found are as they
// are now, the others are gone.
func replace[T any](ids []string, found map[string]T, put func(T, intent.Touched), remove func(string, intent.Touched), touched intent.Touched) {
	for _, id := range ids {
		if o, ok := found[id]; ok {
			put(o, touched)
		} else {
			remove(id, touched)
		}
	}
}

// enforce brings the state up to changes of QoS policies and of the MAC segments that
// have one.
func (w *world) enforce(ids map[store.Kind][]string, policies map[string]intent.QoSPolicy, segments []intent.QoSSegment, touched intent.Touched) {
	replace(ids[store.KindQoSPolicy], policies, w.state.PutQoSPolicy, w.state.DeleteQoSPolicy, touched)
	there := map[string]bool{}
	for _, g := range segments {
		there[g.ID] = true
		w.state.PutQoSSegment(g, touched)
	}
	for _, id := range ids[store.KindSegment] {
		if !there[id] {
			w.state.DeleteQoSSegment(id, touched)
		}
	}
}

// place brings the state up to changes of where hosts are and which addresses
// belong to them.
func (w *world) place(ids map[store.Kind][]string, hosts []intent.Host, segments []intent.HostSegment, touched intent.Touched) {
	there := map[string]bool{}
	for _, h := range hosts {
		there[h.DPID.String()] = true
		w.state.PutHost(h, touched)
	}
	for _, g := range segments {
		there[g.ID] = true
		w.state.PutHostSegment(g, touched)
	}
	for _, id := range ids[store.KindSwitch] {
		if d, err := intent.ParseDPID(id); err == nil && !there[id] {
			w.state.DeleteHost(d, touched)
		}
	}
	for _, id := range ids[store.KindSegment] {
		if !there[id] {
			w.state.DeleteHostSegment(id, touched)
		}
	}
}
