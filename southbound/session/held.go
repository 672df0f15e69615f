package session

import "github.com/macloom/macloom/southbound/openflow"

// Held is how many bytes of memory the session holds on account of the switch:
// what was read and waits to be taken (by its length on the wire), what waits to be read by the switch,
// and buffers kept for reuse. Config bounds it, see MaxHeld; batches of packet-ins
// and parts of answers that were taken are the taker's.
func (c *Conn) Held() int {
	n := int(c.in.room.Load()) + c.out.held() + c.calls.held() + int(c.unnoticed.bytes.Load())
	for _, q := range c.packetIns {
		n += q.held()
	}
	return n
}

// MaxHeld is more than what Held can be for a session, with one multipart
// request at a time.
func (cfg Config) MaxHeld() int {
	full := cfg.withDefaults()
	n := 2*maxReadBuffer + // while it grows
		2*(sendLimit+commitLimit+openflow.MaxMessageLen) + // filled and being written
		noticeLen*full.NoticeQueue + openflow.MaxMessageLen +
		min(full.MultipartBytes, waitingBytes) + openflow.MaxMessageLen
	for _, k := range full.PacketIns {
		n += k.maxHeld()
	}
	return n
}
