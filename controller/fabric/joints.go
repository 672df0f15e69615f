package fabric

import (
	"maps"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// A bridge that is not ours does not pass on the frames by which links are found. So ports that lead to no other
// switch send others, too, which it does. Where one comes in by another port, a bridge joins the two:
// both lead to the same stations, and frames may go round by it. Of the ports that one bridge joins
// only so many are open as close no circle with the tree.
//
// Some bridges pass on the others, too. To two ports these are a cable, but several make a crowd at one wire,
// of which each hears the others by turns. That is no link either.

// jointFor is how long it is believed that a bridge joins two ports.
const jointFor = 3*pauseEdge + late

// joined takes down that a frame which left by one port came in by another, by a bridge that is
// not ours.
func (m *Map) joined(now time.Time, at, from End, touched intent.Touched) Verdict {
	if l := m.ends[at]; l != nil && l == m.ends[from] {
		return Heard // by the cable itself
	}
	if m.ends[at] != nil || m.ends[from] != nil {
		return Shared
	}
	pair := Between(at, from)
	last, known := m.joints[pair]
	m.joints[pair] = now
	if known && now.Sub(last) < jointFor {
		return Heard
	}
	m.restrain(now, touched)
	return Joined
}

// hear takes down who was heard at a port. Who is heard again after another was is not alone.
func (p *port) hear(now time.Time, from End) {
	maps.DeleteFunc(p.heard, func(_ End, last time.Time) bool { return now.Sub(last) >= jointFor })
	if _, before := p.heard[from]; before && p.latest != from {
		p.crowded = now
	}
	if p.heard == nil {
		p.heard = map[End]time.Time{}
	}
	p.heard[from], p.latest = now, from
}

// crowded reports whether a port is at a wire with several others.
func (m *Map) crowded(now time.Time, p *port) bool { return now.Sub(p.crowded) < jointFor }

// dissolve makes of the link of a port, which has turned out to be a crowd, ports that a bridge joins.
func (m *Map) dissolve(now time.Time, e End, touched intent.Touched) {
	l := m.ends[e]
	if l == nil {
		return
	}
	m.remove(now, l, touched)
	m.joints[l.Link] = now
	for _, end := range []End{l.A, l.B} {
		delete(m.last, end) // it leads to stations, for all that is known
		if p := m.at(end); p != nil {
			p.crowded = now
		}
	}
}

// doubt shuts a port without a link until it is clear whether it has one with a port that has another still.
func (m *Map) doubt(now time.Time, e End, touched intent.Touched) {
	if m.ends[e] != nil {
		return
	}
	p := m.at(e)
	p.rival = now
	if p.edge {
		p.edge = false
		touched[e.DPID] = struct{}{}
	}
}

// unjoin forgets what joins a port to others, as it has lost its carrier or is one of a link.
func (m *Map) unjoin(e End) {
	maps.DeleteFunc(m.joints, func(l Link, _ time.Time) bool { return l.A == e || l.B == e })
}

// rejoin says that what nobody could hear while a switch was away is not over.
func (m *Map) rejoin(now time.Time, e End) {
	for l := range m.joints {
		if l.A == e || l.B == e {
			m.joints[l] = now
		}
	}
}

// restrain shuts ports that lead to stations until frames do not go round by bridges that are not
// ours.
func (m *Map) restrain(now time.Time, touched intent.Touched) {
	for _, e := range m.surplus(now, End{}) {
		m.nodes[e.DPID].ports[e.Port].edge = false
		touched[e.DPID] = struct{}{}
	}
}

// spared reports whether a port must not pass frames, as others of the same bridge do.
func (m *Map) spared(now time.Time, e End) bool {
	return slices.Contains(m.surplus(now, e), e)
}

// surplus returns the ports that close a circle with the tree and those before them. more is a port
// that is not open yet and would like to be; or none.
func (m *Map) surplus(now time.Time, more End) (surplus []End) {
	// What was heard too long ago is over, unless a switch is away that would have to be heard.
	maps.DeleteFunc(m.joints, func(l Link, last time.Time) bool { return now.Sub(last) >= jointFor && m.here(l.A) && m.here(l.B) })
	if len(m.joints) == 0 {
		return nil
	}
	whole := parts{}
	for l := range m.tree {
		whole.join(l.A.DPID, l.B.DPID)
	}
	for _, bridge := range m.bridges() {
		// Those of switches that are away cannot be shut, so they come first.
		var list []End
		for _, e := range bridge {
			if n := m.nodes[e.DPID]; n != nil && !n.connected && n.open[e.Port] {
				list = append(list, e)
			}
		}
		for _, e := range bridge {
			if n := m.nodes[e.DPID]; n != nil && n.connected && n.ports[e.Port] != nil && n.ports[e.Port].edge {
				list = append(list, e)
			}
		}
		if slices.Contains(bridge, more) && !slices.Contains(list, more) {
			list = append(list, more)
		}
		for _, e := range list[min(1, len(list)):] {
			if !whole.join(list[0].DPID, e.DPID) && m.nodes[e.DPID].connected {
				surplus = append(surplus, e)
			}
		}
	}
	return surplus
}

// mayServe reports whether a port that leads to stations can be opened without making a loop of what
// may be open, by a bridge that joins it to others.
func (m *Map) mayServe(e End) bool {
	for _, bridge := range m.bridges() {
		if !slices.Contains(bridge, e) {
			continue
		}
		whole := m.open(nil)
		return !slices.ContainsFunc(bridge, func(other End) bool {
			n := m.nodes[other.DPID]
			return other != e && n != nil && n.open[other.Port] && whole.of(other.DPID) == whole.of(e.DPID)
		})
	}
	return true
}

// joinBridges adds to the parts of a fabric what bridges that are not ours connect by ports that may
// be open.
func (m *Map) joinBridges(whole parts) {
	for _, bridge := range m.bridges() {
		var first *End
		for i, e := range bridge {
			switch n := m.nodes[e.DPID]; {
			case n == nil || !n.open[e.Port]:
			case first == nil:
				first = &bridge[i]
			default:
				whole.join(first.DPID, e.DPID)
			}
		}
	}
}

// bridges returns the ports that each bridge joins, in order.
func (m *Map) bridges() (bridges [][]End) {
	at := map[End]int{}
	for _, l := range slices.SortedFunc(maps.Keys(m.joints), Link.Compare) {
		a, hasA := at[l.A]
		b, hasB := at[l.B]
		switch {
		case !hasA && !hasB:
			at[l.A], at[l.B] = len(bridges), len(bridges)
			bridges = append(bridges, []End{l.A, l.B})
		case !hasA:
			at[l.A], bridges[b] = b, append(bridges[b], l.A)
		case !hasB:
			at[l.B], bridges[a] = a, append(bridges[a], l.B)
		case a != b:
			for _, e := range bridges[b] {
				at[e] = a
			}
			bridges[a], bridges[b] = append(bridges[a], bridges[b]...), nil
		}
	}
	for _, bridge := range bridges {
		slices.SortFunc(bridge, End.Compare)
	}
	return bridges
}

// here reports whether the switch of a port is connected.
func (m *Map) here(e End) bool {
	n := m.nodes[e.DPID]
	return n != nil && n.connected
}
