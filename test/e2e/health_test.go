package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// server is a backend that answers requests by its name, until something is wrong with it.
type server struct {
	instance
	backend string // path of the backend
	at      string // where it listens
	web     *http.Server
	hangs   chan struct{} // not nil: requests are answered when it is closed
}

func (s *server) open() {
	hangs := s.hangs
	s.web = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hangs != nil {
			<-hangs
		}
		_, _ = io.WriteString(w, s.Name)
	})}
	go func(ln net.Listener) { _ = s.web.Serve(ln) }(s.Listen("tcp", s.at))
}

// monitor probes as often as may be; on a virtual machine that is slow, half as often as
// that can bear.
func monitor(kind string, more map[string]any) map[string]any {
	m := map[string]any{"type": kind, "delay": 1, "timeout": 1, "fall": 2}
	if lab.Datapath != lab.Userspace {
		m["delay"], m["timeout"] = 6, 6
	}
	maps.Copy(m, more)
	return m
}

// farm is a pool of three servers, and clients of it with many addresses.
type farm struct {
	*cloud
	client  instance
	vip     string // address and port, as in a URL
	form    string // of addresses of instances
	bits    string // of the subnet
	clients string // form of addresses of clients
	network string
	pool    string
	servers []*server
	next    int // address of the next client that is new
}

// newFarm makes a pool that is probed each second. The rules of the servers know nothing of
// probes: they allow the clients alone.
func newFarm(t *testing.T, six bool) *farm {
	t.Helper()
	c := newCloud(t, lab.ControllerOptions{})
	w := &farm{cloud: c, vip: virtual, form: "10.0.0.%d", bits: "/23", clients: "10.0.1.%d", next: 1}
	version, rule := 4, map[string]any{"ethertype": "IPv4", "remote_ip_prefix": "10.0.1.0/24"}
	subnet := "10.0.0.0/23"
	if six {
		w.vip, w.form, w.bits, w.clients, version, subnet = "[fd00:5d::100]", "fd00:5d::%d", "/64", "fd00:5d::1:%d", 6, "fd00:5d::/64"
		rule = map[string]any{"ethertype": "IPv6", "remote_ip_prefix": "fd00:5d::1:0/112"}
	}
	w.network = c.create("networks", "network", map[string]any{"name": "front", "tenant_id": "acme"})["id"].(string)
	c.create("subnets", "subnet", map[string]any{"network_id": w.network, "tenant_id": "acme", "ip_version": version, "cidr": subnet, "gateway_ip": nil})
	group := c.create("security-groups", "security_group", map[string]any{"name": "web", "tenant_id": "acme"})["id"].(string)
	maps.Copy(rule, map[string]any{"security_group_id": group, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
	c.create("security-group-rules", "security_group_rule", rule)
	w.client = w.station("client", 9, map[string]any{"port_security_enabled": false})
	w.pool = c.pool(w.network, "tcp", map[string]any{
		"vip_address": strings.Trim(w.vip, "[]"), "affinity": "source_ip", "health_monitor": monitor("http", map[string]any{"rise": 2, "url_path": "/healthz"}),
	})
	for i := range 3 {
		s := &server{instance: w.station(fmt.Sprint("b", i), 11+i, map[string]any{"security_groups": []string{group}})}
		s.at = net.JoinHostPort(s.ip, "80")
		s.open()
		s.backend = c.serve(w.pool, s.instance)
		w.servers = append(w.servers, s)
	}
	for _, s := range w.servers {
		w.awaits(s, "ONLINE", "")
	}
	w.awaitPool(w.pool, "ACTIVE")
	return w
}

// station is an instance on the network of the farm.
func (w *farm) station(name string, n int, more map[string]any) instance {
	w.t.Helper()
	ip := fmt.Sprintf(w.form, n)
	attributes := map[string]any{
		"name": name, "tenant_id": "acme", "network_id": w.network, "fixed_ips": []any{map[string]any{"ip_address": ip}},
		"binding:host_id": dpid, "binding:profile": map[string]any{"interface_name": name},
	}
	maps.Copy(attributes, more)
	port := w.create("ports", "port", attributes)
	i := instance{port: port, ip: ip, Host: w.lab.Host(w.bridge, name, lab.HostOptions{
		MAC: port["mac_address"].(string), Addrs: []string{ip + w.bits}, IPv6: strings.Contains(ip, ":"),
	})}
	w.awaitStatus(i, "ACTIVE")
	return i
}

func (w *farm) on(i instance, command ...string) {
	w.t.Helper()
	if out, err := i.Exec(context.Background(), command[0], command[1:]...); err != nil {
		w.t.Fatalf("%v: %v: %s", command, err, out)
	}
}

// awaits waits until probes have found what a server is.
func (w *farm) awaits(s *server, want, reason string) map[string]any {
	w.t.Helper()
	var b map[string]any
	lab.Wait(w.t, s.Name+" to be "+want, 3*patience, func() error {
		b = w.ctl.Must(http.MethodGet, s.backend, nil)["backend"].(map[string]any)
		if b["operating_status"] != want || !strings.Contains(fmt.Sprint(b["operating_reason"]), reason) {
			return fmt.Errorf("%v since %v: %v", b["operating_status"], b["operating_since"], b["operating_reason"])
		}
		return nil
	})
	return b
}

// ask sends a request from an address, and says who has answered.
func (w *farm) ask(from string) string {
	w.t.Helper()
	out, err := w.client.Exec(context.Background(), "curl", "-sSf", "--globoff", "--max-time", "30", "--interface", from, "http://"+w.vip+"/")
	if err != nil {
		w.t.Errorf("a request from %s: %v: %s", from, err, out)
	}
	return out
}

// come lets new clients come, and says whom each got, by address.
func (w *farm) come(n int) map[string]string {
	w.t.Helper()
	at := map[string]string{}
	for range n {
		from := fmt.Sprintf(w.clients, w.next)
		w.next++
		w.on(w.client, "ip", "addr", "add", from+w.bits, "dev", "eth0", "nodad")
		at[from] = w.ask(from)
	}
	return at
}

// return lets clients come again: those of one that has failed get another one, and the
// others whom they had.
func (w *farm) again(at map[string]string, failed string) {
	w.t.Helper()
	for from, was := range at {
		is := w.ask(from)
		if was == failed && is == failed || was != failed && is != was {
			w.t.Errorf("with %q failed, %s is with %s; it was with %s", failed, from, is, was)
		}
		at[from] = is
	}
}

func spoken(at map[string]string) map[string]int {
	count := map[string]int{}
	for _, who := range at {
		count[who]++
	}
	return count
}

// failing goes through the ways in which a server fails, and comes back.
func (w *farm) failing() {
	clients := w.come(16)
	if len(spoken(clients)) != 3 {
		w.t.Fatalf("the clients are with %v", spoken(clients))
	}
	for _, c := range []struct {
		name, reason string
		server       int
		fail, mend   func(s *server)
	}{
		{"the port is closed", "port 80 refuses connections", 0, func(s *server) { s.web.Close() }, (*server).open},
		{"the process hangs", "the request was not answered within ", 1, func(s *server) {
			s.web.Close()
			s.hangs = make(chan struct{})
			s.open()
		}, func(s *server) {
			s.web.Close()
			close(s.hangs)
			s.hangs = nil
			s.open()
		}},
		{"the host hangs", "no answer from port 80 within ", 2, func(s *server) { w.on(s.instance, "ip", "link", "set", "eth0", "down") }, func(s *server) {
			w.on(s.instance, "ip", "link", "set", "eth0", "up")
			if strings.Contains(s.ip, ":") { // the kernel has forgotten it
				w.on(s.instance, "ip", "addr", "replace", s.ip+w.bits, "dev", "eth0", "nodad")
			}
		}},
	} {
		s := w.servers[c.server]
		c.fail(s)
		began := time.Now()
		w.awaits(s, "OFFLINE", c.reason)
		w.t.Logf("%s: found after %v", c.name, time.Since(began))
		w.awaitPool(w.pool, "ACTIVE")
		w.again(clients, s.Name)
		if n := spoken(w.come(8))[s.Name]; n != 0 {
			w.t.Errorf("%s: %d new clients landed there", c.name, n)
		}
		c.mend(s)
		w.awaits(s, "ONLINE", "")
		w.awaitPool(w.pool, "ACTIVE")
		w.again(clients, "")
		fresh := w.come(16)
		if spoken(fresh)[s.Name] == 0 {
			w.t.Errorf("%s, and it came back: no new client landed there, but %v", c.name, spoken(fresh))
		}
		for from, who := range fresh {
			clients[from] = who
		}
	}
}

// A server that fails, in whatever way, loses its clients and gets no new ones, and takes new
// ones when it is back; the clients of the others notice nothing.
func TestBackendsThatFailAreFoundAndLeft(t *testing.T) {
	t.Parallel()
	newFarm(t, false).failing()
}

// The same with IPv6, where the controller says where the virtual address is.
func TestBackendsOfIPv6ThatFailAreFoundAndLeft(t *testing.T) {
	t.Parallel()
	w := newFarm(t, true)
	w.failing()
	// It goes on when the client asks whether the address is there still.
	w.on(w.client, "ip", "neigh", "change", strings.Trim(w.vip, "[]"), "dev", "eth0", "nud", "probe")
	lab.Wait(t, "the virtual address to be there still", patience, func() error {
		out, err := w.client.Exec(context.Background(), "ip", "-6", "neigh", "show", "dev", "eth0")
		if err != nil || !strings.Contains(out, "fd00:5d::100 ") || !strings.Contains(out[strings.Index(out, "fd00:5d::100 "):], "REACHABLE") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// events are those about backends.
func (w *farm) events() int {
	w.t.Helper()
	return len(w.ctl.Must(http.MethodGet, "/v2.0/events?kind=backend_health", nil)["events"].([]any))
}

// What the operator says of a backend stands beside what probes find; and a controller that
// starts again goes on from what was known.
func TestWhatIsKnownOfBackendsLasts(t *testing.T) {
	t.Parallel()
	w := newFarm(t, false)
	hooked, failed, well := w.servers[0], w.servers[1], w.servers[2]
	w.setBackend(hooked.backend, map[string]any{"health": "down", "diagnosis": "for a disk"})
	failed.web.Close()
	w.awaits(failed, "OFFLINE", "refuses")
	w.awaits(hooked, "ONLINE", "")
	w.awaitPool(w.pool, "ACTIVE")
	if got := spoken(w.come(8)); got[well.Name] != 8 {
		t.Errorf("the clients are with %v", got)
	}
	before := []any{w.awaits(failed, "OFFLINE", "")["operating_since"], w.awaits(well, "ONLINE", "")["operating_since"]}
	events := w.events()
	probes := func(result string) float64 {
		return w.ctl.Metric("macloom_health_probes_total", "result="+result)
	}
	w.ctl.Kill9()
	w.ctl.Start()
	w.awaitConnected(true)
	lab.Wait(t, "more probes than a change takes", patience, func() error {
		if good, refused := probes("good"), probes("refused"); good < 10 || refused < 5 {
			return fmt.Errorf("%v good, %v refused", good, refused)
		}
		return nil
	})
	after := []any{w.awaits(failed, "OFFLINE", "")["operating_since"], w.awaits(well, "ONLINE", "")["operating_since"]}
	if fmt.Sprint(before) != fmt.Sprint(after) || w.events() != events {
		t.Errorf("since %v before the restart, %v after it; %d events before, %d after", before, after, events, w.events())
	}
	if got := spoken(w.come(4)); got[well.Name] != 4 {
		t.Errorf("after a restart, the clients are with %v", got)
	}

	// A controller that hangs for long blames nobody.
	if err := w.ctl.Hang(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	if err := w.ctl.Resume(); err != nil {
		t.Fatal(err)
	}
	sofar := probes("good")
	lab.Wait(t, "more probes after the pause", patience, func() error {
		if n := probes("good") - sofar; n < 6 {
			return fmt.Errorf("%v good", n)
		}
		return nil
	})
	if n := w.events(); n != events {
		t.Errorf("%d events after a pause of the controller, %d before", n, events)
	}
	w.setBackend(hooked.backend, map[string]any{"health": "unknown", "diagnosis": ""})
	w.awaitPool(w.pool, "ACTIVE")
	if got := spoken(w.come(16)); got[hooked.Name] == 0 {
		t.Errorf("with a word of the operator's taken back, the clients are with %v", got)
	}
}

// A host that answers pings is well, whatever its port does.
func TestBackendsArePinged(t *testing.T) {
	t.Parallel()
	w := newFarm(t, false)
	w.ctl.Must(http.MethodPut, w.pool, map[string]any{"affinity_pool": map[string]any{"health_monitor": monitor("ping", nil)}})
	s := w.servers[0]
	s.web.Close()
	for _, s := range w.servers {
		w.awaits(s, "ONLINE", "")
	}
	w.on(s.instance, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
	w.awaits(s, "OFFLINE", "no echo within ")
	w.on(s.instance, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
	w.awaits(s, "ONLINE", "")
	w.ctl.Must(http.MethodPut, w.pool, map[string]any{"affinity_pool": map[string]any{"health_monitor": nil}})
	w.awaits(s, "NO_MONITOR", "")
}
