package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

func TestReservationIsChangedAndBecomesActive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	g := b.segment(red, "02:00:05:00:00:00/24", nil)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	m := b.macs(red, store.MACRequest{State: intent.MACReserved, DeviceID: "vm"})[0]
	update := func(fn func(*intent.MACAddress)) (intent.MACAddress, error) {
		return b.UpdateMAC(b.ctx, red, m.Addr, func(m *intent.MACAddress) error { fn(m); return nil })
	}
	got := must(update(func(m *intent.MACAddress) {
		m.DeviceID, m.ExpiresAt = "vm2", end
		m.TenantID, m.SegmentID, m.Origin, m.Addr = "blue", "", intent.MACOfPort, 7 // not for callers to change
	}))(t)
	if got.Addr != m.Addr || got.DeviceID != "vm2" || !got.ExpiresAt.Equal(end) || got.TenantID != "red" || got.SegmentID != g.ID || got.Origin != intent.MACOfTenant {
		t.Errorf("changed: %+v", got)
	}
	b.unchanged(func() {
		must(update(func(m *intent.MACAddress) { m.ExpiresAt = end.UTC() }))(t) // is so already
		_, err := update(func(m *intent.MACAddress) { m.State = intent.MACActive })
		wantInvalid(t, err, "expires_at")
		_, err = update(func(m *intent.MACAddress) { m.State = intent.MACFree })
		wantInvalid(t, err, "state", "free")
		refused := errors.New("not so")
		if _, err := b.UpdateMAC(b.ctx, red, m.Addr, func(*intent.MACAddress) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("got %v, want the error of the caller", err)
		}
	})
	got = must(update(func(m *intent.MACAddress) { m.State, m.ExpiresAt = intent.MACActive, time.Time{} }))(t)
	if got.State != intent.MACActive || !got.ExpiresAt.IsZero() || !got.CreatedAt.Equal(m.CreatedAt) && got.CreatedAt.IsZero() {
		t.Errorf("active: %+v", got)
	}
	if g := must(b.Segment(b.ctx, admin, g.ID))(t); g.Active != 1 || g.Reserved != 0 {
		t.Errorf("the segment counts %d active and %d reserved, want 1 and 0", g.Active, g.Reserved)
	}
	b.unchanged(func() {
		_, err := update(func(m *intent.MACAddress) { m.State = intent.MACReserved })
		wantInvalid(t, err, "state", "from active to reserved")
		_, err = b.UpdateMAC(b.ctx, blue, m.Addr, func(*intent.MACAddress) error { return nil })
		wantNotFound(t, err, store.KindMACAddress)
		_, err = b.UpdateMAC(b.ctx, red, m.Addr+1, func(*intent.MACAddress) error { return nil })
		wantNotFound(t, err, store.KindMACAddress)
	})
	b.checkWhole()
	p := b.port(red, newPort(b.network(red, "n")))
	change := func(m *intent.MACAddress) error { m.DeviceID = "x"; return nil }
	_, err := b.UpdateMAC(b.ctx, red, p.MAC, change)
	wantInUse(t, err, store.KindMACAddress, "port "+p.ID)
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{m.Addr}); err != nil {
		t.Fatal(err)
	}
	_, err = b.UpdateMAC(b.ctx, red, m.Addr, change)
	wantConflict(t, err, "MacAddressReleased", "quarantine")
	b.checkWhole()
}

func TestLineageIsReadPageByPageWhateverTheTimesAre(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.segment(red, "02:00:05:00:00:00/24", nil)
	b.macs(red, store.MACRequest{Count: 10})
	other := b.macs(red, store.MACRequest{})[0]
	if err := b.ReleaseMACs(b.ctx, red, []mac.Addr{other.Addr}); err != nil {
		t.Fatal(err)
	}
	// Seven events at the same moment, in the midst of the others.
	at := sql[time.Time](b, `WITH moved AS (UPDATE mac_events SET at = (SELECT at FROM mac_events ORDER BY id LIMIT 1 OFFSET 5) WHERE id IN (SELECT id FROM mac_events ORDER BY id LIMIT 7 OFFSET 2) RETURNING at)
		SELECT max(at) FROM moved`)
	all := must(b.Lineage(b.ctx, red, store.LineageQuery{TenantID: "red"}))(t)
	read := func(q store.LineageQuery) (ids []int64) {
		q.TenantID, q.Limit = "red", 3
		for {
			page := must(b.Lineage(b.ctx, red, q))(t)
			if len(page) == 0 {
				return ids
			}
			for _, e := range page {
				ids = append(ids, e.ID)
			}
			q.Marker = ids[len(ids)-1]
		}
	}
	same := func(what string, got []int64, want []intent.MACEvent) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: events %v, want %d", what, got, len(want))
			return
		}
		for i := range want {
			if got[i] != want[i].ID {
				t.Errorf("%s: event %d in place %d, want %d", what, got[i], i, want[i].ID)
			}
		}
	}
	same("all", read(store.LineageQuery{}), all)
	var since, before []intent.MACEvent
	for _, e := range all {
		if e.At.Before(at) {
			before = append(before, e)
		} else {
			since = append(since, e)
		}
	}
	if len(since) < 8 || len(before) == 0 {
		t.Fatalf("%d events since %s and %d before", len(since), at, len(before))
	}
	same("since", read(store.LineageQuery{Since: at}), since)
	same("before", read(store.LineageQuery{Before: at}), before)
	then := all[0].At
	same("at a moment", read(store.LineageQuery{At: then}), must(b.Lineage(b.ctx, red, store.LineageQuery{TenantID: "red", At: then}))(t))
	for _, sc := range []store.Scope{red, blue} {
		marker := int64(1 << 40)
		if sc == blue {
			marker = all[0].ID
		}
		_, err := b.Lineage(b.ctx, sc, store.LineageQuery{TenantID: sc.TenantID, Marker: marker})
		wantInvalid(t, err, "marker")
	}
}
