package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

const goesBack = "it would leave by the port that it came by"

// why says why a copy of a frame ends at a step.
func (e *explainer) why(s *station, step *walk.Step) string {
	for _, a := range step.Taken {
		switch {
		case strings.HasPrefix(a.Note, "skipped"):
			return goesBack
		case strings.Contains(a.Note, "fragment"):
			return "it is a fragment whose datagram is not complete"
		}
	}
	cookie := pipeline.Cookie(step.Flow.Cookie)
	switch tableName(step.Table) {
	case "classify":
		switch {
		case cookie.Kind() == pipeline.KindPort:
			return s.closed(cookie.Object(), step)
		case cookie.Kind() == pipeline.KindFree:
			return "the switch port belongs to no port"
		case step.Uint(openflow.InPort) == uint64(s.view.Tunnel) && s.view.Tunnel != 0:
			return "no port of the network is up on this switch"
		}
		return "the controller does not know the switch port"
	case "guard", "guard-nd":
		return e.forged(s, step)
	case "allow":
		return e.unlisted(step)
	case "egress-ct", "ingress-ct":
		return fmt.Sprintf("%s is neither ARP nor IP", etherType(step))
	case "egress-rules":
		return e.refused(s, step, intent.Egress)
	case "ingress-rules":
		return e.refused(s, step, intent.Ingress)
	case "tags":
		return "the port that it is for has gone"
	case "pins":
		return "" // it was only looked up there, and goes on
	case "segments", "exact", "tunnel":
		return e.lost(s, step)
	case "output":
		switch {
		case cookie.Kind() == pipeline.KindPort && step.Uint(openflow.VLANVID) != 0:
			return "it has a VLAN tag, which would pass for that of a sub-port on the interface of a trunk"
		case cookie.Kind() == pipeline.KindPort:
			return goesBack
		}
	}
	for _, t := range pipeline.Tables() {
		if t.ID == step.Table && (!step.Hit || step.Flow.Priority == 0) {
			return strings.TrimPrefix(t.Miss, "drop: ")
		}
	}
	return "its flow says so"
}

// closed says why nothing that comes by a port, or with a tag there, is let in.
func (s *station) closed(num uint32, step *walk.Step) string {
	p, _ := s.local(num)
	switch tag := step.Uint(openflow.VLANVID) & 0xfff; {
	case p.VLAN != 0:
		return "the sub-port or its trunk is administratively down"
	case p.Trunk && tag != 0:
		return fmt.Sprintf("no sub-port of the trunk has the VLAN tag %d", tag)
	}
	return "the port is administratively down"
}

// forged says what of a frame is not its sender's.
func (e *explainer) forged(s *station, step *walk.Step) string {
	zone := uint16(step.Uint(openflow.Reg0)) // it stands for the port
	at := slices.IndexFunc(s.view.Ports, func(p intent.LocalPort) bool { return p.Zone == zone })
	if at < 0 {
		return "the spoof guard does not know its port"
	}
	p, src := s.view.Ports[at], source(step)
	addrs := slices.Clone(p.IPs)
	var prefixes []netip.Prefix
	own := src == p.MAC
	for _, pair := range p.Pairs {
		if pair.Block.Contains(src) {
			own = true
			prefixes = append(prefixes, pair.Prefix)
		}
	}
	if src != p.MAC {
		addrs = nil
	}
	speaks := func(a netip.Addr) bool {
		return slices.Contains(addrs, a) || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	allowed := fmt.Sprint(addrs, prefixes)
	addr := func(id openflow.FieldID) netip.Addr {
		v, _ := step.Field(id)
		a, _ := netip.AddrFromSlice(v)
		return a
	}
	switch kind := etherType(step); {
	case slices.Contains(p.Others, src):
		return fmt.Sprintf("source MAC %s is that of another port of the network", src)
	case !own:
		return fmt.Sprintf("source MAC %s is not the port's, which is %s", src, p.MAC)
	case step.Uint(openflow.VLANVID) != 0 || kind == "a VLAN tag":
		return "it has a VLAN tag, and the port speaks untagged"
	case kind == "ARP":
		sha, _ := step.Field(openflow.ARPSHA)
		if sender := mac.FromBytes([6]byte(sha)); sender != src {
			return fmt.Sprintf("the ARP sender MAC %s is not %s", sender, src)
		}
		return fmt.Sprintf("the ARP sender address %s is none of the port's: %s", addr(openflow.ARPSPA), allowed)
	case kind == "IPv4" && !speaks(addr(openflow.IPv4Src)):
		return fmt.Sprintf("source address %s is none of the port's: %s", addr(openflow.IPv4Src), allowed)
	case kind == "IPv6" && isND(step):
		return "it is neighbour discovery that speaks for an address or MAC that is not the port's, or what only routers send"
	case kind == "IPv6" && !speaks(addr(openflow.IPv6Src)):
		return fmt.Sprintf("source address %s is none of the port's: %s", addr(openflow.IPv6Src), allowed)
	case kind != "IPv4" && kind != "IPv6":
		return fmt.Sprintf("%s is neither ARP nor IP", kind)
	}
	return "the spoof guard of the port does not allow it"
}

// unlisted says which MAC allow lists do not have the source of a frame.
func (e *explainer) unlisted(step *walk.Step) string {
	var names []string
	e.w.Read(func(state *intent.State) {
		n, _ := networkOf(state, uint32(step.Uint(openflow.Metadata)))
		for _, l := range state.MACAllowLists(n.ID) {
			if !e.sees(l.TenantID) {
				names = append(names, "of another tenant")
				continue
			}
			names = append(names, nameOr(l.Name, l.ID))
		}
	})
	noun := "list"
	if len(names) > 1 {
		noun = "lists"
	}
	return fmt.Sprintf("source MAC %s is not in MAC allow %s %s", source(step), noun, strings.Join(names, ", "))
}

// networkOf finds the network with a VNI.
func networkOf(s *intent.State, vni uint32) (intent.Network, bool) {
	for n := range s.Networks() {
		if n.VNI == vni {
			return n, true
		}
	}
	return intent.Network{}, false
}

func isND(step *walk.Step) bool {
	t := step.Uint(openflow.ICMP6Type)
	return step.Uint(openflow.IPProto) == uint64(protoICMPv6) && t >= 133 && t <= 137
}

// refused says which groups have no rule for a frame.
func (e *explainer) refused(s *station, step *walk.Step, dir intent.Direction) string {
	state := step.Tracked()
	if state&flow.CTInv != 0 {
		return "the connection tracker finds it invalid: it is part of no connection that it knows"
	}
	set := uint32(step.Uint(openflow.Reg0 + 8))
	whose := "sender"
	if dir == intent.Ingress {
		whose = "receiver"
	}
	var groups []string
	for _, p := range s.view.Ports {
		if p.Set == set && set != 0 {
			groups = e.groupsOf(p.ID)
			break
		}
	}
	if state&flow.CTRpl != 0 {
		return "it answers a connection that no rule admits any more"
	}
	if len(groups) == 0 {
		return fmt.Sprintf("the %s has no security groups, so that nothing but ARP and neighbour discovery passes", whose)
	}
	far, _ := step.Field(openflow.IPv4Dst)
	word := "to"
	if dir == intent.Ingress {
		far, _ = step.Field(openflow.IPv4Src)
		word = "from"
	}
	if etherType(step) == "IPv6" {
		far, _ = step.Field(openflow.IPv6Dst)
		if dir == intent.Ingress {
			far, _ = step.Field(openflow.IPv6Src)
		}
	}
	a, _ := netip.AddrFromSlice(far)
	noun := "group"
	if len(groups) > 1 {
		noun = "groups"
	}
	return fmt.Sprintf("no %s rule of %s %s allows %s of %s %s %s", dir, noun, strings.Join(groups, ", "), asked(step), etherType(step), word, a)
}

// asked is what a frame asks for, as a table saw it. Of headers that it does not have, the fields are 0.
func asked(step *walk.Step) string {
	port := step.Uint(openflow.TCPDst) | step.Uint(openflow.UDPDst) | step.Uint(openflow.SCTPDst)
	kind := step.Uint(openflow.ICMPType) | step.Uint(openflow.ICMP6Type)
	return service(uint8(step.Uint(openflow.IPProto)), uint16(port), uint8(kind))
}

// groupsOf are the names of the security groups of a port.
func (e *explainer) groupsOf(port string) (names []string) {
	e.w.Read(func(s *intent.State) {
		p, _ := s.Port(port)
		for _, id := range p.SecurityGroups {
			g, ok := s.Group(id)
			switch {
			case !ok:
			case !e.sees(g.TenantID):
				names = append(names, "of another tenant")
			default:
				names = append(names, nameOr(g.Name, g.ID))
			}
		}
	})
	return names
}

// lost says why a destination is not found.
func (e *explainer) lost(s *station, step *walk.Step) string {
	dst, vni := destination(step), uint32(step.Uint(openflow.Metadata))
	var network intent.Network
	var holder, elsewhere intent.Port
	var there string
	e.w.Read(func(state *intent.State) {
		network, _ = networkOf(state, vni)
		for p := range state.Ports() {
			switch {
			case p.MAC != dst:
			case p.NetworkID == network.ID:
				holder = p
			case e.sees(p.TenantID):
				elsewhere = p
				n, _ := state.Network(p.NetworkID)
				there = nameOr(n.Name, n.ID)
			}
		}
	})
	where := "network " + nameOr(network.Name, network.ID)
	switch {
	case dst.IsGroup():
		return where + " has no other port"
	case holder.ID == "" && elsewhere.ID != "":
		return fmt.Sprintf("there is no such address in %s: %s has %s, in network %s", where, e.portWords(elsewhere), dst, there)
	case holder.ID == "":
		return fmt.Sprintf("there is no such address in %s: no port has %s", where, dst)
	}
	return e.unreachable(s, network, holder)
}

// unreachable says why a port of a network cannot be reached from a switch.
func (e *explainer) unreachable(from *station, network intent.Network, p intent.Port) string {
	d, bound := p.Binding.DPID()
	if !bound {
		return e.portWords(p) + " is DOWN: not bound to a host"
	}
	s, err := e.station(d)
	if err != nil {
		return e.portWords(p) + " is on a switch that nothing is known of"
	}
	var fabric, farFabric bool
	e.w.Read(func(state *intent.State) {
		fabric, farFabric = state.InFabric(from.view.DPID) != 0, state.InFabric(d) != 0
	})
	at, reason := s.local(p.Num)
	if reason == "" && !at.Up {
		reason = "administratively down"
	}
	switch {
	case reason != "" && !e.sees(""):
		return e.portWords(p) + " is DOWN"
	case reason != "":
		return fmt.Sprintf("%s is DOWN: %s", e.portWords(p), reason)
	case fabric && farFabric && network.VLAN == 0:
		return fmt.Sprintf("%s is on another switch%s of the fabric, and its network has no VLAN tag for the links", e.portWords(p), e.nameOf(d))
	case fabric != farFabric && (fabric || from.view.Tunnel != 0) && (farFabric || s.view.Tunnel != 0):
		return fmt.Sprintf("%s is on another switch%s: switches of a fabric and hosts with tunnels do not reach each other", e.portWords(p), e.nameOf(d))
	case s.view.Tunnel == 0 && !farFabric:
		return fmt.Sprintf("%s is on another switch%s, which has no tunnel", e.portWords(p), e.nameOf(d))
	}
	return fmt.Sprintf("%s is on another switch%s, and this one has no way there", e.portWords(p), e.nameOf(d))
}
