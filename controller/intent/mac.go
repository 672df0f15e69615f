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
	QoSPolicyID       string // empty: none
	Shared            bool   // may serve every tenant that has none of its own
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

// StateAt is the state of the address at a time after the event and before the
// next one: a quarantine ends by itself, and a reservation that nobody takes up.
func (e *MACEvent) StateAt(t time.Time) MACState {
	if e.Until.IsZero() || t.Before(e.Until) {
		return e.State
	}
	switch e.State {
	case MACReserved:
		return MACQuarantined
	case MACQuarantined:
		return MACFree
	}
	return e.State
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
	MACBlocked    MACEventKind = "block"    // switches drop frames from it, all or at a port
	MACUnblocked  MACEventKind = "unblock"
)

// MACConflict is an address that two parties have: the managed one and one
// that was seen at a switch or imported.
type MACConflict struct {
	ID         string
	Addr       mac.Addr
	Kind       MACConflictKind
	Policy     ConflictPolicy // of the segment, when the conflict was found
	Resolved   bool
	Resolution string // how; empty while it is open

	TenantID  string // the managed party
	SegmentID string
	PortID    string
	DeviceID  string
	State     MACState

	Source     string // the other party: of an import
	ExternalID string
	Datapath   string // or where it was seen
	SwitchPort uint32
	Interface  string

	Reassigned mac.Addr  // what the managed party got instead; 0: nothing
	DueAt      time.Time // when it is to get something else; zero: never
	CreatedAt  time.Time
	SeenAt     time.Time // last
	Times      int64     // how often it was seen
	ResolvedAt time.Time
}

// MACConflictKind says how the other party turned up.
type MACConflictKind string

// The kinds of conflicts.
const (
	MACSeen          MACConflictKind = "seen"
	MACImportedTwice MACConflictKind = "import"
)

// MACImport is what came of an import of a foreign system's addresses.
type MACImport struct {
	ID        string
	Source    string // name of the foreign system
	TenantID  string // who has the addresses here
	DryRun    bool   // it only checked
	Lines     int64
	Imported  int64 // addresses that nobody else can get since
	Mapped    int64 // external ids that were kept
	Conflicts int64 // lines with an address that somebody else has, or another line
	Invalid   int64 // lines without a right address or external id
	Actor     string
	CreatedAt time.Time
}
