package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// sized makes a segment of a size and returns its block, or the error.
func (b *bundle) sized(sc store.Scope, tenant, parent string, size uint64) (string, error) {
	g := intent.DefaultSegment()
	g.TenantID, g.ParentID = tenant, parent
	out, err := b.CreateSegments(b.ctx, sc, []store.NewSegment{{Segment: g, Size: size}})
	if err != nil {
		return "", err
	}
	return out[0].Block.String(), nil
}

func TestSegmentOfASizeTakesTheSmallestGapThatFits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	parent := b.segment(admin, "0a:00:00:00:00:00/32", nil)
	b.segment(red, "0a:00:00:00:00:00/40", nil)
	b.segment(red, "0a:00:00:00:08:00/37", nil)
	for _, c := range []struct {
		size uint64
		want string
	}{
		{1000, "0a:00:00:00:04:00/38"}, // the rest of the lowest half
		{200, "0a:00:00:00:01:00/40"}, {512, "0a:00:00:00:02:00/39"},
		{513, "0a:00:00:00:10:00/38"}, {1, "0a:00:00:00:14:00/48"}, {20000, "0a:00:00:00:80:00/33"},
	} {
		if got, err := b.sized(admin, "red", parent.ID, c.size); err != nil || got != c.want {
			t.Errorf("size %d: %s, %v; want %s", c.size, got, err, c.want)
		}
	}
	b.unchanged(func() {
		_, err := b.sized(admin, "red", parent.ID, 1<<16)
		wantConflict(t, err, "MacSegmentExhausted", "65536")
		_, err = b.sized(admin, "red", parent.ID, 1<<41)
		wantInvalid(t, err, "size")
		_, err = b.CreateSegments(b.ctx, admin, []store.NewSegment{{Segment: intent.Segment{Block: mac.MustParseSegment("0a:00:00:00:20:00/40")}, Size: 1}})
		wantInvalid(t, err, "size")
		_, err = b.sized(blue, "", "", 16)
		wantConflict(t, err, "MacSegmentExhausted")
	})
	// Without a parent: out of the operator's, and never where somebody has an address.
	b.port(blue, portWithMAC(b.network(blue, "n"), "02:fe:00:00:00:01"))
	got, err := b.sized(admin, "red", "", 1<<32)
	if err != nil || got != "02:fc:00:00:00:00/16" && got != "02:fe:00:00:00:00/16" {
		t.Fatalf("got %s, %v", got, err)
	}
	if got == "02:fe:00:00:00:00/16" {
		t.Error("the segment was made around an address of another tenant")
	}
	// A tenant divides its own.
	if got, err := b.sized(red, "", "", 1<<8); err != nil || !mac.MustParseSegment("0a:00:00:00:00:00/32").Contains(mac.MustParseSegment(got).Base()) && !mac.MustParseSegment("02:fc:00:00:00:00/16").Contains(mac.MustParseSegment(got).Base()) {
		t.Errorf("a tenant's own: %s, %v", got, err)
	}
}

func TestSplitSegmentKeepsEveryAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/44", func(g *intent.Segment) { g.Name = "rack" })
	list := b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 10, State: intent.MACReserved})
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{list[0].Addr, list[1].Addr}); err != nil {
		t.Fatal(err)
	}
	b.port(red, newPort(b.network(red, "n")))
	parts := must(b.SplitSegment(b.ctx, admin, g.ID, 46))(t)
	var names, blocks []string
	var total [3]uint64
	for _, p := range parts {
		names, blocks = append(names, p.Name), append(blocks, p.Block.String())
		if diff := cmp.Diff(p, must(b.Segment(b.ctx, red, p.ID))(t), equateAddrs); diff != "" {
			t.Errorf("(-returned +read)\n%s", diff)
		}
		u := b.usage(p.ID)
		for i := range total {
			total[i] += u[i]
		}
	}
	if diff := cmp.Diff([]string{"02:00:05:00:00:00/46", "02:00:05:00:00:04/46", "02:00:05:00:00:08/46", "02:00:05:00:00:0c/46"}, blocks); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rack", "rack-2", "rack-3", "rack-4"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if total != [3]uint64{1, 8, 2} || parts[0].ID != g.ID {
		t.Errorf("usage %v, first part %s", total, parts[0].ID)
	}
	b.checkWhole()
	// What is free is given on, by any part, and all of it.
	b.macs(red, store.MACRequest{Count: 5})
	wantConflict(t, b.tryMACs(red, store.MACRequest{}), "MacAddressGenerationFailure")
	b.checkWhole()
	_, err := b.SplitSegment(b.ctx, admin, g.ID, 49)
	wantInvalid(t, err, "prefix_length")
	_, err = b.SplitSegment(b.ctx, admin, g.ParentID, 9)
	wantInUse(t, err, store.KindSegment, "5 MAC segments inside it") // with the default
	_, err = b.SplitSegment(b.ctx, blue, g.ID, 47)
	wantNotFound(t, err, store.KindSegment)
}

// The switches must hear of a segment's new bounds: by the groups whose rules
// name it.
func TestAResizedSegmentTouchesTheGroupsThatNameIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "0a:00:00:00:00:10/44", nil)
	rule := func(r intent.Rule) intent.SecurityGroup {
		group := must(b.CreateSecurityGroups(b.ctx, red, []intent.SecurityGroup{{}}))(t)[0]
		r.GroupID, r.Direction, r.EtherType = group.ID, intent.Ingress, intent.IPv4
		must(b.CreateRules(b.ctx, red, []intent.Rule{r}))(t)
		return must(b.SecurityGroup(b.ctx, red, group.ID))(t)
	}
	naming, other := rule(intent.Rule{RemoteSegmentID: g.ID}), rule(intent.Rule{RemoteMAC: mac.MustParse("0a:00:00:00:00:11")})
	must(b.ResizeSegment(b.ctx, admin, g.ID, 42))(t)
	now := must(b.SecurityGroup(b.ctx, red, naming.ID))(t)
	i := slices.IndexFunc(now.Rules, func(r intent.Rule) bool { return r.RemoteSegmentID == g.ID })
	if now.Revision <= naming.Revision || now.Rules[i].RemoteBlock.String() != "0a:00:00:00:00:00/42" {
		t.Errorf("revision %d after %d, block %s", now.Revision, naming.Revision, now.Rules[i].RemoteBlock)
	}
	if same := must(b.SecurityGroup(b.ctx, red, other.ID))(t); same.Revision != other.Revision {
		t.Error("a group that does not name the segment was touched")
	}
	wantInUse(t, b.DeleteSegment(b.ctx, admin, g.ID), store.KindSegment, "security group rules")
}

func TestSegmentGrowsOverItsFreeBuddyAndShrinksToWhatIsUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outer := b.segment(admin, "0a:00:00:00:00:00/40", nil)
	g := b.segment(red, "0a:00:00:00:00:10/44", func(g *intent.Segment) { g.Strategy = mac.Sequential })
	other := b.segment(red, "0a:00:00:00:00:40/43", nil)
	b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 3})
	grown := must(b.ResizeSegment(b.ctx, admin, g.ID, 42))(t)
	if got, want := grown.Block.String(), "0a:00:00:00:00:00/42"; got != want || grown.Active != 3 {
		t.Errorf("grew to %s with %d, want %s", got, grown.Active, want)
	}
	_, err := b.ResizeSegment(b.ctx, admin, g.ID, 41)
	wantConflict(t, err, "MacSegmentOverlap")
	_, err = b.ResizeSegment(b.ctx, admin, g.ID, 40)
	wantConflict(t, err, "MacSegmentOverlap", outer.Block.String())
	_, err = b.ResizeSegment(b.ctx, admin, g.ID, 43)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.ResizeSegment(b.ctx, admin, g.ID, 44)
	wantConflict(t, err, "MacSegmentInUse", "prefix_length")
	b.checkWhole()
	list := b.macs(red, store.MACRequest{SegmentID: other.ID, Count: 32})
	slices.SortFunc(list, func(a, b intent.MACAddress) int { return int(a.Addr) - int(b.Addr) })
	if err := b.ReleaseMACs(b.ctx, red, addrsOf(list[16:])); err != nil {
		t.Fatal(err)
	}
	if small := must(b.ResizeSegment(b.ctx, admin, other.ID, 44))(t); small.Quarantined != 0 || small.Active != 16 {
		t.Errorf("got %+v", small)
	}
	b.checkWhole()
	// What rests goes on resting, in a new segment too.
	again := b.segment(blue, "0a:00:00:00:00:50/44", nil)
	if again.Quarantined != 16 {
		t.Errorf("the new segment has %d in quarantine, want 16", again.Quarantined)
	}
	wantConflict(t, b.tryMACs(blue, store.MACRequest{SegmentID: again.ID}), "MacAddressGenerationFailure")
	b.age(11 * time.Minute)
	b.macs(blue, store.MACRequest{SegmentID: again.ID, Count: 16})
	b.checkWhole()
}

func TestUsageOfASegmentIncludesWhatLiesInside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outer := b.segment(red, "0a:00:00:00:00:00/40", nil)
	one := b.segment(red, "0a:00:00:00:00:00/44", func(g *intent.Segment) { g.Strategy = mac.Sequential })
	b.segment(red, "0a:00:00:00:00:80/42", nil)
	list := b.macs(red, store.MACRequest{SegmentID: one.ID, Count: 5})
	b.macs(red, store.MACRequest{SegmentID: one.ID, State: intent.MACReserved})
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{list[2].Addr}); err != nil {
		t.Fatal(err)
	}
	want := store.SegmentUsage{
		Size: 16, Active: 4, Reserved: 1, Quarantined: 1, Free: 10, LargestFree: mac.MustParseSegment("0a:00:00:00:00:08/45"),
		CollisionProbability: mac.CollisionProbability(16, 5),
	}
	if diff := cmp.Diff(want, must(b.SegmentUsage(b.ctx, red, one.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want.Size, want.Free, want.LargestFree, want.CollisionProbability = 256, 250, mac.MustParseSegment("0a:00:00:00:00:40/42"), mac.CollisionProbability(256, 5)
	if diff := cmp.Diff(want, must(b.SegmentUsage(b.ctx, red, outer.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDeletedSegmentLeavesItsQuarantine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/48", nil)
	m := b.macs(red, store.MACRequest{SegmentID: g.ID, State: intent.MACReserved})[0]
	wantInUse(t, b.DeleteSegment(b.ctx, admin, g.ID), store.KindSegment, "1 address")
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{m.Addr}); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteSegment(b.ctx, admin, g.ID); err != nil {
		t.Fatal(err)
	}
	b.checkWhole()
	again := b.segment(blue, "02:00:05:00:00:00/48", nil)
	wantConflict(t, b.tryMACs(blue, store.MACRequest{SegmentID: again.ID}), "MacAddressGenerationFailure")
}

func TestOrderOfASegmentChangesWithItsStrategy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	b.macs(red, store.MACRequest{SegmentID: g.ID, Count: 3})
	must(b.UpdateSegment(b.ctx, admin, g.ID, func(g *intent.Segment) error { g.Strategy = mac.Sequential; return nil }))(t)
	for i := range 5 {
		if got := b.macs(red, store.MACRequest{SegmentID: g.ID})[0].Addr; got != g.Block.At(uint64(i)) {
			t.Errorf("got %s, want %s", got, g.Block.At(uint64(i)))
		}
	}
	for attr, change := range map[string]func(*intent.Segment){
		"strategy":               func(g *intent.Segment) { g.Strategy = "random" },
		"quarantine_seconds":     func(g *intent.Segment) { g.QuarantineSeconds = -1 },
		"conflict_policy":        func(g *intent.Segment) { g.ConflictPolicy = "shoot" },
		"conflict_delay_seconds": func(g *intent.Segment) { g.ConflictDelay = -1 },
	} {
		_, err := b.UpdateSegment(b.ctx, admin, g.ID, func(g *intent.Segment) error { change(g); return nil })
		wantInvalid(t, err, attr)
	}
	b.checkWhole()
}
