package intent

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// DPID is an OpenFlow datapath id.
type DPID uint64

// ParseDPID reads 16 hex digits.
func ParseDPID(s string) (DPID, error) {
	if len(s) != 16 {
		return 0, fmt.Errorf("intent: %q is not a datapath id of 16 hex digits", s)
	}
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("intent: %q is not a datapath id of 16 hex digits", s)
	}
	return DPID(v), nil
}

func (d DPID) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// DPIDOfSystem is the datapath id that the integration bridge of a host gets
// if it has none of its own. It follows from the system-id of the Open vSwitch,
// so a host that is set up anew is the same switch as before.
func DPIDOfSystem(systemID string) DPID {
	sum := sha256.Sum256([]byte("macloom integration bridge of " + systemID))
	// A datapath id of zero means none.
	return DPID(max(binary.BigEndian.Uint64(sum[:8]), 1))
}

// SwitchPort is a port that a switch reported.
type SwitchPort struct {
	No     uint32 // OpenFlow number; OFPP_LOCAL is 0xfffffffe
	Name   string
	HWAddr mac.Addr
	Up     bool // neither administratively down nor without link
}

// Switch is what is known of a datapath: facts, but for what an operator decides and notes.
type Switch struct {
	DPID     DPID
	Admitted bool   // whether it may connect
	Judged   bool   // that is an operator's decision
	Note     string // the operator's, about it

	// By OpenFlow.
	Address      string // remote end of its last connection
	Connected    bool
	Description  string // manufacturer, hardware, software as the switch states them
	Ports        []SwitchPort
	Capabilities map[string]string // what it can do, by feature: "yes", "no", "unknown"
	Realized     int64             // change revision that its flows reflect
	ForeignFlows int               // flows that are not ours
	Repaired     int64             // flows that audits had to put right
	Error        string            // last fault of reconciliation; empty: none
	ConnectedAt  time.Time
	Pools        map[uint32]PoolFact // affinity pools whose flows it has, by number

	// By OVSDB; empty without it.
	FailMode       string // "secure", "standalone"
	DatapathType   string // "system": the kernel's; "netdev": the userspace one
	SystemID       string // of the Open vSwitch that has the bridge
	Hostname       string
	Version        string // of Open vSwitch
	OVSDBConnected bool
	SetupError     string       // why the bridge cannot be set up; empty: it is
	Tunnel         netip.Addr   // of its VXLAN tunnel end point; invalid: it has none
	Attachments    []Attachment // its interfaces that carry an iface-id, by name

	TurnedAwayAt     time.Time // zero: never
	TurnedAwayReason string
	UpdatedAt        time.Time
}

// Judge decides whether the datapath may connect.
func (s *Switch) Judge(admitted bool) { s.Admitted, s.Judged = admitted, true }

// PoolFact is what has become of an affinity pool on a switch.
type PoolFact struct {
	Revision int64    `json:"rev"`             // of the pool that its flows reflect
	Live     []uint32 `json:"live,omitempty"`  // backends that get new clients, by number
	Fault    string   `json:"fault,omitempty"` // why flows of it are missing
}

// Bridge is what OVSDB tells of a bridge and of the host that it is on.
type Bridge struct {
	DPID         DPID
	Integration  bool // the one that macloom sets up: it is recorded before it connects by OpenFlow
	FailMode     string
	DatapathType string
	SystemID     string
	Hostname     string
	Version      string
	Connected    bool // the OVSDB connection is up
	SetupError   string
	Tunnel       netip.Addr // of its VXLAN tunnel end point; invalid: it has none
}

// Attachment is an interface of a bridge that carries the id of a port in
// external_ids:iface-id. It is a fact; what follows from it for the port is in
// State.
type Attachment struct {
	Interface string
	IfaceID   string // as the host has it
	OFPort    int64  // 0: not open yet; -1: it cannot be opened
	MACInUse  string
	Error     string // why it cannot be opened

	Since  time.Time
	State  AttachmentState
	Reason string // why it is not bound
}

// AttachmentState says whether a port is bound to an interface.
type AttachmentState string

// The states.
const (
	AttachmentBound   AttachmentState = "bound"
	AttachmentWaiting AttachmentState = "waiting" // for the port to be made or for the interface to be opened
	AttachmentRefused AttachmentState = "refused" // another interface has the port, or was asked for
)

// Admission is a decision on who may connect: of an operator, or taken over
// from what was let in before.
type Admission struct {
	DPID     DPID
	SystemID string // empty: not known
	Admitted bool
	// Integration says that it is the integration bridge of its host, where
	// interfaces that bind no port yet, or not any more, belong to nobody: their
	// packets are dropped whatever becomes of unmanaged ports elsewhere.
	Integration bool
}

// Candidate is a switch that wants to connect.
type Candidate struct {
	DPID     DPID   // 0: a host without an integration bridge and without a system-id
	SystemID string // empty: it came by OpenFlow
	Hostname string
	Version  string
	Address  string
}
