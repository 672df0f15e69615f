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
	softswitch "github.com/macloom/macloom/southbound/flow/walk"
	"github.com/macloom/macloom/southbound/openflow"
)

var update = flag.Bool("update", false, "write the goldens and docs/pipeline.md anew")

const dpid intent.DPID = 0x5d

func number[T any](v T) *T { return &v }

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
			case openflow.ActionMultipath:
				writes(a.Dst.Field)
			case openflow.ActionLearn:
				if a.Table != tablePins {
					t.Errorf("learns in table %d:\n%v", a.Table, f)
				}
			case openflow.ActionNAT: // of addresses, which no table lists
			case openflow.ActionPushVLAN, openflow.ActionPopVLAN:
				writes(openflow.VLANVID)
			case openflow.ActionOutput, openflow.ActionOutputReg, openflow.ActionController2, openflow.ActionGroup, openflow.ActionSetQueue:
			default:
				t.Errorf("action %T is not known to this test:\n%v", a, f)
			}
		}
	case openflow.Meter:
		if !OurMeter(in.ID) {
			t.Errorf("meter %d is not ours:\n%v", in.ID, f)
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

// Two kinds of one number would have each other's flows for their own.
func TestCookieKindsAreTold(t *testing.T) {
	t.Parallel()
	numbers, names := map[Kind]string{}, map[string]bool{}
	for _, k := range kinds {
		if was, taken := numbers[k.kind]; taken || names[k.name] {
			t.Errorf("kind %d is %q and %q", k.kind, was, k.name)
		}
		numbers[k.kind], names[k.name] = k.name, true
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
}

// Whoever floods the controller at one port must not use up what others are learned by.
func TestUnmanagedPortsAreLearnedThroughMetersOfTheirOwn(t *testing.T) {
	t.Parallel()
	v := linked()
	v.Links = []uint32{5}
	var got []string
	for _, m := range Compute(v).Meters {
		if m.ID == meterLearn || m.ID >= firstLearnMeter && m.ID < firstQoSMeter {
			got = append(got, m.String())
		}
	}
	want := []string{
		"meter=32768 pktps burst stats bands=type=drop rate=1000 burst_size=1000", // the switch's own port, and such with high numbers
		"meter=81926 pktps burst stats bands=type=drop rate=250 burst_size=1000",  // 5 leads to another switch
		"meter=81928 pktps burst stats bands=type=drop rate=250 burst_size=1000",
		"meter=114688 pktps burst stats bands=type=drop rate=500 burst_size=500", // frames for stations that are not known
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("meters (-want +got):\n%s", diff)
	}
}

func TestAPauseKeepsUnknownStationsOfOnePortFromTheController(t *testing.T) {
	t.Parallel()
	known, unknown := mac.FromBytes(station6(50)), mac.FromBytes(station6(51))
	state := Compute(metered()).State
	flows := append(slices.Clone(state.Flows), PauseLearning(1), LearnedSource(1, known), LearnedDest(1, known))
	set, err := flow.NewSet(flows)
	if err != nil {
		t.Fatal(err)
	}
	state.Flows = set
	for _, c := range []struct {
		port     uint32
		src, dst mac.Addr
		want     string
	}{
		{1, unknown, known, ""}, // not out by where it came in
		{1, known, unknown, "2 3 4 5 6 -2"},
		{1, unknown, unknown + 1, "2 3 4 5 6 -2"},
		{2, unknown, known, "1 controller"},
	} {
		frame := softswitch.Frame{Src: c.src.Bytes(), Dst: c.dst.Bytes(), EtherType: 0x88b5, Payload: make([]byte, 46)}
		trace, err := softswitch.New(state).Walk(softswitch.Arrival{Port: c.port, Frame: frame.Bytes()})
		if err != nil {
			t.Fatal(err)
		}
		if got := left(trace); got != c.want {
			t.Errorf("from %v at %d to %v: leaves by %q, want %q\n%s", c.src, c.port, c.dst, got, c.want, trace)
		}
	}
}

// OVS has 200,000 meters in the kernel, and a zone's meter must not be that of a
// port's learning, nor that one of a policy.
func TestIDsOfMetersDoNotMeet(t *testing.T) {
	t.Parallel()
	if lastAsk := askMeter(intent.MaxZone); learnMeter(0) <= lastAsk || !OurMeter(lastAsk) {
		t.Errorf("the meters of zones end at %d, those of unmanaged ports begin at %d", lastAsk, learnMeter(0))
	}
	first, last := qosMeter(intent.Limit{Meter: 1}), qosMeter(intent.Limit{Meter: intent.QoSMeters})
	if lastLearn := learnMeter(learnMeters - 1); first <= meterSeek || meterSeek <= lastLearn {
		t.Errorf("the meters of unmanaged ports end at %d, that of sought stations is %d, those of policies begin at %d", lastLearn, meterSeek, first)
	}
	if last != LastMeter || last >= 200_000 || !OurMeter(last) || OurMeter(last+1) {
		t.Errorf("the last meter is %d, LastMeter %d", last, LastMeter)
	}
}

func TestBothHalvesOfAStationAgeAlikeAndStationsDoNotGoTogether(t *testing.T) {
	t.Parallel()
	first := mac.MustParse("02:00:00:00:00:01")
	at := map[uint16]int{}
	const stations = 6100
	for i := range mac.Addr(stations) {
		source, dest := LearnedSource(3, first+i), LearnedDest(3, first+i)
		if source.IdleTimeout != dest.IdleTimeout || source.HardTimeout != 0 || dest.HardTimeout != 0 {
			t.Fatalf("%v ages by %d s and %d s", first+i, source.IdleTimeout, dest.IdleTimeout)
		}
		at[source.IdleTimeout]++
	}
	for s, n := range at {
		if s < 270 || s > 330 || n > 2*stations/61 {
			t.Errorf("%d of %d stations age by %d s", n, stations, s)
		}
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
