package intent

// Trunk is a port that carries the packets of other ports, told apart by VLAN
// tags.
type Trunk struct {
	Meta
	PortID   string
	AdminUp  bool
	Status   string    // realized state
	SubPorts []SubPort // in the order in which they were added
}

// SubPort is a port whose packets go over a trunk.
type SubPort struct {
	PortID string
	VLAN   int // 0 in what is to be made: that of the network of the port
}
