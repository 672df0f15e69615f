// Package ovsdb speaks the OVSDB management protocol (RFC 7047 and the
// extensions of ovsdb-server(7)) with the ovsdb-server of an Open vSwitch:
// over connections that switches open after "ovs-vsctl set-manager
// tcp:ADDRESS:6640" (Serve), and over those that we open (Dial, Follow).
//
// A Conn runs transactions (Transact, Configure) and follows what a controller
// needs to know of a switch (Watch, Monitor).
//
// All memory that a peer can make it use is bounded, see Config: a message and
// the rows that are kept by connection, both together by address and in all.
// To decode a message takes, besides its text, the rows that it brings, which
// are counted before they are kept, and one set or map of at most 65,536
// elements; rows are counted with 512 bytes and 64 more for each element,
// which is more than they take. A peer that stalls or sends what is not OVSDB
// loses its connection.
package ovsdb

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
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
	// MaxReplica bounds the rows that are kept of one server, in bytes (64 MiB,
	// which is enough for 20,000 interfaces).
	MaxReplica int
	// MaxMemory bounds rows and buffers, beyond 64 KiB of each connection, of
	// all connections together (1 GiB); MaxMemoryPerAddress those of one
	// address (256 MiB).
	MaxMemory, MaxMemoryPerAddress int
	// MaxConns bounds the connections (4,096), MaxConnsPerAddress those from
	// one address (256); the addresses of an IPv6 /64 are one.
	MaxConns, MaxConnsPerAddress int
	// TLS is for connections that Dial opens to "ssl:…". Like Open vSwitch,
	// Dial compares the name in the server's certificate with nothing unless
	// ServerName is set: what counts is who signed it.
	TLS *tls.Config
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
	}{
		{&cfg.MaxMessage, 16 << 20}, {&cfg.MaxReplica, 64 << 20}, {&cfg.MaxMemory, 1 << 30}, {&cfg.MaxMemoryPerAddress, 256 << 20},
		{&cfg.MaxConns, 4096}, {&cfg.MaxConnsPerAddress, 256},
	} {
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
// Serve closes ln. TLS is the listener's: pass one of package tls. The
// handshake is made here, in the goroutine and within the HandshakeTimeout of
// the connection.
func Serve(ctx context.Context, ln net.Listener, cfg Config, handle func(ctx context.Context, c *Conn)) error {
	s := newServer(cfg.withDefaults(), handle)
	conns, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.wg.Wait()
	defer end(ErrStopped)
	if err := listen.Serve(ctx, ln, s.cfg.Log, func(nc net.Conn) { s.admit(conns, nc) }); err != nil {
		return fmt.Errorf("ovsdb: accept: %w", err)
	}
	return nil
}

type server struct {
	cfg    *Config
	handle func(ctx context.Context, c *Conn)
	wg     sync.WaitGroup
	limits *limits
	memory *memory
	quiet  *quiet
}

func newServer(cfg *Config, handle func(ctx context.Context, c *Conn)) *server {
	return &server{
		cfg: cfg, handle: handle, limits: newLimits(cfg), memory: &memory{limit: cfg.MaxMemory / 4},
		quiet: newQuiet(time.Now),
	}
}

// refused logs that a connection was turned away.
func (s *server) refused(peer net.Addr, err error) {
	if ok, before := s.quiet.may(hostOf(peer)); ok {
		s.cfg.Log.Warn("OVSDB connection refused", zap.Stringer("peer", peer), zap.Error(err), zap.Int("not_logged_before", before))
	}
}

func (s *server) admit(ctx context.Context, nc net.Conn) {
	host := hostOf(nc.RemoteAddr())
	share, err := s.limits.join(host)
	if err != nil {
		s.refused(nc.RemoteAddr(), err)
		// A TLS connection would say goodbye first, and wait for the peer.
		_ = raw(nc).Close() // it was never used
		return
	}
	c := newConn(ctx, nc, s.cfg, share.grow, s.memory)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer share.leave()
		s.serve(c)
	}()
}

// raw is the connection below TLS.
func raw(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

// serve is the life of a connection.
func (s *server) serve(c *Conn) {
	stop, err := c.start()
	defer stop()
	if err != nil {
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

// start makes sure that the peer is what we need, before anything is kept for
// it. stop ends the connection and all that works for it, and must be called.
func (c *Conn) start() (stop func(), err error) {
	var loops sync.WaitGroup
	// A server that stops must not wait for a peer that does not read.
	abort := context.AfterFunc(c.ctx, func() { c.Close(c.Err()) })
	stop = func() {
		c.Close(ErrHandled)
		loops.Wait()
		abort()
	}
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.cfg.HandshakeTimeout,
		fmt.Errorf("no answer within the handshake's %v", c.cfg.HandshakeTimeout))
	defer cancel()
	if t, ok := c.nc.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return stop, fmt.Errorf("ovsdb: TLS: %w", err)
		}
	}
	loops.Go(c.read)
	loops.Go(c.probe)
	if c.databases, err = c.Databases(ctx); err != nil {
		return stop, err
	}
	if !slices.Contains(c.databases, Database) {
		return stop, fmt.Errorf("ovsdb: the peer has no database %s, but: %.200s", Database, strings.Join(c.databases, ", "))
	}
	return stop, nil
}
