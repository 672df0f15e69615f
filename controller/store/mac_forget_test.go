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

func TestWhatIsOnlyHistoryIsForgottenAfterTheRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.segment(red, "02:00:05:00:00:00/24", nil)
	taken := b.macs(red, store.MACRequest{Count: 2})
	load := func(source string, lines ...store.MACImportLine) {
		t.Helper()
		must(b.ImportMACs(b.ctx, admin, store.MACImport{Source: source, TenantID: "blue"}, func(yield func(store.MACImportLine, error) bool) {
			for i, l := range lines {
				l.Line = int64(i + 1)
				if !yield(l, nil) {
					return
				}
			}
		}))(t)
	}
	held, released := mac.MustParse("0a:00:00:00:00:01"), mac.MustParse("0a:00:00:00:00:02")
	load("cloud", store.MACImportLine{ExternalID: "held", Addr: held}, store.MACImportLine{ExternalID: "released", Addr: released},
		store.MACImportLine{ExternalID: "open", Addr: taken[0].Addr}, store.MACImportLine{ExternalID: "resolved", Addr: taken[1].Addr})
	if err := b.ReleaseMACs(b.ctx, blue, []mac.Addr{released}); err != nil {
		t.Fatal(err)
	}
	for _, c := range must(b.MACConflicts(b.ctx, admin, store.Query{Filter: map[string][]string{"external_id": {"resolved"}}}))(t) {
		must(b.ResolveMACConflict(b.ctx, admin, c.ID, "by hand"))(t)
	}
	now := sql[time.Time](b, `SELECT now()`).Add(time.Hour)
	// These come an hour later.
	sql[int](b, `WITH r AS (UPDATE mac_import_runs SET created_at = created_at - interval '1 hour' RETURNING 1),
		i AS (UPDATE mac_imports SET imported_at = imported_at - interval '1 hour' RETURNING 1),
		c AS (UPDATE mac_conflicts SET resolved_at = resolved_at - interval '1 hour' WHERE status = 'resolved' RETURNING 1)
		SELECT (SELECT count(*) FROM r) + (SELECT count(*) FROM i) + (SELECT count(*) FROM c)`)
	load("late", store.MACImportLine{ExternalID: "open", Addr: taken[0].Addr})

	known := func() (list []string) {
		for _, m := range must(b.MACImports(b.ctx, admin, store.Query{}))(t) {
			list = append(list, "import of "+m.Source)
		}
		for _, c := range must(b.MACConflicts(b.ctx, admin, store.Query{}))(t) {
			list = append(list, "conflict with "+c.ExternalID+" of "+c.Source)
		}
		for _, source := range []string{"cloud", "late"} {
			err := b.ExportMACs(b.ctx, admin, source, func(l store.MACImportLine) error {
				list = append(list, l.ExternalID+" of "+source)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(list)
		return list
	}
	want := func(lines ...string) {
		t.Helper()
		slices.Sort(lines)
		if diff := cmp.Diff(lines, known()); diff != "" {
			t.Errorf("known (-want +got)\n%s", diff)
		}
	}
	forget := func(retention time.Duration) {
		t.Helper()
		if err := b.ForgetMACs(b.ctx, now, retention); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"import of cloud", "import of late", "conflict with open of cloud", "conflict with resolved of cloud", "conflict with open of late",
		"held of cloud", "open of cloud", "released of cloud", "resolved of cloud", "open of late"}
	forget(0)
	want(all...)
	forget(3 * time.Hour)
	want(all...)
	forget(90 * time.Minute)
	want("import of late", "conflict with open of cloud", "conflict with open of late", "held of cloud", "open of late")
	if got := must(b.MACAddress(b.ctx, blue, held))(t); got.State != intent.MACActive {
		t.Errorf("the address that is held is %s", got.State)
	}
	b.checkWhole()
}
