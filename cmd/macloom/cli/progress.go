package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// redraw is how often a bar moves at most.
const redraw = 100 * time.Millisecond

// progress is a bar on a terminal. A nil one, for what is no terminal, does
// nothing.
type progress struct {
	w     io.Writer
	now   func() time.Time
	label string
	total int64 // 0: not known
	done  int64
	note  string
	drawn time.Time // zero: not on the screen
}

// newProgress returns a bar on w, or nil if nobody looks at w.
func newProgress(w io.Writer, now func() time.Time, label string, total int64) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, now: now, label: label, total: total}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// set says how much is done, and in words what.
func (p *progress) set(done int64, note string) {
	if p == nil {
		return
	}
	p.done, p.note = done, note
	if now := p.now(); now.Sub(p.drawn) >= redraw {
		p.drawn = now
		fmt.Fprintf(p.w, "\r\x1b[K%s", p.line())
	}
}

// line is the bar as it is drawn: short enough for 80 columns.
func (p *progress) line() string {
	const width = 24
	var b strings.Builder
	b.WriteString(p.label)
	if p.total > 0 {
		part := min(p.done, p.total)
		full := int(part * width / p.total)
		fmt.Fprintf(&b, " [%s%s] %3d %%", strings.Repeat("#", full), strings.Repeat(".", width-full), part*100/p.total)
	}
	if p.note != "" {
		b.WriteString(" " + p.note)
	}
	return b.String()
}

// clear takes the bar off the screen, before something else is written there.
func (p *progress) clear() {
	if p == nil || p.drawn.IsZero() {
		return
	}
	p.drawn = time.Time{}
	fmt.Fprintf(p.w, "\r\x1b[K")
}

// count shows how many of the entries of a list have come.
func (p *progress) count(entries iter.Seq2[json.RawMessage, error]) iter.Seq2[json.RawMessage, error] {
	if p == nil {
		return entries
	}
	return func(yield func(json.RawMessage, error) bool) {
		defer p.clear()
		var n int64
		for raw, err := range entries {
			n++
			p.set(n, thousands(n))
			if !yield(raw, err) {
				return
			}
		}
	}
}

// over returns w such that what is written there does not run into the bar.
func (p *progress) over(w io.Writer) io.Writer {
	if p == nil || !isTerminal(w) {
		return w
	}
	return &above{w, p}
}

type above struct {
	io.Writer
	p *progress
}

func (a *above) Write(b []byte) (int, error) {
	a.p.clear()
	return a.Writer.Write(b)
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
