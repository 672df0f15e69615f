package pipeline

import (
	"cmp"
	"slices"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Desired is what a switch must hold.
type Desired struct {
	flow.State
	// GroupOwners and MeterOwners say why a group or meter exists: unlike a flow
	// it carries no cookie.
	GroupOwners, MeterOwners map[uint32]Cookie
}

// Ids of groups and meters carry no cookie either, so ours are told from others
// by their range. That of the meters fits what the datapaths of Open vSwitch
// have (200,000 in the kernel, 262,144 in userspace) and leaves the low numbers, which
// people give by hand, alone.
const (
	groupOurs uint32 = 0x5d << 24
	groupMask uint32 = 0xff << 24

	firstMeter uint32 = 0x8000
	// LastMeter is the highest id of our meters. A switch with fewer meters is
	// used as one without.
	LastMeter = firstMeter + intent.MaxZone
)

// meterLearn is for the packet-ins of the learning table. The ids after it, as
// many as there are zones of ports, are for the questions of ports.
const meterLearn = firstMeter

// askMeter is the meter of what the port with a zone asks the controller.
func askMeter(zone uint16) uint32 { return firstMeter + uint32(zone) }

// OurGroup reports whether a group with this id was installed by us.
func OurGroup(id uint32) bool { return id&groupMask == groupOurs }

// OurMeter reports whether a meter with this id was installed by us.
func OurMeter(id uint32) bool { return id >= firstMeter && id <= LastMeter }

// Compute returns all that a switch with this view must hold, but for what it
// has learned, which are facts and not intent.
func Compute(v *intent.View) Desired { return With(v, Flows(v)) }

// With returns all that a switch with this view must hold, given the flows.
func With(v *intent.View, flows flow.Set) Desired {
	d := Desired{State: flow.State{Flows: flows}}
	if !v.Meters {
		return d
	}
	d.MeterOwners = map[uint32]Cookie{}
	need := func(m flow.Meter, owner Cookie) {
		d.Meters, d.MeterOwners[m.ID] = append(d.Meters, m), owner
	}
	if metersPacketIns(v) {
		need(flow.PacketMeter(meterLearn, learnRate, learnRate), NewCookie(KindTable, uint32(tableLearn)))
	}
	for _, p := range v.Ports {
		if p.Up {
			need(flow.PacketMeter(askMeter(p.Zone), askRate, askBurst), NewCookie(KindPort, p.Num))
		}
	}
	for _, no := range v.Fabric() { // whoever floods the controller there silences himself alone
		need(flow.PacketMeter(askMeter(uint16(no)), askRate, askBurst), NewCookie(KindDiscover, no))
	}
	slices.SortFunc(d.Meters, func(a, b flow.Meter) int { return cmp.Compare(a.ID, b.ID) })
	return d
}

// metersPacketIns reports whether the learning table's packet-ins pass a meter.
func metersPacketIns(v *intent.View) bool { return v.Meters && v.Unmanaged == intent.UnmanagedLearn }

// toController sends the start of a packet to the controller, through a meter if meter is not 0.
func toController(maxLen uint16, meter uint32) openflow.Action {
	if meter == 0 {
		return flow.Controller(maxLen)
	}
	return flow.ControllerWith(flow.ControllerSpec{MaxLen: maxLen, MeterID: meter})
}
