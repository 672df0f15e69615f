package pipeline

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// segments decides by the class of the destination: group addresses of a
// tenant network go to each of its ports here, all else is for the exact table.
var segments = Table{
	ID: tableSegments, Name: "segments",
	Job:    "group addresses of tenant networks: a copy to every port of the network",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthDst},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet)},
	Next:   []uint8{tableExact, tableIngressCT},
	Miss:   "on to 31",
	flows: func(v *intent.View, emit emitFunc) {
		for _, n := range v.Networks {
			// Each copy sets all that is particular to its receiver again. The
			// sender's own copy ends at the output, which never goes back to the port of entry.
			var copies []openflow.Action
			for _, p := range n.Ports {
				copies = append(copies, receiver(p)...)
				copies = append(copies, flow.Resubmit(tableIngressCT))
			}
			emit(prioAllow, NewCookie(KindNetwork, n.VNI),
				flow.NewMatch(flow.Metadata(uint64(n.VNI)), groupAddress()), flow.Apply(copies...))
		}
		miss(emit, tableSegments, flow.Goto(tableExact))
	},
}

// exact finds the port of a destination. It matches the network too: without
// it a tenant could reach another's port on the same switch by its MAC.
var exact = Table{
	ID: tableExact, Name: "exact",
	Job:    "destination address → port, zone and group set of the receiver; flood of the learning domain",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.EthDst},
	Writes: []openflow.FieldID{reg(regOutput), reg(regReceiverZone), reg(regSet)},
	Next:   []uint8{tableIngressCT, tableOutput},
	Miss:   "drop: no such address in the network",
	flows: func(v *intent.View, emit emitFunc) {
		for _, n := range v.Networks {
			for _, p := range n.Ports {
				emit(prioAllow, NewCookie(KindPort, p.Num),
					flow.NewMatch(flow.Metadata(uint64(n.VNI)), flow.EthDst(p.MAC.Bytes())),
					flow.Apply(receiver(p)...), flow.Goto(tableIngressCT))
			}
		}
		if v.Unmanaged == intent.UnmanagedLearn && len(v.Free) > 0 {
			var flood []openflow.Action
			for _, no := range v.Free {
				flood = append(flood, flow.Output(no))
			}
			emit(prioFallback, NewCookie(KindTable, uint32(tableExact)), flow.NewMatch(flow.Metadata(0)), flow.Apply(flood...))
		}
		miss(emit, tableExact)
	},
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
