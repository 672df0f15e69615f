package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who the server runs as.
type account struct {
	name       string
	uid, gid   int
	credential *syscall.Credential // nil: this process's own
}

// environ is what the server is to know of our environment: nothing that
// would change where it looks or what it says.
func (a account) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// serverAccount finds the account for a directory that may not exist yet.
func serverAccount(dir, name string) (account, error) {
	if os.Geteuid() != 0 {
		return account{name: strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return account{}, fmt.Errorf("finding the account to run the server as: %w", err)
		}
		return asAccount(u)
	}
	if info, err := os.Stat(dir); err == nil {
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
			u, err := user.LookupId(strconv.Itoa(int(owner)))
			if err != nil {
				return account{}, fmt.Errorf("%s belongs to uid %d, which is no account: %w", dir, owner, err)
			}
			return asAccount(u)
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return asAccount(u)
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is neither an account postgres nor nobody to run it as; name one")
}

func asAccount(u *user.User) (account, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return account{}, fmt.Errorf("reading the ids of account %s: %w", u.Username, err)
	}
	if uid == 0 {
		return account{}, fmt.Errorf("PostgreSQL refuses to run as %s, which is root", u.Username)
	}
	a := account{name: u.Username, uid: uid, gid: gid, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	groups, err := u.GroupIds()
	if err != nil {
		return account{}, fmt.Errorf("reading the groups of account %s: %w", u.Username, err)
	}
	for _, g := range groups {
		if id, err := strconv.Atoi(g); err == nil {
			a.credential.Groups = append(a.credential.Groups, uint32(id))
		}
	}
	return a, nil
}

// prepareDir makes the directory, gives it to the account that the server runs
// as, and makes sure that the account can reach it and the programs.
func prepareDir(dir, name string, bin binaries) (account, error) {
	acc, err := serverAccount(dir, name)
	if err != nil {
		return acc, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return acc, fmt.Errorf("making the data directory: %w", err)
	}
	if err := makePrivate(dir, acc); err != nil {
		return acc, err
	}
	if acc.credential == nil {
		return acc, nil
	}
	if err := acc.give(dir); err != nil {
		return acc, err
	}
	for _, needed := range []string{dir, bin.dir} {
		if err := acc.reach(needed); err != nil {
			return acc, err
		}
	}
	return acc, nil
}

// makePrivate makes a directory that only the account can enter, or makes sure
// that an existing one is such.
func makePrivate(dir string, acc account) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if acc.credential == nil {
			return nil
		}
		if err := os.Lchown(dir, acc.uid, acc.gid); err != nil {
			return fmt.Errorf("giving %s to account %s: %w", dir, acc.name, err)
		}
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making a directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case owner != acc.uid && owner != 0:
		return fmt.Errorf("%s belongs to uid %d, not to account %s (uid %d)", dir, owner, acc.name, acc.uid)
	case owner != acc.uid && acc.credential == nil:
		return fmt.Errorf("%s belongs to root, not to uid %d", dir, acc.uid)
	}
	if owner != acc.uid {
		if err := os.Lchown(dir, acc.uid, acc.gid); err != nil {
			return fmt.Errorf("giving %s to account %s: %w", dir, acc.name, err)
		}
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("closing %s to others: %w", dir, err)
		}
	}
	return nil
}

// give makes the account the owner of what is in a directory. What is the
// account's already is left as it is.
func (a account) give(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if int(info.Sys().(*syscall.Stat_t).Uid) == a.uid {
			if entry.IsDir() && path != dir {
				return fs.SkipDir
			}
			return nil
		}
		if err := os.Lchown(path, a.uid, a.gid); err != nil {
			return fmt.Errorf("giving %s to account %s: %w", path, a.name, err)
		}
		return nil
	})
}

// reach makes sure that the account can enter a directory, by entering it as
// the account, and names the first directory on the way that it cannot.
func (a account) reach(dir string) error {
	if a.enter(dir) == nil {
		return nil
	}
	var way []string
	for d := dir; ; d = filepath.Dir(d) {
		way = append(way, d)
		if d == filepath.Dir(d) {
			break
		}
	}
	for i := len(way) - 1; i >= 0; i-- {
		if err := a.enter(way[i]); err != nil {
			return fmt.Errorf("the server runs as account %s, which cannot enter %s (on the way to %s): "+
				"chmod o+x %s, or choose another data directory: %w", a.name, way[i], dir, way[i], err)
		}
	}
	return nil
}

// enter runs a program that does nothing in a directory.
func (a account) enter(dir string) error {
	return a.command(context.Background(), dir, "/bin/true").Run()
}

// maxSocketPath is what the address of a Unix socket can hold, its final NUL
// not counted.
const maxSocketPath = 107

// socketDir is where the socket lies: in the data directory, unless its path
// is too long for the address of a socket.
func socketDir(dir string, acc account) (string, error) {
	fits := func(d string) bool { return len(fmt.Sprintf("%s/.s.PGSQL.%d", d, port)) <= maxSocketPath }
	sockets := filepath.Join(dir, socketName)
	if !fits(sockets) {
		sum := sha256.Sum256([]byte(dir))
		name := "macloom-" + hex.EncodeToString(sum[:8])
		var bases []string
		if base := os.Getenv("XDG_RUNTIME_DIR"); base != "" && acc.credential == nil {
			bases = append(bases, base)
		}
		sockets = ""
		for _, base := range append(bases, os.TempDir(), "/tmp") {
			if fits(filepath.Join(base, name)) {
				sockets = filepath.Join(base, name)
				break
			}
		}
		if sockets == "" {
			return "", fmt.Errorf("the path of %s is too long for a Unix socket, and so are those of the temporary directories", dir)
		}
	}
	return sockets, makePrivate(sockets, acc)
}
