package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// plugged is an open interface with the id of a port.
func plugged(iface string, p intent.Port) intent.Attachment {
	return intent.Attachment{Interface: iface, IfaceID: p.ID, OFPort: 5}
}

// report reports the interfaces of a bridge and returns what is not bound, a
// line each.
func (b *bundle) report(d intent.DPID, list ...intent.Attachment) []string {
	b.t.Helper()
	var lines []string
	for _, a := range must(b.ReportInterfaces(b.ctx, d, list))(b.t) {
		lines = append(lines, fmt.Sprintf("%s %s: %s", a.Interface, a.State, a.Reason))
	}
	return lines
}

// versions are the rows of what a report may touch, each with the transaction
// that wrote it.
func (b *bundle) versions() map[string][]string {
	b.t.Helper()
	versions := map[string][]string{}
	for _, table := range []string{"attachments", "ports", "mac_addresses", "fixed_ips", "switches", "outbox", "mac_events"} {
		versions[table] = sql[[]string](b, `SELECT coalesce(array_agg(xmin || ' at ' || ctid ORDER BY ctid), '{}') FROM `+table)
	}
	return versions
}

func (b *bundle) activate(d intent.DPID, p intent.Port) {
	b.t.Helper()
	if err := b.SetPortStatus(b.ctx, d, []store.PortState{{ID: p.ID, Status: intent.PortActive}}); err != nil {
		b.t.Fatal(err)
	}
	if got := must(b.Port(b.ctx, admin, p.ID))(b.t); got.Status != intent.PortActive {
		b.t.Fatalf("port is %s where it is bound, want ACTIVE", got.Status)
	}
}

// wantChanged checks that the newest entries of the feed are about these ports.
func (b *bundle) wantChanged(before int, ports ...intent.Port) {
	b.t.Helper()
	want, got := []string{}, []string{}
	for _, p := range ports {
		want = append(want, "update "+p.ID+" of "+p.TenantID)
	}
	for _, c := range b.published()[before:] {
		got = append(got, string(c.Op)+" "+c.ID+" of "+c.TenantID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("changes (-want +got)\n%s", diff)
	}
}

func TestAnInterfaceWithTheIDOfAPortBindsItUntilItLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	before := len(b.published())
	if open := b.report(0xa1, plugged("tap1", p)); open != nil {
		t.Errorf("not bound: %v", open)
	}
	if got := b.place(p); got != "00000000000000a1 tap1" {
		t.Errorf("the port is at %s", got)
	}
	b.wantChanged(before, p)
	b.activate(0xa1, p)
	asked := must(b.Ports(b.ctx, admin, store.Query{Filter: map[string][]string{"binding:host_id": {"00000000000000a1"}}}))(t)
	if len(asked) != 1 || asked[0].ID != p.ID {
		t.Errorf("the host's ports are %v", asked)
	}
	if host := sql[string](b, `SELECT host || interface_name FROM ports`); host != "" {
		t.Errorf("a fact became intent: %q", host)
	}
	before = len(b.published())
	b.report(0xa1)
	got := must(b.Port(b.ctx, red, p.ID))(t)
	if !got.Binding.IsZero() || got.Status != intent.PortDown || got.Revision != p.Revision+2 {
		t.Errorf("after the interface left: %+v", got)
	}
	b.wantChanged(before, p)
}

func TestAReportThatTellsNothingNewWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	list := []intent.Attachment{plugged("tap1", p), {Interface: "tap2", IfaceID: "no id", OFPort: -1, Error: "gone"}}
	b.report(0xa1, list...)
	b.published()
	versions, rows := b.versions(), b.rowCounts()
	slices.Reverse(list)
	for range 3 {
		b.report(0xa1, list...)
	}
	if diff := cmp.Diff(versions, b.versions()); diff != "" {
		t.Errorf("rows were written (-before +after)\n%s", diff)
	}
	if diff := cmp.Diff(rows, b.rowCounts()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	// What is of no consequence for the port is recorded, but not told.
	list[1].MACInUse, list[1].OFPort = "02:00:00:00:00:01", 6
	b.report(0xa1, list...)
	if diff := cmp.Diff(rows, b.rowCounts()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	b.activate(0xa1, p)
	if got := must(b.Switches(b.ctx))(t); len(got) != 0 {
		t.Errorf("attachments alone make no switch: %v", got)
	}
}

func TestWhatIsNotBoundSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	free, elsewhere, named, numbered, twice := b.port(red, newPort(n)), newPort(n), newPort(n), newPort(n), b.port(red, newPort(n))
	elsewhere.Binding.Host = "00000000000000b2"
	named.Binding = intent.Binding{Host: "00000000000000a1", InterfaceName: "eth7"}
	numbered.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 9}
	there, profile, number := b.port(red, elsewhere), b.port(red, named), b.port(red, numbered)
	const absent = "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11"
	got := b.report(0xa1,
		plugged("a", free), plugged("b", there), plugged("c", profile), plugged("d", number), plugged("e", twice), plugged("f", twice),
		intent.Attachment{Interface: "g", IfaceID: "vm-7", OFPort: 1}, intent.Attachment{Interface: "h", IfaceID: absent, OFPort: 1},
		intent.Attachment{Interface: "i", IfaceID: free.ID}, intent.Attachment{Interface: "j", IfaceID: free.ID, OFPort: -1, Error: "could not open network device j (No such device)"},
		plugged("eth7", profile),
	)
	want := []string{
		"b refused: binding:host_id of port " + there.ID + " asks for switch 00000000000000b2",
		"c refused: binding:profile of port " + profile.ID + " asks for interface eth7",
		"d refused: binding:profile of port " + number.ID + " asks for port number 9",
		"f refused: port " + twice.ID + " is attached to e of switch 00000000000000a1 already",
		`g refused: "vm-7" is not the id of a port`,
		"h waiting: there is no port " + absent,
		"i waiting: the interface is not open yet",
		"j waiting: the interface cannot be opened: could not open network device j (No such device)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.save(intent.Switch{DPID: 0xa1})
	sw := must(b.Switch(b.ctx, 0xa1))(t)
	var bound []string
	for _, a := range sw.Attachments {
		if a.State == intent.AttachmentBound {
			bound = append(bound, a.Interface)
		}
	}
	if len(sw.Attachments) != 11 || strings.Join(bound, " ") != "a e eth7" {
		t.Errorf("the switch has %d attachments and bound ones %v", len(sw.Attachments), bound)
	}
}

func TestAHostIsAskedForByName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	here, there := newPort(n), newPort(n)
	here.Binding.Host, there.Binding.Host = "compute-1", "compute-2"
	waiting := b.port(red, here)
	if waiting.HostKnown || waiting.AskedHost != "compute-1" || waiting.Binding.Host != "compute-1" {
		t.Errorf("port on a host that is not known: %+v", waiting)
	}
	b.save(intent.Switch{DPID: 0xa1})
	b.bridge(intent.Bridge{DPID: 0xa1, Hostname: "compute-1", Connected: true})
	known, stranger := b.port(red, here), b.port(red, there)
	if !known.HostKnown {
		t.Errorf("port on a host that is known: %+v", known)
	}
	got := b.report(0xa1, plugged("tap1", known), plugged("tap2", stranger))
	if diff := cmp.Diff([]string{"tap2 refused: binding:host_id of port " + stranger.ID + " asks for switch compute-2"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	bound := must(b.Port(b.ctx, red, known.ID))(t)
	if want := (intent.Binding{Host: "00000000000000a1", InterfaceName: "tap1"}); bound.Binding != want || bound.AskedHost != "compute-1" {
		t.Errorf("port is at %+v as %q, want %+v as compute-1", bound.Binding, bound.AskedHost, want)
	}
	renamed := must(b.UpdatePort(b.ctx, red, known.ID, func(p *intent.Port) error { p.Name = "x"; return nil }))(t)
	if renamed.Binding != bound.Binding || renamed.AskedHost != "compute-1" {
		t.Errorf("another name moves the port to %+v as %q", renamed.Binding, renamed.AskedHost)
	}
}

func TestAPortMadeAfterItsInterfaceIsBound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	late := newPort(n)
	late.ID = "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11"
	b.report(0xa1, intent.Attachment{Interface: "tap1", IfaceID: strings.ToUpper(late.ID), OFPort: 5})
	before := len(b.published())
	p := b.port(red, late)
	if got := b.place(p); got != "00000000000000a1 tap1" {
		t.Errorf("the port is at %s", got)
	}
	if changes := b.published()[before:]; len(changes) == 0 || changes[0].ID != p.ID {
		t.Errorf("the feed tells %v", changes)
	}
	if diff := cmp.Diff([]string{"bind at 00000000000000a1 tap1", "allocate at  "}, b.places(p)); diff != "" {
		t.Errorf("lineage (-want +got)\n%s", diff)
	}
	if p.Binding.Host != "00000000000000a1" || p.Binding.InterfaceName != "tap1" {
		t.Errorf("its maker is told that it is at %+v", p.Binding)
	}
	if err := b.DeletePort(b.ctx, red, p.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.rowCounts()["attachments"]; got != 1 {
		t.Error("the interface went with its port")
	}
}

func TestAPortMadeWhileItsInterfaceIsReportedIsBoundOnceInItsLineage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	for i := range 30 {
		p := newPort(n)
		p.ID = uuid.NewString()
		var both errgroup.Group
		both.Go(func() error {
			_, err := b.CreatePorts(b.ctx, red, []store.NewPort{p})
			return err
		})
		both.Go(func() error {
			_, err := b.ReportInterfaces(b.ctx, intent.DPID(0xa1+i), []intent.Attachment{plugged("tap1", p.Port)})
			return err
		})
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		host := intent.DPID(0xa1 + i).String()
		if diff := cmp.Diff([]string{"bind at " + host + " tap1", "allocate at  "}, b.places(must(b.Port(b.ctx, red, p.ID))(t))); diff != "" {
			t.Fatalf("round %d (-want +got)\n%s", i, diff)
		}
	}
}

// places is the lineage of the MAC of a port, with where it was.
func (b *bundle) places(p intent.Port) (lines []string) {
	b.t.Helper()
	for _, e := range must(b.Lineage(b.ctx, admin, store.LineageQuery{MAC: p.MAC}))(b.t) {
		lines = append(lines, fmt.Sprintf("%s at %s %s", e.Kind, e.Host, e.Interface))
	}
	return lines
}

// A port moves when the interface that has it leaves or dies, or when the
// request names another host; nothing else takes it away.
func TestTheFirstInterfaceKeepsThePortUntilItLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	at := func(step, want string) {
		t.Helper()
		if got := b.place(p); got != want {
			t.Errorf("%s: the port is at %s, want %s", step, got, want)
		}
	}
	dead := func(iface string) intent.Attachment {
		return intent.Attachment{Interface: iface, IfaceID: p.ID, OFPort: -1}
	}
	ask := func(binding intent.Binding) intent.Port {
		t.Helper()
		return must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.Binding = binding; return nil }))(t)
	}
	b.report(0xa1, dead("tap1"))
	b.report(0xa2, plugged("tap2", p))
	at("only the second is open", "00000000000000a2 tap2")
	b.report(0xa1, plugged("tap1", p))
	at("the first opens late", "00000000000000a2 tap2")
	b.report(0xa2, dead("tap2"))
	at("the second dies", "00000000000000a1 tap1")
	b.report(0xa2, plugged("tap2", p))
	at("the second is back", "00000000000000a1 tap1")

	b.activate(0xa1, p)
	if got := ask(intent.Binding{Host: "00000000000000a1"}); got.Status != intent.PortActive || got.Binding.InterfaceName != "tap1" {
		t.Errorf("asked to be where it is: %v at %v", got.Status, got.Binding)
	}
	if got := ask(intent.Binding{Host: "00000000000000a2"}); got.Status != intent.PortDown || got.Binding.InterfaceName != "tap2" {
		t.Errorf("asked to move: %v at %v", got.Status, got.Binding)
	}
	at("moved", "00000000000000a2 tap2")
	if err := b.SetPortStatus(b.ctx, 0xa1, []store.PortState{{ID: p.ID, Status: intent.PortActive}}); err != nil {
		t.Fatal(err)
	}
	if got := must(b.Port(b.ctx, red, p.ID))(t); got.Status != intent.PortDown {
		t.Errorf("a switch that has lost the port made it %s", got.Status)
	}
	ask(intent.Binding{Host: "00000000000000a3"})
	at("asked for a host without it", "00000000000000a3 ")
	b.activate(0xa3, p) // say, by another kind of switch
	renamed := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.Name = "x"; return nil }))(t)
	if renamed.Status != intent.PortActive {
		t.Error("another name made the port DOWN")
	}
	ask(intent.Binding{})
	at("unbound", "00000000000000a1 tap1")
	named := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error {
		if !p.Binding.IsZero() {
			t.Errorf("a change sees the binding %v that nobody asked for", p.Binding)
		}
		p.Name = "y"
		return nil
	}))(t)
	if named.Binding.InterfaceName != "tap1" {
		t.Errorf("the answer shows %v", named.Binding)
	}
	if host := sql[string](b, `SELECT host || interface_name FROM ports`); host != "" {
		t.Errorf("a fact became intent: %q", host)
	}
}

// Hosts that report one port at the same time agree on who has it.
func TestHostsThatReportOnePortAtOnceAreHeardOneAfterTheOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	replica := []*store.Store{b.Store, storetest.Open(t, b.url)}
	n := b.network(red, "n")
	var ports []intent.Port
	for range 5 {
		ports = append(ports, b.port(red, newPort(n)))
	}
	var g errgroup.Group
	for host := range 4 {
		g.Go(func() error {
			for round := range 10 {
				var list []intent.Attachment
				for i := round % 2; i < len(ports); i += 1 + host%2 {
					list = append(list, plugged(fmt.Sprintf("tap%d", i), ports[i]))
				}
				if _, err := replica[host%2].ReportInterfaces(b.ctx, intent.DPID(0xa0+host), list); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	// The last change of each port in the feed is not older than its binding:
	// what a reader of the feed holds is what is.
	for _, p := range ports {
		winner := sql[string](b, `SELECT coalesce((SELECT dpid FROM attachments WHERE port_id = $1 ORDER BY seq LIMIT 1), '')`, p.ID)
		if got := must(b.Port(b.ctx, admin, p.ID))(t); got.Binding.Host != winner {
			t.Errorf("port is at %s, the first interface is at %s", got.Binding.Host, winner)
		}
		changed := sql[time.Time](b, `SELECT max(at) FROM outbox WHERE object_id = $1`, p.ID)
		updated := sql[time.Time](b, `SELECT updated_at FROM ports WHERE id = $1`, p.ID)
		if changed.Before(updated) {
			t.Errorf("the port moved at %v, the feed told last at %v", updated, changed)
		}
	}
}

func TestLineageTellsOfInterfacesThatBindAPort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	b.report(0xa1, plugged("tap1", p))
	b.report(0xa2, plugged("tap2", p)) // has to wait
	b.report(0xa1)
	b.report(0xa2)
	list := must(b.Lineage(b.ctx, store.Scope{Admin: true}, store.LineageQuery{MAC: p.MAC}))(t)
	var got []string
	for _, e := range list {
		got = append(got, strings.TrimSpace(string(e.Kind)+" "+e.Datapath+" "+e.Interface))
	}
	slices.Sort(got)
	want := []string{"allocate", "bind 00000000000000a1 tap1", "move 00000000000000a2 tap2", "unbind"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
