package flow

import (
	"cmp"
	"slices"
	"strings"
)

// Plan is what turns one set of flows into another.
type Plan struct {
	Delete []Flow
	// Add includes flows that replace one with the same key.
	Add []Flow
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Delete) == 0 && len(p.Add) == 0 }

// Diff returns the plan that turns actual into desired. It is sorted so that a
// switch without bundles passes through sensible states: flows are added from the last
// table to the first and within a table by falling priority, so that packets enter only where the
// rest is in place, and deleted the other way round.
func Diff(actual, desired map[Key]Flow) Plan {
	var p Plan
	for key, want := range desired {
		if have, ok := actual[key]; !ok || have != want {
			p.Add = append(p.Add, want)
		}
	}
	for key, have := range actual {
		if _, ok := desired[key]; !ok {
			p.Delete = append(p.Delete, have)
		}
	}
	slices.SortFunc(p.Add, func(a, b Flow) int { return compare(b, a) })
	slices.SortFunc(p.Delete, compare)
	return p
}

func compare(a, b Flow) int {
	return cmp.Or(
		cmp.Compare(a.Table, b.Table), cmp.Compare(a.Priority, b.Priority), strings.Compare(string(a.Match), string(b.Match)))
}
