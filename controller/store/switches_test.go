package store_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

func (b *bundle) save(sw intent.Switch) {
	b.t.Helper()
	if err := b.SaveSwitch(b.ctx, sw); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) bridge(br intent.Bridge) {
	b.t.Helper()
	known := must(b.SaveBridge(b.ctx, br))(b.t)
	if _, err := b.Switch(b.ctx, br.DPID); (err == nil) != known {
		b.t.Errorf("bridge %s recorded: %v, switch: %v", br.DPID, known, err)
	}
}

func (b *bundle) reject(c intent.Candidate) {
	b.t.Helper()
	if err := b.SaveRejection(b.ctx, c, "not listed"); err != nil {
		b.t.Fatal(err)
	}
}

// admissions are the decisions as a controller that starts finds them.
func (b *bundle) admissions() []intent.Admission {
	b.t.Helper()
	state, _, err := b.Snapshot(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	return state.Admissions
}

func TestSwitchesAreKeptAsFacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.intents()
	sw := intent.Switch{
		DPID: 0xa1, Admitted: true, Address: "192.0.2.1:51000", Connected: true, Description: "Open vSwitch", Realized: 7, ForeignFlows: 2, Repaired: 3,
		Capabilities: map[string]string{"ct": "yes", "nd_set": "unknown"},
		Ports:        []intent.SwitchPort{{No: 0xfffffffe, Name: "br0", HWAddr: 1, Up: true}, {No: 1, Name: "eth1"}},
	}
	b.save(sw)
	sw.Realized = 9
	b.save(sw)
	// OVSDB tells of it, and of a bridge that nobody knows.
	b.bridge(intent.Bridge{DPID: 0xa1, FailMode: "secure", DatapathType: "netdev", SystemID: "h1", Hostname: "host1", Version: "3.1.0", Connected: true, SetupError: "x"})
	b.bridge(intent.Bridge{DPID: 0xa9, FailMode: "secure"})
	sw.FailMode, sw.DatapathType, sw.SystemID, sw.Hostname, sw.Version, sw.OVSDBConnected, sw.SetupError = "secure", "netdev", "h1", "host1", "3.1.0", true, "x"
	b.save(sw) // takes nothing of that back
	got := must(b.Switch(b.ctx, 0xa1))(t)
	sw.UpdatedAt = got.UpdatedAt
	if diff := cmp.Diff(sw, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := b.MarkSwitchesDisconnected(b.ctx); err != nil {
		t.Fatal(err)
	}
	if list := must(b.Switches(b.ctx))(t); len(list) != 1 || list[0].Connected || list[0].OVSDBConnected {
		t.Errorf("got %+v", list)
	}
	_, err := b.Switch(b.ctx, 0xa2)
	wantNotFound(t, err, store.KindSwitch)
	if after := b.intents(); after != before+1 {
		t.Errorf("%d entries of the feed of what is wanted, want one: that a host has the switch", after-before)
	}
}

func TestAnIntegrationBridgeIsRecordedBeforeItConnects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bridge(intent.Bridge{DPID: 0xa1, Integration: true, SystemID: "h1", Connected: true})
	sw := must(b.Switch(b.ctx, 0xa1))(t)
	if sw.Connected || !sw.OVSDBConnected || !sw.Admitted {
		t.Errorf("got %+v", sw)
	}
	if diff := cmp.Diff([]intent.Admission{{DPID: 0xa1, SystemID: "h1", Admitted: true, Integration: true}}, b.admissions()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// The host is given another integration bridge: this one is like any other.
	b.bridge(intent.Bridge{DPID: 0xa1, SystemID: "h1", Connected: true})
	if got := b.admissions()[0]; got.Integration {
		t.Errorf("got %+v", got)
	}
}

// A host is listed by its system-id before anybody knows which datapath id its
// bridge has.
func TestAListedHostIsFoundAgainUnderItsDatapathID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listed := intent.Switch{DPID: intent.DPIDOfSystem("h1"), SystemID: "h1", Admitted: true}
	must(b.CreateSwitches(b.ctx, []intent.Switch{listed}))(t)
	_, err := b.CreateSwitches(b.ctx, []intent.Switch{{DPID: 7}, listed})
	wantConflict(t, err, "SwitchExists", listed.DPID.String())
	if diff := cmp.Diff([]intent.Admission{{DPID: listed.DPID, SystemID: "h1", Admitted: true}}, b.admissions()); diff != "" {
		t.Errorf("listed (-want +got)\n%s", diff)
	}
	b.bridge(intent.Bridge{DPID: 0xa1, Integration: true, SystemID: "h1", Connected: true})
	if diff := cmp.Diff([]intent.Admission{{DPID: 0xa1, SystemID: "h1", Admitted: true, Integration: true}}, b.admissions()); diff != "" {
		t.Errorf("seen (-want +got)\n%s", diff)
	}
}

func TestTurnedAwaySwitchesAreRememberedUntilSomebodyDecides(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reject(intent.Candidate{DPID: 0xa1, Address: "192.0.2.1:5"})
	b.reject(intent.Candidate{DPID: 0xa1, Address: "192.0.2.1:6", SystemID: "h1", Hostname: "host1", Version: "3.1.0"})
	sw := must(b.Switch(b.ctx, 0xa1))(t)
	want := intent.Switch{
		DPID: 0xa1, Address: "192.0.2.1:6", SystemID: "h1", Hostname: "host1", Version: "3.1.0", TurnedAwayReason: "not listed",
		Capabilities: map[string]string{}, TurnedAwayAt: sw.TurnedAwayAt, UpdatedAt: sw.UpdatedAt,
	}
	if diff := cmp.Diff(want, sw, cmpopts.EquateComparable(netip.Addr{})); diff != "" || sw.TurnedAwayAt.IsZero() {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := b.admissions(); len(got) != 0 {
		t.Errorf("that is no decision: %v", got)
	}
	if sw = must(b.UpdateSwitch(b.ctx, 0xa1, func(sw *intent.Switch) error { sw.Note = "rack 7"; return nil }))(t); sw.Note != "rack 7" || len(b.admissions()) != 0 {
		t.Errorf("a note is no decision: %q, %v", sw.Note, b.admissions())
	}
	for _, admitted := range []bool{true, false} {
		sw = must(b.UpdateSwitch(b.ctx, 0xa1, func(sw *intent.Switch) error { sw.Judge(admitted); return nil }))(t)
		if diff := cmp.Diff([]intent.Admission{{DPID: 0xa1, SystemID: "h1", Admitted: admitted}}, b.admissions()); diff != "" || sw.Admitted != admitted {
			t.Errorf("decided (-want +got)\n%s", diff)
		}
	}
	b.save(intent.Switch{DPID: 0xa1}) // a last word of its session
	if must(b.Switch(b.ctx, 0xa1))(t).Admitted {
		t.Error("what an operator refused is admitted by a fact")
	}
	b.reject(intent.Candidate{DPID: 0xa2})
	b.save(intent.Switch{DPID: 0xa2}) // of a controller that lets everybody in
	if !must(b.Switch(b.ctx, 0xa2))(t).Admitted {
		t.Error("a switch that was let in is shown as turned away")
	}
	if changes := b.published(); len(changes) != 3 {
		t.Errorf("the feed has %v, want the note and the two decisions", changes)
	}
}

func TestAFloodOfInventedSwitchesPushesOutTheOldestAndNothingOfAnOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sql[int](b, `WITH flood AS (
		INSERT INTO switches (dpid, admitted, turned_away_at) SELECT lpad(to_hex(n), 16, '0'), false, now() - n * interval '1 second'
		FROM generate_series(1, 1000) AS n RETURNING 1) SELECT count(*)::int FROM flood`)
	must(b.UpdateSwitch(b.ctx, 1000, func(sw *intent.Switch) error { sw.Judge(false); sw.Note = "stolen"; return nil }))(t)
	must(b.UpdateSwitch(b.ctx, 999, func(sw *intent.Switch) error { sw.Note = "whose?"; return nil }))(t)
	if diff := cmp.Diff([]intent.Admission{{DPID: 1000}}, b.admissions()); diff != "" {
		t.Errorf("decided (-want +got):\n%s", diff)
	}
	for d := range 3 {
		b.reject(intent.Candidate{DPID: intent.DPID(5000 + d)})
	}
	for d, stays := range map[intent.DPID]bool{1000: true, 999: true, 998: false, 997: true, 1: true, 5000: true, 5002: true} {
		if _, err := b.Switch(b.ctx, d); (err == nil) != stays {
			t.Errorf("switch %d: %v, want it to be there: %v", d, err, stays)
		}
	}
}

func TestAForgottenSwitchGivesItsPortsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	b.save(intent.Switch{DPID: 0xa1, Connected: true})
	b.report(0xa1, plugged("tap1", p))
	b.report(0xa2, plugged("tap2", p))
	wantInUse(t, b.DeleteSwitch(b.ctx, 0xa1), store.KindSwitch, "a connection")
	b.save(intent.Switch{DPID: 0xa1})
	b.bridge(intent.Bridge{DPID: 0xa1, SystemID: "h1"})
	if got := must(b.AttachedBridges(b.ctx, "h1"))(t); len(got) != 1 || got[0] != 0xa1 {
		t.Errorf("the host has interfaces at %v", got)
	}
	if err := b.DeleteSwitch(b.ctx, 0xa1); err != nil {
		t.Fatal(err)
	}
	if got := b.place(p); got != "00000000000000a2 tap2" {
		t.Errorf("the port is at %s", got)
	}
	wantNotFound(t, b.DeleteSwitch(b.ctx, 0xa1), store.KindSwitch)
}

// place is where a port is, and its status.
func (b *bundle) place(p intent.Port) string {
	b.t.Helper()
	got := must(b.Port(b.ctx, admin, p.ID))(b.t)
	if byID := must(b.PortsByID(b.ctx, []string{p.ID}))(b.t)[p.ID]; byID.Binding != got.Binding {
		b.t.Errorf("bound to %v by one way of reading, to %v by the other", got.Binding, byID.Binding)
	}
	if got.Binding.IsZero() {
		return "nowhere"
	}
	return fmt.Sprintf("%s %s", got.Binding.Host, got.Binding.InterfaceName)
}
