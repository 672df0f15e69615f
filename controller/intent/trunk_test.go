package intent

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// carried is a sub-port of the trunk of a port.
func carried(num uint32, parent string, vlan uint16) Port {
	p := port(num, "net", named("eth1"))
	p.Trunk = TrunkPlace{ID: "trunk", Parent: parent, VLAN: vlan}
	return p
}

func TestSubPortsAreWhereTheirParentIs(t *testing.T) {
	t.Parallel()
	s := NewState()
	s.PutNetwork(network("net", 77), nil)
	// The parent is younger than its sub-ports.
	parent := port(50, "net", named("eth1"))
	parent.Trunk.ID = "trunk"
	s.PutPort(parent, nil)
	s.PutPort(port(2, "net", at(2)), nil)
	s.PutPort(carried(3, "port-50", 101), nil)
	down := carried(4, "port-50", 102)
	down.AdminUp = false
	s.PutPort(down, nil)
	off := carried(5, "port-50", 103)
	off.Trunk.Down = true
	s.PutPort(off, nil)
	s.PutPort(carried(6, "port-50", 101), nil)
	s.PutPort(carried(7, "port-9", 104), nil)
	s.PutPort(carried(3+subZones, "port-50", 105), nil)
	v := s.View(dpid, switchPorts(3), UnmanagedLearn)

	var got []string
	for _, p := range v.Ports {
		got = append(got, fmt.Sprintf("%s at %d.%d zone %d trunk %v up %v", p.ID, p.OFPort, p.VLAN, p.Zone, p.Trunk, p.Up))
	}
	want := []string{
		"port-50 at 1.0 zone 1 trunk true up true",
		"port-3 at 1.101 zone 32771 trunk false up true",
		"port-4 at 1.102 zone 32772 trunk false up false",
		"port-5 at 1.103 zone 32773 trunk false up false",
		"port-16387 at 1.105 zone 32774 trunk false up true",
		"port-2 at 2.0 zone 2 trunk false up true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("realized ports (-want +got):\n%s", diff)
	}
	states := []PortState{
		{ID: "port-2", Num: 2, Status: PortActive},
		{ID: "port-50", Num: 50, Status: PortActive},
		{ID: "port-3", Num: 3, Status: PortActive},
		{ID: "port-4", Num: 4, Status: PortDown, Reason: "administratively down"},
		{ID: "port-5", Num: 5, Status: PortDown, Reason: "trunk trunk is administratively down"},
		{ID: "port-6", Num: 6, Status: PortDown, Reason: "VLAN 101 of port port-50 is of port port-3 still"},
		{ID: "port-7", Num: 7, Status: PortDown, Reason: "port port-9, the parent of its trunk, has no port of switch 0000000000000001"},
		{ID: "port-16387", Num: 3 + subZones, Status: PortActive},
	}
	if diff := cmp.Diff(states, v.States); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{3, LocalPortNo}, v.Free); diff != "" {
		t.Errorf("free ports (-want +got):\n%s", diff)
	}
}

func TestZonesOfAllPortsOfASwitchDiffer(t *testing.T) {
	t.Parallel()
	s := NewState()
	s.PutNetwork(network("net", 77), nil)
	for no := range uint32(5) {
		s.PutPort(port(1+no, "net", at(1+no)), nil)
	}
	// More have the same number of a zone than there are numbers to the last one.
	for i := range uint32(40) {
		s.PutPort(carried(subZones-3+i%3+i*subZones, "port-1", uint16(1+i)), nil)
	}
	seen := map[uint16]string{}
	for _, p := range s.View(dpid, switchPorts(5), UnmanagedLearn).Ports {
		if other := seen[p.Zone]; other != "" || p.Zone == 0 || p.VLAN != 0 && (p.Zone < firstSubZone || p.Zone > MaxZone) {
			t.Errorf("%s has zone %d; so has %q", p.ID, p.Zone, other)
		}
		seen[p.Zone] = p.ID
	}
	if len(seen) != 45 {
		t.Errorf("%d ports have zones, want 45", len(seen))
	}
}

func TestAChangeOfATrunkTouchesTheSwitchOfItsSubPorts(t *testing.T) {
	t.Parallel()
	s := NewState()
	s.PutNetwork(network("net", 77), nil)
	s.PutPort(carried(3, "port-1", 101), nil)
	for _, change := range []func(*TrunkPlace){
		func(p *TrunkPlace) { p.Down = true },
		func(p *TrunkPlace) { p.VLAN = 7 },
		func(p *TrunkPlace) { *p = TrunkPlace{} },
	} {
		p := *s.ports["port-3"]
		change(&p.Trunk)
		touched := Touched{}
		s.PutPort(p, touched)
		if len(touched) != 1 {
			t.Errorf("%+v touches %v, want the switch", p.Trunk, touched)
		}
	}
}
