package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
)

// recordRun keeps what came of an import.
func recordRun(ctx context.Context, tx *writeTx, in MACImport, res *MACImportResult) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("store: making an id: %w", err)
	}
	res.ID = id.String()
	_, err = tx.Exec(ctx, `
		INSERT INTO mac_import_runs (id, source, tenant_id, dry_run, lines, imported, mapped, conflicts, invalid, actor, request_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		res.ID, in.Source, in.TenantID, in.CheckOnly, res.Lines, res.Added, res.Mapped, res.Conflicts, res.Invalid, Actor(ctx), requestID(ctx))
	return err
}

var macImports = entity[intent.MACImport]{
	kind:  KindMACImport,
	table: "mac_import_runs",
	columns: `mac_import_runs.id, mac_import_runs.source, mac_import_runs.tenant_id, mac_import_runs.dry_run, mac_import_runs.lines, mac_import_runs.imported,
		mac_import_runs.mapped, mac_import_runs.conflicts, mac_import_runs.invalid, mac_import_runs.actor, mac_import_runs.created_at`,
	from:    "mac_import_runs",
	visible: "mac_import_runs.tenant_id = $tenant",
	order:   "mac_import_runs.created_at, mac_import_runs.id",
	filters: map[string]filter{
		"id":         byUUID("mac_import_runs.id"),
		"source":     byText("mac_import_runs.source"),
		"tenant_id":  byText("mac_import_runs.tenant_id"),
		"project_id": byText("mac_import_runs.tenant_id"),
		"dry_run":    byBool("mac_import_runs.dry_run"),
		"actor":      byText("mac_import_runs.actor"),
	},
	sorts: map[string]string{
		"id":         "mac_import_runs.id",
		"source":     byBytes("mac_import_runs.source"),
		"tenant_id":  byBytes("mac_import_runs.tenant_id"),
		"project_id": byBytes("mac_import_runs.tenant_id"),
		"dry_run":    "mac_import_runs.dry_run",
		"actor":      byBytes("mac_import_runs.actor"),
		"lines":      "mac_import_runs.lines",
		"created_at": "mac_import_runs.created_at",
	},
	scan: func(row pgx.CollectableRow) (m intent.MACImport, err error) {
		err = row.Scan(&m.ID, &m.Source, &m.TenantID, &m.DryRun, &m.Lines, &m.Imported, &m.Mapped, &m.Conflicts, &m.Invalid, &m.Actor, &m.CreatedAt)
		return m, err
	},
}

// MACImports lists what came of imports, the earliest first; a tenant sees
// those that gave it addresses.
func (s *Store) MACImports(ctx context.Context, sc Scope, q Query) (list []intent.MACImport, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		list, err = macImports.list(ctx, db, sc, q)
		return err
	})
	return list, err
}

// MACImport returns what came of one import.
func (s *Store) MACImport(ctx context.Context, sc Scope, id string) (m intent.MACImport, err error) {
	err = s.read(ctx, func(db querier) (err error) {
		m, err = macImports.get(ctx, db, sc, id)
		return err
	})
	return m, err
}

// ForgetMACs forgets, with a retention, what is no more than history for longer:
// records of imports, resolved conflicts, and external ids that no import has
// brought again and whose address is not held for them any more.
func (s *Store) ForgetMACs(ctx context.Context, now time.Time, retention time.Duration) error {
	if retention <= 0 {
		return nil
	}
	for _, old := range []struct{ table, where string }{
		{"mac_import_runs", `created_at < $1`},
		{"mac_conflicts", `status = 'resolved' AND resolved_at < $1`},
		{"mac_imports", `imported_at < $1 AND NOT EXISTS (SELECT FROM mac_addresses m
			WHERE m.address = mac_imports.address AND m.origin = 'import' AND m.state IN ('active', 'reserved') AND m.tenant_id = mac_imports.tenant_id)`},
	} {
		for n := int64(upkeepBatch); n == upkeepBatch; {
			err := s.write(ctx, func(tx *writeTx) error {
				tag, err := tx.Exec(ctx, `
					DELETE FROM `+old.table+` WHERE ctid = ANY(ARRAY(
						SELECT ctid FROM `+old.table+` WHERE `+old.where+` LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-retention), upkeepBatch)
				n = tag.RowsAffected()
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
