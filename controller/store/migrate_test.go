package store_test

import (
	"testing"

	"github.com/macloom/macloom/controller/store/storetest"
)

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := storetest.Open(t, storetest.EmptyURL(t))
	version := func() uint {
		t.Helper()
		v, err := s.SchemaVersion(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got := version(); got != 0 {
		t.Fatalf("an empty database has schema version %d", got)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	newest := version()
	if newest == 0 {
		t.Fatal("no step was taken up")
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if err := s.MigrateDown(ctx); err != nil {
		t.Fatal(err)
	}
	if got := version(); got != 0 {
		t.Fatalf("all steps down leave version %d", got)
	}
	if err := s.Migrate(ctx); err != nil {
		t.Fatalf("up again: %v", err)
	}
	if got := version(); got != newest {
		t.Fatalf("up again ends at version %d, want %d", got, newest)
	}
}
