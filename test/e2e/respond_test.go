package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/test/lab"
)

// station is an instance that has to ask for its address.
func (c *cloud) station(name, tenant, network string, more map[string]any) instance {
	c.t.Helper()
	attributes := map[string]any{
		"name": name, "tenant_id": tenant, "network_id": network,
		"binding:host_id": dpid, "binding:profile": map[string]any{"interface_name": name},
	}
	for k, v := range more {
		attributes[k] = v
	}
	port := c.create("ports", "port", attributes)
	ip := port["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
	i := instance{port: port, ip: ip, Host: c.lab.Host(c.bridge, name, lab.HostOptions{MAC: port["mac_address"].(string), IPv6: strings.Contains(ip, ":")})}
	c.awaitStatus(i, "ACTIVE")
	return i
}

// client is a program that asks for addresses, with a script that notes what it
// was told and sets the address.
type client struct {
	instance
	dir string
}

// script notes its environment in a file for each reason that it is called for.
const script = `#!/bin/sh
case "$reason$1" in
BOUND*|RENEW*|REBIND*|REBOOT*|bound*|renew*)
	ip addr replace "${new_ip_address:-$ip}/24" dev eth0 ;;
BOUND6|RENEW6|REBIND6)
	ip addr replace "$new_ip6_address/$new_ip6_prefixlen" dev eth0 nodad ;;
esac
env >"$(dirname "$0")/$reason$1.new"
mv "$(dirname "$0")/$reason$1.new" "$(dirname "$0")/$reason$1"
`

const dhclientConf = `option rfc3442-routes code 121 = array of unsigned integer 8;
request subnet-mask, routers, domain-name-servers, domain-name, interface-mtu, rfc3442-routes;
retry 1; initial-interval 1; timeout 15;
`

func (c *cloud) client(i instance) client {
	c.t.Helper()
	dir := filepath.Join(c.lab.Dir(), "dhcp-"+i.Name)
	err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o755),
		os.WriteFile(filepath.Join(dir, "dhclient.conf"), []byte(dhclientConf), 0o644))
	if err != nil {
		c.t.Fatal(err)
	}
	for program, pkg := range map[string]string{"udhcpc": "udhcpc", "dhclient": "isc-dhcp-client", "rdisc6": "ndisc6"} {
		if err := lab.Need(program, pkg); err != nil {
			c.t.Fatal(err)
		}
	}
	return client{i, dir}
}

func (c client) path(name string) string { return filepath.Join(c.dir, name) }

func (c client) dhclient(args ...string) []string {
	return append([]string{"dhclient", "-sf", c.path("script"), "-cf", c.path("dhclient.conf"), "-lf", c.path("leases"), "-pf", c.path("pid")}, args...)
}

// run runs dhclient until it is done.
func (c client) run(args ...string) (string, error) {
	args = c.dhclient(args...)
	return c.Exec(context.Background(), args[0], args[1:]...)
}

// start runs the client until the end of the test; what it says is shown if that fails.
func (c client) start(t *testing.T, args ...string) *lab.Process {
	t.Helper()
	p := c.Start(args[0], args[1:]...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("---- %s\n%s", args[0], p.Output())
		}
	})
	return p
}

// told waits until the script was called for a reason, and returns its environment.
func (c client) told(t *testing.T, reason string) map[string]string {
	t.Helper()
	env := map[string]string{}
	lab.Wait(t, c.Name+" to be told "+reason, 2*patience, func() error {
		text, err := os.ReadFile(c.path(reason))
		for line := range strings.Lines(string(text)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			env[k] = v
		}
		return err
	})
	if err := os.Remove(c.path(reason)); err != nil {
		t.Fatal(err)
	}
	return env
}

func wantEnv(t *testing.T, who string, env map[string]string, want ...string) {
	t.Helper()
	for _, kv := range want {
		k, v, _ := strings.Cut(kv, "=")
		if got := strings.TrimSpace(env[k]); got != v {
			t.Errorf("%s: %s is %q, want %q", who, k, got, v)
		}
	}
}

// served makes a network whose stations are told all that there is to tell.
func (c *cloud) served(name string) string {
	c.t.Helper()
	id := c.create("networks", "network", map[string]any{"name": name, "tenant_id": "acme", "mtu": 1400})["id"].(string)
	c.create("subnets", "subnet", map[string]any{
		"network_id": id, "tenant_id": "acme", "ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.254",
		"dns_nameservers": []any{"10.0.0.53", "10.0.0.54"},
		"host_routes":     []any{map[string]any{"destination": "192.168.7.0/24", "nexthop": "10.0.0.7"}},
	})
	return id
}

// counts waits until a type of message was counted so many times at least.
func (c *cloud) counts(kind string, n float64) {
	c.t.Helper()
	lab.Wait(c.t, fmt.Sprintf("%v %s", n, kind), patience, func() error {
		if got := c.ctl.Metric("macloom_dhcp_messages_total", "type="+kind); got < n {
			return fmt.Errorf("%v were counted", got)
		}
		return nil
	})
}

func TestInstancesGetTheirAddressesByDHCPRenewThemAndGiveThemBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.served("blue")
	// A station that has the gateway's address, so that clients have a way to the server's.
	router := c.instance("router", "acme", network, "10.0.0.254", nil)
	extra := map[string]any{"extra_dhcp_opts": []any{
		map[string]any{"opt_name": "ntp-server", "opt_value": "10.0.0.123"}, map[string]any{"opt_name": "domain-name", "opt_value": "cloud.example"},
	}}
	u, d := c.client(c.station("u", "acme", network, extra)), c.client(c.station("d", "acme", network, extra))

	daemon := u.start(t, "udhcpc", "-f", "-i", "eth0", "-s", u.path("script"), "-R", "-O", "staticroutes", "-O", "mtu", "-O", "ntpsrv", "-t", "10", "-T", "1")
	wantEnv(t, "udhcpc", u.told(t, "bound"), "ip="+u.ip, "mask=24", "router=10.0.0.254", "dns=10.0.0.53 10.0.0.54", "mtu=1400", "lease=86400",
		"staticroutes=192.168.7.0/24 10.0.0.7 0.0.0.0/0 10.0.0.254", "serverid=10.0.0.254", "domain=cloud.example", "ntpsrv=10.0.0.123")
	c.reaches(u.instance, router, true)
	if err := daemon.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	wantEnv(t, "udhcpc", u.told(t, "renew"), "ip="+u.ip, "lease=86400")
	if err := daemon.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	c.counts("release", 1)

	d.start(t, d.dhclient("-4", "-d", "eth0")...)
	wantEnv(t, "dhclient", d.told(t, "BOUND"), "new_ip_address="+d.ip, "new_subnet_mask=255.255.255.0", "new_routers=10.0.0.254",
		"new_domain_name_servers=10.0.0.53 10.0.0.54", "new_interface_mtu=1400", "new_rfc3442_routes=24 192 168 7 10 0 0 7 0 10 0 0 254",
		"new_dhcp_lease_time=86400", "new_domain_name=cloud.example")
	c.reaches(d.instance, router, true)
	if out, err := d.run("-4", "-r", "eth0"); err != nil {
		t.Fatal(out, err)
	}
	c.counts("release", 2)
}

// Without a router there is nobody at the server's address: the lease is renewed
// by broadcast. A port that has lost its address is told to ask anew.
func TestALeaseIsRenewedWithoutARouterForAsLongAsThePortHasTheAddress(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{Args: []string{"--dhcp-lease", "20s"}})
	d := c.client(c.station("d", "acme", c.served("blue"), nil))
	d.start(t, d.dhclient("-4", "-d", "eth0")...)
	wantEnv(t, "dhclient", d.told(t, "BOUND"), "new_ip_address="+d.ip, "new_dhcp_lease_time=20")
	wantEnv(t, "dhclient", d.told(t, "RENEW"), "new_ip_address="+d.ip)

	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+d.portID(), map[string]any{"port": map[string]any{"fixed_ips": []any{map[string]any{"ip_address": "10.0.0.77"}}}})
	wantEnv(t, "dhclient", d.told(t, "BOUND"), "new_ip_address=10.0.0.77")
	if n := c.ctl.Metric("macloom_dhcp_messages_total", "type=nak"); n < 1 {
		t.Error("it was not told that its address is no more")
	}
}

// awaitLinkLocal waits until the host has found that its link-local address is its own.
func (i instance) awaitLinkLocal(t *testing.T) {
	t.Helper()
	lab.Wait(t, "the link-local address of "+i.Name, patience, func() error {
		out, err := i.Exec(context.Background(), "ip", "-6", "addr", "show", "dev", "eth0", "scope", "link")
		if err != nil || !strings.Contains(out, "fe80") || strings.Contains(out, "tentative") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

func TestAnInstanceMakesItsIPv6AddressOfItsMAC(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.create("networks", "network", map[string]any{"name": "six", "tenant_id": "acme"})["id"].(string)
	subnet := func(cidr, mode, dns string) {
		c.create("subnets", "subnet", map[string]any{
			"network_id": network, "tenant_id": "acme", "ip_version": 6, "cidr": cidr, "gateway_ip": nil, "dns_nameservers": []any{dns},
			"ipv6_ra_mode": mode, "ipv6_address_mode": mode,
		})
	}
	subnet("fd00:5d::/64", "slaac", "fd00:5d::53")
	i := c.station("a", "acme", network, nil)
	c.client(i) // rdisc6 is there
	want, ok := mac.MustParse(i.MAC).SLAAC(netip.MustParsePrefix("fd00:5d::/64"))
	if !ok || i.ip != want.String() {
		t.Fatalf("the port has %s, want %v", i.ip, want)
	}
	i.awaitLinkLocal(t)
	out, err := i.Exec(context.Background(), "rdisc6", "-1", "-r", "10", "-w", "1000", "eth0")
	for _, line := range []string{
		"fd00:5d::/64", "Router lifetime : 0 ", "MTU : 1450 bytes", "Recursive DNS server : fd00:5d::53", "from fe80::c5d:ff:fe00:1",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.TrimSpace(line)) {
			t.Errorf("rdisc6 does not say %q", line)
		}
	}
	if err != nil || t.Failed() {
		t.Fatalf("%s%v", out, err)
	}
	lab.Wait(t, "the address", patience, func() error {
		out, err := i.Exec(context.Background(), "ip", "-6", "addr", "show", "dev", "eth0", "scope", "global")
		if err != nil || !strings.Contains(out, want.String()+"/64") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})

	// The other way, on a network of its own: by DHCPv6.
	network = c.create("networks", "network", map[string]any{"name": "stateful", "tenant_id": "acme"})["id"].(string)
	subnet("fd00:5e::/64", "dhcpv6-stateful", "fd00:5e::53")
	b := c.client(c.station("b", "acme", network, nil))
	b.awaitLinkLocal(t)
	if out, err := b.run("-6", "-1", "-v", "eth0"); err != nil {
		t.Fatal(out, err)
	}
	wantEnv(t, "dhclient -6", b.told(t, "BOUND6"), "new_ip6_address="+b.ip, "new_dhcp6_name_servers=fd00:5e::53", "new_max_life=86400")
	// It goes on in the background before it has written down what it has got.
	lab.Wait(t, "dhclient to note its lease", patience, func() error {
		lease, err := os.ReadFile(b.path("leases"))
		if err == nil && !strings.Contains(string(lease), b.ip) {
			err = fmt.Errorf("leases: %s", lease)
		}
		_, missing := os.Stat(b.path("pid"))
		return errors.Join(err, missing)
	})
	if out, err := b.run("-6", "-r", "eth0"); err != nil {
		t.Fatal(out, err)
	}
	c.counts("release6", 1)
}

// arpFor says whether a frame is an ARP request for an address.
func arpFor(ip string) func([]byte) bool {
	target := netip.MustParseAddr(ip).AsSlice()
	return func(f []byte) bool {
		return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 1 && bytes.Equal(f[38:42], target)
	}
}

// forget makes a host ask for its neighbours again.
func (i instance) forget(t *testing.T) {
	t.Helper()
	if out, err := i.Exec(context.Background(), "ip", "neigh", "flush", "dev", "eth0"); err != nil {
		t.Fatal(out, err)
	}
}

// Once a neighbour was asked for, the switch answers: nobody else hears of it. It
// does so without the controller too, and what it cannot answer goes to all.
func TestASwitchAnswersARPSoThatOthersDoNotHearOfIt(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	watcher := c.instance("watcher", "acme", network, "10.0.0.3", nil)
	answers := func(about instance) error {
		for _, f := range c.lab.Flows(c.bridge) {
			if strings.Contains(f, "arp_tpa="+about.ip) && strings.Contains(f, "cookie=0x5d0b") && strings.Contains(f, about.port["mac_address"].(string)) {
				return nil
			}
		}
		return errors.New("no flow answers")
	}
	c.reaches(a, b, true)
	lab.Wait(t, "an answer about b", patience, func() error { return answers(b) })

	heard, sentinel := watcher.Capture(arpFor(b.ip)), watcher.Capture(marked(1))
	for range 3 {
		a.forget(t)
		c.reaches(a, b, true)
	}
	own := parseMAC(a.MAC)
	a.SendFrame(mark(arp(own, own, [4]byte{10, 0, 0, 1}, nobody), 1))
	sentinel.Wait(1, patience)
	if n := len(heard.Stop()); n != 0 {
		t.Errorf("%d requests for b reached a third station", n)
	}
	if n := c.ctl.Metric("macloom_neighbour_questions_total", "result=install"); n < 1 {
		t.Errorf("%v answers were installed", n)
	}

	// Whoever asks for its own address is heard, and not answered.
	announced := watcher.Capture(arpFor(b.ip))
	peer := parseMAC(b.MAC)
	b.SendFrame(arp(peer, peer, [4]byte{10, 0, 0, 2}, [4]byte{10, 0, 0, 2}))
	announced.Wait(1, patience)
	announced.Stop()

	// Without the controller the answers stay, and stations without one are found all the same.
	c.ctl.Kill9()
	for _, to := range []instance{b, watcher} {
		a.forget(t)
		c.reaches(a, to, true)
	}
	c.ctl.Start()
	c.ctl.WaitReady()
	c.awaitConnected(true)
	if err := answers(b); err != nil {
		t.Errorf("after the return of the controller: %v", err)
	}
	// An address that passes to another is never answered by the old one's MAC.
	c.ctl.Must(http.MethodDelete, "/v2.0/ports/"+b.portID(), nil)
	lab.Wait(t, "no answer about b", patience, func() error {
		if answers(b) == nil {
			return errors.New("a flow answers for a port that is gone")
		}
		return nil
	})
}

// A neighbour solicitation reaches who it is for, and nobody else.
func TestSolicitationsGoToTheNeighbourAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	host := c.six()
	a, b, watcher := host("a", "fd00:5d::a"), host("b", "fd00:5d::b"), host("watcher", "fd00:5d::c")
	target := netip.MustParseAddr(b.ip).AsSlice()
	about := func(f []byte) bool {
		return len(f) >= 78 && f[12] == 0x86 && f[13] == 0xdd && f[54] == 135 && bytes.Equal(f[62:78], target)
	}
	c.reaches(a, b, true)
	lab.Wait(t, "a flow for solicitations for b", patience, func() error {
		for _, f := range c.lab.Flows(c.bridge) {
			if strings.Contains(f, "nd_target="+b.ip) && strings.Contains(f, "set_field:"+b.MAC+"->eth_dst") {
				return nil
			}
		}
		return errors.New("none")
	})
	heard, got := watcher.Capture(about), b.Capture(about)
	a.forget(t)
	c.reaches(a, b, true)
	got.Wait(1, patience)
	// What a sends to all afterwards has come, so what it sent before would have.
	sentinel := watcher.Capture(func(f []byte) bool { return len(f) >= 78 && f[54] == 135 && f[77] == 0xee })
	if out, err := a.Exec(context.Background(), "sh", "-c", "ping -6 -c1 -W1 fd00:5d::ee >/dev/null 2>&1; true"); err != nil {
		t.Fatal(out, err)
	}
	sentinel.Wait(1, patience)
	if n := len(heard.Stop()); n != 0 {
		t.Errorf("%d solicitations for b reached a third station", n)
	}
}

// A port that floods the controller with questions costs others nothing: its own
// meter holds it back.
func TestAFloodOfQuestionsFromOnePortDoesNotKeepAnotherFromItsLease(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.served("blue")
	flooder, victim := c.station("flooder", "acme", network, nil), c.client(c.station("victim", "acme", network, nil))
	own := parseMAC(flooder.MAC)
	discover := append(udp(own, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, [4]byte{}, [4]byte{255, 255, 255, 255}, 68, 67), make([]byte, 300)...)
	const flood, burst = 5000, 20
	leased := make(chan struct{})
	done := make(chan int)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for sent := 0; ; {
			select {
			case <-leased:
				if sent >= flood {
					done <- sent
					return
				}
			default:
			}
			var frames [][]byte
			for range burst {
				frames = append(frames, discover, arp(own, own, [4]byte{}, [4]byte{10, 0, byte(sent >> 8), byte(sent)}))
				sent++
			}
			flooder.SendFrame(frames...)
			<-tick.C
		}
	}()
	c.counts("malformed", 20) // it is under way
	out, err := victim.Exec(context.Background(), "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", victim.path("script"), "-t", "10", "-T", "1")
	close(leased)
	sent := <-done
	if err != nil {
		t.Fatal(out, err)
	}
	wantEnv(t, "udhcpc", victim.told(t, "bound"), "ip="+victim.ip)
	for _, kind := range []string{"resolve", "configure"} {
		if n := c.ctl.Metric("macloom_openflow_packet_ins_total", "kind="+kind); n >= float64(sent)/2 {
			t.Errorf("%v of %d questions (%s) reached the controller", n, sent, kind)
		}
		if n := c.ctl.Metric("macloom_openflow_packet_ins_dropped_total", "kind="+kind); n != 0 {
			t.Errorf("%v questions (%s) found the queue full", n, kind)
		}
	}
	t.Logf("%d of each sent; discovers that reached the controller: %v", sent, c.ctl.Metric("macloom_dhcp_messages_total", "type=malformed"))
}

// The example of the guide is what gives an instance its address.
func TestTheExampleOfTheGuideGivesAnAddress(t *testing.T) {
	t.Parallel()
	followGuide(t, "dhcp")
}

// followGuide does on a host what the examples of a guide say, one after the other, whose ends the
// guide tells, too. It makes a namespace for each station.
func followGuide(t *testing.T, name string, stations ...string) {
	t.Helper()
	guide, err := os.ReadFile("../../docs/" + name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	var script string
	var ends []string
	for _, part := range strings.Split(string(guide), "```sh\n")[1:] {
		example, prose, _ := strings.Cut(part, "```\n")
		if _, rest, ok := strings.Cut(prose, "ends with `"); ok {
			end, _, _ := strings.Cut(rest, "`")
			script, ends = script+example, append(ends, end)
		}
	}
	if len(ends) == 0 {
		t.Fatal("the guide has no example")
	}
	s := sites(t, 1)[0]
	vm := strings.TrimSuffix(s.lab.Namespace(), "sw") + "vm"
	if len(stations) == 0 {
		stations = []string{""} // one, without a name
	}
	for _, name := range stations {
		t.Cleanup(func() {
			if out, err := s.lab.Exec(context.Background(), "ip", "netns", "del", vm+name); err != nil {
				t.Error(out, err)
			}
		})
	}
	vars := fmt.Sprintf("set -e; cd %s; VM=%s; export MACLOOM_TOKEN=%s\nmacloom() { %q \"$@\"; }\n",
		s.lab.Dir(), vm, s.ctl.Token(), s.ctl.Binary())
	out, err := s.lab.Exec(context.Background(), "sh", "-c", vars+script)
	for _, want := range ends {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: %s\nwant %s", err, out, want)
		}
	}
}

// What a switch answers does not cross the underlay: neither the neighbour nor
// anybody else on its host hears the question.
func TestAnsweredARPStaysOnItsHost(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	here, there := all[0], all[1]
	network := here.network("acme", "blue", "10.0.0.0/24")
	a := here.boot("a", "acme", network, "10.0.0.1", true)
	b, watcher := there.boot("b", "acme", network, "10.0.0.2", true), there.boot("watcher", "acme", network, "10.0.0.3", true)
	here.comes(a, b, true)
	lab.Wait(t, "an answer about b", patience, func() error {
		for _, f := range here.lab.Flows(here.bridge) {
			if strings.Contains(f, "arp_tpa="+b.ip) && strings.Contains(f, "set_field:"+b.MAC+"->arp_sha") {
				return nil
			}
		}
		return errors.New("no flow")
	})
	heard, byIt, sentinel := watcher.Capture(arpFor(b.ip)), b.Capture(arpFor(b.ip)), b.Capture(marked(1))
	a.forget(t)
	here.reaches(a, b, true)
	own := parseMAC(a.MAC)
	a.SendFrame(mark(arp(own, own, [4]byte{10, 0, 0, 1}, nobody), 1))
	sentinel.Wait(1, patience)
	if n := len(heard.Stop()) + len(byIt.Stop()); n != 0 {
		t.Errorf("%d requests for b crossed the underlay", n)
	}
}
