package intent

// Trunk is a port that carries the packets of other ports, told apart by VLAN
// tags.
type Trunk struct {
	Meta
	PortID   string
	AdminUp  bool
	Status   TrunkStatus // realized state: it follows from that of the ports
	SubPorts []SubPort   // in the order in which they were added
}

// TrunkStatus is the realized state of a trunk.
type TrunkStatus string

// The states.
const (
	TrunkDown     TrunkStatus = "DOWN"     // its parent is not bound, or it is administratively down
	TrunkBuild    TrunkStatus = "BUILD"    // some of its ports are not in a switch yet
	TrunkActive   TrunkStatus = "ACTIVE"   // all are
	TrunkDegraded TrunkStatus = "DEGRADED" // a sub-port cannot be carried
	TrunkError    TrunkStatus = "ERROR"    // its parent cannot be realized
)

// SubPort is a port whose packets go over a trunk.
type SubPort struct {
	PortID string
	VLAN   int // 0 in what is to be made: that of the network of the port
}

// OwnerSubPort is the device_owner of a port while it is a sub-port; its
// device_id is the trunk.
const OwnerSubPort = "trunk:subport"

// TrunkPlace is what a port is in a trunk. A sub-port is bound where its parent
// is: Binding is that of the parent.
type TrunkPlace struct {
	ID     string // of the trunk; empty: it is in none
	Parent string // of a sub-port: the port on whose interface it is; empty: it is the parent
	VLAN   uint16 // of a sub-port: the tag of its packets there
	Down   bool   // of a sub-port: the trunk is administratively down
}
