package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/listen"
)

// errCrowded ends a handshake that held up others.
var errCrowded = errors.New("session: handshake: too slow while others wait")

// patience is how long a handshake may take while others wait for its place.
const patience = time.Second

// Serve accepts switches on ln until ctx is done, then ends all sessions,
// waits for their handlers and returns nil. For each switch that has finished
// the handshake it calls handle in a goroutine of its own, with the context of
// the session; the session ends when handle returns, and handle should return
// when ctx is done. A panic in handle ends that session only.
//
// Serve closes ln. TLS is the listener's: pass one of package tls.
func Serve(ctx context.Context, ln net.Listener, cfg Config, handle func(ctx context.Context, c *Conn)) error {
	s := &server{cfg: cfg.withDefaults(), handle: handle}
	s.lobby.max = s.cfg.MaxHandshakes
	s.lobby.left = make(chan struct{}, 1)

	sessions, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.wg.Wait()
	defer end(ErrStopped)
	if err := listen.Serve(ctx, ln, s.cfg.Log, func(nc net.Conn) { s.admit(ctx, sessions, nc) }); err != nil {
		return fmt.Errorf("session: accept: %w", err)
	}
	return nil
}

type server struct {
	cfg    *Config
	handle func(ctx context.Context, c *Conn)
	wg     sync.WaitGroup
	lobby  lobby

	mu      sync.Mutex
	refused map[string]*quiet // log lines about refused connections, by text
}

// admit starts the session of nc, when there is room for one more handshake.
func (s *server) admit(ctx, sessions context.Context, nc net.Conn) {
	if n := s.cfg.Stats.Open.Add(1); n > int64(s.cfg.MaxSessions) {
		s.cfg.Stats.Open.Add(-1)
		s.cfg.Stats.Refused.Add(1)
		s.logRefused(nc.RemoteAddr(), fmt.Errorf("session: there are %d sessions already, which is the limit", n-1))
		nc.Close()
		return
	}
	c := newConn(sessions, nc, s.cfg)
	s.lobby.enter(ctx, c)
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		defer s.cfg.Stats.Open.Add(-1)
		s.session(c)
	}()
}

// session is the life of a connection.
func (s *server) session(c *Conn) {
	defer c.loops.Wait()
	defer c.Close(ErrHandled)
	defer c.contain()

	err := func() error {
		defer s.lobby.leave(c)
		return c.handshake()
	}()
	if err == nil && s.cfg.Admit != nil {
		err = s.cfg.Admit(c)
	}
	if err != nil {
		s.cfg.Stats.Refused.Add(1)
		s.logRefused(c.RemoteAddr(), err)
		c.Close(err)
		return
	}
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

// logRefused logs a connection that did not become a session. A switch comes
// again every few seconds; its refusals are not logged as often.
func (s *server) logRefused(remote net.Addr, err error) {
	if errors.Is(err, ErrStopped) {
		return
	}
	host, _, splitErr := net.SplitHostPort(remote.String())
	if splitErr != nil {
		host = remote.String()
	}
	key := host + " " + err.Error()
	s.mu.Lock()
	const remembered = 256
	if s.refused == nil || len(s.refused) >= remembered {
		s.refused = make(map[string]*quiet)
	}
	q := s.refused[key]
	if q == nil {
		q = new(quiet)
		s.refused[key] = q
	}
	s.mu.Unlock()
	skipped, ok := q.pass()
	if !ok {
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

// lobby holds the connections that have not finished their handshake. While it
// is full, whoever has been there longer than patience is sent away, so that
// peers that only connect and stall cannot keep switches out.
type lobby struct {
	max  int
	left chan struct{} // holds a token if somebody has left

	mu    sync.Mutex
	there []guest // in order of arrival
}

type guest struct {
	c     *Conn
	since time.Time
}

// enter waits for a place.
func (l *lobby) enter(ctx context.Context, c *Conn) {
	for {
		l.mu.Lock()
		if len(l.there) < l.max {
			l.there = append(l.there, guest{c, time.Now()})
			l.mu.Unlock()
			return
		}
		oldest := l.there[0]
		wait := patience - time.Since(oldest.since)
		if wait <= 0 {
			l.there = l.there[1:]
			l.mu.Unlock()
			oldest.c.Close(errCrowded)
			continue
		}
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-l.left:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return // the session will end at once
		}
		timer.Stop()
	}
}

func (l *lobby) leave(c *Conn) {
	l.mu.Lock()
	l.there = slices.DeleteFunc(l.there, func(g guest) bool { return g.c == c })
	l.mu.Unlock()
	select {
	case l.left <- struct{}{}:
	default:
	}
}
