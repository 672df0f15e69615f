package fabric

import (
	"slices"
	"testing"
	"time"
)

func (s *site) bridged(e End) bool {
	return slices.ContainsFunc(s.bridges, func(bridge []End) bool { return slices.Contains(bridge, e) })
}

// openTo returns how many ports of a bridge are open.
func (s *site) openTo(bridge []End) (n int) {
	for _, e := range bridge {
		if s.sw[e.DPID].open[e.Port] {
			n++
		}
	}
	return n
}

// Bridges of others join ports of a ring that lead to stations: one of each is open, whatever comes
// and goes.
func TestFramesDoNotGoRoundByBridgesOfOthers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		s := newSite(t, seed, ring(4))
		s.bridges = [][]End{{{1, 100}, {2, 100}, {3, 100}}, {{1, 101}, {4, 101}}, {{2, 102}, {2, 103}}}
		for _, bridge := range s.bridges[1:] {
			for _, e := range bridge {
				s.sw[e.DPID].ports[e.Port] = true
			}
		}
		s.chaos(true)
		s.settle()
		for range 3000 {
			w, l := s.sw[s.ids()[s.rand.IntN(4)]], s.cables[s.rand.IntN(len(s.cables))]
			switch n := s.rand.IntN(200); {
			case n < 2:
				s.change(l, true)
			case n < 4:
				s.change(l, false)
			default:
				s.step(w)
			}
			s.check("a cut, a repair or a step")
			s.now = s.now.Add(time.Duration(s.rand.IntN(50)) * time.Millisecond)
		}
		for l := range s.cut {
			s.change(l, false)
		}
		s.settle()
		for _, bridge := range s.bridges {
			if n := s.openTo(bridge); n != 1 {
				t.Errorf("seed %d: %d ports of %v are open, want 1", seed, n, bridge)
			}
		}
	}
}

// What a bridge of others connects and nothing else stays connected by it.
func TestABridgeOfOthersMayConnectTwoFabrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, []Link{Between(End{1, 1}, End{2, 1}), Between(End{3, 1}, End{4, 1})})
	s.bridges = [][]End{{{1, 100}, {2, 100}, {3, 100}, {4, 100}}}
	s.settle()
	if n := s.openTo(s.bridges[0]); n != 2 {
		t.Errorf("%d ports are open, want one of each fabric", n)
	}
}

// A bridge that is plugged in between ports that are open is found, and one of them is shut; when
// it goes, the port opens again.
func TestABridgeThatIsPluggedInBetweenOpenPortsIsFound(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, ring(3))
	s.settle()
	bridge := []End{{1, 100}, {3, 100}}
	s.bridges = [][]End{bridge}
	for range pauseEdge / (100 * time.Millisecond) {
		for _, d := range s.ids() {
			for range 4 {
				s.step(s.sw[d])
			}
		}
		s.now = s.now.Add(100 * time.Millisecond)
	}
	if n := s.openTo(bridge); n != 1 {
		t.Errorf("%d ports of the bridge are open", n)
	}
	s.rest()
	s.bridges = nil
	s.rest()
	if n := s.openTo(bridge); n != 2 {
		t.Errorf("%d of the ports are open when the bridge is gone", n)
	}
}

// Bridges that pass on even the frames by which links are found make one wire of several: no two of its ends are a
// link, and no frame goes round by it.
func TestFramesDoNotGoRoundByHubs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		s := newSite(t, seed, ring(4))
		s.hubs = true
		s.bridges = [][]End{{{1, 100}, {2, 100}, {3, 100}}, {{1, 101}, {1, 102}, {4, 101}}}
		for _, bridge := range s.bridges[1:] {
			for _, e := range bridge {
				s.sw[e.DPID].ports[e.Port] = true
			}
		}
		s.chaos(true)
		s.settle()
		for _, l := range s.cables {
			s.change(l, true)
			s.rest()
			s.change(l, false)
			s.settle()
		}
		for _, bridge := range s.bridges {
			if n := s.openTo(bridge); n != 1 {
				t.Errorf("seed %d: %d ports of %v are open, want 1", seed, n, bridge)
			}
			for _, k := range s.m.Links() {
				if !k.Down && (slices.Contains(bridge, k.A) || slices.Contains(bridge, k.B)) {
					t.Errorf("seed %d: %v is a link", seed, k.Link)
				}
			}
		}
	}
}

// A hub that connects fabrics and nothing else does keeps them connected, and one that has two ends left is a
// cable again.
func TestAHubConnectsFabrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, []Link{Between(End{1, 1}, End{2, 1}), Between(End{3, 1}, End{4, 1})})
	s.hubs = true
	s.bridges = [][]End{{{1, 100}, {2, 100}, {3, 100}, {4, 100}}}
	s.settle()
	if n := s.openTo(s.bridges[0]); n != 2 {
		t.Errorf("%d ports are open, want one of each fabric", n)
	}
	s.bridges[0] = []End{{1, 100}, {3, 100}}
	for range 2 {
		s.rest()
	}
	if !slices.ContainsFunc(s.m.Links(), func(k Known) bool { return k.Link == Between(End{1, 100}, End{3, 100}) && k.Tree }) {
		t.Errorf("what is left is no link: %v", s.m.Links())
	}
}
