package postgres

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

func TestDirectoryThatTheAccountCannotReachIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		// Without root there is no other account: what cannot be reached cannot be made.
		if _, err := prepareDir("/proc/none", "", binaries{}); err == nil {
			t.Error("no error")
		}
		return
	}
	base, err := os.MkdirTemp("", "macloom-pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	closed := filepath.Join(base, "closed")
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = prepareDir(filepath.Join(closed, "data"), "", binaries{dir: "/"})
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+closed+" ") || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("got %v", err)
	}
}

func TestRootNeverRunsTheServerItself(t *testing.T) {
	t.Parallel()
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asAccount(root); err == nil {
		t.Error("root was accepted")
	}
}

func TestDirectoryOfAnotherAccountIsRefused(t *testing.T) {
	t.Parallel()
	// Nobody owns the root directory but root.
	mine := account{name: "someone", uid: 4242}
	if err := makePrivate("/", mine); err == nil {
		t.Error("no error")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makePrivate(file, account{uid: os.Geteuid()}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("got %v", err)
	}
}

func TestNoInstallationTellsWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	places := usualPlaces
	usualPlaces = nil
	defer func() { usualPlaces = places }()
	_, err := findBinaries(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("got %v", err)
	}
}
