package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/store/storetest"
	"github.com/macloom/macloom/migrations"
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
	files, err := fs.Glob(migrations.Files, "*.up.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations %v, %v", files, err)
	}
	number, err := strconv.Atoi(files[len(files)-1][:4])
	if err != nil {
		t.Fatal(err)
	}
	newest := fmt.Sprintf("schema version %d", number)
	steps := []struct{ verb, want string }{
		{"version", "schema version 0"}, {"up", newest}, {"up", newest}, {"down", "schema version 0"}, {"up", newest},
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
