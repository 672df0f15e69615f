package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// Who makes up addresses uses up what his own port may teach, and nothing else.
func TestAHostThatMakesUpAddressesKeepsNobodyElseFromBeingLearned(t *testing.T) {
	t.Parallel()
	const most = 1000
	l := lab.New(t)
	ctl := l.Controller(lab.ControllerOptions{})
	b := l.Bridge("s0", lab.BridgeOptions{Controller: lab.ControllerAddr})
	liar := l.Host(b, "liar", lab.HostOptions{Addrs: []string{"10.0.0.1/24"}})
	neighbour := l.Host(b, "neighbour", lab.HostOptions{Addrs: []string{"10.0.0.2/24"}})
	reach := func(from, to *lab.Host) {
		t.Helper()
		lab.Wait(t, from.String()+" to reach "+to.String(), patience, func() error {
			if got := from.Ping(to.Addr.String(), lab.PingOptions{Count: 1}); got.Received != 1 {
				return errors.New(got.String())
			}
			return nil
		})
	}
	reach(liar, neighbour)
	limited := func() float64 { return ctl.Metric("macloom_learn_limited_total") }

	made := 0
	lie := func(n int) {
		madeUp(liar, neighbour, made, n)
		made += n
	}
	for range 50 {
		lie(100)
	}
	lab.Wait(t, "the limit to be hit", patience, func() error {
		if limited() > 0 {
			return nil
		}
		lie(100) // what was too quick for the meter, or the switch, has taught nothing
		return fmt.Errorf("%v stations after %d addresses", ctl.Metric("macloom_learn_stations"), made)
	})

	late := l.Host(b, "late", lab.HostOptions{Addrs: []string{"10.0.0.3/24"}})
	reach(late, neighbour)
	reach(liar, late)
	lab.Wait(t, "the late host to be learned", patience, func() error {
		for _, f := range l.Flows(b) {
			if strings.Contains(f, "dl_dst="+late.MAC) && strings.Contains(f, "cookie=0x5d06") {
				return nil
			}
		}
		return errors.New("no flow leads to it")
	})
	stations, flows := 0, l.Flows(b)
	for _, f := range flows {
		if strings.Contains(f, "cookie=0x5d06") && strings.Contains(f, "dl_src=02:f0:") {
			stations++
		}
	}
	if stations < most-1 || stations > most || len(flows) > 2*most+100 {
		t.Errorf("%d stations are learned from the liar and there are %d flows, want %d and two flows of each", stations, len(flows), most)
	}
	if n := ctl.Metric("macloom_learn_stations"); n < float64(stations+2) || n > most+3 {
		t.Errorf("the controller counts %v stations", n)
	}
	t.Logf("%d addresses made up, %d learned, %v pauses, %v packet-ins", made, stations, limited(), ctl.Metric("macloom_learn_packet_ins_total"))
}

// madeUp has a host send frames from n addresses that are not its own, beginning with the
// given one, to another host.
func madeUp(from, to *lab.Host, first, n int) {
	frames := make([][]byte, n)
	for i := range frames {
		src := [6]byte{0x02, 0xf0}
		binary.BigEndian.PutUint32(src[2:], uint32(first+i))
		frames[i] = ethernet(parseMAC(to.MAC), src, 0x88b5, make([]byte, 46))
	}
	from.SendFrame(frames...)
}

// newcomers are hosts behind several ports of a switch, with many stations each.
type newcomers struct {
	ctl   *lab.Controller
	hosts []*lab.Host
	here  int // stations that were made up so far
}

func newNewcomers(t testing.TB, ports int, args ...string) *newcomers {
	l := lab.New(t)
	n := &newcomers{ctl: l.Controller(lab.ControllerOptions{Args: args})}
	b := l.Bridge("s0", lab.BridgeOptions{Controller: lab.ControllerAddr})
	for i := range ports {
		n.hosts = append(n.hosts, l.Host(b, fmt.Sprintf("h%d", i), lab.HostOptions{Addrs: []string{fmt.Sprintf("10.0.0.%d/24", i+1)}}))
	}
	lab.Wait(t, "the first host to reach the last, and both to be learned", patience, func() error {
		if got := n.hosts[0].Ping(n.hosts[ports-1].Addr.String(), lab.PingOptions{Count: 1}); got.Received != 1 {
			return errors.New(got.String())
		}
		if got := n.ctl.Metric("macloom_learn_packet_ins_total", "result=new"); got != 2 {
			return fmt.Errorf("%v are learned", got)
		}
		return nil
	})
	return n
}

// arrive has stations come, as many at each port, and returns when all are learned. What was lost on the way
// to the controller comes again with the station's next frame: it tells how often they sent one.
func (n *newcomers) arrive(t testing.TB, each int) (rounds int) {
	t.Helper()
	const burst = 50
	pace := time.NewTicker(5 * time.Millisecond) // no more than the switch's buffers take
	defer pace.Stop()
	first, began := n.here, time.Now()
	n.here += each * len(n.hosts)
	before := n.ctl.Metric("macloom_learn_packet_ins_total", "result=new")
	for rounds = 1; ; rounds++ {
		for at := 0; at < each; at += burst {
			for h, from := range n.hosts {
				<-pace.C
				madeUp(from, n.hosts[(h+1)%len(n.hosts)], first+h*each+at, min(burst, each-at))
			}
		}
		learned := 0
		n.settle(t, func() (float64, bool) {
			learned = int(n.ctl.Metric("macloom_learn_packet_ins_total", "result=new") - before)
			return n.ctl.Metric("macloom_learn_packet_ins_total"), learned >= n.here-first
		})
		if learned >= n.here-first {
			return rounds
		}
		if time.Since(began) > 3*patience {
			t.Fatalf("%d of %d stations are learned", learned, n.here-first)
		}
	}
}

// settle waits until a figure stays as it is, or all is done.
func (n *newcomers) settle(t testing.TB, figure func() (now float64, done bool)) {
	t.Helper()
	const still = 500 * time.Millisecond
	last, since := -1.0, time.Now()
	lab.Wait(t, "the controller to have nothing to do", patience, func() error {
		now, done := figure()
		if now != last {
			last, since = now, time.Now()
		}
		if done || time.Since(since) >= still {
			return nil
		}
		return fmt.Errorf("it is at %v", now)
	})
}

// Every station is learned once: what is known causes no packet-in, and with
// the meters as they are, many that come together are not kept waiting.
func TestManyNewHostsAreLearnedOnce(t *testing.T) {
	t.Parallel()
	const ports, each = 4, 900
	n := newNewcomers(t, ports)
	before := n.ctl.Metric("macloom_learn_packet_ins_total", "result=new")
	rounds := n.arrive(t, each)
	if got := n.ctl.Metric("macloom_learn_packet_ins_total", "result=new") - before; got != ports*each {
		t.Errorf("%v stations are new, want %d", got, ports*each)
	}
	unwanted := []string{"moved", "full", "limited"}
	if rounds == 1 { // who sends twice may do so before the switch heeds what it was told
		unwanted = append(unwanted, "again")
	}
	for _, result := range unwanted {
		if got := n.ctl.Metric("macloom_learn_packet_ins_total", "result="+result); got != 0 {
			t.Errorf("%v packet-ins are %s", got, result)
		}
	}
	total := func() (float64, bool) { return n.ctl.Metric("macloom_learn_packet_ins_total"), false }
	lab.Wait(t, "the switch to know all stations", 3*patience, func() error {
		settled, _ := total()
		for h, from := range n.hosts {
			madeUp(from, n.hosts[(h+1)%ports], h*each, each)
		}
		n.settle(t, total)
		if now, _ := total(); now != settled {
			return fmt.Errorf("%v packet-ins of stations that are known", now-settled)
		}
		return nil
	})
	lab.Wait(t, "a new station to be learned behind all that", patience, func() error {
		madeUp(n.hosts[0], n.hosts[1], ports*each, 1)
		if got := n.ctl.Metric("macloom_learn_packet_ins_total", "result=new"); got != before+ports*each+1 {
			return fmt.Errorf("%v are new, want %v", got, before+ports*each+1)
		}
		return nil
	})
}

// BenchmarkNewHosts is how many new hosts a second are learned from a real switch with the meters
// as they are: from eight ports, 250 a second of each and 1,000 at once.
func BenchmarkNewHosts(b *testing.B) {
	const ports, each = 8, 250
	n := newNewcomers(b, ports, "--max-macs", "0")
	for b.Loop() {
		n.arrive(b, each)
	}
	b.ReportMetric(float64(b.N*ports*each)/b.Elapsed().Seconds(), "hosts/s")
}
