package store_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// happenings are the events that a caller sees after a revision, as words.
func (b *bundle) happenings(sc store.Scope, since int64) (lines []string) {
	b.t.Helper()
	b.published() // all has a revision
	q := store.Query{Filter: map[string][]string{"since": {fmt.Sprint(since)}}}
	for _, e := range must(b.Events(b.ctx, sc, q))(b.t) {
		if err := e.Check(); err != nil {
			b.t.Error(err)
		}
		line := string(e.Kind)
		if e.MAC != 0 {
			line += " " + e.MAC.String()
		}
		if e.Switch != 0 {
			line += fmt.Sprintf(" at %x/%d", uint64(e.Switch), e.Port)
		}
		for _, name := range []string{"from_switch", "from_port", "peer_switch", "peer_port", "moves", "ip_addresses", "was", "status", "reason", "conflict", "policy", "address", "source", "limit"} {
			if v, has := e.Details[name]; has && v != "" {
				line += fmt.Sprintf(" %s %v", name, v)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *bundle) wantHappened(sc store.Scope, since int64, want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, b.happenings(sc, since)); d != "" {
		b.t.Errorf("events (-want +got):\n%s", d)
	}
}

func (b *bundle) do(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// now is the last revision of the feed.
func (b *bundle) now() int64 {
	b.t.Helper()
	b.published()
	_, last, err := b.Reach(b.ctx)
	b.do(err)
	return last
}

func TestEventsTellOfSwitchesOnceEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := intent.Switch{DPID: 1, Connected: true, Address: "10.0.0.1:5"}
	b.do(b.SaveSwitch(b.ctx, intent.Switch{DPID: 2})) // has never been connected
	b.do(b.SaveSwitch(b.ctx, one))
	one.Realized++
	b.do(b.SaveSwitch(b.ctx, one))
	one.Connected = false
	b.do(b.SaveSwitch(b.ctx, one))
	b.do(b.SaveSwitch(b.ctx, one))
	one.Connected = true
	b.do(b.SaveSwitch(b.ctx, one))
	b.do(b.MarkSwitchesDisconnected(b.ctx))
	b.do(b.MarkSwitchesDisconnected(b.ctx))
	up, down := "switch_up at 1/0 address 10.0.0.1:5", "switch_down at 1/0 address 10.0.0.1:5"
	b.wantHappened(admin, 0, up, down, up, down)
	b.wantHappened(red, 0)
}

func TestEventsTellOfLinksAndHosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for d := range intent.DPID(3) {
		b.save(intent.Switch{DPID: d + 1, Admitted: true})
	}
	found := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	link := func(far intent.DPID) fabric.Known {
		return fabric.Known{Link: fabric.Between(fabric.End{DPID: 1, Port: uint32(far)}, fabric.End{DPID: far, Port: 9}), Since: found}
	}
	links := func(list ...fabric.Known) { t.Helper(); must(b.SaveLinks(b.ctx, list))(t) }
	lost, tree := link(3), link(2)
	lost.Down, tree.Tree = true, true
	links(link(2), link(3))
	links(tree, link(3)) // that of the tree is no news
	links(tree, lost)
	links(tree)
	links()
	links(lost) // was never up
	two, three := "at 1/2 peer_switch 0000000000000002 peer_port 9", "at 1/3 peer_switch 0000000000000003 peer_port 9"
	b.wantHappened(admin, 0, "link_up "+two, "link_up "+three, "link_down "+three, "link_down "+two)

	since := b.now()
	h := fabric.Host{MAC: mac.MustParse("02:00:00:00:00:01"), At: fabric.End{DPID: 1, Port: 7}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Since: found, LastSeen: found}
	other := fabric.Host{MAC: h.MAC + 1, At: fabric.End{DPID: 2, Port: 7}, Since: found, LastSeen: found}
	hosts := func(list ...fabric.HostChange) { t.Helper(); b.do(b.SaveFabricHosts(b.ctx, list)) }
	hosts(fabric.HostChange{Host: h}, fabric.HostChange{Host: other})
	h.LastSeen = found.Add(time.Hour)
	hosts(fabric.HostChange{Host: h}) // is merely alive
	h.At.DPID, h.Moves, h.MovedAt = 3, 2, h.LastSeen
	hosts(fabric.HostChange{Host: h})
	gone := fabric.HostChange{Host: fabric.Host{MAC: h.MAC}, Gone: true}
	hosts(gone)
	hosts(gone) // is already
	b.wantHappened(admin, since,
		"host_seen 02:00:00:00:00:01 at 1/7 ip_addresses [10.0.0.1]", "host_seen 02:00:00:00:00:02 at 2/7 ip_addresses []",
		"host_moved 02:00:00:00:00:01 at 3/7 from_switch 0000000000000001 from_port 7 moves 2", "host_gone 02:00:00:00:00:01 at 3/7")

	links(tree)
	since = b.now()
	b.do(b.DeleteSwitch(b.ctx, 2))
	b.wantHappened(admin, since, "link_down "+two, "host_gone 02:00:00:00:00:02 at 2/7")
}

func TestATenantSeesEventsOfItsPortsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	p := newPort(n)
	p.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 1}
	port := b.port(red, p)
	since := b.now()
	set := func(status intent.PortStatus, reason string) {
		t.Helper()
		b.do(b.SetPortStatus(b.ctx, 0xa1, []store.PortState{{ID: port.ID, Status: status, Reason: reason}}))
	}
	set(intent.PortActive, "")
	set(intent.PortActive, "")
	set(intent.PortError, "the table is full")
	for range 2 {
		if _, found, err := b.ReportSighting(b.ctx, store.MACSighting{Addr: port.MAC, Datapath: 0xa2, SwitchPort: 9}); err != nil || !found {
			t.Fatal(found, err)
		}
	}
	b.do(b.Happened(b.ctx, intent.Event{Kind: intent.EventMACLimit, Switch: 0xa3, Port: 4, Details: map[string]any{"limit": 1000}}))
	own := []string{
		"port_realized at a1/0 was DOWN status ACTIVE", "port_realized at a1/0 was ACTIVE status ERROR reason the table is full",
		"mac_conflict " + port.MAC.String() + " at a2/9 conflict seen policy report",
	}
	b.wantHappened(red, since, own...)
	b.wantHappened(admin, since, append(own, "mac_limit at a3/4 limit 1000")...)
	b.wantHappened(blue, since)
	b.wantHappened(store.Scope{}, since)

	first := must(b.Events(b.ctx, red, store.Query{Limit: 1}))(t)[0]
	if first.PortID != port.ID || first.NetworkID != n.ID || first.Revision <= since || first.At.IsZero() {
		t.Errorf("got %+v", first)
	}
	id := fmt.Sprint(first.Revision)
	if got := must(b.Event(b.ctx, red, id))(t); !cmp.Equal(first, got) {
		t.Errorf("got %+v, want %+v", got, first)
	}
	_, err := b.Event(b.ctx, blue, id)
	wantNotFound(t, err, store.KindEvent)
	for filter, n := range map[[2]string]int{
		{"kind", "port_realized"}: 2, {"port_id", port.ID}: 3, {"mac_address", port.MAC.String()}: 1, {"switch", "00000000000000a2"}: 1,
		{"port", "4"}: 1, {"network_id", n.ID}: 2, {"tenant_id", "red"}: 3,
	} {
		if got := must(b.Events(b.ctx, admin, store.Query{Filter: map[string][]string{filter[0]: {filter[1]}}}))(t); len(got) != n {
			t.Errorf("%v: %d events, want %d", filter, len(got), n)
		}
	}
}

func TestAConflictOfAnImportIsAnEventOfItsOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	port := b.port(red, newPort(b.network(red, "n")))
	since := b.now()
	for range 2 {
		must(b.ImportMACs(b.ctx, admin, store.MACImport{Source: "esx", TenantID: "blue"}, func(yield func(store.MACImportLine, error) bool) {
			yield(store.MACImportLine{ExternalID: "vm-9", Addr: port.MAC}, nil)
		}))(t)
	}
	told := "mac_conflict " + port.MAC.String() + " conflict import policy report source esx"
	b.wantHappened(red, since, told)
	b.wantHappened(blue, since)
}

func TestAnEventThatIsNotDeclaredIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := intent.Event{Kind: intent.EventMACLimit, Switch: 1, Details: map[string]any{"limit": 5}}
	for _, bad := range []intent.Event{{Kind: "rain"}, {Kind: intent.EventMACLimit, Details: map[string]any{"depth": 5}}} {
		b.unchanged(func() {
			if err := b.Happened(b.ctx, good, bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		})
	}
	b.unchanged(func() { b.do(b.Happened(b.ctx)) })
}

func TestTheFeedIsKeptToANumberOfEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 9 {
		b.do(b.Happened(b.ctx, intent.Event{Kind: intent.EventMACLimit, Port: uint32(i + 1)}))
	}
	last := b.now()
	b.do(b.ForgetChanges(b.ctx, time.Now().Add(-time.Hour), 4))
	if first, still, err := b.Reach(b.ctx); err != nil || still != last || first != last-3 {
		t.Errorf("from %d to %d (%v), want the last 4 before %d", first, still, err, last)
	}
}
