package ovsdb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// monitored are the columns that a Snapshot is made of, by table.
var monitored = map[string]map[string][]string{
	"Open_vSwitch": {"columns": {"external_ids", "ovs_version", "datapath_types", "next_cfg", "cur_cfg"}},
	"Bridge": {"columns": {"name", "datapath_id", "datapath_type", "fail_mode", "protocols", "other_config", "external_ids",
		"controller", "ports"}},
	"Port": {"columns": {"name", "tag", "qos", "interfaces", "external_ids"}},
	"Interface": {"columns": {"name", "type", "ofport", "ofport_request", "external_ids", "options", "mac_in_use", "error",
		"link_state", "admin_state", "bfd_status"}},
	"Controller": {"columns": {"target", "is_connected", "role", "external_ids"}},
	"Manager":    {"columns": {"target", "is_connected", "external_ids"}},
	"QoS":        {"columns": {"type", "queues", "other_config", "external_ids"}},
	"Queue":      {"columns": {"other_config", "external_ids"}},
}

// maxRows bounds what a replica keeps of one switch.
const maxRows = 200_000

// A replica follows the monitored tables. Updates come from the reader of the
// connection, snapshots are taken by Monitor.
type replica struct {
	changed chan struct{} // holds one token while a change waits to be shown

	mu          sync.Mutex
	system      map[UUID]systemRow
	bridges     map[UUID]bridgeRow
	ports       map[UUID]Port
	interfaces  map[UUID]Interface
	controllers map[UUID]Controller
	managers    map[UUID]Manager
	qos         map[UUID]QoS
	queues      map[UUID]Queue
}

type systemRow struct {
	version         string
	externalIDs     map[string]string
	datapathTypes   []string
	nextCfg, curCfg int64
}

type bridgeRow struct {
	Bridge
	ports, controllers []UUID
}

func newReplica() *replica {
	return &replica{
		changed: make(chan struct{}, 1), system: map[UUID]systemRow{}, bridges: map[UUID]bridgeRow{},
		ports: map[UUID]Port{}, interfaces: map[UUID]Interface{}, controllers: map[UUID]Controller{},
		managers: map[UUID]Manager{}, qos: map[UUID]QoS{}, queues: map[UUID]Queue{},
	}
}

func (r *replica) rows() int {
	return len(r.system) + len(r.bridges) + len(r.ports) + len(r.interfaces) +
		len(r.controllers) + len(r.managers) + len(r.qos) + len(r.queues)
}

// tableUpdates is <table-updates> of RFC 7047, section 4.1.6: for each table
// and row its columns before and after. A new row has no old, a deleted one no
// new; otherwise new has all monitored columns.
type tableUpdates map[string]map[UUID]struct {
	New Row `json:"new"`
}

// apply takes over the changes of one transaction, all or none of them.
func (r *replica) apply(raw json.RawMessage) error {
	var updates tableUpdates
	if err := json.Unmarshal(raw, &updates); err != nil {
		return fmt.Errorf("ovsdb: monitor: update: %w", err)
	}
	var changes []func()
	for table, rows := range updates {
		for id, update := range rows {
			change, err := r.change(table, id, update.New)
			if err != nil {
				return fmt.Errorf("ovsdb: monitor: update of %s %s: %w", table, id, err)
			}
			changes = append(changes, change)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, change := range changes {
		change()
	}
	if r.rows() > maxRows {
		return fmt.Errorf("ovsdb: monitor: more than %d rows", maxRows)
	}
	select {
	case r.changed <- struct{}{}:
	default: // a token waits already
	}
	return nil
}

// change decodes one row and returns how to take it over.
func (r *replica) change(table string, id UUID, row Row) (func(), error) {
	switch table {
	case "Open_vSwitch":
		return setRow(r.system, id, row, decodeSystem)
	case "Bridge":
		return setRow(r.bridges, id, row, decodeBridge)
	case "Port":
		return setRow(r.ports, id, row, decodePort)
	case "Interface":
		return setRow(r.interfaces, id, row, decodeInterface)
	case "Controller":
		return setRow(r.controllers, id, row, decodeController)
	case "Manager":
		return setRow(r.managers, id, row, decodeManager)
	case "QoS":
		return setRow(r.qos, id, row, decodeQoS)
	case "Queue":
		return setRow(r.queues, id, row, decodeQueue)
	}
	return nil, errors.New("the table was not asked for")
}

func setRow[T any](rows map[UUID]T, id UUID, row Row, decode func(UUID, Row) (T, error)) (func(), error) {
	if row == nil {
		return func() { delete(rows, id) }, nil
	}
	value, err := decode(id, row)
	return func() { rows[id] = value }, err
}

// columns reads the columns of a row; absent ones are zero. The first error
// stays.
type columns struct {
	row Row
	err error
}

func column[T any](c *columns, name string, read func(string) (T, error)) T {
	var zero T
	if _, ok := c.row[name]; !ok || c.err != nil {
		return zero
	}
	value, err := read(name)
	if err != nil {
		c.err = err
		return zero
	}
	return value
}

func (c *columns) text(name string) string       { return column(c, name, c.row.String) }
func (c *columns) texts(name string) []string    { return column(c, name, c.row.Strings) }
func (c *columns) integer(name string) int64     { return column(c, name, c.row.Int) }
func (c *columns) boolean(name string) bool      { return column(c, name, c.row.Bool) }
func (c *columns) references(name string) []UUID { return column(c, name, c.row.UUIDs) }

func (c *columns) reference(name string) UUID {
	if list := c.references(name); len(list) > 0 {
		return list[0]
	}
	return ""
}

func (c *columns) pairs(name string) map[string]string {
	if m := column(c, name, c.row.Map); len(m) > 0 {
		return m
	}
	return nil
}

func decodeSystem(_ UUID, row Row) (systemRow, error) {
	c := columns{row: row}
	s := systemRow{
		version: c.text("ovs_version"), externalIDs: c.pairs("external_ids"), datapathTypes: c.texts("datapath_types"),
		nextCfg: c.integer("next_cfg"), curCfg: c.integer("cur_cfg"),
	}
	return s, c.err
}

func decodeBridge(id UUID, row Row) (bridgeRow, error) {
	c := columns{row: row}
	b := bridgeRow{Bridge: Bridge{
		UUID: id, Name: c.text("name"), DatapathID: c.text("datapath_id"), DatapathType: c.text("datapath_type"),
		FailMode: c.text("fail_mode"), Protocols: c.texts("protocols"), OtherConfig: c.pairs("other_config"),
		ExternalIDs: c.pairs("external_ids"),
	}, ports: c.references("ports"), controllers: c.references("controller")}
	return b, c.err
}

func decodePort(id UUID, row Row) (Port, error) {
	c := columns{row: row}
	p := Port{
		UUID: id, Name: c.text("name"), Tag: c.integer("tag"), QoS: c.reference("qos"),
		Interfaces: c.references("interfaces"), ExternalIDs: c.pairs("external_ids"),
	}
	return p, c.err
}

func decodeInterface(id UUID, row Row) (Interface, error) {
	c := columns{row: row}
	i := Interface{
		UUID: id, Name: c.text("name"), Type: c.text("type"), OFPort: c.integer("ofport"), OFPortRequest: c.integer("ofport_request"),
		ExternalIDs: c.pairs("external_ids"), Options: c.pairs("options"), MACInUse: c.text("mac_in_use"), Error: c.text("error"),
		LinkState: c.text("link_state"), AdminState: c.text("admin_state"), BFDStatus: c.pairs("bfd_status"),
	}
	return i, c.err
}

func decodeController(id UUID, row Row) (Controller, error) {
	c := columns{row: row}
	o := Controller{
		UUID: id, Target: c.text("target"), IsConnected: c.boolean("is_connected"), Role: c.text("role"), ExternalIDs: c.pairs("external_ids"),
	}
	return o, c.err
}

func decodeManager(id UUID, row Row) (Manager, error) {
	c := columns{row: row}
	m := Manager{UUID: id, Target: c.text("target"), IsConnected: c.boolean("is_connected"), ExternalIDs: c.pairs("external_ids")}
	return m, c.err
}

func decodeQoS(id UUID, row Row) (QoS, error) {
	c := columns{row: row}
	q := QoS{
		UUID: id, Type: c.text("type"), Queues: column(&c, "queues", row.References),
		OtherConfig: c.pairs("other_config"), ExternalIDs: c.pairs("external_ids"),
	}
	return q, c.err
}

func decodeQueue(id UUID, row Row) (Queue, error) {
	c := columns{row: row}
	q := Queue{UUID: id, OtherConfig: c.pairs("other_config"), ExternalIDs: c.pairs("external_ids")}
	return q, c.err
}

// snapshot is the state as it is now.
func (r *replica) snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Snapshot
	for id, row := range r.system { // there is one
		s = Snapshot{
			Root: id, SystemID: row.externalIDs["system-id"], Hostname: row.externalIDs["hostname"], OVSVersion: row.version,
			ExternalIDs: row.externalIDs, DatapathTypes: row.datapathTypes, NextCfg: row.nextCfg, CurCfg: row.curCfg,
		}
	}
	for _, row := range r.bridges {
		b := row.Bridge
		for _, id := range row.controllers {
			if o, ok := r.controllers[id]; ok {
				b.Controllers = append(b.Controllers, o)
			}
		}
		for _, port := range row.ports {
			p, ok := r.ports[port]
			if !ok {
				continue
			}
			b.Ports = append(b.Ports, p)
			for _, id := range p.Interfaces {
				if i, ok := r.interfaces[id]; ok {
					b.Interfaces = append(b.Interfaces, i)
				}
			}
		}
		slices.SortFunc(b.Controllers, func(x, y Controller) int { return cmp.Compare(x.Target, y.Target) })
		slices.SortFunc(b.Ports, func(x, y Port) int { return cmp.Compare(x.Name, y.Name) })
		slices.SortFunc(b.Interfaces, func(x, y Interface) int { return cmp.Compare(x.Name, y.Name) })
		s.Bridges = append(s.Bridges, b)
	}
	slices.SortFunc(s.Bridges, func(x, y Bridge) int { return cmp.Compare(x.Name, y.Name) })
	s.QoS = slices.SortedFunc(maps.Values(r.qos), func(x, y QoS) int { return cmp.Compare(x.UUID, y.UUID) })
	s.Queues = slices.SortedFunc(maps.Values(r.queues), func(x, y Queue) int { return cmp.Compare(x.UUID, y.UUID) })
	s.Managers = slices.SortedFunc(maps.Values(r.managers), func(x, y Manager) int { return cmp.Compare(x.Target, y.Target) })
	return s
}

// Monitor calls each with the state of the switch, first at once and then
// after changes, until ctx is done or the connection ends; it returns why.
// Every Snapshot is the state after some transaction; while each is busy,
// later ones are folded into one.
func (c *Conn) Monitor(ctx context.Context, each func(Snapshot)) error {
	r := newReplica()
	id := "macloom-" + strconv.FormatUint(c.lastID.Add(1), 10)
	c.mu.Lock()
	c.replicas[id] = r
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.replicas, id)
		c.mu.Unlock()
	}()
	// The reader itself applies the first state: an update may follow it closely.
	if _, err := c.call(ctx, "monitor", []any{Database, id, monitored}, r.apply); err != nil {
		return err
	}
	for {
		select {
		case <-r.changed:
			each(r.snapshot())
		case <-c.ctx.Done():
			return c.Err()
		case <-ctx.Done():
			if c.ctx.Err() == nil {
				cancelCtx, cancel := context.WithTimeout(c.ctx, c.cfg.WriteTimeout)
				defer cancel()
				_, err := c.call(cancelCtx, "monitor_cancel", []any{id}, nil)
				return errors.Join(context.Cause(ctx), err)
			}
			return context.Cause(ctx)
		}
	}
}
