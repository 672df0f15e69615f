package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// The forms in which addresses go in and out, and how the API calls them.
var exchangeTypes = map[string]string{"csv": "text/csv", "ndjson": "application/x-ndjson"}

var imports = collection{path: "mac-imports", single: "mac_import", plural: "mac_imports", isID: isUUID}

func importMACs(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Import addresses of another system, and list those that are taken here", Args: cobra.ExactArgs(1),
		Long: `Import addresses of another system, and list those that are taken here.

FILE holds lines "mac,external_id[,name]" (CSV), or a JSON object with mac,
external_id and name a line; - is standard input. It is read as it is sent.`,
		Example: "  macloom mac import vcenter.csv --source vcenter --dry-run",
	}
	var source, tenant, form string
	var dryRun bool
	f := cmd.Flags()
	f.StringVar(&source, "source", "", "what to call the other system")
	f.StringVar(&tenant, "tenant", "", "the tenant that gets those that nobody has; none: your own")
	f.StringVar(&form, "format", "", "csv or ndjson; default: by the end of the file's name (.csv; .ndjson, .jsonl, .json)")
	f.BoolVar(&dryRun, "dry-run", false, "only compare, keep nothing")
	_ = cmd.MarkFlagRequired("source") // the flags are there
	completeForms(cmd)
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		name := c.args[0]
		if form == "" {
			form = formOf(name)
		}
		if exchangeTypes[form] == "" {
			return usage("--format csv or ndjson must say what %s is", name)
		}
		file, size := c.stdin, int64(0)
		if name != "-" {
			opened, err := os.Open(name)
			if err != nil {
				return err
			}
			defer opened.Close()
			if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
				size = info.Size()
			}
			file = opened
		}
		query := url.Values{"source": {source}}
		if tenant != "" {
			query.Set("tenant_id", tenant)
		}
		if dryRun {
			query.Set("dry_run", "true")
		}
		run := &importRun{bar: newProgress(c.stderr, conn.env.Now, "importing", size), sent: &counted{Reader: file}}
		defer run.bar.clear()
		found := run.conflicts(c.api.Lines(c.ctx, client.Request{
			Method: http.MethodPost, Path: []string{imports.path}, Query: query, Stream: run.sent, Type: exchangeTypes[form],
		}))
		return run.write(c, found)
	})
}

func formOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return "csv"
	case ".ndjson", ".jsonl", ".json":
		return "ndjson"
	}
	return ""
}

func completeForms(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"csv", "ndjson"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// counted counts what is read of a file; reading and looking are done by
// different goroutines.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// importRun follows the answer of an import.
type importRun struct {
	bar    *progress
	sent   *counted
	found  int // conflicts
	result json.RawMessage
}

// conflicts takes the conflicts out of the lines of the answer.
func (i *importRun) conflicts(lines iter.Seq2[json.RawMessage, error]) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for raw, err := range lines {
			var line struct {
				Progress     struct{ Lines int64 }
				Conflict     json.RawMessage
				Result       json.RawMessage
				NeutronError struct{ Type, Message string }
			}
			if err == nil {
				err = json.Unmarshal(raw, &line)
			}
			if err == nil && line.NeutronError.Type != "" {
				err = &client.Error{Type: visible(line.NeutronError.Type), Message: visible(line.NeutronError.Message)}
			}
			switch {
			case err != nil:
				yield(nil, err)
				return
			case line.Conflict != nil:
				i.found++
				if !yield(line.Conflict, nil) {
					return
				}
			case line.Result != nil:
				i.result = line.Result
			default:
				i.bar.set(i.sent.n.Load(), thousands(line.Progress.Lines)+" lines")
			}
		}
		if i.result == nil {
			yield(nil, errors.New("the import ended without a result: it is not known what was kept of it"))
		}
	}
}

// write lists the conflicts and shows the result: in JSON and YAML both in one
// object, else one after the other.
func (i *importRun) write(c *call, found iter.Seq2[json.RawMessage, error]) error {
	stdout := i.bar.over(c.stdout)
	whole := *c.out
	whole.columns = nil // --columns is about the conflicts
	switch c.out.format {
	case "json":
		if _, err := io.WriteString(stdout, "{\"conflicts\": "); err != nil {
			return err
		}
		if err := c.out.list(stdout, nil, found); err != nil {
			return err
		}
		_, err := fmt.Fprintf(stdout, ", \"mac_import\": %s}\n", compact(i.result))
		return err
	case "yaml":
		if err := c.out.list(stdout, nil, i.titled(stdout, found)); err != nil {
			return err
		}
		return writeYAML(stdout, json.RawMessage(`{"mac_import": `+string(i.result)+`}`))
	case "csv":
		if err := c.out.list(stdout, nil, found); err != nil {
			return err
		}
		whole.format = "table"
		i.bar.clear()
		return whole.show(c.stderr, i.result)
	}
	if err := c.out.list(stdout, nil, found); err != nil {
		return err
	}
	if i.found > 0 {
		if _, err := io.WriteString(stdout, "\n"); err != nil {
			return err
		}
	}
	return whole.show(stdout, i.result)
}

// titled writes the key of the conflicts before the first of them, or before
// the empty list.
func (i *importRun) titled(w io.Writer, found iter.Seq2[json.RawMessage, error]) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		title := func(text string) bool {
			_, err := io.WriteString(w, text)
			return err == nil || yield(nil, err)
		}
		first := true
		for raw, err := range found {
			if err == nil && first {
				first = false
				if !title("conflicts:\n") {
					return
				}
			}
			if !yield(raw, err) || err != nil {
				return
			}
		}
		if first {
			title("conflicts: ")
		}
	}
}

func listImports(conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "imports", Short: "List the imports; below it, show one", Args: cobra.NoArgs}
	conn.run(cmd, newOutput(cmd), func(c *call) error { return c.list(nil, imports.list(c, nil)) })
	cmd.AddCommand(imports.showCommand(conn, &cobra.Command{Use: "show ID", Short: "Show an import with its conflicts"}, "id"))
	return cmd
}

func exportMACs(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Write addresses in the form that import reads: those managed here, or those of another system", Args: cobra.NoArgs,
		Example: "  macloom mac export --file managed.csv\n  macloom mac export --source vcenter --format ndjson",
	}
	var source, form, name string
	cmd.Flags().StringVar(&source, "source", "", "those that were imported of another system; default: those managed here, with the instance or port as external id")
	cmd.Flags().StringVar(&form, "format", "", "csv or ndjson; default: by the end of --file, else csv")
	cmd.Flags().StringVar(&name, "file", "", "write here, and only if it is the whole; default: standard output")
	completeForms(cmd)
	return conn.run(cmd, nil, func(c *call) error {
		if form == "" {
			form = formOf(name)
		}
		if form == "" && !c.flags.Changed("format") {
			form = "csv"
		}
		if exchangeTypes[form] == "" {
			return usage("--format: %q is neither csv nor ndjson", form)
		}
		path := []string{addresses.path, "export"}
		if c.flags.Changed("source") {
			if source == "" {
				return usage("an empty word names no --source")
			}
			path = []string{imports.path, source, "export"}
		}
		body, err := c.api.Open(c.ctx, client.Request{Method: http.MethodGet, Path: path, Query: url.Values{"format": {form}}, Accept: "*/*"})
		if err != nil {
			return err
		}
		defer body.Close()
		if name == "" {
			_, err := io.Copy(c.stdout, body)
			return err
		}
		bar := newProgress(c.stderr, conn.env.Now, "exporting", 0)
		defer bar.clear()
		return writeWhole(name, body, func(n int64) { bar.set(n, thousands(n)+" bytes") })
	})
}

// writeWhole writes a file that is there with all of r, or not at all; what is
// there and no file, such as a pipe, is written to.
func writeWhole(name string, r io.Reader, wrote func(int64)) (err error) {
	part := name + ".part"
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		part = name
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.TeeReader(r, &told{tell: wrote}))
	if err = errors.Join(err, f.Close()); part == name {
		return err
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, name)
}

// told tells how much was written to it.
type told struct {
	n    int64
	tell func(int64)
}

func (w *told) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	w.tell(w.n)
	return len(b), nil
}
