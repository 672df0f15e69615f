package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// maxSchema bounds the text of a schema; that of Open vSwitch has 37 KB.
const maxSchema = 1 << 20

// Unlimited is the Max of a ColumnType without limit.
const Unlimited = -1

// Schema is a <database-schema> (RFC 7047, section 3.2).
type Schema struct {
	Name    string
	Version string
	Tables  map[string]TableSchema
}

// TableSchema is a <table-schema>.
type TableSchema struct {
	Columns map[string]ColumnType
	Root    bool // rows live without being referred to ("isRoot")
}

// ColumnType is a <column-schema>: Min to Max elements of type Key, or of
// pairs Key, Value.
type ColumnType struct {
	Key, Value       string // "integer", "real", "boolean", "string" or "uuid"; Value is "" unless it is a map
	RefTable         string // that Key, being a uuid, refers to
	ValueRefTable    string // that Value refers to
	Min, Max         int
	Ephemeral, Fixed bool // Fixed columns can not be changed after insert
}

// GetSchema asks for the schema of a database.
func (c *Conn) GetSchema(ctx context.Context, database string) (*Schema, error) {
	var s *Schema
	err := c.call(ctx, "get_schema", []any{database}, func(result []byte) (err error) {
		if len(result) > maxSchema {
			return fmt.Errorf("ovsdb: get_schema: longer than %d bytes", maxSchema)
		}
		s, err = decodeSchema(result)
		return err
	})
	return s, err
}

// atomType is a <base-type>: a name, or an object.
type atomType struct {
	Type     string `json:"type"`
	RefTable string `json:"refTable"`
}

func (t *atomType) UnmarshalJSON(text []byte) error {
	if first(text) == '"' {
		return json.Unmarshal(text, &t.Type)
	}
	type plain atomType
	return json.Unmarshal(text, (*plain)(t))
}

// columnType is a <type>: the name of an atom, or an object.
type columnType struct {
	Key   atomType        `json:"key"`
	Value *atomType       `json:"value"`
	Min   *int            `json:"min"`
	Max   json.RawMessage `json:"max"` // a number or "unlimited"
}

func (t *columnType) UnmarshalJSON(text []byte) error {
	if first(text) == '"' {
		return json.Unmarshal(text, &t.Key)
	}
	type plain columnType
	return json.Unmarshal(text, (*plain)(t))
}

func decodeSchema(text []byte) (*Schema, error) {
	var wire struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Tables  map[string]struct {
			IsRoot  bool `json:"isRoot"`
			Columns map[string]struct {
				Type      columnType `json:"type"`
				Ephemeral bool       `json:"ephemeral"`
				Mutable   *bool      `json:"mutable"`
			} `json:"columns"`
		} `json:"tables"`
	}
	if err := json.Unmarshal(text, &wire); err != nil {
		return nil, fmt.Errorf("ovsdb: get_schema: %w", err)
	}
	s := &Schema{Name: wire.Name, Version: wire.Version, Tables: map[string]TableSchema{}}
	for name, table := range wire.Tables {
		t := TableSchema{Root: table.IsRoot, Columns: map[string]ColumnType{}}
		for name, column := range table.Columns {
			c := ColumnType{
				Key: column.Type.Key.Type, RefTable: column.Type.Key.RefTable, Min: 1, Max: 1,
				Ephemeral: column.Ephemeral, Fixed: column.Mutable != nil && !*column.Mutable,
			}
			if v := column.Type.Value; v != nil {
				c.Value, c.ValueRefTable = v.Type, v.RefTable
			}
			if column.Type.Min != nil {
				c.Min = *column.Type.Min
			}
			if is(column.Type.Max, "unlimited") {
				c.Max = Unlimited
			} else if column.Type.Max != nil {
				if err := json.Unmarshal(column.Type.Max, &c.Max); err != nil {
					return nil, fmt.Errorf("ovsdb: get_schema: column %s: max: %w", name, err)
				}
			}
			t.Columns[name] = c
		}
		s.Tables[name] = t
	}
	return s, nil
}

// ErrSchema is in the error of a monitor of a database that lacks what is
// necessary, or has another type than expected for it.
var ErrSchema = errors.New("the schema of the database is not fit")

// request lists the columns of the table that the schema has; none if the
// table does not exist and is not necessary.
func (t *table[T]) request(s *Schema) ([]string, error) {
	has, ok := s.Tables[t.name]
	if !ok {
		if t.need {
			return nil, fmt.Errorf("ovsdb: monitor: %w: version %s has no table %s", ErrSchema, s.Version, t.name)
		}
		return nil, nil
	}
	var names []string
	for _, c := range t.columns {
		is, ok := has.Columns[c.name]
		switch {
		case ok && is.fits(c.field(new(T))):
			names = append(names, c.name)
		case ok && c.need:
			return nil, fmt.Errorf("ovsdb: monitor: %w: column %s of table %s has another type in version %s", ErrSchema, c.name, t.name, s.Version)
		case c.need:
			return nil, fmt.Errorf("ovsdb: monitor: %w: version %s has no column %s in table %s", ErrSchema, s.Version, c.name, t.name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// fits says whether assign can read values of the type, and their differences,
// into a field.
func (t ColumnType) fits(field any) bool {
	single := t.Max == 1
	switch field.(type) {
	case *string:
		return t.Key == "string" && t.Value == "" && single
	case *int64:
		return t.Key == "integer" && t.Value == "" && single
	case *bool:
		return t.Key == "boolean" && t.Value == "" && single
	case *UUID:
		return t.Key == "uuid" && t.Value == "" && single
	case *[]string:
		return t.Key == "string" && t.Value == "" && !single
	case *[]UUID:
		return t.Key == "uuid" && t.Value == "" && !single
	case *map[string]string:
		return t.Key == "string" && t.Value == "string" && !single
	case *map[int64]UUID:
		return t.Key == "integer" && t.Value == "uuid" && !single
	}
	return false
}
