package learn

import (
	"encoding/binary"
	"net/netip"
)

// Told returns the IP address that a frame of ARP or neighbour discovery says
// its sender has; other frames, whose addresses may be of somebody behind the sender, say
// none.
func Told(frame []byte) (a netip.Addr) {
	const (
		addresses, tag = 12, 4
		arp, ipv6      = 0x0806, 0x86dd
		tagged, double = 0x8100, 0x88a8
	)
	if len(frame) < addresses+2 {
		return a
	}
	source, rest := frame[6:12], frame[addresses:]
	for len(rest) >= tag+2 {
		if kind := binary.BigEndian.Uint16(rest); kind != tagged && kind != double {
			break
		}
		rest = rest[tag:]
	}
	switch kind, body := binary.BigEndian.Uint16(rest), rest[2:]; kind {
	case arp:
		a = toldByARP(body, source)
	case ipv6:
		a = toldByND(body)
	}
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return netip.Addr{}
	}
	return a
}

// toldByARP reads the sender of ARP over Ethernet (RFC 826), unless it is
// somebody else than who sent the frame.
func toldByARP(b, source []byte) (a netip.Addr) {
	const length, sender, ip = 28, 8, 14
	if len(b) < length || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} || [6]byte(b[sender:]) != [6]byte(source) {
		return a
	}
	return netip.AddrFrom4([4]byte(b[ip:]))
}

// toldByND reads the source of a solicitation, or the address that it is about
// where it has none, since its sender tries if it is free (RFC 4862 §5.4.3), and
// that which an advertisement is about.
func toldByND(b []byte) (a netip.Addr) {
	const (
		header, icmp, source = 40, 58, 8
		target, whole        = header + 8, header + 24
		routerSolicitation   = 133
		solicitation         = 135
		advertisement        = 136
	)
	if len(b) < header+8 || b[6] != icmp || b[7] != 255 { // the hop limit: it comes from no router
		return a
	}
	from := netip.AddrFrom16([16]byte(b[source:]))
	switch kind := b[header]; {
	case kind == routerSolicitation, kind == solicitation && !from.IsUnspecified():
		return from
	case (kind == solicitation || kind == advertisement) && len(b) >= whole:
		return netip.AddrFrom16([16]byte(b[target:]))
	}
	return a
}
