package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

const virtual = "10.0.0.100"

// pool makes an affinity pool of the network with the virtual address, and returns its path.
func (c *cloud) pool(network, protocol string, more map[string]any) string {
	c.t.Helper()
	attributes := map[string]any{"network_id": network, "vip_address": virtual, "protocol": protocol, "protocol_port": 80}
	for k, v := range more {
		attributes[k] = v
	}
	return "/v2.0/mac-affinity/pools/" + c.create("mac-affinity/pools", "affinity_pool", attributes)["id"].(string)
}

// serve adds an instance to a pool, and returns the path of the backend.
func (c *cloud) serve(pool string, i instance) string {
	c.t.Helper()
	made := c.ctl.Must(http.MethodPost, pool+"/backends", map[string]any{"backend": map[string]any{"port_id": i.portID(), "protocol_port": 80, "name": i.Name}})
	return pool + "/backends/" + made["backend"].(map[string]any)["id"].(string)
}

// asked is how many packets have gone to the controller.
func (c *cloud) asked() float64 {
	c.t.Helper()
	return c.ctl.Metric("macloom_neighbour_questions_total") + c.ctl.Metric("macloom_learn_packet_ins_total") + c.ctl.Metric("macloom_dhcp_messages_total")
}

// setBackend changes a backend.
func (c *cloud) setBackend(backend string, attributes map[string]any) {
	c.t.Helper()
	c.ctl.Must(http.MethodPut, backend, map[string]any{"backend": attributes})
}

// awaitPool waits until all switches have what a pool is by now.
func (c *cloud) awaitPool(pool, want string) {
	c.t.Helper()
	lab.Wait(c.t, "the pool to be "+want, patience, func() error {
		p := c.ctl.Must(http.MethodGet, pool, nil)["affinity_pool"].(map[string]any)
		if p["status"] != want {
			return fmt.Errorf("status %v: %v", p["status"], p["status_reason"])
		}
		return nil
	})
}

// greet answers every connection with a name, and then echoes.
func greet(ln net.Listener, name string) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if _, err := io.WriteString(conn, name); err == nil {
				_, _ = io.Copy(conn, conn)
			}
		}()
	}
}

// visit connects to the virtual address and says who serves there.
func (i instance) visit(within time.Duration) (conn net.Conn, who string, err error) {
	if conn, err = i.Dial("tcp", virtual+":80", within); err != nil {
		return nil, "", err
	}
	var name [2]byte
	if err = conn.SetReadDeadline(time.Now().Add(within)); err == nil {
		_, err = io.ReadFull(conn, name[:])
	}
	if err != nil {
		conn.Close()
		return nil, "", err
	}
	return conn, string(name[:]), nil
}

// Clients reach backends on their own host and on another one by real connections,
// stay with the one that they were given while it drains, and are with another at
// once when it is down.
func TestClientsStayWithTheirBackendAcrossHosts(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	network := c.network("acme", "front", "10.0.0.0/24")
	client, neighbour := c.boot("client", "acme", network, "10.0.0.1", true), all[1].boot("neighbour", "acme", network, "10.0.0.2", true)
	pool := c.pool(network, "tcp", nil)
	backends := map[string]string{}
	for i, s := range []site{all[0], all[1], all[1]} {
		name := fmt.Sprint("b", i)
		b := s.boot(name, "acme", network, fmt.Sprint("10.0.0.", 11+i), true)
		go greet(b.Listen("tcp", b.ip+":80"), name)
		backends[name] = c.serve(pool, b)
	}
	c.awaitPool(pool, "ACTIVE")
	began := time.Now()
	conn, first, err := client.visit(patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Logf("the first connection took %v, with the question for the address and the greeting", time.Since(began))
	stays := func(what string, i instance, want string) {
		t.Helper()
		for range 6 {
			again, who, err := i.visit(patience)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			again.Close()
			if who != want {
				t.Errorf("%s: a connection went to %s, not to %s", what, who, want)
			}
		}
	}
	asked := c.asked() // the backend's question for the client among them
	stays("all backends up", client, first)
	if n := c.asked() - asked; n != 0 {
		t.Errorf("%v packets went to the controller", n)
	}
	got := c.explain(client, "to="+virtual+"&protocol=tcp&dst_port=80")
	if got.Verdict != "delivered" || !strings.Contains(fmt.Sprint(got), first) {
		t.Errorf("explained as %+v; it went to %s", got, first)
	}

	// One who is new goes elsewhere, one who was there stays.
	c.setBackend(backends[first], map[string]any{"admin_state": "drain"})
	c.awaitPool(pool, "ACTIVE")
	stays("while its backend drains", client, first)
	if err := exchange(conn, patience); err != nil {
		t.Errorf("while its backend drains, the connection of before: %v", err)
	}
	fresh, who, err := neighbour.visit(patience)
	if err != nil {
		t.Fatal(err)
	}
	fresh.Close()
	if who == first {
		t.Errorf("a new client went to %s, which drains", who)
	}
	c.setBackend(backends[first], map[string]any{"health": "down", "diagnosis": "no answer"})
	c.awaitPool(pool, "ACTIVE")
	next, second, err := client.visit(patience)
	if err != nil || second == first {
		t.Fatalf("after its backend went down, the client is with %q: %v", second, err)
	}
	next.Close()
	// The connection of before is one to somebody who does not know it: it ends rather than hangs.
	if err := exchange(conn, patience); err == nil {
		t.Error("the connection to what is down goes on")
	}
	c.setBackend(backends[first], map[string]any{"admin_state": "up", "health": "up", "diagnosis": ""})
	c.awaitPool(pool, "ACTIVE")
	stays("when the first is up again", client, second)

	c.ctl.Must(http.MethodDelete, pool, nil)
	lab.Wait(t, "the pool to be gone from the switches", patience, func() error {
		for _, s := range all {
			for _, f := range s.lab.Flows(s.bridge) {
				if strings.Contains(f, "cookie=0x5d18") || strings.Contains(f, "cookie=0x5d19") || strings.Contains(f, "cookie=0x5d1a") || strings.Contains(f, "cookie=0x5d1b") {
					return fmt.Errorf("there is still %s", f)
				}
			}
		}
		return nil
	})
}

// crowd is many clients behind one port, as of a machine with nested ones.
type crowd struct {
	*cloud
	gate     instance
	vip      [6]byte
	captures map[string]*lab.Capture // by backend
	n        int
	round    byte // of visits, in the source port: what was sent in one before may come late
}

func stationNo(i int) [6]byte { return [6]byte{0x02, 0xc1, 0, 0, byte(i >> 8), byte(i)} }

// isBalanced tells datagrams of the crowd.
func isBalanced(frame []byte) bool {
	return len(frame) > 34 && frame[6] == 0x02 && frame[7] == 0xc1 && frame[23] == 17
}

// visit lets every client send a datagram and says whose backend each has come to.
func (w *crowd) visit() map[int]string {
	w.t.Helper()
	at, seen := map[int]string{}, map[string]int{}
	w.round++
	lab.Wait(w.t, "all clients to be served", 3*patience, func() error {
		var frames [][]byte
		for i := range w.n {
			if at[i] == "" {
				frames = append(frames, udp(stationNo(i), w.vip, [4]byte{10, 1, byte(i >> 8), byte(i)}, [4]byte{10, 0, 0, 100}, w.round, 80))
			}
		}
		for some := range slices.Chunk(frames, 64) { // no more than the switch's buffer takes
			w.gate.SendFrame(some...)
		}
		for name, capture := range w.captures {
			frames := capture.Frames()
			for _, f := range frames[seen[name]:] {
				if f[35] != w.round {
					continue
				}
				i := int(f[10])<<8 | int(f[11])
				if at[i] != "" && at[i] != name {
					w.t.Errorf("client %d came to %s and to %s", i, at[i], name)
				}
				at[i] = name
			}
			seen[name] = len(frames)
		}
		if len(at) < w.n {
			return fmt.Errorf("%d of %d", len(at), w.n)
		}
		return nil
	})
	return at
}

// delay is how long the first frame of a new client takes to its backend, in the middle of
// so many.
func (w *crowd) delay(clients int) time.Duration {
	w.t.Helper()
	arrived := func() (n int) {
		for _, capture := range w.captures {
			n += capture.Count()
		}
		return n
	}
	var took []time.Duration
	for i := range clients {
		frame := udp([6]byte{0x02, 0xc1, 1, 0, byte(i >> 8), byte(i)}, w.vip, [4]byte{10, 2, byte(i >> 8), byte(i)}, [4]byte{10, 0, 0, 100}, 255, 80)
		before, began := arrived(), time.Now()
		w.gate.SendFrame(frame)
		for arrived() == before {
			if time.Since(began) > patience {
				w.t.Fatalf("the frame of new client %d does not arrive", i)
			}
			time.Sleep(20 * time.Microsecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// pins are the pins in the switch, byIP those that know their client by its IP address, too.
func (c *cloud) pins() (all, byIP int) {
	c.t.Helper()
	for _, f := range c.lab.Flows(c.bridge) {
		if strings.HasPrefix(strings.TrimSpace(f), "cookie=0x5d1b") {
			all++
			if strings.Contains(f, "nw_src=") {
				byIP++
			}
		}
	}
	return all, byIP
}

// newCrowd makes a pool with backends, b0 to b(n-1), and clients behind one port.
func newCrowd(t *testing.T, clients, backends int, timeout int) (w *crowd, pool string, paths []string) {
	t.Helper()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "front", "10.0.0.0/24")
	open := map[string]any{"port_security_enabled": false}
	w = &crowd{cloud: c, n: clients, captures: map[string]*lab.Capture{}}
	w.gate = c.instance("gate", "acme", network, "10.0.0.1", open)
	pool = c.pool(network, "udp", map[string]any{"timeout": timeout})
	vip := c.ctl.Must(http.MethodGet, pool, nil)["affinity_pool"].(map[string]any)["vip_port_id"].(string)
	w.vip = parseMAC(c.ctl.Must(http.MethodGet, "/v2.0/ports/"+vip, nil)["port"].(map[string]any)["mac_address"].(string))
	for i := range backends {
		b := c.instance(fmt.Sprint("b", i), "acme", network, fmt.Sprint("10.0.0.", 11+i), open)
		w.captures[b.Name] = b.Capture(isBalanced)
		paths = append(paths, c.serve(pool, b))
	}
	return w, pool, paths
}

// A thousand clients: a backend more moves none of them, one less only its own, and
// evenly; and who says nothing is forgotten.
func TestAThousandClientsStayWhereTheyWere(t *testing.T) {
	t.Parallel()
	w, pool, paths := newCrowd(t, 1000, 5, 3600)
	w.setBackend(paths[4], map[string]any{"admin_state": "down"})
	w.awaitPool(pool, "ACTIVE")
	asked := w.asked()
	const first = 50
	t.Logf("the first packet of a new client takes %v to its backend (p50 of %d)", w.delay(first), first)
	before := w.visit()
	if n, _ := w.pins(); n != w.n+first {
		t.Errorf("%d pins for %d clients", n, w.n+first)
	}
	spread := func(at map[int]string) map[string]int {
		count := map[string]int{}
		for _, name := range at {
			count[name]++
		}
		return count
	}
	moved := func(from, to map[int]string, leave string) (n, needless int, went map[int]string) {
		went = map[int]string{}
		for i, was := range from {
			if to[i] != was {
				n++
				went[i] = to[i]
				if was != leave {
					needless++
				}
			}
		}
		return n, needless, went
	}
	t.Logf("with 4 backends: %v", spread(before))

	w.setBackend(paths[4], map[string]any{"admin_state": "up"})
	w.awaitPool(pool, "ACTIVE")
	after := w.visit()
	if n, _, _ := moved(before, after, ""); n != 0 {
		t.Errorf("%d clients moved when a fifth backend came", n)
	}

	// Now all five have clients: those of before are forgotten with a change of what is remembered.
	w.ctl.Must(http.MethodPut, pool, map[string]any{"affinity_pool": map[string]any{"affinity": "source_mac_ip"}})
	w.awaitPool(pool, "ACTIVE")
	byMAC := func() int { all, byIP := w.pins(); return all - byIP }
	w.forgets(byMAC)
	w.visit()
	w.ctl.Must(http.MethodPut, pool, map[string]any{"affinity_pool": map[string]any{"affinity": "source_mac"}})
	w.awaitPool(pool, "ACTIVE")
	w.forgets(func() int { _, byIP := w.pins(); return byIP })
	five := w.visit()
	t.Logf("with 5 backends: %v", spread(five))
	w.ctl.Must(http.MethodDelete, paths[1], nil)
	w.awaitPool(pool, "ACTIVE")
	var four map[int]string
	lab.Wait(t, "nobody to come to b1", patience, func() error { // the datapath holds on to its verdicts for a moment
		if four = w.visit(); spread(four)["b1"] > 0 {
			return fmt.Errorf("%v", spread(four))
		}
		return nil
	})
	n, needless, went := moved(five, four, "b1")
	counts, most := spread(went), 0
	for _, n := range counts {
		most = max(most, n)
	}
	share := float64(most) / (float64(n) / 4)
	t.Logf("b1 went: %d clients moved, %d of others; to %v, max/mean %.2f", n, needless, counts, share)
	if needless != 0 || n != spread(five)["b1"] || share > 1.35 {
		t.Errorf("%d of b1's %d clients moved, and %d of others; the busiest got %.2f of a fair share", n, spread(five)["b1"], needless, share)
	}
	if n := w.asked() - asked; n != 0 {
		t.Errorf("%v packets went to the controller", n)
	}
	// A controller that starts again takes all of it for its own.
	held := w.lab.Flows(w.bridge)
	w.ctl.Restart()
	w.awaitConnected(true)
	w.awaitPool(pool, "ACTIVE")
	if again := w.visit(); len(again) == w.n {
		if n, _, _ := moved(four, again, ""); n != 0 {
			t.Errorf("%d clients moved with a restart of the controller", n)
		}
	}
	if now := w.lab.Flows(w.bridge); len(now) != len(held) || !slices.Equal(cookies(held), cookies(now)) {
		t.Errorf("%d flows before the restart, %d after it", len(held), len(now))
	}
}

// cookies are those of flows, sorted.
func cookies(flows []string) []string {
	var list []string
	for _, f := range flows {
		cookie, _, _ := strings.Cut(f, ",")
		list = append(list, strings.TrimSpace(cookie))
	}
	slices.Sort(list)
	return list
}

// Ten thousand clients cost a flow each, on their own switch, until the pool goes.
func TestTenThousandClientsCostAFlowEach(t *testing.T) {
	t.Parallel()
	w, pool, _ := newCrowd(t, 10000, 2, 3600)
	w.awaitPool(pool, "ACTIVE")
	before := len(w.lab.Flows(w.bridge))
	w.visit()
	n, _ := w.pins()
	if more := len(w.lab.Flows(w.bridge)) - before; more > w.n || n != w.n {
		t.Errorf("%d clients cost %d flows, %d of them pins", w.n, more, n)
	}
	w.ctl.Must(http.MethodDelete, pool, nil)
	w.forgets(func() int { all, _ := w.pins(); return all })
}

// forgets waits until the switch has none of some pins. It removes them a moment after
// it has acknowledged that what made them is gone; and it counts frames late, so that
// the last ones of before may well make a pin of the kind that is made now.
func (w *crowd) forgets(left func() int) {
	w.t.Helper()
	lab.Wait(w.t, "clients to be forgotten", 3*patience, func() error {
		if n := left(); n > 0 {
			return fmt.Errorf("%d pins are left", n)
		}
		return nil
	})
}

func TestClientsThatSayNothingAreForgotten(t *testing.T) {
	t.Parallel()
	w, pool, _ := newCrowd(t, 20, 2, 2)
	w.awaitPool(pool, "ACTIVE")
	w.visit()
	w.forgets(func() int { all, _ := w.pins(); return all })
}

// New clients are served in the switch alone, there and back. How long that takes is
// told, and not judged: with the first packet of a connection it is the time from the
// question of a program that runs already to the answer from the virtual address.
func TestNewClientsAreServedWithoutTheController(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "front", "10.0.0.0/24")
	client := c.instance("client", "acme", network, "10.0.0.1", nil)
	pool := c.pool(network, "tcp", map[string]any{"affinity": "none", "timeout": 60}) // each connection is a new client
	direct := ""
	for i := range 2 {
		name := fmt.Sprint("b", i)
		b := c.instance(name, "acme", network, fmt.Sprint("10.0.0.", 11+i), nil)
		direct = b.ip + ":80"
		go greet(b.Listen("tcp", direct), name)
		c.serve(pool, b)
	}
	c.awaitPool(pool, "ACTIVE")
	measure := func(what, to string) {
		t.Helper()
		if conn, err := client.Dial("tcp", to, patience); err != nil { // the address is known from then on
			t.Fatal(err)
		} else {
			conn.Close()
		}
		asked := c.asked()
		const n = 100
		var took []time.Duration
		for range n {
			began := time.Now()
			conn, err := client.Dial("tcp", to, patience)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
			conn.Close()
		}
		slices.Sort(took)
		t.Logf("%s: connected after %v (p50), %v (p90) of %d", what, took[n/2], took[n*9/10], n)
		if more := c.asked() - asked; more != 0 {
			t.Errorf("%s: %v packets went to the controller", what, more)
		}
	}
	lab.Wait(t, "the backends to know the client", patience, func() error {
		conn, _, err := client.visit(patience)
		if err == nil {
			conn.Close()
		}
		return err
	})
	measure("a backend itself", direct)
	measure("the virtual address", virtual+":80")
}

// The example of the guide is what gives clients to servers.
func TestTheExampleOfTheGuideBalances(t *testing.T) {
	t.Parallel()
	followGuide(t, "affinity", "client", "web1", "web2")
}
