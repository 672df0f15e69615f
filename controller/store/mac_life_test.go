package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// age lets time pass: everything that is to happen happens so much sooner.
func (b *bundle) age(d time.Duration) {
	b.t.Helper()
	sql[int](b, `
		WITH a AS (UPDATE mac_addresses SET expires_at = expires_at - $1::interval, free_at = free_at - $1::interval RETURNING 1),
		     l AS (UPDATE mac_leases SET expires_at = expires_at - $1::interval RETURNING 1),
		     c AS (UPDATE mac_conflicts SET due_at = due_at - $1::interval RETURNING 1)
		SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM l) + (SELECT count(*) FROM c)`, d)
}

func (b *bundle) macs(sc store.Scope, r store.MACRequest) []intent.MACAddress {
	b.t.Helper()
	return must(b.AllocateMACs(b.ctx, sc, r))(b.t)
}

func (b *bundle) tryMACs(sc store.Scope, r store.MACRequest) error {
	_, err := b.AllocateMACs(b.ctx, sc, r)
	return err
}

func addrsOf(list []intent.MACAddress) []mac.Addr {
	out := make([]mac.Addr, len(list))
	for i := range list {
		out[i] = list[i].Addr
	}
	return out
}

// state says what is stored of an address, in a word or two.
func (b *bundle) state(a mac.Addr) string {
	b.t.Helper()
	m, err := b.MACAddress(b.ctx, admin, a)
	if err != nil {
		return "free"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", m.State, m.TenantID))
}

// usage is active, reserved, quarantined of a segment by its counters.
func (b *bundle) usage(id string) [3]uint64 {
	b.t.Helper()
	g := must(b.Segment(b.ctx, admin, id))(b.t)
	return [3]uint64{g.Active, g.Reserved, g.Quarantined}
}

func TestSequentialSegmentGivesItsAddressesInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/40", func(g *intent.Segment) { g.Strategy = mac.Sequential })
	var got []mac.Addr
	got = append(got, addrsOf(b.macs(red, store.MACRequest{SegmentID: g.ID}))...)
	got = append(got, addrsOf(b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 100}))...)
	got = append(got, b.port(red, newPort(b.network(red, "n"))).MAC)
	got = append(got, addrsOf(b.macs(red, store.MACRequest{}))...)
	for i, a := range got {
		if want := g.Block.At(uint64(i)); a != want {
			t.Fatalf("address %d is %s, want %s", i, a, want)
		}
	}
	b.checkWhole()
}

func TestScrambledSegmentGivesAllItsAddressesInAnOrderOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	orders := [2][]mac.Addr{}
	for i, block := range []string{"02:00:05:00:00:00/40", "02:00:06:00:00:00/40"} {
		g := b.segment(red, block, nil)
		for range 256 {
			orders[i] = append(orders[i], b.macs(red, store.MACRequest{SegmentID: g.ID})[0].Addr&0xff)
		}
		wantConflict(t, b.tryMACs(red, store.MACRequest{SegmentID: g.ID}), "MacAddressGenerationFailure", block)
	}
	if slices.Equal(orders[0], orders[1]) || slices.IsSorted(orders[0]) {
		t.Errorf("the orders are the same or that of the addresses: %v", orders[0])
	}
	slices.Sort(orders[0])
	if n := len(slices.Compact(orders[0])); n != 256 {
		t.Errorf("%d addresses of 256", n)
	}
	b.checkWhole()
}

func TestInstanceFindsItsAddressAgainWhenItIsFree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/24", func(g *intent.Segment) { g.Strategy = mac.InstanceHash })
	vm := func(id string) store.NewPort { p := newPort(n); p.DeviceID = id; return p }
	first, second := b.port(red, vm("vm-1")), b.port(red, vm("vm-1"))
	if want := mac.InstanceAddr(g.Block, "vm-1", 0); first.MAC != want {
		t.Errorf("first port has %s, want %s", first.MAC, want)
	}
	if want := mac.InstanceAddr(g.Block, "vm-1", 1); second.MAC != want {
		t.Errorf("second port has %s, want the next probe %s", second.MAC, want)
	}
	if err := b.DeletePort(b.ctx, red, first.ID); err != nil {
		t.Fatal(err)
	}
	if p := b.port(red, vm("vm-1")); p.MAC == first.MAC {
		t.Error("the address was given again in its quarantine")
	}
	b.age(11 * time.Minute)
	must(b.SweepMACs(b.ctx))(t)
	if p := b.port(red, vm("vm-1")); p.MAC != first.MAC {
		t.Errorf("got %s, want %s, which is free again", p.MAC, first.MAC)
	}
	b.checkWhole()
}

func TestManyInOneRequestAreAllOrNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/38", nil) // 1024
	got := b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 1000, State: intent.MACReserved})
	seen := map[mac.Addr]bool{}
	for _, m := range got {
		if seen[m.Addr] || !g.Block.Contains(m.Addr) || m.State != intent.MACReserved || m.SegmentID != g.ID || m.TenantID != "red" {
			t.Fatalf("got %+v", m)
		}
		seen[m.Addr] = true
	}
	b.unchanged(func() {
		wantConflict(t, b.tryMACs(red, store.MACRequest{SegmentID: g.ID, Count: 25}), "MacAddressGenerationFailure", g.Block.String())
	})
	b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 24})
	if got, want := b.usage(g.ID), [3]uint64{24, 1000, 0}; got != want {
		t.Errorf("usage %v, want %v", got, want)
	}
	b.checkWhole()
}

func TestManyAreFoundAmongAddressesThatWereGivenByHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/38", func(g *intent.Segment) { g.Strategy = mac.Sequential }) // 1024
	b.macs(red, store.MACRequest{SegmentID: g.ID})                                                       // so that there is a lease
	for i := uint64(7); i < 1024; i += 100 {
		b.macs(red, store.MACRequest{Addr: g.Block.At(i)})
	}
	got := b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 1012})
	if len(got) != 1012 || got[5].Addr != g.Block.At(6) || got[6].Addr != g.Block.At(8) {
		t.Errorf("got %d, %s, %s", len(got), got[5].Addr, got[6].Addr)
	}
	wantConflict(t, b.tryMACs(red, store.MACRequest{SegmentID: g.ID}), "MacAddressGenerationFailure")
	b.checkWhole()
}

func TestReleasedAddressRestsAndThenTheOldestIsReusedFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(admin, "02:00:05:00:00:00/45", func(g *intent.Segment) { g.QuarantineSeconds, g.Shared = 600, true })
	all := b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 8})
	release := func(i int) {
		t.Helper()
		if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{all[i].Addr}); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{3, 1, 5} {
		release(i)
		b.age(time.Minute)
	}
	if got, want := b.usage(g.ID), [3]uint64{5, 0, 3}; got != want {
		t.Errorf("usage %v, want %v", got, want)
	}
	full := func() {
		t.Helper()
		wantConflict(t, b.tryMACs(blue, store.MACRequest{SegmentID: g.ID}), "MacAddressGenerationFailure")
	}
	full()
	// Neither by name, except for who had it.
	err := b.tryMACs(blue, store.MACRequest{Addr: all[1].Addr})
	wantConflict(t, err, "MacAddressInUse", all[1].Addr.String(), "quarantine")
	for _, i := range []int{3, 1, 5} {
		b.age(7 * time.Minute) // the oldest is over
		if i != 3 {
			b.age(time.Minute)
		}
		if got := b.macs(blue, store.MACRequest{SegmentID: g.ID})[0].Addr; got != all[i].Addr {
			t.Fatalf("got %s, want %s", got, all[i].Addr)
		}
		b.age(-7 * time.Minute)
	}
	full()
	release(0)
	if got := b.macs(red, store.MACRequest{Addr: all[0].Addr})[0]; got.Addr != all[0].Addr || got.SegmentID != g.ID {
		t.Errorf("the tenant that released an address did not get it back: %+v", got)
	}
	b.checkWhole()
}

func TestReservationIsForItsInstanceUntilItExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	held := b.macs(red, store.MACRequest{State: intent.MACReserved, DeviceID: "vm-1", ExpiresAt: time.Now().Add(time.Hour)})[0]
	forever := b.macs(red, store.MACRequest{State: intent.MACReserved})[0]

	err := b.tryPort(blue, portWithMAC(b.network(blue, "m"), held.Addr.String()))
	wantConflict(t, err, "MacAddressInUse", held.Addr.String())
	other := portWithMAC(n, held.Addr.String())
	other.DeviceID = "vm-2"
	wantConflict(t, b.tryPort(red, other), "MacAddressInUse", held.Addr.String())
	if p := b.port(red, newPort(n)); p.MAC == held.Addr || p.MAC == forever.Addr {
		t.Errorf("a port without an instance got the reserved %s", p.MAC)
	}
	mine := newPort(n)
	mine.DeviceID = "vm-1"
	if p := b.port(red, mine); p.MAC != held.Addr {
		t.Errorf("the instance got %s, want %s", p.MAC, held.Addr)
	}
	if p := b.port(red, portWithMAC(n, forever.Addr.String())); p.MAC != forever.Addr || p.SegmentID != forever.SegmentID {
		t.Errorf("by name: got %+v", p)
	}
	late := b.macs(red, store.MACRequest{State: intent.MACReserved, DeviceID: "vm-3", ExpiresAt: time.Now().Add(time.Hour)})[0]
	b.age(61 * time.Minute)
	mine.DeviceID = "vm-3"
	if p := b.port(red, mine); p.MAC == late.Addr {
		t.Error("the instance came too late and got the address")
	}
	found := must(b.SweepMACs(b.ctx))(t)
	if found.Expired != 1 || b.state(late.Addr) != "quarantined red" {
		t.Errorf("the sweep found %+v, and the address is %s", found, b.state(late.Addr))
	}
	b.age(9 * time.Minute) // ten after the end of the reservation
	if found = must(b.SweepMACs(b.ctx))(t); found.Freed != 1 || b.state(late.Addr) != "free" {
		t.Errorf("the sweep found %+v, and the address is %s", found, b.state(late.Addr))
	}
	b.checkWhole()
}

func TestKeptMACIsTakenUpByTheNextPortOfTheInstance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.network(red, "one"), b.network(red, "two")
	vm := func(n intent.Network) store.NewPort { p := newPort(n); p.DeviceID = "vm-1"; return p }
	p1, p2 := b.port(red, vm(one)), b.port(red, vm(two))
	for _, p := range []intent.Port{p1, p2} {
		if err := b.DeletePortKeepMAC(b.ctx, red, p.ID, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := b.state(p.MAC); got != "reserved red" {
			t.Errorf("%s is %s", p.MAC, got)
		}
	}
	// In the other order: each network gets its own.
	if p := b.port(red, vm(two)); p.MAC != p2.MAC || p.SegmentID != p2.SegmentID {
		t.Errorf("got %s, want %s", p.MAC, p2.MAC)
	}
	again := must(b.CreatePorts(b.ctx, red, []store.NewPort{vm(one), vm(one)}))(t)
	if again[0].MAC != p1.MAC || again[1].MAC == p1.MAC {
		t.Errorf("got %s and %s, want %s once", again[0].MAC, again[1].MAC, p1.MAC)
	}
	wantInvalid(t, b.DeletePortKeepMAC(b.ctx, red, b.port(red, newPort(one)).ID, time.Time{}), "device_id")
	wantNotFound(t, b.DeletePortKeepMAC(b.ctx, blue, again[0].ID, time.Time{}), store.KindPort)
	b.checkWhole()
}

func TestPortKeepsItsMACOnAnotherHost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	const a1, a2 = "00000000000000a1", "00000000000000a2"
	ofHost := map[string]intent.Segment{}
	for i, host := range []string{a1, a2} {
		ofHost[host] = b.segment(admin, fmt.Sprintf("02:10:%02x:00:00:00/47", i), func(g *intent.Segment) { g.Host = host })
	}
	bound := func(host string, no uint32) store.NewPort {
		p := newPort(n)
		p.Binding = intent.Binding{Host: host, PortNo: no}
		return p
	}
	p := b.port(red, bound(a1, 1))
	if p.SegmentID != ofHost[a1].ID {
		t.Errorf("MAC %s is not of the segment of its host", p.MAC)
	}
	moved := must(b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.Binding.Host = a2; return nil }))(t)
	if moved.MAC != p.MAC || moved.SegmentID != p.SegmentID {
		t.Errorf("the port moved with %s, had %s", moved.MAC, p.MAC)
	}
	b.port(red, bound(a1, 2))
	// A host without room does not keep ports away.
	if p := b.port(red, bound(a1, 3)); p.SegmentID != "02ff0000-0000-4000-8000-000000000010" {
		t.Errorf("MAC %s of segment %s", p.MAC, p.SegmentID)
	}
	b.checkWhole()
}

func TestFailedAndEndedCreatesLeakNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/44", nil) // 16
	bad := newPort(n)
	bad.SecurityGroups, bad.DefaultGroup = []string{n.ID}, false
	for range 50 {
		b.unchanged(func() { wantNotFound(t, b.tryPort(red, bad), store.KindSecurityGroup) })
		taken := newPort(n)
		taken.Binding = intent.Binding{Host: "00000000000000a1", PortNo: 1}
		if _, err := b.CreatePorts(b.ctx, red, []store.NewPort{taken, taken}); err == nil {
			t.Fatal("two ports at one place")
		}
	}
	b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 16})
	b.checkWhole()
}

func TestAddressesOfOthersAreOutOfReach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	m := b.macs(red, store.MACRequest{})[0]
	wantNotFound(t, b.tryMACs(blue, store.MACRequest{SegmentID: g.ID}), store.KindSegment)
	wantInvalid(t, b.tryMACs(blue, store.MACRequest{TenantID: "red"}), "tenant_id")
	wantInvalid(t, b.tryMACs(admin, store.MACRequest{TenantID: "blue", SegmentID: g.ID}), "segment_id", "another tenant")
	wantConflict(t, b.tryMACs(admin, store.MACRequest{TenantID: "red", SegmentID: g.ParentID}), "MacSegmentInUse", "divided")
	wantInvalid(t, b.tryMACs(blue, store.MACRequest{Addr: g.Block.At(7)}), "address", "another tenant")
	wantNotFound(t, b.ReleaseMACs(b.ctx, blue, []mac.Addr{m.Addr}), store.KindMACAddress)
	_, err := b.MACAddress(b.ctx, blue, m.Addr)
	wantNotFound(t, err, store.KindMACAddress)
	if list := must(b.MACAddresses(b.ctx, blue, store.Query{}))(t); len(list) != 0 {
		t.Errorf("another tenant lists %v", list)
	}
	list := must(b.MACAddresses(b.ctx, red, store.Query{Filter: map[string][]string{"state": {"active"}}}))(t)
	if diff := cmp.Diff([]intent.MACAddress{m}, list, cmpopts.IgnoreFields(intent.MACAddress{}, "CreatedAt", "ChangedAt")); diff != "" {
		t.Errorf("(-allocated +listed)\n%s", diff)
	}
	for _, r := range []struct {
		attr string
		req  store.MACRequest
	}{
		{"count", store.MACRequest{Count: store.MaxMACs + 1}}, {"count", store.MACRequest{Count: -1}}, {"count", store.MACRequest{Count: 2, Addr: 5}},
		{"state", store.MACRequest{State: intent.MACQuarantined}}, {"expires_at", store.MACRequest{ExpiresAt: time.Now()}},
		{"address", store.MACRequest{Addr: 0x010000000000}}, {"device_id", store.MACRequest{DeviceID: strings.Repeat("x", 256)}},
	} {
		wantInvalid(t, b.tryMACs(red, r.req), r.attr)
	}
	p := b.port(red, newPort(b.network(red, "n")))
	wantInUse(t, b.ReleaseMACs(b.ctx, red, []mac.Addr{p.MAC}), store.KindMACAddress, "port "+p.ID)
	b.checkWhole()
}

func TestQuotaHoldsWhateverRaceThereIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	if err := b.SetQuotas(b.ctx, admin, "red", map[store.Kind]int64{store.KindMACAddress: 20}); err != nil {
		t.Fatal(err)
	}
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	replica := storetest.Open(t, b.url)
	var work errgroup.Group
	for i := range 8 {
		s := []*store.Store{b.Store, replica}[i%2]
		work.Go(func() error {
			for range 5 {
				var err error
				if i < 4 {
					_, err = s.AllocateMACs(b.ctx, red, store.MACRequest{SegmentID: g.ID})
				} else {
					_, err = s.CreatePorts(b.ctx, red, []store.NewPort{newPort(n)})
				}
				if err := unless[*store.Conflict](err); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := b.usage(g.ID); got[0] != 20 {
		t.Errorf("%d addresses under a quota of 20", got[0])
	}
	wantConflict(t, b.tryMACs(red, store.MACRequest{SegmentID: g.ID}), "OverQuota", "mac_address")
	want := []store.Quota{{Resource: store.KindSegment, Limit: -1, Used: 1}, {Resource: store.KindMACAddress, Limit: 20, Used: 20}}
	got := must(b.Quotas(b.ctx, red, "red"))(t)
	if diff := cmp.Diff(want, got[len(got)-3:len(got)-1]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := b.SetQuotas(b.ctx, admin, "red", map[store.Kind]int64{store.KindSegment: 1}); err != nil {
		t.Fatal(err)
	}
	more := intent.DefaultSegment()
	more.TenantID, more.Block = "red", mac.MustParseSegment("02:00:06:00:00:00/24")
	_, err := b.createSegment(admin, more)
	wantConflict(t, err, "OverQuota", "mac_segment")
	if err := b.SetQuotas(b.ctx, admin, "red", map[store.Kind]int64{store.KindMACAddress: -1}); err != nil {
		t.Fatal(err)
	}
	b.macs(red, store.MACRequest{SegmentID: g.ID})
	wantNotFound(t, b.SetQuotas(b.ctx, red, "red", map[store.Kind]int64{store.KindMACAddress: 100}), store.KindTenant)
	b.checkWhole()
}

func TestCountersAreFoldedWithoutAWordChanging(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	list := b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 30})
	for i := range 10 {
		if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{list[i].Addr}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got, want := b.usage(g.ID), [3]uint64{20, 0, 10}; got != want {
			t.Errorf("usage %v, want %v", got, want)
		}
		if err := b.FoldUsage(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.checkWhole()
	}
	if n := sql[int](b, `SELECT count(*) FROM mac_usage_changes`); n != 0 {
		t.Errorf("%d changes are left", n)
	}
}

func TestOrphanIsFoundAndReleased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.port(red, newPort(b.network(red, "n")))
	sql[int](b, `WITH d AS (DELETE FROM ports RETURNING 1) SELECT count(*) FROM d`) // past the store
	found := must(b.SweepMACs(b.ctx))(t)
	if diff := cmp.Diff([]mac.Addr{p.MAC}, found.Orphans); diff != "" {
		t.Errorf("orphans: (-want +got)\n%s", diff)
	}
	if got := b.state(p.MAC); got != "quarantined red" {
		t.Errorf("the orphan is %s", got)
	}
	b.checkWhole()
}

func TestLeaseIsTakenOverWhenItsHolderDiedAndGivenBackAtShutdown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", func(g *intent.Segment) { g.Strategy = mac.Sequential })
	next := func(s *store.Store) uint64 {
		t.Helper()
		m := must(s.AllocateMACs(b.ctx, red, store.MACRequest{SegmentID: g.ID}))(t)
		return uint64(m[0].Addr - g.Block.Base())
	}
	second, third := storetest.Open(t, b.url), storetest.Open(t, b.url)
	got := []uint64{next(b.Store), next(second), next(b.Store)}
	second.Close() // and its lease is anybody's
	got = append(got, next(third))
	b.age(2 * time.Minute) // as though the first had died
	fourth := storetest.Open(t, b.url)
	got = append(got, next(fourth), next(fourth))
	// The first comes to life again: it finds its lease gone, and takes the one
	// that the third has not renewed.
	got = append(got, next(b.Store))
	want := []uint64{0, 4096, 1, 4097, 2, 3, 4098}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.checkWhole()
}

func TestDatabaseThatGoesAwayLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	n := b.network(red, "n")
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var cutter, work errgroup.Group
	cutter.Go(func() error {
		for ctx.Err() == nil {
			sql[int](b, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.3`)
		}
		return nil
	})
	for i := range 6 {
		work.Go(func() error {
			for range 30 {
				var err error
				if i%2 == 0 {
					_, err = b.AllocateMACs(b.ctx, red, store.MACRequest{SegmentID: g.ID, Count: 1 + i})
				} else {
					_, err = b.CreatePorts(b.ctx, red, []store.NewPort{newPort(n)})
				}
				if err != nil && !isUnavailable(err) {
					return err
				}
			}
			return nil
		})
	}
	err := work.Wait()
	cancel()
	if err := cutter.Wait(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.checkWhole()
	// Connections that were cut while idle are found out one by one.
	for {
		_, err := b.AllocateMACs(b.ctx, red, store.MACRequest{SegmentID: g.ID})
		if err == nil {
			break
		}
		if !isUnavailable(err) {
			t.Fatal(err)
		}
	}
}

func TestABulkOutOfALeaseThatIsLostTakesOtherAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/32", nil)
	got := addrsOf(b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 200}))
	// Its time runs out without a word, and another process takes it over.
	sql[int](b, `WITH gone AS (UPDATE mac_leases SET expires_at = now() - interval '1 second' RETURNING 1) SELECT count(*) FROM gone`)
	other := addrsOf(must(storetest.Open(t, b.url).AllocateMACs(b.ctx, red, store.MACRequest{SegmentID: g.ID, Count: 300, State: intent.MACReserved}))(t))
	more := addrsOf(b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 400}))
	all := slices.Concat(got, other, more)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 900 {
		t.Errorf("%d addresses, want 900", n)
	}
	if usage := b.usage(g.ID); usage != [3]uint64{600, 300, 0} {
		t.Errorf("active, reserved, quarantined: %v", usage)
	}
	b.checkWhole()
}
