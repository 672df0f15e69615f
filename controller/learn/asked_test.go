package learn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// A frame from another switch often comes to the controller before the first one of the
// station that it is for: who asked too early is told all the same.
func TestWhoAskedAMomentTooEarlyIsTold(t *testing.T) {
	t.Parallel()
	d := NewDirectory()
	for _, from := range []intent.DPID{3, 2, 1, 2, 9} {
		if to, ok := d.Sought(start, from, alice, everywhere); ok {
			t.Fatalf("found at %v", to)
		}
	}
	near := func(id intent.DPID) bool { return id != 9 }
	left, tell := d.Learned(start.Add(remembered-1), 1, alice, near)
	if diff := cmp.Diff([][]intent.DPID{nil, {2, 3}}, [][]intent.DPID{left, tell}); diff != "" {
		t.Errorf("left, to be told (-want +got):\n%s", diff)
	}
	directed(t, d, map[intent.DPID]intent.DPID{1: 0, 2: 1, 3: 1, 9: 0})
	if _, tell := d.Learned(start.Add(remembered-1), 1, alice, everywhere); len(tell) > 0 {
		t.Errorf("%v are told twice", tell)
	}
}

func TestAQuestionOfLongAgoIsForgotten(t *testing.T) {
	t.Parallel()
	d := NewDirectory()
	d.Sought(start, 2, alice, everywhere)
	d.Sought(start.Add(time.Second), 3, alice, everywhere)
	if _, tell := d.Learned(start.Add(remembered), 1, alice, everywhere); !cmp.Equal(tell, []intent.DPID{3}) {
		t.Errorf("%v are told", tell)
	}
	// One that was answered does not take a later one with it when it ends.
	d.Left(1, alice)
	d.Sought(start.Add(2*time.Second), 3, alice, everywhere)
	if _, tell := d.Learned(start.Add(3500*time.Millisecond), 1, alice, everywhere); !cmp.Equal(tell, []intent.DPID{3}) {
		t.Errorf("%v are told of it when it is back", tell)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	q := asked{by: map[mac.Addr]map[intent.DPID]time.Time{}}
	for i := range mac.Addr(2 * mostAsked) {
		q.put(start, 2, i)
	}
	if len(q.by) != mostAsked || len(q.order) != mostAsked {
		t.Errorf("%d stations and %d questions are kept", len(q.by), len(q.order))
	}
	q.put(start.Add(remembered), 2, alice)
	if len(q.by) != 1 || len(q.order) != 1 {
		t.Errorf("%d stations and %d questions are kept after their time", len(q.by), len(q.order))
	}
}
