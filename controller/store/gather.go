package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

// Ports that are asked for one at a time cost several times what they cost in a
// list, mostly in PostgreSQL. So while enough transactions of a caller are under
// way, his further requests wait for one of them to end, and those that have
// gathered by then are one transaction. Who asks for one after the other never waits.
const (
	ownTransactions = 2  // of a caller, under way at a time
	gatherMost      = 64 // ports in one transaction
)

// caller is for whom ports are made: his rights, and his name in the records.
type caller struct {
	Scope
	actor string
}

// insertFunc makes ports, all or none.
type insertFunc func(context.Context, Scope, []NewPort) ([]intent.Port, error)

// gathering are the ports that are asked for one at a time. Its zero value is
// ready.
type gathering struct {
	mu     sync.Mutex
	queues map[caller]*queue
}

// queue is what a caller asks for; there is one while a transaction of his is
// under way.
type queue struct {
	underWay int
	waiting  []*portRequest
}

// portRequest is one port that is asked for.
type portRequest struct {
	ctx  context.Context
	port NewPort
	lead chan []*portRequest // it is its turn, to make these, which it is one of
	done chan struct{}       // another has made it; or, without an outcome, tried to together with others
	made *intent.Port
	err  error
}

// create makes a port. Where those that gathered cannot be made together, each
// is made alone, so that an error is that of the port itself.
func (g *gathering) create(ctx context.Context, who caller, p NewPort, insert insertFunc) (intent.Port, error) {
	r := &portRequest{ctx: ctx, port: p, lead: make(chan []*portRequest, 1), done: make(chan struct{})}
	if list := g.enter(who, r); list != nil {
		g.serve(who, list, insert)
	} else {
		select {
		case list := <-r.lead:
			g.serve(who, list, insert)
		case <-r.done:
		case <-ctx.Done():
			if g.withdraw(who, r) {
				return intent.Port{}, mapError(ctx.Err())
			}
			select { // too late
			case list := <-r.lead:
				g.serve(who, list, insert)
			case <-r.done:
			}
		}
	}
	if r.made == nil && r.err == nil {
		r.insert(insert, who.Scope)
	}
	if r.err != nil {
		return intent.Port{}, r.err
	}
	return *r.made, nil
}

// enter says what is to be made at once; nil: the request waits.
func (g *gathering) enter(who caller, r *portRequest) []*portRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queues[who]
	if q == nil {
		if g.queues == nil {
			g.queues = map[caller]*queue{}
		}
		q = &queue{}
		g.queues[who] = q
	}
	if q.underWay == ownTransactions {
		q.waiting = append(q.waiting, r)
		return nil
	}
	q.underWay++
	return []*portRequest{r}
}

// withdraw says whether the request waited still.
func (g *gathering) withdraw(who caller, r *portRequest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queues[who]
	if q == nil {
		return false
	}
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// leave ends a transaction: the first of those that wait has the next one.
func (g *gathering) leave(who caller) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queues[who]
	if len(q.waiting) == 0 {
		if q.underWay--; q.underWay == 0 {
			delete(g.queues, who)
		}
		return
	}
	n := min(len(q.waiting), gatherMost)
	next := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	next[0].lead <- next
}

// serve makes the ports of a list, whose first request is the one that calls.
func (g *gathering) serve(who caller, list []*portRequest, insert insertFunc) {
	defer g.leave(who)
	defer func() { // also when insert panics: nobody may wait for ever
		for _, r := range list[1:] {
			close(r.done)
		}
	}()
	if len(list) == 1 {
		list[0].insert(insert, who.Scope)
		return
	}
	// Nobody's leaving ends what others wait for.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(list[0].ctx), lastDeadline(list))
	defer cancel()
	ports := make([]NewPort, len(list))
	for i, r := range list {
		ports[i] = r.port
	}
	made, err := insert(ctx, who.Scope, ports)
	if err != nil {
		return
	}
	for i, r := range list {
		r.made = &made[i]
	}
}

// lastDeadline is when nobody waits any longer.
func lastDeadline(list []*portRequest) (last time.Time) {
	for _, r := range list {
		at, ok := r.ctx.Deadline()
		if !ok {
			at = time.Now().Add(gatherLimit)
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// gatherLimit ends what callers without a deadline wait for.
const gatherLimit = time.Minute

// insert makes the port alone.
func (r *portRequest) insert(insert insertFunc, sc Scope) {
	made, err := insert(r.ctx, sc, []NewPort{r.port})
	if err != nil {
		r.err = err
		return
	}
	r.made = &made[0]
}
