package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Set is a set of flows with different keys, sorted by table, priority and
// match. It is a slice and no map, since a map would hold the key of every flow
// twice and leave room for others: a flow costs what its two strings hold and
// 56 bytes.
type Set []Flow

// ClashError is two different flows with the same key.
type ClashError struct {
	A, B Flow
}

func (e *ClashError) Error() string {
	return fmt.Sprintf("flow: two flows for one key:\n%s\n%s", e.A, e.B)
}

// NewSet makes a Set of flows, which it takes over and sorts. Repetitions are
// left out. Different flows with the same key are a *ClashError.
func NewSet(flows []Flow) (Set, error) {
	slices.SortFunc(flows, Compare)
	kept := flows[:0]
	for _, f := range flows {
		if n := len(kept); n > 0 && Compare(kept[n-1], f) == 0 {
			if kept[n-1] != f {
				return nil, &ClashError{kept[n-1], f}
			}
			continue
		}
		kept = append(kept, f)
	}
	clear(flows[len(kept):])
	return Set(kept), nil
}

// Find returns the flow with the given key.
func (s Set) Find(k Key) (Flow, bool) {
	i, ok := slices.BinarySearchFunc(s, k, func(f Flow, k Key) int {
		return cmp.Or(cmp.Compare(f.Table, k.Table), cmp.Compare(f.Priority, k.Priority), strings.Compare(string(f.Match), string(k.Match)))
	})
	if !ok {
		return Flow{}, false
	}
	return s[i], true
}

// Compare is the order of a Set: by table, priority and match.
func Compare(a, b Flow) int {
	if a.Table != b.Table {
		return int(a.Table) - int(b.Table)
	}
	if a.Priority != b.Priority {
		return int(a.Priority) - int(b.Priority)
	}
	return strings.Compare(string(a.Match), string(b.Match))
}

// State is what a switch holds, or should hold.
type State struct {
	Flows  Set
	Groups []Group // sorted by id
	Meters []Meter // sorted by id
}
