package hypervisor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/southbound/ovsdb"
)

// encapKey is the key of external_ids of Open_vSwitch by which a host says
// where other hosts send their tunnels to, a convention of OVN.
const encapKey = "ovn-encap-ip"

// endpoint is the VXLAN tunnel end point (VTEP) of a host: what it says, else
// the address that it connects from; invalid if neither can be reached by
// others. stated says that it is its own word.
func endpoint(s *ovsdb.Snapshot, remote net.Addr) (_ netip.Addr, stated bool) {
	for text := range strings.SplitSeq(s.ExternalIDs[encapKey], ",") {
		if ip, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil && fitsTunnel(ip) {
			return ip.Unmap(), true
		}
	}
	if tcp, ok := remote.(*net.TCPAddr); ok {
		if ip := tcp.AddrPort().Addr().Unmap(); fitsTunnel(ip) && !ip.IsLoopback() {
			return ip, false
		}
	}
	return netip.Addr{}, false
}

func fitsTunnel(ip netip.Addr) bool {
	return ip.IsValid() && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast()
}

// tunnel gives the bridge the port through which it reaches the others. Flows
// say where to and in which network, so that one is enough.
func (p *planner) tunnel() error {
	if !p.w.Tunnel.IsValid() || p.b.DatapathID == "" {
		return nil
	}
	options := ovsdb.Map{"remote_ip": "flow", "key": "flow", "tos": "inherit"} // marks of QoS count on the way, too
	if p.w.TunnelStated {
		options["local_ip"] = p.w.Tunnel.String()
	}
	ours := ovsdb.Map{ownerKey: owner}
	at := func(b *ovsdb.Bridge) int {
		return slices.IndexFunc(b.Interfaces, func(i ovsdb.Interface) bool { return i.Name == intent.TunnelPort })
	}
	for i := range p.s.Bridges {
		if b := &p.s.Bridges[i]; b != p.b && at(b) >= 0 {
			return fmt.Errorf("bridge %s has a port %s, which belongs on %s: remove it with ovs-vsctl del-port %[2]s", b.Name, intent.TunnelPort, p.b.Name)
		}
	}
	i := at(p.b)
	if i < 0 {
		ports := make(ovsdb.Set, len(p.b.Ports))
		for i, port := range p.b.Ports {
			ports[i] = port.UUID
		}
		p.step("tunnel", fmt.Sprintf("give %s the VXLAN port %s", p.b.Name, intent.TunnelPort),
			guard("Bridge", p.b.UUID, ovsdb.Values{"ports": ports}),
			ovsdb.Insert("Interface", "interface", ovsdb.Values{"name": intent.TunnelPort, "type": "vxlan", "options": options, "external_ids": ours}),
			ovsdb.Insert("Port", "port", ovsdb.Values{"name": intent.TunnelPort, "interfaces": ovsdb.NamedUUID("interface"), "external_ids": ours}),
			ovsdb.Mutate("Bridge", row(p.b.UUID), ovsdb.Mutation{Column: "ports", Mutator: "insert", Value: ovsdb.NamedUUID("port")}))
		return nil
	}
	have := &p.b.Interfaces[i]
	if have.ExternalIDs[ownerKey] != owner {
		return nil // somebody has made it on purpose
	}
	was := ovsdb.Map{}
	for k, v := range have.Options {
		was[k] = v
	}
	same := have.Type == "vxlan" && len(was) == len(options)
	for k, v := range options {
		same = same && was[k] == v
	}
	if !same {
		p.step("tunnel", fmt.Sprintf("change the options of %s", intent.TunnelPort),
			guard("Interface", have.UUID, ovsdb.Values{"options": was}),
			ovsdb.Update("Interface", row(have.UUID), ovsdb.Values{"type": "vxlan", "options": options}))
		return nil
	}
	if have.Error != "" {
		return fmt.Errorf("the VXLAN port %s cannot be opened: %s", intent.TunnelPort, plain(have.Error))
	}
	return nil
}
