package reconcile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// ovs is an Open vSwitch of the test's own, with one bridge br0.
type ovs struct {
	*ovstest.OVS
	t testing.TB
}

func startOVS(t testing.TB) *ovs {
	t.Helper()
	return &ovs{ovstest.Start(t), t}
}

// ofctl speaks to br0, as somebody at the host would.
func (o *ovs) ofctl(command string, args ...string) string {
	o.t.Helper()
	return o.Ofctl(append([]string{command, "br0"}, args...)...)
}

// addBridge makes br0 with ports 1 to 3, which are down, and its controller.
func (o *ovs) addBridge(controller string) {
	o.t.Helper()
	more := []string{"other-config:datapath-id=" + dpid.String()}
	for no := 1; no <= 3; no++ {
		name := fmt.Sprintf("p%d", no)
		more = append(more, "--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy", fmt.Sprintf("ofport_request=%d", no))
	}
	o.AddBridge("br0", append(more, "--", "set-controller", "br0", "tcp:"+controller,
		"--", "set", "controller", "br0", "max_backoff=1000", "connection_mode=out-of-band")...)
}

// lines returns what ovs-ofctl dumps that begins with a word, sorted, each on one line.
func (o *ovs) lines(command, word string) []string {
	o.t.Helper()
	text := strings.ReplaceAll(o.Ofctl("--no-names", "--no-stats", command, "br0"), "bands=\n", "bands=")
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, word) {
			found = append(found, line)
		}
	}
	slices.Sort(found)
	return found
}

// holds checks that br0 holds a state and the given lines besides.
func (o *ovs) holds(s flow.State, others ...string) {
	o.t.Helper()
	want := slices.Clone(others)
	for _, f := range s.Flows {
		want = append(want, strings.Replace(f.String(), "table=0, ", "", 1))
	}
	for _, g := range s.Groups {
		want = append(want, g.String())
	}
	for _, m := range s.Meters {
		want = append(want, m.String())
	}
	slices.Sort(want)
	got := slices.Concat(o.lines("dump-flows", "cookie="), o.lines("dump-groups", "group_id="), o.lines("dump-meters", "meter="))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		o.t.Errorf("br0 (-want +got):\n%s", diff)
	}
}

const (
	groupA uint32 = 0x5d000001
	groupB uint32 = 0x5d000002
	meterA uint32 = 0x8001
)

var (
	ownerA = pipeline.NewCookie(pipeline.KindPort, 1)
	ownerB = pipeline.NewCookie(pipeline.KindPort, 2)
)

// script is what a test says that the switch shall hold.
type script struct {
	mu      sync.Mutex
	desired pipeline.Desired
}

func (s *script) compute(*intent.View) pipeline.Desired {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.desired
	d.Flows, d.Groups, d.Meters = slices.Clone(d.Flows), slices.Clone(d.Groups), slices.Clone(d.Meters)
	return d
}

// set gives the switch what it shall hold, and returns when it does.
func (s *script) set(r *rig, meters []flow.Meter, groups []flow.Group, flows ...flow.Flow) flow.State {
	r.t.Helper()
	set, err := flow.NewSet(flows)
	if err != nil {
		r.t.Fatal(err)
	}
	s.mu.Lock()
	s.desired = pipeline.Desired{
		State:       flow.State{Flows: set, Groups: groups, Meters: meters},
		GroupOwners: map[uint32]pipeline.Cookie{groupA: ownerA, groupB: ownerB}, MeterOwners: map[uint32]pipeline.Cookie{meterA: ownerA},
	}
	s.mu.Unlock()
	r.change(plugged(1, 2))
	return s.compute(nil).State
}

// scripted runs a reconciler that follows a script, and an Open vSwitch that it serves.
func scripted(t testing.TB, change ...func(*Config)) (*rig, *script, *ovs) {
	t.Helper()
	s := &script{}
	r := newRig(t, append([]func(*Config){func(c *Config) { c.Compute = s.compute }}, change...)...)
	o := startOVS(t)
	o.addBridge(r.addr)
	r.await("the switch to connect", func() bool { return r.saved.Connected })
	return r, s, o
}

func line(owner pipeline.Cookie, table uint8, port uint32, ins ...openflow.Instruction) flow.Flow {
	return flow.Flow{
		Table: table, Priority: 100, Cookie: uint64(owner), Match: flow.NewMatch(flow.InPort(port)), Instructions: flow.NewInstructions(ins...),
	}
}

func toGroup(id uint32) openflow.Instruction { return flow.Apply(openflow.ActionGroup{ID: id}) }

// repaired waits until n more objects have been put right.
func (r *rig) repaired(before int64) {
	r.t.Helper()
	r.await("a repair", func() bool { return r.saved.Repaired > before })
}

func (r *rig) facts() intent.Switch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saved
}

func TestGroupsAndMetersAreMadeChangedRepairedAndRemoved(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t)
	ff := func(first uint32) flow.Group {
		return flow.NewGroup(groupA, openflow.GroupFastFailover, flow.Watching(first, flow.Output(first)))
	}
	all := flow.NewGroup(groupB, openflow.GroupAll, flow.Bucket(openflow.ActionGroup{ID: groupA}), flow.Bucket(flow.Output(3)))
	metered := line(ownerA, 0, 1, openflow.Meter{ID: meterA}, toGroup(groupB))

	o.holds(s.set(r, []flow.Meter{flow.PacketMeter(meterA, 100, 10)}, []flow.Group{ff(1), all}, metered, line(ownerB, 0, 2, toGroup(groupA))))
	state := s.set(r, []flow.Meter{flow.PacketMeter(meterA, 200, 10)}, []flow.Group{ff(2), all}, metered, line(ownerB, 0, 2, toGroup(groupA)))
	o.holds(state)

	// With a group or meter go the flows that use it, which the switch reports.
	for _, harm := range [][]string{
		{"del-groups", fmt.Sprintf("group_id=%d", groupA)},
		{"del-meter", fmt.Sprintf("meter=%d", meterA)},
		{"del-groups"},
		{"del-meters"},
		{"del-flows"},
	} {
		before := r.facts().Repaired
		o.ofctl(harm[0], harm[1:]...)
		r.repaired(before)
		o.holds(state)
	}
	o.holds(s.set(r, nil, []flow.Group{ff(2)}, line(ownerB, 0, 2, toGroup(groupA))))
	o.holds(s.set(r, nil, nil))
	if got := r.facts().Error; got != "" {
		t.Errorf("error %q", got)
	}
}

// Nobody tells of a changed group or meter; the audit finds it.
func TestTheAuditRepairsGroupsAndMetersThatWereChanged(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t, func(c *Config) { c.Audit = 50 * time.Millisecond })
	state := s.set(r, []flow.Meter{flow.PacketMeter(meterA, 100, 10)},
		[]flow.Group{flow.NewGroup(groupA, openflow.GroupAll, flow.Bucket(flow.Output(1)))}, line(ownerA, 0, 1, toGroup(groupA)))
	for _, harm := range [][]string{
		{"mod-group", fmt.Sprintf("group_id=%d,type=all,bucket=actions=output:2", groupA)},
		{"mod-meter", fmt.Sprintf("meter=%d pktps burst bands=type=drop rate=5 burst_size=5", meterA)},
		{"add-group", fmt.Sprintf("group_id=%d,type=all", groupB)},
	} {
		before := r.facts().Repaired
		o.ofctl(harm[0], harm[1:]...)
		r.repaired(before)
		o.holds(state)
	}
}

func TestWhatOthersDoToOurFlowsIsUndoneAtOnceAndReported(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t)
	kept, taken := line(ownerA, 5, 1, flow.Goto(6)), line(ownerB, 6, 2, flow.Goto(7))
	state := s.set(r, nil, nil, kept, taken)
	for what, harm := range map[string][]string{
		"restored flow " + kept.String():  {"--strict", "del-flows", "table=5,priority=100,in_port=1"},
		"restored flow " + taken.String(): {"add-flow", "table=6,priority=100,in_port=2 actions=drop"},
		"removed flow cookie=0x5d02000000000001, table=9, priority=1,in_port=1 actions=drop": {"add-flow", "cookie=0x5d02000000000001,table=9,priority=1,in_port=1 actions=drop"},
	} {
		before := r.facts().Repaired
		o.Ofctl(slices.Insert(slices.Clone(harm), len(harm)-1, "br0")...)
		r.repaired(before)
		o.holds(state)
		var reports []observer.LoggedEntry
		for _, e := range r.logs.TakeAll() {
			if e.Message == "somebody else changed the switch; repaired" {
				reports = append(reports, e)
			}
		}
		if len(reports) != 1 || fmt.Sprint(reports[0].ContextMap()["first"]) != fmt.Sprint([]string{what}) {
			t.Errorf("reports %v, want one of %q", reports, what)
		}
	}
	// A change of actions alone leaves the cookie, and our own changes are nobody else's.
	before := r.facts().Repaired
	o.ofctl("mod-flows", "table=5 actions=drop")
	r.repaired(before)
	o.holds(state)
	before = r.facts().Repaired
	o.holds(s.set(r, nil, nil, kept))
	o.holds(s.set(r, nil, nil, taken))
	if got := r.facts().Repaired; got != before {
		t.Errorf("%d repairs after changes of our own, want %d as before", got, before)
	}
}

func TestForeignFlowsGroupsAndMetersAreLeftAloneAndReported(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t, func(c *Config) { c.Audit = 50 * time.Millisecond })
	o.ofctl("add-group", "group_id=7,type=all,bucket=actions=output:1")
	o.ofctl("add-meter", "meter=7 kbps bands=type=drop rate=5")
	o.ofctl("add-flow", "cookie=0xabc,table=77,priority=5,in_port=1 actions=group:7")
	others := []string{
		"group_id=7,type=all,bucket=actions=output:1", "meter=7 kbps bands=type=drop rate=5", "cookie=0xabc, table=77, priority=5,in_port=1 actions=group:7",
	}
	r.await("the foreign flow to be counted", func() bool { return r.saved.ForeignFlows == 1 })
	o.holds(s.set(r, []flow.Meter{flow.PacketMeter(meterA, 1, 1)}, nil, line(ownerA, 0, 1)), others...)
	o.holds(s.set(r, nil, nil), others...)
	want := map[string]any{"dpid": dpid.String(), "flows": int64(1), "groups": int64(1), "meters": int64(1)}
	reports := r.logs.FilterMessage("what is not ours is left alone").All()
	if len(reports) == 0 {
		t.Fatal("not reported")
	}
	if diff := cmp.Diff(want, reports[len(reports)-1].ContextMap()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// notTaken is a flow that Open vSwitch refuses: it goes back to an earlier table.
func notTaken(owner pipeline.Cookie) flow.Flow { return line(owner, 9, 2, flow.Goto(3)) }

func TestWhatASwitchRefusesIsNamedAndTheRestStands(t *testing.T) {
	t.Parallel()
	tooWide := flow.NewMeter(meterA, openflow.MeterPktps, openflow.MeterBand{Type: openflow.BandDSCPRemark, Rate: 5})
	twoWays := flow.NewGroup(groupB, openflow.GroupIndirect, flow.Bucket(), flow.Bucket())
	for name, c := range map[string]struct {
		meters []flow.Meter
		groups []flow.Group
		bad    []flow.Flow
		owner  string
		reason string
	}{
		"bad flow":  {nil, nil, []flow.Flow{notTaken(ownerB)}, "port-2", "OFPBIC_BAD_TABLE_ID"},
		"bad meter": {[]flow.Meter{tooWide}, nil, []flow.Flow{line(ownerA, 3, 1, openflow.Meter{ID: meterA})}, "port-1", "OFPMMFC_BAD_BAND"},
		"bad group": {nil, []flow.Group{twoWays}, []flow.Flow{line(ownerB, 3, 1, toGroup(groupB))}, "port-2", "OFPGMFC_INVALID_GROUP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s, o := scripted(t)
			good := []flow.Flow{line(ownerA, 1, 1, flow.Goto(2)), line(ownerB, 1, 2, flow.Goto(2))}
			s.set(r, c.meters, c.groups, append(c.bad, good...)...)
			r.await("the port to be in error", func() bool { return r.states[c.owner].Status == intent.PortError })
			o.holds(flow.State{Flows: good})
			if got := r.states[c.owner].Reason; !strings.Contains(got, c.reason) && !strings.Contains(r.facts().Error, c.reason) {
				t.Errorf("reason %q, error of the switch %q, want %s", got, r.facts().Error, c.reason)
			}
			for id, state := range r.states {
				if id != c.owner && state.Status != intent.PortActive {
					t.Errorf("%s is %+v", id, state)
				}
			}
			o.holds(s.set(r, nil, nil, good...))
			r.await("the port to recover", func() bool { return r.states[c.owner].Status == intent.PortActive && r.saved.Error == "" })
		})
	}
}

func TestAFullTableNamesThoseWhoFoundNoRoom(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t)
	const room = 5
	o.Vsctl("--", "--id=@t", "create", "Flow_Table", fmt.Sprintf("flow_limit=%d", room), "overflow_policy=refuse",
		"--", "set", "bridge", "br0", "flow_tables:4=@t")
	var fit, over []flow.Flow
	for port := uint32(1); port <= 10; port++ {
		f := line(ownerA, 4, port)
		f.Priority = uint16(200 - port)
		if port > room {
			f.Cookie = uint64(ownerB)
			over = append(over, f)
		} else {
			fit = append(fit, f)
		}
	}
	elsewhere := line(ownerA, 1, 1, flow.Goto(2))
	s.set(r, nil, nil, append(slices.Concat(fit, over), elsewhere)...)
	r.await("port-2 to be in error", func() bool { return r.states["port-2"].Status == intent.PortError })
	o.holds(flow.State{Flows: append(slices.Clone(fit), elsewhere)})
	if got := r.states["port-2"].Reason; !strings.Contains(got, "OFPFMFC_TABLE_FULL") {
		t.Errorf("reason %q", got)
	}
	if got := r.states["port-1"].Status; got != intent.PortActive {
		t.Errorf("port-1 is %v", got)
	}
	// The old ones make room for as many others, though there is none for both.
	o.holds(s.set(r, nil, nil, over...))
	r.await("port-2 to recover", func() bool { return r.states["port-2"].Status == intent.PortActive })
}

func TestAnOpenVSwitchIsAskedWhatItCanDo(t *testing.T) {
	t.Parallel()
	r, _, o := scripted(t)
	known := func() bool {
		return r.saved.Capabilities["ct"] != unknown && r.saved.Capabilities["bundle"] != unknown && r.saved.Connected
	}
	r.await("the capabilities", known)
	want := map[string]string{
		"ct": yes, "ct_nat": yes, "meters": yes, "groups": yes, "bundle": yes, "nd_set": yes, "set_queue": unknown,
	}
	if diff := cmp.Diff(want, r.facts().Capabilities); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	o.holds(flow.State{})

	// A datapath that can do less, such as an old kernel's.
	for _, feature := range []string{"ct_state", "ct_state_nat", "nd_ext"} {
		o.Run("ovs-appctl", "-t", "ovs-vswitchd", "dpif/set-dp-features", "br0", feature, "false")
	}
	r.reconciler.SetDatapathType(dpid, "netdev")
	o.reconnect(r)
	r.await("the capabilities", func() bool { return known() && r.saved.Capabilities["ct"] == no })
	for _, lost := range []string{"ct", "ct_nat", "nd_set", "set_queue"} {
		want[lost] = no
	}
	if diff := cmp.Diff(want, r.facts().Capabilities); diff != "" {
		t.Errorf("capabilities of less (-want +got):\n%s", diff)
	}
	r.reconciler.SetDatapathType(dpid, "system")
	r.await("set_queue", func() bool { return r.saved.Capabilities["set_queue"] == yes })
}

// reconnect drops the connection of br0, which comes back by itself.
func (o *ovs) reconnect(r *rig) {
	o.t.Helper()
	r.reconciler.mu.Lock()
	d := r.reconciler.live[dpid]
	r.reconciler.mu.Unlock()
	d.conn.Close(errors.New("test: reconnect"))
	<-d.ended
	r.await("the switch to be back", func() bool { return r.saved.Connected })
}

func TestARestartedOpenVSwitchIsFilledAgain(t *testing.T) {
	t.Parallel()
	r, s, o := scripted(t)
	flows := make([]flow.Flow, 5000)
	for i := range flows {
		flows[i] = line(ownerA, 3, uint32(i+1), toGroup(groupA))
	}
	state := s.set(r, []flow.Meter{flow.PacketMeter(meterA, 1, 1)}, []flow.Group{flow.NewGroup(groupA, openflow.GroupAll, flow.Bucket())}, flows...)
	o.StopSwitch()
	r.await("the switch to be gone", func() bool { return !r.saved.Connected })
	o.StartSwitch()
	r.await("the switch to be realized", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
	o.holds(state)
	if got := r.facts().Repaired; got != 0 {
		t.Errorf("%d repairs; a restart is nobody's doing", got)
	}
}

// A switch that refuses bundles gets the same by ordered messages.
func TestAnOpenVSwitchWithoutBundlesIsServedToo(t *testing.T) {
	t.Parallel()
	s := &script{}
	r := newRig(t, func(c *Config) { c.Compute = s.compute })
	o := startOVS(t)
	o.addBridge(refuseBundles(t, r.addr))
	r.await("the switch to connect", func() bool { return r.saved.Connected && r.saved.Capabilities["bundle"] == no })
	groups := []flow.Group{flow.NewGroup(groupA, openflow.GroupAll, flow.Bucket(flow.Output(1)))}
	meters := []flow.Meter{flow.PacketMeter(meterA, 1, 1)}
	good := []flow.Flow{line(ownerA, 1, 1, openflow.Meter{ID: meterA}, flow.Goto(2)), line(ownerA, 2, 1, toGroup(groupA)), line(ownerA, 2, 2)}
	s.set(r, meters, groups, append([]flow.Flow{notTaken(ownerB)}, good...)...)
	r.await("port-2 to be in error", func() bool { return r.states["port-2"].Status == intent.PortError })
	o.holds(flow.State{Flows: good, Groups: groups, Meters: meters})
	o.holds(s.set(r, nil, nil, good[2]))
}

// refuseBundles passes on all that a controller sends but bundles, which it
// refuses as a switch does that does not know them. It returns where it listens.
func refuseBundles(t testing.TB, controller string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", controller)
			if err != nil {
				_ = down.Close()
				continue
			}
			var mu sync.Mutex // messages are written whole
			write := func(to net.Conn, frame []byte) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := to.Write(frame)
				return err
			}
			pass := func(from, to net.Conn, filter func(frame []byte) bool) {
				defer func() { _, _ = from.Close(), to.Close() }()
				for {
					head := make([]byte, openflow.HeaderLen)
					if _, err := io.ReadFull(from, head); err != nil {
						return
					}
					frame := append(head, make([]byte, int(binary.BigEndian.Uint16(head[2:]))-len(head))...)
					if _, err := io.ReadFull(from, frame[len(head):]); err != nil {
						return
					}
					if filter(frame) && write(to, frame) != nil {
						return
					}
				}
			}
			go pass(down, up, func([]byte) bool { return true })
			go pass(up, down, func(frame []byte) bool {
				h, m, err := openflow.Decode(frame)
				switch m.(type) {
				case *openflow.BundleControl, *openflow.BundleAdd:
					refusal := &openflow.Error{ErrType: openflow.ErrorBadRequest, Code: openflow.BadRequestExperimenter, Data: frame[:min(64, len(frame))]}
					return err == nil && write(up, openflow.AppendMessage(nil, h.XID, refusal)) != nil
				}
				return true
			})
		}
	}()
	return ln.Addr().String()
}
