package fabric

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/macloom/macloom/controller/intent"
)

// Node is a switch in a picture.
type Node struct {
	DPID intent.DPID
	Name string // empty: its id is shown
	Away bool   // it has no session
}

func (n Node) label() string { return cmp.Or(n.Name, n.DPID.String()) }

// Dot writes a fabric in the language of Graphviz.
func Dot(nodes []Node, links []Known, hosts []Host) []byte {
	var b bytes.Buffer
	b.WriteString("graph fabric {\n  node [shape=box];\n")
	for _, n := range nodes {
		style := ""
		if n.Away {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %q [label=%s%s];\n", n.DPID, strconv.QuoteToASCII(n.label()), style)
	}
	for _, l := range links {
		fmt.Fprintf(&b, "  %q -- %q [taillabel=\"%d\", headlabel=\"%d\", style=%s];\n", l.A.DPID, l.B.DPID, l.A.Port, l.B.Port,
			map[string]string{"tree": "bold", "spare": "dashed", "down": "dotted"}[l.State()])
	}
	for _, h := range hosts {
		fmt.Fprintf(&b, "  %q [shape=ellipse, label=%q];\n  %[1]q -- %[3]q [headlabel=\"%d\"];\n", h.MAC, strings.Join(h.words(), "\n"), h.At.DPID, h.At.Port)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// words are the addresses of a host.
func (h Host) words() []string {
	words := []string{h.MAC.String()}
	for _, ip := range h.IPs {
		words = append(words, ip.String())
	}
	return words
}

// maxDrawn is how many hosts are drawn at a switch; a picture of more is none.
const maxDrawn = 12

// drawHosts puts hosts around their switches.
func drawHosts(b *bytes.Buffer, hosts []Host, place func(intent.DPID) (x, y float64, ok bool)) {
	const away, radius = 52.0, 5
	at := map[intent.DPID][]Host{}
	for _, h := range hosts {
		at[h.At.DPID] = append(at[h.At.DPID], h)
	}
	for _, d := range slices.Sorted(maps.Keys(at)) {
		x, y, ok := place(d)
		if !ok {
			continue
		}
		drawn := at[d][:min(len(at[d]), maxDrawn)]
		for i, h := range drawn {
			angle := 2 * math.Pi * (float64(i) + 0.5) / float64(len(drawn))
			hx, hy := x+1.5*away*math.Cos(angle), y+away*math.Sin(angle)
			fmt.Fprintf(b, `<line x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f" stroke="#aaa"/><circle cx="%.0[3]f" cy="%.0[4]f" r="%[5]d" fill="#fe8" stroke="#a60"><title>%[6]s port %[7]d</title></circle>`+"\n",
				x, y, hx, hy, radius, strings.Join(h.words(), " "), h.At.Port)
			fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-size="9">%s</text>`+"\n", hx, hy+14, h.words()[min(1, len(h.IPs))])
		}
		if more := len(at[d]) - len(drawn); more > 0 {
			fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-size="9">+%d hosts</text>`+"\n", x, y+28, more)
		}
	}
}

// SVG draws a fabric.
func SVG(nodes []Node, links []Known, hosts []Host) []byte {
	const (
		margin       = 70
		halfX, halfY = 60, 14
	)
	at := layout(nodes, links)
	side := 140*math.Sqrt(float64(max(len(nodes), 1))) + 100
	x := func(i int) float64 { return margin + at[i].x*side }
	y := func(i int) float64 { return margin + at[i].y*side }
	index := map[intent.DPID]int{}
	for i, n := range nodes {
		index[n.DPID] = i
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0[1]f" font-family="sans-serif" font-size="11" text-anchor="middle">`+"\n", side+2*margin)
	between := map[[2]int]int{} // links that are drawn already
	for _, l := range links {
		i, known := index[l.A.DPID]
		j, also := index[l.B.DPID]
		if !known || !also || i == j {
			continue
		}
		pair := [2]int{min(i, j), max(i, j)}
		bend := 24 * float64((between[pair]+1)/2) * (1 - 2*float64(between[pair]%2)) // parallel ones beside each other
		between[pair]++
		dx, dy := x(pair[1])-x(pair[0]), y(pair[1])-y(pair[0])
		length := max(math.Hypot(dx, dy), 1)
		midX, midY := (x(i)+x(j))/2-dy/length*bend, (y(i)+y(j))/2+dx/length*bend
		fmt.Fprintf(&b, `<path d="M%.0f %.0f Q%.0f %.0f %.0f %.0f" fill="none" stroke="%s" stroke-width="2"%s><title>%s %s</title></path>`+"\n",
			x(i), y(i), midX, midY, x(j), y(j), map[string]string{"tree": "#1a7f37", "spare": "#888", "down": "#cf222e"}[l.State()],
			map[string]string{"spare": ` stroke-dasharray="6 4"`, "down": ` stroke-dasharray="2 4"`}[l.State()], l.Link, l.State())
		for _, end := range []struct{ from, port int }{{i, int(l.A.Port)}, {j, int(l.B.Port)}} {
			fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="#555">%d</text>`+"\n", x(end.from)*0.65+midX*0.35, y(end.from)*0.65+midY*0.35, end.port)
		}
	}
	drawHosts(&b, hosts, func(d intent.DPID) (float64, float64, bool) {
		i, known := index[d]
		if !known {
			return 0, 0, false
		}
		return x(i), y(i), true
	})
	for i, n := range nodes {
		dash := ""
		if n.Away {
			dash = ` stroke-dasharray="4 3"`
		}
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="%d" height="%d" rx="5" fill="#eef" stroke="#335"%s/><text x="%.0f" y="%.0f">`,
			x(i)-halfX, y(i)-halfY, 2*halfX, 2*halfY, dash, x(i), y(i)+4)
		_ = xml.EscapeText(&b, []byte(n.label())) // a Buffer takes it all
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

type point struct{ x, y float64 }

// layout places nodes in a square of side 1, near those that they are linked
// with and apart from all others (Fruchterman and Reingold, 1991). The same
// fabric is always drawn the same way.
func layout(nodes []Node, links []Known) []point {
	n := len(nodes)
	at, index := make([]point, n), map[intent.DPID]int{}
	for i, node := range nodes {
		angle := 2 * math.Pi * float64(i) / float64(n)
		at[i], index[node.DPID] = point{math.Cos(angle), math.Sin(angle)}, i
	}
	// The work grows with the square; a picture of thousands is none anyway.
	rounds := min(300, 20_000_000/max(n*n, 1))
	ideal := 2 / math.Sqrt(float64(max(n, 1)))
	for round := range rounds {
		force := make([]point, n)
		push := func(i, j int, by func(d float64) float64) {
			dx, dy := at[i].x-at[j].x, at[i].y-at[j].y
			d := max(math.Hypot(dx, dy), 1e-3)
			f := by(d) / d
			force[i].x, force[i].y = force[i].x+dx*f, force[i].y+dy*f
			force[j].x, force[j].y = force[j].x-dx*f, force[j].y-dy*f
		}
		for i := range n {
			for j := range i {
				push(i, j, func(d float64) float64 { return ideal * ideal / d })
			}
		}
		for _, l := range links {
			i, known := index[l.A.DPID]
			j, also := index[l.B.DPID]
			if known && also && i != j {
				push(i, j, func(d float64) float64 { return -d * d / ideal })
			}
		}
		heat := 0.2 * (1 - float64(round)/float64(rounds))
		for i, f := range force {
			if length := math.Hypot(f.x, f.y); length > 0 {
				step := min(length, heat) / length
				at[i].x, at[i].y = at[i].x+f.x*step, at[i].y+f.y*step
			}
		}
	}
	low, high := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, p := range at {
		low, high = point{min(low.x, p.x), min(low.y, p.y)}, point{max(high.x, p.x), max(high.y, p.y)}
	}
	for i, p := range at {
		at[i] = point{(p.x - low.x) / max(high.x-low.x, 1e-9), (p.y - low.y) / max(high.y-low.y, 1e-9)}
	}
	return at
}
