package northbound

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/macloom/macloom/controller/store"
)

func TestAFilteredWatchTellsWhatEntersAndLeavesIt(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	in := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "in"}}`))
	out := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "out"}}`))
	w := a.watch("networks?watch=true&name=in", "red", 0)
	w.want("create", "in")
	start := a.latest()
	rename := func(id, name string) {
		a.want(200, "PUT", "/v2.0/networks/"+id, "red", `{"network": {"name": "`+name+`"}}`)
	}
	rename(out, "in")
	if s := w.want("create", "in"); idOf(s.object) != out {
		t.Errorf("%v", s.object)
	}
	a.want(200, "PUT", "/v2.0/networks/"+in, "red", `{"network": {"description": "d"}}`)
	w.want("update", "in")
	rename(in, "out")
	if s := w.want("delete", ""); idOf(s.object) != in {
		t.Errorf("%v", s.object)
	}
	rename(in, "still out")
	a.want(204, "DELETE", "/v2.0/networks/"+in, "red", "")
	w.quiet(a)
	a.want(204, "DELETE", "/v2.0/networks/"+out, "red", "")
	w.want("delete", "")

	// Whoever goes on is told all that he may not know yet.
	w = a.watch(fmt.Sprintf("networks?watch=true&name=in&revision=%d", start), "red", 0)
	gone := map[string]bool{}
	for len(gone) < 2 {
		gone[idOf(w.want("delete", "").object)] = true
	}
	w.quiet(a)
}

func TestWatchesOfWhatIsSharedEndWithTheSharing(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	segment := idOf(a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "02:00:05:00:00:00", "prefix_length": 24, "shared": true}}`))
	share := func(on bool) {
		a.want(200, "PUT", "/v2.0/mac-segments/"+segment, "admin", fmt.Sprintf(`{"mac_segment": {"shared": %t}}`, on))
	}
	w := a.watch("mac-segments?watch=true", "blue", 0)
	for s := w.next(); s.kind != "bookmark"; s = w.next() {
		if s.kind != "create" {
			t.Errorf("%+v", s)
		}
	}
	start := a.latest()
	share(false)
	if s := w.want("delete", ""); s.data != `{"mac_segment":{"id":"`+segment+`"}}` {
		t.Errorf("told %s", s.data)
	}
	a.want(200, "PUT", "/v2.0/mac-segments/"+segment, "admin", `{"mac_segment": {"name": "secret"}}`)
	w.quiet(a)
	// Whether it was visible is not known any more; to say so would tell of it.
	if s := a.watch("mac-segments?watch=true", "blue", start).change(); s.kind != "error" || !strings.Contains(s.data, "RevisionTooOld") {
		t.Errorf("%+v", s)
	}
	share(true)
	w.want("create", "secret")
	a.want(204, "DELETE", "/v2.0/mac-segments/"+segment, "admin", "")
	w.want("delete", "")
}

// Every kind that the feed tells of can be watched, by those who list it, and by
// nobody else.
func TestTheFeedIsToldByWatchesOfEveryCollectionToWhoeverSeesIt(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	type key struct{ path, token string }
	plain := map[key]*watched{}
	silent := map[string]bool{}
	kinds := map[store.Kind]bool{store.KindQuota: true}
	for _, r := range resources(nil) {
		_, _, path := r.names()
		w := r.(interface {
			kindOf() store.Kind
			isSilent() bool
		})
		silent[path] = w.isSilent()
		if w.isSilent() {
			if !r.nested() {
				a.want(400, "GET", "/v2.0/"+path+"?watch=true", "admin", "")
			}
			continue
		}
		kinds[w.kindOf()] = true
		if r.nested() {
			continue
		}
		for _, token := range []string{"admin", "red", "blue"} {
			plain[key{path, token}] = a.watch(path+"?watch=true", token, 0)
		}
	}
	ids, _ := owned(a)
	a.want(200, "PUT", "/v2.0/quotas/red", "admin", `{"quota": {"network": 50}}`)
	until := a.elsewhere()
	changes, err := a.store.Changes(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if !kinds[c.Kind] {
			t.Errorf("the feed tells of %s, and nobody can watch it", c.Kind)
		}
	}
	for k, w := range plain {
		shape := shapes(t)[slices.IndexFunc(shapes(t), func(s shape) bool { return s.path == k.path })]
		found := false
		for {
			s := w.next()
			if s.id >= until || s.kind == "" {
				break
			}
			if s.kind == "bookmark" {
				continue
			}
			found = found || s.object[shape.key] == ids[k.path]
			if tenant := s.object["tenant_id"]; k.token == "blue" && tenant != "blue" && tenant != "" && !shape.public {
				t.Errorf("%s: blue is told of %s", k.path, s.data)
			}
		}
		if want := k.token == "admin" || shape.visibleTo(k.token); found != want && k.path != "service_profiles" {
			t.Errorf("%s: %s is told of the object: %t, want %t", k.path, k.token, found, want)
		}
	}
	// Within another object.
	for _, k := range qosRuleKinds {
		inPolicy, _ := qosRules(nil, k)
		w := a.watch(a.place(inPolicy.path)+"?watch=true", "admin", 0)
		if s := w.change(); s.kind != "create" || idOf(s.object) != ids[inPolicy.path] {
			t.Errorf("%s: %+v", inPolicy.path, s)
		}
		a.want(404, "GET", "/v2.0/"+a.place(inPolicy.path)+"?watch=true", "blue", "")
	}
}

func (c *collection[E]) isSilent() bool { return c.silent }

func TestAWatchFromARevisionThatIsNotKeptIsGone(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	for range 3 {
		a.make("/v2.0/networks", "red", `{"network": {}}`)
	}
	last := a.latest()
	if err := a.store.ForgetChanges(t.Context(), time.Now().Add(time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	for revision, want := range map[int64]int{0: 410, last - 2: 410, last - 1: 200, last: 200, last + 1: 410} {
		w, resp := a.openWatch(fmt.Sprintf("networks?watch=true&revision=%d", revision), "red", 0) //nolint:bodyclose // by w.close
		if resp.StatusCode != want {
			t.Errorf("revision %d of %d: %d, want %d", revision, last, resp.StatusCode, want)
		}
		w.close()
	}
	if kind, _ := a.want(410, "GET", "/v2.0/networks?watch=true&revision=0", "red", "").message(t); kind != "RevisionTooOld" {
		t.Errorf("type %s", kind)
	}
	for _, query := range []string{"watch=perhaps", "watch=true&revision=x", "watch=true&revision=-1", "revision=5", "watch=true&limit=5", "watch=true&sort_key=id&sort_dir=asc", "watch=true&colour=red"} {
		a.want(400, "GET", "/v2.0/networks?"+query, "red", "")
	}
	a.want(200, "GET", "/v2.0/networks?watch=false", "red", "")
}

func TestWatchesAreLimitedByCallerAndInAll(t *testing.T) {
	t.Parallel()
	a := lively(t, func(o *Options) { o.Watches.PerCaller, o.Watches.Most = 2, 3 })
	first := a.watch("networks?watch=true", "red", 0)
	a.watch("ports?watch=true", "red", 0)
	if got := a.want(429, "GET", "/v2.0/networks?watch=true", "red", ""); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	a.watch("networks?watch=true", "blue", 0)
	if got := a.want(503, "GET", "/v2.0/networks?watch=true", "admin", ""); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	first.close()
	for { // until the server has noticed
		w, resp := a.openWatch("networks?watch=true", "red", 0) //nolint:bodyclose // by w.close
		if resp.StatusCode == 200 {
			return
		}
		w.close()
	}
}

func TestAWatchEndsWithTheRightsOfItsToken(t *testing.T) {
	t.Parallel()
	var tokens *Tokens
	a := lively(t, func(o *Options) { tokens = o.Tokens })
	w := a.watch("networks?watch=true", "red", 0)
	disabled := a.watch("networks?watch=true", "blue", 0)
	w.next()
	a.make("/v2.0/networks", "blue", `{"network": {}}`)
	a.want(200, "PUT", "/v2.0/tenants/blue", "admin", `{"tenant": {"enabled": false}}`)
	for {
		s := disabled.next()
		if s.kind == "error" {
			if !strings.Contains(s.data, "TenantDisabled") {
				t.Errorf("%s", s.data)
			}
			break
		}
		if s.kind == "" {
			t.Fatal("ended without a reason")
		}
	}
	entries := slices.DeleteFunc(slices.Clone(tokens.current()), func(e tokenEntry) bool { return e.hash == digestOf("red") })
	tokens.entries.Store(&entries)
	if s := w.change(); s.kind != "error" || !strings.Contains(s.data, "Unauthorized") {
		t.Errorf("%+v", s)
	}
	if s := w.next(); s.kind != "" {
		t.Errorf("%+v after the end", s)
	}
}

// stalled is a client that takes nothing between two moments.
type stalled struct {
	*httptest.ResponseRecorder
	stall          atomic.Bool
	blocked, going chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	if s.stall.Load() {
		s.blocked <- struct{}{}
		<-s.going
	}
	return s.ResponseRecorder.Write(b)
}

// A client that does not read is cut off, and goes on from where it was.
func TestASlowClientIsCutOffAndResumes(t *testing.T) {
	t.Parallel()
	a := lively(t, func(o *Options) { o.Watches.Buffer, o.Watches.KeepAlive = 10, time.Hour })
	w := &stalled{ResponseRecorder: httptest.NewRecorder(), blocked: make(chan struct{}), going: make(chan struct{})}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v2.0/networks?watch=true&revision=0", nil)
	r.Header.Set("X-Auth-Token", "red")
	quick := a.watch("networks?watch=true", "red", 0)
	quick.next()
	w.stall.Store(true)
	ended := make(chan struct{})
	go func() {
		a.handler.ServeHTTP(w, r)
		close(ended)
	}()
	<-w.blocked // at its first words
	w.going <- struct{}{}
	a.make("/v2.0/networks", "red", `{"network": {"name": "first"}}`)
	<-w.blocked
	const changes = 15
	quick.want("create", "first")
	for range changes { // one by one, so that whoever reads has never much to wait for it
		a.make("/v2.0/networks", "red", `{"network": {"name": "later"}}`)
		quick.want("create", "later")
	}
	w.stall.Store(false)
	w.going <- struct{}{}
	<-ended
	text := w.Body.String()
	if n := strings.Count(text, "event: create"); n != 1 || !strings.Contains(text, "event: error\ndata: {\"NeutronError\":{\"type\":\"WatchTooSlow\"") || cuts(a) != 1 {
		t.Errorf("%d changes, %d cuts: %s", n, cuts(a), text)
	}
	_, id, _ := strings.Cut(text, "\nid: ")
	id, _, _ = strings.Cut(id, "\n")
	last, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// What lies in the feed is not too much for it.
	again := a.watch("networks?watch=true", "red", last)
	for range changes {
		again.want("create", "later")
	}
}

// cuts is how many watches were cut off for being slow.
func cuts(a *api) (n int) {
	for line := range strings.SplitSeq(a.do("GET", "/metrics", "", "").text, "\n") {
		if _, err := fmt.Sscanf(line, `macloom_watch_cuts_total{type="WatchTooSlow"} %d`, &n); err == nil {
			return n
		}
	}
	return 0
}

func TestManyWatchersOfOneThingReadItOnce(t *testing.T) {
	t.Parallel()
	var metrics *prometheus.Registry
	a := lively(t, func(o *Options) { metrics = o.Metrics })
	reads := func() (n float64) {
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "macloom_watch_reads_total" {
				n = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return n
	}
	var all []*watched
	for range 60 {
		for _, token := range []string{"red", "blue", "admin"} {
			all = append(all, a.watch("networks?watch=true", token, 0))
		}
	}
	for _, w := range all {
		w.next()
	}
	before := reads()
	const changes = 10
	for range changes {
		a.make("/v2.0/networks", "red", `{"network": {"name": "n"}}`)
	}
	until := a.elsewhere()
	for _, w := range all {
		for s := w.next(); s.id < until; s = w.next() {
		}
	}
	// One for each of three views at most, not for each watcher.
	if got := reads() - before; got > 3*changes || got < 2 {
		t.Errorf("%v reads for %d changes and %d watchers", got, changes, len(all))
	}
}

func TestWatchesGoOnWhenConnectionsToTheDatabaseAreCut(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	w := a.watch("networks?watch=true", "red", 0)
	w.next()
	for i := range 3 {
		cutConnections(t, a.pg)
		name := fmt.Sprint("n", i)
		for a.do("POST", "/v2.0/networks", "red", `{"network": {"name": "`+name+`"}}`).code != http.StatusCreated {
		}
		w.want("create", name)
	}
}

// cutConnections ends all connections to a database but its own, as a restart of
// the server does.
func cutConnections(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
}

// Who resumes is not sent back to the beginning because others have changed what
// is theirs alone; but he is if he may have seen it.
func TestAMemberResumesWhileOthersChangeWhatIsTheirs(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	blue := idOf(a.make("/v2.0/networks", "blue", `{"network": {"name": "blue"}}`))
	red := idOf(a.make("/v2.0/networks", "red", `{"network": {"name": "red"}}`))
	from := a.latest()
	port := idOf(a.make("/v2.0/ports", "blue", `{"port": {"network_id": "`+blue+`"}}`))
	a.want(200, "PUT", "/v2.0/ports/"+port, "blue", `{"port": {"name": "p"}}`)
	a.want(200, "PUT", "/v2.0/networks/"+blue, "blue", `{"network": {"name": "other"}}`)
	mine := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+red+`", "name": "mine"}}`))
	a.want(204, "DELETE", "/v2.0/ports/"+port, "blue", "")
	a.want(204, "DELETE", "/v2.0/networks/"+blue, "blue", "")
	a.want(200, "PUT", "/v2.0/networks/"+red, "red", `{"network": {"name": "renamed"}}`)
	a.watch("networks?watch=true", "red", from).want("update", "renamed")
	ports := a.watch("ports?watch=true", "red", from)
	ports.want("create", "mine")
	a.want(204, "DELETE", "/v2.0/ports/"+mine, "red", "")
	ports.want("delete", "")

	shared := idOf(a.make("/v2.0/networks", "blue", `{"network": {"name": "shared"}}`))
	policy := idOf(a.make("/v2.0/rbac-policies", "blue", `{"rbac_policy": {"object_type": "network", "object_id": "`+shared+`", "action": "access_as_shared", "target_tenant": "red"}}`))
	from = a.latest()
	a.want(204, "DELETE", "/v2.0/rbac-policies/"+policy, "blue", "")
	a.latest()
	if s := a.watch("networks?watch=true", "red", from).change(); s.kind != "error" || !strings.Contains(s.data, "RevisionTooOld") {
		t.Errorf("what it may have seen ends: %s %s", s.kind, s.data)
	}
}
