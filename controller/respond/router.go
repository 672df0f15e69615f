package respond

import (
	"encoding/binary"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// Lifetimes of what an advertisement says, as those of radvd.
const (
	routerLifetime    = 30 * time.Minute
	validLifetime     = 24 * time.Hour
	preferredLifetime = 4 * time.Hour
	serversLifetime   = time.Hour
)

// AdvertiseEvery is how often a port is told without having asked: often enough
// that a router and name servers are known at all times.
const AdvertiseEvery = 8 * time.Minute

// Flags of an advertisement (RFC 4861 §4.2) and of a prefix in it (§4.6.2).
const (
	flagManaged, flagOther          = 0x80, 0x40
	flagOnLink, flagAutonomous      = 0x80, 0x40
	prefixLen, curHopLimit     byte = 4, 64 // of a prefix option in units of 8 bytes
)

// Advertisement is a router advertisement for the station behind a port; nil if
// none of its subnets has one.
//
// Where a station of the network has the address of the gateway, the
// advertisement speaks in its name, for a guarded port may not do so itself.
// Otherwise it speaks of prefixes alone: its router has no lifetime, and so is
// no default router.
func Advertisement(c *intent.Client) []byte {
	var flags byte
	var router mac.Addr
	var lifetime time.Duration
	var prefixes, servers []byte
	told := false
	for _, a := range c.Addresses {
		n := a.Subnet
		if !a.Addr.Is6() || n.RAMode == "" || !n.EnableDHCP {
			continue
		}
		told = true
		prefix := byte(flagOnLink)
		switch n.RAMode {
		case intent.DHCPv6Stateful:
			flags |= flagManaged
		case intent.DHCPv6Stateless:
			flags |= flagOther
			prefix |= flagAutonomous
		case intent.SLAAC:
			prefix |= flagAutonomous
		}
		prefixes = append(prefixes, 3, prefixLen, byte(n.CIDR.Bits()), prefix)
		prefixes = append(prefixes, seconds(validLifetime)...)
		prefixes = append(prefixes, seconds(preferredLifetime)...)
		prefixes = append(prefixes, 0, 0, 0, 0)
		prefixes = append(prefixes, n.CIDR.Addr().AsSlice()...)
		for _, ns := range n.Nameservers {
			if ns.Is6() {
				servers = append(servers, ns.AsSlice()...)
			}
		}
		if a.Router != 0 && router == 0 {
			router, lifetime = a.Router, routerLifetime
		}
	}
	if !told {
		return nil
	}
	if router == 0 {
		router = ServerMAC
	}
	b := []byte{routerAdvertisement, 0, 0, 0, curHopLimit, flags}
	b = binary.BigEndian.AppendUint16(b, uint16(lifetime/time.Second))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // reachable and retransmission times are not said
	own := router.Bytes()
	b = append(b, 1, 1)
	b = append(b, own[:]...)
	if c.MTU >= 1280 { // of IPv6, RFC 8200 §5
		b = append(b, 5, 1, 0, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(c.MTU))
	}
	b = append(b, prefixes...)
	if len(servers) > 0 && len(servers) <= 16*64 { // RFC 8106 §5.1; Neutron has 5 at most for each subnet
		b = append(b, 25, byte(1+len(servers)/8), 0, 0)
		b = append(b, seconds(serversLifetime)...)
		b = append(b, servers...)
	}
	return Envelope{router, groupMAC(allNodes), router.LinkLocal(), allNodes}.icmp6(b)
}
