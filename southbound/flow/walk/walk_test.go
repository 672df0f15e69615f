package walk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

var (
	alice, bob = [6]byte{2, 0, 0, 0, 0, 0xa}, [6]byte{2, 0, 0, 0, 0, 0xb}
	ipA, ipB   = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	ip6A, ip6B = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
)

// state reads flows and groups in the words of ovs-ofctl, a line each.
func state(t testing.TB, text string) flow.State {
	t.Helper()
	var s flow.State
	var flows []flow.Flow
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case strings.HasPrefix(line, "group_id"):
			g, err := flow.ParseGroup(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			s.Groups = append(s.Groups, g)
		case strings.HasPrefix(line, "meter"):
			m, err := flow.ParseMeter(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			s.Meters = append(s.Meters, m)
		default:
			f, err := flow.Parse(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			flows = append(flows, f)
		}
	}
	var err error
	if s.Flows, err = flow.NewSet(flows); err != nil {
		t.Fatal(err)
	}
	return s
}

func tcp(sport, dport uint16, flags uint8) Frame {
	return Frame{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoTCP, SrcPort: sport, DstPort: dport, TCPFlags: flags}
}

func echo(id uint16) Frame {
	return Frame{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoICMP, Type: 8, ID: id}
}

// back is the frame that answers.
func back(f Frame) Frame {
	f.Src, f.Dst, f.IPSrc, f.IPDst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.IPDst, f.IPSrc, f.DstPort, f.SrcPort
	switch {
	case f.Proto == protoICMP && f.Type == 8:
		f.Type = 0
	case f.Proto == protoICMPv6 && f.Type == 128:
		f.Type = 129
	case f.TCPFlags == TCPSyn:
		f.TCPFlags |= TCPAck
	}
	return f
}

// went are the tables passed and the ports reached.
func went(t testing.TB, sw *Switch, port uint32, f Frame) (tables []uint8, ports []uint32) {
	t.Helper()
	trace, err := sw.Walk(Arrival{Port: port, Frame: f.Bytes()})
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	for i := range trace.Steps {
		tables = append(tables, trace.Steps[i].Table)
	}
	for _, o := range trace.Outputs {
		ports = append(ports, o.Port)
	}
	return tables, ports
}

func TestFlowsOfAFieldMatchFramesWithItAndNoOthers(t *testing.T) {
	t.Parallel()
	ns := Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoICMPv6, Type: 135, Payload: slices.Concat(ip6B.AsSlice(), []byte{1, 1}, alice[:])}
	na := ns
	na.Type, na.Payload = 136, slices.Concat(ip6A.AsSlice(), []byte{2, 1}, alice[:])
	twice := ns
	twice.Payload = slices.Concat(ns.Payload, []byte{1, 1}, bob[:])
	arp := Frame{Src: alice, Dst: bob, ARPOp: 2, SHA: alice, THA: bob, IPSrc: ipA, IPDst: ipB}
	later := Frame{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoUDP, Fragment: 3, Payload: make([]byte, 30)}
	later6 := Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoUDP, Fragment: 3, Payload: make([]byte, 30)}
	tagged := tcp(1, 2, TCPSyn)
	tagged.VLAN = 0x6005
	sctp := Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoSCTP, SrcPort: 7, DstPort: 9}
	exthdr := Frame{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoHopByHop, Payload: slices.Concat([]byte{protoUDP, 0, 1, 4, 0, 0, 0, 0}, []byte{0, 5, 0, 6, 0, 8, 0, 0})}
	for _, c := range []struct {
		match string
		frame Frame
		want  bool
	}{
		{"in_port=1", tcp(1, 2, TCPSyn), true},
		{"in_port=2", tcp(1, 2, TCPSyn), false},
		{"dl_src=02:00:00:00:00:0a", tcp(1, 2, TCPSyn), true},
		{"dl_dst=02:00:00:00:00:00/ff:ff:ff:ff:ff:f0", tcp(1, 2, TCPSyn), true},
		{"dl_dst=02:00:00:00:01:00/ff:ff:ff:ff:ff:f0", tcp(1, 2, TCPSyn), false},
		{"vlan_tci=0x0000/0x1fff", tcp(1, 2, TCPSyn), true},
		{"vlan_tci=0x0000/0x1fff", tagged, false},
		{"dl_vlan=5,dl_vlan_pcp=3,tcp,tp_dst=2", tagged, true},
		{"ip,nw_src=10.0.0.0/30", tcp(1, 2, TCPSyn), true},
		{"ip,nw_dst=10.0.0.1", tcp(1, 2, TCPSyn), false},
		{"tcp,tp_dst=0x2/0xfffe,tcp_flags=+syn-ack", tcp(1, 3, TCPSyn), true},
		{"tcp,tcp_flags=+syn-ack", tcp(1, 3, TCPSyn|TCPAck), false},
		{"udp", tcp(1, 3, TCPSyn), false},
		{"icmp,icmp_type=8,icmp_code=0", echo(1), true},
		{"icmp,icmp_type=0", echo(1), false},
		{"arp,arp_op=2,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24,arp_sha=02:00:00:00:00:0a,arp_tha=02:00:00:00:00:0b", arp, true},
		{"arp,arp_spa=10.0.0.2", arp, false},
		{"ip", arp, false},
		{"udp,nw_frag=later", later, true},
		{"ip,nw_frag=no", later, false},
		{"ipv6,nw_frag=later,nw_proto=44", later6, true},
		{"sctp6,sctp_dst=9", sctp, true},
		{"udp6,udp_src=5,udp_dst=6", exthdr, true},
		{"icmp6,icmpv6_type=135,nd_target=fd00::2,nd_sll=02:00:00:00:00:0a", ns, true},
		{"icmp6,icmpv6_type=135,nd_sll=00:00:00:00:00:00", ns, false},
		{"icmp6,icmpv6_type=135,nd_target=::,nd_sll=00:00:00:00:00:00", twice, true},
		{"icmp6,icmpv6_type=136,nd_target=fd00::/64,nd_tll=02:00:00:00:00:0a", na, true},
		{"ipv6,ipv6_src=fd00::/16", ns, true},
		{"tun_id=0x4d", tcp(1, 2, 0), true},
		{"tun_src=192.0.2.1,tun_dst=192.0.2.2", tcp(1, 2, 0), true},
		{"ct_state=-trk", tcp(1, 2, 0), true},
		{"metadata=0,reg0=0,xreg1=0,xxreg2=0", tcp(1, 2, 0), true},
	} {
		sw := New(state(t, "priority=5,"+c.match+" actions=output:2"))
		trace, err := sw.Walk(Arrival{Port: 1, Frame: c.frame.Bytes(), Tunnel: Tunnel{ID: 77, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2")}})
		if err != nil {
			t.Errorf("%s: %v", c.match, err)
		}
		if got := len(trace.Outputs) == 1; got != c.want {
			t.Errorf("%s: matches %v, want %v: %x", c.match, got, c.want, c.frame.Bytes())
		}
	}
}

// actionCases are flows, a frame that comes to port 1, and what leaves.
var actionCases = []actionCase{
	{"the highest priority decides", `priority=1 actions=output:9
			priority=2,tcp actions=output:2`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"no flow: a drop", `priority=2,udp actions=output:2`, tcp(1, 2, TCPSyn), nil},
	{"never back to the port of entry", `actions=output:1,output:2`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"but by IN_PORT", `actions=in_port`, tcp(1, 2, TCPSyn), []string{"1 tcp"}},
	{"registers are kept over goto and resubmit", `table=0 actions=set_field:7->reg3,resubmit(,5),goto_table:6
			table=5,reg3=7 actions=set_field:8->reg3
			table=6,reg3=8 actions=output:2`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"a resubmit may name another port for the lookup alone", `table=0 actions=resubmit(8,5)
			table=5,in_port=8 actions=output:8,output:1,output:2`, tcp(1, 2, TCPSyn), []string{"8 tcp", "2 tcp"}},
	{"metadata by mask", `table=0 actions=write_metadata:0xabcd/0xff00,goto_table:1
			table=1,metadata=0xab00 actions=output:2`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"wide registers are made of narrow ones", `table=0 actions=set_field:0x100000002->xreg1,load:3->NXM_NX_REG0[4..7],goto_table:1
			table=1,reg0=0x30,reg2=1,reg3=2 actions=output:OXM_OF_PKT_REG1[0..15]`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"move", `actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:ff->eth_src,output:2`, tcp(1, 2, TCPSyn),
		[]string{"2 dl_src=02:00:00:00:00:ff,dl_dst=02:00:00:00:00:0a"}},
	{"headers are rewritten", `priority=1,tcp actions=set_field:192.0.2.1->ip_src,set_field:99->tcp_dst,set_field:46->ip_dscp,dec_ttl,output:2`, tcp(1, 2, TCPSyn),
		[]string{"2 tcp,nw_src=192.0.2.1,tp_dst=99,nw_tos=184,nw_ttl=63"}},
	{"an expired packet goes to the controller", `priority=1,ip actions=set_field:1->nw_ttl,dec_ttl,output:2`, tcp(1, 2, TCPSyn), []string{"-3 tcp"}},
	{"an ARP answer", `priority=1,arp actions=set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:10.0.0.9->arp_spa,in_port`,
		Frame{Src: alice, Dst: bob, ARPOp: 1, SHA: alice, IPSrc: ipA, IPDst: ipB}, []string{"1 arp,arp_op=2,arp_tha=02:00:00:00:00:0a,arp_spa=10.0.0.9"}},
	{"tags", `actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:2,pop_vlan,output:3`, tcp(1, 2, TCPSyn), []string{"2 dl_vlan=5,tcp", "3 vlan_tci=0x0000/0x1fff,tcp"}},
	{"a clone changes nothing for what follows", `actions=clone(set_field:02:00:00:00:00:ff->eth_src,output:2),output:3`, tcp(1, 2, TCPSyn),
		[]string{"2 dl_src=02:00:00:00:00:ff", "3 dl_src=02:00:00:00:00:0a"}},
	{"exit ends all", `table=0 actions=resubmit(,1),output:9
			table=1 actions=output:2,exit,output:8`, tcp(1, 2, TCPSyn), []string{"2 tcp"}},
	{"a group of all", `actions=group:1
			group_id=1,type=all,bucket=actions=set_field:02:00:00:00:00:ff->eth_src,output:2,bucket=actions=output:3`, tcp(1, 2, TCPSyn),
		[]string{"2 dl_src=02:00:00:00:00:ff", "3 dl_src=02:00:00:00:00:0a"}},
	{"a group of one that lives", `actions=group:1
			group_id=1,type=ff,bucket=watch_port:2,actions=output:2,bucket=watch_port:3,actions=output:3`, tcp(1, 2, TCPSyn), []string{"3 tcp"}},
	{"a group that chooses", `actions=group:1
			group_id=1,type=select,bucket=weight:0,actions=output:2,bucket=weight:5,actions=output:3`, tcp(1, 2, TCPSyn), []string{"3 tcp"}},
	{"meters let pass, and controllers hear", `actions=meter:1,controller(max_len=20,meter_id=1),output:2
			meter=1 pktps bands=type=drop rate=5`, tcp(1, 2, TCPSyn), []string{"-3 tcp", "2 tcp"}},
	{"the stack", `actions=set_field:5->reg1,push:NXM_NX_REG1[],set_field:6->reg1,pop:NXM_NX_REG1[],output:NXM_NX_REG1[]`, tcp(1, 2, TCPSyn), []string{"5 tcp"}},
	{"a register that holds no port", `actions=set_field:0x10002->reg1,output:NXM_NX_REG1[],set_field:0xfff8->reg1,output:NXM_NX_REG1[]`, tcp(1, 2, TCPSyn), []string{"1 tcp"}},
	{"flood", `actions=flood`, tcp(1, 2, TCPSyn), []string{"2 tcp", "3 tcp"}},
}

type actionCase struct {
	name, flows string
	frame       Frame
	want        []string // port, and a match that the frame that leaves has
}

func TestActionsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, c := range actionCases {
		sw := New(state(t, c.flows))
		sw.Ports, sw.Dead = []uint32{1, 2, 3}, map[uint32]bool{2: true}
		trace, err := sw.Walk(Arrival{Port: 1, Frame: c.frame.Bytes()})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for i, o := range trace.Outputs {
			text := fmt.Sprint(int32(o.Port), " something else: ", hex.EncodeToString(o.Frame))
			if i < len(c.want) {
				_, match, _ := strings.Cut(c.want[i], " ")
				seen, err := New(state(t, "priority=7,"+match+" actions=output:99")).Walk(Arrival{Port: 1, Frame: o.Frame})
				if err != nil {
					t.Fatal(err)
				}
				if len(seen.Outputs) == 1 || o.Port == openflow.PortController && len(o.Frame) <= 60 {
					text = fmt.Sprint(int32(o.Port), " ", match)
				}
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", c.name, diff, trace)
		}
	}
}

// A rewritten frame has the checksums of one that was built so.
func TestChecksumsAreRightAfterARewrite(t *testing.T) {
	t.Parallel()
	for _, f := range []Frame{
		tcp(1, 2, TCPSyn), {Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoUDP, SrcPort: 5, DstPort: 6, Payload: []byte("odd")},
	} {
		trace, err := New(state(t, `priority=1,ip actions=set_field:192.0.2.1->ip_src,output:2`)).Walk(Arrival{Port: 1, Frame: f.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		f.IPSrc = netip.MustParseAddr("192.0.2.1")
		if diff := cmp.Diff(hex.EncodeToString(f.Bytes()), hex.EncodeToString(trace.Outputs[0].Frame)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

const conjunctions = `
		priority=90,conj_id=7,ip actions=output:7
		priority=100,ip,nw_src=10.0.0.1 actions=conjunction(7,1/2),conjunction(8,1/3)
		priority=100,tcp,tp_dst=80 actions=conjunction(7,2/2)
		priority=50,tcp,tp_dst=443 actions=conjunction(7,2/2)
		priority=100,tcp,tp_dst=81 actions=conjunction(8,2/3)
		priority=20,ip actions=output:20
		priority=120,tcp,tp_dst=22 actions=output:22
		priority=100,tcp,tp_dst=22 actions=conjunction(7,2/2)
		priority=100,tcp,tp_dst=23 actions=conjunction(7,2/2)
		priority=100,tcp,tp_src=9,tp_dst=23 actions=output:23
		priority=100,ip,nw_src=10.0.0.3 actions=conjunction(9,1/2)
		priority=100,tcp,tp_dst=99 actions=conjunction(9,2/2)`

// conjunctionCases are frames that conjunctions decide on, and the port that they go to.
func conjunctionCases() []conjunctionCase {
	other := tcp(1, 80, TCPSyn)
	other.IPSrc = ipB
	unanswered := tcp(1, 99, TCPSyn)
	unanswered.IPSrc = netip.MustParseAddr("10.0.0.3")
	return []conjunctionCase{
		{"both clauses", tcp(1, 80, TCPSyn), 7},
		{"one clause is of a lower priority", tcp(1, 443, TCPSyn), 20},
		{"a clause of three is missing", tcp(1, 81, TCPSyn), 20},
		{"the first clause is missing", other, 20},
		{"a flow of higher priority decides", tcp(1, 22, TCPSyn), 22},
		{"a flow of the same priority decides", tcp(9, 23, TCPSyn), 23},
		{"nothing matches the id: as if there were no conjunction", unanswered, 20},
	}
}

type conjunctionCase struct {
	name  string
	frame Frame
	want  uint32
}

func TestConjunctionsNeedAllClausesOfOnePriority(t *testing.T) {
	t.Parallel()
	for _, c := range conjunctionCases() {
		trace, err := New(state(t, conjunctions)).Walk(Arrival{Port: 1, Frame: c.frame.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		if len(trace.Outputs) != 1 || trace.Outputs[0].Port != c.want {
			t.Errorf("%s: want port %d\n%s", c.name, c.want, trace)
		}
		if clauses := len(trace.Steps[0].Clauses); c.want == 7 && clauses != 2 {
			t.Errorf("%s: %d clauses are told, want 2", c.name, clauses)
		}
	}
}

// What is not known is an error that says so, at the frame that meets it.
func TestWhatIsNotKnownIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"actions=normal", "priority=1,mpls,mpls_label=5 actions=drop", "actions=multipath(eth_src,50,hrw,4,0,NXM_NX_REG0[])",
		"actions=ct(commit,nat(src=10.0.0.9),table=5)", "actions=write_actions(output:2)", "actions=group:5", "actions=controller(pause)", "actions=push_mpls:0x8847",
		"recirc_id=5 actions=drop", "actions=meter:9", "priority=1,ip actions=bundle(eth_src,0,hrw,ofport,members:1,2)", "actions=controller(meter_id=7)",
	} {
		frame := tcp(1, 2, TCPSyn)
		if strings.Contains(text, "mpls_label") {
			frame = Frame{Src: alice, Dst: bob, EtherType: 0x8847, Payload: make([]byte, 30)}
		}
		trace, err := New(state(t, text)).Walk(Arrival{Port: 1, Frame: frame.Bytes()})
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: error %v\n%s", text, err, trace)
		}
	}
}

func TestFramesThatGoRoundAreStopped(t *testing.T) {
	t.Parallel()
	for _, flows := range []string{
		"actions=resubmit(,0)",
		"actions=resubmit(,0),resubmit(,0)",
		"actions=ct(table=0)",
		"actions=ct(table=0),ct(table=0),ct(table=0)",
		"table=0 actions=resubmit(,1),resubmit(,1),resubmit(,1),resubmit(,1)\n" + doublings(60),
		"actions=group:1\ngroup_id=1,type=all,bucket=actions=resubmit(,0)",
	} {
		if _, err := New(state(t, flows)).Walk(Arrival{Port: 1, Frame: tcp(1, 2, TCPSyn).Bytes()}); !errors.Is(err, ErrEndless) {
			t.Errorf("%s: error %v", flows, err)
		}
	}
	// What is long but ends is let through.
	fan := "table=0 actions=" + strings.TrimSuffix(strings.Repeat("resubmit(,1),", 3000), ",") + "\ntable=1 actions=output:2"
	trace, err := New(state(t, fan)).Walk(Arrival{Port: 1, Frame: tcp(1, 2, TCPSyn).Bytes()})
	if err != nil || len(trace.Outputs) != 3000 {
		t.Errorf("%d copies, error %v", len(trace.Outputs), err)
	}
}

func doublings(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "table=%d actions=resubmit(,%d),resubmit(,%d)\n", i+1, i+2, i+2)
	}
	return b.String()
}

func TestLearnedFlowsAreThereForTheNextFrame(t *testing.T) {
	t.Parallel()
	sw := New(state(t, `
		table=0 actions=set_field:3->reg2,learn(table=5,priority=9,idle_timeout=60,cookie=0x77,limit=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG15[0..15],load:1->NXM_NX_REG1[]),resubmit(,5)
		table=5,priority=0 actions=output:99`))
	before := len(sw.Flows())
	if _, ports := went(t, sw, 1, tcp(1, 2, TCPSyn)); !slices.Equal(ports, []uint32{99}) {
		t.Errorf("the first goes to %v", ports)
	}
	want := "cookie=0x77, table=5, idle_timeout=60, priority=9,dl_dst=02:00:00:00:00:0a actions=load:0x1->NXM_NX_REG15[0..15],load:0x1->NXM_NX_REG1[]"
	if got := sw.Flows()[len(sw.Flows())-1].String(); got != want {
		t.Errorf("learned %s\nwant    %s", got, want)
	}
	if _, ports := went(t, sw, 2, back(tcp(1, 2, TCPSyn))); len(ports) != 0 {
		t.Errorf("the answer hits the flow that has nothing but loads, yet goes to %v", ports)
	}
	third := tcp(1, 2, TCPSyn)
	third.Src = [6]byte{2, 0, 0, 0, 0, 0xc}
	went(t, sw, 3, third)
	if n := len(sw.Flows()) - before; n != 2 {
		t.Errorf("%d flows learned, the limit is 2", n)
	}
}

func BenchmarkWalk20000(b *testing.B) {
	var lines strings.Builder
	lines.WriteString("table=0,priority=1 actions=goto_table:1\ntable=1,priority=0 actions=goto_table:2\ntable=2,priority=0 actions=output:2\n")
	for i := range 20000 {
		fmt.Fprintf(&lines, "table=%d,priority=100,tcp,reg1=%d,ct_state=-trk,nw_src=10.1.%d.%d actions=drop\n", 1+i&1, i&3, i>>8&255, i&255)
	}
	s := state(b, lines.String())
	frame := tcp(1, 2, TCPSyn).Bytes()
	for b.Loop() {
		trace, err := New(s).Walk(Arrival{Port: 1, Frame: frame})
		if err != nil || len(trace.Outputs) != 1 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(s.Flows)), "flows")
}

// A walk is bounded in all that flows can multiply: lookups of one pass, passes
// that branch, and actions.
func TestAWalkIsBoundedHoweverItBranches(t *testing.T) {
	t.Parallel()
	var lookups, passes strings.Builder
	for table := range 60 {
		fmt.Fprintf(&lookups, "table=%d actions=resubmit(,%[2]d),resubmit(,%[2]d)\n", table, table+1)
	}
	for table := range 7 {
		again := strings.Repeat(fmt.Sprintf("ct(zone=1,table=%d),", table+1), 8)
		fmt.Fprintf(&passes, "table=%d actions=%s\n", table, strings.TrimSuffix(again, ","))
	}
	many := strings.TrimSuffix(strings.Repeat("set_field:1->reg0,", 500), ",")
	for name, flows := range map[string]string{
		"lookups": lookups.String(),
		"passes":  passes.String(),
		"actions": lookups.String() + "table=60 actions=" + many,
		"clones":  "table=0 actions=" + strings.Repeat("push:NXM_NX_REG0[],", 500) + strings.TrimSuffix(strings.Repeat("clone(resubmit(,1)),", 500), ",") + "\ntable=1 actions=" + many,
	} {
		trace, err := New(state(t, flows)).Walk(Arrival{Port: 1, Frame: tcp(1, 2, TCPSyn).Bytes()})
		if !errors.Is(err, ErrEndless) {
			t.Errorf("%s: error %v, want %v", name, err, ErrEndless)
		}
		taken := 0
		for _, s := range trace.Steps {
			taken += len(s.Taken)
		}
		if len(trace.Steps) > 4096 || taken > 16*4096 {
			t.Errorf("%s: %d lookups and %d actions, want at most 4096 and 65536", name, len(trace.Steps), taken)
		}
	}
}
