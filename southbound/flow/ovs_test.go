package flow

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// TestOVSReadBack installs the corpus in a real Open vSwitch and compares what
// it reports with what was meant: as values, as text, and when flows go.
func TestOVSReadBack(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	want := corpus()

	t.Run("flows read back equal", func(t *testing.T) {
		c := dial(t, ovs.AddBridge("br0"))
		addReferred(ovs, "br0")
		for _, f := range want {
			c.send(t, f.Add())
		}
		c.barrier(t)
		got := c.flows(t, &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny})
		compareFlows(t, want, got)
		if plan := Diff(State{Flows: newSet(t, got...)}, State{Flows: newSet(t, want...)}); !plan.Empty() {
			t.Errorf("difference to what was installed: %d to delete, %d to add", len(plan.Delete), len(plan.Add))
		}
		t.Logf("%d flows read back equal", len(got))

		compareText(t, want, dump(ovs, "br0"))

		mine := c.flows(t, &openflow.FlowStatsRequest{
			TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny, Cookie: 0x5d << 56, CookieMask: 0xff << 56,
		})
		if len(mine) != 1 || mine[0].Cookie>>56 != 0x5d {
			t.Errorf("flows of the cookie space 0x5d: %v, want one", mine)
		}

		// A strict delete removes its flow and no other, and the switch says so under the same key.
		c.send(t, &openflow.SetConfig{MissSendLen: 128})
		c.barrier(t)
		deleted := map[Key]bool{}
		for _, f := range want {
			c.send(t, f.DeleteStrict())
			if f.Flags&openflow.FlagSendFlowRem != 0 {
				deleted[f.Key()] = true
			}
		}
		for c.flush(t); len(deleted) > 0; {
			_, m := c.read(t)
			if removed, ok := m.(*openflow.FlowRemoved); ok {
				key := FromRemoved(*removed)
				if !deleted[key] {
					t.Fatalf("flow-removed for %+v, which is no flow that was to be reported", key)
				}
				delete(deleted, key)
			}
		}
		if left := c.flows(t, &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}); len(left) != 0 {
			t.Errorf("%d flows left after all were deleted: %v", len(left), left)
		}
	})

	t.Run("our text installs the same flows", func(t *testing.T) {
		path := ovs.AddBridge("br1")
		addReferred(ovs, "br1")
		ovs.Ofctl("add-flows", "br1", writeLines(t, want))
		got := dial(t, path).flows(t, &openflow.FlowStatsRequest{TableID: openflow.TableAll, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny})
		compareFlows(t, want, got)
	})
}

// TestOVSSession exchanges the messages that carry no flows with a real switch.
func TestOVSSession(t *testing.T) {
	t.Parallel()
	ovs := ovstest.Start(t)
	c := dial(t, ovs.AddBridge("br0"))
	bundle := func(ctrl openflow.BundleCtrl) *openflow.BundleControl {
		return &openflow.BundleControl{BundleID: 7, Ctrl: ctrl, Flags: openflow.BundleAtomic | openflow.BundleOrdered}
	}
	ask := func(m openflow.Message) openflow.Message {
		t.Helper()
		c.send(t, m)
		c.flush(t)
		h, reply := c.read(t)
		if h.XID != c.xid {
			t.Fatalf("answer to %T has xid %d, want %d", m, h.XID, c.xid)
		}
		return reply
	}

	features := ask(&openflow.FeaturesRequest{}).(*openflow.FeaturesReply)
	if features.DatapathID == 0 || features.NTables != 254 {
		t.Errorf("features %+v, want 254 tables and a datapath id", features)
	}
	if got := ask(&openflow.EchoRequest{Data: []byte("ping")}).(*openflow.EchoReply); string(got.Data) != "ping" {
		t.Errorf("echo of %q", got.Data)
	}
	c.send(t, &openflow.SetConfig{MissSendLen: 100})
	if got := ask(&openflow.GetConfigRequest{}).(*openflow.GetConfigReply); got.MissSendLen != 100 {
		t.Errorf("config %+v, want miss_send_len 100", got)
	}
	role := ask(&openflow.RoleRequest{Role: openflow.RoleMaster, GenerationID: 9}).(*openflow.RoleReply)
	if want := (openflow.RoleReply{Role: openflow.RoleMaster, GenerationID: 9}); *role != want {
		t.Errorf("role %+v, want %+v", *role, want)
	}
	desc := ask(&openflow.MultipartRequest{Body: &openflow.DescRequest{}}).(*openflow.MultipartReply).Body.(*openflow.Desc)
	if desc.Manufacturer != "Nicira, Inc." || desc.Hardware != "Open vSwitch" {
		t.Errorf("description %+v", desc)
	}
	ports := ask(&openflow.MultipartRequest{Body: &openflow.PortDescRequest{}}).(*openflow.MultipartReply).Body.(*openflow.PortDescReply).Ports
	if len(ports) != 1 || ports[0].No != openflow.PortLocal || ports[0].Name != "br0" {
		t.Errorf("ports %+v, want LOCAL alone", ports)
	}

	// A packet out goes through the tables and comes back as packet-in.
	toController := Flow{Priority: 1, Cookie: 0x5d, Instructions: NewInstructions(Apply(SetReg(3, 9), Controller(0xffff)))}
	c.send(t, toController.Add())
	frame := append(append(append([]byte{}, macA[:]...), macB[:]...), make([]byte, 60)...)
	c.send(t, &openflow.PacketOut{
		BufferID: openflow.NoBuffer, InPort: openflow.PortLocal, Actions: openflow.NewActions(Output(openflow.PortTable)), Data: frame,
	})
	c.flush(t)
	_, m := c.read(t)
	packet := m.(*openflow.PacketIn)
	match, err := readMatch(packet.Match)
	if want := NewMatch(InPort(openflow.PortLocal), Reg(3, 9)); err != nil || match != want || packet.Cookie != 0x5d || string(packet.Data) != string(frame) {
		t.Errorf("packet-in %+v with match %v (%v), want match %v and the frame", packet, match, err, want)
	}

	// A bundle takes effect at its commit.
	f := Flow{Table: 3, Priority: 5, Match: NewMatch(InPort(1)), Instructions: NewInstructions(Goto(4))}
	all := &openflow.FlowStatsRequest{TableID: f.Table, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny}
	if got := ask(bundle(openflow.BundleOpenRequest)).(*openflow.BundleControl); got.Ctrl != openflow.BundleOpenReply {
		t.Errorf("answer to open: %+v", got)
	}
	c.send(t, &openflow.BundleAdd{BundleID: 7, Flags: openflow.BundleAtomic | openflow.BundleOrdered, XID: c.xid + 1, Message: f.Add()})
	c.barrier(t)
	if got := c.flows(t, all); len(got) != 0 {
		t.Errorf("flows before the commit: %v", got)
	}
	if got := ask(bundle(openflow.BundleCommitRequest)).(*openflow.BundleControl); got.Ctrl != openflow.BundleCommitReply {
		t.Errorf("answer to commit: %+v", got)
	}
	if got := c.flows(t, all); len(got) != 1 || got[0] != f {
		t.Errorf("flows after the commit: %v, want %v", got, f)
	}

	c.send(t, &openflow.CTFlushZone{Zone: 5})
	c.barrier(t) // fails on an error
}

func TestOVSParsesEveryLine(t *testing.T) {
	t.Parallel()
	ofctl := ovstest.LookTool(t, "ovs-ofctl")
	out, err := exec.Command(ofctl, "-O", "OpenFlow13", "parse-flows", writeLines(t, corpus())).CombinedOutput()
	if err != nil {
		t.Fatalf("ovs-ofctl parse-flows: %v\n%s", err, out)
	}
	if got, want := strings.Count(string(out), "OFPT_FLOW_MOD"), len(corpus()); got != want {
		t.Errorf("%d flows parsed, want %d", got, want)
	}
}

func byKey(flows []Flow) map[Key]Flow {
	m := make(map[Key]Flow, len(flows))
	for _, f := range flows {
		m[f.Key()] = f
	}
	return m
}

func compareFlows(t *testing.T, want, got []Flow) {
	t.Helper()
	reported := byKey(got)
	for _, f := range want {
		g, ok := reported[f.Key()]
		delete(reported, f.Key())
		if !ok {
			t.Errorf("not reported under its key: %v", f)
		} else if g != f {
			t.Errorf("reported otherwise\nwant %v\n got %v\nwant %x %x\n got %x %x", f, g, f.Match, f.Instructions, g.Match, g.Instructions)
		}
	}
	for _, g := range reported {
		t.Errorf("reported, but never installed: %v", g)
	}
}

// compareText compares our lines with ovs-ofctl's. It leaves out table 0.
func compareText(t *testing.T, want []Flow, dump string) {
	t.Helper()
	var ours, theirs []string
	for _, f := range want {
		ours = append(ours, strings.Replace(f.String(), "table=0, ", "", 1))
	}
	for line := range strings.Lines(dump) {
		if line = strings.TrimSpace(line); strings.Contains(line, "actions=") {
			theirs = append(theirs, line)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if diff := gocmp.Diff(ours, theirs); diff != "" {
		t.Errorf("text (-ours +ovs-ofctl's):\n%s", diff)
	}
}

func writeLines(t *testing.T, flows []Flow) string {
	t.Helper()
	var b strings.Builder
	for _, f := range flows {
		b.WriteString(f.String() + "\n")
	}
	path := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func dump(o *ovstest.OVS, bridge string) string {
	return o.Ofctl("--no-names", "--no-stats", "dump-flows", bridge)
}

// connection is the least of an OpenFlow session.
type connection struct {
	net.Conn
	r    *bufio.Reader
	out  []byte
	xid  uint32
	sent map[uint32]openflow.Message
}

func dial(t *testing.T, path string) *connection {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &connection{Conn: conn, r: bufio.NewReader(conn), sent: map[uint32]openflow.Message{}}
	c.send(t, &openflow.Hello{Bitmap: 1 << openflow.Version13})
	c.barrier(t)
	return c
}

func (c *connection) send(t *testing.T, m openflow.Message) {
	t.Helper()
	c.xid++
	c.sent[c.xid] = m
	c.out = openflow.AppendMessage(c.out, c.xid, m)
}

func (c *connection) flush(t *testing.T) {
	t.Helper()
	if _, err := c.Write(c.out); err != nil {
		t.Fatal(err)
	}
	c.out = c.out[:0]
}

func (c *connection) read(t *testing.T) (openflow.Header, openflow.Message) {
	t.Helper()
	head, err := c.r.Peek(openflow.HeaderLen)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(c.r, frame); err != nil {
		t.Fatal(err)
	}
	h, m, err := openflow.Decode(frame)
	if err != nil {
		t.Fatalf("%v\n%x", err, frame)
	}
	if e, ok := m.(*openflow.Error); ok {
		refused := c.sent[h.XID]
		if fm, ok := refused.(*openflow.FlowMod); ok {
			f := Flow{Table: fm.TableID, Priority: fm.Priority, Match: Match(fm.Match), Instructions: Instructions(fm.Instructions)}
			t.Errorf("refused with %v: %v", e, f)
		} else {
			t.Errorf("refused with %v: %T", e, refused)
		}
	}
	return h, m
}

// barrier waits until everything sent was done.
func (c *connection) barrier(t *testing.T) {
	t.Helper()
	c.send(t, &openflow.BarrierRequest{})
	c.flush(t)
	for {
		_, m := c.read(t)
		if _, ok := m.(*openflow.BarrierReply); ok {
			return
		}
	}
}

// flows asks for flows, in an order that does not depend on the switch.
func (c *connection) flows(t *testing.T, request *openflow.FlowStatsRequest) []Flow {
	t.Helper()
	c.send(t, &openflow.MultipartRequest{Body: request})
	c.flush(t)
	var flows []Flow
	for {
		_, m := c.read(t)
		reply, ok := m.(*openflow.MultipartReply)
		if !ok {
			continue
		}
		for _, s := range reply.Body.(*openflow.FlowStatsReply).Flows {
			f, err := FromStats(s)
			if err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
		}
		if !reply.More() {
			slices.SortFunc(flows, func(a, b Flow) int { return cmp.Compare(a.Priority, b.Priority) })
			return flows
		}
	}
}
