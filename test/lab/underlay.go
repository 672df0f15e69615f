package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Join connects the hosts of labs by one Ethernet, the underlay. Each gets a
// bridge br-phy with the network card in it, whose own port has the address
// that is returned: in the userspace datapath, Open vSwitch sends tunnels out
// of bridges only. The Ethernet is in a namespace of the first lab.
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
		l.Vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail_mode=standalone",
			"--", "add-port", "br-phy", "phy0")
		l.PortNumber("phy0")
		l.must(l.Exec(context.Background(), "sh", "-ec", fmt.Sprintf("ip addr add %s/24 dev br-phy; ip link set br-phy up", addrs[i])))
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
