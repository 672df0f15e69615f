package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// MACImportLine is a machine of a foreign system.
type MACImportLine struct {
	Line        int64  // in the file, for messages
	ExternalID  string // what the foreign system calls it
	Addr        mac.Addr
	Description string
}

// MACImport is an import of a foreign system's addresses.
type MACImport struct {
	Source    string // name of the foreign system
	TenantID  string // who has the addresses here; default: the caller's
	CheckOnly bool   // record nothing

	// Progress, if not nil, is called now and then with how many lines were read.
	Progress func(lines int64)
	// Conflict, if not nil, is called for every line whose address somebody else
	// has, in the order of lines. An error of it ends the import.
	Conflict func(MACImportConflict) error
}

// MACImportConflict is a line that does not go with what is managed.
type MACImportConflict struct {
	MACImportLine
	Kind     string // "managed" (here is who has it), "twice" (another line has the address or the id too), or "invalid"
	TenantID string
	State    intent.MACState
	PortID   string
	DeviceID string
	Policy   intent.ConflictPolicy
	Recorded bool // the mapping of external id to address is kept
}

// MACImportResult is what came of an import.
type MACImportResult struct {
	ID        string // of the record of it
	Lines     int64
	Conflicts int64 // lines with an address that somebody else has, or another line
	Invalid   int64 // lines without a right address or external id
	Added     int64 // addresses that nobody else can get now
	Mapped    int64 // external ids
}

const progressEvery = 10_000

// ImportMACs checks foreign addresses against all that are managed, exactly,
// and unless it is to check only records them: an address that nobody has is
// the tenant's then, and the mapping from external id to address is kept. A
// line in conflict is mapped too, unless the segment's policy is to refuse it.
// The lines are read once and never held in memory. All or nothing is recorded.
func (s *Store) ImportMACs(ctx context.Context, sc Scope, in MACImport, lines iter.Seq2[MACImportLine, error]) (res MACImportResult, err error) {
	if in.TenantID == "" {
		in.TenantID = sc.TenantID
	}
	switch {
	case in.Source == "" || len(in.Source) > 255:
		return res, &Invalid{"source", "source must have 1 to 255 characters"}
	case in.TenantID == "":
		return res, &Invalid{"tenant_id", "tenant_id is required: the caller has no tenant of its own"}
	case !sc.Admin && in.TenantID != sc.TenantID:
		return res, &Invalid{"tenant_id", "tenant_id must be that of the caller"}
	}
	// Once: the lines cannot be read again.
	_, err = s.writeOnce(ctx, false, func(tx *writeTx) error {
		var b pgx.Batch
		// Values differ widely here, so plans are made for them.
		b.Queue(`SET LOCAL plan_cache_mode = 'force_custom_plan'`)
		b.Queue(`
			CREATE TEMPORARY TABLE mac_lines (line bigint NOT NULL, external_id text NOT NULL, address bigint NOT NULL, description text NOT NULL,
				kind text NOT NULL DEFAULT '', segment_id uuid) ON COMMIT DROP`)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		src := &importSource{progress: in.Progress}
		src.next, src.stop = iter.Pull2(lines)
		defer src.stop()
		if res.Lines, err = tx.conn.CopyFrom(ctx, pgx.Identifier{"mac_lines"}, []string{"line", "external_id", "address", "description", "kind"}, src); err != nil {
			return err
		}
		if in.Progress != nil {
			in.Progress(res.Lines)
		}
		// Lines may come slowly, and nobody is to wait for that: what others need
		// too is locked after the last.
		if err := ensureTenants(ctx, tx, []string{in.TenantID}); err != nil {
			return err
		}
		limits, last := map[string]int64{}, pgx.Batch{}
		queueLimits(&last, KindMACAddress, []string{in.TenantID}, limits)
		if err := tx.SendBatch(ctx, &last).Close(); err != nil {
			return err
		}
		if err := importLines(ctx, tx, in, limits, &res); err != nil {
			return err
		}
		return recordRun(ctx, tx, in, &res)
	})
	if err != nil {
		return MACImportResult{}, mapError(err)
	}
	return res, nil
}

// importSource feeds lines to COPY.
type importSource struct {
	next     func() (MACImportLine, error, bool)
	stop     func()
	progress func(int64)
	line     MACImportLine
	n        int64
	err      error
	row      [5]any
}

func (s *importSource) Next() bool {
	line, err, ok := s.next()
	if !ok || err != nil {
		s.err = err
		return false
	}
	s.line = line
	if s.n++; s.progress != nil && s.n%progressEvery == 0 {
		s.progress(s.n)
	}
	return true
}

func (s *importSource) Values() ([]any, error) {
	l, kind := &s.line, ""
	if l.Addr == 0 || l.Addr > mac.Max || l.Addr.IsGroup() || l.ExternalID == "" || len(l.ExternalID) > 255 || len(l.Description) > 255 {
		kind = "invalid"
	}
	s.row = [5]any{l.Line, l.ExternalID, int64(l.Addr), l.Description, kind}
	return s.row[:], nil
}

func (s *importSource) Err() error { return s.err }

// importLines does what is to be done with the lines in mac_lines.
func importLines(ctx context.Context, tx *writeTx, in MACImport, limits map[string]int64, res *MACImportResult) error {
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{`CREATE INDEX ON mac_lines (address)`, nil},
		{`ANALYZE mac_lines`, nil},
		{`SELECT pg_advisory_xact_lock_shared($1)`, []any{lockSegments}},
		// The first of several lines with one address or id stands.
		{`UPDATE mac_lines l SET kind = 'twice' FROM (
			SELECT ctid, row_number() OVER (PARTITION BY address ORDER BY line) AS nth_address, row_number() OVER (PARTITION BY external_id ORDER BY line) AS nth_id
			FROM mac_lines WHERE kind = '') AS d
		  WHERE l.ctid = d.ctid AND (nth_address > 1 OR nth_id > 1)`, nil},
		// What an earlier import of the same machine brought is no conflict.
		{`UPDATE mac_lines l SET kind = CASE
				WHEN m.origin = 'import' AND m.state = 'active' AND m.tenant_id = $2
					AND EXISTS (SELECT FROM mac_imports i WHERE i.source = $1 AND i.external_id = l.external_id AND i.address = l.address) THEN 'known'
				ELSE 'managed' END
		  FROM mac_addresses m WHERE m.address = l.address AND l.kind = '' AND m.state <> 'free'`, []any{in.Source, in.TenantID}},
	} {
		if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	if err := reportConflicts(ctx, tx, in, res); err != nil || in.CheckOnly {
		return err
	}
	var fresh int64
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM mac_lines WHERE kind = ''`).Scan(&fresh); err != nil {
		return err
	}
	if err := checkLimits(ctx, tx, KindMACAddress, limits, map[string]int64{in.TenantID: fresh}); err != nil {
		return err
	}
	return recordLines(ctx, tx, in, res)
}

// lineConflicts are the lines that are not as they should be, with who has
// their address.
const lineConflicts = `
	FROM mac_lines l LEFT JOIN mac_addresses m ON m.address = l.address AND l.kind = 'managed' LEFT JOIN mac_segments s ON s.id = m.segment_id
	WHERE l.kind IN ('managed', 'twice', 'invalid')`

func reportConflicts(ctx context.Context, tx *writeTx, in MACImport, res *MACImportResult) error {
	rows, err := tx.Query(ctx, `
		SELECT l.line, l.external_id, l.address, l.description, l.kind, coalesce(m.tenant_id, ''), coalesce(m.state, ''), coalesce(m.port_id::text, ''),
			coalesce(m.device_id, ''), coalesce(s.conflict_policy, 'report')`+lineConflicts+` ORDER BY l.line`)
	if err != nil {
		return err
	}
	var c MACImportConflict
	var address int64
	_, err = pgx.ForEachRow(rows, []any{&c.Line, &c.ExternalID, &address, &c.Description, &c.Kind, &c.TenantID, &c.State, &c.PortID, &c.DeviceID, &c.Policy}, func() error {
		if c.Kind == "invalid" {
			res.Invalid++
		} else {
			res.Conflicts++
		}
		c.Addr = mac.Addr(address)
		c.Recorded = !in.CheckOnly && c.Kind == "managed" && c.Policy != intent.ConflictRefuse
		if in.Conflict != nil {
			return in.Conflict(c)
		}
		return nil
	})
	return err
}

// recordLines writes addresses, mappings, conflicts and lineage.
func recordLines(ctx context.Context, tx *writeTx, in MACImport, res *MACImportResult) error {
	// A machine that has another address now gives up the one it had.
	if _, err := tx.Exec(ctx, releaseImported, Actor(ctx), requestID(ctx), in.Source); err != nil {
		return err
	}
	for _, step := range []struct {
		sql  string
		args []any
		n    *int64
	}{
		{`UPDATE mac_lines l SET segment_id = s.id FROM mac_segments s
		  WHERE l.address >= lower(s.block) AND l.address < upper(s.block) AND NOT EXISTS (SELECT FROM mac_segments c WHERE c.parent_id = s.id)`, nil, nil},
		{`WITH made AS (
			INSERT INTO mac_addresses AS m (address, segment_id, tenant_id, state, origin)
			SELECT address, segment_id, $1, 'active', 'import' FROM mac_lines WHERE kind = '' ORDER BY address
			ON CONFLICT ON CONSTRAINT mac_addresses_pkey DO UPDATE SET segment_id = excluded.segment_id, tenant_id = excluded.tenant_id,
				state = 'active', origin = 'import', free_at = NULL, created_at = now(), changed_at = now() WHERE m.state = 'free'
			RETURNING address, segment_id),
		  counted AS (
			INSERT INTO mac_usage_changes (segment_id, tenant_id, active, reserved, quarantined)
			SELECT coalesce(segment_id, '` + noSegment + `'), $1, count(*), 0, 0 FROM made GROUP BY 1),
		  told AS (
			INSERT INTO mac_events (address, kind, state, segment_id, tenant_id, actor, request_id, detail)
			SELECT address, 'import', 'active', segment_id, $1, $2, $3, $4 FROM made)
		  SELECT FROM made`, []any{in.TenantID, Actor(ctx), requestID(ctx), "from " + in.Source}, &res.Added},
		{`INSERT INTO mac_imports AS i (source, external_id, address, tenant_id, description)
		  SELECT $1, l.external_id, l.address, $2, l.description FROM mac_lines l
		  LEFT JOIN mac_addresses m ON m.address = l.address AND l.kind = 'managed' LEFT JOIN mac_segments s ON s.id = m.segment_id
		  WHERE l.kind IN ('', 'known') OR l.kind = 'managed' AND coalesce(s.conflict_policy, 'report') <> 'refuse'
		  ON CONFLICT ON CONSTRAINT mac_imports_pkey DO UPDATE SET address = excluded.address, tenant_id = excluded.tenant_id,
			description = excluded.description, imported_at = now()`, []any{in.Source, in.TenantID}, &res.Mapped},
		{`WITH noted AS (
			INSERT INTO mac_conflicts AS c (id, address, kind, policy, tenant_id, segment_id, port_id, device_id, state, source, external_id, due_at)
			SELECT gen_random_uuid(), m.address, 'import', coalesce(s.conflict_policy, 'report'), m.tenant_id, m.segment_id, m.port_id, m.device_id, m.state, $1, l.external_id,
				CASE WHEN s.conflict_policy = 'reassign' AND m.port_id IS NOT NULL THEN now() + make_interval(secs => s.conflict_delay_seconds) END` +
			lineConflicts + ` AND l.kind = 'managed'
			ON CONFLICT (address, kind, source, external_id, datapath, switch_port, interface) WHERE status = 'open'
			DO UPDATE SET times = c.times + 1, seen_at = now()
			RETURNING *),
		  told AS (
			INSERT INTO mac_events (address, kind, state, segment_id, tenant_id, port_id, device_id, actor, request_id, detail)
			SELECT address, 'conflict', state, segment_id, tenant_id, port_id, device_id, $2, $3, 'imported from ' || source FROM noted WHERE times = 1)
		  INSERT INTO outbox (kind, object_id, tenant_id, op, fact, event, about)
		  SELECT '` + string(KindEvent) + `', '', tenant_id, '` + string(OpCreate) + `', true, '` + string(intent.EventMACConflict) + `',
			json_build_object('mac_address', address, 'port_id', coalesce(port_id::text, ''),
				'details', json_build_object('conflict_id', id, 'conflict', kind, 'policy', policy, 'source', source, 'external_id', external_id))
		  FROM noted WHERE times = 1 ORDER BY address`,
			[]any{in.Source, Actor(ctx), requestID(ctx)}, nil},
	} {
		tag, err := tx.Exec(ctx, step.sql, step.args...)
		if err != nil {
			return fmt.Errorf("recording an import: %w", err)
		}
		if step.n != nil {
			*step.n = tag.RowsAffected()
		}
	}
	tx.told = true // there may be events
	return nil
}

// releaseImported releases what machines of the source $3 in mac_lines had
// before.
var releaseImported = passage{
	where: `m.origin = 'import' AND m.state = 'active' AND m.address IN (
		SELECT i.address FROM mac_imports i JOIN mac_lines l ON l.external_id = i.external_id
		WHERE i.source = $3 AND l.address <> i.address AND l.kind <> 'invalid') ORDER BY m.address FOR UPDATE`,
	set: quarantine, kind: intent.MACReleased,
}.sql()

// ExportMACs calls yield with every machine of a foreign system as it was
// imported or, with an empty source, with every address here that somebody has:
// the external id is that of the instance, or else of the port. An error of
// yield ends it.
func (s *Store) ExportMACs(ctx context.Context, sc Scope, source string, yield func(MACImportLine) error) error {
	sql, a := `SELECT external_id, address, description FROM mac_imports WHERE source = $3 AND (tenant_id = $1 OR $2) ORDER BY external_id`,
		[]any{sc.TenantID, sc.Admin, source}
	if source == "" {
		sql = `SELECT coalesce(nullif(m.device_id, ''), m.port_id::text, ''), m.address, coalesce(p.name, '') FROM mac_addresses m LEFT JOIN ports p ON p.id = m.port_id
			WHERE m.state = 'active' AND m.origin <> 'import' AND (m.tenant_id = $1 OR $2) ORDER BY m.address`
		a = a[:2]
	}
	// Not by read, which would begin again what was yielded in part.
	rows, err := s.pool.Query(ctx, sql, a...)
	if err != nil {
		return mapError(err)
	}
	var l MACImportLine
	var address int64
	_, err = pgx.ForEachRow(rows, []any{&l.ExternalID, &address, &l.Description}, func() error {
		l.Line++
		l.Addr = mac.Addr(address)
		return yield(l)
	})
	return mapError(err)
}
