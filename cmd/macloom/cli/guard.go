package cli

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

var (
	blocks    = collection{path: "blocks", single: "block", plural: "blocks", isID: isUUID}
	macMoves  = collection{path: "mac-moves", single: "mac_move", plural: "mac_moves", isID: isUUID}
	macGuards = collection{path: "mac-guards", single: "mac_guard", plural: "mac_guards", isID: isUUID}
)

// ofOthers is the word for the addresses that are of no network with settings of its own.
const ofOthers = "default"

func newBlock(env Environment) *cobra.Command {
	conn := newConnection(env)
	r := resource{
		collection: blocks, columns: []string{"id", "mac_address", "switch", "port", "cause", "reason", "expires_at"},
		options: []option{
			textOption(onCreate|onList, "mac", "mac_address", "the address whose frames are dropped"),
			nameOption(onCreate|onList, "switch", "switch", switches, "the switch where; with --port"),
			numberOption(onCreate, "port", "port", "the OpenFlow number of the port there"),
			textOption(onCreate, "reason", "reason", "why, in words"),
			choiceOption(onList, "cause", "cause", "only those made so", "hand", "moves", "conflict"),
			{flag: "expires", attribute: "expires_at", doc: "until when, or for how long: 2026-05-04 12:00, 90s, 7d", on: onCreate, read: func(_ *call, text string) (any, error) {
				at, err := parseTime(text, env.Now(), 1)
				if err != nil {
					return nil, usage("--expires: %v", err)
				}
				return at, nil
			}},
		},
	}
	list, add, lift := r.listCommand(conn, "block"), r.createCommand(conn, "block"), r.deleteCommand(conn, "block", "BLOCK")
	list.Short = "List what switches drop where it comes in"
	add.Use, add.Short = "add", "Have switches drop frames from a MAC address, all at a port, or those from the address at the port"
	add.Example = "  macloom block add --mac 02:00:00:00:00:0a --expires 1h\n  macloom block add --switch 00000000000000a1 --port 7 --reason loop"
	lift.Use, lift.Short = "lift BLOCK…", "Lift a block, or several"
	return conn.attach(group("block", "Keep stations and ports out of the fabric", list, add, lift))
}

func newMACMoves(env Environment) *cobra.Command {
	conn := newConnection(env)
	cmd := resource{
		collection: macMoves,
		columns:    []string{"mac_address", "from_switch", "from_port", "to_switch", "to_port", "verdict", "times", "first_at", "last_at"},
		options: []option{
			textOption(onList, "mac", "mac_address", "only those of an address"),
			choiceOption(onList, "verdict", "verdict", "only those that the guard judged so", "move", "moves", "conflict"),
		},
	}.listCommand(conn, "move")
	cmd.Use, cmd.Short = "mac-moves", "List the MAC addresses that have moved between ports of the fabric"
	return conn.attach(cmd)
}

func newMACGuard(env Environment) *cobra.Command {
	conn := newConnection(env)
	r := resource{
		collection: macGuards, columns: []string{"network_id", "action", "moves", "window_seconds", "recovery_seconds", "exempt_macs", "trusted_ports", "description"},
		options: []option{
			describedAs,
			choiceOption(onSet|onList, "action", "action", "what is done", "report", "block-mac", "block-port", "none"),
			numberOption(onSet, "moves", "moves", "so many moves are too many").orNone(),
			numberOption(onSet, "window", "window_seconds", "in so many seconds").orNone(),
			numberOption(onSet, "recovery", "recovery_seconds", "for how many seconds a block lasts").orNone(),
			textOption(onSet, "exempt", "exempt_macs", "a MAC address or prefix that may move as it likes").repeated(),
			option{flag: "trusted", attribute: "trusted_ports", doc: "a port whose stations belong there, DATAPATH:PORT", on: onSet, read: readPlace}.repeated(),
		},
	}
	// The settings are named by their network.
	found := func(c *call) (id, network string, err error) {
		query := url.Values{"network_id": {""}, "fields": {"id"}}
		if c.args[0] != ofOthers {
			if network, err = networks.find(c, c.args[0]); err != nil {
				return "", "", err
			}
			query.Set("network_id", network)
		}
		for raw, err := range r.list(c, query) {
			if err != nil {
				return "", "", err
			}
			g, err := parseRecord(raw)
			return g.text("id"), network, err
		}
		return "", network, nil
	}
	set := &cobra.Command{Use: "set NETWORK|" + ofOthers, Short: "Say what is done about the addresses of a network, or about all others", Args: cobra.ExactArgs(1), ValidArgsFunction: networks.complete(conn, "name")}
	set.Example = "  macloom mac-guard set front --action block-mac --moves 3\n  macloom mac-guard set default --action report --trusted 00000000000000a1:7"
	r.declare(set, onSet)
	conn.run(set, newOutput(set), func(c *call) error {
		body, err := r.body(c, onSet)
		if err != nil {
			return err
		}
		id, network, err := found(c)
		switch {
		case err != nil:
			return err
		case id != "":
			return c.show(r.update(c, id, body))
		case network != "":
			body["network_id"] = network
		}
		return c.show(r.create(c, body))
	})
	unset := &cobra.Command{Use: "unset NETWORK|" + ofOthers, Short: "Have a network be as all others again, or these as the controller was started", Args: cobra.ExactArgs(1), ValidArgsFunction: networks.complete(conn, "name")}
	conn.run(unset, nil, func(c *call) error {
		id, _, err := found(c)
		if err != nil || id == "" {
			return err
		}
		return r.remove(c, id, nil)
	})
	list := r.listCommand(conn, "setting")
	list.Short = "List what is set"
	return conn.attach(group("mac-guard", "Say what is done about MAC addresses that move", list, set, unset))
}

func readPlace(_ *call, text string) (any, error) {
	dpid, no, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(no, 10, 32)
	if !ok || err != nil {
		return nil, usage("--trusted: %q is not a port such as 00000000000000a1:7", text)
	}
	return map[string]any{"switch": dpid, "port": n}, nil
}
