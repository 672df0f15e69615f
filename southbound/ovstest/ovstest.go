// Package ovstest runs an Open vSwitch for a test: the oracle that nobody here
// wrote.
package ovstest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// LookTool finds a program of Open vSwitch. It is a dependency of the tests, not
// an extra.
func LookTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name) // daemons; not in everybody's PATH
	}
	if err != nil {
		t.Fatalf("%s is needed: install Open vSwitch (Debian: apt-get install openvswitch-switch): %v", name, err)
	}
	return path
}

// OVS is an Open vSwitch of the test's own. Its userspace datapath has
// dummy devices: flows pass through the same code as with real ones, but it needs
// no privilege and any number of them run beside each other.
//
// Methods that fail end the test. When the test has failed, it shows the logs of
// the daemons.
type OVS struct {
	t        testing.TB
	dir      string
	env      []string
	args     []string // of ovsdb-server
	server   *daemon
	vswitchd *daemon // nil if it does not run
}

// Start starts an Open vSwitch that runs until the test ends.
func Start(t testing.TB) *OVS {
	t.Helper()
	o := StartServer(t, Server{})
	o.StartSwitch()
	return o
}

// Server says which ovsdb-server it shall be.
type Server struct {
	Clustered bool     // the database is a cluster of one, which remembers its transactions
	Args      []string // further arguments, such as more remotes
}

// StartServer starts an Open vSwitch of which only ovsdb-server runs, until
// StartSwitch is called. The server serves its socket and the managers of the database.
func StartServer(t testing.TB, s Server) *OVS {
	t.Helper()
	// Not t.TempDir: the path of a unix socket has to be short.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := &OVS{t: t, dir: dir, env: append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir, "OVS_SYSCONFDIR="+dir)}
	t.Cleanup(o.showLogs)
	db := o.Path("conf.db")
	if s.Clustered {
		o.Run("ovsdb-tool", "create-cluster", db, schema, "unix:"+o.Path("raft"))
	} else {
		o.Run("ovsdb-tool", "create", db, schema)
	}
	o.args = append([]string{"--remote=punix:" + o.Socket(), "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", db}, s.Args...)
	o.server = o.start("ovsdb-server", o.args...)
	o.Vsctl("init")
	return o
}

// RestartServer kills ovsdb-server and starts it again, on the same database.
func (o *OVS) RestartServer() {
	o.t.Helper()
	o.server.end()
	o.server = o.start("ovsdb-server", o.args...)
	o.Vsctl("show") // it answers
}

// SuspendServer makes ovsdb-server stand still, with its connections open.
func (o *OVS) SuspendServer() {
	o.t.Helper()
	if err := o.server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		o.t.Fatalf("suspend ovsdb-server: %v", err)
	}
}

// StartSwitch starts ovs-vswitchd where it does not run.
func (o *OVS) StartSwitch() {
	o.t.Helper()
	o.vswitchd = o.start("ovs-vswitchd", "--enable-dummy=override", "--disable-system")
}

// StopSwitch kills ovs-vswitchd. Its bridges stay in the database.
func (o *OVS) StopSwitch() {
	o.vswitchd.end()
	o.vswitchd = nil
}

// Daemon runs a further daemon of Open vSwitch until the returned function is
// called or the test ends, or its process dies. Its log is Path(name + ".log").
func (o *OVS) Daemon(name string, args ...string) (end func()) {
	o.t.Helper()
	return o.start(name, args...).end
}

type daemon struct {
	cmd *exec.Cmd
	end func()
}

func (o *OVS) start(name string, args ...string) *daemon {
	o.t.Helper()
	cmd := exec.Command(LookTool(o.t, name), append(args, "-vconsole:off", "--log-file="+o.Path(name+".log"), "--pidfile")...)
	cmd.Env = o.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel sends the signal when the thread that started the process ends, so that thread waits.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed
		}
	}()
	if err := <-started; err != nil {
		o.t.Fatalf("start %s: %v", name, err)
	}
	d := &daemon{cmd: cmd, end: sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	})}
	o.t.Cleanup(d.end)
	return d
}

// showLogs shows the end of each log if the test failed.
func (o *OVS) showLogs() {
	if !o.t.Failed() {
		return
	}
	logs, _ := filepath.Glob(o.Path("*.log")) // the pattern is well-formed
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			o.t.Error(err)
		}
		o.t.Logf("%s:\n%s", filepath.Base(path), text[max(0, len(text)-4000):])
	}
}

// Path returns the path of a file in the directory of the daemons. It is short
// enough for a unix socket. A bridge reaches a controller only at a socket that
// is there and that is called after the bridge, such as br0.controller.
func (o *OVS) Path(name string) string { return filepath.Join(o.dir, name) }

// Socket returns the path of the socket of ovsdb-server.
func (o *OVS) Socket() string { return o.Path("db.sock") }

// Run runs a program of Open vSwitch and returns what it prints.
func (o *OVS) Run(name string, args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, LookTool(o.t, name), args...)
	cmd.Env = o.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Vsctl runs ovs-vsctl, which waits until ovs-vswitchd, if it runs, has done what is asked for.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	// A daemon takes a moment to listen, which --retry waits out.
	options := []string{"--retry", "--timeout=60"}
	if o.vswitchd == nil {
		options = append(options, "--no-wait")
	}
	return o.Run("ovs-vsctl", append(options, args...)...)
}

// Ofctl runs ovs-ofctl, which speaks version 1.3.
func (o *OVS) Ofctl(args ...string) string {
	o.t.Helper()
	return o.Run("ovs-ofctl", append([]string{"-O", "OpenFlow13"}, args...)...)
}

// AddBridge adds a bridge that speaks version 1.3 and returns the socket on which the bridge
// takes OpenFlow. Further columns to set, such as other-config:datapath-id=…,
// and after "--" further commands are ovs-vsctl's.
func (o *OVS) AddBridge(name string, more ...string) string {
	o.t.Helper()
	o.Vsctl(append([]string{
		"add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13",
	}, more...)...)
	return o.Path(name + ".mgmt")
}
