package walk

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The hash of a source address is that of Open vSwitch.
func TestMultipathChoosesTheLinkOfOpenVSwitch(t *testing.T) {
	t.Parallel()
	o := newOracle(t, 1)
	for _, fields := range []string{"eth_src", "nw_src"} {
		var flows strings.Builder
		fmt.Fprintf(&flows, "table=0,priority=7 actions=multipath(%s,50,modulo_n,64,0,NXM_NX_REG2[]),goto_table:1\n", fields)
		for link := range 64 {
			fmt.Fprintf(&flows, "table=1,priority=%d,reg2=%d actions=drop\n", 100+link, link)
		}
		s, chosen := state(t, flows.String()), map[string]bool{}
		for i := range 12 {
			f := Frame{
				Src: [6]byte{2, 0, 5, 0, byte(7 * i), byte(i)}, Dst: [6]byte{2, 9}, IPSrc: netip.AddrFrom4([4]byte{10, 0, byte(3 * i), byte(i)}), IPDst: ipB,
				Proto: protoTCP, SrcPort: 4, DstPort: 80,
			}
			trace, err := New(s).Walk(Arrival{Port: 1, Frame: f.Bytes()})
			if err != nil {
				t.Fatal(err)
			}
			hits := []string{"0/7", fmt.Sprintf("1/%d", trace.Steps[1].Flow.Priority)}
			got, _ := o.trace(s, f)
			if diff := cmp.Diff(got, hits); diff != "" {
				t.Errorf("%s of %x %s (-Open vSwitch +walk):\n%s", fields, f.Src, f.IPSrc, diff)
			}
			chosen[hits[1]] = true
		}
		if len(chosen) < 6 {
			t.Errorf("%s: only %d links are chosen", fields, len(chosen))
		}
	}
}

// A connection is translated there and back, and only in its zone.
func TestDestinationsAreTranslatedThereAndBack(t *testing.T) {
	t.Parallel()
	server := netip.MustParseAddr("10.0.0.9")
	for name, proto := range map[string]uint8{"tcp": protoTCP, "udp": protoUDP} {
		s := state(t, fmt.Sprintf(`table=0,%[1]s,nw_dst=10.0.0.2 actions=ct(commit,zone=9,table=1,nat(dst=10.0.0.9:8080))
table=0,%[1]s,nw_src=10.0.0.9 actions=ct(zone=9,table=1,nat)
table=0,%[1]s,nw_src=10.0.0.8 actions=ct(zone=8,table=1,nat)
table=1 actions=output:2`, name))
		sw := New(s)
		send := func(f Frame) string {
			trace, err := sw.Walk(Arrival{Port: 1, Frame: f.Bytes()})
			if err != nil {
				t.Fatal(err)
			}
			if len(trace.Outputs) != 1 {
				t.Fatalf("%d frames leave\n%s", len(trace.Outputs), trace)
			}
			key, _, ok := tupleOf(newPacket(trace.Outputs[0].Frame))
			if !slices.Equal(newPacket(trace.Outputs[0].Frame).bytes(), trace.Outputs[0].Frame) {
				t.Error("the checksums of what leaves are not right")
			}
			return fmt.Sprint(key.src, ":", key.sport, " ", key.dst, ":", key.dport, " ", ok)
		}
		there := Frame{Src: [6]byte{2, 1}, Dst: [6]byte{2, 2}, IPSrc: ipA, IPDst: ipB, Proto: proto, SrcPort: 4000, DstPort: 80, TCPFlags: TCPSyn}
		back := Frame{Src: [6]byte{2, 2}, Dst: [6]byte{2, 1}, IPSrc: server, IPDst: ipA, Proto: proto, SrcPort: 8080, DstPort: 4000, TCPFlags: TCPSyn | TCPAck}
		again, other, stranger := there, back, back
		again.TCPFlags, other.IPSrc = TCPAck, netip.MustParseAddr("10.0.0.8")
		stranger.DstPort, stranger.TCPFlags = 4001, TCPAck
		for _, c := range []struct {
			f    Frame
			want string
		}{
			{there, "10.0.0.1:4000 10.0.0.9:8080 true"},
			{back, "10.0.0.2:80 10.0.0.1:4000 true"},
			{again, "10.0.0.1:4000 10.0.0.9:8080 true"},
			{other, "10.0.0.8:8080 10.0.0.1:4000 true"},
			{stranger, "10.0.0.9:8080 10.0.0.1:4001 true"},
		} {
			if got := send(c.f); got != c.want {
				t.Errorf("%s: %s:%d leaves as %s; want %s", name, c.f.IPSrc, c.f.SrcPort, got, c.want)
			}
		}
	}
}
