package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// newCloud is a stand-in with ports in the shapes of the API.
func newCloud(t *testing.T, ports ...string) *standIn {
	t.Helper()
	s := newStandIn(t, map[string]string{
		"GET /tenants":      `{"tenants": [{"id": "t1", "name": "Acme Inc."}, {"id": "t2", "name": ""}]}`,
		"GET /networks":     `{"networks": [{"id": "n1", "name": "blue"}, {"id": "n2", "name": "blue"}, {"id": "n3", "name": "größe 1"}]}`,
		"GET /mac-segments": `{"mac_segments": [` + blue + `]}`,
		"GET /switches":     `{"switches": [{"id": "00000000000000b0", "hostname": "rack-1"}]}`,
	})
	s.handle = func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.URL.Path != "/v2.0/ports" || len(query["fields"]) == 0 {
			t.Errorf("asked %s", r.RequestURI)
		}
		var shown []string
		for _, p := range ports {
			if tenant := query.Get("tenant_id"); tenant == "" || strings.Contains(p, fmt.Sprintf(`"tenant_id": %q`, tenant)) {
				shown = append(shown, p)
			}
		}
		fmt.Fprintf(w, `{"ports": [%s]}`, strings.Join(shown, ","))
	}
	return s
}

func port(id, tenant, device, network string) string {
	return fmt.Sprintf(`{"id": %q, "name": "", "tenant_id": %q, "device_id": %q, "device_owner": "compute:nova", "network_id": %q, "segment_id": %q,
		"mac_address": "02:00:05:00:00:%s", "status": "ACTIVE", "binding:host_id": "00000000000000b0", "fixed_ips": [{"subnet_id": "s", "ip_address": "fd00::%s"}, {"subnet_id": "s", "ip_address": "10.0.0.%s"}]}`,
		id, tenant, device, network, blueID, id, id, id)
}

type listed struct {
	Meta struct {
		HostVars map[string]map[string]any
	} `json:"_meta"`
	groups map[string][]string
}

func (s *standIn) inventory(args ...string) listed {
	s.t.Helper()
	text := []byte(s.run(append([]string{"inventory", "--list"}, args...)...))
	var in listed
	var groups map[string]struct{ Hosts, Children []string }
	if err := json.Unmarshal(text, &in); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &groups); err != nil {
		s.t.Fatal(err)
	}
	in.groups = map[string][]string{}
	for name, g := range groups {
		if len(g.Hosts) > 0 {
			in.groups[name] = g.Hosts
		}
	}
	children := append(slices.Sorted(maps.Keys(in.groups)), "ungrouped")
	if diff := gocmp.Diff(children, groups["all"].Children); diff != "" {
		s.t.Errorf("children of all (-want +got):\n%s", diff)
	}
	return in
}

func TestInstancesAreGroupedByTenantNetworkSegmentAndHost(t *testing.T) {
	t.Parallel()
	router := strings.Replace(port("31", "t1", "r1", "n1"), "compute:nova", "network:router_interface", 1)
	unbound := strings.NewReplacer(`"00000000000000b0"`, `""`, fmt.Sprintf("%q", blueID), "null", `[{"subnet_id"`, `[], "x": [{"subnet_id"`).Replace(port("32", "t2", "web-3", "n3"))
	s := newCloud(t, port("12", "t1", "web-1", "n3"), port("11", "t1", "web-1", "n1"), port("21", "t1", "web-2", "n2"), router, port("33", "t1", "", "n1"), unbound)
	in := s.inventory()
	var n1, n2 string // of one name, so with suffixes
	for name := range in.groups {
		switch {
		case strings.HasPrefix(name, "network_blue_") && slices.Contains(in.groups[name], "web-1"):
			n1 = name
		case strings.HasPrefix(name, "network_blue_"):
			n2 = name
		}
	}
	if diff := gocmp.Diff(map[string][]string{
		"tenant_Acme_Inc_": {"web-1", "web-2"}, "tenant_t2": {"web-3"}, "segment_blue": {"web-1", "web-2"}, "host_rack_1": {"web-1", "web-2"},
		n1: {"web-1"}, n2: {"web-2"}, "network_gr__e_1": {"web-1", "web-3"},
	}, in.groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	var vars map[string]any
	if err := json.Unmarshal([]byte(s.run("inventory", "--host", "web-1")), &vars); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(in.Meta.HostVars["web-1"], vars); diff != "" {
		t.Errorf("variables by --list and by --host (-list +host):\n%s", diff)
	}
	shown := func(id, network, name string) map[string]any {
		return map[string]any{
			"id": id, "name": "", "mac_address": "02:00:05:00:00:" + id, "ip_addresses": []any{"fd00::" + id, "10.0.0." + id}, "status": "ACTIVE",
			"network_id": network, "network_name": name, "segment_id": blueID, "segment_name": "blue", "host_id": "00000000000000b0", "host_name": "rack-1",
		}
	}
	if diff := gocmp.Diff(map[string]any{
		"ansible_host": "10.0.0.11", "macloom_device_id": "web-1", "macloom_tenant_id": "t1", "macloom_tenant_name": "Acme Inc.",
		"macloom_macs": []any{"02:00:05:00:00:11", "02:00:05:00:00:12"}, "macloom_ips": []any{"fd00::11", "10.0.0.11", "fd00::12", "10.0.0.12"},
		"macloom_host_ids": []any{"00000000000000b0"}, "macloom_ports": []any{shown("11", "n1", "blue"), shown("12", "n3", "größe 1")},
	}, vars); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if _, ok := in.Meta.HostVars["web-3"]["ansible_host"]; ok {
		t.Error("an instance without address has ansible_host")
	}
	if got := s.inventory("--tenant", "t2").groups; len(got) != 2 {
		t.Errorf("groups of tenant t2: %v", got)
	}
	sh := s.shell()
	sh.env["MACLOOM_INVENTORY_TENANT"] = "t2"
	if _, err := sh.run(t, "inventory", "--host", "web-1"); err == nil {
		t.Error("an instance of another tenant is shown")
	}
	_, err := s.try("inventory", "--host", "web-9")
	wantError(t, err, `there is no instance "web-9"`)
	_, err = s.try("inventory")
	wantError(t, err, "[list host]")
}

// What a tenant calls his instances must not lead a play for others to them.
func TestNamesThatWouldLeadAPlayAstrayAreNotGivenToInstances(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		devices []instance
		bare    []string // names that nobody may have
		hosts   int
	}{
		{"the same in two tenants", []instance{{"t1", "web"}, {"t2", "web"}}, []string{"web"}, 2},
		{"the same but for what is left out", []instance{{"t1", "a b"}, {"t1", "a:b"}}, []string{"a_b"}, 2},
		{"the machine of Ansible", []instance{{"t1", "localhost"}, {"t1", "LOCALHOST"}, {"t1", "127.0.0.1"}, {"t1", "127.1.2.3"}}, []string{"localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3"}, 4},
		{"groups", []instance{{"t1", "all"}, {"t1", "ungrouped"}, {"t1", "tenant_t2"}, {"t1", "network_blue"}}, []string{"all", "ungrouped", "tenant_t2", "network_blue"}, 4},
		{"patterns", []instance{{"t1", "web[1:3]"}, {"t1", "*"}, {"t1", "!web"}, {"t1", "-x"}, {"t1", "a,b"}, {"t1", "~a.*"}}, []string{"web[1:3]", "*", "!web", "-x", "a,b", "~a.*"}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var ports []string
			for i, d := range c.devices {
				ports = append(ports, port(fmt.Sprint(10+i), d.tenant, d.device, "n1"))
			}
			hosts := newCloud(t, ports...).inventory().Meta.HostVars
			for _, name := range c.bare {
				if _, ok := hosts[name]; ok {
					t.Errorf("there is a host %q", name)
				}
			}
			if len(hosts) != c.hosts {
				t.Errorf("%d hosts, want %d: %v", len(hosts), c.hosts, slices.Collect(maps.Keys(hosts)))
			}
		})
	}
	// Somebody takes the name that another gets when names are shared.
	first := newCloud(t, port("10", "t1", "web", "n1"), port("11", "t2", "web", "n1")).inventory().Meta.HostVars
	var victim string
	for name, vars := range first {
		if vars["macloom_tenant_id"] == "t1" {
			victim = name
		}
	}
	hosts := newCloud(t, port("10", "t1", "web", "n1"), port("11", "t2", "web", "n1"), port("12", "t2", victim, "n1")).inventory().Meta.HostVars
	if len(hosts) != 3 || hosts[victim]["macloom_tenant_id"] != "t1" {
		t.Errorf("%s is of tenant %v, in %d hosts", victim, hosts[victim]["macloom_tenant_id"], len(hosts))
	}
}

func TestTextsOfTenantsAreNoTemplates(t *testing.T) {
	t.Parallel()
	named := strings.Replace(port("10", "t1", "{% x %}", "n1"), `"name": ""`, `"name": "{{ lookup('pipe', 'id') }}"`, 1)
	for name, vars := range newCloud(t, named).inventory().Meta.HostVars {
		if strings.ContainsAny(name, "{}% ") {
			t.Errorf("host %q", name)
		}
		unsafe := func(text string) any { return map[string]any{"__ansible_unsafe": text} }
		got := []any{vars["macloom_device_id"], vars["macloom_ports"].([]any)[0].(map[string]any)["name"]}
		if diff := gocmp.Diff([]any{unsafe("{% x %}"), unsafe("{{ lookup('pipe', 'id') }}")}, got); diff != "" {
			t.Errorf("texts (-want +got):\n%s", diff)
		}
	}
}
