package pipeline

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
)

var update = flag.Bool("update", false, "write the goldens and docs/pipeline.md anew")

const dpid intent.DPID = 0x5d

func number[T any](v T) *T { return &v }

// town is an intent with a bit of everything: two networks with the same
// addresses, a port of both families, an administratively down one, single and
// combined groups, rules of every form.
func town(shuffle *rand.Rand) *intent.State {
	net := func(id string, vni uint32) intent.Network {
		return intent.Network{Meta: intent.Meta{ID: id}, VNI: vni, AdminUp: true}
	}
	port := func(num uint32, network string, no uint32, groups []string, ips ...string) intent.Port {
		p := intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: network, AdminUp: true,
			MAC: mac.Addr(0x020005000000 + uint64(num)), SecurityGroups: groups,
			Binding: intent.Binding{Host: dpid.String(), PortNo: no},
		}
		for _, ip := range ips {
			p.FixedIPs = append(p.FixedIPs, intent.FixedIP{Addr: netip.MustParseAddr(ip)})
		}
		return p
	}
	rule := func(num uint32, group string, dir intent.Direction, e intent.EtherType, r intent.Rule) intent.Rule {
		r.Num, r.GroupID, r.Direction, r.EtherType = num, group, dir, e
		return r
	}
	down := port(14, "blue", 4, []string{"open"}, "10.0.0.4")
	down.AdminUp = false

	s, touched := intent.NewState(), intent.Touched{}
	steps := []func(){
		func() { s.PutNetwork(net("blue", 77), touched) },
		func() { s.PutNetwork(net("red", 78), touched) },
		func() {
			s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
				rule(101, "open", intent.Egress, intent.IPv4, intent.Rule{}),
				rule(102, "open", intent.Egress, intent.IPv6, intent.Rule{}),
				rule(103, "open", intent.Ingress, intent.IPv4, intent.Rule{RemoteGroupID: "open"}),
			}}, touched)
		},
		func() {
			s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "web"}, Num: 2, Rules: []intent.Rule{
				rule(201, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(80)), PortMax: number(uint16(80))}),
				rule(202, "web", intent.Ingress, intent.IPv4, intent.Rule{
					Protocol: number(protoUDP), PortMin: number(uint16(5000)), PortMax: number(uint16(5010)), RemotePrefix: netip.MustParsePrefix("10.9.0.0/16"),
				}),
				rule(203, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoICMP), PortMin: number(uint16(8)), PortMax: number(uint16(0))}),
				rule(204, "web", intent.Ingress, intent.IPv6, intent.Rule{Protocol: number(protoICMPv6), PortMin: number(uint16(128))}),
				rule(205, "web", intent.Ingress, intent.IPv4, intent.Rule{Protocol: number(protoTCP), PortMin: number(uint16(80)), PortMax: number(uint16(80))}),
				rule(206, "web", intent.Egress, intent.IPv4, intent.Rule{Protocol: number(uint8(47)), RemotePrefix: netip.MustParsePrefix("192.0.2.0/24")}),
			}}, touched)
		},
		func() { s.PutPort(port(11, "blue", 1, []string{"open"}, "10.0.0.1"), touched) },
		func() { s.PutPort(port(12, "blue", 2, []string{"open", "web"}, "10.0.0.2", "fd00::2"), touched) },
		func() { s.PutPort(port(13, "red", 3, nil, "10.0.0.1"), touched) },
		func() { s.PutPort(down, touched) },
	}
	if shuffle != nil {
		shuffle.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	}
	for _, step := range steps {
		step()
	}
	return s
}

func townPorts() []intent.SwitchPort {
	ports := []intent.SwitchPort{{No: intent.LocalPortNo, Name: "br0"}}
	for no := uint32(1); no <= 6; no++ {
		ports = append(ports, intent.SwitchPort{No: no, Name: fmt.Sprintf("eth%d", no), Up: true})
	}
	return ports
}

func views() map[string]*intent.View {
	return map[string]*intent.View{
		"empty":     intent.NewState().View(dpid, nil, intent.UnmanagedLearn),
		"learn":     intent.NewState().View(dpid, townPorts(), intent.UnmanagedLearn),
		"drop":      intent.NewState().View(dpid, townPorts(), intent.UnmanagedDrop),
		"town":      town(nil).View(dpid, townPorts(), intent.UnmanagedLearn),
		"meter":     metered(),
		"pairs":     pairs(),
		"cloud":     cloud(),
		"addresses": addresses(),
		"stateless": stateless(),
		"stations":  stations(),
		"served":    served(),
	}
}

// cloud is the view of one of four hosts: a port of another host's segment has
// come here, one of ours has gone, and one has an address of no host's.
func cloud() *intent.View {
	s, touched := town(nil), intent.Touched{}
	for i := range uint32(4) {
		d := dpid + intent.DPID(i)
		s.PutHost(intent.Host{DPID: d, Slot: 1 + i, Tunnel: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)})}, touched)
		block, err := mac.NewSegment(mac.Addr(0x020005000000+uint64(i)<<16), 32)
		if err != nil {
			panic(err)
		}
		s.PutHostSegment(intent.HostSegment{ID: fmt.Sprint(i), Num: 500 + i, Block: block, Host: d}, touched)
	}
	there := func(num uint32, network string, host int, a string) {
		s.PutPort(intent.Port{
			Meta: intent.Meta{ID: fmt.Sprint("port-", num)}, Num: num, NetworkID: network, AdminUp: true, MAC: mac.MustParse(a),
			Binding: intent.Binding{Host: (dpid + intent.DPID(host)).String(), PortNo: 5},
		}, touched)
	}
	there(21, "blue", 1, "02:00:05:01:00:01")
	there(22, "red", 1, "02:00:05:01:00:02")
	there(23, "blue", 2, "02:00:05:00:00:77") // ours, gone
	there(24, "blue", 2, "fa:16:3e:00:00:01") // of no host
	there(25, "blue", 0, "02:00:05:03:00:01") // come here
	there(26, "red", 2, "02:00:05:01:00:03")  // from one peer to another
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "green"}, VNI: 79, AdminUp: true}, touched)
	there(27, "green", 3, "02:00:05:03:00:02") // nothing in common with us
	return s.View(dpid, append(townPorts(), intent.SwitchPort{No: 900, Name: intent.TunnelPort, Up: true}), intent.UnmanagedDrop)
}

// pairs is a network with a port that has address pairs and one without port
// security.
func pairs() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "open"},
	}}, touched)
	port := func(num uint32) intent.Port {
		return intent.Port{
			Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: "blue", AdminUp: true, MAC: mac.Addr(0x020005000000 + uint64(num)),
			Binding: intent.Binding{Host: dpid.String(), PortNo: num},
		}
	}
	paired := port(1)
	paired.SecurityGroups = []string{"open"}
	paired.FixedIPs = []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}
	paired.Extras.Pairs = []intent.AddressPair{
		{Address: "10.0.0.100"},
		{Address: "10.0.0.1"}, // says nothing new
		{Address: "10.9.0.7/24", MAC: mac.MustParse("00:00:5e:00:01:07")},
		{Address: "fd00::/64", MAC: mac.MustParse("00:00:5e:00:02:07")},
	}
	s.PutPort(paired, touched)
	wide := port(2)
	wide.SecurityGroups = []string{"open"}
	wide.Extras.Pairs = []intent.AddressPair{{Address: "0.0.0.0/0"}, {Address: "10.9.0.7", MAC: mac.MustParse("00:00:5e:00:01:07")}}
	s.PutPort(wide, touched)
	bare := port(3)
	bare.Unguarded = true
	bare.FixedIPs = []intent.FixedIP{{Addr: netip.MustParseAddr("fd00::3")}}
	s.PutPort(bare, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// addresses is a network with a port whose rules name address groups.
func addresses() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutAddressGroup(intent.AddressGroup{Meta: intent.Meta{ID: "offices"}, Addresses: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("192.0.2.128/25"), netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("2001:db8::/32"),
	}}, touched)
	s.PutAddressGroup(intent.AddressGroup{Meta: intent.Meta{ID: "all"}, Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "web"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteAddressGroupID: "offices"},
		{Num: 102, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv6, RemoteAddressGroupID: "offices"},
		{Num: 103, GroupID: "web", Direction: intent.Egress, EtherType: intent.IPv4, RemoteAddressGroupID: "all"},
		{Num: 104, GroupID: "web", Direction: intent.Ingress, EtherType: intent.IPv6, RemoteAddressGroupID: "all"}, // none of the family
	}}, touched)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"web"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// stateless is a port whose group looks at no connections.
func stateless() *intent.View {
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "dns"}, Num: 1, Stateless: true, Rules: []intent.Rule{
		{Num: 101, GroupID: "dns", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoUDP), PortMin: number(uint16(53)), PortMax: number(uint16(53))},
		{Num: 102, GroupID: "dns", Direction: intent.Egress, EtherType: intent.IPv4, RemoteGroupID: "dns"},
	}}, touched)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"dns"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, touched)
	return s.View(dpid, townPorts(), intent.UnmanagedLearn)
}

// stations is a port whose rules ask for MAC addresses.
func stations() *intent.View {
	s := intent.NewState()
	block := func(base string, bits int) mac.Segment {
		b, err := mac.NewSegment(mac.MustParse(base), bits)
		if err != nil {
			panic(err)
		}
		return b
	}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "db"}, Num: 1, Rules: []intent.Rule{
		{Num: 101, GroupID: "db", Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP), RemoteBlock: block("02:00:07:00:00:00", 40)},
		{Num: 102, GroupID: "db", Direction: intent.Egress, EtherType: intent.IPv4, RemoteMAC: mac.MustParse("02:00:05:00:00:02"), RemoteBlock: block("02:00:05:00:00:02", 48)},
		{Num: 103, GroupID: "db", Direction: intent.Ingress, EtherType: intent.IPv4, RemoteGroupID: "db", RemoteBlock: block("02:00:05:00:00:00", 40)},
	}}, nil)
	s.PutPort(intent.Port{
		Meta: intent.Meta{ID: "port-1"}, Num: 1, NetworkID: "blue", AdminUp: true, MAC: mac.MustParse("02:00:05:00:00:01"), SecurityGroups: []string{"db"},
		FixedIPs: []intent.FixedIP{{Addr: netip.MustParseAddr("10.0.0.1")}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1},
	}, nil)
	return s.View(dpid, townPorts(), intent.UnmanagedDrop)
}

// Groups of endpoints by MAC segment: a policy between them costs flows for
// each group, however many endpoints they have.
func TestAPolicyBetweenMACSegmentsDoesNotGrowWithTheEndpoints(t *testing.T) {
	t.Parallel()
	const groups = 12
	ruleFlows := func(endpoints uint32) (n int) {
		s := intent.NewState()
		s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, nil)
		base := func(g uint32) mac.Addr { return mac.Addr(0x020000000000 + uint64(g)<<16) }
		for g := range uint32(groups) {
			next, err := mac.NewSegment(base((g+1)%groups), 32)
			if err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprint("group-", g)
			s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: id}, Num: 1 + g, Rules: []intent.Rule{
				{Num: 2*g + 1, GroupID: id, Direction: intent.Egress, EtherType: intent.IPv4},
				{Num: 2*g + 2, GroupID: id, Direction: intent.Ingress, EtherType: intent.IPv4, Protocol: number(protoTCP), RemoteSegmentID: "next", RemoteBlock: next},
			}}, nil)
		}
		var ports []intent.SwitchPort
		for i := range endpoints {
			ports = append(ports, intent.SwitchPort{No: 1 + i})
			s.PutPort(intent.Port{
				Meta: intent.Meta{ID: fmt.Sprint(i)}, Num: 1 + i, NetworkID: "blue", AdminUp: true, MAC: base(i%groups) + mac.Addr(i), SecurityGroups: []string{fmt.Sprint("group-", i%groups)},
				FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}}, Binding: intent.Binding{Host: dpid.String(), PortNo: 1 + i},
			}, nil)
		}
		for _, f := range Flows(s.View(dpid, ports, intent.UnmanagedDrop)) {
			switch f.Table {
			case tableEgressRemotes, tableEgressRules, tableIngressRemotes, tableIngressRules:
				n++
			}
		}
		return n
	}
	few, many := ruleFlows(24), ruleFlows(2000)
	if few != many || many > 10*groups {
		t.Errorf("%d flows for 24 endpoints in 12 groups and %d for 2,000", few, many)
	}
}

// metered is the view of a switch that has meters.
func metered() *intent.View {
	v := intent.NewState().View(dpid, townPorts(), intent.UnmanagedLearn)
	v.Meters = true
	return v
}

// Each table declares what it reads, what it sets and where it sends packets;
// no flow may do anything else.
func TestEveryFlowKeepsTheContractOfItsTable(t *testing.T) {
	t.Parallel()
	for name, v := range views() {
		for _, table := range Tables() {
			table.emit(v, func(f flow.Flow) {
				for _, field := range f.Match.Fields() {
					if !slices.Contains(table.Reads, field.ID()) {
						t.Errorf("%s: table %s does not declare that it reads %v:\n%v", name, table.Name, field.ID(), f)
					}
				}
				list, err := f.Instructions.List()
				if err != nil {
					t.Fatal(err)
				}
				for _, in := range list {
					checkInstruction(t, table, in, f)
				}
				if !Cookie(f.Cookie).Ours() {
					t.Errorf("%s: cookie is not ours:\n%v", name, f)
				}
			})
		}
	}
}

func checkInstruction(t *testing.T, table Table, in openflow.Instruction, f flow.Flow) {
	t.Helper()
	next := func(id uint8) {
		if !slices.Contains(table.Next, id) {
			t.Errorf("table %s does not declare that it leads to %d:\n%v", table.Name, id, f)
		}
	}
	writes := func(id openflow.FieldID) {
		if !slices.Contains(table.Writes, id) {
			t.Errorf("table %s does not declare that it sets %v:\n%v", table.Name, id, f)
		}
	}
	switch in := in.(type) {
	case openflow.GotoTable:
		next(in.Table)
		if in.Table <= table.ID {
			t.Errorf("goto_table only goes up:\n%v", f)
		}
	case openflow.WriteMetadata:
		writes(openflow.Metadata)
	case openflow.ApplyActions:
		for len(in) > 0 {
			a := in[0]
			in = in[1:]
			switch a := a.(type) {
			case openflow.ActionSetField:
				writes(a.Field)
			case openflow.ActionResubmit:
				next(a.Table)
			case openflow.ActionCT:
				if a.Table != openflow.NoTable {
					next(a.Table)
				}
				in = append(slices.Clone(in), a.Exec...)
			case openflow.ActionMove:
				for _, id := range table.Writes {
					if id.NXM() == a.Dst.Field {
						a.Dst.Field = id
					}
				}
				writes(a.Dst.Field)
			case openflow.ActionOutput, openflow.ActionOutputReg, openflow.ActionController2:
			default:
				t.Errorf("action %T is not known to this test:\n%v", a, f)
			}
		}
	default:
		t.Errorf("instruction %T is not known to this test:\n%v", in, f)
	}
}

func TestTablesAreDeclaredInOrderAndLeadToDeclaredTables(t *testing.T) {
	t.Parallel()
	known := map[uint8]bool{}
	last := -1
	for _, table := range Tables() {
		if int(table.ID) <= last {
			t.Errorf("table %d comes after %d", table.ID, last)
		}
		last = int(table.ID)
		known[table.ID] = true
	}
	for _, table := range Tables() {
		for _, next := range table.Next {
			if !known[next] {
				t.Errorf("table %s leads to %d, which there is not", table.Name, next)
			}
		}
	}
}

// The goldens are the flows in canonical ovs-ofctl form, sorted, a file for
// each table and view.
func TestFlowsMatchTheGoldens(t *testing.T) {
	t.Parallel()
	for name, v := range views() {
		byTable := map[string][]string{}
		all := Flows(v)
		for _, table := range Tables() {
			for _, f := range all {
				if f.Table == table.ID {
					byTable[table.Name] = append(byTable[table.Name], f.String())
				}
			}
		}
		for _, table := range Tables() {
			lines := byTable[table.Name]
			slices.Sort(lines)
			got := strings.Join(lines, "\n") + "\n"
			path := filepath.Join("testdata", table.Name, name+".flows")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-golden +got):\n%s", path, diff)
			}
		}
	}
}

func TestTheOrderOfChangesDoesNotMatter(t *testing.T) {
	t.Parallel()
	want := Flows(town(nil).View(dpid, townPorts(), intent.UnmanagedLearn))
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		ports := townPorts()
		rnd.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
		got := Flows(town(rnd).View(dpid, ports, intent.UnmanagedLearn))
		if !slices.Equal(want, got) {
			t.Fatalf("seed %d gives other flows", seed)
		}
	}
}

// An OpenFlow message has at most 64 KiB; a crowd of ports must still fit, and
// each of them must get its copy exactly once.
func TestACrowdOfPortsIsCutIntoPartsThatFitAMessage(t *testing.T) {
	t.Parallel()
	const crowd = 1500
	s, touched := intent.NewState(), intent.Touched{}
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, touched)
	var ports []intent.SwitchPort
	for no := uint32(1); no <= 2*crowd; no++ {
		ports = append(ports, intent.SwitchPort{No: no})
		if no <= crowd {
			s.PutPort(intent.Port{
				Meta: intent.Meta{ID: fmt.Sprint(no)}, Num: no, NetworkID: "blue", AdminUp: true, MAC: mac.Addr(0x020000000000 + uint64(no)),
				Binding: intent.Binding{Host: dpid.String(), PortNo: no},
			}, touched)
		}
	}
	copies, floods := map[uint64]int{}, map[uint32]int{}
	for _, f := range Flows(s.View(dpid, ports, intent.UnmanagedLearn)) {
		if n := len(openflow.AppendMessage(nil, 1, f.Add())); n == 0 || n > openflow.MaxMessageLen {
			t.Fatalf("flow-mod of %d bytes: %.100s", n, f)
		}
		list, err := f.Instructions.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range list {
			apply, _ := in.(openflow.ApplyActions)
			for _, a := range apply {
				switch a := a.(type) {
				case openflow.ActionSetField:
					if f.Table == tableSegments && a.Field == reg(regOutput) {
						copies[a.Uint()]++
					}
				case openflow.ActionOutput:
					if f.Table == tableExact {
						floods[a.Port]++
					}
				}
			}
		}
	}
	if len(copies) != crowd || len(floods) != crowd {
		t.Errorf("%d ports get a copy and %d are flooded to, want %d each", len(copies), len(floods), crowd)
	}
	for no, n := range copies {
		if n != 1 {
			t.Errorf("port %d gets %d copies", no, n)
		}
	}
}

func TestFlowsOfLearnedStationsAreRecognised(t *testing.T) {
	t.Parallel()
	a := mac.MustParse("02:00:00:00:00:0a")
	for _, port := range []uint32{7, openflow.PortLocal} {
		for half, f := range map[LearnedHalf]flow.Flow{SourceHalf: LearnedSource(port, a), DestHalf: LearnedDest(port, a)} {
			gotHalf, gotPort, gotMAC := ParseLearned(f.Key(), Cookie(f.Cookie))
			if gotHalf != half || gotPort != port || gotMAC != a {
				t.Errorf("ParseLearned(%v) = %v, %d, %v", f, gotHalf, gotPort, gotMAC)
			}
		}
	}
	for _, f := range Flows(town(nil).View(dpid, townPorts(), intent.UnmanagedLearn)) {
		if half, _, _ := ParseLearned(f.Key(), Cookie(f.Cookie)); half != NotLearned {
			t.Errorf("taken for learned: %v", f)
		}
	}
}

func TestTheZoneOfAPortIsFoundInItsFlow(t *testing.T) {
	t.Parallel()
	zones := map[uint32]uint16{}
	for _, f := range Flows(town(nil).View(dpid, townPorts(), intent.UnmanagedLearn)) {
		if zone, ok := ZoneOf(f); ok {
			zones[Cookie(f.Cookie).Object()] = zone
		}
	}
	if diff := cmp.Diff(map[uint32]uint16{11: 1, 12: 2, 13: 3}, zones); diff != "" {
		t.Errorf("zones by port (-want +got):\n%s", diff)
	}
}

func TestARefusedFlowHitsThePortsThatNeedIt(t *testing.T) {
	t.Parallel()
	v := town(nil).View(dpid, townPorts(), intent.UnmanagedLearn)
	for _, c := range []struct {
		cookie Cookie
		want   []uint32
	}{
		{NewCookie(KindPort, 11), []uint32{11}},
		{NewCookie(KindRule, 201), []uint32{12}},
		{NewCookie(KindRule, 103), []uint32{11, 12, 14}},
		{NewCookie(KindNetwork, 78), []uint32{13}},
		{NewCookie(KindTable, 40), []uint32{11, 12, 13, 14}},
		{NewCookie(KindFree, 5), nil},
	} {
		var got []uint32
		for num, hit := range Affected(v, c.cookie) {
			if hit {
				got = append(got, num)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.cookie, diff)
		}
	}
}

func TestTheDocumentedPipelineIsTheRealOne(t *testing.T) {
	t.Parallel()
	const path = "../../docs/pipeline.md"
	if *update {
		if err := os.WriteFile(path, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), Markdown()); diff != "" {
		t.Errorf("docs/pipeline.md is stale; run go test ./controller/pipeline -update (-file +code):\n%s", diff)
	}
}

// Whatever a flow needs is there, in our range of ids, with an owner; and nothing else is.
func TestGroupsAndMetersAreThoseThatTheFlowsUse(t *testing.T) {
	t.Parallel()
	for name, v := range views() {
		d := Compute(v)
		groups, meters := map[uint32]Cookie{}, map[uint32]Cookie{}
		for _, f := range d.Flows {
			f.Needs(func(id uint32) { groups[id] = d.GroupOwners[id] }, func(id uint32) { meters[id] = d.MeterOwners[id] })
		}
		gotGroups, gotMeters := map[uint32]Cookie{}, map[uint32]Cookie{}
		for _, g := range d.Groups {
			gotGroups[g.ID] = d.GroupOwners[g.ID]
		}
		for _, m := range d.Meters {
			gotMeters[m.ID] = d.MeterOwners[m.ID]
		}
		if diff := cmp.Diff([]map[uint32]Cookie{groups, meters}, []map[uint32]Cookie{gotGroups, gotMeters}); diff != "" {
			t.Errorf("%s: groups and meters with their owners (-used +there):\n%s", name, diff)
		}
		for id, c := range groups {
			if !OurGroup(id) || !c.Ours() {
				t.Errorf("%s: group %d of %v", name, id, c)
			}
		}
		for id, c := range meters {
			if !OurMeter(id) || !c.Ours() {
				t.Errorf("%s: meter %d of %v", name, id, c)
			}
		}
	}
	if n := len(Compute(metered()).Meters); n != 1 {
		t.Errorf("%d meters, want that of the packet-ins", n)
	}
}

func BenchmarkFlows(b *testing.B) {
	v := town(nil).View(dpid, townPorts(), intent.UnmanagedLearn)
	n := 0
	for b.Loop() {
		n = len(Flows(v))
	}
	b.ReportMetric(float64(n), "flows")
}
