package fabric

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
)

// site is a fabric with cables and switches that do what they are told when
// they come to it, and a Map in charge of it.
type site struct {
	t       *testing.T
	m       *Map
	now     time.Time
	cables  []Link
	bridges [][]End // that are not ours, and the ports that they join
	hubs    bool    // these pass on whatever they get
	far     map[End]End
	cut     map[Link]bool
	sw      map[intent.DPID]*member
	deaf    float64 // how many of the frames get lost
	rand    *rand.Rand
}

// member is a switch of a site.
type member struct {
	id        intent.DPID
	connected bool
	dirty     bool // it is to be told what its ports are
	adopted   bool
	ports     map[uint32]bool // and whether they are up, as the Map was told
	news      []uint32        // ports that the Map is to be told of
	open      map[uint32]bool // what it lets pass
	told      []uint32        // ports that it was told to shut
	busy      int             // 1: it was told, 2: it has done so
}

func loaded(known []Known) *Map {
	m := NewMap()
	m.Load(testKey, known, nil)
	return m
}

func newSite(t *testing.T, seed uint64, links []Link) *site {
	s := &site{
		t: t, m: loaded(nil), now: noon, cables: links, far: map[End]End{}, cut: map[Link]bool{}, sw: map[intent.DPID]*member{},
		rand: rand.New(rand.NewPCG(seed, 7)),
	}
	for _, l := range links {
		s.far[l.A], s.far[l.B] = l.B, l.A
		for _, e := range []End{l.A, l.B} {
			if s.sw[e.DPID] == nil {
				// Port 100 leads to stations.
				s.sw[e.DPID] = &member{id: e.DPID, ports: map[uint32]bool{100: true}, open: map[uint32]bool{}}
			}
			s.sw[e.DPID].ports[e.Port] = true
		}
	}
	return s
}

func (s *site) cableOf(e End) Link { return Between(e, s.far[e]) }

func (s *site) touch(touched intent.Touched) {
	for d := range touched {
		if w := s.sw[d]; w != nil { // it may have been replaced
			w.dirty = true
		}
	}
}

func (s *site) ids() []intent.DPID { return slices.Sorted(maps.Keys(s.sw)) }

func (s *site) connect(w *member) {
	if w.connected {
		return
	}
	w.connected, w.adopted, w.busy, w.dirty, w.news = true, false, 0, true, nil
	for no := range w.ports {
		w.ports[no] = no == 100 || !s.cut[s.cableOf(End{w.id, no})]
	}
	s.touch(s.m.Connect(w.id))
}

func (s *site) disconnect(w *member) {
	if w.connected {
		w.connected, w.busy = false, 0
		s.m.Disconnect(w.id)
	}
}

// step carries on what goes on at a switch.
func (s *site) step(w *member) {
	switch {
	case !w.connected:
	case len(w.news) > 0 && s.rand.IntN(2) == 0:
		no := w.news[0]
		w.news, w.dirty = w.news[1:], true
		if w.ports[no] = !s.cut[s.cableOf(End{w.id, no})]; !w.ports[no] {
			s.touch(s.m.Down(s.now, End{w.id, no}))
		}
	case w.busy == 1:
		s.obey(w)
		w.busy = 2
	case w.busy == 2:
		s.touch(s.m.Confirmed(w.id, w.told))
		w.busy = 0
	case w.dirty:
		w.dirty = false
		var list []intent.SwitchPort
		for no, up := range w.ports {
			list = append(list, intent.SwitchPort{No: no, Up: up})
		}
		s.touch(s.m.SetPorts(s.now, w.id, list))
		if !w.adopted {
			w.adopted = true
			s.touch(s.m.Adopt(w.id, slices.Collect(maps.Keys(w.open))))
		}
		w.told, w.busy = s.m.Shut(w.id), 1
	case w.adopted:
		send, _, touched := s.m.Work(s.now, w.id)
		s.touch(touched)
		for _, no := range send {
			from := End{w.id, no}
			for _, frame := range s.m.Frames(s.now, from) {
				for _, at := range s.behind(from, frame) {
					if s.rand.Float64() >= s.deaf && s.sw[at.DPID].adopted && s.sw[at.DPID].connected {
						_, touched := s.m.Heard(s.now, at, frame)
						s.touch(touched)
					}
				}
			}
		}
		s.m.Sent(s.now, w.id, send)
	}
}

// behind returns the ports at which a frame arrives.
func (s *site) behind(from End, frame []byte) (at []End) {
	if far, cabled := s.far[from]; cabled && !s.cut[s.cableOf(from)] {
		return []End{far}
	}
	for _, bridge := range s.bridges {
		if slices.Contains(bridge, from) && (s.hubs || [6]byte(frame) != lldpDst) {
			for _, e := range bridge {
				if e != from {
					at = append(at, e)
				}
			}
		}
	}
	return at
}

func (s *site) obey(w *member) {
	w.open = map[uint32]bool{}
	for no := range w.ports {
		if !slices.Contains(w.told, no) {
			w.open[no] = true
		}
	}
}

// passing returns the cables that pass frames in truth.
func (s *site) passing() (links []Link) {
	for _, l := range s.cables {
		if !s.cut[l] && s.sw[l.A.DPID].open[l.A.Port] && s.sw[l.B.DPID].open[l.B.Port] {
			links = append(links, l)
		}
	}
	return links
}

// check fails the test if there is a loop.
func (s *site) check(what string) {
	s.t.Helper()
	whole, passing := parts{}, s.passing()
	for _, l := range passing {
		if !whole.join(l.A.DPID, l.B.DPID) {
			s.t.Fatalf("after %s: a loop of open links: %v", what, passing)
		}
	}
	for i, bridge := range s.bridges {
		for _, e := range bridge {
			if s.sw[e.DPID].open[e.Port] && !whole.join(e.DPID, intent.DPID(1000+i)) {
				s.t.Fatalf("after %s: a loop by a bridge of others, by %v: %v", what, e, passing)
			}
		}
	}
}

// change cuts or restores a cable.
func (s *site) change(l Link, cut bool) {
	if s.cut[l] == cut {
		return
	}
	s.cut[l] = cut
	for _, e := range []End{l.A, l.B} {
		s.sw[e.DPID].news = append(s.sw[e.DPID].news, e.Port)
	}
}

// rest lets what is connected come to rest.
func (s *site) rest() {
	s.t.Helper()
	for range 200 {
		for _, d := range s.ids() {
			for range 4 {
				s.step(s.sw[d])
			}
		}
		s.check("rest")
		s.now = s.now.Add(100 * time.Millisecond)
	}
}

// settle lets everything come to rest and checks that each component of cables is whole.
func (s *site) settle() {
	s.t.Helper()
	for _, d := range s.ids() {
		s.connect(s.sw[d])
	}
	s.rest()
	cables, open := parts{}, parts{}
	for _, l := range s.cables {
		if !s.cut[l] {
			cables.join(l.A.DPID, l.B.DPID)
		}
	}
	for _, l := range s.passing() {
		open.join(l.A.DPID, l.B.DPID)
	}
	for _, d := range s.ids() {
		if cables.of(d) != open.of(d) {
			s.t.Fatalf("switch %v is cut off: %v pass, cut are %v", d, s.passing(), s.cut)
		}
		if !s.sw[d].open[100] && !s.bridged(End{d, 100}) {
			s.t.Fatalf("the stations of switch %v are cut off", d)
		}
	}
}

// chaos lets things happen in any order: switches connect, and what is under
// way at them goes on by steps. Unless the site is quiet, they also lose their
// sessions or all that they hold, cables are cut and repaired, and the controller
// starts again.
func (s *site) chaos(quiet bool) {
	s.t.Helper()
	ids := s.ids()
	for range 2000 {
		w, l, what := s.sw[ids[s.rand.IntN(len(ids))]], s.cables[s.rand.IntN(len(s.cables))], "a step"
		n := s.rand.IntN(1000)
		if quiet && n < 90 {
			n = 90
		}
		switch {
		case n < 10:
			what = "a disconnection"
			s.leave(w)
		case n < 12:
			what = "a restart of a switch"
			s.leave(w)
			w.open = map[uint32]bool{}
		case n < 40:
			what = "a cut"
			s.change(l, true)
		case n < 80:
			what = "a repair"
			s.change(l, false)
		case n < 81:
			what = "a restart of the controller"
			for _, d := range ids {
				s.leave(s.sw[d])
			}
			known, _ := s.m.TakeChanged()
			s.m = loaded(known)
		case n < 100:
			what = "a connection"
			s.connect(w)
		default:
			s.step(w)
		}
		s.check(what)
		s.now = s.now.Add(time.Duration(s.rand.IntN(20)) * time.Millisecond)
	}
}

// leave ends the session of a switch. What it was told last may reach it still.
func (s *site) leave(w *member) {
	if w.busy == 1 && s.rand.IntN(2) == 0 {
		s.obey(w)
	}
	s.disconnect(w)
}

func TestThereIsNeverALoopWhateverTheOrderOfEvents(t *testing.T) {
	t.Parallel()
	for name, links := range regular() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(max(1, 60/len(links))) {
				s := newSite(t, seed, links)
				s.deaf = 0.05
				s.chaos(true)
				s.settle()
				s.chaos(false)
				for l := range s.cut {
					s.change(l, false)
				}
				s.deaf = 0
				s.settle()
				if got, want := len(s.passing()), len(s.ids())-1; got != want {
					t.Errorf("%d links are open, want %d", got, want)
				}
			}
		})
	}
}

func TestALinkThatFailsIsReplacedAndNoOtherMoves(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, torus(3, 3))
	s.settle()
	tree := func() map[Link]bool {
		known, _ := s.m.TakeChanged()
		in := map[Link]bool{}
		for _, k := range known {
			if k.Tree {
				in[k.Link] = true
			}
		}
		return in
	}
	for _, l := range s.cables {
		before := tree()
		s.change(l, true)
		s.settle()
		after := tree()
		for kept := range before {
			if kept != l && !after[kept] {
				t.Errorf("with %v cut, %v left the tree", l, kept)
			}
		}
		if len(after) != len(before) || after[l] {
			t.Errorf("with %v cut, the tree is %v", l, after)
		}
		s.change(l, false)
		s.settle()
		if d := cmp.Diff(after, tree()); d != "" {
			t.Errorf("the return of %v changed the tree (-before +after):\n%s", l, d)
		}
	}
}

func TestARestartFindsTheSameTreeAndChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, torus(3, 3))
	s.settle()
	known, _ := s.m.TakeChanged()
	s.m = loaded(known)
	for _, d := range s.ids() {
		w := s.sw[d]
		w.connected = false
		before := maps.Clone(w.open)
		s.connect(w)
		for range 4 { // the first pass
			s.step(w)
		}
		if d := cmp.Diff(before, w.open); d != "" {
			t.Errorf("switch %v (-before +after):\n%s", w.id, d)
		}
	}
	s.settle()
	again, changed := s.m.TakeChanged()
	if d := cmp.Diff(known, again); d != "" || changed {
		t.Errorf("the links changed: %v (-before +after):\n%s", changed, d)
	}
}

// giveUp is the longest time until a link is given up.
const giveUp = mostUnheard*pauseLinkMost + late

func TestTheLinksOfASwitchThatIsAwayStay(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, ring(4))
	s.settle()
	want, _ := s.m.TakeChanged()
	s.disconnect(s.sw[1])
	for range 10 * giveUp / time.Second {
		s.now = s.now.Add(time.Second)
		for _, d := range s.ids() {
			s.step(s.sw[d])
			s.step(s.sw[d])
		}
	}
	if got, changed := s.m.TakeChanged(); changed {
		t.Errorf("the links changed (-before +after):\n%s", cmp.Diff(want, got))
	}
	s.touch(s.m.Forget(s.now, 1))
	got, _ := s.m.TakeChanged()
	for _, k := range got {
		if k.A.DPID == 1 || k.B.DPID == 1 {
			t.Errorf("%v is there although its switch was forgotten", k.Link)
		}
	}
}

func TestALinkOfWhichNothingIsHeardIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, ring(4))
	s.settle()
	dead := s.cables[0]
	delete(s.far, dead.A) // frames of one direction are lost, and the ports stay up
	delete(s.far, dead.B)
	for range 2 * giveUp / (100 * time.Millisecond) {
		for _, d := range s.ids() {
			for range 4 {
				s.step(s.sw[d])
			}
		}
		s.now = s.now.Add(100 * time.Millisecond)
	}
	known, _ := s.m.TakeChanged()
	for _, k := range known {
		if k.Tree == (k.Link == dead) {
			t.Errorf("%v is in the tree: %v", k.Link, k.Tree)
		}
	}
}

func BenchmarkLossOfALink(b *testing.B) {
	links := fatTree(8)
	known := make([]Known, len(links))
	for i, l := range links {
		known[i] = Known{Link: l, Since: noon}
	}
	m := loaded(known)
	ports := map[intent.DPID][]intent.SwitchPort{}
	for _, l := range links {
		for _, e := range []End{l.A, l.B} {
			ports[e.DPID] = append(ports[e.DPID], intent.SwitchPort{No: e.Port, Up: true})
		}
	}
	for d, list := range ports {
		m.Connect(d)
		m.SetPorts(noon, d, list)
		m.Adopt(d, nil)
		m.Confirmed(d, m.Shut(d))
	}
	m.Down(noon, links[0].A)
	for b.Loop() {
		b.StopTimer()
		var lost Link
		for l := range m.tree {
			lost = l
			break
		}
		b.StartTimer()
		m.Down(noon, lost.A)
		b.StopTimer()
		for range 2 {
			m.SetPorts(noon, lost.A.DPID, ports[lost.A.DPID])
			m.Heard(noon, lost.A, testKey.Frame(noon, lost.B))
			m.Heard(noon, lost.B, testKey.Frame(noon, lost.A))
		}
		b.StartTimer()
	}
}

// A controller that was held up has sent nothing, so there is nothing that it should have
// heard.
func TestAControllerThatSleptDoesNotTakeItForSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, ring(4))
	s.settle()
	for range 10 {
		s.now = s.now.Add(10 * giveUp)
		for _, d := range s.ids() {
			s.step(s.sw[d])
		}
		for _, k := range s.m.Links() {
			if k.Down {
				t.Fatalf("%v is lost", k.Link)
			}
		}
	}
	if got := len(s.passing()); got != 3 {
		t.Errorf("%d links are open", got)
	}
}

// A small fabric can afford to find a dead link sooner than a large one.
func TestLinksShareTheFramesOfASecond(t *testing.T) {
	t.Parallel()
	for links, want := range map[int]time.Duration{1: pauseLinkLeast, 50: 500 * time.Millisecond, 100: time.Second, 200: 2 * time.Second, 5000: pauseLinkMost} {
		m := NewMap()
		for i := range uint32(links) {
			m.add(&link{Known: Known{Link: Between(End{1, i}, End{2, i})}})
		}
		if got := m.pause(&port{sends: young}, m.links[Between(End{1, 0}, End{2, 0})]); got != want {
			t.Errorf("%d links: a pause of %v, want %v", links, got, want)
		}
	}
}

// replace puts another switch in the place of one, with all its cables, which do not lose their carrier.
// It lets pass what the first one did.
func (s *site) replace(old, by intent.DPID) {
	s.disconnect(s.sw[old])
	is := func(e End) End {
		if e.DPID == old {
			e.DPID = by
		}
		return e
	}
	w := s.sw[old]
	delete(s.sw, old)
	s.sw[by] = &member{id: by, ports: w.ports, open: w.open}
	cut, far := map[Link]bool{}, map[End]End{}
	for i, l := range s.cables {
		s.cables[i] = Between(is(l.A), is(l.B))
		cut[s.cables[i]] = s.cut[l]
	}
	for e, other := range s.far {
		far[is(e)] = is(other)
	}
	s.cut, s.far = cut, far
}

// Its datapath id may be changed while it runs, or there was somebody between the cables.
func TestASwitchThatTakesThePlaceOfAnotherIsLinked(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][]Link{"ring": ring(4), "torus": torus(3, 3), "fat-tree": fatTree(4)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(4) {
				s := newSite(t, seed, slices.Clone(links))
				s.settle()
				s.replace(2, 99)
				s.settle()
				for _, k := range s.m.Links() {
					if !k.Down && (k.A.DPID == 2 || k.B.DPID == 2) {
						t.Errorf("%v is there, though another switch is", k.Link)
					}
				}
			}
		})
	}
}
