package northbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/store"
)

const (
	shownConflicts    = 1000 // in an answer that is one object
	importContentCSV  = "text/csv"
	importContentJSON = "application/x-ndjson"
)

// importPath is where imports are posted, below the version.
const importPath = "/mac-imports"

func macImports(st *store.Store) *collection[intent.MACImport] {
	type run = intent.MACImport
	found := access{filter: true, sort: true}
	count := number[int64](0, 1<<62)
	return &collection[run]{
		single: "mac_import", plural: "mac_imports", path: "mac-imports", readBy: admins,
		silent: true,
		doc:    "The addresses that a foreign system brought at one time, and what came of them.",
		attributes: table[run]{
			derived("id", id, func(m *run) string { return m.ID }, found, "Identifies the import."),
			derived("source", text(255), func(m *run) string { return m.Source }, found, "The foreign system."),
			derived("tenant_id", text(255), func(m *run) string { return m.TenantID }, found, "Who has the addresses here."),
			derived("project_id", text(255), func(m *run) string { return m.TenantID }, found, "The same as `tenant_id`."),
			derived("dry_run", boolean, func(m *run) bool { return m.DryRun }, found, "Whether it only checked."),
			derived("lines", count, func(m *run) int64 { return m.Lines }, access{sort: true}, "How many machines there were."),
			derived("imported", count, func(m *run) int64 { return m.Imported }, access{}, "Addresses that were free and are the tenant's since."),
			derived("mapped", count, func(m *run) int64 { return m.Mapped }, access{}, "External ids that were kept."),
			derived("conflicts", count, func(m *run) int64 { return m.Conflicts }, access{}, "Lines with an address that somebody has here, or with what an earlier line has."),
			derived("invalid", count, func(m *run) int64 { return m.Invalid }, access{}, "Lines without a right address or external id."),
			derived("actor", text(255), func(m *run) string { return m.Actor }, found, "Who did it."),
			derived("created_at", timestamp, func(m *run) time.Time { return m.CreatedAt }, access{sort: true}, "When it was done."),
		},
		backend: backend[run]{list: st.MACImports, get: st.MACImport},
	}
}

func (s *server) importActions() group {
	lines := content{importContentCSV: {"type": "string"}, importContentJSON: {"type": "string"}}
	count := whole
	result := objectOf(map[string]schema{
		"import_id": {"type": "string"}, "lines": count, "imported": count, "mapped": count, "conflicts": count, "invalid": count,
		"first_conflicts": arrayOf(objectOf(map[string]schema{
			"line": count, "mac": macSchema.orNull(), "external_id": {"type": "string"}, "kind": {"type": "string"}, "recorded": boolean.shows,
			"with": objectOf(map[string]schema{
				"tenant_id": {"type": "string"}, "state": {"type": "string"}, "port_id": uuidSchema.orNull(), "device_id": {"type": "string"}, "policy": {"type": "string"},
			}).orNull(),
		}), shownConflicts),
	})
	format := []parameter{{name: "format", doc: "`csv` (default) or `ndjson`.", value: chosen("string", "csv", "ndjson")}}
	return group{"mac-exchange", "Addresses from and for other systems: lines `mac,external_id,name` of CSV, or JSON objects with these keys.", []action{
		{method: http.MethodPost, path: importPath, serve: s.serveImport, doc: "Compares addresses with all that are managed, and takes those that nobody has. For administrators only. " +
			"With `Accept: application/x-ndjson` the answer comes while the body is read: conflicts, progress, and the result in the last line.",
			query: []parameter{
				{name: "source", doc: "Names the foreign system.", value: filled(255).shows}, {name: "tenant_id", doc: "Whose the addresses become; the caller's if not given."},
				{name: "dry_run", doc: "Only compare.", value: boolean.shows},
			},
			takes: lines, gives: content{"application/json": under("mac_import", result), importContentJSON: {"type": "string"}}},
		{method: http.MethodGet, path: "/mac-imports/{source}/export", serve: s.serveExportImport, doc: "What a foreign system brought, by its name or the id of an import. For administrators only.", query: format, gives: lines},
		{method: http.MethodGet, path: "/mac-addresses/export", serve: s.serveExportManaged, doc: "The managed addresses that the caller may see.", query: format, gives: lines},
	}}
}

func isImport(r *http.Request) bool {
	return r.Method == http.MethodPost && plain(r.URL) == "/v2.0"+importPath
}

// importAnswer writes what becomes of an import: line by line as it goes, or at
// the end as one object.
type importAnswer struct {
	w         http.ResponseWriter
	stream    bool
	begun     bool
	err       error // of writing: the client has gone
	conflicts [][]byte
	patience  *patience
}

func (a *importAnswer) line(b []byte) {
	if a.err != nil {
		return
	}
	a.patience.written()
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", importContentJSON)
		a.w.WriteHeader(http.StatusOK)
	}
	if _, a.err = a.w.Write(append(b, '\n')); a.err == nil {
		a.err = http.NewResponseController(a.w).Flush()
	}
}

func (a *importAnswer) progress(lines int64) {
	if a.stream {
		a.line(append(strconv.AppendInt([]byte(`{"progress":{"lines":`), lines, 10), "}}"...))
	}
}

func (a *importAnswer) conflict(c store.MACImportConflict) error {
	b := appendImportConflict(nil, &c)
	switch {
	case a.stream:
		a.line(append(append([]byte(`{"conflict":`), b...), '}'))
	case len(a.conflicts) < shownConflicts:
		a.conflicts = append(a.conflicts, b)
	}
	return a.err
}

func appendImportConflict(b []byte, c *store.MACImportConflict) []byte {
	b = append(b, `{"line":`...)
	b = strconv.AppendInt(b, c.Line, 10)
	b = append(b, `,"mac":`...)
	b = macOrNull.append(b, c.Addr)
	b = append(b, `,"external_id":`...)
	b = appendString(b, c.ExternalID)
	b = append(b, `,"kind":`...)
	b = appendString(b, c.Kind)
	b = append(b, `,"recorded":`...)
	b = strconv.AppendBool(b, c.Recorded)
	b = append(b, `,"with":`...)
	if c.Kind != "managed" {
		return append(b, "null}"...)
	}
	b = append(b, `{"tenant_id":`...)
	b = appendString(b, c.TenantID)
	b = append(b, `,"state":`...)
	b = appendString(b, string(c.State))
	b = append(b, `,"port_id":`...)
	b = idOrNull.append(b, c.PortID)
	b = append(b, `,"device_id":`...)
	b = appendString(b, c.DeviceID)
	b = append(b, `,"policy":`...)
	b = appendString(b, string(c.Policy))
	return append(b, "}}"...)
}

// serveImport answers POST /v2.0/mac-imports.
func (s *server) serveImport(w http.ResponseWriter, r *http.Request) error {
	p := principalOf(r.Context())
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	if err := knownQuery(query, "source", "tenant_id", "dry_run"); err != nil {
		return err
	}
	in := store.MACImport{Source: query.Get("source"), TenantID: query.Get("tenant_id")}
	if _, err := filled(255).parse(in.Source); err != nil || !storable(in.Source) {
		return invalidValue("source", "want the name of the foreign system, 1 to 255 characters")
	}
	if !storable(in.TenantID) {
		return invalidValue("tenant_id", "it cannot be stored")
	}
	if query.Has("dry_run") {
		if in.CheckOnly, err = boolean.parse(query.Get("dry_run")); err != nil {
			return invalidValue("dry_run", "%v", err)
		}
	}
	var lines func(io.Reader) iter.Seq2[store.MACImportLine, error]
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case importContentCSV:
		lines = csvLines
	case importContentJSON:
		lines = jsonLines
	default:
		return &apiError{http.StatusUnsupportedMediaType, "HTTPUnsupportedMediaType", "Content-Type must be text/csv or application/x-ndjson"}
	}
	if !p.admin {
		return forbidden("create_mac_import")
	}
	ctx, patience := newPatience(r.Context(), w, importIdle)
	defer patience.end()
	answer := &importAnswer{w: w, stream: strings.Contains(r.Header.Get("Accept"), importContentJSON), patience: patience}
	in.Progress, in.Conflict = answer.progress, answer.conflict
	body := http.MaxBytesReader(w, r.Body, maxImportBody)
	if answer.stream {
		// The answer begins while the body still comes in; the rest of that must
		// then be read here.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			return err
		}
		defer func() { _, _ = io.Copy(io.Discard, body) }()
	}
	var unread error // why a line could not be read: the database tells it in other words
	result, err := s.store.ImportMACs(ctx, p.scope(), in, func(yield func(store.MACImportLine, error) bool) {
		for line, err := range lines(body) {
			if unread = err; err == nil {
				patience.read()
			}
			if !yield(line, err) {
				return
			}
		}
		patience.work(importWork)
	})
	patience.written()
	switch {
	case err != nil && unread != nil:
		err = unread
	case err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		err = errAway
	}
	if err != nil && !answer.begun {
		return err
	}
	if err != nil {
		answer.line(appendErrorLine(nil, asAPIError(ctx, s.log, err)))
		return nil
	}
	b := append(appendString([]byte(`{"import_id":`), result.ID), `,"lines":`...)
	b = strconv.AppendInt(b, result.Lines, 10)
	for _, n := range []struct {
		name  string
		value int64
	}{{"imported", result.Added}, {"mapped", result.Mapped}, {"conflicts", result.Conflicts}, {"invalid", result.Invalid}} {
		b = fmt.Appendf(b, `,"%s":%d`, n.name, n.value)
	}
	if answer.stream {
		answer.line(append(append([]byte(`{"result":`), b...), "}}"...))
		return nil
	}
	b = append(append([]byte(`{"mac_import":`), b...), `,"first_conflicts":[`...)
	b = append(b, bytes.Join(answer.conflicts, []byte{','})...)
	writeJSON(w, http.StatusOK, append(b, "]}}"...))
	return nil
}

func appendErrorLine(b []byte, e *apiError) []byte {
	b = append(b, `{"NeutronError":{"type":`...)
	b = appendString(b, e.kind)
	b = append(b, `,"message":`...)
	b = appendString(b, e.message)
	return append(b, `,"detail":""}}`...)
}
