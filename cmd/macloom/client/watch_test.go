package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAWatchGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	var asked []string
	answers := []string{
		"retry: 1000\n\nevent: create\ndata: {\"network\":{\"id\":\"a\"}}\n\nevent: bookmark\nid: 5\ndata: {\"revision\":5}\n\n",
		": well\n\nevent: update\nid: 7\ndata: {\"network\":{\"id\":\"a\"}}\n\nevent: delete\nid: 8",
		"event: error\ndata: {\"NeutronError\":{\"type\":\"WatchTooSlow\",\"message\":\"m\",\"detail\":\"\"}}\n\n",
		"event: error\ndata: {\"NeutronError\":{\"type\":\"RevisionTooOld\",\"message\":\"m\",\"detail\":\"\"}}\n\n",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI+" "+r.Header.Get("Accept"))
		fmt.Fprint(w, answers[0])
		answers = answers[1:]
	}))
	defer server.Close()
	c, err := New(Options{URL: server.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c.pause = func(context.Context, time.Duration) error { return nil }
	var got []string
	for e, err := range c.Watch(t.Context(), Request{Path: []string{"networks"}, Query: url.Values{"name": {"n"}}}, -1) {
		if err != nil {
			refusal, _ := errors.AsType[*Error](err)
			if refusal == nil || refusal.Type != TooOld || refusal.Status != http.StatusGone {
				t.Errorf("ends with %v", err)
			}
			break
		}
		got = append(got, fmt.Sprintf("%s %d %s", e.Kind, e.Revision, e.Object))
	}
	if diff := cmp.Diff([]string{`create 0 {"id":"a"}`, `bookmark 5 5`, `update 7 {"id":"a"}`}, got); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	const stream = " text/event-stream"
	want := []string{
		"/v2.0/networks?name=n&watch=true" + stream, "/v2.0/networks?name=n&revision=5&watch=true" + stream,
		"/v2.0/networks?name=n&revision=7&watch=true" + stream, "/v2.0/networks?name=n&revision=7&watch=true" + stream,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

func TestAWatchThatIsNeverAnsweredFails(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := New(Options{URL: server.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Watch(t.Context(), Request{Path: []string{"networks"}}, -1) {
		if err == nil {
			t.Error("an event of nobody")
		}
	}
}
