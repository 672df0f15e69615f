package walk

import (
	"fmt"
	"strings"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// conntrack sends the packet through the tracker, and a copy on to a table.
func (r *run) conntrack(p *packet, a openflow.ActionCT, step int, took Taken) error {
	zone := a.Zone
	if a.ZoneSrc.Bits != 0 {
		v, err := p.bits(a.ZoneSrc)
		if err != nil {
			return err
		}
		zone = be.Uint16(v[14:])
	}
	nat, exec := natOf(a.Exec)
	if a.ALG != 0 || nat != nil && (!understood(nat) || a.Table == openflow.NoTable) {
		return unsupported("action " + took.Text)
	}
	if p.num(openflow.IPFrag) != 0 {
		took.Note = fmt.Sprintf("zone %d: the fragment waits for the rest of its datagram", zone)
		r.note(step, took)
		return nil
	}
	v := r.sw.Conntrack.look(p, zone)
	if a.Commit {
		if v.conn = r.sw.Conntrack.commit(p, zone, a.Force, nat); v.conn != nil {
			if err := r.mark(p, v.conn, exec, step, &took); err != nil {
				return err
			}
		}
	} else if len(exec) > 0 && v.conn != nil {
		if err := r.mark(p, v.conn, exec, step, &took); err != nil {
			return err
		}
	}
	took.Note = fmt.Sprintf("zone %d: %s", zone, stateText(v.state))
	if a.Commit && v.conn == nil {
		took.Note += ", not committed"
	}
	if a.Table == openflow.NoTable {
		r.note(step, took)
		return nil
	}
	if r.recirc >= maxRecirc {
		return fmt.Errorf("%w: through the connection tracker", ErrEndless)
	}
	copied := p.clone()
	copied.show(v, zone)
	if nat != nil && v.conn != nil {
		if err := r.translate(copied, v, &took); err != nil {
			return err
		}
	}
	took.Child = len(r.trace.Steps)
	r.note(step, took)
	// The copy passes the tables anew: what bounds a pass begins again, an exit ends that pass.
	pass := run{sw: r.sw, trace: r.trace, recirc: r.recirc + 1}
	return pass.enter(copied, a.Table, step, ViaCT, copied.num(openflow.InPort))
}

// mark executes on a connection what sets its mark and label.
func (r *run) mark(p *packet, conn *connection, exec []openflow.Action, step int, took *Taken) error {
	scratch := p.clone()
	scratch.setNum(openflow.CTMark, uint64(conn.mark))
	*scratch.get(openflow.CTLabel) = conn.label
	hidden := run{sw: r.sw, trace: &Trace{Steps: []Step{{}}}}
	if err := hidden.actions(scratch, exec, 0); err != nil {
		return err
	}
	for _, done := range hidden.trace.Steps[0].Taken {
		took.Sets = append(took.Sets, done.Sets...)
	}
	conn.mark, conn.label = uint32(scratch.num(openflow.CTMark)), *scratch.get(openflow.CTLabel)
	return nil
}

// stateText writes ct_state like +trk+new.
func stateText(s flow.CTFlags) string {
	var b strings.Builder
	for _, f := range []struct {
		flag flow.CTFlags
		word string
	}{{flow.CTTrk, "trk"}, {flow.CTNew, "new"}, {flow.CTEst, "est"}, {flow.CTRel, "rel"}, {flow.CTRpl, "rpl"}, {flow.CTInv, "inv"}} {
		if s&f.flag != 0 {
			b.WriteString("+" + f.word)
		}
	}
	return b.String()
}
