// Command macloom is a central SDN controller for cloud networks: it allocates
// MAC addresses in PostgreSQL, programs Open vSwitch, and serves the OpenStack
// Networking API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/cli"
)

// version is set by the linker for a release build.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if code := execute(ctx, newRoot(), os.Stderr); code != 0 {
		os.Exit(code)
	}
}

// execute runs a command and returns the exit code of the process: 1 if the
// command failed, 2 if it was not given as it should be.
func execute(ctx context.Context, root *cobra.Command, stderr io.Writer) int {
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "macloom:", err)
	if _, ok := errors.AsType[*failure](err); ok {
		return 1
	}
	fmt.Fprintf(stderr, "%s --help says how to call it\n", cmd.CommandPath())
	return 2
}

// failure is an error of a command that has begun its work. All others are of
// reading the command line.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

func markFailures(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		markFailures(below)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			if _, misused := errors.AsType[*cli.UsageError](err); err == nil || misused {
				return err
			}
			return &failure{err}
		}
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "macloom",
		Short:         "SDN controller for cloud networks: MAC segments, Open vSwitch, Networking API",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newServe(), newMigrate(), newHealth(), newToken(), newVersion())
	root.AddCommand(cli.Commands(cli.Environment{Getenv: os.Getenv, DataDir: defaultDataDir(), Version: versionText(), Now: time.Now})...)
	markFailures(root)
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "macloom", versionText())
		},
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
