package northbound

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/controller/postgres"
	"github.com/macloom/macloom/controller/store"
)

// envPlaySeconds makes the play go on for longer, as in
// MACLOOM_TEST_CRASH_SECONDS=60 go test -v ./northbound -run Play
const envPlaySeconds = "MACLOOM_TEST_CRASH_SECONDS"

const players = 8

// thing is an object that a player has made.
type thing struct {
	path, single, id, within string // within: the network of a subnet
	token                    string
	holds                    []string // addresses of a port
}

// play is what the players have in common: the objects, as far as it is sure
// that they are there.
type play struct {
	t       *testing.T
	url     string
	http    *http.Client
	stopped atomic.Bool
	done    atomic.Int64 // requests that were served
	refused atomic.Int64 // for want of a database
	serial  atomic.Int64

	mu     sync.Mutex
	things map[string]*thing // by id
	gone   []string          // ids that were deleted
	held   map[string]string // address to its port, as far as that is sure
	unsure map[string]int    // bulk posts without an answer, with how many ports they had
	codes  map[string]int

	born []string // segments that are part of the schema: no record tells of them
}

// ask sends a request and counts the answer: sure is false when nobody knows
// what became of it.
func (p *play) ask(method, path, token, body string) (code int, got map[string]any, sure bool) {
	req, err := http.NewRequest(method, p.url+"/v2.0/"+path, strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return 0, nil, false
	}
	req.Header.Set("X-Auth-Token", token)
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Errorf("%s %s: %v", method, path, err)
		return 0, nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		// A list that the database was lost in the middle of is cut off.
		if method != http.MethodGet {
			p.t.Errorf("%s %s: %v", method, path, err)
		}
		return 0, nil, false
	}
	resource, _, _ := strings.Cut(path, "/")
	resource, _, _ = strings.Cut(resource, "?")
	p.mu.Lock()
	p.codes[fmt.Sprintf("%s %s %d", method, resource, resp.StatusCode)]++
	p.mu.Unlock()
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		if resp.Header.Get("Retry-After") == "" {
			p.t.Errorf("%s %s: 503 without Retry-After", method, path)
		}
		p.refused.Add(1)
		time.Sleep(5 * time.Millisecond)
		return resp.StatusCode, nil, false
	case resp.StatusCode >= 500, resp.StatusCode == 400, resp.StatusCode == 401, resp.StatusCode == 403:
		p.t.Errorf("%s %s %s: %d %s", method, path, body, resp.StatusCode, text)
	}
	p.done.Add(1)
	if len(text) > 0 {
		if err := json.Unmarshal(text, &got); err != nil {
			p.t.Errorf("%s %s: %v in %.200s", method, path, err, text)
		}
	}
	return resp.StatusCode, got, true
}

// some is any object of a kind and an owner that is there; nil: none.
func (p *play) some(path, token string) *thing {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, th := range p.things { // in any order
		if th.path == path && th.token == token {
			return th
		}
	}
	return nil
}

// addressesOf are the texts under which addresses of a port must be held once.
func addressesOf(port map[string]any) []string {
	all := []string{port["mac_address"].(string)}
	for _, ip := range port["fixed_ips"].([]any) {
		ip := ip.(map[string]any)
		all = append(all, ip["subnet_id"].(string)+" "+ip["ip_address"].(string))
	}
	return all
}

// hold notes that a port has its addresses now, unless somebody is about to
// delete it.
func (p *play) hold(id string, addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	th := p.things[id]
	if th == nil {
		return
	}
	for _, a := range addresses {
		if other, twice := p.held[a]; twice && other != id {
			p.t.Errorf("%s is given to %s and to %s", a, other, id)
		}
		p.held[a] = id
	}
	th.holds = addresses
}

// release notes that a port may be about to lose its addresses.
func (p *play) release(th *thing) (had []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range th.holds {
		if p.held[a] == th.id {
			delete(p.held, a)
		}
	}
	had, th.holds = th.holds, nil
	return had
}

func (p *play) made(path, single, within, token string, object map[string]any) {
	id := object["id"].(string)
	p.mu.Lock()
	p.things[id] = &thing{path: path, single: single, id: id, within: within, token: token}
	p.mu.Unlock()
	if path == "ports" {
		p.hold(id, addressesOf(object))
	}
}

func (p *play) create(path, single, within, token, body string) {
	code, got, _ := p.ask("POST", path, token, `{"`+single+`":{`+body+`}}`)
	if code == http.StatusCreated {
		p.made(path, single, within, token, got[single].(map[string]any))
	}
}

// move is one request at random.
func (p *play) move(r *rand.Rand) {
	token := []string{"red", "blue"}[r.IntN(2)]
	n := p.serial.Add(1)
	name := fmt.Sprintf(`"name":"n%d"`, n)
	network := p.some("networks", token)
	if network == nil {
		p.create("networks", "network", "", token, name)
		return
	}
	onNetwork := fmt.Sprintf(`"network_id":%q,`, network.id)
	switch dice := r.IntN(100); {
	case dice < 4:
		p.create("networks", "network", "", token, name)
	case dice < 12:
		p.create("subnets", "subnet", network.id, token, onNetwork+name+fmt.Sprintf(`,"ip_version":4,"cidr":"10.%d.%d.0/26"`, n>>8&255, n&255))
	case dice < 16:
		p.create("security-groups", "security_group", "", token, name)
	case dice < 20:
		if group := p.some("security-groups", token); group != nil {
			p.ask("POST", "security-group-rules", token, fmt.Sprintf(`{"security_group_rule":{"security_group_id":%q,"direction":"ingress","protocol":"tcp","port_range_min":%d,"port_range_max":%[2]d}}`, group.id, 1+n%60000))
		}
	case dice < 23:
		p.create("mac-segments", "mac_segment", "", "admin", name+fmt.Sprintf(`,"tenant_id":%q,"base_address":"0a:%02x:%02x:00:00:00","prefix_length":36,"quarantine_seconds":0`, token, r.IntN(4), r.IntN(256)))
	case dice < 45:
		p.create("ports", "port", "", token, onNetwork+name+fmt.Sprintf(`,"device_id":"vm-%d"`, r.IntN(50)))
	case dice < 52:
		p.bulk(r, token, onNetwork, n)
	case dice < 75:
		p.update(r, token, name)
	default:
		p.remove(r, token)
	}
}

// bulk makes several ports at once. What came of one without an answer is
// looked for at the end, by the name that nobody changes.
func (p *play) bulk(r *rand.Rand, token, onNetwork string, n int64) {
	name, count := fmt.Sprintf("bulk-%d", n), 2+r.IntN(20)
	port := fmt.Sprintf(`{%s"name":%q}`, onNetwork, name)
	code, got, sure := p.ask("POST", "ports", token, `{"ports":[`+strings.Join(slices.Repeat([]string{port}, count), ",")+`]}`)
	if !sure {
		p.mu.Lock()
		p.unsure[name] = count
		p.mu.Unlock()
	}
	if code != http.StatusCreated {
		return
	}
	list := got["ports"].([]any)
	if len(list) != count {
		p.t.Errorf("%d of %d ports were made", len(list), count)
	}
	for _, object := range list {
		p.made("ports", "port", "", token, object.(map[string]any))
	}
}

var played = []string{"networks", "subnets", "ports", "ports", "ports", "security-groups", "mac-segments"}

func ownerOf(path, token string) string {
	if path == "mac-segments" {
		return "admin"
	}
	return token
}

func (p *play) update(r *rand.Rand, token, name string) {
	path := played[r.IntN(len(played))]
	th := p.some(path, ownerOf(path, token))
	if th == nil {
		return
	}
	body := name
	var had []string
	moves := path == "ports" && r.IntN(2) == 0
	if path == "ports" {
		body += fmt.Sprintf(`,"device_id":"vm-%d"`, r.IntN(50))
		if group := p.some("security-groups", token); group != nil && r.IntN(3) == 0 {
			body += fmt.Sprintf(`,"security_groups":[%q]`, group.id)
		}
	}
	if moves {
		body += `,"fixed_ips":[]`
		had = p.release(th)
	}
	code, got, sure := p.ask("PUT", path+"/"+th.id, th.token, `{"`+th.single+`":{`+body+`}}`)
	switch {
	case moves && code == http.StatusOK:
		p.hold(th.id, addressesOf(got["port"].(map[string]any)))
	case moves && sure && code != http.StatusNotFound:
		p.hold(th.id, had)
	}
}

func (p *play) remove(r *rand.Rand, token string) {
	path := played[r.IntN(len(played))]
	th := p.some(path, ownerOf(path, token))
	if th == nil {
		return
	}
	p.mu.Lock()
	delete(p.things, th.id) // if nobody knows what comes of it, nobody plays with it any more
	p.mu.Unlock()
	had := p.release(th)
	code, _, sure := p.ask("DELETE", path+"/"+th.id, th.token, "")
	p.mu.Lock()
	switch {
	case code == http.StatusNoContent:
		p.gone = append(p.gone, th.id)
	case sure && code == http.StatusConflict:
		p.things[th.id] = th
	}
	p.mu.Unlock()
	if sure && code == http.StatusConflict {
		p.hold(th.id, had)
	}
}

// watchAddresses looks at all ports of one moment, over and over.
func (p *play) watchAddresses() {
	for !p.stopped.Load() {
		code, got, _ := p.ask("GET", "ports?fields=id&fields=mac_address&fields=fixed_ips", "admin", "")
		if code != http.StatusOK {
			continue
		}
		has := map[string]any{}
		for _, object := range got["ports"].([]any) {
			port := object.(map[string]any)
			for _, a := range addressesOf(port) {
				if other, twice := has[a]; twice {
					p.t.Errorf("%s is that of %s and of %s", a, other, port["id"])
				}
				has[a] = port["id"]
			}
		}
	}
}

func TestRandomPlayWithADatabaseThatIsRestarted(t *testing.T) {
	t.Parallel()
	seconds := 10
	if text := os.Getenv(envPlaySeconds); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "macloom-pg-test-") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx := t.Context()
	var server *postgres.Server
	launch := func() {
		t.Helper()
		var err error
		if server, err = postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.NewNop()}); err != nil {
			t.Fatal(err)
		}
	}
	launch()
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	st, err := store.Open(ctx, server.URL(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	if err := st.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	a := setupOn(t, st, func(*Options) {})
	p := &play{
		t: t, url: a.url, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: players + 1}},
		things: map[string]*thing{}, held: map[string]string{}, unsure: map[string]int{}, codes: map[string]int{},
	}
	for _, segment := range a.want(200, "GET", "/v2.0/mac-segments", "admin", "").list(t) {
		p.born = append(p.born, segment["id"].(string))
	}
	a.make("/v2.0/mac-segments", "admin", `{"mac_segment": {"base_address": "0e:00:00:00:00:00", "prefix_length": 24, "shared": true}}`)
	var work sync.WaitGroup
	for i := range players {
		work.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))
			for !p.stopped.Load() {
				p.move(r)
			}
		})
	}
	work.Go(p.watchAddresses)
	finish := func() { p.stopped.Store(true); work.Wait() }
	defer finish()
	half := time.After(time.Duration(seconds) * time.Second / 2)
	select {
	case <-half:
	case <-ctx.Done():
	}
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
	for p.refused.Load() < players && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	launch()
	end := time.Now().Add(time.Duration(seconds) * time.Second / 2)
	for again := p.done.Load() + 100; time.Now().Before(end) || p.done.Load() < again; {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
		time.Sleep(10 * time.Millisecond)
	}
	finish()
	p.checkEnd(a, server.URL())
	t.Logf("%d requests served, %d refused with 503, %d objects at the end, %d deleted", p.done.Load(), p.refused.Load(), len(p.things), len(p.gone))
	for _, code := range slices.Sorted(maps.Keys(p.codes)) {
		t.Logf("%6d %s", p.codes[code], code)
	}
}
