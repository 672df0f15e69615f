package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// speaksAs gives a port address pairs.
func (c *cloud) speaksAs(i instance, ip, station string) {
	c.t.Helper()
	pair := map[string]any{"ip_address": ip, "mac_address": station}
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+i.portID(), map[string]any{"port": map[string]any{"allowed_address_pairs": []any{pair}}})
}

// configure sets the network of an instance.
func (i instance) configure(t *testing.T, args string) {
	t.Helper()
	if _, err := i.Exec(context.Background(), "ip", strings.Fields(args)...); err != nil {
		t.Fatal(err)
	}
}

// Two routers on two hosts share a MAC, as by VRRP: what is for it reaches both, and
// whichever has the address answers.
func TestAVirtualRouterFailsOverToAnotherHost(t *testing.T) {
	t.Parallel()
	const virtual, service = "00:00:5e:00:01:07", "10.0.0.100"
	all := sites(t, 2)
	network := all[0].network("red", "red", "10.0.0.0/24")
	client := all[0].boot("client", "red", network, "10.0.0.1", true)
	var routers []instance
	var captures []*lab.Capture
	for i, s := range all {
		r := s.boot(fmt.Sprint("router", i), "red", network, fmt.Sprint("10.0.0.", 11+i), true)
		s.speaksAs(r, service, virtual)
		routers, captures = append(routers, r), append(captures, r.Capture(marked(1)))
	}
	frame := mark(ipv4(parseMAC(client.MAC), parseMAC(virtual), [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 100}), 1)
	lab.Wait(t, "a frame to the shared MAC to reach both routers", patience, func() error {
		client.SendFrame(frame)
		if a, b := captures[0].Count(), captures[1].Count(); a == 0 || b == 0 {
			return fmt.Errorf("%d and %d came", a, b)
		}
		return nil
	})
	for _, r := range []instance{routers[1], routers[0]} { // the one elsewhere first
		own := r.MAC
		r.SetMAC(virtual)
		r.configure(t, "addr add "+service+"/24 dev eth0")
		if got := client.Ping(service, lab.PingOptions{Timeout: patience}); got.Received != got.Sent {
			t.Errorf("%s has the address: %v", r.Name, got)
		}
		r.configure(t, "addr del "+service+"/24 dev eth0")
		r.SetMAC(own)
	}
}

// A machine inside of an instance has a MAC of the prefix that the port may speak as.
func TestANestedMachineIsReachedFromAnotherHost(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	network := all[0].network("red", "red", "10.0.0.0/24")
	peer := all[1].boot("peer", "red", network, "10.0.0.2", true)
	peer.configure(t, "route add 10.9.0.0/24 dev eth0")
	machine := all[0].boot("machine", "red", network, "10.0.0.1", true)
	all[0].speaksAs(machine, "10.9.0.0/24", "52:54:00:00:00:00/24")
	machine.configure(t, "addr flush dev eth0 scope global")
	machine.SetMAC("52:54:00:12:34:56")
	machine.configure(t, "addr add 10.9.0.5/24 dev eth0")
	machine.configure(t, "route add 10.0.0.0/24 dev eth0 src 10.9.0.5")
	lab.Wait(t, "the machine to reach the peer", patience, func() error {
		if got := machine.Ping(peer.ip, lab.PingOptions{Timeout: 300 * time.Millisecond}); got.Received != got.Sent {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if got := peer.Ping("10.9.0.5", lab.PingOptions{Timeout: patience}); got.Received != got.Sent {
		t.Errorf("the peer reaches the machine: %v", got)
	}
	heard := peer.Capture(marked(2))
	peer.forget(t)
	machine.SendFrame(mark(arp(parseMAC("52:55:00:12:34:56"), parseMAC("52:55:00:12:34:56"), [4]byte{10, 9, 0, 5}, nobody), 2)) // of no prefix
	machine.SendFrame(mark(arp(parseMAC(peer.MAC), parseMAC(peer.MAC), [4]byte{10, 9, 0, 5}, nobody), 2))
	last := peer.Capture(marked(3))
	machine.SendFrame(mark(arp(parseMAC("52:54:00:ff:00:01"), parseMAC("52:54:00:ff:00:01"), [4]byte{10, 9, 0, 7}, nobody), 3))
	last.Wait(1, patience)
	if n := heard.Count(); n != 0 {
		t.Errorf("%d frames from MACs that the port may not speak as", n)
	}
}

// A port without port security brings no MAC into a network that its lists do not have.
func TestAForeignMACStaysOutOfANetworkWithAnAllowList(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	network := c.network("red", "red", "10.0.0.0/24")
	open := c.boot("open", "red", network, "10.0.0.1", true)
	there := all[1].boot("there", "red", network, "10.0.0.2", true)
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+open.portID(), map[string]any{"port": map[string]any{"security_groups": []any{}, "port_security_enabled": false}})
	foreign, known := parseMAC("52:54:00:12:34:56"), parseMAC(open.MAC)
	n := 0
	// send says whether a frame of the foreign MAC comes. One of a known MAC goes the same way behind it.
	send := func() bool {
		n += 2
		heard, after := there.Capture(marked(n)), there.Capture(marked(n+1))
		open.SendFrame(mark(arp(foreign, foreign, [4]byte{10, 0, 0, 99}, nobody), n))
		lab.Wait(t, "a frame of a known MAC", patience, func() error {
			if after.Count() == 0 {
				open.SendFrame(mark(arp(known, known, [4]byte{10, 0, 0, 1}, nobody), n+1))
				return errors.New("none came")
			}
			return nil
		})
		after.Stop()
		return len(heard.Stop()) > 0
	}
	passes := func(what string) {
		t.Helper()
		lab.Wait(t, what, patience, func() error {
			if !send() {
				return errors.New("none came")
			}
			return nil
		})
	}
	passes("a foreign MAC to pass where there is no list")
	list := c.create("mac-allow-lists", "mac_allow_list", map[string]any{
		"name": "hosts", "network_id": network, "entries": []any{map[string]any{"prefix": "02:00:00:00:00:00/8"}},
	})
	lab.Wait(t, "a foreign MAC to be kept out", patience, func() error {
		if send() {
			return errors.New("it came")
		}
		return nil
	})
	if got := c.explain(open, "to="+there.ip+"&src_mac=52:54:00:12:34:56"); got.Verdict != "dropped" || !strings.Contains(got.Summary, "MAC allow list hosts") {
		t.Errorf("explained as %+v", got)
	}
	if send() {
		t.Error("one more frame of a foreign MAC came")
	}
	c.ctl.Must(http.MethodDelete, "/v2.0/mac-allow-lists/"+list["id"].(string), nil)
	passes("a foreign MAC to pass after the last list has gone")
}
