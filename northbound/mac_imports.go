package northbound

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/store"
)

// Limits of an import.
const (
	maxImportBody     = 512 << 20
	maxImportLine     = 4 << 10
	shownConflicts    = 1000 // in an answer that is one object
	importContentCSV  = "text/csv"
	importContentJSON = "application/x-ndjson"
)

func (s *server) mountImports(r chi.Router) {
	r.Post("/mac-imports", s.handle(s.serveImport))
	r.Get("/mac-imports/{source}/export", s.handle(s.serveExportImport))
	r.Get("/mac-addresses/export", s.handle(s.serveExportManaged))
}

// importAnswer writes what becomes of an import: line by line as it goes, or at
// the end as one object.
type importAnswer struct {
	w         http.ResponseWriter
	stream    bool
	begun     bool
	err       error // of writing: the client has gone
	conflicts [][]byte
}

func (a *importAnswer) line(b []byte) {
	if a.err != nil {
		return
	}
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
	answer := &importAnswer{w: w, stream: strings.Contains(r.Header.Get("Accept"), importContentJSON)}
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
	result, err := s.store.ImportMACs(r.Context(), p.scope(), in, func(yield func(store.MACImportLine, error) bool) {
		for line, err := range lines(body) {
			unread = err
			if !yield(line, err) {
				return
			}
		}
	})
	if large := (*http.MaxBytesError)(nil); errors.As(unread, &large) {
		unread = errTooLarge
	}
	if err != nil && unread != nil {
		err = unread
	}
	if err != nil && !answer.begun {
		return err
	}
	if err != nil {
		answer.line(appendErrorLine(nil, asAPIError(r.Context(), s.log, err)))
		return nil
	}
	b := []byte(`{"lines":`)
	b = strconv.AppendInt(b, result.Lines, 10)
	for _, n := range []struct {
		name  string
		value int64
	}{{"imported", result.Added}, {"mapped", result.Mapped}, {"conflicts", result.Conflicts}} {
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
	b = append(b, `{"error":{"type":`...)
	b = appendString(b, e.kind)
	b = append(b, `,"message":`...)
	b = appendString(b, e.message)
	return append(b, "}}"...)
}

// csvLines reads mac,external_id[,name]; a first line of these words is a
// header.
func csvLines(body io.Reader) iter.Seq2[store.MACImportLine, error] {
	return eachLine(body, func(text string) (fields [3]string, skip bool, err error) {
		r := csv.NewReader(strings.NewReader(text))
		found, err := r.Read()
		if err != nil || len(found) < 2 || len(found) > 3 {
			return fields, false, fmt.Errorf("want mac,external_id or mac,external_id,name")
		}
		copy(fields[:], found)
		return fields, fields[0] == "mac" && fields[1] == "external_id", nil
	})
}

// jsonLines reads {"mac", "external_id", "name"} line by line.
func jsonLines(body io.Reader) iter.Seq2[store.MACImportLine, error] {
	return eachLine(body, func(text string) (fields [3]string, _ bool, err error) {
		var line struct {
			MAC        string `json:"mac"`
			ExternalID string `json:"external_id"`
			Name       string `json:"name"`
		}
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&line); err != nil || dec.More() {
			return fields, false, fmt.Errorf(`want {"mac": "…", "external_id": "…", "name": "…"}`)
		}
		return [3]string{line.MAC, line.ExternalID, line.Name}, false, nil
	})
}

// eachLine reads lines of bounded length. A line that cannot be read ends the
// import; an address or id that is not right is the store's to report.
func eachLine(body io.Reader, split func(string) (fields [3]string, skip bool, err error)) iter.Seq2[store.MACImportLine, error] {
	return func(yield func(store.MACImportLine, error) bool) {
		in := bufio.NewScanner(body)
		in.Buffer(make([]byte, 0, maxImportLine), maxImportLine)
		var n int64
		for in.Scan() {
			n++
			text := strings.TrimSpace(in.Text())
			if text == "" {
				continue
			}
			fields, skip, err := split(text)
			if err == nil && !storable(text+fields[1]+fields[2]) {
				err = errors.New("it is not UTF-8 or has a NUL")
			}
			if err != nil {
				yield(store.MACImportLine{}, badRequest("Line %d cannot be read: %v", n, err))
				return
			}
			if skip && n == 1 {
				continue
			}
			line := store.MACImportLine{Line: n, ExternalID: fields[1], Description: fields[2]}
			if a, err := mac.Parse(strings.TrimSpace(fields[0])); err == nil {
				line.Addr = a // 0 otherwise, which is reported as invalid
			}
			if !yield(line, nil) {
				return
			}
		}
		switch err := in.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(store.MACImportLine{}, badRequest("Line %d is longer than %d bytes", n+1, maxImportLine))
		case err != nil:
			yield(store.MACImportLine{}, err)
		}
	}
}

func (s *server) serveExportImport(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "source")
	source, err := url.PathUnescape(name)
	if err != nil || source == "" || !storable(source) {
		return missing("mac_import", name)
	}
	if !principalOf(r.Context()).admin {
		return forbidden("get_mac_import")
	}
	return s.export(w, r, source)
}

func (s *server) serveExportManaged(w http.ResponseWriter, r *http.Request) error {
	return s.export(w, r, "")
}

// export streams addresses in the form of an import.
func (s *server) export(w http.ResponseWriter, r *http.Request, source string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("Invalid query string: %v", err)
	}
	if err := knownQuery(query, "format"); err != nil {
		return err
	}
	format := query.Get("format")
	switch format {
	case "":
		format = "csv"
	case "csv", "ndjson":
	default:
		return invalidValue("format", "%s is not in csv, ndjson", show(format))
	}
	out := bufio.NewWriterSize(w, 32<<10)
	rows := csv.NewWriter(out)
	begun := false
	begin := func() {
		begun = true
		w.Header().Set("Content-Type", map[string]string{"csv": importContentCSV, "ndjson": importContentJSON}[format])
		if format == "csv" {
			_ = rows.Write([]string{"mac", "external_id", "name"}) // kept by rows for Error
		}
	}
	err = s.store.ExportMACs(r.Context(), principalOf(r.Context()).scope(), source, func(l store.MACImportLine) error {
		if !begun {
			begin()
		}
		if format == "csv" {
			return rows.Write([]string{l.Addr.String(), l.ExternalID, l.Description})
		}
		b := appendMAC([]byte(`{"mac":`), l.Addr)
		b = appendString(append(b, `,"external_id":`...), l.ExternalID)
		b = appendString(append(b, `,"name":`...), l.Description)
		_, err := out.Write(append(b, "}\n"...))
		return err
	})
	switch {
	case err != nil && !begun:
		return err
	case err != nil:
		panic(http.ErrAbortHandler) // too late for another answer: cut this one off
	case !begun:
		begin()
	}
	rows.Flush()
	_ = out.Flush() // a client that has gone away reads no error either
	return nil
}
