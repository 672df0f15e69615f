package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func event(n int) string {
	return fmt.Sprintf(`{"id":"%d","revision":%[1]d,"at":"T","kind":"link_up","switch":"a1","port":%[1]d,"mac_address":null,"port_id":null,"details":{"peer_switch":"a2"}}`, n)
}

func TestEventsShowsTheLastOrThoseSinceARevision(t *testing.T) {
	t.Parallel()
	page := func(from, to int) string {
		var list []string
		for n := from; n <= to; n++ {
			list = append(list, event(n))
		}
		return `{"events":[` + strings.Join(list, ",") + `]}`
	}
	for _, c := range []struct {
		args    []string
		answers []string
		asked   []string
		first   string
		lines   int
	}{
		{[]string{"--kind", "link_up"}, []string{`{"events":[` + event(9) + "," + event(8) + `]}`},
			[]string{"GET /events?kind=link_up&limit=100&sort_dir=desc&sort_key=id"}, "8,T,link_up,,a1,8,,peer_switch=a2", 2},
		{[]string{"--since", "5"}, []string{page(6, 1005), page(1006, 1007)},
			[]string{"GET /events?limit=1000&since=5", "GET /events?limit=1000&since=1005"}, "6,T,link_up,,a1,6,,peer_switch=a2", 1002},
	} {
		api := newStandIn(t, nil)
		api.handle = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, c.answers[0])
			c.answers = c.answers[1:]
		}
		sh := shell{env: map[string]string{"MACLOOM_URL": api.url, "MACLOOM_TOKEN": "t"}}
		got, err := sh.run(t, append([]string{"events", "-o", "csv", "--no-headers"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(got), "\n")
		if lines[0] != c.first || len(lines) != c.lines {
			t.Errorf("%v: %d lines, the first %q; want %d, %q", c.args, len(lines), lines[0], c.lines, c.first)
		}
		if d := gocmp.Diff(c.asked, api.requests()); d != "" {
			t.Errorf("asked (-want +got)\n%s", d)
		}
	}
}

func TestEventsFollowsAndGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"table": "7 T link_up a1 7 peer_switch=a2\n", "json": event(7) + "\n"} {
		api := newStandIn(t, nil)
		api.handle = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "event: bookmark\nid: 6\ndata: {\"revision\":6}\n\nevent: create\nid: 7\ndata: {\"event\":"+event(7)+"}\n\n"+
				"event: error\ndata: {\"NeutronError\":{\"type\":\"RevisionTooOld\",\"message\":\"m\",\"detail\":\"\"}}\n\n")
		}
		sh := shell{env: map[string]string{"MACLOOM_URL": api.url, "MACLOOM_TOKEN": "t"}}
		got, err := sh.run(t, "events", "--follow", "--since", "3", "-o", format)
		if err == nil || !strings.Contains(err.Error(), "RevisionTooOld") {
			t.Errorf("%s: ends with %v", format, err)
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", format, d)
		}
		if d := gocmp.Diff([]string{"GET /events?revision=3&watch=true"}, api.requests()); d != "" {
			t.Errorf("%s: asked (-want +got)\n%s", format, d)
		}
		if _, err := sh.run(t, "events", "--follow", "-o", "yaml"); err == nil {
			t.Error("yaml is taken with --follow")
		}
	}
}
