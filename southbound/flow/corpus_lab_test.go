package flow

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// labLines are flows as people write them for ovs-ofctl: those that the data plane
// was tried out with. Each gets a priority of its own.
var labLines = []string{
	// Port security.
	"table=0,in_port=1,vlan_tci=0x0000/0x1fff,dl_src=02:00:05:00:00:01,arp actions=goto_table:1",
	"table=0,in_port=1,vlan_tci=0x0000/0x1fff,dl_src=02:00:05:00:00:01,ip actions=goto_table:1",
	"table=0,in_port=1,vlan_tci=0x0000/0x1fff,dl_src=02:00:05:00:00:01,ipv6 actions=goto_table:1",
	"table=0,in_port=1 actions=drop",
	"table=1,arp,in_port=1,arp_sha=02:00:05:00:00:01,arp_spa=10.0.0.1 actions=goto_table:2",
	"table=1,arp,in_port=1,arp_op=1,arp_sha=02:00:05:00:00:01,arp_spa=0.0.0.0 actions=goto_table:2",
	"table=1,udp,in_port=1,tp_src=67,tp_dst=68 actions=drop",
	"table=1,udp,in_port=1,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67 actions=goto_table:2",
	"table=1,ip,in_port=1,nw_src=10.0.0.1 actions=goto_table:2",
	"table=1,icmp6,in_port=1,icmp_type=134 actions=drop",
	"table=1,icmp6,in_port=1,icmp_type=135,icmp_code=0,nd_sll=02:00:05:00:00:01 actions=resubmit(,3)",
	"table=1,icmp6,in_port=1,icmp_type=135,icmp_code=0,nd_sll=00:00:00:00:00:00 actions=resubmit(,3)",
	"table=1,icmp6,in_port=1,icmp_type=136,icmp_code=0,nd_target=fe80::1,nd_tll=02:00:05:00:00:01 actions=resubmit(,3)",
	"table=1,icmp6,icmp_type=136 actions=drop",
	"table=1,ipv6,in_port=1,ipv6_src=fd01::1 actions=goto_table:2",
	"table=3,icmp6,in_port=1,icmp_type=135,ipv6_src=:: actions=goto_table:4",

	// Security groups.
	"table=10,ip actions=ct(zone=NXM_NX_REG0[0..15],table=11)",
	"table=11,ct_state=+trk+est,ip actions=goto_table:20",
	"table=11,ct_state=+trk+rel,ip actions=goto_table:20",
	"table=11,ct_state=+trk+new,ip actions=ct(commit,zone=NXM_NX_REG0[0..15]),goto_table:20",
	"table=11,ct_state=+trk+inv,ip actions=drop",
	"table=30,ip actions=ct(zone=NXM_NX_REG15[0..15],table=31)",
	"table=31,ct_state=+trk+est,ct_mark=1000,ip,reg15=4 actions=output:4",
	"table=31,ct_state=+trk,reg15=4,conj_id=1000,ip actions=ct(commit,zone=NXM_NX_REG15[0..15],exec(set_field:1000->ct_mark)),output:4",
	"table=31,ct_state=+trk,reg15=4,ip,nw_src=10.0.0.1 actions=conjunction(1000,1/2)",
	"table=31,ct_state=+trk,reg15=4,tcp,tp_dst=5001 actions=conjunction(1000,2/2)",
	"table=31,ct_state=+trk,reg15=4,tcp,tp_dst=0x1400/0xfff8 actions=conjunction(1000,2/2)",
	"table=31,ct_state=+trk,reg15=4,icmp,icmp_type=8 actions=conjunction(1000,2/2)",

	// Forwarding by MAC segment.
	"table=30,dl_dst=02:00:05:00:00:00/ff:ff:ff:00:00:00 actions=move:NXM_NX_REG1[]->NXM_NX_TUN_ID[0..31],set_field:192.168.50.5->tun_dst,output:900",

	// Responders.
	"table=5,arp,arp_op=1,reg1=77,arp_tpa=10.0.1.1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:05:ff:00:01->eth_src,set_field:2->arp_op," +
		"move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:02:00:05:ff:00:01->arp_sha,set_field:10.0.1.1->arp_spa,in_port",
	"table=5,icmp6,icmp_type=135,icmp_code=0,reg1=77,nd_target=fd01::1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:05:ff:00:01->eth_src," +
		"move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fd01::1->ipv6_src,set_field:136->icmpv6_type,set_field:2->nd_options_type," +
		"set_field:0xE0000000->nd_reserved,goto_table:6",
	"table=6,icmp6,icmp_type=136,icmp_code=0 actions=set_field:02:00:05:ff:00:01->nd_tll,in_port",
	"table=5,udp,tp_src=68,tp_dst=67 actions=meter:3,CONTROLLER:1500",

	// Sticky backends.
	"table=0,in_port=1 actions=set_field:255->reg2,resubmit(,22),goto_table:20",
	"table=20,reg2=255 actions=multipath(eth_src,50,modulo_n,64,0,NXM_NX_REG2[]),learn(table=22,idle_timeout=60,fin_idle_timeout=5,priority=100,cookie=0x5,limit=20000," +
		"NXM_OF_ETH_SRC[],load:NXM_NX_REG2[]->NXM_NX_REG2[]),goto_table:21",
	"table=21,ip,reg2=5 actions=set_field:02:00:05:00:00:02->eth_dst,output:5",
	"table=21,ip,reg2=6 actions=ct(commit,zone=60000,nat(dst=10.0.0.2))",
	"table=0,in_port=2 actions=set_field:0->reg2,resubmit(,22),resubmit(,21)",
	"table=20 actions=multipath(eth_src,50,modulo_n,64,0,NXM_NX_REG3[]),goto_table:23",
	"table=23,reg3=17 actions=set_field:4->reg2,goto_table:24",
	"table=24 actions=learn(table=22,idle_timeout=60,priority=100,limit=20000,cookie=0x5d,NXM_OF_ETH_SRC[],load:NXM_NX_REG2[]->NXM_NX_REG2[]),resubmit(,21)",
	"table=21,reg2=0 actions=resubmit(,20)",
	"table=21 actions=set_field:0->reg2,resubmit(,20)",
	"table=22,ip actions=bundle(eth_src,0,hrw,ofport,members:1,2,3,4,5)",

	// QoS.
	"table=50,ip,dl_src=02:00:05:00:00:02/ff:ff:ff:ff:ff:fe actions=set_field:46->ip_dscp,goto_table:51",
	"table=50,dl_src=02:00:05:00:00:02/ff:ff:ff:ff:ff:fe actions=set_queue:1,goto_table:51",
	"table=50,dl_src=02:00:05:00:00:04 actions=meter:3,goto_table:51",

	// Learned MACs and moves.
	"table=0 actions=controller(max_len=65535,meter_id=7)",
	"table=1 actions=learn(table=10,idle_timeout=300,hard_timeout=600,priority=100,cookie=0x7,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
	"table=0 actions=set_field:0->reg4,resubmit(,9),resubmit(,1)",
	"table=1,reg4=0 actions=learn(table=9,idle_timeout=300,limit=3000,cookie=0x8,NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG4[0..15]),goto_table:10",
	"table=1,reg4=3,in_port=3 actions=goto_table:10",
	"table=1 actions=controller(max_len=128,meter_id=7)",

	// NAT and the router's hop.
	"table=20,ip,dl_dst=02:00:05:ff:00:01,nw_ttl=0 actions=drop",
	"table=20,ip,dl_dst=02:00:05:ff:00:01,nw_dst=10.0.2.0/24 actions=dec_ttl,set_field:02:00:05:ff:00:01->eth_src,set_field:78->reg1,goto_table:22",
	"table=22,ip,nw_dst=10.0.2.7 actions=set_field:02:00:05:00:00:07->eth_dst",
	"table=20,ip,dl_dst=02:00:05:ff:00:01,nw_src=10.0.1.11 actions=dec_ttl,ct(commit,zone=500,nat(src=203.0.113.100),table=25)",
	"table=20,ip,dl_dst=02:00:05:ff:00:01,reg1=99,nw_dst=203.0.113.100 actions=ct(nat,zone=500,table=21)",
	"table=21,ct_state=+trk+new,ip,nw_dst=203.0.113.100 actions=ct(commit,zone=500,nat(dst=10.0.1.11),table=24)",
	"table=25,ip actions=ct(commit,zone=500,nat(src=203.0.113.100-203.0.113.110:1024-65535,random),table=26)",

	// The pipeline.
	"table=0,in_port=900,tun_id=77 actions=set_field:77->metadata,set_field:2->reg3,goto_table:15",
	"table=30,metadata=77,dl_dst=02:00:05:00:00:00/ff:ff:ff:00:00:00 actions=set_field:3->reg5,set_field:12->reg7,goto_table:31",
	"table=31,reg5=3,metadata=77,dl_dst=02:00:05:00:00:02 actions=set_field:9->reg15,set_field:10->reg9,set_field:11->reg8,goto_table:50",
	"table=51,reg15=0 actions=goto_table:61",
	"table=60 actions=output:NXM_NX_REG15[]",
	"table=61,reg3=0x1,reg7=12 actions=move:OXM_OF_METADATA[0..31]->NXM_NX_TUN_ID[0..31],set_field:192.168.50.5->tun_dst,output:900",
	"table=61,reg3=0x1,reg7=13 actions=move:metadata[0..23]->tun_id[0..23],set_field:192.168.50.6->tun_dst,output:900",
}

// labFlows returns the lines with priorities.
func labFlows() []string {
	lines := make([]string, len(labLines))
	for i, line := range labLines {
		lines[i] = fmt.Sprintf("priority=%d,%s", i+1, line)
	}
	return lines
}

func (c *collector) labNotes() {
	for _, line := range labFlows() {
		f, err := Parse(line)
		if err != nil {
			panic(err)
		}
		c.flow(f)
	}
}

// TestOVSReadsLinesAsWeDo lets ovs-ofctl install lines as people write them, and
// reads back what we read in them.
func TestOVSReadsLinesAsWeDo(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	path := ovs.AddBridge("br0")
	addReferred(ovs, "br0")
	var want []Flow
	lines := append(labFlows(), spellings...)
	for _, line := range lines {
		f, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	file := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	ovs.Ofctl("add-flows", "br0", file)
	got := dial(t, path).flows(t, &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny})
	compareFlows(t, want, got)
}

// spellings are other ways to write actions than ovs-ofctl's own.
var spellings = []string{
	"priority=1001 actions=set_field:0x5/0xf->reg1,set_field:0x1/0x80000001->metadata,load:5->reg3[0..3],move:reg0[0..15]->reg1[16..31]",
	"priority=1002 actions=set_tunnel:5,set_tunnel64:0x1000000000,group(5),output(5),LOCAL,normal",
	"priority=1003 actions=controller(max_len=65535),controller(max_len=9),controller(id=5),CONTROLLER,controller(reason=action,max_len=7)",
	"priority=1004 actions=controller(userdata=aabbcc),controller(userdata=aa.bb.cc,pause,meter_id=7,max_len=5,id=2,reason=no_match)",
	"priority=1005 actions=sample(probability=5),sample(probability=5,sampling_port=LOCAL,egress)",
	"priority=1006 actions=learn(priority=5,eth_type=0x800,nw_proto=6,reg1[0..3]=5,reg2=7,load:5->reg1[4..8],output:in_port)",
	"priority=1007 actions=learn(NXM_OF_ETH_DST[]=02:00:00:00:00:01,NXM_OF_VLAN_TCI[0..11]=0x7,result_dst=reg0[3])",
	"priority=1008,ip actions=ct(commit,nat(src=10.0.0.1-10.0.0.1:5-5,persistent),exec(load:1->NXM_NX_CT_MARK[],set_field:1/3->ct_label))",
	"priority=1009,ipv6 actions=ct(commit,nat(dst=[fd01::1]-[fd01::2]:80)),ct(commit,nat(src=fd01::1-fd01::5)),ct(commit,nat(src=[fd01::7]))",
	"priority=1010,ip actions=dec_ttl(1,2),dec_ttl(),mod_nw_ttl:5,set_nw_ttl(6)",
	"priority=1011 actions=note:01.02.03.04.05.06.07,note:010203,clone(),clone(exit)",
	"priority=1012,vlan_tci=0x1000/0x1000 actions=strip_vlan,push_vlan(0x8100),pop_vlan",
	"priority=1013 actions=bundle(eth_src,5,hrw,ofport,members:1,2),bundle_load(nw_src,0,active_backup,ofport,reg1[0..15],members:1)",
	"priority=1014 actions=meter:3,clear_actions,write_actions(group:5,output:1),write_metadata:0x5/0xff,goto_table:5",
}
