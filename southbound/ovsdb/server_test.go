package ovsdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap/zaptest"

	"github.com/macloom/macloom/southbound/ovsdb"
)

// server is a real ovsdb-server that has our address as its manager.
type server struct {
	t   *testing.T
	env []string
}

func (s *server) vsctl(args ...string) {
	s.t.Helper()
	cmd := exec.Command("ovs-vsctl", append([]string{"--timeout=10", "--no-wait"}, args...)...)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("ovs-vsctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func startServer(t *testing.T, manager string) *server {
	t.Helper()
	for _, program := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vsctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: it is in the Debian packages openvswitch-common and openvswitch-switch", program)
		}
	}
	dir, err := os.MkdirTemp("", "ovsdb") // short: it holds a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, env: append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_DBDIR="+dir, "OVS_LOGDIR="+dir)}
	db := filepath.Join(dir, "conf.db")
	if out, err := exec.Command("ovsdb-tool", "create", db, "/usr/share/openvswitch/vswitch.ovsschema").CombinedOutput(); err != nil {
		t.Fatalf("ovsdb-tool: %v: %s", err, out)
	}
	cmd := exec.Command("ovsdb-server", db, "--remote=punix:"+filepath.Join(dir, "db.sock"), "--no-chdir", "-vconsole:off",
		"--remote=db:Open_vSwitch,Open_vSwitch,manager_options", "--unixctl="+filepath.Join(dir, "ctl"))
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed
	})
	listening := func() bool {
		conn, err := net.Dial("unix", filepath.Join(dir, "db.sock"))
		return err == nil && conn.Close() == nil
	}
	for deadline := time.Now().Add(20 * time.Second); !listening(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("ovsdb-server does not listen")
		}
	}
	s.vsctl("init")
	s.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=sys7", "external_ids:hostname=host7", "ovs_version=3.1.0")
	s.vsctl("set-manager", manager)
	return s
}

func TestRealServerIsMonitoredAndChanged(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	conns, served := make(chan *ovsdb.Conn), make(chan error, 1)
	go func() {
		served <- ovsdb.Serve(ctx, ln, ovsdb.Config{Log: zaptest.NewLogger(t)}, func(ctx context.Context, c *ovsdb.Conn) {
			conns <- c
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	s := startServer(t, "tcp:"+ln.Addr().String())
	var c *ovsdb.Conn
	select {
	case c = <-conns:
	case <-ctx.Done():
		t.Fatal("ovsdb-server did not connect")
	}

	states := make(chan ovsdb.Snapshot, 100)
	go func() {
		if err := c.Monitor(ctx, func(s ovsdb.Snapshot) { states <- s }); !errors.Is(err, context.Canceled) {
			t.Errorf("Monitor: %v", err)
		}
		close(states)
	}()
	until := func(want ovsdb.Snapshot) {
		t.Helper()
		var d string
		for {
			select {
			case got := <-states:
				if d = cmp.Diff(want, got, cmpopts.IgnoreTypes(ovsdb.UUID("")), cmpopts.EquateEmpty(),
					cmpopts.IgnoreFields(ovsdb.Snapshot{}, "ExternalIDs", "Managers"), cmpopts.IgnoreFields(ovsdb.Bridge{}, "Ports")); d == "" {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("the state did not come (-want +last):\n%s", d)
			}
		}
	}
	state := ovsdb.Snapshot{SystemID: "sys7", Hostname: "host7", OVSVersion: "3.1.0"}
	until(state)

	s.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "datapath_id=00000000000000a1")
	state.Bridges = []ovsdb.Bridge{{Name: "br0", DatapathID: "00000000000000a1", DatapathType: "netdev", Interfaces: []ovsdb.Interface{{Name: "br0", Type: "internal"}}}}
	until(state)

	s.vsctl("add-port", "br0", "vm1", "--", "set", "interface", "vm1", "external_ids:iface-id=x y", "ofport=3")
	state.Bridges[0].Interfaces = append(state.Bridges[0].Interfaces,
		ovsdb.Interface{Name: "vm1", OFPort: 3, ExternalIDs: map[string]string{"iface-id": "x y"}})
	until(state)

	// What we change ourselves comes back in the same way.
	results, err := c.Transact(ctx,
		ovsdb.Update("Bridge", []ovsdb.Condition{{Column: "name", Function: "==", Value: "br0"}},
			ovsdb.Values{"fail_mode": "secure", "protocols": ovsdb.Set{"OpenFlow13", "OpenFlow15"}}),
		ovsdb.Mutate("Interface", []ovsdb.Condition{{Column: "name", Function: "==", Value: "vm1"}},
			ovsdb.Mutation{Column: "external_ids", Mutator: "insert", Value: ovsdb.Map{"owner": "macloom"}}),
		ovsdb.Select("Bridge", nil, "name", "protocols"))
	if err != nil || results[0].Count != 1 || results[1].Count != 1 || len(results[2].Rows) != 1 {
		t.Fatalf("transaction: %v, %v", results, err)
	}
	if got, err := results[2].Rows[0].Strings("protocols"); err != nil || fmt.Sprint(got) != "[OpenFlow13 OpenFlow15]" {
		t.Errorf("selected protocols: %v, %v", got, err)
	}
	state.Bridges[0].FailMode, state.Bridges[0].Protocols = "secure", []string{"OpenFlow13", "OpenFlow15"}
	state.Bridges[0].Interfaces[1].ExternalIDs["owner"] = "macloom"
	until(state)

	_, err = c.Transact(ctx,
		ovsdb.Delete("Interface", nil),
		ovsdb.Update("Bridge", nil, ovsdb.Values{"fail_mode": "brave"}))
	var failed *ovsdb.OperationError
	if !errors.As(err, &failed) || failed.Index != 1 || failed.Tag != "constraint violation" {
		t.Errorf("a value that the schema forbids: want a constraint violation of operation 1, got %v", err)
	}

	s.vsctl("del-br", "br0")
	state.Bridges = nil
	until(state)
	cancel()
	for range states {
	}
}
