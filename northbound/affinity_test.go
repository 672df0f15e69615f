package northbound

import (
	"fmt"
	"strings"
	"testing"
)

// balancing makes a network with ports to serve, and returns the ids of these.
func balancing(a *api) (network, subnet string, ports []string) {
	network = idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	subnet = idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`))
	for i := range 3 {
		ports = append(ports, idOf(a.make("/v2.0/ports", "red", fmt.Sprintf(`{"port": {"network_id": %q, "fixed_ips": [{"ip_address": "10.0.0.%d"}]}}`, network, 11+i))))
	}
	return network, subnet, ports
}

func TestAnAffinityPoolHasAnAddressThatIsNobodyElses(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network, subnet, ports := balancing(a)
	pool := func(rest string) string { return `{"affinity_pool": {` + rest + `}}` }
	got := a.want(201, "POST", "/v2.0/mac-affinity/pools", "red", pool(`"name": "web", "subnet_id": "`+subnet+`", "vip_address": "10.0.0.100", "protocol": "tcp", "protocol_port": 80`))
	vip, _ := got.object(t)["vip_port_id"].(string)
	a.wantBody(map[string]string{network: "NETWORK", subnet: "SUBNET", vip: "VIP", idOf(got.object(t)): "ID"}, got, `{"affinity_pool":{"id":"ID","tenant_id":"red","project_id":"red","description":"","name":"web",
		"network_id":"NETWORK","subnet_id":"SUBNET","vip_address":"10.0.0.100","vip_port_id":"VIP","protocol":"tcp","protocol_port":80,"affinity":"source_mac","timeout":300,
		"health_monitor":null,"algorithm":"weighted_slots","admin_state_up":true,"backends":[],"status":"DOWN","status_reason":"no switch that is connected has ports of the network that are up",
		"created_at":"TIME","updated_at":"TIME","revision_number":1,"tags":[]}}`)
	web := "/v2.0/mac-affinity/pools/" + idOf(got.object(t))
	if owner := a.want(200, "GET", "/v2.0/ports/"+vip, "red", "").object(t)["device_owner"]; owner != "network:mac_affinity" {
		t.Errorf("the port of the virtual address is of %v", owner)
	}
	a.refused(409, "IpAddressAlreadyAllocated", "POST", "/v2.0/ports", "red", fmt.Sprintf(`{"port": {"network_id": %q, "fixed_ips": [{"ip_address": "10.0.0.100"}]}}`, network))
	a.refused(409, "PortInUse", "DELETE", "/v2.0/ports/"+vip, "red", "")

	// Another port of the same address is another pool, with the same port behind it.
	other := a.make("/v2.0/mac-affinity/pools", "red", pool(`"network_id": "`+network+`", "vip_address": "10.0.0.100", "protocol": "tcp", "protocol_port": 443, "affinity": "none"`))
	if other["vip_port_id"] != vip {
		t.Errorf("the second pool of the address is at port %v, not %s", other["vip_port_id"], vip)
	}
	a.refused(409, "AffinityVipInUse", "POST", "/v2.0/mac-affinity/pools", "red", pool(`"network_id": "`+network+`", "vip_address": "10.0.0.100", "protocol": "tcp", "protocol_port": 80`))
	a.refused(409, "IpAddressAlreadyAllocated", "POST", "/v2.0/mac-affinity/pools", "red", pool(`"network_id": "`+network+`", "vip_address": "10.0.0.11", "protocol": "tcp", "protocol_port": 80`))
	// The address of a station can be balanced if it is named by its port.
	named := a.make("/v2.0/mac-affinity/pools", "red", pool(`"vip_port_id": "`+ports[0]+`", "protocol": "udp", "protocol_port": 53`))
	if named["vip_address"] != "10.0.0.11" || named["network_id"] != network {
		t.Errorf("the pool at a port has %v in %v", named["vip_address"], named["network_id"])
	}
	chosen := a.make("/v2.0/mac-affinity/pools", "red", pool(`"network_id": "`+network+`", "protocol": "tcp", "protocol_port": 80`))
	if address, _ := chosen["vip_address"].(string); !strings.HasPrefix(address, "10.0.0.") || address == "10.0.0.100" {
		t.Errorf("the address that was chosen is %v", chosen["vip_address"])
	}

	for body, words := range map[string]string{
		`"network_id": "` + network + `", "vip_address": "10.0.1.100", "protocol": "tcp", "protocol_port": 80`:                                                    "vip_address",
		`"network_id": "` + network + `", "vip_address": "10.0.0.255", "protocol": "tcp", "protocol_port": 80`:                                                    "vip_address",
		`"subnet_id": "` + subnet + `", "vip_address": "192.0.2.1", "protocol": "tcp", "protocol_port": 80`:                                                       "vip_address",
		`"network_id": "` + network + `", "protocol": "sctp", "protocol_port": 80`:                                                                                "protocol",
		`"network_id": "` + network + `", "protocol": "tcp", "protocol_port": 0`:                                                                                  "between 1 and 65535",
		`"network_id": "` + network + `", "protocol": "tcp", "protocol_port": 80, "affinity": "cookie"`:                                                           "source_mac",
		`"network_id": "` + network + `", "protocol": "tcp", "protocol_port": 80, "timeout": 0`:                                                                   "timeout",
		`"protocol": "tcp", "protocol_port": 80`:                                                                                                                  "network_id",
		`"vip_port_id": "` + ports[0] + `", "vip_address": "10.0.0.11", "protocol": "tcp", "protocol_port": 80`:                                                   "vip_port_id",
		`"network_id": "` + idOf(a.make("/v2.0/networks", "red", `{"network": {}}`)) + `", "protocol": "tcp", "protocol_port": 80`:                                "has no subnet",
		`"network_id": "` + idOf(a.make("/v2.0/networks", "red", `{"network": {}}`)) + `", "subnet_id": "` + subnet + `", "protocol": "tcp", "protocol_port": 80`: "subnet_id",
	} {
		if _, message := a.want(400, "POST", "/v2.0/mac-affinity/pools", "red", pool(body)).message(t); !strings.Contains(message, words) {
			t.Errorf("%s: %s; want it to say %q", body, message, words)
		}
	}
	a.want(404, "POST", "/v2.0/mac-affinity/pools", "blue", pool(`"network_id": "`+network+`", "protocol": "tcp", "protocol_port": 81`))
	a.want(404, "POST", "/v2.0/mac-affinity/pools", "blue", pool(`"vip_port_id": "`+vip+`", "protocol": "tcp", "protocol_port": 81`))
	a.want(404, "GET", web, "blue", "")
	a.want(400, "PUT", web, "red", pool(`"protocol_port": 81`))

	// The port goes with the last pool that has its address.
	a.want(204, "DELETE", web, "red", "")
	a.want(200, "GET", "/v2.0/ports/"+vip, "red", "")
	a.want(204, "DELETE", "/v2.0/mac-affinity/pools/"+idOf(other), "red", "")
	a.want(404, "GET", "/v2.0/ports/"+vip, "red", "")
	a.want(204, "DELETE", "/v2.0/mac-affinity/pools/"+idOf(named), "red", "")
	a.want(200, "GET", "/v2.0/ports/"+ports[0], "red", "")
}

func TestBackendsOfAffinityPoolsAreChecked(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network, _, ports := balancing(a)
	pool := a.make("/v2.0/mac-affinity/pools", "red", `{"affinity_pool": {"network_id": "`+network+`", "vip_address": "10.0.0.100", "protocol": "tcp", "protocol_port": 80}}`)
	at := "/v2.0/mac-affinity/pools/" + idOf(pool) + "/backends"
	backend := func(rest string) string { return `{"backend": {"protocol_port": 8080, ` + rest + `}}` }
	alone := func(rest string) string { return strings.Replace(backend(rest), "backend", "affinity_backend", 1) }
	got := a.want(201, "POST", at, "red", backend(`"port_id": "`+ports[0]+`", "weight": 3`))
	a.wantBody(map[string]string{ports[0]: "PORT", idOf(got.object(t)): "ID"}, got, `{"backend":{"id":"ID","tenant_id":"red","project_id":"red","name":"","port_id":"PORT","address":null,
		"protocol_port":8080,"weight":3,"admin_state":"up","health":"unknown","diagnosis":"","operating_status":"NO_MONITOR","operating_since":null,"operating_reason":"","status":"DOWN","created_at":"TIME","updated_at":"TIME","revision_number":1}}`)
	first := at + "/" + idOf(got.object(t))
	second := a.make("/v2.0/mac-affinity/backends", "red", alone(`"pool_id": "`+idOf(pool)+`", "address": "10.0.0.12", "weight": 0`))
	if list := a.want(200, "GET", at+"?admin_state=up", "red", "").list(t); len(list) != 2 {
		t.Errorf("the pool has %d backends", len(list))
	}
	if held, _ := a.want(200, "GET", "/v2.0/mac-affinity/pools/"+idOf(pool), "red", "").object(t)["backends"].([]any); len(held) != 2 {
		t.Errorf("the pool shows the backends %v", held)
	}
	a.want(200, "PUT", first, "red", `{"backend": {"health": "down", "diagnosis": "connection refused", "admin_state": "drain"}}`)

	elsewhere := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	foreign := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+elsewhere+`"}}`))
	for body, words := range map[string]string{
		`"port_id": "` + foreign + `"`: "of network " + elsewhere,
		`"address": "192.0.2.1"`:       "no subnet",
		`"address": "10.0.0.100"`:      "virtual address",
		`"address": "fd00::1"`:         "is no IPv4 address, as the virtual address 10.0.0.100 is",
		`"weight": 1`:                  "port_id",
		`"port_id": "` + ports[2] + `", "address": "10.0.0.13"`: "not both",
		`"port_id": "` + ports[2] + `", "weight": 257`:          "between 0 and 256",
		`"port_id": "` + ports[2] + `", "admin_state": "off"`:   "drain",
	} {
		if _, message := a.want(400, "POST", at, "red", backend(body)).message(t); !strings.Contains(message, words) {
			t.Errorf("%s: %s; want it to say %q", body, message, words)
		}
	}
	for _, body := range []string{`"port_id": "` + ports[0] + `"`, `"address": "10.0.0.11"`, `"address": "10.0.0.12"`, `"port_id": "` + ports[1] + `"`} {
		a.refused(409, "AffinityBackendExists", "POST", at, "red", backend(body))
	}
	// One at least has a weight.
	for _, change := range []struct{ method, path, body string }{
		{"PUT", first, `{"backend": {"weight": 0}}`}, {"DELETE", first, ""},
	} {
		if _, message := a.want(400, change.method, change.path, "red", change.body).message(t); !strings.Contains(message, "weight is 0 for all") {
			t.Errorf("%s: %s", change.method, message)
		}
	}
	a.refused(409, "PortInUse", "DELETE", "/v2.0/ports/"+ports[0], "red", "")
	a.want(404, "POST", at, "blue", backend(`"port_id": "`+ports[2]+`"`))
	a.want(404, "GET", first, "blue", "")
	a.want(204, "DELETE", "/v2.0/mac-affinity/backends/"+idOf(second), "red", "")
	a.want(204, "DELETE", first, "red", "")
	a.want(204, "DELETE", "/v2.0/mac-affinity/pools/"+idOf(pool), "red", "")
}

// A monitor has what its type asks for, and no more; what is not given is as usual.
func TestHealthMonitorsAreChecked(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network, _, ports := balancing(a)
	pool := func(monitor string) string {
		return `{"affinity_pool": {"network_id": "` + network + `", "vip_address": "10.0.0.100", "protocol": "tcp", "protocol_port": 80, "health_monitor": ` + monitor + `}}`
	}
	for monitor, words := range map[string]string{
		`"http"`:                                        "not an object",
		`{}`:                                            "type is missing",
		`{"type": "https"}`:                             "tcp, http, ping",
		`{"type": "tcp", "delay": 0}`:                   "delay: '0' is not between 1 and 3600",
		`{"type": "tcp", "delay": 1}`:                   "timeout 2 is longer than delay 1",
		`{"type": "tcp", "interval": 1}`:                "unexpected key 'interval'",
		`{"type": "tcp", "rise": 11}`:                   "rise: '11' is not between 1 and 10",
		`{"type": "tcp", "fall": "many"}`:               "fall: 'many' is not an integer",
		`{"type": "tcp", "url_path": "/"}`:              "go with type http",
		`{"type": "ping", "port": 80}`:                  "a ping has none",
		`{"type": "http", "url_path": "healthz"}`:       "not a path such as /healthz",
		`{"type": "http", "url_path": "/a b"}`:          "without blanks",
		`{"type": "http", "url_path": "/a\r\nX: y"}`:    "without blanks",
		`{"type": "http", "http_method": "DELETE"}`:     "GET, HEAD, OPTIONS",
		`{"type": "http", "expected_codes": "2xx"}`:     "no status code",
		`{"type": "http", "expected_codes": "299-200"}`: "does not run upwards",
		`{"type": "http", "expected_codes": "` + strings.Repeat("200,", 16) + `200"}`: "maximum length of 64",
	} {
		if _, message := a.want(400, "POST", "/v2.0/mac-affinity/pools", "red", pool(monitor)).message(t); !strings.Contains(message, words) || !strings.Contains(message, "health_monitor") {
			t.Errorf("%s: %s; want it to say %q of health_monitor", monitor, message, words)
		}
	}
	shows := func(at, want string) {
		t.Helper()
		if got := fmt.Sprint(a.want(200, "GET", at, "red", "").object(t)["health_monitor"]); got != want {
			t.Errorf("health_monitor %s, want %s", got, want)
		}
	}
	made := a.make("/v2.0/mac-affinity/pools", "red", pool(`{"type": "http", "delay": 10, "expected_codes": "200-299,401"}`))
	at := "/v2.0/mac-affinity/pools/" + idOf(made)
	shows(at, "map[delay:10 expected_codes:200-299,401 fall:3 http_method:GET port:<nil> rise:2 timeout:2 type:http url_path:/]")
	backend := a.make(at+"/backends", "red", `{"backend": {"protocol_port": 8080, "port_id": "`+ports[0]+`"}}`)
	if backend["operating_status"] != "UNKNOWN" {
		t.Errorf("before any probe it is %v", backend["operating_status"])
	}
	if list := a.want(200, "GET", at+"/backends?operating_status=UNKNOWN", "red", "").list(t); len(list) != 1 {
		t.Errorf("%d backends are found by what they are", len(list))
	}
	a.want(200, "PUT", at, "red", `{"affinity_pool": {"health_monitor": {"type": "ping", "fall": 1}}}`)
	shows(at, "map[delay:5 expected_codes:<nil> fall:1 http_method:<nil> port:<nil> rise:2 timeout:2 type:ping url_path:<nil>]")
	a.want(200, "PUT", at, "red", `{"affinity_pool": {"health_monitor": null}}`)
	shows(at, "<nil>")
	a.want(400, "PUT", at+"/backends/"+idOf(backend), "red", `{"backend": {"operating_status": "ONLINE"}}`)
}

// A pool is of the family of its virtual address, and so are its backends.
func TestPoolsOfIPv6HaveBackendsOfIPv6(t *testing.T) {
	t.Parallel()
	a := setup(t)
	network, _, ports := balancing(a)
	six := idOf(a.make("/v2.0/subnets", "red", `{"subnet": {"network_id": "`+network+`", "ip_version": 6, "cidr": "fd00:7::/64"}}`))
	both := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "fixed_ips": [{"ip_address": "10.0.0.50"}, {"ip_address": "fd00:7::50"}]}}`))
	only := idOf(a.make("/v2.0/ports", "red", `{"port": {"network_id": "`+network+`", "fixed_ips": [{"ip_address": "fd00:7::51"}]}}`))
	pool := func(more string) map[string]any {
		t.Helper()
		return a.make("/v2.0/mac-affinity/pools", "red", `{"affinity_pool": {"network_id": "`+network+`", "protocol": "tcp", "protocol_port": 80, `+more+`}}`)
	}
	named := pool(`"vip_address": "fd00:7::100"`)
	if named["vip_address"] != "fd00:7::100" || named["subnet_id"] != six {
		t.Errorf("the pool has %v of %v", named["vip_address"], named["subnet_id"])
	}
	if chosen, _ := pool(`"subnet_id": "` + six + `"`)["vip_address"].(string); !strings.HasPrefix(chosen, "fd00:7::") {
		t.Errorf("the address that was chosen is %v", chosen)
	}
	for port, want := range map[string]string{both: "10.0.0.50", only: "fd00:7::51"} {
		if got := pool(`"vip_port_id": "` + port + `"`)["vip_address"]; got != want {
			t.Errorf("a pool at the address of a port has %v, not %s", got, want)
		}
	}
	at := "/v2.0/mac-affinity/pools/" + idOf(named) + "/backends"
	backend := func(rest string) string { return `{"backend": {"protocol_port": 80, ` + rest + `}}` }
	a.make(at, "red", backend(`"port_id": "`+both+`"`))
	a.make(at, "red", backend(`"address": "fd00:7::60"`))
	a.refused(409, "AffinityBackendExists", "POST", at, "red", backend(`"address": "fd00:7::50"`))
	for body, words := range map[string]string{
		`"port_id": "` + ports[0] + `"`: "no IPv6 address",
		`"address": "10.0.0.60"`:        "is no IPv6 address",
		`"address": "fd00:8::60"`:       "no subnet",
		`"address": "fd00:7::100"`:      "virtual address",
	} {
		if _, message := a.want(400, "POST", at, "red", backend(body)).message(t); !strings.Contains(message, words) {
			t.Errorf("%s: %s; want it to say %q", body, message, words)
		}
	}
}
