// Package ovsdb speaks the OVSDB management protocol (RFC 7047) with the
// ovsdb-server of an Open vSwitch, over the connection that the switch opens
// after "ovs-vsctl set-manager tcp:ADDRESS:6640".
//
// A Conn runs transactions and follows bridges and interfaces (Monitor). All
// memory that a peer can make it use is bounded: by Config.MaxMessage for one
// connection, Config.MaxBuffered for all of them, and the row limit of a
// monitor. A peer that stalls or sends what is not OVSDB loses its connection.
package ovsdb

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/listen"
)

// Config says how connections behave. The zero value of every field but Log
// means its default.
type Config struct {
	Log *zap.Logger
	// EchoInterval is how long a switch may be silent before it is asked for
	// an echo (5 s), EchoTimeout how long it may take to answer (15 s).
	EchoInterval, EchoTimeout time.Duration
	// HandshakeTimeout bounds the first question, which databases there are (10 s).
	HandshakeTimeout time.Duration
	// RequestTimeout bounds the wait for an answer (30 s).
	RequestTimeout time.Duration
	// WriteTimeout is how long a switch may take to read a message (10 s).
	WriteTimeout time.Duration
	// MessageTimeout is how long a switch may take to send a message (30 s).
	MessageTimeout time.Duration
	// MaxMessage is the largest message in bytes (16 MiB).
	MaxMessage int
	// MaxBuffered bounds the buffers of all connections together, beyond
	// 64 KiB of each (256 MiB).
	MaxBuffered int
	// MaxConns bounds the connections (4,096).
	MaxConns int
}

func (cfg Config) withDefaults() *Config {
	for _, d := range []struct {
		field  *time.Duration
		preset time.Duration
	}{
		{&cfg.EchoInterval, 5 * time.Second}, {&cfg.EchoTimeout, 15 * time.Second},
		{&cfg.HandshakeTimeout, 10 * time.Second}, {&cfg.RequestTimeout, 30 * time.Second},
		{&cfg.WriteTimeout, 10 * time.Second}, {&cfg.MessageTimeout, 30 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.preset
		}
	}
	for _, n := range []struct {
		field  *int
		preset int
	}{{&cfg.MaxMessage, 16 << 20}, {&cfg.MaxBuffered, 256 << 20}, {&cfg.MaxConns, 4096}} {
		if *n.field <= 0 {
			*n.field = n.preset
		}
	}
	return &cfg
}

// Serve accepts switches on ln until ctx is done, then ends all connections,
// waits for their handlers and returns nil. For each peer that has an
// Open_vSwitch database it calls handle in a goroutine of its own, with the
// context of the connection; the connection ends when handle returns, and
// handle should return when ctx is done. A panic in handle ends that
// connection only.
//
// Serve closes ln. TLS is the listener's: pass one of package tls.
func Serve(ctx context.Context, ln net.Listener, cfg Config, handle func(ctx context.Context, c *Conn)) error {
	s := &server{cfg: cfg.withDefaults(), handle: handle}
	conns, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.wg.Wait()
	defer end(ErrStopped)
	if err := listen.Serve(ctx, ln, s.cfg.Log, func(nc net.Conn) { s.admit(conns, nc) }); err != nil {
		return fmt.Errorf("ovsdb: accept: %w", err)
	}
	return nil
}

type server struct {
	cfg      *Config
	handle   func(ctx context.Context, c *Conn)
	wg       sync.WaitGroup
	open     atomic.Int64
	buffered atomic.Int64

	mu     sync.Mutex
	quiet  time.Time // until then no refusal is logged
	silent int       // refusals not logged
}

// refused logs that a connection was turned away, at most once a second: a
// flood of connections must not become a flood of lines.
func (s *server) refused(peer net.Addr, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.quiet) {
		s.cfg.Log.Warn("OVSDB connection refused", zap.Stringer("peer", peer), zap.Error(err), zap.Int("not_logged_before", s.silent))
		s.quiet, s.silent = now.Add(time.Second), 0
		return
	}
	s.silent++
}

// grow accounts for buffers of all connections together.
func (s *server) grow(add int) error {
	if n := s.buffered.Add(int64(add)); add > 0 && n > int64(s.cfg.MaxBuffered) {
		s.buffered.Add(int64(-add))
		return fmt.Errorf("ovsdb: message: buffers of all connections exceed %d bytes", s.cfg.MaxBuffered)
	}
	return nil
}

func (s *server) admit(ctx context.Context, nc net.Conn) {
	if n := s.open.Add(1); n > int64(s.cfg.MaxConns) {
		s.open.Add(-1)
		s.refused(nc.RemoteAddr(), fmt.Errorf("ovsdb: there are %d connections already, which is the limit", n-1))
		_ = nc.Close() // it was never used
		return
	}
	c := newConn(ctx, nc, s.cfg, s.grow)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer s.open.Add(-1)
		s.serve(c)
	}()
}

// serve is the life of a connection.
func (s *server) serve(c *Conn) {
	var loops sync.WaitGroup
	defer loops.Wait()
	defer c.Close(ErrHandled)
	loops.Go(c.read)
	loops.Go(c.probe)
	// A server that stops must not wait for a peer that does not read.
	stop := context.AfterFunc(c.ctx, func() { c.Close(c.Err()) })
	defer stop()

	if err := c.greet(); err != nil {
		s.refused(c.RemoteAddr(), err)
		return
	}
	c.log.Info("OVSDB connected")
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("handler panicked", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	s.handle(c.ctx, c)
}

// greet makes sure that the peer is what we need, before anything is kept for it.
func (c *Conn) greet() error {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.HandshakeTimeout)
	defer cancel()
	names, err := c.Databases(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, Database) {
		return fmt.Errorf("ovsdb: the peer has no database %s, but: %s", Database, strings.Join(names, ", "))
	}
	return nil
}
