package flow

import (
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

// FuzzFlowParse holds text and values together: whatever parses prints as a
// line that parses to the same flow, and what the flow says decodes.
func FuzzFlowParse(f *testing.F) {
	for _, flow := range append(corpus(), oddities()...) {
		f.Add(flow.String())
	}
	for _, flow := range flowsOf(1, allFieldMatches()) {
		f.Add(flow.String())
	}
	f.Fuzz(func(t *testing.T, line string) {
		flow, err := Parse(line)
		if err != nil {
			return
		}
		text := flow.String()
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%q\nprints as %q\n%v", line, text, err)
		}
		if again != flow {
			t.Fatalf("%q\nprints as %q\n%x %x parses to\n%x %x", line, text, flow.Match, flow.Instructions, again.Match, again.Instructions)
		}
		if second := again.String(); second != text {
			t.Fatalf("prints as %q, then as %q", text, second)
		}
		if flow.Match != "" && flow.Match.Fields() == nil {
			t.Fatalf("%q has a match that does not decode: %x", line, flow.Match)
		}
		if _, err := flow.Instructions.List(); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	})
}

// FuzzMatchRead reads TLVs as a switch may report them: the canonical form is its own canonical
// form, is no more than twice as long, and its text is read back as the same match.
func FuzzMatchRead(f *testing.F) {
	for _, flow := range append(flowsOf(1, allFieldMatches()), oddities()...) {
		f.Add([]byte(flow.Match))
	}
	for _, field := range []Field{XReg(3, 5), XXReg(1, wide), must(NewField(openflow.VLANTCI, []byte{0x70, 5}, nil))} {
		o := field.OXM()
		f.Add(o.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := openflow.DecodeMatch(b)
		if err != nil {
			return
		}
		match, err := readMatch(m)
		if err != nil {
			return
		}
		if len(match) > 2*len(b) {
			t.Fatalf("%x became %d bytes: %x", b, len(match), []byte(match))
		}
		if again, err := readMatch(openflow.Match(match)); err != nil || again != match {
			t.Fatalf("%x reads as %x, which reads as %x (%v)", b, []byte(match), []byte(again), err)
		}
		flow := Flow{Match: match}
		again, err := Parse(flow.String())
		if err != nil || again != flow {
			t.Fatalf("%x reads as %x, prints as %q and parses to %x (%v)", b, []byte(match), flow.String(), []byte(again.Match), err)
		}
		built, err := BuildMatch(match.Fields()...)
		if err != nil {
			return
		}
		if again, err := readMatch(openflow.Match(built)); err != nil || again != built {
			t.Fatalf("%x builds %x, which reads as %x (%v)", b, []byte(built), []byte(again), err)
		}
		if again, err := BuildMatch(built.Fields()...); err != nil || again != built {
			t.Fatalf("%x builds %x, which builds %x (%v)", b, []byte(built), []byte(again), err)
		}
	})
}
