package northbound

import (
	"bufio"
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/macloom/macloom/controller/store"
)

func (s *server) serveExportImport(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "source")
	source, err := url.PathUnescape(name)
	if err != nil || source == "" || !storable(source) {
		return missing("mac_import", name)
	}
	p := principalOf(r.Context())
	if !p.admin {
		return forbidden("get_mac_import")
	}
	// By the id of an import or the name of a source.
	run, err := s.store.MACImport(r.Context(), p.scope(), source)
	switch none := (*store.NotFound)(nil); {
	case err == nil:
		source = run.Source
	case !errors.As(err, &none):
		return err
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
