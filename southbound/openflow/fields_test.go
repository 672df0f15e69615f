package openflow

import (
	"encoding/hex"
	"testing"
)

func TestEveryFieldIsItsOXM(t *testing.T) {
	t.Parallel()
	seen := map[FieldID]bool{}
	for i := range NumFields() {
		row := fieldRows[i]
		ids := []FieldID{row.id}
		for _, id := range []FieldID{row.nxm, row.other} {
			if id != 0 {
				ids = append(ids, id)
			}
		}
		for _, id := range ids {
			if seen[id] {
				t.Errorf("field %#x is listed twice", uint32(id))
			}
			seen[id] = true
			if id.Index() != i || id.InMatch() != FieldAt(i) || id.Len() != int(row.bytes) || id.Bits() > 8*id.Len() || id.Bits() == 0 {
				t.Errorf("field %#x: index %d, %#x in a match, %d bytes, %d bits", uint32(id), id.Index(), uint32(id.InMatch()), id.Len(), id.Bits())
			}
			for _, masked := range []bool{false, true} {
				o := OXM{Field: id, Len: uint8(id.Len()), HasMask: masked}
				for i := range id.Len() {
					o.Value[i] = byte(i + 1)
					if masked {
						o.Mask[i] = byte(0xf0 + i)
					}
				}
				tlv := o.AppendTo(nil)
				if got, ok := DecodeOXM(tlv); !ok || got != o {
					t.Errorf("%x decodes to %+v, want %+v", tlv, got, o)
				}
				if found, ok := NewMatch(o).Find(id); !ok || found != o {
					t.Errorf("field %#x is not found in its match", uint32(id))
				}
			}
		}
	}
	if row := FieldID(0x12340001); row.Index() != -1 || row.Len() != 0 || row.Bits() != 0 || row.NXM() != row || row.InMatch() != row {
		t.Error("a field that is not known is taken for one")
	}
}

func TestHeadersOfFieldsAreThoseOfTheirClass(t *testing.T) {
	t.Parallel()
	for want, id := range map[string]FieldID{
		"80000004" + "00000001":                    InPort,
		"8000580400000001":                         PacketType,
		"8001060800000000" + "00000001":            XReg0 + 3,
		"0000000200" + "01":                        NXMInPort,
		"0001d00200" + "01":                        TunnelFlags,
		"0001fa020001":                             CTDstPort,
		"1000020400000001":                         NDReserved,
		"100004" + "01" + "01":                     NDOptionsType,
		"ffff5406" + "4f4e4600" + "0001":           TCPFlags,
		"ffff5608" + "4f4e4600" + "00000001":       ActsetOutput,
		"ffff0008" + "00002320" + "00000001":       DPHash,
		"ffff2005" + "00002320" + "01":             GTPUMessageType,
		"ffff1405" + "005ad650" + "01":             NSHTTL,
		"8000540200" + "01":                        classBasic | 42,
		"000144020001":                             TCPFlags.NXM(),
		"0001460400000001":                         DPHash.NXM(),
		"0001e61000000000000000000000000000000001": XXReg0 + 4,
	} {
		o := OXM{Field: id, Len: uint8(id.Len())}
		if o.Len == 0 { // of a field that is not known
			o.Len = 16
		}
		o.Value[o.Len-1] = 1
		if got := hex.EncodeToString(o.AppendTo(nil)); got != want {
			t.Errorf("field %#x: %s, want %s", uint32(id), got, want)
		}
	}
}

func TestFieldsOfUnknownExperimentersStayRaw(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"ffff5406123456780001", "ffff54024f4e", "ffff5404" + "4f4e4600", "ffff55074f4e4600000102"} {
		tlv, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := DecodeOXM(tlv); ok {
			t.Errorf("%s decodes to %+v", text, o)
		}
		id, payload, ok := FieldOf(tlv)
		if known := text[8:] == "4f4e4600" || text[:6] == "ffff55"; ok != known || id.Class() != classExperimenter || id.Number() != 42 || len(payload) > len(tlv)-4 {
			t.Errorf("%s is of field %#x (%v), payload %x", text, uint32(id), ok, payload)
		}
		if (id.Experimenter() == experimenterONF) != ok {
			t.Errorf("%s is of experimenter %#x", text, id.Experimenter())
		}
	}
}
