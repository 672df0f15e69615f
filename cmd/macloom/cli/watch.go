package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// newWatch returns the command that shows the changes of a collection.
func newWatch(env Environment) *cobra.Command {
	conn := newConnection(env)
	var revision int64
	var format string
	var filters []string
	cmd := &cobra.Command{
		Use:   "watch COLLECTION",
		Short: "Show objects and their changes as they come",
		Long: `Show the objects of a collection, and then every change of them as it comes, until it is interrupted.

COLLECTION is named as in the API: networks, ports, security-groups, mac-segments, …
It goes on by itself when the connection breaks off.`,
		Example: "  macloom watch ports --filter network_id=NETWORK\n  macloom watch networks --revision 1042 -o json",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.Int64Var(&revision, "revision", -1, "only the changes after this revision; -1: begin with the objects that there are")
	f.StringArrayVar(&filters, "filter", nil, "only objects with this value, ATTRIBUTE=VALUE; may be repeated")
	f.StringVarP(&format, "output", "o", "table", strings.Join(watchFormats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(watchFormats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return conn.attach(conn.run(cmd, nil, func(q *call) error {
		if !slices.Contains(watchFormats, format) {
			return usage("--output: %q is none of %s", format, strings.Join(watchFormats, ", "))
		}
		query := url.Values{}
		for _, filter := range filters {
			name, value, ok := strings.Cut(filter, "=")
			if !ok {
				return usage("--filter: %q is not of the form ATTRIBUTE=VALUE", filter)
			}
			query.Add(name, value)
		}
		return q.watch(query, revision, format == "json")
	}))
}

var watchFormats = []string{"table", "json"}

// watch writes events until the context ends. When the server has forgotten
// where it was, it begins anew.
func (c *call) watch(query url.Values, revision int64, asJSON bool) error {
	for {
		var failed error
		for e, err := range c.api.Watch(c.ctx, client.Request{Path: strings.Split(c.args[0], "/"), Query: query}, revision) {
			if failed = err; err == nil {
				failed = writeEvent(c.stdout, e, asJSON)
			}
			if failed != nil {
				break
			}
		}
		refusal, refused := errors.AsType[*client.Error](failed)
		switch {
		case c.ctx.Err() != nil:
			return nil // as it was asked to
		case !refused || refusal.Type != client.TooOld:
			return failed
		}
		fmt.Fprintln(c.stderr, "The changes since then are not kept any more; the objects that there are follow anew.")
		revision = -1
	}
}

// writeEvent writes one line.
func writeEvent(w io.Writer, e client.Event, asJSON bool) error {
	if asJSON {
		line, err := json.Marshal(struct {
			Event    string          `json:"event"`
			Revision int64           `json:"revision,omitempty"`
			Object   json.RawMessage `json:"object"`
		}{e.Kind, e.Revision, e.Object})
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		return err
	}
	revision := ""
	if e.Revision > 0 {
		revision = fmt.Sprint(e.Revision)
	}
	if e.Kind == "bookmark" {
		return nil // for programs
	}
	r, err := parseRecord(e.Object)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%-10s %-6s %s %s\n", revision, e.Kind, visible(r.text("id")), visible(r.text("name")))
	return err
}
