package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// line is an event in words.
func line(e intent.MACEvent) string {
	var ips []string
	for _, ip := range e.IPs {
		ips = append(ips, ip.String())
	}
	return strings.Join(slices.DeleteFunc([]string{
		string(e.Kind), string(e.State), e.TenantID, e.DeviceID, strings.Join(ips, ","), e.Datapath, e.Interface, e.Actor, e.RequestID,
	}, func(s string) bool { return s == "" }), " ")
}

func (b *bundle) lineage(sc store.Scope, q store.LineageQuery) (lines []string) {
	b.t.Helper()
	for _, e := range must(b.Lineage(b.ctx, sc, q))(b.t) {
		lines = append(lines, line(e))
	}
	return lines
}

// The life of one address: made, bound, migrated, released, and reused by
// another tenant.
func TestLineageTellsTheWholeLifeOfAnAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const a1, a2 = "00000000000000a1", "00000000000000a2"
	n, m := b.network(red, "n"), b.network(blue, "m")
	b.subnet(red, n, "10.0.0.0/24")
	g := b.segment(admin, "0a:00:05:00:00:00/48", func(g *intent.Segment) { g.Host = a1 })
	as := func(user, request string) { b.ctx = store.WithRequestID(store.WithActor(t.Context(), user), request) }
	now := func() time.Time { return sql[time.Time](b, `SELECT clock_timestamp()`) }

	var moments []time.Time
	as("ann", "req-1")
	p := newPort(n)
	p.DeviceID, p.Binding = "vm-1", intent.Binding{Host: a1, InterfaceName: "tap1"}
	port := b.port(red, p)
	moments = append(moments, now())
	as("bob", "req-2")
	must(b.UpdatePort(b.ctx, red, port.ID, func(p *intent.Port) error { p.Binding.Host = a2; return nil }))(t)
	moments = append(moments, now())
	must(b.UpdatePort(b.ctx, red, port.ID, func(p *intent.Port) error { p.Binding = intent.Binding{}; return nil }))(t)
	must(b.UpdatePort(b.ctx, red, port.ID, func(p *intent.Port) error { p.Name = "no word of it"; return nil }))(t)
	as("ann", "req-3")
	must(b.UpdatePort(b.ctx, red, port.ID, func(p *intent.Port) error {
		p.FixedIPs = []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.77")}}
		return nil
	}))(t)
	moments = append(moments, now())
	if err := b.DeletePort(b.ctx, red, port.ID); err != nil {
		t.Fatal(err)
	}
	moments = append(moments, now())
	b.age(11 * time.Minute)
	as("eve", "req-4")
	other := newPort(m)
	other.Binding = intent.Binding{Host: a1, PortNo: 7}
	again := b.port(blue, other)
	if again.MAC != port.MAC || again.SegmentID != g.ID {
		t.Fatalf("got %s, want %s again", again.MAC, port.MAC)
	}

	ip := port.FixedIPs[0].Addr.String()
	life := []string{
		"allocate active blue " + a1 + " eve req-4",
		"release quarantined red vm-1 10.0.0.77 ann req-3",
		"change active red vm-1 10.0.0.77 ann req-3",
		"unbind active red vm-1 " + ip + " bob req-2",
		"move active red vm-1 " + ip + " " + a2 + " tap1 bob req-2",
		"allocate active red vm-1 " + ip + " " + a1 + " tap1 ann req-1",
	}
	ofRed := life[1:]
	for _, c := range []struct {
		what string
		sc   store.Scope
		q    store.LineageQuery
		want []string
	}{
		{"mac", admin, store.LineageQuery{MAC: port.MAC}, life},
		{"mac, by red", red, store.LineageQuery{MAC: port.MAC}, ofRed},
		{"mac, by blue", blue, store.LineageQuery{MAC: port.MAC}, life[:1]},
		{"ip", admin, store.LineageQuery{IP: netip.MustParseAddr("10.0.0.77")}, life[1:3]},
		{"instance", admin, store.LineageQuery{DeviceID: "vm-1"}, ofRed},
		{"tenant", admin, store.LineageQuery{TenantID: "blue"}, life[:1]},
		{"user", admin, store.LineageQuery{User: "bob"}, life[3:5]},
		{"switch", admin, store.LineageQuery{Switch: a1}, []string{life[0], life[5]}},
		{"switch and user", admin, store.LineageQuery{Switch: a1, User: "ann"}, life[5:]},
		{"a page", admin, store.LineageQuery{MAC: port.MAC, Limit: 2}, life[:2]},
		{"the page before", admin, store.LineageQuery{MAC: port.MAC, Before: moments[1], Limit: 1}, life[4:5]},
		{"mac, then", admin, store.LineageQuery{MAC: port.MAC, At: moments[0]}, life[5:]},
		{"ip, then", admin, store.LineageQuery{IP: port.FixedIPs[0].Addr, At: moments[1]}, life[4:5]},
		{"ip, when it was another's", admin, store.LineageQuery{IP: port.FixedIPs[0].Addr, At: moments[2]}, nil},
		{"switch, when it was there", admin, store.LineageQuery{Switch: a1, At: moments[0]}, life[5:]},
		{"switch, when it was gone", admin, store.LineageQuery{Switch: a1, At: moments[1]}, nil},
		{"instance, released", admin, store.LineageQuery{DeviceID: "vm-1", At: moments[3]}, life[1:2]},
		{"before all", admin, store.LineageQuery{MAC: port.MAC, At: moments[0].Add(-time.Hour)}, nil},
	} {
		if diff := cmp.Diff(c.want, b.lineage(c.sc, c.q)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.what, diff)
		}
	}
	// The quarantine ended by itself at some time.
	at := must(b.Lineage(b.ctx, red, store.LineageQuery{MAC: port.MAC, At: moments[3].Add(time.Hour)}))(t)
	if len(at) != 0 {
		t.Errorf("red sees %v of an address that is blue's", at)
	}
	_, err := b.Lineage(b.ctx, admin, store.LineageQuery{})
	wantInvalid(t, err, "mac")
	b.checkWhole()
}

func TestStateEndsByItselfInTheLineage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	end := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	m := b.macs(red, store.MACRequest{State: intent.MACReserved, ExpiresAt: end})[0]
	for at, want := range map[time.Time]intent.MACState{end.Add(-time.Second): intent.MACReserved, end: intent.MACQuarantined} {
		got := must(b.Lineage(b.ctx, red, store.LineageQuery{MAC: m.Addr, At: at}))(t)
		if len(got) != 1 || got[0].State != want {
			t.Errorf("at %v: %v, want %s", at, got, want)
		}
	}
}

func TestEveryAddressOfAPortLeadsToItsLineage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.subnet(red, n, "10.0.0.0/24")
	p := newPort(n)
	p.AutoIPs = false
	for i := range byte(4) {
		p.FixedIPs = append(p.FixedIPs, intent.FixedIP{Addr: netip.AddrFrom4([4]byte{10, 0, 0, 10 + i})})
	}
	port := b.port(red, p)
	for _, ip := range port.FixedIPs {
		if got := must(b.Lineage(b.ctx, red, store.LineageQuery{IP: ip.Addr}))(t); len(got) != 1 || got[0].Addr != port.MAC {
			t.Errorf("%s leads to %v", ip.Addr, got)
		}
	}
}

func TestLineageHasAMonthForEveryEventAndLosesOldOnes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if n := sql[int](b, `SELECT count(*) FROM pg_class WHERE relname ~ '^mac_events_[0-9]{4}_[0-9]{2}$'`); n != 4 {
		t.Errorf("%d months from the beginning, want 4", n)
	}
	// As it is when the controller was away for long.
	conn := must(pgx.Connect(b.ctx, b.url))(t)
	defer conn.Close(context.WithoutCancel(b.ctx))
	if _, err := conn.Exec(b.ctx, `DROP TABLE mac_events_`+time.Now().UTC().Format("2006_01")); err != nil {
		t.Fatal(err)
	}
	m := b.macs(red, store.MACRequest{})[0]
	old := time.Now().AddDate(0, -5, 0)
	sql[int](b, `WITH i AS (INSERT INTO mac_events (at, address, kind, state, tenant_id) VALUES ($1, 7, 'allocate', 'active', 'red') RETURNING 1) SELECT count(*) FROM i`, old)
	count := func(table string) int { return sql[int](b, `SELECT count(*) FROM `+table) }
	if n := count("mac_events_default"); n != 2 {
		t.Fatalf("%d events in the default partition, want both", n)
	}
	for range 2 { // again: nothing is left to do
		if err := b.KeepLineage(b.ctx, time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		if n := count("mac_events_default"); n != 1 {
			t.Errorf("%d events in the default partition, want the old one", n)
		}
	}
	if err := b.KeepLineage(b.ctx, old, 0); err != nil {
		t.Fatal(err)
	}
	if n := count("mac_events_default"); n != 0 {
		t.Errorf("%d events in the default partition", n)
	}
	if n := count("mac_events"); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if err := b.KeepLineage(b.ctx, time.Now(), 60*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := count("mac_events"); n != 1 {
		t.Errorf("%d events, want the new one", n)
	}
	var months []string
	for i := range 4 {
		now := time.Now().UTC()
		months = append(months, fmt.Sprintf("mac_events_%s", time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, i, 0).Format("2006_01")))
	}
	got := sql[[]string](b, `SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relname ~ '^mac_events_[0-9]{4}_[0-9]{2}$'
		AND substr(relname, 12) >= to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')`)
	if diff := cmp.Diff(months, got); diff != "" {
		t.Errorf("months: (-want +got)\n%s", diff)
	}
	if got := b.lineage(red, store.LineageQuery{MAC: m.Addr}); len(got) != 1 {
		t.Errorf("lineage %v", got)
	}
	b.macs(red, store.MACRequest{Count: 10})
	if n := count("mac_events_default"); n != 0 {
		t.Errorf("%d new events in the default partition", n)
	}
	b.checkWhole()
}

func TestConflictIsSeenOnceAndEndsAsTheSegmentSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	const here, there = intent.DPID(0xa1), intent.DPID(0xa2)
	g := b.segment(red, "02:00:05:00:00:00/24", func(g *intent.Segment) { g.ConflictPolicy, g.ConflictDelay = intent.ConflictReassign, 600 })
	p := newPort(n)
	p.DeviceID, p.Binding = "vm-1", intent.Binding{Host: here.String(), InterfaceName: "tap1"}
	port := b.port(red, p)
	report := func(s store.MACSighting) (intent.MACConflict, bool) {
		t.Helper()
		c, found, err := b.ReportSighting(b.ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		return c, found
	}
	for _, s := range []store.MACSighting{
		{Addr: port.MAC, Datapath: here, SwitchPort: 3, Interface: "tap1"},
		{Addr: port.MAC, Datapath: here, SwitchPort: 3},
		{Addr: port.MAC + 1, Datapath: there, SwitchPort: 3},
	} {
		if c, found := report(s); found {
			t.Errorf("%+v is a conflict: %+v", s, c)
		}
	}
	elsewhere := store.MACSighting{Addr: port.MAC, Datapath: there, SwitchPort: 9, Interface: "eth0"}
	first, found := report(elsewhere)
	second, _ := report(elsewhere)
	if !found || first.ID != second.ID || second.Times != 2 || first.TenantID != "red" || first.PortID != port.ID || first.DeviceID != "vm-1" ||
		first.Datapath != there.String() || first.SwitchPort != 9 || first.Policy != intent.ConflictReassign || first.DueAt.IsZero() || first.Resolved {
		t.Errorf("got %+v, then %+v", first, second)
	}
	if swept := must(b.SweepMACs(b.ctx))(t); len(swept.Reassigned) != 0 {
		t.Errorf("reassigned before it is due: %v", swept.Reassigned)
	}
	b.age(11 * time.Minute)
	swept := must(b.SweepMACs(b.ctx))(t)
	if diff := cmp.Diff([]mac.Addr{port.MAC}, swept.Reassigned); diff != "" {
		t.Errorf("reassigned: (-want +got)\n%s", diff)
	}
	now := must(b.Port(b.ctx, red, port.ID))(t)
	if now.MAC == port.MAC || !g.Block.Contains(now.MAC) || now.Revision != port.Revision+1 {
		t.Errorf("the port has %s, revision %d", now.MAC, now.Revision)
	}
	ended := must(b.MACConflict(b.ctx, red, first.ID))(t)
	if !ended.Resolved || ended.Reassigned != now.MAC || ended.ResolvedAt.IsZero() {
		t.Errorf("the conflict: %+v", ended)
	}
	if got := b.state(port.MAC); got != "reserved red" {
		t.Errorf("the address in conflict is %s, want held", got)
	}
	if got := b.lineage(red, store.LineageQuery{MAC: port.MAC}); len(got) != 4 || !strings.HasPrefix(got[0], "reassign reserved") || !strings.HasPrefix(got[2], "conflict active") {
		t.Errorf("lineage %q", got)
	}
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{port.MAC}); err != nil {
		t.Fatal(err)
	}
	// Nobody is to use it now, so a sighting is a conflict, of another kind of end.
	resting, found := report(elsewhere)
	if !found || resting.ID == first.ID || resting.State != intent.MACQuarantined || !resting.DueAt.IsZero() {
		t.Errorf("got %+v, %t", resting, found)
	}
	resolved := must(b.ResolveMACConflict(b.ctx, red, resting.ID, "unplugged"))(t)
	if !resolved.Resolved || resolved.Resolution != "unplugged" {
		t.Errorf("got %+v", resolved)
	}
	_, err := b.ResolveMACConflict(b.ctx, red, resting.ID, "again")
	wantConflict(t, err, "MacConflictResolved")
	_, err = b.MACConflict(b.ctx, blue, resting.ID)
	wantNotFound(t, err, store.KindMACConflict)
	open := must(b.MACConflicts(b.ctx, red, store.Query{Filter: map[string][]string{"status": {"open"}}}))(t)
	if len(open) != 0 {
		t.Errorf("open: %+v", open)
	}
	b.checkWhole()
}

func TestImportFindsEveryConflictAndKeepsTheMapping(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	refusing := b.segment(red, "02:00:05:00:00:00/24", func(g *intent.Segment) { g.ConflictPolicy = intent.ConflictRefuse })
	reporting := b.segment(blue, "02:00:06:00:00:00/24", nil)
	p := b.port(red, newPort(n))
	m := b.macs(blue, store.MACRequest{})[0]
	free := reporting.Block.At(5)
	if free == m.Addr {
		free++
	}
	lines := []store.MACImportLine{
		{ExternalID: "i-1", Addr: mac.MustParse("fa:16:3e:00:00:01"), Description: "web"},
		{ExternalID: "i-2", Addr: p.MAC}, {ExternalID: "i-3", Addr: m.Addr}, {ExternalID: "i-4", Addr: free},
		{ExternalID: "i-5", Addr: mac.MustParse("fa:16:3e:00:00:01")}, {ExternalID: "", Addr: 9}, {ExternalID: "i-7", Addr: 0x010000000000},
	}
	for i := range lines {
		lines[i].Line = int64(i + 1)
	}
	run := func(in store.MACImport) (store.MACImportResult, []string) {
		t.Helper()
		var said []string
		in.Source, in.TenantID = "cloud", "blue"
		in.Conflict = func(c store.MACImportConflict) error {
			said = append(said, strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s %t", c.Line, c.Kind, c.TenantID, c.State, c.Policy, c.Recorded)))
			return nil
		}
		res, err := b.ImportMACs(b.ctx, admin, in, func(yield func(store.MACImportLine, error) bool) {
			for _, l := range lines {
				if !yield(l, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		run := must(b.MACImport(b.ctx, blue, res.ID))(t)
		if diff := cmp.Diff(intent.MACImport{
			ID: res.ID, Source: "cloud", TenantID: "blue", DryRun: in.CheckOnly, Lines: res.Lines, Imported: res.Added, Mapped: res.Mapped,
			Conflicts: res.Conflicts, Invalid: res.Invalid, CreatedAt: run.CreatedAt,
		}, run); diff != "" {
			t.Errorf("record (-want +got)\n%s", diff)
		}
		_, err = b.MACImport(b.ctx, red, res.ID)
		wantNotFound(t, err, store.KindMACImport)
		res.ID = ""
		return res, said
	}
	said := func(recorded bool) []string {
		return []string{
			"2 managed red active refuse false", fmt.Sprintf("3 managed blue active report %t", recorded),
			"5 twice   report false", "6 invalid   report false", "7 invalid   report false",
		}
	}
	b.unchanged(func() {
		res, got := run(store.MACImport{CheckOnly: true})
		if diff := cmp.Diff(said(false), got); diff != "" {
			t.Errorf("check: (-want +got)\n%s", diff)
		}
		if want := (store.MACImportResult{Lines: 7, Conflicts: 3, Invalid: 2}); res != want {
			t.Errorf("check: %+v, want %+v", res, want)
		}
	})
	var progress int64
	res, got := run(store.MACImport{Progress: func(n int64) { progress = n }})
	if diff := cmp.Diff(said(true), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if want := (store.MACImportResult{Lines: 7, Conflicts: 3, Invalid: 2, Added: 2, Mapped: 3}); res != want || progress != 7 {
		t.Errorf("%+v, want %+v; progress %d", res, want, progress)
	}
	if got := must(b.MACAddress(b.ctx, blue, free))(t); got.SegmentID != reporting.ID || got.Origin != intent.MACOfImport || got.State != intent.MACActive {
		t.Errorf("got %+v", got)
	}
	conflicts := must(b.MACConflicts(b.ctx, admin, store.Query{}))(t)
	if len(conflicts) != 2 || conflicts[0].Source != "cloud" || conflicts[0].Kind != intent.MACImportedTwice || refusing.ConflictPolicy != intent.ConflictRefuse {
		t.Errorf("conflicts %+v", conflicts)
	}
	// Imported ones are nobody else's.
	wantConflict(t, b.tryPort(blue, portWithMAC(b.network(blue, "m"), free.String())), "MacAddressInUse")
	wantInvalid(t, b.tryPort(red, portWithMAC(b.network(red, "m2"), "fa:16:3e:00:00:01")), "mac_address")
	wantConflict(t, b.tryPort(store.Scope{TenantID: "green"}, portWithMAC(b.network(store.Scope{TenantID: "green"}, "m3"), "fa:16:3e:00:00:01")), "MacAddressInUse")
	b.checkWhole()

	// Once more, one machine with another address: the old one is released.
	lines[0].Addr = mac.MustParse("fa:16:3e:00:00:02")
	lines = lines[:4]
	res, _ = run(store.MACImport{})
	if want := (store.MACImportResult{Lines: 4, Conflicts: 2, Added: 1, Mapped: 3}); res != want {
		t.Errorf("%+v, want %+v", res, want)
	}
	if got := b.state(mac.MustParse("fa:16:3e:00:00:01")); got != "quarantined blue" {
		t.Errorf("the old address is %s", got)
	}
	var out []store.MACImportLine
	err := b.ExportMACs(b.ctx, admin, "cloud", func(l store.MACImportLine) error { out = append(out, l); return nil })
	want := []store.MACImportLine{lines[0], lines[2], lines[3]}
	for i := range want {
		want[i].Line = int64(i + 1)
	}
	if diff := cmp.Diff(want, out); diff != "" || err != nil {
		t.Errorf("export: %v (-want +got)\n%s", err, diff)
	}
	out = nil
	if err := b.ExportMACs(b.ctx, red, "", func(l store.MACImportLine) error { out = append(out, l); return nil }); err != nil || len(out) != 1 || out[0].Addr != p.MAC {
		t.Errorf("export of what is managed: %v, %v", out, err)
	}
	b.checkWhole()
}

func TestImportThatFailsRecordsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.network(red, "n")
	broken := fmt.Errorf("line 3 is no JSON")
	b.unchanged(func() {
		_, err := b.ImportMACs(b.ctx, red, store.MACImport{Source: "s"}, func(yield func(store.MACImportLine, error) bool) {
			_ = yield(store.MACImportLine{ExternalID: "a", Addr: 4}, nil) && yield(store.MACImportLine{}, broken)
		})
		if err == nil || !strings.Contains(err.Error(), broken.Error()) {
			t.Errorf("got %v, want %v", err, broken)
		}
		_, err = b.ImportMACs(b.ctx, red, store.MACImport{Source: "s", TenantID: "blue"}, nil)
		wantInvalid(t, err, "tenant_id")
		_, err = b.ImportMACs(b.ctx, red, store.MACImport{}, nil)
		wantInvalid(t, err, "source")
	})
}
