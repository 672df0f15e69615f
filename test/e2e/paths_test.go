package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

func torus() (pairs [][2]int) {
	for y := range 3 {
		for x := range 3 {
			pairs = append(pairs, [2]int{3*y + x, 3*y + (x+1)%3}, [2]int{3*y + x, 3*((y+1)%3) + x})
		}
	}
	return pairs
}

// acquaint pings until all hosts reach each other without frames for unknown stations.
func (m *mesh) acquaint() {
	m.t.Helper()
	lab.Wait(m.t, "paths between all hosts", patience, func() error {
		if err := m.reach(); err != nil {
			return err
		}
		before := m.sought()
		if err := m.reach(); err != nil {
			return err
		}
		if n := m.sought() - before; n != 0 {
			return fmt.Errorf("%d frames are for unknown stations", n)
		}
		return nil
	})
}

var packetsOf = regexp.MustCompile(`n_packets=(\d+)`)

// sought counts the frames for stations that were unknown.
func (m *mesh) sought() int {
	return m.hits("table=31", "controller(") + m.hits("table=31", "CONTROLLER")
}

// hits counts the packets of the flows of a table that do something.
func (m *mesh) hits(table, does string) (n int) {
	m.t.Helper()
	for _, b := range m.bridges {
		for line := range strings.Lines(m.lab.Ofctl("dump-flows", b.Name, table)) {
			if count := packetsOf.FindStringSubmatch(line); count != nil && strings.Contains(line, does) {
				packets, err := strconv.Atoi(count[1])
				if err != nil {
					m.t.Fatal(err)
				}
				n += packets
			}
		}
	}
	return n
}

// sent waits until a series of pings has so many more.
func (m *mesh) sent(p *lab.RunningPing, more int) {
	m.t.Helper()
	p.Await(more, patience)
}

// What has another way heals in the switches while there is no controller; and one
// that comes back finds nothing to do.
func TestPathsHealWithoutTheController(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 9, torus()...)
	m.acquaint()
	lab.Wait(t, "the links to be recorded", patience, func() error {
		if n := len(m.ctl.Must("GET", "/v2.0/links?status=up", nil)["links"].([]any)); n != len(m.links) {
			return fmt.Errorf("%d links", n)
		}
		return nil
	})
	m.ctl.Kill9()
	worst, all, longest := 0, 0, time.Duration(0)
	for _, link := range m.links {
		pings := m.hosts[0].StartPing(m.hosts[4].Addr.String(), 2*time.Millisecond)
		m.sent(pings, 50)
		m.set(link, "down")
		m.sent(pings, 300)
		if err := m.reachWithin(patience); err != nil {
			t.Errorf("with %s down: %v", link, err)
		}
		got := pings.Stop()
		lost := got.Sent - got.Received
		worst, all, longest = max(worst, lost), all+lost, max(longest, got.Gap)
		if lost > 200 {
			t.Errorf("%s was cut: %v", link, got)
		}
		m.set(link, "up")
	}
	t.Logf("pings of 2 ms lost on a cut: %d at most, %d in %d cuts, longest gap %v", worst, all, len(m.links), longest)
	m.ctl.Start()
	m.ctl.WaitReady()
	m.ctl.WaitFabric(9, 100)
	if n := m.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("%v flow-mods were sent", n)
	}
	before := m.sought()
	if err := m.reachWithin(patience); err != nil {
		t.Error(err)
	}
	if n := m.sought() - before; n != 0 {
		t.Errorf("%d frames were for unknown stations", n)
	}
}

// A host that is plugged in elsewhere is found there by those who talk to it, and
// its frames go to nobody else.
func TestAHostMovesThroughAFabric(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	m.acquaint()
	if m.sought() == 0 || m.hits("table=33", "resubmit") == 0 {
		t.Error("no frame has come by a path, or none was for an unknown station")
	}
	mover, peer := m.hosts[1], m.hosts[0]
	pings := peer.StartPing(mover.Addr.String(), 20*time.Millisecond)
	m.sent(pings, 10)
	mover.Unplug()
	mover.Plug(m.bridges[3])
	lab.Wait(t, "the host to answer from where it is", patience, func() error {
		mover.Ping(m.hosts[2].Addr.String(), lab.PingOptions{Count: 1, Timeout: 200 * time.Millisecond})
		if got := peer.Ping(mover.Addr.String(), lab.PingOptions{Count: 1, Timeout: 200 * time.Millisecond}); got.Received != 1 {
			return errors.New(got.String())
		}
		return nil
	})
	pings.Stop()
	m.acquaint()
	m.once()
}
