package pipeline

import (
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/flow"
)

// Markdown is the pipeline as docs/pipeline.md shows it.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Pipeline\n\nGenerated from `controller/pipeline` (`go test ./controller/pipeline -update`); do not edit.\n\n## Tables\n\n")
	b.WriteString("| table | name | job | reads | writes | next | miss |\n|---|---|---|---|---|---|---|\n")
	for _, t := range Tables() {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", t.ID, t.Name, t.Job, list(t.Reads, flow.FieldName), list(t.Writes, flow.FieldName), list(t.Next, func(id uint8) string { return fmt.Sprint(id) }), t.Miss)
	}
	b.WriteString("\n## Registers\n\n| register | holds |\n|---|---|\n")
	for _, r := range registers {
		fmt.Fprintf(&b, "| %s | %s |\n", r.Name, r.Holds)
	}
	b.WriteString("\nConntrack: zone = OpenFlow number of the bound port, in a fabric so many further as its switch says, above 32767 that of a sub-port; `ct_mark` = number of the rule that admitted the connection.\n")
	b.WriteString("\n## Cookies\n\n`[63:56]` 0x5d, ours · `[55:48]` kind · `[47:32]` 0 · `[31:0]` object\n\n| kind | object |\n|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| %d %s | %s |\n", k.kind, k.name, k.object)
	}
	b.WriteString("\n## Priorities\n\n| priority | use |\n|---|---|\n")
	for _, p := range priorities {
		fmt.Fprintf(&b, "| %d | %s |\n", p.value, p.use)
	}
	return b.String()
}

func list[T any](items []T, name func(T) string) string {
	if len(items) == 0 {
		return "–"
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = name(item)
	}
	return strings.Join(texts, ", ")
}
