package northbound

import (
	linked "container/list"
	"sync"
	"time"
)

// limiter lets everyone do something so many times in a second. Of each it
// remembers one moment: when what he has done so far would have been done at
// an even pace. A nil limiter has no limit.
type limiter[K comparable] struct {
	pace  time.Duration // between two at an even pace
	slack time.Duration // how far ahead of that pace anybody may be

	mu   sync.Mutex
	paid map[K]time.Time
	room int // entries that paid may have before it is swept
}

// maxPaid bounds the memory of a limiter.
const maxPaid = 1 << 16

func newLimiter[K comparable](perSecond, burst int) *limiter[K] {
	pace := time.Second / time.Duration(perSecond)
	return &limiter[K]{pace: pace, slack: pace * time.Duration(burst), paid: map[K]time.Time{}, room: maxPaid}
}

// take counts one more of who, and returns how long he has to wait if that is
// too much; it is not counted then.
func (l *limiter[K]) take(who K, now time.Time) (wait time.Duration) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next, wait := l.next(who, now)
	if wait > 0 {
		return wait
	}
	if _, known := l.paid[who]; !known && len(l.paid) >= l.room {
		l.sweep(now)
	}
	l.paid[who] = next
	return 0
}

// full says how long who has to wait before he may do it again.
func (l *limiter[K]) full(who K, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, wait = l.next(who, now)
	return wait
}

func (l *limiter[K]) next(who K, now time.Time) (next time.Time, wait time.Duration) {
	next = l.paid[who]
	if next.Before(now) {
		next = now
	}
	next = next.Add(l.pace)
	return next, next.Sub(now) - l.slack
}

// sweep makes room: what lies in the past says nothing any more. If that is
// not enough, some are let off.
func (l *limiter[K]) sweep(now time.Time) {
	for who, at := range l.paid {
		if !at.After(now) {
			delete(l.paid, who)
		}
	}
	for who := range l.paid {
		if len(l.paid) <= l.room/2 {
			return
		}
		delete(l.paid, who)
	}
}

// cache holds a bounded number of values by the digests of tokens, and forgets
// first what was asked for longest ago.
type cache[V any] struct {
	max int

	mu      sync.Mutex
	entries map[digest]*linked.Element
	order   linked.List // of cached, the latest first
}

type cached[V any] struct {
	key   digest
	value V
}

func newCache[V any](size int) *cache[V] {
	return &cache[V]{max: size, entries: map[digest]*linked.Element{}}
}

func (c *cache[V]) get(key digest) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cached[V]).value, true
}

func (c *cache[V]) put(key digest, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		e.Value = cached[V]{key, v}
		c.order.MoveToFront(e)
		return
	}
	c.entries[key] = c.order.PushFront(cached[V]{key, v})
	if len(c.entries) > c.max {
		last := c.order.Back()
		delete(c.entries, c.order.Remove(last).(cached[V]).key)
	}
}

func (c *cache[V]) remove(key digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		delete(c.entries, key)
		c.order.Remove(e)
	}
}

func (c *cache[V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
