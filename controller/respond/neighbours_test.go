package respond

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/controller/intent"
)

// book is a directory that tests write.
type book map[intent.Question]intent.Neighbour

func (b book) Neighbour(q intent.Question) (intent.Neighbour, bool) {
	n, ok := b[q]
	return n, ok
}

func question(last byte) intent.Question {
	return intent.Question{VNI: 77, IP: netip.AddrFrom4([4]byte{10, 0, 0, last})}
}

func TestAQuestionInstallsOneFlowForAsLongAsThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	b := book{question(1): {Num: 1, MAC: 11}}
	n, now := NewNeighbours(b), time.Unix(0, 0)
	wants := func(what string, q intent.Question, want Verdict) {
		t.Helper()
		if got, _ := n.Asked(now, q); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	wants("nobody has it", question(2), Unknown)
	wants("first", question(1), Install)
	wants("at once", question(1), OnItsWay)
	b[question(1)] = intent.Neighbour{Num: 1, MAC: 12}
	wants("another MAC", question(1), Install)
	now = now.Add(settle)
	wants("the flow should have been there", question(1), Install)

	for i := range maxNeighbours {
		q := intent.Question{VNI: 78, IP: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
		b[q] = intent.Neighbour{Num: 3}
		n.Asked(now, q)
	}
	b[question(4)] = intent.Neighbour{Num: 4}
	wants("one too many", question(4), Full)
	now = now.Add(settle)
	n.Expired(now, question(1))
	wants("there is room again", question(4), Install)
	n.Expired(now, question(4))
	wants("what was just installed has not expired", question(4), OnItsWay)
}

func TestAnswersThatAreNotTrueAreFound(t *testing.T) {
	t.Parallel()
	b := book{question(1): {Num: 1, MAC: 11}, question(2): {Num: 1, MAC: 11}, question(3): {Num: 3, MAC: 13}}
	n, now := NewNeighbours(b), time.Unix(0, 0)
	for q := range b {
		n.Asked(now, q)
	}
	compare := cmpopts.EquateComparable(netip.Addr{})
	delete(b, question(2))
	if diff := cmp.Diff([]intent.Question{question(2)}, n.Recheck(1), compare); diff != "" {
		t.Errorf("of port 1 (-want +got):\n%s", diff)
	}
	if gone := n.Recheck(1); len(gone) != 0 {
		t.Errorf("found again: %v", gone)
	}

	// The switch has lost 3, has 2 still, 1 with another MAC, and one that nobody remembers.
	now = now.Add(settle)
	b[question(5)] = intent.Neighbour{Num: 5, MAC: 15}
	made := func(m intent.Neighbour) func(intent.Neighbour) bool {
		return func(n intent.Neighbour) bool { return n == m }
	}
	found := map[intent.Question]func(intent.Neighbour) bool{
		question(1): made(intent.Neighbour{Num: 1, MAC: 99}), question(2): made(intent.Neighbour{Num: 1, MAC: 11}),
		question(5): made(b[question(5)]),
	}
	if diff := cmp.Diff([]intent.Question{question(1), question(2)}, n.Adopt(now, found), compare); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	b[question(5)], b[question(3)] = intent.Neighbour{}, intent.Neighbour{}
	if diff := cmp.Diff([]intent.Question{question(5)}, append(n.Recheck(5), n.Recheck(3)...), compare); diff != "" {
		t.Errorf("of what was taken over and what was lost (-want +got):\n%s", diff)
	}
}
