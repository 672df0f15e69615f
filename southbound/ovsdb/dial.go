package ovsdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// Dial connects to an ovsdb-server at "tcp:HOST:PORT", "ssl:HOST:PORT" or
// "unix:PATH" (an active connection method of ovsdb(7); the port is 6640 by
// default), within HandshakeTimeout. ctx is for dialing only: the connection
// lasts until it is closed or fails. What it keeps is bounded as for one
// address of Serve.
func Dial(ctx context.Context, target string, cfg Config) (*Conn, error) {
	full := cfg.withDefaults()
	c, err := dial(ctx, context.WithoutCancel(ctx), target, full, newLimits(full), &memory{})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dial makes a connection whose context is derived from life.
func dial(ctx, life context.Context, text string, cfg *Config, l *limits, m *memory) (*Conn, error) {
	to, err := parseTarget(text)
	if err != nil {
		return nil, err
	}
	if to.tls && cfg.TLS == nil {
		return nil, fmt.Errorf("ovsdb: target %q: no TLS configuration", text)
	}
	dialing, cancel := context.WithTimeout(ctx, cfg.HandshakeTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(dialing, to.network, to.address)
	if err != nil {
		return nil, fmt.Errorf("ovsdb: dial: %w", err)
	}
	if to.tls {
		nc = tls.Client(nc, clientTLS(cfg.TLS))
	}
	share, err := l.join(text)
	if err != nil {
		_ = raw(nc).Close() // it was never used
		return nil, err
	}
	c := newConn(life, nc, cfg, share.grow, m)
	given := context.AfterFunc(ctx, func() { c.Close(context.Cause(ctx)) })
	stop, err := c.start()
	if done := !given(); err != nil || done {
		stop()
		share.leave()
		return nil, errors.Join(err, context.Cause(ctx))
	}
	context.AfterFunc(c.ctx, func() {
		stop()
		share.leave()
	})
	return c, nil
}

// clientTLS verifies the server as Open vSwitch does: its certificate must be
// signed by one whom we trust, for whatever name.
func clientTLS(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	if cfg.ServerName != "" || cfg.InsecureSkipVerify {
		return cfg
	}
	verified, roots := cfg.VerifyConnection, cfg.RootCAs
	cfg.InsecureSkipVerify = true // of the name only: the chain is verified here
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		chain := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		for _, cert := range s.PeerCertificates[1:] {
			chain.Intermediates.AddCert(cert)
		}
		if _, err := s.PeerCertificates[0].Verify(chain); err != nil {
			return err
		}
		if verified != nil {
			return verified(s)
		}
		return nil
	}
	return cfg
}

// Pauses between two attempts of Follow: doubled from one to the next, and
// shortened at random by up to a half.
const (
	minBackoff = time.Second
	maxBackoff = 8 * time.Second
)

// Follow keeps a connection to target: it calls handle with each that it
// makes, and dials again when handle returns, until ctx is done, when it
// returns nil. It returns an error only for a target that is none. The context
// of handle ends with the connection, which ends when handle returns.
func Follow(ctx context.Context, target string, cfg Config, handle func(ctx context.Context, c *Conn)) error {
	if _, err := parseTarget(target); err != nil {
		return err
	}
	full := cfg.withDefaults()
	f := &follower{
		target: target, handle: handle, log: full.Log.With(zap.String("target", target)), after: time.After, random: rand.Float64,
		now: time.Now,
	}
	l, m := newLimits(full), &memory{limit: full.MaxReplica}
	f.dial = func(ctx context.Context) (*Conn, error) { return dial(ctx, ctx, target, full, l, m) }
	f.run(ctx)
	return nil
}

// follower is the loop of Follow, with its clock.
type follower struct {
	target string
	handle func(ctx context.Context, c *Conn)
	log    *zap.Logger
	dial   func(ctx context.Context) (*Conn, error)
	after  func(time.Duration) <-chan time.Time
	now    func() time.Time
	random func() float64 // in [0, 1)
}

func (f *follower) run(ctx context.Context) {
	backoff, said := minBackoff, ""
	for ctx.Err() == nil {
		c, err := f.dial(ctx)
		if err == nil {
			f.log.Info("OVSDB connected")
			begun := f.now()
			err = f.use(c)
			said = ""
			if f.now().Sub(begun) >= maxBackoff {
				backoff = minBackoff // it was a good one
			}
		}
		if ctx.Err() != nil {
			return
		}
		pause := time.Duration(float64(backoff) * (1 - f.random()/2))
		if text := err.Error(); text != said { // once for each reason
			f.log.Warn("OVSDB not connected; will try again", zap.Error(err), zap.Duration("retry_in", pause))
			said = text
		}
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-f.after(pause):
		case <-ctx.Done():
		}
	}
}

// use calls handle and returns why the connection is over.
func (f *follower) use(c *Conn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f.log.Error("handler panicked", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
		c.Close(ErrHandled)
		err = c.Err()
	}()
	f.handle(c.ctx, c)
	return nil
}
