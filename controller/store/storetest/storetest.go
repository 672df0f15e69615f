// Package storetest gives tests a store on a real PostgreSQL: a server per test
// binary, a database per test.
package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/controller/postgres"
	"github.com/macloom/macloom/controller/store"
	"github.com/macloom/macloom/migrations"
)

// EnvURL names an environment variable with the URL of a server to use instead
// of starting one. Its user must be allowed to create databases.
const EnvURL = "MACLOOM_TEST_DATABASE_URL"

// startTimeout is long: the machine may be busy with all other tests.
const startTimeout = 2 * time.Minute

// New returns a store on a fresh, migrated database, which goes with the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, URL(t))
}

// Open returns a further store on the database of a test.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// URL returns the address of a fresh, migrated database, which goes with the
// test.
func URL(t testing.TB) string {
	t.Helper()
	p := prepare(t)
	return create(t, p.server, " TEMPLATE "+p.template)
}

// EmptyURL returns the address of a fresh database without a schema, which goes
// with the test.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, prepare(t).server, "")
}

func create(t testing.TB, server, template string) string {
	t.Helper()
	name := "test_" + random()
	if err := execute(server, "CREATE DATABASE "+name+template); err != nil {
		t.Fatalf("storetest: making a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("storetest: dropping the database: %v", err)
		}
	})
	return withDatabase(server, name)
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// prepare starts a server. That of benchmarks writes to the disk as a user's
// does; to tests, durability is a cost without a use.
func prepare(t testing.TB) preparation {
	t.Helper()
	once := volatileServer
	if _, measured := t.(*testing.B); measured {
		once = durableServer
	}
	p := once()
	if p.err != nil {
		t.Fatalf("storetest: %v", p.err)
	}
	return p
}

// preparation is the URL of a server and the name of a migrated database there.
type preparation struct {
	server, template string
	err              error
}

var (
	volatileServer = sync.OnceValue(func() preparation { return newPreparation(true) })
	durableServer  = sync.OnceValue(func() preparation { return newPreparation(false) })
)

func newPreparation(volatile bool) (p preparation) {
	if p.server = os.Getenv(EnvURL); p.server == "" {
		if p.server, p.err = startServer(volatile); p.err != nil {
			return p
		}
	}
	p.template, p.err = ensureTemplate(p.server)
	return p
}

// startServer starts a server in a temporary directory. Nobody tells a package
// when a test binary ends, so a small process waits for that (it reads a pipe
// whose other end dies with this process, however it dies), stops the server
// and removes the directory.
func startServer(volatile bool) (string, error) {
	within := "" // the place of all temporary files
	if volatile && isRoomy(memory) {
		within = memory
	}
	dir, err := os.MkdirTemp(within, "macloom-pg-")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := postgres.Start(ctx, postgres.Options{Dir: dir, Log: zap.NewNop(), Volatile: volatile})
	if err != nil {
		return "", err
	}
	guard := exec.Command("/bin/sh", "-c", `
		read -r line
		pid=$(head -n 1 "$1/cluster/postmaster.pid") && kill -INT "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
		rm -rf "$1"`, "sh", dir)
	if _, err := guard.StdinPipe(); err != nil {
		return "", err
	}
	if err := guard.Start(); err != nil {
		return "", err
	}
	keep = append(keep, server, guard)
	return server.URL(), nil
}

// memory is where Linux has a file system in memory. A database is some hundred files, and
// to make and remove these on a disk takes half of the time of the tests of the store.
const memory = "/dev/shm"

// isRoomy says whether a file system has room for the servers of all packages that are tested at once.
func isRoomy(dir string) bool {
	const room = 8 << 30
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC && fs.Bavail*uint64(fs.Bsize) >= room
}

// keep holds what must live as long as this process: a collected Server would
// drop its lock, a collected Cmd its pipe.
var keep []any

// ensureTemplate makes the database that those of the tests are copies of. Its
// name is that of the schema, so on a server that lives on it is made once.
func ensureTemplate(server string) (string, error) {
	sum := sha256.New()
	files, err := fs.Glob(migrations.Files, "*")
	if err != nil {
		return "", err
	}
	for _, name := range files {
		text, err := migrations.Files.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(name), len(text), text)
	}
	template := "macloom_template_" + hex.EncodeToString(sum.Sum(nil)[:8])

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	// Other test binaries may be at it too.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, template); err != nil {
		return "", err
	}
	var there bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, template).Scan(&there)
	if err != nil || there {
		return template, err
	}
	raw := "macloom_raw_" + random()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+raw); err != nil {
		return "", err
	}
	s, err := store.Open(ctx, withDatabase(server, raw), zap.NewNop())
	if err != nil {
		return "", err
	}
	err = s.Migrate(ctx)
	s.Close()
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+raw+" RENAME TO "+template)
	return template, err
}

func execute(server, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// Digest is a fingerprint of all that a database holds, by table: two of one
// content are equal.
func Digest(t testing.TB, url string) map[string]string {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	digest := map[string]string{}
	for _, table := range tables {
		var rows int
		var sum string
		err := conn.QueryRow(ctx, "SELECT count(*), md5(coalesce(string_agg(r::text, chr(10) ORDER BY r::text COLLATE \"C\"), '')) FROM "+table+" r").Scan(&rows, &sum)
		if err != nil {
			t.Fatal(err)
		}
		digest[table] = fmt.Sprintf("%d rows, %s", rows, sum)
	}
	return digest
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(fmt.Sprintf("storetest: %s is not a URL", EnvURL)) // the value may hold a password
	}
	u.Path = "/" + name
	return u.String()
}
