package pipeline

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/flow"
)

// scoped is a member of the scope with a slot.
type scoped struct {
	intent.Member
	scope uint32
}

// emit calls each with all flows of the table.
func (t *Table) emit(v *intent.View, each func(flow.Flow)) {
	emit := t.into(each)
	if t.fixed != nil {
		t.fixed(v, emit)
	}
	parts(v.Ports, v.Setting, t.port, emit)
	parts(v.Networks, v.Setting, t.network, emit)
	for i := range v.Sets {
		for _, f := range t.ofSet(&v.Sets[i]) {
			each(f)
		}
	}
	for i := range v.Scopes {
		t.ofScope(&v.Scopes[i], each)
	}
	parts(v.Prefixes, v.Setting, t.prefix, emit)
	parts(v.Strays, v.Setting, t.stray, emit)
	parts(v.Peers, v.Setting, t.peer, emit)
	parts(v.Blocks, v.Setting, t.block, emit)
	parts(v.Services, v.Setting, t.service, emit)
	parts(v.Probes, v.Setting, t.probe, emit)
	parts(v.Paths, v.Setting, t.path, emit)
	parts(v.Far, v.Setting, t.far, emit)
	parts(v.QoSMarks, v.Setting, t.mark, emit)
	parts(v.QoSSegments, v.Setting, t.marked, emit)
}

// ofSet are the flows of a set, in the order of a flow.Set and none twice.
func (t *Table) ofSet(s *intent.GroupSet) []flow.Flow {
	if t.set == nil || s == nil {
		return nil
	}
	return s.Compiled(t.ID, func() any {
		return collected(func(each func(flow.Flow)) { t.set(s, t.into(each)) })
	}).([]flow.Flow)
}

// ofScope calls each with the flows of the members of a scope.
func (t *Table) ofScope(s *intent.Scope, each func(flow.Flow)) {
	if t.member == nil {
		return
	}
	flows := s.Compiled(t.ID, func() any {
		return collected(func(each func(flow.Flow)) {
			for _, m := range s.Members {
				t.member(&scoped{m, s.Slot}, t.into(each))
			}
		})
	})
	for _, f := range flows.([]flow.Flow) {
		each(f)
	}
}

// collected are flows in the order of a flow.Set, and none twice.
func collected(of func(each func(flow.Flow))) (flows []flow.Flow) {
	of(func(f flow.Flow) { flows = append(flows, f) })
	slices.SortFunc(flows, flow.Compare)
	return slices.Clip(slices.Compact(flows))
}

func parts[T any](list []T, in intent.Setting, flows func(intent.Setting, *T, emitFunc), emit emitFunc) {
	if flows != nil {
		for i := range list {
			flows(in, &list[i], emit)
		}
	}
}

// Change returns how the flows of a switch change with its view: those that go
// and those that come, some of which may be equal. It costs as much as the
// parts that differ. It is not ok, and all is to be compiled anew, if these do
// not tell everything.
func Change(before, after *intent.View) (gone, come flow.Set, ok bool) {
	if before.Setting != after.Setting {
		return nil, nil, false
	}
	c := changes{in: after.Setting, tables: Tables()}
	if !slices.Equal(before.Free, after.Free) || !slices.Equal(before.Shut, after.Shut) || !slices.Equal(before.Links, after.Links) {
		c.fixed(before, after)
	}
	differ(before.Ports, after.Ports, (*intent.LocalPort).Compare, (*intent.LocalPort).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.LocalPort, emitFunc) { return t.port }))
	differ(before.Networks, after.Networks, func(n, m *intent.LocalNetwork) int { return cmp.Compare(n.VNI, m.VNI) }, (*intent.LocalNetwork).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.LocalNetwork, emitFunc) { return t.network }))
	differ(before.Sets, after.Sets, func(s, o *intent.GroupSet) int { return cmp.Compare(s.Slot, o.Slot) }, (*intent.GroupSet).Equal,
		c.sets)
	differ(before.Prefixes, after.Prefixes, func(p, q *intent.Prefix) int { return cmp.Compare(p.Slot, q.Slot) }, equal[intent.Prefix],
		of(&c, func(t *Table) func(intent.Setting, *intent.Prefix, emitFunc) { return t.prefix }))
	differ(before.Strays, after.Strays, func(s, o *intent.Stray) int { return cmp.Compare(s.Num, o.Num) }, equal[intent.Stray],
		of(&c, func(t *Table) func(intent.Setting, *intent.Stray, emitFunc) { return t.stray }))
	differ(before.Peers, after.Peers, func(p, q *intent.Peer) int { return cmp.Compare(p.Slot, q.Slot) }, equal[intent.Peer],
		of(&c, func(t *Table) func(intent.Setting, *intent.Peer, emitFunc) { return t.peer }))
	differ(before.Blocks, after.Blocks, func(a, b *intent.Block) int { return cmp.Compare(a.Num, b.Num) },
		func(a, b *intent.Block) bool { return a.MAC == b.MAC && a.At == b.At },
		of(&c, func(t *Table) func(intent.Setting, *intent.Block, emitFunc) { return t.block }))
	differ(before.Services, after.Services, (*intent.Service).Compare, (*intent.Service).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.Service, emitFunc) { return t.service }))
	differ(before.Probes, after.Probes, (*intent.Probe).Compare, equal[intent.Probe],
		of(&c, func(t *Table) func(intent.Setting, *intent.Probe, emitFunc) { return t.probe }))
	differ(before.Paths, after.Paths, func(p, q *intent.Path) int { return cmp.Compare(p.Slot, q.Slot) }, (*intent.Path).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.Path, emitFunc) { return t.path }))
	differ(before.Far, after.Far, func(p, q *intent.FarPort) int { return cmp.Compare(p.Num, q.Num) }, equal[intent.FarPort],
		of(&c, func(t *Table) func(intent.Setting, *intent.FarPort, emitFunc) { return t.far }))
	differ(before.QoSMarks, after.QoSMarks, func(m, n *intent.QoSMark) int { return cmp.Compare(m.Policy, n.Policy) }, equal[intent.QoSMark],
		of(&c, func(t *Table) func(intent.Setting, *intent.QoSMark, emitFunc) { return t.mark }))
	differ(before.QoSSegments, after.QoSSegments, func(g, h *intent.MarkedSegment) int { return cmp.Compare(g.Num, h.Num) }, equal[intent.MarkedSegment],
		of(&c, func(t *Table) func(intent.Setting, *intent.MarkedSegment, emitFunc) { return t.marked }))
	c.members(before.Scopes, after.Scopes)

	var err error
	if gone, err = flow.NewSet(c.gone); err == nil {
		come, err = flow.NewSet(c.come)
	}
	return gone, come, err == nil
}

// changes collects flows.
type changes struct {
	in         intent.Setting
	tables     []Table
	gone, come []flow.Flow
}

// fixed collects the flows of the switch.
func (c *changes) fixed(before, after *intent.View) {
	for i := range c.tables {
		if t := &c.tables[i]; t.fixed != nil {
			t.fixed(before, t.into(c.goes))
			t.fixed(after, t.into(c.comes))
		}
	}
}

func (c *changes) goes(f flow.Flow)  { c.gone = append(c.gone, f) }
func (c *changes) comes(f flow.Flow) { c.come = append(c.come, f) }

// differ calls collect with the parts that are in one list only, or differ: nil stands
// for what is in the other only. Lists are sorted by order, with no two that are the same
// in it. Views share what has not changed, so mostly they are the same list.
func differ[T any](before, after []T, order func(a, b *T) int, equal func(a, b *T) bool, collect func(was, is *T)) {
	if len(before) == len(after) && unsafe.SliceData(before) == unsafe.SliceData(after) {
		return
	}
	for len(before) > 0 || len(after) > 0 {
		at := 0
		switch {
		case len(before) == 0:
			at = 1
		case len(after) == 0:
			at = -1
		default:
			at = order(&before[0], &after[0])
		}
		switch {
		case at < 0:
			collect(&before[0], nil)
		case at > 0:
			collect(nil, &after[0])
		case !equal(&before[0], &after[0]):
			collect(&before[0], &after[0])
		}
		if at <= 0 {
			before = before[1:]
		}
		if at >= 0 {
			after = after[1:]
		}
	}
}

// of collects all flows of parts, by the function of each table that knows the setting.
func of[T any](c *changes, function func(*Table) func(intent.Setting, *T, emitFunc)) func(was, is *T) {
	return func(was, is *T) {
		for i := range c.tables {
			t := &c.tables[i]
			flows := function(t)
			if flows != nil && was != nil {
				flows(c.in, was, t.into(c.goes))
			}
			if flows != nil && is != nil {
				flows(c.in, is, t.into(c.comes))
			}
		}
	}
}

// sets collects the flows of a set that differ. A rule more or less is little of a set, and
// there may be many switches that have it.
func (c *changes) sets(was, is *intent.GroupSet) {
	for i := range c.tables {
		t := &c.tables[i]
		differ(t.ofSet(was), t.ofSet(is), func(f, g *flow.Flow) int { return flow.Compare(*f, *g) }, equal[flow.Flow], func(was, is *flow.Flow) {
			if was != nil {
				c.goes(*was)
			}
			if is != nil {
				c.comes(*is)
			}
		})
	}
}

func equal[T comparable](a, b *T) bool { return *a == *b }

// members collects the flows of the members that changed.
func (c *changes) members(before, after []intent.Scope) {
	slots := map[uint32][2][]intent.Member{}
	for _, scope := range before {
		slots[scope.Slot] = [2][]intent.Member{scope.Members, nil}
	}
	for _, scope := range after {
		slots[scope.Slot] = [2][]intent.Member{slots[scope.Slot][0], scope.Members}
	}
	for slot, lists := range slots {
		differ(lists[0], lists[1], func(m, n *intent.Member) int { return m.Prefix.Compare(n.Prefix) }, equal[intent.Member],
			of(c, func(t *Table) func(intent.Setting, *intent.Member, emitFunc) {
				if t.member == nil {
					return nil
				}
				return func(_ intent.Setting, m *intent.Member, emit emitFunc) { t.member(&scoped{*m, slot}, emit) }
			}))
	}
}
