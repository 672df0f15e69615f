package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/macloom/macloom/southbound/openflow"
)

// standBy is how long nobody may read from a switch.
const standBy = time.Millisecond

// intake is the reading side of a session. One goroutine at a time reads: the
// one that holds it. That is the session's own reader (readLoop), or a taker of
// packet-ins that would have nothing else to do than to wait for the reader: it
// finds its packet-ins without a hand-over between goroutines, which takes
// longer than all that is done about a packet.
//
// A taker lets go when it has got something. It is likely to be back soon; if
// it is not within standBy, or if there are requests whose answers are waited
// for, the reader goes on. So nobody waits for a taker for long.
type intake struct {
	frames
	held   atomic.Bool
	resume chan struct{} // a token tells the reader to see whether it has to read
	timer  *time.Timer   // sends the token; it runs while nobody holds the intake

	// Below belongs to the holder.
	heard    time.Time // when the last whole message came
	asked    time.Time // when an echo was asked for, if it was since
	deadline time.Time // of the connection; zero if it is to be set
	watched  <-chan struct{}
	unwatch  func() bool
}

func (in *intake) init(r io.Reader) {
	in.r = r
	in.resume = make(chan struct{}, 1)
	in.timer = time.AfterFunc(time.Hour, in.tellReader)
	in.timer.Stop()
	in.heard = time.Now()
}

func (in *intake) tellReader() {
	select {
	case in.resume <- struct{}{}:
	default:
	}
}

// letGo ends the hold. Where it is free, either the timer runs or the reader has
// been told.
func (c *Conn) letGo() {
	c.in.held.Store(false)
	if c.ctx.Err() != nil || c.calls.pending() {
		c.in.tellReader()
		return
	}
	c.in.timer.Reset(standBy)
}

// expectAnswer makes sure that somebody reads.
func (c *Conn) expectAnswer() {
	if !c.in.held.Load() {
		c.in.tellReader()
	}
}

// readLoop reads whenever no taker does. It ends with the intake in its hold for
// good.
func (c *Conn) readLoop() error {
	in := &c.in
	defer close(c.notices)
	defer func() {
		in.timer.Stop()
		if in.unwatch != nil {
			in.unwatch()
		}
	}()
	for {
		if in.held.CompareAndSwap(false, true) {
			in.timer.Stop()
			if err := c.read(nil, nil); err != nil {
				c.Close(err)
				return err
			}
			c.letGo()
		}
		if c.ctx.Err() != nil {
			<-in.resume // of the taker, whose read fails
			continue
		}
		select {
		case <-in.resume:
		case <-c.ctx.Done():
		}
	}
}

// read reads messages and puts each where it belongs, without ever waiting for
// anybody but the switch. For a taker it does so until packet-ins wait in q or
// ctx is done; for the reader, q is nil, until it has woken a taker, who will go
// on. The caller holds the intake. The error ends the session.
func (c *Conn) read(ctx context.Context, q *Queue) error {
	in := &c.in
	for {
		n, woken, err := c.dispatchAll()
		if err != nil {
			return err
		}
		if n > 0 {
			if in.heard = time.Now(); !in.asked.IsZero() {
				in.asked, in.deadline = time.Time{}, time.Time{}
			}
		}
		if q == nil {
			if woken && !c.calls.pending() {
				return nil
			}
		} else if q.holdsSome() {
			return nil
		}
		// A deadline that is early does no harm: mostly it is moved only when
		// it has come.
		if in.deadline.IsZero() {
			in.deadline = in.heard.Add(c.cfg.EchoInterval)
			if !in.asked.IsZero() {
				in.deadline = in.asked.Add(c.cfg.EchoTimeout)
			}
			if err := c.nc.SetReadDeadline(in.deadline); err != nil {
				return fmt.Errorf("session: read: %w", err)
			}
		}
		// After the deadline, which an interrupt before would have been lost to.
		if q != nil && ctx.Err() != nil {
			return nil
		}
		err = in.fill()
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			return readError(err)
		}
		in.deadline = time.Time{}
		now := time.Now()
		switch {
		case in.asked.IsZero() && now.Sub(in.heard) >= c.cfg.EchoInterval:
			in.asked = now
			in.shrink()
			if err := c.Send(&openflow.EchoRequest{}); err != nil && !errors.Is(err, ErrOverfull) {
				return err
			}
		case !in.asked.IsZero() && now.Sub(in.asked) >= c.cfg.EchoTimeout:
			return fmt.Errorf("%w (silent for %v)", ErrNoEcho, now.Sub(in.heard).Round(time.Millisecond))
		}
	}
}

// readFor reads for a taker of q; see Queue.read.
func (c *Conn) readFor(ctx context.Context, q *Queue) bool {
	in := &c.in
	if !in.held.CompareAndSwap(false, true) {
		return false
	}
	in.timer.Stop()
	c.watch(ctx)
	defer c.letGo()
	defer c.contain()
	if err := c.read(ctx, q); err != nil {
		c.Close(err)
	}
	return true
}

// watch lets the end of ctx interrupt a read. A taker comes with the same
// context again and again.
func (c *Conn) watch(ctx context.Context) {
	in := &c.in
	done := ctx.Done()
	if done == in.watched || done == nil || done == c.ctx.Done() {
		return // the end of the session closes the connection
	}
	if in.unwatch != nil {
		in.unwatch()
	}
	in.watched = done
	in.unwatch = context.AfterFunc(ctx, func() {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the reader sets it anew
	})
}
