package openflow

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macloom/macloom/southbound/ovstest"
)

// ovsConn is the least of an OpenFlow session. What it reads it also encodes
// again, to the same bytes.
type ovsConn struct {
	net.Conn
	r   *bufio.Reader
	xid uint32
}

func dialOVS(t *testing.T, path string) *ovsConn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &ovsConn{Conn: conn, r: bufio.NewReader(conn)}
	c.do(t, &Hello{Bitmap: 1 << Version13})
	return c
}

func (c *ovsConn) send(t *testing.T, m Message) uint32 {
	t.Helper()
	c.xid++
	if _, err := c.Write(AppendMessage(nil, c.xid, m)); err != nil {
		t.Fatal(err)
	}
	return c.xid
}

func (c *ovsConn) read(t *testing.T) (Header, Message) {
	t.Helper()
	head, err := c.r.Peek(HeaderLen)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, be.Uint16(head[2:]))
	if _, err := io.ReadFull(c.r, frame); err != nil {
		t.Fatal(err)
	}
	h, m, err := Decode(frame)
	if err != nil {
		t.Fatalf("%v\n%x", err, frame)
	}
	switch m.(type) {
	case *Hello, *Error: // a hello of version 1.4 and more, and the request itself
		return h, m
	}
	if got := AppendMessage(nil, h.XID, m); !bytes.Equal(got, frame) {
		t.Errorf("%T encodes again to other bytes (-from the switch +ours):\n%s", m, cmp.Diff(hex.Dump(frame), hex.Dump(got)))
	}
	return h, m
}

// do sends messages and returns what the switch says until it has done them.
func (c *ovsConn) do(t *testing.T, messages ...Message) []Message {
	t.Helper()
	for _, m := range messages {
		c.send(t, m)
	}
	barrier := c.send(t, &BarrierRequest{})
	var answers []Message
	for {
		h, m := c.read(t)
		switch m := m.(type) {
		case *BarrierReply:
			if h.XID == barrier {
				return answers
			}
		case *Hello, *PortStatus:
			continue
		case *Error:
			t.Errorf("xid %#x refused: %v", h.XID, m)
		}
		answers = append(answers, m)
	}
}

// ask sends a request that is answered with one message of type M.
func ask[M Message](t *testing.T, c *ovsConn, request Message) M {
	t.Helper()
	answers := c.do(t, request)
	if len(answers) == 1 {
		if m, ok := answers[0].(M); ok {
			return m
		}
	}
	t.Fatalf("%T was answered with %v", request, answers)
	panic("unreachable")
}

// askBody asks for a multipart body of type B.
func askBody[B MultipartBody](t *testing.T, c *ovsConn, body MultipartBody) B {
	t.Helper()
	reply := ask[*MultipartReply](t, c, &MultipartRequest{Body: body})
	b, ok := reply.Body.(B)
	if !ok {
		t.Fatalf("%T was answered with %T", body, reply.Body)
	}
	return b
}

func same(t *testing.T, what string, want, got any, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestOVSUnderstandsEveryRequest sends every kind of request to a real Open
// vSwitch and compares its answers with what they have to be.
func TestOVSUnderstandsEveryRequest(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	bridge := func(t *testing.T, name string) *ovsConn {
		c := dialOVS(t, ovs.AddBridge(name))
		ovs.Vsctl("add-port", name, name+"p1", "--", "set", "interface", name+"p1", "ofport_request=1", "type=dummy")
		return c
	}
	t.Run("groups", func(t *testing.T) {
		t.Parallel()
		c := bridge(t, "g")
		all := &GroupMod{Command: GroupAdd, GroupType: GroupAll, GroupID: 1, Buckets: []Bucket{
			{WatchPort: PortAny, WatchGroup: GroupAny, Actions: NewActions(ActionOutput{Port: 1})},
			{WatchPort: PortAny, WatchGroup: GroupAny, Actions: NewActions(ActionSetField{oxm(EthSrc, "\x02\x00\x00\x00\x00\x01")}, ActionOutput{Port: PortInPort})},
		}}
		selects := &GroupMod{Command: GroupAdd, GroupType: GroupSelect, GroupID: 0xfffffeff, Buckets: []Bucket{
			{Weight: 300, WatchPort: PortAny, WatchGroup: GroupAny, Actions: NewActions(ActionOutput{Port: 1})},
		}}
		failover := &GroupMod{Command: GroupAdd, GroupType: GroupFastFailover, GroupID: 7, Buckets: []Bucket{
			{WatchPort: 1, WatchGroup: GroupAny, Actions: NewActions(ActionOutput{Port: 1})}, {WatchPort: PortAny, WatchGroup: 1},
		}}
		empty := &GroupMod{Command: GroupAdd, GroupType: GroupIndirect, GroupID: 9, Buckets: []Bucket{{WatchPort: PortAny, WatchGroup: GroupAny}}}
		if got := c.do(t, all, selects, failover, empty); len(got) != 0 {
			t.Fatalf("group-mods were answered with %v", got)
		}
		var want []GroupDesc
		for _, m := range []*GroupMod{all, selects, failover, empty} {
			want = append(want, GroupDesc{GroupType: m.GroupType, GroupID: m.GroupID, Buckets: m.Buckets})
		}
		byID := cmpopts.SortSlices(func(a, b GroupDesc) bool { return a.GroupID < b.GroupID })
		same(t, "group desc", want, askBody[*GroupDescReply](t, c, &GroupDescRequest{}).Groups, byID)

		c.do(t, &GroupMod{Command: GroupModify, GroupType: GroupIndirect, GroupID: 9, Buckets: all.Buckets[:1]}, &GroupMod{Command: GroupDelete, GroupID: 7})
		stats := askBody[*GroupStatsReply](t, c, &GroupStatsRequest{GroupID: 1}).Groups
		same(t, "group stats", []GroupStats{{GroupID: 1, Buckets: make([]Counter, 2)}}, stats, cmpopts.IgnoreFields(GroupStats{}, "DurationSec", "DurationNsec"))
		if got := askBody[*GroupStatsReply](t, c, &GroupStatsRequest{GroupID: AllGroups}).Groups; len(got) != 3 {
			t.Errorf("%d groups, want 3", len(got))
		}
		features := askBody[*GroupFeatures](t, c, &GroupFeaturesRequest{})
		if features.Types != 0xf || features.Capabilities&GroupSelectWeight == 0 || features.MaxGroups[GroupSelect] == 0 || features.Actions[GroupAll]&1 == 0 {
			t.Errorf("group features %+v", features)
		}
		c.do(t, &GroupMod{Command: GroupDelete, GroupID: AllGroups})
		same(t, "groups after all are deleted", 0, len(askBody[*GroupDescReply](t, c, &GroupDescRequest{}).Groups))
	})
	t.Run("meters", func(t *testing.T) {
		t.Parallel()
		c := bridge(t, "m")
		features := askBody[*MeterFeatures](t, c, &MeterFeaturesRequest{})
		if features.MaxMeter == 0 || features.BandTypes&(1<<BandDrop) == 0 || features.Capabilities&uint32(MeterPktps) == 0 {
			t.Fatalf("meter features %+v", features)
		}
		mod := &MeterMod{Flags: MeterKbps | MeterBurst | MeterStats, MeterID: 5, Bands: sampleBands[:1]}
		c.do(t, mod, &MeterMod{Flags: MeterPktps | MeterStats, MeterID: 6, Bands: []MeterBand{{Type: BandDrop, Rate: 9}}})
		want := []MeterConfig{{Flags: mod.Flags, MeterID: mod.MeterID, Bands: mod.Bands}}
		same(t, "meter config", want, askBody[*MeterConfigReply](t, c, &MeterConfigRequest{MeterID: 5}).Meters)
		stats := askBody[*MeterStatsReply](t, c, &MeterStatsRequest{MeterID: 5}).Meters
		same(t, "meter stats", []MeterCounters{{MeterID: 5, Bands: make([]Counter, 1)}}, stats, cmpopts.IgnoreFields(MeterCounters{}, "DurationSec", "DurationNsec"))
		c.do(t, &MeterMod{Command: MeterModify, Flags: MeterPktps | MeterStats, MeterID: 5, Bands: []MeterBand{{Type: BandDrop, Rate: 7}}})
		if got := askBody[*MeterConfigReply](t, c, &MeterConfigRequest{MeterID: AllMeters}).Meters; len(got) != 2 || got[0].Bands[0].Rate != 7 && got[1].Bands[0].Rate != 7 {
			t.Errorf("meters %+v", got)
		}
		c.do(t, &MeterMod{Command: MeterDelete, MeterID: AllMeters})
		same(t, "meters after all are deleted", 0, len(askBody[*MeterConfigReply](t, c, &MeterConfigRequest{MeterID: AllMeters}).Meters))
	})
	t.Run("ports, queues and tables", func(t *testing.T) {
		t.Parallel()
		c := bridge(t, "p")
		var one Port
		for _, p := range askBody[*PortDescReply](t, c, &PortDescRequest{}).Ports {
			if p.No == 1 {
				one = p
			}
		}
		if one.Name != "pp1" {
			t.Fatalf("port 1 is %+v", one)
		}
		c.do(t, &PortMod{PortNo: 1, HWAddr: one.HWAddr, Config: PortConfigNoPacketIn, Mask: PortConfigNoPacketIn | PortConfigNoFwd})
		for _, p := range askBody[*PortDescReply](t, c, &PortDescRequest{}).Ports {
			if p.No == 1 && p.Config != one.Config|PortConfigNoPacketIn {
				t.Errorf("config of port 1 is %#x after the port-mod, %#x before", p.Config, one.Config)
			}
		}
		stats := askBody[*PortStatsReply](t, c, &PortStatsRequest{Port: 1}).Ports
		if len(stats) != 1 || stats[0].Port != 1 || stats[0].RxPackets != 0 {
			t.Errorf("port stats %+v", stats)
		}
		if got := askBody[*PortStatsReply](t, c, &PortStatsRequest{Port: PortAny}).Ports; len(got) != 2 {
			t.Errorf("stats of %d ports, want 2", len(got))
		}
		same(t, "queue config", &QueueGetConfigReply{Port: 1}, ask[*QueueGetConfigReply](t, c, &QueueGetConfigRequest{Port: 1}), cmpopts.IgnoreFields(QueueGetConfigReply{}, "Queues"))
		askBody[*QueueStatsReply](t, c, &QueueStatsRequest{Port: PortAny, QueueID: QueueAll})

		c.do(t, &TableMod{TableID: 3, Config: 3}, sampleFlowModTo(3), sampleFlowModTo(3))
		tables := askBody[*TableStatsReply](t, c, &TableStatsRequest{}).Tables
		if len(tables) < 254 || tables[3].TableID != 3 || tables[3].ActiveCount != 1 {
			t.Errorf("%d tables; the fourth is %+v", len(tables), tables[3])
		}
		sums := askBody[*AggregateReply](t, c, &AggregateRequest{TableID: 3, OutPort: PortAny, OutGroup: GroupAny})
		same(t, "aggregate", &AggregateReply{FlowCount: 1}, sums)
		flows := askBody[*FlowStatsReply](t, c, &FlowStatsRequest{TableID: 3, OutPort: PortAny, OutGroup: GroupAny, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"))})
		if len(flows.Flows) != 1 {
			t.Errorf("%d flows, want 1", len(flows.Flows))
		}
		features := c.tableFeatures(t)
		if len(features) < 254 || features[3].TableID != 3 || features[3].MetadataMatch != ^uint64(0) {
			t.Fatalf("features of %d tables; the fourth is %+v", len(features), features[3])
		}
		kinds := map[string]bool{}
		for _, p := range features[3].Properties.List() {
			switch p := p.(type) {
			case InstructionsProperty:
				kinds["instructions"] = len(p.Instructions) > 4
			case NextTablesProperty:
				kinds["next tables"] = len(p.Tables) == 250 && p.Tables[0] == 4
			case ActionsProperty:
				kinds["actions"] = len(p.Actions) > 5
			case MatchProperty:
				kinds["match"] = len(p.Fields) > 50 || p.Wildcards
			case SetFieldProperty:
				kinds["set-field"] = len(p.Fields) > 30
			default:
				t.Errorf("property %x is not understood", p)
			}
		}
		same(t, "properties of table 3", map[string]bool{"instructions": true, "next tables": true, "actions": true, "match": true, "set-field": true}, kinds)
		if got := askBody[*Desc](t, c, &DescRequest{}); got.Hardware != "Open vSwitch" {
			t.Errorf("desc %+v", got)
		}
	})
	t.Run("connection", func(t *testing.T) {
		t.Parallel()
		c := bridge(t, "c")
		async := AsyncConfig{PacketIn: [2]uint32{3, 1}, PortStatus: [2]uint32{6, 4}, FlowRemoved: [2]uint32{0xf, 8}}
		c.do(t, &SetAsync{async})
		same(t, "async", &GetAsyncReply{async}, ask[*GetAsyncReply](t, c, &GetAsyncRequest{}))
		c.do(t, &SetConfig{MissSendLen: 100})
		same(t, "config", &GetConfigReply{MissSendLen: 100}, ask[*GetConfigReply](t, c, &GetConfigRequest{}))
		same(t, "role", &RoleReply{Role: RoleMaster, GenerationID: 9}, ask[*RoleReply](t, c, &RoleRequest{Role: RoleMaster, GenerationID: 9}))
		if got := c.do(t,
			&SetControllerID{ID: 5}, &FlowModTableID{Enable: false}, &CTFlushZone{Zone: 7},
			&CTFlush{Protocol: 6, HasZone: true, Zone: 7, Orig: CTTuple{Src: netip.MustParseAddr("10.0.0.1"), DstPort: 80}},
		); len(got) != 0 {
			t.Errorf("answered with %v", got)
		}
	})
	t.Run("role status", func(t *testing.T) {
		t.Parallel()
		path := ovs.AddBridge("r")
		first, second := dialOVS(t, path), dialOVS(t, path)
		ask[*RoleReply](t, first, &RoleRequest{Role: RoleMaster, GenerationID: 1})
		ask[*RoleReply](t, second, &RoleRequest{Role: RoleMaster, GenerationID: 2})
		same(t, "what the first is told", []Message{&RoleStatus{Role: RoleSlave, Reason: RoleByMaster, GenerationID: 2}}, first.do(t))
	})
	t.Run("packet-in2 and resume", func(t *testing.T) {
		t.Parallel()
		testPacketIn2(t, bridge(t, "i"))
	})
	t.Run("flow monitor", func(t *testing.T) {
		t.Parallel()
		testFlowMonitor(t, bridge(t, "f"))
	})
}

func sampleFlowModTo(table uint8) *FlowMod {
	return &FlowMod{
		TableID: table, Priority: 5, Cookie: 0x5d, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01")), Instructions: NewInstructions(GotoTable{Table: table + 1}),
	}
}

// tableFeatures joins the parts of the answer.
func (c *ovsConn) tableFeatures(t *testing.T) (tables []TableFeatures) {
	t.Helper()
	for _, m := range c.do(t, &MultipartRequest{Body: &TableFeaturesRequest{}}) {
		tables = append(tables, m.(*MultipartReply).Body.(*TableFeaturesReply).Tables...)
	}
	return tables
}

// testPacketIn2 has a packet sent up by a controller action that pauses, and
// lets it go on.
func testPacketIn2(t *testing.T, c *ovsConn) {
	// A connection that is not configured as controller gets packet-ins once it says how long.
	c.do(t, &SetConfig{MissSendLen: 128}, &SetPacketInFormat{Format: PacketInNXT2})
	// controller(userdata=01.02.03,pause)
	pause := ActionRaw("\xff\xff\x00\x28\x00\x00\x23\x20\x00\x25\x00\x00\x00\x00\x00\x00" +
		"\x00\x03\x00\x07\x01\x02\x03\x00" + "\x00\x04\x00\x04\x00\x00\x00\x00" + "\x00\x01\x00\x06\x00\x00\x00\x00")
	first := &FlowMod{
		Priority: 1, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		Instructions: NewInstructions(ApplyActions{ActionSetField{oxm(Reg0+3, "\x00\x00\x00\x09")}, pause, ActionSetField{oxm(Reg0+4, "\x00\x00\x00\x0a")}}, GotoTable{Table: 1}),
	}
	second := &FlowMod{
		TableID: 1, Priority: 1, Cookie: 0x12, BufferID: NoBuffer, OutPort: PortAny, OutGroup: GroupAny,
		Instructions: NewInstructions(ApplyActions{ActionOutput{Port: PortController, MaxLen: 0xffff}}),
	}
	frame := append(bytes.Clone(sampleFrame), make([]byte, 50)...)
	c.do(t, first, second)
	c.send(t, &PacketOut{BufferID: NoBuffer, InPort: 1, Actions: NewActions(ActionOutput{Port: PortTable}), Data: frame})
	_, m := c.read(t)
	paused, ok := m.(*PacketIn2)
	if !ok || len(paused.Continuation) == 0 {
		t.Fatalf("answer %+v, want a packet-in2 with a continuation", m)
	}
	want := &PacketIn2{
		BufferID: NoBuffer, FullLen: 64, Reason: 1, Cookie: noCookie, Data: frame, Userdata: []byte{1, 2, 3},
		Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"), oxm(Reg0+3, "\x00\x00\x00\x09")), Continuation: paused.Continuation,
	}
	same(t, "packet-in2", want, paused)
	if port, ok := paused.InPort(); port != 1 || !ok {
		t.Errorf("came by port %d, %v", port, ok)
	}

	c.send(t, &Resume{*paused})
	_, resumed := c.read(t)
	want = &PacketIn2{
		BufferID: NoBuffer, FullLen: 64, Reason: 1, TableID: 1, Cookie: 0x12, Data: frame,
		Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"), oxm(Reg0+3, "\x00\x00\x00\x09"), oxm(Reg0+4, "\x00\x00\x00\x0a")),
	}
	same(t, "what comes after resume", Message(want), resumed)
}

func testFlowMonitor(t *testing.T, c *ovsConn) {
	// NXST_FLOW_MONITOR, which is the form of versions 1.0 to 1.2.
	old := &MultipartRequest{Body: &ExperimenterMultipart{
		Experimenter: experimenterNicira, ExpType: 2, Data: []byte("\x00\x00\x00\x01\x00\x02\xff\xff\x00\x00\xff\x00\x00\x00\x00\x00"),
	}}
	c.send(t, old)
	_, refused := c.read(t)
	if e, ok := refused.(*Error); !ok || e.ErrType != ErrorBadRequest || e.Code != BadRequestExpType {
		t.Errorf("the old form of the flow monitor was answered with %v, want OFPBRC_BAD_EXP_TYPE", refused)
	}

	c.do(t, sampleFlowModTo(1))
	updates := func(messages []Message) (list []FlowUpdate) {
		for _, m := range messages {
			reply, ok := m.(*MultipartReply)
			if !ok {
				t.Fatalf("answered with %+v", m)
			}
			for u := range reply.Body.(*FlowMonitorReply).Updates.All() {
				list = append(list, u)
			}
		}
		return list
	}
	full := func(event FlowEvent, table uint8) FlowUpdate {
		m := sampleFlowModTo(table)
		return FlowUpdate{Event: event, Priority: m.Priority, TableID: table, Cookie: m.Cookie, Match: m.Match, Instructions: m.Instructions}
	}
	every := MonitorInitial | MonitorAdd | MonitorDelete | MonitorModify | MonitorInstructions
	got := updates(c.do(t, &MultipartRequest{Body: &FlowMonitorRequest{Monitors: []FlowMonitor{
		{ID: 7, Flags: every, OutPort: PortAny, TableID: TableAll}, {ID: 8, Flags: MonitorAdd, OutPort: PortAny, TableID: 9, Match: NewMatch(oxm(InPort, "\x00\x00\x00\x01"))},
	}}}))
	same(t, "what there is", []FlowUpdate{full(FlowAdded, 1)}, got)

	// Own changes come as no more than their xid.
	got = updates(c.do(t, sampleFlowModTo(2)))
	same(t, "own change", []FlowUpdate{{Event: FlowAbbreviated, XID: c.xid - 1}}, got)

	// Changes by others come in full.
	other := dialOVS(t, c.RemoteAddr().String())
	other.do(t, sampleFlowModTo(3))
	same(t, "flow added", []FlowUpdate{full(FlowAdded, 3)}, updates(c.do(t)))
	changed := sampleFlowModTo(3)
	changed.Command, changed.Instructions = FlowModifyStrict, NewInstructions(GotoTable{Table: 20})
	other.do(t, changed)
	want := full(FlowModified, 3)
	want.Instructions = changed.Instructions
	same(t, "flow changed", []FlowUpdate{want}, updates(c.do(t)))
	removed := sampleFlowModTo(3)
	removed.Command = FlowDeleteStrict
	other.do(t, removed)
	want = full(FlowDeleted, 3)
	want.Reason, want.Instructions = RemovedDelete, changed.Instructions
	same(t, "flow deleted", []FlowUpdate{want}, updates(c.do(t)))

	c.do(t, &FlowMonitorCancel{ID: 7}, &FlowMonitorCancel{ID: 8})
	other.do(t, sampleFlowModTo(4))
	same(t, "after cancel", []Message(nil), c.do(t))
}
