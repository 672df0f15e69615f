package ovsdb

import (
	"slices"
	"sync"
)

// memory keeps the state of servers that are away, so that they need not send
// it again. The oldest is forgotten for want of room.
type memory struct {
	limit int

	mu   sync.Mutex
	used int
	kept []keptReplica // oldest first
}

type keptReplica struct {
	key   string
	bytes int
	r     *replica
}

// keptCost is what an empty replica takes.
const keptCost = 8 << 10

// keep takes over r, which nobody follows any more.
func (m *memory) keep(key string, r *replica) {
	bytes := r.release()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
	if bytes+keptCost > m.limit {
		return
	}
	for m.used+bytes+keptCost > m.limit {
		m.drop(m.kept[0].key)
	}
	m.used += bytes + keptCost
	m.kept = append(m.kept, keptReplica{key, bytes, r})
}

// take gives back what was kept by that key, if there is something and grow
// has room for it.
func (m *memory) take(key string, grow func(int) error) *replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.drop(key)
	if k.r == nil || grow(k.bytes) != nil {
		return nil
	}
	k.r.adopt(k.bytes, grow)
	return k.r
}

func (m *memory) drop(key string) keptReplica {
	i := slices.IndexFunc(m.kept, func(k keptReplica) bool { return k.key == key })
	if i < 0 {
		return keptReplica{}
	}
	k := m.kept[i]
	m.kept = slices.Delete(m.kept, i, i+1)
	m.used -= k.bytes + keptCost
	return k
}
