package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/test/lab"
)

// site is one of several hypervisors.
type site struct {
	*cloud
	addr netip.Addr // in the underlay
}

// sites is a cloud of hosts that macloom has set up, joined by an underlay. The
// controller runs on the first.
func sites(t *testing.T, n int) []site {
	t.Helper()
	labs := make([]*lab.Lab, n)
	for i := range labs {
		labs[i] = lab.New(t)
	}
	addrs := lab.Join(labs...)
	ctl := labs[0].Controller(lab.ControllerOptions{OpenFlow: "0.0.0.0:6653", OVSDB: "0.0.0.0:6640"})
	all := make([]site, n)
	for i, l := range labs {
		all[i] = site{&cloud{t: t, lab: l, ctl: ctl, bridge: &lab.Bridge{Name: "br-int"}}, addrs[i]}
		l.Vsctl("set-manager", fmt.Sprintf("tcp:%s:6640", addrs[0]))
	}
	for i := range all {
		s := &all[i]
		id := s.lab.Vsctl("get", "Open_vSwitch", ".", "external_ids:system-id")
		sw := s.awaitSwitch(fmt.Sprintf("host %d to be under control", i), "?system_id="+strings.Trim(id, `"`), func(sw map[string]any) bool {
			return sw["connected"] == true && sw["error"] == "" && sw["tunnel_ip"] == s.addr.String()
		})
		s.bridge.DPID = sw["id"].(string)
		s.lab.PortNumber(intent.TunnelPort)
	}
	return all
}

// boot makes an instance on the site, known to be there from the start or only
// when its interface appears.
func (s site) boot(name, tenant, network, ip string, known bool) instance {
	s.t.Helper()
	attributes := map[string]any{
		"name": name, "tenant_id": tenant, "network_id": network, "fixed_ips": []any{map[string]any{"ip_address": ip}},
	}
	if known {
		attributes["binding:host_id"] = s.bridge.DPID
	}
	port := s.create("ports", "port", attributes)
	i := instance{Host: s.lab.Host(s.bridge, name, lab.HostOptions{MAC: port["mac_address"].(string), Addrs: []string{ip + "/24"}}), port: port, ip: ip}
	s.carry(name, i.portID())
	s.awaitStatus(i, "ACTIVE")
	return i
}

// Two tenants with the same addresses, three networks, twelve ports on three
// hosts: who is in the same network reaches each other, wherever he is, and
// nobody else does.
func TestNetworksSpanHostsAndStayApart(t *testing.T) {
	t.Parallel()
	all := sites(t, 3)
	c := all[0]
	networks := []struct{ name, tenant, id, format string }{
		{"red", "red", c.network("red", "red", "10.0.0.0/24"), "10.0.0.%d"},
		{"back", "red", c.network("red", "back", "10.1.0.0/24"), "10.1.0.%d"},
		{"blue", "blue", c.network("blue", "blue", "10.0.0.0/24"), "10.0.0.%d"},
	}
	type member struct {
		instance
		network string
	}
	var members []member
	for h, s := range all {
		for n, net := range networks {
			i := s.boot(fmt.Sprintf("%s%d", net.name, h), net.tenant, net.id, fmt.Sprintf(net.format, 11+h), (h+n)%2 == 0)
			members = append(members, member{i, net.name})
		}
		members = append(members, member{s.boot(fmt.Sprintf("more%d", h), "red", networks[0].id, fmt.Sprintf("10.0.0.%d", 21+h), true), "red"})
	}
	hosts := map[string]string{} // segment by host
	for _, g := range c.ctl.Must(http.MethodGet, "/v2.0/mac-segments", nil)["mac_segments"].([]any) {
		if host := g.(map[string]any)["host"].(string); host != "" {
			hosts[host] = g.(map[string]any)["id"].(string)
		}
	}
	for _, m := range members {
		host, _ := m.port["binding:host_id"].(string)
		if host != "" && m.port["segment_id"] != hosts[host] {
			t.Errorf("%s is bound to %s, but its address is of segment %v, want %s", m.Name, host, m.port["segment_id"], hosts[host])
		}
	}
	var pairs sync.WaitGroup
	for _, from := range members {
		pairs.Go(func() { // most wait for what must not come
			for _, to := range members {
				if from.portID() == to.portID() || from.network != to.network && from.ip == to.ip {
					continue
				}
				// Of the same address in another network it is that one's own member that answers.
				twin := false
				for _, m := range members {
					twin = twin || m.network == from.network && m.ip == to.ip
				}
				c.reaches(from.instance, to.instance, from.network == to.network || twin)
				c.explains(from.instance, "to="+to.ip, from.network == to.network || twin)
				c.explains(from.instance, "to="+to.portID(), from.network == to.network)
			}
		})
	}
	pairs.Wait()
	// What a host holds of the others: a flow for each segment and each host.
	for h, s := range all {
		var remote int
		for _, f := range s.lab.Flows(s.bridge) {
			if strings.Contains(f, "table=61") && strings.Contains(f, "tun_dst") && strings.Contains(f, "output:") {
				remote++
			}
		}
		if remote != len(all)-1 {
			t.Errorf("host %d has flows to %d others", h, remote)
		}
	}
}

// An instance moves to another host while it is pinged from a third one: it
// keeps its MAC, and next to nothing is lost.
func TestAPortMovesToAnotherHostUnderTraffic(t *testing.T) {
	t.Parallel()
	all := sites(t, 3)
	network := all[0].network("red", "red", "10.0.0.0/24")
	pinger := all[2].boot("pinger", "red", network, "10.0.0.3", true)
	all[1].boot("other", "red", network, "10.0.0.4", true)
	mover := all[0].boot("mover", "red", network, "10.0.0.1", true)
	pinger.Ping(mover.ip, lab.PingOptions{Timeout: patience})

	// The copy of the instance runs already, as at the end of a live migration.
	all[1].lab.Host(all[1].bridge, "arrived", lab.HostOptions{MAC: mover.MAC, Addrs: []string{mover.ip + "/24"}})
	all[1].carry("arrived", mover.portID())
	run := pinger.StartPing(mover.ip, 10*time.Millisecond)
	run.Await(30, patience)
	moved := all[0].ctl.Must(http.MethodPut, "/v2.0/ports/"+mover.portID(), map[string]any{"port": map[string]any{"binding:host_id": all[1].bridge.DPID}})["port"].(map[string]any)
	if moved["mac_address"] != mover.port["mac_address"] {
		t.Errorf("the MAC became %v", moved["mac_address"])
	}
	run.Await(70, patience)
	pings := run.Stop()
	t.Logf("moved to another host: %v", pings)
	if len(pings.Lost) > 2 {
		t.Errorf("lost more than two: %v", pings)
	}
	if got := all[0].explain(pinger, "to="+mover.portID()); got.Verdict != "delivered" || got.Hops[len(got.Hops)-1].Switch != all[1].bridge.DPID {
		t.Errorf("after the move: explained as %+v", got)
	}
	mover.Unplug()
	if got := pinger.Ping(mover.ip, lab.PingOptions{Timeout: patience}); got.Received != got.Sent {
		t.Errorf("after the old copy has gone: %v", got)
	}
}
