package respond

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

var asked4 = map[dhcpv4.MessageType]Message{
	dhcpv4.MessageTypeDiscover: Discover, dhcpv4.MessageTypeRequest: Request, dhcpv4.MessageTypeDecline: Decline,
	dhcpv4.MessageTypeRelease: Release, dhcpv4.MessageTypeInform: Inform,
}

// dhcp4 answers a message of DHCPv4 (RFC 2131 §4.3).
func (s Server) dhcp4(c *intent.Client, p packet) Answer {
	m, err := dhcpv4.FromBytes(p.Payload)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || len(m.ClientHWAddr) != 6 || mac.FromBytes([6]byte(m.ClientHWAddr)) != c.MAC {
		return Answer{Asked: Malformed}
	}
	asked, ok := asked4[m.MessageType()]
	if !ok {
		return Answer{Asked: Malformed}
	}
	a := Answer{Asked: asked}
	wanted, answers := wanted4(m), map[Message]dhcpv4.MessageType{Discover: dhcpv4.MessageTypeOffer, Request: dhcpv4.MessageTypeAck, Inform: dhcpv4.MessageTypeAck}
	kind, answered := answers[asked]
	given, has := address4(c, wanted)
	switch {
	case !answered || !has:
		return a // a port without an address in a served subnet; or nothing is to be said
	case asked != Discover && m.ServerIdentifier() != nil && !serves(c, m.ServerIdentifier()):
		return a // the client has chosen another server
	case asked == Request && given.Addr != wanted:
		// Also where it says no address at all: then there is nothing to confirm.
		a.Said, a.Frame = Nak, s.nak4(m, given)
		return a
	}
	reply := s.reply4(m, kind, given.Subnet.ServerAddress())
	if asked != Inform {
		reply.YourIPAddr = given.Addr.AsSlice()
		// Renewals go to the server alone until the rebinding time. Where nobody
		// has its address they cannot, and go to all from the start.
		rebind := s.Lease / 8 * 7
		if given.Router == 0 {
			rebind = s.Lease / 2
		}
		for code, d := range map[dhcpv4.OptionCode]time.Duration{
			dhcpv4.OptionIPAddressLeaseTime: s.Lease, dhcpv4.OptionRenewTimeValue: s.Lease / 2, dhcpv4.OptionRebindingTimeValue: rebind,
		} {
			reply.Options.Update(dhcpv4.OptGeneric(code, seconds(d)))
		}
	}
	configure4(reply, c, given)
	a.Said = Ack
	if kind == dhcpv4.MessageTypeOffer {
		a.Said = Offer
	}
	// To whom has an address already, by it; else to the one that is given, which the
	// client takes before it has it, or by broadcast if it cannot (RFC 2131 §4.1).
	to, dst := given.Addr, c.MAC
	switch ciaddr, ok := netip.AddrFromSlice(m.ClientIPAddr.To4()); {
	case ok && !ciaddr.IsUnspecified():
		to = ciaddr
	case m.IsBroadcast():
		to, dst = broadcast4, mac.Max
	}
	a.Frame = Envelope{ServerMAC, dst, given.Subnet.ServerAddress(), to}.udp(dhcp4Server, dhcp4Client, reply.ToBytes())
	return a
}

// wanted4 is the address that a client asks for or has: it is invalid if it
// names none.
func wanted4(m *dhcpv4.DHCPv4) netip.Addr {
	for _, ip := range []net.IP{m.RequestedIPAddress(), m.ClientIPAddr} {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			return a
		}
	}
	return netip.Addr{}
}

// address4 is the address of a port that is given: the wanted one if it may have it,
// else its first.
func address4(c *intent.Client, wanted netip.Addr) (given intent.ClientAddress, ok bool) {
	for _, a := range c.Addresses {
		if !a.Addr.Is4() || !a.Subnet.EnableDHCP {
			continue
		}
		if !ok || a.Addr == wanted {
			given, ok = a, true
		}
	}
	return given, ok
}

// serves reports whether one of the client's servers has an address.
func serves(c *intent.Client, id net.IP) bool {
	at, _ := netip.AddrFromSlice(id.To4())
	return slices.ContainsFunc(c.Addresses, func(a intent.ClientAddress) bool {
		return a.Addr.Is4() && a.Subnet.EnableDHCP && a.Subnet.ServerAddress() == at
	})
}

// reply4 is a message that has nothing in it yet.
func (s Server) reply4(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, server netip.Addr) *dhcpv4.DHCPv4 {
	r := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, ClientHWAddr: m.ClientHWAddr, TransactionID: m.TransactionID,
		Flags: m.Flags, GatewayIPAddr: m.GatewayIPAddr, ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero,
		Options: dhcpv4.Options{},
	}
	if kind != dhcpv4.MessageTypeNak {
		r.ClientIPAddr = m.ClientIPAddr
	}
	r.Options.Update(dhcpv4.OptMessageType(kind))
	r.Options.Update(dhcpv4.OptServerIdentifier(server.AsSlice()))
	if id := m.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		r.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id)) // RFC 6842
	}
	return r
}

// nak4 tells a client that the address that it asks for is not its own.
func (s Server) nak4(m *dhcpv4.DHCPv4, given intent.ClientAddress) []byte {
	r := s.reply4(m, dhcpv4.MessageTypeNak, given.Subnet.ServerAddress())
	r.Options.Update(dhcpv4.OptMessage("the port has another address"))
	return Envelope{ServerMAC, mac.Max, given.Subnet.ServerAddress(), broadcast4}.udp(dhcp4Server, dhcp4Client, r.ToBytes())
}

// maxOptions4 bounds the options of a reply, so that it fits a frame of 1,500
// bytes: what a client asks for besides is left out.
const maxOptions4 = 1200

// configure4 says how the network is.
func configure4(r *dhcpv4.DHCPv4, c *intent.Client, given intent.ClientAddress) {
	n := given.Subnet
	put := func(code uint8, value []byte) {
		if len(value) > 0 {
			r.Options.Update(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value))
		}
	}
	put(1, net.CIDRMask(n.CIDR.Bits(), 32))
	put(28, intent.LastAddr(n.CIDR).AsSlice())
	put(12, []byte(hostName(c, given.Addr)))
	put(15, []byte(c.Domain))
	if c.MTU > 0 {
		put(26, binary.BigEndian.AppendUint16(nil, uint16(min(c.MTU, 0xffff))))
	}
	if n.Gateway.IsValid() {
		put(3, n.Gateway.AsSlice())
	}
	var servers []byte
	for _, ns := range n.Nameservers {
		if ns.Is4() {
			servers = append(servers, ns.AsSlice()...)
		}
	}
	put(6, servers)
	put(121, routes4(n))
	room := maxOptions4
	for _, value := range r.Options {
		room -= len(value) + 2
	}
	for _, o := range c.Options {
		code, value, ok := option4(o)
		if !ok || len(value)+2 > room {
			continue
		}
		if code == nextServer {
			r.ServerIPAddr = value
			continue
		}
		room -= len(value) + 2
		// What the port says wins over the subnet, but not over what the protocol needs.
		if code != 53 && code != 54 {
			put(code, value)
		}
	}
}

// routes4 are the routes of a subnet (RFC 3442). A client that reads them does not look
// at the router option, so that the default route is among them.
func routes4(n *intent.Subnet) (b []byte) {
	add := func(to netip.Prefix, via netip.Addr) {
		b = append(b, byte(to.Bits()))
		b = append(b, to.Masked().Addr().AsSlice()[:(to.Bits()+7)/8]...)
		b = append(b, via.AsSlice()...)
	}
	hasDefault := false
	for _, r := range n.HostRoutes {
		if r.Destination.Addr().Is4() && r.NextHop.Is4() {
			add(r.Destination, r.NextHop)
			hasDefault = hasDefault || r.Destination.Bits() == 0
		}
	}
	if len(b) > 0 && !hasDefault && n.Gateway.IsValid() {
		add(netip.PrefixFrom(netip.IPv4Unspecified(), 0), n.Gateway)
	}
	return b
}

// hostName is the name of an instance, or one that Neutron would give it.
func hostName(c *intent.Client, ip netip.Addr) string {
	if c.Host != "" {
		return c.Host
	}
	return "host-" + strings.NewReplacer(".", "-", ":", "-").Replace(ip.String())
}

func seconds(d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(min(d/time.Second, 0xffffffff)))
}

// String is for tests and logs.
func (a Answer) String() string {
	return fmt.Sprintf("%s → %s (%d bytes)", a.Asked, a.Said, len(a.Frame))
}
