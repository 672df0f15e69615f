package northbound

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// fakeKeystone is an HTTP server that speaks as much of the Identity API v3 as
// a service needs that checks tokens.
type fakeKeystone struct {
	t   testing.TB
	srv *httptest.Server

	mu       sync.Mutex
	now      time.Time
	password string
	tokens   map[string]map[string]any // what is said of each that is valid
	made     int                       // tokens made by logins
	logins   int
	checks   int
	inside   int                                      // checks at the moment
	most     int                                      // checks at a moment
	hang     chan struct{}                            // checks wait for it
	instead  func(http.ResponseWriter, *http.Request) // answers everything
}

func newFakeKeystone(t testing.TB) *fakeKeystone {
	t.Helper()
	f := &fakeKeystone{t: t, now: time.Unix(1_800_000_000, 0), password: "pass-secret", tokens: map[string]map[string]any{}}
	f.srv = httptest.NewServer(f)
	t.Cleanup(f.srv.Close)
	return f
}

// asked is a Keystone that asks f with a password, on the clock of f.
func (f *fakeKeystone) asked(change func(*KeystoneOptions)) (*Keystone, *observer.ObservedLogs) {
	f.t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	o := KeystoneOptions{URL: f.srv.URL, User: "macloom", Password: "pass-secret", Project: "service", Domain: "Default", Log: zap.New(core)}
	change(&o)
	k, err := NewKeystone(o)
	if err != nil {
		f.t.Fatal(err)
	}
	k.now = f.time
	k.http.Transport = &counted{f, k.http.Transport}
	f.t.Cleanup(func() {
		for _, e := range logs.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "secret") {
				f.t.Errorf("a secret was logged: %s", text)
			}
		}
	})
	return k, logs
}

func asIs(*KeystoneOptions) {}

// counted counts the checks that somebody waits for. The server cannot: it
// learns later that nobody waits any more.
type counted struct {
	f  *fakeKeystone
	to http.RoundTripper
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		c.f.change(func() { c.f.inside++; c.f.most = max(c.f.most, c.f.inside) })
		defer c.f.change(func() { c.f.inside-- })
	}
	return c.to.RoundTrip(r)
}

func (f *fakeKeystone) time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeKeystone) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// change changes f under its lock.
func (f *fakeKeystone) change(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

// issue makes a token of an hour for user u-NAME.
func (f *fakeKeystone) issue(name, project string, roles ...string) (token string) {
	token = "secret-" + name
	f.change(func() { f.tokens[token] = f.describe("u-"+name, project, roles...) })
	return token
}

func (f *fakeKeystone) describe(user, project string, roles ...string) map[string]any {
	t := map[string]any{
		"methods": []string{"password"}, "issued_at": f.now.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"expires_at": f.now.Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"),
		"user":       map[string]any{"id": user, "name": "name of " + user, "domain": map[string]any{"id": "default", "name": "Default"}, "password_expires_at": nil},
		"audit_ids":  []string{"mAjXQhiYRyKwkB4qygdLVg"},
	}
	if project != "" {
		t["project"] = map[string]any{"id": project, "name": "name of " + project, "domain": map[string]any{"id": "default", "name": "Default"}}
	}
	var list []map[string]string
	for _, r := range roles {
		list = append(list, map[string]string{"id": "id of " + r, "name": r})
	}
	t["roles"] = list
	return t
}

func (f *fakeKeystone) revoke(token string) { f.change(func() { delete(f.tokens, token) }) }

func (f *fakeKeystone) counts() (checks, logins int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checks, f.logins
}

func (f *fakeKeystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	instead := f.instead
	f.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case r.URL.Path != "/v3/auth/tokens":
		http.Error(w, "no such path", http.StatusTeapot)
	case r.Method == http.MethodPost:
		f.logIn(w, r)
	case r.Method == http.MethodGet:
		f.check(w, r)
	}
}

func (f *fakeKeystone) logIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Auth struct {
			Identity struct {
				Methods  []string
				Password struct {
					User struct {
						Name, Password string
						Domain         struct{ Name string }
					}
				}
			}
			Scope struct {
				Project struct {
					Name   string
					Domain struct{ Name string }
				}
			}
		}
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	user, project := body.Auth.Identity.Password.User, body.Auth.Scope.Project
	if err != nil || len(body.Auth.Identity.Methods) != 1 || body.Auth.Identity.Methods[0] != "password" || user.Name != "macloom" ||
		user.Password != f.password || user.Domain.Name != "Default" || project.Name != "service" || project.Domain.Name != "Default" {
		f.answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"code": 401, "message": "no", "title": "Unauthorized"}})
		return
	}
	f.made++
	token := fmt.Sprint("own-secret-", f.made)
	f.tokens[token] = f.describe("u-macloom", "service", "service")
	w.Header().Set("X-Subject-Token", token)
	f.answer(w, http.StatusCreated, map[string]any{"token": f.tokens[token]})
}

func (f *fakeKeystone) check(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.checks++
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.tokens[r.Header.Get("X-Auth-Token")]; !ok {
		f.answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"code": 401, "message": "no", "title": "Unauthorized"}})
		return
	}
	t, ok := f.tokens[r.Header.Get("X-Subject-Token")]
	if !ok {
		f.answer(w, http.StatusNotFound, map[string]any{"error": map[string]any{"code": 404, "message": "no", "title": "Not Found"}})
		return
	}
	w.Header().Set("X-Subject-Token", r.Header.Get("X-Subject-Token"))
	f.answer(w, http.StatusOK, map[string]any{"token": t})
}

func (f *fakeKeystone) answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the asker may have gone
}

var somewhere = netip.MustParsePrefix("192.0.2.1/32")

// outcome is who a token is of, or the status code and Retry-After of the
// refusal.
func outcome(t testing.TB, k *Keystone, token string) string {
	t.Helper()
	who, err := k.identify(t.Context(), token, somewhere)
	if err == nil {
		return who.user
	}
	e := asAPIError(t.Context(), zap.NewNop(), err)
	return codeText(e.code)
}
