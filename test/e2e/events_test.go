package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
)

// happening is an event as the API shows it.
type happening struct {
	Revision int64
	Kind     string
	MAC      string `json:"mac_address"`
	Switch   string
	Port     int
	PortID   string `json:"port_id"`
	Details  map[string]any
}

func (h happening) String() string {
	return strings.TrimSpace(fmt.Sprintln(h.Kind, h.Switch, h.MAC, h.PortID, h.Details["status"]))
}

// happenings are all events after a revision.
func happenings(ctl *lab.Controller, since int64) []happening {
	var answer struct{ Events []happening }
	text, _ := json.Marshal(ctl.Must("GET", fmt.Sprintf("/v2.0/events?since=%d", since), nil))
	_ = json.Unmarshal(text, &answer) // what was marshalled
	return answer.Events
}

// follow reads the stream of events after a revision until it has so many.
func follow(t *testing.T, ctl *lab.Controller, last int64, n int) (list []happening) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ctl.URL+"/v2.0/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", ctl.Token())
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", fmt.Sprint(last))
	resp, err := ctl.API().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); len(list) < n && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var data struct{ Event *happening }
			if err := json.Unmarshal([]byte(text), &data); err == nil && data.Event != nil {
				list = append(list, *data.Event)
			}
		}
	}
	return list
}

// What happens to a fabric is told in its order, once, and by a controller that was
// killed and started again no other way.
func TestEventsTellTheStoryOfAFabric(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2, [2]int{0, 1})
	await := func(want ...string) {
		t.Helper()
		lab.Wait(t, "the events", patience, func() error {
			all := happenings(m.ctl, 0)
			for _, h := range all {
				if len(want) > 0 && h.String() == want[0] {
					want = want[1:]
				}
			}
			if len(want) > 0 {
				return fmt.Errorf("no %s (in this order) in %v", want[0], all)
			}
			return nil
		})
	}
	a, b := fmt.Sprintf("%016x", 0xa0), fmt.Sprintf("%016x", 0xa1)
	place := map[string]string{m.hosts[0].MAC: a, m.hosts[1].MAC: b}
	for mac, at := range place {
		await("switch_up "+at+"   <nil>", "link_up "+a+"   <nil>", "host_seen "+at+" "+mac+"  <nil>")
	}
	m.set(m.links[0], "down")
	await("link_up "+a+"   <nil>", "link_down "+a+"   <nil>")
	m.set(m.links[0], "up")
	await("link_down "+a+"   <nil>", "link_up "+a+"   <nil>")
	m.settle(1)

	network := m.ctl.Must("POST", "/v2.0/networks", map[string]any{"network": map[string]any{"name": "n"}})["network"].(map[string]any)["id"]
	guest := m.hosts[1]
	port := m.ctl.Must("POST", "/v2.0/ports", map[string]any{"port": map[string]any{
		"network_id": network, "mac_address": guest.MAC, "binding:host_id": b, "binding:profile": map[string]any{"interface_name": guest.Interface},
	}})["port"].(map[string]any)["id"].(string)
	await("host_seen "+b+" "+guest.MAC+"  <nil>", "host_gone "+b+" "+guest.MAC+"  <nil>")
	await("link_up "+a+"   <nil>", "port_realized "+b+"  "+port+" ACTIVE")

	before := happenings(m.ctl, 0)
	last := before[len(before)-1].Revision
	m.ctl.Kill9()
	m.ctl.Start()
	m.ctl.WaitReady()
	await("switch_down "+a+"   <nil>", "switch_up "+a+"   <nil>")
	await("switch_down "+b+"   <nil>", "switch_up "+b+"   <nil>")
	lab.Wait(t, "the switches to hear of each other", patience, func() error {
		if m.ctl.Metric("macloom_fabric_frames_received_total", "result=known") < 4 {
			return errors.New("not yet")
		}
		return nil
	})
	all := happenings(m.ctl, 0)
	if d := cmp.Diff(before, all[:len(before)]); d != "" {
		t.Errorf("what was told before is told otherwise (-before +after):\n%s", d)
	}
	after := all[len(before):]
	if d := cmp.Diff(after, happenings(m.ctl, last)); d != "" {
		t.Errorf("from where it was on (-all +resumed):\n%s", d)
	}
	seen := map[string]int{}
	for _, h := range after {
		seen[h.Kind+" "+h.Switch]++
	}
	// The switches were away, and nothing else has happened.
	if d := cmp.Diff(map[string]int{"switch_down " + a: 1, "switch_down " + b: 1, "switch_up " + a: 1, "switch_up " + b: 1}, seen); d != "" {
		t.Errorf("events of the restart (-want +got):\n%s", d)
	}
	middle := len(before) / 2
	if d := cmp.Diff(all[middle+1:], follow(t, m.ctl, all[middle].Revision, len(all)-middle-1)); d != "" {
		t.Errorf("the stream from the middle on (-list +stream):\n%s", d)
	}
	for i := 1; i < len(all); i++ {
		if all[i].Revision <= all[i-1].Revision {
			t.Errorf("revision %d after %d", all[i].Revision, all[i-1].Revision)
		}
	}
	if out := m.ctl.CLI("events", "--kind", "port_realized"); !strings.Contains(out, port) {
		t.Errorf("the port is not in\n%s", out)
	}
	if n := m.ctl.Metric("macloom_events_total", "kind=switch_up"); n != 2 {
		t.Errorf("%v switches are counted since the start", n)
	}
}
