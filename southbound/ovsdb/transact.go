package ovsdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Database is the database of Open vSwitch.
const Database = "Open_vSwitch"

// serverDatabase tells of the databases of a server (ovsdb-server(5)).
const serverDatabase = "_Server"

// Operation is one operation of a transaction (RFC 7047, section 5.2).
type Operation struct{ fields map[string]any }

func (o Operation) text(field string) string {
	text, _ := o.fields[field].(string) // "" for operations that have none
	return text
}

// MarshalJSON writes the wire form.
func (o Operation) MarshalJSON() ([]byte, error) { return json.Marshal(o.fields) }

// Values are the columns that an operation writes. A value is a string,
// number or bool, or a UUID, NamedUUID, Set or Map.
type Values map[string]any

// Condition selects rows, such as {"name", "==", "br0"}.
type Condition struct {
	Column, Function string
	Value            any
}

// MarshalJSON writes the wire form.
func (c Condition) MarshalJSON() ([]byte, error) {
	return json.Marshal([3]any{c.Column, c.Function, c.Value})
}

// Mutation changes a column in place, such as {"ports", "insert", Set{…}}.
type Mutation struct {
	Column, Mutator string
	Value           any
}

// MarshalJSON writes the wire form.
func (m Mutation) MarshalJSON() ([]byte, error) {
	return json.Marshal([3]any{m.Column, m.Mutator, m.Value})
}

// where is never null: the server wants an array.
func where(conditions []Condition) []Condition {
	if conditions == nil {
		return []Condition{}
	}
	return conditions
}

// Insert makes a row. Other operations may refer to it by NamedUUID(name); ""
// gives it no name.
func Insert(table, name string, row Values) Operation {
	fields := map[string]any{"op": "insert", "table": table, "row": row}
	if name != "" {
		fields["uuid-name"] = name
	}
	return Operation{fields}
}

// InsertUUID is Insert of a row whose UUID the caller chooses, at random (Open
// vSwitch 2.13, ovsdb-server(7), section 5.2.1). To repeat it after a timeout
// makes no second row: it fails with the tag "duplicate uuid".
func InsertUUID(table string, id UUID, row Values) Operation {
	return Operation{map[string]any{"op": "insert", "table": table, "row": row, "uuid": string(id)}}
}

// Select reads columns of the rows that meet all conditions.
func Select(table string, conditions []Condition, columns ...string) Operation {
	return Operation{map[string]any{"op": "select", "table": table, "where": where(conditions), "columns": columns}}
}

// Update writes columns of the rows that meet all conditions.
func Update(table string, conditions []Condition, row Values) Operation {
	return Operation{map[string]any{"op": "update", "table": table, "where": where(conditions), "row": row}}
}

// Mutate changes columns of the rows that meet all conditions.
func Mutate(table string, conditions []Condition, mutations ...Mutation) Operation {
	return Operation{map[string]any{"op": "mutate", "table": table, "where": where(conditions), "mutations": mutations}}
}

// Delete removes the rows that meet all conditions.
func Delete(table string, conditions []Condition) Operation {
	return Operation{map[string]any{"op": "delete", "table": table, "where": where(conditions)}}
}

// Wait is a guard: with until "==" the transaction fails with the tag "timed
// out" unless the rows that meet all conditions have, in the given columns,
// just the values of rows; with "!=" it fails if they do. The guard looks once
// and does not wait.
func Wait(table string, conditions []Condition, columns []string, until string, rows ...Values) Operation {
	if rows == nil {
		rows = []Values{}
	}
	return Operation{map[string]any{
		"op": "wait", "table": table, "where": where(conditions), "columns": columns, "until": until, "rows": rows, "timeout": 0,
	}}
}

// Comment leaves a note in the log of the database.
func Comment(text string) Operation {
	return Operation{map[string]any{"op": "comment", "comment": text}}
}

// Commit asks for the transaction to be on disk before it is answered, if
// durable.
func Commit(durable bool) Operation {
	return Operation{map[string]any{"op": "commit", "durable": durable}}
}

// Abort makes the transaction fail with the tag "aborted".
func Abort() Operation { return Operation{map[string]any{"op": "abort"}} }

// Assert makes the transaction fail with the tag "not owner" unless the
// connection holds the lock.
func Assert(lock string) Operation {
	return Operation{map[string]any{"op": "assert", "lock": lock}}
}

// Result is the answer to one operation.
type Result struct {
	Count int   // rows that update, mutate or delete touched
	UUID  UUID  // of the row that insert made
	Rows  []Row // that select found
}

// Kinds of an OperationError, for errors.Is.
var (
	// ErrGuard tells that a Wait did not find what it had to.
	ErrGuard = errors.New("a guard failed")
	// ErrConstraint tells that the schema forbids the result: a value out of
	// range, a duplicate name, a reference to nothing.
	ErrConstraint = errors.New("a constraint is violated")
)

// OperationError tells which operation made a transaction fail. Nothing of the
// transaction has happened then.
type OperationError struct {
	Index     int    // of the operation; the number of operations if committing failed
	Operation string // "insert", "wait", …, or "commit" if committing failed
	Table     string // "" for operations without one
	Tag       string // such as "constraint violation" (RFC 7047, section 3.1)
	Details   string
}

// Error describes the failure.
func (e *OperationError) Error() string {
	on := ""
	if e.Table != "" {
		on = " on " + e.Table
	}
	return fmt.Sprintf("ovsdb: transact: operation %d (%s%s): %s: %s", e.Index, e.Operation, on, e.Tag, e.Details)
}

// Is makes the kinds known to errors.Is.
func (e *OperationError) Is(target error) bool {
	switch target {
	case ErrGuard:
		return e.Operation == "wait" && e.Tag == "timed out"
	case ErrConstraint:
		return e.Tag == "constraint violation" || e.Tag == "referential integrity violation"
	}
	return false
}

// Transact runs operations on the Open_vSwitch database, all or none. A
// failure of the connection or of ctx leaves open whether they have been run.
func (c *Conn) Transact(ctx context.Context, operations ...Operation) ([]Result, error) {
	return c.transact(ctx, Database, operations...)
}

func (c *Conn) transact(ctx context.Context, database string, operations ...Operation) (results []Result, err error) {
	params := make([]any, 0, 1+len(operations))
	params = append(params, database)
	for _, o := range operations {
		params = append(params, o)
	}
	err = c.call(ctx, "transact", params, func(answer []byte) (err error) {
		results, err = decodeResults(answer, operations)
		return err
	})
	return results, err
}

// maxCells bounds the columns of all rows that selects return.
const maxCells = 1 << 18

// decodeResults reads the answer to a transaction. After the first failure the
// rest are null, and a failing commit adds one more element.
func decodeResults(answer []byte, operations []Operation) ([]Result, error) {
	if first(answer) != '[' || size(answer) > len(operations)+1 {
		return nil, errors.New("ovsdb: transact: the answer is not a list of results")
	}
	results := make([]Result, 0, len(operations))
	cells := 0
	for element := range elements(answer) {
		i := len(results)
		if first(element) != '{' {
			return nil, fmt.Errorf("ovsdb: transact: operation %d was not run, without an error", i)
		}
		result, err := decodeResult(element, &cells)
		if failed, ok := errors.AsType[*OperationError](err); ok {
			failed.Index, failed.Operation = i, "commit"
			if i < len(operations) {
				failed.Operation, failed.Table = operations[i].text("op"), operations[i].text("table")
			}
			return nil, failed
		}
		if err != nil {
			return nil, fmt.Errorf("ovsdb: transact: operation %d: %w", i, err)
		}
		results = append(results, result)
	}
	if len(results) != len(operations) {
		return nil, fmt.Errorf("ovsdb: transact: %d results for %d operations", len(results), len(operations))
	}
	return results, nil
}

func decodeResult(text []byte, cells *int) (Result, error) {
	var result Result
	var failed *OperationError
	var details string
	for name, value := range members(text) {
		var err error
		switch {
		case is(name, "count"):
			var n int64
			n, err = parseInt(value)
			result.Count = int(n)
		case is(name, "uuid"):
			result.UUID, err = parseUUID(value)
		case is(name, "rows"):
			result.Rows, err = decodeRows(value, cells)
		case is(name, "error") && !null(value):
			failed = &OperationError{Tag: shortText(value)}
		case is(name, "details") && !null(value):
			details = shortText(value)
		}
		if err != nil {
			return Result{}, err
		}
	}
	if failed != nil {
		failed.Details = details
		return Result{}, failed
	}
	return result, nil
}

// decodeRows copies the rows of a select.
func decodeRows(text []byte, cells *int) ([]Row, error) {
	if first(text) != '[' {
		return nil, errors.New("rows that are no list")
	}
	if *cells += size(text); *cells > maxCells {
		return nil, fmt.Errorf("more than %d columns of rows", maxCells)
	}
	rows := make([]Row, 0, size(text))
	for element := range elements(bytes.Clone(text)) {
		row := Row{}
		for name, value := range members(element) {
			if *cells++; *cells > maxCells {
				return nil, fmt.Errorf("more than %d columns of rows", maxCells)
			}
			key, err := parseText(name)
			if err != nil {
				return nil, err
			}
			row[key] = json.RawMessage(value)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
