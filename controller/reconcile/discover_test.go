package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// woven is a rig that looks for links.
func woven(t *testing.T, known ...fabric.Known) *rig {
	return newRig(t, func(c *Config) { c.Now, c.Fabric = time.Now, newMap(known) })
}

var fabricKey = fabric.Key("a key")

func newMap(known []fabric.Known) *fabric.Map {
	m := fabric.NewMap()
	m.Load(fabricKey, known)
	return m
}

// open are the unmanaged ports that a switch lets pass frames.
func open(t *testing.T, sw *switchtest.Switch) (ports []uint32) {
	for _, f := range held(t, sw) {
		if no, ok := pipeline.OpenPort(f); ok {
			ports = append(ports, no)
		}
	}
	slices.Sort(ports)
	return ports
}

func awaitOpen(t *testing.T, sw *switchtest.Switch, want ...uint32) {
	t.Helper()
	sw.Await(t, "open ports", func() bool { return slices.Equal(open(t, sw), want) })
}

// lldp is a packet-in of a frame that left by one port and came by another.
func lldp(from fabric.End, at uint32) *openflow.PacketIn {
	data := fabricKey.Frame(time.Now(), from)
	return &openflow.PacketIn{
		BufferID: openflow.NoBuffer, TotalLen: uint16(len(data)), Data: data,
		Cookie: uint64(pipeline.NewCookie(pipeline.KindDiscover, at)),
		Match:  openflow.NewMatch(flow.InPort(at).OXM()),
	}
}

func TestAPortPassesFramesWhenNothingOfOursWasHeardAndKeepsToThatAfterARestart(t *testing.T) {
	t.Parallel()
	r := woven(t)
	sw := connect(t, r, 2)
	if got := open(t, sw); len(got) != 0 {
		t.Errorf("ports %v are open at once", got)
	}
	awaitOpen(t, sw, 1, 2)
	sent := map[uint32]bool{}
	for _, out := range sw.PacketOuts() {
		from, err := fabricKey.Read(time.Now(), out.Data)
		if err != nil || from.DPID != dpid {
			t.Errorf("a frame of %v, %v", from, err)
		}
		sent[from.Port] = true
	}
	if d := cmp.Diff(map[uint32]bool{1: true, 2: true}, sent); d != "" {
		t.Errorf("ports that sent (-want +got):\n%s", d)
	}
	flowMods := counted(sw)
	r.cfg.Fabric = newMap(nil)
	r.restart(sw)
	outs := len(sw.PacketOuts())
	sw.Await(t, "the new controller to look for links", func() bool { return len(sw.PacketOuts()) > outs })
	if n := flowMods(); n != 0 {
		t.Errorf("%d flow-mods after a restart, want none", n)
	}
}

func TestAPortOfASpareLinkIsShutAndThatOfATreeOpen(t *testing.T) {
	t.Parallel()
	r := woven(t)
	sw := connect(t, r, 3)
	other := switchtest.Dial(t, r.addr, switchtest.Options{DPID: 9, Ports: switchtest.Ports(3)})
	awaitOpen(t, sw, 1, 2, 3)
	awaitOpen(t, other, 1, 2, 3)
	for no := range uint32(2) {
		sw.Send(t, lldp(fabric.End{DPID: 9, Port: no + 1}, no+1))
		other.Send(t, lldp(fabric.End{DPID: dpid, Port: no + 1}, no+1))
	}
	one := func(ports []uint32) bool {
		return slices.Equal(ports, []uint32{1, 3}) || slices.Equal(ports, []uint32{2, 3})
	}
	sw.Await(t, "one of two links to be shut", func() bool { return one(open(t, sw)) })
	other.Await(t, "the same at the other end", func() bool { return slices.Equal(open(t, other), open(t, sw)) })
	// A frame that is not signed by us changes nothing.
	forged := lldp(fabric.End{DPID: 9, Port: 3}, 3)
	forged.Data[len(forged.Data)-4] ^= 1
	sw.Send(t, forged)
	in := open(t, sw)[0]
	sw.RemovePort(t, in)
	awaitOpen(t, sw, 3-in, 3)
	var forgeries dto.Metric
	if err := r.metrics.linkFrames[fabric.Forged].Write(&forgeries); err != nil {
		t.Fatal(err)
	}
	if n := forgeries.GetCounter().GetValue(); n != 1 {
		t.Errorf("%v forged frames, want 1", n)
	}
}
