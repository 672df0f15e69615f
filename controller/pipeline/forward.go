package pipeline

import (
	"maps"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// A flow that copies a packet to many ports is cut into parts of this many, as
// an OpenFlow message has at most 64 KiB: each part ends by looking the packet
// up again for the next one, whose number is in regPart.
const portsPerPart = 512

// parts emits the flows that carry out copies of a packet, those of one port each.
func parts(emit emitFunc, table uint8, priority uint16, c Cookie, copies [][]openflow.Action, match ...flow.Field) {
	for part := uint32(0); len(copies) > 0; part++ {
		n := min(portsPerPart, len(copies))
		actions := slices.Concat(copies[:n]...)
		copies = copies[n:]
		if len(copies) > 0 {
			actions = append(actions, flow.SetReg(regPart, part+1), flow.Resubmit(table))
		}
		emit(priority, c, flow.NewMatch(append(match[:len(match):len(match)], flow.Reg(regPart, part))...), flow.Apply(actions...))
	}
}

// segments decides by the class of the destination: group addresses of a
// tenant network go to each of its ports here, all else is for the exact table.
var segments = Table{
	ID: tableSegments, Name: "segments",
	Job:    "group addresses of tenant networks: a copy to every port of the network",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthDst, reg(regPart)},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet), reg(regPart)},
	Next:   []uint8{tableSegments, tableExact, tableIngressCT, tableOutput},
	Miss:   "on to 31",
	flows: func(v *intent.View, emit emitFunc) {
		for _, n := range v.Networks {
			// Each copy sets all that is particular to its receiver again. The
			// sender's own copy ends at the output, which never goes back to the port of entry.
			copies := make([][]openflow.Action, len(n.Ports))
			for i, p := range n.Ports {
				copies[i] = append(receiver(p), flow.Resubmit(delivery(p)))
			}
			parts(emit, tableSegments, prioAllow, NewCookie(KindNetwork, n.VNI), copies, flow.Metadata(uint64(n.VNI)), groupAddress())
		}
		miss(emit, tableSegments, flow.Goto(tableExact))
	},
}

// exact finds the port of a destination. It matches the network too: without
// it a tenant could reach another's port on the same switch by its MAC.
var exact = Table{
	ID: tableExact, Name: "exact",
	Job:    "destination address → port, zone and group set of the receiver; flood of the learning domain",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthDst, reg(regPart)},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet), reg(regPart)},
	Next:   []uint8{tableExact, tableIngressCT, tableOutput},
	Miss:   "drop: no such address in the network",
	flows: func(v *intent.View, emit emitFunc) {
		for _, n := range v.Networks {
			for _, p := range n.Ports {
				emit(prioAllow, NewCookie(KindPort, p.Num),
					flow.NewMatch(flow.Metadata(uint64(n.VNI)), flow.EthDst(p.MAC.Bytes())),
					flow.Apply(receiver(p)...), flow.Goto(delivery(p)))
			}
			sharedStations(n, emit)
		}
		if v.Unmanaged == intent.UnmanagedLearn {
			flood := make([][]openflow.Action, len(v.Free))
			for i, no := range v.Free {
				flood[i] = []openflow.Action{flow.Output(no)}
			}
			parts(emit, tableExact, prioFallback, NewCookie(KindTable, uint32(tableExact)), flood, flow.Metadata(0))
		}
		miss(emit, tableExact)
	},
}

// sharedStations sends what is for a MAC that is only in address pairs to every
// port that may speak as it: which one does so now, a standby router say, is for
// them to know.
func sharedStations(n intent.LocalNetwork, emit emitFunc) {
	owned, copies := map[mac.Addr]bool{}, map[mac.Addr][][]openflow.Action{}
	for _, p := range n.Ports {
		owned[p.MAC] = true
	}
	for _, p := range n.Ports {
		for _, s := range speakers(p) {
			if !owned[s.mac] {
				copies[s.mac] = append(copies[s.mac], append(receiver(p), flow.Resubmit(delivery(p))))
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(copies)) {
		parts(emit, tableExact, prioAllow, NewCookie(KindNetwork, n.VNI), copies[m], flow.Metadata(uint64(n.VNI)), flow.EthDst(m.Bytes()))
	}
}

// delivery is the table after forwarding: no rule is asked for a port without
// port security.
func delivery(p intent.LocalPort) uint8 {
	if p.Open {
		return tableOutput
	}
	return tableIngressCT
}

// receiver sets the registers that the tables after forwarding read.
func receiver(p intent.LocalPort) []openflow.Action {
	return []openflow.Action{
		flow.SetReg(regOutput, outputNumber(p.OFPort)),
		flow.SetReg(regReceiverZone, uint32(p.Zone)),
		flow.SetReg(regSet, p.Set),
	}
}

var output = Table{
	ID: tableOutput, Name: "output",
	Job:   "deliver to the port in reg15",
	Reads: []openflow.FieldID{},
	Miss:  "output to reg15",
	flows: func(_ *intent.View, emit emitFunc) {
		miss(emit, tableOutput, flow.Apply(flow.OutputReg(regOutput)))
	},
}
