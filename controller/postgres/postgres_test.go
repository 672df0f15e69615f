package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/postgres"
	"github.com/macloom/macloom/controller/store"
)

// patience bounds what takes a second or two on an idle machine.
const patience = 2 * time.Minute

// This binary is also the process that is killed: with this variable set it
// starts the server of the directory that it names, says its URL and waits.
const envChild = "MACLOOM_TEST_POSTGRES_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func child(dir string) int {
	s, err := postgres.Start(context.Background(), postgres.Options{Dir: dir, Log: zap.NewNop()})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("url:", s.URL())
	line := make([]byte, 1)
	_, _ = os.Stdin.Read(line) // until the test says stop, or kills
	if err := s.Stop(context.Background()); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// tempDir is a place that an unprivileged account can reach as well.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "macloom-pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) (*postgres.Server, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Stop(ctx) // if the test did not
	})
	return s, logs
}

func stop(t *testing.T, s *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func pid(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cluster", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// open migrates and counts tenants after adding one: what earlier starts wrote
// must still be there.
func tenants(t *testing.T, url string) int {
	t.Helper()
	s, err := store.Open(t.Context(), url, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureDefaultGroup(t.Context(), fmt.Sprint(time.Now().UnixNano())); err != nil {
		t.Fatal(err)
	}
	list, err := s.Tenants(t.Context(), store.Scope{Admin: true}, store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func socketDir(t *testing.T, s *postgres.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("host")
}

func TestSecondStartFindsTheDataOfTheFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "not", "there", "yet")
	for want := 1; want <= 3; want++ {
		s, _ := start(t, dir)
		if got := tenants(t, s.URL()); got != want {
			t.Errorf("start %d finds %d tenants", want, got)
		}
		if want == 2 { // crash
			if err := syscall.Kill(pid(t, dir), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-s.Done()
		}
		stop(t, s)
		if conn, err := net.Dial("unix", filepath.Join(socketDir(t, s), ".s.PGSQL.5432")); err == nil {
			conn.Close()
			t.Error("the server still listens after Stop")
		}
	}
}

func TestServerIsPrivateAndDurable(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s, _ := start(t, dir)
	for _, d := range []string{dir, socketDir(t, s), filepath.Join(dir, "cluster")} {
		info, err := os.Stat(d)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", d, info.Mode())
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"listen_addresses=\x00", "fsync=on\x00", "synchronous_commit=on\x00"} {
		if !strings.Contains(string(text), setting) {
			t.Errorf("the server runs without %q", setting)
		}
	}
	group, err := syscall.Getpgid(pid(t, dir))
	if err != nil || group == syscall.Getpgrp() {
		t.Errorf("the server is in the process group of the controller (%v)", err)
	}
	stat, err := os.Stat(fmt.Sprintf("/proc/%d", pid(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	if stat.Sys().(*syscall.Stat_t).Uid == 0 {
		t.Error("the server runs as root")
	}
}

func TestSecondOwnerOfADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s, _ := start(t, dir)
	_, err := postgres.Start(t.Context(), postgres.Options{Dir: dir, Log: zap.NewNop()})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	stop(t, s)
	start(t, dir)
}

// startChild runs Start in a process of its own, as another account if asked.
func startChild(t *testing.T, dir string, credential *syscall.Credential) (cmd *exec.Cmd, url string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if credential != nil {
		// The binary lies where only root may look.
		text, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		self = filepath.Join(filepath.Dir(dir), "child")
		if err := os.WriteFile(self, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), envChild+"="+dir, "GOCOVERDIR="+os.TempDir())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(string(buf[:n])), "url: ")
	if !ok {
		t.Fatalf("the process that starts the server says %q", buf[:n])
	}
	return cmd, url
}

func TestServerOfAKilledProcessIsAdopted(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	cmd, url := startChild(t, dir, nil)
	if got := tenants(t, url); got != 1 {
		t.Errorf("%d tenants", got)
	}
	server := pid(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed

	s, logs := start(t, dir)
	if logs.FilterMessageSnippet("adopted").Len() != 1 || pid(t, dir) != server {
		t.Errorf("the running server %d was not adopted: now %d, log %v", server, pid(t, dir), logs.All())
	}
	if got := tenants(t, s.URL()); got != 2 {
		t.Errorf("%d tenants", got)
	}
	stop(t, s)
	// Its number may stay for a while, until whoever inherited it has looked.
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", server)); err == nil {
		t.Errorf("the adopted server goes on in %s", cwd)
	}
	if _, err := os.Stat(filepath.Join(dir, "cluster", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the adopted server did not shut down: %v", err)
	}
}

func TestStalePidFilesAreNoHindrance(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s, _ := start(t, dir)
	tenants(t, s.URL())
	file := filepath.Join(dir, "cluster", "postmaster.pid")
	left, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	_, rest, _ := strings.Cut(string(left), "\n")
	for name, content := range map[string]string{
		"of a process that is gone":      string(left),
		"of a process that is another":   fmt.Sprintf("%d\n%s", os.Getpid(), rest),
		"without content, after a crash": "",
		"without sense":                  "x\n",
		"of the first process of all":    "1\n" + rest,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Dir(file)); err == nil && os.Geteuid() == 0 {
			owner := info.Sys().(*syscall.Stat_t)
			if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.NewNop()})
		cancel()
		if err != nil {
			t.Errorf("pid file %s: %v", name, err)
			continue
		}
		stop(t, s)
	}
}

func TestInterruptedFirstStartIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	half := filepath.Join(dir, "cluster.new", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, dir)
	if got := tenants(t, s.URL()); got != 1 {
		t.Errorf("%d tenants", got)
	}
	if _, err := os.Stat(filepath.Dir(half)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
}

func TestLongPathHasItsSocketElsewhere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), strings.Repeat("long", 30))
	s, _ := start(t, dir)
	if got := socketDir(t, s); strings.HasPrefix(got, dir) || len(got) > 90 {
		t.Errorf("the socket lies in %s", got)
	} else {
		t.Cleanup(func() { _ = os.RemoveAll(got) })
	}
	if got := tenants(t, s.URL()); got != 1 {
		t.Errorf("%d tenants", got)
	}
}

func TestClusterOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "cluster"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Start(t.Context(), postgres.Options{Dir: dir, Log: zap.NewNop()})
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 9") || !strings.Contains(err.Error(), "apt-get install postgresql-9") {
		t.Errorf("got %v", err)
	}
}

func TestStartIsGivenUpWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := tempDir(t)
	if _, err := postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.NewNop()}); err == nil {
		t.Fatal("no error")
	}
	s, _ := start(t, dir) // and leaves nothing in the way
	stop(t, s)
}

// unprivileged is an account that is not root, for a test that is.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func TestOrdinaryUserRunsTheServerAsHimself(t *testing.T) {
	t.Parallel()
	parent := tempDir(t)
	dir := filepath.Join(parent, "data")
	var credential *syscall.Credential
	want := os.Geteuid()
	if want == 0 {
		credential = unprivileged(t)
		want = int(credential.Uid)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, want, int(credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	cmd, _ := startChild(t, dir, credential)
	stat, err := os.Stat(fmt.Sprintf("/proc/%d", pid(t, dir)))
	if err != nil {
		t.Fatal(err)
	}
	if got := int(stat.Sys().(*syscall.Stat_t).Uid); got != want {
		t.Errorf("the server runs as uid %d, want %d", got, want)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	// Whoever comes next, root too, goes on with it as the owner of the directory.
	s, logs := start(t, dir)
	if logs.FilterMessageSnippet("adopted").Len() != 1 {
		t.Errorf("not adopted: %v", logs.All())
	}
	stop(t, s)
}
