package northbound

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/store/storetest"
)

func TestVersionsAreShownWithoutAToken(t *testing.T) {
	t.Parallel()
	a := setup(t)
	got := a.want(200, "GET", "/", "", "")
	if want := `{"versions":[{"id":"v2.0","status":"CURRENT","links":[{"rel":"self","href":"` + a.url + `/v2.0/"}]}]}`; got.text != want {
		t.Errorf("got %s, want %s", got.text, want)
	}
}

func TestEverythingElseNeedsAToken(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, path := range []string{"/v2.0", "/v2.0/", "/v2.0/networks", "/v2.0/networks/x", "/v2.0/extensions", "/v2.0/none"} {
		for _, token := range []string{"", "wrong", "admin2"} {
			got := a.want(401, "GET", path, token, "")
			if want := `{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}`; got.text != want {
				t.Errorf("%s: %s, want %s", path, got.text, want)
			}
			if want := `Keystone uri="` + a.url + `"`; got.header.Get("WWW-Authenticate") != want {
				t.Errorf("%s: WWW-Authenticate %s, want %s", path, got.header.Get("WWW-Authenticate"), want)
			}
		}
	}
	req, err := http.NewRequest("GET", a.url+"/v2.0/networks", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer red")
	if got := a.send(req); got.code != 200 {
		t.Errorf("with a bearer token: %d %s", got.code, got.text)
	}
}

func TestPathsAreTakenAsNeutronTakesThem(t *testing.T) {
	t.Parallel()
	a := setup(t)
	id := idOf(a.make("/v2.0/networks.json", "red", `{"network": {"name": "n"}}`))
	for path, code := range map[string]int{
		"/v2.0": 200, "/v2.0/": 200, "/v2.0/networks": 200, "/v2.0/networks/": 200, "/v2.0/networks.json": 200,
		"/v2.0/networks/" + id + ".json": 200, "/v2.0/networks/" + id + "/": 200,
		"/v2.0/networks/n": 404, "/v2.0/networks/%00": 404, "/v2.0/networks/%zz": 400, "/v2.0/networks/a%2Fb": 404, "/v2.0/networks/" + id + "x": 404,
		"/v2.0/routers": 404, "/v2.0/mac_segments": 404, "/v2.0/networks/" + id + "/subnets": 404, "/v2.1/": 404, "/v3": 404,
	} {
		// As it stands: a client of net/http would not send some of these.
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nX-Auth-Token: red\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if got := strings.Fields(string(text))[1]; got != codeText(code) {
			t.Errorf("GET %s: code %s, want %d", path, got, code)
		}
	}
	kind, _ := a.want(404, "GET", "/v2.0/routers", "red", "").message(t)
	if kind != "HTTPNotFound" {
		t.Errorf("unknown collection: type %s", kind)
	}
	for path, allow := range map[string]string{"/v2.0/networks/" + id: "GET, PUT, DELETE", "/v2.0/networks": "GET, POST"} {
		got := a.want(405, "PATCH", path, "red", `{"network": {}}`)
		if got.header.Get("Allow") != allow {
			t.Errorf("PATCH %s: Allow %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
}

func TestXMLIsNotServed(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for accept, code := range map[string]int{"application/xml": 406, "application/json": 200, "*/*": 200, "application/xml, application/json": 200, "text/html": 406} {
		req, err := http.NewRequest("GET", a.url+"/v2.0/networks", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", "red")
		req.Header.Set("Accept", accept)
		if got := a.send(req); got.code != code {
			t.Errorf("Accept %s: %d, want %d", accept, got.code, code)
		}
	}
}

func TestResourcesAndExtensionsListWhatWorks(t *testing.T) {
	t.Parallel()
	a := setup(t)
	for _, r := range a.want(200, "GET", "/v2.0/", "red", "").list(t) {
		href := r["links"].([]any)[0].(map[string]any)["href"].(string)
		a.want(200, "GET", strings.TrimPrefix(href, a.url), "red", "")
	}
	for _, e := range a.want(200, "GET", "/v2.0/extensions", "red", "").list(t) {
		got := a.want(200, "GET", "/v2.0/extensions/"+e["alias"].(string), "red", "").object(t)
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("extension %s: (-list +show)\n%s", e["alias"], diff)
		}
	}
	kind, _ := a.want(404, "GET", "/v2.0/extensions/no-such-thing", "red", "").message(t)
	if kind != "HTTPNotFound" {
		t.Errorf("unknown extension: type %s", kind)
	}
}

func TestHealthReadinessAndMetrics(t *testing.T) {
	t.Parallel()
	st := storetest.New(t)
	late := errors.New("at change 3 of 5")
	h := New(Options{Store: st, Tokens: &Tokens{}, Log: zap.NewNop(), Metrics: prometheus.NewRegistry(), Ready: func(context.Context) error { return late }})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	if got := get("/healthz"); got.Code != 200 {
		t.Errorf("healthz: %d", got.Code)
	}
	if got := get("/readyz"); got.Code != 503 || !strings.Contains(got.Body.String(), "at change 3 of 5") || got.Header().Get("Retry-After") == "" {
		t.Errorf("readyz before the controller has caught up: %d %s", got.Code, got.Body)
	}
	late = nil
	if got := get("/readyz"); got.Code != 200 {
		t.Errorf("readyz: %d %s", got.Code, got.Body)
	}
	get("/v2.0/networks/secret-name")
	metrics := get("/metrics").Body.String()
	for _, want := range []string{
		`macloom_http_requests_total{code="401",method="GET",route="/v2.0/*"} 1`,
		`macloom_http_requests_total{code="200",method="GET",route="/healthz"} 1`,
		`macloom_http_request_duration_seconds_count{code="503",method="GET",route="/readyz"} 1`,
		`macloom_http_faults_total{type="ServiceUnavailable"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics without %s", want)
		}
	}
	if strings.Contains(metrics, "secret-name") {
		t.Error("metrics hold a path instead of a route")
	}
	st.Close()
	if got := get("/readyz"); got.Code != 503 || !strings.Contains(got.Body.String(), "ServiceUnavailable") {
		t.Errorf("readyz without a database: %d %s", got.Code, got.Body)
	}
}

func TestLostDatabaseIs503(t *testing.T) {
	t.Parallel()
	a := setup(t)
	a.make("/v2.0/networks", "red", `{"network": {}}`)
	a.store.Close()
	for _, c := range [][2]string{{"GET", ""}, {"POST", `{"network": {}}`}} {
		got := a.want(503, c[0], "/v2.0/networks", "red", c[1])
		if kind, _ := got.message(t); kind != "ServiceUnavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q", c[0], kind, got.header.Get("Retry-After"))
		}
	}
}

func TestPanicsBecome500AndAreLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	s := &server{log: zap.New(core)}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"route", "method", "code"})
	s.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "b"}, []string{"route", "method", "code"})
	srv := httptest.NewServer(s.observe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") })))
	defer srv.Close()
	a := &api{t: t, url: srv.URL}
	kind, message := a.want(500, "GET", "/", "", "").message(t)
	if kind != "HTTPInternalServerError" || strings.Contains(message, "broken") {
		t.Errorf("got %s %s", kind, message)
	}
	entries := logs.FilterMessage("panic in a request").All()
	if len(entries) != 1 || !strings.Contains(entries[0].ContextMap()["stack"].(string), "server_test.go") {
		t.Errorf("log %v, want one entry with the stack", entries)
	}
}

func TestAccessLogHoldsNeitherTokenNorQuery(t *testing.T) {
	t.Parallel()
	a := setup(t)
	id := a.want(200, "GET", "/v2.0/networks?name=hush", "red", "").header.Get("X-Openstack-Request-Id")
	a.want(401, "GET", "/v2.0/networks", "hush-hush", "")
	found := false
	for _, e := range a.logs.FilterMessage("request").All() {
		text, err := json.Marshal(e.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hush") {
			t.Errorf("logged: %s", text)
		}
		if m := e.ContextMap(); m["request_id"] == id {
			found = m["tenant"] == "red" && m["route"] == "/v2.0/networks" && m["code"] == int64(200)
		}
	}
	if !found {
		t.Error("the request is not in the log with its id, tenant, route and code")
	}
}

func TestServeLetsRunningRequestsFinish(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-ctx.Done()
		_, _ = io.WriteString(w, "done")
	})
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, h, zap.NewNop()) }()
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		answered <- string(text)
	}()
	<-entered
	cancel()
	if got := <-answered; got != "done" {
		t.Errorf("answer %q, want done", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := Serve(t.Context(), ln, http.NotFoundHandler(), zap.NewNop()); err == nil {
		t.Error("Serve on a closed listener returned no error")
	}
}
