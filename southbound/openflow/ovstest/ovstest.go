// Package ovstest runs an Open vSwitch for a test: the oracle that nobody here
// wrote.
package ovstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// LookTool finds a program of Open vSwitch. It is a dependency of the tests, not
// an extra.
func LookTool(t *testing.T, name string) string {
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
type OVS struct {
	dir string
	env []string
}

// Start starts an Open vSwitch that runs until the test ends.
func Start(t *testing.T) *OVS {
	t.Helper()
	dbServer, vswitchd := LookTool(t, "ovsdb-server"), LookTool(t, "ovs-vswitchd")
	// Not t.TempDir: the path of a unix socket has to be short.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ovs := &OVS{dir: dir, env: append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir)}
	db := filepath.Join(dir, "conf.db")
	ovs.Run(t, "ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema")
	ovs.start(t, dbServer, "-vconsole:off", "--log-file", "--remote=punix:"+filepath.Join(dir, "db.sock"), db)
	// The daemon takes a moment to listen, which --retry waits out.
	ovs.Run(t, "ovs-vsctl", "--retry", "--timeout=60", "--no-wait", "init")
	ovs.start(t, vswitchd, "--enable-dummy=override", "-vconsole:off", "--log-file")
	return ovs
}

// start runs a daemon in the foreground until the test ends or its process dies.
func (o *OVS) start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
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
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
}

// Run runs a program of Open vSwitch and returns what it prints.
func (o *OVS) Run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(LookTool(t, name), args...)
	cmd.Env = o.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// AddBridge adds a bridge that speaks version 1.3 and returns the socket on which the bridge takes OpenFlow.
func (o *OVS) AddBridge(t *testing.T, name string) string {
	t.Helper()
	o.Run(t, "ovs-vsctl", "--timeout=60", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow13")
	return filepath.Join(o.dir, name+".mgmt")
}
