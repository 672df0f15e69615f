package cli

import (
	"bufio"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
	"github.com/macloom/macloom/controller/mac"
)

var addresses = collection{path: "mac-addresses", single: "mac_address", plural: "mac_addresses"}

var addressColumns = attributes("address", "state", "segment_id", "tenant_id", "device_id", "port_id", "expires_at")

// parseMAC reads an address in any notation; the API gets the usual one.
func parseMAC(word string) (string, error) {
	a, err := mac.Parse(word)
	if err != nil {
		return "", usage("%q is no MAC address such as 02:00:05:00:00:01, 02-00-05-00-00-01, 0200.0500.0001 or 020005000001", word)
	}
	return a.String(), nil
}

func newMAC(env Environment) *cobra.Command {
	conn := newConnection(env)
	return conn.attach(group("mac", "Allocate MAC addresses, follow them, and compare them with those of others",
		listMACs(conn),
		createMACs(conn, &cobra.Command{
			Use: "create [MAC]", Short: "Allocate addresses",
			Example: "  macloom mac create --tenant demo --device web-1\n  macloom mac create 02:00:05:00:00:01\n" +
				"  macloom mac create --segment blue --count 1000 --columns address --no-headers",
		}, "active"),
		createMACs(conn, &cobra.Command{
			Use: "reserve [MAC]", Short: "Hold addresses without a port",
			Example: "  macloom mac reserve --segment blue --device web-1 --expires 7d",
		}, "reserved"),
		showMAC(conn), setMAC(conn), releaseMACs(conn), lineage(conn), importMACs(conn), listImports(conn), exportMACs(conn), conflicts(conn)))
}

func listMACs(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List addresses that somebody has, or had lately", Args: cobra.NoArgs}
	fs := filters{}
	f := cmd.Flags()
	fs.text(f, "state", "state", "only those in a state: active, reserved, quarantined")
	fs.text(f, "tenant", "tenant_id", "only those of a tenant")
	fs.text(f, "device", "device_id", "only those of an instance")
	fs.text(f, "port", "port_id", "only that of a port, by its id")
	f.String("segment", "", "only those of a segment")
	f.String("network", "", "only those for a network")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		query := fs.query(c.flags)
		if err := c.lookUp(query.Set, reference{"segment", "segment_id", segments}, reference{"network", "network_id", networks}); err != nil {
			return err
		}
		return c.list(addressColumns, addresses.list(c, query))
	})
}

func createMACs(conn *connection, cmd *cobra.Command, state string) *cobra.Command {
	cmd.Args = cobra.MaximumNArgs(1)
	f := cmd.Flags()
	f.String("segment", "", "the segment to take from; none: one of the host, the network or the tenant, or a shared one")
	f.String("network", "", "the network that they are for")
	f.String("host", "", "take them from the segments of a host; only for administrators")
	f.String("tenant", "", "the tenant that gets them; only for administrators")
	f.String("device", "", "the instance that they are for")
	var count uint32
	f.Uint32Var(&count, "count", 0, "how many; in one transaction")
	var form, expires string
	f.StringVar(&form, "format", "addresses", "addresses, or ranges: first and last of those that follow each other")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"addresses", "ranges"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	if state == "reserved" {
		f.StringVar(&expires, "expires", "", "until when, or for how long: 2026-05-04 12:00, 90s, 7d")
	}
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		body := map[string]any{"state": state}
		many := c.flags.Changed("count")
		switch {
		case form != "addresses" && form != "ranges":
			return usage("--format: %q is neither addresses nor ranges", form)
		case form == "ranges" && !many:
			return usage("--format ranges goes with --count")
		case many && len(c.args) > 0:
			return usage("give an address or --count, not both")
		case many:
			body["count"] = count
			if form == "ranges" {
				body["format"] = form
			}
		case len(c.args) == 1:
			address, err := parseMAC(c.args[0])
			if err != nil {
				return err
			}
			body["address"] = address
		}
		if expires != "" {
			when, err := parseTime(expires, conn.env.Now(), 1)
			if err != nil {
				return usage("--expires: %v", err)
			}
			body["expires_at"] = when
		}
		for flag, attribute := range map[string]string{"tenant": "tenant_id", "device": "device_id", "host": "host"} {
			if c.flags.Changed(flag) {
				body[attribute] = c.flags.Lookup(flag).Value.String()
			}
		}
		if err := c.lookUp(func(attribute, id string) { body[attribute] = id },
			reference{"segment", "segment_id", segments}, reference{"network", "network_id", networks}); err != nil {
			return err
		}
		request := client.Request{Method: http.MethodPost, Path: []string{addresses.path}, Body: map[string]any{addresses.single: body}}
		switch {
		case !many:
			return c.show(c.api.Object(c.ctx, request, addresses.single))
		case form == "ranges":
			return c.list(attributes("first", "last", "count", "segment_id"), c.api.List(c.ctx, request, "mac_ranges"))
		}
		// A screen that fills with addresses needs no bar.
		var bar *progress
		if !isTerminal(c.stdout) {
			bar = newProgress(c.stderr, conn.env.Now, "allocating", int64(count))
		}
		return c.list(addressColumns, bar.count(c.api.List(c.ctx, request, addresses.plural)))
	})
}

func showMAC(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show MAC", Short: "Show who has an address, or had it", Args: cobra.ExactArgs(1),
		Example: "  macloom mac show 0200.0500.0001",
	}
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		address, err := parseMAC(c.args[0])
		if err != nil {
			return err
		}
		return c.show(addresses.show(c, address))
	})
}

func setMAC(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "set MAC", Short: "Change whose an address is, or how long it is held", Args: cobra.ExactArgs(1)}
	var device, expires string
	var activate bool
	f := cmd.Flags()
	f.StringVar(&device, "device", "", "the instance that it is for")
	f.StringVar(&expires, "expires", "", "until when it is held, or for how long; never: without end")
	f.BoolVar(&activate, "activate", false, "make a reserved address an active one")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		address, err := parseMAC(c.args[0])
		if err != nil {
			return err
		}
		body := map[string]any{}
		if c.flags.Changed("device") {
			body["device_id"] = device
		}
		if activate {
			body["state"] = "active"
		}
		switch {
		case expires == "never":
			body["expires_at"] = nil
		case c.flags.Changed("expires"):
			if body["expires_at"], err = parseTime(expires, conn.env.Now(), 1); err != nil {
				return usage("--expires: %v", err)
			}
		}
		if len(body) == 0 {
			return usage("say what to change")
		}
		return c.show(addresses.update(c, address, body))
	})
}

func releaseMACs(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "release MAC…", Short: "Release addresses; - reads them from standard input, one a line", Args: cobra.MinimumNArgs(1),
		Example: "  macloom mac release 02:00:05:00:00:01\n" +
			"  macloom mac list --device web-1 --columns address --no-headers | macloom mac release -",
	}
	return conn.run(cmd, nil, func(c *call) error {
		words := c.args
		if len(words) == 1 && words[0] == "-" {
			words = nil
			for lines := bufio.NewScanner(c.stdin); ; {
				if !lines.Scan() {
					if err := lines.Err(); err != nil {
						return err
					}
					break
				}
				if word := strings.TrimSpace(lines.Text()); word != "" {
					words = append(words, word)
				}
			}
		}
		// All are read before the first is released: a slip releases none.
		for i, word := range words {
			address, err := parseMAC(word)
			if err != nil {
				return err
			}
			words[i] = address
		}
		bar := newProgress(c.stderr, conn.env.Now, "releasing", int64(len(words)))
		defer bar.clear()
		for i, address := range words {
			if err := addresses.remove(c, address, nil); err != nil {
				return err
			}
			bar.set(int64(i+1), thousands(int64(i+1)))
		}
		return nil
	})
}

var conflictColumns = attributes("id", "address", "kind", "status", "policy", "tenant_id", "device_id", "port_id", "source", "external_id",
	"datapath", "switch_port", "times", "seen_at")

var conflictsOf = collection{path: "mac-conflicts", single: "mac_conflict", plural: "mac_conflicts", isID: isUUID}

func conflicts(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "conflicts", Short: "List addresses that two parties have; below it, show and resolve them", Args: cobra.NoArgs}
	fs := filters{}
	fs.text(cmd.Flags(), "tenant", "tenant_id", "only those of a tenant's addresses")
	fs.text(cmd.Flags(), "status", "status", "only open or resolved ones")
	cmd.Flags().String("segment", "", "only those of a segment's addresses")
	conn.run(cmd, newOutput(cmd), func(c *call) error {
		query := fs.query(c.flags)
		if err := c.lookUp(query.Set, reference{"segment", "segment_id", segments}); err != nil {
			return err
		}
		return c.list(conflictColumns, conflictsOf.list(c, query))
	})
	cmd.AddCommand(
		conflictsOf.showCommand(conn, &cobra.Command{Use: "show ID", Short: "Show a conflict with both parties"}, "id"),
		conflictsOf.removeCommand(conn, &cobra.Command{Use: "resolve ID…", Short: "Declare conflicts resolved"}, "id"))
	return cmd
}

// pageSize is how many events of a lineage are asked for at a time: as many as
// the API gives.
const pageSize = 1000

var lineageColumns = attributes("at", "event", "mac", "tenant_id", "device_id", "ips", "host", "switch", "switch_port", "interface", "port_id", "actor")

func lineage(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lineage [MAC]", Short: "Show what happened to an address, or who had one when", Args: cobra.MaximumNArgs(1),
		Example: "  macloom mac lineage 02:00:05:00:00:01\n  macloom mac lineage --ip 10.0.0.11 --at '2026-05-04 12:00'\n  macloom mac lineage --instance web-1 --since 7d",
	}
	fs := filters{}
	f := cmd.Flags()
	for flag, of := range map[string]string{
		"ip": "an IP address", "instance": "an instance", "tenant": "a tenant", "user": "what a user did", "switch": "a switch",
	} {
		fs[flag] = flag
		f.String(flag, "", "the events of "+of)
	}
	times := map[string]*string{
		"at":    f.String("at", "", "what was true at a time, or so long ago"),
		"since": f.String("since", "", "only events after a time, or since so long ago"),
		"until": f.String("until", "", "only events before a time, or until so long ago"),
	}
	var limit int
	f.IntVar(&limit, "limit", 0, "at most so many events; 0: all")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		query := fs.query(c.flags)
		if len(c.args) == 1 {
			address, err := parseMAC(c.args[0])
			if err != nil {
				return err
			}
			query.Set("mac", address)
		}
		if len(query) == 0 {
			return usage("give a MAC address or one of --ip, --instance, --tenant, --user, --switch")
		}
		if limit < 0 {
			return usage("--limit must not be negative")
		}
		for flag, text := range times {
			if *text == "" {
				continue
			}
			when, err := parseTime(*text, conn.env.Now(), -1)
			if err != nil {
				return usage("--%s: %v", flag, err)
			}
			query.Set(flag, when)
		}
		return c.list(lineageColumns, c.pages(collection{path: "mac-lineage", plural: "mac_lineage"}, query, limit))
	})
}

// pages is a list that the API gives a page at a time, up to a limit (0: none).
func (c *call) pages(of collection, query url.Values, limit int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for n := 0; limit == 0 || n < limit; {
			asked := pageSize
			if limit > 0 {
				asked = min(pageSize, limit-n)
			}
			page := maps.Clone(query)
			page.Set("limit", strconv.Itoa(asked))
			came, last := 0, ""
			for raw, err := range of.list(c, page) {
				var r record
				if err == nil {
					r, err = parseRecord(raw)
				}
				if !yield(raw, err) || err != nil {
					return
				}
				last = r.text("id")
				came++
			}
			// A server that ignores the marker would go on for ever.
			if came < asked || last == "" || last == query.Get("marker") {
				return
			}
			query = maps.Clone(query)
			query.Set("marker", last)
			n += came
		}
	}
}
