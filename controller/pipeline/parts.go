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
		t.ofSet(&v.Sets[i], each)
	}
	for i := range v.Scopes {
		t.ofScope(&v.Scopes[i], each)
	}
	parts(v.Prefixes, v.Setting, t.prefix, emit)
	parts(v.Strays, v.Setting, t.stray, emit)
	parts(v.Peers, v.Setting, t.peer, emit)
}

// ofSet calls each with the flows of a set.
func (t *Table) ofSet(s *intent.GroupSet, each func(flow.Flow)) {
	if t.set == nil {
		return
	}
	forEach(s.Compiled(t.ID, func() any {
		return collected(func(each func(flow.Flow)) { t.set(s, t.into(each)) })
	}), each)
}

// ofScope calls each with the flows of the members of a scope.
func (t *Table) ofScope(s *intent.Scope, each func(flow.Flow)) {
	if t.member == nil {
		return
	}
	forEach(s.Compiled(t.ID, func() any {
		return collected(func(each func(flow.Flow)) {
			for _, m := range s.Members {
				t.member(&scoped{m, s.Slot}, t.into(each))
			}
		})
	}), each)
}

func collected(of func(each func(flow.Flow))) (flows []flow.Flow) {
	of(func(f flow.Flow) { flows = append(flows, f) })
	return slices.Clip(flows)
}

func forEach(flows any, each func(flow.Flow)) {
	for _, f := range flows.([]flow.Flow) {
		each(f)
	}
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
	if !slices.Equal(before.Free, after.Free) || !slices.Equal(before.Shut, after.Shut) {
		c.fixed(before, after)
	}
	differ(&c, before.Ports, after.Ports, (*intent.LocalPort).Compare, (*intent.LocalPort).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.LocalPort, emitFunc) { return t.port }))
	differ(&c, before.Networks, after.Networks, func(n, m *intent.LocalNetwork) int { return cmp.Compare(n.VNI, m.VNI) }, (*intent.LocalNetwork).Equal,
		of(&c, func(t *Table) func(intent.Setting, *intent.LocalNetwork, emitFunc) { return t.network }))
	differ(&c, before.Sets, after.Sets, func(s, o *intent.GroupSet) int { return cmp.Compare(s.Slot, o.Slot) }, (*intent.GroupSet).Equal,
		(*Table).ofSet)
	differ(&c, before.Prefixes, after.Prefixes, func(p, q *intent.Prefix) int { return cmp.Compare(p.Slot, q.Slot) }, equal[intent.Prefix],
		of(&c, func(t *Table) func(intent.Setting, *intent.Prefix, emitFunc) { return t.prefix }))
	differ(&c, before.Strays, after.Strays, func(s, o *intent.Stray) int { return cmp.Compare(s.Num, o.Num) }, equal[intent.Stray],
		of(&c, func(t *Table) func(intent.Setting, *intent.Stray, emitFunc) { return t.stray }))
	differ(&c, before.Peers, after.Peers, func(p, q *intent.Peer) int { return cmp.Compare(p.Slot, q.Slot) }, equal[intent.Peer],
		of(&c, func(t *Table) func(intent.Setting, *intent.Peer, emitFunc) { return t.peer }))
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

// differ collects the flows of the parts that are in one list only, or differ.
// Lists are sorted by order, with no two that are the same in it. Views share
// what has not changed, so mostly they are the same list.
func differ[T any](c *changes, before, after []T, order func(a, b *T) int, equal func(a, b *T) bool, flows func(t *Table, part *T, each func(flow.Flow))) {
	if len(before) == len(after) && unsafe.SliceData(before) == unsafe.SliceData(after) {
		return
	}
	collect := func(part *T, each func(flow.Flow)) {
		for i := range c.tables {
			flows(&c.tables[i], part, each)
		}
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
		if at < 0 || at == 0 && !equal(&before[0], &after[0]) {
			collect(&before[0], c.goes)
		}
		if at > 0 || at == 0 && !equal(&before[0], &after[0]) {
			collect(&after[0], c.comes)
		}
		if at <= 0 {
			before = before[1:]
		}
		if at >= 0 {
			after = after[1:]
		}
	}
}

// of makes differ call the function of a table that knows the setting.
func of[T any](c *changes, function func(*Table) func(intent.Setting, *T, emitFunc)) func(*Table, *T, func(flow.Flow)) {
	return func(t *Table, part *T, each func(flow.Flow)) {
		if flows := function(t); flows != nil {
			flows(c.in, part, t.into(each))
		}
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
		was, is := lists[0], lists[1]
		differ(c, was, is, func(m, n *intent.Member) int { return m.Prefix.Compare(n.Prefix) }, equal[intent.Member],
			func(t *Table, m *intent.Member, each func(flow.Flow)) {
				if t.member != nil {
					t.member(&scoped{*m, slot}, t.into(each))
				}
			})
	}
}
