package intent

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/macloom/macloom/controller/mac"
)

// Unmanaged says what happens to switch ports that no tenant port is bound to.
type Unmanaged string

const (
	UnmanagedLearn Unmanaged = "learn" // they form one learning domain
	UnmanagedDrop  Unmanaged = "drop"  // their packets are dropped
)

// LocalPortNo is the OpenFlow number of a bridge's own port (OFPP_LOCAL).
const LocalPortNo uint32 = 0xfffffffe

// View is all that one switch has to know, with every reference resolved.
// Equal inputs give equal views, so equal flows.
type View struct {
	DPID     DPID
	Revision int64
	Setting
	Ports    []LocalPort    // bound ports that can be realized, by OpenFlow number and VLAN
	Free     []uint32       // ports that no tenant port is bound to, in order
	Shut     []uint32       // those of them that pass no frames but those on paths, in order: it is not known yet what they lead to, or the tree does without the link
	Links    []uint32       // those of them that lead to other switches, in order
	Networks []LocalNetwork // by VNI
	Sets     []GroupSet     // by slot
	Scopes   []Scope        // what the sets' rules name as remote, by slot

	Blocks   []Block   // by number
	Services []Service // balanced for ports here, by number
	Probes   []Probe   // of backends at ports here, by backend

	// The overlay: where what is not local is found.
	Peers    []Peer   // by slot
	Prefixes []Prefix // by slot
	Strays   []Stray  // by number of the port

	Far []FarPort // of the fabric, by number

	// Paths lead to the other switches of the fabric, by slot.
	Paths       []Path
	QoSMarks    []QoSMark       // by policy
	QoSSegments []MarkedSegment // by number of the segment

	// States has an entry for every port bound here: what its status becomes
	// once the flows of this view are confirmed.
	States []PortState

	layout *layout
}

// Setting is what seldom changes of a switch, and changes the flows of all else
// when it does.
type Setting struct {
	Unmanaged Unmanaged
	Meters    bool   // whether the switch has meters; known to those who can ask it
	Groups    bool   // the same of groups that heed which ports are alive
	Discovery bool   // whether links with other switches are looked for at its free ports
	Tunnel    uint32 // port that leads to the peers; 0: none
	Queues    bool   // whether packets are put into queues, which we make at its ports
	Slot      uint16 // number of the switch in its fabric; 0: none
	ZoneShift uint16 // how far the zones of its ports are from their numbers
}

// Edges returns the free ports that pass frames and lead to stations.
func (v *View) Edges() []uint32 {
	return slices.DeleteFunc(v.Open(), func(no uint32) bool {
		_, link := slices.BinarySearch(v.Links, no)
		return link
	})
}

// Open returns the free ports that pass frames.
func (v *View) Open() []uint32 {
	if v.Unmanaged != UnmanagedLearn {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Free), func(no uint32) bool {
		_, shut := slices.BinarySearch(v.Shut, no)
		return shut
	})
}

// Fabric returns the free ports that may be linked with other switches, in order:
// not that of the switch itself.
func (v *View) Fabric() []uint32 {
	if !v.Discovery {
		return nil
	}
	end, _ := slices.BinarySearch(v.Free, maxOwnZone+1)
	return v.Free[:end]
}

// PortState is the realized status of a port.
type PortState struct {
	ID     string
	Num    uint32
	Status PortStatus
	Reason string
}

// LocalPort is a tenant port at a port of this switch.
type LocalPort struct {
	ID     string
	Num    uint32
	OFPort uint32
	VLAN   uint16 // of a sub-port of a trunk: the tag of its packets at OFPort; 0: they have none
	Trunk  bool   // the port has a trunk: the other tags at OFPort are those of its sub-ports
	Zone   uint16 // conntrack zone, unique on this switch: it stands for the port there
	VNI    uint32
	Set    uint32 // slot of its group set; 0: no groups, nothing is allowed
	Scope  uint32 // slot of the scope of that; 0: no rule names a remote group
	MAC    mac.Addr
	Prefix uint32 // slot of the host's segment, or of the shared block, that the MAC is of; 0: of none
	IPs    []netip.Addr
	Pairs  []LocalPair // what it may speak as besides
	Others []mac.Addr  // of other ports of the network, in blocks of the pairs: never to speak as these
	Open   bool        // no port security: it speaks as it likes, and no rule is asked
	Listed bool        // its network has MAC allow lists: what else it speaks as must be in one of them
	Served Served      // what the controller answers it
	Tag    uint16      // of its network on the links of the fabric; 0: it has none
	Number uint16      // by which other switches of the fabric know it, beside the tag; 0: it has none
	QoS    PortQoS
	Up     bool // false: administratively down, its packets are dropped
}

// LocalPair is MACs and addresses that a port may speak as besides its own.
type LocalPair struct {
	Block  mac.Segment  // mostly of one MAC
	Prefix netip.Prefix // never of length 0
}

// LocalNetwork is a network with ports on this switch.
type LocalNetwork struct {
	VNI   uint32
	Ports []*LocalPort // of the view, those that are up; none: the host passes on what is for those that have left it
	Peers []uint32     // slots of the other hosts that have ports of it

	Tag uint16 // VLAN tag on the links of the fabric; 0: it has none

	Shared []SharedBlock // what ports of it may speak as, here or elsewhere

	Listed  bool          // it has MAC allow lists
	Allowed []mac.Segment // what is in them
}

// GroupSet is a distinct set of security groups that ports of this switch have.
// Rules are compiled once per set, not per port.
type GroupSet struct {
	Slot  uint32
	Rules []SetRule // by mark

	memo *memo
}

// SetRule is a rule with what it asks of the address of the other side.
type SetRule struct {
	Rule
	Stateless bool // its group does not look at connections
	// Remote is the prefix that the other side must be in; invalid: none.
	Remote netip.Prefix
	// Grouped rules name a group instead, and Classes are those of its addresses
	// in the scope of the set: none while it has no members.
	Grouped bool
	Classes []uint32
}

// newLayout makes the layout of a switch, but for the slots.
func (s *State) newLayout(d DPID, switchPorts []SwitchPort) *layout {
	v := &View{DPID: d}
	v.ZoneShift = zoneShift(s.InFabric(d))
	places := newPlaces(d, &v.Setting, len(switchPorts))
	for _, p := range switchPorts {
		if p.Name == TunnelPort {
			v.Tunnel = p.No
			continue
		}
		places.add(p)
	}

	bound := s.boundTo(d)
	sets, keys := map[string][]string{}, make(map[string]string, len(bound))
	v.Ports, v.States = make([]LocalPort, 0, len(bound)), make([]PortState, 0, len(bound))
	for _, p := range bound {
		state := PortState{ID: p.ID, Num: p.Num, Status: PortDown}
		network, ok := s.networks[p.NetworkID]
		switch at, fault := places.place(p); {
		case !ok:
			state.Reason = fmt.Sprintf("network %s is gone", p.NetworkID)
		case fault != nil:
			state.Status, state.Reason = fault.status, fault.reason
		default:
			places.take(p, at)
			up := p.AdminUp && network.AdminUp
			switch {
			case !up:
				state.Reason = "administratively down"
			case p.Trunk.Down:
				up, state.Reason = false, fmt.Sprintf("trunk %s is administratively down", p.Trunk.ID)
			case network.NoVLAN && s.InFabric(d) != 0:
				state.Status = PortError
				state.Reason = fmt.Sprintf("none of the %d VLAN tags is left for network %s, which other switches of the fabric are reached by", MaxVLAN, p.NetworkID)
			default:
				state.Status = PortActive
			}
			local := LocalPort{
				ID: p.ID, Num: p.Num, OFPort: at.no, VLAN: p.Trunk.VLAN, Trunk: p.Trunk.leads(), Zone: at.zone, VNI: network.VNI, MAC: p.MAC, Up: up,
			}
			local.Prefix, local.Others = s.slotOf(p.NetworkID, p.MAC), s.othersIn(p)
			for _, ip := range p.FixedIPs {
				local.IPs = append(local.IPs, ip.Addr)
			}
			slices.SortFunc(local.IPs, netip.Addr.Compare)
			local.Open, local.Served, local.Listed = p.Unguarded, s.served(p), len(s.allowOf[p.NetworkID]) > 0
			for _, pair := range p.Extras.Pairs {
				for _, prefix := range pair.Prefixes() {
					local.Pairs = append(local.Pairs, LocalPair{pair.Block(p.MAC), prefix})
				}
			}
			local.QoS = s.portQoS(p, &network)
			v.Ports = append(v.Ports, local)
			key := setKey(s.groupNums(p.SecurityGroups))
			sets[key], keys[p.ID] = p.SecurityGroups, key
		}
		v.States = append(v.States, state)
	}
	v.Free = places.free()

	slices.SortFunc(v.Ports, func(a, b LocalPort) int { return a.Compare(&b) })
	v.addNetworks()
	s.addServices(v)
	s.addProbes(v)
	s.addOverlay(v)
	s.addQoS(v)
	return &layout{ports: switchPorts, sets: sets, keys: keys, view: *v}
}

// withSlots returns a copy of the layout with other slots of its sets.
func (l *layout) withSlots(given map[string]slots) *layout {
	n := *l
	v := &n.view
	v.Ports, v.Networks = slices.Clone(v.Ports), slices.Clone(v.Networks)
	byVNI := v.portsByVNI()
	for i := range v.Networks {
		v.Networks[i].Ports = byVNI[v.Networks[i].VNI]
	}
	n.give(given)
	return &n
}

// give takes over the slots of the sets. Nobody else must have the layout yet.
func (l *layout) give(given map[string]slots) {
	l.given = given
	v := &l.view
	for i := range v.Ports {
		own := given[l.keys[v.Ports[i].ID]]
		v.Ports[i].Set, v.Ports[i].Scope = own.set, own.scope
	}
}

// slots are those of a set of groups and of its scope.
type slots struct{ set, scope uint32 }

// addSets gives every distinct group set of the view and its scope a slot,
// resolves its rules, and returns the slots by set key.
//
// A slot is derived from the groups alone, so that it is the same after any
// history of changes and after a restart: the number of the group for a set of
// one, a hash with the top bit set for larger ones.
func (s *State) addSets(v *View, sets map[string][]string) map[string]slots {
	given, asked := map[string]slots{}, map[*scope]bool{}
	used := map[uint32]bool{0: true}
	keys := slices.Sorted(maps.Keys(sets))
	scopes := make([]*scope, len(keys))
	for i, key := range keys {
		if scopes[i] = s.scopeOf(sets[key]); scopes[i] != nil {
			asked[scopes[i]] = true
		}
	}
	scopeSlots := v.addScopes(asked)
	for i, key := range keys {
		groups := sets[key]
		nums := s.groupNums(groups)
		if len(nums) == 0 {
			continue
		}
		slot := nums[0]
		if len(nums) > 1 {
			slot = freeSlot(hashOf(key), func(slot uint32) bool { return used[slot] })
		}
		used[slot] = true
		given[key] = slots{slot, scopeSlots[scopes[i]]}
		v.Sets = append(v.Sets, s.groupSet(slot, key, groups, scopes[i]))
	}
	slices.SortFunc(v.Sets, func(a, b GroupSet) int { return cmp.Compare(a.Slot, b.Slot) })
	return given
}

func resolve(r Rule, stateless bool, in *scope) SetRule {
	out := SetRule{Rule: r, Stateless: stateless}
	switch id := r.remoteID(); {
	case id != "":
		out.Grouped, out.Classes = true, in.classes[remote{id, r.EtherType}]
	case r.RemotePrefix.IsValid() && r.RemotePrefix.Bits() > 0:
		out.Remote = r.RemotePrefix.Masked()
	}
	return out
}

// portsByVNI are those that are up.
func (v *View) portsByVNI() map[uint32][]*LocalPort {
	byVNI := map[uint32][]*LocalPort{}
	for i := range v.Ports {
		if p := &v.Ports[i]; p.Up {
			byVNI[p.VNI] = append(byVNI[p.VNI], p)
		}
	}
	return byVNI
}

func (v *View) addNetworks() {
	for vni, ports := range v.portsByVNI() {
		v.Networks = append(v.Networks, LocalNetwork{VNI: vni, Ports: ports})
	}
	slices.SortFunc(v.Networks, func(a, b LocalNetwork) int { return cmp.Compare(a.VNI, b.VNI) })
}

// groupNums returns the sorted numbers of the groups that exist.
func (s *State) groupNums(ids []string) []uint32 {
	nums := make([]uint32, 0, len(ids))
	for _, id := range ids {
		if g, ok := s.groups[id]; ok {
			nums = append(nums, g.Num)
		}
	}
	slices.Sort(nums)
	return slices.Compact(nums)
}

func setKey(nums []uint32) string {
	key := make([]byte, 0, 4*len(nums))
	for _, n := range nums {
		key = binary.BigEndian.AppendUint32(key, n)
	}
	return string(key)
}
