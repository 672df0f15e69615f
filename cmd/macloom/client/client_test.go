package client

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve returns a client of a stand-in for the API.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return open(t, Options{URL: s.URL, Token: "secret", TokenSource: "of the test", Timeout: time.Minute})
}

func open(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	c.pause = func(context.Context, time.Duration) error { return nil }
	return c
}

func get(path ...string) Request { return Request{Method: http.MethodGet, Path: path} }

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
}

func TestARequestCarriesTokenPathQueryAndBody(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("X-Auth-Token"), " ", r.Header.Get("Content-Type"), " ", string(body))
		fmt.Fprintf(w, `{"got": %q}`, got)
	})
	raw, err := c.Object(t.Context(), Request{
		Method: http.MethodPut, Path: []string{"mac-segments", "a/b ..", ".."}, Query: url.Values{"x": {"1 2"}}, Body: map[string]int{"n": 1},
	}, "got")
	if err != nil {
		t.Fatal(err)
	}
	want := `"PUT /v2.0/mac-segments/a%2Fb%20../%2E%2E?x=1+2 secret application/json {\"n\":1}"`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestAReadWaitsForAServerThatIsNotAvailable(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= 2 {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"x": 1}`)
	})
	var waits []time.Duration
	c.pause = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	if _, err := c.Object(t.Context(), get("x"), "x"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Duration{maxWait, maxWait}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}

func TestHowOftenARequestIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, retryAfter string
		status                   int
		want                     int32
	}{
		{"a read", http.MethodGet, "1", http.StatusServiceUnavailable, 1 + maxRetries},
		{"a read without Retry-After", http.MethodGet, "", http.StatusServiceUnavailable, 1},
		{"a read too many", http.MethodGet, "1", http.StatusTooManyRequests, 1 + maxRetries},
		{"a write too many", http.MethodPost, "1", http.StatusTooManyRequests, 1 + maxRetries},
		{"a read that fails", http.MethodGet, "1", http.StatusInternalServerError, 1},
		{"a write", http.MethodPost, "1", http.StatusServiceUnavailable, 1},
		{"a delete", http.MethodDelete, "1", http.StatusServiceUnavailable, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Retry-After", c.retryAfter)
				w.Header().Set("X-Openstack-Request-Id", "req-7")
				w.WriteHeader(c.status)
				io.WriteString(w, `{"NeutronError": {"type": "ServiceUnavailable", "message": "Try again.", "detail": ""}}`)
			})
			err := api.Do(t.Context(), Request{Method: c.method, Path: []string{"x"}})
			want := "ServiceUnavailable: Try again."
			if c.status >= http.StatusInternalServerError {
				want += " (request id req-7)"
			}
			wantError(t, err, want)
			if got := asked.Load(); got != c.want {
				t.Errorf("asked %d times, want %d", got, c.want)
			}
		})
	}
}

func TestErrorsSayWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body, want string
		status           int
	}{
		{"of the API", `{"NeutronError": {"type": "MacSegmentInUse", "message": "It is in use.", "detail": ""}}`, "MacSegmentInUse: It is in use.", 409},
		{"with what would move a cursor", `{"NeutronError": {"type": "X", "message": "a\u001b[2Jb"}}`, "X: a�[2Jb", 400},
		{"of a refused token", `{"error": {"code": 401}}`, "does not accept the token of the test", 401},
		{"of a proxy", "<h1>Bad\ngateway</h1>", "HTTP502: Bad Gateway: <h1>Bad", 502},
		{"without words", "", "HTTP404: Not Found", 404},
		{"that leads elsewhere", "", "HTTP307: Temporary Redirect", 307},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			err := api.Do(t.Context(), get("x"))
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("error %v, want the end %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

func TestAListComesEntryByEntry(t *testing.T) {
	t.Parallel()
	proceed := make(chan bool)
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"links": [{"rel": "next"}], "things": [{"n": 1}`)
		http.NewResponseController(w).Flush()
		<-proceed
		io.WriteString(w, `, {"n": 2}], "more": {}}`)
	})
	var got []string
	for raw, err := range api.List(t.Context(), get("things"), "things") {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(raw)); len(got) == 1 {
			close(proceed) // the server says the second only after the first was read
		}
	}
	if diff := cmp.Diff([]string{`{"n": 1}`, `{"n": 2}`}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatIsNotWhatItShouldBeIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"ends early", `{"things": [{"n": 1}, {"n"`, "broke off"},
		{"ends between entries", `{"things": [{"n": 1},`, "broke off"},
		{"ends before the last brace", `{"things": [{"n": 1}]`, "broke off"},
		{"is empty", ``, "broke off"},
		{"is a page", `<html>`, "not one of macloom"},
		{"is of another list", `{"others": []}`, `no list "things"`},
		{"is no list", `{"things": {}}`, "not one of macloom"},
		{"is not JSON inside", `{"things": [{]}`, "not one of macloom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, c.body) })
			var last error
			for _, err := range api.List(t.Context(), get("things"), "things") {
				last = err
			}
			wantError(t, last, c.want)
		})
	}
}

func TestAnEndlessEntryIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"things": ["`)
		for block := strings.Repeat("x", 1<<20); ; {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	})
	var last error
	for _, err := range api.List(t.Context(), get("things"), "things") {
		last = err
	}
	wantError(t, last, "an entry of more than")
}

func TestAServerThatSaysNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{"not a word": "", "half an answer": `{"things": [{"n": 1},`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					io.WriteString(w, begin)
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}))
			t.Cleanup(s.Close)
			api := open(t, Options{URL: s.URL, Timeout: 50 * time.Millisecond})
			var last error
			for _, err := range api.List(t.Context(), get("things"), "things") {
				last = err
			}
			wantError(t, last, "no answer in time")
		})
	}
}

func TestWhatHappenedToAWriteWithoutAnswerIsSaidNotToBeKnown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	api := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	wantError(t, api.Do(ctx, Request{Method: http.MethodPost, Path: []string{"x"}}), "interrupted", "is not known")
}

func TestNobodyListening(t *testing.T) {
	t.Parallel()
	api := open(t, Options{URL: "http://127.0.0.1:1/", Timeout: time.Minute})
	err := api.Do(t.Context(), Request{Method: http.MethodPost, Path: []string{"x"}})
	wantError(t, err, "cannot reach http://127.0.0.1:1:", "is the controller running there?")
	if strings.Contains(err.Error(), "not known") {
		t.Errorf("%v: but nothing was sent", err)
	}
}

func TestOnlyAnAuthorityThatWasNamedIsTrusted(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"x": 1}`) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, Options{URL: s.URL, CACert: file, Timeout: time.Minute}).Object(t.Context(), get("x"), "x"); err != nil {
		t.Errorf("with its certificate: %v", err)
	}
	_, err := open(t, Options{URL: s.URL, Timeout: time.Minute}).Object(t.Context(), get("x"), "x")
	wantError(t, err, "is not trusted", "--cacert")
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"127.0.0.1:9696", "ftp://x", "http://", "http://u:p@x", "http://x?y", ":"} {
		if _, err := New(Options{URL: text}); err == nil {
			t.Errorf("%q passed", text)
		}
	}
	c, err := New(Options{URL: "http://x:1/net/v2.0/"})
	if err != nil || c.base.String() != "http://x:1/net" {
		t.Errorf("base %v, %v", c.base, err)
	}
}

func TestLinesAreSentAndReadAsTheyCome(t *testing.T) {
	t.Parallel()
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 2)
		for {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				return
			}
			fmt.Fprintf(w, "{\"got\": %q}\n", buf)
			rc.Flush()
		}
	})
	from, to := io.Pipe()
	go io.WriteString(to, "a\n")
	var got []string
	for raw, err := range api.Lines(t.Context(), Request{Method: http.MethodPost, Path: []string{"x"}, Stream: from, Type: "text/csv"}) {
		if err != nil {
			t.Fatal(err)
		}
		var line struct{ Got string }
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		switch got = append(got, line.Got); len(got) {
		case 1:
			go func() {
				io.WriteString(to, "b\n")
				to.Close()
			}()
		}
	}
	if diff := cmp.Diff([]string{"a\n", "b\n"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// Whatever a server answers, reading it ends, and what is handed on is JSON.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"links": [], "things": [{"n": 1}, null, "x"], "more": {"things": []}}`))
	f.Add([]byte(`{"things": [{"n": 1}`))
	f.Add([]byte("{\"a\": 1}\n{\"b\": [2]}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := New(Options{URL: "http://127.0.0.1:1", Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = canned(body)
		for raw, err := range c.List(t.Context(), get("things"), "things") {
			if err == nil && !json.Valid(raw) {
				t.Errorf("entry %q of %q", raw, body)
			}
		}
		for raw, err := range c.Lines(t.Context(), get("things")) {
			if err == nil && !json.Valid(raw) {
				t.Errorf("line %q of %q", raw, body)
			}
		}
	})
}

// canned answers every request the same.
type canned []byte

func (b canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, nil
}
