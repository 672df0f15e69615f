// Package intent holds what tenants and operators want: the entities, and the
// view of them that one switch needs. It is pure; PostgreSQL is the store of
// record and package store fills these values.
package intent

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// Meta is what every entity carries. IDs are UUIDs in their canonical text
// form, except a tenant's, which is whatever the cloud's identity service
// uses (up to 255 characters).
type Meta struct {
	ID          string
	TenantID    string
	Name        string
	Description string
	Tags        []string // words of clients, sorted; of kinds that have them
	Revision    int64    // rises with every change, of a child's too where Neutron says so
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Common returns what every entity carries.
func (m *Meta) Common() *Meta { return m }

// Tenant is a project. Its Meta.TenantID equals its ID.
type Tenant struct {
	Meta
	Disabled bool // its tokens are refused; what it owns works on
}

// Network is one layer-2 broadcast domain.
type Network struct {
	Meta
	VNI         uint32 // unique; the metadata of its packets in the pipeline: the VNI, or above MaxVNI if it is not VXLAN
	Provider    Provider
	MTU         int
	AdminUp     bool
	External    bool   // leads out of the cloud
	IsDefault   bool   // the external network that is taken where none is named
	Unguarded   bool   // new ports have no port security
	QoSPolicyID string // empty: none
	DNSDomain   string
	ZoneHints   []string
	Subnets     []string // ids, oldest first

	Shared   bool      // with whoever reads it
	ScopeIDs [2]string // address scopes of its IPv4 and IPv6 subnets; empty: none

	VLAN   uint16 // its tag on the links of the fabric; 0: it has none
	NoVLAN bool   // it needs one, and none is left
}

// MaxVNI is the highest VXLAN network identifier, RFC 7348 §5.
const MaxVNI = 1<<24 - 1

// Provider says how a network is carried between hosts, in the operator's
// words. Only VXLAN says something to the data plane; the others are records.
type Provider struct {
	Type     NetworkType
	Physical string // of VLAN and flat networks
	ID       uint32 // VNI, VLAN id or GRE key; 0: the type has none
}

// NetworkType is how a network is carried between hosts.
type NetworkType string

// The types.
const (
	NetworkVXLAN  NetworkType = "vxlan"
	NetworkVLAN   NetworkType = "vlan"
	NetworkFlat   NetworkType = "flat"
	NetworkGENEVE NetworkType = "geneve"
	NetworkGRE    NetworkType = "gre"
	NetworkLocal  NetworkType = "local"
)

// MTU is the largest packet of a network of the type over an Ethernet of 1500.
func (t NetworkType) MTU() int {
	switch t {
	case NetworkVXLAN:
		return 1450
	case NetworkGENEVE:
		return 1442
	case NetworkGRE:
		return 1458
	}
	return 1500
}

// Range is an inclusive range of IP addresses of one family.
type Range struct {
	First, Last netip.Addr
}

// Subnet is an IP prefix of a network.
type Subnet struct {
	Meta
	NetworkID   string
	CIDR        netip.Prefix // masked
	Gateway     netip.Addr   // invalid: none
	Pools       []Range      // where automatic addresses come from
	EnableDHCP  bool
	Nameservers []netip.Addr
	PoolID      string // subnet pool that the prefix was cut out of; empty: none
	Shared      bool   // with whoever reads it, as its network is

	RAMode       IPv6Mode // who announces an IPv6 prefix, and how; empty: not said
	AddressMode  IPv6Mode
	HostRoutes   []Route
	ServiceTypes []string // device_owner of the ports that it is for; none: any
}

// IPv6Mode is how stations get their addresses of an IPv6 subnet.
type IPv6Mode string

// The modes.
const (
	SLAAC           IPv6Mode = "slaac"
	DHCPv6Stateful  IPv6Mode = "dhcpv6-stateful"
	DHCPv6Stateless IPv6Mode = "dhcpv6-stateless"
)

// Automatic reports whether stations form their addresses of their MAC.
func (m IPv6Mode) Automatic() bool { return m == SLAAC || m == DHCPv6Stateless }

// Automatic reports whether stations form their addresses of the subnet of
// their MAC.
func (s *Subnet) Automatic() bool { return s.RAMode.Automatic() || s.AddressMode.Automatic() }

// Route is a route that instances of a subnet are to have.
type Route struct {
	Destination netip.Prefix
	NextHop     netip.Addr
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string
	Addr     netip.Addr
}

// Binding says where a port is plugged in. What a request leaves open is
// completed by an interface of a switch that carries the id of the port.
type Binding struct {
	Host          string // datapath id as 16 hex digits; empty: unbound
	InterfaceName string // name of the switch port, or
	PortNo        uint32 // its OpenFlow number; one of the two
}

// IsZero reports whether the port is unbound.
func (b Binding) IsZero() bool { return b == Binding{} }

// DPID returns the datapath id that Host names.
func (b Binding) DPID() (DPID, bool) {
	d, err := ParseDPID(b.Host)
	return d, err == nil
}

// PortStatus is the realized state of a port.
type PortStatus string

const (
	PortDown   PortStatus = "DOWN"   // its flows are not in a switch
	PortActive PortStatus = "ACTIVE" // its flows are in, confirmed by a barrier
	PortError  PortStatus = "ERROR"  // a switch refused, or the binding cannot be met
)

// Port is a connection of an instance to a network.
type Port struct {
	Meta
	Num            uint32 // small unique number: cookie object of its flows
	NetworkID      string
	MAC            mac.Addr
	SegmentID      string // that the MAC came out of; empty for a foreign MAC
	FixedIPs       []FixedIP
	SecurityGroups []string // ids, sorted
	AdminUp        bool
	DeviceID       string
	DeviceOwner    string
	Binding        Binding
	AskedHost      string // binding:host_id as it was asked for: Binding.Host, or the name of a host
	HostKnown      bool   // AskedHost is the name of a host that a switch has
	Status         PortStatus
	StatusReason   string // why ERROR, or why still DOWN
	Trunk          TrunkPlace

	Unguarded          bool // neither spoof guard nor security groups: port_security_enabled is false
	VNICType           string
	QoSPolicyID        string // empty: none of its own
	NetworkQoSPolicyID string // that of its network
	Extras             PortExtras
}

// PortExtras is what most ports have nothing of and nobody looks them up by.
type PortExtras struct {
	Pairs           []AddressPair `json:"pairs,omitempty"`
	DHCPOptions     []DHCPOption  `json:"dhcp_options,omitempty"`
	Profile         string        `json:"profile,omitempty"` // of binding:profile, what is not ours: a JSON object
	DNSName         string        `json:"dns_name,omitempty"`
	DNSDomain       string        `json:"dns_domain,omitempty"`
	DataPlaneStatus string        `json:"data_plane_status,omitempty"`
	NUMAPolicy      string        `json:"numa_policy,omitempty"`
	DeviceProfile   string        `json:"device_profile,omitempty"`
	NoUplinkStatus  bool          `json:"no_uplink_status,omitempty"` // the state of the uplink is not passed on
}

// IsZero reports whether there is nothing.
func (x *PortExtras) IsZero() bool {
	return len(x.Pairs) == 0 && len(x.DHCPOptions) == 0 && x.Profile == "" && x.DNSName == "" && x.DNSDomain == "" &&
		x.DataPlaneStatus == "" && x.NUMAPolicy == "" && x.DeviceProfile == "" && !x.NoUplinkStatus
}

// AddressPair is what a port may speak as besides its own addresses.
type AddressPair struct {
	Address string   `json:"address"` // an IP address or prefix, as the client gave it
	MAC     mac.Addr `json:"mac"`     // 0: that of the port
	// MACBits is how many bits of the MAC count, which is then the base of a
	// segment; 0: all of them.
	MACBits int `json:"mac_bits,omitempty"`
}

// Block is the MAC addresses of a pair of a port with a MAC of its own.
func (p AddressPair) Block(own mac.Addr) mac.Segment {
	if p.MACBits == 0 {
		return cmp.Or(p.MAC, own).Segment()
	}
	block, _ := mac.NewSegment(p.MAC, p.MACBits)
	return block
}

// Prefix is the addresses of the pair.
func (p AddressPair) Prefix() netip.Prefix {
	if a, err := netip.ParseAddr(p.Address); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	prefix, _ := netip.ParsePrefix(p.Address)
	return prefix.Masked()
}

// Prefixes is the addresses of the pair in prefixes that a flow can match: all
// addresses of a family are two halves.
func (p AddressPair) Prefixes() []netip.Prefix {
	prefix := p.Prefix()
	if prefix.Bits() > 0 {
		return []netip.Prefix{prefix}
	}
	low := netip.PrefixFrom(prefix.Addr(), 1)
	return []netip.Prefix{low, netip.PrefixFrom(LastAddr(low).Next(), 1)}
}

// DHCPOption is an option for the instance behind a port.
type DHCPOption struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Version int    `json:"version"` // 4 or 6
}

// SecurityGroup is a set of rules that ports subscribe to.
type SecurityGroup struct {
	Meta
	Num       uint32 // small unique number: part of the key of a group set
	Stateless bool   // its rules look at single packets, not at connections
	Rules     []Rule // oldest first
	Shared    bool   // with whoever reads it
}

// Direction is seen from the port: ingress is towards the instance.
type Direction string

const (
	Ingress Direction = "ingress"
	Egress  Direction = "egress"
)

// EtherType of a rule, in the words of the API.
type EtherType string

const (
	IPv4 EtherType = "IPv4"
	IPv6 EtherType = "IPv6"
)

// Rule allows traffic; what no rule allows is dropped.
type Rule struct {
	Meta
	Num           uint32 // small unique number: the ct_mark of connections that it admits; never reused, never 0
	GroupID       string
	Direction     Direction
	EtherType     EtherType
	Protocol      *uint8  // IP protocol number; nil: any
	ProtocolName  string  // as the client wrote it; empty: any
	PortMin       *uint16 // TCP, UDP, SCTP…: first port; ICMP: type
	PortMax       *uint16 // last port; ICMP: code
	RemotePrefix  netip.Prefix
	RemoteGroupID string
	// RemoteAddressGroupID names a set of prefixes that the other side is in.
	RemoteAddressGroupID string
	// RemoteMAC and RemoteSegmentID are asked of the other side beside the above,
	// one of them at most.
	RemoteMAC       mac.Addr
	RemoteSegmentID string
	RemoteBlock     mac.Segment // of that segment, or of the single address; as it is, not to be set
}
