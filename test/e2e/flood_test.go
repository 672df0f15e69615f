package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/macloom/macloom/test/lab"
)

// spoof has a host send frames, so many in a second, as long as they last.
func spoof(from *lab.Host, frames [][]byte, perSecond int) (done <-chan struct{}) {
	const ticks = 100
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Second / ticks)
		defer tick.Stop()
		for len(frames) > 0 {
			<-tick.C
			n := min(perSecond/ticks, len(frames))
			from.SendFrame(frames[:n]...)
			frames = frames[n:]
		}
	}()
	return over
}

// processorTime is what a process has used of the processors.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Two hosts send 10,000 frames a second from addresses that they make up, and from ones that jump
// between them. The controller hears of no more of them than their meters let pass, and who comes at other ports
// is learned and not taken for one of them.
func TestAFloodOfSpoofedAddressesDelaysNobody(t *testing.T) {
	t.Parallel()
	const (
		perSecond = 5000 // of each of the two
		each      = 4 * perSecond
		jumping   = 40
		honest    = 200
		rate      = 250 // of the meter of a port, and how many at once
		burst     = 1000
	)
	l := lab.New(t)
	// Where the limit of a port is reached no more of its stations are learned, and so none moves there:
	// nothing that jumps would be found. It stays out of reach here, so that the meters alone hold the flood.
	ctl := l.Controller(lab.ControllerOptions{Args: []string{"--guard", "block-mac", "--max-macs", strconv.Itoa(each)}})
	b := l.Bridge("s0", lab.BridgeOptions{Controller: lab.ControllerAddr})
	var hosts []*lab.Host
	for i, name := range []string{"liar", "accomplice", "honest", "neighbour"} {
		hosts = append(hosts, l.Host(b, name, lab.HostOptions{Addrs: []string{fmt.Sprintf("10.0.0.%d/24", i+1)}}))
	}
	lab.Wait(t, "the hosts to be learned", patience, func() error {
		for _, h := range hosts[:3] {
			if got := h.Ping("10.0.0.4", lab.PingOptions{Count: 1}); got.Received != 1 {
				return errors.New(got.String())
			}
		}
		return nil
	})
	heard := func() int { return int(ctl.Metric("macloom_learn_packet_ins_total")) }

	before, used, start := heard(), processorTime(t, ctl.Process().PID()), time.Now()
	var floods []<-chan struct{}
	for liar := range 2 {
		frames := make([][]byte, each)
		for i := range frames {
			src := [6]byte{0x02, 0xee, byte(liar)} // one that nobody has
			if i%2 == 1 {
				src[2] = 0xff // one that the other has, too
				binary.BigEndian.PutUint16(src[4:], uint16(i/2%jumping))
			} else {
				binary.BigEndian.PutUint16(src[4:], uint16(i/2))
			}
			frames[i] = ethernet(parseMAC(hosts[3].MAC), src, 0x88b5, make([]byte, 46))
		}
		floods = append(floods, spoof(hosts[liar], frames, perSecond))
	}

	const own = 1 << 24 // the first of the addresses of stations that are honest
	asked := 0
	lab.Wait(t, "the honest stations to be learned", patience, func() error {
		madeUp(hosts[2], hosts[3], own, honest)
		asked++
		n := 0
		for _, f := range l.Flows(b) {
			if strings.Contains(f, "dl_src=02:f0:01:") {
				n++
			}
		}
		if n != honest {
			return fmt.Errorf("%d of %d are", n, honest)
		}
		return nil
	})
	learned := time.Since(start)
	for _, over := range floods {
		<-over
	}
	lasted := time.Since(start)
	got := heard() - before
	if most := 2*(burst+rate*int(lasted/time.Second+1)) + asked*honest; got > most {
		t.Errorf("the controller heard of %d frames, want %d at most", got, most)
	}
	lab.Wait(t, "the guard to find those that jump", patience, func() error {
		if ctl.Metric("macloom_guard_blocks_made_total") > 0 {
			return nil
		}
		return fmt.Errorf("it has found nothing in %v moves", ctl.Metric("macloom_guard_moves_total"))
	})
	for _, block := range ctl.Must("GET", "/v2.0/blocks", nil)["blocks"].([]any) {
		if a := block.(map[string]any)["mac_address"]; !strings.HasPrefix(fmt.Sprint(a), "02:ee:ff:") {
			t.Errorf("%v is blocked", a)
		}
	}
	for _, h := range hosts[:3] {
		if got := h.Ping("10.0.0.4", lab.PingOptions{Timeout: patience}); got.Received != got.Sent {
			t.Errorf("%v after the flood: %v", h, got)
		}
	}
	t.Logf("%d frames in %v, of which the controller heard of %d, %v moves, %v blocks; %d honest stations were learned after %v; the controller used %v",
		2*each, lasted.Round(time.Millisecond), got, ctl.Metric("macloom_guard_moves_total"), ctl.Metric("macloom_guard_blocks_made_total"),
		honest, learned.Round(time.Millisecond), processorTime(t, ctl.Process().PID())-used)
}
