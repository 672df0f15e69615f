package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// standIn answers in the place of the API what a test gives it, by method and
// path with query, and writes down what it was asked.
type standIn struct {
	t       *testing.T
	url     string
	answers map[string]string
	handle  http.HandlerFunc // answers what answers does not; nil: 404

	mu    sync.Mutex
	asked []string // method, path and body
	token string
}

func newStandIn(t *testing.T, answers map[string]string) *standIn {
	t.Helper()
	s := &standIn{t: t, answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := s.answers[r.Method+" "+strings.TrimPrefix(r.RequestURI, "/v2.0")]
	var body []byte
	if s.handle == nil || ok {
		body, _ = io.ReadAll(r.Body)
	}
	s.mu.Lock()
	s.token = r.Header.Get("X-Auth-Token")
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.RequestURI, "/v2.0")+" "+string(body)))
	s.mu.Unlock()
	switch {
	case !ok && s.handle != nil:
		s.handle(w, r)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"NeutronError": {"type": "NotFound", "message": %q, "detail": ""}}`, "no "+r.Method+" "+r.RequestURI)
	case answer == "":
		w.WriteHeader(http.StatusNoContent)
	default:
		io.WriteString(w, answer)
	}
}

// requests is what was asked since the last time.
func (s *standIn) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// shell runs commands as a user would.
type shell struct {
	env    map[string]string
	dir    string // data directory
	stdin  string
	stdout io.Writer // nil: what run returns
	stderr io.Writer
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func (sh shell) run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "macloom", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Commands(Environment{
		Getenv: func(name string) string { return sh.env[name] }, DataDir: sh.dir, Version: "test", Now: func() time.Time { return noon },
	})...)
	var out bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(sh.stdin))
	root.SetOut(cmp.Or[io.Writer](sh.stdout, &out))
	root.SetErr(cmp.Or(sh.stderr, io.Discard))
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

// run runs a command against s and fails the test if it fails.
func (s *standIn) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("macloom %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (s *standIn) try(args ...string) (string, error) {
	s.t.Helper()
	return s.shell().run(s.t, args...)
}

func (s *standIn) shell() shell {
	return shell{env: map[string]string{"MACLOOM_URL": s.url, "MACLOOM_TOKEN": "secret"}}
}

func (s *standIn) wantRequests(want ...string) {
	s.t.Helper()
	if diff := gocmp.Diff(want, s.requests()); diff != "" {
		s.t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func want(t *testing.T, want, got string) {
	t.Helper()
	if diff := gocmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhereTheTokenIsFrom(t *testing.T) {
	t.Parallel()
	data, other := t.TempDir(), t.TempDir()
	write(t, filepath.Join(data, "admin-token"), "of-data-dir\n")
	write(t, filepath.Join(other, "admin-token"), "of-other-dir\n")
	file := write(t, filepath.Join(t.TempDir(), "token"), " of-file \n")
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"the data directory", nil, nil, "of-data-dir"},
		{"another data directory", map[string]string{"MACLOOM_DATA_DIR": other}, nil, "of-other-dir"},
		{"the variable of a file", map[string]string{"MACLOOM_TOKEN_FILE": file}, nil, "of-file"},
		{"the variable", map[string]string{"MACLOOM_TOKEN": "of-env", "MACLOOM_TOKEN_FILE": "/nowhere"}, nil, "of-env"},
		{"the file before the variable", map[string]string{"MACLOOM_TOKEN": "of-env"}, []string{"--token-file", file}, "of-file"},
		{"the flag before the variable", map[string]string{"MACLOOM_TOKEN": "of-env"}, []string{"--token", "of-flag"}, "of-flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t, map[string]string{"GET /switches": `{"switches": []}`})
			args := append([]string{"switch", "list", "--url", s.url}, c.args...)
			if _, err := (shell{env: c.env, dir: data}).run(t, args...); err != nil {
				t.Fatal(err)
			}
			if s.token != c.want {
				t.Errorf("token %q, want %q", s.token, c.want)
			}
		})
	}
}

func TestWhatCannotBeAskedIsSaidBeforehand(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	write(t, filepath.Join(data, "admin-token"), "of-data-dir\n")
	empty := write(t, filepath.Join(t.TempDir(), "token"), "\n")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"the token of this machine for another one", []string{"switch", "list", "--url", "http://192.0.2.1:9696"}, "no token for http://192.0.2.1:9696"},
		{"an empty file", []string{"switch", "list", "--token-file", empty}, "is empty"},
		{"a token with a line end", []string{"switch", "list", "--token", "a\nb"}, "--token has a character"},
		{"two tokens", []string{"switch", "list", "--token", "a", "--token-file", empty}, "[token token-file]"},
		{"an address that is none", []string{"switch", "list", "--url", "localhost:9696", "--token", "x"}, "not of the form"},
		{"no time", []string{"switch", "list", "--timeout", "0s"}, "--timeout"},
		{"an unknown format", []string{"switch", "list", "-o", "xml"}, `"xml" is none of table, json, yaml, csv`},
		{"an unknown command", []string{"switch", "lst"}, "did you mean list"},
		{"a switch without a name", []string{"switch", "add"}, "--system-id"},
		{"nothing to remove", []string{"switch", "remove"}, "at least 1 arg"},
		{"an empty name", []string{"switch", "show", ""}, "an empty word names no switch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := shell{dir: data}.run(t, c.args...)
			wantError(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), "a\nb") {
				t.Error("the token is in the error")
			}
		})
	}
	_, err := shell{dir: t.TempDir()}.run(t, "switch", "list")
	wantError(t, err, "no token: there is no", "MACLOOM_TOKEN")
}

const twoSwitches = `{"switches": [
	{"id": "00000000000000b0", "hostname": "rack1", "connected": true, "admitted": true, "address": "10.0.0.1:4", "capabilities": {"ct": "yes", "tc": "no"}, "ports": [{"port_no": 1}], "realized_revision": 9007199254740993},
	{"id": "00000000000000b1", "hostname": "ra\u001b[2Jck, \"2\"", "connected": false, "admitted": true, "address": null, "capabilities": {}, "ports": [], "realized_revision": 0}]}`

func TestEveryFormatOfAList(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"GET /switches": twoSwitches, "GET /switches?connected=false": `{"switches": []}`})
	list := func(args ...string) string { return s.run(append([]string{"switch", "list"}, args...)...) }
	want(t, `
ID                HOSTNAME            CONNECTED  ADMITTED  ADDRESS     VERSION  ERROR
00000000000000b0  rack1               true       true      10.0.0.1:4
00000000000000b1  ra\u001b[2Jck, "2"  false      true
`, list())
	want(t, "\n00000000000000b0  ct=yes tc=no  [{\"port_no\":1}]\n00000000000000b1\n",
		list("--columns", "id,capabilities,ports", "--no-headers"))
	want(t, "\nid,hostname,capabilities.ct,realized_revision\n00000000000000b0,rack1,yes,9007199254740993\n"+
		"00000000000000b1,\"ra\u001b[2Jck, \"\"2\"\"\",,0\n", list("-o", "csv", "--columns", "id,hostname,capabilities.ct,realized_revision"))
	want(t, `
[
{"id":"00000000000000b0","realized_revision":9007199254740993,"address":"10.0.0.1:4","none":null},
{"id":"00000000000000b1","realized_revision":0,"address":null,"none":null}
]
`, list("-o", "json", "--columns", "id,realized_revision,address,none"))
	want(t, `
- id: "00000000000000b0"
  capabilities:
    ct: "yes"
    tc: "no"
  address: "10.0.0.1:4"
- id: "00000000000000b1"
  capabilities: {}
  address: null
`, list("-o", "yaml", "--columns", "id,capabilities,address"))
	var whole []map[string]any
	if err := json.Unmarshal([]byte(list("-o", "json")), &whole); err != nil || len(whole) != 2 || len(whole[0]) != 8 {
		t.Errorf("JSON has %v, %v; want two switches with all 8 attributes", whole, err)
	}
	for format, empty := range map[string]string{
		"table": "ID  HOSTNAME  CONNECTED  ADMITTED  ADDRESS  VERSION  ERROR\n", "json": "[]\n", "yaml": "[]\n",
		"csv": "id,hostname,connected,admitted,address,version,error\n",
	} {
		want(t, empty, list("--connected=false", "-o", format))
	}
}

func TestEveryFormatOfOneObject(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"GET /switches/00000000000000b0": `{"switch": {"id": "00000000000000b0", "connected": true, "capabilities": {"ct": "yes"}, "mac": "12:34:56:12:34:56"}}`})
	for format, text := range map[string]string{
		"table": "FIELD         VALUE\nid            00000000000000b0\nconnected     true\ncapabilities  ct=yes\nmac           12:34:56:12:34:56\n",
		"csv":   "id,connected,capabilities,mac\n00000000000000b0,true,ct=yes,12:34:56:12:34:56\n",
		"json":  "{\n  \"id\": \"00000000000000b0\",\n  \"connected\": true,\n  \"capabilities\": {\n    \"ct\": \"yes\"\n  },\n  \"mac\": \"12:34:56:12:34:56\"\n}\n",
		"yaml":  "id: \"00000000000000b0\"\nconnected: true\ncapabilities:\n  ct: \"yes\"\nmac: \"12:34:56:12:34:56\"\n",
	} {
		want(t, text, s.run("switch", "show", "00000000000000b0", "-o", format))
	}
}

func TestWhatCameBeforeAnAnswerBrokeOffIsShown(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"GET /switches": `{"switches": [{"id": "a"}, {"id": "b"}, {"i`})
	for format, text := range map[string]string{
		"table": "ID\na\nb\n", "csv": "id\na\nb\n", "json": "[\n{\"id\":\"a\"},\n{\"id\":\"b\"}\n", "yaml": "- id: a\n- id: b\n",
	} {
		got, err := s.try("switch", "list", "--columns", "id", "-o", format)
		wantError(t, err, "broke off")
		want(t, text, got)
	}
	nothing := newStandIn(t, nil)
	for _, format := range formats {
		got, err := nothing.try("switch", "list", "-o", format)
		wantError(t, err, "NotFound: no GET /v2.0/switches")
		want(t, "", got)
	}
}

// A table does not wait for the end of a long list; later rows may be wider.
func TestALongTableIsWrittenAsItComes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tab := &table{w: &out, header: []string{"n"}}
	for i := range settle + 1 {
		if err := tab.row([]string{fmt.Sprint(i), "x"}); err != nil {
			t.Fatal(err)
		}
		if early := out.Len() > 0; early != (i >= settle-1) {
			t.Fatalf("written after %d rows: %t", i+1, early)
		}
	}
	if err := tab.end(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != settle+2 {
		t.Errorf("%d lines, want %d", got, settle+2)
	}
}

func TestSwitchesAreNamedByIDHostOrSystem(t *testing.T) {
	t.Parallel()
	const sw = `{"switch": {"id": "00000000000000b0", "admitted": true}}`
	s := newStandIn(t, map[string]string{
		"PUT /switches/00000000000000b0":          sw,
		"GET /switches?fields=id&hostname=rack1":  `{"switches": [{"id": "00000000000000b0"}]}`,
		"GET /switches?fields=id&hostname=rack2":  `{"switches": []}`,
		"GET /switches?fields=id&system_id=rack2": `{"switches": [{"id": "00000000000000b0"}]}`,
		"GET /switches?fields=id&hostname=twin":   `{"switches": [{"id": "00000000000000b0"}, {"id": "00000000000000b1"}]}`,
		"GET /switches?fields=id&hostname=none":   `{"switches": []}`,
		"GET /switches?fields=id&system_id=none":  `{"switches": []}`,
		"POST /switches":                          sw,
		"DELETE /switches/00000000000000b0":       "",
	})
	want(t, "\n00000000000000b0\n00000000000000b0\n", s.run("switch", "admit", "00000000000000b0", "rack1", "--columns", "id", "--no-headers"))
	s.wantRequests(`PUT /switches/00000000000000b0 {"switch":{"admitted":true}}`,
		"GET /switches?fields=id&hostname=rack1", `PUT /switches/00000000000000b0 {"switch":{"admitted":true}}`)
	s.run("switch", "refuse", "rack2")
	s.wantRequests("GET /switches?fields=id&hostname=rack2", "GET /switches?fields=id&system_id=rack2", `PUT /switches/00000000000000b0 {"switch":{"admitted":false}}`)
	s.run("switch", "add", "00000000000000B0")
	s.run("switch", "add", "--system-id", "5d", "--refused")
	s.wantRequests(`POST /switches {"switch":{"admitted":true,"id":"00000000000000B0"}}`, `POST /switches {"switch":{"admitted":false,"system_id":"5d"}}`)
	want(t, "", s.run("switch", "remove", "rack1"))
	s.wantRequests("GET /switches?fields=id&hostname=rack1", "DELETE /switches/00000000000000b0")
	_, err := s.try("switch", "remove", "twin")
	wantError(t, err, `2 have the name "twin"`, "00000000000000b0, 00000000000000b1")
	_, err = s.try("switch", "show", "none")
	wantError(t, err, `there is no switch "none"`)
}

func TestTheSwitchesThatWereTurnedAwayAreShownWithTheReason(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"GET /switches?admitted=false": `{"switches": [{"id": "b1", "address": "10.0.0.9:1", "turned_away_reason": "not listed"}]}`})
	want(t, "\nID  HOSTNAME  ADDRESS     TURNED_AWAY_AT  TURNED_AWAY_REASON\nb1            10.0.0.9:1                  not listed\n", s.run("switch", "list", "--admitted=false"))
}

func TestTheShellCompletesNamesAndFormats(t *testing.T) {
	t.Parallel()
	s := newStandIn(t, map[string]string{"GET /switches?fields=id&fields=id": twoSwitches})
	want(t, "\n00000000000000b1\n:4\n", s.run("__complete", "switch", "admit", "00000000000000b0", "00"))
	want(t, "\ntable\njson\nyaml\ncsv\n:4\n", s.run("__complete", "switch", "list", "-o", ""))
}
