package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// bulkBytes is how much is sent to see that a connection carries a load.
const bulkBytes = 50 << 20

func TestTCPCarriesALoadBetweenHosts(t *testing.T) {
	t.Parallel()
	if err := lab.Need("iperf3", "iperf3"); err != nil {
		t.Fatal(err)
	}
	all := sites(t, 2)
	network := all[0].network("acme", "blue", "10.0.0.0/24")
	a, b := all[0].boot("a", "acme", network, "10.0.0.1", true), all[1].boot("b", "acme", network, "10.0.0.2", true)
	// As DHCP would tell them: what is longer does not fit the underlay with the headers of the tunnel.
	mtu := fmt.Sprint(all[0].ctl.Must(http.MethodGet, "/v2.0/networks/"+network, nil)["network"].(map[string]any)["mtu"])
	for _, i := range []instance{a, b} {
		if _, err := i.Exec(context.Background(), "ip", "link", "set", "eth0", "mtu", mtu); err != nil {
			t.Fatal(err)
		}
	}
	server := b.Start("iperf3", "-s", "-B", b.ip)
	conn, err := a.Dial("tcp", b.ip+":5201", patience) // repeats its SYN until the server is up and the flows are there
	lab.Wait(t, "iperf3 to listen", patience, func() error {
		if err != nil {
			conn, err = a.Dial("tcp", b.ip+":5201", time.Second)
		}
		return err
	})
	conn.Close()
	out, err := a.Exec(context.Background(), "iperf3", "-c", b.ip, "-n", fmt.Sprint(bulkBytes), "-J")
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, server.Output())
	}
	var report struct {
		End struct {
			Received struct {
				Bytes int64
				Rate  float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if got := report.End.Received.Bytes; got < bulkBytes*9/10 { // the rest was on its way at the end
		t.Errorf("%d bytes arrived of %d", got, bulkBytes)
	}
	t.Logf("%.0f Mbit/s through two userspace datapaths", report.End.Received.Rate/1e6)
}

// stream sends datagrams to whoever has said something, every 10 ms, as a server
// of voice or video does.
func stream(conn net.PacketConn) {
	var b [1]byte
	for {
		_, to, err := conn.ReadFrom(b[:])
		if err != nil {
			return
		}
		go func() {
			for range time.Tick(10 * time.Millisecond) {
				if _, err := conn.WriteTo(b[:], to); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		}()
	}
}

// listener hears a stream, and says nothing more after the first word.
func listener(t *testing.T, i instance, addr string) net.Conn {
	t.Helper()
	conn, err := i.Dial("udp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	lab.Wait(t, "the stream of "+addr+" to come", patience, func() error {
		if _, err := conn.Write([]byte{1}); err != nil {
			return err
		}
		return hears(conn, time.Second)
	})
	return conn
}

// hears waits for what a stream sends from now on.
func hears(conn net.Conn, within time.Duration) error {
	var b [1]byte
	// What has come before does not count. It is read as fast as it can be, so that no more comes in between.
	for err := error(nil); err == nil; {
		if err = conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err == nil {
			_, err = conn.Read(b[:])
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := conn.Read(b[:])
	return err
}

// A rule that goes, and a member that leaves the group that a rule names, cut what
// they let through between hosts: a TCP connection, and a stream in which the
// client says nothing. What others let through goes on.
func TestWhatIsWithdrawnIsCutBetweenHosts(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	network := c.network("acme", "blue", "10.0.0.0/24")
	group := func(name string) string {
		return c.create("security-groups", "security_group", map[string]any{"name": name, "tenant_id": "acme"})["id"].(string)
	}
	servers, members, others := group("servers"), group("members"), group("others")
	allow := func(protocol string, port int, remote any) string {
		return c.create("security-group-rules", "security_group_rule", map[string]any{
			"security_group_id": servers, "tenant_id": "acme", "direction": "ingress", "protocol": protocol,
			"port_range_min": port, "port_range_max": port, "remote_group_id": remote,
		})["id"].(string)
	}
	boot := func(name, ip string) instance { return c.boot(name, "acme", network, ip, true) }
	client, goes, stays := boot("client", "10.0.0.1"), boot("goes", "10.0.0.2"), boot("stays", "10.0.0.3")
	server := all[1].boot("server", "acme", network, "10.0.0.9", true)
	regroup := func(i instance, groups ...any) {
		c.ctl.Must(http.MethodPut, "/v2.0/ports/"+i.portID(), map[string]any{"port": map[string]any{"security_groups": groups}})
	}
	regroup(server, servers)
	regroup(client, others)
	regroup(goes, members)
	regroup(stays, members)
	withdrawn := map[string]string{}
	for _, protocol := range []string{"tcp", "udp"} {
		withdrawn[protocol] = allow(protocol, 1000, nil)
		allow(protocol, 2000, nil)
		allow(protocol, 3000, members)
	}
	for _, port := range []string{":1000", ":2000", ":3000"} {
		go echo(server.Listen("tcp", server.ip+port))
		go stream(server.ListenPacket("udp", server.ip+port))
	}
	// A connection is both: TCP, and the stream that the server sends.
	type pair struct {
		name          string
		from          instance
		port          string
		tcp, datagram net.Conn
	}
	open := func(name string, i instance, port string) pair {
		t.Helper()
		p := pair{name: name, from: i, port: port}
		lab.Wait(t, name+" to connect", patience, func() (err error) {
			p.tcp, err = i.Dial("tcp", server.ip+":"+port, time.Second)
			return err
		})
		t.Cleanup(func() { p.tcp.Close() })
		if err := exchange(p.tcp, patience); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.datagram = listener(t, i, server.ip+":"+port)
		return p
	}
	byRule, byOther := open("by the rule", client, "1000"), open("by another rule", client, "2000")
	leaver, stayer := open("the leaver", goes, "3000"), open("the stayer", stays, "3000")
	cut := func(p pair, since time.Time) {
		t.Helper()
		lab.Wait(t, p.name+" to be cut", patience, func() error {
			if exchange(p.tcp, time.Second) == nil || hears(p.datagram, time.Second) == nil {
				return errors.New("still there")
			}
			return nil
		})
		t.Logf("%s: cut at most %v after the API call, of which 2 s saw nothing", p.name, time.Since(since))
		if exchange(p.tcp, time.Second) == nil || hears(p.datagram, time.Second) == nil {
			t.Errorf("%s: slow, not cut", p.name)
		}
		for _, protocol := range []string{"tcp", "udp"} {
			c.explains(p.from, "protocol="+protocol+"&dst_port="+p.port+"&to="+server.portID(), false)
		}
	}
	lives := func(p pair) {
		t.Helper()
		if err := errors.Join(exchange(p.tcp, patience), hears(p.datagram, patience)); err != nil {
			t.Errorf("%s was hurt: %v", p.name, err)
		}
		for _, protocol := range []string{"tcp", "udp"} {
			c.explains(p.from, "protocol="+protocol+"&dst_port="+p.port+"&to="+server.portID(), true)
		}
	}
	for _, p := range []pair{byRule, byOther, leaver, stayer} {
		lives(p)
	}
	asked := time.Now()
	for _, rule := range withdrawn {
		c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule, nil)
	}
	cut(byRule, asked)
	for _, p := range []pair{byOther, leaver, stayer} {
		lives(p)
	}
	asked = time.Now()
	regroup(goes, others)
	cut(leaver, asked)
	for _, p := range []pair{byOther, stayer} {
		lives(p)
	}
}

// away is how long a host has no controller: longer than the probes of both sides.
const away = 30 * time.Second

// A host that loses its controller goes on as it was, and on its return it gets
// what has changed meanwhile.
func TestAHostWithoutItsControllerGoesOnAndCatchesUp(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c, far := all[0], all[1]
	network := c.network("acme", "blue", "10.0.0.0/24")
	web := c.create("security-groups", "security_group", map[string]any{"name": "web", "tenant_id": "acme"})["id"].(string)
	rule := c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": web, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80,
	})["id"].(string)
	a, b := c.boot("a", "acme", network, "10.0.0.1", true), far.boot("b", "acme", network, "10.0.0.2", true)
	near := far.boot("near", "acme", network, "10.0.0.3", true)
	server := far.boot("server", "acme", network, "10.0.0.4", true)
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+server.portID(), map[string]any{"port": map[string]any{"security_groups": []any{web}}})
	go echo(server.Listen("tcp", "10.0.0.4:80"))
	var conn net.Conn
	lab.Wait(t, "port 80 to open", patience, func() (err error) {
		conn, err = a.Dial("tcp", "10.0.0.4:80", time.Second)
		return err
	})
	defer conn.Close()
	// The interface is there before the pings: OVS in userspace reads its routes anew
	// for each that comes, and drops what it would tunnel meanwhile.
	newcomer := instance{ip: "10.0.0.5", Host: far.lab.Host(far.bridge, "late", lab.HostOptions{MAC: "02:00:5e:00:00:05", Addrs: []string{"10.0.0.5/24"}})}
	a.Ping(b.ip, lab.PingOptions{Timeout: patience})
	near.Ping(b.ip, lab.PingOptions{Timeout: patience})

	connected := func(want bool) {
		t.Helper()
		c.awaitSwitch(fmt.Sprintf("the far host to be connected: %v", want), "?id="+far.bridge.DPID, func(sw map[string]any) bool { return sw["connected"] == want })
	}
	// Frames of the control connections are lost in the underlay, and nobody is told.
	for _, port := range []string{"tp_src=6653", "tp_dst=6653", "tp_src=6640", "tp_dst=6640"} {
		far.lab.Ofctl("add-flow", "br-phy", "priority=100,tcp,"+port+",actions=drop")
	}
	cutAt := time.Now()
	across, within := a.StartPing(b.ip, 10*time.Millisecond), near.StartPing(b.ip, 10*time.Millisecond)
	connected(false)
	// What is asked for meanwhile waits.
	c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule, nil)
	newcomer.port = c.create("ports", "port", map[string]any{
		"name": "late", "tenant_id": "acme", "network_id": network, "mac_address": newcomer.MAC,
		"fixed_ips": []any{map[string]any{"ip_address": newcomer.ip}}, "binding:host_id": far.bridge.DPID,
	})
	far.carry("late", newcomer.portID())
	time.Sleep(away - time.Since(cutAt)) // the length of the cut
	if err := exchange(conn, patience); err != nil {
		t.Errorf("the connection did not outlive the cut: %v", err)
	}
	if port := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+newcomer.portID(), nil)["port"].(map[string]any); port["status"] != "DOWN" {
		t.Errorf("a port of a host that is away is %v", port["status"])
	}
	far.lab.Ofctl("del-flows", "br-phy", "tcp")
	connected(true)
	c.awaitStatus(newcomer, "ACTIVE")
	c.comes(a, newcomer, true)
	lab.Wait(t, "the connection of the withdrawn rule to be cut", patience, func() error {
		if exchange(conn, 300*time.Millisecond) == nil {
			return errors.New("still echoes")
		}
		return nil
	})
	c.explains(a, "protocol=tcp&dst_port=80&to="+server.portID(), false)
	for name, p := range map[string]lab.Pings{"between hosts": across.Stop(), "within the host": within.Stop()} {
		t.Logf("%s: %v", name, p)
		if p.Received != p.Sent {
			t.Errorf("%s: %v", name, p)
		}
	}
}
