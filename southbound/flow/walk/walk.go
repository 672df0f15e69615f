// Package walk is a switch in memory: it runs a frame through flows as Open
// vSwitch would, and tells which way it took. It does no I/O.
//
// It knows the fields and actions that a pipeline of a cloud needs, conntrack and
// conjunctions among them. What it does not know is an error that wraps ErrUnsupported
// as soon as a frame meets it, and never passed over in silence.
package walk

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// Bounds of a walk, those of Open vSwitch (ofproto-dpif-xlate.c, dpif.c). A frame
// that passes one of them is dropped there, with all copies of it.
const (
	maxDepth   = 64   // of resubmits to the same table or an earlier one
	maxLookups = 4096 // in one pass
	maxRecirc  = 8    // passes through the connection tracker, one after the other
	maxStack   = 65536 / 16

	// Open vSwitch begins anew with every pass, and passes branch: it has more time
	// than whoever waits for a trace.
	maxSteps = maxLookups      // in all passes
	maxTaken = 16 * maxLookups // actions in all passes
)

// Errors of a walk.
var (
	// ErrUnsupported says that a flow has something that this package does not know.
	ErrUnsupported = errors.New("walk: not supported")
	// ErrEndless says that the bounds on resubmits and recirculations were passed.
	ErrEndless = errors.New("walk: the flows send the frame round and round")
)

func unsupported(what string) error { return fmt.Errorf("%w: %s", ErrUnsupported, what) }

// Switch is a switch in memory. It is not safe for concurrent use.
type Switch struct {
	Conntrack Conntrack
	// Ports are those that FLOOD and ALL send to.
	Ports []uint32
	// Dead are the ports that groups which watch them take for dead.
	Dead map[uint32]bool

	tables *tables
	groups map[uint32]flow.Group
	meters map[uint32]bool
}

// New returns a switch that holds a state. It does not change the state; what its
// flows learn is added to a copy.
func New(s flow.State) *Switch {
	sw := &Switch{tables: newTables(s.Flows), groups: map[uint32]flow.Group{}, meters: map[uint32]bool{}}
	for _, g := range s.Groups {
		sw.groups[g.ID] = g
	}
	for _, m := range s.Meters {
		sw.meters[m.ID] = true
	}
	return sw
}

// Flows returns the flows that the switch holds by now.
func (s *Switch) Flows() flow.Set { return s.tables.flows }

// Arrival is a frame as it comes to a switch.
type Arrival struct {
	Port   uint32
	Frame  []byte
	Tunnel Tunnel // that it came through, if the port is a tunnel's
}

// Tunnel is the key and the ends of a tunnel.
type Tunnel struct {
	ID       uint64
	Src, Dst netip.Addr
}

// Walk sends a frame through the switch, which may learn from it and track its
// connection. With an error, the trace goes as far as the frame came.
func (s *Switch) Walk(a Arrival) (*Trace, error) {
	p := newPacket(a.Frame)
	p.setNum(openflow.InPort, uint64(a.Port))
	p.setNum(openflow.TunnelID, a.Tunnel.ID)
	for _, end := range []struct {
		addr   netip.Addr
		v4, v6 openflow.FieldID
	}{{a.Tunnel.Src, openflow.TunnelSrc, openflow.TunnelIPv6Src}, {a.Tunnel.Dst, openflow.TunnelDst, openflow.TunnelIPv6Dst}} {
		switch {
		case end.addr.Is4():
			p.setBytes(end.v4, end.addr.AsSlice())
		case end.addr.Is6():
			p.setBytes(end.v6, end.addr.AsSlice())
		}
	}
	r := &run{sw: s, trace: &Trace{}}
	err := r.enter(p, 0, -1, ViaArrival, uint64(a.Port))
	return r.trace, err
}

// run is one walk.
type run struct {
	sw     *Switch
	trace  *Trace
	depth  int
	recirc int
	exited bool
}

// enter looks the packet up in a table, as if it had come by the port as, and
// executes the flow that it hits. Output to the port of entry means the real one.
func (r *run) enter(p *packet, table uint8, from int, via Via, as uint64) error {
	if r.depth >= maxDepth || len(r.trace.Steps) >= maxSteps || r.trace.taken >= maxTaken {
		return fmt.Errorf("%w: in table %d", ErrEndless, table)
	}
	own := p.num(openflow.InPort)
	p.setNum(openflow.InPort, as)
	hit, ok, err := r.sw.tables.lookup(p, table)
	if err != nil {
		return fmt.Errorf("%w, in table %d", err, table)
	}
	step := len(r.trace.Steps)
	r.trace.Steps = append(r.trace.Steps, Step{
		Table: table, From: from, Via: via, Hit: ok, Flow: hit.flow, Clauses: hit.clauses, packet: p.seen(),
	})
	p.setNum(openflow.InPort, own)
	if !ok {
		return nil
	}
	ins, err := hit.flow.Instructions.List()
	if err != nil {
		return fmt.Errorf("%w: %w, in table %d", ErrUnsupported, err, table)
	}
	return r.instructions(p, ins, step)
}

func (r *run) instructions(p *packet, ins []openflow.Instruction, step int) error {
	for _, in := range ins {
		if r.exited {
			return nil
		}
		switch in := in.(type) {
		case openflow.Meter:
			if !r.sw.meters[in.ID] {
				return unsupported(fmt.Sprintf("meter %d, which there is not", in.ID))
			}
			r.note(step, Taken{Text: text(in), Child: -1, Output: -1})
		case openflow.ApplyActions:
			if err := r.actions(p, in, step); err != nil {
				return err
			}
		case openflow.WriteMetadata:
			old := p.num(openflow.Metadata)
			p.setNum(openflow.Metadata, old&^in.Mask|in.Metadata&in.Mask)
			r.note(step, Taken{Text: text(in), Child: -1, Output: -1, Sets: []flow.Field{flow.Metadata(p.num(openflow.Metadata))}})
		case openflow.GotoTable:
			r.note(step, Taken{Text: text(in), Child: len(r.trace.Steps), Output: -1})
			if err := r.enter(p, in.Table, step, ViaGoto, p.num(openflow.InPort)); err != nil {
				return err
			}
		default:
			return unsupported("instruction " + text(in))
		}
	}
	return nil
}

// text is an instruction in the words of ovs-ofctl.
func text(in openflow.Instruction) string {
	return flow.Instructions(in.AppendInstruction(nil)).String()
}

// note adds what a step did.
func (r *run) note(step int, t Taken) {
	s := &r.trace.Steps[step]
	s.Taken = append(s.Taken, t)
	r.trace.taken++
}

// resubmit looks the packet up in a table and comes back.
func (r *run) resubmit(p *packet, inPort uint16, table uint8, step int) error {
	here := r.trace.Steps[step].Table
	if table == openflow.TableAll {
		table = here
	}
	as := p.num(openflow.InPort)
	if inPort != openflow.ResubmitInPort {
		as = uint64(port32(inPort))
	}
	if table <= here {
		r.depth++
		defer func() { r.depth-- }()
	}
	return r.enter(p, table, step, ViaResubmit, as)
}

// install adds a flow, in the place of one with the same key if there is one.
func (s *Switch) install(f flow.Flow) {
	flows := slices.Clone(s.tables.flows)
	at, there := slices.BinarySearchFunc(flows, f, flow.Compare)
	if there {
		flows[at] = f
	} else {
		flows = slices.Insert(flows, at, f)
	}
	s.tables = newTables(flows)
}
