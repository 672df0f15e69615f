package ovsdb

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A column is one of the columns that a row type T is made of. The type of its
// field says what the column has to be: an atom or an optional one for string,
// int64, bool and UUID; a set for slices, a map for maps.
type column[T any] struct {
	name  string
	need  bool // without it the row makes no sense
	field func(*T) any
}

// The tables that are monitored, and what of them (ovs-vswitchd.conf.db(5)).
var (
	systemColumns = []column[systemRow]{
		{"external_ids", true, func(r *systemRow) any { return &r.externalIDs }},
		{"ovs_version", false, func(r *systemRow) any { return &r.version }},
		{"datapath_types", false, func(r *systemRow) any { return &r.datapathTypes }},
		{"next_cfg", true, func(r *systemRow) any { return &r.nextCfg }},
		{"cur_cfg", true, func(r *systemRow) any { return &r.curCfg }},
	}
	bridgeColumns = []column[bridgeRow]{
		{"name", true, func(r *bridgeRow) any { return &r.Name }},
		{"ports", true, func(r *bridgeRow) any { return &r.ports }},
		{"controller", true, func(r *bridgeRow) any { return &r.controllers }},
		{"fail_mode", true, func(r *bridgeRow) any { return &r.FailMode }},
		{"datapath_id", true, func(r *bridgeRow) any { return &r.DatapathID }},
		{"datapath_type", false, func(r *bridgeRow) any { return &r.DatapathType }},
		{"protocols", false, func(r *bridgeRow) any { return &r.Protocols }},
		{"other_config", false, func(r *bridgeRow) any { return &r.OtherConfig }},
		{"external_ids", false, func(r *bridgeRow) any { return &r.ExternalIDs }},
	}
	portColumns = []column[Port]{
		{"name", true, func(r *Port) any { return &r.Name }},
		{"interfaces", true, func(r *Port) any { return &r.Interfaces }},
		{"tag", false, func(r *Port) any { return &r.Tag }},
		{"qos", false, func(r *Port) any { return &r.QoS }},
		{"external_ids", false, func(r *Port) any { return &r.ExternalIDs }},
	}
	interfaceColumns = []column[Interface]{
		{"name", true, func(r *Interface) any { return &r.Name }},
		{"type", true, func(r *Interface) any { return &r.Type }},
		{"ofport", true, func(r *Interface) any { return &r.OFPort }},
		{"external_ids", true, func(r *Interface) any { return &r.ExternalIDs }},
		{"ofport_request", false, func(r *Interface) any { return &r.OFPortRequest }},
		{"options", false, func(r *Interface) any { return &r.Options }},
		{"mac_in_use", false, func(r *Interface) any { return &r.MACInUse }},
		{"error", false, func(r *Interface) any { return &r.Error }},
		{"link_state", false, func(r *Interface) any { return &r.LinkState }},
		{"admin_state", false, func(r *Interface) any { return &r.AdminState }},
		{"bfd_status", false, func(r *Interface) any { return &r.BFDStatus }},
	}
	controllerColumns = []column[Controller]{
		{"target", true, func(r *Controller) any { return &r.Target }},
		{"is_connected", false, func(r *Controller) any { return &r.IsConnected }},
		{"role", false, func(r *Controller) any { return &r.Role }},
		{"external_ids", false, func(r *Controller) any { return &r.ExternalIDs }},
	}
	managerColumns = []column[Manager]{
		{"target", true, func(r *Manager) any { return &r.Target }},
		{"is_connected", false, func(r *Manager) any { return &r.IsConnected }},
		{"external_ids", false, func(r *Manager) any { return &r.ExternalIDs }},
	}
	qosColumns = []column[QoS]{
		{"type", true, func(r *QoS) any { return &r.Type }},
		{"queues", true, func(r *QoS) any { return &r.Queues }},
		{"other_config", false, func(r *QoS) any { return &r.OtherConfig }},
		{"external_ids", false, func(r *QoS) any { return &r.ExternalIDs }},
	}
	queueColumns = []column[Queue]{
		{"other_config", true, func(r *Queue) any { return &r.OtherConfig }},
		{"external_ids", false, func(r *Queue) any { return &r.ExternalIDs }},
	}
)

type systemRow struct {
	version         string
	externalIDs     map[string]string
	datapathTypes   []string
	nextCfg, curCfg int64
}

type bridgeRow struct {
	Bridge             // without Controllers, Ports and Interfaces
	ports, controllers []UUID
}

// assign reads value into a field of a column. With diff value is the
// difference that a "modify" of <row-update2> has (ovsdb-server(7), 4.1.14):
// for sets the elements that come or go, for maps the entries that come, go or
// have another value. The field's old memory is left as it is.
func assign(field any, value []byte, diff bool) (err error) {
	switch f := field.(type) {
	case *string:
		*f, err = parseOne(value, parseText)
	case *int64:
		*f, err = parseOne(value, parseInt)
	case *bool:
		*f, err = parseOne(value, parseBool)
	case *UUID:
		*f, err = parseOne(value, parseUUID)
	case *[]string:
		*f, err = assignSet(*f, value, diff, parseText)
	case *[]UUID:
		*f, err = assignSet(*f, value, diff, parseUUID)
	case *map[string]string:
		*f, err = assignMap(*f, value, diff, parseText, parseText)
	case *map[int64]UUID:
		*f, err = assignMap(*f, value, diff, parseInt, parseUUID)
	default:
		err = fmt.Errorf("a field of type %T", field)
	}
	return err
}

// assignSet returns a sorted set.
func assignSet[T cmp.Ordered](old []T, value []byte, diff bool, parse func([]byte) (T, error)) ([]T, error) {
	list, err := parseSet(value, parse)
	if err != nil {
		return nil, err
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if !diff || len(old) == 0 {
		return list, nil
	}
	merged := make([]T, 0, len(old)+len(list))
	for len(old) > 0 && len(list) > 0 {
		switch c := cmp.Compare(old[0], list[0]); {
		case c < 0:
			merged, old = append(merged, old[0]), old[1:]
		case c > 0:
			merged, list = append(merged, list[0]), list[1:]
		default:
			old, list = old[1:], list[1:]
		}
	}
	merged = append(append(merged, old...), list...)
	if len(merged) == 0 {
		return nil, nil
	}
	return merged, nil
}

func assignMap[K, V comparable](old map[K]V, value []byte, diff bool, key func([]byte) (K, error), val func([]byte) (V, error)) (map[K]V, error) {
	changes, err := parseMap(value, key, val)
	if err != nil || !diff || len(old) == 0 {
		return changes, err
	}
	merged := maps.Clone(old)
	for k, v := range changes {
		if was, ok := merged[k]; ok && was == v {
			delete(merged, k)
		} else {
			merged[k] = v
		}
	}
	if len(merged) == 0 {
		return nil, nil
	}
	return merged, nil
}

// Bytes that a row is taken to need: its struct and its places in maps, and
// for each element of a set or a map besides its text.
const (
	rowCost     = 512
	elementCost = 64
)

// cost estimates the memory of a field, from above.
func cost(field any) (n int) {
	switch f := field.(type) {
	case *string:
		return len(*f)
	case *UUID:
		return len(*f)
	case *[]string:
		for _, s := range *f {
			n += elementCost + len(s)
		}
	case *[]UUID:
		return len(*f) * (elementCost + maxUUID)
	case *map[string]string:
		for k, v := range *f {
			n += elementCost + len(k) + len(v)
		}
	case *map[int64]UUID:
		return len(*f) * (elementCost + maxUUID)
	}
	return n
}

// A table holds the rows of a table. Rows are never written to: a change puts
// another row in the place of the old one.
type table[T any] struct {
	name    string
	need    bool // without it nothing of ours works
	columns []column[T]
	init    func(*T, UUID)
	rows    map[UUID]*T
	staged  map[UUID]*T // rows that change when the update is taken over; nil for those that go
}

func newTable[T any](name string, need bool, columns []column[T], init func(*T, UUID)) *table[T] {
	return &table[T]{name: name, need: need, columns: columns, init: init, rows: map[UUID]*T{}, staged: map[UUID]*T{}}
}

// A change is what an update does to a row.
type change int

const (
	changeDelete change = iota
	changeWhole         // value has all columns but those with their default
	changeModify        // value has the differences of some columns
)

func (t *table[T]) tableName() string { return t.name }

// stage prepares the change of a row, for which account has to make room.
func (t *table[T]) stage(id UUID, kind change, value []byte, account func(int) error) error {
	if _, twice := t.staged[id]; twice {
		return errors.New("two changes of one row")
	}
	old := t.rows[id]
	if kind == changeDelete {
		if old != nil {
			t.staged[id] = nil
		}
		return nil
	}
	if first(value) != '{' {
		return errors.New("a row that is no object")
	}
	row := new(T)
	switch {
	case kind == changeWhole:
		t.init(row, id)
	case old == nil:
		return errors.New("a change of a row that is not there")
	default:
		*row = *old
	}
	for name, v := range members(value) {
		for i := range t.columns {
			if is(name, t.columns[i].name) {
				if err := assign(t.columns[i].field(row), v, kind == changeModify); err != nil {
					return fmt.Errorf("column %s: %w", t.columns[i].name, err)
				}
				break
			}
		}
	}
	if err := account(t.cost(row)); err != nil {
		return err
	}
	t.staged[id] = row
	return nil
}

// cost of a row; nil costs nothing.
func (t *table[T]) cost(row *T) int {
	if row == nil {
		return 0
	}
	n := rowCost
	for i := range t.columns {
		n += cost(t.columns[i].field(row))
	}
	return n
}

// count is how many rows there are when the staged ones are taken over.
func (t *table[T]) count() int {
	n := len(t.rows)
	for id, row := range t.staged {
		switch _, was := t.rows[id]; {
		case row == nil && was:
			n--
		case row != nil && !was:
			n++
		}
	}
	return n
}

// drop forgets the staged rows and returns the memory that they took.
func (t *table[T]) drop() (freed int) {
	for _, row := range t.staged {
		freed += t.cost(row)
	}
	t.clear()
	return freed
}

// commit takes the staged rows over and returns the memory that the old ones
// took.
func (t *table[T]) commit() (freed int) {
	for id, row := range t.staged {
		freed += t.cost(t.rows[id])
		if row == nil {
			delete(t.rows, id)
		} else {
			t.rows[id] = row
		}
	}
	t.clear()
	return freed
}

// forget drops all rows and returns the memory that they took.
func (t *table[T]) forget() (freed int) {
	for _, row := range t.rows {
		freed += t.cost(row)
	}
	t.rows = map[UUID]*T{}
	return freed
}

func (t *table[T]) clear() {
	if len(t.staged) > 1000 {
		t.staged = map[UUID]*T{} // maps do not shrink
		return
	}
	clear(t.staged)
}

func (t *table[T]) staging() bool { return len(t.staged) > 0 }

// sorted are the rows in order.
func (t *table[T]) sorted(order func(x, y T) int) []T {
	if len(t.rows) == 0 {
		return nil
	}
	list := make([]T, 0, len(t.rows))
	for _, row := range t.rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, order)
	return list
}
