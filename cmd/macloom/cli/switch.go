package cli

import (
	"encoding/json"
	"net/url"
	"regexp"

	"github.com/spf13/cobra"
)

var datapathID = regexp.MustCompile(`^[0-9A-Fa-f]{16}$`)

var switches = collection{
	path: "switches", single: "switch", plural: "switches", isID: datapathID.MatchString,
	names: []func(string) url.Values{by("hostname"), by("system_id")},
}

var switchColumns = attributes("id", "hostname", "connected", "admitted", "address", "version", "error")

func newSwitch(env Environment) *cobra.Command {
	conn := newConnection(env)
	return conn.attach(group("switch", "See switches, and say which may connect",
		listSwitches(conn),
		switches.showCommand(conn, &cobra.Command{Use: "show SWITCH", Short: "Show a switch, named by datapath id, host name or system id"}, "id"),
		decideSwitch(conn, &cobra.Command{Use: "admit SWITCH…", Short: "Let switches connect"}, true),
		decideSwitch(conn, &cobra.Command{Use: "refuse SWITCH…", Short: "End the connections of switches and let them connect no more"}, false),
		addSwitch(conn),
		switchPart(conn, &cobra.Command{Use: "flows SWITCH", Short: "List what a switch is to hold, in the words of ovs-ofctl, and what it comes from"}, "flows",
			comesFrom, column{name: "text"}),
		switchPart(conn, &cobra.Command{Use: "diff SWITCH", Short: "List what would be changed in a switch now; nothing is"}, "diff",
			column{name: "change"}, comesFrom, column{name: "text"}),
		switches.removeCommand(conn, &cobra.Command{Use: "remove SWITCH…", Short: "Forget switches that are not connected"}, "id"),
	))
}

func listSwitches(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the switches that have connected, were turned away, or were added", Args: cobra.NoArgs,
		Example: "  macloom switch list --admitted=false",
	}
	fs := filters{}
	fs.truth(cmd.Flags(), "admitted", "admitted", "only those that may connect; =false: that may not")
	fs.truth(cmd.Flags(), "connected", "connected", "only those that are connected; =false: that are not")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		query := fs.query(c.flags)
		columns := switchColumns
		if query.Get("admitted") == "false" {
			columns = attributes("id", "hostname", "address", "turned_away_at", "turned_away_reason")
		}
		return c.list(columns, switches.list(c, query))
	})
}

func decideSwitch(conn *connection, cmd *cobra.Command, admitted bool) *cobra.Command {
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.ValidArgsFunction = switches.complete(conn, "id")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		return c.list(switchColumns, c.each(func(word string) (json.RawMessage, error) {
			id, err := switches.find(c, word)
			if err != nil {
				return nil, err
			}
			return switches.update(c, id, map[string]any{"admitted": admitted})
		}))
	})
}

func addSwitch(conn *connection) *cobra.Command {
	var systemID string
	var refused bool
	cmd := &cobra.Command{
		Use: "add [DATAPATH-ID]", Short: "List a switch before it connects, by its datapath id or the system id of its host", Args: cobra.MaximumNArgs(1),
		Example: "  macloom switch add 00000000000000b0\n  macloom switch add --system-id $(ovs-vsctl get open . external_ids:system-id)",
	}
	cmd.Flags().StringVar(&systemID, "system-id", "", "external_ids:system-id of its Open vSwitch")
	cmd.Flags().BoolVar(&refused, "refused", false, "do not let it connect")
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		if len(c.args) == 0 && systemID == "" {
			return usage("give the datapath id of the switch or --system-id")
		}
		body := map[string]any{"admitted": !refused}
		if len(c.args) == 1 {
			body["id"] = c.args[0]
		}
		if systemID != "" {
			body["system_id"] = systemID
		}
		return c.show(switches.create(c, body))
	})
}
