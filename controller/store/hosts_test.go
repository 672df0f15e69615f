package store_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func (b *bundle) saveBridge(d intent.DPID, tunnel string) {
	b.t.Helper()
	br := intent.Bridge{DPID: d, Integration: true, SystemID: "system " + d.String(), Connected: true}
	if tunnel != "" {
		br.Tunnel = netip.MustParseAddr(tunnel)
	}
	if known, err := b.SaveBridge(b.ctx, br); err != nil || !known {
		b.t.Fatalf("known %v, %v", known, err)
	}
}

func TestHostsAreThoseWithATunnelEndPointAndKeepTheirSlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.saveBridge(0xa1, "192.0.2.1")
	b.saveBridge(0xa2, "2001:db8::2")
	b.saveBridge(0xa3, "")
	ids := []string{intent.DPID(0xa1).String(), intent.DPID(0xa2).String(), intent.DPID(0xa3).String()}
	hosts := must(b.HostsByID(b.ctx, ids))(t)
	slots := map[uint32]string{}
	for _, h := range hosts {
		slots[h.Slot] = h.DPID.String() + " " + h.Tunnel.String()
	}
	if len(hosts) != 2 || len(slots) != 2 || slots[0] != "" {
		t.Fatalf("hosts %v", hosts)
	}
	before := len(b.published())
	b.saveBridge(0xa1, "192.0.2.1") // nothing new
	b.saveBridge(0xa2, "192.0.2.2")
	moved := must(b.HostsByID(b.ctx, ids[1:2]))(t)
	slot := hosts[0].Slot
	if hosts[1].DPID == 0xa2 {
		slot = hosts[1].Slot
	}
	want := []intent.Host{{DPID: 0xa2, Slot: slot, Tunnel: netip.MustParseAddr("192.0.2.2")}}
	if diff := cmp.Diff(want, moved, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if told := b.published()[before:]; len(told) != 1 || told[0].Kind != store.KindSwitch || told[0].ID != ids[1] {
		t.Errorf("told %v", told)
	}
	if sw := must(b.Switch(b.ctx, 0xa2))(t); sw.Tunnel.String() != "192.0.2.2" {
		t.Errorf("shown: %s", sw.Tunnel)
	}
}

func TestAHostGetsOneSegmentThatItsPortsTakeTheirAddressesFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const here, there = intent.DPID(0xa1), intent.DPID(0xa2)
	var work sync.WaitGroup
	made := make(chan bool, 8)
	for range cap(made) {
		work.Go(func() {
			ok, err := b.GiveHostSegment(b.ctx, here, "compute-1")
			if err != nil {
				t.Error(err)
			}
			made <- ok
		})
	}
	work.Wait()
	close(made)
	n := 0
	for ok := range made {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("made %d times", n)
	}
	must(b.GiveHostSegment(b.ctx, there, ""))(t)
	state, _, err := b.Snapshot(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	byHost := map[intent.DPID]intent.HostSegment{}
	for _, g := range state.HostSegments {
		byHost[g.Host] = g
	}
	if len(state.HostSegments) != 2 || byHost[here].Block.Bits() != 32 || byHost[here].Block.Overlaps(byHost[there].Block) || byHost[here].Num == byHost[there].Num {
		t.Fatalf("segments %v", state.HostSegments)
	}
	if diff := cmp.Diff([]intent.HostSegment{byHost[here]}, must(b.HostSegmentsByID(b.ctx, []string{byHost[here].ID}))(t), cmpopts.EquateComparable(mac.Segment{})); diff != "" {
		t.Errorf("(-snapshot +by id)\n%s", diff)
	}
	network := b.network(red, "n")
	p := newPort(network)
	p.Binding = intent.Binding{Host: there.String()}
	if port := b.port(red, p); !byHost[there].Block.Contains(port.MAC) {
		t.Errorf("%s is not of %s", port.MAC, byHost[there].Block)
	}
	if port := b.port(red, newPort(network)); byHost[here].Block.Contains(port.MAC) || byHost[there].Block.Contains(port.MAC) {
		t.Errorf("%s of an unbound port is of a host", port.MAC)
	}
}
