package northbound

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store/storetest"
)

func TestCallersThatKeystoneKnowsActByTheirRoles(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	a := setupOn(t, storetest.New(t), func(o *Options) { o.Keystone = k })
	admin, member, reader := f.issue("admin", "cloud", "admin", "other"), f.issue("member", "p1", "reader", "member"), f.issue("reader", "p1", "reader")
	network := idOf(a.make("/v2.0/networks", member, `{"network": {"name": "n"}}`))
	if got := a.want(200, "GET", "/v2.0/networks/"+network, admin, "").object(t); got["tenant_id"] != "p1" {
		t.Errorf("a member's network is %v", got)
	}
	a.want(200, "GET", "/v2.0/networks/"+network, reader, "")
	a.want(403, "DELETE", "/v2.0/networks/"+network, reader, "")
	a.want(404, "GET", "/v2.0/networks/"+network, f.issue("stranger", "p2", "member"), "")
	a.want(200, "GET", "/v2.0/networks/"+network, "admin", "") // of the tokens file

	got := a.want(401, "GET", "/v2.0/networks", "unknown", "")
	if want := `Keystone uri="` + f.srv.URL + `/v3"`; got.header.Get("WWW-Authenticate") != want {
		t.Errorf("WWW-Authenticate %s, want %s", got.header.Get("WWW-Authenticate"), want)
	}
	a.make("/v2.0/tenants", admin, `{"tenant": {"id": "p2", "enabled": false}}`)
	a.want(403, "GET", "/v2.0/networks", "secret-stranger", "")
	for _, name := range []string{"admin", "member"} {
		found := false
		for _, e := range a.logs.FilterMessage("request").All() {
			found = found || e.ContextMap()["user"] == "u-"+name
		}
		if !found {
			t.Errorf("the access log does not name u-%s", name)
		}
	}
}

func TestRolesOfKeystone(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	issue := func(name, project string, more map[string]any, roles ...string) string {
		token := f.issue(name, project, roles...)
		for key, v := range more {
			f.tokens[token][key] = v
		}
		return token
	}
	domain := map[string]any{"domain": map[string]any{"id": "default", "name": "Default"}}
	system := map[string]any{"system": map[string]any{"all": true}}
	for _, c := range []struct {
		token string
		want  principal
		code  int
	}{
		{token: issue("a", "p", nil, "admin"), want: principal{"u-a", "p", true, true}},
		{token: issue("b", "p", nil, "member"), want: principal{"u-b", "p", false, true}},
		{token: issue("c", "p", nil, "reader"), want: principal{"u-c", "p", false, false}},
		{token: issue("d", "p", map[string]any{"is_admin_project": false}, "admin"), want: principal{"u-d", "p", false, true}},
		{token: issue("e", "p", map[string]any{"is_admin_project": true}, "admin"), want: principal{"u-e", "p", true, true}},
		{token: issue("f", "", system, "admin"), want: principal{"u-f", "", true, true}},
		{token: issue("g", "", system, "reader"), code: 403},
		{token: issue("h", "", domain, "admin"), code: 403},
		{token: issue("i", "", nil), code: 403},
		{token: issue("j", "p", nil, "heat_stack_owner", "Admin"), code: 403},
		{token: issue("k", "p", nil), code: 403},
		{token: issue("l", "p", map[string]any{"expires_at": "2020-01-01T00:00:00.000000Z"}, "admin"), code: 401},
	} {
		for range 2 { // asked, and remembered
			who, err := k.identify(t.Context(), c.token, somewhere)
			if c.code != 0 {
				if e := asAPIError(t.Context(), zap.NewNop(), err); err == nil || e.code != c.code {
					t.Errorf("%s: %+v, %v; want %d", c.token, who, err, c.code)
				}
			} else if err != nil || who != c.want {
				t.Errorf("%s: %+v, %v; want %+v", c.token, who, err, c.want)
			}
		}
	}
}

func TestATokenIsAskedForOnceHoweverManyCome(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	token := f.issue("alice", "p", "member")
	hang := make(chan struct{})
	f.change(func() { f.hang = hang })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := outcome(t, k, token); got != "u-alice" {
				t.Errorf("got %s", got)
			}
		})
	}
	await(t, func() bool { checks, _ := f.counts(); return checks == 1 })
	close(hang)
	wg.Wait()
	for range 100 {
		outcome(t, k, token)
	}
	if checks, logins := f.counts(); checks != 1 || logins != 1 {
		t.Errorf("%d checks and %d logins, want 1 and 1", checks, logins)
	}
}

// await waits for a condition until the test binary runs out of time.
func await(t testing.TB, condition func() bool) {
	t.Helper()
	for !condition() {
		select {
		case <-t.Context().Done():
			t.Fatal("it did not come to pass")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestARevokedTokenIsRefusedWithinAMinute(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	idle, busy := f.issue("idle", "p", "admin"), f.issue("busy", "p", "admin")
	for _, token := range []string{idle, busy} {
		if got := outcome(t, k, token); !strings.HasPrefix(got, "u-") {
			t.Fatalf("%s: %s", token, got)
		}
		f.revoke(token)
	}
	f.pass(keystoneRecheck) // from now on it is checked beside the requests
	await(t, func() bool { return outcome(t, k, busy) == "401" })
	f.pass(keystoneTrust - keystoneRecheck) // and now before them
	if got := outcome(t, k, idle); got != "401" {
		t.Errorf("%v after it was revoked: %s, want 401", keystoneTrust, got)
	}
	if keystoneTrust+keystoneTimeout > time.Minute {
		t.Errorf("it may take %v", keystoneTrust+keystoneTimeout)
	}
}

// What is revoked while its answer is on the way counts from the question on.
func TestAnAnswerIsAsOldAsItsQuestion(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	token := f.issue("alice", "p", "admin")
	hang := make(chan struct{})
	f.change(func() { f.hang = hang })
	got := make(chan string, 1)
	go func() { got <- outcome(t, k, token) }()
	await(t, func() bool { checks, _ := f.counts(); return checks == 1 })
	f.pass(keystoneTimeout)
	close(hang)
	if got := <-got; got != "u-alice" {
		t.Fatal(got)
	}
	f.revoke(token)
	f.pass(keystoneTrust - keystoneTimeout)
	if got := outcome(t, k, token); got != "401" {
		t.Errorf("%v after it was asked for: %s, want 401", keystoneTrust, got)
	}
}

func TestATokenEndsWhenItExpiresEvenIfKeystoneIsDown(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	token := f.issue("alice", "p", "member")
	f.change(func() { f.tokens[token]["expires_at"] = f.now.Add(10 * time.Second).UTC().Format(time.RFC3339) })
	if got := outcome(t, k, token); got != "u-alice" {
		t.Fatal(got)
	}
	f.srv.Close()
	f.pass(9 * time.Second)
	if got := outcome(t, k, token); got != "u-alice" {
		t.Errorf("before its end: %s", got)
	}
	f.pass(time.Second)
	if got := outcome(t, k, token); got != "401" {
		t.Errorf("at its end: %s, want 401", got)
	}
}

func TestWithoutKeystoneOnlyWhatWasJustCheckedIsKnown(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, logs := f.asked(asIs)
	a := setupOn(t, storetest.New(t), func(o *Options) { o.Keystone = k })
	known, fresh := f.issue("known", "p", "member"), f.issue("fresh", "p", "member")
	a.want(200, "GET", "/v2.0/networks", known, "")
	down := func(w http.ResponseWriter, _ *http.Request) { // the connection breaks
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = conn.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	f.change(func() { f.instead = down })
	got := a.want(503, "GET", "/v2.0/networks", fresh, "")
	if kind, message := got.message(t); kind != "ServiceUnavailable" || !strings.Contains(message, "identity") || got.header.Get("Retry-After") == "" {
		t.Errorf("%s %s, Retry-After %q", kind, message, got.header.Get("Retry-After"))
	}
	a.want(200, "GET", "/v2.0/networks", known, "")
	a.want(200, "GET", "/v2.0/networks", "red", "")
	f.pass(keystoneTrust)
	a.want(503, "GET", "/v2.0/networks", known, "") // might be revoked by now
	f.change(func() { f.instead = nil })
	f.pass(keystoneRest)
	a.want(200, "GET", "/v2.0/networks", known, "")
	a.want(200, "GET", "/v2.0/networks", fresh, "")
	if n := logs.FilterMessage("tokens cannot be checked").Len(); n == 0 || n > 2 || logs.FilterMessage("Keystone answers again").Len() != 1 {
		t.Errorf("log: %v", logs.All())
	}
}

func TestADeadServerIsNotAskedForEveryToken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	met := 0
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			met++
			mu.Unlock()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	f := newFakeKeystone(t) // for its clock
	k, _ := f.asked(func(o *KeystoneOptions) { o.URL = "http://" + ln.Addr().String() })
	for i := range 100 {
		if got := outcome(t, k, fmt.Sprint("secret-", i)); got != "503" {
			t.Fatalf("got %s", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if met > 3 { // net/http may try again by itself
		t.Errorf("it was called %d times in the same second", met)
	}
}

func TestASlowKeystoneHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	first := f.issue("first", "p", "member")
	outcome(t, k, first) // has a token of our own made
	k.timeout = 20 * time.Millisecond
	hang := make(chan struct{})
	f.change(func() { f.hang = hang })
	var wg sync.WaitGroup
	for i := range 100 {
		token := f.issue(fmt.Sprint("u", i), "p", "member")
		wg.Go(func() {
			if got := outcome(t, k, token); got != "503" {
				t.Errorf("got %s, want 503", got)
			}
		})
	}
	wg.Wait() // nothing lets them go but the deadline
	if got := outcome(t, k, first); got != "u-first" {
		t.Errorf("a token that is known: %s", got)
	}
	if f.most > keystoneChecks {
		t.Errorf("%d checks at a time, want at most %d", f.most, keystoneChecks)
	}
	close(hang)
	k.timeout = keystoneTimeout
	f.change(func() { f.hang = nil })
	f.pass(keystoneRest)
	if got := outcome(t, k, "secret-u7"); got != "u-u7" {
		t.Errorf("when it is quick again: %s", got)
	}
}

func TestWhoWaitsForKeystoneMayLeave(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	token := f.issue("alice", "p", "member")
	hang := make(chan struct{})
	f.change(func() { f.hang = hang })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := k.identify(ctx, token, somewhere); left <- err }()
	stayed := make(chan string, 1)
	go func() { stayed <- outcome(t, k, token) }()
	await(t, func() bool { checks, _ := f.counts(); return checks == 1 })
	leave()
	if err := <-left; err == nil {
		t.Error("who left got an answer")
	}
	close(hang)
	if got := <-stayed; got != "u-alice" {
		t.Errorf("who stayed got %s", got)
	}
}

func TestAFloodOfBadTokensReachesNeitherKeystoneNorTheKnown(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	k.refused = newCache[time.Time](50)
	good := f.issue("good", "p", "member")
	outcome(t, k, good)
	codes := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	const each = 500
	for w := range 8 {
		wg.Go(func() {
			for i := range each {
				got := outcome(t, k, fmt.Sprintf("bad-secret-%d-%d", w, i))
				mu.Lock()
				codes[got]++
				mu.Unlock()
				if i%50 == 0 {
					if got := outcome(t, k, good); got != "u-good" {
						t.Errorf("a known token gets %s", got)
					}
				}
			}
		})
	}
	wg.Wait()
	checks, _ := f.counts()
	if codes["401"]+codes["429"] != 8*each || codes["401"] < badTokensAtOnce || codes["401"] > badTokensAtOnce+8 || checks > badTokensAtOnce+8+1 {
		t.Errorf("answers %v after %d checks, want about %d of 401", codes, checks, badTokensAtOnce)
	}
	if k.refused.len() > 50 || k.known.len() != 1 {
		t.Errorf("%d refused and %d known tokens are remembered", k.refused.len(), k.known.len())
	}
	_, err := k.identify(t.Context(), "bad-secret", somewhere)
	later, ok := err.(*waitError)
	if !ok || later.wait <= 0 || later.code != 429 {
		t.Errorf("got %v, want a time to wait", err)
	}
	// Others are not held responsible, and he himself not for ever.
	fresh := f.issue("fresh", "p", "member")
	if _, err := k.identify(t.Context(), fresh, netip.MustParsePrefix("192.0.2.2/32")); err != nil {
		t.Errorf("from another address: %v", err)
	}
	f.pass(time.Second)
	if got := outcome(t, k, f.issue("later", "p", "member")); got != "u-later" {
		t.Errorf("a second later: %s", got)
	}
}

func TestABadTokenIsAskedForOnceInAWhile(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	for range 1000 {
		if got := outcome(t, k, "secret-alice"); got != "401" {
			t.Fatalf("got %s", got)
		}
	}
	if checks, _ := f.counts(); checks != 1 {
		t.Errorf("%d checks, want 1", checks)
	}
	token := f.issue("alice", "p", "member") // as of a Keystone whose parts do not agree yet
	f.pass(keystoneDoubt)
	if got := outcome(t, k, token); got != "u-alice" {
		t.Errorf("got %s", got)
	}
}

func TestMacloomRenewsItsOwnToken(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	logins := func(want int, why string) {
		t.Helper()
		if _, got := f.counts(); got != want {
			t.Errorf("%s: %d logins, want %d", why, got, want)
		}
	}
	asked := 0
	ask := func(want string) {
		t.Helper()
		asked++
		token := f.issue(fmt.Sprint("n", asked), "p", "member")
		if got := outcome(t, k, token); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	ask("u-")
	logins(1, "at first")
	f.pass(50 * time.Minute)
	ask("u-")
	logins(1, "after a while")
	f.pass(5 * time.Minute) // of the hour 9/10
	ask("u-")
	logins(2, "before it expires")
	f.revoke("own-secret-2")
	f.pass(time.Second)
	ask("u-")
	logins(3, "when it was revoked")
	f.revoke("own-secret-3")
	f.change(func() { f.password = "another" })
	for range 20 {
		f.change(func() { f.now = f.now.Add(time.Millisecond) })
		ask("503")
	}
	logins(4, "while the password is wrong")
	f.change(func() { f.password = "pass-secret" })
	f.pass(keystoneRest)
	ask("u-")
	logins(5, "when it is right again")
}

func TestATokenOfTheOperatorIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(func(o *KeystoneOptions) {
		*o = KeystoneOptions{URL: f.srv.URL + "/v3/", Token: "service-secret", Project: "service", Domain: "Default", Log: o.Log}
	})
	token := f.issue("alice", "p", "member")
	if got := outcome(t, k, token); got != "503" {
		t.Errorf("with a token that Keystone does not know: %s", got)
	}
	f.change(func() { f.tokens["service-secret"] = f.describe("u-macloom", "service") })
	if got := outcome(t, k, token); got != "u-alice" {
		t.Errorf("got %s", got)
	}
	if _, logins := f.counts(); logins != 0 {
		t.Errorf("%d logins", logins)
	}
}

func TestAStrangeKeystoneIsNotBelieved(t *testing.T) {
	t.Parallel()
	var stolen sync.Map
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen.Store(r.URL.Path, true) }))
	t.Cleanup(thief.Close)
	say := func(code int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	valid := `"user": {"id": "u"}, "project": {"id": "p"}, "roles": [{"name": "admin"}]`
	for name, instead := range map[string]func(http.ResponseWriter, *http.Request){
		"no JSON":        say(200, `<html>`),
		"empty":          say(200, ``),
		"another object": say(200, `{"access": {}}`),
		"null":           say(200, `{"token": null}`),
		"no expiry":      say(200, `{"token": {`+valid+`}}`),
		"strange expiry": say(200, `{"token": {"expires_at": "soon", `+valid+`}}`),
		"no user":        say(200, `{"token": {"expires_at": "2999-01-01T00:00:00Z", "project": {"id": "p"}, "roles": [{"name": "admin"}]}}`),
		"a long project": say(200, `{"token": {"expires_at": "2999-01-01T00:00:00Z", "user": {"id": "u"}, "project": {"id": "`+strings.Repeat("p", 256)+`"}}}`),
		"a NUL":          say(200, `{"token": {"expires_at": "2999-01-01T00:00:00Z", "user": {"id": "u"}, "project": {"id": "a\u0000b"}}}`),
		"endless":        func(w http.ResponseWriter, r *http.Request) { pour(w, r) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, "{")
		},
		"broken":          say(500, `{}`),
		"forbidding":      say(403, `{}`),
		"another success": say(204, ``),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+"/v3/auth/tokens", http.StatusTemporaryRedirect)
		},
	} {
		f := newFakeKeystone(t)
		k, _ := f.asked(func(o *KeystoneOptions) { o.Token, o.User, o.Password, o.Project = "service-secret", "", "", "" })
		f.change(func() { f.instead = instead })
		if got := outcome(t, k, "secret-alice"); got != "503" {
			t.Errorf("%s: %s, want 503", name, got)
		}
		if k.known.len() != 0 || k.refused.len() != 0 {
			t.Errorf("%s: something was remembered", name)
		}
	}
	stolen.Range(func(path, _ any) bool { t.Errorf("%v was asked of another host", path); return true })
}

// pour answers until nobody listens any more.
func pour(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"token": "`)
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
			return
		}
	}
}

func TestWhatCannotBeATokenIsNotAskedFor(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	k, _ := f.asked(asIs)
	for _, token := range []string{"a b", "a\r\nX-Evil: 1", "a\x00", "ünï", strings.Repeat("x", maxTokenLength+1)} {
		if got := outcome(t, k, token); got != "401" {
			t.Errorf("%q: %s, want 401", token, got)
		}
	}
	if checks, logins := f.counts(); checks+logins != 0 {
		t.Errorf("Keystone was asked: %d checks, %d logins", checks, logins)
	}
}

func TestKeystoneIsAskedByTLS(t *testing.T) {
	t.Parallel()
	f := newFakeKeystone(t)
	secure := httptest.NewTLSServer(f)
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	token := f.issue("alice", "p", "member")
	for file, want := range map[string]string{ca: "u-alice", "": "503"} {
		k, _ := f.asked(func(o *KeystoneOptions) { o.URL, o.CACert = secure.URL, file })
		if got := outcome(t, k, token); got != want {
			t.Errorf("with the authorities of %q: %s, want %s", file, got, want)
		}
	}
}

func TestBadOptionsOfKeystoneAreNamed(t *testing.T) {
	t.Parallel()
	good := KeystoneOptions{URL: "http://k:5000", User: "u", Password: "pass-secret", Project: "p", Domain: "d", Log: zap.NewNop()}
	for want, change := range map[string]func(*KeystoneOptions){
		"http://HOST:PORT": func(o *KeystoneOptions) { o.URL = "keystone:5000" },
		"without a path":   func(o *KeystoneOptions) { o.URL = "http://u:pass-secret@k" },
		"with password":    func(o *KeystoneOptions) { o.Password = "" },
		"and domain":       func(o *KeystoneOptions) { o.Domain = "" },
		"either a token":   func(o *KeystoneOptions) { o.Token = "t-secret" },
		"a header cannot":  func(o *KeystoneOptions) { o.Token, o.User, o.Password, o.Project = "a secret", "", "", "" },
		"no such file":     func(o *KeystoneOptions) { o.CACert = "/nowhere/ca.pem" },
		"no PEM":           func(o *KeystoneOptions) { o.CACert = os.DevNull },
	} {
		o := good
		change(&o)
		if _, err := NewKeystone(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for url, want := range map[string]string{
		"http://k:5000": "http://k:5000/v3", "http://k:5000/": "http://k:5000/v3", "https://k/identity/v3/": "https://k/identity/v3", "https://k/identity": "https://k/identity/v3",
	} {
		o := good
		o.URL = url
		k, err := NewKeystone(o)
		if err != nil || k.base != want {
			t.Errorf("%s: %v; want %s", url, err, want)
		}
	}
}

func TestSendersAreCountedByNetwork(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	want := map[string]string{
		"192.0.2.7:80": "192.0.2.7/32", "[::ffff:192.0.2.7]:80": "192.0.2.7/32", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "@": "invalid Prefix",
	}
	for remote := range want {
		got[remote] = network(remote).String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
