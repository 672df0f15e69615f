package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// estate is tenants' instances at the switches of a mesh.
type estate struct {
	*mesh
	cloud *cloud
}

// at makes an instance at a switch.
func (e *estate) at(s int, name, tenant, network, ip string, more map[string]any) instance {
	e.t.Helper()
	attributes := map[string]any{"binding:host_id": e.bridges[s].DPID}
	for k, v := range more {
		attributes[k] = v
	}
	e.cloud.bridge = e.bridges[s]
	return e.cloud.instance(name, tenant, network, ip, attributes)
}

// tags waits until each of the networks has a VLAN tag, and returns these.
func (e *estate) tags(networks ...string) (all []byte) {
	e.t.Helper()
	lab.Wait(e.t, "VLAN tags", patience, func() error {
		all = nil
		for _, id := range networks {
			n := e.ctl.Must(http.MethodGet, "/v2.0/networks/"+id, nil)["network"].(map[string]any)
			tag, ok := n["fabric_vlan"].(float64)
			if !ok || slices.Contains(all, byte(tag)) {
				return fmt.Errorf("%v has %v", n["name"], n["fabric_vlan"])
			}
			all = append(all, byte(tag))
		}
		return nil
	})
	return all
}

// matrix checks who reaches which addresses.
func (e *estate) matrix(all []instance, ips []string, passes func(from instance, to string) bool) {
	e.t.Helper()
	for _, from := range all {
		for _, ip := range ips {
			if ip == from.ip {
				continue
			}
			o := lab.PingOptions{Count: 2, Timeout: 500 * time.Millisecond}
			if passes(from, ip) {
				o.Timeout = patience
			}
			if got := from.Ping(ip, o); (got.Received == got.Sent) != passes(from, ip) || !passes(from, ip) && got.Received > 0 {
				e.t.Errorf("%s → %s: %v; want it to pass: %v", from.Name, ip, got, passes(from, ip))
			}
		}
	}
}

// Two tenants with the same addresses share the links of a ring with each other and
// with stations that nobody manages: each reaches its own network, by guard and rules, and
// nothing else, whatever becomes of links, of the controller and of the places of ports.
func TestTenantsShareAFabric(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 4, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 0})
	e := &estate{mesh: m, cloud: &cloud{t: t, lab: m.lab, ctl: m.ctl}}
	c := e.cloud
	blue, red := c.network("acme", "blue", "10.0.0.0/24"), c.network("globex", "red", "10.0.0.0/24")
	group := func(name string) string {
		return c.create("security-groups", "security_group", map[string]any{"name": name, "tenant_id": "acme"})["id"].(string)
	}
	admit := func(group string) {
		c.create("security-group-rules", "security_group_rule", map[string]any{
			"security_group_id": group, "tenant_id": "acme", "direction": "ingress", "ethertype": "IPv4", "protocol": "icmp",
		})
	}
	open, closed := group("open"), group("closed")
	admit(open)
	var acme, globex []instance
	for i := range 4 {
		of, last := open, 1+i
		if i == 3 {
			of, last = closed, 9
		}
		acme = append(acme, e.at(i, fmt.Sprint("a", i), "acme", blue, fmt.Sprint("10.0.0.", 1+i), map[string]any{"security_groups": []string{of}}))
		globex = append(globex, e.at(i, fmt.Sprint("g", i), "globex", red, fmt.Sprint("10.0.0.", last), nil))
	}
	tags := e.tags(blue, red)
	c.comes(acme[0], acme[2], true)
	c.comes(globex[0], globex[2], true)

	// The last one of acme answers nobody, as no rule lets them ask; it reaches the others.
	ips := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.9"}
	e.matrix(acme, ips, func(_ instance, to string) bool { return to < "10.0.0.4" })
	e.matrix(globex, ips, func(_ instance, to string) bool { return to != "10.0.0.4" })
	c.explains(acme[0], "to="+acme[2].portID(), true)
	c.explains(acme[0], "to="+acme[3].portID(), false)
	c.explains(globex[0], "to="+globex[3].portID(), true)
	c.explains(acme[0], "to="+globex[2].portID(), false)
	admit(closed)
	c.comes(acme[1], acme[3], true)
	e.broadcast(acme, globex)
	e.broadcast(globex, acme)
	e.guarded(acme, tags[0])
	m.once()

	// A link is cut under pings, and comes back.
	for _, link := range m.links {
		pings := []*lab.RunningPing{acme[0].StartPing(acme[2].ip, 10*time.Millisecond), globex[1].StartPing("10.0.0.9", 10*time.Millisecond)}
		m.sent(pings[0], 20)
		m.set(link, "down")
		m.sent(pings[0], 100)
		m.settle(3)
		m.set(link, "up")
		m.settle(4)
		for _, p := range pings {
			if got := p.Stop(); got.Sent-got.Received > 100 {
				t.Errorf("%s was cut: %v", link, got)
			}
		}
	}
	e.broadcast(acme, globex)
	e.returns(acme[0], acme[2])

	// A port moves to another switch.
	mover := acme[1]
	pings := acme[0].StartPing(mover.ip, 10*time.Millisecond)
	mover.Unplug()
	m.ctl.Must(http.MethodPut, "/v2.0/ports/"+mover.portID(), map[string]any{"port": map[string]any{"binding:host_id": e.bridges[3].DPID}})
	mover.Plug(e.bridges[3])
	c.awaitStatus(mover, "ACTIVE")
	for _, from := range []instance{acme[0], acme[2], acme[3]} {
		c.comes(from, mover, true)
	}
	pings.Stop()
	e.broadcast(acme, globex)
	c.explains(acme[0], "to="+mover.portID(), true)

	// With ports at one switch only, the network needs no tag.
	for _, i := range globex[1:] {
		m.ctl.Must(http.MethodDelete, "/v2.0/ports/"+i.portID(), nil)
	}
	lab.Wait(t, "the tag to be taken back", patience, func() error {
		if n := m.ctl.Metric("macloom_fabric_vlans", "state=given"); n != 1 {
			return fmt.Errorf("%v networks have tags", n)
		}
		return nil
	})
}

// broadcast sends a frame for everybody from the first of a network, and fails the test
// unless each of the others sees it exactly once, and nobody else does.
func (e *estate) broadcast(own, others []instance) {
	e.t.Helper()
	e.marks += 2
	type watch struct {
		who       string
		seen, end *lab.Capture
		want      int
	}
	var all []watch
	for _, i := range own[1:] {
		all = append(all, watch{i.Name, i.Capture(marked(e.marks)), i.Capture(marked(e.marks + 1)), 1})
	}
	for _, i := range others {
		all = append(all, watch{i.Name, i.Capture(marked(e.marks)), nil, 0})
	}
	for _, h := range e.hosts {
		all = append(all, watch{h.Name, h.Capture(marked(e.marks)), nil, 0})
	}
	src := parseMAC(own[0].MAC)
	for n := e.marks; n <= e.marks+1; n++ {
		own[0].SendFrame(mark(arp(src, src, [4]byte{10, 0, 0, 1}, nobody), n))
	}
	for _, w := range all {
		if w.end != nil {
			w.end.Wait(1, patience) // what was sent first has come when this has, but in the kernel's datapath
			w.seen.Wait(w.want, patience)
			w.end.Stop()
		}
	}
	for _, w := range all {
		if n := len(w.seen.Stop()); n != w.want {
			e.t.Errorf("%s saw a frame for everybody %d times, want %d", w.who, n, w.want)
		}
	}
}

// guarded sends what must not arrive over the fabric, each followed by what does.
func (e *estate) guarded(own []instance, vlan byte) {
	e.t.Helper()
	from, to := own[0], own[2]
	src, dst, stolen := parseMAC(from.MAC), parseMAC(to.MAC), [6]byte{0x02, 0, 0, 0, 0, 0x99}
	ip, far := [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 3}
	station := parseMAC(e.hosts[0].MAC)
	for _, f := range []struct {
		name    string
		station bool // and not the port sends it
		frame   []byte
	}{
		{"a stolen MAC", false, ipv4(stolen, dst, ip, far)},
		{"a stolen IP", false, ipv4(src, dst, [4]byte{10, 0, 0, 66}, far)},
		{"ARP with a stolen IP", false, arp(src, src, [4]byte{10, 0, 0, 66}, nobody)},
		{"UDP that no rule of the receiver allows", false, udp(src, dst, ip, far, 7, 8)},
		{"a tag of its own", false, tagged(ipv4(src, dst, ip, far), vlan)},
		{"the tag of the network from a station", true, tagged(ipv4(station, dst, ip, far), vlan)},
		{"the tag of the network from a station, to all", true, tagged(arp(station, station, ip, nobody), vlan)},
		{"the tag of the network from a station, below one that gives a priority", true, tagged(tagged(arp(station, station, ip, [4]byte{10, 0, 0, 3}), vlan), 0)},
		{"no tag from a station", true, ipv4(station, dst, ip, far)},
	} {
		e.marks += 3
		seen, end, heard := to.Capture(marked(e.marks)), to.Capture(marked(e.marks+1)), e.hosts[2].Capture(marked(e.marks+2))
		if f.station {
			e.hosts[0].SendFrame(mark(f.frame, e.marks), mark(arp(station, station, ip, nobody), e.marks+2))
			heard.Wait(1, patience)
		} else {
			from.SendFrame(mark(f.frame, e.marks))
		}
		from.SendFrame(mark(ipv4(src, dst, ip, far), e.marks+1))
		end.Wait(1, patience)
		if n := len(seen.Stop()); n != 0 {
			e.t.Errorf("a frame with %s arrived", f.name)
		}
		end.Stop()
		heard.Stop()
	}
}

// returns starts the controller again under pings: it sends nothing and loses none.
func (e *estate) returns(from, to instance) {
	e.t.Helper()
	lab.Wait(e.t, "the links to be recorded", patience, func() error {
		if n := len(e.ctl.Must(http.MethodGet, "/v2.0/links?status=up", nil)["links"].([]any)); n != 4 {
			return fmt.Errorf("%d links", n)
		}
		return nil
	})
	pings := from.StartPing(to.ip, 10*time.Millisecond)
	e.sent(pings, 10)
	e.ctl.Kill9()
	e.sent(pings, 50)
	e.ctl.Start()
	e.ctl.WaitReady()
	e.ctl.WaitFabric(4, 40)
	if n := e.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		e.t.Errorf("%v flow-mods were sent", n)
	}
	if got := pings.Stop(); got.Received != got.Sent {
		e.t.Error(got)
	}
}
