package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

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

// contain makes a panic the end of this session only.
func (c *Conn) contain() {
	if p := recover(); p != nil {
		c.cfg.Stats.Panics.Add(1)
		c.log.Load().Error("panic in the session of a switch", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		c.Close(fmt.Errorf("session: panic: %v", p))
	}
}

// readLoop reads messages and puts each where it belongs, without ever
// waiting for anybody but the switch.
func (c *Conn) readLoop(f *frames) error {
	defer close(c.notices)
	var (
		heard    = time.Now() // when the last whole message came
		asked    time.Time    // when an echo was asked for, if it was since
		deadline time.Time    // of the connection
	)
	for {
		n, err := c.dispatchAll(f)
		if err != nil {
			return err
		}
		if n > 0 {
			if heard = time.Now(); !asked.IsZero() {
				asked, deadline = time.Time{}, time.Time{}
			}
		}
		// A deadline that is early does no harm: mostly it is moved only when
		// it has come.
		if deadline.IsZero() {
			deadline = heard.Add(c.cfg.EchoInterval)
			if !asked.IsZero() {
				deadline = asked.Add(c.cfg.EchoTimeout)
			}
			if err := c.nc.SetReadDeadline(deadline); err != nil {
				return fmt.Errorf("session: read: %w", err)
			}
		}
		err = f.fill()
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			return readError(err)
		}
		deadline = time.Time{}
		now := time.Now()
		switch {
		case asked.IsZero() && now.Sub(heard) >= c.cfg.EchoInterval:
			asked = now
			f.shrink()
			if err := c.Send(&openflow.EchoRequest{}); err != nil && !errors.Is(err, ErrOverfull) {
				return err
			}
		case !asked.IsZero() && now.Sub(asked) >= c.cfg.EchoTimeout:
			return fmt.Errorf("%w (silent for %v)", ErrNoEcho, now.Sub(heard).Round(time.Millisecond))
		}
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

// dispatchAll handles the messages that were read and says how many.
func (c *Conn) dispatchAll(f *frames) (int, error) {
	stats := c.cfg.Stats
	var n, packetIns int
	var dropped uint64
	defer func() {
		if packetIns > 0 {
			stats.In[TypeIndex(openflow.TypePacketIn)].Add(uint64(packetIns))
			stats.PacketInsDropped.Add(dropped)
			c.packetIns.wake()
		}
	}()
	for {
		frame, err := f.next()
		if err != nil || frame == nil {
			return n, err
		}
		n++
		if openflow.Version(frame[0]) != openflow.Version13 {
			return n, fmt.Errorf("session: broken message: version 0x%02x after OpenFlow 1.3 was agreed", frame[0])
		}
		if t := openflow.Type(frame[1]); t != openflow.TypePacketIn {
			stats.In[TypeIndex(t)].Add(1)
			if err := c.dispatch(t, frame); err != nil {
				return n, err
			}
			continue
		}
		packetIns++
		ok, err := c.packetIns.put(frame[openflow.HeaderLen:])
		if err != nil {
			c.bad(frame, err)
		} else if !ok {
			dropped++
		}
	}
}

func xidOf(frame []byte) uint32 {
	return uint32(frame[4])<<24 | uint32(frame[5])<<16 | uint32(frame[6])<<8 | uint32(frame[7])
}

// dispatch handles a message that is not a packet-in. The error ends the session.
func (c *Conn) dispatch(t openflow.Type, frame []byte) error {
	xid := xidOf(frame)
	if t == openflow.TypeMultipartReply && xid == 0 {
		return c.notice(frame) // Open vSwitch reports to flow monitors under no transaction id
	}
	switch t {
	case openflow.TypeEchoRequest:
		reply := []openflow.Message{&openflow.EchoReply{Data: frame[openflow.HeaderLen:]}}
		if err := c.send(xid, reply, nil); err != nil && !errors.Is(err, ErrOverfull) {
			return err
		}
	case openflow.TypePortStatus, openflow.TypeFlowRemoved, openflow.TypeError:
		return c.notice(frame)
	case openflow.TypeHello, openflow.TypeEchoReply, openflow.TypeExperimenter,
		openflow.TypeFeaturesReply, openflow.TypeGetConfigReply, openflow.TypeMultipartReply,
		openflow.TypeBarrierReply, openflow.TypeRoleReply:
		// Answers that nobody waits for any more are no fault of the switch.
		c.calls.answer(xid, t, frame)
	default:
		c.bad(frame, errors.New("not a message that a switch sends"))
	}
	return nil
}

// notice decodes frame for who takes the notices.
func (c *Conn) notice(frame []byte) error {
	_, m, err := openflow.Decode(frame)
	if err != nil {
		c.bad(frame, err)
		return nil
	}
	xid := xidOf(frame)
	if e, ok := m.(*openflow.Error); ok && c.calls.fail(xid, e) {
		return nil
	}
	select {
	case c.notices <- Notice{XID: xid, Message: m}:
		return nil
	default:
		return ErrResync
	}
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
