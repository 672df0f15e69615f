package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/macloom/macloom/migrations"
)

// Keys of the advisory locks, so that they cannot meet those of others in the
// same database: the first half is "macl".
const (
	lockMigrations int64 = 0x6d61636c_00000001
	lockPublisher  int64 = 0x6d61636c_00000002
	lockSegments   int64 = 0x6d61636c_00000003
	lockLineage    int64 = 0x6d61636c_00000004
	lockAudit      int64 = 0x6d61636c_00000005
	lockVLANs      int64 = 0x6d61636c_00000006

	lockAttachments int32 = 0x6d61636c // of two parts, the second any number
)

// Migrate brings the schema to the newest version. All steps run in one
// transaction under an advisory lock, so a process killed in the midst leaves
// the schema as it was, and of several that start together one does the work.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx, (*migrate.Migrate).Up); err != nil {
		return err
	}
	s.feed.poke()
	return nil
}

// MigrateDown takes every step back, and with it all data.
func (s *Store) MigrateDown(ctx context.Context) error {
	return s.migrate(ctx, (*migrate.Migrate).Down)
}

// SchemaVersion is the number of the last step taken; 0: none.
func (s *Store) SchemaVersion(ctx context.Context) (uint, error) {
	var version *uint
	err := s.read(ctx, func(q querier) error {
		var table *string
		if err := q.QueryRow(ctx, `SELECT to_regclass('schema_migrations')::text`).Scan(&table); err != nil || table == nil {
			return err
		}
		return q.QueryRow(ctx, `SELECT max(version) FROM schema_migrations`).Scan(&version)
	})
	if err != nil || version == nil {
		return 0, err
	}
	return *version, nil
}

func (s *Store) migrate(ctx context.Context, run func(*migrate.Migrate) error) error {
	// Not out of the pool: cached statements of a connection that has changed
	// the schema would be stale.
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return fmt.Errorf("store: migrating the schema: %w", unavailable(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	files, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return fmt.Errorf("store: reading the migrations: %w", err)
	}
	m, err := migrate.NewWithInstance("embedded", files, "postgres", &migrationTx{ctx: ctx, conn: conn})
	if err != nil {
		return fmt.Errorf("store: migrating the schema: %w", err)
	}
	m.LockTimeout = 10 * time.Minute // ctx ends the wait earlier
	m.Log = migrationLog{s.log}
	err = run(m)
	var missing *os.PathError
	switch {
	case err == nil, errors.Is(err, migrate.ErrNoChange):
		return nil
	case errors.As(err, &missing):
		return fmt.Errorf("store: the schema of the database is newer than this program; start the version that made it: %w", err)
	}
	return fmt.Errorf("store: migrating the schema: %w", err)
}

type migrationLog struct{ log *zap.Logger }

func (l migrationLog) Printf(format string, v ...any) {
	l.log.Info("migration", zap.ByteString("step", bytes.TrimSpace(fmt.Appendf(nil, format, v...))))
}
func (migrationLog) Verbose() bool { return false }

// migrationTx is a driver of golang-migrate whose lock is a transaction: what
// runs between Lock and Unlock happens as a whole or not at all. The drivers
// that come with the library commit after every step, mark the schema dirty
// before and clean after it, and need a hand after a crash in between.
type migrationTx struct {
	ctx    context.Context // of the one call of Migrate that this value lives for
	conn   *pgx.Conn
	tx     pgx.Tx
	failed bool
}

var _ database.Driver = (*migrationTx)(nil)

// Open is for drivers found by URL; this one is handed over.
func (d *migrationTx) Open(string) (database.Driver, error) {
	return nil, errors.New("store: the migration driver is not opened by URL")
}

// Close leaves the connection to its owner.
func (d *migrationTx) Close() error { return nil }

// Lock begins the transaction and waits for its turn.
func (d *migrationTx) Lock() error {
	tx, err := d.conn.Begin(d.ctx)
	if err != nil {
		return err
	}
	d.tx = tx
	_, err = tx.Exec(d.ctx, `SELECT pg_advisory_xact_lock($1)`, lockMigrations)
	if err == nil {
		_, err = tx.Exec(d.ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
			version bigint  NOT NULL,
			dirty   boolean NOT NULL,
			CONSTRAINT schema_migrations_pkey PRIMARY KEY (version))`)
	}
	if err != nil {
		return errors.Join(err, d.rollback())
	}
	return nil
}

// Unlock commits, or rolls back what failed.
func (d *migrationTx) Unlock() error {
	if d.failed {
		return d.rollback()
	}
	return d.tx.Commit(d.ctx)
}

func (d *migrationTx) rollback() error {
	return d.tx.Rollback(context.WithoutCancel(d.ctx))
}

// Run runs one step.
func (d *migrationTx) Run(step io.Reader) error {
	sql, err := io.ReadAll(step)
	if err == nil {
		// The simple protocol takes many statements at once.
		_, err = d.tx.Conn().PgConn().Exec(d.ctx, string(sql)).ReadAll()
	}
	d.failed = d.failed || err != nil
	return err
}

// SetVersion notes the version of the schema.
func (d *migrationTx) SetVersion(version int, dirty bool) error {
	_, err := d.tx.Exec(d.ctx, `DELETE FROM schema_migrations`)
	if err == nil && version >= 0 {
		_, err = d.tx.Exec(d.ctx, `INSERT INTO schema_migrations (version, dirty) VALUES ($1, $2)`, version, dirty)
	}
	d.failed = d.failed || err != nil
	return err
}

// Version reads the version of the schema.
func (d *migrationTx) Version() (version int, dirty bool, err error) {
	err = d.tx.QueryRow(d.ctx, `SELECT version, dirty FROM schema_migrations`).Scan(&version, &dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		return database.NilVersion, false, nil
	}
	d.failed = d.failed || err != nil
	return version, dirty, err
}

// Drop is not for this program: going down step by step is.
func (d *migrationTx) Drop() error {
	return errors.New("store: dropping everything in a database is not supported")
}
