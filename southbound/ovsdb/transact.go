package ovsdb

import (
	"context"
	"encoding/json"
	"fmt"
)

// Database is the database of Open vSwitch.
const Database = "Open_vSwitch"

// Operation is one operation of a transaction (RFC 7047, section 5.2).
type Operation struct{ fields map[string]any }

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

// Result is the answer to one operation.
type Result struct {
	Count int   // rows that update, mutate or delete touched
	UUID  UUID  // of the row that insert made
	Rows  []Row // that select found
}

// OperationError tells which operation made a transaction fail. Nothing of the
// transaction has happened then.
type OperationError struct {
	Index   int    // of the operation; the number of operations if committing failed
	Tag     string // such as "constraint violation" (RFC 7047, section 3.1)
	Details string
}

// Error describes the failure.
func (e *OperationError) Error() string {
	return fmt.Sprintf("ovsdb: transact: operation %d: %s: %s", e.Index, e.Tag, e.Details)
}

// Transact runs operations on the Open_vSwitch database, all or none.
func (c *Conn) Transact(ctx context.Context, operations ...Operation) ([]Result, error) {
	params := make([]any, 0, 1+len(operations))
	params = append(params, Database)
	for _, o := range operations {
		params = append(params, o)
	}
	answer, err := c.call(ctx, "transact", params, nil)
	if err != nil {
		return nil, err
	}
	return decodeResults(answer, len(operations))
}

// decodeResults reads the answer to a transaction of n operations. After the
// first failure the rest are null, and a failing commit adds one more element.
func decodeResults(answer json.RawMessage, n int) ([]Result, error) {
	var raw []*struct {
		Count   int    `json:"count"`
		UUID    []any  `json:"uuid"`
		Rows    []Row  `json:"rows"`
		Error   string `json:"error"`
		Details string `json:"details"`
	}
	if err := json.Unmarshal(answer, &raw); err != nil {
		return nil, fmt.Errorf("ovsdb: transact: answer: %w", err)
	}
	results := make([]Result, 0, n)
	for i, r := range raw {
		switch {
		case r == nil:
			return nil, fmt.Errorf("ovsdb: transact: operation %d was not run, without an error", i)
		case r.Error != "":
			return nil, &OperationError{Index: i, Tag: r.Error, Details: r.Details}
		}
		result := Result{Count: r.Count, Rows: r.Rows}
		if r.UUID != nil {
			id, ok := "", len(r.UUID) == 2 && r.UUID[0] == "uuid"
			if ok {
				id, ok = r.UUID[1].(string)
			}
			if !ok {
				return nil, fmt.Errorf("ovsdb: transact: operation %d: not a UUID: %v", i, r.UUID)
			}
			result.UUID = UUID(id)
		}
		results = append(results, result)
	}
	if len(results) != n {
		return nil, fmt.Errorf("ovsdb: transact: %d results for %d operations", len(results), n)
	}
	return results, nil
}
