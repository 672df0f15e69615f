package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Event is one event of a watch.
type Event struct {
	Kind     string // create, update, delete or bookmark
	Revision int64  // to go on from; 0: of the state at the beginning
	Object   json.RawMessage
}

// TooOld is the type of the Error of a watch whose revision is not kept.
const TooOld = "RevisionTooOld"

// watchPause is how long a client waits before it asks again for a watch that
// broke off.
const watchPause = time.Second

// Watch asks for the changes of a list after a revision, or for the list and
// then its changes if that is negative, and hands them on as they come. Once it
// has been answered it goes on by itself when that breaks off; it ends with the
// context, or with an error of the API that asking again would not mend.
func (c *Client) Watch(ctx context.Context, r Request, revision int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		goOn, answered := true, false
		for {
			query := maps.Clone(r.Query)
			if query == nil {
				query = url.Values{}
			}
			query.Set("watch", "true")
			if revision >= 0 {
				query.Set("revision", strconv.FormatInt(revision, 10))
			}
			asked := r
			asked.Method, asked.Query, asked.Accept = http.MethodGet, query, "text/event-stream"
			err := c.events(ctx, asked, &answered, func(e Event) bool {
				if e.Revision > 0 {
					revision = e.Revision
				}
				goOn = yield(e, nil)
				return goOn
			})
			switch {
			case !goOn:
				return
			case ctx.Err() != nil:
				yield(Event{}, errInterrupted)
				return
			}
			if refusal, ok := errors.AsType[*Error](err); !answered || ok && refusal.Status != http.StatusServiceUnavailable && refusal.Status != http.StatusTooManyRequests {
				yield(Event{}, err)
				return
			}
			if c.pause(ctx, watchPause) != nil {
				yield(Event{}, errInterrupted)
				return
			}
		}
	}
}

// events reads one answer until it ends or visit says that it is enough.
func (c *Client) events(ctx context.Context, r Request, answered *bool, visit func(Event) bool) error {
	body, err := c.Open(ctx, r)
	if err != nil {
		return err
	}
	*answered = true
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEntry)
	var e Event
	var data string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.Kind = value
		case "id":
			if e.Revision, err = strconv.ParseInt(value, 10, 64); err != nil {
				return fmt.Errorf("the answer of %s is not one of macloom: %w", c.base, err)
			}
		case "data":
			data = value
		case "":
			if lines.Text() != "" || e.Kind == "" {
				continue // a comment, or nothing
			}
			if e.Object, err = c.eventObject(e.Kind, data); err != nil {
				return err
			}
			if !visit(e) {
				return nil
			}
			e, data = Event{}, ""
		}
	}
	return lines.Err()
}

// eventObject is what the data of an event has under its one key.
func (c *Client) eventObject(kind, data string) (json.RawMessage, error) {
	var root map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &root); err != nil || len(root) != 1 {
		return nil, fmt.Errorf("the answer of %s is not one of macloom: an event without an object", c.base)
	}
	for _, object := range root {
		if kind != "error" {
			return object, nil
		}
		var said struct{ Type, Message string }
		_ = json.Unmarshal(object, &said) // an empty type says enough
		e := &Error{Status: http.StatusServiceUnavailable, Type: printable(said.Type), Message: printable(said.Message)}
		switch said.Type {
		case TooOld:
			e.Status = http.StatusGone
		case "Unauthorized":
			e.Status = http.StatusUnauthorized
		case "PolicyNotAuthorized", "TenantDisabled":
			e.Status = http.StatusForbidden
		}
		return nil, e
	}
	return nil, nil
}
