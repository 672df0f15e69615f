package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
)

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
		if err := b.SaveLinks(b.ctx, want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, must(b.Links(b.ctx))(t)); d != "" {
			t.Errorf("links (-want +got):\n%s", d)
		}
	}
	before := b.rowCounts()["outbox"]
	saved(links)
	links[0].Tree, links[0].Down, links[1].Tree = false, true, true
	saved(links)
	saved(links[:2])
	if after := b.rowCounts()["outbox"]; after != before {
		t.Errorf("links made %d entries in the change feed", after-before)
	}
	if err := b.SaveLinks(b.ctx, []fabric.Known{{Link: link(1, 9, 1), Since: found}}); err == nil {
		t.Error("a link with a switch that is not known was taken")
	}
	if err := b.DeleteSwitch(b.ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := must(b.Links(b.ctx))(t); len(got) != 0 {
		t.Errorf("links of a switch that was deleted: %v", got)
	}
}

func TestTheKeyOfTheFabricIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := must(b.FabricKey(b.ctx))(t), must(b.FabricKey(b.ctx))(t)
	if d := cmp.Diff(first, second); d != "" || len(first) != 32 {
		t.Errorf("keys of %d bytes (-first +second):\n%s", len(first), d)
	}
}
