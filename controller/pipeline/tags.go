package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// In a fabric tenant networks share the links with each other and with unmanaged
// stations. A frame of a tenant network has a VLAN tag there, which is that of its network.
// For a port at another switch it takes the shortest path, as frames for learned
// stations do: its destination is a locator, whose number is that of the port among those
// of its network there. What is for all, or for whoever may speak as an address, takes the
// flood tree. Switches in between look at the locator alone, or at nothing.
//
// The sender's guard and egress rules are where it is, the receiver's ingress
// rules where that is.
//
// What unmanaged stations send has no tag on a link, or one of their own. The priority in
// the tag tells whose it is: ours have none, and where a station's has none it gets
// one at the edge. So none of them gets into a tenant network.

const (
	priorityOurs     uint8 = 0 // of tags that the controller chose, which push_vlan makes so
	priorityStations uint8 = 1 // the least that tags of stations have on links ("background", below 0: IEEE 802.1Q table I-2)
)

// tags says of which network a frame is that came by a link.
var tags = Table{
	ID: tableTags, Name: "tags",
	Job:    "VLAN tag of what came by a link → tenant network; by the flood tree, a copy on along it; by a path, number of the port that it is for → its address. Tag of a station, which has a priority → as without one",
	Reads:  []openflow.FieldID{openflow.VLANVID, openflow.VLANPCP, openflow.EthDst},
	Writes: []openflow.FieldID{openflow.VLANVID, openflow.Metadata, openflow.EthDst, reg(regOrigin)},
	Next:   []uint8{tableServices, tableSegments, tableArrive, tableTree},
	Miss:   "by a link: the tag of a station",
	port: func(in intent.Setting, p *intent.LocalPort, emit emitFunc) {
		if !p.Up || in.Slot == 0 || p.Number == 0 {
			return
		}
		at := mac.Locator{Slot: in.Slot, Number: p.Number}
		emit(prioExcept, NewCookie(KindPort, p.Num),
			flow.NewMatch(flow.VLAN(p.Tag), flow.VLANPCP(priorityOurs), flow.EthDstMasked(at.Addr().Bytes(), at.Mask().Bytes())),
			flow.Apply(flow.PopVLAN(), flow.SetField(flow.EthDst(p.MAC.Bytes())), flow.SetReg(regOrigin, originPath)),
			flow.WriteMetadata(uint64(p.VNI)), flow.Goto(tableServices))
	},
	network: func(_ intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		if n.Tag != 0 {
			emit(prioAllow, NewCookie(KindTag, n.VNI), flow.NewMatch(flow.VLAN(n.Tag), flow.VLANPCP(priorityOurs)),
				flow.Apply(flow.Resubmit(tableTree), flow.PopVLAN(), flow.SetReg(regOrigin, originLink)),
				flow.WriteMetadata(uint64(n.VNI)), flow.Goto(tableServices))
		}
	},
	fixed: func(v *intent.View, emit emitFunc) {
		if len(v.Links) == 0 {
			miss(emit, tableTags)
			return
		}
		owner, ours, onPath := NewCookie(KindTable, uint32(tableTags)), flow.VLANPCP(priorityOurs), ethDstIn(mac.Locators())
		// A path ends here, and the port has gone.
		emit(prioExcept-1, owner, flow.NewMatch(ours, onPath))
		// The network has no port here.
		emit(prioFallback, owner, flow.NewMatch(ours), flow.Goto(tableTree))
		emit(prioFallback, owner, flow.NewMatch(onPath), flow.Goto(tableArrive))
		miss(emit, tableTags, flow.Apply(flow.SetReg(regOrigin, originLink)), flow.Goto(tableSegments))
	},
}

// tag sends a frame of a tenant network along the flood tree, and leaves it as it was
// for the next copy. One with a tag of its own, of a port without port security, does not
// cross: below ours, no switch would see it.
var tag = Table{
	ID: tableTag, Name: "tag",
	Job:    "tenant network → its VLAN tag, and along the flood tree with it",
	Reads:  []openflow.FieldID{openflow.Metadata, openflow.VLANVID},
	Writes: []openflow.FieldID{openflow.VLANVID},
	Next:   []uint8{tableTree},
	Miss:   "drop: it has a VLAN tag of its own",
	network: func(_ intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		if n.Tag != 0 {
			emit(prioAllow, NewCookie(KindTag, n.VNI), flow.NewMatch(flow.Metadata(uint64(n.VNI)), flow.NoVLAN()),
				flow.Apply(append(withTag(n.Tag), flow.Resubmit(tableTree), flow.PopVLAN())...))
		}
	},
	fixed: func(_ *intent.View, emit emitFunc) { miss(emit, tableTag) },
}

// tree sends a frame along the flood tree. It leaves by no port that it came by.
var tree = Table{
	ID: tableTree, Name: "tree",
	Job:  "frames of tenant networks: out by the links of the flood tree, but for the one that they came by",
	Miss: "drop: the switch has no link in the flood tree",
	fixed: func(v *intent.View, emit emitFunc) {
		var out []openflow.Action
		for _, no := range v.Open() {
			if _, link := slices.BinarySearch(v.Links, no); link {
				out = append(out, flow.Output(no))
			}
		}
		if len(out) == 0 {
			miss(emit, tableTree)
			return
		}
		miss(emit, tableTree, flow.Apply(out...))
	},
}

// withTag puts a VLAN tag on.
func withTag(vlan uint16) []openflow.Action {
	return []openflow.Action{flow.PushVLAN(tag8021Q), flow.SetField(flow.VLAN(vlan))}
}

// leadFar sends what local ports have for a port at another switch of the fabric to it.
func leadFar(p *intent.FarPort, emit emitFunc) {
	actions, next := withTag(p.Tag), tableTree
	if p.At.Number != 0 {
		actions, next = append(actions, flow.SetField(flow.EthDst(p.At.Addr().Bytes()))), tablePaths
	}
	emit(prioAllow, NewCookie(KindFar, p.Num), station(p.Prefix, p.VNI, p.MAC, flow.Reg(regOrigin, originLocal), flow.NoVLAN()),
		flow.Apply(actions...), flow.Goto(next))
}

// foreignTags lets stations of a fabric use VLAN tags, but none that could be of a tenant
// network on its links: each has a priority there. None is taken off, not even one
// without an id, which gives a priority only (IEEE 802.1Q §6.9.1): a tag below it
// would be the one that the next switch sees, and Open vSwitch does not look there.
func foreignTags(v *intent.View, owner Cookie, emit emitFunc) {
	if len(v.Links) > 0 {
		emit(prioTagged, owner, flow.NewMatch(flow.VLANPCP(priorityOurs)), flow.Apply(flow.SetField(flow.VLANPCP(priorityStations)), flow.Resubmit(tableLearn)))
	}
}
