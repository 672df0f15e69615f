package flow

import "testing"

// FuzzFlowParse holds text and values together: whatever parses prints as a
// line that parses to the same flow, and what the flow says decodes.
func FuzzFlowParse(f *testing.F) {
	for _, flow := range append(corpus(), oddities()...) {
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
