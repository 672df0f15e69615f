package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Reasons why a connection ended, besides errors of the network.
var (
	// ErrStopped tells that Serve was told to stop.
	ErrStopped = errors.New("ovsdb: the server stops")
	// ErrHandled tells that the handler has returned.
	ErrHandled = errors.New("ovsdb: the connection is not needed any more")
	// ErrPeerClosed tells that the switch closed the connection.
	ErrPeerClosed = errors.New("ovsdb: the switch closed the connection")
)

// ReplyError is the error of a whole request, where the server gave one.
type ReplyError struct {
	Method  string
	Tag     string // such as "unknown database"
	Details string // may be empty
}

// unknownMethod is the tag of requests that a server does not have.
const unknownMethod = "unknown method"

// Error describes the refusal.
func (e *ReplyError) Error() string {
	if e.Details == "" {
		return "ovsdb: " + e.Method + ": " + e.Tag
	}
	return "ovsdb: " + e.Method + ": " + e.Tag + ": " + e.Details
}

// Conn is a connection to an ovsdb-server. Its methods may be called from
// several goroutines at once.
type Conn struct {
	cfg       *Config
	log       *zap.Logger
	nc        net.Conn
	ctx       context.Context
	cancel    context.CancelCauseFunc
	frames    *framer
	grow      func(int) error // makes room, and takes it back if negative
	memory    *memory
	databases []string // that the server has

	lastID   atomic.Uint64
	lastRead atomic.Int64 // Unix nanoseconds when bytes came last

	writing sync.Mutex // held while a message is written

	mu       sync.Mutex
	waiting  map[uint64]*request
	monitors map[string]func(updates []byte, txn string) error
	cfgs     *cfgFollower // nil until somebody waits for a configuration

	// Only the reader uses these.
	begun   time.Time // when the message under way began; zero between messages
	skipped int       // messages that meant nothing
}

// request is a call whose reply is awaited.
type request struct {
	method string
	take   func(result []byte) error // called by the reader with the result; may be nil
	reply  chan error                // holds one
}

// message is a request, a notification or a response (JSON-RPC 1.0): parts of
// the text that it came as.
type message struct {
	method, params, id, result, err []byte
}

func parseMessage(text []byte) (m message) {
	for name, value := range members(text) {
		switch {
		case is(name, "method"):
			m.method = value
		case is(name, "params"):
			m.params = value
		case is(name, "id"):
			m.id = value
		case is(name, "result"):
			m.result = value
		case is(name, "error"):
			m.err = value
		}
	}
	return m
}

const (
	echoID     = `"echo"` // of our own echo requests
	maxEcho    = 64 << 10 // largest echo that is answered
	maxSkipped = 1000     // messages without meaning after which a peer is not taken for an ovsdb-server
)

func newConn(ctx context.Context, nc net.Conn, cfg *Config, grow func(int) error, m *memory) *Conn {
	c := &Conn{
		cfg: cfg, log: cfg.Log.With(zap.Stringer("peer", nc.RemoteAddr())), nc: nc, grow: grow, memory: m,
		waiting: map[uint64]*request{}, monitors: map[string]func([]byte, string) error{},
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.lastRead.Store(time.Now().UnixNano())
	c.frames = newFramer((*timedReader)(c), cfg.MaxMessage, grow)
	return c
}

// RemoteAddr is the address of the switch.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address at which the switch reached us, or from which we
// reached it.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err is why the connection ended; nil while it lasts.
func (c *Conn) Err() error { return context.Cause(c.ctx) }

// Close ends the connection; what waits for an answer gets reason. Only the
// first reason counts.
func (c *Conn) Close(reason error) {
	c.cancel(reason)
	_ = c.nc.Close() // nothing is lost: every write has been waited for
}

// timedReader reads from the connection with a deadline: bytes must come
// within the times of echo, and a message must be whole within MessageTimeout.
type timedReader Conn

func (r *timedReader) Read(p []byte) (int, error) {
	now := time.Now()
	deadline := now.Add(r.cfg.EchoInterval + r.cfg.EchoTimeout)
	if r.frames.started() {
		if r.begun.IsZero() {
			r.begun = now
		}
		if whole := r.begun.Add(r.cfg.MessageTimeout); whole.Before(deadline) {
			deadline = whole
		}
	}
	if err := r.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := r.nc.Read(p)
	if n > 0 {
		r.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
}

// read handles messages in order until the connection ends.
func (c *Conn) read() {
	defer c.frames.close()
	for {
		c.begun = time.Time{}
		frame, err := c.frames.next()
		if err == nil {
			err = c.handle(frame)
		}
		if err != nil {
			var timeout net.Error
			switch {
			case errors.Is(err, io.EOF):
				err = ErrPeerClosed
			case errors.As(err, &timeout) && timeout.Timeout():
				err = errors.New("ovsdb: the switch stalls: no answer to echo, or a message that does not end")
			}
			c.Close(err)
			return
		}
	}
}

// handle acts on one message. Its error ends the connection.
func (c *Conn) handle(frame []byte) error {
	if !json.Valid(frame) {
		return errors.New("ovsdb: message: not JSON") // the stream is out of step
	}
	m := parseMessage(frame)
	switch {
	case is(m.method, "echo") && !null(m.id):
		if len(m.params) > maxEcho || len(m.id) > maxEcho {
			return errors.New("ovsdb: echo: too long")
		}
		params := json.RawMessage(m.params)
		if len(params) == 0 {
			params = json.RawMessage("[]")
		}
		return c.send(map[string]any{"id": json.RawMessage(m.id), "result": params, "error": nil})
	case is(m.method, "update"), is(m.method, "update2"):
		if parts, ok := tuple(m.params, 2); ok {
			return c.update(parts[0], parts[1], "")
		}
		return c.skip("update of no monitor of ours")
	case is(m.method, "update3"):
		parts, ok := tuple(m.params, 3)
		txn, err := parseRowID(parts[1])
		if ok && err == nil {
			return c.update(parts[0], parts[2], string(txn))
		}
		return c.skip("update of no monitor of ours")
	case !null(m.method) && !null(m.id):
		if len(m.id) > maxEcho {
			return errors.New("ovsdb: request: the id is too long")
		}
		return c.send(map[string]any{"id": json.RawMessage(m.id), "result": nil, "error": unknownMethod})
	case !null(m.method):
		return c.skip("notification that was not asked for")
	case null(m.id):
		return c.skip("neither request nor response")
	}
	return c.respond(m)
}

// skip counts a message that means nothing to us, and says so for the first.
func (c *Conn) skip(what string) error {
	if c.skipped++; c.skipped == 1 {
		c.log.Warn("message skipped", zap.String("what", what))
	}
	if c.skipped > maxSkipped {
		return fmt.Errorf("ovsdb: more than %d messages without meaning", maxSkipped)
	}
	return nil
}

// update hands what a monitor tells to whoever follows it.
func (c *Conn) update(monitor, updates []byte, txn string) error {
	id, err := parseText(monitor)
	if err != nil {
		return c.skip("update of no monitor of ours")
	}
	c.mu.Lock()
	take := c.monitors[id]
	c.mu.Unlock()
	if take == nil {
		return nil // of a monitor that was just given up
	}
	// A lost update can not be made good but by starting over.
	return take(updates, txn)
}

// respond hands a response to the call that waits for it.
func (c *Conn) respond(m message) error {
	if string(m.id) == echoID {
		return nil // that it came is what counts
	}
	id, err := parseInt(m.id)
	if err != nil {
		return c.skip("response to no request of ours")
	}
	c.mu.Lock()
	req := c.waiting[uint64(id)]
	delete(c.waiting, uint64(id))
	c.mu.Unlock()
	switch {
	case req == nil: // its caller has given up
	case !null(m.err):
		req.reply <- replyError(req.method, m.err)
	case req.take != nil:
		req.reply <- req.take(m.result)
	default:
		req.reply <- nil
	}
	return nil
}

// maxErrorText bounds what is kept of a server's words about an error.
const maxErrorText = 1 << 10

// replyError reads an <error>, or the string that some servers send instead.
func replyError(method string, text []byte) error {
	e := &ReplyError{Method: method}
	var tagged bool
	for name, value := range members(text) {
		switch {
		case is(name, "error"):
			e.Tag, tagged = shortText(value), true
		case is(name, "details"):
			e.Details = shortText(value)
		}
	}
	if !tagged {
		e.Tag = shortText(text)
	}
	return e
}

// shortText is a string, or whatever value is instead, cut if it is long.
func shortText(value []byte) string {
	if len(value) > maxErrorText {
		value = value[:maxErrorText]
	}
	if s, err := parseText(value); err == nil {
		return s
	}
	return strings.ToValidUTF8(string(value), "")
}

// send writes one message. A peer that does not read loses its connection.
func (c *Conn) send(m map[string]any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("ovsdb: encoding a message: %w", err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	err = c.nc.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout))
	if err == nil {
		_, err = c.nc.Write(text)
	}
	if err != nil {
		c.Close(fmt.Errorf("ovsdb: writing: %w", err))
		return c.Err() // an earlier reason tells more
	}
	return nil
}

// call makes a request and waits for its result. take, unless nil, gets the
// result in the reader, before any later message is looked at; the memory of
// the result is the reader's. When call returns, take is over or never comes.
func (c *Conn) call(ctx context.Context, method string, params any, take func(result []byte) error) error {
	id := c.lastID.Add(1)
	req := &request{method: method, take: take, reply: make(chan error, 1)}
	c.mu.Lock()
	c.waiting[id] = req
	c.mu.Unlock()
	// late is the answer if the reader has it in hand already.
	late := func(otherwise error) error {
		c.mu.Lock()
		_, waits := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if waits {
			return fmt.Errorf("ovsdb: %s: %w", method, otherwise)
		}
		return <-req.reply
	}
	if err := c.send(map[string]any{"method": method, "params": params, "id": id}); err != nil {
		return late(err)
	}
	timeout := time.NewTimer(c.cfg.RequestTimeout)
	defer timeout.Stop()
	select {
	case err := <-req.reply:
		return err
	case <-timeout.C:
		return late(fmt.Errorf("no answer within %v", c.cfg.RequestTimeout))
	case <-ctx.Done():
		return late(context.Cause(ctx))
	case <-c.ctx.Done():
		return late(c.Err())
	}
}

// Databases lists the databases that the server has.
func (c *Conn) Databases(ctx context.Context) (names []string, err error) {
	err = c.call(ctx, "list_dbs", []any{}, func(result []byte) error {
		if first(result) != '[' || size(result) > maxDatabases {
			return errors.New("ovsdb: list_dbs: not a list of databases")
		}
		for e := range elements(result) {
			names = append(names, shortText(e))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// maxDatabases is more than a server has.
const maxDatabases = 100

// probe asks a silent switch for an echo, so that the reader's deadline tells
// a dead one from a quiet one.
func (c *Conn) probe() {
	tick := time.NewTicker(c.cfg.EchoInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-tick.C:
			if now.UnixNano()-c.lastRead.Load() < int64(c.cfg.EchoInterval)/2 {
				continue
			}
			if err := c.send(map[string]any{"method": "echo", "params": []any{}, "id": json.RawMessage(echoID)}); err != nil {
				return // the connection has ended
			}
		}
	}
}
