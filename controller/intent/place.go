package intent

import (
	"cmp"
	"fmt"
	"slices"
)

// Conntrack zones of ports: that of a port with an interface of its own follows from its
// OpenFlow number, those of sub-ports lie above (docs/decisions/0015). What is above
// MaxZone is kept for routers and load balancers.
const (
	maxOwnZone   = 32767
	firstSubZone = maxOwnZone + 1
	subZones     = 1 << 14

	// MaxZone is the highest conntrack zone of a port.
	MaxZone = firstSubZone + subZones - 1
)

// zoneShift keeps the zones of the switches of a fabric apart, which may be bridges of one Open
// vSwitch that have one connection tracker: a frame that passes two of them is not to
// meet there what the first one has kept. The factor has nothing in common with how many zones there are, and
// spreads few switches evenly (it is near their golden section).
func zoneShift(fabric uint16) uint16 { return uint16(uint32(fabric) * 20252 % maxOwnZone) }

// ZoneOf is the conntrack zone of a port with an interface of its own, and stands for any
// other port with a number up to that of the last one that can be bound.
func (s *Setting) ZoneOf(no uint32) uint16 {
	return uint16(1 + (no-1+uint32(s.ZoneShift))%maxOwnZone)
}

// Compare orders the ports of a switch, by OpenFlow number and VLAN.
func (p *LocalPort) Compare(q *LocalPort) int {
	return cmp.Or(cmp.Compare(p.OFPort, q.OFPort), cmp.Compare(p.VLAN, q.VLAN))
}

// leads says whether the port is the parent of a trunk.
func (t *TrunkPlace) leads() bool { return t.ID != "" && t.Parent == "" }

// inLine orders ports as they take their places: the older port wins a contested
// switch port, whichever way it was named, and sub-ports come after their parents.
func inLine(a, b *Port) int {
	sub := func(p *Port) int { return min(len(p.Trunk.Parent), 1) }
	return cmp.Or(cmp.Compare(sub(a), sub(b)), cmp.Compare(a.Num, b.Num))
}

// places are the ports of a switch, as tenant ports take them.
type places struct {
	d       DPID
	in      *Setting
	byName  map[string]uint32
	present map[uint32]bool
	taken   map[uint32]string // OpenFlow number → the port that holds it
	at      map[string]uint32 // and the other way round
	tags    map[tag]string    // taken by sub-ports
	zones   map[uint16]bool   // given to sub-ports
}

// tag is a VLAN at a port.
type tag struct {
	no   uint32
	vlan uint16
}

func newPlaces(d DPID, in *Setting, n int) *places {
	return &places{
		d: d, in: in, byName: make(map[string]uint32, n), present: make(map[uint32]bool, n), taken: make(map[uint32]string, n), at: map[string]uint32{},
		tags: map[tag]string{}, zones: map[uint16]bool{},
	}
}

func (pl *places) add(p SwitchPort) {
	pl.byName[p.Name] = p.No
	pl.present[p.No] = true
}

// spot is where a port is on a switch.
type spot struct {
	no   uint32
	zone uint16
}

// misfit is why a port has no place.
type misfit struct {
	status PortStatus
	reason string
}

// place finds the place of a port.
func (pl *places) place(p *Port) (spot, *misfit) {
	if p.Trunk.Parent != "" {
		return pl.beside(p)
	}
	no := p.Binding.PortNo
	if p.Binding.InterfaceName != "" {
		no = pl.byName[p.Binding.InterfaceName]
	}
	switch {
	case p.Binding.InterfaceName != "" && no == 0:
		return spot{}, &misfit{PortDown, fmt.Sprintf("switch %s has no port named %q", pl.d, p.Binding.InterfaceName)}
	case no == 0:
		return spot{}, &misfit{PortDown, fmt.Sprintf("no interface of switch %s carries its id (external_ids:iface-id), and binding:profile names none", pl.d)}
	case !pl.present[no]:
		return spot{}, &misfit{PortDown, fmt.Sprintf("switch %s has no port number %d", pl.d, no)}
	case no > maxOwnZone:
		return spot{}, &misfit{PortError, fmt.Sprintf("port number %d of switch %s is above %d, the last one that can be bound", no, pl.d, maxOwnZone)}
	case pl.taken[no] != "":
		return spot{}, &misfit{PortError, fmt.Sprintf("port number %d of switch %s is bound to port %s already", no, pl.d, pl.taken[no])}
	}
	return spot{no, pl.in.ZoneOf(no)}, nil
}

// beside finds the place of a sub-port, which is that of its parent. Its zone
// follows from its number; where two would have the same, the younger one takes
// the next that is free.
func (pl *places) beside(p *Port) (spot, *misfit) {
	no, there := pl.at[p.Trunk.Parent]
	switch {
	case !there:
		return spot{}, &misfit{PortDown, fmt.Sprintf("port %s, the parent of its trunk, has no port of switch %s", p.Trunk.Parent, pl.d)}
	case pl.tags[tag{no, p.Trunk.VLAN}] != "": // for a moment, when it passes from one to the other
		return spot{}, &misfit{PortDown, fmt.Sprintf("VLAN %d of port %s is of port %s still", p.Trunk.VLAN, p.Trunk.Parent, pl.tags[tag{no, p.Trunk.VLAN}])}
	case len(pl.zones) == subZones:
		return spot{}, &misfit{PortError, fmt.Sprintf("switch %s has %d sub-ports already", pl.d, subZones)}
	}
	n := p.Num % subZones
	for pl.zones[uint16(firstSubZone+n)] {
		n = (n + 1) % subZones
	}
	return spot{no, uint16(firstSubZone + n)}, nil
}

// take gives a place to a port.
func (pl *places) take(p *Port, at spot) {
	if p.Trunk.Parent != "" {
		pl.tags[tag{at.no, p.Trunk.VLAN}], pl.zones[at.zone] = p.ID, true
		return
	}
	pl.taken[at.no], pl.at[p.ID] = p.ID, at.no
}

// free are the ports that nobody has taken.
func (pl *places) free() (free []uint32) {
	for no := range pl.present {
		if pl.taken[no] == "" {
			free = append(free, no)
		}
	}
	slices.Sort(free)
	return free
}
