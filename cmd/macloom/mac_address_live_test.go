package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesAreAllocatedReservedShownAndReleased(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	for _, tenant := range []string{"demo", "other"} {
		l.post("tenants", "tenant", map[string]any{"id": tenant})
	}
	l.run("segment", "create", "02:00:05:00:00:00/40", "--tenant", "demo", "--name", "blue", "--strategy", "sequential")
	l.run("segment", "create", "02:00:06:00:00:00/40", "--host", "00000000000000b0", "--strategy", "sequential")
	segment := l.rows("id", "segment", "show", "blue")
	network, _ := l.post("networks", "network", map[string]any{"name": "front", "tenant_id": "demo"})["id"].(string)

	const what = "address,state,tenant_id,device_id"
	for _, c := range []struct {
		words, want string
	}{
		{"mac create --tenant demo --device web-1", "02:00:05:00:00:00,active,demo,web-1"},
		{"mac create 0200.0500.0010 --tenant demo", "02:00:05:00:00:10,active,demo,"},
		{"mac create --tenant demo --segment blue --count 2", "02:00:05:00:00:01,active,demo,\n02:00:05:00:00:02,active,demo,"},
		{"mac create --tenant demo --network front --device web-1", "02:00:05:00:00:03,active,demo,web-1"},
		{"mac create --tenant demo --host 00000000000000b0", "02:00:06:00:00:00,active,demo,"},
		{"mac reserve --tenant demo --device web-2 --expires 2999-01-01T00:00:00Z", "02:00:05:00:00:04,reserved,demo,web-2"},
		{"mac list --segment blue --device web-1", "02:00:05:00:00:00,active,demo,web-1\n02:00:05:00:00:03,active,demo,web-1"},
		{"mac list --network front", "02:00:05:00:00:03,active,demo,web-1"},
		{"mac list --state reserved,quarantined --tenant demo", "02:00:05:00:00:04,reserved,demo,web-2"},
		{"mac list --tenant other", ""},
	} {
		if diff := cmp.Diff(c.want, l.rows(what, strings.Fields(c.words)...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.words, diff)
		}
	}
	// Past the one that is taken, 02:00:05:00:00:10.
	ranges := l.run("mac", "create", "--tenant", "demo", "--count", "20", "--format", "ranges", "-o", "csv")
	if diff := cmp.Diff("first,last,count,segment_id\n02:00:05:00:00:05,02:00:05:00:00:0f,11,"+segment+"\n02:00:05:00:00:11,02:00:05:00:00:19,9,"+segment, ranges); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
	for _, word := range []string{"02:00:05:00:00:04", "02-00-05-00-00-04", "0200.0500.0004", "020005000004"} {
		got := l.rows(what+",segment_id,expires_at,interface_id,link_local", "mac", "show", word)
		if want := "02:00:05:00:00:04,reserved,demo,web-2," + segment + ",2999-01-01T00:00:00Z,00-00-05-FF-FE-00-00-04,fe80::5ff:fe00:4"; !strings.EqualFold(got, want) {
			t.Errorf("show %s: %q, want %q", word, got, want)
		}
	}
	before := time.Now()
	expires, err := time.Parse(time.RFC3339, l.rows("expires_at", "mac", "reserve", "--tenant", "demo", "--expires", "7d"))
	if err != nil || expires.Before(before.Add(7*24*time.Hour-time.Second)) || expires.After(time.Now().Add(7*24*time.Hour)) {
		t.Errorf("held for 7d until %s, %v", expires, err)
	}
	l.run("mac", "release", "02:00:05:00:00:01", "0200.0500.0002")
	if got := l.rows(what, "mac", "list", "--state", "quarantined"); got != "02:00:05:00:00:01,quarantined,demo,\n02:00:05:00:00:02,quarantined,demo," {
		t.Errorf("at rest: %q", got)
	}
	bound := l.post("ports", "port", map[string]any{"network_id": network, "tenant_id": "demo", "device_id": "web-2"})["id"].(string)
	if got := l.rows("address,state", "mac", "list", "--port", bound); got != "02:00:05:00:00:04,active" {
		t.Errorf("of the port: %q", got)
	}
	l.refused(map[string]string{
		"mac release 02:00:05:00:00:04":              "MacAddressInUse: ",
		"mac release 02:00:05:00:00:ff":              "MacAddressNotFound: ",
		"mac show 02:00:05:00:00:ff":                 "MacAddressNotFound: ",
		"mac create 02:00:05:00:00:00 --tenant demo": "MacAddressInUse: ",
		"mac create --tenant demo --count 300":       "MacAddressGenerationFailure: ",
		"segment delete 02:00:06:00:00:00/40":        "MacSegmentInUse: ",
	})

}

func TestTheLineageOfAnAddressTellsItsWholeLife(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	for _, tenant := range []string{"red", "blue"} {
		l.post("tenants", "tenant", map[string]any{"id": tenant})
	}
	l.run("segment", "create", "02:00:05:00:00:00/40", "--shared", "--quarantine", "0s", "--name", "shared")
	network := l.post("networks", "network", map[string]any{"tenant_id": "red"})["id"]
	l.post("subnets", "subnet", map[string]any{"network_id": network, "tenant_id": "red", "ip_version": 4, "cidr": "10.0.0.0/24"})
	port := l.post("ports", "port", map[string]any{
		"network_id": network, "tenant_id": "red", "device_id": "vm-1", "mac_address": "02:00:05:00:00:01", "fixed_ips": []any{map[string]any{"ip_address": "10.0.0.9"}},
	})["id"].(string)
	for _, host := range []string{"00000000000000a1", "00000000000000a2"} {
		var answer map[string]any
		l.call(http.MethodPut, "ports/"+port, map[string]any{"port": map[string]any{"binding:host_id": host, "binding:profile": map[string]any{"interface_name": "tap1"}}}, &answer)
	}
	l.call(http.MethodDelete, "ports/"+port, nil, nil)
	l.run("mac", "create", "02:00:05:00:00:01", "--tenant", "blue", "--device", "vm-2")
	l.run("mac", "release", "02:00:05:00:00:01")

	lineage := func(args ...string) string {
		var lines []string
		for _, line := range strings.Split(l.run(append([]string{"mac", "lineage", "--columns", "event,mac,tenant_id,device_id,ips,switch"}, args...)...), "\n") {
			lines = append(lines, strings.TrimRight(line, " "))
		}
		return strings.Join(lines, "\n")
	}
	const header = "EVENT     MAC                TENANT_ID  DEVICE_ID  IPS       SWITCH\n"
	const ofBlue = "release   02:00:05:00:00:01  blue       vm-2\nallocate  02:00:05:00:00:01  blue       vm-2\n"
	const ofRed = `release   02:00:05:00:00:01  red        vm-1       10.0.0.9  00000000000000a2
move      02:00:05:00:00:01  red        vm-1       10.0.0.9  00000000000000a2
bind      02:00:05:00:00:01  red        vm-1       10.0.0.9  00000000000000a1
allocate  02:00:05:00:00:01  red        vm-1       10.0.0.9`
	if diff := cmp.Diff(header+ofBlue+ofRed, lineage("0200.0500.0001")); diff != "" {
		t.Errorf("lineage (-want +got):\n%s", diff)
	}
	for _, args := range [][]string{{"--instance", "vm-1"}, {"--ip", "10.0.0.9"}, {"--tenant", "red"}} {
		if diff := cmp.Diff(header+ofRed, lineage(args...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", args, diff)
		}
	}
	events := func(args ...string) string {
		return strings.ReplaceAll(l.rows("event", append([]string{"mac", "lineage"}, args...)...), "\n", " ")
	}
	at := strings.Split(l.rows("at", "mac", "lineage", "02:00:05:00:00:01"), "\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--switch", "00000000000000a2"}, "release move"},
		{[]string{"--user", "nobody"}, ""},
		{[]string{"02:00:05:00:00:01", "--limit", "3"}, "release allocate release"},
		{[]string{"02:00:05:00:00:01", "--until", at[2]}, "move bind allocate"},
		{[]string{"--ip", "10.0.0.9", "--at", at[3]}, "move"},
		{[]string{"--ip", "10.0.0.9", "--at", at[1]}, ""},
		{[]string{"02:00:05:00:00:01", "--at", "1d"}, ""},
	} {
		if got := events(c.args...); got != c.want {
			t.Errorf("lineage %v: %q, want %q", c.args, got, c.want)
		}
	}
	l.refused(map[string]string{
		"mac lineage --ip red":                             "ip",
		"mac lineage 02:00:05:00:00:01 --at 1d --until 1d": "until",
	})
}

func TestThousandsOfAddressesAreAllocatedAndReleased(t *testing.T) {
	t.Parallel()
	l := startLive(t)
	l.run("segment", "create", "02:00:05:00:00:00/32", "--name", "large")
	const count = 2500
	list := l.rows("address", "mac", "create", "--segment", "large", "--count", strconv.Itoa(count))
	if got := strings.Count(list, "\n") + 1; got != count {
		t.Fatalf("%d addresses, want %d", got, count)
	}
	if listed := strings.Count(l.rows("address", "mac", "list", "--segment", "large"), "\n") + 1; listed != count {
		t.Errorf("%d listed, want %d", listed, count)
	}
	l.pipe(strings.Join(strings.Split(list, "\n")[:20], "\n"), "mac", "release", "-")
	if got := l.rows("utilisation.active,utilisation.quarantined", "segment", "show", "large"); got != "2480,20" {
		t.Errorf("after 20 were released: %q", got)
	}
}
