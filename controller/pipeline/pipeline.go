// Package pipeline is the contract of the data plane: which tables there are,
// what each one reads and writes, where packets go next, and which flows a
// switch must hold so that its view of the tenants' intent becomes true.
//
// Everything here is a pure function of an intent.View. Table numbers are
// fixed: a flow that an older process installed must never be read as another
// table's.
package pipeline

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Table is one flow table: its contract, which tests hold every emitted flow
// to, and the function that emits its flows.
type Table struct {
	ID     uint8
	Name   string
	Job    string
	Reads  []openflow.FieldID // what its flows may match on
	Writes []openflow.FieldID // what its flows may set
	Next   []uint8            // where its flows may send packets on to, by goto, resubmit or ct
	Miss   string             // what becomes of a packet that no other flow matches

	// Its flows, by the part of the view that they come from. Beside that part they
	// know the setting only, so that of a changed view no more than the changed
	// parts are compiled anew (Change); and those of sets and members not even that,
	// so that they are compiled once for all switches.
	fixed   func(v *intent.View, emit emitFunc) // of the setting and the unmanaged ports
	port    func(in intent.Setting, p *intent.LocalPort, emit emitFunc)
	network func(in intent.Setting, n *intent.LocalNetwork, emit emitFunc)
	set     func(s *intent.GroupSet, emit emitFunc)
	member  func(m *scoped, emit emitFunc)
	prefix  func(in intent.Setting, p *intent.Prefix, emit emitFunc)
	stray   func(in intent.Setting, s *intent.Stray, emit emitFunc)
	peer    func(in intent.Setting, p *intent.Peer, emit emitFunc)
	block   func(in intent.Setting, b *intent.Block, emit emitFunc)
	service func(in intent.Setting, s *intent.Service, emit emitFunc)
	probe   func(in intent.Setting, p *intent.Probe, emit emitFunc)
	path    func(in intent.Setting, p *intent.Path, emit emitFunc)
	far     func(in intent.Setting, p *intent.FarPort, emit emitFunc)
	mark    func(in intent.Setting, m *intent.QoSMark, emit emitFunc)
	marked  func(in intent.Setting, g *intent.MarkedSegment, emit emitFunc)
}

// emitFunc takes one flow of the table whose function it was handed to.
type emitFunc func(priority uint16, c Cookie, m flow.Match, ins ...openflow.Instruction)

// Numbers of the tables. The gaps belong to the jobs that docs/architecture.md
// lists and that have no flows yet.
const (
	tableClassify       uint8 = 0
	tableTags           uint8 = 1
	tableGuard          uint8 = 2
	tableGuardND        uint8 = 3
	tableAllow          uint8 = 4
	tableRespond        uint8 = 5
	tableAnswer         uint8 = 6
	tableLearn          uint8 = 8
	tableEgressCT       uint8 = 10
	tableEgressRemotes  uint8 = 11
	tableEgressRules    uint8 = 12
	tableQoS            uint8 = 13
	tableQoSMark        uint8 = 14
	tableServices       uint8 = 15
	tablePins           uint8 = 16
	tablePinned         uint8 = 17
	tableSlots          uint8 = 18
	tablePicked         uint8 = 19
	tableSegments       uint8 = 30
	tableExact          uint8 = 31
	tablePaths          uint8 = 32
	tableArrive         uint8 = 33
	tableTag            uint8 = 34
	tableTree           uint8 = 35
	tableIngressCT      uint8 = 40
	tableIngressRemotes uint8 = 41
	tableIngressRules   uint8 = 42
	tableQoSRate        uint8 = 50
	tableQoSPackets     uint8 = 51
	tableOutput         uint8 = 60
	tableTunnel         uint8 = 61
)

// Tables returns the pipeline in the order that packets pass it.
func Tables() []Table {
	return []Table{
		classify, tags, guard, guardND, allow, respond, answer, learnSources, egressCT, egressRemotes, egressRules, qos, qosMark,
		services, pins, pinned, slots, picked, segments, exact, paths, arrive, tag, tree, ingressCT, ingressRemotes, ingressRules, qosRate, qosPackets, output, tunnel,
	}
}

// Priorities. Within a table only their order matters; they are shared so that
// a dump reads alike in every table.
const (
	prioMiss      uint16 = 0
	prioFallback  uint16 = 10 // a drop or flood that names its owner, before the miss
	prioPrefix    uint16 = 20 // and the length of the prefix, at most 128: the longest one wins
	prioAway      uint16 = 80 // a station at another switch
	prioAsk       uint16 = 90 // a copy to the controller, of what no other flow knows
	prioPause     uint16 = 95 // no such copy for a while
	prioAllow     uint16 = 100
	prioTagged    uint16 = 105 // what has a VLAN tag, where those of tenant networks are
	prioExcept    uint16 = 110 // narrower than allow
	prioLive      uint16 = 190 // established traffic of a rule that still exists
	prioRefuse    uint16 = 200
	prioStateless uint16 = 210 // what no connection is asked for
)

var priorities = []struct {
	value uint16
	use   string
}{
	{prioStateless, "rules that look at no connection"},
	{prioRefuse, "what no other rule overrules: invalid connections, reserved addresses, blocks"},
	{prioLive, "established traffic of a rule that still exists"},
	{prioExcept, "narrower than what a table allows"},
	{prioExcept - 1, "what the narrower allowance leaves over is dropped"},
	{prioTagged, "what has a VLAN tag, where those of tenant networks are"},
	{prioAllow, "what a table allows or finds"},
	{prioPause, "no such copy for a while"},
	{prioAsk, "a copy to the controller of what no other flow answers"},
	{prioAway, "a station at another switch"},
	{prioPrefix, "and the length, at most 128, of a prefix: the longest wins"},
	{prioFallback, "a drop or flood that names its owner"},
	{prioMiss, "table miss"},
}

// Flows returns all flows that a switch with this view must hold, but for the
// learned ones, which are facts and not intent. Two flows for the same key with
// different contents are a defect of the pipeline and panic.
func Flows(v *intent.View) flow.Set {
	var all []flow.Flow
	for _, t := range Tables() {
		t.emit(v, func(f flow.Flow) { all = append(all, f) })
	}
	set, err := flow.NewSet(all)
	if err != nil {
		panic("pipeline: " + err.Error())
	}
	return set
}

// into makes complete flows of what a table emits.
func (t *Table) into(each func(flow.Flow)) emitFunc {
	return func(priority uint16, c Cookie, m flow.Match, ins ...openflow.Instruction) {
		each(flow.Flow{
			Table: t.ID, Priority: priority, Cookie: uint64(c), Match: m, Instructions: flow.NewInstructions(ins...),
		})
	}
}

// miss is the table-miss flow that makes a drop visible and explainable.
func miss(emit emitFunc, table uint8, ins ...openflow.Instruction) {
	emit(prioMiss, NewCookie(KindTable, uint32(table)), flow.NewMatch(), ins...)
}
