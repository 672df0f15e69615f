package flow

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

var update = flag.Bool("update", false, "write the goldens anew")

const fieldGoldens = "testdata/fields.txt"

// TestMatchesOfEveryFieldKeepTheirBytes compares matches on every field with
// what is known of them: the text and the TLVs in hex, a space before every TLV.
func TestMatchesOfEveryFieldKeepTheirBytes(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	for _, fields := range allFieldMatches() {
		m := NewMatch(fields...)
		fmt.Fprintf(&got, "%s:", m)
		for tlv := range openflow.Match(m).TLVs() {
			fmt.Fprintf(&got, " %x", tlv)
		}
		got.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(fieldGoldens, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(fieldGoldens)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOVSPrintsTheGoldensOfFields gives every golden to ovs-ofctl in a flow-mod
// and looks for its text in what ovs-ofctl reads.
func TestOVSPrintsTheGoldensOfFields(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(fieldGoldens)
	if err != nil {
		t.Fatal(err)
	}
	differs := map[string]bool{} // texts that are not ovs-ofctl's
	for _, fields := range slices.Concat(fieldsLostInText(), fieldsWithoutWords(), fieldsUnknownToOVS()) {
		differs[NewMatch(fields...).String()] = true
	}
	var stream []byte
	var texts []string
	for line := range strings.Lines(string(data)) {
		end := strings.LastIndex(line, ":")
		bytes, err := hex.DecodeString(strings.Join(strings.Fields(line[end+1:]), ""))
		if err != nil {
			t.Fatal(err)
		}
		if text := line[:end]; !differs[text] {
			f := Flow{Table: 3, Priority: 0x8000, Match: Match(bytes)}
			stream = openflow.AppendMessage(stream, 1, f.Add())
			texts = append(texts, text)
		}
	}
	if diff := cmp.Diff(texts, ofpParse(t, stream)); diff != "" {
		t.Errorf("texts (-ours +ovs-ofctl's):\n%s", diff)
	}
}

// TestOtherIDsOfFieldsMeanTheSame sends the matches on every field under the NXM
// ids of their fields.
func TestOtherIDsOfFieldsMeanTheSame(t *testing.T) {
	t.Parallel()
	var stream []byte
	var texts []string
	renamed := 0
	for _, fields := range fieldMatches() {
		want := NewMatch(fields...)
		var other openflow.Match
		for _, f := range want.Fields() {
			o := f.OXM()
			if o.Field != o.Field.NXM() {
				renamed++
			}
			o.Field = o.Field.NXM()
			other = other.Append(o)
		}
		if got, err := readMatch(other); err != nil || got != want {
			t.Errorf("%x reads as %v (%v), want %v", other, got, err, want)
		}
		f := Flow{Table: 3, Priority: 0x8000, Match: Match(other)}
		stream = openflow.AppendMessage(stream, 1, f.Add())
		texts = append(texts, want.String())
	}
	if renamed < 100 {
		t.Errorf("only %d fields had another id", renamed)
	}
	if diff := cmp.Diff(texts, ofpParse(t, stream)); diff != "" {
		t.Errorf("texts (-ours +ovs-ofctl's):\n%s", diff)
	}
}

// ofpParse returns the matches of flow-mods as ovs-ofctl prints them.
func ofpParse(t *testing.T, stream []byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(path, stream, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(ovstest.LookTool(t, "ovs-ofctl"), "ofp-parse", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ovs-ofctl ofp-parse: %v\n%s", err, out)
	}
	return printedMatches(string(out))
}

// printedMatches returns the matches of the flow-mods of table 3 that ovs-ofctl printed.
func printedMatches(out string) []string {
	var matches []string
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, " ADD table:3 "); ok {
			text, _, _ := strings.Cut(rest, " actions=")
			text, _, _ = strings.Cut(text, "actions=") // a match of everything leaves no space
			matches = append(matches, text)
		}
	}
	return matches
}

func allFieldMatches() [][]Field {
	return slices.Concat(fieldMatches(), fieldsLostInText(), fieldsWithoutWords(), fieldsOfTheSwitch(), fieldsUnknownToOVS())
}

const fieldsDoc = "../../docs/fields.md"

// TestFieldsDocIsTheTable holds the list of fields in docs to the table.
func TestFieldsDocIsTheTable(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(fieldsDoc)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "| name | bits | mask | needs | subfield names |\n|---|---|---|---|---|\n"
	head, _, ok := strings.Cut(string(want), mark)
	if !ok {
		t.Fatalf("%s has no table of fields", fieldsDoc)
	}
	var got strings.Builder
	got.WriteString(head + mark)
	for _, n := range namings {
		names, subfields := []string{n.set}, []string{n.subfield}
		for _, name := range n.aka {
			if name[0] >= 'a' {
				names = append(names, name)
			} else {
				subfields = append(subfields, name)
			}
		}
		mask := "no"
		if n.masks == bitwise {
			mask = "any"
		}
		fmt.Fprintf(&got, "| %s | %d | %s | %s | %s |\n", strings.Join(names, ", "), n.id.Bits(), mask, needs[n.needs].words, strings.Join(subfields, ", "))
	}
	if *update {
		if err := os.WriteFile(fieldsDoc, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("go test ./southbound/flow -update writes it anew (-want +got):\n%s", diff)
	}
}
