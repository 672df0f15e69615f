package intent

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/mac"
)

// fabricOf is a state with switches of a fabric, and a host that has a tunnel and was linked once.
func fabricOf(switches ...DPID) *State {
	s := NewState()
	for i, d := range switches {
		s.PutHost(Host{DPID: d, Slot: uint32(10 + i), Fabric: uint16(1 + i)}, nil)
	}
	s.PutHost(Host{DPID: 99, Slot: 99, Tunnel: netip.MustParseAddr("192.0.2.99"), Fabric: 99}, nil)
	return s
}

func TestOnlyNetworksAtSeveralSwitchesOfTheFabricNeedTags(t *testing.T) {
	t.Parallel()
	s := fabricOf(1, 2)
	for id, at := range map[string][]DPID{"one": {1, 1}, "two": {1, 2}, "beside": {2, 50}, "host": {2, 99}, "gone": {1, 2}} {
		if id != "gone" {
			s.PutNetwork(network(id, 77+uint32(len(id))), nil)
		}
		for i, d := range at {
			p := port(uint32(10*len(id)+i), id, Binding{Host: d.String(), PortNo: 1})
			p.ID = fmt.Sprint(id, i)
			s.PutPort(p, nil)
		}
	}
	if diff := cmp.Diff([]string{"two"}, s.Spanning()); diff != "" {
		t.Errorf("networks that need tags (-want +got):\n%s", diff)
	}
	s.DeleteHost(2, nil)
	if got := s.Spanning(); len(got) != 0 {
		t.Errorf("%v need tags with one switch", got)
	}
}

func TestAPortIsInErrorWhereNoTagIsLeftForItsNetwork(t *testing.T) {
	t.Parallel()
	s := fabricOf(1, 2)
	n := network("blue", 77)
	n.NoVLAN = true
	s.PutNetwork(n, nil)
	s.PutPort(port(1, "blue", Binding{Host: DPID(1).String(), PortNo: 1}), nil)
	s.PutPort(port(2, "blue", Binding{Host: DPID(99).String(), PortNo: 1}), nil)
	got := s.View(1, switchPorts(3), UnmanagedLearn).States[0]
	if got.Status != PortError || !strings.Contains(got.Reason, "none of the 4094 VLAN tags is left") {
		t.Errorf("in the fabric: %+v", got)
	}
	if got := s.View(99, switchPorts(3), UnmanagedLearn).States[0]; got.Status != PortActive {
		t.Errorf("on a host that has a tunnel: %+v", got)
	}
	if given, lacking := s.VLANs(); given != 0 || lacking != 1 {
		t.Errorf("%d networks have tags and %d lack one", given, lacking)
	}
}

func TestPortsOfANetworkHaveNumbersOfTheirOwnAtASwitch(t *testing.T) {
	t.Parallel()
	var ports []*Port
	add := func(num uint32) {
		ports = append(ports, &Port{Meta: Meta{ID: fmt.Sprint(num)}, Num: num})
	}
	for _, num := range []uint32{8200, 5, 6, 5 + mac.MaxNumber, 2*mac.MaxNumber - 1, mac.MaxNumber - 1, mac.MaxNumber} {
		add(num)
	}
	want := map[string]uint16{"5": 6, "6": 7, "8190": 8191, "8191": 1, "8196": 8, "8200": 10, "16381": 2}
	if diff := cmp.Diff(want, numbersOf(ports)); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	ports = nil
	for num := range uint32(mac.MaxNumber + 10) {
		add(num + 1)
	}
	seen := map[uint16]bool{}
	numbers := numbersOf(ports)
	for _, n := range numbers {
		if n == 0 || n > mac.MaxNumber || seen[n] {
			t.Fatalf("number %d, again: %t", n, seen[n])
		}
		seen[n] = true
	}
	if len(numbers) != mac.MaxNumber || numbers[fmt.Sprint(mac.MaxNumber+1)] != 0 {
		t.Errorf("%d ports have numbers", len(numbers))
	}
}

// For a moment two networks may seem to have the same tag: then only one goes by links.
func TestATagIsOfOneNetworkInAView(t *testing.T) {
	t.Parallel()
	s := fabricOf(1, 2)
	for i, id := range []string{"blue", "red"} {
		n := network(id, 77+uint32(i))
		n.VLAN = 5
		s.PutNetwork(n, nil)
		for d := range DPID(2) {
			p := port(uint32(10*i)+uint32(d)+1, id, Binding{Host: (d + 1).String(), PortNo: uint32(1 + i)})
			s.PutPort(p, nil)
		}
	}
	v := s.View(1, switchPorts(3), UnmanagedLearn)
	if v.Networks[0].Tag != 5 || v.Networks[1].Tag != 0 || len(v.Far) != 1 || v.Far[0].VNI != 77 {
		t.Errorf("networks %+v, far %+v", v.Networks, v.Far)
	}
	want := FarPort{Num: 2, VNI: 77, MAC: v.Far[0].MAC, Tag: 5, At: mac.Locator{Slot: 2, Number: 3}}
	if diff := cmp.Diff(want, v.Far[0]); diff != "" {
		t.Errorf("port elsewhere (-want +got):\n%s", diff)
	}
}

// Switches of a fabric may have one connection tracker, where ports with the same number
// at two of them are not to meet.
func TestZonesOfSwitchesOfAFabricDoNotMeet(t *testing.T) {
	t.Parallel()
	const switches, ports = 100, 64
	holder := map[uint16]string{}
	for slot := range uint16(switches) {
		v := View{Setting: Setting{ZoneShift: zoneShift(slot)}}
		for no := range uint32(ports) {
			zone, at := v.ZoneOf(no+1), fmt.Sprint(slot, ":", no+1)
			if zone == 0 || zone > maxOwnZone || holder[zone] != "" {
				t.Fatalf("%s has zone %d, as %s has", at, zone, holder[zone])
			}
			holder[zone] = at
		}
	}
	seen := map[uint16]bool{}
	v := View{Setting: Setting{ZoneShift: zoneShift(4095)}}
	for no := uint32(1); no <= maxOwnZone; no++ {
		seen[v.ZoneOf(no)] = true
	}
	if len(seen) != maxOwnZone || seen[0] {
		t.Errorf("%d ports have %d zones", maxOwnZone, len(seen))
	}
	s := fabricOf(1)
	s.PutNetwork(network("blue", 77), nil)
	s.PutPort(port(1, "blue", at(3)), nil)
	if got := s.View(dpid, switchPorts(3), UnmanagedLearn).Ports[0].Zone; got != 3+20252 {
		t.Errorf("zone %d", got)
	}
}

// Where a port is no stranger to its switch's MAC segment, the other switches have to hear of
// it all the same: no segment leads there.
func TestSwitchesOfAFabricHearOfEachPort(t *testing.T) {
	t.Parallel()
	s := fabricOf(1, 2)
	s.PutHostSegment(HostSegment{ID: "two", Num: 1, Block: mac.MustParseSegment("02:00:00:00:00:00/40"), Host: 2}, nil)
	s.PutNetwork(network("blue", 77), nil)
	s.PutPort(port(1, "blue", Binding{Host: DPID(1).String(), PortNo: 1}), nil)
	s.PutPort(port(2, "blue", Binding{Host: DPID(2).String(), PortNo: 1}), nil)
	touched := Touched{}
	s.PutPort(port(3, "blue", Binding{Host: DPID(2).String(), PortNo: 2}), touched)
	if _, told := touched[1]; !told {
		t.Errorf("a port that came touches %v", touched)
	}
	clear(touched)
	s.DeletePort("port-3", touched)
	if _, told := touched[1]; !told {
		t.Errorf("a port that went touches %v", touched)
	}
}
