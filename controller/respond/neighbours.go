package respond

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/macloom/macloom/controller/intent"
)

const (
	// settle is how long a flow may take to become effective in the switch.
	// Questions that were on their way before that cause nothing.
	settle = time.Second

	// maxNeighbours bounds the memory and the flow table of one switch. Beyond
	// it, questions go to all of the network.
	maxNeighbours = 1 << 14
)

// Verdict is what a question for a neighbour causes.
type Verdict uint8

// The verdicts.
const (
	Unknown  Verdict = iota // nobody is known to have the address
	Install                 // install the flow that answers it
	OnItsWay                // that flow is on its way to the switch
	Full                    // the switch holds as many as it may
	Virtual                 // it is a virtual address, and answered at once
)

// Verdicts is the number of different ones.
const Verdicts = int(Virtual) + 1

func (v Verdict) String() string {
	return [Verdicts]string{"unknown", "install", "known", "full", "virtual"}[v]
}

// Directory says who has an address.
type Directory interface {
	Neighbour(q intent.Question) (intent.Neighbour, bool)
}

// Neighbours are the answers that one switch gives by itself. It is safe for
// concurrent use.
type Neighbours struct {
	dir Directory

	mu      sync.Mutex
	answers map[intent.Question]answered
	byPort  map[uint32]map[intent.Question]struct{}
}

type answered struct {
	intent.Neighbour
	asked time.Time // when its flow was last asked for
}

// NewNeighbours returns what a switch without flows answers.
func NewNeighbours(dir Directory) *Neighbours {
	return &Neighbours{dir: dir, answers: map[intent.Question]answered{}, byPort: map[uint32]map[intent.Question]struct{}{}}
}

// Asked records that a station has asked for an address and no flow has answered.
// For Install it says who has it.
func (t *Neighbours) Asked(now time.Time, at intent.Question) (Verdict, intent.Neighbour) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The directory is asked while nothing can change here: Recheck, which comes
	// after every change of the directory, then finds what is noted now.
	n, ok := t.dir.Neighbour(at)
	if !ok {
		return Unknown, n
	}
	old, known := t.answers[at]
	switch {
	case known && old.Neighbour == n && now.Sub(old.asked) < settle:
		return OnItsWay, n
	case !known && len(t.answers) >= maxNeighbours:
		return Full, n
	}
	t.put(at, answered{n, now})
	return Install, n
}

// Expired records that the switch has dropped the flow of an address.
func (t *Neighbours) Expired(now time.Time, at intent.Question) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.answers[at]; ok && now.Sub(old.asked) >= settle {
		t.drop(at)
	}
}

// Recheck judges the answers about a port anew, whose addresses may have
// changed, and returns those that are no longer true, which it forgets.
func (t *Neighbours) Recheck(port uint32) (gone []intent.Question) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at := range t.byPort[port] {
		if n, ok := t.dir.Neighbour(at); !ok || n != t.answers[at].Neighbour {
			gone = append(gone, at)
		}
	}
	for _, at := range gone {
		t.drop(at)
	}
	slices.SortFunc(gone, compareQuestions)
	return gone
}

// Adopt compares with the flows that a switch was found to hold at a time: it takes
// over those that are true, as after a restart of the controller, and returns the others.
// made says whether the flow is the one that would be installed for who has the address.
func (t *Neighbours) Adopt(now time.Time, found map[intent.Question]func(intent.Neighbour) bool) (gone []intent.Question) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at, made := range found {
		old, known := t.answers[at]
		if known && now.Sub(old.asked) < settle {
			continue // its flow is on its way; what was found is already past
		}
		if n, ok := t.dir.Neighbour(at); !ok || !made(n) {
			gone = append(gone, at)
			t.drop(at)
		} else if !known {
			t.put(at, answered{n, now.Add(-settle)})
		}
	}
	for at, old := range t.answers {
		if _, ok := found[at]; !ok && now.Sub(old.asked) >= settle {
			t.drop(at)
		}
	}
	slices.SortFunc(gone, compareQuestions)
	return gone
}

func (t *Neighbours) put(at intent.Question, n answered) {
	t.drop(at)
	t.answers[at] = n
	of := t.byPort[n.Num]
	if of == nil {
		of = map[intent.Question]struct{}{}
		t.byPort[n.Num] = of
	}
	of[at] = struct{}{}
}

func (t *Neighbours) drop(at intent.Question) {
	old, ok := t.answers[at]
	if !ok {
		return
	}
	delete(t.answers, at)
	of := t.byPort[old.Num]
	delete(of, at)
	if len(of) == 0 {
		delete(t.byPort, old.Num)
	}
}

func compareQuestions(a, b intent.Question) int {
	return cmp.Or(cmp.Compare(a.VNI, b.VNI), a.IP.Compare(b.IP))
}
