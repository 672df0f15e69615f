package ovstest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patient = 30 * time.Second

func TestASwitchComesBackWithItsBridges(t *testing.T) {
	t.Parallel()
	o := StartServer(t, Server{Clustered: true})
	o.Vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev") // nobody to wait for
	o.StartSwitch()
	path := o.AddBridge("br1", "other-config:datapath-id=00000000000000ab", "--", "add-port", "br1", "p1", "--", "set", "interface", "p1", "ofport_request=7")
	if got := o.Ofctl("show", "br1"); !strings.Contains(got, "dpid:00000000000000ab") || !strings.Contains(got, " 7(p1)") {
		t.Errorf("bridge: %s", got)
	}
	o.StopSwitch()
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("a stopped switch takes connections")
	}
	o.RestartServer()
	o.StartSwitch()
	o.Vsctl("set", "bridge", "br1", "external_ids:a=b") // waits
	if got := o.Ofctl("show", path); !strings.Contains(got, "dpid:00000000000000ab") {
		t.Errorf("bridge after a restart: %s", got)
	}
}

func TestADaemonRunsUntilItIsEnded(t *testing.T) {
	t.Parallel()
	o := StartServer(t, Server{})
	end := o.Daemon("ovsdb-client", "monitor", "Open_vSwitch", "Bridge")
	var pid int
	for deadline := time.Now().Add(patient); pid == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the daemon writes no pid file")
		}
		text, _ := os.ReadFile(o.Path("ovsdb-client.pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the daemon does not run: %v", err)
	}
	end()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the daemon runs on: %v", err)
	}
	end() // as it also does at the end of the test
}

// failed is a test that has failed.
type failed struct {
	testing.TB
	shown strings.Builder
}

func (f *failed) Failed() bool { return true }

func (f *failed) Logf(format string, args ...any) { fmt.Fprintf(&f.shown, format, args...) }

func TestAFailedTestShowsTheLogs(t *testing.T) {
	t.Parallel()
	f := &failed{TB: t}
	t.Cleanup(func() { // after those of the switch
		for _, want := range []string{"ovsdb-server.log:\n", "ovs-vswitchd.log:\n", "bridge br0: added interface br0"} {
			if !strings.Contains(f.shown.String(), want) {
				t.Errorf("no %q in what is shown:\n%s", want, f.shown.String())
			}
		}
	})
	Start(f).AddBridge("br0")
}

// The process of a test may end without its cleanup: when it panics, or runs out of time.
func TestDaemonsDieWithTheProcessOfTheTest(t *testing.T) {
	t.Parallel()
	const child = "OVSTEST_CHILD"
	if os.Getenv(child) != "" {
		o := Start(t)
		o.AddBridge("br0")
		fmt.Println("\nruns in " + o.Path(""))
		select {} // until it is killed
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		_, dir, _ = strings.Cut(lines.Text(), "runs in ")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	if dir == "" {
		t.Fatal("the other process started no switch")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, socket := range []string{"db.sock", "br0.mgmt"} {
		for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
			conn, err := net.Dial("unix", filepath.Join(dir, socket))
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if time.Now().After(deadline) {
				t.Fatalf("%s still takes connections", socket)
			}
		}
	}
}
