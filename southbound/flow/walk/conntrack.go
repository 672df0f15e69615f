package walk

import (
	"net/netip"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Conntrack holds the connections of a datapath, by zone. It knows which side
// began and whether the other has answered; it does not follow sequence numbers
// nor ends of connections, and nothing in it ages.
type Conntrack struct {
	zones map[uint16]map[tuple]*connection
}

// connection is one that was committed.
type connection struct {
	first    tuple // of its original direction
	back     tuple // of the other one: where the first is translated, not its reverse
	answered bool
	mark     uint32
	label    [16]byte
}

// tuple is one direction of a connection. For ICMP, sport is the identifier and
// dport type and code.
type tuple struct {
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
}

func (t tuple) reverse() tuple {
	t.src, t.dst = t.dst, t.src
	if t.icmp() {
		t.dport = uint16(answerOf(t.proto, uint8(t.dport>>8)))<<8 | t.dport&0xff
		return t
	}
	t.sport, t.dport = t.dport, t.sport
	return t
}

func (t tuple) icmp() bool { return t.proto == protoICMP || t.proto == protoICMPv6 }

// asking are the ICMP types that begin a connection, and answering those that go
// back, in the same order.
var asking, answering = map[uint8][]uint8{protoICMP: {8, 13, 15}, protoICMPv6: {128}}, map[uint8][]uint8{protoICMP: {0, 14, 16}, protoICMPv6: {129}}

func answerOf(proto, t uint8) uint8 {
	for i, a := range asking[proto] {
		switch b := answering[proto][i]; t {
		case a:
			return b
		case b:
			return a
		}
	}
	return t
}

// Flush forgets the connections of a zone.
func (c *Conntrack) Flush(zone uint16) { delete(c.zones, zone) }

// verdict is what the tracker says of a packet.
type verdict struct {
	state flow.CTFlags
	key   tuple       // of the packet, or of the packet that an error is about
	conn  *connection // nil: there is none
	fresh bool        // it may be committed
}

// look finds the connection of a packet in a zone, and notes an answer.
func (c *Conntrack) look(p *packet, zone uint16) verdict {
	key, related, ok := tupleOf(p)
	if !ok {
		return verdict{state: flow.CTTrk | flow.CTInv}
	}
	conn := c.zones[zone][key]
	v := verdict{state: flow.CTTrk, key: key, conn: conn}
	reply := conn != nil && conn.first != key
	switch {
	case related && conn == nil:
		v.state |= flow.CTInv
	case related:
		// The error goes the other way than the packet that it is about.
		v.state |= flow.CTRel
	case !sound(p, key), conn == nil && !begins(p, key):
		v.state |= flow.CTInv
	case conn == nil:
		v.state |= flow.CTNew
		v.fresh = true
	default:
		conn.answered = conn.answered || reply
		if conn.answered {
			v.state |= flow.CTEst
		} else {
			v.state |= flow.CTNew
		}
	}
	if reply {
		v.state |= flow.CTRpl
	}
	return v
}

// commit makes the connection of a packet lasting, translated as nat says. nil: the
// packet has none that could be.
func (c *Conntrack) commit(p *packet, zone uint16, force bool, nat *openflow.ActionNAT) *connection {
	v := c.look(p, zone)
	if v.conn != nil && force && v.conn.first != v.key && v.state&flow.CTRel == 0 {
		delete(c.zones[zone], v.conn.first)
		delete(c.zones[zone], v.conn.back)
		v.conn, v.fresh = nil, true
	}
	if v.conn != nil || !v.fresh {
		return v.conn
	}
	conn := &connection{first: v.key, back: translated(v.key, nat).reverse()}
	if c.zones == nil {
		c.zones = map[uint16]map[tuple]*connection{}
	}
	if c.zones[zone] == nil {
		c.zones[zone] = map[tuple]*connection{}
	}
	c.zones[zone][v.key], c.zones[zone][conn.back] = conn, conn
	return conn
}

// Flags of TCP.
const (
	tcpFin, tcpSyn, tcpRst, tcpPsh, tcpAck, tcpUrg = 1, 2, 4, 8, 16, 32
)

// sound reports whether a packet may be part of a connection at all.
func sound(p *packet, t tuple) bool {
	if t.proto != protoTCP {
		return true
	}
	flags := p.num(openflow.TCPFlags)
	if flags&tcpSyn != 0 && flags&(tcpRst|tcpFin) != 0 || flags&(tcpSyn|tcpAck|tcpRst) == 0 {
		return false
	}
	return flags&tcpAck != 0 || flags&(tcpFin|tcpPsh|tcpUrg) == 0
}

// begins reports whether a sound packet may be the first of a connection; one of
// a connection that was there before the tracker may.
func begins(p *packet, t tuple) bool {
	switch {
	case t.proto == protoTCP:
		return p.num(openflow.TCPFlags)&(tcpSyn|tcpAck) != tcpSyn|tcpAck
	case t.icmp():
		return isAsking(t)
	}
	return true
}

func isAsking(t tuple) bool {
	for _, a := range asking[t.proto] {
		if uint8(t.dport>>8) == a {
			return true
		}
	}
	return false
}

// tupleOf returns the tuple of a packet. Of an ICMP error it is the other
// direction of the packet that the error is about, and related is true.
func tupleOf(p *packet) (t tuple, related, ok bool) {
	if p.at.end == 0 {
		return t, false, false
	}
	t.proto = uint8(p.num(openflow.IPProto))
	v6 := p.num(openflow.EthType) == etherIPv6
	if v6 {
		t.src, t.dst = netip.AddrFrom16(*p.get(openflow.IPv6Src)), netip.AddrFrom16(*p.get(openflow.IPv6Dst))
	} else {
		t.src, t.dst = netip.AddrFrom4([4]byte(p.get(openflow.IPv4Src)[:4])), netip.AddrFrom4([4]byte(p.get(openflow.IPv4Dst)[:4]))
	}
	var l4 []byte
	if p.at.l4 > 0 {
		l4 = p.frame[p.at.l4:p.at.end]
	}
	switch t.proto {
	case protoTCP, protoUDP, protoSCTP:
		if l4 == nil {
			return t, false, false
		}
		t.sport, t.dport = be.Uint16(l4), be.Uint16(l4[2:])
	case protoICMP, protoICMPv6:
		if l4 == nil || v6 != (t.proto == protoICMPv6) {
			return t, false, false
		}
		kind := l4[0]
		if isError(v6, kind) {
			inner, ok := aboutWhat(l4[8:], v6)
			return inner.reverse(), true, ok
		}
		t.sport, t.dport = be.Uint16(l4[4:]), uint16(kind)<<8|uint16(l4[1])
		if answerOf(t.proto, kind) == kind {
			return t, false, false // neither question nor answer: nothing to track
		}
	}
	return t, false, true
}

func isError(v6 bool, kind uint8) bool {
	if v6 {
		return kind >= 1 && kind <= 4
	}
	switch kind {
	case 3, 4, 5, 11, 12: // unreachable, source quench, redirect, time exceeded, parameter problem
		return true
	}
	return false
}

// aboutWhat reads the tuple of the packet that an ICMP error quotes, of which
// there may be no more than the first 8 bytes behind the IP header.
func aboutWhat(b []byte, v6 bool) (t tuple, ok bool) {
	head := 40
	if v6 {
		if len(b) < head || b[0]>>4 != 6 {
			return t, false
		}
		t.proto = b[6]
		t.src, t.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	} else {
		if len(b) < 20 || b[0]>>4 != 4 {
			return t, false
		}
		head = int(b[0]&15) * 4
		t.proto = b[9]
		t.src, t.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	}
	if head < 20 || len(b) < head+8 {
		return t, false
	}
	l4 := b[head:]
	switch t.proto {
	case protoTCP, protoUDP, protoSCTP:
		t.sport, t.dport = be.Uint16(l4), be.Uint16(l4[2:])
	case protoICMP, protoICMPv6:
		t.sport, t.dport = be.Uint16(l4[4:]), uint16(l4[0])<<8|uint16(l4[1])
	}
	return t, true
}

// show lets a packet carry what the tracker says of it.
func (p *packet) show(v verdict, zone uint16) {
	p.clearCT()
	p.setNum(openflow.CTState, uint64(v.state))
	p.setNum(openflow.CTZone, uint64(zone))
	key := v.key
	if v.conn != nil {
		key = v.conn.first
		p.setNum(openflow.CTMark, uint64(v.conn.mark))
		*p.get(openflow.CTLabel) = v.conn.label
	}
	if !key.src.IsValid() {
		return
	}
	src, dst := openflow.CTIPv4Src, openflow.CTIPv4Dst
	if key.src.Is6() {
		src, dst = openflow.CTIPv6Src, openflow.CTIPv6Dst
	}
	p.setBytes(src, key.src.AsSlice())
	p.setBytes(dst, key.dst.AsSlice())
	p.setNum(openflow.CTProto, uint64(key.proto))
	p.setNum(openflow.CTSrcPort, uint64(key.sport))
	p.setNum(openflow.CTDstPort, uint64(key.dport))
}

// clearCT lets a packet forget the tracker.
func (p *packet) clearCT() {
	for _, id := range []openflow.FieldID{
		openflow.CTState, openflow.CTZone, openflow.CTMark, openflow.CTLabel, openflow.CTIPv4Src, openflow.CTIPv4Dst,
		openflow.CTIPv6Src, openflow.CTIPv6Dst, openflow.CTProto, openflow.CTSrcPort, openflow.CTDstPort,
	} {
		*p.get(id) = value{}
	}
}
