package walk

import (
	"net/netip"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// Frame describes a frame to send through a switch: ARP if ARPOp is given, IP if
// the addresses are, anything else by EtherType and Payload.
type Frame struct {
	Src, Dst  [6]byte
	VLAN      uint16 // 0: untagged
	EtherType uint16
	Payload   []byte // behind all headers that follow from the rest

	// ARP. The addresses of the packet are IPSrc and IPDst.
	ARPOp        uint16
	SHA, THA     [6]byte
	IPSrc, IPDst netip.Addr

	Proto            uint8
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP
	TCPFlags         uint8
	Type, Code       uint8  // of ICMP and ICMPv6
	ID               uint16 // of an echo
	Fragment         uint16 // offset in 8 bytes; 0: a whole packet
}

// TagOf returns the outer VLAN tag of a frame; 0: it has none.
func TagOf(frame []byte) uint16 {
	p := newPacket(frame)
	return uint16(p.num(openflow.VLANVID)) &^ vlanPresent
}

// TCP flags of Frame.
const (
	TCPSyn uint8 = tcpSyn
	TCPAck uint8 = tcpAck
)

const ttl = 64

// Bytes builds the frame, with lengths and checksums.
func (f Frame) Bytes() []byte {
	b := slices.Concat(f.Dst[:], f.Src[:])
	if f.VLAN != 0 {
		b = be.AppendUint16(be.AppendUint16(b, etherVLAN), f.VLAN)
	}
	switch {
	case f.ARPOp != 0:
		b = be.AppendUint16(b, etherARP)
		b = append(b, 0, 1, 8, 0, 6, 4)
		b = be.AppendUint16(b, f.ARPOp)
		b = slices.Concat(b, f.SHA[:], f.IPSrc.AsSlice(), f.THA[:], f.IPDst.AsSlice(), f.Payload)
		return pad(b)
	case !f.IPSrc.IsValid() || f.IPSrc.BitLen() != f.IPDst.BitLen():
		return pad(append(be.AppendUint16(b, f.EtherType), f.Payload...))
	}
	l4 := f.layer4()
	if f.IPSrc.Is4() {
		b = be.AppendUint16(b, etherIPv4)
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(20+len(l4)))
		b = append(b, 0, 0)
		b = be.AppendUint16(b, f.Fragment&0x1fff)
		b = append(b, ttl, f.Proto, 0, 0)
	} else {
		b = be.AppendUint16(b, etherIPv6)
		next := f.Proto
		if f.Fragment != 0 {
			head := be.AppendUint16([]byte{f.Proto, 0}, f.Fragment<<3)
			l4, next = slices.Concat(head, []byte{0, 0, 0, 1}, l4), protoFragment
		}
		b = append(b, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(len(l4)))
		b = append(b, next, f.hopLimit())
	}
	b = slices.Concat(b, f.IPSrc.AsSlice(), f.IPDst.AsSlice(), l4)
	p := newPacket(b)
	p.dirty = true
	return pad(p.bytes())
}

// hopLimit is 255 for neighbour discovery, which a router must not have passed on
// (RFC 4861 §7.1).
func (f Frame) hopLimit() byte {
	if f.Proto == protoICMPv6 && f.Type >= 133 && f.Type <= 137 {
		return 255
	}
	return ttl
}

func (f Frame) layer4() (b []byte) {
	if f.Fragment != 0 {
		return f.Payload
	}
	switch f.Proto {
	case protoTCP:
		b = be.AppendUint16(be.AppendUint16(b, f.SrcPort), f.DstPort)
		b = append(b, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, f.TCPFlags, 0xff, 0xff, 0, 0, 0, 0)
		if f.TCPFlags&TCPAck != 0 {
			b[11] = 1
		}
	case protoUDP:
		b = be.AppendUint16(be.AppendUint16(b, f.SrcPort), f.DstPort)
		b = be.AppendUint16(b, uint16(8+len(f.Payload)))
		b = append(b, 0xff, 0xff) // there is a checksum
	case protoSCTP:
		b = be.AppendUint16(be.AppendUint16(b, f.SrcPort), f.DstPort)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	case protoICMP, protoICMPv6:
		b = append(b, f.Type, f.Code, 0, 0)
		b = be.AppendUint16(b, f.ID)
		b = append(b, 0, 0)
	}
	return append(b, f.Payload...)
}

// pad fills a frame up to the shortest that Ethernet has, without its checksum.
func pad(b []byte) []byte {
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}
