package intent

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/mac"
)

// CloudAddress is the address of services of the cloud itself (RFC 3927). It
// stands for the DHCP server of a subnet without a gateway.
var CloudAddress = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// ServerAddress is the address that the DHCP server of an IPv4 subnet goes by:
// the gateway's, to which stations have a route.
func (s *Subnet) ServerAddress() netip.Addr {
	if s.Gateway.IsValid() {
		return s.Gateway
	}
	return CloudAddress
}

// Served says what the controller answers a port.
type Served struct {
	DHCP4 []netip.Addr // addresses of its DHCP servers, sorted; empty: it is not served
	DHCP6 bool
	RA    bool // router advertisements
}

// Equal reports whether two ports are served alike.
func (v Served) Equal(w Served) bool {
	return v.DHCP6 == w.DHCP6 && v.RA == w.RA && slices.Equal(v.DHCP4, w.DHCP4)
}

// Client is a port with what it is to be told about its networks.
type Client struct {
	ID        string
	MAC       mac.Addr
	MTU       int
	Host      string // name of the instance; empty: none was given
	Domain    string
	Options   []DHCPOption
	Addresses []ClientAddress // in the order of the port
}

// ClientAddress is an address of a client and the subnet that it is of.
type ClientAddress struct {
	Addr   netip.Addr
	Subnet *Subnet // not to be changed
	// Router is who has the gateway's address in the network; 0: nobody known.
	Router mac.Addr
}

// PutSubnet adds or replaces a subnet.
func (s *State) PutSubnet(n Subnet, t Touched) {
	old, known := s.subnets[n.ID]
	s.subnets[n.ID] = &n
	if !known || old.EnableDHCP != n.EnableDHCP || old.Gateway != n.Gateway || old.RAMode != n.RAMode || old.AddressMode != n.AddressMode {
		s.touchAll(s.present[n.NetworkID], t)
	}
}

// DeleteSubnet removes a subnet.
func (s *State) DeleteSubnet(id string, t Touched) {
	if old, known := s.subnets[id]; known {
		delete(s.subnets, id)
		s.touchAll(s.present[old.NetworkID], t)
	}
}

// ofCloud is how the owner of ports begins that are parts of the cloud itself:
// routers and servers have their addresses without being told.
const ofCloud = "network:"

// served says what a port is answered.
func (s *State) served(p *Port) (v Served) {
	if strings.HasPrefix(p.DeviceOwner, ofCloud) {
		return v
	}
	for _, ip := range p.FixedIPs {
		n, ok := s.subnets[ip.SubnetID]
		switch {
		case !ok || !n.EnableDHCP:
		case ip.Addr.Is4():
			v.DHCP4 = append(v.DHCP4, n.ServerAddress())
		default:
			v.DHCP6 = v.DHCP6 || n.DHCP6()
			v.RA = v.RA || n.RAMode != ""
		}
	}
	slices.SortFunc(v.DHCP4, netip.Addr.Compare)
	v.DHCP4 = slices.Compact(v.DHCP4)
	return v
}

// DHCP6 reports whether stations of the subnet are answered by DHCPv6.
func (s *Subnet) DHCP6() bool {
	return s.EnableDHCP && (s.AddressMode == DHCPv6Stateful || s.AddressMode == DHCPv6Stateless)
}

// Client returns a port as what the controller answers it is made of.
func (s *State) Client(port string) (c Client, ok bool) {
	p, ok := s.ports[port]
	if !ok {
		return c, false
	}
	network := s.networks[p.NetworkID]
	c = Client{
		ID: p.ID, MAC: p.MAC, MTU: network.MTU, Options: p.Extras.DHCPOptions, Host: p.Extras.DNSName,
		Domain: strings.TrimSuffix(cmp.Or(p.Extras.DNSDomain, network.DNSDomain), "."),
	}
	for _, ip := range p.FixedIPs {
		n, ok := s.subnets[ip.SubnetID]
		if !ok {
			continue
		}
		a := ClientAddress{Addr: ip.Addr, Subnet: n}
		if router, ok := s.neighbourIn(p.NetworkID, n.Gateway); ok && router.Num != p.Num {
			a.Router = router.MAC
		}
		c.Addresses = append(c.Addresses, a)
	}
	return c, true
}
