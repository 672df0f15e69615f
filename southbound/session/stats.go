package session

import (
	"sync/atomic"

	"github.com/macloom/macloom/southbound/openflow"
)

// messageTypes is one more than the largest ofp_type of OpenFlow 1.3, and one
// for all that is larger.
const messageTypes = 31

// Stats counts what happens on the sessions that share it. All fields only
// grow, except Open.
type Stats struct {
	// In and Out count messages by type; see TypeIndex.
	In, Out [messageTypes]atomic.Uint64
	// FlowMods counts the flow-mods queued for switches, those within bundles
	// included.
	FlowMods atomic.Uint64
	// PacketIns counts packet-ins by the number of their kind, see
	// Config.PacketIns; PacketInsUnwanted those of no kind.
	PacketIns         [MaxKinds]PacketInStats
	PacketInsUnwanted atomic.Uint64
	// BadMessages counts messages that could not be understood.
	BadMessages atomic.Uint64
	// Accepted counts finished handshakes, Refused connections that ended
	// before, and Open is how many sessions there are.
	Accepted, Refused atomic.Uint64
	Open              atomic.Int64
	// Panics counts panics that ended a session.
	Panics atomic.Uint64
}

// TypeIndex is where Stats.In and Stats.Out count messages of type t; types
// unknown to OpenFlow 1.3 share the last place.
func TypeIndex(t openflow.Type) int {
	return min(int(t), messageTypes-1)
}

// PacketInStats counts the packet-ins of one kind.
type PacketInStats struct {
	Queued  atomic.Uint64
	Dropped atomic.Uint64 // they found their queue full
}
