package flow

import (
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

// FuzzInstructionsReported reads instructions as a switch may report them: their
// canonical form is its own, and its text reads back as the same.
func FuzzInstructionsReported(f *testing.F) {
	for _, flow := range append(corpus(), oddities()...) {
		f.Add([]byte(flow.Instructions))
	}
	for _, a := range []openflow.Action{
		SetField(RegMasked(5, 9, 0x8000000f)), openflow.ActionSetTunnel{ID: 5}, openflow.ActionCopyField{Src: Whole(openflow.EthSrc), Dst: Whole(openflow.EthDst)},
		openflow.ActionController2{MaxLen: 9, Reason: 1}, openflow.ActionResubmitPort{InPort: 9}, openflow.ActionOutputReg2{Src: RegBits(1, 0, 16)},
		openflow.ActionLearn{Extended: true}, openflow.ActionSample3{}, openflow.ActionSetField{OXM: openflow.OXM{Field: openflow.EthSrc.NXM(), Len: 6}},
	} {
		f.Add([]byte(openflow.NewInstructions(Goto(1), Apply(a, Clone(a)), WriteActions(a))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := openflow.DecodeInstructions(b); err != nil {
			return
		}
		once, err := readInstructions(b)
		if err != nil {
			return
		}
		if rebuilt, err := canonicalInstructions(openflow.Instructions(b).List()); err != nil || rebuilt != once {
			t.Fatalf("%x\nis canonical as %x, but becomes %x, %v", b, []byte(once), []byte(rebuilt), err)
		}
		if again, err := readInstructions([]byte(once)); err != nil || again != once {
			t.Fatalf("%x\nbecomes %x\nand then %x, %v", b, []byte(once), []byte(again), err)
		}
		text := once.String()
		if parsed, err := parseInstructions(text); err != nil || parsed != once {
			t.Fatalf("%x\nprints as %s\nand reads as %x, %v", []byte(once), text, []byte(parsed), err)
		}
	})
}
