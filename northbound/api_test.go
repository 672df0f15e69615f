package northbound

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

const tokensText = `
tokens:
  - {token: admin, user: root, tenant_id: ops, roles: [admin]}
  - {token: red, user: alice, tenant_id: red, roles: [member]}
  - {token: blue, user: bob, tenant_id: blue, roles: [member, reader]}
  - {token: red-reader, user: carol, tenant_id: red, roles: [reader]}
`

// api is a whole northbound on a database of its own.
type api struct {
	t     testing.TB
	url   string
	pg    string // address of the database; setup gives it
	store *store.Store
	logs  *observer.ObservedLogs

	handler http.Handler

	// twice makes each object by two requests with one Idempotency-Key.
	twice bool
	keys  int
}

func setup(t testing.TB) *api {
	t.Helper()
	pg := storetest.URL(t)
	a := setupOn(t, storetest.Open(t, pg), func(*Options) {})
	a.pg = pg
	return a
}

// setupOn is setup on a given store, with other options.
func setupOn(t testing.TB, st *store.Store, change func(*Options)) *api {
	t.Helper()
	tokens, err := parseTokens([]byte(tokensText))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	o := Options{Store: st, Tokens: tokens, Log: zap.New(core), Metrics: prometheus.NewRegistry()}
	change(&o)
	handler := New(o)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return &api{t: t, url: srv.URL, store: st, logs: logs, handler: handler}
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	text   string
}

func (a *api) do(method, path, token, body string) answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	return a.send(req)
}

func (a *api) send(req *http.Request) answer {
	a.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if !strings.HasPrefix(resp.Header.Get("X-Openstack-Request-Id"), "req-") {
		a.t.Errorf("%s %s: no request id", req.Method, req.URL.Path)
	}
	got := answer{resp.StatusCode, resp.Header, string(text)}
	d, err := theDocument()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := d.check(req.Method, req.URL, got); err != nil {
		a.t.Errorf("OpenAPI: %v", err)
	}
	return got
}

// want asks and ends the test at another code.
func (a *api) want(code int, method, path, token, body string) answer {
	a.t.Helper()
	got := a.do(method, path, token, body)
	if got.code != code {
		a.t.Fatalf("%s %s %s: code %d, want %d: %s", method, path, body, got.code, code, got.text)
	}
	return got
}

// make posts an object and returns what is in the answer's root key.
func (a *api) make(path, token, body string) map[string]any {
	a.t.Helper()
	if a.twice {
		a.keys++
		key := fmt.Sprint("key ", a.keys)
		first := a.post(strings.TrimPrefix(path, "/v2.0/"), token, key, body)
		if first.code != http.StatusCreated {
			a.t.Fatalf("%s %s: %d %s", path, body, first.code, first.text)
		}
		wantReplay(a.t, first, a.post(strings.TrimPrefix(path, "/v2.0/"), token, key, body))
		return first.object(a.t)
	}
	return a.want(http.StatusCreated, http.MethodPost, path, token, body).object(a.t)
}

// object is what is under the one root key of an answer.
func (r answer) object(t testing.TB) map[string]any {
	t.Helper()
	var root map[string]map[string]any
	if err := json.Unmarshal([]byte(r.text), &root); err != nil || len(root) != 1 {
		t.Fatalf("no object under one key: %v: %s", err, r.text)
	}
	for _, o := range root {
		return o
	}
	return nil
}

// list is the list under the one root key of an answer.
func (r answer) list(t testing.TB) []map[string]any {
	t.Helper()
	var root map[string][]map[string]any
	if err := json.Unmarshal([]byte(r.text), &root); err != nil || len(root) != 1 {
		t.Fatalf("no list under one key: %v: %s", err, r.text)
	}
	for _, l := range root {
		return l
	}
	return nil
}

// message is the text of a NeutronError.
func (r answer) message(t testing.TB) (kind, message string) {
	t.Helper()
	var body map[string]map[string]string
	if err := json.Unmarshal([]byte(r.text), &body); err != nil {
		t.Fatalf("no NeutronError: %s", r.text)
	}
	e := body["NeutronError"]
	if _, hasDetail := e["detail"]; len(body) != 1 || len(e) != 3 || !hasDetail || e["type"] == "" || e["message"] == "" {
		t.Fatalf("no NeutronError with type, message and detail: %s", r.text)
	}
	return e["type"], e["message"]
}

// idOf returns the id of an object.
func idOf(o map[string]any) string { return fmt.Sprint(o["id"]) }

var (
	timePattern = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`)
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// wantBody compares a whole answer. Ids are named in the order in which they
// first appear over all calls with the same names: ID1, ID2, …; times are TIME.
func (a *api) wantBody(names map[string]string, got answer, want string) {
	a.t.Helper()
	text := timePattern.ReplaceAllString(got.text, `"TIME"`)
	text = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		if names[id] == "" {
			names[id] = fmt.Sprintf("ID%d", len(names)+1)
		}
		return names[id]
	})
	if diff := cmp.Diff(indented(a.t, want), indented(a.t, text)); diff != "" {
		a.t.Errorf("body (-want +got):\n%s", diff)
	}
}

func indented(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", " "); err != nil {
		t.Fatalf("no JSON: %v: %s", err, text)
	}
	return b.String()
}

// snapshot is all that the API shows an administrator.
func (a *api) snapshot() map[string]string {
	a.t.Helper()
	all := map[string]string{}
	for _, r := range resources(nil) {
		_, _, path := r.names()
		if path = a.place(path); path != "" {
			all[path] = indented(a.t, a.want(http.StatusOK, http.MethodGet, "/v2.0/"+path, "admin", "").text)
		}
	}
	return all
}

// place is a path with the first object of the collection around it in the
// place of its parameter; empty: there is no such object.
func (a *api) place(path string) string {
	a.t.Helper()
	around, rest, nested := strings.Cut(path, "/{")
	if !nested {
		return path
	}
	_, rest, _ = strings.Cut(rest, "}")
	if all := a.want(http.StatusOK, http.MethodGet, "/v2.0/"+around, "admin", "").list(a.t); len(all) > 0 {
		return around + "/" + idOf(all[0]) + rest
	}
	return ""
}
