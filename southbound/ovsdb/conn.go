package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
	Method string
	Text   string
}

// Error describes the refusal.
func (e *ReplyError) Error() string { return "ovsdb: " + e.Method + ": " + e.Text }

// Conn is a connection to an ovsdb-server. Its methods may be called from
// several goroutines at once.
type Conn struct {
	cfg    *Config
	log    *zap.Logger
	nc     net.Conn
	ctx    context.Context
	cancel context.CancelCauseFunc
	frames *framer

	lastID   atomic.Uint64
	lastRead atomic.Int64 // Unix nanoseconds when bytes came last

	writing sync.Mutex // held while a message is written

	mu       sync.Mutex
	waiting  map[uint64]*request
	replicas map[string]*replica

	// Only the reader uses these.
	begun   time.Time // when the message under way began; zero between messages
	skipped int       // messages that meant nothing
}

// request is a call whose reply is awaited.
type request struct {
	take  func(json.RawMessage) error // called by the reader with the result; may be nil
	reply chan reply                  // holds one
}

type reply struct {
	result json.RawMessage
	err    error
}

// message is a request, a notification or a response (JSON-RPC 1.0).
type message struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

const (
	echoID     = `"echo"` // of our own echo requests
	maxEcho    = 64 << 10 // largest echo that is answered
	maxSkipped = 1000     // messages without meaning after which a peer is not taken for an ovsdb-server
)

func newConn(ctx context.Context, nc net.Conn, cfg *Config, grow func(int) error) *Conn {
	c := &Conn{
		cfg: cfg, log: cfg.Log.With(zap.Stringer("peer", nc.RemoteAddr())), nc: nc,
		waiting: map[uint64]*request{}, replicas: map[string]*replica{},
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
	var m message
	if err := json.Unmarshal(frame, &m); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("ovsdb: message: %w", err) // the stream is out of step
		}
		return c.skip(err.Error())
	}
	null := len(m.ID) == 0 || string(m.ID) == "null"
	switch {
	case m.Method == "echo" && !null:
		if len(m.Params) > maxEcho {
			return c.send(map[string]any{"id": m.ID, "result": nil, "error": "echo too long"})
		}
		params := m.Params
		if len(params) == 0 {
			params = json.RawMessage("[]")
		}
		return c.send(map[string]any{"id": m.ID, "result": params, "error": nil})
	case m.Method == "update":
		return c.update(m.Params)
	case m.Method != "" && !null:
		return c.send(map[string]any{"id": m.ID, "result": nil, "error": "unknown method"})
	case m.Method != "":
		return c.skip("notification that was not asked for")
	case null:
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

// update applies an update notification: [id, <table-updates>].
func (c *Conn) update(params json.RawMessage) error {
	var parts []json.RawMessage
	var id string
	if json.Unmarshal(params, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &id) != nil {
		return c.skip("update of no monitor of ours")
	}
	c.mu.Lock()
	r := c.replicas[id]
	c.mu.Unlock()
	if r == nil {
		return nil // of a monitor that was just given up
	}
	// A lost update can not be made good but by starting over.
	return r.apply(parts[1])
}

// respond hands a response to the call that waits for it.
func (c *Conn) respond(m message) error {
	if string(m.ID) == echoID {
		return nil // that it came is what counts
	}
	var id uint64
	if err := json.Unmarshal(m.ID, &id); err != nil {
		return c.skip("response to no request of ours")
	}
	c.mu.Lock()
	req := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if req == nil {
		return nil // its caller has given up
	}
	if len(m.Error) > 0 && string(m.Error) != "null" {
		var text string
		if json.Unmarshal(m.Error, &text) != nil {
			text = string(m.Error)
		}
		req.reply <- reply{err: &ReplyError{Text: text}}
		return nil
	}
	if req.take != nil {
		if err := req.take(m.Result); err != nil {
			req.reply <- reply{err: err}
			return err
		}
	}
	req.reply <- reply{result: m.Result}
	return nil
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
// result in the reader, before any later message is looked at.
func (c *Conn) call(ctx context.Context, method string, params any, take func(json.RawMessage) error) (json.RawMessage, error) {
	id := c.lastID.Add(1)
	req := &request{take: take, reply: make(chan reply, 1)}
	c.mu.Lock()
	c.waiting[id] = req
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if err := c.send(map[string]any{"method": method, "params": params, "id": id}); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(c.cfg.RequestTimeout)
	defer timeout.Stop()
	select {
	case r := <-req.reply:
		return r.of(method)
	case <-timeout.C:
		return nil, fmt.Errorf("ovsdb: %s: no answer within %v", method, c.cfg.RequestTimeout)
	case <-ctx.Done():
		return nil, fmt.Errorf("ovsdb: %s: %w", method, context.Cause(ctx))
	case <-c.ctx.Done():
		select {
		case r := <-req.reply: // the last that the switch said
			return r.of(method)
		default:
			return nil, fmt.Errorf("ovsdb: %s: %w", method, c.Err())
		}
	}
}

// of completes the answer to a call of method.
func (r reply) of(method string) (json.RawMessage, error) {
	var refused *ReplyError
	if errors.As(r.err, &refused) {
		refused.Method = method
	}
	return r.result, r.err
}

// Databases lists the databases that the server has.
func (c *Conn) Databases(ctx context.Context) ([]string, error) {
	answer, err := c.call(ctx, "list_dbs", []any{}, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(answer, &names); err != nil {
		return nil, fmt.Errorf("ovsdb: list_dbs: %w", err)
	}
	return names, nil
}

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
