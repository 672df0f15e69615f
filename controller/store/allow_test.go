package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// listOf is a list with addresses and prefixes.
func listOf(n intent.Network, blocks ...string) intent.MACAllowList {
	l := intent.MACAllowList{NetworkID: n.ID}
	for _, b := range blocks {
		l.Entries = append(l.Entries, intent.MACAllowEntry{Block: mac.MustParseSegment(b)})
	}
	return l
}

func (b *bundle) allow(sc store.Scope, l intent.MACAllowList) intent.MACAllowList {
	b.t.Helper()
	return one(b.CreateMACAllowLists(b.ctx, sc, []intent.MACAllowList{l}))(b.t)
}

func (b *bundle) tryAllow(sc store.Scope, l intent.MACAllowList) error {
	_, err := b.CreateMACAllowLists(b.ctx, sc, []intent.MACAllowList{l})
	return err
}

func TestOnlyListedAddressesAttachToANetworkWithLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, open := b.network(red, "n"), b.network(red, "open")
	l := b.allow(red, listOf(n, "52:54:00:00:00:00/40", "00:16:3e:00:00:07/48"))
	if diff := cmp.Diff(l, must(b.MACAllowList(b.ctx, red, l.ID))(t), equateAddrs); diff != "" {
		t.Errorf("(-made +read)\n%s", diff)
	}
	p := b.port(red, portWithMAC(n, "52:54:00:00:00:01"))
	b.port(red, portWithMAC(n, "00:16:3e:00:00:07"))
	b.port(red, portWithMAC(open, "00:16:3e:00:00:08"))
	wantConflict(t, b.tryPort(red, portWithMAC(n, "52:54:00:00:01:00")), "MacAddressNotAllowed", "mac_address 52:54:00:00:01:00", l.ID)
	wantConflict(t, b.tryPort(red, newPort(n)), "MacAddressNotAllowed", "mac_address", "mac_segment_id", l.ID)
	_, err := b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.MAC = mac.MustParse("52:54:00:00:01:00"); return nil })
	wantConflict(t, err, "MacAddressNotAllowed")
	_, err = b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.MAC = mac.MustParse("52:54:00:00:00:02"); return nil })
	must(p, err)(t)
	// Another list lets in what it has, too.
	more := b.allow(red, listOf(n, "52:54:00:00:01:00/40"))
	late := b.port(red, portWithMAC(n, "52:54:00:00:01:00"))
	wantConflict(t, b.DeleteMACAllowList(b.ctx, red, more.ID), "MacAddressNotAllowed", late.ID, "52:54:00:00:01:00")
	_, err = b.UpdateMACAllowList(b.ctx, red, more.ID, func(l *intent.MACAllowList) error { l.Entries = nil; return nil })
	wantConflict(t, err, "MacAddressNotAllowed", late.ID)
	renamed := must(b.UpdateMACAllowList(b.ctx, red, more.ID, func(l *intent.MACAllowList) error { l.Name = "more"; return nil }))(t)
	if renamed.Revision != more.Revision+1 || len(renamed.Entries) != 1 {
		t.Errorf("renamed: %+v", renamed)
	}
	if err := b.DeletePort(b.ctx, red, late.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{more.ID, l.ID} { // after the last, anything may attach
		if err := b.DeleteMACAllowList(b.ctx, red, id); err != nil {
			t.Fatal(err)
		}
	}
	b.port(red, newPort(n))
}

func TestAListThatLeavesOutAPortIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	var ids []string
	for i := range 7 {
		ids = append(ids, b.port(red, portWithMAC(n, fmt.Sprintf("52:54:00:00:01:%02x", i))).ID)
	}
	wantConflict(t, b.tryAllow(red, listOf(n, "52:54:00:00:01:00/48")), "MacAddressNotAllowed", ids[1], "and more", n.ID)
	wantConflict(t, b.tryAllow(red, listOf(n)), "MacAddressNotAllowed")
	b.allow(red, listOf(n, "52:54:00:00:01:00/45"))
}

func TestAddressesAreTakenOutOfListedSegments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n, other := b.network(red, "n"), b.network(red, "other")
	first := b.segment(red, "02:00:05:00:00:00/40", nil)
	second := b.segment(red, "02:00:06:00:00:00/40", nil)
	foreign := b.segment(blue, "02:00:07:00:00:00/40", nil)
	l := intent.MACAllowList{NetworkID: n.ID, Entries: []intent.MACAllowEntry{{SegmentID: foreign.ID}}}
	var missing *store.NotFound
	if err := b.tryAllow(red, l); !errors.As(err, &missing) || missing.Kind != store.KindSegment {
		t.Errorf("a list of another's segment: %v", err)
	}
	l.Entries = []intent.MACAllowEntry{{SegmentID: second.ID}}
	l = b.allow(red, l)
	if want := second.Block; l.Entries[0].Block != want {
		t.Errorf("the list has %s, want %s", l.Entries[0].Block, want)
	}
	for range 3 {
		if p := b.port(red, newPort(n)); p.SegmentID != second.ID {
			t.Errorf("the port has %s of segment %s, want one of %s", p.MAC, p.SegmentID, second.Block)
		}
	}
	made := must(b.CreatePorts(b.ctx, red, []store.NewPort{newPort(n), newPort(other)}))(t)
	if made[0].SegmentID != second.ID || made[1].SegmentID != first.ID {
		t.Errorf("at once: %s and %s", made[0].MAC, made[1].MAC)
	}
	// An operator may let a network have of a segment that serves nobody else.
	spare := b.segment(store.Scope{}, "02:00:08:00:00:00/40", nil)
	b.allow(admin, intent.MACAllowList{NetworkID: other.ID, Meta: intent.Meta{TenantID: "red"}, Entries: []intent.MACAllowEntry{{SegmentID: spare.ID}, {Block: first.Block}}})
	if err := b.DeleteSegment(b.ctx, admin, spare.ID); err == nil {
		t.Error("a segment goes that a list names")
	} else {
		wantInUse(t, err, store.KindSegment, "MAC allow lists")
	}
	free := b.network(blue, "free")
	made = must(b.CreatePorts(b.ctx, admin, []store.NewPort{withTenant(newPort(other), "red"), withTenant(newPort(free), "green")}))(t)
	if made[0].SegmentID != first.ID || made[1].SegmentID == spare.ID {
		t.Errorf("at once: %s and %s", made[0].MAC, made[1].MAC)
	}
	b.checkWhole()
}

func withTenant(p store.NewPort, tenant string) store.NewPort {
	p.TenantID = tenant
	return p
}

func TestASegmentThatAListNamesKeepsItsPorts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	g := b.segment(red, "02:00:05:00:00:00/40", nil)
	l := b.allow(red, intent.MACAllowList{NetworkID: n.ID, Entries: []intent.MACAllowEntry{{SegmentID: g.ID}}})
	p := b.port(red, portWithMAC(n, "02:00:05:00:00:80"))
	_, err := b.SplitSegment(b.ctx, red, g.ID, 41)
	wantConflict(t, err, "MacAddressNotAllowed", p.ID)
	if err := b.DeletePort(b.ctx, red, p.ID); err != nil {
		t.Fatal(err)
	}
	must(b.SplitSegment(b.ctx, red, g.ID, 41))(t)
	if got := must(b.MACAllowList(b.ctx, red, l.ID))(t); got.Entries[0].Block.Bits() != 41 || got.Revision != l.Revision+1 {
		t.Errorf("after the split: %+v", got)
	}
}

func TestListsAreOfWhoHasTheNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	var missing *store.NotFound
	if err := b.tryAllow(blue, listOf(n)); !errors.As(err, &missing) || missing.Kind != store.KindNetwork {
		t.Errorf("for another's network: %v", err)
	}
	l := b.allow(admin, listOf(n))
	if l.TenantID != "red" {
		t.Errorf("made by an administrator, it belongs to %q", l.TenantID)
	}
	if _, err := b.MACAllowList(b.ctx, blue, l.ID); !errors.As(err, &missing) {
		t.Errorf("another sees it: %v", err)
	}
	if err := b.DeleteMACAllowList(b.ctx, blue, l.ID); !errors.As(err, &missing) {
		t.Errorf("another deletes it: %v", err)
	}
	wantInUse(t, b.DeleteNetwork(b.ctx, red, n.ID), store.KindNetwork, "MAC allow lists")
	if err := b.SetQuotas(b.ctx, admin, "red", map[store.Kind]int64{store.KindMACAllowList: 1}); err != nil {
		t.Fatal(err)
	}
	wantConflict(t, b.tryAllow(red, listOf(n)), "OverQuota", "mac_allow_list")
}

// Whichever comes first, the list or the port, both hold at the end.
func TestAListAndAPortAtOnceDoNotMissEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	replica := storetest.Open(t, b.url)
	for i := range 30 {
		n := b.network(red, fmt.Sprint(i))
		var work sync.WaitGroup
		var listed, attached error
		work.Go(func() { listed = b.tryAllow(red, listOf(n, "52:54:00:00:00:00/40")) })
		work.Go(func() {
			_, attached = replica.CreatePorts(b.ctx, red, []store.NewPort{portWithMAC(n, fmt.Sprintf("52:54:00:00:07:%02x", i))})
		})
		work.Wait()
		switch {
		case listed == nil && attached == nil:
			t.Fatal("the list leaves out the port")
		case listed != nil:
			wantConflict(t, listed, "MacAddressNotAllowed")
		default:
			wantConflict(t, attached, "MacAddressNotAllowed")
		}
	}
}

func TestAPrefixOfAPairIsNotWhatOthersGetAddressesFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	b.segment(red, "02:00:05:00:00:00/24", nil)
	b.segment(blue, "02:00:06:00:00:00/24", nil)
	b.segment(store.Scope{}, "02:00:07:00:00:00/32", func(g *intent.Segment) { g.Host = "00000000000000a1" })
	b.segment(store.Scope{}, "02:00:08:00:00:00/24", func(g *intent.Segment) { g.Shared = true })
	pair := func(base string, bits int) store.NewPort {
		p := newPort(n)
		p.TenantID = "red"
		p.Extras.Pairs = []intent.AddressPair{{Address: "10.9.0.0/24", MAC: mac.MustParse(base), MACBits: bits}}
		return p
	}
	for _, c := range []struct {
		base      string
		bits      int
		may, best bool // a member, an administrator
	}{
		{"52:54:00:00:00:00", 24, true, true},
		{"02:00:05:00:00:00", 24, true, true},
		{"02:00:05:12:00:00", 32, true, true},
		{"02:00:04:00:00:00", 23, false, true}, // more than the tenant's
		{"02:00:06:00:00:00", 32, false, true},
		{"02:00:00:00:00:00", 16, false, false}, // with a host's
		{"02:00:07:00:00:00", 40, false, false},
		{"02:00:08:00:00:00", 40, false, true},
		{"02:00:99:00:00:00", 40, false, true}, // out of which hosts get their segments
	} {
		for sc, may := range map[store.Scope]bool{red: c.may, admin: c.best} {
			err := b.tryPort(sc, pair(c.base, c.bits))
			if may && err != nil {
				t.Errorf("%s/%d: %v", c.base, c.bits, err)
			} else if !may {
				wantInvalid(t, err, "allowed_address_pairs", c.base, "segment of the tenant or the network")
			}
		}
	}
	p := b.port(red, newPort(n))
	_, err := b.UpdatePort(b.ctx, red, p.ID, func(p *intent.Port) error { p.Extras.Pairs = pair("02:00:06:00:00:00", 32).Extras.Pairs; return nil })
	wantInvalid(t, err, "allowed_address_pairs")
}
