package intent

import (
	"maps"
	"slices"
	"sync"
)

// Most changes are about groups: a rule, or a member of a group that others
// name. They reach many switches, and alter next to nothing there. So what a
// view has of ports, networks and hosts is made once and shared by all views
// until a change of these, and so are the rules of a set of groups by the views
// of all switches. Whoever compares two views sees by the memory that two lists
// are the same one.

// layout is the part of a view that no change of a rule or a member alters, as
// long as the sets have the same slots. It is not to be changed.
type layout struct {
	ports []SwitchPort        // of the switch, that it was made for
	sets  map[string][]string // the groups of each set, by its key
	keys  map[string]string   // of the sets, by the ids of the ports that have them
	given map[string]slots    // of the sets and their scopes, by key
	view  View                // all but revision, setting, sets, scopes and blocks
}

// layouts holds those that views have asked for. Like scopes it locks.
type layouts struct {
	mu    sync.Mutex
	known map[DPID]*layout
}

func newLayouts() *layouts { return &layouts{known: map[DPID]*layout{}} }

func (c *layouts) forget(d DPID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, d)
}

func (c *layouts) empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known) == 0
}

// of returns the layout of a switch with these ports, or nil.
func (c *layouts) of(d DPID, ports []SwitchPort) *layout {
	c.mu.Lock()
	l := c.known[d]
	c.mu.Unlock()
	if l == nil || !sameList(l.ports, ports) && !slices.Equal(l.ports, ports) {
		return nil
	}
	return l
}

func (c *layouts) put(d DPID, l *layout) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[d] = l
}

// SameLayout reports whether two views are alike but for what groups and their
// rules say. It may say no of some that are.
func (v *View) SameLayout(w *View) bool {
	return v != nil && w != nil && v.layout != nil && v.layout == w.layout
}

// sameList reports whether two lists are the same memory.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sets holds the rules of the sets of groups that views have asked for. Like
// scopes it locks.
type sets struct {
	mu    sync.Mutex
	known map[string]ruleSet             // by key
	with  map[string]map[string]struct{} // keys by group
}

// ruleSet is what the rules of a set come to in a scope.
type ruleSet struct {
	groups []string
	scope  *scope
	rules  []SetRule
	memo   *memo
}

// memo is where it is kept what was compiled of something that many switches
// share, for the next of them. It goes with what it is about.
type memo struct {
	mu    sync.Mutex
	known map[use]any
}

// use is a table that a part was compiled for, under a slot.
type use struct {
	table uint8
	slot  uint32
}

func newMemo() *memo { return &memo{known: map[use]any{}} }

// of returns what compile has made for a use; m may be nil.
func (m *memo) of(u use, compile func() any) any {
	if m == nil {
		return compile()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	made, ok := m.known[u]
	if !ok {
		made = compile()
		m.known[u] = made
	}
	return made
}

// Compiled returns what compile makes of the set for a table, which must follow
// from the set alone. It may be older, and is not to be changed.
func (s *GroupSet) Compiled(table uint8, compile func() any) any {
	return s.memo.of(use{table, s.Slot}, compile)
}

// Compiled is the same for the members of a scope.
func (s *Scope) Compiled(table uint8, compile func() any) any {
	return s.memo.of(use{table, s.Slot}, compile)
}

func newSets() *sets {
	return &sets{known: map[string]ruleSet{}, with: map[string]map[string]struct{}{}}
}

// forget drops the sets with a group, which has changed.
func (c *sets) forget(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.with[group] {
		c.drop(key)
	}
}

func (c *sets) drop(key string) {
	for _, id := range c.known[key].groups {
		remove(c.with, id, key)
	}
	delete(c.known, key)
}

// groupSet returns the set of groups with a key, under a slot.
func (s *State) groupSet(slot uint32, key string, groups []string, in *scope) GroupSet {
	c := s.sets
	c.mu.Lock()
	defer c.mu.Unlock()
	if set, ok := c.known[key]; ok && set.scope == in {
		return GroupSet{Slot: slot, Rules: set.rules, memo: set.memo}
	}
	c.drop(key)
	set := ruleSet{groups: slices.Clone(groups), scope: in, memo: newMemo()}
	for _, id := range groups {
		g := s.groups[id]
		for _, r := range g.Rules {
			set.rules = append(set.rules, resolve(r, g.Stateless, in))
		}
	}
	slices.SortFunc(set.rules, func(a, b SetRule) int { return int(int64(a.Num) - int64(b.Num)) })
	c.known[key] = set
	for _, id := range groups {
		insert(c.with, id, key)
	}
	return GroupSet{Slot: slot, Rules: set.rules, memo: set.memo}
}

// View computes what the switch d with the given ports has to know. Views
// share memory, which is not to be changed; that of the ports is kept, too.
func (s *State) View(d DPID, ports []SwitchPort, unmanaged Unmanaged) *View {
	l := s.layouts.of(d, ports)
	fresh := l == nil
	if fresh {
		l = s.newLayout(d, ports)
	}
	v := l.view
	given := s.addSets(&v, l.sets)
	if fresh || !maps.Equal(given, l.given) {
		if fresh {
			l.give(given)
		} else {
			l = l.withSlots(given)
		}
		v.Ports, v.Networks = l.view.Ports, l.view.Networks
		if len(s.onSwitch[d]) > 0 { // not of any switch that comes along
			s.layouts.put(d, l)
		}
	}
	v.Revision, v.Unmanaged, v.layout = s.Revision, unmanaged, l
	v.Blocks = s.blocksOn(d)
	return &v
}
