package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/listen"
)

// Serve accepts switches on ln until ctx is done, then ends all sessions,
// waits for their handlers and returns nil. For each switch that has finished
// the handshake it calls handle in a goroutine of its own, with the context of
// the session; the session ends when handle returns, and handle should return
// when ctx is done. A panic in handle ends that session only.
//
// Serve closes ln. For TLS, pass a listener of tls.NewListener with the
// configuration of listen.TLSConfig; the handshake of TLS is part of the
// handshake that Config bounds.
func Serve(ctx context.Context, ln net.Listener, cfg Config, handle func(ctx context.Context, c *Conn)) error {
	if len(cfg.PacketIns) > MaxKinds {
		return fmt.Errorf("session: %d kinds of packet-ins, there can be %d", len(cfg.PacketIns), MaxKinds)
	}
	s := newServer(cfg.withDefaults(), handle)
	sessions, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.wg.Wait()
	defer end(ErrStopped)
	if err := listen.Serve(ctx, ln, s.cfg.Log, func(nc net.Conn) { s.admit(sessions, nc) }); err != nil {
		return fmt.Errorf("session: accept: %w", err)
	}
	return nil
}

type server struct {
	cfg      *Config
	handle   func(ctx context.Context, c *Conn)
	wg       sync.WaitGroup
	census   census
	lobby    lobby
	refusals refusals
}

func newServer(cfg *Config, handle func(ctx context.Context, c *Conn)) *server {
	return &server{
		cfg: cfg, handle: handle,
		census: census{max: cfg.MaxSessions, maxPerHost: cfg.MaxPerAddress}, lobby: lobby{max: cfg.MaxHandshakes},
	}
}

// admit starts the session of nc. It never waits, so that nobody keeps the
// next connection from being accepted.
func (s *server) admit(ctx context.Context, nc net.Conn) {
	host := hostOf(nc.RemoteAddr())
	if err := s.census.add(host); err != nil {
		s.refuse(nc.RemoteAddr(), err)
		nc.Close()
		return
	}
	s.cfg.Stats.Open.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(ctx, func() { nc.Close() })
	g := s.lobby.join(host, cancel) // here, so that places are given in order of arrival
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer s.cfg.Stats.Open.Add(-1)
		defer s.census.remove(host)
		defer cancel(ErrHandled)
		s.session(ctx, cancel, nc, g)
	}()
}

// session is the life of a connection.
func (s *server) session(ctx context.Context, cancel context.CancelCauseFunc, nc net.Conn, g *guest) {
	c, err := s.receive(ctx, cancel, nc, g)
	if err != nil {
		s.refuse(nc.RemoteAddr(), err)
		cancel(err)
	}
	if c == nil {
		return
	}
	defer c.loops.Wait()
	if err != nil {
		return
	}
	defer c.Close(ErrHandled)
	defer c.contain()
	s.cfg.Stats.Accepted.Add(1)
	log := c.log.Load().With(zap.String("dpid", fmt.Sprintf("%016x", c.features.DatapathID)))
	c.log.Store(log)
	log.Info("switch connected", zap.Uint8("tables", c.features.NTables))
	since := time.Now()
	defer func() {
		reason := c.Err()
		write := log.Warn
		for _, expected := range []error{ErrStopped, ErrHandled, ErrPeerClosed} {
			if errors.Is(reason, expected) {
				write = log.Info
			}
		}
		write("switch disconnected", zap.NamedError("reason", reason),
			zap.Duration("after", time.Since(since).Round(time.Millisecond)))
	}()
	defer c.Close(ErrHandled)
	defer c.contain()
	s.handle(c.ctx, c)
}

// receive waits for the place of g and does the handshake there. The connection
// is nil where it never had a place, which costs next to nothing.
func (s *server) receive(ctx context.Context, cancel context.CancelCauseFunc, nc net.Conn, g *guest) (c *Conn, err error) {
	defer s.lobby.leave(g)
	if err := g.wait(ctx); err != nil {
		return nil, err
	}
	c = newConn(ctx, cancel, nc, s.cfg)
	err = errPanic
	defer c.contain()
	refusal := c.handshake()
	if refusal == nil && s.cfg.Admit != nil {
		refusal = s.cfg.Admit(c)
	}
	return c, refusal
}

// refuse counts and logs a connection that did not become a session.
func (s *server) refuse(remote net.Addr, err error) {
	s.cfg.Stats.Refused.Add(1)
	skipped, ok := s.refusals.pass(remote, err)
	if errors.Is(err, ErrStopped) || !ok {
		return
	}
	fields := []zap.Field{zap.Stringer("remote", remote), zap.NamedError("reason", err)}
	var ve *versionError
	if errors.As(err, &ve) {
		fields = append(fields, zap.String("offered", ve.versions()),
			zap.String("set", "ovs-vsctl set bridge BRIDGE protocols=OpenFlow13"))
	}
	s.cfg.Log.Warn("switch refused", append(fields, zap.Int("not_logged_before", skipped))...)
}

// refusals says which log lines about refused connections to write. A switch
// comes again every few seconds and fails for the same reason; a hostile peer
// comes often and fails each time for another.
type refusals struct {
	mu     sync.Mutex
	byText map[string]*quiet
	lines  int       // since
	since  time.Time // the beginning of an interval
}

// Bounds of what is remembered, and of the lines in one quietInterval.
const maxRefusals = 256

func (r *refusals) pass(remote net.Addr, err error) (skipped int, ok bool) {
	host, _, splitErr := net.SplitHostPort(remote.String())
	if splitErr != nil {
		host = remote.String()
	}
	key := host + " " + err.Error()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.since) >= quietInterval {
		r.lines, r.since = 0, now
	}
	q := r.byText[key]
	if q == nil {
		if r.lines >= maxRefusals {
			return 0, false
		}
		if r.byText == nil || len(r.byText) >= maxRefusals {
			r.byText = make(map[string]*quiet)
		}
		q = new(quiet)
		r.byText[key] = q
	}
	if skipped, ok = q.pass(); ok {
		r.lines++
	}
	return skipped, ok
}
