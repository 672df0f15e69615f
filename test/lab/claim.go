package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// namePrefix begins the name of every namespace that a lab makes.
const namePrefix = "mlab-"

// claims is where every lab of the machine keeps its directory and, beside it,
// a lock file. The kernel drops the lock with the process, so a lock that can
// be had belongs to a lab whose test was killed.
var claims = filepath.Join(os.TempDir(), "macloom-lab")

// A holding is a directory that belongs to a living test process.
type holding struct {
	dir  string
	lock *os.File
}

// claim makes the directory of id and holds its lock.
func claim(id string) (*holding, error) {
	if err := os.MkdirAll(claims, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of labs: %w", err)
	}
	// Whoever else could write here could make root remove or run what they like.
	var owner unix.Stat_t
	if err := unix.Lstat(claims, &owner); err != nil {
		return nil, fmt.Errorf("the directory of labs: %w", err)
	}
	if int(owner.Uid) != os.Geteuid() || owner.Mode&unix.S_IFMT != unix.S_IFDIR || owner.Mode&0o022 != 0 {
		return nil, fmt.Errorf("%s is not a directory that only this user may write to: remove it", claims)
	}
	dir := filepath.Join(claims, id)
	if len(dir) > 60 {
		return nil, fmt.Errorf("%s is too long for unix sockets below it: set TMPDIR to a shorter path", dir)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming a lab: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // a sweep may hold it for a moment
		return nil, errors.Join(fmt.Errorf("claiming a lab: %w", err), lock.Close())
	}
	// Other accounts must get in: PostgreSQL refuses to run as root.
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("claiming a lab: %w", err), lock.Close())
	}
	return &holding{dir: dir, lock: lock}, nil
}

// release removes the directory and gives the lock up.
func (h *holding) release() error {
	return errors.Join(os.RemoveAll(h.dir), os.Remove(h.dir+".lock"), h.lock.Close())
}

// sweep takes away what killed test processes left: namespaces with all that
// runs in them, and directories.
func sweep() error {
	locks, err := filepath.Glob(filepath.Join(claims, "*.lock"))
	if err != nil {
		return err
	}
	for _, path := range locks {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := sweepOne(path, lock); err != nil {
			return errors.Join(err, lock.Close())
		}
		if err := lock.Close(); err != nil {
			return err
		}
	}
	return nil
}

func sweepOne(path string, lock *os.File) error {
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its test is alive
	}
	// Between the open and the lock another sweep may have been here, and a
	// file that was just made is not locked yet: both are told by the directory.
	dir := strings.TrimSuffix(path, ".lock")
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	namespaces, err := filepath.Glob(netnsDir + namePrefix + filepath.Base(dir) + "-*")
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		if err := removeNamespace(filepath.Base(ns)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
