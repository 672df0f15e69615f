package explain

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow/walk"
)

// Protocols that have more than addresses.
const (
	protoICMP   uint8 = 1
	protoTCP    uint8 = 6
	protoUDP    uint8 = 17
	protoICMPv6 uint8 = 58
	protoSCTP   uint8 = 132

	echoRequest, echoReply   uint8 = 8, 0
	echoRequest6, echoReply6 uint8 = 128, 129

	arpRequest, arpReply = 1, 2

	// ephemeralPort is where a client speaks from if nobody says (RFC 6335 §6).
	ephemeralPort uint16 = 49152
)

// plan is a question with all that was left open.
type plan struct {
	from    intent.Port
	to      *intent.Port // that the frame is for; nil: nobody in particular
	frame   walk.Frame
	raw     []byte // the very frame, in the place of frame; nil: none is given
	nowhere string // why there is no frame to send; empty: there is one
	guess   string // what is not known of who is meant; empty: nothing
}

// resolve finds who is meant and builds the frame. ARP and neighbour discovery are
// taken for done: what has an address is found.
func (e *explainer) resolve(s *intent.State) (p plan) {
	q := e.q
	p.from, _ = s.Port(q.From)
	if q.Frame != nil {
		e.given(s, &p)
		return p
	}
	six := e.six(s, p.from)
	var target netip.Addr
	switch {
	case q.ToPort != "":
		if to, ok := s.Port(q.ToPort); ok {
			p.to = &to
			target = addressOf(to, six)
			p.frame.Dst = to.MAC.Bytes()
		}
	case q.ToIP.IsValid():
		target = q.ToIP
		held := whoHas(s, p.from.NetworkID, q.ToIP)
		switch {
		case len(held.ports) > 0:
			p.to, p.frame.Dst = &held.ports[0], held.mac.Bytes()
			p.guess = e.guessed(&held, q.ToIP)
		case q.ToIP.IsMulticast() || q.ToIP == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			p.frame.Dst = groupMAC(q.ToIP)
		case q.EtherType == "ARP": // that is the question
		default:
			network, _ := s.Network(p.from.NetworkID)
			p.nowhere = fmt.Sprintf("no port of network %s has the address %s, so that nobody answers for it", nameOr(network.Name, network.ID), q.ToIP)
			if held.open != nil {
				p.nowhere += fmt.Sprintf(", unless %s does, which has no port security", e.portWords(*held.open))
			}
		}
	default:
		p.frame.Dst = q.ToMAC.Bytes()
		for port := range s.PortsIn(p.from.NetworkID) {
			if port.MAC == q.ToMAC {
				p.to = &port
				target = addressOf(port, six)
			}
		}
	}
	if q.DstIP.IsValid() {
		target = q.DstIP
	}
	e.fill(&p, target, six)
	return p
}

// given takes the frame as it is. Who is meant is the port of the network that has its
// destination address, unless one is named.
func (e *explainer) given(s *intent.State, p *plan) {
	p.raw = e.q.Frame
	if to, ok := s.Port(e.q.ToPort); ok {
		p.to = &to
		return
	}
	dst := mac.FromBytes([6]byte(p.raw))
	for port := range s.PortsIn(p.from.NetworkID) {
		if port.MAC == dst {
			p.to = &port
		}
	}
}

// bytes is the frame to send.
func (p *plan) bytes() []byte {
	if p.raw != nil {
		return p.raw
	}
	return p.frame.Bytes()
}

// six reports whether the frame is of IPv6.
func (e *explainer) six(s *intent.State, from intent.Port) bool {
	q := e.q
	for _, a := range []netip.Addr{q.ToIP, q.SrcIP, q.DstIP} {
		if a.IsValid() {
			return a.Is6()
		}
	}
	switch {
	case q.EtherType != "":
		return q.EtherType == "IPv6"
	case q.Protocol != nil && *q.Protocol == protoICMPv6:
		return true
	}
	has := func(p intent.Port, six bool) bool { return addressOf(p, six).IsValid() }
	to, known := s.Port(q.ToPort)
	return has(from, true) && (!has(from, false) || known && !has(to, false) && has(to, true))
}

// fill completes the frame.
func (e *explainer) fill(p *plan, target netip.Addr, six bool) {
	q, f := e.q, &p.frame
	f.Src = p.from.MAC.Bytes()
	if q.SrcMAC != 0 {
		f.Src = q.SrcMAC.Bytes()
	}
	if f.IPSrc = q.SrcIP; !f.IPSrc.IsValid() && !target.IsLinkLocalUnicast() { // on the link one speaks by addresses of the link (RFC 6724 §5)
		f.IPSrc = addressOf(p.from, six)
	}
	if !f.IPSrc.IsValid() {
		f.IPSrc = netip.IPv4Unspecified()
		if six {
			f.IPSrc = p.from.MAC.LinkLocal()
		}
	}
	if f.IPDst = target; !target.IsValid() || target.Is6() != f.IPSrc.Is6() {
		f.IPDst = everybody(f.IPSrc.Is6())
	}
	if q.EtherType == "ARP" {
		f.ARPOp, f.SHA, f.Dst = arpRequest, f.Src, mac.Max.Bytes()
		p.to = nil
		return
	}
	f.Proto, f.Type = protoICMP, echoRequest
	if six {
		f.Proto, f.Type = protoICMPv6, echoRequest6
	}
	if q.Protocol != nil && *q.Protocol != protoICMP && *q.Protocol != protoICMPv6 {
		f.Proto = *q.Protocol
	}
	if q.Type != nil {
		f.Type = *q.Type
	}
	if q.Code != nil {
		f.Code = *q.Code
	}
	f.ID, f.SrcPort, f.DstPort = 1, q.SrcPort, q.DstPort
	if f.SrcPort == 0 {
		f.SrcPort = ephemeralPort
	}
	if f.Proto == protoTCP {
		f.TCPFlags = walk.TCPSyn
	}
}

// reply is what the receiver of a plain question sends back.
func (p *plan) reply() (f walk.Frame, ok bool) {
	f = p.frame
	f.Src, f.Dst, f.IPSrc, f.IPDst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.IPDst, f.IPSrc, f.DstPort, f.SrcPort
	switch {
	case p.raw != nil, f.ARPOp != 0:
		return f, false
	case f.Proto == protoICMP:
		f.Type = echoReply
		return f, p.frame.Type == echoRequest
	case f.Proto == protoICMPv6:
		f.Type = echoReply6
		return f, p.frame.Type == echoRequest6
	case f.Proto == protoTCP:
		f.TCPFlags |= walk.TCPAck
	}
	return f, true
}

// words describe the frame.
func (p *plan) words() string {
	f := p.frame
	if p.raw != nil {
		return fmt.Sprintf("the given %d bytes from %s to %s", len(p.raw), mac.FromBytes([6]byte(p.raw[6:])), mac.FromBytes([6]byte(p.raw)))
	}
	ends := fmt.Sprintf(" from %s (%s) to %s (%s)", f.IPSrc, mac.FromBytes(f.Src), f.IPDst, mac.FromBytes(f.Dst))
	switch {
	case p.nowhere != "":
		return ""
	case f.ARPOp != 0:
		return fmt.Sprintf("ARP request of %s (%s) for %s", f.IPSrc, mac.FromBytes(f.Src), f.IPDst)
	case f.Proto == protoICMP && f.Type == echoRequest, f.Proto == protoICMPv6 && f.Type == echoRequest6:
		return "echo request" + ends
	case f.Proto == protoICMP || f.Proto == protoICMPv6:
		return fmt.Sprintf("%s type %d code %d%s", protocolName(f.Proto), f.Type, f.Code, ends)
	}
	return service(f.Proto, f.DstPort, f.Type) + ends
}

// service is a protocol with the port or the type that is asked for.
func service(proto uint8, port uint16, kind uint8) string {
	switch proto {
	case protoTCP, protoUDP, protoSCTP:
		return fmt.Sprintf("%s/%d", protocolName(proto), port)
	case protoICMP, protoICMPv6:
		return fmt.Sprintf("%s type %d", protocolName(proto), kind)
	}
	return protocolName(proto)
}

func protocolName(p uint8) string {
	switch p {
	case protoICMP:
		return "icmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoICMPv6:
		return "icmpv6"
	case protoSCTP:
		return "sctp"
	}
	return fmt.Sprint("protocol ", p)
}

// addressOf is the first address of a port of a family; invalid: it has none.
func addressOf(p intent.Port, six bool) netip.Addr {
	for _, ip := range p.FixedIPs {
		if ip.Addr.Is6() == six {
			return ip.Addr
		}
	}
	return netip.Addr{}
}

// everybody is the address of all stations of a link.
func everybody(six bool) netip.Addr {
	if six {
		return netip.IPv6LinkLocalAllNodes()
	}
	return netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// groupMAC is the address that frames to a group have (RFC 1112 §6.4, RFC 2464 §7).
func groupMAC(a netip.Addr) [6]byte {
	b := a.AsSlice()
	switch {
	case a.Is6():
		return [6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
	case a.IsMulticast():
		return [6]byte{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	return mac.Addr(1<<48 - 1).Bytes()
}

func nameOr(name, id string) string {
	if strings.TrimSpace(name) == "" {
		return id
	}
	return name
}
