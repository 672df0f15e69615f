// Package cli is the commands that ask a running controller over its REST API.
package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// Environment is what the commands know of where they run.
type Environment struct {
	Getenv  func(string) string
	DataDir string // where a controller of this machine keeps its admin token
	Version string
	Now     func() time.Time
}

// Commands returns the commands, to be put below the root.
func Commands(env Environment) []*cobra.Command {
	return append(networking(env), newSwitch(env), newSegment(env), newMAC(env), newInventory(env), newWatch(env), newExplain(env), newTopology(env), newMACMoves(env), newMACGuard(env), newBlock(env), newEvents(env))
}

// UsageError is a mistake in what was typed, found before anything was asked.
type UsageError struct{ message string }

func (e *UsageError) Error() string { return e.message }

func usage(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(below...)
	return cmd
}

// connection is how to reach the API: flags, else variables, else what is
// usual on the machine of the controller.
type connection struct {
	env Environment

	url, token, tokenFile, caCert string
	timeout                       time.Duration
}

const defaultURL = "http://127.0.0.1:9696"

func newConnection(env Environment) *connection { return &connection{env: env} }

// attach declares the flags on a command and on all that are below it.
func (c *connection) attach(cmd *cobra.Command) *cobra.Command {
	f := cmd.PersistentFlags()
	f.StringVar(&c.url, "url", defaultURL, "address of the REST API (MACLOOM_URL)")
	f.StringVar(&c.token, "token", "", "API token (MACLOOM_TOKEN, which other users of the machine do not see)")
	f.StringVar(&c.tokenFile, "token-file", "", "file with the API token (MACLOOM_TOKEN_FILE); default: admin-token in the data directory, for an API on this machine")
	f.StringVar(&c.caCert, "cacert", "", "PEM file of the authorities to trust with https (MACLOOM_CACERT)")
	f.DurationVar(&c.timeout, "timeout", 90*time.Second, "how long to wait while nothing moves")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	_ = cmd.MarkPersistentFlagFilename("cacert", "pem", "crt") // the flag is there
	return cmd
}

// setting is a flag, or if it is not given the variable of its name.
func (c *connection) setting(f *pflag.FlagSet, flag string) string {
	value := f.Lookup(flag).Value.String()
	if f.Changed(flag) {
		return value
	}
	if v := c.env.Getenv("MACLOOM_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))); v != "" {
		return v
	}
	return value
}

// dial returns a client for the command cmd.
func (c *connection) dial(cmd *cobra.Command) (*client.Client, error) {
	f := cmd.Flags()
	base := c.setting(f, "url")
	token, source, err := c.findToken(f, base)
	if err != nil {
		return nil, err
	}
	if c.timeout <= 0 {
		return nil, usage("--timeout must be more than nothing")
	}
	api, err := client.New(client.Options{
		URL: base, Token: token, TokenSource: source, CACert: c.setting(f, "cacert"), Timeout: c.timeout, UserAgent: "macloom/" + c.env.Version,
	})
	if err != nil {
		return nil, usage("%v", err)
	}
	return api, nil
}

func (c *connection) findToken(f *pflag.FlagSet, base string) (token, source string, err error) {
	if f.Changed("token") {
		return c.token, "given by --token", checkToken(c.token, "--token")
	}
	if v := c.env.Getenv("MACLOOM_TOKEN"); v != "" && !f.Changed("token-file") {
		return v, "of the variable MACLOOM_TOKEN", checkToken(v, "MACLOOM_TOKEN")
	}
	path := c.setting(f, "token-file")
	given := path != ""
	if !given {
		const ask = "give one by --token-file, MACLOOM_TOKEN or MACLOOM_TOKEN_FILE"
		// An administrator's token is for its own controller only: not for
		// whatever host a URL names.
		if !loopback(base) {
			return "", "", usage("no token for %s: %s", base, ask)
		}
		dir := c.env.DataDir
		if v := c.env.Getenv("MACLOOM_DATA_DIR"); v != "" {
			dir = v
		}
		path = filepath.Join(dir, "admin-token")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", "", usage("no token: there is no %s; %s", path, ask)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("token: %w", err)
	}
	token = strings.TrimSpace(string(text))
	return token, "of " + path, checkToken(token, path)
}

// checkToken refuses what a header cannot carry, without showing it.
func checkToken(token, source string) error {
	if token == "" {
		return usage("the token of %s is empty", source)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return usage("the token of %s has a character that is no printable ASCII", source)
	}
	return nil
}

func loopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}
