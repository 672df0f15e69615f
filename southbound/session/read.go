package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/openflow"
)

const (
	minReadBuffer = 4 << 10
	maxReadBuffer = 64 << 10 // holds the longest message
)

// frames cuts a stream into OpenFlow messages, in place.
type frames struct {
	r          io.Reader
	buf        []byte
	start, end int
	room       atomic.Int64 // len(buf), for others to see
}

// next returns the next message if all of it has been read, else nil. It is
// valid until fill is called.
func (f *frames) next() ([]byte, error) {
	b := f.buf[f.start:f.end]
	if len(b) < openflow.HeaderLen {
		return nil, nil
	}
	n := int(b[2])<<8 | int(b[3])
	if n < openflow.HeaderLen {
		return nil, fmt.Errorf("session: broken message: header says %d bytes, the header alone has %d", n, openflow.HeaderLen)
	}
	if len(b) < n {
		return nil, nil
	}
	f.start += n
	return b[:n:n], nil
}

// fill reads once. The buffer starts small and grows for a long message or
// when reads fill it, so that an idle switch costs little.
func (f *frames) fill() error {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.end == len(f.buf) {
		size := len(f.buf)
		if size < maxReadBuffer {
			size = max(minReadBuffer, 2*size)
		}
		to := f.buf
		if size != len(f.buf) {
			to = make([]byte, size)
		}
		f.end = copy(to, f.buf[f.start:f.end])
		f.start, f.buf = 0, to
		f.room.Store(int64(len(to)))
	}
	n, err := f.r.Read(f.buf[f.end:])
	f.end += n
	if n > 0 {
		return nil // the error, if any, will come again
	}
	if errors.Is(err, io.EOF) {
		if n := f.end - f.start; n > 0 {
			return fmt.Errorf("session: the switch closed the connection within a message, after %d bytes of it", n)
		}
		return ErrPeerClosed
	}
	return err
}

// shrink gives back the memory of a burst.
func (f *frames) shrink() {
	if len(f.buf) > minReadBuffer && f.start == f.end {
		f.buf, f.start, f.end = nil, 0, 0
		f.room.Store(0)
	}
}

// run is a loop of the session: its end, a panic included, is the end of the
// session.
func (c *Conn) run(loop func() error) {
	c.loops.Add(1)
	go func() {
		defer c.loops.Done()
		defer c.contain()
		c.Close(loop())
	}()
}

var errPanic = errors.New("session: panic")

// contain makes a panic the end of this session only.
func (c *Conn) contain() {
	if p := recover(); p != nil {
		c.cfg.Stats.Panics.Add(1)
		c.log.Load().Error("panic in the session of a switch", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		c.Close(fmt.Errorf("%w: %v", errPanic, p))
	}
}

func readError(err error) error {
	if errors.Is(err, ErrPeerClosed) {
		return err
	}
	var oe *net.OpError
	if errors.As(err, &oe) {
		err = oe.Err // the log line has the addresses already
	}
	return fmt.Errorf("session: read: %w", err)
}

// dispatchAll handles the messages that were read. It says how many, and whether
// a taker of packet-ins was woken.
func (c *Conn) dispatchAll() (n int, woken bool, err error) {
	var news kindCounts
	defer func() {
		if news.any {
			woken = c.tellTakers(&news)
		}
	}()
	for {
		frame, err := c.in.next()
		if err != nil || frame == nil {
			return n, woken, err
		}
		n++
		if openflow.Version(frame[0]) != openflow.Version13 {
			return n, woken, fmt.Errorf("session: broken message: version 0x%02x after OpenFlow 1.3 was agreed", frame[0])
		}
		t := openflow.Type(frame[1])
		if t == openflow.TypePacketIn || t == openflow.TypeExperimenter && openflow.IsPacketIn2(frame[openflow.HeaderLen:]) {
			c.packetIn(frame, &news)
			continue
		}
		c.cfg.Stats.In[TypeIndex(t)].Add(1)
		if err := c.dispatch(t, frame); err != nil {
			return n, woken, err
		}
	}
}

func xidOf(frame []byte) uint32 {
	return uint32(frame[4])<<24 | uint32(frame[5])<<16 | uint32(frame[6])<<8 | uint32(frame[7])
}

// dispatch handles a message that is not a packet-in. The error ends the session.
func (c *Conn) dispatch(t openflow.Type, frame []byte) error {
	switch t {
	case openflow.TypeEchoRequest:
		reply := []openflow.Message{&openflow.EchoReply{Data: frame[openflow.HeaderLen:]}}
		if err := c.send(xidOf(frame), reply, nil); err != nil && !errors.Is(err, ErrOverfull) {
			return err
		}
	case openflow.TypePortStatus, openflow.TypeFlowRemoved, openflow.TypeError:
		return c.notice(t, frame)
	case openflow.TypeExperimenter:
		if c.calls.answer(xidOf(frame), t, frame) {
			return nil
		}
		return c.notice(t, frame)
	case openflow.TypeHello, openflow.TypeEchoReply, openflow.TypeFeaturesReply, openflow.TypeGetConfigReply,
		openflow.TypeMultipartReply, openflow.TypeBarrierReply, openflow.TypeRoleReply,
		openflow.TypeGetAsyncReply, openflow.TypeQueueGetConfigReply:
		// Answers that nobody waits for any more are no fault of the switch.
		answered := c.calls.answer(xidOf(frame), t, frame)
		// Open vSwitch reports to flow monitors under no transaction id.
		if !answered && t == openflow.TypeMultipartReply && xidOf(frame) == 0 {
			return c.notice(t, frame)
		}
	default:
		c.bad(frame, errors.New("not a message that a switch sends"))
	}
	return nil
}

// bad notes a message that is left out.
func (c *Conn) bad(frame []byte, err error) {
	c.cfg.Stats.BadMessages.Add(1)
	if skipped, ok := c.badLog.pass(); ok {
		c.log.Load().Warn("bad message from switch left out",
			zap.Stringer("type", openflow.Type(frame[1])), zap.Int("length", len(frame)),
			zap.Uint32("xid", xidOf(frame)), zap.Error(err), zap.Int("not_logged_before", skipped))
	}
}
