package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestNewDatabaseHasRootAndSharedDefaultSegment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := must(b.Segments(b.ctx, admin, store.Query{}))(t)
	want := []intent.Segment{
		{Meta: intent.Meta{ID: "02000000-0000-4000-8000-000000000008", Name: "locally administered", Revision: 1}, Block: mac.MustParseSegment("02:00:00:00:00:00/8")},
		{Meta: intent.Meta{ID: "02ff0000-0000-4000-8000-000000000010", Name: "default", Revision: 1}, Block: mac.MustParseSegment("02:ff:00:00:00:00/16"),
			ParentID: "02000000-0000-4000-8000-000000000008", Shared: true},
	}
	for i := range want {
		usual := intent.DefaultSegment()
		want[i].Strategy, want[i].QuarantineSeconds = usual.Strategy, usual.QuarantineSeconds
		want[i].ConflictPolicy, want[i].ConflictDelay = usual.ConflictPolicy, usual.ConflictDelay
	}
	if diff := cmp.Diff(want, got, equateAddrs, cmpopts.IgnoreFields(intent.Meta{}, "Description", "CreatedAt", "UpdatedAt")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A tenant sees the shared one, and may not touch it.
	seen := must(b.Segments(b.ctx, red, store.Query{}))(t)
	if len(seen) != 1 || seen[0].ID != want[1].ID {
		t.Errorf("a tenant sees %v", seen)
	}
	_, err := b.UpdateSegment(b.ctx, red, want[1].ID, func(g *intent.Segment) error { g.Name = "x"; return nil })
	wantNotFound(t, err, store.KindSegment)
	wantNotFound(t, b.DeleteSegment(b.ctx, red, want[1].ID), store.KindSegment)
}

func TestSegmentsNestAndNeverOverlapOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	create := func(sc store.Scope, g intent.Segment) (intent.Segment, error) {
		out, err := b.createSegment(sc, g)
		if err != nil {
			return intent.Segment{}, err
		}
		return out[0], nil
	}
	of := func(tenant, block string) intent.Segment {
		return intent.Segment{Meta: intent.Meta{TenantID: tenant}, Block: mac.MustParseSegment(block)}
	}
	outer := must(create(admin, of("red", "02:00:05:00:00:00/24")))(t)
	inner := must(create(admin, of("red", "02:00:05:01:00:00/32")))(t)
	if inner.ParentID != outer.ID {
		t.Errorf("parent %s, want %s", inner.ParentID, outer.ID)
	}
	own := must(create(red, of("", "02:00:05:02:00:00/32")))(t) // a tenant divides its own
	if own.TenantID != "red" || own.ParentID != outer.ID {
		t.Errorf("got %+v", own)
	}
	oui := must(create(admin, of("", "fa:16:3e:00:00:00/24")))(t)
	if oui.ParentID != "" {
		t.Errorf("a new root has parent %s", oui.ParentID)
	}
	b.unchanged(func() {
		_, err := create(admin, of("red", "02:00:05:00:00:00/24")) // the same again
		wantConflict(t, err, "MacSegmentOverlap", "base_address")
		_, err = create(admin, of("red", "02:00:04:00:00:00/23")) // around one, with another parent
		wantConflict(t, err, "MacSegmentOverlap", "overlaps")
		_, err = create(admin, of("", "fa:00:00:00:00:00/8")) // around a root
		wantConflict(t, err, "MacSegmentOverlap", "overlaps")
		_, err = create(admin, of("blue", "02:00:05:03:00:00/32")) // in another tenant's
		wantConflict(t, err, "MacSegmentOverlap", "another tenant")
		_, err = create(blue, of("", "02:00:07:00:00:00/24")) // out of the operator's by a tenant
		wantInvalid(t, err, "base_address")
		_, err = create(blue, of("", "06:00:00:00:00:00/24")) // a root by a tenant
		wantInvalid(t, err, "base_address")
		_, err = create(admin, intent.Segment{}) // no block
		wantInvalid(t, err, "base_address")
		g := of("red", "02:00:05:01:01:00/40")
		g.ParentID = outer.ID // inner lies between
		_, err = create(admin, g)
		wantConflict(t, err, "MacSegmentOverlap", "parent_id")
		g = of("red", "02:00:08:00:00:00/24")
		g.ParentID = outer.ID
		_, err = create(admin, g)
		wantInvalid(t, err, "base_address", "02:00:05:00:00:00/24")
		g.ParentID = n.ID
		_, err = create(admin, g)
		wantNotFound(t, err, store.KindSegment)
		g = of("blue", "02:00:08:00:00:00/24")
		g.NetworkID = n.ID
		_, err = create(admin, g)
		wantInvalid(t, err, "network_id")
		g = of("red", "02:00:08:00:00:00/24")
		g.Shared = true
		_, err = create(admin, g)
		wantInvalid(t, err, "shared")
	})
}

func TestSegmentThatGaveAddressesIsNeitherDividedNorDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, foreign := b.network(red, "n"), b.network(blue, "foreign")
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	b.port(red, newPort(n))
	b.port(blue, portWithMAC(foreign, "02:00:07:00:00:01"))
	b.port(red, store.NewPort{Port: intent.Port{NetworkID: n.ID}})
	b.unchanged(func() {
		_, err := b.createSegment(admin, intent.Segment{Meta: intent.Meta{TenantID: "red"}, Block: mac.MustParseSegment("02:00:05:01:00:00/32")})
		wantConflict(t, err, "MacSegmentInUse", "2 addresses")
		wantInUse(t, b.DeleteSegment(b.ctx, admin, g.ID), store.KindSegment, "2 addresses")
		wantInUse(t, b.DeleteSegment(b.ctx, admin, g.ParentID), store.KindSegment, "2 MAC segments inside it")
		// An address that a client gave itself is in the way of a segment of others.
		_, err = b.createSegment(admin, intent.Segment{Meta: intent.Meta{TenantID: "red"}, Block: mac.MustParseSegment("02:00:07:00:00:00/24")})
		wantConflict(t, err, "MacSegmentInUse", "02:00:07:00:00:01")
	})
	// The owner's own is taken in.
	adopting := b.segment(blue, "02:00:07:00:00:00/24", nil)
	if adopting.Active != 1 {
		t.Errorf("%d addresses, want 1", adopting.Active)
	}
	for _, p := range must(b.Ports(b.ctx, red, store.Query{}))(t) {
		if err := b.DeletePort(b.ctx, red, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.DeleteSegment(b.ctx, admin, g.ID); err != nil {
		t.Errorf("an empty segment: %v", err)
	}
}

func TestUpdateSegmentChangesNameDescriptionAndSharing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(admin, "02:00:05:00:00:00/24", nil)
	got := must(b.UpdateSegment(b.ctx, admin, g.ID, func(g *intent.Segment) error {
		g.Name, g.Description, g.Shared, g.Block = "x", "y", true, mac.MustParseSegment("02:00:09:00:00:00/24")
		return nil
	}))(t)
	want := g
	want.Name, want.Description, want.Shared, want.Revision, want.UpdatedAt = "x", "y", true, 2, got.UpdatedAt
	if diff := cmp.Diff(want, got, equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for filter, ids := range map[string][]string{"name": {"x"}, "base_address": {"02:00:05:00:00:00"}, "prefix_length": {"24"}, "parent_id": {g.ParentID}} {
		list := must(b.Segments(b.ctx, admin, store.Query{Filter: map[string][]string{filter: ids, "shared": {"true"}, "id": {g.ID}}}))(t)
		if len(list) != 1 {
			t.Errorf("filter %s=%v finds %d", filter, ids, len(list))
		}
	}
}
