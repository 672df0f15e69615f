package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// learnedIdle ages a learned address like a bridge does (IEEE 802.1Q
	// §8.8.3 recommends 300 s). Both flows of an address have it; when one of
	// them goes, the controller removes the other, so that a station that only
	// sends, or only receives, is learned anew rather than flooded to for ever.
	// So that many that came together do not all go together, it is up to a
	// tenth longer or shorter, which the address alone decides: both flows have the same,
	// and those that a restarted controller makes.
	learnedIdle   = 300
	learnedJitter = learnedIdle / 10

	// packetInBytes is how much of a frame the controller gets to see: enough
	// for Ethernet, VLAN, ARP and IPv6 neighbour discovery headers.
	packetInBytes = 128

	// edgeRate is how many packet-ins per second the learning table may cause for a port, at
	// which a host may make up addresses, and learnRate how many at once: many that are new at
	// once are learned as quickly. Ports without a meter of their own share one
	// of learnRate. What is above that goes on all the same and is learned later.
	learnRate = 1000
	edgeRate  = 250

	// pauseSeconds is how long the frames of unknown stations at a port cause no
	// packet-ins when it has as many stations as it may.
	pauseSeconds = 10
)

// learnSources knows the source addresses of unmanaged ports. A frame from an unknown
// one is copied to the controller and goes on at once: forwarding never waits
// for the controller, nor needs it.
var learnSources = Table{
	ID: tableLearn, Name: "learn",
	Job:    "known sources of unmanaged ports; in a fabric VLAN tags without a priority get one; a copy of frames from unknown ones goes to the controller",
	Reads:  []openflow.FieldID{openflow.InPort, openflow.VLANVID, openflow.VLANPCP, openflow.EthSrc, openflow.EthDst},
	Writes: []openflow.FieldID{openflow.VLANPCP},
	Next:   []uint8{tableLearn, tableSegments},
	Miss:   "copy to the controller, through the meter of the port where the switch has meters, then on to 30",
	fixed: func(v *intent.View, emit emitFunc) {
		if v.Unmanaged == intent.UnmanagedDrop {
			return
		}
		owner := NewCookie(KindTable, uint32(tableLearn))
		// Addresses that no bridge forwards: spanning tree, LLDP, PAUSE (IEEE 802.1Q table 8-1).
		emit(prioRefuse, owner, flow.NewMatch(flow.EthDstMasked(
			[6]byte{0x01, 0x80, 0xc2}, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0})))
		// A group address is nobody's source.
		emit(prioRefuse, owner, flow.NewMatch(flow.EthSrcMasked([6]byte{0x01}, [6]byte{0x01})))
		for _, no := range learnMetered(v) {
			emit(prioAsk, NewCookie(KindFree, no), flow.NewMatch(flow.InPort(no)),
				flow.Apply(toController(packetInBytes, learnMeter(no))), flow.Goto(tableSegments))
		}
		refuseLocators(v, owner, emit)
		foreignTags(v, owner, emit)
		var meter uint32
		if metersPacketIns(v) {
			meter = meterLearn
		}
		miss(emit, tableLearn, flow.Apply(toController(packetInBytes, meter)), flow.Goto(tableSegments))
	},
}

// learnMetered returns the edge ports whose packet-ins pass a meter of their
// own, so that whoever floods the controller delays nobody else's learning: all
// but those whose numbers are too high for one, such as the switch's own.
func learnMetered(v *intent.View) []uint32 {
	if !metersPacketIns(v) {
		return nil
	}
	edges := v.Edges()
	end, _ := slices.BinarySearch(edges, learnMeters)
	return edges[:end]
}

// PauseLearning is the flow that keeps the frames of unknown stations at a port from
// the controller for a while. They go on; those of known ones do anyway.
func PauseLearning(port uint32) flow.Flow {
	return flow.Flow{
		Table: tableLearn, Priority: prioPause, HardTimeout: pauseSeconds,
		Cookie: uint64(NewCookie(KindPause, port)), Match: flow.NewMatch(flow.InPort(port)),
		Instructions: flow.NewInstructions(flow.Goto(tableSegments)),
	}
}

// LearnedSource is the flow that lets a known source of an unmanaged port pass
// without a copy to the controller.
func LearnedSource(port uint32, a mac.Addr) flow.Flow {
	return learned(tableLearn, port, a,
		flow.NewMatch(flow.InPort(port), flow.EthSrc(a.Bytes())),
		flow.Goto(tableSegments))
}

// LearnedDest is the flow that forwards to an address learned on a port.
func LearnedDest(port uint32, a mac.Addr) flow.Flow {
	return learned(tableExact, port, a,
		flow.NewMatch(flow.Metadata(0), flow.EthDst(a.Bytes())),
		flow.Apply(flow.SetReg(regOutput, outputNumber(port))), flow.Goto(tableOutput))
}

// RemoveLearnedDest removes the flow of LearnedDest, but only if it still leads
// to that port: the address may have been learned elsewhere since.
func RemoveLearnedDest(port uint32, a mac.Addr) *openflow.FlowMod {
	f := LearnedDest(port, a)
	m := f.DeleteStrict()
	m.Cookie, m.CookieMask = f.Cookie, ^uint64(0)
	return m
}

// idleOf is the idle timeout of both flows of an address.
func idleOf(a mac.Addr) uint16 {
	const spread = 2*learnedJitter + 1
	hash := uint64(a) * 0x9e3779b97f4a7c15 // of Fibonacci hashing: neighbours come to lie far apart
	return uint16(learnedIdle - learnedJitter + (hash>>32)%spread)
}

func learned(table uint8, port uint32, a mac.Addr, m flow.Match, ins ...openflow.Instruction) flow.Flow {
	return flow.Flow{
		Table: table, Priority: prioAllow, IdleTimeout: idleOf(a), Flags: openflow.FlagSendFlowRem,
		Cookie: uint64(NewCookie(KindLearned, port)), Match: m, Instructions: flow.NewInstructions(ins...),
	}
}

// LearnedHalf says which half of a learned address a flow is.
type LearnedHalf uint8

const (
	NotLearned LearnedHalf = iota
	SourceHalf
	DestHalf
)

// ParseLearned recognises the flows of LearnedSource and LearnedDest.
func ParseLearned(key flow.Key, c Cookie) (half LearnedHalf, port uint32, a mac.Addr) {
	if !c.Ours() || c.Kind() != KindLearned {
		return NotLearned, 0, 0
	}
	want := openflow.EthSrc
	half = SourceHalf
	if key.Table == tableExact {
		want, half = openflow.EthDst, DestHalf
	}
	for _, f := range key.Match.Fields() {
		if f.ID() == want {
			return half, c.Object(), mac.FromBytes([6]byte(f.Value()[:6]))
		}
	}
	return NotLearned, 0, 0
}
