package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// A host gets another address in the underlay: all others send their tunnels there.
func TestAHostMayGetAnotherTunnelAddress(t *testing.T) {
	t.Parallel()
	all := sites(t, 3)
	network := all[0].network("red", "red", "10.0.0.0/24")
	a, b, c := all[0].boot("a", "red", network, "10.0.0.1", true), all[1].boot("b", "red", network, "10.0.0.2", true), all[2].boot("c", "red", network, "10.0.0.3", true)
	reached := func(what string, from, to instance) {
		t.Helper()
		lab.Wait(t, what, patience, func() error {
			if got := from.Ping(to.ip, lab.PingOptions{Count: 1, Timeout: 500 * time.Millisecond}); got.Received != 1 {
				return fmt.Errorf("%s does not reach %s", from.Name, to.Name)
			}
			return nil
		})
	}
	reached("tunnels", a, b)
	card := "phy0"
	if lab.Datapath == lab.Userspace {
		card = "br-phy"
	}
	if _, err := all[1].lab.Exec(context.Background(), "ip", "addr", "add", "192.0.2.77/24", "dev", card); err != nil {
		t.Fatal(err)
	}
	all[1].lab.Vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-encap-ip=192.0.2.77")
	all[1].awaitSwitch("the other address", "?id="+all[1].bridge.DPID, func(sw map[string]any) bool { return sw["tunnel_ip"] == "192.0.2.77" })
	reached("the way there", a, b)
	reached("the way back", b, c)

	// Of two hosts with one address each says so, until one has another.
	said := func(words string) {
		t.Helper()
		for _, s := range all[1:] {
			s.awaitSwitch("it to be said of "+s.bridge.DPID, "?id="+s.bridge.DPID, func(sw map[string]any) bool {
				problem := sw["error"].(string)
				return words == "" && problem == "" || words != "" && strings.Contains(problem, words)
			})
		}
	}
	all[2].lab.Vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-encap-ip=192.0.2.77")
	said("its tunnel address 192.0.2.77 is that of the host with the system-id")
	all[2].lab.Vsctl("remove", "Open_vSwitch", ".", "external_ids", "ovn-encap-ip")
	said("")
	reached("the way back to where it was", b, c)
}
