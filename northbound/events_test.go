package northbound

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

// happen records events.
func (a *api) happen(list ...intent.Event) {
	a.t.Helper()
	if err := a.store.Happened(a.t.Context(), list...); err != nil {
		a.t.Fatal(err)
	}
}

// limits are events at ports of a switch, numbered.
func limits(tenant string, ports ...uint32) (list []intent.Event) {
	for _, no := range ports {
		list = append(list, intent.Event{Kind: intent.EventMACLimit, TenantID: tenant, Switch: 0xa1, Port: no, Interface: "eth", Details: map[string]any{"limit": no}})
	}
	return list
}

func TestEventsAreListedFromARevisionOn(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	a.happen(limits("", 1, 2)...)
	since := a.latest()
	a.happen(limits("red", 3)...)
	a.happen(intent.Event{Kind: intent.EventMACMove, MAC: 0x020000000001, TenantID: "red", Details: map[string]any{"moves": 7, "from_switch": "00000000000000a1"}})
	last := a.latest()
	got := func(query, token string) (lines []string) {
		t.Helper()
		var answer struct{ Events []map[string]any }
		if err := json.Unmarshal([]byte(a.want(200, "GET", "/v2.0/events"+query, token, "").text), &answer); err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.Events {
			lines = append(lines, fmt.Sprintf("%v %v %v %v %v %v", e["kind"], e["switch"], e["port"], e["interface"], e["mac_address"], e["details"]))
		}
		return lines
	}
	limit := func(n int) string {
		return fmt.Sprintf("mac_limit 00000000000000a1 %d eth <nil> map[limit:%[1]d]", n)
	}
	move := "mac_move  0  02:00:00:00:00:01 map[from_switch:00000000000000a1 moves:7]"
	mine := []string{"mac_limit <nil> <nil> <nil> <nil> map[limit:3]", "mac_move <nil> <nil> <nil> 02:00:00:00:00:01 map[moves:7]"}
	for _, c := range []struct {
		query, token string
		want         []string
	}{
		{"", "admin", []string{limit(1), limit(2), limit(3), move}},
		{fmt.Sprintf("?since=%d", since), "admin", []string{limit(3), move}},
		{fmt.Sprintf("?since=%d", last), "admin", nil},
		{"?since=0&kind=mac_limit&limit=2", "admin", []string{limit(1), limit(2)}},
		{"?port=2&switch=00000000000000a1", "admin", []string{limit(2)}},
		{"?mac_address=02-00-00-00-00-01", "admin", []string{move}},
		{"?sort_key=id&sort_dir=desc&limit=1", "admin", []string{move}},
		{"", "red", mine}, // without places
		{"", "blue", nil},
	} {
		if d := cmp.Diff(c.want, got(c.query, c.token)); d != "" {
			t.Errorf("%s as %s (-want +got):\n%s", c.query, c.token, d)
		}
	}
	first := a.want(200, "GET", "/v2.0/events", "admin", "").list(t)[0]
	if first["id"] != fmt.Sprint(first["revision"]) {
		t.Errorf("id %v, revision %v", first["id"], first["revision"])
	}
	a.want(404, "GET", "/v2.0/events/"+idOf(first), "red", "")
	for query, code := range map[string]int{"?since=x": 400, fmt.Sprintf("?since=%d", last+1): 410, "?revision=1": 400} {
		a.want(code, "GET", "/v2.0/events"+query, "admin", "")
	}
	a.want(400, "GET", "/v2.0/events?switch=00000000000000a1", "red", "")
	if err := a.store.ForgetChanges(t.Context(), time.Now().Add(time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	a.want(410, "GET", fmt.Sprintf("/v2.0/events?since=%d", since), "admin", "")
	if d := cmp.Diff([]string{move}, got(fmt.Sprintf("?since=%d", last-1), "admin")); d != "" {
		t.Errorf("what is kept (-want +got):\n%s", d)
	}
}

func TestAWatchOfEventsLosesAndDoublesNone(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	a.happen(limits("red", 1)...)
	since := a.latest()
	live := a.watch("events", "admin", 0) // by what it accepts alone
	mine := a.watch("events?watch=true&kind=mac_limit", "red", 0)
	none := a.watch(fmt.Sprintf("events?since=%d", since-1), "blue", 0)
	port := func(w *watched) (float64, int64) {
		t.Helper()
		s := w.change()
		if s.kind != "create" || s.object["kind"] != "mac_limit" {
			t.Fatalf("got %+v", s)
		}
		n, _ := s.object["details"].(map[string]any)["limit"].(float64)
		if s.id == 0 || fmt.Sprint(s.id) != s.object["id"] {
			t.Errorf("an event %v under revision %d", s.object["id"], s.id)
		}
		return n, s.id
	}
	a.happen(limits("red", 2, 3)...)
	a.happen(limits("blue", 4)...)
	a.happen(intent.Event{Kind: intent.EventSwitchUp, Switch: 1})
	a.happen(limits("red", 5)...)
	var middle int64
	for _, want := range []float64{2, 3, 4} {
		n, id := port(live)
		if n != want {
			t.Errorf("event %v, want %v", n, want)
		}
		if n == 3 {
			middle = id
		}
	}
	for _, want := range []float64{2, 3, 5} {
		if n, _ := port(mine); n != want {
			t.Errorf("red is told of %v, want %v", n, want)
		}
	}
	if n, _ := port(none); n != 4 {
		t.Errorf("blue is told of %v", n)
	}
	live.close()
	again := a.watch(fmt.Sprintf("events?since=%d&kind=mac_limit", since), "admin", middle) // the header counts
	for _, want := range []float64{4, 5} {
		if n, _ := port(again); n != want {
			t.Errorf("after coming back: event %v, want %v", n, want)
		}
	}
	from := a.watch(fmt.Sprintf("events?since=%d", since-1), "red", 0)
	for _, want := range []float64{1, 2, 3, 5} {
		if n, _ := port(from); n != want {
			t.Errorf("from a revision on: event %v, want %v", n, want)
		}
	}
	if err := a.store.ForgetChanges(t.Context(), time.Now().Add(time.Hour), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, resp := a.openWatch("events", "admin", middle); resp.StatusCode != http.StatusGone { //nolint:bodyclose // when the test ends
		t.Errorf("from a revision that is not kept: %d, want 410", resp.StatusCode)
	}
}

func TestAPortThatIsCarriedOutIsAnEventAndAChangeOfThePort(t *testing.T) {
	t.Parallel()
	a := lively(t, nil)
	network := idOf(a.make("/v2.0/networks", "red", `{"network": {}}`))
	port := idOf(a.make("/v2.0/ports", "admin", `{"port": {"network_id": "`+network+`", "tenant_id": "red", "binding:host_id": "00000000000000a1", "binding:profile": {"port_no": 1}}}`))
	from := a.latest()
	events, ports := a.watch("events", "red", from), a.watch("ports?watch=true", "red", from)
	if err := a.store.SetPortStatus(t.Context(), 0xa1, []store.PortState{{ID: port, Status: intent.PortActive}}); err != nil {
		t.Fatal(err)
	}
	event, change := events.change(), ports.change()
	if event.object["kind"] != "port_realized" || event.object["port_id"] != port || event.object["network_id"] != network ||
		!cmp.Equal(event.object["details"], any(map[string]any{"status": "ACTIVE", "was": "DOWN", "reason": ""})) {
		t.Errorf("event %s", event.data)
	}
	if change.kind != "update" || idOf(change.object) != port || change.id != event.id {
		t.Errorf("change %s under %d, the event under %d", change.data, change.id, event.id)
	}
}
