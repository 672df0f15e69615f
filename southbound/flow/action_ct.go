package flow

import (
	"net/netip"

	"github.com/macloom/macloom/southbound/openflow"
)

// CTSpec says what a CT action does. The zero value sends the packet through zone 0 and nowhere
// after.
type CTSpec struct {
	Commit, Force bool
	Zone          uint16
	ZoneSrc       openflow.Subfield // where it has Bits, of which there have to be 16, the zone is read from here
	Recirc        bool              // continue in Table with the connection's state
	Table         uint8
	ALG           uint16 // the port of ftp or tftp, to track what these open
	NAT           *NATSpec
	Exec          []openflow.Action // on the connection: set ct_mark or ct_label
}

// NATSpec says how addresses are translated. The zero value does what was decided when
// the connection was committed; a direction without Addr lets the switch decide.
type NATSpec struct {
	Src, Dst      bool // at most one of them
	Addr, AddrMax netip.Addr
	Port, PortMax uint16

	Persistent   bool // over restarts of the switch
	Hash, Random bool // how to pick the port; at most one of them
}

// CT returns the connection tracking action. It panics where s contradicts itself.
func CT(s CTSpec) openflow.Action {
	if s.Force && !s.Commit {
		panic("flow: ct forces what it does not commit")
	}
	a := openflow.ActionCT{Commit: s.Commit, Force: s.Force, Zone: s.Zone, ZoneSrc: s.ZoneSrc, Table: openflow.NoTable, ALG: s.ALG, Exec: s.Exec}
	if s.Recirc {
		a.Table = s.Table
	}
	if a.ZoneSrc.Bits != 0 {
		a.Zone = 0
		a.ZoneSrc.Field = a.ZoneSrc.Field.NXM()
	}
	if s.NAT != nil {
		a.Exec = append([]openflow.Action{s.NAT.action()}, s.Exec...)
	}
	return a
}

func (s *NATSpec) action() openflow.ActionNAT {
	a := openflow.ActionNAT{AddrMin: s.Addr.Unmap(), AddrMax: s.AddrMax.Unmap(), PortMin: s.Port, PortMax: s.PortMax}
	for _, f := range []struct {
		set  bool
		flag openflow.NATFlags
	}{
		{s.Src, openflow.NATSrc}, {s.Dst, openflow.NATDst}, {s.Persistent, openflow.NATPersistent}, {s.Hash, openflow.NATHash}, {s.Random, openflow.NATRandom},
	} {
		if f.set {
			a.Flags |= f.flag
		}
	}
	if fault := natFault(a); fault != "" {
		panic("flow: " + fault)
	}
	return canonicalNAT(a)
}

// natFault says what is wrong with a, in words; nothing where Open vSwitch takes it.
func natFault(a openflow.ActionNAT) string {
	const direction = openflow.NATSrc | openflow.NATDst
	const ports = openflow.NATHash | openflow.NATRandom
	switch {
	case a.Flags&direction == direction:
		return "nat of both src and dst"
	case a.Flags&direction == 0 && (a.Flags != 0 || a.AddrMin.IsValid()):
		return "nat without src or dst"
	case a.Flags&ports == ports:
		return "nat with both hash and random"
	case !a.AddrMin.IsValid() && (a.AddrMax.IsValid() || a.PortMin != 0):
		return "nat to a range without its first address"
	case a.AddrMax.IsValid() && a.AddrMax.BitLen() != a.AddrMin.BitLen():
		return "nat to a range of two families"
	case a.AddrMax.IsValid() && a.AddrMax.Less(a.AddrMin), a.PortMax != 0 && a.PortMax < a.PortMin, a.PortMax != 0 && a.PortMin == 0:
		return "nat to a range that ends before it begins"
	case a.AddrMin.IsValid() && a.AddrMin.IsUnspecified():
		return "nat to no address"
	}
	return ""
}

// canonicalNAT leaves out the end of a range of one.
func canonicalNAT(a openflow.ActionNAT) openflow.ActionNAT {
	if a.AddrMax == a.AddrMin {
		a.AddrMax = netip.Addr{}
	}
	if a.PortMax == a.PortMin {
		a.PortMax = 0
	}
	return a
}

// CTClear forgets what connection tracking said of the packet.
func CTClear() openflow.Action { return openflow.ActionCTClear{} }
