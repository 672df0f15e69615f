package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/macloom/macloom/controller/postgres"
	"github.com/macloom/macloom/controller/store"
)

// database is the store and, if it is on a private server, that server.
type database struct {
	*store.Store
	server *postgres.Server
}

// openDatabase opens the database that cfg names or, if it names none, a
// private server under the data directory.
func openDatabase(ctx context.Context, cfg *config, log *zap.Logger) (*database, error) {
	db, url := &database{}, cfg.DatabaseURL
	if url == "" {
		server, err := postgres.Start(ctx, postgres.Options{Dir: filepath.Join(cfg.DataDir, "postgres"), Log: log.Named("postgres")})
		if err != nil {
			return nil, err
		}
		db.server, url = server, server.URL()
	}
	opened, err := store.Open(ctx, url, log.Named("store"))
	if err != nil {
		return nil, errors.Join(err, db.stopServer())
	}
	db.Store = opened
	return db, nil
}

// lost waits for a private server to end by itself. A store that is elsewhere
// comes back; this one would not.
func (db *database) lost(ctx context.Context) error {
	if db.server == nil {
		return nil
	}
	select {
	case <-db.server.Done():
		return errors.New("the private PostgreSQL server has ended; start macloom again, and see server.log in the data directory for the reason")
	case <-ctx.Done():
		return nil
	}
}

func (db *database) close() error {
	db.Close()
	return db.stopServer()
}

func (db *database) stopServer() error {
	if db.server == nil {
		return nil
	}
	// The context of the command has ended by now.
	ctx, cancel := context.WithTimeout(context.Background(), databaseStopTime)
	defer cancel()
	return db.server.Stop(ctx)
}

// lockDataDir makes the data directory if need be and takes it for this
// process. The kernel frees the lock however the process ends.
func lockDataDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 32))
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another macloom (pid %s) is using the data directory %s; stop it, or give this one another --data-dir",
				strings.TrimSpace(string(holder)), dir)
		}
		return nil, fmt.Errorf("data directory: lock: %w", err)
	}
	if err := file.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(file, os.Getpid()) // only for the message above
	}
	return func() { file.Close() }, nil
}

func newMigrate() *cobra.Command {
	var cfg config
	cmd := &cobra.Command{
		Use:       "migrate [up|down|version]",
		Short:     "Bring the database schema up to date (serve does so by itself), take it down, or show its version",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"up", "down", "version"},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := cfg.load(cmd); err != nil {
				return err
			}
			log, err := cfg.logger()
			if err != nil {
				return err
			}
			if cfg.DatabaseURL == "" {
				unlock, err := lockDataDir(cfg.DataDir)
				if err != nil {
					return err
				}
				defer unlock()
			}
			db, err := openDatabase(cmd.Context(), &cfg, log)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.close()) }()
			switch {
			case len(args) == 0 || args[0] == "up":
				err = db.Migrate(cmd.Context())
			case args[0] == "down":
				err = db.MigrateDown(cmd.Context())
			}
			if err != nil {
				return err
			}
			v, err := db.SchemaVersion(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "schema version", v)
			return nil
		},
	}
	cfg.databaseFlags(cmd.Flags())
	return cmd
}
