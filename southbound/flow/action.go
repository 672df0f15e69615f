package flow

import (
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// Apply executes actions at once, in their order.
func Apply(actions ...openflow.Action) openflow.Instruction { return openflow.ApplyActions(actions) }

// Goto continues in a later table.
func Goto(table uint8) openflow.Instruction { return openflow.GotoTable{Table: table} }

// WriteMetadata sets all 64 bits of the metadata.
func WriteMetadata(v uint64) openflow.Instruction {
	return openflow.WriteMetadata{Metadata: v, Mask: ^uint64(0)}
}

// WriteMetadataMasked sets the bits of the metadata that mask has.
func WriteMetadataMasked(v, mask uint64) openflow.Instruction {
	return openflow.WriteMetadata{Metadata: v & mask, Mask: mask}
}

// WriteActions adds to the action set, which is executed where the packet's way
// through the tables ends. The set has one action of a kind.
func WriteActions(actions ...openflow.Action) openflow.Instruction {
	return openflow.WriteActions(actions)
}

// ClearActions empties the action set.
func ClearActions() openflow.Instruction { return openflow.ClearActions{} }

// Metered drops the packet where the meter's rate is exceeded.
func Metered(id uint32) openflow.Instruction { return openflow.Meter{ID: id} }

// Output sends to a port. A packet is never sent to the port it came from; use
// openflow.PortInPort for that.
func Output(port uint32) openflow.Action { return openflow.ActionOutput{Port: port} }

// Controller sends the first maxLen bytes to the controller, 0xffff (OFPCML_NO_BUFFER) all.
func Controller(maxLen uint16) openflow.Action {
	return openflow.ActionOutput{Port: openflow.PortController, MaxLen: maxLen}
}

// ControllerSpec says how a packet is sent to a controller.
type ControllerSpec struct {
	MaxLen   uint16 // bytes of the packet, 0xffff for all
	ID       uint16 // of the connection (SetControllerID)
	MeterID  uint32 // that packet-ins of this flow pass; 0: none
	Userdata []byte // for the packet-in
	Pause    bool   // until the controller resumes the packet
}

// ControllerWith sends to the controller in the way of s.
func ControllerWith(s ControllerSpec) openflow.Action {
	return openflow.ActionController2{
		MaxLen: s.MaxLen, ID: s.ID, Reason: reasonAction, Pause: s.Pause, MeterID: s.MeterID, Userdata: s.Userdata,
	}
}

// OutputTrunc sends at most maxLen bytes of the packet, 14 at least, to a port.
func OutputTrunc(port, maxLen uint32) openflow.Action {
	return openflow.ActionOutputTrunc{Port: shortPort(port), MaxLen: maxLen}
}

// shortPort returns a port number as Nicira's actions have it.
func shortPort(port uint32) uint16 {
	if port >= openflow.PortMax&0xffff && port < openflow.PortMax {
		panic(fmt.Sprintf("flow: port %d does not fit 16 bits", port))
	}
	return uint16(port)
}

// ToGroup lets a group decide what becomes of the packet.
func ToGroup(id uint32) openflow.Action { return openflow.ActionGroup{ID: id} }

// SetQueue chooses the queue of the ports to which actions after it send.
func SetQueue(id uint32) openflow.Action { return openflow.ActionSetQueue{ID: id} }

// PopQueue chooses the queue from before SetQueue.
func PopQueue() openflow.Action { return openflow.ActionPopQueue{} }

// PushVLAN adds an empty tag of ethertype 0x8100 or 0x88a8. SetField gives it an id.
func PushVLAN(etherType uint16) openflow.Action { return openflow.ActionPushVLAN{EthType: etherType} }

// PopVLAN removes the outer tag.
func PopVLAN() openflow.Action { return openflow.ActionPopVLAN{} }

// PushMPLS adds a label of ethertype 0x8847 or 0x8848.
func PushMPLS(etherType uint16) openflow.Action { return openflow.ActionPushMPLS{EthType: etherType} }

// PopMPLS removes the outer label; etherType is that of what is below it.
func PopMPLS(etherType uint16) openflow.Action { return openflow.ActionPopMPLS{EthType: etherType} }

// SetTTL sets the TTL or hop limit of IP.
func SetTTL(ttl uint8) openflow.Action { return openflow.ActionSetNwTTL{TTL: ttl} }

// DecTTL decrements the TTL or hop limit of IP. A packet that has none left goes
// to the controllers with these ids instead, without ids to those with id 0.
func DecTTL(controllers ...uint16) openflow.Action {
	if len(controllers) == 0 {
		return openflow.ActionDecNwTTL{}
	}
	return openflow.ActionDecTTLIDs(controllers)
}

// SetMPLSTTL sets the TTL of the outer label.
func SetMPLSTTL(ttl uint8) openflow.Action { return openflow.ActionSetMPLSTTL{TTL: ttl} }

// DecMPLSTTL decrements the TTL of the outer label.
func DecMPLSTTL() openflow.Action { return openflow.ActionDecMPLSTTL{} }

// SetReg sets a whole register. It is a set-field, which is a third shorter than a load and reads
// back unchanged.
func SetReg(n int, v uint32) openflow.Action { return SetField(Reg(n, v)) }

// SetField sets a field. A field with a mask sets the bits that the mask has; it becomes a load
// for each run of them, as Open vSwitch reports it.
func SetField(f Field) openflow.Action {
	if f.raw != "" {
		panic("flow: set-field of an unknown field")
	}
	if f.oxm.HasMask {
		return openflow.ActionLoad2{OXM: f.oxm}
	}
	return openflow.ActionSetField{OXM: f.oxm}
}

// Load sets some bits.
func Load(dst openflow.Subfield, v uint64) openflow.Action {
	dst.Field = dst.Field.NXM()
	return openflow.ActionLoad{Dst: dst, Value: v}
}

// Move copies bits.
func Move(src, dst openflow.Subfield) openflow.Action {
	src.Field, dst.Field = src.Field.NXM(), dst.Field.NXM()
	return openflow.ActionMove{Src: src, Dst: dst}
}

// Push puts bits of a field on a stack that the packet has.
func Push(src openflow.Subfield) openflow.Action {
	src.Field = src.Field.NXM()
	return openflow.ActionPush{Src: src}
}

// Pop sets bits of a field to what was pushed last.
func Pop(dst openflow.Subfield) openflow.Action {
	dst.Field = dst.Field.NXM()
	return openflow.ActionPop{Dst: dst}
}

// DeleteField takes tunnel option n, NXM_NX_TUN_METADATAn, from the metadata of the
// packet. The switch has to have a mapping for it.
func DeleteField(n int) openflow.Action {
	if n < 0 || n >= tunnelOptions {
		panic(fmt.Sprintf("flow: there is no tunnel option %d", n))
	}
	return openflow.ActionDeleteField{Field: tunnelOption0 + openflow.FieldID(n), Len: tunnelOptionLen}
}

// Bits returns a run of n bits of a field from bit lo up.
func Bits(id openflow.FieldID, lo, n int) openflow.Subfield {
	return openflow.Subfield{Field: id, Offset: uint16(lo), Bits: uint16(n)}
}

// Whole returns all bits of a field.
func Whole(id openflow.FieldID) openflow.Subfield { return Bits(id, 0, id.Bits()) }

// RegBits returns a run of n bits of a register from bit lo up.
func RegBits(r, lo, n int) openflow.Subfield { return Bits(reg(r), lo, n) }

// Resubmit looks the packet up in a table and comes back, unlike Goto.
func Resubmit(table uint8) openflow.Action {
	return openflow.ActionResubmit{InPort: openflow.ResubmitInPort, Table: table}
}

// ResubmitAs is Resubmit as if the packet had come by another port.
func ResubmitAs(port uint32, table uint8) openflow.Action {
	return openflow.ActionResubmit{InPort: shortPort(port), Table: table}
}

// ResubmitCT is Resubmit with the addresses and ports that the packet's
// connection began with. The flow has to match tracked packets.
func ResubmitCT(table uint8) openflow.Action {
	return openflow.ActionResubmitCT{InPort: openflow.ResubmitInPort, Table: table}
}

// OutputReg sends to the port that a register holds.
func OutputReg(n int) openflow.Action { return OutputField(Whole(reg(n))) }

// OutputField sends to the port that a part of a field holds.
func OutputField(src openflow.Subfield) openflow.Action {
	src.Field = src.Field.NXM()
	return openflow.ActionOutputReg{Src: src, MaxLen: 0xffff}
}

// Conjunction makes the flow clause k of n (k counts from 1) of conjunction id.
func Conjunction(id uint32, k, n uint8) openflow.Action {
	if k < 1 || k > n || n < 2 || n > 64 {
		panic(fmt.Sprintf("flow: clause %d of %d", k, n))
	}
	return openflow.ActionConjunction{ID: id, Clause: k - 1, Clauses: n}
}

// Clone executes actions on a copy of the packet: what they change is not seen after.
func Clone(actions ...openflow.Action) openflow.Action { return openflow.ActionClone(actions) }

// Exit ends the packet's way through the tables.
func Exit() openflow.Action { return openflow.ActionExit{} }

// Note does nothing. Zeros fill it up to 6 bytes, 14 bytes, and so on.
func Note(b []byte) openflow.Action { return openflow.ActionNote(b) }

// FinTimeout shortens the flow's timeouts, in seconds, when its TCP connection ends. 0
// leaves one as it is.
func FinTimeout(idle, hard uint16) openflow.Action {
	return openflow.ActionFinTimeout{Idle: idle, Hard: hard}
}

// CheckPktLarger stores in one bit whether the packet has more than n bytes.
func CheckPktLarger(n uint16, dst openflow.Subfield) openflow.Action {
	if dst.Bits != 1 {
		panic(fmt.Sprintf("flow: check_pkt_larger to %d bits", dst.Bits))
	}
	dst.Field = dst.Field.NXM()
	return openflow.ActionCheckPktLarger{Len: n, Dst: dst}
}

// Sample sends some packets to a set of IPFIX collectors of the database.
func Sample(s openflow.ActionSample) openflow.Action { return s }

// SamplePort is Sample with the tunnel port to report (openflow.PortAny: none)
// and a direction.
func SamplePort(s openflow.ActionSample, port uint32, d openflow.SampleDirection) openflow.Action {
	return openflow.ActionSample3{ActionSample: s, Port: shortPort(port), Direction: d}
}

// Multipath hashes fields of the packet to a number below links and stores it. arg is
// for openflow.MultipathIterHash.
func Multipath(fields openflow.HashFields, basis uint16, algorithm openflow.MultipathAlgorithm, links int, arg uint32, dst openflow.Subfield) openflow.Action {
	if links < 1 || links > 1<<min(dst.Bits, 16) {
		panic(fmt.Sprintf("flow: multipath of %d links to %d bits", links, dst.Bits))
	}
	dst.Field = dst.Field.NXM()
	return openflow.ActionMultipath{Fields: fields, Basis: basis, Algorithm: algorithm, MaxLink: uint16(links - 1), Arg: arg, Dst: dst}
}

// Bundle sends to one of the ports.
func Bundle(fields openflow.HashFields, basis uint16, algorithm openflow.BundleAlgorithm, ports ...uint32) openflow.Action {
	return bundle(fields, basis, algorithm, ports)
}

// BundleLoad stores one of the ports, or openflow.PortAny where none is live, in 16 bits or more.
func BundleLoad(dst openflow.Subfield, fields openflow.HashFields, basis uint16, algorithm openflow.BundleAlgorithm, ports ...uint32) openflow.Action {
	if dst.Bits < 16 {
		panic(fmt.Sprintf("flow: bundle_load to %d bits", dst.Bits))
	}
	dst.Field = dst.Field.NXM()
	return openflow.ActionBundleLoad{ActionBundle: bundle(fields, basis, algorithm, ports), Dst: dst}
}

func bundle(fields openflow.HashFields, basis uint16, algorithm openflow.BundleAlgorithm, ports []uint32) openflow.ActionBundle {
	a := openflow.ActionBundle{Fields: fields, Basis: basis, Algorithm: algorithm, Members: make([]uint16, len(ports))}
	for i, p := range ports {
		a.Members[i] = shortPort(p)
	}
	return a
}

const (
	reasonAction = 1 // OFPR_ACTION

	tunnelOption0   openflow.FieldID = 0x0001<<16 | 40 // NXM_NX_TUN_METADATA0
	tunnelOptions                    = 64
	tunnelOptionLen                  = 124 // the most; a switch reports to what it maps the option
)
