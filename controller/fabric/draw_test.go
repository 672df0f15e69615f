package fabric

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
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

// crowd are hosts at switch 3.
func crowd(n int) (hosts []Host) {
	for i := range n {
		hosts = append(hosts, Host{MAC: mac.MustParse("02:00:00:00:00:00") + mac.Addr(i), At: End{DPID: 3, Port: 7}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	}
	return hosts
}

func TestAPictureIsWellFormedAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	nodes, links := pictured(torus(3, 3))
	hosts := crowd(maxDrawn + 5)
	svg := SVG(nodes, links, hosts)
	if !bytes.Equal(svg, SVG(nodes, links, hosts)) {
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
	if strings.Contains(string(svg), "%!") {
		t.Errorf("formatted wrongly: %s", svg)
	}
	if n["circle"] != maxDrawn || !strings.Contains(string(svg), ">+5 hosts<") {
		t.Errorf("%d hosts, want %d and the number of the others", n["circle"], maxDrawn)
	}
	if strings.Contains(string(svg), "NaN") {
		t.Error("a place is not a number")
	}
	SVG(nil, nil, hosts)
	SVG(nodes[:1], nil, nil)
}

func TestDotHasEverySwitchAndLinkAndNoNameEndsItsQuotes(t *testing.T) {
	t.Parallel()
	nodes, links := pictured(ring(4))
	hosts := crowd(1)
	dot := string(Dot(nodes, links, hosts[:1]))
	for _, want := range []string{
		`"0000000000000001" [label="<\"&\\\n"];`, `"0000000000000002" [label="0000000000000002", style=dashed];`,
		`"0000000000000001" -- "0000000000000002" [taillabel="1", headlabel="1", style=bold];`, `"02:00:00:00:00:00" [shape=ellipse, label="02:00:00:00:00:00\n10.0.0.1"];`, `"02:00:00:00:00:00" -- "0000000000000003" [headlabel="7"];`,
		`headlabel="1", style=dotted];`, `headlabel="1", style=dashed];`,
	} {
		if !strings.Contains(dot, want) {
			t.Errorf("%s is not in\n%s", want, dot)
		}
	}
}
