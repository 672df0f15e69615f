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

	protoUDP    = 17
	protoICMPv6 = 58

	routerSolicitation    = 133 // RFC 4861
	routerAdvertisement   = 134
	neighbourSolicitation = 135

	// maxHops shows that a packet has come from the link itself (RFC 4861 §6.1).
	maxHops = 255

	dhcp4Server, dhcp4Client uint16 = 67, 68
	dhcp6Client, dhcp6Server uint16 = 546, 547
)

var (
	broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	allNodes   = netip.MustParseAddr("ff02::1")
)

// packet is a frame with IPv4 or IPv6 that is no fragment and has neither VLAN tag
// nor extension headers. payload is that of UDP, or ICMPv6 with its header.
type packet struct {
	src              mac.Addr
	from, to         netip.Addr
	proto, hops      uint8
	srcPort, dstPort uint16
	payload          []byte
}

func parse(frame []byte) (p packet, ok bool) {
	if len(frame) < ethernetLen {
		return p, false
	}
	p.src = mac.FromBytes([6]byte(frame[6:12]))
	b := frame[ethernetLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if len(b) < ipv4Len || b[0]>>4 != 4 {
			return p, false
		}
		head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		const fragmented = 0x3fff // more fragments, or an offset
		if head < ipv4Len || total < head || total > len(b) || binary.BigEndian.Uint16(b[6:])&fragmented != 0 {
			return p, false
		}
		p.hops, p.proto = b[8], b[9]
		p.from, p.to = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.payload = b[head:total]
	case etherIPv6:
		if len(b) < ipv6Len || b[0]>>4 != 6 {
			return p, false
		}
		n := int(binary.BigEndian.Uint16(b[4:]))
		if n > len(b)-ipv6Len {
			return p, false
		}
		p.proto, p.hops = b[6], b[7]
		p.from, p.to = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		p.payload = b[ipv6Len : ipv6Len+n]
	default:
		return p, false
	}
	if p.proto != protoUDP {
		return p, true
	}
	if len(p.payload) < udpLen {
		return p, false
	}
	n := int(binary.BigEndian.Uint16(p.payload[4:]))
	if n < udpLen || n > len(p.payload) {
		return p, false
	}
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(p.payload), binary.BigEndian.Uint16(p.payload[2:])
	p.payload = p.payload[udpLen:n]
	return p, true
}

// envelope is the outside of a frame that is to be sent.
type envelope struct {
	src, dst mac.Addr
	from, to netip.Addr
}

// udp makes a frame with a datagram.
func (e envelope) udp(srcPort, dstPort uint16, payload []byte) []byte {
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
func (e envelope) icmp6(message []byte) []byte {
	b := e.headers(make([]byte, 0, ethernetLen+ipv6Len+len(message)), protoICMPv6, len(message), maxHops)
	start := len(b)
	b = append(b, message...)
	binary.BigEndian.PutUint16(b[start+2:], e.checksum(protoICMPv6, b[start:]))
	return b
}

// headers appends those of Ethernet and IP.
func (e envelope) headers(b []byte, proto uint8, n int, hops uint8) []byte {
	src, dst := e.src.Bytes(), e.dst.Bytes()
	b = append(append(b, dst[:]...), src[:]...)
	from, to := e.from.AsSlice(), e.to.AsSlice()
	if e.from.Is6() {
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

// checksum is that of UDP and ICMPv6, over a pseudo header besides.
func (e envelope) checksum(proto uint8, b []byte) uint16 {
	s := sum(0, e.from.AsSlice())
	s = sum(s, e.to.AsSlice())
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
