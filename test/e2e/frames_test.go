package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

func parseMAC(text string) [6]byte { return mac.MustParse(text).Bytes() }

func ethernet(dst, src [6]byte, etherType uint16, payload []byte) []byte {
	frame := slices.Concat(dst[:], src[:], binary.BigEndian.AppendUint16(nil, etherType), payload)
	return append(frame, make([]byte, max(0, 60-len(frame)))...)
}

// nobody is an address of the tests' networks that no station has: a request for
// it goes to all of the network, as no switch can answer it.
var nobody = [4]byte{10, 0, 0, 200}

// arp is an ARP request (RFC 826) in a broadcast frame.
func arp(src, sha [6]byte, spa, tpa [4]byte) []byte {
	head := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	return ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, src, 0x0806,
		slices.Concat(head, sha[:], spa[:], make([]byte, 6), tpa[:]))
}

// to addresses a frame to one station.
func to(dst [6]byte, frame []byte) []byte { return slices.Concat(dst[:], frame[6:]) }

// ipv4 is an ICMP echo request.
func ipv4(src, dst [6]byte, from, to [4]byte) []byte {
	icmp := []byte{8, 0, 0, 0, 0x5d, 0x5d, 0, 1}
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	head := slices.Concat([]byte{0x45, 0, 0, byte(20 + len(icmp)), 0, 1, 0, 0, 64, 1, 0, 0}, from[:], to[:])
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	return ethernet(dst, src, 0x0800, append(head, icmp...))
}

// udp is a datagram without contents.
func udp(src, dst [6]byte, from, to [4]byte, srcPort, dstPort byte) []byte {
	frame := ipv4(src, dst, from, to)
	frame[14+9] = 17
	binary.BigEndian.PutUint16(frame[14+10:], 0)
	binary.BigEndian.PutUint16(frame[14+10:], checksum(frame[14:34]))
	copy(frame[34:], []byte{0, srcPort, 0, dstPort, 0, 8, 0, 0})
	return frame
}

func tagged(frame []byte, vlan byte) []byte {
	return slices.Concat(frame[:12], []byte{0x81, 0, 0, vlan}, frame[12:])
}

// mark appends a trailer by which a frame is known again.
func mark(frame []byte, n int) []byte { return append(slices.Clone(frame), trailer(n)...) }

func marked(n int) func([]byte) bool {
	return func(frame []byte) bool { return bytes.Contains(frame, trailer(n)) }
}

func trailer(n int) []byte { return fmt.Appendf(nil, "macloom-%08d", n) }

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
