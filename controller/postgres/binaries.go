package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest PostgreSQL that will do.
const minMajor = 14

// binaries is an installation of PostgreSQL.
type binaries struct {
	dir     string
	version string // such as "15.18"
	major   int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries returns the installation to run a cluster with: the one of its
// major version, or the newest if the cluster is yet to be made.
func findBinaries(ctx context.Context, cluster string) (binaries, error) {
	found := installations(ctx)
	if len(found) == 0 {
		return binaries{}, fmt.Errorf("no PostgreSQL server of version %d or newer is installed on this machine: "+
			"apt-get install postgresql (or give a server with --database-url)", minMajor)
	}
	made, err := clusterMajor(cluster)
	if err != nil {
		return binaries{}, err
	}
	if made == 0 {
		return found[0], nil
	}
	for _, b := range found {
		if b.major == made {
			return b, nil
		}
	}
	return binaries{}, fmt.Errorf("%s was made by PostgreSQL %d, but the installed server is %s: "+
		"apt-get install postgresql-%d, or move the data with pg_upgrade", cluster, made, found[0].version, made)
}

// clusterMajor is the major version that a cluster was made by; 0: none yet.
func clusterMajor(cluster string) (int, error) {
	path := filepath.Join(cluster, "PG_VERSION")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the version of the cluster: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds no version: %w", path, err)
	}
	return major, nil
}

// usualPlaces is where packages put the server, which is rarely in the PATH.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",        // Debian
	"/usr/pgsql-*/bin",                 // PostgreSQL's own packages for Red Hat
	"/usr/libexec/postgresql*",         // Alpine
	"/usr/local/pgsql/bin", "/usr/bin", // from source; Red Hat's, Arch
}

// installations lists those that will do, the newest first.
func installations(ctx context.Context) []binaries {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range usualPlaces {
		matches, _ := filepath.Glob(pattern) // fails on a bad pattern only
		dirs = append(dirs, matches...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	var found []binaries
	for _, dir := range dirs {
		if slices.ContainsFunc(found, func(b binaries) bool { return b.dir == dir }) {
			continue
		}
		if b, ok := inspect(ctx, dir); ok {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return b.major - a.major })
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^ \n]*)`)

// inspect says what installation lies in a directory.
func inspect(ctx context.Context, dir string) (binaries, bool) {
	b := binaries{dir: dir}
	if _, err := exec.LookPath(b.path("initdb")); err != nil {
		return b, false
	}
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return b, false
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return b, false
	}
	b.version = string(m[1])
	b.major, _ = strconv.Atoi(string(m[2])) // digits only
	return b, b.major >= minMajor
}
