package fabric

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
)

// walk sends frames through the rules of a fabric with a dead link.
type walk struct {
	rules map[intent.DPID][]Rule
	far   map[End]End
	dead  Link
	to    intent.DPID
	state map[End]int // ports that frames came by: being walked, done
	loops bool
	lost  bool
}

func (w *walk) alive(e End) bool {
	_, ok := w.far[e]
	return ok && e != w.dead.A && e != w.dead.B
}

// from follows all ways that a frame may take which came to a switch by a port.
func (w *walk) from(at End) {
	if at.DPID == w.to {
		return
	}
	const walked, done = 1, 2
	switch w.state[at] {
	case walked:
		w.loops = true
		return
	case done:
		return
	}
	w.state[at] = walked
	var rule Rule
	for _, r := range w.rules[at.DPID] {
		if r.To == w.to && (r.In == 0 || r.In == at.Port) {
			rule = r // that of the port comes after that of all
		}
	}
	ways := slices.DeleteFunc(slices.Clone(rule.Primary), func(no uint32) bool { return !w.alive(End{at.DPID, no}) })
	if len(ways) == 0 && rule.Backup != 0 && w.alive(End{at.DPID, rule.Backup}) {
		ways = []uint32{rule.Backup}
	}
	w.lost = w.lost || len(ways) == 0
	for _, no := range ways {
		w.from(w.far[End{at.DPID, no}])
	}
	w.state[at] = done
}

// failures sends frames between all pairs that stay connected under each
// failure of one link, and counts those pairs and the ones that are served.
func failures(t *testing.T, links []Link) (pairs, served int) {
	t.Helper()
	rules, far := Paths(links, nil), map[End]End{}
	var switches []intent.DPID
	for _, l := range links {
		far[l.A], far[l.B] = l.B, l.A
		switches = append(switches, l.A.DPID, l.B.DPID)
	}
	slices.Sort(switches)
	switches = slices.Compact(switches)
	for _, dead := range append([]Link{{}}, links...) {
		whole := parts{}
		for _, l := range links {
			if l != dead {
				whole.join(l.A.DPID, l.B.DPID)
			}
		}
		for _, to := range switches {
			for _, from := range switches {
				w := walk{rules: rules, far: far, dead: dead, to: to, state: map[End]int{}}
				w.from(End{from, 0})
				if w.loops {
					t.Fatalf("with %v dead, frames from %v to %v may go in a circle", dead, from, to)
				}
				if from == to || whole.of(from) != whole.of(to) {
					continue
				}
				pairs++
				if !w.lost {
					served++
				} else if dead == (Link{}) {
					t.Fatalf("frames from %v to %v are lost with no link dead", from, to)
				}
			}
		}
	}
	return pairs, served
}

func TestAnyLinkOfARegularFabricMayFail(t *testing.T) {
	t.Parallel()
	all := regular()
	all["fat-tree 6"] = fatTree(6)
	for name, links := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if pairs, served := failures(t, links); served != pairs {
				t.Errorf("%d of %d pairs are served", served, pairs)
			}
		})
	}
}

func TestFramesNeverGoInACircle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var pairs, served int
	for range 300 {
		p, s := failures(t, random(r, 3+r.IntN(14), r.IntN(16)))
		pairs, served = pairs+p, served+s
	}
	t.Logf("random graphs: %d of %d pairs are served under the failure of a link (%.3f %%)", served, pairs, 100*float64(served)/float64(pairs))
	if served*100 < pairs*99 {
		t.Errorf("%d of %d pairs are served", served, pairs)
	}
}

func TestPathsDoNotHangOnTheOrderOfLinks(t *testing.T) {
	t.Parallel()
	links := torus(3, 3)
	want := Paths(links, nil)
	slices.Reverse(links)
	if d := cmp.Diff(want, Paths(links, nil)); d != "" {
		t.Errorf("paths of the links in another order (-want +got):\n%s", d)
	}
}

func TestARingIsDeflectedUpwardAndOverItsTop(t *testing.T) {
	t.Parallel()
	// Switches 1 to 4 in a ring: port 1 of switch 1 and port 2 of all others lead on.
	links := []Link{Between(End{1, 2}, End{2, 1}), Between(End{2, 2}, End{3, 1}), Between(End{3, 2}, End{4, 1}), Between(End{4, 2}, End{1, 1})}
	var got []Rule
	for _, r := range Paths(links, nil)[3] {
		if r.To == 1 {
			got = append(got, r)
		}
	}
	want := []Rule{
		{To: 1, Primary: []uint32{1, 2}},
		{To: 1, In: 1, Primary: []uint32{2}}, // what came back from 2 goes on to 4
		{To: 1, In: 2, Primary: []uint32{1}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rules of switch 3 for switch 1 (-want +got):\n%s", d)
	}
}

func BenchmarkPaths(b *testing.B) {
	for _, k := range []int{4, 8, 10} {
		links := fatTree(k)
		b.Run(map[int]string{4: "20 switches", 8: "80 switches", 10: "125 switches"}[k], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Paths(links, nil)
			}
		})
	}
}
