package session

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/macloom/macloom/southbound/openflow"
)

// bridgeOf starts Open vSwitch with one bridge and returns its session.
func bridgeOf(t *testing.T) (*ovs, *Conn) {
	t.Helper()
	o := startOVS(t)
	conns := make(chan *Conn, 1)
	logs := o.serve("br0", func(ctx context.Context, c *Conn) {
		conns <- c
		<-ctx.Done()
	})
	o.addBridge("br0", "00000000000000ab", "OpenFlow13")
	select {
	case c := <-conns:
		return o, c
	case <-time.After(patient):
		t.Fatalf("the bridge did not come; log: %v", logs.All())
		return nil, nil
	}
}

func group(id uint32, ports ...uint32) *openflow.GroupMod {
	m := &openflow.GroupMod{Command: openflow.GroupAdd, GroupType: openflow.GroupAll, GroupID: id}
	for _, p := range ports {
		m.Buckets = append(m.Buckets, openflow.Bucket{
			WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny, Actions: openflow.NewActions(openflow.ActionOutput{Port: p}),
		})
	}
	return m
}

func meter(id, rate uint32) *openflow.MeterMod {
	return &openflow.MeterMod{
		Command: openflow.MeterAdd, Flags: openflow.MeterPktps, MeterID: id,
		Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: rate}},
	}
}

// toGroup is the n-th flow, to a group.
func toGroup(n int, id uint32) *openflow.FlowMod {
	m := addFlow(n)
	m.Instructions = binary.BigEndian.AppendUint32(openflow.Instructions("\x00\x04\x00\x10\x00\x00\x00\x00\x00\x16\x00\x08"), id)
	return m
}

func TestOpenVSwitchTakesGroupsInABundleAndMetersAndPortsBesideIt(t *testing.T) {
	t.Parallel()
	o, c := bridgeOf(t)
	ctx := t.Context()
	portMod := &openflow.PortMod{PortNo: 1, Config: openflow.PortConfigNoPacketIn, Mask: openflow.PortConfigNoPacketIn}
	if err := Parts(ctx, c, &openflow.PortDescRequest{}, func(r *openflow.PortDescReply) error {
		for _, p := range r.Ports {
			if p.No == 1 {
				portMod.HWAddr = p.HWAddr
			}
		}
		return nil
	}, Limit(1<<20)); err != nil {
		t.Fatal(err)
	}

	// A flow to a group that comes later in the same bundle is refused: the order counts.
	err := c.Commit(ctx, []openflow.Message{toGroup(1, 7), group(7, 1)})
	var ce *CommitError
	if !errors.As(err, &ce) || ce.Index != 0 || ce.Partial || !strings.Contains(err.Error(), "OFPBAC_BAD_OUT_GROUP") {
		t.Fatalf("a flow before its group: error %v", err)
	}
	if err := c.Commit(ctx, []openflow.Message{meter(3, 100), group(7, 1), toGroup(1, 7), portMod, addFlow(2), meter(4, 200)}); err != nil {
		t.Fatal(err)
	}
	if got := len(o.dumpFlows("br0")); got != 2 {
		t.Errorf("%d flows, want 2", got)
	}
	groups := o.Ofctl("dump-groups", "br0")
	if !strings.Contains(groups, "group_id=7,type=all,bucket=actions=output:1") {
		t.Errorf("groups: %s", groups)
	}
	meters := o.Ofctl("dump-meters", "br0")
	if !strings.Contains(meters, "meter=3") || !strings.Contains(meters, "meter=4") {
		t.Errorf("meters: %s", meters)
	}
	if desc := o.Ofctl("dump-ports-desc", "br0"); !strings.Contains(desc, "NO_PACKET_IN") {
		t.Errorf("ports: %s", desc)
	}

	// Each failure is named, in whatever part of the bundle it is.
	for name, test := range map[string]struct {
		msgs    []openflow.Message
		index   int
		partial bool
		want    string
	}{
		"a group that exists": {[]openflow.Message{addFlow(10), addFlow(11), group(7, 1), addFlow(12)}, 2, false, "OFPGMFC_GROUP_EXISTS"},
		"a group with a bucket to nowhere": {
			[]openflow.Message{addFlow(10), &openflow.GroupMod{Command: openflow.GroupModify, GroupType: openflow.GroupAll, GroupID: 99}}, 1, false, "OFPGMFC_UNKNOWN_GROUP",
		},
		"a port that is not there": {
			[]openflow.Message{addFlow(10), &openflow.PortMod{PortNo: 77, Config: openflow.PortConfigNoPacketIn, Mask: openflow.PortConfigNoPacketIn}}, 1, true, "OFPPMFC_BAD_PORT",
		},
		"a meter that exists, after flows that take effect": {
			[]openflow.Message{addFlow(10), addFlow(11), meter(3, 5), addFlow(12)}, 2, true, "OFPMMFC_METER_EXISTS",
		},
	} {
		err := c.Commit(ctx, test.msgs)
		if !errors.As(err, &ce) || ce.Index != test.index || ce.Partial != test.partial || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v", name, err)
		}
		want := 2
		if test.partial {
			want += test.index // and nothing that came behind
		}
		if got := len(o.dumpFlows("br0")); got != want {
			t.Errorf("%s: %d flows, want %d", name, got, want)
		}
		if test.partial {
			remove := []openflow.Message{addFlow(10), addFlow(11)}
			for _, m := range remove {
				m.(*openflow.FlowMod).Command = openflow.FlowDeleteStrict
			}
			if err := c.Commit(ctx, remove); err != nil {
				t.Fatal(err)
			}
		}
	}

	// What does not fit a bundle is not our assumption.
	inBundle := func(m openflow.Message) error {
		id := c.bundleID.Add(1)
		control := func(ctrl openflow.BundleCtrl) error {
			_, err := c.Request(ctx, &openflow.BundleControl{BundleID: id, Ctrl: ctrl, Flags: bundleFlags})
			return err
		}
		if err := control(openflow.BundleOpenRequest); err != nil {
			return err
		}
		add := []openflow.Message{m}
		s := c.newSpan(add)
		defer c.calls.removeSpan(s)
		if err := c.send(s.first, add, &openflow.BundleAdd{BundleID: id, Flags: bundleFlags}); err != nil {
			return err
		}
		err := control(openflow.BundleCommitRequest)
		if refused := c.failure(s, add, false); refused != nil {
			return refused
		}
		return err
	}
	if err := inBundle(meter(9, 9)); err == nil || !strings.Contains(err.Error(), "OFPBFC_MSG_UNSUP") {
		t.Errorf("a meter in a bundle: error %v", err)
	}
	if err := inBundle(portMod); err == nil || !strings.Contains(err.Error(), "OFPBFC_MSG_FAILED") {
		t.Errorf("a port in an atomic bundle: error %v", err)
	}
}

func TestOpenVSwitchRefusesAStaleMasterAndItsFlows(t *testing.T) {
	t.Parallel()
	o := startOVS(t)
	conns := make(chan *Conn, 2)
	var targets []string
	for _, name := range []string{"br0.controller", "other.controller"} {
		ln, err := net.Listen("unix", o.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() {
			served <- Serve(ctx, ln, Config{Log: zap.NewNop()}, func(ctx context.Context, c *Conn) {
				conns <- c
				<-ctx.Done()
			})
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		targets = append(targets, "unix:"+o.Path(name))
	}
	o.addBridge("br0", "00000000000000ab", "OpenFlow13")
	o.Vsctl(append([]string{"set-controller", "br0"}, targets...)...)
	next := func() *Conn {
		select {
		case c := <-conns:
			return c
		case <-time.After(patient):
			t.Fatal("the bridge did not come")
			return nil
		}
	}
	ctx := t.Context()
	first, second := next(), next()
	if role, _ := first.Role(); role != openflow.RoleEqual {
		t.Errorf("role %d at first, want equal", role)
	}
	if err := first.SetRole(ctx, openflow.RoleMaster, 10); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(ctx, addFlows(10)); err != nil {
		t.Fatal(err)
	}
	if err := second.SetRole(ctx, openflow.RoleMaster, 11); err != nil {
		t.Fatal(err)
	}
	// The switch tells the first what it has become.
	for n := range first.Notices() {
		if _, ok := n.Message.(*openflow.RoleStatus); ok {
			break
		}
	}
	if role, generation := first.Role(); role != openflow.RoleSlave || generation != 11 {
		t.Errorf("the old master has role %d of generation %d, want slave of 11", role, generation)
	}
	var ce *CommitError
	for _, msgs := range [][]openflow.Message{addFlows(20)[10:], {addFlow(30)}} {
		if err := first.Commit(ctx, msgs); err == nil || !strings.Contains(err.Error(), "OFPBRC_IS_SLAVE") || errors.As(err, &ce) && ce.Index != 0 {
			t.Errorf("%d flows of the old master: error %v", len(msgs), err)
		}
	}
	var stale *StaleRoleError
	if err := first.SetRole(ctx, openflow.RoleMaster, 10); !errors.As(err, &stale) || stale.GenerationID != 10 {
		t.Errorf("a stale generation: error %v", err)
	}
	if role, _ := first.Role(); role != openflow.RoleSlave {
		t.Errorf("role %d after a refusal, want that of before", role)
	}
	if got := len(o.dumpFlows("br0")); got != 10 {
		t.Errorf("%d flows, want the 10 of the master that was", got)
	}
	if err := first.SetRole(ctx, openflow.RoleMaster, 12); err != nil {
		t.Errorf("the next generation: %v", err)
	}
	if err := first.Commit(ctx, addFlows(20)); err != nil {
		t.Errorf("flows of the new master: %v", err)
	}
}

func TestOpenVSwitchReportsFlowsOfOthersToAMonitor(t *testing.T) {
	t.Parallel()
	o, c := bridgeOf(t)
	if err := c.Commit(t.Context(), addFlows(500)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type change struct {
		cookie uint64
		event  openflow.FlowEvent
		update bool
	}
	changes := make(chan change, 2000)
	done := make(chan error, 1)
	request := &openflow.FlowMonitorRequest{Monitors: []openflow.FlowMonitor{{
		ID: 5, OutPort: openflow.PortAny, TableID: openflow.TableAll,
		Flags: openflow.MonitorInitial | openflow.MonitorAdd | openflow.MonitorDelete | openflow.MonitorModify,
	}}}
	go func() {
		done <- c.Monitor(ctx, request, func(list openflow.FlowUpdates, update bool) error {
			for u := range list.All() {
				changes <- change{u.Cookie, u.Event, update}
			}
			return nil
		})
	}()
	next := func() change {
		select {
		case ch := <-changes:
			return ch
		case err := <-done:
			t.Fatalf("the monitor ended: %v", err)
		case <-time.After(patient):
			t.Fatal("no report")
		}
		return change{}
	}
	seen := map[uint64]bool{}
	for range 500 {
		ch := next()
		if ch.update || ch.event != openflow.FlowAdded {
			t.Fatalf("%+v among the flows that there are", ch)
		}
		seen[ch.cookie] = true
	}
	if len(seen) != 500 {
		t.Errorf("%d flows at first, want 500", len(seen))
	}
	wantErr(t, c.Monitor(ctx, request, nil), ErrMonitoring)
	for i, command := range []string{"add-flow", "del-flows"} {
		o.Ofctl(command, "br0", map[string]string{
			"add-flow": "cookie=0x7777,priority=5,in_port=9,actions=drop", "del-flows": "cookie=0x7777/-1",
		}[command])
		want := change{0x7777, []openflow.FlowEvent{openflow.FlowAdded, openflow.FlowDeleted}[i], true}
		if got := next(); got != want {
			t.Errorf("%s: %+v, want %+v", command, got, want)
		}
	}
	if err := c.Barrier(t.Context()); err != nil { // with a monitor there, answers come as ever
		t.Error(err)
	}
	cancel()
	wantErr(t, <-done, context.Canceled)
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Cancelled: nothing comes any more, neither there nor as a notice.
	o.Ofctl("add-flow", "br0", "priority=6,in_port=9,actions=drop")
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(changes); n != 0 {
		t.Errorf("%d reports after the end", n)
	}
	for len(c.Notices()) > 0 {
		if n := <-c.Notices(); n.Message.MsgType() == openflow.TypeMultipartReply {
			t.Errorf("notice after the end: %#v", n.Message)
		}
	}
}

func TestOpenVSwitchAnswersAsyncConfigAndSendsPacketInsOfTheSecondForm(t *testing.T) {
	t.Parallel()
	o, c := bridgeOf(t)
	ctx := t.Context()
	set := openflow.AsyncConfig{PacketIn: [2]uint32{2, 0}, PortStatus: [2]uint32{1, 0}, FlowRemoved: [2]uint32{4, 0}}
	if err := c.Send(&openflow.SetAsync{AsyncConfig: set}, &openflow.SetPacketInFormat{Format: openflow.PacketInNXT2}); err != nil {
		t.Fatal(err)
	}
	m, err := c.Request(ctx, &openflow.GetAsyncRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(*openflow.GetAsyncReply).AsyncConfig; got.PortStatus != set.PortStatus || got.FlowRemoved != set.FlowRemoved {
		t.Errorf("asynchronous messages %+v, want %+v", got, set)
	}
	o.Ofctl("add-flow", "br0",
		"cookie=0x1234,priority=9,in_port=1,actions=controller(userdata=01.02.03,max_len=128)")
	o.Ofctl("packet-out", "br0",
		"in_port=1 packet=ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0a80002 actions=table")
	batch, err := c.PacketIns(0).Take(ctx, nil)
	if err != nil || len(batch) != 1 {
		t.Fatalf("packet-ins %v, error %v", batch, err)
	}
	p := batch[0]
	if in, _ := p.InPort(); in != 1 || p.Cookie != 0x1234 || string(p.Userdata) != "\x01\x02\x03" || len(p.Data) != 42 {
		t.Errorf("packet-in %+v", p)
	}
}
