package session

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// of OFPT_PACKET_IN, within the message
	packetInReasonAt, packetInTableAt, packetInCookieAt, packetInFixed = 14, 15, 16, 24
	// of NXT_PACKET_IN2, where the properties begin
	packetIn2Fixed = 16
	// enum nx_packet_in2_prop_type
	propTableID, propCookie, propReason, propUserdata = 3, 4, 5, 7
)

// kindCounts is what came of the packet-ins that were read at once, by kind.
type kindCounts struct {
	any             bool
	queued, dropped [MaxKinds]uint32
	first, second   uint32 // by form: OFPT_PACKET_IN, NXT_PACKET_IN2
	unwanted        uint32
}

// headOf looks into a packet-in of either form. What is broken comes out in the
// decode.
func headOf(frame []byte) (h Head) {
	if openflow.Type(frame[1]) == openflow.TypePacketIn {
		if len(frame) >= packetInFixed {
			h.Reason, h.TableID = frame[packetInReasonAt], frame[packetInTableAt]
			h.Cookie = binary.BigEndian.Uint64(frame[packetInCookieAt:])
		}
		return h
	}
	for b := frame[packetIn2Fixed:]; len(b) >= 4; {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return h
		}
		value := b[4:n]
		switch {
		case kind == propTableID && len(value) >= 1:
			h.TableID = value[0]
		case kind == propReason && len(value) >= 1:
			h.Reason = value[0]
		case kind == propCookie && len(value) >= 12: // 4 bytes of padding first
			h.Cookie = binary.BigEndian.Uint64(value[4:])
		case kind == propUserdata:
			h.Userdata = value
		}
		b = b[min(len(b), (n+7)&^7):]
	}
	return h
}

// packetIn queues a packet-in with those of its kind, or drops it; a full queue
// costs no more than a look at the head.
func (c *Conn) packetIn(frame []byte, news *kindCounts) {
	news.any = true
	second := openflow.Type(frame[1]) != openflow.TypePacketIn
	if second {
		news.second++
	} else {
		news.first++
	}
	kind := 0
	if c.cfg.Classify != nil {
		if kind = c.cfg.Classify(headOf(frame)); kind < 0 || kind >= len(c.packetIns) {
			news.unwanted++
			return
		}
	}
	switch ok, err := c.packetIns[kind].put(frame); {
	case err != nil:
		c.bad(frame, err)
	case ok:
		news.queued[kind]++
	default:
		news.dropped[kind]++
	}
}

// tellTakers counts what came and wakes the takers of the kinds that got
// something. It says whether there were any.
func (c *Conn) tellTakers(news *kindCounts) (woken bool) {
	stats := c.cfg.Stats
	add := func(to *atomic.Uint64, n uint32) {
		if n > 0 {
			to.Add(uint64(n))
		}
	}
	add(&stats.In[TypeIndex(openflow.TypePacketIn)], news.first)
	add(&stats.In[TypeIndex(openflow.TypeExperimenter)], news.second)
	add(&stats.PacketInsUnwanted, news.unwanted)
	for kind, q := range c.packetIns {
		add(&stats.PacketIns[kind].Queued, news.queued[kind])
		add(&stats.PacketIns[kind].Dropped, news.dropped[kind])
		if news.queued[kind] > 0 && q.wake() {
			woken = true
		}
	}
	return woken
}
