package northbound

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
)

// sign is an event of a watch.
type sign struct {
	kind   string
	id     int64 // 0: none
	data   string
	object map[string]any // what is under the one root key of the data
}

// watched is a watch that is open.
type watched struct {
	t      testing.TB
	body   io.ReadCloser
	lines  *bufio.Reader
	cancel context.CancelFunc
}

// openWatch asks for a watch and returns the answer's header.
func (a *api) openWatch(path, token string, last int64) (*watched, *http.Response) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/v2.0/"+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Accept", eventStream)
	if last > 0 {
		req.Header.Set(headerLastID, strconv.FormatInt(last, 10))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	w := &watched{t: a.t, body: resp.Body, lines: bufio.NewReader(resp.Body), cancel: cancel}
	a.t.Cleanup(w.close)
	return w, resp
}

// watch opens a watch that must be admitted.
func (a *api) watch(path, token string, last int64) *watched {
	a.t.Helper()
	w, resp := a.openWatch(path, token, last) //nolint:bodyclose // by w.close
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != eventStream {
		text, _ := io.ReadAll(resp.Body)
		a.t.Fatalf("GET %s: %d %s", path, resp.StatusCode, text)
	}
	return w
}

func (w *watched) close() {
	w.cancel()
	_ = w.body.Close()
}

// next reads an event; the end of the stream is one without a kind.
func (w *watched) next() (s sign) {
	w.t.Helper()
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			return sign{}
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "event":
			s.kind = value
		case "id":
			if s.id, err = strconv.ParseInt(value, 10, 64); err != nil {
				w.t.Errorf("id: %v", err)
			}
		case "data":
			s.data = value
			var root map[string]json.RawMessage
			if err := json.Unmarshal([]byte(value), &root); err != nil || len(root) != 1 {
				w.t.Errorf("data is no object under one key: %s", value)
			}
			for _, o := range root {
				_ = json.Unmarshal(o, &s.object) // that of a bookmark is a number
			}
		case "":
			if s.kind != "" {
				return s
			}
			s = sign{}
		}
	}
}

// change reads the next event that is no bookmark.
func (w *watched) change() sign {
	w.t.Helper()
	for {
		if s := w.next(); s.kind != "bookmark" {
			return s
		}
	}
}

// want reads the next change and compares it.
func (w *watched) want(kind, name string) sign {
	w.t.Helper()
	s := w.change()
	if got := fmt.Sprint(s.object["name"]); s.kind != kind || name != "" && got != name {
		w.t.Fatalf("got %s %s, want %s %s", s.kind, s.data, kind, name)
	}
	return s
}

// quiet says that nothing but bookmarks comes until a change of something else
// is told by one.
func (w *watched) quiet(a *api) {
	w.t.Helper()
	until := a.elsewhere()
	for {
		s := w.next()
		if s.kind != "bookmark" {
			w.t.Fatalf("got %s %s where nothing was to come", s.kind, s.data)
		}
		if s.id >= until {
			return
		}
	}
}

// lively is an API whose watches show signs of life all the time.
func lively(t *testing.T, change func(*Options)) *api {
	t.Helper()
	pg := storetest.URL(t)
	a := setupOn(t, storetest.Open(t, pg), func(o *Options) {
		o.Watches.KeepAlive = 20 * time.Millisecond
		if change != nil {
			change(o)
		}
	})
	a.pg = pg
	return a
}

// elsewhere changes what no test watches, and returns the revision of that.
func (a *api) elsewhere() int64 {
	a.t.Helper()
	a.make("/v2.0/service_profiles", "admin", `{"service_profile": {"driver": "d"}}`)
	return a.latest()
}

// latest is the last revision of the feed, once all that was committed has one.
func (a *api) latest() (last int64) {
	a.t.Helper()
	err := a.store.At(a.t.Context(), func(ctx context.Context, _ *store.Moment) error { return nil })
	if err == nil {
		_, last, err = a.store.Reach(a.t.Context())
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return last
}

func TestAWatchTellsTheStateAndThenEveryChange(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	old := a.make("/v2.0/networks", "red", `{"network": {"name": "old"}}`)
	a.make("/v2.0/networks", "blue", `{"network": {"name": "foreign"}}`)
	at := a.latest()
	w := a.watch("networks?watch=true", "red", 0)
	first := w.next()
	if diff := cmp.Diff(old, first.object); first.kind != "create" || first.id != 0 || diff != "" {
		t.Errorf("%s %d (-list +event)\n%s", first.kind, first.id, diff)
	}
	mark := w.next()
	if mark.kind != "bookmark" || mark.id != at || mark.data != fmt.Sprintf(`{"revision":%d}`, mark.id) {
		t.Errorf("bookmark: %+v, want of %d", mark, at)
	}
	young := a.make("/v2.0/networks", "red", `{"network": {"name": "young"}}`)
	made := w.want("create", "young")
	if diff := cmp.Diff(young, made.object); diff != "" {
		t.Errorf("(-answer +event)\n%s", diff)
	}
	a.want(200, "PUT", "/v2.0/networks/"+idOf(young), "red", `{"network": {"name": "renamed"}}`)
	changed := w.want("update", "renamed")
	a.want(200, "PUT", "/v2.0/networks/"+idOf(old), "admin", `{"network": {"name": "by admin"}}`)
	w.want("update", "by admin")
	a.want(204, "DELETE", "/v2.0/networks/"+idOf(young), "red", "")
	gone := w.change()
	want := map[string]any{"id": idOf(young), "tenant_id": "red", "project_id": "red"}
	if diff := cmp.Diff(want, gone.object); gone.kind != "delete" || diff != "" {
		t.Errorf("%s (-want +got)\n%s", gone.kind, diff)
	}
	if !(mark.id < made.id && made.id < changed.id && changed.id < gone.id) || gone.id != a.latest() {
		t.Errorf("revisions %d, %d, %d, %d, latest %d", mark.id, made.id, changed.id, gone.id, a.latest())
	}
	// From a revision on, and from the last event on, which counts for more.
	for _, w := range []*watched{
		a.watch(fmt.Sprintf("networks?watch=1&revision=%d", made.id), "red", 0),
		a.watch("networks?watch=1&revision=0", "red", made.id),
	} {
		// It is deleted since: of what it was in between there is nothing to show.
		if s := w.want("update", "by admin"); s.id <= changed.id {
			t.Errorf("revision %d", s.id)
		}
		if s := w.change(); s.kind != "delete" || s.id != gone.id {
			t.Errorf("%+v", s)
		}
		w.quiet(a)
	}
	// Cut to fields.
	narrow := a.watch("networks?watch=true&fields=name", "red", 0)
	if s := narrow.next(); s.data != `{"network":{"name":"by admin"}}` {
		t.Errorf("%s", s.data)
	}
}

// replica keeps what a client of a watch has.
type replica struct {
	objects map[string]map[string]any
	at      int64
	resumes bool               // it may be told again of what it has heard
	state   map[string]int     // by object its revision_number in the state of the beginning
	told    map[string][]int64 // by object the revisions of events
}

func (p *replica) take(t testing.TB, s sign) {
	t.Helper()
	if s.id > 0 {
		if s.id < p.at || s.id == p.at && s.kind != "bookmark" {
			t.Errorf("revision %d after %d", s.id, p.at)
		}
		p.at = s.id
	}
	if s.kind == "bookmark" {
		return
	}
	id := idOf(s.object)
	if s.id > 0 {
		p.told[id] = append(p.told[id], s.id)
	} else {
		number, _ := s.object["revision_number"].(float64)
		p.state[id] = int(number)
	}
	_, had := p.objects[id]
	switch s.kind {
	case "create":
		if had && !p.resumes {
			t.Errorf("%s was there when it was created", id)
		}
		p.objects[id] = s.object
	case "update":
		if !had && !p.resumes {
			t.Errorf("%s was not there when it was changed", id)
		}
		p.objects[id] = s.object
	case "delete":
		if !had && !p.resumes {
			t.Errorf("%s was not there when it was deleted", id)
		}
		delete(p.objects, id)
	default:
		t.Fatalf("%+v", s)
	}
}

// wantList compares what a client has with the list.
func (p *replica) wantList(a *api, path, token string) {
	a.t.Helper()
	list := map[string]map[string]any{}
	for _, o := range a.want(200, "GET", "/v2.0/"+path, token, "").list(a.t) {
		list[idOf(o)] = o
	}
	if diff := cmp.Diff(list, p.objects); diff != "" {
		a.t.Errorf("%s of %s, told %v (-list +events)\n%s", path, token, p.told, diff)
	}
}

// Writers make, change and delete networks; watchers that begin in the middle of
// it, are cut off and resume have in the end what the list has.
func TestWatchesUnderWritersHaveNeitherGapsNorDoubles(t *testing.T) {
	t.Parallel()
	for _, deletes := range []bool{false, true} {
		t.Run(fmt.Sprintf("deletes %t", deletes), func(t *testing.T) {
			t.Parallel()
			a := lively(t, nil)
			const writers, rounds = 8, 40
			var work errgroup.Group
			begun := make(chan struct{}, writers*rounds)
			for i := range writers {
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				work.Go(func() error {
					var mine []string
					for n := range rounds {
						begun <- struct{}{}
						switch k := rnd.IntN(10); {
						case k < 5 || len(mine) == 0:
							mine = append(mine, idOf(a.make("/v2.0/networks", "red", fmt.Sprintf(`{"network": {"name": "n%d", "admin_state_up": %t}}`, k, k < 3))))
						case k < 8 || !deletes:
							a.want(200, "PUT", "/v2.0/networks/"+mine[rnd.IntN(len(mine))], "red", fmt.Sprintf(`{"network": {"description": "%d", "admin_state_up": %t}}`, n, k < 7))
						default:
							at := rnd.IntN(len(mine))
							a.want(204, "DELETE", "/v2.0/networks/"+mine[at], "red", "")
							mine = append(mine[:at], mine[at+1:]...)
						}
					}
					return nil
				})
			}
			for range writers * 3 {
				<-begun
			}
			type client struct {
				path, token string
				w           *watched
				replica
			}
			var clients []*client
			for _, path := range []string{"networks?", "networks?name=n1&name=n2&", "networks?admin_state_up=True&"} {
				for _, token := range []string{"red", "admin"} {
					for _, resumes := range []bool{false, true} {
						clients = append(clients, &client{path, token, a.watch(path+"watch=true", token, 0), replica{objects: map[string]map[string]any{}, resumes: resumes, state: map[string]int{}, told: map[string][]int64{}}})
					}
				}
			}
			var reading errgroup.Group
			final := make(chan struct{})
			var last int64
			var left atomic.Int64
			left.Store(int64(len(clients)))
			reading.Go(func() error {
				_ = work.Wait()
				last = a.elsewhere()
				close(final)
				for left.Load() > 0 { // whoever has heard of the last revision hears of another
					a.elsewhere()
				}
				return nil
			})
			for _, c := range clients {
				reading.Go(func() error {
					defer left.Add(-1)
					for n := 1; ; n++ {
						s := c.w.next()
						if s.kind == "" {
							return fmt.Errorf("%s ended", c.path)
						}
						c.take(t, s)
						select {
						case <-final:
							if c.at >= last {
								return nil
							}
						default:
						}
						if c.resumes && n%50 == 0 && c.at > 0 {
							c.w.close()
							c.w = a.watch(c.path+"watch=true", c.token, c.at)
						}
					}
				})
			}
			if err := reading.Wait(); err != nil {
				t.Fatal(err)
			}
			for _, c := range clients {
				c.wantList(a, strings.TrimSuffix(c.path, "&"), c.token)
			}
			if deletes {
				return
			}
			// Without deletions every change of the feed has its event, or is in the
			// state of the beginning.
			changes, err := a.store.Changes(t.Context(), 0, 100_000)
			if err != nil {
				t.Fatal(err)
			}
			feed := map[string][]int64{} // revisions by object: the k-th makes its revision_number k
			for _, ch := range changes {
				if ch.Kind == store.KindNetwork {
					feed[ch.ID] = append(feed[ch.ID], ch.Revision)
				}
			}
			for _, c := range clients {
				if c.path != "networks?" || c.resumes {
					continue
				}
				for id, revisions := range feed {
					want := revisions[c.state[id]:]
					if diff := cmp.Diff(want, c.told[id], cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("%s had revision_number %d in the state (-feed +told)\n%s", id, c.state[id], diff)
					}
				}
			}
		})
	}
}

func TestAWatchOfPortsTellsWhatBecameOfThemInTheirSwitch(t *testing.T) {
	t.Parallel()
	a := lively(t, func(*Options) {})
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "admin", `{"port": {"network_id": "`+network+`", "tenant_id": "red", "name": "p", "binding:host_id": "00000000000000a1"}}`))
	all, active := a.watch("ports?watch=true", "red", 0), a.watch("ports?watch=true&status=ACTIVE", "red", 0)
	all.want("create", "p")
	set := func(status intent.PortStatus, reason string) {
		t.Helper()
		if err := a.store.SetPortStatus(t.Context(), 0xa1, []store.PortState{{ID: port, Status: status, Reason: reason}}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want string) {
		t.Helper()
		o := all.want("update", "p").object
		if got := fmt.Sprint(o["status"], " ", o["status_reason"], " ", o["revision_number"]); got != want {
			t.Errorf("the watch tells %q, want %q", got, want)
		}
	}
	set(intent.PortActive, "")
	told("ACTIVE  1")
	active.want("create", "p")
	set(intent.PortActive, "") // nothing new
	set(intent.PortError, "the table is full")
	told("ERROR the table is full 1")
	active.want("delete", "<nil>")
}
