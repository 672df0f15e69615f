package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Frames about links: LLDP (IEEE 802.1AB §7.3), to whatever group. No bridge is to pass them on but those
// that do not know it.
const (
	typeLLDP      = 0x88cc
	discoverBytes = 256 // ours have less
)

// classify turns the port of entry into what the later tables need to know of
// the sender. Every port is named: a port that the controller has not yet seen
// falls to the miss and reaches nobody.
var classify = Table{
	ID: tableClassify, Name: "classify",
	Job: "bound port, or tag of a sub-port, which is taken off → network, conntrack zone, group set, and the meter of its packets; tunnel → network; unmanaged port → learning domain; frames on paths, by links → 32, those of tenant networks by the flood tree → 1; " +
		"frames about links (LLDP) → controller; what is blocked is dropped",
	Reads:  []openflow.FieldID{openflow.InPort, openflow.VLANVID, openflow.TunnelID, openflow.EthSrc, openflow.EthDst, openflow.EthType},
	Writes: []openflow.FieldID{openflow.VLANVID, openflow.Metadata, reg(regSenderZone), reg(regOrigin), reg(regSet), reg(regRemote)},
	Next:   []uint8{tableTags, tableGuard, tableLearn, tableServices, tableSegments, tablePaths},
	Miss:   "drop: a port that the controller does not know, a network that has no port here",
	port: func(setting intent.Setting, p *intent.LocalPort, emit emitFunc) {
		owner, in, priority := NewCookie(KindPort, p.Num), []flow.Field{flow.InPort(p.OFPort)}, prioAllow
		var actions []openflow.Action
		switch {
		case p.VLAN != 0:
			in, actions, priority = append(in, flow.VLAN(p.VLAN)), []openflow.Action{flow.PopVLAN()}, prioExcept
		case p.Trunk:
			// A tag that is no sub-port's is nobody's.
			emit(prioFallback, owner, flow.NewMatch(in...))
			in = append(in, flow.NoVLAN())
		}
		if !p.Up {
			emit(priority, owner, flow.NewMatch(in...))
			return
		}
		emit(priority, owner, flow.NewMatch(in...), withMeter(setting, p.QoS.Egress.Packets,
			flow.Apply(append(actions,
				flow.SetReg(regSenderZone, uint32(p.Zone)),
				flow.SetReg(regOrigin, originLocal),
				flow.SetReg(regSet, p.Set),
				flow.SetReg(regRemote, p.Scope),
			)...),
			flow.WriteMetadata(uint64(p.VNI)),
			flow.Goto(tableGuard))...)
	},
	network: func(in intent.Setting, n *intent.LocalNetwork, emit emitFunc) {
		if in.Tunnel == 0 {
			return
		}
		// What comes from another host has passed the guard and the egress rules there.
		emit(prioAllow, NewCookie(KindNetwork, n.VNI),
			flow.NewMatch(flow.InPort(in.Tunnel), flow.TunnelID(uint64(n.VNI))),
			flow.Apply(flow.SetReg(regOrigin, originTunnel)),
			flow.WriteMetadata(uint64(n.VNI)),
			flow.Goto(tableServices))
	},
	// Before anything is learned or answered; frames about links, too, so that a
	// port that passes nothing is not taken for a link.
	block: func(_ intent.Setting, b *intent.Block, emit emitFunc) {
		var match []flow.Field
		if b.At.Port != 0 {
			match = append(match, flow.InPort(b.At.Port))
		}
		if b.MAC != 0 {
			match = append(match, flow.EthSrc(b.MAC.Bytes()))
		}
		emit(prioRefuse, NewCookie(KindBlock, b.Num), flow.NewMatch(match...))
	},
	fixed: func(v *intent.View, emit emitFunc) {
		for _, no := range v.Fabric() {
			var meter uint32
			if v.Meters {
				meter = askMeter(v.ZoneOf(no))
			}
			emit(prioExcept, NewCookie(KindDiscover, no),
				flow.NewMatch(flow.InPort(no), groupAddress(), flow.EthType(typeLLDP)),
				flow.Apply(toController(discoverBytes, meter)))
		}
		onPaths(v, emit)
		open := v.Open()
		for _, no := range v.Free {
			owner, in := NewCookie(KindFree, no), flow.NewMatch(flow.InPort(no))
			_, open := slices.BinarySearch(open, no)
			_, link := slices.BinarySearch(v.Links, no)
			switch {
			case !open:
				emit(prioAllow, owner, in)
			case link: // whoever sent it was learned where it entered
				emit(prioAllow, owner, in, flow.Apply(flow.SetReg(regOrigin, originLink)), flow.Goto(tableSegments))
				emit(prioTagged, NewCookie(KindTable, uint32(tableClassify)), flow.NewMatch(flow.InPort(no), flow.AnyVLAN()), flow.Goto(tableTags))
			default:
				emit(prioAllow, owner, in, flow.Apply(flow.SetReg(regOrigin, originFabric)), flow.Goto(tableLearn))
			}
		}
		miss(emit, tableClassify)
	},
}

// OpenPort returns the unmanaged port that a flow lets pass all frames.
func OpenPort(f flow.Flow) (port uint32, ok bool) {
	c := Cookie(f.Cookie)
	return c.Object(), f.Table == tableClassify && c.Kind() == KindFree && f.Instructions != ""
}

// Announce sends a frame of the controller out by an unmanaged port.
func Announce(port uint32, frame []byte) *openflow.PacketOut {
	return &openflow.PacketOut{
		BufferID: openflow.NoBuffer, InPort: openflow.PortController,
		Actions: openflow.NewActions(flow.Output(port)), Data: frame,
	}
}

// ZoneOf returns the conntrack zone that a flow of the classify table hands to
// its port, or one of the services table to what is balanced, so that the zone's
// connections can be forgotten when the port or the backend goes.
func ZoneOf(f flow.Flow) (zone uint16, ok bool) {
	if c := Cookie(f.Cookie); f.Table == tableServices && c.Kind() == KindTarget {
		return uint16(c.Object()), true
	}
	if f.Table != tableClassify || Cookie(f.Cookie).Kind() != KindPort {
		return 0, false
	}
	list, err := f.Instructions.List()
	if err != nil {
		return 0, false
	}
	for _, in := range list {
		apply, isApply := in.(openflow.ApplyActions)
		if !isApply {
			continue
		}
		for _, a := range apply {
			if set, isSet := a.(openflow.ActionSetField); isSet && set.Field == reg(regSenderZone) {
				return uint16(set.Uint()), true
			}
		}
	}
	return 0, false
}
