package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/test/lab"
)

// guarded is two switches with a victim at the first, somebody it talks to there, and an
// intruder at the second.
type guarded struct {
	*mesh
	victim, friend, intruder *lab.Host
}

func newGuarded(t *testing.T, o lab.ControllerOptions) *guarded {
	t.Helper()
	g := &guarded{mesh: newMeshOf(t, o, 2, [2]int{0, 1})}
	g.victim, g.friend = g.hosts[0], g.lab.Host(g.bridges[0], "friend", lab.HostOptions{Addrs: []string{"10.0.0.100/24"}})
	g.intruder = g.lab.Host(g.bridges[1], "intruder", lab.HostOptions{Addrs: []string{"10.0.0.66/24"}})
	g.hosts = append(g.hosts, g.friend, g.intruder)
	lab.Wait(t, "all hosts to reach each other", patience, g.reach)
	return g
}

// list returns objects of the API.
func (g *guarded) list(resource string, query ...string) (list []map[string]any) {
	g.t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	answer := g.ctl.Must(http.MethodGet, "/v2.0/"+resource+"?"+values.Encode(), nil)
	for _, o := range answer[strings.ReplaceAll(resource, "-", "_")].([]any) {
		list = append(list, o.(map[string]any))
	}
	return list
}

func (g *guarded) dpid(bridge int) string { return fmt.Sprintf("%016x", 0xa0+bridge) }

// usurp has the intruder speak as the victim, 12 times in a second.
func (g *guarded) usurp(times int) {
	g.t.Helper()
	tick := time.NewTicker(time.Second / 12)
	defer tick.Stop()
	for range times {
		<-tick.C
		g.intruder.SendFrame(ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, parseMAC(g.victim.MAC), 0x88b5, make([]byte, 46)))
	}
}

// awaitBlocks waits until there are so many blocks, and they or nothing of them are in
// the switch of the intruder.
func (g *guarded) awaitBlocks(n int) (list []map[string]any) {
	g.t.Helper()
	lab.Wait(g.t, fmt.Sprintf("%d blocks", n), patience, func() error {
		list = g.list("blocks")
		held := 0
		for _, f := range g.lab.Flows(g.bridges[1]) {
			if strings.Contains(f, "cookie=0x5d10") {
				held++
			}
		}
		if len(list) != n || held != n {
			return fmt.Errorf("there are %v, and %d flows of such", list, held)
		}
		return nil
	})
	return list
}

// The address of a host is used at another switch: the intruder is named and kept out, the
// host notices nothing, a restart of the controller changes nothing, and after its time the block ends.
func TestWhoUsesTheAddressOfAnotherIsBlockedAtHisPortAndTheOtherIsNot(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, lab.ControllerOptions{OwnDatabase: true})
	g.ctl.CLI("mac-guard", "set", "default", "--action", "block-mac", "--recovery", "20")
	// The victim speaks all the time, and so takes its address back each time.
	talk := g.victim.StartPing(g.friend.Addr.String(), 20*time.Millisecond)
	g.usurp(24)
	block := g.awaitBlocks(1)[0]
	talk.Stop()
	got := map[string]any{}
	for _, name := range []string{"mac_address", "switch", "port", "cause"} {
		got[name] = block[name]
	}
	want := map[string]any{"mac_address": g.victim.MAC, "switch": g.dpid(1), "port": float64(g.intruder.Port), "cause": "moves"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
	moves := g.list("mac-moves", "mac_address", g.victim.MAC, "verdict", "moves")
	places := map[string]bool{}
	for _, m := range moves {
		places[fmt.Sprint(m["from_switch"], " ", m["from_port"], " to ", m["to_switch"], " ", m["to_port"])] = true
	}
	there := fmt.Sprintf("%s %d to %s %d", g.dpid(0), g.victim.Port, g.dpid(1), g.intruder.Port)
	if !places[there] {
		t.Errorf("moves %v, want one from %s", places, there)
	}
	for _, kind := range []string{"mac_move", "block_added"} {
		told := g.list("events", "kind", kind)
		if len(told) != 1 || told[0]["mac_address"] != g.victim.MAC || told[0]["switch"] != g.dpid(1) || told[0]["port"] != float64(g.intruder.Port) {
			t.Errorf("events %s: %v", kind, told)
		}
	}
	if out := g.ctl.CLI("switch", "flows", g.dpid(1)); !strings.Contains(out, "block") || !strings.Contains(out, g.victim.MAC) {
		t.Errorf("the flows of the switch do not name the block:\n%s", out)
	}

	// Whatever the intruder does now, the victim loses nothing, and he may speak as himself.
	lab.Wait(t, "the victim to be learned again everywhere", patience, g.reach)
	before := g.ctl.Metric("macloom_guard_moves_total")
	talk = g.victim.StartPing(g.hosts[1].Addr.String(), 20*time.Millisecond)
	g.usurp(24)
	if got := talk.Stop(); got.Received != got.Sent {
		t.Errorf("the victim, while the intruder is blocked: %v", got)
	}
	if got := g.intruder.Ping(g.friend.Addr.String(), lab.PingOptions{Timeout: patience}); got.Received != got.Sent {
		t.Errorf("the intruder as himself: %v", got)
	}
	if after := g.ctl.Metric("macloom_guard_moves_total"); after != before {
		t.Errorf("%v moves while the intruder is blocked", after-before)
	}

	g.ctl.Kill9()
	g.ctl.Start()
	g.ctl.WaitReady()
	lab.Wait(t, "the switches to be back", patience, func() error {
		if n := g.ctl.Metric("macloom_switches_connected"); n != 2 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	g.awaitBlocks(1)
	if n := g.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("the controller sent %v flow-mods on its return, want none", n)
	}
	g.awaitBlocks(0) // its time is over

	// Whoever begins anew is blocked for longer.
	talk = g.victim.StartPing(g.friend.Addr.String(), 20*time.Millisecond)
	g.usurp(24)
	block = g.awaitBlocks(1)[0]
	talk.Stop()
	made, _ := time.Parse(time.RFC3339, block["created_at"].(string))
	ends, _ := time.Parse(time.RFC3339, block["expires_at"].(string))
	if term := ends.Sub(made); term < 39*time.Second || term > 41*time.Second {
		t.Errorf("the second block lasts %v, want 40 s", term)
	}
	g.ctl.CLI("block", "lift", block["id"].(string))
	g.awaitBlocks(0)
}

// An instance that migrates takes its address along, once.
func TestAMigrationIsNotBlocked(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, lab.ControllerOptions{Args: []string{"--guard", "block-port"}})
	old := g.victim.Port
	g.victim.Unplug()
	g.victim.Plug(g.bridges[1])
	garp := arp(parseMAC(g.victim.MAC), parseMAC(g.victim.MAC), g.victim.Addr.As4(), g.victim.Addr.As4())
	lab.Wait(t, "the move to be noted", patience, func() error {
		g.victim.SendFrame(garp)
		if len(g.list("mac-moves", "mac_address", g.victim.MAC)) == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	lab.Wait(t, "all hosts to reach each other", patience, g.reach)
	moves := g.list("mac-moves", "mac_address", g.victim.MAC)
	if len(moves) != 1 || moves[0]["times"] != 1.0 || moves[0]["verdict"] != "move" || moves[0]["from_port"] != float64(old) || moves[0]["to_port"] != float64(g.victim.Port) {
		t.Errorf("moves %v, want one from port %d to port %d", moves, old, g.victim.Port)
	}
	g.awaitBlocks(0)
}

// What is done about an address is as its network says, from one moment to the next: a managed one is blocked with its first frame where
// it is not bound, and one of a network that says nothing is reported.
func TestTheAddressesOfANetworkAreGuardedAsItSays(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, lab.ControllerOptions{})
	address := map[string]string{"red": "02:00:05:00:00:01", "blue": "02:00:05:00:00:02"}
	network := map[string]any{}
	for name, mac := range address {
		network[name] = g.ctl.Must(http.MethodPost, "/v2.0/networks", map[string]any{"network": map[string]any{"name": name}})["network"].(map[string]any)["id"]
		g.ctl.Must(http.MethodPost, "/v2.0/ports", map[string]any{"port": map[string]any{
			"network_id": network[name], "mac_address": mac, "binding:host_id": g.dpid(0), "binding:profile": map[string]any{"port_no": 200 + len(network)},
		}})
	}
	g.ctl.CLI("mac-guard", "set", "red", "--action", "block-mac")
	speak := func(as string) {
		g.intruder.SendFrame(ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, parseMAC(address[as]), 0x88b5, make([]byte, 46)))
	}
	conflicts := func(n int) {
		t.Helper()
		lab.Wait(t, "the conflicts to be known", patience, func() error {
			if list := g.list("mac-conflicts"); len(list) != n {
				return fmt.Errorf("there are %v", list)
			}
			return nil
		})
	}
	speak("blue")
	conflicts(1)
	speak("red")
	block := g.awaitBlocks(1)[0]
	conflicts(2)
	if block["mac_address"] != address["red"] || block["cause"] != "conflict" || block["switch"] != g.dpid(1) || block["port"] != float64(g.intruder.Port) {
		t.Errorf("block %v", block)
	}
	for name, mac := range address {
		lab.Wait(t, "the move of the address of "+name, patience, func() error {
			moves := g.list("mac-moves", "mac_address", mac)
			if len(moves) != 1 || moves[0]["verdict"] != "conflict" || moves[0]["from_switch"] != g.dpid(0) || moves[0]["to_port"] != float64(g.intruder.Port) {
				return fmt.Errorf("there are %v", moves)
			}
			return nil
		})
	}

	// It is another matter as soon as it is set so.
	g.ctl.CLI("mac-guard", "set", "red", "--action", "report")
	g.ctl.CLI("mac-guard", "set", "blue", "--action", "block-port")
	g.ctl.CLI("block", "lift", block["id"].(string))
	g.awaitBlocks(0)
	lab.Wait(t, "the port to be blocked, though nothing new comes from it", patience, func() error {
		list := g.list("blocks")
		if len(list) == 1 && list[0]["mac_address"] == nil && list[0]["port"] == float64(g.intruder.Port) {
			return nil
		}
		return fmt.Errorf("there are %v", list)
	})
	lineage := g.ctl.CLI("mac", "lineage", address["red"])
	for _, event := range []string{"conflict", "block", "unblock"} {
		if !strings.Contains(lineage, event) {
			t.Errorf("the lineage lacks %s:\n%s", event, lineage)
		}
	}
}
