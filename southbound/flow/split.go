package flow

import (
	"fmt"

	"github.com/macloom/macloom/southbound/openflow"
)

// split returns the fields as which Open vSwitch reports o over OpenFlow 1.3, nil
// where that is o itself. It fails where no fields say the same.
func split(o *openflow.OXM) ([]openflow.OXM, error) {
	if id := o.Field.InMatch(); id != o.Field {
		same := *o
		same.Field = id
		return []openflow.OXM{same}, nil
	}
	if o.Field.Index() <= openflow.Metadata.Index() || int(o.Len) != o.Field.Len() {
		return nil, nil // reported as it is, or not known
	}
	value, mask := Field{oxm: *o}.Uint()
	switch id := o.Field; {
	case id == openflow.NXMInPort:
		if mask != 0xffff {
			return nil, fmt.Errorf("flow: %s: it takes no mask", Field{oxm: *o})
		}
		return []openflow.OXM{InPort(port16(uint16(value))).oxm}, nil
	case id == openflow.IPToS:
		if mask != 0xff || value&3 != 0 {
			return nil, fmt.Errorf("flow: %s: it is the DSCP alone: without a mask, and the lowest two bits are 0", Field{oxm: *o})
		}
		return []openflow.OXM{IPDSCP(uint8(value >> 2)).oxm}, nil
	case id == openflow.VLANTCI:
		return splitTCI(uint16(value), uint16(mask))
	case id >= openflow.XReg0 && id < openflow.XReg0+registers/2:
		return splitRegister(o, openflow.Reg0+(id-openflow.XReg0)*2), nil
	case id >= openflow.XXReg0 && id < openflow.XXReg0+registers/4:
		return splitRegister(o, openflow.Reg0+(id-openflow.XXReg0)*4), nil
	}
	return nil, nil
}

// splitRegister cuts o into registers of 32 bits. The first has the highest bits.
func splitRegister(o *openflow.OXM, first openflow.FieldID) []openflow.OXM {
	var parts []openflow.OXM
	for i := 0; i < int(o.Len); i += 4 {
		part := openflow.OXM{Field: first + openflow.FieldID(i/4), Len: 4, HasMask: o.HasMask}
		copy(part.Value[:], o.Value[i:i+4])
		copy(part.Mask[:], o.Mask[i:i+4])
		parts = append(parts, part)
	}
	return parts
}

// splitTCI turns a match on the 16 bits of the tag into vlan_vid and vlan_pcp. The bit
// between id and priority says that there is a tag.
func splitTCI(tci, mask uint16) ([]openflow.OXM, error) {
	const vid, pcp = 0x1fff, 0xe000
	tci &= mask
	id := masked(openflow.VLANVID, 2, uint64(tci&vid), uint64(mask&vid)).oxm
	switch {
	case mask&pcp == 0 || tci == 0 && mask&vlanPresent != 0:
		// Without a tag there is no priority to speak of.
		return []openflow.OXM{id}, nil
	case mask&pcp != pcp:
		return nil, fmt.Errorf("flow: vlan_tci=0x%04x/0x%04x: the priority is matched in part; OpenFlow 1.3 can match 0xe000 of it or nothing", tci, mask)
	case tci&vlanPresent == 0:
		return nil, fmt.Errorf("flow: vlan_tci=0x%04x/0x%04x: a priority needs a tag, the bit 0x1000 in value and mask", tci, mask)
	}
	return []openflow.OXM{id, VLANPCP(uint8(tci >> 13)).oxm}, nil
}
