package ovsdb

// Snapshot is the state of an Open vSwitch as of one of its transactions
// (ovs-vswitchd.conf.db(5)). Snapshots share memory: what is in one must not
// be changed. A column that the server does not have, or that has no value,
// reads as zero.
type Snapshot struct {
	Root          UUID   // of the row of table Open_vSwitch; there is one
	SystemID      string // external_ids:system-id
	Hostname      string // external_ids:hostname
	OVSVersion    string
	ExternalIDs   map[string]string
	DatapathTypes []string  // that the switch can make, such as "system" and "netdev"
	NextCfg       int64     // grows with every change that somebody wants to wait for
	CurCfg        int64     // the NextCfg that ovs-vswitchd has brought about
	Bridges       []Bridge  // by name
	QoS           []QoS     // by UUID
	Queues        []Queue   // by UUID
	Managers      []Manager // by target
}

// Bridge is a row of table Bridge with all that belongs to it.
type Bridge struct {
	UUID         UUID
	Name         string
	DatapathID   string   // 16 hex digits; "" until ovs-vswitchd has made the bridge
	DatapathType string   // "" and "system" is the kernel datapath, "netdev" the userspace one
	FailMode     string   // "secure", "standalone" or "", which means standalone
	Protocols    []string // OpenFlow versions; empty for the default of Open vSwitch
	OtherConfig  map[string]string
	ExternalIDs  map[string]string
	Controllers  []Controller // by target
	Ports        []Port       // by name
	Interfaces   []Interface  // of all ports, by name
}

// Port is a row of table Port: one interface, or several that are bonded.
type Port struct {
	UUID        UUID
	Name        string
	Tag         int64 // VLAN of an access port; 0 without
	QoS         UUID  // "" without
	Interfaces  []UUID
	ExternalIDs map[string]string
}

// Interface is a row of table Interface.
type Interface struct {
	UUID          UUID
	Name          string
	Type          string // "" is a system interface; "internal", "vxlan", …
	OFPort        int64  // OpenFlow port number; 0 until it has one, -1 if it can not be opened
	OFPortRequest int64  // the number that was asked for; 0 without
	ExternalIDs   map[string]string
	Options       map[string]string
	MACInUse      string
	Error         string            // why it can not be opened
	LinkState     string            // "up", "down" or "" if not known
	AdminState    string            // likewise
	BFDStatus     map[string]string // key state and others; nil without BFD
}

// Controller is a row of table Controller: an OpenFlow controller of a bridge.
type Controller struct {
	UUID        UUID
	Target      string // such as "tcp:192.0.2.1:6653"
	IsConnected bool
	Role        string // "master", "slave", "other" or "" if not known
	ExternalIDs map[string]string
}

// Manager is a row of table Manager: an OVSDB client that the server connects
// to or waits for.
type Manager struct {
	UUID        UUID
	Target      string // such as "tcp:192.0.2.1:6640"
	IsConnected bool
	ExternalIDs map[string]string
}

// QoS is a row of table QoS. Rows of QoS and Queue live until they are
// deleted, whether a port refers to them or not.
type QoS struct {
	UUID        UUID
	Type        string         // such as "linux-htb"
	Queues      map[int64]UUID // by queue number
	OtherConfig map[string]string
	ExternalIDs map[string]string
}

// Queue is a row of table Queue.
type Queue struct {
	UUID        UUID
	OtherConfig map[string]string // such as min-rate and max-rate
	ExternalIDs map[string]string
}
