package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/macloom/macloom/southbound/listen"
	"github.com/macloom/macloom/southbound/openflow"
)

// helloBitmap offers OpenFlow 1.3 and nothing else.
const helloBitmap = 1 << openflow.Version13

// versionError is a switch that does not offer OpenFlow 1.3.
type versionError struct {
	offered []openflow.Version
}

func (e *versionError) Error() string {
	return "session: the switch does not offer OpenFlow 1.3 but " + e.versions()
}

// versions names what was offered as ovs-vsctl does.
func (e *versionError) versions() string {
	names := make([]string, len(e.offered))
	for i, v := range e.offered {
		if v >= openflow.Version10 && v <= 6 {
			names[i] = fmt.Sprintf("OpenFlow1%d", v-openflow.Version10)
		} else {
			names[i] = fmt.Sprintf("version 0x%02x", uint8(v))
		}
	}
	return strings.Join(names, ",")
}

// handshake negotiates the version and asks for the features. From its middle
// on the loops of the session run: what else the switch may send then is
// treated as ever.
func (c *Conn) handshake() error {
	deadline := time.Now().Add(c.cfg.HandshakeTimeout)
	if err := c.nc.SetDeadline(deadline); err != nil {
		return fmt.Errorf("session: handshake: %w", err)
	}
	if err := listen.Handshake(c.nc); err != nil {
		if ended := c.Err(); ended != nil {
			return ended
		}
		return fmt.Errorf("session: handshake: %w", err)
	}
	if err := c.hello(&c.in.frames); err != nil {
		if isTimeout(err) {
			return fmt.Errorf("session: handshake: no hello within %v", c.cfg.HandshakeTimeout)
		}
		if ended := c.Err(); ended != nil {
			return ended
		}
		return err
	}
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("session: handshake: %w", err)
	}
	c.in.heard = time.Now()
	c.run(c.readLoop)
	c.run(c.writeLoop)

	ctx, cancel := context.WithDeadline(c.ctx, deadline)
	defer cancel()
	k, err := c.begin(ctx, &openflow.FeaturesRequest{})
	if err != nil {
		return fmt.Errorf("session: handshake: %w", err)
	}
	defer c.end(k)
	m, err := c.waitWhenever(ctx, k)
	if err != nil {
		return fmt.Errorf("session: handshake: %w", err)
	}
	features, ok := m.(*openflow.FeaturesReply)
	if !ok {
		return fmt.Errorf("session: handshake: %v in place of features", m.MsgType())
	}
	if features.AuxiliaryID != 0 {
		return errors.New("session: handshake: auxiliary connections are not supported, use the main one only")
	}
	c.features = *features
	return nil
}

// hello exchanges hello messages and judges the versions.
func (c *Conn) hello(f *frames) error {
	ours := openflow.AppendMessage(nil, c.nextXIDs(1), &openflow.Hello{Bitmap: helloBitmap})
	if _, err := c.nc.Write(ours); err != nil {
		return fmt.Errorf("session: handshake: %w", err)
	}
	c.cfg.Stats.Out[TypeIndex(openflow.TypeHello)].Add(1)
	var frame []byte
	for frame == nil {
		if err := f.fill(); err != nil {
			return fmt.Errorf("session: handshake: %w", err)
		}
		var err error
		if frame, err = f.next(); err != nil {
			return fmt.Errorf("session: handshake, not OpenFlow: %w", err)
		}
		// Do not wait for the end of what cannot be a hello.
		head := f.buf[:f.end]
		if listen.LooksLikeTLS(head) {
			return errors.New("session: handshake: the switch speaks TLS, and this port is for plain OpenFlow: use tcp:, not ssl:")
		}
		if frame == nil && len(head) >= openflow.HeaderLen && openflow.Type(head[1]) > openflow.TypeError {
			return fmt.Errorf("session: handshake, not OpenFlow: starts with % x", head[:openflow.HeaderLen])
		}
	}
	h, m, err := openflow.Decode(frame)
	if err != nil {
		return fmt.Errorf("session: handshake, not OpenFlow: %w", err)
	}
	c.cfg.Stats.In[TypeIndex(h.Type)].Add(1)
	var theirs *openflow.Hello
	switch m := m.(type) {
	case *openflow.Hello:
		theirs = m
	case *openflow.Error:
		// The switch judged our hello before it sent one of its own.
		return &versionError{offered: []openflow.Version{h.Version}}
	default:
		return fmt.Errorf("session: handshake: %v before hello", h.Type)
	}
	offered := offeredVersions(h.Version, theirs.Bitmap)
	// Without a bitmap the lower of both headers' versions is spoken.
	if theirs.Bitmap&helloBitmap != 0 || theirs.Bitmap == 0 && h.Version >= openflow.Version13 {
		return nil
	}
	refusal := openflow.AppendMessageVersion(nil, min(h.Version, openflow.Version13), h.XID, &openflow.Error{
		ErrType: openflow.ErrorHelloFailed, Code: openflow.HelloIncompatible,
		Data: []byte("this controller speaks OpenFlow 1.3 only; set protocols=OpenFlow13"),
	})
	if _, err := c.nc.Write(refusal); err == nil {
		c.cfg.Stats.Out[TypeIndex(openflow.TypeError)].Add(1)
	}
	return &versionError{offered: offered}
}

func offeredVersions(header openflow.Version, bitmap uint32) []openflow.Version {
	if bitmap == 0 {
		return []openflow.Version{header}
	}
	var vs []openflow.Version
	for v := range openflow.Version(32) {
		if bitmap&(1<<v) != 0 {
			vs = append(vs, v)
		}
	}
	return vs
}
