package pipeline

import (
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

const (
	// probeRate is how many answers per second of one port reach the controller: a
	// probe has four at most. Whoever floods it there silences himself alone.
	probeRate = 100

	// probeBytes is how much of an answer the controller sees: all headers, and
	// the status of HTTP.
	probeBytes = 256

	echoReply  = 0
	echoReply6 = 129
)

// catchAnswers gives the controller what a backend answers to probes, and nobody else. That
// is behind the guard, so nobody answers for another, and before the rules of the
// backend, which so need not allow anything. Pings have no ports: where the virtual address
// is somebody's who may ping, too, their answers go on besides.
func catchAnswers(set intent.Setting, p *intent.Probe, emit emitFunc) {
	if !p.Catches {
		return
	}
	match := []flow.Field{
		flow.Reg(regSenderZone, uint32(p.Zone)), flow.NoVLAN(), flow.EthDst(p.VIPMAC.Bytes()), flow.IPSrc(single(p.Addr)), flow.IPDst(single(p.VIP)),
	}
	var meter uint32
	if set.Meters {
		meter = probeMeter(p.Zone)
	}
	ins := []openflow.Instruction{flow.Apply(toController(probeBytes, meter))}
	switch {
	case p.Monitor.Kind != intent.MonitorPing:
		match = append(match, flow.TPSrc(protoTCP, p.Port, 0xffff), flow.TPDst(protoTCP, intent.FirstProbePort, ^(intent.ProbePorts-1)))
	case p.Addr.Is4():
		match = append(match, flow.IPProto(protoICMP), flow.ICMPType(echoReply), flow.ICMPCode(0))
	default:
		match = append(match, flow.IPProto(protoICMPv6), flow.ICMP6Type(echoReply6), flow.ICMP6Code(0))
	}
	switch {
	case p.Monitor.Kind != intent.MonitorPing || !p.Shared:
	case p.Open:
		ins = append(ins, flow.Goto(tableQoS))
	default:
		ins = append(ins, flow.Goto(tableEgressCT))
	}
	emit(prioAllow, NewCookie(KindProbe, p.Backend), flow.NewMatch(match...), ins...)
}

// Inject sends a frame of the controller to a station, at a port and with a tag, or none: 0.
func Inject(in intent.Setting, port uint32, vlan uint16, frame []byte) *openflow.PacketOut {
	return Deliver(in, &intent.LocalPort{OFPort: port, VLAN: vlan}, frame)
}
