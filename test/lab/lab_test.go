package lab_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// plain makes a bridge that forwards as a normal switch, with two hosts.
func plain(t *testing.T) (*lab.Lab, *lab.Bridge, *lab.Host, *lab.Host) {
	l := lab.New(t)
	br := l.Bridge("br0", lab.BridgeOptions{DPID: "00000000000000a1"})
	l.Ofctl("add-flow", br.Name, "priority=0,actions=NORMAL")
	a := l.Host(br, "a", lab.HostOptions{MAC: "02:00:05:00:00:01", Addrs: []string{"10.0.0.1/24"}, Port: 7})
	b := l.Host(br, "b", lab.HostOptions{MAC: "02:00:05:00:00:02", Addrs: []string{"10.0.0.2/24"}})
	return l, br, a, b
}

func TestHostsOnANormalBridgePing(t *testing.T) {
	t.Parallel()
	l, br, a, b := plain(t)

	want := lab.Pings{Sent: 5, Received: 5}
	got := a.Ping("10.0.0.2", lab.PingOptions{Count: 5, Interval: 10 * time.Millisecond})
	got.Gap = 0
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("pings from a to b (-want +got):\n%s", d)
	}
	if br.DPID != "00000000000000a1" {
		t.Errorf("datapath id: want 00000000000000a1, got %s", br.DPID)
	}
	if a.Port != 7 || a.Interface != "a" || b.MAC != "02:00:05:00:00:02" {
		t.Errorf("hosts: port %d, interface %s, MAC %s", a.Port, a.Interface, b.MAC)
	}
	if d := cmp.Diff([]string{"priority=0 actions=NORMAL"}, trimmed(l.Flows(br))); d != "" {
		t.Errorf("flows (-want +got):\n%s", d)
	}
	out, err := b.Exec(context.Background(), "ip", "-br", "addr", "show", "eth0")
	if err != nil || !strings.Contains(out, "10.0.0.2/24") {
		t.Errorf("ip addr on b: %v: %s", err, out)
	}
}

// trimmed makes the flows of different versions of ovs-ofctl alike.
func trimmed(flows []string) []string {
	for i := range flows {
		flows[i] = strings.Join(strings.Fields(flows[i]), " ")
	}
	return flows
}

func TestPingCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	l, br, a, _ := plain(t)

	run := a.StartPing("10.0.0.2", 5*time.Millisecond)
	lab.Wait(t, "the first ping", 10*time.Second, func() error {
		if out := l.Ofctl("dump-flows", br.Name); strings.Contains(out, "n_packets=0,") {
			return fmt.Errorf("nothing has passed: %s", out)
		}
		return nil
	})
	l.Ofctl("del-flows", br.Name)
	// The datapath takes a flow change over a moment after the switch has.
	lab.Wait(t, "pings to be lost without flows", 10*time.Second, func() error {
		if lost := a.Ping("10.0.0.2", lab.PingOptions{Count: 2, Timeout: 100 * time.Millisecond}); lost.Sent != 2 || lost.Received != 0 {
			return fmt.Errorf("want 2 sent, 0 received, got %s", lost)
		}
		return nil
	})
	l.Ofctl("add-flow", br.Name, "priority=0,actions=NORMAL")
	lab.Wait(t, "pings to pass with the flow again", 10*time.Second, func() error {
		if again := a.Ping("10.0.0.2", lab.PingOptions{Count: 2}); again.Received != 2 {
			return fmt.Errorf("want 2 received, got %s", again)
		}
		return nil
	})
	got := run.Stop()
	if got.Received == 0 || got.Received == got.Sent || got.Gap < 50*time.Millisecond {
		t.Errorf("want some pings lost and a gap, got %s", got)
	}
}

func TestFramesAreSentAndCapturedAsTheyAre(t *testing.T) {
	t.Parallel()
	_, _, a, b := plain(t)
	for name, frame := range map[string]string{
		"foreign source": "020005000002" + "02deadbeef01" + "88b5" + "0102030405",
		"tagged":         "020005000002" + "02deadbeef02" + "8100" + "6005" + "88b5" + "aabbcc",
		"foreign target": "02deadbeef09" + "02deadbeef03" + "88b5" + "112233",
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := hex.DecodeString(frame)
			if err != nil {
				t.Fatal(err)
			}
			source := sent[6:12]
			capture := b.Capture(func(f []byte) bool { return bytes.Equal(f[6:12], source) })
			a.SendFrame(sent)
			capture.Wait(1, 5*time.Second)
			frames := capture.Stop()
			if len(frames) != 1 || !bytes.HasPrefix(frames[0], sent) {
				t.Errorf("want one frame that begins with %x, got %x", sent, frames)
			}
		})
	}
}

func TestBridgesAreLinked(t *testing.T) {
	t.Parallel()
	l, br0, a, _ := plain(t)
	br1 := l.Bridge("br1", lab.BridgeOptions{})
	l.Ofctl("add-flow", br1.Name, "priority=0,actions=NORMAL")
	l.Link(br0, br1)
	c := l.Host(br1, "c", lab.HostOptions{Addrs: []string{"10.0.0.3/24", "fd00::3/64"}, IPv6: true})
	d := l.Host(br0, "d", lab.HostOptions{Addrs: []string{"fd00::4/64"}, IPv6: true})

	if got := a.Ping("10.0.0.3", lab.PingOptions{}); got.Received != 3 {
		t.Errorf("IPv4 over the link: %s", got)
	}
	if got := d.Ping("fd00::3", lab.PingOptions{}); got.Received != 3 {
		t.Errorf("IPv6 over the link: %s", got)
	}
	c.Unplug()
	if got := a.Ping("10.0.0.3", lab.PingOptions{Timeout: 100 * time.Millisecond}); got.Received != 0 {
		t.Errorf("after unplugging: %s", got)
	}
	c.Plug(br0)
	lab.Wait(t, "NORMAL to learn the new place of c", 10*time.Second, func() error {
		if got := a.Ping("10.0.0.3", lab.PingOptions{}); got.Received != 3 {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}

func TestRestartedSwitchComesBackWithoutFlows(t *testing.T) {
	t.Parallel()
	l, br, _, _ := plain(t)
	l.RestartSwitch()
	if got := l.Flows(br); len(got) != 0 {
		t.Errorf("flows after a restart of a secure bridge: want none, got %q", got)
	}
}

func TestLabsUseTheSamePortsAtOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			server := l.Start("python3", "-u", "-c",
				"import socket; s=socket.create_server(('127.0.0.1',6653)); print('listening'); c,_=s.accept(); c.sendall(b'"+name+"'); c.close()")
			lab.Wait(t, "the server", 10*time.Second, func() error {
				if !strings.Contains(server.Output(), "listening") {
					return fmt.Errorf("it has printed %q", server.Output())
				}
				return nil
			})
			conn, err := l.Dial(context.Background(), "tcp", "127.0.0.1:6653")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := make([]byte, 16)
			n, err := conn.Read(got)
			if err != nil || string(got[:n]) != name {
				t.Errorf("want %q, got %q, %v", name, got[:n], err)
			}
			// The thread that dialled is back in the test's own namespace.
			if conn, err := net.Dial("tcp", "127.0.0.1:6653"); err == nil {
				t.Errorf("port 6653 answers outside of the lab: %v", conn.RemoteAddr())
				conn.Close()
			}
		})
	}
}

func TestNothingIsLeftAfterALab(t *testing.T) {
	t.Parallel()
	var dir, ns string
	var pid int
	t.Run("lab", func(t *testing.T) {
		l, _, a, _ := plain(t)
		dir, ns = l.Dir(), l.Namespace()
		pid = a.Start("sleep", "1000").PID()
		if _, err := a.Exec(context.Background(), "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"); err != nil {
			t.Fatal(err)
		}
	})
	left, err := filepath.Glob("/var/run/netns/" + strings.TrimSuffix(ns, "sw") + "*")
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
	for _, path := range []string{dir, dir + ".lock", fmt.Sprintf("/proc/%d", pid)} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}
