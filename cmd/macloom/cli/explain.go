package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
	"github.com/macloom/macloom/controller/mac"
)

func newExplain(env Environment) *cobra.Command {
	conn := newConnection(env)
	var from, to string
	query := url.Values{}
	cmd := &cobra.Command{
		Use: "explain", Short: "Say what becomes of a frame of a port, and by which rule", Args: cobra.NoArgs,
		Long: `Follow a frame of a port through the flows that the controller wants, table by
table and switch by switch, and say what each one comes from. It is an echo
request unless --proto says otherwise. No packet is sent.`,
		Example: "  macloom explain --from web-1 --to db-1 --proto tcp --dport 5432\n  macloom explain --from web-1 --to 10.0.0.9 -o json",
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "the sending port: its id, name or MAC address")
	f.StringVar(&to, "to", "", "where to: a port, an IP address or a MAC address")
	words := map[string]*string{}
	for _, w := range []struct{ flag, parameter, usage string }{
		{"proto", "protocol", "tcp, udp, sctp, icmp, icmpv6, …, or its number"},
		{"dport", "dst_port", "the port that is asked for, of tcp, udp and sctp"},
		{"sport", "src_port", "the port that it is asked from"},
		{"icmp-type", "icmp_type", "type of ICMP, in the place of an echo request"},
		{"icmp-code", "icmp_code", "code of ICMP"},
		{"ethertype", "ethertype", "IPv4, IPv6 or ARP"},
		{"src-ip", "src_ip", "as if the port spoke from this address"},
		{"dst-ip", "dst_ip", "the address in a frame to a MAC address"},
		{"src-mac", "src_mac", "as if the port spoke from this MAC address"},
		{"frame", "frame", "the very frame, in hexadecimal digits; --to is not needed then"},
	} {
		words[w.parameter] = f.String(w.flag, "", w.usage)
	}
	_ = cmd.RegisterFlagCompletionFunc("from", ports.complete(conn, "name")) // the flag is there
	return conn.attach(conn.run(cmd, newOutput(cmd), func(c *call) error {
		if from == "" || to == "" && *words["frame"] == "" {
			return usage("--from and --to are needed, or --from and --frame")
		}
		sender, err := ports.find(c, from)
		if err != nil {
			return err
		}
		query.Set("from", sender)
		if to != "" {
			target, err := explainTarget(c, to)
			if err != nil {
				return err
			}
			query.Set("to", target)
		}
		for parameter, word := range words {
			if *word != "" {
				query.Set(parameter, *word)
			}
		}
		raw, err := c.api.Object(c.ctx, client.Request{Method: http.MethodGet, Path: []string{"explain"}, Query: query}, "explanation")
		if err != nil {
			return err
		}
		if c.out.format != "table" || len(c.out.columns) > 0 {
			return c.out.show(c.stdout, raw)
		}
		return writeExplanation(c, raw)
	}))
}

// explainTarget leaves addresses as they are, and finds the port that any other word
// names.
func explainTarget(c *call, word string) (string, error) {
	if _, err := netip.ParseAddr(word); err == nil {
		return word, nil
	}
	if a, err := mac.Parse(word); err == nil {
		return a.String(), nil
	}
	return ports.find(c, word)
}

// explanation is an answer of /v2.0/explain, as far as it is shown in a table.
type explanation struct {
	explainedWay
	Frame    string
	Reply    *explainedWay
	Warnings []string
}

type explainedWay struct {
	Verdict, Summary string
	Hops             []struct {
		Switch      *string
		Host, Entry string
		Steps       []struct {
			Table      int
			Name, Does string
			Owner      json.RawMessage
			Drops      *string
		}
	}
}

func writeExplanation(c *call, raw json.RawMessage) error {
	var e explanation
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	say := func(lines ...string) error {
		for _, line := range lines {
			if _, err := fmt.Fprintln(c.stdout, visible(line)); err != nil {
				return err
			}
		}
		return nil
	}
	if e.Frame != "" {
		if err := say(e.Frame, ""); err != nil {
			return err
		}
	}
	for _, hop := range e.Hops {
		place := ""
		if hop.Switch != nil {
			place = " " + strings.TrimSpace(*hop.Switch+" "+hop.Host)
		}
		if err := say("switch" + place + ", entered " + hop.Entry); err != nil {
			return err
		}
		t := &table{w: c.stdout, noHeaders: c.out.noHeaders, header: []string{"table", "comes from", "does"}}
		for _, s := range hop.Steps {
			does := s.Does
			if s.Drops != nil {
				does = "DROP: " + *s.Drops
			}
			if err := t.row([]string{strconv.Itoa(s.Table) + " " + s.Name, ownerText(s.Owner), does}); err != nil {
				return err
			}
		}
		if err := t.end(); err != nil {
			return err
		}
		if err := say(""); err != nil {
			return err
		}
	}
	lines := []string{e.Summary}
	if e.Reply != nil {
		lines = append(lines, "the reply: "+e.Reply.Summary)
	}
	for _, w := range e.Warnings {
		lines = append(lines, "note: "+w)
	}
	return say(lines...)
}

// ownerText is what a flow comes from, in a line.
func ownerText(raw json.RawMessage) string {
	r, err := parseRecord(raw)
	if err != nil {
		return "" // null: nothing
	}
	words := []string{strings.ReplaceAll(r.text("kind"), "_", " "), r.text("name"), r.text("id")}
	if group := r.text("security_group_name"); group != "" {
		words = append(words, "of group", group+":", r.text("detail"))
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// comesFrom is the column of ownerText.
var comesFrom = column{name: "comes_from", of: func(r record) string { return ownerText(r.at("owner")) }}

// switchPart lists what is below a switch.
func switchPart(conn *connection, cmd *cobra.Command, part string, columns ...column) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = switches.complete(conn, "id")
	return conn.run(cmd, newOutput(cmd, comesFrom), func(c *call) error {
		id, err := switches.find(c, c.args[0])
		if err != nil {
			return err
		}
		return c.list(columns, c.api.List(c.ctx, client.Request{Method: http.MethodGet, Path: switches.at(id, part)}, part))
	})
}
