package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// Tests whose names begin with TestQueues need a datapath that puts packets into queues, which
// of those of Open vSwitch the kernel's does: make test leaves them out, and make test-kernel runs them.

// needQueues fails a test that is run where there are none.
func needQueues(t *testing.T) {
	t.Helper()
	if lab.Datapath == lab.Userspace {
		t.Fatal("the userspace datapath has no queues: make test-kernel runs this test")
	}
}

// answered finds a queue that has sent something.
var answered = regexp.MustCompile(`pkts=[1-9]`)

// streams is how many connections bulk uses. The kernel lets each have only so much in queues: of
// these it takes that many to fill the one of the bottleneck.
const streams = 32

// Through a bottleneck of 3 Mbit/s that bulk saturates, voice is clear if its MACs
// have a class, and a web server answers as if it were alone.
func TestQueuesKeepVoiceAndWebClearUnderLoad(t *testing.T) {
	needQueues(t)
	c := hypervisor(t, lab.ControllerOptions{})
	c.setManager(manager)
	network := c.network("acme", "blue", "10.0.0.0/24")
	narrow := c.policy(map[string]map[string]any{"bandwidth_limit": {"max_kbps": 3000, "direction": "ingress"}})
	first := c.policy(map[string]map[string]any{"priority": {"class": 5}})
	segment := c.create("mac-segments", "mac_segment", map[string]any{"tenant_id": "acme", "base_address": "02:00:05:00:00:00", "prefix_length": 40})["id"].(string)
	c.create("mac-segments", "mac_segment", map[string]any{"tenant_id": "acme", "base_address": "02:00:09:00:00:00", "prefix_length": 40})
	station := func(name, ip, mac string, more map[string]any) instance {
		attributes := map[string]any{
			"name": name, "tenant_id": "acme", "network_id": network, "mac_address": mac, "fixed_ips": []any{map[string]any{"ip_address": ip}},
			"binding:host_id": c.bridge.DPID, "binding:profile": map[string]any{"interface_name": name},
		}
		for k, v := range more {
			attributes[k] = v
		}
		i := instance{port: c.create("ports", "port", attributes), ip: ip}
		i.Host = c.lab.Host(c.bridge, name, lab.HostOptions{MAC: mac, Addrs: []string{ip + "/24"}})
		c.awaitStatus(i, "ACTIVE")
		return i
	}
	far := station("far", "10.0.0.1", "02:00:09:00:00:01", map[string]any{"qos_policy_id": narrow})
	phone := station("phone", "10.0.0.2", "02:00:05:00:00:02", nil)
	bulk := station("bulk", "10.0.0.3", "02:00:09:00:00:03", nil)
	near := station("near", "10.0.0.4", "02:00:09:00:00:04", nil) // behind no bottleneck: what the machine itself takes
	// Who asks twice for a neighbour has it from the switch.
	for _, of := range []instance{phone, bulk, phone, bulk} {
		far.forget(t)
		c.comes(far, of, true)
	}
	c.comes(bulk, far, true)
	c.awaitQueues("3000000")

	web := phone.Listen("tcp", phone.ip+":8080")
	defer web.Close()
	page := strings.Repeat("x", 4000)
	go func() {
		_ = http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	}()
	c.comes(phone, near, true)
	returnDatagrams(far)
	returnDatagrams(near)
	stop := saturate(t, bulk, far, streams)
	defer stop()
	lab.Wait(t, "the bottleneck to be saturated", time.Minute, func() error {
		if r := call(t, phone, far, 25); r.quantile(0.5) < 300*time.Millisecond {
			return fmt.Errorf("voice still has %v", r)
		}
		return nil
	})
	plain, slow := call(t, phone, far, 150), browse(far, phone)
	c.set("mac-segments", "mac_segment", segment, map[string]any{"qos_policy_id": first})
	lab.Wait(t, "the class of the segment", patience, func() error {
		if len(c.flowsIn(14, "set_queue:5")) == 0 {
			return errors.New("no flow puts it into a queue")
		}
		return nil
	})
	lab.Wait(t, "what waited before to be through", time.Minute, func() error {
		if r := call(t, phone, far, 25); r.lost > 0 || r.quantile(1) > plain.quantile(0.5)/2 {
			return fmt.Errorf("voice still has %v", r)
		}
		return nil
	})
	// Neither does what the switch answers wait behind bulk.
	forgot := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() {
		_, err := far.Exec(context.Background(), "ip", "neigh", "flush", "dev", "eth0")
		forgot <- err
	})
	aside := make(chan voice, 1)
	go func() { aside <- call(t, phone, near, 400) }()
	clear, fast := call(t, phone, far, 400), browse(far, phone)
	past := <-aside
	if err := <-forgot; err != nil {
		t.Error(err)
	}
	if stats := c.lab.Ofctl("queue-stats", c.bridge.Name, fmt.Sprint(far.Port), "7"); !answered.MatchString(stats) {
		t.Errorf("no answer of the switch has gone before all else: %s", stats)
	}
	t.Logf("voice under load: %v; with priority: %v; past the bottleneck: %v", plain, clear, past)
	t.Logf("web under load: %v; with priority: %v", slow, fast)
	if clear.lost != 0 || clear.quantile(0.5) > plain.quantile(0.5)/4 {
		t.Errorf("voice with priority: %v, without: %v", clear, plain)
	}
	if fast.mean() > slow.mean()*3/10 || len(fast.times)*10 < len(slow.times)*14 {
		t.Errorf("web with priority: %v, without: %v", fast, slow)
	}
	writeSamples(t, map[string][]time.Duration{
		"voice,without": plain.all(), "voice,with": clear.all(), "voice,past": past.all(), "web,without": slow.times, "web,with": fast.times,
	})

	c.set("ports", "port", far.portID(), map[string]any{"qos_policy_id": nil})
	lab.Wait(t, "the queues to go", patience, func() error {
		if left := c.lab.Vsctl("list", "QoS") + c.lab.Vsctl("list", "Queue"); strings.TrimSpace(left) != "" {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
}

// What an uplink carries less of than all want, a port with a minimum bandwidth
// has its minimum of, whatever others send.
func TestQueuesKeepAMinimumBandwidth(t *testing.T) {
	needQueues(t)
	all := sites(t, 2)
	here, there := all[0], all[1]
	const kbps, least = 1000, 500
	// The card is in a bridge, so that Open vSwitch has a port that leads out.
	here.lab.Vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type="+lab.Datapath, "fail_mode=standalone", "--", "add-port", "br-phy", "phy0")
	here.lab.PortNumber("phy0")
	if out, err := here.lab.Exec(t.Context(), "sh", "-ec", fmt.Sprintf("ip addr flush dev phy0; ip addr add %s/24 dev br-phy; ip link set br-phy up", here.addr)); err != nil {
		t.Fatal(out, err)
	}
	here.lab.Vsctl("set", "interface", "phy0", fmt.Sprintf("external_ids:macloom-rate-kbps=%d", kbps))

	network := here.network("acme", "blue", "10.0.0.0/24")
	kept := here.policy(map[string]map[string]any{"minimum_bandwidth": {"min_kbps": least}})
	modest, greedy := here.boot("modest", "acme", network, "10.0.0.1", true), here.boot("greedy", "acme", network, "10.0.0.2", true)
	b1, b2 := there.boot("b1", "acme", network, "10.0.0.3", true), there.boot("b2", "acme", network, "10.0.0.4", true)
	here.comes(modest, b1, true)
	here.comes(greedy, b2, true)
	// contend is which part of what the modest one sends arrives while the greedy one
	// sends several times what the uplink carries.
	contend := func() float64 {
		const offered = least * 8 / 10
		before := here.dropped("phy0")
		defer deluge(t, greedy, b2, 12*kbps)()
		lab.Wait(t, "the uplink to drop what it cannot carry", patience, func() error {
			if here.dropped("phy0") == before {
				return errors.New("it drops nothing")
			}
			return nil
		})
		kbit, took := flood(t, modest, b1, offered, 4*time.Second)
		return kbit / (offered * took.Seconds())
	}

	here.set("ports", "port", modest.portID(), map[string]any{"qos_policy_id": kept})
	here.awaitQueues(fmt.Sprint(1000 * least))
	if flows := here.flowsIn(14, "set_queue"); len(flows) == 0 {
		t.Error("no flow puts what it sends into its queue")
	}
	with := contend()
	here.set("ports", "port", modest.portID(), map[string]any{"qos_policy_id": nil})
	lab.Wait(t, "its queue to go", patience, func() error {
		if left := here.lab.Vsctl("--columns=other_config", "list", "Queue"); strings.Contains(left, fmt.Sprint(1000*least)) {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
	without := contend()
	t.Logf("of what a port with a minimum of %d kbit/s sends through an uplink of %d kbit/s, %.0f %% arrives; without, %.0f %%", least, kbps, 100*with, 100*without)
	if with < 0.8 || without > with/2 {
		t.Errorf("%.0f %% of what it sends arrives with a minimum, %.0f %% without", 100*with, 100*without)
	}
}

// dropped is how many packets the queues of an interface had no room for.
func (s site) dropped(iface string) (n int) {
	s.t.Helper()
	out, err := s.lab.Exec(context.Background(), "tc", "-s", "qdisc", "show", "dev", iface)
	if err != nil {
		s.t.Fatal(out, err)
	}
	found := droppedOf.FindStringSubmatch(out) // the first is that of the root, which counts all
	if found == nil {
		s.t.Fatalf("tc says nothing of drops: %s", out)
	}
	n, err = strconv.Atoi(found[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

var droppedOf = regexp.MustCompile(`\(dropped (\d+),`)

// deluge sends datagrams at a rate in kbit/s from as many sockets as it takes to fill a queue, until
// it is told to stop.
func deluge(t *testing.T, from, to instance, kbps int) (stop func()) {
	t.Helper()
	const payload = 1000
	sink := to.ListenPacket("udp", to.ip+":9000")
	var conns []net.Conn
	var senders sync.WaitGroup
	for range streams {
		conn, err := from.Dial("udp", to.ip+":9000", patience)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		senders.Go(func() {
			every := time.NewTicker(time.Second * payload * 8 * streams / time.Duration(1000*kbps))
			defer every.Stop()
			for range every.C {
				if _, err := conn.Write(make([]byte, payload)); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		})
	}
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
		senders.Wait()
		sink.Close()
	}
}

// awaitQueues waits until Open vSwitch has queues of whose settings a text is part.
func (c *cloud) awaitQueues(text string) {
	c.t.Helper()
	lab.Wait(c.t, "queues with "+text, patience, func() error {
		if have := c.lab.Vsctl("--columns=other_config", "list", "Queue"); !strings.Contains(have, text) {
			return fmt.Errorf("queues: %s", have)
		}
		return nil
	})
}

// returnDatagrams sends datagrams back to where they come from.
func returnDatagrams(at instance) {
	conn := at.ListenPacket("udp", at.ip+":7000")
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteTo(buf[:n], from)
			}
		}
	}()
}

// saturate sends by some TCP connections as much as they take, until it is told to stop.
func saturate(t *testing.T, from, to instance, streams int) (stop func()) {
	t.Helper()
	sink := to.Listen("tcp", to.ip+":9000")
	go func() {
		for {
			conn, err := sink.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}()
		}
	}()
	var conns []net.Conn
	for range streams {
		conn, err := from.Dial("tcp", to.ip+":9000", patience)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		go func() {
			block := make([]byte, 1<<16)
			for {
				if _, err := conn.Write(block); err != nil {
					return
				}
			}
		}()
	}
	return func() {
		sink.Close()
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// voice is what became of a call.
type voice struct {
	times []time.Duration // sorted
	lost  int
}

func (v voice) quantile(q float64) time.Duration {
	if len(v.times) == 0 {
		return time.Hour
	}
	return v.times[int(q*float64(len(v.times)-1))]
}

// all are the times, 0 of what was lost.
func (v voice) all() []time.Duration { return append(make([]time.Duration, v.lost), v.times...) }

func (v voice) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, %d of %d lost", v.quantile(0.5).Round(100*time.Microsecond), v.quantile(0.99).Round(100*time.Microsecond), v.lost, v.lost+len(v.times))
}

// call sends 50 packets a second, of 172 bytes as those of G.711, and takes the times
// of their echoes.
func call(t *testing.T, from, to instance, packets int) voice {
	t.Helper()
	conn, err := from.Dial("udp", to.ip+":7000", patience)
	if err != nil {
		t.Error(err)
		return voice{lost: packets}
	}
	defer conn.Close()
	began, done := time.Now(), make(chan []time.Duration)
	go func() {
		var times []time.Duration
		buf := make([]byte, 172)
		for len(times) < packets {
			if _, err := io.ReadFull(conn, buf); err != nil {
				break
			}
			times = append(times, time.Since(began)-time.Duration(binary.BigEndian.Uint64(buf)))
		}
		done <- times
	}()
	for n := range packets {
		time.Sleep(time.Until(began.Add(time.Duration(n) * 20 * time.Millisecond)))
		datagram := binary.BigEndian.AppendUint64(make([]byte, 0, 172), uint64(time.Since(began)))
		if _, err := conn.Write(datagram[:172]); err != nil {
			t.Error(err)
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // more than the bottleneck holds
	times := <-done
	slices.Sort(times)
	return voice{times, packets - len(times)}
}

// visits is what became of a client that asks for one page after the other.
type visits struct {
	times []time.Duration
	took  time.Duration
}

func (v visits) mean() time.Duration { return v.took / time.Duration(max(len(v.times), 1)) }

func (v visits) String() string {
	return fmt.Sprintf("%d requests in %v, %v each", len(v.times), v.took.Round(time.Millisecond), v.mean().Round(100*time.Microsecond))
}

func browse(client, server instance) (v visits) {
	const least, patience = 6 * time.Second, 30 * time.Second
	h := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		return client.Dial(network, addr, patience)
	}}}
	defer h.CloseIdleConnections()
	began := time.Now()
	for v.took < least {
		asked := time.Now()
		answer, err := h.Get("http://" + server.ip + ":8080/")
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			v.times = append(v.times, time.Since(asked))
		}
		v.took = time.Since(began)
	}
	return v
}

// writeSamples prints what was measured and where, for make picture, which asks for it by a variable.
func writeSamples(t *testing.T, samples map[string][]time.Duration) {
	t.Helper()
	if os.Getenv("MACLOOM_TEST_SAMPLES") == "" {
		return
	}
	where, err := exec.Command("sh", "-c", `echo "# Linux $(uname -r), $(ovs-vsctl --version | head -n 1), $(nproc) processors ($(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)),"`+
		` "a bottleneck of 3 Mbit/s, $0 TCP connections of bulk"`, strconv.Itoa(streams)).Output()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("sample,%s", where)
	for _, what := range slices.Sorted(maps.Keys(samples)) {
		for _, took := range samples[what] {
			if took == 0 {
				fmt.Printf("sample,%s,lost\n", what)
			} else {
				fmt.Printf("sample,%s,%.3f\n", what, float64(took.Microseconds())/1000)
			}
		}
	}
}
