package e2e

import (
	"errors"
	"testing"

	"github.com/macloom/macloom/test/lab"
)

// A bridge that is not ours joins two switches of a ring. Its hosts are reached by one of the two
// ports, and frames for everybody do not go round.
func TestABridgeOfOthersIsNoLoop(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 0})
	other := m.lab.Bridge("other", lab.BridgeOptions{FailMode: "standalone"})
	m.lab.Link(m.bridges[0], other)
	m.lab.Link(m.bridges[1], other)
	m.hosts = append(m.hosts, m.lab.Host(other, "h3", lab.HostOptions{Addrs: []string{"10.0.0.4/24"}}))
	joined := func() error {
		if m.ctl.Metric("macloom_fabric_frames_received_total", "result=joined") == 0 {
			return errors.New("no bridge is seen")
		}
		return nil
	}
	lab.Wait(t, "the bridge to be seen", patience, joined)
	lab.Wait(t, "its host to be reached", patience, m.reach)
	m.once()
	m.acquaint()
	m.once()

	// The ring breaks, and then is whole again.
	m.set(m.links[0], "down")
	m.settle(2)
	m.once()
	m.set(m.links[0], "up")
	m.settle(3)
	m.once()
}

// One that passes on even the frames by which links are found is no loop, either, though all three switches hear
// each other by it.
func TestAHubIsNoLoop(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 0})
	hub := m.lab.Bridge("hub", lab.BridgeOptions{FailMode: "standalone"})
	m.lab.Vsctl("set", "bridge", hub.Name, "other-config:forward-bpdu=true")
	m.hosts = append(m.hosts, m.lab.Host(hub, "h3", lab.HostOptions{Addrs: []string{"10.0.0.4/24"}}))
	for _, b := range m.bridges {
		m.lab.Link(b, hub)
	}
	lab.Wait(t, "the hub to be seen, and its host to be reached", patience, func() error {
		if m.ctl.Metric("macloom_fabric_frames_received_total", "result=joined") == 0 {
			return errors.New("no hub is seen")
		}
		return m.reach()
	})
	m.settle(3)
	m.once()
	m.set(m.links[0], "down")
	m.settle(2)
	m.once()
}
