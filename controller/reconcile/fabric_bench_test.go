package reconcile

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/macloom/macloom/controller/fabric"
	"github.com/macloom/macloom/controller/intent"
	"github.com/macloom/macloom/controller/pipeline"
	"github.com/macloom/macloom/southbound/flow"
	"github.com/macloom/macloom/southbound/openflow"
	"github.com/macloom/macloom/southbound/session/switchtest"
)

// plant is a fabric of emulated switches whose links carry the frames of the controller.
type plant struct {
	b        *testing.B
	r        *rig
	m        *fabric.Map
	links    []fabric.Link
	far      map[fabric.End]fabric.End
	switches map[intent.DPID]*switchtest.Switch
	ports    map[intent.DPID]uint32
	served   map[intent.DPID]*atomic.Bool
	frames   chan frameOut
	over     atomic.Bool  // the links carry nothing any more
	last     atomic.Int64 // when a switch was last told to change something
}

type frameOut struct {
	to   fabric.End
	data []byte
}

// newPlant makes a fat-tree of 20 switches in the core and 8 pods of 5 and 5, each of
// the lower ones with a station.
func newPlant(b *testing.B) *plant {
	p := &plant{
		b: b, m: newMap(nil), far: map[fabric.End]fabric.End{}, switches: map[intent.DPID]*switchtest.Switch{}, ports: map[intent.DPID]uint32{},
		served: map[intent.DPID]*atomic.Bool{}, frames: make(chan frameOut, 1<<16),
	}
	slots := map[intent.DPID]uint16{}
	for d := range intent.DPID(100) {
		slots[d+1] = uint16(d + 1)
	}
	p.m.SetSlots(slots)
	p.r = newRig(b, func(c *Config) { c.Now, c.Fabric = time.Now, p.m })
	for pod := range 8 {
		for i := range 5 {
			above := 21 + 10*pod + i
			for j := range 4 {
				p.connect(above, 1+4*i+j)
			}
			for j := range 5 {
				p.connect(above, 26+10*pod+j)
			}
		}
	}
	for d, n := range p.ports {
		p.served[d] = &atomic.Bool{}
		p.switches[d] = switchtest.New(switchtest.Options{DPID: uint64(d), Ports: switchtest.Ports(int(n) + 1), Groups: true, Refuse: func(m openflow.Message) *openflow.Error {
			p.heard(d, m)
			return nil
		}})
	}
	for range 2 {
		go func() {
			for f := range p.frames {
				if !p.served[f.to.DPID].Load() || p.over.Load() {
					continue // its session has not begun, or all have ended
				}
				p.switches[f.to.DPID].Send(b, &openflow.PacketIn{
					BufferID: openflow.NoBuffer, TotalLen: uint16(len(f.data)), Data: f.data,
					Cookie: uint64(pipeline.NewCookie(pipeline.KindDiscover, f.to.Port)), Match: openflow.NewMatch(flow.InPort(f.to.Port).OXM()),
				})
			}
		}()
	}
	return p
}

func (p *plant) connect(a, b int) {
	end := func(n int) fabric.End {
		d := intent.DPID(n)
		p.ports[d]++
		return fabric.End{DPID: d, Port: p.ports[d]}
	}
	l := fabric.Between(end(a), end(b))
	p.links = append(p.links, l)
	p.far[l.A], p.far[l.B] = l.B, l.A
}

// heard takes what a switch is told.
func (p *plant) heard(d intent.DPID, m openflow.Message) {
	switch m := m.(type) {
	case *openflow.PacketOut:
		p.served[d].Store(true)
		for _, a := range m.Actions.List() {
			if out, ok := a.(openflow.ActionOutput); ok {
				if to, linked := p.far[fabric.End{DPID: d, Port: out.Port}]; linked {
					p.frames <- frameOut{to, m.Data}
				}
			}
		}
	case *openflow.FlowMod, *openflow.GroupMod:
		p.last.Store(time.Now().UnixNano())
	}
}

// complete waits until so many links are known, and nobody was told anything for a
// while. It returns when these two were.
func (p *plant) complete(links int) (known, pushed time.Time) {
	p.b.Helper()
	const quiet = 400 * time.Millisecond
	n := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pushed = time.Unix(0, p.last.Load())
		if !known.IsZero() && (time.Since(pushed) < quiet || time.Since(known) < quiet) {
			continue // to look at links takes time from what is measured
		}
		n = 0
		for _, l := range p.m.Links() {
			if !l.Down {
				n++
			}
		}
		switch {
		case n != links:
			known = time.Time{}
		case known.IsZero():
			known = time.Now()
		default:
			return known, pushed
		}
	}
	p.b.Fatalf("%d of %d links", n, links)
	return known, pushed
}

// set changes whether both ports of a link have carrier.
func (p *plant) set(l fabric.Link, up bool) {
	for _, e := range []fabric.End{l.A, l.B} {
		port := switchtest.Ports(int(e.Port))[e.Port-1]
		if !up {
			port.State |= openflow.PortStateLinkDown
		}
		p.switches[e.DPID].SetPort(p.b, port)
	}
}

// up connects all switches. It returns how long it took to find all links, and to
// tell all switches of them.
func (p *plant) up() (found, ready time.Duration) {
	start := time.Now()
	for _, sw := range p.switches {
		sw.Connect(p.b, p.r.addr)
	}
	known, pushed := p.complete(len(p.links))
	return known.Sub(start), pushed.Sub(start)
}

func (p *plant) down() {
	p.over.Store(true)
	p.r.stop()
}

// BenchmarkDiscovery brings up a fat-tree of 100 switches.
func BenchmarkDiscovery(b *testing.B) {
	var found, ready time.Duration
	for b.Loop() {
		b.StopTimer()
		p := newPlant(b)
		b.StartTimer()
		f, r := p.up()
		found, ready = found+f, ready+r
		b.StopTimer()
		p.down()
		b.StartTimer()
	}
	b.ReportMetric(found.Seconds()/float64(b.N), "s/found")
	b.ReportMetric(ready.Seconds()/float64(b.N), "s/pushed")
}

// BenchmarkLossOfALink cuts links of the tree of such a fabric, and reports how long it takes to tell
// all switches of it, and what it costs.
func BenchmarkLossOfALink(b *testing.B) {
	p := newPlant(b)
	p.up()
	var all []time.Duration
	var cpu time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		var tree []fabric.Link
		for _, l := range p.m.Links() {
			if l.Tree {
				tree = append(tree, l.Link)
			}
		}
		cut := tree[i*37%len(tree)]
		b.StartTimer()
		start, spent := time.Now(), cpuTime(b)
		p.set(cut, false)
		_, pushed := p.complete(len(p.links) - 1)
		all, cpu = append(all, pushed.Sub(start)), cpu+cpuTime(b)-spent
		b.StopTimer()
		p.set(cut, true)
		p.complete(len(p.links))
		b.StartTimer()
	}
	p.down()
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, "ms/median")
	b.ReportMetric(all[0].Seconds()*1e3, "ms/best")
	b.ReportMetric(all[len(all)-1].Seconds()*1e3, "ms/worst")
	b.ReportMetric(cpu.Seconds()*1e3/float64(len(all)), "ms-cpu/cut")
}

// cpuTime is what the process has used so far, the emulated switches with it.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
