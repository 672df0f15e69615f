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

	// Those of answers to probes come before the others. Ports have one each, but for
	// what chance joins.
	firstProbeMeter uint32 = 0x4000
	probeMeters     uint32 = 1 << 13

	firstMeter uint32 = 0x8000
	// LastMeter is the highest id of our meters. A switch with fewer meters is
	// used as one without.
	LastMeter = firstQoSMeter + intent.QoSMeters - 1
)

const (
	// meterLearn is for the packet-ins of the learning table that no port's own
	// meter is for. The ids after it, as many as there are zones of ports, are for the
	// questions of ports, those after that for what is learned at unmanaged
	// ports, by their numbers, and the last ones for the limits of policies.
	meterLearn      = firstMeter
	firstLearnMeter = firstMeter + intent.MaxZone + 1
	learnMeters     = 1 << 15
	firstQoSMeter   = meterSeek + 1
)

// learnMeter is the meter of what is learned at an unmanaged port.
func learnMeter(no uint32) uint32 { return firstLearnMeter + no }

// meterSeek is for the packet-ins of frames for stations that are not known.
const meterSeek = firstLearnMeter + learnMeters

// askMeter is the meter of what the port with a zone asks the controller.
func askMeter(zone uint16) uint32 { return firstMeter + uint32(zone) }

// probeMeter is the meter of what is said to be answers to probes of the port with a zone.
func probeMeter(zone uint16) uint32 { return firstProbeMeter + uint32(zone)%probeMeters }

// OurGroup reports whether a group with this id was installed by us.
func OurGroup(id uint32) bool { return id&groupMask == groupOurs }

// OurMeter reports whether a meter with this id was installed by us.
func OurMeter(id uint32) bool {
	return id >= firstMeter && id <= LastMeter || id >= firstProbeMeter && id < firstProbeMeter+probeMeters
}

// Compute returns all that a switch with this view must hold, but for what it
// has learned, which are facts and not intent.
func Compute(v *intent.View) Desired { return With(v, Flows(v)) }

// With returns all that a switch with this view must hold, given the flows.
func With(v *intent.View, flows flow.Set) Desired { return after(nil, nil, v, flows) }

// After is the same but for the flows, for a switch that holds groups which follow from
// another view: only what differs is made anew.
func After(before *intent.View, groups []flow.Group, v *intent.View) Desired {
	return after(before, groups, v, nil)
}

func after(before *intent.View, groups []flow.Group, v *intent.View, flows flow.Set) Desired {
	d := Desired{State: flow.State{Flows: flows}}
	d.addPathGroups(before, groups, v)
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
	for _, no := range learnMetered(v) {
		need(flow.PacketMeter(learnMeter(no), edgeRate, learnRate), NewCookie(KindFree, no))
	}
	if seeks(v) {
		need(flow.PacketMeter(meterSeek, seekRate, seekRate), NewCookie(KindSeek, uint32(tableExact)))
	}
	for _, p := range v.Ports {
		if p.Up {
			need(flow.PacketMeter(askMeter(p.Zone), askRate, askBurst), NewCookie(KindPort, p.Num))
		}
	}
	qosMeters(v, need)
	for i := range v.Probes {
		if p := &v.Probes[i]; d.MeterOwners[probeMeter(p.Zone)] == 0 {
			need(flow.PacketMeter(probeMeter(p.Zone), probeRate, probeRate), NewCookie(KindProbe, p.Backend))
		}
	}
	for _, no := range v.Fabric() { // whoever floods the controller there silences himself alone
		need(flow.PacketMeter(askMeter(v.ZoneOf(no)), askRate, askBurst), NewCookie(KindDiscover, no))
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
