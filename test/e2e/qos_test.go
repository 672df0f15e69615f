package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// policy makes a QoS policy with rules of some types.
func (c *cloud) policy(rules map[string]map[string]any) string {
	c.t.Helper()
	id := c.create("qos/policies", "policy", map[string]any{"name": "p", "shared": true})["id"].(string)
	for kind, rule := range rules {
		c.create("qos/policies/"+id+"/"+kind+"_rules", kind+"_rule", rule)
	}
	return id
}

func (c *cloud) set(collection, single, id string, attributes map[string]any) {
	c.t.Helper()
	c.ctl.Must(http.MethodPut, "/v2.0/"+collection+"/"+id, map[string]any{single: attributes})
}

// flowsIn are the flows of a table that contain a text.
func (c *cloud) flowsIn(table int, text string) (found []string) {
	c.t.Helper()
	for _, f := range c.lab.Flows(c.bridge) {
		if strings.Contains(f, fmt.Sprintf("table=%d,", table)) && strings.Contains(f, text) {
			found = append(found, f)
		}
	}
	return found
}

// qosMeters are the meters of policies.
func (c *cloud) qosMeters() (n int) {
	c.t.Helper()
	for line := range strings.SplitSeq(c.lab.Ofctl("-O", "OpenFlow13", "dump-meters", c.bridge.Name), "\n") {
		var id int
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "meter=%d", &id); err == nil && id > 0x8000+49151 {
			n++
		}
	}
	return n
}

// dscpOf is the DSCP of an IPv4 packet in a frame without tag; ok is false of others.
func dscpOf(frame []byte) (dscp byte, ok bool) {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return 0, false
	}
	return frame[15] >> 2, true
}

// withDSCP tells UDP datagrams of IPv4 with a mark.
func withDSCP(dscp byte) func([]byte) bool {
	return func(frame []byte) bool {
		got, ok := dscpOf(frame)
		return ok && got == dscp && frame[23] == 17
	}
}

// flood sends datagrams of so many bytes at a rate in kbit/s of their frames, and
// returns what has arrived, in kbit of frames, and how long it took.
func flood(t *testing.T, from, to instance, kbps int, took time.Duration) (kbit float64, elapsed time.Duration) {
	t.Helper()
	const payload, header = 1000, 42
	sink := to.ListenPacket("udp", to.ip+":7000")
	defer sink.Close()
	conn, err := from.Dial("udp", to.ip+":7000", patience)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer conn.Close()
	received := make(chan int, 1)
	go func() {
		n, buf := 0, make([]byte, 2048)
		for {
			size, _, err := sink.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				break
			}
			if err == nil && size == payload {
				n++
			}
		}
		received <- n
	}()
	began, sent, datagram := time.Now(), 0, make([]byte, payload)
	for elapsed = 0; elapsed < took; elapsed = time.Since(began) {
		for due := int(elapsed.Seconds() * float64(kbps) * 1000 / 8 / (payload + header)); sent < due; sent++ {
			if _, err := conn.Write(datagram); err != nil && !strings.Contains(err.Error(), "refused") {
				t.Error(err)
				return 0, 0
			}
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // what is on its way
	sink.Close()
	return float64(<-received) * (payload + header) * 8 / 1000, elapsed
}

// metered sends three times as much as a limit in kbit/s, with a burst in kbit, lets pass. More than that
// never arrives. Less may, if the machine has no time for the flood: of three floods one brings the
// given share of it.
func metered(t *testing.T, from, to instance, kbps, burst, least float64) {
	t.Helper()
	for try := 1; ; try++ {
		kbit, took := flood(t, from, to, int(3*kbps), 4*time.Second)
		due := kbps*took.Seconds() + burst
		t.Logf("%s to %s: %.0f kbit arrived in %v, of %.0f that may: %.1f %%", from.Name, to.Name, kbit, took.Round(time.Millisecond), due, 100*kbit/due)
		if enough := kbit >= least*due; kbit > 1.1*due || !enough && try == 3 {
			t.Errorf("%.0f kbit arrived in %v, limit %.0f kbit/s and a burst of %.0f kbit", kbit, took, kbps, burst)
			return
		} else if enough {
			return
		}
	}
}

func TestAPolicyLimitsAndMarksWhatItsPortSends(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	const kbps, burst = 2000, 500
	policy := c.policy(map[string]map[string]any{
		"bandwidth_limit": {"max_kbps": kbps, "max_burst_kbps": burst}, "dscp_marking": {"dscp_mark": 46},
	})
	a := c.instance("a", "acme", network, "10.0.0.1", map[string]any{"qos_policy_id": policy})
	b := c.instance("b", "acme", network, "10.0.0.2", nil)
	c.reaches(a, b, true)

	marked := b.Capture(withDSCP(46))
	metered(t, a, b, kbps, burst, 0.8)
	if n := len(marked.Stop()); n == 0 {
		t.Error("no packet has the mark of the policy")
	}
	lab.Wait(t, "the other direction, which has no limit, to bring more", patience, func() error {
		if kbit, took := flood(t, b, a, 3*kbps, time.Second); kbit < 1.5*kbps*took.Seconds() {
			return fmt.Errorf("it brought %.0f kbit in %v", kbit, took)
		}
		return nil
	})

	stats := c.ctl.Must(http.MethodGet, "/v2.0/qos/policies/"+policy+"/statistics", nil)["statistics"].(map[string]any)
	counted := map[string]map[string]any{}
	for _, of := range stats["counters"].([]any) {
		counted[fmt.Sprint(of.(map[string]any)["type"], of.(map[string]any)["direction"])] = of.(map[string]any)
	}
	if limit := counted["bandwidth_limitegress"]; limit == nil || limit["dropped_packets"].(float64) < 100 {
		t.Errorf("statistics: %v", stats)
	}
	if marks := counted["dscp_markingegress"]; marks == nil || marks["packets"].(float64) < 100 {
		t.Errorf("statistics: %v", stats)
	}
	lab.Wait(t, "the metrics to have it", patience, func() error {
		dropped := c.ctl.Metric("macloom_qos_dropped_packets_total", "policy="+policy, "type=bandwidth_limit", "direction=egress")
		marked := c.ctl.Metric("macloom_qos_packets_total", "policy="+policy, "type=dscp_marking", "direction=egress")
		if dropped < 100 || marked < 100 {
			return fmt.Errorf("%v dropped, %v marked", dropped, marked)
		}
		return nil
	})

	// What is right is left as it is when the controller comes again.
	c.ctl.Restart()
	c.awaitConnected(true)
	if n := c.ctl.Metric("macloom_openflow_flow_mods_total"); n != 0 {
		t.Errorf("%v flow-mods after a restart", n)
	}

	// A limit in the other direction, then no policy at all.
	c.ctl.Must(http.MethodPut, "/v2.0/ports/"+a.portID(), map[string]any{"port": map[string]any{"qos_policy_id": nil}})
	lab.Wait(t, "flows and meters of the policy to go", patience, func() error {
		if left := len(c.flowsIn(13, "reg0")) + len(c.flowsIn(14, "reg11")); left+c.qosMeters() != 0 {
			return fmt.Errorf("%d flows and %d meters left", left, c.qosMeters())
		}
		return nil
	})
	ingress := c.policy(map[string]map[string]any{"bandwidth_limit": {"max_kbps": kbps, "max_burst_kbps": burst, "direction": "ingress"}})
	c.set("ports", "port", b.portID(), map[string]any{"qos_policy_id": ingress})
	lab.Wait(t, "the meter of the receiver", patience, func() error {
		if len(c.flowsIn(50, "meter:")) != 1 {
			return errors.New("no flow has it")
		}
		return nil
	})
	metered(t, a, b, kbps, burst, 0.8)
}

func TestAPacketRateIsLimited(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	policy := c.policy(map[string]map[string]any{"packet_rate_limit": {"max_kpps": 1, "max_burst_kpps": 1}})
	c.set("networks", "network", network, map[string]any{"qos_policy_id": policy})
	a, b := c.instance("a", "acme", network, "10.0.0.1", nil), c.instance("b", "acme", network, "10.0.0.2", nil)
	c.reaches(a, b, true)
	if got := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+a.portID(), nil)["port"].(map[string]any)["qos_network_policy_id"]; got != policy {
		t.Errorf("qos_network_policy_id %v, want %s", got, policy)
	}
	const perPacket = 1042.0 * 8 / 1000
	metered(t, a, b, 1000*perPacket, 1000*perPacket, 0.7)
}

func TestOneFlowGivesABlockOfMACsItsClass(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	voice := c.policy(map[string]map[string]any{"priority": {"class": 5}})
	segment := c.create("mac-segments", "mac_segment", map[string]any{
		"tenant_id": "acme", "base_address": "02:00:05:00:00:00", "prefix_length": 40, "qos_policy_id": voice,
	})["id"].(string)
	stations := make([]instance, 4)
	for i := range stations {
		stations[i] = c.instance(fmt.Sprint("s", i), "acme", network, fmt.Sprint("10.0.0.", 1+i), nil)
	}
	if flows := c.flowsIn(13, "dl_src=02:00:05:00:00:00/ff:ff:ff:ff:ff:00"); len(flows) != 1 || len(c.flowsIn(13, "")) != 2 {
		t.Errorf("%d flows for the segment of four stations: %v", len(flows), c.flowsIn(13, ""))
	}
	for _, s := range stations[1:] {
		marked := stations[0].Capture(withDSCP(40))
		flood(t, s, stations[0], 100, 300*time.Millisecond)
		marked.Wait(1, patience) // of class selector 5
		marked.Stop()
	}
	way := fmt.Sprint(c.ctl.Must(http.MethodGet, "/v2.0/explain?from="+stations[1].portID()+"&to="+stations[0].portID(), nil))
	if !strings.Contains(way, "qos_policy") || !strings.Contains(way, "dscp = 40") {
		t.Errorf("explain says nothing of the class: %s", way)
	}

	lab.Wait(t, "the metrics of the class", patience, func() error {
		if n := c.ctl.Metric("macloom_qos_class_packets_total", "class=5"); n == 0 {
			return errors.New("none of it")
		}
		return nil
	})

	// A policy of the port comes first, whatever it says.
	other := c.policy(map[string]map[string]any{"dscp_marking": {"dscp_mark": 10}})
	c.set("ports", "port", stations[1].portID(), map[string]any{"qos_policy_id": other})
	lab.Wait(t, "the policy of the port", patience, func() error {
		marked := stations[0].Capture(withDSCP(10))
		flood(t, stations[1], stations[0], 100, 200*time.Millisecond)
		if len(marked.Stop()) == 0 {
			return errors.New("its mark is not seen")
		}
		return nil
	})
	c.set("ports", "port", stations[1].portID(), map[string]any{"qos_policy_id": nil})
	c.set("mac-segments", "mac_segment", segment, map[string]any{"qos_policy_id": nil})
	lab.Wait(t, "the flows of the policies to go", patience, func() error {
		if n := len(c.flowsIn(13, "")) + len(c.flowsIn(14, "")); n != 2 { // the misses
			return fmt.Errorf("%d flows", n)
		}
		return nil
	})
}

func TestMarksAreOnTheOuterHeaderOfTunnelsToo(t *testing.T) {
	t.Parallel()
	all := sites(t, 2)
	network := all[0].network("acme", "blue", "10.0.0.0/24")
	policy := all[0].policy(map[string]map[string]any{"dscp_marking": {"dscp_mark": 46}})
	all[0].set("networks", "network", network, map[string]any{"qos_policy_id": policy})
	a, b := all[0].boot("a", "acme", network, "10.0.0.1", true), all[1].boot("b", "acme", network, "10.0.0.2", true)
	all[0].comes(a, b, true)
	outer, inner := all[1].lab.Uplink().Capture(withDSCP(46)), b.Capture(withDSCP(46))
	flood(t, a, b, 200, time.Second)
	if n, m := len(outer.Stop()), len(inner.Stop()); n == 0 || m == 0 {
		t.Errorf("%d frames of the underlay and %d for the instance have the mark", n, m)
	}
}

// The example of the guide marks and limits what it says.
func TestTheExampleOfTheQoSGuideMarksAndLimits(t *testing.T) {
	t.Parallel()
	followGuide(t, "qos", "phone", "desk")
}

func TestWhatCannotBeEnforcedIsSaid(t *testing.T) {
	t.Parallel()
	c := newCloud(t, lab.ControllerOptions{})
	network := c.network("acme", "blue", "10.0.0.0/24")
	policy := c.policy(map[string]map[string]any{"priority": {"class": 5, "direction": "ingress"}, "minimum_bandwidth": {"min_kbps": 1000}})
	a := c.instance("a", "acme", network, "10.0.0.1", map[string]any{"qos_policy_id": policy})
	lab.Wait(t, "the status of the port to tell", patience, func() error {
		port := c.ctl.Must(http.MethodGet, "/v2.0/ports/"+a.portID(), nil)["port"].(map[string]any)
		reason := fmt.Sprint(port["status_reason"])
		if !strings.Contains(reason, "minimum_bandwidth") || !strings.Contains(reason, "priority of ingress") {
			return fmt.Errorf("status %v: %s", port["status"], reason)
		}
		return nil
	})
	lab.Wait(t, "the metrics to tell", patience, func() error {
		kept := c.ctl.Metric("macloom_qos_unenforced", "type=minimum_bandwidth", "direction=egress")
		first := c.ctl.Metric("macloom_qos_unenforced", "type=priority", "direction=ingress")
		if kept != 1 || first != 1 {
			return fmt.Errorf("%v ports without their minimum_bandwidth, %v without their priority", kept, first)
		}
		return nil
	})
	var answer map[string]any
	status, err := c.ctl.Call(context.Background(), c.ctl.Token(), http.MethodPost, "/v2.0/qos/policies/"+policy+"/minimum_packet_rate_rules",
		map[string]any{"minimum_packet_rate_rule": map[string]any{"min_kpps": 1}}, &answer)
	if status != http.StatusConflict || !strings.Contains(fmt.Sprint(answer, err), "QosRuleNotSupported") {
		t.Errorf("a rule that nothing enforces: %d %v %v", status, answer, err)
	}
}
