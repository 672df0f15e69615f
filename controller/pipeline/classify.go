package pipeline

import (
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Frames about links: LLDP to the nearest bridge (IEEE 802.1AB §7.1, §7.3).
const (
	typeLLDP      = 0x88cc
	discoverBytes = 256 // ours have less
)

var nearestBridge = [6]byte{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}

// classify turns the port of entry into what the later tables need to know of
// the sender. Every port is named: a port that the controller has not yet seen
// falls to the miss and reaches nobody.
var classify = Table{
	ID: tableClassify, Name: "classify",
	Job: "bound port, or tag of a sub-port, which is taken off → network, conntrack zone, group set; tunnel → network; unmanaged port → learning domain; " +
		"frames about links (LLDP) → controller",
	Reads:  []openflow.FieldID{openflow.InPort, openflow.VLANVID, openflow.TunnelID, openflow.EthDst, openflow.EthType},
	Writes: []openflow.FieldID{openflow.VLANVID, openflow.Metadata, reg(regSenderZone), reg(regOrigin), reg(regSet), reg(regRemote)},
	Next:   []uint8{tableGuard, tableLearn, tableSegments},
	Miss:   "drop: a port that the controller does not know, a network that has no port here",
	port: func(_ intent.Setting, p *intent.LocalPort, emit emitFunc) {
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
		emit(priority, owner, flow.NewMatch(in...),
			flow.Apply(append(actions,
				flow.SetReg(regSenderZone, uint32(p.Zone)),
				flow.SetReg(regOrigin, originLocal),
				flow.SetReg(regSet, p.Set),
				flow.SetReg(regRemote, p.Scope),
			)...),
			flow.WriteMetadata(uint64(p.VNI)),
			flow.Goto(tableGuard))
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
			flow.Goto(tableSegments))
	},
	fixed: func(v *intent.View, emit emitFunc) {
		for _, no := range v.Fabric() {
			var meter uint32
			if v.Meters {
				meter = askMeter(uint16(no))
			}
			emit(prioExcept, NewCookie(KindDiscover, no),
				flow.NewMatch(flow.InPort(no), flow.EthDst(nearestBridge), flow.EthType(typeLLDP)),
				flow.Apply(toController(discoverBytes, meter)))
		}
		open := v.Open()
		for _, no := range v.Free {
			owner, in := NewCookie(KindFree, no), flow.NewMatch(flow.InPort(no))
			if _, open := slices.BinarySearch(open, no); !open {
				emit(prioAllow, owner, in)
				continue
			}
			emit(prioAllow, owner, in,
				flow.Apply(flow.SetReg(regOrigin, originFabric)),
				flow.Goto(tableLearn))
		}
		miss(emit, tableClassify)
	},
}

// OpenPort returns the unmanaged port that a flow lets pass frames.
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
// its port, so that the zone's connections can be forgotten when the port goes.
func ZoneOf(f flow.Flow) (zone uint16, ok bool) {
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
