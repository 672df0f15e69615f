package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestExplicitMACMustLieInTheSegmentsOfItsNetworkOrTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, own, foreign := b.network(red, "plain"), b.network(red, "own"), b.network(blue, "foreign")
	ofTenant := b.segment(red, "02:00:05:00:00:00/24", nil)
	ofNetwork := b.segment(red, "02:00:06:00:00:00/24", func(g *intent.Segment) { g.NetworkID = own.ID })

	for _, c := range []struct {
		sc      store.Scope
		network intent.Network
		mac     string
		segment string   // of the port that is made
		refused []string // words of the refusal; nil: allowed
	}{
		{red, plain, "02:00:05:00:00:01", ofTenant.ID, nil},
		{red, plain, "02:00:06:00:00:01", "", []string{"outside the MAC segments of tenant red", "02:00:05:00:00:00/24"}},
		{red, plain, "02:ff:00:00:00:01", "", []string{"outside the MAC segments of tenant red"}},
		{red, own, "02:00:06:00:00:02", ofNetwork.ID, nil},
		{red, own, "02:00:05:00:00:02", "", []string{"outside the MAC segments of network " + own.ID, "02:00:06:00:00:00/24"}},
		{blue, foreign, "02:00:05:00:00:03", "", []string{"02:00:05:00:00:03", "segment of another tenant"}},
		{blue, foreign, "02:00:06:00:00:03", "", []string{"segment of another network"}},
		{blue, foreign, "fa:16:3e:00:00:01", "", nil},
		{blue, foreign, "02:77:00:00:00:01", "", nil},
		{blue, foreign, "02:ff:00:00:00:01", "02ff0000-0000-4000-8000-000000000010", nil},
	} {
		err := error(nil)
		var got []intent.Port
		got, err = b.CreatePorts(b.ctx, c.sc, []store.NewPort{portWithMAC(c.network, c.mac)})
		switch {
		case c.refused != nil:
			wantInvalid(t, err, "mac_address", c.refused...)
		case err != nil:
			t.Errorf("%s: %v", c.mac, err)
		case got[0].MAC.String() != c.mac || got[0].SegmentID != c.segment:
			t.Errorf("asked for %s in segment %q, got %s in %q", c.mac, c.segment, got[0].MAC, got[0].SegmentID)
		}
	}
}

func TestAutomaticMACComesFromNetworkThenTenantThenSharedSegment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain, own, foreign := b.network(red, "plain"), b.network(red, "own"), b.network(blue, "foreign")
	ofTenant := b.segment(red, "02:00:05:00:00:00/24", nil)
	ofNetwork := b.segment(red, "02:00:06:00:00:00/40", func(g *intent.Segment) { g.NetworkID = own.ID })
	for _, c := range []struct {
		sc      store.Scope
		network intent.Network
		want    string
	}{
		{red, plain, ofTenant.ID}, {red, own, ofNetwork.ID}, {blue, foreign, "02ff0000-0000-4000-8000-000000000010"},
	} {
		p := b.port(c.sc, newPort(c.network))
		segment := must(b.Segment(b.ctx, admin, p.SegmentID))(t)
		if p.SegmentID != c.want || !segment.Block.Contains(p.MAC) || segment.Active != 1 {
			t.Errorf("network %s: MAC %s of segment %+v, want one of %s", c.network.Name, p.MAC, segment, c.want)
		}
	}
}

func TestSmallSegmentGivesEveryAddressOnceAndThenSaysThatItIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	block := mac.MustParseSegment("02:00:05:00:00:00/43") // 32 addresses
	b.segment(red, block.String(), func(g *intent.Segment) { g.QuarantineSeconds = 0 })
	b.port(red, portWithMAC(n, "02:00:05:00:00:10")) // one in the midst by hand

	list := slices.Repeat([]store.NewPort{newPort(n)}, 20)
	got := must(b.CreatePorts(b.ctx, red, list))(t)
	for range 11 {
		got = append(got, b.port(red, newPort(n)))
	}
	seen := map[mac.Addr]bool{mac.MustParse("02:00:05:00:00:10"): true}
	for _, p := range got {
		if seen[p.MAC] || !block.Contains(p.MAC) {
			t.Errorf("MAC %s: twice or outside", p.MAC)
		}
		seen[p.MAC] = true
	}
	b.unchanged(func() {
		wantConflict(t, b.tryPort(red, newPort(n)), "MacAddressGenerationFailure", "mac_address", block.String())
	})
	// One freed is the one given next.
	if err := b.DeletePort(b.ctx, red, got[7].ID); err != nil {
		t.Fatal(err)
	}
	if p := b.port(red, newPort(n)); p.MAC != got[7].MAC {
		t.Errorf("got %s, but only %s is free", p.MAC, got[7].MAC)
	}
}

func TestDenseSegmentStillFindsTheFewFreeAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/36", nil) // 4096 addresses
	// All but every 512th in use, past the store for speed.
	sql[int](b, `
		WITH p AS (
			INSERT INTO ports (id, tenant_id, network_id, name)
			SELECT gen_random_uuid(), 'red', $1, i::text FROM generate_series(0, 4095) AS i WHERE i % 512 <> 0 RETURNING id, name),
		m AS (
			INSERT INTO mac_addresses (address, segment_id, port_id, tenant_id, origin)
			SELECT $2::bigint + name::int, $3, id, 'red', 'port' FROM p RETURNING 1)
		SELECT count(*) FROM m`, n.ID, int64(g.Block.Base()), g.ID)

	var got []mac.Addr
	for _, p := range must(b.CreatePorts(b.ctx, red, slices.Repeat([]store.NewPort{newPort(n)}, 7)))(t) {
		got = append(got, p.MAC)
	}
	got = append(got, b.port(red, newPort(n)).MAC)
	slices.Sort(got)
	var want []mac.Addr
	for i := range uint64(8) {
		want = append(want, g.Block.At(512*i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	wantConflict(t, b.tryPort(red, newPort(n)), "MacAddressGenerationFailure", g.Block.String())
}

func TestSecondSegmentOfATenantTakesOverWhenTheFirstIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	one, two := b.segment(red, "02:00:05:00:00:00/47", nil), b.segment(red, "02:00:06:00:00:00/47", nil)
	got := map[string]int{}
	for _, p := range must(b.CreatePorts(b.ctx, red, slices.Repeat([]store.NewPort{newPort(n)}, 4)))(t) {
		got[p.SegmentID]++
	}
	if diff := cmp.Diff(map[string]int{one.ID: 2, two.ID: 2}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	wantConflict(t, b.tryPort(red, newPort(n)), "MacAddressGenerationFailure", one.Block.String(), two.Block.String())
}
