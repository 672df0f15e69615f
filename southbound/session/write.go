package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// commitShare of Config.SendBytes may wait before Commit does, so that a
	// large Commit keeps nobody from sending.
	commitShare = 16
	// writeChunk is what a switch has to read within Config.WriteTimeout.
	writeChunk = 64 << 10
	// keepBuffer is the largest buffer that is kept when little is sent.
	keepBuffer = 64 << 10
)

// outbox collects encoded messages and writes them, all that wait with one
// system call. Whoever puts messages into an idle outbox writes them at once
// without waiting; what the kernel does not take is left to the goroutine of
// writeLoop. So a lone message takes no hand-over between goroutines, and
// nobody ever waits for a slow switch but its own writeLoop.
type outbox struct {
	raw     syscall.RawConn // nil: the connection has no file descriptor of its own
	tryOnce func(fd uintptr) bool

	kick  chan struct{} // hands the right to write to writeLoop
	room  chan struct{} // holds a token if Commit may find room
	limit int           // of buf

	mu      sync.Mutex
	buf     []byte // waits
	spare   []byte
	writing bool // somebody has the right to write, and what is below
	taken   int  // how large the buffer is that rest is of; guarded by mu
	rest    []byte
	tryLen  int
	tryErr  error
}

func (o *outbox) init(nc net.Conn, limit int) {
	o.limit = limit
	o.kick = make(chan struct{}, 1)
	o.room = make(chan struct{}, 1)
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	o.raw = raw
	o.tryOnce = func(fd uintptr) bool {
		for {
			o.tryLen, o.tryErr = syscall.Write(int(fd), o.rest)
			if !errors.Is(o.tryErr, syscall.EINTR) {
				return true // whatever came of it: do not wait
			}
		}
	}
}

// put encodes msgs with transaction ids from xid on, each within a bundle if
// bundle is not nil. Either all of msgs are queued or none.
func (o *outbox) put(xid uint32, msgs []openflow.Message, bundle *openflow.BundleAdd) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) >= o.limit {
		return ErrOverfull
	}
	if o.buf == nil {
		o.buf, o.spare = o.spare, nil
	}
	start := len(o.buf)
	for i, m := range msgs {
		x := xid + uint32(i)
		if bundle != nil {
			bundle.XID, bundle.Message = x, m
			m = bundle
		}
		at := len(o.buf)
		o.buf = openflow.AppendMessage(o.buf, x, m)
		if len(o.buf) == at {
			o.buf = o.buf[:start]
			return fmt.Errorf("session: send %v: %w", m.MsgType(), openflow.ErrTooLong)
		}
	}
	return nil
}

// next makes what waits the rest to be written and says whether there is any.
// The caller holds mu and the right to write, and gives the right up on false.
func (o *outbox) next() bool {
	if len(o.buf) == 0 {
		o.writing = false
		return false
	}
	o.rest, o.buf = o.buf, nil
	o.taken = cap(o.rest)
	o.signalRoom()
	return true
}

// held is how many bytes the box has room for.
func (o *outbox) held() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cap(o.buf) + cap(o.spare) + o.taken
}

func (o *outbox) signalRoom() {
	select {
	case o.room <- struct{}{}:
	default:
	}
}

// done takes back the buffer b that was written. The caller holds mu.
func (o *outbox) done(b []byte) {
	o.rest, o.taken = nil, 0
	if cap(b) <= keepBuffer || len(b) >= cap(b)/4 {
		o.spare = b[:0]
	}
}

// flush writes what waits, unless somebody does already.
func (c *Conn) flush() {
	o := &c.out
	o.mu.Lock()
	if o.writing || len(o.buf) == 0 {
		o.mu.Unlock()
		return
	}
	o.writing = true
	if o.raw == nil {
		o.mu.Unlock()
		o.kick <- struct{}{}
		return
	}
	o.next()
	b := o.rest
	o.mu.Unlock()

	o.tryLen, o.tryErr = 0, nil
	err := o.raw.Write(o.tryOnce)
	if err == nil && !errors.Is(o.tryErr, syscall.EAGAIN) {
		err = o.tryErr
	}
	if err != nil {
		c.Close(fmt.Errorf("session: write: %w", err))
		return // nobody writes any more
	}
	if n := max(o.tryLen, 0); n < len(b) {
		o.rest = b[n:]
		o.kick <- struct{}{}
		return
	}
	o.mu.Lock()
	o.done(b)
	more := len(o.buf) > 0
	o.writing = more
	o.mu.Unlock()
	if more {
		// Others go on filling the box; their messages are not for this
		// goroutine to write.
		o.kick <- struct{}{}
	}
}

// writeLoop writes what it is handed until nothing waits.
func (c *Conn) writeLoop() error {
	o := &c.out
	for {
		select {
		case <-o.kick:
		case <-c.ctx.Done():
			return c.Err()
		}
		for {
			o.mu.Lock()
			if o.rest == nil && !o.next() {
				o.mu.Unlock()
				break
			}
			b := o.rest
			o.mu.Unlock()
			if err := c.writeAll(b); err != nil {
				return err
			}
			o.mu.Lock()
			o.done(b)
			o.mu.Unlock()
		}
	}
}

// writeAll waits until the kernel has taken b. The deadline is for progress: a
// switch that keeps reading may take long.
func (c *Conn) writeAll(b []byte) error {
	for len(b) > 0 {
		chunk := b[:min(len(b), writeChunk)]
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.cfg.WriteTimeout)); err != nil {
			return fmt.Errorf("session: write: %w", err)
		}
		n, err := c.nc.Write(chunk)
		if err != nil {
			if isTimeout(err) {
				return fmt.Errorf("session: the switch has not read for %v", c.cfg.WriteTimeout)
			}
			return fmt.Errorf("session: write: %w", err)
		}
		b = b[n:]
	}
	// An expired deadline would fail the attempts of flush, too.
	return c.nc.SetWriteDeadline(time.Time{})
}

// Send queues msgs, in order, and does not wait for the switch. Errors that
// the switch answers come as a Notice. Either all of msgs are queued or none:
// ErrOverfull, a message that is too long (openflow.ErrTooLong) and the end of the
// session say none.
// The messages are the caller's again when Send returns.
func (c *Conn) Send(msgs ...openflow.Message) error {
	return c.send(c.nextXIDs(len(msgs)), msgs, nil)
}

func (c *Conn) send(xid uint32, msgs []openflow.Message, bundle *openflow.BundleAdd) error {
	err := c.queue(xid, msgs, bundle)
	if err == nil {
		c.flush()
	}
	return err
}

// queue is send for what goes out together with more that is sent at once.
func (c *Conn) queue(xid uint32, msgs []openflow.Message, bundle *openflow.BundleAdd) error {
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.out.put(xid, msgs, bundle); err != nil {
		return err
	}
	c.countOut(msgs, bundle != nil)
	return nil
}

func (c *Conn) countOut(msgs []openflow.Message, bundled bool) {
	var flowMods, run uint64
	var last openflow.Type
	for _, m := range msgs {
		t := m.MsgType()
		if add, ok := m.(*openflow.BundleAdd); ok && add.Message.MsgType() == openflow.TypeFlowMod {
			flowMods++
		}
		if t == openflow.TypeFlowMod {
			flowMods++
		}
		if bundled {
			t = openflow.TypeExperimenter
		}
		// Equal messages come in runs: count a run at once.
		if t != last && run > 0 {
			c.cfg.Stats.Out[TypeIndex(last)].Add(run)
			run = 0
		}
		last = t
		run++
	}
	if run > 0 {
		c.cfg.Stats.Out[TypeIndex(last)].Add(run)
	}
	if flowMods > 0 {
		c.cfg.Stats.FlowMods.Add(flowMods)
	}
}

// sendAll queues any number of messages, waiting while too much waits already.
// It stops early, without error, when stop is closed.
func (c *Conn) sendAll(ctx context.Context, xid uint32, msgs []openflow.Message, bundle *openflow.BundleAdd, stop <-chan struct{}) error {
	err := c.queueAll(ctx, xid, msgs, bundle, stop)
	if err == nil {
		c.flush()
	}
	return err
}

// queueAll is sendAll for what more follows at once: the last of it may not be on its
// way yet.
func (c *Conn) queueAll(ctx context.Context, xid uint32, msgs []openflow.Message, bundle *openflow.BundleAdd, stop <-chan struct{}) error {
	const chunk = 64
	for len(msgs) > 0 {
		c.out.mu.Lock()
		full := len(c.out.buf) >= c.out.limit/commitShare
		c.out.mu.Unlock()
		if full {
			c.flush()
			select {
			case <-c.out.room:
			case <-stop:
				return nil
			case <-ctx.Done():
				return cmp.Or(c.Err(), ctx.Err())
			case <-c.ctx.Done():
				return c.Err()
			}
			continue
		}
		select {
		case <-stop:
			return nil
		default:
		}
		n := min(len(msgs), chunk)
		if err := c.queue(xid, msgs[:n], bundle); err != nil {
			if errors.Is(err, ErrOverfull) {
				continue // others filled the box meanwhile
			}
			return err
		}
		if msgs, xid = msgs[n:], xid+uint32(n); len(msgs) > 0 {
			c.flush()
		}
	}
	c.out.signalRoom() // the token taken above may leave another waiting
	return nil
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
