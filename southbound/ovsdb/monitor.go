package ovsdb

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// zeroTxn stands for no transaction (ovsdb-server(7), section 4.1.15).
const zeroTxn = "00000000-0000-0000-0000-000000000000"

// A watch is one use of a replica: what a monitor of ours sends goes to the
// replica only as long as that is the watch's own.
type watch struct {
	id    string
	form  form
	r     *replica
	begun bool   // the first state is there
	key   string // of the state in memory; "" if the server can not resume
}

// Monitor calls each with the state of the switch, first at once and then
// after changes, until ctx is done or the connection ends; it returns why.
// Every Snapshot is the state after some transaction; while each is busy,
// later ones are folded into one.
func (c *Conn) Monitor(ctx context.Context, each func(Snapshot)) error {
	return c.Watch(ctx, func(ch Changes) { each(ch.Snapshot()) })
}

// Watch is Monitor for those who want to know what is different and not only
// what is: its cost goes with the number of changes, not with that of rows.
//
// It asks for what the schema of the server has, by the best method that the
// server knows: monitor_cond_since, monitor_cond or monitor. A server that has
// been watched over an earlier connection of the same Serve or Follow sends
// only what changed since, if it remembers: a clustered database does so, the
// standalone one of most switches does not.
func (c *Conn) Watch(ctx context.Context, each func(Changes)) error {
	w, err := c.startWatch(ctx)
	if err != nil {
		return err
	}
	defer c.endWatch(w)
	for {
		select {
		case <-w.r.changed:
			each(w.r.changes())
		case <-c.ctx.Done():
			return c.Err()
		case <-ctx.Done():
			if c.ctx.Err() == nil {
				cancelCtx, cancel := context.WithTimeout(c.ctx, c.cfg.WriteTimeout)
				defer cancel()
				return errors.Join(context.Cause(ctx), c.call(cancelCtx, "monitor_cancel", []any{w.id}, nil))
			}
			return context.Cause(ctx)
		}
	}
}

// monitorRequest is a <monitor-request>; the extensions take the same.
type monitorRequest struct {
	Columns []string `json:"columns"`
}

// startWatch makes the server tell of changes, and returns when the first
// state is there.
func (c *Conn) startWatch(ctx context.Context) (*watch, error) {
	schema, err := c.GetSchema(ctx, Database)
	if err != nil {
		return nil, err
	}
	w := &watch{id: c.newMonitorID(), r: newReplica(c.cfg.MaxReplica, c.grow)}
	requests := map[string][]monitorRequest{}
	var asked strings.Builder
	for _, t := range w.r.tables() {
		columns, err := t.request(schema)
		if err != nil {
			return nil, err
		}
		if len(columns) > 0 {
			requests[t.tableName()] = []monitorRequest{{columns}}
			fmt.Fprintf(&asked, "%s%q", t.tableName(), columns)
		}
	}
	cluster, err := c.cluster(ctx)
	if err != nil {
		return nil, err
	}
	if cluster != "" {
		w.key = c.identity() + " " + string(cluster) + " " + asked.String()
		if kept := c.memory.take(w.key, c.grow); kept != nil {
			w.r = kept
		}
	}
	w.r.begin(w)
	c.setMonitor(w.id, w.update)
	since := w.r.last
	if since == "" {
		since = zeroTxn
	}
	resumed := false
	methods := []struct {
		name   string
		params []any
		take   func(result []byte) error
	}{
		// The reader itself takes over the first state: an update may follow it closely.
		{"monitor_cond_since", []any{Database, w.id, requests, since}, func(result []byte) error {
			parts, ok := tuple(result, 3)
			found, err1 := parseBool(parts[0])
			last, err2 := parseRowID(parts[1])
			if !ok || err1 != nil || err2 != nil {
				return errors.New("ovsdb: monitor_cond_since: the answer is not [found, transaction, updates]")
			}
			resumed = found
			return w.first(parts[2], formDiffs, string(last), found)
		}},
		{"monitor_cond", []any{Database, w.id, requests}, func(result []byte) error { return w.first(result, formDiffs, "", false) }},
		{"monitor", []any{Database, w.id, requests}, func(result []byte) error { return w.first(result, formRFC, "", false) }},
	}
	for i, m := range methods {
		err = c.call(ctx, m.name, m.params, m.take)
		var refused *ReplyError
		if i < len(methods)-1 && errors.As(err, &refused) && refused.Tag == unknownMethod {
			continue
		}
		if err != nil {
			c.endWatch(w)
			if !errors.As(err, &refused) && context.Cause(ctx) == nil {
				c.Close(err) // what came is not understood
			}
			return nil, err
		}
		c.log.Debug("OVSDB monitored", zap.String("method", m.name), zap.Bool("resumed", resumed))
		break
	}
	return w, nil
}

// endWatch keeps the state if the server may be able to resume from it.
func (c *Conn) endWatch(w *watch) {
	c.clearMonitor(w.id)
	w.r.mu.Lock()
	w.r.watch = nil
	resumable := w.key != "" && w.r.last != "" && w.r.last != zeroTxn && !w.r.broken
	w.r.mu.Unlock()
	if resumable {
		c.memory.keep(w.key, w.r)
		return
	}
	w.r.release()
}

// first takes over what a monitor begins with.
func (w *watch) first(updates []byte, f form, last string, resumed bool) error {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watch != w {
		return nil
	}
	w.form, w.begun = f, true
	if !resumed {
		r.forget()
	}
	if err := r.apply(updates, f); err != nil {
		return err
	}
	r.last = last
	return nil
}

// update takes over a notification.
func (w *watch) update(updates []byte, last string) error {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watch != w {
		return nil
	}
	if !w.begun {
		return errors.New("ovsdb: monitor: an update before the first state")
	}
	if err := r.apply(updates, w.form); err != nil {
		return err
	}
	r.last = last
	return nil
}

// cluster is the id of the cluster that the database belongs to; "" if it
// belongs to none. Ids of clusters are drawn at random, as those of their
// transactions are: who knows both has the same history.
func (c *Conn) cluster(ctx context.Context) (UUID, error) {
	if !slices.Contains(c.databases, serverDatabase) {
		return "", nil
	}
	results, err := c.transact(ctx, serverDatabase, Select("Database", []Condition{{"name", "==", Database}}, "model", "cid"))
	if err != nil {
		var failed *OperationError
		var refused *ReplyError
		if errors.As(err, &failed) || errors.As(err, &refused) {
			return "", nil // a version that does not tell
		}
		return "", err
	}
	for _, row := range results[0].Rows {
		if model, err := row.String("model"); err == nil && model == "clustered" {
			return row.UUID("cid")
		}
	}
	return "", nil
}

// identity is by whom state that is kept may be used again: a peer that claims
// to be another's server must not get to change what is known of that.
func (c *Conn) identity() string {
	host := hostOf(c.RemoteAddr())
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return host
	}
	for _, cert := range t.ConnectionState().PeerCertificates {
		return fmt.Sprintf("%s %x", host, sha256.Sum256(cert.Raw))
	}
	return host
}

func (c *Conn) newMonitorID() string {
	return "macloom-" + strconv.FormatUint(c.lastID.Add(1), 10)
}

// setMonitor has update called, by the reader, with what the monitor id sends.
func (c *Conn) setMonitor(id string, update func(updates []byte, txn string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.monitors[id] = update
}

func (c *Conn) clearMonitor(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.monitors, id)
}
