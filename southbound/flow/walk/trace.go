package walk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Trace is the way of a frame through a switch.
type Trace struct {
	Steps   []Step // in the order in which they were taken
	Outputs []Output

	taken int // in all steps
}

// Via is how a frame came to a table.
type Via string

// The ways.
const (
	ViaArrival  Via = "arrival"
	ViaGoto     Via = "goto"
	ViaResubmit Via = "resubmit"
	ViaCT       Via = "conntrack" // with what the tracker said of it
)

// Step is one lookup in a table, and what the flow that it found did.
type Step struct {
	Table   uint8
	From    int // step that led here; -1: none
	Via     Via
	Hit     bool // false: no flow matches, the frame is dropped
	Flow    flow.Flow
	Clauses []flow.Flow // that made the conjunction which Flow matches
	Taken   []Taken

	packet *packet // as the table saw it
}

// Taken is one action or instruction that was executed.
type Taken struct {
	Text   string       // in the words of ovs-ofctl
	Sets   []flow.Field // fields with their new values
	Note   string       // what became of it, where that needs saying
	Child  int          // step that it led to; -1: none
	Output int          // output that it made; -1: none
}

// Output is a frame that leaves the switch.
type Output struct {
	Step    int // in which it left
	Port    uint32
	Frame   []byte
	Tunnel  Tunnel // that it leaves through, if the port is a tunnel's
	Table   uint8  // of a packet-in: where it was made
	MeterID uint32 // of a packet-in: meter that it passes; 0: none
}

// Field returns what the table saw in a field; false: this package does not know
// the field.
func (s *Step) Field(id openflow.FieldID) (v []byte, ok bool) {
	read, err := s.packet.read(id)
	return read[:id.Len()], err == nil
}

// Uint returns what the table saw in a field of at most 8 bytes.
func (s *Step) Uint(id openflow.FieldID) (n uint64) {
	v, _ := s.Field(id)
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	return n
}

// Tracked returns what the connection tracker had said of the frame.
func (s *Step) Tracked() flow.CTFlags { return flow.CTFlags(s.Uint(openflow.CTState)) }

// Frame returns the frame as the table saw it.
func (s *Step) Frame() []byte { return s.packet.bytes() }

// Dropped returns the steps at which a copy of the frame ended without having
// left: no flow matched, or the one that did has nothing that leads on.
func (t *Trace) Dropped() (ends []int) {
	for i := range t.Steps {
		if !slices.ContainsFunc(t.Steps[i].Taken, func(a Taken) bool { return a.Child >= 0 || a.Output >= 0 }) {
			ends = append(ends, i)
		}
	}
	return ends
}

// Path returns the steps that led to a step, it included, from the first on.
func (t *Trace) Path(step int) (path []int) {
	for ; step >= 0; step = t.Steps[step].From {
		path = append(path, step)
	}
	slices.Reverse(path)
	return path
}

// String writes the trace as people read it: a line for each table with the flow
// that was hit, and under it what this did.
func (t *Trace) String() string {
	var b strings.Builder
	if len(t.Steps) > 0 {
		t.write(&b, 0, 0)
	}
	return b.String()
}

func (t *Trace) write(b *strings.Builder, step, depth int) {
	s := &t.Steps[step]
	indent := strings.Repeat("    ", depth)
	fmt.Fprintf(b, "%s%d. ", indent, s.Table)
	if !s.Hit {
		b.WriteString("no flow matches\n")
		return
	}
	match := s.Flow.Match.String()
	if match != "" {
		match += ", "
	}
	fmt.Fprintf(b, "%spriority %d, cookie %#x\n", match, s.Flow.Priority, s.Flow.Cookie)
	for _, c := range s.Clauses {
		fmt.Fprintf(b, "%s    - %s, cookie %#x, %s\n", indent, c.Match, c.Cookie, c.Instructions)
	}
	for _, a := range s.Taken {
		fmt.Fprintf(b, "%s    %s", indent, a.Text)
		if a.Note != "" {
			fmt.Fprintf(b, " (%s)", a.Note)
		}
		if a.Output >= 0 {
			o := t.Outputs[a.Output]
			fmt.Fprintf(b, " => %s", portText(o.Port))
			if o.Tunnel.Dst.IsValid() {
				fmt.Fprintf(b, " tunnel %d to %s", o.Tunnel.ID, o.Tunnel.Dst)
			}
		}
		b.WriteByte('\n')
		if a.Child >= 0 && a.Child < len(t.Steps) {
			under := depth
			if t.Steps[a.Child].Via != ViaGoto {
				under++
			}
			t.write(b, a.Child, under)
		}
	}
	if len(s.Taken) == 0 {
		fmt.Fprintf(b, "%s    drop\n", indent)
	}
}

func portText(port uint32) string {
	if port == openflow.PortController {
		return "controller"
	}
	return fmt.Sprint("port ", int32(port))
}
