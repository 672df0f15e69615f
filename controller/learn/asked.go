package learn

import (
	"maps"
	"slices"
	"time"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

const (
	// remembered is how long a question that nobody could answer is kept. The frame that it
	// is about was flooded, and what the station says to that makes it known.
	remembered = 2 * time.Second
	// mostAsked bounds the questions: who makes up addresses asks 500 of them in a second
	// and switch.
	mostAsked = 4096
)

// asked are the questions for stations that nobody knew, by who asked.
type asked struct {
	by    map[mac.Addr]map[intent.DPID]time.Time
	order []question // oldest first; some are answered
}

type question struct {
	mac  mac.Addr
	from intent.DPID
	at   time.Time
}

// put keeps a question, if there is room.
func (q *asked) put(now time.Time, from intent.DPID, a mac.Addr) {
	q.expire(now)
	if _, there := q.by[a][from]; there || len(q.order) == mostAsked {
		return
	}
	if q.by[a] == nil {
		q.by[a] = map[intent.DPID]time.Time{}
	}
	q.by[a][from] = now
	q.order = append(q.order, question{a, from, now})
}

// take returns who asked for a station that is known now, in order.
func (q *asked) take(now time.Time, a mac.Addr) []intent.DPID {
	q.expire(now)
	by := q.by[a]
	delete(q.by, a)
	return slices.Sorted(maps.Keys(by))
}

func (q *asked) expire(now time.Time) {
	for len(q.order) > 0 && now.Sub(q.order[0].at) >= remembered {
		old := q.order[0]
		q.order = q.order[1:]
		if by := q.by[old.mac]; by[old.from].Equal(old.at) {
			delete(by, old.from)
			if len(by) == 0 {
				delete(q.by, old.mac)
			}
		}
	}
}
