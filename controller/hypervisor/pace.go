package hypervisor

import "time"

// How often one kind of step may be taken on one host. A set-up needs each
// once or twice; what comes again and again is undone by somebody else, with
// whom we must not race.
const (
	freeSteps  = 2
	firstPause = time.Second
	maxPause   = 5 * time.Minute
	forgiven   = 10 * time.Minute // without a step of the kind, it is as if there had been none
)

// pace says when a kind of step may be taken again.
type pace map[string]*run

type run struct {
	count int
	last  time.Time
}

// wait is how long to wait before the next step of the kind.
func (p pace) wait(kind string, now time.Time) time.Duration {
	r := p[kind]
	if r == nil || r.count < freeSteps {
		return 0
	}
	pause := maxPause
	if n := r.count - freeSteps; n < 10 {
		pause = min(firstPause<<n, maxPause)
	}
	return max(0, r.last.Add(pause).Sub(now))
}

// taken notes a step.
func (p pace) taken(kind string, now time.Time) {
	r := p[kind]
	if r == nil || now.Sub(r.last) > forgiven {
		r = &run{}
		p[kind] = r
	}
	r.count++
	r.last = now
}
