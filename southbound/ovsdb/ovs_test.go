package ovsdb

import (
	"context"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/macloom/macloom/southbound/ovstest"
)

// patient is how long a test waits for a real program.
const patient = 30 * time.Second

// ovs is an Open vSwitch of the test's own, which has a name.
type ovs struct {
	*ovstest.OVS
	t testing.TB
}

// startOVS starts an ovsdb-server, without ovs-vswitchd.
func startOVS(t testing.TB, server ovstest.Server) *ovs {
	t.Helper()
	o := &ovs{ovstest.StartServer(t, server), t}
	o.Vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=sys7", "external_ids:hostname=host7")
	return o
}

// port is the one that the kernel gave to a passive TCP remote of the server.
func (o *ovs) port() string {
	o.t.Helper()
	listening := regexp.MustCompile(`listening on port (\d+)`)
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(o.Path("ovsdb-server.log"))
		if m := listening.FindSubmatch(b); m != nil {
			return string(m[1])
		}
	}
	o.t.Fatal("ovsdb-server does not listen")
	return ""
}

// dial connects to the server at target.
func (o *ovs) dial(target string, cfg Config) *Conn {
	o.t.Helper()
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	c, err := Dial(o.t.Context(), target, cfg)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { c.Close(ErrHandled) })
	return c
}

// manage serves on ln and makes the server connect to it, by method.
func (o *ovs) manage(ln net.Listener, method string, cfg Config) *Conn {
	o.t.Helper()
	cfg.Log = zaptest.NewLogger(o.t)
	ctx, cancel := context.WithCancel(context.Background())
	conns, served := make(chan *Conn, 1), make(chan error, 1)
	go func() {
		served <- Serve(ctx, ln, cfg, func(ctx context.Context, c *Conn) {
			conns <- c
			<-ctx.Done()
		})
	}()
	o.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			o.t.Errorf("Serve: %v", err)
		}
	})
	o.Vsctl("set-manager", method+":"+ln.Addr().String())
	select {
	case c := <-conns:
		return c
	case <-time.After(patient):
		o.t.Fatal("ovsdb-server did not connect")
		return nil
	}
}

// A relay stands between a client and a server. It refuses methods, as an old
// server does, notes what passes, and can be cut.
type relay struct {
	t       testing.TB
	path    string // of its socket
	server  string // path of the server's
	refused []string

	mu      sync.Mutex
	down    bool          // connections are not taken
	changed chan struct{} // closed, and replaced, when something passes
	asked   []string      // messages of the client
	told    []string      // messages of the server
	ends    []net.Conn
}

func newRelay(o *ovs, refused ...string) *relay {
	o.t.Helper()
	r := &relay{t: o.t, path: o.Path("relay"), server: o.Socket(), refused: refused, changed: make(chan struct{})}
	ln, err := net.Listen("unix", r.path)
	if err != nil {
		o.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", r.server)
			if err != nil {
				client.Close()
				continue
			}
			if !r.join(client, server) {
				continue
			}
			wg.Go(func() { r.pass(client, server, &r.asked, r.refused) })
			wg.Go(func() { r.pass(server, client, &r.told, nil) })
		}
	})
	o.t.Cleanup(func() {
		ln.Close()
		r.cut(true)
		wg.Wait()
	})
	return r
}

func (r *relay) pass(from, to net.Conn, notes *[]string, refused []string) {
	defer from.Close()
	defer to.Close()
	f := newFramer(from, 64<<20, func(int) error { return nil })
	for {
		text, err := f.next()
		if err != nil {
			return
		}
		r.mu.Lock()
		*notes = append(*notes, string(text))
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
		m := parseMessage(text)
		answer := ""
		for _, method := range refused {
			if is(m.method, method) {
				answer = `{"id":` + string(m.id) + `,"result":null,"error":"unknown method"}`
			}
		}
		if answer == "" {
			_, err = to.Write(text)
		} else {
			_, err = from.Write([]byte(answer))
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) join(ends ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		for _, end := range ends {
			end.Close()
		}
		return false
	}
	r.ends = append(r.ends, ends...)
	return true
}

// cut ends all connections and forgets what has passed; if it is down, no new
// ones are taken.
func (r *relay) cut(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.ends {
		end.Close()
	}
	r.ends, r.asked, r.told, r.down = nil, nil, nil, down
}

// until waits until what has passed is enough.
func (r *relay) until(what string, enough func(asked, told []string) bool) {
	r.t.Helper()
	timeout := time.After(patient)
	for {
		r.mu.Lock()
		ok, changed := enough(r.asked, r.told), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("%s did not pass", what)
		}
	}
}

// last is the last of messages that has text; "" if none has.
func last(messages []string, text string) string {
	for i := len(messages) - 1; i >= 0; i-- {
		if strings.Contains(messages[i], text) {
			return messages[i]
		}
	}
	return ""
}
