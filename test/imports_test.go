// Package test holds the rules that the whole tree obeys. The harness and the
// end-to-end tests lie below it.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/macloom/macloom"

// pkg is a part of what go list tells of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string // of the package itself, without its tests
}

// within says whether an import path is at or below a room of the module.
func within(importPath string, rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(room string) bool {
		return importPath == module+"/"+room || strings.HasPrefix(importPath, module+"/"+room+"/")
	})
}

func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// pure packages import the standard library, the values of southbound and pure
// packages that stand before them.
var pure = []string{
	"controller/mac", "controller/intent", "controller/fabric", "controller/learn", "controller/guard", "controller/pipeline",
	"controller/respond", "controller/explain", "controller/health",
}

// forbidden says why a package must not import another; "" if it may.
func forbidden(from, to string) string {
	rank := slices.IndexFunc(pure, func(room string) bool { return within(from, room) })
	switch {
	case within(from, "southbound/openflow") && !standard(to) && !within(to, "southbound/openflow"):
		return "openflow imports the standard library only"
	case within(from, "southbound/flow") && !standard(to) && !within(to, "southbound/flow", "southbound/openflow"):
		return "flow imports the standard library and openflow only"
	case within(from, "southbound/ovstest") && !standard(to):
		return "ovstest imports the standard library only"
	case within(to, "southbound/ovstest"):
		return "ovstest is for tests"
	case within(from, "southbound") && within(to, "controller", "northbound", "cmd", "migrations"):
		return "southbound knows nothing of what is above it"
	case within(from, "controller/respond") && strings.HasPrefix(to, "github.com/insomniacslk/dhcp/"):
		return "" // packets of DHCP, and no I/O in the packages that are used
	case rank >= 0 && !standard(to) && !within(to, pure[:rank+1]...) && !within(to, "southbound/flow", "southbound/openflow"):
		return "a pure package imports the standard library, flow, openflow and pure packages before it"
	case within(from, "controller") && within(to, "northbound", "cmd"):
		return "imports go downward: cmd, northbound, controller, southbound"
	case within(from, "northbound") && within(to, "southbound", "cmd"):
		return "northbound reads and writes intent and nothing else"
	case to == module+"/controller" && !within(from, "cmd"):
		return "package controller puts the parts together: none of them knows it"
	case strings.HasPrefix(to, "github.com/jackc/") && !within(from, "controller/store", "migrations"):
		return "pgx only in controller/store and migrations"
	case strings.HasPrefix(to, "github.com/go-chi/") && !within(from, "northbound"):
		return "chi only in northbound"
	case strings.HasPrefix(to, "github.com/spf13/") && !within(from, "cmd"):
		return "flags and commands only in cmd"
	case within(to, "test") && !within(from, "test"):
		return "the harness is for end-to-end tests"
	}
	return ""
}

func TestImportsGoOnlyWhereTheyMay(t *testing.T) {
	t.Parallel()
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list shows only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, to := range p.Imports {
			if why := forbidden(p.ImportPath, to); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, why)
			}
		}
		// What a rule forbids must not come in by way of others either, where
		// the rule is about all that a package rests on.
		if within(p.ImportPath, "southbound") {
			for _, to := range p.Deps {
				if within(to, "controller", "northbound", "cmd", "migrations") {
					t.Errorf("%s rests on %s: southbound knows nothing of what is above it", p.ImportPath, to)
				}
			}
		}
		// Tests may use other libraries, but no room above their own.
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			if within(p.ImportPath, "southbound") && within(to, "controller", "northbound", "cmd", "migrations") {
				t.Errorf("a test of %s imports %s: southbound knows nothing of what is above it", p.ImportPath, to)
			}
		}
	}
}

func TestNoPackageIsNamedAfterNothing(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc"}, path.Base(p.ImportPath)) {
			t.Errorf("%s: the name says nothing about what is in it", p.ImportPath)
		}
	}
}

// The rules themselves: each refuses what it is there for.
func TestRulesRefuseWhatTheyAreThereFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"southbound/openflow", "go.uber.org/zap", false},
		{"southbound/openflow", "encoding/binary", true},
		{"southbound/flow", module + "/southbound/openflow", true},
		{"southbound/flow", module + "/southbound/session", false},
		{"southbound/session", module + "/controller/intent", false},
		{"southbound/session", "go.uber.org/zap", true},
		{"southbound/session", module + "/southbound/ovstest", false},
		{"controller/reconcile", module + "/southbound/ovstest", false},
		{"southbound/ovstest", "testing", true},
		{"southbound/ovstest", module + "/southbound/openflow", false},
		{"controller/mac", module + "/controller/intent", false},
		{"controller/intent", module + "/controller/mac", true},
		{"controller/pipeline", module + "/southbound/flow", true},
		{"controller/pipeline", module + "/southbound/session", false},
		{"controller/learn", "go.uber.org/zap", false},
		{"controller/store", "github.com/jackc/pgx/v5", true},
		{"controller/reconcile", "github.com/jackc/pgx/v5", false},
		{"controller/reconcile", module + "/controller", false},
		{"controller", module + "/northbound", false},
		{"northbound", module + "/southbound/openflow", false},
		{"northbound", "github.com/go-chi/chi/v5", true},
		{"controller/store", "github.com/go-chi/chi/v5", false},
		{"northbound", module + "/test/lab", false},
		{"cmd/macloom", module + "/controller", true},
	} {
		if why := forbidden(module+"/"+c.from, c.to); (why == "") != c.allowed {
			t.Errorf("%s imports %s: want allowed %t, got %q", c.from, c.to, c.allowed, why)
		}
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", module+"/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var packages []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}
