package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

const dpid intent.DPID = 7

// rig is a reconciler with an intent that the test changes, a record of the
// facts it writes, and a clock that the test moves.
type rig struct {
	t          testing.TB
	addr       string
	reconciler *Reconciler
	stop       func() // ends the reconciler, as a restart of the controller would
	cfg        Config
	metrics    *Metrics
	logs       *observer.ObservedLogs

	mu     sync.Mutex
	state  *intent.State
	now    time.Time
	saved  intent.Switch
	states map[string]intent.PortState
	wake   chan struct{} // closed and replaced with every fact
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	r := &rig{
		t: t, state: intent.NewState(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		states: map[string]intent.PortState{}, wake: make(chan struct{}),
	}
	r.cfg = Config{Audit: time.Hour, Retry: 10 * time.Millisecond, Pause: time.Millisecond, Now: r.clock}
	for _, f := range change {
		f(&r.cfg)
	}
	r.start()
	return r
}

// start runs a new reconciler on the same intent.
func (r *rig) start() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	core, logs := observer.New(zap.InfoLevel)
	log := zap.New(core)
	r.logs, r.metrics = logs, NewMetrics(prometheus.NewRegistry())
	r.reconciler = New(r, r, log, r.metrics, r.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- session.Serve(ctx, ln, session.Config{Log: log, PacketIns: PacketIns, Classify: Classify}, r.reconciler.Serve)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
}

// restart replaces the reconciler by a new one, as a new controller process
// would be, and lets the switch connect to it.
func (r *rig) restart(sw *switchtest.Switch) {
	r.t.Helper()
	r.stop()
	r.mu.Lock()
	r.saved = intent.Switch{}
	r.mu.Unlock()
	r.start()
	sw.Connect(r.t, r.addr)
	r.await("the switch to be back", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) Neighbour(q intent.Question) (intent.Neighbour, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Neighbour(q)
}

func (r *rig) Client(port string) (intent.Client, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Client(port)
}

func (r *rig) QoSPolicyID(num uint32) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.QoSPolicyID(num)
}

func (r *rig) View(d intent.DPID, ports []intent.SwitchPort) *intent.View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.View(d, ports, intent.UnmanagedLearn)
}

func (r *rig) SaveSwitch(_ context.Context, s intent.Switch) error {
	r.fact(func() { r.saved = s })
	return nil
}

func (r *rig) SavePortStates(_ context.Context, d intent.DPID, states []intent.PortState) error {
	r.fact(func() {
		for _, s := range states {
			r.states[s.ID] = s
		}
	})
	return nil
}

func (r *rig) fact(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.wake)
	r.wake = make(chan struct{})
}

// await waits until the recorded facts satisfy cond.
func (r *rig) await(what string, cond func() bool) {
	r.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok, wake := cond(), r.wake
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-wake:
		case <-timeout:
			r.t.Fatalf("waited in vain for %s; switch %+v, ports %+v", what, r.saved, r.states)
		}
	}
}

// change applies a change of intent, tells the reconciler, and waits until the switch has realized it.
func (r *rig) change(f func(s *intent.State, t intent.Touched)) {
	r.t.Helper()
	touched := intent.Touched{dpid: {}}
	r.mu.Lock()
	f(r.state, touched)
	r.state.Revision++
	revision, moved := r.state.Revision, r.state.TakeMoved()
	r.mu.Unlock()
	r.reconciler.Touch(touched)
	r.reconciler.Moved(moved)
	r.await(fmt.Sprintf("revision %d to be realized", revision), func() bool { return r.saved.Realized == revision })
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func blue(s *intent.State, t intent.Touched) {
	s.PutNetwork(intent.Network{Meta: intent.Meta{ID: "blue"}, VNI: 77, AdminUp: true}, t)
	s.PutGroup(intent.SecurityGroup{Meta: intent.Meta{ID: "open"}, Num: 1, Rules: []intent.Rule{
		{Num: 1, GroupID: "open", Direction: intent.Egress, EtherType: intent.IPv4},
		{Num: 2, GroupID: "open", Direction: intent.Ingress, EtherType: intent.IPv4},
	}}, t)
}

// plugged is an intent with the network blue and a port 1, 2… at each of the
// given places.
func plugged(places ...uint32) func(*intent.State, intent.Touched) {
	return func(s *intent.State, t intent.Touched) {
		blue(s, t)
		for i, no := range places {
			s.PutPort(port(uint32(i+1), no), t)
		}
	}
}

func port(num, no uint32) intent.Port {
	return intent.Port{
		Meta: intent.Meta{ID: fmt.Sprintf("port-%d", num)}, Num: num, NetworkID: "blue", AdminUp: true,
		MAC: mac.Addr(0x020000000000 + uint64(num)), SecurityGroups: []string{"open"},
		FixedIPs: []intent.FixedIP{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(num)})}},
		Binding:  intent.Binding{Host: dpid.String(), PortNo: no},
	}
}

// counted returns the number of flow-mods that the switch has carried out so
// far. What it was only asked whether it would is not among them.
func counted(sw *switchtest.Switch) func() int {
	var n atomic.Int64
	sw.SetRefuse(func(m openflow.Message) *openflow.Error {
		if _, ok := m.(*openflow.FlowMod); ok {
			n.Add(1)
		}
		return nil
	})
	return func() int { return int(n.Load()) }
}

// held is what the switch holds, in canonical form.
func held(t testing.TB, sw *switchtest.Switch) flow.Set {
	t.Helper()
	var flows []flow.Flow
	for _, s := range sw.Flows() {
		f, err := flow.FromStats(s)
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	set, err := flow.NewSet(flows)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// at is the flow with a key, the zero value if there is none.
func at(s flow.Set, k flow.Key) flow.Flow {
	f, _ := s.Find(k)
	return f
}

// settled checks that the switch holds exactly what the pipeline says.
func (r *rig) settled(sw *switchtest.Switch, n int) {
	r.t.Helper()
	var ports []intent.SwitchPort
	for no := 1; no <= n; no++ {
		ports = append(ports, intent.SwitchPort{No: uint32(no), Name: fmt.Sprintf("p%d", no), Up: true})
	}
	want := pipeline.Flows(r.View(dpid, ports))
	if got := held(r.t, sw); !slices.Equal(want, got) {
		r.t.Errorf("the switch holds other flows than the pipeline says (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func connect(t *testing.T, r *rig, ports int) *switchtest.Switch {
	t.Helper()
	sw := switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(ports)})
	r.await("the switch to be realized", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
	return sw
}

func TestASwitchThatConnectsGetsItsFlowsAndItsPortsBecomeActive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	r.change(plugged(1, 2, 9))
	r.await("states", func() bool { return len(r.states) == 3 })
	r.settled(sw, 4)
	want := map[string]intent.PortState{
		"port-1": {ID: "port-1", Num: 1, Status: intent.PortActive},
		"port-2": {ID: "port-2", Num: 2, Status: intent.PortActive},
		"port-3": {ID: "port-3", Num: 3, Status: intent.PortDown, Reason: "switch 0000000000000007 has no port number 9"},
	}
	if diff := cmp.Diff(want, r.states); diff != "" {
		t.Errorf("port states (-want +got):\n%s", diff)
	}
}

func TestAReconnectWithNothingChangedSendsNoFlowMod(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	r.change(plugged(1))
	flowMods := counted(sw)
	for range 3 {
		r.restart(sw)
	}
	if got := flowMods(); got != 0 {
		t.Errorf("%d flow-mods, want none", got)
	}
}

func TestAChangeSendsOnlyTheDifference(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	r.change(plugged(1, 2))
	flowMods, flows := counted(sw), held(t, sw)
	renamed := port(2, 2)
	renamed.FixedIPs[0].Addr = netip.MustParseAddr("10.0.0.22")
	r.change(func(s *intent.State, touched intent.Touched) { s.PutPort(renamed, touched) })
	r.settled(sw, 4)
	difference := flow.Diff(flow.State{Flows: flows}, flow.State{Flows: held(t, sw)})
	differ := difference.Len()
	if got := flowMods(); got != differ || got == 0 {
		t.Errorf("%d flow-mods for %d flows that differ", got, differ)
	}
	flowMods = counted(sw)
	r.change(func(s *intent.State, touched intent.Touched) { s.PutPort(renamed, touched) })
	if got := flowMods(); got != 0 {
		t.Errorf("%d flow-mods for a change of nothing", got)
	}
}

func TestARefusedFlowPutsItsOwnerInErrorAndNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 4)
	owner := uint64(pipeline.NewCookie(pipeline.KindPort, 2))
	sw.SetRefuse(func(m openflow.Message) *openflow.Error {
		if mod, ok := m.(*openflow.FlowMod); ok && mod.Cookie == owner && mod.TableID == 31 {
			return &openflow.Error{ErrType: 5, Code: 1} // OFPET_FLOW_MOD_FAILED, OFPFMFC_TABLE_FULL
		}
		return nil
	})
	r.change(plugged(1, 2))
	r.await("states", func() bool { return len(r.states) == 2 && r.saved.Error != "" })
	if got := r.states["port-1"].Status; got != intent.PortActive {
		t.Errorf("port-1 is %v, want ACTIVE", got)
	}
	if got := r.states["port-2"]; got.Status != intent.PortError || got.Reason == "" {
		t.Errorf("port-2 is %+v, want ERROR with a reason", got)
	}
	// When the switch has room again, the next read-back tries once more.
	sw.SetRefuse(nil)
	sw.Disconnect()
	sw.Connect(t, r.addr)
	r.await("port-2 to recover", func() bool { return r.states["port-2"].Status == intent.PortActive && r.saved.Error == "" })
	r.settled(sw, 4)
}

func TestASwitchWithoutBundlesIsServedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := switchtest.Dial(t, r.addr, switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(2), NoBundles: true})
	r.change(plugged(1))
	r.settled(sw, 2)
}

func TestAForeignFlowIsLeftAloneAndCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := switchtest.New(switchtest.Options{DPID: uint64(dpid), Ports: switchtest.Ports(2)})
	stranger := flow.Flow{Table: 77, Priority: 5, Cookie: 0xabc, Match: flow.NewMatch(flow.InPort(1))}
	install(t, sw, stranger)
	sw.Connect(t, r.addr)
	r.await("the foreign flow to be counted", func() bool { return r.saved.ForeignFlows == 1 })
	if got := at(held(t, sw), stranger.Key()); got != stranger {
		t.Errorf("foreign flow is now %v", got)
	}
}

// install puts flows into a switch by hand, over a connection of its own.
func install(t *testing.T, sw *switchtest.Switch, flows ...flow.Flow) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		_ = session.Serve(ctx, ln, session.Config{}, func(ctx context.Context, c *session.Conn) {
			var mods []openflow.Message
			for _, f := range flows {
				mods = append(mods, f.Add())
			}
			done <- c.Commit(ctx, mods)
		})
	}()
	sw.Connect(t, ln.Addr().String())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	sw.Disconnect()
}

func TestFlowsThatASwitchLostAreRestoredWhenItComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 2)
	r.change(plugged(1))
	sw.Disconnect()
	r.await("the disconnection to be recorded", func() bool { return !r.saved.Connected })
	sw.Restart()
	sw.Connect(t, r.addr)
	r.await("the switch to be back", func() bool { return r.saved.Connected && r.saved.Realized == r.state.Revision })
	r.settled(sw, 2)
}

// A switch that does not report what others do is read back by the audit.
func TestTheAuditRestoresFlowsThatVanished(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Audit = 20 * time.Millisecond })
	sw := connect(t, r, 2)
	r.change(plugged(1))
	n := len(held(t, sw))
	sw.Restart()
	r.await("the repair", func() bool { return r.saved.Repaired > 0 })
	r.settled(sw, 2)
	var metric dto.Metric
	if err := r.metrics.repaired.Write(&metric); err != nil {
		t.Fatal(err)
	}
	if got := metric.GetCounter().GetValue(); int64(got) != r.facts().Repaired || int(got) != n {
		t.Errorf("%v repairs in the metric, %d of the switch, want %d", got, r.facts().Repaired, n)
	}
}

func TestTheConnectionsOfAPortThatGoesAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 3)
	r.change(plugged(1, 2))
	r.change(func(s *intent.State, touched intent.Touched) { s.DeletePort("port-1", touched) })
	sw.Await(t, "zone 1 to be flushed", func() bool { return cmp.Equal(sw.FlushedZones(), []uint16{1}) })
	// Another port takes the place, then the same port changes its address: only the first flushes.
	r.change(func(s *intent.State, touched intent.Touched) {
		s.DeletePort("port-2", touched)
		s.PutPort(port(3, 2), touched)
	})
	moved := port(3, 2)
	moved.FixedIPs[0].Addr = netip.MustParseAddr("10.0.0.33")
	r.change(func(s *intent.State, touched intent.Touched) { s.PutPort(moved, touched) })
	if diff := cmp.Diff([]uint16{1, 2}, sw.FlushedZones()); diff != "" {
		t.Errorf("flushed zones (-want +got):\n%s", diff)
	}
}

func TestPortsThatAppearAndVanishAreFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 1)
	named := port(1, 0)
	named.Binding.InterfaceName = "tap0"
	r.change(func(s *intent.State, touched intent.Touched) {
		blue(s, touched)
		s.PutPort(named, touched)
	})
	r.await("the port to wait for its interface", func() bool { return r.states["port-1"].Status == intent.PortDown })
	sw.SetPort(t, openflow.Port{No: 5, Name: "tap0"})
	r.await("the port to be active", func() bool { return r.states["port-1"].Status == intent.PortActive })
	sw.RemovePort(t, 5)
	r.await("the port to be down", func() bool { return r.states["port-1"].Status == intent.PortDown })
	r.settled(sw, 1)
}

func TestTheOlderConnectionOfADatapathGivesWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	older := connect(t, r, 2)
	newer := connect(t, r, 2)
	older.Await(t, "the older connection to be closed", func() bool { return !older.Connected() })
	r.change(blue)
	r.settled(newer, 2)
	r.reconciler.mu.Lock()
	defer r.reconciler.mu.Unlock()
	if n := len(r.reconciler.live); n != 1 {
		t.Errorf("%d switches connected, want 1", n)
	}
}

// Two switches with one datapath id close each other's connections for ever; it is said at the
// switch until one of them is gone.
func TestSwitchesWithTheSameDatapathIDAreToldOf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wrong := func(want string) func() bool {
		return func() bool { return (want == "") == (r.saved.Error == "") && strings.Contains(r.saved.Error, want) }
	}
	one := connect(t, r, 2)
	r.mu.Lock()
	first := r.saved.Address
	r.mu.Unlock()
	two := connect(t, r, 2)
	one.Await(t, "the older connection to be closed", func() bool { return !one.Connected() })
	r.await("a switch that came back to be all right", func() bool { return r.saved.Address != first && wrong("")() })
	one.Connect(t, r.addr)
	two.Await(t, "the older connection to be closed", func() bool { return !two.Connected() })
	r.await("the rivals to be told of", wrong("same datapath id"))
	r.change(blue)
	r.settled(one, 2)
	r.await("the rivals to be told of still", wrong("same datapath id"))
	r.advance(rivalry)
	r.reconciler.TouchAll()
	r.await("the one that stays to be all right", wrong(""))
}

// Whatever the history, the switch ends up with what the pipeline says, and
// undoing every change leaves what was there before it.
func TestAnyHistoryOfChangesEndsInThePipelinesFlows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sw := connect(t, r, 6)
	r.change(blue)
	empty := held(t, sw)
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		r.change(func(s *intent.State, touched intent.Touched) {
			for range 1 + rnd.IntN(3) {
				num := uint32(1 + rnd.IntN(6))
				if rnd.IntN(3) == 0 {
					s.DeletePort(fmt.Sprintf("port-%d", num), touched)
				} else {
					s.PutPort(port(num, uint32(rnd.IntN(8))), touched)
				}
			}
		})
		if rnd.IntN(8) == 0 {
			sw.Disconnect()
			sw.Connect(t, r.addr)
		}
		r.settled(sw, 6)
	}
	r.change(func(s *intent.State, touched intent.Touched) {
		for num := 1; num <= 6; num++ {
			s.DeletePort(fmt.Sprintf("port-%d", num), touched)
		}
	})
	if diff := cmp.Diff(empty, held(t, sw)); diff != "" {
		t.Errorf("flows after everything was undone (-want +got):\n%s", diff)
	}
}
