package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")
	comment    = regexp.MustCompile(`\s+#.*$`)
	called     = regexp.MustCompile(`macloom [a-z][^|)]*`)
)

// The examples name commands and flags that there are, and leave no command out.
func TestTheDocumentsOfTheCommandLineKnowTheCommands(t *testing.T) {
	t.Parallel()
	root := newRoot()
	root.InitDefaultCompletionCmd()
	shown := map[string]bool{}
	for _, name := range []string{"cli", "auth", "explain"} {
		text, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for _, line := range strings.Split(block[1], "\n") {
				for _, example := range called.FindAllString(comment.ReplaceAllString(line, ""), -1) {
					args := strings.Fields(example)[1:]
					cmd, rest, err := root.Find(args)
					if err != nil || !cmd.Runnable() {
						t.Errorf("%s: no such command: %v", example, err)
						continue
					}
					for _, word := range rest {
						name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
						if strings.HasPrefix(word, "--") && cmd.Flag(name) == nil {
							t.Errorf("%s: no flag --%s", example, name)
						}
					}
					shown[cmd.CommandPath()] = true
				}
			}
		}
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, below := range cmd.Commands() {
			walk(below)
		}
		if !cmd.HasSubCommands() && !shown[cmd.CommandPath()] {
			t.Errorf("docs/cli.md and docs/auth.md have no example of %s", cmd.CommandPath())
		}
	}
	for _, name := range []string{"switch", "segment", "mac", "inventory", "watch", "topology", "token", "serve", "health", "qos-policy"} {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		walk(cmd)
	}
}
