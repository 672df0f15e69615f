// Package intent holds what tenants and operators want: the entities, and the
// view of them that one switch needs. It is pure; PostgreSQL is the store of
// record and package store fills these values.
package intent

import (
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
	VNI     uint32 // 1..2^24-1, unique; the metadata of its packets in the pipeline
	MTU     int
	AdminUp bool
	Subnets []string // ids, oldest first
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
	Status         PortStatus
	StatusReason   string // why ERROR, or why still DOWN
}

// SecurityGroup is a set of rules that ports subscribe to.
type SecurityGroup struct {
	Meta
	Num   uint32 // small unique number: part of the key of a group set
	Rules []Rule // oldest first
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
}
