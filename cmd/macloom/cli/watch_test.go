package cli

import (
	"io"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestWatchWritesALineForEachEvent(t *testing.T) {
	t.Parallel()
	const events = "event: create\ndata: {\"network\":{\"id\":\"a\",\"name\":\"n\"}}\n\nevent: bookmark\nid: 5\ndata: {\"revision\":5}\n\n" +
		"event: delete\nid: 7\ndata: {\"network\":{\"id\":\"a\"}}\n\nevent: error\ndata: {\"NeutronError\":{\"type\":\"Unauthorized\",\"message\":\"m\",\"detail\":\"\"}}\n\n"
	for format, want := range map[string]string{
		"table": "           create a n\n7          delete a \n",
		"json": `{"event":"create","object":{"id":"a","name":"n"}}` + "\n" + `{"event":"bookmark","revision":5,"object":5}` + "\n" +
			`{"event":"delete","revision":7,"object":{"id":"a"}}` + "\n",
	} {
		api := newStandIn(t, nil)
		api.handle = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, events) }
		sh := shell{env: map[string]string{"MACLOOM_URL": api.url, "MACLOOM_TOKEN": "t"}}
		got, err := sh.run(t, "watch", "networks", "--filter", "name=n", "--revision", "3", "-o", format)
		if err == nil || !strings.Contains(err.Error(), "Unauthorized") {
			t.Errorf("%s: ends with %v", format, err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", format, diff)
		}
		if diff := gocmp.Diff([]string{"GET /networks?name=n&revision=3&watch=true"}, api.requests()); diff != "" {
			t.Errorf("%s: asked (-want +got)\n%s", format, diff)
		}
	}
	for _, args := range [][]string{{"watch"}, {"watch", "networks", "-o", "yaml"}, {"watch", "networks", "--filter", "name"}} {
		sh := shell{env: map[string]string{"MACLOOM_URL": "http://127.0.0.1:1", "MACLOOM_TOKEN": "t"}}
		if _, err := sh.run(t, args...); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
