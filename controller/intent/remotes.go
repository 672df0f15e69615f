package intent

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Rules that name a group as remote are about the address of the other side.
// The groups that the rules of a set of security groups name are its scope, and
// all addresses that are in the same ones of these are a class: so an address
// costs one flow for each scope, whatever the number of rules, and a rule one
// for each class. Whoever joins or leaves a group changes classes; no rule changes with him.

// Scope is a set of remote groups and address groups.
type Scope struct {
	Slot uint32
	// Members are sorted by prefix, one before those within it. They are shared by
	// all views and not to be changed.
	Members []Member

	memo *memo
}

// Member is a prefix whose addresses, but for those of longer ones, are of a
// class.
type Member struct {
	Prefix netip.Prefix
	Class  uint32 // never 0
}

// scope is a Scope before it has a slot.
type scope struct {
	remotes []string // ids, sorted
	nums    []uint32 // of those that are security groups
	members []Member
	memo    *memo
	classes map[remote][]uint32 // sorted
}

// remote is the part of a group that is of one family.
type remote struct {
	id     string
	family EtherType
}

// scopes holds those that views have asked for. Unlike the rest of State it
// locks: views are made by several at a time.
type scopes struct {
	mu    sync.Mutex
	known map[string]*scope              // by the ids of the remotes, joined
	with  map[string]map[string]struct{} // keys by remote
}

func newScopes() *scopes {
	return &scopes{known: map[string]*scope{}, with: map[string]map[string]struct{}{}}
}

// forget drops the scopes with a remote, whose members have changed.
func (c *scopes) forget(remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.with[remote] {
		for _, id := range c.known[key].remotes {
			if id != remote {
				remove(c.with, id, key)
			}
		}
		delete(c.known, key)
	}
	delete(c.with, remote)
}

// scopeOf returns the scope of a set of groups, or nil if no rule of theirs
// names a remote group.
func (s *State) scopeOf(groups []string) *scope {
	var ids []string
	for _, id := range groups {
		for _, r := range s.groups[id].Rules {
			if remote := r.remoteID(); remote != "" {
				ids = append(ids, remote)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	key := strings.Join(ids, " ")
	s.scopes.mu.Lock()
	defer s.scopes.mu.Unlock()
	if c, ok := s.scopes.known[key]; ok {
		return c
	}
	c := s.newScope(ids)
	s.scopes.known[key] = c
	for _, id := range ids {
		insert(s.scopes.with, id, key)
	}
	return c
}

// newScope finds the classes of all addresses of some remotes.
func (s *State) newScope(ids []string) *scope {
	type held struct {
		prefix netip.Prefix
		by     int // index of the remote
	}
	c := &scope{remotes: ids, memo: newMemo(), classes: map[remote][]uint32{}}
	var all []held
	for i, id := range ids {
		for _, prefix := range CompactPrefixes(s.prefixes[id]) {
			all = append(all, held{prefix, i})
		}
		if g, ok := s.groups[id]; ok {
			c.nums = append(c.nums, g.Num)
		}
		for port := range s.inGroup[id] {
			p := s.ports[port]
			for _, ip := range p.FixedIPs {
				all = append(all, held{netip.PrefixFrom(ip.Addr, ip.Addr.BitLen()), i})
			}
			for _, pair := range p.Extras.Pairs {
				for _, prefix := range pair.Prefixes() {
					all = append(all, held{prefix, i})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b held) int { return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(a.by, b.by)) })
	all = slices.Compact(all)

	// Prefixes come after those that they lie in, which are therefore a stack.
	type level struct {
		prefix netip.Prefix
		by     []int
	}
	var within []level
	names := classNames{ids: ids, taken: map[uint32]string{0: ""}, known: map[string]uint32{}}
	for len(all) > 0 {
		prefix := all[0].prefix
		for n := len(within); n > 0 && !(within[n-1].prefix.Overlaps(prefix)); n-- {
			within = within[:n-1]
		}
		var by []int
		if n := len(within); n > 0 {
			by = slices.Clone(within[n-1].by)
		}
		outer := len(by)
		for len(all) > 0 && all[0].prefix == prefix {
			by = append(by, all[0].by)
			all = all[1:]
		}
		slices.Sort(by)
		by = slices.Compact(by)
		within = append(within, level{prefix, by})
		if len(by) == outer {
			continue // says nothing that the wider prefix does not say
		}
		names.add(by)
		c.members = append(c.members, Member{Prefix: prefix})
		names.of = append(names.of, by)
	}
	names.settle()
	for i := range c.members {
		m, by := &c.members[i], names.of[i]
		m.Class = names.known[names.key(by)]
		family := IPv6
		if m.Prefix.Addr().Is4() {
			family = IPv4
		}
		for _, at := range by {
			r := remote{ids[at], family}
			if list := c.classes[r]; len(list) == 0 || list[len(list)-1] != m.Class {
				c.classes[r] = append(list, m.Class)
			}
		}
	}
	for r, list := range c.classes {
		slices.Sort(list)
		c.classes[r] = slices.Compact(list)
	}
	return c
}

// classNames gives classes their numbers. A number follows from the groups
// alone, so that it is the same after any history: else a change of one address
// would send the flows of all again.
type classNames struct {
	ids   []string
	of    [][]int // the remotes of each member
	known map[string]uint32
	taken map[uint32]string
}

func (n *classNames) key(by []int) string {
	if len(by) == 1 {
		return n.ids[by[0]]
	}
	parts := make([]string, len(by))
	for i, at := range by {
		parts[i] = n.ids[at]
	}
	return strings.Join(parts, " ")
}

func (n *classNames) add(by []int) { n.known[n.key(by)] = 0 }

func (n *classNames) settle() {
	for _, key := range slices.Sorted(maps.Keys(n.known)) {
		n.known[key] = freeSlot(hashOf(key), func(slot uint32) bool { _, taken := n.taken[slot]; return taken })
		n.taken[n.known[key]] = key
	}
}

// hashOf is never below 1<<31, where the numbers of groups are.
func hashOf(key string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(key))
	return h.Sum32() | 1<<31
}

func freeSlot(slot uint32, taken func(uint32) bool) uint32 {
	for taken(slot) {
		slot = (slot + 1) | 1<<31
	}
	return slot
}

// addScopes gives every distinct scope of the view a slot, and returns the
// slots by scope.
func (v *View) addScopes(asked map[*scope]bool) map[*scope]uint32 {
	list := slices.SortedFunc(maps.Keys(asked), func(a, b *scope) int { return slices.Compare(a.remotes, b.remotes) })
	slots, used := map[*scope]uint32{nil: 0}, map[uint32]bool{}
	for _, c := range list {
		var slot uint32
		if len(c.remotes) == 1 && len(c.nums) == 1 {
			slot = c.nums[0]
		} else {
			slot = freeSlot(hashOf(strings.Join(c.remotes, " ")), func(slot uint32) bool { return used[slot] })
		}
		used[slot], slots[c] = true, slot
		v.Scopes = append(v.Scopes, Scope{slot, c.members, c.memo})
	}
	slices.SortFunc(v.Scopes, func(a, b Scope) int { return cmp.Compare(a.Slot, b.Slot) })
	return slots
}
