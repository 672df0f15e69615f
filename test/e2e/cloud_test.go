// Package e2e runs macloom as its users do: the real binary with its own
// PostgreSQL, real Open vSwitch, real packets in network namespaces.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// patience is how long a test waits for what should take milliseconds.
const patience = 20 * time.Second

// cloud is a controller with one bridge under it.
type cloud struct {
	t      *testing.T
	lab    *lab.Lab
	ctl    *lab.Controller
	bridge *lab.Bridge
}

const dpid = "00000000000000b0"

func newCloud(t *testing.T, o lab.ControllerOptions) *cloud {
	t.Helper()
	l := lab.New(t)
	c := &cloud{t: t, lab: l, ctl: l.Controller(o)}
	c.bridge = l.Bridge("br0", lab.BridgeOptions{DPID: dpid, Controller: lab.ControllerAddr})
	c.awaitConnected(true)
	return c
}

func (c *cloud) awaitConnected(want bool) {
	c.t.Helper()
	lab.Wait(c.t, fmt.Sprintf("switch connected: %v", want), patience, func() error {
		var out struct {
			Switch struct{ Connected bool }
		}
		status, err := c.ctl.Call(context.Background(), c.ctl.Token(), http.MethodGet, "/v2.0/switches/"+dpid, nil, &out)
		if err != nil || status != http.StatusOK && want || out.Switch.Connected != want {
			return fmt.Errorf("status %d, connected %v, %v", status, out.Switch.Connected, err)
		}
		return nil
	})
}

// create posts one object and returns its body.
func (c *cloud) create(collection, single string, attributes map[string]any) map[string]any {
	c.t.Helper()
	return c.ctl.Must(http.MethodPost, "/v2.0/"+collection, map[string]any{single: attributes})[single].(map[string]any)
}

// network makes a network with a subnet for a tenant and returns its id.
func (c *cloud) network(tenant, name, cidr string) string {
	c.t.Helper()
	id := c.create("networks", "network", map[string]any{"name": name, "tenant_id": tenant})["id"].(string)
	c.create("subnets", "subnet", map[string]any{"network_id": id, "tenant_id": tenant, "ip_version": 4, "cidr": cidr, "gateway_ip": nil})
	return id
}

// instance is a host on the bridge, bound to a port that the API made, with the
// MAC and address that it gave.
type instance struct {
	*lab.Host
	port map[string]any
	ip   string
}

func (i instance) portID() string { return i.port["id"].(string) }

func (c *cloud) instance(name, tenant, network, ip string, more map[string]any) instance {
	c.t.Helper()
	attributes := map[string]any{
		"name": name, "tenant_id": tenant, "network_id": network, "fixed_ips": []any{map[string]any{"ip_address": ip}},
		"binding:host_id": dpid, "binding:profile": map[string]any{"interface_name": name},
	}
	for k, v := range more {
		attributes[k] = v
	}
	port := c.create("ports", "port", attributes)
	host := c.lab.Host(c.bridge, name, lab.HostOptions{MAC: port["mac_address"].(string), Addrs: []string{ip + "/24"}})
	i := instance{Host: host, port: port, ip: ip}
	c.awaitStatus(i, "ACTIVE")
	return i
}

func (c *cloud) awaitStatus(i instance, want string) {
	c.t.Helper()
	lab.Wait(c.t, i.Name+" to be "+want, patience, func() error {
		port := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+i.portID(), nil)["port"].(map[string]any)
		if port["status"] != want {
			return fmt.Errorf("status %v: %v", port["status"], port["status_reason"])
		}
		return nil
	})
}

// intended are the flows of the bridge that follow from intent, without those
// that stations have caused by asking for others.
func (c *cloud) intended() []string {
	return slices.DeleteFunc(c.lab.Flows(c.bridge), func(f string) bool { return strings.Contains(f, "cookie=0x5d0b") })
}

// reaches checks that pings from a to b pass, or that none does.
func (c *cloud) reaches(a, b instance, want bool) {
	c.t.Helper()
	o := lab.PingOptions{Count: 3, Timeout: time.Second}
	if want {
		o.Timeout = patience
	}
	got := a.Ping(b.ip, o)
	if want && got.Received != got.Sent || !want && got.Received != 0 {
		c.t.Errorf("%s → %s: %v; want it to pass: %v", a.Name, b.Name, got, want)
	}
}

// comes waits until pings from a to b all pass, or none does: after a change, a
// datapath holds on to its old verdicts for a moment.
func (c *cloud) comes(a, b instance, reachable bool) {
	c.t.Helper()
	lab.Wait(c.t, fmt.Sprintf("%s → %s to pass: %v", a.Name, b.Name, reachable), patience, func() error {
		got := a.Ping(b.ip, lab.PingOptions{Timeout: 300 * time.Millisecond})
		if reachable && got.Received != got.Sent || !reachable && got.Received != 0 {
			return errors.New(got.String())
		}
		return nil
	})
}

// explanation is what the endpoint says becomes of a frame.
type explanation struct {
	Verdict, Summary string
	Hops             []struct{ Switch string }
	Reply            *struct{ Verdict, Summary string }
	Warnings         []string
}

func (c *cloud) explain(from instance, query string) explanation {
	c.t.Helper()
	var out struct{ Explanation explanation }
	path := "/v2.0/explain?from=" + from.portID() + "&" + query
	status, err := c.ctl.Call(context.Background(), c.ctl.Token(), http.MethodGet, path, nil, &out)
	if err != nil || status != http.StatusOK {
		c.t.Errorf("GET %s: status %d, %v", path, status, err)
	}
	return out.Explanation
}

// explains checks that a frame is explained as delivered, with its reply, or as
// dropped, with a reason.
func (c *cloud) explains(from instance, query string, delivered bool) {
	c.t.Helper()
	got := c.explain(from, query)
	replied := got.Reply != nil && got.Reply.Verdict == "delivered"
	if delivered && (got.Verdict != "delivered" || !replied) || !delivered && got.Verdict != "dropped" || got.Summary == "" || len(got.Warnings) > 0 {
		c.t.Errorf("%s, %s: explained as %+v; want it delivered: %v", from.Name, query, got, delivered)
	}
}

// six makes an IPv6 network and returns what makes instances on it.
func (c *cloud) six() func(name, ip string) instance {
	c.t.Helper()
	network := c.create("networks", "network", map[string]any{"name": "six", "tenant_id": "acme"})["id"].(string)
	c.create("subnets", "subnet", map[string]any{"network_id": network, "tenant_id": "acme", "ip_version": 6, "cidr": "fd00:5d::/64", "gateway_ip": nil})
	return func(name, ip string) instance {
		port := c.create("ports", "port", map[string]any{
			"name": name, "tenant_id": "acme", "network_id": network, "fixed_ips": []any{map[string]any{"ip_address": ip}},
			"binding:host_id": dpid, "binding:profile": map[string]any{"interface_name": name},
		})
		i := instance{port: port, ip: ip, Host: c.lab.Host(c.bridge, name, lab.HostOptions{
			MAC: port["mac_address"].(string), Addrs: []string{ip + "/64"}, IPv6: true,
		})}
		c.awaitStatus(i, "ACTIVE")
		return i
	}
}
