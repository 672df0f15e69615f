package northbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/store"
)

// Limits in time. A request may wait for the database as long as its answer
// may take to write.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = time.Minute
	requestTimeout  = time.Minute
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 1500 * time.Millisecond // the whole process has 5 s to end in
	probeTimeout    = 2 * time.Second
	maxHeader       = 64 << 10
)

// Options are what the API needs. Store, Tokens, Log and Metrics are
// required.
type Options struct {
	Store     *store.Store
	Tokens    *Tokens
	Keystone  *Keystone // knows the callers that Tokens does not; nil: nobody does
	RateLimit int       // requests per second and token; 0: no limit
	Log       *zap.Logger
	Metrics   *prometheus.Registry            // served at /metrics; the API adds its own
	Ready     func(ctx context.Context) error // why the controller has not caught up; nil: it has
	Explainer Explainer                       // nil: nothing is explained
	Watches   Watches
}

type server struct {
	store     *store.Store
	callers   *callers
	watches   *watches
	log       *zap.Logger
	ready     func(context.Context) error
	explainer Explainer
	resources []resource
	document  func() ([]byte, error) // OpenAPI, made when it is first asked for
	page      func() ([]byte, error) // the same for people

	requests *prometheus.CounterVec
	faults   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	metrics  http.Handler
}

// open declares what needs no token.
func (s *server) open() []action {
	status := asJSON(under("status", schema{"type": "string"}))
	return []action{
		{method: http.MethodGet, path: "/", serve: serveVersions, doc: "The versions of the API.", gives: asJSON(under("versions", arrayOf(objectOf(map[string]schema{
			"id": {"type": "string"}, "status": {"type": "string"}, "links": linksSchema,
		}), 0)))},
		{method: http.MethodGet, path: "/healthz", serve: serveHealth, doc: "Whether the process runs.", gives: status},
		{method: http.MethodGet, path: "/readyz", serve: s.serveReady, doc: "Whether the database is there and the controller has caught up.", gives: status},
		{method: http.MethodGet, path: "/metrics", serve: s.serveMetrics, doc: "Counters and gauges for Prometheus.", gives: content{"text/plain": {"type": "string"}}},
		{method: http.MethodGet, path: "/openapi.json", serve: s.serveOpenAPI, doc: "This document.", gives: asJSON(schema{"type": "object"})},
		{method: http.MethodGet, path: "/docs", serve: s.serveDocs, doc: "This document for people.", gives: content{"text/html": {"type": "string"}}},
	}
}

// groups declares what is under /v2.0 beside the collections.
func (s *server) groups() []group {
	return []group{s.discovery(), s.quotaActions(), s.importActions(), s.lineageActions(), s.eui64Actions(), s.providers(), s.explainActions(), s.topologyActions(), s.qosActions()}
}

// New returns the handler of the whole API: /v2.0/, the versions at /,
// /projects, and /healthz, /readyz and /metrics.
func New(o Options) http.Handler {
	s := &server{
		store: o.Store, callers: newCallers(o), log: o.Log.Named("northbound"), ready: o.Ready, explainer: o.Explainer,
		resources: resources(o.Store),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_http_requests_total",
			Help: "Requests answered by the API.",
		}, []string{"route", "method", "code"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "macloom_http_faults_total",
			Help: "Requests of known callers that were refused or failed, by the type of the error.",
		}, []string{"type"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "macloom_http_request_duration_seconds",
			Help:    "Time from the header of a request to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method", "code"}),
	}
	s.watches = newWatches(o, s.callers)
	o.Store.DescribeBy(describer(s.resources))
	s.document, s.page = sync.OnceValues(s.openAPI), sync.OnceValues(s.docs)
	o.Metrics.MustRegister(s.requests, s.faults, s.duration)

	r := chi.NewRouter()
	r.Use(s.observe, plainPath)
	r.NotFound(s.handle(func(http.ResponseWriter, *http.Request) error { return errNoResource }))
	r.MethodNotAllowed(s.handle(refuseMethod))
	s.metrics = promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{})
	for _, a := range s.open() {
		r.Method(a.method, a.path, s.handle(a.serve))
	}
	r.Group(func(r chi.Router) {
		r.Use(s.authenticate, acceptJSON)
		for _, a := range s.projectActions().actions {
			r.Method(a.method, a.path, s.handle(a.serve))
		}
	})
	r.Route("/v2.0", func(r chi.Router) {
		r.Use(s.authenticate, acceptJSON, s.idempotent)
		for _, resource := range s.resources {
			resource.mount(r, s)
		}
		for _, g := range s.groups() {
			for _, a := range g.actions {
				r.Method(a.method, a.path, s.handle(a.serve))
			}
		}
	})
	return r
}

// Serve answers requests on ln with h until ctx ends; it then lets the running
// ones finish for a moment.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *zap.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          zap.NewStdLog(log.Named("http")),
	}
	ctx, stop := context.WithCancel(ctx)
	srv.BaseContext = func(net.Listener) context.Context { return context.WithValue(context.Background(), closingKey{}, ctx) }
	defer stop() // ends the goroutine when the listener fails, too
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err := srv.Shutdown(grace)
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
		stopped <- err
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("northbound: serve: %w", err)
	}
	if err := <-stopped; err != nil {
		log.Warn("requests were cut off at shutdown", zap.Error(err))
	}
	return nil
}

// closingKey is the key of a context that ends when the server is to end.
type closingKey struct{}

// handle turns the error of f into an answer.
func (s *server) handle(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			e := asAPIError(r.Context(), s.log, err)
			s.faults.WithLabelValues(e.kind).Inc()
			writeError(w, r, e)
		}
	}
}

// record is what the access log and the metrics say about a request.
type record struct {
	id           string
	client       context.Context // ends when the client goes, and not when its time is over
	tenant, user string
	lasting      bool // its end hangs on the client
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	rec, _ := ctx.Value(recordKey{}).(*record)
	return rec
}

// clientOf ends when the client of a request has gone.
func clientOf(r *http.Request) context.Context {
	if rec := recordOf(r.Context()); rec != nil {
		return rec.client
	}
	return r.Context()
}

func requestID(ctx context.Context) string {
	if rec := recordOf(ctx); rec != nil {
		return rec.id
	}
	return ""
}

// newRequestID makes an id that is larger than those before: what is stored
// under it is added at the end of an index.
func newRequestID() string { return "req-" + uuid.Must(uuid.NewV7()).String() }

// statusWriter remembers the code of the answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe gives each request its id and its time limit, turns a panic into an
// answer, counts and logs. Neither headers nor the query string are logged:
// both may hold secrets.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &record{id: newRequestID(), client: r.Context()}
		w.Header().Set("X-Openstack-Request-Id", rec.id)
		sw := &statusWriter{ResponseWriter: w}
		ctx := r.Context()
		if !isImport(r) { // which sees to its limits itself
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTimeout)
			defer cancel()
		}
		ctx = store.WithRequestID(context.WithValue(ctx, recordKey{}, rec), rec.id)
		r = r.WithContext(ctx)
		defer func() {
			cause := recover()
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			if cause != nil {
				s.log.Error("panic in a request", zap.String("request_id", rec.id), zap.Any("cause", cause), zap.Stack("stack"))
				if sw.code != 0 {
					panic(http.ErrAbortHandler) // too late for another answer: cut this one off
				}
				writeError(sw, r, errBroken)
			}
			s.account(r, rec, sw.code, time.Since(start))
		}()
		next.ServeHTTP(sw, r)
	})
}

func (s *server) account(r *http.Request, rec *record, code int, took time.Duration) {
	route := chi.RouteContext(r.Context()).RoutePattern()
	if code == http.StatusNotFound && strings.HasSuffix(route, "*") || route == "" {
		route = "none"
	}
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions:
	default:
		method = "other"
	}
	labels := prometheus.Labels{"route": route, "method": method, "code": codeText(code)}
	s.requests.With(labels).Inc()
	if !rec.lasting {
		s.duration.With(labels).Observe(took.Seconds())
	}

	level := zap.InfoLevel
	if r.Method == http.MethodGet && code < http.StatusBadRequest {
		level = zap.DebugLevel
	}
	if entry := s.log.Check(level, "request"); entry != nil {
		entry.Write(
			zap.String("request_id", rec.id), zap.String("method", method), zap.String("route", route), zap.Int("code", code),
			zap.Duration("duration", took), zap.String("tenant", rec.tenant), zap.String("user", rec.user), zap.String("remote", r.RemoteAddr),
		)
	}
}

func codeText(code int) string {
	if code == 0 {
		code = http.StatusOK // net/http answers so when a handler wrote nothing
	}
	return string([]byte{'0' + byte(code/100%10), '0' + byte(code/10%10), '0' + byte(code%10)})
}

// plainPath removes a trailing slash, and below /v2.0 a .json suffix, before routing. Routes
// match the escaped path, so that an id may hold any character.
func plainPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chi.RouteContext(r.Context()).RoutePath = plain(r.URL)
		next.ServeHTTP(w, r)
	})
}

func plain(u *url.URL) string {
	path := strings.TrimRight(u.EscapedPath(), "/")
	if strings.HasPrefix(path, "/v2.0/") {
		path = strings.TrimRight(strings.TrimSuffix(path, ".json"), "/")
	}
	if path == "" {
		return "/"
	}
	return path
}

// acceptJSON refuses a client that takes no JSON.
func acceptJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "json") && !strings.Contains(accept, "*") && !takesEvents(r) {
			writeError(w, r, errAccept)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseMethod answers 405 and says what would be allowed.
func refuseMethod(w http.ResponseWriter, r *http.Request) error {
	rctx := chi.RouteContext(r.Context())
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if rctx.Routes != nil && rctx.Routes.Match(chi.NewRouteContext(), method, plain(r.URL)) {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
	}
	return errMethod
}

// endpoint is the URL of the API as the client addressed it.
func endpoint(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if strings.ContainsAny(r.Host, "\"\\<> ") {
		return scheme + "localhost"
	}
	return scheme + r.Host
}

func serveHealth(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

func (s *server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	s.metrics.ServeHTTP(w, r)
	return nil
}

func (s *server) serveReady(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.log.Warn("not ready: database", zap.Error(err)) // the text may name hosts and accounts: not for the answer
		return errAway
	}
	if s.ready != nil {
		if err := s.ready(ctx); err != nil {
			return &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "The controller has not caught up: " + err.Error()}
		}
	}
	writeJSON(w, http.StatusOK, []byte(`{"status":"ready"}`))
	return nil
}
