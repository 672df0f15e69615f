package store_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// Slots are kept, so that nobody moves but by a change of backends, and then no more than
// must; facts of switches say what has become of a pool.
func TestSlotsOfAffinityPoolsAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	pool := one(b.CreateAffinityPools(b.ctx, red, []intent.AffinityPool{{
		NetworkID: n.ID, VIP: netip.MustParseAddr("10.0.0.100"), Protocol: intent.TransportTCP, Port: 80, Affinity: intent.AffinityMAC, Timeout: 300, AdminUp: true,
	}}))(t)
	add := func(i int) intent.AffinityBackend {
		t.Helper()
		return one(b.CreateAffinityBackends(b.ctx, red, []intent.AffinityBackend{{
			PoolID: pool.ID, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}), Port: 8080, Weight: 1, State: intent.BackendUp, Health: intent.HealthUnknown,
		}}))(t)
	}
	slots := func() []uint32 {
		t.Helper()
		return must(b.AffinityPool(b.ctx, red, pool.ID))(t).Slots
	}
	var backends []intent.AffinityBackend
	for i := range 4 {
		backends = append(backends, add(i))
	}
	before := slots()
	fifth := add(4)
	moved := 0
	for i, owner := range slots() {
		if owner != before[i] {
			moved++
			if owner != fifth.Num {
				t.Errorf("slot %d went to %d, which is not new", i, owner)
			}
		}
	}
	if most := intent.AffinitySlots/5 + 1; moved == 0 || moved > most {
		t.Errorf("%d slots moved, want 1 to %d", moved, most)
	}
	held := slots()
	health := func(h intent.Health) {
		t.Helper()
		must(b.UpdateAffinityBackend(b.ctx, red, backends[0].ID, func(b *intent.AffinityBackend) error { b.Health = h; return nil }))(t)
	}
	health(intent.HealthDown) // no reason to move any: the view spreads those of who is not there
	if diff := cmp.Diff(held, slots()); diff != "" {
		t.Errorf("with a backend that is not well (-before +after):\n%s", diff)
	}
	if err := b.DeleteAffinityBackend(b.ctx, red, backends[1].ID); err != nil {
		t.Fatal(err)
	}
	for i, owner := range slots() {
		if owner == backends[1].Num || held[i] != backends[1].Num && owner != held[i] {
			t.Errorf("slot %d went from %d to %d", i, held[i], owner)
		}
	}

	status := func(facts map[uint32]intent.PoolFact) string {
		t.Helper()
		if err := b.SaveSwitch(b.ctx, intent.Switch{DPID: 7, Connected: facts != nil, Pools: facts}); err != nil {
			t.Fatal(err)
		}
		p := must(b.AffinityPool(b.ctx, red, pool.ID))(t)
		return fmt.Sprint(p.Status, " ", p.StatusReason)
	}
	rev := must(b.AffinityPool(b.ctx, red, pool.ID))(t).Revision
	live := []uint32{fifth.Num}
	for _, c := range []struct {
		facts map[uint32]intent.PoolFact
		want  string
	}{
		{map[uint32]intent.PoolFact{pool.Num: {Revision: rev - 1, Live: live}}, "BUILD not yet in all switches"},
		{map[uint32]intent.PoolFact{pool.Num: {Revision: rev, Live: live}}, "ACTIVE "},
		{map[uint32]intent.PoolFact{pool.Num: {Revision: rev}}, "DOWN no backend can serve"},
		{map[uint32]intent.PoolFact{pool.Num: {Revision: rev, Live: live, Fault: "refused"}}, "ERROR refused"},
		{map[uint32]intent.PoolFact{}, "DOWN no switch that is connected has ports of the network that are up"},
		{nil, "DOWN no switch that is connected has ports of the network that are up"},
	} {
		if got := status(c.facts); got != c.want {
			t.Errorf("%v: %s; want %s", c.facts, got, c.want)
		}
	}
	status(map[uint32]intent.PoolFact{pool.Num: {Revision: rev, Live: live}})
	if got := must(b.AffinityBackends(b.ctx, red, store.Query{Filter: map[string][]string{"pool_id": {pool.ID}}}))(t); len(got) != 4 || got[3].Status != intent.PoolActive || got[0].Status != intent.PoolDown {
		t.Errorf("the backends are %+v", got)
	}
}

// What probes find is a fact of the backend, told to whom it concerns, and forgotten with how it was found.
func TestFindingsOfProbesAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	monitor := intent.Monitor{Kind: intent.MonitorTCP, Delay: 5, Timeout: 2, Rise: 2, Fall: 3}
	pool := one(b.CreateAffinityPools(b.ctx, red, []intent.AffinityPool{{
		NetworkID: n.ID, VIP: netip.MustParseAddr("10.0.0.100"), Protocol: intent.TransportTCP, Port: 80, Affinity: intent.AffinityMAC, Timeout: 300, AdminUp: true, Monitor: monitor,
	}}))(t)
	if pool.Monitor != monitor {
		t.Errorf("the monitor came back as %+v", pool.Monitor)
	}
	backend := one(b.CreateAffinityBackends(b.ctx, red, []intent.AffinityBackend{{
		PoolID: pool.ID, Address: netip.MustParseAddr("10.0.0.10"), Port: 8080, Weight: 1, State: intent.BackendUp, Health: intent.HealthUnknown,
	}}))(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	found := func(h intent.Health, reason string) intent.AffinityBackend {
		t.Helper()
		err := b.RecordHealth(b.ctx, []intent.HealthVerdict{{BackendID: backend.ID, Health: h, Reason: reason, At: at}, {BackendID: pool.ID, Health: h, At: at}})
		if err != nil {
			t.Fatal(err)
		}
		return must(b.AffinityBackend(b.ctx, red, backend.ID))(t)
	}
	if got := found(intent.HealthUp, ""); got.Operating() != intent.BackendOnline || !got.ProbedAt.Equal(at) || got.Down() {
		t.Errorf("after an answer: %+v", got)
	}
	revision := must(b.AffinityPool(b.ctx, red, pool.ID))(t).Revision
	down := found(intent.HealthDown, "port 8080 refuses connections")
	if down.Operating() != intent.BackendOffline || down.ProbeReason != "port 8080 refuses connections" || !down.Down() || down.Health != intent.HealthUnknown {
		t.Errorf("after failures: %+v", down)
	}
	if now := must(b.AffinityPool(b.ctx, red, pool.ID))(t).Revision; now <= revision {
		t.Errorf("the pool has revision %d before and %d after", revision, now)
	}
	if again := found(intent.HealthDown, "another reason"); again.Revision != down.Revision {
		t.Error("what is known is written again")
	}
	// The operator's own word is another matter, and stays with what was found.
	hooked := must(b.UpdateAffinityBackend(b.ctx, red, backend.ID, func(b *intent.AffinityBackend) error { b.Health = intent.HealthUp; return nil }))(t)
	if hooked.Probed != intent.HealthDown || !hooked.Down() {
		t.Errorf("after a word of the operator's: %+v", hooked)
	}
	found(intent.HealthUp, "")
	b.published()
	var told []string
	for _, e := range must(b.Events(b.ctx, red, store.Query{Filter: map[string][]string{"kind": {string(intent.EventBackendHealth)}}}))(t) {
		told = append(told, fmt.Sprint(e.Details["was"], " ", e.Details["health"], " ", e.Details["reason"]))
	}
	if diff := cmp.Diff([]string{"up down port 8080 refuses connections", "down up <nil>"}, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	must(b.UpdateAffinityPool(b.ctx, red, pool.ID, func(p *intent.AffinityPool) error { p.Monitor = intent.Monitor{}; return nil }))(t)
	if got := must(b.AffinityBackend(b.ctx, red, backend.ID))(t); got.Operating() != intent.BackendNoMonitor || !got.ProbedAt.IsZero() {
		t.Errorf("without a monitor: %+v", got)
	}
	if got := found(intent.HealthDown, "late"); got.Down() {
		t.Errorf("what is found too late counts: %+v", got)
	}
}
