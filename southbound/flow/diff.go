package flow

import (
	"cmp"
	"slices"

	"github.com/macloom/macloom/southbound/openflow"
)

// Plan is what turns one state of a switch into another.
type Plan struct {
	AddMeters, ModifyMeters []Meter
	AddGroups, ModifyGroups []Group // those that others need before these
	// Add includes flows that take the place of one with the same key; Replaced are
	// those.
	Add, Replaced []Flow
	Delete        []Flow
	DeleteGroups  []Group // those that need others before these
	DeleteMeters  []Meter
}

// Object is one of what a switch holds: the field that is not nil.
type Object struct {
	Flow  *Flow
	Group *Group
	Meter *Meter
}

func (o Object) String() string {
	switch {
	case o.Flow != nil:
		return "flow " + o.Flow.String()
	case o.Group != nil:
		return "group " + o.Group.String()
	}
	return "meter " + o.Meter.String()
}

// Diff returns the plan that turns actual into desired. It is ordered so that
// nothing refers to what is not there, and so that a switch without bundles passes
// through sensible states: meters and groups come before the flows that use them and go
// after them; flows are added from the last table to the first and within a
// table by falling priority, so that packets enter only where the rest is in place, and
// deleted the other way round.
func Diff(actual, desired State) Plan {
	var p Plan
	walk(actual.Meters, desired.Meters, func(a, b Meter) int { return cmp.Compare(a.ID, b.ID) },
		func(have, want *Meter) {
			switch {
			case have == nil:
				p.AddMeters = append(p.AddMeters, *want)
			case want == nil:
				p.DeleteMeters = append(p.DeleteMeters, *have)
			default:
				p.ModifyMeters = append(p.ModifyMeters, *want)
			}
		})
	walk(actual.Groups, desired.Groups, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) },
		func(have, want *Group) {
			switch {
			case have == nil:
				p.AddGroups = append(p.AddGroups, *want)
			case want == nil:
				p.DeleteGroups = append(p.DeleteGroups, *have)
			default:
				p.ModifyGroups = append(p.ModifyGroups, *want)
			}
		})
	p.AddGroups = neededFirst(p.AddGroups)
	p.DeleteGroups = neededFirst(p.DeleteGroups)
	slices.Reverse(p.DeleteGroups)
	walk(actual.Flows, desired.Flows, Compare, func(have, want *Flow) {
		if want == nil {
			p.Delete = append(p.Delete, *have)
			return
		}
		p.Add = append(p.Add, *want)
		if have != nil {
			p.Replaced = append(p.Replaced, *have)
		}
	})
	slices.Reverse(p.Add)
	return p
}

// walk visits what differs between two sorted lists: what only one of them has,
// and what both have in different forms.
func walk[T comparable](actual, desired []T, compare func(a, b T) int, visit func(have, want *T)) {
	for len(actual) > 0 || len(desired) > 0 {
		order := 0
		switch {
		case len(actual) == 0:
			order = 1
		case len(desired) == 0:
			order = -1
		default:
			order = compare(actual[0], desired[0])
		}
		switch {
		case order < 0:
			visit(&actual[0], nil)
			actual = actual[1:]
		case order > 0:
			visit(nil, &desired[0])
			desired = desired[1:]
		default:
			if actual[0] != desired[0] {
				visit(&actual[0], &desired[0])
			}
			actual, desired = actual[1:], desired[1:]
		}
	}
}

// neededFirst sorts groups so that one that others send packets on to, or
// watch, comes before these. In a circle, which no switch takes, the order is by id.
func neededFirst(groups []Group) []Group {
	if len(groups) < 2 {
		return groups
	}
	at := make(map[uint32]int, len(groups))
	for i, g := range groups {
		at[g.ID] = i
	}
	sorted := make([]Group, 0, len(groups))
	seen := make([]bool, len(groups))
	var place func(i int)
	place = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		groups[i].needs(func(id uint32) {
			if j, ok := at[id]; ok {
				place(j)
			}
		})
		sorted = append(sorted, groups[i])
	}
	for i := range groups {
		place(i)
	}
	return sorted
}

// Len returns the number of messages of the plan.
func (p *Plan) Len() int {
	return len(p.AddMeters) + len(p.ModifyMeters) + len(p.AddGroups) + len(p.ModifyGroups) +
		len(p.Add) + len(p.Delete) + len(p.DeleteGroups) + len(p.DeleteMeters)
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return p.Len() == 0 }

// Messages returns the messages that carry out the plan, in order.
func (p *Plan) Messages() []openflow.Message {
	msgs := make([]openflow.Message, 0, p.Len())
	for _, m := range p.AddMeters {
		msgs = append(msgs, m.Add())
	}
	for _, m := range p.ModifyMeters {
		msgs = append(msgs, m.Modify())
	}
	for _, g := range p.AddGroups {
		msgs = append(msgs, g.Add())
	}
	for _, g := range p.ModifyGroups {
		msgs = append(msgs, g.Modify())
	}
	for i := range p.Add {
		msgs = append(msgs, p.Add[i].Add())
	}
	for i := range p.Delete {
		msgs = append(msgs, p.Delete[i].DeleteStrict())
	}
	for _, g := range p.DeleteGroups {
		msgs = append(msgs, g.Delete())
	}
	for _, m := range p.DeleteMeters {
		msgs = append(msgs, m.Delete())
	}
	return msgs
}

// Object returns what message i of the plan is about, and whether it removes it.
func (p *Plan) Object(i int) (o Object, removes bool) {
	for _, part := range []struct {
		meters  []Meter
		groups  []Group
		flows   []Flow
		removes bool
	}{
		{meters: p.AddMeters}, {meters: p.ModifyMeters}, {groups: p.AddGroups}, {groups: p.ModifyGroups},
		{flows: p.Add}, {flows: p.Delete, removes: true},
		{groups: p.DeleteGroups, removes: true}, {meters: p.DeleteMeters, removes: true},
	} {
		switch {
		case i < len(part.meters):
			return Object{Meter: &part.meters[i]}, part.removes
		case i < len(part.groups):
			return Object{Group: &part.groups[i]}, part.removes
		case i < len(part.flows):
			return Object{Flow: &part.flows[i]}, part.removes
		}
		i -= len(part.meters) + len(part.groups) + len(part.flows)
	}
	return Object{}, false
}
