package ovsdb

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// patient is how long a test waits for a real program.
const patient = 30 * time.Second

// ovs is an Open vSwitch of the test's own: a real ovsdb-server, and if it is
// asked for a real ovs-vswitchd (as root in a network namespace of its own).
type ovs struct {
	t      testing.TB
	dir    string
	env    []string
	server *exec.Cmd
	args   []string // of ovsdb-server
}

// startOVS starts an ovsdb-server with further arguments. A clustered database
// is a cluster of one.
func startOVS(t testing.TB, clustered bool, args ...string) *ovs {
	t.Helper()
	for _, program := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; install the packages openvswitch-switch and util-linux", err)
		}
	}
	dir, err := os.MkdirTemp("", "ovsdb") // short: it holds unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &ovs{t: t, dir: dir, env: append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_DBDIR="+dir, "OVS_LOGDIR="+dir, "OVS_SYSCONFDIR="+dir)}
	const schema = "/usr/share/openvswitch/vswitch.ovsschema"
	if clustered {
		o.run("ovsdb-tool", "create-cluster", dir+"/conf.db", schema, "unix:"+dir+"/raft")
	} else {
		o.run("ovsdb-tool", "create", dir+"/conf.db", schema)
	}
	o.args = append([]string{"ovsdb-server", dir + "/conf.db", "--remote=punix:" + o.socket(), "--no-chdir",
		"--remote=db:Open_vSwitch,Open_vSwitch,manager_options"}, args...)
	o.server = o.daemon("ovsdb-server", o.args...)
	o.run("ovs-vsctl", "--retry", "--timeout=20", "--no-wait", "init")
	o.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=sys7", "external_ids:hostname=host7")
	return o
}

func (o *ovs) socket() string { return filepath.Join(o.dir, "db.sock") }

// restart kills ovsdb-server and starts it again.
func (o *ovs) restart() {
	o.t.Helper()
	o.stop(o.server)
	o.server = o.daemon("ovsdb-server", o.args...)
	o.vsctl("show")
}

func (o *ovs) stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // killed
}

// daemon runs a program until the end of the test.
func (o *ovs) daemon(name string, command ...string) *exec.Cmd {
	o.t.Helper()
	cmd := exec.Command(command[0], append(command[1:], "--log-file="+o.log(name), "-vconsole:off", "--pidfile="+o.dir+"/"+name+".pid")...)
	cmd.Env = o.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		o.stop(cmd)
		if o.t.Failed() {
			b, _ := os.ReadFile(o.log(name))
			o.t.Logf("%s:\n%s", name, b[max(0, len(b)-3000):])
		}
	})
	return cmd
}

func (o *ovs) log(name string) string { return filepath.Join(o.dir, name+".log") }

// vswitchd starts ovs-vswitchd.
func (o *ovs) vswitchd() {
	o.t.Helper()
	if os.Geteuid() == 0 {
		o.daemon("ovs-vswitchd", "unshare", "--net", "ovs-vswitchd", "unix:"+o.socket())
		return
	}
	// Ordinary users have no interfaces to give; the database is the same.
	o.daemon("ovs-vswitchd", "ovs-vswitchd", "unix:"+o.socket(), "--enable-dummy=override", "--disable-system")
}

func (o *ovs) run(command ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = o.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// vsctl does not wait for ovs-vswitchd.
func (o *ovs) vsctl(args ...string) string {
	o.t.Helper()
	return o.run(append([]string{"ovs-vsctl", "--retry", "--timeout=20", "--no-wait"}, args...)...)
}

// port is the one that the kernel gave to a passive TCP remote of the server.
func (o *ovs) port() string {
	o.t.Helper()
	listening := regexp.MustCompile(`listening on port (\d+)`)
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(o.log("ovsdb-server"))
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
	o.vsctl("set-manager", method+":"+ln.Addr().String())
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
	r := &relay{t: o.t, path: filepath.Join(o.dir, "relay"), server: o.socket(), refused: refused, changed: make(chan struct{})}
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
