package ovsdb

import (
	"errors"
	"fmt"
	"iter"
	"sync"
)

// maxRows bounds what a replica keeps of one switch.
const maxRows = 200_000

// A replica follows the monitored tables of a server. Updates come from the
// reader of the connection, changes and snapshots are taken by Watch.
//
// What it costs to follow a change does not depend on how much there is: rows
// are replaced, never copied; and a snapshot is made from the one before, of
// which it shares everything but the lists that the change is in.
type replica struct {
	changed chan struct{} // holds one token while a change waits to be shown
	limit   int           // of used

	mu          sync.Mutex
	watch       *watch          // that feeds it; nil if none does
	grow        func(int) error // makes room, for the watch
	used        int             // bytes, as table.cost estimates them
	broken      bool            // an update could not be taken over
	last        string          // transaction that the state is of; "" or zeroTxn if not known
	system      *table[systemRow]
	bridges     *table[bridgeRow]
	ports       *table[Port]
	interfaces  *table[Interface]
	controllers *table[Controller]
	managers    *table[Manager]
	qos         *table[QoS]
	queues      *table[Queue]
	bridgeOf    map[UUID]UUID // of a port
	portOf      map[UUID]UUID // of an interface

	unseen journal // since changes were taken last
	undone journal // since the last snapshot
	shown  *Snapshot
}

// A place is an interface or a port on a bridge, or zero.
type place[T any] struct {
	bridge UUID
	row    *T
}

// A journal tells what changed, and what it was before.
type journal struct {
	tables     map[string]bool
	bridges    map[UUID]bool // rows of Bridge
	ports      map[UUID]place[Port]
	interfaces map[UUID]place[Interface]
}

func newJournal() journal {
	return journal{map[string]bool{}, map[UUID]bool{}, map[UUID]place[Port]{}, map[UUID]place[Interface]{}}
}

func newReplica(limit int, grow func(int) error) *replica {
	return &replica{
		changed: make(chan struct{}, 1), limit: limit, grow: grow,
		system:  newTable("Open_vSwitch", true, systemColumns, func(*systemRow, UUID) {}),
		bridges: newTable("Bridge", true, bridgeColumns, func(r *bridgeRow, id UUID) { r.UUID = id }),
		ports:   newTable("Port", true, portColumns, func(r *Port, id UUID) { r.UUID = id }),
		interfaces: newTable("Interface", true, interfaceColumns,
			func(r *Interface, id UUID) { r.UUID = id }),
		controllers: newTable("Controller", true, controllerColumns, func(r *Controller, id UUID) { r.UUID = id }),
		managers:    newTable("Manager", false, managerColumns, func(r *Manager, id UUID) { r.UUID = id }),
		qos:         newTable("QoS", false, qosColumns, func(r *QoS, id UUID) { r.UUID = id }),
		queues:      newTable("Queue", false, queueColumns, func(r *Queue, id UUID) { r.UUID = id }),
		bridgeOf:    map[UUID]UUID{}, portOf: map[UUID]UUID{},
		unseen: newJournal(), undone: newJournal(),
	}
}

// rowTable is what all tables have in common.
type rowTable interface {
	tableName() string
	request(s *Schema) ([]string, error)
	stage(id UUID, kind change, value []byte, account func(int) error) error
	staging() bool
	count() int
	commit() (freed int)
	drop() (freed int)
	forget() (freed int)
}

func (r *replica) tables() [8]rowTable {
	return [8]rowTable{r.system, r.bridges, r.ports, r.interfaces, r.controllers, r.managers, r.qos, r.queues}
}

func (r *replica) table(name []byte) rowTable {
	for _, t := range r.tables() {
		if is(name, t.tableName()) {
			return t
		}
	}
	return nil
}

// account takes or gives back memory.
func (r *replica) account(add int) error {
	if r.used+add > r.limit && add > 0 {
		return fmt.Errorf("ovsdb: monitor: the rows need more than %d bytes", r.limit)
	}
	if err := r.grow(add); err != nil {
		return err
	}
	r.used += add
	return nil
}

// A form is how a monitor's notifications tell of changes.
type form int

const (
	formRFC   form = iota // <table-updates>, RFC 7047, section 4.1.6
	formDiffs             // <table-updates2>, ovsdb-server(7), section 4.1.14
)

// begin makes w the watch of r; nothing has been shown to it.
func (r *replica) begin(w *watch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch, r.shown, r.unseen = w, nil, r.everything()
}

// everything is the journal of one who knows nothing.
func (r *replica) everything() journal {
	j := newJournal()
	for _, t := range r.tables() {
		j.tables[t.tableName()] = true
	}
	for id := range r.bridges.rows {
		j.bridges[id] = true
	}
	for id := range r.ports.rows {
		j.ports[id] = place[Port]{}
	}
	for id := range r.interfaces.rows {
		j.interfaces[id] = place[Interface]{}
	}
	return j
}

// forget makes r empty.
func (r *replica) forget() {
	for _, t := range r.tables() {
		_ = r.account(-t.forget()) // giving back never fails
	}
	clear(r.bridgeOf)
	clear(r.portOf)
	r.shown, r.unseen = nil, r.everything()
}

// release gives back the room that r takes and returns how much it was. What
// r holds stays.
func (r *replica) release() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes := r.used
	_ = r.account(-bytes) // giving back never fails
	r.watch, r.shown, r.unseen, r.undone = nil, nil, newJournal(), newJournal()
	return bytes
}

// adopt accounts for room that was made with grow.
func (r *replica) adopt(bytes int, grow func(int) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used, r.grow = bytes, grow
}

// apply takes over the changes of one transaction, all or none of them.
func (r *replica) apply(updates []byte, f form) error {
	if err := r.stage(updates, f); err != nil {
		r.broken = true
		for _, t := range r.tables() {
			_ = r.account(-t.drop()) // giving back never fails
		}
		return err
	}
	r.commit()
	select {
	case r.changed <- struct{}{}:
	default: // a token waits already
	}
	return nil
}

// stage prepares all changes, and makes room for them.
func (r *replica) stage(updates []byte, f form) error {
	if first(updates) != '{' {
		return errors.New("ovsdb: monitor: update: not an object")
	}
	for name, table := range members(updates) {
		t := r.table(name)
		if t == nil {
			return fmt.Errorf("ovsdb: monitor: update of %.50q: the table was not asked for", name)
		}
		if first(table) != '{' {
			return fmt.Errorf("ovsdb: monitor: update of %s: not an object", t.tableName())
		}
		for key, update := range members(table) {
			id, err := parseRowID(key)
			if err == nil {
				var kind change
				var value []byte
				if kind, value, err = f.decode(update); err == nil {
					err = t.stage(id, kind, value, r.account)
				}
			}
			if err != nil {
				return fmt.Errorf("ovsdb: monitor: update of %s %s: %w", t.tableName(), id, err)
			}
		}
	}
	rows := 0
	for _, t := range r.tables() {
		rows += t.count()
	}
	if rows > maxRows {
		return fmt.Errorf("ovsdb: monitor: more than %d rows", maxRows)
	}
	return nil
}

// decode takes the update of a row apart.
func (f form) decode(update []byte) (kind change, value []byte, err error) {
	if first(update) != '{' {
		return 0, nil, errors.New("not an object")
	}
	if f == formRFC {
		// A new row has no old, a deleted one no new; otherwise new has all
		// monitored columns.
		for name, v := range members(update) {
			if is(name, "new") && !null(v) {
				return changeWhole, v, nil
			}
		}
		return changeDelete, nil, nil
	}
	for name, v := range members(update) {
		switch {
		case is(name, "initial"), is(name, "insert"):
			return changeWhole, v, nil
		case is(name, "modify"):
			return changeModify, v, nil
		case is(name, "delete"):
			return changeDelete, nil, nil
		}
	}
	return 0, nil, errors.New("neither initial, insert, modify nor delete")
}

// commit takes over what is staged.
func (r *replica) commit() {
	ports, interfaces := r.touched()
	for _, j := range []*journal{&r.unseen, &r.undone} {
		for _, t := range r.tables() {
			if t.staging() {
				j.tables[t.tableName()] = true
			}
		}
		for id := range r.bridges.staged {
			j.bridges[id] = true
		}
		for id := range ports {
			if _, ok := j.ports[id]; !ok {
				j.ports[id] = r.portPlace(id)
			}
		}
		for id := range interfaces {
			if _, ok := j.interfaces[id]; !ok {
				j.interfaces[id] = r.interfacePlace(id)
			}
		}
	}
	for id, row := range r.bridges.staged {
		was, is := portsOf(r.bridges.rows[id]), portsOf(row)
		index(r.bridgeOf, id, was, is)
	}
	for id, row := range r.ports.staged {
		was, is := interfacesOf(r.ports.rows[id]), interfacesOf(row)
		index(r.portOf, id, was, is)
	}
	for _, t := range r.tables() {
		_ = r.account(-t.commit()) // giving back never fails
	}
	// What was nowhere and is nowhere must not pile up.
	for _, j := range []*journal{&r.unseen, &r.undone} {
		for id := range ports {
			if j.ports[id] == (place[Port]{}) && r.portPlace(id) == (place[Port]{}) {
				delete(j.ports, id)
			}
		}
		for id := range interfaces {
			if j.interfaces[id] == (place[Interface]{}) && r.interfacePlace(id) == (place[Interface]{}) {
				delete(j.interfaces, id)
			}
		}
		for id := range j.bridges {
			if r.bridges.rows[id] == nil {
				delete(j.bridges, id)
			}
		}
	}
}

// touched are the ports and interfaces that the staged rows change or move.
func (r *replica) touched() (ports, interfaces map[UUID]bool) {
	ports, interfaces = map[UUID]bool{}, map[UUID]bool{}
	for id := range r.interfaces.staged {
		interfaces[id] = true
	}
	for id, row := range r.bridges.staged {
		for port := range difference(portsOf(r.bridges.rows[id]), portsOf(row)) {
			ports[port] = true
		}
	}
	for id := range r.ports.staged {
		ports[id] = true
	}
	for id := range ports {
		for _, i := range interfacesOf(r.ports.rows[id]) {
			interfaces[i] = true
		}
		for _, i := range interfacesOf(r.ports.staged[id]) {
			interfaces[i] = true
		}
	}
	return ports, interfaces
}

func portsOf(row *bridgeRow) []UUID {
	if row == nil {
		return nil
	}
	return row.ports
}

func interfacesOf(row *Port) []UUID {
	if row == nil {
		return nil
	}
	return row.Interfaces
}

// difference is what is in just one of two sorted sets; true if in the second.
func difference(was, is []UUID) iter.Seq2[UUID, bool] {
	return func(yield func(UUID, bool) bool) {
		for len(was) > 0 || len(is) > 0 {
			switch {
			case len(is) == 0 || len(was) > 0 && was[0] < is[0]:
				if !yield(was[0], false) {
					return
				}
				was = was[1:]
			case len(was) == 0 || is[0] < was[0]:
				if !yield(is[0], true) {
					return
				}
				is = is[1:]
			default:
				was, is = was[1:], is[1:]
			}
		}
	}
}

// index keeps of, which leads from a member to its owner, in step with the
// owner's members. The schema lets a member have one owner only; if a server
// breaks that, the last one counts.
func index(of map[UUID]UUID, owner UUID, was, is []UUID) {
	for member, comes := range difference(was, is) {
		switch {
		case comes:
			of[member] = owner
		case of[member] == owner:
			delete(of, member)
		}
	}
}

// portPlace and interfacePlace are zero for what is on no bridge.
func (r *replica) portPlace(id UUID) place[Port] {
	bridge, row := r.bridgeOf[id], r.ports.rows[id]
	if row == nil || r.bridges.rows[bridge] == nil {
		return place[Port]{}
	}
	return place[Port]{bridge, row}
}

func (r *replica) interfacePlace(id UUID) place[Interface] {
	bridge, row := r.portPlace(r.portOf[id]).bridge, r.interfaces.rows[id]
	if row == nil || bridge == "" {
		return place[Interface]{}
	}
	return place[Interface]{bridge, row}
}
