package ovsdb

import (
	"cmp"
	"maps"
	"slices"
	"sort"
)

// Changes tell what is different from what Watch has shown before; the first
// ones tell of everything. They are valid until the function that they were
// given to returns.
type Changes struct {
	// Interfaces that came to a bridge, changed there or left it, by name.
	Interfaces []InterfaceChange
	// Tables are the names of all tables with rows that changed, Interface
	// included, sorted. Where an interface is depends on Port and Bridge too.
	Tables []string

	r *replica
}

// InterfaceChange is the change of an interface that is on a bridge, or was.
// What Before and After point to is shared and must not be changed.
type InterfaceChange struct {
	Before, After        *Interface // nil if it was, or is, on no bridge
	BridgeBefore, Bridge UUID
}

// Snapshot is the whole state. It may be newer than the changes; then others
// follow, and tell of that.
func (c Changes) Snapshot() Snapshot { return c.r.snapshot() }

// changes takes what changed since it was called last.
func (r *replica) changes() Changes {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Changes{Tables: slices.Sorted(maps.Keys(r.unseen.tables)), r: r}
	for id, before := range r.unseen.interfaces {
		if after := r.interfacePlace(id); after != before {
			c.Interfaces = append(c.Interfaces, InterfaceChange{before.row, after.row, before.bridge, after.bridge})
		}
	}
	slices.SortFunc(c.Interfaces, func(x, y InterfaceChange) int { return interfaceOrder(x.row(), y.row()) })
	r.unseen = newJournal()
	return c
}

func (c InterfaceChange) row() *Interface {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Orders of what a Snapshot lists. Names are unique, but a server might lie.
func interfaceOrder(x, y *Interface) int {
	return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.UUID, y.UUID))
}

func portOrder(x, y *Port) int {
	return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.UUID, y.UUID))
}

func controllerOrder(x, y Controller) int {
	return cmp.Or(cmp.Compare(x.Target, y.Target), cmp.Compare(x.UUID, y.UUID))
}

// snapshot is the state as it is now.
func (r *replica) snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shown == nil {
		r.shown, r.undone = &Snapshot{}, r.everything()
	}
	if len(r.undone.tables) == 0 {
		return *r.shown
	}
	s := *r.shown
	changed := r.undone.tables
	if changed[r.system.name] {
		bridges, qos, queues, managers := s.Bridges, s.QoS, s.Queues, s.Managers
		s = Snapshot{Bridges: bridges, QoS: qos, Queues: queues, Managers: managers}
		for id, row := range r.system.rows { // there is one
			s.Root, s.OVSVersion, s.ExternalIDs, s.DatapathTypes = id, row.version, row.externalIDs, row.datapathTypes
			s.SystemID, s.Hostname = row.externalIDs["system-id"], row.externalIDs["hostname"]
			s.NextCfg, s.CurCfg = row.nextCfg, row.curCfg
		}
	}
	if changed[r.bridges.name] || changed[r.ports.name] || changed[r.interfaces.name] || changed[r.controllers.name] {
		s.Bridges = r.shownBridges()
	}
	if changed[r.qos.name] {
		s.QoS = r.qos.sorted(func(x, y QoS) int { return cmp.Compare(x.UUID, y.UUID) })
	}
	if changed[r.queues.name] {
		s.Queues = r.queues.sorted(func(x, y Queue) int { return cmp.Compare(x.UUID, y.UUID) })
	}
	if changed[r.managers.name] {
		s.Managers = r.managers.sorted(func(x, y Manager) int {
			return cmp.Or(cmp.Compare(x.Target, y.Target), cmp.Compare(x.UUID, y.UUID))
		})
	}
	r.undone, r.shown = newJournal(), &s
	return s
}

// shownBridges are the bridges of the last snapshot with what changed since.
func (r *replica) shownBridges() []Bridge {
	before := map[UUID]Bridge{}
	for _, b := range r.shown.Bridges {
		before[b.UUID] = b
	}
	ports := edits(r.undone.ports, r.portPlace)
	interfaces := edits(r.undone.interfaces, r.interfacePlace)
	var list []Bridge
	for id, row := range r.bridges.rows {
		b := row.Bridge
		b.Controllers = before[id].Controllers
		if r.undone.bridges[id] || r.undone.tables[r.controllers.name] {
			b.Controllers = nil
			for _, c := range row.controllers {
				if c := r.controllers.rows[c]; c != nil {
					b.Controllers = append(b.Controllers, *c)
				}
			}
			slices.SortFunc(b.Controllers, controllerOrder)
		}
		b.Ports = splice(before[id].Ports, ports[id], portOrder)
		b.Interfaces = splice(before[id].Interfaces, interfaces[id], interfaceOrder)
		list = append(list, b)
	}
	slices.SortFunc(list, func(x, y Bridge) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.UUID, y.UUID)) })
	return list
}

// An edit takes an element out of a sorted list, or puts one in.
type edit[T any] struct {
	row  *T
	gone bool
}

// edits are, by bridge, what has to be done to its lists.
func edits[T any](before map[UUID]place[T], now func(UUID) place[T]) map[UUID][]edit[T] {
	m := map[UUID][]edit[T]{}
	for id, was := range before {
		is := now(id)
		if was == is {
			continue
		}
		if was.row != nil {
			m[was.bridge] = append(m[was.bridge], edit[T]{was.row, true})
		}
		if is.row != nil {
			m[is.bridge] = append(m[is.bridge], edit[T]{is.row, false})
		}
	}
	return m
}

// splice returns old with the edits; old stays as it is.
func splice[T any](old []T, edits []edit[T], order func(x, y *T) int) []T {
	if len(edits) == 0 {
		return old
	}
	slices.SortFunc(edits, func(x, y edit[T]) int {
		c := order(x.row, y.row)
		switch {
		case c != 0 || x.gone == y.gone:
			return c
		case x.gone: // the old one goes before the new one comes
			return -1
		}
		return 1
	})
	list := make([]T, 0, len(old)+len(edits))
	for _, e := range edits {
		i := sort.Search(len(old), func(i int) bool { return order(&old[i], e.row) >= 0 })
		list = append(list, old[:i]...)
		old = old[i:]
		if !e.gone {
			list = append(list, *e.row)
		} else if len(old) > 0 && order(&old[0], e.row) == 0 {
			old = old[1:]
		}
	}
	list = append(list, old...)
	if len(list) == 0 {
		return nil
	}
	return list
}
