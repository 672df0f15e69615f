package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/guard"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// Settings are read as they were written: nothing differs from an empty list.
func TestSettingsOfTheGuardAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := b.network(red, "n")
	for _, want := range []intent.MACGuard{
		{},
		{NetworkID: n.ID, Action: intent.GuardBlockMAC, Moves: 3, Window: time.Minute, Recovery: time.Hour, Exempt: guard.Virtual, Trusted: []intent.Place{{Switch: 0xa1, Port: 7}}},
	} {
		made, err := b.CreateMACGuards(b.ctx, admin, []intent.MACGuard{want})
		if err != nil {
			t.Fatal(err)
		}
		same := func() {
			t.Helper()
			got, err := b.MACGuard(b.ctx, admin, made[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			got.Meta = intent.Meta{}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(mac.Segment{})); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		}
		same()
		want.Exempt, want.Trusted, want.Action = []mac.Segment{}, []intent.Place{}, intent.GuardNone
		if _, err := b.UpdateMACGuard(b.ctx, admin, made[0].ID, func(g *intent.MACGuard) error {
			g.Exempt, g.Trusted, g.Action = want.Exempt, want.Trusted, want.Action
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		same()
	}
	if seen, err := b.MACGuards(b.ctx, red, store.Query{}); err != nil || len(seen) > 0 {
		t.Errorf("a tenant sees %v, %v", seen, err)
	}
	if err := b.DeleteNetwork(b.ctx, red, n.ID); err != nil {
		t.Error(err)
	}
	if left, err := b.MACGuards(b.ctx, admin, store.Query{}); err != nil || len(left) != 1 || left[0].NetworkID != "" {
		t.Errorf("without the network there are %v, %v", left, err)
	}
}

func TestHomesAreKeptUntilTheyAreGoneOrTheirSwitchIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for d := range intent.DPID(2) {
		b.save(intent.Switch{DPID: 0xa1 + d, Admitted: true})
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Local()
	home := func(a mac.Addr, d intent.DPID) guard.Home {
		return guard.Home{MAC: a, At: intent.Place{Switch: d, Port: 1 << 31}, Since: start}
	}
	silent := home(12, 0xa1)
	silent.Silent = start.Add(time.Hour)
	want := func(homes ...guard.Home) {
		t.Helper()
		got, err := b.MACHomes(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(homes, got); diff != "" {
			t.Errorf("homes (-want +got):\n%s", diff)
		}
	}
	for _, homes := range [][]guard.Home{
		{home(10, 0xa1), home(11, 0xa2), home(12, 0xa2), home(13, 0xff)}, // a switch that nobody knows
		{{MAC: 10, Gone: true}, silent, {MAC: 99, Gone: true}},
		nil,
	} {
		if err := b.SaveMACHomes(b.ctx, homes); err != nil {
			t.Fatal(err)
		}
	}
	want(home(11, 0xa2), silent)
	b.exec(`DELETE FROM switches WHERE dpid = '00000000000000a2'`)
	want(silent)
}

// Who uses very many addresses of others at a port makes no more work by it.
func TestAPortHasSoManyBlocksOfTheGuardAndNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.save(intent.Switch{DPID: 1, Admitted: true})
	b.exec(`INSERT INTO blocks (id, address, dpid, port, cause, seconds) SELECT gen_random_uuid(), 2 * n, '0000000000000001', 7, 'moves', 60 FROM generate_series(1, 256) AS n`)
	add := func(a mac.Addr, port uint32) bool {
		t.Helper()
		_, made, err := b.AddBlock(b.ctx, intent.Block{MAC: a, At: intent.Place{Switch: 1, Port: port}, Cause: intent.BlockMoves}, (&terms{term: time.Minute}).of)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	if add(1000, 7) {
		t.Error("one more address was blocked")
	}
	if !add(1000, 8) || !add(0, 7) {
		t.Error("another port, or the port itself, was not")
	}
}
