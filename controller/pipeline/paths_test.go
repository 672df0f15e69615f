package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

// Ports of each switch of a web: that at which its station is, and the first one of
// tenants.
const host, tap = 100, 101

// web is a fabric of switches in memory, which hold what they are to hold.
type web struct {
	t        *testing.T
	links    []fabric.Link
	far      map[fabric.End]fabric.End
	switches []intent.DPID
	sw       map[intent.DPID]*softswitch.Switch
	dead     map[fabric.Link]bool
}

func stationOf(d intent.DPID) mac.Addr { return 0x020000000000 + mac.Addr(d) }

// newWeb gives the switches paths by the links, and a tree of them for floods. Of
// stations all is known that may be.
func newWeb(t *testing.T, links []fabric.Link) *web {
	t.Helper()
	return newWebOf(t, links, intent.NewState())
}

// newWebOf is newWeb with tenants' ports, at tap and the next one of each switch.
func newWebOf(t *testing.T, links []fabric.Link, state *intent.State) *web {
	t.Helper()
	w := &web{t: t, links: links, far: map[fabric.End]fabric.End{}, sw: map[intent.DPID]*softswitch.Switch{}, dead: map[fabric.Link]bool{}}
	ports, tree, slots := map[intent.DPID][]uint32{}, map[fabric.End]bool{}, map[intent.DPID]uint16{}
	part := map[intent.DPID]intent.DPID{}
	for _, l := range links {
		w.far[l.A], w.far[l.B] = l.B, l.A
		for _, e := range []fabric.End{l.A, l.B} {
			if part[e.DPID] == 0 {
				part[e.DPID] = e.DPID
				w.switches = append(w.switches, e.DPID)
			}
			ports[e.DPID] = append(ports[e.DPID], e.Port)
		}
		if a, b := part[l.A.DPID], part[l.B.DPID]; a != b {
			tree[l.A], tree[l.B] = true, true
			for d := range part {
				if part[d] == b {
					part[d] = a
				}
			}
		}
	}
	slices.Sort(w.switches)
	for i, d := range w.switches {
		slots[d] = uint16(1 + i)
	}
	rules := fabric.Paths(links, nil)
	for _, d := range w.switches {
		slices.Sort(ports[d])
		var all []intent.SwitchPort
		for _, no := range append(slices.Clone(ports[d]), host, tap, tap+1) {
			all = append(all, intent.SwitchPort{No: no, Up: true})
		}
		v := state.View(d, all, intent.UnmanagedLearn)
		v.Links, v.Paths = ports[d], fabric.PathsOf(rules[d], slots)
		v.Groups, v.Discovery, v.Slot = true, true, slots[d]
		for _, no := range ports[d] {
			if !tree[fabric.End{DPID: d, Port: no}] {
				v.Shut = append(v.Shut, no)
			}
		}
		want := Compute(v)
		learned := []flow.Flow{LearnedSource(host, stationOf(d)), LearnedDest(host, stationOf(d)), Arrival(mac.Locator{Slot: slots[d], Number: 7}, stationOf(d))}
		for _, to := range w.switches {
			if to != d {
				learned = append(learned, Away(mac.Locator{Slot: slots[to], Number: 7}, stationOf(to)))
			}
		}
		want.Flows = apply(t, want.Flows, nil, learned)
		w.sw[d] = softswitch.New(want.State)
		w.sw[d].Dead = map[uint32]bool{}
	}
	return w
}

// fail cuts links.
func (w *web) fail(links ...fabric.Link) {
	for d := range w.sw {
		clear(w.sw[d].Dead)
	}
	clear(w.dead)
	for _, l := range links {
		w.dead[l] = true
		w.sw[l.A.DPID].Dead[l.A.Port], w.sw[l.B.DPID].Dead[l.B.Port] = true, true
	}
}

// send sends a frame of a station and returns how often others get it, as it was
// sent, and how many links it has passed in all.
func (w *web) send(from intent.DPID, dst mac.Addr) (got map[intent.DPID]int, hops int) {
	w.t.Helper()
	ends, hops := w.follow(fabric.End{DPID: from, Port: host}, softswitch.Frame{Src: stationOf(from).Bytes(), Dst: dst.Bytes()}.Bytes())
	got = map[intent.DPID]int{}
	for e, n := range ends {
		if e.Port == host {
			got[e.DPID] += n
		}
	}
	return got, hops
}

// follow lets a frame in and returns how often it leaves by which ports, as it was sent, and how
// many links it has passed in all.
func (w *web) follow(from fabric.End, frame []byte) (got map[fabric.End]int, hops int) {
	w.t.Helper()
	type leg struct {
		at    fabric.End
		frame []byte
	}
	got = map[fabric.End]int{}
	want := frame
	if from.Port == host && (frame[12] == 0x81 || frame[12] == 0x88) && frame[14]>>5 == 0 {
		want = slices.Clone(frame)
		want[14] |= 1 << 5 // a station's tag gets a priority
	}
	for legs := []leg{{from, frame}}; len(legs) > 0; legs = legs[1:] {
		l := legs[0]
		trace, err := w.sw[l.at.DPID].Walk(softswitch.Arrival{Port: l.at.Port, Frame: l.frame})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, out := range trace.Outputs {
			e := fabric.End{DPID: l.at.DPID, Port: out.Port}
			to, linked := w.far[e]
			switch {
			case out.Port == openflow.PortController:
			case !linked:
				if !slices.Equal(out.Frame, want) {
					w.t.Errorf("%v gets %x, want %x", e, out.Frame, want)
				}
				got[e]++
			case !w.dead[fabric.Between(e, to)]:
				hops++
				if hops > 8*len(w.links)+64 {
					w.t.Fatalf("a frame from %v goes round with %v dead: %x", from, w.dead, frame)
				}
				legs = append(legs, leg{to, out.Frame})
			}
		}
	}
	return got, hops
}

// reached counts the pairs that reach each other and fails the test if a frame
// comes twice, or to somebody else.
func (w *web) reached() (n int) {
	w.t.Helper()
	for _, from := range w.switches {
		for _, to := range w.switches {
			if from == to {
				continue
			}
			got, _ := w.send(from, stationOf(to))
			if len(got) > 1 || len(got) == 1 && got[to] != 1 {
				w.t.Fatalf("a frame from %v to %v comes to %v", from, to, got)
			}
			n += got[to]
		}
	}
	return n
}

func connect(links []fabric.Link, used map[int]uint32, a, b int) []fabric.Link {
	end := func(n int) fabric.End {
		used[n]++
		return fabric.End{DPID: intent.DPID(n + 1), Port: used[n]}
	}
	return append(links, fabric.Between(end(a), end(b)))
}

// webs are fabrics in which any link may fail.
func webs() map[string][]fabric.Link {
	all := map[string][]fabric.Link{}
	for _, n := range []int{2, 3, 4, 5} {
		used := map[int]uint32{}
		var links []fabric.Link
		for i := range n {
			links = connect(links, used, i, (i+1)%n)
		}
		all[fmt.Sprint("ring of ", n)] = links
	}
	used := map[int]uint32{}
	var torus, tree []fabric.Link
	for y := range 3 {
		for x := range 3 {
			torus = connect(torus, used, 3*y+x, 3*y+(x+1)%3)
			torus = connect(torus, used, 3*y+x, 3*((y+1)%3)+x)
		}
	}
	clear(used)
	for pod := range 4 {
		above, below := 4+4*pod, 6+4*pod
		for i := range 2 {
			for k := range 2 {
				tree = connect(tree, used, above+i, 2*i+k)
				tree = connect(tree, used, below+k, above+i)
			}
		}
	}
	all["torus"], all["fat-tree"] = torus, tree
	return all
}

func TestStationsReachEachOtherWhateverLinkFails(t *testing.T) {
	t.Parallel()
	for name, links := range webs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWeb(t, links)
			pairs := len(w.switches) * (len(w.switches) - 1)
			if n := w.reached(); n != pairs {
				t.Errorf("%d of %d pairs reach each other", n, pairs)
			}
			for _, dead := range links {
				w.fail(dead)
				if n := w.reached(); n != pairs {
					t.Errorf("with %v dead, %d of %d pairs reach each other", dead, n, pairs)
				}
			}
			for _, from := range w.switches {
				w.fail()
				got, hops := w.send(from, mac.Max)
				for _, to := range w.switches {
					if want := map[bool]int{true: 1}[to != from]; got[to] != want {
						t.Errorf("%v sees a frame of %v for everybody %d times", to, from, got[to])
					}
				}
				if hops != len(w.switches)-1 {
					t.Errorf("a frame for everybody passes %d links", hops)
				}
			}
		})
	}
}

// When the controller has told the switches of a failure, all is as if the link had
// never been; and while it has told some, a frame may be lost or late, but not
// doubled.
func TestStationsReachEachOtherWhenTheFailureIsKnown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ring of 4", "torus"} {
		links := webs()[name]
		old := newWeb(t, links)
		pairs := len(old.switches) * (len(old.switches) - 1)
		for i, dead := range links {
			w := newWeb(t, slices.Delete(slices.Clone(links), i, i+1))
			w.far, w.links = old.far, old.links
			w.fail(dead)
			if n := w.reached(); n != pairs {
				t.Errorf("%s without %v: %d of %d pairs reach each other", name, dead, n, pairs)
			}
		}
	}
}

func TestFramesEndWhateverFails(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	all := webs()
	for i := range 20 {
		used, n := map[int]uint32{}, 3+r.IntN(6)
		var links []fabric.Link
		for j := 1; j < n; j++ {
			links = connect(links, used, j, r.IntN(j))
		}
		for range r.IntN(8) {
			if a, b := r.IntN(n), r.IntN(n); a != b {
				links = connect(links, used, a, b)
			}
		}
		all[fmt.Sprint("random ", i)] = links
	}
	delete(all, "fat-tree")
	for _, links := range all {
		w := newWeb(t, links)
		for range 10 {
			r.Shuffle(len(links), func(i, j int) { links[i], links[j] = links[j], links[i] })
			w.fail(links[:r.IntN(len(links)+1)]...)
			w.reached()
		}
	}
}

func TestAStationWhoseSwitchHasForgottenItIsSoughtAtItsPorts(t *testing.T) {
	t.Parallel()
	w := newWeb(t, webs()["ring of 4"])
	sw := w.sw[3]
	state := flow.State{Flows: sw.Flows()}
	var left []flow.Flow
	for _, f := range state.Flows {
		if f.Key() != LearnedDest(host, stationOf(3)).Key() {
			left = append(left, f)
		}
	}
	state.Flows = left
	w.sw[3] = softswitch.New(state)
	if got, _ := w.send(2, stationOf(3)); got[3] != 1 || len(got) != 1 {
		t.Errorf("the frame comes to %v", got)
	}
}

func TestStationsCannotUseLocators(t *testing.T) {
	t.Parallel()
	w := newWeb(t, webs()["ring of 4"])
	if got, hops := w.send(1, mac.Locator{Slot: 3, Number: 7}.Addr()); len(got) > 0 || hops > 0 {
		t.Errorf("a frame for a locator comes to %v by %d links", got, hops)
	}
	trace, err := w.sw[1].Walk(softswitch.Arrival{Port: host, Frame: softswitch.Frame{Src: mac.Locator{Slot: 3}.Addr().Bytes(), Dst: mac.Max.Bytes()}.Bytes()})
	if err != nil || len(trace.Outputs) > 0 {
		t.Errorf("a frame of a locator: %v\n%v", err, trace)
	}
}

func TestAFrameForAnUnknownStationIsFloodedAndToldToTheController(t *testing.T) {
	t.Parallel()
	w := newWeb(t, webs()["torus"])
	send := func(dst mac.Addr) (told bool) {
		trace, err := w.sw[1].Walk(softswitch.Arrival{Port: host, Frame: softswitch.Frame{Src: stationOf(1).Bytes(), Dst: dst.Bytes()}.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(trace.Outputs, func(o softswitch.Output) bool { return o.Port == openflow.PortController })
	}
	for dst, want := range map[mac.Addr]bool{0x0200000000ff: true, mac.Max: false, stationOf(5): false, stationOf(1): false} {
		if got := send(dst); got != want {
			t.Errorf("the controller is told of a frame for %v: %v, want %v", dst, got, want)
		}
	}
	if got, _ := w.send(1, 0x0200000000ff); len(got) != 8 {
		t.Errorf("it comes to %v", got)
	}
}

func TestFlowsOfStationsAtOtherSwitchesAreTheirParts(t *testing.T) {
	t.Parallel()
	l, a := mac.Locator{Slot: 9, Number: 4}, stationOf(1)
	if to, got, ok := ParseAway(Away(l, a)); !ok || to != l || got != a {
		t.Errorf("got %v, %v, %v", to, got, ok)
	}
	if at, got, ok := ParseArrival(Arrival(l, a)); !ok || at != l || got != a {
		t.Errorf("got %v, %v, %v", at, got, ok)
	}
	for _, f := range []flow.Flow{LearnedDest(1, a), LearnedSource(1, a)} {
		if _, _, ok := ParseAway(f); ok {
			t.Errorf("taken for a station elsewhere: %v", f)
		}
		if _, _, ok := ParseArrival(f); ok {
			t.Errorf("taken for an arrival: %v", f)
		}
	}
}

// What is taken over from another view is what would be made anew.
func TestGroupsThatAreTakenOverAreThoseOfTheView(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	draw := func() *intent.View {
		v := &intent.View{DPID: 1, Setting: intent.Setting{Groups: random.IntN(5) > 0, Slot: 1}}
		for slot := range uint16(20) {
			if random.IntN(4) > 0 {
				p := intent.Path{Slot: 2 + slot, Primary: []uint32{1, 2}[:1+random.IntN(2)]}
				if len(p.Primary) == 1 {
					p.Backup = uint32(3 * random.IntN(2))
				}
				v.Paths = append(v.Paths, p)
			}
		}
		return v
	}
	for range 200 {
		before, v := draw(), draw()
		want, got := With(v, nil), After(before, With(before, nil).Groups, v)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(flow.Flow{})); d != "" {
			t.Fatalf("from %+v to %+v (-want +got):\n%s", before.Paths, v.Paths, d)
		}
		if !slices.IsSortedFunc(got.Groups, func(a, b flow.Group) int { return int(a.ID) - int(b.ID) }) {
			t.Fatal("groups are not in order")
		}
	}
}
