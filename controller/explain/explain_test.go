package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/flow/walk"
)

// world is three hosts in memory.
type world struct {
	state     *intent.State
	away      map[intent.DPID]bool // hosts that are not connected
	queues    bool                 // whether hosts have some
	standings map[string]Standing
	compute   func(*intent.View) pipeline.Desired
	kept      map[intent.DPID]Switch // as a controller keeps what it has computed; nil: it does not
}

func (w *world) Read(f func(*intent.State)) { f(w.state) }

func (w *world) Switch(d intent.DPID) (Switch, error) {
	if s, ok := w.kept[d]; ok {
		return s, nil
	}
	if d > 3 {
		return Switch{}, fmt.Errorf("no switch %s", d)
	}
	v := w.state.View(d, taps(), intent.UnmanagedDrop)
	v.Meters, v.Queues = true, w.queues
	return Switch{Connected: !w.away[d], Hostname: fmt.Sprint("host", int(d)), View: v, Desired: w.compute(v)}, nil
}

// taps are the ports that each host has.
func taps() []intent.SwitchPort {
	ports := []intent.SwitchPort{{No: 900, Name: intent.TunnelPort, Up: true}}
	for no := uint32(1); no <= 9; no++ {
		ports = append(ports, intent.SwitchPort{No: no, Name: fmt.Sprint("tap", no), Up: true})
	}
	return ports
}

func (w *world) Beyond(intent.DPID, uint32) (far intent.Place, linked bool) { return far, false }

func (w *world) Standings(ids []string) (map[string]Standing, error) { return w.standings, nil }

func number[T any](v T) *T { return &v }

// town has two tenants with the same addresses on three hosts: web1 and web2 of red on hosts
// 1 and 2, db of red on host 1, lone of red without groups on host 3, idle of red
// that is not bound, down of red, and spy of blue on host 1.
func town() *world {
	s, t := intent.NewState(), intent.Touched{}
	for d := intent.DPID(1); d <= 3; d++ {
		s.PutHost(intent.Host{DPID: d, Slot: uint32(d), Tunnel: netip.AddrFrom4([4]byte{192, 0, 2, byte(d)})}, t)
		s.PutHostSegment(intent.HostSegment{ID: fmt.Sprint("segment-", int(d)), Num: 500 + uint32(d), Block: mac.MustParseSegment(fmt.Sprintf("02:00:05:%02x:00:00/32", int(d))), Host: d}, t)
	}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "red", TenantID: "red", Name: "front"}, VNI: 77, AdminUp: true}, t)
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue", TenantID: "blue", Name: "lair"}, VNI: 78, AdminUp: true}, t)
	rule := func(num uint32, group string, dir intent.Direction, e intent.EtherType, r intent.Rule) intent.Rule {
		r.ID, r.Num, r.GroupID, r.Direction, r.EtherType = fmt.Sprint("rule-", num), num, group, dir, e
		return r
	}
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "g-web", TenantID: "red", Name: "web"}, Num: 1, Rules: []intent.Rule{
		rule(101, "g-web", intent.Egress, intent.IPv4, intent.Rule{}), rule(102, "g-web", intent.Egress, intent.IPv6, intent.Rule{}),
		rule(103, "g-web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(80)), PortMax: number(uint16(80))}),
		rule(104, "g-web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoICMP)}),
		rule(106, "g-web", intent.Ingress, intent.IPv6, intent.Rule{RemoteGroupID: "g-web"}),
	}}, t)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "g-db", TenantID: "red", Name: "db"}, Num: 2, Rules: []intent.Rule{
		rule(105, "g-db", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(5432)), PortMax: number(uint16(5433)), RemoteGroupID: "g-web"}),
	}}, t)
	port := func(id, network string, num uint32, host intent.DPID, no uint32, groups []string, ips ...string) intent.Port {
		p := intent.Port{
			Meta: intent.Meta{ID: "p-" + id, TenantID: network, Name: id}, Num: num, NetworkID: network, AdminUp: true, SecurityGroups: groups,
			MAC: mac.MustParse(fmt.Sprintf("02:00:05:%02x:00:%02x", int(host), num)),
		}
		if host != 0 {
			p.Binding = intent.Binding{Host: host.String(), PortNo: no}
		}
		for _, a := range ips {
			p.FixedIPs = append(p.FixedIPs, intent.FixedIP{Addr: netip.MustParseAddr(a)})
		}
		return p
	}
	down := port("down", "red", 16, 2, 3, []string{"g-web"}, "10.0.0.6")
	down.AdminUp = false
	for _, p := range []intent.Port{
		port("web1", "red", 11, 1, 1, []string{"g-web"}, "10.0.0.1", "fd00::1"), port("web2", "red", 12, 2, 1, []string{"g-web"}, "10.0.0.2", "fd00::2"),
		port("db", "red", 13, 1, 2, []string{"g-db"}, "10.0.0.3"), port("lone", "red", 14, 3, 1, nil, "10.0.0.4"),
		port("idle", "red", 15, 0, 0, []string{"g-web"}, "10.0.0.5"), down, port("spy", "blue", 17, 1, 3, []string{"g-web"}, "10.0.0.1"),
		port("lost", "red", 18, 2, 77, []string{"g-web"}, "10.0.0.8"),
	} {
		s.PutPort(p, t)
	}
	return &world{state: s, away: map[intent.DPID]bool{}, standings: map[string]Standing{}, compute: pipeline.Compute}
}

func ask(t *testing.T, w World, q Question) Answer {
	t.Helper()
	a, err := Explain(w, q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return a
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// syn opens a connection between two ports of town.
func syn(from, to string, port uint16) walk.Frame {
	s := town().state
	a, _ := s.Port(from)
	b, _ := s.Port(to)
	return walk.Frame{
		Src: a.MAC.Bytes(), Dst: b.MAC.Bytes(), IPSrc: a.FixedIPs[0].Addr, IPDst: b.FixedIPs[0].Addr,
		Proto: protoTCP, SrcPort: ephemeralPort, DstPort: port, TCPFlags: walk.TCPSyn,
	}
}

func tagged(f walk.Frame) walk.Frame {
	f.VLAN = 7
	return f
}

// Every answer ends in a verdict that names what decided.
func TestAnAnswerSaysWhatBecomesOfAFrameAndWhy(t *testing.T) {
	t.Parallel()
	tcp, udp := number(protoTCP), number(protoUDP)
	for _, c := range []struct {
		name  string
		q     Question
		want  Verdict
		words string // in the summary
		hops  int
		reply Verdict // empty: none
	}{
		{"an echo to another host", Question{From: "p-web1", ToPort: "p-web2"}, Delivered, "delivered to port web2 p-web2 on switch 0000000000000002", 2, Delivered},
		{"by address", Question{From: "p-web1", ToIP: ip("10.0.0.2"), Protocol: tcp, DstPort: 80}, Delivered, "web2", 2, Delivered},
		{"by MAC", Question{From: "p-web2", ToMAC: mac.MustParse("02:00:05:01:00:0b")}, Delivered, "web1", 2, Delivered},
		{"by IPv6", Question{From: "p-web1", ToIP: ip("fd00::2")}, Delivered, "web2", 2, Delivered},
		{"on the same host, by a rule for a group", Question{From: "p-web1", ToPort: "p-db", Protocol: tcp, DstPort: 5433}, Delivered, "port db", 1, Delivered},
		{"no ingress rule", Question{From: "p-web1", ToPort: "p-web2", Protocol: tcp, DstPort: 81}, Dropped,
			"dropped by table 42 ingress-rules on switch 0000000000000002 because no ingress rule of group web allows tcp/81 of IPv4 from 10.0.0.1", 2, ""},
		{"no egress rule", Question{From: "p-db", ToPort: "p-web1", Protocol: udp, DstPort: 53}, Dropped,
			"dropped by table 12 egress-rules on switch 0000000000000001 because no egress rule of group db allows udp/53 of IPv4 to 10.0.0.1", 1, ""},
		{"a sender without groups", Question{From: "p-lone", ToPort: "p-web1"}, Dropped, "the sender has no security groups", 1, ""},
		{"a receiver without groups", Question{From: "p-web1", ToPort: "p-lone"}, Dropped, "the receiver has no security groups", 2, ""},
		{"a stolen MAC", Question{From: "p-web1", ToPort: "p-web2", SrcMAC: 0x020005000099}, Dropped,
			"dropped by table 2 guard on switch 0000000000000001 because source MAC 02:00:05:00:00:99 is not the port's, which is 02:00:05:01:00:0b", 1, ""},
		{"a stolen address", Question{From: "p-web1", ToPort: "p-web2", SrcIP: ip("10.0.0.99")}, Dropped, "source address 10.0.0.99 is none of the port's: [10.0.0.1 fd00::1]", 1, ""},
		{"an address that nobody has", Question{From: "p-web1", ToIP: ip("10.0.0.77")}, Dropped, "no port of network front has the address 10.0.0.77", 0, ""},
		{"a MAC that nobody has", Question{From: "p-web1", ToMAC: 0x020005000099}, Dropped, "there is no such address in network front: no port has 02:00:05:00:00:99", 1, ""},
		{"a port of another network", Question{From: "p-web1", ToPort: "p-spy"}, Dropped, "there is no such address in network front: port spy p-spy has 02:00:05:01:00:11, in network lair", 1, ""},
		{"a port that is not bound", Question{From: "p-web1", ToPort: "p-idle"}, Dropped, "port idle p-idle is DOWN: not bound to a host", 1, ""},
		{"a port that is administratively down", Question{From: "p-web1", ToPort: "p-down"}, Dropped, "port down p-down is DOWN: administratively down", 2, ""},
		{"a port whose interface is not there", Question{From: "p-web1", ToPort: "p-lost"}, Dropped, "port lost p-lost is DOWN: switch 0000000000000002 has no port number 77", 2, ""},
		{"from a port that is not bound", Question{From: "p-idle", ToPort: "p-web1"}, Dropped, "port idle p-idle is not bound to a host", 0, ""},
		{"from a port whose interface is not there", Question{From: "p-lost", ToPort: "p-web1"}, Dropped, "has no port number 77", 0, ""},
		{"from a port that is administratively down", Question{From: "p-down", ToPort: "p-web1"}, Dropped, "the port is administratively down", 1, ""},
		{"ARP to all", Question{From: "p-web1", ToIP: ip("10.0.0.2"), EtherType: "ARP"}, Delivered, "web2", 3, ""},
		{"ARP for an address that nobody has", Question{From: "p-web1", ToIP: ip("10.0.0.77"), EtherType: "ARP"}, Delivered, "web2", 3, ""},
		{"a broadcast", Question{From: "p-web1", ToMAC: mac.Max}, Delivered, "web2", 3, ""},
		{"another ICMP than an echo", Question{From: "p-web1", ToPort: "p-web2", Type: number(uint8(13))}, Delivered, "web2", 2, ""},
		{"a given frame", Question{From: "p-web1", Frame: syn("p-web1", "p-web2", 80).Bytes()}, Delivered, "web2", 2, ""},
		{"a given frame for a port that nobody may ask", Question{From: "p-web1", Frame: syn("p-web1", "p-web2", 81).Bytes()}, Dropped, "allows tcp/81 of IPv4 from 10.0.0.1", 2, ""},
		{"a given frame with a tag", Question{From: "p-web1", Frame: tagged(syn("p-web1", "p-web2", 80)).Bytes()}, Dropped, "it has a VLAN tag", 1, ""},
		{"a given frame that does not go where it should", Question{From: "p-web1", ToPort: "p-db", Frame: syn("p-web1", "p-web2", 80).Bytes()}, Dropped, "not delivered where it should go, but to port web2", 2, ""},
		{"a given frame of a type that is not IP", Question{From: "p-web1", Frame: make([]byte, 14)}, Dropped, "source MAC 00:00:00:00:00:00 is not the port's", 1, ""},
		{"to itself", Question{From: "p-web1", ToPort: "p-web1"}, Dropped, "it would leave by the port that it came by", 1, ""},
	} {
		a := ask(t, town(), c.q)
		reply := Verdict("")
		if a.Reply != nil {
			reply = a.Reply.Verdict
		}
		if a.Verdict != c.want || !strings.Contains(a.Summary, c.words) || len(a.Hops) != c.hops || reply != c.reply {
			t.Errorf("%s: %s by %d switches, reply %q: %s\nwant %s by %d, reply %q: %s", c.name, a.Verdict, len(a.Hops), reply, a.Summary, c.want, c.hops, c.reply, c.words)
		}
		for _, h := range a.Hops {
			for _, s := range h.Steps {
				if s.Flow != "" && s.Owner.Kind == "" {
					t.Errorf("%s: a flow of nobody: %s", c.name, s.Flow)
				}
			}
		}
	}
}

// An address belongs to the port whose own it is, also by its link-local address, else to one that may
// speak as it; what is not known of that is said.
func TestAnAddressLeadsToWhoHasIt(t *testing.T) {
	t.Parallel()
	pairs := map[string][]intent.AddressPair{
		"p-web1": {{Address: "0.0.0.0/0"}, {Address: "10.0.0.100"}},
		"p-web2": {{Address: "10.0.0.100"}, {Address: "10.0.0.64/28"}, {Address: "10.0.0.3"}},
	}
	for _, c := range []struct {
		name      string
		to        string
		unguarded bool
		want      string // whom it comes to; empty: nobody
		says      string // by the summary or a warning; empty: there is no warning
	}{
		{"link-local", web2LinkLocal, false, "p-web2", ""},
		{"an own one before that of a pair", "10.0.0.3", false, "p-db", ""},
		{"of the pairs of two", "10.0.0.100", false, "p-web1", "port web1 p-web1 and port web2 p-web2 may speak as 10.0.0.100; it is followed to the first of them"},
		{"of the longest prefix", "10.0.0.70", false, "p-web2", "port web2 p-web2 may speak as 10.0.0.70; whether it does is not known here"},
		{"of any address", "10.0.0.90", false, "p-web1", "port web1 p-web1 may speak as 10.0.0.90"},
		{"that nobody has", "fd00::77", false, "", "no port of network front has the address fd00::77, so that nobody answers for it"},
		{"that a port without port security may have", "fd00::77", true, "", "so that nobody answers for it, unless port lone p-lone does, which has no port security"},
	} {
		w := town()
		for id, pairs := range pairs {
			p, _ := w.state.Port(id)
			p.Extras.Pairs = pairs
			w.state.PutPort(p, nil)
		}
		lone, _ := w.state.Port("p-lone")
		lone.Unguarded = c.unguarded
		w.state.PutPort(lone, nil)
		from := "p-web1"
		if c.want == from {
			from = "p-web2"
		}
		a := ask(t, w, Question{From: from, ToIP: ip(c.to), Protocol: number(protoTCP), DstPort: 80})
		want, _ := w.state.Port(c.want)
		if c.want != "" && !strings.Contains(a.Frame, want.MAC.String()) {
			t.Errorf("%s: %s: the frame is not for %s: %s", c.name, a.Verdict, want.MAC, a.Frame)
		}
		if told := strings.Join(append(a.Warnings, a.Summary), "\n"); c.says != "" && !strings.Contains(told, c.says) || c.says == "" && len(a.Warnings) > 0 {
			t.Errorf("%s: %s\nwant: %s", c.name, told, c.says)
		}
	}
}

// web2LinkLocal is the link-local address that the MAC of web2 forms.
const web2LinkLocal = "fe80::5ff:fe02:c"

// To a link-local address a port speaks from its own, and gets the answer.
func TestAnEchoToALinkLocalAddressIsAnswered(t *testing.T) {
	t.Parallel()
	w := town()
	g, _ := w.state.Group("g-web")
	g.Rules = append(g.Rules, intent.Rule{Meta: intent.Meta{ID: "rule-107"}, Num: 107, GroupID: "g-web", Direction: intent.Ingress, EtherType: intent.IPv6})
	w.state.PutGroup(g, nil)
	a := ask(t, w, Question{From: "p-web1", ToIP: ip(web2LinkLocal)})
	if want := "echo request from fe80::5ff:fe01:b (02:00:05:01:00:0b) to " + web2LinkLocal; a.Verdict != Delivered || a.Reply == nil || a.Reply.Verdict != Delivered || !strings.HasPrefix(a.Frame, want) {
		t.Errorf("%s: %s, reply %+v; want %s", a.Summary, a.Frame, a.Reply, want)
	}
}

// What the MAC allow lists of a network, or the MACs of its other ports, keep a port
// from is said.
func TestAMACThatAPortMayNotHaveIsExplained(t *testing.T) {
	t.Parallel()
	w := town()
	web1, _ := w.state.Port("p-web1")
	web1.Extras.Pairs = []intent.AddressPair{{Address: "10.0.0.0/24", MAC: mac.MustParse("02:00:05:00:00:00"), MACBits: 24}, {Address: "10.0.0.1", MAC: mac.MustParse("52:54:00:00:00:00"), MACBits: 24}}
	w.state.PutPort(web1, nil)
	spy, _ := w.state.Port("p-spy")
	spy.Unguarded = true
	w.state.PutPort(spy, nil)
	list := func(id, network string, blocks ...string) {
		l := intent.MACAllowList{Meta: intent.Meta{ID: id, Name: "name of " + id, TenantID: network}, NetworkID: network}
		for _, b := range blocks {
			l.Entries = append(l.Entries, intent.MACAllowEntry{Block: mac.MustParseSegment(b)})
		}
		w.state.PutMACAllowList(l, nil)
	}
	list("known", "red", "02:00:05:00:00:00/24", "52:54:00:00:00:00/32")
	list("none", "blue")
	list("more", "blue", "02:00:05:01:00:00/32")
	for _, c := range []struct {
		name  string
		q     Question
		want  Verdict
		words string
	}{
		{"a listed MAC of a prefix", Question{From: "p-web1", ToPort: "p-web2", SrcMAC: mac.MustParse("52:54:00:00:00:07")}, Delivered, "web2"},
		{"a MAC of a prefix in no list", Question{From: "p-web1", ToPort: "p-web2", SrcMAC: mac.MustParse("52:54:00:07:00:07")}, Dropped,
			"dropped by table 4 allow on switch 0000000000000001 because source MAC 52:54:00:07:00:07 is not in MAC allow list name of known"},
		{"the MAC of another port", Question{From: "p-web1", ToPort: "p-web2", SrcMAC: mac.MustParse("02:00:05:02:00:0c")}, Dropped,
			"source MAC 02:00:05:02:00:0c is that of another port of the network"},
		{"without port security", Question{From: "p-spy", ToMAC: mac.Max, SrcMAC: mac.MustParse("52:54:00:07:00:07")}, Dropped, "is not in MAC allow lists name of more, name of none"},
		{"without port security, to somebody who may not know", Question{From: "p-spy", ToMAC: mac.Max, SrcMAC: mac.MustParse("52:54:00:07:00:07"), Sees: func(string) bool { return false }},
			Dropped, "is not in MAC allow lists of another tenant, of another tenant"},
	} {
		a := ask(t, w, c.q)
		if a.Verdict != c.want || !strings.Contains(a.Summary, c.words) {
			t.Errorf("%s: %s: %s\nwant %s: %s", c.name, a.Verdict, a.Summary, c.want, c.words)
		}
		for _, s := range a.Hops[0].Steps {
			if s.Name == "allow" && c.q.Sees == nil && (s.Owner.Kind != "mac_allow_list" || s.Owner.Name == "") {
				t.Errorf("%s: %s is of %+v", c.name, s.Flow, s.Owner)
			}
		}
	}
}

// Each step names the resource that its flow exists for.
func TestStepsNameWhatTheyComeFrom(t *testing.T) {
	t.Parallel()
	a := ask(t, town(), Question{From: "p-web1", ToPort: "p-web2", Protocol: number(protoTCP), DstPort: 80})
	var got []string
	for _, h := range a.Hops {
		got = append(got, fmt.Sprintf("%s %s %s", h.Switch, h.Host, h.Entry))
		for _, s := range h.Steps {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s %d: %s | %s %s %s %s", s.Table, s.Name, s.From, s.Does, s.Owner.Kind, s.Owner.ID, s.Owner.Detail, s.Owner.GroupName)))
		}
	}
	want := []string{
		"0000000000000001 host1 by port web1 p-web1",
		"0 classify -1: conntrack zone of the sending port = 1; origin = 1; group set whose rules are looked up = 1; scope of that set = 1; network = 77; on to guard | port p-web1 02:00:05:01:00:0b",
		"2 guard 0: on to respond | port p-web1 02:00:05:01:00:0b",
		"5 respond 1: on to egress-ct | table  table 5",
		"10 egress-ct 2: asks the connection tracker, zone 1: +trk+new; on to egress-remotes | table  table 10",
		"11 egress-remotes 3: scope of that set = 3370053685; on to egress-rules | scope of remote groups  scope of remote groups 1",
		"12 egress-rules 4: keeps the connection, zone 1: +trk+new, admitted by rule 101; on to qos | security_group_rule rule-101 egress IPv4 to anywhere web",
		"13 qos 5: on to services | table  table 13",
		"15 services 6: on to segments | table  table 15",
		"30 segments 7: number of the MAC segment that the destination is of = 502; peer that has the destination = 2; on to exact | mac_segment segment-2 of host 0000000000000002",
		"31 exact 8: on to tunnel | table  table 31",
		"61 tunnel 9: tun_id = 0x4d; tun_dst = 192.0.2.2; through the tunnel to 192.0.2.2 with VNI 77 | switch 0000000000000002 tunnel to 192.0.2.2",
		"0000000000000002 host2 by the tunnel",
		"0 classify -1: origin = 2; network = 77; on to services | network red VNI 77",
		"15 services 0: on to segments | table  table 15",
		"30 segments 1: number of the MAC segment that the destination is of = 502; peer that has the destination = 0; on to exact | mac_segment segment-2 of host 0000000000000002",
		"31 exact 2: output port = 1; conntrack zone of the receiving port = 1; group set whose rules are looked up = 1; scope of that set = 1; on to ingress-ct | port p-web2 02:00:05:02:00:0c",
		"40 ingress-ct 3: asks the connection tracker, zone 1: +trk+new; on to ingress-remotes | table  table 40",
		"41 ingress-remotes 4: scope of that set = 3370053685; on to ingress-rules | scope of remote groups  scope of remote groups 1",
		"42 ingress-rules 5: keeps the connection, zone 1: +trk+new, admitted by rule 103; on to qos-rate | security_group_rule rule-103 ingress IPv4 tcp 80 from anywhere web",
		"50 qos-rate 6: on to qos-packets | table  table 50",
		"51 qos-packets 7: on to output | table  table 51",
		"60 output 8: out by port 1 | table  table 60",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The policy of the port, of the MAC segment or of the network is named, with the meter
// that it asks and the class that it gives.
func TestStepsNameTheQoSPolicyWithMeterAndClass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		use  func(*intent.State)
		want []string
	}{
		"port": {func(s *intent.State) {
			p, _ := s.Port("p-web1")
			p.QoSPolicyID = "gold"
			s.PutPort(p, nil)
		}, []string{
			"classify: if meter 114694 lets it", "qos: if meter 114693 lets it; QoS policy that the packet is under = 9; on to qos-mark",
			"qos-mark: into queue 5; ip_dscp = 40; on to services",
		}},
		"network": {func(s *intent.State) {
			n, _ := s.Network("red")
			n.QoSPolicyID = "gold"
			s.PutNetwork(n, nil)
		}, []string{
			"classify: if meter 114694 lets it", "qos: if meter 114693 lets it; QoS policy that the packet is under = 9; on to qos-mark",
			"qos-mark: into queue 5; ip_dscp = 40; on to services", "qos-rate: into queue 6; on to qos-packets", "qos-packets: if meter 114696 lets it; on to output",
		}},
		"MAC segment": {func(s *intent.State) {
			s.PutQoSSegment(intent.QoSSegment{ID: "block", Num: 50, Block: mac.MustParseSegment("02:00:05:01:00:00/40"), PolicyID: "gold"}, nil)
		}, []string{
			"qos: if meter 114885 lets it; QoS policy that the packet is under = 9; on to qos-mark", "qos-mark: into queue 5; ip_dscp = 40; on to services",
		}},
	} {
		w := town()
		w.queues = true
		rule := func(kind intent.QoSRuleKind, dir intent.Direction, r intent.QoSRule) intent.QoSRule {
			r.Kind, r.Direction = kind, dir
			return r
		}
		w.state.PutQoSPolicy(intent.QoSPolicy{Meta: intent.Meta{ID: "gold", Name: "first class"}, Num: 9, Rules: []intent.QoSRule{
			rule(intent.QoSBandwidthLimit, intent.Egress, intent.QoSRule{Rate: 100}), rule(intent.QoSBandwidthLimit, intent.Ingress, intent.QoSRule{Rate: 100}),
			rule(intent.QoSPacketRateLimit, intent.Egress, intent.QoSRule{Rate: 1}), rule(intent.QoSPacketRateLimit, intent.Ingress, intent.QoSRule{Rate: 1}),
			rule(intent.QoSPriority, intent.Egress, intent.QoSRule{Class: 5}), rule(intent.QoSPriority, intent.Ingress, intent.QoSRule{Class: 6}),
		}}, nil)
		c.use(w.state)
		a := ask(t, w, Question{From: "p-web1", ToPort: "p-web2", Protocol: number(protoTCP), DstPort: 80})
		var steps []string
		for _, h := range a.Hops {
			for _, s := range h.Steps {
				steps = append(steps, s.Name+": "+s.Does)
				if s.Name == "qos-mark" && (s.Owner.Kind != "qos_policy" || s.Owner.ID != "gold" || s.Owner.Name != "first class") {
					t.Errorf("policy of the %s: its mark is of %+v", name, s.Owner)
				}
			}
		}
		text := strings.Join(steps, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("policy of the %s: no step with %q:\n%s", name, want, text)
			}
		}
	}
}

// A tenant is not told of what others have, nor of hosts.
func TestATenantIsNotToldOfOthers(t *testing.T) {
	t.Parallel()
	red := func(tenant string) bool { return tenant == "red" }
	for _, q := range []Question{
		{From: "p-web1", ToPort: "p-web2", Sees: red}, {From: "p-web1", ToMAC: mac.MustParse("02:00:05:01:00:11"), Sees: red},
		{From: "p-web1", ToPort: "p-lost", Sees: red}, {From: "p-web1", ToMAC: mac.Max, Sees: red}, {From: "p-web1", ToPort: "p-down", Sees: red},
	} {
		w := town()
		w.away[2] = true
		a := ask(t, w, q)
		text := fmt.Sprintln(a.Summary, a.Frame, a.Warnings)
		for _, way := range []*Way{&a.Way, a.Reply} {
			for h := 0; way != nil && h < len(way.Hops); h++ {
				for _, s := range way.Hops[h].Steps {
					text += fmt.Sprintln(s.Does, s.Drops, s.Owner.ID, s.Owner.Name, s.Owner.Detail)
				}
			}
		}
		for _, secret := range []string{"spy", "lair", "0000000000000002", "192.0.2", "segment-2", "02:00:05:02:00:00/32"} {
			if strings.Contains(text, secret) {
				t.Errorf("%+v tells of %s:\n%s", q, secret, text)
			}
		}
	}
}

func TestWhatIsUncertainIsSaid(t *testing.T) {
	t.Parallel()
	w := town()
	w.away[2] = true
	w.standings["p-web2"] = Standing{Status: intent.PortError, Reason: "a flow was refused"}
	a := ask(t, w, Question{From: "p-web1", ToPort: "p-web2"})
	want := []string{
		"port p-web2 is ERROR: a flow was refused; its switch may hold other flows than these",
		"the switch 0000000000000002 is not connected; it goes on with the flows that it had",
	}
	if diff := cmp.Diff(want, a.Warnings); diff != "" || a.Verdict != Delivered {
		t.Errorf("%s; warnings (-want +got):\n%s", a.Verdict, diff)
	}
}

// What others look for where it was is sent on from there.
func TestAPortThatMovedIsFollowed(t *testing.T) {
	t.Parallel()
	w := town()
	p, _ := w.state.Port("p-web2")
	p.Binding = intent.Binding{Host: intent.DPID(3).String(), PortNo: 5}
	w.state.PutPort(p, intent.Touched{})
	stayed, _ := w.state.Port("p-lost") // as long as the old place has a port of the network
	stayed.Binding.PortNo = 4
	w.state.PutPort(stayed, intent.Touched{})
	if a := ask(t, w, Question{From: "p-web1", ToPort: "p-web2"}); a.Verdict != Delivered || len(a.Hops) != 2 || a.Hops[1].Switch != 3 {
		t.Errorf("%s by %d switches: %s", a.Verdict, len(a.Hops), a.Summary)
	}
	// A sender that has not heard of it still sends it to the old place.
	old := town()
	w.compute = func(v *intent.View) pipeline.Desired {
		if v.DPID == 1 {
			v = old.state.View(1, taps(), intent.UnmanagedDrop)
		}
		return pipeline.Compute(v)
	}
	if a := ask(t, w, Question{From: "p-web1", ToPort: "p-web2"}); a.Verdict != Delivered || len(a.Hops) != 3 {
		t.Errorf("from a sender that has not heard: %s by %d switches: %s", a.Verdict, len(a.Hops), a.Summary)
	}
}

func TestWhatASwitchHoldsAndWhatWouldChangeNameTheirOwners(t *testing.T) {
	t.Parallel()
	w := town()
	held, err := Held(w, 1)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for i, e := range held {
		if kinds[e.Owner.Kind]++; e.Owner.Kind == "" {
			t.Errorf("nobody's: %s", e.Text)
		}
		if i > 0 && e.Object == "flow" && held[i-1].Object == "flow" && (e.Table < held[i-1].Table || e.Table == held[i-1].Table && e.Priority > held[i-1].Priority) {
			t.Errorf("out of order: %s after %s", e.Text, held[i-1].Text)
		}
	}
	for _, kind := range []string{"port", "security_group_rule", "network", "mac_segment", "switch", "table"} {
		if kinds[kind] == 0 {
			t.Errorf("nothing is of a %s", kind)
		}
	}
	want := pipeline.Flows(w.state.View(1, nil, intent.UnmanagedDrop))
	changed := slices.Clone(want)
	changed[1].Cookie = uint64(pipeline.NewCookie(pipeline.KindPort, 11))
	plan := flow.Diff(flow.State{Flows: changed[:len(changed)-1]}, flow.State{Flows: want[1:]})
	var got []string
	for _, c := range Changes(w, plan) {
		got = append(got, c.Does+" "+c.Text)
	}
	if diff := cmp.Diff([]string{"add " + want[len(want)-1].String(), "replace " + want[1].String(), "delete " + want[0].String()}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// What the walk does not know is an error, and no verdict.
func TestFlowsThatCannotBeFollowedAreAnError(t *testing.T) {
	t.Parallel()
	w := town()
	w.compute = func(*intent.View) pipeline.Desired {
		f, err := flow.Parse("priority=1 actions=normal")
		if err != nil {
			t.Error(err)
		}
		return pipeline.Desired{State: flow.State{Flows: flow.Set{f}}}
	}
	if _, err := Explain(w, Question{From: "p-web1", ToPort: "p-web2"}); err == nil {
		t.Error("no error")
	}
}

// A host with 20,000 flows.
func BenchmarkExplain20000(b *testing.B) {
	w := town()
	t := intent.Touched{}
	group := intent.SecurityGroup{Meta: intent.Meta{ID: "many", TenantID: "red"}, Num: 9}
	for i := range uint32(4800) {
		group.Rules = append(group.Rules, intent.Rule{
			Meta: intent.Meta{ID: fmt.Sprint("many-", i)}, Num: 1000 + i, GroupID: "many", Direction: intent.Ingress, EtherType: intent.IPv4,
			Protocol: number(protoTCP), PortMin: number(uint16(i)), PortMax: number(uint16(i)), RemotePrefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
		})
	}
	w.state.PutGroup(group, t)
	for _, id := range []string{"p-web1", "p-web2"} {
		p, _ := w.state.Port(id)
		p.SecurityGroups = []string{"g-web", "many"}
		w.state.PutPort(p, t)
	}
	flows, kept := 0, map[intent.DPID]Switch{}
	for _, d := range []intent.DPID{1, 2} {
		kept[d], _ = w.Switch(d) // there are three
		held, err := Held(w, d)
		if err != nil {
			b.Fatal(err)
		}
		flows += len(held)
	}
	w.kept = kept
	for b.Loop() {
		if a, err := Explain(w, Question{From: "p-web1", ToPort: "p-web2", Protocol: number(protoTCP), DstPort: 80}); err != nil || a.Verdict != Delivered {
			b.Fatal(a.Summary, err)
		}
	}
	b.ReportMetric(float64(flows), "flows")
}

// A conjunction is told with the clauses that it took.
func TestTheClausesOfAConjunctionAreTold(t *testing.T) {
	t.Parallel()
	w := town()
	w.compute = func(*intent.View) pipeline.Desired {
		var flows []flow.Flow
		for _, line := range []string{
			"table=0,priority=9,conj_id=7,ip actions=output:2", "table=0,priority=9,ip,nw_src=10.0.0.1 actions=conjunction(7,1/2)",
			"table=0,priority=9,icmp actions=conjunction(7,2/2)",
		} {
			f, err := flow.Parse(line)
			if err != nil {
				t.Error(err)
			}
			flows = append(flows, f)
		}
		set, err := flow.NewSet(flows)
		if err != nil {
			t.Error(err)
		}
		return pipeline.Desired{State: flow.State{Flows: set}}
	}
	a := ask(t, w, Question{From: "p-web1", ToPort: "p-db"})
	want := "meets ip,nw_src=10.0.0.1 and icmp; out by port 2"
	if got := a.Hops[0].Steps[0].Does; got != want || a.Verdict != Delivered {
		t.Errorf("%s: %q, want %q", a.Verdict, got, want)
	}
}
