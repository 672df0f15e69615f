package flow

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/ovstest"
)

// TestParseReadsMatchesAsOvsOfctlDoes gives lines in all forms that ovs-ofctl takes to both
// and compares the canonical text.
func TestParseReadsMatchesAsOvsOfctlDoes(t *testing.T) {
	t.Parallel()
	matches := []string{
		"", "in_port=1", "in_port=LOCAL", "in_port=local", "in_port=65534", "in_port:5", "in_port_oxm=3", "actset_output=controller",
		"eth,ip", "ip", "ipv4", "ip4", "ip6", "ipv6,tcp6", "tcp,ip", "arp", "rarp", "mpls", "mplsm", "sctp6", "icmp6,eth_type=0x86dd",
		"dl_type=0x88cc", "eth_type=35020", "dl_type=04000", "tcp,tp_src=80", "tcp,tcp_src=80", "udp,tp_dst=0x35", "udp6,udp_dst=53/0xfff0", "sctp,sctp_src=1",
		"icmp,icmp_type=8,icmp_code=0", "icmp6,icmp_type=135,icmp_code=0", "icmp6,icmpv6_type=135", "icmp,tp_src=8,tp_dst=1",
		"nw_src=10.0.0.1,ip", "ip,ip_src=10.0.0.0/8", "ip,nw_dst=10.0.0.1/255.0.0.255", "ip,nw_src=*", "ip nw_src=10.0.0.1/32\tnw_dst=1.2.3.4",
		"arp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_proto=2", "arp,arp_spa=10.0.0.0/8,arp_sha=1:2:3:4:5:6,arp_op=0x1", "rarp,arp_op=3",
		"ipv6,ipv6_src=fe80::/10,ipv6_dst=ff02:0::1", "ipv6,ipv6_src=::1/ffff::ffff", "ipv6,ipv6_label=5", "ipv6,ipv6_label=0x00005/0x0000f", "ip6,ipv6_label=5/0xfffff",
		"ip,nw_proto=6,tp_src=5", "ip,ip_proto=47", "ip,nw_tos=0xb8,nw_ecn=3,nw_ttl=64", "ip,ip_dscp=46,ip_ecn=1", "ip,nw_proto=6,nw_frag=first",
		"ip,nw_frag=NO", "ip,ip_frag=yes", "ipv6,ip_frag=not_later", "ip,nw_frag=later", "tcp,nw_frag=not_later",
		"dl_vlan=5", "dl_vlan=0xffff", "dl_vlan=65535,ip", "dl_vlan=0,dl_vlan_pcp=3", "dl_vlan_pcp=7", "vlan_vid=0x1005", "vlan_vid=4096/4096", "vlan_vid=5/0xf",
		"vlan_vid=0x1000/0x1000,vlan_pcp=2", "vlan_tci=0", "vlan_tci=0x1000/0x1000", "vlan_tci=0x7005", "vlan_tci=0x1123/0x1fff", "vlan_tci=0x2000/0", "vlan_tci=0xf000/0xf000",
		"dl_src=02:00:00:00:00:01/ff:ff:ff:00:00:00,eth_dst=ff:ff:ff:ff:ff:ff", "eth_dst=01:00:00:00:00:00/01:00:00:00:00:00",
		"mpls,mpls_label=100,mpls_tc=1,mpls_bos=1,mpls_ttl=64",
		"tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=syn", "tcp,tcp_flags=syn|ack", "tcp,tcp_flags=0x12", "tcp,tcp_flags=18", "tcp,tcp_flags=0x2/0x12", "tcp6,tcp_flags=0", "tcp,tcp_flags=+[800]-ns",
		"tun_flags=oam", "tun_flags=+oam", "tun_flags=-oam", "tun_flags=1/1", "tun_flags=0/1", "tun_flags=0",
		"ct_state=+trk+new-est", "ct_state=trk|new", "ct_state=0x21/0x23", "ct_state=0x21", "ct_state=0", "ct_state=-trk", "ct_state=+snat-dnat+trk",
		"ct_zone=5", "ct_zone=0x5", "ct_mark=5", "ct_mark=0xf0/0xf0", "ct_label=5", "ct_label=0x10000000000000000/0xf0000000000000000", "ct_label=0x0102030405060708090a0b0c0d0e0f10",
		"ct_state=+est,ct_nw_proto=6,ct_tp_src=5,ct_tp_dst=80/0xfff0", "ct_state=+trk+est,ip,ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.0/8", "ct_state=+new,ip6,ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::/8",
		"reg0=5", "reg15=0x10/0xf0", "reg0[0..7]=5", "reg1[31]=1", "reg2[0..3]=1,reg2[8..11]=2", "NXM_NX_REG3[0..15]=0xffff", "reg4[]=7",
		"xreg0=0x100000002", "xreg3=5", "xreg1=1/1", "xreg2[32..39]=5", "xxreg0=5", "xxreg1=0x10000000000000000/0x10000000000000000", "OXM_OF_PKT_REG1[0..7]=1",
		"metadata=5", "metadata=0x5/0xff", "metadata=0x05/0xffffffffffffffff", "eth_src[40]=1", "OXM_OF_ETH_DST[0..7]=0x12", "pkt_mark=0x10/0x1f", "conj_id=7",
		"tun_id=5", "tunnel_id=0x5/0xff", "tun_src=1.2.3.4,tun_dst=1.2.0.0/16", "tun_ipv6_src=fd00::1,tun_ipv6_dst=fd00::/64", "tun_gbp_id=5/0xff,tun_gbp_flags=8",
		"tun_erspan_ver=1,tun_erspan_idx=5", "tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=0x3",
		"icmp6,icmp_type=135,nd_target=fd00::1,nd_sll=1:2:3:4:5:6", "icmp6,icmp_type=136,nd_target=fd00::/8,nd_tll=1:2:3:4:5:6/ff:ff:ff:ff:ff:0",
		"icmp6,icmp_type=136,icmp_code=0,nd_reserved=0x60000000,nd_options_type=2",
		"dl_type=0x894f,nsh_mdtype=1,nsh_np=3,nsh_spi=0x123,nsh_si=255,nsh_c1=0x1,nsh_c4=5/0xff", "dl_type=0x894f,nsp=5,nsi=7,nsh_mdtype=1,nshc2=3,nsh_flags=0x2/0x3,nsh_ttl=63",
		"packet_type=(1,0x800)", "packet_type=(1,0x86dd),ipv6_src=fd00::1", "packet_type=(1,0x0800),nw_proto=6,tp_src=80", "packet_type=(0,0),ip", "packet_type=(2,9)",
		"recirc_id=0", "dp_hash=5/0xf", "allow_hidden_fields,dp_hash=0x5", "ip,,  nw_src=1.2.3.4 ,", "duration=1.5s, n_packets=0, n_bytes=0, idle_age=5, ip",
	}
	var lines strings.Builder
	var got []string
	for _, m := range matches {
		line := "table=3," + m + " actions=drop"
		lines.WriteString(line + "\n")
		f, err := Parse(line)
		if err != nil {
			t.Errorf("%v", err)
		}
		text := f.Match.String()
		if again, err := Parse("table=3," + text + " actions=drop"); err != nil || again.Match != f.Match {
			t.Errorf("%s prints as %s, which parses to %v (%v)", m, text, again.Match, err)
		}
		got = append(got, text)
	}
	path := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(ovstest.LookTool(t, "ovs-ofctl"), "-O", "OpenFlow13", "parse-flows", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ovs-ofctl parse-flows: %v\n%s", err, out)
	}
	if diff := cmp.Diff(printedMatches(string(out)), got); diff != "" {
		t.Errorf("canonical text (-ovs-ofctl's +ours):\n%s", diff)
	}
}

func TestMatchesThatNoSwitchTakesAreRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for match, want := range map[string]string{
		"tcp_src=80":                             "match on tcp_src needs IP or IPv6",
		"tcp,udp_src=80":                         "udp_src needs nw_proto=17, but the match has nw_proto=6",
		"tcp,tp_src=65536":                       "tp_src=65536: \"65536\" is not a number of 16 bits",
		"ip,tp_src=80":                           "tp_src does not go with the protocol: it needs tcp, udp or sctp",
		"nw_proto=6,tp_src=80":                   "tp_src does not go with the protocol",
		"tcp,icmp_type=8":                        "icmp_type does not go with the protocol: it needs icmp or icmp6",
		"tcp,nw_frag=later,tp_src=80":            "tcp_src needs IP or IPv6, nw_proto=6, and not ip_frag=later",
		"ipv6,nw_src=10.0.0.1":                   "nw_src does not go with IPv6: it is ipv6_src",
		"ipv6,nw_dst=10.0.0.1":                   "nw_dst does not go with IPv6: it is ipv6_dst",
		"ip,ipv6_src=fe80::1":                    "ipv6_src needs eth_type=0x86dd, but the match has eth_type=0x800",
		"ip,nw_src=fe80::1":                      "fe80::1 is of the other family",
		"ip,nw_src=10.0.0.0/33":                  "it has at most 32 bits",
		"ip,nw_src=10.0.0.0/x":                   "mask: ",
		"ip,nw_src=10":                           "nw_src=10: ",
		"mpls_label=0x100000":                    "mpls_label=1048576: its values are 0 to 0xfffff",
		"mpls,mpls_tc=8":                         "mpls_tc=8: its values are 0 to 7",
		"mpls,mpls_bos=1/0xff":                   "", // a full mask is none
		"mpls,mpls_ttl=1/0xf":                    "mpls_ttl=1/0xf: it takes no mask",
		"ip,mpls_label=1":                        "mpls_label needs eth_type=0x8847",
		"vlan_vid=0x2000":                        "vlan_vid=8192: its values are 0 to 0x1fff",
		"vlan_pcp=8":                             "vlan_pcp=8: its values are 0 to 7",
		"vlan_pcp=1,vlan_vid=5":                  "match wants vlan_vid=5 and vlan_vid=4096/0x1000",
		"dl_vlan=4096":                           "a VLAN id is at most 4095, or 0xffff for no tag",
		"dl_vlan=5,dl_vlan=6":                    "match wants vlan_vid=4101 and vlan_vid=4102",
		"dl_vlan=0xffff,dl_vlan_pcp=1":           "match wants vlan_vid=0 and vlan_vid=4096/0x1000",
		"vlan_tci=0x2000/0x2000":                 "the priority is matched in part",
		"vlan_tci=0x2000/0xe000":                 "a priority needs a tag, the bit 0x1000 in value and mask",
		"ip,nw_tos=1":                            "nw_tos=1: it is the DSCP alone",
		"ip,ip_dscp=64":                          "ip_dscp=64: its values are 0 to 63",
		"ip,nw_frag=never":                       "it is no, yes, first, later or not_later",
		"arp,arp_op=256":                         "arp_op=256: its values are 0 to 255",
		"in_port=70000":                          "there is no such port: they end at 0xfeff",
		"in_port=eth0":                           "in_port=eth0: \"eth0\" is not a number",
		"ct_state=+gone":                         "bad flag \"gone\": the flags are new, est, rel, rpl, inv, trk, snat, dnat",
		"ct_state=+new-new":                      "each is given once",
		"ct_state=0x100/0x100":                   "there are no flags but those of 0xff",
		"ct_state=new,est":                       "est: unknown word",
		"tcp,tcp_flags=urgent":                   "the flags are fin, syn, rst, psh, ack, urg, ece, cwr, ns",
		"oxm_of=1":                               "unknown field",
		"tun_flags=key":                          "the flags are oam",
		"ct_nw_proto=6":                          "ct_nw_proto needs a valid connection: ct_state with +new",
		"ct_state=+trk,ct_nw_proto=6":            "or with +trk-inv",
		"ct_state=+est,ct_nw_proto=0":            "its values are 1 to 255",
		"ct_state=+est,ct_tp_src=1":              "ct_tp_src needs ct_nw_proto",
		"ct_state=+est,ip6,ct_nw_src=1.1.1.1":    "ct_nw_src needs eth_type=0x800, but the match has eth_type=0x86dd",
		"nd_target=fd00::1":                      "nd_target needs ICMPv6 type 135 or 136",
		"icmp6,icmp_type=136,nd_sll=1:2:3:4:5:6": "nd_sll needs icmpv6_type=135, but the match has icmpv6_type=136",
		"icmp6,icmp_type=135,icmp_code=1,nd_target=fd00::1": "no code but 0",
		"dl_src=1:2:3:4:5":     "\"1:2:3:4:5\" is not a MAC address",
		"dl_src=1:2:3:4:5:6:7": "is not a MAC address",
		"dl_type=0x800/0xff00": "eth_type=0x800/0xff00: it takes no mask",
		"reg16=1":              "unknown field",
		"reg0[0..3]=16":        "16 does not fit 4 bits",
		"reg0[0..32]=1":        "has no bits",
		"reg0[=1":              "unknown field",
		"colour[0]=1":          "is not a part of a field",
		"reg0":                 "no value",
		"reg0=1,xreg0=0":       "match wants reg0=0x1 and reg0=0",
		"ct_label=0x":          "is not a number of 128 bits",
		"ct_label=0x100000000000000000000000000000000": "is not a number of 128 bits",
		"packet_type=(1,0x800),dl_src=1:2:3:4:5:6":     "eth_src needs an Ethernet frame, and the match has another packet_type",
		"packet_type=1":                      "it has the form (namespace,type)",
		"packet_type=(1,0x800),ipv6_src=::1": "ipv6_src",
		"tun_erspan_ver=0":                   "tun_erspan_ver=0/0: its values are 1 to 15",
		"dl_type=0x894f,nsh_mdtype=3":        "nsh_mdtype=3: its values are 1 to 2",
		"ip,nsh_si=3":                        "nsh_si needs eth_type=0x894f",
	} {
		f, err := Parse(match + " actions=drop")
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", match, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, error %v; want an error with %q", match, f, err, want)
		}
	}
}
