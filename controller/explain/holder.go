package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
)

// owned is how well a port has an address of its own: better than by any address pair.
const owned = 130

// holders are who may have an address.
type holders struct {
	ports []intent.Port // that have it equally well, oldest first; empty: none
	mac   mac.Addr      // by which the first one has it
	how   int           // how well
	open  *intent.Port  // the oldest one without port security, which may use any address
}

// whoHas finds who has an address in a network: the port whose own it is, else those that
// may speak as it, by the longest prefix.
func whoHas(s *intent.State, network string, a netip.Addr) (h holders) {
	for p := range s.PortsIn(network) {
		how, _ := has(&p, a)
		if how > h.how {
			h.how, h.ports = how, nil
		}
		if how > 0 && how == h.how {
			h.ports = append(h.ports, p)
		}
		if p.Unguarded && (h.open == nil || p.Num < h.open.Num) {
			h.open = &p
		}
	}
	slices.SortFunc(h.ports, func(a, b intent.Port) int { return cmp.Compare(a.Num, b.Num) })
	if len(h.ports) > 0 {
		_, h.mac = has(&h.ports[0], a)
	}
	return h
}

// has says how well a port has an address, and by which MAC; 0: it has not.
func has(p *intent.Port, a netip.Addr) (how int, with mac.Addr) {
	if p.MAC.LinkLocal() == a || slices.ContainsFunc(p.FixedIPs, func(ip intent.FixedIP) bool { return ip.Addr == a }) {
		return owned, p.MAC
	}
	for _, pair := range p.Extras.Pairs {
		if prefix := pair.Prefix(); prefix.Contains(a) && prefix.Bits() >= how {
			how, with = prefix.Bits()+1, pair.Block(p.MAC).Base() // of a MAC prefix any will do
		}
	}
	return how, with
}

// guessed is what is not known of who has the address: of a prefix any station or none, and
// of one that several ports may speak as, one of them. Empty: nothing.
func (e *explainer) guessed(h *holders, a netip.Addr) string {
	if len(h.ports) == 1 && h.how > a.BitLen() {
		return ""
	}
	names := make([]string, len(h.ports))
	for i, p := range h.ports {
		names[i] = e.portWords(p)
	}
	if len(names) == 1 {
		return fmt.Sprintf("%s may speak as %s; whether it does is not known here", names[0], a)
	}
	return fmt.Sprintf("%s may speak as %s; it is followed to the first of them", strings.Join(names, " and "), a)
}
