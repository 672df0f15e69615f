package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/store/storetest"
)

// run executes macloom with arguments and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return strings.TrimSpace(out.String()), err
}

func TestMigrateGoesUpAndDown(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	steps := []struct{ verb, want string }{
		{"version", "schema version 0"}, {"up", "schema version 12"}, {"up", "schema version 12"},
		{"down", "schema version 0"}, {"up", "schema version 12"},
	}
	for _, s := range steps {
		got, err := run(t, "migrate", s.verb, "--database-url", url, "--data-dir", t.TempDir(), "--log-level", "error")
		if err != nil || got != s.want {
			t.Fatalf("migrate %s: %q, %v; want %q", s.verb, got, err, s.want)
		}
	}
	if _, err := run(t, "migrate", "sideways"); err == nil {
		t.Error("migrate sideways passed")
	}
}

func TestVersionNamesTheProgram(t *testing.T) {
	t.Parallel()
	if got, err := run(t, "version"); err != nil || !strings.HasPrefix(got, "macloom ") {
		t.Errorf("version: %q, %v", got, err)
	}
}

func TestHealthFailsWhereNobodyListens(t *testing.T) {
	t.Parallel()
	if _, err := run(t, "health", "--http", "127.0.0.1:1"); err == nil {
		t.Error("health passed")
	}
}
