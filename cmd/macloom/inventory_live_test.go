package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// programVariable makes the test binary be macloom, for a script that calls it.
const programVariable = "MACLOOM_TEST_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		os.Exit(execute(context.Background(), newRoot(), os.Stderr))
	}
	os.Exit(m.Run())
}

// ansible runs a program of Ansible with the script of docs/cli.md on a
// controller.
func (l *live) ansible(program string, args ...string) string {
	l.t.Helper()
	document, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		l.t.Fatal(err)
	}
	var script string
	for _, block := range shellBlock.FindAllStringSubmatch(string(document), -1) {
		if strings.HasPrefix(block[1], "#!") {
			script = block[1]
		}
	}
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	dir := l.t.TempDir()
	for name, text := range map[string]string{
		"inventory": script,
		"macloom":   "#!/bin/sh\n" + programVariable + "=1 exec " + self + " \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(l.t.Context(), program, append([]string{"-i", filepath.Join(dir, "inventory")}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1", "ANSIBLE_INVENTORY_UNPARSED_FAILED=1",
		"ANSIBLE_LOCALHOST_WARNING=0", "MACLOOM_URL=" + l.api, "MACLOOM_TOKEN_FILE=" + filepath.Join(l.dataDir, "admin-token"),
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		l.t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, stderr.String())
	}
	return string(out)
}

func TestAnsibleReadsTheInventoryOfAController(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.post("tenants", "tenant", map[string]any{"id": "demo", "name": "Demo"})
	l.run("segment", "create", "02:00:05:00:00:00/32", "--name", "blue", "--tenant", "demo")
	network := l.post("networks", "network", map[string]any{"name": "front end", "tenant_id": "demo"})["id"]
	l.post("subnets", "subnet", map[string]any{"network_id": network, "tenant_id": "demo", "ip_version": 4, "cidr": "10.0.0.0/24"})
	var macs []string
	for _, body := range []map[string]any{
		{"device_id": "web-1", "name": "{{ 6 * 7 }}", "fixed_ips": []any{map[string]any{"ip_address": "10.0.0.11"}}},
		{"device_id": "web-2", "binding:host_id": "00000000000000b0", "binding:profile": map[string]any{"interface_name": "tap1"}},
		{"device_id": "router", "device_owner": "network:router_interface"},
		{},
	} {
		body["network_id"], body["tenant_id"] = network, "demo"
		macs = append(macs, l.post("ports", "port", body)["mac_address"].(string))
	}

	graph := `@all:
  |--@ungrouped:
  |--@host_00000000000000b0:
  |  |--web-2
  |--@network_front_end:
  |  |--web-1
  |  |--web-2
  |--@segment_blue:
  |  |--web-1
  |  |--web-2
  |--@tenant_Demo:
  |  |--web-1
  |  |--web-2
`
	if diff := cmp.Diff(graph, l.ansible("ansible-inventory", "--graph")); diff != "" {
		t.Errorf("ansible-inventory --graph (-want +got):\n%s", diff)
	}
	var list struct {
		Meta struct {
			HostVars map[string]struct {
				Host  string   `json:"ansible_host"`
				MACs  []string `json:"macloom_macs"`
				Ports []struct {
					Segment string `json:"segment_name"`
				} `json:"macloom_ports"`
			}
		} `json:"_meta"`
	}
	if err := json.Unmarshal([]byte(l.ansible("ansible-inventory", "--list")), &list); err != nil {
		t.Fatal(err)
	}
	web := list.Meta.HostVars["web-1"]
	if len(list.Meta.HostVars) != 2 || web.Host != "10.0.0.11" || !cmp.Equal(web.MACs, macs[:1]) || len(web.Ports) != 1 || web.Ports[0].Segment != "blue" {
		t.Errorf("ansible-inventory --list: %+v, want two hosts, web-1 with %v", list.Meta.HostVars, macs[:1])
	}
	// A play sees the texts of tenants and does not run them.
	said := l.ansible("ansible", "web-1", "-c", "local", "-m", "debug", "-a", "var=macloom_ports[0].name")
	if !strings.Contains(said, `"macloom_ports[0].name": "{{ 6 * 7 }}"`) {
		t.Errorf("ansible debug: %s", said)
	}
}
