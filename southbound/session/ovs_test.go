package session

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/ovstest"
)

// ovs is an Open vSwitch of the test's own, whose bridges reach the test by unix
// socket.
type ovs struct {
	*ovstest.OVS
	t testing.TB
}

func startOVS(t testing.TB) *ovs {
	t.Helper()
	return &ovs{ovstest.Start(t), t}
}

// serve is the controller of a bridge, at the one socket that Open vSwitch allows
// to a bridge of that name.
func (o *ovs) serve(bridge string, handle func(context.Context, *Conn)) *observer.ObservedLogs {
	o.t.Helper()
	ln, err := net.Listen("unix", o.Path(bridge+".controller"))
	if err != nil {
		o.t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, Config{Log: zap.New(core)}, handle) }()
	o.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
	return logs
}

// addBridge makes a bridge with one port and its controller.
func (o *ovs) addBridge(bridge, dpid, protocols string) {
	o.t.Helper()
	port := bridge + "p1"
	o.AddBridge(bridge, "protocols="+protocols, "other-config:datapath-id="+dpid,
		"--", "add-port", bridge, port, "--", "set", "interface", port, "type=internal", "ofport_request=1",
		"--", "set-controller", bridge, "unix:"+o.Path(bridge+".controller"))
}

func (o *ovs) dumpFlows(bridge string) []string {
	o.t.Helper()
	return strings.Split(strings.TrimSpace(o.Ofctl("--no-stats", "--no-names", "dump-flows", bridge)), "\n")
}

func TestOpenVSwitch(t *testing.T) {
	t.Parallel()
	o := startOVS(t)
	conns := make(chan *Conn, 1)
	logs := o.serve("br0", func(ctx context.Context, c *Conn) {
		conns <- c
		<-ctx.Done()
	})
	o.addBridge("br0", "00000000000000ab", "OpenFlow13")
	var c *Conn
	select {
	case c = <-conns:
	case <-time.After(patient):
		t.Fatalf("the bridge did not come; log: %v", logs.All())
	}
	ctx := t.Context()
	if f := c.Features(); f.DatapathID != 0xab || f.NTables != 254 {
		t.Errorf("features %+v", f)
	}
	portNames := map[uint32]string{}
	if err := c.Multipart(ctx, &openflow.PortDescRequest{}, func(b openflow.MultipartBody) error {
		for _, p := range b.(*openflow.PortDescReply).Ports {
			portNames[p.No] = p.Name
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if portNames[1] != "br0p1" || portNames[openflow.PortLocal] != "br0" {
		t.Errorf("ports %v", portNames)
	}
	if m, err := c.Request(ctx, &openflow.EchoRequest{Data: []byte("hallo")}); err != nil || string(m.(*openflow.EchoReply).Data) != "hallo" {
		t.Errorf("echo: %v, %v", m, err)
	}

	// Twice: the first commit learns that bundles are taken.
	for range 2 {
		if err := c.Commit(ctx, addFlows(1000)); err != nil {
			t.Fatal(err)
		}
	}
	flows := o.dumpFlows("br0")
	if len(flows) != 1000 {
		t.Fatalf("%d flows, want 1000: %s", len(flows), flows[0])
	}
	if want := "cookie=0x3e7, priority=100,in_port=1,dl_src=02:00:00:00:03:e7 actions=output:2"; !strings.Contains(strings.Join(flows, "\n"), want) {
		t.Errorf("no flow %q; there is %q", want, flows[999])
	}

	unmatched := addFlow(5000)
	unmatched.Match = openflow.NewMatch(oxm(openflow.TCPDst, 0, 80)) // without eth_type
	overlapping := addFlow(5001)
	overlapping.Flags = openflow.FlagCheckOverlap
	overlapping.Match = openflow.NewMatch(oxm(openflow.EthDst, 2, 0, 0, 0, 0, 1))
	for name, bad := range map[string]*openflow.FlowMod{
		"refused when it arrives, OFPBMC_BAD_PREREQ":    unmatched,
		"refused when it is committed, OFPFMFC_OVERLAP": overlapping,
	} {
		msgs := addFlows(3000)[2000:]
		msgs[500] = bad
		err := c.Commit(ctx, msgs)
		var ce *CommitError
		if !errors.As(err, &ce) || ce.Index != 500 || ce.Partial {
			t.Fatalf("%s: error %v, want one that names message 500", name, err)
		}
		if _, code, _ := strings.Cut(name, ", "); !strings.Contains(err.Error(), code) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := c.Barrier(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(o.dumpFlows("br0")); n != 1000 {
			t.Errorf("%s: %d flows, want the 1000 of before", name, n)
		}
	}
	err := c.Commit(ctx, []openflow.Message{addFlow(1000), addFlow(1001), &openflow.CTFlushZone{Zone: 7}, addFlow(1002)})
	if err != nil {
		t.Errorf("flows around a conntrack flush: %v", err)
	}

	packet, _ := hex.DecodeString("ffffffffffff02000000000108060001080006040001020000000001c0a80001000000000000c0a80002")
	o.Ofctl("packet-out", "br0", "in_port=1 packet="+hex.EncodeToString(packet)+" actions=controller")
	batch, err := c.PacketIns(0).Take(ctx, nil)
	if err != nil || len(batch) != 1 || string(batch[0].Data) != string(packet) {
		t.Errorf("packet-ins %v, error %v", batch, err)
	}

	o.Vsctl("add-port", "br0", "new", "--", "set", "interface", "new", "type=internal", "ofport_request=5")
	for n := range c.Notices() {
		if ps, ok := n.Message.(*openflow.PortStatus); ok && ps.Port.Name == "new" && ps.Reason == openflow.PortAdd {
			break
		}
	}
	if err := c.Send(unmatched); err != nil {
		t.Fatal(err)
	}
	for n := range c.Notices() {
		if e, ok := n.Message.(*openflow.Error); ok {
			if e.ErrType != openflow.ErrorBadMatch {
				t.Errorf("error %v", e)
			}
			break
		}
	}
	if err := c.Err(); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

func TestOpenVSwitchOfAnotherVersionIsToldWhatToSet(t *testing.T) {
	t.Parallel()
	o := startOVS(t)
	for bridge, protocols := range map[string]string{"br10": "OpenFlow10", "br14": "OpenFlow10,OpenFlow14"} {
		logs := o.serve(bridge, func(context.Context, *Conn) { t.Errorf("%s came through", bridge) })
		o.addBridge(bridge, "00000000000000ac", protocols)
		k := &controller{logs: logs}
		line := k.awaitLog(t, "switch refused", 1)[0].ContextMap()
		if line["offered"] != protocols || !strings.Contains(line["set"].(string), "protocols=OpenFlow13") {
			t.Errorf("log line %v", line)
		}
	}
}
