package reconcile

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/mac"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// woven is a rig that looks for links.
func woven(t *testing.T, known ...fabric.Known) *rig {
	return newRig(t, func(c *Config) { c.Now, c.Fabric, c.Hosts = time.Now, newMap(known), fabric.NewHosts() })
}

var fabricKey = fabric.Key("a key")

func newMap(known []fabric.Known) *fabric.Map {
	m := fabric.NewMap()
	m.Load(fabricKey, known, nil)
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
		from, _, err := fabricKey.Read(time.Now(), out.Data)
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

// joined are two switches with a link between their first ports, and a station's port each.
func joined(t *testing.T, r *rig) (a, b *switchtest.Switch) {
	t.Helper()
	a = connect(t, r, 2)
	b = switchtest.Dial(t, r.addr, switchtest.Options{DPID: 9, Ports: switchtest.Ports(2)})
	awaitOpen(t, a, 1, 2)
	awaitOpen(t, b, 1, 2)
	a.Send(t, lldp(fabric.End{DPID: 9, Port: 1}, 1))
	b.Send(t, lldp(fabric.End{DPID: dpid, Port: 1}, 1))
	a.Await(t, "the link and its paths", func() bool { return r.cfg.Fabric.Reaches(dpid, 9) && r.cfg.Fabric.Reaches(9, dpid) })
	return a, b
}

// A frame of one switch for a station of another may come to the controller before the first
// one of the station itself.
func TestASwitchThatAsksForAStationBeforeItIsKnownIsTold(t *testing.T) {
	t.Parallel()
	r := woven(t)
	r.cfg.Fabric.SetSlots(map[intent.DPID]uint16{dpid: 1, 9: 2})
	a, b := joined(t, r)
	early, known := mac.MustParse("02:00:00:00:00:0a"), mac.MustParse("02:00:00:00:00:0b")
	seek := func(station mac.Addr) {
		frame := packetIn(2, mac.MustParse("02:00:00:00:00:0c"))
		frame.Cookie = uint64(pipeline.NewCookie(pipeline.KindSeek, 0))
		to := station.Bytes()
		copy(frame.Data, to[:])
		a.Send(t, frame)
	}
	found := func(station mac.Addr) {
		t.Helper()
		a.Await(t, "the way to a station", func() bool {
			return slices.ContainsFunc(held(t, a), func(f flow.Flow) bool {
				to, of, ok := pipeline.ParseAway(f)
				return ok && of == station && to.Slot == 2
			})
		})
	}
	b.Send(t, packetIn(2, known))
	awaitLearned(t, b, 2, known, true)
	seek(early)
	seek(known)
	found(known) // so the other question has been heard
	b.Send(t, packetIn(2, early))
	found(early)
}

// Where a switch tells which ports are live, one that is not is none, although it
// has carrier.
func TestALinkWhosePortIsNotLiveIsLost(t *testing.T) {
	t.Parallel()
	r := woven(t)
	a, _ := joined(t, r)
	state := func(is openflow.PortState) {
		port := switchtest.Ports(2)[0]
		port.State = is
		a.SetPort(t, port)
	}
	links := func() (n int) {
		for _, l := range r.cfg.Fabric.Links() {
			if !l.Down {
				n++
			}
		}
		return n
	}
	state(openflow.PortStateLive)
	state(0)
	a.Await(t, "the link to be lost", func() bool { return links() == 0 })
}

// A host is where its switch has learned it. That nobody sends to it says nothing of
// it; that it sends nothing does.
func TestHostsAreWhatSwitchesHaveLearnedAtEdgePorts(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	r := newRig(t, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		c.Fabric, c.Hosts = newMap(nil), fabric.NewHosts()
	})
	sw := connect(t, r, 2)
	awaitOpen(t, sw, 1, 2)
	station := mac.MustParse("02:00:00:00:00:0a")
	now := time.Now()
	change := func(what string, is func(fabric.HostChange) bool) {
		t.Helper()
		sw.Await(t, what, func() bool {
			now = now.Add(time.Minute)
			return slices.ContainsFunc(r.cfg.Hosts.TakeChanged(now, 10), is)
		})
	}
	at := func(no uint32, moves int64) func(fabric.HostChange) bool {
		return func(c fabric.HostChange) bool {
			return c.MAC == station && c.At == fabric.End{DPID: dpid, Port: no} && c.Moves == moves && !c.Gone
		}
	}
	gone := func(c fabric.HostChange) bool { return c.MAC == station && c.Gone }
	expire := func(half flow.Flow) {
		t.Helper()
		ahead.Add(int64(time.Hour))
		if err := sw.Expire(openflow.RemovedIdleTimeout, func(s openflow.FlowStats) bool {
			f, err := flow.FromStats(s)
			return err == nil && f == half
		}); err != nil {
			t.Fatal(err)
		}
	}
	sw.Send(t, packetIn(1, station))
	change("a host", at(1, 0))
	sw.Send(t, packetIn(2, station))
	change("its move", at(2, 1))
	awaitLearned(t, sw, 2, station, true)
	expire(pipeline.LearnedDest(2, station))
	awaitLearned(t, sw, 2, station, false)
	if n := r.cfg.Hosts.Len(); n != 1 {
		t.Fatalf("%d hosts when nobody sends to it", n)
	}
	sw.Send(t, packetIn(2, station))
	awaitLearned(t, sw, 2, station, true)
	expire(pipeline.LearnedSource(2, station))
	change("its end", gone)
	sw.Send(t, packetIn(1, station))
	change("another one", at(1, 0))
	r.change(plugged(1))
	change("its end as its port is bound", gone)
}
