package intent

import (
	"net/netip"
	"time"

	"github.com/macloom/macloom/controller/mac"
)

// ConflictPolicy says what happens when an address of a segment turns up with
// somebody else.
type ConflictPolicy string

// The policies.
const (
	ConflictReport   ConflictPolicy = "report"   // it is recorded
	ConflictRefuse   ConflictPolicy = "refuse"   // it is recorded, and the other party is not let in
	ConflictReassign ConflictPolicy = "reassign" // the managed side gets another address after a delay
)

// Segment is an aligned block of MAC addresses that is handed out as one.
// Only a segment without children gives addresses.
type Segment struct {
	Meta                     // TenantID is empty for a segment of the operator
	ParentID          string // empty for a root
	NetworkID         string // empty unless the segment serves one network only
	Host              string // empty unless it serves the ports bound to one host only
	Block             mac.Segment
	Shared            bool // may serve every tenant that has none of its own
	Strategy          mac.Strategy
	QuarantineSeconds int // how long a released address rests before anybody else gets it
	ConflictPolicy    ConflictPolicy
	ConflictDelay     int    // seconds until a conflict is ended by reassigning
	Active            uint64 // addresses in use
	Reserved          uint64
	Quarantined       uint64
}

// Free is how many addresses of the segment nobody has, the segment being one
// without children.
func (s *Segment) Free() uint64 {
	return s.Block.Size() - min(s.Block.Size(), s.Active+s.Reserved+s.Quarantined)
}

// DefaultSegment is a segment with what is usual and no block yet: a scrambled
// order, ten minutes of quarantine, conflicts reported.
func DefaultSegment() Segment {
	return Segment{Strategy: mac.Scrambled, QuarantineSeconds: 600, ConflictPolicy: ConflictReport, ConflictDelay: 600}
}

// MACState is where in its life an address is.
type MACState string

// The states, in the order of a life.
const (
	MACReserved    MACState = "reserved" // held for somebody
	MACActive      MACState = "active"
	MACQuarantined MACState = "quarantined" // released; nobody may have it before FreeAt
	MACFree        MACState = "free"
)

// MACOrigin is what an active address hangs on.
type MACOrigin string

// The origins.
const (
	MACOfPort   MACOrigin = "port"   // it goes with its port
	MACOfTenant MACOrigin = "tenant" // asked for by itself
	MACOfImport MACOrigin = "import" // of a foreign system
)

// MACAddress is an address that somebody has, or had lately.
type MACAddress struct {
	Addr      mac.Addr
	SegmentID string // empty: of none
	TenantID  string // of a released address, who had it last
	State     MACState
	Origin    MACOrigin
	PortID    string // empty: no port has it
	NetworkID string // of a reservation, the only network that it is for
	DeviceID  string
	ExpiresAt time.Time // end of a reservation; zero: none
	FreeAt    time.Time // end of a quarantine
	CreatedAt time.Time
	ChangedAt time.Time
}

// MACEvent is a line of the lineage of an address: the whole of what was true
// of it after a change.
type MACEvent struct {
	ID         int64
	At         time.Time
	Addr       mac.Addr
	Kind       MACEventKind
	State      MACState
	Until      time.Time // when the state ends by itself; zero: it does not
	SegmentID  string
	TenantID   string
	PortID     string
	NetworkID  string
	DeviceID   string
	IPs        []netip.Addr
	Host       string
	Datapath   string // 16 hex digits
	SwitchPort uint32 // OpenFlow number; 0: not known
	Interface  string
	Actor      string // who did it; empty: the system itself
	RequestID  string
	Detail     string
}

// MACEventKind says what happened to an address.
type MACEventKind string

// The kinds of events.
const (
	MACAllocated  MACEventKind = "allocate"
	MACHeld       MACEventKind = "reserve"
	MACTaken      MACEventKind = "take" // a port took up an address that was held for it
	MACBound      MACEventKind = "bind"
	MACUnbound    MACEventKind = "unbind"
	MACMoved      MACEventKind = "move"   // to another host or switch port
	MACChanged    MACEventKind = "change" // of addresses, instance or place
	MACReleased   MACEventKind = "release"
	MACKept       MACEventKind = "keep"   // its port went, and it waits for the next of the same instance
	MACExpired    MACEventKind = "expire" // nobody took up the reservation in time
	MACOrphaned   MACEventKind = "orphan" // found without owner and released
	MACImported   MACEventKind = "import"
	MACConflicted MACEventKind = "conflict"
	MACReassigned MACEventKind = "reassign" // given up because another party has it
)
