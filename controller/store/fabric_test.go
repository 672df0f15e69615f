package store_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// intents is how many changes the feed tells of what is wanted.
func (b *bundle) intents() (n int) {
	b.t.Helper()
	for _, c := range b.published() {
		if !c.Fact {
			n++
		}
	}
	return n
}

func TestLinksAreReplacedAndGoWithTheirSwitches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for d := range intent.DPID(3) {
		b.save(intent.Switch{DPID: d + 1, Admitted: true})
	}
	link := func(a, b intent.DPID, port uint32) fabric.Link {
		return fabric.Between(fabric.End{DPID: a, Port: port}, fabric.End{DPID: b, Port: port})
	}
	found := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	links := []fabric.Known{
		{Link: link(1, 2, 1), Tree: true, Since: found}, {Link: link(1, 2, 10), Since: found},
		{Link: link(1, 3, 0xfffffffe), Tree: true, Since: found},
	}
	saved := func(want []fabric.Known) {
		t.Helper()
		must(b.SaveLinks(b.ctx, want))(t)
		if d := cmp.Diff(want, must(b.Links(b.ctx))(t)); d != "" {
			t.Errorf("links (-want +got):\n%s", d)
		}
	}
	before := b.intents()
	saved(links)
	links[0].Tree, links[0].Down, links[1].Tree = false, true, true
	saved(links)
	saved(links[:2])
	if after := b.intents(); after != before+3 { // the numbers of the switches
		t.Errorf("links made %d entries of what is wanted in the change feed", after-before)
	}
	if _, err := b.SaveLinks(b.ctx, []fabric.Known{{Link: link(1, 9, 1), Since: found}}); !errors.Is(err, store.ErrUnrecorded) {
		t.Errorf("a link with a switch that is not known: %v", err)
	}
	if err := b.DeleteSwitch(b.ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := must(b.Links(b.ctx))(t); len(got) != 0 {
		t.Errorf("links of a switch that was deleted: %v", got)
	}
}

func TestLinkedSwitchesKeepTheirNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for d := range intent.DPID(5) {
		b.save(intent.Switch{DPID: d + 1, Admitted: true})
	}
	link := func(x, y intent.DPID) []fabric.Known {
		return []fabric.Known{{Link: fabric.Between(fabric.End{DPID: x, Port: 1}, fabric.End{DPID: y, Port: 1}), Since: time.Unix(1, 0)}}
	}
	numbers := func(want map[intent.DPID]uint16, links []fabric.Known) {
		t.Helper()
		if d := cmp.Diff(want, must(b.SaveLinks(b.ctx, links))(t)); d != "" {
			t.Errorf("numbers (-want +got):\n%s", d)
		}
		if d := cmp.Diff(want, must(b.FabricSlots(b.ctx))(t)); d != "" {
			t.Errorf("numbers later (-want +got):\n%s", d)
		}
	}
	numbers(map[intent.DPID]uint16{}, nil)
	numbers(map[intent.DPID]uint16{2: 1, 4: 2}, link(2, 4))
	numbers(map[intent.DPID]uint16{2: 1, 4: 2, 1: 3}, link(1, 4))
	numbers(map[intent.DPID]uint16{2: 1, 4: 2, 1: 3}, nil)
	if err := b.DeleteSwitch(b.ctx, 4); err != nil {
		t.Fatal(err)
	}
	numbers(map[intent.DPID]uint16{2: 1, 1: 3, 3: 2, 5: 4}, link(3, 5))
}

func TestTheKeyOfTheFabricIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := must(b.FabricKey(b.ctx))(t), must(b.FabricKey(b.ctx))(t)
	if d := cmp.Diff(first, second); d != "" || len(first) != 32 {
		t.Errorf("keys of %d bytes (-first +second):\n%s", len(first), d)
	}
}

func TestHostsOfTheFabricComeMoveAndGoWithTheirSwitch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.save(intent.Switch{DPID: 1, Admitted: true})
	b.save(intent.Switch{DPID: 2, Admitted: true})
	found := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	host := func(n int, d intent.DPID, ips ...string) fabric.Host {
		h := fabric.Host{MAC: mac.Addr(0x020000000000 + n), At: fabric.End{DPID: d, Port: 0xfffffffe}, Since: found, LastSeen: found, IPs: []netip.Addr{}}
		for _, ip := range ips {
			h.IPs = append(h.IPs, netip.MustParseAddr(ip))
		}
		return h
	}
	saved := func(changes []fabric.HostChange, want ...fabric.Host) {
		t.Helper()
		if err := b.SaveFabricHosts(b.ctx, changes); err != nil {
			t.Fatal(err)
		}
		got := must(b.FabricHosts(b.ctx))(t)
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("hosts (-want +got):\n%s", d)
		}
	}
	before := b.intents()
	one, two, three := host(1, 1, "10.0.0.1", "fe80::1"), host(2, 1), host(3, 2)
	saved([]fabric.HostChange{{Host: one}, {Host: two}, {Host: three}}, one, two, three)
	two.At.DPID, two.Moves, two.MovedAt, two.IPs = 2, 1, found.Add(time.Hour), one.IPs
	saved([]fabric.HostChange{{Host: two}, {Host: fabric.Host{MAC: three.MAC}, Gone: true}}, one, two)
	if after := b.intents(); after != before {
		t.Errorf("hosts made %d entries of what is wanted in the change feed", after-before)
	}
	if err := b.SaveFabricHosts(b.ctx, []fabric.HostChange{{Host: fabric.Host{MAC: one.MAC}, Gone: true}, {Host: host(4, 9)}}); !errors.Is(err, store.ErrUnrecorded) {
		t.Errorf("a host at a switch that is not known: %v", err)
	}
	saved(nil, one, two) // and nothing of the rest of it
	if err := b.DeleteSwitch(b.ctx, 2); err != nil {
		t.Fatal(err)
	}
	saved(nil, one)
}
