// Package respond makes the answers to what stations ask their network: DHCPv4,
// DHCPv6 and router solicitations. A frame and the port that it came from go in,
// a frame comes out; nothing is kept. It is pure.
//
// There are no leases to store: what a station may have are the addresses of
// its port, for as long as the port has them.
package respond

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// ServerMAC is from where the controller speaks. It is locally administered and
// no port is ever sent anything for it.
const ServerMAC mac.Addr = 0x0e5d00000001

// DefaultLease is for how long an address is given, as Neutron does.
const DefaultLease = 24 * time.Hour

// Server answers the stations of ports.
type Server struct {
	Lease time.Duration // how long an address is given for; at least a second
}

// Message is a kind of message, for counting.
type Message uint8

// The messages.
const (
	NoMessage Message = iota
	Malformed         // not one of those that are answered
	Discover
	Offer
	Request
	Ack
	Nak
	Decline
	Release
	Inform
	Solicit6
	Advertise6
	Request6
	Confirm6
	Renew6
	Rebind6
	Reply6
	Release6
	Decline6
	Information6
	RouterSolicitation
	RouterAdvertisement
)

// Messages is the number of kinds.
const Messages = int(RouterAdvertisement) + 1

func (m Message) String() string {
	return [Messages]string{
		"none", "malformed", "discover", "offer", "request", "ack", "nak", "decline", "release", "inform",
		"solicit6", "advertise6", "request6", "confirm6", "renew6", "rebind6", "reply6", "release6", "decline6", "information6",
		"router-solicitation", "router-advertisement",
	}[m]
}

// Answer is what came of a frame.
type Answer struct {
	Asked, Said Message
	Frame       []byte // nil: nothing is to be said
}

// Configure answers a question for configuration that the station behind a port
// has sent.
func (s Server) Configure(c *intent.Client, frame []byte) Answer {
	p, ok := parse(frame)
	switch {
	case !ok || p.Src != c.MAC:
	case p.Proto == protoICMPv6 && len(p.Payload) >= 8 && p.Payload[0] == routerSolicitation && p.Hops == maxHops:
		a := Answer{Asked: RouterSolicitation, Frame: Advertisement(c)}
		if a.Frame != nil {
			a.Said = RouterAdvertisement
		}
		return a
	case p.Proto == protoUDP && p.dstPort == dhcp4Server && p.From.Is4():
		return s.dhcp4(c, p)
	case p.Proto == protoUDP && p.dstPort == dhcp6Server && p.From.Is6():
		return s.dhcp6(c, p)
	}
	return Answer{Asked: Malformed}
}

// Advertise answers a solicitation, of whoever is to know where an address is that no
// station has; nil: it is none that is answered.
func Advertise(frame []byte, ip netip.Addr, at mac.Addr) []byte {
	const solicited = 0x60 // and it overrides what is known (RFC 4861 §4.4)
	p, ok := parse(frame)
	if asked, isQuestion := Asked(frame); !ok || !isQuestion || asked != ip || p.Proto != protoICMPv6 || p.From.IsUnspecified() {
		return nil
	}
	station := at.Bytes()
	message := append([]byte{neighbourAdvertisement, 0, 0, 0, solicited, 0, 0, 0}, ip.AsSlice()...)
	return Envelope{at, p.Src, ip, p.From}.icmp6(append(append(message, 2, 1), station[:]...))
}

// Asked returns the address that an ARP request or a neighbour solicitation asks for.
func Asked(frame []byte) (ip netip.Addr, ok bool) {
	if len(frame) < ethernetLen {
		return ip, false
	}
	switch b := frame[ethernetLen:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		// Ethernet, IPv4, their lengths, request (RFC 826).
		if len(b) < 28 || binary.BigEndian.Uint64(b) != 0x0001_0800_0604_0001 {
			return ip, false
		}
		return netip.AddrFrom4([4]byte(b[24:])), true
	case etherIPv6:
		const target = ipv6Len + 8
		if len(b) < target+16 || b[6] != protoICMPv6 || b[7] != maxHops || b[ipv6Len] != neighbourSolicitation || b[ipv6Len+1] != 0 {
			return ip, false
		}
		ip = netip.AddrFrom16([16]byte(b[target:]))
		return ip, !ip.IsMulticast() && !ip.Is4In6()
	}
	return ip, false
}
