package intent

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serving is a network with ports on two switches and a pool of them.
func serving(t *testing.T) (*State, AffinityPool) {
	t.Helper()
	s := NewState()
	s.PutNetwork(Network{Meta: Meta{ID: "n"}, VNI: 7, AdminUp: true}, nil)
	for i := uint32(1); i <= 4; i++ {
		p := Port{
			Meta: Meta{ID: fmt.Sprint("p", i)}, Num: i, NetworkID: "n", AdminUp: true, MAC: 0x020000000000 + 1,
			FixedIPs: []FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}}, Binding: Binding{Host: DPID(1 + i%2).String(), PortNo: i},
		}
		if i == 4 {
			p.Binding = Binding{}
		}
		s.PutPort(p, nil)
	}
	pool := AffinityPool{Meta: Meta{ID: "pool"}, Num: 1, NetworkID: "n", VIPPortID: "p4", Protocol: TransportTCP, Port: 80, Affinity: AffinityMAC, Timeout: 9, AdminUp: true}
	for i := uint32(1); i <= 3; i++ {
		pool.Backends = append(pool.Backends, AffinityBackend{Num: 10 + i, PortID: fmt.Sprint("p", i), Port: 8080, Weight: 1, State: BackendUp})
	}
	pool.Slots = SpreadSlots(nil, pool.Weights())
	s.PutAffinityPool(pool, nil)
	return s, pool
}

func servicesOn(s *State) []Service {
	return s.View(2, []SwitchPort{{No: 1}, {No: 3}}, UnmanagedDrop).Services
}

// What fails for a while leaves its slots to the others, and has the same ones after it.
func TestABackendThatComesBackHasItsSlotsAgain(t *testing.T) {
	t.Parallel()
	s, pool := serving(t)
	before := servicesOn(s)[0].Slots
	fails := map[string][2]func(){
		"health": {
			func() {
				p := pool
				p.Backends = append([]AffinityBackend{}, pool.Backends...)
				p.Backends[0].Health = HealthDown
				s.PutAffinityPool(p, nil)
			},
			func() { s.PutAffinityPool(pool, nil) },
		},
		"port": {
			func() { p, _ := s.Port("p1"); p.AdminUp = false; s.PutPort(p, nil) },
			func() { p, _ := s.Port("p1"); p.AdminUp = true; s.PutPort(p, nil) },
		},
	}
	for name, change := range fails {
		change[0]()
		during := servicesOn(s)[0].Slots
		for i := range during {
			if during[i] == 11 || before[i] != 11 && during[i] != before[i] {
				t.Fatalf("%s: slot %d of %d has become %d's", name, i, before[i], during[i])
			}
		}
		change[1]()
		if diff := cmp.Diff(before, servicesOn(s)[0].Slots); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
}

// Pools that lead to the same address and port share its zone, others have their own.
func TestWhatIsLedToHasAZoneOfItsOwn(t *testing.T) {
	t.Parallel()
	s, pool := serving(t)
	other := pool
	other.ID, other.Num, other.Port = "other", 2, 81
	other.Backends = append([]AffinityBackend{}, pool.Backends...)
	for i := range other.Backends {
		other.Backends[i].Num += 10
	}
	other.Backends[2].Port = 8081
	// By its address, which is the first one's too.
	other.Backends[0].PortID, other.Backends[0].Address = "", netip.MustParseAddr("10.0.0.1")
	s.PutAffinityPool(other, nil)
	list := servicesOn(s)
	zones, leads := map[uint16][]uint32{}, 0
	for _, v := range list {
		for _, b := range v.Targets {
			zones[b.Zone] = append(zones[b.Zone], b.Num)
			if b.Leads {
				leads++
			}
			if b.Zone <= MaxZone || b.Zone > LastTargetZone {
				t.Errorf("zone %d", b.Zone)
			}
		}
	}
	if len(zones) != 4 || leads != 4 || list[0].Targets[0].Zone != list[1].Targets[0].Zone || list[0].Targets[2].Zone == list[1].Targets[2].Zone {
		t.Errorf("%d zones, %d flows back: %v", len(zones), leads, zones)
	}
	if !list[0].Answers || list[1].Answers {
		t.Error("not one of the two says where the address is")
	}
}
