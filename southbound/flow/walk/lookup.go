package walk

import (
	"slices"
	"strings"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

// tables are the flows of a switch: sorted by table and priority, and where each
// table begins. There is no other index: a match is compared in its wire form, some
// 20,000 flows in about a millisecond, and there is nothing to build.
type tables struct {
	flows flow.Set
	first [257]int
}

func newTables(flows flow.Set) *tables {
	t := &tables{flows: flows}
	at := 0
	for table := range 256 {
		t.first[table] = at
		for at < len(flows) && int(flows[at].Table) == table {
			at++
		}
	}
	t.first[256] = at
	return t
}

// found is what a lookup found.
type found struct {
	flow    flow.Flow
	clauses []flow.Flow // that made the conjunction which the flow matches
}

// lookup finds the flow of a table that decides on a packet. Flows of one
// priority that both match are a fault of who made them; the first one counts.
func (t *tables) lookup(p *packet, table uint8) (found, bool, error) {
	p.setNum(openflow.ConjID, 0)
	var soft []flow.Flow // clauses of conjunctions of the present priority
	all := t.flows[t.first[table]:t.first[int(table)+1]]
	for i := len(all) - 1; i >= 0; {
		priority := all[i].Priority
		soft = soft[:0]
		var hard *flow.Flow
		for ; i >= 0 && all[i].Priority == priority; i-- {
			match, err := p.matches(all[i].Match)
			if err != nil {
				return found{}, false, err
			}
			switch {
			case !match:
			case isClause(all[i]):
				soft = append(soft, all[i])
			default:
				hard = &all[i]
			}
		}
		if hard != nil {
			return found{flow: *hard}, true, nil
		}
		if len(soft) > 0 {
			f, ok, err := t.conjoin(p, all, soft)
			if ok || err != nil {
				return f, ok, err
			}
		}
	}
	return found{}, false, nil
}

// conjoin looks the packet up again with the id of the first conjunction of which all
// clauses are met. Clauses of different priorities never make one. As in Open vSwitch, that
// lookup may find any flow, whatever its priority.
func (t *tables) conjoin(p *packet, all, soft []flow.Flow) (found, bool, error) {
	met := map[uint32]uint64{}
	for _, f := range soft {
		for _, c := range clausesOf(f) {
			if c.Clauses == 0 || c.Clauses > 64 || c.Clause >= c.Clauses {
				continue
			}
			met[c.ID] |= 1 << c.Clause
			if met[c.ID] != ^uint64(0)>>(64-c.Clauses) {
				continue
			}
			p.setNum(openflow.ConjID, uint64(c.ID))
			for i := len(all) - 1; i >= 0; i-- {
				match, err := p.matches(all[i].Match)
				if err != nil {
					return found{}, false, err
				}
				if match && !isClause(all[i]) {
					p.setNum(openflow.ConjID, 0)
					f := found{flow: all[i]}
					if without, _ := p.matches(all[i].Match); !without {
						f.clauses = clausesIn(soft, c.ID)
					}
					return f, true, nil
				}
			}
			p.setNum(openflow.ConjID, 0)
			return found{}, false, nil
		}
	}
	return found{}, false, nil
}

// clausesIn are those of the flows that are clauses of a conjunction.
func clausesIn(soft []flow.Flow, id uint32) (list []flow.Flow) {
	for _, f := range soft {
		if slices.ContainsFunc(clausesOf(f), func(c openflow.ActionConjunction) bool { return c.ID == id }) {
			list = append(list, f)
		}
	}
	return list
}

// conjunctionHead is how a conjunction action begins behind its length: Nicira's
// experimenter action 34.
const conjunctionHead = "\xff\xff\x00\x10\x00\x00\x23\x20\x00\x22"

// isClause reports whether a flow is a clause of conjunctions. Such a flow has no
// other actions, so that the first one tells.
func isClause(f flow.Flow) bool {
	return len(f.Instructions) >= 8+len(conjunctionHead) && strings.HasPrefix(string(f.Instructions[8:]), conjunctionHead)
}

func clausesOf(f flow.Flow) (list []openflow.ActionConjunction) {
	ins, err := f.Instructions.List()
	if err != nil {
		return nil
	}
	for _, in := range ins {
		apply, _ := in.(openflow.ApplyActions)
		for _, a := range apply {
			if c, ok := a.(openflow.ActionConjunction); ok {
				list = append(list, c)
			}
		}
	}
	return list
}

// matches reports whether a packet has all fields of a match. It reads the TLVs
// as they are: they are canonical.
func (p *packet) matches(m flow.Match) (bool, error) {
	for len(m) > 0 {
		if len(m) < 4 || len(m) < 4+int(m[3]) {
			return false, unsupported("a match that is none")
		}
		tlv := m[:4+int(m[3])]
		m = m[len(tlv):]
		class := openflow.FieldID(tlv[0])<<8 | openflow.FieldID(tlv[1])
		id, body := class<<16|openflow.FieldID(tlv[2]>>1), string(tlv[4:])
		if class == 0xffff { // of an experimenter: it has a longer head
			known, payload, _ := openflow.FieldOf([]byte(tlv))
			id, body = known, string(payload)
		}
		index := id.Index()
		if index < 0 || !supported[index] {
			return false, unsupported("field " + flow.FieldName(id))
		}
		v, n := &p.v[index], len(body)
		masked := tlv[2]&1 != 0
		if masked {
			n /= 2
		}
		if n > len(v) {
			return false, unsupported("a match that is none")
		}
		for i := range n {
			mask := byte(0xff)
			if masked {
				mask = body[n+i]
			}
			if (v[i]^body[i])&mask != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}
