package pipeline

import (
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
	learnedIdle = 300

	// packetInBytes is how much of a frame the controller gets to see: enough
	// for Ethernet, VLAN, ARP and IPv6 neighbour discovery headers.
	packetInBytes = 128

	// learnRate is how many packet-ins per second the learning table of a
	// switch may cause, and how many at once. What is above that goes on all the same and is
	// learned later.
	learnRate = 1000
)

// learnSources knows the source addresses of unmanaged ports. A frame from an unknown
// one is copied to the controller and goes on at once: forwarding never waits
// for the controller, nor needs it.
var learnSources = Table{
	ID: tableLearn, Name: "learn",
	Job:   "known sources of unmanaged ports; a copy of frames from unknown ones goes to the controller",
	Reads: []openflow.FieldID{openflow.InPort, openflow.EthSrc, openflow.EthDst},
	Next:  []uint8{tableSegments},
	Miss:  "copy to the controller, metered where the switch has meters, then on to 30",
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
		var meter uint32
		if metersPacketIns(v) {
			meter = meterLearn
		}
		miss(emit, tableLearn, flow.Apply(toController(packetInBytes, meter)), flow.Goto(tableSegments))
	},
}

// LearnedSource is the flow that lets a known source of an unmanaged port pass
// without a copy to the controller.
func LearnedSource(port uint32, a mac.Addr) flow.Flow {
	return learned(tableLearn, port,
		flow.NewMatch(flow.InPort(port), flow.EthSrc(a.Bytes())),
		flow.Goto(tableSegments))
}

// LearnedDest is the flow that forwards to an address learned on a port.
func LearnedDest(port uint32, a mac.Addr) flow.Flow {
	return learned(tableExact, port,
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

func learned(table uint8, port uint32, m flow.Match, ins ...openflow.Instruction) flow.Flow {
	return flow.Flow{
		Table: table, Priority: prioAllow, IdleTimeout: learnedIdle, Flags: openflow.FlagSendFlowRem,
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
