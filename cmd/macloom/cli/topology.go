package cli

import (
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

var links = collection{path: "links", single: "link", plural: "links"}

var hosts = collection{path: "hosts", single: "host", plural: "hosts"}

func newTopology(env Environment) *cobra.Command {
	conn := newConnection(env)
	cmd := &cobra.Command{
		Use: "topology", Short: "Show the links between switches, and the hosts at them", Args: cobra.NoArgs,
		Long: `Show the links between switches that were found at unmanaged ports: those of the
tree that frames for everybody take, spare ones, and those that were lost; or the
hosts behind the other unmanaged ports.`,
		Example: "  macloom topology\n  macloom topology --hosts\n  macloom topology --draw svg > fabric.svg",
	}
	var draw string
	cmd.Flags().StringVar(&draw, "draw", "", "dot or svg: write a picture of the fabric instead")
	var stations bool
	cmd.Flags().BoolVar(&stations, "hosts", false, "show the hosts instead of the links")
	cmd.MarkFlagsMutuallyExclusive("draw", "hosts")
	_ = cmd.RegisterFlagCompletionFunc("draw", cobra.FixedCompletions([]string{"dot", "svg"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return conn.attach(conn.run(cmd, newOutput(cmd), func(c *call) error {
		switch draw {
		case "":
			if stations {
				return c.list(attributes("mac_address", "ip_addresses", "switch", "interface", "port", "since", "last_seen", "moves"), hosts.list(c, nil))
			}
			return c.list(attributes("a_switch", "a_port", "a_interface", "b_switch", "b_port", "b_interface", "status", "in_tree", "since"), links.list(c, nil))
		case "dot", "svg":
		default:
			return usage("--draw: %q is neither dot nor svg", draw)
		}
		body, err := c.api.Open(c.ctx, client.Request{Method: http.MethodGet, Path: []string{"topology"}, Query: url.Values{"format": {draw}}, Accept: "*/*"})
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(c.stdout, body)
		return err
	}))
}
