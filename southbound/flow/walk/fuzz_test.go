package walk

import (
	"errors"
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
)

// all has every kind of match and action that reads or writes a frame, and goes
// round for some frames.
const all = `
	table=0,priority=9,arp actions=set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:10.0.0.9->arp_spa,in_port,resubmit(,1)
	table=0,priority=9,icmp6,icmpv6_type=135 actions=set_field:02:00:00:00:00:01->nd_sll,set_field:fd00::5->nd_target,set_field:1->nd_options_type,resubmit(,1)
	table=0,priority=8,ipv6 actions=set_field:fd00::9->ipv6_src,set_field:0x12345->ipv6_label,ct(zone=3,table=1),resubmit(,1)
	table=0,priority=8,ip actions=set_field:10.9.9.9->ip_dst,set_field:46->ip_dscp,dec_ttl,ct(commit,zone=3,exec(set_field:9->ct_mark)),ct(zone=3,table=1)
	table=0,priority=0 actions=push_vlan:0x8100,set_field:4099->vlan_vid,resubmit(,1),pop_vlan,pop_vlan,output:4
	table=1,priority=20,tcp actions=set_field:7->tcp_src,output:2
	table=1,priority=20,tcp6 actions=set_field:7->tcp_src,output:2
	table=1,priority=20,udp actions=set_field:7->udp_dst,output:2
	table=1,priority=20,udp6 actions=set_field:7->udp_dst,output:2
	table=1,priority=20,sctp6 actions=set_field:7->sctp_dst,output:2
	table=1,priority=20,icmp actions=set_field:3->icmp_type,output:2
	table=1,priority=20,icmp6 actions=set_field:3->icmpv6_type,output:2
	table=1,priority=10,dl_vlan=3 actions=learn(table=2,priority=5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,2)
	table=1,priority=5,dl_dst=ff:ff:ff:ff:ff:ff actions=resubmit(,1),resubmit(,1)
	table=1,priority=0 actions=clone(set_field:02:00:00:00:00:02->eth_dst,output:3),resubmit(,2)
	table=2,priority=0 actions=output:NXM_OF_ETH_SRC[0..15]`

// Whatever a frame is, a walk ends, and does not fail but for one of its reasons.
func FuzzWalk(f *testing.F) {
	for _, frame := range []Frame{
		tcp(1, 80, TCPSyn), echo(3), {Src: alice, Dst: bob, ARPOp: 1, SHA: alice, IPSrc: ipA, IPDst: ipB},
		{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoICMPv6, Type: 135, Payload: append(ip6B.AsSlice(), 1, 1, 2, 0, 0, 0, 0, 1)},
		{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoSCTP, SrcPort: 1, DstPort: 2, VLAN: 5},
		{Src: alice, Dst: bob, IPSrc: ipA, IPDst: ipB, Proto: protoICMP, Type: 3, Payload: tcp(1, 80, TCPSyn).Bytes()[14:]},
		{Src: alice, Dst: [6]byte{255, 255, 255, 255, 255, 255}, EtherType: 0x88b5},
		{Src: alice, Dst: bob, IPSrc: ip6A, IPDst: ip6B, Proto: protoUDP, Fragment: 9, Payload: make([]byte, 20)},
	} {
		f.Add(frame.Bytes(), uint32(1))
	}
	f.Add([]byte{}, uint32(0))
	s := state(f, all)
	f.Fuzz(func(t *testing.T, frame []byte, port uint32) {
		if len(frame) > 2000 {
			frame = frame[:2000]
		}
		sw := New(s)
		for range 2 {
			trace, err := sw.Walk(Arrival{Port: port, Frame: frame})
			if err != nil && !errors.Is(err, ErrEndless) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			if len(trace.Steps) > maxSteps {
				t.Fatalf("%d steps", len(trace.Steps))
			}
			for _, o := range trace.Outputs {
				if len(o.Frame) > len(frame)+4 && o.Port != openflow.PortController {
					t.Fatalf("a frame of %d bytes of one of %d", len(o.Frame), len(frame))
				}
			}
			_ = trace.String()
		}
	})
}
