package respond

import (
	"encoding/binary"
	"net/netip"

	"github.com/macloom/macloom/controller/mac"
)

const (
	etherIPv4 uint16 = 0x0800
	etherARP  uint16 = 0x0806
	etherIPv6 uint16 = 0x86dd

	ethernetLen = 14
	ipv4Len     = 20 // without options
	ipv6Len     = 40
	udpLen      = 8

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	routerSolicitation     = 133 // RFC 4861
	routerAdvertisement    = 134
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136

	// maxHops shows that a packet has come from the link itself (RFC 4861 §6.1).
	maxHops = 255

	dhcp4Server, dhcp4Client uint16 = 67, 68
	dhcp6Client, dhcp6Server uint16 = 546, 547
)

var (
	broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	allNodes   = netip.MustParseAddr("ff02::1")
)

// Packet is IPv4 or IPv6 that is no fragment and has neither VLAN tag nor extension headers.
type Packet struct {
	Src         mac.Addr
	From, To    netip.Addr
	Proto, Hops uint8
	Payload     []byte // what there is of it
	Whole       bool   // that is all
}

// Read reads a frame, whose end may have been cut off on its way to the controller.
func Read(frame []byte) (p Packet, ok bool) {
	if len(frame) < ethernetLen {
		return p, false
	}
	p.Src = mac.FromBytes([6]byte(frame[6:12]))
	b := frame[ethernetLen:]
	var head, total int
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if len(b) < ipv4Len || b[0]>>4 != 4 {
			return p, false
		}
		head, total = int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		const fragmented = 0x3fff // more fragments, or an offset
		if head < ipv4Len || total < head || head > len(b) || binary.BigEndian.Uint16(b[6:])&fragmented != 0 {
			return p, false
		}
		p.Hops, p.Proto = b[8], b[9]
		p.From, p.To = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	case etherIPv6:
		if len(b) < ipv6Len || b[0]>>4 != 6 {
			return p, false
		}
		head, total = ipv6Len, ipv6Len+int(binary.BigEndian.Uint16(b[4:]))
		p.Proto, p.Hops = b[6], b[7]
		p.From, p.To = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	default:
		return p, false
	}
	p.Payload, p.Whole = b[head:min(total, len(b))], total <= len(b)
	return p, true
}

// packet is a whole Packet. The payload is that of UDP, or ICMPv6 with its header.
type packet struct {
	Packet
	srcPort, dstPort uint16
}

func parse(frame []byte) (p packet, ok bool) {
	p.Packet, ok = Read(frame)
	switch {
	case !ok || !p.Whole:
		return p, false
	case p.Proto != protoUDP:
		return p, true
	case len(p.Payload) < udpLen:
		return p, false
	}
	n := int(binary.BigEndian.Uint16(p.Payload[4:]))
	if n < udpLen || n > len(p.Payload) {
		return p, false
	}
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(p.Payload), binary.BigEndian.Uint16(p.Payload[2:])
	p.Payload = p.Payload[udpLen:n]
	return p, true
}

// Envelope is the outside of a frame that is to be sent.
type Envelope struct {
	Src, Dst mac.Addr
	From, To netip.Addr
}

// Flags of TCP (RFC 9293 §3.1).
const (
	TCPFin uint8 = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
)

// Segment is one of TCP, without options.
type Segment struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Payload          []byte
}

// TCP makes a frame with a segment. Of an answer no more is asked for than the one segment that
// anybody may send (RFC 9293 §3.7.1).
func (e Envelope) TCP(s Segment) []byte {
	const headerLen, window = 20, 536
	b := make([]byte, 0, ethernetLen+ipv6Len+headerLen+len(s.Payload))
	b = e.headers(b, protoTCP, headerLen+len(s.Payload), 64)
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, s.SrcPort)
	b = binary.BigEndian.AppendUint16(b, s.DstPort)
	b = binary.BigEndian.AppendUint32(b, s.Seq)
	b = binary.BigEndian.AppendUint32(b, s.Ack)
	b = append(b, headerLen/4<<4, s.Flags)
	b = binary.BigEndian.AppendUint16(b, window)
	b = append(b, 0, 0, 0, 0)
	b = append(b, s.Payload...)
	binary.BigEndian.PutUint16(b[start+16:], e.checksum(protoTCP, b[start:]))
	return b
}

// Echo makes a frame with an echo request (RFC 792, RFC 4443 §4.1).
func (e Envelope) Echo(id, seq uint16, payload []byte) []byte {
	message := binary.BigEndian.AppendUint16([]byte{8, 0, 0, 0}, id)
	message = append(binary.BigEndian.AppendUint16(message, seq), payload...)
	if e.From.Is6() {
		message[0] = 128
		return e.icmp6(message)
	}
	binary.BigEndian.PutUint16(message[2:], ^fold(sum(0, message)))
	return append(e.headers(make([]byte, 0, ethernetLen+ipv4Len+len(message)), protoICMP, len(message), 64), message...)
}

// udp makes a frame with a datagram.
func (e Envelope) udp(srcPort, dstPort uint16, payload []byte) []byte {
	b := make([]byte, 0, ethernetLen+ipv6Len+udpLen+len(payload))
	b = e.headers(b, protoUDP, udpLen+len(payload), 64)
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen+len(payload)))
	b = append(b, 0, 0)
	b = append(b, payload...)
	sum := e.checksum(protoUDP, b[start:])
	if sum == 0 {
		sum = 0xffff // zero says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[start+6:], sum)
	return b
}

// icmp6 makes a frame with a message of ICMPv6, whose checksum is filled in.
func (e Envelope) icmp6(message []byte) []byte {
	b := e.headers(make([]byte, 0, ethernetLen+ipv6Len+len(message)), protoICMPv6, len(message), maxHops)
	start := len(b)
	b = append(b, message...)
	binary.BigEndian.PutUint16(b[start+2:], e.checksum(protoICMPv6, b[start:]))
	return b
}

// headers appends those of Ethernet and IP.
func (e Envelope) headers(b []byte, proto uint8, n int, hops uint8) []byte {
	src, dst := e.Src.Bytes(), e.Dst.Bytes()
	b = append(append(b, dst[:]...), src[:]...)
	from, to := e.From.AsSlice(), e.To.AsSlice()
	if e.From.Is6() {
		b = binary.BigEndian.AppendUint16(b, etherIPv6)
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, proto, hops)
		return append(append(b, from...), to...)
	}
	b = binary.BigEndian.AppendUint16(b, etherIPv4)
	start := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+n))
	b = append(b, 0, 0, 0, 0, hops, proto, 0, 0)
	b = append(append(b, from...), to...)
	binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:])))
	return b
}

// checksum is that of TCP, UDP and ICMPv6, over a pseudo header besides.
func (e Envelope) checksum(proto uint8, b []byte) uint16 {
	s := sum(0, e.From.AsSlice())
	s = sum(s, e.To.AsSlice())
	s += uint32(proto) + uint32(len(b))
	return ^fold(sum(s, b))
}

func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// groupMAC is the address of an IPv6 group on Ethernet (RFC 2464 §7).
func groupMAC(ip netip.Addr) mac.Addr {
	b := ip.As16()
	return mac.FromBytes([6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]})
}
