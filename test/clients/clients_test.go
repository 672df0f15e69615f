// Package clients drives macloom with clients of the OpenStack Networking API
// that others wrote.
package clients

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	adminToken  = "admin-of-the-test"
	memberToken = "member-of-the-test"
)

// controller is one with an admin and a member of the project "member".
func controller(t *testing.T) (*lab.Lab, *lab.Controller) {
	t.Helper()
	l := lab.New(t)
	tokens := filepath.Join(l.Dir(), "tokens.yaml")
	text := "tokens:\n  - {token: " + adminToken + ", user: admin, tenant_id: admin, roles: [admin]}\n  - {token: " + memberToken + ", user: member, tenant_id: member, roles: [member]}\n"
	if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return l, l.Controller(lab.ControllerOptions{OwnDatabase: true, Args: []string{"--tokens", tokens}})
}

func TestTheOpenStackClientWorks(t *testing.T) {
	t.Parallel()
	l, ctl := controller(t)
	script, err := filepath.Abs("drive.py")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := l.Command(ctx, "/usr/bin/python3", script, ctl.URL, adminToken, memberToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
