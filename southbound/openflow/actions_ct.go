package openflow

import (
	"bytes"
	"net/netip"
)

type (
	// ActionCT is NXAST_CT: send the packet through the connection tracker. The zone
	// is taken from ZoneSrc where its Bits are not 0, else it is Zone. Table is where
	// a clone of the packet continues with its conntrack state; NoTable for none.
	// Exec is executed on the connection; an ActionNAT may be first in it.
	ActionCT struct {
		Commit  bool
		Force   bool
		Zone    uint16
		ZoneSrc Subfield
		Table   uint8
		ALG     uint16
		Exec    []Action
	}
	// ActionNAT is NXAST_NAT, which only an ActionCT can hold. Without AddrMin there
	// is no range: the addresses of the connection are used, or with a direction ones
	// that the switch picks. Without AddrMax the range is one address; PortMin and
	// PortMax are 0 where they are not given.
	ActionNAT struct {
		Flags            NATFlags
		AddrMin, AddrMax netip.Addr
		PortMin, PortMax uint16
	}
	// ActionCTClear is NXAST_CT_CLEAR: forget what the tracker said of the packet.
	ActionCTClear struct{}
)

// NoTable in ActionCT.Table means that the packet does not recirculate.
const NoTable uint8 = 0xff

const (
	ctCommit = 1 << 0 // NX_CT_F_COMMIT
	ctForce  = 1 << 1 // NX_CT_F_FORCE
)

// NATFlags are bits of ActionNAT (NX_NAT_F_*).
type NATFlags uint16

// Flags of ActionNAT. NATSrc and NATDst exclude each other, and so do NATHash
// and NATRandom.
const (
	NATSrc        NATFlags = 1 << 0
	NATDst        NATFlags = 1 << 1
	NATPersistent NATFlags = 1 << 2
	NATHash       NATFlags = 1 << 3
	NATRandom     NATFlags = 1 << 4
)

// What of a range a NAT action has (enum nx_nat_range).
const (
	natIPv4Min = 1 << iota
	natIPv4Max
	natIPv6Min
	natIPv6Max
	natPortMin
	natPortMax
)

const ctHead = 24

// appendHead appends what comes before the list, without the length.
func (a *ActionCT) appendHead(b []byte) []byte {
	var flags uint16
	if a.Commit {
		flags |= ctCommit
	}
	if a.Force {
		flags |= ctForce
	}
	b = be.AppendUint16(appendNicira(b, nxCT, 0), flags)
	if a.ZoneSrc.Bits != 0 {
		b = be.AppendUint32(b, a.ZoneSrc.Field.nxmHeader())
		b = be.AppendUint16(b, a.ZoneSrc.ofsNbits())
	} else {
		b = be.AppendUint32(b, 0)
		b = be.AppendUint16(b, a.Zone)
	}
	b = append(b, a.Table, 0, 0, 0)
	return be.AppendUint16(b, a.ALG)
}

func (a ActionCT) AppendAction(b []byte) []byte {
	start := len(b)
	b = AppendActions(a.appendHead(b), a.Exec)
	putLen(b, start+2, len(b)-start)
	return b
}

func (d *actionDecoder) ct(b []byte) Action {
	r := reader{b: b[niciraHead:]}
	flags := r.u16()
	a := ActionCT{Commit: flags&ctCommit != 0, Force: flags&ctForce != 0}
	if zone := (reader{b: r.take(4)}); allZero(zone.b) {
		a.Zone = r.u16()
	} else {
		a.ZoneSrc = zone.packedSubfield(r.u16())
		r.adopt(&zone)
	}
	a.Table = r.u8()
	r.skip(3)
	a.ALG = r.u16()
	if r.err != nil {
		return nil
	}
	d.scratch = a.appendHead(d.scratch[:0])
	copy(d.scratch[2:4], b[2:4]) // the length
	if !bytes.Equal(d.scratch, b[:ctHead]) {
		return nil
	}
	exec, ok := d.nested(b[ctHead:], true)
	if !ok {
		return nil
	}
	a.Exec = exec
	return a
}

func (ActionCTClear) AppendAction(b []byte) []byte { return appendNiciraEmpty(b, nxCTClear) }

func (a ActionNAT) AppendAction(b []byte) []byte {
	start := len(b)
	b = be.AppendUint16(appendZeros(appendNicira(b, nxNAT, 0), 2), uint16(a.Flags))
	present := len(b)
	b = appendZeros(b, 2)
	var has uint16
	addr := func(addr netip.Addr, v4, v6 uint16) {
		switch {
		case addr.Is4():
			raw := addr.As4()
			b, has = append(b, raw[:]...), has|v4
		case addr.Is6():
			raw := addr.As16()
			b, has = append(b, raw[:]...), has|v6
		}
	}
	addr(a.AddrMin, natIPv4Min, natIPv6Min)
	addr(a.AddrMax, natIPv4Max, natIPv6Max)
	if a.PortMin != 0 {
		b, has = be.AppendUint16(b, a.PortMin), has|natPortMin
	}
	if a.PortMax != 0 {
		b, has = be.AppendUint16(b, a.PortMax), has|natPortMax
	}
	be.PutUint16(b[present:], has)
	return finishAction(b, start)
}

func decodeNAT(b []byte) Action {
	r := reader{b: b[12:]}
	a := ActionNAT{Flags: NATFlags(r.u16())}
	has := r.u16()
	addr := func(v4, v6 uint16) (addr netip.Addr) {
		switch {
		case has&v4 != 0:
			addr, _ = netip.AddrFromSlice(r.take(4))
		case has&v6 != 0:
			addr, _ = netip.AddrFromSlice(r.take(16))
		}
		return addr
	}
	a.AddrMin, a.AddrMax = addr(natIPv4Min, natIPv6Min), addr(natIPv4Max, natIPv6Max)
	if has&natPortMin != 0 {
		a.PortMin = r.u16()
	}
	if has&natPortMax != 0 {
		a.PortMax = r.u16()
	}
	if r.err != nil {
		return nil
	}
	return a
}
