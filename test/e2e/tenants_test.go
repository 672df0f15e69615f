package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// Two tenants with the same addresses on one switch, with MACs that the API
// gave: each reaches its own network and nothing else.
func TestTenantsReachTheirOwnNetworksOnly(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	blue, red := c.network("acme", "blue", "10.0.0.0/24"), c.network("globex", "red", "10.0.0.0/24")
	c.create("mac-segments", "mac_segment", map[string]any{
		"name": "acme", "tenant_id": "acme", "base_address": "02:00:05:00:00:00", "prefix_length": 24,
	})
	a1 := c.instance("a1", "acme", blue, "10.0.0.1", nil)
	a2 := c.instance("a2", "acme", blue, "10.0.0.2", nil)
	g1 := c.instance("g1", "globex", red, "10.0.0.1", nil)
	g3 := c.instance("g3", "globex", red, "10.0.0.3", nil)
	for _, i := range []instance{a1, a2} {
		if !strings.HasPrefix(i.MAC, "02:00:05:") {
			t.Errorf("%s has %s, not of its tenant's segment", i.Name, i.MAC)
		}
	}

	for _, pair := range []struct {
		from, to instance
		passes   bool
	}{{a1, a2, true}, {a2, a1, true}, {g1, g3, true}, {a1, g3, false}, {g3, a2, false}} {
		c.reaches(pair.from, pair.to, pair.passes)
		c.explains(pair.from, "to="+pair.to.portID(), pair.passes)
		c.explains(pair.from, "to="+pair.to.ip, pair.passes)
	}

	// Nor by a frame to the other tenant's very MAC, which needs no ARP. The
	// frames after it show that it has been through the switch.
	seen, sentinel, last := g3.Capture(marked(1)), a2.Capture(marked(2)), g3.Capture(marked(3))
	own := parseMAC(a1.MAC)
	a1.SendFrame(mark(to(parseMAC(g3.MAC), arp(own, own, [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 3})), 1))
	a1.SendFrame(mark(arp(own, own, [4]byte{10, 0, 0, 1}, nobody), 2))
	sentinel.Wait(1, patience)
	peer := parseMAC(g1.MAC)
	g1.SendFrame(mark(arp(peer, peer, [4]byte{10, 0, 0, 1}, nobody), 3))
	last.Wait(1, patience)
	if n := len(seen.Stop()); n != 0 {
		t.Errorf("%d frames reached another tenant by its MAC", n)
	}

	// Unbound, a port is nobody's: its host neither reaches the network nor is reached.
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+g3.portID(), map[string]any{"port": map[string]any{"binding:host_id": ""}})
	c.awaitStatus(g3, "DOWN")
	c.comes(g1, g3, false)
	c.reaches(g3, g1, false)
	for _, pair := range [][2]instance{{g1, g3}, {g3, g1}} {
		if got := c.explain(pair[0], "to="+pair[1].portID()); got.Verdict != "dropped" || !strings.Contains(got.Summary, "not bound") {
			t.Errorf("to and from a port that is not bound: %+v", got)
		}
	}
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+g3.portID(), map[string]any{"port": map[string]any{
		"binding:host_id": dpid, "binding:profile": map[string]any{"port_no": g3.Port},
	}})
	c.awaitStatus(g3, "ACTIVE")
	c.comes(g1, g3, true)

	// Deleting the port takes its flows away, and its interface out of every network.
	c.ctl.Must(http.MethodDelete, "/v2.0/ports/"+a2.portID(), nil)
	lab.Wait(t, "the flows of a2 to go", patience, func() error {
		for _, f := range c.lab.Flows(c.bridge) {
			if strings.Contains(f, a2.MAC) {
				return errors.New(f)
			}
		}
		return nil
	})
	c.comes(a1, a2, false)
}

// A port may speak as its address pairs say besides, and one without port
// security as it likes; frames for a MAC of a pair reach who may have it.
func TestPortsSpeakAsTheirPairsOrWithoutPortSecurityAsTheyLike(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	net := c.network("acme", "blue", "10.0.0.0/24")
	const virtual = "00:00:5e:00:01:07"
	router := c.instance("router", "acme", net, "10.0.0.1", map[string]any{"allowed_address_pairs": []any{
		map[string]any{"ip_address": "10.0.0.100"}, map[string]any{"ip_address": "10.0.0.0/24", "mac_address": virtual},
	}})
	bare := c.instance("bare", "acme", net, "10.0.0.2", map[string]any{"port_security_enabled": false})

	own, vmac, peer, stolen := parseMAC(router.MAC), parseMAC(virtual), parseMAC(bare.MAC), [6]byte{0x02, 0, 0, 0, 0, 0x99}
	ownIP, peerIP, vip, stolenIP := [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}, [4]byte{10, 0, 0, 100}, [4]byte{10, 9, 0, 9}
	// Sentinels leave by the same port afterwards: once one is there, the frame would be, too.
	try := func(from, to instance, i int, name string, frame, sentinel []byte, legal bool) {
		t.Helper()
		seen, last := to.Capture(marked(i)), to.Capture(marked(1000+i))
		from.SendFrame(mark(frame, i))
		from.SendFrame(mark(sentinel, 1000+i))
		last.Wait(1, patience)
		last.Stop()
		if got := len(seen.Stop()) > 0; got != legal {
			t.Errorf("frame of %s with %s arrived: %v, want %v", from.Name, name, got, legal)
		}
	}
	ask := arp(own, own, ownIP, nobody)
	for i, f := range []struct {
		name  string
		frame []byte
		legal bool
	}{
		{"the IP of a pair", ipv4(own, peer, vip, peerIP), true},
		{"ARP for the IP of a pair", arp(own, own, vip, nobody), true},
		{"the MAC of a pair", ipv4(vmac, peer, vip, peerIP), true},
		{"ARP from the MAC of a pair", arp(vmac, vmac, vip, nobody), true},
		{"the MAC of a pair and a stolen IP", ipv4(vmac, peer, stolenIP, peerIP), false},
		{"ARP from the MAC of a pair for a stolen IP", arp(vmac, vmac, stolenIP, nobody), false},
		{"a stolen MAC", ipv4(stolen, peer, vip, peerIP), false},
	} {
		try(router, bare, i, f.name, f.frame, ask, f.legal)
	}
	say := arp(peer, peer, peerIP, nobody)
	for i, f := range []struct {
		name  string
		frame []byte
		legal bool
	}{
		{"ARP that is not its own", arp(stolen, stolen, stolenIP, nobody), true},
		{"ARP for the MAC of a pair", to(vmac, arp(stolen, stolen, stolenIP, vip)), true},
		{"ARP for a MAC that nobody has", to(stolen, say), false},
		{"IP that no rule of the receiver allows", ipv4(stolen, own, stolenIP, ownIP), false},
	} {
		try(bare, router, 100+i, f.name, f.frame, say, f.legal)
	}
}

// A rule opens a port for new connections, and closes it for those that are
// open; connections by another rule go on.
func TestARuleOpensAndClosesAPortForOpenConnectionsToo(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	group := c.create("security-groups", "security_group", map[string]any{"name": "web", "tenant_id": "acme"})["id"].(string)
	allow := func(port int) string {
		return c.create("security-group-rules", "security_group_rule", map[string]any{
			"security_group_id": group, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port,
		})["id"].(string)
	}
	client := c.instance("client", "acme", network, "10.0.0.1", nil)
	server := c.instance("server", "acme", network, "10.0.0.2", map[string]any{"security_groups": []any{group}})
	for _, port := range []string{"80", "8080"} {
		go echo(server.Listen("tcp", "10.0.0.2:"+port))
	}
	// Shorter than the second after which TCP repeats a lost SYN: each attempt has a fresh one.
	dial := func(port string) (net.Conn, error) { return client.Dial("tcp", "10.0.0.2:"+port, 200*time.Millisecond) }

	allow(8080)
	var bystander net.Conn
	lab.Wait(t, "port 8080 to open", patience, func() (err error) {
		bystander, err = dial("8080")
		return err
	})
	defer bystander.Close()
	if conn, err := dial("80"); err == nil {
		conn.Close()
		t.Fatal("port 80 is open without a rule")
	}
	c.explains(client, "protocol=tcp&dst_port=80&to="+server.portID(), false)
	c.explains(client, "protocol=tcp&dst_port=8080&to="+server.portID(), true)

	for range 2 {
		rule := allow(80)
		asked := time.Now()
		var conn net.Conn
		lab.Wait(t, "port 80 to open", patience, func() (err error) {
			conn, err = dial("80")
			return err
		})
		t.Logf("opened %v after the API call", time.Since(asked))
		if err := exchange(conn, patience); err != nil {
			t.Fatalf("through the open port: %v", err)
		}
		c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule, nil)
		asked = time.Now()
		lab.Wait(t, "the open connection to be cut", patience, func() error {
			if exchange(conn, time.Second) == nil {
				return errors.New("still echoes")
			}
			return nil
		})
		t.Logf("cut at most %v after the API call, of which 1 s saw nothing", time.Since(asked))
		if exchange(conn, time.Second) == nil {
			t.Error("the connection was slow, not cut")
		}
		conn.Close()
		if conn, err := dial("80"); err == nil {
			conn.Close()
			t.Error("port 80 is still open for new connections")
		}
		if err := exchange(bystander, patience); err != nil {
			t.Errorf("the connection by another rule was hurt: %v", err)
		}
	}
}

// A member that leaves the group that a rule names loses its connections;
// another member keeps its own.
func TestAMemberThatLeavesTheGroupIsCut(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	clients := c.create("security-groups", "security_group", map[string]any{"name": "clients", "tenant_id": "acme"})["id"].(string)
	servers := c.create("security-groups", "security_group", map[string]any{"name": "servers", "tenant_id": "acme"})["id"].(string)
	c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": servers, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": 5000, "port_range_max": 5999,
		"remote_group_id": clients,
	})
	member := map[string]any{"security_groups": []any{clients}}
	leaver, stayer := c.instance("leaver", "acme", network, "10.0.0.1", member), c.instance("stayer", "acme", network, "10.0.0.2", member)
	server := c.instance("server", "acme", network, "10.0.0.3", map[string]any{"security_groups": []any{servers}})
	go echo(server.Listen("tcp", "10.0.0.3:5001"))
	var conns []net.Conn
	for _, i := range []instance{leaver, stayer} {
		conn, err := i.Dial("tcp", "10.0.0.3:5001", patience)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := exchange(conn, patience); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	// The leaver keeps a group that lets it send, so that only membership is at stake.
	other := c.create("security-groups", "security_group", map[string]any{"name": "others", "tenant_id": "acme"})["id"].(string)
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+leaver.portID(), map[string]any{"port": map[string]any{"security_groups": []any{other}}})
	lab.Wait(t, "the leaver's connection to be cut", patience, func() error {
		if exchange(conns[0], 300*time.Millisecond) == nil {
			return errors.New("still echoes")
		}
		return nil
	})
	if err := exchange(conns[1], patience); err != nil {
		t.Errorf("the other member was cut too: %v", err)
	}
}

// A stateless group admits single packets: answers need a rule of their own, and
// without the rule of either direction the connection stands still.
func TestAStatelessGroupLooksAtSinglePackets(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	group := c.create("security-groups", "security_group", map[string]any{"name": "raw", "tenant_id": "acme", "stateful": false})
	for _, rule := range group["security_group_rules"].([]any) {
		c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule.(map[string]any)["id"].(string), nil)
	}
	offices := c.create("address-groups", "address_group", map[string]any{"name": "offices", "tenant_id": "acme", "addresses": []any{"10.0.0.1/32"}})["id"]
	allow := func(direction string) string {
		return c.create("security-group-rules", "security_group_rule", map[string]any{
			"security_group_id": group["id"], "tenant_id": "acme", "direction": direction, "protocol": "tcp", "remote_address_group_id": offices,
		})["id"].(string)
	}
	client := c.instance("client", "acme", network, "10.0.0.1", nil)
	server := c.instance("server", "acme", network, "10.0.0.2", map[string]any{"security_groups": []any{group["id"]}})
	go echo(server.Listen("tcp", "10.0.0.2:80"))
	dial := func() (net.Conn, error) { return client.Dial("tcp", "10.0.0.2:80", 200*time.Millisecond) }

	in := allow("ingress")
	asked := server.Capture(func(f []byte) bool { return len(f) > 37 && f[12] == 8 && f[23] == 6 && f[37] == 80 })
	defer asked.Stop()
	lab.Wait(t, "the server to be asked", patience, func() error {
		if conn, err := dial(); err == nil {
			conn.Close()
			t.Fatal("answers pass without a rule of their own")
		}
		if asked.Count() == 0 {
			return errors.New("no SYN has come")
		}
		return nil
	})
	allow("egress")
	var conn net.Conn
	lab.Wait(t, "both directions to open", patience, func() (err error) {
		conn, err = dial()
		return err
	})
	defer conn.Close()
	if err := exchange(conn, patience); err != nil {
		t.Fatal(err)
	}
	c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+in, nil)
	lab.Wait(t, "the connection to be cut", patience, func() error {
		if exchange(conn, 300*time.Millisecond) == nil {
			return errors.New("still echoes")
		}
		return nil
	})
}

// A rule may ask for the MAC of the other side, or for the segment that it is
// of: whoever has another does not get in.
func TestRulesAskForMACAddressesAndSegments(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	block := func(base string) any {
		return c.create("mac-segments", "mac_segment", map[string]any{"tenant_id": "acme", "base_address": base, "prefix_length": 40})["id"]
	}
	segment, other := block("02:77:00:00:00:00"), block("02:78:00:00:00:00")
	group := c.create("security-groups", "security_group", map[string]any{"name": "db", "tenant_id": "acme"})["id"]
	allow := func(port int, remote map[string]any) string {
		for name, value := range map[string]any{
			"security_group_id": group, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port,
		} {
			remote[name] = value
		}
		return c.create("security-group-rules", "security_group_rule", remote)["id"].(string)
	}
	inside := c.instance("inside", "acme", network, "10.0.0.1", map[string]any{"mac_address": "02:77:00:00:00:05"})
	outside := c.instance("outside", "acme", network, "10.0.0.2", map[string]any{"mac_address": "02:78:00:00:00:05"})
	server := c.instance("server", "acme", network, "10.0.0.3", map[string]any{"security_groups": []any{group}})
	for _, port := range []string{"80", "81"} {
		go echo(server.Listen("tcp", "10.0.0.3:"+port))
	}
	bySegment := allow(80, map[string]any{"remote_mac_segment_id": segment})
	allow(81, map[string]any{"remote_mac": "0278.0000.0005"})
	conns := map[string]net.Conn{}
	for _, may := range []struct {
		from instance
		port string
	}{{inside, "80"}, {outside, "81"}} {
		lab.Wait(t, may.from.Name+" to get in", patience, func() (err error) {
			conns[may.port], err = may.from.Dial("tcp", "10.0.0.3:"+may.port, 200*time.Millisecond)
			return err
		})
		defer conns[may.port].Close()
		if err := exchange(conns[may.port], patience); err != nil {
			t.Fatal(err)
		}
	}
	for _, mayNot := range []struct {
		from instance
		port string
	}{{inside, "81"}, {outside, "80"}} {
		if conn, err := mayNot.from.Dial("tcp", "10.0.0.3:"+mayNot.port, 200*time.Millisecond); err == nil {
			conn.Close()
			t.Errorf("%s gets in at port %s", mayNot.from.Name, mayNot.port)
		}
	}

	status, err := c.ctl.Call(t.Context(), c.ctl.Token(), http.MethodDelete, fmt.Sprint("/v2.0/mac-segments/", segment), nil, nil)
	if err != nil || status != http.StatusConflict {
		t.Errorf("deleting a segment that a rule names: status %d, %v, want 409", status, err)
	}
	// Another segment may get in instead.
	c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+bySegment, nil)
	allow(80, map[string]any{"remote_mac_segment_id": other})
	lab.Wait(t, "the connection from the old segment to be cut", patience, func() error {
		if exchange(conns["80"], 300*time.Millisecond) == nil {
			return errors.New("still echoes")
		}
		return nil
	})
	if err := exchange(conns["81"], patience); err != nil {
		t.Errorf("the connection by the other rule was hurt: %v", err)
	}
}

// Both directions of a rule change must hold for the other family as well.
func TestIPv6IsGuardedAndFiltered(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	host := c.six()
	a, b := host("a", "fd00:5d::a"), host("b", "fd00:5d::b")
	c.reaches(a, b, true)
	if out, err := b.Exec(context.Background(), "ip", "addr", "add", "fd00:5d::bad/64", "dev", "eth0", "nodad"); err != nil {
		t.Fatal(out, err)
	}
	stolen := b
	stolen.ip = "fd00:5d::bad"
	c.reaches(a, stolen, false)
}

func echo(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // ends with the connection
		}()
	}
}

// exchange sends a byte and waits for its echo.
func exchange(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{'x'}); err != nil {
		return err
	}
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return fmt.Errorf("no echo: %w", err)
	}
	return nil
}
