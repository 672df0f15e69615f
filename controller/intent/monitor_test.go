package intent

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatusCodesAreRanges(t *testing.T) {
	t.Parallel()
	codes, err := ParseStatusCodes("200-299,401")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int]bool{199: false, 200: true, 299: true, 300: false, 401: true, 402: false} {
		if got := codes.Contain(code); got != want {
			t.Errorf("%d is among them: %t", code, got)
		}
	}
	for _, s := range []string{"", "2xx", "99", "600", "200-", "-200", "300-200", "200,", "0200", "+20", strings.Repeat("200,", maxCodeRanges) + "200"} {
		if _, err := ParseStatusCodes(s); err == nil {
			t.Errorf("%q is read", s)
		}
	}
}

// Whatever changes, the switch that has a backend is told to probe it, and no other one; whom nothing was said of has
// nothing else to do than before.
func TestProbesFollowTheirBackends(t *testing.T) {
	t.Parallel()
	view := func(s *State, d DPID) []Probe {
		return s.View(d, []SwitchPort{{No: 1}, {No: 2}, {No: 3}}, UnmanagedDrop).Probes
	}
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		s, pool := serving(t)
		ports, probed := map[string]Port{}, 0
		for i := range 4 {
			id := fmt.Sprint("p", i+1)
			ports[id], _ = s.Port(id)
		}
		before := map[DPID][]Probe{1: view(s, 1), 2: view(s, 2)}
		for range 60 {
			touched := Touched{}
			switch rnd.IntN(3) {
			case 0:
				id := fmt.Sprint("p", rnd.IntN(4)+1)
				p := ports[id]
				p.AdminUp = rnd.IntN(5) > 0
				p.Binding = Binding{}
				if rnd.IntN(5) > 0 {
					p.Binding = Binding{Host: DPID(rnd.IntN(2) + 1).String(), PortNo: uint32(rnd.IntN(3) + 1)}
				}
				ports[id] = p
				s.PutPort(p, touched)
			case 1:
				pool.Backends = append([]AffinityBackend{}, pool.Backends...)
				b := &pool.Backends[rnd.IntN(3)]
				b.State = []BackendState{BackendUp, BackendDrain, BackendDown}[rnd.IntN(3)]
				b.Probed = []Health{HealthUnknown, HealthUp, HealthDown}[rnd.IntN(3)]
				s.PutAffinityPool(pool, touched)
			case 2:
				pool.Monitor = Monitor{Delay: 5, Timeout: 2, Rise: 2, Fall: 3, Kind: []MonitorKind{"", MonitorTCP, MonitorPing}[rnd.IntN(3)]}
				pool.AdminUp = rnd.IntN(4) > 0
				s.PutAffinityPool(pool, touched)
			}
			fresh := NewState()
			fresh.PutNetwork(Network{Meta: Meta{ID: "n"}, VNI: 7, AdminUp: true}, nil)
			for _, p := range ports {
				fresh.PutPort(p, nil)
			}
			fresh.PutAffinityPool(pool, nil)
			equal := cmp.Comparer(func(a, b Probe) bool { return a == b })
			at := map[uint32]DPID{}
			for d := range before {
				now := view(s, d)
				if diff := cmp.Diff(view(fresh, d), now, equal); diff != "" {
					t.Fatalf("seed %d, switch %s (-fresh +increments):\n%s", seed, d, diff)
				}
				if _, told := touched[d]; !told && !cmp.Equal(before[d], now, equal) {
					t.Fatalf("seed %d: switch %s is not told that its probes have changed", seed, d)
				}
				for _, p := range now {
					if at[p.Backend] != 0 {
						t.Fatalf("seed %d: backend %d is probed at two switches", seed, p.Backend)
					}
					at[p.Backend] = d
					probed++
				}
				before[d] = now
			}
		}
		if probed == 0 {
			t.Errorf("seed %d: nothing is probed", seed)
		}
	}
}
