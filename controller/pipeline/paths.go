package pipeline

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// In a fabric of several switches a frame for a known station takes the shortest
// path. The switch where it enters writes the station's locator over the
// destination, those on the way look at the number of the switch in it alone, and the one
// where it leaves puts the station's own address back. What has the address of a
// station on a link is on the flood tree: so nobody takes the one for the other, and
// where a frame goes is decided once.
//
// A switch whose only port on the way is dead sends a frame by another, once: it
// marks the locator, and marked frames go by rules of their own, in which there is no
// backup. These lead to the destination or end; so whatever fails, and however many
// links, no frame goes in a circle.

const (
	// awayIdle ages the flow of a station at another switch, and arrivalIdle the one
	// there that it needs, which outlives it.
	awayIdle    = 300
	arrivalIdle = 1200

	// seekRate is how many frames for unknown stations per second, and how many at
	// once, a switch sends to the controller. They are flooded all the same.
	seekRate = 500
)

// Kinds of groups of paths, above the slot in their ids.
const (
	groupSpread  uint32 = iota << 12 // any of several ports
	groupDeflect                     // the one that leads nearer, or else the backup
	groupBounce                      // the same for what came by the backup
)

func pathGroup(kind uint32, slot uint16) uint32 { return groupOurs | kind | uint32(slot) }

// paths sends what has a locator towards its switch.
var paths = Table{
	ID: tablePaths, Name: "paths",
	Job:   "switch of the locator that is the destination → port, or group of ports, that leads there; of this switch → 33, or 1 with the tag of a tenant network",
	Reads: []openflow.FieldID{openflow.InPort, openflow.VLANVID, openflow.EthDst},
	Next:  []uint8{tableTags, tableArrive},
	Miss:  "drop: no path leads to such a switch",
	path: func(in intent.Setting, p *intent.Path, emit emitFunc) {
		owner := NewCookie(KindPath, uint32(p.Slot))
		to := func(priority uint16, block mac.Segment, out openflow.Action, also ...flow.Field) {
			emit(priority, owner, flow.NewMatch(append(also, ethDstIn(block))...), flow.Apply(out))
		}
		spread := flow.Output(p.Primary[0])
		if in.Groups && len(p.Primary) > 1 {
			spread = flow.ToGroup(pathGroup(groupSpread, p.Slot))
		}
		if in.Groups && p.Backup != 0 {
			to(prioAllow, mac.Undeflected(p.Slot), flow.ToGroup(pathGroup(groupDeflect, p.Slot)))
			to(prioExcept, mac.Undeflected(p.Slot), flow.ToGroup(pathGroup(groupBounce, p.Slot)), flow.InPort(p.Backup))
			to(prioAllow, mac.Deflected(p.Slot), spread)
		} else {
			to(prioAllow, mac.LocatorsOf(p.Slot), spread)
		}
		for _, d := range p.Around {
			to(prioExcept, mac.Deflected(p.Slot), flow.Output(d.Out), flow.InPort(d.In))
		}
	},
	fixed: func(v *intent.View, emit emitFunc) {
		if v.Slot != 0 {
			emit(prioAllow, NewCookie(KindPath, uint32(v.Slot)), flow.NewMatch(ethDstIn(mac.LocatorsOf(v.Slot))), flow.Goto(tableArrive))
			emit(prioExcept, NewCookie(KindPath, uint32(v.Slot)), flow.NewMatch(ethDstIn(mac.LocatorsOf(v.Slot)), flow.AnyVLAN()), flow.Apply(flow.Resubmit(tableTags)))
		}
		miss(emit, tablePaths)
	},
}

// arrive puts the addresses of stations back. It is a table of its own, so that the
// exact matches of stations cost frames that go on nothing. Its flows are Arrivals.
var arrive = Table{
	ID: tableArrive, Name: "arrive",
	Job:    "locator of a station at this switch → its own address, for table 31; the flows come with the first frame for it from another switch",
	Reads:  []openflow.FieldID{openflow.EthDst},
	Writes: []openflow.FieldID{openflow.EthDst, reg(regOrigin)},
	Next:   []uint8{tableExact},
	Miss:   "drop: no station here has the number",
	fixed:  func(_ *intent.View, emit emitFunc) { miss(emit, tableArrive) },
}

func ethDstIn(s mac.Segment) flow.Field { return flow.EthDstMasked(s.Base().Bytes(), s.Mask().Bytes()) }

// onPaths emits what lets frames that are on a path in by links, those that are not in the
// tree, too.
func onPaths(v *intent.View, emit emitFunc) {
	if v.Slot == 0 {
		return
	}
	for _, no := range v.Links {
		emit(prioExcept, NewCookie(KindPath, 0), flow.NewMatch(flow.InPort(no), ethDstIn(mac.Locators())), flow.Goto(tablePaths))
	}
}

// refuseLocators keeps stations from using locators.
func refuseLocators(v *intent.View, owner Cookie, emit emitFunc) {
	if len(v.Links) > 0 {
		all := mac.Locators()
		emit(prioRefuse, owner, flow.NewMatch(ethDstIn(all)))
		emit(prioRefuse, owner, flow.NewMatch(flow.EthSrcMasked(all.Base().Bytes(), all.Mask().Bytes())))
	}
}

// seeks reports whether the controller is asked for stations at other switches.
func seeks(v *intent.View) bool {
	return v.Slot != 0 && len(v.Links) > 0 && v.Unmanaged == intent.UnmanagedLearn
}

// floods emits what sends frames of the learning domain to all its ports, and those
// that came by a path to those of stations.
func floods(v *intent.View, emit emitFunc) {
	owner, domain := NewCookie(KindTable, uint32(tableExact)), flow.Metadata(0)
	copies := func(ports []uint32) [][]openflow.Action {
		list := make([][]openflow.Action, len(ports))
		for i, no := range ports {
			list[i] = []openflow.Action{flow.Output(no)}
		}
		return list
	}
	open, from := copies(v.Open()), func(origin uint32) flow.Field { return flow.Reg(regOrigin, origin) }
	cut(emit, tableExact, prioFallback, owner, open, domain, from(originFabric))
	if len(v.Links) == 0 {
		return
	}
	cut(emit, tableExact, prioFallback, owner, open, domain, from(originLink))
	cut(emit, tableExact, prioFallback, owner, copies(v.Edges()), domain, from(originPath))
	if seeks(v) {
		var meter uint32
		if v.Meters {
			meter = meterSeek
		}
		seek := append([][]openflow.Action{{toController(packetInBytes, meter)}}, open...)
		cut(emit, tableExact, prioFallback+1, NewCookie(KindSeek, uint32(tableExact)), seek, domain, from(originFabric),
			flow.EthDstMasked([6]byte{}, [6]byte{0x01}))
	}
}

// addPathGroups adds the groups that the flows of paths need, in the order of their ids. Those of
// paths that another view has, too, are taken from what follows from that, in the same order.
func (d *Desired) addPathGroups(before *intent.View, had []flow.Group, v *intent.View) {
	if !v.Groups || len(v.Paths) == 0 {
		return
	}
	same := make([]bool, len(v.Paths))
	if before != nil && before.Groups {
		for i, known := 0, before.Paths; i < len(v.Paths) && len(known) > 0; {
			if known[0].Slot < v.Paths[i].Slot {
				known = known[1:]
				continue
			}
			same[i] = known[0].Equal(&v.Paths[i])
			i++
		}
	}
	d.GroupOwners = make(map[uint32]Cookie, 2*len(v.Paths))
	for _, kind := range []uint32{groupSpread, groupDeflect, groupBounce} {
		for i := range v.Paths {
			p := &v.Paths[i]
			if kind == groupSpread && len(p.Primary) == 1 || kind != groupSpread && p.Backup == 0 {
				continue
			}
			id := pathGroup(kind, p.Slot)
			for len(had) > 0 && had[0].ID < id {
				had = had[1:]
			}
			if same[i] && len(had) > 0 && had[0].ID == id {
				d.Groups = append(d.Groups, had[0])
			} else {
				d.Groups = append(d.Groups, newPathGroup(kind, p))
			}
			d.GroupOwners[id] = NewCookie(KindPath, uint32(p.Slot))
		}
	}
}

func newPathGroup(kind uint32, p *intent.Path) flow.Group {
	id := pathGroup(kind, p.Slot)
	if kind == groupSpread {
		buckets := make([]openflow.Bucket, len(p.Primary))
		for j, no := range p.Primary {
			buckets[j] = flow.WeightedWatching(1, no, flow.Output(no))
		}
		return flow.NewGroup(id, openflow.GroupSelect, buckets...)
	}
	mark, back := flow.Load(flow.Bits(openflow.EthDst, mac.DeflectedBit, 1), 1), p.Backup
	if kind == groupBounce {
		back = openflow.PortInPort
	}
	return flow.NewGroup(id, openflow.GroupFastFailover,
		flow.Watching(p.Primary[0], flow.Output(p.Primary[0])),
		flow.Watching(p.Backup, mark, flow.Output(back)))
}

// Away is the flow at a switch that sends frames for a station to where it is, at
// another switch.
func Away(to mac.Locator, a mac.Addr) flow.Flow {
	return flow.Flow{
		Table: tableExact, Priority: prioAway, IdleTimeout: awayIdle, Flags: openflow.FlagSendFlowRem,
		Cookie:       uint64(NewCookie(KindAway, uint32(to.Slot))),
		Match:        flow.NewMatch(flow.Metadata(0), flow.Reg(regOrigin, originFabric), flow.EthDst(a.Bytes())),
		Instructions: flow.NewInstructions(flow.Apply(flow.SetField(flow.EthDst(to.Addr().Bytes()))), flow.Goto(tablePaths)),
	}
}

// Arrival is the flow at the switch of a station that the flows of Away at others need.
func Arrival(at mac.Locator, a mac.Addr) flow.Flow {
	return flow.Flow{
		Table: tableArrive, Priority: prioAllow, IdleTimeout: arrivalIdle, Flags: openflow.FlagSendFlowRem,
		Cookie: uint64(NewCookie(KindArrival, uint32(at.Number))),
		Match:  flow.NewMatch(flow.EthDstMasked(at.Addr().Bytes(), at.Mask().Bytes())),
		Instructions: flow.NewInstructions(flow.Apply(
			flow.SetField(flow.EthDst(a.Bytes())), flow.SetReg(regOrigin, originPath), flow.Resubmit(tableExact))),
	}
}

// ParseAway recognises a flow of Away by its key, and of a whole flow tells where it
// leads to.
func ParseAway(f flow.Flow) (to mac.Locator, a mac.Addr, ok bool) {
	c := Cookie(f.Cookie)
	if !c.Ours() || c.Kind() != KindAway {
		return to, 0, false
	}
	a, ok = addressIn(f.Match)
	set, _ := addressSet(f.Instructions)
	to, _ = mac.ParseLocator(set)
	return to, a, ok
}

// ParseArrival does the same with the flows of Arrival.
func ParseArrival(f flow.Flow) (at mac.Locator, a mac.Addr, ok bool) {
	c := Cookie(f.Cookie)
	if !c.Ours() || c.Kind() != KindArrival {
		return at, 0, false
	}
	if a, ok = addressIn(f.Match); ok {
		at, ok = mac.ParseLocator(a)
	}
	a, _ = addressSet(f.Instructions)
	return at, a, ok
}

// addressIn is the destination that a match asks for.
func addressIn(m flow.Match) (mac.Addr, bool) {
	for _, f := range m.Fields() {
		if f.ID() == openflow.EthDst {
			return mac.FromBytes([6]byte(f.Value()[:6])), true
		}
	}
	return 0, false
}

// addressSet is the destination that instructions write.
func addressSet(in flow.Instructions) (mac.Addr, bool) {
	list, err := in.List()
	if err != nil {
		return 0, false
	}
	for _, i := range list {
		apply, _ := i.(openflow.ApplyActions)
		for _, a := range apply {
			if set, ok := a.(openflow.ActionSetField); ok && set.Field == openflow.EthDst {
				return mac.FromBytes([6]byte(set.Value[:6])), true
			}
		}
	}
	return 0, false
}
