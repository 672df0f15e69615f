package cli

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// call is one run of a command.
type call struct {
	ctx   context.Context
	api   *client.Client
	out   *output
	args  []string
	flags *pflag.FlagSet

	stdin          io.Reader
	stdout, stderr io.Writer
}

// run makes f the work of cmd. out is nil for a command that writes nothing or
// in a form of its own.
func (c *connection) run(cmd *cobra.Command, out *output, f func(*call) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out != nil {
			if err := out.check(); err != nil {
				return err
			}
		}
		api, err := c.dial(cmd)
		if err != nil {
			return err
		}
		return f(&call{
			ctx: cmd.Context(), api: api, out: out, args: args, flags: cmd.Flags(),
			stdin: cmd.InOrStdin(), stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
		})
	}
	return cmd
}

// show writes an object that was asked for, unless asking failed.
func (c *call) show(raw json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return c.out.show(c.stdout, raw)
}

func (c *call) list(columns []column, entries iter.Seq2[json.RawMessage, error]) error {
	return c.out.list(c.stdout, columns, entries)
}

// each is the list of what f makes of the arguments, up to the first that
// fails.
func (c *call) each(f func(word string) (json.RawMessage, error)) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for _, word := range c.args {
			if made, err := f(word); !yield(made, err) || err != nil {
				return
			}
		}
	}
}

// showCommand makes cmd show the object that its argument names; name is the
// attribute that the shell completes.
func (c collection) showCommand(conn *connection, cmd *cobra.Command, name string, derived ...column) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = c.complete(conn, name)
	return conn.run(cmd, newOutput(cmd, derived...), func(q *call) error {
		id, err := c.find(q, q.args[0])
		if err != nil {
			return err
		}
		return q.show(c.show(q, id))
	})
}

// removeCommand makes cmd delete the objects that its arguments name.
func (c collection) removeCommand(conn *connection, cmd *cobra.Command, name string) *cobra.Command {
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.ValidArgsFunction = c.complete(conn, name)
	return conn.run(cmd, nil, func(q *call) error { return c.removeAll(q, nil) })
}

// removeAll deletes the objects that the arguments name, up to the first that
// cannot be.
func (c collection) removeAll(q *call, query url.Values) error {
	for _, word := range q.args {
		id, err := c.find(q, word)
		if err != nil {
			return err
		}
		if err := c.remove(q, id, query); err != nil {
			return err
		}
	}
	return nil
}
