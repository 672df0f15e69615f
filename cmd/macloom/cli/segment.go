package cli

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
	"github.com/macloom/macloom/controller/mac"
)

var segments = collection{
	path: "mac-segments", single: "mac_segment", plural: "mac_segments", isID: isUUID,
	names: []func(string) url.Values{byBlock, by("name")},
}

var networks = collection{
	path: "networks", single: "network", plural: "networks", isID: isUUID,
	names: []func(string) url.Values{by("name")},
}

// byBlock finds a segment by its block, 02:00:05:00:00:00/24.
func byBlock(word string) url.Values {
	block, err := mac.ParseSegment(word)
	if err != nil {
		return nil
	}
	return url.Values{"base_address": {block.Base().String()}, "prefix_length": {strconv.Itoa(block.Bits())}}
}

// block is base address and prefix length as one word.
var block = column{name: "block", of: func(r record) string {
	return r.text("base_address") + "/" + r.text("prefix_length")
}}

func segmentColumns() []column {
	return append(append(attributes("id", "name"), block), attributes("tenant_id", "network_id", "host",
		"utilisation.active", "utilisation.reserved", "utilisation.quarantined", "utilisation.free")...)
}

var (
	strategies = []string{"sequential", "scrambled", "instance-hash"}
	policies   = []string{"report", "refuse", "reassign"}
)

const segmentWord = "SEGMENT is an id, a name or a block such as 02:00:05:00:00:00/24."

func newSegment(env Environment) *cobra.Command {
	conn := newConnection(env)
	cmd := conn.attach(group("segment", "Divide MAC addresses into segments",
		listSegments(conn), createSegment(conn),
		segments.showCommand(conn, &cobra.Command{
			Use: "show SEGMENT", Short: "Show a segment with its utilisation", Example: "  macloom segment show blue\n  macloom segment show 02:00:05:00:00:00/24 -o json",
		}, "name", block),
		setSegment(conn), splitSegment(conn),
		segments.removeCommand(conn, &cobra.Command{Use: "delete SEGMENT…", Short: "Delete segments that hold nothing"}, "name"),
	))
	cmd.Long = cmd.Short + ". " + segmentWord
	return cmd
}

func listSegments(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List segments and how full they are", Args: cobra.NoArgs}
	fs := filters{}
	f := cmd.Flags()
	fs.text(f, "tenant", "tenant_id", "only those of a tenant; an empty value: of the operator")
	fs.text(f, "name", "name", "only those of that name")
	fs.text(f, "host", "host", "only those of a host")
	fs.truth(f, "shared", "shared", "only shared ones; =false: only others")
	var network, parent string
	f.StringVar(&network, "network", "", "only those of a network")
	f.StringVar(&parent, "parent", "", "only those right below a segment")
	return conn.run(cmd, newOutput(cmd, block), func(c *call) error {
		query := fs.query(c.flags)
		if err := c.lookUp(func(attribute, id string) { query.Set(attribute, id) },
			reference{"network", "network_id", networks}, reference{"parent", "parent_id", segments}); err != nil {
			return err
		}
		return c.list(segmentColumns(), segments.list(c, query))
	})
}

// reference is a flag that names an object of another collection.
type reference struct {
	flag, attribute string
	in              collection
}

// lookUp finds the objects that flags name and gives their ids to put.
func (c *call) lookUp(put func(attribute, id string), references ...reference) error {
	for _, ref := range references {
		if !c.flags.Changed(ref.flag) {
			continue
		}
		id, err := ref.in.find(c, c.flags.Lookup(ref.flag).Value.String())
		if err != nil {
			return err
		}
		put(ref.attribute, id)
	}
	return nil
}

// segmentQoS is the policy of packets from its addresses.
var segmentQoS = nameOption(onWrite, "qos-policy", "qos_policy_id", qosPolicies, "the QoS policy of what its addresses send").orNone()

// segmentFlags are the attributes of a segment that may be given and changed.
func segmentFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("name", "", "a name for people")
	f.String("description", "", "free text")
	f.String("strategy", "", "how addresses are chosen: "+strings.Join(strategies, ", "))
	f.String("quarantine", "", "how long a released address rests, such as 10m")
	f.String("conflict-delay", "", "how long the managed side keeps an address under reassign, such as 10m")
	f.Bool("shared", false, "whether it serves tenants without a segment of their own")
	f.String(segmentQoS.flag, "", segmentQoS.doc)
	f.String("conflict-policy", "", "what happens when somebody else has an address: "+strings.Join(policies, ", "))
	_ = cmd.RegisterFlagCompletionFunc("strategy", cobra.FixedCompletions(strategies, cobra.ShellCompDirectiveNoFileComp)) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("conflict-policy", cobra.FixedCompletions(policies, cobra.ShellCompDirectiveNoFileComp))
}

// segmentBody returns those of segmentFlags that were given.
func segmentBody(c *call) (map[string]any, error) {
	body, f := map[string]any{}, c.flags
	if given := typed(f, segmentQoS.flag); given != nil {
		policy, err := segmentQoS.value(c, given)
		if err != nil {
			return nil, err
		}
		body[segmentQoS.attribute] = policy
	}
	for _, flag := range []string{"name", "description", "strategy", "conflict-policy"} {
		if f.Changed(flag) {
			body[strings.ReplaceAll(flag, "-", "_")] = f.Lookup(flag).Value.String()
		}
	}
	if f.Changed("shared") {
		body["shared"] = f.Lookup("shared").Value.String() == "true"
	}
	for _, flag := range []string{"quarantine", "conflict-delay"} {
		if !f.Changed(flag) {
			continue
		}
		d, err := parseDuration(f.Lookup(flag).Value.String())
		if err != nil {
			return nil, usage("--%s: %v", flag, err)
		}
		body[strings.ReplaceAll(flag, "-", "_")+"_seconds"] = int64(d.Seconds())
	}
	return body, nil
}

func createSegment(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create [BLOCK]", Short: "Make a segment of a block, or of a size with the block chosen", Args: cobra.MaximumNArgs(1),
		Example: "  macloom segment create 02:00:00:00:00:00/8 --name root\n" +
			"  macloom segment create --size 1000 --tenant demo --name demo",
	}
	segmentFlags(cmd)
	f := cmd.Flags()
	var size uint64
	f.Uint64Var(&size, "size", 0, "how many addresses it must have at least; the smallest gap that fits is taken")
	f.String("tenant", "", "the tenant that it serves; none: a segment of the operator")
	f.String("network", "", "the only network that it serves")
	f.String("host", "", "the only host that it serves")
	f.String("parent", "", "the segment that it is taken from")
	return conn.run(cmd, newOutput(cmd, block), func(c *call) error {
		body, err := segmentBody(c)
		if err != nil {
			return err
		}
		switch {
		case len(c.args) == 1 && c.flags.Changed("size"):
			return usage("give a block or --size, not both")
		case len(c.args) == 1:
			block, err := mac.ParseSegment(c.args[0])
			if err != nil {
				return usage("%s", strings.TrimPrefix(err.Error(), "mac: "))
			}
			body["base_address"], body["prefix_length"] = block.Base().String(), block.Bits()
		case c.flags.Changed("size"):
			body["size"] = size
		default:
			return usage("give a block such as 02:00:05:00:00:00/24, or --size")
		}
		for flag, attribute := range map[string]string{"tenant": "tenant_id", "host": "host"} {
			if c.flags.Changed(flag) {
				body[attribute] = c.flags.Lookup(flag).Value.String()
			}
		}
		if err := c.lookUp(func(attribute, id string) { body[attribute] = id },
			reference{"network", "network_id", networks}, reference{"parent", "parent_id", segments}); err != nil {
			return err
		}
		return c.show(segments.create(c, body))
	})
}

func setSegment(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set SEGMENT", Short: "Change a segment; a shorter prefix doubles it, a longer one halves it", Args: cobra.ExactArgs(1),
		Example:           "  macloom segment set blue --quarantine 1h --strategy sequential",
		ValidArgsFunction: segments.complete(conn, "name"),
	}
	segmentFlags(cmd)
	cmd.Flags().String("prefix-length", "", "another size: grow into the free neighbour, or give up the empty half")
	return conn.run(cmd, newOutput(cmd, block), func(c *call) error {
		body, err := segmentBody(c)
		if err != nil {
			return err
		}
		if c.flags.Changed("prefix-length") {
			if body["prefix_length"], err = parsePrefix(c.flags.Lookup("prefix-length").Value.String()); err != nil {
				return err
			}
		}
		if len(body) == 0 {
			return usage("say what to change")
		}
		id, err := segments.find(c, c.args[0])
		if err != nil {
			return err
		}
		return c.show(segments.update(c, id, body))
	})
}

func splitSegment(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "split SEGMENT PREFIX-LENGTH", Short: "Divide a segment into smaller ones", Args: cobra.ExactArgs(2),
		Example:           "  macloom segment split 02:00:05:00:00:00/24 26",
		ValidArgsFunction: segments.complete(conn, "name"),
	}
	return conn.run(cmd, newOutput(cmd, block), func(c *call) error {
		bits, err := parsePrefix(c.args[1])
		if err != nil {
			return err
		}
		id, err := segments.find(c, c.args[0])
		if err != nil {
			return err
		}
		return c.list(segmentColumns(), c.api.List(c.ctx, client.Request{
			Method: http.MethodPut, Path: []string{segments.path, id, "split"}, Body: map[string]any{"prefix_length": bits},
		}, segments.plural))
	})
}

// parsePrefix reads 26 or /26.
func parsePrefix(text string) (int, error) {
	bits, err := strconv.Atoi(strings.TrimPrefix(text, "/"))
	if err != nil || bits < mac.MinPrefixLen || bits > mac.MaxPrefixLen {
		return 0, usage("%q is no prefix length from %d to %d", text, mac.MinPrefixLen, mac.MaxPrefixLen)
	}
	return bits, nil
}
