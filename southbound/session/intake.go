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

// standBy is how long nobody may read from a switch, or up to twice as long. A
// timer that is due before the next tick of the kernel's clock makes every
// wait for the network dearer: 2 ms cost 6 µs each.
const standBy = 10 * time.Millisecond

// intake is the reading side of a session. One goroutine at a time reads: the
// one that holds it. That is the session's own reader (readLoop), or a taker of
// packet-ins that would have nothing else to do than to wait for the reader: it
// finds its packet-ins without a hand-over between goroutines, which takes
// longer than all that is done about a packet.
//
// A taker lets go when it has got something. It is likely to be back soon; if
// it is not within standBy, or as soon as somebody waits for the answer to a
// request, the reader goes on. So nobody waits for a slow taker for long.
type intake struct {
	frames
	held   atomic.Bool
	resume chan struct{} // a token tells the reader to see whether it has to read

	// The watch looks whether the intake is left alone. Setting a timer wakes
	// other threads; it is let run where the intake is soon taken again.
	watch     *time.Timer
	watching  atomic.Bool
	letGoes   atomic.Uint64 // how often it was let go
	watchedAt atomic.Uint64 // letGoes when watch was set

	// Below belongs to the holder.
	heard    time.Time // when the last whole message came
	asked    time.Time // when an echo was asked for, if it was since
	deadline time.Time // of the connection; zero if it is to be set
	until    <-chan struct{}
	forget   func() bool
}

func (in *intake) init(r io.Reader) {
	in.r = r
	in.resume = make(chan struct{}, 1)
	in.watch = time.AfterFunc(time.Hour, in.look)
	in.watch.Stop()
}

func (in *intake) tellReader() {
	select {
	case in.resume <- struct{}{}:
	default:
	}
}

// look is called by the watch.
func (in *intake) look() {
	in.watching.Store(false)
	switch {
	case in.held.Load():
		// Whoever lets go will set the watch again.
	case in.letGoes.Load() == in.watchedAt.Load():
		in.tellReader()
	default:
		in.setWatch()
	}
}

func (in *intake) setWatch() {
	if in.watching.CompareAndSwap(false, true) {
		in.watchedAt.Store(in.letGoes.Load())
		in.watch.Reset(standBy)
	}
}

// letGo ends the hold. Where nobody holds the intake, either the watch is set or
// the reader has been told.
func (c *Conn) letGo() {
	in := &c.in
	in.letGoes.Add(1)
	in.held.Store(false)
	if c.ctx.Err() != nil || c.calls.pending() {
		in.tellReader()
		return
	}
	in.setWatch()
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
		in.watch.Stop()
		if in.forget != nil {
			in.forget()
		}
	}()
	for {
		if in.held.CompareAndSwap(false, true) {
			if err := c.read(c.ctx, nil); err != nil {
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
	c.interruptAt(ctx)
	defer c.letGo()
	defer c.contain()
	if err := c.read(ctx, q); err != nil {
		c.Close(err)
	}
	return true
}

// interruptAt lets the end of ctx interrupt a read. A taker comes with the same
// context again and again.
func (c *Conn) interruptAt(ctx context.Context) {
	in := &c.in
	done := ctx.Done()
	if done == in.until || done == nil || done == c.ctx.Done() {
		return // the end of the session closes the connection
	}
	if in.forget != nil {
		in.forget()
	}
	in.until = done
	in.forget = context.AfterFunc(ctx, func() {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the reader sets it anew
	})
}
