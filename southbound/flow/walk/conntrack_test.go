package walk

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/flow"
)

// tracked is a switch that sends all through zone 5, commits what port 1 sends
// with mark 42, and outputs to port 2.
const tracked = `
	table=0,priority=1,ip actions=set_field:5->reg0,ct(zone=NXM_NX_REG0[0..15],table=1)
	table=0,priority=1,ipv6 actions=set_field:5->reg0,ct(zone=NXM_NX_REG0[0..15],table=1)
	table=1,priority=9,ct_state=+inv+trk actions=drop
	table=1,priority=5,ct_state=+new+trk,in_port=1 actions=ct(commit,zone=NXM_NX_REG0[0..15],exec(set_field:0x2a->ct_mark,load:7->NXM_NX_CT_LABEL[32..63])),output:2
	table=1,priority=5,ct_state=+est+trk,ct_mark=0x2a,ct_label=0x700000000,ct_zone=5 actions=output:2,output:1
	table=1,priority=5,ct_state=+rel+trk actions=output:2,output:1`

// said is the conntrack state of a frame, and whether it left.
func said(t *testing.T, sw *Switch, port uint32, f Frame) string {
	t.Helper()
	trace, err := sw.Walk(Arrival{Port: port, Frame: f.Bytes()})
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	if len(trace.Steps) < 2 {
		return "held"
	}
	text := stateText(trace.Steps[1].Tracked())
	if len(trace.Outputs) == 0 {
		text += " dropped"
	}
	return text
}

func TestConnectionsAreFollowed(t *testing.T) {
	t.Parallel()
	udp := Frame{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoUDP, SrcPort: 5, DstPort: 6}
	echo6 := Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoICMPv6, Type: 128, ID: 9}
	stray := tcp(1, 80, TCPSyn)
	stray.SrcPort = 2
	for _, first := range []Frame{tcp(1, 80, TCPSyn), udp, echo(9), echo6, {Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: 47, Payload: []byte{1}}} {
		sw := New(state(t, tracked))
		got := []string{said(t, sw, 2, back(first)), said(t, sw, 1, first), said(t, sw, 1, first), said(t, sw, 2, back(first)), said(t, sw, 1, first)}
		before := "+trk+new dropped" // and not committed, as it came by port 2
		if first.Proto == protoTCP || first.Proto == protoICMP || first.Proto == protoICMPv6 {
			before = "+trk+inv dropped" // an answer to nothing
		}
		want := []string{before, "+trk+new", "+trk+new", "+trk+est+rpl", "+trk+est"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("protocol %d (-want +got):\n%s", first.Proto, diff)
		}
		sw.Conntrack.Flush(6)
		if got := said(t, sw, 1, first); got != "+trk+est" {
			t.Errorf("protocol %d: after another zone was flushed: %s", first.Proto, got)
		}
		sw.Conntrack.Flush(5)
		if got := said(t, sw, 1, first); got != "+trk+new" {
			t.Errorf("protocol %d: after its zone was flushed: %s", first.Proto, got)
		}
	}
	sw := New(state(t, tracked))
	said(t, sw, 1, tcp(1, 80, TCPSyn))
	if got := said(t, sw, 2, back(stray)); got != "+trk+inv dropped" {
		t.Errorf("the answer to another connection: %s", got)
	}
	if got := said(t, sw, 1, tcp(1, 80, tcpSyn|tcpFin)); got != "+trk+inv dropped" {
		t.Errorf("SYN with FIN: %s", got)
	}
	if got := said(t, sw, 1, Frame{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoUDP, Fragment: 3, Payload: make([]byte, 40)}); got != "held" {
		t.Errorf("a fragment: %s", got)
	}
}

// An ICMP error about a connection is related to it; one about nothing is invalid.
func TestErrorsAreRelatedToTheirConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, report Frame
	}{
		{tcp(1, 80, TCPSyn), Frame{Proto: protoICMP, Type: 3, Code: 3}},
		{
			Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoUDP, SrcPort: 5, DstPort: 6, Payload: []byte("ask")},
			Frame{Proto: protoICMPv6, Type: 2},
		},
	} {
		router := netip.MustParseAddr("10.9.9.9")
		if c.first.IPSrc.Is6() {
			router = netip.MustParseAddr("fd09::9")
		}
		report := c.report
		report.Src, report.Dst, report.IPSrc, report.IPDst = bob, alice, router, c.first.IPSrc
		report.Payload = slices.Clone(c.first.Bytes()[14:])
		sw := New(state(t, tracked))
		got := []string{said(t, sw, 2, report), said(t, sw, 1, c.first), said(t, sw, 2, report)}
		if diff := cmp.Diff([]string{"+trk+inv dropped", "+trk+new", "+trk+rel+rpl"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestAForcedCommitTurnsTheConnectionRound(t *testing.T) {
	t.Parallel()
	sw := New(state(t, `
		table=0,priority=1,ip,in_port=1 actions=ct(commit,zone=5),output:2
		table=0,priority=1,ip,in_port=2 actions=ct(commit,force,zone=5),ct(zone=5,table=1)
		table=1,priority=0 actions=output:1`))
	said(t, sw, 1, tcp(1, 80, TCPSyn))
	trace, err := sw.Walk(Arrival{Port: 2, Frame: back(tcp(1, 80, tcpAck)).Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if got := trace.Steps[1].Tracked(); got != flow.CTTrk|flow.CTNew {
		t.Errorf("the answer is now %s\n%s", stateText(got), trace)
	}
}

func TestATraceSaysWhereCopiesEnd(t *testing.T) {
	t.Parallel()
	sw := New(state(t, `
		table=0,priority=1,cookie=0x11 actions=set_field:1->reg1,resubmit(,1),set_field:2->reg1,resubmit(,1)
		table=1,priority=1,reg1=1,cookie=0x12 actions=output:2
		table=1,priority=1,reg1=2,cookie=0x13 actions=goto_table:2
		table=2,priority=1,udp actions=output:3`))
	trace, err := sw.Walk(Arrival{Port: 1, Frame: tcp(1, 80, TCPSyn).Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if got := trace.Dropped(); !slices.Equal(got, []int{3}) || !slices.Equal(trace.Path(3), []int{0, 2, 3}) {
		t.Errorf("dropped at %v, by way of %v\n%s", got, trace.Path(3), trace)
	}
	text := trace.String()
	want := `0. priority 1, cookie 0x11
    set_field:0x1->reg1
    resubmit(,1)
    1. reg1=0x1, priority 1, cookie 0x12
        output:2 => port 2
    set_field:0x2->reg1
    resubmit(,1)
    1. reg1=0x2, priority 1, cookie 0x13
        goto_table:2
    2. no flow matches
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
