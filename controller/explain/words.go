package explain

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

// tableNames are the names of the tables of the pipeline.
var tableNames = func() map[uint8]string {
	names := map[uint8]string{}
	for _, t := range pipeline.Tables() {
		names[t.ID] = t.Name
	}
	return names
}()

func tableName(id uint8) string {
	if name, ok := tableNames[id]; ok {
		return name
	}
	return fmt.Sprint("table ", id)
}

// hop tells the way through one switch.
func (e *explainer) hop(s *station, t *walk.Trace, l leg) Hop {
	h := Hop{Switch: l.d, Host: s.facts.Hostname, Entry: l.entry, Steps: make([]Step, len(t.Steps))}
	for i := range t.Steps {
		step := &t.Steps[i]
		h.Steps[i] = Step{Table: step.Table, Name: tableName(step.Table), From: step.From, Does: does(s, t, step)}
		if step.Hit {
			h.Steps[i].Flow = step.Flow.String()
			h.Steps[i].Owner.cookie = pipeline.Cookie(step.Flow.Cookie)
		}
	}
	for _, i := range t.Dropped() {
		h.Steps[i].Drops = e.why(s, &t.Steps[i])
	}
	return h
}

// does says in words what a flow did.
func does(at *station, t *walk.Trace, s *walk.Step) string {
	if !s.Hit {
		return "no flow matches"
	}
	var words []string
	if len(s.Clauses) > 0 {
		met := make([]string, len(s.Clauses))
		for i, c := range s.Clauses {
			met[i] = c.Match.String()
		}
		words = append(words, "meets "+strings.Join(met, " and "))
	}
	for _, a := range s.Taken {
		if said := didWhat(at, t, a); said != "" {
			words = append(words, said)
		}
	}
	if len(words) == 0 && tableName(s.Table) == "pins" {
		return "the client has no pin"
	}
	if len(words) == 0 {
		return "drops it"
	}
	return strings.Join(words, "; ")
}

func didWhat(at *station, t *walk.Trace, a walk.Taken) string {
	switch {
	case a.Child >= 0 && a.Child < len(t.Steps):
		to := tableName(t.Steps[a.Child].Table)
		switch t.Steps[a.Child].Via {
		case walk.ViaGoto:
			return "on to " + to
		case walk.ViaCT:
			return "asks the connection tracker, " + a.Note + "; on to " + to
		}
		return "a copy to " + to
	case a.Output >= 0:
		o := t.Outputs[a.Output]
		switch {
		case o.Port == openflow.PortController:
			return "a copy to the controller"
		case o.Port == at.view.Tunnel && at.view.Tunnel != 0:
			return fmt.Sprintf("through the tunnel to %s with VNI %d", o.Tunnel.Dst, o.Tunnel.ID)
		}
		return fmt.Sprint("out by port ", int32(o.Port))
	case strings.HasPrefix(a.Text, "ct("):
		if strings.Contains(a.Text, "commit") {
			return "keeps the connection, " + a.Note + marks(a)
		}
		return "asks the connection tracker, " + a.Note
	case a.Note != "":
		return a.Text + ": " + a.Note
	case strings.HasPrefix(a.Text, "push_vlan"):
		return "puts a VLAN tag on"
	case a.Text == "pop_vlan":
		return "takes the VLAN tag off"
	case len(a.Sets) > 0:
		return sets(a.Sets)
	case strings.HasPrefix(a.Text, "meter:"):
		return "if meter " + strings.TrimPrefix(a.Text, "meter:") + " lets it"
	case strings.HasPrefix(a.Text, "set_queue:"):
		return "into queue " + strings.TrimPrefix(a.Text, "set_queue:")
	case strings.HasPrefix(a.Text, "goto"), strings.HasPrefix(a.Text, "conjunction"):
		return ""
	}
	return a.Text
}

// sets says what fields have become.
func sets(fields []flow.Field) string {
	var words []string
	for _, f := range fields {
		if meaning := pipeline.Meaning(f.ID()); meaning != "" {
			v, _ := f.Uint()
			words = append(words, fmt.Sprintf("%s = %d", meaning, v))
			continue
		}
		words = append(words, strings.Replace(f.String(), "=", " = ", 1))
	}
	return strings.Join(words, ", ")
}

// marks says what a kept connection carries.
func marks(a walk.Taken) string {
	for _, f := range a.Sets {
		if f.ID() == openflow.CTMark {
			v, _ := f.Uint()
			return fmt.Sprintf(", admitted by rule %d", v)
		}
	}
	return ""
}

// destination is where a frame goes, as a table saw it.
func destination(s *walk.Step) mac.Addr {
	v, _ := s.Field(openflow.EthDst)
	return mac.FromBytes([6]byte(v))
}

func source(s *walk.Step) mac.Addr {
	v, _ := s.Field(openflow.EthSrc)
	return mac.FromBytes([6]byte(v))
}

// etherType is what a table saw of the frame's type, in words.
func etherType(s *walk.Step) string {
	v, _ := s.Field(openflow.EthType)
	switch t := binary.BigEndian.Uint16(v); t {
	case 0x0800:
		return "IPv4"
	case 0x86dd:
		return "IPv6"
	case 0x0806:
		return "ARP"
	case 0x8100, 0x88a8:
		return "a VLAN tag"
	default:
		return fmt.Sprintf("ethertype %#04x", t)
	}
}
