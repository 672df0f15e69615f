package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file writes a file for a command to read.
func (l *live) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// taken is the file of a foreign system of whose five machines one has an
// address of demo's, one the address of another, and one none.
func (l *live) taken() string {
	l.t.Helper()
	l.post("tenants", "tenant", map[string]any{"id": "demo"})
	l.run("segment", "create", "02:00:05:00:00:00/40", "--tenant", "demo", "--name", "blue")
	l.run("mac", "create", "02:00:05:00:00:01", "--tenant", "demo", "--device", "web-1")
	return l.file("vcenter.csv", "mac,external_id,name\n0200.0500.0001,vm-1,first\n0a:00:00:00:00:02,vm-2,\"second, of two\"\nnone,vm-3\n0a-00-00-00-00-02,vm-4\n0a:00:00:00:00:05,vm-5\n")
}

func TestForeignAddressesAreComparedImportedAndExported(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	file := l.taken()
	const conflicts = `LINE MAC EXTERNAL_ID KIND RECORDED WITH
2 02:00:05:00:00:01 vm-1 managed false tenant_id=demo state=active port_id= device_id=web-1 policy=report
4 vm-3 invalid false
5 0a:00:00:00:00:02 vm-4 twice false
`
	imported := func(args ...string) (found, result string) {
		found, result, _ = strings.Cut(l.run(append([]string{"mac", "import"}, args...)...), "\nFIELD")
		var lines []string
		for _, line := range strings.Split(found, "\n") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(lines, "\n"), strings.Join(strings.Fields(result), " ")
	}
	wantParts := func(result string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(result+" ", part+" ") {
				t.Errorf("result %q without %q", result, part)
			}
		}
	}
	found, result := imported(file, "--source", "vcenter 1", "--dry-run")
	if diff := cmp.Diff(conflicts, found); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	wantParts(result, "lines 5", "imported 0", "mapped 0", "conflicts 2")
	l.refused(map[string]string{"mac show 0a:00:00:00:00:02": "MacAddressNotFound: "})

	_, result = imported(file, "--source", "vcenter 1", "--tenant", "demo")
	wantParts(result, "lines 5", "imported 2", "mapped 3", "conflicts 2")
	if got := l.rows("address,tenant_id,origin", "mac", "show", "0a:00:00:00:00:05"); got != "0a:00:00:00:00:05,demo,import" {
		t.Errorf("imported: %q", got)
	}
	const exported = "mac,external_id,name\n02:00:05:00:00:01,vm-1,first\n0a:00:00:00:00:02,vm-2,\"second, of two\"\n0a:00:00:00:00:05,vm-5,"
	if diff := cmp.Diff(exported, l.run("mac", "export", "--source", "vcenter 1")); diff != "" {
		t.Errorf("export of what was imported (-want +got):\n%s", diff)
	}
	back := filepath.Join(t.TempDir(), "back.ndjson")
	l.run("mac", "export", "--source", "vcenter 1", "--file", back)
	again, result := imported(back, "--source", "vcenter 1", "--tenant", "demo")
	wantParts(result, "lines 3", "imported 0", "conflicts 1")
	if !strings.Contains(again, "vm-1") || strings.Contains(again, "vm-5") {
		t.Errorf("imported again: %q", again)
	}
	var both struct {
		Conflicts []struct {
			Line int
			With struct {
				TenantID string `json:"tenant_id"`
			}
		}
		Import struct{ Lines, Conflicts int } `json:"mac_import"`
	}
	l.json(&both, "mac", "import", back, "--source", "other", "--tenant", "demo", "--dry-run")
	if len(both.Conflicts) != both.Import.Conflicts || both.Import.Lines != 3 || len(both.Conflicts) == 0 || both.Conflicts[0].With.TenantID != "demo" {
		t.Errorf("as JSON: %+v", both)
	}
	if got := l.pipe(`{"mac": "0a:00:00:00:00:09", "external_id": "k1"}`, "mac", "import", "-", "--source", "kvm/1", "--format", "ndjson", "--tenant", "demo", "-o", "csv"); got != "" {
		t.Errorf("conflicts of an import without: %q", got)
	}
	if got := l.run("mac", "export", "--source", "kvm/1", "--format", "ndjson"); got != `{"mac":"0a:00:00:00:00:09","external_id":"k1","name":""}` {
		t.Errorf("export of a name with a slash: %q", got)
	}
	const managed = "mac,external_id,name\n02:00:05:00:00:01,web-1,"
	if got := l.run("mac", "export"); !strings.HasPrefix(got, managed) {
		t.Errorf("export of what is managed: %q", got)
	}
	l.refused(map[string]string{
		"mac import " + l.file("one.csv", "0a:00:00:00:00:08,a\n0a:00:00:00:00:09\n") + " --source s --tenant demo": "HTTPBadRequest: Line 2 cannot be read",
		"mac import " + l.file("no.ndjson", "0a:00:00:00:00:08,a\n") + " --source s --tenant demo":                  "Line 1 cannot be read",
	})
	l.refused(map[string]string{"mac show 0a:00:00:00:00:08": "MacAddressNotFound: "})
}

func TestALongImportIsRefusedOnItsWay(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.post("tenants", "tenant", map[string]any{"id": "demo"})
	var b strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&b, "0a:00:00:00:%02x:%02x,vm-%d\n", i>>8, i&0xff, i)
	}
	l.refused(map[string]string{"mac import " + l.file("long.csv", b.String()+"broken\n") + " --source s --tenant demo": "Line 30001 cannot be read"})
	if got := l.rows("address", "mac", "list"); got != "" {
		t.Errorf("kept of an import that failed: %.100q", got)
	}
	if got := l.run("mac", "import", l.file("whole.csv", b.String()), "--source", "s", "--tenant", "demo", "--columns", "line"); !strings.Contains(got, "imported   30000") {
		t.Errorf("imported: %q", got)
	}
}

func TestConflictsAreListedShownAndResolved(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("mac", "import", l.taken(), "--source", "vcenter", "--tenant", "demo")
	list := func(columns string, args ...string) string {
		return l.rows(columns, append([]string{"mac", "conflicts"}, args...)...)
	}
	const want = "02:00:05:00:00:01,import,open,report,demo,web-1,vcenter,vm-1"
	for _, args := range [][]string{{}, {"--status", "open"}, {"--tenant", "demo"}, {"--segment", "blue"}} {
		if got := list("address,kind,status,policy,tenant_id,device_id,source,external_id", args...); got != want {
			t.Errorf("conflicts %v: %q, want %q", args, got, want)
		}
	}
	if got := list("id", "--status", "resolved"); got != "" {
		t.Errorf("resolved before anybody did: %q", got)
	}
	id := list("id")
	if got := l.run("mac", "conflicts"); !strings.HasPrefix(got, "ID ") || !strings.Contains(got, "vm-1") {
		t.Errorf("table: %q", got)
	}
	l.run("mac", "conflicts", "resolve", id)
	if got := l.rows("status,resolution", "mac", "conflicts", "show", id); got != "resolved,by hand" {
		t.Errorf("shown: %q", got)
	}
	l.refused(map[string]string{
		"mac conflicts resolve " + id:                             "MacConflictResolved: ",
		"mac conflicts show 11111111-2222-4333-8444-555555555555": "MacConflictNotFound: ",
		"mac conflicts show 7":                                    `there is no mac conflict "7"`,
		"mac conflicts --segment nothing":                         `there is no mac segment "nothing"`,
	})
}
