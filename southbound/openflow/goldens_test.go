package openflow

import (
	_ "embed"
	"encoding/hex"
	"strings"
	"testing"
)

// messagesText holds the goldens: a name, a colon, and the message in hex, which
// goes on in the lines that begin with white space.
//
//go:embed testdata/messages.txt
var messagesText string

// golden returns the encoding of a sample.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	frame, ok := parseGoldens(t)[name]
	if !ok {
		t.Fatalf("testdata/messages.txt has no %q", name)
	}
	return frame
}

func parseGoldens(t *testing.T) map[string][]byte {
	t.Helper()
	goldens := map[string][]byte{}
	name := ""
	for line := range strings.Lines(messagesText) {
		text := line
		if head, rest, ok := strings.Cut(line, ":"); ok {
			if name, text = head, rest; goldens[name] != nil {
				t.Fatalf("testdata/messages.txt has %q twice", name)
			}
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			t.Fatalf("testdata/messages.txt: %q: %v", line, err)
		}
		goldens[name] = append(goldens[name], b...)
	}
	return goldens
}
