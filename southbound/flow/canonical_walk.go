package flow

import (
	"encoding/binary"

	"github.com/macloom/macloom/southbound/openflow"
)

// isCanonical reports whether instructions in wire form are canonical already, which
// is what a switch mostly reports. It decides without decoding, and says false of some that
// are. Whatever it says true of, canonicalInstructions leaves as it is.
func isCanonical(b []byte) bool {
	last := -1
	for len(b) > 0 {
		kind, i, rest, ok := cutTLV(b)
		if !ok {
			return false
		}
		b = rest
		rank := len(executionRank)
		if kind > 0 && kind < len(executionRank) {
			rank = executionRank[kind]
		}
		if rank < last || rank == last && rank < len(executionRank) {
			return false
		}
		last = rank
		switch kind {
		case 2: // OFPIT_WRITE_METADATA
			if len(i) != 24 || binary.BigEndian.Uint64(i[8:])&^binary.BigEndian.Uint64(i[16:]) != 0 {
				return false
			}
		case 3, 4: // OFPIT_WRITE_ACTIONS, OFPIT_APPLY_ACTIONS
			if len(i) == 8 || !areCanonical(i[8:]) {
				return false
			}
		}
	}
	return true
}

// cutTLV cuts off the TLV in front of b, which has at least 8 bytes.
func cutTLV(b []byte) (kind int, tlv, rest []byte, ok bool) {
	if len(b) < 8 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 8 || n > len(b) {
		return 0, nil, nil, false
	}
	return int(binary.BigEndian.Uint16(b)), b[:n], b[n:], true
}

// areCanonical is isCanonical for a list of actions.
func areCanonical(b []byte) bool {
	for len(b) > 0 {
		kind, a, rest, ok := cutTLV(b)
		if !ok {
			return false
		}
		b = rest
		switch kind {
		case 0: // OFPAT_OUTPUT: max_len is for the controller
			if len(a) != 16 || binary.BigEndian.Uint16(a[8:]) != 0 && binary.BigEndian.Uint32(a[4:]) != openflow.PortController {
				return false
			}
		case 25: // OFPAT_SET_FIELD
			id := openflow.FieldID(binary.BigEndian.Uint16(a[4:]))<<16 | openflow.FieldID(a[6]>>1)
			if id.Class() == 0xffff || a[6]&1 != 0 || id.InMatch() != id {
				return false
			}
		case 0xffff:
			if len(a) < 16 || !isCanonicalNicira(a) {
				return false
			}
		}
	}
	return true
}

// isCanonicalNicira is areCanonical for one action of an experimenter, of at least 16 bytes.
func isCanonicalNicira(a []byte) bool {
	if binary.BigEndian.Uint32(a[4:]) != 0x00002320 {
		return false
	}
	switch binary.BigEndian.Uint16(a[8:]) {
	case 5, 8, 14, 17, 19, 21, 34, 43, 44: // those without fields, and without other forms
		return true
	case 7, 15: // NXAST_REG_LOAD, NXAST_OUTPUT_REG
		return namedAsNXM(a, 12)
	case 6: // NXAST_REG_MOVE
		return namedAsNXM(a, 16) && namedAsNXM(a, 20)
	case 10: // NXAST_MULTIPATH
		return namedAsNXM(a, 28)
	case 35: // NXAST_CT
		if len(a) < 24 || binary.BigEndian.Uint32(a[12:]) != 0 && !namedAsNXM(a, 12) {
			return false
		}
		return areCanonical(a[24:])
	case 36: // NXAST_NAT without ends of ranges, which may be left out
		const ends = 1<<1 | 1<<3 | 1<<5
		return binary.BigEndian.Uint16(a[14:])&ends == 0
	}
	return false
}

// namedAsNXM reports whether the header of a field at an offset is the one that Nicira's
// actions have of it.
func namedAsNXM(a []byte, at int) bool {
	if len(a) < at+4 {
		return false
	}
	id := openflow.FieldID(binary.BigEndian.Uint16(a[at:]))<<16 | openflow.FieldID(a[at+2]>>1)
	return id.Class() != 0xffff && id.NXM() == id
}
