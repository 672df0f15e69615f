package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// column is one of a table: an attribute by its path, or what is made of some.
type column struct {
	name string
	of   func(record) string // nil: the attribute of that name
}

func (c column) value(r record) json.RawMessage {
	if c.of != nil {
		return quote(c.of(r))
	}
	if v := r.at(c.name); v != nil {
		return v
	}
	return json.RawMessage("null")
}

func attributes(names ...string) []column {
	columns := make([]column, len(names))
	for i, name := range names {
		columns[i].name = name
	}
	return columns
}

var formats = []string{"table", "json", "yaml", "csv"}

// output is how a command writes what it was answered.
type output struct {
	format    string
	columns   []string
	noHeaders bool
	derived   []column // that may be asked for by name besides attributes
}

// newOutput declares the flags of output on cmd.
func newOutput(cmd *cobra.Command, derived ...column) *output {
	o := &output{derived: derived}
	f := cmd.Flags()
	f.StringVarP(&o.format, "output", "o", "table", strings.Join(formats, ", "))
	f.StringSliceVar(&o.columns, "columns", nil, "show only these attributes, such as id,name or utilisation.free")
	f.BoolVar(&o.noHeaders, "no-headers", false, "leave the header out of table and csv")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return o
}

func (o *output) check() error {
	if !slices.Contains(formats, o.format) {
		return usage("--output: %q is none of %s", o.format, strings.Join(formats, ", "))
	}
	return nil
}

// chosen returns the columns that the user named, else preset.
func (o *output) chosen(preset []column) []column {
	if len(o.columns) == 0 {
		return preset
	}
	columns := attributes(o.columns...)
	for i := range columns {
		if k := slices.IndexFunc(o.derived, func(d column) bool { return d.name == columns[i].name }); k >= 0 {
			columns[i] = o.derived[k]
		}
	}
	return columns
}

// cut leaves of an object what --columns asks for.
func (o *output) cut(raw json.RawMessage) (json.RawMessage, error) {
	if len(o.columns) == 0 {
		return raw, nil
	}
	r, err := parseRecord(raw)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for i, c := range o.chosen(nil) {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quote(c.name))
		b.WriteByte(':')
		b.Write(c.value(r))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// list writes objects as they come. Table and CSV show the columns of preset
// (none: the attributes of the first object), JSON and YAML whole objects.
func (o *output) list(w io.Writer, preset []column, entries iter.Seq2[json.RawMessage, error]) error {
	out := bufio.NewWriterSize(w, 32<<10)
	rows := o.writer(out, preset)
	var failed error
	for raw, err := range entries {
		if err == nil {
			err = rows.add(raw)
		}
		if err != nil {
			failed = err
			break
		}
	}
	// What has come is shown even if more was to come; a JSON array that is
	// not closed says that it is not the whole.
	if err := rows.end(failed == nil); failed == nil {
		failed = err
	}
	if err := out.Flush(); failed == nil {
		failed = err
	}
	return failed
}

// show writes one object: in a table, an attribute a line.
func (o *output) show(w io.Writer, raw json.RawMessage) error {
	if o.format == "csv" {
		return o.list(w, nil, only(raw))
	}
	raw, err := o.cut(raw)
	if err != nil {
		return err
	}
	switch o.format {
	case "json":
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		b.WriteByte('\n')
		_, err := w.Write(b.Bytes())
		return err
	case "yaml":
		return writeYAML(w, raw)
	}
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	t := &table{w: w, noHeaders: o.noHeaders, header: []string{"field", "value"}}
	for _, a := range r {
		if err := t.row([]string{a.name, cell(a.value)}); err != nil {
			return err
		}
	}
	return t.end()
}

// only is a list of one.
func only(raw json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) { yield(raw, nil) }
}

// rows takes the objects of a list.
type rows interface {
	add(json.RawMessage) error
	end(complete bool) error
}

func (o *output) writer(w *bufio.Writer, preset []column) rows {
	switch o.format {
	case "json":
		return &jsonRows{o: o, w: w}
	case "yaml":
		return &yamlRows{o: o, w: w}
	}
	c := &cellRows{columns: o.chosen(preset)}
	if o.format == "csv" {
		enc := csv.NewWriter(w)
		c.header = func(names []string) error {
			if o.noHeaders {
				return nil
			}
			return enc.Write(names)
		}
		c.row = enc.Write
		c.done = func() error { enc.Flush(); return enc.Error() }
		return c
	}
	t := &table{w: w, noHeaders: o.noHeaders}
	c.header = func(names []string) error {
		t.header = names
		return nil
	}
	c.row, c.done = t.row, t.end
	return c
}

// jsonRows writes an array with an object a line.
type jsonRows struct {
	o *output
	w *bufio.Writer
	n int
}

func (j *jsonRows) add(raw json.RawMessage) error {
	raw, err := j.o.cut(raw)
	if err != nil {
		return err
	}
	separator := ",\n"
	if j.n == 0 {
		separator = "[\n"
	}
	j.n++
	_, _ = j.w.WriteString(separator) // an error stays in the writer
	_, err = j.w.WriteString(compact(raw))
	return err
}

func (j *jsonRows) end(complete bool) (err error) {
	switch {
	case !complete && j.n == 0: // nothing came at all
	case !complete:
		err = j.w.WriteByte('\n')
	case j.n == 0:
		_, err = j.w.WriteString("[]\n")
	default:
		_, err = j.w.WriteString("\n]\n")
	}
	return err
}

// yamlRows writes a sequence.
type yamlRows struct {
	o *output
	w *bufio.Writer
	n int
}

func (y *yamlRows) add(raw json.RawMessage) error {
	raw, err := y.o.cut(raw)
	if err != nil {
		return err
	}
	y.n++
	_, _ = y.w.WriteString("- ") // an error stays in the writer
	text, err := appendYAML(y.w.AvailableBuffer(), raw, 2)
	if err != nil {
		return err
	}
	_, err = y.w.Write(text)
	return err
}

func (y *yamlRows) end(complete bool) error {
	if y.n > 0 || !complete {
		return nil
	}
	_, err := y.w.WriteString("[]\n")
	return err
}

func writeYAML(w io.Writer, raw json.RawMessage) error {
	text, err := appendYAML(nil, raw, 0)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// cellRows writes objects as rows of cells.
type cellRows struct {
	columns []column
	started bool
	header  func([]string) error
	row     func([]string) error
	done    func() error
}

func (c *cellRows) begin() error {
	if c.started {
		return nil
	}
	c.started = true
	names := make([]string, len(c.columns))
	for i, column := range c.columns {
		names[i] = column.name
	}
	return c.header(names)
}

func (c *cellRows) add(raw json.RawMessage) error {
	r, err := parseRecord(raw)
	if err != nil {
		return err
	}
	if len(c.columns) == 0 {
		for _, a := range r {
			c.columns = append(c.columns, column{name: a.name})
		}
	}
	if err := c.begin(); err != nil {
		return err
	}
	cells := make([]string, len(c.columns))
	for i, column := range c.columns {
		if column.of != nil {
			cells[i] = column.of(r)
		} else {
			cells[i] = r.text(column.name)
		}
	}
	return c.row(cells)
}

func (c *cellRows) end(complete bool) error {
	if complete && len(c.columns) > 0 {
		if err := c.begin(); err != nil { // the header of an empty list
			return err
		}
	}
	return c.done()
}

// settle is how many rows a table looks at before it decides how wide its
// columns are: a long list is not held whole for that.
const settle = 500

// table writes aligned columns.
type table struct {
	w         io.Writer
	header    []string // names of attributes
	noHeaders bool
	widths    []int
	held      [][]string
	settled   bool
}

func (t *table) row(cells []string) error {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	if t.settled {
		return t.write(cells)
	}
	if t.held = append(t.held, cells); len(t.held) < settle {
		return nil
	}
	return t.settle()
}

func (t *table) settle() error {
	t.settled = true
	if !t.noHeaders && len(t.header) > 0 {
		titles := make([]string, len(t.header))
		for i, name := range t.header {
			// The whole path is what --columns takes; its end says enough here.
			titles[i] = strings.ToUpper(name[strings.LastIndexByte(name, '.')+1:])
		}
		t.held = slices.Insert(t.held, 0, titles)
	}
	for _, cells := range t.held {
		t.widths = append(t.widths, make([]int, max(0, len(cells)-len(t.widths)))...)
		for i, c := range cells {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, cells := range t.held {
		if err := t.write(cells); err != nil {
			return err
		}
	}
	t.held = nil
	return nil
}

func (t *table) write(cells []string) error {
	var line strings.Builder
	blanks := 0
	for i, c := range cells {
		if c != "" {
			line.WriteString(strings.Repeat(" ", blanks))
			line.WriteString(c)
			blanks = 0
		}
		blanks += max(0, t.widths[i]-utf8.RuneCountInString(c)) + 2
	}
	line.WriteByte('\n')
	_, err := io.WriteString(t.w, line.String())
	return err
}

func (t *table) end() error {
	if t.settled {
		return nil
	}
	return t.settle()
}
