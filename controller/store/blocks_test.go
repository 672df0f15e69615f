package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// terms tells what a block of the guard is asked about the one before.
type terms struct {
	before []time.Duration
	term   time.Duration
}

func (k *terms) of(_ time.Time, before time.Duration, _ time.Time) time.Duration {
	k.before = append(k.before, before)
	return k.term
}

// The guard makes a block once, it ends by itself, and the next one knows of it; one that is
// lifted is forgotten.
func TestBlocksOfTheGuardEndAndAreRememberedUntilTheyAreLifted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.save(intent.Switch{DPID: 1, Admitted: true})
	want := intent.Block{MAC: mac.MustParse("02:00:00:00:00:0a"), At: intent.Place{Switch: 1, Port: 7}, Cause: intent.BlockMoves, Reason: "r"}
	k := &terms{term: 30 * time.Minute}
	add := func() (intent.Block, bool) {
		t.Helper()
		got, made, err := b.AddBlock(b.ctx, want, k.of)
		if err != nil {
			t.Fatal(err)
		}
		return got, made
	}
	first, made := add()
	if got := first.ExpiresAt.Sub(first.CreatedAt); !made || first.MAC != want.MAC || first.At != want.At || got != k.term {
		t.Errorf("made %v: %+v, which lasts %v", made, first, got)
	}
	if _, again := add(); again {
		t.Error("the same was blocked twice")
	}
	if over, err := b.ExpireBlocks(b.ctx); err != nil || len(over) > 0 {
		t.Errorf("expired before its time: %v, %v", over, err)
	}
	due := func() {
		t.Helper()
		b.exec(`UPDATE blocks SET expires_at = now() - interval '1 second'`)
		over, err := b.ExpireBlocks(b.ctx)
		if err != nil || len(over) != 1 {
			t.Fatalf("expired %v, %v", over, err)
		}
	}
	due()
	second, _ := add()
	due()
	k.term = time.Hour
	add()
	if diff := cmp.Diff([]time.Duration{0, 30 * time.Minute, 30 * time.Minute}, k.before); diff != "" {
		t.Errorf("terms before (-want +got):\n%s", diff)
	}
	if found, err := b.BlocksByID(b.ctx, []string{first.ID, second.ID}); err != nil || len(found) > 0 {
		t.Errorf("there are still %v, %v", found, err)
	}
	list, err := b.Blocks(b.ctx, admin, store.Query{})
	if err != nil || len(list) != 1 || list[0].Term != time.Hour {
		t.Fatalf("blocks %+v, %v", list, err)
	}
	if err := b.DeleteBlock(b.ctx, admin, list[0].ID); err != nil {
		t.Error(err)
	}
	if seen, err := b.Blocks(b.ctx, red, store.Query{}); err != nil || len(seen) > 0 {
		t.Errorf("a tenant sees %v, %v", seen, err)
	}
}

func TestMovesAreCountedAndKeepTheirVerdict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := func(port uint32) intent.Place { return intent.Place{Switch: 1, Port: port} }
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := intent.MACMove{MAC: 10, From: at(1), To: at(2), Verdict: intent.MoveAllowed, Times: 2, First: start, Last: start.Add(time.Second)}
	conflict := intent.MACMove{MAC: 11, To: at(2), Verdict: intent.MoveConflict, Times: 1, First: start, Last: start}
	later := one
	later.Times, later.Verdict, later.First, later.Last = 3, intent.MoveTooMany, start.Add(time.Minute), start.Add(time.Hour)
	last := one
	last.Times = 1
	for _, moves := range [][]intent.MACMove{{one, conflict}, {later}, {last}} {
		if err := b.RecordMoves(b.ctx, moves); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.MACMoves(b.ctx, admin, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].ID = ""
	}
	sum := one
	sum.Times, sum.Verdict, sum.Last = 6, intent.MoveTooMany, later.Last
	if diff := cmp.Diff([]intent.MACMove{conflict, sum}, got); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

// A managed address is misplaced where it is not bound, and its lineage tells that it was blocked there.
func TestManagedAddressesAreMisplacedWhereTheyAreNotBound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.segment(red, "02:00:05:00:00:00/24", func(*intent.Segment) {})
	for d := range intent.DPID(2) {
		b.save(intent.Switch{DPID: 0xa1 + d, Admitted: true})
	}
	p := newPort(n)
	p.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 5}
	port := b.port(red, p)
	loose := b.port(red, newPort(n)) // is bound nowhere
	held := b.macs(red, store.MACRequest{State: intent.MACReserved})[0]
	seen := []store.MACSighting{
		{Addr: port.MAC, Datapath: 0xa1, SwitchPort: 5},
		{Addr: port.MAC, Datapath: 0xa1, SwitchPort: 6},
		{Addr: port.MAC, Datapath: 0xa2, SwitchPort: 5},
		{Addr: held.Addr, Datapath: 0xa2, SwitchPort: 5},
		{Addr: loose.MAC, Datapath: 0xa2, SwitchPort: 5},
		{Addr: 0x0a0000000001, Datapath: 0xa2, SwitchPort: 5},
	}
	home := intent.Place{Switch: 0xa1, Port: 5}
	b.wantManaged(seen,
		store.Managed{MACSighting: seen[0], NetworkID: n.ID, Home: home, Bound: true},
		store.Managed{MACSighting: seen[1], NetworkID: n.ID, Home: home, Bound: true, Misplaced: true},
		store.Managed{MACSighting: seen[2], NetworkID: n.ID, Home: home, Bound: true, Misplaced: true},
		store.Managed{MACSighting: seen[3], Misplaced: true},
		store.Managed{MACSighting: seen[4], NetworkID: n.ID},
	)
	made, _, err := b.AddBlock(b.ctx, intent.Block{MAC: port.MAC, At: intent.Place{Switch: 0xa2, Port: 5}, Cause: intent.BlockConflict, Reason: "stolen"}, (&terms{term: time.Minute}).of)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteBlock(b.ctx, admin, made.ID); err != nil {
		t.Fatal(err)
	}
	lineage := b.lineage(red, store.LineageQuery{MAC: port.MAC})
	if len(lineage) < 2 || !strings.Contains(strings.Join(lineage, "\n"), "unblock") {
		t.Errorf("lineage %q, want the block and its end", lineage)
	}
}

// wantManaged asks what is known of addresses that were seen.
func (b *bundle) wantManaged(seen []store.MACSighting, want ...store.Managed) {
	b.t.Helper()
	got, err := b.FindManaged(b.ctx, seen)
	if err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(got, func(x, y store.Managed) int {
		return slices.Index(seen, x.MACSighting) - slices.Index(seen, y.MACSighting)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("managed addresses (-want +got):\n%s", diff)
	}
}

// A port that is where its interface is, and nowhere by request, is at home there all the same; during a
// live migration at two interfaces. So is one that is bound to an interface by name.
func TestAnAddressBelongsWhereTheInterfaceOfItsPortIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.segment(red, "02:00:05:00:00:00/24", func(*intent.Segment) {})
	for d := range intent.DPID(3) {
		b.save(intent.Switch{DPID: 0xa1 + d, Admitted: true, Ports: []intent.SwitchPort{{No: 8, Name: "eth8"}}})
	}
	port := b.port(red, newPort(n))
	named := newPort(n)
	named.Binding = intent.Binding{Host: "00000000000000a1", InterfaceName: "eth8"}
	byName := b.port(red, named)
	plug := func(d intent.DPID, list ...intent.Attachment) {
		t.Helper()
		if _, err := b.ReportInterfaces(b.ctx, d, list); err != nil {
			t.Fatal(err)
		}
	}
	tap := intent.Attachment{Interface: "tap0", IfaceID: port.ID, OFPort: 5}
	plug(0xa1, tap)
	plug(0xa2, tap)
	var seen []store.MACSighting
	for _, d := range []intent.DPID{0xa1, 0xa2, 0xa3} {
		seen = append(seen, store.MACSighting{Addr: port.MAC, Datapath: d, SwitchPort: 5})
	}
	seen = append(seen, store.MACSighting{Addr: byName.MAC, Datapath: 0xa1, SwitchPort: 8}, store.MACSighting{Addr: byName.MAC, Datapath: 0xa1, SwitchPort: 9})
	first, eth8 := intent.Place{Switch: 0xa1, Port: 5}, intent.Place{Switch: 0xa1, Port: 8}
	want := []store.Managed{
		{MACSighting: seen[0], NetworkID: n.ID, Home: first, Bound: true},
		{MACSighting: seen[1], NetworkID: n.ID, Home: first, Bound: true},
		{MACSighting: seen[2], NetworkID: n.ID, Home: first, Bound: true, Misplaced: true},
		{MACSighting: seen[3], NetworkID: n.ID, Home: eth8, Bound: true},
		{MACSighting: seen[4], NetworkID: n.ID, Home: eth8, Bound: true, Misplaced: true},
	}
	b.wantManaged(seen, want...)
	plug(0xa1) // it has migrated
	want[0].Misplaced = true
	for i := range want[:3] {
		want[i].Home.Switch = 0xa2
	}
	b.wantManaged(seen, want...)
	if _, found, err := b.ReportSighting(b.ctx, seen[0]); !found || err != nil {
		t.Errorf("where it was before it is no conflict: %v", err)
	}
}
