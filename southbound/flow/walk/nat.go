package walk

import (
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// natOf takes the translation out of what is executed on a connection.
func natOf(exec []openflow.Action) (nat *openflow.ActionNAT, rest []openflow.Action) {
	if len(exec) > 0 {
		if a, is := exec[0].(openflow.ActionNAT); is {
			return &a, exec[1:]
		}
	}
	return nil, exec
}

// understood reports whether a translation leaves nothing for the switch to choose: it
// is to one address and port, or as the connection has it.
func understood(a *openflow.ActionNAT) bool {
	return a.Flags == 0 || a.Flags == openflow.NATDst && a.AddrMin.IsValid() && !a.AddrMax.IsValid() && a.PortMax == 0
}

// translated is the first direction of a connection as the other side sees it.
func translated(first tuple, nat *openflow.ActionNAT) tuple {
	if nat != nil && nat.Flags == openflow.NATDst {
		first.dst = nat.AddrMin
		if nat.PortMin != 0 && !first.icmp() {
			first.dport = nat.PortMin
		}
	}
	return first
}

// portsOf are the source and destination ports of the protocols that have some.
var portsOf = map[uint8][2]openflow.FieldID{
	protoTCP: {openflow.TCPSrc, openflow.TCPDst}, protoUDP: {openflow.UDPSrc, openflow.UDPDst}, protoSCTP: {openflow.SCTPSrc, openflow.SCTPDst},
}

// translate gives a packet the addresses and ports that its connection has on the
// other side.
func (r *run) translate(p *packet, v verdict, took *Taken) error {
	if v.state&flow.CTRel != 0 {
		return unsupported("translating an error of ICMP")
	}
	is := v.conn.back.reverse()
	if v.key != v.conn.first {
		is = v.conn.first.reverse()
	}
	type part struct {
		id   openflow.FieldID
		from any
		to   any
		set  func(*value)
	}
	src, dst := openflow.IPv4Src, openflow.IPv4Dst
	if is.src.Is6() {
		src, dst = openflow.IPv6Src, openflow.IPv6Dst
	}
	parts := []part{
		{src, v.key.src, is.src, func(to *value) { copy(to[:], is.src.AsSlice()) }},
		{dst, v.key.dst, is.dst, func(to *value) { copy(to[:], is.dst.AsSlice()) }},
	}
	if ports, has := portsOf[is.proto]; has {
		parts = append(parts,
			part{ports[0], v.key.sport, is.sport, func(to *value) { be.PutUint16(to[:], is.sport) }},
			part{ports[1], v.key.dport, is.dport, func(to *value) { be.PutUint16(to[:], is.dport) }})
	}
	for _, f := range parts {
		if f.from == f.to {
			continue
		}
		var to value
		f.set(&to)
		if err := p.write(f.id, to); err != nil {
			return err
		}
		if field, err := flow.NewField(f.id, to[:f.id.Len()], nil); err == nil {
			took.Sets = append(took.Sets, field)
		}
	}
	return nil
}
