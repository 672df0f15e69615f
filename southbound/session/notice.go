package session

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/macloom/macloom/southbound/openflow"
)

// Notice is a message that a switch sent unasked: *openflow.PortStatus,
// *openflow.FlowRemoved, an *openflow.Error that belongs to no request and
// no Commit (its XID is the one of the message that it is about), an
// experimenter message that answers nothing, such as *openflow.RoleStatus, or an
// *openflow.MultipartReply with changes of flows while nobody is in Conn.Monitor.
type Notice struct {
	XID     uint32
	Message openflow.Message
}

const (
	// noticeLen times Config.NoticeQueue is how many bytes of notices may wait.
	noticeLen = 2048
	// errorDataLen is how much of the message that an error is about is kept.
	errorDataLen = 256
)

// notice decodes frame for who takes the notices.
func (c *Conn) notice(t openflow.Type, frame []byte) error {
	if t == openflow.TypeError {
		frame = cutError(frame)
	}
	_, m, err := openflow.Decode(frame)
	if err != nil {
		c.bad(frame, err)
		return nil
	}
	xid := xidOf(frame)
	switch m := m.(type) {
	case *openflow.Error:
		if c.calls.fail(xid, m) {
			return nil
		}
	case *openflow.RoleStatus:
		c.noteRole(m)
	case *openflow.BundleControl:
		return nil // an answer that nobody waits for any more
	}
	if !c.unnoticed.admit(len(c.notices), len(frame), noticeLen*c.cfg.NoticeQueue) {
		return ErrResync
	}
	select {
	case c.notices <- Notice{XID: xid, Message: m}:
		return nil
	default:
		return ErrResync
	}
}

// cutError shortens an error message that quotes more than is of use.
func cutError(frame []byte) []byte {
	const n = openflow.HeaderLen + 8 + errorDataLen // an experimenter's has 8 bytes before the data
	if len(frame) > n {
		frame = frame[:n]
		binary.BigEndian.PutUint16(frame[2:], n)
	}
	return frame
}

// backlog is how many bytes of notices wait. It belongs to who reads.
type backlog struct {
	sizes []int        // of those that waited when the last one came
	bytes atomic.Int64 // their sum, for others to see
}

// admit says whether one more notice of n bytes may wait beside those that do.
func (b *backlog) admit(waiting, n, limit int) bool {
	sum := int(b.bytes.Load()) + n
	for len(b.sizes) > waiting {
		sum -= b.sizes[0]
		b.sizes = b.sizes[1:]
	}
	if sum > limit && waiting > 0 {
		return false
	}
	b.sizes = append(b.sizes, n)
	b.bytes.Store(int64(sum))
	return true
}
