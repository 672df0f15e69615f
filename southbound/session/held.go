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

// MaxHeld is more than what Held can be, with one multipart request at a time and
// no message to the switch that is longer than 64 KiB by itself or with those
// of the same Send.
func (cfg Config) MaxHeld() int {
	full := cfg.withDefaults()
	const message = openflow.MaxMessageLen
	n := 2*maxReadBuffer + // while it grows
		// filled, and being written; a slice that grows has up to twice its length
		2*2*(full.SendBytes+message) + keepBuffer +
		noticeLen*full.NoticeQueue + message +
		min(full.MultipartBytes, waitingBytes) + message
	for _, k := range full.PacketIns {
		n += k.maxHeld()
	}
	return n
}
