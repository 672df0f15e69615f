package intent

import "net/netip"

// MeteringLabel is a name under which traffic is to be counted.
type MeteringLabel struct {
	Meta
	Shared bool // counts the traffic of all tenants
}

// MeteringRule says which traffic counts under a label, or does not. Its
// tenant is that of its label; name and description are not used.
type MeteringRule struct {
	Meta
	LabelID      string
	Direction    Direction
	Excluded     bool
	RemotePrefix netip.Prefix
}

// Flavor is a kind of a service that tenants may choose. It is the operator's.
type Flavor struct {
	Meta
	ServiceType string
	Enabled     bool
	Profiles    []string // ids, sorted
}

// ServiceProfile is a way in which a service may be had. It is the operator's,
// and has no name.
type ServiceProfile struct {
	Meta
	Driver   string
	MetaInfo string
	Enabled  bool
}
