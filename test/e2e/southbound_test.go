package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// Whoever talks nonsense to the OpenFlow port is dropped or ignored; the switch
// that is connected never notices.
func TestNonsenseOnTheOpenFlowPortHurtsNobody(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	pings := a.StartPing(b.ip, 20*time.Millisecond)

	hello := []byte{4, 0, 0, 8, 0, 0, 0, 1}
	features := slices.Concat([]byte{4, 6, 0, 32, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0xba, 0xd0}, make([]byte, 16))
	noise := make([]byte, 4096)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	long := slices.Concat(hello, []byte{4, 10, 0xff, 0xff, 0, 0, 0, 9}, make([]byte, 65535-8))
	for name, bytes := range map[string][]byte{
		"random bytes":                noise,
		"half a header":               {4, 0, 0},
		"a header without an end":     {4, 0, 0xff, 0xff, 0, 0, 0, 1},
		"a length of zero":            {4, 0, 0, 0, 0, 0, 0, 0},
		"OpenFlow 1.0":                {1, 0, 0, 8, 0, 0, 0, 1},
		"a 64 KiB message":            long,
		"noise after hello":           slices.Concat(hello, noise),
		"an unknown type":             slices.Concat(hello, []byte{4, 99, 0, 8, 0, 0, 0, 3}),
		"a truncated packet-in":       slices.Concat(hello, features, []byte{4, 10, 0, 12, 0, 0, 0, 4, 0, 0, 0, 0}),
		"HTTP":                        []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"nothing, and then it's gone": nil,
	} {
		conn, err := c.lab.Dial(t.Context(), "tcp", "127.0.0.1:6653")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := conn.Write(bytes); err != nil {
			t.Logf("%s: %v", name, err) // cut off in the midst, as it may be
		}
		defer conn.Close() // most stay open: stalled peers
	}
	flows := len(c.lab.Flows(c.bridge))
	third := c.instance("third", "acme", network, "10.0.0.3", nil)
	c.reaches(a, third, true)
	if n := len(c.lab.Flows(c.bridge)); n <= flows {
		t.Errorf("%d flows before, %d after a port was added", flows, n)
	}
	if p := pings.Stop(); p.Received != p.Sent {
		t.Errorf("pings: %v", p)
	}
	if status, err := c.ctl.Call(context.Background(), "", http.MethodGet, "/readyz", nil, nil); err != nil || status != http.StatusOK {
		t.Errorf("readyz: %d, %v", status, err)
	}
}

func TestAPeerThatStallsInTheHandshakeIsCutOff(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Controller(lab.ControllerOptions{})
	conn, err := l.Dial(t.Context(), "tcp", "127.0.0.1:6653")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				t.Error("still connected")
			}
			return
		}
	}
}

func TestASwitchThatSpeaksAnotherVersionIsToldWhatToSet(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{})
	l.Bridge("old", lab.BridgeOptions{Controller: lab.ControllerAddr, Protocols: "OpenFlow10"})
	lab.Wait(t, "a log line that says what to set", patience, func() error {
		if !strings.Contains(ctl.Log(), "protocols=OpenFlow13") {
			return errors.New("no such line")
		}
		return nil
	})
}

func TestAStandaloneBridgeIsPointedOut(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{})
	l.Bridge("loose", lab.BridgeOptions{DPID: "00000000000000f0", Controller: lab.ControllerAddr, FailMode: "standalone"})
	l.Vsctl("set-manager", "tcp:127.0.0.1:6640")
	lab.Wait(t, "the fail mode to be shown", patience, func() error {
		var out struct {
			Switch struct {
				FailMode string `json:"fail_mode"`
			}
		}
		_, err := ctl.Call(context.Background(), ctl.Token(), http.MethodGet, "/v2.0/switches/00000000000000f0", nil, &out)
		if err != nil || out.Switch.FailMode != "standalone" {
			return fmt.Errorf("fail mode %q, %v", out.Switch.FailMode, err)
		}
		return nil
	})
	if !strings.Contains(ctl.Log(), "ovs-vsctl set-fail-mode loose secure") {
		t.Error("the log does not say how to mend it")
	}
}

// Somebody's flow with a cookie of its own stays and is counted; one of ours
// that somebody deletes is put back by the next read-back.
func TestForeignFlowsStayAndLostOnesComeBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	before := c.intended()
	c.ctl.Kill9()
	c.lab.Ofctl("add-flow", "br0", "table=99,priority=7,cookie=0x1234,ip,actions=drop")
	c.lab.Ofctl("--strict", "del-flows", "br0", "table=60,priority=0")
	c.comes(a, b, false)
	c.ctl.Start()
	c.ctl.WaitReady()
	lab.Wait(t, "the foreign flow to be counted", patience, func() error {
		sw := c.ctl.Must(http.MethodGet, "/v2.0/switches/"+dpid, nil)["switch"].(map[string]any)
		if sw["foreign_flows"] != 1.0 {
			return fmt.Errorf("foreign_flows is %v", sw["foreign_flows"])
		}
		return nil
	})
	c.comes(a, b, true)
	if n := c.ctl.Metric("macloom_reconcile_flow_mods_total", "cause=add") + c.ctl.Metric("macloom_reconcile_flow_mods_total", "cause=delete"); n != 1 {
		t.Errorf("%v flow-mods, want one: the flow that was lost", n)
	}
	after := slices.DeleteFunc(c.intended(), func(f string) bool { return strings.Contains(f, "table=99") })
	if len(after) != len(before) {
		t.Errorf("%d flows of ours before, %d after", len(before), len(after))
	}
}

func TestUnmanagedPortsAreDroppedIfSoAsked(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{Args: []string{"--unmanaged", "drop"}})
	c := &cloud{t: t, lab: l, ctl: ctl, bridge: l.Bridge("br0", lab.BridgeOptions{DPID: dpid, Controller: lab.ControllerAddr})}
	c.awaitConnected(true)
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	u := l.Host(c.bridge, "u", lab.HostOptions{Addrs: []string{"10.1.0.1/24"}})
	l.Host(c.bridge, "v", lab.HostOptions{Addrs: []string{"10.1.0.2/24"}})
	c.reaches(a, b, true)
	if got := u.Ping("10.1.0.2", lab.PingOptions{}); got.Received != 0 {
		t.Errorf("unmanaged hosts reach each other: %v", got)
	}
}
