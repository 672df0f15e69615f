package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/northbound"
)

// newToken makes lines of the tokens file. It asks nobody: the file is on the
// controller, and the token itself need never be there.
func newToken() *cobra.Command {
	var (
		user, tenant, secretFile string
		roles                    []string
		stdin                    bool
	)
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token and its line of the tokens file",
		Long: `Make a token and print the line of the tokens file (serve --tokens) that admits
it. The line holds a hash: the token itself is written to standard error, this
once, or to the file named by --secret-file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token := northbound.NewToken()
			if stdin {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 64<<10))
				if err != nil {
					return err
				}
				token = strings.TrimSpace(string(text))
			}
			line, err := northbound.TokenLine(token, user, tenant, roles)
			if err != nil {
				return err
			}
			switch {
			case secretFile != "":
				err = writeSecret(secretFile, token)
			case !stdin:
				_, err = fmt.Fprintln(cmd.ErrOrStderr(), token)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), line)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&user, "user", "", "who the token is for, as logs and lineage name him")
	f.StringVar(&tenant, "tenant", "", "id of the tenant (project) that he acts for")
	f.StringSliceVar(&roles, "role", []string{"member"}, "admin, member or reader; may be repeated")
	f.StringVar(&secretFile, "secret-file", "", "new file for the token, readable by its owner only")
	f.BoolVar(&stdin, "stdin", false, "take the token from standard input instead of making one")
	cmd.MarkFlagsMutuallyExclusive("stdin", "secret-file")
	for _, name := range []string{"user", "tenant"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}

// writeSecret writes a file that was not there before.
func writeSecret(path, token string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
