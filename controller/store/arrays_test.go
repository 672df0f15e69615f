package store_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

func TestArraysAreReadInBothFormsThatTheServerSendsThem(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	const one, two = "aaaa0000-0000-7000-8000-000000000001", "aaaa0000-0000-7000-8000-000000000002"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		rows, err := conn.Query(t.Context(), `SELECT '{}'::uuid[], ARRAY['`+one+`', '`+two+`']::uuid[], ARRAY['`+one+`/10.0.0.1', '`+two+`/2001:db8::1']`, mode)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(mode, rows.Err())
		}
		raw := rows.RawValues()
		gotNone, err1 := store.ReadUUIDs(raw[0])
		gotIDs, err2 := store.ReadUUIDs(raw[1])
		gotIPs, err3 := store.ReadFixedIPs(raw[2])
		rows.Close()
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(mode, err1, err2, err3)
		}
		text := func(a netip.Addr) string { return a.String() }
		if diff := cmp.Diff([]string{}, gotNone) + cmp.Diff([]string{one, two}, gotIDs) +
			cmp.Diff([]intent.FixedIP{{SubnetID: one, Addr: netip.MustParseAddr("10.0.0.1")}, {SubnetID: two, Addr: netip.MustParseAddr("2001:db8::1")}}, gotIPs, cmp.Transformer("text", text)); diff != "" {
			t.Errorf("%v: (-want +got)\n%s", mode, diff)
		}
	}
}

// FuzzArrays reads what no server sends.
func FuzzArrays(f *testing.F) {
	f.Add([]byte("{10.0.0.1}"))
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03\x65\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x08\x02\x20\x00\x04\x0a\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, n := range []int{lengthOf(store.ReadUUIDs(raw)), lengthOf(store.ReadFixedIPs(raw))} {
			if n > len(raw) {
				t.Errorf("%d elements of %d bytes", n, len(raw))
			}
		}
	})
}

func lengthOf[T any](list []T, _ error) int { return len(list) }
