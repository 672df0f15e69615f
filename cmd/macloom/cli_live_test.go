package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store/storetest"
)

// live is a controller with a database of its own, in this process but for
// PostgreSQL.
type live struct {
	t        *testing.T
	api      string
	database string
	dataDir  string
}

var announced = regexp.MustCompile(`REST API\s+(http://\S+?)/v2\.0/`)

func startLive(t *testing.T) *live {
	t.Helper()
	return startLiveOn(t, storetest.URL(t))
}

// startLiveOn starts it on a database that is there.
func startLiveOn(t *testing.T, database string) *live {
	t.Helper()
	l := &live{t: t, database: database, dataDir: t.TempDir()}
	ctx, stop := context.WithCancel(context.Background())
	said, says := io.Pipe()
	root := newRoot()
	root.SetArgs([]string{"serve", "--database-url", l.database, "--data-dir", l.dataDir, "--log-level", "error",
		"--http", "127.0.0.1:0", "--openflow", "127.0.0.1:0", "--ovsdb", "127.0.0.1:0"})
	root.SetOut(says)
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(ctx)
		says.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	var text bytes.Buffer
	for buf := make([]byte, 4096); ; {
		n, err := said.Read(buf)
		text.Write(buf[:n])
		if found := announced.FindSubmatch(text.Bytes()); found != nil {
			l.api = string(found[1])
			break
		}
		if err != nil {
			t.Fatalf("serve did not say where it listens: %q, %v", text.String(), err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // ends with serve
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		if _, err := run(t, "health", "--http", strings.TrimPrefix(l.api, "http://")); err == nil {
			return l
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("serve ended: %v", err)
		default:
		}
	}
}

// run executes a command on the controller.
func (l *live) run(args ...string) string {
	l.t.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.t.Fatalf("macloom %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (l *live) try(args ...string) (string, error) {
	l.t.Helper()
	return run(l.t, l.on(args)...)
}

// on adds to a command on which controller to run it.
func (l *live) on(args []string) []string {
	return append(args, "--url", l.api, "--token-file", filepath.Join(l.dataDir, "admin-token"))
}

// pipe executes a command with a text on its standard input.
func (l *live) pipe(text string, args ...string) string {
	l.t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(l.on(args))
	root.SetIn(strings.NewReader(text))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	if err := root.ExecuteContext(l.t.Context()); err != nil {
		l.t.Fatalf("macloom %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(out.String())
}

func (l *live) json(out any, args ...string) {
	l.t.Helper()
	text := l.run(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		l.t.Fatalf("macloom %s: %v in %q", strings.Join(args, " "), err, text)
	}
}

// call asks the API for what has no command.
func (l *live) call(method, path string, body, answer any) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dataDir, "admin-token"))
	if err != nil {
		l.t.Fatal(err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.api+"/v2.0/"+path, bytes.NewReader(text))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		l.t.Fatalf("%s %s: %d %s, %v", method, path, resp.StatusCode, text, err)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(text, answer); err != nil {
		l.t.Fatal(err)
	}
}

func TestSwitchesOfAControllerAreListed(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	if got := l.run("switch", "list", "-o", "json"); got != "[]" {
		t.Errorf("before any connected: %q", got)
	}
	sw := intent.Switch{DPID: 0xb0, Address: "192.0.2.1:40000", Description: "Nicira", Ports: []intent.SwitchPort{{No: 1, Name: "tap1", Up: true}}}
	if err := storetest.Open(t, l.database).SaveSwitch(t.Context(), sw); err != nil {
		t.Fatal(err)
	}
	var list []struct{ ID, Address string }
	l.json(&list, "switch", "list")
	if len(list) != 1 || list[0].ID != "00000000000000b0" || list[0].Address != "192.0.2.1:40000" {
		t.Errorf("listed: %v", list)
	}
	if got := l.run("switch", "show", "00000000000000b0", "--columns", "description,ports"); !strings.Contains(got, "Nicira") || !strings.Contains(got, `"name":"tap1"`) {
		t.Errorf("shown: %q", got)
	}
	_, err := l.try("switch", "show", "00000000000000b1")
	if err == nil || err.Error() != "SwitchNotFound: Switch 00000000000000b1 could not be found." {
		t.Errorf("a switch that is none: %v", err)
	}
}

func TestSwitchesAreListedBeforehandRefusedAdmittedAndRemoved(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	admitted := func(id string) bool {
		var sw struct{ Admitted bool }
		l.json(&sw, "switch", "show", id)
		return sw.Admitted
	}
	l.run("switch", "add", "00000000000000b1", "--refused")
	if admitted("00000000000000b1") {
		t.Error("added as refused, it is admitted")
	}
	l.run("switch", "admit", "00000000000000b1")
	if !admitted("00000000000000b1") {
		t.Error("not admitted after admit")
	}
	l.run("switch", "refuse", "00000000000000b1")
	if got := l.run("switch", "list", "--admitted=false", "--columns", "id", "-o", "csv", "--no-headers"); strings.TrimSpace(got) != "00000000000000b1" {
		t.Errorf("refused: %q", got)
	}
	l.run("switch", "add", "--system-id", "rack-7")
	if !strings.Contains(l.run("switch", "show", "rack-7"), "rack-7") {
		t.Error("a host listed by its system-id is not found by it")
	}
	l.run("switch", "remove", "00000000000000b1")
	if got := l.run("switch", "list", "--admitted=false", "-o", "json"); got != "[]" {
		t.Errorf("after it was removed: %q", got)
	}
}

func TestExitCodesAndWhatIsPrinted(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	well := []string{"--url", l.api, "--token-file", filepath.Join(l.dataDir, "admin-token")}
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		print string
	}{
		{"well", slices.Concat([]string{"switch", "list"}, well), 0, ""},
		{"refused by the API", slices.Concat([]string{"switch", "show", "00000000000000b1"}, well), 1, "macloom: SwitchNotFound: Switch 00000000000000b1 could not be found.\n"},
		{"with a bad token", []string{"switch", "list", "--token", "wrong-token", "--url", l.api}, 1, "macloom: Unauthorized: " + l.api + " does not accept the token given by --token\n"},
		{"nobody there", []string{"switch", "list", "--url", "http://127.0.0.1:1", "--token", "x"}, 1,
			"macloom: cannot reach http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; is the controller running there? --url or MACLOOM_URL says where to ask\n"},
		{"an unknown flag", []string{"switch", "list", "--colour"}, 2, "macloom: unknown flag: --colour\nmacloom switch list --help says how to call it\n"},
		{"too few words", []string{"switch", "show"}, 2, "macloom: accepts 1 arg(s), received 0\nmacloom switch show --help says how to call it\n"},
		{"an unknown command", []string{"swich"}, 2, "macloom: unknown command \"swich\" for \"macloom\"\n\nDid you mean this?\n\tswitch\n\nmacloom --help says how to call it\n"},
		{"a bad format", []string{"switch", "list", "-o", "xml"}, 2, "macloom: --output: \"xml\" is none of table, json, yaml, csv\nmacloom switch list --help says how to call it\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			root := newRoot()
			root.SetArgs(c.args)
			root.SetOut(io.Discard)
			if code := execute(t.Context(), root, &errs); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if diff := cmp.Diff(c.print, errs.String()); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}
