package fabric

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
)

func pictured(links []Link) ([]Node, []Known) {
	seen, known := map[intent.DPID]bool{}, make([]Known, len(links))
	var nodes []Node
	for i, l := range links {
		known[i] = Known{Link: l, Tree: i%3 == 0, Down: i%3 == 1}
		for _, d := range []intent.DPID{l.A.DPID, l.B.DPID} {
			if !seen[d] {
				seen[d] = true
				nodes = append(nodes, Node{DPID: d, Name: map[bool]string{true: `<"&\` + "\n"}[d == 1], Away: d == 2})
			}
		}
	}
	return nodes, known
}

func TestAPictureIsWellFormedAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	nodes, links := pictured(torus(3, 3))
	svg := SVG(nodes, links)
	if !bytes.Equal(svg, SVG(nodes, links)) {
		t.Error("two pictures of the same fabric differ")
	}
	n := map[string]int{}
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			n[e.Name.Local]++
		}
	}
	if n["rect"] != 9 || n["path"] != 18 {
		t.Errorf("%d switches and %d links, want 9 and 18", n["rect"], n["path"])
	}
	if strings.Contains(string(svg), "NaN") {
		t.Error("a place is not a number")
	}
	SVG(nil, nil)
	SVG(nodes[:1], nil)
}

func TestDotHasEverySwitchAndLinkAndNoNameEndsItsQuotes(t *testing.T) {
	t.Parallel()
	nodes, links := pictured(ring(4))
	dot := string(Dot(nodes, links))
	for _, want := range []string{
		`"0000000000000001" [label="<\"&\\\n"];`, `"0000000000000002" [label="0000000000000002", style=dashed];`,
		`"0000000000000001" -- "0000000000000002" [taillabel="1", headlabel="1", style=bold];`, `headlabel="1", style=dotted];`, `headlabel="1", style=dashed];`,
	} {
		if !strings.Contains(dot, want) {
			t.Errorf("%s is not in\n%s", want, dot)
		}
	}
}
