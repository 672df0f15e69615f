// Command picture draws what make picture has measured: how long echoes of a call and
// answers of a web server take behind a saturated bottleneck, with and without priority, and a
// call past it at the same time, which shows what the machine takes.
// It reads lines of a kind of load, its treatment and milliseconds, such as "voice,with,8.3" or
// "voice,with,lost", and writes SVG.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	s, err := read(os.Stdin)
	if err == nil {
		err = s.draw(os.Stdout)
	}
	if err != nil {
		log.Fatal("picture: ", err)
	}
}

// samples are times in milliseconds by load and treatment, such as "voice,with".
type samples struct {
	times      map[string][]float64 // sorted
	lost       map[string]int
	conditions []string // lines that begin with #
}

func read(from io.Reader) (*samples, error) {
	s := &samples{times: map[string][]float64{}, lost: map[string]int{}}
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if condition, ok := strings.CutPrefix(line, "# "); ok {
			s.conditions = append(s.conditions, condition)
			continue
		}
		cut := strings.LastIndexByte(line, ',')
		if cut < 0 {
			return nil, fmt.Errorf("line %d: %q is not LOAD,TREATMENT,MILLISECONDS", n, line)
		}
		what, value := line[:cut], line[cut+1:]
		if value == "lost" {
			s.lost[what]++
			continue
		}
		took, err := strconv.ParseFloat(value, 64)
		if err != nil || !(took > 0) || math.IsInf(took, 0) {
			return nil, fmt.Errorf("line %d: %q is no time in milliseconds", n, value)
		}
		s.times[what] = append(s.times[what], took)
	}
	for _, times := range s.times {
		slices.Sort(times)
	}
	return s, lines.Err()
}

func (s *samples) quantile(what string, q float64) float64 {
	times := s.times[what]
	if len(times) == 0 {
		return math.Inf(1)
	}
	return times[int(q*float64(len(times)-1))]
}

const (
	width, height  = 760, 370
	across, down   = 320, 210 // of a diagram
	left, top, gap = 50, 40, 50
	from, decades  = 0.1, 5 // the axis, from 0.1 ms to 10 s
)

var treatments = []struct{ name, words, colour string }{
	{"without", "without priority", "#c0392b"},
	{"with", "with priority", "#1f6f8b"},
	{"past", "past the bottleneck", "#999"},
}

func (s *samples) draw(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i, diagram := range []struct{ load, title string }{
		{"voice", "Echo of a call: 50 packets of 172 bytes a second"}, {"web", "Page of 4,000 bytes over HTTP"},
	} {
		fmt.Fprintf(w, `<g transform="translate(%d,%d)">`+"\n", left+i*(across+gap), top)
		text(w, across/2, -16, "middle", "#222", diagram.title)
		for d := range decades + 1 {
			x := place(from * math.Pow10(d))
			fmt.Fprintf(w, `<path d="M%.1f 0V%d" stroke="#ddd"/>`+"\n", x, down)
			text(w, x, down+16, "middle", "#555", duration(from*math.Pow10(d)))
		}
		for percent := 0; percent <= 100; percent += 25 {
			y := down - float64(percent)/100*down
			fmt.Fprintf(w, `<path d="M0 %.1fH%d" stroke="#ddd"/>`+"\n", y, across)
			if i == 0 {
				text(w, -6, y+4, "end", "#555", fmt.Sprint(percent, " %"))
			}
		}
		for j, t := range treatments {
			what := diagram.load + "," + t.name
			if len(s.times[what])+s.lost[what] == 0 {
				continue
			}
			s.curve(w, what, t.colour)
			y := down + 36 + 16*float64(j)
			fmt.Fprintf(w, `<path d="M0 %.1fh18" stroke="%s" stroke-width="2"/>`+"\n", y-4, t.colour)
			text(w, 24, y, "start", "#222", fmt.Sprintf("%s: p50 %s, p99 %s, %d of %d lost", t.words,
				duration(s.quantile(what, 0.5)), duration(s.quantile(what, 0.99)), s.lost[what], s.lost[what]+len(s.times[what])))
		}
		fmt.Fprintln(w, "</g>")
	}
	fmt.Fprintln(w, `<g font-size="9">`)
	for i, condition := range s.conditions {
		text(w, left, float64(top+down+98+14*i), "start", "#777", condition)
	}
	fmt.Fprintln(w, "</g>\n</svg>")
	return w.Flush()
}

// curve shows which part has come after a time; what was lost never comes.
func (s *samples) curve(w io.Writer, what, colour string) {
	times := s.times[what]
	all := float64(len(times) + s.lost[what])
	fmt.Fprintf(w, `<path fill="none" stroke="%s" stroke-width="2" d="M0 %d`, colour, down)
	for i, took := range times {
		fmt.Fprintf(w, "H%.1fV%.1f", place(took), down-float64(i+1)/all*down)
	}
	fmt.Fprintf(w, `H%d"/>`+"\n", across)
}

// place is where a time is on the axis.
func place(ms float64) float64 {
	return min(max(math.Log10(ms/from)/decades, 0), 1) * across
}

func duration(ms float64) string {
	switch {
	case math.IsInf(ms, 0):
		return "never"
	case ms >= 1000:
		return strconv.FormatFloat(ms/1000, 'g', 3, 64) + " s"
	}
	return strconv.FormatFloat(ms, 'g', 3, 64) + " ms"
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func text(w io.Writer, x, y float64, anchor, colour, words string) {
	fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, colour, escape.Replace(words))
}
