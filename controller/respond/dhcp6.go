package respond

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/macloom/macloom/controller/intent"
)

var asked6 = map[dhcpv6.MessageType]Message{
	dhcpv6.MessageTypeSolicit: Solicit6, dhcpv6.MessageTypeRequest: Request6, dhcpv6.MessageTypeConfirm: Confirm6,
	dhcpv6.MessageTypeRenew: Renew6, dhcpv6.MessageTypeRebind: Rebind6, dhcpv6.MessageTypeRelease: Release6,
	dhcpv6.MessageTypeDecline: Decline6, dhcpv6.MessageTypeInformationRequest: Information6,
}

// serverID is the same at all controllers, so that any of them may renew.
var serverID = func() *dhcpv6.DUIDLL {
	b := ServerMAC.Bytes()
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: b[:]}
}()

// dhcp6 answers a message of DHCPv6 (RFC 9915 §18.3).
func (s Server) dhcp6(c *intent.Client, p packet) Answer {
	m, err := dhcpv6.MessageFromBytes(p.Payload)
	if err != nil || !p.From.IsLinkLocalUnicast() {
		return Answer{Asked: Malformed}
	}
	asked, ok := asked6[m.MessageType]
	if !ok {
		return Answer{Asked: Malformed}
	}
	a := Answer{Asked: asked}
	client, server := m.Options.ClientID(), m.Options.ServerID()
	switch asked {
	case Solicit6, Confirm6, Rebind6:
		ok = client != nil && server == nil
	case Information6:
		ok = server == nil || server.Equal(serverID)
	default:
		ok = client != nil && server != nil && server.Equal(serverID)
	}
	if !ok || !slices.ContainsFunc(c.Addresses, func(a intent.ClientAddress) bool { return a.Addr.Is6() && a.Subnet.DHCP6() }) {
		return a
	}
	reply := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: m.TransactionID}
	if client != nil {
		reply.AddOption(dhcpv6.OptClientID(client))
	}
	reply.AddOption(dhcpv6.OptServerID(serverID))
	a.Said = Reply6
	switch asked {
	case Solicit6:
		if m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			reply.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		} else {
			reply.MessageType, a.Said = dhcpv6.MessageTypeAdvertise, Advertise6
		}
		s.associate(reply, m, c)
	case Request6, Renew6, Rebind6:
		s.associate(reply, m, c)
	case Confirm6:
		status, known := confirm(m, c)
		if !known {
			return Answer{Asked: asked} // it has named no address
		}
		reply.AddOption(&dhcpv6.OptStatusCode{StatusCode: status})
	case Release6, Decline6:
		reply.AddOption(&dhcpv6.OptStatusCode{StatusCode: iana.StatusSuccess})
	}
	if asked != Release6 && asked != Decline6 && asked != Confirm6 {
		configure6(reply, c)
	}
	a.Frame = Envelope{ServerMAC, c.MAC, ServerMAC.LinkLocal(), p.From}.udp(dhcp6Server, dhcp6Client, reply.ToBytes())
	return a
}

// addresses6 are the addresses that a port is given by DHCPv6; those of
// stateless subnets it makes itself.
func addresses6(c *intent.Client) (list []netip.Addr) {
	for _, a := range c.Addresses {
		if a.Addr.Is6() && a.Subnet.EnableDHCP && a.Subnet.AddressMode == intent.DHCPv6Stateful {
			list = append(list, a.Addr)
		}
	}
	return list
}

// associate gives the first identity association all addresses of the port, and the
// others none. Addresses that the client has and may not have end at once.
func (s Server) associate(reply, m *dhcpv6.Message, c *intent.Client) {
	give := addresses6(c)
	for i, ia := range m.Options.IANA() {
		if i >= maxAssociations {
			return
		}
		out := &dhcpv6.OptIANA{IaId: ia.IaId, T1: s.Lease / 2, T2: s.Lease / 5 * 4}
		if len(give) == 0 {
			out.T1, out.T2 = 0, 0
			out.Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail, StatusMessage: "the port has no address for it"})
		}
		for _, ip := range give {
			out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: ip.AsSlice(), PreferredLifetime: whole(s.Lease), ValidLifetime: whole(s.Lease)})
		}
		if m.MessageType != dhcpv6.MessageTypeSolicit {
			for _, old := range ia.Options.Addresses() {
				if ip, ok := netip.AddrFromSlice(old.IPv6Addr.To16()); ok && !slices.Contains(give, ip) {
					out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: old.IPv6Addr})
				}
			}
		}
		reply.AddOption(out)
		give = nil
	}
}

// maxAssociations bounds what a client can make of an answer.
const maxAssociations = 8

// whole cuts to seconds, of which a lifetime consists.
func whole(d time.Duration) time.Duration {
	return min(d.Truncate(time.Second), 0xffffffff*time.Second)
}

// confirm says whether all addresses of a client are right for its link.
func confirm(m *dhcpv6.Message, c *intent.Client) (status iana.StatusCode, known bool) {
	for _, ia := range m.Options.IANA() {
		for _, has := range ia.Options.Addresses() {
			ip, ok := netip.AddrFromSlice(has.IPv6Addr.To16())
			if !ok || !slices.ContainsFunc(c.Addresses, func(a intent.ClientAddress) bool { return a.Addr == ip }) {
				return iana.StatusNotOnLink, true
			}
			known = true
		}
	}
	return iana.StatusSuccess, known
}

// configure6 says how the network is.
func configure6(reply *dhcpv6.Message, c *intent.Client) {
	var servers []net.IP
	for _, a := range c.Addresses {
		if !a.Addr.Is6() || !a.Subnet.DHCP6() {
			continue
		}
		for _, ns := range a.Subnet.Nameservers {
			if ns.Is6() {
				servers = append(servers, ns.AsSlice())
			}
		}
	}
	if len(servers) > 0 {
		reply.UpdateOption(dhcpv6.OptDNS(servers...))
	}
	if c.Domain != "" {
		if value, ok := encodeValue(names, c.Domain, netip.Addr.Is6); ok {
			reply.UpdateOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDomainSearchList, OptionData: value})
		}
	}
	room := maxOptions4
	for _, o := range c.Options {
		if code, value, ok := option6(o); ok && code > 13 && len(value)+4 <= room {
			room -= len(value) + 4
			reply.UpdateOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionCode(code), OptionData: value})
		}
	}
}
