package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
)

// mesh is a fabric of bridges with a host at each.
type mesh struct {
	t       *testing.T
	lab     *lab.Lab
	ctl     *lab.Controller
	bridges []*lab.Bridge
	hosts   []*lab.Host
	links   []string // one end of each
	marks   int
}

// newMesh connects bridges, given as pairs of their numbers, and waits until
// all hosts reach each other.
func newMesh(t *testing.T, bridges int, pairs ...[2]int) *mesh {
	t.Helper()
	return newMeshOf(t, lab.ControllerOptions{}, bridges, pairs...)
}

// newMeshOf is newMesh with options for the controller.
func newMeshOf(t *testing.T, o lab.ControllerOptions, bridges int, pairs ...[2]int) *mesh {
	t.Helper()
	m := &mesh{t: t, lab: lab.New(t)}
	m.ctl = m.lab.Controller(o)
	for i := range bridges {
		b := m.lab.Bridge(fmt.Sprint("s", i), lab.BridgeOptions{DPID: fmt.Sprintf("%016x", 0xa0+i), Controller: lab.ControllerAddr})
		m.bridges = append(m.bridges, b)
		m.hosts = append(m.hosts, m.lab.Host(b, fmt.Sprint("h", i), lab.HostOptions{Addrs: []string{fmt.Sprintf("10.0.0.%d/24", 1+i)}}))
	}
	for _, p := range pairs {
		end, _ := m.lab.Link(m.bridges[p[0]], m.bridges[p[1]])
		m.links = append(m.links, end)
	}
	m.settle(len(pairs))
	return m
}

// settle waits until the fabric has so many links, of which the tree has one less
// than there are switches, and all hosts reach each other.
func (m *mesh) settle(links int) {
	m.t.Helper()
	lab.Wait(m.t, "the links", patience, func() error {
		tree, spare := m.ctl.Metric("macloom_fabric_links", "state=tree"), m.ctl.Metric("macloom_fabric_links", "state=spare")
		if int(tree) != len(m.bridges)-1 || int(tree+spare) != links {
			return fmt.Errorf("%v in the tree, %v spare", tree, spare)
		}
		return nil
	})
	lab.Wait(m.t, "all hosts to reach each other", patience, m.reach)
}

// reach pings between all pairs.
func (m *mesh) reach() error { return m.reachWithin(500 * time.Millisecond) }

// reachWithin is reach with so much time for each answer.
func (m *mesh) reachWithin(timeout time.Duration) error {
	for i, from := range m.hosts {
		for _, to := range m.hosts[i+1:] {
			if got := from.Ping(to.Addr.String(), lab.PingOptions{Count: 1, Timeout: timeout}); got.Received != 1 {
				return fmt.Errorf("%v does not reach %v", from, to)
			}
		}
	}
	return nil
}

// once sends a frame for everybody and fails the test unless each other host sees it
// exactly once.
func (m *mesh) once() {
	m.t.Helper()
	m.marks += 2
	var seen, ends []*lab.Capture
	for _, h := range m.hosts[1:] {
		seen, ends = append(seen, h.Capture(marked(m.marks))), append(ends, h.Capture(marked(m.marks+1)))
	}
	broadcast := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for n := m.marks; n <= m.marks+1; n++ {
		m.hosts[0].SendFrame(mark(ethernet(broadcast, parseMAC(m.hosts[0].MAC), 0x88b5, make([]byte, 46)), n))
	}
	for i := range ends {
		ends[i].Wait(1, patience) // what was sent first has come when this has, but in the kernel's datapath
		seen[i].Wait(1, patience)
		if n := len(seen[i].Stop()); n != 1 {
			m.t.Errorf("%v saw a frame for everybody %d times", m.hosts[1+i], n)
		}
		ends[i].Stop()
	}
}

func (m *mesh) set(link, state string) {
	m.t.Helper()
	if _, err := m.lab.Exec(context.Background(), "ip", "link", "set", link, state); err != nil {
		m.t.Fatal(err)
	}
}

// heals cuts and restores each link, one after the other.
func (m *mesh) heals() {
	m.t.Helper()
	m.once()
	for _, link := range m.links {
		m.set(link, "down")
		m.settle(len(m.links) - 1)
		m.once()
		m.set(link, "up")
		m.settle(len(m.links))
		m.once()
	}
	if n := m.ctl.Metric("macloom_fabric_frames_received_total", "result=forged"); n != 0 {
		m.t.Errorf("%v frames are taken for forged", n)
	}
}

// A ring heals, and is none the worse for a chord that is plugged in while it runs.
func TestARingHeals(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	m.heals()
	m.lab.Link(m.bridges[0], m.bridges[2])
	m.settle(5)
	m.once()
}

// A fat-tree of switches with four ports has four at the core, and four pods of two
// and two; here each has a host.
func TestAFatTreePings(t *testing.T) {
	t.Parallel()
	var pairs [][2]int
	for pod := range 4 {
		above, below := 4+4*pod, 6+4*pod
		for i := range 2 {
			for k := range 2 {
				pairs = append(pairs, [2]int{above + i, 2*i + k}, [2]int{below + k, above + i})
			}
		}
	}
	newMesh(t, 20, pairs...).once()
}

func TestATorusHeals(t *testing.T) {
	t.Parallel()
	newMesh(t, 9, torus()...).heals()
}

// Two links between the same switches are one loop, too; and one that is plugged in later.
func TestParallelLinksAreNoLoop(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2, [2]int{0, 1}, [2]int{0, 1})
	m.once()
	m.lab.Link(m.bridges[1], m.bridges[0])
	m.settle(3)
	m.once()
}

func TestAControllerThatReturnsToARingSendsNoFlowModAndLosesNoPacket(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	lab.Wait(t, "the links to be recorded", patience, func() error {
		if n := len(m.ctl.Must("GET", "/v2.0/links?status=up", nil)["links"].([]any)); n != 4 {
			return fmt.Errorf("%d links", n)
		}
		return nil
	})
	seeks := -1.0
	lab.Wait(t, "all stations to be found by all switches", patience, func() error {
		last := seeks
		if seeks = m.ctl.Metric("macloom_openflow_packet_ins_total", "kind=seek"); seeks != last {
			return errors.Join(errors.New("some were sought just now"), m.reach())
		}
		return nil
	})
	pings := m.hosts[0].StartPing("10.0.0.3", 10*time.Millisecond)
	m.ctl.Kill9()
	pings.Await(100, patience)
	m.ctl.Start()
	m.ctl.WaitReady()
	m.ctl.WaitFabric(4, 40)
	if n := m.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("%v flow-mods were sent: %v", n, m.ctl.Metrics()["macloom_reconcile_flow_mods_total"])
	}
	if got := pings.Stop(); got.Received != got.Sent {
		t.Error(got)
	}
	m.once()
}

// Each host is listed once, at its own port and not at those that its frames
// come by at other switches.
func TestTheHostsOfARingAreListedWhereTheyAre(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	where := map[string]string{}
	for i, h := range m.hosts {
		where[h.MAC] = fmt.Sprintf("%016x %d %s [%s]", 0xa0+i, h.Port, h.Interface, h.Addr)
	}
	listed := func() error {
		got := map[string]string{}
		all := m.ctl.Must("GET", "/v2.0/hosts", nil)["hosts"].([]any)
		for _, o := range all {
			h := o.(map[string]any)
			got[h["mac_address"].(string)] = fmt.Sprintf("%s %v %s %v", h["switch"], h["port"], h["interface"], h["ip_addresses"])
		}
		if d := cmp.Diff(where, got); d != "" || len(all) != len(got) {
			return fmt.Errorf("%d hosts (-want +got):\n%s", len(all), d)
		}
		return nil
	}
	lab.Wait(t, "the hosts", patience, listed)
	if n := m.ctl.Metric("macloom_fabric_hosts"); n != 4 {
		t.Errorf("%v hosts are counted", n)
	}
	if out := m.ctl.CLI("topology", "--hosts"); !strings.Contains(out, m.hosts[2].MAC) {
		t.Errorf("a host is not in\n%s", out)
	}

	m.ctl.Kill9()
	m.ctl.Start()
	m.ctl.WaitReady()
	m.ctl.WaitFabric(4, 8)
	if err := listed(); err != nil {
		t.Errorf("after a restart of the controller: %v", err)
	}

	h := m.hosts[0]
	delete(where, h.MAC)
	h.Unplug()
	lab.Wait(t, "the unplugged host to be gone", patience, listed)
	h.Plug(m.bridges[2])
	where[h.MAC] = fmt.Sprintf("%016x %d %s [%s]", 0xa2, h.Port, h.Interface, h.Addr)
	lab.Wait(t, "it to be elsewhere", patience, func() error {
		_, _ = h.Exec(context.Background(), "ip", "neigh", "flush", "all") // so that it asks
		return errors.Join(m.reach(), listed())
	})
}

func TestAHostCannotForgeALink(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2, [2]int{0, 1})
	lldp := func(frame []byte) bool { return len(frame) > 14 && frame[12] == 0x88 && frame[13] == 0xcc }
	caught := m.hosts[0].Capture(lldp)
	caught.Wait(1, patience)
	frame := caught.Stop()[0]
	frame[len(frame)-4] ^= 1 // of the signature
	m.hosts[1].SendFrame(frame)
	lab.Wait(t, "the frame to be counted", patience, func() error {
		if m.ctl.Metric("macloom_fabric_frames_received_total", "result=forged") != 1 {
			return errors.New("it is not")
		}
		return nil
	})
	m.settle(1)
	// What other equipment says is nothing to us.
	m.hosts[1].SendFrame(ethernet([6]byte{0x01, 0x80, 0xc2, 0, 0, 0x0e}, parseMAC(m.hosts[1].MAC), 0x88cc, make([]byte, 46)))
	lab.Wait(t, "that frame to be counted", patience, func() error {
		if m.ctl.Metric("macloom_fabric_frames_received_total", "result=foreign") != 1 {
			return errors.New("it is not")
		}
		return nil
	})
	m.settle(1)
}
