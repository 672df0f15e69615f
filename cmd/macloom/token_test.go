package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/macloom/macloom/northbound"
)

func runToken(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := newRoot()
	cmd.SetArgs(append([]string{"token"}, args...))
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestTokensAreMadeWithALineThatDoesNotTellThem(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "alice")
	file := "tokens:\n"
	line, shown, err := runToken(t, "", "--user", "bob", "--tenant", "t1", "--role", "reader,member")
	if err != nil {
		t.Fatal(err)
	}
	if secret := strings.TrimSpace(shown); len(secret) < 26 || strings.Contains(line, secret) || !strings.Contains(line, "roles: [reader, member]") {
		t.Errorf("token %q, line %s", secret, line)
	}
	file += line
	line, shown, err = runToken(t, "", "--user", "alice", "--tenant", "t1", "--secret-file", path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || shown != "" || info.Mode().Perm() != 0o600 {
		t.Errorf("shown %q; file %v, %v", shown, info, err)
	}
	if _, _, err := runToken(t, "", "--user", "alice", "--tenant", "t1", "--secret-file", path); err == nil {
		t.Error("a file that was there is written over")
	}
	file += line
	line, shown, err = runToken(t, "of-an-operator-1\n", "--user", "op", "--tenant", "t2", "--role", "admin", "--stdin")
	if err != nil || shown != "" || strings.Contains(line, "of-an-operator-1") {
		t.Errorf("shown %q, line %s, %v", shown, line, err)
	}
	file += line
	if _, err := northbound.LoadTokens(writeFile(t, file), zap.NewNop()); err != nil {
		t.Errorf("a file of these lines: %v\n%s", err, file)
	}
}

func TestATokenThatIsNoGoodIsRefused(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`"tenant" not set`: {"--user", "u"},
		`role "king"`:      {"--user", "u", "--tenant", "t", "--role", "king"},
		"16 characters":    {"--user", "u", "--tenant", "t", "--stdin"},
	} {
		if out, _, err := runToken(t, "secret", args...); err == nil || !strings.Contains(err.Error(), want) || out != "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %q, %v; want an error with %s", args, out, err, want)
		}
	}
}
