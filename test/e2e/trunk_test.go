package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// guest is an instance with a trunk. Its system has a bridge behind its one
// interface, and a station for each of its VLANs on that: so these tests need no
// VLAN interfaces, which not every kernel has.
type guest struct {
	site
	inner *lab.Bridge
	iface string // on the integration bridge
}

func (s site) guest(name string) guest {
	s.t.Helper()
	g := guest{site: s, inner: s.lab.Bridge(name, lab.BridgeOptions{FailMode: "standalone"})}
	g.iface, _ = s.lab.Link(s.bridge, g.inner)
	return g
}

// station speaks for a port, with a tag if it is a sub-port's.
func (g guest) station(name string, port map[string]any, vlan int) instance {
	g.t.Helper()
	ip := port["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
	i := instance{port: port, ip: ip, Host: g.lab.Host(g.inner, name, lab.HostOptions{MAC: port["mac_address"].(string), Addrs: []string{ip + "/24"}})}
	if vlan != 0 {
		g.lab.Vsctl("set", "port", name, fmt.Sprint("tag=", vlan))
	}
	return i
}

// truck is a guest with a trunk of two networks with the same addresses: its
// parent and a sub-port are of one, another sub-port of the other.
type truck struct {
	guest
	trunk            string
	blue, red        string // networks
	parent, sub, far instance
}

const subTag, farTag = 101, 102

func newTruck(s site) *truck {
	s.t.Helper()
	k := &truck{guest: s.guest("guest"), blue: s.network("acme", "blue", "10.0.0.0/24"), red: s.network("acme", "red", "10.0.0.0/24")}
	port := func(network, ip string) map[string]any {
		return s.create("ports", "port", map[string]any{"tenant_id": "acme", "network_id": network, "fixed_ips": []any{map[string]any{"ip_address": ip}}})
	}
	parent, sub, far := port(k.blue, "10.0.0.1"), port(k.blue, "10.0.0.2"), port(k.red, "10.0.0.3")
	k.trunk = s.create("trunks", "trunk", map[string]any{"tenant_id": "acme", "port_id": parent["id"], "sub_ports": []any{
		map[string]any{"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": subTag},
		map[string]any{"port_id": far["id"], "segmentation_type": "vlan", "segmentation_id": farTag},
	}})["id"].(string)
	k.carry(k.iface, parent["id"].(string))
	k.parent, k.sub, k.far = k.station("parent", parent, 0), k.station("sub", sub, subTag), k.station("far", far, farTag)
	for _, i := range []instance{k.parent, k.sub, k.far} {
		s.awaitStatus(i, "ACTIVE")
	}
	k.awaitTrunk("ACTIVE")
	return k
}

func (k *truck) awaitTrunk(want string) {
	k.t.Helper()
	lab.Wait(k.t, "the trunk to be "+want, patience, func() error {
		if got := k.ctl.Must(http.MethodGet, "/v2.0/trunks/"+k.trunk, nil)["trunk"].(map[string]any)["status"]; got != want {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

func (k *truck) change(what string, body map[string]any) {
	k.t.Helper()
	k.ctl.Must(http.MethodPut, "/v2.0/trunks/"+k.trunk+what, body)
}

// Parent and sub-ports reach their own networks, here and on another host, and
// nothing else; also each other, though they share an interface. A sub-port leaves, the
// trunk goes down and up, and moves.
func TestATrunkCarriesTheNetworksOfItsSubPorts(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	c := all[0]
	k := newTruck(c)
	near, blue, red := c.boot("near", "acme", k.red, "10.0.0.7", false), all[1].boot("blue", "acme", k.blue, "10.0.0.9", true), all[1].boot("red", "acme", k.red, "10.0.0.8", true)
	for _, i := range []instance{k.sub, k.far} {
		p := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+i.portID(), nil)["port"].(map[string]any)
		if p["device_owner"] != "trunk:subport" || p["device_id"] != k.trunk || p["binding:vif_type"] != "ovs" {
			t.Errorf("%s shows %v, %v, %v", i.Name, p["device_owner"], p["device_id"], p["binding:vif_type"])
		}
	}
	for range 2 { // asked by all, then answered by the switch
		for _, pair := range []struct {
			from, to instance
			passes   bool
		}{
			{k.parent, k.sub, true}, {k.sub, k.parent, true}, {k.parent, blue, true}, {k.sub, blue, true}, {blue, k.sub, true},
			{k.far, near, true}, {k.far, red, true}, {red, k.far, true},
			{k.far, blue, false}, {k.sub, red, false}, {k.parent, near, false}, {k.far, k.sub, false},
		} {
			pair.from.forget(t)
			c.reaches(pair.from, pair.to, pair.passes)
			c.explains(pair.from, "to="+pair.to.portID(), pair.passes)
		}
	}
	if got := c.explain(red, "to="+k.far.portID()); !strings.Contains(got.Summary, fmt.Sprint("with VLAN tag ", farTag)) {
		t.Errorf("the tag is not named: %s", got.Summary)
	}

	// Removed, it is cut; the others stay.
	k.change("/remove_subports", map[string]any{"sub_ports": []any{map[string]any{"port_id": k.far.portID()}}})
	c.awaitStatus(k.far, "DOWN")
	c.comes(red, k.far, false)
	c.comes(k.sub, blue, true)
	k.change("/add_subports", map[string]any{"sub_ports": []any{map[string]any{"port_id": k.far.portID(), "segmentation_type": "vlan", "segmentation_id": farTag}}})
	c.awaitStatus(k.far, "ACTIVE")
	c.comes(red, k.far, true)

	// Down, it carries what is its parent's alone.
	k.change("", map[string]any{"trunk": map[string]any{"admin_state_up": false}})
	c.awaitStatus(k.sub, "DOWN")
	k.awaitTrunk("DOWN")
	c.comes(k.sub, blue, false)
	c.comes(k.parent, blue, true)
	k.change("", map[string]any{"trunk": map[string]any{"admin_state_up": true}})
	k.awaitTrunk("ACTIVE")
	c.comes(k.sub, blue, true)

	// With its parent it moves to the other host, where its addresses do not belong.
	before := k.sub.portID()
	c.lab.Vsctl("remove", "interface", k.iface, "external_ids", "iface-id")
	c.awaitStatus(k.sub, "DOWN")
	moved := all[1].guest("guest")
	all[1].carry(moved.iface, k.parent.portID())
	parent, sub, far := moved.station("parent", k.parent.port, 0), moved.station("sub", k.sub.port, subTag), moved.station("far", k.far.port, farTag)
	for _, i := range []instance{parent, sub, far} {
		c.awaitStatus(i, "ACTIVE")
	}
	k.awaitTrunk("ACTIVE")
	if host := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+before, nil)["port"].(map[string]any)["binding:host_id"]; host != all[1].bridge.DPID {
		t.Errorf("the sub-port is at %v", host)
	}
	c.comes(near, far, true)
	c.comes(sub, blue, true)
	c.comes(parent, sub, true)
	c.explains(near, "to="+far.portID(), true)
	c.comes(k.far, near, false)
}

// A sub-port speaks as itself only, and by its own tag.
func TestASubPortSpeaksOnlyAsItselfAndByItsTag(t *testing.T) {
	t.Parallel()
	c := sites(t, 1)[0]
	k := newTruck(c)
	blue, red := c.boot("blue", "acme", k.blue, "10.0.0.9", true), c.boot("red", "acme", k.red, "10.0.0.8", true)
	parent, sub, stolen := parseMAC(k.parent.MAC), parseMAC(k.sub.MAC), [6]byte{2, 0, 0, 0, 0, 0x99}
	legal := arp(parent, parent, [4]byte{10, 0, 0, 1}, nobody)
	for i, f := range []struct {
		name    string
		from    instance
		frame   []byte
		arrives bool // at a port of the sub-port's network
	}{
		{"a sub-port", k.sub, arp(sub, sub, [4]byte{10, 0, 0, 2}, nobody), true},
		{"a sub-port with a stolen MAC", k.sub, arp(stolen, stolen, [4]byte{10, 0, 0, 2}, nobody), false},
		{"a sub-port with the MAC and address of its parent", k.sub, legal, false},
		{"a sub-port with a stolen address", k.sub, arp(sub, sub, [4]byte{10, 0, 0, 99}, nobody), false},
		{"the parent as its sub-port", k.parent, arp(sub, sub, [4]byte{10, 0, 0, 2}, nobody), false},
		{"the parent with the tag of its sub-port", k.parent, tagged(arp(sub, sub, [4]byte{10, 0, 0, 2}, nobody), subTag), true},
		{"the parent with a tag of nobody", k.parent, tagged(legal, 103), false},
		{"a sub-port with the tag of another", k.parent, tagged(arp(sub, sub, [4]byte{10, 0, 0, 2}, nobody), farTag), false},
		{"a tag within a tag", k.parent, tagged(tagged(arp(sub, sub, [4]byte{10, 0, 0, 2}, nobody), farTag), subTag), false},
	} {
		seen, other, last := blue.Capture(marked(i)), red.Capture(marked(i)), blue.Capture(marked(1000+i))
		f.from.SendFrame(mark(f.frame, i))
		k.parent.SendFrame(mark(legal, 1000+i))
		last.Wait(1, patience)
		if got := len(seen.Stop()) > 0; got != f.arrives {
			t.Errorf("a frame of %s arrived: %v, want %v", f.name, got, f.arrives)
		}
		if n := len(other.Stop()); n != 0 {
			t.Errorf("a frame of %s is in another network", f.name)
		}
	}

	// What the parent tells all reaches its sub-port, but never comes back to it.
	heard, back, elsewhere := k.sub.Capture(marked(2000)), k.parent.Capture(func(f []byte) bool { return marked(2000)(f) && f[12] != 0x81 }), k.far.Capture(marked(2000))
	k.parent.SendFrame(mark(legal, 2000))
	heard.Wait(1, patience)
	last := k.far.Capture(marked(2001))
	red.SendFrame(mark(arp(parseMAC(red.MAC), parseMAC(red.MAC), [4]byte{10, 0, 0, 8}, nobody), 2001))
	last.Wait(1, patience)
	if len(heard.Stop()) != 1 || len(back.Stop()) != 0 || len(elsewhere.Stop()) != 0 {
		t.Error("a broadcast of the parent came back, more than once, or to another network")
	}
}

// A rule of its own group opens and closes a sub-port, and it gets its own address by DHCP.
func TestASubPortHasItsOwnRulesAndAddresses(t *testing.T) {
	t.Parallel()
	c := sites(t, 1)[0]
	k := newTruck(c)
	group := c.create("security-groups", "security_group", map[string]any{"name": "web", "tenant_id": "acme"})["id"].(string)
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+k.far.portID(), map[string]any{"port": map[string]any{"security_groups": []any{group}}})
	red := c.boot("red", "acme", k.red, "10.0.0.8", true)
	go echo(k.far.Listen("tcp", "10.0.0.3:80"))
	query := "protocol=tcp&dst_port=80&to=" + k.far.portID()
	lab.Wait(t, "port 80 to be closed", patience, func() error {
		conn, err := red.Dial("tcp", "10.0.0.3:80", 200*time.Millisecond)
		if err == nil {
			conn.Close()
			return errors.New("it is open")
		}
		return nil
	})
	c.explains(red, query, false)
	rule := c.create("security-group-rules", "security_group_rule", map[string]any{
		"security_group_id": group, "tenant_id": "acme", "direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80,
	})["id"].(string)
	lab.Wait(t, "port 80 to be open", patience, func() error {
		conn, err := red.Dial("tcp", "10.0.0.3:80", 200*time.Millisecond)
		if err != nil {
			return err
		}
		defer conn.Close()
		return exchange(conn, time.Second)
	})
	c.explains(red, query, true)
	conn, err := red.Dial("tcp", "10.0.0.3:80", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.ctl.Must(http.MethodDelete, "/v2.0/security-group-rules/"+rule, nil)
	lab.Wait(t, "the open connection to be cut", patience, func() error {
		if exchange(conn, 300*time.Millisecond) == nil {
			return errors.New("still echoes")
		}
		return nil
	})

	for _, i := range []instance{k.parent, k.sub, k.far} {
		u := c.client(i)
		u.start(t, "udhcpc", "-f", "-i", "eth0", "-s", u.path("script"), "-t", "10", "-T", "1")
		wantEnv(t, i.Name, u.told(t, "bound"), "ip="+i.ip, "mask=24")
	}
}

// The example of the guide gives the VLAN of an instance the address of its sub-port.
func TestTheExampleOfTheGuideOnTrunksGivesAnAddress(t *testing.T) {
	t.Parallel()
	followGuide(t, "trunks")
}
