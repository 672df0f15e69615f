// Package postgres runs a private PostgreSQL server under a data directory,
// out of the server binaries that are installed on the machine.
//
// The server is reached over a Unix socket in a directory that only its account
// and root can enter, and by no other way. It outlives a controller that was
// killed: the next Start finds it and goes on with it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Names inside of the directory.
const (
	clusterName = "cluster"     // what initdb makes
	stagingName = "cluster.new" // while initdb makes it
	socketName  = "run"
	logName     = "server.log"
	lockName    = "lock"
)

const (
	superuser = "macloom" // of the database; the account of the system is another matter
	database  = "macloom"
	port      = 5432 // names the socket file; nothing listens on the network
)

// Options says where and how the server runs.
type Options struct {
	Dir string // made if missing
	Log *zap.Logger
	// User is the account that the server runs as if this process is root,
	// whom PostgreSQL refuses. Empty: the account that owns Dir, or else
	// postgres, or else nobody.
	User string
	// Volatile says that the data need not outlive a crash of the machine, as that
	// of tests need not.
	Volatile bool
}

// Server is a running PostgreSQL.
type Server struct {
	log     *zap.Logger
	lock    *os.File
	process *os.Process
	ended   <-chan struct{}
	url     string

	volatile bool
}

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.ended }

// Start starts the server of a directory, which it makes at the first time, and
// returns when the server takes connections. A server that still runs, because
// the process that started it was killed, is adopted.
func Start(ctx context.Context, o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("postgres: finding the data directory: %w", err)
	}
	s, err := start(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, dir string, o Options) (_ *Server, err error) {
	cluster := filepath.Join(dir, clusterName)
	bin, err := findBinaries(ctx, cluster)
	if err != nil {
		return nil, err
	}
	acc, err := prepareDir(dir, o.User, bin)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := initCluster(ctx, dir, bin, acc); err != nil {
		return nil, err
	}
	sockets, err := socketDir(dir, acc)
	if err != nil {
		return nil, err
	}
	s := &Server{log: o.Log, lock: lock, url: serverURL(sockets), volatile: o.Volatile}
	if found, err := s.adopt(ctx, cluster); err != nil || found {
		return s, err
	}
	return s, s.launch(ctx, dir, bin, acc, sockets)
}

func serverURL(sockets string) string {
	q := url.Values{"host": {sockets}, "port": {strconv.Itoa(port)}}
	return (&url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: q.Encode()}).String()
}

// URL is the address to give to store.Open.
func (s *Server) URL() string { return s.url }

// lockDir keeps two processes from running the server of one directory. The
// kernel releases the lock with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another running macloom", dir)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// initCluster makes the cluster if there is none. It is made beside its place
// and moved there when it is whole, so a kill in between leaves nothing half.
func initCluster(ctx context.Context, dir string, bin binaries, acc account) error {
	cluster, staging := filepath.Join(dir, clusterName), filepath.Join(dir, stagingName)
	if _, err := os.Stat(filepath.Join(cluster, "PG_VERSION")); err == nil {
		return nil
	}
	if err := awaitGone(ctx, staging); err != nil {
		return err
	}
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("clearing what an interrupted start left: %w", err)
	}
	initdb := acc.command(ctx, dir, bin.path("initdb"), "--pgdata="+staging, "--username="+superuser,
		"--encoding=UTF8", "--locale=C", "--auth=trust", "--data-checksums")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("making the cluster with initdb: %w: %s", err, lastLines(out))
	}
	// In single-user mode neither a socket nor a client program is needed.
	single := acc.command(ctx, dir, bin.path("postgres"), "--single", "-D", staging, "template1")
	single.Stdin = strings.NewReader("CREATE DATABASE " + database + "\n")
	if out, err := single.CombinedOutput(); err != nil {
		return fmt.Errorf("making the database: %w: %s", err, lastLines(out))
	}
	if err := os.Rename(staging, cluster); err != nil {
		return fmt.Errorf("moving the new cluster to its place: %w", err)
	}
	return syncDir(dir)
}

// syncDir makes a rename in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the data directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing the data directory: %w", err)
	}
	return nil
}

// launch starts a server process and waits until it takes connections.
func (s *Server) launch(ctx context.Context, dir string, bin binaries, acc account, sockets string) error {
	cluster, logPath := filepath.Join(dir, clusterName), filepath.Join(dir, logName)
	// The server says little (see log_min_messages); the log of the last run is
	// kept, older ones go.
	if err := os.Rename(logPath, logPath+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keeping the log of the last run: %w", err)
	}
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of the server: %w", err)
	}
	defer log.Close()
	durable := "on"
	if s.volatile {
		durable = "off"
	}
	args := []string{"-D", cluster}
	for _, setting := range []string{
		"listen_addresses=", "unix_socket_directories=" + quoteList(sockets), "unix_socket_permissions=0700", "port=" + strconv.Itoa(port),
		"fsync=" + durable, "synchronous_commit=" + durable, "full_page_writes=" + durable,
		"max_connections=200", "jit=off", "timezone=UTC", "log_timezone=UTC", "lc_messages=C",
		// What a statement of ours does wrong is told to us; the log is for the
		// server's own life, so that callers cannot fill the disk.
		"logging_collector=off", "log_destination=stderr", "log_min_messages=log", "log_min_error_statement=panic",
	} {
		args = append(args, "-c", setting)
	}
	// Not bound to ctx: it ends the start, not the server.
	cmd := acc.command(context.WithoutCancel(ctx), cluster, bin.path("postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.process, s.ended = cmd.Process, ended
	if err := s.awaitReady(ctx, cluster); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		tail, _ := os.ReadFile(logPath)
		return errors.Join(fmt.Errorf("starting the server: %w: %s (log: %s)", err, lastLines(tail), logPath), s.shutdown(stop))
	}
	s.log.Info("embedded PostgreSQL started", zap.String("dir", dir), zap.String("version", bin.version), zap.Int("pid", s.process.Pid))
	return nil
}

// quoteList quotes an element of a setting that is a list.
func quoteList(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// awaitReady waits until the server says in its pid file that it takes
// connections; after a crash it first recovers, which takes its time.
func (s *Server) awaitReady(ctx context.Context, cluster string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if f, err := readPidFile(cluster); err == nil && f.pid == s.process.Pid && f.status == "ready" {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("the server ended")
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop shuts the server down: clients are cut off, their transactions rolled
// back, everything is written. If ctx ends before that is done, the server is
// ended at once, which costs the next start a recovery but no data.
func (s *Server) Stop(ctx context.Context) error {
	defer s.lock.Close()
	if err := s.shutdown(ctx); err != nil {
		return fmt.Errorf("postgres: stopping the server: %w", err)
	}
	return nil
}

func (s *Server) shutdown(ctx context.Context) error {
	if err := s.process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	if err := s.process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return fmt.Errorf("it was ended without a checkpoint: %w", ctx.Err())
	case <-time.After(5 * time.Second):
		return fmt.Errorf("process %d does not end: %w", s.process.Pid, ctx.Err())
	}
}

// lastLines is the end of what a program said, for an error.
func lastLines(out []byte) string {
	text := strings.TrimSpace(string(out))
	if lines := strings.Split(text, "\n"); len(lines) > 5 {
		text = strings.Join(lines[len(lines)-5:], "\n")
	}
	return text
}

// command is a program that runs as the account, and in a process group of its
// own: Ctrl-C in the terminal is for the controller, which stops the server
// when it no longer needs it.
func (a account) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: a.credential}
	cmd.Env = a.environ()
	return cmd
}
