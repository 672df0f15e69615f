package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

var happenings = collection{path: "events", single: "event", plural: "events"}

const (
	// eventPage is how many events are asked for at once, and eventsShown how many
	// are shown of those that there are, if it is not said from when on.
	eventPage   = 1000
	eventsShown = 100
)

var eventColumns = attributes("revision", "at", "kind", "mac_address", "switch", "port", "port_id", "details")

func newEvents(env Environment) *cobra.Command {
	conn := newConnection(env)
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happened", Args: cobra.NoArgs,
		Long: `Show what happened: ports that became active, hosts, links and switches that came and
went, MAC addresses that move or clash. Without --since, the last 100 events.

With --follow, those that come are shown as they come, until it is interrupted; it goes
on by itself when the connection breaks off.`,
		Example: "  macloom events --kind link_down --kind link_up\n  macloom events --since 1042 -o json\n  macloom events --follow",
	}
	var since int64
	var kinds []string
	var follow bool
	f := cmd.Flags()
	f.Int64Var(&since, "since", -1, "only what came after this revision")
	f.StringArrayVar(&kinds, "kind", nil, "only events of this kind; may be repeated")
	f.BoolVarP(&follow, "follow", "f", false, "show what comes from now on, or after --since")
	out := newOutput(cmd)
	return conn.attach(conn.run(cmd, out, func(c *call) error {
		query := url.Values{}
		if len(kinds) > 0 {
			query["kind"] = kinds
		}
		switch {
		case follow && !slices.Contains(watchFormats, out.format):
			return usage("--output: %q does not go with --follow; it is one of %s", out.format, strings.Join(watchFormats, ", "))
		case follow:
			return c.followEvents(query, since)
		case since < 0:
			return c.list(eventColumns, lastEvents(c, query))
		}
		return c.list(eventColumns, eventsSince(c, query, since))
	}))
}

// lastEvents are the latest events, the earliest of them first.
func lastEvents(c *call, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query.Set("sort_key", "id")
		query.Set("sort_dir", "desc")
		query.Set("limit", strconv.Itoa(eventsShown))
		var list []json.RawMessage
		for e, err := range happenings.list(c, query) {
			if err != nil {
				yield(nil, err)
				return
			}
			list = append(list, slices.Clone(e))
		}
		for _, e := range slices.Backward(list) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// eventsSince are all events after a revision.
func eventsSince(c *call, query url.Values, since int64) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query.Set("limit", strconv.Itoa(eventPage))
		for n := eventPage; n == eventPage; {
			n = 0
			query.Set("since", strconv.FormatInt(since, 10))
			for e, err := range happenings.list(c, query) {
				var r record
				if err == nil {
					r, err = parseRecord(e)
				}
				if err == nil {
					since, err = strconv.ParseInt(r.text("id"), 10, 64)
				}
				if !yield(e, err) || err != nil {
					return
				}
				n++
			}
		}
	}
}

// followEvents writes events until the context ends.
func (c *call) followEvents(query url.Values, since int64) error {
	for e, err := range c.api.Watch(c.ctx, client.Request{Path: happenings.at(), Query: query}, since) {
		switch {
		case c.ctx.Err() != nil:
			return nil // as it was asked to
		case err == nil && e.Kind == "bookmark":
			continue
		case err == nil && c.out.format == "json":
			_, err = fmt.Fprintf(c.stdout, "%s\n", compact(e.Object))
		case err == nil:
			err = writeHappening(c.stdout, e.Object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeHappening writes one line: what there is of an event.
func writeHappening(w io.Writer, event json.RawMessage) error {
	r, err := parseRecord(event)
	if err != nil {
		return err
	}
	var words []string
	for _, c := range eventColumns {
		if text := visible(r.text(c.name)); text != "" && (c.name != "port" || text != "0") {
			words = append(words, text)
		}
	}
	_, err = fmt.Fprintln(w, strings.Join(words, " "))
	return err
}
