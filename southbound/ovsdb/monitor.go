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

// Snapshot is the state of an Open vSwitch as of one of its transactions.
type Snapshot struct {
	SystemID   string // external_ids:system-id
	Hostname   string // external_ids:hostname
	OVSVersion string
	Bridges    []Bridge // by name
}

// Bridge is a row of table Bridge with its interfaces.
type Bridge struct {
	UUID         UUID
	Name         string
	DatapathID   string   // 16 hex digits; "" until ovs-vswitchd has made the bridge
	DatapathType string   // "" and "system" is the kernel datapath, "netdev" the userspace one
	FailMode     string   // "secure", "standalone" or "", which means standalone
	Protocols    []string // OpenFlow versions; empty for the default of Open vSwitch
	Interfaces   []Interface
}

// Interface is a row of table Interface.
type Interface struct {
	UUID        UUID
	Name        string
	OFPort      int64 // OpenFlow port number; 0 until it has one, -1 if it can not be opened
	ExternalIDs map[string]string
}

// monitored are the columns that a Snapshot is made of, by table.
var monitored = map[string]map[string][]string{
	"Open_vSwitch": {"columns": {"external_ids", "ovs_version"}},
	"Bridge":       {"columns": {"name", "datapath_id", "datapath_type", "fail_mode", "protocols", "ports"}},
	"Port":         {"columns": {"interfaces"}},
	"Interface":    {"columns": {"name", "ofport", "external_ids"}},
}

// maxRows bounds what a replica keeps of one switch.
const maxRows = 200_000

// A replica follows the monitored tables. Updates come from the reader of the
// connection, snapshots are taken by Monitor.
type replica struct {
	changed chan struct{} // holds one token while a change waits to be shown

	mu         sync.Mutex
	system     map[UUID]systemRow
	bridges    map[UUID]bridgeRow
	ports      map[UUID][]UUID
	interfaces map[UUID]Interface
}

type systemRow struct{ systemID, hostname, version string }

type bridgeRow struct {
	Bridge
	ports []UUID
}

func newReplica() *replica {
	return &replica{
		changed: make(chan struct{}, 1), system: map[UUID]systemRow{}, bridges: map[UUID]bridgeRow{},
		ports: map[UUID][]UUID{}, interfaces: map[UUID]Interface{},
	}
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
	if n := len(r.system) + len(r.bridges) + len(r.ports) + len(r.interfaces); n > maxRows {
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
		return setRow(r.ports, id, row, func(_ UUID, row Row) ([]UUID, error) { return row.UUIDs("interfaces") })
	case "Interface":
		return setRow(r.interfaces, id, row, decodeInterface)
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

func decodeSystem(_ UUID, row Row) (systemRow, error) {
	ids, err1 := row.Map("external_ids")
	version, err2 := row.String("ovs_version")
	return systemRow{systemID: ids["system-id"], hostname: ids["hostname"], version: version}, errors.Join(err1, err2)
}

func decodeBridge(id UUID, row Row) (bridgeRow, error) {
	b := bridgeRow{Bridge: Bridge{UUID: id}}
	var errs [6]error
	b.Name, errs[0] = row.String("name")
	b.DatapathID, errs[1] = row.String("datapath_id")
	b.DatapathType, errs[2] = row.String("datapath_type")
	b.FailMode, errs[3] = row.String("fail_mode")
	b.Protocols, errs[4] = row.Strings("protocols")
	b.ports, errs[5] = row.UUIDs("ports")
	return b, errors.Join(errs[:]...)
}

func decodeInterface(id UUID, row Row) (Interface, error) {
	i := Interface{UUID: id}
	var errs [3]error
	i.Name, errs[0] = row.String("name")
	i.OFPort, errs[1] = row.Int("ofport")
	i.ExternalIDs, errs[2] = row.Map("external_ids")
	return i, errors.Join(errs[:]...)
}

// snapshot copies the state, so that its receiver may keep it.
func (r *replica) snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Snapshot
	for _, row := range r.system { // there is one
		s.SystemID, s.Hostname, s.OVSVersion = row.systemID, row.hostname, row.version
	}
	for _, row := range r.bridges {
		b := row.Bridge
		b.Protocols = slices.Clone(b.Protocols)
		for _, port := range row.ports {
			for _, id := range r.ports[port] {
				if i, ok := r.interfaces[id]; ok {
					i.ExternalIDs = maps.Clone(i.ExternalIDs)
					b.Interfaces = append(b.Interfaces, i)
				}
			}
		}
		slices.SortFunc(b.Interfaces, func(x, y Interface) int { return cmp.Compare(x.Name, y.Name) })
		s.Bridges = append(s.Bridges, b)
	}
	slices.SortFunc(s.Bridges, func(x, y Bridge) int { return cmp.Compare(x.Name, y.Name) })
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
