package fabric

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
)

// through returns the switches that frames may pass on their way, by the rules of
// some switches that have others than the rest.
func through(rules map[intent.DPID][]Rule, links []Link, from, to intent.DPID) map[intent.DPID]bool {
	far := map[End]intent.DPID{}
	for _, l := range links {
		far[l.A], far[l.B] = l.B.DPID, l.A.DPID
	}
	passed := map[intent.DPID]bool{}
	for todo := []intent.DPID{from}; len(todo) > 0; todo = todo[1:] {
		d := todo[0]
		for _, r := range rules[d] {
			if r.To != to || passed[d] {
				continue
			}
			for _, no := range append(r.Primary, r.Backup) {
				if next := far[End{d, no}]; next != 0 && next != to {
					todo = append(todo, next)
				}
			}
		}
		passed[d] = true
	}
	delete(passed, from)
	return passed
}

func TestASwitchThatIsAwayIsPassedOnlyWhileItsPathsAreRight(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, torus(3, 3))
	s.settle()
	crossed := func() (n int) {
		for _, from := range s.ids() {
			for _, to := range s.ids() {
				if from != to && from != 5 && to != 5 && through(s.m.ways.rules, s.m.ways.live, from, to)[5] {
					n++
				}
			}
		}
		return n
	}
	all := crossed()
	if all == 0 {
		t.Fatal("no path passes switch 5")
	}
	before := s.m.ways.rules
	s.disconnect(s.sw[5])
	s.rest()
	if n := crossed(); n != all || cmp.Diff(before, s.m.ways.rules) != "" {
		t.Errorf("%d paths pass switch 5 when it is away, want the same %d", n, all)
	}
	var cut Link
	for _, l := range s.cables {
		if l.A.DPID == 1 && l.B.DPID == 2 {
			cut = l // of a path from 5 to 1
		}
	}
	s.change(cut, true)
	s.rest()
	if n := crossed(); n != 0 {
		t.Errorf("%d paths pass switch 5, which goes by old rules", n)
	}
	for _, from := range s.ids() {
		for _, to := range s.ids() {
			if !s.m.Reaches(from, to) {
				t.Errorf("%v does not reach %v", from, to)
			}
		}
	}
	s.connect(s.sw[5])
	s.settle()
	if n := crossed(); n == 0 {
		t.Error("no path passes switch 5 when it is back")
	}
}
