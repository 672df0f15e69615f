package flow

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// groupCorpus returns groups in all the shapes that Open vSwitch accepts.
func groupCorpus() []Group {
	id := uint32(0)
	next := func() uint32 { id++; return id }
	groups := []Group{
		NewGroup(next(), openflow.GroupAll),
		NewGroup(next(), openflow.GroupAll, Bucket()),
		NewGroup(next(), openflow.GroupAll, Bucket(Output(1)), Bucket(SetReg(1, 7), Output(openflow.PortInPort))),
		NewGroup(next(), openflow.GroupSelect, Weighted(1, Output(1)), Weighted(0, Output(2)), Weighted(65535, Output(3))),
		NewGroup(next(), openflow.GroupIndirect, Bucket(openflow.ActionGroup{ID: 3})),
		NewGroup(next(), openflow.GroupFastFailover, Watching(1, Output(1)), Watching(openflow.PortLocal, Output(openflow.PortInPort))),
		NewGroup(next(), openflow.GroupFastFailover, openflow.Bucket{
			WatchPort: openflow.PortAny, WatchGroup: 3, Actions: openflow.NewActions(Output(2)),
		}),
		NewGroup(next(), openflow.GroupSelect, WeightedWatching(1, 1, Output(1)), WeightedWatching(2, 2, Load(Bits(openflow.EthDst, 13, 1), 1), Output(2))),
		NewGroup(0x5d000001, openflow.GroupAll, Bucket(Load(RegBits(3, 4, 8), 9), Move(Whole(openflow.EthSrc), Whole(openflow.EthDst)), Resubmit(7))),
	}
	return groups
}

func meterCorpus() []Meter {
	drop := func(rate, burst uint32) openflow.MeterBand {
		return openflow.MeterBand{Type: openflow.BandDrop, Rate: rate, BurstSize: burst}
	}
	return []Meter{
		NewMeter(1, openflow.MeterKbps, drop(1000, 0)),
		NewMeter(2, openflow.MeterKbps|openflow.MeterStats, drop(1000, 0)),
		NewMeter(3, openflow.MeterPktps|openflow.MeterBurst, drop(1000, 100)),
		PacketMeter(0x8000, 1000, 1000),
		NewMeter(0xffff, openflow.MeterKbps|openflow.MeterBurst|openflow.MeterStats, drop(1000, 100), drop(2000, 0)),
	}
}

func TestGroupsAndMetersOfARealSwitchReadBackEqual(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	groups, meters := groupCorpus(), meterCorpus()
	c := dial(t, ovs.AddBridge("br0"))
	for _, g := range groups {
		// In two steps, so that both commands are seen.
		c.send(t, NewGroup(g.ID, openflow.GroupAll).Add())
	}
	for _, g := range groups {
		c.send(t, g.Modify())
	}
	for _, m := range meters {
		c.send(t, PacketMeter(m.ID, 7, 7).Add())
		c.send(t, m.Modify())
	}
	c.barrier(t)
	gotGroups, gotMeters := c.groupsAndMeters(t)
	if diff := gocmp.Diff(groups, gotGroups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(meters, gotMeters); diff != "" {
		t.Errorf("meters (-want +got):\n%s", diff)
	}

	lines := func(text, word string) []string {
		var found []string
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, word) {
				found = append(found, line)
			}
		}
		slices.Sort(found)
		return found
	}
	dumped := ovs.Ofctl("--no-names", "dump-groups", "br0")
	if diff := gocmp.Diff(texts(groups), lines(dumped, "group_id=")); diff != "" {
		t.Errorf("groups in text (-ours +ovs-ofctl's):\n%s", diff)
	}
	// ovs-ofctl begins a line with each band.
	dumped = strings.ReplaceAll(ovs.Ofctl("dump-meters", "br0"), "\ntype=", " type=")
	dumped = strings.ReplaceAll(dumped, "bands= ", "bands=")
	if diff := gocmp.Diff(texts(meters), lines(dumped, "meter=")); diff != "" {
		t.Errorf("meters in text (-ours +ovs-ofctl's):\n%s", diff)
	}

	for _, g := range groups {
		c.send(t, g.Delete())
	}
	for _, m := range meters {
		c.send(t, m.Delete())
	}
	c.barrier(t)
	if gotGroups, gotMeters = c.groupsAndMeters(t); len(gotGroups)+len(gotMeters) != 0 {
		t.Errorf("left after all were deleted: %v %v", gotGroups, gotMeters)
	}
}

func texts[T interface{ String() string }](list []T) []string {
	lines := make([]string, len(list))
	for i, v := range list {
		lines[i] = v.String()
	}
	slices.Sort(lines)
	return lines
}

func (c *connection) groupsAndMeters(t *testing.T) (groups []Group, meters []Meter) {
	t.Helper()
	ask := func(body openflow.MultipartBody, each func(openflow.MultipartBody)) {
		c.send(t, &openflow.MultipartRequest{Body: body})
		c.flush(t)
		for {
			_, m := c.read(t)
			if reply, ok := m.(*openflow.MultipartReply); ok {
				each(reply.Body)
				if !reply.More() {
					return
				}
			}
		}
	}
	ask(&openflow.GroupDescRequest{}, func(b openflow.MultipartBody) {
		for _, d := range b.(*openflow.GroupDescReply).Groups {
			groups = append(groups, GroupFromDesc(d))
		}
	})
	ask(&openflow.MeterConfigRequest{MeterID: openflow.AllMeters}, func(b openflow.MultipartBody) {
		for _, m := range b.(*openflow.MeterConfigReply).Meters {
			meters = append(meters, MeterFromConfig(m))
		}
	})
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(meters, func(a, b Meter) int { return cmp.Compare(a.ID, b.ID) })
	return groups, meters
}

func TestGroupsAndMetersAreTheirText(t *testing.T) {
	t.Parallel()
	for _, g := range groupCorpus() {
		if got, err := ParseGroup(g.String()); err != nil || got != g {
			t.Errorf("%v parses to %v, %v", g, got, err)
		}
	}
	for _, m := range meterCorpus() {
		if got, err := ParseMeter(m.String()); err != nil || got != m {
			t.Errorf("%v parses to %v, %v", m, got, err)
		}
	}
	g := NewGroup(9, openflow.GroupSelect, Weighted(5, Output(1), SetReg(2, 3)), Weighted(0), Weighted(1, Output(4)))
	if got, want := g.String(), "group_id=9,type=select,bucket=weight:5,actions=output:1,set_field:0x3->reg2,bucket=weight:0,actions=drop,bucket=actions=output:4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m := NewMeter(3, openflow.MeterPktps|openflow.MeterBurst,
		openflow.MeterBand{Type: openflow.BandDrop, Rate: 10, BurstSize: 2}, openflow.MeterBand{Type: openflow.BandDSCPRemark, Rate: 5, PrecLevel: 1},
		openflow.MeterBand{Type: openflow.BandExperimenter, Rate: 1, Raw: []byte{1, 2, 3, 4, 5, 6, 7, 8}})
	const want = "meter=3 pktps burst bands=type=drop rate=10 burst_size=2 type=dscp_remark rate=5 burst_size=5 prec_level=1 raw:ffff001400000001000000010102030405060708"
	if got := m.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, err := ParseMeter(want); err != nil || got != m {
		t.Errorf("parses to %v, %v", got, err)
	}
}

func TestWhatDoesNotCountForAGroupOrMeterIsLeftOut(t *testing.T) {
	t.Parallel()
	odd := openflow.Bucket{Weight: 3, WatchPort: 4, WatchGroup: 5, Actions: openflow.NewActions(openflow.ActionOutput{Port: 1, MaxLen: 9})}
	for kind, want := range map[openflow.GroupType]openflow.Bucket{
		openflow.GroupAll:          Bucket(Output(1)),
		openflow.GroupSelect:       {Weight: 3, WatchPort: 4, WatchGroup: 5, Actions: openflow.NewActions(Output(1))},
		openflow.GroupFastFailover: {WatchPort: 4, WatchGroup: 5, Actions: openflow.NewActions(Output(1))},
	} {
		if got, want := NewGroup(1, kind, odd), NewGroup(1, kind, want); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got, want := NewMeter(1, openflow.MeterKbps, openflow.MeterBand{Type: openflow.BandDrop, Rate: 5, BurstSize: 9}),
		NewMeter(1, openflow.MeterKbps, openflow.MeterBand{Type: openflow.BandDrop, Rate: 5}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAFlowSaysWhichGroupsAndMetersItNeeds(t *testing.T) {
	t.Parallel()
	f := Flow{Instructions: NewInstructions(openflow.Meter{ID: 1}, Goto(4), openflow.WriteActions{openflow.ActionGroup{ID: 2}},
		Apply(openflow.ActionClone{openflow.ActionGroup{ID: 3}}, openflow.ActionController2{MaxLen: 128, MeterID: 4}, Controller(3), Output(9)))}
	var groups, meters []uint32
	f.Needs(func(id uint32) { groups = append(groups, id) }, func(id uint32) { meters = append(meters, id) })
	slices.Sort(groups)
	slices.Sort(meters)
	if diff := gocmp.Diff([][]uint32{{2, 3}, {1, 4}}, [][]uint32{groups, meters}); diff != "" {
		t.Errorf("groups, meters (-want +got):\n%s", diff)
	}
}

// FuzzGroupParse holds text and values of groups together.
func FuzzGroupParse(f *testing.F) {
	for _, g := range groupCorpus() {
		f.Add(g.String())
	}
	f.Fuzz(func(t *testing.T, line string) {
		g, err := ParseGroup(line)
		if err != nil {
			return
		}
		if again, err := ParseGroup(g.String()); err != nil || again != g {
			t.Fatalf("%q\nprints as %q\nwhich parses to %v, %v", line, g, again, err)
		}
	})
}

// FuzzMeterParse holds text and values of meters together.
func FuzzMeterParse(f *testing.F) {
	for _, m := range meterCorpus() {
		f.Add(m.String())
	}
	f.Add("meter=7 flags:0x100 bands=raw:ffff0010000000010000000201020304")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := ParseMeter(line)
		if err != nil {
			return
		}
		if again, err := ParseMeter(m.String()); err != nil || again != m {
			t.Fatalf("%q\nprints as %q\nwhich parses to %v, %v", line, m, again, err)
		}
	})
}
