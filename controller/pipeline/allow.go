package pipeline

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// allow holds what a network with MAC allow lists lets in. Ports could not have
// attached with a MAC of their own that is in no list; whatever else they speak as,
// by address pairs or without port security, is looked up here.
var allow = Table{
	ID: tableAllow, Name: "allow",
	Job:   "MAC allow lists: sources of address pairs, and of ports without port security, that are in a list of their network",
	Reads: []openflow.FieldID{openflow.Metadata, openflow.EthSrc},
	Next:  []uint8{tableRespond},
	Miss:  "drop: no MAC allow list of the network has the source",
	network: func(_ intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		if !n.Listed {
			return
		}
		owner, of := NewCookie(KindAllow, n.VNI), flow.Metadata(uint64(n.VNI))
		for _, b := range n.Allowed {
			emit(prioAllow, owner, flow.NewMatch(of, flow.EthSrcMasked(b.Base().Bytes(), b.Mask().Bytes())), flow.Goto(tableRespond))
		}
		emit(prioFallback, owner, flow.NewMatch(of)) // counted per network
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableAllow) },
}
