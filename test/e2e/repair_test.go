package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

func (c *cloud) theSwitch() map[string]any {
	c.t.Helper()
	return c.ctl.Must(http.MethodGet, "/v2.0/switches/"+dpid, nil)["switch"].(map[string]any)
}

// A switch that restarts under traffic has its flows back within two seconds of
// its return: of the pings since, at most two seconds' worth are lost.
func TestARestartUnderTrafficCostsTwoSecondsOfPacketsAtMost(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	c.reaches(a, b, true)
	const interval = 10 * time.Millisecond
	traffic := a.StartPing(b.ip, interval)
	before := c.theSwitch()["address"] // of the connection; times are in whole seconds
	c.lab.RestartSwitch()
	var sent int
	lab.Wait(t, "the switch to be back", patience, func() error {
		sent = traffic.Sent()
		if sw := c.theSwitch(); sw["connected"] != true || sw["address"] == before {
			return fmt.Errorf("switch is %v", sw)
		}
		return nil
	})
	c.comes(a, b, true)
	pings := traffic.Stop()
	lost := 0
	for _, seq := range pings.Lost {
		if seq >= sent {
			lost++
		}
	}
	t.Logf("%d of %d pings lost after the reconnect, %d in all", lost, pings.Sent-sent, len(pings.Lost))
	if lost > int(2*time.Second/interval) {
		t.Errorf("%d pings lost after the reconnect", lost)
	}
	if n := c.ctl.Metric("macloom_reconcile_repaired_flows_total"); n != 0 {
		t.Errorf("%v repairs; a restart is nobody's doing", n)
	}
}

// Flows that somebody deletes by hand come back at once, not with the next
// audit, and the controller says what it found.
func TestFlowsDeletedByHandAreRepairedAndReported(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	c.reaches(a, b, true)
	before := c.intended()
	c.lab.Ofctl("del-flows", "br0")
	lab.Wait(t, "the flows to be repaired", patience, func() error {
		if n := c.ctl.Metric("macloom_reconcile_repaired_flows_total"); int(n) != len(before) {
			return fmt.Errorf("%v flows repaired, want %d", n, len(before))
		}
		return nil
	})
	if after := c.intended(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("flows before:\n%v\nafter:\n%v", before, after)
	}
	c.comes(a, b, true)
	lab.Wait(t, "the report", patience, func() error {
		if log := c.ctl.Log(); !strings.Contains(log, "somebody else changed the switch; repaired") || !strings.Contains(log, "restored flow cookie=0x5d") {
			return errors.New("not in the log")
		}
		return nil
	})
}
