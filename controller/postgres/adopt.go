package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// pidFile is what a server says of itself in postmaster.pid.
type pidFile struct {
	pid     int
	sockets string
	status  string // starting, ready, stopping
}

func readPidFile(cluster string) (pidFile, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	// pid, data directory, start time, port, socket directory, listen address,
	// shared memory, status: written line by line as the server starts.
	lines := strings.Split(string(text), "\n")
	var f pidFile
	if f.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil {
		return pidFile{}, fmt.Errorf("postmaster.pid: %w", err)
	}
	if len(lines) > 4 {
		f.sockets = strings.TrimSpace(lines[4])
	}
	if len(lines) > 7 {
		f.status = strings.TrimSpace(lines[7])
	}
	return f, nil
}

// adopt goes on with a server that was left running. It says false when there
// is none, and has then cleared the way for a new one.
func (s *Server) adopt(ctx context.Context, cluster string) (bool, error) {
	f, err := readPidFile(cluster)
	if errors.Is(err, os.ErrNotExist) {
		return false, awaitGone(ctx, cluster)
	}
	if err == nil && worksIn(f.pid, cluster) {
		if f.sockets != "" {
			s.url = serverURL(f.sockets)
		}
		if s.process, err = os.FindProcess(f.pid); err != nil {
			return false, fmt.Errorf("adopting the running server: %w", err)
		}
		s.ended = watchProcess(f.pid, cluster)
		if err := s.awaitReady(ctx, cluster); err != nil {
			if ctx.Err() != nil {
				return false, fmt.Errorf("adopting the running server: %w", err)
			}
			return s.adopt(ctx, cluster) // it was about to end
		}
		s.log.Info("embedded PostgreSQL still runs and is adopted", zap.String("dir", filepath.Dir(cluster)), zap.Int("pid", f.pid))
		return true, nil
	}
	// The server is gone without having removed its file. If its number is free
	// PostgreSQL sees that by itself, but another program may have it now, or
	// the file may be empty after a crash of the machine.
	if err := awaitGone(ctx, cluster); err != nil {
		return false, err
	}
	if err != nil || syscall.Kill(f.pid, 0) == nil {
		s.log.Warn("removing the pid file of a PostgreSQL that no longer runs", zap.Int("pid", f.pid))
		if err := os.Remove(filepath.Join(cluster, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("removing the stale pid file: %w", err)
		}
	}
	return false, nil
}

// worksIn says whether a process is a server of the cluster: those have it as
// their working directory. The directories are compared, not their names: the
// process may live in another mount namespace, where paths read differently.
func worksIn(pid int, cluster string) bool {
	cwd, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return false
	}
	dir, err := os.Stat(cluster)
	return err == nil && os.SameFile(cwd, dir)
}

// awaitGone waits for the processes of a server that was killed: until they
// have noticed, a new server would refuse to start.
func awaitGone(ctx context.Context, cluster string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return fmt.Errorf("looking for processes of an earlier server: %w", err)
		}
		left := 0
		for _, entry := range entries {
			if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() && worksIn(pid, cluster) {
				left = pid
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d of an earlier server in %s does not end: %w", left, cluster, ctx.Err())
		case <-tick.C:
		}
	}
}

// watchProcess tells when a process that is not a child has ended.
func watchProcess(pid int, cluster string) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for worksIn(pid, cluster) {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return ended
}
