package walk

import (
	"fmt"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// learn adds the flow that the action makes of the packet.
func (r *run) learn(p *packet, a openflow.ActionLearn, step int, took Taken) error {
	f := flow.Flow{Table: a.Table, Priority: a.Priority, IdleTimeout: a.IdleTimeout, HardTimeout: a.HardTimeout, Cookie: a.Cookie}
	if a.SendFlowRem {
		f.Flags |= openflow.FlagSendFlowRem
	}
	if a.Result.Bits != 0 {
		return unsupported("action " + took.Text)
	}
	var fields []flow.Field
	var actions []openflow.Action
	for _, s := range a.Specs {
		v := s.Value
		if s.Kind == openflow.LearnMatch || s.Kind == openflow.LearnLoad || s.Kind == openflow.LearnOutput {
			var err error
			if v, err = p.bits(openflow.Subfield{Field: s.Src, Offset: s.SrcOffset, Bits: s.Bits}); err != nil {
				return err
			}
		}
		dst := openflow.Subfield{Field: s.Dst, Offset: s.DstOffset, Bits: s.Bits}
		switch s.Kind {
		case openflow.LearnMatch, openflow.LearnMatchValue:
			field, err := fieldOf(dst, v)
			if err != nil {
				return err
			}
			fields = append(fields, field)
		case openflow.LearnLoad, openflow.LearnLoadValue:
			if dst.Bits > 64 {
				return unsupported("action " + took.Text)
			}
			actions = append(actions, flow.Load(dst, be.Uint64(v[8:])))
		case openflow.LearnOutput:
			actions = append(actions, flow.Output(port32(be.Uint16(v[14:]))))
		}
	}
	match, err := flow.BuildMatch(fields...)
	if err != nil {
		return fmt.Errorf("%w: action %s: %w", ErrUnsupported, took.Text, err)
	}
	f.Match, f.Instructions = match, flow.NewInstructions(flow.Apply(actions...))
	took.Note = "learned " + f.String()
	if a.Limit != 0 && r.sw.count(a) >= a.Limit {
		if _, there := r.sw.tables.flows.Find(f.Key()); !there {
			took.Note = "not learned: the limit is reached"
			r.note(step, took)
			return nil
		}
	}
	r.sw.install(f)
	r.note(step, took)
	return nil
}

// count is how many flows a learn action has made.
func (s *Switch) count(a openflow.ActionLearn) (n uint32) {
	for _, f := range s.tables.flows {
		if f.Table == a.Table && f.Cookie == a.Cookie {
			n++
		}
	}
	return n
}

// fieldOf is the match of a part of a field on a right-aligned value.
func fieldOf(s openflow.Subfield, v value) (flow.Field, error) {
	id := s.Field.InMatch()
	n := id.Len()
	bytes, mask := make([]byte, n), make([]byte, n)
	for i := range int(s.Bits) {
		at := int(s.Offset) + i
		mask[n-1-at/8] |= 1 << (at % 8)
		if v[15-i/8]>>(i%8)&1 != 0 {
			bytes[n-1-at/8] |= 1 << (at % 8)
		}
	}
	if int(s.Bits) == 8*n {
		mask = nil
	}
	f, err := flow.NewField(id, bytes, mask)
	if err != nil {
		return f, fmt.Errorf("%w: learning a match: %w", ErrUnsupported, err)
	}
	return f, nil
}
