package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Uplink is the network card of a lab that was joined, to capture what comes by
// the underlay.
func (l *Lab) Uplink() *Host { return &Host{Name: "the uplink", l: l, ns: l.ns, dev: "phy0"} }

// Join connects the hosts of labs by one Ethernet, the underlay, and returns the
// address of each. The kernel sends tunnels out of the network card; Open
// vSwitch itself, in the userspace datapath, out of bridges only: there the card is in a
// bridge br-phy, whose own port has the address. The Ethernet is in a namespace
// of the first lab.
func Join(labs ...*Lab) []netip.Addr {
	first := labs[0]
	first.t.Helper()
	wire := first.namespace("wire")
	first.must(first.run(context.Background(), wire, "sh", "-ec", "ip link add wire type bridge; ip link set wire up"))
	addrs := make([]netip.Addr, len(labs))
	for i, l := range labs {
		addrs[i] = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		l.must(l.Exec(context.Background(), "sh", "-ec", fmt.Sprintf(
			"ip link add name phy0 type veth peer name h%d netns %s; ethtool -K phy0 tx off >/dev/null; ip link set phy0 up", i, wire)))
		first.must(first.run(context.Background(), wire, "sh", "-ec", fmt.Sprintf("ip link set h%d master wire up", i)))
		card := "phy0"
		if Datapath == Userspace {
			card = "br-phy"
			l.Vsctl("add-br", card, "--", "set", "bridge", card, "datapath_type="+Userspace, "fail_mode=standalone",
				"--", "add-port", card, "phy0")
			l.PortNumber("phy0")
		}
		l.must(l.Exec(context.Background(), "sh", "-ec", fmt.Sprintf("ip addr add %s/24 dev %s; ip link set %[2]s up", addrs[i], card)))
	}
	// ovs-vswitchd reads routes from the kernel when they change.
	for i, l := range labs {
		Wait(l.t, "Open vSwitch to know the route of the underlay", commandLimit, func() error {
			if routes := l.Appctl("ovs/route/show"); !strings.Contains(routes, addrs[i].String()) {
				return fmt.Errorf("routes:\n%s", routes)
			}
			return nil
		})
	}
	return addrs
}
