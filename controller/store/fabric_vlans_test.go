package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// vlans are the tags of networks.
func (b *bundle) vlans() map[string]uint16 {
	b.t.Helper()
	got := map[string]uint16{}
	for _, n := range must(b.Networks(b.ctx, admin, store.Query{}))(b.t) {
		if n.VLAN != 0 {
			got[n.Name] = n.VLAN
		}
	}
	return got
}

func TestNetworksThatNeedATagHaveOneOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := map[string]string{}
	for i := range 4 {
		n := b.network(red, fmt.Sprint("net", i))
		ids[n.Name] = n.ID
	}
	settle := func(want map[string]uint16, names ...string) {
		t.Helper()
		need := []string{"0198f3a0-0000-7000-8000-00000000dead"} // which is gone
		for _, name := range names {
			need = append(need, ids[name])
		}
		if lacking := must(b.SettleVLANs(b.ctx, need))(t); lacking != 0 {
			t.Errorf("%d networks lack a tag", lacking)
		}
		if diff := cmp.Diff(want, b.vlans()); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
	}
	before := b.intents()
	settle(map[string]uint16{"net0": 1, "net2": 2}, "net0", "net2")
	settle(map[string]uint16{"net0": 1, "net2": 2}, "net0", "net2")
	if told := b.intents() - before; told != 2 {
		t.Errorf("the feed tells of %d changes", told)
	}
	// What has just been taken back rests.
	settle(map[string]uint16{"net2": 2, "net1": 3}, "net2", "net1")
	settle(map[string]uint16{"net2": 2, "net1": 3, "net0": 4}, "net0", "net1", "net2")
	if err := b.DeleteNetwork(b.ctx, admin, ids["net2"]); err != nil {
		t.Fatal(err)
	}
	settle(map[string]uint16{"net1": 3, "net0": 4, "net3": 5}, "net0", "net1", "net3")
	settle(map[string]uint16{})
}

func TestTheLastTagsGoToTheFirstAndOthersAreToldThatTheyLackOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var need []string
	for i := range 4 {
		need = append(need, b.network(red, fmt.Sprint("net", i)).ID)
	}
	lacking := func() (names []string) {
		for _, n := range must(b.Networks(b.ctx, admin, store.Query{}))(t) {
			if n.NoVLAN {
				names = append(names, n.Name)
			}
		}
		return names
	}
	// All tags but one were given back just now, but for two long ago.
	b.exec(`INSERT INTO fabric_vlans (vlan, since) SELECT vlan, CASE vlan WHEN 7 THEN now() - '1 hour'::interval WHEN 9 THEN now() - '2 hours'::interval ELSE now() END
		FROM generate_series(1, 4094) AS vlan WHERE vlan <> 4094`)
	if n := must(b.SettleVLANs(b.ctx, need))(t); n != 1 {
		t.Errorf("%d networks lack a tag", n)
	}
	if diff := cmp.Diff(map[string]uint16{"net0": 4094, "net1": 9, "net2": 7}, b.vlans()); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"net3"}, lacking()); diff != "" {
		t.Errorf("networks without (-want +got):\n%s", diff)
	}
	before := b.intents()
	if n := must(b.SettleVLANs(b.ctx, need))(t); n != 1 || b.intents() != before {
		t.Errorf("%d networks lack a tag, and the feed tells of %d changes", n, b.intents()-before)
	}
	b.exec(`UPDATE fabric_vlans SET since = now() - '11 minutes'::interval WHERE vlan = 100`)
	if n := must(b.SettleVLANs(b.ctx, need))(t); n != 0 || len(lacking()) != 0 || b.vlans()["net3"] != 100 {
		t.Errorf("%d networks lack a tag: %v", n, b.vlans())
	}
	b.exec(`UPDATE fabric_vlans SET vlan = NULL WHERE vlan = 100`)
	must(b.SettleVLANs(b.ctx, need[:3]))(t)
	if got := lacking(); len(got) != 0 {
		t.Errorf("%v lack a tag and need none", got)
	}
}

// Switches that are linked are hosts for ports, with the numbers that they have in the fabric.
func TestLinkedSwitchesAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for d := range intent.DPID(3) {
		b.save(intent.Switch{DPID: d + 1, Admitted: true})
	}
	before := b.intents()
	must(b.SaveLinks(b.ctx, []fabric.Known{{Link: fabric.Between(fabric.End{DPID: 1, Port: 1}, fabric.End{DPID: 3, Port: 1}), Since: time.Unix(1, 0)}}))(t)
	if told := b.intents() - before; told != 2 {
		t.Errorf("the feed tells of %d switches", told)
	}
	got := map[intent.DPID]uint16{}
	for _, h := range must(b.HostsByID(b.ctx, []string{intent.DPID(1).String(), intent.DPID(2).String(), intent.DPID(3).String()}))(t) {
		if h.Tunnel.IsValid() || h.Slot == 0 {
			t.Errorf("%+v", h)
		}
		got[h.DPID] = h.Fabric
	}
	if diff := cmp.Diff(map[intent.DPID]uint16{1: 1, 3: 2}, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
}
