package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/controller/store/storetest"
	"github.com/macloom/macloom/test/lab"
)

const manager = "tcp:127.0.0.1:6640"

// hypervisor is a cloud whose one host is set up by macloom.
func hypervisor(t *testing.T, o lab.ControllerOptions) *cloud {
	t.Helper()
	l := lab.New(t)
	return &cloud{t: t, lab: l, ctl: l.Controller(o), bridge: &lab.Bridge{Name: "br-int"}}
}

// switches lists those that a query finds.
func (c *cloud) switches(query string) (list []map[string]any) {
	c.t.Helper()
	for _, sw := range c.ctl.Must(http.MethodGet, "/v2.0/switches"+query, nil)["switches"].([]any) {
		list = append(list, sw.(map[string]any))
	}
	return list
}

// awaitSwitch waits until the one switch that a query finds passes.
func (c *cloud) awaitSwitch(what, query string, passes func(sw map[string]any) bool) (sw map[string]any) {
	c.t.Helper()
	lab.Wait(c.t, what, patience, func() error {
		list := c.switches(query)
		if len(list) != 1 || !passes(list[0]) {
			return fmt.Errorf("switches: %v", list)
		}
		sw = list[0]
		return nil
	})
	return sw
}

// setManager is all that is done on the host, and waits for what follows.
func (c *cloud) setManager(target string) map[string]any {
	c.t.Helper()
	c.lab.Vsctl("set-manager", target)
	sw := c.awaitSwitch("the host to be under control", "", func(sw map[string]any) bool {
		return sw["connected"] == true && sw["ovsdb_connected"] == true && sw["fail_mode"] == "secure" && sw["error"] == ""
	})
	c.bridge.DPID = sw["id"].(string)
	return sw
}

// plugged is an instance that only an interface with the port's id binds.
func (c *cloud) plugged(name, network, ip string) instance {
	c.t.Helper()
	port := c.create("ports", "port", map[string]any{
		"name": name, "tenant_id": "acme", "network_id": network, "fixed_ips": []any{map[string]any{"ip_address": ip}},
	})
	host := c.lab.Host(c.bridge, name, lab.HostOptions{MAC: port["mac_address"].(string), Addrs: []string{ip + "/24"}})
	c.carry(name, port["id"].(string))
	i := instance{Host: host, port: port, ip: ip}
	c.awaitStatus(i, "ACTIVE")
	return i
}

func (c *cloud) carry(iface, portID string) {
	c.t.Helper()
	c.lab.Vsctl("set", "interface", iface, "external_ids:iface-id="+portID)
}

// awaitAttachment waits for an interface to be shown in a state.
func (c *cloud) awaitAttachment(iface, state, reason string) {
	c.t.Helper()
	c.awaitSwitch(iface+" to be "+state, "", func(sw map[string]any) bool {
		for _, a := range sw["attachments"].([]any) {
			a := a.(map[string]any)
			if a["interface"] == iface && a["state"] == state && strings.Contains(a["reason"].(string), reason) {
				return true
			}
		}
		return false
	})
}

// One command on the host, and instances that carry the ids of their ports
// reach each other.
func TestSetManagerAloneBringsAHostUnderControl(t *testing.T) {
	t.Parallel()
	c := hypervisor(t, lab.ControllerOptions{OwnDatabase: true})
	sw := c.setManager(manager)
	for column, want := range map[string]string{
		"fail_mode": "secure", "datapath_type": lab.Datapath, "protocols": "[OpenFlow13]", "datapath_id": c.bridge.DPID, "external_ids": "{owner=macloom}",
	} {
		if got := strings.Trim(c.lab.Vsctl("get", "bridge", "br-int", column), `"`); got != want {
			t.Errorf("%s is %s, want %s", column, got, want)
		}
	}
	if got := c.lab.Vsctl("get-controller", "br-int"); got != "tcp:127.0.0.1:6653" {
		t.Errorf("controller %s", got)
	}
	if sw["system_id"] == "" || sw["hostname"] == "" || !strings.HasPrefix(sw["version"].(string), "3.") || sw["datapath_type"] != lab.Datapath || sw["admitted"] != true {
		t.Errorf("shown: %v", sw)
	}

	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.plugged("a", network, "10.0.0.1"), c.plugged("b", network, "10.0.0.2")
	c.reaches(a, b, true)
	shown := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+b.portID(), nil)["port"].(map[string]any)
	if shown["binding:host_id"] != c.bridge.DPID || shown["binding:profile"].(map[string]any)["interface_name"] != "b" {
		t.Errorf("bound to %v, %v", shown["binding:host_id"], shown["binding:profile"])
	}

	// Who is nobody's reaches nobody: on this bridge there is no learning domain.
	u := c.lab.Host(c.bridge, "u", lab.HostOptions{Addrs: []string{"10.1.0.1/24"}})
	c.lab.Host(c.bridge, "v", lab.HostOptions{Addrs: []string{"10.1.0.2/24"}})
	if got := u.Ping("10.1.0.2", lab.PingOptions{}); got.Received != 0 {
		t.Errorf("interfaces without an id reach each other: %v", got)
	}

	// An id that is no port's binds nothing and is shown.
	c.lab.Host(c.bridge, "x", lab.HostOptions{Addrs: []string{"10.0.0.3/24"}})
	c.carry("x", "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11")
	c.awaitAttachment("x", "waiting", "there is no port")
	c.carry("x", "vm-7")
	c.awaitAttachment("x", "refused", "not the id of a port")
	c.carry("x", a.portID())
	c.awaitAttachment("x", "refused", "attached to a of switch")
	c.reaches(a, b, true)

	// Without its interface a port is down, and its flows are gone.
	with := len(c.lab.Flows(c.bridge))
	b.Unplug()
	c.awaitStatus(b, "DOWN")
	lab.Wait(t, "the flows to go", patience, func() error {
		if n := len(c.lab.Flows(c.bridge)); n >= with {
			return fmt.Errorf("%d flows of %d", n, with)
		}
		return nil
	})
	b.Plug(c.bridge)
	c.carry("b", b.portID())
	c.awaitStatus(b, "ACTIVE")
	c.comes(a, b, true)

	// What somebody undoes is put back.
	c.lab.Vsctl("set-fail-mode", "br-int", "standalone")
	lab.Wait(t, "secure mode to be back", patience, func() error {
		if got := c.lab.Vsctl("get-fail-mode", "br-int"); got != "secure" {
			return errors.New(got)
		}
		return nil
	})
	if n := c.ctl.Metric("macloom_hypervisor_steps_total", "result=failed"); n != 0 {
		t.Errorf("%v steps failed", n)
	}
}

func TestAPortThatIsMadeAfterItsInterfaceIsBound(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	c := hypervisor(t, lab.ControllerOptions{DatabaseURL: url})
	c.setManager(manager)
	network := c.network("acme", "blue", "10.0.0.0/24")
	a := c.plugged("a", network, "10.0.0.1")
	const late, address = "8a4a14b4-8b0c-4d3d-9f6c-8d0c0d4b6a11", "02:11:00:00:00:07"
	host := c.lab.Host(c.bridge, "late", lab.HostOptions{MAC: address, Addrs: []string{"10.0.0.7/24"}})
	c.carry("late", late)
	c.awaitAttachment("late", "waiting", "there is no port")
	// The API chooses ids by itself; a restored or imported port brings its own.
	made := c.create("ports", "port", map[string]any{"tenant_id": "acme", "network_id": network, "mac_address": address, "fixed_ips": []any{map[string]any{"ip_address": "10.0.0.7"}}})
	db := storetest.Open(t, url)
	port, err := db.Port(t.Context(), store.Scope{Admin: true}, made["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.DeletePort(t.Context(), store.Scope{Admin: true}, port.ID); err != nil {
		t.Fatal(err)
	}
	port.ID, port.Binding = late, intent.Binding{}
	if _, err := db.CreatePorts(t.Context(), store.Scope{Admin: true}, []store.NewPort{{Port: port}}); err != nil {
		t.Fatal(err)
	}
	b := instance{Host: host, port: map[string]any{"id": late}, ip: "10.0.0.7"}
	c.awaitStatus(b, "ACTIVE")
	c.comes(a, b, true)
}

// Neither a killed controller nor an OVSDB server that restarts unbinds
// anything or costs a packet.
func TestAttachmentsOutliveTheControllerWithoutLosingAPacket(t *testing.T) {
	t.Parallel()
	c := hypervisor(t, lab.ControllerOptions{})
	c.setManager(manager)
	network := c.network("acme", "blue", "10.0.0.0/24")
	a, b := c.plugged("a", network, "10.0.0.1"), c.plugged("b", network, "10.0.0.2")
	c.reaches(a, b, true)
	before := c.lab.Flows(c.bridge)
	pings := a.StartPing(b.ip, 10*time.Millisecond)
	c.ctl.Kill9()
	c.ctl.Start()
	c.ctl.WaitReady()
	c.awaitSwitch("the host to be back", "", func(sw map[string]any) bool { return sw["connected"] == true && sw["ovsdb_connected"] == true })
	c.awaitStatus(a, "ACTIVE")
	c.awaitStatus(b, "ACTIVE")
	c.awaitAttachment("b", "bound", "")
	if p := pings.Stop(); p.Received != p.Sent {
		t.Errorf("pings: %v", p)
	}
	if after := c.lab.Flows(c.bridge); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("flows before:\n%v\nafter:\n%v", before, after)
	}
	if n := c.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("%v flow-mods on return, want none", n)
	}
	if n := c.ctl.Metric("macloom_hypervisor_steps_total"); n != 0 {
		t.Errorf("%v steps on a host that is right", n)
	}
	// It still follows.
	b.Unplug()
	c.awaitStatus(b, "DOWN")
	// The whole host restarts its switch.
	b.Plug(c.bridge)
	c.carry("b", b.portID())
	c.awaitStatus(b, "ACTIVE")
	c.lab.RestartSwitch()
	c.comes(a, b, true)
}

func TestABridgeWithAForeignControllerIsReportedAndNotTouched(t *testing.T) {
	t.Parallel()
	c := hypervisor(t, lab.ControllerOptions{})
	const foreign, own = "tcp:127.0.0.1:7777", "00000000000000e7"
	c.lab.Bridge("br-int", lab.BridgeOptions{Controller: foreign, FailMode: "standalone", Protocols: "OpenFlow10", DPID: own})
	before := c.lab.Vsctl("list", "bridge") + c.lab.Vsctl("--columns=target,connection_mode,external_ids", "list", "controller")
	c.lab.Vsctl("set-manager", manager)
	sw := c.awaitSwitch("the foreign controller to be reported", "", func(sw map[string]any) bool {
		return strings.Contains(sw["error"].(string), "bridge br-int has the controller "+foreign+", remove it with ovs-vsctl del-controller br-int")
	})
	if sw["id"] != own || sw["fail_mode"] != "standalone" || sw["connected"] != false {
		t.Errorf("shown: %v", sw)
	}
	after := c.lab.Vsctl("list", "bridge") + c.lab.Vsctl("--columns=target,connection_mode,external_ids", "list", "controller")
	if before != after {
		t.Errorf("the bridge was touched: before\n%s\nafter\n%s", before, after)
	}
	// Its owner gives it up: it is adopted with what it has.
	c.lab.Vsctl("del-controller", "br-int")
	c.awaitSwitch("the bridge to be adopted", "", func(sw map[string]any) bool {
		return sw["id"] == own && sw["connected"] == true && sw["error"] == "" && sw["fail_mode"] == "secure"
	})
	if got := c.lab.Vsctl("get", "bridge", "br-int", "protocols"); got != "[OpenFlow10, OpenFlow13]" {
		t.Errorf("protocols %s", got)
	}
}

func TestInListedModeAHostIsShownUntilItIsAdmittedByOneCall(t *testing.T) {
	t.Parallel()
	c := hypervisor(t, lab.ControllerOptions{Args: []string{"--admit", "listed"}})
	// A bridge that is pointed at us by hand, and the host that it is on.
	c.lab.Bridge("br0", lab.BridgeOptions{DPID: dpid, Controller: lab.ControllerAddr})
	c.lab.Vsctl("set-manager", manager)
	host := ""
	lab.Wait(t, "both to be shown as turned away", patience, func() error {
		list := c.switches("?admitted=false")
		for _, sw := range list {
			if sw["system_id"] != "" {
				host = sw["id"].(string)
			}
			if !strings.Contains(sw["turned_away_reason"].(string), "not listed") || sw["connected"] != false {
				return fmt.Errorf("shown: %v", sw)
			}
		}
		if len(list) != 2 || host == "" {
			return fmt.Errorf("shown: %v", list)
		}
		return nil
	})
	if list := c.lab.Vsctl("list-br"); list != "br0" {
		t.Errorf("a host that was turned away has the bridges %s", list)
	}
	admit := func(id string, admitted bool) {
		t.Helper()
		c.ctl.Must(http.MethodPut, "/v2.0/switches/"+id, map[string]any{"switch": map[string]any{"admitted": admitted}})
	}
	connected := func(id string, want bool) {
		t.Helper()
		c.awaitSwitch(fmt.Sprintf("%s connected: %v", id, want), "?id="+id, func(sw map[string]any) bool { return sw["connected"] == want })
	}
	admit(dpid, true)
	connected(dpid, true)
	admit(host, true)
	connected(host, true)
	c.bridge.DPID = host
	network := c.network("acme", "blue", "10.0.0.0/24")
	c.reaches(c.plugged("a", network, "10.0.0.1"), c.plugged("b", network, "10.0.0.2"), true)
	admit(dpid, false)
	connected(dpid, false)
	connected(host, true)
	if n := c.ctl.Metric("macloom_switches_turned_away_total"); n < 2 {
		t.Errorf("%v connections turned away are counted", n)
	}
	if n := strings.Count(c.ctl.Log(), "host turned away"); n != 1 {
		t.Errorf("%d log lines for the host", n)
	}
}

func TestMacloomConnectsToAnOVSDBServerItself(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{Args: []string{"--ovsdb-connect", "unix:" + filepath.Join(l.Dir(), "ovs", "db.sock"), "--bridge", "br-cloud"}})
	c := &cloud{t: t, lab: l, ctl: ctl, bridge: &lab.Bridge{Name: "br-cloud"}}
	c.awaitSwitch("the host to be under control", "", func(sw map[string]any) bool { return sw["connected"] == true && sw["fail_mode"] == "secure" })
	network := c.network("acme", "blue", "10.0.0.0/24")
	c.reaches(c.plugged("a", network, "10.0.0.1"), c.plugged("b", network, "10.0.0.2"), true)
}
