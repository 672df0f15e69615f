package ovsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Configured is what came of a configuration.
type Configured struct {
	Results []Result         // of the operations
	Cfg     int64            // the next_cfg that it made
	Errors  []InterfaceError // of all interfaces that can not be opened, by name
}

// InterfaceError tells why ovs-vswitchd can not open an interface.
type InterfaceError struct {
	UUID  UUID
	Name  string
	Error string
}

// Configure is Transact followed by a wait until ovs-vswitchd has done what
// the database says: the transaction increments next_cfg, and cur_cfg follows
// (ovs-vswitchd.conf.db(5)). If ctx ends before that, the error says so and
// the result is that of the transaction.
func (c *Conn) Configure(ctx context.Context, operations ...Operation) (Configured, error) {
	f, err := c.followCfg(ctx)
	if err != nil {
		return Configured{}, err
	}
	// After what was asked for, so that the indexes of errors are right.
	all := append(operations[:len(operations):len(operations)],
		Mutate("Open_vSwitch", nil, Mutation{"next_cfg", "+=", 1}), Select("Open_vSwitch", nil, "next_cfg"))
	results, err := c.Transact(ctx, all...)
	if err != nil {
		return Configured{}, err
	}
	done := Configured{Results: results[:len(operations)]}
	rows := results[len(operations)+1].Rows
	if len(rows) != 1 {
		return done, fmt.Errorf("ovsdb: configure: the database has %d rows in table Open_vSwitch where one is due", len(rows))
	}
	if done.Cfg, err = rows[0].Int("next_cfg"); err != nil {
		return done, err
	}
	if err := f.wait(ctx, c, done.Cfg); err != nil {
		return done, fmt.Errorf("ovsdb: configure: waiting for ovs-vswitchd: %w", err)
	}
	results, err = c.Transact(ctx, Select("Interface", []Condition{{"error", "!=", Set{}}}, "_uuid", "name", "error"))
	if err != nil {
		return done, err
	}
	for _, row := range results[0].Rows {
		var e InterfaceError
		var err1, err2, err3 error
		e.UUID, err1 = row.UUID("_uuid")
		e.Name, err2 = row.String("name")
		e.Error, err3 = row.String("error")
		if err := errors.Join(err1, err2, err3); err != nil {
			return done, err
		}
		done.Errors = append(done.Errors, e)
	}
	slices.SortFunc(done.Errors, func(x, y InterfaceError) int { return cmp.Compare(x.Name, y.Name) })
	return done, nil
}

// A cfgFollower knows cur_cfg. It is started once for a connection and stays.
type cfgFollower struct {
	started chan struct{} // closed when the monitor has been answered
	err     error         // of that

	mu      sync.Mutex
	cur     int64
	changed chan struct{} // closed, and replaced, when cur changes
}

// followCfg starts the connection's cfgFollower unless it runs already.
func (c *Conn) followCfg(ctx context.Context) (*cfgFollower, error) {
	for {
		c.mu.Lock()
		f := c.cfgs
		mine := f == nil
		if mine {
			f = &cfgFollower{started: make(chan struct{}), changed: make(chan struct{})}
			c.cfgs = f
		}
		c.mu.Unlock()
		if mine {
			return f, c.startCfg(ctx, f)
		}
		select {
		case <-f.started:
			if f.err == nil {
				return f, nil
			}
			// Perhaps it was the other's ctx that ended: try for ourselves.
		case <-ctx.Done():
			return nil, fmt.Errorf("ovsdb: monitor: %w", context.Cause(ctx))
		}
	}
}

func (c *Conn) startCfg(ctx context.Context, f *cfgFollower) error {
	defer close(f.started)
	id := c.newMonitorID()
	c.setMonitor(id, f.update)
	// The method that every server knows: there is one row with one column.
	request := map[string]monitorRequest{"Open_vSwitch": {[]string{"cur_cfg"}}}
	f.err = c.call(ctx, "monitor", []any{Database, id, request}, func(result []byte) error { return f.update(result, "") })
	if f.err != nil {
		c.clearMonitor(id)
		c.mu.Lock()
		c.cfgs = nil
		c.mu.Unlock()
	}
	return f.err
}

func (f *cfgFollower) update(updates []byte, _ string) error {
	for name, table := range members(updates) {
		if !is(name, "Open_vSwitch") {
			continue
		}
		for _, update := range members(table) {
			_, row, err := formRFC.decode(update)
			if err != nil {
				return fmt.Errorf("ovsdb: monitor: update of Open_vSwitch: %w", err)
			}
			for name, value := range members(row) {
				if !is(name, "cur_cfg") {
					continue
				}
				cur, err := parseInt(value)
				if err != nil {
					return fmt.Errorf("ovsdb: monitor: column cur_cfg: %w", err)
				}
				f.mu.Lock()
				f.cur = cur
				close(f.changed)
				f.changed = make(chan struct{})
				f.mu.Unlock()
			}
		}
	}
	return nil
}

// wait returns when cur_cfg is at least cfg.
func (f *cfgFollower) wait(ctx context.Context, c *Conn, cfg int64) error {
	for {
		f.mu.Lock()
		cur, changed := f.cur, f.changed
		f.mu.Unlock()
		if cur >= cfg {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ctx.Done():
			return c.Err()
		}
	}
}
